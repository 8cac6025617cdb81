/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "cpulist.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A CPU's number at *text; -EINVAL, -ERANGE. */
static int number(const char **text)
{
	char *end;
	long n;

	if (!isdigit((unsigned char)**text))
		return -EINVAL;
	errno = 0;
	n = strtol(*text, &end, 10);
	if (errno || n >= TUNE_CPU_MAX)
		return -ERANGE;
	*text = end;
	return (int)n;
}

int tune_cpus_from_list(struct tune_cpus *cpus, const char *text)
{
	memset(cpus, 0, sizeof(*cpus));
	while (*text && *text != '\n') {
		int from = number(&text), to = from;

		if (from >= 0 && *text == '-') {
			text++;
			to = number(&text);
		}
		if (from < 0 || to < 0)
			return from < 0 ? from : to;
		if (to < from || (*text && *text != ',' && *text != '\n'))
			return -EINVAL;
		memset(cpus->is + from, 1, (size_t)(to - from + 1));
		if (*text == ',' && !isdigit((unsigned char)*++text))
			return -EINVAL;
	}
	return 0;
}

static int hex(char c)
{
	return isdigit((unsigned char)c) ? c - '0' : tolower((unsigned char)c) - 'a' + 10;
}

/* Read from the right: the last digit is CPUs 0 to 3, and commas part groups of eight. */
int tune_cpus_from_mask(struct tune_cpus *cpus, const char *text)
{
	size_t len = strcspn(text, "\n");
	unsigned int cpu = 0;

	memset(cpus, 0, sizeof(*cpus));
	while (len--) {
		if (text[len] == ',')
			continue;
		if (!isxdigit((unsigned char)text[len]))
			return -EINVAL;
		for (int bit = 0; bit < 4; bit++, cpu++) {
			if (!(hex(text[len]) >> bit & 1))
				continue;
			if (cpu >= TUNE_CPU_MAX)
				return -ERANGE;
			cpus->is[cpu] = 1;
		}
	}
	return 0;
}

void tune_cpus_to_list(const struct tune_cpus *cpus, char *text, size_t size)
{
	size_t len = 0;

	text[0] = '\0';
	for (int from = 0; from < TUNE_CPU_MAX; from++) {
		int to = from;

		if (!cpus->is[from])
			continue;
		while (to + 1 < TUNE_CPU_MAX && cpus->is[to + 1])
			to++;
		if (len < size)
			len += (size_t)snprintf(text + len, size - len, "%s%d", len ? "," : "",
						from);
		if (to > from && len < size)
			len += (size_t)snprintf(text + len, size - len, "-%d", to);
		from = to;
	}
}

void tune_cpus_to_mask(const struct tune_cpus *cpus, char *text, size_t size)
{
	int digit = TUNE_CPU_MAX / 4 - 1;
	size_t len = 0;

	while (digit > 0 && !memchr(cpus->is + digit * 4, 1, 4))
		digit--;
	for (; digit >= 0 && len + 2 < size; digit--) {
		const unsigned char *is = cpus->is + digit * 4;

		text[len++] = "0123456789abcdef"[is[0] | is[1] << 1 | is[2] << 2 | is[3] << 3];
		if (digit && digit % 8 == 0)
			text[len++] = ',';
	}
	text[len] = '\0';
}

unsigned int tune_cpus_cnt(const struct tune_cpus *cpus)
{
	unsigned int cnt = 0;

	for (int cpu = 0; cpu < TUNE_CPU_MAX; cpu++)
		cnt += cpus->is[cpu];
	return cnt;
}

bool tune_cpus_within(const struct tune_cpus *some, const struct tune_cpus *all)
{
	for (int cpu = 0; cpu < TUNE_CPU_MAX; cpu++)
		if (some->is[cpu] && !all->is[cpu])
			return false;
	return true;
}
