/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* report.c - the list of findings that a run of the stages makes. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hostfile.h"
#include "tune.h"

static struct tune_finding *add(struct tune_report *report, enum tune_state state,
				const char *subject, const char *fmt, va_list ap)
{
	struct tune_finding *more, *f;

	more = realloc(report->findings, (report->cnt + 1) * sizeof(*more));
	if (!more) {
		report->failed = true;
		return NULL;
	}
	report->findings = more;
	f = &more[report->cnt];
	memset(f, 0, sizeof(*f));
	f->stage = report->stage;
	f->state = state;
	snprintf(f->subject, sizeof(f->subject), "%s", subject);
	if (vasprintf(&f->why, fmt, ap) < 0) {
		f->why = NULL;
		report->failed = true;
		return NULL;
	}
	report->cnt++;
	return f;
}

void tune_say(struct tune_report *report, enum tune_state state, const char *subject,
	      const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	add(report, state, subject, fmt, ap);
	va_end(ap);
}

static void set_values(struct tune_report *report, struct tune_finding *f, const char *knob,
		       const char *have, const char *want)
{
	snprintf(f->knob, sizeof(f->knob), "%s", knob);
	f->have = strdup(have);
	f->want = strdup(want);
	report->failed |= !f->have || !f->want;
}

static const char *absence(int err)
{
	switch (err) {
	case -ENOENT:
	case -ENODEV:
	case -EOPNOTSUPP:
		return "this device or kernel has no such setting";
	case -ESTALE:
		return "/sys shows another network namespace, and this user may not mount its own";
	default:
		return strerror(-err);
	}
}

struct tune_finding *tune_want(struct tune_report *report, const char *subject, const char *knob,
			       const char *want, const char *fmt, ...)
{
	char have[TUNE_VALUE_SIZE];
	int err = tune_knob_read(knob, have, sizeof(have));
	struct tune_finding *f;
	va_list ap;

	if (err) {
		tune_say(report, TUNE_NOTE, subject, "not looked at: %s", absence(err));
		return NULL;
	}
	va_start(ap, fmt);
	f = add(report, tune_knob_same(knob, have, want) ? TUNE_OK : TUNE_FINDING, subject, fmt,
		ap);
	va_end(ap);
	if (f)
		set_values(report, f, knob, have, want);
	return f;
}

static struct tune_finding *add_kept(struct tune_report *report, const char *fmt, ...)
{
	struct tune_finding *f;
	va_list ap;

	va_start(ap, fmt);
	f = add(report, TUNE_OK, "", fmt, ap);
	va_end(ap);
	return f;
}

void tune_keep(struct tune_report *report, const char *knob)
{
	char have[TUNE_VALUE_SIZE];
	struct tune_finding *f;

	if (tune_knob_read(knob, have, sizeof(have)))
		return;
	f = add_kept(report, "kept for undo");
	if (!f)
		return;
	set_values(report, f, knob, have, have);
	f->keep = true;
}

void tune_report_free(struct tune_report *report)
{
	for (unsigned int i = 0; i < report->cnt; i++) {
		free(report->findings[i].have);
		free(report->findings[i].want);
		free(report->findings[i].why);
	}
	free(report->findings);
	memset(report, 0, sizeof(*report));
}
