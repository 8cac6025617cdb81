// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Requests over the control socket: what is one, what is refused, how it is answered.
 */
#include "ctl_fixture.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
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

static int memory(const char *text)
{
	int fd = memfd_create("test", MFD_CLOEXEC);

	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	return fd;
}

/* One byte with so many descriptors. */
static void say_with_fds(struct cf_client *c, const char *byte, int *fds, size_t cnt)
{
	char control[256] __attribute__((aligned(8))) = {};
	struct iovec iov = {.iov_base = (void *)byte, .iov_len = 1};
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = CMSG_SPACE(cnt * sizeof(int)),
	};
	struct cmsghdr *m = CMSG_FIRSTHDR(&msg);

	m->cmsg_level = SOL_SOCKET;
	m->cmsg_type = SCM_RIGHTS;
	m->cmsg_len = CMSG_LEN(cnt * sizeof(int));
	memcpy(CMSG_DATA(m), fds, cnt * sizeof(int));
	assert_int_equal(sendmsg(c->fd, &msg, 0), 1);
	cf_serve(1);
}

static int open_fds(void)
{
	int cnt = 0, fd = dup(0);

	close(fd);
	for (int i = 0; i < fd + 64; i++)
		cnt += fcntl(i, F_GETFD) >= 0;
	return cnt;
}

/* A verb takes the last one; nobody leaves one open in the service, whatever is sent. */
static void descriptors(void **state)
{
	static const char takes[] = "{\"v\":1,\"verb\":\"takes\"}\n";
	struct cf_client c = cf_client();
	int fds[20], before;

	(void)state;
	cf_say(&c, takes);
	cf_expect(&c, "{\"ok\":true,\"result\":{\"text\":\"none\"}}");
	for (int i = 0; i < 20; i++)
		fds[i] = memory(i ? "other" : "first");
	before = open_fds();
	say_with_fds(&c, takes, fds, 1);
	cf_say(&c, takes + 1);
	cf_expect(&c, "{\"ok\":true,\"result\":{\"text\":\"first\"}}");
	say_with_fds(&c, takes, fds, 1);
	say_with_fds(&c, takes + 1, fds + 1, 1);
	cf_say(&c, takes + 2);
	cf_expect(&c, "{\"ok\":true,\"result\":{\"text\":\"other\"}}");
	cf_say(&c, takes);
	cf_expect(&c, "{\"ok\":true,\"result\":{\"text\":\"none\"}}");
	assert_int_equal(open_fds(), before);
	/* more than there is room for, and a verb that wants none */
	say_with_fds(&c, "{", fds, 20);
	cf_say(&c, "\"v\":1,\"verb\":\"echo\"}\n");
	cf_expect(&c, "{\"ok\":true,\"result\":{\"text\":\"\",\"cnt\":0}}");
	assert_in_range(open_fds(), before, before + 2);
	cf_leave(&c);
	cf_serve(5);
	assert_in_range(open_fds(), before - 2, before);
	for (int i = 0; i < 20; i++)
		close(fds[i]);
}

static struct cf_client patient, leaver;
#define BUSY "{\"ok\":false,\"error\":\"busy\",\"code\":1}"

/* More than there may be at once, one after the other. */
static void refuse_many(void)
{
	cf_say(&patient, "{\"v\":1,\"verb\":\"echo\"}\n");
	cf_leave(&leaver); /* in the middle of the server's turn */
	for (int i = 0; i < 200; i++) {
		struct cf_client c = cf_client();

		cf_say(&c, "{\"v\":1,\"verb\":\"echo\"}\n{\"v\":1,\"verb\":\"change\"}\n");
		cf_expect(&c, BUSY);
		cf_expect(&c, BUSY);
		cf_leave(&c);
	}
	cf_expect(&patient, BUSY);
}

/* While a verb is in the middle of something: others are told, and all go on afterwards. */
static void refused_while_a_verb_waits(void **state)
{
	static const char line[] = "{\"v\":1,\"verb\":\"echo\"}\n";
	struct cf_client asks = cf_client();

	(void)state;
	patient = cf_client();
	leaver = cf_client();
	cf_serve(10);
	cf_seen.during = refuse_many;
	/* its turn is due, too, and perhaps after that one */
	assert_int_equal(send(leaver.fd, line, sizeof(line) - 1, 0), sizeof(line) - 1);
	cf_say(&asks, "{\"v\":1,\"verb\":\"waits\"}\n");
	cf_expect(&asks, CF_DONE);
	cf_say(&patient, "{\"v\":1,\"verb\":\"echo\"}\n");
	cf_expect(&patient, "{\"ok\":true,\"result\":{\"text\":\"\",\"cnt\":0}}");
	cf_say(&asks, "{\"v\":1,\"verb\":\"echo\"}\n");
	cf_expect(&asks, "{\"ok\":true,\"result\":{\"text\":\"\",\"cnt\":0}}");
	cf_leave(&asks);
	cf_leave(&patient);
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
		cf_test(descriptors),
		cf_test(refused_while_a_verb_waits),
	};

	return cmocka_run_group_tests(tests, cf_make_dir, cf_remove_dir);
}
