/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * nat.c - rewrite addresses and L4 ports, and the checksum fields that cover them.
 *
 * The new tuple is the session's other key read backwards. Checksum fields are updated, never
 * recomputed (RFC 1624): a packet that came in broken goes out broken. A field that holds only the
 * pseudo-header sum (the sender left it to an offload) is kept as such and completed later.
 */
#include "pipeline/nat.h"

#include "pipeline/pipeline.h"
#include "pipeline/vnet.h"

static inline __attribute__((always_inline)) void nat_csum(struct xe_packet *p,
							   const struct xe_session *s, uint8_t *l4)
{
	p->partial = xe_packet_is_partial(p);
	xe_nat_l4_csum(s, p->dir, p->proto, p->partial, l4 + xe_csum_offset(p));
}

/* No header checksum, and a UDP checksum of 0 is no "none" that could stay so behind another
 * address (RFC 8200 section 8.1): such a packet passes only where nothing is translated. */
static bool nat6_one(struct xe_lane *lane, struct xe_packet *p)
{
	const struct xe_addr6_table *t = &lane->sessions.addr6;
	const struct xe_tuple4 *reply = &p->session->key[!p->dir];
	uint8_t *ip = p->l2 + XE_L3_OFF, *l4 = p->l2 + p->l4_off;

	if (p->proto == IPPROTO_UDP && !xe_get16(l4 + XE_UDP_CSUM) &&
	    xe_session_is_translated(p->session))
		return false;
	nat_csum(p, p->session, l4);
	memcpy(ip + XE_IP6_SRC, xe_addr6_at(t, reply->dst_be), sizeof(struct xe_addr));
	memcpy(ip + XE_IP6_DST, xe_addr6_at(t, reply->src_be), sizeof(struct xe_addr));
	xe_put16(l4, reply->dport_be);
	xe_put16(l4 + 2, reply->sport_be);
	return true;
}

static void nat_one(struct xe_packet *p)
{
	const struct xe_session *s = p->session;
	const struct xe_tuple4 *reply = &s->key[!p->dir];
	uint8_t *ip = p->l2 + XE_L3_OFF, *l4 = p->l2 + p->l4_off;

	nat_csum(p, s, l4);
	xe_put32(ip + XE_IP_SRC, reply->dst_be);
	xe_put32(ip + XE_IP_DST, reply->src_be);
	xe_put16(l4, reply->dport_be);
	xe_put16(l4 + 2, reply->sport_be);
	xe_put16(ip + XE_IP_CSUM,
		 xe_csum_apply(xe_get16(ip + XE_IP_CSUM), xe_nat_delta(p->dir, s->ip_delta)));
}

/* One copy of the loop and all that it calls, for both. */
static __attribute__((noinline)) void nat_range(struct xe_lane *lane, struct xe_packet *p,
						struct xe_packet *end)
{
	for (; p < end; p++) {
		if (p->ended)
			continue;
		if (!xe_packet_is_v6(p))
			nat_one(p);
		else if (!nat6_one(lane, p))
			xe_packet_drop(lane, p, XE_R_W_MALFORMED);
	}
}

void xe_nat(struct xe_lane *lane, struct xe_burst *burst)
{
	nat_range(lane, burst->packets, burst->packets + burst->cnt);
}

void xe_nat_packet(struct xe_lane *lane, struct xe_packet *p)
{
	nat_range(lane, p, p + 1);
}
