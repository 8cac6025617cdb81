/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_nat_range.c - the L4 ports of a rule that names none, whatever ip_local_port_range is.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "control/nat_range.h"

static const struct {
	uint16_t local_min, local_max;
	bool apart;
	uint16_t min, max;
} cases[] = {
	{0, 0, true, 1024, 32767}, /* not known */
	{32768, 60999, true, 1024, 32767}, {32767, 60999, true, 1024, 32766},
	{61000, 65535, true, 1024, 32767}, {1, 1023, true, 1024, 32767},
	{1, 1024, true, 1025, 32767},      {10000, 65535, true, 1024, 9999},
	{5120, 65535, true, 1024, 5119},                                      /* 4096 */
	{5119, 65535, false, 1024, 32767}, {1024, 28671, true, 28672, 32767}, /* 4096 */
	{1024, 28672, false, 1024, 32767}, {1024, 65535, false, 1024, 32767},
	{1024, 65000, false, 1024, 32767}, /* what is left above is the kernel's masquerade's */
	{15000, 20000, true, 1024, 14999}, {10000, 20000, true, 20001, 32767},
	{1024, 32767, false, 1024, 32767},
};

static void test_default(void **state)
{
	uint16_t min, max;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(
			xe_nat_range_default(cases[i].local_min, cases[i].local_max, &min, &max),
			cases[i].apart);
		assert_int_equal(min, cases[i].min);
		assert_int_equal(max, cases[i].max);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_default)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
