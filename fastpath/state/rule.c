/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * rule.c - one rule: its text cut into words, and each word given to who knows it.
 *
 * A rule is a verb and then clauses, each a word and (but for tcp, udp and no-limit) a value. They
 * are accepted in any order, each once (`limit` once of each kind). Two kinds of refusal: -EINVAL
 * for what is wrong, -ENOTSUP ("not yet") for what the grammar knows and this version does not
 * carry out; the rule is whole in that case, so that whoever carries it out one day finds it parsed
 * and printed already.
 */
#include <ctype.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "state/rule_parse.h"

static const char *const verb_names[XE_VERB_CNT] = {
	[XE_VERB_KERNEL] = "kernel", [XE_VERB_DROP] = "drop",
	[XE_VERB_ACCEPT] = "accept", [XE_VERB_SNAT] = "snat",
	[XE_VERB_DNAT] = "dnat",     [XE_VERB_MASQUERADE] = "masquerade",
	[XE_VERB_NAT] = "nat",       [XE_VERB_REJECT] = "reject",
};

int xe_rule_fail(struct xe_rule_parser *p, int error, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(p->err, p->err_size, fmt, ap);
	va_end(ap);
	return error;
}

char *xe_rule_word(struct xe_rule_parser *p)
{
	return strtok_r(NULL, " ", &p->rest);
}

bool xe_rule_word_is(struct xe_rule_parser *p, const char *word)
{
	char *next = p->rest + strspn(p->rest, " ");
	size_t n = strcspn(next, " ");

	if (n != strlen(word) || memcmp(next, word, n))
		return false;
	xe_rule_word(p);
	return true;
}

static const struct clause {
	const char *word;
	enum xe_clause_bit bit;
	const char *wants; /* what follows, for "expected ... after" */
	int (*parse)(struct xe_rule_parser *p, char *text);
} clauses[] = {
	{"from", XE_C_FROM, "a prefix such as 10.1.0.0/16", xe_rule_parse_from},
	{"to", XE_C_TO, "a prefix such as 0.0.0.0/0:25", xe_rule_parse_to},
	{"in", XE_C_IN, "a port name", xe_rule_parse_in},
	{"out", XE_C_OUT, "a port name", xe_rule_parse_out},
	{"source", XE_C_SOURCE, "an address such as 192.0.2.10", xe_rule_parse_source},
	{"dest", XE_C_DEST, "an address such as 10.1.0.2:80", xe_rule_parse_dest},
	{"ports", XE_C_PORTS, "a range such as 20000-29999", xe_rule_parse_ports},
	{"mapping", XE_C_MAPPING, "endpoint-independent or endpoint-dependent",
	 xe_rule_parse_mapping},
	{"filter", XE_C_FILTER,
	 "endpoint-independent, address-dependent or address-and-port-dependent",
	 xe_rule_parse_filter},
	{"pooling", XE_C_POOLING, "paired or arbitrary", xe_rule_parse_pooling},
	{"mss-clamp", XE_C_MSS, "auto or a number such as 1400", xe_rule_parse_mss},
	{"limit", XE_C_LIMIT, "a rate such as 1000pps, 10mbit or 100flows", xe_rule_parse_limit},
};
#define CLAUSE_CNT (sizeof(clauses) / sizeof(clauses[0]))

static int mark_seen(struct xe_rule_parser *p, enum xe_clause_bit bit, const char *word)
{
	if (p->seen & bit & ~XE_C_LIMIT)
		return xe_rule_fail(p, -EINVAL,
				    bit == XE_C_PROTO ? "`%s` is a second protocol, expected one "
							"(none means both)"
						      : "`%s` stands twice, expected it once",
				    word);
	p->seen |= bit;
	return 0;
}

static int parse_clause(struct xe_rule_parser *p, const char *word)
{
	const struct clause *c;
	char *value;
	int ret;

	for (c = clauses; c < clauses + CLAUSE_CNT && strcmp(c->word, word); c++)
		;
	if (c == clauses + CLAUSE_CNT)
		return xe_rule_fail(p, -EINVAL,
				    "unknown word `%." XE_SHOWN "s`, expected tcp, udp, from, to, "
				    "in, out, source, dest, ports, mapping, filter, pooling, "
				    "mss-clamp, no-limit or limit",
				    word);
	ret = mark_seen(p, c->bit, word);
	if (ret)
		return ret;
	value = xe_rule_word(p);
	if (!value)
		return xe_rule_fail(p, -EINVAL, "expected %s after `%s`, got the end of the rule",
				    c->wants, word);
	return c->parse(p, value);
}

static int parse_word(struct xe_rule_parser *p, const char *word)
{
	bool tcp = !strcmp(word, "tcp");

	if (tcp || !strcmp(word, "udp")) {
		p->rule->proto = tcp ? IPPROTO_TCP : IPPROTO_UDP;
		return mark_seen(p, XE_C_PROTO, word);
	}
	if (!strcmp(word, "no-limit")) {
		p->rule->no_limit = true;
		return mark_seen(p, XE_C_NO_LIMIT, word);
	}
	return parse_clause(p, word);
}

static int parse_verb(struct xe_rule_parser *p, const char *word)
{
	for (int v = 0; word && v < XE_VERB_CNT; v++) {
		if (!strcmp(word, verb_names[v])) {
			p->rule->verb = (enum xe_verb)v;
			return 0;
		}
	}
	return xe_rule_fail(p, -EINVAL,
			    "%s`%." XE_SHOWN "s`, expected kernel, drop, reject, accept, "
			    "masquerade, snat, dnat or nat",
			    word ? "unknown verb " : "empty rule ", word ? word : "");
}

/* Copy, white space made single blanks; messages quote words, so only printable bytes get in. */
static int copy_text(struct xe_rule_parser *p, const char *text)
{
	size_t n = strlen(text);

	if (n >= sizeof(p->buf))
		return xe_rule_fail(p, -EINVAL, "the rule has %zu characters, expected at most %zu",
				    n, sizeof(p->buf) - 1);
	for (size_t i = 0; i <= n; i++) {
		unsigned char c = (unsigned char)text[i];

		if (c && !isspace(c) && (c < 0x20 || c > 0x7e))
			return xe_rule_fail(p, -EINVAL,
					    "unexpected byte 0x%02x at column %zu, expected "
					    "printable ASCII",
					    c, i + 1);
		p->buf[i] = isspace(c) ? ' ' : (char)c;
	}
	return 0;
}

int xe_rule_parse(const char *text, struct xe_rule *rule, char *err, size_t err_size)
{
	struct xe_rule_parser p = {.rule = rule, .err = err, .err_size = err_size};
	char *word;
	int ret;

	memset(rule, 0, sizeof(*rule));
	rule->to_port_max = 65535;
	ret = copy_text(&p, text);
	if (!ret)
		ret = parse_verb(&p, strtok_r(p.buf, " ", &p.rest));
	while (!ret && (word = xe_rule_word(&p)))
		ret = parse_word(&p, word);
	return ret ? ret : xe_rule_check(&p);
}

bool xe_port_name_valid(const char *name)
{
	size_t n = strlen(name);

	if (!n || n >= IFNAMSIZ || !strcmp(name, ".") || !strcmp(name, ".."))
		return false;
	/* The kernel refuses `/`, `:` and blanks; the others would need quoting in YAML or in a
	 * shell, and no interface was ever named with them. */
	for (; *name; name++)
		if (!isgraph((unsigned char)*name) || strchr("/:\\\"'`,{}#", *name))
			return false;
	return true;
}

__u8 xe_rule_family(const struct xe_rule *rule)
{
	if (rule->from.family)
		return rule->from.family;
	if (rule->to.family)
		return rule->to.family;
	if (rule->nat_family)
		return rule->nat_family;
	return 0;
}

const char *xe_verb_name(enum xe_verb verb)
{
	return (unsigned int)verb < XE_VERB_CNT ? verb_names[verb] : "?";
}
