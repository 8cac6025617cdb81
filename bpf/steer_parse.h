/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * steer_parse.h - Ethernet, IPv4, IPv6, TCP and UDP headers with bounds.
 *
 * Knows nothing of the hook that calls it: it reads [data, data_end) and the length of the whole
 * packet, and answers with a reason (XE_R_TAKEN: parsed, go on deciding).
 */
#ifndef XE_STEER_PARSE_H
#define XE_STEER_PARSE_H

#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "steer_scratch.h"

/* Extension headers walked before a packet is called "neither TCP nor UDP". RFC 8200 knows six
 * kinds; more than that in one packet is nothing a container's application sends. */
#define XE_MAX_EXT_HDRS 6
#define XE_IP_MF        0x2000
#define XE_IP_OFFSET    0x1fff

static __always_inline void addr_set_v4(struct xe_addr *a, __be32 v4)
{
	a->w_be[0] = 0;
	a->w_be[1] = 0;
	a->w_be[2] = bpf_htonl(0xffff);
	a->w_be[3] = v4;
}

/* Destinations that are never translated: "this" network, loopback, link-local, multicast,
 * reserved and broadcast (RFC 6890). Directed broadcasts are found behind the route lookup. */
static __always_inline int v4_is_special(__be32 addr_be)
{
	__u32 a = bpf_ntohl(addr_be);

	return a >> 24 == 0 || a >> 24 == 127 || a >> 16 == 0xa9fe || a >= 0xe0000000u;
}

static __always_inline int v6_is_link_local(const struct xe_addr *a)
{
	return a->b[0] == 0xfe && (a->b[1] & 0xc0) == 0x80;
}

/* No single host that could be beyond this one: ::/96 (unspecified, loopback, IPv4-compatible), the
 * IPv4-mapped ::ffff:0:0/96, which in our tables are IPv4 addresses, ff00::/8. */
static __always_inline int v6_is_martian(const struct xe_addr *a)
{
	return a->b[0] == 0xff || (!a->q[0] && (!a->w_be[2] || a->w_be[2] == bpf_htonl(0xffff)));
}

/* Without CAP_PERFMON the verifier allows no packet pointer with a variable offset (speculation):
 * then headers behind IP options or IPv6 extension headers are read by the helper. */
#define NO_VAR_OFFSET (gso_source == 2 /* STEER_GSO_UNKNOWN */)

/* From the bytes of the L4 header, which are there. */
static __always_inline int judge_l4(struct steer_pkt *p, const void *l4, __u32 l4_len)
{
	const struct tcphdr *tcp = l4;
	const struct udphdr *udp = l4;

	if (p->proto == IPPROTO_TCP) {
		if (l4_len < sizeof(*tcp) || tcp->doff < 5 || tcp->doff * 4u > l4_len)
			return XE_R_MALFORMED;
		p->sport_be = tcp->source;
		p->dport_be = tcp->dest;
		p->syn_only = tcp->syn && !tcp->ack && !tcp->rst && !tcp->fin;
		return XE_R_TAKEN;
	}
	if (l4_len < sizeof(*udp))
		return XE_R_MALFORMED;
	/* A UDP length of a superpacket is 0 or that of one segment (the kernel's GSO leaves it
	 * so): the worker judges it, knowing gso_size. */
	p->sport_be = udp->source;
	p->dport_be = udp->dest;
	return XE_R_TAKEN;
}

static __always_inline int parse_l4(struct steer_pkt *p, void *l4, void *data_end, __u32 l4_len)
{
	if (p->proto == IPPROTO_TCP)
		return l4 + sizeof(struct tcphdr) > data_end ? XE_R_MALFORMED
							     : judge_l4(p, l4, l4_len);
	if (p->proto == IPPROTO_UDP)
		return l4 + sizeof(struct udphdr) > data_end ? XE_R_MALFORMED
							     : judge_l4(p, l4, l4_len);
	return XE_R_NOT_TCP_UDP;
}

static __always_inline int parse_l4_copy(struct xdp_md *ctx, struct steer_pkt *p, __u32 off,
					 __u32 l4_len)
{
	struct tcphdr tcp = {};

	if (p->proto == IPPROTO_TCP ? bpf_xdp_load_bytes(ctx, off, &tcp, sizeof(tcp))
				    : bpf_xdp_load_bytes(ctx, off, &tcp, sizeof(struct udphdr)))
		return XE_R_MALFORMED;
	return judge_l4(p, &tcp, l4_len);
}

static __always_inline int parse_v4(struct xdp_md *ctx, struct steer_pkt *p, void *l3,
				    void *data_end, __u32 avail_len)
{
	struct iphdr *ip = l3;
	__u32 hdr_len, tot_len;

	if (l3 + sizeof(*ip) > data_end || ip->version != 4 || ip->ihl < 5)
		return XE_R_MALFORMED;
	hdr_len = ip->ihl * 4;
	tot_len = bpf_ntohs(ip->tot_len);
	if (tot_len < hdr_len || tot_len > avail_len)
		return XE_R_MALFORMED;
	addr_set_v4(&p->src, ip->saddr);
	addr_set_v4(&p->dst, ip->daddr);
	p->proto = ip->protocol;
	p->ttl = ip->ttl;
	p->tos = ip->tos;
	p->l3_len = tot_len;
	if (v4_is_special(ip->daddr))
		return XE_R_DST_SPECIAL;
	if (p->proto != IPPROTO_TCP && p->proto != IPPROTO_UDP)
		return XE_R_NOT_TCP_UDP;
	if (ip->frag_off & bpf_htons(XE_IP_MF | XE_IP_OFFSET)) {
		p->is_frag = 1;
		return XE_R_TAKEN;
	}
	if (hdr_len == sizeof(*ip))
		return parse_l4(p, l3 + sizeof(*ip), data_end, tot_len - hdr_len);
	if (NO_VAR_OFFSET)
		return parse_l4_copy(ctx, p, sizeof(struct ethhdr) + hdr_len, tot_len - hdr_len);
	return parse_l4(p, l3 + hdr_len, data_end, tot_len - hdr_len);
}

/* 8 bytes of an extension header: where it is, or a copy. NULL: not there. */
static __always_inline const __u8 *v6_ext_hdr(struct xdp_md *ctx, struct steer_scratch *tmp,
					      void *l3, void *data_end, __u32 off)
{
	__u8 *hdr = l3 + off;

	if (NO_VAR_OFFSET)
		return bpf_xdp_load_bytes(ctx, sizeof(struct ethhdr) + off, tmp->ext_hdr,
					  sizeof(tmp->ext_hdr))
			       ? NULL
			       : tmp->ext_hdr;
	return (void *)(hdr + 8) > data_end ? NULL : hdr;
}

/* From the fixed header to the L4 header: moves *off there, *nexthdr says which it is. */
static __always_inline int v6_walk(struct xdp_md *ctx, struct steer_scratch *tmp, void *l3,
				   void *data_end, __u32 *off, __u8 *nexthdr)
{
	/* Unrolled: kernels before 6.8 refuse a loop whose body falls through to its head. */
	_Pragma("unroll") for (int i = 0; i <= XE_MAX_EXT_HDRS; i++)
	{
		const __u8 *hdr;

		switch (*nexthdr) {
		case IPPROTO_HOPOPTS:
		case IPPROTO_ROUTING:
		case IPPROTO_DSTOPTS:
			break;
		case IPPROTO_FRAGMENT:
			break;
		default:
			return XE_R_TAKEN;
		}
		/* 512: six headers of a sane size; also keeps the verifier's range */
		if (i == XE_MAX_EXT_HDRS || *off > 512)
			return XE_R_NOT_TCP_UDP;
		hdr = v6_ext_hdr(ctx, tmp, l3, data_end, *off);
		if (!hdr)
			return XE_R_MALFORMED;
		if (*nexthdr == IPPROTO_FRAGMENT) {
			*nexthdr = hdr[0];
			tmp->pkt.is_frag = 1;
			return XE_R_TAKEN;
		}
		/* On its way by other hosts: the checksum is over the last one's address. */
		if (*nexthdr == IPPROTO_ROUTING && hdr[3])
			return XE_R_NOT_TCP_UDP;
		*nexthdr = hdr[0];
		*off += 8 + hdr[1] * 8u;
	}
	return XE_R_NOT_TCP_UDP;
}

static __always_inline int parse_v6(struct xdp_md *ctx, struct steer_scratch *tmp, void *l3,
				    void *data_end, __u32 avail_len)
{
	struct steer_pkt *p = &tmp->pkt;
	struct ipv6hdr *ip = l3;
	__u32 off = sizeof(*ip), payload_len;
	int reason;

	if (l3 + sizeof(*ip) > data_end || ip->version != 6)
		return XE_R_MALFORMED;
	payload_len = bpf_ntohs(ip->payload_len);
	if (payload_len + sizeof(*ip) > avail_len)
		return XE_R_MALFORMED;
	__builtin_memcpy(&p->src, &ip->saddr, sizeof(p->src));
	__builtin_memcpy(&p->dst, &ip->daddr, sizeof(p->dst));
	p->is_v6 = 1;
	p->ttl = ip->hop_limit;
	p->flow_info_be = *(__be32 *)ip & bpf_htonl(0x0fffffff);
	p->l3_len = payload_len + sizeof(*ip);
	/* A link-local source goes nowhere either, and the kernel tells it so. */
	if (v6_is_martian(&p->dst) || v6_is_link_local(&p->dst) || v6_is_link_local(&p->src))
		return XE_R_DST_SPECIAL;
	p->proto = ip->nexthdr;
	reason = v6_walk(ctx, tmp, l3, data_end, &off, &p->proto);
	if (reason != XE_R_TAKEN)
		return reason;
	tmp->quote.icmp_off = off;
	if (p->proto != IPPROTO_TCP && p->proto != IPPROTO_UDP)
		return XE_R_NOT_TCP_UDP;
	if (off > p->l3_len)
		return XE_R_MALFORMED;
	if (p->is_frag)
		return XE_R_TAKEN;
	if (off > 1024) /* a header of up to 2048 bytes is odd, but no lie; for the verifier */
		return XE_R_NOT_TCP_UDP;
	if (off == sizeof(*ip))
		return parse_l4(p, l3 + sizeof(*ip), data_end, p->l3_len - sizeof(*ip));
	if (NO_VAR_OFFSET)
		return parse_l4_copy(ctx, p, sizeof(struct ethhdr) + off, p->l3_len - off);
	return parse_l4(p, l3 + off, data_end, p->l3_len - off);
}

/* Six bytes at 2-byte steps: the BPF back end has no memcmp() for variables. */
static __always_inline int same_l2(const __u8 *a, const __u8 *b)
{
	const __u16 *x = (const __u16 *)a, *y = (const __u16 *)b;

	return x[0] == y[0] && x[1] == y[1] && x[2] == y[2];
}

/* `buff_len` is the length of the whole packet, fragments of the buffer included. */
static __always_inline int parse_packet(struct xdp_md *ctx, struct steer_scratch *tmp, void *data,
					void *data_end, __u32 buff_len, const __u8 *l2_addr)
{
	struct ethhdr *eth = data;
	__u32 avail_len;

	if (data + sizeof(*eth) > data_end)
		return XE_R_NOT_IP;
	if (eth->h_proto != bpf_htons(ETH_P_IP) && eth->h_proto != bpf_htons(ETH_P_IPV6))
		return XE_R_NOT_IP;
	if (eth->h_dest[0] & 1)
		return XE_R_DST_SPECIAL;
	if (!same_l2(eth->h_dest, l2_addr))
		return XE_R_OTHER_L2;
	avail_len = buff_len - sizeof(*eth);
	if (eth->h_proto == bpf_htons(ETH_P_IP))
		return parse_v4(ctx, &tmp->pkt, data + sizeof(*eth), data_end, avail_len);
	return parse_v6(ctx, tmp, data + sizeof(*eth), data_end, avail_len);
}

#endif
