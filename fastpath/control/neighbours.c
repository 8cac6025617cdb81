/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "control/neighbours.h"

#include <errno.h>
#include <string.h>

#include "state/region.h"
#include "xegress/steer_abi.h"

/* Neighbours in use at once: gateways, and hosts on connected networks. */
#define MAX_NEIGHBOURS 65536

struct key {
	int ifindex;
	struct xe_addr addr;
};

int xe_neighbours_open(struct xe_neighbours *t, uint32_t worker_cnt, uint32_t nexthop_cnt,
		       uint64_t k0, uint64_t k1)
{
	memset(t, 0, sizeof(*t));
	t->k0 = k0;
	t->k1 = k1;
	t->links_size = nexthop_cnt * sizeof(*t->links[0]);
	t->slots = xe_slots_open(&t->room, MAX_NEIGHBOURS, sizeof(*t->slots),
				 offsetof(struct xe_neighbour, next_free));
	if (!t->slots || xe_index_open(&t->index, MAX_NEIGHBOURS))
		return -ENOMEM;
	for (uint32_t w = 0; w < worker_cnt; w++) {
		t->links[w] = xe_region_open(t->links_size);
		if (!t->links[w])
			return -ENOMEM;
	}
	return 0;
}

void xe_neighbours_close(struct xe_neighbours *t)
{
	for (uint32_t w = 0; w < XE_MAX_WORKERS; w++)
		xe_region_close(t->links[w], t->links_size);
	xe_index_close(&t->index);
	xe_slots_close(&t->room);
	memset(t, 0, sizeof(*t));
}

static bool equal(const void *table, uint32_t entry, const void *key)
{
	const struct xe_neighbour *n = &((const struct xe_neighbours *)table)->slots[entry];
	const struct key *k = key;

	return n->ifindex == k->ifindex && !memcmp(&n->addr, &k->addr, sizeof(n->addr));
}

static uint32_t hash_of(const struct xe_neighbours *t, const struct key *k)
{
	/* Under a key of its own for each interface: hosts on a link choose their addresses. */
	return (uint32_t)xe_addr_hash(&k->addr, t->k0 ^ (uint32_t)k->ifindex, t->k1);
}

uint32_t xe_neighbour_find(const struct xe_neighbours *t, int ifindex, const struct xe_addr *addr)
{
	struct key k = {.ifindex = ifindex, .addr = *addr};

	return xe_index_find(&t->index, hash_of(t, &k), t, &k, equal);
}

uint32_t xe_neighbour_get(struct xe_neighbours *t, int ifindex, const struct xe_addr *addr)
{
	struct key k = {.ifindex = ifindex, .addr = *addr};
	uint32_t idx = xe_neighbour_find(t, ifindex, addr);
	struct xe_neighbour *n;

	if (idx != XE_NIL)
		return idx;
	idx = xe_slots_take(&t->room);
	if (idx == XE_NIL)
		return XE_NIL;
	n = &t->slots[idx];
	*n = (struct xe_neighbour){.ifindex = ifindex, .addr = *addr, .hash = hash_of(t, &k)};
	memset(n->head, 0xff, sizeof(n->head)); /* XE_NIL */
	xe_index_put(&t->index, n->hash, idx);
	return idx;
}

void xe_neighbour_link(struct xe_neighbours *t, uint32_t worker, uint32_t idx, uint32_t neighbour)
{
	struct xe_nh_link *e = &t->links[worker][idx];
	struct xe_neighbour *n = &t->slots[neighbour];

	e->neighbour = neighbour;
	e->prev = XE_NIL;
	e->next = n->head[worker];
	if (e->next != XE_NIL)
		t->links[worker][e->next].prev = idx;
	n->head[worker] = idx;
	n->refs++;
}

void xe_neighbour_unlink(struct xe_neighbours *t, uint32_t worker, uint32_t idx)
{
	struct xe_nh_link *e = &t->links[worker][idx];
	struct xe_neighbour *n;

	if (e->neighbour == XE_NIL)
		return;
	n = &t->slots[e->neighbour];
	if (e->prev != XE_NIL)
		t->links[worker][e->prev].next = e->next;
	else
		n->head[worker] = e->next;
	if (e->next != XE_NIL)
		t->links[worker][e->next].prev = e->prev;
	if (!--n->refs) {
		xe_index_del(&t->index, n->hash, e->neighbour);
		xe_slots_give(&t->room, e->neighbour);
	}
	e->neighbour = XE_NIL;
}
