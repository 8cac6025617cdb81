/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "io/umem_give.h"

/* A frame that its owner has lent is at a socket of another worker, in hand there, or on its way.
 */
static uint16_t seen_by_others(const struct xe_umem *const *umems, uint32_t worker_cnt,
			       uint32_t owner, uint32_t frame)
{
	for (uint32_t w = 0; w < worker_cnt; w++) {
		uint16_t h = umems[w]->holder[frame];

		if (w != owner && h < XE_HOLDER_AWAY)
			return h;
	}
	return XE_GIVEN_FREE;
}

void xe_umem_export(const struct xe_umem *const *umems, uint32_t worker_cnt, uint16_t *given)
{
	uint32_t frame_cnt = umems[0]->frame_cnt;

	for (uint32_t f = 0; f < umems[0]->area_cnt; f++) {
		uint32_t owner = f / frame_cnt;
		uint16_t h = umems[owner]->holder[f];

		if (h == XE_HOLDER_LENT)
			given[f] = seen_by_others(umems, worker_cnt, owner, f);
		else
			given[f] = h < XE_HOLDER_AWAY ? h : XE_GIVEN_FREE;
	}
}

/* One frame at a socket of worker `at`, seen by both. */
static void place(struct xe_umem *own, struct xe_umem *at, uint32_t frame, uint16_t holder)
{
	at->holder[frame] = holder;
	if (own == at)
		return;
	at->guest_cnt++;
	own->holder[frame] = XE_HOLDER_LENT;
	own->lent_cnt++;
}

static void in_hand(struct xe_umem *own, uint32_t frame)
{
	own->holder[frame] = XE_HOLDER_HAND;
	own->hand_cnt++;
}

void xe_umem_import(struct xe_umem *const *umems, uint32_t worker_cnt, const uint16_t *given,
		    xe_umem_owner_fn owner, void *ctx)
{
	uint32_t frame_cnt = umems[0]->frame_cnt, at;

	for (uint32_t w = 0; w < worker_cnt; w++)
		umems[w]->free_cnt = 0;
	for (uint32_t f = umems[0]->area_cnt; f-- > 0;) {
		struct xe_umem *own = umems[f / frame_cnt];

		if (given[f] == XE_GIVEN_FREE) {
			own->free[own->free_cnt++] = f;
			continue;
		}
		at = given[f] == XE_GIVEN_HELD ? UINT32_MAX : owner(ctx, given[f] >> 1);
		if (at < worker_cnt)
			place(own, umems[at], f, given[f]);
		else
			in_hand(own, f);
	}
}

void xe_umem_put_orphans(struct xe_umem *umem, const uint16_t *given, xe_umem_owner_fn owner,
			 void *ctx)
{
	for (uint32_t f = umem->first; f < umem->first + umem->frame_cnt; f++)
		if (given[f] < XE_GIVEN_HELD && owner(ctx, given[f] >> 1) == UINT32_MAX)
			xe_umem_put(umem, f);
}
