/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "state/wheel.h"

void xe_wheel_init(struct xe_wheel *w, uint32_t now_s)
{
	memset(w->head, 0xff, sizeof(w->head)); /* XE_NIL */
	w->now_s = now_s;
}

void xe_wheel_add(struct xe_wheel *w, struct xe_sessions *t, struct xe_session *s, uint32_t in_s)
{
	uint32_t idx = xe_session_idx(t, s), slot;

	/* Never into the slot under the hand, which would wait a whole turn. */
	if (in_s < 1)
		in_s = 1;
	if (in_s > XE_WHEEL_SLOTS - 1)
		in_s = XE_WHEEL_SLOTS - 1;
	slot = (w->now_s + in_s) % XE_WHEEL_SLOTS;
	s->timer_slot = (uint16_t)slot;
	s->timer_prev = XE_NIL;
	s->timer_next = w->head[slot];
	if (s->timer_next != XE_NIL)
		t->slots[s->timer_next].timer_prev = idx;
	w->head[slot] = idx;
}

void xe_wheel_del(struct xe_wheel *w, struct xe_sessions *t, struct xe_session *s)
{
	if (s->timer_slot == XE_TIMER_NONE)
		return;
	if (s->timer_prev != XE_NIL)
		t->slots[s->timer_prev].timer_next = s->timer_next;
	else
		w->head[s->timer_slot] = s->timer_next;
	if (s->timer_next != XE_NIL)
		t->slots[s->timer_next].timer_prev = s->timer_prev;
	s->timer_slot = XE_TIMER_NONE;
}

uint32_t xe_wheel_advance(struct xe_wheel *w, struct xe_sessions *t, uint32_t now_s,
			  uint32_t budget, xe_wheel_left_fn left, xe_wheel_expire_fn expire,
			  void *ctx)
{
	uint32_t visited = 0;

	while ((int32_t)(now_s - w->now_s) > 0) {
		uint32_t *head = &w->head[(w->now_s + 1) % XE_WHEEL_SLOTS];

		while (*head != XE_NIL) {
			struct xe_session *s = &t->slots[*head];
			uint32_t left_s;

			if (visited++ == budget)
				return budget;
			xe_wheel_del(w, t, s);
			left_s = left(ctx, s, now_s);
			if (left_s)
				/* relative to the hand, which stands before the slot in work */
				xe_wheel_add(w, t, s, left_s + (now_s - w->now_s));
			else
				expire(ctx, s);
		}
		w->now_s++;
	}
	return visited;
}
