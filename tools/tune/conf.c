/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "conf.h"

#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <yaml.h>

/* As the service's: 16384 rules of 100 bytes are less than half of it. */
#define FILE_SIZE_MAX (4u << 20)
/* Where the service translates to when a rule has no `ports`: docs/rules.md. */
#define NAT_PORT_MIN 1024
#define NAT_PORT_MAX 32767

struct reader {
	struct tune_conf *conf;
	yaml_document_t *doc;
	const char *name;
	unsigned int rule_cnt; /* read so far */
	char *err;
	size_t err_size;
};

static int __attribute__((format(printf, 3, 4)))
bad(struct reader *r, size_t line, const char *fmt, ...)
{
	int len = snprintf(r->err, r->err_size, "%s:%zu: ", r->name, line);
	va_list ap;

	va_start(ap, fmt);
	if (len > 0 && (size_t)len < r->err_size)
		vsnprintf(r->err + len, r->err_size - (size_t)len, fmt, ap);
	va_end(ap);
	return -EINVAL;
}

static size_t line_of(const yaml_node_t *node)
{
	return node->start_mark.line + 1;
}

static const char *text_of(const yaml_node_t *node)
{
	return node->type == YAML_SCALAR_NODE ? (const char *)node->data.scalar.value : NULL;
}

static yaml_node_t *member(struct reader *r, const yaml_node_t *map, const char *key)
{
	for (yaml_node_pair_t *p = map->data.mapping.pairs.start; p < map->data.mapping.pairs.top;
	     p++) {
		const char *text = text_of(yaml_document_get_node(r->doc, p->key));

		if (text && !strcmp(text, key))
			return yaml_document_get_node(r->doc, p->value);
	}
	return NULL;
}

/* Each element of a list under `key`, if there is one, through `one`. */
static int each(struct reader *r, const yaml_node_t *top, const char *key,
		int (*one)(struct reader *r, const yaml_node_t *node))
{
	yaml_node_t *list = member(r, top, key);
	int err = 0;

	if (!list)
		return 0;
	if (list->type != YAML_SEQUENCE_NODE)
		return bad(r, line_of(list), "%s: expected a list", key);
	for (yaml_node_item_t *i = list->data.sequence.items.start;
	     i < list->data.sequence.items.top && !err; i++)
		err = one(r, yaml_document_get_node(r->doc, *i));
	return err;
}

/* One more element at the end of an array; NULL without memory. */
static void *grow(void *array, unsigned int *cnt, size_t size)
{
	void **a = array;
	char *more = realloc(*a, (*cnt + 1) * size);

	if (!more)
		return NULL;
	*a = more;
	return memset(more + (*cnt)++ * size, 0, size);
}

static int read_cpu(struct reader *r, const yaml_node_t *node)
{
	const char *text = text_of(node);
	size_t digits = text ? strspn(text, "0123456789") : 0;

	if (!digits || text[digits] || digits > 5)
		return bad(r, line_of(node), "workers: expected a CPU number, got `%.60s`",
			   text ? text : "");
	if (r->conf->cpu_cnt == XE_MAX_WORKERS)
		return bad(r, line_of(node), "workers: expected at most %d", XE_MAX_WORKERS);
	r->conf->cpus[r->conf->cpu_cnt++] = atoi(text);
	return 0;
}

static int read_name(struct reader *r, const yaml_node_t *node, char name[IFNAMSIZ])
{
	const char *text = node ? text_of(node) : NULL;

	if (!text || !*text || strlen(text) >= IFNAMSIZ || strchr(text, '/'))
		return bad(r, node ? line_of(node) : 0, "ports: expected a name, got `%.60s`",
			   text ? text : "");
	strcpy(name, text);
	return 0;
}

static int read_port(struct reader *r, const yaml_node_t *node)
{
	struct tune_conf_port *port;
	const yaml_node_t *name, *role;
	const char *word;

	if (node->type != YAML_MAPPING_NODE)
		return bad(r, line_of(node), "ports: expected {name: ..., role: ...}");
	name = member(r, node, "name");
	role = member(r, node, "role");
	word = role ? text_of(role) : NULL;
	if (!name || !word || (strcmp(word, "inside") && strcmp(word, "uplink")))
		return bad(r, line_of(role ? role : node),
			   "ports: expected a name, and as role inside or uplink");
	port = grow(&r->conf->ports, &r->conf->port_cnt, sizeof(*port));
	if (!port)
		return -ENOMEM;
	port->uplink = !strcmp(word, "uplink");
	return read_name(r, name, port->name);
}

static int read_deny(struct reader *r, const yaml_node_t *node)
{
	char(*name)[IFNAMSIZ] = grow(&r->conf->deny, &r->conf->deny_cnt, sizeof(*name));

	return name ? read_name(r, node, *name) : -ENOMEM;
}

static bool translates(const char *rule)
{
	size_t len = strcspn(rule, " \t");

	return (len == 4 && !strncmp(rule, "snat", 4)) ||
	       (len == 10 && !strncmp(rule, "masquerade", 10));
}

/* Of a rule only the verb and its `ports` matter. */
static int read_rule(struct reader *r, const yaml_node_t *node)
{
	const char *text = text_of(node), *ports;
	struct tune_range *range;
	char end = ' ';

	r->rule_cnt++;
	if (!text)
		return bad(r, line_of(node), "rules: expected text such as `masquerade out eth0`");
	if (!translates(text))
		return 0;
	range = grow(&r->conf->ranges, &r->conf->range_cnt, sizeof(*range));
	if (!range)
		return -ENOMEM;
	*range = (struct tune_range){r->rule_cnt, NAT_PORT_MIN, NAT_PORT_MAX};
	ports = strstr(text, " ports ");
	if (!ports)
		return 0;
	if (sscanf(ports, " ports %u-%u%c", &range->from, &range->to, &end) < 2 || end != ' ' ||
	    range->to > 65535 || range->from > range->to)
		return bad(r, line_of(node), "rules: expected `ports A-B`, got `%.60s`", ports + 1);
	return 0;
}

static int read_document(struct reader *r, const yaml_node_t *top)
{
	const yaml_node_t *wait;
	int err;

	if (!top)
		return bad(r, 1, "empty, expected a mapping with keys such as `ports`");
	if (top->type != YAML_MAPPING_NODE)
		return bad(r, line_of(top), "expected a mapping with keys such as `ports`");
	wait = member(r, top, "wait");
	r->conf->busy = wait && text_of(wait) && !strcmp(text_of(wait), "busy");
	err = each(r, top, "workers", read_cpu);
	if (!err)
		err = each(r, top, "ports", read_port);
	if (!err)
		err = each(r, top, "deny-ports", read_deny);
	return err ? err : each(r, top, "rules", read_rule);
}

int tune_conf_parse(struct tune_conf *conf, const char *name, const char *text, size_t len,
		    char *err, size_t err_size)
{
	struct reader r = {.conf = conf, .name = name, .err = err, .err_size = err_size};
	yaml_parser_t parser;
	yaml_document_t doc;
	int ret;

	memset(conf, 0, sizeof(*conf));
	if (!yaml_parser_initialize(&parser))
		return -ENOMEM;
	yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&parser, (const unsigned char *)text, len);
	if (!yaml_parser_load(&parser, &doc)) {
		ret = bad(&r, parser.problem_mark.line + 1, "%s, expected YAML",
			  parser.problem ? parser.problem : "unreadable");
	} else {
		r.doc = &doc;
		ret = read_document(&r, yaml_document_get_root_node(&doc));
		yaml_document_delete(&doc);
	}
	yaml_parser_delete(&parser);
	if (ret == -ENOMEM)
		snprintf(err, err_size, "%s: out of memory", name);
	return ret;
}

int tune_conf_load(struct tune_conf *conf, const char *file, char *err, size_t err_size)
{
	FILE *f = fopen(file, "re");
	char *text = malloc(FILE_SIZE_MAX + 1);
	size_t len;
	int ret;

	memset(conf, 0, sizeof(*conf));
	if (!f || !text) {
		ret = f ? -ENOMEM : -errno;
		snprintf(err, err_size, "%s:0: cannot be read: %s", file, strerror(-ret));
		goto out;
	}
	len = fread(text, 1, FILE_SIZE_MAX + 1, f);
	if (ferror(f) || len > FILE_SIZE_MAX) {
		ret = ferror(f) ? -EIO : -E2BIG;
		snprintf(err, err_size, "%s:0: cannot be read: %s", file, strerror(-ret));
		goto out;
	}
	ret = tune_conf_parse(conf, file, text, len, err, err_size);
out:
	if (f)
		fclose(f);
	free(text);
	return ret;
}

void tune_conf_free(struct tune_conf *conf)
{
	free(conf->ports);
	free(conf->deny);
	free(conf->ranges);
	memset(conf, 0, sizeof(*conf));
}

const struct tune_conf_port *tune_conf_match(const struct tune_conf *conf, const char *name)
{
	const struct tune_conf_port *glob = NULL;

	for (unsigned int i = 0; i < conf->deny_cnt; i++)
		if (!fnmatch(conf->deny[i], name, 0))
			return NULL;
	for (unsigned int i = 0; i < conf->port_cnt; i++) {
		const struct tune_conf_port *port = &conf->ports[i];

		if (!strcmp(port->name, name))
			return port;
		if (!glob && strpbrk(port->name, "*?[") && !fnmatch(port->name, name, 0))
			glob = port;
	}
	return glob;
}
