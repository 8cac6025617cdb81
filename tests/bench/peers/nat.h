/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * nat.h - the masquerade that both in-kernel peers do: sessions, L4 ports, next hops. The hooks
 * (tc_nat.bpf.c, xdp_nat.bpf.c) differ in how they change a packet and where they hand it.
 *
 * Two LRU hashes, so a full table costs the oldest flow and nothing needs timers: `outs` by the
 * container's tuple, `backs` by the reply's. An L4 port is drawn at random until (remote, Ext L4
 * port) is free, as the kernel's masquerade maps: endpoint-dependent, so one Ext L4 port serves
 * many remotes. What a packet needs is in one entry of each direction, the next hop too, which is
 * asked (bpf_fib_lookup) anew each second. No TCP states: any packet starts a flow.
 * Several CPUs may run this; two packets that start one flow at once may map it twice, and the
 * later one holds.
 */
#ifndef XE_BENCH_NAT_H
#define XE_BENCH_NAT_H

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/tcp.h>
#include <linux/udp.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define NAT_AF_INET  2
#define NAT_TRIES    64          /* draws for an L4 port; at half-full ranges 2 do */
#define NAT_FRESH_NS 1000000000u /* a next hop is believed so long */
#define NAT_FRAG     0x3fff      /* more fragments, or an offset: has no L4 header we could use */

const volatile __u32 ext_be;                  /* the external address */
const volatile __u16 l4_port_lo, l4_port_cnt; /* host order */
const volatile __u32 uplink_ifindex;

struct nat_tuple { /* as seen before translation */
	__u32 saddr_be, daddr_be;
	__u16 sport_be, dport_be;
	__u32 proto;
};

struct nat_entry {
	__u32 addr_be; /* the address and L4 port that replace the source's (out), destination's
			  (back) */
	__u16 l4_port_be;
	__u16 reserved;
	__u32 ifindex; /* where it leaves */
	__u8 dst_mac[ETH_ALEN], src_mac[ETH_ALEN];
	__u64 fresh_until_ns;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1 << 20);
	__type(key, struct nat_tuple);
	__type(value, struct nat_entry);
} outs SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1 << 20);
	__type(key, struct nat_tuple);
	__type(value, struct nat_entry);
} backs SEC(".maps");

__u64 nat_no_port, nat_no_neighbour, nat_no_session; /* about: CPUs don't agree on who counts */

/* Asks the kernel for the next hop of one that goes out. 0, or what bpf_fib_lookup says. */
static __always_inline int nat_next_hop(void *ctx, const struct nat_tuple *t, __u32 in_ifindex,
					struct nat_entry *e)
{
	struct bpf_fib_lookup fib = {.family = NAT_AF_INET, .ifindex = in_ifindex};
	int ret;

	fib.l4_protocol = (__u8)t->proto;
	fib.ipv4_src = t->saddr_be;
	fib.ipv4_dst = t->daddr_be;
	ret = (int)bpf_fib_lookup(ctx, &fib, sizeof(fib), 0);
	if (ret)
		return ret;
	e->ifindex = fib.ifindex;
	__builtin_memcpy(e->dst_mac, fib.dmac, ETH_ALEN);
	__builtin_memcpy(e->src_mac, fib.smac, ETH_ALEN);
	e->fresh_until_ns = bpf_ktime_get_ns() + NAT_FRESH_NS;
	return 0;
}

/* Draws an L4 port for it and enters the way back: to the interface and Ethernet address it came
 * from. 0 where no L4 port was free. */
static __always_inline __u16 nat_claim(const struct nat_tuple *t, __u32 in_ifindex,
				       const struct ethhdr *eth)
{
	struct nat_tuple reply = {t->daddr_be, ext_be, t->dport_be, 0, t->proto};
	struct nat_entry e = {.addr_be = t->saddr_be, .l4_port_be = t->sport_be};

	e.ifindex = in_ifindex;
	__builtin_memcpy(e.dst_mac, eth->h_source, ETH_ALEN);
	__builtin_memcpy(e.src_mac, eth->h_dest, ETH_ALEN);
	for (int i = 0; i < NAT_TRIES; i++) {
		__u32 draw = bpf_get_prandom_u32() % (l4_port_cnt ? l4_port_cnt : 1);

		reply.dport_be = bpf_htons((__u16)(l4_port_lo + draw));
		if (!bpf_map_update_elem(&backs, &reply, &e, BPF_NOEXIST))
			return reply.dport_be;
	}
	nat_no_port++;
	return 0;
}

/* The entry of one that goes out, made where there is none. NULL: it cannot be sent. */
static __always_inline struct nat_entry *nat_out(void *ctx, const struct nat_tuple *t,
						 __u32 in_ifindex, const struct ethhdr *eth)
{
	struct nat_entry *e = bpf_map_lookup_elem(&outs, t), fresh = {};

	if (e) {
		if (bpf_ktime_get_ns() > e->fresh_until_ns && nat_next_hop(ctx, t, in_ifindex, e))
			nat_no_neighbour++; /* the old one serves until there is another */
		return e;
	}
	if (nat_next_hop(ctx, t, in_ifindex, &fresh)) {
		nat_no_neighbour++;
		return 0;
	}
	fresh.addr_be = ext_be;
	fresh.l4_port_be = nat_claim(t, in_ifindex, eth);
	if (!fresh.l4_port_be || fresh.ifindex != uplink_ifindex)
		return 0;
	if (bpf_map_update_elem(&outs, t, &fresh, BPF_ANY))
		return 0;
	return bpf_map_lookup_elem(&outs, t);
}

/* The entry of one that comes back. NULL: not ours, the host's own. */
static __always_inline struct nat_entry *nat_back(const struct nat_tuple *t)
{
	struct nat_entry *e = bpf_map_lookup_elem(&backs, t);

	if (!e)
		nat_no_session++;
	return e;
}

/* The tuple of an IPv4 packet without options or fragments; l4 points behind the IP header.
 * 0 where it is TCP or UDP whole. */
static __always_inline int nat_parse(const struct iphdr *ip, void *l4, void *end,
				     struct nat_tuple *t)
{
	struct udphdr *ports = l4; /* source and destination are where TCP has them, too */

	if (ip->ihl != 5 || ip->frag_off & bpf_htons(NAT_FRAG) || ip->ttl <= 1)
		return -1;
	if (ip->protocol == IPPROTO_TCP) {
		if ((void *)((struct tcphdr *)l4 + 1) > end)
			return -1;
	} else if (ip->protocol != IPPROTO_UDP || (void *)(ports + 1) > end) {
		return -1;
	}
	t->saddr_be = ip->saddr;
	t->daddr_be = ip->daddr;
	t->sport_be = ports->source;
	t->dport_be = ports->dest;
	t->proto = ip->protocol;
	return 0;
}

/* Into a checksum field: what a 32-bit word's, or a 16-bit one's, change does to it (RFC 1624). */
static __always_inline __u16 nat_csum(__u16 csum, __u32 from, __u32 to)
{
	__u32 sum =
		(__u16)~csum + (__u16)~from + (__u16) ~(from >> 16) + (to & 0xffff) + (to >> 16);

	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (__u16)~sum;
}

#endif
