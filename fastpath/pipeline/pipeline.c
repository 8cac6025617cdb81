/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* pipeline.c - the way of a packet, a line a stage. */
#include "pipeline/pipeline.h"

/* Sessions whose timers are looked at between two rounds: 256 cost about 30 us, less than a burst
 * of superpackets. */
#define WHEEL_BUDGET 256

void xe_pipeline_run(struct xe_lane *lane, struct xe_burst *burst)
{
	xe_parse(lane, burst);
	xe_flow(lane, burst);
	xe_nat(lane, burst);
	xe_merge(lane, burst);
	xe_csum(lane, burst);
	xe_fwd(lane, burst);
	xe_tx(lane, burst);
}

uint32_t xe_pipeline_poll(struct xe_lane *lane)
{
	uint32_t total = 0;

	for (uint32_t i = 0; i < lane->xsk_cnt; i++) {
		struct xe_xsk *xsk = lane->xsks[i];
		uint32_t n;

		/* First: an empty fill ring is loss, a full rx ring only delay. */
		xe_xsk_refill(xsk, &lane->umem, lane->fill_max);
		n = xe_rx(lane, xsk);
		if (!n)
			continue;
		xe_pipeline_run(lane, &lane->burst);
		total += n;
	}
	xe_tx_flush(lane);
	return total;
}

static uint32_t session_left(void *ctx, const struct xe_session *s, uint32_t now_s)
{
	return xe_flow_left(ctx, s, now_s);
}

static void session_expire(void *ctx, struct xe_session *s)
{
	xe_flow_end(ctx, s);
}

void xe_pipeline_housekeeping(struct xe_lane *lane)
{
	for (uint32_t i = 0; i < lane->xsk_cnt; i++)
		if (lane->xsks[i]->tx_cnt)
			xe_xsk_complete(lane->xsks[i], &lane->umem);
	xe_wheel_advance(&lane->wheel, &lane->sessions, lane->now_s, WHEEL_BUDGET, session_left,
			 session_expire, lane);
}
