/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "control/flow_export.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "control/flow_adopt.h"
#include "control/flow_walk.h"
#include "pipeline/pipeline.h"
#include "state/session_record.h"

/* Slots that xe_flows_export_changes() looks at in one call at most: 64 MiB to read, if none of
 * them has changed, and as much of what was told: some 20 ms, in steps. */
#define LOOKS_MAX (512u * 1024)

/* What a step brings from a worker: ports by id, rules by number + 1. */
struct step {
	uint32_t slot; /* next */
	uint16_t port; /* id, XE_PORT_NONE: all */
	bool last;
	uint16_t file_port[XE_MAX_PORTS]; /* index in the file + 1, by id; 0: not looked up yet */
	uint32_t cnt;
	struct xe_flow_record records[XE_FLOW_STEP_COPIES];
	/* of changes only */
	struct xe_session *told; /* slots as they were */
	struct xe_flow_change changes[XE_FLOW_STEP_COPIES];
};

static bool matches(const struct step *step, const struct xe_session *s)
{
	return s->key[XE_DIR_OUT].proto &&
	       (step->port == XE_PORT_NONE || s->key[XE_DIR_OUT].port == step->port ||
		s->key[XE_DIR_BACK].port == step->port || s->out_port == step->port);
}

static void record_one(const struct xe_lane *lane, const struct xe_session *s,
		       struct xe_flow_record *r)
{
	xe_session_record(&lane->sessions, s, lane->now_s, r);
	r->left_s = xe_flow_left(lane, s, lane->now_s);
	if (r->flags & XE_FR_MAPPED && s->ext != XE_EXT_NONE)
		r->filter = lane->pool.mappings[s->mapping].filter;
	r->rule_id = s->rule == XE_RULE_GONE ? 0 : s->rule + 1u;
}

/* The slot before which this step ends. */
static uint32_t step_end(const struct step *step, const struct xe_sessions *t)
{
	uint32_t end = step->slot + XE_FLOW_STEP_SLOTS;

	return end < t->high ? end : t->high;
}

static void step_call(struct xe_worker *w, void *arg)
{
	struct step *step = arg;
	const struct xe_sessions *t = &w->lane->sessions;
	uint32_t end = step_end(step, t);

	step->cnt = 0;
	while (step->slot < end && step->cnt < XE_FLOW_STEP_COPIES) {
		const struct xe_session *s = &t->slots[step->slot++];

		if (matches(step, s))
			record_one(w->lane, s, &step->records[step->cnt++]);
	}
	step->last = step->slot >= t->high;
}

/* Its index in the file, by the port's id. */
static uint16_t find_port(const struct xe_service *svc, struct xe_flow_file *out, uint16_t id)
{
	const struct xe_port *port = id < XE_MAX_PORTS ? svc->ports[id] : NULL;
	uint16_t idx;

	if (!port)
		return XE_FR_NO_PORT;
	idx = xe_flow_file_port(out, port->name, (uint32_t)port->ifindex, (uint8_t)port->role);
	if (idx == XE_FR_NO_PORT)
		return idx;
	out->ports[idx].worker = (uint8_t)(port->owner->idx + 1);
	out->ports[idx].worker_cnt = (uint8_t)svc->worker_cnt;
	return idx;
}

static uint16_t file_port(const struct xe_service *svc, struct step *step, struct xe_flow_file *out,
			  uint16_t id)
{
	if (id >= XE_MAX_PORTS)
		return XE_FR_NO_PORT;
	if (!step->file_port[id]) /* XE_FR_NO_PORT is looked up again each time: few have it */
		step->file_port[id] = (uint16_t)(find_port(svc, out, id) + 1);
	return (uint16_t)(step->file_port[id] - 1);
}

/* 1: it is in the file; 0: it makes no sense. */
static int keep_one(const struct xe_service *svc, struct step *step, struct xe_flow_record *r,
		    struct xe_flow_file *out)
{
	const struct xe_ruleset *rs = svc->ruleset;

	r->in_port = file_port(svc, step, out, r->in_port);
	r->out_port = file_port(svc, step, out, r->out_port);
	r->rule_id = rs && r->rule_id && r->rule_id <= rs->rule_cnt ? rs->ids[r->rule_id - 1] : 0;
	if (xe_flow_record_fault(r, out->port_cnt))
		return 0;
	return xe_flow_file_add(out, r) ? -ENOMEM : 1;
}

static int keep(const struct xe_service *svc, struct step *step, struct xe_flow_file *out)
{
	for (uint32_t i = 0; i < step->cnt; i++)
		if (keep_one(svc, step, &step->records[i], out) < 0)
			return -ENOMEM;
	return 0;
}

static int export_worker(struct xe_service *svc, struct xe_worker *w, struct step *step,
			 struct xe_flow_file *out)
{
	int err = 0;

	step->slot = 0;
	step->last = false;
	while (!step->last && !err) {
		xe_worker_call(w, step_call, step);
		err = keep(svc, step, out);
	}
	return err;
}

int xe_flows_export(struct xe_service *svc, const char *port_name, struct xe_flow_file *out)
{
	const struct xe_port *port = port_name ? xe_port_named(svc, port_name) : NULL;
	struct step *step;
	int err = 0;

	if (port_name && (!port || port->id == XE_PORT_NONE))
		return 0;
	xe_adopt_finish(svc);
	step = calloc(1, sizeof(*step));
	if (!step)
		return -ENOMEM;
	step->port = port ? port->id : XE_PORT_NONE;
	for (uint32_t w = 0; w < svc->worker_cnt && !err; w++)
		err = export_worker(svc, &svc->workers[w], step, out);
	free(step);
	return err;
}

/* ---- what has changed ---- */

void xe_flow_changes_init(struct xe_flow_changes *changes)
{
	memset(changes, 0, sizeof(*changes));
	xe_flow_file_init(&changes->file);
}

void xe_flow_changes_free(struct xe_flow_changes *changes)
{
	xe_flow_file_free(&changes->file);
	free(changes->list);
	memset(changes, 0, sizeof(*changes));
}

#define TIMER_AT (offsetof(struct xe_session, timer_next) / sizeof(uint64_t))
_Static_assert(offsetof(struct xe_session, timer_next) % sizeof(uint64_t) == 0 &&
		       offsetof(struct xe_session, timer_prev) ==
			       offsetof(struct xe_session, timer_next) + 4,
	       "the links of its timer are one word");

/* All but the links of its timer, which move with its neighbours'. */
static bool is_same(const struct xe_session *a, const struct xe_session *b)
{
	uint64_t x[sizeof(*a) / sizeof(uint64_t)], y[sizeof(*b) / sizeof(uint64_t)], diff = 0;

	memcpy(x, a, sizeof(x));
	memcpy(y, b, sizeof(y));
	x[TIMER_AT] = y[TIMER_AT];
	for (size_t i = 0; i < sizeof(x) / sizeof(x[0]); i++)
		diff |= x[i] ^ y[i];
	return !diff;
}

static void change_call(struct xe_worker *w, void *arg)
{
	struct step *step = arg;
	const struct xe_sessions *t = &w->lane->sessions;
	uint32_t end = step_end(step, t);

	step->cnt = 0;
	for (; step->slot < end && step->cnt < XE_FLOW_STEP_COPIES; step->slot++) {
		const struct xe_session *s = &t->slots[step->slot];
		struct xe_session *was = &step->told[step->slot];
		bool is_there = s->key[XE_DIR_OUT].proto;

		if (is_same(s, was))
			continue;
		step->changes[step->cnt] = (struct xe_flow_change){.worker = w->idx,
								   .slot = step->slot,
								   .created_s = s->created_s,
								   .record = is_there};
		if (is_there)
			record_one(w->lane, s, &step->records[step->cnt]);
		step->cnt += is_there || was->key[XE_DIR_OUT].proto;
		*was = *s;
	}
	step->last = step->slot >= t->high;
}

static int keep_changes(const struct xe_service *svc, struct step *step,
			struct xe_flow_changes *out)
{
	if (out->cnt + step->cnt > out->size) {
		uint32_t size = 2 * out->size + XE_FLOW_STEP_COPIES;
		struct xe_flow_change *list = realloc(out->list, size * sizeof(*list));

		if (!list)
			return -ENOMEM;
		out->list = list;
		out->size = size;
	}
	for (uint32_t i = 0; i < step->cnt; i++) {
		struct xe_flow_change *c = &out->list[out->cnt++];
		int kept = 0;

		*c = step->changes[i];
		if (c->record)
			kept = keep_one(svc, step, &step->records[i], &out->file);
		if (kept < 0)
			return kept;
		c->record = kept ? out->file.record_cnt : 0;
	}
	return 0;
}

/* Paid for as its pages are touched. */
static int make_room(struct xe_flows_told *told, const struct xe_worker *w)
{
	uint32_t capacity = w->lane->sessions.capacity;
	void *m;

	if (told->slots[w->idx])
		return 0;
	m = mmap(NULL, (size_t)capacity * sizeof(struct xe_session), PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (m == MAP_FAILED)
		return -ENOMEM;
	told->slots[w->idx] = m;
	told->capacity[w->idx] = capacity;
	return 0;
}

int xe_flows_export_changes(struct xe_service *svc, struct xe_flows_told *told, uint32_t max,
			    struct xe_flow_changes *changes)
{
	struct step *step = calloc(1, sizeof(*step));
	uint32_t looks = 0;
	int err = step ? 0 : -ENOMEM;

	while (!err && told->worker < svc->worker_cnt && changes->cnt < max && looks < LOOKS_MAX) {
		struct xe_worker *w = &svc->workers[told->worker];

		err = make_room(told, w);
		if (err)
			break;
		step->told = told->slots[told->worker];
		step->slot = told->slot;
		err = -EHOSTDOWN;
		if (xe_worker_call_within(w, change_call, step, XE_WORKER_PATIENCE_MS))
			err = keep_changes(svc, step, changes);
		if (err)
			break;
		looks += step->slot - told->slot;
		told->slot = step->slot;
		if (!step->last)
			continue;
		told->slot = 0;
		told->worker++;
	}
	free(step);
	if (err || told->worker < svc->worker_cnt)
		return err ? err : 1;
	told->worker = 0;
	return 0;
}

void xe_flows_told_free(struct xe_flows_told *told)
{
	for (uint32_t w = 0; w < XE_MAX_WORKERS; w++)
		if (told->slots[w])
			munmap(told->slots[w],
			       (size_t)told->capacity[w] * sizeof(struct xe_session));
	memset(told, 0, sizeof(*told));
}
