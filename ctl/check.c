/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * xegressctl check: the host's settings as the service sees them; exits 1 when one of them fails.
 */
#include <stdio.h>

#include "call.h"
#include "member.h"
#include "table.h"
#include "xegress/ctl_abi.h"

static void print_checks(const json_t *checks)
{
	static const struct table_col cols[] = {
		{"STATE", false}, {"CHECK", false}, {"FOUND", false}, {"REMEDY", false}};
	struct table *t = table_new(cols, sizeof(cols) / sizeof(cols[0]));
	json_t *check;
	size_t i;

	json_array_foreach (checks, i, check) {
		table_text(t, check, "state");
		table_text(t, check, "name");
		table_text(t, check, "text");
		table_cell(t, "%s", member_is_null(check, "fix") ? "" : member_text(check, "fix"));
	}
	table_end(t);
}

int verb_check(const struct ctl_options *options, int argc, char **argv)
{
	json_t *result;
	int ret = call_and_show(options, "check", argc - 1, argv + 1, &result);

	if (ret)
		return ret;
	if (!options->json)
		print_checks(json_object_get(result, "checks"));
	if (!member_true(result, "ok"))
		ret = XE_CTL_FAILED;
	json_decref(result);
	return ret;
}
