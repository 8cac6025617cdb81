/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * ruleset.h - the configured rules compiled for lookup (tuple-space search, see steer_abi.h).
 *
 * Built by the control thread, immutable afterwards, published to the workers by RCU and to the
 * steering program through its maps: both look up the same entries, so they cannot disagree.
 */
#ifndef XE_RULESET_H
#define XE_RULESET_H

#include "state/rule.h"
#include "xegress/steer_abi.h"

struct xe_ruleset_entry {
	struct xe_rule_key key;
	struct xe_rule_value value;
};

struct xe_ruleset {
	__u32 gen;
	__u32 rule_cnt;
	struct xe_rule *rules; /* copy, in order */
	__u32 tuple_cnt;
	struct xe_tuple tuples[XE_MAX_TUPLES]; /* sorted by best_rule */
	__u32 entry_cnt;
	struct xe_ruleset_entry *entries; /* what the BPF maps are filled with */
	__u32 slot_mask;                  /* open-addressed index into entries, 0xffffffff free */
	__u32 *slots;
	bool any_no_limit; /* some rule has `no-limit` */
	__u64 *ids;        /* per rule, xe_rule_id() */
	__u32 *terms; /* per rule, of the terms table (state/terms.h), XE_NIL: none; NULL: no rule
			 has any. Set by who publishes, freed with the rules */
	bool any_inbound; /* some rule is about what comes from outside, or changes a destination */
	/* A bit for each Ext address that a rule's pool has, by index. Set by who makes attach. */
	__u64 in_pool[XE_MAX_EXT_ADDRS / 64];
	void *attach; /* per-rule state of the NAT stage, owned by its maker (state/natpool.h) */
};

/* Which port ids does a port name of a rule stand for? Fills ids (XE_OUT_INSIDE set on inside
 * ports) and returns how many; 0 when no such interface is attached now. */
typedef __u32 (*xe_port_ids_fn)(void *ctx, const char *name, __u16 *ids, __u32 max);

/* Compile. A rule whose `in` or `out` names ports that are not attached now has no entries. Errors:
 * -ENOMEM, -E2BIG (too many entries or tuples; err names the rule that was one too many). */
int xe_ruleset_compile(const struct xe_rule *rules, __u32 rule_cnt, __u32 gen,
		       xe_port_ids_fn port_ids, void *ctx, struct xe_ruleset **out, char *err,
		       size_t err_size);
void xe_ruleset_free(struct xe_ruleset *rs);

static inline void xe_ruleset_pool_has(struct xe_ruleset *rs, __u32 ext)
{
	rs->in_pool[ext / 64] |= 1ull << (ext % 64);
}

/* First match, or -1. `out_port` carries XE_OUT_INSIDE for inside ports, `in_port` never.
 * Any thread, no locks, bounded by tuple_cnt probes. */
int xe_ruleset_lookup(const struct xe_ruleset *rs, const struct xe_addr *src,
		      const struct xe_addr *dst, __be16 dport_be, __u8 proto, __u16 in_port,
		      __u16 out_port);

#endif
