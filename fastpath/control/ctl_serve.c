/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "control/ctl_serve.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "control/ctl_audit.h"

static void request_free(struct xe_ctl_request *req)
{
	json_decref(req->root);
	free(req);
}

void xe_ctl_serve_refuse(struct xe_ctl_conn *conn, int code, const char *text)
{
	json_t *answer = json_pack("{sbsssi}", "ok", 0, "error", text, "code", code);

	if (!answer || xe_ctl_conn_say_last(conn, "", answer, "\n"))
		conn->broken = true; /* it would wait for a line that never comes */
	json_decref(answer);
}

static void stream_end(struct xe_ctl_request *req)
{
	if (req->end)
		req->end(req->arg);
	req->end = NULL;
	req->more = NULL;
}

void xe_ctl_serve_finish(struct xe_ctl_request *req, bool ok, const char *outcome)
{
	req->phase = XE_CTL_ANSWERED;
	if (req->verb && req->verb->writes)
		xe_ctl_audit_line(&req->service, req, ok, outcome);
	if (req->conn) {
		req->conn->req = NULL;
		xe_ctl_conn_watch(req->conn, true);
		req->conn = NULL;
	}
	if (req->in_call)
		return;
	stream_end(req);
	request_free(req);
}

/* run() or more() came back with `ret`; `open`: it left the request open as it may. */
static void after_call(struct xe_ctl_request *req, int ret, bool open)
{
	req->in_call = false;
	if (req->phase == XE_CTL_ANSWERED) {
		stream_end(req);
		request_free(req);
	} else if (ret < 0) {
		xe_ctl_fail(req, XE_CTL_FAILED, "%s", strerror(-ret));
	} else if (!open) {
		xe_log_err("control socket: `%s` ended without an answer", req->verb->name);
		xe_ctl_fail(req, XE_CTL_FAILED, "the service gave no answer");
	}
}

bool xe_ctl_serve_pullable(const struct xe_ctl_request *req)
{
	return req && req->phase == XE_CTL_STREAMING;
}

void xe_ctl_serve_pull(struct xe_ctl_request *req)
{
	int ret;

	req->in_call = true;
	ret = req->more(req->arg, req);
	after_call(req, ret, ret > 0);
}

void xe_ctl_serve_leave(struct xe_ctl_request *req, const char *why)
{
	if (!req)
		return;
	req->conn->req = NULL;
	req->conn = NULL;
	if (req->phase != XE_CTL_DEFERRED)
		xe_ctl_serve_finish(req, false, why);
}

static const struct xe_ctl_verb *find_verb(const struct xe_ctl_service *service, const char *name)
{
	for (const struct xe_ctl_verb *v = service->verbs; v->name; v++)
		if (!strcmp(v->name, name))
			return v;
	return NULL;
}

/* The shape: version, verb, arrays and objects where they belong, words that are strings. */
static int check_shape(struct xe_ctl_request *req, const char **name)
{
	const json_t *args, *options;
	int version = 0;
	size_t i;
	json_t *word;

	if (json_unpack(req->root, "{s?i,s?s}", "v", &version, "verb", name) || !*name)
		return xe_ctl_fail(req, XE_CTL_USAGE, "not a request: no `verb`"), -EINVAL;
	if (version != XE_CTL_VERSION)
		return xe_ctl_fail(req, XE_CTL_USAGE,
				   "protocol version %d is not spoken here, %d is: xegressctl "
				   "and xegressd are of different releases",
				   version, XE_CTL_VERSION),
		       -EINVAL;
	args = json_object_get(req->root, "args");
	options = json_object_get(req->root, "options");
	if ((args && !json_is_array(args)) || (options && !json_is_object(options)))
		return xe_ctl_fail(req, XE_CTL_USAGE,
				   "not a request: `args` is an array, `options` an object"),
		       -EINVAL;
	if (json_array_size(args) > XE_CTL_ARGS_MAX)
		return xe_ctl_fail(req, XE_CTL_USAGE, "more than %d words", XE_CTL_ARGS_MAX),
		       -E2BIG;
	json_array_foreach (args, i, word) {
		if (!json_is_string(word))
			return xe_ctl_fail(req, XE_CTL_USAGE, "word %zu is not a string", i + 1),
			       -EINVAL;
	}
	return 0;
}

static bool may_run(struct xe_ctl_request *req)
{
	if (req->peer.role == XE_CTL_WRITER || !req->verb->writes)
		return true;
	xe_ctl_fail(req, XE_CTL_FAILED,
		    "permission denied: uid %u may look, `%s` is for root and the service's own "
		    "user",
		    (unsigned int)req->peer.uid, req->verb->name);
	return false;
}

static bool args_fit(struct xe_ctl_request *req)
{
	size_t cnt = xe_ctl_arg_cnt(req);

	if (cnt < req->verb->min_args)
		xe_ctl_fail(req, XE_CTL_USAGE, "`%s` wants at least %u word%s, got %zu",
			    req->verb->name, req->verb->min_args,
			    req->verb->min_args == 1 ? "" : "s", cnt);
	else if (cnt > req->verb->max_args)
		xe_ctl_fail(req, XE_CTL_USAGE, "`%s` takes at most %u word%s, got %zu",
			    req->verb->name, req->verb->max_args,
			    req->verb->max_args == 1 ? "" : "s", cnt);
	else
		return true;
	return false;
}

/* Each step answers for itself when it says no. */
static int run_request(struct xe_ctl_request *req, const json_error_t *why)
{
	const char *name = NULL;

	if (!json_is_object(req->root))
		return xe_ctl_fail(req, XE_CTL_USAGE, "not a request: %s",
				   req->root ? "not a JSON object" : why->text);
	if (check_shape(req, &name))
		return 0;
	req->verb = find_verb(&req->service, name);
	if (!req->verb)
		return xe_ctl_fail(req, XE_CTL_USAGE, "unknown verb `%s`", name);
	if (!may_run(req) || !args_fit(req))
		return 0;
	return req->verb->run(req->service.ctx, req);
}

void xe_ctl_serve_start(const struct xe_ctl_service *service, struct xe_ctl_conn *conn,
			const char *line, size_t len)
{
	struct xe_ctl_request *req = calloc(1, sizeof(*req));
	json_error_t why = {.text = "no memory"};
	int ret;

	if (!req) {
		conn->broken = true;
		return;
	}
	req->service = *service;
	req->conn = conn;
	req->peer = conn->peer;
	conn->req = req;
	req->root = json_loadb(line, len, JSON_REJECT_DUPLICATES, &why);
	req->in_call = true;
	ret = run_request(req, &why);
	after_call(req, ret, req->phase != XE_CTL_RUNNING);
}
