/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "state/natpool_choose.h"

#include <arpa/inet.h>

#include "state/natpool_crowd.h"

/* Words of 64 L4 ports drawn at random before the bitmap is walked from a random place: with 99 %
 * of the range in use half of them still have a free L4 port, and 8 draws miss all of those once in
 * 256 flows. */
#define DRAWS 8
/* Draws of an L4 port to share when none is without a user. */
#define DRAWS_SHARED 64
/* L4 ports looked at for one whose reply comes home: with 16 workers one in eight flows finds none,
 * with 2 one in 4 billion; a look is some 50 ns. */
#define DRAWS_HOME 32
/* RFC 4787 REQ-3: the two sides of a range. */
#define WELL_KNOWN_MAX 1023
/* An L4 port drawn may be claimed by another worker in that moment. */
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

/* ---- claims ---- */

static uint64_t bit_of(uint16_t l4_port)
{
	return 1ull << (l4_port & 63);
}

static bool is_mine(const struct xe_natpool *pool, uint32_t ext, int udp, uint16_t l4_port)
{
	return pool->ext[ext].ports[udp].mine[l4_port >> 6] & bit_of(l4_port);
}

/* The word is full, now that this worker has the last bit of it. Another one may have given one
 * back since: who finds that the word was full clears the mark, or we do, whoever comes later (the
 * operations on both are in one order for all). */
static void mark_full(struct xe_claims *claims, uint32_t idx)
{
	uint64_t bit = 1ull << (idx & 63);

	__atomic_fetch_or(&claims->full[idx >> 6], bit, __ATOMIC_SEQ_CST);
	if (__atomic_load_n(&claims->busy[idx], __ATOMIC_SEQ_CST) != ~0ull)
		__atomic_fetch_and(&claims->full[idx >> 6], ~bit, __ATOMIC_SEQ_CST);
}

/* Acquire: what its last owner wrote about it is seen before we write there. */
static bool claim(struct xe_natpool *pool, uint32_t ext, int udp, uint16_t l4_port)
{
	struct xe_l4_ports *ports = &pool->ext[ext].ports[udp];
	uint32_t idx = xe_owned_idx(ext, udp, l4_port);
	uint64_t bit = bit_of(l4_port), was;

	if (is_mine(pool, ext, udp, l4_port))
		return true;
	was = __atomic_fetch_or(&pool->claims->busy[idx], bit, __ATOMIC_SEQ_CST);
	if (was & bit)
		return false;
	if ((was | bit) == ~0ull)
		mark_full(pool->claims, idx);
	__atomic_store_n(xe_claims_owner(pool->claims, ext, udp, l4_port),
			 (uint8_t)(pool->worker + 1), __ATOMIC_RELAXED);
	ports->mine[l4_port >> 6] |= bit;
	ports->group_cnt[l4_port >> XE_L4_GROUP_BITS]++;
	return true;
}

static void give_back(struct xe_natpool *pool, uint32_t ext, int udp, uint16_t l4_port)
{
	struct xe_l4_ports *ports = &pool->ext[ext].ports[udp];
	uint32_t idx = xe_owned_idx(ext, udp, l4_port);

	ports->mine[l4_port >> 6] &= ~bit_of(l4_port);
	ports->group_cnt[l4_port >> XE_L4_GROUP_BITS]--;
	__atomic_store_n(xe_claims_owner(pool->claims, ext, udp, l4_port), 0, __ATOMIC_RELAXED);
	if (__atomic_fetch_and(&pool->claims->busy[idx], ~bit_of(l4_port), __ATOMIC_SEQ_CST) ==
	    ~0ull)
		__atomic_fetch_and(&pool->claims->full[idx >> 6], ~(1ull << (idx & 63)),
				   __ATOMIC_SEQ_CST);
}

static void mirror(const struct xe_natpool *pool, int udp, uint32_t ext, uint16_t l4_port)
{
	uint32_t theirs = pool->mirror->ext[ext];

	if (theirs != XE_NIL)
		__atomic_or_fetch(&pool->mirror->owned[xe_owned_idx(theirs, udp, l4_port)],
				  bit_of(l4_port), __ATOMIC_RELEASE);
}

/* Other workers have L4 ports of the same word. What is neither owned nor rests is given back. */
static void set_state(struct xe_natpool *pool, int udp, uint32_t ext, uint16_t l4_port, bool owned,
		      bool rest)
{
	uint64_t *word = &pool->owned[xe_owned_idx(ext, udp, l4_port)], bit = bit_of(l4_port);
	uint64_t *resting = &pool->ext[ext].ports[udp].rest[l4_port >> 6];

	if (owned && pool->mirror)
		mirror(pool, udp, ext, l4_port);
	*resting = rest ? *resting | bit : *resting & ~bit;
	if (owned)
		__atomic_fetch_or(word, bit, __ATOMIC_RELEASE);
	else
		__atomic_fetch_and(word, ~bit, __ATOMIC_RELEASE);
	if (!owned && !rest)
		give_back(pool, ext, udp, l4_port);
}

bool xe_l4_claim(struct xe_natpool *pool, int udp, uint32_t ext, uint16_t l4_port)
{
	return claim(pool, ext, udp, l4_port);
}

void xe_l4_use(struct xe_natpool *pool, int udp, uint32_t ext, uint16_t l4_port, uint32_t mapping)
{
	struct xe_l4_ports *ports = &pool->ext[ext].ports[udp];
	bool first = !ports->use[l4_port];

	if (mapping != XE_NIL) {
		ports->use[l4_port] = XE_USE_MAPPED | mapping;
		ports->mapped[l4_port >> 6] |= bit_of(l4_port);
		first = true;
	} else {
		ports->use[l4_port]++;
	}
	if (first)
		set_state(pool, udp, ext, l4_port, true, false);
}

void xe_l4_unuse(struct xe_natpool *pool, int udp, uint32_t ext, uint16_t l4_port, bool rest)
{
	struct xe_l4_ports *ports = &pool->ext[ext].ports[udp];

	if (!(ports->use[l4_port] & XE_USE_MAPPED)) {
		if (--ports->use[l4_port])
			return;
	} else {
		ports->mapped[l4_port >> 6] &= ~bit_of(l4_port);
		if (!rest)
			ports->use[l4_port] = 0;
	}
	set_state(pool, udp, ext, l4_port, false, rest);
}

void xe_l4_rested(struct xe_natpool *pool, int udp, uint32_t ext, uint16_t l4_port)
{
	pool->ext[ext].ports[udp].use[l4_port] = 0;
	set_state(pool, udp, ext, l4_port, false, false);
}

/* ---- choosing ---- */

/* What a flow may have. */
struct choice {
	struct xe_natpool *pool;
	const struct xe_l4_ports *ports;
	uint32_t ext;
	int udp;
	uint16_t min, max;
	uint32_t first, words; /* that the range touches */
	bool may_share;
};

/* L4 ports of a word that are in the range, and that neither a worker nor the host has. */
static uint64_t free_bits(const struct choice *c, uint32_t word)
{
	const struct xe_natpool *pool = c->pool;
	uint64_t taken = __atomic_load_n(&pool->taken->bits[c->udp][word], __ATOMIC_RELAXED);
	uint64_t busy = __atomic_load_n(
		&pool->claims->busy[xe_owned_idx(c->ext, c->udp, (uint16_t)(word << 6))],
		__ATOMIC_RELAXED);

	return ~(taken | busy) & xe_l4_range_bits(c->min, c->max, word);
}

/* Words from this one on, 64 at most, that are said to be full. */
static uint32_t full_run(const struct choice *c, uint32_t word)
{
	uint32_t idx = xe_owned_idx(c->ext, c->udp, (uint16_t)(word << 6));
	uint64_t open =
		~__atomic_load_n(&c->pool->claims->full[idx >> 6], __ATOMIC_SEQ_CST) >> (idx & 63);

	return open ? (uint32_t)__builtin_ctzll(open) : 64 - (idx & 63);
}

/* Walk the words that are not full once round from `start`. */
static uint32_t find_free(const struct choice *c, uint32_t start, uint32_t random)
{
	uint32_t word = start, end = c->first + c->words, left = c->words;

	while (left) {
		uint32_t step = full_run(c, word);
		uint64_t bits;

		if (step > end - word)
			step = end - word;
		if (step >= left)
			return 0;
		left -= step;
		word += step;
		if (word == end) {
			word = c->first;
			continue;
		}
		bits = free_bits(c, word);
		if (bits)
			return word << 6 | xe_l4_pick_bit(bits, random);
		left--;
		if (++word == end)
			word = c->first;
	}
	return 0;
}

/* An L4 port that nobody has; 0: there is none. */
static uint32_t pick(const struct choice *c)
{
	uint32_t word, random;

	for (int i = 0; i < DRAWS; i++) {
		uint64_t n = draw(c->pool), bits;

		word = c->first + (uint32_t)n % c->words;
		bits = free_bits(c, word);
		if (bits)
			return word << 6 | xe_l4_pick_bit(bits, (uint32_t)(n >> 32));
	}
	random = (uint32_t)draw(c->pool);
	word = c->first + (uint32_t)draw(c->pool) % c->words;
	return find_free(c, word, random);
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

/* Those of the worker's L4 ports in a word that flows share. */
static uint64_t shared_bits(const struct choice *c, uint32_t word)
{
	return c->ports->mine[word] & ~c->ports->rest[word] & ~c->ports->mapped[word] &
	       ~__atomic_load_n(&c->pool->taken->bits[c->udp][word], __ATOMIC_RELAXED) &
	       xe_l4_range_bits(c->min, c->max, word);
}

/* Does the group that begins with this word lie in the range, all of it? */
static bool is_whole_group(const struct choice *c, uint32_t word)
{
	uint32_t low = word << 6;

	return !(low & ((1u << XE_L4_GROUP_BITS) - 1)) && low >= c->min &&
	       low + (1u << XE_L4_GROUP_BITS) - 1 <= c->max;
}

/* The worker's L4 ports in the range: groups, and words at its ends. */
static uint32_t count_mine(const struct choice *c)
{
	uint32_t cnt = 0;

	for (uint32_t w = c->first; w < c->first + c->words;) {
		if (is_whole_group(c, w)) {
			cnt += c->ports->group_cnt[w >> (XE_L4_GROUP_BITS - 6)];
			w += 1u << (XE_L4_GROUP_BITS - 6);
			continue;
		}
		cnt += (uint32_t)__builtin_popcountll(c->ports->mine[w] &
						      xe_l4_range_bits(c->min, c->max, w));
		w++;
	}
	return cnt;
}

/* Has the worker less than an equal part of the range? Beyond that, flows that can share an L4 port
 * do so before they take what other workers may need for flows that find none to share. */
static bool is_below_part(const struct choice *c)
{
	uint32_t workers = c->pool->worker_cnt;

	return workers == 1 || count_mine(c) * workers < (uint32_t)c->max - c->min + 1;
}

/* What the draws did not find: exactly, by the bitmap of this peer. That does not know of sessions
 * which the peer began by a rule for these very L4 ports (it has been taken out since, or is for
 * all L4 ports of the address, or they would be in `taken`): on the same tuple. So many of them are
 * passed over; who has begun more meets a refusal sooner. */
static bool find_shared(const struct choice *c, const uint64_t *used, struct xe_tuple4 *back)
{
	uint32_t random = (uint32_t)draw(c->pool), start = (uint32_t)draw(c->pool) % c->words;
	uint32_t looks = 0;

	for (uint32_t i = 0; i < c->words; i++) {
		uint32_t block = c->first + (start + i) % c->words;
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

/* Few of the L4 ports are the worker's, and the draws missed them: one of each word. */
static bool walk_shared(const struct choice *c, struct xe_tuple4 *back)
{
	uint32_t random = (uint32_t)draw(c->pool), start = (uint32_t)draw(c->pool) % c->words;

	for (uint32_t i = 0, looks = 0; i < c->words && looks < DRAWS_SHARED; i++) {
		uint32_t block = c->first + (start + i) % c->words;
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

/* With an L4 port that flows of this worker to other destinations use. */
static bool choose_shared(const struct choice *c, struct xe_tuple4 *back)
{
	struct xe_natpool *pool = c->pool;
	const uint64_t *used;

	if (!count_mine(c))
		return false;
	used = xe_crowds_find(pool->crowds, back, c->min, c->max, pool->now_s);
	if (!used) {
		if (draw_shared(c, back) || walk_shared(c, back))
			return true;
		used = xe_crowds_make(pool, c->ext, back, c->min, c->max);
	}
	return find_shared(c, used, back);
}

/* The flow's own L4 port: with nobody else on it, or shared, and not the same tuple. For one that
 * could share another it is no reason to go beyond the worker's part of the range: who sends the
 * flows names it. */
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
	if (!use && c->may_share && !is_below_part(c))
		return false;
	return claim(pool, c->ext, c->udp, own);
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
		    claim(c->pool, c->ext, c->udp, (uint16_t)l4_port))
			return true;
	}
	return false;
}

/* Drawn or found in min..max. */
static bool choose_in(struct choice *c, uint16_t min, uint16_t max, const struct xe_rss *rss,
		      struct xe_tuple4 *back)
{
	bool below;

	c->min = min;
	c->max = max;
	c->first = min >> 6;
	c->words = (max >> 6) - (min >> 6) + 1u;
	if (!c->may_share)
		return choose_alone(c, rss, back);
	below = is_below_part(c);
	return (below && choose_alone(c, rss, back)) || choose_shared(c, back) ||
	       (!below && choose_alone(c, rss, back));
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
		.words = (want->port_max >> 6) - (want->port_min >> 6) + 1u,
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
