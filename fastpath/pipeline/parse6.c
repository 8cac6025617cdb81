/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * parse6.c - the IPv6 header and the extension headers behind it (RFC 8200).
 *
 * Options are not looked at and pass as they are: a router need not process hop-by-hop options
 * (RFC 8200 section 4.3), the others are for the destination. What steer leaves to the kernel is no
 * packet for us: a routing header that is not done (the addresses would not be those of
 * the checksum), longer chains.
 */
#include <arpa/inet.h>
#include <netinet/in.h>

#include "pipeline/pipeline.h"

/* As in bpf/steer_parse.h, where the reasons are. */
#define EXT_HDRS_MAX 6
#define EXT_LEN_MAX  (1024 - XE_IP6_HDR)

/* From the fixed header to the L4 header: its offset behind the IPv6 header, 0: none is there. */
static uint32_t walk(const uint8_t *ip, uint32_t avail_len, uint8_t *next)
{
	uint32_t off = XE_IP6_HDR;

	for (int i = 0; i <= EXT_HDRS_MAX; i++) {
		const uint8_t *hdr = ip + off;

		if (*next == IPPROTO_TCP || *next == IPPROTO_UDP)
			return off;
		if (*next != IPPROTO_HOPOPTS && *next != IPPROTO_ROUTING &&
		    *next != IPPROTO_DSTOPTS)
			return 0;
		if (off + 8 > avail_len || (*next == IPPROTO_ROUTING && hdr[3]))
			return 0;
		*next = hdr[0];
		off += 8 + hdr[1] * 8u;
		if (off > XE_IP6_HDR + EXT_LEN_MAX)
			return 0;
	}
	return 0;
}

bool xe_ip6_is_mapped(const uint8_t *addr)
{
	static const uint8_t prefix[12] = {[10] = 0xff, [11] = 0xff};

	return !memcmp(addr, prefix, sizeof(prefix));
}

bool xe_parse6(struct xe_packet *p)
{
	const uint8_t *ip = p->l2 + XE_L3_OFF;
	uint32_t head_len = p->frames[0].len, ip_len, off;

	if (head_len < XE_L3_OFF + XE_IP6_HDR + XE_UDP_HDR_LEN)
		return false;
	ip_len = XE_IP6_HDR + ntohs(xe_get16(ip + XE_IP6_PAYLOAD));
	if (ip[0] >> 4 != 6 || XE_L3_OFF + ip_len > p->len || xe_ip6_is_mapped(ip + XE_IP6_SRC) ||
	    xe_ip6_is_mapped(ip + XE_IP6_DST))
		return false;
	p->proto = ip[XE_IP6_NEXT];
	off = walk(ip, head_len - XE_L3_OFF, &p->proto);
	if (!off || off > ip_len)
		return false;
	p->l4_off = (uint16_t)(XE_L3_OFF + off);
	p->l4_len = ip_len - off;
	return true;
}
