/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * region.h - memory of the tables: mapped as a whole at start, for as many slots as there can ever
 * be, and paid for page by page as slots are touched. Slots are taken from a list of free ones,
 * else fresh from the end, so a table stays as small as its busiest moment was. Single owner
 * thread.
 */
#ifndef XE_REGION_H
#define XE_REGION_H

#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>

#include "state/index.h"

/* Zeroed, page-aligned, reserved but not yet there. NULL: no address space. */
static inline void *xe_region_open(size_t size)
{
	void *m = mmap(NULL, size, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return m == MAP_FAILED ? NULL : m;
}

static inline void xe_region_close(void *m, size_t size)
{
	if (m)
		munmap(m, size);
}

/* Which slots of a table are free. */
struct xe_slots {
	uint8_t *mem;
	uint32_t slot_size, link_at; /* where in a free slot the number of the next one stands */
	uint32_t capacity, high;     /* of all, and of those that were ever in use */
	uint32_t free_head;
};

/* Returns the memory, NULL: none. The slots are zeroed. */
static inline void *xe_slots_open(struct xe_slots *s, uint32_t capacity, size_t slot_size,
				  size_t link_at)
{
	s->mem = (uint8_t *)xe_region_open(capacity * slot_size);
	s->slot_size = (uint32_t)slot_size;
	s->link_at = (uint32_t)link_at;
	s->capacity = capacity;
	s->high = 0;
	s->free_head = XE_NIL;
	return s->mem;
}

static inline void xe_slots_close(struct xe_slots *s)
{
	xe_region_close(s->mem, (size_t)s->capacity * s->slot_size);
	s->mem = NULL;
}

static inline uint32_t *xe_slots_link(const struct xe_slots *s, uint32_t slot)
{
	return (uint32_t *)(void *)(s->mem + (size_t)slot * s->slot_size + s->link_at);
}

/* XE_NIL: all are in use. What stood in the slot still stands there. */
static inline uint32_t xe_slots_take(struct xe_slots *s)
{
	uint32_t slot = s->free_head;

	if (slot == XE_NIL)
		return s->high < s->capacity ? s->high++ : XE_NIL;
	s->free_head = *xe_slots_link(s, slot);
	return slot;
}

static inline void xe_slots_give(struct xe_slots *s, uint32_t slot)
{
	*xe_slots_link(s, slot) = s->free_head;
	s->free_head = slot;
}

#endif
