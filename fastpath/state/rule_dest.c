/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * rule_dest.c - the targets of a dnat: ADDR[-ADDR][:PORT[-PORT]][*WEIGHT], several by commas, IPv6
 * with an L4 port in brackets.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "state/rule_parse.h"

/* A share of one in some thousand is no balance any more: 16 targets of 255 at most. */
#define WEIGHT_MAX 255

/* `*N` behind a target, cut off. 1 without. */
static int parse_weight(struct xe_rule_parser *p, char *text, __u16 *weight)
{
	char *star = strchr(text, '*');
	unsigned int n;

	*weight = 1;
	if (!star)
		return 0;
	*star = '\0';
	n = xe_rule_l4_port(star + 1, strlen(star + 1)); /* same digits, smaller range */
	if (!n || n > WEIGHT_MAX)
		return xe_rule_fail(p, -EINVAL,
				    "expected a weight of 1-%d after `*`, got `%." XE_SHOWN "s`",
				    WEIGHT_MAX, star + 1);
	*weight = (__u16)n;
	return 0;
}

static int parse_target(struct xe_rule_parser *p, char *text)
{
	struct xe_rule *r = p->rule;
	struct xe_rule_dest *d = &r->dest[r->dest_cnt];
	__u8 family;
	char *l4;
	int ret;

	if (r->dest_cnt == XE_MAX_DESTS)
		return xe_rule_fail(p, -EINVAL,
				    "expected at most %d targets after `dest` (a target may be a "
				    "range of addresses)",
				    XE_MAX_DESTS);
	ret = parse_weight(p, text, &d->weight);
	if (!ret)
		ret = xe_rule_split_l4(p, "dest", &text, &l4);
	if (!ret)
		ret = xe_rule_addr_range(p, "dest", "10.1.0.2-10.1.0.5", text, &d->min, &d->max,
					 &family);
	if (!ret && l4)
		ret = xe_rule_l4_range(p, "dest", l4, true, &d->port_min, &d->port_max);
	if (ret)
		return ret;
	if (r->dest_cnt && family != r->nat_family)
		return xe_rule_fail(p, -EINVAL,
				    "the targets after `dest` are of different families");
	r->nat_family = family;
	r->dest_cnt++;
	return 0;
}

int xe_rule_parse_dest(struct xe_rule_parser *p, char *text)
{
	char *next;
	int ret = 0;

	for (; !ret && text; text = next) {
		next = strchr(text, ',');
		if (next)
			*next++ = '\0';
		ret = parse_target(p, text);
	}
	return ret;
}
