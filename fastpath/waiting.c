/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "waiting.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* Empty rounds before an adaptive worker sleeps. A round over a few sockets is some 100 ns, so this
 * bridges the gaps within a burst and no more: waking costs about 5 us. */
#define SPIN_ROUNDS 64
/* A worker that met so many packets since it last rested does not wait to be woken: it naps, and
 * takes what has come meanwhile together. A wake-up costs the sender half a microsecond and an
 * interrupt of another CPU; a timer costs nobody else anything. 20 us is what a NIC's interrupt
 * moderation adds, and at 10 million packets a second half a ring of 512. Below four packets, as
 * one connection's requests and answers are, the nap would only be latency (architecture.md has the
 * figures). */
#define NAP_PACKETS 4
#define NAP_NS      (20 * 1000)
/* Empty rounds between naps: what comes within a microsecond belongs to the burst. */
#define NAP_SPIN_ROUNDS 4
/* Longest sleep: a tenth of what steer takes for a stall (XE_BEAT_MAX_AGE_NS). */
#define SLEEP_MS 100
/* While a device has not taken everything nothing tells when it would take more. Asking it again at
 * once, round after round, would cost its flush of many system calls each time. */
#define UNSENT_MS 1

/* Sockets that one wake-up brings to the front; the others' turn comes within some rounds. */
#define WAKE_EVENTS 64

#ifndef SO_PREFER_BUSY_POLL
#define SO_PREFER_BUSY_POLL 69
#define SO_BUSY_POLL_BUDGET 70
#endif
/* What one turn may take from the driver: two bursts. */
#define NAPI_BUDGET 64
/* Anything but 0 allows it; how long one call may take does not come from here, for a call with
 * MSG_DONTWAIT polls once. */
#define NAPI_BUSY_US 20

int xe_waiting_open(struct xe_waiting *w, enum xe_wait mode)
{
	struct epoll_event ev = {.events = EPOLLIN, .data.ptr = w};
	int err;

	*w = (struct xe_waiting){.mode = mode};
	w->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	w->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (w->wake_fd >= 0 && w->epoll_fd >= 0 &&
	    !epoll_ctl(w->epoll_fd, EPOLL_CTL_ADD, w->wake_fd, &ev))
		return 0;
	err = -errno;
	xe_waiting_close(w);
	return err;
}

void xe_waiting_close(struct xe_waiting *w)
{
	if (w->wake_fd >= 0)
		close(w->wake_fd);
	if (w->epoll_fd >= 0)
		close(w->epoll_fd);
	w->wake_fd = w->epoll_fd = -1;
	free(w->polled);
	w->polled = NULL;
	w->polled_cnt = w->polled_capacity = 0;
}

/* Best effort: a kernel or an interface without it leaves receiving to interrupts, as ever. */
static void poll_napi_of(struct xe_waiting *w, struct xe_xsk *xsk)
{
	int on = 1, us = NAPI_BUSY_US, budget = NAPI_BUDGET;

	if (setsockopt(xsk->fd, SOL_SOCKET, SO_PREFER_BUSY_POLL, &on, sizeof(on)) ||
	    setsockopt(xsk->fd, SOL_SOCKET, SO_BUSY_POLL, &us, sizeof(us)) ||
	    setsockopt(xsk->fd, SOL_SOCKET, SO_BUSY_POLL_BUDGET, &budget, sizeof(budget)))
		return;
	if (w->polled_cnt == w->polled_capacity) {
		uint32_t capacity = w->polled_capacity ? 2 * w->polled_capacity : 16;
		struct xe_xsk **polled = realloc(w->polled, capacity * sizeof(*polled));

		if (!polled)
			return;
		w->polled = polled;
		w->polled_capacity = capacity;
	}
	w->polled[w->polled_cnt++] = xsk;
}

/* Where the socket's queue has no NAPI of its own (generic mode) the kernel returns at once. */
static void run_next_napi(struct xe_waiting *w)
{
	if (!w->polled_cnt)
		return;
	w->polled_next = (w->polled_next + 1) % w->polled_cnt;
	recvfrom(w->polled[w->polled_next]->fd, NULL, 0, MSG_DONTWAIT, NULL, NULL);
}

int xe_waiting_add(struct xe_waiting *w, struct xe_xsk *xsk)
{
	struct epoll_event ev = {.events = EPOLLIN, .data.ptr = xsk};

	if (epoll_ctl(w->epoll_fd, EPOLL_CTL_ADD, xsk->fd, &ev))
		return -errno;
	if (w->mode == XE_WAIT_BUSY)
		poll_napi_of(w, xsk);
	return 0;
}

void xe_waiting_del(struct xe_waiting *w, struct xe_xsk *xsk)
{
	epoll_ctl(w->epoll_fd, EPOLL_CTL_DEL, xsk->fd, NULL);
	for (uint32_t i = 0; i < w->polled_cnt; i++)
		if (w->polled[i] == xsk)
			w->polled[i] = w->polled[--w->polled_cnt];
}

static bool has_unsent(struct xe_xsk *const *xsks, uint32_t xsk_cnt)
{
	for (uint32_t i = 0; i < xsk_cnt; i++)
		if (xsks[i]->kick)
			return true;
	return false;
}

static void sleep_until_woken(struct xe_waiting *w, int timeout_ms)
{
	const struct xe_sleeper *s = &w->sleeper;
	struct epoll_event ev[WAKE_EVENTS];
	uint64_t n;
	int cnt;

	if (s->may_sleep && !s->may_sleep(s->ctx))
		return;
	cnt = epoll_wait(w->epoll_fd, ev, WAKE_EVENTS, timeout_ms);
	if (s->awake)
		s->awake(s->ctx);
	for (int i = 0; i < cnt; i++) {
		if (ev[i].data.ptr != w && s->ready)
			s->ready(s->ctx, ev[i].data.ptr);
		else if (ev[i].data.ptr == w && read(w->wake_fd, &n, sizeof(n)) < 0)
			continue; /* emptied already */
	}
}

/* The timers of a thread are late by 50 us, unless it says that it minds. Worker thread. */
void xe_waiting_start(void)
{
	prctl(PR_SET_TIMERSLACK, 1);
}

/* Sockets that are not looked at each round are asked by epoll afterwards, as after a sleep. */
static void nap(struct xe_waiting *w)
{
	struct timespec ts = {.tv_nsec = NAP_NS};

	clock_nanosleep(CLOCK_MONOTONIC, 0, &ts, NULL);
	sleep_until_woken(w, 0);
}

static uint32_t spin_rounds(const struct xe_waiting *w)
{
	if (w->mode == XE_WAIT_INTERRUPT)
		return 0;
	return w->naps ? NAP_SPIN_ROUNDS : SPIN_ROUNDS;
}

void xe_waiting_round(struct xe_waiting *w, struct xe_xsk *const *xsks, uint32_t xsk_cnt,
		      uint32_t work)
{
	bool unsent;

	if (work) {
		w->rounds = 0;
		w->since_rest += work;
		return;
	}
	if (w->mode == XE_WAIT_BUSY) {
		run_next_napi(w);
		return;
	}
	unsent = has_unsent(xsks, xsk_cnt);
	if (!unsent && ++w->rounds <= spin_rounds(w))
		return;
	w->naps = !unsent && w->mode == XE_WAIT_ADAPTIVE && w->since_rest >= NAP_PACKETS;
	if (w->naps)
		nap(w);
	else
		sleep_until_woken(w, unsent ? UNSENT_MS : SLEEP_MS);
	w->since_rest = 0;
	w->rounds = 0;
}

void xe_waiting_wake(const struct xe_waiting *w)
{
	uint64_t one = 1;

	if (write(w->wake_fd, &one, sizeof(one)) < 0)
		return; /* full counter: it wakes anyway */
}
