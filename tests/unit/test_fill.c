/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_fill.c - how the sockets of a worker share its frames: idle ones leave room for hundreds,
 * busy ones get what they want while it is there, and some are always left for cutting.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <cmocka.h>

#include "worker.h"

#define SOCKETS 1024u

struct fake {
	struct xe_xsk xsk;
	uint32_t producer, consumer, flags;
	uint64_t addrs[XE_RING_SIZE];
};

static struct fake *fakes;
static struct xe_worker worker;
static struct xe_lane *lane;

static void open_worker(uint32_t frames)
{
	fakes = calloc(SOCKETS, sizeof(*fakes));
	worker.lane = lane = calloc(1, sizeof(*lane));
	lane->fill_max = XE_FILL_MAX;
	assert_int_equal(xe_umem_open(&lane->umem, frames, -1), 0);
	assert_int_equal(xe_waiting_open(&worker.waiting, XE_WAIT_ADAPTIVE), 0);
	for (uint32_t i = 0; i < SOCKETS; i++) {
		struct fake *f = &fakes[i];

		f->xsk.fd = -1;
		f->xsk.slot = (uint16_t)i;
		f->xsk.fill = (struct xsk_ring_prod){
			.cached_cons = XE_RING_SIZE,
			.mask = XE_RING_SIZE - 1,
			.size = XE_RING_SIZE,
			.producer = &f->producer,
			.consumer = &f->consumer,
			.ring = f->addrs,
			.flags = &f->flags,
		};
	}
}

static void close_worker(void)
{
	uint32_t fill = 0;

	for (uint32_t i = 0; i < SOCKETS; i++) {
		fill += fakes[i].xsk.fill_cnt;
		if (fakes[i].xsk.fd >= 0)
			close(fakes[i].xsk.fd);
	}
	assert_int_equal(xe_umem_audit(&lane->umem, fill, 0), 0);
	xe_waiting_close(&worker.waiting);
	xe_umem_close(&lane->umem);
	free(lane);
	free(fakes);
}

static int add(uint32_t i)
{
	fakes[i].xsk.fd = eventfd(0, EFD_NONBLOCK);
	return xe_worker_add_socket(&worker, &fakes[i].xsk);
}

/* As many as find room. */
static uint32_t add_all(void)
{
	uint32_t n = 0;
	int err;

	while (!(err = add(n)))
		n++;
	assert_int_equal(err, -ENOBUFS);
	assert_int_equal(lane->xsk_cnt, n);
	return n;
}

/* It has found its frames used, again and again. */
static void make_busy(uint32_t i)
{
	fakes[i].xsk.fill_target = XE_FILL_MAX;
	xe_xsk_refill(&fakes[i].xsk, &lane->umem, lane->fill_max);
}

static void test_hundreds(void **state)
{
	static const uint32_t frames[] = {32768, 16384, 8192}, ports[] = {624, 312, 156};

	(void)state;
	for (int i = 0; i < 3; i++) {
		open_worker(frames[i]);
		assert_int_equal(add_all(), ports[i]);
		assert_in_range(lane->umem.free_cnt, frames[i] / 8, frames[i]);
		/* one goes, one comes */
		xe_worker_del_socket(&worker, &fakes[0].xsk);
		xe_umem_reclaim(&lane->umem, 0);
		fakes[0].xsk.fill_cnt = 0;
		assert_int_equal(add(SOCKETS - 1), 0);
		close_worker();
	}
}

static void test_few(void **state)
{
	(void)state;
	open_worker(32768);
	for (uint32_t i = 0; i < 4; i++) {
		assert_int_equal(add(i), 0);
		assert_int_equal(fakes[i].xsk.fill_cnt, 256);
	}
	for (uint32_t i = 0; i < 4; i++) {
		make_busy(i);
		assert_int_equal(fakes[i].xsk.fill_cnt, XE_FILL_MAX);
	}
	close_worker();
}

/* All become busy: each new one still has something, and cutting has its part. */
static void test_many_busy(void **state)
{
	(void)state;
	open_worker(32768);
	for (uint32_t i = 0; i < 60; i++)
		assert_int_equal(add(i), 0);
	make_busy(59);
	assert_int_equal(fakes[59].xsk.fill_cnt, XE_FILL_MAX);
	for (uint32_t i = 0; i < 60; i++)
		make_busy(i);
	assert_in_range(lane->umem.free_cnt, 32768 / 4 - 1, 32768);
	for (uint32_t i = 60; i < 90; i++)
		assert_int_equal(add(i), 0);
	assert_in_range(lane->umem.free_cnt, 8192 / 8, 8192);
	close_worker();
}

/* With hardly a frame free a socket that has used all of its own gets what receiving needs. */
static void test_short(void **state)
{
	uint32_t frames[7500];

	(void)state;
	open_worker(8192);
	assert_int_equal(add(0), 0);
	assert_int_equal(xe_umem_take(&lane->umem, frames, 7500), 7500);
	xe_umem_reclaim(&lane->umem, 0);
	fakes[0].xsk.fill_cnt = 0;
	make_busy(0);
	assert_int_equal(fakes[0].xsk.fill_cnt, XE_FILL_MIN);
	close_worker();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hundreds),
		cmocka_unit_test(test_few),
		cmocka_unit_test(test_many_busy),
		cmocka_unit_test(test_short),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
