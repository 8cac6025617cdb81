/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "control/watchdog.h"

#include <string.h>
#include <systemd/sd-daemon.h>

#include "base/log.h"

/* systemd advises half the time; a quarter leaves room for a late turn or two (a change of many
 * thousand rules takes seconds). */
#define BEATS 4

void xe_watchdog_open(struct xe_watchdog *wd, uint32_t tick_ms)
{
	uint64_t usec = 0;

	memset(wd, 0, sizeof(*wd));
	if (sd_watchdog_enabled(0, &usec) <= 0)
		return;
	wd->every = (uint32_t)(usec / 1000 / BEATS / tick_ms);
	if (!wd->every)
		wd->every = 1;
	wd->tick = wd->every - 1; /* the first one at once */
	wd->patience = XE_WATCHDOG_PATIENCE_S * 1000 / tick_ms;
}

void xe_watchdog_inherit(struct xe_watchdog *wd, uint32_t every, uint32_t patience)
{
	if (wd->every)
		return;
	wd->every = every;
	wd->patience = patience;
	wd->tick = every - !!every;
}

/* The number of a worker that has stood still for too long, or worker_cnt. */
static uint32_t find_stuck(struct xe_watchdog *wd, const uint64_t *beats, uint32_t worker_cnt)
{
	uint32_t stuck = worker_cnt;

	for (uint32_t i = 0; i < worker_cnt; i++) {
		uint64_t beat = __atomic_load_n(&beats[i], __ATOMIC_RELAXED);

		if (beat != wd->seen[i].beat)
			wd->seen[i].age = 0;
		else if (wd->seen[i].age < wd->patience)
			wd->seen[i].age++;
		else if (stuck == worker_cnt)
			stuck = i;
		wd->seen[i].beat = beat;
	}
	return stuck;
}

bool xe_watchdog_due(struct xe_watchdog *wd, const uint64_t *beats, uint32_t worker_cnt)
{
	uint32_t stuck;

	if (!wd->every)
		return false;
	stuck = find_stuck(wd, beats, worker_cnt);
	if (stuck < worker_cnt) {
		if (!wd->told)
			xe_log_err("worker %u has not moved for %d s: no more watchdog beats, so "
				   "that the service is started anew",
				   stuck, XE_WATCHDOG_PATIENCE_S);
		wd->told = true;
		return false;
	}
	wd->told = false;
	if (++wd->tick < wd->every)
		return false;
	wd->tick = 0;
	return true;
}

/* As the unit's TimeoutStartSec. */
#define START_US 20000000

void xe_watchdog_alive(const struct xe_watchdog *wd)
{
	if (wd->ready)
		sd_notify(0, "WATCHDOG=1");
	else
		sd_notifyf(0, "EXTEND_TIMEOUT_USEC=%d", START_US);
}

void xe_watchdog_tick(struct xe_watchdog *wd, const uint64_t *beats, uint32_t worker_cnt)
{
	if (xe_watchdog_due(wd, beats, worker_cnt))
		xe_watchdog_alive(wd);
}
