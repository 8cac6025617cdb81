/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * call.h - one question to the service and its answer.
 */
#ifndef XE_CTL_TOOL_CALL_H
#define XE_CTL_TOOL_CALL_H

#include <jansson.h>

#include "verb.h"

struct call {
	const char *verb; /* "port add" */
	int argc;
	char **argv;
	json_t *options; /* stolen; NULL: none */
	bool passes_fd;  /* `fd` goes along with the request; it stays the caller's */
	int fd;
	/* For verbs that stream: called for each part, NULL: parts are not expected. Returns 0, or
	 * an exit code that ends the call. */
	int (*part)(void *arg, json_t *part);
	void *arg;
};

/* Ask and wait. Returns 0 and the result (the caller's), or the exit code after saying on stderr
 * why: the service does not run, refused, went silent. */
int call_service(const struct ctl_options *options, struct call *call, json_t **result);

/* The same for a verb without parts; with --json the result is printed, too. */
int call_and_show(const struct ctl_options *options, const char *verb, int argc, char **argv,
		  json_t **result);

/* A verb that streams, with --json: one object, the parts in an array `name` that is printed while
 * it arrives, then the members of the result. */
int call_and_print_stream(const struct ctl_options *options, const char *verb, const char *name,
			  int argc, char **argv);

/* A result as --json prints it. */
void print_json(const json_t *json);

#endif
