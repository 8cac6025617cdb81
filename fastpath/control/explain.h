/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * explain.h - what would become of a packet, and why: the decisions of the steering program and of
 * a worker asked one after the other, from the same tables, with nothing taken or changed.
 *
 *   explain.c        the verb: the packet's words, and the live flow
 *   explain_out.c    from an inside port: source, route, rule
 *   explain_in.c     from an uplink, or by an external address: mapping, rule, target
 *   explain_new.c    what a new flow takes: translation, limits
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
	bool fragment; /* it comes in fragments */
	/* on the way */
	bool held;          /* ... which a worker has joined: the verdicts are about the whole */
	bool again;         /* has left by an external address, and comes in by it */
	struct xe_addr ext; /* what its source becomes, the first where there are several */
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
const char *xe_explain_neighbour(const struct xe_explain *e, const struct xe_route *route);

/* explain_in.c */
void xe_explain_in(struct xe_explain *e);
/* By rule or mapping to whom: for what belongs to no flow and steer takes. */
void xe_explain_inbound(struct xe_explain *e);
/* From a container: is it for another's external address and L4 port, or one that rules change?
 * Tells the step "destination" when it is. */
bool xe_explain_given_away(struct xe_explain *e);
/* Fragments are taken and joined, or (false) left to the kernel. */
bool xe_explain_held(struct xe_explain *e);

/* explain_new.c: the steps "translation" and "limits"; false: the packet goes no further. */
bool xe_explain_translation(struct xe_explain *e, const struct xe_rule *rule, int number,
			    const struct xe_route *route);
/* rule NULL: none is asked. Counted at this worker for the source on this port, XE_PORT_ANYUPLINK:
 * from outside. */
bool xe_explain_limits(struct xe_explain *e, const struct xe_rule *rule, struct xe_worker *w,
		       uint16_t port);
/* No source that any host has, or its own destination. */
bool xe_explain_is_martian(const struct xe_explain *e);
/* Index of an Ext address that is in use already, XE_NIL: it is not. */
uint32_t xe_explain_ext(const struct xe_service *svc, const struct xe_addr *addr);

/* explain_rule.c: number of the first rule that matches what leaves by `out`, -1: none. Tells the
 * step "rule". */
int xe_explain_rule(struct xe_explain *e, const struct xe_port *out);

/* verbs_flow.c */
json_t *xe_flow_json(const struct xe_service *svc, const struct xe_flow_view *v);

#endif
