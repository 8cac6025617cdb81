/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * index.h - a small hash index from 32-bit hashes to entry numbers, for the tables of the slow path
 * (next hops, mappings, sources).
 *
 * Linear probing with backward-shift deletion, so no tombstones gather; at most half full; the
 * hashes are keyed, so nobody can aim at one run. Each slot holds the hash beside the entry, so
 * probing touches no entry that does not match. Single owner thread.
 */
#ifndef XE_INDEX_H
#define XE_INDEX_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

/* No entry; no session, no mapping, end of list. */
#define XE_NIL 0xffffffffu

struct xe_index {
	uint64_t *slots; /* hash << 32 | entry + 1; 0: free */
	uint32_t mask;
};

typedef bool (*xe_index_equal_fn)(const void *table, uint32_t entry, const void *key);

static inline int xe_index_open(struct xe_index *x, uint32_t capacity)
{
	uint64_t n = 64;
	void *m;

	while (n < 2ull * capacity)
		n *= 2;
	m = mmap(NULL, n * sizeof(*x->slots), PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (m == MAP_FAILED)
		return -ENOMEM;
	madvise(m, n * sizeof(*x->slots), MADV_HUGEPAGE); /* a probe is a random place of MiBs */
	x->slots = m;
	x->mask = (uint32_t)(n - 1);
	return 0;
}

static inline void xe_index_close(struct xe_index *x)
{
	if (x->slots)
		munmap(x->slots, ((size_t)x->mask + 1) * sizeof(*x->slots));
	x->slots = NULL;
}

static inline __attribute__((always_inline)) uint32_t
xe_index_find(const struct xe_index *x, uint32_t hash, const void *table, const void *key,
	      xe_index_equal_fn equal)
{
	for (uint32_t i = hash & x->mask; x->slots[i]; i = (i + 1) & x->mask) {
		uint32_t entry = (uint32_t)x->slots[i] - 1;

		if (x->slots[i] >> 32 == hash && equal(table, entry, key))
			return entry;
	}
	return XE_NIL;
}

/* The caller keeps the number of entries at or below the capacity given at open. */
static inline void xe_index_put(struct xe_index *x, uint32_t hash, uint32_t entry)
{
	uint32_t i = hash & x->mask;

	while (x->slots[i])
		i = (i + 1) & x->mask;
	x->slots[i] = (uint64_t)hash << 32 | (entry + 1);
}

static inline void xe_index_del(struct xe_index *x, uint32_t hash, uint32_t entry)
{
	uint64_t want = (uint64_t)hash << 32 | (entry + 1);
	uint32_t i = hash & x->mask, j;

	while (x->slots[i] != want) {
		if (!x->slots[i])
			return;
		i = (i + 1) & x->mask;
	}
	/* Close the gap with what may stand there: slots whose home is not behind it. */
	for (j = (i + 1) & x->mask; x->slots[j]; j = (j + 1) & x->mask) {
		uint32_t home = (uint32_t)(x->slots[j] >> 32) & x->mask;

		if (((j - home) & x->mask) < ((j - i) & x->mask))
			continue;
		x->slots[i] = x->slots[j];
		i = j;
	}
	x->slots[i] = 0;
}

#endif
