/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The control socket's loop: accept, and give each ready connection one turn.
 *
 * A turn is one read, one request or one batch of a stream, and one send: a client that asks for a
 * million flows, or sends requests as fast as it can, gets no more of the control thread than one
 * which asks for `status`.
 */
#include "control/ctl_server.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "control/ctl_serve.h"

/* Connections at once. A monitoring agent and some people make ten; the bound keeps a broken script
 * from taking the service's descriptors. The last 16 are for writers: no reader can shut root out.
 */
#define CONNS_MAX   64
#define READERS_MAX 48
/* Turns and accepts in one dispatch: netlink and timers share the thread. */
#define TURNS_MAX 16

struct xe_ctl {
	struct xe_ctl_service service;
	struct xe_ctl_conn *conns;
	unsigned int conn_cnt;
	char *path;
	struct stat file; /* the socket file we made */
	gid_t readers_gid;
	int listen_fd;
	int epoll_fd;
	int spare_fd; /* given up for a moment to accept and refuse when descriptors run out */
	bool refuses; /* in xe_ctl_refuse() */
};

static int open_fds(struct xe_ctl *ctl, const struct xe_ctl_options *o, char *err, size_t err_size)
{
	struct epoll_event ev = {.events = EPOLLIN};
	int ret;

	ctl->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	ctl->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (ctl->epoll_fd < 0 || ctl->spare_fd < 0) {
		ret = -errno;
		snprintf(err, err_size, "control socket: %s", strerror(-ret));
		return ret;
	}
	ret = xe_ctl_socket_listen(o->path, o->mode, o->gid, &ctl->file, err, err_size);
	if (ret < 0)
		return ret;
	ctl->listen_fd = ret;
	ctl->readers_gid = ctl->file.st_gid;
	if (epoll_ctl(ctl->epoll_fd, EPOLL_CTL_ADD, ctl->listen_fd, &ev)) {
		ret = -errno;
		snprintf(err, err_size, "control socket: %s", strerror(-ret));
		return ret;
	}
	return 0;
}

int xe_ctl_open(const struct xe_ctl_options *options, struct xe_ctl **out, char *err,
		size_t err_size)
{
	struct xe_ctl *ctl = calloc(1, sizeof(*ctl));
	int ret;

	*out = NULL;
	if (ctl)
		ctl->path = strdup(options->path);
	if (!ctl || !ctl->path) {
		free(ctl);
		snprintf(err, err_size, "control socket: no memory");
		return -ENOMEM;
	}
	ctl->listen_fd = ctl->epoll_fd = ctl->spare_fd = -1;
	ctl->service.verbs = options->verbs;
	ctl->service.ctx = options->ctx;
	ctl->service.audit = options->audit;
	ret = open_fds(ctl, options, err, err_size);
	if (ret)
		xe_ctl_close(ctl);
	else
		*out = ctl;
	return ret;
}

int xe_ctl_rename(struct xe_ctl *ctl, const char *path)
{
	char *copy = strdup(path);

	if (!copy)
		return -ENOMEM;
	if (rename(ctl->path, path)) {
		int err = -errno;

		free(copy);
		return err;
	}
	free(ctl->path);
	ctl->path = copy;
	return 0;
}

int xe_ctl_fd(const struct xe_ctl *ctl)
{
	return ctl->epoll_fd;
}

/* Why a client is not let in, or NULL. */
static const char *why_refused(const struct xe_ctl *ctl, const struct xe_ctl_peer *peer)
{
	if (peer->role == XE_CTL_STRANGER)
		return "permission denied: you are neither root nor in the socket's group";
	if (ctl->conn_cnt >= (peer->role == XE_CTL_WRITER ? CONNS_MAX : READERS_MAX))
		return "too many clients at once";
	return NULL;
}

static void conn_add(struct xe_ctl *ctl, int fd)
{
	struct xe_ctl_peer peer;
	struct xe_ctl_conn *conn;
	const char *why;

	if (xe_ctl_socket_peer(fd, ctl->readers_gid, &peer)) {
		close(fd);
		return;
	}
	conn = xe_ctl_conn_new(fd, ctl->epoll_fd, &peer);
	if (!conn)
		return;
	why = why_refused(ctl, &peer);
	if (why) {
		xe_ctl_serve_refuse(conn, XE_CTL_FAILED, why);
		xe_ctl_conn_flush(conn);
		xe_ctl_conn_free(conn);
		return;
	}
	conn->refused = ctl->refuses;
	conn->next = ctl->conns;
	ctl->conns = conn;
	ctl->conn_cnt++;
}

/* No descriptor is left: a connection that nobody accepts would wake us for ever. */
static void accept_and_refuse(struct xe_ctl *ctl)
{
	int fd;

	close(ctl->spare_fd);
	fd = accept4(ctl->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd >= 0)
		close(fd);
	ctl->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	xe_log_warn("control socket: a client was refused: no file descriptor left");
}

static void accept_some(struct xe_ctl *ctl)
{
	for (int i = 0; i < TURNS_MAX; i++) {
		int fd = accept4(ctl->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd >= 0) {
			conn_add(ctl, fd);
			continue;
		}
		if (errno == EMFILE || errno == ENFILE)
			accept_and_refuse(ctl);
		if (errno != EINTR && errno != ECONNABORTED)
			return;
	}
}

/* Begin the next request, if a whole one is there. */
static void next_request(struct xe_ctl *ctl, struct xe_ctl_conn *conn)
{
	size_t len;
	const char *line = xe_ctl_conn_line(conn, &len);
	char text[64];

	if (line) {
		if (len) /* an empty line is nothing, and somebody types by hand */
			xe_ctl_serve_start(&ctl->service, conn, line, len);
		xe_ctl_conn_line_done(conn, len);
		return;
	}
	if (xe_ctl_conn_line_too_long(conn)) {
		snprintf(text, sizeof(text), "the request is longer than %zu bytes",
			 xe_ctl_conn_line_max(conn));
		xe_ctl_serve_refuse(conn, XE_CTL_USAGE, text);
		conn->closing = true;
	} else if (conn->in_end && conn->in_len) {
		xe_ctl_serve_refuse(conn, XE_CTL_USAGE, "the request has no end of line");
		conn->closing = true;
	} else if (conn->in_end) {
		conn->closing = true;
	}
}

static bool has_line(struct xe_ctl_conn *conn)
{
	size_t len;

	return xe_ctl_conn_line(conn, &len) != NULL;
}

/* More to do without another byte from the client? */
static bool has_work(struct xe_ctl_conn *conn)
{
	if (conn->closing)
		return false;
	if (conn->req)
		return xe_ctl_serve_pullable(conn->req);
	return conn->in_end || has_line(conn);
}

static void turn(struct xe_ctl *ctl, struct xe_ctl_conn *conn)
{
	xe_ctl_conn_flush(conn);
	if (!conn->req && !conn->closing && !has_line(conn))
		xe_ctl_conn_fill(conn);
	if (conn->out_len < XE_CTL_LOW_WATER && !conn->closing && !conn->broken) {
		if (xe_ctl_serve_pullable(conn->req))
			xe_ctl_serve_pull(conn->req);
		else if (!conn->req)
			next_request(ctl, conn);
	}
	xe_ctl_conn_flush(conn);
	xe_ctl_conn_watch(conn, has_work(conn));
}

static void conn_drop(struct xe_ctl *ctl, struct xe_ctl_conn *conn)
{
	struct xe_ctl_conn **p = &ctl->conns;

	while (*p != conn)
		p = &(*p)->next;
	*p = conn->next;
	ctl->conn_cnt--;
	xe_ctl_serve_leave(conn->req, "the client went away");
	xe_ctl_conn_free(conn);
}

void xe_ctl_dispatch(struct xe_ctl *ctl)
{
	struct epoll_event evs[TURNS_MAX];
	int cnt = epoll_wait(ctl->epoll_fd, evs, TURNS_MAX, 0);

	for (struct xe_ctl_conn *conn = ctl->conns; conn; conn = conn->next)
		conn->refused = false; /* may be among these events */
	/* A turn frees no connection but its own, so no later event of this round dangles. */
	for (int i = 0; i < cnt; i++) {
		struct xe_ctl_conn *conn = evs[i].data.ptr;

		if (!conn) {
			accept_some(ctl);
			continue;
		}
		if (evs[i].events & (EPOLLHUP | EPOLLERR))
			conn->broken = true;
		else
			turn(ctl, conn);
		if (conn->broken || (conn->closing && !conn->out_len))
			conn_drop(ctl, conn);
	}
}

/* What one client has asked, TURNS_MAX requests at most. What ends the connection is left to its
 * next turn. */
static void refuse_some(struct xe_ctl_conn *conn, const char *why)
{
	const char *line;
	size_t len;

	for (int i = 0; i < TURNS_MAX && conn->out_len < XE_CTL_LOW_WATER; i++) {
		if (conn->req || conn->closing || conn->broken)
			return;
		if (!has_line(conn))
			xe_ctl_conn_fill(conn);
		line = xe_ctl_conn_line(conn, &len);
		if (!line)
			break;
		if (len)
			xe_ctl_serve_refuse(conn, XE_CTL_FAILED, why);
		xe_ctl_conn_line_done(conn, len);
	}
	xe_ctl_conn_flush(conn);
	xe_ctl_conn_watch(conn, has_work(conn));
}

void xe_ctl_refuse(struct xe_ctl *ctl, const char *why)
{
	struct xe_ctl_conn *conn, *next;

	if (!ctl)
		return;
	ctl->refuses = true;
	accept_some(ctl);
	ctl->refuses = false;
	for (conn = ctl->conns; conn; conn = next) {
		next = conn->next;
		refuse_some(conn, why);
		/* One that was there before may be in a turn, or about to have one. */
		if (conn->refused && (conn->broken || (conn->in_end && !has_line(conn))))
			conn_drop(ctl, conn);
	}
}

void xe_ctl_close(struct xe_ctl *ctl)
{
	if (!ctl)
		return;
	if (ctl->listen_fd >= 0)
		xe_ctl_socket_remove(ctl->path, &ctl->file);
	while (ctl->conns) {
		struct xe_ctl_conn *conn = ctl->conns;

		if (conn->req)
			xe_ctl_serve_refuse(conn, XE_CTL_FAILED, "the service is stopping");
		xe_ctl_conn_flush(conn);
		ctl->conns = conn->next;
		xe_ctl_serve_leave(conn->req, "the service is stopping");
		xe_ctl_conn_free(conn);
	}
	if (ctl->listen_fd >= 0)
		close(ctl->listen_fd);
	if (ctl->spare_fd >= 0)
		close(ctl->spare_fd);
	if (ctl->epoll_fd >= 0)
		close(ctl->epoll_fd);
	free(ctl->path);
	free(ctl);
}
