/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_wheel.c - sessions end in the second they should, neither before nor after, however the
 * clock gets there.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "packet_fixture.h"
#include "state/wheel.h"

#define SESSIONS 2000u
/* The clock wraps in the middle of every test. */
#define START_S  (0xffffffffu - 5000)
#define NO_LIMIT 0xffffffffu

struct world {
	struct xe_sessions t;
	struct xe_wheel w;
	uint32_t deadline_s[SESSIONS];
	bool there[SESSIONS];
	uint32_t now_s, visits, ends;
};

static uint32_t left(void *ctx, const struct xe_session *s, uint32_t now_s)
{
	struct world *world = ctx;
	uint32_t idx = xe_session_idx(&world->t, s);

	assert_true(world->there[idx]);
	assert_int_equal(now_s, world->now_s);
	world->visits++;
	return (int32_t)(world->deadline_s[idx] - now_s) > 0 ? world->deadline_s[idx] - now_s : 0;
}

static void expire(void *ctx, struct xe_session *s)
{
	struct world *world = ctx;
	uint32_t idx = xe_session_idx(&world->t, s);

	world->there[idx] = false;
	world->ends++;
	xe_session_free(&world->t, s);
}

static int open_world(void **state)
{
	struct world *world = calloc(1, sizeof(*world));

	world->now_s = START_S;
	xe_wheel_init(&world->w, START_S);
	*state = world;
	return xe_sessions_open(&world->t, SESSIONS, 1, 2);
}

static int close_world(void **state)
{
	struct world *world = *state;

	xe_sessions_close(&world->t);
	free(world);
	return 0;
}

static struct xe_session *add(struct world *world, uint32_t in_s)
{
	static uint32_t n;
	struct xe_tuple4 out = {.src_be = ++n, .proto = 6}, back = {.dst_be = n, .proto = 6};
	struct xe_session *s = xe_session_new(&world->t, &out, &back);
	uint32_t idx;

	if (!s)
		return NULL;
	idx = xe_session_idx(&world->t, s);
	world->there[idx] = true;
	world->deadline_s[idx] = world->now_s + in_s;
	xe_wheel_add(&world->w, &world->t, s, in_s);
	return s;
}

static uint32_t go(struct world *world, uint32_t seconds, uint32_t budget)
{
	world->now_s += seconds;
	return xe_wheel_advance(&world->w, &world->t, world->now_s, budget, left, expire, world);
}

/* Which sessions must be there at this second is a matter of their deadlines alone. */
static void expect_by_deadline(const struct world *world)
{
	uint32_t there = 0;

	for (uint32_t i = 0; i < SESSIONS; i++) {
		there += world->there[i];
		if (world->there[i])
			assert_true((int32_t)(world->deadline_s[i] - world->now_s) > 0);
	}
	assert_int_equal(there, world->t.cnt);
}

static void test_each_in_its_second(void **state)
{
	static const uint32_t timeouts[] = {
		1,     2,     20, 240, 7440, XE_WHEEL_SLOTS - 1, XE_WHEEL_SLOTS, XE_WHEEL_SLOTS + 1,
		20000, 100000};
	struct world *world = *state;

	for (size_t i = 0; i < sizeof(timeouts) / sizeof(timeouts[0]); i++) {
		uint32_t idx = xe_session_idx(&world->t, add(world, timeouts[i]));

		for (uint32_t s = 1; s <= timeouts[i]; s++) {
			assert_true(world->there[idx]);
			go(world, 1, NO_LIMIT);
		}
		assert_false(world->there[idx]);
		/* a visit a turn, rounded up */
		assert_int_equal(world->visits,
				 (timeouts[i] + XE_WHEEL_SLOTS - 2) / (XE_WHEEL_SLOTS - 1));
		world->visits = 0;
	}
	assert_int_equal(world->t.cnt, 0);
}

/* 0 is as soon as there is a next second, not a whole turn later. */
static void test_at_once(void **state)
{
	struct world *world = *state;

	add(world, 0);
	go(world, 0, NO_LIMIT);
	assert_int_equal(world->ends, 0);
	go(world, 1, NO_LIMIT);
	assert_int_equal(world->ends, 1);
}

/* Random lives: packets only move the deadline, the wheel is not told; some end by hand. */
static void test_random_lives(void **state)
{
	struct world *world = *state;

	for (uint32_t round = 0; round < 20000; round++) {
		uint32_t idx = (uint32_t)(lf_random() >> 30) % SESSIONS;

		add(world, 1 + (uint32_t)(lf_random() >> 40) % (round % 10 ? 300 : 20000));
		if (world->there[idx] && round % 3) { /* a packet: never brings the end nearer */
			if ((int32_t)(world->deadline_s[idx] - world->now_s) < 200)
				world->deadline_s[idx] = world->now_s + 200;
		} else if (world->there[idx]) { /* flushed */
			xe_wheel_del(&world->w, &world->t, &world->t.slots[idx]);
			xe_wheel_del(&world->w, &world->t, &world->t.slots[idx]);
			expire(world, &world->t.slots[idx]);
		}
		/* mostly second by second, now and then a long stall */
		if (round % 4 == 0)
			go(world, round % 1000 ? 1 : 3000, NO_LIMIT);
		if (round % 16 == 0)
			expect_by_deadline(world);
	}
	for (uint32_t i = 0; i < SESSIONS; i++)
		world->deadline_s[i] = world->now_s;
	go(world, XE_WHEEL_SLOTS, NO_LIMIT);
	assert_int_equal(world->t.cnt, 0);
}

/* A used session costs one visit a timeout, not one a packet. */
static void test_lazy(void **state)
{
	struct world *world = *state;
	uint32_t idx = xe_session_idx(&world->t, add(world, 300));

	for (uint32_t s = 0; s < 3000; s++) {
		world->deadline_s[idx] = world->now_s + 300;
		go(world, 1, NO_LIMIT);
	}
	assert_true(world->there[idx]);
	assert_in_range(world->visits, 9, 11);
}

/* Many due at once: a bounded number a call, all of them in the end, and none of a later second
 * while there are due ones. */
static void test_budget(void **state)
{
	struct world *world = *state;
	uint32_t calls = 1;

	for (int i = 0; i < 1000; i++)
		assert_non_null(add(world, 10));
	for (int i = 0; i < 500; i++)
		assert_non_null(add(world, 11));
	assert_int_equal(go(world, 10, 100), 100);
	assert_int_equal(world->ends, 100);
	for (; go(world, 0, 100) == 100; calls++)
		assert_in_range(world->ends, 100, 1000);
	assert_int_equal(calls, 10);
	assert_int_equal(world->ends, 1000);
	go(world, 1, 499);
	assert_int_equal(world->ends, 1499);
	/* what comes while the hand is behind still ends in its second */
	go(world, 0, NO_LIMIT);
	assert_int_equal(world->ends, 1500);
	for (int i = 0; i < 300; i++)
		add(world, 5);
	go(world, 20, 1);
	assert_int_equal(world->ends, 1501);
	add(world, 7);
	while (go(world, 0, 50) == 50)
		;
	assert_int_equal(world->t.cnt, 1);
	go(world, 6, NO_LIMIT);
	assert_int_equal(world->t.cnt, 1);
	go(world, 1, NO_LIMIT);
	assert_int_equal(world->t.cnt, 0);
}

/* Out of the middle, the head and the tail of a slot. */
static void test_delete_while_linked(void **state)
{
	struct world *world = *state;
	struct xe_session *s[5];

	for (int gone = 0; gone < 5; gone++) {
		for (int i = 0; i < 5; i++)
			s[i] = add(world, 3);
		xe_wheel_del(&world->w, &world->t, s[gone]);
		world->ends = 0;
		go(world, 3, NO_LIMIT);
		assert_int_equal(world->ends, 4);
		assert_true(world->there[xe_session_idx(&world->t, s[gone])]);
		xe_wheel_add(&world->w, &world->t, s[gone], 1);
		go(world, 1, NO_LIMIT);
		assert_int_equal(world->t.cnt, 0);
	}
}

/* ---- closed ones ---- */

/* The queue from its front: nobody is missing, nobody is before one that is idle for longer, but
 * for those that have been idle for longer than it tells apart. */
static void expect_queue(struct world *world, uint32_t cnt)
{
	uint32_t idx = xe_wheel_oldest_closed(&world->w), n = 0, before_s = 0;

	for (; idx != XE_NIL; idx = xe_wheel_next_closed(&world->w, &world->t, idx), n++) {
		uint32_t idle_s = world->now_s - world->t.slots[idx].last_used_s;

		assert_true(n < cnt);
		if (idle_s >= XE_WHEEL_CLOSED)
			idle_s = XE_WHEEL_CLOSED;
		if (n)
			assert_true(idle_s <= before_s);
		before_s = idle_s;
	}
	assert_int_equal(n, cnt);
}

static void close_one(struct world *world, struct xe_session *s, uint32_t idle_s, uint32_t lives_s)
{
	s->last_used_s = world->now_s - idle_s;
	world->deadline_s[xe_session_idx(&world->t, s)] = s->last_used_s + lives_s;
	xe_wheel_close(&world->w, &world->t, s);
}

/* They come in any order of age (adopted), have another packet, or go; at last each ends in its
 * second. */
static void closed_for(struct world *world, uint32_t lives_s)
{
	struct xe_session *s[500];
	uint32_t cnt = 0;

	for (int step = 0; step < 3000; step++) {
		uint32_t i = cnt ? (uint32_t)lf_random() % cnt : 0;

		switch (lf_random() % 8) {
		case 0:
			if (!cnt)
				break;
			xe_wheel_del(&world->w, &world->t, s[i]);
			expire(world, s[i]);
			s[i] = s[--cnt];
			break;
		case 1:
			if (cnt)
				close_one(world, s[i], 0, lives_s);
			break;
		default:
			if (cnt < 500 && (s[cnt] = add(world, 7440)))
				close_one(world, s[cnt++], (uint32_t)lf_random() % lives_s,
					  lives_s);
		}
		if (step % 50 == 0)
			expect_queue(world, cnt);
	}
	while (cnt) {
		uint32_t kept = 0;

		go(world, lives_s < 1000 ? 1 : 97, NO_LIMIT);
		for (uint32_t i = 0; i < cnt; i++)
			if (world->there[xe_session_idx(&world->t, s[i])])
				s[kept++] = s[i];
		cnt = kept;
		expect_queue(world, cnt);
		if (lives_s < XE_WHEEL_CLOSED)
			expect_by_deadline(world);
	}
	assert_int_equal(world->t.cnt, 0);
	assert_int_equal(xe_wheel_oldest_closed(&world->w), XE_NIL);
}

static void test_closed(void **state)
{
	closed_for(*state, 240);
	closed_for(*state, XE_WHEEL_CLOSED - 1);
}

/* Longer than the queue has lists: nobody is lost, and nobody ends before its time. */
static void test_closed_for_long(void **state)
{
	closed_for(*state, 3 * XE_WHEEL_CLOSED);
	closed_for(*state, 86400);
}

/* The first one after a day without any, and before all that are there. */
static void test_closed_after_a_gap(void **state)
{
	struct world *world = *state;
	struct xe_session *old = add(world, 7440), *fresh, *older;

	close_one(world, old, 0, 604800);
	world->now_s += 86400;
	fresh = add(world, 7440);
	close_one(world, fresh, 0, 604800);
	expect_queue(world, 2);
	older = add(world, 7440);
	close_one(world, older, 90000, 604800);
	assert_int_not_equal(xe_wheel_oldest_closed(&world->w), xe_session_idx(&world->t, fresh));
	expect_queue(world, 3);
	for (int i = 0; i < 3; i++) {
		struct xe_session *s = &world->t.slots[xe_wheel_oldest_closed(&world->w)];

		xe_wheel_del(&world->w, &world->t, s);
		expire(world, s);
		expect_queue(world, 2 - i);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_each_in_its_second, open_world, close_world),
		cmocka_unit_test_setup_teardown(test_at_once, open_world, close_world),
		cmocka_unit_test_setup_teardown(test_random_lives, open_world, close_world),
		cmocka_unit_test_setup_teardown(test_lazy, open_world, close_world),
		cmocka_unit_test_setup_teardown(test_budget, open_world, close_world),
		cmocka_unit_test_setup_teardown(test_delete_while_linked, open_world, close_world),
		cmocka_unit_test_setup_teardown(test_closed, open_world, close_world),
		cmocka_unit_test_setup_teardown(test_closed_for_long, open_world, close_world),
		cmocka_unit_test_setup_teardown(test_closed_after_a_gap, open_world, close_world),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
