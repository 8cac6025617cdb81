/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "control/ct_adopt.h"

#include <errno.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "control/conntrack.h"
#include "control/flow_adopt.h"
#include "control/port_attach.h"
#include "control/watch.h"
#include "pipeline/pipeline.h"

/* While ports are moving: the second pass takes what began during the first, and a third one what
 * began during the second, which is done in a few milliseconds. More would not find less. */
#define PASSES_MOVING 3
/* Handshakes have ended and neighbours have answered by then. */
#define AGAIN_NS (2 * XE_NS_PER_SEC)
/* Inside hosts remembered during one adoption: where they are is two questions to the kernel. */
#define HOSTS 4096u

/* Where an inside host is. */
struct host {
	struct xe_addr addr;
	struct xe_port *port; /* NULL: behind none of ours, or not known yet */
	uint8_t mac[6];
	bool known, unresolved;
};

struct xe_ct_side {
	struct xe_ct *ct;
	uint64_t again_ns; /* 0: not */
	/* of the adoption under way */
	struct xe_flow_file adopted; /* their entries are still there */
	struct host *hosts;
	uint32_t behind; /* left to the kernel for the moment */
};

void xe_ct_start(struct xe_service *svc)
{
	struct xe_ct_side *side = calloc(1, sizeof(*side));
	int err = side ? xe_ct_open(&side->ct) : -ENOMEM;

	if (!err) {
		svc->ct = side;
		return;
	}
	free(side);
	xe_log_warn("conntrack: %s: flows do not move between the kernel and this service",
		    err == -EPROTONOSUPPORT ? "this kernel has no ctnetlink" : strerror(-err));
}

void xe_ct_stop(struct xe_service *svc)
{
	if (!svc->ct)
		return;
	xe_ct_close(svc->ct->ct);
	free(svc->ct);
	svc->ct = NULL;
}

struct xe_ct *xe_ct_of(const struct xe_service *svc)
{
	return svc->ct ? svc->ct->ct : NULL;
}

/* ---- where a flow's ends are ---- */

/* Port, and Ethernet address as the host's own packets would be sent to it. */
static void look_for(struct xe_service *svc, struct host *h)
{
	struct xe_route route;
	uint16_t nud;
	int ifindex;

	if (xe_netlink_route(svc->netlink, &h->addr, NULL, 0, &route) ||
	    route.type != RTN_UNICAST || route.encap)
		return;
	if (xe_netlink_neigh(svc->netlink, route.oif, &route.gateway, h->mac, &nud)) {
		h->unresolved = !xe_netlink_neigh_use(svc->netlink, route.oif, &route.gateway);
		return;
	}
	h->port = xe_port_by_ifindex(svc, route.oif);
	if (!h->port) {
		ifindex = xe_netlink_bridge_port(svc->netlink, route.oif, h->mac);
		h->port = xe_port_by_ifindex(svc, ifindex);
	}
	if (h->port && (h->port->role != XE_ROLE_INSIDE || h->port->id == XE_PORT_NONE))
		h->port = NULL;
}

static const struct host *find_host(struct xe_service *svc, const struct xe_addr *addr)
{
	const struct xe_steer_settings *keys = &svc->steer.settings;
	struct host *h = &svc->ct->hosts[xe_addr_hash(addr, keys->k0, keys->k1) % HOSTS];

	if (h->known && !memcmp(&h->addr, addr, sizeof(*addr)))
		return h;
	*h = (struct host){.addr = *addr, .known = true};
	look_for(svc, h);
	return h;
}

static bool is_allowed(const struct xe_port *port, const struct xe_addr *addr)
{
	for (uint32_t i = 0; i < port->allow_cnt; i++)
		if (xe_prefix_covers(&port->allow[i], addr))
			return true;
	return false;
}

/* The port by which the flow's packets leave, as it is routed. */
static struct xe_port *find_out(struct xe_service *svc, const struct xe_port *in,
				const struct xe_flow_record *r)
{
	int iif = xe_netlink_l3_ifindex(svc->netlink, in->ifindex);
	const struct host *h;
	struct xe_route route;
	struct xe_port *out;

	if (xe_netlink_route(svc->netlink, &r->nat_dst, &r->src, iif, &route) ||
	    route.type != RTN_UNICAST || route.encap)
		return NULL;
	out = xe_port_by_ifindex(svc, route.oif);
	if (!out) { /* another container behind a bridge */
		h = find_host(svc, &r->nat_dst);
		out = h->port;
	}
	return out && out->state == XE_PORT_ATTACHED && out != in ? out : NULL;
}

/* ---- is it ours ---- */

static bool is_same(const struct xe_addr *a, __be16 a_port_be, const struct xe_addr *b,
		    __be16 b_port_be)
{
	return !memcmp(a, b, sizeof(*a)) && a_port_be == b_port_be;
}

/* What would a worker have done with its first packet? -1: left it to the kernel. */
static int find_rule(const struct xe_service *svc, const struct xe_flow_record *r,
		     const struct xe_port *in, const struct xe_port *out)
{
	const struct xe_ruleset *rs = svc->ruleset;
	uint16_t out_port = out->id | (out->role == XE_ROLE_INSIDE ? XE_OUT_INSIDE : 0);

	if (!rs)
		return -1;
	if (r->flags & XE_FR_FROM_OUTSIDE)
		return xe_ruleset_lookup(rs, &r->nat_dst, &r->nat_src, r->nat_sport_be, r->proto,
					 out->id | XE_IN_UPLINK, XE_OUT_SOME_INSIDE);
	return xe_ruleset_lookup(rs, &r->src, &r->dst, r->dport_be, r->proto, in->id, out_port);
}

/* Has the kernel done to it what the rule says? How it has chosen the external address and L4 port
 * does not matter, a flow keeps those. */
static bool fits(const struct xe_flow_record *r, enum xe_verb verb, const struct xe_port *out)
{
	bool translated = !is_same(&r->src, r->sport_be, &r->nat_src, r->nat_sport_be);

	/* another destination than the packet names: the way of that one is not asked for */
	if (!is_same(&r->dst, r->dport_be, &r->nat_dst, r->nat_dport_be))
		return false;
	switch (verb) {
	case XE_VERB_ACCEPT:
		return !translated;
	case XE_VERB_SNAT:
	case XE_VERB_MASQUERADE:
		return translated && out->role == XE_ROLE_UPLINK &&
		       !(r->flags & XE_FR_FROM_OUTSIDE);
	case XE_VERB_NAT: /* keeps L4 ports, which nobody but the inside host has then */
		return translated && out->role == XE_ROLE_UPLINK && r->sport_be == r->nat_sport_be;
	case XE_VERB_DNAT:
		return translated && out->role == XE_ROLE_UPLINK && r->flags & XE_FR_FROM_OUTSIDE;
	default:
		return false;
	}
}

/* Ports, rule and Ethernet address of a flow that a worker can carry. */
static bool place(struct xe_service *svc, struct xe_flow_record *r, struct xe_flow_file *out_file)
{
	const struct host *h = find_host(svc, &r->src);
	struct xe_port *out;
	enum xe_verb verb;
	int rule;

	svc->ct->behind += h->unresolved;
	if (!h->port || !is_allowed(h->port, &r->src))
		return false;
	out = find_out(svc, h->port, r);
	rule = out ? find_rule(svc, r, h->port, out) : -1;
	if (rule < 0)
		return false;
	verb = svc->ruleset->rules[rule].verb;
	if (!fits(r, verb, out))
		return false;
	if (r->proto == IPPROTO_TCP && r->tcp_state != XE_TCP_ESTABLISHED) {
		svc->ct->behind += r->tcp_state < XE_TCP_ESTABLISHED;
		return false;
	}
	memcpy(r->mac_back, h->mac, sizeof(r->mac_back));
	r->verb = (uint8_t)verb;
	r->rule_id = svc->ruleset->ids[rule];
	if (verb == XE_VERB_SNAT || verb == XE_VERB_MASQUERADE)
		r->flags |= XE_FR_EXT;
	r->in_port = xe_flow_file_port(out_file, h->port->name, (uint32_t)h->port->ifindex,
				       (uint8_t)h->port->role);
	r->out_port =
		xe_flow_file_port(out_file, out->name, (uint32_t)out->ifindex, (uint8_t)out->role);
	return !xe_flow_record_fault(r, out_file->port_cnt);
}

/* ---- passes ---- */

/* Prefixes of all inside ports; the caller frees them. */
static struct xe_prefix *inside_prefixes(const struct xe_service *svc, uint32_t *cnt)
{
	struct xe_prefix *list;
	uint32_t n = 0;

	for (const struct xe_port *p = svc->port_list; p; p = p->next)
		n += p->id != XE_PORT_NONE ? p->allow_cnt : 0;
	list = calloc(n + 1ul, sizeof(*list));
	*cnt = 0;
	for (const struct xe_port *p = svc->port_list; p && list; p = p->next) {
		if (p->id == XE_PORT_NONE || !p->allow_cnt)
			continue;
		memcpy(list + *cnt, p->allow, p->allow_cnt * sizeof(*list));
		*cnt += p->allow_cnt;
	}
	return list;
}

static int read_new(struct xe_service *svc, struct xe_flow_file *found)
{
	struct xe_prefix *inside;
	uint32_t cnt;
	int err = -ENOMEM;

	inside = inside_prefixes(svc, &cnt);
	if (inside && !cnt)
		err = 0;
	else if (inside)
		err = xe_ct_read(svc->ct->ct, inside, cnt, &svc->ct->adopted, found);
	free(inside);
	return err;
}

/* Sessions of what the kernel has and we have not. Returns how many there are now. */
static int adopt_new(struct xe_service *svc)
{
	struct xe_ct_side *side = svc->ct;
	struct xe_flow_file found, placed;
	uint32_t before = side->adopted.record_cnt;
	int err;

	xe_flow_file_init(&found);
	xe_flow_file_init(&placed);
	side->behind = 0;
	err = read_new(svc, &found);
	if (err == -EINTR) /* what is missing, the next pass finds */
		err = 0;
	for (uint32_t i = 0; i < found.record_cnt && !err; i++)
		if (place(svc, &found.records[i], &placed))
			err = xe_flow_file_add(&placed, &found.records[i]);
	if (!err && placed.record_cnt)
		err = xe_adopt_add(svc, &placed, NULL);
	for (uint32_t i = 0; i < placed.record_cnt && err >= 0; i++)
		if (placed.records[i].flags & XE_FR_ADOPTED)
			err = xe_flow_file_add(&side->adopted, &placed.records[i]);
	xe_flow_file_free(&found);
	xe_flow_file_free(&placed);
	return err < 0 ? err : (int)(side->adopted.record_cnt - before);
}

static bool any_moving(const struct xe_service *svc)
{
	for (const struct xe_port *p = svc->port_list; p; p = p->next)
		if (p->moving)
			return true;
	return false;
}

static void take_all(struct xe_service *svc)
{
	for (struct xe_port *p = svc->port_list; p; p = p->next) {
		const struct xe_link *link = xe_netlink_link(svc->netlink, p->ifindex);

		if (!p->moving)
			continue;
		p->moving = false;
		if (p->live && link)
			xe_port_tell_steer(svc, p, link);
	}
}

static int passes(struct xe_service *svc)
{
	int cnt = 0;

	for (int i = 0; i < PASSES_MOVING && any_moving(svc); i++) {
		cnt = adopt_new(svc);
		if (cnt <= 0)
			break;
	}
	take_all(svc);
	return cnt < 0 ? cnt : adopt_new(svc);
}

int xe_ct_adopt(struct xe_service *svc)
{
	struct xe_ct_side *side = svc->ct;
	uint64_t start_ns = xe_now_ns();
	uint32_t cnt;
	int err = -ENOMEM;

	if (!side) {
		take_all(svc);
		return 0;
	}
	side->hosts = calloc(HOSTS, sizeof(*side->hosts));
	xe_flow_file_init(&side->adopted);
	if (side->hosts)
		err = passes(svc);
	take_all(svc);
	cnt = side->adopted.record_cnt;
	xe_ct_delete(side->ct, &side->adopted, 0);
	if (err < 0)
		xe_log_warn("conntrack: %s: flows may have stayed in the kernel", strerror(-err));
	if (cnt)
		xe_log_info("conntrack: %u flows of the kernel go on here (%u ms)", cnt,
			    (uint32_t)((xe_now_ns() - start_ns) / XE_NS_PER_MS));
	side->again_ns = side->behind && !side->again_ns ? xe_now_ns() + AGAIN_NS : 0;
	xe_flow_file_free(&side->adopted);
	free(side->hosts);
	side->hosts = NULL;
	return (int)cnt;
}

void xe_ct_tick(struct xe_service *svc)
{
	/* again_ns stays as it is until then: so it is once, and not every two seconds */
	if (svc->ct && svc->ct->again_ns && xe_now_ns() > svc->ct->again_ns &&
	    !xe_watch_stalled(svc))
		xe_ct_adopt(svc);
}
