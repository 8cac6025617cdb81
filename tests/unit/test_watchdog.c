/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Watchdog beats: how often, and for which worker they stop. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "control/watchdog.h"

#define TICK_MS  100
#define PATIENCE (XE_WATCHDOG_PATIENCE_S * 1000 / TICK_MS)

static uint64_t beats[XE_MAX_WORKERS];

/* WatchdogSec=4: a beat each second. */
static void open_it(struct xe_watchdog *wd)
{
	char pid[16];

	snprintf(pid, sizeof(pid), "%d", getpid());
	setenv("WATCHDOG_USEC", "4000000", 1);
	setenv("WATCHDOG_PID", pid, 1);
	xe_watchdog_open(wd, TICK_MS);
}

/* Beats in so many ticks, in which the first `moving` of two workers move. */
static uint32_t run(struct xe_watchdog *wd, uint32_t ticks, uint32_t moving)
{
	uint32_t cnt = 0;

	for (uint32_t t = 0; t < ticks; t++) {
		for (uint32_t i = 0; i < moving; i++)
			beats[i]++;
		cnt += xe_watchdog_due(wd, beats, 2);
	}
	return cnt;
}

static void four_in_its_time(void **state)
{
	struct xe_watchdog wd;

	(void)state;
	open_it(&wd);
	assert_int_equal(run(&wd, 1, 2), 1); /* at once */
	assert_int_equal(run(&wd, 100, 2), 10);
}

static void nobody_waits(void **state)
{
	struct xe_watchdog wd;

	(void)state;
	unsetenv("WATCHDOG_USEC");
	xe_watchdog_open(&wd, TICK_MS);
	assert_int_equal(run(&wd, 100, 2), 0);
	/* meant for another process: its parent's */
	setenv("WATCHDOG_USEC", "4000000", 1);
	setenv("WATCHDOG_PID", "1", 1);
	xe_watchdog_open(&wd, TICK_MS);
	assert_int_equal(run(&wd, 100, 2), 0);
}

static void patience_with_a_worker(void **state)
{
	struct xe_watchdog wd;

	(void)state;
	open_it(&wd);
	run(&wd, 10, 2);
	assert_int_equal(run(&wd, PATIENCE, 1), PATIENCE / 10); /* a stall is not the end */
	assert_int_equal(run(&wd, 1000, 1), 0);                 /* a stuck worker is */
	assert_in_range(run(&wd, 100, 2), 9, 11);               /* it moves again */
	assert_int_equal(run(&wd, PATIENCE, 1), PATIENCE / 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(four_in_its_time),
		cmocka_unit_test(nobody_waits),
		cmocka_unit_test(patience_with_a_worker),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
