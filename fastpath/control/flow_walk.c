/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "control/flow_walk.h"

#include <netinet/in.h>

#include "control/verbs.h"
#include "pipeline/pipeline.h"

/* By which port do packets of the first direction leave? Replies of an untranslated flow between
 * two inside ports come back on the one it left by; else the route says. */
static uint16_t out_port(const struct xe_lane *lane, const struct xe_session *s)
{
	uint16_t port = s->key[XE_DIR_BACK].port;

	if (port != XE_PORT_ANYUPLINK)
		return port;
	return xe_nexthop_read(&lane->nexthops.slots[s->nexthop]).port;
}

/* The two addresses of one direction. */
static void addrs_of(const struct xe_lane *lane, const struct xe_session *s, enum xe_dir dir,
		     struct xe_addr *src, struct xe_addr *dst)
{
	const struct xe_tuple4 *key = &s->key[dir];

	*src = xe_tuple_addr(&lane->sessions, key->family, key->src_be);
	*dst = xe_tuple_addr(&lane->sessions, key->family, key->dst_be);
}

static bool is_masqueraded(const struct xe_lane *lane, const struct xe_session *s,
			   const struct xe_flow_filter *f)
{
	struct xe_addr src, dst;

	if (s->verb != XE_VERB_MASQUERADE || s->ext != XE_EXT_NONE)
		return s->verb == XE_VERB_MASQUERADE && s->ext == f->ext;
	addrs_of(lane, s, XE_DIR_BACK, &src, &dst);
	return !memcmp(&dst, &f->ext_addr, sizeof(dst));
}

static bool are_ends(const struct xe_flow_filter *f, const struct xe_addr *from,
		     const struct xe_addr *to)
{
	return (!f->from.family || xe_prefix_covers(&f->from, from)) &&
	       (!f->to.family || xe_prefix_covers(&f->to, to));
}

/* As it is listed; and one that began outside by who began it, whom a rule names with `from`, too:
 * toward the inside host, or the address that it spoke to. */
static bool ends_match(const struct xe_lane *lane, const struct xe_session *s,
		       const struct xe_flow_filter *f)
{
	struct xe_addr inside, peer, called;

	addrs_of(lane, s, XE_DIR_OUT, &inside, &peer);
	if (are_ends(f, &inside, &peer))
		return true;
	if (!(s->flags & XE_SF_FROM_OUTSIDE))
		return false;
	addrs_of(lane, s, XE_DIR_BACK, &peer, &called);
	return are_ends(f, &peer, &called) || are_ends(f, &peer, &inside);
}

static bool matches(const struct xe_lane *lane, const struct xe_session *s,
		    const struct xe_flow_filter *f)
{
	const struct xe_tuple4 *out = &s->key[XE_DIR_OUT];

	if (f->proto && f->proto != out->proto)
		return false;
	if ((f->from.family || f->to.family) && !ends_match(lane, s, f))
		return false;
	if (f->by_masquerade && !is_masqueraded(lane, s, f))
		return false;
	return !f->by_port ||
	       (f->port != XE_PORT_NONE && (out->port == f->port || out_port(lane, s) == f->port));
}

struct step {
	struct xe_flow_walk *walk;
	/* What to do with a session that matches; true: this was enough for one step. */
	bool (*visit)(struct step *step, struct xe_worker *w, struct xe_session *s);
	struct xe_flow_view *views;
	uint32_t done;
	struct xe_flow_counts *counts;
	uint32_t *flows, rule_cnt;
	bool last; /* of this worker */
};

void xe_flow_view_of(struct xe_worker *w, const struct xe_session *s, struct xe_flow_view *v)
{
	v->session = *s;
	addrs_of(w->lane, s, XE_DIR_OUT, &v->src, &v->dst);
	addrs_of(w->lane, s, XE_DIR_BACK, &v->nat_dst, &v->nat_src);
	v->worker = w->idx;
	v->out_port = out_port(w->lane, s);
	v->now_s = w->lane->now_s;
	v->left_s = xe_flow_left(w->lane, s, w->lane->now_s);
}

static bool visit_copy(struct step *step, struct xe_worker *w, struct xe_session *s)
{
	xe_flow_view_of(w, s, &step->views[step->done++]);
	return step->done == XE_FLOW_STEP_COPIES;
}

static bool visit_count(struct step *step, struct xe_worker *w, struct xe_session *s)
{
	(void)w;
	if (s->key[XE_DIR_OUT].proto == IPPROTO_TCP)
		step->counts->tcp++;
	else
		step->counts->udp++;
	return false;
}

static bool visit_end(struct step *step, struct xe_worker *w, struct xe_session *s)
{
	visit_count(step, w, s);
	xe_flow_end(w->lane, s);
	return ++step->done == XE_FLOW_STEP_ENDS;
}

static bool visit_rule(struct step *step, struct xe_worker *w, struct xe_session *s)
{
	(void)w;
	if (s->rule < step->rule_cnt)
		step->flows[s->rule]++;
	return false;
}

static bool visit_retime(struct step *step, struct xe_worker *w, struct xe_session *s)
{
	if (s->tcp_state != XE_TCP_CLOSED) /* their queue stays in order */
		xe_flow_retime(w->lane, s);
	return ++step->done == XE_FLOW_STEP_ENDS;
}

static void step_call(struct xe_worker *w, void *arg)
{
	struct step *step = arg;
	struct xe_flow_walk *walk = step->walk;
	struct xe_sessions *t = &w->lane->sessions;
	uint32_t end = walk->slot + XE_FLOW_STEP_SLOTS;
	bool enough = false;

	if (end > t->high)
		end = t->high;
	while (walk->slot < end && !enough) {
		struct xe_session *s = &t->slots[walk->slot++];

		if (s->key[XE_DIR_OUT].proto && matches(w->lane, s, &walk->filter))
			enough = step->visit(step, w, s);
	}
	step->last = walk->slot >= t->high;
}

static bool run_step(struct xe_service *svc, struct step *step)
{
	struct xe_flow_walk *walk = step->walk;

	if (walk->worker >= svc->worker_cnt)
		return false;
	xe_worker_call(&svc->workers[walk->worker], step_call, step);
	if (step->last) {
		walk->worker++;
		walk->slot = 0;
	}
	return walk->worker < svc->worker_cnt;
}

bool xe_flow_walk_copy(struct xe_service *svc, struct xe_flow_walk *walk,
		       struct xe_flow_view *views, uint32_t *cnt)
{
	struct step step = {.walk = walk, .visit = visit_copy, .views = views};
	bool more = run_step(svc, &step);

	*cnt = step.done;
	return more;
}

bool xe_flow_walk_count(struct xe_service *svc, struct xe_flow_walk *walk,
			struct xe_flow_counts *counts)
{
	struct step step = {.walk = walk, .visit = visit_count, .counts = counts};

	return run_step(svc, &step);
}

bool xe_flow_walk_end(struct xe_service *svc, struct xe_flow_walk *walk,
		      struct xe_flow_counts *counts)
{
	struct step step = {.walk = walk, .visit = visit_end, .counts = counts};

	return run_step(svc, &step);
}

bool xe_flow_walk_rules(struct xe_service *svc, struct xe_flow_walk *walk, uint32_t *flows,
			uint32_t rule_cnt)
{
	struct step step = {
		.walk = walk, .visit = visit_rule, .flows = flows, .rule_cnt = rule_cnt};

	return run_step(svc, &step);
}

bool xe_flow_walk_retime(struct xe_service *svc, struct xe_flow_walk *walk)
{
	struct step step = {.walk = walk, .visit = visit_retime};

	return run_step(svc, &step);
}

static uint32_t flush(struct xe_service *svc, const struct xe_flow_filter *filter)
{
	struct xe_flow_walk walk = {.filter = *filter};
	struct xe_flow_counts counts = {};

	while (xe_flow_walk_end(svc, &walk, &counts))
		;
	return (uint32_t)(counts.tcp + counts.udp);
}

uint32_t xe_flows_flush_port(struct xe_service *svc, uint16_t port)
{
	struct xe_flow_filter filter = {.by_port = port != XE_PORT_NONE, .port = port};

	return flush(svc, &filter);
}

uint32_t xe_flows_flush_masquerade(struct xe_service *svc, uint32_t ext, const struct xe_addr *addr)
{
	struct xe_flow_filter filter = {.by_masquerade = true, .ext = ext, .ext_addr = *addr};

	return flush(svc, &filter);
}

void xe_flows_remap_rules(struct xe_worker *w, const uint32_t *map, uint32_t cnt)
{
	struct xe_sessions *t = &w->lane->sessions;

	for (uint32_t i = 0; i < t->high; i++) {
		struct xe_session *s = &t->slots[i];

		if (s->key[XE_DIR_OUT].proto && s->rule < cnt)
			s->rule = map[s->rule] == XE_NIL ? XE_RULE_GONE : (uint16_t)map[s->rule];
	}
}
