/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* explain_new.c - what a new flow would take: an address and L4 port, and a place under the limits.
 */
#include <arpa/inet.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "control/explain.h"
#include "pipeline/pipeline.h"
#include "state/natpool_choose.h"

/* How many L4 ports of a range sessions own on these addresses. */
static uint32_t in_use(const struct xe_service *svc, const uint32_t *ext, uint32_t ext_cnt,
		       bool udp, const struct xe_nat_range *range)
{
	uint32_t cnt = 0;

	for (uint32_t i = 0; i < ext_cnt; i++) {
		const uint64_t *words = &svc->steer.owned[xe_owned_idx(ext[i], udp, 0)];

		for (uint32_t block = range->port_min >> 6; block <= range->port_max >> 6; block++)
			cnt += (uint32_t)__builtin_popcountll(
				__atomic_load_n(&words[block], __ATOMIC_RELAXED) &
				xe_l4_range_bits(range->port_min, range->port_max, block));
	}
	return cnt;
}

/* Index of an Ext address that is in use already, XE_NIL: it is not. */
uint32_t xe_explain_ext(const struct xe_service *svc, const struct xe_addr *addr)
{
	for (uint32_t i = 0; i < XE_MAX_EXT_ADDRS; i++)
		if (!memcmp(&svc->ext_addrs[i], addr, sizeof(*addr)))
			return i;
	return XE_NIL;
}

/* Address of masquerade, as the resolver asks for it. */
static bool masq_addr(struct xe_explain *e, const struct xe_route *route, struct xe_addr *addr)
{
	__be32 v4_be;

	if (route->type == RTN_LOCAL) { /* by an external address to another container */
		*addr = e->dst;
		return true;
	}
	if (!xe_addr_is_v4(&e->dst))
		return !xe_netlink_masq_addr6(e->svc->netlink, route->oif, &e->dst, addr);
	if (xe_netlink_masq_addr(e->svc->netlink, route->oif, &route->gateway, &v4_be))
		return false;
	*addr = xe_addr_v4(v4_be);
	return true;
}

/* `nat` keeps the L4 port and the place within the prefix. */
static void one_to_one(struct xe_explain *e, const struct xe_rule *rule)
{
	char a[INET6_ADDRSTRLEN];

	e->ext = xe_nat_move(&e->src, &rule->nat_min, rule->from.len);
	xe_addr_print(&e->ext, a, sizeof(a));
	json_object_set_new(e->result, "translation",
			    json_pack("{ss, ss, s[s], si, si, si, si}", "first", a, "last", a,
				      "pool", a, "addresses", 1, "port_min", (int)e->sport,
				      "port_max", (int)e->sport, "in_use", 0));
	xe_explain_step(e, "translation", true, "to %s, L4 port %u as it is (one to one)", a,
			e->sport);
}

/* The pool as it stands in the rule, and its pieces for the answer. */
static void put_pool(const struct xe_rule *rule, char *text, json_t *pool)
{
	char part[XE_RULE_SOURCE_TEXT];

	*text = '\0';
	for (int i = 0; i < rule->source_cnt; i++) {
		xe_rule_source_print(&rule->source[i], part, sizeof(part));
		text += sprintf(text, "%s%s", i ? "," : "", part);
		json_array_append_new(pool, json_string(part));
	}
}

/* What a flow may become: one of the addresses from `first` on, the last of them `last`. */
static void tell_translation(struct xe_explain *e, const struct xe_rule *rule,
			     const struct xe_nat_range *range, const struct xe_addr *last)
{
	bool pool = rule->verb == XE_VERB_SNAT, udp = e->proto == IPPROTO_UDP;
	uint32_t cnt = pool ? range->ext_cnt : 1, used = 0;
	uint32_t ext = pool ? XE_NIL : xe_explain_ext(e->svc, &e->ext);
	char a[INET6_ADDRSTRLEN], b[INET6_ADDRSTRLEN], text[XE_RULE_TEXT_SIZE], of[32] = "";
	json_t *parts = json_array();

	xe_addr_print(&e->ext, a, sizeof(a));
	xe_addr_print(last, b, sizeof(b));
	if (pool) {
		put_pool(rule, text, parts);
		used = in_use(e->svc, range->ext, cnt, udp, range);
	} else {
		strcpy(text, a);
		json_array_append_new(parts, json_string(a));
		used = ext == XE_NIL ? 0 : in_use(e->svc, &ext, 1, udp, range);
	}
	if (cnt > 1)
		snprintf(of, sizeof(of), " (%u addresses)", cnt);
	json_object_set_new(e->result, "translation",
			    json_pack("{ss, ss, so, sI, si, si, sI}", "first", a, "last", b, "pool",
				      parts, "addresses", (json_int_t)cnt, "port_min",
				      (int)range->port_min, "port_max", (int)range->port_max,
				      "in_use", (json_int_t)used));
	xe_explain_step(e, "translation", true,
			"to %s%s, an L4 port of %u-%u (%u in use there by %s), drawn when the "
			"first packet comes%s",
			text, of, range->port_min, range->port_max, used, udp ? "UDP" : "TCP",
			cnt > 1 && rule->pooling != XE_POOLING_ARBITRARY
				? "; the source keeps the address it has"
				: "");
}

bool xe_explain_translation(struct xe_explain *e, const struct xe_rule *rule, int number,
			    const struct xe_route *route)
{
	const struct xe_nat_range *range =
		(const struct xe_nat_range *)e->svc->ruleset->attach + number;
	struct xe_addr last;

	e->ext = e->src;
	if (!xe_verb_translates(rule->verb)) {
		xe_explain_step(e, "translation", true, "none by this rule's source side");
		return true;
	}
	if (rule->verb == XE_VERB_NAT) {
		one_to_one(e, rule);
		return true;
	}
	if (rule->verb == XE_VERB_SNAT) {
		e->ext = rule->source[0].min;
		last = xe_rule_source_max(&rule->source[rule->source_cnt - 1]);
	} else if (masq_addr(e, route, &last)) {
		e->ext = last;
	} else {
		xe_explain_step(e, "translation", false,
				"the uplink has no address to masquerade to");
		xe_explain_verdict(e, false, XE_R_TAKEN,
				   "dropped by the worker: no address to translate to");
		return false;
	}
	tell_translation(e, rule, range, &last);
	return true;
}

struct counts {
	const struct xe_explain *e;
	uint16_t port;
	uint32_t sessions, capacity, part, of_source, unanswered;
};

static void count_call(struct xe_worker *w, void *arg)
{
	struct counts *c = arg;
	struct xe_lane *lane = w->lane;
	bool v4 = xe_addr_is_v4(&c->e->src);
	uint64_t key = v4 ? c->e->src.w_be[3] : c->e->src.q[0];
	uint32_t source;

	c->sessions = lane->sessions.cnt;
	c->unanswered = lane->unanswered;
	c->capacity = xe_sessions_max(&lane->sessions);
	c->part = lane->sessions.part;
	/* One more and one less: the only question that the table answers. */
	source = xe_source_take(&lane->sources, v4 ? XE_FAMILY_4 : XE_FAMILY_6, key, c->port,
				UINT32_MAX);
	if (source == XE_NIL)
		return;
	c->of_source = xe_source_sessions(&lane->sources, source) - 1;
	xe_source_give(&lane->sources, source);
}

bool xe_explain_limits(struct xe_explain *e, const struct xe_rule *rule, struct xe_worker *w,
		       uint16_t port)
{
	uint32_t limit = e->svc->config->limits.sessions_per_source;
	struct counts c = {.e = e, .port = port};
	bool inbound = port == XE_PORT_ANYUPLINK, exempt = !inbound && rule && rule->no_limit;
	bool full, no_place;

	xe_worker_call(w, count_call, &c);
	full = c.of_source >= limit && !exempt;
	no_place = c.sessions >= c.capacity ||
		   (inbound && c.unanswered >= c.part / XE_UNANSWERED_SHARE);
	json_object_set_new(e->result, "limits",
			    json_pack("{sI, sI, sI, sI, sb}", "sessions", (json_int_t)c.sessions,
				      "sessions_max", (json_int_t)c.capacity, "of_source",
				      (json_int_t)c.of_source, "of_source_max", (json_int_t)limit,
				      "exempt", exempt));
	xe_explain_step(e, "limits", !full && !no_place,
			"%u of %u sessions of the source%s, %u of %u of the worker%s", c.of_source,
			limit, exempt ? " (exempt)" : "", c.sessions, c.capacity,
			rule && xe_rule_has_terms(rule) ? "; the rule's own are in its text" : "");
	if (full || no_place)
		xe_explain_verdict(
			e, false, XE_R_TAKEN, "dropped by the worker: %s",
			full ? "its source has all the sessions it may have"
			: c.sessions >= c.capacity
				? "the session table is full"
				: "flows from outside that nobody answered have their half");
	return !full && !no_place;
}
