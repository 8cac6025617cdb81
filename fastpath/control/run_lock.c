/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "control/run_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "control/takeover_take.h"

static int lock_refused(const char *what, const char *path)
{
	int err = -errno;

	xe_log_err("%s %s: %s", what, path, strerror(-err));
	return err;
}

int xe_run_lock_sign(const struct xe_service *svc)
{
	char pid[16];
	int len = snprintf(pid, sizeof(pid), "%d\n", getpid());

	return ftruncate(svc->lock_fd, 0) || pwrite(svc->lock_fd, pid, (size_t)len, 0) < 0 ? -errno
											   : 0;
}

/* From its holder, whose lock stays locked as long as one of us has it. */
static int take_lock(struct xe_service *svc)
{
	int err;

	close(svc->lock_fd);
	svc->lock_fd = -1;
	err = xe_take_begin(svc);
	svc->given = !err; /* nothing is ours yet */
	return err;
}

bool xe_run_lock_is_there(int fd, const char *path)
{
	struct stat ours, there;

	return !fstat(fd, &ours) && !stat(path, &there) && ours.st_dev == there.st_dev &&
	       ours.st_ino == there.st_ino;
}

int xe_run_lock(struct xe_service *svc, bool takeover)
{
	char path[PATH_MAX + 8], pid[16] = "";
	ssize_t n;

	if (mkdir(svc->run_dir, 0755) && errno != EEXIST)
		return lock_refused("run directory", svc->run_dir);
	snprintf(path, sizeof(path), "%s/lock", svc->run_dir);
	svc->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	if (svc->lock_fd < 0)
		return lock_refused("lock", path);
	if (flock(svc->lock_fd, LOCK_EX | LOCK_NB)) {
		if (takeover)
			return take_lock(svc);
		n = read(svc->lock_fd, pid, sizeof(pid) - 1);
		close(svc->lock_fd);
		svc->lock_fd = -1;
		pid[n > 0 ? strcspn(pid, "\n") : 0] = '\0';
		xe_log_err("another xegressd (pid %s) uses run directory %s", pid, svc->run_dir);
		return -EBUSY;
	}
	if (!xe_run_lock_is_there(svc->lock_fd, path)) {
		xe_log_err("run directory %s: somebody has just removed it", svc->run_dir);
		return -ENOENT;
	}
	if (takeover)
		xe_log_info("takeover: nobody uses run directory %s: a start as ever",
			    svc->run_dir);
	return xe_run_lock_sign(svc) ? lock_refused("lock", path) : 0;
}
