/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "control/standstill.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "control/ct_adopt.h"
#include "control/data_plane.h"
#include "control/handback.h"
#include "control/l4_rest.h"
#include "control/nft_run.h"
#include "control/port_attach.h"
#include "control/state_dir.h"
#include "control/takeover_give.h"
#include "io/dispatcher.h"

/* A stop waits so long for a worker: one that is only starved gets its CPU before, and what comes
 * afterwards has its time within the 2 s in which a stop is to end. */
#define PATIENCE_NS XE_NS_PER_SEC
/* And so long for one whose beat is old already: it has had its second. (Between two looks it might
 * go on.) */
#define LAST_LOOK_NS (200 * XE_NS_PER_MS)

/* ---- the end beside it ---- */

static void put_in_order(struct xe_service *svc)
{
	bool handback = svc->config->on_stop == XE_STOP_HANDBACK;

	if (handback)
		xe_handback(svc, false);
	for (struct xe_port *p = svc->port_list; p; p = p->next) {
		if (p->id == XE_PORT_NONE)
			continue;
		xe_port_off(svc, p);
		xe_log_audit("uid=%u pid=%u detach port %s", getuid(), getpid(), p->name);
	}
	xe_ct_stop(svc);
	xe_l4_rest_keep(svc, false);
	xe_state_dir_remove(svc);
	if (svc->fallback_ours && !handback)
		xe_fallback_remove(svc->fallback);
	xe_nft_close();
	xe_dispatcher_remove(svc->steer.dispatcher_dir);
	svc->steer.dispatcher_dir = NULL;
	xe_give_close(svc);
	xe_data_plane_close_rps(svc);
}

static void __attribute__((noreturn)) end_beside(struct xe_service *svc, const struct xe_worker *w)
{
	xe_log_err("worker %u stands still (stopped, traced, or starved of CPU %d): the service "
		   "ends without it",
		   w->idx, w->cpu);
	xe_ctl_close(svc->ctl);
	if (!svc->given) /* else all is another process's */
		put_in_order(svc);
	xe_log_flush(true);
	/* Not exit(): what that runs would meet the thread. The kernel ends it with the process. */
	_exit(EXIT_FAILURE);
}

/* ---- waiting ---- */

static bool is_given_up(const struct xe_service *svc, const struct xe_worker *w, uint64_t waited_ns)
{
	uint64_t beat_ns = __atomic_load_n(w->beat, __ATOMIC_RELAXED);

	if (waited_ns > PATIENCE_NS)
		return true;
	/* Those of one that gave all away were parked, and do not beat. */
	return !svc->given && waited_ns > LAST_LOOK_NS &&
	       xe_now_ns() > beat_ns + XE_BEAT_MAX_AGE_NS;
}

void xe_standstill(void *ctx, const struct xe_worker *w, uint64_t waited_ns)
{
	struct xe_service *svc = ctx;
	char why[160];

	xe_service_signals(svc);
	if (svc->stop && is_given_up(svc, w, waited_ns))
		end_beside(svc, w);
	if (++svc->waits % 2 == 0) /* of 50 ms: as often as the timer */
		xe_watchdog_tick(&svc->watchdog, svc->steer.beats, svc->worker_cnt);
	if (waited_ns < XE_BEAT_MAX_AGE_NS) {
		svc->waits_told = false;
		return;
	}
	snprintf(
		why, sizeof(why),
		"worker %u stands still (stopped, traced, or starved of CPU %d) in the middle of a "
		"change: the service waits for it",
		w->idx, w->cpu);
	if (!svc->waits_told)
		xe_log_warn("%s", why);
	svc->waits_told = true;
	xe_ctl_refuse(svc->ctl, why);
}
