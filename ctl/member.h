/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * member.h - members of an answer as people read them. An older service may leave some out, so
 * all of these have an answer for a member that is not there.
 */
#ifndef XE_CTL_TOOL_MEMBER_H
#define XE_CTL_TOOL_MEMBER_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* Room for any of the amounts below. */
#define AMOUNT_SIZE 32

const char *member_text(const json_t *object, const char *name);  /* or "-" */
json_int_t member_number(const json_t *object, const char *name); /* or 0 */
bool member_true(const json_t *object, const char *name);         /* or false */
bool member_is_null(const json_t *object, const char *name);      /* or not there */

/* "350ms", "12s", "3m20s", "5h04m", "12d03h" */
const char *duration(json_int_t ms, char buf[AMOUNT_SIZE]);
/* "999B", "1.2kB", "34.0GB": powers of 1000, as for line rates */
const char *bytes(json_int_t cnt, char buf[AMOUNT_SIZE]);

/* Names of interfaces and quoted words may hold anything: what would steer a terminal becomes '?'.
 */
void make_printable(char *text);
/* Each string of the array as a line of its own: `prefix`, the text. */
void print_lines(FILE *to, const char *prefix, const json_t *array);

#endif
