/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What a client sends goes into a log that people trust: a line break in a word must not start a
 * line of its own there, an escape sequence must not reach a terminal, a megabyte must not fill a
 * disk.
 */
#include "control/ctl_audit.h"

#include <string.h>

#include "control/ctl_serve.h"

/* Text of one member of the line: the longest sane rule is about 300 bytes. */
#define TEXT_SIZE 513

/* Append `text` at *pos, anything but printable ASCII as '?'. */
static void add_text(char *buf, size_t *pos, const char *text)
{
	for (; *text && *pos < TEXT_SIZE - 1; text++)
		buf[(*pos)++] = *text >= ' ' && *text <= '~' ? *text : '?';
	buf[*pos] = '\0';
}

void xe_ctl_audit_line(const struct xe_ctl_service *service, const struct xe_ctl_request *req,
		       bool ok, const char *outcome)
{
	char args[TEXT_SIZE] = "", outcome_text[TEXT_SIZE] = "";
	struct xe_ctl_audit line = {
		.uid = req->peer.uid,
		.pid = req->peer.pid,
		.verb = req->verb->name,
		.args = args,
		.ok = ok,
		.outcome = outcome_text,
	};
	size_t pos = 0;

	if (!service->audit)
		return;
	for (size_t i = 0; i < xe_ctl_arg_cnt(req); i++) {
		add_text(args, &pos, i ? " " : "");
		add_text(args, &pos, xe_ctl_arg(req, i));
	}
	pos = 0;
	add_text(outcome_text, &pos, outcome);
	service->audit(service->ctx, &line);
}
