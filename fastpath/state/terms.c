/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "state/terms.h"

#include <errno.h>
#include <stdlib.h>

#include "xegress/steer_abi.h"

#define US_PER_SEC 1000000u
/* What a bucket holds: a quarter of a second bridges the round trips that TCP needs to find its
 * rate; and as many flows as may begin in a second, since a page view opens them all at once. */
#define DEPTH_US       250000u
#define DEPTH_FLOWS_US 1000000u
/* Taken from a shared bucket at once: 250 times a second at most, and what idle workers keep is
 * less than 2 % of a bucket each. */
#define CHUNK_US 4000u
/* Faster than any interface, and rate times DEPTH_FLOWS_US still fits 63 bits. */
#define RATE_MAX (1ull << 42)

/* ---- control thread ---- */

struct xe_terms *xe_terms_table_new(void)
{
	return calloc(XE_MAX_TERMS, sizeof(struct xe_terms));
}

void xe_terms_table_free(struct xe_terms *table)
{
	free(table);
}

bool xe_rule_has_terms(const struct xe_rule *rule)
{
	bool any = rule->mss;

	for (int i = 0; i < XE_LIMIT_CNT; i++)
		any |= rule->limit[i] != 0;
	return any;
}

void xe_terms_set(struct xe_terms *terms, const struct xe_rule *rule)
{
	memset(terms, 0, sizeof(*terms));
	terms->mss = rule->mss;
	for (int i = 0; i < XE_LIMIT_CNT; i++) {
		terms->rate[i] = rule->limit[i] < RATE_MAX ? rule->limit[i] : RATE_MAX;
		terms->limits |= rule->limit[i] != 0;
		terms->per_source |= i >= XE_LIMIT_KIND_CNT && rule->limit[i];
	}
}

/* ---- a worker's part ---- */

int xe_terms_open(struct xe_terms_local *t, struct xe_terms *table, uint32_t capacity, uint64_t k0,
		  uint64_t k1)
{
	memset(t, 0, sizeof(*t));
	t->table = table;
	t->capacity = capacity;
	t->k0 = k0;
	t->k1 = k1;
	t->credit = xe_region_open(XE_MAX_TERMS * sizeof(*t->credit));
	t->refs = xe_region_open(XE_MAX_TERMS * sizeof(*t->refs));
	t->of_session = xe_region_open(capacity * sizeof(*t->of_session));
	t->sources = xe_slots_open(&t->room, capacity, sizeof(*t->sources),
				   offsetof(struct xe_terms_source, next_free));
	if (t->credit && t->refs && t->of_session && t->sources &&
	    !xe_index_open(&t->index, capacity))
		return 0;
	xe_terms_close(t);
	return -ENOMEM;
}

void xe_terms_close(struct xe_terms_local *t)
{
	xe_region_close(t->credit, XE_MAX_TERMS * sizeof(*t->credit));
	xe_region_close(t->refs, XE_MAX_TERMS * sizeof(*t->refs));
	xe_region_close(t->of_session, t->capacity * sizeof(*t->of_session));
	xe_slots_close(&t->room);
	xe_index_close(&t->index);
	memset(t, 0, sizeof(*t));
}

static bool source_equal(const void *table, uint32_t entry, const void *key)
{
	const struct xe_terms_source *s = &((const struct xe_terms_local *)table)->sources[entry];
	const struct xe_terms_source *k = key;

	return s->key == k->key && s->terms == k->terms && s->in_port == k->in_port &&
	       s->family == k->family;
}

/* Two workers that met the source first at the same moment may have a place each (outside.h). */
static void look_again(struct xe_terms_local *t, struct xe_terms_source *s, uint64_t hash)
{
	uint32_t old = s->place;

	if (old == XE_NIL || !xe_outside_is_second(t->outside, hash, old))
		return;
	s->place = xe_outside_take(t->outside, hash);
	xe_outside_give(t->outside, old);
}

static uint32_t source_take(struct xe_terms_local *t, const struct xe_terms_source *key,
			    uint64_t hash)
{
	uint32_t idx = xe_index_find(&t->index, key->hash, t, key, source_equal);

	if (idx != XE_NIL) {
		look_again(t, &t->sources[idx], hash);
		t->sources[idx].refs++;
		return idx;
	}
	idx = xe_slots_take(&t->room);
	if (idx == XE_NIL)
		return idx;
	memset(&t->sources[idx], 0, sizeof(t->sources[idx])); /* all buckets full */
	t->sources[idx].key = key->key;
	t->sources[idx].terms = key->terms;
	t->sources[idx].hash = key->hash;
	t->sources[idx].in_port = key->in_port;
	t->sources[idx].family = key->family;
	t->sources[idx].refs = 1;
	t->sources[idx].place =
		key->in_port == XE_PORT_ANYUPLINK ? xe_outside_take(t->outside, hash) : XE_NIL;
	xe_index_put(&t->index, key->hash, idx);
	return idx;
}

static void set_refs(struct xe_terms_local *t, uint32_t terms, uint32_t refs)
{
	__atomic_store_n(&t->refs[terms], refs, __ATOMIC_RELEASE);
}

bool xe_terms_take(struct xe_terms_local *t, uint32_t terms, uint8_t family, uint64_t source,
		   uint16_t in_port, struct xe_terms_ref *ref)
{
	struct xe_tuple4 hashed = {
		.src_be = (uint32_t)source,
		.dst_be = (uint32_t)(source >> 32),
		.sport_be = (uint16_t)terms,
		.port = in_port,
		.proto = family,
	};
	struct xe_terms_source key = {
		.key = source, .terms = terms, .in_port = in_port, .family = family};

	uint64_t hash;

	*ref = (struct xe_terms_ref){.terms = terms, .source = XE_NIL};
	if (t->table[terms].per_source) {
		hash = xe_flow_hash(&hashed, t->k0, t->k1);
		key.hash = (uint32_t)hash;
		ref->source = source_take(t, &key, hash);
		if (ref->source == XE_NIL)
			return false;
	}
	set_refs(t, terms, t->refs[terms] + 1);
	return true;
}

void xe_terms_give(struct xe_terms_local *t, const struct xe_terms_ref *ref)
{
	struct xe_terms_source *s = &t->sources[ref->source];

	if (ref->source != XE_NIL && !--s->refs) {
		if (s->place != XE_NIL)
			xe_outside_give(t->outside, s->place);
		xe_index_del(&t->index, s->hash, ref->source);
		xe_slots_give(&t->room, ref->source);
	}
	set_refs(t, ref->terms, t->refs[ref->terms] - 1);
}

/* ---- buckets ---- */

/* Is there credit? Takes some of the rate where there is none. `credit` is this worker's. */
static bool ready(int64_t *credit, _Atomic uint64_t *sold_us, uint64_t rate, uint64_t depth_us,
		  uint64_t now_us)
{
	uint64_t old, from, take_us, want_us, debt_us;

	if (*credit > 0)
		return true;
	debt_us = (uint64_t) - *credit / rate;
	want_us = debt_us + CHUNK_US;
	depth_us += debt_us; /* what has passed since is its, however long it was not asked for */
	old = atomic_load_explicit(sold_us, memory_order_relaxed);
	do {
		from = now_us > depth_us && old < now_us - depth_us ? now_us - depth_us : old;
		if (from >= now_us)
			return false;
		take_us = now_us - from < want_us ? now_us - from : want_us;
	} while (!atomic_compare_exchange_weak_explicit(
		sold_us, &old, from + take_us, memory_order_relaxed, memory_order_relaxed));
	*credit += (int64_t)(take_us * rate);
	return *credit > 0;
}

static _Atomic uint64_t *sold_of(struct xe_terms_local *t, struct xe_terms_source *s, int kind,
				 int dir)
{
	return s->place == XE_NIL ? &s->sold_us[kind][dir]
				  : &t->outside->places[s->place].sold_us[kind][dir];
}

/* The rule's bucket and the source's, of one kind and direction. */
static enum xe_limit kind_ready(struct xe_terms_local *t, const struct xe_terms_ref *ref, int kind,
				int dir, uint64_t now_us)
{
	struct xe_terms *terms = &t->table[ref->terms];
	uint64_t depth_us = kind == XE_LIMIT_FLOWS ? DEPTH_FLOWS_US : DEPTH_US;
	int of_source = kind + XE_LIMIT_KIND_CNT;
	struct xe_terms_source *s;

	/* The source first: what it may not send, it must not take from the others. */
	if (ref->source != XE_NIL && terms->rate[of_source]) {
		s = &t->sources[ref->source];
		if (!ready(&s->credit[kind][dir], sold_of(t, s, kind, dir), terms->rate[of_source],
			   depth_us, now_us))
			return (enum xe_limit)of_source;
	}
	if (terms->rate[kind] &&
	    !ready(&t->credit[ref->terms][kind][dir], &terms->sold_us[kind][dir], terms->rate[kind],
		   depth_us, now_us))
		return (enum xe_limit)kind;
	return XE_LIMIT_CNT;
}

static void charge(struct xe_terms_local *t, const struct xe_terms_ref *ref, int kind, int dir,
		   uint64_t units)
{
	const struct xe_terms *terms = &t->table[ref->terms];

	if (terms->rate[kind])
		t->credit[ref->terms][kind][dir] -= (int64_t)(units * US_PER_SEC);
	if (ref->source != XE_NIL && terms->rate[kind + XE_LIMIT_KIND_CNT])
		t->sources[ref->source].credit[kind][dir] -= (int64_t)(units * US_PER_SEC);
}

enum xe_limit xe_terms_flow(struct xe_terms_local *t, const struct xe_terms_ref *ref,
			    uint64_t now_us)
{
	enum xe_limit refused = kind_ready(t, ref, XE_LIMIT_FLOWS, 0, now_us);

	if (refused == XE_LIMIT_CNT)
		charge(t, ref, XE_LIMIT_FLOWS, 0, 1);
	return refused;
}

enum xe_limit xe_terms_packet(struct xe_terms_local *t, const struct xe_terms_ref *ref, int dir,
			      uint32_t packets, uint64_t bits, uint64_t now_us)
{
	enum xe_limit refused = kind_ready(t, ref, XE_LIMIT_PACKETS, dir, now_us);

	if (refused == XE_LIMIT_CNT)
		refused = kind_ready(t, ref, XE_LIMIT_BITS, dir, now_us);
	if (refused != XE_LIMIT_CNT)
		return refused;
	charge(t, ref, XE_LIMIT_PACKETS, dir, packets);
	charge(t, ref, XE_LIMIT_BITS, dir, bits);
	return XE_LIMIT_CNT;
}
