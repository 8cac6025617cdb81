/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * verbs_stats.c - drops and stats: the counters of steer and of the workers.
 *
 * Both are single-writer words that go on counting while they are read; at rest the sums hold
 * exactly. Ports that are no more count on as one port named "(removed)".
 */
#include <errno.h>

#include "control/verbs.h"

#define REMOVED_NAME "(removed)"

enum reason_class { S_PASS, S_DROP, S_TAKE, W_DROP, W_PUNT };

struct reason {
	const char *name;
	enum reason_class class;
	const char *text;
};

#define REASON_ROW(name, class, text) {#name, class, text},
static const struct reason steer_reasons[XE_R_STEER_CNT] = {XE_REASONS_STEER(REASON_ROW)};
/* By number; 0 is "still alive". */
static const struct reason worker_reasons[XE_R_WORKER_CNT] = {{"", W_DROP, ""},
							      XE_REASONS_WORKER(REASON_ROW)};
static const char *const class_words[] = {[S_PASS] = "pass",
					  [S_DROP] = "drop",
					  [S_TAKE] = "take",
					  [W_DROP] = "drop",
					  [W_PUNT] = "punt"};

static uint64_t load(const uint64_t *counter)
{
	return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

static void set_count(json_t *object, const char *name, uint64_t count)
{
	json_object_set_new(object, name, json_integer((json_int_t)count));
}

/* ---- drops ---- */

static void append_reason(json_t *list, const struct reason *r, const char *at, uint64_t count)
{
	json_array_append_new(list, json_pack("{ss, ss, ss, sI, ss}", "reason", r->name, "at", at,
					      "class", class_words[r->class], "count",
					      (json_int_t)count, "text", r->text));
}

static int sum_ports(const struct xe_service *svc, struct xe_port_counters *sum)
{
	struct xe_port_counters one;
	int ret;

	*sum = svc->gone_counters;
	for (const struct xe_port *p = svc->port_list; p; p = p->next) {
		if (p->id == XE_PORT_NONE)
			continue;
		ret = xe_steer_counters(&svc->steer, p->id, &one);
		if (ret)
			return ret;
		for (int r = 0; r < XE_R_STEER_CNT; r++)
			sum->reason[r] += one.reason[r];
	}
	return 0;
}

int xe_verb_drops(void *ctx, struct xe_ctl_request *req)
{
	const struct xe_service *svc = ctx;
	struct xe_port_counters steer;
	json_t *list = json_array();
	int ret = sum_ports(svc, &steer);

	if (ret) {
		json_decref(list);
		return ret;
	}
	for (int r = 0; r < XE_R_STEER_CNT; r++)
		append_reason(list, &steer_reasons[r], "steer", steer.reason[r]);
	for (int r = XE_R_NONE + 1; r < XE_R_WORKER_CNT; r++) {
		uint64_t sum = 0;

		for (uint32_t w = 0; w < svc->worker_cnt; w++)
			sum += load(&svc->workers[w].lane->cnt.reason[r]);
		append_reason(list, &worker_reasons[r], "worker", sum);
	}
	return xe_ctl_ok(req, json_pack("{so}", "reasons", list));
}

/* ---- stats ---- */

static json_t *reasons_of(const struct xe_lane *lane, enum reason_class class)
{
	json_t *object = json_object();

	for (int r = XE_R_NONE + 1; r < XE_R_WORKER_CNT; r++)
		if (worker_reasons[r].class == class)
			set_count(object, worker_reasons[r].name, load(&lane->cnt.reason[r]));
	return object;
}

static json_t *worker_json(const struct xe_worker *w)
{
	const struct xe_lane_counters *c = &w->lane->cnt;
	json_t *o = json_pack("{si}", "cpu", w->cpu);

	set_count(o, "rx_packets", load(&c->rx_packets));
	set_count(o, "handed_in", load(&c->handed_in));
	set_count(o, "made", load(&c->made));
	set_count(o, "tx_packets", load(&c->tx_packets));
	json_object_set_new(o, "drops", reasons_of(w->lane, W_DROP));
	set_count(o, "handed_out", load(&c->handed_out));
	set_count(o, "merged", load(&c->merged));
	set_count(o, "to_kernel", load(&c->to_kernel));
	set_count(o, "in_flight",
		  __atomic_load_n(&w->lane->hold.cnt, __ATOMIC_RELAXED) +
			  __atomic_load_n(&w->lane->frags.table.kept_cnt, __ATOMIC_RELAXED));
	json_object_set_new(o, "punts", reasons_of(w->lane, W_PUNT));
	set_count(o, "superpackets", load(&c->superpackets));
	set_count(o, "rx_bytes", load(&c->rx_bytes));
	set_count(o, "tx_bytes", load(&c->tx_bytes));
	set_count(o, "sessions_made", load(&c->sessions_made));
	set_count(o, "sessions", __atomic_load_n(&w->lane->sessions.cnt, __ATOMIC_RELAXED));
	return o;
}

static json_t *port_json(const char *name, const struct xe_port_counters *c, uint64_t lost,
			 uint64_t rx_packets)
{
	uint64_t sum[W_PUNT + 1] = {};
	json_t *o = json_pack("{ss}", "name", name), *reasons = json_object();

	for (int r = 0; r < XE_R_STEER_CNT; r++) {
		sum[steer_reasons[r].class] += c->reason[r];
		if (steer_reasons[r].class != S_TAKE)
			set_count(reasons, steer_reasons[r].name, c->reason[r]);
	}
	set_count(o, "seen", sum[S_PASS] + sum[S_DROP] + sum[S_TAKE]);
	set_count(o, "passed", sum[S_PASS]);
	set_count(o, "dropped", sum[S_DROP]);
	set_count(o, "redirected", sum[S_TAKE]);
	set_count(o, "xsk_lost", lost);
	set_count(o, "rx_packets", rx_packets);
	json_object_set_new(o, "reasons", reasons);
	return o;
}

static int append_port(const struct xe_service *svc, json_t *list, const struct xe_port *port)
{
	struct xe_port_counters cnt;
	uint64_t rx_packets = 0;
	int ret = xe_steer_counters(&svc->steer, port->id, &cnt);

	if (ret)
		return ret;
	for (uint32_t q = 0; q < port->xsk_cnt; q++)
		rx_packets += load(&port->xsks[q]->rx_packets);
	json_array_append_new(list, port_json(port->name, &cnt, xe_port_lost(port), rx_packets));
	return 0;
}

/* What their sockets had received is all that was redirected and not lost. */
static void append_removed(const struct xe_service *svc, json_t *list)
{
	const struct xe_port_counters *gone = &svc->gone_counters;
	uint64_t any = svc->gone_xsk_lost, taken = gone->reason[XE_R_TAKEN];

	for (int r = 0; r < XE_R_STEER_CNT; r++)
		any |= gone->reason[r];
	if (any)
		json_array_append_new(
			list,
			port_json(REMOVED_NAME, gone, svc->gone_xsk_lost,
				  taken > svc->gone_xsk_lost ? taken - svc->gone_xsk_lost : 0));
}

int xe_verb_stats(void *ctx, struct xe_ctl_request *req)
{
	const struct xe_service *svc = ctx;
	json_t *workers = json_array(), *ports = json_array();
	int ret = 0;

	for (uint32_t w = 0; w < svc->worker_cnt; w++)
		json_array_append_new(workers, worker_json(&svc->workers[w]));
	for (const struct xe_port *p = svc->port_list; p && !ret; p = p->next)
		if (p->state == XE_PORT_ATTACHED)
			ret = append_port(svc, ports, p);
	if (ret) {
		json_decref(workers);
		json_decref(ports);
		return ret;
	}
	append_removed(svc, ports);
	return xe_ctl_ok(req, json_pack("{so, so}", "workers", workers, "ports", ports));
}
