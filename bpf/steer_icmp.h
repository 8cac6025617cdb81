/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * steer_icmp.h - ICMP errors that quote a packet of a flow of ours.
 *
 * The packet in hand becomes one of that flow which goes the way of the error: the quoted tuple
 * read backwards. So the decision about it is the one about the flow's packets, and the worker,
 * which does the same (pipeline/icmp.h), finds the session by the same hash.
 *
 * Headers are copied by the helper: errors are rare, and what they quote begins at no fixed offset.
 */
#ifndef XE_STEER_ICMP_H
#define XE_STEER_ICMP_H

#include "steer_maps.h"
#include "steer_parse.h"

/* linux/icmp.h cannot be had without libc's headers of another word size. */
#define ICMP_DEST_UNREACH  3
#define ICMP_TIME_EXCEEDED 11
#define ICMP_PARAMETERPROB 12

/* An error behind more extension headers than these bytes is the kernel's; for the verifier. */
#define MAX_ICMP6_OFF 256
/* What is quoted is at most what fits into 1280 bytes (RFC 4443 section 2.4 (c)). */
#define MAX_QUOTED_L4_OFF 1280

static __always_inline int is_error4(__u8 type)
{
	return type == ICMP_DEST_UNREACH || type == ICMP_TIME_EXCEEDED ||
	       type == ICMP_PARAMETERPROB;
}

/* Redirects, source quench, echo and all that quotes no TCP or UDP header are the kernel's. */
static __always_inline int parse_error4(struct xdp_md *ctx, struct steer_scratch *tmp)
{
	struct steer_quote *q = &tmp->quote;
	struct steer_pkt *p = &tmp->pkt;
	__u32 off, hdr_len;

	if (bpf_xdp_load_bytes(ctx, sizeof(struct ethhdr), &q->ip4, sizeof(q->ip4)))
		return XE_R_NOT_TCP_UDP;
	if (q->ip4.frag_off & bpf_htons(XE_IP_MF | XE_IP_OFFSET))
		return XE_R_NOT_TCP_UDP;
	hdr_len = q->ip4.ihl * 4;
	off = sizeof(struct ethhdr) + hdr_len;
	if (p->l3_len < hdr_len + 8 + sizeof(q->ip4) + 8 ||
	    bpf_xdp_load_bytes(ctx, off, q->icmp, sizeof(q->icmp)) || !is_error4(q->icmp[0]))
		return XE_R_NOT_TCP_UDP;
	off += sizeof(q->icmp);
	if (bpf_xdp_load_bytes(ctx, off, &q->ip4, sizeof(q->ip4)) || q->ip4.version != 4 ||
	    q->ip4.ihl < 5 || q->ip4.frag_off & bpf_htons(XE_IP_OFFSET) ||
	    (q->ip4.protocol != IPPROTO_TCP && q->ip4.protocol != IPPROTO_UDP))
		return XE_R_NOT_TCP_UDP;
	/* From a host, to whom the quoted packet came from; else it is nobody's. */
	if (q->ip4.saddr != p->dst.w_be[3] || v4_is_special(p->src.w_be[3]))
		return XE_R_NOT_TCP_UDP;
	off += q->ip4.ihl * 4;
	if (off + 8 > sizeof(struct ethhdr) + p->l3_len ||
	    bpf_xdp_load_bytes(ctx, off, q->l4_ports_be, sizeof(q->l4_ports_be)))
		return XE_R_NOT_TCP_UDP;
	q->from = p->src;
	addr_set_v4(&p->src, q->ip4.daddr);
	p->proto = q->ip4.protocol;
	p->sport_be = q->l4_ports_be[1];
	p->dport_be = q->l4_ports_be[0];
	p->is_error = 1;
	return XE_R_TAKEN;
}

/* From the quoted IPv6 header to the L4 header behind it: q->off and q->next, as xe_icmp_parse()
 * finds it. A later fragment has none, and a packet that is on its way by other hosts is nobody's.
 * All that the rounds hand on is in the scratch, so that the verifier finds them alike. */
static __always_inline int walk_quoted6(struct xdp_md *ctx, struct steer_scratch *tmp)
{
	struct steer_quote *q = &tmp->quote;
	const __u8 *hdr = tmp->ext_hdr;

	/* Unrolled: as v6_walk(). */
	_Pragma("unroll") for (int i = 0; i <= XE_MAX_EXT_HDRS; i++)
	{
		if (q->next == IPPROTO_TCP || q->next == IPPROTO_UDP)
			return 1;
		if (i == XE_MAX_EXT_HDRS || q->off > MAX_QUOTED_L4_OFF ||
		    (q->next != IPPROTO_HOPOPTS && q->next != IPPROTO_ROUTING &&
		     q->next != IPPROTO_DSTOPTS && q->next != IPPROTO_FRAGMENT) ||
		    bpf_xdp_load_bytes(ctx, sizeof(struct ethhdr) + q->off, tmp->ext_hdr,
				       sizeof(tmp->ext_hdr)))
			return 0;
		if (q->next == IPPROTO_ROUTING && hdr[3])
			return 0;
		if (q->next == IPPROTO_FRAGMENT) {
			if (hdr[2] || hdr[3] & 0xf8)
				return 0;
			q->off += 8;
		} else {
			q->off += 8 + hdr[1] * 8u;
		}
		q->next = hdr[0];
	}
	return 0;
}

/* Types 1 to 4: unreachable, too big, time exceeded, parameter problem. */
static __always_inline int parse_error6(struct xdp_md *ctx, struct steer_scratch *tmp)
{
	struct steer_quote *q = &tmp->quote;
	struct steer_pkt *p = &tmp->pkt;
	__u32 off = q->icmp_off;

	if (off > MAX_ICMP6_OFF ||
	    bpf_xdp_load_bytes(ctx, sizeof(struct ethhdr) + off, q->icmp, sizeof(q->icmp)) ||
	    q->icmp[0] < 1 || q->icmp[0] > 4)
		return XE_R_NOT_TCP_UDP;
	off += sizeof(q->icmp);
	if (bpf_xdp_load_bytes(ctx, sizeof(struct ethhdr) + off, &q->ip6, sizeof(q->ip6)) ||
	    q->ip6.version != 6)
		return XE_R_NOT_TCP_UDP;
	__builtin_memcpy(&q->from, &q->ip6.saddr, sizeof(q->from));
	if (q->from.q[0] != p->dst.q[0] || q->from.q[1] != p->dst.q[1] || v6_is_martian(&p->src))
		return XE_R_NOT_TCP_UDP;
	q->off = off + sizeof(q->ip6);
	q->next = q->ip6.nexthdr;
	if (!walk_quoted6(ctx, tmp) || q->off + 8 > p->l3_len ||
	    bpf_xdp_load_bytes(ctx, sizeof(struct ethhdr) + q->off, q->l4_ports_be,
			       sizeof(q->l4_ports_be)))
		return XE_R_NOT_TCP_UDP;
	q->from = p->src;
	__builtin_memcpy(&p->src, &q->ip6.daddr, sizeof(p->src));
	p->proto = q->next;
	p->sport_be = q->l4_ports_be[1];
	p->dport_be = q->l4_ports_be[0];
	p->is_error = 1;
	return XE_R_TAKEN;
}

/* For what parse_packet() calls neither TCP nor UDP: XE_R_TAKEN, an error to be decided about. */
static __always_inline int parse_error(struct xdp_md *ctx, struct steer_scratch *tmp)
{
	if (!tmp->pkt.is_v6 && tmp->pkt.proto == IPPROTO_ICMP)
		return parse_error4(ctx, tmp);
	if (tmp->pkt.is_v6 && tmp->pkt.proto == IPPROTO_ICMPV6)
		return parse_error6(ctx, tmp);
	return XE_R_NOT_TCP_UDP;
}

#endif
