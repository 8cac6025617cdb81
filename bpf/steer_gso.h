/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * steer_gso.h - is this packet a superpacket, and of which segment size?
 *
 * XDP has no helper for it. In generic mode the xdp_buff is laid over the skb: data_hard_start is
 * skb->head, and the tail room behind frame_sz is the skb's own skb_shared_info (kernel 6.2+ for
 * the two kfuncs, 6.9+ for frags in generic mode; bpf_prog_run_generic_xdp()). In native mode that
 * tail may hold garbage, and a veth's peer does not send superpackets: never read there.
 */
#ifndef XE_STEER_GSO_H
#define XE_STEER_GSO_H

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

enum steer_gso_source {
	STEER_GSO_NATIVE = 0,  /* no superpackets arrive by this mode */
	STEER_GSO_SHINFO = 1,  /* generic mode, readable */
	STEER_GSO_UNKNOWN = 2, /* generic mode, not readable: of what exceeds the MTU only TCP is
				* taken, which the worker cuts by the MSS it has seen */
};

struct gso_facts {
	__u32 type;
	__u16 size;
	__u16 segs;
	__u32 flags; /* XE_META_* */
};

/* What we need of kernel types; CO-RE finds the fields in the running kernel. */
struct xdp_buff {
	void *data_hard_start;
	__u32 frame_sz;
} __attribute__((preserve_access_index));
struct skb_shared_info {
	unsigned short gso_size;
	unsigned short gso_segs;
	unsigned int gso_type;
} __attribute__((preserve_access_index));

extern void *bpf_cast_to_kern_ctx(void *ctx) __ksym __weak;
extern void *bpf_rdonly_cast(const void *obj, __u32 btf_id) __ksym __weak;

/* include/linux/skbuff.h; the values of these have not changed since 4.18. */
#define GSO_TCPV4     (1u << 0)
#define GSO_DODGY     (1u << 1) /* from a guest: the kernel checks it again on the way out */
#define GSO_TCP_ECN   (1u << 2)
#define GSO_TCP_FIXID (1u << 3)
#define GSO_TCPV6     (1u << 4)
#define GSO_UDP_L4    (1u << 17)
#define GSO_CARRIED   (GSO_TCPV4 | GSO_DODGY | GSO_TCP_ECN | GSO_TCP_FIXID | GSO_TCPV6 | GSO_UDP_L4)
/* SKB_DATA_ALIGN() rounds to the cache line, 64 bytes on x86-64 and arm64. */
#define SKB_ALIGN 64u

/* TCP can be cut anywhere, so its receiver's MSS is as good as the sender's segment size. UDP
 * cannot: the length of each datagram means something. The packet has been parsed. */
static __always_inline int guess_gso(struct xdp_md *ctx, const struct xe_port_conf *pc,
				     struct gso_facts *gso)
{
	const struct steer_scratch *tmp = scratch_of_cpu();

	if (!tmp)
		return 0;
	if (!(pc->flags & XE_PF_MULTI) || tmp->pkt.proto != IPPROTO_TCP)
		return bpf_xdp_get_buff_len(ctx) <= pc->frame_len_max;
	gso->flags = XE_META_GSO_UNKNOWN;
	return 1;
}

/* 0: a superpacket that must not be taken. */
static __always_inline int read_gso(struct xdp_md *ctx, __u32 source, const struct xe_port_conf *pc,
				    struct gso_facts *gso)
{
	struct skb_shared_info *shinfo;
	struct xdp_buff *x;
	__u32 tail_len;

	if (source == STEER_GSO_NATIVE)
		return 1;
	if (source != STEER_GSO_SHINFO) /* constant: the verifier never sees the kfuncs then */
		return guess_gso(ctx, pc, gso);
	x = bpf_cast_to_kern_ctx(ctx);
	tail_len = (bpf_core_type_size(struct skb_shared_info) + SKB_ALIGN - 1) & ~(SKB_ALIGN - 1);
	shinfo = bpf_rdonly_cast(x->data_hard_start + x->frame_sz - tail_len,
				 bpf_core_type_id_kernel(struct skb_shared_info));
	gso->size = shinfo->gso_size;
	if (!gso->size)
		return 1;
	gso->type = shinfo->gso_type;
	gso->segs = shinfo->gso_segs;
	return !(gso->type & ~GSO_CARRIED);
}

#endif
