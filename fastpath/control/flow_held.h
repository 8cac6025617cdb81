/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * flow_held.h - L4 ports of sessions that were adopted by tags (pipeline/adopt.h): no worker owns
 * them, so as long as the session lives they are kept from other flows by svc->held, and replies
 * are found by conf->any_accept. Control thread only.
 */
#ifndef XE_FLOW_HELD_H
#define XE_FLOW_HELD_H

#include "control/service.h"
#include "state/flow_record.h"

/* Replies of some session are announced by tags alone: for good. */
void xe_held_announce(struct xe_service *svc);
/* The worker's session in this slot, whose reply tuple this is, has its Ext L4 port by tags. */
void xe_held_add(struct xe_service *svc, const struct xe_worker *w, uint32_t slot,
		 const struct xe_tuple4 *back, const struct xe_flow_record *record);
/* One record more, or less, with this L4 port waits for its port. */
void xe_held_reserve(struct xe_service *svc, int udp, uint16_t l4_port, bool on);
/* Every 100 ms: looks at some of them, and lets go of what has ended. */
void xe_held_tick(struct xe_service *svc);
void xe_held_close(struct xe_service *svc);

#endif
