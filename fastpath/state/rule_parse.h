/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * rule_parse.h - what the parts of the rule parser say to each other: rule.c (words), rule_value.c
 * (what stands behind them), rule_check.c (what goes together). Nobody else includes it.
 */
#ifndef XE_RULE_PARSE_H
#define XE_RULE_PARSE_H

#include "state/rule.h"

/* A word that is longer is cut in messages, so that the message stays one readable line. */
#define XE_SHOWN "60"

enum xe_clause_bit {
	XE_C_PROTO = 1 << 0,
	XE_C_FROM = 1 << 1,
	XE_C_TO = 1 << 2,
	XE_C_IN = 1 << 3,
	XE_C_OUT = 1 << 4,
	XE_C_SOURCE = 1 << 5,
	XE_C_DEST = 1 << 6,
	XE_C_PORTS = 1 << 7,
	XE_C_MAPPING = 1 << 8,
	XE_C_FILTER = 1 << 9,
	XE_C_POOLING = 1 << 10,
	XE_C_MSS = 1 << 11,
	XE_C_NO_LIMIT = 1 << 12,
	XE_C_LIMIT = 1 << 13,
	XE_C_MATCH = XE_C_PROTO | XE_C_FROM | XE_C_TO | XE_C_IN | XE_C_OUT,
};

struct xe_rule_parser {
	char buf[XE_RULE_TEXT_SIZE]; /* copy of the text, cut into words */
	char *rest;                  /* strtok_r */
	struct xe_rule *rule;
	unsigned int seen; /* enum xe_clause_bit */
	char *err;
	size_t err_size;
};

/* Writes the message; returns `error`. */
int xe_rule_fail(struct xe_rule_parser *p, int error, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* The next word taken, NULL at the end of the rule. */
char *xe_rule_word(struct xe_rule_parser *p);
/* Take the next word only if it is this one. */
bool xe_rule_word_is(struct xe_rule_parser *p, const char *word);

/* rule_value.c: each parses what stands behind its word. */
int xe_rule_parse_from(struct xe_rule_parser *p, char *text);
int xe_rule_parse_to(struct xe_rule_parser *p, char *text);
int xe_rule_parse_in(struct xe_rule_parser *p, char *text);
int xe_rule_parse_out(struct xe_rule_parser *p, char *text);
int xe_rule_parse_ports(struct xe_rule_parser *p, char *text);
/* rule_source.c */
int xe_rule_parse_source(struct xe_rule_parser *p, char *text);
/* rule_dest.c */
int xe_rule_parse_dest(struct xe_rule_parser *p, char *text);
/* rule_option.c */
int xe_rule_parse_mapping(struct xe_rule_parser *p, char *text);
int xe_rule_parse_filter(struct xe_rule_parser *p, char *text);
int xe_rule_parse_pooling(struct xe_rule_parser *p, char *text);
int xe_rule_parse_mss(struct xe_rule_parser *p, char *text);
int xe_rule_parse_limit(struct xe_rule_parser *p, char *text);

/* 1-65535 in decimal, no sign, no leading zero; 0 when it is none of those. */
unsigned int xe_rule_l4_port(const char *text, size_t len);
/* `A-B`, or `A` alone where that is allowed. */
int xe_rule_l4_range(struct xe_rule_parser *p, const char *clause, const char *text,
		     bool one_allowed, __u16 *min, __u16 *max);
/*
 * Cut `ADDRESS[:L4]` in two, in place: brackets around IPv6 (and only there), whose own colons
 * would hide where the L4 port starts. *l4 is NULL when there is none.
 */
int xe_rule_split_l4(struct xe_rule_parser *p, const char *clause, char **text, char **l4);
/* Cut `A[-B]` in two, parsed; the same address twice without a dash. `example`: for messages. */
int xe_rule_addr_range(struct xe_rule_parser *p, const char *clause, const char *example,
		       char *text, struct xe_addr *min, struct xe_addr *max, __u8 *family);

/* rule_check.c: do the clauses of a whole rule go together, and is it carried out? */
int xe_rule_check(struct xe_rule_parser *p);

/* "packets of a rule" as a word behind the number, and how many units one of them is. */
struct xe_limit_unit {
	const char *word;
	__u8 kind; /* enum xe_limit */
	__u32 factor;
};
/* Largest unit of a kind first; ends with a NULL word. */
extern const struct xe_limit_unit xe_limit_units[];

/* The words of `mapping`, `filter`, `pooling` by their enum; [0] is NULL. */
extern const char *const xe_mapping_words[3], *const xe_filter_words[4], *const xe_pooling_words[3];

#endif
