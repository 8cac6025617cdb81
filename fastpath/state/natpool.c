/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "state/natpool.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>

/* Random draws before the bitmap is searched for an L4 port that is free altogether: with half of
 * the range in use one in 2^16 flows gets to the search. */
#define DRAWS_FIRST 16
/* Draws after that, when every L4 port is in use and only sharing helps. */
#define DRAWS_SHARED 64

int xe_natpool_open(struct xe_natpool *pool, struct xe_sessions *sessions, uint64_t *owned,
		    const struct xe_taken *taken, uint16_t worker, uint16_t worker_cnt,
		    uint64_t rng_k0, uint64_t rng_k1)
{
	void *m;

	memset(pool, 0, sizeof(*pool));
	pool->sessions = sessions;
	pool->owned = owned;
	pool->taken = taken;
	pool->worker = worker;
	pool->worker_cnt = worker_cnt;
	pool->rng_k0 = rng_k0;
	pool->rng_k1 = rng_k1;
	pool->mapping_free = XE_NIL;
	m = mmap(NULL, (size_t)sessions->capacity * sizeof(*pool->mappings), PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (m == MAP_FAILED)
		return -ENOMEM;
	pool->mappings = m;
	pool->mapping_capacity = sessions->capacity;
	if (xe_index_open(&pool->mapping_index, sessions->capacity)) {
		xe_natpool_close(pool);
		return -ENOMEM;
	}
	return 0;
}

void xe_natpool_close(struct xe_natpool *pool)
{
	if (pool->mappings)
		munmap(pool->mappings, (size_t)pool->mapping_capacity * sizeof(*pool->mappings));
	pool->mappings = NULL;
	xe_index_close(&pool->mapping_index);
	for (uint32_t i = 0; i < XE_MAX_EXT_ADDRS; i++) {
		free(pool->ext[i].use[0]);
		free(pool->ext[i].use[1]);
		pool->ext[i].use[0] = pool->ext[i].use[1] = NULL;
	}
}

int xe_natpool_add_ext(struct xe_natpool *pool, uint32_t ext, __be32 addr_be)
{
	struct xe_ext *e = &pool->ext[ext];

	e->addr_be = addr_be;
	for (int i = 0; i < 2; i++) {
		if (!e->use[i])
			e->use[i] = calloc(65536, sizeof(*e->use[i]));
		if (!e->use[i])
			return -ENOMEM;
	}
	return 0;
}

/* SipHash of a counter under a key of its own: not to be guessed from the L4 ports seen. */
static uint32_t draw(struct xe_natpool *pool)
{
	struct xe_tuple4 t = {};
	uint64_t n = ++pool->rng_counter;

	memcpy(&t, &n, sizeof(n));
	return (uint32_t)xe_flow_hash(&t, pool->rng_k0, pool->rng_k1);
}

static bool block_is_mine(const struct xe_natpool *pool, uint16_t l4_port)
{
	return (l4_port >> 6) % pool->worker_cnt == pool->worker;
}

static bool is_taken(const struct xe_natpool *pool, int udp, uint16_t l4_port)
{
	uint64_t word = __atomic_load_n(&pool->taken->bits[udp][l4_port >> 6], __ATOMIC_RELAXED);

	return word >> (l4_port & 63) & 1;
}

static bool back_is_free(const struct xe_natpool *pool, const struct xe_tuple4 *back)
{
	enum xe_dir dir;

	return !xe_session_find(pool->sessions, back, xe_session_hash(pool->sessions, back), &dir);
}

/* May this L4 port carry the flow? UDP: nobody else on it; TCP: not the same tuple. */
static bool fits(const struct xe_natpool *pool, int udp, uint32_t ext, struct xe_tuple4 *back,
		 uint16_t l4_port)
{
	if (!block_is_mine(pool, l4_port) || is_taken(pool, udp, l4_port))
		return false;
	back->dport_be = htons(l4_port);
	if (!pool->ext[ext].use[udp][l4_port])
		return true;
	/* The count of its sessions must not wrap. */
	return !udp && pool->ext[ext].use[udp][l4_port] < UINT16_MAX && back_is_free(pool, back);
}

/* An L4 port of [min, max] without any user, from a random place on; 0: none. A word of the owned
 * map says it for 64 of them. */
static uint32_t find_unused(struct xe_natpool *pool, int udp, uint32_t ext, uint16_t min,
			    uint16_t max)
{
	uint32_t first = min >> 6, words = (max >> 6) - first + 1, start = draw(pool) % words;

	for (uint32_t i = 0; i < words; i++) {
		uint32_t w = first + (start + i) % words;
		uint64_t free_bits = ~pool->owned[xe_owned_idx(ext, udp, w << 6)] &
				     ~__atomic_load_n(&pool->taken->bits[udp][w], __ATOMIC_RELAXED);
		uint32_t turn = draw(pool) & 63;

		if (!block_is_mine(pool, w << 6))
			continue;
		for (uint32_t b = 0; free_bits && b < 64; b++) {
			uint32_t bit = (b + turn) & 63, l4_port = w << 6 | bit;

			if ((free_bits >> bit & 1) && l4_port >= min && l4_port <= max)
				return l4_port;
		}
	}
	return 0;
}

static bool draw_fitting(struct xe_natpool *pool, int udp, uint32_t ext, uint16_t min, uint16_t max,
			 int tries, struct xe_tuple4 *back)
{
	uint32_t span = (uint32_t)max - min + 1;

	while (tries--)
		if (fits(pool, udp, ext, back, (uint16_t)(min + draw(pool) % span)))
			return true;
	return false;
}

static bool choose(struct xe_natpool *pool, int udp, const struct xe_tuple4 *out, uint32_t ext,
		   uint16_t min, uint16_t max, struct xe_tuple4 *back)
{
	uint16_t own = ntohs(out->sport_be);
	uint32_t l4_port;

	if (own >= min && own <= max && fits(pool, udp, ext, back, own))
		return true;
	if (draw_fitting(pool, udp, ext, min, max, DRAWS_FIRST, back))
		return true;
	l4_port = find_unused(pool, udp, ext, min, max);
	if (l4_port) {
		back->dport_be = htons((uint16_t)l4_port);
		return true;
	}
	return !udp && draw_fitting(pool, udp, ext, min, max, DRAWS_SHARED, back);
}

static void use_l4_port(struct xe_natpool *pool, int udp, uint32_t ext, uint16_t l4_port)
{
	uint64_t *word = &pool->owned[xe_owned_idx(ext, udp, l4_port)];

	if (pool->ext[ext].use[udp][l4_port]++ == 0)
		__atomic_store_n(word, *word | 1ull << (l4_port & 63), __ATOMIC_RELEASE);
}

static void unuse_l4_port(struct xe_natpool *pool, int udp, uint32_t ext, uint16_t l4_port)
{
	uint64_t *word = &pool->owned[xe_owned_idx(ext, udp, l4_port)];

	if (--pool->ext[ext].use[udp][l4_port] == 0)
		__atomic_store_n(word, *word & ~(1ull << (l4_port & 63)), __ATOMIC_RELEASE);
}

static bool mapping_equal(const void *table, uint32_t entry, const void *key)
{
	const struct xe_mapping *m = &((const struct xe_natpool *)table)->mappings[entry];
	const struct xe_mapping *k = key;

	return m->src_be == k->src_be && m->sport_be == k->sport_be && m->in_port == k->in_port &&
	       m->ext == k->ext && m->is_udp == k->is_udp;
}

static uint32_t mapping_hash(const struct xe_natpool *pool, const struct xe_mapping *m)
{
	struct xe_tuple4 t = {
		.src_be = m->src_be,
		.dst_be = m->ext,
		.sport_be = m->sport_be,
		.port = m->in_port,
		.proto = m->is_udp,
	};

	return (uint32_t)xe_session_hash(pool->sessions, &t);
}

static uint32_t mapping_slot(struct xe_natpool *pool)
{
	uint32_t idx = pool->mapping_free;

	if (idx == XE_NIL)
		return pool->mapping_high < pool->mapping_capacity ? pool->mapping_high++ : XE_NIL;
	pool->mapping_free = pool->mappings[idx].next_free;
	return idx;
}

static int take_udp(struct xe_natpool *pool, const struct xe_tuple4 *out, uint32_t ext,
		    uint16_t min, uint16_t max, struct xe_tuple4 *back, uint32_t *mapping)
{
	struct xe_mapping key = {
		.src_be = out->src_be,
		.sport_be = out->sport_be,
		.in_port = out->port,
		.ext = ext,
		.is_udp = 1,
	};
	uint32_t idx;

	key.hash = mapping_hash(pool, &key);
	idx = xe_index_find(&pool->mapping_index, key.hash, pool, &key, mapping_equal);
	if (idx != XE_NIL) {
		back->dport_be = htons(pool->mappings[idx].ext_port);
		if (!back_is_free(pool, back))
			return -EADDRINUSE;
		pool->mappings[idx].refs++;
		*mapping = idx;
		return 0;
	}
	if (!choose(pool, 1, out, ext, min, max, back))
		return -ENOSPC;
	idx = mapping_slot(pool);
	if (idx == XE_NIL)
		return -ENOSPC;
	key.ext_port = ntohs(back->dport_be);
	key.refs = 1;
	pool->mappings[idx] = key;
	pool->mapping_cnt++;
	xe_index_put(&pool->mapping_index, key.hash, idx);
	use_l4_port(pool, 1, ext, key.ext_port);
	*mapping = idx;
	return 0;
}

int xe_natpool_take(struct xe_natpool *pool, const struct xe_tuple4 *out, uint32_t ext,
		    uint16_t port_min, uint16_t port_max, struct xe_tuple4 *back, uint32_t *mapping)
{
	*back = xe_tuple4_reverse(out, XE_PORT_ANYUPLINK);
	back->dst_be = pool->ext[ext].addr_be;
	*mapping = XE_NIL;
	if (out->proto == IPPROTO_UDP)
		return take_udp(pool, out, ext, port_min, port_max, back, mapping);
	if (!choose(pool, 0, out, ext, port_min, port_max, back))
		return -ENOSPC;
	use_l4_port(pool, 0, ext, ntohs(back->dport_be));
	return 0;
}

void xe_natpool_give(struct xe_natpool *pool, const struct xe_tuple4 *back, uint32_t ext,
		     uint32_t mapping)
{
	struct xe_mapping *m;

	if (mapping == XE_NIL) {
		unuse_l4_port(pool, 0, ext, ntohs(back->dport_be));
		return;
	}
	m = &pool->mappings[mapping];
	if (--m->refs)
		return;
	unuse_l4_port(pool, 1, ext, m->ext_port);
	xe_index_del(&pool->mapping_index, m->hash, mapping);
	m->next_free = pool->mapping_free;
	pool->mapping_free = mapping;
	pool->mapping_cnt--;
}

uint32_t xe_nat_range_ext(const struct xe_natpool *pool, const struct xe_nat_range *range,
			  __be32 src_be)
{
	struct xe_tuple4 t = {.src_be = src_be};

	return range->ext[(uint32_t)xe_session_hash(pool->sessions, &t) % range->ext_cnt];
}
