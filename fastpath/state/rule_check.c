/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * rule_check.c - do the clauses of a rule go together, and does this version carry it out?
 *
 * What concerns one rule alone; what concerns several, or the ports, is control/config_check.c.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "state/rule_parse.h"

/* The options of everything that makes flows. */
#define C_FLOWS (XE_C_MSS | XE_C_NO_LIMIT | XE_C_LIMIT)

static const struct {
	unsigned int allowed, needed; /* enum xe_clause_bit */
} verbs[XE_VERB_CNT] = {
	[XE_VERB_KERNEL] = {XE_C_MATCH, 0},
	[XE_VERB_DROP] = {XE_C_MATCH, 0},
	[XE_VERB_REJECT] = {XE_C_MATCH, 0},
	[XE_VERB_ACCEPT] = {XE_C_MATCH | C_FLOWS, 0},
	[XE_VERB_SNAT] = {XE_C_MATCH | XE_C_SOURCE | XE_C_PORTS | XE_C_MAPPING | XE_C_FILTER |
				  XE_C_POOLING | C_FLOWS,
			  XE_C_SOURCE},
	[XE_VERB_MASQUERADE] = {XE_C_MATCH | XE_C_PORTS | XE_C_MAPPING | XE_C_FILTER | C_FLOWS, 0},
	[XE_VERB_DNAT] = {XE_C_MATCH | XE_C_DEST | C_FLOWS, XE_C_TO | XE_C_DEST},
	[XE_VERB_NAT] = {XE_C_MATCH | XE_C_SOURCE | C_FLOWS, XE_C_FROM | XE_C_SOURCE},
};

/* ---- what is not carried out yet: one line each, switched on by who carries it out ---- */

static bool is_dnat(const struct xe_rule *r)
{
	return r->verb == XE_VERB_DNAT;
}

static bool is_nat(const struct xe_rule *r)
{
	return r->verb == XE_VERB_NAT;
}

static bool is_reject(const struct xe_rule *r)
{
	return r->verb == XE_VERB_REJECT;
}

static bool has_mapping(const struct xe_rule *r)
{
	return r->mapping;
}

static bool has_filter(const struct xe_rule *r)
{
	return r->filter;
}

static bool has_pooling(const struct xe_rule *r)
{
	return r->pooling;
}

static bool has_mss(const struct xe_rule *r)
{
	return r->mss;
}

static bool has_no_limit(const struct xe_rule *r)
{
	return r->no_limit;
}

static bool has_limit(const struct xe_rule *r)
{
	static const __u64 none[XE_LIMIT_CNT];

	return memcmp(r->limit, none, sizeof(none));
}

static bool has_file(const struct xe_rule *r)
{
	return r->verb == XE_VERB_DROP && r->file[0];
}

static const struct feature {
	bool (*used)(const struct xe_rule *r);
	bool carried_out;
	const char *name;
} features[] = {
	{is_dnat, true, "dnat"},
	{is_nat, true, "nat"},
	{is_reject, true, "reject"},
	{has_mapping, true, "the option `mapping`"},
	{has_filter, true, "the option `filter`"},
	{has_pooling, true, "the option `pooling`"},
	{has_mss, true, "the option `mss-clamp`"},
	{has_no_limit, true, "the option `no-limit`"},
	{has_limit, true, "the option `limit`"},
	{has_file, true, "a file of prefixes after `from`"},
};

static int check_carried_out(struct xe_rule_parser *p)
{
	for (size_t i = 0; i < sizeof(features) / sizeof(features[0]); i++)
		if (!features[i].carried_out && features[i].used(p->rule))
			return xe_rule_fail(p, -ENOTSUP,
					    "%s is not yet carried out by this version",
					    features[i].name);
	return 0;
}

/* ---- contradictions ---- */

/* A clause that the verb has no use for. */
static int refuse_extra(struct xe_rule_parser *p, unsigned int extra)
{
	static const struct {
		unsigned int bit;
		const char *why;
	} words[] = {
		{XE_C_SOURCE, "`source` translates, expected it with the verbs snat and nat only"},
		{XE_C_DEST, "`dest` translates, expected it with the verb dnat only"},
		{XE_C_PORTS,
		 "`ports` is the range to translate to, expected it with masquerade or snat only"},
		{XE_C_MAPPING,
		 "`mapping` is about translated L4 ports, expected it with masquerade or snat "
		 "only"},
		{XE_C_FILTER,
		 "`filter` is about translated L4 ports, expected it with masquerade or snat only"},
		{XE_C_POOLING, "`pooling` is about several addresses, expected it with snat only"},
		{XE_C_MSS, "`mss-clamp` is about flows of ours, expected it with accept, "
			   "masquerade, snat, dnat or nat"},
		{XE_C_NO_LIMIT, "`no-limit` is about flows of ours, expected it with accept, "
				"masquerade, snat, dnat or nat"},
		{XE_C_LIMIT, "`limit` is about flows of ours, expected it with accept, "
			     "masquerade, snat, dnat or nat"},
	};

	if (p->rule->verb == XE_VERB_MASQUERADE && (extra & XE_C_SOURCE))
		return xe_rule_fail(p, -EINVAL,
				    "masquerade takes the uplink's own address, expected no "
				    "`source` (or the verb snat)");
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (extra & words[i].bit)
			return xe_rule_fail(p, -EINVAL, "%s", words[i].why);
	return 0;
}

static int refuse_missing(struct xe_rule_parser *p, unsigned int missing)
{
	switch (p->rule->verb) {
	case XE_VERB_SNAT:
		return xe_rule_fail(p, -EINVAL,
				    "snat needs the address to translate to, expected `source A`, "
				    "`source A-B` or several by commas");
	case XE_VERB_NAT:
		return xe_rule_fail(p, -EINVAL,
				    "nat needs `%s`, expected such as "
				    "`nat from 10.1.2.0/28 out eth0 source 192.0.2.16/28`",
				    missing & XE_C_FROM ? "from" : "source");
	default:
		return xe_rule_fail(p, -EINVAL,
				    "dnat needs `%s`, expected such as "
				    "`dnat tcp to 192.0.2.1:8080 dest 10.1.0.2:80`",
				    missing & XE_C_TO ? "to" : "dest");
	}
}

static int check_families(struct xe_rule_parser *p)
{
	const struct xe_rule *r = p->rule;
	const __u8 family[] = {r->from.family, r->to.family, r->nat_family};
	bool v4 = false, v6 = false;

	for (size_t i = 0; i < sizeof(family); i++) {
		v4 |= family[i] == AF_INET;
		v6 |= family[i] == AF_INET6;
	}
	if (v4 && v6)
		return xe_rule_fail(p, -EINVAL,
				    "IPv4 and IPv6 are mixed, expected one family in a rule");
	return 0;
}

/* A range of L4 ports is mapped one to one, so it must be as long as the one it is mapped from. */
static int check_dest(struct xe_rule_parser *p)
{
	const struct xe_rule *r = p->rule;

	for (int i = 0; i < r->dest_cnt; i++) {
		int len = r->dest[i].port_max - r->dest[i].port_min;

		if (len && (!r->to_port_min || len != r->to_port_max - r->to_port_min))
			return xe_rule_fail(
				p, -EINVAL,
				"the L4 ports %u-%u after `dest` are mapped one to one, "
				"expected as many after `to`",
				r->dest[i].port_min, r->dest[i].port_max);
	}
	return 0;
}

/* Bits of the address that nat's `source PREFIX` leaves open. */
static unsigned int source_bits(const struct xe_rule *r)
{
	unsigned int bits = 0;

	for (unsigned int i = 0; i < sizeof(r->nat_min.b); i++)
		bits += (unsigned int)__builtin_popcount(r->nat_min.b[i] ^ r->nat_max.b[i]);
	return bits;
}

static int check_translation(struct xe_rule_parser *p)
{
	const struct xe_rule *r = p->rule;

	/* The masquerade address is the host's own, and so are its well-known L4 ports. */
	if (r->verb == XE_VERB_MASQUERADE && r->port_min && r->port_min < 1024)
		return xe_rule_fail(p, -EINVAL,
				    "`ports %u-%u` takes well-known L4 ports of the host's own "
				    "address, expected 1024 or more",
				    r->port_min, r->port_max);
	if (r->verb == XE_VERB_NAT && 128u - r->from.len != source_bits(r))
		return xe_rule_fail(p, -EINVAL,
				    "nat maps addresses one to one, expected prefixes of the same "
				    "length after `from` and `source`");
	if (r->pooling && xe_rule_source_addrs(r) < 2)
		return xe_rule_fail(p, -EINVAL,
				    "`pooling` chooses among several addresses, expected a range "
				    "after `source`");
	return check_dest(p);
}

/* RFC 4787 names them apart, but a filter can only let in what a mapping is there for. */
static int check_filter(struct xe_rule_parser *p)
{
	const struct xe_rule *r = p->rule;
	bool loose = r->filter == XE_FILTER_INDEPENDENT || r->filter == XE_FILTER_ADDRESS;

	if (!loose || r->mapping == XE_MAPPING_INDEPENDENT)
		return 0;
	if (r->mapping == XE_MAPPING_DEPENDENT || r->proto == IPPROTO_TCP)
		return xe_rule_fail(p, -EINVAL,
				    "`filter %s` lets others use the mapping, expected `mapping "
				    "endpoint-independent` with it",
				    xe_filter_words[r->filter]);
	return 0;
}

static int check_options(struct xe_rule_parser *p)
{
	const struct xe_rule *r = p->rule;

	if (r->mss && r->proto == IPPROTO_UDP)
		return xe_rule_fail(p, -EINVAL, "`mss-clamp` is TCP's, expected no `udp`");
	for (int kind = 0; kind < XE_LIMIT_KIND_CNT; kind++)
		if (r->limit[kind] && r->limit[kind + XE_LIMIT_KIND_CNT] > r->limit[kind])
			return xe_rule_fail(p, -EINVAL,
					    "`limit ... per-source` is more than all sources may "
					    "have together, expected it to be less");
	return check_filter(p);
}

static int check_file(struct xe_rule_parser *p)
{
	if (!(p->seen & XE_C_FROM) || p->rule->from.family)
		return 0;
	if (p->rule->verb != XE_VERB_DROP || p->seen != (XE_C_FROM | XE_C_IN))
		return xe_rule_fail(
			p, -EINVAL,
			"a file of prefixes is a deny list of an uplink, expected `drop "
			"from @FILE in PORT` and nothing else");
	return 0;
}

int xe_rule_check(struct xe_rule_parser *p)
{
	unsigned int extra = p->seen & ~verbs[p->rule->verb].allowed;
	unsigned int missing = verbs[p->rule->verb].needed & ~p->seen;
	int ret;

	if (extra)
		return refuse_extra(p, extra);
	if (missing)
		return refuse_missing(p, missing);
	ret = check_file(p);
	if (!ret)
		ret = check_families(p);
	if (!ret)
		ret = check_translation(p);
	if (!ret)
		ret = check_options(p);
	return ret ? ret : check_carried_out(p);
}
