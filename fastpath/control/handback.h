/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * handback.h - flows go on in the kernel when the service ends.
 *
 *   sessions --write--> conntrack        all is as it was
 *   new flows are left to the kernel     (xe_port.moving)
 *   what has changed --write-->          all that a worker has is in conntrack now
 *   steer takes nothing any more         the kernel finds an entry for each packet
 *   workers send what they have, once more what has changed
 *
 * The safety net stays: it translates what starts, and keeps the rest from leaking. Control thread.
 */
#ifndef XE_HANDBACK_H
#define XE_HANDBACK_H

#include "control/conntrack.h"

#define XE_HANDBACK_STEPS 3

struct xe_service;

/* How far it has come: where a worker stands still in the midst of it, it goes on without asking
 * from there. What is in the kernel already is not overwritten by what the session was before. */
struct xe_handback {
	int step;                 /* writes that are done */
	struct xe_flow_file last; /* what the last one wrote */
	struct xe_ct_result sum;
};

/* At a clean stop, before the ports are closed. Takes up to some seconds with a million flows; says
 * how many there were, and what could not be handed back. ask: the workers say what they have; else
 * their files do (state_dir.h), since one of them does not answer. */
void xe_handback(struct xe_service *svc, bool ask);

#endif
