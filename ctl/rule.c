/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * xegressctl rule list|add|del
 */
#include <stdio.h>
#include <string.h>

#include "call.h"
#include "member.h"
#include "table.h"

static int add_rule(void *arg, json_t *rule)
{
	struct table *t = arg;

	table_number(t, rule, "number");
	if (member_true(rule, "in_force"))
		table_cell(t, "in force");
	else
		table_cell(t, "not in force: %s", member_text(rule, "why"));
	table_number(t, rule, "flows");
	if (json_object_get(rule, "prefixes"))
		table_cell(t, "%s (%lld prefixes)", member_text(rule, "text"),
			   member_number(rule, "prefixes"));
	else
		table_text(t, rule, "text");
	return 0;
}

static int rule_list(const struct ctl_options *options, int argc, char **argv)
{
	static const struct table_col cols[] = {
		{"RULE", true}, {"STATE", false}, {"FLOWS", true}, {"TEXT", false}};
	struct call call = {.verb = "rule list", .argc = argc, .argv = argv, .part = add_rule};
	json_t *result;
	int ret;

	if (options->json)
		return call_and_print_stream(options, "rule list", "rules", argc, argv);
	call.arg = table_new(cols, sizeof(cols) / sizeof(cols[0]));
	ret = call_service(options, &call, &result);
	table_end(call.arg);
	json_decref(result);
	return ret;
}

/* The one line it prints is the rule's number and what the service understood. */
static int rule_change(const struct ctl_options *options, const char *verb, int argc, char **argv)
{
	json_t *result;
	const json_t *rule;
	int ret = call_and_show(options, verb, argc, argv, &result);

	if (!ret && !options->json) {
		rule = json_object_get(result, "rule");
		printf("%lld %s\n", member_number(rule, "number"), member_text(rule, "text"));
	}
	json_decref(result);
	return ret;
}

int verb_rule(const struct ctl_options *options, int argc, char **argv)
{
	if (argc < 2 || !strcmp(argv[1], "list"))
		return rule_list(options, argc < 2 ? 0 : argc - 2, argv + 2);
	if (!strcmp(argv[1], "add"))
		return rule_change(options, "rule add", argc - 2, argv + 2);
	if (!strcmp(argv[1], "del"))
		return rule_change(options, "rule del", argc - 2, argv + 2);
	return ctl_usage("rule: expected list, add or del, got `%s`", argv[1]);
}
