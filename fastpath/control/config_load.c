/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * config_load.c - the configuration file: read, parsed by libyaml, loaded by the tables below.
 *
 * The tables are the file's grammar: keys, types, ranges, defaults. What concerns more than one
 * value is config_check.c's.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <yaml.h>

#include "control/config.h"
#include "control/config_schema.h"

/* XE_MAX_RULES rules of 200 characters are 3.2 MB: a larger file is a mistake. */
#define FILE_SIZE_MAX (4u << 20)
/* The deepest valid file nests 4 levels. libyaml itself has no bound. */
#define NEST_MAX 16
/* Prefixes of one port; LPM entries are port times prefix, 1024 * 64 of them at most. */
#define ALLOW_MAX 64
/* deny-ports: more names than there may be ports make no sense. */
#define DENY_MAX XE_MAX_PORTS
/* A week: longer than any firewall on the way keeps a flow (Linux conntrack: 5 days). */
#define TIMEOUT_MAX_S (7 * 86400)
/* 16 million sessions: memory for more (some 2 GiB) is not what one host's egress needs. */
#define SESSIONS_MAX (1u << 24)
/* Fewer than 64 would not let one browser page load. */
#define SESSIONS_MIN 64

#define SESSIONS_DEFAULT            1048576 /* the 10^6 flows the design is measured at */
#define SESSIONS_PER_SOURCE_DEFAULT 16384   /* half a default NAT range, RFC 6888 REQ-4 */

const char *const xe_role_words[] = {"inside", "uplink", NULL};
const char *const xe_xdp_words[] = {"auto", "native", "generic", NULL};
const char *const xe_coalesce_words[] = {"auto", "on", "off", NULL};
const char *const xe_wait_words[] = {"adaptive", "busy", "interrupt", NULL};
const char *const xe_rps_words[] = {"auto", "off", NULL};
const char *const xe_csum_offload_words[] = {"auto", "on", "off", NULL};
const char *const xe_repair_words[] = {"on", "off", NULL};
const char *const xe_on_stop_words[] = {"handback", "clean", NULL};

static int load_cpu(struct xe_walk *w, const char *text, void *dst);
static int load_name(struct xe_walk *w, const char *text, void *dst);
static int load_prefix(struct xe_walk *w, const char *text, void *dst);
static int load_rule(struct xe_walk *w, const char *text, void *dst);
static int load_group(struct xe_walk *w, const char *text, void *dst);

static const struct xe_list workers_list = {
	.elem = {.kind = XE_FIELD_TEXT, .wants = "a CPU number", .text = load_cpu},
	.elem_size = sizeof(int),
	.cnt_offset = offsetof(struct xe_config, worker_cnt),
	.max = XE_MAX_WORKERS,
	.in_place = true,
	.some_needed = true,
};

static const struct xe_list allow_list = {
	.elem = {.kind = XE_FIELD_TEXT,
		 .wants = "a prefix such as 10.1.0.0/16",
		 .text = load_prefix},
	.elem_size = sizeof(struct xe_prefix),
	.cnt_offset = offsetof(struct xe_config_port, allow_cnt),
	.max = ALLOW_MAX,
	.some_needed = true,
};

static const struct xe_field port_fields[] = {
	{.key = "name",
	 .kind = XE_FIELD_TEXT,
	 .required = true,
	 .offset = offsetof(struct xe_config_port, name),
	 .line_at = offsetof(struct xe_config_port, line),
	 .wants = "an interface name or a glob",
	 .text = load_name},
	{.key = "role",
	 .kind = XE_FIELD_WORD,
	 .required = true,
	 .offset = offsetof(struct xe_config_port, role),
	 .words = xe_role_words},
	{.key = "allow",
	 .kind = XE_FIELD_LIST,
	 .offset = offsetof(struct xe_config_port, allow),
	 .line_at = offsetof(struct xe_config_port, allow_line),
	 .wants = "a list of prefixes such as [10.1.0.0/16] (without the key: the connected ones)",
	 .list = &allow_list},
	{.key = "xdp",
	 .kind = XE_FIELD_WORD,
	 .offset = offsetof(struct xe_config_port, xdp),
	 .words = xe_xdp_words},
	{.key = "coalesce",
	 .kind = XE_FIELD_WORD,
	 .offset = offsetof(struct xe_config_port, coalesce),
	 .words = xe_coalesce_words},
	{},
};

static const struct xe_list port_list = {
	.elem = {.kind = XE_FIELD_MAP, .fields = port_fields},
	.elem_size = sizeof(struct xe_config_port),
	.cnt_offset = offsetof(struct xe_config, port_cnt),
	.max = XE_MAX_PORTS,
};

static const struct xe_list deny_list = {
	.elem = {.kind = XE_FIELD_TEXT, .wants = "an interface name or a glob", .text = load_name},
	.elem_size = IFNAMSIZ,
	.cnt_offset = offsetof(struct xe_config, deny_port_cnt),
	.max = DENY_MAX,
};

static const struct xe_list rule_list = {
	.elem = {.kind = XE_FIELD_TEXT,
		 .line_at = offsetof(struct xe_rule, line),
		 .wants = "a rule such as `masquerade from 10.1.0.0/16 out eth0`",
		 .text = load_rule},
	.elem_size = sizeof(struct xe_rule),
	.cnt_offset = offsetof(struct xe_config, rule_cnt),
	.max = XE_MAX_RULES,
};

static const struct xe_field limit_fields[] = {
	{.key = "sessions",
	 .kind = XE_FIELD_COUNT,
	 .offset = offsetof(struct xe_config, limits.sessions),
	 .min = SESSIONS_MIN,
	 .max = SESSIONS_MAX},
	{.key = "sessions-per-source",
	 .kind = XE_FIELD_COUNT,
	 .offset = offsetof(struct xe_config, limits.sessions_per_source),
	 .min = 1,
	 .max = SESSIONS_MAX},
	{},
};

#define TIMEOUT(name, member, advised, source)                                                     \
	{                                                                                          \
		.key = name, .kind = XE_FIELD_SECONDS,                                             \
		.offset = offsetof(struct xe_config, timeouts.member), .min = 1,                   \
		.max = TIMEOUT_MAX_S, .advised_min = advised, .advised_by = source                 \
	}

static const struct xe_field timeout_fields[] = {
	TIMEOUT("tcp-established", tcp_established_s, 7440, "RFC 5382 REQ-5"),
	TIMEOUT("tcp-transitory", tcp_transitory_s, 240, "RFC 5382 REQ-5"),
	TIMEOUT("udp", udp_s, 120, "RFC 4787 REQ-5"),
	TIMEOUT("dns", dns_s, 0, ""), /* RFC 4787 REQ-5 a) allows less for one purpose */
	{},
};

static const struct xe_field top_fields[] = {
	{.key = "workers",
	 .kind = XE_FIELD_LIST,
	 .offset = offsetof(struct xe_config, workers),
	 .wants = "a list of CPU numbers such as [1, 2]",
	 .list = &workers_list},
	{.key = "wait",
	 .kind = XE_FIELD_WORD,
	 .offset = offsetof(struct xe_config, wait),
	 .words = xe_wait_words},
	{.key = "rps",
	 .kind = XE_FIELD_WORD,
	 .offset = offsetof(struct xe_config, rps),
	 .words = xe_rps_words},
	{.key = "checksum-offload",
	 .kind = XE_FIELD_WORD,
	 .offset = offsetof(struct xe_config, csum_offload),
	 .words = xe_csum_offload_words},
	{.key = "repair",
	 .kind = XE_FIELD_WORD,
	 .offset = offsetof(struct xe_config, repair),
	 .words = xe_repair_words},
	{.key = "on-stop",
	 .kind = XE_FIELD_WORD,
	 .offset = offsetof(struct xe_config, on_stop),
	 .words = xe_on_stop_words},
	{.key = "ports",
	 .kind = XE_FIELD_LIST,
	 .offset = offsetof(struct xe_config, ports),
	 .wants = "a list of ports such as [{name: eth0, role: uplink}]",
	 .list = &port_list},
	{.key = "deny-ports",
	 .kind = XE_FIELD_LIST,
	 .offset = offsetof(struct xe_config, deny_ports),
	 .wants = "a list of interface names such as [eth9]",
	 .list = &deny_list},
	{.key = "rules",
	 .kind = XE_FIELD_LIST,
	 .offset = offsetof(struct xe_config, rules),
	 .wants = "a list of rules such as `masquerade from 10.1.0.0/16 out eth0`",
	 .list = &rule_list},
	{.key = "limits", .kind = XE_FIELD_MAP, .fields = limit_fields},
	{.key = "timeouts", .kind = XE_FIELD_MAP, .fields = timeout_fields},
	{.key = "ctl-group",
	 .kind = XE_FIELD_TEXT,
	 .offset = offsetof(struct xe_config, ctl_group),
	 .wants = "the name of a group",
	 .text = load_group},
	{},
};

static const struct xe_field root = {.kind = XE_FIELD_MAP, .fields = top_fields};

/* Is the CPU in the kernel's list of online ones, such as "0-3,6"? Without sysfs nobody knows, and
 * the worker will say so when it pins itself. */
static bool cpu_online(long cpu)
{
	FILE *f = fopen("/sys/devices/system/cpu/online", "re");
	bool online = !f;
	long a, b;

	while (f && !online && fscanf(f, "%ld", &a) == 1) {
		b = a;
		if (fscanf(f, "-%ld", &b) < 0)
			b = a;
		online = cpu >= a && cpu <= b;
		if (fgetc(f) != ',')
			break;
	}
	if (f)
		fclose(f);
	return online;
}

static int load_cpu(struct xe_walk *w, const char *text, void *dst)
{
	int *cpu = dst;
	size_t n = strlen(text);

	if (n > 5 || strspn(text, "0123456789") != n)
		return xe_walk_fail(w, "expected a CPU number, got `%.60s`", text);
	*cpu = atoi(text);
	if (!cpu_online(*cpu))
		return xe_walk_fail(
			w, "CPU %d does not exist or is offline, expected an online one", *cpu);
	/* The earlier elements stand in front of this one. */
	for (uint32_t i = 1; i <= w->elem_idx; i++)
		if (cpu[-(long)i] == *cpu)
			return xe_walk_fail(w, "CPU %d is named twice, expected one worker a CPU",
					    *cpu);
	return 0;
}

static int load_name(struct xe_walk *w, const char *text, void *dst)
{
	if (!xe_port_name_valid(text))
		return xe_walk_fail(w,
				    "expected an interface name or a glob of 1-%d characters, "
				    "got `%.60s`",
				    IFNAMSIZ - 1, text);
	strcpy(dst, text); /* IFNAMSIZ everywhere, and valid names fit */
	return 0;
}

static int load_prefix(struct xe_walk *w, const char *text, void *dst)
{
	char why[160];

	return xe_prefix_parse(text, dst, why, sizeof(why)) ? xe_walk_fail(w, "%s", why) : 0;
}

static int load_rule(struct xe_walk *w, const char *text, void *dst)
{
	char why[256];

	if (xe_rule_parse(text, dst, why, sizeof(why)))
		return xe_walk_fail(w, "%s", why);
	((struct xe_rule *)dst)->line = w->line;
	return 0;
}

static int load_group(struct xe_walk *w, const char *text, void *dst)
{
	if (strlen(text) >= sizeof(((struct xe_config *)0)->ctl_group) || !getgrnam(text))
		return xe_walk_fail(w, "no group `%.60s` on this host, expected the name of one",
				    text);
	strcpy(dst, text);
	return 0;
}

static void set_defaults(struct xe_config *config)
{
	config->limits.sessions = SESSIONS_DEFAULT;
	config->limits.sessions_per_source = SESSIONS_PER_SOURCE_DEFAULT;
	config->timeouts.tcp_established_s = 7440;
	config->timeouts.tcp_transitory_s = 240;
	config->timeouts.udp_s = 300;
	config->timeouts.dns_s = 20;
}

/* The line an offset is in. */
static int line_at(const char *text, size_t len, size_t offset)
{
	int line = 1;

	for (size_t i = 0; i < offset && i < len; i++)
		line += text[i] == '\n';
	return line;
}

static int yaml_failed(struct xe_walk *w, const yaml_parser_t *parser, const char *text, size_t len)
{
	if (parser->error == YAML_MEMORY_ERROR)
		return -ENOMEM;
	strcpy(w->path, "yaml");
	w->line = parser->error == YAML_READER_ERROR ? line_at(text, len, parser->problem_offset)
						     : (int)parser->problem_mark.line + 1;
	if (parser->error == YAML_READER_ERROR)
		return xe_walk_fail(w, "%s (byte %zu), expected text in UTF-8", parser->problem,
				    parser->problem_offset);
	return xe_walk_fail(w, "%s%s%s, expected YAML", parser->context ? parser->context : "",
			    parser->context ? ": " : "", parser->problem);
}

static bool parser_start(yaml_parser_t *parser, const char *text, size_t len)
{
	if (!yaml_parser_initialize(parser))
		return false;
	yaml_parser_set_encoding(parser, YAML_UTF8_ENCODING); /* else a BOM chooses UTF-16 */
	yaml_parser_set_input_string(parser, (const unsigned char *)text, len);
	return true;
}

/* One event of the pass below. Returns the new depth, or -EINVAL. */
static int check_event(struct xe_walk *w, const yaml_event_t *event, int depth, int *docs)
{
	w->line = (int)event->start_mark.line + 1;
	switch (event->type) {
	case YAML_DOCUMENT_START_EVENT:
		if (++*docs > 1)
			return xe_walk_fail(w, "a second document starts here, expected one");
		return depth;
	case YAML_SEQUENCE_START_EVENT:
	case YAML_MAPPING_START_EVENT:
		if (depth == NEST_MAX)
			return xe_walk_fail(w, "nested too deep, expected at most %d levels",
					    NEST_MAX);
		return depth + 1;
	case YAML_SEQUENCE_END_EVENT:
	case YAML_MAPPING_END_EVENT:
		return depth - 1;
	default:
		return depth;
	}
}

/*
 * A pass over the events before any document is built: the syntax, the number of documents
 * (libyaml's loader stops at the first), and the depth, for which the loader has no bound.
 */
static int check_syntax(struct xe_walk *w, const char *text, size_t len)
{
	yaml_parser_t parser;
	yaml_event_t event;
	int depth = 0, docs = 0;
	bool end = false;

	if (!parser_start(&parser, text, len))
		return -ENOMEM;
	strcpy(w->path, "yaml");
	while (!end && depth >= 0) {
		if (!yaml_parser_parse(&parser, &event)) {
			depth = yaml_failed(w, &parser, text, len);
			break;
		}
		depth = check_event(w, &event, depth, &docs);
		end = event.type == YAML_STREAM_END_EVENT;
		yaml_event_delete(&event);
	}
	yaml_parser_delete(&parser);
	return depth;
}

static int load_document(struct xe_walk *w, const char *text, size_t len, struct xe_config *config)
{
	yaml_document_t doc;
	yaml_parser_t parser;
	int ret = 0;

	if (!parser_start(&parser, text, len))
		return -ENOMEM;
	if (!yaml_parser_load(&parser, &doc)) { /* an alias without its anchor, say */
		ret = yaml_failed(w, &parser, text, len);
		goto out;
	}
	w->doc = &doc;
	w->path[0] = '\0';
	w->line = 1;
	if (yaml_document_get_root_node(&doc))
		ret = xe_walk_load(w, &root, config);
	else
		ret = xe_walk_fail(w, "empty, expected a mapping with keys such as `ports` and "
				      "`rules`");
	yaml_document_delete(&doc);
out:
	yaml_parser_delete(&parser);
	return ret;
}

int xe_config_parse(const char *name, const char *text, size_t len, struct xe_config **out,
		    xe_config_warn_fn warn, void *ctx, char *err, size_t err_size)
{
	struct xe_walk w = {
		.file = name, .warn = warn, .warn_ctx = ctx, .err = err, .err_size = err_size};
	struct xe_config *config = calloc(1, sizeof(*config));
	int ret = -ENOMEM;

	*out = NULL;
	if (!config || !(config->file = strdup(name)))
		goto out;
	set_defaults(config);
	ret = check_syntax(&w, text, len);
	if (!ret)
		ret = load_document(&w, text, len, config);
	if (!ret)
		ret = xe_config_check(config, warn, ctx, err, err_size);
out:
	if (ret == -ENOMEM) {
		w.path[0] = '\0';
		xe_walk_fail(&w, "out of memory");
	}
	if (ret)
		xe_config_free(config);
	else
		*out = config;
	return ret;
}

/* All of a file, at most FILE_SIZE_MAX + 1 bytes of it. It may be a pipe, so its size isn't asked.
 */
static int read_file(int fd, char *text, size_t *len)
{
	ssize_t n = 1;

	for (*len = 0; n > 0 && *len <= FILE_SIZE_MAX;) {
		n = read(fd, text + *len, FILE_SIZE_MAX + 1 - *len);
		if (n < 0 && errno == EINTR)
			n = 1;
		else if (n > 0)
			*len += (size_t)n;
	}
	return n < 0 ? -errno : 0;
}

int xe_config_load(const char *file, struct xe_config **out, xe_config_warn_fn warn, void *ctx,
		   char *err, size_t err_size)
{
	struct xe_walk w = {.file = file, .err = err, .err_size = err_size};
	char *text = malloc(FILE_SIZE_MAX + 1);
	int fd = open(file, O_RDONLY | O_CLOEXEC);
	size_t len = 0;
	int ret;

	*out = NULL;
	ret = fd < 0 ? -errno : !text ? -ENOMEM : read_file(fd, text, &len);
	if (ret)
		xe_walk_fail(&w, "cannot be read: %s", strerror(-ret));
	else if (len > FILE_SIZE_MAX)
		ret = xe_walk_fail(&w, "too large, expected at most %u MiB", FILE_SIZE_MAX >> 20);
	else
		ret = xe_config_parse(file, text, len, out, warn, ctx, err, err_size);
	if (fd >= 0)
		close(fd);
	free(text);
	return ret;
}
