/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "state/natpool_choose.h"

#include <arpa/inet.h>

#include "state/natpool_crowd.h"

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
 * them, half full, are 512 L4 ports to draw from. Not in a range where that could leave them none:
 * there the equal part has to do, or a worker's first flows would take all of two or three blocks.
 */
#define OPEN_MIN 16
/* RFC 4787 REQ-3: the two sides of a range. */
#define WELL_KNOWN_MAX 1023
/* A block drawn may be claimed by another worker in that moment. */
#define CLAIM_TRIES 16

/* SipHash of a counter under a key of its own: not to be guessed from the L4 ports seen. */
static uint64_t draw(struct xe_natpool *pool)
{
	struct xe_tuple4 t = {};
	uint64_t n = ++pool->rng_counter;

	memcpy(&t, &n, sizeof(n));
	t.port = pool->worker; /* workers have the key in common, and nothing else */
	return xe_flow_hash(&t, pool->rng_k0, pool->rng_k1);
}

bool xe_l4_back_is_free(const struct xe_natpool *pool, const struct xe_tuple4 *back)
{
	enum xe_dir dir;

	return !xe_session_find(pool->sessions, back, xe_session_hash(pool->sessions, back), &dir);
}

/* The same for one that no flow of the pool has: only another session can be on it. */
static bool is_free_of_others(const struct xe_natpool *pool, const struct xe_tuple4 *back)
{
	return !pool->elsewhere_cnt || xe_l4_back_is_free(pool, back);
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
	return has_bit(pool->ext[ext].ports[udp].mine, block);
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
	set_bit(pool->ext[ext].ports[udp].mine, block, true);
	set_bit(pool->ext[ext].ports[udp].open, block, true);
	return true;
}

static void give_back(struct xe_natpool *pool, uint32_t ext, int udp, uint32_t block)
{
	set_bit(pool->ext[ext].ports[udp].mine, block, false);
	set_bit(pool->ext[ext].ports[udp].open, block, false);
	__atomic_store_n(block_owner(pool, ext, udp, block), 0, __ATOMIC_RELEASE);
}

static void mirror(const struct xe_natpool *pool, int udp, uint32_t ext, uint16_t l4_port)
{
	uint32_t theirs = pool->mirror->ext[ext];

	if (theirs != XE_NIL)
		__atomic_or_fetch(&pool->mirror->owned[xe_owned_idx(theirs, udp, l4_port)],
				  1ull << (l4_port & 63), __ATOMIC_RELEASE);
}

/* What has changed in a block's words decides whether it is open, and whether it goes back. */
static void set_words(struct xe_natpool *pool, int udp, uint32_t ext, uint16_t l4_port, bool owned,
		      bool rest)
{
	struct xe_l4_ports *ports = &pool->ext[ext].ports[udp];
	uint64_t *word = &pool->owned[xe_owned_idx(ext, udp, l4_port)], now = *word;
	uint64_t bit = 1ull << (l4_port & 63), *resting = &ports->rest[l4_port >> 6];

	now = owned ? now | bit : now & ~bit;
	if (owned && pool->mirror)
		mirror(pool, udp, ext, l4_port);
	*resting = rest ? *resting | bit : *resting & ~bit;
	__atomic_store_n(word, now, __ATOMIC_RELEASE);
	set_bit(ports->open, l4_port >> 6, (now | *resting) != ~0ull);
	if (!(now | *resting))
		give_back(pool, ext, udp, l4_port >> 6);
}

bool xe_l4_claim(struct xe_natpool *pool, int udp, uint32_t ext, uint16_t l4_port)
{
	return claim(pool, ext, udp, l4_port >> 6);
}

void xe_l4_use(struct xe_natpool *pool, int udp, uint32_t ext, uint16_t l4_port, uint32_t mapping)
{
	struct xe_l4_ports *ports = &pool->ext[ext].ports[udp];
	bool first = !ports->use[l4_port];

	if (mapping != XE_NIL) {
		ports->use[l4_port] = XE_USE_MAPPED | mapping;
		set_bit(ports->mapped, l4_port, true);
		first = true;
	} else {
		ports->use[l4_port]++;
	}
	if (first)
		set_words(pool, udp, ext, l4_port, true, false);
}

void xe_l4_unuse(struct xe_natpool *pool, int udp, uint32_t ext, uint16_t l4_port, bool rest)
{
	struct xe_l4_ports *ports = &pool->ext[ext].ports[udp];

	if (!(ports->use[l4_port] & XE_USE_MAPPED)) {
		if (--ports->use[l4_port])
			return;
	} else {
		set_bit(ports->mapped, l4_port, false);
		if (!rest)
			ports->use[l4_port] = 0;
	}
	set_words(pool, udp, ext, l4_port, false, rest);
}

void xe_l4_rested(struct xe_natpool *pool, int udp, uint32_t ext, uint16_t l4_port)
{
	pool->ext[ext].ports[udp].use[l4_port] = 0;
	set_words(pool, udp, ext, l4_port, false, false);
}

/* ---- choosing ---- */

/* What a flow may have. */
struct choice {
	struct xe_natpool *pool;
	const struct xe_l4_ports *ports;
	uint32_t ext;
	int udp;
	uint16_t min, max;
	uint32_t first, blocks; /* that the range touches */
	bool may_share;
	bool may_claim; /* draw in blocks that nobody has */
	bool may_take;  /* the first of those, when the own ones have no room */
};

/* L4 ports of a block that are in the range and that neither a flow nor the host has. */
static uint64_t free_bits(const struct choice *c, uint32_t block)
{
	const struct xe_natpool *pool = c->pool;
	uint64_t bits = ~__atomic_load_n(&pool->taken->bits[c->udp][block], __ATOMIC_RELAXED);

	if (is_mine(pool, c->ext, c->udp, block))
		bits &= ~(pool->owned[xe_owned_idx(c->ext, c->udp, (uint16_t)(block << 6))] |
			  c->ports->rest[block]);
	return bits & xe_l4_range_bits(c->min, c->max, block);
}

/* Walk the worker's open blocks once round from `start`; 64 of them in a word. */
static uint32_t find_open(const struct choice *c, uint32_t start, uint32_t random)
{
	const uint64_t *open = c->ports->open;
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
			return at << 6 | xe_l4_pick_bit(bits, random);
		left--;
		if (++at == end)
			at = c->first;
	}
	return 0;
}

/* In the table of owners, 8 blocks in a word: is one of them nobody's? */
static bool any_nobodys(const struct choice *c, uint32_t block)
{
	const uint8_t *owner = block_owner(c->pool, c->ext, c->udp, block);
	uint64_t eight = __atomic_load_n((const uint64_t *)owner, __ATOMIC_RELAXED);

	return (eight - 0x0101010101010101ull) & ~eight & 0x8080808080808080ull;
}

/* The own blocks are full: the first from `start` on that nobody has. */
static uint32_t find_unclaimed(const struct choice *c, uint32_t start, uint32_t random)
{
	uint32_t end = c->first + c->blocks, block = start;

	for (uint32_t i = 0; i < c->blocks; i++, block = block + 1 == end ? c->first : block + 1) {
		uint64_t bits;

		if (!(block & 7) && block + 8 < end && !any_nobodys(c, block)) {
			i += 7;
			block += 7;
			continue;
		}
		if (!is_nobodys(c->pool, c->ext, c->udp, block))
			continue;
		bits = free_bits(c, block);
		if (bits)
			return block << 6 | xe_l4_pick_bit(bits, random);
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
			return block << 6 | xe_l4_pick_bit(bits, (uint32_t)(n >> 32));
	}
	random = (uint32_t)draw(pool);
	block = c->first + (uint32_t)draw(pool) % c->blocks;
	l4_port = find_open(c, block, random);
	if (!l4_port && c->may_take)
		l4_port = find_unclaimed(c, block, random);
	return l4_port;
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

/* Those of the worker's L4 ports in a block that flows share. */
static uint64_t shared_bits(const struct choice *c, uint32_t block)
{
	const struct xe_natpool *pool = c->pool;

	if (!is_mine(pool, c->ext, c->udp, block))
		return 0;
	return pool->owned[xe_owned_idx(c->ext, c->udp, (uint16_t)(block << 6))] &
	       ~c->ports->mapped[block] &
	       ~__atomic_load_n(&pool->taken->bits[c->udp][block], __ATOMIC_RELAXED) &
	       xe_l4_range_bits(c->min, c->max, block);
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
	uint32_t workers = c->pool->worker_cnt;

	return workers == 1 || count_blocks(c, c->ports->mine) * workers < c->blocks ||
	       (!c->may_share && c->blocks >= 2 * OPEN_MIN * workers &&
		count_blocks(c, c->ports->open) < OPEN_MIN);
}

/* What the draws did not find: exactly, by the bitmap of this peer. That does not know of sessions
 * which the peer began by a rule for these very L4 ports (it has been taken out since, or is for
 * all L4 ports of the address, or they would be in `taken`): on the same tuple. So many of them are
 * passed over; who has begun more meets a refusal sooner. */
static bool find_shared(const struct choice *c, const uint64_t *used, struct xe_tuple4 *back)
{
	uint32_t random = (uint32_t)draw(c->pool), start = (uint32_t)draw(c->pool) % c->blocks;
	uint32_t looks = 0;

	for (uint32_t i = 0; i < c->blocks; i++) {
		uint32_t block = c->first + (start + i) % c->blocks;
		uint64_t bits = shared_bits(c, block) & ~used[block];

		while (bits && looks++ < DRAWS_SHARED) {
			uint32_t bit = xe_l4_pick_bit(bits, random);

			back->dport_be = htons((uint16_t)(block << 6 | bit));
			if (is_free_of_others(c->pool, back))
				return true;
			bits &= ~(1ull << bit);
		}
	}
	return false;
}

/* Draws in the whole range; one that is not the worker's costs no look-up. */
static bool draw_shared(const struct choice *c, struct xe_tuple4 *back)
{
	uint32_t span = (uint32_t)c->max - c->min + 1;

	for (int i = 0; i < DRAWS_SHARED; i++) {
		uint16_t l4_port = (uint16_t)(c->min + (uint32_t)draw(c->pool) % span);

		if (!(shared_bits(c, l4_port >> 6) >> (l4_port & 63) & 1))
			continue;
		back->dport_be = htons(l4_port);
		if (xe_l4_back_is_free(c->pool, back))
			return true;
	}
	return false;
}

/* Few of the blocks are the worker's, and the draws missed them: one L4 port of each. */
static bool walk_shared(const struct choice *c, struct xe_tuple4 *back)
{
	uint32_t random = (uint32_t)draw(c->pool), start = (uint32_t)draw(c->pool) % c->blocks;

	for (uint32_t i = 0, looks = 0; i < c->blocks && looks < DRAWS_SHARED; i++) {
		uint32_t block = c->first + (start + i) % c->blocks;
		uint64_t bits = shared_bits(c, block);

		if (!bits)
			continue;
		back->dport_be = htons((uint16_t)(block << 6 | xe_l4_pick_bit(bits, random)));
		if (xe_l4_back_is_free(c->pool, back))
			return true;
		looks++;
	}
	return false;
}

/* With an L4 port that flows to other destinations use: one of the worker's own blocks. */
static bool choose_shared(const struct choice *c, struct xe_tuple4 *back)
{
	struct xe_natpool *pool = c->pool;
	const uint64_t *used;

	if (!count_blocks(c, c->ports->mine))
		return false;
	used = xe_crowds_find(pool->crowds, back, c->min, c->max, pool->now_s);
	if (!used) {
		if (draw_shared(c, back) || walk_shared(c, back))
			return true;
		used = xe_crowds_make(pool, c->ext, back, c->min, c->max);
	}
	return find_shared(c, used, back);
}

/* The flow's own L4 port: with nobody else on it, or shared, and not the same tuple. It is no
 * reason to take a block beyond the worker's part of the range: who sends the flows names it. */
static bool keep_own(const struct choice *c, uint16_t own, struct xe_tuple4 *back)
{
	struct xe_natpool *pool = c->pool;
	uint32_t use;

	if (own < c->min || own > c->max || xe_l4_is_taken(pool, c->udp, own))
		return false;
	use = c->ports->use[own];
	back->dport_be = htons(own);
	if (use && (!c->may_share || (use & XE_USE_MAPPED) || !xe_l4_back_is_free(pool, back)))
		return false;
	if (!use && !is_free_of_others(pool, back))
		return false;
	if (!is_mine(pool, c->ext, c->udp, own >> 6) && !may_claim(c))
		return false;
	return claim(pool, c->ext, c->udp, own >> 6);
}

/* With an L4 port that has no user; a session that its peer began may be on it all the same, see
 * find_shared(). */
static bool choose_alone(struct choice *c, const struct xe_rss *rss, struct xe_tuple4 *back)
{
	for (int i = 0; i < CLAIM_TRIES; i++) {
		uint32_t l4_port = pick_home(c, rss, back);

		if (!l4_port)
			break;
		back->dport_be = htons((uint16_t)l4_port);
		if (is_free_of_others(c->pool, back) &&
		    claim(c->pool, c->ext, c->udp, l4_port >> 6))
			return true;
	}
	return false;
}

/* Drawn or found in min..max. */
static bool choose_in(struct choice *c, uint16_t min, uint16_t max, const struct xe_rss *rss,
		      struct xe_tuple4 *back)
{
	c->min = min;
	c->max = max;
	c->first = min >> 6;
	c->blocks = (max >> 6) - (min >> 6) + 1u;
	c->may_claim = may_claim(c);
	/* Who has its part of the range shares what it has before it takes what others may need. */
	c->may_take = c->may_claim || !c->may_share;
	if (choose_alone(c, rss, back))
		return true;
	if (!c->may_share)
		return false;
	if (choose_shared(c, back))
		return true;
	if (c->may_take)
		return false;
	c->may_take = true;
	return choose_alone(c, rss, back);
}

bool xe_l4_choose(struct xe_natpool *pool, int udp, uint16_t own, const struct xe_nat_want *want,
		  struct xe_tuple4 *back)
{
	struct choice c = {
		.pool = pool,
		.ports = &pool->ext[want->ext].ports[udp],
		.ext = want->ext,
		.udp = udp,
		.min = want->port_min,
		.max = want->port_max,
		.first = want->port_min >> 6,
		.blocks = (want->port_max >> 6) - (want->port_min >> 6) + 1u,
		.may_share = !want->independent,
	};
	uint16_t min = want->port_min, max = want->port_max;

	if (keep_own(&c, own, back) || (pool->reclaimed && keep_own(&c, pool->reclaimed, back)))
		return true;
	if (min > WELL_KNOWN_MAX || max <= WELL_KNOWN_MAX)
		return choose_in(&c, min, max, want->rss, back);
	if (own <= WELL_KNOWN_MAX)
		return choose_in(&c, min, WELL_KNOWN_MAX, want->rss, back) ||
		       choose_in(&c, WELL_KNOWN_MAX + 1, max, want->rss, back);
	return choose_in(&c, WELL_KNOWN_MAX + 1, max, want->rss, back) ||
	       choose_in(&c, min, WELL_KNOWN_MAX, want->rss, back);
}
