// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * bench_natpool.c - what an Ext L4 port costs, by how much of the range is in use.
 *
 *   bench_natpool [ROUNDS]
 *
 * For each part of a range in use: one flow ends at random, another begins, and only the choice for
 * the new one is timed. Cases: UDP mappings, TCP flows with room, TCP flows that all go to one peer
 * in a range where every L4 port is shared already, and the answer that there is none.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "state/natpool.h"

#define MIN  1024
#define MAX  32767
#define SPAN (MAX - MIN + 1)
#define EXT  0

static struct xe_sessions sessions;
static struct xe_natpool pool;
static struct xe_taken taken;
static uint64_t owned[XE_OWNED_ENTRIES];
static struct xe_claims claims;

static struct flow {
	struct xe_session *s;
	struct xe_tuple4 back;
	uint32_t mapping;
} flows[2 * SPAN];

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

static uint64_t rnd(void)
{
	static uint64_t x = 88172645463325252ull; /* xorshift64 */

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	return x;
}

/* ns of the choice, or -errno. */
static int64_t begin(struct flow *f, uint8_t proto, uint32_t src, uint32_t peer)
{
	struct xe_nat_want want = {
		.ext = EXT,
		.port_min = MIN,
		.port_max = MAX,
		.independent = proto == IPPROTO_UDP,
	};
	struct xe_tuple4 out = {
		.src_be = htonl(0x0a000000 + src),
		.dst_be = htonl(0xc6336400 + peer),
		.sport_be = htons(50000),
		.dport_be = htons(443),
		.port = 1,
		.proto = proto,
	};
	uint64_t start = now_ns();
	int err = xe_natpool_take(&pool, &out, &want, &f->back, &f->mapping);

	if (err)
		return err;
	start = now_ns() - start;
	f->s = xe_session_new(&sessions, &out, &f->back);
	if (!f->s)
		exit(1);
	return (int64_t)start;
}

static void end(struct flow *f)
{
	xe_natpool_give(&pool, &f->back, EXT, f->mapping, true);
	xe_session_free(&sessions, f->s);
	if (f->mapping != XE_NIL)
		xe_natpool_tick(&pool, pool.now_s + XE_NAT_REST_S, UINT32_MAX);
}

/* `shared`: another peer has all of the range; the flows here go to one peer. */
static void measure(const char *name, uint8_t proto, bool shared, double used, uint32_t rounds)
{
	uint32_t n = (uint32_t)(used * SPAN), src = 0;
	int64_t sum = 0, worst = 0;

	for (uint32_t i = 0; shared && i < SPAN; i++)
		begin(&flows[SPAN + i], proto, src++, 2);
	for (uint32_t i = 0; i < n; i++)
		begin(&flows[i], proto, src++, 1);
	for (uint32_t i = 0; i < rounds; i++) {
		struct flow *f = &flows[rnd() % n];
		int64_t ns;

		end(f);
		ns = begin(f, proto, src++, 1);
		if (ns < 0) {
			printf("%s: refused with room left\n", name);
			exit(1);
		}
		sum += ns;
		if (ns > worst)
			worst = ns;
	}
	printf("%-28s %6.1f %% in use: %6.0f ns a flow, worst %7.0f ns\n", name, used * 100,
	       (double)sum / rounds, (double)worst);
	for (uint32_t i = 0; i < n; i++)
		end(&flows[i]);
	for (uint32_t i = 0; shared && i < SPAN; i++)
		end(&flows[SPAN + i]);
}

static void measure_none(const char *name, uint8_t proto, bool shared, uint32_t rounds)
{
	uint32_t src = 0;
	uint64_t start;

	for (uint32_t i = 0; shared && i < SPAN; i++)
		begin(&flows[SPAN + i], proto, src++, 2);
	for (uint32_t i = 0; i < SPAN; i++)
		begin(&flows[i], proto, src++, 1);
	start = now_ns();
	for (uint32_t i = 0; i < rounds; i++) {
		struct flow f;

		if (begin(&f, proto, src++, 1) != -ENOSPC)
			exit(1);
	}
	printf("%-28s %6.1f %% in use: %6.0f ns to be refused\n", name, 100.0,
	       (double)(now_ns() - start) / rounds);
	for (uint32_t i = 0; i < SPAN; i++)
		end(&flows[i]);
	for (uint32_t i = 0; shared && i < SPAN; i++)
		end(&flows[SPAN + i]);
}

int main(int argc, char **argv)
{
	static const double used[] = {0.01, 0.5, 0.99, 0.999};
	struct xe_addr ext = xe_addr_v4(htonl(0xc0000201));
	uint32_t rounds = argc > 1 ? (uint32_t)atoi(argv[1]) : 50000;

	if (!rounds || xe_sessions_open(&sessions, 4 * SPAN, rnd(), rnd()) ||
	    xe_natpool_open(&pool, &sessions, owned, &claims, &taken, 0, 1, rnd(), rnd()) ||
	    xe_natpool_add_ext(&pool, EXT, &ext)) {
		fprintf(stderr, "usage: bench_natpool [ROUNDS]\n");
		return 2;
	}
	for (int i = 0; i < 4; i++)
		measure("UDP mapping", IPPROTO_UDP, false, used[i], rounds);
	measure_none("UDP mapping", IPPROTO_UDP, false, rounds);
	for (int i = 0; i < 4; i++)
		measure("TCP, L4 ports free", IPPROTO_TCP, false, used[i], rounds);
	for (int i = 0; i < 4; i++)
		measure("TCP to one peer, all shared", IPPROTO_TCP, true, used[i], rounds);
	measure_none("TCP to one peer, all shared", IPPROTO_TCP, true, rounds);
	xe_natpool_close(&pool);
	xe_sessions_close(&sessions);
	return 0;
}
