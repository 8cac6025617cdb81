/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_deny.c - deny lists: files read with their errors, rules and files made one sorted list.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "state/deny.h"

static char path[] = "/tmp/xegress-deny-XXXXXX";

static int make_file(void **state)
{
	int fd = mkstemp(path);

	(void)state;
	return fd < 0 ? -1 : close(fd);
}

static int remove_file(void **state)
{
	(void)state;
	return unlink(path);
}

static void write_file(const char *text)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	fputs(text, f);
	assert_int_equal(fclose(f), 0);
}

static void test_read(void **state)
{
	struct xe_deny_list list;
	char err[512], text[64];

	(void)state;
	write_file("# bad networks\n\n203.0.113.0/24\n  198.18.0.1\t# one host\r\n2001:db8::/32\n"
		   "10.0.0.0/8");
	assert_int_equal(xe_deny_read(path, &list, err, sizeof(err)), 0);
	assert_int_equal(list.cnt, 4);
	xe_prefix_print(&list.prefixes[1], text, sizeof(text));
	assert_string_equal(text, "198.18.0.1");
	xe_prefix_print(&list.prefixes[2], text, sizeof(text));
	assert_string_equal(text, "2001:db8::/32");
	xe_prefix_print(&list.prefixes[3], text, sizeof(text));
	assert_string_equal(text, "10.0.0.0/8");
	xe_deny_list_free(&list);
	write_file("");
	assert_int_equal(xe_deny_read(path, &list, err, sizeof(err)), 0);
	assert_int_equal(list.cnt, 0);
	xe_deny_list_free(&list);
}

/* File and line, what was expected, and not a word of what the line says. */
static void test_read_errors(void **state)
{
	static const struct {
		const char *text;
		int line;
	} bad[] = {
		{"10.0.0.0/8\nsecret\n", 2}, {"10.0.0.1/8\n", 1},     {"\n\n10.0.0.0/33\n", 3},
		{"10.0.0.0/8 secret\n", 1},  {"::ffff:1.2.3.4\n", 1},
	};
	struct xe_deny_list list;
	char err[512], want[64], longer[2000];

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		write_file(bad[i].text);
		assert_int_equal(xe_deny_read(path, &list, err, sizeof(err)), -EINVAL);
		snprintf(want, sizeof(want), "%s:%d: expected a prefix", path, bad[i].line);
		assert_int_equal(strncmp(err, want, strlen(want)), 0);
		assert_null(strstr(err, "secret"));
		assert_null(list.prefixes);
	}
	memset(longer, 'x', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	write_file(longer);
	assert_int_equal(xe_deny_read(path, &list, err, sizeof(err)), -EINVAL);
	assert_int_equal(xe_deny_read("/nonexistent/x", &list, err, sizeof(err)), -ENOENT);
	assert_string_equal(err, "/nonexistent/x: No such file or directory");
	assert_int_equal(xe_deny_read("/tmp", &list, err, sizeof(err)), -EINVAL);
	assert_string_equal(err, "/tmp: expected a regular file");
}

static void test_read_too_many(void **state)
{
	FILE *f = fopen(path, "w");
	struct xe_deny_list list;
	char err[512];

	(void)state;
	assert_non_null(f);
	for (uint32_t i = 0; i <= XE_MAX_DENY; i++)
		fprintf(f, "10.%u.%u.%u\n", i >> 16, i >> 8 & 255, i & 255);
	fclose(f);
	assert_int_equal(xe_deny_read(path, &list, err, sizeof(err)), -E2BIG);
	assert_non_null(strstr(err, ":262145: expected at most 262144 prefixes"));
}

/* eth0 and eth1 are uplinks 1 and 2, va is inside. */
static __u32 port_ids(void *ctx, const char *name, __u16 *ids, __u32 max)
{
	(void)ctx;
	(void)max;
	if (!strcmp(name, "va")) {
		ids[0] = 7 | XE_OUT_INSIDE;
		return 1;
	}
	ids[0] = 1;
	ids[1] = 2;
	return !strcmp(name, "eth*") ? 2 : !strcmp(name, "eth0");
}

static void test_compile(void **state)
{
	static const char *const texts[] = {
		"drop from 203.0.113.0/24 in eth*",
		"drop from 10.1.0.0/16 in va",        /* inside: an ordinary rule */
		"drop tcp from 192.0.2.0/24 in eth0", /* more than `from`: no deny list */
		"accept from 192.0.2.0/24 in eth0",
		"drop from 203.0.113.0/24 in eth0", /* twice */
		"drop from 203.0.113.0/24 in gone", /* not there now */
		NULL,                               /* the file, on eth0 */
	};
	struct xe_rule rules[7];
	struct xe_deny_lists *lists, *again;
	struct xe_allow_key *keys;
	char err[512], file_rule[128];
	uint32_t cnt;

	(void)state;
	write_file("2001:db8::/32\n198.18.0.1\n198.18.0.1\n");
	snprintf(file_rule, sizeof(file_rule), "drop from @%s in eth0", path);
	for (int i = 0; i < 7; i++)
		assert_int_equal(
			xe_rule_parse(texts[i] ? texts[i] : file_rule, &rules[i], err, sizeof(err)),
			0);
	assert_int_equal(xe_deny_read_all(rules, 7, &lists, err, sizeof(err)), 0);
	assert_int_equal(
		xe_deny_compile(rules, 7, lists, port_ids, NULL, &keys, &cnt, err, sizeof(err)), 0);
	assert_int_equal(cnt, 4);
	for (uint32_t i = 1; i < cnt; i++)
		assert_true(xe_deny_key_cmp(&keys[i - 1], &keys[i]) < 0);
	assert_int_equal(keys[0].port, 1);
	assert_int_equal(keys[0].prefixlen, 32 + 96 + 24);
	assert_int_equal(keys[1].prefixlen, 32 + 128);
	assert_int_equal(keys[2].port, 2);
	assert_int_equal(keys[3].port, 1 | XE_KEY_IPV6);
	assert_int_equal(keys[3].prefixlen, 32 + 32);
	free(keys);
	/* Read again: equal until the file says something else. */
	assert_int_equal(xe_deny_read_all(rules, 7, &again, err, sizeof(err)), 0);
	assert_true(xe_deny_lists_equal(lists, again));
	xe_deny_lists_free(again);
	write_file("2001:db8::/32\n198.18.0.1\n198.18.0.2\n");
	assert_int_equal(xe_deny_read_all(rules, 7, &again, err, sizeof(err)), 0);
	assert_false(xe_deny_lists_equal(lists, again));
	xe_deny_lists_free(again);
	xe_deny_lists_free(lists);
	write_file("x\n");
	assert_int_equal(xe_deny_read_all(rules, 7, &again, err, sizeof(err)), -EINVAL);
	assert_int_equal(strncmp(err, "rules[6]: /tmp/", 15), 0);
}

static void expect_denied(const char *file, const char *what, const char *fix)
{
	struct xe_deny_list list;
	char err[1024];

	assert_int_equal(xe_deny_read(file, &list, err, sizeof(err)), -EACCES);
	if (strncmp(err, file, strlen(file)) || !strstr(err, what) || !strstr(err, fix))
		fail_msg("`%s` lacks `%s` or `%s`", err, what, fix);
}

/* A user without privileges: which of file and folders is in the way, and what to do. */
static void test_denied(void **state)
{
	char dir[] = "/tmp/xegress-deny-XXXXXX", file[64], what[128];

	(void)state;
	if (geteuid())
		skip();
	assert_non_null(mkdtemp(dir));
	snprintf(file, sizeof(file), "%s/list", dir);
	assert_int_equal(rename(path, file), 0);
	assert_int_equal(chmod(dir, 0755) | chmod(file, 0640) | chown(file, 7, 8), 0);
	assert_int_equal(seteuid(65534), 0);
	expect_denied(file, "it has mode 0640, owner uid 7, gid 8, ", "as uid 65534 without");
	expect_denied(file, "permission denied", "chmod a+r it");
	assert_int_equal(seteuid(0), 0);
	assert_int_equal(chmod(dir, 0700) | chmod(file, 0644), 0);
	assert_int_equal(seteuid(65534), 0);
	snprintf(what, sizeof(what), "%s has mode 0700, owner uid 0, gid 0,", dir);
	expect_denied(file, what, "chmod a+x it");
	assert_int_equal(seteuid(0), 0);
	assert_int_equal(chown(file, 0, 0) | rename(file, path) | rmdir(dir), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_read),    cmocka_unit_test(test_read_errors),
		cmocka_unit_test(test_denied),  cmocka_unit_test(test_read_too_many),
		cmocka_unit_test(test_compile),
	};

	return cmocka_run_group_tests(tests, make_file, remove_file);
}
