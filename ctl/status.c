/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * xegressctl [status]: is all that is configured in force, and how is it done.
 */
#include <stdio.h>

#include "call.h"
#include "member.h"
#include "port.h"
#include "table.h"
#include "xegress/ctl_abi.h"

static void print_head(const json_t *st)
{
	const json_t *flows = json_object_get(st, "flows"), *rules = json_object_get(st, "rules");
	const json_t *net = json_object_get(st, "safety_net");
	char up[AMOUNT_SIZE];

	printf("xegressd %s, pid %lld, up %s, %s\n", member_text(st, "version"),
	       member_number(st, "pid"), duration(member_number(st, "uptime_s") * 1000, up),
	       member_is_null(st, "config") ? "no file" : member_text(st, "config"));
	printf("in force: %s\n", member_true(st, "in_force") ? "all" : "not all");
	printf("rules: %lld of %lld in force\n", member_number(rules, "in_force"),
	       member_number(rules, "count"));
	printf("flows: %lld of at most %lld\n", member_number(flows, "count"),
	       member_number(flows, "limit"));
	printf("safety net: %s (%s)%s%s\n", member_text(net, "state"), member_text(net, "table"),
	       member_is_null(net, "why") ? "" : ": ",
	       member_is_null(net, "why") ? "" : member_text(net, "why"));
	printf("on stop: %s\n", member_text(st, "on_stop"));
}

static void print_workers(const json_t *workers)
{
	static const struct table_col cols[] = {
		{"WORKER", true}, {"CPU", true},       {"NODE", true}, {"STATE", false},
		{"WAIT", false},  {"CHECKSUM", false}, {"FLOWS", true}};
	struct table *t = table_new(cols, sizeof(cols) / sizeof(cols[0]));
	json_t *w;
	size_t i;

	json_array_foreach (workers, i, w) {
		table_number(t, w, "id");
		table_number(t, w, "cpu");
		table_number(t, w, "node");
		table_text(t, w, "state");
		table_text(t, w, "wait");
		table_text(t, w, "checksum");
		table_number(t, w, "flows");
	}
	table_end(t);
}

static void print_status(const json_t *st)
{
	print_head(st);
	putchar('\n');
	print_workers(json_object_get(st, "workers"));
	putchar('\n');
	print_ports(json_object_get(st, "ports"));
	if (json_array_size(json_object_get(st, "notes")))
		putchar('\n');
	print_lines(stdout, "note: ", json_object_get(st, "notes"));
}

int verb_status(const struct ctl_options *options, int argc, char **argv)
{
	json_t *st;
	int ret;

	if (argc > 1)
		return ctl_usage("status takes no words, got `%s`", argv[1]);
	ret = call_and_show(options, "status", 0, NULL, &st);
	if (ret)
		return ret;
	if (!options->json)
		print_status(st);
	fflush(stdout);
	if (!member_true(st, "in_force")) {
		print_lines(stderr, "xegressctl: not in force: ", json_object_get(st, "why"));
		ret = XE_CTL_FAILED;
	}
	json_decref(st);
	return ret;
}
