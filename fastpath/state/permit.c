/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "state/permit.h"

int xe_permits_open(struct xe_permits *t, uint32_t capacity, uint64_t k0, uint64_t k1)
{
	memset(t, 0, sizeof(*t));
	t->k0 = k0;
	t->k1 = k1;
	t->slots = xe_slots_open(&t->room, capacity, sizeof(*t->slots),
				 offsetof(struct xe_permit, next_free));
	if (t->slots && !xe_index_open(&t->index, capacity))
		return 0;
	xe_permits_close(t);
	return -ENOMEM;
}

void xe_permits_close(struct xe_permits *t)
{
	xe_slots_close(&t->room);
	t->slots = NULL;
	xe_index_close(&t->index);
}

static bool permit_equal(const void *table, uint32_t entry, const void *key)
{
	const struct xe_permit *p = &((const struct xe_permits *)table)->slots[entry], *k = key;

	return p->mapping == k->mapping && p->peer_be == k->peer_be;
}

static struct xe_permit key_of(const struct xe_permits *t, uint32_t mapping, uint32_t peer_be)
{
	struct xe_tuple4 hashed = {.src_be = mapping, .dst_be = peer_be};

	return (struct xe_permit){
		.mapping = mapping,
		.peer_be = peer_be,
		.sessions = 1,
		.hash = (uint32_t)xe_flow_hash(&hashed, t->k0, t->k1),
	};
}

static uint32_t find(const struct xe_permits *t, const struct xe_permit *key)
{
	return xe_index_find(&t->index, key->hash, t, key, permit_equal);
}

void xe_permit_add(struct xe_permits *t, uint32_t mapping, uint32_t peer_be)
{
	struct xe_permit key = key_of(t, mapping, peer_be);
	uint32_t idx = find(t, &key);

	if (idx != XE_NIL) {
		t->slots[idx].sessions++;
		return;
	}
	idx = xe_slots_take(&t->room);
	if (idx == XE_NIL)
		return; /* cannot be: one a session */
	t->slots[idx] = key;
	xe_index_put(&t->index, key.hash, idx);
}

void xe_permit_del(struct xe_permits *t, uint32_t mapping, uint32_t peer_be)
{
	struct xe_permit key = key_of(t, mapping, peer_be);
	uint32_t idx = find(t, &key);

	if (idx == XE_NIL || --t->slots[idx].sessions)
		return;
	xe_index_del(&t->index, key.hash, idx);
	xe_slots_give(&t->room, idx);
}

bool xe_permit_has(const struct xe_permits *t, uint32_t mapping, uint32_t peer_be)
{
	struct xe_permit key = key_of(t, mapping, peer_be);

	return find(t, &key) != XE_NIL;
}
