/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * watchdog.h - beats for systemd's watchdog (sd_watchdog_enabled(3)), by the control thread.
 *
 * That they come at all says that the control thread turns. A worker that stands still does not end
 * them at once: the kernel has its ports meanwhile (steer sees its heartbeat), and a restart would
 * take those of all the others, too. When it has stood for XE_WATCHDOG_PATIENCE_S it will not go
 * on by itself, and the flows it has are served by nobody: then a restart is the lesser evil.
 *
 * Control thread.
 */
#ifndef XE_WATCHDOG_H
#define XE_WATCHDOG_H

#include <stdbool.h>
#include <stdint.h>

#include "xegress/steer_abi.h"

/* Longer than a stop in a debugger or a starved CPU that flows survive (10 s) by far, shorter than
 * the patience of who waits for a connection. */
#define XE_WATCHDOG_PATIENCE_S 60

struct xe_watchdog {
	uint32_t every;    /* ticks between two beats; 0: nobody waits for them */
	uint32_t tick;     /* since the last one */
	uint32_t patience; /* ticks */
	bool told;         /* why there are none */
	bool ready;        /* systemd has been told so */
	struct {
		uint64_t beat; /* the worker's, as last seen */
		uint32_t age;  /* ticks for which it has not moved */
	} seen[XE_MAX_WORKERS];
};

/* tick_ms: time between two calls of xe_watchdog_tick(). */
void xe_watchdog_open(struct xe_watchdog *wd, uint32_t tick_ms);
/* A successor's, whose environment says nothing of it: what the process before it had. The first
 * beat is due at once. */
void xe_watchdog_inherit(struct xe_watchdog *wd, uint32_t every, uint32_t patience);
/* Heartbeats of the workers, by number. Time is counted in turns of the caller, so that a process
 * that was stopped as a whole finds nobody late. True: a beat is due. */
bool xe_watchdog_due(struct xe_watchdog *wd, const uint64_t *beats, uint32_t worker_cnt);
/* To systemd: what runs is alive. Before it is ready that is more time for the start, for the first
 * beat begins the wait for the next (systemd 252). */
void xe_watchdog_alive(const struct xe_watchdog *wd);
/* Give a beat, if due. */
void xe_watchdog_tick(struct xe_watchdog *wd, const uint64_t *beats, uint32_t worker_cnt);

#endif
