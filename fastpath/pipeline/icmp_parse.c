/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * icmp_parse.c - headers and lengths of ICMP errors, and of what they quote (icmp.h).
 *
 * As in parse.c: steer has looked at most of this, and it is looked at again. What is quoted may be
 * cut anywhere behind the first 8 bytes of its L4 header (RFC 792), padded, and followed by
 * extensions (RFC 4884).
 */
#include <arpa/inet.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>

#include "pipeline/cut.h"
#include "pipeline/icmp.h"
#include "pipeline/pipeline.h"

/* Of the quoted L4 header there must be this much. */
#define QUOTED_MIN 8
/* Extension headers walked, as in parse6.c. */
#define EXT_HDRS_MAX 6
/* How much is quoted, in words of 4 bytes and of 8; 0: not said (RFC 4884). */
#define LENGTH4 5
#define LENGTH6 4

static bool is_error4(uint8_t type)
{
	return type == ICMP_DEST_UNREACH || type == ICMP_TIME_EXCEEDED ||
	       type == ICMP_PARAMETERPROB;
}

static bool is_error6(uint8_t type)
{
	return type >= ICMP6_DST_UNREACH && type <= ICMP6_PARAM_PROB;
}

/* The offset of the L4 header in the first len bytes of an IPv6 packet, *next is its protocol. 0:
 * not there, or the packet is a later fragment or on its way by other hosts. */
static uint32_t find_l4_6(const uint8_t *ip, uint32_t len, uint8_t *next)
{
	uint32_t off = XE_IP6_HDR;

	if (len < XE_IP6_HDR || ip[0] >> 4 != 6)
		return 0;
	*next = ip[XE_IP6_NEXT];
	for (int i = 0; i <= EXT_HDRS_MAX; i++) {
		const uint8_t *hdr = ip + off;

		if (*next != IPPROTO_HOPOPTS && *next != IPPROTO_ROUTING &&
		    *next != IPPROTO_DSTOPTS && *next != IPPROTO_FRAGMENT)
			return off;
		if (off + 8 > len || (*next == IPPROTO_ROUTING && hdr[3]) ||
		    (*next == IPPROTO_FRAGMENT && xe_get16(hdr + 2) & htons(0xfff8)))
			return 0;
		off += *next == IPPROTO_FRAGMENT ? 8 : 8 + hdr[1] * 8u;
		*next = hdr[0];
	}
	return 0;
}

static uint32_t find_l4_4(const uint8_t *ip, uint32_t len, uint8_t *next)
{
	uint32_t hdr_len = len < XE_IP_HDR_MIN ? 0 : xe_ip_hdr_len(ip);

	if (hdr_len < XE_IP_HDR_MIN || ip[0] >> 4 != 4 || len < hdr_len ||
	    xe_get16(ip + XE_IP_FRAG) & htons(0x1fff))
		return 0;
	*next = ip[XE_IP_PROTO];
	return hdr_len;
}

static uint32_t find_l4(const uint8_t *ip, uint32_t len, bool v6, uint8_t *next)
{
	return v6 ? find_l4_6(ip, len, next) : find_l4_4(ip, len, next);
}

/* Bytes of IP packet, as its header says. */
static uint32_t ip_len_of(const uint8_t *ip, bool v6)
{
	return v6 ? XE_IP6_HDR + ntohs(xe_get16(ip + XE_IP6_PAYLOAD))
		  : ntohs(xe_get16(ip + XE_IP_TOT_LEN));
}

/* It is sent to whom the quoted packet came from. ::ffff:0:0/96 goes nowhere (parse6.c). */
static bool is_to_sender(const uint8_t *ip, const uint8_t *quoted, bool v6)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

	if (!v6)
		return xe_get32(ip + XE_IP_DST) == xe_get32(quoted + XE_IP_SRC);
	return !memcmp(ip + XE_IP6_DST, quoted + XE_IP6_SRC, 16) &&
	       memcmp(quoted + XE_IP6_SRC, mapped, sizeof(mapped)) &&
	       memcmp(quoted + XE_IP6_DST, mapped, sizeof(mapped));
}

/* The quoted packet: its tuple backwards into the key, its protocol into key.proto. */
static bool parse_quoted(struct xe_packet *p, const uint8_t *quoted, uint32_t len, bool v6)
{
	uint8_t proto = 0;
	uint32_t off = find_l4(quoted, len, v6, &proto);

	if (!off || len < off + QUOTED_MIN || (proto != IPPROTO_TCP && proto != IPPROTO_UDP))
		return false;
	p->key = (struct xe_tuple4){
		.src_be = v6 ? XE_NIL : xe_get32(quoted + XE_IP_DST),
		.dst_be = v6 ? XE_NIL : xe_get32(quoted + XE_IP_SRC),
		.sport_be = xe_get16(quoted + off + 2),
		.dport_be = xe_get16(quoted + off),
		.port = p->role == XE_ROLE_UPLINK ? XE_PORT_ANYUPLINK : p->in_port,
		.proto = proto,
		.family = v6 ? XE_FAMILY_6 : XE_FAMILY_4,
	};
	return is_to_sender(p->l2 + XE_L3_OFF, quoted, v6);
}

uint32_t xe_icmp_parse(struct xe_packet *p)
{
	uint8_t *ip = p->l2 + XE_L3_OFF, proto = 0;
	uint32_t head_len, ip_len, off;
	bool v6;

	if (p->frames[0].len < XE_L3_OFF + XE_IP_HDR_MIN || p->gso_size)
		return 0;
	head_len = p->frames[0].len - XE_L3_OFF;
	v6 = xe_get16(p->l2 + 12) == htons(0x86dd);
	if (!v6 && xe_get16(p->l2 + 12) != htons(0x0800))
		return 0;
	off = find_l4(ip, head_len, v6, &proto);
	ip_len = ip_len_of(ip, v6);
	if (!off || proto != (v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP) || ip_len > p->len - XE_L3_OFF ||
	    (!v6 && xe_get16(ip + XE_IP_FRAG) & htons(XE_IP_MF)))
		return 0;
	if (head_len > ip_len)
		head_len = ip_len;
	if (head_len < off + XE_ICMP_HDR || (v6 ? !is_error6(ip[off]) : !is_error4(ip[off])) ||
	    !parse_quoted(p, ip + off + XE_ICMP_HDR, head_len - off - XE_ICMP_HDR, v6))
		return 0;
	p->l4_off = (uint16_t)(XE_L3_OFF + off);
	p->l4_len = ip_len - off;
	p->proto = IPPROTO_ICMP;
	p->l4_hdr_len = XE_ICMP_HDR;
	p->tcp_flags = 0;
	p->partial = false;
	p->gso_unknown = false;
	return ip_len;
}

/* How much of the quoted packet is there, l4_off at least and some: not what stands behind it. */
static uint32_t quoted_len(const struct xe_packet *p, const struct xe_icmp_error *e,
			   uint32_t l4_off)
{
	uint32_t head_len = p->frames[0].len < p->len ? p->frames[0].len : p->len;
	uint32_t len = (uint32_t)(p->l2 + head_len - e->quoted), min = l4_off + QUOTED_MIN;
	uint32_t said = e->v6 ? e->icmp[LENGTH6] * 8u : e->icmp[LENGTH4] * 4u;
	uint32_t sent = ip_len_of(e->quoted, e->v6);

	/* of "packet too big" that byte is the MTU's */
	if (said >= min && said < len && !(e->v6 && e->icmp[0] == ICMP6_PACKET_TOO_BIG))
		len = said;
	return sent >= min && sent < len ? sent : len;
}

void xe_icmp_parts(const struct xe_packet *p, struct xe_icmp_error *e)
{
	uint32_t off, sent;
	uint8_t proto;

	e->v6 = xe_packet_is_v6(p);
	e->ip = p->l2 + XE_L3_OFF;
	e->icmp = p->l2 + p->l4_off;
	e->quoted = e->icmp + XE_ICMP_HDR;
	off = find_l4(e->quoted, (uint32_t)(p->l2 + p->frames[0].len - e->quoted), e->v6, &proto);
	e->l4 = e->quoted + off;
	e->l4_len = quoted_len(p, e, off) - off;
	sent = ip_len_of(e->quoted, e->v6);
	e->l4_sent_len = sent > off ? sent - off : 0;
}
