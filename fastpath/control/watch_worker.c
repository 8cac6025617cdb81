/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * watch_worker.c - threads that stand still, and CPUs that were taken away.
 *
 * steer notices a stalled worker by itself, and the worker what is to be done when it goes on
 * (pipeline/stall.h): all here is about telling, and about what had to wait.
 */
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "control/ct_adopt.h"
#include "control/port_attach.h"
#include "control/takeover_give.h"
#include "control/watch_state.h"

/* Later than this, and the tick says more of this thread than of the workers: in a process that was
 * stopped their beats are as old as ours. They get as long to run before they are named. */
#define TICK_LATE_NS (500 * XE_NS_PER_MS)
/* A worker that has just been stopped has a fresh beat, so it is asked (XE_WORKER_PATIENCE_MS); and
 * nothing else is done meanwhile, but that only until the beat is old. Looked after this often: the
 * next hops that the others ask for, whose packets wait. */
#define ANSWERS_STEP_MS 2
/* Events come in crowds: of twenty containers that are made at once, some hundred. */
#define ANSWER_HOLDS_NS (20 * XE_NS_PER_MS)

/* From the first packet on that steer takes again it takes only those of known flows: one that the
 * kernel has begun keeps its mapping until it is a session, and a SYN of it that is sent again does
 * not make it another. */
static void open_again(struct xe_service *svc)
{
	for (struct xe_port *p = svc->port_list; p; p = p->next) {
		const struct xe_link *link = xe_netlink_link(svc->netlink, p->ifindex);

		if (p->state != XE_PORT_ATTACHED || !p->live || !link || !svc->ct)
			continue;
		p->moving = true;
		xe_port_tell_steer(svc, p, link);
	}
	for (uint32_t i = 0; i < svc->worker_cnt; i++) {
		atomic_store_explicit(&svc->workers[i].opened, svc->watch->stall_seen[i],
				      memory_order_release);
		xe_worker_wake(&svc->workers[i]);
	}
}

static void all_move_again(struct xe_service *svc)
{
	struct xe_watch *watch = svc->watch;

	if (watch->deferred) {
		watch->deferred = false;
		xe_ports_catch_up(svc);
	}
	xe_ct_adopt(svc);
}

static bool is_stalled(const struct xe_worker *w, uint64_t now_ns)
{
	return now_ns > __atomic_load_n(w->beat, __ATOMIC_RELAXED) + XE_BEAT_MAX_AGE_NS;
}

/* True when it has been stalled since the last look, however short that was. */
static bool tell_of_end(struct xe_watch *watch, const struct xe_worker *w)
{
	const struct xe_lane *lane = w->lane;
	uint32_t cnt = __atomic_load_n(&lane->stall_cnt, __ATOMIC_ACQUIRE);
	uint64_t ns = __atomic_load_n(&lane->stall_last_ns, __ATOMIC_RELAXED);

	if (cnt == watch->stall_seen[w->idx])
		return false;
	watch->stall_seen[w->idx] = cnt;
	xe_log_warn("worker %u: goes on, it stood still for %.1f s; its ports were left to the "
		    "kernel, its flows have not aged",
		    w->idx, (double)ns / (double)XE_NS_PER_SEC);
	return true;
}

void xe_watch_stalls(struct xe_service *svc, uint64_t now_ns)
{
	struct xe_watch *watch = svc->watch;
	uint64_t late_ns = watch->tick_ns ? now_ns - watch->tick_ns : 0;
	bool ended = false;
	char what[32];

	watch->tick_ns = now_ns;
	if (late_ns > XE_BEAT_MAX_AGE_NS)
		xe_log_warn("the control thread stood still for %.1f s",
			    (double)late_ns / (double)XE_NS_PER_SEC);
	if (late_ns > TICK_LATE_NS)
		watch->judge_from_ns = now_ns + TICK_LATE_NS;
	xe_watch_begin(watch, XE_WATCH_STALLS);
	watch->stalled = 0;
	for (uint32_t i = 0; i < svc->worker_cnt; i++) {
		const struct xe_worker *w = &svc->workers[i];

		if (tell_of_end(watch, w)) {
			ended = true;
		} else if (is_stalled(w, now_ns)) {
			watch->stalled |= 1u << i;
			if (now_ns < watch->judge_from_ns)
				continue;
			snprintf(what, sizeof(what), "worker %u", i);
			xe_watch_found(watch, XE_WATCH_STALLS, 0, what,
				       "it stands still, its ports are left to the kernel");
		}
	}
	xe_watch_end(watch, XE_WATCH_STALLS);
	if (ended)
		open_again(svc);
	if (!watch->stalled && (ended || watch->deferred))
		all_move_again(svc);
}

/* A worker that waits for its CPU keeps nobody else's first packets waiting. (One that is asked in
 * vain is not being asked while the others are served: the resolver, too, may have to call it.) */
static bool answers(struct xe_service *svc, struct xe_worker *w)
{
	uint64_t end_ns = xe_now_ns() + XE_WORKER_PATIENCE_MS * XE_NS_PER_MS;

	while (!xe_worker_answers(w, ANSWERS_STEP_MS)) {
		if (xe_now_ns() > end_ns)
			return false;
		if (svc->resolver)
			xe_resolver_poll(svc);
	}
	return true;
}

const struct xe_worker *xe_watch_stalled(struct xe_service *svc)
{
	uint64_t now_ns = xe_now_ns();

	if (!svc->watch || now_ns < svc->watch->answered_ns + ANSWER_HOLDS_NS)
		return NULL;
	for (uint32_t i = 0; i < svc->worker_cnt; i++) {
		struct xe_worker *w = &svc->workers[i];

		if (w->running && (is_stalled(w, xe_now_coarse_ns()) || !answers(svc, w)))
			return w;
	}
	svc->watch->answered_ns = now_ns;
	return NULL;
}

bool xe_watch_stood_still(const struct xe_service *svc)
{
	uint64_t now_ns = xe_now_ns();

	for (uint32_t i = 0; i < svc->worker_cnt && svc->watch; i++) {
		const struct xe_worker *w = &svc->workers[i];

		if (w->running && (is_stalled(w, now_ns) ||
				   __atomic_load_n(&w->lane->stall_cnt, __ATOMIC_ACQUIRE) !=
					   svc->watch->stall_seen[i]))
			return true;
	}
	return false;
}

bool xe_watch_defers(struct xe_service *svc)
{
	if (!svc->watch || !(xe_give_holds_still(svc) || xe_watch_stalled(svc)))
		return false;
	svc->watch->deferred = true;
	return true;
}

bool xe_watch_refuses(struct xe_service *svc, struct xe_ctl_request *req)
{
	const struct xe_worker *w = xe_watch_stalled(svc);

	if (!w)
		return false;
	xe_ctl_fail(req, XE_CTL_FAILED,
		    "worker %u stands still (stopped, traced, or starved of CPU %d): nothing that "
		    "concerns it can be asked or changed until it goes on",
		    w->idx, w->cpu);
	return true;
}

/* ---- CPUs ---- */

static void watch_cpu(struct xe_service *svc, struct xe_worker *w)
{
	cpu_set_t now, own;
	char what[32];

	CPU_ZERO(&own);
	CPU_SET(w->cpu, &own);
	if (!w->running || pthread_getaffinity_np(w->thread, sizeof(now), &now) ||
	    CPU_EQUAL(&now, &own))
		return;
	snprintf(what, sizeof(what), "worker %u's CPU", w->idx);
	if (svc->config->repair == XE_REPAIR_OFF) {
		xe_watch_found(svc->watch, XE_WATCH_CPUS, 0, what,
			       "somebody else has moved it off CPU %d", w->cpu);
	} else if (pthread_setaffinity_np(w->thread, sizeof(own), &own)) {
		xe_watch_found(svc->watch, XE_WATCH_CPUS, 0, what,
			       "CPU %d is offline, or was taken out of the process's cpuset: it "
			       "runs on others",
			       w->cpu);
	} else {
		xe_watch_found(svc->watch, XE_WATCH_CPUS, 0, what,
			       "somebody else had moved it off CPU %d, it is back", w->cpu);
		xe_watch_over(svc->watch, XE_WATCH_CPUS, what);
	}
}

void xe_watch_cpus(struct xe_service *svc)
{
	xe_watch_begin(svc->watch, XE_WATCH_CPUS);
	for (uint32_t i = 0; i < svc->worker_cnt; i++)
		watch_cpu(svc, &svc->workers[i]);
	xe_watch_end(svc->watch, XE_WATCH_CPUS);
}
