/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * verbs_change.c - port add, port del, rule add, rule del.
 *
 * Each changes a copy of the configuration, which is checked like a file, then put in force.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/change.h"
#include "control/verbs.h"

/* The LPM table of steer bounds them as the file's loader does. */
#define ALLOW_MAX 64

/* One change on its way. */
struct change {
	struct xe_service *svc;
	struct xe_ctl_request *req;
	struct xe_config *next; /* NULL once handed over */
	char err[512];
};

/* What the kernel has told by now counts: an interface made just before is there. */
static int begin(struct change *c, void *ctx, struct xe_ctl_request *req)
{
	*c = (struct change){.svc = ctx, .req = req};
	xe_netlink_dispatch(c->svc->netlink);
	c->next = xe_config_dup(c->svc->config);
	return c->next ? 0 : -ENOMEM;
}

/* Refuse: the request itself was wrong, or it cannot be done. */
static int refuse(struct change *c, int code)
{
	xe_config_free(c->next);
	return xe_ctl_fail(c->req, code, "%s", c->err);
}

/* Why an interface cannot become a port now, known before anything is touched. */
static int check_interface(struct change *c, const char *name)
{
	const struct xe_link *link = xe_netlink_link_named(c->svc->netlink, name);

	if (xe_config_is_glob(name) || (link && link->up))
		return 0;
	snprintf(c->err, sizeof(c->err), "port %s: %s", name,
		 link ? "the interface is down" : "no such interface");
	return -ENODEV;
}

/* Check and put in force; `added` is the interface of a new port, else NULL. False: the answer has
 * been given, as code 1. */
static bool commit(struct change *c, const char *added, xe_change_verify_fn verify, void *arg)
{
	struct xe_config *next = c->next;
	int ret = xe_config_check(next, NULL, NULL, c->err, sizeof(c->err));

	if (!ret && added)
		ret = check_interface(c, added);
	if (!ret) {
		c->next = NULL;
		ret = xe_change(c->svc, next, verify, arg, c->err, sizeof(c->err));
	}
	if (ret)
		refuse(c, XE_CTL_FAILED);
	return !ret;
}

/* ---- ports ---- */

/* 10.1.0.0/16,10.2.0.0/16 */
static int parse_allow(char *words, struct xe_config_port *port, char *err, size_t err_size)
{
	char why[160], *save = NULL;

	port->allow = calloc(ALLOW_MAX, sizeof(*port->allow));
	if (!port->allow)
		return -ENOMEM;
	for (char *w = strtok_r(words, ",", &save); w; w = strtok_r(NULL, ",", &save)) {
		if (port->allow_cnt == ALLOW_MAX) {
			snprintf(err, err_size, "more than %d prefixes after `allow`", ALLOW_MAX);
			return -EINVAL;
		}
		if (xe_prefix_parse(w, &port->allow[port->allow_cnt++], why, sizeof(why))) {
			snprintf(err, err_size, "after `allow`: %s", why);
			return -EINVAL;
		}
	}
	if (port->allow_cnt)
		return 0;
	snprintf(err, err_size, "expected prefixes after `allow`, separated by commas");
	return -EINVAL;
}

static int word_of(const char *const *words, const char *word)
{
	for (int i = 0; words[i]; i++)
		if (!strcmp(words[i], word))
			return i;
	return -1;
}

static int parse_port_option(struct change *c, const char *word, const char *value,
			     struct xe_config_port *port)
{
	int mode, ret;
	char *copy;

	if (!strcmp(word, "allow") && value && !port->allow) {
		copy = strdup(value);
		ret = copy ? parse_allow(copy, port, c->err, sizeof(c->err)) : -ENOMEM;
		free(copy);
		return ret;
	}
	mode = !strcmp(word, "xdp") && value ? word_of(xe_xdp_words, value) : -1;
	if (mode >= 0) {
		port->xdp = (enum xe_xdp_mode)mode;
		return 0;
	}
	mode = !strcmp(word, "coalesce") && value ? word_of(xe_coalesce_words, value) : -1;
	if (mode >= 0) {
		port->coalesce = (enum xe_coalesce)mode;
		return 0;
	}
	snprintf(c->err, sizeof(c->err),
		 "unexpected `%s%s%s`, expected NAME inside|uplink [allow PREFIX,...] [xdp "
		 "auto|native|generic] [coalesce auto|on|off]",
		 word, value ? " " : "", value ? value : "");
	return -EINVAL;
}

static int parse_port(struct change *c, struct xe_config_port *port)
{
	const char *name = xe_ctl_arg(c->req, 0), *role = xe_ctl_arg(c->req, 1);
	int role_idx = word_of(xe_role_words, role), ret = 0;

	*port = (struct xe_config_port){.role = (enum xe_port_role)role_idx};
	if (!xe_port_name_valid(name)) {
		snprintf(c->err, sizeof(c->err), "`%.60s` is no name or glob of an interface",
			 name);
		return -EINVAL;
	}
	if (role_idx < 0) {
		snprintf(c->err, sizeof(c->err), "expected inside or uplink, got `%.60s`", role);
		return -EINVAL;
	}
	strcpy(port->name, name); /* valid names fit */
	for (size_t i = 2; i < xe_ctl_arg_cnt(c->req) && !ret; i += 2)
		ret = parse_port_option(c, xe_ctl_arg(c->req, i), xe_ctl_arg(c->req, i + 1), port);
	return ret;
}

static int port_is_attached(struct xe_service *svc, void *arg, char *err, size_t err_size)
{
	const char *name = arg;
	const struct xe_port *port = xe_port_named(svc, name);

	if (xe_config_is_glob(name) || (port && port->state == XE_PORT_ATTACHED))
		return 0;
	snprintf(err, err_size, "port %s: %s", name, port ? port->why : "no such interface");
	return -EIO;
}

/* The port, or the first that the glob has caught; null when it has caught none yet. */
static json_t *added_port(const struct xe_service *svc, const char *name)
{
	for (const struct xe_port *p = svc->port_list; p; p = p->next)
		if (!strcmp(p->entry, name))
			return xe_port_json(svc, p);
	return json_null();
}

/* A port that a glob has caught has no entry to remove: from now on it is denied by name. */
static int deny(struct change *c, const char *name)
{
	char(*denied)[IFNAMSIZ];

	snprintf(c->err, sizeof(c->err), "no port `%.60s`", name);
	if (!xe_port_named(c->svc, name) || !xe_config_port_for(c->next, name))
		return -ENOENT;
	snprintf(c->err, sizeof(c->err), "deny-ports has %d entries, no more fit", XE_MAX_PORTS);
	if (c->next->deny_port_cnt == XE_MAX_PORTS)
		return -ENOSPC;
	denied = realloc(c->next->deny_ports, (c->next->deny_port_cnt + 1ul) * sizeof(*denied));
	snprintf(c->err, sizeof(c->err), "out of memory");
	if (!denied)
		return -ENOMEM;
	memset(denied[c->next->deny_port_cnt], 0, sizeof(*denied));
	strcpy(denied[c->next->deny_port_cnt++], name); /* a port's name fits */
	c->next->deny_ports = denied;
	c->next->deny_by_del_cnt++;
	return 0;
}

/* `port add` of what `port del` has denied. What the file denies stays so, and is refused. */
static void undeny(struct xe_config *config, const char *name)
{
	uint32_t i = config->deny_port_cnt - config->deny_by_del_cnt;

	while (i < config->deny_port_cnt && strcmp(config->deny_ports[i], name))
		i++;
	if (i == config->deny_port_cnt)
		return;
	config->deny_port_cnt--;
	config->deny_by_del_cnt--;
	memmove(config->deny_ports[i], config->deny_ports[i + 1],
		(config->deny_port_cnt - i) * sizeof(config->deny_ports[0]));
}

int xe_verb_port_add(void *ctx, struct xe_ctl_request *req)
{
	struct xe_config_port port, *ports;
	char name[IFNAMSIZ];
	struct change c;
	int ret = begin(&c, ctx, req);

	if (ret)
		return ret;
	ret = parse_port(&c, &port);
	if (ret) {
		free(port.allow);
		return refuse(&c, ret == -EINVAL ? XE_CTL_USAGE : XE_CTL_FAILED);
	}
	strcpy(name, port.name);
	ports = realloc(c.next->ports, (c.next->port_cnt + 1ul) * sizeof(*ports));
	if (!ports) {
		free(port.allow);
		xe_config_free(c.next);
		return -ENOMEM;
	}
	ports[c.next->port_cnt++] = port;
	c.next->ports = ports;
	undeny(c.next, name);
	if (!commit(&c, name, port_is_attached, name))
		return 0;
	return xe_ctl_ok(req, json_pack("{so}", "port", added_port(c.svc, name)));
}

static bool del_entry(struct xe_config *config, const char *name)
{
	uint32_t i = 0;

	while (i < config->port_cnt && strcmp(config->ports[i].name, name))
		i++;
	if (i == config->port_cnt)
		return false;
	free(config->ports[i].allow);
	config->port_cnt--;
	memmove(&config->ports[i], &config->ports[i + 1],
		(config->port_cnt - i) * sizeof(config->ports[0]));
	return true;
}

/* When it returns, nothing of that name is attached: also where a glob would catch it again. */
int xe_verb_port_del(void *ctx, struct xe_ctl_request *req)
{
	const char *name = xe_ctl_arg(req, 0);
	struct change c;
	int ret = begin(&c, ctx, req);

	if (ret)
		return ret;
	if (!del_entry(c.next, name))
		ret = deny(&c, name);
	else if (!xe_config_is_glob(name) && xe_config_port_for(c.next, name))
		ret = deny(&c, name);
	if (ret)
		return refuse(&c, XE_CTL_FAILED);
	if (!commit(&c, NULL, NULL, NULL))
		return 0;
	return xe_ctl_ok(req, json_pack("{ss}", "name", name));
}

/* ---- rules ---- */

/* A decimal number from 1 on, or 0. */
static uint32_t number_of(const char *word)
{
	char *end;
	unsigned long n;

	if (!word || word[0] < '1' || word[0] > '9')
		return 0;
	n = strtoul(word, &end, 10);
	return *end || n > XE_MAX_RULES ? 0 : (uint32_t)n;
}

static int rule_is_live(struct xe_service *svc, void *arg, char *err, size_t err_size)
{
	return xe_rule_in_force(svc, arg, err, err_size) ? 0 : -EIO;
}

/* The rule and where it goes; 0 is the first place. Returns 0 or the exit code for a refusal. */
static int parse_rule(struct change *c, struct xe_rule *rule, uint32_t *at)
{
	bool placed = !strcmp(xe_ctl_arg(c->req, 0), "at");
	char *text = xe_ctl_args_joined(c->req, placed ? 2 : 0);
	int ret;

	*at = c->next->rule_cnt;
	if (placed)
		*at = number_of(xe_ctl_arg(c->req, 1)) - 1; /* none: wraps to too large */
	snprintf(c->err, sizeof(c->err), "out of memory");
	ret = text ? xe_rule_parse(text, rule, c->err, sizeof(c->err)) : -ENOMEM;
	free(text);
	if (ret)
		return ret == -EINVAL ? XE_CTL_USAGE : XE_CTL_FAILED;
	if (*at > c->next->rule_cnt) {
		snprintf(c->err, sizeof(c->err), "after `at`: expected a number from 1 to %u",
			 c->next->rule_cnt + 1);
		return XE_CTL_USAGE;
	}
	if (c->next->rule_cnt == XE_MAX_RULES) {
		snprintf(c->err, sizeof(c->err), "there are %d rules, no more fit", XE_MAX_RULES);
		return XE_CTL_FAILED;
	}
	return 0;
}

int xe_verb_rule_add(void *ctx, struct xe_ctl_request *req)
{
	struct xe_rule rule, *rules;
	struct change c;
	uint32_t at;
	int ret = begin(&c, ctx, req);

	if (ret)
		return ret;
	ret = parse_rule(&c, &rule, &at);
	if (ret)
		return refuse(&c, ret);
	rules = realloc(c.next->rules, (c.next->rule_cnt + 1ul) * sizeof(*rules));
	if (!rules) {
		xe_config_free(c.next);
		return -ENOMEM;
	}
	memmove(&rules[at + 1], &rules[at], (c.next->rule_cnt - at) * sizeof(*rules));
	rules[at] = rule;
	c.next->rules = rules;
	c.next->rule_cnt++;
	if (!commit(&c, NULL, rule_is_live, &rule))
		return 0;
	return xe_ctl_ok(req, json_pack("{so}", "rule", xe_rule_json(c.svc, &rule, at + 1, -1)));
}

/* By number, or by what it says. 0: none, and c->err says so. */
static uint32_t find_rule(struct change *c, int *code)
{
	const struct xe_config *config = c->svc->config;
	uint32_t n = xe_ctl_arg_cnt(c->req) == 1 ? number_of(xe_ctl_arg(c->req, 0)) : 0;
	char *text = xe_ctl_args_joined(c->req, 0);
	struct xe_rule rule;
	int ret = -ENOMEM;

	*code = XE_CTL_FAILED;
	if (n) {
		snprintf(c->err, sizeof(c->err), "no rule %u, there are %u", n, config->rule_cnt);
		n = n <= config->rule_cnt ? n : 0;
		goto out;
	}
	snprintf(c->err, sizeof(c->err), "out of memory");
	if (text)
		ret = xe_rule_parse(text, &rule, c->err, sizeof(c->err));
	if (ret) {
		*code = ret == -EINVAL ? XE_CTL_USAGE : XE_CTL_FAILED;
		goto out;
	}
	snprintf(c->err, sizeof(c->err), "no such rule");
	for (uint32_t i = 0; i < config->rule_cnt && !n; i++)
		if (xe_rule_equal(&config->rules[i], &rule))
			n = i + 1;
out:
	free(text);
	return n;
}

int xe_verb_rule_del(void *ctx, struct xe_ctl_request *req)
{
	json_t *was;
	struct change c;
	uint32_t n;
	int ret = begin(&c, ctx, req), code;

	if (ret)
		return ret;
	n = find_rule(&c, &code);
	if (!n)
		return refuse(&c, code);
	was = xe_rule_json(c.svc, &c.next->rules[n - 1], n, -1);
	c.next->rule_cnt--;
	memmove(&c.next->rules[n - 1], &c.next->rules[n],
		(c.next->rule_cnt - (n - 1)) * sizeof(c.next->rules[0]));
	if (!commit(&c, NULL, NULL, NULL)) {
		json_decref(was);
		return 0;
	}
	return xe_ctl_ok(req, json_pack("{so}", "rule", was));
}
