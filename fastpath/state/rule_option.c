/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * rule_option.c - the options of a rule: mapping, filter, pooling, mss-clamp, limit.
 */
#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "state/rule_parse.h"

/* Linux sends nothing smaller (TCP_MIN_MSS), and some of its versions did not bear less. */
#define MSS_MIN 88
/* The largest IPv4 packet without its headers: 65535 - 20 - 20. */
#define MSS_MAX 65495
/* Digits of a rate: 999,999,999 gbit are more than any interface has. */
#define RATE_DIGITS 9

const char *const xe_mapping_words[3] = {NULL, "endpoint-independent", "endpoint-dependent"};
const char *const xe_filter_words[4] = {NULL, "endpoint-independent", "address-dependent",
					"address-and-port-dependent"};
const char *const xe_pooling_words[3] = {NULL, "paired", "arbitrary"};

const struct xe_limit_unit xe_limit_units[] = {
	{"mpps", XE_LIMIT_PACKETS, 1000000},
	{"kpps", XE_LIMIT_PACKETS, 1000},
	{"pps", XE_LIMIT_PACKETS, 1},
	{"gbit", XE_LIMIT_BITS, 1000000000},
	{"mbit", XE_LIMIT_BITS, 1000000},
	{"kbit", XE_LIMIT_BITS, 1000},
	{"bit", XE_LIMIT_BITS, 1},
	{"flows", XE_LIMIT_FLOWS, 1},
	{NULL, 0, 0},
};

static int word_of(const char *const *words, size_t cnt, const char *text)
{
	for (size_t i = 1; i < cnt; i++)
		if (!strcmp(words[i], text))
			return (int)i;
	return 0;
}

int xe_rule_parse_mapping(struct xe_rule_parser *p, char *text)
{
	p->rule->mapping = (__u8)word_of(xe_mapping_words, 3, text);
	if (p->rule->mapping)
		return 0;
	return xe_rule_fail(p, -EINVAL,
			    "expected endpoint-independent or endpoint-dependent after `mapping`, "
			    "got `%." XE_SHOWN "s`",
			    text);
}

int xe_rule_parse_filter(struct xe_rule_parser *p, char *text)
{
	p->rule->filter = (__u8)word_of(xe_filter_words, 4, text);
	if (p->rule->filter)
		return 0;
	return xe_rule_fail(p, -EINVAL,
			    "expected endpoint-independent, address-dependent or "
			    "address-and-port-dependent after `filter`, got `%." XE_SHOWN "s`",
			    text);
}

int xe_rule_parse_pooling(struct xe_rule_parser *p, char *text)
{
	p->rule->pooling = (__u8)word_of(xe_pooling_words, 3, text);
	if (p->rule->pooling)
		return 0;
	return xe_rule_fail(p, -EINVAL,
			    "expected paired or arbitrary after `pooling`, got `%." XE_SHOWN "s`",
			    text);
}

int xe_rule_parse_mss(struct xe_rule_parser *p, char *text)
{
	unsigned int n = xe_rule_l4_port(text, strlen(text)); /* the same digits */

	if (!strcmp(text, "auto"))
		n = XE_MSS_AUTO;
	else if (n < MSS_MIN || n > MSS_MAX)
		return xe_rule_fail(p, -EINVAL,
				    "expected auto or %d-%d after `mss-clamp`, got `%." XE_SHOWN
				    "s`",
				    MSS_MIN, MSS_MAX, text);
	p->rule->mss = (__u16)n;
	return 0;
}

/* A number and a unit; NULL unit: neither. */
static const struct xe_limit_unit *parse_rate(const char *text, __u64 *rate)
{
	const struct xe_limit_unit *u;
	size_t digits = strspn(text, "0123456789");

	*rate = 0;
	if (!digits || digits > RATE_DIGITS || *text == '0')
		return NULL;
	for (size_t i = 0; i < digits; i++)
		*rate = *rate * 10 + (__u64)(text[i] - '0');
	for (u = xe_limit_units; u->word && strcmp(u->word, text + digits); u++)
		;
	*rate *= u->factor;
	return u->word ? u : NULL;
}

int xe_rule_parse_limit(struct xe_rule_parser *p, char *text)
{
	const struct xe_limit_unit *u;
	bool per_source;
	__u64 rate;
	int which;

	u = parse_rate(text, &rate);
	if (!u)
		return xe_rule_fail(p, -EINVAL,
				    "expected a rate such as 1000pps, 10mbit or 100flows after "
				    "`limit` (pps, kpps, mpps, bit, kbit, mbit, gbit, flows), got "
				    "`%." XE_SHOWN "s`",
				    text);
	per_source = xe_rule_word_is(p, "per-source");
	which = u->kind + (per_source ? XE_LIMIT_KIND_CNT : 0);
	if (p->rule->limit[which])
		return xe_rule_fail(p, -EINVAL,
				    "`limit %s%s` is a second one of its kind, expected one", text,
				    per_source ? " per-source" : "");
	p->rule->limit[which] = rate;
	return 0;
}
