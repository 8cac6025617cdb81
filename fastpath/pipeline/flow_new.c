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
#include "pipeline/flow_nat.h"
#include "pipeline/limit.h"

/* A first packet on its way through here. */
struct first {
	uint32_t source, nexthop; /* its counter, its route */
	bool hairpin;             /* toward another of ours */
};

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

static bool tag_add(struct xe_lane *lane, struct xe_session *s, enum xe_dir dir, uint64_t hash)
{
	bool second;

	if (!xe_live_add(&lane->live, hash, &second))
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
static bool tags_add(struct xe_lane *lane, struct xe_session *s, const uint64_t hash[2])
{
	if (!tag_add(lane, s, XE_DIR_OUT, hash[XE_DIR_OUT]))
		return false;
	if (s->ext != XE_EXT_NONE || tag_add(lane, s, XE_DIR_BACK, hash[XE_DIR_BACK]))
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

struct xe_session *xe_flow_make(struct xe_lane *lane, const struct xe_tuple4 *out,
				const struct xe_tuple4 *back, const struct xe_flow_origin *o)
{
	const uint64_t hash[2] = {xe_session_hash(&lane->sessions, out),
				  xe_session_hash(&lane->sessions, back)};

	return xe_flow_put(lane, out, back, hash, o);
}

struct xe_session *xe_flow_put(struct xe_lane *lane, const struct xe_tuple4 *out,
			       const struct xe_tuple4 *back, const uint64_t hash[2],
			       const struct xe_flow_origin *o)
{
	struct xe_session *s = xe_session_put(&lane->sessions, out, back, hash);

	if (!s)
		return NULL;
	s->ext = (uint16_t)o->ext;
	s->flags = o->flags;
	s->hairpin = o->hairpin;
	s->mapping = XE_NIL;
	if (!tags_add(lane, s, hash)) {
		xe_session_free(&lane->sessions, s);
		return NULL;
	}
	s->rule = (uint16_t)o->rule;
	s->verb = o->verb & 15;
	s->created_s = s->last_used_s = lane->now_s;
	s->tcp_state = out->proto == IPPROTO_TCP ? XE_TCP_SYN_SENT : XE_TCP_NONE;
	if (out->proto == IPPROTO_UDP && out->dport_be == htons(53))
		s->flags |= XE_SF_DNS;
	lane->pool.elsewhere_cnt += s->ext == XE_EXT_NONE;
	set_deltas(lane, s);
	xe_wheel_add(&lane->wheel, &lane->sessions, s, xe_flow_left(lane, s, lane->now_s));
	xe_count(&lane->cnt.sessions_made, 1);
	return s;
}

/* With a route and a rule: what the flow takes, in this order, given back in reverse. */
static enum xe_worker_reason flow_open(struct xe_lane *lane, struct xe_packet *p,
				       const struct first *f, const struct xe_nexthop_answer *nh,
				       uint32_t rule)
{
	struct xe_flow_origin origin = {
		.rule = rule,
		.verb = (uint8_t)lane->rules->rules[rule].verb,
		.hairpin = f->hairpin,
	};
	struct xe_flow_nat nat;
	enum xe_worker_reason reason = xe_flow_nat(lane, p, nh, rule, f->source, &nat);

	if (reason)
		return reason;
	/* The reply tuple of a flow that keeps its L4 port may be taken by its mirror image. */
	if (nat.ext != XE_NIL || !xe_session_is_there(&lane->sessions, &nat.back)) {
		origin.ext = nat.ext;
		p->session = xe_flow_make(lane, &p->key, &nat.back, &origin);
	}
	if (p->session) {
		p->session->mapping = nat.mapping;
		p->session->nexthop = f->nexthop;
		p->session->out_port = nh->port;
		xe_nexthop_ref(&lane->nexthops, f->nexthop);
	} else {
		reason = XE_R_SESSIONS_FULL;
		if (nat.ext != XE_NIL)
			xe_natpool_give(&lane->pool, &nat.back, nat.ext, nat.mapping, true);
	}
	xe_flow_nat_let_go(lane, &nat);
	return reason;
}

void xe_flow_end(struct xe_lane *lane, struct xe_session *s)
{
	bool unanswered = s->flags & XE_SF_FROM_OUTSIDE && !xe_session_packets(s, XE_DIR_OUT);

	xe_wheel_del(&lane->wheel, &lane->sessions, s);
	tags_del(lane, s);
	if (unanswered)
		lane->unanswered--;
	lane->pool.elsewhere_cnt -= s->ext == XE_EXT_NONE;
	if (s->ext != XE_EXT_NONE)
		xe_natpool_give(&lane->pool, &s->key[XE_DIR_BACK], s->ext, s->mapping, !unanswered);
	else if (s->flags & XE_SF_FROM_OUTSIDE)
		xe_nexthop_unref(&lane->nexthops, s->toward);
	if (s->source != XE_NIL) {
		if (s->ext != XE_EXT_NONE && !(s->flags & XE_SF_FROM_OUTSIDE))
			xe_source_pair_del(&lane->sources, s->source, s->ext);
		if (s->tcp_state == XE_TCP_CLOSED)
			xe_source_give_closed(&lane->sources, s->source);
		else
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

bool xe_flow_reroute(struct xe_lane *lane, struct xe_packet *p)
{
	int rule;

	/* A reply goes wherever the routes send it, by an uplink; so does what never leaves. */
	if (p->session->flags & XE_SF_FROM_OUTSIDE || p->session->hairpin) {
		if (lane->ports[p->nexthop.port].role != XE_ROLE_UPLINK)
			return false;
	} else {
		rule = lookup_rule(lane, p, p->nexthop.port);
		if (rule < 0 || !xe_flow_nat_fits(lane, p, (uint32_t)rule))
			return false;
	}
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
void xe_flow_refuse(struct xe_lane *lane, struct xe_packet *p, enum xe_worker_reason reason)
{
	xe_answer(lane, p, XE_ANSWER_PROHIBITED, 0);
	xe_packet_drop(lane, p, reason);
}

/* Under the rule's terms, if it has any: what is over its limit of new flows is not answered, a SYN
 * that comes again gets its turn. */
static void open_under_terms(struct xe_lane *lane, struct xe_packet *p, const struct first *f,
			     const struct xe_nexthop_answer *nh, int rule)
{
	struct xe_terms_ref terms;
	enum xe_worker_reason reason = xe_limit_begin(lane, p, rule, &terms);

	if (reason) {
		xe_packet_drop(lane, p, reason);
		return;
	}
	reason = flow_open(lane, p, f, nh, (uint32_t)rule);
	if (!reason) {
		xe_limit_keep(lane, p->session, &terms);
		return;
	}
	xe_limit_drop(lane, &terms);
	xe_flow_refuse(lane, p, reason);
}

/* By an external address to another of ours: any uplink that the address is on (or that routes to
 * it lead to) says which rules are to be asked. */
static bool route_again(struct xe_lane *lane, struct xe_packet *p, const struct first *f,
			const struct xe_nexthop_answer *nh)
{
	if (nh->state == XE_NH_ASKED) {
		xe_hold_route(lane, p, f->nexthop);
		return false;
	}
	if (nh->port < XE_MAX_PORTS && lane->ports[nh->port].role == XE_ROLE_UPLINK)
		return true;
	xe_punt(lane, p, XE_R_P_NO_ROUTE);
	return false;
}

static bool route_out(struct xe_lane *lane, struct xe_packet *p, const struct first *f,
		      const struct xe_nexthop_answer *nh)
{
	switch (nh->state) {
	case XE_NH_READY:
		if (!lane->hold.cnt || !xe_hold_before(lane, f->nexthop))
			return true;
		xe_hold_add(lane, p, f->nexthop);
		return false;
	case XE_NH_NO_ROUTE:
	case XE_NH_LOCAL:
		xe_punt(lane, p, XE_R_P_NO_ROUTE);
		return false;
	case XE_NH_NOT_PORT:
		xe_punt(lane, p, XE_R_P_NOT_PORT);
		return false;
	case XE_NH_NO_NEIGHBOUR:
		xe_nexthop_retry(&lane->nexthops, f->nexthop, lane->now_s);
		xe_punt(lane, p, XE_R_P_NO_NEIGHBOUR);
		return false;
	default:
		xe_hold_add(lane, p, f->nexthop);
		return false;
	}
}

/* f->source XE_NIL: it is over its limit, and only a rule with `no-limit` lets it. */
static void with_route(struct xe_lane *lane, struct xe_packet *p, struct first *f)
{
	struct xe_nexthop_answer nh = xe_nexthop_read(&lane->nexthops.slots[f->nexthop]);
	int rule;

	f->hairpin = xe_hairpin_wanted(lane, p);
	if (f->hairpin ? !route_again(lane, p, f, &nh) : !route_out(lane, p, f, &nh))
		return;
	if (!lane->ports[nh.port].live || nh.port == p->in_port) {
		xe_packet_drop(lane, p, XE_R_NOT_ALLOWED);
		return;
	}
	rule = find_rule(lane, p, nh.port);
	if (rule < 0)
		return;
	if (f->hairpin && lane->rules->rules[rule].verb == XE_VERB_ACCEPT)
		/* Without an address of its own outside, its peer would answer past us. */
		xe_punt(lane, p, XE_R_P_RULE);
	else if (f->source == XE_NIL && !lane->rules->rules[rule].no_limit)
		xe_flow_refuse(lane, p, XE_R_SOURCE_LIMIT);
	else
		open_under_terms(lane, p, f, &nh, rule);
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

/* Nobody is told of a ring of requests that is full: it has room again in milliseconds, for the
 * packet that is sent again. */
static void no_nexthop(struct xe_lane *lane, struct xe_packet *p)
{
	if (lane->nexthops.only_known)
		xe_flow_refuse(lane, p, XE_R_HOLD_FULL);
	else if (xe_nexthops_are_full(&lane->nexthops))
		xe_flow_refuse(lane, p, XE_R_NEXTHOPS_FULL);
	else
		xe_packet_drop(lane, p, XE_R_NEXTHOPS_FULL);
}

void xe_flow_new(struct xe_lane *lane, struct xe_packet *p)
{
	struct first f;

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
	if (!xe_reclaim_room(lane)) {
		xe_flow_refuse(lane, p, XE_R_SESSIONS_FULL);
		return;
	}
	f.source = xe_source_take(&lane->sources, p->key.family, xe_packet_source(p), p->in_port,
				  lane->sessions_per_source);
	if (f.source == XE_NIL && !(lane->rules && lane->rules->any_no_limit)) {
		xe_flow_refuse(lane, p, XE_R_SOURCE_LIMIT);
		return;
	}
	/* Who has as many packets waiting as it may have does not ask for more next hops: scanning
	 * hosts, it would keep the control thread from the others. */
	lane->nexthops.only_known = xe_hold_is_full(lane, p->in_port);
	f.nexthop = get_nexthop(lane, p);
	if (f.nexthop == XE_NIL) {
		no_nexthop(lane, p);
	} else {
		/* Keep the entry while we look; without a session or a held packet it goes again.
		 */
		xe_nexthop_ref(&lane->nexthops, f.nexthop);
		with_route(lane, p, &f);
		xe_nexthop_unref(&lane->nexthops, f.nexthop);
	}
	settle_source(lane, p, f.source);
	if (p->session && p->session->source != XE_NIL && p->session->ext != XE_EXT_NONE)
		xe_source_pair_add(&lane->sources, f.source, p->session->ext);
}

bool xe_flow_reopen(struct xe_lane *lane, struct xe_packet *p)
{
	enum xe_worker_reason reason;
	struct xe_session *s = p->session;

	if (p->dir != XE_DIR_OUT || lookup_rule(lane, p, p->nexthop.port) != s->rule)
		return false;
	if (s->source != XE_NIL &&
	    xe_source_is_full(&lane->sources, s->source, lane->sessions_per_source)) {
		xe_flow_refuse(lane, p, XE_R_SOURCE_LIMIT);
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
