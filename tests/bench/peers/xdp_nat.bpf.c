// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * A masquerade at native XDP, from device to device by a devmap. See nat.h.
 *
 * A container's packet comes with an unfinished checksum (its field holds the pseudo-header's sum)
 * and leaves as a frame without the skb that said so. So it is finished here, over the payload;
 * native mode has taken the container's TSO, so there are at most MTU-sized frames in one piece.
 */
#include "nat.h"

struct {
	__uint(type, BPF_MAP_TYPE_DEVMAP_HASH);
	__uint(max_entries, 1024);
	__type(key, __u32);
	__type(value, __u32);
} devs SEC(".maps");

static __always_inline __u16 fold(__u64 sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (__u16)sum;
}

static __always_inline __u64 pseudo_sum(const struct iphdr *ip, __u32 l4_len)
{
	return (__u64)ip->saddr + ip->daddr + bpf_htons(ip->protocol) + bpf_htons((__u16)l4_len);
}

/*
 * A bit of the length, in a form of which the verifier learns nothing about the length: else each
 * combination of bits is a path of its own, and 16,000 paths are too many.
 */
static __always_inline __u32 bit_of(__u32 len, __u32 n)
{
	asm volatile("" : "+r"(len));
	len &= n;
	asm volatile("" : "+r"(len));
	return len;
}

#define SUM_MAX 512 /* what bpf_csum_diff takes at once before 6.13 */

/* The piece for a bit of the length lies behind those of all higher bits. */
#define SUM_PIECE(n)                                                                               \
	do {                                                                                       \
		if (bit_of(len, (n))) {                                                            \
			void *p = at + (bit_of(len, 0xfff) & ~(2u * (n)-1));                       \
			if (p + (n) > end)                                                         \
				return -1;                                                         \
			for (int o = 0; o < (n); o += SUM_MAX) /* unrolled */                      \
				sum = bpf_csum_diff(0, 0, p + o, (n) < SUM_MAX ? (n) : SUM_MAX,    \
						    (__u32)sum);                                   \
		}                                                                                  \
	} while (0)

/* The sum of all words of [at, at + len), not folded; -1 where the frame is shorter than that. */
static __always_inline __s64 sum_range(void *at, void *end, __u32 len)
{
	__s64 sum = 0;

	SUM_PIECE(2048); /* bits up to a page's frame */
	SUM_PIECE(1024);
	SUM_PIECE(512);
	SUM_PIECE(256);
	SUM_PIECE(128);
	SUM_PIECE(64);
	SUM_PIECE(32);
	SUM_PIECE(16);
	SUM_PIECE(8);
	SUM_PIECE(4);
	if (bit_of(len, 2)) {
		__u16 *p = at + (bit_of(len, 0xfff) & ~3u);

		if ((void *)(p + 1) > end)
			return -1;
		sum += *p;
	}
	if (bit_of(len, 1)) {
		__u8 *p = at + (bit_of(len, 0xfff) & ~1u);

		if ((void *)(p + 1) > end)
			return -1;
		sum += *p;
	}
	return sum;
}

/* Finishes a checksum that the container left to its device. */
static __always_inline int complete(struct iphdr *ip, void *l4, void *end, __u16 *field)
{
	__u32 l4_len = bpf_ntohs(ip->tot_len) - sizeof(*ip);
	__s64 sum;

	if (l4_len > 0xfff)
		return -1;
	if (*field != fold(pseudo_sum(ip, l4_len)))
		return 0;
	sum = sum_range(l4, end, l4_len); /* the field adds the pseudo-header itself */
	if (sum < 0)
		return -1;
	*field = (__u16)~fold((__u64)sum);
	return 0;
}

static __always_inline int rewrite(struct ethhdr *eth, void *end, const struct nat_entry *e,
				   int is_out)
{
	struct iphdr *ip = (void *)(eth + 1);
	struct udphdr *udp = (void *)(ip + 1);
	struct tcphdr *tcp = (void *)(ip + 1);
	__u32 *addr = is_out ? &ip->saddr : &ip->daddr, old_addr = *addr;
	__u16 *port = is_out ? &udp->source : &udp->dest, old_port = *port;
	int is_tcp = ip->protocol == IPPROTO_TCP;
	__u16 *field = is_tcp ? &tcp->check : &udp->check;

	if ((void *)(is_tcp ? (void *)(tcp + 1) : (void *)(udp + 1)) > end)
		return XDP_DROP;
	if (is_tcp || *field) { /* UDP without one stays without */
		if (complete(ip, ip + 1, end, field))
			return XDP_DROP;
		*field = nat_csum(*field, old_addr, e->addr_be);
		*field = nat_csum(*field, old_port, e->l4_port_be);
		if (!is_tcp && !*field)
			*field = 0xffff;
	}
	*addr = e->addr_be;
	*port = e->l4_port_be;
	ip->check = nat_csum(ip->check, old_addr, e->addr_be);
	ip->check = nat_csum(ip->check, bpf_htons(0x100), 0); /* one less in the upper byte */
	ip->ttl--;
	__builtin_memcpy(eth->h_dest, e->dst_mac, ETH_ALEN);
	__builtin_memcpy(eth->h_source, e->src_mac, ETH_ALEN);
	return (int)bpf_redirect_map(&devs, e->ifindex, XDP_DROP);
}

static __always_inline int parse(struct ethhdr *eth, void *end, struct nat_tuple *t)
{
	struct iphdr *ip = (void *)(eth + 1);

	if ((void *)(ip + 1) > end || eth->h_proto != bpf_htons(ETH_P_IP))
		return -1;
	return nat_parse(ip, ip + 1, end, t);
}

SEC("xdp")
int xdp_inside(struct xdp_md *ctx)
{
	void *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = (void *)(long)ctx->data;
	struct nat_tuple t = {};
	struct nat_entry *e;

	if (parse(eth, end, &t))
		return XDP_PASS;
	e = nat_out(ctx, &t, ctx->ingress_ifindex, eth);
	return e ? rewrite(eth, end, e, 1) : XDP_DROP;
}

SEC("xdp")
int xdp_uplink(struct xdp_md *ctx)
{
	void *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = (void *)(long)ctx->data;
	struct nat_tuple t = {};
	struct nat_entry *e;

	if (parse(eth, end, &t) || t.daddr_be != ext_be)
		return XDP_PASS;
	e = nat_back(&t);
	return e ? rewrite(eth, end, e, 0) : XDP_PASS;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
