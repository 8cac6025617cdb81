/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* live_gen.h - what live_gen and its XDP program share. */
#ifndef XE_BENCH_LIVE_GEN_H
#define XE_BENCH_LIVE_GEN_H

#include <linux/types.h>

/* One flow, prepared so that a packet costs no sum over its payload. All sums are of 16-bit words
 * as they lie in memory, not folded. */
struct live_flow {
	__u32 saddr_be, daddr_be;
	__u16 sport_be, dport_be;
	__u16 ip_csum; /* as it stands in the header */
	__u16 reserved;
	__u32 l4_sum; /* pseudo-header, L4 header and payload, all that is the same in each packet
		       */
	__u32 id;     /* generator and flow, see wire.h */
	__u64 seq;    /* the next number; written by the program */
};

#endif
