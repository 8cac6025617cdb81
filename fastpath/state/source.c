/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "state/source.h"

int xe_sources_open(struct xe_sources *t, uint32_t capacity, uint64_t k0, uint64_t k1)
{
	memset(t, 0, sizeof(*t));
	t->k0 = k0;
	t->k1 = k1;
	t->slots = xe_slots_open(&t->room, capacity, sizeof(*t->slots),
				 offsetof(struct xe_source, next_free));
	if (t->slots && !xe_index_open(&t->index, capacity))
		return 0;
	xe_sources_close(t);
	return -ENOMEM;
}

void xe_sources_close(struct xe_sources *t)
{
	xe_slots_close(&t->room);
	t->slots = NULL;
	xe_index_close(&t->index);
}

static bool source_equal(const void *table, uint32_t entry, const void *key)
{
	const struct xe_source *s = &((const struct xe_sources *)table)->slots[entry], *k = key;

	return s->key == k->key && s->in_port == k->in_port && s->family == k->family;
}

uint32_t xe_source_take(struct xe_sources *t, uint8_t family, uint64_t source, uint16_t in_port,
			uint32_t limit)
{
	struct xe_tuple4 hashed = {
		.src_be = (uint32_t)source,
		.dst_be = (uint32_t)(source >> 32),
		.port = in_port,
		.proto = family,
	};
	struct xe_source key = {
		.key = source,
		.in_port = in_port,
		.family = family,
		.sessions = 1,
		.hash = (uint32_t)xe_flow_hash(&hashed, t->k0, t->k1),
	};
	uint32_t idx = xe_index_find(&t->index, key.hash, t, &key, source_equal);

	if (idx != XE_NIL) {
		if (xe_source_is_full(t, idx, limit))
			return XE_NIL;
		t->slots[idx].sessions++;
		return idx;
	}
	idx = xe_slots_take(&t->room);
	if (idx == XE_NIL)
		return idx;
	t->slots[idx] = key;
	xe_index_put(&t->index, key.hash, idx);
	return idx;
}

void xe_source_give(struct xe_sources *t, uint32_t source)
{
	struct xe_source *s = &t->slots[source];

	if (--s->sessions)
		return;
	xe_index_del(&t->index, s->hash, source);
	xe_slots_give(&t->room, source);
}

void xe_source_set_closed(struct xe_sources *t, uint32_t source, bool closed)
{
	t->slots[source].closed += closed ? 1 : -1u;
}

void xe_source_pair_add(struct xe_sources *t, uint32_t source, uint32_t ext)
{
	struct xe_source *s = &t->slots[source];
	int free_one = -1;

	for (int i = 0; i < XE_SOURCE_PAIRS; i++) {
		if (!s->pair[i].sessions) {
			free_one = i;
		} else if (s->pair[i].ext == ext) {
			s->pair[i].sessions++;
			return;
		}
	}
	if (free_one >= 0)
		s->pair[free_one] = (struct xe_source_pair){.sessions = 1, .ext = ext};
}

/* One that was not counted in, for want of a place, may be counted out here: then the pair is
 * forgotten while it has sessions, and the next one has it from the hash. */
void xe_source_pair_del(struct xe_sources *t, uint32_t source, uint32_t ext)
{
	struct xe_source *s = &t->slots[source];

	for (int i = 0; i < XE_SOURCE_PAIRS; i++)
		if (s->pair[i].sessions && s->pair[i].ext == ext)
			s->pair[i].sessions--;
}
