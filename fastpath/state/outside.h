/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * outside.h - what the workers count together of a source beyond an uplink: the sessions that it
 * began, and the rates that `limit ... per-source` gives it.
 *
 * A source inside is at one worker only, for its port is. One from outside begins flows wherever
 * the inside hosts are that it speaks to, and has its limits once for all of them. So each worker
 * has its own entry of the source (state/source.h, state/terms.h), as ever, and these share a place
 * here:
 *
 *   tag     who      56 bits of the keyed hash of the source, and how many workers have the place;
 *                    0: free. Written by compare-and-swap: a worker that comes joins, the last that
 *                    goes frees it
 *   place   counts   by atomic additions (sessions) and compare-and-swap (rates)
 *
 * No lock, and nobody waits for anybody. A source's place is among the WAYS of a set that its hash
 * names, whose tags are one line of cache. Where all of a set are taken (one source in some hundred
 * when there are as many of them as there may be sessions) the worker counts that source alone. Two
 * workers may each make a place for one source, when a third frees one between their looks; each
 * flow that begins looks again, and whoever has the second moves to the first.
 *
 * A tag stands for its source: two of a million have the same once in some 100,000 runs, and then
 * share their limits.
 */
#ifndef XE_OUTSIDE_H
#define XE_OUTSIDE_H

#include <stdatomic.h>

#include "state/index.h"
#include "state/rule.h"

/* Up to which moment a rate has been given out, by kind and direction (state/terms.h). */
typedef _Atomic uint64_t xe_sold[XE_LIMIT_KIND_CNT][2];

struct xe_outside_place {
	xe_sold sold_us;
	_Atomic uint32_t sessions; /* of all workers; those that are closed do not count */
	uint32_t reserved;
};

struct xe_outside {
	_Atomic uint64_t *tags;
	struct xe_outside_place *places;
	uint32_t size, set_mask;
};

/* For this many sessions of all workers together; memory is there as it is touched. -ENOMEM. Close
 * accepts a zeroed one, or NULL. Control thread. */
int xe_outside_open(struct xe_outside *t, uint64_t sessions);
void xe_outside_close(struct xe_outside *t);

/* The place of the source with this hash, joined or made. XE_NIL: there is none for it, or no
 * table (`t` NULL: there is one worker). Any worker, once for each entry of its own. */
uint32_t xe_outside_take(struct xe_outside *t, uint64_t hash);
/* It is no longer this worker's, which has taken off all that it added. */
void xe_outside_give(struct xe_outside *t, uint32_t place);
/* Is there another place of this source that comes before this one? Then it is to be moved to. */
bool xe_outside_is_second(const struct xe_outside *t, uint64_t hash, uint32_t place);

#endif
