/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * ctl_request.h - what a verb of the control protocol sees: its words, who asks, how to answer.
 *
 * Control thread only. A verb's run() gets a request and does one of four things:
 *
 *   answers      xe_ctl_ok() or xe_ctl_fail(), then returns 0; xe_ctl_part() any number of times
 *                before, as long as that is little
 *   fails        returns -errno without an answer: the client reads strerror()
 *   streams      xe_ctl_stream(), then returns 0: more() is called whenever the client has read
 *                enough of what was said before
 *   defers       xe_ctl_defer(), then returns 0: it keeps the request and calls xe_ctl_ok(),
 *                xe_ctl_fail() or xe_ctl_stream() later, from anywhere in the control thread
 *
 * A request lives until it is answered; whoever deferred it must not touch it after that. A client
 * that goes away meanwhile doesn't end a deferred request: the work is done all the same, its
 * answer and audit line are given as ever, only nobody reads the answer.
 */
#ifndef XE_CTL_REQUEST_H
#define XE_CTL_REQUEST_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "xegress/ctl_abi.h"

struct xe_ctl_request;

/* One verb. The table ends with name NULL and outlives the server. */
struct xe_ctl_verb {
	const char *name; /* "port add" */
	bool writes;      /* for writers only, and leaves an audit line */
	uint8_t min_args;
	uint8_t max_args; /* XE_CTL_ARGS_MAX: no bound of its own */
	int (*run)(void *ctx, struct xe_ctl_request *req);
};

/* One changing verb that ended, or was refused. Strings are printable, free of line breaks, cut at
 * 512 bytes, and valid during the call only. */
struct xe_ctl_audit {
	uid_t uid;
	pid_t pid; /* 0: in a pid namespace we cannot see */
	const char *verb;
	const char *args;    /* the words, joined by spaces */
	bool ok;             /* outcome */
	const char *outcome; /* "done", or the error line */
};
typedef void (*xe_ctl_audit_fn)(void *ctx, const struct xe_ctl_audit *line);

/* What was asked. An argument past the last reads as NULL. */
size_t xe_ctl_arg_cnt(const struct xe_ctl_request *req);
const char *xe_ctl_arg(const struct xe_ctl_request *req, size_t idx);
/* Words first..last as one string with single spaces, to be freed by the caller; NULL: no memory.
 * What the rule parser wants. */
char *xe_ctl_args_joined(const struct xe_ctl_request *req, size_t first);
/* A text option and its length (no NUL inside, valid UTF-8); NULL when missing or of another
 * type. */
const char *xe_ctl_option_text(const struct xe_ctl_request *req, const char *name, size_t *len);
/* The descriptor that came along with it (SCM_RIGHTS), now the caller's; -1: none did. */
int xe_ctl_take_fd(struct xe_ctl_request *req);
uid_t xe_ctl_uid(const struct xe_ctl_request *req);
pid_t xe_ctl_pid(const struct xe_ctl_request *req);
const char *xe_ctl_verb_name(const struct xe_ctl_request *req);

/* The final answers. Both always succeed as far as the caller is concerned and return 0, so that a
 * verb can end with `return xe_ctl_ok(...)`. `result` is stolen; NULL is an empty object. A result
 * that is no JSON, or longer than XE_CTL_ANSWER_MAX, becomes a failure. */
int xe_ctl_ok(struct xe_ctl_request *req, json_t *result);
/* `code` is XE_CTL_FAILED or XE_CTL_USAGE; the text becomes one line without a final full stop. */
int xe_ctl_fail(struct xe_ctl_request *req, int code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* One line of a stream; `part` is stolen. 1: go on; 0: enough for now (the line is kept, more()
 * should return); -ENOBUFS: the client is XE_CTL_ANSWER_MAX behind, the line is lost; -EPIPE: the
 * client is gone; -EINVAL: `part` is NULL or no JSON. */
int xe_ctl_part(struct xe_ctl_request *req, json_t *part);

/*
 * Answer by pulling. more() says a batch with xe_ctl_part() and returns 1 while there is more to
 * say, 0 after xe_ctl_ok() or xe_ctl_fail(), -errno to fail. A batch may be empty (a walk that
 * takes its time: others are served between two calls). Between two calls any amount of time may
 * pass: hold no lock and no RCU section over it. end() is called exactly once, after the last
 * more() or when the client goes away or the server closes, and frees `arg`; it may be NULL.
 */
int xe_ctl_stream(struct xe_ctl_request *req, int (*more)(void *arg, struct xe_ctl_request *req),
		  void (*end)(void *arg), void *arg);

/* The answer comes later; must come within XE_CTL_SILENCE_MAX_S for xegressctl to wait for it. A
 * request that is still open when the server closes is told so to its client; the caller then
 * still has to answer it, which frees it. */
int xe_ctl_defer(struct xe_ctl_request *req);
/* Is the client of a deferred request still there? */
bool xe_ctl_gone(const struct xe_ctl_request *req);

#endif
