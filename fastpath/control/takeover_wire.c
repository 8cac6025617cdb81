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
#include "pipeline/lane.h"
#include "state/flow_record.h"
#include "xegress/steer_abi.h"

_Static_assert(XE_TO_SIZE_CNT <= XE_TO_SIZES, "there is room");
_Static_assert(offsetof(struct xe_to_msg, hello) == 8 && sizeof(struct xe_to_hello) == 132,
	       "in all versions");

/* What cannot be translated, as a refusal names it. */
static const struct {
	enum xe_to_size size;
	const char *name, *unit;
} fixed[] = {
	{XE_TO_META, "packets' metadata", "bytes"},
	{XE_TO_FRAME, "packets' frames", "bytes"},
	{XE_TO_RING, "sockets' rings", "entries"},
};

void xe_to_our_sizes(uint32_t size[XE_TO_SIZES])
{
	static const uint32_t ours[XE_TO_SIZES] = {
		[XE_TO_META] = sizeof(struct xe_meta),
		[XE_TO_FRAME] = XE_FRAME_SIZE,
		[XE_TO_RING] = XE_RING_SIZE,
		[XE_TO_CHANGE] = sizeof(struct xe_flow_change),
		[XE_TO_SOCKET] = sizeof(struct xe_to_socket),
		[XE_TO_HELD] = sizeof(struct xe_to_held),
		[XE_TO_LANE_COUNTERS] = sizeof(struct xe_lane_counters),
		[XE_TO_LANE_PLAIN] = offsetof(struct xe_lane_counters, reason),
		[XE_TO_PORT_COUNTERS] = sizeof(struct xe_port_counters),
		[XE_TO_EXT_ADDRS] = XE_MAX_EXT_ADDRS * sizeof(struct xe_addr),
		[XE_TO_LIVE_BUCKET] = sizeof(struct xe_live_bucket),
		[XE_TO_OWNED] = XE_OWNED_ENTRIES * sizeof(uint64_t),
	};

	memcpy(size, ours, sizeof(ours));
}

void xe_to_our_hello(struct xe_to_hello *hello)
{
	*hello = (struct xe_to_hello){.version_min = XE_TO_VERSION_MIN};
	xe_to_our_sizes(hello->size);
}

bool xe_to_speaks(uint16_t version)
{
	return version >= XE_TO_VERSION_MIN && version <= XE_TO_VERSION;
}

static void name_range(char *text, size_t size, uint32_t min, uint32_t max)
{
	if (min == max)
		snprintf(text, size, "version %u", max);
	else
		snprintf(text, size, "versions %u to %u", min, max);
}

int xe_to_agree(const struct xe_to_msg *hello, uint16_t *version, char why[XE_TO_TEXT])
{
	const uint32_t *theirs = hello->hello.size;
	/* Before version 3 there was no range. */
	uint32_t min = hello->version < 3 ? hello->version : hello->hello.version_min;
	uint32_t ours[XE_TO_SIZES];
	char old[32], new[32];

	*version = hello->version < XE_TO_VERSION ? hello->version : XE_TO_VERSION;
	if (!min || min > hello->version)
		min = hello->version;
	if (*version < min || !xe_to_speaks(*version)) {
		name_range(old, sizeof(old), XE_TO_VERSION_MIN, XE_TO_VERSION);
		name_range(new, sizeof(new), min, hello->version);
		snprintf(why, XE_TO_TEXT,
			 "the running service speaks %s of takeover, the new one %s: stop it and "
			 "start the new one",
			 old, new);
		return -EPROTONOSUPPORT;
	}
	xe_to_our_sizes(ours);
	for (size_t i = 0; i < sizeof(fixed) / sizeof(fixed[0]); i++) {
		enum xe_to_size s = fixed[i].size;

		if (theirs[s] == ours[s])
			continue;
		snprintf(why, XE_TO_TEXT,
			 "the running service's %s have %u %s, the new one's %u: stop it and start "
			 "the new one",
			 fixed[i].name, ours[s], fixed[i].unit, theirs[s]);
		return -EPROTONOSUPPORT;
	}
	return 0;
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
	if (!msg->version)
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
	take_fds(&mh, fds);
	/* Its end, or an empty message, which may bring descriptors all the same. All of the header
	 * has to be there; how much is behind it is the sender's version's. */
	if (!n) {
		xe_to_close_fds(fds);
		return -ECONNRESET;
	}
	if ((size_t)n < offsetof(struct xe_to_msg, hello) || msg->magic != XE_TO_MAGIC) {
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
