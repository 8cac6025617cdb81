/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * xegressctl flow list|count|flush [FILTER]
 *
 * A flow is one line, both directions as they are on the wire: how its packets come in, and how
 * its replies do. What differs between the two is the translation.
 */
#include <stdio.h>
#include <string.h>

#include "call.h"
#include "member.h"
#include "table.h"

static const struct table_col flow_cols[] = {
	{"PROTO", false},     {"STATE", false},  {"FROM", false}, {"OUT", false},
	{"BACK", false},      {"BY", false},     {"RULE", true},  {"AGE", true},
	{"IDLE", true},       {"PACKETS", true}, {"BYTES", true}, {"BACK-PKTS", true},
	{"BACK-BYTES", true},
};

static int add_flow(void *arg, json_t *flow)
{
	struct table *t = arg;
	char buf[AMOUNT_SIZE];

	table_text(t, flow, "proto");
	table_text(t, flow, "state");
	table_text(t, flow, "in");
	table_cell(t, "%s > %s", member_text(flow, "src"), member_text(flow, "dst"));
	table_cell(t, "%s > %s", member_text(flow, "nat_dst"), member_text(flow, "nat_src"));
	table_text(t, flow, "out");
	table_number(t, flow, "rule");
	table_cell(t, "%s", duration(member_number(flow, "age_ms"), buf));
	table_cell(t, "%s", duration(member_number(flow, "idle_ms"), buf));
	table_number(t, flow, "packets");
	table_cell(t, "%s", bytes(member_number(flow, "bytes"), buf));
	table_number(t, flow, "back_packets");
	table_cell(t, "%s", bytes(member_number(flow, "back_bytes"), buf));
	return 0;
}

static int flow_list(const struct ctl_options *options, int argc, char **argv)
{
	struct call call = {.verb = "flow list", .argc = argc, .argv = argv, .part = add_flow};
	json_t *result;
	int ret;

	if (options->json)
		return call_and_print_stream(options, "flow list", "flows", argc, argv);
	call.arg = table_new(flow_cols, sizeof(flow_cols) / sizeof(flow_cols[0]));
	ret = call_service(options, &call, &result);
	table_end(call.arg);
	json_decref(result);
	return ret;
}

/* `flow count` and `flow flush` print one number. */
static int flow_number(const struct ctl_options *options, const char *verb, int argc, char **argv)
{
	json_t *result;
	int ret = call_and_show(options, verb, argc, argv, &result);

	if (!ret && !options->json)
		printf("%lld\n", member_number(result, "count"));
	json_decref(result);
	return ret;
}

int verb_flow(const struct ctl_options *options, int argc, char **argv)
{
	if (argc < 2)
		return flow_list(options, 0, NULL);
	if (!strcmp(argv[1], "list"))
		return flow_list(options, argc - 2, argv + 2);
	if (!strcmp(argv[1], "count"))
		return flow_number(options, "flow count", argc - 2, argv + 2);
	if (!strcmp(argv[1], "flush"))
		return flow_number(options, "flow flush", argc - 2, argv + 2);
	return ctl_usage("flow: expected list, count or flush, got `%s`", argv[1]);
}
