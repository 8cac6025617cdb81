/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * worker.h - one pinned thread that runs a lane: wait, pipeline, housekeeping.
 *
 * The control thread changes a running lane only by a worker call: a function that the worker runs
 * between two rounds while the caller waits. What takes long sets call.again and returns: packets
 * have a round, then it goes on. So lane state needs no locks, and when a call has
 * returned, no packet is in the middle of the pipeline with what was there before.
 */
#ifndef XE_WORKER_H
#define XE_WORKER_H

#include <pthread.h>
#include <stdatomic.h>

#include "control/config.h"
#include "pipeline/lane.h"
#include "waiting.h"
#include "worker_call.h"

/* The control thread waits for a worker, so long already; called every 50 ms. It may make no worker
 * call, and need not return. */
typedef void (*xe_worker_waits_fn)(void *ctx, const struct xe_worker *w, uint64_t waited_ns);

struct xe_worker {
	struct xe_lane *lane;
	struct xe_session_file *file; /* where its sessions lie, not owned; NULL: nowhere else */
	uint16_t idx;
	int cpu;
	struct xe_waiting waiting;
	pthread_t thread;
	bool made;      /* the thread is there */
	bool running;   /* and has rounds */
	int control_fd; /* eventfd of the control thread, not owned: next-hop requests wait */
	uint64_t *beat; /* heartbeat word in the map `beats` */
	uint64_t *beat_mirror; /* the same in another process's map (takeover), NULL: none */
	_Atomic bool stop;
	_Atomic uint32_t opened; /* stalls (lane.stall_cnt) whose end the control thread knows */
	uint64_t shut_ns;        /* after one: when it ended; 0: it beats */
	const struct xe_ruleset *_Atomic rules; /* published by the control thread */
	uint32_t notified; /* next-hop requests the control thread has been woken for */
	struct xe_worker_call call;
	bool asked;          /* control thread: a call has been begun, and not ended */
	_Atomic bool parked; /* from the end of a call on; the control thread's word */
	sem_t unparked;
	sem_t ended; /* the thread is at its end */
	xe_worker_waits_fn waits;
	void *waits_ctx;
};

struct xe_worker_conf {
	uint16_t idx, worker_cnt;
	int cpu;
	enum xe_wait wait;
	int control_fd;
	uint64_t *beats;             /* the map's words, of all workers */
	struct xe_live_bucket *live; /* regions of all workers */
	uint32_t live_mask;
	const uint32_t *any_accept;
	uint64_t *owned;
	struct xe_claims *claims;
	const struct xe_area *area;
	struct xe_handoff *handoff; /* NULL: the only worker */
	const struct xe_taken *taken;
	struct xe_terms *terms;                 /* table of all workers */
	struct xe_outside *outside;             /* the same; NULL: the only worker */
	uint32_t sessions, sessions_per_source; /* that there is memory for; of a source */
	struct xe_session_budget *budget;       /* of all workers; NULL: the only one */
	uint32_t part;                          /* an equal one of it */
	struct xe_session_file *file; /* for its sessions, longer there than it is; may be NULL */
	struct xe_timeouts timeouts;
	uint64_t k0, k1, rng_k0, rng_k1;
	int punt_fd, punt_uplink_fd;
	xe_worker_waits_fn waits; /* NULL: who waits does nothing else */
	void *waits_ctx;
};

/* The NUMA node of a CPU, -1: not known. */
int xe_cpu_node(int cpu);
/* Memory, lane and descriptors of a worker; xe_worker_start() then runs it on its CPU. */
int xe_worker_open(struct xe_worker *w, const struct xe_worker_conf *conf);
int xe_worker_start(struct xe_worker *w);
/* The same in two halves. The thread waits; until it goes, the lane is the caller's. */
int xe_worker_make(struct xe_worker *w);
/* since_ns: packets have come for it since then, and nobody has beaten (0: none have). If that was
 * too long for steer, it begins as after a stall (pipeline/stall.h). Cannot fail. */
void xe_worker_go(struct xe_worker *w, uint64_t since_ns);
/* Before it starts: steer may send packets, and the lane knows the time. */
void xe_worker_beat(struct xe_worker *w);
/* One that is well begins a round within microseconds, on a busy CPU some milliseconds; well below
 * what steer takes for a stall, for others may be parked meanwhile. */
#define XE_WORKER_PATIENCE_MS 400
/* It stands still between two rounds, and its lane is the caller's, until it is unparked, or
 * stopped: then it does not begin another round. Its heartbeat stands still, too; if it did so for
 * too long, it goes on as after a stall. False: it did not come to that within the time, and goes
 * on as if it had not been asked. */
bool xe_worker_park(struct xe_worker *w, uint32_t timeout_ms);
/* The same in two halves, so that several come to it at a time. False: not asked, or taken back. */
bool xe_worker_park_begin(struct xe_worker *w, uint32_t timeout_ms);
bool xe_worker_park_end(struct xe_worker *w, uint32_t timeout_ms);
void xe_worker_unpark(struct xe_worker *w);
/* Ends the thread (all sessions stay in the lane) and waits for it. */
void xe_worker_stop(struct xe_worker *w);
void xe_worker_close(struct xe_worker *w);

/* Run fn between two rounds and wait for it; directly when the worker does not run, or is parked.
 * Control thread only, one call at a time. */
void xe_worker_call(struct xe_worker *w, xe_worker_fn fn, void *arg);
/* The same in two halves, so that several workers are at it at a time. Another call of that worker
 * meanwhile waits for the end of this one; to end what has ended, or was not begun, is nothing. */
void xe_worker_call_begin(struct xe_worker *w, xe_worker_fn fn, void *arg);
void xe_worker_call_end(struct xe_worker *w);
/* For one that is done in one go. False: it has not begun within that time, and will not. */
bool xe_worker_call_within(struct xe_worker *w, xe_worker_fn fn, void *arg, uint32_t timeout_ms);
/* Does it begin a round within that time? A worker call to one that does not waits until it goes
 * on. Control thread only. */
bool xe_worker_answers(struct xe_worker *w, uint32_t timeout_ms);
/* End the worker's sleep. */
void xe_worker_wake(struct xe_worker *w);

/* For worker calls: sockets join and leave the lane. -ENOSPC; -ENOBUFS: no frames
 * are left for one more. */
int xe_worker_add_socket(struct xe_worker *w, struct xe_xsk *xsk);
/* The same for one of another process (xe_xsk_adopt()), whose rings are not touched before it is
 * resumed. The worker does not run. */
int xe_worker_adopt_socket(struct xe_worker *w, struct xe_xsk *xsk);
void xe_worker_resume_socket(struct xe_worker *w, struct xe_xsk *xsk, uint32_t fill_cnt,
			     uint32_t tx_cnt);
void xe_worker_del_socket(struct xe_worker *w, struct xe_xsk *xsk);

#endif
