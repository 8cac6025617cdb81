/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "state/session.h"

#include <errno.h>
#include <sys/mman.h>

static void *region(size_t size)
{
	void *m = mmap(NULL, size, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (m == MAP_FAILED)
		return NULL;
	madvise(m, size, MADV_HUGEPAGE);
	return m;
}

/* One bucket of 8 for every 2 keys (a key, not a session: there are two): then a key is in its
 * first bucket but for 2 in 10^4, and a hit costs one cache line. */
static uint32_t bucket_cnt(uint32_t capacity)
{
	uint32_t n = 64;

	while (n < capacity)
		n *= 2;
	return n;
}

/* A session has an inside host, a peer, and where it is translated to an Ext address, of which
 * there are few; a mapping that rests has an inside host (state/natpool.h: two a session at most);
 * one in the making holds four, of which there are a group when flows are adopted. Never full
 * before the sessions are. */
uint32_t xe_session_addr_cnt(uint32_t capacity)
{
	return 4 * capacity + XE_MAX_EXT_ADDRS + 64;
}

/* ---- what all workers have together ---- */

/* Sessions taken of the budget at once: the others' core has that word some 15,000 times a second
 * then when a million flows begin in one. */
#define PIECE_MAX 64u
/* And never so many that what lies idle at a worker (two pieces) is more than 3 % of its part. */
#define PIECES_PER_PART 64u
/* Times its part that a worker has memory for. */
#define PARTS_MAX 2u
/* What workers that have more than their part leave to those that have less: of two, the first one
 * leaves a sixteenth of all. Less would not last until it has ended closed ones, more would be kept
 * from one worker that alone has something to do. */
#define RESERVES_PER_PART 8u

uint32_t xe_session_capacity(uint32_t all, uint32_t worker_cnt)
{
	uint32_t most = PARTS_MAX * (all / worker_cnt);

	return worker_cnt == 1 || most > all ? all : most;
}

void xe_session_budget_init(struct xe_session_budget *b, uint32_t all, uint32_t worker_cnt)
{
	uint32_t piece = all / worker_cnt / PIECES_PER_PART;

	atomic_store_explicit(&b->left, all, memory_order_relaxed);
	b->piece = piece < 1 ? 1 : piece > PIECE_MAX ? PIECE_MAX : piece;
	b->reserve = all / worker_cnt / RESERVES_PER_PART;
}

void xe_sessions_share(struct xe_sessions *t, struct xe_session_budget *b, uint32_t part)
{
	t->budget = b;
	t->part = part;
	t->allowed = 0;
}

static uint32_t what_is_left(const struct xe_session_budget *b)
{
	return atomic_load_explicit(&b->left, memory_order_relaxed);
}

static uint32_t less(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

/* keep: so many stay there. The word says how many and nothing else, so no order matters. */
static void take_piece(struct xe_sessions *t, uint32_t keep)
{
	struct xe_session_budget *b = t->budget;
	uint32_t left = what_is_left(b), most = less(b->piece, t->capacity - t->allowed), take;

	do {
		take = left > keep ? less(left - keep, most) : 0;
		if (!take)
			return;
	} while (!atomic_compare_exchange_weak_explicit(
		&b->left, &left, left - take, memory_order_relaxed, memory_order_relaxed));
	t->allowed += take;
}

static void give_piece(struct xe_sessions *t)
{
	if (!t->budget || t->allowed < t->cnt + 2 * t->budget->piece)
		return;
	t->allowed -= t->budget->piece;
	atomic_fetch_add_explicit(&t->budget->left, t->budget->piece, memory_order_relaxed);
}

static uint32_t reserve_for(const struct xe_sessions *t)
{
	return t->allowed < t->part ? 0 : t->budget->reserve;
}

bool xe_sessions_have_room(struct xe_sessions *t)
{
	if (t->cnt >= t->allowed && t->budget)
		take_piece(t, reserve_for(t));
	return t->cnt < t->allowed;
}

bool xe_sessions_are_full(struct xe_sessions *t)
{
	if (t->cnt >= t->allowed && t->budget)
		take_piece(t, 0);
	return t->cnt >= t->allowed;
}

bool xe_sessions_owe(const struct xe_sessions *t)
{
	return t->budget && t->allowed > t->part && what_is_left(t->budget) < t->budget->reserve;
}

uint32_t xe_sessions_max(const struct xe_sessions *t)
{
	uint32_t left = t->budget ? what_is_left(t->budget) : 0, most = t->allowed;

	if (most < t->part)
		most = less(t->part, most + left);
	left -= most - t->allowed;
	if (t->budget && left > t->budget->reserve)
		most += left - t->budget->reserve;
	return less(most, t->capacity);
}

/* ---- the table ---- */

int xe_sessions_open(struct xe_sessions *t, uint32_t capacity, uint64_t k0, uint64_t k1)
{
	return xe_sessions_open_at(t, capacity, k0, k1, NULL, NULL);
}

int xe_sessions_open_at(struct xe_sessions *t, uint32_t capacity, uint64_t k0, uint64_t k1,
			struct xe_session *slots, struct xe_addr6 *addrs)
{
	uint32_t buckets = bucket_cnt(capacity);

	memset(t, 0, sizeof(*t));
	t->borrowed = slots;
	t->slots = slots ? slots : region((size_t)capacity * sizeof(*t->slots));
	t->buckets = region((size_t)buckets * sizeof(*t->buckets));
	t->backed = slots ? 0 : capacity;
	if (!t->slots || !t->buckets ||
	    xe_addr6_open_at(&t->addr6, xe_session_addr_cnt(capacity), k0, k1, addrs)) {
		xe_sessions_close(t);
		return -ENOMEM;
	}
	t->capacity = t->part = t->allowed = capacity;
	t->bucket_mask = buckets - 1;
	t->free_head = XE_NIL;
	t->k0 = k0;
	t->k1 = k1;
	return 0;
}

void xe_sessions_close(struct xe_sessions *t)
{
	if (t->slots && !t->borrowed)
		munmap(t->slots, (size_t)t->capacity * sizeof(*t->slots));
	if (t->buckets)
		munmap(t->buckets, ((size_t)t->bucket_mask + 1) * sizeof(*t->buckets));
	xe_addr6_close(&t->addr6);
	memset(t, 0, sizeof(*t));
}

static int bucket_find(const struct xe_sessions *t, const struct xe_session_bucket *b, uint16_t tag,
		       const struct xe_tuple4 *key)
{
	uint64_t tags = tag * 0x0001000100010001ull, four[2];

	memcpy(four, b->tag, sizeof(four));
	for (int half = 0; half < 2; half++) {
		uint64_t hits = xe_all_zero_lanes(four[half] ^ tags);

		for (; hits; hits &= hits - 1) {
			int i = half * 4 + __builtin_ctzll(hits) / 16;

			if (xe_tuple4_equal(&t->slots[b->ref[i] >> 1].key[b->ref[i] & 1], key))
				return i;
		}
	}
	return -1;
}

struct xe_session *xe_session_find(const struct xe_sessions *t, const struct xe_tuple4 *key,
				   uint64_t hash, enum xe_dir *dir)
{
	const struct xe_session_bucket *b = &t->buckets[xe_live_first(hash, t->bucket_mask)];
	uint16_t tag = xe_live_tag(hash);
	int i = bucket_find(t, b, tag, key);

	if (i < 0) {
		if (!b->away)
			return NULL;
		b = &t->buckets[xe_live_second(hash, t->bucket_mask)];
		i = bucket_find(t, b, tag, key);
		if (i < 0)
			return NULL;
	}
	*dir = b->ref[i] & 1;
	return &t->slots[b->ref[i] >> 1];
}

static bool bucket_put(struct xe_session_bucket *b, uint16_t tag, uint32_t ref)
{
	for (int i = 0; i < XE_BUCKET_SLOTS; i++) {
		if (b->tag[i])
			continue;
		b->tag[i] = tag;
		b->ref[i] = ref;
		return true;
	}
	return false;
}

/* Move one entry of a full bucket to its other bucket. With a full table one key in some 10^6 finds
 * both of its buckets full; without this its flow would be refused again and again. */
static bool bucket_make_room(struct xe_sessions *t, uint32_t full)
{
	struct xe_session_bucket *b = &t->buckets[full];

	for (int i = 0; i < XE_BUCKET_SLOTS; i++) {
		uint32_t ref = b->ref[i], first, other;
		uint64_t hash = xe_session_hash(t, &t->slots[ref >> 1].key[ref & 1]);

		first = other = xe_live_first(hash, t->bucket_mask);
		if (other == full)
			other = xe_live_second(hash, t->bucket_mask);
		if (other == full || !bucket_put(&t->buckets[other], b->tag[i], ref))
			continue;
		t->buckets[first].away += first == full ? 1 : -1u;
		b->tag[i] = 0;
		return true;
	}
	return false;
}

static bool index_put(struct xe_sessions *t, uint64_t hash, uint32_t ref)
{
	uint32_t first = xe_live_first(hash, t->bucket_mask);
	uint16_t tag = xe_live_tag(hash);

	if (bucket_put(&t->buckets[first], tag, ref))
		return true;
	if (bucket_put(&t->buckets[xe_live_second(hash, t->bucket_mask)], tag, ref)) {
		t->buckets[first].away++;
		return true;
	}
	return bucket_make_room(t, first) && bucket_put(&t->buckets[first], tag, ref);
}

static bool bucket_drop(struct xe_session_bucket *b, uint32_t ref)
{
	for (int i = 0; i < XE_BUCKET_SLOTS; i++) {
		if (!b->tag[i] || b->ref[i] != ref)
			continue;
		b->tag[i] = 0;
		return true;
	}
	return false;
}

static void index_drop(struct xe_sessions *t, const struct xe_tuple4 *key, uint32_t ref)
{
	uint64_t hash = xe_session_hash(t, key);
	struct xe_session_bucket *first = &t->buckets[xe_live_first(hash, t->bucket_mask)];

	if (!bucket_drop(first, ref) &&
	    bucket_drop(&t->buckets[xe_live_second(hash, t->bucket_mask)], ref))
		first->away--;
}

static uint32_t slot_take(struct xe_sessions *t)
{
	uint32_t idx = t->free_head;

	if (idx != XE_NIL) {
		t->free_head = t->slots[idx].timer_next;
		return idx;
	}
	if (t->high == __atomic_load_n(&t->backed, __ATOMIC_ACQUIRE))
		return idx;
	idx = t->high;
	__atomic_store_n(&t->high, idx + 1, __ATOMIC_RELAXED); /* the control thread reads it */
	return idx;
}

static void slot_give(struct xe_sessions *t, uint32_t idx)
{
	memset(&t->slots[idx], 0, sizeof(t->slots[idx]));
	t->slots[idx].timer_next = t->free_head;
	t->free_head = idx;
}

static void hold_addrs(struct xe_sessions *t, const struct xe_tuple4 *key)
{
	if (key->family != XE_FAMILY_6)
		return;
	xe_addr6_ref(&t->addr6, key->src_be);
	xe_addr6_ref(&t->addr6, key->dst_be);
}

static void let_addrs_go(struct xe_sessions *t, const struct xe_tuple4 *key)
{
	if (key->family != XE_FAMILY_6)
		return;
	xe_addr6_unref(&t->addr6, key->src_be);
	xe_addr6_unref(&t->addr6, key->dst_be);
}

struct xe_session *xe_session_put(struct xe_sessions *t, const struct xe_tuple4 *out,
				  const struct xe_tuple4 *back, const uint64_t hash[2])
{
	uint32_t idx = slot_take(t);
	struct xe_session *s;

	if (idx == XE_NIL)
		return NULL;
	s = &t->slots[idx];
	memset(s, 0, sizeof(*s));
	s->key[XE_DIR_OUT] = *out;
	s->key[XE_DIR_BACK] = *back;
	s->timer_prev = XE_NIL;
	if (!index_put(t, hash[XE_DIR_OUT], idx * 2)) {
		slot_give(t, idx);
		return NULL;
	}
	if (!index_put(t, hash[XE_DIR_BACK], idx * 2 + 1)) {
		index_drop(t, out, idx * 2);
		slot_give(t, idx);
		return NULL;
	}
	hold_addrs(t, out);
	hold_addrs(t, back);
	__atomic_store_n(&t->cnt, t->cnt + 1, __ATOMIC_RELAXED); /* status reads it */
	return s;
}

struct xe_session *xe_session_new(struct xe_sessions *t, const struct xe_tuple4 *out,
				  const struct xe_tuple4 *back)
{
	const uint64_t hash[2] = {xe_session_hash(t, out), xe_session_hash(t, back)};

	return xe_session_put(t, out, back, hash);
}

void xe_session_free(struct xe_sessions *t, struct xe_session *s)
{
	uint32_t idx = xe_session_idx(t, s);

	index_drop(t, &s->key[XE_DIR_OUT], idx * 2);
	index_drop(t, &s->key[XE_DIR_BACK], idx * 2 + 1);
	let_addrs_go(t, &s->key[XE_DIR_OUT]);
	let_addrs_go(t, &s->key[XE_DIR_BACK]);
	slot_give(t, idx);
	__atomic_store_n(&t->cnt, t->cnt - 1, __ATOMIC_RELAXED);
	give_piece(t);
}
