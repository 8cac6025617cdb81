/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * flow.c - from the tuple to the session, and what a packet means for it: TCP state, idleness,
 * where it goes. Leaves only packets that can be sent.
 */
#include <arpa/inet.h>
#include <netinet/in.h>

#include "pipeline/icmp.h"
#include "pipeline/limit.h"
#include "pipeline/mss.h"
#include "pipeline/pipeline.h"

/*
 * A closed session waits in a queue, and does not count against its source, which may go on opening
 * others: where that takes too much, closed ones are what is reclaimed first.
 */
static void state_changed(struct xe_lane *lane, struct xe_session *s, uint8_t before)
{
	bool closed = s->tcp_state == XE_TCP_CLOSED;

	if (s->source != XE_NIL && closed != (before == XE_TCP_CLOSED))
		xe_source_set_closed(&lane->sources, s->source, closed);
	xe_flow_retime(lane, s);
}

static void track(struct xe_lane *lane, struct xe_session *s, const struct xe_packet *p)
{
	uint8_t before = s->tcp_state;
	bool refreshed;

	refreshed = xe_tcp_track(s, p->dir, p->l2 + p->l4_off, p->l4_hdr_len, p->l4_len) ||
		    p->dir == XE_DIR_OUT;
	if (refreshed)
		s->last_used_s = lane->now_s;
	if (p->tcp_flags & XE_TH_SYN)
		xe_mss_see(s, p);
	if (s->tcp_state != before || (refreshed && s->tcp_state == XE_TCP_CLOSED))
		state_changed(lane, s, before);
}

/* The inside host's first packet that passes in a flow that a peer began: it no longer counts as
 * unanswered, and a mapping is now used by the host in this flow, too. xe_flow_end() asks the same
 * counter: so once, just before the packet is counted. */
static __attribute__((noinline)) void answered(struct xe_lane *lane, const struct xe_session *s)
{
	if (xe_session_packets(s, XE_DIR_OUT))
		return;
	lane->unanswered--;
	if (s->ext != XE_EXT_NONE)
		xe_natpool_use(&lane->pool, s->mapping, &s->key[XE_DIR_BACK]);
}

/*
 * Idle time counts from the last packet out, and for TCP from any that fits: inbound alone need not
 * refresh a UDP mapping (RFC 4787 REQ-6), and must not be able to hold it open for ever.
 */
static void touch(struct xe_lane *lane, struct xe_session *s, const struct xe_packet *p)
{
	if (p->dir == XE_DIR_OUT) {
		if (__builtin_expect(s->flags & XE_SF_FROM_OUTSIDE, 0))
			answered(lane, s);
		s->last_used_s = lane->now_s;
	} else {
		s->flags |= XE_SF_REPLIED;
	}
	if (p->proto == IPPROTO_TCP)
		track(lane, s, p);
	xe_session_count(s, p->dir, p->len - XE_L3_OFF);
}

void xe_flow_retime(struct xe_lane *lane, struct xe_session *s)
{
	if (s->tcp_state == XE_TCP_CLOSED) {
		xe_wheel_close(&lane->wheel, &lane->sessions, s);
		return;
	}
	xe_wheel_del(&lane->wheel, &lane->sessions, s);
	xe_wheel_add(&lane->wheel, &lane->sessions, s, xe_flow_left(lane, s, lane->now_s));
}

uint32_t xe_flow_left(const struct xe_lane *lane, const struct xe_session *s, uint32_t now_s)
{
	const struct xe_timeouts *t = &lane->timeouts;
	uint32_t timeout_s, idle_s = now_s - s->last_used_s;

	if (s->key[0].proto == IPPROTO_TCP)
		timeout_s = s->tcp_state == XE_TCP_ESTABLISHED ? t->tcp_established_s
							       : t->tcp_transitory_s;
	else
		timeout_s = s->flags & XE_SF_DNS ? t->dns_s : t->udp_s;
	return idle_s >= timeout_s ? 0 : timeout_s - idle_s;
}

/* IP bytes of the largest packet that will be on the wire for this one. */
static uint32_t wire_len(const struct xe_packet *p)
{
	if (p->gso_size)
		return p->l4_off - XE_L3_OFF + p->l4_hdr_len + p->gso_size;
	return p->len - XE_L3_OFF;
}

/* Fragments leave as they came, unless one of them is too big. */
static bool is_too_big(const struct xe_packet *p, uint32_t mtu)
{
	return wire_len(p) > mtu && (!p->frag_max || p->frag_max > mtu);
}

/* Nobody but its sender fragments an IPv6 packet. */
static bool has_df(const struct xe_packet *p)
{
	return xe_packet_is_v6(p) || xe_get16(p->l2 + XE_L3_OFF + XE_IP_FRAG) & htons(XE_IP_DF);
}

/* Where replies go: to where the flow's last packet came from. */
static inline void keep_mac(struct xe_session *s, const struct xe_packet *p)
{
	if (memcmp(s->mac_back, p->l2 + 6, 6))
		memcpy(s->mac_back, p->l2 + 6, 6);
}

/* For another of ours: it comes in again (hairpin.c). Of its way only the other end's MTU counts,
 * which is looked at there. */
static __attribute__((noinline)) bool egress_again(struct xe_lane *lane, struct xe_packet *p)
{
	if (p->nexthop.state == XE_NH_ASKED) {
		xe_hold_route(lane, p, p->session->nexthop);
		return false;
	}
	if (*xe_packet_ttl(p) <= 1) {
		xe_answer(lane, p, XE_ANSWER_TTL, 0);
		xe_packet_drop(lane, p, XE_R_W_TTL);
		return false;
	}
	p->out_port = XE_PORT_AGAIN;
	p->frag_mtu = p->frag_max;
	lane->hairpins++;
	keep_mac(p->session, p);
	return true;
}

/*
 * From inside, too big for its way and not to be fragmented: its sender is told, for IPv4 by the
 * kernel. For IPv6 that looks at a route's MTU only after its forward hook (ip6_forward(); unless
 * the MTU is locked), where the safety net drops TCP that it does not know: so by us, as soon as
 * the host has an address to say it from.
 */
static void too_big(struct xe_lane *lane, struct xe_packet *p, uint32_t mtu)
{
	const struct xe_addr *own6 = &lane->ports[p->in_port].own6;

	if (!xe_packet_is_v6(p) || !(own6->q[0] | own6->q[1])) {
		xe_punt(lane, p, XE_R_P_TOO_BIG);
		return;
	}
	xe_answer(lane, p, XE_ANSWER_TOO_BIG, mtu);
	xe_packet_drop(lane, p, XE_R_TOO_BIG);
}

/* Outward: by the next hop. False: the packet has ended. */
static bool egress_out(struct xe_lane *lane, struct xe_packet *p)
{
	struct xe_session *s = p->session;

	if (__builtin_expect(s->hairpin, 0))
		return egress_again(lane, p);
	switch (p->nexthop.state) {
	case XE_NH_READY:
		if (!lane->hold.cnt || !xe_hold_before(lane, s->nexthop))
			break;
		xe_hold_add(lane, p, s->nexthop);
		return false;
	case XE_NH_NO_NEIGHBOUR:
		xe_nexthop_retry(&lane->nexthops, s->nexthop, lane->now_s);
		xe_punt(lane, p, XE_R_P_NO_NEIGHBOUR);
		return false;
	case XE_NH_NO_ROUTE:
	case XE_NH_LOCAL:
		xe_punt(lane, p, XE_R_P_NO_ROUTE);
		return false;
	case XE_NH_NOT_PORT:
		xe_punt(lane, p, XE_R_P_NOT_PORT);
		return false;
	default:
		xe_hold_add(lane, p, s->nexthop);
		return false;
	}
	p->out_port = p->nexthop.port;
	if (*xe_packet_ttl(p) <= 1) {
		xe_punt(lane, p, XE_R_P_TTL);
		return false;
	}
	p->frag_mtu = p->frag_max; /* it may have been held since it was last decided */
	if (p->gso_unknown)
		xe_mss_guess(p, xe_mss_of(s, XE_DIR_OUT), p->nexthop.mtu);
	if (is_too_big(p, p->nexthop.mtu)) {
		if (has_df(p)) {
			too_big(lane, p, p->nexthop.mtu);
			return false;
		}
		p->frag_mtu = (uint16_t)p->nexthop.mtu;
	}
	keep_mac(s, p);
	return true;
}

/* Between two containers packets come in here by hairpin.c only: one from outside with their tuple
 * has forged it. */
static bool is_forged(const struct xe_packet *p)
{
	return p->session->hairpin && p->dir == XE_DIR_BACK && !p->hairpin;
}

/* Toward an inside host, of a flow that began outside or comes from another container. False: the
 * packet has ended. */
static __attribute__((noinline)) bool come_in(struct xe_lane *lane, struct xe_packet *p)
{
	struct xe_session *s = p->session;

	if (is_forged(p)) {
		xe_packet_drop(lane, p, XE_R_W_SPOOFED);
		return false;
	}
	if (s->flags & XE_SF_FROM_OUTSIDE && s->ext == XE_EXT_NONE) {
		xe_flow_in_follow(lane, s);
		if (p->proto != IPPROTO_TCP) /* its opener's */
			s->last_used_s = lane->now_s;
	}
	return true;
}

static bool egress_back(struct xe_lane *lane, struct xe_packet *p)
{
	struct xe_session *s = p->session;
	uint32_t mtu;

	if (__builtin_expect(s->hairpin || s->flags & XE_SF_FROM_OUTSIDE, 0) && !come_in(lane, p))
		return false;
	p->frag_mtu = p->frag_max; /* as egress_out() */
	p->out_port = s->key[XE_DIR_OUT].port;
	if (!lane->ports[p->out_port].live) {
		xe_packet_drop(lane, p, XE_R_PORT_GONE);
		return false;
	}
	if (*xe_packet_ttl(p) <= 1) {
		xe_answer(lane, p, XE_ANSWER_TTL, 0);
		xe_packet_drop(lane, p, XE_R_W_TTL);
		return false;
	}
	mtu = lane->ports[p->out_port].mtu;
	if (p->gso_unknown)
		xe_mss_guess(p, xe_mss_of(s, XE_DIR_BACK), mtu);
	if (!is_too_big(p, mtu))
		return true;
	if (!has_df(p)) {
		p->frag_mtu = (uint16_t)mtu;
		return true;
	}
	if (p->role == XE_ROLE_INSIDE) { /* untranslated, from a container: the kernel knows it */
		too_big(lane, p, mtu);
		return false;
	}
	xe_answer(lane, p, XE_ANSWER_TOO_BIG, mtu);
	xe_packet_drop(lane, p, XE_R_TOO_BIG);
	return false;
}

/* Has the route of a session moved to another port, where its rule does not send it (the in-to-out
 * matrix), or with another address? */
static bool has_moved(struct xe_lane *lane, struct xe_packet *p)
{
	return p->nexthop.state == XE_NH_READY && p->nexthop.port != p->session->out_port &&
	       !xe_flow_reroute(lane, p);
}

/* The session of a moved flow ends; other packets of it in this burst were to be sent by the way
 * that is no more. Those behind p have a session, too, if they are ICMP errors, or p is on its
 * second way through here (hairpin.c). */
static void end_moved(struct xe_lane *lane, struct xe_packet *p)
{
	xe_burst_for_each (q, &lane->burst)
		if (q != p && !q->ended && q->session == p->session)
			xe_packet_drop(lane, q, XE_R_PORT_GONE);
	xe_flow_end(lane, p->session);
	p->session = NULL;
}

/* The opener of a closed flow starts over: in its session where the rules want the same of it, else
 * as any new flow. False: the packet has ended. */
static __attribute__((noinline)) bool reopen(struct xe_lane *lane, struct xe_packet *p)
{
	if (is_forged(p) || !xe_tcp_reopens(p->session, p->dir, p->tcp_flags) ||
	    (p->dir == XE_DIR_OUT && p->nexthop.state != XE_NH_READY))
		return true;
	if (!xe_flow_reopen(lane, p) && !p->ended)
		end_moved(lane, p);
	return !p->ended;
}

static __attribute__((noinline)) void flow_first(struct xe_lane *lane, struct xe_packet *p)
{
	if (p->role == XE_ROLE_UPLINK)
		xe_flow_in(lane, p);
	else if (xe_packet_is_v6(p))
		xe_flow6_new(lane, p);
	else
		xe_flow_new(lane, p);
}

static void flow_one(struct xe_lane *lane, struct xe_packet *p)
{
	enum xe_dir dir = p->guess & 1;

	if (xe_packet_is_v6(p))
		xe_flow6_key(lane, p);
	p->session = xe_session_at(&lane->sessions, p->guess, &p->key);
	if (!p->session) {
		dir = XE_DIR_OUT; /* of a new flow */
		p->session = xe_session_find(&lane->sessions, &p->key, p->hash, &dir);
	}
	p->dir = dir;
	if (p->session && dir == XE_DIR_OUT) {
		p->nexthop = xe_nexthop_read(&lane->nexthops.slots[p->session->nexthop]);
		if (has_moved(lane, p))
			end_moved(lane, p);
	}
	if (p->session && p->session->tcp_state == XE_TCP_CLOSED && !reopen(lane, p))
		return;
	if (!p->session) {
		if (lane->handoff && xe_handover(lane, p))
			return;
		flow_first(lane, p);
		if (p->ended)
			return;
		p->nexthop = xe_nexthop_read(&lane->nexthops.slots[p->session->nexthop]);
	}
	if (p->dir == XE_DIR_OUT ? !egress_out(lane, p) : !egress_back(lane, p))
		return;
	if (__builtin_expect(p->session->flags & XE_SF_TERMS, 0) && !xe_limit_packet(lane, p))
		return;
	touch(lane, p->session, p);
}

/* The next hop of a packet out, whose session line is on its way since parse; the wait for one is
 * the time in which the others come. */
static void prefetch_nexthops(const struct xe_lane *lane, struct xe_burst *burst)
{
	xe_burst_for_each (p, burst) {
		uint32_t nexthop;

		if (p->ended || p->guess == XE_NIL || (p->guess & 1) != XE_DIR_OUT)
			continue;
		nexthop = lane->sessions.slots[p->guess >> 1].nexthop;
		__builtin_prefetch(&lane->nexthops.slots[nexthop]);
	}
}

/* Apart, so that packets do not pay for them; what they overtake in the burst does not matter. */
static void flow_errors(struct xe_lane *lane, struct xe_burst *burst)
{
	xe_burst_for_each (p, burst)
		if (!p->ended && p->proto == IPPROTO_ICMP)
			xe_icmp(lane, p);
}

/* One copy of the loop and all that it calls, for both. */
static __attribute__((noinline)) void flow_range(struct xe_lane *lane, struct xe_packet *p,
						 struct xe_packet *end)
{
	for (; p < end; p++)
		if (!p->ended)
			flow_one(lane, p);
}

void xe_flow(struct xe_lane *lane, struct xe_burst *burst)
{
	prefetch_nexthops(lane, burst);
	if (burst->error_cnt)
		flow_errors(lane, burst);
	flow_range(lane, burst->packets, burst->packets + burst->cnt);
}

void xe_flow_packet(struct xe_lane *lane, struct xe_packet *p)
{
	flow_range(lane, p, p + 1);
}
