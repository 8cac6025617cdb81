/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * steer_deny.h - the deny lists of uplinks (`drop from PREFIX in UPLINK`).
 *
 * Asked after the decision, so that it overrules all of it: what would be taken (replies to live
 * flows included) or forwarded by the kernel is dropped. What is for this host itself is left
 * alone: ssh to it never depends on us. One longest-prefix match a packet, none without a list.
 */
#ifndef XE_STEER_DENY_H
#define XE_STEER_DENY_H

#include "steer_maps.h"

#ifndef AF_INET
#define AF_INET 2
#endif
#ifndef AF_INET6
#define AF_INET6 10
#endif

/* Only for packets from a denied source: the kernel's own routing says whose it is. */
static __always_inline int deny_is_forwarded(struct xdp_md *ctx, struct steer_scratch *tmp,
					     const struct xe_port_conf *pc)
{
	struct bpf_fib_lookup *fib = &tmp->fib;
	int ret;

	__builtin_memset(fib, 0, sizeof(*fib));
	fib->ifindex = pc->route_ifindex;
	fib->l4_protocol = tmp->pkt.proto;
	fib->tos = tmp->pkt.tos;
	if (tmp->pkt.is_v6) {
		fib->family = AF_INET6;
		__builtin_memcpy(fib->ipv6_src, &tmp->pkt.src, sizeof(fib->ipv6_src));
		__builtin_memcpy(fib->ipv6_dst, &tmp->pkt.dst, sizeof(fib->ipv6_dst));
	} else {
		fib->family = AF_INET;
		fib->ipv4_src = tmp->pkt.src.w_be[3];
		fib->ipv4_dst = tmp->pkt.dst.w_be[3];
	}
	ret = bpf_fib_lookup(ctx, fib, sizeof(*fib), 0);
	return ret == BPF_FIB_LKUP_RET_SUCCESS || ret == BPF_FIB_LKUP_RET_NO_NEIGH ||
	       ret == BPF_FIB_LKUP_RET_FRAG_NEEDED;
}

/* What becomes of a packet on an uplink that `reason` was decided for. */
static __always_inline int deny(struct xdp_md *ctx, __u32 port, const struct xe_port_conf *pc,
				int reason)
{
	struct xe_steer_conf *conf;
	struct steer_scratch *tmp;
	struct xe_allow_key *key;
	__u32 zero = 0;

	conf = bpf_map_lookup_elem(&steer_conf, &zero);
	if (!conf || !conf->deny_cnt)
		return reason;
	tmp = scratch_of_cpu();
	/* No source was read: not IP, or not for this host's Ethernet address. */
	if (!tmp || (!tmp->pkt.src.q[0] && !tmp->pkt.src.q[1]))
		return reason;
	key = &tmp->allow_key;
	key->prefixlen = 32 + 128;
	key->port = tmp->pkt.is_v6 ? port | XE_KEY_IPV6 : port;
	key->src = tmp->pkt.src;
	if (!bpf_map_lookup_elem(&deny_list, key))
		return reason;
	if (reason == XE_R_TAKEN || deny_is_forwarded(ctx, tmp, pc))
		return XE_R_DENIED;
	return reason;
}

#endif
