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

/* bpf/steer_parse.h: never translated. */
static bool is_special(const struct xe_addr *a)
{
	uint32_t v4 = ntohl(a->w_be[3]);

	if (xe_addr_is_v4(a))
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

bool xe_explain_is_martian(const struct xe_explain *e)
{
	return !memcmp(&e->src, &e->dst, sizeof(e->src)) || is_special(&e->src);
}

static bool explain_source(struct xe_explain *e)
{
	const struct xe_port *in = e->in;
	char text[INET6_ADDRSTRLEN + 4];
	bool any = false;

	if (xe_explain_is_martian(e)) {
		xe_explain_step(e, "source", false, "equals the destination, or is no unicast");
		xe_explain_verdict(e, false, XE_R_MARTIAN, "dropped: a martian source");
		return false;
	}
	for (uint32_t i = 0; i < in->allow_cnt; i++) {
		any |= (in->allow[i].family == AF_INET) == xe_addr_is_v4(&e->src);
		if (!xe_prefix_covers(&in->allow[i], &e->src))
			continue;
		xe_prefix_print(&in->allow[i], text, sizeof(text));
		xe_explain_step(e, "source", true, "allowed on %s by %s", in->name, text);
		return true;
	}
	if (!any) {
		xe_explain_step(e, "source", false, "%s allows no IPv%d prefix at all", in->name,
				xe_addr_is_v4(&e->src) ? 4 : 6);
		xe_explain_verdict(e, false, xe_addr_is_v4(&e->src) ? XE_R_NO_RULE : XE_R_IPV6,
				   "left to the kernel: this IP version is not ours on %s",
				   in->name);
		return false;
	}
	xe_explain_step(e, "source", false, "no prefix that %s allows has it", in->name);
	xe_explain_verdict(e, false, XE_R_SPOOFED, "dropped: its source is not allowed on %s",
			   in->name);
	return false;
}

const char *xe_explain_neighbour(const struct xe_explain *e, const struct xe_route *route)
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

	if (!ret && route->type == RTN_BROADCAST) {
		xe_explain_step(e, "route", false, "the broadcast address of a network");
		xe_explain_verdict(e, false, XE_R_MARTIAN, "dropped: a directed broadcast");
		return;
	}
	if (!ret && (route->type == RTN_LOCAL || route->type == RTN_MULTICAST)) {
		xe_explain_step(e, "route", false, "an address of this host");
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
				      xe_explain_neighbour(e, route), "port",
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
			route->mtu, xe_explain_neighbour(e, route));
	return out;
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

/* What is for an external address does not leave: by which uplink's rules it is judged, the address
 * says, as in resolver.c. */
static struct xe_port *explain_route_again(struct xe_explain *e, struct xe_route *route)
{
	struct xe_service *svc = e->svc;
	struct xe_port *out = NULL;

	if (xe_netlink_route(svc->netlink, &e->dst, &e->src,
			     xe_netlink_l3_ifindex(svc->netlink, e->in->ifindex), route))
		route->type = RTN_UNSPEC;
	if (route->type == RTN_UNICAST)
		out = xe_port_by_ifindex(svc, route->oif);
	else if (route->type == RTN_LOCAL)
		out = xe_resolver_local_uplink(svc, &e->dst);
	if (out && out->state == XE_PORT_ATTACHED && out->role == XE_ROLE_UPLINK) {
		xe_explain_step(e, "route", true, "by %s and in again", out->name);
		return out;
	}
	xe_explain_step(e, "route", false, "the external address is on no uplink of ours");
	xe_explain_verdict(e, false, XE_R_TAKEN,
			   "given to the kernel: no uplink to the external address");
	return NULL;
}

/* Which rule sends it out, and as what; then what it is as it comes in again. */
static void explain_again(struct xe_explain *e)
{
	const struct xe_rule *rule;
	struct xe_route route = {};
	struct xe_port *out = explain_route_again(e, &route);
	json_t *as_source;
	int number;

	if (!out)
		return;
	number = xe_explain_rule(e, out);
	rule = number < 0 ? NULL : &e->svc->ruleset->rules[number];
	if (!rule || rule->verb == XE_VERB_KERNEL || rule->verb == XE_VERB_ACCEPT) {
		xe_explain_verdict(e, false, XE_R_TAKEN,
				   "given to the kernel: no rule translates its source on the way "
				   "to an external address");
		return;
	}
	if (rule->verb == XE_VERB_DROP) {
		xe_explain_verdict(e, false, XE_R_TAKEN, "dropped by this rule");
		return;
	}
	if (!explain_verb(e, rule) || !xe_explain_limits(e, rule, e->in->owner, e->in->id) ||
	    !xe_explain_translation(e, rule, number, &route))
		return;
	as_source = json_incref(json_object_get(e->result, "rule"));
	e->src = e->ext;
	e->in = out;
	e->again = true;
	xe_explain_inbound(e);
	if (as_source)
		json_object_set_new(e->result, "source_rule", as_source);
}

/* By the rules, out by this port. */
static void explain_new_by(struct xe_explain *e, struct xe_port *out, const struct xe_route *route)
{
	int number = xe_explain_rule(e, out);
	const struct xe_rule *rule;

	if (number < 0) {
		xe_explain_verdict(e, false, XE_R_NO_RULE, "left to the kernel: no rule matches");
		return;
	}
	rule = &e->svc->ruleset->rules[number];
	if (explain_verb(e, rule) && xe_explain_limits(e, rule, e->in->owner, e->in->id) &&
	    xe_explain_translation(e, rule, number, route))
		xe_explain_verdict(e, true, XE_R_TAKEN, "carried: a new flow, out of %s",
				   out->name);
}

static void explain_new(struct xe_explain *e)
{
	struct xe_route route = {};
	struct xe_port *out;

	if (!explain_source(e))
		return;
	if (xe_explain_given_away(e)) {
		explain_again(e);
		return;
	}
	out = explain_route(e, &route);
	if (out)
		explain_new_by(e, out, &route);
}

/* steer sees of a fragment where it comes from and goes, and that there is a rule at all; the
 * worker judges the whole datagram. */
static void explain_fragments(struct xe_explain *e)
{
	struct xe_route route = {};
	struct xe_flow_view view;
	struct xe_port *out;

	if (!explain_source(e))
		return;
	out = explain_route(e, &route);
	if (!out)
		return;
	if (!e->svc->ruleset->tuple_cnt) {
		xe_explain_verdict(e, false, XE_R_NO_RULE, "left to the kernel: there is no rule");
		return;
	}
	if (!xe_explain_held(e))
		return;
	if (xe_explain_flow(e, &view))
		xe_explain_verdict(
			e, true, XE_R_TAKEN,
			"carried: it belongs to a live flow, whatever the rules say now");
	else
		explain_new_by(e, out, &route);
}

void xe_explain_out(struct xe_explain *e)
{
	uint64_t beat = __atomic_load_n(e->in->owner->beat, __ATOMIC_RELAXED);
	struct xe_flow_view view;
	struct xe_route route;

	if (beat + XE_BEAT_MAX_AGE_NS < xe_now_coarse_ns()) {
		xe_explain_step(e, "worker", false, "worker %u does not beat", e->in->owner->idx);
		xe_explain_verdict(e, false, XE_R_STALLED,
				   "left to the kernel: the port's worker is stuck");
	}
	if (!explain_dest(e))
		return;
	if (e->fragment) {
		explain_fragments(e);
		return;
	}
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
