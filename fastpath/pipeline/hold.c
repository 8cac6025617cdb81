/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* hold.c - packets that wait for a route or a neighbour: a few each, and not for long. They are
 * looked at when the control thread has answered something, and once a second for those it never
 * will. */
#include "pipeline/pipeline.h"

/* Read by the control thread at any time. */
static void set_cnt(struct xe_hold *hold, uint32_t cnt)
{
	__atomic_store_n(&hold->cnt, cnt, __ATOMIC_RELAXED);
}

/* What holding it costs: a datagram in fragments is as many packets for who waits beside it. */
static uint16_t weight(const struct xe_packet *p)
{
	return p->frag_cnt ? p->frag_cnt : 1;
}

bool xe_hold_is_full(const struct xe_lane *lane, uint16_t port)
{
	return lane->hold.frames + 2 * lane->ports[port].held >= XE_HOLD_SIZE;
}

/*
 * A new flow of a container for which there is no room because others wait: its sender is told, as
 * wherever something runs out. Not where packets wait for this next hop, which are mostly the
 * flow's own: it begins as soon as the answer is there, and one datagram too many of a burst must
 * not end it. The kernel is silent about a full queue to a neighbour, too.
 */
static void refuse(struct xe_lane *lane, struct xe_packet *p, const struct xe_nexthop *nh)
{
	if (!p->session && !nh->held && (p->role == XE_ROLE_INSIDE || p->hairpin))
		xe_flow_refuse(lane, p, XE_R_HOLD_FULL);
	else
		xe_packet_drop(lane, p, XE_R_HOLD_FULL);
}

static void add(struct xe_lane *lane, struct xe_packet *p, uint32_t nexthop, bool route_only)
{
	struct xe_hold *hold = &lane->hold;
	struct xe_nexthop *nh = &lane->nexthops.slots[nexthop];
	bool is_first = !nh->held;

	if (nh->held >= XE_HOLD_PER_HOP || xe_hold_is_full(lane, p->in_port)) {
		refuse(lane, p, nh);
		return;
	}
	hold->held[hold->cnt] = (struct xe_held){
		.packet = *p,
		.nexthop = nexthop,
		.since_s = lane->now_s,
		.route_only = route_only,
	};
	set_cnt(hold, hold->cnt + 1);
	hold->frames += weight(p);
	lane->ports[p->in_port].held += weight(p);
	nh->held += weight(p);
	xe_nexthop_ref(&lane->nexthops, nexthop);
	/* A neighbour that was flushed is asked for again only when it is needed: now. So is a
	 * next hop that was made with many others, before these. */
	if (is_first && (nh->listed || xe_nexthop_read(nh).state == XE_NH_RESOLVING))
		xe_nexthop_retry_now(&lane->nexthops, nexthop);
	p->ended = true; /* its frames are now the held copy's */
	p->frame_cnt = 0;
	p->frag_cnt = 0;
	p->next = NULL;
}

void xe_hold_add(struct xe_lane *lane, struct xe_packet *p, uint32_t nexthop)
{
	add(lane, p, nexthop, false);
}

void xe_hold_route(struct xe_lane *lane, struct xe_packet *p, uint32_t nexthop)
{
	add(lane, p, nexthop, true);
}

static bool still_waits(const struct xe_lane *lane, const struct xe_held *h)
{
	uint8_t state = xe_nexthop_read(&lane->nexthops.slots[h->nexthop]).state;

	return state == XE_NH_ASKED || (state == XE_NH_RESOLVING && !h->route_only);
}

/* The answer may come while they are looked at: then those behind the first ones wait, too, or they
 * would go before them. */
static bool is_behind(const struct xe_hold *hold, uint32_t kept, uint32_t nexthop)
{
	for (uint32_t i = 0; i < kept; i++)
		if (hold->held[i].nexthop == nexthop)
			return true;
	return false;
}

static void let_go(struct xe_lane *lane, const struct xe_held *h)
{
	lane->hold.frames -= weight(&h->packet);
	lane->ports[h->packet.in_port].held -= weight(&h->packet);
	lane->nexthops.slots[h->nexthop].held -= weight(&h->packet);
}

/* The kernel tells a container; what came from outside it could only send on to nowhere. */
static void give_up(struct xe_lane *lane, struct xe_packet *p)
{
	if (p->role == XE_ROLE_UPLINK)
		xe_packet_drop(lane, p, XE_R_TARGET_GONE);
	else
		xe_punt(lane, p, XE_R_P_NO_NEIGHBOUR);
}

/* Move what need not wait any longer into the burst, in the order it came; the references that it
 * held are let go after the burst, so that no entry goes and comes again in between. */
static uint32_t collect(struct xe_lane *lane, uint32_t *nexthops)
{
	struct xe_hold *hold = &lane->hold;
	struct xe_burst *burst = &lane->burst;
	uint32_t kept = 0;

	burst->cnt = 0;
	for (uint32_t i = 0; i < hold->cnt; i++) {
		struct xe_held *h = &hold->held[i];
		bool late = lane->now_s - h->since_s >= XE_HOLD_MAX_S;

		if (burst->cnt == XE_BURST_SIZE || (still_waits(lane, h) && !late) ||
		    is_behind(hold, kept, h->nexthop)) {
			if (kept != i)
				hold->held[kept] = *h;
			kept++;
			continue;
		}
		let_go(lane, h);
		nexthops[burst->cnt] = h->nexthop;
		burst->packets[burst->cnt] = h->packet;
		burst->packets[burst->cnt].session = NULL;
		if (late && still_waits(lane, h))
			give_up(lane, &burst->packets[burst->cnt]);
		burst->cnt++;
	}
	set_cnt(hold, kept);
	return burst->cnt;
}

bool xe_hold_before(const struct xe_lane *lane, uint32_t nexthop)
{
	return !lane->hold.draining && lane->nexthops.slots[nexthop].held;
}

void xe_hold_poll(struct xe_lane *lane)
{
	uint32_t nexthops[XE_BURST_SIZE];
	uint32_t epoch = atomic_load_explicit(&lane->nexthops.epoch, memory_order_acquire);

	lane->hold.epoch = epoch;
	lane->hold.draining = true;
	while (lane->hold.cnt && collect(lane, nexthops)) {
		uint32_t cnt = lane->burst.cnt;

		xe_flow(lane, &lane->burst);
		xe_nat(lane, &lane->burst);
		if (lane->hairpins)
			xe_hairpin(lane, &lane->burst);
		xe_csum(lane, &lane->burst);
		xe_fwd(lane, &lane->burst);
		xe_tx(lane, &lane->burst);
		for (uint32_t i = 0; i < cnt; i++)
			xe_nexthop_unref(&lane->nexthops, nexthops[i]);
		if (cnt < XE_BURST_SIZE)
			break;
	}
	lane->hold.draining = false;
}

void xe_hold_flush(struct xe_lane *lane, uint16_t port, enum xe_worker_reason reason)
{
	struct xe_hold *hold = &lane->hold;
	uint32_t kept = 0;

	for (uint32_t i = 0; i < hold->cnt; i++) {
		struct xe_held *h = &hold->held[i];

		if (port != XE_PORT_NONE && h->packet.in_port != port) {
			if (kept != i)
				hold->held[kept] = *h;
			kept++;
			continue;
		}
		let_go(lane, h);
		xe_packet_drop(lane, &h->packet, reason);
		xe_nexthop_unref(&lane->nexthops, h->nexthop);
	}
	set_cnt(hold, kept);
}
