/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * l4_rest.h - UDP L4 ports that rest (RFC 6888 REQ-8) go on resting in the next process.
 *
 * A worker writes beside its sessions when an L4 port began to rest (session_file.h). What another
 * process has left there, dead or about to be taken over, and what one that was stopped has left in
 * RUNDIR/resting, is given to nobody here until its 120 s are over: also not to its own source, and
 * on no Ext address, for whose it was is not known any more. Flows that are adopted have theirs all
 * the same. Control thread only.
 */
#ifndef XE_L4_REST_H
#define XE_L4_REST_H

#include "control/service.h"

/* What others have left rests here. At a start before ports are attached, in a takeover when the
 * old workers stand still and before ours run. */
void xe_l4_rest_adopt(struct xe_service *svc);
/* Every 100 ms: lets go of those whose time is over. */
void xe_l4_rest_tick(struct xe_service *svc);
/* At a stop, before the sessions' files go: for the next process. All sessions have `ended`, or do
 * so now, as seen from the files. */
void xe_l4_rest_keep(struct xe_service *svc, bool ended);
void xe_l4_rest_close(struct xe_service *svc);
/* What a process that was stopped has left, for --clean. */
void xe_l4_rest_remove(const char *run_dir);

#endif
