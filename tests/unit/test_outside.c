/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_outside.c - a source from outside has its limits once for all workers: sessions exactly,
 * rates as one; also where workers are at it at the same time, and nothing is left behind. Under
 * ThreadSanitizer in make check-long.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "state/source.h"
#include "state/terms.h"

#define WORKERS 3
#define SEC     1000000ull
#define START   (7000 * SEC)
#define PEER    0x097133c6u

static struct xe_outside outside;
static struct xe_sources sources[WORKERS];

static int setup(void **state)
{
	(void)state;
	assert_int_equal(xe_outside_open(&outside, 1000), 0);
	for (int w = 0; w < WORKERS; w++) {
		assert_int_equal(xe_sources_open(&sources[w], 1000, 1, 2), 0);
		sources[w].outside = &outside;
	}
	return 0;
}

/* All that was taken has been given back. */
static int teardown(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < outside.size; i++) {
		assert_int_equal(outside.tags[i], 0);
		assert_int_equal(outside.places[i].sessions, 0);
		for (int kind = 0; kind < XE_LIMIT_KIND_CNT; kind++)
			assert_int_equal(outside.places[i].sold_us[kind][0], 0);
	}
	for (int w = 0; w < WORKERS; w++)
		xe_sources_close(&sources[w]);
	xe_outside_close(&outside);
	return 0;
}

static uint32_t take(int w, uint32_t limit)
{
	return xe_source_take(&sources[w], 0, PEER, XE_PORT_ANYUPLINK, limit);
}

static void test_sessions(void **state)
{
	uint32_t a, b, inside[2];

	(void)state;
	a = take(0, 3);
	b = take(1, 3);
	assert_int_not_equal(a, XE_NIL);
	assert_int_not_equal(b, XE_NIL);
	assert_int_equal(take(1, 3), b);
	assert_true(xe_source_is_full(&sources[0], a, 3));
	assert_int_equal(xe_source_sessions(&sources[0], a), 3);
	assert_int_equal(take(0, 3), XE_NIL);
	assert_int_equal(take(2, 3), XE_NIL); /* nor where it has none */
	/* one that is closed makes room for another worker's, and then none of its own */
	xe_source_set_closed(&sources[1], b, true);
	assert_int_equal(take(0, 3), a);
	assert_true(xe_source_is_full(&sources[1], b, 3));
	assert_int_equal(take(1, 3), XE_NIL);
	xe_source_give_closed(&sources[1], b);
	assert_int_equal(xe_source_sessions(&sources[1], b), 3);
	/* as it is opened anew where there is room */
	xe_source_set_closed(&sources[0], a, true);
	xe_source_set_closed(&sources[0], a, false);
	assert_int_equal(xe_source_sessions(&sources[1], b), 3);
	/* a source inside is its worker's own */
	for (int w = 0; w < 2; w++) {
		inside[w] = xe_source_take(&sources[w], 0, PEER, 1, 1);
		assert_int_not_equal(inside[w], XE_NIL);
		assert_int_equal(xe_source_take(&sources[w], 0, PEER, 1, 1), XE_NIL);
		xe_source_give(&sources[w], inside[w]);
	}
	xe_source_give(&sources[0], a);
	xe_source_give(&sources[0], a);
	assert_int_equal(take(2, 2), 0);
	assert_int_equal(take(2, 2), XE_NIL);
	xe_source_give(&sources[1], b);
	xe_source_give(&sources[2], 0);
}

/* Where all places of a set are taken a worker counts alone, and both find them again. */
static void test_full_set(void **state)
{
	uint32_t place[9];

	(void)state;
	for (uint64_t i = 0; i < 8; i++) {
		place[i] = xe_outside_take(&outside, 7ull << 32 | (i + 1) << 8);
		assert_int_equal(place[i] / 8, 7);
		assert_int_equal(xe_outside_take(&outside, 7ull << 32 | (i + 1) << 8), place[i]);
		xe_outside_give(&outside, place[i]);
	}
	assert_int_equal(xe_outside_take(&outside, 7ull << 32 | 9 << 8), XE_NIL);
	assert_int_equal(xe_outside_take(NULL, 1), XE_NIL);
	atomic_store(&outside.places[place[3]].sold_us[0][0], 5);
	xe_outside_give(&outside, place[3]);
	assert_int_equal(outside.places[place[3]].sold_us[0][0], 0);
	place[8] = xe_outside_take(&outside, 7ull << 32 | 9 << 8);
	assert_int_equal(place[8], place[3]);
	for (int i = 0; i < 9; i++)
		if (i != 3)
			xe_outside_give(&outside, place[i]);
}

/* Two places of one source, as two workers can make them at one moment: the next flow of the one
 * with the second moves its sessions to the first. */
static void test_second_place(void **state)
{
	uint32_t a = take(0, 9), b = take(1, 9), was, second;

	(void)state;
	was = sources[1].slots[b].place;
	assert_int_equal(sources[0].slots[a].place, was);
	for (second = was + 1; outside.tags[second]; second++)
		;
	outside.tags[second] = (outside.tags[was] & ~0xffull) | 1;
	xe_outside_give(&outside, was);
	outside.places[was].sessions = 1;
	outside.places[second].sessions = 1;
	sources[1].slots[b].place = second;
	assert_int_equal(take(1, 9), b);
	assert_int_equal(sources[1].slots[b].place, was);
	assert_int_equal(outside.tags[second], 0);
	assert_int_equal(outside.places[second].sessions, 0);
	assert_int_equal(xe_source_sessions(&sources[0], a), 3);
	xe_source_give(&sources[0], a);
	xe_source_give(&sources[1], b);
	xe_source_give(&sources[1], b);
}

/* Packets of one source that pass in 10 s, at so many workers in turn. */
static uint64_t passed(struct xe_terms_local *w, const struct xe_terms_ref *ref, int workers)
{
	uint64_t got = 0;

	for (uint64_t us = START; us < START + 10 * SEC; us += 100) {
		int i = (int)(us / 100 % (unsigned int)workers);

		got += xe_terms_packet(&w[i], &ref[i], 0, 1, 8000, us) == XE_LIMIT_CNT;
	}
	return got;
}

static void test_rates(void **state)
{
	struct xe_terms *table = xe_terms_table_new();
	struct xe_terms_local w[WORKERS];
	struct xe_terms_ref ref[WORKERS];
	struct xe_rule rule;
	uint64_t flows = 0;
	char err[256];

	(void)state;
	assert_int_equal(xe_rule_parse("accept in eth0 limit 100pps per-source limit 10flows "
				       "per-source",
				       &rule, err, sizeof(err)),
			 0);
	xe_terms_set(&table[5], &rule);
	for (int i = 0; i < WORKERS; i++) {
		assert_int_equal(xe_terms_open(&w[i], table, 64, 1, 2), 0);
		w[i].outside = &outside;
		assert_true(xe_terms_take(&w[i], 5, 0, PEER, XE_PORT_ANYUPLINK, &ref[i]));
		assert_int_not_equal(w[i].sources[ref[i].source].place, XE_NIL);
		assert_int_equal(w[i].sources[ref[i].source].place,
				 w[0].sources[ref[0].source].place);
	}
	/* 10 s of 100 and a quarter of a second's worth; each worker may owe one */
	assert_in_range(passed(w, ref, WORKERS), 1015, 1025 + 2 * WORKERS);
	for (uint64_t us = START; us < START + 10 * SEC; us += 1000)
		for (int i = 0; i < WORKERS; i++)
			flows += xe_terms_flow(&w[i], &ref[i], us) == XE_LIMIT_CNT;
	assert_in_range(flows, 105, 110 + 2 * WORKERS);
	for (int i = 0; i < WORKERS; i++) {
		xe_terms_give(&w[i], &ref[i]);
		xe_terms_close(&w[i]);
	}
	xe_terms_table_free(table);
}

/* ---- at the same time ---- */

#define ROUNDS 30000
#define LIMIT  5

static _Atomic uint32_t alive, most;
static pthread_barrier_t all_there;

/* Its first session holds the place; the others come and go around the limit. */
static void *at_the_limit(void *arg)
{
	struct xe_sources *t = arg;
	uint32_t first = xe_source_take(t, 0, PEER, XE_PORT_ANYUPLINK, UINT32_MAX), now, max;

	pthread_barrier_wait(&all_there);
	for (int i = 0; i < ROUNDS; i++) {
		if (xe_source_take(t, 0, PEER, XE_PORT_ANYUPLINK, WORKERS + LIMIT) == XE_NIL)
			continue;
		now = atomic_fetch_add(&alive, 1) + 1;
		max = atomic_load(&most);
		while (now > max && !atomic_compare_exchange_weak(&most, &max, now))
			;
		atomic_fetch_sub(&alive, 1);
		if (i % 3) {
			xe_source_give(t, first);
		} else { /* closed, forgotten */
			xe_source_set_closed(t, first, true);
			xe_source_give_closed(t, first);
		}
	}
	return (void *)(uintptr_t)first;
}

/* Sources come and go, all in few places, at all workers: nothing is lost, nothing stays. */
static void *come_and_go(void *arg)
{
	struct xe_sources *t = arg;
	uint32_t got[16], n = 0, random = (uint32_t)(uintptr_t)arg;

	for (int i = 0; i < ROUNDS; i++) {
		random = random * 1664525u + 1013904223u;
		if (n < 16 && random >> 31) {
			got[n] = xe_source_take(t, 0, PEER + (random >> 16 & 15), XE_PORT_ANYUPLINK,
						8);
			n += got[n] != XE_NIL;
		} else if (n) {
			xe_source_give(t, got[--n]);
		}
	}
	while (n)
		xe_source_give(t, got[--n]);
	return NULL;
}

static void run(void *(*work)(void *), void **results)
{
	pthread_t threads[WORKERS];

	for (int w = 0; w < WORKERS; w++)
		assert_int_equal(pthread_create(&threads[w], NULL, work, &sources[w]), 0);
	for (int w = 0; w < WORKERS; w++)
		pthread_join(threads[w], &results[w]);
}

static void test_limit_at_once(void **state)
{
	void *first[WORKERS];

	(void)state;
	pthread_barrier_init(&all_there, NULL, WORKERS);
	run(at_the_limit, first);
	pthread_barrier_destroy(&all_there);
	assert_in_range(most, 1, LIMIT);
	for (int w = 0; w < WORKERS; w++)
		xe_source_give(&sources[w], (uint32_t)(uintptr_t)first[w]);
}

static void test_come_and_go(void **state)
{
	void *none[WORKERS];

	(void)state;
	outside.set_mask = 1; /* 16 places for 16 sources */
	run(come_and_go, none);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_sessions), TEST(test_full_set),      TEST(test_second_place),
		TEST(test_rates),    TEST(test_limit_at_once), TEST(test_come_and_go),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
