/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * addr6.h - IPv6 addresses by number: what is 32 bits wide for IPv4 stays so for IPv6.
 *
 * A tuple (struct xe_tuple4) with family 6 has the number of each address where one with family 0
 * has the address. So session keys are one size for both families, are compared the same way, and
 * IPv4 pays nothing for the other. An address has one number as long as anybody holds it: sessions,
 * mappings, Ext addresses and a flow in the making count their uses.
 *
 * A hash index under a key that nobody outside knows, at most half full, leads to the slots: a
 * look-up takes a line of the index and one slot. A packet of a known flow needs no look-up: the
 * session that its hash leads to names the slots to compare with (pipeline/flow6.c).
 *
 * One table a worker, its only user (and the control thread in a worker call).
 */
#ifndef XE_ADDR6_H
#define XE_ADDR6_H

#include "state/index.h"
#include "xegress/steer_abi.h"

/* xe_tuple4.family */
#define XE_FAMILY_4 0
#define XE_FAMILY_6 6

struct xe_addr6 {
	struct xe_addr addr;
	uint32_t refs;
	uint32_t hash;
	uint32_t next_free;
	uint32_t reserved;
};
_Static_assert(sizeof(struct xe_addr6) == 32, "two a cache line, none across");

struct xe_addr6_table {
	struct xe_addr6 *slots;
	uint32_t capacity, cnt;
	uint32_t high;   /* slots below this have been used at some time */
	uint32_t backed; /* slots below this may be: set by the control thread (session_file.h) */
	bool borrowed;   /* the slots are another's memory */
	uint32_t free_head;
	struct xe_index index;
	uint64_t k0, k1;
};

/* Memory for `capacity` addresses; touched (paid for) only as they come. -ENOMEM. */
int xe_addr6_open(struct xe_addr6_table *t, uint32_t capacity, uint64_t k0, uint64_t k1);
/* The same in memory of the caller's, see xe_sessions_open_at(). */
int xe_addr6_open_at(struct xe_addr6_table *t, uint32_t capacity, uint64_t k0, uint64_t k1,
		     struct xe_addr6 *slots);
void xe_addr6_close(struct xe_addr6_table *t);

/* The number of an address that somebody holds, XE_NIL: nobody does. Counts no use. `addr`: 16
 * bytes of any alignment, as in a packet. */
uint32_t xe_addr6_find(const struct xe_addr6_table *t, const void *addr);
/* The same, given a number when it has none; counts a use. XE_NIL: the table is full. */
uint32_t xe_addr6_get(struct xe_addr6_table *t, const void *addr);
void xe_addr6_ref(struct xe_addr6_table *t, uint32_t idx);
/* One use less; after the last the number may become another address's. */
void xe_addr6_unref(struct xe_addr6_table *t, uint32_t idx);

static inline const struct xe_addr *xe_addr6_at(const struct xe_addr6_table *t, uint32_t idx)
{
	return &t->slots[idx].addr;
}

static inline bool xe_addr6_is(const struct xe_addr6_table *t, uint32_t idx, const void *addr)
{
	uint64_t q[2];

	memcpy(q, addr, sizeof(q));
	return !((t->slots[idx].addr.q[0] ^ q[0]) | (t->slots[idx].addr.q[1] ^ q[1]));
}

static inline void xe_addr6_prefetch(const struct xe_addr6_table *t, uint32_t idx)
{
	__builtin_prefetch(&t->slots[idx]);
}

#endif
