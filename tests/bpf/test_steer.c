/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_steer.c - the steering program, one packet at a time.
 *
 * Every case hands named packets (frames.h) to the real program over the service's own maps
 * (rig.h), in a network namespace with real routes (steer_net.h), and says the one reason that each
 * packet must be counted under. Exit code 77: skipped, not root.
 */
#include "cases.h"

#include <unistd.h>

#define CASE_TEST(name) cmocka_unit_test_setup(name, rig_reset),

int main(void)
{
	const struct CMUnitTest tests[] = {CASES(CASE_TEST)};

	if (geteuid()) {
		fprintf(stderr, "test_steer: needs root (BPF, network namespaces): skipped\n");
		return 77;
	}
	return cmocka_run_group_tests_name("steer", tests, rig_open, rig_close);
}
