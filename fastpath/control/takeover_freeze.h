/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * takeover_freeze.h - for takeover_give.c: the workers stand still, and what there is to tell is
 * told. Control thread.
 */
#ifndef XE_TAKEOVER_FREEZE_H
#define XE_TAKEOVER_FREEZE_H

#include "control/flow_export.h"
#include "control/service.h"
#include "control/takeover_wire.h"

/* What the new process needs before it loads anything. The fds stay ours. */
void xe_freeze_welcome(const struct xe_service *svc, struct xe_to_welcome *to,
		       struct xe_to_fds *fds);
/* An attached port. The fds stay ours. */
void xe_freeze_port(const struct xe_port *port, struct xe_to_port *to, struct xe_to_fds *fds);

/* They are about to: sockets that are busy get frames for what will come meanwhile. -EHOSTDOWN: a
 * worker does not answer. */
int xe_freeze_prepare(struct xe_service *svc);
/* The workers stop between two rounds; nothing is on the way between them any more, and what was
 * being sent has been, as far as the devices are done with it within some milliseconds. Their
 * heartbeats stand still, too: after a second steer leaves packets to the kernel. -EHOSTDOWN: one
 * does not come to that; then all go on. */
int xe_freeze_workers(struct xe_service *svc);
/* Frames, counters, held packets. The fds are the caller's. -errno. */
int xe_freeze_tell(struct xe_service *svc, struct xe_to_frozen *to, struct xe_to_fds *fds);
/* Flows that have changed since they were told: some thousands of them, while the workers run; all,
 * when they stand still. Likewise. */
int xe_freeze_changes(struct xe_service *svc, struct xe_flows_told *told, bool all,
		      struct xe_to_changes *to, struct xe_to_fds *fds);
/* As before xe_freeze_workers(), whatever the new process has changed meanwhile. */
void xe_unfreeze(struct xe_service *svc);

#endif
