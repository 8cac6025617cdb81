/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * xegressctl drops [--explain]: what was not carried, by reason.
 *
 * Without --explain: the reasons that counted. With it: the whole table, and what each means.
 */
#include <stdio.h>
#include <string.h>

#include "call.h"
#include "member.h"
#include "table.h"

static const struct table_col cols[] = {
	{"REASON", false}, {"AT", false}, {"CLASS", false}, {"COUNT", true}, {"MEANING", false}};

/* The packets that were taken are none of this, but with --explain the table is whole. */
static bool shown(const json_t *reason, bool explain)
{
	return explain ||
	       (member_number(reason, "count") && strcmp(member_text(reason, "class"), "take"));
}

static void print_reasons(const json_t *reasons, bool explain)
{
	struct table *t = table_new(cols, explain ? 5 : 4);
	json_t *reason;
	size_t i;

	json_array_foreach (reasons, i, reason) {
		if (!shown(reason, explain))
			continue;
		table_text(t, reason, "reason");
		table_text(t, reason, "at");
		table_text(t, reason, "class");
		table_number(t, reason, "count");
		if (explain)
			table_text(t, reason, "text");
	}
	table_end(t);
}

int verb_drops(const struct ctl_options *options, int argc, char **argv)
{
	json_t *result;
	int ret = call_and_show(options, "drops", argc - 1, argv + 1, &result);

	if (!ret && !options->json)
		print_reasons(json_object_get(result, "reasons"), options->explain);
	json_decref(result);
	return ret;
}
