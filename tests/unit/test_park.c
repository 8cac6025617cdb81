/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_park.c - a worker is to stand still, by one that cannot wait for ever: it may be stopped
 * before it hears of it, or while it does. Its thread here has rounds and no packets.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>
#include <cmocka.h>

#include "base/clock.h"
#include "worker.h"

/* What it is not to be waited for longer; and what is as good as for ever. */
#define SHORT_MS 30
#define LONG_MS  10000

struct fake {
	struct xe_worker w;
	pthread_t thread;
	_Atomic bool still, in_call, go_on, stop;
	_Atomic uint32_t rounds;
	uint32_t done; /* calls of count() */
};

static void nap(void)
{
	nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

static void *run(void *arg)
{
	struct fake *f = arg;

	while (!atomic_load(&f->stop)) {
		if (atomic_load(&f->still)) {
			nap();
			continue;
		}
		if (xe_call_is_asked(&f->w.call))
			xe_call_run(&f->w.call, &f->w);
		while (atomic_load(&f->w.parked) && !atomic_load(&f->stop)) {
			if (xe_call_is_asked(&f->w.call))
				xe_call_run(&f->w.call, &f->w);
			nap();
		}
		atomic_fetch_add(&f->rounds, 1);
	}
	return NULL;
}

static int setup(void **state)
{
	static struct fake f;

	f = (struct fake){.w.running = true};
	xe_call_open(&f.w.call);
	sem_init(&f.w.unparked, 0, 0);
	if (xe_waiting_open(&f.w.waiting, XE_WAIT_ADAPTIVE))
		return -1;
	*state = &f;
	return pthread_create(&f.thread, NULL, run, &f);
}

static int teardown(void **state)
{
	struct fake *f = *state;

	atomic_store(&f->stop, true);
	pthread_join(f->thread, NULL);
	xe_waiting_close(&f->w.waiting);
	xe_call_close(&f->w.call);
	return 0;
}

static void count(struct xe_worker *w, void *arg)
{
	(void)w;
	((struct fake *)arg)->done++;
}

static void stay(struct xe_worker *w, void *arg)
{
	struct fake *f = arg;

	(void)w;
	atomic_store(&f->in_call, true);
	while (!atomic_load(&f->go_on))
		nap();
}

static void expect_rounds(struct fake *f, bool wanted)
{
	uint32_t was = atomic_load(&f->rounds);
	uint64_t end_ns = xe_now_ns() + (wanted ? LONG_MS : SHORT_MS) * XE_NS_PER_MS;

	while (atomic_load(&f->rounds) - was < 2 && xe_now_ns() < end_ns)
		nap();
	assert_int_equal(atomic_load(&f->rounds) - was >= 2, wanted);
}

static void test_parked(void **state)
{
	struct fake *f = *state;

	for (uint32_t i = 1; i <= 20; i++) {
		assert_true(xe_worker_park(&f->w, LONG_MS));
		expect_rounds(f, false);
		xe_worker_call(&f->w, count, f); /* by this thread */
		assert_int_equal(f->done, i);
		xe_worker_unpark(&f->w);
		expect_rounds(f, true);
	}
}

/* Stopped before: not waited for, and not parked when it goes on. */
static void test_not_asked_any_more(void **state)
{
	struct fake *f = *state;

	atomic_store(&f->still, true);
	nap();
	nap();
	assert_false(xe_worker_park(&f->w, SHORT_MS));
	assert_false(xe_worker_call_within(&f->w, count, f, SHORT_MS));
	assert_false(xe_worker_answers(&f->w, SHORT_MS));
	atomic_store(&f->still, false);
	expect_rounds(f, true);
	assert_int_equal(f->done, 0);
	assert_true(xe_worker_call_within(&f->w, count, f, LONG_MS));
	assert_int_equal(f->done, 1);
	assert_true(xe_worker_park(&f->w, LONG_MS));
	expect_rounds(f, false);
	xe_worker_unpark(&f->w);
}

/* Stopped in the middle of a call that has been begun: it cannot be asked, and not be parked. */
static void test_in_a_call(void **state)
{
	struct fake *f = *state;

	xe_worker_call_begin(&f->w, stay, f);
	while (!atomic_load(&f->in_call))
		nap();
	assert_false(xe_worker_park(&f->w, SHORT_MS));
	assert_false(xe_worker_call_within(&f->w, count, f, SHORT_MS));
	atomic_store(&f->go_on, true);
	assert_true(xe_worker_park(&f->w, LONG_MS));
	expect_rounds(f, false);
	xe_worker_unpark(&f->w);
	assert_true(xe_worker_call_within(&f->w, count, f, LONG_MS));
	assert_int_equal(f->done, 1);
}

int main(void)
{
#define PARK_TEST(t) cmocka_unit_test_setup_teardown(t, setup, teardown)
	const struct CMUnitTest tests[] = {
		PARK_TEST(test_parked),
		PARK_TEST(test_not_asked_any_more),
		PARK_TEST(test_in_a_call),
	};

	return cmocka_run_group_tests_name("park", tests, NULL, NULL);
}
