/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * verbs_apply.c - apply: the running configuration becomes that of a file, and only the difference
 * is carried out.
 *
 * Refused whole when anything in it cannot come into force: then nothing has changed.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/apply_diff.h"
#include "control/change.h"
#include "control/verbs.h"

/* A configuration error: FILE:LINE: KEY: why. */
#define ERR_SIZE 1024

static void on_warning(void *ctx, const char *line)
{
	json_array_append_new(ctx, json_string(line));
}

/* Line of a top-level key, 0 when it is left out. */
static int line_of(const char *text, size_t len, const char *key, size_t key_len)
{
	int line = 1;

	for (size_t at = 0; at + key_len < len; line++) {
		const char *nl = memchr(text + at, '\n', len - at);

		if (!memcmp(text + at, key, key_len) && text[at + key_len] == ':')
			return line;
		if (!nl)
			break;
		at = (size_t)(nl - text) + 1;
	}
	return 0;
}

/* Ports and rules that `next` adds or changes must be there afterwards: what hinders them and is
 * known now is said before anything is touched. */
static int check_interfaces(struct xe_service *svc, const struct xe_config *next, char *err)
{
	for (uint32_t i = 0; i < next->port_cnt; i++) {
		const struct xe_config_port *p = &next->ports[i];
		const struct xe_config_port *was = xe_entry_named(svc->config, p->name);
		const struct xe_link *link;

		if (xe_config_is_glob(p->name) || (was && xe_same_entry(was, p)))
			continue;
		link = xe_netlink_link_named(svc->netlink, p->name);
		if (link && link->up)
			continue;
		snprintf(err, ERR_SIZE, "%s:%d: ports[%u].name: `%s` cannot be attached: %s",
			 next->file, p->line, i, p->name,
			 link ? "the interface is down" : "no such interface");
		return -ENODEV;
	}
	return 0;
}

static int ports_are_attached(struct xe_service *svc, const struct xe_config *was, char *err,
			      size_t err_size)
{
	const struct xe_config *now = svc->config;

	for (uint32_t i = 0; i < now->port_cnt; i++) {
		const struct xe_config_port *p = &now->ports[i],
					    *old = xe_entry_named(was, p->name);
		const struct xe_port *port = xe_port_named(svc, p->name);

		if (xe_config_is_glob(p->name) || (old && xe_same_entry(old, p)) ||
		    (port && port->state == XE_PORT_ATTACHED))
			continue;
		snprintf(err, err_size, "%s:%d: ports[%u].name: `%s` cannot be attached: %s",
			 now->file, p->line, i, p->name, port ? port->why : "no such interface");
		return -EIO;
	}
	return 0;
}

/* arg is the configuration before. */
static int is_in_force(struct xe_service *svc, void *arg, char *err, size_t err_size)
{
	const struct xe_config *was = arg, *now = svc->config;
	int ret = ports_are_attached(svc, was, err, err_size);
	char why[256];

	for (uint32_t i = 0; i < now->rule_cnt && !ret; i++) {
		if (xe_rule_in_force(svc, &now->rules[i], why, sizeof(why)) ||
		    xe_has_rule(was, &now->rules[i]))
			continue;
		snprintf(err, err_size, "%s:%d: rules[%u]: %s", now->file, now->rules[i].line, i,
			 why);
		ret = -EIO;
	}
	return ret;
}

/* Messages of later checks must not name lines of a file that is not the one of `status`. */
static void keep_file_name(struct xe_service *svc, const char *file)
{
	struct xe_config *config = svc->config;
	char *copy;

	if (!file || !strcmp(config->file, file))
		return;
	copy = strdup(file);
	if (!copy)
		return;
	free(config->file);
	config->file = copy;
	for (uint32_t i = 0; i < config->port_cnt; i++)
		config->ports[i].line = config->ports[i].allow_line = 0;
	for (uint32_t i = 0; i < config->rule_cnt; i++)
		config->rules[i].line = 0;
}

/* Parsed, and found to be something that can be carried out now. */
static int load(struct xe_service *svc, struct xe_ctl_request *req, struct xe_config **next,
		json_t *warnings, char *err)
{
	const char *name = xe_ctl_arg(req, 0), *text, *key;
	size_t len = 0;
	int ret;

	text = xe_ctl_option_text(req, "content", &len);
	if (!text) {
		snprintf(err, ERR_SIZE, "%.200s: expected the file's text in the option `content`",
			 name);
		return -EINVAL;
	}
	ret = xe_config_parse(name, text, len, next, on_warning, warnings, err, ERR_SIZE);
	if (ret)
		return ret;
	key = xe_change_needs_restart(svc->config, *next);
	if (key) {
		snprintf(
			err, ERR_SIZE,
			"%.200s:%d: %s: cannot change while the service runs, restart to change it",
			name, line_of(text, len, key, strcspn(key, ".")), key);
		return -EBUSY;
	}
	return check_interfaces(svc, *next, err);
}

int xe_verb_apply(void *ctx, struct xe_ctl_request *req)
{
	struct xe_service *svc = ctx;
	struct xe_config *next = NULL, *was = svc->config;
	json_t *changes = NULL, *warnings = json_array();
	char err[ERR_SIZE] = "out of memory", *file = was->file ? strdup(was->file) : NULL;
	int ret;

	xe_netlink_dispatch(svc->netlink);
	ret = load(svc, req, &next, warnings, err);
	if (!ret) {
		changes = xe_apply_diff(was, next);
		ret = changes ? 0 : -ENOMEM;
	}
	if (!ret) {
		ret = xe_change(svc, next, is_in_force, was, err, sizeof(err));
		next = NULL;
	}
	if (ret) {
		xe_config_free(next);
		json_decref(changes);
		json_decref(warnings);
		xe_ctl_fail(req, XE_CTL_FAILED, "%s", err);
	} else {
		keep_file_name(svc, file);
		xe_ctl_ok(req, json_pack("{so, so}", "changes", changes, "warnings", warnings));
	}
	free(file);
	return 0;
}
