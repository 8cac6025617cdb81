/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * parse.c - headers and lengths of TCP and UDP packets; those of IPv6 are in parse6.c.
 *
 * steer has checked most of this. It is checked again: a worker writes at the offsets found here,
 * and what runs in the kernel may be an older program of ours, or see another packet than we got.
 */
#include <arpa/inet.h>
#include <netinet/in.h>

#include "base/insum.h"
#include "pipeline/icmp.h"
#include "pipeline/pipeline.h"
#include "pipeline/reassemble.h"

/* What two functions call, gcc would otherwise call for each packet. */
#define always_inline inline __attribute__((always_inline))

/* Cut padding behind the IP packet off the frames (RFC 894 frames are padded to 60 bytes). */
static always_inline void trim(struct xe_lane *lane, struct xe_packet *p, uint32_t len)
{
	uint32_t excess = p->len - len;

	while (excess) {
		struct xdp_desc *last = &p->frames[p->frame_cnt - 1];

		if (last->len > excess) {
			last->len -= excess;
			break;
		}
		excess -= last->len;
		xe_umem_put(&lane->umem, xe_frame_of(last->addr));
		p->frame_cnt--;
	}
	p->len = len;
}

void xe_packet_trim(struct xe_lane *lane, struct xe_packet *p, uint32_t len)
{
	trim(lane, p, len);
}

static always_inline bool parse_tcp(struct xe_packet *p, const uint8_t *l4)
{
	p->l4_hdr_len = (l4[12] >> 4) * 4;
	p->tcp_flags = l4[XE_TCP_FLAGS];
	return p->l4_hdr_len >= XE_TCP_HDR_MIN && p->l4_hdr_len <= p->l4_len;
}

/* The UDP length must be the IP payload's, but for superpackets, where it may name one segment. */
static always_inline bool parse_udp(struct xe_packet *p, const uint8_t *l4)
{
	uint32_t udp_len = ntohs(xe_get16(l4 + XE_UDP_LEN));

	p->l4_hdr_len = XE_UDP_HDR_LEN;
	p->tcp_flags = 0;
	if (p->gso_size)
		return true;
	return udp_len >= XE_UDP_HDR_LEN && udp_len <= p->l4_len;
}

static bool parse_ip4(struct xe_packet *p)
{
	const uint8_t *ip = p->l2 + XE_L3_OFF;
	uint32_t hdr_len, tot_len;

	if (p->frames[0].len < XE_L3_OFF + XE_IP_HDR_MIN + XE_UDP_HDR_LEN)
		return false;
	hdr_len = (ip[0] & 15) * 4;
	tot_len = ntohs(xe_get16(ip + XE_IP_TOT_LEN));
	if (ip[0] >> 4 != 4 || hdr_len < XE_IP_HDR_MIN || tot_len < hdr_len ||
	    XE_L3_OFF + tot_len > p->len || p->frames[0].len < XE_L3_OFF + hdr_len ||
	    !xe_csum_header_valid(ip, hdr_len))
		return false;
	if (xe_get16(ip + XE_IP_FRAG) & htons(XE_IP_MF | XE_IP_OFFSET)) /* reassemble.c's */
		return false;
	p->proto = ip[XE_IP_PROTO];
	p->l4_off = (uint16_t)(XE_L3_OFF + hdr_len);
	p->l4_len = tot_len - hdr_len;
	return true;
}

static always_inline bool parse_l4(struct xe_packet *p)
{
	uint32_t head_len = p->frames[0].len;
	const uint8_t *l4 = p->l2 + p->l4_off;

	if (p->proto == IPPROTO_TCP) {
		if (p->l4_len < XE_TCP_HDR_MIN || head_len < p->l4_off + (uint32_t)XE_TCP_HDR_MIN ||
		    !parse_tcp(p, l4))
			return false;
	} else if (p->proto != IPPROTO_UDP || p->l4_len < XE_UDP_HDR_LEN ||
		   head_len < p->l4_off + (uint32_t)XE_UDP_HDR_LEN || !parse_udp(p, l4)) {
		return false;
	}
	return head_len >= (uint32_t)p->l4_off + p->l4_hdr_len;
}

/* The L4 header and the tuple. */
static always_inline bool parse_rest(struct xe_packet *p, bool v6)
{
	const uint8_t *ip = p->l2 + XE_L3_OFF, *l4 = p->l2 + p->l4_off;

	if (!parse_l4(p))
		return false;
	p->key = (struct xe_tuple4){
		.src_be = xe_get32(ip + XE_IP_SRC),
		.dst_be = xe_get32(ip + XE_IP_DST),
		.sport_be = xe_get16(l4),
		.dport_be = xe_get16(l4 + 2),
		.port = p->role == XE_ROLE_UPLINK ? XE_PORT_ANYUPLINK : p->in_port,
		.proto = p->proto,
	};
	if (v6) {
		p->key.src_be = p->key.dst_be = XE_NIL;
		p->key.family = XE_FAMILY_6;
	}
	return true;
}

bool xe_parse_joined(struct xe_lane *lane, struct xe_packet *p)
{
	const struct xe_sessions *t = &lane->sessions;
	struct xe_addr src, dst;

	if (!parse_rest(p, xe_get16(p->l2 + 12) != htons(0x0800)))
		return false;
	src = xe_packet_src(p);
	dst = xe_packet_dst(p);
	p->hash = xe_packet_is_v6(p) ? xe_flow_hash6(&p->key, &src, &dst, t->k0, t->k1)
				     : xe_flow_hash(&p->key, t->k0, t->k1);
	p->guess = xe_session_guess(t, p->hash);
	return true;
}

static bool parse_one(struct xe_lane *lane, struct xe_packet *p)
{
	uint16_t type_be;

	if (p->frames[0].len < XE_L3_OFF)
		return false;
	type_be = xe_get16(p->l2 + 12);
	if (type_be == htons(0x0800) ? !parse_ip4(p) : type_be != htons(0x86dd) || !xe_parse6(p))
		return false;
	if (!parse_rest(p, type_be != htons(0x0800)))
		return false;
	trim(lane, p, p->l4_off + p->l4_len);
	return true;
}

/* No whole TCP or UDP packet: an ICMP error about a flow, which flow looks for, a fragment, or
 * nothing to be taken. */
static __attribute__((noinline, cold)) void parse_other(struct xe_lane *lane,
							struct xe_burst *burst, struct xe_packet *p)
{
	uint32_t ip_len = xe_icmp_parse(p);

	if (!ip_len) {
		if (!xe_reassemble(lane, p))
			xe_packet_drop(lane, p, XE_R_W_MALFORMED);
		return;
	}
	trim(lane, p, XE_L3_OFF + ip_len);
	p->guess = XE_NIL;
	burst->error_cnt++;
}

void xe_parse(struct xe_lane *lane, struct xe_burst *burst)
{
	burst->error_cnt = 0;
	xe_burst_for_each (p, burst) {
		if (p->ended)
			continue;
		if (!parse_one(lane, p)) {
			parse_other(lane, burst, p);
			continue;
		}
		p->guess = xe_session_guess(&lane->sessions, p->hash);
		if (p->guess != XE_NIL)
			xe_session_prefetch(&lane->sessions, p->guess);
		else
			xe_sessions_prefetch_second(&lane->sessions, p->hash);
	}
}
