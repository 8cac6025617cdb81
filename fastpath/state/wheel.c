/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "state/wheel.h"

void xe_wheel_init(struct xe_wheel *w, uint32_t now_s)
{
	memset(w->head, 0xff, sizeof(w->head)); /* XE_NIL */
	memset(w->closed_tail, 0xff, sizeof(w->closed_tail));
	w->closed_from_s = w->closed_to_s = w->now_s = now_s;
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

/* ---- the queue ---- */

static uint32_t closed_list(uint32_t second)
{
	return XE_WHEEL_SLOTS + second % XE_WHEEL_CLOSED;
}

static uint32_t *tail_of(struct xe_wheel *w, uint32_t list)
{
	return &w->closed_tail[list - XE_WHEEL_SLOTS];
}

static bool is_before(uint32_t a_s, uint32_t b_s)
{
	return (int32_t)(a_s - b_s) < 0;
}

/* What is of the first second is of a later one from now on, in front of what is there. */
static void join(struct xe_wheel *w, struct xe_sessions *t, uint32_t second)
{
	uint32_t from = closed_list(w->closed_from_s), to = closed_list(second);
	uint32_t first = w->head[from], last = *tail_of(w, from);

	w->closed_from_s = second;
	if (first == XE_NIL || from == to)
		return;
	t->slots[first].timer_prev = XE_WHEEL_HEAD | to;
	if (w->head[to] != XE_NIL) {
		t->slots[last].timer_next = w->head[to];
		t->slots[w->head[to]].timer_prev = last;
	} else {
		t->slots[last].timer_next = XE_WHEEL_HEAD | to;
		*tail_of(w, to) = last;
	}
	w->head[to] = first;
	w->head[from] = *tail_of(w, from) = XE_NIL;
}

/* The list of a second, which the queue now reaches to. */
static uint32_t list_for(struct xe_wheel *w, struct xe_sessions *t, uint32_t second)
{
	if (xe_wheel_oldest_closed(w) == XE_NIL)
		w->closed_from_s = w->closed_to_s = second;
	if (is_before(w->closed_to_s, second)) {
		while (second - w->closed_from_s >= XE_WHEEL_CLOSED)
			join(w, t,
			     w->closed_from_s == w->closed_to_s ? second - XE_WHEEL_CLOSED + 1
								: w->closed_from_s + 1);
		w->closed_to_s = second;
	} else if (is_before(second, w->closed_from_s)) {
		if (w->closed_to_s - second >= XE_WHEEL_CLOSED)
			second = w->closed_to_s - XE_WHEEL_CLOSED + 1;
		w->closed_from_s = second;
	}
	return closed_list(second);
}

void xe_wheel_close(struct xe_wheel *w, struct xe_sessions *t, struct xe_session *s)
{
	uint32_t idx = xe_session_idx(t, s), list, last;

	xe_wheel_del(w, t, s);
	list = list_for(w, t, s->last_used_s);
	last = *tail_of(w, list);
	s->timer_next = XE_WHEEL_HEAD | list;
	if (last == XE_NIL) {
		s->timer_prev = XE_WHEEL_HEAD | list;
		w->head[list] = idx;
	} else {
		s->timer_prev = last;
		t->slots[last].timer_next = idx;
	}
	*tail_of(w, list) = idx;
}

uint32_t xe_wheel_oldest_closed(struct xe_wheel *w)
{
	uint32_t first = w->head[closed_list(w->closed_from_s)];

	/* each second once, but for those that come late */
	while (first == XE_NIL && w->closed_from_s != w->closed_to_s)
		first = w->head[closed_list(++w->closed_from_s)];
	return first;
}

uint32_t xe_wheel_next_closed(const struct xe_wheel *w, const struct xe_sessions *t, uint32_t idx)
{
	uint32_t next = t->slots[idx].timer_next, list, last = closed_list(w->closed_to_s);

	if (!(next & XE_WHEEL_HEAD))
		return next;
	for (list = next & ~XE_WHEEL_HEAD; list != last;) {
		list = closed_list(list - XE_WHEEL_SLOTS + 1);
		if (w->head[list] != XE_NIL)
			return w->head[list];
	}
	return XE_NIL;
}

/* ---- both ---- */

void xe_wheel_del(struct xe_wheel *w, struct xe_sessions *t, struct xe_session *s)
{
	bool is_first = s->timer_prev & XE_WHEEL_HEAD, is_last = s->timer_next & XE_WHEEL_HEAD;

	if (s->timer_prev == XE_NIL)
		return;
	if (is_first)
		w->head[s->timer_prev & ~XE_WHEEL_HEAD] = is_last ? XE_NIL : s->timer_next;
	else
		t->slots[s->timer_prev].timer_next = s->timer_next;
	if (!is_last)
		t->slots[s->timer_next].timer_prev = s->timer_prev;
	else if (s->timer_next != XE_NIL)
		*tail_of(w, s->timer_next & ~XE_WHEEL_HEAD) = is_first ? XE_NIL : s->timer_prev;
	s->timer_prev = XE_NIL;
}

/* Those whose time is up stand in front; false: the budget is used up. */
static bool advance_closed(struct xe_wheel *w, struct xe_sessions *t, uint32_t now_s,
			   uint32_t budget, uint32_t *visited, xe_wheel_left_fn left,
			   xe_wheel_expire_fn expire, void *ctx)
{
	uint32_t oldest;

	while ((oldest = xe_wheel_oldest_closed(w)) != XE_NIL) {
		struct xe_session *s = &t->slots[oldest];

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
