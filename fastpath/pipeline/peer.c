/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "pipeline/peer.h"

#include <arpa/inet.h>

#include "pipeline/pipeline.h"

/* ---- who could be near ---- */

static uint32_t bit4(__be32 addr_be)
{
	return ntohl(addr_be) >> 16;
}

static uint32_t bit6(const struct xe_addr *a)
{
	uint32_t high = ntohl(a->w_be[0]);

	return (high ^ high >> 16) & (XE_NEAR_BITS - 1);
}

static void set_bit(uint64_t *bits, uint32_t bit)
{
	bits[bit / 64] |= 1ull << (bit % 64);
}

static void learn4(struct xe_near *near, const struct xe_prefix4 *p)
{
	uint32_t first = bit4(p->net_be), last = bit4(p->net_be | ~p->mask_be);

	for (uint32_t bit = first; bit <= last; bit++)
		set_bit(near->v4, bit);
}

/* One shorter than 32 bits has hosts in many of the folded values: then all are asked. */
static void learn6(struct xe_near *near, const struct xe_prefix6 *p)
{
	if (p->mask.w_be[0] == 0xffffffff)
		set_bit(near->v6, bit6(&p->net));
	else
		memset(near->v6, 0xff, sizeof(near->v6));
}

void xe_near_learn(struct xe_lane *lane)
{
	struct xe_near *near = &lane->near;

	memset(near, 0, sizeof(*near));
	for (uint32_t i = 0; i < XE_MAX_PORTS; i++) {
		const struct xe_lane_port *port = &lane->ports[i];

		if (!port->live)
			continue;
		set_bit(near->v4, bit4(port->own4_be));
		set_bit(near->v6, bit6(&port->own6));
		for (uint32_t n = 0; n < port->allow_cnt; n++)
			learn4(near, &port->allow[n]);
		for (uint32_t n = 0; n < port->allow6_cnt; n++)
			learn6(near, &port->allow6[n]);
	}
}

static bool could_be_near(const struct xe_near *near, const struct xe_addr *a)
{
	uint32_t bit = xe_addr_is_v4(a) ? bit4(a->w_be[3]) : bit6(a);
	const uint64_t *bits = xe_addr_is_v4(a) ? near->v4 : near->v6;

	return bits[bit / 64] >> (bit % 64) & 1;
}

/* ---- who it is ---- */

/* As is_martian() of bpf/steer_decide.h, which lets none of these come here; and link-local. */
static bool is_martian(const struct xe_addr *src, const struct xe_addr *dst)
{
	uint32_t v4 = ntohl(src->w_be[3]);

	if (src->q[0] == dst->q[0] && src->q[1] == dst->q[1])
		return true;
	if (xe_addr_is_v4(src))
		return v4 >> 24 == 0 || v4 >> 24 == 127 || v4 >> 16 == 0xa9fe || v4 >= 0xe0000000u;
	return src->b[0] == 0xff || (src->b[0] == 0xfe && (src->b[1] & 0xc0) == 0x80) ||
	       (!src->q[0] && !src->w_be[2]);
}

/* An address of a rule's pool, which routes need not lead here. One that only a masquerade has had
 * is the host's: routes say whether it still is. */
static bool is_of_pool(const struct xe_lane *lane, uint32_t ext)
{
	return lane->rules && lane->rules->in_pool[ext / 64] >> (ext % 64) & 1;
}

/* Does the route lead to this host, or to a host inside? Without a port it goes to a bridge of
 * inside ports. */
static bool leads_inside(const struct xe_lane *lane, const struct xe_nexthop_answer *nh)
{
	switch (nh->state) {
	case XE_NH_LOCAL:
	case XE_NH_NO_ROUTE:
		return true;
	case XE_NH_NOT_PORT:
		return false;
	default:
		return nh->port >= XE_MAX_PORTS || lane->ports[nh->port].role == XE_ROLE_INSIDE;
	}
}

/* Of small tables an eighth: strangers choose these addresses, and containers need next hops. */
static struct xe_near_route *slot_for(struct xe_lane *lane, uint32_t route)
{
	uint32_t cnt = lane->nexthops.capacity / 8;

	if (cnt > XE_NEAR_ROUTES)
		cnt = XE_NEAR_ROUTES;
	return cnt ? &lane->near_routes.slot[route % cnt] : NULL;
}

static void let_go(struct xe_lane *lane, struct xe_near_route *r)
{
	if (r->used)
		xe_nexthop_unref(&lane->nexthops, r->route);
	r->used = false;
}

/* Keep what has just been asked, or looked at again. */
static void keep(struct xe_lane *lane, uint32_t route)
{
	struct xe_near_route *r = slot_for(lane, route);

	if (!r)
		return;
	if (!r->used || r->route != route) {
		let_go(lane, r);
		xe_nexthop_ref(&lane->nexthops, route);
		r->route = route;
		r->used = true;
	}
	r->since_s = lane->now_s;
}

void xe_near_tidy(struct xe_lane *lane)
{
	struct xe_near_routes *kept = &lane->near_routes;

	if (kept->tidied_s == lane->now_s)
		return;
	kept->tidied_s = lane->now_s;
	for (uint32_t i = 0; i < XE_NEAR_ROUTES; i++)
		if (lane->now_s - kept->slot[i].since_s >= XE_NEAR_KEPT_S)
			let_go(lane, &kept->slot[i]);
}

static bool judge(struct xe_lane *lane, struct xe_packet *p, uint32_t route)
{
	struct xe_nexthop_answer nh = xe_nexthop_read(&lane->nexthops.slots[route]);

	if (nh.state == XE_NH_ASKED || (lane->hold.cnt && xe_hold_before(lane, route))) {
		p->outside = false;
		xe_hold_route(lane, p, route);
		return false;
	}
	keep(lane, route);
	if (!leads_inside(lane, &nh))
		return true;
	xe_packet_drop(lane, p, XE_R_W_SPOOFED);
	return false;
}

bool xe_peer_is_outside(struct xe_lane *lane, struct xe_packet *p)
{
	static const struct xe_addr anybody;
	struct xe_addr src = xe_packet_src(p), dst = xe_packet_dst(p);
	uint32_t ext = xe_natpool_ext(&lane->pool, &src), route;
	bool hold_full, outside;

	/* It has waited for its target since: asked anew each time, it would wait for ever. */
	if (lane->hold.draining && p->outside)
		return true;
	if (is_martian(&src, &dst) || (ext != XE_NIL && is_of_pool(lane, ext))) {
		xe_packet_drop(lane, p, XE_R_W_SPOOFED);
		return false;
	}
	if (ext == XE_NIL && !could_be_near(&lane->near, &src))
		return true;
	/* Forged sources are many: as for targets, those that are not known are not asked for when
	 * there is no room to wait. */
	hold_full = xe_hold_is_full(lane, p->in_port);
	lane->nexthops.only_known = hold_full || xe_nexthops_are_behind(&lane->nexthops);
	route = xe_nexthop_get_addr(&lane->nexthops, &src, &anybody, XE_PORT_ANYUPLINK);
	if (route == XE_NIL) {
		xe_packet_drop(lane, p, hold_full ? XE_R_HOLD_FULL : XE_R_NEXTHOPS_FULL);
		return false;
	}
	xe_nexthop_ref(&lane->nexthops, route);
	outside = judge(lane, p, route);
	xe_nexthop_unref(&lane->nexthops, route);
	return outside;
}
