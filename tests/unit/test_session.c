/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_session.c - the session table against an obvious one: a list of what should be in it,
 * searched by comparing keys.
 */
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "packet_fixture.h"
#include "state/session.h"

#define CAPACITY 3000u
#define OPS      200000

/* Keys come from a small space, so that finding, missing and coming again all happen. */
#define KEY_SPACE 6000u

static struct xe_tuple4 out_key(uint32_t n)
{
	return (struct xe_tuple4){
		.src_be = n * 7919,
		.dst_be = 0x01020304,
		.sport_be = (uint16_t)n,
		.dport_be = 80,
		.port = (uint16_t)(n & 3),
		.proto = n & 1 ? IPPROTO_TCP : IPPROTO_UDP,
	};
}

/* The other direction differs from it in one bit of one field for neighbours. */
static struct xe_tuple4 back_key(uint32_t n)
{
	return (struct xe_tuple4){
		.src_be = 0x01020304,
		.dst_be = 0x05060708,
		.sport_be = 80,
		.dport_be = (uint16_t)n,
		.port = XE_PORT_ANYUPLINK,
		.proto = n & 1 ? IPPROTO_TCP : IPPROTO_UDP,
	};
}

static struct xe_session *find(const struct xe_sessions *t, struct xe_tuple4 key, enum xe_dir *dir)
{
	return xe_session_find(t, &key, xe_session_hash(t, &key), dir);
}

static void expect_there(const struct xe_sessions *t, uint32_t n, const struct xe_session *s)
{
	enum xe_dir dir = 9;

	assert_ptr_equal(find(t, out_key(n), &dir), s);
	if (s)
		assert_int_equal(dir, XE_DIR_OUT);
	assert_ptr_equal(find(t, back_key(n), &dir), s);
	if (s)
		assert_int_equal(dir, XE_DIR_BACK);
}

/* Each bucket counts the keys that are in their second one in place of it. */
static void expect_away(const struct xe_sessions *t)
{
	uint32_t *away = calloc(t->bucket_mask + 1ul, sizeof(*away));

	for (uint32_t b = 0; b <= t->bucket_mask; b++) {
		for (int i = 0; i < XE_BUCKET_SLOTS; i++) {
			uint32_t ref = t->buckets[b].ref[i], first;

			if (!t->buckets[b].tag[i])
				continue;
			first = xe_live_first(xe_session_hash(t, &t->slots[ref >> 1].key[ref & 1]),
					      t->bucket_mask);
			away[first] += first != b;
		}
	}
	for (uint32_t b = 0; b <= t->bucket_mask; b++)
		assert_int_equal(t->buckets[b].away, away[b]);
	free(away);
}

static void test_random_operations(void **state)
{
	struct xe_session **reference = calloc(KEY_SPACE, sizeof(*reference));
	struct xe_sessions t;
	uint32_t cnt = 0;

	(void)state;
	assert_int_equal(xe_sessions_open(&t, CAPACITY, lf_random(), lf_random()), 0);
	for (int i = 0; i < OPS; i++) {
		uint32_t n = (uint32_t)(lf_random() >> 20) % KEY_SPACE;
		struct xe_tuple4 out = out_key(n), back = back_key(n);

		expect_there(&t, n, reference[n]);
		/* more coming than going, so that it is full half of the time */
		if (reference[n] && lf_random() >> 62) {
			xe_session_free(&t, reference[n]);
			reference[n] = NULL;
			cnt--;
		} else if (!reference[n]) {
			reference[n] = xe_session_new(&t, &out, &back);
			assert_int_equal(reference[n] != NULL, cnt < CAPACITY);
			cnt += reference[n] != NULL;
		}
		assert_int_equal(t.cnt, cnt);
	}
	for (uint32_t n = 0; n < KEY_SPACE; n++)
		expect_there(&t, n, reference[n]);
	expect_away(&t);
	assert_true(t.high <= CAPACITY);
	xe_sessions_close(&t);
	free(reference);
}

/* The index must never be what is full: capacity is reached, each time with other keys. */
static void test_capacity_is_reached(void **state)
{
	static const uint32_t capacities[] = {1, 2, 63, 64, 65, 1000, 4096, 65536, 131072};

	(void)state;
	for (size_t i = 0; i < sizeof(capacities) / sizeof(capacities[0]); i++) {
		uint32_t capacity = capacities[i];
		struct xe_tuple4 out, back;
		struct xe_sessions t;

		assert_int_equal(xe_sessions_open(&t, capacity, lf_random(), lf_random()), 0);
		for (uint32_t n = 0; n < capacity; n++) {
			out = out_key(n);
			back = back_key(n);
			back.src_be += n >> 16; /* the L4 port alone has 65536 values */
			assert_non_null(xe_session_new(&t, &out, &back));
		}
		out = out_key(capacity);
		back = back_key(0);
		back.src_be--;
		assert_null(xe_session_new(&t, &out, &back));
		assert_int_equal(t.cnt, capacity);
		xe_session_free(&t, &t.slots[capacity / 2]);
		assert_non_null(xe_session_new(&t, &out, &back));
		xe_sessions_close(&t);
	}
}

static void test_new_is_zeroed_and_aligned(void **state)
{
	struct xe_tuple4 out = out_key(1), back = back_key(1);
	struct xe_session *s, *again, want = {};
	struct xe_sessions t;

	(void)state;
	assert_int_equal(xe_sessions_open(&t, 4, 1, 2), 0);
	s = xe_session_new(&t, &out, &back);
	assert_int_equal((uintptr_t)s % 64, 0);
	memset((uint8_t *)s + sizeof(s->key), 0xff, sizeof(*s) - sizeof(s->key));
	xe_session_free(&t, s);
	again = xe_session_new(&t, &out, &back);
	assert_ptr_equal(again, s); /* the slot last freed is the one still in cache */
	want.key[0] = out;
	want.key[1] = back;
	want.timer_prev = XE_NIL; /* in no list */
	assert_memory_equal(again, &want, sizeof(want));
	xe_sessions_close(&t);
	xe_sessions_close(&t);
}

/* A table of 64 buckets, and keys sought for it whose two buckets are `first` and `second`. */
static struct xe_tuple4 key_in(const struct xe_sessions *t, uint32_t first, uint32_t second,
			       uint32_t *from)
{
	for (;; ++*from) {
		struct xe_tuple4 key = {.src_be = *from, .dst_be = 0xffffffff, .proto = 6};
		uint64_t hash = xe_session_hash(t, &key);

		if (xe_live_first(hash, t->bucket_mask) != first ||
		    xe_live_second(hash, t->bucket_mask) != second)
			continue;
		++*from;
		return key;
	}
}

static uint32_t index_entries(const struct xe_sessions *t)
{
	uint32_t n = 0;

	for (uint32_t b = 0; b <= t->bucket_mask; b++)
		for (int i = 0; i < XE_BUCKET_SLOTS; i++)
			n += t->buckets[b].tag[i] != 0;
	return n;
}

/* The ninth key of a bucket goes to its second one, is found there, stays there when the first has
 * room again; the seventeenth is refused, which leaves no trace; then one leaves and it fits. */
static void test_bucket_overflow(void **state)
{
	struct xe_session *s[2 * XE_BUCKET_SLOTS + 1];
	struct xe_tuple4 key[2 * XE_BUCKET_SLOTS + 1], before[2];
	struct xe_sessions t;
	uint32_t from = 1;
	enum xe_dir dir;

	(void)state;
	assert_int_equal(xe_sessions_open(&t, 64, 3, 4), 0);
	for (int i = 0; i <= 2 * XE_BUCKET_SLOTS; i++)
		key[i] = key_in(&t, 5, 9, &from);
	for (int i = 0; i < 2 * XE_BUCKET_SLOTS; i++) {
		struct xe_tuple4 back = back_key((uint32_t)i);

		s[i] = xe_session_new(&t, &key[i], &back);
		assert_non_null(s[i]);
		for (int n = 0; n <= i; n++)
			assert_ptr_equal(find(&t, key[n], &dir), s[n]);
	}
	before[0] = key[2 * XE_BUCKET_SLOTS];
	before[1] = back_key(100);
	/* as the first key, and as the second, when the first one has been put in already */
	assert_null(xe_session_new(&t, &before[0], &before[1]));
	assert_null(xe_session_new(&t, &before[1], &before[0]));
	assert_int_equal(t.cnt, 2 * XE_BUCKET_SLOTS);
	assert_int_equal(index_entries(&t), 2 * t.cnt);
	assert_null(find(&t, before[0], &dir));
	assert_null(find(&t, before[1], &dir));
	xe_session_free(&t, s[0]);
	for (int n = 1; n < 2 * XE_BUCKET_SLOTS; n++)
		assert_ptr_equal(find(&t, key[n], &dir), s[n]);
	s[0] = xe_session_new(&t, &before[0], &before[1]);
	assert_non_null(s[0]);
	assert_ptr_equal(find(&t, before[0], &dir), s[0]);
	expect_away(&t);
	xe_session_free(&t, s[XE_BUCKET_SLOTS]);
	assert_null(find(&t, key[XE_BUCKET_SLOTS], &dir));
	expect_away(&t);
	xe_sessions_close(&t);
}

/* Both buckets of a key are full, but what stands in the first can go elsewhere: it goes, is found
 * there, and the new key fits. */
static void test_full_buckets_make_room(void **state)
{
	struct xe_session *s[2 * XE_BUCKET_SLOTS + 1];
	struct xe_tuple4 key[2 * XE_BUCKET_SLOTS + 1];
	struct xe_sessions t;
	uint32_t from = 1;
	enum xe_dir dir;

	(void)state;
	assert_int_equal(xe_sessions_open(&t, 64, 3, 4), 0);
	for (int i = 0; i <= 2 * XE_BUCKET_SLOTS; i++) {
		struct xe_tuple4 back = back_key((uint32_t)i);

		if (i < 2 * XE_BUCKET_SLOTS)
			key[i] = key_in(&t, i < XE_BUCKET_SLOTS ? 5 : 9, 20, &from);
		else
			key[i] = key_in(&t, 5, 9, &from);
		s[i] = xe_session_new(&t, &key[i], &back);
		assert_non_null(s[i]);
	}
	assert_int_equal(index_entries(&t), 2 * t.cnt);
	expect_away(&t);
	for (int i = 0; i <= 2 * XE_BUCKET_SLOTS; i++)
		assert_ptr_equal(find(&t, key[i], &dir), s[i]);
	for (int i = 0; i <= 2 * XE_BUCKET_SLOTS; i++)
		xe_session_free(&t, s[i]);
	assert_int_equal(index_entries(&t), 0);
	expect_away(&t);
	xe_sessions_close(&t);
}

/* Every bit of a key counts. */
static void test_keys_differ_in_one_bit(void **state)
{
	struct xe_tuple4 out = out_key(77), back = back_key(77), other;
	struct xe_sessions t;
	enum xe_dir dir;

	(void)state;
	assert_int_equal(xe_sessions_open(&t, 64, 5, 6), 0);
	assert_non_null(xe_session_new(&t, &out, &back));
	for (uint32_t bit = 0; bit < 8 * offsetof(struct xe_tuple4, family); bit++) {
		other = out;
		((uint8_t *)&other)[bit / 8] ^= (uint8_t)(1u << bit % 8);
		assert_null(find(&t, other, &dir));
		assert_int_not_equal(xe_session_hash(&t, &other), xe_session_hash(&t, &out));
	}
	xe_sessions_close(&t);
}

/* Two tables, one budget: what one does not need the other has, and never more than all together.
 */
static void test_budget(void **state)
{
	enum { ALL = 6400 };
	struct xe_session_budget b;
	struct xe_sessions t[2];
	uint32_t made[2] = {}, n = 0;

	(void)state;
	assert_int_equal(xe_session_capacity(ALL, 1), ALL);
	assert_int_equal(xe_session_capacity(ALL, 2), ALL);
	assert_int_equal(xe_session_capacity(ALL, 4), ALL / 2);
	assert_int_equal(xe_session_capacity(65, 3), 42);
	xe_session_budget_init(&b, ALL, 2);
	assert_int_equal(b.piece, 50);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(xe_sessions_open(&t[i], xe_session_capacity(ALL, 2), 1, 2), 0);
		xe_sessions_share(&t[i], &b, ALL / 2);
		assert_int_equal(xe_sessions_max(&t[i]), ALL - b.reserve);
	}
	for (; !xe_sessions_are_full(&t[0]); n++) {
		struct xe_tuple4 out = out_key(n), back = back_key(n);

		made[0] += xe_session_new(&t[0], &out, &back) != NULL;
	}
	assert_int_equal(t[0].cnt, ALL); /* twice its part, all that there is */
	assert_int_equal(made[0], ALL);
	assert_true(xe_sessions_are_full(&t[1]));
	assert_int_equal(xe_sessions_max(&t[1]), 0);
	/* what ends here may begin there, but for two pieces that stay at hand */
	for (uint32_t i = 0; i < 1000; i++)
		xe_session_free(&t[0], &t[0].slots[i]);
	for (; !xe_sessions_are_full(&t[1]); n++) {
		struct xe_tuple4 out = out_key(n), back = back_key(n);

		made[1] += xe_session_new(&t[1], &out, &back) != NULL;
	}
	assert_in_range(made[1], 1000 - 2 * b.piece, 1000);
	assert_int_equal(t[0].allowed + t[1].allowed + b.left, ALL);
	/* beyond its part a new flow leaves the reserve to who has less */
	for (uint32_t i = 0; i < ALL; i++)
		if (t[0].slots[i].key[0].proto)
			xe_session_free(&t[0], &t[0].slots[i]);
	for (uint32_t have = t[1].cnt; xe_sessions_have_room(&t[1]); n++, have++) {
		struct xe_tuple4 out = out_key(n), back = back_key(n);

		assert_int_equal(xe_sessions_max(&t[1]), ALL - t[0].allowed - b.reserve);
		made[1] = have + (xe_session_new(&t[1], &out, &back) != NULL);
	}
	assert_int_equal(made[1], ALL - t[0].allowed - b.reserve);
	assert_int_equal(b.left, b.reserve);
	assert_true(xe_sessions_owe(&t[0]) || xe_sessions_have_room(&t[0]));
	/* at random, against the sum */
	for (int i = 0; i < OPS; i++) {
		struct xe_sessions *one = &t[lf_random() >> 63];

		if (lf_random() >> 63 && one->cnt) {
			uint32_t at = (uint32_t)(lf_random() >> 32) % one->high;

			if (one->slots[at].key[0].proto)
				xe_session_free(one, &one->slots[at]);
		} else if (!xe_sessions_are_full(one)) {
			struct xe_tuple4 out = out_key(n), back = back_key(n);

			n++;
			xe_session_new(one, &out, &back);
		}
		assert_int_equal(t[0].allowed + t[1].allowed + b.left, ALL);
		assert_true(t[0].cnt <= t[0].allowed && t[1].cnt <= t[1].allowed);
		assert_true(one->allowed - one->cnt < 2 * b.piece);
	}
	for (int i = 0; i < 2; i++)
		xe_sessions_close(&t[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random_operations),
		cmocka_unit_test(test_capacity_is_reached),
		cmocka_unit_test(test_budget),
		cmocka_unit_test(test_new_is_zeroed_and_aligned),
		cmocka_unit_test(test_bucket_overflow),
		cmocka_unit_test(test_full_buckets_make_room),
		cmocka_unit_test(test_keys_differ_in_one_bit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
