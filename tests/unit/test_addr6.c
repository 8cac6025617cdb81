/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* test_addr6.c - addresses by number: one number as long as it is held, none after, never more than
 * the table has; and what the session table makes of it. */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "packet_fixture.h"
#include "state/session.h"

#define CAPACITY 200u
#define POOL     600u
#define OPS      200000

static struct xe_addr address(uint32_t n)
{
	struct xe_addr a = {.w_be = {htonl(0x20010db8), 0, n % 7, htonl(n)}};

	return a;
}

static void test_one_number(void **state)
{
	struct xe_addr a = address(1), b = address(2);
	uint8_t odd[1 + sizeof(a)];
	struct xe_addr6_table t;
	uint32_t idx;

	(void)state;
	assert_int_equal(xe_addr6_open(&t, CAPACITY, 1, 2), 0);
	assert_int_equal(xe_addr6_find(&t, &a), XE_NIL);
	idx = xe_addr6_get(&t, &a);
	assert_int_not_equal(idx, XE_NIL);
	memcpy(odd + 1, &a, sizeof(a)); /* as it lies in a packet */
	assert_int_equal(xe_addr6_get(&t, odd + 1), idx);
	assert_int_equal(xe_addr6_find(&t, odd + 1), idx);
	assert_int_equal(xe_addr6_find(&t, &b), XE_NIL);
	assert_memory_equal(xe_addr6_at(&t, idx), &a, sizeof(a));
	assert_true(xe_addr6_is(&t, idx, odd + 1));
	assert_false(xe_addr6_is(&t, idx, &b));
	assert_int_not_equal(xe_addr6_get(&t, &b), idx);
	assert_int_equal(t.cnt, 2);
	xe_addr6_ref(&t, idx);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(xe_addr6_find(&t, &a), idx);
		xe_addr6_unref(&t, idx);
	}
	assert_int_equal(xe_addr6_find(&t, &a), XE_NIL);
	assert_int_equal(t.cnt, 1);
	xe_addr6_close(&t);
	xe_addr6_close(&t);
}

/* Against counting, to the brim: who is held is found, under the number it has had since; who is
 * not is not. */
static void test_random_operations(void **state)
{
	static uint32_t refs[POOL], idx[POOL];
	struct xe_addr6_table t;
	uint32_t held = 0, full = 0;

	(void)state;
	memset(refs, 0, sizeof(refs));
	assert_int_equal(xe_addr6_open(&t, CAPACITY, lf_random(), lf_random()), 0);
	for (int i = 0; i < OPS; i++) {
		uint32_t n = (uint32_t)(lf_random() >> 33) % POOL, got;
		struct xe_addr a = address(n);

		assert_int_equal(xe_addr6_find(&t, &a), refs[n] ? idx[n] : XE_NIL);
		/* towards full for a while, then towards empty */
		if (lf_random() % 8 < (i / 20000 % 2 ? 5u : 3u)) {
			if (!refs[n])
				continue;
			xe_addr6_unref(&t, idx[n]);
			held -= !--refs[n];
		} else {
			got = xe_addr6_get(&t, &a);
			assert_int_equal(got == XE_NIL, !refs[n] && held == CAPACITY);
			if (got == XE_NIL) {
				full++;
				continue;
			}
			assert_true(got < CAPACITY);
			if (refs[n])
				assert_int_equal(got, idx[n]);
			assert_memory_equal(xe_addr6_at(&t, got), &a, sizeof(a));
			idx[n] = got;
			held += !refs[n]++;
		}
		assert_int_equal(t.cnt, held);
	}
	assert_true(full > 100);
	for (uint32_t n = 0; n < POOL; n++)
		while (refs[n]--)
			xe_addr6_unref(&t, idx[n]);
	assert_int_equal(t.cnt, 0);
	for (uint32_t i = 0; i <= t.index.mask; i++)
		assert_int_equal(t.index.slots[i], 0);
	xe_addr6_close(&t);
}

static struct xe_tuple4 tuple(uint32_t src, uint32_t dst, uint16_t sport, uint16_t port)
{
	return (struct xe_tuple4){
		.src_be = src,
		.dst_be = dst,
		.sport_be = sport,
		.dport_be = 443,
		.port = port,
		.proto = 6,
		.family = XE_FAMILY_6,
	};
}

/* A session's hash is that of its addresses in full, its family tells it from an IPv4 one with the
 * same 16 bytes otherwise, and it holds its addresses. */
static void test_sessions(void **state)
{
	struct xe_addr host = address(10), peer = address(11), ext = address(12), other;
	struct xe_tuple4 out, back, four;
	struct xe_sessions t;
	struct xe_session *s;
	uint32_t src, dst, ext_idx;
	enum xe_dir dir;

	(void)state;
	assert_int_equal(xe_sessions_open(&t, 64, 5, 6), 0);
	src = xe_addr6_get(&t.addr6, &host);
	dst = xe_addr6_get(&t.addr6, &peer);
	ext_idx = xe_addr6_get(&t.addr6, &ext);
	out = tuple(src, dst, 1000, 3);
	back = tuple(dst, ext_idx, 443, XE_PORT_ANYUPLINK);
	assert_int_equal(xe_session_hash(&t, &out), xe_flow_hash6(&out, &host, &peer, 5, 6));
	for (int bit = 0; bit < 256; bit++) { /* every bit of both addresses counts */
		struct xe_addr pair[2] = {host, peer};

		pair[bit / 128].b[bit / 8 % 16] ^= (uint8_t)(1u << bit % 8);
		assert_int_not_equal(xe_flow_hash6(&out, &pair[0], &pair[1], 5, 6),
				     xe_session_hash(&t, &out));
	}
	s = xe_session_new(&t, &out, &back);
	assert_non_null(s);
	xe_addr6_unref(&t.addr6, src);
	xe_addr6_unref(&t.addr6, dst);
	xe_addr6_unref(&t.addr6, ext_idx);
	assert_int_equal(t.addr6.cnt, 3);
	assert_ptr_equal(xe_session_find(&t, &out, xe_session_hash(&t, &out), &dir), s);
	assert_int_equal(dir, XE_DIR_OUT);
	assert_ptr_equal(xe_session_find(&t, &back, xe_session_hash(&t, &back), &dir), s);
	assert_int_equal(dir, XE_DIR_BACK);
	four = out;
	four.family = XE_FAMILY_4;
	assert_null(xe_session_find(&t, &four, xe_session_hash(&t, &four), &dir));
	assert_null(xe_session_find(&t, &four, xe_session_hash(&t, &out), &dir));
	other = xe_tuple_addr(&t, out.family, out.dst_be);
	assert_memory_equal(&other, &peer, sizeof(peer));
	other = xe_tuple_addr(&t, XE_FAMILY_4, htonl(0xc0000201));
	assert_int_equal(other.w_be[3], htonl(0xc0000201));
	assert_int_equal(other.w_be[2], htonl(0xffff));
	assert_int_equal(xe_tuple4_reverse(&out, 0).family, XE_FAMILY_6);
	xe_session_free(&t, s);
	assert_int_equal(t.addr6.cnt, 0);
	xe_sessions_close(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_number),
		cmocka_unit_test(test_random_operations),
		cmocka_unit_test(test_sessions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
