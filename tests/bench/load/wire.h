/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the generators write at the start of each payload and udp_sink reads; shared with the XDP
 * program of live_gen. 18 bytes, because that is the payload of the smallest Ethernet frame (64
 * bytes with its checksum: 14 + 20 + 8 + 18 + 4); therefore 48 bits of sequence and time: 2.8e14
 * packets, 78 hours. Host byte order: both ends are on one machine, which is also why a one-way
 * latency can be told.
 */
#ifndef XE_BENCH_WIRE_H
#define XE_BENCH_WIRE_H

#include <linux/types.h>

#define WIRE_MAGIC   0x5845 /* "XE": a stray datagram is not counted */
#define WIRE_LEN     18
#define WIRE_MASK    0xffffffffffffull
#define WIRE_PAYLOAD (0x100 * 'x' + 'e') /* what fills the rest, two bytes at a time */

/* A flow's number: the generator that sends it, and which of its flows it is. Generators that run
 * at one time have to differ: the process id's lower bits do where nothing else was said. */
#define WIRE_FLOW_BITS 22 /* 4 M flows, above the 1 M sessions of the largest workload */
#define WIRE_FLOW_CNT  (1u << WIRE_FLOW_BITS)
#define WIRE_GEN_CNT   (1u << (32 - WIRE_FLOW_BITS))

struct wire {
	__u16 magic;
	__u16 seq_hi;
	__u32 seq_lo;
	__u16 sent_hi; /* CLOCK_MONOTONIC in ns, as bpf_ktime_get_ns() */
	__u32 sent_lo;
	__u32 flow;
} __attribute__((packed, aligned(2)));

static inline void wire_put(struct wire *w, __u32 flow, __u64 seq, __u64 sent_ns)
{
	w->magic = WIRE_MAGIC;
	w->seq_hi = (__u16)(seq >> 32);
	w->seq_lo = (__u32)seq;
	w->sent_hi = (__u16)(sent_ns >> 32);
	w->sent_lo = (__u32)sent_ns;
	w->flow = flow;
}

static inline __u64 wire_seq(const struct wire *w)
{
	return (__u64)w->seq_hi << 32 | w->seq_lo;
}

static inline __u64 wire_sent(const struct wire *w)
{
	return (__u64)w->sent_hi << 32 | w->sent_lo;
}

#endif
