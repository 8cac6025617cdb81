/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * xegressctl - looks at and changes a running xegressd.
 *
 * Options may stand before or after the verb. No verb is `status`. Each verb has a file of its own;
 * call.c talks to the service (protocol: xegress/ctl_abi.h).
 */
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "verb.h"
#include "xegress/ctl_abi.h"

#ifndef XE_VERSION
#define XE_VERSION "(built without a version)"
#endif

static const struct ctl_verb verbs[] = {
	{"status", verb_status, true, false, false, "status\n"},
	{"port", verb_port, true, false, false,
	 "port [list]\n"
	 "port add NAME inside|uplink [allow PREFIX,...] [xdp auto|native|generic]"
	 " [coalesce auto|on|off]\n"
	 "port del NAME\n"},
	{"rule", verb_rule, true, false, false,
	 "rule [list]\n"
	 "rule add [at NUMBER] RULE...\n"
	 "rule del NUMBER | RULE...\n"},
	{"apply", verb_apply, true, false, false, "apply FILE\n"},
	{"config", verb_config, true, false, false, "config\n"},
	{"flow", verb_flow, true, false, false,
	 "flow [list] [FILTER]\n"
	 "flow count [FILTER]\n"
	 "flow flush [FILTER]\n"},
	{"drops", verb_drops, true, true, false, "drops [--explain]\n"},
	{"stats", verb_stats, true, false, false, "stats\n"},
	{"check", verb_check, true, false, false, "check\n"},
	{"explain", verb_explain, true, false, false,
	 "explain tcp|udp SOURCE:L4 DESTINATION:L4 [in PORT] [fragment]\n"},
	{"state", verb_state, true, false, true,
	 "state export FILE\n"
	 "state import [--sync] FILE\n"},
	{"capture", verb_later, false, false, false, NULL},
	{"top", verb_later, false, false, false, NULL},
};
#define VERB_CNT (sizeof(verbs) / sizeof(verbs[0]))

int ctl_failed(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fprintf(stderr, "xegressctl: ");
	vfprintf(stderr, fmt, ap);
	fprintf(stderr, "\n");
	va_end(ap);
	return XE_CTL_FAILED;
}

int ctl_usage(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fprintf(stderr, "xegressctl: ");
	vfprintf(stderr, fmt, ap);
	fprintf(stderr, " (see xegressctl --help)\n");
	va_end(ap);
	return XE_CTL_USAGE;
}

static void print_forms(const char *usage)
{
	while (*usage) {
		int len = (int)strcspn(usage, "\n");

		printf("  xegressctl %.*s\n", len, usage);
		usage += len + 1;
	}
}

static int print_help(const struct ctl_verb *only)
{
	printf("Usage: xegressctl [--run-dir DIR] [--json] [VERB ...]\n\n");
	for (size_t i = 0; i < VERB_CNT; i++)
		if (verbs[i].usage && (!only || only == &verbs[i]))
			print_forms(verbs[i].usage);
	printf("\n"
	       "  --run-dir DIR  the service's run directory (default " XE_CTL_RUN_DIR ")\n"
	       "  --json         print the answer as JSON\n"
	       "  --help         this text, or a verb's part of it\n"
	       "  --version      print the version\n\n"
	       "FILTER: [tcp|udp] [from PREFIX] [to PREFIX] [port NAME]\n"
	       "RULE: as in the configuration file, see xegressctl(8)\n");
	return 0;
}

static const struct ctl_verb *find_verb(const char *name)
{
	for (size_t i = 0; i < VERB_CNT; i++)
		if (!strcmp(verbs[i].name, name))
			return &verbs[i];
	return NULL;
}

static int run_verb(const struct ctl_verb *verb, const struct ctl_options *o, int argc, char **argv)
{
	int ret;

	if (o->json && !verb->json)
		return ctl_usage("%s has no --json", verb->name);
	if (o->explain && !verb->explain)
		return ctl_usage("%s has no --explain", verb->name);
	if (o->sync && !verb->sync)
		return ctl_usage("%s has no --sync", verb->name);
	ret = verb->run(o, argc, argv);
	/* What could not be written (a full disk) was not done. */
	if (fflush(stdout) || ferror(stdout))
		return ctl_failed("standard output: %m");
	return ret;
}

int main(int argc, char **argv)
{
	static const struct option longs[] = {
		{"run-dir", required_argument, NULL, 'r'},
		{"json", no_argument, NULL, 'j'},
		{"explain", no_argument, NULL, 'e'},
		{"sync", no_argument, NULL, 's'},
		{"help", no_argument, NULL, 'h'},
		{"version", no_argument, NULL, 'V'},
		{NULL, 0, NULL, 0},
	};
	struct ctl_options o = {.run_dir = XE_CTL_RUN_DIR};
	const struct ctl_verb *verb = &verbs[0];
	bool help = false;
	int c;

	while ((c = getopt_long(argc, argv, "hV", longs, NULL)) != -1) {
		if (c == 'r')
			o.run_dir = optarg;
		else if (c == 'j')
			o.json = true;
		else if (c == 'e')
			o.explain = true;
		else if (c == 's')
			o.sync = true;
		else if (c == 'h')
			help = true;
		else if (c == 'V')
			return printf("xegressctl %s\n", XE_VERSION) < 0;
		else
			return XE_CTL_USAGE; /* getopt has said it */
	}
	if (optind < argc) {
		verb = find_verb(argv[optind]);
		if (!verb)
			return ctl_usage("unknown verb `%s`", argv[optind]);
	}
	if (help)
		return print_help(optind < argc && verb->usage ? verb : NULL);
	return run_verb(verb, &o, argc - optind, argv + optind);
}
