// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "pipe_stage.h"

#include <x86intrin.h>

#include "base/clock.h"
#include "pipeline/pipeline.h"

#define CALIBRATE_NS  (50 * XE_NS_PER_MS)
#define OVERHEAD_RUNS 1000

const char *const stage_name[STAGE_CNT] = {"refill", "rx",   "parse", "flow", "flow_new", "nat",
					   "merge",  "csum", "fwd",   "tx",   "tx_flush"};
bool stage_timing;
uint64_t stage_ticks[STAGE_CNT], stage_calls[STAGE_CNT];

/* rdtscp waits for what was before it; what comes after it may begin earlier, by less than the
 * overhead that is subtracted. */
uint64_t tick_now(void)
{
	unsigned int cpu;

	return __rdtscp(&cpu);
}

double tick_per_ns(void)
{
	uint64_t start_ns = xe_now_ns(), start = tick_now(), now_ns;

	do
		now_ns = xe_now_ns();
	while (now_ns - start_ns < CALIBRATE_NS);
	return (double)(tick_now() - start) / (double)(now_ns - start_ns);
}

uint64_t tick_overhead(void)
{
	uint64_t best = UINT64_MAX;

	for (int i = 0; i < OVERHEAD_RUNS; i++) {
		uint64_t start = tick_now(), ticks = tick_now() - start;

		best = ticks < best ? ticks : best;
	}
	return best;
}

static void stage_end(enum stage stage, uint64_t start)
{
	stage_ticks[stage] += tick_now() - start;
	stage_calls[stage]++;
}

/* The names with __real_ and __wrap_ are the linker's. */
#define WRAP_BURST(stage, fn)                                                                      \
	void __real_##fn(struct xe_lane *lane, struct xe_burst *burst);                            \
	void __wrap_##fn(struct xe_lane *lane, struct xe_burst *burst);                            \
	void __wrap_##fn(struct xe_lane *lane, struct xe_burst *burst)                             \
	{                                                                                          \
		uint64_t start;                                                                    \
                                                                                                   \
		if (!stage_timing) {                                                               \
			__real_##fn(lane, burst);                                                  \
			return;                                                                    \
		}                                                                                  \
		start = tick_now();                                                                \
		__real_##fn(lane, burst);                                                          \
		stage_end(stage, start);                                                           \
	}

WRAP_BURST(STAGE_PARSE, xe_parse)
WRAP_BURST(STAGE_FLOW, xe_flow)
WRAP_BURST(STAGE_NAT, xe_nat)
WRAP_BURST(STAGE_MERGE, xe_merge)
WRAP_BURST(STAGE_CSUM, xe_csum)
WRAP_BURST(STAGE_FWD, xe_fwd)
WRAP_BURST(STAGE_TX, xe_tx)

uint32_t __real_xe_rx(struct xe_lane *lane, struct xe_xsk *xsk);
uint32_t __wrap_xe_rx(struct xe_lane *lane, struct xe_xsk *xsk);
uint32_t __wrap_xe_rx(struct xe_lane *lane, struct xe_xsk *xsk)
{
	uint64_t start;
	uint32_t n;

	if (!stage_timing)
		return __real_xe_rx(lane, xsk);
	start = tick_now();
	n = __real_xe_rx(lane, xsk);
	stage_end(STAGE_RX, start);
	return n;
}

void __real_xe_xsk_refill(struct xe_xsk *xsk, struct xe_umem *umem, uint32_t fill_max);
void __wrap_xe_xsk_refill(struct xe_xsk *xsk, struct xe_umem *umem, uint32_t fill_max);
void __wrap_xe_xsk_refill(struct xe_xsk *xsk, struct xe_umem *umem, uint32_t fill_max)
{
	uint64_t start;

	if (!stage_timing) {
		__real_xe_xsk_refill(xsk, umem, fill_max);
		return;
	}
	start = tick_now();
	__real_xe_xsk_refill(xsk, umem, fill_max);
	stage_end(STAGE_REFILL, start);
}

void __real_xe_flow_new(struct xe_lane *lane, struct xe_packet *p);
void __wrap_xe_flow_new(struct xe_lane *lane, struct xe_packet *p);
void __wrap_xe_flow_new(struct xe_lane *lane, struct xe_packet *p)
{
	uint64_t start;

	if (!stage_timing) {
		__real_xe_flow_new(lane, p);
		return;
	}
	start = tick_now();
	__real_xe_flow_new(lane, p);
	stage_end(STAGE_FLOW_NEW, start);
}

void __real_xe_tx_flush(struct xe_lane *lane);
void __wrap_xe_tx_flush(struct xe_lane *lane);
void __wrap_xe_tx_flush(struct xe_lane *lane)
{
	uint64_t start;

	if (!stage_timing) {
		__real_xe_tx_flush(lane);
		return;
	}
	start = tick_now();
	__real_xe_tx_flush(lane);
	stage_end(STAGE_FLUSH, start);
}
