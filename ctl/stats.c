/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * xegressctl stats: the counters, a block of `name value` lines for each worker and port.
 *
 * Members are printed as they come, so a counter that the service learns shows here at once.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "call.h"
#include "member.h"

/* Wide enough for "drops.L4_PORTS_EXHAUSTED", and for any 64-bit count. */
#define NAME_WIDTH  26
#define COUNT_WIDTH 20

static void print_counter(const char *group, const char *name, const json_t *count)
{
	int len = printf("  %s%s%s", group, *group ? "." : "", name);

	printf("%*s%*lld\n", len < NAME_WIDTH ? NAME_WIDTH - len : 1, "", COUNT_WIDTH,
	       json_integer_value(count));
}

/* One level of objects lies below: drops, by reason, of which those with 0 are left out. `title` is
 * the member that stands above the block. */
static void print_block(json_t *object, const char *title)
{
	const char *name, *reason;
	json_t *value, *count;

	json_object_foreach (object, name, value) {
		if (json_is_integer(value) && strcmp(name, title))
			print_counter("", name, value);
		json_object_foreach (value, reason, count)
			if (json_integer_value(count))
				print_counter(name, reason, count);
	}
}

static void print_stats(const json_t *stats)
{
	json_t *object;
	size_t i;

	json_array_foreach (json_object_get(stats, "workers"), i, object) {
		printf("worker on cpu %lld\n", member_number(object, "cpu"));
		print_block(object, "cpu");
	}
	json_array_foreach (json_object_get(stats, "ports"), i, object) {
		char *name = strdup(member_text(object, "name"));

		if (name)
			make_printable(name);
		printf("port %s\n", name ? name : "-");
		free(name);
		print_block(object, "name");
	}
}

int verb_stats(const struct ctl_options *options, int argc, char **argv)
{
	json_t *result;
	int ret = call_and_show(options, "stats", argc - 1, argv + 1, &result);

	if (!ret && !options->json)
		print_stats(result);
	json_decref(result);
	return ret;
}
