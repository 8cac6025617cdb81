/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * resolver.c - answers for the workers' next-hop entries (state/nexthop.h).
 *
 * For each entry in use we keep which neighbour it goes through, so that a neighbour event touches
 * only the entries it concerns. Route, address and port changes make us ask again for all of them.
 * Neighbours in use are kept fresh: the kernel sees none of their traffic and would let them go
 * stale.
 */
#include <errno.h>
#include <linux/neighbour.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/clock.h"
#include "base/log.h"
#include "control/service.h"

/* Neighbours in use at once: gateways, and hosts on connected networks. */
#define MAX_NEIGHBOURS 65536
/* The kernel's own patience is 3 probes of 1 s; it says FAILED then. This is for the case that its
 * entry was deleted while it asked, of which it says nothing. */
#define RESOLVE_MAX_NS (4 * XE_NS_PER_SEC)

struct entry {
	uint32_t neighbour;  /* XE_NIL: none */
	uint32_t next, prev; /* entries of the same worker and neighbour */
	bool active;
};

struct neighbour {
	int ifindex;
	struct xe_addr addr;
	uint32_t head[XE_MAX_WORKERS]; /* first entry of each worker */
	uint32_t refs; /* 0: unused slot */
	uint32_t hash;
	uint32_t next_free;
	uint8_t state;	   /* enum xe_nexthop_state, as last answered */
	uint64_t since_ns; /* being resolved since */
};

struct xe_resolver {
	struct entry *entries[XE_MAX_WORKERS]; /* parallel to each worker's next-hop table */
	size_t entries_size;
	struct neighbour *neighbours;
	uint32_t neighbour_high, neighbour_free;
	struct xe_index index;
};

int xe_resolver_open(struct xe_service *svc)
{
	struct xe_resolver *r = calloc(1, sizeof(*r));

	if (!r)
		return -ENOMEM;
	svc->resolver = r;
	r->neighbour_free = XE_NIL;
	r->neighbours = calloc(MAX_NEIGHBOURS, sizeof(*r->neighbours));
	if (!r->neighbours || xe_index_open(&r->index, MAX_NEIGHBOURS))
		return -ENOMEM;
	r->entries_size = svc->workers[0].lane->nexthops.capacity * sizeof(struct entry);
	for (uint32_t w = 0; w < svc->worker_cnt; w++) {
		void *m = mmap(NULL, r->entries_size, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

		if (m == MAP_FAILED)
			return -ENOMEM;
		r->entries[w] = m;
	}
	return 0;
}

void xe_resolver_close(struct xe_service *svc)
{
	struct xe_resolver *r = svc->resolver;

	if (!r)
		return;
	for (uint32_t w = 0; w < XE_MAX_WORKERS; w++)
		if (r->entries[w])
			munmap(r->entries[w], r->entries_size);
	xe_index_close(&r->index);
	free(r->neighbours);
	free(r);
	svc->resolver = NULL;
}

struct neighbour_key {
	int ifindex;
	struct xe_addr addr;
};

static bool neighbour_equal(const void *table, uint32_t entry, const void *key)
{
	const struct neighbour *n = &((const struct xe_resolver *)table)->neighbours[entry];
	const struct neighbour_key *k = key;

	return n->ifindex == k->ifindex && !memcmp(&n->addr, &k->addr, sizeof(n->addr));
}

static uint32_t neighbour_hash(const struct xe_service *svc, const struct neighbour_key *k)
{
	struct xe_tuple4 t = {
		.src_be = k->addr.w_be[0] ^ k->addr.w_be[2],
		.dst_be = k->addr.w_be[1] ^ k->addr.w_be[3],
		.port = (uint16_t)k->ifindex,
	};

	return (uint32_t)xe_flow_hash(&t, svc->steer.settings.k0, svc->steer.settings.k1);
}

static uint32_t neighbour_find(const struct xe_service *svc, const struct neighbour_key *k)
{
	const struct xe_resolver *r = svc->resolver;

	return xe_index_find(&r->index, neighbour_hash(svc, k), r, k, neighbour_equal);
}

static uint32_t neighbour_get(struct xe_service *svc, const struct neighbour_key *k)
{
	struct xe_resolver *r = svc->resolver;
	uint32_t idx = neighbour_find(svc, k);
	struct neighbour *n;

	if (idx != XE_NIL)
		return idx;
	idx = r->neighbour_free;
	if (idx != XE_NIL)
		r->neighbour_free = r->neighbours[idx].next_free;
	else if (r->neighbour_high < MAX_NEIGHBOURS)
		idx = r->neighbour_high++;
	else
		return XE_NIL;
	n = &r->neighbours[idx];
	*n = (struct neighbour){.ifindex = k->ifindex, .addr = k->addr};
	n->hash = neighbour_hash(svc, k);
	memset(n->head, 0xff, sizeof(n->head)); /* XE_NIL */
	xe_index_put(&r->index, n->hash, idx);
	return idx;
}

static void neighbour_put(struct xe_resolver *r, uint32_t idx)
{
	struct neighbour *n = &r->neighbours[idx];

	if (n->refs)
		return;
	xe_index_del(&r->index, n->hash, idx);
	n->next_free = r->neighbour_free;
	r->neighbour_free = idx;
}

static void entry_unlink(struct xe_resolver *r, uint32_t w, uint32_t idx)
{
	struct entry *e = &r->entries[w][idx];
	struct neighbour *n;

	if (e->neighbour == XE_NIL)
		return;
	n = &r->neighbours[e->neighbour];
	if (e->prev != XE_NIL)
		r->entries[w][e->prev].next = e->next;
	else
		n->head[w] = e->next;
	if (e->next != XE_NIL)
		r->entries[w][e->next].prev = e->prev;
	n->refs--;
	neighbour_put(r, e->neighbour);
	e->neighbour = XE_NIL;
}

static void entry_link(struct xe_resolver *r, uint32_t w, uint32_t idx, uint32_t neighbour)
{
	struct entry *e = &r->entries[w][idx];
	struct neighbour *n = &r->neighbours[neighbour];

	e->neighbour = neighbour;
	e->prev = XE_NIL;
	e->next = n->head[w];
	if (e->next != XE_NIL)
		r->entries[w][e->next].prev = idx;
	n->head[w] = idx;
	n->refs++;
}

struct add_ext {
	uint32_t ext;
	__be32 addr_be;
	int err;
};

static void add_ext(struct xe_worker *w, void *arg)
{
	struct add_ext *a = arg;

	a->err = xe_natpool_add_ext(&w->lane->pool, a->ext, a->addr_be);
}

uint32_t xe_ext_get(struct xe_service *svc, __be32 addr_be)
{
	struct add_ext a = {.ext = svc->ext_cnt, .addr_be = addr_be};

	for (uint32_t i = 0; i < svc->ext_cnt; i++)
		if (svc->ext_addrs[i] == addr_be)
			return i;
	if (svc->ext_cnt == XE_MAX_EXT_ADDRS) {
		xe_log_err("more than %u external addresses", XE_MAX_EXT_ADDRS);
		return XE_NIL;
	}
	for (uint32_t w = 0; w < svc->worker_cnt && !a.err; w++)
		xe_worker_call(&svc->workers[w], add_ext, &a);
	if (a.err || xe_steer_set_ext(&svc->steer, addr_be, a.ext)) {
		xe_log_err("external address cannot be used: out of memory");
		return XE_NIL;
	}
	svc->ext_addrs[svc->ext_cnt] = addr_be;
	return svc->ext_cnt++;
}

/* State and MAC of the neighbour as the mirror has it now; asks the kernel to resolve what it does not
 * have, and to confirm what has gone stale. */
static void answer_neighbour(struct xe_service *svc, struct neighbour *n,
			     struct xe_nexthop_answer *a)
{
	uint16_t nud = 0;

	if (!xe_netlink_neigh(svc->netlink, n->ifindex, &n->addr, a->mac, &nud)) {
		a->state = XE_NH_READY;
		if (nud & NUD_STALE)
			xe_netlink_neigh_use(svc->netlink, n->ifindex, &n->addr);
	} else if (xe_netlink_neigh_use(svc->netlink, n->ifindex, &n->addr)) {
		a->state = XE_NH_NO_NEIGHBOUR;
	} else {
		a->state = XE_NH_RESOLVING;
		if (n->state != XE_NH_RESOLVING)
			n->since_ns = xe_now_ns();
	}
	n->state = a->state;
}

/* Route, egress port, Ext address and neighbour for one entry; links it to its neighbour. */
static void resolve(struct xe_service *svc, uint32_t w, uint32_t idx)
{
	struct xe_nexthops *table = &svc->workers[w].lane->nexthops;
	const struct xe_nexthop *nh = &table->slots[idx];
	struct xe_addr dst = xe_addr_v4(nh->dst_be), src = xe_addr_v4(nh->src_be);
	struct xe_nexthop_answer a = {
		.state = XE_NH_NO_ROUTE, .port = XE_PORT_NONE, .masq_ext = XE_NIL};
	struct xe_port *in = svc->ports[nh->in_port], *out;
	struct xe_route route;
	__be32 masq_be;
	uint32_t n;

	entry_unlink(svc->resolver, w, idx);
	if (!in || xe_netlink_route(svc->netlink, &dst, &src,
				    xe_netlink_l3_ifindex(svc->netlink, in->ifindex), &route) ||
	    route.type != RTN_UNICAST)
		goto write;
	out = xe_port_by_ifindex(svc, route.oif);
	a.state = XE_NH_NOT_PORT;
	if (!out || out->id == XE_PORT_NONE || route.encap)
		goto write;
	a.port = out->id;
	a.mtu = route.mtu;
	if (!xe_netlink_masq_addr(svc->netlink, route.oif, &route.gateway, &masq_be))
		a.masq_ext = xe_ext_get(svc, masq_be);
	n = neighbour_get(svc,
			  &(struct neighbour_key){.ifindex = route.oif, .addr = route.gateway});
	a.state = XE_NH_NO_NEIGHBOUR;
	if (n == XE_NIL)
		goto write;
	entry_link(svc->resolver, w, idx, n);
	answer_neighbour(svc, &svc->resolver->neighbours[n], &a);
write:
	xe_nexthop_write(table, idx, &a);
}

static void retry(struct xe_service *svc, uint32_t w, uint32_t idx)
{
	struct xe_nexthops *table = &svc->workers[w].lane->nexthops;
	struct xe_nexthop_answer a = xe_nexthop_read(&table->slots[idx]);
	uint32_t n = svc->resolver->entries[w][idx].neighbour;

	if (!svc->resolver->entries[w][idx].active || n == XE_NIL || a.state == XE_NH_READY)
		return; /* released, or answered meanwhile */
	answer_neighbour(svc, &svc->resolver->neighbours[n], &a);
	xe_nexthop_write(table, idx, &a);
}

static void release(struct xe_service *svc, uint32_t w, uint32_t idx)
{
	struct xe_nexthop_answer a = {.state = XE_NH_UNUSED};

	entry_unlink(svc->resolver, w, idx);
	svc->resolver->entries[w][idx].active = false;
	xe_nexthop_write(&svc->workers[w].lane->nexthops, idx, &a);
}

void xe_resolver_poll(struct xe_service *svc)
{
	struct xe_nh_request req;

	for (uint32_t w = 0; w < svc->worker_cnt; w++) {
		bool answered = false;

		while (xe_nexthops_next_request(&svc->workers[w].lane->nexthops, &req)) {
			struct entry *e = &svc->resolver->entries[w][req.idx];

			answered = true;
			switch (req.op) {
			case XE_NH_OP_RESOLVE:
				*e = (struct entry){.neighbour = XE_NIL, .active = true};
				resolve(svc, w, req.idx);
				break;
			case XE_NH_OP_RETRY:
				retry(svc, w, req.idx);
				break;
			default:
				release(svc, w, req.idx);
			}
		}
		if (answered)
			xe_worker_wake(&svc->workers[w]);
	}
}

void xe_resolver_refresh(struct xe_service *svc)
{
	for (uint32_t w = 0; w < svc->worker_cnt; w++) {
		/* `high` only grows, and entries above what we read of it ask for themselves. */
		uint32_t high = __atomic_load_n(&svc->workers[w].lane->nexthops.high,
						__ATOMIC_ACQUIRE);

		for (uint32_t idx = 0; idx < high; idx++)
			if (svc->resolver->entries[w][idx].active)
				resolve(svc, w, idx);
		xe_worker_wake(&svc->workers[w]);
	}
}

/* State and MAC into every entry that goes through this neighbour. */
static void tell_entries(struct xe_service *svc, const struct neighbour *n,
			 const struct xe_nexthop_answer *fresh)
{
	for (uint32_t w = 0; w < svc->worker_cnt; w++) {
		struct xe_nexthops *table = &svc->workers[w].lane->nexthops;
		uint32_t idx = n->head[w];

		for (; idx != XE_NIL; idx = svc->resolver->entries[w][idx].next) {
			struct xe_nexthop_answer a = xe_nexthop_read(&table->slots[idx]);

			a.state = fresh->state;
			memcpy(a.mac, fresh->mac, sizeof(a.mac));
			xe_nexthop_write(table, idx, &a);
		}
		xe_worker_wake(&svc->workers[w]);
	}
}

static void give_up(struct xe_service *svc, struct neighbour *n)
{
	struct xe_nexthop_answer a = {.state = XE_NH_NO_NEIGHBOUR};

	n->state = a.state;
	tell_entries(svc, n, &a);
}

void xe_resolver_neigh_event(struct xe_service *svc, const struct xe_neigh *neigh,
			     enum xe_nl_event event)
{
	struct neighbour_key key = {.ifindex = neigh->ifindex, .addr = neigh->addr};
	struct xe_nexthop_answer a = {};
	struct neighbour *n;
	uint32_t idx;

	if (!svc->resolver)
		return;
	idx = neighbour_find(svc, &key);
	if (idx == XE_NIL)
		return;
	n = &svc->resolver->neighbours[idx];
	/* FAILED ends what was being resolved; one that was good has been flushed. */
	if (event != XE_NL_REMOVED && (neigh->nud_state & NUD_FAILED) &&
	    n->state != XE_NH_READY) {
		give_up(svc, n);
		return;
	}
	if (event == XE_NL_REMOVED || (neigh->nud_state & NUD_FAILED)) {
		/* Not at once, or `ip neigh flush` would never see the table empty: with the first
		 * packet that needs it, or the next tick. */
		a.state = n->state = XE_NH_RESOLVING;
		n->since_ns = xe_now_ns();
	} else {
		answer_neighbour(svc, n, &a);
	}
	tell_entries(svc, n, &a);
}

/* The kernel says nothing of entries that it is resolving, so one that is deleted meanwhile just
 * never answers: ask again, it costs nothing where the question is still open. */
void xe_resolver_tick(struct xe_service *svc)
{
	struct xe_resolver *r = svc->resolver;
	uint64_t now_ns = xe_now_ns();

	for (uint32_t i = 0; i < r->neighbour_high; i++) {
		struct neighbour *n = &r->neighbours[i];
		struct xe_nexthop_answer a = {};

		if (!n->refs || n->state != XE_NH_RESOLVING)
			continue;
		if (now_ns - n->since_ns > RESOLVE_MAX_NS) {
			give_up(svc, n);
			continue;
		}
		answer_neighbour(svc, n, &a);
		if (a.state != XE_NH_RESOLVING)
			tell_entries(svc, n, &a);
	}
}
