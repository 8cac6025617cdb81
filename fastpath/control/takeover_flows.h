/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * takeover_flows.h - for takeover_take.c: the old process's flows become sessions of ours while it
 * carries them, and follow what becomes of them there.
 *
 * It tells of each slot of its session tables that has changed since it told of it last
 * (flow_export.h). What we have made of a slot is kept in mind: a session, or the record where that
 * could not be. So a flow that goes on is brought up to date in place, one that has ended ends
 * here, and its L4 port is free for the one that may have it there by now.
 *
 * A pass over tables that change is no picture of one moment: of two flows that had the same tuple
 * or L4 port one after the other, both may be told of, the first one's end only the next time. Then
 * the second one cannot have its place yet. It is tried again when all stands still.
 *
 * Control thread; our workers do not run.
 */
#ifndef XE_TAKEOVER_FLOWS_H
#define XE_TAKEOVER_FLOWS_H

#include "control/flow_adopt.h"
#include "control/takeover_wire.h"

struct xe_take_flows;

/* NULL: no memory. */
struct xe_take_flows *xe_take_flows_open(void);
void xe_take_flows_close(struct xe_take_flows *flows);
/* What the file of COPIED or FROZEN says. last: nothing changes any more, and what cannot have its
 * place now waits for its port or is given up; `counts` (else NULL) are of that. -errno, logged. */
int xe_take_flows_follow(struct xe_service *svc, struct xe_take_flows *flows, int fd,
			 const struct xe_to_changes *to, struct xe_adopt_counts *counts);

#endif
