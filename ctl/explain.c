/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * xegressctl explain PACKET: what would become of it, and why. Exits 0 when it would be carried.
 */
#include <stdio.h>

#include "call.h"
#include "member.h"
#include "table.h"
#include "xegress/ctl_abi.h"

/* Earlier rules shown; --json has more. */
#define EARLIER_SHOWN 4

static void print_steps(const json_t *steps)
{
	static const struct table_col cols[] = {{"STEP", false}, {"", false}, {"WHAT", false}};
	struct table *t = table_new(cols, sizeof(cols) / sizeof(cols[0]));
	json_t *step;
	size_t i;

	json_array_foreach (steps, i, step) {
		table_text(t, step, "step");
		table_cell(t, "%s", member_true(step, "ok") ? "" : "no:");
		table_text(t, step, "text");
	}
	table_end(t);
}

static void print_earlier(const json_t *earlier)
{
	json_t *rule;
	size_t i;

	json_array_foreach (earlier, i, rule) {
		if (i == EARLIER_SHOWN) {
			printf("  ... and %zu more before them (--json)\n",
			       json_array_size(earlier) - i);
			break;
		}
		printf("  not rule %lld, for %s: %s\n", member_number(rule, "number"),
		       member_text(rule, "why"), member_text(rule, "text"));
	}
}

int verb_explain(const struct ctl_options *options, int argc, char **argv)
{
	json_t *result;
	int ret = call_and_show(options, "explain", argc - 1, argv + 1, &result);

	if (ret)
		return ret;
	if (!options->json) {
		print_steps(json_object_get(result, "steps"));
		print_earlier(json_object_get(result, "earlier"));
		printf("%s (steer: %s)\n", member_text(result, "verdict"),
		       member_text(result, "steer"));
	}
	if (!member_true(result, "carried"))
		ret = XE_CTL_FAILED;
	json_decref(result);
	return ret;
}
