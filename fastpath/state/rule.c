/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * rule.c - one rule: its text parsed and checked (rule_print.c is the way back).
 *
 * A rule is a verb and then clauses, each a word and (but for tcp and udp) a value. They are
 * accepted in any order, each once. What belongs to which
 * verb stands in one table. Two kinds of refusal: -EINVAL for what is wrong, -ENOTSUP ("not yet")
 * for what the grammar knows and this version does not carry out; the rule is whole in that case,
 * so that whoever carries it out one day finds it parsed and printed already.
 */
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "state/rule.h"

/* The longest rule that makes sense is about 300 characters, all clauses with IPv6 in them. */
#define TEXT_SIZE 512
/* A word that is longer is cut in messages, so that the message stays one readable line. */
#define SHOWN "60"

enum clause_bit {
	C_PROTO = 1 << 0,
	C_FROM = 1 << 1,
	C_TO = 1 << 2,
	C_IN = 1 << 3,
	C_OUT = 1 << 4,
	C_SOURCE = 1 << 5,
	C_DEST = 1 << 6,
	C_PORTS = 1 << 7,
	C_MATCH = C_PROTO | C_FROM | C_TO | C_IN | C_OUT,
};

struct parser {
	char buf[TEXT_SIZE]; /* copy of the text, cut into words */
	char *rest;          /* strtok_r */
	struct xe_rule *rule;
	unsigned int seen; /* enum clause_bit */
	char *err;
	size_t err_size;
};

struct verb {
	const char *name;
	unsigned int allowed, needed; /* enum clause_bit */
};

static const struct verb verbs[XE_VERB_CNT] = {
	[XE_VERB_KERNEL] = {"kernel", C_MATCH, 0},
	[XE_VERB_DROP] = {"drop", C_MATCH, 0},
	[XE_VERB_ACCEPT] = {"accept", C_MATCH, 0},
	[XE_VERB_SNAT] = {"snat", C_MATCH | C_SOURCE | C_PORTS, C_SOURCE},
	[XE_VERB_MASQUERADE] = {"masquerade", C_MATCH | C_PORTS, 0},
	[XE_VERB_DNAT] = {"dnat", C_MATCH | C_DEST, C_TO | C_DEST},
};

/* Words of the grammar that belong to rules this version does not carry out. */
static const char *const later_options[] = {"mapping", "filter", "mss-clamp"};

static int __attribute__((format(printf, 3, 4)))
fail(struct parser *p, int error, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(p->err, p->err_size, fmt, ap);
	va_end(ap);
	return error;
}

/* 1-65535 in decimal, no sign, no leading zero; 0 when it is none of those. */
static unsigned int parse_l4_port(const char *text, size_t len)
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
static int parse_l4_range(struct parser *p, const char *clause, const char *text, bool one_allowed,
			  __u16 *min, __u16 *max)
{
	const char *dash = strchr(text, '-');
	unsigned int a, b;

	if (!dash && !one_allowed)
		return fail(p, -EINVAL,
			    "expected a range such as 20000-29999 after `%s`, got `%." SHOWN "s`",
			    clause, text);
	a = parse_l4_port(text, dash ? (size_t)(dash - text) : strlen(text));
	b = dash ? parse_l4_port(dash + 1, strlen(dash + 1)) : a;
	if (!a || !b)
		return fail(p, -EINVAL,
			    "expected L4 ports in 1-65535 after `%s`, got `%." SHOWN "s`", clause,
			    text);
	if (a > b)
		return fail(p, -EINVAL, "the range `%s` after `%s` is reversed, expected %u-%u",
			    text, clause, b, a);
	*min = (__u16)a;
	*max = (__u16)b;
	return 0;
}

static int parse_prefix(struct parser *p, const char *clause, const char *text,
			struct xe_prefix *prefix)
{
	char why[160];

	if (xe_prefix_parse(text, prefix, why, sizeof(why)))
		return fail(p, -EINVAL, "`%s`: %s", clause, why);
	return 0;
}

/*
 * Cut `ADDRESS[:L4]` in two, in place: brackets around IPv6 (and only there), whose own colons
 * would hide where the L4 port starts. *l4 is NULL when there is none.
 */
static int split_l4(struct parser *p, const char *clause, char **text, char **l4)
{
	char *t = *text, *end;

	*l4 = NULL;
	if (*t == '[') {
		end = strchr(t, ']');
		if (!end || (end[1] && end[1] != ':') || !memchr(t, ':', (size_t)(end - t)))
			return fail(p, -EINVAL,
				    "expected an IPv6 prefix and an L4 port such as "
				    "[2001:db8::/32]:443 after `%s`, got `%." SHOWN "s`",
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

static int parse_from(struct parser *p, char *text)
{
	return parse_prefix(p, "from", text, &p->rule->from);
}

static int parse_to(struct parser *p, char *text)
{
	char *l4;
	int ret = split_l4(p, "to", &text, &l4);

	if (!ret)
		ret = parse_prefix(p, "to", text, &p->rule->to);
	if (!ret && l4)
		ret = parse_l4_range(p, "to", l4, true, &p->rule->to_port_min,
				     &p->rule->to_port_max);
	return ret;
}

static int parse_port_name(struct parser *p, const char *clause, const char *text, char *name)
{
	if (!xe_port_name_valid(text))
		return fail(p, -EINVAL, "expected a port name after `%s`, got `%." SHOWN "s`",
			    clause, text);
	strcpy(name, text); /* a valid name fits in IFNAMSIZ */
	return 0;
}

static int parse_in(struct parser *p, char *text)
{
	return parse_port_name(p, "in", text, p->rule->in);
}

static int parse_out(struct parser *p, char *text)
{
	return parse_port_name(p, "out", text, p->rule->out);
}

/* No packet on the wire may carry such a source: RFC 1812 section 5.3.7, RFC 3927, RFC 1112. */
static bool v4_is_no_source(const struct xe_addr *addr)
{
	__u32 a = ntohl(addr->w_be[3]);

	return a >> 24 == 0 || a >> 24 == 127 || a >> 16 == 0xa9fe || a >> 28 >= 0xe;
}

static int parse_source(struct parser *p, char *text)
{
	struct xe_rule *r = p->rule;
	char *dash = strchr(text, '-');
	__u8 family_max;

	if (dash)
		*dash = '\0';
	if (xe_addr_parse(text, &r->nat_min, &r->nat_family) ||
	    xe_addr_parse(dash ? dash + 1 : text, &r->nat_max, &family_max))
		return fail(p, -EINVAL,
			    "expected an address or a range such as "
			    "192.0.2.10-192.0.2.12 after `source`, got `%." SHOWN "s%s%." SHOWN
			    "s`",
			    text, dash ? "-" : "", dash ? dash + 1 : "");
	if (family_max != r->nat_family)
		return fail(p, -EINVAL, "the two ends of `source` are of different families");
	if (memcmp(&r->nat_min, &r->nat_max, sizeof(r->nat_min)) > 0)
		return fail(p, -EINVAL, "the range after `source` is reversed, expected %s-%s",
			    dash + 1, text);
	if (r->nat_family != AF_INET)
		return 0;
	if (ntohl(r->nat_max.w_be[3]) - ntohl(r->nat_min.w_be[3]) >= XE_MAX_EXT_ADDRS)
		return fail(p, -EINVAL, "expected at most %d addresses after `source`",
			    XE_MAX_EXT_ADDRS);
	if (v4_is_no_source(&r->nat_min) || v4_is_no_source(&r->nat_max))
		return fail(p, -EINVAL,
			    "expected addresses of this host's networks after "
			    "`source`, got `%s%s%s`",
			    text, dash ? "-" : "", dash ? dash + 1 : "");
	return 0;
}

static int parse_dest(struct parser *p, char *text)
{
	struct xe_rule *r = p->rule;
	char *l4;
	__u16 unused;
	int ret = split_l4(p, "dest", &text, &l4);

	if (ret)
		return ret;
	if (xe_addr_parse(text, &r->nat_min, &r->nat_family))
		return fail(p, -EINVAL,
			    "expected an address such as 10.1.0.2:80 after `dest`, "
			    "got `%." SHOWN "s`",
			    text);
	r->nat_max = r->nat_min;
	if (l4 && strchr(l4, '-'))
		return fail(p, -EINVAL, "expected one L4 port after `dest`, got `%." SHOWN "s`",
			    l4);
	return l4 ? parse_l4_range(p, "dest", l4, true, &r->dest_port, &unused) : 0;
}

static int parse_ports(struct parser *p, char *text)
{
	return parse_l4_range(p, "ports", text, false, &p->rule->port_min, &p->rule->port_max);
}

static const struct clause {
	const char *word;
	enum clause_bit bit;
	const char *wants; /* what follows, for "expected ... after" */
	int (*parse)(struct parser *p, char *text);
} clauses[] = {
	{"from", C_FROM, "a prefix such as 10.1.0.0/16", parse_from},
	{"to", C_TO, "a prefix such as 0.0.0.0/0:25", parse_to},
	{"in", C_IN, "a port name", parse_in},
	{"out", C_OUT, "a port name", parse_out},
	{"source", C_SOURCE, "an address such as 192.0.2.10", parse_source},
	{"dest", C_DEST, "an address such as 10.1.0.2:80", parse_dest},
	{"ports", C_PORTS, "a range such as 20000-29999", parse_ports},
};
#define CLAUSE_CNT (sizeof(clauses) / sizeof(clauses[0]))

static int mark_seen(struct parser *p, enum clause_bit bit, const char *word)
{
	if (p->seen & bit)
		return fail(p, -EINVAL,
			    bit == C_PROTO ? "`%s` is a second protocol, expected one "
					     "(none means both)"
					   : "`%s` stands twice, expected it once",
			    word);
	p->seen |= bit;
	return 0;
}

static int parse_clause(struct parser *p, const char *word)
{
	const struct clause *c;
	char *value;
	int ret;

	for (c = clauses; c < clauses + CLAUSE_CNT && strcmp(c->word, word); c++)
		;
	if (c == clauses + CLAUSE_CNT)
		return fail(p, -EINVAL,
			    "unknown word `%." SHOWN "s`, expected tcp, udp, from, to, "
			    "in, out, source, dest or ports",
			    word);
	ret = mark_seen(p, c->bit, word);
	if (ret)
		return ret;
	value = strtok_r(NULL, " ", &p->rest);
	if (!value)
		return fail(p, -EINVAL, "expected %s after `%s`, got the end of the rule", c->wants,
			    word);
	return c->parse(p, value);
}

static int parse_word(struct parser *p, const char *word)
{
	bool tcp = !strcmp(word, "tcp");

	if (tcp || !strcmp(word, "udp")) {
		p->rule->proto = tcp ? IPPROTO_TCP : IPPROTO_UDP;
		return mark_seen(p, C_PROTO, word);
	}
	for (size_t i = 0; i < sizeof(later_options) / sizeof(later_options[0]); i++)
		if (!strcmp(word, later_options[i]))
			return fail(p, -ENOTSUP,
				    "the option `%s` is not yet carried out by this "
				    "version",
				    word);
	return parse_clause(p, word);
}

static int parse_verb(struct parser *p, const char *word)
{
	for (int v = 0; word && v < XE_VERB_CNT; v++) {
		if (!strcmp(word, verbs[v].name)) {
			p->rule->verb = (enum xe_verb)v;
			return 0;
		}
	}
	return fail(p, -EINVAL,
		    "%s`%." SHOWN "s`, expected kernel, drop, accept, masquerade, snat "
		    "or dnat",
		    word ? "unknown verb " : "empty rule ", word ? word : "");
}

/* Do the clauses go with the verb? */
static int check_verb(struct parser *p)
{
	const struct verb *v = &verbs[p->rule->verb];
	unsigned int extra = p->seen & ~v->allowed;
	unsigned int missing = v->needed & ~p->seen;

	if (p->rule->verb == XE_VERB_MASQUERADE && (extra & C_SOURCE))
		return fail(p, -EINVAL,
			    "masquerade takes the uplink's own address, expected no "
			    "`source` (or the verb snat)");
	if (extra & C_SOURCE)
		return fail(p, -EINVAL, "`source` translates, expected it with the verb snat only");
	if (extra & C_DEST)
		return fail(p, -EINVAL, "`dest` translates, expected it with the verb dnat only");
	if (extra & C_PORTS)
		return fail(p, -EINVAL,
			    "`ports` is the range to translate to, expected it with masquerade or "
			    "snat only");
	if (missing & C_SOURCE)
		return fail(p, -EINVAL,
			    "snat needs the address to translate to, expected "
			    "`source A` or `source A-B`");
	if (missing)
		return fail(p, -EINVAL,
			    "dnat needs `%s`, expected such as "
			    "`dnat tcp to 192.0.2.1:8080 dest 10.1.0.2:80`",
			    missing & C_TO ? "to" : "dest");
	/* The masquerade address is the host's own, and so are its well-known L4 ports. */
	if (p->rule->verb == XE_VERB_MASQUERADE && p->rule->port_min && p->rule->port_min < 1024)
		return fail(p, -EINVAL,
			    "`ports %u-%u` takes well-known L4 ports of the host's own "
			    "address, expected 1024 or more",
			    p->rule->port_min, p->rule->port_max);
	return 0;
}

static int check_families(struct parser *p)
{
	const struct xe_rule *r = p->rule;
	const __u8 family[] = {r->from.family, r->to.family, r->nat_family};
	bool v4 = false, v6 = false;

	for (size_t i = 0; i < sizeof(family); i++) {
		v4 |= family[i] == AF_INET;
		v6 |= family[i] == AF_INET6;
	}
	if (v4 && v6)
		return fail(p, -EINVAL, "IPv4 and IPv6 are mixed, expected one family in a rule");
	if (r->verb == XE_VERB_DNAT)
		return fail(p, -ENOTSUP, "dnat is not yet carried out by this version");
	if (v6 && r->verb != XE_VERB_KERNEL)
		return fail(p, -ENOTSUP,
			    "IPv6 is not yet carried by this version, expected the "
			    "verb kernel with it");
	return 0;
}

/* Copy, white space made single blanks; messages quote words, so only printable bytes get in. */
static int copy_text(struct parser *p, const char *text)
{
	size_t n = strlen(text);

	if (n >= sizeof(p->buf))
		return fail(p, -EINVAL, "the rule has %zu characters, expected at most %zu", n,
			    sizeof(p->buf) - 1);
	for (size_t i = 0; i <= n; i++) {
		unsigned char c = (unsigned char)text[i];

		if (c && !isspace(c) && (c < 0x20 || c > 0x7e))
			return fail(p, -EINVAL,
				    "unexpected byte 0x%02x at column %zu, expected "
				    "printable ASCII",
				    c, i + 1);
		p->buf[i] = isspace(c) ? ' ' : (char)c;
	}
	return 0;
}

int xe_rule_parse(const char *text, struct xe_rule *rule, char *err, size_t err_size)
{
	struct parser p = {.rule = rule, .err = err, .err_size = err_size};
	char *word;
	int ret;

	memset(rule, 0, sizeof(*rule));
	rule->to_port_max = 65535;
	ret = copy_text(&p, text);
	if (!ret)
		ret = parse_verb(&p, strtok_r(p.buf, " ", &p.rest));
	while (!ret && (word = strtok_r(NULL, " ", &p.rest)))
		ret = parse_word(&p, word);
	if (!ret)
		ret = check_verb(&p);
	if (!ret)
		ret = check_families(&p);
	return ret;
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
	return rule->verb == XE_VERB_KERNEL ? 0 : AF_INET;
}

const char *xe_verb_name(enum xe_verb verb)
{
	return (unsigned int)verb < XE_VERB_CNT ? verbs[verb].name : "?";
}
