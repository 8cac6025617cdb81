/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * steer_decide.h - take it or leave it: the decision about a parsed packet, from the tables.
 *
 * What is taken cannot be given back cheaply, so everything a worker would have to refuse is left
 * to the kernel here. Order: destination (in the parser), source, live session, route, rule.
 */
#ifndef XE_STEER_DECIDE_H
#define XE_STEER_DECIDE_H

#include "steer_maps.h"
#include "steer_parse.h"

#ifndef AF_INET
#define AF_INET 2
#endif
#ifndef AF_INET6
#define AF_INET6 10
#endif

/* Set by the service before load. */
const volatile __u64 hash_k0, hash_k1;
const volatile __u32 live_mask; /* buckets of one worker's region - 1 */
const volatile __u32 worker_cnt;

static __always_inline int tag_in_bucket(__u32 idx, __u16 tag)
{
	struct xe_live_bucket *b = bpf_map_lookup_elem(&live, &idx);

	if (!b)
		return 0;
	return b->tag[0] == tag || b->tag[1] == tag || b->tag[2] == tag || b->tag[3] == tag ||
	       b->tag[4] == tag || b->tag[5] == tag || b->tag[6] == tag || b->tag[7] == tag;
}

static __always_inline int is_live_at(__u32 worker, __u64 hash)
{
	__u32 base = worker * (live_mask + 1);
	__u16 tag = xe_live_tag(hash);

	return tag_in_bucket(base + xe_live_first(hash, live_mask), tag) ||
	       tag_in_bucket(base + xe_live_second(hash, live_mask), tag);
}

/* The reply of an `accept` flow may come in on a port whose owner is not the session's. */
static __always_inline int is_live(__u32 worker, __u64 hash, const struct xe_steer_conf *conf)
{
	if (is_live_at(worker, hash))
		return 1;
	if (!conf->any_accept)
		return 0;
	/* Unrolled: without CAP_PERFMON the verifier loses the bounds of a spilled counter. */
	_Pragma("unroll") for (__u32 w = 0; w < XE_MAX_WORKERS; w++)
	{
		if (w >= worker_cnt)
			break;
		if (w != worker && is_live_at(w, hash))
			return 1;
	}
	return 0;
}

static __always_inline int source_allowed(struct steer_scratch *tmp, __u32 port)
{
	struct xe_allow_key *key = &tmp->allow_key;

	key->prefixlen = 32 + 128;
	key->port = tmp->pkt.is_v6 ? port | XE_KEY_IPV6 : port;
	key->src = tmp->pkt.src;
	return bpf_map_lookup_elem(&allow, key) != NULL;
}

/* 1 and the id of the port that an interface is, live or not. */
static __always_inline int port_of(__u32 ifindex, __u32 *port)
{
	__u32 idx = xe_hint_idx(ifindex), *id;
	__u64 *hint = bpf_map_lookup_elem(&port_hints, &idx);
	__u64 word = hint ? *(volatile __u64 *)hint : 0;

	if (word >> 32 == ifindex) {
		*port = (__u32)word;
		return 1;
	}
	id = bpf_map_lookup_elem(&port_ids, &ifindex);
	if (!id)
		return 0;
	*port = *id;
	return 1;
}

static __always_inline int beat_is_old(__u32 worker)
{
	__u64 *beat = bpf_map_lookup_elem(&beats, &worker);

	return !beat || bpf_ktime_get_coarse_ns() > *beat + XE_BEAT_MAX_AGE_NS;
}

/* Which port would the kernel forward it to? XE_R_TAKEN and *out, or why not. */
static __always_inline int egress_port(struct xdp_md *ctx, struct steer_scratch *tmp,
				       const struct xe_port_conf *pc, __u16 *out)
{
	const struct steer_pkt *p = &tmp->pkt;
	struct bpf_fib_lookup *fib = &tmp->fib;
	struct xe_port_conf *oc;
	__u32 id = 0;
	int ret;

	__builtin_memset(fib, 0, sizeof(*fib));
	fib->l4_protocol = p->proto;
	fib->sport = p->sport_be;
	fib->dport = p->dport_be;
	fib->ifindex = pc->route_ifindex;
	if (p->is_v6) {
		fib->family = AF_INET6;
		fib->flowinfo = p->flow_info_be;
		__builtin_memcpy(fib->ipv6_src, &p->src, sizeof(p->src));
		__builtin_memcpy(fib->ipv6_dst, &p->dst, sizeof(p->dst));
	} else {
		fib->family = AF_INET;
		fib->tos = p->tos; /* the kernel masks it, as for its own forwarding */
		fib->ipv4_src = p->src.w_be[3];
		fib->ipv4_dst = p->dst.w_be[3];
	}
	ret = bpf_fib_lookup(ctx, fib, sizeof(*fib), 0);
	if (ret == BPF_FIB_LKUP_RET_NOT_FWDED)
		return XE_R_DST_LOCAL;
	/* The neighbour is the worker's matter: it asks, and holds the packet meanwhile. */
	if (ret != BPF_FIB_LKUP_RET_SUCCESS && ret != BPF_FIB_LKUP_RET_NO_NEIGH)
		return XE_R_NO_ROUTE;
	if (!port_of(fib->ifindex, &id))
		return XE_R_EGRESS_NOT_PORT;
	oc = bpf_map_lookup_elem(&ports, &id);
	if (!oc || !(oc->flags & XE_PF_LIVE))
		return XE_R_EGRESS_NOT_PORT;
	*out = id | (oc->role == XE_ROLE_INSIDE ? XE_OUT_INSIDE : 0);
	return oc->flags & XE_PF_MOVING ? XE_R_MOVING : XE_R_TAKEN;
}

/* Can no worker receive what comes back by this port (one of egress_port())? Of one that is spread:
 * not all of it. Asked when the rules have been: `drop` does not open by a stall. */
static __always_inline int is_stalled_behind(__u16 out)
{
	__u32 id = out & ~XE_OUT_INSIDE;
	struct xe_port_conf *pc = bpf_map_lookup_elem(&ports, &id);

	if (!pc)
		return 1;
	if (!pc->worker_step)
		return beat_is_old(pc->worker);
	/* Unrolled: as is_live(). */
	_Pragma("unroll") for (__u32 w = 0; w < XE_MAX_WORKERS; w++)
	{
		if (w >= worker_cnt)
			break;
		if (beat_is_old(w))
			return 1;
	}
	return 0;
}

/* One tuple of the rule set: mask the packet, ask the hash table, keep the earliest rule. */
static long match_tuple(__u32 n, void *arg)
{
	struct steer_scratch *tmp = *(struct steer_scratch **)arg;
	struct rule_walk *w = &tmp->walk;
	const struct steer_pkt *p = &tmp->pkt;
	struct xe_rule_key *key = &tmp->rule_key;
	struct xe_rule_value *v;
	struct xe_tuple *t;
	__u32 idx = w->base + n;

	t = bpf_map_lookup_elem(&tuples, &idx);
	if (!t || (w->found && t->best_rule > w->best_rule))
		return 1;
	key->gen = w->gen;
	key->tuple = n;
	key->dport_be = p->dport_be & t->dport_mask_be;
	key->src.q[0] = p->src.q[0] & t->src_mask.q[0];
	key->src.q[1] = p->src.q[1] & t->src_mask.q[1];
	key->dst.q[0] = p->dst.q[0] & t->dst_mask.q[0];
	key->dst.q[1] = p->dst.q[1] & t->dst_mask.q[1];
	key->in_port = w->in_port & t->in_mask;
	key->out_port = w->out_port & t->out_mask;
	key->proto = p->proto & t->proto_mask;
	v = bpf_map_lookup_elem(&rules, key);
	if (v && (!w->found || v->rule_idx < w->best_rule)) {
		w->best_rule = v->rule_idx;
		w->verb = v->verb;
		w->found = 1;
	}
	return 0;
}

/* The verb of the first rule that matches, -1: none does. */
static __always_inline int find_verb(struct steer_scratch *tmp, __u16 in_port, __u16 out_port,
				     const struct xe_steer_conf *conf)
{
	struct rule_walk *w = &tmp->walk;
	__u32 gen = conf->rules_gen;

	w->base = (gen & 1) * XE_MAX_TUPLES;
	w->gen = gen;
	w->in_port = tmp->pkt.is_v6 ? in_port | XE_IN_IPV6 : in_port;
	w->out_port = out_port;
	w->best_rule = 0;
	w->verb = 0;
	w->found = 0;
	__builtin_memset(&tmp->rule_key, 0, sizeof(tmp->rule_key)); /* what no round writes */
	bpf_loop(conf->tuple_cnt[gen & 1], match_tuple, &tmp, 0);   /* wants the stack */
	return w->found ? w->verb : -1;
}

static __always_inline int match_rules(struct steer_scratch *tmp, __u16 in_port, __u16 out_port,
				       const struct xe_steer_conf *conf)
{
	int verb = find_verb(tmp, in_port, out_port, conf);

	if (verb < 0)
		return XE_R_NO_RULE;
	if (verb == XE_VERB_KERNEL)
		return XE_R_KERNEL_RULE;
	if (verb == XE_VERB_DROP)
		return XE_R_DROP_RULE;
	return XE_R_TAKEN;
}

/* Do sessions of ours receive on this address and L4 port? */
static __always_inline int is_owned(const struct steer_pkt *p)
{
	__u32 *ext = bpf_map_lookup_elem(&ext_addrs, &p->dst), idx;
	__u16 dport = bpf_ntohs(p->dport_be);
	__u64 *word;

	if (!ext)
		return 0;
	idx = xe_owned_idx(*ext, p->proto == IPPROTO_UDP, dport);
	word = bpf_map_lookup_elem(&owned, &idx);
	return word && (*word >> (dport & 63) & 1);
}

static __always_inline int starts_flow(const struct steer_pkt *p)
{
	return p->proto != IPPROTO_TCP || p->syn_only;
}

static __always_inline __u64 hash_packet(const struct steer_pkt *p, __u16 port)
{
	struct xe_tuple4 t = {
		.src_be = p->src.w_be[3],
		.dst_be = p->dst.w_be[3],
		.sport_be = p->sport_be,
		.dport_be = p->dport_be,
		.port = port,
		.proto = p->proto,
	};

	if (p->is_v6)
		return xe_flow_hash6(&t, &p->src, &p->dst, hash_k0, hash_k1);
	return xe_flow_hash(&t, hash_k0, hash_k1);
}

/* Whose is the queue that the packet came in by? */
static __always_inline __u32 queue_worker(const struct xdp_md *ctx, const struct xe_port_conf *pc)
{
	if (!pc->worker_step || !worker_cnt)
		return pc->worker;
	return (pc->worker + ctx->rx_queue_index) % worker_cnt;
}

/* No host sends so, and none would get an answer. */
static __always_inline int is_martian(const struct steer_pkt *p)
{
	if (p->is_v6)
		return (p->src.q[0] == p->dst.q[0] && p->src.q[1] == p->dst.q[1]) ||
		       v6_is_martian(&p->src);
	return p->src.w_be[3] == p->dst.w_be[3] || v4_is_special(p->src.w_be[3]);
}

static __always_inline int is_expired(const struct steer_pkt *p)
{
	return p->ttl <= 1;
}

/* From a container, about what it got of a live flow: ours. All others are the kernel's. */
static __always_inline int decide_error_inside(struct steer_scratch *tmp, __u32 port, int live)
{
	int expired = is_expired(&tmp->pkt);

	if (!live)
		return expired ? XE_R_TTL : XE_R_NOT_TCP_UDP;
	tmp->pkt.src = tmp->quote.from;
	if (!source_allowed(tmp, port))
		return XE_R_SPOOFED;
	return expired ? XE_R_TTL : XE_R_TAKEN;
}

/*
 * Only the first fragment of a datagram has L4 ports. So none is asked for its rule or its flow:
 * all are taken that could be a flow's of ours, the worker holds them until the datagram is whole,
 * and what then turns out to be the kernel's goes back by the punt device, all of it and in order.
 * Without such a device all is the kernel's.
 */
static __always_inline int fragment_inside(const struct xe_steer_conf *conf)
{
	if (!conf->tuple_cnt[conf->rules_gen & 1])
		return XE_R_NO_RULE;
	return conf->take_fragments ? XE_R_TAKEN : XE_R_FRAGMENT;
}

/* By way of the scratch: the stack is short. */
static __always_inline void swap_addresses(struct steer_scratch *tmp)
{
	tmp->swapped = tmp->pkt.dst;
	tmp->pkt.dst = tmp->pkt.src;
	tmp->pkt.src = tmp->swapped;
}

/* To an external address, or (`accept` rules) from a host beyond an uplink to one behind an inside
 * port. */
static __always_inline int fragment_uplink(struct xdp_md *ctx, struct steer_scratch *tmp,
					   const struct xe_port_conf *pc,
					   const struct xe_steer_conf *conf)
{
	__u16 out = 0;

	if (is_martian(&tmp->pkt))
		return XE_R_NOT_OWNED;
	if (!bpf_map_lookup_elem(&ext_addrs, &tmp->pkt.dst) &&
	    (!conf->any_accept || egress_port(ctx, tmp, pc, &out) != XE_R_TAKEN ||
	     !(out & XE_OUT_INSIDE)))
		return XE_R_NOT_OWNED;
	/* The punt device knows no reverse path: who claims to be inside is judged by the port. */
	out = 0;
	swap_addresses(tmp);
	egress_port(ctx, tmp, pc, &out);
	swap_addresses(tmp);
	if (out & XE_OUT_INSIDE)
		return XE_R_NOT_OWNED;
	return conf->take_fragments ? XE_R_TAKEN : XE_R_FRAGMENT;
}

/* Does a rule send what is for this address and L4 port to an inside host? */
static __always_inline int is_given_away(struct steer_scratch *tmp, __u32 port,
					 const struct xe_steer_conf *conf)
{
	int verb;

	if (!conf->any_inbound)
		return 0;
	verb = find_verb(tmp, port, XE_OUT_SOME_INSIDE, conf);
	return verb == XE_VERB_DNAT || verb == XE_VERB_NAT;
}

/* Of a network of the host's, by way of this host: bpf_fib_lookup() tells it from nothing else that
 * is not forwarded. On its own network a container broadcasts by Ethernet, too. */
static __always_inline int is_directed_broadcast(const struct steer_pkt *p)
{
	return !p->is_v6 && bpf_map_lookup_elem(&broadcasts, &p->dst.w_be[3]) != NULL;
}

static __always_inline int decide_inside(struct xdp_md *ctx, struct steer_scratch *tmp, __u32 port,
					 const struct xe_port_conf *pc,
					 const struct xe_steer_conf *conf, __u64 *hash)
{
	const struct steer_pkt *p = &tmp->pkt;
	__u16 out = 0;
	int reason, live;

	if (!(pc->flags & (p->is_v6 ? XE_PF_ALLOW6 : XE_PF_ALLOW4)))
		return is_expired(p) ? XE_R_TTL
		       : p->is_error ? XE_R_NOT_TCP_UDP
		       : p->is_v6    ? XE_R_IPV6
				     : XE_R_NO_RULE;
	if (!p->is_frag) {
		*hash = hash_packet(p, port);
		live = is_live(pc->worker, *hash, conf);
		if (p->is_error)
			return decide_error_inside(tmp, port, live);
		if (live)
			return is_expired(p) ? XE_R_TTL : XE_R_TAKEN;
	}
	/* The kernel may have its flow; else it begins there and is moved with the others. */
	if ((pc->flags & XE_PF_MOVING) && !is_expired(p))
		return XE_R_MOVING;
	if (is_martian(p))
		return XE_R_MARTIAN;
	if (!source_allowed(tmp, port))
		return XE_R_SPOOFED;
	/* The kernel answers who sent it: not whom somebody else has written as its source. */
	if (is_expired(p))
		return XE_R_TTL;
	/* For another container, by an external address: what rules say of its source, the worker
	 * asks. */
	if (is_owned(p) || is_given_away(tmp, port, conf))
		return starts_flow(p) ? XE_R_TAKEN : XE_R_MIDFLOW;
	reason = egress_port(ctx, tmp, pc, &out);
	if (reason == XE_R_DST_LOCAL && is_directed_broadcast(p))
		return XE_R_MARTIAN;
	if (reason != XE_R_TAKEN)
		return reason;
	if (out == (__u16)(port | XE_OUT_INSIDE))
		return XE_R_EGRESS_NOT_PORT; /* back out where it came in: the kernel redirects */
	reason = p->is_frag ? fragment_inside(conf) : match_rules(tmp, port, out, conf);
	/* After the rules, so that `drop` and `kernel` are counted as what they are. */
	if (reason == XE_R_TAKEN && is_stalled_behind(out))
		return XE_R_STALLED;
	if (reason == XE_R_TAKEN && !p->is_frag && p->proto == IPPROTO_TCP && !p->syn_only)
		return XE_R_MIDFLOW;
	return reason;
}

/* Does the L4 port belong to a NAT range, and not to the host? */
static __always_inline int is_guarded(const struct steer_pkt *p)
{
	__u16 dport = bpf_ntohs(p->dport_be);
	__u32 idx = xe_guarded_idx(p->proto == IPPROTO_UDP, dport);
	__u64 *word = bpf_map_lookup_elem(&guarded, &idx);

	return word && (*word >> (dport & 63) & 1);
}

/* May it start a flow to an inside host? Asked only where there is a rule for such. */
static __always_inline int decide_inbound(struct xdp_md *ctx, struct steer_scratch *tmp, __u32 port,
					  const struct xe_port_conf *pc,
					  const struct xe_steer_conf *conf)
{
	int verb = find_verb(tmp, port | XE_IN_UPLINK, XE_OUT_SOME_INSIDE, conf);
	__u16 out = 0;

	if (verb == XE_VERB_DROP)
		return XE_R_DROP_RULE;
	if (verb != XE_VERB_DNAT && verb != XE_VERB_NAT && verb != XE_VERB_ACCEPT)
		return verb == XE_VERB_KERNEL ? XE_R_KERNEL_RULE : XE_R_NOT_OWNED;
	if (is_martian(&tmp->pkt))
		return XE_R_MARTIAN;
	/* Untranslated it goes where its own destination says, and only inside. */
	if (verb == XE_VERB_ACCEPT &&
	    (egress_port(ctx, tmp, pc, &out) != XE_R_TAKEN || !(out & XE_OUT_INSIDE)))
		return XE_R_NOT_OWNED;
	return starts_flow(&tmp->pkt) ? XE_R_TAKEN : XE_R_MIDFLOW;
}

/* For an owned L4 port, and no session has such a peer. Toward a link-local one only the kernel
 * translates, by an L4 port that may be the same; ICMP errors are about what we never sent. */
static __always_inline int refuse_martian(const struct steer_pkt *p)
{
	if (!p->is_v6 && bpf_ntohl(p->src.w_be[3]) >> 16 == 0xa9fe)
		return XE_R_NOT_OWNED;
	return p->is_error ? XE_R_ICMP_NOT_OWNED : XE_R_MARTIAN;
}

static __always_inline int decide_uplink(struct xdp_md *ctx, struct steer_scratch *tmp, __u32 port,
					 const struct xe_port_conf *pc,
					 const struct xe_steer_conf *conf, __u64 *hash)
{
	const struct steer_pkt *p = &tmp->pkt;

	*hash = hash_packet(p, XE_PORT_ANYUPLINK);
	if (is_owned(p))
		return is_martian(p) ? refuse_martian(p) : XE_R_TAKEN;
	if (conf->any_accept && is_live(queue_worker(ctx, pc), *hash, conf))
		return XE_R_TAKEN;
	if (p->is_error)
		return is_guarded(p) && bpf_map_lookup_elem(&ext_addrs, &p->dst)
			       ? XE_R_ICMP_NOT_OWNED
			       : XE_R_NOT_OWNED;
	if (!conf->any_inbound || (pc->flags & XE_PF_MOVING))
		return XE_R_NOT_OWNED;
	return decide_inbound(ctx, tmp, port, pc, conf);
}

#endif
