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

#include "state/rule_parse.h"

static bool prefix_equal(const struct xe_prefix *a, const struct xe_prefix *b)
{
	return a->family == b->family && a->len == b->len &&
	       !memcmp(&a->addr, &b->addr, sizeof(a->addr));
}

/* The file whose prefixes it matches, "" for all other rules. */
static const char *file_of(const struct xe_rule *r)
{
	return r->verb == XE_VERB_DROP ? r->file : "";
}

bool xe_rule_same_match(const struct xe_rule *a, const struct xe_rule *b)
{
	return a->proto == b->proto && prefix_equal(&a->from, &b->from) &&
	       prefix_equal(&a->to, &b->to) && a->to_port_min == b->to_port_min &&
	       a->to_port_max == b->to_port_max && !strcmp(a->in, b->in) &&
	       !strcmp(a->out, b->out) && !strcmp(file_of(a), file_of(b));
}

/* A pool that is written in another way is another one: a flow remembers its rule by the text. */
static bool sources_equal(const struct xe_rule *a, const struct xe_rule *b)
{
	if (a->source_cnt != b->source_cnt)
		return false;
	for (int i = 0; i < a->source_cnt; i++)
		if (memcmp(&a->source[i].min, &b->source[i].min, sizeof(a->source[i].min)) ||
		    a->source[i].cnt != b->source[i].cnt ||
		    a->source[i].prefix_len != b->source[i].prefix_len)
			return false;
	return true;
}

static bool what_equal(const struct xe_rule *a, const struct xe_rule *b)
{
	if (a->verb == XE_VERB_DROP)
		return true; /* the file is what it matches */
	if (a->verb == XE_VERB_SNAT)
		return sources_equal(a, b);
	return a->dest_cnt == b->dest_cnt &&
	       !memcmp(a->dest, b->dest, a->dest_cnt * sizeof(a->dest[0]));
}

bool xe_rule_equal(const struct xe_rule *a, const struct xe_rule *b)
{
	return a->verb == b->verb && xe_rule_same_match(a, b) && a->nat_family == b->nat_family &&
	       !memcmp(&a->nat_min, &b->nat_min, sizeof(a->nat_min)) &&
	       !memcmp(&a->nat_max, &b->nat_max, sizeof(a->nat_max)) &&
	       a->port_min == b->port_min && a->port_max == b->port_max &&
	       a->mapping == b->mapping && a->filter == b->filter && a->pooling == b->pooling &&
	       a->no_limit == b->no_limit && a->mss == b->mss &&
	       !memcmp(a->limit, b->limit, sizeof(a->limit)) && what_equal(a, b);
}

/* FNV-1a, of 64 bits: the rules' few fields are no strings worth a better one. */
static uint64_t fnv(uint64_t hash, const void *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++)
		hash = (hash ^ ((const uint8_t *)bytes)[i]) * 0x100000001b3ull;
	return hash;
}

__u32 xe_rule_hash(const struct xe_rule *r)
{
	const __u16 words[] = {(__u16)r->verb, r->proto,    r->to_port_min, r->to_port_max,
			       r->from.len,    r->to.len,   r->from.family, r->to.family,
			       r->port_min,    r->port_max, r->dest_cnt};
	uint64_t hash = fnv(0xcbf29ce484222325ull, words, sizeof(words));

	hash = fnv(hash, &r->from.addr, sizeof(r->from.addr));
	hash = fnv(hash, &r->to.addr, sizeof(r->to.addr));
	hash = fnv(hash, &r->nat_min, sizeof(r->nat_min));
	if (r->source_cnt)
		hash = fnv(hash, &r->source[0].min, sizeof(r->source[0].min));
	hash = fnv(hash, r->in, strlen(r->in));
	hash = fnv(hash, r->out, strlen(r->out));
	hash = fnv(hash, file_of(r), strlen(file_of(r)));
	return (__u32)(hash ^ hash >> 32);
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

static void put_source(struct out *o, const struct xe_rule *r)
{
	struct xe_prefix prefix = {r->nat_min, r->from.len, r->nat_family};
	char text[XE_RULE_SOURCE_TEXT];

	if (r->verb == XE_VERB_NAT) { /* as long as `from` */
		xe_prefix_print(&prefix, text, sizeof(text));
		put(o, " source %s", text);
	}
	for (int i = 0; i < r->source_cnt; i++) {
		xe_rule_source_print(&r->source[i], text, sizeof(text));
		put(o, "%s%s", i ? "," : " source ", text);
	}
}

static void put_target(struct out *o, const struct xe_rule_dest *d, bool v6)
{
	bool brackets = d->port_min && v6;
	char a[INET6_ADDRSTRLEN], b[INET6_ADDRSTRLEN];

	xe_addr_print(&d->min, a, sizeof(a));
	xe_addr_print(&d->max, b, sizeof(b));
	put(o, "%s%s", brackets ? "[" : "", a);
	if (strcmp(a, b))
		put(o, "-%s", b);
	put(o, "%s", brackets ? "]" : "");
	if (d->port_min)
		put(o, ":%u", d->port_min);
	if (d->port_max != d->port_min)
		put(o, "-%u", d->port_max);
	if (d->weight != 1)
		put(o, "*%u", d->weight);
}

static void put_dest(struct out *o, const struct xe_rule *r)
{
	for (int i = 0; i < r->dest_cnt; i++) {
		put(o, "%s", i ? "," : " dest ");
		put_target(o, &r->dest[i], r->nat_family == AF_INET6);
	}
}

/* By the largest unit that says it without a fraction. */
static void put_limit(struct out *o, int which, __u64 rate)
{
	const struct xe_limit_unit *u = xe_limit_units;

	if (!rate)
		return;
	while (u->kind != which % XE_LIMIT_KIND_CNT || rate % u->factor)
		u++;
	put(o, " limit %llu%s%s", (unsigned long long)(rate / u->factor), u->word,
	    which >= XE_LIMIT_KIND_CNT ? " per-source" : "");
}

static void put_options(struct out *o, const struct xe_rule *r)
{
	if (r->mapping)
		put(o, " mapping %s", xe_mapping_words[r->mapping]);
	if (r->filter)
		put(o, " filter %s", xe_filter_words[r->filter]);
	if (r->pooling)
		put(o, " pooling %s", xe_pooling_words[r->pooling]);
	if (r->mss == XE_MSS_AUTO)
		put(o, " mss-clamp auto");
	else if (r->mss)
		put(o, " mss-clamp %u", r->mss);
	if (r->no_limit)
		put(o, " no-limit");
	for (int which = 0; which < XE_LIMIT_CNT; which++)
		put_limit(o, which, r->limit[which]);
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
	if (*file_of(rule))
		put(&o, " from @%s", file_of(rule));
	if (rule->to.family)
		put_to(&o, rule);
	if (rule->in[0])
		put(&o, " in %s", rule->in);
	if (rule->out[0])
		put(&o, " out %s", rule->out);
	if (rule->nat_family && !rule->dest_cnt)
		put_source(&o, rule);
	put_dest(&o, rule);
	if (rule->port_min)
		put(&o, " ports %u-%u", rule->port_min, rule->port_max);
	put_options(&o, rule);
	return o.used < o.size ? (int)o.used : -ENOSPC;
}

/* FNV-1a, 64 bits: nobody chooses rules so that they collide. */
__u64 xe_rule_id(const struct xe_rule *rule)
{
	char text[XE_RULE_TEXT_SIZE];
	__u64 hash = 0xcbf29ce484222325ull;

	if (xe_rule_print(rule, text, sizeof(text)) < 0)
		return 1;
	for (const char *c = text; *c; c++)
		hash = (hash ^ (unsigned char)*c) * 0x100000001b3ull;
	return hash ? hash : 1;
}
