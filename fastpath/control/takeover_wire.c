/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "control/takeover_wire.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "control/flow_export.h"
#include "io/xsk.h"
#include "state/flow_record.h"
#include "xegress/steer_abi.h"

struct xe_to_sizes xe_to_our_sizes(void)
{
	return (struct xe_to_sizes){
		.message = sizeof(struct xe_to_msg),
		.meta = sizeof(struct xe_meta),
		.record = sizeof(struct xe_flow_record),
		.frame = XE_FRAME_SIZE,
		.ring = XE_RING_SIZE,
		.change = sizeof(struct xe_flow_change),
	};
}

void xe_to_close_fds(struct xe_to_fds *fds)
{
	for (uint32_t i = 0; i < fds->cnt; i++)
		if (fds->fd[i] >= 0)
			close(fds->fd[i]);
	fds->cnt = 0;
}

int xe_to_send(int sock, struct xe_to_msg *msg, uint16_t type, const struct xe_to_fds *fds)
{
	char control[CMSG_SPACE(sizeof(fds->fd))] = {};
	struct iovec iov = {.iov_base = msg, .iov_len = sizeof(*msg)};
	struct msghdr mh = {.msg_iov = &iov, .msg_iovlen = 1};
	struct cmsghdr *c;

	msg->magic = XE_TO_MAGIC;
	msg->version = XE_TO_VERSION;
	msg->type = type;
	if (fds && fds->cnt) {
		mh.msg_control = control;
		mh.msg_controllen = CMSG_SPACE(fds->cnt * sizeof(int));
		c = CMSG_FIRSTHDR(&mh);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(fds->cnt * sizeof(int));
		memcpy(CMSG_DATA(c), fds->fd, fds->cnt * sizeof(int));
	}
	return sendmsg(sock, &mh, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 ? -errno : 0;
}

void xe_to_refuse(int sock, const char *fmt, ...)
{
	struct xe_to_msg msg = {};
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(msg.text, sizeof(msg.text), fmt, ap);
	va_end(ap);
	xe_to_send(sock, &msg, XE_TO_REFUSED, NULL);
}

static void take_fds(struct msghdr *mh, struct xe_to_fds *fds)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(mh); c; c = CMSG_NXTHDR(mh, c)) {
		uint32_t cnt = (uint32_t)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
		int fd;

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (uint32_t i = 0; i < cnt; i++) {
			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
			if (fds->cnt < XE_TO_FDS_MAX)
				fds->fd[fds->cnt++] = fd;
			else
				close(fd);
		}
	}
}

/* 0: there is something to read. */
static int wait_for(int sock, int timeout_ms)
{
	struct pollfd p = {.fd = sock, .events = POLLIN};
	int n;

	do {
		n = poll(&p, 1, timeout_ms);
	} while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n ? 0 : -ETIMEDOUT;
}

int xe_to_recv(int sock, struct xe_to_msg *msg, struct xe_to_fds *fds, int timeout_ms)
{
	char control[CMSG_SPACE(sizeof(fds->fd))];
	struct iovec iov = {.iov_base = msg, .iov_len = sizeof(*msg)};
	struct msghdr mh = {.msg_iov = &iov,
			    .msg_iovlen = 1,
			    .msg_control = control,
			    .msg_controllen = sizeof(control)};
	int err = wait_for(sock, timeout_ms);
	ssize_t n;

	fds->cnt = 0;
	if (err)
		return err;
	memset(msg, 0, sizeof(*msg));
	n = recvmsg(sock, &mh, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	if (n < 0)
		return -errno;
	if (!n)
		return -ECONNRESET;
	take_fds(&mh, fds);
	/* All of the header; what another version has behind it is not looked at. */
	if ((size_t)n < offsetof(struct xe_to_msg, sizes) || msg->magic != XE_TO_MAGIC ||
	    (msg->version == XE_TO_VERSION && n != sizeof(*msg))) {
		xe_to_close_fds(fds);
		return -EPROTO;
	}
	if (msg->type == XE_TO_REFUSED)
		msg->text[sizeof(msg->text) - 1] = '\0';
	return 0;
}

bool xe_to_is_gone(int sock)
{
	struct pollfd p = {.fd = sock, .events = POLLRDHUP};

	return poll(&p, 1, 0) > 0 && p.revents & (POLLRDHUP | POLLHUP | POLLERR);
}
