/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* conntrack_entry.h - for conntrack.c: one record as an entry of conntrack, and back. */
#ifndef XE_CONNTRACK_ENTRY_H
#define XE_CONNTRACK_ENTRY_H

#include <libnetfilter_conntrack/libnetfilter_conntrack.h>

#include "state/flow_record.h"

/* The two directions of an entry, each as it comes in. Host byte order unless _be. */
struct xe_ct_way {
	struct xe_addr src, dst;
	__be16 sport_be, dport_be;
};
struct xe_ct_ways {
	struct xe_ct_way orig, reply;
};

/* As conntrack has the record's flow. `half`: of a flow between two inside hosts by external
 * addresses, the session of the one that was called; else NULL. */
struct xe_ct_ways xe_ct_ways_of(const struct xe_flow_record *r, const struct xe_flow_record *half);

/* Into a fresh object: what names the entry, then what makes it, then what may be changed later. */
void xe_ct_put_orig(struct nf_conntrack *ct, const struct xe_flow_record *r,
		    const struct xe_ct_ways *ways);
void xe_ct_put_nat(struct nf_conntrack *ct, const struct xe_flow_record *r,
		   const struct xe_ct_ways *ways);
void xe_ct_put_state(struct nf_conntrack *ct, const struct xe_flow_record *r, bool is_there);

/* Is there something for the kernel to go on with? Not of what has been reset. */
bool xe_ct_is_live(const struct xe_flow_record *r);
/* Established both ways: matters more than what is not. */
bool xe_ct_is_settled(const struct xe_flow_record *r);

/* The ways of an entry that was read. False: neither TCP nor UDP, or something that only conntrack
 * can carry. */
bool xe_ct_get(const struct nf_conntrack *ct, struct xe_ct_ways *ways);
/* A record of it, opened from inside or from outside. False: it is over. */
bool xe_ct_record(const struct nf_conntrack *ct, const struct xe_ct_ways *ways, bool from_outside,
		  struct xe_flow_record *out);

#endif
