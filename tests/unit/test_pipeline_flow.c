/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_pipeline_flow.c - the lives of sessions: TCP states, timeouts, what an ended one gives back;
 * and of packets that wait for a next hop. The whole pipeline in memory (lane_fixture.h).
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "flow_fixture.h"

#define CNT(a)   (sizeof(a) / sizeof((a)[0]))
#define TCP      IPPROTO_TCP
#define SESSIONS 8u

static const char *const rules[] = {
	"accept from 10.1.0.0/16 to 10.2.0.0/16",
	"masquerade from 10.1.0.0/16",
	NULL,
};

static int setup(void **state)
{
	*state = lf_open(rules, 1024);
	return 0;
}

/* ---- sessions ---- */

static void advance(struct lf *f, uint32_t seconds)
{
	f->lane->now_s += seconds;
	xe_pipeline_housekeeping(f->lane);
	lf_check_conservation(f);
}

/* Nothing is left of any session. */
static void expect_empty(struct lf *f)
{
	struct xe_lane *lane = f->lane;

	lf_answer(f);
	assert_int_equal(lane->sessions.cnt, 0);
	assert_int_equal(lane->pool.mapping_cnt, 0);
	assert_int_equal(lane->nexthops.cnt, 0);
	assert_int_equal(f->requests[XE_NH_OP_RELEASE], f->requests[XE_NH_OP_RESOLVE]);
	ff_expect_no_tags(f);
	for (uint32_t i = 0; i < lane->sources.room.high; i++)
		assert_int_equal(lane->sources.slots[i].sessions, 0);
	for (uint32_t i = 0; i < XE_WHEEL_LISTS; i++)
		assert_int_equal(lane->wheel.head[i], XE_NIL);
}

static struct xe_session *only_session(struct lf *f)
{
	assert_int_equal(f->lane->sessions.cnt, 1);
	for (uint32_t i = 0; i < f->lane->sessions.high; i++)
		if (f->lane->sessions.slots[i].key[0].proto)
			return &f->lane->sessions.slots[i];
	return NULL;
}

/* Sequence numbers as two well-behaved hosts use them: by direction, the next one and that of the
 * last FF_SYN. */
static uint32_t next_seq[2], syn_seq[2];
static bool fin_sent[2];

static void tcp(struct lf *f, enum xe_dir dir, uint8_t flags)
{
	struct lf_spec s = dir == XE_DIR_OUT ? ff_out : ff_back;

	s.proto = TCP;
	s.tcp_flags = flags;
	if (flags & FF_SYN)
		fin_sent[dir] = false;
	s.payload_len = flags & (FF_SYN | FF_RST) || fin_sent[dir] ? 0 : 50;
	fin_sent[dir] |= flags & FF_FIN;
	s.win = 0xffff;
	s.seq = next_seq[dir];
	s.ack = flags & FF_ACK ? next_seq[!dir] : 0;
	if (flags == (FF_SYN | FF_ACK) && next_seq[dir] == syn_seq[dir] + 1)
		s.seq = syn_seq[dir]; /* simultaneous open */
	if (flags & FF_SYN)
		syn_seq[dir] = s.seq;
	next_seq[dir] = s.seq + s.payload_len + !!(flags & (FF_SYN | FF_FIN));
	assert_non_null(lf_pass(f, dir == XE_DIR_OUT ? LF_INSIDE : LF_UPLINK, &s));
}

#define O XE_DIR_OUT
#define B XE_DIR_BACK

/* Sequences of segments, and the state after the last of them. */
static const struct tcp_case {
	const char *name;
	struct {
		uint8_t dir, flags;
	} segments[10];
	uint8_t state;
} tcp_cases[] = {
	{"FF_SYN", {{O, FF_SYN}}, XE_TCP_SYN_SENT},
	{"FF_SYN again", {{O, FF_SYN}, {O, FF_SYN}}, XE_TCP_SYN_SENT},
	{"FF_SYN+FF_ACK", {{O, FF_SYN}, {B, FF_SYN | FF_ACK}}, XE_TCP_SYN_BACK},
	{"handshake", {{O, FF_SYN}, {B, FF_SYN | FF_ACK}, {O, FF_ACK}}, XE_TCP_ESTABLISHED},
	{"FF_ACK without FF_SYN+FF_ACK", {{O, FF_SYN}, {O, FF_ACK}}, XE_TCP_SYN_SENT},
	{"the peer alone establishes nothing",
	 {{O, FF_SYN}, {B, FF_SYN | FF_ACK}, {B, FF_ACK}},
	 XE_TCP_SYN_BACK},
	{"simultaneous open",
	 {{O, FF_SYN}, {B, FF_SYN}, {O, FF_SYN | FF_ACK}, {B, FF_SYN | FF_ACK}, {O, FF_ACK}},
	 XE_TCP_ESTABLISHED},
	{"FF_SYN on a live tuple",
	 {{O, FF_SYN}, {B, FF_SYN | FF_ACK}, {O, FF_ACK}, {O, FF_SYN}},
	 XE_TCP_ESTABLISHED},
	{"challenge FF_ACK",
	 {{O, FF_SYN}, {B, FF_SYN | FF_ACK}, {O, FF_ACK}, {O, FF_SYN}, {B, FF_ACK}},
	 XE_TCP_ESTABLISHED},
	{"FF_FIN out",
	 {{O, FF_SYN}, {B, FF_SYN | FF_ACK}, {O, FF_ACK}, {O, FF_FIN | FF_ACK}},
	 XE_TCP_CLOSING},
	{"FF_FIN back",
	 {{O, FF_SYN}, {B, FF_SYN | FF_ACK}, {O, FF_ACK}, {B, FF_FIN | FF_ACK}},
	 XE_TCP_CLOSING},
	{"half closed goes on",
	 {{O, FF_SYN},
	  {B, FF_SYN | FF_ACK},
	  {O, FF_ACK},
	  {O, FF_FIN | FF_ACK},
	  {B, FF_ACK},
	  {B, FF_ACK}},
	 XE_TCP_CLOSING},
	{"FF_RST out",
	 {{O, FF_SYN}, {B, FF_SYN | FF_ACK}, {O, FF_ACK}, {O, FF_RST}},
	 XE_TCP_CLOSED},
	{"refused", {{O, FF_SYN}, {B, FF_RST | FF_ACK}}, XE_TCP_CLOSED},
	{"closed",
	 {{O, FF_SYN},
	  {B, FF_SYN | FF_ACK},
	  {O, FF_ACK},
	  {O, FF_FIN | FF_ACK},
	  {B, FF_FIN | FF_ACK},
	  {O, FF_ACK}},
	 XE_TCP_CLOSED},
	{"reopened", {{O, FF_SYN}, {B, FF_RST | FF_ACK}, {O, FF_SYN}}, XE_TCP_SYN_SENT},
	{"the peer cannot reopen", {{O, FF_SYN}, {B, FF_RST | FF_ACK}, {B, FF_SYN}}, XE_TCP_CLOSED},
	{"reopened and established",
	 {{O, FF_SYN},
	  {B, FF_SYN | FF_ACK},
	  {O, FF_ACK},
	  {O, FF_FIN | FF_ACK},
	  {B, FF_FIN | FF_ACK},
	  {O, FF_ACK},
	  {O, FF_SYN},
	  {B, FF_SYN | FF_ACK},
	  {O, FF_ACK}},
	 XE_TCP_ESTABLISHED},
};

/* The state, and that the session then lives exactly as long as that state says. */
static void test_tcp_states(void **state)
{
	(void)state;
	for (size_t i = 0; i < CNT(tcp_cases); i++) {
		const struct tcp_case *c = &tcp_cases[i];
		struct lf *f = lf_open(rules, SESSIONS);
		uint32_t timeout_s = c->state == XE_TCP_ESTABLISHED ? 7440 : 240;

		print_message("%s\n", c->name);
		next_seq[O] = 1000 * (uint32_t)i;
		next_seq[B] = 0xffffffd0; /* wraps */
		syn_seq[O] = syn_seq[B] = 7;
		for (int n = 0; c->segments[n].flags; n++)
			tcp(f, c->segments[n].dir, c->segments[n].flags);
		assert_int_equal(only_session(f)->tcp_state, c->state);
		advance(f, timeout_s - 1);
		assert_int_equal(f->lane->sessions.cnt, 1);
		advance(f, 1);
		expect_empty(f);
		lf_close(f);
	}
}

/* A connection that lived long has its timer far away: the end of it must still be transitory. */
static void test_tcp_close_after_long_life(void **state)
{
	struct lf *f = *state;

	tcp(f, O, FF_SYN);
	tcp(f, B, FF_SYN | FF_ACK);
	tcp(f, O, FF_ACK);
	for (int i = 0; i < 100; i++) {
		advance(f, 300);
		tcp(f, O, FF_ACK);
	}
	tcp(f, O, FF_FIN | FF_ACK);
	tcp(f, B, FF_FIN | FF_ACK);
	advance(f, 239);
	assert_int_equal(f->lane->sessions.cnt, 1);
	advance(f, 1);
	expect_empty(f);
}

/* The opener starts over before it has acknowledged the FF_SYN+FF_ACK: its second FF_SYN's number
 * is not taken for the MSS that this FF_SYN announces (they share a place). */
static void test_syn_again_in_handshake(void **state)
{
	static const struct {
		uint8_t dir, flags;
		uint32_t seq, ack;
		uint8_t state;
	} steps[] = {
		{O, FF_SYN, 1000, 0, XE_TCP_SYN_SENT},
		{B, FF_SYN | FF_ACK, 5000, 1001, XE_TCP_SYN_BACK},
		{O, FF_SYN, 900000000, 0, XE_TCP_SYN_BACK},
		{B, FF_SYN | FF_ACK, 70000000, 900000001, XE_TCP_SYN_BACK},
		{O, FF_ACK, 900000001, 70000001, XE_TCP_ESTABLISHED},
	};
	struct lf *f = *state;

	for (size_t i = 0; i < CNT(steps); i++) {
		struct lf_spec s = steps[i].dir == O ? ff_out : ff_back;

		s.proto = TCP;
		s.payload_len = 0;
		s.win = 1000;
		s.tcp_flags = steps[i].flags;
		s.seq = steps[i].seq;
		s.ack = steps[i].ack;
		assert_non_null(lf_pass(f, steps[i].dir == O ? LF_INSIDE : LF_UPLINK, &s));
		assert_int_equal(only_session(f)->tcp_state, steps[i].state);
	}
}

/* A flow of its own: FF_SYN from this L4 port. Has it been sent on? */
static bool syn_from(struct lf *f, uint16_t sport)
{
	struct lf_spec s = ff_out;

	s.proto = TCP;
	s.tcp_flags = FF_SYN;
	s.sport = sport;
	s.payload_len = 0;
	return lf_pass(f, LF_INSIDE, &s) && f->sent[f->sent_cnt - 1].port == LF_UPLINK;
}

/* Its session, and refused by the peer: closed. */
static void refuse_flow(struct lf *f, uint16_t sport)
{
	struct xe_sessions *t = &f->lane->sessions;
	struct lf_spec s = ff_back;

	s.proto = TCP;
	s.tcp_flags = FF_RST | FF_ACK;
	s.ack = 1;
	s.payload_len = 0;
	for (uint32_t i = 0; i < t->high; i++)
		if (ntohs(t->slots[i].key[XE_DIR_OUT].sport_be) == sport)
			s.dport = ntohs(t->slots[i].key[XE_DIR_BACK].dport_be);
	assert_non_null(lf_pass(f, LF_UPLINK, &s));
}

static bool has_flow(struct lf *f, uint16_t sport)
{
	struct xe_sessions *t = &f->lane->sessions;

	for (uint32_t i = 0; i < t->high; i++)
		if (ntohs(t->slots[i].key[XE_DIR_OUT].sport_be) == sport)
			return true;
	return false;
}

static uint64_t dropped(struct lf *f, enum xe_worker_reason reason)
{
	return f->lane->cnt.reason[reason];
}

/* A full table: the session closed longest makes room, one that waits for an answer does not. */
static void test_closed_makes_room(void **state)
{
	struct lf *f = lf_open(rules, SESSIONS);

	(void)state;
	for (uint16_t i = 0; i < SESSIONS; i++)
		assert_true(syn_from(f, 6000 + i));
	assert_false(syn_from(f, 7000));
	assert_int_equal(dropped(f, XE_R_SESSIONS_FULL), 1);
	refuse_flow(f, 6005);
	advance(f, 5);
	refuse_flow(f, 6002);
	assert_true(syn_from(f, 7000));
	assert_false(has_flow(f, 6005));
	assert_true(has_flow(f, 6002));
	assert_true(syn_from(f, 7001));
	assert_false(has_flow(f, 6002));
	assert_false(syn_from(f, 7002));
	assert_int_equal(f->lane->sessions.cnt, SESSIONS);
	for (uint16_t i = 0; i < 2; i++)
		assert_true(has_flow(f, 7000 + i));
	lf_close(f);
}

/* All L4 ports of a range have a flow to this peer: a closed one's is had again, whichever it is.
 */
static void test_closed_gives_its_l4_port(void **state)
{
	static const char *const four[] = {"masquerade from 10.1.0.0/16 ports 20000-20003", NULL};
	struct lf *f = lf_open(four, 64);

	(void)state;
	for (uint16_t round = 0; round < 40; round++) {
		uint16_t first = 30000 + round * 10;

		for (uint16_t i = 0; i < 4; i++)
			assert_true(syn_from(f, first + i));
		assert_int_equal(dropped(f, XE_R_L4_PORTS_EXHAUSTED), round);
		assert_false(syn_from(f, first + 4)); /* nothing is taken from who waits */
		assert_int_equal(f->lane->sessions.cnt, 4);
		for (uint16_t i = 0; i < 4; i++)
			refuse_flow(f, first + i);
	}
	lf_close(f);
}

/* What an IPv4 flow was refused is nothing that an IPv6 flow could have. */
static void test_closed_of_other_family_stays(void **state)
{
	static const char *const four[] = {"masquerade from 10.1.0.0/16 ports 20000-20003", NULL};
	struct lf *f = lf_open(four, 64);
	struct xe_packet p = {.proto = TCP};

	(void)state;
	for (uint16_t i = 0; i < 4; i++)
		assert_true(syn_from(f, 30000 + i));
	assert_false(syn_from(f, 30004));
	refuse_flow(f, 30002);
	p.key = f->lane->sessions.slots[0].key[XE_DIR_OUT];
	p.key.family = XE_FAMILY_6;
	p.key.src_be = p.key.dst_be = 0;
	assert_false(xe_reclaim_l4_port(f->lane, &p));
	assert_int_equal(f->lane->sessions.cnt, 4);
	lf_close(f);
}

/* A closed flow that has a packet in the same burst keeps its session; another one makes room. */
static void test_closed_in_hand_stays(void **state)
{
	static const char *const four[] = {"masquerade from 10.1.0.0/16 ports 20000-20003", NULL};

	(void)state;
	for (uint16_t spare = 0; spare < 4; spare++) {
		struct lf *f = lf_open(four, 64);
		struct lf_spec s = ff_out;

		for (uint16_t i = 0; i < 4; i++)
			assert_true(syn_from(f, 30000 + i));
		for (uint16_t i = 0; i < 4; i++)
			refuse_flow(f, 30000 + i);
		s.proto = TCP;
		s.payload_len = 0;
		s.tcp_flags = FF_RST;
		for (uint16_t i = 0; i < 4; i++) {
			s.sport = 30000 + i;
			if (i != spare)
				lf_put(f, LF_INSIDE, &s);
		}
		s.tcp_flags = FF_SYN;
		s.sport = 31000;
		lf_put(f, LF_INSIDE, &s);
		lf_poll(f);
		assert_int_equal(f->sent_cnt, 4);
		assert_true(has_flow(f, 31000));
		assert_false(has_flow(f, 30000 + spare));
		lf_close(f);
	}
}

/* Closed ones do not count against their source. */
static void test_closed_does_not_count(void **state)
{
	struct lf *f = *state;

	f->lane->sessions_per_source = 3;
	for (uint16_t i = 0; i < 3; i++)
		assert_true(syn_from(f, 6000 + i));
	assert_false(syn_from(f, 6003));
	assert_int_equal(dropped(f, XE_R_SOURCE_LIMIT), 1);
	refuse_flow(f, 6001);
	assert_true(syn_from(f, 6003));
	assert_false(syn_from(f, 6001)); /* starting over is a flow like any other */
	assert_int_equal(dropped(f, XE_R_SOURCE_LIMIT), 2);
	refuse_flow(f, 6000);
	assert_true(syn_from(f, 6001));
	assert_int_equal(f->lane->sessions.cnt, 4);
	advance(f, 240);
	expect_empty(f);
}

static void udp_refreshed(struct lf *f, const struct lf_spec *s, uint32_t timeout_s)
{
	assert_non_null(lf_pass(f, LF_INSIDE, s));
	advance(f, timeout_s - 1);
	assert_int_equal(f->lane->sessions.cnt, 1);
	assert_non_null(lf_pass(f, LF_INSIDE, s)); /* out: refreshes */
	advance(f, timeout_s - 1);
	assert_int_equal(f->lane->sessions.cnt, 1);
	advance(f, 1);
	expect_empty(f);
}

static void test_udp_timeouts(void **state)
{
	struct lf *f = *state;
	struct lf_spec dns = ff_out;

	udp_refreshed(f, &ff_out, 300);
	dns.dport = 53;
	udp_refreshed(f, &dns, 20);
	/* inbound alone does not refresh (RFC 4787 REQ-6), and after the end it reaches nobody */
	ff_open(f);
	for (int i = 0; i < 3; i++) {
		advance(f, 99);
		assert_non_null(lf_pass(f, LF_UPLINK, &ff_back));
	}
	advance(f, 2);
	assert_int_equal(f->lane->sessions.cnt, 1);
	advance(f, 1);
	expect_empty(f);
	assert_null(lf_pass(f, LF_UPLINK, &ff_back));
	assert_int_equal(f->lane->cnt.reason[XE_R_NO_SESSION], 1);
	lf_pass(f, LF_INSIDE, &ff_out);
	xe_flow_end(f->lane, only_session(f)); /* `flow flush`: the timer goes, too */
	expect_empty(f);
}

/* The same tuple, closed and opened again, as quick as can be (conformance: 1,000 times). */
/* Many that end at once: so many a call, and the call says that there are more. */
static void test_expire_many(void **state)
{
	struct lf *f = *state;
	struct lf_spec s = ff_out;
	uint32_t calls = 0;

	for (uint16_t i = 0; i < 600; i++) {
		s.sport = (uint16_t)(2000 + i);
		lf_pass(f, LF_INSIDE, &s);
	}
	assert_int_equal(f->lane->sessions.cnt, 600);
	assert_false(xe_pipeline_housekeeping(f->lane));
	f->lane->now_s += 1000;
	while (xe_pipeline_housekeeping(f->lane))
		assert_in_range(++calls, 1, 600 / 100);
	assert_in_range(calls, 2, 600 / 100);
	lf_check_conservation(f);
	expect_empty(f);
}

static void test_reopen_thousand_times(void **state)
{
	struct lf *f = *state;

	for (int i = 0; i < 1000; i++) {
		tcp(f, O, FF_SYN);
		tcp(f, B, FF_SYN | FF_ACK);
		tcp(f, O, FF_ACK);
		tcp(f, i & 1 ? B : O, FF_FIN | FF_ACK);
		tcp(f, i & 1 ? O : B, i & 2 ? FF_RST : FF_FIN | FF_ACK);
	}
	assert_int_equal(f->lane->cnt.sessions_made, 1);
	assert_int_equal(lf_drops(f), 0);
	advance(f, 240);
	expect_empty(f);
}

/* Many flows of all kinds; then time passes and nothing remains. */
static void test_all_is_given_back(void **state)
{
	struct lf *f = *state;
	char src[INET_ADDRSTRLEN], dst[INET_ADDRSTRLEN];

	for (int i = 0; i < 700; i++) {
		struct lf_spec s = {.src = src, .dst = dst, .payload_len = 10, .tcp_flags = FF_SYN};

		snprintf(src, sizeof(src), "10.1.0.%d", (int)(lf_random() % 3) + 1);
		snprintf(dst, sizeof(dst), i % 4 ? "198.51.100.%d" : "10.2.0.%d",
			 (int)(lf_random() % 9) + 1);
		s.sport = (uint16_t)(1024 + lf_random() % 60000);
		s.dport = i % 7 ? 80 : 53;
		s.proto = lf_random() & 1 ? TCP : IPPROTO_UDP;
		lf_pass(f, LF_INSIDE, &s);
	}
	assert_in_range(f->lane->sessions.cnt, 650, 700);
	for (int i = 0; i < 400; i++)
		advance(f, 1);
	assert_int_equal(lf_drops(f) + lf_punts(f), 0);
	expect_empty(f);
}

/* What leaves is ICMP 3/13 to the sender. */
static void expect_refused(const struct lf_sent *sent)
{
	assert_non_null(sent);
	assert_int_equal(sent->port, LF_INSIDE);
	assert_int_equal(sent->bytes[23], IPPROTO_ICMP);
	assert_int_equal(sent->bytes[34], 3);
	assert_int_equal(sent->bytes[35], 13);
}

/* No room for a session's tags: refused, and what it had taken before is given back. */
static void test_tags_full(void **state)
{
	struct lf *f = *state;
	struct lf_spec s = ff_out;

	f->lane->live.mask = 0; /* one bucket of eight */
	for (s.sport = 5000; s.sport < 5007; s.sport++)
		assert_non_null(lf_pass(f, LF_INSIDE, &s));
	s.dst = "10.2.0.9"; /* accepted, untranslated: needs two */
	expect_refused(lf_pass(f, LF_INSIDE, &s));
	s.dst = ff_out.dst;
	assert_non_null(lf_pass(f, LF_INSIDE, &s));
	s.sport++;
	expect_refused(lf_pass(f, LF_INSIDE, &s));
	s.proto = TCP;
	s.tcp_flags = FF_SYN;
	expect_refused(lf_pass(f, LF_INSIDE, &s));
	assert_int_equal(f->lane->cnt.reason[XE_R_SESSIONS_FULL], 3);
	assert_int_equal(lf_drops(f), 3);
	advance(f, 300);
	expect_empty(f);
}

/* ---- packets that wait ---- */

static void put_flow(struct lf *f, uint16_t sport, uint8_t seed)
{
	struct lf_spec s = ff_out;

	s.sport = sport;
	s.seed = seed;
	s.first_len = 60; /* two frames each */
	lf_put(f, LF_INSIDE, &s);
}

static void expect_flow(const struct lf_sent *sent, uint16_t sport, uint8_t seed)
{
	struct lf_spec s = ff_out;

	s.sport = sport;
	s.seed = seed;
	s.src = "192.0.2.1";
	s.ttl = 63;
	lf_expect(sent, &s, LF_UPLINK);
}

static void test_hold_and_release(void **state)
{
	struct lf *f = *state;

	for (uint8_t i = 0; i < 6; i++)
		put_flow(f, 5000 + i % 2, i);
	lf_poll(f);
	assert_int_equal(f->sent_cnt, 0);
	assert_int_equal(f->lane->hold.cnt, 6);
	assert_int_equal(f->lane->sessions.cnt, 0);
	f->nexthop_state = XE_NH_RESOLVING; /* a route, but no neighbour yet */
	assert_int_equal(lf_answer(f), 1);
	xe_hold_poll(f->lane);
	assert_int_equal(f->lane->hold.cnt, 6);
	lf_change(f, XE_NH_READY);
	xe_hold_poll(f->lane);
	assert_int_equal(f->lane->hold.cnt, 0);
	lf_drain_tx(f);
	lf_check_conservation(f);
	assert_int_equal(f->sent_cnt, 6);
	for (uint8_t i = 0; i < 6; i++)
		expect_flow(&f->sent[i], 5000 + i % 2, i);
	assert_int_equal(f->lane->sessions.cnt, 2);
}

/* The neighbour of live flows goes and comes. */
static void test_hold_live_flow(void **state)
{
	struct lf *f = *state;

	ff_open(f);
	lf_change(f, XE_NH_RESOLVING);
	put_flow(f, 5000, 1);
	put_flow(f, 5000, 2);
	lf_poll(f);
	assert_int_equal(f->lane->hold.cnt, 2);
	lf_change(f, XE_NH_READY);
	xe_hold_poll(f->lane);
	lf_drain_tx(f);
	assert_int_equal(f->sent_cnt, 2);
	expect_flow(&f->sent[0], 5000, 1);
	expect_flow(&f->sent[1], 5000, 2);
}

/* The answer comes while packets wait, new and live flow alike: the next one must not pass them. */
static void test_hold_keeps_order(void **state)
{
	struct lf *f = *state;

	for (int live = 0; live < 2; live++) {
		if (live)
			lf_change(f, XE_NH_RESOLVING);
		put_flow(f, 5000, 1);
		lf_poll(f);
		assert_int_equal(f->lane->hold.cnt, 1);
		if (live)
			lf_change(f, XE_NH_READY);
		else
			assert_int_equal(lf_answer(f), 1);
		put_flow(f, 5000, 2);
		lf_poll(f);
		assert_int_equal(f->sent_cnt, 0);
		xe_hold_poll(f->lane);
		lf_drain_tx(f);
		assert_int_equal(f->sent_cnt, 2);
		expect_flow(&f->sent[0], 5000, 1);
		expect_flow(&f->sent[1], 5000, 2);
	}
	lf_check_conservation(f);
}

static void test_hold_ends_in_punt(void **state)
{
	struct lf *f = *state;
	struct lf_spec s = ff_out;

	s.csum = LF_CSUM_PARTIAL;
	lf_put(f, LF_INSIDE, &s);
	lf_poll(f);
	for (uint32_t i = 0; i < XE_HOLD_MAX_S; i++) {
		assert_int_equal(f->lane->hold.cnt, 1);
		xe_hold_poll(f->lane);
		f->lane->now_s++;
	}
	xe_hold_poll(f->lane);
	assert_int_equal(f->lane->hold.cnt, 0);
	lf_check_conservation(f);
	assert_int_equal(f->lane->cnt.reason[XE_R_P_NO_NEIGHBOUR], 1);
	assert_int_equal(f->lane->cnt.to_kernel, 1);
	lf_expect_punted(f, &s);
	expect_empty(f);
}

/* n packets from a port, each to a destination of its own. */
static void put_destinations(struct lf *f, uint16_t port, uint32_t n)
{
	struct lf_spec s = ff_out;
	char dst[INET_ADDRSTRLEN];

	s.src = port == LF_INSIDE ? "10.1.0.2" : "10.2.0.2";
	for (uint32_t i = 0; i < n; i++) {
		snprintf(dst, sizeof(dst), "198.51.%u.%u", 200 + i / 200, i % 200 + 1);
		s.dst = dst;
		s.sport = (uint16_t)(6000 + i);
		lf_put(f, port, &s);
		if (i % XE_BURST_SIZE == XE_BURST_SIZE - 1)
			lf_poll(f);
	}
	lf_poll(f);
}

/* One port has at most half as many as are free; others find places then, too. Whose flow waits
 * is not told that there is no room for more of it, the others are. */
static void test_hold_full(void **state)
{
	struct lf *f = *state;
	uint32_t one = XE_HOLD_SIZE / 3 + 1, two = (XE_HOLD_SIZE - one) / 3 + 1;

	put_destinations(f, LF_INSIDE, one);
	assert_int_equal(f->lane->hold.cnt, one);
	assert_int_equal(lf_drops(f), 0);
	put_destinations(f, LF_INSIDE, one + 5); /* the same ones, and 5 that are not asked for */
	assert_int_equal(f->lane->hold.cnt, one);
	assert_int_equal(f->lane->cnt.reason[XE_R_HOLD_FULL], one + 5);
	assert_int_equal(f->lane->nexthops.cnt, one);
	assert_int_equal(f->lane->cnt.made, 5);
	assert_int_equal(f->lane->cnt.tx_packets, 5);
	put_destinations(f, LF_INSIDE2, two + 5);
	assert_int_equal(f->lane->hold.cnt, one + two);
	assert_int_equal(f->lane->cnt.reason[XE_R_HOLD_FULL], one + 10);
	assert_int_equal(lf_drops(f), one + 10);
	assert_int_equal(f->lane->cnt.made, 10);
	lf_answer(f);
	xe_hold_poll(f->lane);
	lf_check_conservation(f);
	assert_int_equal(f->lane->hold.cnt, 0);
	assert_int_equal(f->lane->hold.frames, 0);
	assert_int_equal(f->lane->cnt.tx_packets, one + 10);
	assert_int_equal(lf_punts(f), two); /* no rule is for them */
}

/* One destination has no more than XE_HOLD_PER_HOP; what is in comes out in its order. */
static void test_hold_full_hop(void **state)
{
	struct lf *f = *state;

	for (uint32_t i = 0; i < XE_HOLD_PER_HOP + 3; i++) {
		put_flow(f, 5000, (uint8_t)i);
		if (i % XE_BURST_SIZE == XE_BURST_SIZE - 1)
			lf_poll(f);
	}
	lf_poll(f);
	assert_int_equal(f->lane->hold.cnt, XE_HOLD_PER_HOP);
	assert_int_equal(f->lane->cnt.reason[XE_R_HOLD_FULL], 3);
	assert_int_equal(f->lane->cnt.made, 0);
	lf_answer(f);
	f->sent_cnt = 0;
	xe_hold_poll(f->lane);
	lf_drain_tx(f);
	assert_int_equal(f->sent_cnt, XE_HOLD_PER_HOP);
	for (uint32_t i = 0; i < XE_HOLD_PER_HOP; i++)
		expect_flow(&f->sent[i], 5000, (uint8_t)i);
	assert_int_equal(lf_drops(f), 3);
}

static void test_hold_flush(void **state)
{
	struct lf *f = *state;
	struct lf_spec s = ff_out;

	put_flow(f, 5000, 0);
	put_flow(f, 5001, 0);
	s.src = "10.2.0.2";
	lf_put(f, LF_INSIDE2, &s);
	lf_poll(f);
	assert_int_equal(f->lane->hold.cnt, 3);
	xe_hold_flush(f->lane, LF_INSIDE, XE_R_PORT_GONE);
	lf_check_conservation(f);
	assert_int_equal(f->lane->hold.cnt, 1);
	assert_int_equal(f->lane->cnt.reason[XE_R_PORT_GONE], 2);
	xe_hold_flush(f->lane, XE_PORT_NONE, XE_R_PORT_GONE);
	assert_int_equal(f->lane->hold.cnt, 0);
	assert_int_equal(f->lane->cnt.reason[XE_R_PORT_GONE], 3);
	lf_check_conservation(f);
	expect_empty(f);
}

#define LANE_TEST(name) cmocka_unit_test_setup_teardown(name, setup, ff_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tcp_states),
		LANE_TEST(test_tcp_close_after_long_life),
		LANE_TEST(test_syn_again_in_handshake),
		cmocka_unit_test(test_closed_makes_room),
		cmocka_unit_test(test_closed_gives_its_l4_port),
		cmocka_unit_test(test_closed_in_hand_stays),
		cmocka_unit_test(test_closed_of_other_family_stays),
		LANE_TEST(test_closed_does_not_count),
		LANE_TEST(test_expire_many),
		LANE_TEST(test_udp_timeouts),
		LANE_TEST(test_reopen_thousand_times),
		LANE_TEST(test_all_is_given_back),
		LANE_TEST(test_tags_full),
		LANE_TEST(test_hold_and_release),
		LANE_TEST(test_hold_live_flow),
		LANE_TEST(test_hold_keeps_order),
		LANE_TEST(test_hold_ends_in_punt),
		LANE_TEST(test_hold_full),
		LANE_TEST(test_hold_full_hop),
		LANE_TEST(test_hold_flush),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
