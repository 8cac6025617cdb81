/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * explain.c - the verb `explain`: [tcp|udp] SOURCE:L4 DESTINATION:L4 [in PORT] [fragment].
 */
#include "control/explain.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pipeline/pipeline.h"
#include "state/deny.h"

#define REASON_NAME(name, class, text) #name,
static const char *const reason_names[] = {XE_REASONS_STEER(REASON_NAME)};
#undef REASON_NAME

void xe_explain_step(struct xe_explain *e, const char *name, bool ok, const char *fmt, ...)
{
	char text[XE_RULE_TEXT_SIZE + 64];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	json_array_append_new(e->steps,
			      json_pack("{ss, sb, ss}", "step", name, "ok", ok, "text", text));
}

void xe_explain_verdict(struct xe_explain *e, bool carried, int reason, const char *fmt, ...)
{
	va_list ap;
	int at = 0;

	if (e->decided)
		return;
	e->decided = true;
	e->carried = carried;
	e->reason = reason_names[e->held || e->again ? XE_R_TAKEN : reason];
	if (e->held)
		at = snprintf(e->verdict, sizeof(e->verdict), "held until it is whole, then ");
	va_start(ap, fmt);
	vsnprintf(e->verdict + at, sizeof(e->verdict) - (size_t)at, fmt, ap);
	va_end(ap);
}

/* ---- the live flow ---- */

struct find {
	const struct xe_explain *e;
	struct xe_flow_view *view;
	bool found;
};

static void find_call(struct xe_worker *w, void *arg)
{
	struct find *f = arg;
	const struct xe_explain *e = f->e;
	struct xe_sessions *t = &w->lane->sessions;
	bool v4 = xe_addr_family(&e->src) == AF_INET;
	struct xe_tuple4 key = {
		.src_be = v4 ? e->src.w_be[3] : xe_addr6_find(&t->addr6, &e->src),
		.dst_be = v4 ? e->dst.w_be[3] : xe_addr6_find(&t->addr6, &e->dst),
		.sport_be = htons(e->sport),
		.dport_be = htons(e->dport),
		.port = e->in->role == XE_ROLE_UPLINK ? XE_PORT_ANYUPLINK : e->in->id,
		.proto = e->proto,
		.family = v4 ? XE_FAMILY_4 : XE_FAMILY_6,
	};
	struct xe_session *s;
	enum xe_dir dir;

	if (!v4 && (key.src_be == XE_NIL || key.dst_be == XE_NIL))
		return;
	s = xe_session_find(t, &key, xe_session_hash(t, &key), &dir);
	if (!s)
		return;
	xe_flow_view_of(w, s, f->view);
	f->found = true;
}

bool xe_explain_flow(struct xe_explain *e, struct xe_flow_view *view)
{
	struct find f = {.e = e, .view = view};

	for (uint32_t w = 0; w < e->svc->worker_cnt && !f.found; w++)
		xe_worker_call(&e->svc->workers[w], find_call, &f);
	if (!f.found) {
		xe_explain_step(e, "flow", true, "none yet");
		return false;
	}
	json_object_set_new(e->result, "flow", xe_flow_json(e->svc, view));
	xe_explain_step(e, "flow", true, "live, opened under rule %s%u, worker %u, ends in %u s",
			view->session.rule == XE_RULE_GONE ? "(gone) " : "",
			view->session.rule == XE_RULE_GONE ? 0u : view->session.rule + 1u,
			view->worker, view->left_s);
	return true;
}

/* ---- the words ---- */

/* A.B.C.D:L4 or [V6]:L4. */
static int parse_end(const char *word, struct xe_addr *addr, uint16_t *l4_port)
{
	char text[INET6_ADDRSTRLEN + 8], *colon = NULL, *end = NULL, *a = text;
	unsigned long n;
	__u8 family;

	if (!word || strlen(word) >= sizeof(text))
		return -EINVAL;
	strcpy(text, word);
	colon = strrchr(text, ':');
	if (!colon || colon == text || colon[1] < '0' || colon[1] > '9')
		return -EINVAL;
	*colon = '\0';
	if (*a == '[') {
		if (colon[-1] != ']')
			return -EINVAL;
		colon[-1] = '\0';
		a++;
	}
	n = strtoul(colon + 1, &end, 10);
	if (*end || n > 65535 || xe_addr_parse(a, addr, &family) ||
	    (family == AF_INET6) != (a != text))
		return -EINVAL;
	*l4_port = (uint16_t)n;
	return 0;
}

/* The inside port that allows the source, where none is named. */
static struct xe_port *port_of_source(const struct xe_explain *e)
{
	for (struct xe_port *p = e->svc->port_list; p; p = p->next)
		for (uint32_t i = 0; p->state == XE_PORT_ATTACHED && i < p->allow_cnt; i++)
			if (xe_prefix_covers(&p->allow[i], &e->src))
				return p;
	return NULL;
}

/* 0, or the exit code after the answer says why. */
static int parse_packet(struct xe_explain *e, struct xe_ctl_request *req)
{
	const char *proto = xe_ctl_arg(req, 0), *in = xe_ctl_arg(req, 3);
	const char *name = xe_ctl_arg(req, 4), *last = xe_ctl_arg(req, 5);

	if (in && !strcmp(in, "fragment") && !name) {
		e->fragment = true;
		in = NULL;
	}
	e->fragment |= last && !strcmp(last, "fragment");

	if (strcmp(proto, "tcp") && strcmp(proto, "udp"))
		return xe_ctl_fail(req, XE_CTL_USAGE, "expected tcp or udp, got `%.60s`", proto), 1;
	e->proto = proto[0] == 't' ? IPPROTO_TCP : IPPROTO_UDP;
	for (int i = 1; i < 3; i++)
		if (parse_end(xe_ctl_arg(req, (size_t)i), i == 1 ? &e->src : &e->dst,
			      i == 1 ? &e->sport : &e->dport))
			return xe_ctl_fail(req, XE_CTL_USAGE,
					   "expected a %s such as 10.1.0.2:40000 or "
					   "[2001:db8::2]:40000, got `%.60s`",
					   i == 1 ? "source" : "destination",
					   xe_ctl_arg(req, (size_t)i)),
			       1;
	if (xe_addr_family(&e->src) != xe_addr_family(&e->dst))
		return xe_ctl_fail(req, XE_CTL_USAGE, "the two ends are of different IP versions"),
		       1;
	if ((in && (strcmp(in, "in") || !name)) || (last && !e->fragment))
		return xe_ctl_fail(req, XE_CTL_USAGE,
				   "expected `in PORT` or `fragment` after the destination, got "
				   "`%.60s`",
				   last ? last : in),
		       1;
	e->in = name ? xe_port_named(e->svc, name) : port_of_source(e);
	if (!e->in)
		return xe_ctl_fail(req, XE_CTL_FAILED,
				   name ? "no port `%.60s`, expected one of `port list`"
					: "no attached port allows this source%.0s, name one by "
					  "`in PORT`",
				   name ? name : ""),
		       1;
	if (e->in->state != XE_PORT_ATTACHED)
		return xe_ctl_fail(req, XE_CTL_FAILED, "port %s is not attached: %s", e->in->name,
				   e->in->why),
		       1;
	return 0;
}

int xe_verb_explain(void *ctx, struct xe_ctl_request *req)
{
	struct xe_explain e = {.svc = ctx};

	xe_netlink_dispatch(e.svc->netlink);
	if (parse_packet(&e, req))
		return 0;
	e.steps = json_array();
	e.result = json_object();
	xe_explain_step(&e, "port", true, "%s, %s, worker %u", e.in->name,
			e.in->role == XE_ROLE_INSIDE ? "inside" : "uplink", e.in->owner->idx);
	if (e.in->role == XE_ROLE_INSIDE)
		xe_explain_out(&e);
	else
		xe_explain_in(&e);
	json_object_set_new(e.result, "carried", json_boolean(e.carried));
	json_object_set_new(e.result, "verdict", json_string(e.verdict));
	json_object_set_new(e.result, "steer", json_string(e.reason ? e.reason : "TAKEN"));
	json_object_set_new(e.result, "steps", e.steps);
	return xe_ctl_ok(req, e.result);
}
