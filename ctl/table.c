/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "table.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "member.h"

/* Rows that decide the widths: more than a screen, and their cells are soon here. */
#define KEPT_ROWS 256
/* Between two columns. */
#define GAP 2

struct table {
	const struct table_col *cols;
	size_t col_cnt;
	size_t *widths;
	char **cells; /* KEPT_ROWS * col_cnt; the row being filled is the last begun */
	size_t cell_cnt;
	bool streaming; /* widths are decided, the head is printed */
};

static void *must(void *p)
{
	if (p)
		return p;
	fprintf(stderr, "xegressctl: no memory\n");
	exit(1);
}

struct table *table_new(const struct table_col *cols, size_t col_cnt)
{
	struct table *table = must(calloc(1, sizeof(*table)));

	table->cols = cols;
	table->col_cnt = col_cnt;
	table->widths = must(calloc(col_cnt, sizeof(*table->widths)));
	table->cells = must(calloc(KEPT_ROWS * col_cnt, sizeof(*table->cells)));
	for (size_t i = 0; i < col_cnt; i++)
		table->widths[i] = strlen(cols[i].head);
	return table;
}

static void print_row(const struct table *table, char *const *cells)
{
	for (size_t i = 0; i < table->col_cnt; i++) {
		const char *text = cells ? cells[i] : table->cols[i].head;
		int width = (int)table->widths[i];
		bool last = i + 1 == table->col_cnt;

		if (table->cols[i].right)
			printf("%*s", width, text);
		else
			printf("%-*s", last ? 0 : width, text);
		printf("%*s", last ? 0 : GAP, "");
	}
	putchar('\n');
}

/* Print the rows that are complete. */
static void print_kept(struct table *table)
{
	size_t row_cnt = table->cell_cnt / table->col_cnt;

	if (!table->streaming && row_cnt)
		print_row(table, NULL);
	table->streaming = true;
	for (size_t row = 0; row < row_cnt; row++)
		print_row(table, table->cells + row * table->col_cnt);
	for (size_t i = 0; i < table->cell_cnt; i++)
		free(table->cells[i]);
	table->cell_cnt = 0;
}

void table_cell(struct table *table, const char *fmt, ...)
{
	size_t col = table->cell_cnt % table->col_cnt, width;
	char *text;
	va_list ap;

	va_start(ap, fmt);
	if (vasprintf(&text, fmt, ap) < 0)
		text = NULL;
	va_end(ap);
	must(text);
	make_printable(text);
	width = strlen(text);
	if (!table->streaming && width > table->widths[col])
		table->widths[col] = width;
	table->cells[table->cell_cnt++] = text;
	if (col + 1 == table->col_cnt &&
	    (table->streaming || table->cell_cnt == KEPT_ROWS * table->col_cnt))
		print_kept(table);
}

void table_text(struct table *table, const json_t *object, const char *member)
{
	table_cell(table, "%s", member_text(object, member));
}

void table_number(struct table *table, const json_t *object, const char *member)
{
	if (json_is_integer(json_object_get(object, member)))
		table_cell(table, "%lld", member_number(object, member));
	else
		table_cell(table, "-");
}

void table_end(struct table *table)
{
	print_kept(table);
	free(table->cells);
	free(table->widths);
	free(table);
}
