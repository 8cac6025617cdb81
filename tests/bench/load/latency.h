/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A histogram of latencies: fixed size, no allocation, a few instructions an entry. Each power of
 * two is cut into 64 parts, so a percentile is right to 1.6 %. Not for use by two threads.
 */
#ifndef XE_BENCH_LATENCY_H
#define XE_BENCH_LATENCY_H

#include <stdint.h>

#define LATENCY_PART_BITS 6
#define LATENCY_CNT       ((64 - LATENCY_PART_BITS + 1) << LATENCY_PART_BITS)

struct xe_latency {
	uint64_t cnt[LATENCY_CNT];
	uint64_t total;
};

static inline uint32_t xe_latency_idx(uint64_t ns)
{
	uint32_t shift;

	if (ns < 2u << LATENCY_PART_BITS)
		return (uint32_t)ns;
	shift = 63 - (uint32_t)__builtin_clzll(ns) - LATENCY_PART_BITS;
	return (shift << LATENCY_PART_BITS) + (uint32_t)(ns >> shift);
}

static inline void xe_latency_add(struct xe_latency *l, uint64_t ns)
{
	l->cnt[xe_latency_idx(ns)]++;
	l->total++;
}

/* The latency in us that `share` (0.99) of all entries do not exceed; 0 when there are none. */
double xe_latency_us(const struct xe_latency *l, double share);

#endif
