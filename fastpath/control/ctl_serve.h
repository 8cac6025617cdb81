/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * ctl_serve.h - the life of a request, as the server drives it. Private to the server; what a verb
 * sees of it is ctl_request.h.
 *
 *   line --start()--> RUNNING --run() answers--------------------------> freed
 *                        |--xe_ctl_stream()--> STREAMING --pull()...---> freed
 *                        '--xe_ctl_defer()---> DEFERRED --an answer----> freed
 *
 * A request whose client went away (conn is NULL) ends at once when it streams, and lives on when
 * it is deferred.
 */
#ifndef XE_CTL_SERVE_H
#define XE_CTL_SERVE_H

#include "control/ctl_conn.h"
#include "control/ctl_request.h"

/* What all requests of a server share; copied into each, as a deferred one may outlive it. */
struct xe_ctl_service {
	const struct xe_ctl_verb *verbs;
	void *ctx;
	xe_ctl_audit_fn audit;
};

enum xe_ctl_phase { XE_CTL_RUNNING, XE_CTL_STREAMING, XE_CTL_DEFERRED, XE_CTL_ANSWERED };

struct xe_ctl_request {
	struct xe_ctl_service service;
	struct xe_ctl_conn *conn; /* NULL: the client is gone */
	struct xe_ctl_peer peer;
	const struct xe_ctl_verb *verb; /* NULL: not known yet */
	json_t *root;                   /* owns all words */
	enum xe_ctl_phase phase;
	bool in_call; /* run() or more() is on the stack: who called it frees */
	int (*more)(void *arg, struct xe_ctl_request *req);
	void (*end)(void *arg);
	void *arg;
};

/* Parse a line, check it, run its verb. Afterwards conn->req says whether it is still open. */
void xe_ctl_serve_start(const struct xe_ctl_service *service, struct xe_ctl_conn *conn,
			const char *line, size_t len);
/* Is there a batch to ask for? */
bool xe_ctl_serve_pullable(const struct xe_ctl_request *req);
/* Ask for the next batch of a stream. */
void xe_ctl_serve_pull(struct xe_ctl_request *req);
/* The connection is about to be freed; `why` goes into the audit line of what ends by that. */
void xe_ctl_serve_leave(struct xe_ctl_request *req, const char *why);
/* One error line to a client outside of any request. */
void xe_ctl_serve_refuse(struct xe_ctl_conn *conn, int code, const char *text);
/* Ended: audit, let go of the client, free unless in_call. ctl_request.c calls it. */
void xe_ctl_serve_finish(struct xe_ctl_request *req, bool ok, const char *outcome);

#endif
