/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "state/wheel.h"

void xe_wheel_init(struct xe_wheel *w, uint32_t now_s)
{
	memset(w->head, 0xff, sizeof(w->head)); /* XE_NIL */
	w->closed_tail = XE_NIL;
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
	s->timer_prev = XE_WHEEL_HEAD | slot;
	s->timer_next = w->head[slot];
	if (s->timer_next != XE_NIL)
		t->slots[s->timer_next].timer_prev = idx;
	w->head[slot] = idx;
}

void xe_wheel_close(struct xe_wheel *w, struct xe_sessions *t, struct xe_session *s)
{
	uint32_t idx = xe_session_idx(t, s);

	if (w->closed_tail == idx)
		return;
	xe_wheel_del(w, t, s);
	s->timer_next = XE_NIL;
	if (w->closed_tail == XE_NIL) {
		s->timer_prev = XE_WHEEL_HEAD | XE_WHEEL_CLOSED;
		w->head[XE_WHEEL_CLOSED] = idx;
	} else {
		s->timer_prev = w->closed_tail;
		t->slots[w->closed_tail].timer_next = idx;
	}
	w->closed_tail = idx;
}

void xe_wheel_del(struct xe_wheel *w, struct xe_sessions *t, struct xe_session *s)
{
	bool is_first = s->timer_prev & XE_WHEEL_HEAD;

	if (s->timer_prev == XE_NIL)
		return;
	if (is_first)
		w->head[s->timer_prev & ~XE_WHEEL_HEAD] = s->timer_next;
	else
		t->slots[s->timer_prev].timer_next = s->timer_next;
	if (s->timer_next != XE_NIL)
		t->slots[s->timer_next].timer_prev = s->timer_prev;
	else if (w->closed_tail == xe_session_idx(t, s))
		w->closed_tail = is_first ? XE_NIL : s->timer_prev;
	s->timer_prev = XE_NIL;
}

/* Those whose time is up stand in front; false: the budget is used up. */
static bool advance_closed(struct xe_wheel *w, struct xe_sessions *t, uint32_t now_s,
			   uint32_t budget, uint32_t *visited, xe_wheel_left_fn left,
			   xe_wheel_expire_fn expire, void *ctx)
{
	while (w->head[XE_WHEEL_CLOSED] != XE_NIL) {
		struct xe_session *s = &t->slots[w->head[XE_WHEEL_CLOSED]];

		if (*visited == budget)
			return false;
		if (left(ctx, s, now_s))
			return true;
		(*visited)++;
		xe_wheel_del(w, t, s);
		expire(ctx, s);
	}
	return true;
}

uint32_t xe_wheel_advance(struct xe_wheel *w, struct xe_sessions *t, uint32_t now_s,
			  uint32_t budget, xe_wheel_left_fn left, xe_wheel_expire_fn expire,
			  void *ctx)
{
	uint32_t visited = 0;

	if ((int32_t)(now_s - w->now_s) > 0 &&
	    !advance_closed(w, t, now_s, budget, &visited, left, expire, ctx))
		return budget;
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
