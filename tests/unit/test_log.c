/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The log: repeated lines are counted, priorities are for the journal only. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/log.h"

static char said[65536];
static time_t ahead_s; /* the clock, before its time */

int clock_gettime(clockid_t clock, struct timespec *ts)
{
	long ret = syscall(SYS_clock_gettime, clock, ts);

	ts->tv_sec += ahead_s;
	return (int)ret;
}

/* What fn says, in a process of its own: whether stderr is the journal is looked at once. */
static void hear(void (*fn)(void), bool journal)
{
	FILE *f = tmpfile();
	char stream[64];
	struct stat st;
	size_t len;
	int status;
	pid_t pid;

	assert_non_null(f);
	assert_int_equal(fstat(fileno(f), &st), 0);
	snprintf(stream, sizeof(stream), "%llu:%llu", (unsigned long long)st.st_dev,
		 (unsigned long long)st.st_ino + !journal);
	pid = fork();
	if (!pid) {
		dup2(fileno(f), STDERR_FILENO);
		setenv("JOURNAL_STREAM", stream, 1);
		fn();
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	rewind(f);
	len = fread(said, 1, sizeof(said) - 1, f);
	said[len] = '\0';
	fclose(f);
}

static uint32_t lines(void)
{
	uint32_t cnt = 0;

	for (const char *c = said; *c; c++)
		cnt += *c == '\n';
	return cnt;
}

static void one_of_each(void)
{
	xe_log_err("a %d", 1);
	xe_log_warn("b");
	xe_log_info("c");
	xe_log_debug("not wanted");
	xe_log_audit("uid=%d", 7);
}

static void priorities_for_the_journal(void **state)
{
	(void)state;
	hear(one_of_each, true);
	assert_string_equal(said, "<3>error: a 1\n<4>warning: b\n<6>c\n<6>audit: uid=7\n");
	hear(one_of_each, false); /* inherited from a service: stderr is another file */
	assert_string_equal(said, "xegressd: error: a 1\nxegressd: warning: b\nxegressd: c\n"
				  "xegressd: audit: uid=7\n");
}

static void far_too_much(void)
{
	for (int i = 0; i < 1000; i++)
		xe_log_warn("flap %d", i);
	xe_log_info("another place");
	xe_log_flush(false); /* its time is not over */
	xe_log_flush(true);
	xe_log_flush(true); /* said once */
}

static void repeated_lines_are_counted(void **state)
{
	char want[128];

	(void)state;
	hear(far_too_much, false);
	assert_int_equal(lines(), XE_LOG_BURST + 2);
	snprintf(want, sizeof(want), "warning: flap %d\nxegressd: another place\n",
		 XE_LOG_BURST - 1);
	assert_non_null(strstr(said, want));
	snprintf(want, sizeof(want), "warning: %d more like this: flap 999\n", 1000 - XE_LOG_BURST);
	assert_non_null(strstr(said, want));
}

static void waits(void)
{
	for (int i = 0; i < XE_LOG_BURST + 3; i++) {
		if (i == XE_LOG_BURST + 2)
			ahead_s = XE_LOG_WINDOW_S + 1;
		xe_log_info("flap");
	}
	xe_log_flush(true);
}

static void a_new_time_begins(void **state)
{
	(void)state;
	hear(waits, false);
	assert_int_equal(lines(), XE_LOG_BURST + 2);
	assert_non_null(strstr(said, "2 more like this: flap\nxegressd: flap\n"));
}

static void audits(void)
{
	for (int i = 0; i < 10 * XE_LOG_BURST; i++)
		xe_log_audit("%d", i);
}

static void audit_lines_are_all_said(void **state)
{
	(void)state;
	hear(audits, false);
	assert_int_equal(lines(), 10 * XE_LOG_BURST);
}

static void long_one(void)
{
	char text[3000];

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	for (int i = 0; i < XE_LOG_BURST + 1; i++)
		xe_log_info("%s", text);
	xe_log_flush(true);
}

static void long_lines_are_cut(void **state)
{
	(void)state;
	hear(long_one, false);
	assert_int_equal(lines(), XE_LOG_BURST + 1);
	assert_int_equal(strcspn(said, "\n"), 1022);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(priorities_for_the_journal),
		cmocka_unit_test(repeated_lines_are_counted),
		cmocka_unit_test(a_new_time_begins),
		cmocka_unit_test(audit_lines_are_all_said),
		cmocka_unit_test(long_lines_are_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
