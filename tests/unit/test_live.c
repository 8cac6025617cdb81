/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_live.c - the tags of live sessions: whatever comes and goes, each session that is there has
 * its tag where steer looks for it, and those that are gone leave none behind.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "packet_fixture.h"
#include "state/live.h"

#define TAGS 2048u
#define OPS  200000

struct tagged {
	uint64_t hash;
	bool live, second;
};

static int open_live(void **state)
{
	static struct xe_live live;

	live.mask = xe_live_bucket_cnt(TAGS) - 1;
	live.buckets = calloc(live.mask + 1, sizeof(*live.buckets));
	*state = &live;
	return !live.buckets;
}

static int close_live(void **state)
{
	free(((struct xe_live *)*state)->buckets);
	return 0;
}

static uint32_t copies_in(const struct xe_live *live, uint32_t bucket, uint16_t tag)
{
	uint32_t n = 0;

	for (int i = 0; i < XE_LIVE_SLOTS; i++)
		n += live->buckets[bucket].tag[i] == tag;
	return n;
}

/* As steer looks it up. */
static bool is_live(const struct xe_live *live, uint64_t hash)
{
	uint16_t tag = xe_live_tag(hash);

	return copies_in(live, xe_live_first(hash, live->mask), tag) ||
	       copies_in(live, xe_live_second(hash, live->mask), tag);
}

static uint32_t tags_set(const struct xe_live *live)
{
	uint32_t n = 0;

	for (uint32_t b = 0; b <= live->mask; b++)
		n += XE_LIVE_SLOTS - copies_in(live, b, 0);
	return n;
}

/* hash_mask takes away bits until tags and buckets agree all the time. */
static void run(struct xe_live *live, uint64_t hash_mask, bool may_overflow)
{
	static struct tagged all[TAGS];
	uint32_t cnt = 0, refused = 0;

	memset(all, 0, sizeof(all));
	for (int i = 0; i < OPS; i++) {
		struct tagged *t = &all[(lf_random() >> 30) % TAGS];

		if (t->live) {
			assert_true(is_live(live, t->hash));
			xe_live_del(live, t->hash, t->second);
			t->live = false;
			cnt--;
		} else {
			t->hash = lf_random() & hash_mask;
			t->live = xe_live_add(live, t->hash, &t->second);
			cnt += t->live;
			refused += !t->live;
		}
		if (i % 997)
			continue;
		assert_int_equal(tags_set(live), cnt);
		for (uint32_t n = 0; n < TAGS; n++)
			assert_true(!all[n].live || is_live(live, all[n].hash));
	}
	assert_int_equal(refused != 0, may_overflow);
	for (uint32_t n = 0; n < TAGS; n++)
		if (all[n].live)
			xe_live_del(live, all[n].hash, all[n].second);
	assert_int_equal(tags_set(live), 0);
}

static void test_as_in_life(void **state)
{
	run(*state, ~0ull, false);
}

/* Two tags in all, 64 buckets as first and 4 as second ones: ambiguity is the rule. */
static void test_few_tags(void **state)
{
	run(*state, 1ull << 48 | 3ull << 24 | 63, true);
}

/* All of a session's hash the same: 16 copies fit, each delete leaves the others. */
static void test_duplicates(void **state)
{
	struct xe_live *live = *state;
	uint64_t hash = 0x1234000011000022ull;
	bool second[2 * XE_LIVE_SLOTS + 1];

	for (int i = 0; i < 2 * XE_LIVE_SLOTS; i++) {
		assert_true(xe_live_add(live, hash, &second[i]));
		assert_int_equal(second[i], i >= XE_LIVE_SLOTS);
	}
	assert_false(xe_live_add(live, hash, &second[2 * XE_LIVE_SLOTS]));
	assert_int_equal(tags_set(live), 2 * XE_LIVE_SLOTS);
	for (int i = 2 * XE_LIVE_SLOTS - 1; i >= 0; i--) {
		assert_true(is_live(live, hash));
		xe_live_del(live, hash, second[i]);
		assert_int_equal(tags_set(live), (uint32_t)i);
	}
	assert_false(is_live(live, hash));
}

/* A tag is never 0, which means free. */
static void test_tag_is_never_zero(void **state)
{
	(void)state;
	assert_int_equal(xe_live_tag(0x0000123412341234ull), 1);
	for (int i = 0; i < 200000; i++)
		assert_true(xe_live_tag(lf_random()) != 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_as_in_life, open_live, close_live),
		cmocka_unit_test_setup_teardown(test_few_tags, open_live, close_live),
		cmocka_unit_test_setup_teardown(test_duplicates, open_live, close_live),
		cmocka_unit_test(test_tag_is_never_zero),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
