/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* test_source.c - sessions per source: the limit holds exactly, per address and port, and what is
 * given back can be had again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "packet_fixture.h"
#include "state/source.h"

#define CAPACITY 300u
#define OPS      100000

static void test_limit(void **state)
{
	struct xe_sources t;
	uint32_t a, b;

	(void)state;
	assert_int_equal(xe_sources_open(&t, CAPACITY, 1, 2), 0);
	a = xe_source_take(&t, 0, 0x0100010a, 1, 3);
	assert_int_not_equal(a, XE_NIL);
	assert_int_equal(xe_source_take(&t, 0, 0x0100010a, 1, 3), a);
	assert_int_equal(xe_source_take(&t, 0, 0x0100010a, 1, 3), a);
	assert_int_equal(xe_source_take(&t, 0, 0x0100010a, 1, 3), XE_NIL);
	/* the same address on another port is another source; a raised limit is in force at once */
	b = xe_source_take(&t, 0, 0x0100010a, 2, 3);
	assert_int_not_equal(b, XE_NIL);
	assert_int_not_equal(b, a);
	assert_int_equal(xe_source_take(&t, 0, 0x0100010a, 1, 4), a);
	assert_int_equal(xe_source_take(&t, 0, 0x0100010a, 1, 4), XE_NIL);
	for (int i = 0; i < 4; i++)
		xe_source_give(&t, a);
	for (int i = 0; i < 3; i++)
		assert_int_not_equal(xe_source_take(&t, 0, 0x0100010a, 1, 3), XE_NIL);
	assert_int_equal(xe_source_take(&t, 0, 0x0100010a, 1, 3), XE_NIL);
	xe_sources_close(&t);
	xe_sources_close(&t);
}

/* Against counting. As many sessions as slots at most, as the session table sees to. */
static void test_random_operations(void **state)
{
	static uint32_t cnt[1000], slot[1000];
	struct xe_sources t;
	uint32_t total = 0;

	(void)state;
	assert_int_equal(xe_sources_open(&t, CAPACITY, 3, 4), 0);
	for (int i = 0; i < OPS; i++) {
		uint32_t n = (uint32_t)(lf_random() >> 30) % 1000, got;

		if (cnt[n] && lf_random() >> 63) {
			xe_source_give(&t, slot[n]);
			cnt[n]--;
			total--;
		} else if (total < CAPACITY) {
			got = xe_source_take(&t, 0, n / 2, n % 2, 5);
			assert_int_equal(got != XE_NIL, cnt[n] < 5);
			if (got == XE_NIL)
				continue;
			assert_true(!cnt[n] || slot[n] == got);
			slot[n] = got;
			assert_int_equal(t.slots[got].sessions, ++cnt[n]);
			total++;
		}
	}
	xe_sources_close(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_limit),
		cmocka_unit_test(test_random_operations),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
