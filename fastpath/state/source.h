/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * source.h - sessions counted per inside source, so that none takes a whole L4 port range
 * (`limits: sessions-per-source`, RFC 6888 REQ-2). Owned by one worker. Those of a source from
 * outside, which all workers may have sessions of, are counted in one place (state/outside.h).
 */
#ifndef XE_SOURCE_H
#define XE_SOURCE_H

#include "state/outside.h"
#include "state/region.h"
#include "xegress/steer_abi.h"

struct xe_source {
	uint64_t key;
	uint16_t in_port;
	uint8_t family;
	uint8_t reserved;
	uint32_t sessions;
	uint32_t closed; /* of these: they do not count */
	uint32_t place;  /* in `outside`, XE_NIL: it counts here alone */
	/* Ext addresses that its sessions have (RFC 4787 REQ-2), and how many. One that has more
	 * than these at once, by rules with other pools, gets the rest by its hash. */
	struct xe_source_pair {
		uint32_t sessions; /* 0: free */
		uint32_t ext;
	} pair[2];
	uint32_t hash;
	uint32_t next_free;
};

struct xe_sources {
	struct xe_source *slots;
	struct xe_slots room;
	struct xe_index index;
	uint64_t k0, k1;
	struct xe_outside *outside; /* of all workers; NULL: there is one */
};

int xe_sources_open(struct xe_sources *t, uint32_t capacity, uint64_t k0, uint64_t k1);
void xe_sources_close(struct xe_sources *t);
/* Count one more session of this source, which `key` names within its family and port
 * (XE_PORT_ANYUPLINK: from outside); XE_NIL when it has `limit` already (or the table is full,
 * which it cannot be with a slot per session). */
uint32_t xe_source_take(struct xe_sources *t, uint8_t family, uint64_t key, uint16_t in_port,
			uint32_t limit);
void xe_source_give(struct xe_sources *t, uint32_t source);
/* The same for one that is closed. */
void xe_source_give_closed(struct xe_sources *t, uint32_t source);
/* One of its sessions is closed and does not count (true), or is no longer closed. */
void xe_source_set_closed(struct xe_sources *t, uint32_t source, bool closed);

#define XE_SOURCE_PAIRS 2
/* The i-th Ext address that its sessions have, XE_NIL: none. */
static inline uint32_t xe_source_pair(const struct xe_sources *t, uint32_t source, int i)
{
	const struct xe_source_pair *pair = &t->slots[source].pair[i];

	return pair->sessions ? pair->ext : XE_NIL;
}
/* A session on this Ext address begins, ends. */
void xe_source_pair_add(struct xe_sources *t, uint32_t source, uint32_t ext);
void xe_source_pair_del(struct xe_sources *t, uint32_t source, uint32_t ext);

/* Its sessions that are not closed; of one from outside those at all workers. */
static inline uint32_t xe_source_sessions(const struct xe_sources *t, uint32_t source)
{
	const struct xe_source *s = &t->slots[source];

	if (s->place != XE_NIL)
		return atomic_load_explicit(&t->outside->places[s->place].sessions,
					    memory_order_relaxed);
	return s->sessions - s->closed;
}

/* Has it `limit` sessions that are not closed? */
static inline bool xe_source_is_full(const struct xe_sources *t, uint32_t source, uint32_t limit)
{
	return xe_source_sessions(t, source) >= limit;
}

#endif
