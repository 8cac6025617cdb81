/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * dnat.h - where a rule sends what comes for its address: the targets of a dnat rule, and the other
 * side of a one-to-one rule.
 *
 * A flow's target hangs on its source alone, address and L4 port: the source's hash names one of
 * 4096 slots, and each slot has one target, by weighted rendezvous hashing. A
 * target that is added takes a slot only where it wins against all others, so no flow moves but
 * those that move to it; one that goes leaves its slots to the others and moves nothing else. Of a
 * range of addresses each has the weight; which one, a jump hash says (Lamping and Veach: a range
 * that grows at its end moves few).
 *
 * Made by the control thread with the rule set, immutable then.
 */
#ifndef XE_DNAT_H
#define XE_DNAT_H

#include "state/rule.h"

/* The share of a target is right to 1.6 % of all (2 sigma) with 4096. */
#define XE_DNAT_SLOTS 4096

struct xe_dnat {
	uint16_t to_port_min; /* of the rule, host order, 0: any */
	uint16_t cnt;
	uint32_t refs; /* rule sets, of which a changed one has it from the last */
	struct xe_dnat_target {
		struct xe_addr min;
		uint32_t addr_cnt;
		uint16_t port_min, port_max; /* host order; 0, 0: as it came */
	} target[XE_MAX_DESTS];
	uint8_t slot[XE_DNAT_SLOTS];
};

/* For a dnat rule; NULL: no memory. Some ms where there are several targets. */
struct xe_dnat *xe_dnat_make(const struct xe_rule *rule);
/* The same for one more rule set; its last one frees it. */
struct xe_dnat *xe_dnat_hold(struct xe_dnat *d);
void xe_dnat_drop(struct xe_dnat *d);

/* The target of a source with this (keyed) hash, that speaks to this L4 port (host order). */
void xe_dnat_pick(const struct xe_dnat *d, uint64_t hash, uint16_t dport, struct xe_addr *addr,
		  uint16_t *l4_port);

/* The address at the same place in another prefix of `len` bits (of 128): one-to-one rules. */
struct xe_addr xe_nat_move(const struct xe_addr *addr, const struct xe_addr *net, unsigned int len);

#endif
