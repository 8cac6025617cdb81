/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * wheel.h - when does a session end? A timer wheel of one-second slots over the session table.
 *
 * A packet only writes session.last_used_s. The session stays in its slot; when the hand gets
 * there, it ends if it has really been idle, else it moves on to where its deadline now is. So the
 * cost of a timer is one relink per timeout, not per packet. A deadline that comes nearer is not
 * seen that way: it needs xe_wheel_del() and xe_wheel_add().
 *
 * Owned by the worker that owns the table.
 */
#ifndef XE_WHEEL_H
#define XE_WHEEL_H

#include "state/session.h"

/* Covers the default established timeout of 7440 s in one turn; longer ones go round again. */
#define XE_WHEEL_SLOTS 8192u

struct xe_wheel {
	uint32_t head[XE_WHEEL_SLOTS];
	uint32_t now_s; /* everything before this second has been visited */
};

/* Called for a session whose slot came up: returns the seconds it has left, 0 to end it; then the
 * session has been unlinked and `expire` frees it. */
typedef uint32_t (*xe_wheel_left_fn)(void *ctx, const struct xe_session *s, uint32_t now_s);
typedef void (*xe_wheel_expire_fn)(void *ctx, struct xe_session *s);

void xe_wheel_init(struct xe_wheel *w, uint32_t now_s);
void xe_wheel_add(struct xe_wheel *w, struct xe_sessions *t, struct xe_session *s, uint32_t in_s);
/* Out of the wheel; nothing happens to a session that was taken out before. */
void xe_wheel_del(struct xe_wheel *w, struct xe_sessions *t, struct xe_session *s);
/* Visit due sessions, at most `budget`, so that a burst of ends does not stall the packets.
 * Returns how many were visited; less than budget: all due ones. */
uint32_t xe_wheel_advance(struct xe_wheel *w, struct xe_sessions *t, uint32_t now_s,
			  uint32_t budget, xe_wheel_left_fn left, xe_wheel_expire_fn expire,
			  void *ctx);

#endif
