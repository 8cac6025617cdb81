/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_terms.c - the buckets behind `limit`: rates kept exactly over time whatever the packets are,
 * by one worker and by several that share a rule's, and a source's own within the rule's.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "state/terms.h"

#define WORKERS 4
#define SEC     1000000ull
#define START   (7000 * SEC)

struct bench {
	struct xe_terms *table;
	struct xe_terms_local w[WORKERS];
};

static int setup(void **state)
{
	struct bench *b = calloc(1, sizeof(*b));

	b->table = xe_terms_table_new();
	for (int i = 0; i < WORKERS; i++)
		assert_int_equal(xe_terms_open(&b->w[i], b->table, 64, 1, 2), 0);
	*state = b;
	return 0;
}

static int teardown(void **state)
{
	struct bench *b = *state;

	for (int i = 0; i < WORKERS; i++) {
		for (uint32_t t = 0; t < XE_MAX_TERMS; t++)
			assert_int_equal(b->w[i].refs[t], 0);
		xe_terms_close(&b->w[i]);
	}
	xe_terms_table_free(b->table);
	free(b);
	return 0;
}

static void set_rule(struct bench *b, uint32_t terms, const char *text)
{
	struct xe_rule rule;
	char err[256];

	if (xe_rule_parse(text, &rule, err, sizeof(err)))
		fail_msg("%s: %s", text, err);
	xe_terms_set(&b->table[terms], &rule);
}

static struct xe_terms_ref flow(struct bench *b, int worker, uint32_t terms, uint64_t source)
{
	struct xe_terms_ref ref;

	assert_true(xe_terms_take(&b->w[worker], terms, 0, source, 1, &ref));
	return ref;
}

/* What is in a full bucket may go at once; from then on it is the rate. */
static void expect_about(uint64_t got, uint64_t rate, uint64_t secs, uint64_t depth,
			 const char *name)
{
	uint64_t want = rate * secs + depth;

	if (got < want - want / 100 - 2 || got > want + want / 50 + 2)
		fail_msg("%s: %llu in %llu s, expected about %llu", name, (unsigned long long)got,
			 (unsigned long long)secs, (unsigned long long)want);
}

/* 10 s of packets at many times the rate, of one size each. */
static void test_rates(void **state)
{
	static const uint64_t rates[] = {1, 3, 10, 1000, 123457, 3000000};
	static const uint32_t sizes[] = {60, 1500, 65000};
	struct bench *b = *state;
	char text[64];

	for (size_t r = 0; r < sizeof(rates) / sizeof(rates[0]); r++) {
		struct xe_terms_ref ref;
		uint64_t step = SEC / rates[r] / 5 + 1, got = 0;

		snprintf(text, sizeof(text), "accept limit %llupps", (unsigned long long)rates[r]);
		set_rule(b, (uint32_t)r, text);
		ref = flow(b, 0, (uint32_t)r, 1);
		for (uint64_t t = 0; t < 10 * SEC; t += step)
			for (int i = 0; i < 8; i++)
				got += xe_terms_packet(&b->w[0], &ref, 0, 1, 800, START + t) ==
				       XE_LIMIT_CNT;
		expect_about(got, rates[r], 10, rates[r] / 4 + (rates[r] < 4), text);
		xe_terms_give(&b->w[0], &ref);
	}
	for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++) {
		uint32_t terms = (uint32_t)(100 + s);
		struct xe_terms_ref ref;
		uint64_t bits = 0;

		set_rule(b, terms, "accept limit 20mbit");
		ref = flow(b, 0, terms, 1);
		for (uint64_t t = 0; t < 10 * SEC; t += 13)
			if (xe_terms_packet(&b->w[0], &ref, 0, 1, sizes[s] * 8ull, START + t) ==
			    XE_LIMIT_CNT)
				bits += sizes[s] * 8ull;
		expect_about(bits, 20000000, 10, 5000000, "bits");
		xe_terms_give(&b->w[0], &ref);
	}
}

/* A packet larger than the bucket passes when there is credit, and is paid for afterwards. */
static void test_debt(void **state)
{
	struct bench *b = *state;
	struct xe_terms_ref ref;
	uint32_t passed = 0;

	set_rule(b, 0, "accept limit 8kbit");
	ref = flow(b, 0, 0, 1);
	for (uint64_t t = 0; t < 1000 * SEC; t += 100000)
		passed += xe_terms_packet(&b->w[0], &ref, 0, 45, 65000 * 8, START + t) ==
			  XE_LIMIT_CNT;
	assert_in_range(passed, 15, 17); /* 65 s each */
	xe_terms_give(&b->w[0], &ref);
}

/* Directions have a bucket each; a second limit of another kind holds, too. */
static void test_directions_and_kinds(void **state)
{
	struct bench *b = *state;
	uint32_t got[2] = {};
	struct xe_terms_ref ref;

	set_rule(b, 0, "accept limit 1000pps limit 4mbit");
	ref = flow(b, 0, 0, 1);
	for (uint64_t t = 0; t < 10 * SEC; t += 100)
		for (int dir = 0; dir < 2; dir++)
			got[dir] +=
				xe_terms_packet(&b->w[0], &ref, dir, 1, dir ? 1000 * 8 : 100 * 8,
						START + t) == XE_LIMIT_CNT;
	expect_about(got[0], 1000, 10, 250, "out: small packets, by their number");
	expect_about(got[1], 500, 10, 125, "back: large packets, by their bits");
	assert_int_equal(xe_terms_packet(&b->w[0], &ref, 0, 1, 8, START + 10 * SEC - 1),
			 XE_LIMIT_PACKETS);
	assert_int_equal(xe_terms_packet(&b->w[0], &ref, 1, 1, 8, START + 10 * SEC - 1),
			 XE_LIMIT_BITS);
	xe_terms_give(&b->w[0], &ref);
}

/* All of a rule's flows at one worker, or spread over four: the same rate together. */
static void test_shared_by_workers(void **state)
{
	struct bench *b = *state;
	struct xe_terms_ref ref[WORKERS];

	for (int used = 1; used <= WORKERS; used++) {
		uint32_t terms = (uint32_t)used;
		uint64_t got = 0, each[WORKERS] = {};

		set_rule(b, terms, "accept limit 10kpps");
		for (int w = 0; w < used; w++)
			ref[w] = flow(b, w, terms, 1);
		for (uint64_t t = 0; t < 10 * SEC; t += 20)
			for (int i = 0; i < used; i++) {
				int w = (int)(t / 20 + (uint64_t)i) % used;

				each[w] += xe_terms_packet(&b->w[w], &ref[w], 0, 1, 800,
							   START + t) == XE_LIMIT_CNT;
			}
		for (int w = 0; w < used; w++) {
			got += each[w];
			xe_terms_give(&b->w[w], &ref[w]);
		}
		expect_about(got, 10000, 10, 2500, "shared");
	}
}

static void test_per_source(void **state)
{
	struct bench *b = *state;
	struct xe_terms_ref ref[4], again;
	uint32_t got[4] = {};

	set_rule(b, 0, "accept limit 1000pps limit 400pps per-source");
	for (uint32_t i = 0; i < 4; i++)
		ref[i] = flow(b, 0, 0, 100 + i);
	for (uint64_t t = 0; t < 10 * SEC; t += 100)
		got[0] += xe_terms_packet(&b->w[0], &ref[0], 0, 1, 800, START + t) == XE_LIMIT_CNT;
	expect_about(got[0], 400, 10, 100, "one source alone");
	assert_int_equal(xe_terms_packet(&b->w[0], &ref[0], 0, 1, 800, START + 10 * SEC - 1),
			 XE_LIMIT_SOURCE_PACKETS);
	/* A second flow of it has no bucket of its own. */
	again = flow(b, 0, 0, 100);
	assert_int_equal(again.source, ref[0].source);
	xe_terms_give(&b->w[0], &again);
	memset(got, 0, sizeof(got));
	for (uint64_t t = 10 * SEC; t < 20 * SEC; t += 100)
		for (uint64_t i = 0; i < 4; i++) {
			uint64_t n = (i + t / 100 * 2654435761u / 65536) % 4; /* any order */

			got[n] += xe_terms_packet(&b->w[0], &ref[n], 0, 1, 800, START + t) ==
				  XE_LIMIT_CNT;
		}
	expect_about(got[0] + got[1] + got[2] + got[3], 1000, 10, 250, "four sources together");
	for (int i = 0; i < 4; i++)
		assert_in_range(got[i], 2000, 3200); /* none starves */
	for (int i = 0; i < 4; i++)
		xe_terms_give(&b->w[0], &ref[i]);
	/* All places are free again, and a source that comes back later has a full bucket. */
	for (uint32_t i = 0; i <= b->w[0].index.mask; i++)
		assert_int_equal(b->w[0].index.slots[i], 0);
}

static void test_flows(void **state)
{
	struct bench *b = *state;
	struct xe_terms_ref ref;
	uint32_t got = 0;

	set_rule(b, 0, "accept limit 50flows");
	ref = flow(b, 0, 0, 1);
	for (int i = 0; i < 1000; i++)
		got += xe_terms_flow(&b->w[0], &ref, START) == XE_LIMIT_CNT;
	assert_in_range(got, 50, 51); /* a second's worth at once */
	assert_int_equal(xe_terms_flow(&b->w[0], &ref, START), XE_LIMIT_FLOWS);
	for (uint64_t t = 0; t < 10 * SEC; t += 1000)
		got += xe_terms_flow(&b->w[0], &ref, START + t) == XE_LIMIT_CNT;
	expect_about(got, 50, 10, 50, "new flows");
	xe_terms_give(&b->w[0], &ref);
	/* Packets of such a rule are nobody's matter. */
	assert_int_equal(xe_terms_packet(&b->w[0], &ref, 0, 1, 800, START), XE_LIMIT_CNT);
}

/* The largest rates and times there are do not overflow. */
static void test_extremes(void **state)
{
	struct bench *b = *state;
	struct xe_terms_ref ref;

	set_rule(b, 0, "accept limit 999999999gbit limit 999999999mpps limit 999999999flows");
	ref = flow(b, 0, 0, 1);
	for (uint64_t t = SEC; t < 1ull << 60; t *= 3) {
		assert_int_equal(xe_terms_packet(&b->w[0], &ref, 0, 45, 65000 * 8, t),
				 XE_LIMIT_CNT);
		assert_int_equal(xe_terms_flow(&b->w[0], &ref, t), XE_LIMIT_CNT);
		assert_true(b->w[0].credit[0][XE_LIMIT_BITS][0] > 0);
	}
	xe_terms_give(&b->w[0], &ref);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_rates),
		TEST(test_debt),
		TEST(test_directions_and_kinds),
		TEST(test_shared_by_workers),
		TEST(test_per_source),
		TEST(test_flows),
		TEST(test_extremes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
