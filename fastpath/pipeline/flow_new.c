/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * flow_new.c - the first packet of a flow: source -> route -> rule -> limits -> L4 port -> session.
 *
 * The only slow step of the pipeline, and still without a system call: routes are asked by the
 * control thread, the packet is held meanwhile and comes back here.
 */
#include <arpa/inet.h>
#include <netinet/in.h>

#include "base/insum.h"
#include "pipeline/limit.h"
#include "pipeline/pipeline.h"

static bool source_allowed(const struct xe_lane_port *port, const struct xe_packet *p)
{
	__be32 src_be = p->key.src_be;

	if (xe_packet_is_v6(p))
		return xe_flow6_allowed(port, p);
	for (uint32_t i = 0; i < port->allow_cnt; i++)
		if ((src_be & port->allow[i].mask_be) == port->allow[i].net_be)
			return true;
	return false;
}

/* The tuple of the replies and the Ext side of the flow. 0 or a reason. */
static enum xe_worker_reason translate(struct xe_lane *lane, const struct xe_packet *p,
				       const struct xe_nexthop_answer *nh, int rule,
				       struct xe_tuple4 *back, uint32_t *ext, uint32_t *mapping)
{
	const struct xe_nat_range *range = lane->rules->attach;
	struct xe_nat_want want = {
		.independent = p->proto == IPPROTO_UDP,
		.rss = lane->ports[nh->port].rss,
	};

	*ext = *mapping = XE_NIL;
	if (lane->rules->rules[rule].verb == XE_VERB_ACCEPT) {
		bool uplink = lane->ports[nh->port].role == XE_ROLE_UPLINK;

		*back = xe_tuple4_reverse(&p->key, uplink ? XE_PORT_ANYUPLINK : nh->port);
		return XE_R_NONE;
	}
	range += rule;
	*ext = range->ext_cnt ? xe_nat_range_ext(&lane->pool, range, &p->key) : nh->masq_ext;
	want.ext = *ext;
	want.port_min = range->port_min;
	want.port_max = range->port_max;
	if (*ext == XE_NIL || lane->pool.ext[*ext].family != p->key.family ||
	    xe_natpool_take(&lane->pool, &p->key, &want, back, mapping))
		return XE_R_L4_PORTS_EXHAUSTED;
	return XE_R_NONE;
}

/* An address of a tuple becomes another one. */
static uint16_t addr_delta(const struct xe_lane *lane, uint8_t family, uint32_t old_be,
			   uint32_t new_be)
{
	const struct xe_addr6_table *t = &lane->sessions.addr6;

	if (family == XE_FAMILY_4)
		return xe_csum_delta32(old_be, new_be);
	return xe_csum_delta(xe_addr6_at(t, old_be), xe_addr6_at(t, new_be),
			     sizeof(struct xe_addr));
}

static void set_deltas(const struct xe_lane *lane, struct xe_session *s)
{
	const struct xe_tuple4 *in = &s->key[XE_DIR_OUT], *back = &s->key[XE_DIR_BACK];
	uint16_t addr = xe_csum_delta_add(addr_delta(lane, in->family, in->src_be, back->dst_be),
					  addr_delta(lane, in->family, in->dst_be, back->src_be));
	uint16_t l4 = xe_csum_delta_add(xe_csum_delta16(in->sport_be, back->dport_be),
					xe_csum_delta16(in->dport_be, back->sport_be));

	s->ip_delta = addr;
	s->l4_delta = xe_csum_delta_add(addr, l4);
}

static bool tag_add(struct xe_lane *lane, struct xe_session *s, enum xe_dir dir)
{
	bool second;

	if (!xe_live_add(&lane->live, xe_session_hash(&lane->sessions, &s->key[dir]), &second))
		return false;
	if (second)
		s->flags |= XE_SF_TAG_SECOND(dir);
	return true;
}

static void tag_del(struct xe_lane *lane, const struct xe_session *s, enum xe_dir dir)
{
	xe_live_del(&lane->live, xe_session_hash(&lane->sessions, &s->key[dir]),
		    s->flags & XE_SF_TAG_SECOND(dir));
}

/* Tags by which steer knows the session: its packets out, and for untranslated flows the replies,
 * which no owned L4 port announces. */
static bool tags_add(struct xe_lane *lane, struct xe_session *s)
{
	if (!tag_add(lane, s, XE_DIR_OUT))
		return false;
	if (s->ext != XE_EXT_NONE || tag_add(lane, s, XE_DIR_BACK))
		return true;
	tag_del(lane, s, XE_DIR_OUT);
	return false;
}

static void tags_del(struct xe_lane *lane, const struct xe_session *s)
{
	tag_del(lane, s, XE_DIR_OUT);
	if (s->ext == XE_EXT_NONE)
		tag_del(lane, s, XE_DIR_BACK);
}

/* All resources are there: make it. NULL: table or tag set full (the caller gives them back). */
static struct xe_session *session_make(struct xe_lane *lane, const struct xe_packet *p,
				       const struct xe_tuple4 *back, uint32_t ext, int rule)
{
	struct xe_session *s = xe_session_new(&lane->sessions, &p->key, back);

	if (!s)
		return NULL;
	s->ext = (uint16_t)ext;
	if (!tags_add(lane, s)) {
		xe_session_free(&lane->sessions, s);
		return NULL;
	}
	s->rule = (uint16_t)rule;
	s->verb = lane->rules->rules[rule].verb;
	s->created_s = s->last_used_s = lane->now_s;
	s->tcp_state = p->proto == IPPROTO_TCP ? XE_TCP_SYN_SENT : XE_TCP_NONE;
	if (p->proto == IPPROTO_UDP && p->key.dport_be == htons(53))
		s->flags |= XE_SF_DNS;
	set_deltas(lane, s);
	xe_wheel_add(&lane->wheel, &lane->sessions, s, xe_flow_left(lane, s, lane->now_s));
	xe_count(&lane->cnt.sessions_made, 1);
	return s;
}

/* translate(), and once more in the place of a closed session when all L4 ports are in use. */
static enum xe_worker_reason translate_or_reclaim(struct xe_lane *lane, const struct xe_packet *p,
						  const struct xe_nexthop_answer *nh, int rule,
						  struct xe_tuple4 *back, uint32_t *ext,
						  uint32_t *mapping)
{
	enum xe_worker_reason reason = translate(lane, p, nh, rule, back, ext, mapping);

	if (reason != XE_R_L4_PORTS_EXHAUSTED || *ext == XE_NIL || !xe_reclaim_l4_port(lane, p))
		return reason;
	reason = translate(lane, p, nh, rule, back, ext, mapping);
	lane->pool.reclaimed = 0;
	return reason;
}

/* With a route and a rule: what the flow takes, in this order, given back in reverse. */
static enum xe_worker_reason flow_open(struct xe_lane *lane, struct xe_packet *p, uint32_t nexthop,
				       const struct xe_nexthop_answer *nh, int rule)
{
	enum xe_worker_reason reason;
	struct xe_tuple4 back;
	uint32_t ext, mapping;
	enum xe_dir dir;

	reason = translate_or_reclaim(lane, p, nh, rule, &back, &ext, &mapping);
	if (reason)
		return reason;
	reason = XE_R_SESSIONS_FULL;
	/* An untranslated flow's reply tuple may be taken by its mirror image. */
	if (ext == XE_NIL &&
	    xe_session_find(&lane->sessions, &back, xe_session_hash(&lane->sessions, &back), &dir))
		goto l4_port;
	p->session = session_make(lane, p, &back, ext, rule);
	if (!p->session)
		goto l4_port;
	p->session->mapping = mapping;
	p->session->nexthop = nexthop;
	p->session->out_port = nh->port;
	xe_nexthop_ref(&lane->nexthops, nexthop);
	return XE_R_NONE;
l4_port:
	if (ext != XE_NIL)
		xe_natpool_give(&lane->pool, &back, ext, mapping);
	return reason;
}

void xe_flow_end(struct xe_lane *lane, struct xe_session *s)
{
	xe_wheel_del(&lane->wheel, &lane->sessions, s);
	tags_del(lane, s);
	if (s->ext != XE_EXT_NONE)
		xe_natpool_give(&lane->pool, &s->key[XE_DIR_BACK], s->ext, s->mapping);
	if (s->source != XE_NIL) {
		if (s->tcp_state == XE_TCP_CLOSED)
			xe_source_set_closed(&lane->sources, s->source, false);
		xe_source_give(&lane->sources, s->source);
	}
	if (s->flags & XE_SF_TERMS)
		xe_limit_end(lane, s);
	xe_nexthop_unref(&lane->nexthops, s->nexthop);
	xe_session_free(&lane->sessions, s);
}

static int lookup_rule(const struct xe_lane *lane, const struct xe_packet *p, uint16_t out_port)
{
	struct xe_addr src = xe_packet_src(p), dst = xe_packet_dst(p);
	uint16_t out = out_port;

	if (lane->ports[out_port].role == XE_ROLE_INSIDE)
		out |= XE_OUT_INSIDE;
	if (!lane->rules)
		return -1;
	return xe_ruleset_lookup(lane->rules, &src, &dst, p->key.dport_be, p->proto, p->in_port,
				 out);
}

/* May a session with this Ext address be what the rule makes of it on the new port? */
static bool rule_fits(const struct xe_lane *lane, const struct xe_packet *p, int rule)
{
	const struct xe_nat_range *range = (const struct xe_nat_range *)lane->rules->attach + rule;
	uint32_t ext = p->session->ext == XE_EXT_NONE ? XE_NIL : p->session->ext;

	switch (lane->rules->rules[rule].verb) {
	case XE_VERB_ACCEPT:
		return ext == XE_NIL && p->session->key[XE_DIR_BACK].port ==
						(lane->ports[p->nexthop.port].role == XE_ROLE_UPLINK
							 ? XE_PORT_ANYUPLINK
							 : p->nexthop.port);
	case XE_VERB_MASQUERADE:
		return ext != XE_NIL && ext == p->nexthop.masq_ext;
	case XE_VERB_SNAT:
		for (uint32_t i = 0; i < range->ext_cnt; i++)
			if (range->ext[i] == ext)
				return true;
		return false;
	default:
		return false;
	}
}

bool xe_flow_reroute(struct xe_lane *lane, struct xe_packet *p)
{
	int rule = lookup_rule(lane, p, p->nexthop.port);

	if (rule < 0 || !rule_fits(lane, p, rule))
		return false;
	p->session->out_port = p->nexthop.port;
	return true;
}

/* The rule for a flow that leaves by this port; what is not translated here ends the packet. */
static int find_rule(struct xe_lane *lane, struct xe_packet *p, uint16_t out_port)
{
	int rule = lookup_rule(lane, p, out_port);

	if (rule < 0 || lane->rules->rules[rule].verb == XE_VERB_KERNEL) {
		xe_punt(lane, p, XE_R_P_RULE);
		return -1;
	}
	if (lane->rules->rules[rule].verb == XE_VERB_DROP) {
		xe_packet_drop(lane, p, XE_R_W_DROP_RULE);
		return -1;
	}
	if (lane->rules->rules[rule].verb == XE_VERB_REJECT) {
		xe_answer(lane, p, XE_ANSWER_REJECT, 0);
		xe_packet_drop(lane, p, XE_R_REJECTED);
		return -1;
	}
	return rule;
}

/* For want of resources: the sender is told, live flows keep what they have (RFC 5508 REQ-8). */
static void refuse(struct xe_lane *lane, struct xe_packet *p, enum xe_worker_reason reason)
{
	xe_answer(lane, p, XE_ANSWER_PROHIBITED, 0);
	xe_packet_drop(lane, p, reason);
}

/* Under the rule's terms, if it has any: what is over its limit of new flows is not answered, a SYN
 * that comes again gets its turn. */
static void open_under_terms(struct xe_lane *lane, struct xe_packet *p, uint32_t nexthop,
			     const struct xe_nexthop_answer *nh, int rule)
{
	struct xe_terms_ref terms;
	enum xe_worker_reason reason = xe_limit_begin(lane, p, rule, &terms);

	if (reason) {
		xe_packet_drop(lane, p, reason);
		return;
	}
	reason = flow_open(lane, p, nexthop, nh, rule);
	if (!reason) {
		xe_limit_keep(lane, p->session, &terms);
		return;
	}
	xe_limit_drop(lane, &terms);
	refuse(lane, p, reason);
}

/* source: XE_NIL, it is over its limit, and only a rule with `no-limit` lets it. */
static void with_route(struct xe_lane *lane, struct xe_packet *p, uint32_t nexthop, uint32_t source)
{
	struct xe_nexthop_answer nh = xe_nexthop_read(&lane->nexthops.slots[nexthop]);
	int rule;

	switch (nh.state) {
	case XE_NH_READY:
		if (!lane->hold.cnt || !xe_hold_before(lane, nexthop))
			break;
		xe_hold_add(lane, p, nexthop);
		return;
	case XE_NH_NO_ROUTE:
		xe_punt(lane, p, XE_R_P_NO_ROUTE);
		return;
	case XE_NH_NOT_PORT:
		xe_punt(lane, p, XE_R_P_NOT_PORT);
		return;
	case XE_NH_NO_NEIGHBOUR:
		xe_nexthop_retry(&lane->nexthops, nexthop, lane->now_s);
		xe_punt(lane, p, XE_R_P_NO_NEIGHBOUR);
		return;
	default:
		xe_hold_add(lane, p, nexthop);
		return;
	}
	if (!lane->ports[nh.port].live || nh.port == p->in_port) {
		xe_packet_drop(lane, p, XE_R_NOT_ALLOWED);
		return;
	}
	rule = find_rule(lane, p, nh.port);
	if (rule < 0)
		return;
	if (source == XE_NIL && !lane->rules->rules[rule].no_limit)
		refuse(lane, p, XE_R_SOURCE_LIMIT);
	else
		open_under_terms(lane, p, nexthop, &nh, rule);
}

/* The session, if one was made, counts for its source unless its rule says `no-limit`. */
static void settle_source(struct xe_lane *lane, struct xe_packet *p, uint32_t source)
{
	bool counts = p->session && !lane->rules->rules[p->session->rule].no_limit;

	if (p->session)
		p->session->source = counts ? source : XE_NIL;
	if (!counts && source != XE_NIL)
		xe_source_give(&lane->sources, source);
}

static uint32_t get_nexthop(struct xe_lane *lane, const struct xe_packet *p)
{
	struct xe_addr src, dst;

	if (!xe_packet_is_v6(p))
		return xe_nexthop_get(&lane->nexthops, p->key.dst_be, p->key.src_be, p->in_port);
	src = xe_packet_src(p);
	dst = xe_packet_dst(p);
	return xe_nexthop_get_addr(&lane->nexthops, &dst, &src, p->in_port);
}

void xe_flow_new(struct xe_lane *lane, struct xe_packet *p)
{
	uint32_t nexthop, source;

	if (!source_allowed(&lane->ports[p->in_port], p)) {
		xe_packet_drop(lane, p, XE_R_W_SPOOFED);
		return;
	}
	if (p->proto == IPPROTO_TCP &&
	    (p->tcp_flags & (XE_TH_SYN | XE_TH_ACK | XE_TH_RST | XE_TH_FIN)) != XE_TH_SYN) {
		/* steer leaves these to the kernel; in fragments it could not see it */
		if (p->frag_cnt)
			xe_punt(lane, p, XE_R_P_FRAG_NOT_OURS);
		else
			xe_packet_drop(lane, p, XE_R_NOT_SYN);
		return;
	}
	/* Limits before the route is asked: beyond them a scan costs the control thread nothing. */
	if (lane->sessions.cnt == lane->sessions.capacity && !xe_reclaim_session(lane)) {
		refuse(lane, p, XE_R_SESSIONS_FULL);
		return;
	}
	source = xe_source_take(&lane->sources, p->key.family, xe_packet_source(p), p->in_port,
				lane->sessions_per_source);
	if (source == XE_NIL && !(lane->rules && lane->rules->any_no_limit)) {
		refuse(lane, p, XE_R_SOURCE_LIMIT);
		return;
	}
	/* Who has as many packets waiting as it may have does not ask for more next hops: scanning
	 * hosts, it would keep the control thread from the others. */
	lane->nexthops.only_known = lane->ports[p->in_port].held >= XE_HOLD_PER_PORT;
	nexthop = get_nexthop(lane, p);
	if (nexthop == XE_NIL) {
		xe_packet_drop(lane, p,
			       lane->nexthops.only_known ? XE_R_HOLD_FULL : XE_R_NEXTHOPS_FULL);
	} else {
		/* Keep the entry while we look; without a session or a held packet it goes again.
		 */
		xe_nexthop_ref(&lane->nexthops, nexthop);
		with_route(lane, p, nexthop, source);
		xe_nexthop_unref(&lane->nexthops, nexthop);
	}
	settle_source(lane, p, source);
}

bool xe_flow_reopen(struct xe_lane *lane, struct xe_packet *p)
{
	enum xe_worker_reason reason;
	struct xe_session *s = p->session;

	if (p->dir != XE_DIR_OUT || lookup_rule(lane, p, p->nexthop.port) != s->rule)
		return false;
	if (s->source != XE_NIL &&
	    xe_source_is_full(&lane->sources, s->source, lane->sessions_per_source)) {
		refuse(lane, p, XE_R_SOURCE_LIMIT);
		return false;
	}
	if (s->flags & XE_SF_TERMS) {
		reason = xe_limit_again(lane, s);
		if (reason) {
			xe_packet_drop(lane, p, reason);
			return false;
		}
	}
	s->created_s = lane->now_s;
	memset(s->count, 0, sizeof(s->count));
	return true;
}
