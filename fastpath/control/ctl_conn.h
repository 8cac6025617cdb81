/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * ctl_conn.h - one client's connection: lines in, bytes out, both bounded. Private to the server.
 *
 *   socket -> in[]  -> one line at a time -> request (ctl_serve.h)
 *   socket <- out[] <- its answer
 *
 * One request at a time; while it is open nothing is read, so that the socket's own buffer holds
 * the client back. Control thread only, non-blocking.
 */
#ifndef XE_CTL_CONN_H
#define XE_CTL_CONN_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "control/ctl_socket.h"

/* Below this much unsent output the next batch of a stream is asked for, or the next request
 * begun. About a third of a unix socket's default buffer: enough to keep it busy, and all that a
 * client which does not read can cost. */
#define XE_CTL_LOW_WATER (64u << 10)

struct xe_ctl_request;

struct xe_ctl_conn {
	struct xe_ctl_conn *next;
	int fd;
	int epoll_fd;    /* the server's, not owned */
	uint32_t events; /* what epoll watches now */
	struct xe_ctl_peer peer;
	struct xe_ctl_request *req; /* the open one */

	char *in;
	size_t in_len, in_size;
	size_t in_seen; /* so far without a newline */
	bool in_end;    /* the client will send no more */
	int in_fd;      /* the last descriptor that came along, ours; -1: none */

	char *out;
	size_t out_head, out_len, out_size; /* unsent: out[out_head .. out_head + out_len) */
	bool closing;                       /* when out is empty */
	bool broken;                        /* at once: an error, or no memory */
	bool refused;                       /* came while all were: no turn of it is due */
};

/* Takes over `fd` in every case. NULL: no memory. */
struct xe_ctl_conn *xe_ctl_conn_new(int fd, int epoll_fd, const struct xe_ctl_peer *peer);
void xe_ctl_conn_free(struct xe_ctl_conn *conn);

/* Read what is there, up to one read(). */
void xe_ctl_conn_fill(struct xe_ctl_conn *conn);
/* The next whole line (without its newline) or NULL; valid until xe_ctl_conn_line_done(). */
const char *xe_ctl_conn_line(struct xe_ctl_conn *conn, size_t *len);
void xe_ctl_conn_line_done(struct xe_ctl_conn *conn, size_t len);
/* Is the unfinished line at its bound already? */
bool xe_ctl_conn_line_too_long(const struct xe_ctl_conn *conn);
size_t xe_ctl_conn_line_max(const struct xe_ctl_conn *conn);

/* Append `head`, the JSON object, `tail`: all of it or nothing. -ENOBUFS: past the bound, -EINVAL:
 * not to be printed, -ENOMEM: and the connection is broken. */
int xe_ctl_conn_say(struct xe_ctl_conn *conn, const char *head, const json_t *json,
		    const char *tail);
/* The same, and it may use the reserve beyond the bound: for the short line that says why. */
int xe_ctl_conn_say_last(struct xe_ctl_conn *conn, const char *head, const json_t *json,
			 const char *tail);
/* Send what the socket takes. */
void xe_ctl_conn_flush(struct xe_ctl_conn *conn);
/* Let epoll watch for what the connection needs next; `work`: it has something to do already. */
void xe_ctl_conn_watch(struct xe_ctl_conn *conn, bool work);

#endif
