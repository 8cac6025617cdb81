/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_handoff.c - the rings between workers and the frames that travel by them: whole, in order,
 * none twice, none lost, with one thread and with two; who sleeps is woken, who is awake is not.
 */
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <cmocka.h>

#include "io/handoff.h"
#include "io/umem.h"

#define SLICE 1024u

static struct xe_handoff handoff;
static struct xe_area area;
static struct xe_umem umem[2];

static int open_two(void **state)
{
	int nodes[2] = {-1, 0};

	(void)state;
	assert_int_equal(xe_area_open(&area, SLICE, nodes, 2), 0);
	assert_int_equal(xe_handoff_open(&handoff, 2, SLICE), 0);
	for (uint32_t w = 0; w < 2; w++) {
		assert_int_equal(xe_umem_open_slice(&umem[w], &area, &handoff, w), 0);
		handoff.bells[w].fd = eventfd(0, EFD_NONBLOCK);
	}
	return 0;
}

static int close_two(void **state)
{
	(void)state;
	for (uint32_t w = 0; w < 2; w++) {
		close(handoff.bells[w].fd);
		xe_umem_close(&umem[w]);
	}
	xe_handoff_close(&handoff);
	xe_area_close(&area);
	xe_area_close(&area);
	return 0;
}

static void audit(void)
{
	assert_int_equal(xe_umem_audit(&umem[0], 0, 0), 0);
	assert_int_equal(xe_umem_audit(&umem[1], 0, 0), 0);
}

static bool was_woken(uint32_t w)
{
	uint64_t n;

	return read(handoff.bells[w].fd, &n, sizeof(n)) == sizeof(n);
}

/* A packet of n frames from `from` to `to`; the first bytes say its number. False: the ring is
 * full, or there are no frames. */
static bool put(uint32_t from, uint32_t to, uint32_t n, uint32_t number)
{
	struct xdp_desc descs[18];
	uint32_t frames[18];
	bool ok;

	if (umem[from].free_cnt < n)
		return false;
	xe_umem_take(&umem[from], frames, n);
	for (uint32_t i = 0; i < n; i++) {
		descs[i] = (struct xdp_desc){.addr = (uint64_t)frames[i] << XE_FRAME_SHIFT,
					     .len = number + i};
		memcpy(xe_umem_ptr(&umem[from], descs[i].addr), &number, sizeof(number));
	}
	ok = xe_handoff_put(&handoff, from, to, descs, n);
	for (uint32_t i = 0; i < n; i++) {
		if (ok)
			xe_umem_hand_out(&umem[from], frames[i]);
		else
			xe_umem_put(&umem[from], frames[i]);
	}
	return ok;
}

/* The next packet: its frames, checked, in hand. 0: none. */
static uint32_t get(uint32_t from, uint32_t to, uint32_t number, uint32_t *frames)
{
	uint32_t avail = xe_handoff_avail(&handoff, from, to), n = 0, got;
	const struct xdp_desc *d;

	if (!avail)
		return 0;
	do {
		assert_in_range(n, 0, avail - 1);
		d = xe_handoff_desc(&handoff, from, to, n);
		frames[n] = xe_frame_of(d->addr);
		memcpy(&got, xe_umem_ptr(&umem[to], d->addr), sizeof(got));
		assert_int_equal(got, number);
		assert_int_equal(d->len, number + n);
		xe_umem_hand_in(&umem[to], frames[n++]);
	} while (d->options & XDP_PKT_CONTD);
	xe_handoff_release(&handoff, from, to, n);
	return n;
}

static void test_there_and_home(void **state)
{
	uint32_t frames[18];

	(void)state;
	assert_true(put(0, 1, 3, 100));
	assert_true(put(0, 1, 1, 200));
	assert_int_equal(xe_handoff_avail(&handoff, 0, 1), 0); /* not published */
	xe_handoff_publish(&handoff, 0);
	assert_int_equal(umem[0].lent_cnt, 4);
	audit();
	assert_int_equal(get(0, 1, 100, frames), 3);
	assert_int_equal(umem[1].guest_cnt, 3);
	audit();
	for (int i = 0; i < 3; i++)
		xe_umem_put(&umem[1], frames[i]);
	assert_int_equal(umem[1].guest_cnt, 0);
	assert_int_equal(umem[1].free_cnt, SLICE); /* not its own */
	xe_umem_collect(&umem[0]);
	assert_int_equal(umem[0].lent_cnt, 4); /* not published */
	xe_handoff_publish(&handoff, 1);
	xe_umem_collect(&umem[0]);
	assert_int_equal(umem[0].lent_cnt, 1);
	assert_int_equal(get(0, 1, 200, frames), 1);
	assert_int_equal(get(0, 1, 0, frames), 0);
	audit();
}

/* A packet that comes back to the owner of its frames, and one that goes on to a third hand. */
static void test_back_with_the_packet(void **state)
{
	uint32_t frames[18];
	struct xdp_desc d;

	(void)state;
	assert_true(put(0, 1, 1, 7));
	xe_handoff_publish(&handoff, 0);
	assert_int_equal(get(0, 1, 7, frames), 1);
	d = (struct xdp_desc){.addr = (uint64_t)frames[0] << XE_FRAME_SHIFT, .len = 7};
	assert_true(xe_handoff_put(&handoff, 1, 0, &d, 1));
	xe_umem_hand_out(&umem[1], frames[0]);
	xe_handoff_publish(&handoff, 1);
	audit();
	assert_int_equal(get(1, 0, 7, frames), 1);
	assert_int_equal(umem[0].lent_cnt, 0);
	xe_umem_put(&umem[0], frames[0]);
	audit();
	assert_int_equal(umem[0].free_cnt, SLICE);
}

/* A guest on a tx ring of a socket that is closed goes home, too. */
static void test_reclaimed_guest(void **state)
{
	uint32_t frames[18];

	(void)state;
	assert_true(put(0, 1, 2, 9));
	xe_handoff_publish(&handoff, 0);
	assert_int_equal(get(0, 1, 9, frames), 2);
	for (int i = 0; i < 2; i++)
		xe_umem_move(&umem[1], frames[i], XE_HOLDER_HAND, 5 * 2 + 1);
	umem[1].hand_cnt -= 2;
	assert_int_equal(xe_umem_audit(&umem[1], 0, 2), 0);
	assert_int_equal(xe_umem_reclaim(&umem[1], 5), 2);
	xe_handoff_publish(&handoff, 1);
	xe_umem_collect(&umem[0]);
	audit();
	assert_int_equal(umem[0].free_cnt, SLICE);
}

/* The packet ring fills up and says so; nothing of what it refuses is lost to its owner. */
static void test_full_ring(void **state)
{
	struct xdp_desc d[2] = {{.addr = 0}, {.addr = 4096}};
	uint32_t n = 0;

	(void)state;
	while (xe_handoff_put(&handoff, 0, 1, d, 1))
		n++;
	assert_int_equal(n, XE_HANDOFF_SIZE);
	xe_handoff_publish(&handoff, 0);
	xe_handoff_release(&handoff, 0, 1, 1);
	assert_false(xe_handoff_put(&handoff, 0, 1, d, 2)); /* whole packets only */
	assert_true(xe_handoff_put(&handoff, 0, 1, d, 1));
	assert_false(xe_handoff_put(&handoff, 0, 1, d, 1));
}

static void test_bells(void **state)
{
	uint32_t frames[18];

	(void)state;
	assert_true(put(0, 1, 1, 1)); /* awake: no system call */
	xe_handoff_publish(&handoff, 0);
	assert_false(was_woken(1));
	assert_false(xe_handoff_may_sleep(&handoff, 1, false)); /* it has work */
	assert_int_equal(get(0, 1, 1, frames), 1);
	assert_true(xe_handoff_may_sleep(&handoff, 1, false));
	assert_true(put(0, 1, 1, 2));
	assert_true(put(0, 1, 1, 3));
	assert_false(was_woken(1));
	xe_handoff_publish(&handoff, 0); /* once for both */
	assert_true(was_woken(1));
	xe_handoff_publish(&handoff, 0);
	assert_false(was_woken(1));
	/* frames that come home wake only who needs them */
	assert_true(xe_handoff_may_sleep(&handoff, 0, false));
	xe_umem_put(&umem[1], frames[0]);
	xe_handoff_publish(&handoff, 1);
	assert_false(was_woken(0));
	assert_false(xe_handoff_may_sleep(&handoff, 0, true));
	xe_umem_collect(&umem[0]);
	assert_true(xe_handoff_may_sleep(&handoff, 0, true));
	assert_int_equal(get(0, 1, 2, frames), 1);
	xe_umem_put(&umem[1], frames[0]);
	xe_handoff_publish(&handoff, 1);
	assert_true(was_woken(0));
}

/* ---- two threads ---- */

#define PACKETS 200000u

static uint32_t frames_of(uint32_t number)
{
	return 1 + number % 18;
}

/* Sleeps as a worker does; a lost wake-up would be a time-out. */
static void sleep_for_work(uint32_t w, bool hungry)
{
	struct pollfd p = {.fd = handoff.bells[w].fd, .events = POLLIN};

	if (xe_handoff_may_sleep(&handoff, w, hungry))
		assert_int_equal(poll(&p, 1, 10000), 1);
	xe_handoff_awake(&handoff, w);
	was_woken(w);
}

static void *receiver(void *arg)
{
	uint32_t frames[18], number = 0, batch = 0;

	(void)arg;
	while (number < PACKETS) {
		uint32_t n = get(0, 1, number, frames);

		if (!n) {
			xe_handoff_publish(&handoff, 1);
			sleep_for_work(1, false);
			continue;
		}
		assert_int_equal(n, frames_of(number++));
		for (uint32_t i = 0; i < n; i++)
			xe_umem_put(&umem[1], frames[i]);
		if (++batch % 8 == 0)
			xe_handoff_publish(&handoff, 1);
	}
	xe_handoff_publish(&handoff, 1);
	return NULL;
}

static void test_two_threads(void **state)
{
	pthread_t thread;

	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, receiver, NULL), 0);
	for (uint32_t number = 0; number < PACKETS;) {
		xe_umem_collect(&umem[0]);
		if (umem[0].free_cnt < 18) {
			xe_handoff_publish(&handoff, 0);
			sleep_for_work(0, true);
			continue;
		}
		if (put(0, 1, frames_of(number), number))
			number++;
		if (number % 8 == 0)
			xe_handoff_publish(&handoff, 0);
	}
	xe_handoff_publish(&handoff, 0);
	pthread_join(thread, NULL);
	while (umem[0].lent_cnt)
		xe_umem_collect(&umem[0]);
	audit();
	assert_int_equal(umem[0].free_cnt, SLICE);
	assert_int_equal(umem[1].free_cnt, SLICE);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, open_two, close_two)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_there_and_home),  TEST(test_back_with_the_packet),
		TEST(test_reclaimed_guest), TEST(test_full_ring),
		TEST(test_bells),           TEST(test_two_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
