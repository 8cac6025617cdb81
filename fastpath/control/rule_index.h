/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * rule_index.h - rules found by what they say: which number had this rule before? Thousands of them
 * change at once, and each is asked for. Control thread.
 */
#ifndef XE_RULE_INDEX_H
#define XE_RULE_INDEX_H

#include "state/index.h"
#include "state/rule.h"

struct xe_rule_index {
	const struct xe_rule **rules; /* by number, NULL: none; borrowed */
	struct xe_index index;
};

/* For numbers below `size`. 0 or -ENOMEM: close it all the same. */
int xe_rule_index_open(struct xe_rule_index *x, uint32_t size);
void xe_rule_index_close(struct xe_rule_index *x);
/* Each number once. */
void xe_rule_index_add(struct xe_rule_index *x, uint32_t number, const struct xe_rule *rule);
/* All of an array, by their places. */
int xe_rule_index_of(struct xe_rule_index *x, const struct xe_rule *rules, uint32_t cnt);
/* A number with an equal rule, XE_NIL: there is none. */
uint32_t xe_rule_index_find(const struct xe_rule_index *x, const struct xe_rule *rule);

#endif
