/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_flow_in.c - flows from outside, and between containers by external addresses: through the
 * whole pipeline in memory (lane_fixture.h), packet by packet, to the byte.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "flow_fixture.h"

static const char *const rules[] = {
	"dnat tcp to 192.0.2.1:8080 dest 10.1.0.2:80",
	"dnat udp to 192.0.2.1:7000-7009 in eth0 dest 10.2.0.3:9000-9009",
	"dnat udp to 192.0.2.2:7100 dest 10.9.9.9:7100",
	"nat from 10.2.0.16/28 source 192.0.2.128/28",
	"accept udp to 10.1.0.9:53 in eth1",
	"snat to 198.51.100.200 source 192.0.2.12",
	"masquerade udp to 198.51.100.0/24:1000 filter endpoint-independent",
	"masquerade udp to 198.51.100.0/24:2000 filter address-dependent",
	"masquerade",
	NULL,
};

static int setup(void **state)
{
	*state = lf_open(rules, 1024);
	return 0;
}

static void test_dnat_udp(void **state)
{
	struct lf *f = *state;
	struct xe_session *s;

	ff_passes(f, LF_UPLINK, ff_udp("198.51.100.9", 500, "192.0.2.1", 7003), LF_INSIDE2,
		  ff_udp("198.51.100.9", 500, "10.2.0.3", 9003));
	s = &f->lane->sessions.slots[0];
	assert_true(s->flags & XE_SF_FROM_OUTSIDE);
	assert_int_equal(s->key[XE_DIR_OUT].src_be, inet_addr("10.2.0.3"));
	assert_int_equal(s->key[XE_DIR_OUT].port, LF_INSIDE2);
	assert_int_equal(s->key[XE_DIR_BACK].port, XE_PORT_ANYUPLINK);
	ff_passes(f, LF_INSIDE2, ff_udp("10.2.0.3", 9003, "198.51.100.9", 500), LF_UPLINK,
		  ff_udp("192.0.2.1", 7003, "198.51.100.9", 500));
	/* by another uplink the same flow; a new one is not for it (`in eth0`) */
	ff_passes(f, LF_UPLINK2, ff_udp("198.51.100.9", 500, "192.0.2.1", 7003), LF_INSIDE2,
		  ff_udp("198.51.100.9", 500, "10.2.0.3", 9003));
	ff_ends(f, LF_UPLINK2, ff_udp("198.51.100.9", 501, "192.0.2.1", 7003), XE_R_NO_SESSION);
	ff_ends(f, LF_UPLINK, ff_udp("198.51.100.9", 500, "192.0.2.1", 7010), XE_R_NO_SESSION);
	/* what comes in keeps it alive: its opener is outside */
	ff_advance(f, 200);
	ff_passes(f, LF_UPLINK, ff_udp("198.51.100.9", 500, "192.0.2.1", 7003), LF_INSIDE2,
		  ff_udp("198.51.100.9", 500, "10.2.0.3", 9003));
	ff_advance(f, 200);
	assert_int_equal(f->lane->sessions.cnt, 1);
	ff_expect_empty(f);
}

static void test_dnat_tcp(void **state)
{
	struct lf_spec in = ff_udp("198.51.100.9", 500, "192.0.2.1", 8080), to = in;
	struct lf *f = *state;

	in.proto = to.proto = IPPROTO_TCP;
	in.win = to.win = 1000;
	in.payload_len = to.payload_len = 0;
	in.tcp_flags = FF_ACK;
	ff_ends(f, LF_UPLINK, in, XE_R_NO_SESSION);
	in.tcp_flags = FF_SYN | FF_ACK;
	ff_ends(f, LF_UPLINK, in, XE_R_NO_SESSION);
	in.tcp_flags = to.tcp_flags = FF_SYN;
	to.dst = "10.1.0.2";
	to.dport = 80;
	ff_passes(f, LF_UPLINK, in, LF_INSIDE, to);
	assert_int_equal(f->lane->sessions.slots[0].tcp_state, XE_TCP_SYN_SENT);
	in = ff_udp("10.1.0.2", 80, "198.51.100.9", 500);
	in.proto = IPPROTO_TCP;
	in.win = 1000;
	in.payload_len = 0;
	in.tcp_flags = FF_SYN | FF_ACK;
	in.ack = 1;
	to = in;
	to.src = "192.0.2.1";
	to.sport = 8080;
	ff_passes(f, LF_INSIDE, in, LF_UPLINK, to);
	assert_int_equal(f->lane->sessions.slots[0].tcp_state, XE_TCP_SYN_BACK);
	ff_expect_empty(f);
}

/* No such host: the route is an uplink's. Nothing is made, nothing stays. */
static void test_no_target(void **state)
{
	struct lf *f = *state;

	ff_ends(f, LF_UPLINK, ff_udp("198.51.100.9", 1, "192.0.2.2", 7100), XE_R_TARGET_GONE);
	ff_expect_empty(f);
}

static void test_one_to_one(void **state)
{
	struct lf *f = *state;

	ff_passes(f, LF_INSIDE2, ff_udp("10.2.0.19", 777, "198.51.100.9", 53), LF_UPLINK,
		  ff_udp("192.0.2.131", 777, "198.51.100.9", 53));
	ff_passes(f, LF_UPLINK, ff_udp("198.51.100.9", 53, "192.0.2.131", 777), LF_INSIDE2,
		  ff_udp("198.51.100.9", 53, "10.2.0.19", 777));
	ff_passes(f, LF_UPLINK2, ff_udp("198.51.100.8", 5, "192.0.2.130", 80), LF_INSIDE2,
		  ff_udp("198.51.100.8", 5, "10.2.0.18", 80));
	ff_passes(f, LF_INSIDE2, ff_udp("10.2.0.18", 80, "198.51.100.8", 5), LF_UPLINK,
		  ff_udp("192.0.2.130", 80, "198.51.100.8", 5));
	ff_expect_empty(f);
}

static void test_accept_in(void **state)
{
	struct lf *f = *state;

	ff_passes(f, LF_UPLINK2, ff_udp("203.0.113.5", 5, "10.1.0.9", 53), LF_INSIDE,
		  ff_udp("203.0.113.5", 5, "10.1.0.9", 53));
	ff_passes(f, LF_INSIDE, ff_udp("10.1.0.9", 53, "203.0.113.5", 5), LF_UPLINK2,
		  ff_udp("10.1.0.9", 53, "203.0.113.5", 5));
	ff_ends(f, LF_UPLINK, ff_udp("203.0.113.5", 6, "10.1.0.9", 53), XE_R_NO_SESSION);
	ff_expect_empty(f);
}

/* RFC 4787 section 5: whom a mapping lets in. */
static void test_filters(void **state)
{
	struct lf *f = *state;
	uint16_t port[3];
	static const uint16_t dport[3] = {1000, 2000, 3000};

	for (int i = 0; i < 3; i++) {
		struct lf_spec s =
			ff_udp("10.1.0.2", (uint16_t)(5000 + i), "198.51.100.9", dport[i]);

		port[i] = lf_sport(lf_pass(f, LF_INSIDE, &s));
	}
	/* another L4 port of the one spoken to */
	ff_passes(f, LF_UPLINK, ff_udp("198.51.100.9", 1, "192.0.2.1", port[0]), LF_INSIDE,
		  ff_udp("198.51.100.9", 1, "10.1.0.2", 5000));
	ff_passes(f, LF_UPLINK, ff_udp("198.51.100.9", 1, "192.0.2.1", port[1]), LF_INSIDE,
		  ff_udp("198.51.100.9", 1, "10.1.0.2", 5001));
	ff_ends(f, LF_UPLINK, ff_udp("198.51.100.9", 1, "192.0.2.1", port[2]), XE_R_NO_SESSION);
	/* another address */
	ff_passes(f, LF_UPLINK, ff_udp("198.51.100.8", 1000, "192.0.2.1", port[0]), LF_INSIDE,
		  ff_udp("198.51.100.8", 1000, "10.1.0.2", 5000));
	ff_ends(f, LF_UPLINK, ff_udp("198.51.100.8", 2000, "192.0.2.1", port[1]), XE_R_NO_SESSION);
	ff_ends(f, LF_UPLINK, ff_udp("198.51.100.8", 3000, "192.0.2.1", port[2]), XE_R_NO_SESSION);
	/* the answer leaves by the mapping, and then its peer is spoken to */
	ff_passes(f, LF_INSIDE, ff_udp("10.1.0.2", 5000, "198.51.100.8", 1000), LF_UPLINK,
		  ff_udp("192.0.2.1", port[0], "198.51.100.8", 1000));
	ff_expect_empty(f);
}

/* Beside a container's flow the host may have one on the same L4 port: what is of no session goes
 * to the kernel then, and to nobody else. */
static void test_host_beside(void **state)
{
	struct lf_spec out = ff_udp("10.1.0.2", 5002, "198.51.100.9", 3000), tcp;
	struct lf *f = *state;
	uint16_t port = lf_sport(lf_pass(f, LF_INSIDE, &out));
	struct lf_spec in = ff_udp("198.51.100.8", 3000, "192.0.2.1", port);

	ff_ends(f, LF_UPLINK, in, XE_R_NO_SESSION);
	/* a socket there */
	f->taken.bits[1][port >> 6] = 1ull << (port & 63);
	ff_ends(f, LF_UPLINK, in, XE_R_P_HOST_FLOW);
	lf_expect_punted(f, &in);
	/* of the container's flow all the same */
	ff_passes(f, LF_UPLINK, ff_udp("198.51.100.9", 3000, "192.0.2.1", port), LF_INSIDE,
		  ff_udp("198.51.100.9", 3000, "10.1.0.2", 5002));
	/* of the other protocol there is none */
	tcp = in;
	tcp.proto = IPPROTO_TCP;
	tcp.payload_len = 0;
	tcp.tcp_flags = FF_SYN | FF_ACK;
	ff_ends(f, LF_UPLINK, tcp, XE_R_NO_SESSION);
	/* the kernel may choose it */
	f->taken.bits[1][port >> 6] = 0;
	f->taken.local = (uint32_t)(port + 1) << 16 | 65535;
	ff_ends(f, LF_UPLINK, in, XE_R_NO_SESSION);
	f->taken.local = (uint32_t)port << 16 | port;
	ff_ends(f, LF_UPLINK, tcp, XE_R_P_HOST_FLOW);
	lf_expect_punted(f, &tcp);
	f->taken.local = 1u << 16 | (port - 1u);
	ff_ends(f, LF_UPLINK, in, XE_R_NO_SESSION);
	ff_expect_empty(f);
}

/* An answer is the host's use of its mapping once, however often it is tried before it passes. */
static void test_answer_counts_once(void **state)
{
	struct lf *f = *state;
	struct lf_spec out = ff_udp("10.1.0.2", 5001, "198.51.100.9", 2000);
	uint16_t port = lf_sport(lf_pass(f, LF_INSIDE, &out));
	const struct xe_mapping *m = &f->lane->pool.mappings[f->lane->sessions.slots[0].mapping];

	ff_passes(f, LF_UPLINK, ff_udp("198.51.100.9", 1, "192.0.2.1", port), LF_INSIDE,
		  ff_udp("198.51.100.9", 1, "10.1.0.2", 5001));
	assert_int_equal(m->refs, 2);
	assert_int_equal(m->used, 1);
	out.dport = 1;
	for (int i = 0; i < 3; i++) { /* the kernel's */
		out.ttl = 1;
		assert_null(lf_pass(f, LF_INSIDE, &out));
		assert_int_equal(m->used, 1);
	}
	for (int i = 0; i < 2; i++) {
		ff_passes(f, LF_INSIDE, ff_udp("10.1.0.2", 5001, "198.51.100.9", 1), LF_UPLINK,
			  ff_udp("192.0.2.1", port, "198.51.100.9", 1));
		assert_int_equal(m->used, 2);
	}
	assert_int_equal(ff_permit_cnt(f), 1);
	ff_expect_empty(f);
}

/* Who sends in does not keep the mapping open, however many of them take turns. */
static void test_outside_does_not_keep_open(void **state)
{
	struct lf *f = *state;
	struct lf_spec out = ff_udp("10.1.0.2", 5000, "198.51.100.9", 1000);
	uint16_t port = lf_sport(lf_pass(f, LF_INSIDE, &out));

	for (uint16_t i = 0; i < 3; i++) {
		ff_passes(f, LF_UPLINK, ff_udp("198.51.100.8", 100 + i, "192.0.2.1", port),
			  LF_INSIDE, ff_udp("198.51.100.8", 100 + i, "10.1.0.2", 5000));
		ff_advance(f, 99);
	}
	ff_advance(f, 10); /* the inside has been silent for 307 s */
	ff_ends(f, LF_UPLINK, ff_udp("198.51.100.8", 200, "192.0.2.1", port), XE_R_NO_SESSION);
	/* those that were let in live on for their time, and the mapping with them */
	assert_int_equal(f->lane->pool.mapping_cnt, 1);
	ff_expect_empty(f);
}

/* RFC 4787 REQ-9, both ends by mappings. */
static void test_hairpin(void **state)
{
	struct lf *f = *state;
	struct lf_spec one = ff_udp("10.1.0.2", 5000, "198.51.100.9", 9),
		       two = ff_udp("10.2.0.3", 6000, "198.51.100.9", 9);
	uint16_t ext1 = lf_sport(lf_pass(f, LF_INSIDE, &one));
	uint16_t ext2 = lf_sport(lf_pass(f, LF_INSIDE2, &two));

	ff_passes(f, LF_INSIDE, ff_udp("10.1.0.2", 5000, "192.0.2.1", ext2), LF_INSIDE2,
		  ff_udp("192.0.2.1", ext1, "10.2.0.3", 6000));
	ff_passes(f, LF_INSIDE2, ff_udp("10.2.0.3", 6000, "192.0.2.1", ext1), LF_INSIDE,
		  ff_udp("192.0.2.1", ext2, "10.1.0.2", 5000));
	ff_passes(f, LF_INSIDE, ff_udp("10.1.0.2", 5000, "192.0.2.1", ext2), LF_INSIDE2,
		  ff_udp("192.0.2.1", ext1, "10.2.0.3", 6000));
	assert_int_equal(f->lane->sessions.cnt, 4);
	/* to oneself */
	ff_passes(f, LF_INSIDE, ff_udp("10.1.0.2", 5001, "192.0.2.1", ext1), LF_INSIDE,
		  ff_udp("192.0.2.1", 5001, "10.1.0.2", 5000));
	ff_expect_empty(f);
}

/* By an address that no host on the uplink has (a dnat rule's, that is routed here): nobody waits
 * for a neighbour that the packet is not sent to. */
static void test_hairpin_needs_no_neighbour(void **state)
{
	struct lf *f = *state;
	struct lf_spec in = ff_udp("10.2.0.3", 6000, "192.0.2.129", 99);
	struct xe_addr inside = xe_addr_v4(inet_addr("10.2.0.17")), anybody = {};
	uint32_t toward = xe_nexthop_get_addr(&f->lane->nexthops, &inside, &anybody, XE_PORT_NONE);

	xe_nexthop_ref(&f->lane->nexthops, toward);
	lf_answer(f); /* its target is known */
	f->nexthop_state = XE_NH_RESOLVING;
	ff_passes(f, LF_INSIDE2, in, LF_INSIDE2, ff_udp("192.0.2.1", 6000, "10.2.0.17", 99));
	xe_nexthop_unref(&f->lane->nexthops, toward);
	f->nexthop_state = XE_NH_READY;
	ff_expect_empty(f);
}

/* Nobody outside has these: what none has, LAND, inside hosts', the host's own, Ext addresses. */
static void test_forged_sources(void **state)
{
	static const char *const forged[] = {"127.0.0.1", "0.0.0.0",   "169.254.1.1", "224.0.0.1",
					     "10.1.0.2",  "10.1.0.3",  "10.2.0.9",    "10.1.0.1",
					     "192.0.2.1", "192.0.2.2", "192.0.2.12"};
	struct lf_spec out = ff_udp("10.1.0.2", 5000, "198.51.100.9", 1000);
	struct lf *f = *state;
	uint16_t ext = lf_sport(lf_pass(f, LF_INSIDE, &out));

	f->own_are_local = true;
	for (uint32_t i = 0; i < sizeof(forged) / sizeof(*forged); i++) {
		ff_ends(f, LF_UPLINK, ff_udp(forged[i], 500, "192.0.2.1", ext), XE_R_W_SPOOFED);
		ff_ends(f, LF_UPLINK, ff_udp(forged[i], 500, "192.0.2.1", 7003), XE_R_W_SPOOFED);
		ff_ends(f, LF_UPLINK2, ff_udp(forged[i], 500, "10.1.0.9", 53), XE_R_W_SPOOFED);
	}
	assert_int_equal(f->lane->sessions.cnt, 1);
	assert_int_equal(f->lane->hold.cnt, 0);
	/* a neighbour of the uplink, who could be near by the table, and is not; and who has an
	 * address that the host had once */
	ff_passes(f, LF_UPLINK, ff_udp("192.0.2.77", 500, "192.0.2.1", ext), LF_INSIDE,
		  ff_udp("192.0.2.77", 500, "10.1.0.2", 5000));
	ff_passes(f, LF_UPLINK, ff_udp("192.0.2.13", 500, "192.0.2.1", ext), LF_INSIDE,
		  ff_udp("192.0.2.13", 500, "10.1.0.2", 5000));
	ff_expect_empty(f);
}

/* Who could be near and is not waits with its first flow; the answer is kept, and followed. */
static void test_near_peer_waits_once(void **state)
{
	static const struct xe_addr anybody;
	struct xe_nexthop_answer local = {.state = XE_NH_LOCAL, .port = LF_UPLINK};
	struct xe_addr peer = xe_addr_v4(inet_addr("192.0.2.77"));
	struct lf *f = *state;
	struct xe_nexthops *t = &f->lane->nexthops;
	uint32_t asked;

	ff_passes(f, LF_UPLINK, ff_udp("192.0.2.77", 500, "192.0.2.1", 7003), LF_INSIDE2,
		  ff_udp("192.0.2.77", 500, "10.2.0.3", 9003));
	lf_answer(f); /* where replies go */
	asked = f->requests[XE_NH_OP_RESOLVE];
	for (uint16_t i = 501; i < 510; i++) {
		struct lf_spec s = ff_udp("192.0.2.77", i, "192.0.2.1", 7003);

		lf_put(f, LF_UPLINK, &s);
		lf_poll(f); /* nobody answers, nobody has to */
		assert_int_equal(f->sent_cnt, 1);
	}
	assert_false(xe_nexthops_wait(t));
	ff_advance(f, 1);
	ff_passes(f, LF_UPLINK, ff_udp("192.0.2.77", 600, "192.0.2.1", 7003), LF_INSIDE2,
		  ff_udp("192.0.2.77", 600, "10.2.0.3", 9003));
	assert_int_equal(f->requests[XE_NH_OP_RESOLVE], asked);
	/* the host has got that address */
	t->only_known = true;
	xe_nexthop_write(t, xe_nexthop_get_addr(t, &peer, &anybody, XE_PORT_ANYUPLINK), &local);
	ff_ends(f, LF_UPLINK, ff_udp("192.0.2.77", 601, "192.0.2.1", 7003), XE_R_W_SPOOFED);
	/* and is forgotten */
	ff_advance(f, XE_NEAR_KEPT_S);
	assert_int_equal(f->requests[XE_NH_OP_RELEASE], 1);
	ff_passes(f, LF_UPLINK, ff_udp("192.0.2.77", 602, "192.0.2.1", 7003), LF_INSIDE2,
		  ff_udp("192.0.2.77", 602, "10.2.0.3", 9003));
	assert_int_equal(f->requests[XE_NH_OP_RESOLVE], asked + 1);
	ff_expect_empty(f);
}

/* Strangers choose these addresses: what is kept of them is bounded. */
static void test_near_peers_are_few(void **state)
{
	struct lf *f = *state;
	char src[16];

	for (int i = 0; i < 2000; i++) {
		snprintf(src, sizeof(src), "10.1.%d.%d", 1 + i / 250, 1 + i % 250);
		ff_ends(f, LF_UPLINK, ff_udp(src, 500, "192.0.2.1", 7003), XE_R_W_SPOOFED);
		assert_in_range(f->lane->nexthops.cnt, 1, f->lane->nexthops.capacity / 8);
	}
	assert_int_equal(f->lane->nexthops.cnt, f->lane->nexthops.capacity / 8);
	ff_expect_empty(f);
}

/* From outside, with the tuple of what two containers send each other. */
static void test_forged_hairpin(void **state)
{
	struct lf_spec one = ff_udp("10.1.0.2", 5000, "198.51.100.9", 9),
		       two = ff_udp("10.2.0.3", 6000, "198.51.100.9", 9);
	struct lf *f = *state;
	uint16_t ext1 = lf_sport(lf_pass(f, LF_INSIDE, &one));
	uint16_t ext2 = lf_sport(lf_pass(f, LF_INSIDE2, &two));

	ff_ends(f, LF_UPLINK, ff_udp("192.0.2.1", ext1, "192.0.2.1", ext2), XE_R_NO_SESSION);
	for (int i = 0; i < 2; i++) {
		ff_passes(f, LF_INSIDE, ff_udp("10.1.0.2", 5000, "192.0.2.1", ext2), LF_INSIDE2,
			  ff_udp("192.0.2.1", ext1, "10.2.0.3", 6000));
		ff_passes(f, LF_INSIDE2, ff_udp("10.2.0.3", 6000, "192.0.2.1", ext1), LF_INSIDE,
			  ff_udp("192.0.2.1", ext2, "10.1.0.2", 5000));
		ff_ends(f, LF_UPLINK, ff_udp("192.0.2.1", ext1, "192.0.2.1", ext2), XE_R_W_SPOOFED);
		ff_ends(f, LF_UPLINK, ff_udp("192.0.2.1", ext2, "192.0.2.1", ext1), XE_R_W_SPOOFED);
	}
	assert_int_equal(f->lane->sessions.cnt, 4);
	ff_expect_empty(f);
}

/* Not even a closed one begins anew for them. */
static void test_forged_reopen(void **state)
{
	struct lf_spec syn = ff_tcp("10.2.0.3", 6000, "192.0.2.1", 8080, FF_SYN), rst;
	struct lf *f = *state;
	uint16_t ext = lf_sport(lf_pass(f, LF_INSIDE2, &syn));

	rst = ff_tcp("10.1.0.2", 80, "192.0.2.1", ext, XE_TH_RST | FF_ACK);
	ff_passes(f, LF_INSIDE, rst, LF_INSIDE2,
		  ff_tcp("192.0.2.1", 8080, "10.2.0.3", 6000, XE_TH_RST | FF_ACK));
	for (uint32_t i = 0; i < 2; i++)
		assert_int_equal(f->lane->sessions.slots[i].tcp_state, XE_TCP_CLOSED);
	syn = ff_tcp("192.0.2.1", ext, "192.0.2.1", 8080, FF_SYN);
	syn.seq = 100000;
	ff_ends(f, LF_UPLINK, syn, XE_R_W_SPOOFED);
	assert_int_equal(f->lane->sessions.cnt, 2);
	ff_expect_empty(f);
}

static void test_hairpin_dnat(void **state)
{
	struct lf_spec in = ff_udp("10.2.0.3", 6000, "192.0.2.1", 8080);
	const struct lf_sent *sent;
	struct lf *f = *state;
	struct lf_spec to;
	uint16_t ext;

	in.proto = IPPROTO_TCP;
	in.tcp_flags = FF_SYN;
	in.payload_len = 0;
	sent = lf_pass(f, LF_INSIDE2, &in);
	assert_non_null(sent);
	ext = lf_sport(sent);
	to = in;
	to.src = "192.0.2.1";
	to.sport = ext;
	to.dst = "10.1.0.2";
	to.dport = 80;
	to.ttl = 63;
	lf_expect(sent, &to, LF_INSIDE);
	/* the one-to-one address of another */
	ff_passes(f, LF_INSIDE, ff_udp("10.1.0.2", 5000, "192.0.2.129", 99), LF_INSIDE2,
		  ff_udp("192.0.2.1", 5000, "10.2.0.17", 99));
	ff_expect_empty(f);
}

/* A peer that speaks from one L4 port to two that lead to the same: the second is refused. */
static void test_tuple_taken(void **state)
{
	static const char *const both[] = {"dnat udp to 192.0.2.1:1-2 dest 10.1.0.2:80", NULL};
	struct lf *f;

	lf_close(*state);
	*state = f = lf_open(both, 64);
	ff_passes(f, LF_UPLINK, ff_udp("198.51.100.9", 7, "192.0.2.1", 1), LF_INSIDE,
		  ff_udp("198.51.100.9", 7, "10.1.0.2", 80));
	ff_ends(f, LF_UPLINK, ff_udp("198.51.100.9", 7, "192.0.2.1", 2), XE_R_TUPLE_TAKEN);
	ff_expect_empty(f);
}

/* Next hops asked for since the last look, unanswered yet, by what this packet needs. */
static uint32_t asks(struct lf *f, uint16_t in, struct lf_spec s)
{
	uint32_t before = atomic_load(&f->lane->nexthops.head);

	lf_put(f, in, &s);
	lf_poll(f);
	return atomic_load(&f->lane->nexthops.head) - before;
}

/* Where the control thread has not kept up, new peers do not ask; containers do. */
static void test_control_behind(void **state)
{
	struct lf *f = *state;
	struct xe_nexthops *t = &f->lane->nexthops;
	const uint64_t *full = &f->lane->cnt.reason[XE_R_NEXTHOPS_FULL];
	const uint32_t behind = XE_NH_REQUESTS / 2 + 1;
	const uint64_t made = f->lane->cnt.made;

	ff_passes(f, LF_UPLINK, ff_udp("198.51.100.9", 500, "192.0.2.1", 7003), LF_INSIDE2,
		  ff_udp("198.51.100.9", 500, "10.2.0.3", 9003));
	atomic_fetch_sub(&t->tail, behind);
	assert_int_equal(asks(f, LF_UPLINK, ff_udp("198.51.100.10", 1, "192.0.2.1", 7003)), 0);
	assert_int_equal(*full, 1);
	/* another inside host of a prefix, and what needs nothing new */
	assert_int_equal(asks(f, LF_UPLINK, ff_udp("198.51.100.9", 1, "192.0.2.130", 80)), 0);
	assert_int_equal(*full, 2);
	assert_int_equal(asks(f, LF_UPLINK, ff_udp("198.51.100.9", 501, "192.0.2.1", 7003)), 0);
	assert_int_equal(*full, 2);
	assert_int_equal(f->lane->sessions.cnt, 2);
	assert_int_equal(asks(f, LF_INSIDE, ff_udp("10.1.0.2", 5, "198.51.100.10", 9)), 1);
	/* with no room for one more they are not told: it will be there when they send again */
	atomic_fetch_sub(&t->tail, XE_NH_REQUESTS - behind - 1);
	assert_int_equal(asks(f, LF_INSIDE, ff_udp("10.1.0.2", 6, "198.51.100.11", 9)), 0);
	assert_int_equal(*full, 3);
	assert_int_equal(f->lane->cnt.made, made);
	atomic_fetch_add(&t->tail, XE_NH_REQUESTS - 1);
	lf_answer(f);
	xe_hold_poll(f->lane);
	lf_drain_tx(f);
	ff_passes(f, LF_UPLINK, ff_udp("198.51.100.10", 2, "192.0.2.1", 7003), LF_INSIDE2,
		  ff_udp("198.51.100.10", 2, "10.2.0.3", 9003));
	ff_expect_empty(f);
}

/* Where no packet of an uplink could wait for the answer, none asks for another inside host. */
static void test_hold_full_does_not_ask(void **state)
{
	struct lf *f = *state;
	uint32_t *held = &f->lane->ports[LF_UPLINK].held;
	const uint64_t *full = &f->lane->cnt.reason[XE_R_HOLD_FULL];

	ff_passes(f, LF_UPLINK, ff_udp("198.51.100.9", 5, "192.0.2.130", 80), LF_INSIDE2,
		  ff_udp("198.51.100.9", 5, "10.2.0.18", 80));
	*held += XE_HOLD_SIZE / 2;
	assert_int_equal(asks(f, LF_UPLINK, ff_udp("198.51.100.9", 5, "192.0.2.131", 80)), 0);
	assert_int_equal(*full, 1);
	/* a new peer of one that is known waits for nothing */
	ff_passes(f, LF_UPLINK, ff_udp("198.51.100.8", 5, "192.0.2.130", 80), LF_INSIDE2,
		  ff_udp("198.51.100.8", 5, "10.2.0.18", 80));
	*held -= XE_HOLD_SIZE / 2;
	ff_expect_empty(f);
}

/* SYNs from anywhere take half the table; containers have the rest, and so has who is answered. */
static void test_unanswered_share(void **state)
{
	char src[9][16];
	struct lf *f;

	lf_close(*state);
	*state = f = lf_open(rules, 16);
	for (int i = 0; i < 9; i++)
		snprintf(src[i], sizeof(src[i]), "198.51.100.%d", 20 + i);
	for (int i = 0; i < 8; i++)
		ff_passes(f, LF_UPLINK, ff_tcp(src[i], 500, "192.0.2.1", 8080, FF_SYN), LF_INSIDE,
			  ff_tcp(src[i], 500, "10.1.0.2", 80, FF_SYN));
	assert_int_equal(f->lane->unanswered, 8);
	ff_ends(f, LF_UPLINK, ff_tcp(src[8], 500, "192.0.2.1", 8080, FF_SYN), XE_R_SESSIONS_FULL);
	for (uint16_t i = 0; i < 4; i++) {
		struct lf_spec s = ff_udp("10.1.0.3", (uint16_t)(5000 + i), "198.51.100.9", 9);

		assert_non_null(lf_pass(f, LF_INSIDE, &s));
	}
	for (int i = 0; i < 2; i++) /* the second is that answer again */
		ff_passes(f, LF_INSIDE, ff_tcp("10.1.0.2", 80, src[3], 500, FF_SYN | FF_ACK),
			  LF_UPLINK, ff_tcp("192.0.2.1", 8080, src[3], 500, FF_SYN | FF_ACK));
	assert_int_equal(f->lane->unanswered, 7);
	ff_passes(f, LF_UPLINK, ff_tcp(src[8], 500, "192.0.2.1", 8080, FF_SYN), LF_INSIDE,
		  ff_tcp(src[8], 500, "10.1.0.2", 80, FF_SYN));
	ff_expect_empty(f);
}

/* Between two containers, closed, and opened anew while a late packet of it is behind the FF_SYN in
 * the same burst: that one ends with the session that it was for. */
static void test_hairpin_reopened_in_burst(void **state)
{
	struct lf_spec syn = ff_tcp("10.1.0.3", 6000, "192.0.2.1", 8080, FF_SYN), rst;
	struct lf *f = *state;
	const uint64_t *gone = &f->lane->cnt.reason[XE_R_PORT_GONE];
	uint16_t ext = lf_sport(lf_pass(f, LF_INSIDE, &syn));

	rst = ff_tcp("10.1.0.2", 80, "192.0.2.1", ext, XE_TH_RST | FF_ACK);
	ff_passes(f, LF_INSIDE, rst, LF_INSIDE,
		  ff_tcp("192.0.2.1", 8080, "10.1.0.3", 6000, XE_TH_RST | FF_ACK));
	assert_int_equal(f->lane->sessions.cnt, 2);
	for (uint32_t i = 0; i < 2; i++)
		assert_int_equal(f->lane->sessions.slots[i].tcp_state, XE_TCP_CLOSED);
	syn.seq = 100000;
	lf_put(f, LF_INSIDE, &syn);
	lf_put(f, LF_INSIDE, &rst);
	lf_poll(f);
	assert_int_equal(*gone, 1);
	lf_answer(f); /* its next hops went with the session */
	xe_hold_poll(f->lane);
	lf_drain_tx(f);
	assert_int_equal(f->sent_cnt, 1);
	syn.src = "192.0.2.1";
	syn.sport = ext;
	syn.dst = "10.1.0.2";
	syn.dport = 80;
	syn.ttl = 63;
	lf_expect(&f->sent[0], &syn, LF_INSIDE);
	assert_int_equal(f->lane->sessions.cnt, 2);
	ff_expect_empty(f);
}

/* An inside address keeps its Ext address; one that has none goes where there is room. */
static void test_pooling(void **state)
{
	static const char *const pool[] = {
		"snat udp to 198.51.100.1 source 192.0.2.10-192.0.2.13 ports 2000-2003",
		"snat udp to 198.51.100.2 source 192.0.2.10-192.0.2.13 ports 2000-2003 pooling "
		"arbitrary",
		NULL};
	uint32_t sent = 0;
	struct lf *f;

	lf_close(*state);
	*state = f = lf_open(pool, 64);
	for (uint16_t i = 0; i < 6; i++) {
		struct lf_spec s = ff_udp("10.1.0.2", (uint16_t)(3000 + i), "198.51.100.1", 9);

		sent += lf_pass(f, LF_INSIDE, &s) && f->sent[0].port == LF_UPLINK;
	}
	assert_int_equal(sent, 4); /* one address has four, and the others are not its own */
	sent = 0;
	for (uint16_t i = 0; i < 16; i++) {
		struct lf_spec s = ff_udp("10.1.0.3", (uint16_t)(3000 + i), "198.51.100.2", 9);

		sent += lf_pass(f, LF_INSIDE, &s) && f->sent[0].port == LF_UPLINK;
	}
	assert_int_equal(sent, 12); /* all that are left of all of them */
	ff_expect_empty(f);
}

/* A pool in pieces: all of it is used, to the last L4 port, and nothing between the pieces. */
static void test_pool_in_pieces(void **state)
{
	static const char *const pool[] = {
		"snat udp to 198.51.100.1 source 192.0.2.13,192.0.2.2,192.0.2.10-192.0.2.11 ports "
		"2000-2003",
		NULL};
	static const char *const addrs[] = {"192.0.2.13", "192.0.2.2", "192.0.2.10", "192.0.2.11"};
	uint32_t seen[4] = {}, sent = 0;
	struct lf *f;

	lf_close(*state);
	*state = f = lf_open(pool, 64);
	for (uint16_t i = 0; i < 40; i++) {
		char inside[16], ext[INET_ADDRSTRLEN];
		struct lf_spec s = ff_udp(inside, 3000, "198.51.100.1", 9);

		snprintf(inside, sizeof(inside), "10.1.0.%u", 2 + i);
		if (!lf_pass(f, LF_INSIDE, &s) || f->sent[0].port != LF_UPLINK)
			continue;
		sent++;
		inet_ntop(AF_INET, f->sent[0].bytes + 26, ext, sizeof(ext));
		for (int k = 0; k < 4; k++)
			seen[k] += !strcmp(ext, addrs[k]);
	}
	assert_int_equal(sent, 16);
	for (int k = 0; k < 4; k++)
		assert_int_equal(seen[k], 4);
	ff_expect_empty(f);
}

#define IN_TEST(name) cmocka_unit_test_setup_teardown(name, setup, ff_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_TEST(test_dnat_udp),
		IN_TEST(test_dnat_tcp),
		IN_TEST(test_no_target),
		IN_TEST(test_one_to_one),
		IN_TEST(test_accept_in),
		IN_TEST(test_filters),
		IN_TEST(test_host_beside),
		IN_TEST(test_answer_counts_once),
		IN_TEST(test_outside_does_not_keep_open),
		IN_TEST(test_hairpin),
		IN_TEST(test_hairpin_needs_no_neighbour),
		IN_TEST(test_forged_sources),
		IN_TEST(test_near_peer_waits_once),
		IN_TEST(test_near_peers_are_few),
		IN_TEST(test_forged_hairpin),
		IN_TEST(test_forged_reopen),
		IN_TEST(test_hairpin_dnat),
		IN_TEST(test_tuple_taken),
		IN_TEST(test_pooling),
		IN_TEST(test_pool_in_pieces),
		IN_TEST(test_control_behind),
		IN_TEST(test_hold_full_does_not_ask),
		IN_TEST(test_unanswered_share),
		IN_TEST(test_hairpin_reopened_in_burst),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
