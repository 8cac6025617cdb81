/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * worker_sockets.c - the sockets of a worker: how many frames each keeps, how they come and go.
 * Functions of worker.h that are called in a worker call, or while the worker does not run.
 */
#include <errno.h>

#include "pipeline/pipeline.h"
#include "worker.h"

/*
 * Frames that a socket keeps when idle. What the fill ring holds cannot be taken back, so the first
 * ones must not take what hundreds of others may need: 256 (a burst into an idle socket loses
 * nothing) out of the first eighth of the frames, then half as many an eighth, down to XE_FILL_MIN.
 * 0: the last eighth is for cutting and sending, and for nobody. With 8192 frames these are 4, 8,
 * 16 and 128 sockets.
 */
static uint32_t idle_share(const struct xe_lane *lane)
{
	uint32_t kept = 0, eighth = lane->umem.frame_cnt / 8, share;

	for (uint32_t i = 0; i < lane->xsk_cnt; i++)
		kept += lane->xsks[i]->fill_idle;
	share = XE_FILL_IDLE >> (kept / eighth < 3 ? kept / eighth : 3);
	return kept + share <= 7 * eighth ? share : 0;
}

static int join_lane(struct xe_worker *w, struct xe_xsk *xsk, uint32_t share)
{
	struct xe_lane *lane = w->lane;
	int err;

	if (lane->xsk_cnt == XE_LANE_SOCKETS)
		return -ENOSPC;
	if (!share)
		return -ENOBUFS;
	err = xe_waiting_add(&w->waiting, xsk);
	if (err)
		return err;
	xsk->fill_idle = xsk->fill_target = share;
	xsk->lane_idx = (uint16_t)lane->xsk_cnt;
	lane->xsks[lane->xsk_cnt++] = xsk;
	return 0;
}

int xe_worker_add_socket(struct xe_worker *w, struct xe_xsk *xsk)
{
	struct xe_lane *lane = w->lane;
	int err = join_lane(w, xsk, idle_share(lane));

	if (err)
		return err;
	xe_xsk_refill(xsk, &lane->umem, lane->fill_max);
	return xsk->fill_cnt >= XE_FILL_MIN ? 0 : -ENOBUFS; /* the port goes as a whole then */
}

/* It has frames already, as many as its last worker gave it. */
int xe_worker_adopt_socket(struct xe_worker *w, struct xe_xsk *xsk)
{
	uint32_t share = idle_share(w->lane);

	return join_lane(w, xsk, share ? share : XE_FILL_MIN);
}

void xe_worker_resume_socket(struct xe_worker *w, struct xe_xsk *xsk, uint32_t fill_cnt,
			     uint32_t tx_cnt)
{
	struct xe_lane *lane = w->lane;

	xsk->fill_cnt = fill_cnt;
	xsk->tx_cnt = tx_cnt;
	xe_xsk_resume(xsk);
	if (!tx_cnt || xsk->kick_listed)
		return;
	xsk->kick = xsk->kick_listed = true; /* some may not have been sent yet */
	lane->kicks[lane->kick_cnt++] = xsk;
}

static void forget(struct xe_xsk **list, uint32_t *cnt, const struct xe_xsk *xsk)
{
	for (uint32_t i = 0; i < *cnt; i++) {
		if (list[i] != xsk)
			continue;
		list[i] = list[--*cnt];
		return;
	}
}

void xe_worker_del_socket(struct xe_worker *w, struct xe_xsk *xsk)
{
	struct xe_lane *lane = w->lane;

	for (uint32_t i = 0; i < lane->xsk_cnt; i++) {
		if (lane->xsks[i] != xsk)
			continue;
		xe_waiting_del(&w->waiting, xsk);
		lane->xsk_cnt--;
		/* the order of those behind it is kept: the active ones stand in front */
		for (uint32_t k = i; k < lane->xsk_cnt; k++) {
			lane->xsks[k] = lane->xsks[k + 1];
			lane->xsks[k]->lane_idx = (uint16_t)k;
		}
		if (i < lane->active_cnt)
			lane->active_cnt--;
		forget(lane->kicks, &lane->kick_cnt, xsk);
		forget(lane->sent, &lane->sent_cnt, xsk);
		return;
	}
}
