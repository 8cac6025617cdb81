/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_park.c - a worker is to stand still, by one that cannot wait for ever: it may be stopped
 * before it hears of it, or while it does. Its thread here has rounds and no packets.
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

#include "base/clock.h"
#include "control/service.h"
#include "control/takeover_freeze.h"
#include "worker.h"

/* What it is not to be waited for longer; and what is as good as for ever. */
#define SHORT_MS 30
#define LONG_MS  10000
/* Within what one worker may take, by some hundred milliseconds. */
#define LATE_MS (XE_WORKER_PATIENCE_MS - 100)

struct fake {
	struct xe_worker *w;
	pthread_t thread;
	_Atomic bool still, in_call, go_on, stop;
	_Atomic uint32_t rounds;
	uint32_t done; /* calls of count() */
};

/* Its first worker has a thread, the second one never answers. */
static struct xe_service svc;

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
		if (xe_call_is_asked(&f->w->call))
			xe_call_run(&f->w->call, f->w);
		while (atomic_load(&f->w->parked) && !atomic_load(&f->stop)) {
			if (xe_call_is_asked(&f->w->call))
				xe_call_run(&f->w->call, f->w);
			nap();
		}
		atomic_fetch_add(&f->rounds, 1);
	}
	return NULL;
}

static int setup(void **state)
{
	static struct fake f;

	f = (struct fake){.w = &svc.workers[0]};
	svc.worker_cnt = 2;
	for (uint32_t i = 0; i < svc.worker_cnt; i++) {
		struct xe_worker *w = &svc.workers[i];

		memset(w, 0, sizeof(*w));
		w->running = true;
		xe_call_open(&w->call);
		sem_init(&w->unparked, 0, 0);
		if (xe_waiting_open(&w->waiting, XE_WAIT_ADAPTIVE))
			return -1;
	}
	*state = &f;
	return pthread_create(&f.thread, NULL, run, &f);
}

static int teardown(void **state)
{
	struct fake *f = *state;

	atomic_store(&f->stop, true);
	pthread_join(f->thread, NULL);
	for (uint32_t i = 0; i < svc.worker_cnt; i++) {
		xe_waiting_close(&svc.workers[i].waiting);
		xe_call_close(&svc.workers[i].call);
	}
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

static void *wake_late(void *arg)
{
	struct fake *f = arg;

	nanosleep(&(struct timespec){.tv_nsec = LATE_MS * XE_NS_PER_MS}, NULL);
	atomic_store(&f->still, false);
	return NULL;
}

static void test_parked(void **state)
{
	struct fake *f = *state;

	for (uint32_t i = 1; i <= 20; i++) {
		assert_true(xe_worker_park(f->w, LONG_MS));
		expect_rounds(f, false);
		xe_worker_call(f->w, count, f); /* by this thread */
		assert_int_equal(f->done, i);
		xe_worker_unpark(f->w);
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
	assert_false(xe_worker_park(f->w, SHORT_MS));
	assert_false(xe_worker_call_within(f->w, count, f, SHORT_MS));
	assert_false(xe_worker_answers(f->w, SHORT_MS));
	atomic_store(&f->still, false);
	expect_rounds(f, true);
	assert_int_equal(f->done, 0);
	assert_true(xe_worker_call_within(f->w, count, f, LONG_MS));
	assert_int_equal(f->done, 1);
	assert_true(xe_worker_park(f->w, LONG_MS));
	expect_rounds(f, false);
	xe_worker_unpark(f->w);
}

/* Stopped in the middle of a call that has been begun: it cannot be asked, and not be parked. */
static void test_in_a_call(void **state)
{
	struct fake *f = *state;

	xe_worker_call_begin(f->w, stay, f);
	while (!atomic_load(&f->in_call))
		nap();
	assert_false(xe_worker_park(f->w, SHORT_MS));
	assert_false(xe_worker_call_within(f->w, count, f, SHORT_MS));
	atomic_store(&f->go_on, true);
	assert_true(xe_worker_park(f->w, LONG_MS));
	expect_rounds(f, false);
	xe_worker_unpark(f->w);
	assert_true(xe_worker_call_within(f->w, count, f, LONG_MS));
	assert_int_equal(f->done, 1);
}

/* Late, and the other one never: both within the time that one may take, and the late one goes on.
 */
static void test_together(void **state)
{
	struct fake *f = *state;
	uint64_t start_ns = xe_now_ns();
	pthread_t waker;

	atomic_store(&f->still, true);
	assert_int_equal(pthread_create(&waker, NULL, wake_late, f), 0);
	assert_int_equal(xe_freeze_workers(&svc), -EHOSTDOWN);
	assert_true(xe_now_ns() - start_ns < (XE_WORKER_PATIENCE_MS + LATE_MS) * XE_NS_PER_MS);
	pthread_join(waker, NULL);
	expect_rounds(f, true);
	assert_false(atomic_load(&svc.workers[1].parked));
}

int main(void)
{
#define PARK_TEST(t) cmocka_unit_test_setup_teardown(t, setup, teardown)
	const struct CMUnitTest tests[] = {
		PARK_TEST(test_parked),
		PARK_TEST(test_not_asked_any_more),
		PARK_TEST(test_in_a_call),
		PARK_TEST(test_together),
	};

	return cmocka_run_group_tests_name("park", tests, NULL, NULL);
}
