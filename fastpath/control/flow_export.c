/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "control/flow_export.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "control/flow_walk.h"
#include "pipeline/pipeline.h"
#include "state/session_record.h"

/* What a step brings from a worker: ports by id, rules by number + 1. */
struct step {
	uint32_t slot; /* next */
	uint16_t port; /* id, XE_PORT_NONE: all */
	bool last;
	uint16_t file_port[XE_MAX_PORTS]; /* index in the file + 1, by id; 0: not looked up yet */
	uint32_t cnt;
	struct xe_flow_record records[XE_FLOW_STEP_COPIES];
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

static void step_call(struct xe_worker *w, void *arg)
{
	struct step *step = arg;
	const struct xe_sessions *t = &w->lane->sessions;
	uint32_t end = step->slot + XE_FLOW_STEP_SLOTS;

	if (end > t->high)
		end = t->high;
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

static int keep(const struct xe_service *svc, struct step *step, struct xe_flow_file *out)
{
	const struct xe_ruleset *rs = svc->ruleset;

	for (uint32_t i = 0; i < step->cnt; i++) {
		struct xe_flow_record *r = &step->records[i];

		r->in_port = file_port(svc, step, out, r->in_port);
		r->out_port = file_port(svc, step, out, r->out_port);
		r->rule_id = rs && r->rule_id && r->rule_id <= rs->rule_cnt
				     ? rs->ids[r->rule_id - 1]
				     : 0;
		if (!xe_flow_record_fault(r, out->port_cnt) && xe_flow_file_add(out, r))
			return -ENOMEM;
	}
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
	step = calloc(1, sizeof(*step));
	if (!step)
		return -ENOMEM;
	step->port = port ? port->id : XE_PORT_NONE;
	for (uint32_t w = 0; w < svc->worker_cnt && !err; w++)
		err = export_worker(svc, &svc->workers[w], step, out);
	free(step);
	return err;
}
