/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * explain.h - what would become of a packet, and why: the decisions of the steering program and of
 * a worker asked one after the other, from the same tables, with nothing taken or changed.
 *
 *   explain.c        the verb: the packet's words, and what an uplink does
 *   explain_out.c    from an inside port: source, route, rule, translation, limits
 *   explain_rule.c   which rule, and why not an earlier one
 *
 * Control thread only.
 */
#ifndef XE_EXPLAIN_H
#define XE_EXPLAIN_H

#include "control/flow_walk.h"
#include "control/netlink_wire.h"
#include "control/verbs.h"

struct xe_explain {
	struct xe_service *svc;
	/* the packet; of TCP a SYN */
	uint8_t proto;
	struct xe_addr src, dst;
	uint16_t sport, dport; /* host order */
	struct xe_port *in;
	/* the answer */
	json_t *steps;  /* [{step, ok, text}] in the order of the decisions */
	json_t *result; /* further members */
	bool decided, carried;
	char verdict[256];
	const char *reason; /* steer's, by reason.h */
};

/* One decision. */
void xe_explain_step(struct xe_explain *e, const char *name, bool ok, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
/* The verdict; the first one holds. reason: enum xe_steer_reason. */
void xe_explain_verdict(struct xe_explain *e, bool carried, int reason, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/* The live flow of the packet, if there is one: asked in a worker call. */
bool xe_explain_flow(struct xe_explain *e, struct xe_flow_view *view);

/* explain_out.c */
void xe_explain_out(struct xe_explain *e);

/* explain_rule.c: number of the first rule that matches what leaves by `out`, -1: none. Tells the
 * step "rule". */
int xe_explain_rule(struct xe_explain *e, const struct xe_port *out);

/* verbs_flow.c */
json_t *xe_flow_json(const struct xe_service *svc, const struct xe_flow_view *v);

#endif
