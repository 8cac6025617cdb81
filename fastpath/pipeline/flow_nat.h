/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* flow_nat.h - the outside of a new flow from inside; for flow_new.c. */
#ifndef XE_FLOW_NAT_H
#define XE_FLOW_NAT_H

#include "pipeline/pipeline.h"

struct xe_flow_nat {
	struct xe_tuple4 back; /* of its replies */
	uint32_t ext, mapping; /* of the pool, to be given back; XE_NIL: none */
	bool holds_back;       /* an IPv6 number, for xe_flow_nat_let_go() */
	bool none_there;       /* no Ext address was asked */
};

/* By the rule, for a packet that leaves by `nh`; source: its per-source counter, XE_NIL: none. 0 or
 * a reason. */
enum xe_worker_reason xe_flow_nat(struct xe_lane *lane, const struct xe_packet *p,
				  const struct xe_nexthop_answer *nh, uint32_t rule_idx,
				  uint32_t source, struct xe_flow_nat *nat);
/* Whatever has become of it: a session holds for itself. */
void xe_flow_nat_let_go(struct xe_lane *lane, const struct xe_flow_nat *nat);

/* Is p's session, which now leaves by p->nexthop, what the rule would make of it? */
bool xe_flow_nat_fits(const struct xe_lane *lane, const struct xe_packet *p, uint32_t rule_idx);

#endif
