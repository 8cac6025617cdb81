/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * flow6.c - from the addresses of an IPv6 packet to the numbers that tuples have (state/addr6.h).
 *
 * In flow and not in parse: a packet of the burst before this one may have begun its flow, or ended
 * one and with it a number's use. For the same reason a packet that was held gets them anew.
 */
#include "pipeline/pipeline.h"

/* The session that the hash leads to names the numbers; the addresses behind them are the packet's,
 * or it is another flow. Two lines more than IPv4, and no look-up. */
static bool take_guess(const struct xe_lane *lane, struct xe_packet *p)
{
	const struct xe_addr6_table *t = &lane->sessions.addr6;
	const uint8_t *ip = p->l2 + XE_L3_OFF;
	const struct xe_tuple4 *key;

	if (p->guess == XE_NIL)
		return false;
	key = &lane->sessions.slots[p->guess >> 1].key[p->guess & 1];
	if (key->family != XE_FAMILY_6 || !xe_addr6_is(t, key->src_be, ip + XE_IP6_SRC) ||
	    !xe_addr6_is(t, key->dst_be, ip + XE_IP6_DST))
		return false;
	p->key.src_be = key->src_be;
	p->key.dst_be = key->dst_be;
	return true;
}

void xe_flow6_key(struct xe_lane *lane, struct xe_packet *p)
{
	const uint8_t *ip = p->l2 + XE_L3_OFF;

	if (take_guess(lane, p))
		return;
	p->key.src_be = xe_addr6_find(&lane->sessions.addr6, ip + XE_IP6_SRC);
	p->key.dst_be = xe_addr6_find(&lane->sessions.addr6, ip + XE_IP6_DST);
}

bool xe_flow6_hold(struct xe_lane *lane, struct xe_packet *p)
{
	struct xe_addr6_table *t = &lane->sessions.addr6;
	const uint8_t *ip = p->l2 + XE_L3_OFF;

	p->key.src_be = xe_addr6_get(t, ip + XE_IP6_SRC);
	if (p->key.src_be == XE_NIL)
		return false;
	p->key.dst_be = xe_addr6_get(t, ip + XE_IP6_DST);
	if (p->key.dst_be != XE_NIL)
		return true;
	xe_addr6_unref(t, p->key.src_be);
	return false;
}

void xe_flow6_let_go(struct xe_lane *lane, const struct xe_packet *p)
{
	xe_addr6_unref(&lane->sessions.addr6, p->key.src_be);
	xe_addr6_unref(&lane->sessions.addr6, p->key.dst_be);
}

void xe_flow6_new(struct xe_lane *lane, struct xe_packet *p)
{
	if (!xe_flow6_hold(lane, p)) {
		xe_answer(lane, p, XE_ANSWER_PROHIBITED, 0);
		xe_packet_drop(lane, p, XE_R_SESSIONS_FULL);
		return;
	}
	xe_flow_new(lane, p);
	xe_flow6_let_go(lane, p);
}

bool xe_flow6_allowed(const struct xe_lane_port *port, const struct xe_packet *p)
{
	struct xe_addr src = xe_packet_src(p);

	for (uint32_t i = 0; i < port->allow6_cnt; i++) {
		const struct xe_prefix6 *a = &port->allow6[i];

		if (!(((src.q[0] & a->mask.q[0]) ^ a->net.q[0]) |
		      ((src.q[1] & a->mask.q[1]) ^ a->net.q[1])))
			return true;
	}
	return false;
}
