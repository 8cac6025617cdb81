/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "base/detach.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

static int done_fd = -1; /* a pipe to the process that waits */

int xe_detach_begin(void)
{
	int fds[2], err;
	char byte;
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC))
		return -errno;
	pid = fork();
	if (pid < 0) {
		err = -errno;
		close(fds[0]);
		close(fds[1]);
		return err;
	}
	if (!pid) {
		close(fds[0]);
		done_fd = fds[1];
		setsid();
		return 0;
	}
	close(fds[1]);
	_exit(read(fds[0], &byte, 1) == 1 ? 0 : 1);
}

void xe_detach_done(void)
{
	if (done_fd < 0)
		return;
	if (write(done_fd, "", 1) < 0) {
		/* nobody waits any more */
	}
	close(done_fd);
	done_fd = -1;
}
