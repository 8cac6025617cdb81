/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_frag_table - which fragments are kept, what is whole, what contradicts, and who has to go.
 *
 * The random runs compare with a model that marks every byte of every datagram in a map.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "packet_fixture.h"
#include "state/frag_table.h"

#define CNT(a) (sizeof(a) / sizeof((a)[0]))
#define NOW_S  1000

static const uint32_t wide[XE_FRAG_LEVELS] = {2048, 2048, 2048};

/* From host `src` of inside port 1, or of an uplink. */
static struct xe_frag_key key_of(uint8_t src, uint32_t id, uint16_t port)
{
	struct xe_frag_key k = {.id = id, .port = port, .proto = IPPROTO_UDP, .family = 4};

	k.src.w_be[2] = k.dst.w_be[2] = htonl(0xffff);
	k.src.w_be[3] = htonl(0x0a010000u + src);
	k.dst.w_be[3] = htonl(0xc6120001u);
	return k;
}

static int setup(void **state)
{
	struct xe_frag_table *t = malloc(sizeof(*t));

	assert_int_equal(xe_frag_open(t, wide, 64, lf_random(), lf_random()), 0);
	*state = t;
	return 0;
}

static void reopen(struct xe_frag_table *t, const uint32_t cap[XE_FRAG_LEVELS])
{
	xe_frag_close(t);
	assert_int_equal(xe_frag_open(t, cap, 64, lf_random(), lf_random()), 0);
}

/* ---- what must hold at any time ---- */

static uint32_t list_len(const struct xe_frag_table *t, uint32_t slot)
{
	uint32_t n = 0;

	for (; slot != XE_NIL; slot = t->slots[slot].next)
		assert_in_range(n++, 0, t->slot_cnt);
	return n;
}

/* All by counting again: kept, costs of all groups, slots. taken: those that the test holds. */
static void audit(const struct xe_frag_table *t, uint32_t taken)
{
	uint32_t *cost = calloc(t->group_high + 1, sizeof(*cost)), kept = 0, entries = 0;

	for (uint32_t side = 0; side < XE_FRAG_SIDES; side++)
		for (uint32_t e = t->groups[side].oldest; e != XE_NIL;
		     e = t->datagrams[e].in[XE_FRAG_BY_SIDE].newer) {
			const struct xe_frag_datagram *d = &t->datagrams[e];
			uint32_t frames = 0;

			entries++;
			assert_int_equal(list_len(t, d->first), d->cnt);
			for (uint32_t s = d->first; s != XE_NIL; s = t->slots[s].next)
				frames += t->slots[s].frame_cnt;
			assert_int_equal(d->cost, d->ended ? 1 : frames);
			assert_true(d->ended ? !d->cnt : d->cnt);
			kept += d->cnt;
			for (int level = 0; level < XE_FRAG_LEVELS; level++)
				cost[d->in[level].group] += d->cost;
		}
	assert_int_equal(kept, t->kept_cnt);
	for (uint32_t g = 0; g < t->group_high; g++)
		if (cost[g])
			assert_int_equal(cost[g], t->groups[g].cost);
	for (uint32_t side = 0; side < XE_FRAG_SIDES; side++)
		assert_in_range(t->groups[side].cost, 0, t->cap[XE_FRAG_BY_SIDE]);
	assert_int_equal(t->slot_high,
			 kept + taken + list_len(t, t->slot_free) + list_len(t, t->dead));
	assert_in_range(entries, 0, XE_FRAG_SIDES * t->cap[XE_FRAG_BY_SIDE]);
	free(cost);
}

static int teardown(void **state)
{
	struct xe_frag_table *t = *state;

	audit(t, 0);
	xe_frag_close(t);
	free(t);
	return 0;
}

/* How many have ended for this reason; any other reason fails the test. */
static uint32_t bury(struct xe_frag_table *t, enum xe_frag_verdict wanted)
{
	enum xe_frag_verdict why;
	uint32_t slot, n = 0;

	while ((slot = xe_frag_next_dead(t, &why)) != XE_NIL) {
		assert_int_equal(why, wanted);
		xe_frag_slot_free(t, slot);
		n++;
	}
	return n;
}

static enum xe_frag_verdict add(struct xe_frag_table *t, const struct xe_frag_key *key,
				uint32_t off, uint32_t len, bool more)
{
	struct xe_frag frag = {.off = off, .len = len, .more = more, .frame_cnt = 1};
	uint32_t slot;

	return xe_frag_add(t, key, &frag, NOW_S, &slot);
}

/* Take a whole datagram; its pieces must follow each other without a gap. */
static uint32_t take(struct xe_frag_table *t, const struct xe_frag_key *key)
{
	uint32_t slot = xe_frag_take(t, key), at = 0;

	while (slot != XE_NIL) {
		uint32_t next = t->slots[slot].next;

		assert_int_equal(t->slots[slot].off, at);
		at += t->slots[slot].len;
		assert_int_equal(t->slots[slot].more, next != XE_NIL);
		xe_frag_slot_free(t, slot);
		slot = next;
	}
	return at;
}

/* ---- orders ---- */

#define PARTS 6

static void in_order(struct xe_frag_table *t, const uint8_t *order, uint32_t id)
{
	struct xe_frag_key key = key_of(5, id, 1);

	for (uint32_t i = 0; i < PARTS; i++)
		assert_int_equal(add(t, &key, order[i] * 800u, order[i] == PARTS - 1 ? 13 : 800,
				     order[i] != PARTS - 1),
				 i == PARTS - 1 ? XE_FRAG_WHOLE : XE_FRAG_KEPT);
	assert_int_equal(take(t, &key), (PARTS - 1) * 800 + 13);
	assert_int_equal(t->kept_cnt, 0);
}

static uint32_t permute(struct xe_frag_table *t, uint8_t *order, uint32_t n, uint32_t id)
{
	if (n == PARTS) {
		in_order(t, order, id);
		return id + 1;
	}
	for (uint32_t i = n; i < PARTS; i++) {
		uint8_t was = order[n];

		order[n] = order[i];
		order[i] = was;
		id = permute(t, order, n + 1, id);
		order[i] = order[n];
		order[n] = was;
	}
	return id;
}

static void test_every_order(void **state)
{
	uint8_t order[PARTS] = {0, 1, 2, 3, 4, 5};

	assert_int_equal(permute(*state, order, 0, 0), 720);
}

/* What differs in any one member of the key is another datagram. */
static void test_keys_apart(void **state)
{
	struct xe_frag_table *t = *state;
	struct xe_frag_key base = key_of(5, 7, 1), k[8];

	for (size_t i = 0; i < CNT(k); i++)
		k[i] = base;
	k[1].src.b[15] ^= 1;
	k[2].dst.b[0] ^= 1;
	k[3].id ^= 1;
	k[4].id ^= 0x10000;
	k[5].port = XE_PORT_ANYUPLINK;
	k[6].proto = IPPROTO_TCP;
	k[7].family = 6;
	for (size_t i = 0; i < CNT(k); i++)
		assert_int_equal(add(t, &k[i], 0, 8, true), XE_FRAG_KEPT);
	assert_int_equal(t->kept_cnt, CNT(k));
	audit(t, 0);
	for (size_t i = 0; i < CNT(k); i++) {
		assert_int_equal(add(t, &k[i], 8, 8, false), XE_FRAG_WHOLE);
		assert_int_equal(take(t, &k[i]), 16);
	}
}

/* IPv6 calls one fragment that is all of it "atomic" (RFC 6946). */
static void test_atomic(void **state)
{
	struct xe_frag_key key = key_of(5, 7, 1);

	assert_int_equal(add(*state, &key, 0, 100, false), XE_FRAG_WHOLE);
	assert_int_equal(take(*state, &key), 100);
}

/* ---- overlaps ---- */

/* 0-64, 128-192 and, where there is an end, 256-300; then this one. */
static const struct {
	const char *name;
	uint32_t off, len;
	bool more, no_end;
	enum xe_frag_verdict verdict;
} overlaps[] = {
	{"the gap", 64, 64, true, false, XE_FRAG_KEPT},
	{"part of the gap", 72, 8, true, false, XE_FRAG_KEPT},
	{"the same as the first", 0, 64, true, false, XE_FRAG_DUPLICATE},
	{"the same in the middle", 128, 64, true, false, XE_FRAG_DUPLICATE},
	{"the same as the last", 256, 44, false, false, XE_FRAG_DUPLICATE},
	{"the first, shorter", 0, 56, true, false, XE_FRAG_OVERLAP},
	{"the first, longer", 0, 72, true, false, XE_FRAG_OVERLAP},
	{"within the first", 8, 8, true, false, XE_FRAG_OVERLAP},
	{"teardrop: begins within, ends within", 24, 16, true, false, XE_FRAG_OVERLAP},
	{"begins within, ends in the gap", 56, 16, true, false, XE_FRAG_OVERLAP},
	{"begins in the gap, ends within", 120, 16, true, false, XE_FRAG_OVERLAP},
	{"over all of the second", 96, 128, true, false, XE_FRAG_OVERLAP},
	{"over everything", 0, 256, true, false, XE_FRAG_OVERLAP},
	{"the last, as if more came", 256, 48, true, false, XE_FRAG_OVERLAP},
	{"ends where the datagram does, and more", 248, 56, true, false, XE_FRAG_OVERLAP},
	{"behind the end", 304, 8, true, false, XE_FRAG_OVERLAP},
	{"another end, later", 256, 60, false, false, XE_FRAG_OVERLAP},
	{"another end, earlier", 192, 8, false, false, XE_FRAG_OVERLAP},
	{"an end before what is there", 64, 8, false, true, XE_FRAG_OVERLAP},
	{"an end in what is there", 128, 40, false, true, XE_FRAG_OVERLAP},
	{"up to 65535", 65528, 7, false, true, XE_FRAG_KEPT},
	{"beyond 65535", 65528, 8, false, true, XE_FRAG_OVERLAP},
	{"beyond 65535, long", 65528, 1480, true, true, XE_FRAG_OVERLAP},
};

static void test_overlaps(void **state)
{
	struct xe_frag_table *t = *state;

	for (uint32_t i = 0; i < CNT(overlaps); i++) {
		struct xe_frag_key key = key_of(5, 100 + i, 1);
		uint32_t kept = overlaps[i].no_end ? 2 : 3;

		print_message("%s\n", overlaps[i].name);
		assert_int_equal(add(t, &key, 0, 64, true), XE_FRAG_KEPT);
		if (!overlaps[i].no_end)
			assert_int_equal(add(t, &key, 256, 44, false), XE_FRAG_KEPT);
		assert_int_equal(add(t, &key, 128, 64, true), XE_FRAG_KEPT);
		assert_int_equal(add(t, &key, overlaps[i].off, overlaps[i].len, overlaps[i].more),
				 overlaps[i].verdict);
		if (overlaps[i].verdict == XE_FRAG_OVERLAP) {
			assert_int_equal(bury(t, XE_FRAG_OVERLAP), kept);
			/* all that come later, also what would have been right */
			assert_int_equal(add(t, &key, 64, 64, true), XE_FRAG_OVERLAP);
			assert_int_equal(add(t, &key, 0, 64, true), XE_FRAG_OVERLAP);
		}
		audit(t, 0);
		xe_frag_flush(t, XE_PORT_NONE);
		bury(t, XE_FRAG_FLUSHED);
	}
}

/* ---- ends ---- */

static void test_timeout(void **state)
{
	struct xe_frag_table *t = *state;
	struct xe_frag_key a = key_of(5, 1, 1), b = key_of(6, 1, XE_PORT_ANYUPLINK);
	struct xe_frag frag = {.len = 8, .more = true, .frame_cnt = 1};
	uint32_t slot;

	xe_frag_add(t, &a, &frag, NOW_S, &slot);
	xe_frag_add(t, &b, &frag, NOW_S + 3, &slot);
	frag.off = 8;
	/* a later fragment does not prolong it */
	xe_frag_add(t, &a, &frag, NOW_S + XE_FRAG_TIMEOUT_S - 1, &slot);
	xe_frag_expire(t, NOW_S + XE_FRAG_TIMEOUT_S - 1);
	assert_int_equal(bury(t, XE_FRAG_TIMEOUT), 0);
	xe_frag_expire(t, NOW_S + XE_FRAG_TIMEOUT_S);
	assert_int_equal(bury(t, XE_FRAG_TIMEOUT), 2);
	assert_int_equal(t->kept_cnt, 1);
	xe_frag_expire(t, NOW_S + XE_FRAG_TIMEOUT_S + 3);
	assert_int_equal(bury(t, XE_FRAG_TIMEOUT), 1);
	/* so does an entry that only waits for what it is to refuse */
	add(t, &a, 0, 16, true);
	assert_int_equal(add(t, &a, 8, 16, true), XE_FRAG_OVERLAP);
	bury(t, XE_FRAG_OVERLAP);
	xe_frag_expire(t, NOW_S + XE_FRAG_TIMEOUT_S);
	assert_int_equal(add(t, &a, 8, 16, true), XE_FRAG_KEPT);
	xe_frag_flush(t, XE_PORT_NONE);
	assert_int_equal(bury(t, XE_FRAG_FLUSHED), 1);
}

static void test_flush_port(void **state)
{
	struct xe_frag_table *t = *state;

	for (uint16_t port = 1; port < 5; port++)
		for (uint8_t src = 0; src < 3; src++) {
			struct xe_frag_key k = key_of(src, 1, port < 4 ? port : XE_PORT_ANYUPLINK);

			add(t, &k, 8, 8, true);
			add(t, &k, 0, 8, true);
		}
	xe_frag_flush(t, 2);
	assert_int_equal(bury(t, XE_FRAG_FLUSHED), 6);
	xe_frag_flush(t, XE_PORT_ANYUPLINK);
	assert_int_equal(bury(t, XE_FRAG_FLUSHED), 6);
	assert_int_equal(t->kept_cnt, 12);
	audit(t, 0);
	xe_frag_flush(t, XE_PORT_NONE);
	assert_int_equal(bury(t, XE_FRAG_FLUSHED), 12);
}

/* ---- limits ---- */

static void test_per_datagram(void **state)
{
	struct xe_frag_table *t = *state;
	struct xe_frag_key key = key_of(5, 1, 1);

	for (uint32_t i = 0; i < XE_FRAG_PER_DATAGRAM; i++)
		assert_int_equal(add(t, &key, i * 8, 8, true), XE_FRAG_KEPT);
	assert_int_equal(add(t, &key, XE_FRAG_PER_DATAGRAM * 8, 8, false), XE_FRAG_LIMIT);
	assert_int_equal(bury(t, XE_FRAG_LIMIT), XE_FRAG_PER_DATAGRAM);
	assert_int_equal(add(t, &key, 0, 8, true), XE_FRAG_LIMIT);
	/* exactly as many are fine */
	key.id++;
	for (uint32_t i = 0; i < XE_FRAG_PER_DATAGRAM; i++)
		assert_int_equal(add(t, &key, i * 8, 8, i + 1 < XE_FRAG_PER_DATAGRAM),
				 i + 1 < XE_FRAG_PER_DATAGRAM ? XE_FRAG_KEPT : XE_FRAG_WHOLE);
	assert_int_equal(take(t, &key), XE_FRAG_PER_DATAGRAM * 8);
	xe_frag_flush(t, XE_PORT_NONE);
}

/* Halves: `cnt` datagrams of one fragment each. How many had to go for them. */
static uint32_t flood(struct xe_frag_table *t, uint8_t src, uint16_t port, uint32_t cnt)
{
	uint32_t gone = 0;

	for (uint32_t id = 0; id < cnt; id++) {
		struct xe_frag_key k = key_of(src, 0x4000 + id, port);

		assert_int_equal(add(t, &k, 0, 8, true), XE_FRAG_KEPT);
		gone += bury(t, XE_FRAG_LIMIT);
	}
	return gone;
}

static void test_caps(void **state)
{
	static const uint32_t cap[XE_FRAG_LEVELS] = {64, 32, 16};
	struct xe_frag_table *t = *state;
	struct xe_frag_key mine = key_of(9, 1, 1), other_port = key_of(9, 1, 2),
			   outside = key_of(9, 1, XE_PORT_ANYUPLINK);

	reopen(t, cap);
	add(t, &mine, 0, 8, true);
	add(t, &other_port, 0, 8, true);
	add(t, &outside, 0, 8, true);
	/* A source loses its own. */
	assert_int_equal(flood(t, 1, 1, 100), 100 - 16);
	audit(t, 0);
	/* Many of one port lose those of that port. */
	for (uint8_t src = 2; src < 9; src++)
		flood(t, src, 1, 16);
	assert_int_equal(add(t, &mine, 8, 8, true), XE_FRAG_KEPT); /* anew: it was the oldest */
	audit(t, 0);
	assert_int_equal(add(t, &other_port, 8, 8, false), XE_FRAG_WHOLE);
	take(t, &other_port);
	/* All of a side lose those of that side. */
	for (uint16_t port = 3; port < 40; port++)
		flood(t, 1, port, 16);
	audit(t, 0);
	assert_int_equal(t->groups[XE_FRAG_INSIDE].cost, 64);
	assert_int_equal(add(t, &outside, 8, 8, false), XE_FRAG_WHOLE);
	take(t, &outside);
	/* From outside: no caps by port, and sources as they are claimed. */
	for (uint32_t src = 0; src < 256; src++)
		flood(t, (uint8_t)src, XE_PORT_ANYUPLINK, 1);
	audit(t, 0);
	assert_int_equal(t->groups[XE_FRAG_UPLINK].cost, 64);
	/* What is whole soon comes through all the same. */
	assert_int_equal(add(t, &outside, 0, 8, true), XE_FRAG_KEPT);
	for (uint32_t src = 0; src < 60; src++) {
		struct xe_frag_key k = key_of((uint8_t)src, 77, XE_PORT_ANYUPLINK);

		add(t, &k, 0, 8, true);
		bury(t, XE_FRAG_LIMIT);
	}
	assert_int_equal(add(t, &outside, 8, 8, false), XE_FRAG_WHOLE);
	take(t, &outside);
	bury(t, XE_FRAG_LIMIT);
	xe_frag_push_out(t, XE_FRAG_UPLINK);
	assert_int_equal(bury(t, XE_FRAG_LIMIT), 1);
	xe_frag_flush(t, XE_PORT_NONE);
	bury(t, XE_FRAG_FLUSHED);
	xe_frag_push_out(t, XE_FRAG_UPLINK);
	assert_int_equal(bury(t, XE_FRAG_LIMIT), 0);
}

/* A datagram alone that is more than its source may have. */
static void test_larger_than_cap(void **state)
{
	static const uint32_t cap[XE_FRAG_LEVELS] = {64, 32, 16};
	struct xe_frag_table *t = *state;
	struct xe_frag_key key = key_of(1, 1, 1);

	reopen(t, cap);
	for (uint32_t i = 0; i < 16; i++)
		assert_int_equal(add(t, &key, i * 8, 8, true), XE_FRAG_KEPT);
	assert_int_equal(add(t, &key, 128, 8, false), XE_FRAG_LIMIT);
	assert_int_equal(bury(t, XE_FRAG_LIMIT), 16);
	assert_int_equal(add(t, &key, 0, 8, true), XE_FRAG_LIMIT);
	audit(t, 0);
	/* 20 frames at once */
	key.id = 2;
	assert_int_equal(xe_frag_add(t, &key,
				     &(struct xe_frag){.len = 60000, .more = true, .frame_cnt = 20},
				     NOW_S, &(uint32_t){0}),
			 XE_FRAG_LIMIT);
	audit(t, 0);
}

/* Whole datagrams that wait elsewhere keep their slots: then there is none for others. */
static void test_slots_away(void **state)
{
	static const uint32_t cap[XE_FRAG_LEVELS] = {8, 8, 8};
	struct xe_frag_table *t = *state;
	struct xe_frag_key key = key_of(1, 1, 1);
	uint32_t away[24], n = 0;

	reopen(t, cap);
	for (; n < CNT(away); n += 2, key.id++) {
		add(t, &key, 0, 8, true);
		assert_int_equal(add(t, &key, 8, 8, false), XE_FRAG_WHOLE);
		away[n] = xe_frag_take(t, &key);
		away[n + 1] = t->slots[away[n]].next;
	}
	assert_int_equal(add(t, &key, 0, 8, true), XE_FRAG_LIMIT);
	audit(t, 24);
	for (n = 0; n < CNT(away); n++)
		xe_frag_slot_free(t, away[n]);
	xe_frag_flush(t, XE_PORT_NONE);
	assert_int_equal(add(t, &key, 0, 8, true), XE_FRAG_KEPT);
	xe_frag_flush(t, XE_PORT_NONE);
	bury(t, XE_FRAG_FLUSHED);
}

/* ---- the model ---- */

#define MODEL_KEYS 5
#define MODEL_MAX  200

struct model {
	uint8_t map[66000]; /* 1: there */
	struct {
		uint32_t off, len;
		bool more;
	} parts[MODEL_MAX];
	uint32_t cnt, end, ended, since_s;
};

static enum xe_frag_verdict model_end(struct model *m, enum xe_frag_verdict why)
{
	memset(m->map, 0, sizeof(m->map));
	m->cnt = m->end = 0;
	m->ended = why;
	return why;
}

static bool any(const struct model *m, uint32_t from, uint32_t to)
{
	return memchr(m->map + from, 1, to - from) != NULL;
}

static enum xe_frag_verdict model_add(struct model *m, const struct xe_frag *f, uint32_t now_s)
{
	uint32_t stop = f->off + f->len;

	if (m->ended)
		return m->ended;
	if (!m->cnt)
		m->since_s = now_s;
	for (uint32_t i = 0; i < m->cnt; i++)
		if (m->parts[i].off == f->off && m->parts[i].len == f->len &&
		    m->parts[i].more == f->more)
			return XE_FRAG_DUPLICATE;
	if (stop > 65535 || any(m, f->off, stop) || (m->end && (!f->more || stop >= m->end)) ||
	    (!f->more && any(m, f->off, sizeof(m->map))))
		return model_end(m, XE_FRAG_OVERLAP);
	if (m->cnt == XE_FRAG_PER_DATAGRAM)
		return model_end(m, XE_FRAG_LIMIT);
	memset(m->map + f->off, 1, f->len);
	m->parts[m->cnt].off = f->off;
	m->parts[m->cnt].len = f->len;
	m->parts[m->cnt++].more = f->more;
	if (!f->more)
		m->end = stop;
	return m->end && !memchr(m->map, 0, m->end) ? XE_FRAG_WHOLE : XE_FRAG_KEPT;
}

static struct xe_frag random_frag(uint32_t span)
{
	struct xe_frag f = {.frame_cnt = (uint8_t)(1 + lf_random() % 3)};

	f.off = (uint32_t)(lf_random() % span) * 8;
	f.len = (uint32_t)(1 + lf_random() % 3) * 8;
	f.more = lf_random() % 8;
	if (!f.more)
		f.len -= lf_random() % 8;
	if (lf_random() % 1000 == 0)
		f.off = 65528 - f.off;
	return f;
}

static void random_round(struct xe_frag_table *t, struct model *models, uint32_t span,
			 uint32_t *seen)
{
	uint32_t now_s = NOW_S, dead = 0, expected_dead = 0;

	for (uint32_t i = 0; i < 20000; i++) {
		uint32_t which = (uint32_t)(lf_random() % MODEL_KEYS), slot = XE_NIL, before;
		struct xe_frag_key key =
			key_of((uint8_t)which, which, which & 1 ? XE_PORT_ANYUPLINK : 1);
		struct xe_frag frag = random_frag(span);
		struct model *m = &models[which];
		enum xe_frag_verdict got, wanted, why;

		before = m->cnt;
		wanted = model_add(m, &frag, now_s);
		got = xe_frag_add(t, &key, &frag, now_s, &slot);
		assert_int_equal(got, wanted);
		seen[got]++;
		if (got == XE_FRAG_OVERLAP || got == XE_FRAG_LIMIT)
			expected_dead += before;
		if (got == XE_FRAG_WHOLE) {
			assert_int_equal(take(t, &key), m->end);
			model_end(m, XE_FRAG_KEPT);
		}
		if (lf_random() % 16 == 0) {
			now_s += 1 + lf_random() % XE_FRAG_TIMEOUT_S;
			xe_frag_expire(t, now_s);
			for (uint32_t k = 0; k < MODEL_KEYS; k++) {
				/* an entry that refuses has its age from its first fragment */
				if ((!models[k].cnt && !models[k].ended) ||
				    now_s - models[k].since_s < XE_FRAG_TIMEOUT_S)
					continue;
				expected_dead += models[k].cnt;
				model_end(&models[k], XE_FRAG_KEPT);
			}
		}
		while ((slot = xe_frag_next_dead(t, &why)) != XE_NIL) {
			xe_frag_slot_free(t, slot);
			dead++;
		}
		assert_int_equal(dead, expected_dead);
		if (i % 64 == 0)
			audit(t, 0);
	}
	xe_frag_flush(t, XE_PORT_NONE);
	bury(t, XE_FRAG_FLUSHED);
}

static void test_random(void **state)
{
	/* 8-byte units that a datagram spans: the few complete often, the many have to be refused
	 */
	static const uint32_t spans[] = {3, 6, 12, 40, 2000};
	struct xe_frag_table *t = *state;
	uint32_t seen[XE_FRAG_LIMIT + 1] = {};

	for (size_t i = 0; i < CNT(spans); i++) {
		struct model *models = calloc(MODEL_KEYS, sizeof(*models));

		random_round(t, models, spans[i], seen);
		free(models);
	}
	for (size_t i = 0; i < CNT(seen); i++)
		print_message("verdict %zu: %u\n", i, seen[i]);
	assert_true(seen[XE_FRAG_WHOLE] > 100 && seen[XE_FRAG_DUPLICATE] > 500);
	assert_true(seen[XE_FRAG_OVERLAP] > 1000 && seen[XE_FRAG_KEPT] > 1000);
}

/* With caps that are always reached: nothing is lost, nothing is more than the caps. */
static void test_random_full(void **state)
{
	static const uint32_t cap[XE_FRAG_LEVELS] = {40, 24, 12};
	struct xe_frag_table *t = *state;
	enum xe_frag_verdict why;
	uint32_t slot;

	reopen(t, cap);
	for (uint32_t i = 0; i < 100000; i++) {
		uint16_t port = (uint16_t)(1 + lf_random() % 4);
		struct xe_frag_key key = key_of((uint8_t)(lf_random() % 4), lf_random() % 16,
						port == 4 ? XE_PORT_ANYUPLINK : port);
		struct xe_frag frag = random_frag(6);

		if (xe_frag_add(t, &key, &frag, NOW_S + i / 1000, &slot) == XE_FRAG_WHOLE)
			take(t, &key);
		if (lf_random() % 4096 == 0)
			xe_frag_expire(t, NOW_S + i / 1000);
		while ((slot = xe_frag_next_dead(t, &why)) != XE_NIL)
			xe_frag_slot_free(t, slot);
		if (i % 16 == 0)
			audit(t, 0);
	}
	xe_frag_flush(t, XE_PORT_NONE);
	bury(t, XE_FRAG_FLUSHED);
}

#define TABLE_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TABLE_TEST(test_every_order),     TABLE_TEST(test_keys_apart),
		TABLE_TEST(test_atomic),          TABLE_TEST(test_overlaps),
		TABLE_TEST(test_timeout),         TABLE_TEST(test_flush_port),
		TABLE_TEST(test_per_datagram),    TABLE_TEST(test_caps),
		TABLE_TEST(test_larger_than_cap), TABLE_TEST(test_slots_away),
		TABLE_TEST(test_random),          TABLE_TEST(test_random_full),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
