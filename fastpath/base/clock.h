/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * clock.h - monotonic time. All times in the service are CLOCK_MONOTONIC nanoseconds, which is
 * also what bpf_ktime_get_coarse_ns() gives the steering program.
 */
#ifndef XE_CLOCK_H
#define XE_CLOCK_H

#include <stdint.h>
#include <time.h>

#define XE_NS_PER_SEC 1000000000ull
#define XE_NS_PER_MS  1000000ull

static inline uint64_t xe_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * XE_NS_PER_SEC + (uint64_t)ts.tv_nsec;
}

/* One tick (1-4 ms) coarse: a vDSO read of a stored value, a few ns. */
static inline uint64_t xe_now_coarse_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
	return (uint64_t)ts.tv_sec * XE_NS_PER_SEC + (uint64_t)ts.tv_nsec;
}

#endif
