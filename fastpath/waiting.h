/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * waiting.h - what a worker does between a round without packets and the next packet.
 *
 *   adaptive    spin some rounds, then sleep until a socket or another thread wakes it. While
 *               packets keep coming: naps of some microseconds, which no packet ends
 *   interrupt   sleep at once
 *   busy        never sleep; an empty round runs the NAPI of one socket's queue, so that a driver's
 *               receiving happens on the worker's CPU, and by no interrupt (SO_PREFER_BUSY_POLL,
 *               kernel 5.11; tuning.md says what the interface has to be set to)
 *
 * Owned by the worker, but for xe_waiting_wake(), which any thread may call. Sockets are added and
 * removed in worker calls.
 */
#ifndef XE_WAITING_H
#define XE_WAITING_H

#include "control/config.h"
#include "io/xsk.h"

/* The worker's side of a sleep. */
struct xe_sleeper {
	bool (*may_sleep)(void *ctx); /* just before; false: there is something to do */
	void (*awake)(void *ctx);
	void (*ready)(void *ctx, struct xe_xsk *xsk); /* this one has packets */
	void *ctx;
};

struct xe_waiting {
	enum xe_wait mode;
	int wake_fd;         /* eventfd: another thread wants the worker's attention */
	int epoll_fd;        /* wake_fd and the sockets */
	uint32_t rounds;     /* in a row without a packet */
	uint32_t since_rest; /* packets since the last nap or sleep */
	bool naps;           /* the last rest was a nap */
	/* busy: sockets whose NAPI may be run from here, and whose turn it is */
	struct xe_xsk **polled;
	uint32_t polled_cnt, polled_capacity, polled_next;
	struct xe_sleeper
		sleeper; /* set after xe_waiting_open(), NULLs: nothing is asked or told */
};

/* 0 or -errno; then everything is closed again. */
int xe_waiting_open(struct xe_waiting *w, enum xe_wait mode);
void xe_waiting_close(struct xe_waiting *w);

/* What the thread that waits has to set for itself, before it gives its rights away. */
void xe_waiting_start(void);

/* What arrives on this socket ends the sleep. 0 or -errno. */
int xe_waiting_add(struct xe_waiting *w, struct xe_xsk *xsk);
void xe_waiting_del(struct xe_waiting *w, struct xe_xsk *xsk);

/* A round is over in which there was so much to do (packets, timers): go on, or sleep. The sleep is
 * bounded, and short while one of the sockets has something to send that its device did not take.
 */
void xe_waiting_round(struct xe_waiting *w, struct xe_xsk *const *xsks, uint32_t xsk_cnt,
		      uint32_t work);

/* End the sleep, or the next one if there is none now. Any thread. */
void xe_waiting_wake(const struct xe_waiting *w);

#endif
