/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* test_index.c - the hash index against a plain array, with hashes that make long runs, runs over
 * the end of the table, and equal hashes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "packet_fixture.h"
#include "state/index.h"

#define CAPACITY 512u
#define OPS      300000

struct entries {
	uint32_t key[CAPACITY], hash[CAPACITY];
	bool used[CAPACITY];
};

static bool equal(const void *table, uint32_t entry, const void *key)
{
	const struct entries *e = table;

	assert_in_range(entry, 0, CAPACITY - 1);
	return e->key[entry] == *(const uint32_t *)key;
}

/* 0 spreads as a keyed hash does; the others are what it must survive. */
static uint32_t bad_hash(int kind, uint32_t key)
{
	switch (kind) {
	case 0:
		return key * 0x9e3779b1u;
	case 1:
		return key % 16 * 3; /* few homes, equal hashes */
	case 2:
		return 1020 + key % 8; /* around the end of 1024 slots */
	default:
		return key << 12 | key % 5; /* same home, other hash */
	}
}

static void check_all(const struct xe_index *x, const struct entries *e, int kind)
{
	uint32_t slots = 0, used = 0;

	for (uint32_t i = 0; i < CAPACITY; i++) {
		if (!e->used[i])
			continue;
		used++;
		assert_int_equal(xe_index_find(x, bad_hash(kind, e->key[i]), e, &e->key[i], equal),
				 i);
	}
	for (uint32_t i = 0; i <= x->mask; i++)
		slots += x->slots[i] != 0;
	assert_int_equal(slots, used); /* no tombstones */
}

static void run(int kind, int ops)
{
	static struct entries e;
	struct xe_index x = {};

	memset(&e, 0, sizeof(e));
	assert_int_equal(xe_index_open(&x, CAPACITY), 0);
	assert_int_equal(x.mask, 2 * CAPACITY - 1);
	for (int i = 0; i < ops; i++) {
		uint32_t entry = (uint32_t)(lf_random() >> 30) % CAPACITY, key;

		if (e.used[entry]) {
			xe_index_del(&x, e.hash[entry], entry);
			e.used[entry] = false;
			assert_int_equal(xe_index_find(&x, e.hash[entry], &e, &e.key[entry], equal),
					 XE_NIL);
			xe_index_del(&x, e.hash[entry], entry); /* what is not there: nothing */
		} else {
			/* unique: the entry number is part of it */
			key = ((uint32_t)(lf_random() >> 40) & 0xffu) * CAPACITY + entry;
			e.key[entry] = key;
			e.hash[entry] = bad_hash(kind, key);
			e.used[entry] = true;
			xe_index_put(&x, e.hash[entry], entry);
			assert_int_equal(xe_index_find(&x, e.hash[entry], &e, &key, equal), entry);
		}
		if (i % 1009 == 0)
			check_all(&x, &e, kind);
	}
	check_all(&x, &e, kind);
	xe_index_close(&x);
	xe_index_close(&x);
}

static void test_spread(void **state)
{
	(void)state;
	run(0, OPS);
}

static void test_few_homes(void **state)
{
	(void)state;
	run(1, OPS / 10);
}

static void test_runs_over_the_end(void **state)
{
	(void)state;
	run(2, OPS / 10);
}

static void test_same_home(void **state)
{
	(void)state;
	run(3, OPS / 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_spread),
		cmocka_unit_test(test_few_homes),
		cmocka_unit_test(test_runs_over_the_end),
		cmocka_unit_test(test_same_home),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
