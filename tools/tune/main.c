/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * xegress-tune - looks at and changes those settings of the host that matter to xegressd.
 *
 * A stage (stage_*.c) looks after one setting and says what it finds; change.c carries out what can
 * be, with a record (record.c) that undo goes back by. check and explain write nothing.
 */
#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "change.h"
#include "hostfile.h"
#include "show.h"
#include "tune.h"
#include "xegress/ctl_abi.h"

#ifndef XE_VERSION
#define XE_VERSION "(built without a version)"
#endif

enum { EXIT_DONE = 0, EXIT_LEFT = 1, EXIT_USAGE = 2 };

struct options {
	const char *file, *run_dir, *stage, *root;
	bool json, force;
	struct tune_facts facts; /* what the options ask for; the rest is gathered */
};

static const char usage[] =
	"usage: xegress-tune [OPTION...] check|apply|undo|explain\n"
	"\n"
	"  check    what this host has and what xegressd wants; writes nothing\n"
	"  apply    change what differs; what was found is recorded\n"
	"  undo     put back what apply found\n"
	"  explain  each stage: what, why, when not to\n"
	"\n"
	"  -c, --config FILE  the service's configuration (default: of the running service, else\n"
	"                     /etc/xegress/xegress.yaml)\n"
	"      --stage NAME   only this one\n"
	"      --json         print the answer as JSON\n"
	"      --run-dir DIR  the service's run directory; the record is DIR/tune.json\n"
	"                     (default " XE_CTL_RUN_DIR ")\n"
	"      --force        undo: also what somebody has changed since\n"
	"      --hugepages N  reserve N pages of 2 MiB on each node of a worker\n"
	"      --rps CPUS     RPS of all ports to these CPUs (default: none)\n"
	"      --threaded     threaded NAPI of all ports (default: not)\n"
	"      --root DIR     look at a copy of /proc and /sys below DIR\n"
	"      --version\n"
	"  -h, --help\n";

static int __attribute__((format(printf, 2, 3))) fail(int code, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fputs("xegress-tune: ", stderr);
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
	va_end(ap);
	return code;
}

/* ---- verbs ---- */

static bool is_asked_for(const struct options *o, const struct tune_stage *stage)
{
	return !o->stage || !strcmp(o->stage, stage->name);
}

/* Findings of one stage, from the n-th of the report on. */
static unsigned int run_stage(const struct options *o, const struct tune_stage *stage,
			      struct tune_report *report)
{
	unsigned int first = report->cnt;

	report->stage = stage->name;
	stage->check(&o->facts, report);
	return first;
}

static int check(struct options *o, struct tune_show *show)
{
	struct tune_report report = {};
	int ret = EXIT_DONE;

	for (unsigned int i = 0; i < tune_stage_cnt; i++)
		if (is_asked_for(o, tune_stages[i]))
			tune_show_findings(show, &report, run_stage(o, tune_stages[i], &report));
	for (unsigned int i = 0; i < report.cnt; i++)
		if (report.findings[i].state == TUNE_FINDING)
			ret = EXIT_LEFT;
	if (report.failed)
		ret = fail(EXIT_LEFT, "out of memory");
	tune_report_free(&report);
	return ret;
}

/* What no apply can do (a configuration, a kernel's command line) must be seen here, too. */
static unsigned int show_advice(struct tune_show *show, struct tune_report *report,
				unsigned int first)
{
	unsigned int cnt = 0;

	for (unsigned int i = first; i < report->cnt; i++) {
		struct tune_report one = {.findings = &report->findings[i], .cnt = 1};

		if (one.findings->state != TUNE_FINDING || one.findings->knob[0])
			continue;
		tune_show_findings(show, &one, 0);
		cnt++;
	}
	return cnt;
}

static int apply(struct options *o, struct tune_show *show)
{
	struct tune_report report = {};
	struct tune_outcome out = {};
	struct tune_record record;
	unsigned int advice = 0;
	char err[512];
	int ret;

	ret = tune_record_open(&record, o->run_dir, true, err, sizeof(err));
	if (ret) {
		fail(EXIT_LEFT, "%s", err);
		goto out;
	}
	while (record.other_boot && record.cnt) /* the reboot was its undo */
		tune_record_drop(&record, record.cnt - 1);
	/* Stage by stage: a later one looks at what an earlier one has made. */
	for (unsigned int i = 0; i < tune_stage_cnt && !ret; i++) {
		unsigned int first;

		if (!is_asked_for(o, tune_stages[i]))
			continue;
		first = run_stage(o, tune_stages[i], &report);
		advice += show_advice(show, &report, first);
		ret = report.failed ? -ENOMEM
				    : tune_apply_stage(&report, first, &o->facts, &record,
						       tune_show_change, show, &out);
	}
	if (ret)
		fail(EXIT_LEFT, "%s: %s: nothing more was changed", record.path, strerror(-ret));
	if (!show->changes)
		printf("%u changed, %u could not be, %u are for you\n", out.changed, out.left,
		       advice);
out:
	tune_report_free(&report);
	tune_record_close(&record);
	return ret || out.left ? EXIT_LEFT : EXIT_DONE;
}

static int undo(struct options *o, struct tune_show *show)
{
	struct tune_outcome out = {};
	struct tune_record record;
	char err[512];
	int ret;

	ret = tune_record_open(&record, o->run_dir, true, err, sizeof(err));
	if (ret) {
		fail(EXIT_LEFT, "%s", err);
		goto out;
	}
	if (record.other_boot) {
		fprintf(stderr,
			"xegress-tune: %s is of an earlier boot: the host has forgotten what "
			"it tells of\n",
			record.path);
		while (record.cnt)
			tune_record_drop(&record, record.cnt - 1);
	}
	ret = tune_undo(&record, o->stage, o->force, tune_show_change, show, &out);
	if (ret)
		fail(EXIT_LEFT, "%s: %s", record.path, strerror(-ret));
	if (!show->changes)
		printf("%u put back, %u left\n", out.changed, out.left);
out:
	tune_record_close(&record);
	return ret || out.left ? EXIT_LEFT : EXIT_DONE;
}

static int explain(struct options *o, struct tune_show *show)
{
	tune_show_stages(show, o->stage);
	return EXIT_DONE;
}

static const struct verb {
	const char *name;
	int (*run)(struct options *o, struct tune_show *show);
	bool facts;                               /* looks at host and configuration */
	const char *json_findings, *json_changes; /* names of its lists, NULL: it has none */
} verbs[] = {
	{"check", check, true, "findings", NULL},
	{"apply", apply, true, "findings", "changes"},
	{"undo", undo, false, NULL, "changes"},
	{"explain", explain, false, "stages", NULL},
};

/* ---- main ---- */

static int run(const struct verb *verb, struct options *o)
{
	struct tune_show show = {.verb = verb->name};
	json_t *root = o->json ? json_object() : NULL;
	char err[512] = "";
	int ret = EXIT_LEFT;

	if (o->json && verb->json_findings)
		json_object_set_new(root, verb->json_findings, show.findings = json_array());
	if (o->json && verb->json_changes)
		json_object_set_new(root, verb->json_changes, show.changes = json_array());
	tune_files_root(o->root ? o->root : "");
	if (verb->run != explain && tune_sysfs_enter())
		fprintf(stderr, "xegress-tune: /sys shows another network namespace, and this user "
				"may not mount its own: parts of the ports are not looked at\n");
	if (verb->facts && tune_facts_gather(&o->facts, o->file, o->run_dir, err, sizeof(err))) {
		ret = fail(EXIT_LEFT, "%s", err);
		goto out;
	}
	ret = verb->run(o, &show);
	if (root) {
		json_object_set_new(root, "ok", json_boolean(ret == EXIT_DONE));
		json_dumpf(root, stdout, JSON_INDENT(2));
		putchar('\n');
	}
	if (fflush(stdout) || ferror(stdout))
		ret = fail(EXIT_LEFT, "standard output: %m");
out:
	json_decref(root);
	tune_facts_free(&o->facts);
	return ret;
}

/* Of the tools' words into the kernel's: "1,3" is the mask a. */
static const char *rps_mask(const char *list)
{
	static char mask[TUNE_CPU_TEXT_SIZE];
	static struct tune_cpus cpus;

	if (tune_cpus_from_list(&cpus, list) || !tune_cpus_cnt(&cpus))
		return NULL;
	tune_cpus_to_mask(&cpus, mask, sizeof(mask));
	return mask;
}

static bool stage_exists(const char *name)
{
	for (unsigned int i = 0; i < tune_stage_cnt; i++)
		if (!strcmp(tune_stages[i]->name, name))
			return true;
	return false;
}

/* Negative: go on; else the exit code. */
static int take_option(struct options *o, int c)
{
	char *end;

	switch (c) {
	case 'c':
		o->file = optarg;
		return -1;
	case 's':
		o->stage = optarg;
		return stage_exists(optarg) ? -1 : fail(EXIT_USAGE, "no stage `%s`", optarg);
	case 'j':
		o->json = true;
		return -1;
	case 'r':
		o->run_dir = optarg;
		return -1;
	case 'f':
		o->force = true;
		return -1;
	case 'H':
		o->facts.hugepages = (unsigned int)strtoul(optarg, &end, 10);
		return *optarg >= '0' && *optarg <= '9' && !*end && o->facts.hugepages <= 1u << 24
			       ? -1
			       : fail(EXIT_USAGE, "--hugepages: expected a number, got `%s`",
				      optarg);
	case 'R':
		o->facts.rps = rps_mask(optarg);
		return o->facts.rps ? -1
				    : fail(EXIT_USAGE, "--rps: expected CPUs such as 1,3, got `%s`",
					   optarg);
	case 't':
		o->facts.threaded = true;
		return -1;
	case 'o':
		o->root = optarg;
		return -1;
	case 'V':
		puts("xegress-tune " XE_VERSION);
		return EXIT_DONE;
	case 'h':
		fputs(usage, stdout);
		return EXIT_DONE;
	default:
		fputs(usage, stderr);
		return EXIT_USAGE;
	}
}

int main(int argc, char **argv)
{
	static const struct option longs[] = {
		{"config", required_argument, NULL, 'c'},
		{"stage", required_argument, NULL, 's'},
		{"json", no_argument, NULL, 'j'},
		{"run-dir", required_argument, NULL, 'r'},
		{"force", no_argument, NULL, 'f'},
		{"hugepages", required_argument, NULL, 'H'},
		{"rps", required_argument, NULL, 'R'},
		{"threaded", no_argument, NULL, 't'},
		{"root", required_argument, NULL, 'o'},
		{"version", no_argument, NULL, 'V'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	static struct options o = {.run_dir = XE_CTL_RUN_DIR};
	int c, ret;

	while ((c = getopt_long(argc, argv, "c:h", longs, NULL)) != -1) {
		ret = take_option(&o, c);
		if (ret >= 0)
			return ret;
	}
	if (argc - optind != 1) {
		fputs(usage, stderr);
		return EXIT_USAGE;
	}
	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++)
		if (!strcmp(verbs[i].name, argv[optind]))
			return run(&verbs[i], &o);
	return fail(EXIT_USAGE, "unknown verb `%s` (check, apply, undo, explain)", argv[optind]);
}
