/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * deny.c - deny lists: files read, rules and files made one sorted list.
 */
#include "state/deny.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* The longest line that is looked at: a prefix is at most 49 characters, the rest is comment. */
#define LINE_SIZE 512
/* Lists start at this many entries and double. */
#define FIRST_ENTRIES 1024

/* ---- one file ---- */

static int append(struct xe_deny_list *list, uint32_t *size, const struct xe_prefix *prefix)
{
	struct xe_prefix *grown;

	if (list->cnt == XE_MAX_DENY)
		return -E2BIG;
	if (list->cnt == *size) {
		*size = *size ? *size * 2 : FIRST_ENTRIES;
		grown = realloc(list->prefixes, *size * sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		list->prefixes = grown;
	}
	list->prefixes[list->cnt++] = *prefix;
	return 0;
}

/* Cut off the comment and white space at both ends; what is left. */
static char *trim(char *line)
{
	char *end;

	line[strcspn(line, "#\r\n")] = '\0';
	while (isspace((unsigned char)*line))
		line++;
	end = line + strlen(line);
	while (end > line && isspace((unsigned char)end[-1]))
		*--end = '\0';
	return line;
}

static int read_lines(FILE *f, const char *path, struct xe_deny_list *list, char *err,
		      size_t err_size)
{
	char line[LINE_SIZE], why[160];
	struct xe_prefix prefix;
	uint32_t size = 0;
	int ret = 0;

	for (uint32_t n = 1; !ret && fgets(line, sizeof(line), f); n++) {
		bool whole = strchr(line, '\n') || feof(f);
		const char *text = trim(line);

		if (!whole || (*text && xe_prefix_parse(text, &prefix, why, sizeof(why)))) {
			snprintf(err, err_size,
				 "%s:%u: expected a prefix such as 203.0.113.0/24 (no bits set "
				 "behind its length) or 2001:db8::/32, an address, or a comment "
				 "after `#`",
				 path, n);
			return -EINVAL;
		}
		ret = *text ? append(list, &size, &prefix) : 0;
		if (ret == -E2BIG)
			snprintf(err, err_size, "%s:%u: expected at most %d prefixes", path, n,
				 XE_MAX_DENY);
	}
	if (!ret && ferror(f)) {
		ret = -EIO;
		snprintf(err, err_size, "%s: cannot be read", path);
	}
	return ret;
}

/* A pipe or a device in its place could keep the control thread waiting. */
static FILE *open_regular(const char *path, int *error)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat st;
	FILE *f = NULL;

	*error = fd < 0 ? -errno : 0;
	if (fd < 0)
		return NULL;
	if (fstat(fd, &st))
		*error = -errno;
	else if (!S_ISREG(st.st_mode))
		*error = -EINVAL;
	else
		f = fdopen(fd, "re");
	if (!f) {
		*error = *error ? *error : -ENOMEM;
		close(fd);
	}
	return f;
}

/* How much of the path leads to what is closed to this user: a folder that it may not enter, or all
 * of it, the file. 0: not to be found out. */
static size_t closed_part(const char *path, struct stat *st)
{
	char part[PATH_MAX];
	size_t len = 0, seen = 0;
	struct stat now;

	while (path[len]) {
		len += 1 + strcspn(path + len + 1, "/");
		if (len >= sizeof(part))
			break;
		memcpy(part, path, len);
		part[len] = '\0';
		if (stat(part, &now))
			break; /* the one before is closed */
		*st = now;
		seen = len;
	}
	return seen;
}

/* root without CAP_DAC_OVERRIDE is a user like others, which surprises people. */
static void say_why(const char *path, int error, char *err, size_t err_size)
{
	struct stat st;
	size_t len = error == -EACCES ? closed_part(path, &st) : 0;

	if (error == -EINVAL)
		snprintf(err, err_size, "%s: expected a regular file", path);
	else if (!len)
		snprintf(err, err_size, "%s: %s", path, strerror(-error));
	else /* the folder by its name */
		snprintf(err, err_size,
			 "%s: permission denied: %.*s has mode %04o, owner uid %u, gid %u, and the "
			 "service reads it with every change of rules, as uid %u without "
			 "CAP_DAC_OVERRIDE: chown it to that user, or chmod a+%s it",
			 path, path[len] ? (int)len : 2, path[len] ? path : "it",
			 (unsigned int)st.st_mode & 07777, (unsigned int)st.st_uid,
			 (unsigned int)st.st_gid, (unsigned int)geteuid(), path[len] ? "x" : "r");
}

int xe_deny_read(const char *path, struct xe_deny_list *list, char *err, size_t err_size)
{
	int ret;
	FILE *f;

	memset(list, 0, sizeof(*list));
	f = open_regular(path, &ret);
	if (!f) {
		say_why(path, ret, err, err_size);
		return ret;
	}
	ret = read_lines(f, path, list, err, err_size);
	fclose(f);
	if (ret == -ENOMEM)
		snprintf(err, err_size, "%s: out of memory", path);
	if (ret)
		xe_deny_list_free(list);
	return ret;
}

void xe_deny_list_free(struct xe_deny_list *list)
{
	free(list->prefixes);
	memset(list, 0, sizeof(*list));
}

/* ---- those of all rules ---- */

int xe_deny_read_all(const struct xe_rule *rules, uint32_t rule_cnt, struct xe_deny_lists **out,
		     char *err, size_t err_size)
{
	struct xe_deny_lists *lists = calloc(1, sizeof(*lists) + rule_cnt * sizeof(lists->list[0]));
	char why[2 * XE_RULE_FILE_SIZE + 256]; /* a folder of it, too */
	int ret = 0;

	*out = NULL;
	if (!lists) {
		snprintf(err, err_size, "out of memory");
		return -ENOMEM;
	}
	lists->rule_cnt = rule_cnt;
	for (uint32_t i = 0; !ret && i < rule_cnt; i++) {
		if (rules[i].verb != XE_VERB_DROP || !rules[i].file[0])
			continue;
		ret = xe_deny_read(rules[i].file, &lists->list[i], why, sizeof(why));
		if (ret)
			snprintf(err, err_size, "rules[%u]: %s", i, why);
	}
	if (ret)
		xe_deny_lists_free(lists);
	else
		*out = lists;
	return ret;
}

void xe_deny_lists_free(struct xe_deny_lists *lists)
{
	for (uint32_t i = 0; lists && i < lists->rule_cnt; i++)
		xe_deny_list_free(&lists->list[i]);
	free(lists);
}

bool xe_deny_lists_equal(const struct xe_deny_lists *a, const struct xe_deny_lists *b)
{
	if (!a || !b || a->rule_cnt != b->rule_cnt)
		return a == b;
	for (uint32_t i = 0; i < a->rule_cnt; i++)
		if (a->list[i].cnt != b->list[i].cnt ||
		    (a->list[i].cnt && memcmp(a->list[i].prefixes, b->list[i].prefixes,
					      a->list[i].cnt * sizeof(struct xe_prefix))))
			return false;
	return true;
}

/* ---- one list ---- */

bool xe_rule_is_deny(const struct xe_rule *rule)
{
	return rule->verb == XE_VERB_DROP && rule->in[0] && (rule->from.family || rule->file[0]) &&
	       !rule->proto && !rule->to.family && !rule->out[0];
}

int xe_deny_key_cmp(const struct xe_allow_key *a, const struct xe_allow_key *b)
{
	if (a->port != b->port)
		return a->port < b->port ? -1 : 1;
	if (a->prefixlen != b->prefixlen)
		return a->prefixlen < b->prefixlen ? -1 : 1;
	return memcmp(&a->src, &b->src, sizeof(a->src));
}

static int cmp(const void *a, const void *b)
{
	return xe_deny_key_cmp(a, b);
}

struct builder {
	struct xe_allow_key *keys;
	uint64_t cnt, size;
};

static int add_key(struct builder *b, uint16_t port, const struct xe_prefix *prefix)
{
	if (b->cnt == b->size) {
		uint64_t size = b->size ? b->size * 2 : FIRST_ENTRIES;
		struct xe_allow_key *grown = realloc(b->keys, size * sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		b->keys = grown;
		b->size = size;
	}
	b->keys[b->cnt++] = (struct xe_allow_key){
		.prefixlen = 32u + prefix->len,
		.port = prefix->family == AF_INET6 ? port | XE_KEY_IPV6 : port,
		.src = prefix->addr,
	};
	/* Duplicates go out at the end; twice the limit is more than an honest list has of them. */
	return b->cnt > 2ull * XE_MAX_DENY ? -E2BIG : 0;
}

static int add_rule(struct builder *b, const struct xe_rule *rule, const struct xe_deny_list *list,
		    const uint16_t *ids, uint32_t id_cnt)
{
	int ret = 0;

	for (uint32_t i = 0; !ret && i < id_cnt; i++) {
		if (ids[i] & XE_OUT_INSIDE)
			continue;
		if (!rule->file[0])
			ret = add_key(b, ids[i], &rule->from);
		for (uint32_t n = 0; !ret && rule->file[0] && list && n < list->cnt; n++)
			ret = add_key(b, ids[i], &list->prefixes[n]);
	}
	return ret;
}

/* Sort, and keep one of each. */
static void tidy(struct builder *b)
{
	uint64_t kept = 0;

	if (b->cnt)
		qsort(b->keys, b->cnt, sizeof(*b->keys), cmp);
	for (uint64_t i = 0; i < b->cnt; i++)
		if (!i || xe_deny_key_cmp(&b->keys[i], &b->keys[kept - 1]))
			b->keys[kept++] = b->keys[i];
	b->cnt = kept;
}

int xe_deny_compile(const struct xe_rule *rules, uint32_t rule_cnt,
		    const struct xe_deny_lists *lists, xe_port_ids_fn port_ids, void *ctx,
		    struct xe_allow_key **out, uint32_t *cnt, char *err, size_t err_size)
{
	static uint16_t ids[XE_MAX_PORTS]; /* control thread only */
	struct builder b = {};
	int ret = 0;

	for (uint32_t i = 0; !ret && i < rule_cnt; i++) {
		const struct xe_deny_list *list =
			lists && i < lists->rule_cnt ? &lists->list[i] : NULL;

		if (xe_rule_is_deny(&rules[i]))
			ret = add_rule(&b, &rules[i], list, ids,
				       port_ids(ctx, rules[i].in, ids, XE_MAX_PORTS));
	}
	if (!ret) {
		tidy(&b);
		ret = b.cnt > XE_MAX_DENY ? -E2BIG : 0;
	}
	if (ret == -E2BIG)
		snprintf(err, err_size,
			 "rules: too many prefixes in deny lists, expected at most %d, each "
			 "counted once an uplink",
			 XE_MAX_DENY);
	else if (ret)
		snprintf(err, err_size, "rules: out of memory for deny lists");
	if (ret)
		free(b.keys);
	*out = ret ? NULL : b.keys;
	*cnt = ret ? 0 : (uint32_t)b.cnt;
	return ret;
}
