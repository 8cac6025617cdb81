/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * flow_nat.c - what a new flow from inside becomes outside: which Ext address, which L4 port.
 *
 * Pooling is paired where the rule does not say otherwise (RFC 4787 REQ-2): an inside address that
 * has flows goes on with the Ext address they have, as long as the rule's pool has it, however else
 * the pool has changed; one without takes the address that its hash names, or when that has no L4
 * port left the next ones.
 */
#include <arpa/inet.h>
#include <netinet/in.h>

#include "pipeline/flow_nat.h"

/* Addresses tried for one flow: an exhausted one costs up to 3 us to find out (bench_natpool). */
#define EXT_TRIES 16

/* The tuple of the replies of a one-to-one rule's flow. */
static bool nat_back(struct xe_lane *lane, const struct xe_packet *p, const struct xe_rule *rule,
		     struct xe_tuple4 *back)
{
	struct xe_addr src = xe_packet_src(p), ext;

	ext = xe_nat_move(&src, &rule->nat_min, rule->from.len);
	*back = xe_tuple4_reverse(&p->key, XE_PORT_ANYUPLINK);
	if (!xe_packet_is_v6(p)) {
		back->dst_be = ext.w_be[3];
		return true;
	}
	back->dst_be = xe_addr6_get(&lane->sessions.addr6, &ext);
	return back->dst_be != XE_NIL;
}

void xe_flow_nat_let_go(struct xe_lane *lane, const struct xe_flow_nat *nat)
{
	if (nat->holds_back)
		xe_addr6_unref(&lane->sessions.addr6, nat->back.dst_be);
}

static bool take(struct xe_lane *lane, const struct xe_packet *p, const struct xe_nat_want *want,
		 struct xe_flow_nat *nat)
{
	if (want->ext == XE_NIL || lane->pool.ext[want->ext].family != p->key.family)
		return false;
	nat->none_there = false;
	if (xe_natpool_take(&lane->pool, &p->key, want, &nat->back, &nat->mapping))
		return false;
	nat->ext = want->ext;
	return true;
}

static bool has_ext(const struct xe_nat_range *range, uint32_t ext)
{
	for (uint32_t i = 0; i < range->ext_cnt; i++)
		if (range->ext[i] == ext)
			return true;
	return false;
}

/* Where in the pool to begin: by the inside address, or where any will do by its L4 port, too (an
 * endpoint keeps its mapping). */
static uint32_t first_ext(const struct xe_lane *lane, const struct xe_packet *p,
			  const struct xe_nat_range *range, bool arbitrary)
{
	struct xe_addr src = xe_packet_src(p);
	uint64_t hash;

	if (arbitrary)
		src.w_be[0] ^= htonl(0x10000u + ntohs(p->key.sport_be));
	hash = xe_addr_hash(&src, lane->sessions.k0, lane->sessions.k1);
	return (uint32_t)hash % range->ext_cnt;
}

static bool take_of_pool(struct xe_lane *lane, const struct xe_packet *p,
			 const struct xe_nat_range *range, uint32_t source, bool arbitrary,
			 struct xe_nat_want *want, struct xe_flow_nat *nat)
{
	uint32_t at = first_ext(lane, p, range, arbitrary);

	for (int i = 0; !arbitrary && source != XE_NIL && i < XE_SOURCE_PAIRS; i++) {
		want->ext = xe_source_pair(&lane->sources, source, i);
		/* nearly always still the one that its hash names */
		if (want->ext != XE_NIL &&
		    (want->ext == range->ext[at] || has_ext(range, want->ext)))
			return take(lane, p, want, nat);
	}
	for (uint32_t i = 0; i < range->ext_cnt && i < EXT_TRIES; i++) {
		want->ext = range->ext[(at + i) % range->ext_cnt];
		if (take(lane, p, want, nat))
			return true;
	}
	return false;
}

static bool choose(struct xe_lane *lane, const struct xe_packet *p,
		   const struct xe_nexthop_answer *nh, uint32_t rule_idx, uint32_t source,
		   struct xe_flow_nat *nat)
{
	const struct xe_rule *rule = &lane->rules->rules[rule_idx];
	const struct xe_nat_range *range =
		(const struct xe_nat_range *)lane->rules->attach + rule_idx;
	struct xe_nat_want want = {
		.ext = nh->masq_ext,
		.port_min = range->port_min,
		.port_max = range->port_max,
		.independent = rule->mapping == XE_MAPPING_DEFAULT
				       ? p->proto == IPPROTO_UDP
				       : rule->mapping == XE_MAPPING_INDEPENDENT,
		.filter = rule->filter,
		.verb = (uint8_t)rule->verb,
		.rss = lane->ports[nh->port].rss,
	};

	if (!range->ext_cnt)
		return take(lane, p, &want, nat);
	return take_of_pool(lane, p, range, source, rule->pooling == XE_POOLING_ARBITRARY, &want,
			    nat);
}

enum xe_worker_reason xe_flow_nat(struct xe_lane *lane, const struct xe_packet *p,
				  const struct xe_nexthop_answer *nh, uint32_t rule_idx,
				  uint32_t source, struct xe_flow_nat *nat)
{
	const struct xe_rule *rule = &lane->rules->rules[rule_idx];
	bool uplink = lane->ports[nh->port].role == XE_ROLE_UPLINK, found;

	nat->ext = nat->mapping = XE_NIL;
	nat->holds_back = false;
	nat->none_there = true;
	switch (rule->verb) {
	case XE_VERB_ACCEPT:
		nat->back = xe_tuple4_reverse(&p->key, uplink ? XE_PORT_ANYUPLINK : nh->port);
		return XE_R_NONE;
	case XE_VERB_NAT:
		if (!nat_back(lane, p, rule, &nat->back))
			return XE_R_SESSIONS_FULL;
		nat->holds_back = xe_packet_is_v6(p);
		return XE_R_NONE;
	default:
		if (choose(lane, p, nh, rule_idx, source, nat))
			return XE_R_NONE;
		/* And once more in the place of a closed session. */
		if (nat->none_there || !xe_reclaim_l4_port(lane, p))
			return XE_R_L4_PORTS_EXHAUSTED;
		found = choose(lane, p, nh, rule_idx, source, nat);
		lane->pool.reclaimed = 0;
		return found ? XE_R_NONE : XE_R_L4_PORTS_EXHAUSTED;
	}
}

/* Has the session this Ext address? Adopted by tags (adopt.h) it has no index to tell by. */
static bool session_has_ext(const struct xe_lane *lane, const struct xe_session *s, uint32_t ext)
{
	const struct xe_tuple4 *back = &s->key[XE_DIR_BACK];
	struct xe_addr addr;

	if (s->ext != XE_EXT_NONE || ext == XE_NIL)
		return s->ext == ext;
	addr = xe_tuple_addr(&lane->sessions, back->family, back->dst_be);
	return !memcmp(&addr, &lane->pool.ext[ext].addr, sizeof(addr));
}

static bool session_fits_pool(const struct xe_lane *lane, const struct xe_session *s,
			      const struct xe_nat_range *range)
{
	for (uint32_t i = 0; i < range->ext_cnt; i++)
		if (session_has_ext(lane, s, range->ext[i]))
			return true;
	return false;
}

/* Is the translation of a session what the rule makes of it when it leaves by this next hop? */
bool xe_flow_nat_fits(const struct xe_lane *lane, const struct xe_packet *p, uint32_t rule_idx)
{
	const struct xe_rule *rule = &lane->rules->rules[rule_idx];
	const struct xe_nat_range *range =
		(const struct xe_nat_range *)lane->rules->attach + rule_idx;
	const struct xe_session *s = p->session;
	struct xe_addr src = xe_packet_src(p), ext;

	switch (rule->verb) {
	case XE_VERB_ACCEPT:
		return !xe_session_is_translated(s) &&
		       s->key[XE_DIR_BACK].port ==
			       (lane->ports[p->nexthop.port].role == XE_ROLE_UPLINK
					? XE_PORT_ANYUPLINK
					: p->nexthop.port);
	case XE_VERB_MASQUERADE:
		return p->nexthop.masq_ext != XE_NIL &&
		       session_has_ext(lane, s, p->nexthop.masq_ext);
	case XE_VERB_SNAT:
		return session_fits_pool(lane, s, range);
	case XE_VERB_NAT:
		ext = xe_tuple_addr(&lane->sessions, s->key[XE_DIR_BACK].family,
				    s->key[XE_DIR_BACK].dst_be);
		src = xe_nat_move(&src, &rule->nat_min, rule->from.len);
		return s->ext == XE_EXT_NONE && !memcmp(&src, &ext, sizeof(ext));
	default:
		return false;
	}
}
