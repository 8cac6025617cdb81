/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "change.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "hostfile.h"

static bool has_gone(int err)
{
	return err == -ENOENT || err == -ENODEV;
}

static unsigned int ifindex_of(const char *knob)
{
	char name[IFNAMSIZ];

	return tune_knob_interface(knob, name) ? tune_ifindex(name) : 0;
}

static bool is_attached(const struct tune_facts *facts, const char *knob)
{
	char name[IFNAMSIZ];

	if (!tune_knob_interface(knob, name))
		return false;
	for (unsigned int i = 0; i < facts->port_cnt; i++)
		if (!strcmp(facts->ports[i].name, name))
			return facts->ports[i].attached;
	return false;
}

/* ---- apply ---- */

struct apply {
	const struct tune_facts *facts;
	struct tune_record *record;
	tune_told_fn told;
	void *ctx;
	struct tune_outcome *outcome;
};

static void tell(struct apply *a, enum tune_done done, const struct tune_finding *f, int error,
		 const char *now)
{
	struct tune_change change = {.from = f->have, .to = f->want};

	strncpy(change.stage, f->stage, sizeof(change.stage) - 1);
	memcpy(change.knob, f->knob, sizeof(change.knob));
	a->outcome->changed += done == TUNE_DONE || done == TUNE_PARTLY;
	a->outcome->left += done != TUNE_DONE && done != TUNE_GONE;
	a->told(a->ctx, done, &change, now, error);
}

static bool is_wanted(struct apply *a, struct tune_finding *f)
{
	if (f->keep)
		return !is_attached(a->facts, f->knob);
	if (f->state != TUNE_FINDING || !f->knob[0])
		return false;
	if (!f->at_rest || !is_attached(a->facts, f->knob))
		return true;
	tell(a, TUNE_BUSY, f, 0, f->have);
	return false;
}

/* The first value found is the one to go back to: a second apply does not replace it. */
static int note(struct apply *a, struct tune_finding *f)
{
	unsigned int ifindex = ifindex_of(f->knob);
	struct tune_change *change = tune_record_find(a->record, f->knob, ifindex);
	char *to;

	if (!change) {
		change = tune_record_add(a->record, f->stage, f->knob, ifindex, f->have, f->want);
		if (change)
			change->keep = f->keep;
		return change ? 0 : -ENOMEM;
	}
	to = f->keep ? NULL : strdup(f->want);
	if (!to)
		return f->keep ? 0 : -ENOMEM;
	free(change->to);
	change->to = to;
	return 0;
}

/* What the kernel made of it, where that is not what was asked for (fewer pages than wanted). */
static enum tune_done look_again(struct apply *a, const struct tune_finding *f, char *now,
				 size_t size)
{
	struct tune_change *change;
	char *to;

	if (tune_knob_read(f->knob, now, size) || tune_knob_same(f->knob, now, f->want))
		return TUNE_DONE;
	change = tune_record_find(a->record, f->knob, ifindex_of(f->knob));
	to = strdup(now);
	if (change && to) {
		free(change->to);
		change->to = to;
	}
	return TUNE_PARTLY;
}

static int carry_out(struct apply *a, const struct tune_finding *f)
{
	char now[TUNE_VALUE_SIZE] = "";
	int err = tune_knob_write(f->knob, f->want);

	if (!err)
		tell(a, look_again(a, f, now, sizeof(now)), f, 0, now);
	else
		tell(a, has_gone(err) ? TUNE_GONE : TUNE_FAILED, f, err, f->have);
	return has_gone(err) ? 0 : err;
}

/* The record keeps the entries: undo finds them as they were and drops them. */
static void take_back(struct apply *a, const struct tune_finding *first,
		      const struct tune_finding *end)
{
	while (end-- > first) {
		struct tune_change change = {.from = end->want, .to = end->have};
		int err;

		if (!end->knob[0] || end->keep)
			continue;
		memcpy(change.knob, end->knob, sizeof(change.knob));
		strncpy(change.stage, end->stage, sizeof(change.stage) - 1);
		err = tune_knob_write(end->knob, end->have);
		if (has_gone(err))
			continue;
		a->outcome->changed--;
		a->outcome->left++;
		a->told(a->ctx, err ? TUNE_FAILED : TUNE_DONE, &change, end->have, err);
	}
}

int tune_apply_stage(struct tune_report *report, unsigned int first, const struct tune_facts *facts,
		     struct tune_record *record, tune_told_fn told, void *ctx,
		     struct tune_outcome *outcome)
{
	struct apply a = {facts, record, told, ctx, outcome};
	struct tune_finding *list = report->findings;
	unsigned int wanted = 0;
	int err = 0;

	for (unsigned int i = first; i < report->cnt && !err; i++) {
		if (!is_wanted(&a, &list[i])) {
			list[i].knob[0] = '\0'; /* decided once */
			continue;
		}
		wanted += !list[i].keep;
		err = note(&a, &list[i]);
	}
	if (!wanted || err)
		return err;
	err = tune_record_save(record);
	if (err)
		return err;
	for (unsigned int i = first; i < report->cnt; i++) {
		if (!list[i].knob[0] || list[i].keep || !carry_out(&a, &list[i]))
			continue;
		take_back(&a, &list[first], &list[i]);
		break;
	}
	return tune_record_save(record);
}

/* ---- undo ---- */

static enum tune_done put_back(const struct tune_change *c, bool force, char *now, size_t size,
			       int *err)
{
	if (c->ifindex && ifindex_of(c->knob) != c->ifindex)
		return TUNE_GONE;
	*err = tune_knob_read(c->knob, now, size);
	if (*err)
		return has_gone(*err) ? TUNE_GONE : TUNE_FAILED;
	if (tune_knob_same(c->knob, now, c->from))
		return TUNE_AS_WAS;
	if (!c->keep && !force && !tune_knob_same(c->knob, now, c->to))
		return TUNE_FOREIGN;
	*err = tune_knob_write(c->knob, c->from);
	if (*err)
		return has_gone(*err) ? TUNE_GONE : TUNE_FAILED;
	if (!tune_knob_read(c->knob, now, size) && !tune_knob_same(c->knob, now, c->from))
		return TUNE_PARTLY;
	return TUNE_DONE;
}

int tune_undo(struct tune_record *record, const char *stage, bool force, tune_told_fn told,
	      void *ctx, struct tune_outcome *outcome)
{
	char now[TUNE_VALUE_SIZE];

	for (unsigned int i = record->cnt; i-- > 0;) {
		struct tune_change *c = &record->changes[i];
		enum tune_done done;
		int err = 0;

		if (stage && strcmp(stage, c->stage))
			continue;
		now[0] = '\0';
		done = put_back(c, force, now, sizeof(now), &err);
		told(ctx, done, c, now, err);
		if (done == TUNE_FOREIGN || done == TUNE_FAILED || done == TUNE_PARTLY) {
			outcome->left++;
			continue;
		}
		outcome->changed += done == TUNE_DONE;
		tune_record_drop(record, i);
	}
	return tune_record_save(record);
}
