/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * permit.h - to which addresses has the inside of a mapping sent? For `filter address-dependent`
 * (RFC 4787 section 5): who was spoken to may come in from any L4 port. Counted by the sessions.
 * Owned by one worker.
 */
#ifndef XE_PERMIT_H
#define XE_PERMIT_H

#include "state/region.h"
#include "xegress/steer_abi.h"

struct xe_permit {
	uint32_t mapping, peer_be; /* the address as in the mapping's tuples */
	uint32_t sessions;
	uint32_t hash;
	uint32_t next_free;
};

struct xe_permits {
	struct xe_permit *slots;
	struct xe_slots room;
	struct xe_index index;
	uint64_t k0, k1;
};

/* Room for a permit of each session. 0 or -ENOMEM. */
int xe_permits_open(struct xe_permits *t, uint32_t capacity, uint64_t k0, uint64_t k1);
void xe_permits_close(struct xe_permits *t);
void xe_permit_add(struct xe_permits *t, uint32_t mapping, uint32_t peer_be);
void xe_permit_del(struct xe_permits *t, uint32_t mapping, uint32_t peer_be);
bool xe_permit_has(const struct xe_permits *t, uint32_t mapping, uint32_t peer_be);

#endif
