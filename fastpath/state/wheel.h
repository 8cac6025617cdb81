/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * wheel.h - when does a session end? A timer wheel of one-second slots over the session table, and
 * a queue of the closed ones.
 *
 * A packet only writes session.last_used_s. The session stays in its slot; when the hand gets
 * there, it ends if it has really been idle, else it moves on to where its deadline now is. So the
 * cost of a timer is one relink per timeout, not per packet. A deadline that comes nearer is not
 * seen that way: it needs xe_wheel_del() and xe_wheel_add().
 *
 * Closed TCP sessions all have the same timeout, so they stand in one queue instead, the longest
 * idle first: that is the one whose time is up next, and the one to be taken when room is wanted
 * before that. The queue is a list for each second of a last packet, so that one whose last packet
 * is not of now (adopted from elsewhere) has its place at once, too; those of one second stand in
 * the order they came. A packet of a closed session puts it to the end (xe_wheel_close() again).
 *
 * A list is doubly linked; the first of it says in timer_prev which list it heads, and the last of
 * one of closed sessions says it in timer_next:
 *
 *   head[list] -> s1 <-> s2 <-> s3     s1.timer_prev = XE_WHEEL_HEAD | list
 *                                      s3.timer_next = XE_NIL, or closed: XE_WHEEL_HEAD | list
 *
 * Owned by the worker that owns the table.
 */
#ifndef XE_WHEEL_H
#define XE_WHEEL_H

#include "state/session.h"

/* Covers the default established timeout of 7440 s in one turn; longer ones go round again. */
#define XE_WHEEL_SLOTS 8192u
/* Seconds of closed ones, four times the default timeout (240 s); with a longer one those that are
 * idle for longer share a list. Their lists follow the slots of the wheel. */
#define XE_WHEEL_CLOSED 1024u
#define XE_WHEEL_LISTS  (XE_WHEEL_SLOTS + XE_WHEEL_CLOSED)
/* Session numbers are below it (session * 2 + direction is 32 bits); XE_NIL: in no list. */
#define XE_WHEEL_HEAD 0x80000000u

struct xe_wheel {
	uint32_t head[XE_WHEEL_LISTS];
	uint32_t closed_tail[XE_WHEEL_CLOSED];
	uint32_t closed_from_s, closed_to_s; /* no other second has one; both may be empty */
	uint32_t now_s;                      /* everything before this second has been visited */
};

/* Called for a session whose slot came up: returns the seconds it has left, 0 to end it; then the
 * session has been unlinked and `expire` frees it. */
typedef uint32_t (*xe_wheel_left_fn)(void *ctx, const struct xe_session *s, uint32_t now_s);
typedef void (*xe_wheel_expire_fn)(void *ctx, struct xe_session *s);

void xe_wheel_init(struct xe_wheel *w, uint32_t now_s);
void xe_wheel_add(struct xe_wheel *w, struct xe_sessions *t, struct xe_session *s, uint32_t in_s);
/* Out of the wheel, or the queue; nothing happens to a session that was taken out before. */
void xe_wheel_del(struct xe_wheel *w, struct xe_sessions *t, struct xe_session *s);
/* From where it is into the queue of closed ones, by its last_used_s. */
void xe_wheel_close(struct xe_wheel *w, struct xe_sessions *t, struct xe_session *s);

/* The session that has been closed longest, XE_NIL: none is. */
uint32_t xe_wheel_oldest_closed(struct xe_wheel *w);
/* The one behind this one in the queue. */
uint32_t xe_wheel_next_closed(const struct xe_wheel *w, const struct xe_sessions *t, uint32_t idx);

/* Visit due sessions, at most `budget`, so that a burst of ends does not stall the packets.
 * Returns how many were visited; less than budget: all due ones. */
uint32_t xe_wheel_advance(struct xe_wheel *w, struct xe_sessions *t, uint32_t now_s,
			  uint32_t budget, xe_wheel_left_fn left, xe_wheel_expire_fn expire,
			  void *ctx);

#endif
