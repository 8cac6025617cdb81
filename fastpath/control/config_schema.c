/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * config_schema.c - the walk over a YAML document, led by a table of fields.
 *
 * The depth of the walk is the depth of the tables, whatever the file nests or refers to (an
 * alias in YAML may even refer to what it stands in), and every list has a maximum.
 */
#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "control/config_schema.h"

/* Long enough for every message of this program; a longer one (a long unknown word) is cut. */
#define LINE_SIZE 512
/* What is shown of a word of the file in a message. */
#define SHOWN "60"

void xe_config_line(char *buf, size_t size, const char *file, int line, const char *fmt,
		    const char *key, va_list ap)
{
	int n = 0;

	if (!size)
		return;
	if (line >= 0)
		n = snprintf(buf, size, "%s:%d: ", file, line);
	if ((size_t)n < size)
		n += snprintf(buf + n, size - (size_t)n, "%s: ", key);
	if ((size_t)n < size)
		vsnprintf(buf + n, size - (size_t)n, fmt, ap);
	for (; *buf; buf++)
		if (iscntrl((unsigned char)*buf))
			*buf = '?';
}

int xe_walk_fail(struct xe_walk *w, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	xe_config_line(w->err, w->err_size, w->file, w->line, fmt, w->path[0] ? w->path : "file",
		       ap);
	va_end(ap);
	return -EINVAL;
}

void xe_walk_warn(struct xe_walk *w, const char *fmt, ...)
{
	char line[LINE_SIZE];
	va_list ap;

	if (!w->warn)
		return;
	va_start(ap, fmt);
	xe_config_line(line, sizeof(line), w->file, w->line, fmt, w->path[0] ? w->path : "file",
		       ap);
	va_end(ap);
	w->warn(w->warn_ctx, line);
}

static int load_value(struct xe_walk *w, const struct xe_field *f, yaml_node_t *node, void *base);

static void set_line(struct xe_walk *w, const yaml_node_t *node)
{
	w->line = (int)node->start_mark.line + 1;
}

static const char *node_kind(const yaml_node_t *node)
{
	switch (node->type) {
	case YAML_MAPPING_NODE:
		return "a mapping";
	case YAML_SEQUENCE_NODE:
		return "a list";
	case YAML_SCALAR_NODE:
		return node->data.scalar.length ? "a single value" : "nothing";
	default:
		return "nothing";
	}
}

/* The text of a scalar, or NULL when the node is none, is empty or holds a NUL. */
static const char *scalar(const yaml_node_t *node)
{
	const char *text = (const char *)node->data.scalar.value;

	if (node->type != YAML_SCALAR_NODE || !node->data.scalar.length ||
	    strlen(text) != node->data.scalar.length)
		return NULL;
	return text;
}

/* Append to the path; returns the length before, to cut it back to. */
static size_t __attribute__((format(printf, 2, 3))) push(struct xe_walk *w, const char *fmt, ...)
{
	size_t n = strlen(w->path);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(w->path + n, sizeof(w->path) - n, fmt, ap);
	va_end(ap);
	return n;
}

static void list_keys(const struct xe_field *fields, char *buf, size_t size)
{
	size_t n = 0;

	for (buf[0] = '\0'; fields->key && n < size; fields++)
		n += (size_t)snprintf(buf + n, size - n, "%s%s", fields->key,
				      !fields[1].key  ? ""
				      : fields[2].key ? ", "
						      : " or ");
}

static void list_words(const char *const *words, char *buf, size_t size)
{
	size_t n = 0;

	for (buf[0] = '\0'; *words && n < size; words++)
		n += (size_t)snprintf(buf + n, size - n, "%s%s", *words,
				      !words[1]  ? ""
				      : words[2] ? ", "
						 : " or ");
}

/* Which field is this key? Its index, or -EINVAL: no scalar, unknown, or there already. */
static int find_field(struct xe_walk *w, const struct xe_field *fields, const yaml_node_t *key,
		      uint32_t seen)
{
	const char *text = scalar(key);
	char keys[256];
	int n;

	set_line(w, key);
	list_keys(fields, keys, sizeof(keys));
	if (!text)
		return xe_walk_fail(w, "expected a key (%s), got %s", keys, node_kind(key));
	push(w, "%s%." SHOWN "s", w->path[0] ? "." : "", text);
	for (n = 0; fields[n].key && strcmp(fields[n].key, text); n++)
		;
	if (!fields[n].key)
		return xe_walk_fail(w, "unknown key, expected %s", keys);
	if (seen >> n & 1)
		return xe_walk_fail(w, "duplicate key, expected it once");
	return n;
}

static int load_pairs(struct xe_walk *w, const struct xe_field *fields, yaml_node_t *node,
		      void *base, uint32_t *seen)
{
	size_t cut = strlen(w->path);

	for (yaml_node_pair_t *p = node->data.mapping.pairs.start; p < node->data.mapping.pairs.top;
	     p++) {
		yaml_node_t *key = yaml_document_get_node(w->doc, p->key);
		yaml_node_t *value = yaml_document_get_node(w->doc, p->value);
		int n = find_field(w, fields, key, *seen);

		if (n < 0)
			return n;
		*seen |= 1u << n;
		/* An empty value has no place of its own: libyaml gives it the next token's. */
		if (value->type == YAML_SCALAR_NODE && !value->data.scalar.length)
			value->start_mark = key->start_mark;
		n = load_value(w, &fields[n], value, base);
		if (n)
			return n;
		w->path[cut] = '\0';
	}
	return 0;
}

static int load_map(struct xe_walk *w, const struct xe_field *f, yaml_node_t *node, void *base)
{
	char keys[256];
	uint32_t seen = 0;
	int ret;

	if (node->type != YAML_MAPPING_NODE) {
		list_keys(f->fields, keys, sizeof(keys));
		return xe_walk_fail(w, "expected a mapping with the keys %s, got %s", keys,
				    node_kind(node));
	}
	ret = load_pairs(w, f->fields, node, (char *)base + f->offset, &seen);
	for (int n = 0; !ret && f->fields[n].key; n++) {
		if (!f->fields[n].required || seen >> n & 1)
			continue;
		set_line(w, node);
		push(w, "%s%s", w->path[0] ? "." : "", f->fields[n].key);
		ret = xe_walk_fail(w, "missing key, expected it beside the others");
	}
	return ret;
}

/* Elements loaded so far are counted in *cnt as they come, so that their owner can free them. */
static int load_list(struct xe_walk *w, const struct xe_field *f, yaml_node_t *node, void *base)
{
	const struct xe_list *l = f->list;
	uint32_t *cnt = (uint32_t *)((char *)base + l->cnt_offset);
	size_t cut = strlen(w->path), len;
	char *array = (char *)base + f->offset;
	int ret = 0;

	if (node->type != YAML_SEQUENCE_NODE)
		return xe_walk_fail(w, "expected %s, got %s", f->wants, node_kind(node));
	len = (size_t)(node->data.sequence.items.top - node->data.sequence.items.start);
	if (len > l->max)
		return xe_walk_fail(w, "%zu entries, expected at most %u", len, l->max);
	if (!len && l->some_needed)
		return xe_walk_fail(w, "empty list, expected %s", f->wants);
	if (!l->in_place) {
		char *elems = calloc(len ? len : 1, l->elem_size);

		if (!elems)
			return -ENOMEM;
		memcpy(array, &elems, sizeof(elems));
		array = elems;
	}
	for (size_t i = 0; !ret && i < len; i++) {
		push(w, "[%zu]", i);
		(*cnt)++;
		w->elem_idx = (uint32_t)i;
		ret = load_value(w, &l->elem,
				 yaml_document_get_node(w->doc, node->data.sequence.items.start[i]),
				 array + i * l->elem_size);
		if (!ret)
			w->path[cut] = '\0';
	}
	return ret;
}

static int load_word(struct xe_walk *w, const struct xe_field *f, const char *text, void *dst)
{
	unsigned int n;
	char words[128];

	_Static_assert(sizeof(enum xe_wait) == sizeof(n), "an enum is not an int");
	for (n = 0; f->words[n] && strcmp(f->words[n], text); n++)
		;
	if (!f->words[n]) {
		list_words(f->words, words, sizeof(words));
		return xe_walk_fail(w, "unknown word `%." SHOWN "s`, expected %s", text, words);
	}
	memcpy(dst, &n, sizeof(n));
	return 0;
}

/* Digits from *text on; false when there are none or more than 10^10 of what they count. */
static bool parse_digits(const char **text, uint64_t *n)
{
	const char *start = *text;

	for (*n = 0; isdigit((unsigned char)**text); (*text)++) {
		if (*text - start >= 10)
			return false;
		*n = *n * 10 + (uint64_t)(**text - '0');
	}
	return *text > start;
}

static int load_count(struct xe_walk *w, const struct xe_field *f, const char *text, void *dst)
{
	const char *end = text;
	uint32_t value;
	uint64_t n;

	if (!parse_digits(&end, &n) || *end || n < f->min || n > f->max)
		return xe_walk_fail(w, "expected a whole number in %u-%u, got `%." SHOWN "s`",
				    f->min, f->max, text);
	value = (uint32_t)n;
	memcpy(dst, &value, sizeof(value));
	return 0;
}

/* Seconds of one unit, 0: no unit. */
static uint32_t unit_s(const char *unit)
{
	if (!*unit || unit[1])
		return 0;
	return *unit == 's' ? 1 : *unit == 'm' ? 60 : *unit == 'h' ? 3600 : 0;
}

static int load_seconds(struct xe_walk *w, const struct xe_field *f, const char *text, void *dst)
{
	const char *end = text;
	uint32_t value;
	uint64_t n;

	if (!parse_digits(&end, &n) || !unit_s(end))
		return xe_walk_fail(
			w, "expected a duration such as 300s (units s, m, h), got `%." SHOWN "s`",
			text);
	n *= unit_s(end);
	if (n < f->min || n > f->max)
		return xe_walk_fail(w, "expected a duration in %us-%us, got `%." SHOWN "s`", f->min,
				    f->max, text);
	value = (uint32_t)n;
	memcpy(dst, &value, sizeof(value));
	if (value < f->advised_min)
		xe_walk_warn(w, "%us is less than the %us that %s wants", value, f->advised_min,
			     f->advised_by);
	return 0;
}

static const char *wanted(const struct xe_field *f)
{
	switch (f->kind) {
	case XE_FIELD_WORD:
		return "a word";
	case XE_FIELD_COUNT:
		return "a whole number";
	case XE_FIELD_SECONDS:
		return "a duration such as 300s";
	default:
		return f->wants;
	}
}

static int load_scalar(struct xe_walk *w, const struct xe_field *f, yaml_node_t *node, void *dst)
{
	const char *text = scalar(node);

	if (!text)
		return xe_walk_fail(w, "expected %s, got %s", wanted(f),
				    node->type == YAML_SCALAR_NODE && node->data.scalar.length
					    ? "a text with a NUL in it"
					    : node_kind(node));
	switch (f->kind) {
	case XE_FIELD_WORD:
		return load_word(w, f, text, dst);
	case XE_FIELD_COUNT:
		return load_count(w, f, text, dst);
	case XE_FIELD_SECONDS:
		return load_seconds(w, f, text, dst);
	default:
		return f->text(w, text, dst);
	}
}

static int load_value(struct xe_walk *w, const struct xe_field *f, yaml_node_t *node, void *base)
{
	set_line(w, node);
	if (f->line_at)
		memcpy((char *)base + f->line_at, &w->line, sizeof(w->line));
	if (f->kind == XE_FIELD_MAP)
		return load_map(w, f, node, base);
	if (f->kind == XE_FIELD_LIST)
		return load_list(w, f, node, base);
	return load_scalar(w, f, node, (char *)base + f->offset);
}

int xe_walk_load(struct xe_walk *w, const struct xe_field *root, void *out)
{
	w->path[0] = '\0';
	return load_value(w, root, yaml_document_get_root_node(w->doc), out);
}
