/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_takeover_import.c - what another process tells of its frames, sockets, packets and flows:
 * in structures of other versions it is taken as it is, and where it does not add up it is refused
 * before anything is changed, whatever numbers are told.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>

#include "control/flow_export.h"
#include "io/umem_give.h"
#include "io/xsk.h"
#include "takeover_fixture.h"

#define HELD 3u

static struct tf *t;
static uint32_t ours[XE_TO_SIZES];

static int set_up(void **state)
{
	(void)state;
	t = tf_open();
	xe_to_our_sizes(ours);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	tf_close(t);
	return 0;
}

static void tell(void)
{
	tf_reset(t);
	tf_tell(t, ours, HELD);
}

static void expect_taken(void)
{
	assert_int_equal(tf_import(t), 0);
	tf_check_frames(t);
	for (uint16_t id = 1; id < LF_PORT_END; id++)
		assert_int_equal(t->f->xsk[id].fill_cnt, 16);
	tf_go_on(t, false);
	assert_int_equal(t->f->sent_cnt, HELD);
}

/* Refused, and all frames are still free for whoever tries again. */
static void expect_refused(void)
{
	assert_int_equal(tf_import(t), -EPROTO);
	assert_int_equal(xe_umem_audit(&t->f->lane->umem, 0, 0), 0);
	assert_int_equal(t->f->lane->kick_cnt, 0);
}

static void test_as_it_is(void **state)
{
	(void)state;
	tell();
	expect_taken();
	tell();
	assert_int_equal(tf_import(t), 0);
	tf_go_on(t, true);
	assert_int_equal(t->f->sent_cnt, 0);
	assert_int_equal(t->f->lane->cnt.reason[XE_R_STALE], HELD);
}

/* Each kind longer or shorter than ours, all at once too; and one that is no multiple of 8. */
static void test_other_sizes(void **state)
{
	static const int by[] = {8, 24, 1};
	uint32_t size[XE_TO_SIZES];

	(void)state;
	for (size_t k = 0; k < sizeof(by) / sizeof(by[0]); k++) {
		tf_reset(t);
		memcpy(size, ours, sizeof(size));
		for (int i = XE_TO_SOCKET; i <= XE_TO_EXT_ADDRS; i++)
			size[i] += by[k];
		tf_tell(t, size, HELD);
		expect_taken();
	}
	tf_reset(t);
	memcpy(size, ours, sizeof(size));
	size[XE_TO_SOCKET] -= 8; /* without rx_packets */
	size[XE_TO_PORT_COUNTERS] -= 8;
	size[XE_TO_LANE_COUNTERS] -= 8;
	tf_tell(t, size, HELD);
	expect_taken();
}

/* A size that is not told, one so large that the product with its number wraps round, numbers that
 * would be gigabytes, a file that is cut. */
static void test_lengths_lie(void **state)
{
	static const enum xe_to_size kinds[] = {XE_TO_SOCKET, XE_TO_HELD, XE_TO_LANE_COUNTERS,
						XE_TO_PORT_COUNTERS, XE_TO_EXT_ADDRS};
	struct xe_to_frozen *frozen = &t->take->frozen;

	(void)state;
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		tell();
		t->take->welcome.size[kinds[i]] = 0;
		expect_refused();
		tell();
		t->take->welcome.size[kinds[i]] = UINT32_MAX;
		expect_refused();
	}
	tell();
	frozen->held_cnt = UINT32_MAX;
	expect_refused();
	tell();
	t->take->welcome.size[XE_TO_SOCKET] = 0;
	frozen->socket_cnt = UINT32_MAX;
	expect_refused();
	tell();
	frozen->worker_cnt = UINT32_MAX;
	t->take->welcome.size[XE_TO_LANE_COUNTERS] = UINT32_MAX;
	frozen->socket_cnt = UINT32_MAX;
	t->take->welcome.size[XE_TO_SOCKET] = UINT32_MAX;
	expect_refused();
	tell();
	t->lanes_len -= 8;
	expect_refused();
	tell();
	frozen->frame_cnt = t->take->welcome.frame_cnt = LF_FRAMES * 4096;
	expect_refused();
}

static void test_frames_lie(void **state)
{
	struct xe_to_held h;
	struct xe_to_socket s;

	(void)state;
	tell(); /* a held packet in a frame that a socket has, one twice */
	h = tf_held(t, 0);
	h.frames[0].addr = (LF_INSIDE * 16ull << XE_FRAME_SHIFT) + XE_FRAME_HEADROOM;
	tf_set_held(t, 0, &h);
	expect_refused();
	tell();
	h = tf_held(t, 1);
	tf_set_held(t, 2, &h);
	expect_refused();
	tell(); /* no socket, and none of ours to say */
	((uint16_t *)t->lanes)[4000] = XE_GIVEN_HELD;
	expect_refused();
	tell(); /* more than a ring has */
	s = tf_socket(t, 1);
	s.fill_cnt = XE_RING_SIZE + 1;
	tf_set_socket(t, 1, &s);
	expect_refused();
}

/* A held packet that does not lie in its frames stays behind, the others go on. */
static void test_held_out_of_frame(void **state)
{
	struct xe_to_held h;

	(void)state;
	for (int i = 0; i < 5; i++) {
		tell();
		h = tf_held(t, 1);
		if (i == 0)
			h.frames[0].len = XE_FRAME_ROOM + 1;
		else if (i == 1)
			h.frames[0].addr -= XE_FRAME_HEADROOM; /* its metadata would be before it */
		else if (i == 2)
			h.frames[0].addr += 1ull << 44; /* wraps to a frame of ours in 32 bits */
		else if (i == 3)
			h.frame_cnt = XE_PACKET_FRAMES + 1;
		else
			h.frame_cnt = 0;
		tf_set_held(t, 1, &h);
		assert_int_equal(tf_import(t), 0);
		tf_go_on(t, false);
		assert_int_equal(t->f->lane->cnt.reason[XE_R_LEFT_BEHIND], 1);
		assert_int_equal(t->f->sent_cnt, HELD - 1);
	}
}

/* However often a socket is told, it is in the list of those to be sent once. */
static void test_socket_twice(void **state)
{
	struct xe_to_socket s;

	(void)state;
	tell();
	s = tf_socket(t, 0);
	s.tx_cnt = 1;
	for (uint32_t i = 0; i < LF_PORT_END - 1; i++)
		tf_set_socket(t, i, &s);
	assert_int_equal(tf_import(t), 0);
	assert_int_equal(t->f->lane->kick_cnt, 1);
}

static int follow(uint32_t cnt, size_t len)
{
	struct xe_to_changes changes = {.cnt = cnt};
	struct xe_take_flows *flows = xe_take_flows_open();
	int fd = memfd_create("flows", MFD_CLOEXEC), ret;

	assert_int_equal(ftruncate(fd, (off_t)len), 0);
	ret = xe_take_flows_follow(t->svc, flows, fd, &changes, NULL);
	close(fd);
	xe_take_flows_close(flows);
	return ret;
}

/* Of flows: as many as the file may have, and no memory for what is not there. */
static void test_changes_lie(void **state)
{
	(void)state;
	tell();
	assert_int_equal(follow(UINT32_MAX, 100000), -EPROTO);
	t->take->welcome.size[XE_TO_CHANGE] = 0;
	assert_int_equal(follow(UINT32_MAX, 100000), -EPROTO);
	assert_int_equal(follow(1, 100000), -EPROTO);
	t->take->welcome.size[XE_TO_CHANGE] = UINT32_MAX;
	assert_int_equal(follow(UINT32_MAX, 100000), -EPROTO);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_as_it_is),          cmocka_unit_test(test_other_sizes),
		cmocka_unit_test(test_lengths_lie),       cmocka_unit_test(test_frames_lie),
		cmocka_unit_test(test_held_out_of_frame), cmocka_unit_test(test_socket_twice),
		cmocka_unit_test(test_changes_lie),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
