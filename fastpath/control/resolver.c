/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * resolver.c - answers for the workers' next-hop entries (state/nexthop.h).
 *
 * For each entry in use we keep which neighbour it goes through (neighbours.h). Route, address and
 * port changes make us ask again for all of them: a refresh, which a cursor takes through the
 * tables in turns of the event loop. Neighbours in use are kept fresh: the kernel sees none of
 * their traffic and would let them go stale.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/neighbour.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "control/neighbours.h"
#include "control/netlink_wire.h"
#include "control/service.h"

/* The kernel's own patience is 3 probes of 1 s; it says FAILED then. This is for the case that its
 * entry was deleted while it asked, of which it says nothing. */
#define RESOLVE_MAX_NS (4 * XE_NS_PER_SEC)
/* The kernel is not asked more often about one neighbour, but for xe_resolver_tick(), which comes
 * every 100 ms, and events. */
#define ASK_NS (1 * XE_NS_PER_SEC)
/* A packet waits: its neighbour may be asked for again this soon. The kernel's entry may have been
 * deleted while it was being resolved, of which nothing tells; asking on costs 10 us. */
#define ASK_WAITING_NS (10 * XE_NS_PER_MS)
/* Requests served and entries asked again in one turn of the event loop. Each is a question to the
 * kernel, or two, of some 10 us: a turn takes 5-10 ms, and then netlink, control socket and timer
 * have theirs. */
#define TURN_REQUESTS 512
/* Of these at least so many for a refresh: no flood of new flows may hold it up for ever. */
#define TURN_REFRESH 64
/* Entries not in use that a refresh passes over in one turn: a load each. */
#define TURN_LOOKS 65536

struct xe_resolver {
	struct xe_neighbours via;
	/* The refresh under way: the entry that is next, and whether another one must follow. */
	bool refreshing, refresh_again;
	uint32_t at_worker, at_idx;
};

int xe_resolver_open(struct xe_service *svc)
{
	struct xe_resolver *r = calloc(1, sizeof(*r));

	if (!r)
		return -ENOMEM;
	svc->resolver = r;
	return xe_neighbours_open(&r->via, svc->worker_cnt, svc->workers[0].lane->nexthops.capacity,
				  svc->steer.settings.k0, svc->steer.settings.k1);
}

void xe_resolver_close(struct xe_service *svc)
{
	if (!svc->resolver)
		return;
	xe_neighbours_close(&svc->resolver->via);
	free(svc->resolver);
	svc->resolver = NULL;
}

/* Is it time to ask the kernel about this neighbour? What many entries have in common is asked once
 * for all of them. */
static bool may_ask(struct xe_neighbour *n, uint64_t now_ns, uint64_t every_ns)
{
	if (n->asked_ns && now_ns - n->asked_ns < every_ns)
		return false;
	n->asked_ns = now_ns;
	return true;
}

/* State and MAC of the neighbour as the mirror has it now; asks the kernel to resolve what it does
 * not have, and to confirm what has gone stale. */
static void answer_neighbour(struct xe_service *svc, struct xe_neighbour *n,
			     struct xe_nexthop_answer *a, uint64_t ask_every_ns)
{
	uint64_t now_ns = xe_now_ns();
	uint16_t nud = 0;

	if (!xe_netlink_neigh(svc->netlink, n->ifindex, &n->addr, a->mac, &nud)) {
		a->state = XE_NH_READY;
		if (nud & NUD_STALE && may_ask(n, now_ns, ask_every_ns))
			xe_netlink_neigh_use(svc->netlink, n->ifindex, &n->addr);
	} else if (!may_ask(n, now_ns, ask_every_ns)) {
		/* the outcome of the last time; what was good until now waits for
		 * xe_resolver_tick() */
		a->state = n->state == XE_NH_NO_NEIGHBOUR ? XE_NH_NO_NEIGHBOUR : XE_NH_RESOLVING;
	} else if (xe_netlink_neigh_use(svc->netlink, n->ifindex, &n->addr)) {
		a->state = XE_NH_NO_NEIGHBOUR;
	} else {
		a->state = XE_NH_RESOLVING;
	}
	if (a->state == XE_NH_RESOLVING && n->state != XE_NH_RESOLVING)
		n->since_ns = now_ns;
	n->state = a->state;
}

/* The address that masquerade takes for what leaves by the route. False: there is none. */
static bool masq_addr(const struct xe_service *svc, const struct xe_addr *dst,
		      const struct xe_route *route, struct xe_addr *addr)
{
	__be32 addr_be;

	if (xe_addr_family(dst) == AF_INET6)
		return !xe_netlink_masq_addr6(svc->netlink, route->oif, dst, addr);
	if (xe_netlink_masq_addr(svc->netlink, route->oif, &route->gateway, &addr_be))
		return false;
	*addr = xe_addr_v4(addr_be);
	return true;
}

/* One that is on no interface of ours (lo) counts for the first uplink. */
struct xe_port *xe_resolver_local_uplink(const struct xe_service *svc, const struct xe_addr *dst)
{
	struct xe_port *uplink = NULL;

	for (struct xe_port *p = svc->port_list; p; p = p->next) {
		if (!p->ifindex || p->id == XE_PORT_NONE || p->role != XE_ROLE_UPLINK)
			continue;
		if (xe_netlink_addr_on(svc->netlink, p->ifindex, dst))
			return p;
		if (!uplink)
			uplink = p;
	}
	return uplink;
}

/* An address of the host itself: of interest where it is an external one, on an uplink. */
static void answer_local(struct xe_service *svc, const struct xe_addr *dst,
			 struct xe_nexthop_answer *a)
{
	const struct xe_port *uplink = xe_resolver_local_uplink(svc, dst);

	if (!uplink)
		return;
	a->state = XE_NH_LOCAL;
	a->port = uplink->id;
	a->mtu = 65535;
	a->masq_ext = xe_ext_get(svc, dst);
}

/* Does this interface bridge inside ports of ours? */
bool xe_resolver_is_bridge(const struct xe_service *svc, int ifindex)
{
	for (const struct xe_port *p = svc->port_list; p; p = p->next)
		if (p->ifindex && p->role == XE_ROLE_INSIDE && p->ifindex != ifindex &&
		    xe_netlink_l3_ifindex(svc->netlink, p->ifindex) == ifindex)
			return true;
	return false;
}

/* Toward an inside host behind a bridge: at which of its ports it is, the bridge knows when the
 * neighbour is known. */
static void find_member(struct xe_service *svc, const struct xe_neighbour *n,
			struct xe_nexthop_answer *a)
{
	const struct xe_port *p;

	if (a->state != XE_NH_READY || a->port != XE_PORT_NONE)
		return;
	p = xe_port_by_ifindex(svc, xe_netlink_bridge_port(svc->netlink, n->ifindex, a->mac));
	if (p && p->id != XE_PORT_NONE)
		a->port = p->id;
	else
		a->state = XE_NH_NOT_PORT;
}

/* Route, egress port and Ext address for an entry. Returns the neighbour it goes through, XE_NIL:
 * none, the answer is complete. */
static uint32_t ask_route(struct xe_service *svc, const struct xe_nexthop *nh,
			  struct xe_nexthop_answer *a)
{
	struct xe_addr dst = nh->dst, src = nh->src, masq;
	struct xe_port *in = nh->in_port < XE_MAX_PORTS ? svc->ports[nh->in_port] : NULL, *out;
	int in_ifindex = in ? xe_netlink_l3_ifindex(svc->netlink, in->ifindex) : 0;
	struct xe_route route;
	uint32_t n;

	a->state = XE_NH_NO_ROUTE;
	/* Without a port: from one of ours to another, as if the host itself sent. */
	if ((!in && nh->in_port < XE_PORT_ANYUPLINK) ||
	    xe_netlink_route(svc->netlink, &dst, in ? &src : NULL, in_ifindex, &route))
		return XE_NIL;
	if (route.type == RTN_LOCAL)
		answer_local(svc, &dst, a);
	/* Replies may have a way by rules for their source, or by another table (VRF). Without any
	 * it is not here and not inside, which is what was asked. */
	if (nh->in_port == XE_PORT_ANYUPLINK &&
	    (route.type == RTN_UNREACHABLE || route.type == RTN_THROW))
		a->state = XE_NH_NOT_PORT;
	if (route.type != RTN_UNICAST)
		return XE_NIL;
	out = xe_port_by_ifindex(svc, route.oif);
	a->state = XE_NH_NOT_PORT;
	if (route.encap || (out && out->id == XE_PORT_NONE) ||
	    (!out && (in || !xe_resolver_is_bridge(svc, route.oif))))
		return XE_NIL;
	a->port = out ? out->id : XE_PORT_NONE;
	a->mtu = route.mtu;
	/* Only asked where it is (pipeline/peer.h): strangers choose the address, and none of them
	 * is to be looked for on a link for that. */
	if (nh->in_port == XE_PORT_ANYUPLINK) {
		a->state = XE_NH_READY;
		return XE_NIL;
	}
	if (masq_addr(svc, &dst, &route, &masq))
		a->masq_ext = xe_ext_get(svc, &masq);
	n = xe_neighbour_get(&svc->resolver->via, route.oif, &route.gateway);
	a->state = XE_NH_NO_NEIGHBOUR;
	return n;
}

/* Ask for one entry, answer it, and link it to its neighbour. */
static void resolve(struct xe_service *svc, uint32_t w, uint32_t idx)
{
	struct xe_nexthops *table = &svc->workers[w].lane->nexthops;
	struct xe_nexthop_answer a = {.port = XE_PORT_NONE, .masq_ext = XE_NIL};
	uint32_t n = ask_route(svc, &table->slots[idx], &a);

	if (n != svc->resolver->via.links[w][idx].neighbour) {
		xe_neighbour_unlink(&svc->resolver->via, w, idx);
		if (n != XE_NIL)
			xe_neighbour_link(&svc->resolver->via, w, idx, n);
	}
	if (n != XE_NIL) {
		answer_neighbour(svc, &svc->resolver->via.slots[n], &a, ASK_NS);
		find_member(svc, &svc->resolver->via.slots[n], &a);
	}
	xe_nexthop_write(table, idx, &a);
}

static void retry(struct xe_service *svc, uint32_t w, uint32_t idx)
{
	struct xe_nexthops *table = &svc->workers[w].lane->nexthops;
	struct xe_nexthop_answer a = xe_nexthop_read(&table->slots[idx]);
	uint32_t n = svc->resolver->via.links[w][idx].neighbour;
	uint8_t was;

	if (svc->resolver->via.links[w][idx].active && a.state == XE_NH_ASKED) {
		resolve(svc, w, idx); /* listed, and wanted before its turn */
		return;
	}
	if (!svc->resolver->via.links[w][idx].active || n == XE_NIL || a.state == XE_NH_READY)
		return; /* released, or answered meanwhile */
	was = a.state;
	answer_neighbour(svc, &svc->resolver->via.slots[n], &a,
			 was == XE_NH_RESOLVING ? ASK_WAITING_NS : ASK_NS);
	find_member(svc, &svc->resolver->via.slots[n], &a);
	if (a.state != was)
		xe_nexthop_write(table, idx, &a);
}

static void release(struct xe_service *svc, uint32_t w, uint32_t idx)
{
	struct xe_nexthop_answer a = {.state = XE_NH_UNUSED};

	if (svc->resolver->via.links[w][idx].active)
		xe_neighbour_unlink(&svc->resolver->via, w, idx);
	svc->resolver->via.links[w][idx].active = false;
	xe_nexthop_write(&svc->workers[w].lane->nexthops, idx, &a);
}

/* ---- entries that a worker call has listed ---- */

/* Who waits for the call may have served the worker meanwhile: then one may have been released, or
 * be another's by now. */
void xe_resolver_list(struct xe_service *svc, uint32_t w, const uint32_t *idx, uint32_t cnt)
{
	const struct xe_nexthops *table = &svc->workers[w].lane->nexthops;

	for (uint32_t i = 0; i < cnt; i++) {
		struct xe_nh_link *e = &svc->resolver->via.links[w][idx[i]];

		if (!e->active && xe_nexthop_read(&table->slots[idx[i]]).state == XE_NH_ASKED)
			*e = (struct xe_nh_link){.neighbour = XE_NIL, .active = true};
	}
}

uint32_t xe_resolver_ask(struct xe_service *svc, uint32_t w, const uint32_t *idx, uint32_t cnt,
			 uint64_t until_ns)
{
	const struct xe_nexthops *table = &svc->workers[w].lane->nexthops;
	uint32_t done = 0;

	for (; done < cnt && xe_now_ns() < until_ns; done++)
		if (svc->resolver->via.links[w][idx[done]].active &&
		    xe_nexthop_read(&table->slots[idx[done]]).state == XE_NH_ASKED)
			resolve(svc, w, idx[done]);
	if (done)
		xe_worker_wake(&svc->workers[w]);
	return done;
}

/* ---- requests and refresh, a share of them each turn of the loop ---- */

/* Have xe_resolver_poll() called (again). */
static void call_again(const struct xe_service *svc)
{
	uint64_t one = 1;

	if (write(svc->request_fd, &one, sizeof(one)) < 0)
		return; /* full counter: it is readable anyway */
}

static void serve(struct xe_service *svc, uint32_t w, const struct xe_nh_request *req)
{
	struct xe_nh_link *e = &svc->resolver->via.links[w][req->idx];

	switch (req->op) {
	case XE_NH_OP_RESOLVE:
		if (!e->active)
			*e = (struct xe_nh_link){.neighbour = XE_NIL, .active = true};
		resolve(svc, w, req->idx);
		break;
	case XE_NH_OP_RETRY:
		retry(svc, w, req->idx);
		break;
	default:
		release(svc, w, req->idx);
	}
}

/* Each worker has its share, so that none waits for another's burst. Returns how many were served.
 */
static uint32_t serve_requests(struct xe_service *svc)
{
	uint32_t share = TURN_REQUESTS / svc->worker_cnt + 1, sum = 0;
	struct xe_nh_request req;

	for (uint32_t w = 0; w < svc->worker_cnt; w++) {
		uint32_t cnt = 0;

		while (cnt < share &&
		       xe_nexthops_next_request(&svc->workers[w].lane->nexthops, &req)) {
			serve(svc, w, &req);
			cnt++;
		}
		if (cnt)
			xe_worker_wake(&svc->workers[w]);
		if (cnt == share)
			call_again(svc);
		sum += cnt;
	}
	return sum;
}

/* Entries are asked again from the cursor on, budget of them at most. `high` only grows, and
 * entries above what is read of it ask for themselves. */
static void refresh_some(struct xe_service *svc, uint32_t budget)
{
	struct xe_resolver *r = svc->resolver;
	const struct xe_nexthops *table = &svc->workers[r->at_worker].lane->nexthops;
	uint32_t high = __atomic_load_n(&table->high, __ATOMIC_ACQUIRE), looked = 0;

	while (r->at_idx < high && budget && looked++ < TURN_LOOKS) {
		if (r->via.links[r->at_worker][r->at_idx].active) {
			resolve(svc, r->at_worker, r->at_idx);
			budget--;
		}
		r->at_idx++;
	}
	xe_worker_wake(&svc->workers[r->at_worker]);
	if (r->at_idx < high)
		return;
	r->at_idx = 0;
	if (++r->at_worker < svc->worker_cnt)
		return;
	r->at_worker = 0;
	r->refreshing = r->refresh_again;
	r->refresh_again = false;
}

void xe_resolver_poll(struct xe_service *svc)
{
	struct xe_resolver *r = svc->resolver;
	uint32_t served = serve_requests(svc);

	if (!r->refreshing)
		return;
	refresh_some(svc,
		     served < TURN_REQUESTS - TURN_REFRESH ? TURN_REQUESTS - served : TURN_REFRESH);
	if (r->refreshing)
		call_again(svc);
}

void xe_resolver_refresh(struct xe_service *svc)
{
	struct xe_resolver *r = svc->resolver;

	/* Under way, and not at its beginning: what it has passed must be asked once more, after
	 * the rest, however many changes come until then. */
	if (r->refreshing && (r->at_worker || r->at_idx))
		r->refresh_again = true;
	r->refreshing = true;
	call_again(svc);
}

/* Answers that name the port, or the Ext address, are taken back: packets wait for a new one. */
static void forget(struct xe_service *svc, uint32_t port, uint32_t ext)
{
	for (uint32_t w = 0; w < svc->worker_cnt; w++) {
		struct xe_nexthops *table = &svc->workers[w].lane->nexthops;
		uint32_t high = __atomic_load_n(&table->high, __ATOMIC_ACQUIRE);

		for (uint32_t idx = 0; idx < high; idx++) {
			struct xe_nexthop_answer a;

			if (!svc->resolver->via.links[w][idx].active)
				continue;
			a = xe_nexthop_read(&table->slots[idx]);
			if (a.port != port && (ext == XE_NIL || a.masq_ext != ext))
				continue;
			a.state = XE_NH_ASKED;
			a.masq_ext = XE_NIL;
			if (a.port == port)
				a.port = XE_PORT_NONE;
			xe_nexthop_write(table, idx, &a);
			/* or an event of the neighbour would make it ready */
			xe_neighbour_unlink(&svc->resolver->via, w, idx);
		}
	}
}

void xe_resolver_forget_port(struct xe_service *svc, uint16_t port)
{
	forget(svc, port, XE_NIL);
}

void xe_resolver_forget_ext(struct xe_service *svc, uint32_t ext)
{
	forget(svc, XE_NIL, ext);
}

void xe_resolver_mark_exts(const struct xe_service *svc, bool used[XE_MAX_EXT_ADDRS])
{
	for (uint32_t w = 0; w < svc->worker_cnt; w++) {
		const struct xe_nexthops *table = &svc->workers[w].lane->nexthops;
		uint32_t high = __atomic_load_n(&table->high, __ATOMIC_ACQUIRE);

		for (uint32_t idx = 0; idx < high; idx++) {
			uint32_t ext;

			if (!svc->resolver->via.links[w][idx].active)
				continue;
			ext = xe_nexthop_read(&table->slots[idx]).masq_ext;
			if (ext < XE_MAX_EXT_ADDRS)
				used[ext] = true;
		}
	}
}

/* State and MAC into every entry that goes through this neighbour. */
static void tell_entries(struct xe_service *svc, const struct xe_neighbour *n,
			 const struct xe_nexthop_answer *fresh)
{
	for (uint32_t w = 0; w < svc->worker_cnt; w++) {
		struct xe_nexthops *table = &svc->workers[w].lane->nexthops;
		uint32_t idx = n->head[w];

		for (; idx != XE_NIL; idx = svc->resolver->via.links[w][idx].next) {
			struct xe_nexthop_answer a = xe_nexthop_read(&table->slots[idx]);

			a.state = fresh->state;
			memcpy(a.mac, fresh->mac, sizeof(a.mac));
			if (table->slots[idx].in_port == XE_PORT_NONE &&
			    xe_resolver_is_bridge(svc, n->ifindex))
				a.port = XE_PORT_NONE; /* it may have moved */
			find_member(svc, n, &a);
			xe_nexthop_write(table, idx, &a);
		}
		xe_worker_wake(&svc->workers[w]);
	}
}

static void give_up(struct xe_service *svc, struct xe_neighbour *n)
{
	struct xe_nexthop_answer a = {.state = XE_NH_NO_NEIGHBOUR};

	n->state = a.state;
	tell_entries(svc, n, &a);
}

void xe_resolver_neigh_event(struct xe_service *svc, const struct xe_neigh *neigh,
			     enum xe_nl_event event)
{
	struct xe_nexthop_answer a = {};
	struct xe_neighbour *n;
	uint32_t idx;

	if (!svc->resolver)
		return;
	idx = xe_neighbour_find(&svc->resolver->via, neigh->ifindex, &neigh->addr);
	if (idx == XE_NIL)
		return;
	n = &svc->resolver->via.slots[idx];
	/* FAILED ends what was being resolved; one that was good has been flushed. */
	if (event != XE_NL_REMOVED && (neigh->nud_state & NUD_FAILED) && n->state != XE_NH_READY) {
		give_up(svc, n);
		return;
	}
	if (event == XE_NL_REMOVED || (neigh->nud_state & NUD_FAILED)) {
		/* Not at once, or `ip neigh flush` would never see the table empty: with the first
		 * packet that needs it, or the next tick. */
		a.state = n->state = XE_NH_RESOLVING;
		n->since_ns = xe_now_ns();
		n->asked_ns = 0;
	} else {
		answer_neighbour(svc, n, &a, ASK_NS);
	}
	tell_entries(svc, n, &a);
}

/* The kernel says nothing of entries that it is resolving, so one that is deleted meanwhile just
 * never answers: ask again, it costs nothing where the question is still open. */
void xe_resolver_tick(struct xe_service *svc)
{
	struct xe_resolver *r = svc->resolver;
	uint64_t now_ns = xe_now_ns();

	for (uint32_t i = 0; i < r->via.room.high; i++) {
		struct xe_neighbour *n = &r->via.slots[i];
		struct xe_nexthop_answer a = {};

		if (!n->refs || n->state != XE_NH_RESOLVING)
			continue;
		if (now_ns - n->since_ns > RESOLVE_MAX_NS) {
			give_up(svc, n);
			continue;
		}
		n->asked_ns = 0;
		answer_neighbour(svc, n, &a, ASK_NS);
		if (a.state != XE_NH_RESOLVING)
			tell_entries(svc, n, &a);
	}
}
