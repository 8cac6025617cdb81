/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* port_owner.c - which worker gets a port (port_attach.h). */
#include "control/flow_adopt.h"
#include "control/port_attach.h"

/* Ports of a role that a worker has; those spread over all count for all. */
static uint32_t load_of(const struct xe_service *svc, const struct xe_worker *w,
			enum xe_port_role role)
{
	uint32_t cnt = 0;

	for (uint32_t id = 0; id < XE_MAX_PORTS; id++) {
		const struct xe_port *p = svc->ports[id];

		cnt += p && p->role == role && !p->spread && p->owner == w;
	}
	return cnt;
}

/*
 * All queues of an inside port go to one worker: a session belongs to the port's owner, and on a
 * veth the queue is the sender's choice. The worker with the fewest ports of the role gets it; an
 * uplink with one queue goes to who has the fewest uplinks, then the fewest inside ports.
 */
struct xe_worker *xe_port_choose_owner(struct xe_service *svc, const struct xe_port *port)
{
	struct xe_worker *best = &svc->workers[0], *had = xe_adopt_owner(svc, port);

	/* Flows that come with it share L4 ports with others of their worker. */
	if (had && !port->spread)
		return had;
	for (uint32_t i = 1; i < svc->worker_cnt && !port->spread; i++) {
		struct xe_worker *w = &svc->workers[i];
		uint32_t a = load_of(svc, w, port->role), b = load_of(svc, best, port->role);

		if (a < b ||
		    (a == b && load_of(svc, w, !port->role) < load_of(svc, best, !port->role)))
			best = w;
	}
	return best;
}
