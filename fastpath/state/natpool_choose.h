/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * natpool_choose.h - which L4 port of an Ext address a flow gets, and who has which; the lower half
 * of natpool.c and natpool_mapping.c, for them alone.
 *
 *   own     the flow's own, where it lies in the range and is free (or can be shared)
 *   drawn   a word of 64 at random, then a bit in it, a few times
 *   found   the bitmap of what any worker has, walked from a random place: 16 words
 *           that say which of its words are full, and those that are not
 *   shared  with flows to other destinations: drawn, and when that fails 64 times looked up in a
 *           bitmap of what this peer has (natpool_crowd.h)
 *
 * So each step is bounded, whatever is in use, and the answer "none" is exact: no worker has a free
 * one. A range that has L4 ports below 1024 and above gives flows those of
 * their own side first (RFC 4787 REQ-3).
 */
#ifndef XE_NATPOOL_CHOOSE_H
#define XE_NATPOOL_CHOOSE_H

#include "state/natpool.h"

/* An L4 port for a flow whose own is `own` (host order). On success back->dport_be is it, and it is
 * the worker's; the caller uses it at once. */
bool xe_l4_choose(struct xe_natpool *pool, int udp, uint16_t own, const struct xe_nat_want *want,
		  struct xe_tuple4 *back);

/* Is the L4 port the worker's own, or does it become so now? Then the caller uses it at once, or
 * nobody would give it back. */
bool xe_l4_claim(struct xe_natpool *pool, int udp, uint32_t ext, uint16_t l4_port);
/* One more session shares it (mapping XE_NIL), or this mapping has it. */
void xe_l4_use(struct xe_natpool *pool, int udp, uint32_t ext, uint16_t l4_port, uint32_t mapping);
/* The session, or the mapping, is gone; `rest`: nobody else may have it until xe_l4_rested(). */
void xe_l4_unuse(struct xe_natpool *pool, int udp, uint32_t ext, uint16_t l4_port, bool rest);
void xe_l4_rested(struct xe_natpool *pool, int udp, uint32_t ext, uint16_t l4_port);

static inline bool xe_l4_is_resting(const struct xe_natpool *pool, int udp, uint32_t ext,
				    uint16_t l4_port)
{
	return pool->ext[ext].ports[udp].rest[l4_port >> 6] >> (l4_port & 63) & 1;
}

/* The host has taken or reserved it. */
static inline bool xe_l4_is_taken(const struct xe_natpool *pool, int udp, uint16_t l4_port)
{
	uint64_t word = __atomic_load_n(&pool->taken->bits[udp][l4_port >> 6], __ATOMIC_RELAXED);

	return word >> (l4_port & 63) & 1;
}

/* Is there no session on this reply tuple? */
bool xe_l4_back_is_free(const struct xe_natpool *pool, const struct xe_tuple4 *back);

/* L4 ports of a block in min..max; the block lies in the range. */
static inline uint64_t xe_l4_range_bits(uint16_t min, uint16_t max, uint32_t block)
{
	uint64_t bits = ~0ull;

	if (block == min >> 6)
		bits &= ~0ull << (min & 63);
	if (block == max >> 6)
		bits &= ~0ull >> (63 - (max & 63));
	return bits;
}

/* One of the bits that are set, of which there is one at least. */
static inline uint32_t xe_l4_pick_bit(uint64_t bits, uint32_t random)
{
	for (uint32_t skip = random % (uint32_t)__builtin_popcountll(bits); skip; skip--)
		bits &= bits - 1;
	return (uint32_t)__builtin_ctzll(bits);
}

#endif
