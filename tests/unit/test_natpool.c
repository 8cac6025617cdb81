/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_natpool.c - which Ext L4 port a flow gets: its own where it can, else one that nobody
 * guesses; never one of the host's or of another worker; UDP never shared, TCP shared between
 * destinations; found whenever there is one, and given back without a trace.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "packet_fixture.h"
#include "state/natpool.h"
#include "state/natpool_crowd.h"

#define CAPACITY 80000u
#define TCP      IPPROTO_TCP
#define UDP      IPPROTO_UDP
#define EXT      3

struct world {
	struct xe_sessions sessions;
	struct xe_natpool pool;
	struct xe_taken taken;
	uint64_t *owned;
	struct xe_claims *claims;
	bool is_guest;      /* of another world's owned words and claims */
	bool rests;         /* give() does not let the rest of its L4 port pass */
	bool other_mapping; /* UDP endpoint-dependent, TCP endpoint-independent */
};

/* A flow that has its L4 port, and a session as the pool's user would make it. */
struct taker {
	struct xe_session *s;
	struct xe_tuple4 back;
	uint32_t ext, mapping;
};

static const struct xe_addr *v4(const char *text)
{
	static struct xe_addr addr;

	addr = xe_addr_v4(inet_addr(text));
	return &addr;
}

/* `other`: one whose L4 ports are shared, NULL: none. */
static struct world *open_beside(struct world *other, uint16_t worker, uint16_t worker_cnt)
{
	struct world *w = calloc(1, sizeof(*w));

	w->is_guest = other;
	w->owned = other ? other->owned : calloc(XE_OWNED_ENTRIES, sizeof(*w->owned));
	w->claims = other ? other->claims : calloc(1, sizeof(*w->claims));
	assert_int_equal(xe_sessions_open(&w->sessions, CAPACITY, lf_random(), lf_random()), 0);
	assert_int_equal(xe_natpool_open(&w->pool, &w->sessions, w->owned, w->claims, &w->taken,
					 worker, worker_cnt, lf_random(), lf_random()),
			 0);
	assert_int_equal(xe_natpool_add_ext(&w->pool, EXT, v4("192.0.2.1")), 0);
	assert_int_equal(xe_natpool_add_ext(&w->pool, EXT + 1, v4("192.0.2.2")), 0);
	return w;
}

static struct world *open_workers(uint16_t worker, uint16_t worker_cnt)
{
	return open_beside(NULL, worker, worker_cnt);
}

static int open_world(void **state)
{
	*state = open_workers(0, 1);
	return 0;
}

static int close_world(void **state)
{
	struct world *w = *state;

	xe_natpool_close(&w->pool);
	xe_natpool_close(&w->pool);
	xe_sessions_close(&w->sessions);
	if (!w->is_guest) {
		free(w->owned);
		free(w->claims);
	}
	free(w);
	return 0;
}

static struct xe_tuple4 flow(uint8_t proto, uint32_t src, uint16_t sport, uint32_t dst)
{
	return (struct xe_tuple4){
		.src_be = htonl(0x0a010000 + src),
		.dst_be = htonl(0xc6336400 + dst),
		.sport_be = htons(sport),
		.dport_be = htons(80),
		.port = 1,
		.proto = proto,
	};
}

/* 0 or what xe_natpool_take() says. */
static int take(struct world *w, struct xe_tuple4 out, uint32_t ext, uint16_t min, uint16_t max,
		struct taker *t)
{
	struct xe_nat_want want = {
		.ext = ext,
		.port_min = min,
		.port_max = max,
		.independent = (out.proto == UDP) != w->other_mapping,
	};
	int err = xe_natpool_take(&w->pool, &out, &want, &t->back, &t->mapping);

	if (err)
		return err;
	t->ext = ext;
	t->s = xe_session_new(&w->sessions, &out, &t->back);
	assert_non_null(t->s);
	assert_int_equal(t->back.src_be, out.dst_be);
	assert_int_equal(t->back.sport_be, out.dport_be);
	assert_int_equal(t->back.dst_be, w->pool.ext[ext].addr_be);
	assert_int_equal(t->back.port, XE_PORT_ANYUPLINK);
	assert_int_equal(t->back.proto, out.proto);
	return 0;
}

static void pass_time(struct world *w, uint32_t s)
{
	xe_natpool_tick(&w->pool, w->pool.now_s + s, UINT32_MAX);
}

static void give(struct world *w, struct taker *t)
{
	xe_natpool_give(&w->pool, &t->back, t->ext, t->mapping, true);
	xe_session_free(&w->sessions, t->s);
	if (!w->rests)
		pass_time(w, XE_NAT_REST_S);
}

static uint16_t l4_port(const struct taker *t)
{
	return ntohs(t->back.dport_be);
}

static bool is_owned(const struct world *w, uint32_t ext, int udp, uint16_t port)
{
	return w->owned[xe_owned_idx(ext, udp, port)] >> (port & 63) & 1;
}

static uint32_t owned_cnt(const struct world *w)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < XE_OWNED_ENTRIES; i++)
		n += (uint32_t)__builtin_popcountll(w->owned[i]);
	return n;
}

static void set_taken(struct world *w, int udp, uint16_t port)
{
	w->taken.bits[udp][port >> 6] |= 1ull << (port & 63);
}

static void test_kept_where_it_can_be(void **state)
{
	static const uint8_t protos[] = {TCP, UDP};
	struct world *w = *state;
	struct taker a, b, c, d;

	for (int i = 0; i < 2; i++) {
		uint8_t p = protos[i];

		assert_int_equal(take(w, flow(p, 1, 2000, 1), EXT, 2000, 2999, &a), 0);
		assert_int_equal(l4_port(&a), 2000);
		assert_true(is_owned(w, EXT, p == UDP, 2000));
		assert_false(is_owned(w, EXT, p != UDP, 2000));
		/* another source with the same one, to the same destination */
		assert_int_equal(take(w, flow(p, 2, 2000, 1), EXT, 2000, 2999, &b), 0);
		assert_int_not_equal(l4_port(&b), 2000);
		assert_in_range(l4_port(&b), 2000, 2999);
		/* out of the range on either side, and the last of it */
		assert_int_equal(take(w, flow(p, 1, 1999, 1), EXT, 2000, 2999, &c), 0);
		assert_in_range(l4_port(&c), 2000, 2999);
		assert_int_equal(take(w, flow(p, 1, 2999, 1), EXT, 2000, 2999, &d), 0);
		assert_int_equal(l4_port(&d), 2999);
		give(w, &d);
		give(w, &c);
		give(w, &b);
		give(w, &a);
		assert_int_equal(owned_cnt(w), 0);
	}
}

static void test_taken_is_respected(void **state)
{
	struct world *w = *state;
	struct taker t[40];

	for (uint16_t p = 5000; p < 5040; p++) {
		set_taken(w, 0, p);
		if (p != 5017)
			set_taken(w, 1, p);
	}
	assert_int_equal(take(w, flow(TCP, 1, 5017, 1), EXT, 5000, 5039, &t[0]), -ENOSPC);
	assert_int_equal(take(w, flow(UDP, 1, 5001, 1), EXT, 5000, 5039, &t[0]), 0);
	assert_int_equal(l4_port(&t[0]), 5017);
	assert_int_equal(take(w, flow(UDP, 2, 5001, 1), EXT, 5000, 5039, &t[1]), -ENOSPC);
	/* a listener that goes makes room */
	w->taken.bits[1][5003 >> 6] &= ~(1ull << (5003 & 63));
	assert_int_equal(take(w, flow(UDP, 2, 5001, 1), EXT, 5000, 5039, &t[1]), 0);
	assert_int_equal(l4_port(&t[1]), 5003);
}

/* RFC 4787 REQ-1 and REQ-3: one mapping for all destinations, no L4 port for two inside endpoints.
 */
static void test_udp_mapping(void **state)
{
	struct world *w = *state;
	struct taker a[50], b, c, again;

	for (uint32_t i = 0; i < 50; i++) {
		assert_int_equal(take(w, flow(UDP, 1, 40000, i), EXT, 2000, 2999, &a[i]), 0);
		assert_int_equal(l4_port(&a[i]), l4_port(&a[0]));
	}
	assert_int_equal(w->pool.mapping_cnt, 1);
	assert_int_equal(owned_cnt(w), 1);
	/* another inside L4 port, another host, and the same on another inside port: others */
	assert_int_equal(take(w, flow(UDP, 1, 40001, 0), EXT, 2000, 2999, &b), 0);
	assert_int_not_equal(l4_port(&b), l4_port(&a[0]));
	assert_int_equal(take(w, flow(UDP, 2, l4_port(&a[0]), 0), EXT, 2000, 2999, &c), 0);
	assert_int_not_equal(l4_port(&c), l4_port(&a[0]));
	/* the same flow again, not looked up first */
	assert_int_equal(take(w, flow(UDP, 1, 40000, 7), EXT, 2000, 2999, &again), -EADDRINUSE);
	for (uint32_t i = 0; i < 50; i++) {
		assert_true(is_owned(w, EXT, 1, l4_port(&a[0])));
		give(w, &a[i]);
	}
	assert_false(is_owned(w, EXT, 1, l4_port(&a[0])));
	assert_int_equal(w->pool.mapping_cnt, 2);
	/* the L4 port is free again for whom it was not */
	give(w, &c);
	assert_int_equal(take(w, flow(UDP, 2, l4_port(&a[0]), 0), EXT, 2000, 2999, &c), 0);
	assert_int_equal(l4_port(&c), l4_port(&a[0]));
	give(w, &b);
	give(w, &c);
	assert_int_equal(owned_cnt(w), 0);
	assert_int_equal(w->pool.mapping_cnt, 0);
}

/* Each Ext address has L4 ports of its own, and mappings of its own. */
static void test_ext_addresses_are_apart(void **state)
{
	struct world *w = *state;
	struct taker a, b;

	assert_int_equal(take(w, flow(UDP, 1, 2000, 1), EXT, 2000, 2000, &a), 0);
	assert_int_equal(take(w, flow(UDP, 1, 2000, 2), EXT + 1, 2000, 2000, &b), 0);
	assert_int_equal(l4_port(&b), 2000);
	assert_int_equal(w->pool.mapping_cnt, 2);
	give(w, &a);
	assert_true(is_owned(w, EXT + 1, 1, 2000));
	assert_false(is_owned(w, EXT, 1, 2000));
	give(w, &b);
}

/* All L4 ports of odd ranges are used, each once, then the next flow is told that there is none;
 * one given back is found, though it is the only one. UDP, and TCP to one destination. */
static void fill_range(uint8_t proto, uint16_t min, uint16_t max, uint16_t worker,
		       uint16_t worker_cnt)
{
	struct world *w = open_workers(worker, worker_cnt);
	uint32_t span = (uint32_t)max - min + 1, n = 0;
	struct taker *t = calloc(span + 1, sizeof(*t));
	bool *seen = calloc(65536, sizeof(*seen));

	while (!take(w, flow(proto, n, (uint16_t)(lf_random() >> 40), 1), EXT, min, max, &t[n])) {
		uint16_t p = l4_port(&t[n]);

		assert_in_range(p, min, max);
		assert_false(seen[p]);
		assert_int_equal(xe_natpool_owner(&w->pool, v4("192.0.2.1"), proto == UDP, p),
				 worker);
		seen[p] = true;
		n++;
	}
	assert_int_equal(n, span);
	assert_int_equal(owned_cnt(w), span);
	for (int i = 0; i < 20; i++) {
		uint32_t k = (uint32_t)(lf_random() >> 40) % span;
		uint16_t p = l4_port(&t[k]);

		give(w, &t[k]);
		assert_false(is_owned(w, EXT, proto == UDP, p));
		assert_int_equal(
			take(w, flow(proto, span + 1 + (uint32_t)i, 1, 1), EXT, min, max, &t[k]),
			0);
		assert_int_equal(l4_port(&t[k]), p);
		assert_int_equal(take(w, flow(proto, 2 * span + 99, 1, 1), EXT, min, max, &t[span]),
				 -ENOSPC);
	}
	while (n)
		give(w, &t[--n]);
	assert_int_equal(owned_cnt(w), 0);
	free(seen);
	free(t);
	close_world((void **)&w);
}

static void test_exhaustion(void **state)
{
	static const uint16_t ranges[][2] = {{1024, 1024},   {1087, 1088},   {1023, 1100},
					     {20001, 20062}, {4096, 4159},   {10000, 19999},
					     {65000, 65535}, {65535, 65535}, {1, 200}};

	(void)state;
	for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++) {
		fill_range(UDP, ranges[i][0], ranges[i][1], 0, 1);
		fill_range(TCP, ranges[i][0], ranges[i][1], 0, 1);
	}
}

/* L4 ports that a worker has, of both protocols and addresses. */
static uint32_t claim_cnt(const struct world *w, uint16_t worker)
{
	const uint8_t *owner = xe_claims_owner(w->claims, EXT, 0, 0);
	uint32_t n = 0;

	for (uint32_t i = 0; i < 4 * 65536; i++)
		n += owner[i] == worker + 1;
	return n;
}

/* One worker of several uses a whole range when the others need none of it. */
static void test_one_worker_uses_all(void **state)
{
	(void)state;
	for (uint16_t worker = 0; worker < 2; worker++) {
		fill_range(UDP, 1000, 2999, worker, 2);
		fill_range(TCP, 1000, 2999, worker, 2);
	}
	fill_range(UDP, 30001, 30777, 2, 3);
	fill_range(UDP, 1024, 1087, 1, 2); /* one word */
	fill_range(TCP, 1024, 65535, 15, 16);
}

/* Two workers take by turns: never an L4 port in common, and whoever goes on gets all that is left,
 * to the last one, however the other's lie in between. */
static void test_workers_share(void **state)
{
	enum { MIN = 10000, MAX = 19999, SPAN = MAX - MIN + 1 };
	struct world *w[2] = {open_workers(0, 2)};
	struct taker *t[2] = {calloc(SPAN + 1, sizeof(**t)), calloc(SPAN + 1, sizeof(**t))};
	uint32_t n[2] = {};

	(void)state;
	w[1] = open_beside(w[0], 1, 2);
	for (uint32_t i = 0; i < SPAN / 2; i++) {
		int k = i & 1;

		assert_int_equal(take(w[k], flow(UDP, i, 1, 1), EXT, MIN, MAX, &t[k][n[k]]), 0);
		n[k]++;
		assert_int_equal(xe_natpool_owner(&w[!k]->pool, v4("192.0.2.1"), true,
						  l4_port(&t[k][n[k] - 1])),
				 k);
	}
	assert_int_equal(claim_cnt(w[0], 0), SPAN / 4);
	assert_int_equal(claim_cnt(w[0], 1), SPAN / 4);
	assert_int_equal(owned_cnt(w[0]), SPAN / 2);
	/* the first one goes on alone */
	while (!take(w[0], flow(UDP, 100000 + n[0], 1, 1), EXT, MIN, MAX, &t[0][n[0]]))
		n[0]++;
	assert_int_equal(n[0] + n[1], SPAN);
	assert_int_equal(take(w[1], flow(UDP, 500000, 1, 1), EXT, MIN, MAX, &t[1][n[1]]), -ENOSPC);
	/* one that the second one ends is the first one's, and the other way round */
	for (int i = 0; i < 100; i++) {
		int k = i & 1;
		uint16_t was;

		n[k]--;
		was = l4_port(&t[k][n[k]]);
		give(w[k], &t[k][n[k]]);
		assert_int_equal(take(w[!k], flow(UDP, 200000u + (uint32_t)i, 1, 1), EXT, MIN, MAX,
				      &t[!k][n[!k]]),
				 0);
		assert_int_equal(l4_port(&t[!k][n[!k]]), was);
		n[!k]++;
	}
	assert_int_equal(xe_natpool_owner(&w[1]->pool, v4("192.0.2.9"), true, MIN), XE_NO_WORKER);
	for (int k = 0; k < 2; k++) {
		while (n[k])
			give(w[k], &t[k][--n[k]]);
		assert_int_equal(claim_cnt(w[0], (uint16_t)k), 0);
	}
	assert_int_equal(owned_cnt(w[0]), 0);
	free(t[0]);
	free(t[1]);
	close_world((void **)&w[1]);
	close_world((void **)&w[0]);
}

/* Some light workers do not pin what they do not use: the one that fills gets the rest, all of it,
 * of UDP and of TCP to one peer. */
static void test_light_and_full(void **state)
{
	enum { MIN = 10000, MAX = 19999, SPAN = MAX - MIN + 1, LIGHT = 80, WORKERS = 4 };
	static const uint8_t protos[] = {UDP, TCP};
	struct taker *t = calloc(SPAN + 1, sizeof(*t)), one;

	(void)state;
	for (int p = 0; p < 2; p++) {
		struct world *w[WORKERS] = {open_workers(0, WORKERS)};
		uint32_t n = 0;

		for (uint16_t k = 1; k < WORKERS; k++) {
			w[k] = open_beside(w[0], k, WORKERS);
			for (uint32_t i = 0; i < LIGHT; i++)
				assert_int_equal(take(w[k], flow(protos[p], 1000u * k + i, 1, 1),
						      EXT, MIN, MAX, &one),
						 0);
		}
		while (!take(w[0], flow(protos[p], 100000 + n, 1, 1), EXT, MIN, MAX, &t[n]))
			n++;
		assert_int_equal(n, SPAN - LIGHT * (WORKERS - 1));
		for (int k = WORKERS; k--;)
			close_world((void **)&w[k]);
	}
	free(t);
}

/* Flows that can share L4 ports leave the other worker its part, whether their own lies in the
 * range or not; what cannot share takes what there is. */
static void test_part_only(void **state)
{
	enum { MIN = 1100, SPAN = 3000, MAX = MIN + SPAN - 1 };
	struct taker t;

	(void)state;
	for (int own = 0; own < 2; own++) {
		struct world *w[2] = {open_workers(0, 2)};

		w[1] = open_beside(w[0], 1, 2);
		for (uint32_t i = 0; i < SPAN; i++)
			assert_int_equal(take(w[0], flow(TCP, 1, own ? (uint16_t)(MIN + i) : 1, i),
					      EXT, MIN, MAX, &t),
					 0);
		assert_int_equal(claim_cnt(w[0], 0), SPAN / 2);
		/* all to one peer: its part and, as it has none to share, no more than is free */
		for (uint32_t i = 0; i < SPAN / 2; i++)
			assert_int_equal(take(w[1], flow(TCP, i, 1, 99999), EXT, MIN, MAX, &t), 0);
		assert_int_equal(take(w[1], flow(TCP, SPAN, 1, 99999), EXT, MIN, MAX, &t), -ENOSPC);
		assert_int_equal(claim_cnt(w[0], 1), SPAN / 2);
		/* of UDP a flow has an L4 port to itself, its own where that is free */
		for (uint32_t i = 0; i < SPAN; i++) {
			assert_int_equal(
				take(w[0], flow(UDP, 1, (uint16_t)(MIN + i), 1), EXT, MIN, MAX, &t),
				0);
			assert_int_equal(l4_port(&t), MIN + i);
		}
		close_world((void **)&w[1]);
		close_world((void **)&w[0]);
	}
}

/* The count of a worker's L4 ports is that of the range, wherever it begins and ends. */
static void test_part_of_any_range(void **state)
{
	static const uint16_t ranges[][2] = {{1024, 2047},  {1025, 2048}, {2000, 5000},
					     {1024, 1099},  {4096, 8191}, {64512, 65535},
					     {65000, 65535}};
	struct taker t;

	(void)state;
	for (size_t r = 0; r < sizeof(ranges) / sizeof(ranges[0]); r++) {
		uint32_t span = (uint32_t)ranges[r][1] - ranges[r][0] + 1;
		struct world *w = open_workers(0, 2);

		/* others of its L4 ports do not count */
		for (uint32_t i = 0; i < 200; i++)
			assert_int_equal(take(w, flow(TCP, 1, 1, i), EXT, 9000, 9499, &t), 0);
		for (uint32_t i = 0; i < 2 * span; i++)
			assert_int_equal(
				take(w, flow(TCP, 1, 1, i), EXT, ranges[r][0], ranges[r][1], &t),
				0);
		assert_int_equal(claim_cnt(w, 0), 200 + (span + 1) / 2);
		close_world((void **)&w);
	}
}

/* ---- at the same time ---- */

#define SHARED_MIN  20000
#define SHARED_SPAN 300

struct racer {
	struct world *w;
	uint8_t *user; /* by L4 port: worker + 1 */
	uint32_t taken, refused;
};

static void *race(void *arg)
{
	struct racer *r = arg;
	struct taker t[SHARED_SPAN];
	uint32_t n = 0, src = 0;
	uint64_t random = 1 + r->w->pool.worker;

	for (int i = 0; i < 200000; i++) {
		random = random * 6364136223846793005ull + 1442695040888963407ull;
		if (n && (n == SHARED_SPAN || random >> 60 < 7)) {
			uint32_t k = (uint32_t)(random >> 32) % n;

			__atomic_store_n(&r->user[l4_port(&t[k])], 0, __ATOMIC_RELEASE);
			give(r->w, &t[k]);
			t[k] = t[--n];
		} else if (!take(r->w, flow(UDP, src++, 1, 1), EXT, SHARED_MIN,
				 SHARED_MIN + SHARED_SPAN - 1, &t[n])) {
			uint8_t was = __atomic_exchange_n(&r->user[l4_port(&t[n])],
							  (uint8_t)(r->w->pool.worker + 1),
							  __ATOMIC_ACQUIRE);

			if (was) /* no assert in a thread: it would jump out of it */
				return "an L4 port is two workers'";
			n++;
			r->taken++;
		} else {
			r->refused++;
		}
	}
	while (n) {
		__atomic_store_n(&r->user[l4_port(&t[n - 1])], 0, __ATOMIC_RELEASE);
		give(r->w, &t[--n]);
	}
	return NULL;
}

/* Workers in a range that is nearly always full: no L4 port is ever two's, and none is lost. */
static void test_at_once(void **state)
{
	enum { WORKERS = 3 };
	static uint8_t user[65536];
	struct racer r[WORKERS] = {{.w = open_workers(0, WORKERS), .user = user}};
	pthread_t thread[WORKERS];
	const char *failed = NULL;
	void *why;

	(void)state;
	for (uint16_t k = 0; k < WORKERS; k++) {
		if (k)
			r[k] = (struct racer){.w = open_beside(r[0].w, k, WORKERS), .user = user};
	}
	for (int k = 0; k < WORKERS; k++)
		assert_int_equal(pthread_create(&thread[k], NULL, race, &r[k]), 0);
	for (int k = 0; k < WORKERS; k++) {
		pthread_join(thread[k], &why);
		failed = why ? why : failed;
	}
	if (failed)
		fail_msg("%s", failed);
	assert_int_equal(owned_cnt(r[0].w), 0);
	for (uint16_t k = 0; k < WORKERS; k++) {
		assert_true(r[k].taken > 1000);
		assert_int_equal(claim_cnt(r[0].w, k), 0);
	}
	for (uint32_t i = 0; i < XE_OWNED_ENTRIES; i++)
		assert_int_equal(r[0].w->claims->busy[i], 0);
	for (uint32_t i = 0; i < XE_OWNED_ENTRIES / 64; i++)
		assert_int_equal(r[0].w->claims->full[i], 0);
	for (int k = WORKERS; k--;)
		close_world((void **)&r[k].w);
}

/* All words of the range but `spare` ones are another worker's. */
static void leave_words(struct world *w, uint16_t min, uint16_t max, uint32_t spare)
{
	for (uint32_t b = min >> 6; b <= (uint32_t)max >> 6; b++)
		w->claims->busy[xe_owned_idx(EXT, 0, (uint16_t)(b << 6))] =
			b < (min >> 6) + spare ? 0 : ~0ull;
}

/* A worker with few L4 ports, or none, of a large range: flows to new peers are no crowds, each of
 * which costs a look-up for every L4 port. */
static void test_few_cost_little(void **state)
{
	enum { MIN = 1024, MAX = 65535 };
	struct world *w = open_workers(0, 2);
	struct taker t;

	(void)state;
	leave_words(w, MIN, MAX, 0);
	assert_int_equal(take(w, flow(TCP, 1, 5000, 1), EXT, MIN, MAX, &t), -ENOSPC);
	assert_int_equal(w->pool.crowds->cnt, 0);
	leave_words(w, MIN, MAX, 1);
	for (uint32_t i = 0; i < 64; i++) /* the word is full */
		assert_int_equal(take(w, flow(TCP, i, 5000, 1), EXT, MIN, MAX, &t), 0);
	for (uint32_t i = 2; i < 100; i++) {
		assert_int_equal(take(w, flow(TCP, 1, 5000, i), EXT, MIN, MAX, &t), 0);
		assert_in_range(l4_port(&t), MIN, MIN + 63);
	}
	assert_int_equal(w->pool.crowds->cnt, 0);
	close_world((void **)&w);
}

/* What a mapping has is no entry of a crowd's bitmap: shared afterwards, it is the peer's to use.
 */
static void test_crowd_without_mappings(void **state)
{
	struct world *w = *state;
	struct taker mapped, a, b;

	w->other_mapping = true;
	assert_int_equal(take(w, flow(TCP, 1, 3000, 8), EXT, 3000, 3001, &mapped), 0);
	w->other_mapping = false;
	assert_int_equal(take(w, flow(TCP, 2, 3001, 8), EXT, 3000, 3001, &a), 0);
	assert_int_equal(take(w, flow(TCP, 3, 1, 8), EXT, 3000, 3001, &b), -ENOSPC);
	w->rests = true;
	give(w, &mapped);
	assert_int_equal(take(w, flow(TCP, 4, 3000, 7), EXT, 3000, 3001, &a), 0);
	assert_int_equal(take(w, flow(TCP, 3, 1, 8), EXT, 3000, 3001, &b), 0);
	assert_int_equal(l4_port(&b), 3000);
}

/* RFC 6056: what is handed out says nothing of what comes next, however much is in use; and the
 * keys being the same, not to the other worker either. */
static void test_not_sequential(void **state)
{
	enum { MIN = 20000, MAX = 29999, SPAN = MAX - MIN + 1 };
	struct world *w = open_workers(1, 2);
	struct taker *t = calloc(SPAN, sizeof(*t));
	uint32_t near = 0, n = 0;

	(void)state;
	while (n < SPAN * 99 / 100) {
		assert_int_equal(take(w, flow(UDP, n, 1, 1), EXT, MIN, MAX, &t[n]), 0);
		if (n && abs(l4_port(&t[n]) - l4_port(&t[n - 1])) <= 2)
			near++;
		n++;
	}
	assert_in_range(near, 0, SPAN / 50); /* by chance: 4 of 10^4 of all, more when it is full */
	near = 0;
	for (uint32_t i = 0; i < 2000; i++) { /* at 99 %: one ends, one begins */
		uint32_t k = (uint32_t)(lf_random() >> 40) % n;

		give(w, &t[k]);
		assert_int_equal(take(w, flow(UDP, SPAN + i, 1, 1), EXT, MIN, MAX, &t[k]), 0);
		near += k && abs(l4_port(&t[k]) - l4_port(&t[k - 1])) <= 2;
	}
	assert_in_range(near, 0, 40);
	while (n)
		give(w, &t[--n]);
	free(t);
	close_world((void **)&w);
}

/* With RSS known, replies come home, as far as L4 ports are there that do. */
static void test_replies_come_home(void **state)
{
	struct world *w = open_workers(1, 2);
	struct xe_rss *rss = calloc(1, sizeof(*rss));
	uint8_t key[XE_RSS_KEY_MIN];
	struct xe_nat_want want = {
		.ext = EXT,
		.port_min = 20000,
		.port_max = 29999,
		.independent = true,
		.rss = rss,
	};
	struct xe_tuple4 out, back;
	uint32_t mapping, home = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(key); i++)
		key[i] = (uint8_t)(lf_random() >> 40);
	xe_rss_set_key(rss, key);
	rss->indir_cnt = 128;
	for (uint32_t i = 0; i < rss->indir_cnt; i++)
		rss->worker[i] = (uint8_t)(i & 1);
	for (int aware = 0; aware < 2; aware++) {
		rss->by_l4_port[1] = aware;
		home = 0;
		for (uint32_t i = 0; i < 200; i++) {
			out = flow(UDP, 1000u * (uint32_t)aware + i, 1, i);
			assert_int_equal(xe_natpool_take(&w->pool, &out, &want, &back, &mapping),
					 0);
			home += xe_rss_worker(rss, &back) == 1;
		}
		if (aware)
			assert_int_equal(home, 200);
		else
			assert_in_range(home, 50, 150);
	}
	free(rss);
	close_world((void **)&w);
}

/* RFC 7857 section 3: a range of ten carries a hundred destinations' flows. */
static void test_tcp_is_shared(void **state)
{
	struct world *w = *state;
	struct taker t[1000], more;

	for (uint32_t i = 0; i < 1000; i++) {
		assert_int_equal(take(w, flow(TCP, i, 40000, i / 10), EXT, 3000, 3009, &t[i]), 0);
		assert_in_range(l4_port(&t[i]), 3000, 3009);
	}
	/* each destination has its ten: an eleventh has none, another destination has */
	assert_int_equal(take(w, flow(TCP, 2000, 40000, 5), EXT, 3000, 3009, &more), -ENOSPC);
	assert_int_equal(take(w, flow(TCP, 2000, 40000, 100), EXT, 3000, 3009, &more), 0);
	give(w, &more);
	/* an own L4 port is shared, too, and only with another destination */
	assert_int_equal(take(w, flow(TCP, 2000, 3004, 100), EXT, 3000, 3009, &more), 0);
	assert_int_equal(l4_port(&more), 3004);
	give(w, &more);
	for (uint32_t i = 0; i < 1000; i++) {
		assert_true(is_owned(w, EXT, 0, l4_port(&t[i])));
		give(w, &t[i]);
	}
	assert_int_equal(owned_cnt(w), 0);
}

/* As many sessions on one L4 port as there are destinations. */
static void test_one_l4_port_for_all(void **state)
{
	struct world *w = *state;
	struct taker *t = calloc(70000, sizeof(*t)), more;
	uint32_t n = 0;

	for (; n < 70000; n++)
		assert_int_equal(take(w, flow(TCP, 1, 3000, n), EXT, 3000, 3000, &t[n]), 0);
	assert_int_equal(take(w, flow(TCP, 2, 3000, 1), EXT, 3000, 3000, &more), -ENOSPC);
	while (n) {
		assert_true(is_owned(w, EXT, 0, 3000));
		give(w, &t[--n]);
	}
	assert_int_equal(owned_cnt(w), 0);
	free(t);
}

/* Shared L4 ports near the end: each flow to one peer that can have one gets it, the next is
 * refused, and what ends is found, though it is one of 2000. Other peers are not touched by it. */
static void test_shared_exactly(uint8_t proto)
{
	enum { MIN = 30010, SPAN = 2000 };
	struct world *w = open_workers(0, 1);
	struct taker *t = calloc(2 * SPAN, sizeof(*t)), more;
	bool *seen = calloc(65536, sizeof(*seen));

	w->other_mapping = proto == UDP;
	/* another peer has all of them before: from here on all is shared */
	for (uint32_t i = 0; i < SPAN; i++)
		assert_int_equal(
			take(w, flow(proto, i, 1, 7), EXT, MIN, MIN + SPAN - 1, &t[SPAN + i]), 0);
	for (uint32_t i = 0; i < SPAN; i++) {
		assert_int_equal(take(w, flow(proto, i, 1, 8), EXT, MIN, MIN + SPAN - 1, &t[i]), 0);
		assert_false(seen[l4_port(&t[i])]);
		seen[l4_port(&t[i])] = true;
	}
	for (uint32_t i = 0; i < 500; i++) {
		uint32_t k = (uint32_t)(lf_random() >> 40) % SPAN;
		uint16_t was = l4_port(&t[k]);

		assert_int_equal(take(w, flow(proto, 9999, 1, 8), EXT, MIN, MIN + SPAN - 1, &more),
				 -ENOSPC);
		give(w, &t[k]);
		assert_int_equal(
			take(w, flow(proto, 10000 + i, 1, 8), EXT, MIN, MIN + SPAN - 1, &t[k]), 0);
		assert_int_equal(l4_port(&t[k]), was);
		if (i % 100 == 50) /* what was looked up is forgotten, and is found anew */
			pass_time(w, 100);
	}
	assert_int_equal(take(w, flow(proto, 1, 1, 9), EXT, MIN, MIN + SPAN - 1, &more), 0);
	give(w, &more);
	for (uint32_t i = 0; i < 2 * SPAN; i++)
		give(w, &t[i]);
	assert_int_equal(owned_cnt(w), 0);
	free(seen);
	free(t);
	close_world((void **)&w);
}

static void test_shared_to_the_last(void **state)
{
	(void)state;
	test_shared_exactly(TCP);
	test_shared_exactly(UDP);
}

/* A session that the peer began by a rule which has gone since has a reply tuple, too: it is not
 * given to a container's flow to that very L4 port of the peer's. */
static void test_sessions_from_outside(void **state)
{
	enum { MIN = 30010, SPAN = 20, THEIRS = 7 };
	static const uint8_t protos[] = {TCP, UDP};
	struct world *w = *state;

	for (int p = 0; p < 2; p++) {
		struct xe_tuple4 in = flow(protos[p], 500, 80, 8), out, back;
		struct xe_session *theirs[THEIRS];
		struct taker t[2 * SPAN], more;
		uint32_t cnt = 0;

		for (uint32_t i = 0; i < THEIRS; i++) {
			out = in;
			out.sport_be = htons((uint16_t)(6000 + i));
			back = xe_tuple4_reverse(&out, XE_PORT_ANYUPLINK);
			back.dst_be = w->pool.ext[EXT].addr_be;
			back.dport_be = htons((uint16_t)(MIN + i));
			theirs[i] = xe_session_new(&w->sessions, &out, &back);
			assert_non_null(theirs[i]);
		}
		w->pool.elsewhere_cnt = THEIRS;
		/* the own L4 port, one without a user, and those that others have already */
		assert_int_equal(
			take(w, flow(protos[p], 1, MIN, 8), EXT, MIN, MIN + SPAN - 1, &t[0]), 0);
		assert_in_range(l4_port(&t[0]), MIN + THEIRS, MIN + SPAN - 1);
		if (protos[p] == TCP)
			for (; cnt < SPAN; cnt++)
				assert_int_equal(take(w, flow(TCP, 100 + cnt, 1, 9), EXT, MIN,
						      MIN + SPAN - 1, &t[SPAN + cnt]),
						 0);
		for (uint32_t i = 1; i < SPAN - THEIRS; i++) {
			assert_int_equal(take(w, flow(protos[p], 1 + i, 1, 8), EXT, MIN,
					      MIN + SPAN - 1, &t[i]),
					 0);
			assert_in_range(l4_port(&t[i]), MIN + THEIRS, MIN + SPAN - 1);
		}
		assert_int_equal(
			take(w, flow(protos[p], 99, 1, 8), EXT, MIN, MIN + SPAN - 1, &more),
			-ENOSPC);
		for (uint32_t i = 0; i < SPAN - THEIRS; i++)
			give(w, &t[i]);
		for (uint32_t i = 0; i < cnt; i++)
			give(w, &t[SPAN + i]);
		for (uint32_t i = 0; i < THEIRS; i++)
			xe_session_free(&w->sessions, theirs[i]);
		w->pool.elsewhere_cnt = 0;
		assert_int_equal(owned_cnt(w), 0);
	}
}

/* More crowded peers than there are bitmaps. */
static void test_many_crowds(void **state)
{
	enum { PEERS = 100, SPAN = 40 };
	struct world *w = *state;
	static struct taker t[PEERS][SPAN];
	struct taker more;

	for (uint32_t peer = 0; peer < PEERS; peer++) {
		for (uint32_t i = 0; i < SPAN; i++)
			assert_int_equal(take(w, flow(TCP, i, 1, peer), EXT, 4000, 4000 + SPAN - 1,
					      &t[peer][i]),
					 0);
		assert_int_equal(
			take(w, flow(TCP, 999, 1, peer), EXT, 4000, 4000 + SPAN - 1, &more),
			-ENOSPC);
	}
	for (uint32_t i = 0; i < 1000; i++) {
		uint32_t peer = (uint32_t)(lf_random() >> 40) % PEERS;
		uint32_t k = (uint32_t)(lf_random() >> 40) % SPAN;
		uint16_t was = l4_port(&t[peer][k]);

		give(w, &t[peer][k]);
		assert_int_equal(take(w, flow(TCP, 1000 + i, 1, peer), EXT, 4000, 4000 + SPAN - 1,
				      &t[peer][k]),
				 0);
		assert_int_equal(l4_port(&t[peer][k]), was);
	}
}

/* `mapping endpoint-independent` for TCP: one Ext L4 port for all destinations, nobody else on it,
 * and nothing that others share is made one of it. */
static void test_tcp_mapping(void **state)
{
	struct world *w = *state;
	struct taker shared[5], mapped[5], again[5], more;

	for (uint32_t i = 0; i < 5; i++)
		assert_int_equal(take(w, flow(TCP, i, 1, i), EXT, 3000, 3009, &shared[i]), 0);
	w->other_mapping = true;
	for (uint32_t i = 0; i < 5; i++) {
		assert_int_equal(take(w, flow(TCP, i, 2, 1), EXT, 3000, 3009, &mapped[i]), 0);
		assert_int_equal(take(w, flow(TCP, i, 2, 2), EXT, 3000, 3009, &again[i]), 0);
		assert_int_equal(l4_port(&mapped[i]), l4_port(&again[i]));
		for (uint32_t k = 0; k < 5; k++)
			assert_int_not_equal(l4_port(&mapped[i]), l4_port(&shared[k]));
	}
	assert_int_equal(take(w, flow(TCP, 9, 2, 1), EXT, 3000, 3009, &more), -ENOSPC);
	w->other_mapping = false;
	for (uint32_t i = 0; i < 5; i++) { /* five left to share, to a new peer */
		assert_int_equal(take(w, flow(TCP, i, 3, 50), EXT, 3000, 3009, &more), 0);
		for (uint32_t k = 0; k < 5; k++)
			assert_int_not_equal(l4_port(&mapped[k]), l4_port(&more));
	}
	assert_int_equal(take(w, flow(TCP, 9, 3, 50), EXT, 3000, 3009, &more), -ENOSPC);
	/* its own choice, too, may not be one of a mapping */
	assert_int_equal(take(w, flow(TCP, 9, l4_port(&mapped[0]), 50), EXT, 3000, 3009, &more),
			 -ENOSPC);
	/* TCP ends are seen: free at once */
	give(w, &mapped[0]);
	assert_true(is_owned(w, EXT, 0, l4_port(&again[0])));
	w->rests = true;
	give(w, &again[0]);
	assert_int_equal(take(w, flow(TCP, 9, 3, 50), EXT, 3000, 3009, &more), 0);
	assert_int_equal(l4_port(&more), l4_port(&mapped[0]));
}

/* RFC 6888 REQ-8: 120 s until another source has it; its own has it at once. */
static void test_udp_rests(void **state)
{
	enum { MIN = 7000, SPAN = 10 };
	struct world *w = *state;
	struct taker t[SPAN + 1], more;
	uint16_t was;

	w->rests = true;
	for (uint32_t i = 0; i < SPAN; i++)
		assert_int_equal(take(w, flow(UDP, i, 1, 1), EXT, MIN, MIN + SPAN - 1, &t[i]), 0);
	was = l4_port(&t[3]);
	give(w, &t[3]);
	assert_false(is_owned(w, EXT, 1, was)); /* nothing is delivered by it */
	assert_int_equal(w->pool.mapping_cnt, SPAN - 1);
	assert_int_equal(w->pool.rest_cnt, 1);
	pass_time(w, 119);
	assert_int_equal(take(w, flow(UDP, 99, 1, 1), EXT, MIN, MIN + SPAN - 1, &more), -ENOSPC);
	assert_int_equal(take(w, flow(UDP, 99, was, 1), EXT, MIN, MIN + SPAN - 1, &more), -ENOSPC);
	/* the same inside endpoint: the same mapping; then another L4 port of the same source */
	assert_int_equal(take(w, flow(UDP, 3, 1, 2), EXT, MIN, MIN + SPAN - 1, &t[3]), 0);
	assert_int_equal(l4_port(&t[3]), was);
	assert_true(is_owned(w, EXT, 1, was));
	give(w, &t[3]);
	assert_int_equal(take(w, flow(UDP, 3, 2, 2), EXT, MIN, MIN + SPAN - 1, &t[3]), 0);
	assert_int_equal(l4_port(&t[3]), was);
	assert_int_equal(w->pool.rest_cnt, 0);
	give(w, &t[3]);
	/* whose own it is in number, too */
	assert_int_equal(take(w, flow(UDP, 3, was, 2), EXT, MIN, MIN + SPAN - 1, &t[3]), 0);
	assert_int_equal(l4_port(&t[3]), was);
	give(w, &t[3]);
	pass_time(w, 119);
	assert_int_equal(take(w, flow(UDP, 99, 1, 1), EXT, MIN, MIN + SPAN - 1, &more), -ENOSPC);
	pass_time(w, 1);
	assert_int_equal(take(w, flow(UDP, 99, 1, 1), EXT, MIN, MIN + SPAN - 1, &more), 0);
	assert_int_equal(l4_port(&more), was);
	/* all at rest: the block is the worker's until the last one is over */
	give(w, &more);
	t[3] = t[SPAN - 1];
	for (uint32_t i = 0; i < SPAN - 1; i++)
		give(w, &t[i]);
	assert_int_equal(owned_cnt(w), 0);
	assert_int_equal(w->pool.rest_cnt, SPAN);
	assert_int_equal(xe_natpool_owner(&w->pool, v4("192.0.2.1"), true, MIN), 0);
	pass_time(w, 120);
	assert_int_equal(w->pool.rest_cnt, 0);
	assert_int_equal(xe_natpool_owner(&w->pool, v4("192.0.2.1"), true, MIN), XE_NO_WORKER);
}

/* A container that has the address and the port id of one that went is not its own source. But who
 * comes with a record of the very L4 port has it at once. */
static void test_rest_and_port_gone(void **state)
{
	struct world *w = *state;
	struct xe_tuple4 out = flow(UDP, 3, 7000, 1);
	struct xe_nat_had had = {.ext = EXT, .mapped = true, .filter = XE_FILTER_ADDRESS_PORT};
	struct taker t, more;
	uint32_t mapping;
	uint16_t was;

	w->rests = true;
	assert_int_equal(take(w, out, EXT, 7000, 7001, &t), 0);
	was = l4_port(&t);
	give(w, &t);
	xe_natpool_port_gone(&w->pool, out.port);
	assert_int_equal(take(w, out, EXT, 7000, 7001, &more), 0);
	assert_int_not_equal(l4_port(&more), was);
	assert_int_equal(w->pool.rest_cnt, 1);
	/* nor is there a second one while that is in use */
	out.sport_be = htons(9);
	assert_int_equal(take(w, out, EXT, 7000, 7001, &t), -ENOSPC);
	t.back = more.back;
	t.back.dport_be = htons(was);
	assert_int_equal(xe_natpool_take_back(&w->pool, &out, &t.back, &had, &mapping), 0);
	assert_int_equal(w->pool.rest_cnt, 0);
	assert_true(is_owned(w, EXT, 1, was));
	xe_natpool_give(&w->pool, &t.back, EXT, mapping, true);
	give(w, &more);
}

/* The reply tuple of an endpoint whose mapping rests is another session's: the mapping rests on,
 * and the refusal is noted. */
static void test_rest_and_taken_tuple(void **state)
{
	struct xe_tuple4 other_out = flow(UDP, 9, 9, 9), other_back;
	struct world *w = *state;
	struct xe_session *other;
	struct taker t;

	w->rests = true;
	assert_int_equal(take(w, flow(UDP, 1, 7005, 1), EXT, 7000, 7009, &t), 0);
	other_back = t.back;
	other_back.src_be = flow(UDP, 1, 7005, 2).dst_be;
	give(w, &t);
	other = xe_session_new(&w->sessions, &other_out, &other_back);
	assert_non_null(other);
	for (int i = 0; i < 2; i++)
		assert_int_equal(take(w, flow(UDP, 1, 7005, 2), EXT, 7000, 7009, &t), -EADDRINUSE);
	assert_int_equal(w->pool.rest_cnt, 1);
	assert_int_equal(w->pool.mapping_cnt, 0);
	assert_false(is_owned(w, EXT, 1, 7005));
	assert_int_equal(w->pool.refused.ext, EXT);
	assert_int_equal(w->pool.refused.port_max, 7009);
	xe_session_free(&w->sessions, other);
	assert_int_equal(take(w, flow(UDP, 1, 7005, 2), EXT, 7000, 7009, &t), 0);
	assert_int_equal(l4_port(&t), 7005);
	assert_int_equal(w->pool.rest_cnt, 0);
	give(w, &t);
	pass_time(w, 120);
	assert_int_equal(w->pool.rest_cnt, 0);
	assert_int_equal(xe_natpool_owner(&w->pool, v4("192.0.2.1"), true, 7005), XE_NO_WORKER);
}

/* With all slots of mappings used by those that rest the oldest gives way, and nothing else. */
static void test_rest_is_bounded(void **state)
{
	struct world *w = *state;
	struct taker t;

	w->rests = true;
	w->pool.mapping_capacity = 500;
	for (uint32_t i = 0; i < 5000; i++) {
		assert_int_equal(take(w, flow(UDP, i, 1, 1), EXT, 10000, 19999, &t), 0);
		give(w, &t);
		assert_true(w->pool.rest_cnt <= 500);
	}
	pass_time(w, 120);
	assert_int_equal(w->pool.rest_cnt, 0);
}

/* A resting L4 port that the host has begun to listen on, or that a changed rule has no more, is
 * not given to its old owner either. */
static void test_rest_and_change(void **state)
{
	struct world *w = *state;
	struct taker t;

	w->rests = true;
	assert_int_equal(take(w, flow(UDP, 1, 7005, 1), EXT, 7000, 7009, &t), 0);
	give(w, &t);
	set_taken(w, 1, 7005);
	assert_int_equal(take(w, flow(UDP, 1, 7005, 1), EXT, 7000, 7009, &t), 0);
	assert_int_not_equal(l4_port(&t), 7005);
	give(w, &t);
	assert_int_equal(take(w, flow(UDP, 1, 7005, 1), EXT, 8000, 8009, &t), 0);
	assert_in_range(l4_port(&t), 8000, 8009);
}

/* RFC 4787 REQ-3: well-known L4 ports for well-known ones, where the range has them; the other side
 * only when there is no other. */
static void test_sides_of_1024(void **state)
{
	struct world *w = *state;
	struct taker t[20];

	for (uint32_t i = 0; i < 10; i++)
		assert_int_equal(take(w, flow(UDP, i, 53, 1), EXT, 1014, 1033, &t[i]), 0);
	for (uint32_t i = 10; i < 20; i++)
		assert_int_equal(take(w, flow(UDP, i, 5353, 1), EXT, 1014, 1033, &t[i]), 0);
	for (uint32_t i = 0; i < 20; i++)
		assert_int_equal(l4_port(&t[i]) < 1024, i < 10);
	give(w, &t[0]);
	assert_int_equal(take(w, flow(UDP, 30, 5353, 1), EXT, 1014, 1033, &t[0]), 0);
}

/* RFC 6056: neither the next one, nor near the last, nor the same in another pool; spread evenly.
 */
static void test_not_to_be_guessed(void **state)
{
	struct world *w = *state, *other = open_workers(0, 1);
	uint32_t near = 0, same = 0, per_1k[30] = {};
	uint16_t last = 0;
	struct taker t;

	for (uint32_t i = 0; i < 3000; i++) {
		assert_int_equal(take(w, flow(UDP, i, 40000, 1), EXT, 1024, 31743, &t), 0);
		near += abs((int)l4_port(&t) - last) < 64;
		last = l4_port(&t);
		per_1k[(last - 1024) >> 10]++;
		assert_int_equal(take(other, flow(UDP, i, 40000, 1), EXT, 1024, 31743, &t), 0);
		same += l4_port(&t) == last;
	}
	assert_in_range(near, 0, 40); /* 12 expected */
	assert_in_range(same, 0, 4);
	for (int i = 0; i < 30; i++)
		assert_in_range(per_1k[i], 60, 140); /* 100 expected */
	close_world((void **)&other);
}

/* 99 % in use: the free ones are found, at once and all. */
static void test_nearly_full(void **state)
{
	struct world *w = *state;
	struct taker *t = calloc(10000, sizeof(*t));

	for (uint32_t i = 0; i < 9900; i++)
		assert_int_equal(take(w, flow(UDP, i, 1, 1), EXT, 10000, 19999, &t[i]), 0);
	for (uint32_t round = 0; round < 2000; round++) {
		for (uint32_t i = 9900; i < 9950; i++)
			assert_int_equal(
				take(w, flow(UDP, i + round * 50, 1, 1), EXT, 10000, 19999, &t[i]),
				0);
		for (uint32_t i = 9900; i < 9950; i++)
			give(w, &t[i]);
	}
	free(t);
}

/* Random takes and gives against lists of who has what. */
static void test_random_operations(void **state)
{
	static struct taker t[2000];
	static bool used[2000];
	struct world *w = *state;
	struct xe_tuple4 out;
	uint32_t refused = 0;

	for (int i = 0; i < 100000; i++) {
		uint32_t n = (uint32_t)(lf_random() >> 40) % 2000;

		if (used[n]) {
			assert_true(is_owned(w, EXT, n & 1, l4_port(&t[n])));
			give(w, &t[n]);
			used[n] = false;
			continue;
		}
		/* 100 inside endpoints, 10 destinations each; 80 L4 ports */
		out = flow(n & 1 ? UDP : TCP, n / 2 / 100, (uint16_t)(4990 + n / 2 % 100), n / 200);
		used[n] = !take(w, out, EXT, 5000, 5079, &t[n]);
		refused += !used[n];
	}
	assert_true(refused > 0);
	for (uint32_t p = 5000; p < 5080; p++) {
		uint32_t cnt[2] = {}, source = 0;

		for (uint32_t n = 0; n < 2000; n++) {
			if (!used[n] || l4_port(&t[n]) != p)
				continue;
			cnt[n & 1]++;
			if (!(n & 1))
				continue;
			assert_true(!source ||
				    source == t[n].s->key[0].src_be + t[n].s->key[0].sport_be);
			source = t[n].s->key[0].src_be + t[n].s->key[0].sport_be;
		}
		assert_int_equal(is_owned(w, EXT, 0, (uint16_t)p), cnt[0] != 0);
		assert_int_equal(is_owned(w, EXT, 1, (uint16_t)p), cnt[1] != 0);
	}
	for (uint32_t n = 0; n < 2000; n++)
		if (used[n])
			give(w, &t[n]);
	assert_int_equal(owned_cnt(w), 0);
	assert_int_equal(w->pool.mapping_cnt, 0);
}

#define POOL_TEST(name) cmocka_unit_test_setup_teardown(name, open_world, close_world)

int main(void)
{
	const struct CMUnitTest tests[] = {
		POOL_TEST(test_kept_where_it_can_be),
		POOL_TEST(test_taken_is_respected),
		POOL_TEST(test_udp_mapping),
		POOL_TEST(test_ext_addresses_are_apart),
		cmocka_unit_test(test_exhaustion),
		cmocka_unit_test(test_one_worker_uses_all),
		cmocka_unit_test(test_workers_share),
		cmocka_unit_test(test_light_and_full),
		cmocka_unit_test(test_part_of_any_range),
		cmocka_unit_test(test_at_once),
		cmocka_unit_test(test_part_only),
		cmocka_unit_test(test_few_cost_little),
		POOL_TEST(test_crowd_without_mappings),
		cmocka_unit_test(test_not_sequential),
		cmocka_unit_test(test_replies_come_home),
		POOL_TEST(test_tcp_is_shared),
		POOL_TEST(test_one_l4_port_for_all),
		cmocka_unit_test(test_shared_to_the_last),
		POOL_TEST(test_sessions_from_outside),
		POOL_TEST(test_many_crowds),
		POOL_TEST(test_tcp_mapping),
		POOL_TEST(test_udp_rests),
		POOL_TEST(test_rest_and_port_gone),
		POOL_TEST(test_rest_is_bounded),
		POOL_TEST(test_rest_and_change),
		POOL_TEST(test_rest_and_taken_tuple),
		POOL_TEST(test_sides_of_1024),
		POOL_TEST(test_not_to_be_guessed),
		POOL_TEST(test_nearly_full),
		POOL_TEST(test_random_operations),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
