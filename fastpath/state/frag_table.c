/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "state/frag_table.h"

#include "state/region.h"

/* RFC 791: a datagram is at most that long; what goes beyond is the "ping of death". */
#define DATAGRAM_MAX 65535u

/* Each datagram costs at least one frame, so the sides' caps bound them, too; each has a port's and
 * a source's group. One more: it is made before another is pushed out. */
static uint32_t datagram_size(const struct xe_frag_table *t)
{
	return XE_FRAG_SIDES * t->cap[XE_FRAG_BY_SIDE] + 1;
}

static uint32_t group_size(const struct xe_frag_table *t)
{
	return XE_FRAG_SIDES + 2 * datagram_size(t);
}

int xe_frag_open(struct xe_frag_table *t, const uint32_t cap[XE_FRAG_LEVELS], size_t kept_size,
		 uint64_t k0, uint64_t k1)
{
	memset(t, 0, sizeof(*t));
	memcpy(t->cap, cap, sizeof(t->cap));
	t->slot_cnt = (XE_FRAG_SIDES + 1) * cap[XE_FRAG_BY_SIDE];
	t->slot_free = t->datagram_free = t->group_free = t->dead = XE_NIL;
	t->k0 = k0;
	t->k1 = k1;
	t->kept_size = t->slot_cnt * kept_size;
	t->slots = xe_region_open(t->slot_cnt * sizeof(*t->slots));
	t->kept = xe_region_open(t->kept_size);
	t->datagrams = xe_region_open(datagram_size(t) * sizeof(*t->datagrams));
	t->groups = xe_region_open(group_size(t) * sizeof(*t->groups));
	if (!t->slots || !t->kept || !t->datagrams || !t->groups ||
	    xe_index_open(&t->index, datagram_size(t)) ||
	    xe_index_open(&t->group_index, group_size(t))) {
		xe_frag_close(t);
		return -ENOMEM;
	}
	for (uint32_t side = 0; side < XE_FRAG_SIDES; side++)
		t->groups[side].oldest = t->groups[side].newest = XE_NIL;
	t->group_high = XE_FRAG_SIDES;
	return 0;
}

void xe_frag_close(struct xe_frag_table *t)
{
	xe_region_close(t->slots, t->slot_cnt * sizeof(*t->slots));
	xe_region_close(t->kept, t->kept_size);
	xe_region_close(t->datagrams, datagram_size(t) * sizeof(*t->datagrams));
	xe_region_close(t->groups, group_size(t) * sizeof(*t->groups));
	t->slots = NULL;
	t->kept = NULL;
	t->datagrams = NULL;
	t->groups = NULL;
	xe_index_close(&t->index);
	xe_index_close(&t->group_index);
}

/* SipHash-1-3, as xe_flow_hash(). */
static uint64_t hash_words(const uint64_t *word, uint32_t cnt, uint64_t k0, uint64_t k1)
{
	uint64_t v0 = k0 ^ 0x736f6d6570736575ull, v1 = k1 ^ 0x646f72616e646f6dull;
	uint64_t v2 = k0 ^ 0x6c7967656e657261ull, v3 = k1 ^ 0x7465646279746573ull;

	for (uint32_t i = 0; i < cnt; i++) {
		v3 ^= word[i];
		XE_SIP_ROUND(v0, v1, v2, v3);
		v0 ^= word[i];
	}
	v2 ^= 0xff;
	XE_SIP_ROUND(v0, v1, v2, v3);
	XE_SIP_ROUND(v0, v1, v2, v3);
	XE_SIP_ROUND(v0, v1, v2, v3);
	return v0 ^ v1 ^ v2 ^ v3;
}

uint64_t xe_frag_hash(const struct xe_frag_key *key, uint64_t k0, uint64_t k1)
{
	uint64_t word[5];

	memcpy(word, key, sizeof(word));
	return hash_words(word, 5, k0, k1);
}

/* ---- groups ---- */

static bool group_equal(const void *table, uint32_t entry, const void *key)
{
	const struct xe_frag_group *g = &((const struct xe_frag_table *)table)->groups[entry];
	const struct xe_frag_group *k = key;

	return g->level == k->level && g->port == k->port &&
	       !memcmp(&g->addr, &k->addr, sizeof(g->addr));
}

/* The group of a level that this key's datagram belongs to; made when it is not there. There is
 * room: no more groups are in use than datagrams have. */
static uint32_t group_get(struct xe_frag_table *t, const struct xe_frag_key *key, uint8_t level)
{
	struct xe_frag_group want = {.port = key->port, .level = level};
	uint64_t word[3];
	uint32_t idx;

	if (level == XE_FRAG_BY_SIDE)
		return key->port == XE_PORT_ANYUPLINK ? XE_FRAG_UPLINK : XE_FRAG_INSIDE;
	if (level == XE_FRAG_BY_SOURCE) {
		want.addr = key->src;
		/* A subscriber of IPv6 has at least a /64 of addresses. */
		if (key->family == 6)
			want.addr.q[1] = 0;
	}
	memcpy(word, &want.addr, sizeof(want.addr));
	word[2] = (uint64_t)want.port << 8 | level;
	want.hash = (uint32_t)hash_words(word, 3, t->k0, t->k1);
	want.oldest = want.newest = XE_NIL;
	idx = xe_index_find(&t->group_index, want.hash, t, &want, group_equal);
	if (idx != XE_NIL)
		return idx;
	idx = t->group_free;
	if (idx != XE_NIL)
		t->group_free = t->groups[idx].next_free;
	else
		idx = t->group_high++;
	t->groups[idx] = want;
	xe_index_put(&t->group_index, want.hash, idx);
	return idx;
}

static void group_join(struct xe_frag_table *t, uint32_t entry, uint8_t level)
{
	struct xe_frag_datagram *d = &t->datagrams[entry];
	uint32_t idx = group_get(t, &d->key, level);
	struct xe_frag_group *g = &t->groups[idx];

	d->in[level].group = idx;
	d->in[level].older = g->newest;
	d->in[level].newer = XE_NIL;
	if (g->newest != XE_NIL)
		t->datagrams[g->newest].in[level].newer = entry;
	else
		g->oldest = entry;
	g->newest = entry;
	g->cost += d->cost;
}

static void group_leave(struct xe_frag_table *t, uint32_t entry, uint8_t level)
{
	struct xe_frag_datagram *d = &t->datagrams[entry];
	uint32_t older = d->in[level].older, newer = d->in[level].newer;
	struct xe_frag_group *g = &t->groups[d->in[level].group];

	if (older != XE_NIL)
		t->datagrams[older].in[level].newer = newer;
	else
		g->oldest = newer;
	if (newer != XE_NIL)
		t->datagrams[newer].in[level].older = older;
	else
		g->newest = older;
	g->cost -= d->cost;
	if (level == XE_FRAG_BY_SIDE || g->oldest != XE_NIL)
		return;
	xe_index_del(&t->group_index, g->hash, d->in[level].group);
	g->next_free = t->group_free;
	t->group_free = d->in[level].group;
}

static void charge(struct xe_frag_table *t, struct xe_frag_datagram *d, int32_t cost)
{
	d->cost += (uint32_t)cost;
	for (int level = 0; level < XE_FRAG_LEVELS; level++)
		t->groups[d->in[level].group].cost += (uint32_t)cost;
}

/* ---- slots ---- */

/* Read by the control thread at any time. */
static void add_kept(struct xe_frag_table *t, int32_t n)
{
	__atomic_store_n(&t->kept_cnt, t->kept_cnt + (uint32_t)n, __ATOMIC_RELAXED);
}

static uint32_t slot_take(struct xe_frag_table *t)
{
	uint32_t slot = t->slot_free;

	if (slot == XE_NIL)
		return t->slot_high < t->slot_cnt ? t->slot_high++ : XE_NIL;
	t->slot_free = t->slots[slot].next;
	return slot;
}

void xe_frag_slot_free(struct xe_frag_table *t, uint32_t slot)
{
	t->slots[slot].next = t->slot_free;
	t->slot_free = slot;
}

uint32_t xe_frag_next_dead(struct xe_frag_table *t, enum xe_frag_verdict *why)
{
	uint32_t slot = t->dead;

	if (slot == XE_NIL)
		return XE_NIL;
	t->dead = t->slots[slot].next;
	*why = t->slots[slot].why;
	return slot;
}

/* ---- datagrams ---- */

static bool datagram_equal(const void *table, uint32_t entry, const void *key)
{
	return !memcmp(&((const struct xe_frag_table *)table)->datagrams[entry].key, key,
		       sizeof(struct xe_frag_key));
}

static uint32_t datagram_find(const struct xe_frag_table *t, const struct xe_frag_key *key,
			      uint32_t hash)
{
	return xe_index_find(&t->index, hash, t, key, datagram_equal);
}

static uint32_t datagram_make(struct xe_frag_table *t, const struct xe_frag_key *key, uint32_t hash,
			      uint32_t now_s)
{
	uint32_t entry = t->datagram_free;

	if (entry != XE_NIL)
		t->datagram_free = t->datagrams[entry].next_free;
	else
		entry = t->datagram_high++;
	t->datagrams[entry] = (struct xe_frag_datagram){
		.key = *key,
		.hash = hash,
		.first = XE_NIL,
		.last = XE_NIL,
		.since_s = now_s,
	};
	for (uint8_t level = 0; level < XE_FRAG_LEVELS; level++)
		group_join(t, entry, level);
	xe_index_put(&t->index, hash, entry);
	return entry;
}

static void datagram_forget(struct xe_frag_table *t, uint32_t entry)
{
	struct xe_frag_datagram *d = &t->datagrams[entry];

	for (uint8_t level = 0; level < XE_FRAG_LEVELS; level++)
		group_leave(t, entry, level);
	xe_index_del(&t->index, d->hash, entry);
	add_kept(t, -(int32_t)d->cnt);
	d->next_free = t->datagram_free;
	t->datagram_free = entry;
}

/* Its fragments end. */
static void bury(struct xe_frag_table *t, struct xe_frag_datagram *d, enum xe_frag_verdict why)
{
	for (uint32_t slot = d->first; slot != XE_NIL; slot = t->slots[slot].next)
		t->slots[slot].why = (uint8_t)why;
	if (d->last != XE_NIL) {
		t->slots[d->last].next = t->dead;
		t->dead = d->first;
	}
	d->first = d->last = XE_NIL;
	add_kept(t, -(int32_t)d->cnt);
	d->cnt = 0;
}

/* Its fragments end, and those that are still to come will. What the empty entry costs is what
 * bounds how many there are. */
static enum xe_frag_verdict condemn(struct xe_frag_table *t, struct xe_frag_datagram *d,
				    enum xe_frag_verdict why)
{
	bury(t, d, why);
	charge(t, d, 1 - (int32_t)d->cost);
	d->ended = (uint8_t)why;
	return why;
}

static void end(struct xe_frag_table *t, uint32_t entry, enum xe_frag_verdict why)
{
	bury(t, &t->datagrams[entry], why);
	datagram_forget(t, entry);
}

/* ---- one more fragment ---- */

/* Push out the oldest until `cost` more frames fit into every group. False: it is the oldest
 * itself. */
static bool make_room(struct xe_frag_table *t, uint32_t entry, uint32_t cost)
{
	struct xe_frag_datagram *d = &t->datagrams[entry];

	for (int level = XE_FRAG_LEVELS - 1; level >= 0; level--) {
		const struct xe_frag_group *g = &t->groups[d->in[level].group];
		/* All uplinks are one port here. */
		bool all = level == XE_FRAG_BY_PORT && d->key.port == XE_PORT_ANYUPLINK;

		while (g->cost + cost > t->cap[all ? XE_FRAG_BY_SIDE : level]) {
			if (g->oldest == entry)
				return false;
			end(t, g->oldest, XE_FRAG_LIMIT);
		}
	}
	return true;
}

/* The slot after which this fragment belongs (XE_NIL: before all), by offset. In order and in
 * reverse order it is found at once. */
static uint32_t place(const struct xe_frag_table *t, const struct xe_frag_datagram *d, uint32_t off)
{
	uint32_t prev = XE_NIL;

	if (d->last != XE_NIL && t->slots[d->last].off <= off)
		return d->last;
	for (uint32_t slot = d->first; slot != XE_NIL && t->slots[slot].off <= off;
	     slot = t->slots[slot].next)
		prev = slot;
	return prev;
}

static bool same_range(const struct xe_frag_slot *s, const struct xe_frag *frag)
{
	return s->off == frag->off && s->len == frag->len && s->more == frag->more;
}

/* Does it overlap its neighbours, or the end that is known? */
static bool contradicts(const struct xe_frag_table *t, const struct xe_frag_datagram *d,
			const struct xe_frag *frag, uint32_t prev, uint32_t next)
{
	uint32_t stop = frag->off + frag->len;

	if (stop > DATAGRAM_MAX)
		return true;
	if (prev != XE_NIL && t->slots[prev].off + t->slots[prev].len > frag->off)
		return true;
	if (next != XE_NIL && stop > t->slots[next].off)
		return true;
	if (!frag->more)
		return d->total || next != XE_NIL;
	return d->total && stop >= d->total;
}

static void put_slot(struct xe_frag_table *t, struct xe_frag_datagram *d,
		     const struct xe_frag *frag, uint32_t slot, uint32_t prev, uint32_t next)
{
	t->slots[slot] = (struct xe_frag_slot){
		.off = frag->off,
		.len = frag->len,
		.next = next,
		.frame_cnt = frag->frame_cnt,
		.more = frag->more,
	};
	if (prev != XE_NIL)
		t->slots[prev].next = slot;
	else
		d->first = slot;
	if (next == XE_NIL)
		d->last = slot;
	d->cnt++;
	d->have += frag->len;
	if (!frag->more)
		d->total = frag->off + frag->len;
	add_kept(t, 1);
}

enum xe_frag_verdict xe_frag_add(struct xe_frag_table *t, const struct xe_frag_key *key,
				 const struct xe_frag *frag, uint32_t now_s, uint32_t *slot)
{
	uint32_t hash = (uint32_t)xe_frag_hash(key, t->k0, t->k1), prev, next;
	uint32_t entry = datagram_find(t, key, hash);
	struct xe_frag_datagram *d;

	if (entry == XE_NIL)
		entry = datagram_make(t, key, hash, now_s);
	d = &t->datagrams[entry];
	if (d->ended)
		return d->ended;
	prev = place(t, d, frag->off);
	if (prev != XE_NIL && same_range(&t->slots[prev], frag))
		return XE_FRAG_DUPLICATE;
	next = prev != XE_NIL ? t->slots[prev].next : d->first;
	if (!make_room(t, entry, frag->frame_cnt)) {
		/* nothing of it was kept: then its entry would be one too many */
		if (d->cnt)
			return condemn(t, d, XE_FRAG_LIMIT);
		datagram_forget(t, entry);
		return XE_FRAG_LIMIT;
	}
	charge(t, d, frag->frame_cnt);
	if (contradicts(t, d, frag, prev, next))
		return condemn(t, d, XE_FRAG_OVERLAP);
	*slot = d->cnt < XE_FRAG_PER_DATAGRAM ? slot_take(t) : XE_NIL;
	if (*slot == XE_NIL)
		return condemn(t, d, XE_FRAG_LIMIT);
	put_slot(t, d, frag, *slot, prev, next);
	return d->total && d->have == d->total ? XE_FRAG_WHOLE : XE_FRAG_KEPT;
}

uint32_t xe_frag_take(struct xe_frag_table *t, const struct xe_frag_key *key)
{
	uint32_t entry = datagram_find(t, key, (uint32_t)xe_frag_hash(key, t->k0, t->k1));
	uint32_t first = t->datagrams[entry].first;

	datagram_forget(t, entry);
	return first;
}

/* ---- ends ---- */

void xe_frag_expire(struct xe_frag_table *t, uint32_t now_s)
{
	for (uint32_t side = 0; side < XE_FRAG_SIDES; side++) {
		uint32_t entry;

		while ((entry = t->groups[side].oldest) != XE_NIL &&
		       now_s - t->datagrams[entry].since_s >= XE_FRAG_TIMEOUT_S)
			end(t, entry, XE_FRAG_TIMEOUT);
	}
}

void xe_frag_push_out(struct xe_frag_table *t, enum xe_frag_side side)
{
	if (t->groups[side].oldest != XE_NIL)
		end(t, t->groups[side].oldest, XE_FRAG_LIMIT);
}

void xe_frag_flush(struct xe_frag_table *t, uint16_t port)
{
	for (uint32_t side = 0; side < XE_FRAG_SIDES; side++) {
		uint32_t entry = t->groups[side].oldest;

		while (entry != XE_NIL) {
			uint32_t newer = t->datagrams[entry].in[XE_FRAG_BY_SIDE].newer;

			if (port == XE_PORT_NONE || t->datagrams[entry].key.port == port)
				end(t, entry, XE_FRAG_FLUSHED);
			entry = newer;
		}
	}
}
