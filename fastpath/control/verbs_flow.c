/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * verbs_flow.c - flow list, flow count, flow flush.
 *
 * All three walk the session tables in steps and answer as streams, so that other clients, next
 * hops and ports are served in between, however many flows there are.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/explain.h"
#include "control/flow_walk.h"
#include "control/verbs.h"

/* One verb under way. */
struct flow_verb {
	struct xe_service *svc;
	struct xe_flow_walk walk;
	struct xe_flow_counts counts;
	bool finished;
	struct xe_flow_view *views; /* flow list */
};

static int filter_port(const struct xe_service *svc, const char *name, struct xe_flow_filter *f,
		       char *err, size_t err_size)
{
	const struct xe_port *port = xe_port_named(svc, name);

	if (!port) {
		snprintf(err, err_size, "no port `%s`, expected one of `port list`", name);
		return -EINVAL;
	}
	f->by_port = true;
	f->port = port->id; /* not attached: XE_PORT_NONE, which no flow has */
	return 0;
}

/* One word, and its value where it takes one. Returns the words used, or -EINVAL. */
static int filter_word(const struct xe_service *svc, const char *word, const char *value,
		       struct xe_flow_filter *f, char *err, size_t err_size)
{
	char why[128];

	if ((!strcmp(word, "tcp") || !strcmp(word, "udp")) && !f->proto) {
		f->proto = word[0] == 't' ? IPPROTO_TCP : IPPROTO_UDP;
		return 1;
	}
	if ((!strcmp(word, "from") && !f->from.family) || (!strcmp(word, "to") && !f->to.family)) {
		if (xe_prefix_parse(value ? value : "", word[0] == 'f' ? &f->from : &f->to, why,
				    sizeof(why))) {
			snprintf(err, err_size, "after `%s`: %s", word, why);
			return -EINVAL;
		}
		return 2;
	}
	if (!strcmp(word, "port") && value && !f->by_port)
		return filter_port(svc, value, f, err, err_size) ? -EINVAL : 2;
	snprintf(err, err_size,
		 "unexpected `%s`, expected [tcp|udp] [from PREFIX] [to PREFIX] [port NAME], each "
		 "at most once",
		 word);
	return -EINVAL;
}

static int parse_filter(struct xe_service *svc, struct xe_ctl_request *req,
			struct xe_flow_filter *f, char *err, size_t err_size)
{
	for (size_t i = 0; i < xe_ctl_arg_cnt(req);) {
		int used = filter_word(svc, xe_ctl_arg(req, i), xe_ctl_arg(req, i + 1), f, err,
				       err_size);

		if (used < 0)
			return used;
		i += (size_t)used;
	}
	return 0;
}

static void flow_verb_free(void *arg)
{
	struct flow_verb *v = arg;

	free(v->views);
	free(v);
}

static int start(void *ctx, struct xe_ctl_request *req,
		 int (*more)(void *arg, struct xe_ctl_request *req), void (*end)(void *arg),
		 bool needs_views)
{
	struct flow_verb *v = calloc(1, sizeof(*v));
	char err[256];
	int ret = -ENOMEM;

	if (!v)
		return ret;
	v->svc = ctx;
	if (needs_views) {
		v->views = calloc(XE_FLOW_STEP_COPIES, sizeof(*v->views));
		if (!v->views)
			goto out;
	}
	if (parse_filter(ctx, req, &v->walk.filter, err, sizeof(err))) {
		ret = xe_ctl_fail(req, XE_CTL_USAGE, "%s", err);
		goto out;
	}
	return xe_ctl_stream(req, more, end, v);
out:
	flow_verb_free(v);
	return ret;
}

static json_t *endpoint(const struct xe_addr *addr, __be16 l4_port_be)
{
	char text[INET6_ADDRSTRLEN] = "";
	bool brackets;

	xe_addr_print(addr, text, sizeof(text));
	brackets = strchr(text, ':');
	return json_sprintf("%s%s%s:%u", brackets ? "[" : "", text, brackets ? "]" : "",
			    ntohs(l4_port_be));
}

static const char *state_name(const struct xe_session *s)
{
	switch (s->tcp_state) {
	case XE_TCP_NONE:
		return "open";
	case XE_TCP_ESTABLISHED:
		return "established";
	case XE_TCP_CLOSING:
		return "closing";
	case XE_TCP_CLOSED:
		return "closed";
	default:
		return "opening";
	}
}

static const char *port_name(const struct xe_service *svc, uint16_t id)
{
	return id < XE_MAX_PORTS && svc->ports[id] ? svc->ports[id]->name : "-";
}

/* Numbers and counters; the ends are put in by the caller. */
static json_t *flow_numbers(const struct xe_flow_view *v)
{
	const struct xe_session *s = &v->session;
	json_t *rule =
		s->rule == XE_RULE_GONE ? json_null() : json_integer((json_int_t)s->rule + 1);

	return json_pack("{ss, ss, so, si, sI, sI, sI, sI, sI, sI, sI}", "proto",
			 s->key[0].proto == IPPROTO_TCP ? "tcp" : "udp", "state", state_name(s),
			 "rule", rule, "worker", (int)v->worker, "age_ms",
			 (json_int_t)(v->now_s - s->created_s) * 1000, "idle_ms",
			 (json_int_t)(v->now_s - s->last_used_s) * 1000, "expires_ms",
			 (json_int_t)v->left_s * 1000, "packets",
			 (json_int_t)xe_session_packets(s, XE_DIR_OUT), "bytes",
			 (json_int_t)xe_session_bytes(s, XE_DIR_OUT), "back_packets",
			 (json_int_t)xe_session_packets(s, XE_DIR_BACK), "back_bytes",
			 (json_int_t)xe_session_bytes(s, XE_DIR_BACK));
}

json_t *xe_flow_json(const struct xe_service *svc, const struct xe_flow_view *v)
{
	const struct xe_tuple4 *out = &v->session.key[XE_DIR_OUT];
	const struct xe_tuple4 *back = &v->session.key[XE_DIR_BACK];
	json_t *flow = flow_numbers(v);

	if (!flow)
		return NULL;
	json_object_set_new(flow, "in", json_string(port_name(svc, out->port)));
	json_object_set_new(flow, "src", endpoint(&v->src, out->sport_be));
	json_object_set_new(flow, "dst", endpoint(&v->dst, out->dport_be));
	json_object_set_new(flow, "out", json_string(port_name(svc, v->out_port)));
	json_object_set_new(flow, "nat_src", endpoint(&v->nat_src, back->dport_be));
	json_object_set_new(flow, "nat_dst", endpoint(&v->nat_dst, back->sport_be));
	return flow;
}

static int list_more(void *arg, struct xe_ctl_request *req)
{
	struct flow_verb *v = arg;
	uint32_t cnt = 0;
	bool more = xe_flow_walk_copy(v->svc, &v->walk, v->views, &cnt);

	/* 256 lines of 400 bytes are far from what the server keeps for a slow client. */
	for (uint32_t i = 0; i < cnt; i++) {
		int ret = xe_ctl_part(req, xe_flow_json(v->svc, &v->views[i]));

		if (ret < 0)
			return ret;
		v->counts.tcp++;
	}
	if (more)
		return 1;
	return xe_ctl_ok(req, json_pack("{sI}", "count", (json_int_t)v->counts.tcp));
}

static int count_more(void *arg, struct xe_ctl_request *req)
{
	struct flow_verb *v = arg;

	if (xe_flow_walk_count(v->svc, &v->walk, &v->counts))
		return 1;
	return xe_ctl_ok(req, json_pack("{sI, sI, sI, sI}", "count",
					(json_int_t)(v->counts.tcp + v->counts.udp), "tcp",
					(json_int_t)v->counts.tcp, "udp", (json_int_t)v->counts.udp,
					"limit", (json_int_t)v->svc->config->limits.sessions));
}

static int flush_more(void *arg, struct xe_ctl_request *req)
{
	struct flow_verb *v = arg;

	if (xe_flow_walk_end(v->svc, &v->walk, &v->counts))
		return 1;
	v->finished = true;
	return xe_ctl_ok(req,
			 json_pack("{sI}", "count", (json_int_t)(v->counts.tcp + v->counts.udp)));
}

/* What was begun is done to its end, also when the client has gone away meanwhile. */
static void flush_end(void *arg)
{
	struct flow_verb *v = arg;

	while (!v->finished)
		v->finished = !xe_flow_walk_end(v->svc, &v->walk, &v->counts);
	flow_verb_free(v);
}

int xe_verb_flow_list(void *ctx, struct xe_ctl_request *req)
{
	return start(ctx, req, list_more, flow_verb_free, true);
}

int xe_verb_flow_count(void *ctx, struct xe_ctl_request *req)
{
	return start(ctx, req, count_more, flow_verb_free, false);
}

int xe_verb_flow_flush(void *ctx, struct xe_ctl_request *req)
{
	return start(ctx, req, flush_more, flush_end, false);
}
