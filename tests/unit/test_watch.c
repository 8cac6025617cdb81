/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_watch.c - what the watch remembers of what it finds: told as long as it is so, logged when
 * it begins, changes and ends, and not in between.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/log.h"
#include "control/watch.h"
#include "control/watch_state.h"

static struct xe_service svc;
static char told[4096];
static uint32_t told_cnt;

static int setup(void **state)
{
	(void)state;
	return xe_watch_open(&svc);
}

static int teardown(void **state)
{
	(void)state;
	xe_watch_close(&svc);
	return 0;
}

static void collect(void *ctx, const char *line)
{
	(void)ctx;
	snprintf(told + strlen(told), sizeof(told) - strlen(told), "%s\n", line);
	told_cnt++;
}

static uint32_t tell(void)
{
	told[0] = '\0';
	told_cnt = 0;
	xe_watch_tell(&svc, collect, NULL);
	return told_cnt;
}

/* A look that finds `why`, or nothing; how many lines it logs. */
static int look(enum xe_watch_part part, const char *what, const char *why)
{
	int pipe_fd[2], err_fd = dup(2), lines = 0;
	char text[4096];
	ssize_t n;

	assert_int_equal(pipe(pipe_fd), 0);
	dup2(pipe_fd[1], 2);
	xe_watch_begin(svc.watch, part);
	if (why)
		xe_watch_found(svc.watch, part, 0, what, "%s", why);
	xe_watch_end(svc.watch, part);
	fflush(stderr);
	dup2(err_fd, 2);
	close(err_fd);
	close(pipe_fd[1]);
	while ((n = read(pipe_fd[0], text, sizeof(text))) > 0)
		for (ssize_t i = 0; i < n; i++)
			lines += text[i] == '\n';
	close(pipe_fd[0]);
	return lines;
}

static void test_begins_lasts_ends(void **state)
{
	(void)state;
	assert_int_equal(look(XE_WATCH_PUNT, "punt device a", NULL), 0);
	assert_int_equal(look(XE_WATCH_PUNT, "punt device a", "it was deleted"), 1);
	assert_int_equal(tell(), 1);
	assert_non_null(strstr(told, "punt device a: it was deleted (noticed "));
	for (int i = 0; i < 3; i++)
		assert_int_equal(look(XE_WATCH_PUNT, "punt device a", "it was deleted"), 0);
	assert_int_equal(look(XE_WATCH_PUNT, "punt device a", "it was set down"), 1);
	assert_int_equal(tell(), 1);
	assert_non_null(strstr(told, "set down"));
	/* another part's look is not about it */
	assert_int_equal(look(XE_WATCH_RPS, "port b's rps_cpus", NULL), 0);
	assert_int_equal(tell(), 1);
	assert_int_equal(look(XE_WATCH_PUNT, "punt device a", NULL), 1);
	assert_int_equal(tell(), 0);
}

static void test_repaired(void **state)
{
	(void)state;
	xe_watch_begin(svc.watch, XE_WATCH_RPS);
	xe_watch_found(svc.watch, XE_WATCH_RPS, 0, "port b's rps_cpus", "changed");
	xe_watch_over(svc.watch, XE_WATCH_RPS, "port b's rps_cpus");
	xe_watch_end(svc.watch, XE_WATCH_RPS);
	assert_int_equal(tell(), 0);
}

/* What `status` sees for itself, and what is only a note, is not told to it. */
static void test_told_elsewhere(void **state)
{
	(void)state;
	xe_watch_found(svc.watch, XE_WATCH_NET, XE_WATCH_QUIET, "safety net", "gone");
	xe_watch_found(svc.watch, XE_WATCH_SETTINGS, XE_WATCH_NOTE, "rp-filter", "strict");
	assert_int_equal(tell(), 0);
}

/* Two settings wrong under one name, and one of them right again. */
static void test_settings(void **state)
{
	(void)state;
	for (int round = 0; round < 2; round++) {
		xe_watch_begin(svc.watch, XE_WATCH_SETTINGS);
		xe_watch_found(svc.watch, XE_WATCH_SETTINGS, 0, "forwarding", "one");
		if (!round)
			xe_watch_found(svc.watch, XE_WATCH_SETTINGS, 0, "forwarding", "two");
		xe_watch_end(svc.watch, XE_WATCH_SETTINGS);
		assert_int_equal(tell(), 2 - round);
	}
	assert_non_null(strstr(told, "one"));
}

/* A host's ports may all be hit at once: bounded, and they end like any other. */
static void test_many(void **state)
{
	char what[32];

	(void)state;
	xe_watch_begin(svc.watch, XE_WATCH_RPS);
	for (int i = 0; i < 2 * XE_WATCH_FINDINGS; i++) {
		snprintf(what, sizeof(what), "port %d", i);
		xe_watch_found(svc.watch, XE_WATCH_RPS, 0, what, "changed");
	}
	xe_watch_end(svc.watch, XE_WATCH_RPS);
	assert_int_equal(svc.watch->finding_cnt, XE_WATCH_FINDINGS);
	xe_watch_begin(svc.watch, XE_WATCH_RPS);
	xe_watch_end(svc.watch, XE_WATCH_RPS);
	assert_int_equal(svc.watch->finding_cnt, 0);
}

int main(void)
{
#define WATCH_TEST(t) cmocka_unit_test_setup_teardown(t, setup, teardown)
	const struct CMUnitTest tests[] = {
		WATCH_TEST(test_begins_lasts_ends),
		WATCH_TEST(test_repaired),
		WATCH_TEST(test_told_elsewhere),
		WATCH_TEST(test_settings),
		WATCH_TEST(test_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
