/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * xegressctl port list|add|del
 */
#include "port.h"

#include <stdio.h>
#include <string.h>

#include "call.h"
#include "member.h"
#include "table.h"

static void add_yes_or_no(struct table *t, const json_t *port, const char *name, const char *yes,
			  const char *no)
{
	if (member_is_null(port, name))
		table_cell(t, "-");
	else
		table_cell(t, "%s", member_true(port, name) ? yes : no);
}

/* Why it is not attached, or else why superpackets are not kept. */
static const char *remark(const json_t *port)
{
	if (!member_is_null(port, "why"))
		return member_text(port, "why");
	if (!member_is_null(port, "superpackets_why"))
		return member_text(port, "superpackets_why");
	return "";
}

/* "0", "0-3" of a port whose queues are spread, "-" of one that is not attached. */
static void add_workers(struct table *t, const json_t *port)
{
	const json_t *list = json_object_get(port, "workers");
	size_t cnt = json_array_size(list);

	if (cnt < 2) {
		table_number(t, port, "worker");
		return;
	}
	table_cell(t, "%lld-%lld", (long long)json_integer_value(json_array_get(list, 0)),
		   (long long)json_integer_value(json_array_get(list, cnt - 1)));
}

void print_ports(const json_t *ports)
{
	static const struct table_col cols[] = {
		{"PORT", false},     {"ROLE", false},         {"STATE", false},
		{"XDP", false},      {"ATTACH", false},       {"PROGRAM", true},
		{"MEMORY", false},   {"SUPERPACKETS", false}, {"COALESCE", false},
		{"CHECKSUM", false}, {"WORKER", true},        {"REMARK", false},
	};
	struct table *t = table_new(cols, sizeof(cols) / sizeof(cols[0]));
	json_t *port;
	size_t i;

	json_array_foreach (ports, i, port) {
		table_text(t, port, "name");
		table_text(t, port, "role");
		table_text(t, port, "state");
		table_text(t, port, "xdp");
		table_text(t, port, "attach");
		table_number(t, port, "prog_id");
		add_yes_or_no(t, port, "zero_copy", "zero-copy", "copy");
		add_yes_or_no(t, port, "superpackets", "kept", "cut");
		add_yes_or_no(t, port, "coalesce", "on", "off");
		table_text(t, port, "checksum");
		add_workers(t, port);
		table_cell(t, "%s", remark(port));
	}
	table_end(t);
}

static int port_list(const struct ctl_options *options, int argc, char **argv)
{
	json_t *result;
	int ret = call_and_show(options, "port list", argc, argv, &result);

	if (!ret && !options->json)
		print_ports(json_object_get(result, "ports"));
	json_decref(result);
	return ret;
}

/* Quiet when done: the exit code says it. */
static int port_change(const struct ctl_options *options, const char *verb, int argc, char **argv)
{
	json_t *result;
	int ret = call_and_show(options, verb, argc, argv, &result);

	json_decref(result);
	return ret;
}

int verb_port(const struct ctl_options *options, int argc, char **argv)
{
	if (argc < 2 || !strcmp(argv[1], "list"))
		return port_list(options, argc < 2 ? 0 : argc - 2, argv + 2);
	if (!strcmp(argv[1], "add"))
		return port_change(options, "port add", argc - 2, argv + 2);
	if (!strcmp(argv[1], "del"))
		return port_change(options, "port del", argc - 2, argv + 2);
	return ctl_usage("port: expected list, add or del, got `%s`", argv[1]);
}
