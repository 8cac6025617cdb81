/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * config_check.c - what concerns more than one value of the configuration.
 *
 * The principle: what cannot take effect is refused, with the reason, since the one who wrote it
 * believes that it does. What takes effect but is probably not wanted is a warning. Run when a file
 * is loaded, and by the service on its changed copy before a port or rule is added alone; such
 * an addition has no line, and its messages none either.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fnmatch.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "control/config.h"
#include "control/config_schema.h"
#include "control/nat_range.h"
#include "control/sockdiag.h"
#include "state/deny.h"

/* "rules[16383].sessions-per-source" and the like */
#define KEY_SIZE 64

struct check {
	const struct xe_config *config;
	xe_config_warn_fn warn;
	void *ctx;
	char *err;
	size_t err_size;
	bool default_met; /* that the default NAT range meets the host's has been said */
};

/* Where a message belongs. */
struct place {
	const char *list; /* "ports", "rules" */
	uint32_t idx;
	const char *key; /* "" or ".name" */
	int line;
};

static void format(const struct check *c, const struct place *at, char *buf, size_t size,
		   const char *fmt, va_list ap)
{
	char key[KEY_SIZE];

	snprintf(key, sizeof(key), "%s[%u]%s", at->list, at->idx, at->key);
	xe_config_line(buf, size, c->config->file ? c->config->file : "", at->line ? at->line : -1,
		       fmt, key, ap);
}

static int __attribute__((format(printf, 3, 4)))
refuse(struct check *c, const struct place *at, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	format(c, at, c->err, c->err_size, fmt, ap);
	va_end(ap);
	return -EINVAL;
}

static void __attribute__((format(printf, 3, 4)))
warn(struct check *c, const struct place *at, const char *fmt, ...)
{
	char line[512];
	va_list ap;

	if (!c->warn)
		return;
	va_start(ap, fmt);
	format(c, at, line, sizeof(line), fmt, ap);
	va_end(ap);
	c->warn(c->ctx, line);
}

/*
 * Does the glob catch every interface that `name` (an interface or a glob) stands for? Globs of
 * stars only are decided: a star takes in whatever stands for the other's wildcards. For the rest
 * the answer is no, which at worst lets a useless entry pass.
 */
static bool glob_holds(const char *glob, const char *name)
{
	if (xe_config_is_glob(name) && (strpbrk(glob, "?[") || strchr(name, '[')))
		return false;
	return !fnmatch(glob, name, 0);
}

static int check_allow(struct check *c, const struct xe_config_port *p, uint32_t idx)
{
	const struct place at = {"ports", idx, ".allow", p->allow_line};

	if (!p->allow)
		return 0;
	if (p->role == XE_ROLE_UPLINK)
		return refuse(c, &at,
			      "an uplink has no allowed sources, expected `allow` on inside "
			      "ports only");
	for (uint32_t i = 1; i < p->allow_cnt; i++)
		for (uint32_t k = 0; k < i; k++)
			if (!memcmp(&p->allow[i], &p->allow[k], sizeof(p->allow[i])))
				return refuse(c, &at,
					      "entries %u and %u are the same prefix, "
					      "expected it once",
					      k, i);
	return 0;
}

static int check_port(struct check *c, uint32_t idx)
{
	const struct xe_config *config = c->config;
	const struct xe_config_port *p = &config->ports[idx];
	const struct place at = {"ports", idx, ".name", p->line};
	bool glob = xe_config_is_glob(p->name);

	for (uint32_t i = 0; i < idx; i++) {
		if (!strcmp(config->ports[i].name, p->name))
			return refuse(c, &at,
				      "`%s` is named by ports[%u] already, expected one "
				      "entry for it",
				      p->name, i);
		if (glob && xe_config_is_glob(config->ports[i].name) &&
		    glob_holds(config->ports[i].name, p->name))
			return refuse(c, &at,
				      "`%s` is never reached, since `%s` of ports[%u] "
				      "catches all of it: expected it before that",
				      p->name, config->ports[i].name, i);
	}
	for (uint32_t i = 0; i < config->deny_port_cnt; i++)
		if (!strcmp(config->deny_ports[i], p->name) ||
		    glob_holds(config->deny_ports[i], p->name))
			return refuse(c, &at,
				      "`%s` is denied by deny-ports[%u] (`%s`), expected it "
				      "in one of the two",
				      p->name, i, config->deny_ports[i]);
	return check_allow(c, p, idx);
}

/* The entry a name in a rule stands for: the entry of that name, or the one that catches the
 * interface of that name. */
static const struct xe_config_port *entry_for(const struct xe_config *config, const char *name)
{
	for (uint32_t i = 0; i < config->port_cnt; i++)
		if (!strcmp(config->ports[i].name, name))
			return &config->ports[i];
	return xe_config_is_glob(name) ? NULL : xe_config_port_for(config, name);
}

static int refuse_name(struct check *c, const struct place *at, const char *clause,
		       const char *name)
{
	if (xe_config_denied(c->config, name))
		return refuse(c, at, "`%s %s` names an interface that deny-ports keeps out", clause,
			      name);
	return refuse(c, at, "`%s %s` names no port, expected a name as it stands in `ports`",
		      clause, name);
}

/* Only what comes from inside can be dropped, or answered, by a rule. */
static bool drops(const struct xe_rule *rule)
{
	return rule->verb == XE_VERB_DROP || rule->verb == XE_VERB_REJECT;
}

static int check_names(struct check *c, const struct xe_rule *rule, const struct place *at)
{
	const struct xe_config_port *in = NULL, *out = NULL;

	if (rule->in[0] && !(in = entry_for(c->config, rule->in)))
		return refuse_name(c, at, "in", rule->in);
	if (rule->out[0] && !(out = entry_for(c->config, rule->out)))
		return refuse_name(c, at, "out", rule->out);
	if (xe_verb_translates(rule->verb) && out && out->role != XE_ROLE_UPLINK)
		return refuse(c, at, "`out %s` is an inside port, expected an uplink with %s",
			      rule->out, xe_verb_name(rule->verb));
	if (xe_rule_is_deny(rule) && in->role == XE_ROLE_UPLINK)
		return 0;
	if (rule->verb == XE_VERB_DROP && rule->file[0])
		return refuse(c, at, "`in %s` is an inside port, expected an uplink with a file",
			      rule->in);
	/* On an uplink only packets of flows that are known already are looked at. */
	if ((xe_verb_translates(rule->verb) || drops(rule)) && in && in->role != XE_ROLE_INSIDE)
		return refuse(c, at,
			      "`in %s` is an uplink, where no flow starts that is %s: "
			      "expected an inside port",
			      rule->in,
			      drops(rule)
				      ? "ours to drop (but by `from` alone, `drop from PREFIX in "
					"UPLINK`)"
				      : "ours to translate");
	return 0;
}

static bool prefixes_meet(const struct xe_prefix *a, const struct xe_prefix *b)
{
	return xe_prefix_covers(a, &b->addr) || xe_prefix_covers(b, &a->addr);
}

/* May a packet from this prefix come in by this port? Without `allow` the interface's connected
 * prefixes count, which nobody knows here. */
static bool port_lets_in(const struct xe_config_port *p, const struct xe_prefix *from)
{
	for (uint32_t i = 0; i < p->allow_cnt; i++)
		if (prefixes_meet(&p->allow[i], from))
			return true;
	return !p->allow;
}

static int check_from(struct check *c, const struct xe_rule *rule, const struct place *at)
{
	const struct xe_config_port *in = rule->in[0] ? entry_for(c->config, rule->in) : NULL;
	char text[INET6_ADDRSTRLEN + 4];
	bool some_inside = false;

	/* `accept` may be about what comes from outside, and so may `kernel`, and a deny list is.
	 */
	if (!rule->from.family || (xe_rule_is_deny(rule) && in && in->role == XE_ROLE_UPLINK) ||
	    !(xe_verb_translates(rule->verb) || drops(rule)))
		return 0;
	for (uint32_t i = 0; i < c->config->port_cnt; i++) {
		const struct xe_config_port *p = &c->config->ports[i];

		if (p->role != XE_ROLE_INSIDE || (in && p != in))
			continue;
		if (port_lets_in(p, &rule->from))
			return 0;
		some_inside = true;
	}
	if (!some_inside) /* ports may be added later */
		return 0;
	xe_prefix_print(&rule->from, text, sizeof(text));
	return refuse(c, at,
		      "`from %s` is allowed on no inside port%s%s, expected a prefix of some "
		      "`allow`",
		      text, in ? " named " : "", in ? rule->in : "");
}

/* One L4 port at least for each worker: flows of one do not share those of another. */
static void warn_few(struct check *c, const struct xe_rule *rule, const struct place *at)
{
	uint32_t cnt = rule->port_max - rule->port_min + 1u;

	if (cnt < c->config->worker_cnt)
		warn(c, at,
		     "`ports %u-%u` are %u for %u workers: flows of some may find no L4 port",
		     rule->port_min, rule->port_max, cnt, c->config->worker_cnt);
}

static void warn_ports(struct check *c, const struct xe_rule *rule, const struct place *at)
{
	uint16_t min, max, from, to;

	if (rule->verb != XE_VERB_MASQUERADE && rule->verb != XE_VERB_SNAT)
		return;
	if (rule->port_min)
		warn_few(c, rule, at);
	/* That of the calling thread's network namespace. */
	if (xe_sockdiag_local_range(&min, &max))
		return;
	if (rule->port_min) {
		if (xe_nat_range_meets(min, max, rule->port_min, rule->port_max))
			warn(c, at,
			     "`ports %u-%u` meets net.ipv4.ip_local_port_range (%u-%u), of which "
			     "the host's own connections take theirs",
			     rule->port_min, rule->port_max, min, max);
	} else if (!c->default_met && !xe_nat_range_default(min, max, &from, &to)) {
		c->default_met = true; /* once is enough */
		warn(c, at,
		     "net.ipv4.ip_local_port_range (%u-%u), of which the host's own connections "
		     "take theirs, leaves too little of the default NAT range %u-%u: give the "
		     "host another range, or the rules `ports` apart from it",
		     min, max, from, to);
	}
}

/* Read for its errors; who puts the rule into force reads it again. */
static int check_file(struct check *c, const struct xe_rule *rule, const struct place *at)
{
	char why[2 * XE_RULE_FILE_SIZE + 256];
	struct xe_deny_list list;

	if (rule->verb != XE_VERB_DROP || !rule->file[0])
		return 0;
	if (xe_deny_read(rule->file, &list, why, sizeof(why)))
		return refuse(c, at, "%s", why);
	xe_deny_list_free(&list);
	return 0;
}

static int check_rule(struct check *c, uint32_t idx)
{
	const struct xe_rule *rule = &c->config->rules[idx];
	const struct place at = {"rules", idx, "", rule->line};
	int ret = check_names(c, rule, &at);

	if (!ret)
		ret = check_from(c, rule, &at);
	if (!ret)
		ret = check_file(c, rule, &at);
	if (!ret)
		warn_ports(c, rule, &at);
	return ret;
}

static int cmp_prefix(const struct xe_prefix *a, const struct xe_prefix *b)
{
	int d = a->family - b->family;

	if (!d)
		d = a->len - b->len;
	return d ? d : memcmp(&a->addr, &b->addr, sizeof(a->addr));
}

/* Orders rules by what they match, those that match the same in the order of the file. */
static int cmp_match(const void *pa, const void *pb)
{
	const struct xe_rule *a = *(struct xe_rule *const *)pa, *b = *(struct xe_rule *const *)pb;
	int d = cmp_prefix(&a->from, &b->from);

	d = d ? d : cmp_prefix(&a->to, &b->to);
	d = d ? d : a->proto - b->proto;
	d = d ? d : a->to_port_min - b->to_port_min;
	d = d ? d : a->to_port_max - b->to_port_max;
	d = d ? d : strcmp(a->in, b->in);
	d = d ? d : strcmp(a->out, b->out);
	return d ? d : a < b ? -1 : 1;
}

/*
 * Sorted, since comparing 16384 rules with each other would take seconds. Only a rule that matches
 * exactly what an earlier one does is found: whether several wider ones hide it together is left
 * to `xegressctl explain`.
 */
static int check_hidden(struct check *c)
{
	const struct xe_rule *rules = c->config->rules, **sorted;
	uint32_t cnt = c->config->rule_cnt;
	int ret = 0;

	if (cnt < 2)
		return 0;
	sorted = malloc(cnt * sizeof(*sorted));
	if (!sorted)
		return -ENOMEM;
	for (uint32_t i = 0; i < cnt; i++)
		sorted[i] = &rules[i];
	qsort(sorted, cnt, sizeof(*sorted), cmp_match);
	for (uint32_t i = 1; !ret && i < cnt; i++) {
		const struct place at = {"rules", (uint32_t)(sorted[i] - rules), "",
					 sorted[i]->line};

		if (xe_rule_same_match(sorted[i - 1], sorted[i]))
			ret = refuse(c, &at,
				     "never reached, since rules[%u] matches the same "
				     "packets: expected one of the two",
				     (uint32_t)(sorted[i - 1] - rules));
	}
	free(sorted);
	return ret;
}

/* External addresses of all snat rules together, both families: each counts once. */
static int check_sources(struct check *c)
{
	struct place at = {"rules", 0, "", 0};
	int ret = xe_config_count_sources(c->config, &at.idx);

	if (ret != -E2BIG)
		return ret;
	at.line = c->config->rules[at.idx].line;
	return refuse(c, &at, "too many addresses after `source`, expected at most %d in all rules",
		      XE_MAX_EXT_ADDRS);
}

int xe_config_check(const struct xe_config *config, xe_config_warn_fn warn_fn, void *ctx, char *err,
		    size_t err_size)
{
	struct check c = {
		.config = config, .warn = warn_fn, .ctx = ctx, .err = err, .err_size = err_size};
	int ret = 0;

	for (uint32_t i = 0; !ret && i < config->port_cnt; i++)
		ret = check_port(&c, i);
	for (uint32_t i = 0; !ret && i < config->rule_cnt; i++)
		ret = check_rule(&c, i);
	if (!ret)
		ret = check_hidden(&c);
	if (!ret)
		ret = check_sources(&c);
	if (ret == -ENOMEM)
		snprintf(err, err_size, "%s:0: file: out of memory",
			 config->file ? config->file : "");
	return ret;
}
