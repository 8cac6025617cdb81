/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * flow_place.h - a record as this service understands it: its ports, rule, Ext address and ages
 * here and now. For flow_adopt.c, control thread only.
 */
#ifndef XE_FLOW_PLACE_H
#define XE_FLOW_PLACE_H

#include "control/flow_wait.h"
#include "pipeline/adopt.h"

struct xe_rule_id;

/* The rules in force by their id; all zero: none yet. */
struct xe_rule_ids {
	struct xe_rule_id *ids; /* sorted */
	uint32_t cnt, gen;      /* gen: of the rules */
};

/* Brought in line with these rules (NULL: none), if it is not. */
void xe_rule_ids_update(struct xe_rule_ids *x, const struct xe_ruleset *rs);
void xe_rule_ids_free(struct xe_rule_ids *x);

/* XE_ADOPTED: *a is what xe_adopt() takes. Else what it counts as; XE_ADOPT_LATER: another port
 * that it needs is not there yet, or of another host's flow (b->sync) the address. b->ports are up
 * to date. May fill in the record's Ethernet
 * address. */
enum xe_adopted xe_flow_place(struct xe_service *svc, const struct xe_rule_ids *ids,
			      const struct xe_flow_batch *b, struct xe_port *port,
			      struct xe_flow_record *r, struct xe_adoptee *a);

#endif
