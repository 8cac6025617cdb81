/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * limit.h - the terms of a flow's rule (state/terms.h) applied to its packets: `limit` and
 * `mss-clamp`. Sessions under terms have XE_SF_TERMS; all others pay a test of that flag.
 */
#ifndef XE_LIMIT_H
#define XE_LIMIT_H

#include "pipeline/lane.h"

/* A new flow of this rule: *ref is what its session will be under. A reason where it may not begin
 * now; then *ref is nothing. Without terms ref->terms is XE_NIL. */
enum xe_worker_reason xe_limit_begin(struct xe_lane *lane, const struct xe_packet *p, int rule,
				     struct xe_terms_ref *ref);
/* The session is made (the ref is its own from now on), or was not. */
void xe_limit_keep(struct xe_lane *lane, struct xe_session *s, const struct xe_terms_ref *ref);
void xe_limit_drop(struct xe_lane *lane, const struct xe_terms_ref *ref);
/* A session with XE_SF_TERMS ends. */
void xe_limit_end(struct xe_lane *lane, const struct xe_session *s);
/* A new connection on its tuple: one more flow. */
enum xe_worker_reason xe_limit_again(struct xe_lane *lane, const struct xe_session *s);

/* A packet of such a session, about to be translated. False: over the limit, and dropped. */
bool xe_limit_packet(struct xe_lane *lane, struct xe_packet *p);

#endif
