/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * worker_call.h - the control thread asks a worker to do something between two of its rounds.
 *
 *   NONE --ask--> ASKED --it begins--> RUNNING --it has done it--> NONE, `done` is posted
 *                   |                  '-- again: ASKED, after another round
 *                   '------taken back-------------------------> NONE, nothing is posted
 *
 * No lock is held while either side can be stopped: a worker may stand still at any instruction,
 * and who waits for it has other things to see to meanwhile, and must be able to give up.
 */
#ifndef XE_WORKER_CALL_H
#define XE_WORKER_CALL_H

#include <semaphore.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct xe_worker;
typedef void (*xe_worker_fn)(struct xe_worker *w, void *arg);

enum xe_call_state { XE_CALL_NONE, XE_CALL_ASKED, XE_CALL_RUNNING };

struct xe_worker_call {
	_Atomic int state;
	xe_worker_fn fn; /* these two the worker's from ASKED on */
	void *arg;
	bool again; /* the worker's: fn has more to do, after a round of packets */
	sem_t done;
};

void xe_call_open(struct xe_worker_call *c);
void xe_call_close(struct xe_worker_call *c);

/* Who asks: one call at a time. Each that was asked is waited for until it is done, or taken back.
 */
void xe_call_ask(struct xe_worker_call *c, xe_worker_fn fn, void *arg);
/* Done within that time? Then what the worker wrote is seen here. */
bool xe_call_wait(struct xe_worker_call *c, uint32_t timeout_ms);
/* True: it has not begun, and will not (not for one
 * that is done in several goes). False: it has, and is to be waited for. */
bool xe_call_take_back(struct xe_worker_call *c);

/* Who is asked. */
static inline bool xe_call_is_asked(const struct xe_worker_call *c)
{
	return atomic_load_explicit(&c->state, memory_order_acquire) == XE_CALL_ASKED;
}
void xe_call_run(struct xe_worker_call *c, struct xe_worker *w);

/* Has it been posted within that time? */
bool xe_sem_wait_ms(sem_t *sem, uint32_t timeout_ms);

#endif
