/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * deny.h - deny lists: rules `drop from PREFIX in UPLINK` and `drop from @FILE in UPLINK`, made one
 * sorted list of (uplink, prefix) for the steering program.
 *
 * Cold code, control thread.
 */
#ifndef XE_DENY_H
#define XE_DENY_H

#include "state/ruleset.h"

/* One file's prefixes, in the order of the file. */
struct xe_deny_list {
	struct xe_prefix *prefixes;
	uint32_t cnt;
};

/* Read `path`: one prefix or address a line, both families; blank lines, and what follows a `#`,
 * do not count. A missing final line end is fine. Errors, with err as "PATH:LINE: why" (or
 * "PATH: why"): -EINVAL for what it says, -E2BIG for more than XE_MAX_DENY, else what opening it
 * gave. What the line says is not repeated: whoever may write rules need not be allowed to read
 * every file that this process can. */
int xe_deny_read(const char *path, struct xe_deny_list *list, char *err, size_t err_size);
void xe_deny_list_free(struct xe_deny_list *list);

/* The lists of all rules of a configuration, by rule; those of other rules are empty. */
struct xe_deny_lists {
	uint32_t rule_cnt;
	struct xe_deny_list list[];
};
/* err: "rules[N]: " and what xe_deny_read() says. */
int xe_deny_read_all(const struct xe_rule *rules, uint32_t rule_cnt, struct xe_deny_lists **out,
		     char *err, size_t err_size);
void xe_deny_lists_free(struct xe_deny_lists *lists);
bool xe_deny_lists_equal(const struct xe_deny_lists *a, const struct xe_deny_lists *b);

/* Has the rule the form of a deny list: `drop`, `from`, `in`, and nothing else? (It is one when the
 * port is an uplink.) */
bool xe_rule_is_deny(const struct xe_rule *rule);

/* All deny lists for the uplinks that are attached now: sorted by xe_deny_key_cmp(), none twice.
 * lists may be NULL where no rule names a file. -ENOMEM; -E2BIG, and err says how many are meant.
 * *out is the caller's, freed with free(). */
int xe_deny_compile(const struct xe_rule *rules, uint32_t rule_cnt,
		    const struct xe_deny_lists *lists, xe_port_ids_fn port_ids, void *ctx,
		    struct xe_allow_key **out, uint32_t *cnt, char *err, size_t err_size);

int xe_deny_key_cmp(const struct xe_allow_key *a, const struct xe_allow_key *b);

#endif
