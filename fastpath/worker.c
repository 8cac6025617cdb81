/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "worker.h"

#include <errno.h>
#include <numa.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/confine.h"
#include "base/log.h"
#include "pipeline/pipeline.h"
#include "pipeline/reassemble.h"
#include "pipeline/stall.h"
#include "state/session_file.h"

/* Housekeeping is worth a look once a millisecond, not once a round. */
#define HOUSEKEEPING_NS XE_NS_PER_MS

int xe_cpu_node(int cpu)
{
	return numa_available() >= 0 ? numa_node_of_cpu(cpu) : -1;
}

static int lane_open(struct xe_lane *lane, const struct xe_worker_conf *c)
{
	size_t region = (size_t)c->live_mask + 1;
	int err;

	lane->worker = c->idx;
	lane->worker_cnt = c->worker_cnt;
	lane->beats = c->beats;
	lane->handoff = c->handoff;
	lane->live_all = c->live;
	lane->any_accept = c->any_accept;
	lane->punt_fd = c->punt_fd;
	lane->punt_uplink_fd = c->punt_uplink_fd;
	lane->fill_max = XE_FILL_MAX;
	lane->timeouts = c->timeouts;
	lane->sessions_per_source = c->sessions_per_source;
	lane->now_s = (uint32_t)(xe_now_ns() / XE_NS_PER_SEC);
	lane->live = (struct xe_live){.buckets = c->live + c->idx * region, .mask = c->live_mask};
	lane->gso.bypass_fd = lane->gso.qdisc_fd = -1;
	lane->ports = calloc(XE_MAX_PORTS, sizeof(*lane->ports));
	if (!lane->ports)
		return -ENOMEM;
	xe_wheel_init(&lane->wheel, lane->now_s);
	err = xe_umem_open_slice(&lane->umem, c->area, c->handoff, c->idx);
	if (!err)
		err = c->file ? xe_sessions_open_in(&lane->sessions, c->sessions, c->k0, c->k1,
						    c->file)
			      : xe_sessions_open(&lane->sessions, c->sessions, c->k0, c->k1);
	if (!err && c->budget)
		xe_sessions_share(&lane->sessions, c->budget, c->part);
	if (!err)
		err = xe_nexthops_open(&lane->nexthops, c->sessions, c->k0, c->k1);
	if (!err)
		err = xe_sources_open(&lane->sources, c->sessions, c->k0, c->k1);
	if (!err)
		err = xe_natpool_open(&lane->pool, &lane->sessions, c->owned, c->claims, c->taken,
				      c->idx, c->worker_cnt, c->rng_k0, c->rng_k1);
	if (!err && c->file)
		lane->pool.rested_s = xe_session_file_rested(c->file);
	if (!err)
		err = xe_reassemble_open(lane);
	if (!err)
		err = xe_terms_open(&lane->terms, c->terms, c->sessions, c->k0, c->k1);
	lane->sources.outside = lane->terms.outside = c->outside;
	if (!err)
		err = xe_gso_tx_open(&lane->gso);
	return err;
}

static void lane_close(struct xe_lane *lane)
{
	xe_gso_tx_close(&lane->gso);
	xe_reassemble_close(lane);
	xe_terms_close(&lane->terms);
	xe_natpool_close(&lane->pool);
	xe_sources_close(&lane->sources);
	xe_nexthops_close(&lane->nexthops);
	xe_sessions_close(&lane->sessions);
	xe_umem_close(&lane->umem);
	for (uint32_t i = 0; lane->ports && i < XE_MAX_PORTS; i++) {
		free(lane->ports[i].allow);
		free(lane->ports[i].allow6);
		free(lane->ports[i].rss);
	}
	free(lane->ports);
}

/* Frames that other workers send home matter to a sleeper only when it could not receive without
 * them. */
static bool is_hungry(const struct xe_umem *umem)
{
	return umem->lent_cnt && umem->free_cnt < umem->frame_cnt / 4;
}

static bool may_sleep(void *ctx)
{
	const struct xe_worker *w = ctx;
	struct xe_lane *lane = w->lane;

	return !lane->handoff ||
	       xe_handoff_may_sleep(lane->handoff, w->idx, is_hungry(&lane->umem));
}

static void awake(void *ctx)
{
	const struct xe_worker *w = ctx;

	if (w->lane->handoff)
		xe_handoff_awake(w->lane->handoff, w->idx);
}

static void ready(void *ctx, struct xe_xsk *xsk)
{
	const struct xe_worker *w = ctx;

	xe_pipeline_activate(w->lane, xsk->lane_idx);
}

int xe_worker_open(struct xe_worker *w, const struct xe_worker_conf *conf)
{
	int err = -ENOMEM;

	memset(w, 0, sizeof(*w));
	w->idx = conf->idx;
	w->cpu = conf->cpu;
	w->control_fd = conf->control_fd;
	w->beat = &conf->beats[conf->idx];
	w->file = conf->file;
	w->waiting.wake_fd = w->waiting.epoll_fd = -1;
	w->waits = conf->waits;
	w->waits_ctx = conf->waits_ctx;
	xe_call_open(&w->call);
	sem_init(&w->unparked, 0, 0);
	sem_init(&w->ended, 0, 0);
	w->lane = calloc(1, sizeof(*w->lane));
	if (!w->lane)
		goto out;
	err = lane_open(w->lane, conf);
	if (!err)
		err = xe_waiting_open(&w->waiting, conf->wait);
	if (err)
		goto out;
	w->waiting.sleeper = (struct xe_sleeper){may_sleep, awake, ready, w};
	if (conf->handoff)
		conf->handoff->bells[conf->idx].fd = w->waiting.wake_fd;
out:
	if (err)
		xe_worker_close(w);
	return err;
}

void xe_worker_close(struct xe_worker *w)
{
	if (!w->lane)
		return;
	lane_close(w->lane);
	free(w->lane);
	w->lane = NULL;
	xe_waiting_close(&w->waiting);
	xe_call_close(&w->call);
	sem_destroy(&w->unparked);
	sem_destroy(&w->ended);
}

/* After a stall steer stays shut until the control thread has seen to it that flows which the
 * kernel has begun meanwhile stay whole (watch_worker.c); should that stand still, too, for so
 * long. */
#define SHUT_MAX_NS (500 * XE_NS_PER_MS)

static bool is_shut(struct xe_worker *w, uint64_t now_ns)
{
	if (atomic_load_explicit(&w->opened, memory_order_acquire) != w->lane->stall_cnt &&
	    now_ns < w->shut_ns + SHUT_MAX_NS)
		return true;
	w->shut_ns = 0;
	return false;
}

/* Beat last: until then steer gives nothing to a worker that has been stalled. */
static void beat(struct xe_worker *w, uint64_t now_ns)
{
	if (xe_stall_tick(w->lane, now_ns))
		w->shut_ns = now_ns = xe_now_coarse_ns();
	if (w->shut_ns && is_shut(w, now_ns))
		return;
	__atomic_store_n(w->beat, now_ns, __ATOMIC_RELEASE);
	if (w->beat_mirror)
		__atomic_store_n(w->beat_mirror, now_ns, __ATOMIC_RELEASE);
}

static void wake_control(struct xe_worker *w)
{
	uint32_t head = atomic_load_explicit(&w->lane->nexthops.head, memory_order_relaxed);
	uint64_t one = 1;

	if (head == w->notified)
		return;
	w->notified = head;
	if (write(w->control_fd, &one, sizeof(one)) < 0)
		return; /* full counter: it is awake anyway */
}

/* It may be here, behind the call before, when it is asked to be. */
static void stay_parked(struct xe_worker *w)
{
	while (atomic_load(&w->parked)) {
		if (xe_call_is_asked(&w->call))
			xe_call_run(&w->call, w);
		else
			sem_wait(&w->unparked);
	}
}

static void run_call(struct xe_worker *w)
{
	xe_call_run(&w->call, w);
	stay_parked(w);
}

#ifdef XE_DEBUG
static void audit(struct xe_lane *lane)
{
	uint32_t fill = lane->leaving_fill, tx = lane->leaving_tx;

	for (uint32_t i = 0; i < lane->xsk_cnt; i++) {
		fill += lane->xsks[i]->fill_cnt;
		tx += lane->xsks[i]->tx_cnt;
	}
	if (xe_umem_audit(&lane->umem, fill, tx))
		abort();
}
#endif

/* What waited for a next hop, before what has come since. */
static void look_at_held(struct xe_lane *lane)
{
	static _Thread_local uint32_t hold_seen_s;

	if (lane->hold.cnt && (lane->hold.epoch != atomic_load_explicit(&lane->nexthops.epoch,
									memory_order_acquire) ||
			       hold_seen_s != lane->now_s)) {
		hold_seen_s = lane->now_s;
		xe_hold_poll(lane);
		xe_pipeline_flush(lane);
	}
}

/* more: timers are due that the last time has left. Their sessions hold L4 ports which others may
 * be refused, so an idle worker goes on at once. */
static void housekeeping(struct xe_worker *w, uint64_t now_ns, uint64_t *next_ns, bool idle,
			 bool *more)
{
	struct xe_lane *lane = w->lane;

	if (now_ns < *next_ns && !(idle && *more))
		return;
	*next_ns = now_ns + HOUSEKEEPING_NS;
	if (lane->handoff)
		xe_stall_look(lane, now_ns);
	*more = xe_pipeline_housekeeping(lane);
#ifdef XE_DEBUG
	audit(lane);
#endif
}

/* Three times the share of a task at nice 0. With nice -20 a receiver on the worker's CPU starved
 * (a flood of small UDP packets: 0.10 Mpps received where 0.17 to 0.24 are with -5), and one TCP
 * stream had 16.6 Gb/s where it has 20.5. */
#define WORKER_NICE (-5)
/* EEVDF (kernel 6.12): the shortest slice there is; whoever asks for less at a time is run sooner
 * when it wakes. Older kernels take no notice. */
#define SLICE_NS (100 * 1000)

/* linux/sched/types.h cannot be included beside sched.h. */
struct sched_attr_v0 {
	uint32_t size, policy;
	uint64_t flags;
	int32_t nice;
	uint32_t priority;
	uint64_t runtime, deadline, period; /* ns; runtime is the slice of a normal task */
};

/*
 * A worker that shares its CPU must get it soon when packets come: the senders fill its rings at
 * the rate of their own CPUs, and what does not fit is lost, while the kernel's forwarding would
 * have slowed them down. But its packets' receivers must run, too. Needs CAP_SYS_NICE; works less
 * well without.
 */
static void raise_priority(const struct xe_worker *w)
{
	struct sched_attr_v0 attr = {
		.size = sizeof(attr),
		.policy = SCHED_OTHER,
		.nice = WORKER_NICE,
		.runtime = SLICE_NS,
	};

	if (syscall(SYS_sched_setattr, 0, &attr, 0))
		xe_log_info("worker %u: stays at normal priority: %s", w->idx, strerror(errno));
}

static void *worker_main(void *arg)
{
	struct xe_worker *w = arg;
	struct xe_lane *lane = w->lane;
	uint64_t next_ns = 0, now_ns;
	uint32_t packets;
	bool more = false;

	raise_priority(w);
	xe_waiting_start();
	/* What parses packets may do nothing but use the descriptors it has been given. */
	if (xe_confine_worker())
		xe_log_warn("worker %u: keeps its capabilities", w->idx);
	stay_parked(w);
	while (!atomic_load_explicit(&w->stop, memory_order_relaxed)) {
		now_ns = xe_now_coarse_ns();
		beat(w, now_ns);
		if (xe_call_is_asked(&w->call)) {
			run_call(w);
			if (atomic_load_explicit(&w->stop, memory_order_relaxed))
				break; /* parked, and not to go on */
			now_ns = xe_now_coarse_ns();
			beat(w, now_ns);
		}
		lane->rules = atomic_load_explicit(&w->rules, memory_order_acquire);
		look_at_held(lane);
		packets = xe_pipeline_poll(lane);
		housekeeping(w, now_ns, &next_ns, !packets, &more);
		wake_control(w);
		xe_waiting_round(&w->waiting, lane->kicks, lane->kick_cnt,
				 packets + more + w->call.again);
	}
	sem_post(&w->ended);
	return NULL;
}

/* One that does not run, or not yet, does not stall either. */
void xe_worker_beat(struct xe_worker *w)
{
	w->lane->ticked_ns = 0;
	beat(w, xe_now_coarse_ns());
}

int xe_worker_make(struct xe_worker *w)
{
	cpu_set_t cpus;
	char name[16];
	int err;

	atomic_store(&w->stop, false);
	atomic_store(&w->parked, true);
	err = -pthread_create(&w->thread, NULL, worker_main, w);
	if (err)
		return err;
	w->made = true;
	snprintf(name, sizeof(name), "xe-worker/%u", w->idx);
	pthread_setname_np(w->thread, name);
	CPU_ZERO(&cpus);
	CPU_SET(w->cpu, &cpus);
	err = pthread_setaffinity_np(w->thread, sizeof(cpus), &cpus);
	if (err)
		xe_log_warn("worker %u: cannot be pinned to CPU %d: %s", w->idx, w->cpu,
			    strerror(err));
	return 0;
}

void xe_worker_go(struct xe_worker *w, uint64_t since_ns)
{
	struct xe_lane *lane = w->lane;

	if (since_ns) {
		lane->quiet_ns = lane->ticked_ns > since_ns ? lane->ticked_ns - since_ns : 0;
	} else {
		xe_worker_beat(w);
		lane->ticked_ns = 0; /* the thread may take its time to begin */
	}
	w->running = true;
	xe_worker_unpark(w);
}

int xe_worker_start(struct xe_worker *w)
{
	int err = xe_worker_make(w);

	if (!err)
		xe_worker_go(w, 0);
	return err;
}

void xe_worker_unpark(struct xe_worker *w)
{
	atomic_store(&w->parked, false);
	sem_post(&w->unparked);
}

/* Short against the 100 ms in which the control socket is to answer: others are seen to between
 * two looks. */
#define LOOK_MS 50

static void wait_on(struct xe_worker *w, uint64_t since_ns)
{
	if (w->waits)
		w->waits(w->waits_ctx, w, xe_now_ns() - since_ns);
}

void xe_worker_stop(struct xe_worker *w)
{
	uint64_t since_ns = xe_now_ns();

	if (!w->made)
		return;
	atomic_store(&w->stop, true);
	xe_worker_unpark(w);
	xe_worker_wake(w);
	while (!xe_sem_wait_ms(&w->ended, LOOK_MS))
		wait_on(w, since_ns);
	pthread_join(w->thread, NULL);
	w->made = w->running = false;
}

void xe_worker_wake(struct xe_worker *w)
{
	xe_waiting_wake(&w->waiting);
}

static void finish_call(struct xe_worker *w, uint64_t since_ns)
{
	while (!xe_call_wait(&w->call, LOOK_MS))
		wait_on(w, since_ns);
}

void xe_worker_call_end(struct xe_worker *w)
{
	if (w->asked)
		finish_call(w, xe_now_ns());
	w->asked = false;
}

void xe_worker_call_begin(struct xe_worker *w, xe_worker_fn fn, void *arg)
{
	xe_worker_call_end(w);
	if (!w->running || atomic_load(&w->parked)) {
		do {
			w->call.again = false;
			fn(w, arg);
		} while (w->call.again);
		return;
	}
	xe_call_ask(&w->call, fn, arg);
	w->asked = true;
	xe_worker_wake(w);
}

void xe_worker_call(struct xe_worker *w, xe_worker_fn fn, void *arg)
{
	xe_worker_call_begin(w, fn, arg);
	xe_worker_call_end(w);
}

static bool call_ends_within(struct xe_worker *w, uint32_t timeout_ms)
{
	if (w->asked && !xe_call_wait(&w->call, timeout_ms))
		return false;
	w->asked = false;
	return true;
}

bool xe_worker_call_within(struct xe_worker *w, xe_worker_fn fn, void *arg, uint32_t timeout_ms)
{
	uint64_t since_ns = xe_now_ns();

	if (!call_ends_within(w, timeout_ms))
		return false;
	if (!w->running || atomic_load(&w->parked)) {
		fn(w, arg);
		return true;
	}
	xe_call_ask(&w->call, fn, arg);
	xe_worker_wake(w);
	if (xe_call_wait(&w->call, timeout_ms))
		return true;
	if (xe_call_take_back(&w->call))
		return false;
	finish_call(w, since_ns);
	return true;
}

static void nothing(struct xe_worker *w, void *arg)
{
	(void)w;
	(void)arg;
}

bool xe_worker_answers(struct xe_worker *w, uint32_t timeout_ms)
{
	return xe_worker_call_within(w, nothing, NULL, timeout_ms);
}

/* Who asks says that it is parked, not the worker: so that can be taken back at any moment, also
 * when the worker stands still in the middle of this call, which is waited for before the next. */
bool xe_worker_park_begin(struct xe_worker *w, uint32_t timeout_ms)
{
	if (!w->running)
		return true;
	if (!call_ends_within(w, timeout_ms))
		return false;
	atomic_store(&w->parked, true);
	xe_call_ask(&w->call, nothing, NULL);
	xe_worker_wake(w);
	sem_post(&w->unparked);
	return true;
}

bool xe_worker_park_end(struct xe_worker *w, uint32_t timeout_ms)
{
	if (!w->running || xe_call_wait(&w->call, timeout_ms))
		return true;
	w->asked = !xe_call_take_back(&w->call);
	xe_worker_unpark(w);
	return false;
}

bool xe_worker_park(struct xe_worker *w, uint32_t timeout_ms)
{
	return xe_worker_park_begin(w, timeout_ms) && xe_worker_park_end(w, timeout_ms);
}
