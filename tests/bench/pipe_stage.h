/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * pipe_stage.h - what each stage of the pipeline takes, without a line in the pipeline for it.
 *
 * The linker sends the pipeline's calls of its stages through wrappers here (--wrap, see the
 * Makefile), which read the time stamp counter around them when stage_timing is set, and only pass
 * the call on when it is not. What xe_pipeline_poll() spends outside all of them is `rest`.
 */
#ifndef XE_BENCH_PIPE_STAGE_H
#define XE_BENCH_PIPE_STAGE_H

#include <stdbool.h>
#include <stdint.h>

enum stage {
	STAGE_REFILL,
	STAGE_RX,
	STAGE_PARSE,
	STAGE_FLOW,
	STAGE_FLOW_NEW, /* inside of flow, which is counted without it */
	STAGE_NAT,
	STAGE_MERGE,
	STAGE_CSUM,
	STAGE_FWD,
	STAGE_TX,
	STAGE_FLUSH,
	STAGE_CNT
};

extern const char *const stage_name[STAGE_CNT];
extern bool stage_timing;
extern uint64_t stage_ticks[STAGE_CNT], stage_calls[STAGE_CNT];

/* Ticks of the time stamp counter; how many a ns has, measured for 50 ms; what two readings in
 * sequence differ by. */
uint64_t tick_now(void);
double tick_per_ns(void);
uint64_t tick_overhead(void);

#endif
