/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * flow_in.c - the first packet of a flow from outside: mapping or rule -> inside host -> its source
 * (peer.h) -> limits -> route -> session.
 *
 *   mapping  of ours, whose `filter` lets this peer in, or that another container speaks to
 *   dnat     one of its targets, by the source: address and L4 port
 *   nat      the address at the same place of the inside prefix, the same L4 port
 *   accept   untranslated
 *
 * The session is what it would be had the inside host spoken first, but for XE_SF_FROM_OUTSIDE:
 * key[XE_DIR_OUT] is the inside host's side. It belongs to the worker of the inside port, which the
 * route says; whoever receives the packet asks for that, and hands it there. Replies go where
 * routes send them.
 */
#include <arpa/inet.h>
#include <netinet/in.h>

#include "pipeline/limit.h"
#include "pipeline/pipeline.h"

/* Whom the flow is for. */
struct inside {
	struct xe_addr addr;
	uint16_t l4_port; /* host order */
	uint16_t port;    /* of the mapping, XE_PORT_NONE: as the route says */
	uint32_t ext, mapping;
	int rule;
	uint8_t verb;
};

/* Of fragments steer could not know whose they are: then the kernel has them. So it has what is for
 * a flow of the host, on an L4 port that a session has toward another peer. */
static void not_ours(struct xe_lane *lane, struct xe_packet *p)
{
	if (p->hairpin)
		xe_packet_drop(lane, p, XE_R_NO_SESSION);
	else if (p->frag_cnt)
		xe_punt(lane, p, XE_R_P_FRAG_NOT_OURS);
	else if (xe_natpool_may_be_hosts(&lane->pool, p->proto == IPPROTO_UDP,
					 ntohs(p->key.dport_be)))
		xe_punt(lane, p, XE_R_P_HOST_FLOW);
	else
		xe_packet_drop(lane, p, XE_R_NO_SESSION);
}

static bool starts_flow(const struct xe_packet *p)
{
	return p->proto != IPPROTO_TCP ||
	       (p->tcp_flags & (XE_TH_SYN | XE_TH_ACK | XE_TH_RST | XE_TH_FIN)) == XE_TH_SYN;
}

static bool by_mapping(struct xe_lane *lane, const struct xe_packet *p, struct inside *in)
{
	const struct xe_mapping *m;

	in->mapping = xe_natpool_find(&lane->pool, &p->key, p->hairpin, &in->ext);
	if (in->mapping == XE_NIL)
		return false;
	m = &lane->pool.mappings[in->mapping];
	in->addr = xe_tuple_addr(&lane->sessions, m->family, m->src_be);
	in->l4_port = ntohs(m->sport_be);
	in->port = m->in_port;
	in->rule = XE_RULE_GONE;
	in->verb = m->verb;
	return true;
}

/* The rule for it; what no rule lets in ends. */
static bool by_rule(struct xe_lane *lane, struct xe_packet *p, struct inside *in)
{
	const struct xe_ruleset *rs = lane->rules;
	struct xe_addr src = xe_packet_src(p), dst = xe_packet_dst(p);
	const struct xe_nat_range *range;
	const struct xe_rule *rule;

	in->ext = in->mapping = XE_NIL;
	in->port = XE_PORT_NONE;
	in->addr = dst;
	in->l4_port = ntohs(p->key.dport_be);
	in->rule = !rs || !rs->any_inbound
			   ? -1
			   : xe_ruleset_lookup(rs, &src, &dst, p->key.dport_be, p->proto,
					       p->in_port | XE_IN_UPLINK, XE_OUT_SOME_INSIDE);
	if (in->rule < 0) {
		not_ours(lane, p);
		return false;
	}
	rule = &rs->rules[in->rule];
	in->verb = (uint8_t)rule->verb;
	range = (const struct xe_nat_range *)rs->attach + in->rule;
	switch (rule->verb) {
	case XE_VERB_DNAT:
		src.w_be[0] ^= p->key.sport_be;
		xe_dnat_pick(range->dnat, xe_addr_hash(&src, lane->sessions.k0, lane->sessions.k1),
			     in->l4_port, &in->addr, &in->l4_port);
		return true;
	case XE_VERB_NAT:
		in->addr = xe_nat_move(&dst, &rule->from.addr, rule->from.len);
		return true;
	case XE_VERB_ACCEPT:
		return true;
	case XE_VERB_DROP:
		xe_packet_drop(lane, p, XE_R_W_DROP_RULE);
		return false;
	case XE_VERB_REJECT:
		xe_answer(lane, p, XE_ANSWER_REJECT, 0);
		xe_packet_drop(lane, p, XE_R_REJECTED);
		return false;
	default:
		not_ours(lane, p);
		return false;
	}
}

/* The tuple in which the inside host answers. IPv6: its address has a number that *held is to be
 * let go of, after the session holds it. */
static bool inside_key(struct xe_lane *lane, const struct xe_packet *p, const struct inside *in,
		       uint16_t port, struct xe_tuple4 *out, uint32_t *held)
{
	*held = XE_NIL;
	*out = xe_tuple4_reverse(&p->key, port);
	out->sport_be = htons(in->l4_port);
	if (!xe_packet_is_v6(p)) {
		out->src_be = in->addr.w_be[3];
		return true;
	}
	*held = out->src_be = xe_addr6_get(&lane->sessions.addr6, &in->addr);
	return *held != XE_NIL;
}

static enum xe_worker_reason open_session(struct xe_lane *lane, struct xe_packet *p,
					  const struct inside *in, const struct xe_tuple4 *out,
					  uint32_t toward, const struct xe_nexthop_answer *nh)
{
	struct xe_addr peer = xe_packet_src(p);
	struct xe_flow_origin origin = {
		.ext = in->ext,
		.rule = (uint32_t)in->rule,
		.verb = in->verb,
		.flags = XE_SF_FROM_OUTSIDE,
		.hairpin = p->hairpin,
	};
	uint32_t back_hop;
	struct xe_session *s;

	/* Two external L4 ports that lead to one, and a peer that speaks to both from one. */
	if (xe_session_is_there(&lane->sessions, out))
		return XE_R_TUPLE_TAKEN;
	/* One for each peer, whoever says to be one: the ring is not theirs to fill. */
	lane->nexthops.only_known = xe_nexthops_are_behind(&lane->nexthops);
	back_hop = xe_nexthop_get_addr(&lane->nexthops, &peer, &in->addr, nh->port);
	if (back_hop == XE_NIL)
		return XE_R_NEXTHOPS_FULL;
	xe_nexthop_ref(&lane->nexthops, back_hop);
	s = xe_flow_make(lane, out, &p->key, &origin);
	if (!s) {
		xe_nexthop_unref(&lane->nexthops, back_hop);
		return XE_R_SESSIONS_FULL;
	}
	s->nexthop = back_hop;
	s->out_port = p->in_port;
	memcpy(s->mac_back, nh->mac, sizeof(s->mac_back));
	if (in->ext != XE_NIL) {
		s->mapping = in->mapping;
		xe_natpool_join(&lane->pool, in->mapping);
	} else {
		s->toward = toward;
		xe_nexthop_ref(&lane->nexthops, toward);
	}
	lane->unanswered++;
	p->session = s;
	return XE_R_NONE;
}

/* The rule's terms, if it has any; what is over its limit of new flows is not answered. */
static enum xe_worker_reason open_under_terms(struct xe_lane *lane, struct xe_packet *p,
					      const struct inside *in, const struct xe_tuple4 *out,
					      uint32_t toward, const struct xe_nexthop_answer *nh)
{
	struct xe_terms_ref terms;
	enum xe_worker_reason reason;

	if (in->rule == XE_RULE_GONE) /* a mapping's */
		return open_session(lane, p, in, out, toward, nh);
	reason = xe_limit_begin(lane, p, in->rule, &terms);
	if (reason) {
		xe_packet_drop(lane, p, reason);
		return reason;
	}
	reason = open_session(lane, p, in, out, toward, nh);
	if (reason)
		xe_limit_drop(lane, &terms);
	else
		xe_limit_keep(lane, p->session, &terms);
	return reason;
}

/* Of what strangers may use up: forged addresses are not answered, another of ours is. */
static void no_room(struct xe_lane *lane, struct xe_packet *p, enum xe_worker_reason reason)
{
	if (p->hairpin)
		xe_flow_refuse(lane, p, reason);
	else
		xe_packet_drop(lane, p, reason);
}

/* That the control thread is behind is over in milliseconds, and nobody is told of it. */
static void no_nexthop(struct xe_lane *lane, struct xe_packet *p)
{
	if (xe_nexthops_are_full(&lane->nexthops))
		no_room(lane, p, XE_R_NEXTHOPS_FULL);
	else
		xe_packet_drop(lane, p, XE_R_NEXTHOPS_FULL);
}

static void with_target(struct xe_lane *lane, struct xe_packet *p, const struct inside *in,
			uint32_t toward)
{
	struct xe_nexthop_answer nh = xe_nexthop_read(&lane->nexthops.slots[toward]);
	enum xe_worker_reason reason;
	struct xe_tuple4 out;
	uint32_t held;

	if (nh.state == XE_NH_ASKED || nh.state == XE_NH_RESOLVING ||
	    (nh.state == XE_NH_READY && lane->hold.cnt && xe_hold_before(lane, toward))) {
		p->outside = true;
		xe_hold_add(lane, p, toward);
		return;
	}
	if (nh.state != XE_NH_READY || lane->ports[nh.port].role != XE_ROLE_INSIDE ||
	    !lane->ports[nh.port].live || (in->port != XE_PORT_NONE && in->port != nh.port)) {
		if (nh.state == XE_NH_NO_NEIGHBOUR)
			xe_nexthop_retry(&lane->nexthops, toward, lane->now_s);
		xe_packet_drop(lane, p, XE_R_TARGET_GONE);
		return;
	}
	if (in->port == XE_PORT_NONE && lane->ports[nh.port].worker != lane->worker) {
		if (p->handed == XE_HANDED_FINAL)
			xe_packet_drop(lane, p, XE_R_TARGET_GONE);
		else
			xe_hand_to(lane, p, lane->ports[nh.port].worker, XE_META_FINAL);
		return;
	}
	reason = XE_R_SESSIONS_FULL;
	if (inside_key(lane, p, in, nh.port, &out, &held)) {
		reason = open_under_terms(lane, p, in, &out, toward, &nh);
		if (held != XE_NIL)
			xe_addr6_unref(&lane->sessions.addr6, held);
	}
	if (reason == XE_R_NEXTHOPS_FULL)
		no_nexthop(lane, p);
	else if (reason && !p->ended)
		xe_flow_refuse(lane, p, reason);
}

static void begin(struct xe_lane *lane, struct xe_packet *p, const struct inside *in)
{
	static const struct xe_addr anybody;
	uint32_t source, toward;
	bool hold_full = xe_hold_is_full(lane, p->in_port);

	if (!p->hairpin && !xe_peer_is_outside(lane, p))
		return;
	if (lane->unanswered >= lane->sessions.part / XE_UNANSWERED_SHARE) {
		no_room(lane, p, XE_R_SESSIONS_FULL);
		return;
	}
	if (!xe_reclaim_room(lane)) {
		xe_flow_refuse(lane, p, XE_R_SESSIONS_FULL);
		return;
	}
	/* Who opens it is who it counts against: a peer must not use up a container's share. It
	 * counts there under `no-limit`, too. */
	source = xe_source_take(&lane->sources, p->key.family, xe_packet_source(p),
				XE_PORT_ANYUPLINK, lane->sessions_per_source);
	if (source == XE_NIL) {
		xe_flow_refuse(lane, p, XE_R_SOURCE_LIMIT);
		return;
	}
	/* Whoever it is that comes, the way is the same: asked once for an inside host. But a rule
	 * for a prefix has many of them; while a packet could not wait for the answer, or the
	 * control thread is behind, those that are not known are not asked for. */
	lane->nexthops.only_known = hold_full || xe_nexthops_are_behind(&lane->nexthops);
	toward = xe_nexthop_get_addr(&lane->nexthops, &in->addr, &anybody, XE_PORT_NONE);
	if (toward == XE_NIL && hold_full) {
		no_room(lane, p, XE_R_HOLD_FULL);
	} else if (toward == XE_NIL) {
		no_nexthop(lane, p);
	} else {
		xe_nexthop_ref(&lane->nexthops, toward);
		with_target(lane, p, in, toward);
		xe_nexthop_unref(&lane->nexthops, toward);
	}
	if (p->session)
		p->session->source = source;
	else
		xe_source_give(&lane->sources, source);
}

void xe_flow_in(struct xe_lane *lane, struct xe_packet *p)
{
	struct inside in;

	p->dir = XE_DIR_BACK;
	if (!starts_flow(p)) {
		not_ours(lane, p);
		return;
	}
	if (xe_packet_is_v6(p) && !xe_flow6_hold(lane, p)) {
		no_room(lane, p, XE_R_SESSIONS_FULL);
		return;
	}
	if (by_mapping(lane, p, &in) || by_rule(lane, p, &in))
		begin(lane, p, &in);
	if (xe_packet_is_v6(p))
		xe_flow6_let_go(lane, p);
}

void xe_flow_in_follow(struct xe_lane *lane, struct xe_session *s)
{
	struct xe_nexthop_answer nh = xe_nexthop_read(&lane->nexthops.slots[s->toward]);

	if (nh.state == XE_NH_READY && nh.port == s->key[XE_DIR_OUT].port)
		memcpy(s->mac_back, nh.mac, sizeof(s->mac_back));
	else if (nh.state == XE_NH_NO_NEIGHBOUR)
		xe_nexthop_retry(&lane->nexthops, s->toward, lane->now_s);
}
