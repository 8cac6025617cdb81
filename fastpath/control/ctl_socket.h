/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * ctl_socket.h - the control socket's file in the file system, and who is at its other end.
 */
#ifndef XE_CTL_SOCKET_H
#define XE_CTL_SOCKET_H

#include <stddef.h>
#include <sys/stat.h>
#include <sys/types.h>

enum xe_ctl_role {
	XE_CTL_STRANGER, /* nothing */
	XE_CTL_READER,   /* verbs that show */
	XE_CTL_WRITER,   /* everything */
};

struct xe_ctl_peer {
	uid_t uid;
	pid_t pid;
	enum xe_ctl_role role;
};

/* Bind and listen at `path`, non-blocking. `file` is filled with what was made, for
 * xe_ctl_socket_remove(). Returns the descriptor, -EADDRINUSE when a live process listens there,
 * -errno else, with one line in err. */
int xe_ctl_socket_listen(const char *path, mode_t mode, gid_t gid, struct stat *file, char *err,
			 size_t err_size);
/* Unlink, unless the name means another file by now (a successor's). */
void xe_ctl_socket_remove(const char *path, const struct stat *file);

/* Who connected (SO_PEERCRED, SO_PEERGROUPS: as they were at connect). -errno. */
int xe_ctl_socket_peer(int fd, gid_t readers_gid, struct xe_ctl_peer *peer);

#endif
