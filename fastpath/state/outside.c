/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "state/outside.h"

#include "state/region.h"
#include "xegress/types.h"

/* Tags in one line of cache. */
#define WAYS 8u
/* Places for each session there may be: with 2 a set has 4 sources on average even when each of two
 * limits has one for every session, and more than WAYS once in 47. */
#define PLACES_PER_SESSION 2u
/* The low bits of a tag: how many workers have the place. */
#define HOLDERS_MASK 0xffull
/* Looks at a set that changes all the time meanwhile, before the worker counts alone. Each of them
 * lost means that another worker got what it wanted. */
#define TRIES 16

_Static_assert(XE_MAX_WORKERS < HOLDERS_MASK, "holders of a place");

int xe_outside_open(struct xe_outside *t, uint64_t sessions)
{
	uint64_t size = WAYS;

	while (size < sessions * PLACES_PER_SESSION)
		size *= 2;
	t->size = (uint32_t)size;
	t->set_mask = (uint32_t)(size / WAYS - 1);
	t->tags = xe_region_open(size * sizeof(*t->tags));
	t->places = xe_region_open(size * sizeof(*t->places));
	if (t->tags && t->places)
		return 0;
	xe_outside_close(t);
	return -ENOMEM;
}

void xe_outside_close(struct xe_outside *t)
{
	if (!t)
		return;
	xe_region_close((void *)t->tags, t->size * sizeof(*t->tags));
	xe_region_close(t->places, t->size * sizeof(*t->places));
	memset(t, 0, sizeof(*t));
}

/* Never 0 with a holder, for there is one. */
static uint64_t tag_of(uint64_t hash)
{
	return hash & ~HOLDERS_MASK;
}

static uint32_t first_way(const struct xe_outside *t, uint64_t hash)
{
	return ((uint32_t)(hash >> 32) & t->set_mask) * WAYS;
}

static bool is_held_by(uint64_t word, uint64_t tag)
{
	return (word & ~HOLDERS_MASK) == tag && (word & HOLDERS_MASK);
}

/* One look at the set. False: it changed meanwhile. */
static bool try_take(struct xe_outside *t, uint64_t tag, uint32_t first, uint32_t *place)
{
	uint64_t word, free_word = 0;

	*place = XE_NIL;
	for (uint32_t i = first; i < first + WAYS; i++) {
		word = atomic_load_explicit(&t->tags[i], memory_order_relaxed);
		if (is_held_by(word, tag)) {
			*place = i;
			return atomic_compare_exchange_strong_explicit(&t->tags[i], &word, word + 1,
								       memory_order_acquire,
								       memory_order_relaxed);
		}
		if (!word && *place == XE_NIL)
			*place = i;
	}
	return *place == XE_NIL ||
	       atomic_compare_exchange_strong_explicit(&t->tags[*place], &free_word, tag | 1,
						       memory_order_acquire, memory_order_relaxed);
}

uint32_t xe_outside_take(struct xe_outside *t, uint64_t hash)
{
	uint32_t place;

	for (int i = 0; t && i < TRIES; i++)
		if (try_take(t, tag_of(hash), first_way(t, hash), &place))
			return place;
	return XE_NIL;
}

/* As one that nobody has used: all buckets full. Whoever joins at this moment is the same source.
 */
static void forget_rates(struct xe_outside_place *p)
{
	for (int kind = 0; kind < XE_LIMIT_KIND_CNT; kind++)
		for (int dir = 0; dir < 2; dir++)
			atomic_store_explicit(&p->sold_us[kind][dir], 0, memory_order_relaxed);
}

void xe_outside_give(struct xe_outside *t, uint32_t place)
{
	uint64_t word = atomic_load_explicit(&t->tags[place], memory_order_relaxed), left;

	do {
		left = (word & HOLDERS_MASK) == 1 ? 0 : word - 1;
		if (!left)
			forget_rates(&t->places[place]);
	} while (!atomic_compare_exchange_weak_explicit(
		&t->tags[place], &word, left, memory_order_release, memory_order_relaxed));
}

bool xe_outside_is_second(const struct xe_outside *t, uint64_t hash, uint32_t place)
{
	for (uint32_t i = first_way(t, hash); i < place; i++)
		if (is_held_by(atomic_load_explicit(&t->tags[i], memory_order_relaxed),
			       tag_of(hash)))
			return true;
	return false;
}
