/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_stall.c - a worker that stood still: its clock, what it had in its hands, and who is told to
 * be stalled, in a lane in memory (lane_fixture.h).
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <cmocka.h>

#include "base/clock.h"
#include "lane_fixture.h"
#include "reason_fixture.h"
#include "pipeline/stall.h"

static const char *const rules[] = {"masquerade from 10.1.0.0/16", NULL};

static const struct lf_spec out = {
	.src = "10.1.0.2", .sport = 5000, .dst = "198.51.100.9", .dport = 7, .payload_len = 50};

static int setup(void **state)
{
	*state = lf_open(rules, 1024);
	return 0;
}

static int teardown(void **state)
{
	lf_close(*state);
	return 0;
}

/* The lane's first tick; the time it was. */
static uint64_t start(struct lf *f)
{
	uint64_t now_ns = (uint64_t)f->lane->now_s * XE_NS_PER_SEC;

	assert_false(xe_stall_tick(f->lane, now_ns));
	return now_ns;
}

static void test_clock(void **state)
{
	struct lf *f = *state;
	struct xe_lane *lane = f->lane;
	uint32_t from_s = lane->now_s;
	uint64_t now_ns = start(f);

	now_ns += XE_BEAT_MAX_AGE_NS; /* late, and no stall: it counts */
	assert_false(xe_stall_tick(lane, now_ns));
	assert_int_equal(lane->now_s, from_s + 1);
	now_ns += 3600 * XE_NS_PER_SEC;
	assert_true(xe_stall_tick(lane, now_ns));
	assert_int_equal(lane->now_s, from_s + 1);
	assert_int_equal(lane->now_us, now_ns / 1000); /* others have that clock, too */
	assert_int_equal(lane->stall_cnt, 1);
	assert_int_equal(lane->stall_last_ns, 3600 * XE_NS_PER_SEC);
	now_ns += XE_NS_PER_SEC;
	assert_false(xe_stall_tick(lane, now_ns));
	assert_int_equal(lane->now_s, from_s + 2);
	now_ns += XE_BEAT_MAX_AGE_NS + 1;
	assert_true(xe_stall_tick(lane, now_ns)); /* steer has left its ports to the kernel */
	assert_int_equal(lane->now_s, from_s + 2);
	assert_int_equal(lane->stall_cnt, 2);
}

/* A lane that was another thread's, or another process's, before: steer counts from the last beat,
 * the clock goes on from where it was. */
static void test_quiet_before(void **state)
{
	struct lf *f = *state;
	struct xe_lane *lane = f->lane;
	uint64_t now_ns = start(f), beat_ns;
	uint32_t from_s;

	lane->quiet_ns = XE_BEAT_MAX_AGE_NS / 2;
	now_ns += XE_BEAT_MAX_AGE_NS / 2;
	assert_false(xe_stall_tick(lane, now_ns));
	now_ns += XE_BEAT_MAX_AGE_NS;
	assert_false(xe_stall_tick(lane, now_ns)); /* that was once */
	from_s = lane->now_s;
	beat_ns = now_ns - XE_BEAT_MAX_AGE_NS / 2;
	lane->quiet_ns = now_ns - beat_ns;
	now_ns += XE_BEAT_MAX_AGE_NS / 2 + 1;
	assert_true(xe_stall_tick(lane, now_ns));
	assert_int_equal(lane->now_s, from_s);
}

/* Idle for longer than any timeout, had the time counted. */
static void test_sessions_stay(void **state)
{
	struct lf *f = *state;
	uint64_t now_ns = start(f);

	assert_non_null(lf_pass(f, LF_INSIDE, &out));
	assert_int_equal(f->lane->sessions.cnt, 1);
	assert_true(xe_stall_tick(f->lane, now_ns + 86400 * XE_NS_PER_SEC));
	while (xe_pipeline_housekeeping(f->lane))
		;
	assert_int_equal(f->lane->sessions.cnt, 1);
	assert_non_null(lf_pass(f, LF_INSIDE, &out));
	assert_int_equal(f->lane->sessions.cnt, 1);
}

static void test_rings_are_emptied(void **state)
{
	struct lf *f = *state;
	uint64_t *stale = &f->lane->cnt.reason[XE_R_STALE];
	struct lf_spec s = out;
	uint64_t now_ns = start(f);

	for (s.sport = 1; s.sport <= 3; s.sport++) /* these wait for a next hop */
		lf_put(f, LF_INSIDE, &s);
	lf_poll(f);
	assert_int_equal(f->lane->hold.cnt, 3);
	for (; s.sport <= 100; s.sport++)
		lf_put(f, LF_INSIDE, &s);
	rf_mark(f->lane);
	assert_true(xe_stall_tick(f->lane, now_ns + 5 * XE_NS_PER_SEC));
	rf_expect(f->lane, XE_R_STALE, 100);
	assert_int_equal(f->lane->hold.cnt, 0);
	assert_int_equal(f->lane->sessions.cnt, 0);
	lf_poll(f);
	assert_int_equal(f->sent_cnt, 0);
	lf_check_conservation(f);
	assert_non_null(lf_pass(f, LF_INSIDE, &out)); /* and what comes now goes its way */
	assert_int_equal(*stale, 100);
}

/* One whose SYN was not answered may be the kernel's by now; one that was stays. */
static void test_unanswered_tcp_ends(void **state)
{
	struct lf *f = *state;
	struct xe_lane *lane = f->lane;
	uint64_t now_ns = start(f);
	struct lf_spec syn = out, answer = {.src = out.dst,
					    .sport = out.dport,
					    .dst = "192.0.2.1",
					    .proto = IPPROTO_TCP,
					    .tcp_flags = XE_TH_SYN | XE_TH_ACK,
					    .seq = 9000,
					    .ack = 1};
	const struct lf_sent *sent;

	syn.proto = IPPROTO_TCP;
	syn.tcp_flags = XE_TH_SYN;
	syn.payload_len = 0;
	sent = lf_pass(f, LF_INSIDE, &syn);
	assert_non_null(sent);
	answer.dport = lf_sport(sent);
	assert_non_null(lf_pass(f, LF_UPLINK, &answer));
	syn.sport++;
	assert_non_null(lf_pass(f, LF_INSIDE, &syn));
	/* As one that was adopted from the kernel, which counts no packets. */
	syn.sport++;
	assert_non_null(lf_pass(f, LF_INSIDE, &syn));
	assert_int_equal(lane->sessions.cnt, 3);
	for (uint32_t i = 0; i < lane->sessions.high; i++)
		if (lane->sessions.slots[i].key[XE_DIR_OUT].sport_be == htons(syn.sport))
			lane->sessions.slots[i].tcp_state = XE_TCP_ESTABLISHED;
	assert_true(xe_stall_tick(lane, now_ns + 2 * XE_NS_PER_SEC));
	assert_int_equal(lane->sessions.cnt, 2);
	syn.sport = out.sport;
	syn.tcp_flags = XE_TH_ACK;
	syn.seq = 1;
	syn.ack = 9001;
	assert_non_null(lf_pass(f, LF_INSIDE, &syn));
	lf_check_conservation(f);
}

static void test_others(void **state)
{
	struct lf *f = *state;
	struct xe_lane *lane = f->lane;
	uint64_t now_ns = start(f) + 10 * XE_NS_PER_SEC;
	uint64_t beats[4] = {0, now_ns, now_ns - XE_BEAT_MAX_AGE_NS - 1, now_ns - 1};

	lane->worker_cnt = 4;
	lane->beats = beats;
	xe_stall_look(lane, now_ns); /* worker 0 is this one, whatever its word says */
	for (uint32_t w = 0; w < 4; w++)
		assert_int_equal(xe_is_stalled(lane, w), w == 2);
	beats[2] = now_ns;
	xe_stall_look(lane, now_ns);
	assert_false(xe_is_stalled(lane, 2));
	lane->worker_cnt = 1;
}

int main(void)
{
#define STALL_TEST(t) cmocka_unit_test_setup_teardown(t, setup, teardown)
	const struct CMUnitTest tests[] = {
		STALL_TEST(test_clock),
		STALL_TEST(test_quiet_before),
		STALL_TEST(test_sessions_stay),
		STALL_TEST(test_rings_are_emptied),
		STALL_TEST(test_unanswered_tcp_ends),
		STALL_TEST(test_others),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
