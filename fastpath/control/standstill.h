/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * standstill.h - what the control thread does while a worker that it waits for stands still.
 *
 * Mostly nothing waits for such a worker (watch.h). But one may stop in the middle of a worker
 * call, and a service that is asked to stop has to ask all of them. Meanwhile signals are read,
 * systemd's watchdog is beaten, and whoever uses the control socket is told.
 *
 * A service that is to stop does not wait for ever: then the process ends beside the worker. Its
 * thread can neither be asked nor joined, nor may anything be freed that it has in its hands, for
 * it may go on at any moment. So the flows are read from the state files, which are memory that it
 * shares, and all that others would find is put in order (programs, flows, nftables, RPS, files);
 * the rest ends with the process.
 */
#ifndef XE_STANDSTILL_H
#define XE_STANDSTILL_H

#include "control/service.h"

/* xe_worker_waits_fn, of all workers of a service: ctx is that. Control thread. */
void xe_standstill(void *svc, const struct xe_worker *w, uint64_t waited_ns);

#endif
