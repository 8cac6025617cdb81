/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "control/ct_places.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Hosts in all: four times as many as the kernel keeps neighbours by default (gc_thresh3). Looked
 * through from end to end for a neighbour that has changed: 10 us when full. */
#define PLACES_MAX 4096u
/* Of one interface: with temporary IPv6 addresses a container has some, and one that claims more
 * than these does not make the others' be forgotten. */
#define OF_ONE_MAX 256u

void xe_ct_places_free(struct xe_ct_places *places)
{
	free(places->list);
	*places = (struct xe_ct_places){};
}

static struct xe_ct_place *find(const struct xe_ct_places *places, const struct xe_addr *addr)
{
	for (uint32_t i = 0; i < places->cnt; i++)
		if (!memcmp(&places->list[i].addr, addr, sizeof(*addr)))
			return &places->list[i];
	return NULL;
}

static void take_out(struct xe_ct_places *places, struct xe_ct_place *p)
{
	const struct xe_ct_place *end = &places->list[places->cnt--];

	memmove(p, p + 1, (size_t)((const char *)end - (const char *)(p + 1)));
}

/* Of an interface that has too many, else of all, if they are too many, the oldest leaves. */
static void make_room(struct xe_ct_places *places, int ifindex)
{
	struct xe_ct_place *oldest = NULL;
	uint32_t cnt = 0;

	for (uint32_t i = places->cnt; i-- > 0;)
		if (places->list[i].ifindex == ifindex) {
			oldest = &places->list[i];
			cnt++;
		}
	if (cnt >= OF_ONE_MAX)
		take_out(places, oldest);
	else if (places->cnt >= PLACES_MAX)
		take_out(places, places->list);
}

static int grow(struct xe_ct_places *places)
{
	uint32_t size = places->size ? 2 * places->size : 64;
	struct xe_ct_place *list;

	if (places->cnt < places->size)
		return 0;
	list = realloc(places->list, size * sizeof(*list));
	if (!list)
		return -ENOMEM;
	places->list = list;
	places->size = size;
	return 0;
}

void xe_ct_places_note(struct xe_ct_places *places, const struct xe_ct_host *host)
{
	struct xe_ct_place *p = find(places, &host->addr), now = {
								   .addr = host->addr,
								   .ifindex = host->ifindex,
								   .l3_ifindex = host->l3_ifindex,
							   };

	if (!host->ifindex)
		return;
	memcpy(now.mac, host->mac, sizeof(now.mac));
	if (p && p->ifindex == host->ifindex) {
		*p = now;
		return;
	}
	if (p)
		take_out(places, p);
	make_room(places, host->ifindex);
	if (!grow(places))
		places->list[places->cnt++] = now;
}

static bool may_be_inside(const struct xe_service *svc, const struct xe_addr *addr)
{
	for (const struct xe_port *p = svc->port_list; p; p = p->next)
		if (p->role == XE_ROLE_INSIDE && xe_port_allows(p, addr))
			return true;
	return false;
}

void xe_ct_places_neigh(struct xe_service *svc, struct xe_ct_places *places,
			const struct xe_neigh *neigh)
{
	const struct xe_ct_place *p = find(places, &neigh->addr);
	struct xe_ct_host h = {.addr = neigh->addr};

	if (!neigh->usable ||
	    (p && p->l3_ifindex == neigh->ifindex && !memcmp(p->mac, neigh->mac, sizeof(p->mac))))
		return;
	if (!may_be_inside(svc, &neigh->addr))
		return;
	xe_ct_host_locate(svc, &h);
	/* who claims an address that is routed elsewhere is not believed */
	if (h.l3_ifindex == neigh->ifindex)
		xe_ct_places_note(places, &h);
}

void xe_ct_places_leave(struct xe_ct_places *places, int ifindex,
			void (*fn)(void *ctx, const struct xe_addr *addr), void *ctx)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < places->cnt; i++) {
		if (places->list[i].ifindex == ifindex)
			fn(ctx, &places->list[i].addr);
		else
			places->list[kept++] = places->list[i];
	}
	places->cnt = kept;
}
