/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_collision.c - what an attacker gains who chooses tuples: with the key in hand he fills two
 * buckets, or makes one long run; without it nothing. So each table is attacked twice, with keys
 * that collide under a key that the test knows: under that one they must collide (or the test has
 * not found them), under any other they must lie as any keys do. A table whose hash does not take
 * in the key has them collide both times.
 */
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "packet_fixture.h"
#include "state/addr6.h"
#include "state/live.h"
#include "state/natpool.h"
#include "state/nexthop.h"
#include "state/session.h"
#include "state/source.h"

#define CNT(a) (sizeof(a) / sizeof((a)[0]))

/* ---- sessions and live tags: two buckets of eight, whatever comes ---- */

#define BUCKET_KEYS (2 * XE_BUCKET_SLOTS)
/* More than two buckets hold, and few beside 64 buckets and more. */
#define COLLIDING 40u
#define SESSIONS  512u

static struct xe_tuple4 tuple(uint32_t n, uint16_t port)
{
	return (struct xe_tuple4){
		.src_be = n,
		.dst_be = 0x01020304,
		.sport_be = (uint16_t)(n * 31),
		.dport_be = 80,
		.port = port,
		.proto = IPPROTO_UDP,
	};
}

/* Both keys of a flow: the one that the attacker has chosen, and the reply's, where only the pool
 * chooses; from the same number, so that a flow has the same two every time. */
static struct xe_session *put(struct xe_sessions *t, uint32_t n)
{
	struct xe_tuple4 out = tuple(n, 1), back = tuple(~n, XE_PORT_ANYUPLINK);

	return xe_session_new(t, &out, &back);
}

static bool is_there(const struct xe_sessions *t, uint32_t n)
{
	struct xe_tuple4 out = tuple(n, 1);
	enum xe_dir dir;
	struct xe_session *s = xe_session_find(t, &out, xe_session_hash(t, &out), &dir);

	return s && dir == XE_DIR_OUT && xe_tuple4_equal(&s->key[XE_DIR_OUT], &out);
}

static bool touches(const struct xe_sessions *t, const struct xe_tuple4 *key, uint32_t first,
		    uint32_t second)
{
	uint64_t hash = xe_session_hash(t, key);
	uint32_t a = xe_live_first(hash, t->bucket_mask), b = xe_live_second(hash, t->bucket_mask);

	return a == first || a == second || b == first || b == second;
}

/* Flows whose first keys have the same two buckets, and whose replies have others. */
static void find_colliding(const struct xe_sessions *t, uint32_t *n, uint32_t cnt)
{
	struct xe_tuple4 key = tuple(0, 1);
	uint64_t hash = xe_session_hash(t, &key);
	uint32_t first = xe_live_first(hash, t->bucket_mask), found = 0;
	uint32_t second = xe_live_second(hash, t->bucket_mask);

	for (uint32_t i = 0; found < cnt; i++) {
		struct xe_tuple4 back = tuple(~i, XE_PORT_ANYUPLINK);

		key = tuple(i, 1);
		hash = xe_session_hash(t, &key);
		if (xe_live_first(hash, t->bucket_mask) == first &&
		    xe_live_second(hash, t->bucket_mask) == second &&
		    !touches(t, &back, first, second))
			n[found++] = i;
	}
}

static uint32_t open_colliding(struct xe_sessions *t, const uint32_t *n)
{
	uint32_t made = 0;

	for (uint32_t i = 0; i < COLLIDING; i++) {
		made += put(t, n[i]) != NULL;
		for (uint32_t k = 0; k <= i; k++)
			assert_int_equal(is_there(t, n[k]), k < made);
	}
	return made;
}

static void test_sessions(void **state)
{
	uint32_t n[COLLIDING], others = 0;
	struct xe_sessions t;
	uint64_t k0 = lf_random(), k1 = lf_random();

	(void)state;
	assert_int_equal(xe_sessions_open(&t, SESSIONS, k0, k1), 0);
	find_colliding(&t, n, COLLIDING);
	/* Who knows the key fills two buckets, and is refused from then on: a lookup looks at
	 * sixteen, never more. Others go on, but for what has the same two. */
	assert_int_equal(open_colliding(&t, n), BUCKET_KEYS);
	for (uint32_t i = 0; i < SESSIONS / 2; i++)
		others += put(&t, 0x40000000 + i) != NULL;
	assert_in_range(others, SESSIONS / 2 - 3, SESSIONS / 2);
	xe_sessions_close(&t);
	for (int i = 0; i < 20; i++) {
		assert_int_equal(xe_sessions_open(&t, SESSIONS, lf_random(), lf_random()), 0);
		assert_int_equal(open_colliding(&t, n), COLLIDING);
		xe_sessions_close(&t);
	}
	/* Half a key is none. */
	for (int i = 0; i < 2; i++) {
		assert_int_equal(xe_sessions_open(&t, SESSIONS, k0 ^ (i == 0), k1 ^ (i == 1)), 0);
		assert_int_equal(open_colliding(&t, n), COLLIDING);
		xe_sessions_close(&t);
	}
}

#define TAGS 128u

static uint32_t add_tags(const uint32_t *n, uint64_t k0, uint64_t k1)
{
	static struct xe_live_bucket buckets[TAGS / 2];
	struct xe_live live = {.buckets = buckets, .mask = TAGS / 2 - 1};
	uint32_t added = 0;
	bool second;

	assert_int_equal(xe_live_bucket_cnt(TAGS), TAGS / 2);
	memset(buckets, 0, sizeof(buckets));
	for (uint32_t i = 0; i < COLLIDING; i++) {
		struct xe_tuple4 key = tuple(n[i], 1);

		added += xe_live_add(&live, xe_flow_hash(&key, k0, k1), &second);
	}
	return added;
}

static void test_live_tags(void **state)
{
	uint64_t k0 = lf_random(), k1 = lf_random();
	struct xe_sessions t = {.k0 = k0, .k1 = k1, .bucket_mask = TAGS / 2 - 1};
	uint32_t n[COLLIDING];

	(void)state;
	find_colliding(&t, n, COLLIDING);
	assert_int_equal(add_tags(n, k0, k1), 2 * XE_LIVE_SLOTS);
	for (int i = 0; i < 20; i++)
		assert_int_equal(add_tags(n, lf_random(), lf_random()), COLLIDING);
}

/* ---- the tables of the slow path: one index each (state/index.h) ---- */

/* Of so many keys those are taken that the small table, of 2 * SMALL slots, has in one place. */
#define LARGE  30000u
#define SMALL  1024u
#define ATTACK 128u
#define WINDOW 16u /* slots: 14.6 of LARGE have the same one */
/* A run of keys that lie anywhere, 128 among 2048 slots: more than 16 slots behind its own place
 * one in 10^12 is. */
#define SCATTERED 16u

struct target {
	const char *name;
	void *(*open)(uint32_t capacity, uint64_t k0, uint64_t k1);
	/* Its entry number. */
	uint32_t (*add)(void *table, uint32_t n);
	const struct xe_index *(*index)(const void *table);
	void (*close)(void *table);
};

static void *sources_open(uint32_t capacity, uint64_t k0, uint64_t k1)
{
	struct xe_sources *t = calloc(1, sizeof(*t));

	assert_int_equal(xe_sources_open(t, capacity, k0, k1), 0);
	return t;
}

static uint32_t sources_add(void *table, uint32_t n)
{
	return xe_source_take(table, XE_FAMILY_4, n, XE_PORT_ANYUPLINK, 1);
}

static const struct xe_index *sources_index(const void *table)
{
	return &((const struct xe_sources *)table)->index;
}

static void sources_close(void *table)
{
	xe_sources_close(table);
	free(table);
}

static void *nexthops_open(uint32_t capacity, uint64_t k0, uint64_t k1)
{
	struct xe_nexthops *t = calloc(1, sizeof(*t));

	assert_int_equal(xe_nexthops_open(t, capacity, k0, k1), 0);
	return t;
}

static uint32_t nexthops_get(struct xe_nexthops *t, uint32_t idx)
{
	struct xe_nh_request req;

	while (xe_nexthops_next_request(t, &req))
		;
	return idx;
}

static uint32_t nexthops_add(void *table, uint32_t n)
{
	return nexthops_get(table, xe_nexthop_get(table, n, 0x0201010a, 1));
}

static struct xe_addr addr6(uint32_t n)
{
	return (struct xe_addr){.w_be = {htonl(0x20010db8), 0, 0, n}};
}

static uint32_t nexthops6_add(void *table, uint32_t n)
{
	struct xe_addr dst = addr6(n), src = addr6(1);

	return nexthops_get(table, xe_nexthop_get_addr(table, &dst, &src, 1));
}

static const struct xe_index *nexthops_index(const void *table)
{
	return &((const struct xe_nexthops *)table)->index;
}

static void nexthops_close(void *table)
{
	xe_nexthops_close(table);
	free(table);
}

static void *addrs_open(uint32_t capacity, uint64_t k0, uint64_t k1)
{
	struct xe_addr6_table *t = calloc(1, sizeof(*t));

	assert_int_equal(xe_addr6_open(t, capacity, k0, k1), 0);
	t->backed = capacity;
	return t;
}

static uint32_t addrs_add(void *table, uint32_t n)
{
	struct xe_addr addr = addr6(n);

	return xe_addr6_get(table, &addr);
}

static const struct xe_index *addrs_index(const void *table)
{
	return &((const struct xe_addr6_table *)table)->index;
}

static void addrs_close(void *table)
{
	xe_addr6_close(table);
	free(table);
}

static void *permits_open(uint32_t capacity, uint64_t k0, uint64_t k1)
{
	struct xe_permits *t = calloc(1, sizeof(*t));

	assert_int_equal(xe_permits_open(t, capacity, k0, k1), 0);
	return t;
}

/* Entries are given out in order. */
static uint32_t permits_add(void *table, uint32_t n)
{
	struct xe_permits *t = table;
	uint32_t idx = 0;

	xe_permit_add(t, 7, n);
	while (t->slots[idx].peer_be != n || !t->slots[idx].sessions)
		idx++;
	return idx;
}

static const struct xe_index *permits_index(const void *table)
{
	return &((const struct xe_permits *)table)->index;
}

static void permits_close(void *table)
{
	xe_permits_close(table);
	free(table);
}

/* The mappings of one container: it chooses its L4 ports. */
struct mappings {
	struct xe_natpool pool;
	struct xe_sessions sessions;
	struct xe_taken taken;
	struct xe_claims claims;
	uint64_t *owned;
};

static void *mappings_open(uint32_t capacity, uint64_t k0, uint64_t k1)
{
	struct mappings *m = calloc(1, sizeof(*m));
	struct xe_addr ext = xe_addr_v4(htonl(0xc0000201));

	m->owned = calloc(XE_OWNED_ENTRIES, sizeof(*m->owned));
	assert_int_equal(xe_sessions_open(&m->sessions, capacity, k0, k1), 0);
	assert_int_equal(xe_natpool_open(&m->pool, &m->sessions, m->owned, &m->claims, &m->taken, 0,
					 1, lf_random(), lf_random()),
			 0);
	assert_int_equal(xe_natpool_add_ext(&m->pool, 0, &ext), 0);
	return m;
}

static uint32_t mappings_add(void *table, uint32_t n)
{
	struct mappings *m = table;
	struct xe_tuple4 out = {.src_be = 0x0201010a,
				.dst_be = 0x01020304,
				.sport_be = htons((uint16_t)n),
				.dport_be = 80,
				.port = 1,
				.proto = IPPROTO_UDP},
			 back;
	struct xe_nat_want want = {.port_min = 1024, .port_max = 65535, .independent = true};
	uint32_t mapping;

	assert_int_equal(xe_natpool_take(&m->pool, &out, &want, &back, &mapping), 0);
	return mapping;
}

static const struct xe_index *mappings_index(const void *table)
{
	return &((const struct mappings *)table)->pool.mapping_index;
}

static void mappings_close(void *table)
{
	struct mappings *m = table;

	xe_natpool_close(&m->pool);
	xe_sessions_close(&m->sessions);
	free(m->owned);
	free(m);
}

static const struct target targets[] = {
	{"sources", sources_open, sources_add, sources_index, sources_close},
	{"next hops", nexthops_open, nexthops_add, nexthops_index, nexthops_close},
	{"next hops, IPv6", nexthops_open, nexthops6_add, nexthops_index, nexthops_close},
	{"IPv6 addresses", addrs_open, addrs_add, addrs_index, addrs_close},
	{"permits", permits_open, permits_add, permits_index, permits_close},
	{"mappings", mappings_open, mappings_add, mappings_index, mappings_close},
};

/* Keys that the table of SMALL entries puts into a window of its slots. */
static void find_attack(const struct target *what, uint64_t k0, uint64_t k1, uint32_t *attack)
{
	void *small = what->open(SMALL, k0, k1), *t = what->open(LARGE, k0, k1);
	const struct xe_index *x = what->index(t);
	uint32_t *key = calloc(LARGE, sizeof(*key)), found = 0, mask = what->index(small)->mask;

	for (uint32_t n = 0; n < LARGE; n++) {
		uint32_t entry = what->add(t, n + 1);

		assert_in_range(entry, 0, LARGE - 1);
		key[entry] = n + 1;
	}
	for (uint32_t i = 0; i <= x->mask && found < ATTACK; i++)
		if (x->slots[i] && (x->slots[i] >> 32 & mask) < WINDOW)
			attack[found++] = key[(uint32_t)x->slots[i] - 1];
	assert_int_equal(found, ATTACK);
	free(key);
	what->close(t);
	what->close(small);
}

/* How far behind its own place the farthest of them stands: what finding it costs. */
static uint32_t farthest(const struct target *what, uint64_t k0, uint64_t k1,
			 const uint32_t *attack)
{
	void *t = what->open(SMALL, k0, k1);
	const struct xe_index *x = what->index(t);
	uint32_t far = 0;

	for (uint32_t i = 0; i < ATTACK; i++)
		assert_in_range(what->add(t, attack[i]), 0, SMALL - 1);
	for (uint32_t i = 0; i <= x->mask; i++) {
		uint32_t home = (uint32_t)(x->slots[i] >> 32) & x->mask;

		if (x->slots[i] && ((i - home) & x->mask) > far)
			far = (i - home) & x->mask;
	}
	what->close(t);
	return far;
}

static void test_indexes(void **state)
{
	uint32_t attack[ATTACK];

	(void)state;
	for (size_t i = 0; i < CNT(targets); i++) {
		uint64_t k0 = lf_random(), k1 = lf_random();
		const struct target *what = &targets[i];

		print_message("%s\n", what->name);
		find_attack(what, k0, k1, attack);
		assert_in_range(farthest(what, k0, k1, attack), ATTACK - WINDOW - 1, ATTACK);
		for (int n = 0; n < 20; n++)
			assert_in_range(farthest(what, lf_random(), lf_random(), attack), 0,
					SCATTERED);
		assert_in_range(farthest(what, k0 ^ 1, k1, attack), 0, SCATTERED);
		assert_in_range(farthest(what, k0, k1 ^ 1, attack), 0, SCATTERED);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sessions),
		cmocka_unit_test(test_live_tags),
		cmocka_unit_test(test_indexes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
