/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * session_record.h - a session as a record (flow_record.h): what can be said of it by its table
 * alone, whether that is a worker's or what a dead one has left.
 */
#ifndef XE_SESSION_RECORD_H
#define XE_SESSION_RECORD_H

#include "state/flow_record.h"
#include "state/session.h"

/* in_port is the table's port id (as in the session's key); out_port that of an inside port that
 * the flow leaves by, else session.out_port. Filter, left_s and rule_id are 0: the caller's. Its
 * addresses' numbers are in the table. */
void xe_session_record(const struct xe_sessions *t, const struct xe_session *s, uint32_t now_s,
		       struct xe_flow_record *r);
/* The other way: what belongs to the connection itself (TCP, MSS, counters, flags, the inside
 * host's Ethernet address), into a session that has just been made with the record's tuples. */
void xe_session_fill(struct xe_session *s, const struct xe_flow_record *r);

#endif
