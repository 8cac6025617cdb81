/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * stall.h - a worker that stood still (stopped, traced, starved of its CPU), and what the others do
 * meanwhile.
 *
 *   beat older than XE_BEAT_MAX_AGE_NS: it is stalled
 *     steer             leaves its ports to the kernel: new flows work there
 *     the other workers give what belongs to it to the kernel, or drop it
 *   it goes on
 *     its clock         goes on where it stopped: no session, fragment or mapping has aged
 *     its rings         are emptied before it beats again
 *
 * Why emptied: what lies there is from before the stall, its sender has long sent it again, and the
 * kernel has taken that. A SYN among it would make a session beside the kernel's flow, whose live
 * tag takes all packets of that flow from the kernel: it would be dead.
 */
#ifndef XE_STALL_H
#define XE_STALL_H

#include "pipeline/lane.h"

/* A round begins: the lane's clock. True when the worker has been stalled; then what was in its
 * hands has been dropped (XE_R_STALE), and it is not to beat before this returns. */
bool xe_stall_tick(struct xe_lane *lane, uint64_t now_ns);
/* Now and then: which of the others are? */
void xe_stall_look(struct xe_lane *lane, uint64_t now_ns);

static inline bool xe_is_stalled(const struct xe_lane *lane, uint32_t worker)
{
	return __builtin_expect(lane->stalled, 0) && lane->stalled >> worker & 1;
}

/* A packet that only a stalled worker could send goes to the kernel where that can do something
 * with it: start a flow, or carry an untranslated one. */
void xe_stall_give_up(struct xe_lane *lane, struct xe_packet *p);

#endif
