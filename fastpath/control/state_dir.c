/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "control/state_dir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "control/flow_adopt.h"
#include "control/flow_wait.h"

/* Folders of dead processes that are read: a service that dies again and again before it has
 * adopted anything leaves one each time. The latest count. */
#define DEAD_MAX  16
#define NAME_SIZE 16

struct xe_state_dir {
	int fd;      /* RUNDIR/state/N, locked */
	int base_fd; /* RUNDIR/state */
	uint32_t number;
	bool others; /* folders of the dead are still there */
	struct xe_session_file files[XE_MAX_WORKERS];
	/* what the dead have left: who reads it has these until he says that he is done */
	struct xe_flow_file dead;
	struct xe_flow_batch *batch; /* of these; NULL: none, or no memory */
};

/* ---- folders ---- */

static int open_base(const char *run_dir, bool make)
{
	int run_fd = open(run_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), fd;

	if (run_fd < 0)
		return -errno;
	if (make)
		mkdirat(run_fd, "state", 0700);
	fd = openat(run_fd, "state", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		fd = -errno;
	close(run_fd);
	return fd;
}

static int open_folder(int base_fd, uint32_t number)
{
	char name[NAME_SIZE];

	snprintf(name, sizeof(name), "%u", number);
	return openat(base_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
}

static int cmp_number(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

/* Numbers of all folders, ascending; the last DEAD_MAX of them. Returns how many. */
static uint32_t list_folders(int base_fd, uint32_t numbers[DEAD_MAX])
{
	int fd = openat(base_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *e;
	uint32_t cnt = 0;

	if (!dir) {
		if (fd >= 0)
			close(fd);
		return 0;
	}
	while ((e = readdir(dir))) {
		char *end;
		unsigned long n = strtoul(e->d_name, &end, 10);

		if (*end || end == e->d_name || !n || n >= UINT32_MAX)
			continue;
		if (cnt == DEAD_MAX) {
			if (n < numbers[0])
				continue;
			numbers[0] = (uint32_t)n;
		} else {
			numbers[cnt++] = (uint32_t)n;
		}
		qsort(numbers, cnt, sizeof(*numbers), cmp_number);
	}
	closedir(dir);
	return cnt;
}

/* The files of workers in it, and the folder itself if that was all. fd: the folder. */
static void remove_folder(int base_fd, uint32_t number, int fd)
{
	char name[NAME_SIZE];

	for (uint32_t w = 0; fd >= 0 && w < XE_MAX_WORKERS; w++) {
		snprintf(name, sizeof(name), "w%u", w);
		unlinkat(fd, name, 0);
	}
	snprintf(name, sizeof(name), "%u", number);
	unlinkat(base_fd, name, AT_REMOVEDIR);
}

/* Its process is dead: *fd is the folder, locked. */
static bool is_dead(int base_fd, uint32_t number, int *fd)
{
	*fd = open_folder(base_fd, number);
	if (*fd < 0)
		return false;
	if (!flock(*fd, LOCK_EX | LOCK_NB))
		return true;
	close(*fd);
	*fd = -1;
	return false;
}

/* ---- what the dead have left ---- */

static void read_worker(int dir_fd, const char *run_dir, uint32_t number, uint32_t worker,
			struct xe_flow_file *out)
{
	uint32_t now_s = (uint32_t)(xe_now_ns() / XE_NS_PER_SEC);
	struct xe_session_file_counts counts;
	char name[NAME_SIZE], err[256] = "";
	int fd;

	snprintf(name, sizeof(name), "w%u", worker);
	fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return;
	if (xe_session_file_read(fd, now_s, out, &counts, err, sizeof(err)))
		xe_log_warn("%s/state/%u/%s: %s: its flows are not taken over", run_dir, number,
			    name, err);
	else if (counts.left_out)
		xe_log_info("%s/state/%u/%s: %u flows, and %u that were being written and are left "
			    "out",
			    run_dir, number, name, counts.taken, counts.left_out);
	close(fd);
}

/* Returns folders of the dead. */
static int read_dead(int base_fd, const char *run_dir, uint32_t own, struct xe_flow_file *out)
{
	uint32_t numbers[DEAD_MAX], cnt = list_folders(base_fd, numbers);
	int found = 0;

	for (uint32_t i = cnt; i--;) { /* the latest first: it knows best */
		int fd;

		if (numbers[i] == own || !is_dead(base_fd, numbers[i], &fd))
			continue;
		for (uint32_t w = 0; w < XE_MAX_WORKERS; w++)
			read_worker(fd, run_dir, numbers[i], w, out);
		close(fd);
		found++;
	}
	return found;
}

int xe_state_dir_read_dead(const char *run_dir, struct xe_flow_file *out)
{
	int base_fd = open_base(run_dir, false), found;

	if (base_fd < 0)
		return 0;
	found = read_dead(base_fd, run_dir, 0, out);
	close(base_fd);
	return found;
}

/* all: also those of processes that live. */
static void remove_others(int base_fd, uint32_t own, bool all)
{
	uint32_t numbers[DEAD_MAX], cnt;
	bool gone;

	do { /* there may be more than one list of them */
		cnt = list_folders(base_fd, numbers);
		gone = false;
		for (uint32_t i = 0; i < cnt; i++) {
			int fd = -1;

			if (numbers[i] == own || (!is_dead(base_fd, numbers[i], &fd) && !all))
				continue;
			if (fd < 0)
				fd = open_folder(base_fd, numbers[i]);
			remove_folder(base_fd, numbers[i], fd);
			if (fd >= 0)
				close(fd);
			gone |= open_folder(base_fd, numbers[i]) < 0;
		}
	} while (gone && cnt == DEAD_MAX);
}

void xe_state_dir_remove_dead(const char *run_dir)
{
	int base_fd = open_base(run_dir, false);

	if (base_fd < 0)
		return;
	remove_others(base_fd, 0, false);
	unlinkat(base_fd, "../state", AT_REMOVEDIR); /* if it is empty now */
	close(base_fd);
}

int xe_state_dir_read_own(struct xe_service *svc, struct xe_flow_file *out)
{
	const struct xe_state_dir *sd = svc->state_dir;

	if (!sd)
		return -ENOENT;
	for (uint32_t w = 0; w < svc->worker_cnt; w++)
		read_worker(sd->fd, svc->run_dir, sd->number, w, out);
	return 0;
}

/* ---- this process's ---- */

static void say_file_system(int fd, const char *run_dir)
{
	struct statfs fs;

	if (fstatfs(fd, &fs) || fs.f_type == TMPFS_MAGIC || fs.f_type == HUGETLBFS_MAGIC)
		return;
	xe_log_info("run directory %s is on a disk, not on a tmpfs: what is kept of flows is "
		    "written there all the time",
		    run_dir);
}

/* The next number, made and locked. */
static int make_folder(struct xe_state_dir *sd)
{
	uint32_t numbers[DEAD_MAX], cnt = list_folders(sd->base_fd, numbers);
	char name[NAME_SIZE];

	sd->number = cnt ? numbers[cnt - 1] + 1 : 1;
	snprintf(name, sizeof(name), "%u", sd->number);
	if (mkdirat(sd->base_fd, name, 0700))
		return -errno;
	sd->fd = open_folder(sd->base_fd, sd->number);
	if (sd->fd < 0 || flock(sd->fd, LOCK_EX | LOCK_NB))
		return -errno;
	return 0;
}

void xe_state_dir_open(struct xe_service *svc)
{
	struct xe_state_dir *sd = calloc(1, sizeof(*sd));
	int err = -ENOMEM;

	if (sd) {
		sd->fd = -1;
		sd->base_fd = open_base(svc->run_dir, true);
		err = sd->base_fd < 0 ? sd->base_fd : make_folder(sd);
	}
	svc->state_dir = sd;
	if (!err) {
		say_file_system(sd->fd, svc->run_dir);
		return;
	}
	xe_log_warn("%s/state: %s: flows will not outlive this process", svc->run_dir,
		    strerror(-err));
	xe_state_dir_close(svc);
}

struct xe_session_file *xe_state_dir_worker(struct xe_service *svc,
					    const struct xe_session_file_conf *conf)
{
	struct xe_state_dir *sd = svc->state_dir;
	char name[NAME_SIZE];
	int err;

	if (!sd)
		return NULL;
	snprintf(name, sizeof(name), "w%u", conf->worker);
	err = xe_session_file_open(&sd->files[conf->worker], sd->fd, name, conf);
	if (!err)
		return &sd->files[conf->worker];
	xe_log_warn("%s/state/%u/%s: %s: flows of worker %u will not outlive this process",
		    svc->run_dir, sd->number, name, strerror(-err), conf->worker);
	return NULL;
}

void xe_state_dir_port(struct xe_service *svc, const struct xe_port *port)
{
	struct xe_flow_port p = {
		.ifindex = (uint32_t)port->ifindex,
		.role = (uint8_t)port->role,
		.worker = (uint8_t)(port->owner->idx + 1),
		.worker_cnt = (uint8_t)svc->worker_cnt,
	};

	memcpy(p.name, port->name, sizeof(p.name));
	for (uint32_t w = 0; svc->state_dir && w < svc->worker_cnt; w++)
		xe_session_file_port(&svc->state_dir->files[w], port->id, &p);
}

static uint32_t flow_cnt(const struct xe_state_dir *sd)
{
	return sd->batch ? sd->batch->file.record_cnt : sd->dead.record_cnt;
}

uint32_t xe_state_dir_read(struct xe_service *svc)
{
	struct xe_state_dir *sd = svc->state_dir;

	if (!sd)
		return 0;
	xe_flow_file_init(&sd->dead);
	sd->others = read_dead(sd->base_fd, svc->run_dir, sd->number, &sd->dead) > 0;
	if (sd->dead.record_cnt)
		sd->batch = xe_flow_batch_new(&sd->dead, false);
	return flow_cnt(sd);
}

void xe_state_dir_adopt(struct xe_service *svc)
{
	struct xe_state_dir *sd = svc->state_dir;
	uint32_t cnt;

	if (!sd)
		return;
	cnt = flow_cnt(sd);
	if (cnt && (!sd->batch || xe_adopt_wait(svc, sd->batch))) {
		xe_log_warn("out of memory: %u flows are not taken over", cnt);
		xe_flow_batch_free(sd->batch);
	} else if (cnt) {
		xe_log_info("%u flows of a process that has died wait for their ports", cnt);
	}
	sd->batch = NULL;
	xe_flow_file_free(&sd->dead);
}

static void read_rests(int dir_fd, uint8_t left_s[65536])
{
	char name[NAME_SIZE];

	for (uint32_t w = 0; w < XE_MAX_WORKERS; w++) {
		int fd;

		snprintf(name, sizeof(name), "w%u", w);
		fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
		if (fd < 0)
			continue;
		xe_session_file_rests(fd, (uint32_t)(xe_now_ns() / XE_NS_PER_SEC), left_s);
		close(fd);
	}
}

void xe_state_dir_rests(struct xe_service *svc, bool own, uint8_t left_s[65536])
{
	const struct xe_state_dir *sd = svc->state_dir;
	uint32_t numbers[DEAD_MAX], cnt;

	if (!sd)
		return;
	if (own) {
		read_rests(sd->fd, left_s);
		return;
	}
	cnt = list_folders(sd->base_fd, numbers);
	for (uint32_t i = 0; i < cnt; i++) {
		int fd = numbers[i] == sd->number ? -1 : open_folder(sd->base_fd, numbers[i]);

		if (fd < 0)
			continue;
		read_rests(fd, left_s);
		close(fd);
	}
}

void xe_state_dir_grow(struct xe_service *svc, struct xe_worker *w)
{
	if (w->file && xe_session_file_grow(w->file, &w->lane->sessions))
		xe_log_warn("%s/state is full: new flows of worker %u will not outlive this "
			    "process",
			    svc->run_dir, w->idx);
}

void xe_state_dir_tick(struct xe_service *svc)
{
	struct xe_state_dir *sd = svc->state_dir;

	if (!sd)
		return;
	for (uint32_t i = 0; i < svc->worker_cnt; i++) {
		struct xe_worker *w = &svc->workers[i];

		if (w->file)
			xe_session_file_clock(w->file,
					      __atomic_load_n(&w->lane->now_s, __ATOMIC_RELAXED),
					      (uint32_t)(xe_now_ns() / XE_NS_PER_SEC));
		xe_state_dir_grow(svc, w);
	}
	if (!sd->others || xe_adopt_is_busy(svc))
		return;
	/* The ports that were there at the start have theirs. What waits for others is in memory
	 * only: read a second time, what has ended meanwhile would be there again. */
	remove_others(sd->base_fd, sd->number, false);
	sd->others = false;
}

void xe_state_dir_forget_others(struct xe_service *svc)
{
	if (!svc->state_dir)
		return;
	remove_others(svc->state_dir->base_fd, svc->state_dir->number, true);
	svc->state_dir->others = false;
}

void xe_state_dir_remove(struct xe_service *svc)
{
	const struct xe_state_dir *sd = svc->state_dir;

	if (!sd || !sd->number || sd->base_fd < 0)
		return;
	/* by the descriptor that there is: there may be none to be had any more */
	remove_folder(sd->base_fd, sd->number, sd->fd);
	if (sd->others && svc->stop) /* as asked for; a start that fails takes nothing */
		remove_others(sd->base_fd, sd->number, false);
	unlinkat(sd->base_fd, "../state", AT_REMOVEDIR);
}

void xe_state_dir_close(struct xe_service *svc)
{
	struct xe_state_dir *sd = svc->state_dir;

	if (!sd)
		return;
	xe_flow_batch_free(sd->batch);
	xe_flow_file_free(&sd->dead);
	for (uint32_t w = 0; w < XE_MAX_WORKERS; w++)
		xe_session_file_close(&sd->files[w]);
	xe_state_dir_remove(svc);
	if (sd->fd >= 0)
		close(sd->fd);
	if (sd->base_fd >= 0)
		close(sd->base_fd);
	free(sd);
	svc->state_dir = NULL;
}
