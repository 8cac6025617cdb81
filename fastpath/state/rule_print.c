/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * rule_print.c - a rule back into its canonical text, and rules compared. Declared in rule.h.
 *
 * Clauses in the order of the grammar, host prefixes without /32, nothing that is the default.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "state/rule.h"

static bool prefix_equal(const struct xe_prefix *a, const struct xe_prefix *b)
{
	return a->family == b->family && a->len == b->len &&
	       !memcmp(&a->addr, &b->addr, sizeof(a->addr));
}

bool xe_rule_same_match(const struct xe_rule *a, const struct xe_rule *b)
{
	return a->proto == b->proto && prefix_equal(&a->from, &b->from) &&
	       prefix_equal(&a->to, &b->to) && a->to_port_min == b->to_port_min &&
	       a->to_port_max == b->to_port_max && !strcmp(a->in, b->in) && !strcmp(a->out, b->out);
}

bool xe_rule_equal(const struct xe_rule *a, const struct xe_rule *b)
{
	return a->verb == b->verb && xe_rule_same_match(a, b) && a->nat_family == b->nat_family &&
	       !memcmp(&a->nat_min, &b->nat_min, sizeof(a->nat_min)) &&
	       !memcmp(&a->nat_max, &b->nat_max, sizeof(a->nat_max)) &&
	       a->dest_port == b->dest_port && a->port_min == b->port_min &&
	       a->port_max == b->port_max;
}

struct out {
	char *buf;
	size_t size, used;
};

static void __attribute__((format(printf, 2, 3))) put(struct out *o, const char *fmt, ...)
{
	size_t room = o->used < o->size ? o->size - o->used : 0;
	va_list ap;

	va_start(ap, fmt);
	o->used += (size_t)vsnprintf(room ? o->buf + o->used : NULL, room, fmt, ap);
	va_end(ap);
}

static void put_to(struct out *o, const struct xe_rule *r)
{
	char text[INET6_ADDRSTRLEN + 4];
	bool l4 = r->to_port_min || r->to_port_max != 65535;
	bool brackets = l4 && r->to.family == AF_INET6;

	xe_prefix_print(&r->to, text, sizeof(text));
	put(o, " to %s%s%s", brackets ? "[" : "", text, brackets ? "]" : "");
	if (l4)
		put(o, ":%u", r->to_port_min);
	if (l4 && r->to_port_max != r->to_port_min)
		put(o, "-%u", r->to_port_max);
}

static void put_nat(struct out *o, const struct xe_rule *r)
{
	char a[INET6_ADDRSTRLEN], b[INET6_ADDRSTRLEN];
	bool brackets = r->verb == XE_VERB_DNAT && r->dest_port && r->nat_family == AF_INET6;

	xe_addr_print(&r->nat_min, a, sizeof(a));
	xe_addr_print(&r->nat_max, b, sizeof(b));
	put(o, " %s %s%s%s", r->verb == XE_VERB_DNAT ? "dest" : "source", brackets ? "[" : "", a,
	    brackets ? "]" : "");
	if (strcmp(a, b))
		put(o, "-%s", b);
	if (r->dest_port)
		put(o, ":%u", r->dest_port);
}

int xe_rule_print(const struct xe_rule *rule, char *buf, size_t size)
{
	struct out o = {.buf = buf, .size = size};
	char text[INET6_ADDRSTRLEN + 4];

	put(&o, "%s", xe_verb_name(rule->verb));
	if (rule->proto)
		put(&o, " %s", rule->proto == IPPROTO_TCP ? "tcp" : "udp");
	if (rule->from.family) {
		xe_prefix_print(&rule->from, text, sizeof(text));
		put(&o, " from %s", text);
	}
	if (rule->to.family)
		put_to(&o, rule);
	if (rule->in[0])
		put(&o, " in %s", rule->in);
	if (rule->out[0])
		put(&o, " out %s", rule->out);
	if (rule->nat_family)
		put_nat(&o, rule);
	if (rule->port_min)
		put(&o, " ports %u-%u", rule->port_min, rule->port_max);
	return o.used < o.size ? (int)o.used : -ENOSPC;
}
