/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * explain_in.c - a packet from outside, or from a container by an external address: deny list, live
 * flow, mapping, rule, target, in the order of bpf/steer_decide.h and pipeline/flow_in.c.
 */
#include <arpa/inet.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "control/explain.h"
#include "pipeline/pipeline.h"
#include "state/deny.h"
#include "state/dnat.h"

static bool is_denied(const struct xe_explain *e, struct xe_prefix *by)
{
	const struct xe_steer *st = &e->svc->steer;

	for (uint32_t i = 0; i < st->deny_key_cnt; i++) {
		const struct xe_allow_key *k = &st->deny_keys[i];

		*by = (struct xe_prefix){k->src, (__u8)(k->prefixlen - 32),
					 (__u8)xe_addr_family(&k->src)};
		if ((k->port & ~XE_KEY_IPV6) == e->in->id && xe_prefix_covers(by, &e->src))
			return true;
	}
	return false;
}

/* ---- for whom ---- */

/* Do sessions of ours receive on its destination? */
static bool is_owned(const struct xe_explain *e)
{
	uint32_t ext = xe_explain_ext(e->svc, &e->dst);
	const uint64_t *word;

	if (ext == XE_NIL)
		return false;
	word = &e->svc->steer.owned[xe_owned_idx(ext, e->proto == IPPROTO_UDP, e->dport)];
	return __atomic_load_n(word, __ATOMIC_RELAXED) >> (e->dport & 63) & 1;
}

/* May the host have a flow on that L4 port, too? Any worker's pool knows. */
static bool may_be_hosts(const struct xe_explain *e)
{
	return xe_natpool_may_be_hosts(&e->svc->workers[0].lane->pool, e->proto == IPPROTO_UDP,
				       e->dport);
}

/* Whom it is for, as pipeline/flow_in.c has it. */
struct target {
	const struct xe_explain *e;
	struct xe_addr addr;
	uint16_t l4_port;           /* host order */
	struct xe_worker *worker;   /* of a mapping, NULL: as the route says */
	const struct xe_rule *rule; /* NULL: a mapping's */
	uint32_t worker_idx;
};

static void mapping_call(struct xe_worker *w, void *arg)
{
	struct target *t = arg;
	const struct xe_explain *e = t->e;
	struct xe_sessions *s = &w->lane->sessions;
	bool v4 = xe_addr_family(&e->src) == AF_INET;
	const struct xe_mapping *m;
	uint32_t ext, idx;
	struct xe_tuple4 key = {
		.src_be = v4 ? e->src.w_be[3] : xe_addr6_find(&s->addr6, &e->src),
		.dst_be = v4 ? e->dst.w_be[3] : xe_addr6_find(&s->addr6, &e->dst),
		.sport_be = htons(e->sport),
		.dport_be = htons(e->dport),
		.port = XE_PORT_ANYUPLINK,
		.proto = e->proto,
		.family = v4 ? XE_FAMILY_4 : XE_FAMILY_6,
	};

	/* Of an IPv6 peer that the worker has never met its table has no number, and none is made
	 * for a question; a `filter` that lets anybody in does not look at it. */
	if (!v4 && key.dst_be == XE_NIL)
		return;
	idx = xe_natpool_find(&w->lane->pool, &key, e->again, &ext);
	if (idx == XE_NIL)
		return;
	m = &w->lane->pool.mappings[idx];
	t->addr = xe_tuple_addr(s, m->family, m->src_be);
	t->l4_port = ntohs(m->sport_be);
	t->worker = w;
}

static bool by_mapping(struct xe_explain *e, struct target *t)
{
	for (uint32_t w = 0; w < e->svc->worker_cnt && !t->worker; w++)
		xe_worker_call(&e->svc->workers[w], mapping_call, t);
	if (!t->worker)
		return false;
	xe_explain_step(e, "mapping", true, "%s by worker %u",
			e->again ? "another container's" : "one whose `filter` lets this peer in,",
			t->worker->idx);
	return true;
}

static int lookup(const struct xe_explain *e, uint16_t in)
{
	return xe_ruleset_lookup(e->svc->ruleset, &e->src, &e->dst, htons(e->dport), e->proto, in,
				 XE_OUT_SOME_INSIDE);
}

static bool by_rule(struct xe_explain *e, struct target *t)
{
	const struct xe_ruleset *rs = e->svc->ruleset;
	int number = rs->any_inbound ? lookup(e, e->in->id | XE_IN_UPLINK) : -1;
	char text[XE_RULE_TEXT_SIZE] = "";
	struct xe_addr src = e->src;

	if (number < 0) {
		xe_explain_step(e, "rule", false, "none lets it in");
		xe_explain_verdict(e, false, is_owned(e) ? XE_R_TAKEN : XE_R_NOT_OWNED, "%s",
				   is_owned(e) && !e->again && may_be_hosts(e)
					   ? "given to the kernel by the worker: of no flow of "
					     "ours, and the host may have that L4 port"
				   : is_owned(e) || e->again
					   ? "dropped by the worker: of no flow of ours, and no "
					     "rule or mapping lets it in"
					   : "left to the kernel: from outside, and of no flow of "
					     "ours");
		return false;
	}
	t->rule = &rs->rules[number];
	xe_rule_print(t->rule, text, sizeof(text));
	json_object_set_new(e->result, "rule",
			    json_pack("{si, ss}", "number", number + 1, "text", text));
	xe_explain_step(e, "rule", true, "%d: %s", number + 1, text);
	t->addr = e->dst;
	t->l4_port = e->dport;
	switch (t->rule->verb) {
	case XE_VERB_DNAT:
		src.w_be[0] ^= htons(e->sport);
		xe_dnat_pick(
			((const struct xe_nat_range *)rs->attach)[number].dnat,
			xe_addr_hash(&src, e->svc->steer.settings.k0, e->svc->steer.settings.k1),
			e->dport, &t->addr, &t->l4_port);
		return true;
	case XE_VERB_NAT:
		t->addr = xe_nat_move(&e->dst, &t->rule->from.addr, t->rule->from.len);
		return true;
	case XE_VERB_ACCEPT:
		return true;
	case XE_VERB_DROP:
		xe_explain_verdict(e, false, XE_R_DROP_RULE, "dropped by this rule");
		return false;
	default:
		xe_explain_verdict(e, false, XE_R_KERNEL_RULE, "left to the kernel by this rule");
		return false;
	}
}

/* ---- its port ---- */

/* The inside port that leads there, NULL: none, and the steps say why. */
static struct xe_port *target_port(struct xe_explain *e, const struct target *t)
{
	struct xe_service *svc = e->svc;
	char addr[INET6_ADDRSTRLEN] = "", at[IFNAMSIZ + 16] = "";
	struct xe_port *out = NULL;
	struct xe_route route;
	bool bridge = false;
	uint16_t nud = 0;
	uint8_t mac[6];

	xe_addr_print(&t->addr, addr, sizeof(addr));
	if (!xe_netlink_route(svc->netlink, &t->addr, NULL, 0, &route) &&
	    route.type == RTN_UNICAST) {
		out = xe_port_by_ifindex(svc, route.oif);
		bridge = !out && xe_resolver_is_bridge(svc, route.oif);
		if (bridge && !xe_netlink_neigh(svc->netlink, route.oif, &route.gateway, mac, &nud))
			out = xe_port_by_ifindex(
				svc, xe_netlink_bridge_port(svc->netlink, route.oif, mac));
		if (out && (out->state != XE_PORT_ATTACHED || out->role != XE_ROLE_INSIDE))
			out = NULL;
	}
	json_object_set_new(e->result, "target",
			    json_pack("{ss, si, ss}", "address", addr, "l4_port", (int)t->l4_port,
				      "port", out ? out->name : ""));
	if (out)
		snprintf(at, sizeof(at), "at %s", out->name);
	xe_explain_step(e, "target", out || bridge, "%s L4 port %u, %s, neighbour %s", addr,
			t->l4_port,
			out      ? at
			: bridge ? "behind a bridge that does not know its port yet"
				 : "which is behind no inside port",
			out || bridge ? xe_explain_neighbour(e, &route) : "not asked");
	if (t->rule && t->rule->verb == XE_VERB_ACCEPT && (bridge || !out)) {
		xe_explain_verdict(e, false, XE_R_NOT_OWNED,
				   "left to the kernel: untranslated, and not routed to an inside "
				   "port");
		return NULL;
	}
	if (!out && !bridge)
		xe_explain_verdict(e, false, XE_R_TAKEN,
				   "dropped by the worker: its target is behind no inside port");
	if (!out && bridge)
		xe_explain_verdict(e, true, XE_R_TAKEN,
				   "carried when the bridge knows where its target is");
	return out;
}

/* Does the route to this address lead to an inside port? */
static bool leads_inside(const struct xe_explain *e, const struct xe_addr *addr)
{
	struct xe_route route;
	const struct xe_port *out;

	if (xe_netlink_route(e->svc->netlink, addr, NULL, 0, &route) || route.type != RTN_UNICAST)
		return false;
	out = xe_port_by_ifindex(e->svc, route.oif);
	return out && out->state == XE_PORT_ATTACHED && out->role == XE_ROLE_INSIDE;
}

/* An address of a rule's pool, which routes need not lead here. */
static bool is_of_pool(const struct xe_explain *e, const struct xe_addr *addr)
{
	const struct xe_ruleset *rs = e->svc->ruleset;
	uint32_t ext = xe_explain_ext(e->svc, addr);
	const struct xe_nat_range *ranges = rs ? rs->attach : NULL;

	for (uint32_t i = 0; ext != XE_NIL && ranges && i < rs->rule_cnt; i++)
		for (uint32_t a = 0; a < ranges[i].ext_cnt; a++)
			if (ranges[i].ext[a] == ext)
				return true;
	return false;
}

/* As pipeline/peer.c asks it: not of what another container sends by an external address. */
static bool is_from_outside(struct xe_explain *e)
{
	const char *whose = xe_netlink_has_addr(e->svc->netlink, &e->src) ? "the host's own"
			    : is_of_pool(e, &e->src)                      ? "one of a rule's pool"
			    : leads_inside(e, &e->src) ? "routed to an inside port"
						       : NULL;

	if (e->again)
		return true;
	if (xe_explain_is_martian(e)) {
		xe_explain_step(e, "source", false, "equals the destination, or is no unicast");
		xe_explain_verdict(e, false, XE_R_MARTIAN, "dropped: a martian source");
		return false;
	}
	if (!whose)
		return true;
	xe_explain_step(e, "source", false, "%s: nobody outside has it", whose);
	xe_explain_verdict(e, false, XE_R_TAKEN,
			   "dropped by the worker: from outside, with a source that is not");
	return false;
}

void xe_explain_inbound(struct xe_explain *e)
{
	struct target t = {.e = e};
	struct xe_port *out;

	if ((!by_mapping(e, &t) && !by_rule(e, &t)) || !is_from_outside(e))
		return;
	out = target_port(e, &t);
	if (out &&
	    xe_explain_limits(e, t.rule, t.worker ? t.worker : out->owner, XE_PORT_ANYUPLINK))
		xe_explain_verdict(e, true, XE_R_TAKEN, "carried: a new flow, in to %s", out->name);
}

bool xe_explain_given_away(struct xe_explain *e)
{
	const struct xe_ruleset *rs = e->svc->ruleset;
	bool owned = is_owned(e);
	int number = rs->any_inbound ? lookup(e, e->in->id) : -1;

	if (!owned && (number < 0 || (rs->rules[number].verb != XE_VERB_DNAT &&
				      rs->rules[number].verb != XE_VERB_NAT)))
		return false;
	if (owned)
		xe_explain_step(e, "destination", true,
				"an external address and L4 port that a container has");
	else
		xe_explain_step(e, "destination", true, "an external address that rule %d changes",
				number + 1);
	return true;
}

/* ---- fragments ---- */

bool xe_explain_held(struct xe_explain *e)
{
	e->held = e->svc->steer.conf->take_fragments;
	xe_explain_step(e, "fragments", e->held, "%s",
			e->held ? "held by a worker until the datagram is whole, which is then "
				  "judged as one packet"
				: "there is no punt device by which those of others could be given "
				  "back");
	if (!e->held)
		xe_explain_verdict(e, false, XE_R_FRAGMENT,
				   "left to the kernel: fragments, and no punt device");
	return e->held;
}

static bool fragment_in(struct xe_explain *e)
{
	bool to_inside = e->svc->steer.conf->any_accept && leads_inside(e, &e->dst);

	if (xe_explain_ext(e->svc, &e->dst) != XE_NIL || to_inside) {
		if (!leads_inside(e, &e->src))
			return xe_explain_held(e);
		xe_explain_step(e, "source", false, "routed to an inside port");
	}
	xe_explain_verdict(e, false, XE_R_NOT_OWNED,
			   "left to the kernel: fragments that cannot be of a flow of ours");
	return false;
}

/* ---- an uplink ---- */

void xe_explain_in(struct xe_explain *e)
{
	char text[INET6_ADDRSTRLEN + 4];
	struct xe_flow_view view;
	struct xe_prefix by;

	if (is_denied(e, &by)) {
		xe_prefix_print(&by, text, sizeof(text));
		xe_explain_step(e, "deny", false, "%s stands in a deny list of %s", text,
				e->in->name);
		if (!xe_netlink_has_addr(e->svc->netlink, &e->dst) || xe_explain_flow(e, &view))
			xe_explain_verdict(e, false, XE_R_DENIED, "dropped by a deny list");
		else
			xe_explain_verdict(e, false, XE_R_NOT_OWNED,
					   "left to the kernel: for the host itself, which deny "
					   "lists leave alone");
		return;
	}
	if (e->fragment && !fragment_in(e))
		return;
	if (xe_explain_flow(e, &view))
		xe_explain_verdict(e, true, XE_R_TAKEN, "carried: it belongs to a live flow");
	else
		xe_explain_inbound(e);
}
