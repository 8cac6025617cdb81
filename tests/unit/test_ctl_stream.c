// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Long answers and late ones: streams that are pulled, requests that are deferred, and clients that
 * do not read, or leave.
 */
#include "ctl_fixture.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

/* So many changes of what is waited for come to nothing. */
static int deaf_cnt;

/* In place of the C library's. */
int epoll_ctl(int epfd, int op, int fd, struct epoll_event *event)
{
	if (op == EPOLL_CTL_MOD && deaf_cnt) {
		deaf_cnt--;
		errno = ENOSPC;
		return -1;
	}
	return (int)syscall(SYS_epoll_ctl, epfd, op, fd, event);
}

static void streams_all(void **state)
{
	struct cf_client c = cf_client();
	char want[64];

	(void)state;
	cf_say(&c,
	       "{\"v\":1,\"verb\":\"stream\",\"args\":[\"1000\"]}\n{\"v\":1,\"verb\":\"echo\"}\n");
	for (int i = 1000; i; i--) {
		snprintf(want, sizeof(want), "{\"part\":{\"left\":%d}}", i);
		cf_expect(&c, want);
	}
	cf_expect(&c, "{\"ok\":true,\"result\":{\"count\":1000}}");
	assert_int_equal(cf_seen.ended, 1);
	cf_expect(&c, "{\"ok\":true,\"result\":{\"text\":\"\",\"cnt\":0}}");
	cf_say(&c, "{\"v\":1,\"verb\":\"stream\",\"args\":[\"0\"]}\n");
	cf_expect(&c, "{\"ok\":true,\"result\":{\"count\":0}}");
	cf_say(&c, "{\"v\":1,\"verb\":\"stream fails\"}\n");
	cf_expect(&c, "{\"part\":{}}");
	cf_expect_error(&c, "Input/output error", XE_CTL_FAILED);
	assert_int_equal(cf_seen.ended, 3);
	cf_leave(&c);
}

static void a_slow_reader_blocks_nobody(void **state)
{
	struct cf_client slow = cf_client(), c = cf_client();
	char request[64], *line;
	size_t made;

	(void)state;
	snprintf(request, sizeof(request), "{\"v\":1,\"verb\":\"stream\",\"args\":[\"%d\"]}\n",
		 CF_STREAM_CNT);
	cf_say(&slow, request);
	cf_serve(CF_ROUNDS_MAX);
	made = cf_seen.made; /* what fits the socket and our own 64 KiB, not 200,000 */
	assert_in_range(made, 100, CF_STREAM_CNT / 10);
	cf_serve(10); /* and nothing spins on it */
	assert_int_equal(cf_seen.made, made);
	cf_say(&c, "{\"v\":1,\"verb\":\"change\"}\n");
	cf_expect(&c, CF_DONE);
	for (int i = 0; i < CF_STREAM_CNT; i++)
		free(cf_hear(&slow));
	line = cf_hear(&slow);
	assert_string_equal(line, "{\"ok\":true,\"result\":{\"count\":200000}}");
	free(line);
	cf_leave(&slow);
	cf_leave(&c);
}

static void a_stream_nobody_waits_for(void **state)
{
	struct cf_client c = cf_client();

	(void)state;
	cf_say(&c, "{\"v\":1,\"verb\":\"stream\",\"args\":[\"200000\"]}\n");
	cf_serve(CF_ROUNDS_MAX);
	assert_int_equal(cf_seen.ended, 0);
	cf_leave(&c);
	assert_int_equal(cf_seen.ended, 1);
	assert_true(cf_seen.made < CF_STREAM_CNT);
}

static void output_has_a_bound(void **state)
{
	struct cf_client c = cf_client();
	char *line;
	int cnt = 0;

	(void)state;
	cf_say(&c, "{\"v\":1,\"verb\":\"flood\"}\n");
	for (;;) {
		line = cf_hear(&c);
		assert_non_null(line);
		if (strncmp(line, "{\"part\":", 8))
			break;
		free(line);
		cnt++;
	}
	assert_string_equal(line, "{\"ok\":false,\"error\":\"flooded\",\"code\":1}");
	assert_in_range(cnt, 1000, XE_CTL_ANSWER_MAX / 8192);
	free(line);
	cf_leave(&c);
}

static void deferred_answers(void **state)
{
	struct cf_client c = cf_client(), other = cf_client();

	(void)state;
	cf_say(&c,
	       "{\"v\":1,\"verb\":\"defer\",\"args\":[\"veth1\"]}\n{\"v\":1,\"verb\":\"echo\"}\n");
	cf_serve(100);
	assert_non_null(cf_seen.deferred);
	assert_false(xe_ctl_gone(cf_seen.deferred));
	assert_int_equal(recv(c.fd, (char[1]){0}, 1, MSG_DONTWAIT), -1);
	cf_say(&other, "{\"v\":1,\"verb\":\"change\"}\n"); /* others go on meanwhile */
	cf_expect(&other, CF_DONE);
	assert_string_equal(xe_ctl_verb_name(cf_seen.deferred), "defer");
	assert_int_equal(xe_ctl_uid(cf_seen.deferred), getuid());
	assert_int_equal(xe_ctl_pid(cf_seen.deferred), getpid());
	xe_ctl_ok(cf_seen.deferred, json_pack("{ss}", "name", xe_ctl_arg(cf_seen.deferred, 0)));
	cf_expect(&c, "{\"ok\":true,\"result\":{\"name\":\"veth1\"}}");
	assert_int_equal(cf_seen.audit_cnt, 2);
	cf_expect(&c, "{\"ok\":true,\"result\":{\"text\":\"\",\"cnt\":0}}");
	cf_leave(&c);
	cf_leave(&other);
}

static void deferred_then_streamed(void **state)
{
	struct cf_client c = cf_client();
	size_t *left = malloc(sizeof(*left));

	(void)state;
	*left = 2;
	cf_say(&c, "{\"v\":1,\"verb\":\"defer\"}\n");
	cf_serve(100);
	assert_int_equal(xe_ctl_stream(cf_seen.deferred, cf_make_parts, cf_end_parts, left), 0);
	cf_expect(&c, "{\"part\":{\"left\":2}}");
	cf_expect(&c, "{\"part\":{\"left\":1}}");
	cf_expect(&c, "{\"ok\":true,\"result\":{\"count\":2}}");
	assert_int_equal(cf_seen.ended, 1);
	cf_leave(&c);
}

/* The work is done and audited all the same. */
static void deferred_and_the_client_leaves(void **state)
{
	struct cf_client c = cf_client();

	(void)state;
	cf_say(&c, "{\"v\":1,\"verb\":\"defer\"}\n");
	cf_serve(100);
	cf_leave(&c);
	assert_true(xe_ctl_gone(cf_seen.deferred));
	assert_int_equal(xe_ctl_part(cf_seen.deferred, json_object()), -EPIPE);
	assert_int_equal(cf_seen.audit_cnt, 0);
	xe_ctl_fail(cf_seen.deferred, XE_CTL_FAILED, "no such interface");
	assert_int_equal(cf_seen.audit_cnt, 1);
	assert_non_null(strstr(cf_seen.audit, "0 no such interface"));

	c = cf_client(); /* the same, and then there would be a stream */
	cf_say(&c, "{\"v\":1,\"verb\":\"defer\"}\n");
	cf_serve(100);
	cf_leave(&c);
	assert_int_equal(xe_ctl_stream(cf_seen.deferred, cf_make_parts, cf_end_parts, malloc(8)),
			 0);
	assert_int_equal(cf_seen.ended, 1);
}

/* The loop cannot be told what to wait for: nobody waits for ever. */
static void the_loop_is_deaf(void **state)
{
	struct cf_client c = cf_client();

	(void)state;
	cf_say(&c, "{\"v\":1,\"verb\":\"defer\"}\n");
	cf_serve(100);
	deaf_cnt = 1; /* as it is answered, by somebody who does not look at the connection */
	xe_ctl_ok(cf_seen.deferred, NULL);
	assert_int_equal(deaf_cnt, 0);
	cf_expect(&c, CF_DONE);
	cf_expect_closed(&c);
	cf_leave(&c);

	c = cf_client();
	cf_say(&c, "{\"v\":1,\"verb\":\"defer\"}\n");
	deaf_cnt = 1; /* as it is asked */
	cf_serve(100);
	assert_int_equal(deaf_cnt, 0);
	cf_expect_closed(&c);
	assert_true(xe_ctl_gone(cf_seen.deferred));
	xe_ctl_ok(cf_seen.deferred, NULL);
	cf_leave(&c);
}

static void close_with_open_requests(void **state)
{
	struct cf_client c = cf_client(), s = cf_client();
	char err[256], *line;

	(void)state;
	cf_say(&c, "{\"v\":1,\"verb\":\"defer\"}\n");
	cf_say(&s, "{\"v\":1,\"verb\":\"stream\",\"args\":[\"200000\"]}\n");
	cf_serve(CF_ROUNDS_MAX);
	xe_ctl_close(cf_ctl);
	assert_int_equal(cf_seen.ended, 1);
	xe_ctl_ok(cf_seen.deferred, NULL); /* its owner ends it, later */
	assert_int_equal(cf_seen.audit_cnt, 1);
	assert_int_equal(cf_open((gid_t)-1, 0660, err, sizeof(err)), 0);
	cf_expect_error(&c, "stopping", XE_CTL_FAILED);
	cf_expect_closed(&c);
	while ((line = cf_hear(&s)))
		free(line);
	cf_leave(&c);
	cf_leave(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cf_test(streams_all),
		cf_test(a_slow_reader_blocks_nobody),
		cf_test(a_stream_nobody_waits_for),
		cf_test(output_has_a_bound),
		cf_test(deferred_answers),
		cf_test(deferred_then_streamed),
		cf_test(deferred_and_the_client_leaves),
		cf_test(the_loop_is_deaf),
		cf_test(close_with_open_requests),
	};

	return cmocka_run_group_tests(tests, cf_make_dir, cf_remove_dir);
}
