/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * apply_diff.h - what differs between two configurations, in words.
 */
#ifndef XE_APPLY_DIFF_H
#define XE_APPLY_DIFF_H

#include <jansson.h>

#include "control/config.h"

/* The `changes` of ctl_abi.h that lead from `now` to `next`: ports, rules, settings. A rule or port
 * entry that keeps its place among those that stay is no change. NULL: no memory. */
json_t *xe_apply_diff(const struct xe_config *now, const struct xe_config *next);

/* The entry of that name; NULL: none. */
const struct xe_config_port *xe_entry_named(const struct xe_config *config, const char *name);
/* The same but for line numbers? */
bool xe_same_entry(const struct xe_config_port *a, const struct xe_config_port *b);
/* Is there an equal rule, anywhere? Slow (all are compared). */
bool xe_has_rule(const struct xe_config *config, const struct xe_rule *rule);

#endif
