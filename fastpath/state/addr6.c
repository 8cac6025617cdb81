/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "state/addr6.h"

int xe_addr6_open(struct xe_addr6_table *t, uint32_t capacity, uint64_t k0, uint64_t k1)
{
	return xe_addr6_open_at(t, capacity, k0, k1, NULL);
}

static struct xe_addr6 *region(uint32_t capacity)
{
	size_t size = (size_t)capacity * sizeof(struct xe_addr6);
	void *m = mmap(NULL, size, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (m == MAP_FAILED)
		return NULL;
	madvise(m, size, MADV_HUGEPAGE);
	return m;
}

int xe_addr6_open_at(struct xe_addr6_table *t, uint32_t capacity, uint64_t k0, uint64_t k1,
		     struct xe_addr6 *slots)
{
	memset(t, 0, sizeof(*t));
	t->borrowed = slots;
	t->slots = slots ? slots : region(capacity);
	t->backed = slots ? 0 : capacity;
	if (!t->slots)
		return -ENOMEM;
	t->capacity = capacity;
	t->free_head = XE_NIL;
	t->k0 = k0;
	t->k1 = k1;
	if (!xe_index_open(&t->index, capacity))
		return 0;
	xe_addr6_close(t);
	return -ENOMEM;
}

void xe_addr6_close(struct xe_addr6_table *t)
{
	if (t->slots && !t->borrowed)
		munmap(t->slots, (size_t)t->capacity * sizeof(*t->slots));
	xe_index_close(&t->index);
	t->slots = NULL;
}

static bool addr_equal(const void *table, uint32_t entry, const void *key)
{
	return xe_addr6_is(table, entry, key);
}

static uint32_t hash_of(const struct xe_addr6_table *t, const void *addr)
{
	struct xe_addr a;

	memcpy(&a, addr, sizeof(a));
	return (uint32_t)xe_addr_hash(&a, t->k0, t->k1);
}

static uint32_t find(const struct xe_addr6_table *t, uint32_t hash, const void *addr)
{
	return xe_index_find(&t->index, hash, t, addr, addr_equal);
}

uint32_t xe_addr6_find(const struct xe_addr6_table *t, const void *addr)
{
	/* No IPv6 at all: what a host without it pays for a look-up. */
	return t->cnt ? find(t, hash_of(t, addr), addr) : XE_NIL;
}

static uint32_t slot_take(struct xe_addr6_table *t)
{
	uint32_t idx = t->free_head;

	if (idx == XE_NIL) {
		if (t->high == __atomic_load_n(&t->backed, __ATOMIC_ACQUIRE))
			return idx;
		idx = t->high;
		__atomic_store_n(&t->high, idx + 1, __ATOMIC_RELAXED);
		return idx;
	}
	t->free_head = t->slots[idx].next_free;
	return idx;
}

uint32_t xe_addr6_get(struct xe_addr6_table *t, const void *addr)
{
	uint32_t hash = hash_of(t, addr), idx = find(t, hash, addr);

	if (idx != XE_NIL) {
		t->slots[idx].refs++;
		return idx;
	}
	idx = slot_take(t);
	if (idx == XE_NIL)
		return idx;
	memcpy(&t->slots[idx].addr, addr, sizeof(t->slots[idx].addr));
	t->slots[idx].refs = 1;
	t->slots[idx].hash = hash;
	xe_index_put(&t->index, hash, idx);
	t->cnt++;
	return idx;
}

void xe_addr6_ref(struct xe_addr6_table *t, uint32_t idx)
{
	t->slots[idx].refs++;
}

void xe_addr6_unref(struct xe_addr6_table *t, uint32_t idx)
{
	struct xe_addr6 *a = &t->slots[idx];

	if (--a->refs)
		return;
	xe_index_del(&t->index, a->hash, idx);
	a->next_free = t->free_head;
	t->free_head = idx;
	t->cnt--;
}
