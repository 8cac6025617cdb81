// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Requests over the control socket: what is one, what is refused, how it is answered.
 */
#include "ctl_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void answers(void **state)
{
	struct cf_client c = cf_client();

	(void)state;
	cf_say(&c, "{\"v\":1,\"verb\":\"echo\",\"args\":[\"a\",\"b c\",\"\xc3\xa9\"]}\n");
	cf_expect(&c, "{\"ok\":true,\"result\":{\"text\":\"a b c \xc3\xa9\",\"cnt\":3}}");
	cf_say(&c, "{\"verb\":\"two words\",\"args\":[\"x\"],\"more\":[1]}\r\n");
	cf_expect_error(&c, "version", XE_CTL_USAGE);
	cf_say(&c, "\n\n{\"v\":1,\"verb\":\"two words\",\"args\":[\"x\"],\"more\":[1]}\r\n");
	cf_expect(&c, "{\"ok\":true,\"result\":{\"text\":\"x\",\"cnt\":1}}");
	assert_int_equal(cf_seen.audit_cnt, 0);
	cf_leave(&c);
}

static void refuses_what_is_no_request(void **state)
{
	static const struct {
		const char *line, *error;
	} cases[] = {
		{"hello", "not a request"},
		{"[]", "not a JSON object"},
		{"{}", "no `verb`"},
		{"{\"v\":1,\"verb\":7}", "no `verb`"},
		{"{\"v\":\"1\",\"verb\":\"echo\"}", "not a request"},
		{"{\"v\":2,\"verb\":\"echo\"}", "version 2"},
		{"{\"v\":1,\"verb\":\"Echo\"}", "unknown verb `Echo`"},
		{"{\"v\":1,\"verb\":\"echo\",\"verb\":\"echo\"}", "duplicate"},
		{"{\"v\":1,\"verb\":\"echo\",\"args\":\"x\"}", "array"},
		{"{\"v\":1,\"verb\":\"echo\",\"options\":[]}", "object"},
		{"{\"v\":1,\"verb\":\"echo\",\"args\":[\"x\",1]}", "word 2"},
		{"{\"v\":1,\"verb\":\"two words\"}", "at least 1 word,"},
		{"{\"v\":1,\"verb\":\"two words\",\"args\":[\"\",\"\",\"\"]}", "at most 2 words"},
		{"{\"v\":1,\"verb\":\"echo\",\"args\":[\"\\u0000\"]}", "not a request"},
		{"{\"v\":1,\"verb\":\"echo\",\"args\":[\"\xff\"]}", "not a request"},
	};
	static const char nul[] = "{\"v\":1,\0\"verb\":\"echo\"}\n";
	struct cf_client c = cf_client();

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		cf_say(&c, cases[i].line);
		cf_say(&c, "\n");
		cf_expect_error(&c, cases[i].error, XE_CTL_USAGE);
	}
	cf_say_len(&c, nul, sizeof(nul) - 1);
	cf_expect_error(&c, "not a request", XE_CTL_USAGE);
	cf_say(&c, "{\"v\":1,\"verb\":\"echo\"}\n"); /* and the connection still works */
	cf_expect(&c, "{\"ok\":true,\"result\":{\"text\":\"\",\"cnt\":0}}");
	cf_leave(&c);
}

static void too_many_words(void **state)
{
	struct cf_client c = cf_client();

	(void)state;
	cf_say(&c, "{\"v\":1,\"verb\":\"echo\",\"args\":[\"0\"");
	for (int i = 0; i < XE_CTL_ARGS_MAX; i++)
		cf_say(&c, ",\"w\"");
	cf_say(&c, "]}\n");
	cf_expect_error(&c, "more than 64 words", XE_CTL_USAGE);
	cf_leave(&c);
}

static void verbs_that_misbehave(void **state)
{
	struct cf_client c = cf_client();

	(void)state;
	cf_say(&c, "{\"v\":1,\"verb\":\"errno\"}\n");
	cf_expect_error(&c, "No such device", XE_CTL_FAILED);
	cf_say(&c, "{\"v\":1,\"verb\":\"forgets\"}\n");
	cf_expect_error(&c, "no answer", XE_CTL_FAILED);
	cf_say(&c, "{\"v\":1,\"verb\":\"huge\"}\n");
	cf_expect_error(&c, "longer than", XE_CTL_FAILED);
	cf_say(&c, "{\"v\":1,\"verb\":\"change\",\"args\":[\"bad\"]}\n");
	cf_expect(&c, "{\"ok\":false,\"error\":\"line one line 2\",\"code\":1}");
	cf_seen.audit_cnt = 0;
	cf_say(&c, "{\"v\":1,\"verb\":\"twice\"}\n");
	cf_expect(&c, CF_DONE);
	assert_int_equal(cf_seen.audit_cnt, 1);
	cf_say(&c, "{\"v\":1,\"verb\":\"change\"}\n"); /* its one answer, not twice's second */
	cf_expect(&c, CF_DONE);
	assert_int_equal(cf_seen.audit_cnt, 2);
	cf_leave(&c);
}

static void audit_lines(void **state)
{
	struct cf_client c = cf_client();
	char want[256];

	(void)state;
	cf_say(&c, "{\"v\":1,\"verb\":\"change\",\"args\":[\"a\\nb\",\"\\u001b[31m\",\"c\"]}\n");
	cf_expect(&c, CF_DONE);
	snprintf(want, sizeof(want), "%u 0 change [a?b ?[31m c] 1 done", getuid());
	assert_string_equal(cf_seen.audit, want);
	cf_say(&c, "{\"v\":1,\"verb\":\"change\",\"args\":[\"bad\"]}\n");
	cf_expect_error(&c, "line one", XE_CTL_FAILED);
	snprintf(want, sizeof(want), "%u 0 change [bad] 0 line one line 2", getuid());
	assert_string_equal(cf_seen.audit, want);
	cf_say(&c, "{\"v\":1,\"verb\":\"change\",\"args\":[\"1\",\"2\",\"3\",\"4\"]}\n");
	cf_expect_error(&c, "at most 3 words", XE_CTL_USAGE);
	assert_int_equal(cf_seen.audit_cnt, 3);
	cf_leave(&c);
}

static void a_request_in_small_bites(void **state)
{
	const char *line = "{\"v\":1,\"verb\":\"echo\",\"args\":[\"slow\"]}\n";
	struct cf_client c = cf_client();

	(void)state;
	for (; *line; line++) {
		cf_say_len(&c, line, 1);
		cf_serve(2);
	}
	cf_expect(&c, "{\"ok\":true,\"result\":{\"text\":\"slow\",\"cnt\":1}}");
	cf_leave(&c);
}

static void many_requests_at_once(void **state)
{
	struct cf_client c = cf_client();
	char all[500 * 64] = "", *end = all, want[128];

	(void)state;
	for (int i = 0; i < 500; i++)
		end += sprintf(end, "{\"v\":1,\"verb\":\"echo\",\"args\":[\"%d\"]}\n", i);
	cf_say(&c, all);
	shutdown(c.fd, SHUT_WR); /* all are answered, in order, before the server closes */
	for (int i = 0; i < 500; i++) {
		snprintf(want, sizeof(want), "{\"ok\":true,\"result\":{\"text\":\"%d\",\"cnt\":1}}",
			 i);
		cf_expect(&c, want);
	}
	cf_expect_closed(&c);
	cf_leave(&c);
}

static void no_newline_at_the_end(void **state)
{
	struct cf_client c = cf_client();

	(void)state;
	cf_say(&c, "{\"v\":1,\"verb\":\"echo\"}");
	shutdown(c.fd, SHUT_WR);
	cf_expect_error(&c, "no end of line", XE_CTL_USAGE);
	cf_expect_closed(&c);
	cf_leave(&c);
}

static void long_requests(void **state)
{
	struct cf_client c = cf_client();
	char *line = cf_long_request(XE_CTL_REQUEST_MAX - 1), want[64];

	(void)state;
	cf_say(&c, line);
	snprintf(want, sizeof(want), "{\"ok\":true,\"result\":{\"len\":%u}}",
		 XE_CTL_REQUEST_MAX - 1 - 45 - 3); /* head and tail */
	cf_expect(&c, want);
	free(line);
	line = cf_long_request(XE_CTL_REQUEST_MAX + 100000);
	cf_say(&c, line);
	cf_expect_error(&c, "longer than 4194304 bytes", XE_CTL_USAGE);
	cf_expect_closed(&c);
	free(line);
	cf_leave(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cf_test(answers),
		cf_test(refuses_what_is_no_request),
		cf_test(too_many_words),
		cf_test(verbs_that_misbehave),
		cf_test(audit_lines),
		cf_test(a_request_in_small_bites),
		cf_test(many_requests_at_once),
		cf_test(no_newline_at_the_end),
		cf_test(long_requests),
	};

	return cmocka_run_group_tests(tests, cf_make_dir, cf_remove_dir);
}
