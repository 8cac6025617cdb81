/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * verbs_status.c - is everything that is configured in force, and how is it done?
 *
 * What is not in force gets a line in `why`, what is only less than it could be one in `notes`.
 */
#include <errno.h>
#include <numa.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/insum.h"
#include "control/flow_adopt.h"
#include "control/verbs.h"
#include "control/watch.h"

#ifndef XE_VERSION
#define XE_VERSION "0"
#endif

/* Rules not in force that are named one by one: a missing port may be named by thousands. */
#define RULES_NAMED 8

struct status {
	struct xe_service *svc;
	json_t *why, *notes;
	uint32_t rules_in_force;
};

static void __attribute__((format(printf, 2, 3))) line(json_t *list, const char *fmt, ...)
{
	char text[640];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	json_array_append_new(list, json_string(text));
}

static bool is_stalled(const struct xe_worker *w)
{
	return xe_now_coarse_ns() > __atomic_load_n(w->beat, __ATOMIC_RELAXED) + XE_BEAT_MAX_AGE_NS;
}

static uint64_t session_cnt(const struct xe_worker *w)
{
	return __atomic_load_n(&w->lane->sessions.cnt, __ATOMIC_RELAXED);
}

static json_t *workers_json(struct status *st)
{
	json_t *list = json_array();

	for (uint32_t i = 0; i < st->svc->worker_cnt; i++) {
		const struct xe_worker *w = &st->svc->workers[i];
		int node = numa_available() >= 0 ? numa_node_of_cpu(w->cpu) : 0;
		bool stalled = is_stalled(w);

		json_array_append_new(list, json_pack("{si, si, si, ss, ss, ss, sI}", "id", (int)i,
						      "cpu", w->cpu, "node", node > 0 ? node : 0,
						      "state", stalled ? "stalled" : "running",
						      "wait", xe_wait_words[w->waiting.mode],
						      "checksum", xe_insum_name(), "flows",
						      (json_int_t)session_cnt(w)));
	}
	return list;
}

static void why_ports(struct status *st)
{
	char why[256];

	for (const struct xe_port *p = st->svc->port_list; p; p = p->next) {
		enum xe_port_state state = xe_port_state_now(p, why, sizeof(why));

		if (state != XE_PORT_ATTACHED)
			line(st->why, "port %s: %s: %s", p->name,
			     state == XE_PORT_WAITING ? "waiting" : "failed", why);
	}
}

static void why_rules(struct status *st)
{
	const struct xe_config *config = st->svc->config;
	uint32_t named = 0;
	char why[256];

	for (uint32_t i = 0; i < config->rule_cnt; i++) {
		if (xe_rule_in_force(st->svc, &config->rules[i], why, sizeof(why))) {
			st->rules_in_force++;
			continue;
		}
		if (named++ < RULES_NAMED)
			line(st->why, "rule %u: %s", i + 1, why);
	}
	if (named > RULES_NAMED)
		line(st->why, "and %u more rules", named - RULES_NAMED);
}

/* Where a look takes seconds, the kernel's word that somebody has been at it is enough. */
static int net_present(struct xe_service *svc)
{
	if (svc->fallback_why[0])
		return -EIO;
	if (xe_fallback_glance(svc->fallback) == XE_FALLBACK_CHANGED)
		return 0;
	return xe_fallback_present(svc->fallback);
}

static json_t *safety_net(struct status *st)
{
	struct xe_service *svc = st->svc;
	int present = net_present(svc);
	const char *state = present > 0 ? "in place" : present ? "failed" : "absent";
	const char *why = present > 0            ? NULL
			  : svc->fallback_why[0] ? svc->fallback_why
			  : present              ? strerror(-present)
				    : "the table was removed or changed by somebody else";

	if (why)
		line(st->why, "safety net: %s: %s", state, why);
	return json_pack("{ss, ss, so}", "state", state, "table", svc->fallback_table, "why",
			 why ? json_string(why) : json_null());
}

static void on_check(void *ctx, const char *name, enum xe_check_state state, const char *text)
{
	struct status *st = ctx;

	if (state != XE_CHECK_OK)
		line(state == XE_CHECK_FAIL ? st->why : st->notes, "%s: %s", name, text);
}

/* Names of the ports for which `is` holds, "a, b and 3 more"; how many. */
static uint32_t name_ports(const struct status *st,
			   bool (*is)(const struct status *st, const struct xe_port *port),
			   char *text, size_t size)
{
	uint32_t cnt = 0, shown = 4;
	size_t len = 0;

	text[0] = '\0';
	for (const struct xe_port *p = st->svc->port_list; p; p = p->next) {
		if (p->state != XE_PORT_ATTACHED || !is(st, p))
			continue;
		if (cnt++ < shown)
			len += (size_t)snprintf(text + len, size - len, "%s%s", cnt > 1 ? ", " : "",
						p->name);
	}
	if (cnt > shown)
		snprintf(text + len, size - len, " and %u more", cnt - shown);
	return cnt;
}

static bool is_plain(const struct status *st, const struct xe_port *port)
{
	(void)st;
	return !port->at.dispatcher;
}

/* Only where a driver could have it: a veth never has. */
static bool is_copied(const struct status *st, const struct xe_port *port)
{
	const struct xe_link *link = xe_netlink_link(st->svc->netlink, port->ifindex);

	if (!link || link->kind[0])
		return false;
	for (uint32_t q = 0; q < port->xsk_cnt; q++)
		if (!port->xsks[q]->zerocopy)
			return true;
	return false;
}

static bool is_native_veth(const struct status *st, const struct xe_port *port)
{
	const struct xe_link *link = xe_netlink_link(st->svc->netlink, port->ifindex);

	return link && !port->at.generic && !strcmp(link->kind, "veth");
}

static bool is_gso_blind(const struct status *st, const struct xe_port *port)
{
	(void)st;
	return !port->at.gso_known;
}

static bool is_cutting(const struct status *st, const struct xe_port *port)
{
	const struct xe_link *link = xe_netlink_link(st->svc->netlink, port->ifindex);

	return link && ~link->tx_whole & (XE_TX_TCP4 | XE_TX_TCP6 | XE_TX_UDP);
}

static bool is_defragmented(const struct status *st, const struct xe_port *port)
{
	(void)st;
	return port->at.generic && !xe_attached_frags(&port->at);
}

static void note_ports(struct status *st)
{
	static const struct {
		bool (*is)(const struct status *st, const struct xe_port *port);
		const char *text;
	} notes[] = {
		{is_plain, "attached plainly, not by libxdp's dispatcher: no other XDP program can "
			   "stand beside"},
		{is_copied, "no zero-copy: the driver, or its mode, has none"},
		{is_native_veth,
		 "native XDP turns TCP segmentation offload off at the other end of "
		 "a veth; `xdp: generic` keeps it"},
		{is_gso_blind, "segment sizes of superpackets cannot be read (kernel 6.2 and "
			       "CAP_PERFMON are needed) and are tracked by MSS: TCP ones are "
			       "carried, UDP ones take the kernel's path"},
		{is_cutting, "the device does not take all superpackets whole (TCP, UDP "
			     "segmentation of ethtool -k): the kernel cuts them on the way out"},
		{is_defragmented, "another program in libxdp's dispatcher cannot take fragments "
				  "(section xdp.frags): superpackets are copied into one piece "
				  "before all of them"},
	};
	char names[128];

	for (size_t i = 0; i < sizeof(notes) / sizeof(notes[0]); i++)
		if (name_ports(st, notes[i].is, names, sizeof(names)))
			line(st->notes, "ports %s: %s", names, notes[i].text);
}

static json_t *flows_json(const struct xe_service *svc)
{
	uint64_t cnt = 0;

	for (uint32_t w = 0; w < svc->worker_cnt; w++)
		cnt += session_cnt(&svc->workers[w]);
	return json_pack("{sI, sI}", "count", (json_int_t)cnt, "limit",
			 (json_int_t)svc->config->limits.sessions);
}

static json_t *head_json(const struct xe_service *svc)
{
	uint64_t up_ns = xe_now_ns() - svc->start_ns;

	return json_pack("{ss, si, sI, ss?, ss, ss}", "version", XE_VERSION, "pid", (int)getpid(),
			 "uptime_s", (json_int_t)(up_ns / XE_NS_PER_SEC), "config",
			 svc->config->file, "wait", xe_wait_words[svc->config->wait], "on_stop",
			 xe_on_stop_words[svc->config->on_stop]);
}

static void on_watch(void *ctx, const char *text)
{
	struct status *st = ctx;

	line(st->why, "%s", text);
}

int xe_verb_status(void *ctx, struct xe_ctl_request *req)
{
	struct status st = {.svc = ctx, .why = json_array(), .notes = json_array()};
	json_t *o = head_json(ctx);

	xe_watch_tell(ctx, on_watch, &st);
	why_ports(&st);
	why_rules(&st);
	if (xe_adopt_is_busy(ctx))
		line(st.why,
		     "%u flows are still being adopted: new ones are the kernel's until then",
		     xe_adopt_waiting(ctx));
	json_object_set_new(o, "flows", flows_json(ctx));
	json_object_set_new(o, "rules",
			    json_pack("{sI, sI}", "count", (json_int_t)st.svc->config->rule_cnt,
				      "in_force", (json_int_t)st.rules_in_force));
	json_object_set_new(o, "workers", workers_json(&st));
	json_object_set_new(o, "ports", xe_ports_json(ctx));
	json_object_set_new(o, "safety_net", safety_net(&st));
	note_ports(&st);
	xe_host_check(ctx, on_check, &st);
	json_object_set_new(o, "in_force", json_boolean(!json_array_size(st.why)));
	json_object_set_new(o, "why", st.why);
	json_object_set_new(o, "notes", st.notes);
	return xe_ctl_ok(req, o);
}
