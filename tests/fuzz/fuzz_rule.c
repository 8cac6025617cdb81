/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * fuzz_rule.c - any text as a rule: refused with one printable line, or printed so that it parses
 * to an equal rule and prints the same again; and whatever is accepted compiles.
 *
 *   clang -fsanitize=fuzzer,address,undefined ... && ./fuzz_rule tests/fuzz/corpus/rule
 */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "state/rule.h"
#include "state/ruleset.h"

static void must(int ok)
{
	if (!ok)
		abort(); /* libFuzzer keeps the input */
}

static void check_line(const char *line)
{
	must(*line);
	for (; *line; line++)
		must(isprint((unsigned char)*line));
}

static __u32 port_ids(void *ctx, const char *name, __u16 *ids, __u32 max)
{
	(void)ctx;
	(void)max;
	ids[0] = 1 | XE_OUT_INSIDE;
	ids[1] = 2;
	return *name == 'v' ? 2 : 0;
}

static void check_compile(const struct xe_rule *rule)
{
	struct xe_ruleset *rs;
	char err[256];

	must(!xe_ruleset_compile(rule, 1, 1, port_ids, NULL, &rs, err, sizeof(err)));
	must(rs->entry_cnt <= 4 * 30);
	/* The rule's own corner of its match must find it. */
	if (rs->entry_cnt && !rule->in[0] && !rule->out[0] && rule->from.family)
		must(!xe_ruleset_lookup(rs, &rule->from.addr, &rule->to.addr,
					__builtin_bswap16(rule->to_port_max),
					rule->proto ? rule->proto : 6, 0,
					rule->verb == XE_VERB_DNAT ? XE_OUT_INSIDE : 0));
	xe_ruleset_free(rs);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	char *text = strndup((const char *)bytes, len), printed[XE_RULE_TEXT_SIZE],
	     again[XE_RULE_TEXT_SIZE];
	char err[256] = "";
	struct xe_rule a, b;
	int ret = xe_rule_parse(text, &a, err, sizeof(err));

	if (ret)
		check_line(err);
	if (!ret || ret == -ENOTSUP) {
		must(xe_rule_print(&a, printed, sizeof(printed)) > 0);
		must(xe_rule_parse(printed, &b, err, sizeof(err)) == ret);
		must(xe_rule_equal(&a, &b));
		must(xe_rule_print(&b, again, sizeof(again)) > 0);
		must(!strcmp(printed, again));
	}
	if (!ret)
		check_compile(&a);
	free(text);
	return 0;
}
