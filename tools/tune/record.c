/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "record.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hostfile.h"

#define RECORD_VERSION 1
/* Another one may just be ending, or be killed: a second in all. */
#define LOCK_TRIES    20
#define LOCK_RETRY_US 50000

/* A copy of the host has neither boots nor namespaces. */
static void boot_id(char *text, size_t size)
{
	if (tune_files_fake() || tune_file_read("/proc/sys/kernel/random/boot_id", text, size))
		snprintf(text, size, "none");
}

static json_int_t netns_id(void)
{
	struct stat st;

	return tune_files_fake() || stat("/proc/self/ns/net", &st) ? 0 : (json_int_t)st.st_ino;
}

/* ---- reading ---- */

static int take_change(struct tune_record *record, json_t *item)
{
	const char *stage, *knob, *from, *to;
	struct tune_change *change;
	json_int_t ifindex = 0;
	int keep = 0;

	if (json_unpack(item, "{ss, ss, sI, ss, ss, s?b}", "stage", &stage, "knob", &knob,
			"ifindex", &ifindex, "from", &from, "to", &to, "keep", &keep) ||
	    !tune_knob_valid(knob) || ifindex < 0 || ifindex > 0x7fffffff)
		return -EINVAL;
	change = tune_record_add(record, stage, knob, (unsigned int)ifindex, from, to);
	if (!change)
		return -ENOMEM;
	change->keep = keep;
	return 0;
}

static int take_root(struct tune_record *record, json_t *root, char *err, size_t err_size)
{
	char boot_now[64];
	const char *boot;
	json_t *changes, *item;
	int version = 0, ret;
	json_int_t netns;
	size_t i;

	if (json_unpack(root, "{si, ss, sI, so}", "version", &version, "boot", &boot, "netns",
			&netns, "changes", &changes) ||
	    version != RECORD_VERSION || !json_is_array(changes)) {
		snprintf(err, err_size,
			 "%s:1: expected version %d, boot, netns and a list of changes",
			 record->path, RECORD_VERSION);
		return -EINVAL;
	}
	boot_id(boot_now, sizeof(boot_now));
	record->other_boot = strcmp(boot, boot_now) != 0;
	if (!record->other_boot && netns != netns_id()) {
		snprintf(err, err_size,
			 "%s:1: was written in another network namespace (%lld, this is %lld): go "
			 "there, or say another --run-dir",
			 record->path, netns, netns_id());
		return -EXDEV;
	}
	json_array_foreach (changes, i, item) {
		ret = take_change(record, item);
		if (!ret)
			continue;
		snprintf(err, err_size, "%s: changes[%zu]: expected stage, knob, ifindex, from, to",
			 record->path, i);
		return ret;
	}
	return 0;
}

static int read_record(struct tune_record *record, char *err, size_t err_size)
{
	json_error_t at;
	json_t *root;
	FILE *f = fopen(record->path, "re");
	int ret;

	if (!f && errno == ENOENT)
		return 0;
	if (!f) {
		ret = -errno;
		snprintf(err, err_size, "%s:0: cannot be read: %s", record->path, strerror(-ret));
		return ret;
	}
	root = json_loadf(f, 0, &at);
	fclose(f);
	if (!root) {
		snprintf(err, err_size, "%s:%d: %s", record->path, at.line, at.text);
		return -EINVAL;
	}
	ret = take_root(record, root, err, err_size);
	json_decref(root);
	return ret;
}

static int lock(struct tune_record *record, const char *run_dir, char *err, size_t err_size)
{
	int ret = 0, tries = LOCK_TRIES;

	if (mkdir(run_dir, 0755) && errno != EEXIST)
		ret = -errno;
	record->lock_fd = ret ? -1 : open(run_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (!ret && record->lock_fd < 0)
		ret = -errno;
	if (ret)
		snprintf(err, err_size, "%s: %s", run_dir, strerror(-ret));
	while (!ret && flock(record->lock_fd, LOCK_EX | LOCK_NB)) {
		if (--tries) {
			usleep(LOCK_RETRY_US);
			continue;
		}
		ret = -EBUSY;
		snprintf(err, err_size, "%s: another xegress-tune is at work there", run_dir);
	}
	return ret;
}

int tune_record_open(struct tune_record *record, const char *run_dir, bool change, char *err,
		     size_t err_size)
{
	int ret;

	memset(record, 0, sizeof(*record));
	record->lock_fd = -1;
	if (snprintf(record->path, sizeof(record->path), "%s/tune.json", run_dir) >=
	    (int)sizeof(record->path) - 8) {
		snprintf(err, err_size, "%.60s...: too long", run_dir);
		return -ENAMETOOLONG;
	}
	ret = change ? lock(record, run_dir, err, err_size) : 0;
	return ret ? ret : read_record(record, err, err_size);
}

void tune_record_close(struct tune_record *record)
{
	while (record->cnt)
		tune_record_drop(record, record->cnt - 1);
	free(record->changes);
	record->changes = NULL;
	if (record->lock_fd >= 0)
		close(record->lock_fd);
	record->lock_fd = -1;
}

/* ---- writing ---- */

static json_t *to_json(const struct tune_record *record)
{
	json_t *changes = json_array();
	char boot[64];

	for (unsigned int i = 0; i < record->cnt; i++) {
		const struct tune_change *c = &record->changes[i];

		json_array_append_new(changes, json_pack("{ss, ss, sI, ss, ss, sb}", "stage",
							 c->stage, "knob", c->knob, "ifindex",
							 (json_int_t)c->ifindex, "from", c->from,
							 "to", c->to, "keep", (int)c->keep));
	}
	boot_id(boot, sizeof(boot));
	return json_pack("{si, ss, sI, so}", "version", RECORD_VERSION, "boot", boot, "netns",
			 netns_id(), "changes", changes);
}

static int write_synced(const char *path, json_t *root)
{
	/* Never through a link that somebody has put there. */
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600), err = 0;

	if (fd < 0)
		return -errno;
	if (json_dumpfd(root, fd, JSON_INDENT(1)) || write(fd, "\n", 1) != 1)
		err = -EIO;
	if (!err && fsync(fd))
		err = -errno;
	if (close(fd) && !err)
		err = -errno;
	return err;
}

int tune_record_save(struct tune_record *record)
{
	char beside[sizeof(record->path) + 8];
	json_t *root;
	int err = 0;

	if (!record->cnt)
		return unlink(record->path) && errno != ENOENT ? -errno : 0;
	root = to_json(record);
	snprintf(beside, sizeof(beside), "%s.new", record->path);
	err = root ? write_synced(beside, root) : -ENOMEM;
	json_decref(root);
	if (!err && rename(beside, record->path))
		err = -errno;
	if (!err && fsync(record->lock_fd)) /* the folder: its new name is what must last */
		err = -errno;
	return err;
}

/* ---- the list ---- */

struct tune_change *tune_record_find(struct tune_record *record, const char *knob,
				     unsigned int ifindex)
{
	for (unsigned int i = 0; i < record->cnt; i++)
		if (!strcmp(record->changes[i].knob, knob) && record->changes[i].ifindex == ifindex)
			return &record->changes[i];
	return NULL;
}

struct tune_change *tune_record_add(struct tune_record *record, const char *stage, const char *knob,
				    unsigned int ifindex, const char *from, const char *to)
{
	struct tune_change *more, *c;

	more = realloc(record->changes, (record->cnt + 1) * sizeof(*more));
	if (!more)
		return NULL;
	record->changes = more;
	c = &more[record->cnt];
	*c = (struct tune_change){.ifindex = ifindex, .from = strdup(from), .to = strdup(to)};
	if (!c->from || !c->to) {
		free(c->from);
		free(c->to);
		return NULL;
	}
	snprintf(c->stage, sizeof(c->stage), "%s", stage);
	snprintf(c->knob, sizeof(c->knob), "%s", knob);
	record->cnt++;
	return c;
}

void tune_record_drop(struct tune_record *record, unsigned int idx)
{
	free(record->changes[idx].from);
	free(record->changes[idx].to);
	record->cnt--;
	memmove(&record->changes[idx], &record->changes[idx + 1],
		(record->cnt - idx) * sizeof(*record->changes));
}
