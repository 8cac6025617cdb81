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

/* ---- what the workers count together ---- */

static void add_outside(struct xe_sources *t, const struct xe_source *s, uint32_t cnt)
{
	if (s->place != XE_NIL)
		atomic_fetch_add_explicit(&t->outside->places[s->place].sessions, cnt,
					  memory_order_relaxed);
}

static void take_off_outside(struct xe_sources *t, const struct xe_source *s, uint32_t cnt)
{
	if (s->place != XE_NIL)
		atomic_fetch_sub_explicit(&t->outside->places[s->place].sessions, cnt,
					  memory_order_relaxed);
}

/* To the place that the other workers have. */
static void move(struct xe_sources *t, struct xe_source *s, uint64_t hash)
{
	uint32_t active = s->sessions - s->closed, old = s->place;

	take_off_outside(t, s, active);
	s->place = xe_outside_take(t->outside, hash);
	add_outside(t, s, active);
	xe_outside_give(t->outside, old);
}

/* One more, if it may have one. Added first: of two workers at the last one only one sees that it
 * is within the limit. */
static bool count(struct xe_sources *t, struct xe_source *s, uint32_t limit)
{
	if (s->place == XE_NIL) {
		if (s->sessions - s->closed >= limit)
			return false;
	} else if (atomic_fetch_add_explicit(&t->outside->places[s->place].sessions, 1,
					     memory_order_relaxed) >= limit) {
		take_off_outside(t, s, 1);
		return false;
	}
	s->sessions++;
	return true;
}

/* ---- sources ---- */

static void free_source(struct xe_sources *t, uint32_t source)
{
	struct xe_source *s = &t->slots[source];

	if (s->place != XE_NIL)
		xe_outside_give(t->outside, s->place);
	xe_index_del(&t->index, s->hash, source);
	xe_slots_give(&t->room, source);
}

static uint32_t new_source(struct xe_sources *t, const struct xe_source *key, uint64_t hash)
{
	uint32_t idx = xe_slots_take(&t->room);

	if (idx == XE_NIL)
		return idx;
	t->slots[idx] = *key;
	if (key->in_port == XE_PORT_ANYUPLINK)
		t->slots[idx].place = xe_outside_take(t->outside, hash);
	xe_index_put(&t->index, key->hash, idx);
	return idx;
}

uint32_t xe_source_take(struct xe_sources *t, uint8_t family, uint64_t source, uint16_t in_port,
			uint32_t limit)
{
	struct xe_tuple4 hashed = {
		.src_be = (uint32_t)source,
		.dst_be = (uint32_t)(source >> 32),
		.sport_be = 0xffff, /* no number of terms, which share the places */
		.port = in_port,
		.proto = family,
	};
	uint64_t hash = xe_flow_hash(&hashed, t->k0, t->k1);
	struct xe_source key = {
		.key = source,
		.in_port = in_port,
		.family = family,
		.hash = (uint32_t)hash,
		.place = XE_NIL,
	};
	uint32_t idx = xe_index_find(&t->index, key.hash, t, &key, source_equal);

	if (idx == XE_NIL)
		idx = new_source(t, &key, hash);
	else if (t->slots[idx].place != XE_NIL &&
		 xe_outside_is_second(t->outside, hash, t->slots[idx].place))
		move(t, &t->slots[idx], hash);
	if (idx == XE_NIL || count(t, &t->slots[idx], limit))
		return idx;
	if (!t->slots[idx].sessions)
		free_source(t, idx);
	return XE_NIL;
}

void xe_source_give(struct xe_sources *t, uint32_t source)
{
	struct xe_source *s = &t->slots[source];

	take_off_outside(t, s, 1);
	if (!--s->sessions)
		free_source(t, source);
}

void xe_source_give_closed(struct xe_sources *t, uint32_t source)
{
	struct xe_source *s = &t->slots[source];

	s->closed--;
	if (!--s->sessions)
		free_source(t, source);
}

void xe_source_set_closed(struct xe_sources *t, uint32_t source, bool closed)
{
	struct xe_source *s = &t->slots[source];

	s->closed += closed ? 1 : -1u;
	if (closed)
		take_off_outside(t, s, 1);
	else
		add_outside(t, s, 1);
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
