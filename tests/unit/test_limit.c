/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_limit.c - what rules ask of the packets of their flows, in a whole lane: limits, mss-clamp,
 * reject, and no-limit.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "lane_fixture.h"
#include "reason_fixture.h"

#define SYN XE_TH_SYN
#define ACK XE_TH_ACK

static const char *const rules[] = {
	"reject from 10.1.0.0/16 to 198.51.100.99",
	"masquerade from 10.1.0.0/16 to 198.51.100.1 limit 8pps",
	"masquerade from 10.1.0.0/16 to 198.51.100.2 limit 80kbit per-source",
	"masquerade from 10.1.0.0/16 to 198.51.100.3 limit 4flows",
	"masquerade from 10.1.0.0/16 to 198.51.100.4 mss-clamp 1000",
	"masquerade from 10.1.0.0/16 to 198.51.100.5 mss-clamp auto",
	"masquerade from 10.1.0.0/16 to 198.51.100.6 no-limit",
	"masquerade from 10.1.0.0/16 to 198.51.100.10 limit 8pps per-source",
	"masquerade from 10.1.0.0/16 to 198.51.100.11 limit 80kbit",
	"masquerade from 10.1.0.0/16 to 198.51.100.12 limit 4flows per-source",
	"masquerade from 10.1.0.0/16",
	NULL,
};

static int setup(void **state)
{
	*state = lf_open(rules, 256);
	return 0;
}

static int teardown(void **state)
{
	struct lf *f = *state;

	/* What flows took is given back with them. */
	for (uint32_t i = 0; i < f->lane->sessions.high; i++)
		if (f->lane->sessions.slots[i].key[0].proto)
			xe_flow_end(f->lane, &f->lane->sessions.slots[i]);
	for (uint32_t t = 0; t < XE_MAX_TERMS; t++)
		assert_int_equal(f->lane->terms.refs[t], 0);
	lf_close(f);
	return 0;
}

static uint64_t dropped(const struct lf *f, enum xe_worker_reason reason)
{
	return f->lane->cnt.reason[reason];
}

static void later(struct lf *f, uint32_t ms)
{
	f->lane->now_us += ms * 1000ull;
	f->lane->now_s = (uint32_t)(f->lane->now_us / 1000000);
}

/* 8 a second: 2 at once, then one each 125 ms; what is too much is counted and goes nowhere. */
static void test_packets(void **state)
{
	struct lf_spec s = {.src = "10.1.0.2", .sport = 5000, .dst = "198.51.100.1", .dport = 7};
	struct lf *f = *state;
	uint32_t sent = 0;

	sent += lf_pass(f, LF_INSIDE, &s) != NULL;
	for (int i = 0; i < 9; i++) {
		lf_put(f, LF_INSIDE, &s);
		lf_poll(f);
		sent += f->sent_cnt;
	}
	assert_in_range(sent, 2, 3);
	assert_int_equal(dropped(f, XE_R_LIMIT_PACKETS), 10 - sent);
	later(f, 2000);
	sent = 0;
	for (int ms = 0; ms < 2000; ms += 25) {
		later(f, 25);
		lf_put(f, LF_INSIDE, &s);
		lf_poll(f);
		sent += f->sent_cnt;
	}
	assert_in_range(sent, 17, 19);
}

/* A superpacket counts what its segments have on the wire, and each source has its own. */
static void test_bits_of_source(void **state)
{
	struct lf_spec a = {.src = "10.1.0.2",
			    .sport = 5000,
			    .dst = "198.51.100.2",
			    .dport = 7,
			    .proto = IPPROTO_TCP,
			    .tcp_flags = SYN};
	struct lf_spec b = a;
	struct lf *f = *state;

	b.src = "10.1.0.3";
	assert_non_null(lf_pass(f, LF_INSIDE, &a));
	a.tcp_flags = ACK;
	a.seq = 1;
	a.payload_len = 10000; /* 10 segments: 10400 bytes; 1 s of the rate is 10000 */
	a.gso_size = 1000;
	lf_put(f, LF_INSIDE, &a);
	lf_poll(f);
	assert_int_equal(dropped(f, XE_R_LIMIT_SOURCE_BITS), 0);
	a.payload_len = 10;
	a.gso_size = 0;
	later(f, 700);
	lf_put(f, LF_INSIDE, &a);
	lf_poll(f);
	assert_int_equal(dropped(f, XE_R_LIMIT_SOURCE_BITS), 1);
	assert_non_null(lf_pass(f, LF_INSIDE, &b));
	later(f, 200);
	lf_put(f, LF_INSIDE, &a);
	lf_poll(f);
	assert_int_equal(dropped(f, XE_R_LIMIT_SOURCE_BITS), 1);
}

static void test_new_flows(void **state)
{
	struct lf_spec s = {.src = "10.1.0.2", .dst = "198.51.100.3", .dport = 7};
	struct lf *f = *state;
	uint32_t before;

	for (s.sport = 1000; s.sport < 1010; s.sport++)
		lf_pass(f, LF_INSIDE, &s);
	before = f->lane->sessions.cnt;
	assert_in_range(before, 4, 5);
	assert_int_equal(dropped(f, XE_R_LIMIT_FLOWS), 10 - before);
	/* The flows that are there go on. */
	s.sport = 1000;
	for (int i = 0; i < 20; i++)
		assert_non_null(lf_pass(f, LF_INSIDE, &s));
	later(f, 260);
	s.sport = 2000;
	assert_non_null(lf_pass(f, LF_INSIDE, &s));
	assert_int_equal(f->lane->sessions.cnt, before + 1);
}

/* Each kind of limit has a name of its own: n packets of c1 until that counts, once a packet, and
 * no other; whether the neighbour is held, too, is the difference between a rule's and a source's.
 */
static void test_each_kind(void **state)
{
	static const struct {
		const char *dst;
		enum xe_worker_reason reason;
		bool new_flows, of_source;
	} kinds[] = {
		{"198.51.100.1", XE_R_LIMIT_PACKETS, false, false},
		{"198.51.100.10", XE_R_LIMIT_SOURCE_PACKETS, false, true},
		{"198.51.100.11", XE_R_LIMIT_BITS, false, false},
		{"198.51.100.2", XE_R_LIMIT_SOURCE_BITS, false, true},
		{"198.51.100.3", XE_R_LIMIT_FLOWS, true, false},
		{"198.51.100.12", XE_R_LIMIT_SOURCE_FLOWS, true, true},
	};
	struct lf *f = *state;

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		struct lf_spec s = {.src = "10.1.0.2",
				    .sport = 6000,
				    .dst = kinds[i].dst,
				    .dport = 7,
				    .payload_len = 1200};
		uint32_t sent = 0;

		print_message("%s\n", s.dst);
		rf_mark(f->lane);
		for (int n = 0; n < 40; n++) {
			s.sport += kinds[i].new_flows;
			sent += lf_pass(f, LF_INSIDE, &s) != NULL;
		}
		assert_in_range(sent, 1, 20);
		rf_expect(f->lane, kinds[i].reason, 40 - sent);
		s.src = "10.1.0.3";
		assert_int_equal(lf_pass(f, LF_INSIDE, &s) != NULL, kinds[i].of_source);
		rf_expect(f->lane, kinds[i].reason, 40 - sent + !kinds[i].of_source);
	}
}

/* Put a SYN with an MSS option at an even or odd offset through; what it announces afterwards. */
static uint16_t clamped(struct lf *f, uint16_t port, const struct lf_spec *spec, uint16_t mss,
			bool odd)
{
	struct lf_bytes *bytes = malloc(sizeof(*bytes));
	uint8_t *ip = bytes->b + 14, *l4 = ip + 20, *opt = l4 + 20;
	const struct lf_sent *sent;
	uint16_t got;

	lf_build(bytes, spec);
	memset(opt, 1, 8);
	opt += odd;
	opt[0] = 2;
	opt[1] = 4;
	opt[2] = (uint8_t)(mss >> 8);
	opt[3] = (uint8_t)mss;
	memset(l4 + 16, 0, 2);
	{
		uint16_t sum =
			lf_sum(l4, bytes->len - 34, lf_sum(ip + 12, 8, 6 + (bytes->len - 34)));

		if (spec->csum == LF_CSUM_PARTIAL) /* the pseudo-header's alone */
			sum = (uint16_t)~lf_sum(ip + 12, 8, 6 + (bytes->len - 34));
		l4[16] = (uint8_t)(~sum >> 8);
		l4[17] = (uint8_t)~sum;
	}
	lf_deliver(f, port, bytes->b, bytes->len, 0, 0, 0);
	lf_poll(f);
	while (lf_answer(f)) {
		xe_hold_poll(f->lane);
		lf_drain_tx(f);
	}
	assert_int_equal(f->sent_cnt, 1);
	sent = &f->sent[0];
	assert_true(lf_l4_csum_valid(sent->bytes + 14));
	opt = sent->bytes + 14 + 20 + 20 + odd;
	got = (uint16_t)(opt[2] << 8 | opt[3]);
	free(bytes);
	return got;
}

static void test_mss(void **state)
{
	struct lf_spec s = {.src = "10.1.0.2",
			    .dst = "198.51.100.4",
			    .dport = 7,
			    .proto = IPPROTO_TCP,
			    .tcp_flags = SYN,
			    .tcp_options_len = 8};
	struct lf *f = *state;
	struct lf_spec back = {.dst = "192.0.2.1",
			       .src = "198.51.100.4",
			       .sport = 7,
			       .proto = IPPROTO_TCP,
			       .tcp_flags = SYN | ACK,
			       .tcp_options_len = 8};
	const struct xe_session *session;

	for (int odd = 0; odd < 2; odd++) {
		s.sport = (uint16_t)(3000 + odd * 10);
		s.csum = LF_CSUM_FULL;
		assert_int_equal(clamped(f, LF_INSIDE, &s, 1460, odd), 1000);
		s.sport++;
		assert_int_equal(clamped(f, LF_INSIDE, &s, 1000, odd), 1000);
		s.sport++;
		assert_int_equal(clamped(f, LF_INSIDE, &s, 536, odd), 536);
		s.sport++;
		s.csum = LF_CSUM_PARTIAL;
		assert_int_equal(clamped(f, LF_INSIDE, &s, 9000, odd), 1000);
	}
	/* The answer, too. */
	session = &f->lane->sessions.slots[0];
	back.dport = ntohs(session->key[XE_DIR_BACK].dport_be);
	back.ack = 1;
	assert_int_equal(clamped(f, LF_UPLINK, &back, 1460, false), 1000);
	/* By the path: the narrower of route and inside port, both ways. */
	s.csum = LF_CSUM_FULL;
	s.dst = "198.51.100.5";
	s.sport = 4000;
	f->mtu = 1300;
	assert_int_equal(clamped(f, LF_INSIDE, &s, 1460, false), 1260);
}

/* The sender is told, nothing leaves, no session stays. */
static void test_reject(void **state)
{
	struct lf_spec s = {.src = "10.1.0.2",
			    .sport = 5000,
			    .dst = "198.51.100.99",
			    .dport = 7,
			    .proto = IPPROTO_TCP,
			    .tcp_flags = SYN,
			    .seq = 77};
	struct lf *f = *state;
	const struct lf_sent *sent;

	rf_mark(f->lane);
	sent = lf_pass(f, LF_INSIDE, &s);
	assert_non_null(sent);
	assert_int_equal(sent->port, LF_INSIDE);
	assert_int_equal(sent->bytes[14 + 20 + 13] & XE_TH_RST, XE_TH_RST);
	s.proto = 0;
	s.payload_len = 20;
	sent = lf_pass(f, LF_INSIDE, &s);
	assert_non_null(sent);
	assert_int_equal(sent->bytes[14 + 9], IPPROTO_ICMP);
	assert_int_equal(sent->bytes[34], 3);
	assert_int_equal(sent->bytes[35], 13);
	rf_expect(f->lane, XE_R_REJECTED, 2);
	assert_int_equal(f->lane->cnt.made, 2);
	assert_int_equal(f->lane->sessions.cnt, 0);
}

/* Flows of an exempt destination do not count, and are let in when all places are taken. */
static void test_no_limit(void **state)
{
	struct lf_spec s = {.src = "10.1.0.2", .dst = "198.51.100.7", .dport = 7};
	struct lf *f = *state;

	f->lane->sessions_per_source = 3;
	s.dst = "198.51.100.6";
	for (s.sport = 1000; s.sport < 1010; s.sport++)
		assert_non_null(lf_pass(f, LF_INSIDE, &s));
	s.dst = "198.51.100.7";
	for (s.sport = 1000; s.sport < 1003; s.sport++)
		assert_non_null(lf_pass(f, LF_INSIDE, &s));
	lf_pass(f, LF_INSIDE, &s);
	assert_int_equal(dropped(f, XE_R_SOURCE_LIMIT), 1);
	s.dst = "198.51.100.6";
	s.sport = 2000;
	assert_non_null(lf_pass(f, LF_INSIDE, &s));
	assert_int_equal(f->lane->sessions.cnt, 14);
}

/* Flows under no terms have none, and those under some lose them with their end. */
static void test_flags(void **state)
{
	struct lf_spec s = {.src = "10.1.0.2", .sport = 5, .dst = "198.51.100.7", .dport = 7};
	struct lf *f = *state;

	assert_non_null(lf_pass(f, LF_INSIDE, &s));
	assert_int_equal(f->lane->sessions.slots[0].flags & XE_SF_TERMS, 0);
	xe_flow_end(f->lane, &f->lane->sessions.slots[0]);
	s.dst = "198.51.100.2";
	assert_non_null(lf_pass(f, LF_INSIDE, &s));
	assert_int_equal(f->lane->sessions.slots[0].flags & XE_SF_TERMS, XE_SF_TERMS);
	assert_int_equal(f->lane->terms.refs[2], 1);
	xe_flow_end(f->lane, &f->lane->sessions.slots[0]);
	assert_int_equal(f->lane->terms.refs[2], 0);
	s.dst = "198.51.100.7";
	assert_non_null(lf_pass(f, LF_INSIDE, &s));
	assert_int_equal(f->lane->sessions.slots[0].flags & XE_SF_TERMS, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_packets), TEST(test_bits_of_source), TEST(test_new_flows),
		TEST(test_mss),     TEST(test_reject),         TEST(test_no_limit),
		TEST(test_flags),   TEST(test_each_kind),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
