/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A socket file outlives its process, so the name alone says nothing: connect() does. Refused means
 * that nobody listens, and the file may go. Between that and our own bind() another starting
 * service could do the same; a lock on the folder makes the two steps one.
 */
#include "control/ctl_socket.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* Connections the kernel keeps for us between two dispatches; more would wait in connect(). */
#define BACKLOG 64

static int fill_address(const char *path, struct sockaddr_un *sun)
{
	memset(sun, 0, sizeof(*sun));
	sun->sun_family = AF_UNIX;
	if (strlen(path) >= sizeof(sun->sun_path))
		return -ENAMETOOLONG;
	strcpy(sun->sun_path, path);
	return 0;
}

/* 1: a process listens there; *pid is it, or 0 when it cannot be told. 0: nobody. -errno. */
static int find_listener(const struct sockaddr_un *sun, pid_t *pid)
{
	struct ucred cred = {.pid = 0};
	socklen_t len = sizeof(cred);
	int fd, ret = 0;

	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (!connect(fd, (const struct sockaddr *)sun, sizeof(*sun)))
		ret = 1;
	else if (errno == EAGAIN) /* its backlog is full: alive, if not well */
		ret = 1;
	else if (errno != ECONNREFUSED && errno != ENOENT)
		ret = -errno;
	/* On the connecting side these are the credentials of who called listen(). */
	if (ret == 1)
		getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len);
	*pid = cred.pid;
	close(fd);
	return ret;
}

static int clear_name(const struct sockaddr_un *sun, char *err, size_t err_size)
{
	const char *path = sun->sun_path;
	struct stat st;
	pid_t pid = 0;
	int ret;

	if (lstat(path, &st)) {
		if (errno == ENOENT)
			return 0;
		ret = -errno;
		snprintf(err, err_size, "%s: %s", path, strerror(-ret));
		return ret;
	}
	if (!S_ISSOCK(st.st_mode)) {
		snprintf(err, err_size, "%s: exists and is not a socket", path);
		return -EEXIST;
	}
	ret = find_listener(sun, &pid);
	if (ret < 0) {
		snprintf(err, err_size, "%s: cannot tell who listens there: %s", path,
			 strerror(-ret));
		return ret;
	}
	if (ret) {
		snprintf(err, err_size, "%s: a running service has it (pid %d)", path, (int)pid);
		return -EADDRINUSE;
	}
	if (unlink(path)) {
		ret = -errno;
		snprintf(err, err_size, "%s: cannot replace it: %s", path, strerror(-ret));
		return ret;
	}
	return 0;
}

/* The folder's lock, to be closed after bind(). Held for microseconds, so whoever has it is
 * another service that starts here at this moment. */
static int lock_folder(const char *path, char *err, size_t err_size)
{
	char *copy = strdup(path);
	int fd, ret;

	if (!copy)
		return -ENOMEM;
	fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ret = fd < 0 || flock(fd, LOCK_EX | LOCK_NB) ? -errno : fd;
	if (ret == -EWOULDBLOCK) {
		snprintf(err, err_size, "%s: another service is just starting there", path);
		ret = -EADDRINUSE;
	} else if (ret < 0) {
		snprintf(err, err_size, "%s: its folder: %s", path, strerror(-ret));
	}
	if (ret < 0 && fd >= 0)
		close(fd);
	free(copy);
	return ret;
}

/* Group and mode are set before listen(): until then every connect() is refused, so nobody gets in
 * by what the umask left open. */
static int bind_and_listen(int fd, const struct sockaddr_un *sun, mode_t mode, gid_t gid,
			   struct stat *file)
{
	const char *path = sun->sun_path;
	int ret;

	if (bind(fd, (const struct sockaddr *)sun, sizeof(*sun)))
		return -errno;
	if ((gid != (gid_t)-1 && chown(path, (uid_t)-1, gid)) || chmod(path, mode) ||
	    lstat(path, file) || listen(fd, BACKLOG)) {
		ret = -errno;
		unlink(path);
		return ret;
	}
	return 0;
}

int xe_ctl_socket_listen(const char *path, mode_t mode, gid_t gid, struct stat *file, char *err,
			 size_t err_size)
{
	struct sockaddr_un sun;
	int lock_fd = -1, fd = -1, ret;

	ret = fill_address(path, &sun);
	if (ret) {
		snprintf(err, err_size, "%s: longer than the %zu bytes a socket's name may have",
			 path, sizeof(sun.sun_path) - 1);
		return ret;
	}
	lock_fd = lock_folder(path, err, err_size);
	if (lock_fd < 0)
		return lock_fd;
	ret = clear_name(&sun, err, err_size);
	if (ret)
		goto out;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	ret = fd < 0 ? -errno : bind_and_listen(fd, &sun, mode, gid, file);
	if (ret)
		snprintf(err, err_size, "%s: cannot listen: %s", path, strerror(-ret));
out:
	close(lock_fd);
	if (ret && fd >= 0)
		close(fd);
	return ret ? ret : fd;
}

void xe_ctl_socket_remove(const char *path, const struct stat *file)
{
	struct stat now;

	if (!lstat(path, &now) && now.st_dev == file->st_dev && now.st_ino == file->st_ino)
		unlink(path);
}

static bool in_group(int fd, gid_t gid)
{
	socklen_t len = 0;
	gid_t *groups;
	bool found = false;

	/* Asked with no room, the kernel says how much it needs. */
	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, NULL, &len) == 0 || errno != ERANGE)
		return false;
	groups = malloc(len);
	if (groups && !getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &len))
		for (size_t i = 0; i < len / sizeof(*groups); i++)
			found |= groups[i] == gid;
	free(groups);
	return found;
}

int xe_ctl_socket_peer(int fd, gid_t readers_gid, struct xe_ctl_peer *peer)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len))
		return -errno;
	peer->uid = cred.uid;
	peer->pid = cred.pid;
	if (cred.uid == 0 || cred.uid == geteuid())
		peer->role = XE_CTL_WRITER;
	else if (cred.gid == readers_gid || in_group(fd, readers_gid))
		peer->role = XE_CTL_READER;
	else
		peer->role = XE_CTL_STRANGER;
	return 0;
}
