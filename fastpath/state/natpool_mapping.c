/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "state/natpool_mapping.h"

#include <arpa/inet.h>

#include "state/natpool_choose.h"
#include "state/natpool_crowd.h"

/* Of a source's resting L4 ports those that ended last are looked at, for one in the range. */
#define OWN_LOOKS 64

/* Of the same source, on the same Ext address. */
static bool own_equal(const void *table, uint32_t entry, const void *key)
{
	const struct xe_mapping *m = &((const struct xe_natpool *)table)->mappings[entry];
	const struct xe_mapping *k = key;

	return m->src_be == k->src_be && m->in_port == k->in_port && m->era == k->era &&
	       m->ext == k->ext && m->is_udp == k->is_udp && m->family == k->family;
}

static uint32_t own_hash(const struct xe_natpool *pool, const struct xe_mapping *m)
{
	struct xe_mapping source = *m;

	source.sport_be = 0;
	return xe_mapping_hash(pool, &source);
}

void xe_mapping_rest(struct xe_natpool *pool, uint32_t idx)
{
	struct xe_mapping *m = &pool->mappings[idx];
	uint32_t head;

	if (pool->rested_s)
		__atomic_store_n(&pool->rested_s[m->ext_port], pool->now_s + 1, __ATOMIC_RELAXED);
	m->own_hash = own_hash(pool, m);
	head = xe_index_find(&pool->rest_index, m->own_hash, pool, m, own_equal);
	m->rest_s = pool->now_s;
	m->rest_next = XE_NIL;
	m->rest_prev = pool->rest_last;
	if (pool->rest_last != XE_NIL)
		pool->mappings[pool->rest_last].rest_next = idx;
	else
		pool->rest_first = idx;
	pool->rest_last = idx;
	m->own_prev = XE_NIL;
	m->own_next = head;
	if (head != XE_NIL) {
		pool->mappings[head].own_prev = idx;
		xe_index_del(&pool->rest_index, m->own_hash, head);
	}
	xe_index_put(&pool->rest_index, m->own_hash, idx);
	pool->rest_cnt++;
}

void xe_mapping_unlink(struct xe_natpool *pool, uint32_t idx)
{
	struct xe_mapping *m = &pool->mappings[idx], *all = pool->mappings;

	if (m->rest_prev != XE_NIL)
		all[m->rest_prev].rest_next = m->rest_next;
	else
		pool->rest_first = m->rest_next;
	if (m->rest_next != XE_NIL)
		all[m->rest_next].rest_prev = m->rest_prev;
	else
		pool->rest_last = m->rest_prev;
	if (m->own_next != XE_NIL)
		all[m->own_next].own_prev = m->own_prev;
	if (m->own_prev != XE_NIL) {
		all[m->own_prev].own_next = m->own_next;
	} else {
		xe_index_del(&pool->rest_index, m->own_hash, idx);
		if (m->own_next != XE_NIL)
			xe_index_put(&pool->rest_index, m->own_hash, m->own_next);
	}
	pool->rest_cnt--;
}

void xe_mapping_free(struct xe_natpool *pool, uint32_t idx)
{
	struct xe_mapping *m = &pool->mappings[idx];

	xe_index_del(&pool->mapping_index, m->hash, idx);
	if (m->family == XE_FAMILY_6)
		xe_addr6_unref(&pool->sessions->addr6, m->src_be);
	m->refs = 0;
	m->rest_next = pool->mapping_free;
	pool->mapping_free = idx;
}

void xe_mapping_end(struct xe_natpool *pool, uint32_t idx)
{
	struct xe_mapping *m = &pool->mappings[idx];

	xe_mapping_unlink(pool, idx);
	xe_l4_rested(pool, m->is_udp, m->ext, m->ext_port);
	xe_mapping_free(pool, idx);
}

void xe_natpool_tick(struct xe_natpool *pool, uint32_t now_s, uint32_t budget)
{
	if (pool->now_s != now_s)
		xe_crowds_tick(pool->crowds, now_s);
	pool->now_s = now_s;
	while (pool->rest_cnt && budget-- &&
	       now_s - pool->mappings[pool->rest_first].rest_s >= XE_NAT_REST_S)
		xe_mapping_end(pool, pool->rest_first);
}

/* There is one: see xe_mapping_make_room(). */
static uint32_t mapping_slot(struct xe_natpool *pool)
{
	uint32_t idx = pool->mapping_free;

	if (idx == XE_NIL)
		return pool->mapping_high++;
	pool->mapping_free = pool->mappings[idx].rest_next;
	return idx;
}

bool xe_mapping_make_room(struct xe_natpool *pool)
{
	if (pool->mapping_cnt + pool->rest_cnt < pool->mapping_capacity)
		return true;
	if (!pool->rest_cnt)
		return false;
	xe_mapping_end(pool, pool->rest_first);
	return true;
}

uint32_t xe_mapping_new(struct xe_natpool *pool, const struct xe_mapping *key)
{
	uint32_t idx = mapping_slot(pool);

	pool->mappings[idx] = *key;
	pool->mapping_cnt++;
	if (key->family == XE_FAMILY_6)
		xe_addr6_ref(&pool->sessions->addr6, key->src_be);
	xe_index_put(&pool->mapping_index, key->hash, idx);
	xe_l4_use(pool, key->is_udp, key->ext, key->ext_port, idx);
	return idx;
}

void xe_mapping_go_on(struct xe_natpool *pool, uint32_t idx, const struct xe_mapping *key)
{
	struct xe_mapping *m = &pool->mappings[idx];

	xe_mapping_unlink(pool, idx);
	m->filter = key->filter;
	m->verb = key->verb;
	pool->mapping_cnt++;
	xe_l4_use(pool, m->is_udp, m->ext, m->ext_port, idx);
}

uint16_t xe_mapping_take_over(struct xe_natpool *pool, const struct xe_mapping *key,
			      const struct xe_nat_want *want, bool only_own)
{
	uint16_t own = ntohs(key->sport_be);
	uint32_t idx;

	if (only_own) {
		if (!xe_nat_in_range(want, own) ||
		    !xe_l4_is_resting(pool, key->is_udp, key->ext, own))
			return 0;
		idx = pool->ext[key->ext].ports[key->is_udp].use[own] & ~XE_USE_MAPPED;
		return own_equal(pool, idx, key) ? own : 0;
	}
	idx = xe_index_find(&pool->rest_index, own_hash(pool, key), pool, key, own_equal);
	for (int i = 0; idx != XE_NIL && i < OWN_LOOKS; i++, idx = pool->mappings[idx].own_next)
		if (xe_nat_in_range(want, pool->mappings[idx].ext_port) &&
		    !xe_l4_is_taken(pool, key->is_udp, pool->mappings[idx].ext_port))
			return pool->mappings[idx].ext_port;
	return 0;
}
