/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * ct_places.h - which inside hosts have been seen behind which interface: when that is gone, what
 * conntrack has of them is a dead container's, and their addresses may be another's at any moment
 * (ct_adopt.h). A port's `allow` does not say it: mostly it is a prefix that many ports have.
 *
 * Who has sent or received anything by the kernel's path is in its neighbour table, behind a bridge
 * with an Ethernet address that the bridge has learned. But with an interface its neighbours go,
 * too, so they are kept in mind here. Control thread.
 */
#ifndef XE_CT_PLACES_H
#define XE_CT_PLACES_H

#include "control/ct_hosts.h"

struct xe_ct_place {
	struct xe_addr addr;
	int ifindex;    /* the interface that leads to it, below a bridge the member */
	int l3_ifindex; /* the one that the kernel routes it by */
	uint8_t mac[6];
};

/* All zero: nothing is known. */
struct xe_ct_places {
	struct xe_ct_place *list; /* the one seen first is the first; one of each address */
	uint32_t cnt, size;
};

void xe_ct_places_free(struct xe_ct_places *places);

/* A neighbour that the kernel has now: netlink's op. Some questions to the kernel for one that is
 * new, and an inside host. */
void xe_ct_places_neigh(struct xe_service *svc, struct xe_ct_places *places,
			const struct xe_neigh *neigh);
/* A host that has been found otherwise; nothing where it has not. */
void xe_ct_places_note(struct xe_ct_places *places, const struct xe_ct_host *host);

/* The interface is gone: calls fn for each host that was last seen there, which is forgotten then.
 */
void xe_ct_places_leave(struct xe_ct_places *places, int ifindex,
			void (*fn)(void *ctx, const struct xe_addr *addr), void *ctx);

#endif
