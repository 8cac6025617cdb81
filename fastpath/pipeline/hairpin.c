/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * hairpin.c - from one container to another by an external address (RFC 4787 REQ-9, RFC 5382
 * REQ-8): what one of them sends leaves by its own session, and comes in by the other's.
 *
 *   c1:s -> Ext:P    session of c1, as to any peer       Ext:s' -> Ext:P
 *   Ext:s' -> Ext:P  session of c2, as from any uplink   Ext:s' -> c2:p
 *
 * So each end sees the other with its external address and L4 port, both sessions are what they
 * would be with a router between them, and each belongs to the worker that has its L4 port. Between
 * the two the packet is one that came in by the uplink that the external address is on: it is
 * looked up again here, or handed to the other worker. TTL goes down once, the packet never left.
 */
#include <arpa/inet.h>
#include <netinet/in.h>

#include "pipeline/pipeline.h"

bool xe_hairpin_wanted(const struct xe_lane *lane, const struct xe_packet *p)
{
	struct xe_addr src = xe_packet_src(p), dst = xe_packet_dst(p);
	int rule;

	if (xe_natpool_is_owned(&lane->pool, &dst, p->proto == IPPROTO_UDP, ntohs(p->key.dport_be)))
		return true;
	if (!lane->rules || !lane->rules->any_inbound)
		return false;
	rule = xe_ruleset_lookup(lane->rules, &src, &dst, p->key.dport_be, p->proto, p->in_port,
				 XE_OUT_SOME_INSIDE);
	return rule >= 0 && (lane->rules->rules[rule].verb == XE_VERB_DNAT ||
			     lane->rules->rules[rule].verb == XE_VERB_NAT);
}

static void turn(struct xe_lane *lane, struct xe_packet *p)
{
	const uint8_t *l4 = p->l2 + p->l4_off, *ip = p->l2 + XE_L3_OFF;
	const struct xe_sessions *t = &lane->sessions;

	p->in_port = p->session->out_port;
	p->role = XE_ROLE_UPLINK;
	p->hairpin = true;
	p->handed = XE_HANDED_NOT;
	p->session = NULL;
	p->frag_mtu = p->frag_max; /* where it goes now is not decided */
	p->key.port = XE_PORT_ANYUPLINK;
	p->key.sport_be = xe_get16(l4);
	p->key.dport_be = xe_get16(l4 + 2);
	if (xe_packet_is_v6(p)) {
		struct xe_addr src = xe_packet_src(p), dst = xe_packet_dst(p);

		p->hash = xe_flow_hash6(&p->key, &src, &dst, t->k0, t->k1);
	} else {
		p->key.src_be = xe_get32(ip + XE_IP_SRC);
		p->key.dst_be = xe_get32(ip + XE_IP_DST);
		p->hash = xe_flow_hash(&p->key, t->k0, t->k1);
	}
	p->guess = xe_session_guess(t, p->hash);
}

void xe_hairpin_packet(struct xe_lane *lane, struct xe_packet *p)
{
	p->role = XE_ROLE_UPLINK;
	p->hairpin = true;
	if (!xe_parse_joined(lane, p)) {
		xe_packet_drop(lane, p, XE_R_W_MALFORMED);
		return;
	}
	xe_flow_packet(lane, p);
	if (!p->ended)
		xe_nat_packet(lane, p);
	if (p->ended)
		return;
	xe_fwd_packet(&lane->ports[p->out_port], p);
	xe_tx_piece(lane, p);
}

void xe_hairpin(struct xe_lane *lane, struct xe_burst *burst)
{
	lane->hairpins = 0;
	xe_burst_for_each (p, burst) {
		if (p->ended || p->out_port != XE_PORT_AGAIN)
			continue;
		turn(lane, p);
		xe_flow_packet(lane, p);
		if (!p->ended)
			xe_nat_packet(lane, p);
	}
}
