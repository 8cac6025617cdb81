/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * fuzz_config.c - any bytes as a configuration: refused with one line `FILE:LINE: KEY: message`, or
 * printed as a file that loads to the same; and no warning is more than one line either.
 *
 *   clang -fsanitize=fuzzer,address,undefined ... && ./fuzz_config tests/fuzz/corpus/config
 */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "control/config.h"

static void must(int ok)
{
	if (!ok)
		abort(); /* libFuzzer keeps the input */
}

static void check_line(void *ctx, const char *line)
{
	const char *c;

	(void)ctx;
	for (c = line; *c; c++)
		must(!iscntrl((unsigned char)*c));
	must(!strncmp(line, "F:", 2));
	c = line + 2 + strspn(line + 2, "0123456789");
	must(c > line + 2 && !strncmp(c, ": ", 2));
	must(strstr(c + 2, ": ") != NULL);
}

static char *print(const struct xe_config *config)
{
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	must(f && !xe_config_print(config, f));
	fclose(f);
	return text;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct xe_config *config, *again, *dup;
	char err[512] = "", *a, *b, *c;

	if (xe_config_parse("F", (const char *)bytes, len, &config, check_line, NULL, err,
			    sizeof(err))) {
		check_line(NULL, err);
		return 0;
	}
	a = print(config);
	must(!xe_config_parse("F", a, strlen(a), &again, check_line, NULL, err, sizeof(err)));
	b = print(again);
	must(!strcmp(a, b));
	dup = xe_config_dup(config);
	must(dup != NULL);
	xe_config_free(config);
	c = print(dup);
	must(!strcmp(a, c));
	xe_config_free(dup);
	xe_config_free(again);
	free(a);
	free(b);
	free(c);
	return 0;
}
