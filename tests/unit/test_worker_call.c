/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_worker_call.c - asked, done, waited for, taken back: between two threads, one of which may
 * stand still.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>
#include <cmocka.h>

#include "base/clock.h"
#include "worker_call.h"

/* The thread that is asked: it looks as often as it can while it may. */
struct asked {
	struct xe_worker_call call;
	pthread_t thread;
	_Atomic bool still, stop;
	_Atomic bool in_call, go_on; /* for stay() */
	uint32_t done;               /* its own; read by the asker when a call has ended */
};

static void nap(void)
{
	nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

static void *run(void *arg)
{
	struct asked *a = arg;

	while (!atomic_load(&a->stop)) {
		if (atomic_load(&a->still))
			nap();
		else if (xe_call_is_asked(&a->call))
			xe_call_run(&a->call, NULL);
	}
	return NULL;
}

static void count(struct xe_worker *w, void *arg)
{
	(void)w;
	((struct asked *)arg)->done++;
}

/* Begun, and then it stands still. */
static void stay(struct xe_worker *w, void *arg)
{
	struct asked *a = arg;

	atomic_store(&a->in_call, true);
	while (!atomic_load(&a->go_on))
		nap();
	count(w, arg);
}

static int setup(void **state)
{
	static struct asked a;

	a = (struct asked){};
	xe_call_open(&a.call);
	*state = &a;
	return pthread_create(&a.thread, NULL, run, &a);
}

static int teardown(void **state)
{
	struct asked *a = *state;

	atomic_store(&a->stop, true);
	pthread_join(a->thread, NULL);
	xe_call_close(&a->call);
	return 0;
}

static void test_done(void **state)
{
	struct asked *a = *state;

	for (uint32_t i = 1; i <= 2000; i++) {
		xe_call_ask(&a->call, count, a);
		assert_true(xe_call_wait(&a->call, 10000));
		assert_int_equal(a->done, i);
		assert_false(xe_call_is_asked(&a->call));
	}
}

static void test_taken_back(void **state)
{
	struct asked *a = *state;
	uint64_t start_ns = xe_now_ns(), took_ns;

	atomic_store(&a->still, true);
	xe_call_ask(&a->call, count, a);
	assert_false(xe_call_wait(&a->call, 50));
	took_ns = xe_now_ns() - start_ns;
	assert_in_range(took_ns, 50 * XE_NS_PER_MS, 10 * XE_NS_PER_SEC);
	assert_true(xe_call_take_back(&a->call));
	atomic_store(&a->still, false);
	/* the next one is told apart from it */
	xe_call_ask(&a->call, count, a);
	assert_true(xe_call_wait(&a->call, 10000));
	assert_int_equal(a->done, 1);
}

/* In the middle of it: cannot be taken back, and who waits does not wait for longer than said. */
static void test_begun(void **state)
{
	struct asked *a = *state;

	xe_call_ask(&a->call, stay, a);
	while (!atomic_load(&a->in_call))
		nap();
	assert_false(xe_call_wait(&a->call, 20));
	assert_false(xe_call_take_back(&a->call));
	assert_false(xe_call_wait(&a->call, 20));
	atomic_store(&a->go_on, true);
	assert_true(xe_call_wait(&a->call, 10000));
	assert_int_equal(a->done, 1);
}

/* Taken back at the very moment it may begin: run once or not at all, as is said. */
static void test_race(void **state)
{
	struct asked *a = *state;
	uint32_t run_cnt = 0;

	for (uint32_t i = 0; i < 2000; i++) {
		xe_call_ask(&a->call, count, a);
		for (uint32_t n = i % 64; n; n--)
			__asm__ volatile("");
		if (xe_call_take_back(&a->call))
			continue;
		assert_true(xe_call_wait(&a->call, 10000));
		run_cnt++;
	}
	xe_call_ask(&a->call, count, a);
	assert_true(xe_call_wait(&a->call, 10000));
	assert_int_equal(a->done, run_cnt + 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_done, setup, teardown),
		cmocka_unit_test_setup_teardown(test_taken_back, setup, teardown),
		cmocka_unit_test_setup_teardown(test_begun, setup, teardown),
		cmocka_unit_test_setup_teardown(test_race, setup, teardown),
	};

	return cmocka_run_group_tests_name("worker_call", tests, NULL, NULL);
}
