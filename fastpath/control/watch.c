/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "control/watch.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "control/watch_state.h"

/* Ticks of the service's timer (100 ms) in a second. */
#define TICKS_A_SECOND 10

int xe_watch_open(struct xe_service *svc)
{
	svc->watch = calloc(1, sizeof(*svc->watch));
	if (!svc->watch)
		return -ENOMEM;
	svc->watch->host_changed = true;
	return 0;
}

void xe_watch_close(struct xe_service *svc)
{
	free(svc->watch);
	svc->watch = NULL;
}

void xe_watch_tick(struct xe_service *svc)
{
	struct xe_watch *watch = svc->watch;

	xe_watch_stalls(svc, xe_now_ns());
	++watch->ticks;
	if (watch->stalled)
		return;
	xe_watch_unheard(svc);
	if (watch->ticks % TICKS_A_SECOND)
		return;
	xe_watch_cpus(svc);
	xe_watch_host(svc);
}

void xe_watch_host_changed(struct xe_service *svc)
{
	if (svc->watch)
		svc->watch->host_changed = true;
}

/* ---- what was found ---- */

void xe_watch_begin(struct xe_watch *watch, enum xe_watch_part part)
{
	for (uint32_t i = 0; i < watch->finding_cnt; i++)
		if (watch->findings[i].part == part)
			watch->findings[i].again = false;
}

void xe_watch_end(struct xe_watch *watch, enum xe_watch_part part)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < watch->finding_cnt; i++) {
		const struct xe_watch_finding *f = &watch->findings[i];

		if (f->part != part || f->again) {
			watch->findings[kept++] = *f;
			continue;
		}
		if (part != XE_WATCH_STALLS) /* the worker tells more itself */
			xe_log_info("%s: as it should be again after %.1f s", f->what,
				    (double)(xe_now_ns() - f->since_ns) / (double)XE_NS_PER_SEC);
	}
	watch->finding_cnt = kept;
}

/* Of the host's settings several may be wrong under one name: each is by itself. */
static struct xe_watch_finding *find(struct xe_watch *watch, enum xe_watch_part part,
				     const char *what, const char *why)
{
	for (uint32_t i = 0; i < watch->finding_cnt; i++) {
		struct xe_watch_finding *f = &watch->findings[i];

		if (f->part == part && !strcmp(f->what, what) &&
		    (part != XE_WATCH_SETTINGS || !strcmp(f->why, why)))
			return f;
	}
	return NULL;
}

void xe_watch_found(struct xe_watch *watch, enum xe_watch_part part, uint32_t flags,
		    const char *what, const char *fmt, ...)
{
	struct xe_watch_finding *f;
	char why[sizeof(f->why)];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	f = find(watch, part, what, why);
	if (!f && watch->finding_cnt == XE_WATCH_FINDINGS)
		return; /* the first ones say enough */
	if (!f) {
		f = &watch->findings[watch->finding_cnt++];
		*f = (struct xe_watch_finding){
			.part = part, .flags = flags, .since_ns = xe_now_ns()};
		snprintf(f->what, sizeof(f->what), "%s", what);
	}
	f->again = true;
	if (!strcmp(f->why, why))
		return;
	snprintf(f->why, sizeof(f->why), "%s", why);
	if (flags & XE_WATCH_NOTE)
		xe_log_info("%s: %s", what, why);
	else
		xe_log_warn("%s: %s", what, why);
}

void xe_watch_over(struct xe_watch *watch, enum xe_watch_part part, const char *what)
{
	struct xe_watch_finding *f = find(watch, part, what, "");

	if (f)
		f->again = false;
}

void xe_watch_tell(const struct xe_service *svc, void (*fn)(void *ctx, const char *line), void *ctx)
{
	const struct xe_watch *watch = svc->watch;
	char line[sizeof(watch->findings[0].what) + sizeof(watch->findings[0].why) + 32];

	for (uint32_t i = 0; i < watch->finding_cnt; i++) {
		const struct xe_watch_finding *f = &watch->findings[i];

		if (f->flags & (XE_WATCH_QUIET | XE_WATCH_NOTE))
			continue;
		snprintf(line, sizeof(line), "%s: %s (noticed %.1f s ago)", f->what, f->why,
			 (double)(xe_now_ns() - f->since_ns) / (double)XE_NS_PER_SEC);
		fn(ctx, line);
	}
}
