/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * too_big.c - tell a peer that its packet with DF does not fit the way in: ICMP 3/4 (RFC 1191).
 *
 * The kernel answers for what goes out (punt.c), but a packet from an uplink it does not know as
 * one to be forwarded: the session is ours. Made before nat, so the peer finds in it the packet as
 * it sent it. It comes from the address the peer spoke to, or where that is the container's own
 * (an `accept` rule), from the one the host has on that way.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>

#include "base/insum.h"
#include "pipeline/cut.h"
#include "pipeline/pipeline.h"

/* An answer that a router gives without being asked is bounded (RFC 1812 section 4.3.2.8). One a
 * flow and second is what TCP needs; the kernel allows 1000 of all ICMP a second. */
#define ANSWERS_PER_S 100
/* RFC 1812 section 4.3.2.3: as much of the packet as fits into 576 bytes. */
#define ANSWER_MAX 576
#define ICMP_HDR   8
/* Internetwork control, RFC 1812 section 4.3.2.5. */
#define TOS_CONTROL 0xc0
#define TTL         64

static bool may_answer(struct xe_lane *lane)
{
	if (lane->answers_s != lane->now_s) {
		lane->answers_s = lane->now_s;
		lane->answers = 0;
	}
	return lane->answers++ < ANSWERS_PER_S;
}

/* Whose answer it is. 0: nobody's. */
static __be32 answer_from(const struct xe_lane *lane, const struct xe_packet *p)
{
	const struct xe_session *s = p->session;
	uint32_t ext;

	if (s->ext != XE_NIL)
		return p->key.dst_be;
	ext = xe_nexthop_read(&lane->nexthops.slots[s->nexthop]).masq_ext;
	return ext == XE_NIL ? 0 : lane->pool.ext[ext].addr_be;
}

static void write_answer(uint8_t *l2, const struct xe_packet *p, __be32 from_be, uint32_t quote_len,
			 uint32_t mtu)
{
	uint8_t *ip = l2 + XE_L3_OFF, *icmp = ip + XE_IP_HDR_MIN;

	memcpy(l2, p->l2 + 6, 6);
	memcpy(l2 + 6, p->l2, 6);
	memcpy(l2 + 12, p->l2 + 12, 2);
	memset(ip, 0, XE_IP_HDR_MIN + ICMP_HDR);
	ip[0] = 0x45;
	ip[1] = TOS_CONTROL;
	xe_put16(ip + XE_IP_FRAG, htons(XE_IP_DF)); /* and so no id: RFC 6864 */
	ip[XE_IP_TTL] = TTL;
	ip[XE_IP_PROTO] = IPPROTO_ICMP;
	xe_put32(ip + XE_IP_SRC, from_be);
	xe_put32(ip + XE_IP_DST, p->key.src_be);
	xe_ip_finish(ip, XE_IP_HDR_MIN + ICMP_HDR + quote_len);
	icmp[0] = ICMP_DEST_UNREACH;
	icmp[1] = ICMP_FRAG_NEEDED;
	xe_put16(icmp + 6, htons((uint16_t)mtu));
	memcpy(icmp + ICMP_HDR, p->l2 + XE_L3_OFF, quote_len);
	xe_put16(icmp + 2, xe_csum_finish(xe_insum(icmp, ICMP_HDR + quote_len)));
}

void xe_too_big(struct xe_lane *lane, const struct xe_packet *p, uint32_t mtu)
{
	uint32_t quote_len = p->frames[0].len - XE_L3_OFF, frame;
	__be32 from_be = answer_from(lane, p);
	struct xe_packet answer = {
		.out_port = p->in_port,
		.frame_cnt = 1,
	};

	if (!from_be || !may_answer(lane) || !xe_umem_take(&lane->umem, &frame, 1))
		return;
	if (quote_len > ANSWER_MAX - XE_IP_HDR_MIN - ICMP_HDR)
		quote_len = ANSWER_MAX - XE_IP_HDR_MIN - ICMP_HDR;
	answer.len = XE_L3_OFF + XE_IP_HDR_MIN + ICMP_HDR + quote_len;
	answer.frames[0] = (struct xdp_desc){
		.addr = ((uint64_t)frame << XE_FRAME_SHIFT) + XE_FRAME_HEADROOM,
		.len = answer.len,
	};
	answer.l2 = xe_umem_ptr(&lane->umem, answer.frames[0].addr);
	write_answer(answer.l2, p, from_be, quote_len, mtu);
	xe_count(&lane->cnt.made, 1);
	xe_tx_piece(lane, &answer);
}
