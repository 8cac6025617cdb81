/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* test_umem.c - frames: none is lost, none is in two places, and the audit sees it when one is. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "io/umem.h"
#include "packet_fixture.h"

#define FRAMES 256u

static int open_umem(void **state)
{
	static struct xe_umem umem;

	*state = &umem;
	return xe_umem_open(&umem, FRAMES, -1);
}

static int close_umem(void **state)
{
	xe_umem_close(*state);
	xe_umem_close(*state);
	return 0;
}

static void test_take_and_put(void **state)
{
	struct xe_umem *umem = *state;
	uint32_t frames[FRAMES + 5];
	bool seen[FRAMES] = {};

	assert_int_equal(xe_umem_audit(umem, 0, 0), 0);
	assert_int_equal(xe_umem_take(umem, frames, 0), 0);
	assert_int_equal(xe_umem_take(umem, frames, FRAMES + 5), FRAMES);
	assert_int_equal(xe_umem_take(umem, frames + FRAMES, 1), 0);
	for (uint32_t i = 0; i < FRAMES; i++) {
		assert_in_range(frames[i], 0, FRAMES - 1);
		assert_false(seen[frames[i]]);
		seen[frames[i]] = true;
		/* all of it is ours to write */
		memset(xe_umem_ptr(umem, (uint64_t)frames[i] << XE_FRAME_SHIFT), 0xff,
		       XE_FRAME_SIZE);
	}
	assert_int_equal(xe_umem_audit(umem, 0, 0), 0);
	for (uint32_t i = 0; i < FRAMES; i++)
		xe_umem_put(umem, frames[i]);
	assert_int_equal(umem->free_cnt, FRAMES);
	assert_int_equal(umem->hand_cnt, 0);
	assert_int_equal(xe_umem_audit(umem, 0, 0), 0);
	/* the one last freed comes first */
	xe_umem_take(umem, frames, 1);
	assert_int_equal(frames[0], frames[FRAMES - 1]);
}

static void test_frame_of(void **state)
{
	(void)state;
	assert_int_equal(xe_frame_of(0), 0);
	assert_int_equal(xe_frame_of(XE_FRAME_SIZE - 1), 0);
	assert_int_equal(xe_frame_of(XE_FRAME_SIZE + XE_FRAME_HEADROOM), 1);
	assert_int_equal(xe_frame_of((uint64_t)5 << 32), 5u << 20);
}

/* A socket's frames, receiving and sending, come back when it is closed; another's stay. */
static void test_reclaim(void **state)
{
	struct xe_umem *umem = *state;
	uint32_t frames[FRAMES], n;

	assert_int_equal(xe_umem_take(umem, frames, 200), 200);
	for (uint32_t i = 0; i < 100; i++) { /* slots 7 and 2047, rx and tx */
		xe_umem_move(umem, frames[100 + i], XE_HOLDER_HAND,
			     (uint16_t)((i & 1 ? 2047 : 7) * 2 + (i % 10 < 4)));
		umem->hand_cnt--;
	}
	for (uint32_t i = 0; i < 100; i++)
		xe_umem_put(umem, frames[i]);
	assert_int_equal(xe_umem_audit(umem, 60, 40), 0);
	assert_int_equal(xe_umem_reclaim(umem, 8), 0);
	assert_int_equal(xe_umem_reclaim(umem, 7), 50);
	assert_int_equal(xe_umem_audit(umem, 30, 20), 0);
	assert_int_equal(xe_umem_reclaim(umem, 7), 0);
	assert_int_equal(xe_umem_reclaim(umem, 2047), 50);
	assert_int_equal(umem->free_cnt, FRAMES);
	assert_int_equal(xe_umem_audit(umem, 0, 0), 0);
	n = xe_umem_take(umem, frames, FRAMES);
	assert_int_equal(n, FRAMES);
	for (uint32_t i = 0; i < n; i++)
		for (uint32_t k = 0; k < i; k++)
			assert_int_not_equal(frames[i], frames[k]);
}

/* Each kind of wrong bookkeeping is found (and logged: the lines on stderr are meant to be there).
 */
static void test_audit_finds(void **state)
{
	struct xe_umem *umem = *state;
	uint32_t frames[4];

	xe_umem_take(umem, frames, 4);
	assert_int_equal(xe_umem_audit(umem, 1, 0), -EIO);
	assert_int_equal(xe_umem_audit(umem, 0, 1), -EIO);
	umem->hand_cnt--;
	assert_int_equal(xe_umem_audit(umem, 0, 0), -EIO);
	umem->hand_cnt++;
	umem->free_cnt--; /* a frame that fell off the free list */
	assert_int_equal(xe_umem_audit(umem, 0, 0), -EIO);
	umem->free_cnt++;
	umem->holder[frames[0]] = 6;
	assert_int_equal(xe_umem_audit(umem, 0, 0), -EIO);
	umem->holder[frames[0]] = XE_HOLDER_HAND;
	assert_int_equal(xe_umem_audit(umem, 0, 0), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_take_and_put, open_umem, close_umem),
		cmocka_unit_test(test_frame_of),
		cmocka_unit_test_setup_teardown(test_reclaim, open_umem, close_umem),
		cmocka_unit_test_setup_teardown(test_audit_finds, open_umem, close_umem),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
