/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "control/ct_adopt.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "control/conntrack.h"
#include "control/ct_gone.h"
#include "control/flow_adopt.h"
#include "control/port_attach.h"
#include "control/watch.h"
#include "pipeline/pipeline.h"

/* While ports are moving: the second pass takes what began during the first, and a third one what
 * began during the second, which is done in a few milliseconds. More would not find less. */
#define PASSES_MOVING 3
/* Handshakes have ended and neighbours have answered by then. */
#define AGAIN_NS (2 * XE_NS_PER_SEC)
/* The control thread has other things to do: after so long the rest waits for the next tick, and
 * ports stay as they are until then. 10,000 flows take the first one on a busy machine, and who
 * comes up with more waits; in ticks (every 100 ms) others must have their turn, too. */
#define TURN_NS      (500 * XE_NS_PER_MS)
#define TURN_TICK_NS (50 * XE_NS_PER_MS)
/* Records between two looks at the clock: some 10 ms. */
#define SLICE 256u

struct xe_ct_side {
	struct xe_ct *ct;
	uint64_t again_ns; /* 0: not */
	/* XE_FR_ADOPTED: by tags, their entries are kept. Others: looked at, and left to the
	 * kernel; forgotten when the adoption under way has looked at all. */
	struct xe_flow_file seen;
	struct xe_flow_file over; /* those whose sessions have ended */
	struct xe_flow_file held; /* adopted by tags from elsewhere: they get an entry */
	struct xe_ct_gone gone;   /* hosts of ports that are no more */
	/* of the adoption under way */
	struct xe_prefix *inside; /* whose flows are asked for */
	uint32_t inside_cnt;
	struct xe_flow_file found; /* last read, and looked at before this place */
	uint32_t at;
	uint32_t taken; /* sessions made of them */
	uint32_t from;  /* seen before this turn */
	struct xe_ct_host *hosts;
	uint64_t end_ns; /* of this turn */
	bool late;       /* it was over before all had been looked at */
	uint32_t behind; /* left to the kernel for the moment */
};

void xe_ct_start(struct xe_service *svc)
{
	struct xe_ct_side *side = calloc(1, sizeof(*side));
	int err = side ? xe_ct_open(&side->ct) : -ENOMEM;

	if (!err) {
		xe_flow_file_init(&side->seen);
		xe_flow_file_init(&side->over);
		xe_flow_file_init(&side->held);
		xe_flow_file_init(&side->found);
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
	/* Handed back, they are in use. */
	if (svc->config->on_stop == XE_STOP_CLEAN && !svc->given)
		xe_ct_delete(svc->ct->ct, &svc->ct->seen, XE_FR_ADOPTED);
	xe_ct_close(svc->ct->ct);
	xe_flow_file_free(&svc->ct->seen);
	xe_flow_file_free(&svc->ct->over);
	xe_flow_file_free(&svc->ct->held);
	xe_flow_file_free(&svc->ct->found);
	free(svc->ct->inside);
	xe_ct_gone_free(&svc->ct->gone);
	free(svc->ct);
	svc->ct = NULL;
}

struct xe_ct *xe_ct_of(const struct xe_service *svc)
{
	return svc->ct ? svc->ct->ct : NULL;
}

/* ---- where a flow's ends are ---- */

/* The port by which the flow's packets leave, as it is routed. */
static struct xe_port *find_out(struct xe_service *svc, const struct xe_port *in,
				const struct xe_flow_record *r)
{
	int iif = xe_netlink_l3_ifindex(svc->netlink, in->ifindex);
	const struct xe_ct_host *h;
	struct xe_route route;
	struct xe_port *out;

	if (xe_netlink_route(svc->netlink, &r->nat_dst, &r->src, iif, &route) ||
	    route.type != RTN_UNICAST || route.encap)
		return NULL;
	out = xe_port_by_ifindex(svc, route.oif);
	if (!out) { /* another container behind a bridge */
		h = xe_ct_host_find(svc, svc->ct->hosts, &r->nat_dst);
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
	if (r->flags & XE_FR_FROM_OUTSIDE && !(r->flags & XE_FR_MAPPED))
		return xe_ruleset_lookup(rs, &r->nat_dst, &r->nat_src, r->nat_sport_be, r->proto,
					 out->id | XE_IN_UPLINK, XE_OUT_SOME_INSIDE);
	return xe_ruleset_lookup(rs, &r->src, &r->dst, r->dport_be, r->proto, in->id, out_port);
}

static bool is_in_range(const struct xe_service *svc, uint16_t l4_port)
{
	return svc->nat_ports[l4_port >> 6] >> (l4_port & 63) & 1;
}

/* Is its L4 port, one of ours, that of all flows of its inside host's L4 port? */
static bool is_mapped(const struct xe_service *svc, const struct xe_flow_record *r, int rule_idx)
{
	const struct xe_rule *rule = &svc->ruleset->rules[rule_idx];
	bool independent = rule->mapping == XE_MAPPING_DEFAULT
				   ? r->proto == IPPROTO_UDP
				   : rule->mapping == XE_MAPPING_INDEPENDENT;

	return (rule->verb == XE_VERB_SNAT || rule->verb == XE_VERB_MASQUERADE) && independent &&
	       is_in_range(svc, ntohs(r->nat_sport_be));
}

/* The rule, and XE_FR_MAPPED with the filter where it is a mapping of ours that was handed back:
 * then a peer may have opened the flow by it. */
static int find_rule_or_mapping(const struct xe_service *svc, struct xe_flow_record *r,
				const struct xe_port *in, const struct xe_port *out)
{
	int rule = find_rule(svc, r, in, out);

	if (rule < 0 && r->flags & XE_FR_FROM_OUTSIDE) {
		r->flags |= XE_FR_MAPPED;
		rule = find_rule(svc, r, in, out);
		r->flags &= (uint8_t)~XE_FR_MAPPED;
		if (rule >= 0 && !is_mapped(svc, r, rule))
			return -1;
	}
	if (rule >= 0 && is_mapped(svc, r, rule)) {
		r->flags |= XE_FR_MAPPED;
		r->filter = svc->ruleset->rules[rule].filter;
	}
	return rule;
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
		       (!(r->flags & XE_FR_FROM_OUTSIDE) || r->flags & XE_FR_MAPPED);
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
	const struct xe_ct_host h = *xe_ct_host_find(svc, svc->ct->hosts, &r->src);
	struct xe_port *out;
	enum xe_verb verb;
	int rule;

	svc->ct->behind += h.unresolved;
	if (!h.port || !xe_port_allows(h.port, &r->src))
		return false;
	xe_ct_places_note(&svc->ct->gone.places, &h);
	out = find_out(svc, h.port, r);
	rule = out ? find_rule_or_mapping(svc, r, h.port, out) : -1;
	if (rule < 0)
		return false;
	verb = svc->ruleset->rules[rule].verb;
	if (!fits(r, verb, out))
		return false;
	if (r->proto == IPPROTO_TCP && r->tcp_state != XE_TCP_ESTABLISHED) {
		svc->ct->behind += r->tcp_state < XE_TCP_ESTABLISHED;
		return false;
	}
	memcpy(r->mac_back, h.mac, sizeof(r->mac_back));
	r->verb = (uint8_t)verb;
	r->rule_id = svc->ruleset->ids[rule];
	if (verb == XE_VERB_SNAT || verb == XE_VERB_MASQUERADE)
		r->flags |= XE_FR_EXT;
	r->in_port = xe_flow_file_port(out_file, h.port->name, (uint32_t)h.port->ifindex,
				       (uint8_t)h.port->role);
	r->out_port =
		xe_flow_file_port(out_file, out->name, (uint32_t)out->ifindex, (uint8_t)out->role);
	return !xe_flow_record_fault(r, out_file->port_cnt);
}

/* ---- passes ---- */

/* Whose flows may be new to us: those of the inside ports that come up, or, where an uplink does or
 * none, of all. */
static bool is_asked(const struct xe_port *p, bool all)
{
	return p->id != XE_PORT_NONE && p->role == XE_ROLE_INSIDE && (all || p->moving);
}

/* Their prefixes; the caller frees them. */
static struct xe_prefix *inside_prefixes(const struct xe_service *svc, uint32_t *cnt)
{
	struct xe_prefix *list;
	bool all = true;
	uint32_t n = 0;

	*cnt = 0;
	for (const struct xe_port *p = svc->port_list; p; p = p->next)
		all &= !(p->moving && p->role == XE_ROLE_INSIDE);
	for (const struct xe_port *p = svc->port_list; p; p = p->next)
		all |= p->moving && p->role == XE_ROLE_UPLINK;
	for (const struct xe_port *p = svc->port_list; p; p = p->next)
		n += is_asked(p, all) ? p->allow_cnt : 0;
	list = calloc(n + 1ul, sizeof(*list));
	for (const struct xe_port *p = svc->port_list; p && list; p = p->next) {
		if (!is_asked(p, all) || !p->allow_cnt)
			continue;
		memcpy(list + *cnt, p->allow, p->allow_cnt * sizeof(*list));
		*cnt += p->allow_cnt;
	}
	return list;
}

static int read_new(struct xe_ct_side *side)
{
	int err = 0;

	xe_flow_file_free(&side->found);
	xe_flow_file_init(&side->found);
	side->at = side->taken = 0;
	if (side->inside_cnt)
		err = xe_ct_read(side->ct, side->inside, side->inside_cnt, &side->seen,
				 &side->found);
	return err == -EINTR ? 0 : err; /* what is missing, the next pass finds */
}

/* The next records become sessions, as many as a slice has. */
static int adopt_slice(struct xe_service *svc)
{
	struct xe_ct_side *side = svc->ct;
	struct xe_flow_file placed;
	int err = 0;

	xe_flow_file_init(&placed);
	for (uint32_t n = 0; side->at < side->found.record_cnt && n < SLICE && !err; n++) {
		struct xe_flow_record *r = &side->found.records[side->at++];

		err = xe_flow_file_add(place(svc, r, &placed) ? &placed : &side->seen, r);
	}
	if (!err && placed.record_cnt)
		err = xe_adopt_add(svc, &placed, NULL);
	for (uint32_t i = 0; i < placed.record_cnt && err >= 0; i++) {
		side->taken += !!(placed.records[i].flags & XE_FR_ADOPTED);
		err = xe_flow_file_add(&side->seen, &placed.records[i]);
	}
	xe_flow_file_free(&placed);
	return err < 0 ? err : 0;
}

/* Sessions of what the kernel has and we have not; goes on where the last turn was over. Returns
 * how many there are of this reading. */
static int adopt_new(struct xe_service *svc)
{
	struct xe_ct_side *side = svc->ct;
	int err = side->late ? 0 : read_new(side);

	side->late = false;
	while (!err && side->at < side->found.record_cnt && !side->late) {
		err = adopt_slice(svc);
		side->late =
			!err && side->at < side->found.record_cnt && xe_now_ns() > side->end_ns;
	}
	return err ? err : (int)side->taken;
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

static bool any_taken(const struct xe_ct_side *side)
{
	for (uint32_t i = side->seen.record_cnt; i-- > side->from;)
		if (side->seen.records[i].flags & XE_FR_ADOPTED)
			return true;
	return false;
}

/* Where the first one finds nothing, there is nothing: what has begun since is as new as what
 * begins now. */
static int passes(struct xe_service *svc)
{
	bool moving = any_moving(svc);
	int cnt = 0;

	for (int i = 0; i < PASSES_MOVING; i++) {
		cnt = adopt_new(svc);
		if (cnt <= 0 || svc->ct->late)
			break;
	}
	if (cnt < 0 || svc->ct->late)
		return cnt;
	take_all(svc);
	return moving && any_taken(svc->ct) ? adopt_new(svc) : cnt;
}

/* ---- entries that are of no use any more ---- */

void xe_ct_is_over(struct xe_service *svc, const struct xe_flow_record *record)
{
	if (svc->ct) /* without memory it stays until its time is up */
		xe_flow_file_add(&svc->ct->over, record);
}

void xe_ct_neigh_event(struct xe_service *svc, const struct xe_neigh *neigh)
{
	if (svc->ct)
		xe_ct_places_neigh(svc, &svc->ct->gone.places, neigh);
}

void xe_ct_port_gone(struct xe_service *svc, const struct xe_port *port)
{
	if (svc->ct && port->role == XE_ROLE_INSIDE)
		xe_ct_gone_port(&svc->ct->gone, port);
}

static void delete_over(struct xe_service *svc)
{
	struct xe_ct_side *side = svc->ct;

	if (side->over.record_cnt) {
		xe_ct_subtract(&side->seen, &side->over);
		xe_ct_subtract(&side->held, &side->over);
		xe_ct_delete(side->ct, &side->over, 0);
		side->over.record_cnt = 0;
	}
	xe_ct_gone_delete(&side->gone, side->ct);
}

/* Those that were adopted by tags from a dead process's state or another one: the kernel is to know
 * of them, too. */
void xe_ct_is_held(struct xe_service *svc, const struct xe_flow_record *record)
{
	if (svc->ct && !(record->flags & XE_FR_KERNEL))
		xe_flow_file_add(&svc->ct->held, record);
}

static void write_held(struct xe_service *svc)
{
	struct xe_ct_side *side = svc->ct;
	struct xe_ct_result result;

	if (!side->held.record_cnt)
		return;
	xe_ct_write(side->ct, &side->held, NULL, &result);
	xe_ct_keep(side->ct, &side->held, 0);
	for (uint32_t i = 0; i < side->held.record_cnt; i++) {
		side->held.records[i].flags |= XE_FR_ADOPTED;
		xe_flow_file_add(&side->seen, &side->held.records[i]);
	}
	side->held.record_cnt = 0;
}

/* The entries of what has been adopted since `from`: kept, or deleted. Returns how many. */
static int settle(struct xe_ct_side *side, uint32_t from)
{
	struct xe_flow_file *seen = &side->seen, fresh = *seen, gone;
	uint32_t kept = 0;
	int cnt = 0;

	fresh.records += from;
	fresh.record_cnt -= from;
	xe_ct_keep(side->ct, &fresh, XE_FR_TAGS);
	xe_flow_file_init(&gone);
	for (uint32_t i = 0; i < seen->record_cnt; i++) {
		const struct xe_flow_record *r = &seen->records[i];
		bool adopted = r->flags & XE_FR_ADOPTED, is_fresh = i >= from;
		bool here = adopted && is_fresh && !(r->flags & XE_FR_TAGS);

		cnt += adopted && is_fresh;
		if (here)
			xe_flow_file_add(&gone, r);
		if (!here && (adopted || side->late))
			seen->records[kept++] = *r;
	}
	seen->record_cnt = kept;
	xe_ct_delete(side->ct, &gone, 0);
	xe_flow_file_free(&gone);
	return cnt;
}

/* What was left to the kernel may be ours with the ports that there are now. */
static void forget_left(struct xe_flow_file *seen)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < seen->record_cnt; i++)
		if (seen->records[i].flags & XE_FR_ADOPTED)
			seen->records[kept++] = seen->records[i];
	seen->record_cnt = kept;
}

/* A turn of an adoption that has just begun, or goes on. */
static int turn(struct xe_service *svc, uint64_t turn_ns)
{
	struct xe_ct_side *side = svc->ct;
	uint64_t start_ns = xe_now_ns();
	int err = -ENOMEM, cnt;

	side->from = side->seen.record_cnt;
	side->behind = 0;
	side->end_ns = start_ns + turn_ns;
	side->hosts = calloc(XE_CT_HOSTS, sizeof(*side->hosts));
	if (side->hosts)
		err = passes(svc);
	if (err < 0) {
		xe_log_warn("conntrack: %s: flows may have stayed in the kernel", strerror(-err));
		side->late = false;
	}
	if (!side->late)
		take_all(svc);
	cnt = settle(side, side->from);
	if (cnt)
		xe_log_info("conntrack: %d flows of the kernel go on here (%u ms%s)", cnt,
			    (uint32_t)((xe_now_ns() - start_ns) / XE_NS_PER_MS),
			    side->late ? ", there are more" : "");
	free(side->hosts);
	side->hosts = NULL;
	return cnt;
}

int xe_ct_adopt(struct xe_service *svc)
{
	struct xe_ct_side *side = svc->ct;
	int cnt;

	if (xe_adopt_is_busy(svc))
		return 0; /* when that has ended: what was here before knows best */
	if (!side) {
		take_all(svc);
		return 0;
	}
	delete_over(svc);
	forget_left(&side->seen);
	free(side->inside);
	side->inside = inside_prefixes(svc, &side->inside_cnt);
	side->late = false; /* from the beginning: what is here, is passed over */
	cnt = turn(svc, TURN_NS);
	side->again_ns = side->behind ? xe_now_ns() + AGAIN_NS : 0;
	return cnt;
}

/* Whether the workers answer is asked only then: an idle one sleeps on, and nobody waits here for
 * one that a busy CPU keeps waiting. */
static bool is_due(const struct xe_ct_side *side)
{
	return side->over.record_cnt || side->gone.cnt || side->held.record_cnt || side->late ||
	       (side->again_ns && xe_now_ns() > side->again_ns);
}

void xe_ct_tick(struct xe_service *svc)
{
	struct xe_ct_side *side = svc->ct;

	if (side)
		xe_ct_gone_look(svc, &side->gone);
	if (!side || !is_due(side) || xe_adopt_is_busy(svc) || xe_watch_stalled(svc))
		return;
	delete_over(svc);
	write_held(svc);
	if (side->late) {
		turn(svc, TURN_TICK_NS);
	} else if (side->again_ns && xe_now_ns() > side->again_ns) {
		side->again_ns = 0; /* once, for the same ports */
		turn(svc, TURN_TICK_NS);
	}
}
