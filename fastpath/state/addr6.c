/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "state/addr6.h"

int xe_addr6_open(struct xe_addr6_table *t, uint32_t capacity, uint64_t k0, uint64_t k1)
{
	void *m = mmap(NULL, (size_t)capacity * sizeof(*t->slots), PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	memset(t, 0, sizeof(*t));
	if (m == MAP_FAILED)
		return -ENOMEM;
	madvise(m, (size_t)capacity * sizeof(*t->slots), MADV_HUGEPAGE);
	t->slots = m;
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
	if (t->slots)
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

	if (idx == XE_NIL)
		return t->high < t->capacity ? t->high++ : XE_NIL;
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
