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

/* The worker's session in this slot has the record's Ext L4 port. */
void xe_held_add(struct xe_service *svc, const struct xe_worker *w, uint32_t slot,
		 const struct xe_flow_record *record);
/* Every 100 ms: looks at some of them, and lets go of what has ended. */
void xe_held_tick(struct xe_service *svc);
void xe_held_close(struct xe_service *svc);

#endif
