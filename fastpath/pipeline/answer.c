/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * answer.c - ICMP errors and TCP resets of our own (answer.h).
 *
 * Made before nat, so that the asker finds in an error the packet as it sent it. An error comes
 * from the address of ours that the asker knows: the one it spoke to where the flow is translated
 * and the asker is outside, else the host's own on that port (RFC 1812 section 4.3.2.4). A reset
 * comes from whom the asker spoke to.
 *
 * Half way between two containers (hairpin.c) the packet has been translated once, and its sender
 * is an Ext address: the answer goes there, from the one it spoke to, and comes in again as the
 * packet did. So the sender's session, wherever it is, makes of it and of what it quotes what the
 * sender knows.
 */
#include "pipeline/answer.h"

#include <arpa/inet.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>

#include "base/insum.h"
#include "pipeline/icmp.h"
#include "pipeline/pipeline.h"

#define ICMP_HDR 8
/* As much of the packet as fits into 576 bytes (RFC 1812 section 4.3.2.3), into the minimum IPv6
 * MTU (RFC 4443 section 2.4). */
#define ANSWER_MAX4 576
#define ANSWER_MAX6 1280
/* Internetwork control, RFC 1812 section 4.3.2.5. */
#define TOS_CONTROL 0xc0
#define TTL         64

static const struct {
	uint8_t type4, code4, type6, code6;
} icmp_of[] = {
	[XE_ANSWER_TOO_BIG] = {ICMP_DEST_UNREACH, ICMP_FRAG_NEEDED, ICMP6_PACKET_TOO_BIG, 0},
	[XE_ANSWER_PROHIBITED] = {ICMP_DEST_UNREACH, ICMP_PKT_FILTERED, ICMP6_DST_UNREACH,
				  ICMP6_DST_UNREACH_ADMIN},
	[XE_ANSWER_TTL] = {ICMP_TIME_EXCEEDED, ICMP_EXC_TTL, ICMP6_TIME_EXCEEDED,
			   ICMP6_TIME_EXCEED_TRANSIT},
};

static bool is_v6(const struct xe_packet *p)
{
	return p->l2[XE_L3_OFF] >> 4 == 6;
}

/* ---- may it be answered? ---- */

/* A single host, that can be sent to. */
static bool is_host4(__be32 addr_be)
{
	uint32_t a = ntohl(addr_be);

	return a >> 24 && a >> 24 != 127 && a < 0xe0000000u;
}

static bool is_host6(const uint8_t *addr)
{
	static const uint8_t none[15];

	return addr[0] != 0xff && memcmp(addr, none, sizeof(none));
}

static bool deserves(const struct xe_packet *p, bool reset)
{
	const uint8_t *ip = p->l2 + XE_L3_OFF;

	if (p->proto == IPPROTO_ICMP || p->proto == IPPROTO_ICMPV6 || p->l2[0] & 1)
		return false;
	if (reset && p->tcp_flags & XE_TH_RST)
		return false;
	if (is_v6(p))
		return is_host6(ip + XE_IP6_SRC);
	return !(xe_get16(ip + XE_IP_FRAG) & htons(0x1fff)) && is_host4(xe_get32(ip + XE_IP_SRC));
}

static struct xe_answer_count *slot_of(struct xe_lane *lane, const struct xe_packet *p)
{
	const uint8_t *ip = p->l2 + XE_L3_OFF, *src = ip + (is_v6(p) ? XE_IP6_SRC : XE_IP_SRC);
	struct xe_tuple4 key = {.src_be = xe_get32(src), .port = p->in_port};

	if (is_v6(p))
		key.dst_be = xe_get32(src + 4);
	return &lane->answers.source[xe_session_hash(&lane->sessions, &key) % XE_ANSWER_SLOTS];
}

static bool count_one(struct xe_answer_count *c, uint32_t now_s, bool reset, uint32_t max)
{
	if (c->second != now_s)
		*c = (struct xe_answer_count){.second = now_s};
	if (c->cnt[reset] >= max)
		return false;
	c->cnt[reset]++;
	return true;
}

/* The source first: one that has had its share takes nothing from the others'. */
static bool within_limits(struct xe_lane *lane, const struct xe_packet *p, bool reset)
{
	return count_one(slot_of(lane, p), lane->now_s, reset,
			 reset ? XE_RESETS_PER_SOURCE_S : XE_ANSWERS_PER_SOURCE_S) &&
	       count_one(&lane->answers.all, lane->now_s, reset,
			 reset ? XE_RESETS_PER_S : XE_ANSWERS_PER_S);
}

/* ---- its headers ---- */

/* The address an error comes from, written to `from`. False: we have none there. */
static bool answer_from(const struct xe_lane *lane, const struct xe_packet *p, uint8_t *from)
{
	const struct xe_lane_port *port = &lane->ports[p->in_port];
	const uint8_t *ip = p->l2 + XE_L3_OFF;
	bool spoken_to = p->hairpin || (p->role == XE_ROLE_UPLINK && p->session &&
					xe_session_is_translated(p->session));

	if (is_v6(p)) {
		memcpy(from, spoken_to ? ip + XE_IP6_DST : port->own6.b, 16);
		return spoken_to || port->own6.q[0] || port->own6.q[1];
	}
	memcpy(from, spoken_to ? ip + XE_IP_DST : (const uint8_t *)&port->own4_be, 4);
	return spoken_to || port->own4_be;
}

/* Ethernet and IP headers of an answer with l4_len bytes behind them; from: an address as in the
 * packet. Returns its L4 header. */
static uint8_t *write_ip(uint8_t *l2, const struct xe_packet *p, const uint8_t *from, uint8_t proto,
			 uint8_t tos, uint32_t l4_len)
{
	const uint8_t *asked = p->l2 + XE_L3_OFF;
	uint8_t *ip = l2 + XE_L3_OFF;

	memcpy(l2, p->l2 + 6, 6);
	memcpy(l2 + 6, p->l2, 6);
	memcpy(l2 + 12, p->l2 + 12, 2);
	if (is_v6(p)) {
		memset(ip, 0, XE_IP6_HDR);
		xe_put16(ip, htons((uint16_t)(0x6000 | tos << 4)));
		xe_put16(ip + XE_IP6_PAYLOAD, htons((uint16_t)l4_len));
		ip[XE_IP6_NEXT] = proto;
		ip[XE_IP6_HOPS] = TTL;
		memcpy(ip + XE_IP6_SRC, from, 16);
		memcpy(ip + XE_IP6_DST, asked + XE_IP6_SRC, 16);
		return ip + XE_IP6_HDR;
	}
	memset(ip, 0, XE_IP_HDR_MIN);
	ip[0] = 0x45;
	ip[1] = tos;
	xe_put16(ip + XE_IP_TOT_LEN, htons((uint16_t)(XE_IP_HDR_MIN + l4_len)));
	xe_put16(ip + XE_IP_FRAG, htons(XE_IP_DF)); /* and so no id: RFC 6864 */
	ip[XE_IP_TTL] = TTL;
	ip[XE_IP_PROTO] = proto;
	memcpy(ip + XE_IP_SRC, from, 4);
	memcpy(ip + XE_IP_DST, asked + XE_IP_SRC, 4);
	xe_put16(ip + XE_IP_CSUM, xe_csum_finish(xe_insum(ip, XE_IP_HDR_MIN)));
	return ip + XE_IP_HDR_MIN;
}

static uint64_t pseudo_of(const uint8_t *l2, bool v6, uint8_t proto, uint32_t l4_len)
{
	const uint8_t *ip = l2 + XE_L3_OFF;

	if (v6)
		return xe_insum_pseudo6(ip + XE_IP6_SRC, ip + XE_IP6_DST, proto, l4_len);
	return xe_insum_pseudo4(xe_get32(ip + XE_IP_SRC), xe_get32(ip + XE_IP_DST), proto, l4_len);
}

/* ---- errors ---- */

/* What is quoted of a superpacket is its first segment, for the sender never sent the whole. */
static void quote_segment(uint8_t *quote, const struct xe_packet *p)
{
	uint32_t ip_len = p->l4_off - XE_L3_OFF + p->l4_hdr_len + p->gso_size;

	if (is_v6(p)) {
		xe_put16(quote + XE_IP6_PAYLOAD, htons((uint16_t)(ip_len - XE_IP6_HDR)));
		return;
	}
	xe_put16(quote + XE_IP_CSUM,
		 xe_csum_replace16(xe_get16(quote + XE_IP_CSUM), xe_get16(quote + XE_IP_TOT_LEN),
				   htons((uint16_t)ip_len)));
	xe_put16(quote + XE_IP_TOT_LEN, htons((uint16_t)ip_len));
}

static uint32_t quote_len(const struct xe_packet *p)
{
	uint32_t len = p->frames[0].len - XE_L3_OFF;
	uint32_t max = is_v6(p) ? ANSWER_MAX6 - XE_IP6_HDR - ICMP_HDR
				: ANSWER_MAX4 - XE_IP_HDR_MIN - ICMP_HDR;

	if (p->gso_size && len > p->l4_off - XE_L3_OFF + p->l4_hdr_len + (uint32_t)p->gso_size)
		len = p->l4_off - XE_L3_OFF + p->l4_hdr_len + (uint32_t)p->gso_size;
	return len < max ? len : max;
}

/* Returns its length. */
static uint32_t write_error(uint8_t *l2, const struct xe_packet *p, const uint8_t *from,
			    enum xe_answer_kind kind, uint32_t arg)
{
	uint32_t len = ICMP_HDR + quote_len(p);
	uint8_t proto = is_v6(p) ? IPPROTO_ICMPV6 : IPPROTO_ICMP;
	uint8_t *icmp = write_ip(l2, p, from, proto, TOS_CONTROL, len);
	uint64_t pseudo = is_v6(p) ? pseudo_of(l2, true, proto, len) : 0;

	memset(icmp, 0, ICMP_HDR);
	icmp[0] = is_v6(p) ? icmp_of[kind].type6 : icmp_of[kind].type4;
	icmp[1] = is_v6(p) ? icmp_of[kind].code6 : icmp_of[kind].code4;
	if (kind == XE_ANSWER_TOO_BIG && is_v6(p))
		xe_put32(icmp + 4, htonl(arg));
	else if (kind == XE_ANSWER_TOO_BIG)
		xe_put16(icmp + 6, htons((uint16_t)arg));
	memcpy(icmp + ICMP_HDR, p->l2 + XE_L3_OFF, len - ICMP_HDR);
	if (p->gso_size)
		quote_segment(icmp + ICMP_HDR, p);
	xe_put16(icmp + 2, xe_csum_finish(pseudo + xe_insum(icmp, len)));
	return (uint32_t)(icmp - l2) + len;
}

/* ---- resets ---- */

/* RFC 9293 section 3.10.7.1: with the number that the other side expects, or, where it said none,
 * an acknowledgement of all that it sent. Returns its length. */
static uint32_t write_reset(uint8_t *l2, const struct xe_packet *p)
{
	const uint8_t *ip = p->l2 + XE_L3_OFF, *asked = p->l2 + p->l4_off;
	uint8_t *tcp = write_ip(l2, p, ip + (is_v6(p) ? XE_IP6_DST : XE_IP_DST), IPPROTO_TCP, 0,
				XE_TCP_HDR_MIN);
	uint32_t seg_len = p->l4_len - p->l4_hdr_len + !!(p->tcp_flags & XE_TH_SYN) +
			   !!(p->tcp_flags & XE_TH_FIN);

	memset(tcp, 0, XE_TCP_HDR_MIN);
	xe_put16(tcp, xe_get16(asked + 2));
	xe_put16(tcp + 2, xe_get16(asked));
	tcp[XE_TCP_DOFF] = XE_TCP_HDR_MIN / 4 << 4;
	tcp[XE_TCP_FLAGS] = XE_TH_RST;
	if (p->tcp_flags & XE_TH_ACK) {
		xe_put32(tcp + XE_TCP_SEQ, xe_get32(asked + XE_TCP_ACK));
	} else {
		tcp[XE_TCP_FLAGS] |= XE_TH_ACK;
		xe_put32(tcp + XE_TCP_ACK, htonl(ntohl(xe_get32(asked + XE_TCP_SEQ)) + seg_len));
	}
	xe_put16(tcp + XE_TCP_CSUM,
		 xe_csum_finish(pseudo_of(l2, is_v6(p), IPPROTO_TCP, XE_TCP_HDR_MIN) +
				xe_insum(tcp, XE_TCP_HDR_MIN)));
	return (uint32_t)(tcp - l2) + XE_TCP_HDR_MIN;
}

/* Back to where a hairpin packet comes from. */
static void send_back_in(struct xe_lane *lane, const struct xe_packet *about,
			 struct xe_packet *answer, bool reset)
{
	memset(answer->l2 - sizeof(struct xe_meta), 0, sizeof(struct xe_meta));
	if (!reset) {
		xe_icmp_again(lane, answer, about->in_port);
		return;
	}
	answer->in_port = about->in_port;
	answer->proto = IPPROTO_TCP;
	answer->l4_len = XE_TCP_HDR_MIN;
	answer->l4_off = (uint16_t)(answer->len - answer->l4_len);
	xe_hairpin_packet(lane, answer);
}

void xe_answer(struct xe_lane *lane, const struct xe_packet *about, enum xe_answer_kind kind,
	       uint32_t arg)
{
	bool reset = kind == XE_ANSWER_REJECT && about->proto == IPPROTO_TCP;
	struct xe_packet answer = {.out_port = about->in_port, .frame_cnt = 1};
	uint8_t from[16];
	uint32_t frame;

	if (!deserves(about, reset) || (!reset && !answer_from(lane, about, from)) ||
	    !within_limits(lane, about, reset) || !xe_umem_take(&lane->umem, &frame, 1))
		return;
	answer.frames[0].addr = ((uint64_t)frame << XE_FRAME_SHIFT) + XE_FRAME_HEADROOM;
	answer.l2 = xe_umem_ptr(&lane->umem, answer.frames[0].addr);
	if (reset)
		answer.len = write_reset(answer.l2, about);
	else
		answer.len =
			write_error(answer.l2, about, from,
				    kind == XE_ANSWER_REJECT ? XE_ANSWER_PROHIBITED : kind, arg);
	answer.frames[0].len = answer.len;
	xe_count(&lane->cnt.made, 1);
	if (about->hairpin)
		send_back_in(lane, about, &answer, reset);
	else
		xe_tx_piece(lane, &answer);
}
