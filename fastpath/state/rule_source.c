/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * rule_source.c - what a rule translates to: the pool of an snat, A[-B] or PREFIX, several by
 * commas and wherever they lie; the prefix of a nat.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "state/rule_parse.h"

/* No packet on the wire may carry such a source: RFC 1812 section 5.3.7, RFC 3927, RFC 1112. */
static bool v4_is_no_source(const struct xe_addr *addr)
{
	__u32 a = ntohl(addr->w_be[3]);

	return a >> 24 == 0 || a >> 24 == 127 || a >> 16 == 0xa9fe || a >> 28 >= 0xe;
}

/* RFC 4291 sections 2.5.2, 2.5.3, 2.5.6 and 2.7: unspecified, loopback, link-local, multicast. */
static bool v6_is_no_source(const struct xe_addr *addr)
{
	bool low = !addr->q[0] && !addr->w_be[2] && ntohl(addr->w_be[3]) <= 1;

	return low || addr->b[0] == 0xff || (addr->b[0] == 0xfe && (addr->b[1] & 0xc0) == 0x80);
}

static bool is_no_source(const struct xe_addr *addr, __u8 family)
{
	return family == AF_INET ? v4_is_no_source(addr) : v6_is_no_source(addr);
}

struct xe_addr xe_rule_source_max(const struct xe_rule_source *source)
{
	return xe_addr_plus(&source->min, source->cnt - 1u);
}

__u32 xe_rule_source_addrs(const struct xe_rule *rule)
{
	__u32 cnt = 0;

	for (int i = 0; i < rule->source_cnt; i++)
		cnt += rule->source[i].cnt;
	return cnt;
}

int xe_rule_source_print(const struct xe_rule_source *source, char *buf, size_t size)
{
	bool v4 = !source->min.q[0] && source->min.w_be[2] == htonl(0xffff);
	struct xe_prefix prefix = {source->min, source->prefix_len, v4 ? AF_INET : AF_INET6};
	struct xe_addr max = xe_rule_source_max(source);
	char a[INET6_ADDRSTRLEN], b[INET6_ADDRSTRLEN];
	int n;

	if (source->prefix_len)
		return xe_prefix_print(&prefix, buf, size);
	xe_addr_print(&source->min, a, sizeof(a));
	xe_addr_print(&max, b, sizeof(b));
	n = snprintf(buf, size, "%s%s%s", a, source->cnt > 1 ? "-" : "", source->cnt > 1 ? b : "");
	return (size_t)n < size ? n : -ENOSPC;
}

/* A prefix as its first and last address. */
static int parse_prefix(struct xe_rule_parser *p, const char *text, struct xe_prefix *prefix,
			struct xe_addr *max)
{
	char why[160];

	if (xe_prefix_parse(text, prefix, why, sizeof(why)))
		return xe_rule_fail(p, -EINVAL, "`source`: %s", why);
	*max = prefix->addr;
	for (unsigned int i = prefix->len; i < 128; i++)
		max->b[i / 8] |= (__u8)(0x80 >> i % 8);
	return 0;
}

/* `before`: of the same rule. */
static int check_cnt(struct xe_rule_parser *p, __u32 before, const struct xe_addr *min,
		     const struct xe_addr *max)
{
	__u32 cnt = xe_addr_range_cnt(min, max);

	if (cnt <= XE_MAX_EXT_ADDRS && before + cnt <= XE_MAX_EXT_ADDRS)
		return 0;
	return xe_rule_fail(p, -EINVAL, "expected at most %d addresses after `source`",
			    XE_MAX_EXT_ADDRS);
}

static int check_kind(struct xe_rule_parser *p, const struct xe_addr *min,
		      const struct xe_addr *max, __u8 family)
{
	char text[INET6_ADDRSTRLEN];

	if (!is_no_source(min, family) && !is_no_source(max, family))
		return 0;
	xe_addr_print(is_no_source(min, family) ? min : max, text, sizeof(text));
	return xe_rule_fail(p, -EINVAL,
			    "expected addresses of this host's networks after `source`, got `%s`",
			    text);
}

/* ---- nat ---- */

static int parse_nat(struct xe_rule_parser *p, const char *text)
{
	struct xe_rule *r = p->rule;
	struct xe_prefix prefix;
	int ret = parse_prefix(p, text, &prefix, &r->nat_max);

	if (ret)
		return ret;
	r->nat_family = prefix.family;
	r->nat_min = prefix.addr;
	if (r->nat_family == AF_INET) /* of IPv6 any length is meant: it is about a /64 mostly */
		ret = check_cnt(p, 0, &r->nat_min, &r->nat_max);
	return ret ? ret : check_kind(p, &r->nat_min, &r->nat_max, r->nat_family);
}

/* ---- snat ---- */

/* A part that meets an earlier one: which of the two holds an address is then nobody's guess, and
 * the address would have twice the flows of the others. */
static int check_once(struct xe_rule_parser *p, const struct xe_addr *min,
		      const struct xe_addr *max, const struct xe_rule_source *part)
{
	const struct xe_rule *r = p->rule;
	char text[XE_RULE_SOURCE_TEXT];

	for (int i = 0; i < r->source_cnt; i++) {
		struct xe_addr end = xe_rule_source_max(&r->source[i]);

		if (memcmp(min, &end, sizeof(end)) > 0 ||
		    memcmp(max, &r->source[i].min, sizeof(*max)) < 0)
			continue;
		xe_rule_source_print(part, text, sizeof(text));
		return xe_rule_fail(p, -EINVAL,
				    "`%s` after `source` has addresses that stand before it, "
				    "expected each once",
				    text);
	}
	return 0;
}

static int parse_addrs(struct xe_rule_parser *p, char *text, struct xe_rule_source *part,
		       struct xe_addr *max, __u8 *family)
{
	struct xe_prefix prefix;
	int ret;

	if (!strchr(text, '/'))
		return xe_rule_addr_range(p, "source", "192.0.2.10-192.0.2.12", text, &part->min,
					  max, family);
	ret = parse_prefix(p, text, &prefix, max);
	if (ret)
		return ret;
	part->min = prefix.addr;
	part->prefix_len = prefix.len < 128 ? prefix.len : 0;
	*family = prefix.family;
	return 0;
}

static int parse_part(struct xe_rule_parser *p, char *text)
{
	struct xe_rule *r = p->rule;
	struct xe_rule_source part = {};
	struct xe_addr max;
	__u8 family;
	int ret;

	if (r->source_cnt == XE_MAX_SOURCES)
		return xe_rule_fail(p, -EINVAL,
				    "expected at most %d addresses, ranges and prefixes after "
				    "`source`",
				    XE_MAX_SOURCES);
	if (!*text)
		return xe_rule_fail(p, -EINVAL,
				    "expected an address at each side of a comma after `source`, "
				    "and no blank");
	ret = parse_addrs(p, text, &part, &max, &family);
	if (!ret)
		ret = check_cnt(p, xe_rule_source_addrs(r), &part.min, &max);
	if (!ret)
		ret = check_kind(p, &part.min, &max, family);
	if (ret)
		return ret;
	if (r->source_cnt && family != r->nat_family)
		return xe_rule_fail(p, -EINVAL,
				    "the addresses after `source` are of different families");
	part.cnt = (__u16)xe_addr_range_cnt(&part.min, &max);
	ret = check_once(p, &part.min, &max, &part);
	if (ret)
		return ret;
	r->nat_family = family;
	r->source[r->source_cnt++] = part;
	return 0;
}

int xe_rule_parse_source(struct xe_rule_parser *p, char *text)
{
	char *next;
	int ret = 0;

	if (p->rule->verb == XE_VERB_NAT)
		return parse_nat(p, text);
	for (; !ret && text; text = next) {
		next = strchr(text, ',');
		if (next)
			*next++ = '\0';
		ret = parse_part(p, text);
	}
	return ret;
}
