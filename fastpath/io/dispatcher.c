/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "io/dispatcher.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dispatcher.skel.h"

/* libxdp's names. */
#define OBJECT_PATH "LIBXDP_OBJECT_PATH"
#define OBJECT_NAME "xdp-dispatcher.o"
/* In the run directory. */
#define FOLDER "bpf"

static int write_object(const char *path)
{
	size_t len = 0;
	const void *elf = dispatcher_bpf__elf_bytes(&len);
	int fd, err = 0;
	ssize_t done;

	unlink(path); /* a crash leaves one */
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	done = write(fd, elf, len);
	if (done != (ssize_t)len)
		err = done < 0 ? -errno : -ENOSPC;
	close(fd);
	return err;
}

/* A folder that is ours alone: libxdp loads what lies there. The run directory may be another
 * user's. */
static int make_folder(const char *dir)
{
	struct stat st;

	if (!mkdir(dir, 0700))
		return 0;
	if (errno != EEXIST || lstat(dir, &st)) /* a crash leaves one */
		return -errno;
	return S_ISDIR(st.st_mode) && st.st_uid == geteuid() && !(st.st_mode & 022) ? 0 : -EPERM;
}

int xe_dispatcher_provide(const char *run_dir, char **dir)
{
	char path[PATH_MAX];
	int err;

	*dir = NULL;
	if (secure_getenv(OBJECT_PATH))
		return -EEXIST;
	if (asprintf(dir, "%s/" FOLDER, run_dir) < 0) {
		*dir = NULL;
		return -ENOMEM;
	}
	err = make_folder(*dir);
	if (err) {
		free(*dir);
		*dir = NULL;
		return err;
	}
	snprintf(path, sizeof(path), "%s/%s", *dir, OBJECT_NAME);
	err = write_object(path);
	if (!err && setenv(OBJECT_PATH, *dir, 1))
		err = -errno;
	if (err) {
		xe_dispatcher_remove(*dir);
		*dir = NULL;
	}
	return err;
}

static void remove_folder(const char *dir)
{
	char path[PATH_MAX + sizeof(OBJECT_NAME)];

	snprintf(path, sizeof(path), "%s/%s", dir, OBJECT_NAME);
	unlink(path);
	rmdir(dir);
}

void xe_dispatcher_clean(const char *run_dir)
{
	char dir[PATH_MAX];

	snprintf(dir, sizeof(dir), "%s/" FOLDER, run_dir);
	remove_folder(dir);
}

void xe_dispatcher_remove(char *dir)
{
	if (!dir)
		return;
	remove_folder(dir);
	unsetenv(OBJECT_PATH);
	free(dir);
}
