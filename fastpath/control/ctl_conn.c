/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "control/ctl_conn.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "xegress/ctl_abi.h"

/* First size of both buffers: nearly every request and most answers fit. */
#define BUFFER_MIN 4096u
/* One read(): what a unix socket's buffer holds at most by default, so one call empties it. */
#define READ_MAX (256u << 10)
/* Room past XE_CTL_ANSWER_MAX for an error line, which is at most 1 KiB of text, escaped. */
#define OUT_RESERVE (8u << 10)
/* An empty output buffer larger than this is given back. */
#define OUT_KEEP (2 * XE_CTL_LOW_WATER)

struct xe_ctl_conn *xe_ctl_conn_new(int fd, int epoll_fd, const struct xe_ctl_peer *peer)
{
	struct xe_ctl_conn *conn = calloc(1, sizeof(*conn));
	struct epoll_event ev = {.events = EPOLLIN, .data.ptr = conn};

	if (!conn) {
		close(fd);
		return NULL;
	}
	conn->fd = fd;
	conn->in_fd = -1;
	conn->epoll_fd = epoll_fd;
	conn->peer = *peer;
	conn->events = ev.events;
	if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &ev)) {
		xe_ctl_conn_free(conn);
		return NULL;
	}
	return conn;
}

void xe_ctl_conn_free(struct xe_ctl_conn *conn)
{
	if (!conn)
		return;
	/* close() alone would leave it in the epoll while a child between fork() and exec() still
	 * has the descriptor, and the next event would point here. */
	epoll_ctl(conn->epoll_fd, EPOLL_CTL_DEL, conn->fd, NULL);
	close(conn->fd);
	if (conn->in_fd >= 0)
		close(conn->in_fd);
	free(conn->in);
	free(conn->out);
	free(conn);
}

/* Make *size at least `need`, doubling. */
static int grow(char **buf, size_t *size, size_t need)
{
	size_t to = *size ? *size : BUFFER_MIN;
	char *p;

	if (need <= *size)
		return 0;
	while (to < need)
		to *= 2;
	p = realloc(*buf, to);
	if (!p)
		return -ENOMEM;
	*buf = p;
	*size = to;
	return 0;
}

size_t xe_ctl_conn_line_max(const struct xe_ctl_conn *conn)
{
	return conn->peer.role == XE_CTL_WRITER ? XE_CTL_REQUEST_MAX : XE_CTL_REQUEST_MAX_READER;
}

bool xe_ctl_conn_line_too_long(const struct xe_ctl_conn *conn)
{
	return conn->in_len >= xe_ctl_conn_line_max(conn) && conn->in_seen == conn->in_len;
}

/* Descriptors of a message: the last one is kept, the others are closed. */
static void keep_fd(struct xe_ctl_conn *conn, struct msghdr *msg)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		size_t cnt = c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS
				     ? (c->cmsg_len - CMSG_LEN(0)) / sizeof(int)
				     : 0;

		for (size_t i = 0; i < cnt; i++) {
			if (conn->in_fd >= 0)
				close(conn->in_fd);
			memcpy(&conn->in_fd, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
		}
	}
}

/* As recv(), and a descriptor may come along. The kernel closes what has no room in `control`. */
static ssize_t receive(struct xe_ctl_conn *conn, void *to, size_t len)
{
	union {
		struct cmsghdr head; /* aligned */
		char bytes[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec iov = {.iov_base = to, .iov_len = len};
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	ssize_t n = recvmsg(conn->fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

	if (n >= 0)
		keep_fd(conn, &msg);
	return n;
}

void xe_ctl_conn_fill(struct xe_ctl_conn *conn)
{
	size_t max = xe_ctl_conn_line_max(conn), room;
	ssize_t n;

	if (conn->in_end || conn->in_len >= max)
		return;
	/* A full buffer doubles: short requests stay in 4 KiB, long ones need few calls. */
	if (conn->in_len == conn->in_size && grow(&conn->in, &conn->in_size, conn->in_len + 1)) {
		conn->broken = true;
		return;
	}
	room = conn->in_size - conn->in_len;
	if (room > max - conn->in_len)
		room = max - conn->in_len;
	n = receive(conn, conn->in + conn->in_len, room < READ_MAX ? room : READ_MAX);
	if (n > 0)
		conn->in_len += n;
	else if (n == 0)
		conn->in_end = true;
	else if (errno != EAGAIN && errno != EINTR)
		conn->broken = true;
}

const char *xe_ctl_conn_line(struct xe_ctl_conn *conn, size_t *len)
{
	const char *nl;

	/* What was searched before is not searched again: a long line that trickles in stays
	 * linear. */
	nl = conn->in_len == conn->in_seen
		     ? NULL
		     : memchr(conn->in + conn->in_seen, '\n', conn->in_len - conn->in_seen);
	if (!nl) {
		conn->in_seen = conn->in_len;
		return NULL;
	}
	conn->in_seen = nl - conn->in; /* the newline itself is found again */
	*len = nl - conn->in;
	return conn->in;
}

void xe_ctl_conn_line_done(struct xe_ctl_conn *conn, size_t len)
{
	conn->in_len -= len + 1;
	conn->in_seen = 0;
	if (conn->in_len) {
		memmove(conn->in, conn->in + len + 1, conn->in_len);
		return;
	}
	free(conn->in); /* a long one is not kept by an idle client */
	conn->in = NULL;
	conn->in_size = 0;
}

struct out_mark {
	struct xe_ctl_conn *conn;
	size_t max;
	int ret;
};

static int append(const char *buf, size_t len, void *arg)
{
	struct out_mark *m = arg;
	struct xe_ctl_conn *conn = m->conn;

	if (m->ret || !len)
		return m->ret ? -1 : 0;
	if (conn->out_len + len > m->max) {
		m->ret = -ENOBUFS;
		return -1;
	}
	if (conn->out_head && conn->out_head + conn->out_len + len > conn->out_size) {
		memmove(conn->out, conn->out + conn->out_head, conn->out_len);
		conn->out_head = 0;
	}
	if (grow(&conn->out, &conn->out_size, conn->out_head + conn->out_len + len)) {
		conn->broken = true;
		m->ret = -ENOMEM;
		return -1;
	}
	memcpy(conn->out + conn->out_head + conn->out_len, buf, len);
	conn->out_len += len;
	return 0;
}

static int say(struct xe_ctl_conn *conn, size_t max, const char *head, const json_t *json,
	       const char *tail)
{
	struct out_mark m = {.conn = conn, .max = max};
	size_t before = conn->out_len;

	append(head, strlen(head), &m);
	if (!m.ret && json_dump_callback(json, append, &m, JSON_COMPACT) && !m.ret)
		m.ret = -EINVAL;
	append(tail, strlen(tail), &m);
	if (m.ret)
		conn->out_len = before;
	return m.ret;
}

int xe_ctl_conn_say(struct xe_ctl_conn *conn, const char *head, const json_t *json,
		    const char *tail)
{
	return say(conn, XE_CTL_ANSWER_MAX, head, json, tail);
}

int xe_ctl_conn_say_last(struct xe_ctl_conn *conn, const char *head, const json_t *json,
			 const char *tail)
{
	return say(conn, XE_CTL_ANSWER_MAX + OUT_RESERVE, head, json, tail);
}

void xe_ctl_conn_flush(struct xe_ctl_conn *conn)
{
	while (conn->out_len && !conn->broken) {
		ssize_t n = send(conn->fd, conn->out + conn->out_head, conn->out_len,
				 MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			conn->broken = errno != EAGAIN;
			return;
		}
		conn->out_head += n;
		conn->out_len -= n;
	}
	if (conn->out_len)
		return;
	conn->out_head = 0;
	if (conn->out_size > OUT_KEEP) {
		free(conn->out);
		conn->out = NULL;
		conn->out_size = 0;
	}
}

void xe_ctl_conn_watch(struct xe_ctl_conn *conn, bool work)
{
	struct epoll_event ev = {.data.ptr = conn};

	if (!conn->req && !conn->in_end && !conn->closing && !work)
		ev.events |= EPOLLIN;
	if (conn->out_len || work || conn->broken)
		ev.events |= EPOLLOUT;
	if (ev.events == conn->events)
		return;
	if (!epoll_ctl(conn->epoll_fd, EPOLL_CTL_MOD, conn->fd, &ev)) {
		conn->events = ev.events;
		return;
	}
	/* What is waited for now would never be told, and whoever called may not look: EPOLLHUP is
	 * told whatever is asked for, so the next round of the loop ends the connection, and the
	 * client has its answer, or the end, at once. */
	xe_ctl_conn_flush(conn);
	conn->broken = true;
	shutdown(conn->fd, SHUT_RDWR);
}
