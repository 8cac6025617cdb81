/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * ctl_server.h - the control socket's server (protocol: xegress/ctl_abi.h).
 *
 * Control thread only; nothing blocks. The server has an epoll of its own: the outer loop watches
 * xe_ctl_fd() for EPOLLIN (level-triggered) and calls xe_ctl_dispatch().
 */
#ifndef XE_CTL_SERVER_H
#define XE_CTL_SERVER_H

#include <stddef.h>
#include <sys/types.h>

#include "control/ctl_request.h"

struct xe_ctl;

struct xe_ctl_options {
	const char *path; /* of the socket; its folder exists */
	mode_t mode;      /* 0660 */
	gid_t gid;        /* the socket's group, whose members are readers; (gid_t)-1: leave it */
	const struct xe_ctl_verb *verbs;
	void *ctx;             /* for run() and audit() */
	xe_ctl_audit_fn audit; /* may be NULL */
};

/* Make the socket and listen. A socket file nobody listens on (its service died) is replaced.
 * Errors: -EADDRINUSE: a live service has it, err names its pid; -errno else. err is one line and
 * nothing is left behind. */
int xe_ctl_open(const struct xe_ctl_options *options, struct xe_ctl **out, char *err,
		size_t err_size);
/* The socket gets this name, in the same folder, whoever has it now. 0 or -errno. */
int xe_ctl_rename(struct xe_ctl *ctl, const char *path);
/* The descriptor to watch; owned by the server. */
int xe_ctl_fd(const struct xe_ctl *ctl);
/* Do what is ready now, a bounded amount of it. Verbs run inside this call. */
void xe_ctl_dispatch(struct xe_ctl *ctl);
/* The service can do nothing now: whoever asks for something is refused with this line. Also from
 * inside a verb, or NULL; requests that are open stay so. */
void xe_ctl_refuse(struct xe_ctl *ctl, const char *why);
/* Remove the socket file, tell open requests, close. NULL is fine. Not from inside a verb. */
void xe_ctl_close(struct xe_ctl *ctl);

#endif
