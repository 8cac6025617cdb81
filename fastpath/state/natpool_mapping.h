/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * natpool_mapping.h - mappings: found by their inside endpoint, begin, rest, go on, end; the lower
 * half of natpool.c and natpool_back.c, for them alone.
 *
 * One that rests stands in two lists: of all, by time, and of its source on its Ext address, which
 * is what gets its L4 port when there are no others.
 */
#ifndef XE_NATPOOL_MAPPING_H
#define XE_NATPOOL_MAPPING_H

#include "state/natpool.h"

/* For xe_mapping.era of one that begins now. */
static inline uint16_t xe_mapping_era(const struct xe_natpool *pool, uint16_t port)
{
	return port < XE_MAX_PORTS ? pool->era[port] : 0;
}

static inline bool xe_mapping_equal(const void *table, uint32_t entry, const void *key)
{
	const struct xe_mapping *m = &((const struct xe_natpool *)table)->mappings[entry];
	const struct xe_mapping *k = key;

	return m->src_be == k->src_be && m->sport_be == k->sport_be && m->in_port == k->in_port &&
	       m->era == k->era && m->ext == k->ext && m->is_udp == k->is_udp &&
	       m->family == k->family;
}

static inline uint32_t xe_mapping_hash(const struct xe_natpool *pool, const struct xe_mapping *m)
{
	struct xe_tuple4 t = {
		.src_be = m->src_be,
		.dst_be = m->ext,
		.sport_be = m->sport_be,
		.port = m->in_port,
		.proto = (uint8_t)(m->is_udp | m->family << 1), /* plain values: numbers, too */
	};

	return (uint32_t)xe_flow_hash(&t, pool->sessions->k0, pool->sessions->k1);
}

static inline bool xe_nat_in_range(const struct xe_nat_want *want, uint16_t l4_port)
{
	return l4_port >= want->port_min && l4_port <= want->port_max;
}

/* Room for one more: there is, or the oldest that rests has ended for it. */
bool xe_mapping_make_room(struct xe_natpool *pool);
/* A mapping that begins, with the L4 port it has been found; there is room. Returns its number. */
uint32_t xe_mapping_new(struct xe_natpool *pool, const struct xe_mapping *key);
/* Its slot is free. It is in no list, and its L4 port not its own any more. */
void xe_mapping_free(struct xe_natpool *pool, uint32_t idx);

/* Its last session has ended: it rests. */
void xe_mapping_rest(struct xe_natpool *pool, uint32_t idx);
/* Out of the lists of those that rest. */
void xe_mapping_unlink(struct xe_natpool *pool, uint32_t idx);
/* One that rests is no more: the L4 port is anybody's again. */
void xe_mapping_end(struct xe_natpool *pool, uint32_t idx);
/* One that rested is used again; the caller has a session for it, or it would never end. */
void xe_mapping_go_on(struct xe_natpool *pool, uint32_t idx, const struct xe_mapping *key);
/* An L4 port that rests since another mapping of this source has ended; 0: none. It is free then,
 * its block still the worker's as long as it has others in use: to be claimed. */
uint16_t xe_mapping_take_over(struct xe_natpool *pool, const struct xe_mapping *key,
			      const struct xe_nat_want *want, bool only_own);

#endif
