/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "control/flow_place.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "control/flow_held.h"

struct xe_rule_id {
	uint64_t id;
	uint16_t rule;
};

/* ---- rules by their id ---- */

static int cmp_id(const void *a, const void *b)
{
	uint64_t x = ((const struct xe_rule_id *)a)->id, y = ((const struct xe_rule_id *)b)->id;

	return x < y ? -1 : x > y;
}

void xe_rule_ids_update(struct xe_rule_ids *x, const struct xe_ruleset *rs)
{
	if (x->ids && rs && x->gen == rs->gen)
		return;
	free(x->ids);
	x->ids = rs ? calloc(rs->rule_cnt + 1ul, sizeof(*x->ids)) : NULL;
	if (!x->ids)
		return;
	x->gen = rs->gen;
	x->cnt = rs->rule_cnt;
	for (uint32_t i = 0; i < rs->rule_cnt; i++)
		x->ids[i] = (struct xe_rule_id){.id = rs->ids[i], .rule = (uint16_t)i};
	qsort(x->ids, rs->rule_cnt, sizeof(*x->ids), cmp_id);
}

static uint16_t rule_by_id(const struct xe_rule_ids *x, uint64_t id)
{
	struct xe_rule_id key = {.id = id};
	const struct xe_rule_id *found = NULL;

	if (id && x->ids)
		found = bsearch(&key, x->ids, x->cnt, sizeof(key), cmp_id);
	return found ? found->rule : XE_RULE_GONE;
}

void xe_rule_ids_free(struct xe_rule_ids *x)
{
	free(x->ids);
	*x = (struct xe_rule_ids){};
}

/* ---- one record ---- */

/* The kernel tells how long a flow has left, by timeouts of its own. */
static uint32_t idle_by_left(const struct xe_service *svc, const struct xe_flow_record *r)
{
	uint32_t timeout_s = svc->config->timeouts.udp_s;

	if (r->proto == IPPROTO_TCP)
		timeout_s = r->tcp_state == XE_TCP_ESTABLISHED
				    ? svc->config->timeouts.tcp_established_s
				    : svc->config->timeouts.tcp_transitory_s;
	else if (r->dport_be == htons(53))
		timeout_s = svc->config->timeouts.dns_s;
	return r->left_s < timeout_s ? timeout_s - r->left_s : 0;
}

static uint32_t sum_s(uint32_t a, uint32_t b)
{
	return a > INT32_MAX - b ? INT32_MAX : a + b;
}

/* May a session of ours own this L4 port: is it one that a rule gives out, and not the host's? */
static bool may_own(const struct xe_service *svc, const struct xe_flow_record *r)
{
	uint16_t l4_port = ntohs(r->nat_sport_be);
	int udp = r->proto == IPPROTO_UDP;

	if ((svc->listening[udp][l4_port >> 6] | svc->dnat[udp][l4_port >> 6]) >> (l4_port & 63) &
	    1)
		return false;
	return svc->nat_ports[l4_port >> 6] >> (l4_port & 63) & 1;
}

/* Where the inside host is, for who does not know its Ethernet address: the kernel's neighbour. */
static bool find_mac(const struct xe_service *svc, const struct xe_port *port,
		     struct xe_flow_record *r)
{
	static const uint8_t none[6];

	if (memcmp(r->mac_back, none, sizeof(none)))
		return true;
	return !xe_netlink_neigh(svc->netlink, xe_netlink_l3_ifindex(svc->netlink, port->ifindex),
				 &r->src, r->mac_back, NULL);
}

/* The index of its Ext address if that is one of the rules' or the host's: others are not worth one
 * of the few there are. */
static uint32_t find_ext(struct xe_service *svc, const struct xe_addr *addr)
{
	for (uint32_t i = 0; i < XE_MAX_EXT_ADDRS; i++)
		if (!memcmp(&svc->ext_addrs[i], addr, sizeof(*addr)))
			return i;
	return xe_netlink_has_addr(svc->netlink, addr) ? xe_ext_get(svc, addr) : XE_NIL;
}

enum xe_adopted xe_flow_place(struct xe_service *svc, const struct xe_rule_ids *ids,
			      const struct xe_flow_batch *b, struct xe_port *port,
			      struct xe_flow_record *r, struct xe_adoptee *a)
{
	const struct xe_port *out = NULL;

	*a = (struct xe_adoptee){
		.record = r,
		.in_port = port->id,
		.out_port = XE_PORT_NONE,
		.ext = XE_NIL,
		.rule = rule_by_id(ids, r->rule_id),
		.age_s = sum_s(r->age_s, b->ago_s),
		.idle_s = r->flags & XE_FR_KERNEL ? idle_by_left(svc, r) : r->idle_s,
	};
	a->idle_s = sum_s(a->idle_s, b->ago_s);
	/* The kernel does not count always, but knows that it was answered. */
	if ((r->flags & (XE_FR_KERNEL | XE_FR_FROM_OUTSIDE | XE_FR_REPLIED)) ==
		    (XE_FR_KERNEL | XE_FR_FROM_OUTSIDE | XE_FR_REPLIED) &&
	    !r->packets[XE_DIR_OUT])
		r->packets[XE_DIR_OUT] = 1;
	if (r->out_port != XE_FR_NO_PORT) {
		out = b->ports[r->out_port];
		a->out_inside = b->file.ports[r->out_port].role == XE_ROLE_INSIDE;
	}
	if (out)
		a->out_port = out->id;
	else if (a->out_inside || r->flags & XE_FR_HAIRPIN)
		return XE_ADOPT_LATER;
	if (!find_mac(svc, port, r))
		return XE_ADOPT_FULL;
	if (!(r->flags & XE_FR_EXT)) {
		xe_held_announce(svc); /* whatever the rules say now */
		return XE_ADOPTED;
	}
	if (r->verb == XE_VERB_MASQUERADE && !xe_netlink_has_addr(svc->netlink, &r->nat_src))
		return b->sync ? XE_ADOPT_LATER : XE_ADOPT_OVER;
	/* steer knows fragments of replies by the address, whoever owns the L4 port */
	a->ext = find_ext(svc, &r->nat_src);
	if (!may_own(svc, r))
		a->ext = XE_NIL;
	if (a->ext == XE_NIL)
		xe_held_announce(svc);
	return XE_ADOPTED;
}
