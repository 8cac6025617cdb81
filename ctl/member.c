/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "member.h"

#include <stdlib.h>
#include <string.h>

const char *member_text(const json_t *object, const char *name)
{
	const char *text = json_string_value(json_object_get(object, name));

	return text ? text : "-";
}

json_int_t member_number(const json_t *object, const char *name)
{
	return json_integer_value(json_object_get(object, name));
}

bool member_true(const json_t *object, const char *name)
{
	return json_is_true(json_object_get(object, name));
}

bool member_is_null(const json_t *object, const char *name)
{
	const json_t *value = json_object_get(object, name);

	return !value || json_is_null(value);
}

const char *duration(json_int_t ms, char buf[AMOUNT_SIZE])
{
	json_int_t s = ms / 1000;

	if (ms < 1000)
		snprintf(buf, AMOUNT_SIZE, "%lldms", ms);
	else if (s < 60)
		snprintf(buf, AMOUNT_SIZE, "%llds", s);
	else if (s < 3600)
		snprintf(buf, AMOUNT_SIZE, "%lldm%02llds", s / 60, s % 60);
	else if (s < 86400)
		snprintf(buf, AMOUNT_SIZE, "%lldh%02lldm", s / 3600, s / 60 % 60);
	else
		snprintf(buf, AMOUNT_SIZE, "%lldd%02lldh", s / 86400, s / 3600 % 24);
	return buf;
}

const char *bytes(json_int_t cnt, char buf[AMOUNT_SIZE])
{
	static const char *const units[] = {"kB", "MB", "GB", "TB", "PB", "EB"};
	double amount = (double)cnt / 1000;
	size_t i = 0;

	if (cnt < 1000) {
		snprintf(buf, AMOUNT_SIZE, "%lldB", cnt);
		return buf;
	}
	while (amount >= 999.95 && i < 5) { /* would be printed as 1000.0 */
		amount /= 1000;
		i++;
	}
	snprintf(buf, AMOUNT_SIZE, "%.1f%s", amount, units[i]);
	return buf;
}

void make_printable(char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < ' ' || *text == 0x7f)
			*text = '?';
}

void print_lines(FILE *to, const char *prefix, const json_t *array)
{
	json_t *line;
	size_t i;

	json_array_foreach (array, i, line) {
		char *text = strdup(json_is_string(line) ? json_string_value(line) : "-");

		if (!text)
			return;
		make_printable(text);
		fprintf(to, "%s%s\n", prefix, text);
		free(text);
	}
}
