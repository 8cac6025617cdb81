/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * peer.h - is the sender of a first packet from outside a host outside?
 *
 * Who sends in by an uplink may write any source. What no host has (martians), what the service
 * itself sends from (Ext addresses), the host's own addresses and those of inside hosts make no
 * session: the inside host would take the packet for a neighbour's, or answer to itself. A live
 * flow cannot have such a peer, so only first packets are asked; those of another container come
 * by hairpin.c and not by an uplink.
 *
 * Which addresses are inside hosts', routes say, not `allow` prefixes: these may be wide, with
 * hosts outside in them. A route is asked from the control thread, for which the packet waits. So
 * that this costs ordinary peers nothing, a table says which addresses could be near at all; and so
 * that who could be waits once and not with each flow, routes are kept for a moment.
 */
#ifndef XE_PEER_H
#define XE_PEER_H

#include <stdbool.h>

#include "state/region.h"
#include "xegress/types.h"

struct xe_lane;
struct xe_packet;

/* One bit for each value of 16 bits: of an IPv4 address its first 16, of an IPv6 address its first
 * 32, folded. A prefix of usual length is one bit; one too many costs its peers a question, once a
 * flow. 8 KiB each: a first packet reads one line of one of them. */
#define XE_NEAR_BITS 65536u
struct xe_near {
	uint64_t v4[XE_NEAR_BITS / 64], v6[XE_NEAR_BITS / 64];
};

/* Next hops asked for such peers, referenced for a second or two after a flow. The control thread
 * follows them as it does all others, so what they say is not old. As many as are likely to speak
 * to published services at a time from so near; one that finds its slot taken waits as before. */
#define XE_NEAR_ROUTES 256u
#define XE_NEAR_KEPT_S 2 /* of a clock of whole seconds */
struct xe_near_routes {
	struct xe_near_route {
		uint32_t route;
		uint32_t since_s; /* lane.now_s at the last look */
		bool used;
	} slot[XE_NEAR_ROUTES];
	uint32_t tidied_s;
};

/* Learn anew from the lane's ports: their allowed prefixes and own addresses. In a worker call,
 * after these have changed. */
void xe_near_learn(struct xe_lane *lane);
/* May p, the first packet of a flow by an uplink (no hairpin), begin one? False: it has ended, or
 * waits for its answer in hold. */
bool xe_peer_is_outside(struct xe_lane *lane, struct xe_packet *p);
/* Between bursts, once a second: routes that have been kept for long enough. */
void xe_near_tidy(struct xe_lane *lane);

#endif
