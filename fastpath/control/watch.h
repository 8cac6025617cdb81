/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * watch.h - is everything still as this service has made it, and do its workers move?
 *
 * Every 100 ms the workers' heartbeats and queues without a socket, once a second all else:
 *
 *   watch.c          what was found: logged once, told by `status`, logged again when it is over
 *   watch_worker.c   workers and this thread that stand still, CPUs that were taken away
 *   watch_host.c     programs, safety net, punt devices, RPS masks, queues, the host's settings
 *
 * With `repair: on` what others have taken away is put back at once. Settings of the host that the
 * service did not make (ip_forward, rp_filter of its interfaces) are told of, never changed.
 *
 * A stalled worker answers no worker call, and whoever makes one waits for it. So while there is
 * one, nothing begins that needs such calls: events of interfaces and addresses are made up for
 * later, verbs are refused.
 *
 * Control thread only.
 */
#ifndef XE_WATCH_H
#define XE_WATCH_H

#include "control/service.h"

int xe_watch_open(struct xe_service *svc);
void xe_watch_close(struct xe_service *svc);
/* The timer, every 100 ms. */
void xe_watch_tick(struct xe_service *svc);
/* Routes, addresses, or the kernel's switches for them have changed: the settings are looked at
 * with the next tick of a second, not only now and then. */
void xe_watch_host_changed(struct xe_service *svc);
/* What is not as it should be, one line each; `status` tells them in `why`. */
void xe_watch_tell(const struct xe_service *svc, void (*fn)(void *ctx, const char *line),
		   void *ctx);

/* A worker that is stalled, or does not answer now: NULL: none. Before whatever wants worker calls.
 */
const struct xe_worker *xe_watch_stalled(struct xe_service *svc);
/* Does one stand still, or did one that has not been told of yet? Asks nobody. */
bool xe_watch_stood_still(const struct xe_service *svc);
/* True: a worker is stalled, or ports are to stay as they are for who takes over; this event is
 * made up for when that is over. */
bool xe_watch_defers(struct xe_service *svc);
/* True: a worker is stalled, the request has been refused with that. */
bool xe_watch_refuses(struct xe_service *svc, struct xe_ctl_request *req);

/* ---- among the files above ---- */

/* Which of its parts told of something: each forgets what it does not find again. */
enum xe_watch_part {
	XE_WATCH_STALLS,
	XE_WATCH_CPUS,
	XE_WATCH_PROGRAMS,
	XE_WATCH_NET,
	XE_WATCH_PUNT,
	XE_WATCH_RPS,
	XE_WATCH_QUEUES,
	XE_WATCH_SETTINGS,
};
#define XE_WATCH_QUIET 0x1 /* `status` finds it by itself */
#define XE_WATCH_NOTE  0x2 /* nothing that is configured fails by it */

/* A look at a part begins; it ends, and what was not found again is over. */
void xe_watch_begin(struct xe_watch *watch, enum xe_watch_part part);
void xe_watch_end(struct xe_watch *watch, enum xe_watch_part part);
/* Found, of `what`: logged when it is new, or something else than before. */
void xe_watch_found(struct xe_watch *watch, enum xe_watch_part part, uint32_t flags,
		    const char *what, const char *fmt, ...) __attribute__((format(printf, 5, 6)));
/* Just repaired: over, unless found again. */
void xe_watch_over(struct xe_watch *watch, enum xe_watch_part part, const char *what);

void xe_watch_stalls(struct xe_service *svc, uint64_t now_ns);
void xe_watch_cpus(struct xe_service *svc);
void xe_watch_host(struct xe_service *svc);
/* Ports with packets by queues that have no socket: each tick. */
void xe_watch_unheard(struct xe_service *svc);

#endif
