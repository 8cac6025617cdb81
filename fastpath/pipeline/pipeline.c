/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* pipeline.c - the way of a packet, a line a stage. */
#include "pipeline/pipeline.h"

#include "pipeline/reassemble.h"

/* Sessions whose timers are looked at between two rounds: 256 cost about 30 us, less than a burst
 * of superpackets. */
#define WHEEL_BUDGET 256

/* Closed sessions that end between two rounds for other workers' flows: some 15 us, and with a
 * round each ms room for 64,000 new ones a second. */
#define OTHERS_BUDGET 64

/* L4 ports whose rest ends between two rounds, of the same cost. */
#define REST_BUDGET 256

/* A socket without a packet for so many rounds is looked at less often: it bridges the gap between
 * two bursts of one sender. */
#define IDLE_ROUNDS 256
/* Looks at such sockets in a round. With hundreds of them a look is a cache miss or two: 16 are
 * below 1 us, and 1000 idle ports are all seen within 64 rounds, which is as long as a worker spins
 * before it sleeps, and less time than a fill ring lasts. */
#define IDLE_LOOKS 16

void xe_pipeline_run(struct xe_lane *lane, struct xe_burst *burst)
{
	xe_parse(lane, burst);
	xe_flow(lane, burst);
	xe_nat(lane, burst);
	if (__builtin_expect(lane->hairpins, 0))
		xe_hairpin(lane, burst);
	xe_merge(lane, burst);
	xe_csum(lane, burst);
	xe_fwd(lane, burst);
	xe_tx(lane, burst);
}

static void publish(struct xe_lane *lane)
{
	if (lane->handoff)
		xe_handoff_publish(lane->handoff, lane->worker);
}

static uint32_t poll_burst(struct xe_lane *lane, struct xe_xsk *xsk)
{
	uint32_t n;

	/* First: an empty fill ring is loss, a full rx ring only delay. */
	xe_xsk_refill(xsk, &lane->umem, lane->fill_max);
	n = xe_rx(lane, xsk);
	if (!n)
		return 0;
	xe_pipeline_run(lane, &lane->burst);
	publish(lane);
	return n;
}

/* What comes back to all containers comes by few sockets. With a burst a round like each
 * container's they fall behind as soon as two containers send, or one whose every packet is
 * answered: then the answers to one that floods fill the ring, and those to its neighbours are
 * lost. */
#define UPLINK_BURSTS 4

static uint32_t poll_one(struct xe_lane *lane, struct xe_xsk *xsk)
{
	uint32_t bursts = lane->ports[xsk->port].role == XE_ROLE_UPLINK ? UPLINK_BURSTS : 1;
	uint32_t total = 0, n;

	do {
		n = poll_burst(lane, xsk);
		total += n;
	} while (n == XE_BURST_SIZE && --bursts);
	return total;
}

uint32_t xe_pipeline_poll_handed(struct xe_lane *lane)
{
	uint32_t total = 0, n;

	xe_umem_collect(&lane->umem);
	for (uint32_t from = 0; from < lane->worker_cnt; from++) {
		if (from == lane->worker || !xe_handoff_avail(lane->handoff, from, lane->worker))
			continue;
		n = xe_rx_handed(lane, from);
		xe_pipeline_run(lane, &lane->burst);
		total += n;
	}
	return total;
}

void xe_pipeline_drain_handed(struct xe_lane *lane)
{
	struct xe_handoff *h = lane->handoff;

	for (uint32_t from = 0; from < lane->worker_cnt; from++) {
		uint32_t start, there;

		if (from == lane->worker)
			continue;
		start = xe_handoff_taken(h, from, lane->worker);
		there = xe_handoff_avail(h, from, lane->worker);
		while (xe_handoff_taken(h, from, lane->worker) - start < there) {
			xe_rx_handed(lane, from);
			xe_pipeline_run(lane, &lane->burst);
			publish(lane);
		}
	}
}

static void swap_sockets(struct xe_lane *lane, uint32_t a, uint32_t b)
{
	struct xe_xsk *xsk = lane->xsks[a];

	lane->xsks[a] = lane->xsks[b];
	lane->xsks[b] = xsk;
	lane->xsks[a]->lane_idx = (uint16_t)a;
	lane->xsks[b]->lane_idx = (uint16_t)b;
}

void xe_pipeline_activate(struct xe_lane *lane, uint32_t i)
{
	lane->xsks[i]->idle_rounds = 0;
	if (i >= lane->active_cnt)
		swap_sockets(lane, i, lane->active_cnt++);
}

static uint32_t poll_active(struct xe_lane *lane)
{
	uint32_t total = 0;

	for (uint32_t i = 0; i < lane->active_cnt;) {
		struct xe_xsk *xsk = lane->xsks[i];
		uint32_t n = poll_one(lane, xsk);

		total += n;
		xsk->idle_rounds = n ? 0 : (uint16_t)(xsk->idle_rounds + 1);
		if (xsk->idle_rounds < IDLE_ROUNDS) {
			i++;
			continue;
		}
		/* What it holds beyond this comes back as packets use it. */
		xsk->fill_target = xsk->fill_idle;
		swap_sockets(lane, i, --lane->active_cnt);
	}
	return total;
}

static uint32_t poll_idle(struct xe_lane *lane)
{
	uint32_t cnt = lane->xsk_cnt - lane->active_cnt, total = 0;

	for (uint32_t i = 0; i < cnt && i < IDLE_LOOKS; i++) {
		uint32_t at = lane->active_cnt, n;

		if (++lane->next_idle < lane->xsk_cnt && lane->next_idle >= at)
			at = lane->next_idle;
		lane->next_idle = at;
		n = poll_one(lane, lane->xsks[at]);
		total += n;
		if (n)
			xe_pipeline_activate(lane, at);
		if (lane->active_cnt == lane->xsk_cnt)
			break;
	}
	return total;
}

void xe_pipeline_flush(struct xe_lane *lane)
{
	for (uint32_t i = 0; i < lane->kick_cnt; i++) {
		struct xe_xsk *xsk = lane->kicks[i];

		if (xsk->sent_listed)
			continue;
		xsk->sent_listed = true;
		lane->sent[lane->sent_cnt++] = xsk;
	}
	xe_tx_flush(lane);
}

void xe_pipeline_complete(struct xe_lane *lane)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < lane->sent_cnt; i++) {
		struct xe_xsk *xsk = lane->sent[i];

		xe_xsk_complete(xsk, &lane->umem);
		xsk->sent_listed = xsk->tx_cnt;
		if (xsk->tx_cnt)
			lane->sent[kept++] = xsk;
	}
	lane->sent_cnt = kept;
}

uint32_t xe_pipeline_poll(struct xe_lane *lane)
{
	uint32_t total = lane->handoff ? xe_pipeline_poll_handed(lane) : 0;

	total += poll_active(lane);
	total += poll_idle(lane);
	xe_pipeline_flush(lane);
	publish(lane);
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

bool xe_pipeline_housekeeping(struct xe_lane *lane)
{
	bool more;

	xe_pipeline_complete(lane);
	xe_reassemble_expire(lane);
	publish(lane);
	xe_natpool_tick(&lane->pool, lane->now_s, REST_BUDGET);
	/* A session that ends may release its next hop: were there no room for the request, the
	 * entry would stay. */
	if (xe_nexthops_are_behind(&lane->nexthops))
		return false;
	xe_nexthops_tidy(&lane->nexthops);
	xe_near_tidy(lane);
	more = xe_wheel_advance(&lane->wheel, &lane->sessions, lane->now_s, WHEEL_BUDGET,
				session_left, session_expire, lane) == WHEEL_BUDGET;
	return xe_reclaim_for_others(lane, OTHERS_BUDGET) || more;
}
