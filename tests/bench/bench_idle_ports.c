/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * bench_idle_ports.c - what a round costs with many ports that have nothing to say: all of them
 * polled every round, and as the pipeline does it (some in turn). In memory, no kernel: the rings
 * are real ones over plain memory, each on pages of its own as the kernel's are.
 *
 *	bench_idle_ports [PORTS [ROUNDS]]
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "pipeline/pipeline.h"

#define PASSES 7
/* One of the pages of a ring that a poll touches: producer and consumer. */
#define RING_PAGE 4096

static void open_ring(struct xsk_ring_cons *cons)
{
	uint8_t *page = aligned_alloc(RING_PAGE, 2 * RING_PAGE);

	memset(page, 0, 2 * RING_PAGE);
	*cons = (struct xsk_ring_cons){
		.mask = 63,
		.size = 64,
		.producer = (void *)page,
		.consumer = (void *)(page + 64),
		.ring = page + RING_PAGE,
	};
}

static double pass(struct xe_lane *lane, uint32_t rounds, bool all)
{
	uint64_t start_ns = xe_now_ns();

	for (uint32_t r = 0; r < rounds; r++) {
		if (all) {
			lane->active_cnt = lane->xsk_cnt;
			for (uint32_t i = 0; i < lane->xsk_cnt; i++)
				lane->xsks[i]->idle_rounds = 0;
		}
		xe_pipeline_poll(lane);
	}
	return (double)(xe_now_ns() - start_ns) / rounds;
}

static int compare(const void *a, const void *b)
{
	return *(const double *)a < *(const double *)b ? -1 : 1;
}

int main(int argc, char **argv)
{
	uint32_t ports = argc > 1 ? (uint32_t)atoi(argv[1]) : 200;
	uint32_t rounds = argc > 2 ? (uint32_t)atoi(argv[2]) : 20000;
	struct xe_lane *lane = calloc(1, sizeof(*lane));
	double ns[2][PASSES];

	if (!ports || ports > XE_LANE_SOCKETS || !rounds)
		return 2;
	for (uint32_t i = 0; i < ports; i++) {
		struct xe_xsk *xsk = aligned_alloc(64, (sizeof(*xsk) + 63) / 64 * 64);

		memset(xsk, 0, sizeof(*xsk));
		open_ring(&xsk->rx);
		xsk->lane_idx = (uint16_t)i;
		lane->xsks[lane->xsk_cnt++] = xsk;
	}
	for (int i = 0; i < PASSES; i++) {
		ns[0][i] = pass(lane, rounds, true);
		pass(lane, 300, false); /* they become idle */
		ns[1][i] = pass(lane, rounds, false);
	}
	for (int k = 0; k < 2; k++)
		qsort(ns[k], PASSES, sizeof(ns[k][0]), compare);
	printf("%u idle ports: a round takes %.0f ns (%.0f to %.0f) when all are polled, %.0f "
	       "(%.0f "
	       "to %.0f) in turn\n",
	       ports, ns[0][PASSES / 2], ns[0][0], ns[0][PASSES - 1], ns[1][PASSES / 2], ns[1][0],
	       ns[1][PASSES - 1]);
	return 0;
}
