/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * table.h - aligned columns on standard output, also for a million rows.
 *
 * The first rows are kept until they tell the widths of the columns; from then on each row is
 * printed as it is filled, and a cell wider than its column pushes the rest of its line.
 */
#ifndef XE_CTL_TOOL_TABLE_H
#define XE_CTL_TOOL_TABLE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

struct table;

struct table_col {
	const char *head;
	bool right; /* numbers */
};

/* `cols` stays the caller's and must outlive the table. Ends the program when there is no memory.
 */
struct table *table_new(const struct table_col *cols, size_t col_cnt);
/* Fill the next cell; the last one of a row ends it. */
void table_cell(struct table *table, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* The same from a member of an object; "-" where it is null or missing. */
void table_text(struct table *table, const json_t *object, const char *member);
void table_number(struct table *table, const json_t *object, const char *member);
/* Print what is kept, and free. A table without rows prints nothing. */
void table_end(struct table *table);

#endif
