/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * ct_adopt.h - flows that the kernel translates become sessions, with the mapping they have.
 *
 *   kernel's flows ---read---> records ---place---> xe_adopt_add() ---> sessions
 *                                                                  |
 *            their entries are deleted <--- steer takes all <------+
 *
 * Meanwhile the ports that have just come up take only packets of flows that are known
 * (xe_port.moving): one that the kernel still has goes on there until its session is made, and so
 * keeps its mapping, which for UDP would be lost with the first packet a worker sees. Reading and
 * adopting is done again for what began meanwhile, until that is next to nothing. An entry is
 * deleted only after that, so a packet that was on its way through the kernel finds it.
 *
 * Entries of flows that are adopted by tags (flow_adopt.h) are kept: their L4 ports are in no range
 * that the safety net guards, and should this process die, the kernel goes on with them at once,
 * where the host would reset them. They are deleted when their sessions end.
 *
 * What cannot be adopted goes on in the kernel: flows whose rule does not say so, whose route
 * leaves by no port, whose inside host the neighbour table does not know, TCP that is not
 * established. For the latter two it is tried once more a moment later.
 *
 * Control thread only.
 */
#ifndef XE_CT_ADOPT_H
#define XE_CT_ADOPT_H

#include "control/conntrack.h"
#include "control/service.h"

/* Where the kernel has no ctnetlink, that is said once, and nothing is moved. */
void xe_ct_start(struct xe_service *svc);
void xe_ct_stop(struct xe_service *svc);
/* NULL: none. */
struct xe_ct *xe_ct_of(const struct xe_service *svc);

/* Adopt what the kernel has of all attached ports, and let all live ports take new flows: when
 * ports have come up, and when workers have recovered from a stall. Returns how many there were. A
 * dump of conntrack, and some 50 us a flow; after half a second the rest is done by xe_ct_tick(),
 * and until then ports that come up take known flows only. */
int xe_ct_adopt(struct xe_service *svc);
/* A session has been adopted by tags; and it has ended. */
void xe_ct_is_held(struct xe_service *svc, const struct xe_flow_record *record);
void xe_ct_is_over(struct xe_service *svc, const struct xe_flow_record *record);
/* A neighbour has come or changed. */
void xe_ct_neigh_event(struct xe_service *svc, const struct xe_neigh *neigh);
/* The interface of a port is gone: what conntrack has of the hosts behind it ends, since their
 * addresses may be others' at any moment. These are those that `allow` names one by one, and those
 * that were seen there (ct_places.h). With the next tick or adoption. */
void xe_ct_port_gone(struct xe_service *svc, const struct xe_port *port);
/* Every 100 ms. */
void xe_ct_tick(struct xe_service *svc);

#endif
