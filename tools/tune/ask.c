/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "ask.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "xegress/ctl_abi.h"

/* A service that is stuck must not keep its host from being looked at. */
#define ANSWER_MAX_S 5

static int dial(const char *run_dir)
{
	struct timeval silence = {.tv_sec = ANSWER_MAX_S};
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	int fd, err;

	if (snprintf(sun.sun_path, sizeof(sun.sun_path), "%s/" XE_CTL_SOCKET_NAME, run_dir) >=
	    (int)sizeof(sun.sun_path))
		return -ENAMETOOLONG;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &silence, sizeof(silence));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &silence, sizeof(silence));
	if (!connect(fd, (struct sockaddr *)&sun, sizeof(sun)))
		return fd;
	err = errno == ECONNREFUSED || errno == ENOTDIR ? -ENOENT : -errno;
	close(fd);
	return err;
}

static int take_result(const char *line, size_t len, json_t **result)
{
	json_t *root = json_loadb(line, len, 0, NULL);
	int err = -EPROTO;

	if (json_is_true(json_object_get(root, "ok"))) {
		*result = json_incref(json_object_get(root, "result"));
		err = *result ? 0 : -EPROTO;
	} else if (json_is_object(root)) {
		err = -EACCES; /* it refuses: not one of the group that may look */
	}
	json_decref(root);
	return err;
}

int tune_ask(const char *run_dir, const char *verb, json_t **result)
{
	char *line = NULL;
	size_t size = 0;
	int fd = dial(run_dir), err = -EPROTO;
	ssize_t len;
	FILE *in;

	*result = NULL;
	if (fd < 0)
		return fd;
	in = fdopen(fd, "r");
	if (!in) {
		close(fd);
		return -ENOMEM;
	}
	if (dprintf(fd, "{\"v\": %d, \"verb\": \"%s\"}\n", XE_CTL_VERSION, verb) > 0) {
		len = getline(&line, &size, in);
		err = len > 0 ? take_result(line, (size_t)len, result) : -ETIMEDOUT;
	}
	free(line);
	fclose(in);
	return err;
}
