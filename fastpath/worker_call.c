/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "worker_call.h"

#include <errno.h>
#include <time.h>

#include "base/clock.h"

void xe_call_open(struct xe_worker_call *c)
{
	atomic_store(&c->state, XE_CALL_NONE);
	sem_init(&c->done, 0, 0);
}

void xe_call_close(struct xe_worker_call *c)
{
	sem_destroy(&c->done);
}

void xe_call_ask(struct xe_worker_call *c, xe_worker_fn fn, void *arg)
{
	c->fn = fn;
	c->arg = arg;
	atomic_store_explicit(&c->state, XE_CALL_ASKED, memory_order_release);
}

bool xe_sem_wait_ms(sem_t *sem, uint32_t timeout_ms)
{
	struct timespec until;
	uint64_t until_ns;

	if (!sem_trywait(sem))
		return true;
	until_ns = xe_now_ns() + timeout_ms * XE_NS_PER_MS;
	until = (struct timespec){.tv_sec = (time_t)(until_ns / XE_NS_PER_SEC),
				  .tv_nsec = (long)(until_ns % XE_NS_PER_SEC)};
	while (sem_clockwait(sem, CLOCK_MONOTONIC, &until))
		if (errno != EINTR)
			return false;
	return true;
}

bool xe_call_wait(struct xe_worker_call *c, uint32_t timeout_ms)
{
	/* read again: a sanitizer that does not know sem_clockwait() sees the order by it */
	return xe_sem_wait_ms(&c->done, timeout_ms) &&
	       atomic_load_explicit(&c->state, memory_order_acquire) == XE_CALL_NONE;
}

bool xe_call_take_back(struct xe_worker_call *c)
{
	int asked = XE_CALL_ASKED;

	return atomic_compare_exchange_strong(&c->state, &asked, XE_CALL_NONE);
}

void xe_call_run(struct xe_worker_call *c, struct xe_worker *w)
{
	int asked = XE_CALL_ASKED;

	if (!atomic_compare_exchange_strong(&c->state, &asked, XE_CALL_RUNNING))
		return; /* taken back meanwhile */
	c->again = false;
	c->fn(w, c->arg);
	if (c->again) {
		atomic_store_explicit(&c->state, XE_CALL_ASKED, memory_order_release);
		return;
	}
	atomic_store_explicit(&c->state, XE_CALL_NONE, memory_order_release);
	sem_post(&c->done);
}
