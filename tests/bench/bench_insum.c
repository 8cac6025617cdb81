// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * What the Internet checksum's sum costs: ns per call for each variant this CPU can run, median
 * of rounds. The bytes are in cache, as a frame's are which was just received; they start 34 bytes
 * into an aligned buffer, where an IPv4 packet's L4 header is. Takes under a second.
 *
 * Lengths: a small packet; a full TCP segment's payload; a jumbo frame; the largest superpacket.
 */
#include "base/insum.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define L4_OFFSET   34 /* Ethernet 14 + IPv4 20 */
#define LEN_MAX     65535
#define ROUND_CNT   15         /* odd: the median is one of them */
#define ROUND_BYTES (4u << 20) /* 0.1-0.5 ms a round: long against the clock's own cost */
#define CALLS_MAX   20000u     /* the same for short ranges, where the call is the cost */

static const size_t lens[] = {64, 1448, 9000, 65535};
#define LEN_CNT (sizeof(lens) / sizeof(lens[0]))

static uint8_t buf[L4_OFFSET + LEN_MAX] __attribute__((aligned(64)));
static volatile uint64_t sink; /* keeps the sums from being dropped as unused */

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double round_ns(size_t len)
{
	size_t call_cnt = ROUND_BYTES / len < CALLS_MAX ? ROUND_BYTES / len : CALLS_MAX;
	uint64_t sum = 0, start_ns = now_ns();

	for (size_t i = 0; i < call_cnt; i++)
		sum += xe_insum(buf + L4_OFFSET, len);
	sink = sum;
	return (double)(now_ns() - start_ns) / (double)call_cnt;
}

static double median_ns(size_t len)
{
	double rounds[ROUND_CNT];

	round_ns(len); /* warms the cache and the clock of the CPU */
	for (int i = 0; i < ROUND_CNT; i++)
		rounds[i] = round_ns(len);
	qsort(rounds, ROUND_CNT, sizeof(rounds[0]), by_value);
	return rounds[ROUND_CNT / 2];
}

int main(void)
{
	for (size_t i = 0; i < sizeof(buf); i++)
		buf[i] = (uint8_t)(i * 2654435761u >> 13);
	xe_insum_init();
	printf("insum: ns per call (GB/s), median of %d rounds; chosen here: %s\n%-8s", ROUND_CNT,
	       xe_insum_name(), "bytes");
	for (size_t i = 0; i < LEN_CNT; i++)
		printf(" %17zu", lens[i]);
	printf("\n");
	for (unsigned int v = 0; xe_insum_variant(v); v++) {
		printf("%-8s", xe_insum_variant(v));
		if (xe_insum_select(xe_insum_variant(v))) {
			printf(" not supported by this CPU\n");
			continue;
		}
		for (size_t i = 0; i < LEN_CNT; i++) {
			double ns = median_ns(lens[i]);

			printf(" %9.1f (%5.1f)", ns, (double)lens[i] / ns);
		}
		printf("\n");
	}
	return 0;
}
