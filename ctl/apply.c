/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * xegressctl apply FILE: make the running configuration that of FILE, changing only the difference.
 *
 * The text is sent, not the name: the service may not see the caller's files, and what was read is
 * what gets applied. "-" is standard input.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "call.h"
#include "member.h"
#include "xegress/ctl_abi.h"

/* Escaped it may grow (`\n` takes two bytes); the service has the last word about the length. */
#define FILE_MAX XE_CTL_REQUEST_MAX

/* The whole file as a JSON string; NULL: *ret, and it was said why. */
static json_t *read_file(const char *name, int *ret)
{
	FILE *f = strcmp(name, "-") ? fopen(name, "re") : stdin;
	char *text = f ? malloc(FILE_MAX + 1) : NULL;
	json_t *content = NULL;
	size_t len;

	*ret = XE_CTL_FAILED;
	if (!text) {
		ctl_failed("%s: %m", name);
		goto out;
	}
	len = fread(text, 1, FILE_MAX + 1, f);
	if (ferror(f))
		ctl_failed("%s: %m", name);
	else if (len > FILE_MAX)
		ctl_failed("%s: longer than %u bytes", name, FILE_MAX);
	else if (memchr(text, '\0', len) || !(content = json_stringn(text, len)))
		ctl_failed("%s: not a text file in UTF-8", name);
out:
	if (f && f != stdin)
		fclose(f);
	free(text);
	return content;
}

static void print_changes(const json_t *result)
{
	json_t *change;
	size_t i;

	json_array_foreach (json_object_get(result, "changes"), i, change)
		printf("%s %s: %s\n", member_text(change, "what"), member_text(change, "change"),
		       member_text(change, "text"));
}

int verb_apply(const struct ctl_options *options, int argc, char **argv)
{
	char *args[1];
	struct call call = {.verb = "apply", .argc = 1, .argv = args};
	json_t *content, *result;
	int ret;

	if (argc != 2)
		return ctl_usage("apply wants one file");
	args[0] = strcmp(argv[1], "-") ? argv[1] : (char *)"stdin";
	content = read_file(argv[1], &ret);
	if (!content)
		return ret;
	call.options = json_pack("{so}", "content", content);
	ret = call_service(options, &call, &result);
	if (!ret && options->json)
		print_json(result);
	else if (!ret)
		print_changes(result);
	fflush(stdout); /* first what was done */
	print_lines(stderr, "xegressctl: warning: ", json_object_get(result, "warnings"));
	json_decref(result);
	return ret;
}
