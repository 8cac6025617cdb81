/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * steer_abi.h - what the steering program (bpf/steer.bpf.c) and the service share: the layouts of
 * the maps and of the metadata in front of a frame.
 *
 *   map            kind            key -> value                       written by      read by
 *   xsks           XSKMAP          port * XE_MAX_QUEUES + queue       control thread  steer
 *   ports          array           port -> xe_port_conf               control thread  steer
 *   port_ids       hash            ifindex -> port id                 control thread  steer
 *   port_hints     array           xe_hint_idx() -> xe_port_hint()    control thread  steer
 *   allow          LPM             (port, source prefix) -> 1         control thread  steer
 *   deny_list      LPM             (uplink, source prefix) -> 1       control thread  steer
 *   tuples         array           gen%2 * XE_MAX_TUPLES + n          control thread  steer
 *   rules          hash            xe_rule_key -> xe_rule_value       control thread  steer
 *   ext_addrs      hash            xe_addr -> ext index               control thread  steer
 *   broadcasts     hash            IPv4 address -> 1                  control thread  steer
 *   owned          array, mmap     xe_owned_idx() -> 64 L4 ports      workers         steer
 *   guarded        array, mmap     xe_guarded_idx() -> 64 L4 ports    control thread  steer
 *   live           array, mmap     xe_live_bucket                     workers         steer
 *   beats          array, mmap     worker -> CLOCK_MONOTONIC, ns      workers         steer
 *   steer_conf     array, mmap     0 -> xe_steer_conf                 control thread  steer
 *   counters       per-CPU array   port -> xe_port_counters           steer           control
 * thread
 *
 * Everything here is host byte order unless the name ends in _be.
 */
#ifndef XEGRESS_STEER_ABI_H
#define XEGRESS_STEER_ABI_H

#include "reason.h"
#include "types.h"

/*
 * Metadata that steer puts directly in front of the Ethernet header (bpf_xdp_adjust_meta); AF_XDP
 * in copy mode copies it along. 24 bytes: a multiple of 4, below the kernel's limit of 32 for
 * generic mode (6.1) and 252 later.
 */
struct xe_meta {
	__u64 flow_hash; /* xe_flow_hash() of the packet's tuple, see below */
	__u32 gso_type;  /* SKB_GSO_* bits of the running kernel, 0: no superpacket or not known */
	__u16 gso_size;  /* payload bytes a segment, 0: no superpacket or not known */
	__u16 gso_segs;
	__u16 port;  /* port id the packet arrived on */
	__u16 magic; /* XE_META_MAGIC ^ port: a frame without metadata is not mistaken for one */
	__u32 flags; /* XE_META_* */
};
#define XE_META_MAGIC 0x7e65
/* TCP, in generic mode where segment sizes cannot be read: it may be a superpacket. */
#define XE_META_GSO_UNKNOWN 0x1
/* Written by a worker before it hands the packet to the owner of its port: no session has it, it
 * stays there (pipeline/handover.c). */
#define XE_META_FINAL 0x2
/* The same for a fragment: its datagram was whole where it comes from, it is joined where it is
 * now and goes nowhere else before (pipeline/reassemble.h). */
#define XE_META_JOIN_HERE 0x10
/* The same: to who has the block of its Ext L4 port, which does not say that it has the session. */
#define XE_META_BY_BLOCK 0x20
/* The same: it came from an inside port and has been translated once (pipeline/hairpin.c). */
#define XE_META_HAIRPIN 0x4

/* A port as steer sees it. A zeroed entry (flags 0) passes everything. */
#define XE_PF_LIVE   0x01 /* steer takes packets of this port */
#define XE_PF_ALLOW4 0x02 /* the port has IPv4 allow entries; without, IPv4 is the kernel's */
#define XE_PF_ALLOW6 0x04 /* the same for IPv6 */
#define XE_PF_MULTI  0x08 /* its sockets take packets in several frames */
#define XE_PF_MOVING                                                                               \
	0x10 /* live, but only for flows that a session has; nor do new ones leave by it */
struct xe_port_conf {
	__u8 l2_addr[6];     /* Ethernet address that packets for this host carry: the port's own
				or, when it is a bridge member, its bridge's */
	__u8 flags;          /* XE_PF_* */
	__u8 role;           /* enum xe_port_role */
	__u32 route_ifindex; /* ingress interface for routing: the port's or its master's */
	__u16 worker;        /* owner of queue 0: index into beats and the live regions */
	__u16 worker_step;   /* 1: queue q is at worker (worker + q) % worker_cnt; 0: all at one */
	__u32 frame_len_max; /* Ethernet frame of the port's MTU, bytes: where segment sizes cannot
				be read, what is longer is a superpacket, and only TCP is taken */
};

/*
 * Most interfaces are found without the hash (30 ns of the program's 150): the first one with its
 * low bits has the hint. Interface numbers are dealt out in sequence, so 4096 slots (32 KiB, four
 * for each port there can be) leave few to the hash. A hint and its port_ids entry come and go
 * together.
 */
#define XE_PORT_HINTS 4096
static inline __u32 xe_hint_idx(__u32 ifindex)
{
	return ifindex & (XE_PORT_HINTS - 1);
}
/* Both in one word, so that it is never seen half written. 0: none. */
static inline __u64 xe_port_hint(__u32 ifindex, __u32 port)
{
	return (__u64)ifindex << 32 | port;
}

/* LPM key of `allow` and `deny_list`; prefixlen counts port (32 bits) + address bits (+96 for
 * IPv4). The port carries XE_KEY_IPV6 with IPv6 sources: see XE_IN_IPV6. */
#define XE_KEY_IPV6 0x10000
struct xe_allow_key {
	__u32 prefixlen;
	__u32 port;
	struct xe_addr src;
};

/*
 * Rules are compiled to masked exact matches ("tuple-space search"): all rules that use the same
 * masks form a tuple, a lookup masks the packet with each tuple and asks one hash table. `gen`
 * and `tuple` are part of the key, so two rule sets can stand side by side and the switch is one
 * store to xe_steer_conf.rules_gen.
 */
struct xe_tuple {
	struct xe_addr src_mask;
	struct xe_addr dst_mask;
	__be16 dport_mask_be;
	__u16 in_mask;  /* 0x7fff exact, 0 any; XE_IN_IPV6 where the family matters */
	__u16 out_mask; /* 0xffff exact, XE_OUT_INSIDE any port of the role, 0 any */
	__u8 proto_mask;
	__u8 reserved;
	__u32 best_rule; /* lowest rule index in this tuple; tuples are sorted by it, so the walk
			    ends at the first tuple that cannot improve on what was found */
	__u32 reserved2;
};
/* Port ids of the inside role carry this bit in the `out` field, so that "any uplink" is the
 * masked value 0. */
#define XE_OUT_INSIDE 0x8000
/* And IPv6 packets this one in the `in` field: a prefix such as ::/0 also holds the form in which
 * IPv4 addresses are looked up. */
#define XE_IN_IPV6 0x8000
/*
 * What comes in by an uplink is looked up with XE_IN_UPLINK beside its port's id, and goes to "an
 * inside port, which is not known yet". Rules without `in` are about inside ports only, those that
 * change a destination (dnat, nat) and `kernel` about both; those that change a destination are
 * found by XE_OUT_SOME_INSIDE only, so they and the rules about sources never hide each other, as
 * if they stood in two lists.
 */
#define XE_IN_UPLINK       0x4000
#define XE_OUT_SOME_INSIDE 0xffff

struct xe_rule_key {
	__u32 gen;
	__u16 tuple;
	__be16 dport_be;
	struct xe_addr src;
	struct xe_addr dst;
	__u16 in_port;
	__u16 out_port;
	__u8 proto; /* IPPROTO_TCP, IPPROTO_UDP, or 0 where the tuple masks it away */
	__u8 reserved[3];
};
struct xe_rule_value {
	__u32 rule_idx; /* position in the configuration: the lowest wins */
	__u8 verb;      /* enum xe_verb */
	__u8 reserved[3];
};

struct xe_steer_conf {
	__u32 rules_gen;      /* active rule set; its tuples start at (gen % 2) * XE_MAX_TUPLES */
	__u32 tuple_cnt[2];   /* per half */
	__u32 any_accept;     /* sessions of `accept`, dnat and nat rules may exist: look for live
				 tags in the regions of all workers, on uplinks too */
	__u32 any_inbound;    /* rules by which flows start on uplinks, or toward an address that a
				 rule changes: ask them */
	__u32 deny_cnt;       /* entries of deny_list; 0: it is not asked */
	__u32 take_fragments; /* what turns out not to be ours can be given back */
	__u32 reserved;
	/* Whose it is: device and number of the lock file that the service holds. steer does not
	 * look at it; another version finds it here, too (io/attach.c). */
	__u64 lock_dev, lock_ino;
};

/*
 * Owned L4 ports: one bit each, 64 a word. A bit is set while a session receives on it. A word is
 * one L4 port block and belongs to one worker at a time, so there is one writer a word.
 */
#define XE_OWNED_WORDS   1024 /* 65536 / 64 */
#define XE_OWNED_ENTRIES (XE_MAX_EXT_ADDRS * 2 * XE_OWNED_WORDS)
static inline __u32 xe_owned_idx(__u32 ext_idx, int is_udp, __u16 l4_port)
{
	return (ext_idx * 2 + !!is_udp) * XE_OWNED_WORDS + (l4_port >> 6);
}

/*
 * L4 ports that lie in a NAT range and that the host does not use itself, for TCP and UDP: nobody
 * but a session can have sent from one of them by an external address. So an ICMP error about one
 * that is not owned is dropped, as the safety net drops packets to it.
 */
#define XE_GUARDED_WORDS (2 * XE_OWNED_WORDS)
static inline __u32 xe_guarded_idx(int is_udp, __u16 l4_port)
{
	return !!is_udp * XE_OWNED_WORDS + (l4_port >> 6);
}

/*
 * Live sessions, as a set of 16-bit tags in buckets of 8: a session's tag is in one of the two
 * buckets its hash names, from before its first packet leaves until after its end. steer takes
 * what has a tag without asking routes and rules again, which makes the hit path short and a
 * changed rule set a matter of new flows only. A false positive (3 in 10^5) reaches a worker
 * without a session, which then decides as for a first packet. Each worker has a region of its own
 * and is its only writer.
 */
#define XE_LIVE_SLOTS 8
struct xe_live_bucket {
	__u16 tag[XE_LIVE_SLOTS]; /* 0: free */
};
static inline __u16 xe_live_tag(__u64 hash)
{
	return (__u16)(hash >> 48) ? (__u16)(hash >> 48) : 1;
}
/* Bucket numbers within a region of mask+1 buckets. */
static inline __u32 xe_live_first(__u64 hash, __u32 mask)
{
	return (__u32)hash & mask;
}
static inline __u32 xe_live_second(__u64 hash, __u32 mask)
{
	return (__u32)(hash >> 24) & mask;
}

/*
 * The tuple of a packet as it is on the wire at its ingress port. `port` is the ingress port id
 * for inside ports and XE_PORT_ANYUPLINK for uplinks. Addresses and L4 ports in network order.
 *
 * With family 6 src_be and dst_be are no addresses but numbers, which a worker gives to those that
 * it has to do with (state/addr6.h); the same number is the same address within one worker only.
 */
struct xe_tuple4 {
	__be32 src_be;
	__be32 dst_be;
	__be16 sport_be;
	__be16 dport_be;
	__u16 port;
	__u8 proto;
	__u8 family; /* 0: IPv4, 6: IPv6 */
};

#define XE_ROTL64(x, b) (((x) << (b)) | ((x) >> (64 - (b))))
#define XE_SIP_ROUND(v0, v1, v2, v3)                                                               \
	do {                                                                                       \
		v0 += v1;                                                                          \
		v1 = XE_ROTL64(v1, 13);                                                            \
		v1 ^= v0;                                                                          \
		v0 = XE_ROTL64(v0, 32);                                                            \
		v2 += v3;                                                                          \
		v3 = XE_ROTL64(v3, 16);                                                            \
		v3 ^= v2;                                                                          \
		v0 += v3;                                                                          \
		v3 = XE_ROTL64(v3, 21);                                                            \
		v3 ^= v0;                                                                          \
		v2 += v1;                                                                          \
		v1 = XE_ROTL64(v1, 17);                                                            \
		v1 ^= v2;                                                                          \
		v2 = XE_ROTL64(v2, 32);                                                            \
	} while (0)

/*
 * Keyed hash of a tuple: SipHash-1-3 (Aumasson and Bernstein) over its 16 bytes, so that nobody who
 * does not know the key (drawn at start) can choose tuples that collide. The same code runs in
 * steer and in the workers; the length word of the original is left out, the input being fixed.
 */
#define XE_SIP_WORD(v0, v1, v2, v3, word)                                                          \
	do {                                                                                       \
		v3 ^= (word);                                                                      \
		XE_SIP_ROUND(v0, v1, v2, v3);                                                      \
		v0 ^= (word);                                                                      \
	} while (0)
#define XE_SIP_INIT(v0, v1, v2, v3, k0, k1)                                                        \
	__u64 v0 = (k0) ^ 0x736f6d6570736575ull, v1 = (k1) ^ 0x646f72616e646f6dull,                \
	      v2 = (k0) ^ 0x6c7967656e657261ull, v3 = (k1) ^ 0x7465646279746573ull
#define XE_SIP_FINISH(v0, v1, v2, v3)                                                              \
	({                                                                                         \
		v2 ^= 0xff;                                                                        \
		XE_SIP_ROUND(v0, v1, v2, v3);                                                      \
		XE_SIP_ROUND(v0, v1, v2, v3);                                                      \
		XE_SIP_ROUND(v0, v1, v2, v3);                                                      \
		v0 ^ v1 ^ v2 ^ v3;                                                                 \
	})

static inline __attribute__((always_inline)) __u64 xe_flow_hash(const struct xe_tuple4 *t, __u64 k0,
								__u64 k1)
{
	__u64 a = (__u64)t->src_be | (__u64)t->dst_be << 32;
	__u64 b = (__u64)t->sport_be | (__u64)t->dport_be << 16 | (__u64)t->port << 32 |
		  (__u64)t->proto << 48;
	XE_SIP_INIT(v0, v1, v2, v3, k0, k1);

	XE_SIP_WORD(v0, v1, v2, v3, a);
	XE_SIP_WORD(v0, v1, v2, v3, b);
	return XE_SIP_FINISH(v0, v1, v2, v3);
}

/* The same for IPv6, over both addresses in full: the tuple gives the rest. */
static inline __attribute__((always_inline)) __u64 xe_flow_hash6(const struct xe_tuple4 *t,
								 const struct xe_addr *src,
								 const struct xe_addr *dst,
								 __u64 k0, __u64 k1)
{
	__u64 b = (__u64)t->sport_be | (__u64)t->dport_be << 16 | (__u64)t->port << 32 |
		  (__u64)t->proto << 48 | 6ull << 56;
	XE_SIP_INIT(v0, v1, v2, v3, k0, k1);

	XE_SIP_WORD(v0, v1, v2, v3, src->q[0]);
	XE_SIP_WORD(v0, v1, v2, v3, src->q[1]);
	XE_SIP_WORD(v0, v1, v2, v3, dst->q[0]);
	XE_SIP_WORD(v0, v1, v2, v3, dst->q[1]);
	XE_SIP_WORD(v0, v1, v2, v3, b);
	return XE_SIP_FINISH(v0, v1, v2, v3);
}

/* One address, under the same key: for tables of addresses. */
static inline __u64 xe_addr_hash(const struct xe_addr *a, __u64 k0, __u64 k1)
{
	XE_SIP_INIT(v0, v1, v2, v3, k0, k1);

	XE_SIP_WORD(v0, v1, v2, v3, a->q[0]);
	XE_SIP_WORD(v0, v1, v2, v3, a->q[1]);
	return XE_SIP_FINISH(v0, v1, v2, v3);
}

/* A worker's heartbeat older than this, and steer leaves its ports to the kernel. A worker beats
 * every 100 ms even when it sleeps; ten missed beats are a stall, not a scheduling delay. */
#define XE_BEAT_MAX_AGE_NS 1000000000ull

/* Per CPU and port. seen = sum of all; passed, dropped, redirected by the class of the reason. */
struct xe_port_counters {
	__u64 reason[XE_R_STEER_CNT];
};

/* XSKMAP key. */
static inline __u32 xe_xsk_key(__u32 port, __u32 queue)
{
	return port * XE_MAX_QUEUES + queue;
}

#endif
