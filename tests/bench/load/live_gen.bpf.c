// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The program that live_gen runs on live frames: writes the headers of the next flow, the number
 * and the time into the frame, and sends it out of one interface. Frames are recycled as whoever
 * received them left them (translated, TTL decremented), so every byte of the headers is written
 * each time; only the payload behind our own head is trusted to be as it was. Runs on one CPU
 * at a time, so nothing here is atomic.
 */
#include "live_gen.h"
#include "wire.h"

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/tcp.h>
#include <linux/udp.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

const volatile __u32 out_ifindex;
const volatile __u32 flow_cnt = 1;
const volatile __u8 dst_mac[ETH_ALEN], src_mac[ETH_ALEN];
const volatile __u16 ip_len_be; /* whole packet, from the IP header on */
const volatile __u16 udp_len_be;
const volatile __u8 is_tcp;

__u32 next_idx;
__u64 sent, refused; /* refused: no such interface or flow, never by a full ring */

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct live_flow);
} flows SEC(".maps");

static __always_inline __u16 fold(__u64 sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (__u16)~sum;
}

static __always_inline void put_ip(struct iphdr *ip, const struct live_flow *f)
{
	ip->version = 4;
	ip->ihl = 5;
	ip->tos = 0;
	ip->tot_len = ip_len_be;
	ip->id = 0;
	ip->frag_off = bpf_htons(0x4000); /* DF, as Linux sends: the id may be 0 */
	ip->ttl = 64;
	ip->protocol = is_tcp ? IPPROTO_TCP : IPPROTO_UDP;
	ip->check = f->ip_csum;
	ip->saddr = f->saddr_be;
	ip->daddr = f->daddr_be;
}

static __always_inline __u16 l4_csum(const struct live_flow *f, __u64 seq, __u64 now_ns)
{
	__u32 seq_lo = (__u32)seq, now_lo = (__u32)now_ns;

	return fold((__u64)f->l4_sum + (__u16)(seq >> 32) + (seq_lo & 0xffff) + (seq_lo >> 16) +
		    (__u16)(now_ns >> 32) + (now_lo & 0xffff) + (now_lo >> 16));
}

static __always_inline int put_udp(void *l4, void *end, const struct live_flow *f, __u64 seq,
				   __u64 now_ns)
{
	struct udphdr *udp = l4;
	__u16 csum;

	if ((void *)(udp + 1) + sizeof(struct wire) > end)
		return -1;
	csum = l4_csum(f, seq, now_ns);
	udp->source = f->sport_be;
	udp->dest = f->dport_be;
	udp->len = udp_len_be;
	udp->check = csum ? csum : 0xffff;
	wire_put((struct wire *)(udp + 1), f->id, seq, now_ns);
	return 0;
}

/* An acknowledgement that says the same each time, with data: what a host's stack calls out of its
 * window, and a translator carries. live_gen.c sums the same header. */
static __always_inline int put_tcp(void *l4, void *end, const struct live_flow *f, __u64 seq,
				   __u64 now_ns)
{
	struct tcphdr *tcp = l4;

	if ((void *)(tcp + 1) + sizeof(struct wire) > end)
		return -1;
	__builtin_memset(tcp, 0, sizeof(*tcp));
	tcp->source = f->sport_be;
	tcp->dest = f->dport_be;
	tcp->doff = 5;
	tcp->ack = 1;
	tcp->window = 0xffff;
	tcp->check = l4_csum(f, seq, now_ns);
	wire_put((struct wire *)(tcp + 1), f->id, seq, now_ns);
	return 0;
}

SEC("xdp")
int live_gen(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;
	struct iphdr *ip = (void *)(eth + 1);
	__u64 now_ns = bpf_ktime_get_ns() & WIRE_MASK, seq;
	__u32 idx = next_idx;
	struct live_flow *f = bpf_map_lookup_elem(&flows, &idx);

	if (!f || (void *)(ip + 1) > end)
		goto refuse;
	next_idx = idx + 1 >= flow_cnt ? 0 : idx + 1;
	for (int i = 0; i < ETH_ALEN; i++) {
		eth->h_dest[i] = dst_mac[i];
		eth->h_source[i] = src_mac[i];
	}
	eth->h_proto = bpf_htons(ETH_P_IP);
	put_ip(ip, f);
	seq = f->seq;
	if (is_tcp ? put_tcp(ip + 1, end, f, seq, now_ns) : put_udp(ip + 1, end, f, seq, now_ns))
		goto refuse;
	f->seq = seq + 1;
	sent++;
	return (int)bpf_redirect(out_ifindex, 0);
refuse:
	refused++;
	return XDP_DROP;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
