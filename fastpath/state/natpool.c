/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "state/natpool.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>

/* Blocks drawn at random before the bitmap of open ones is walked from a random place: with 99 %
 * of the range in use half of the blocks still have a free L4 port, and 8 draws miss all of them
 * once in 256 flows. */
#define DRAWS 8
/* Draws of an L4 port to share when none is without a user. */
#define DRAWS_SHARED 64
/* L4 ports looked at for one whose reply comes home: with 16 workers one in eight flows finds none,
 * with 2 one in 4 billion; a look is some 50 ns. */
#define DRAWS_HOME 32
/* Own blocks with a free L4 port, below which another is claimed though others may want it: 16 of
 * them, half full, are 512 L4 ports to draw from. */
#define OPEN_MIN 16
/* A block drawn may be claimed by another worker in that moment. */
#define CLAIM_TRIES 16

int xe_natpool_open(struct xe_natpool *pool, struct xe_sessions *sessions, uint64_t *owned,
		    struct xe_blocks *blocks, const struct xe_taken *taken, uint16_t worker,
		    uint16_t worker_cnt, uint64_t rng_k0, uint64_t rng_k1)
{
	void *m;

	memset(pool, 0, sizeof(*pool));
	pool->sessions = sessions;
	pool->owned = owned;
	pool->blocks = blocks;
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

static uint32_t ext_home(const struct xe_natpool *pool, const struct xe_addr *addr)
{
	return (uint32_t)xe_addr_hash(addr, pool->sessions->k0, pool->sessions->k1) % XE_EXT_SLOTS;
}

static bool addr_equal(const struct xe_addr *a, const struct xe_addr *b)
{
	return !((a->q[0] ^ b->q[0]) | (a->q[1] ^ b->q[1]));
}

/* All anew: an index may have been another address's before. */
static void index_exts(struct xe_natpool *pool)
{
	memset(pool->ext_slot, 0, sizeof(pool->ext_slot));
	for (uint32_t i = 0; i < XE_MAX_EXT_ADDRS; i++) {
		const struct xe_addr *addr = &pool->ext[i].addr;
		uint32_t at;

		if (!(addr->q[0] | addr->q[1]))
			continue;
		at = ext_home(pool, addr);
		while (pool->ext_slot[at])
			at = (at + 1) % XE_EXT_SLOTS;
		pool->ext_slot[at] = (uint16_t)(i + 1);
	}
}

uint16_t xe_natpool_owner(const struct xe_natpool *pool, const struct xe_addr *addr, bool udp,
			  uint16_t l4_port)
{
	for (uint32_t at = ext_home(pool, addr); pool->ext_slot[at]; at = (at + 1) % XE_EXT_SLOTS) {
		uint32_t ext = pool->ext_slot[at] - 1u;
		uint8_t owner;

		if (!addr_equal(&pool->ext[ext].addr, addr))
			continue;
		owner = __atomic_load_n(&pool->blocks->owner[xe_owned_idx(ext, udp, l4_port)],
					__ATOMIC_RELAXED);
		return owner ? (uint16_t)(owner - 1) : (uint16_t)XE_NO_WORKER;
	}
	return XE_NO_WORKER;
}

/* The address in the form that tuples have it, and holds it. */
static int set_ext_addr(struct xe_natpool *pool, struct xe_ext *e, const struct xe_addr *addr)
{
	bool v4 = !addr->q[0] && addr->w_be[2] == htonl(0xffff);
	uint32_t value = v4 ? addr->w_be[3] : xe_addr6_get(&pool->sessions->addr6, addr);

	if (!v4 && value == XE_NIL)
		return -ENOMEM;
	if (e->family == XE_FAMILY_6) /* it was another one's */
		xe_addr6_unref(&pool->sessions->addr6, e->addr_be);
	e->addr = *addr;
	e->addr_be = value;
	e->family = v4 ? XE_FAMILY_4 : XE_FAMILY_6;
	return 0;
}

int xe_natpool_add_ext(struct xe_natpool *pool, uint32_t ext, const struct xe_addr *addr)
{
	struct xe_ext *e = &pool->ext[ext];

	if (set_ext_addr(pool, e, addr))
		return -ENOMEM;
	index_exts(pool);
	for (int i = 0; i < 2; i++) {
		if (!e->use[i])
			e->use[i] = calloc(65536, sizeof(*e->use[i]));
		if (!e->use[i])
			return -ENOMEM;
	}
	return 0;
}

/* SipHash of a counter under a key of its own: not to be guessed from the L4 ports seen. */
static uint64_t draw(struct xe_natpool *pool)
{
	struct xe_tuple4 t = {};
	uint64_t n = ++pool->rng_counter;

	memcpy(&t, &n, sizeof(n));
	t.port = pool->worker; /* workers have the key in common, and nothing else */
	return xe_flow_hash(&t, pool->rng_k0, pool->rng_k1);
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

/* ---- blocks ---- */

static uint8_t *block_owner(const struct xe_natpool *pool, uint32_t ext, int udp, uint32_t block)
{
	return &pool->blocks->owner[xe_owned_idx(ext, udp, (uint16_t)(block << 6))];
}

static bool has_bit(const uint64_t *bits, uint32_t i)
{
	return bits[i >> 6] >> (i & 63) & 1;
}

static void set_bit(uint64_t *bits, uint32_t i, bool on)
{
	if (on)
		bits[i >> 6] |= 1ull << (i & 63);
	else
		bits[i >> 6] &= ~(1ull << (i & 63));
}

static bool is_mine(const struct xe_natpool *pool, uint32_t ext, int udp, uint32_t block)
{
	return has_bit(pool->ext[ext].mine[udp], block);
}

static bool is_nobodys(const struct xe_natpool *pool, uint32_t ext, int udp, uint32_t block)
{
	return !__atomic_load_n(block_owner(pool, ext, udp, block), __ATOMIC_RELAXED);
}

/* Acquire: what its last owner wrote to the owned word is seen before we write there. */
static bool claim(struct xe_natpool *pool, uint32_t ext, int udp, uint32_t block)
{
	uint8_t *owner = block_owner(pool, ext, udp, block), nobody = 0;

	if (is_mine(pool, ext, udp, block))
		return true;
	if (!__atomic_compare_exchange_n(owner, &nobody, (uint8_t)(pool->worker + 1), false,
					 __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
		return false;
	set_bit(pool->ext[ext].mine[udp], block, true);
	set_bit(pool->ext[ext].open[udp], block, true);
	return true;
}

static void give_back(struct xe_natpool *pool, uint32_t ext, int udp, uint32_t block)
{
	set_bit(pool->ext[ext].mine[udp], block, false);
	set_bit(pool->ext[ext].open[udp], block, false);
	__atomic_store_n(block_owner(pool, ext, udp, block), 0, __ATOMIC_RELEASE);
}

static void use_l4_port(struct xe_natpool *pool, int udp, uint32_t ext, uint16_t l4_port)
{
	uint64_t *word = &pool->owned[xe_owned_idx(ext, udp, l4_port)], now;

	if (pool->ext[ext].use[udp][l4_port]++)
		return;
	now = *word | 1ull << (l4_port & 63);
	__atomic_store_n(word, now, __ATOMIC_RELEASE);
	if (now == ~0ull)
		set_bit(pool->ext[ext].open[udp], l4_port >> 6, false);
}

static void unuse_l4_port(struct xe_natpool *pool, int udp, uint32_t ext, uint16_t l4_port)
{
	uint64_t *word = &pool->owned[xe_owned_idx(ext, udp, l4_port)], now;

	if (--pool->ext[ext].use[udp][l4_port])
		return;
	now = *word & ~(1ull << (l4_port & 63));
	__atomic_store_n(word, now, __ATOMIC_RELEASE);
	set_bit(pool->ext[ext].open[udp], l4_port >> 6, true);
	if (!now)
		give_back(pool, ext, udp, l4_port >> 6);
}

/* ---- choosing ---- */

/* What a flow may have, and what of it was found. */
struct choice {
	struct xe_natpool *pool;
	uint32_t ext;
	int udp;
	uint16_t min, max;
	uint32_t first, blocks; /* that the range touches */
	bool may_claim;
};

/* L4 ports of a block that are in the range and that neither a flow nor the host has. */
static uint64_t free_bits(const struct choice *c, uint32_t block)
{
	const struct xe_natpool *pool = c->pool;
	uint64_t bits = ~__atomic_load_n(&pool->taken->bits[c->udp][block], __ATOMIC_RELAXED);

	if (is_mine(pool, c->ext, c->udp, block))
		bits &= ~pool->owned[xe_owned_idx(c->ext, c->udp, (uint16_t)(block << 6))];
	if (block == c->first)
		bits &= ~0ull << (c->min & 63);
	if (block == c->max >> 6)
		bits &= ~0ull >> (63 - (c->max & 63));
	return bits;
}

static uint32_t pick_bit(uint64_t bits, uint32_t random)
{
	for (uint32_t skip = random % (uint32_t)__builtin_popcountll(bits); skip; skip--)
		bits &= bits - 1;
	return (uint32_t)__builtin_ctzll(bits);
}

/* Walk the worker's open blocks once round from `start`; 64 of them in a word. */
static uint32_t find_open(const struct choice *c, uint32_t start, uint32_t random)
{
	const uint64_t *open = c->pool->ext[c->ext].open[c->udp];
	uint32_t at = start, left = c->blocks;

	while (left) {
		uint32_t end = c->first + c->blocks, step;
		uint64_t word = open[at >> 6] >> (at & 63), bits;

		step = word ? (uint32_t)__builtin_ctzll(word) : 64 - (at & 63);
		if (step > end - at)
			step = end - at;
		if (step >= left)
			return 0;
		left -= step;
		at += step;
		if (at == end) {
			at = c->first;
			continue;
		}
		bits = has_bit(open, at) ? free_bits(c, at) : 0;
		if (bits)
			return at << 6 | pick_bit(bits, random);
		left--;
		if (++at == end)
			at = c->first;
	}
	return 0;
}

/* The own blocks are full: the first from `start` on that nobody has. */
static uint32_t find_unclaimed(const struct choice *c, uint32_t start, uint32_t random)
{
	for (uint32_t i = 0; i < c->blocks; i++) {
		uint32_t block = c->first + (start - c->first + i) % c->blocks;
		uint64_t bits;

		if (!is_nobodys(c->pool, c->ext, c->udp, block))
			continue;
		bits = free_bits(c, block);
		if (bits)
			return block << 6 | pick_bit(bits, random);
	}
	return 0;
}

/* An L4 port without any user, its block the worker's own or nobody's; 0: there is none. */
static uint32_t pick(const struct choice *c)
{
	struct xe_natpool *pool = c->pool;
	uint32_t block, random, l4_port;

	for (int i = 0; i < DRAWS; i++) {
		uint64_t n = draw(pool), bits;

		block = c->first + (uint32_t)n % c->blocks;
		if (!is_mine(pool, c->ext, c->udp, block) &&
		    !(c->may_claim && is_nobodys(pool, c->ext, c->udp, block)))
			continue;
		bits = free_bits(c, block);
		if (bits)
			return block << 6 | pick_bit(bits, (uint32_t)(n >> 32));
	}
	random = (uint32_t)draw(pool);
	block = c->first + (uint32_t)draw(pool) % c->blocks;
	l4_port = find_open(c, block, random);
	return l4_port ? l4_port : find_unclaimed(c, block, random);
}

static uint32_t reply_worker(const struct xe_natpool *pool, const struct xe_rss *rss,
			     const struct xe_tuple4 *back)
{
	const struct xe_addr6_table *t = &pool->sessions->addr6;

	if (back->family == XE_FAMILY_4)
		return xe_rss_worker(rss, back);
	return rss->worker[xe_rss_hash6(rss, xe_addr6_at(t, back->src_be),
					xe_addr6_at(t, back->dst_be), back, true) %
			   rss->indir_cnt];
}

/* The first of a few picks whose reply comes home, else the first of all. */
static uint32_t pick_home(const struct choice *c, const struct xe_rss *rss, struct xe_tuple4 *back)
{
	uint32_t first = pick(c), l4_port = first;

	if (!rss || !(back->family == XE_FAMILY_6 ? rss->by_l4_port6 : rss->by_l4_port)[c->udp])
		return first;
	for (int i = 0; l4_port && i < DRAWS_HOME; i++) {
		back->dport_be = htons((uint16_t)l4_port);
		if (reply_worker(c->pool, rss, back) == c->pool->worker)
			return l4_port;
		l4_port = pick(c);
	}
	return first;
}

/* With an L4 port that flows to other destinations use (TCP): one of the worker's own blocks. */
static bool draw_shared(const struct choice *c, struct xe_tuple4 *back)
{
	struct xe_natpool *pool = c->pool;
	uint32_t span = (uint32_t)c->max - c->min + 1;

	for (int i = 0; i < DRAWS_SHARED; i++) {
		uint16_t l4_port = (uint16_t)(c->min + (uint32_t)draw(pool) % span);

		/* The count of its sessions must not wrap. */
		if (!is_mine(pool, c->ext, 0, l4_port >> 6) || is_taken(pool, 0, l4_port) ||
		    pool->ext[c->ext].use[0][l4_port] == UINT16_MAX)
			continue;
		back->dport_be = htons(l4_port);
		if (back_is_free(pool, back))
			return true;
	}
	return false;
}

/* The flow's own L4 port: with nobody else on it (UDP), or not the same tuple (TCP). */
static bool keep_own(const struct choice *c, uint16_t own, struct xe_tuple4 *back)
{
	struct xe_natpool *pool = c->pool;
	uint16_t users;

	if (own < c->min || own > c->max || is_taken(pool, c->udp, own))
		return false;
	users = pool->ext[c->ext].use[c->udp][own];
	back->dport_be = htons(own);
	if (users && (c->udp || users == UINT16_MAX || !back_is_free(pool, back)))
		return false;
	return claim(pool, c->ext, c->udp, own >> 6);
}

static uint32_t count_blocks(const struct choice *c, const uint64_t *bits)
{
	uint32_t cnt = 0;

	for (uint32_t b = c->first; b < c->first + c->blocks; b = (b | 63) + 1) {
		uint64_t word = bits[b >> 6] >> (b & 63);
		uint32_t left = c->first + c->blocks - b;

		if (left < 64)
			word &= (1ull << left) - 1;
		cnt += (uint32_t)__builtin_popcountll(word);
	}
	return cnt;
}

/* May it draw in blocks that nobody has? Below an equal part of the range, or when its own have too
 * little room for what is drawn in them to be hard to guess. */
static bool may_claim(const struct choice *c)
{
	const struct xe_ext *e = &c->pool->ext[c->ext];

	return c->pool->worker_cnt == 1 ||
	       count_blocks(c, e->mine[c->udp]) * c->pool->worker_cnt < c->blocks ||
	       count_blocks(c, e->open[c->udp]) < OPEN_MIN;
}

/* On success back->dport_be is set, and its block is the worker's. */
static bool choose(struct xe_natpool *pool, int udp, const struct xe_tuple4 *out, uint32_t ext,
		   uint16_t min, uint16_t max, const struct xe_rss *rss, struct xe_tuple4 *back)
{
	struct choice c = {
		.pool = pool,
		.ext = ext,
		.udp = udp,
		.min = min,
		.max = max,
		.first = min >> 6,
		.blocks = (max >> 6) - (min >> 6) + 1u,
	};

	if (keep_own(&c, ntohs(out->sport_be), back))
		return true;
	c.may_claim = may_claim(&c);
	for (int i = 0; i < CLAIM_TRIES; i++) {
		uint32_t l4_port = pick_home(&c, rss, back);

		if (!l4_port)
			break;
		back->dport_be = htons((uint16_t)l4_port);
		if (claim(pool, ext, udp, l4_port >> 6))
			return true;
	}
	return !udp && draw_shared(&c, back);
}

static bool mapping_equal(const void *table, uint32_t entry, const void *key)
{
	const struct xe_mapping *m = &((const struct xe_natpool *)table)->mappings[entry];
	const struct xe_mapping *k = key;

	return m->src_be == k->src_be && m->sport_be == k->sport_be && m->in_port == k->in_port &&
	       m->ext == k->ext && m->is_udp == k->is_udp && m->family == k->family;
}

static uint32_t mapping_hash(const struct xe_natpool *pool, const struct xe_mapping *m)
{
	struct xe_tuple4 t = {
		.src_be = m->src_be,
		.dst_be = m->ext,
		.sport_be = m->sport_be,
		.port = m->in_port,
		.proto = (uint8_t)(m->is_udp | m->family << 1), /* plain values: numbers, too */
	};

	return (uint32_t)xe_flow_hash(&t, pool->sessions->k0, pool->sessions->k1);
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
		    uint16_t min, uint16_t max, const struct xe_rss *rss, struct xe_tuple4 *back,
		    uint32_t *mapping)
{
	struct xe_mapping key = {
		.src_be = out->src_be,
		.sport_be = out->sport_be,
		.in_port = out->port,
		.ext = ext,
		.is_udp = 1,
		.family = out->family,
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
	/* Before the choice, which may claim a block: that must then be used. */
	if (pool->mapping_cnt == pool->mapping_capacity ||
	    !choose(pool, 1, out, ext, min, max, rss, back))
		return -ENOSPC;
	idx = mapping_slot(pool);
	key.ext_port = ntohs(back->dport_be);
	key.refs = 1;
	pool->mappings[idx] = key;
	pool->mapping_cnt++;
	if (key.family == XE_FAMILY_6)
		xe_addr6_ref(&pool->sessions->addr6, key.src_be);
	xe_index_put(&pool->mapping_index, key.hash, idx);
	use_l4_port(pool, 1, ext, key.ext_port);
	*mapping = idx;
	return 0;
}

int xe_natpool_take(struct xe_natpool *pool, const struct xe_tuple4 *out, uint32_t ext,
		    uint16_t port_min, uint16_t port_max, const struct xe_rss *rss,
		    struct xe_tuple4 *back, uint32_t *mapping)
{
	*back = xe_tuple4_reverse(out, XE_PORT_ANYUPLINK);
	back->dst_be = pool->ext[ext].addr_be;
	*mapping = XE_NIL;
	if (out->proto == IPPROTO_UDP)
		return take_udp(pool, out, ext, port_min, port_max, rss, back, mapping);
	if (!choose(pool, 0, out, ext, port_min, port_max, rss, back))
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
	if (m->family == XE_FAMILY_6)
		xe_addr6_unref(&pool->sessions->addr6, m->src_be);
	m->next_free = pool->mapping_free;
	pool->mapping_free = mapping;
	pool->mapping_cnt--;
}

uint32_t xe_nat_range_ext(const struct xe_natpool *pool, const struct xe_nat_range *range,
			  const struct xe_tuple4 *out)
{
	struct xe_addr src = xe_tuple_addr(pool->sessions, out->family, out->src_be);
	uint64_t hash = xe_addr_hash(&src, pool->sessions->k0, pool->sessions->k1);

	return range->ext[(uint32_t)hash % range->ext_cnt];
}
