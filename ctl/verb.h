/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * verb.h - what main.c and the verbs share.
 *
 * A verb gets the words after its name, returns the exit code (0 done, 1 failed, 2 usage) and has
 * said on stderr why, where it is not 0.
 */
#ifndef XE_CTL_TOOL_VERB_H
#define XE_CTL_TOOL_VERB_H

#include <stdbool.h>

struct ctl_options {
	const char *run_dir;
	bool json;
	bool explain;
	bool sync;
};

struct ctl_verb {
	const char *name; /* first word */
	int (*run)(const struct ctl_options *options, int argc, char **argv);
	bool json;         /* takes --json */
	bool explain;      /* takes --explain */
	bool sync;         /* takes --sync */
	const char *usage; /* one line a form, each with its newline */
};

int verb_status(const struct ctl_options *options, int argc, char **argv);
int verb_port(const struct ctl_options *options, int argc, char **argv);
int verb_rule(const struct ctl_options *options, int argc, char **argv);
int verb_apply(const struct ctl_options *options, int argc, char **argv);
int verb_config(const struct ctl_options *options, int argc, char **argv);
int verb_flow(const struct ctl_options *options, int argc, char **argv);
int verb_drops(const struct ctl_options *options, int argc, char **argv);
int verb_stats(const struct ctl_options *options, int argc, char **argv);
int verb_check(const struct ctl_options *options, int argc, char **argv);
int verb_explain(const struct ctl_options *options, int argc, char **argv);
int verb_state(const struct ctl_options *options, int argc, char **argv);
int verb_later(const struct ctl_options *options, int argc, char **argv);

/* "xegressctl: ..." on stderr. The first returns 1, the second, which points at --help, 2. */
int ctl_failed(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
int ctl_usage(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
