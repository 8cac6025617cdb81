/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "show.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Where descriptions begin, and how wide text is: terminals of 100 columns, as the sources. */
#define WIDTH 96

static const char *const state_words[] = {
	[TUNE_OK] = "ok", [TUNE_NOTE] = "note", [TUNE_FINDING] = "finding"};

static const char *const done_words[] = {
	[TUNE_DONE] = "done",       [TUNE_AS_WAS] = "unchanged", [TUNE_GONE] = "gone",
	[TUNE_FOREIGN] = "foreign", [TUNE_BUSY] = "busy",        [TUNE_PARTLY] = "partly",
	[TUNE_FAILED] = "failed"};

/* An indirection table has a thousand numbers: enough of it is shown to be recognised. */
#define VALUE_SHOWN 60

/* ---- findings ---- */

static void print_finding(const struct tune_finding *f)
{
	if (f->state == TUNE_OK && f->knob[0]) { /* reasons are for what is to be changed */
		printf("%-9s %-10s %s: `%.*s`, as it should be\n", state_words[f->state], f->stage,
		       f->subject, VALUE_SHOWN, f->have);
		return;
	}
	printf("%-9s %-10s %s: %s\n", state_words[f->state], f->stage, f->subject, f->why);
	if (f->state == TUNE_FINDING && f->knob[0])
		printf("%-20s is `%.*s`, should be `%.*s` (%s)\n", "", VALUE_SHOWN, f->have,
		       VALUE_SHOWN, f->want, f->knob);
}

static json_t *finding_json(const struct tune_finding *f)
{
	return json_pack("{ss, ss, ss, ss, ss?, ss?, ss?}", "stage", f->stage, "subject",
			 f->subject, "state", state_words[f->state], "why", f->why, "knob",
			 f->knob[0] ? f->knob : NULL, "have", f->have, "want", f->want);
}

void tune_show_findings(struct tune_show *show, const struct tune_report *report,
			unsigned int first)
{
	for (unsigned int i = first; i < report->cnt; i++) {
		const struct tune_finding *f = &report->findings[i];

		if (f->keep)
			continue;
		if (show->findings)
			json_array_append_new(show->findings, finding_json(f));
		else
			print_finding(f);
	}
}

/* ---- changes ---- */

static void print_change(enum tune_done done, const struct tune_change *c, const char *now,
			 int error)
{
	printf("%-9s %-10s %s: ", done_words[done], c->stage, c->knob);
	switch (done) {
	case TUNE_DONE:
		printf("changed");
		break;
	case TUNE_AS_WAS:
		printf("is as it was found");
		break;
	case TUNE_GONE:
		printf("the interface or setting is not there any more: nothing to put back");
		break;
	case TUNE_FOREIGN:
		printf("somebody has set `%.*s` since (found `%.*s`, applied `%.*s`): left alone; "
		       "--force puts it back",
		       VALUE_SHOWN, now, VALUE_SHOWN, c->from, VALUE_SHOWN, c->to);
		break;
	case TUNE_BUSY:
		printf("the service has the port attached: stop it, apply, start it");
		break;
	case TUNE_PARTLY:
		printf("the kernel took `%.*s`", VALUE_SHOWN, now);
		break;
	case TUNE_FAILED:
		printf("%s", error == -ESTALE ? "/sys shows another network namespace"
			     : error == -EACCES || error == -EPERM || error == -EROFS
				     ? "not allowed (run as root)"
				     : strerror(-error));
		break;
	}
	putchar('\n');
}

void tune_show_change(void *ctx, enum tune_done done, const struct tune_change *change,
		      const char *now, int error)
{
	struct tune_show *show = ctx;
	bool undone = !strcmp(show->verb, "undo");
	const char *from = undone ? change->to : change->from;
	const char *to = undone ? change->from : change->to;

	if (done == TUNE_DONE || done == TUNE_PARTLY)
		fprintf(stderr, "xegress-tune: audit: uid=%u pid=%d %s %s %s from=`%s` to=`%s`\n",
			getuid(), (int)getpid(), show->verb, change->stage, change->knob, from,
			done == TUNE_PARTLY ? now : to);
	if (change->keep && done == TUNE_AS_WAS)
		return; /* the kernel has not forgotten it after all: nobody's news */
	if (!show->changes) {
		print_change(done, change, now, error);
		return;
	}
	json_array_append_new(show->changes,
			      json_pack("{ss, ss, ss, ss, ss, ss?}", "stage", change->stage, "knob",
					change->knob, "result", done_words[done], "from", from,
					"to", to, "error",
					done == TUNE_FAILED ? strerror(-error) : NULL));
}

/* ---- explain ---- */

/* One paragraph, broken at spaces. */
static void print_wrapped(const char *text, size_t len)
{
	while (len) {
		size_t n = len < WIDTH ? len : WIDTH;

		while (n < len && n > 1 && text[n] != ' ')
			n--;
		printf("    %.*s\n", (int)n, text);
		text += n;
		len -= n;
		while (len && *text == ' ') {
			text++;
			len--;
		}
	}
}

void tune_show_stages(struct tune_show *show, const char *only)
{
	for (unsigned int i = 0; i < tune_stage_cnt; i++) {
		const struct tune_stage *s = tune_stages[i];

		if (only && strcmp(only, s->name))
			continue;
		if (show->findings) {
			json_array_append_new(show->findings,
					      json_pack("{ss, ss, ss}", "stage", s->name, "what",
							s->what, "explain", s->explain));
			continue;
		}
		printf("%s - %s\n\n", s->name, s->what);
		for (const char *p = s->explain; *p;
		     p += strcspn(p, "\n") + (strchr(p, '\n') != NULL))
			print_wrapped(p, strcspn(p, "\n"));
		putchar('\n');
	}
}
