/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * explain_out.c - a packet from an inside port: source, route, rule, translation, limits, in the
 * order in which the steering program (bpf/steer_decide.h) and a worker (pipeline/flow_new.c) ask.
 */
#include <arpa/inet.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "control/explain.h"
#include "pipeline/pipeline.h"

static bool is_v4(const struct xe_addr *a)
{
	return xe_addr_family(a) == AF_INET;
}

/* bpf/steer_parse.h: never translated. */
static bool is_special(const struct xe_addr *a)
{
	uint32_t v4 = ntohl(a->w_be[3]);

	if (is_v4(a))
		return v4 >> 24 == 0 || v4 >> 24 == 127 || v4 >> 16 == 0xa9fe || v4 >= 0xe0000000u;
	return a->b[0] == 0xff || (a->b[0] == 0xfe && (a->b[1] & 0xc0) == 0x80) ||
	       (!a->q[0] && !a->w_be[2]);
}

static bool explain_dest(struct xe_explain *e)
{
	if (!is_special(&e->dst))
		return true;
	xe_explain_step(e, "destination", false,
			"broadcast, multicast, link-local, loopback or unspecified");
	xe_explain_verdict(e, false, XE_R_DST_SPECIAL,
			   "left to the kernel: such destinations are never ours");
	return false;
}

static bool explain_source(struct xe_explain *e)
{
	const struct xe_port *in = e->in;
	char text[INET6_ADDRSTRLEN + 4];
	bool any = false;

	if (!memcmp(&e->src, &e->dst, sizeof(e->src)) || is_special(&e->src)) {
		xe_explain_step(e, "source", false, "equals the destination, or is no unicast");
		xe_explain_verdict(e, false, XE_R_MARTIAN, "dropped: a martian source");
		return false;
	}
	for (uint32_t i = 0; i < in->allow_cnt; i++) {
		any |= (in->allow[i].family == AF_INET) == is_v4(&e->src);
		if (!xe_prefix_covers(&in->allow[i], &e->src))
			continue;
		xe_prefix_print(&in->allow[i], text, sizeof(text));
		xe_explain_step(e, "source", true, "allowed on %s by %s", in->name, text);
		return true;
	}
	if (!any) {
		xe_explain_step(e, "source", false, "%s allows no IPv%d prefix at all", in->name,
				is_v4(&e->src) ? 4 : 6);
		xe_explain_verdict(e, false, is_v4(&e->src) ? XE_R_NO_RULE : XE_R_IPV6,
				   "left to the kernel: this IP version is not ours on %s",
				   in->name);
		return false;
	}
	xe_explain_step(e, "source", false, "no prefix that %s allows has it", in->name);
	xe_explain_verdict(e, false, XE_R_SPOOFED, "dropped: its source is not allowed on %s",
			   in->name);
	return false;
}

static const char *neighbour_word(struct xe_explain *e, const struct xe_route *route)
{
	uint8_t mac[6];
	uint16_t nud = 0;

	if (!xe_netlink_neigh(e->svc->netlink, route->oif, &route->gateway, mac, &nud))
		return nud & NUD_STALE ? "stale, will be confirmed" : "known";
	if (nud & NUD_FAILED)
		return "does not answer: packets go to the kernel, which says so";
	return "not known yet: the first packets wait for it";
}

/* Not forwarded, or not by a port of ours. */
static void route_verdict(struct xe_explain *e, const struct xe_route *route, int ret)
{
	const char *what = ret ? "the kernel cannot be asked" : "the kernel does not forward it";

	if (!ret && (route->type == RTN_LOCAL || route->type == RTN_BROADCAST ||
		     route->type == RTN_MULTICAST)) {
		xe_explain_step(e, "route", false, "an address of this host, or a broadcast");
		xe_explain_verdict(e, false, XE_R_DST_LOCAL,
				   "left to the kernel: it is for the "
				   "host itself");
		return;
	}
	xe_explain_step(e, "route", false, "%s (%s)", what,
			ret                            ? strerror(-ret)
			: route->type == RTN_BLACKHOLE ? "blackhole or martian"
			: route->type == RTN_PROHIBIT  ? "prohibited"
						       : "unreachable");
	xe_explain_verdict(e, false, XE_R_NO_ROUTE, "left to the kernel: no usable route");
}

/* The port it leaves by, NULL: it does not leave by one. */
static struct xe_port *explain_route(struct xe_explain *e, struct xe_route *route)
{
	struct xe_service *svc = e->svc;
	struct xe_route_req req = {
		.dst = e->dst,
		.src = e->src,
		.iif = xe_netlink_l3_ifindex(svc->netlink, e->in->ifindex),
		.proto = e->proto,
		.sport = e->sport,
		.dport = e->dport,
	};
	char via[INET6_ADDRSTRLEN] = "";
	const struct xe_link *link;
	struct xe_port *out;
	int ret = xe_netlink_route_for(svc->netlink, &req, route);

	if (ret || route->type != RTN_UNICAST) {
		route_verdict(e, route, ret);
		return NULL;
	}
	link = xe_netlink_link(svc->netlink, route->oif);
	out = xe_port_by_ifindex(svc, route->oif);
	xe_addr_print(&route->gateway, via, sizeof(via));
	json_object_set_new(e->result, "route",
			    json_pack("{ss, ss, si, ss, sb}", "interface", link ? link->name : "?",
				      "next_hop", via, "mtu", (int)route->mtu, "neighbour",
				      neighbour_word(e, route), "port",
				      out && out->state == XE_PORT_ATTACHED));
	if (!out || out->state != XE_PORT_ATTACHED || route->encap || out == e->in) {
		xe_explain_step(e, "route", false, "%s via %s, %s", link ? link->name : "?", via,
				out == e->in   ? "where it came from"
				: route->encap ? "a route that encapsulates"
					       : "which is no port (or not attached)");
		xe_explain_verdict(e, false, XE_R_EGRESS_NOT_PORT,
				   "left to the kernel: it does not leave by another port of ours");
		return NULL;
	}
	xe_explain_step(e, "route", true, "%s via %s, MTU %u, neighbour %s", out->name, via,
			route->mtu, neighbour_word(e, route));
	return out;
}

/* How many L4 ports of a range sessions own on this address. */
static uint32_t in_use(const struct xe_service *svc, uint32_t ext, bool udp, uint16_t min,
		       uint16_t max)
{
	uint32_t cnt = 0;

	for (uint32_t port = min; port <= max; port++) {
		const uint64_t *word = &svc->steer.owned[xe_owned_idx(ext, udp, (uint16_t)port)];

		cnt += __atomic_load_n(word, __ATOMIC_RELAXED) >> (port & 63) & 1;
	}
	return cnt;
}

/* Index of an Ext address that is in use already, XE_NIL: it is not. */
static uint32_t ext_known(const struct xe_service *svc, const struct xe_addr *addr)
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

	if (!is_v4(&e->dst))
		return !xe_netlink_masq_addr6(e->svc->netlink, route->oif, &e->dst, addr);
	if (xe_netlink_masq_addr(e->svc->netlink, route->oif, &route->gateway, &v4_be))
		return false;
	*addr = xe_addr_v4(v4_be);
	return true;
}

static bool explain_translation(struct xe_explain *e, const struct xe_rule *rule, int number,
				const struct xe_route *route)
{
	const struct xe_nat_range *range =
		(const struct xe_nat_range *)e->svc->ruleset->attach + number;
	bool pool = rule->verb == XE_VERB_SNAT, udp = e->proto == IPPROTO_UDP;
	struct xe_addr first = rule->nat_min, last = rule->nat_max;
	char a[INET6_ADDRSTRLEN], b[INET6_ADDRSTRLEN];
	uint32_t ext, used = 0;

	if (!xe_verb_translates(rule->verb)) {
		xe_explain_step(e, "translation", true, "none by this rule's source side");
		return true;
	}
	if (rule->verb == XE_VERB_MASQUERADE) {
		if (!masq_addr(e, route, &first)) {
			xe_explain_step(e, "translation", false,
					"the uplink has no address to masquerade to");
			xe_explain_verdict(e, false, XE_R_TAKEN,
					   "dropped by the worker: no address to translate to");
			return false;
		}
		last = first;
	}
	xe_addr_print(&first, a, sizeof(a));
	xe_addr_print(&last, b, sizeof(b));
	ext = ext_known(e->svc, &first);
	if (ext != XE_NIL)
		used = in_use(e->svc, ext, udp, range->port_min, range->port_max);
	json_object_set_new(e->result, "translation",
			    json_pack("{ss, ss, si, si, sI}", "first", a, "last", b, "port_min",
				      (int)range->port_min, "port_max", (int)range->port_max,
				      "in_use", (json_int_t)used));
	xe_explain_step(e, "translation", true,
			"to %s%s%s, an L4 port of %u-%u (%u in use there by %s), drawn when the "
			"first packet comes%s",
			a, strcmp(a, b) ? "-" : "", strcmp(a, b) ? b : "", range->port_min,
			range->port_max, used, udp ? "UDP" : "TCP",
			pool && strcmp(a, b) ? "; the source keeps the address it has" : "");
	return true;
}

struct counts {
	const struct xe_explain *e;
	uint32_t sessions, capacity, of_source;
};

static void count_call(struct xe_worker *w, void *arg)
{
	struct counts *c = arg;
	struct xe_lane *lane = w->lane;
	bool v4 = is_v4(&c->e->src);
	uint64_t key = v4 ? c->e->src.w_be[3] : c->e->src.q[0];
	uint32_t source;

	c->sessions = lane->sessions.cnt;
	c->capacity = lane->sessions.capacity;
	/* One more and one less: the only question that the table answers. */
	source = xe_source_take(&lane->sources, v4 ? XE_FAMILY_4 : XE_FAMILY_6, key, c->e->in->id,
				UINT32_MAX);
	if (source == XE_NIL)
		return;
	c->of_source =
		lane->sources.slots[source].sessions - lane->sources.slots[source].closed - 1;
	xe_source_give(&lane->sources, source);
}

static bool explain_limits(struct xe_explain *e, const struct xe_rule *rule)
{
	uint32_t limit = e->svc->config->limits.sessions_per_source;
	struct counts c = {.e = e};
	bool full;

	xe_worker_call(e->in->owner, count_call, &c);
	full = c.of_source >= limit && !rule->no_limit;
	json_object_set_new(e->result, "limits",
			    json_pack("{sI, sI, sI, sI, sb}", "sessions", (json_int_t)c.sessions,
				      "sessions_max", (json_int_t)c.capacity, "of_source",
				      (json_int_t)c.of_source, "of_source_max", (json_int_t)limit,
				      "exempt", rule->no_limit));
	xe_explain_step(e, "limits", !full && c.sessions < c.capacity,
			"%u of %u sessions of the source%s, %u of %u of the worker%s", c.of_source,
			limit, rule->no_limit ? " (exempt)" : "", c.sessions, c.capacity,
			xe_rule_has_terms(rule) ? "; the rule's own are in its text" : "");
	if (full || c.sessions >= c.capacity)
		xe_explain_verdict(e, false, XE_R_TAKEN, "dropped by the worker: %s",
				   full ? "its source has all the sessions it may have"
					: "the session table is full");
	return !full && c.sessions < c.capacity;
}

/* Verbs that end it. False: the packet goes no further. */
static bool explain_verb(struct xe_explain *e, const struct xe_rule *rule)
{
	switch (rule->verb) {
	case XE_VERB_KERNEL:
		xe_explain_verdict(e, false, XE_R_KERNEL_RULE, "left to the kernel by this rule");
		return false;
	case XE_VERB_DROP:
		xe_explain_verdict(e, false, XE_R_DROP_RULE, "dropped by this rule");
		return false;
	case XE_VERB_REJECT:
		xe_explain_verdict(e, false, XE_R_TAKEN,
				   "dropped by this rule, and the sender is told");
		return false;
	default:
		return true;
	}
}

static void explain_new(struct xe_explain *e)
{
	const struct xe_rule *rule;
	struct xe_route route = {};
	struct xe_port *out;
	int number;

	if (!explain_source(e))
		return;
	out = explain_route(e, &route);
	if (!out)
		return;
	number = xe_explain_rule(e, out);
	if (number < 0) {
		xe_explain_verdict(e, false, XE_R_NO_RULE, "left to the kernel: no rule matches");
		return;
	}
	rule = &e->svc->ruleset->rules[number];
	if (explain_verb(e, rule) && explain_limits(e, rule) &&
	    explain_translation(e, rule, number, &route))
		xe_explain_verdict(e, true, XE_R_TAKEN, "carried: a new flow, out of %s",
				   out->name);
}

void xe_explain_out(struct xe_explain *e)
{
	uint64_t beat = *e->in->owner->beat;
	struct xe_flow_view view;
	struct xe_route route;

	if (beat + XE_BEAT_MAX_AGE_NS < xe_now_coarse_ns()) {
		xe_explain_step(e, "worker", false, "worker %u does not beat", e->in->owner->idx);
		xe_explain_verdict(e, false, XE_R_STALLED,
				   "left to the kernel: the port's worker is stuck");
	}
	if (!explain_dest(e))
		return;
	if (!xe_explain_flow(e, &view)) {
		explain_new(e);
		return;
	}
	if (explain_route(e, &route))
		xe_explain_verdict(
			e, true, XE_R_TAKEN,
			"carried: it belongs to a live flow, whatever the rules say now");
	/* steer takes it all the same, and the worker gives it back. */
	else
		snprintf(e->verdict, sizeof(e->verdict),
			 "of a live flow, but its route is no longer one of ours: given to the "
			 "kernel");
}
