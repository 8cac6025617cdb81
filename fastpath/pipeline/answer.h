/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * answer.h - packets that a worker makes itself, because of one that it does not carry: ICMP and
 * ICMPv6 errors, and TCP resets.
 *
 * An answer leaves by the port that the packet came in by, to the Ethernet address it came from;
 * one about a packet between two containers (hairpin.c) by its sender's session. It is counted in
 * `made`, and then as sent, handed over or dropped as any other packet. None is made about what
 * must not be answered (RFC 1122 section 3.2.2, RFC 4443 section 2.4: ICMP, later fragments,
 * senders that are no single host, resets), and none beyond the limits below.
 *
 * Called by the worker that owns the lane.
 */
#ifndef XE_ANSWER_H
#define XE_ANSWER_H

#include <stdint.h>

struct xe_lane;
struct xe_packet;

enum xe_answer_kind {
	XE_ANSWER_TOO_BIG,    /* ICMP 3/4 or packet too big; arg: the MTU, bytes of IP packet */
	XE_ANSWER_PROHIBITED, /* ICMP 3/13 or 1/1: by decision, or for want of resources */
	XE_ANSWER_TTL,        /* ICMP 11/0 or 3/0: TTL or hop limit ran out */
	XE_ANSWER_REJECT,     /* to TCP a reset (RFC 9293 section 3.10.7.1), to others PROHIBITED */
};

/*
 * What a router gives without being asked is bounded (RFC 1812 section 4.3.2.8, RFC 4443 section
 * 2.4). In a second, a worker: 1000 ICMP messages, as many as the kernel allows itself
 * (icmp_msgs_per_sec). A source (IPv6: a /64): 100 of them, for one a flow is what path MTU
 * discovery takes; those between containers count as their Ext address's. Resets are no larger than
 * what they answer and each spares its sender a timeout: ten times as many.
 */
#define XE_ANSWERS_PER_S        1000u
#define XE_ANSWERS_PER_SOURCE_S 100u
#define XE_RESETS_PER_S         10000u
#define XE_RESETS_PER_SOURCE_S  1000u
/* Sources are counted in slots by a keyed hash; two that meet in one share its limit. 1024 are as
 * many as get an answer of their own within a second. */
#define XE_ANSWER_SLOTS 1024u

struct xe_answer_count {
	uint32_t second;
	uint16_t cnt[2]; /* ICMP, resets */
};
struct xe_answers {
	struct xe_answer_count all;
	struct xe_answer_count source[XE_ANSWER_SLOTS];
};

/* Answer a parsed packet that nat has not touched: it stays the caller's, who ends it. */
void xe_answer(struct xe_lane *lane, const struct xe_packet *about, enum xe_answer_kind kind,
	       uint32_t arg);

#endif
