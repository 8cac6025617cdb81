/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * rule_value.c - what stands behind the words of a rule: prefixes, addresses, L4 ports, names.
 */
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "state/rule_parse.h"

/* 1-65535 in decimal, no sign, no leading zero; 0 when it is none of those. */
unsigned int xe_rule_l4_port(const char *text, size_t len)
{
	unsigned int n = 0;

	if (!len || len > 5 || text[0] == '0')
		return 0;
	for (size_t i = 0; i < len; i++) {
		if (!isdigit((unsigned char)text[i]))
			return 0;
		n = n * 10 + (unsigned int)(text[i] - '0');
	}
	return n <= 65535 ? n : 0;
}

/* `A-B`, or `A` alone where that is allowed. */
int xe_rule_l4_range(struct xe_rule_parser *p, const char *clause, const char *text,
		     bool one_allowed, __u16 *min, __u16 *max)
{
	const char *dash = strchr(text, '-');
	unsigned int a, b;

	if (!dash && !one_allowed)
		return xe_rule_fail(
			p, -EINVAL,
			"expected a range such as 20000-29999 after `%s`, got `%." XE_SHOWN "s`",
			clause, text);
	a = xe_rule_l4_port(text, dash ? (size_t)(dash - text) : strlen(text));
	b = dash ? xe_rule_l4_port(dash + 1, strlen(dash + 1)) : a;
	if (!a || !b)
		return xe_rule_fail(p, -EINVAL,
				    "expected L4 ports in 1-65535 after `%s`, got `%." XE_SHOWN
				    "s`",
				    clause, text);
	if (a > b)
		return xe_rule_fail(p, -EINVAL,
				    "the range `%s` after `%s` is reversed, expected %u-%u", text,
				    clause, b, a);
	*min = (__u16)a;
	*max = (__u16)b;
	return 0;
}

static int parse_prefix(struct xe_rule_parser *p, const char *clause, const char *text,
			struct xe_prefix *prefix)
{
	char why[160];

	if (xe_prefix_parse(text, prefix, why, sizeof(why)))
		return xe_rule_fail(p, -EINVAL, "`%s`: %s", clause, why);
	return 0;
}

/*
 * Cut `ADDRESS[:L4]` in two, in place: brackets around IPv6 (and only there), whose own colons
 * would hide where the L4 port starts. *l4 is NULL when there is none.
 */
int xe_rule_split_l4(struct xe_rule_parser *p, const char *clause, char **text, char **l4)
{
	char *t = *text, *end;

	*l4 = NULL;
	if (*t == '[') {
		end = strchr(t, ']');
		if (!end || (end[1] && end[1] != ':') || !memchr(t, ':', (size_t)(end - t)))
			return xe_rule_fail(p, -EINVAL,
					    "expected an IPv6 prefix and an L4 port such as "
					    "[2001:db8::/32]:443 after `%s`, got `%." XE_SHOWN "s`",
					    clause, t);
		*text = t + 1;
		*end = '\0';
		if (end[1])
			*l4 = end + 2;
		return 0;
	}
	end = strchr(t, ':');
	if (end && end == strrchr(t, ':')) { /* two or more: IPv6 without an L4 port */
		*end = '\0';
		*l4 = end + 1;
	}
	return 0;
}

/* `@/path`: what it names is read when the rule comes into force (state/deny.h). */
static int parse_file(struct xe_rule_parser *p, const char *path)
{
	size_t n = strlen(path);

	if (n >= sizeof(p->rule->file))
		return xe_rule_fail(p, -EINVAL,
				    "the path after `from @` has %zu characters, expected at most "
				    "%zu",
				    n, sizeof(p->rule->file) - 1);
	/* As with names of ports: what would need quoting in YAML or in a shell. */
	if (*path != '/' || strpbrk(path, "\\\"'`,{}#"))
		return xe_rule_fail(p, -EINVAL,
				    "expected an absolute path without quotes such as "
				    "/etc/xegress/deny.txt after `from @`, got `%." XE_SHOWN "s`",
				    path);
	memcpy(p->rule->file, path, n + 1);
	return 0;
}

int xe_rule_parse_from(struct xe_rule_parser *p, char *text)
{
	if (*text == '@')
		return parse_file(p, text + 1);
	return parse_prefix(p, "from", text, &p->rule->from);
}

int xe_rule_parse_to(struct xe_rule_parser *p, char *text)
{
	char *l4;
	int ret = xe_rule_split_l4(p, "to", &text, &l4);

	if (!ret)
		ret = parse_prefix(p, "to", text, &p->rule->to);
	if (!ret && l4)
		ret = xe_rule_l4_range(p, "to", l4, true, &p->rule->to_port_min,
				       &p->rule->to_port_max);
	return ret;
}

static int parse_port_name(struct xe_rule_parser *p, const char *clause, const char *text,
			   char *name)
{
	if (!xe_port_name_valid(text))
		return xe_rule_fail(p, -EINVAL,
				    "expected a port name after `%s`, got `%." XE_SHOWN "s`",
				    clause, text);
	strcpy(name, text); /* a valid name fits in IFNAMSIZ */
	return 0;
}

int xe_rule_parse_in(struct xe_rule_parser *p, char *text)
{
	return parse_port_name(p, "in", text, p->rule->in);
}

int xe_rule_parse_out(struct xe_rule_parser *p, char *text)
{
	return parse_port_name(p, "out", text, p->rule->out);
}

int xe_rule_addr_range(struct xe_rule_parser *p, const char *clause, const char *example,
		       char *text, struct xe_addr *min, struct xe_addr *max, __u8 *family)
{
	char *dash = strchr(text, '-');
	__u8 family_max;

	if (dash)
		*dash = '\0';
	if (xe_addr_parse(text, min, family) ||
	    xe_addr_parse(dash ? dash + 1 : text, max, &family_max))
		return xe_rule_fail(p, -EINVAL,
				    "expected an address or a range such as %s after `%s`, got "
				    "`%." XE_SHOWN "s%s%." XE_SHOWN "s`",
				    example, clause, text, dash ? "-" : "", dash ? dash + 1 : "");
	if (family_max != *family)
		return xe_rule_fail(p, -EINVAL, "the two ends of `%s` are of different families",
				    clause);
	if (memcmp(min, max, sizeof(*min)) > 0)
		return xe_rule_fail(p, -EINVAL, "the range after `%s` is reversed, expected %s-%s",
				    clause, dash + 1, text);
	return 0;
}

int xe_rule_parse_ports(struct xe_rule_parser *p, char *text)
{
	return xe_rule_l4_range(p, "ports", text, false, &p->rule->port_min, &p->rule->port_max);
}
