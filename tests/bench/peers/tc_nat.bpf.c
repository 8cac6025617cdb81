// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * A masquerade at tc's clsact ingress: superpackets and unfinished checksums stay what they are,
 * because the skb does. See nat.h.
 */
#include "nat.h"

#include <linux/pkt_cls.h>

#define IP_OFF   ETH_HLEN
#define L4_OFF   (ETH_HLEN + sizeof(struct iphdr))
#define CSUM_OFF (IP_OFF + offsetof(struct iphdr, check))
#define TTL_OFF  (IP_OFF + offsetof(struct iphdr, ttl))

#ifndef offsetof
#define offsetof(type, member) __builtin_offsetof(type, member)
#endif

static __always_inline int load_tuple(struct __sk_buff *skb, struct nat_tuple *t,
				      struct ethhdr *eth, __u16 *ttl)
{
	void *data, *end;
	struct iphdr *ip;

	if (skb->protocol != bpf_htons(ETH_P_IP))
		return -1;
	/* Linear so far: as much as TCP's header wants, which parse asks for again. */
	data = (void *)(long)skb->data;
	end = (void *)(long)skb->data_end;
	if (data + L4_OFF + sizeof(struct udphdr) > end) {
		if (bpf_skb_pull_data(skb, L4_OFF + sizeof(struct tcphdr)))
			return -1;
		data = (void *)(long)skb->data;
		end = (void *)(long)skb->data_end;
	}
	ip = data + ETH_HLEN;
	if ((void *)(ip + 1) > end)
		return -1;
	__builtin_memcpy(eth, data, sizeof(*eth));
	*ttl = *(__u16 *)&ip->ttl; /* with the protocol, as it is summed */
	return nat_parse(ip, ip + 1, end, t);
}

/* One side's address and L4 port, the TTL, and the Ethernet header; then out it goes. */
static __always_inline int rewrite(struct __sk_buff *skb, const struct nat_tuple *t,
				   const struct nat_entry *e, __u16 ttl, int is_out)
{
	__u32 addr_off =
		IP_OFF + (is_out ? offsetof(struct iphdr, saddr) : offsetof(struct iphdr, daddr));
	__u32 port_off = L4_OFF + (is_out ? 0 : 2);
	__u32 csum_off = L4_OFF + (t->proto == IPPROTO_TCP ? offsetof(struct tcphdr, check)
							   : offsetof(struct udphdr, check));
	__u64 mangled = t->proto == IPPROTO_UDP ? BPF_F_MARK_MANGLED_0 : 0;
	__u32 old_addr = is_out ? t->saddr_be : t->daddr_be, new_addr = e->addr_be;
	__u16 old_port = is_out ? t->sport_be : t->dport_be, new_port = e->l4_port_be;
	__u16 new_ttl = ttl - 1; /* little-endian: the first byte, which is not 0 */
	__u8 macs[2 * ETH_ALEN];
	__u32 ifindex = e->ifindex;

	__builtin_memcpy(macs, e->dst_mac, ETH_ALEN);
	__builtin_memcpy(macs + ETH_ALEN, e->src_mac, ETH_ALEN);
	if (bpf_l4_csum_replace(skb, csum_off, old_addr, new_addr,
				mangled | BPF_F_PSEUDO_HDR | sizeof(old_addr)) ||
	    bpf_l4_csum_replace(skb, csum_off, old_port, new_port, mangled | sizeof(old_port)) ||
	    bpf_l3_csum_replace(skb, CSUM_OFF, old_addr, new_addr, sizeof(old_addr)) ||
	    bpf_l3_csum_replace(skb, CSUM_OFF, ttl, new_ttl, sizeof(ttl)) ||
	    bpf_skb_store_bytes(skb, addr_off, &new_addr, sizeof(new_addr), 0) ||
	    bpf_skb_store_bytes(skb, port_off, &new_port, sizeof(new_port), 0) ||
	    bpf_skb_store_bytes(skb, TTL_OFF, &new_ttl, 1, 0) ||
	    bpf_skb_store_bytes(skb, 0, macs, sizeof(macs), 0))
		return TC_ACT_SHOT;
	return (int)bpf_redirect(ifindex, 0);
}

SEC("tc")
int tc_inside(struct __sk_buff *skb)
{
	struct nat_tuple t = {};
	struct nat_entry *e;
	struct ethhdr eth;
	__u16 ttl;

	if (load_tuple(skb, &t, &eth, &ttl))
		return TC_ACT_OK;
	e = nat_out(skb, &t, skb->ifindex, &eth);
	return e ? rewrite(skb, &t, e, ttl, 1) : TC_ACT_SHOT;
}

SEC("tc")
int tc_uplink(struct __sk_buff *skb)
{
	struct nat_tuple t = {};
	struct nat_entry *e;
	struct ethhdr eth;
	__u16 ttl;

	if (load_tuple(skb, &t, &eth, &ttl) || t.daddr_be != ext_be)
		return TC_ACT_OK;
	e = nat_back(&t);
	return e ? rewrite(skb, &t, e, ttl, 0) : TC_ACT_OK;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
