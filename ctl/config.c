/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * xegressctl config: the running configuration as a file that loads to it.
 */
#include <stdio.h>

#include "call.h"
#include "member.h"

int verb_config(const struct ctl_options *options, int argc, char **argv)
{
	json_t *result;
	int ret = call_and_show(options, "config", argc - 1, argv + 1, &result);

	if (!ret && !options->json)
		fputs(member_text(result, "text"), stdout);
	json_decref(result);
	return ret;
}
