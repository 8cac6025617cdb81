/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * live.h - the writer's side of the live-session tags (steer_abi.h): one region per worker, in
 * memory that the steering program reads.
 *
 * A tag that is present twice (two sessions whose hashes agree in bucket and tag) is stored twice,
 * so removing one leaves the other. Which of its two buckets a tag went to is kept with the
 * session: guessed at removal, it could be another session's equal tag that goes.
 */
#ifndef XE_LIVE_H
#define XE_LIVE_H

#include <stdbool.h>
#include <stdint.h>

#include "xegress/steer_abi.h"

struct xe_live {
	struct xe_live_bucket *buckets; /* this worker's region */
	uint32_t mask;
	struct xe_live_bucket *mirror; /* of another process, whose program still runs: what is
					  added is added there, too. NULL: none (takeover) */
};

/* Buckets for n tags: one bucket of 8 for every 2, where the chance that both buckets of a tag are
 * full is below 10^-9. A power of two. */
static inline uint32_t xe_live_bucket_cnt(uint32_t tag_cnt)
{
	uint32_t n = 64;

	while (n < tag_cnt / 2)
		n *= 2;
	return n;
}

static inline bool xe_live_put_in(struct xe_live_bucket *b, uint16_t tag)
{
	for (int i = 0; i < XE_LIVE_SLOTS; i++) {
		if (b->tag[i])
			continue;
		__atomic_store_n(&b->tag[i], tag, __ATOMIC_RELEASE);
		return true;
	}
	return false;
}

/* False when both buckets are full: the session must not be made. *second is for xe_live_del(). */
static inline bool xe_live_add(struct xe_live *live, uint64_t hash, bool *second)
{
	uint16_t tag = xe_live_tag(hash);

	if (__builtin_expect(live->mirror != NULL, 0) &&
	    !xe_live_put_in(&live->mirror[xe_live_first(hash, live->mask)], tag))
		xe_live_put_in(&live->mirror[xe_live_second(hash, live->mask)], tag);
	*second = !xe_live_put_in(&live->buckets[xe_live_first(hash, live->mask)], tag);
	return !*second || xe_live_put_in(&live->buckets[xe_live_second(hash, live->mask)], tag);
}

static inline bool xe_live_in(const struct xe_live_bucket *b, uint16_t tag)
{
	for (int i = 0; i < XE_LIVE_SLOTS; i++)
		if (__atomic_load_n(&b->tag[i], __ATOMIC_ACQUIRE) == tag)
			return true;
	return false;
}

/* Any worker: may a session with this hash live in this region? The answer is steer's: wrong in 3
 * of 10^5 cases for a hash that has none. */
static inline bool xe_live_has(const struct xe_live *live, uint64_t hash)
{
	uint16_t tag = xe_live_tag(hash);

	return xe_live_in(&live->buckets[xe_live_first(hash, live->mask)], tag) ||
	       xe_live_in(&live->buckets[xe_live_second(hash, live->mask)], tag);
}

static inline void xe_live_del(struct xe_live *live, uint64_t hash, bool second)
{
	uint32_t idx = second ? xe_live_second(hash, live->mask) : xe_live_first(hash, live->mask);
	struct xe_live_bucket *b = &live->buckets[idx];
	uint16_t tag = xe_live_tag(hash);

	for (int i = 0; i < XE_LIVE_SLOTS; i++) {
		if (b->tag[i] != tag)
			continue;
		__atomic_store_n(&b->tag[i], 0, __ATOMIC_RELEASE);
		return;
	}
}

#endif
