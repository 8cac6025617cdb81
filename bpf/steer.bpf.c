/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * steer.bpf.c - the XDP hook: which packets go to a worker's AF_XDP socket.
 *
 * One program serves all ports of a mode, generic or native; which port a packet is on, the
 * interface it came in by says. The program parses (steer_parse.h), decides (steer_decide.h), puts
 * what the worker cannot see otherwise into the metadata in front of the packet, and redirects.
 * Every packet is counted once, under one reason. Whatever goes wrong ends in XDP_PASS: the kernel.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

/* enum steer_gso_source: the mode of this program. */
const volatile __u32 gso_source;

#include "steer_decide.h"
#include "steer_deny.h"
#include "steer_gso.h"
#include "steer_icmp.h"

/* Where a packet came in. */
struct ingress {
	__u32 port;
	struct xe_port_conf *conf;
	struct xe_port_counters *cnt;
};

/* Headers of the packet at the moment; metadata moves do not change them. */
static __always_inline int decide(struct xdp_md *ctx, const struct ingress *in, __u64 *hash)
{
	const struct xe_port_conf *pc = in->conf;
	void *data = (void *)(long)ctx->data, *data_end = (void *)(long)ctx->data_end;
	struct steer_scratch *tmp = scratch_of_cpu();
	struct xe_steer_conf *conf;
	__u32 zero = 0;
	int reason, expired;

	if (!tmp)
		return XE_R_NO_RULE;
	__builtin_memset(&tmp->pkt, 0, sizeof(tmp->pkt));
	reason = parse_packet(ctx, tmp, data, data_end, bpf_xdp_get_buff_len(ctx), pc->l2_addr);
	if (reason == XE_R_NOT_TCP_UDP && !tmp->pkt.is_frag)
		reason = parse_error(ctx, tmp);
	if (reason == XE_R_MALFORMED && pc->role == XE_ROLE_UPLINK)
		return XE_R_NOT_OWNED; /* not ours to judge */
	if (reason != XE_R_TAKEN)
		return reason;
	/* What expires on its way in and is a flow's, only the worker can answer. */
	expired = is_expired(&tmp->pkt);
	if (expired && pc->role == XE_ROLE_UPLINK && (tmp->pkt.is_error || tmp->pkt.is_frag))
		return XE_R_TTL;
	conf = bpf_map_lookup_elem(&steer_conf, &zero);
	if (!conf)
		return XE_R_NO_RULE;
	if (pc->role == XE_ROLE_UPLINK && tmp->pkt.is_frag)
		return fragment_uplink(ctx, tmp, pc, conf);
	if (pc->role == XE_ROLE_UPLINK) {
		reason = decide_uplink(ctx, tmp, in->port, pc, conf, hash);
		if (expired && reason == XE_R_NOT_OWNED)
			reason = XE_R_TTL;
		if (tmp->pkt.is_error)
			tmp->pkt.src = tmp->quote.from; /* for the deny list */
		return reason;
	}
	return decide_inside(ctx, tmp, in->port, pc, conf, hash);
}

/* What every kernel allows as metadata (later ones up to 252 bytes), in words. */
#define META_WORDS 8

/* A program before ours in the dispatcher may have left metadata, which nobody behind an AF_XDP
 * socket reads; ours must lie directly before the packet. All of it or, where it is longer than
 * META_WORDS, nothing: then 0. Word by word: the difference of two packet pointers, which would do
 * it in one call, is for CAP_PERFMON only. */
static __always_inline int clear_meta(struct xdp_md *ctx)
{
	if ((void *)(long)ctx->data_meta + META_WORDS * 4 < (void *)(long)ctx->data)
		return 0;
	for (int word = 0; word < META_WORDS; word++) {
		if ((void *)(long)ctx->data_meta + 4 > (void *)(long)ctx->data)
			break;
		if (bpf_xdp_adjust_meta(ctx, 4))
			return 0;
	}
	return 1;
}

/* Write the metadata and find the socket. XE_R_TAKEN: redirect to *key. */
static __always_inline int hand_over(struct xdp_md *ctx, const struct ingress *in, __u64 hash,
				     __u32 *key)
{
	struct gso_facts gso = {};
	struct xe_meta *meta;

	*key = xe_xsk_key(in->port, ctx->rx_queue_index);
	if (ctx->rx_queue_index >= XE_MAX_QUEUES || !bpf_map_lookup_elem(&xsks, key))
		return XE_R_NO_SOCKET;
	if (beat_is_old(queue_worker(ctx, in->conf)))
		return XE_R_STALLED;
	if (!read_gso(ctx, gso_source, in->conf, &gso))
		return XE_R_GSO_UNKNOWN;
	if (!clear_meta(ctx) || bpf_xdp_adjust_meta(ctx, -(int)sizeof(*meta)))
		return XE_R_NO_METADATA;
	meta = (void *)(long)ctx->data_meta;
	if ((void *)(meta + 1) > (void *)(long)ctx->data)
		return XE_R_NO_METADATA;
	meta->flow_hash = hash;
	meta->gso_type = gso.type;
	meta->gso_size = gso.size;
	meta->gso_segs = gso.segs;
	meta->port = in->port;
	meta->magic = XE_META_MAGIC ^ in->port;
	meta->flags = gso.flags;
	return XE_R_TAKEN;
}

/* 0: no port of ours, or one that is not live (coming up, being removed). */
static __always_inline int find_port(const struct xdp_md *ctx, struct ingress *in)
{
	if (!port_of(ctx->ingress_ifindex, &in->port))
		return 0;
	in->conf = bpf_map_lookup_elem(&ports, &in->port);
	in->cnt = bpf_map_lookup_elem(&counters, &in->port);
	return in->conf && in->cnt && (in->conf->flags & XE_PF_LIVE);
}

SEC("xdp.frags")
int xe_steer(struct xdp_md *ctx)
{
	struct ingress in = {};
	__u64 hash = 0;
	__u32 key = 0;
	__u32 unknown = ctx->rx_queue_index;
	int reason;

	/* Without a live port nothing is counted: there is nowhere to. */
	if (!find_port(ctx, &in))
		return XDP_PASS;
	reason = decide(ctx, &in, &hash);
	if (in.conf->role == XE_ROLE_UPLINK)
		reason = deny(ctx, in.port, in.conf, reason);
	if (reason == XE_R_TAKEN)
		reason = hand_over(ctx, &in, hash, &key);
	/* To the verifier anything, on every path the same: without CAP_PERFMON it allows one range
	 * only for an offset into a map's value. */
	reason ^= unknown;
	asm volatile("" : "+r"(reason));
	reason ^= unknown;
	if (reason < 0 || reason >= XE_R_STEER_CNT)
		return XDP_PASS;
	in.cnt->reason[reason]++;
	if (reason == XE_R_TAKEN)
		return bpf_redirect_map(&xsks, key, XDP_PASS);
	if (reason >= XE_R_SPOOFED)
		return XDP_DROP;
	return XDP_PASS;
}

char _license[] SEC("license") = "Dual BSD/GPL";
