/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "control/ctl_request.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "control/ctl_serve.h"

/* One error line: the longest are those of the configuration, FILE:LINE: KEY: what and why. */
#define ERROR_SIZE 1024

static const json_t *arg_list(const struct xe_ctl_request *req)
{
	return json_object_get(req->root, "args");
}

size_t xe_ctl_arg_cnt(const struct xe_ctl_request *req)
{
	return json_array_size(arg_list(req));
}

const char *xe_ctl_arg(const struct xe_ctl_request *req, size_t idx)
{
	return json_string_value(json_array_get(arg_list(req), idx));
}

char *xe_ctl_args_joined(const struct xe_ctl_request *req, size_t first)
{
	size_t cnt = xe_ctl_arg_cnt(req), size = 1;
	char *text, *end;

	for (size_t i = first; i < cnt; i++)
		size += strlen(xe_ctl_arg(req, i)) + 1;
	text = end = malloc(size);
	if (!text)
		return NULL;
	for (size_t i = first; i < cnt; i++) {
		if (i > first)
			*end++ = ' ';
		end = stpcpy(end, xe_ctl_arg(req, i));
	}
	*end = '\0';
	return text;
}

const char *xe_ctl_option_text(const struct xe_ctl_request *req, const char *name, size_t *len)
{
	const json_t *text = json_object_get(json_object_get(req->root, "options"), name);

	*len = json_string_length(text);
	return json_string_value(text);
}

int xe_ctl_take_fd(struct xe_ctl_request *req)
{
	int fd = req->conn ? req->conn->in_fd : -1;

	if (req->conn)
		req->conn->in_fd = -1;
	return fd;
}

uid_t xe_ctl_uid(const struct xe_ctl_request *req)
{
	return req->peer.uid;
}

pid_t xe_ctl_pid(const struct xe_ctl_request *req)
{
	return req->peer.pid;
}

const char *xe_ctl_verb_name(const struct xe_ctl_request *req)
{
	return req->verb->name;
}

bool xe_ctl_gone(const struct xe_ctl_request *req)
{
	return !req->conn;
}

/* A verb that answers twice has a bug that must not become ours. */
static bool answered(const struct xe_ctl_request *req)
{
	if (req->phase != XE_CTL_ANSWERED)
		return false;
	xe_log_err("control socket: `%s` answered twice", req->verb->name);
	return true;
}

int xe_ctl_ok(struct xe_ctl_request *req, json_t *result)
{
	int ret = 0;

	if (answered(req))
		goto out;
	if (!result)
		result = json_object();
	if (!json_is_object(result))
		ret = -EINVAL;
	else if (req->conn)
		ret = xe_ctl_conn_say(req->conn, "{\"ok\":true,\"result\":", result, "}\n");
	if (ret == -ENOBUFS)
		xe_ctl_fail(req, XE_CTL_FAILED, "the answer is longer than %u bytes",
			    XE_CTL_ANSWER_MAX);
	else if (ret)
		xe_ctl_fail(req, XE_CTL_FAILED, "the answer could not be made: %s", strerror(-ret));
	else
		xe_ctl_serve_finish(req, true, "done");
out:
	json_decref(result);
	return 0;
}

/* One line, valid UTF-8, no full stop. Errors may quote anything a client sent. */
static void tidy(char *text)
{
	size_t len = strlen(text);
	json_t *valid;

	for (char *c = text; *c; c++)
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			*c = ' ';
	while (len && (text[len - 1] == ' ' || text[len - 1] == '.'))
		text[--len] = '\0';
	valid = json_string(text);
	if (!valid) /* cut inside a character, or no UTF-8 from the start */
		for (char *c = text; *c; c++)
			if ((unsigned char)*c >= 0x80)
				*c = '?';
	json_decref(valid);
}

int xe_ctl_fail(struct xe_ctl_request *req, int code, const char *fmt, ...)
{
	char text[ERROR_SIZE];
	va_list ap;

	if (answered(req))
		return 0;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	tidy(text);
	if (req->conn)
		xe_ctl_serve_refuse(req->conn, code, text);
	xe_ctl_serve_finish(req, false, text);
	return 0;
}

int xe_ctl_part(struct xe_ctl_request *req, json_t *part)
{
	int ret = 1;

	if (!json_is_object(part))
		ret = -EINVAL;
	else if (!req->conn)
		ret = -EPIPE;
	else
		ret = xe_ctl_conn_say(req->conn, "{\"part\":", part, "}\n");
	json_decref(part);
	if (ret == -ENOMEM)
		return -EPIPE; /* the connection is broken by that */
	return ret ? ret : req->conn->out_len < XE_CTL_LOW_WATER;
}

int xe_ctl_stream(struct xe_ctl_request *req, int (*more)(void *arg, struct xe_ctl_request *req),
		  void (*end)(void *arg), void *arg)
{
	if (answered(req) || req->phase == XE_CTL_STREAMING) {
		if (end)
			end(arg);
		return -EINVAL;
	}
	req->phase = XE_CTL_STREAMING;
	req->more = more;
	req->end = end;
	req->arg = arg;
	if (req->conn)
		xe_ctl_conn_watch(req->conn, true);
	else
		xe_ctl_serve_finish(req, false, "the client went away");
	return 0;
}

int xe_ctl_defer(struct xe_ctl_request *req)
{
	if (answered(req) || req->phase != XE_CTL_RUNNING)
		return -EINVAL;
	req->phase = XE_CTL_DEFERRED;
	return 0;
}
