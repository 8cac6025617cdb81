/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * fallback_sets.c - the sets of the safety net: interfaces, inside prefixes, L4 ports.
 *
 * Interval sets of the kernel refuse elements that overlap, so prefixes inside others are left out
 * here and ranges are merged; nft's own auto-merge would do it too, but differently in each
 * version.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "control/fallback_sets.h"

/* Below are the well-known L4 ports: a translated flow never gets one of those unless the
 * configuration says so (RFC 4787 REQ-3 (a): 0-1023 only maps to 0-1023). */
#define FIRST_USER_PORT 1024

#define LAST_PORT 65535

/* ---- L4 ports ---- */

static void set_ports(uint64_t *bits, unsigned int min, unsigned int max)
{
	for (unsigned int p = min; p <= max; p++)
		bits[p / 64] |= 1ULL << (p % 64);
}

bool xe_fallback_translates(const struct xe_rule *rule)
{
	return rule->verb == XE_VERB_SNAT || rule->verb == XE_VERB_MASQUERADE;
}

void xe_fallback_nat_ports(const struct xe_fallback_conf *conf, struct xe_fallback_nat *nat)
{
	memset(nat, 0, sizeof(*nat));
	for (int w = 0; conf->nat_ever && w < XE_FALLBACK_WORDS; w++)
		nat->tcp[w] = nat->udp[w] = conf->nat_ever[w];
	for (uint32_t i = 0; i < conf->nat_tcp_cnt; i++)
		set_ports(nat->tcp, conf->nat_tcp[i].min, conf->nat_tcp[i].max);
	for (uint32_t i = 0; i < conf->nat_udp_cnt; i++)
		set_ports(nat->udp, conf->nat_udp[i].min, conf->nat_udp[i].max);
	for (uint32_t i = 0; i < conf->rule_cnt; i++) {
		const struct xe_rule *r = &conf->rules[i];

		if (!xe_fallback_translates(r) || !r->port_max)
			continue;
		if (r->proto != IPPROTO_UDP)
			set_ports(nat->tcp, r->port_min, r->port_max);
		if (r->proto != IPPROTO_TCP)
			set_ports(nat->udp, r->port_min, r->port_max);
	}
}

/* The first run of ports from *at on whose bit is `set`; *at moves behind it. */
static bool next_run(const uint64_t *bits, bool set, unsigned int *at,
		     struct xe_fallback_range *run)
{
	unsigned int p = *at;

	while (p <= LAST_PORT && xe_fallback_bit(bits, p) != set)
		p++;
	if (p > LAST_PORT)
		return false;
	run->min = (uint16_t)p;
	while (p <= LAST_PORT && xe_fallback_bit(bits, p) == set)
		p++;
	run->max = (uint16_t)(p - 1);
	*at = p;
	return true;
}

int xe_fallback_kernel_range(const uint64_t *nat, struct xe_fallback_range *range)
{
	unsigned int at = FIRST_USER_PORT;
	struct xe_fallback_range run;
	int ret = -ENOSPC;

	while (next_run(nat, false, &at, &run)) {
		if (!ret && run.max - run.min < range->max - range->min)
			continue;
		*range = run;
		ret = 0;
	}
	return ret;
}

/* ---- words ---- */

void xe_fallback_put_addr(FILE *f, int af, const struct xe_addr *addr)
{
	char buf[INET6_ADDRSTRLEN];

	inet_ntop(af, af == AF_INET ? (const void *)&addr->w_be[3] : addr, buf, sizeof(buf));
	fputs(buf, f);
}

void xe_fallback_put_prefix(FILE *f, const struct xe_prefix *prefix)
{
	xe_fallback_put_addr(f, prefix->family, &prefix->addr);
	if (prefix->len < 128)
		fprintf(f, "/%u", prefix->family == AF_INET ? prefix->len - 96 : prefix->len);
}

void xe_fallback_put_name(FILE *f, const char *name)
{
	size_t len = strlen(name);

	/* A `*` is special to nft at the end only, and there a backslash makes it plain. */
	if (len && name[len - 1] == '*')
		fprintf(f, "\"%.*s\\*\"", (int)len - 1, name);
	else
		fprintf(f, "\"%s\"", name);
}

static const char *l3_name(const struct xe_fallback_port *port)
{
	return port->l3[0] ? port->l3 : port->name;
}

static bool named(const struct xe_fallback_port *port, const char *name)
{
	return !strcmp(port->name, name) || !strcmp(port->pattern, name);
}

unsigned int xe_fallback_put_names(FILE *f, const struct xe_fallback_conf *conf, const char *name)
{
	const char *last = "";
	unsigned int cnt = 0;

	for (uint32_t i = 0; i < conf->port_cnt; i++) {
		const struct xe_fallback_port *port = &conf->ports[i];

		/* Members of one bridge mostly stand side by side; a name said twice in a set that
		 * has no intervals does no harm. */
		if (!named(port, name) || !strcmp(l3_name(port), last))
			continue;
		last = l3_name(port);
		if (f) {
			fputs(cnt ? ", " : "{ ", f);
			xe_fallback_put_name(f, last);
		}
		cnt++;
	}
	if (f && cnt)
		fputs(" }", f);
	return cnt;
}

bool xe_fallback_is_uplink(const struct xe_fallback_conf *conf, const char *name)
{
	for (uint32_t i = 0; i < conf->port_cnt; i++)
		if (conf->ports[i].role == XE_ROLE_UPLINK && named(&conf->ports[i], name))
			return true;
	return false;
}

/* ---- sets ---- */

static void open_set(FILE *f, const char *name, char n, const char *type, const char *flags)
{
	char end[2] = {n, '\0'};

	fprintf(f, "\tset %s%s {\n\t\ttype %s\n", name, end, type);
	if (flags)
		fprintf(f, "\t\tflags %s\n", flags);
}

/* Before each element. */
static void next_element(FILE *f, bool *first)
{
	fputs(*first ? "\t\telements = { " : ",\n\t\t\t     ", f);
	*first = false;
}

/* An empty `elements` is no valid text. */
static void close_set(FILE *f, bool first)
{
	fputs(first ? "\t}\n\n" : " }\n\t}\n\n", f);
}

static void put_port_set(FILE *f, const struct xe_fallback_conf *conf, const char *name, bool all)
{
	bool first = true;

	open_set(f, name, '\0', "ifname", NULL);
	for (uint32_t i = 0; i < conf->port_cnt; i++) {
		if (!all && conf->ports[i].role != XE_ROLE_UPLINK)
			continue;
		next_element(f, &first);
		xe_fallback_put_name(f, l3_name(&conf->ports[i]));
	}
	close_set(f, first);
}

void xe_fallback_put_ports(const struct xe_fallback_text *t)
{
	put_port_set(t->f, t->conf, "ports", true);
}

static void put_nat_ports(FILE *f, const char *name, const uint64_t *nat)
{
	struct xe_fallback_range run;
	unsigned int at = 0;
	bool first = true;

	open_set(f, name, '\0', "inet_service", "interval");
	while (next_run(nat, true, &at, &run)) {
		next_element(f, &first);
		if (run.min == run.max)
			fprintf(f, "%u", run.min);
		else
			fprintf(f, "%u-%u", run.min, run.max);
	}
	close_set(f, first);
}

/* Listeners outside the NAT ranges make no difference: the guard never looks at them. */
static void put_listeners(FILE *f, const char *name, const uint64_t *listen, const uint64_t *nat)
{
	bool first = true;

	open_set(f, name, '\0', "inet_service", NULL);
	for (unsigned int p = 0; listen && p <= LAST_PORT; p++) {
		if (!xe_fallback_bit(listen, p) || !xe_fallback_bit(nat, p))
			continue;
		next_element(f, &first);
		fprintf(f, "%u", p);
	}
	close_set(f, first);
}

void xe_fallback_put_sets(struct xe_fallback_text *t)
{
	put_port_set(t->f, t->conf, "uplinks", false);
	put_nat_ports(t->f, "nat_tcp", t->nat.tcp);
	put_nat_ports(t->f, "nat_udp", t->nat.udp);
	put_listeners(t->f, XE_FALLBACK_SET_TCP, t->conf->listen_tcp, t->nat.tcp);
	put_listeners(t->f, XE_FALLBACK_SET_UDP, t->conf->listen_udp, t->nat.udp);
}

/* Lines for inside prefixes, each of which a packet of the kernel's path is compared with. */
#define LINES_MAX 64u

/* ---- sets of one family ---- */

static int prefix_order(const void *a, const void *b)
{
	const struct xe_prefix *x = a, *y = b;
	int order = memcmp(&x->addr, &y->addr, sizeof(x->addr));

	return order ? order : (int)x->len - (int)y->len;
}

static bool covers(const struct xe_prefix *wide, const struct xe_prefix *narrow)
{
	return wide->len <= narrow->len && xe_prefix_covers(wide, &narrow->addr);
}

/* Sort, and drop what lies inside another: prefixes nest or are apart, so that the last one kept
 * is the only one that can cover the next. */
static uint32_t reduce(struct xe_prefix *list, uint32_t cnt)
{
	uint32_t kept = 0;

	if (!cnt)
		return 0;
	qsort(list, cnt, sizeof(*list), prefix_order);
	for (uint32_t i = 1; i < cnt; i++)
		if (!covers(&list[kept], &list[i]))
			list[++kept] = list[i];
	return kept + 1;
}

bool xe_fallback_in_family(const struct xe_fallback_text *t, const struct xe_rule *rule)
{
	int af = xe_rule_family(rule);

	return !af || af == t->fam->af;
}

struct prefix_list {
	struct xe_prefix *v;
	uint32_t cnt, size;
};

static int add_prefix(struct prefix_list *list, const struct xe_prefix *prefix)
{
	struct xe_prefix *v;

	if (list->cnt == list->size) {
		list->size = list->size ? 2 * list->size : 64;
		v = realloc(list->v, list->size * sizeof(*v));
		if (!v)
			return -ENOMEM;
		list->v = v;
	}
	list->v[list->cnt++] = *prefix;
	return 0;
}

/* Every inside prefix of the family, reduced. The caller frees list->v. */
static int inside_prefixes(const struct xe_fallback_text *t, struct prefix_list *list)
{
	int ret = 0;

	*list = (struct prefix_list){0};
	for (uint32_t i = 0; i < t->conf->port_cnt; i++) {
		const struct xe_fallback_port *port = &t->conf->ports[i];

		for (uint32_t k = 0; port->role == XE_ROLE_INSIDE && k < port->prefix_cnt; k++) {
			if (port->prefixes[k].family != t->fam->af)
				continue;
			ret = add_prefix(list, &port->prefixes[k]);
			if (ret)
				return ret;
		}
	}
	list->cnt = reduce(list->v, list->cnt);
	return 0;
}

static bool has_inside6(const struct xe_fallback_conf *conf)
{
	for (uint32_t i = 0; i < conf->port_cnt; i++)
		for (uint32_t k = 0; k < conf->ports[i].prefix_cnt; k++)
			if (conf->ports[i].role == XE_ROLE_INSIDE &&
			    conf->ports[i].prefixes[k].family == AF_INET6)
				return true;
	return false;
}

bool xe_fallback_translates6(const struct xe_fallback_conf *conf)
{
	for (uint32_t i = 0; i < conf->rule_cnt && !conf->translated6; i++)
		if (xe_fallback_translates(&conf->rules[i]) &&
		    xe_rule_family(&conf->rules[i]) != AF_INET)
			return has_inside6(conf);
	return conf->translated6;
}

bool xe_fallback_active(const struct xe_fallback_text *t)
{
	const struct xe_fallback_conf *conf = t->conf;

	if (t->fam->af == AF_INET || conf->translated6)
		return true;
	for (uint32_t i = 0; i < conf->rule_cnt; i++)
		if (conf->rules[i].verb != XE_VERB_KERNEL &&
		    xe_rule_family(&conf->rules[i]) != AF_INET)
			return has_inside6(conf);
	return false;
}

/* A bridge's packets come from it, not from its members: there the sources can't be told apart. */
static bool checkable(const struct xe_fallback_text *t, const struct xe_fallback_port *port)
{
	if (port->role != XE_ROLE_INSIDE || port->l3[0])
		return false;
	for (uint32_t k = 0; k < port->prefix_cnt; k++)
		if (port->prefixes[k].family == t->fam->af)
			return true;
	return false;
}

bool xe_fallback_has_allowed(const struct xe_fallback_text *t)
{
	for (uint32_t i = 0; i < t->conf->port_cnt; i++)
		if (checkable(t, &t->conf->ports[i]))
			return true;
	return false;
}

static bool has_pool(const struct xe_fallback_text *t, const struct xe_rule *rule)
{
	return (rule->verb == XE_VERB_SNAT || rule->verb == XE_VERB_NAT) &&
	       rule->nat_family == t->fam->af;
}

bool xe_fallback_has_pool(const struct xe_fallback_text *t)
{
	for (uint32_t i = 0; i < t->conf->rule_cnt; i++)
		if (has_pool(t, &t->conf->rules[i]))
			return true;
	return false;
}

static int put_inside(struct xe_fallback_text *t)
{
	struct prefix_list list;
	bool first = true;
	int ret = inside_prefixes(t, &list);

	if (!ret) {
		open_set(t->f, "inside", t->fam->n, t->fam->type, "interval");
		for (uint32_t i = 0; i < list.cnt; i++) {
			next_element(t->f, &first);
			xe_fallback_put_prefix(t->f, &list.v[i]);
		}
		close_set(t->f, first);
	}
	free(list.v);
	return ret;
}

void xe_fallback_put_inside_lines(const struct xe_fallback_text *t, const char *before,
				  const char *which, const char *after)
{
	struct prefix_list list;
	int ret = inside_prefixes(t, &list);

	for (uint32_t i = 0; !ret && list.cnt <= LINES_MAX && i < list.cnt; i++) {
		fprintf(t->f, "\t\t%s%s %s ", before, t->fam->ip, which);
		xe_fallback_put_prefix(t->f, &list.v[i]);
		fprintf(t->f, " %s%c\n", after, t->fam->n);
	}
	if (ret || list.cnt > LINES_MAX)
		fprintf(t->f, "\t\t%s%s %s @inside%c %s%c\n", before, t->fam->ip, which, t->fam->n,
			after, t->fam->n);
	free(list.v);
}

static int put_allowed_of(struct xe_fallback_text *t, const struct xe_fallback_port *port,
			  bool *first)
{
	struct prefix_list list = {0};
	int ret = 0;

	for (uint32_t k = 0; !ret && k < port->prefix_cnt; k++)
		if (port->prefixes[k].family == t->fam->af)
			ret = add_prefix(&list, &port->prefixes[k]);
	if (!ret)
		list.cnt = reduce(list.v, list.cnt);
	for (uint32_t i = 0; !ret && i < list.cnt; i++) {
		next_element(t->f, first);
		xe_fallback_put_name(t->f, port->name);
		fputs(" . ", t->f);
		xe_fallback_put_prefix(t->f, &list.v[i]);
	}
	free(list.v);
	return ret;
}

/* allowed: what may come from which port; checked: the ports that it knows. Both of one kind, this
 * one behind that one: so the kernel has it ready later (xe_fallback_put_inside_lines()), and
 * nobody is looked for in a set that is not. */
static int put_allowed(struct xe_fallback_text *t)
{
	bool first = true;
	char type[64];
	int ret = 0;

	snprintf(type, sizeof(type), "ifname . %s", t->fam->type);
	open_set(t->f, "allowed", t->fam->n, type, "interval");
	for (uint32_t i = 0; !ret && i < t->conf->port_cnt; i++)
		if (checkable(t, &t->conf->ports[i]))
			ret = put_allowed_of(t, &t->conf->ports[i], &first);
	close_set(t->f, first);
	open_set(t->f, "checked", t->fam->n, type, "interval");
	first = true;
	for (uint32_t i = 0; i < t->conf->port_cnt; i++) {
		if (!checkable(t, &t->conf->ports[i]))
			continue;
		next_element(t->f, &first);
		xe_fallback_put_name(t->f, t->conf->ports[i].name);
		fputs(t->fam->af == AF_INET ? " . 0.0.0.0/0" : " . ::/0", t->f);
	}
	close_set(t->f, first);
	return ret;
}

struct pool_range {
	struct xe_addr min, max;
};

static int pool_order(const void *a, const void *b)
{
	const struct pool_range *x = a, *y = b;

	return memcmp(&x->min, &y->min, sizeof(x->min));
}

static void put_pool_range(struct xe_fallback_text *t, const struct pool_range *r, bool *first)
{
	next_element(t->f, first);
	xe_fallback_put_addr(t->f, t->fam->af, &r->min);
	if (memcmp(&r->min, &r->max, sizeof(r->min))) {
		fputc('-', t->f);
		xe_fallback_put_addr(t->f, t->fam->af, &r->max);
	}
}

/* What the rules of the family translate to. Returns how many ranges; with `out` NULL it counts. */
static size_t pool_ranges(const struct xe_fallback_text *t, struct pool_range *out)
{
	size_t cnt = 0;

	for (uint32_t i = 0; i < t->conf->rule_cnt; i++) {
		const struct xe_rule *r = &t->conf->rules[i];

		if (!has_pool(t, r))
			continue;
		if (r->verb == XE_VERB_NAT && out)
			out[cnt] = (struct pool_range){r->nat_min, r->nat_max};
		cnt += r->verb == XE_VERB_NAT;
		for (int k = 0; k < r->source_cnt; k++, cnt++)
			if (out)
				out[cnt] = (struct pool_range){r->source[k].min,
							       xe_rule_source_max(&r->source[k])};
	}
	return cnt;
}

/* The pools of all snat and nat rules, overlapping ones as one. Network order compares like
 * numbers. */
static int put_pool(struct xe_fallback_text *t)
{
	size_t cnt = pool_ranges(t, NULL), last = 0;
	struct pool_range *list = calloc(cnt + 1, sizeof(*list));
	bool first = true;

	if (!list)
		return -ENOMEM;
	pool_ranges(t, list);
	qsort(list, cnt, sizeof(*list), pool_order);
	open_set(t->f, "pool", t->fam->n, t->fam->type, "interval");
	for (size_t i = 1; i < cnt; i++) {
		if (memcmp(&list[i].min, &list[last].max, sizeof(list[i].min)) > 0) {
			put_pool_range(t, &list[last], &first);
			last = i;
		} else if (memcmp(&list[i].max, &list[last].max, sizeof(list[i].max)) > 0) {
			list[last].max = list[i].max;
		}
	}
	if (cnt)
		put_pool_range(t, &list[last], &first);
	close_set(t->f, first);
	free(list);
	return 0;
}

int xe_fallback_put_family_sets(struct xe_fallback_text *t)
{
	int ret = put_inside(t);

	if (!ret && xe_fallback_has_allowed(t))
		ret = put_allowed(t);
	if (!ret && xe_fallback_has_pool(t))
		ret = put_pool(t);
	return ret;
}
