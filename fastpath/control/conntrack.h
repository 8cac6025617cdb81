/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * conntrack.h - records of flows (state/flow_record.h) out of the kernel's connection tracking, and
 * into it: so a flow goes on with the mapping it has when its carrier changes.
 *
 *   record, opened from inside        entry
 *   src -> dst                        original direction
 *   nat_dst -> nat_src                reply direction
 *
 * One opened from outside (XE_FR_FROM_OUTSIDE) has the two exchanged: the peer's first packet,
 * nat_dst -> nat_src, is the original direction. What differs between the two directions is the
 * entry's translation (source, destination, or both).
 *
 * Messages are built and read by libnetfilter_conntrack, and sent many at a time: one system call
 * for 128 entries.
 *
 *   conntrack.c  socket and dump     conntrack_write.c  what is written, changed, deleted
 *   conntrack_entry.c  one record as an entry, and back
 *   conntrack_known.c  records by how their replies look
 *
 * Control thread; a handle belongs to the network namespace it was opened in. Each call blocks
 * until the kernel has done all of it, 1 to 3 us an entry.
 */
#ifndef XE_CONNTRACK_H
#define XE_CONNTRACK_H

#include "state/flow_record.h"
#include "state/rule.h"

struct xe_ct;

/* -EPROTONOSUPPORT: this kernel has no ctnetlink; -EPERM: CAP_NET_ADMIN is missing; -errno. */
int xe_ct_open(struct xe_ct **ct);
void xe_ct_close(struct xe_ct *ct);

/*
 * Append the live TCP and UDP flows of which one end lies in one of these prefixes: its own
 * address, not a translated one. in_port and out_port are XE_FR_NO_PORT, rule_id and verb 0,
 * flags XE_FR_KERNEL and, where they apply, _REPLIED and _FROM_OUTSIDE; left_s is the entry's.
 * Left out is what only conntrack can carry or what is over: helpers (FTP, SIP, ...) and their
 * expected flows, sequence numbers that are shifted, zones other than 0, TCP in TIME_WAIT and
 * CLOSE; and what is in `known` (NULL: nothing) with that mapping. Where these are a few single
 * hosts and the table is large, the kernel (5.8) looks for theirs; else it tells of all entries.
 * 0; -EINTR: the table changed meanwhile, something may be missing; -ENOMEM, -errno.
 */
int xe_ct_read(struct xe_ct *ct, const struct xe_prefix *inside, uint32_t inside_cnt,
	       const struct xe_flow_file *known, struct xe_flow_file *out);

struct xe_ct_result {
	uint32_t written; /* are in conntrack now */
	uint32_t skipped; /* over, or not to be said in one entry (XE_FR_HAIRPIN without its other
			     half) */
	uint32_t refused; /* by the kernel */
	int err;          /* why the first of these was: -ENOMEM when the table is full */
};

/*
 * Make an entry of each record, or bring the one that is there in line: one with another mapping is
 * replaced. With `before` only what is not in that file, or was in another TCP state. Flows that
 * are established come first, in case the table is full: then the rest is refused.
 *
 * TCP entries are `established` and liberal about windows, also when only the handshake has been
 * seen: a worker may carry the next segment after the entry was written, and the kernel then sees
 * the one behind it. How long an entry lives is left_s, so what is over before the kernel sees a
 * packet ends like the session would have. 0 or -errno of the socket; what happened is in *result.
 */
int xe_ct_write(struct xe_ct *ct, const struct xe_flow_file *file,
		const struct xe_flow_file *before, struct xe_ct_result *result);

/* Delete the entries of those records that have all these flags. Returns how many there were. */
uint32_t xe_ct_delete(struct xe_ct *ct, const struct xe_flow_file *file, uint8_t flags);

/* Entries of those records that have all these flags stay while somebody else carries the flow:
 * liberal about windows and for days, should it come back. Returns how many there were. */
uint32_t xe_ct_keep(struct xe_ct *ct, const struct xe_flow_file *file, uint8_t flags);

/* Take out of `file` the records that are in `these`. */
int xe_ct_subtract(struct xe_flow_file *file, const struct xe_flow_file *these);

#endif
