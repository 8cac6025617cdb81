/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "knob.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cpulist.h"
#include "ethtool.h"
#include "hostfile.h"

#define CLASS_NET "/sys/class/net/"

struct kind {
	const char *word;
	int (*read)(const char *subject, char *value, size_t size);
	int (*write)(const char *subject, const char *value);
	bool is_path;
};

static int choice_read(const char *path, char *value, size_t size)
{
	int err = tune_file_read(path, value, size);
	char *open = strchr(value, '['), *close = open ? strchr(open, ']') : NULL;

	if (err)
		return err;
	if (!close)
		return tune_files_fake() ? 0 : -EINVAL; /* a plain file keeps what was written */
	memmove(value, open + 1, (size_t)(close - open - 1));
	value[close - open - 1] = '\0';
	return 0;
}

/* "IF KIND" in two. */
static int split(const char *subject, char name[IFNAMSIZ], const char **kind)
{
	size_t len = strcspn(subject, " ");

	if (!subject[len] || len >= IFNAMSIZ)
		return -EINVAL;
	memcpy(name, subject, len);
	name[len] = '\0';
	*kind = subject + len + 1;
	return 0;
}

static int flowhash_read(const char *subject, char *value, size_t size)
{
	char name[IFNAMSIZ];
	const char *kind;
	int err = split(subject, name, &kind);

	return err ? err : tune_flowhash_read(name, kind, value, size);
}

static int flowhash_write(const char *subject, const char *value)
{
	char name[IFNAMSIZ];
	const char *kind;
	int err = split(subject, name, &kind);

	return err ? err : tune_flowhash_write(name, kind, value);
}

static const struct kind kinds[] = {
	{"file", tune_file_read, tune_file_write, true},
	{"mask", tune_file_read, tune_file_write, true},
	{"list", tune_file_read, tune_file_write, true},
	{"choice", choice_read, tune_file_write, true},
	{"channels", tune_channels_read, tune_channels_write, false},
	{"rings", tune_rings_read, tune_rings_write, false},
	{"rss", tune_rss_read, tune_rss_write, false},
	{"coalesce", tune_coalesce_read, tune_coalesce_write, false},
	{"flowhash", flowhash_read, flowhash_write, false},
};

static const struct kind *kind_of(const char *knob, const char **subject)
{
	size_t len = strcspn(knob, " ");

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (strlen(kinds[i].word) != len || strncmp(kinds[i].word, knob, len) || !knob[len])
			continue;
		*subject = knob + len + 1;
		return &kinds[i];
	}
	return NULL;
}

static bool path_is_ours(const char *path)
{
	static const char *const parts[] = {CLASS_NET,
					    "/proc/irq/",
					    "/proc/sys/net/",
					    "/sys/devices/system/cpu/",
					    "/sys/devices/system/node/",
					    "/sys/kernel/mm/"};

	if (strstr(path, "/../"))
		return false;
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		if (!strncmp(path, parts[i], strlen(parts[i])))
			return true;
	return false;
}

bool tune_knob_valid(const char *knob)
{
	const char *subject;
	const struct kind *kind = kind_of(knob, &subject);

	if (!kind || strlen(knob) >= TUNE_KNOB_SIZE || !*subject)
		return false;
	return kind->is_path ? path_is_ours(subject) : !strchr(subject, '/');
}

/* What belongs to an interface must not be asked of one in another namespace. */
static int may_use(const struct kind *kind, const char *subject)
{
	if (!kind)
		return -EINVAL;
	if (kind->is_path && !strncmp(subject, CLASS_NET, strlen(CLASS_NET)) && !tune_sysfs_net())
		return -ESTALE;
	return 0;
}

int tune_knob_read(const char *knob, char *value, size_t size)
{
	const char *subject;
	const struct kind *kind = kind_of(knob, &subject);
	int err = may_use(kind, subject);

	value[0] = '\0';
	return err ? err : kind->read(subject, value, size);
}

int tune_knob_write(const char *knob, const char *value)
{
	const char *subject;
	const struct kind *kind = kind_of(knob, &subject);
	int err = may_use(kind, subject);

	return err ? err : kind->write(subject, value);
}

bool tune_knob_same(const char *knob, const char *a, const char *b)
{
	static struct tune_cpus x, y; /* a kilobyte each; there is one thread */

	if (!strcmp(a, b))
		return true;
	if (!strncmp(knob, "mask ", 5))
		return !tune_cpus_from_mask(&x, a) && !tune_cpus_from_mask(&y, b) &&
		       !memcmp(&x, &y, sizeof(x));
	if (!strncmp(knob, "list ", 5))
		return !tune_cpus_from_list(&x, a) && !tune_cpus_from_list(&y, b) &&
		       !memcmp(&x, &y, sizeof(x));
	return false;
}

bool tune_knob_interface(const char *knob, char name[IFNAMSIZ])
{
	const char *subject = "";
	const struct kind *kind = kind_of(knob, &subject);
	size_t len;

	if (!kind)
		return false;
	if (kind->is_path) {
		if (strncmp(subject, CLASS_NET, strlen(CLASS_NET)))
			return false;
		subject += strlen(CLASS_NET);
	}
	len = strcspn(subject, "/ ");
	if (len >= IFNAMSIZ)
		return false;
	memcpy(name, subject, len);
	name[len] = '\0';
	return true;
}

unsigned int tune_ifindex(const char *name)
{
	char path[128];

	if (!tune_files_fake())
		return if_nametoindex(name);
	snprintf(path, sizeof(path), CLASS_NET "%s/ifindex", name);
	return (unsigned int)tune_file_number(path, 0);
}
