/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * config_schema.h - a table of what a YAML file may hold, and the walk that loads it by the table.
 *
 * Control thread only. Why not libcyaml: it loads by a table too, but drops the line numbers when
 * it is done, and what is found wrong later (a rule, a name, a range) must name line and key as
 * well. libyaml's document keeps the line of every node, and the table is small.
 */
#ifndef XE_CONFIG_SCHEMA_H
#define XE_CONFIG_SCHEMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <yaml.h>

#include "control/config.h"

/* The walk: where it is and where it reports to. */
struct xe_walk {
	const char *file; /* name for messages */
	yaml_document_t *doc;
	xe_config_warn_fn warn;
	void *warn_ctx;
	char *err;
	size_t err_size;
	char path[128];    /* of the node at hand, such as `ports[1].allow[0]` */
	int line;          /* of the node at hand */
	uint32_t elem_idx; /* of the element of a list at hand */
};

enum xe_field_kind {
	XE_FIELD_MAP,     /* a mapping; its fields fill `offset` onward */
	XE_FIELD_LIST,    /* a sequence */
	XE_FIELD_WORD,    /* one of `words`, stored as its index in an enum */
	XE_FIELD_COUNT,   /* uint32_t, min to max */
	XE_FIELD_SECONDS, /* uint32_t, min to max, written as a duration */
	XE_FIELD_TEXT,    /* a scalar that `text` parses */
};

struct xe_list;

struct xe_field {
	const char *key; /* NULL in an element of a list */
	enum xe_field_kind kind;
	bool required;
	size_t offset;                 /* where it goes, in the structure its mapping fills */
	size_t line_at;                /* offset of an int that takes its line, 0: none */
	const struct xe_field *fields; /* MAP; ends in a field without a key */
	const struct xe_list *list;    /* LIST */
	const char *const *words;      /* WORD; ends in NULL */
	uint32_t min, max;             /* COUNT, SECONDS */
	uint32_t advised_min;          /* less than this is a warning ... */
	const char *advised_by;        /* ... because of this source */
	const char *wants;             /* TEXT, LIST: for "expected ..." */
	/* TEXT: 0 or the result of xe_walk_fail(). dst is at `offset`, text is valid UTF-8 without
	 * NUL and not empty. */
	int (*text)(struct xe_walk *w, const char *text, void *dst);
};

struct xe_list {
	struct xe_field elem;
	size_t elem_size;
	size_t cnt_offset; /* of a uint32_t, in the structure that holds the list */
	uint32_t max;
	bool in_place;    /* an array of `max` in the structure; else a pointer, allocated here */
	bool some_needed; /* an empty list is an error */
};

/* Load the document's root by `root` into `out`. Returns 0, -EINVAL with w->err, or -ENOMEM. Lists
 * already allocated in `out` stay its owner's to free, also on error. */
int xe_walk_load(struct xe_walk *w, const struct xe_field *root, void *out);

/* `FILE:LINE: KEY: message` of the node at hand. fail returns -EINVAL. */
int __attribute__((format(printf, 2, 3))) xe_walk_fail(struct xe_walk *w, const char *fmt, ...);
void __attribute__((format(printf, 2, 3))) xe_walk_warn(struct xe_walk *w, const char *fmt, ...);

/* Format one line and make it one: control characters become `?`. */
void __attribute__((format(printf, 5, 0)))
xe_config_line(char *buf, size_t size, const char *file, int line, const char *fmt, const char *key,
	       va_list ap);

#endif
