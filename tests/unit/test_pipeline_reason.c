/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_pipeline_reason.c - how packets end that are not sent: every reason of a worker, counted
 * once and nothing else with it, in a lane in memory (lane_fixture.h). Those that need more than
 * one packet stand with what they are about (test_cut.c, test_reassemble.c, test_icmp.c,
 * test_limit.c, test_flow_in.c, test_handover.c, test_stall.c), LEFT_BEHIND in
 * tests/netns/t_takeover.sh.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <cmocka.h>

#include "flow_fixture.h"
#include "reason_fixture.h"

#define CNT(a)   (sizeof(a) / sizeof((a)[0]))
#define TCP      IPPROTO_TCP
#define SESSIONS 8u

static const char *const rules[] = {
	"drop from 10.1.0.0/16 to 192.0.2.128/25",
	"kernel tcp to 0.0.0.0/0:25",
	"accept from 10.1.0.0/16 to 10.2.0.0/16",
	"masquerade from 10.1.8.0/24 ports 50000-50001",
	"masquerade from 10.1.0.0/16",
	NULL,
};

static int setup(void **state)
{
	*state = lf_open(rules, 1024);
	return 0;
}

static void put_n(struct lf *f, uint32_t n, bool other_dst)
{
	struct lf_spec s = ff_out;
	char dst[INET_ADDRSTRLEN];

	for (uint32_t i = 0; i < n; i++) {
		snprintf(dst, sizeof(dst), "198.51.100.%u", (uint8_t)(other_dst ? i + 20 : 9));
		s.dst = dst;
		s.sport = (uint16_t)(6000 + i);
		lf_put(f, LF_INSIDE, &s);
	}
	lf_poll(f);
}

static void fill_sessions(struct lf *f)
{
	ff_open(f);
	put_n(f, SESSIONS - 1, false);
}

static void fill_nexthops(struct lf *f)
{
	put_n(f, SESSIONS, true);
	assert_int_equal(f->lane->hold.cnt, SESSIONS);
}

static void fill_hop(struct lf *f)
{
	put_n(f, XE_HOLD_PER_HOP, false);
	assert_int_equal(f->lane->hold.cnt, XE_HOLD_PER_HOP);
}

static void limit_source(struct lf *f)
{
	f->lane->sessions_per_source = 3;
	ff_open(f);
	put_n(f, 2, false);
}

static void fill_range(struct lf *f)
{
	struct lf_spec s = ff_out;

	s.src = "10.1.8.8";
	for (s.sport = 1; s.sport < 3; s.sport++)
		assert_non_null(lf_pass(f, LF_INSIDE, &s));
}

static void fill_tx_ring(struct lf *f)
{
	ff_open(f);
	lf_poll(f);
	for (uint32_t i = 0; i < LF_RING; i += XE_BURST_SIZE) {
		for (uint32_t n = 0; n < XE_BURST_SIZE; n++)
			lf_put(f, LF_INSIDE, &ff_out);
		assert_int_equal(xe_pipeline_poll(f->lane), XE_BURST_SIZE);
	}
}

static void inside_gone(struct lf *f)
{
	ff_open(f);
	f->lane->ports[LF_INSIDE].live = false;
}

static void uplink_gone(struct lf *f)
{
	ff_open(f);
	f->lane->ports[LF_UPLINK].live = false;
}

static void small_inside_mtu(struct lf *f)
{
	ff_open(f);
	f->lane->ports[LF_INSIDE].mtu = 77;
}

static void small_route_mtu(struct lf *f)
{
	f->mtu = 77;
}

static void no_punt_device(struct lf *f)
{
	f->nexthop_state = XE_NH_NO_ROUTE;
	shutdown(f->lane->punt_fd, SHUT_WR);
}

static void no_route(struct lf *f)
{
	f->nexthop_state = XE_NH_NO_ROUTE;
}

static void not_port(struct lf *f)
{
	f->nexthop_state = XE_NH_NOT_PORT;
}

static void no_neighbour(struct lf *f)
{
	f->nexthop_state = XE_NH_NO_NEIGHBOUR;
}

static void live_no_route(struct lf *f)
{
	ff_open(f);
	lf_change(f, XE_NH_NO_ROUTE);
}

static void live_not_port(struct lf *f)
{
	ff_open(f);
	lf_change(f, XE_NH_NOT_PORT);
}

static void live_no_neighbour(struct lf *f)
{
	ff_open(f);
	lf_change(f, XE_NH_NO_NEIGHBOUR);
}

static void no_rules(struct lf *f)
{
	f->lane->rules = NULL;
}

static const struct reason_case {
	const char *name;
	enum xe_worker_reason reason;
	uint16_t port;
	void (*prepare)(struct lf *f);
	struct lf_spec spec; /* what differs from ff_out, on an uplink ff_back */
} reason_cases[] = {
	{"spoofed", XE_R_W_SPOOFED, LF_INSIDE2, NULL, {}},
	{"drop rule",
	 XE_R_W_DROP_RULE,
	 LF_INSIDE,
	 NULL,
	 {.src = "10.1.0.2", .sport = 9, .dst = "192.0.2.200", .dport = 9}},
	{"no session", XE_R_NO_SESSION, LF_UPLINK, NULL, {}},
	{"mid-flow", XE_R_NOT_SYN, LF_INSIDE, NULL, {.proto = TCP, .tcp_flags = FF_ACK}},
	{"FF_SYN+FF_ACK first",
	 XE_R_NOT_SYN,
	 LF_INSIDE,
	 NULL,
	 {.proto = TCP, .tcp_flags = FF_SYN | FF_ACK}},
	{"FF_SYN+FF_FIN first",
	 XE_R_NOT_SYN,
	 LF_INSIDE,
	 NULL,
	 {.proto = TCP, .tcp_flags = FF_SYN | FF_FIN}},
	{"FF_RST first", XE_R_NOT_SYN, LF_INSIDE, NULL, {.proto = TCP, .tcp_flags = FF_RST}},
	{"sessions full", XE_R_SESSIONS_FULL, LF_INSIDE, fill_sessions, {.sport = 5999}},
	{"source limit", XE_R_SOURCE_LIMIT, LF_INSIDE, limit_source, {.sport = 5999}},
	{"range full", XE_R_L4_PORTS_EXHAUSTED, LF_INSIDE, fill_range, {.src = "10.1.8.9"}},
	{"next hops full", XE_R_NEXTHOPS_FULL, LF_INSIDE, fill_nexthops, {}},
	{"hold full for a hop", XE_R_HOLD_FULL, LF_INSIDE, fill_hop, {}},
	{"tx ring full", XE_R_TX_FULL, LF_INSIDE, fill_tx_ring, {}},
	{"no AF_PACKET",
	 XE_R_TX_REFUSED,
	 LF_INSIDE,
	 ff_open,
	 {.payload_len = 3000, .gso_size = 1000, .csum = LF_CSUM_PARTIAL}},
	{"inside port gone", XE_R_PORT_GONE, LF_UPLINK, inside_gone, {}},
	{"uplink gone", XE_R_PORT_GONE, LF_INSIDE, uplink_gone, {}},
	{"too big inward", XE_R_TOO_BIG, LF_UPLINK, small_inside_mtu, {}},
	{"same port", XE_R_NOT_ALLOWED, LF_INSIDE, NULL, {.dst = "10.1.0.3"}},
	{"punt refused", XE_R_PUNT_FAILED, LF_INSIDE, no_punt_device, {}},
	{"TTL ran out inward", XE_R_W_TTL, LF_UPLINK, ff_open, {.ttl = 1}},
	{"kernel rule",
	 XE_R_P_RULE,
	 LF_INSIDE,
	 NULL,
	 {.proto = TCP, .tcp_flags = FF_SYN, .dport = 25}},
	{"no rule", XE_R_P_RULE, LF_INSIDE2, NULL, {.src = "10.2.0.2"}},
	{"no rule set", XE_R_P_RULE, LF_INSIDE, no_rules, {}},
	{"no route", XE_R_P_NO_ROUTE, LF_INSIDE, no_route, {}},
	{"no neighbour", XE_R_P_NO_NEIGHBOUR, LF_INSIDE, no_neighbour, {}},
	{"not a port", XE_R_P_NOT_PORT, LF_INSIDE, not_port, {}},
	{"no route any more", XE_R_P_NO_ROUTE, LF_INSIDE, live_no_route, {}},
	{"no neighbour any more", XE_R_P_NO_NEIGHBOUR, LF_INSIDE, live_no_neighbour, {}},
	{"not a port any more", XE_R_P_NOT_PORT, LF_INSIDE, live_not_port, {}},
	{"too big outward", XE_R_P_TOO_BIG, LF_INSIDE, small_route_mtu, {}},
	{"superpacket with too big segments",
	 XE_R_P_TOO_BIG,
	 LF_INSIDE,
	 small_route_mtu,
	 {.gso_size = 50, .csum = LF_CSUM_PARTIAL}},
	{"TTL ran out", XE_R_P_TTL, LF_INSIDE, NULL, {.ttl = 1}},
	{"TTL ran out in a live flow", XE_R_P_TTL, LF_INSIDE, ff_open, {.ttl = 1}},
};

/* The sender is told: by an answer of our own, the only packet that leaves. */
static bool is_answered(enum xe_worker_reason reason)
{
	return reason == XE_R_TOO_BIG || reason == XE_R_W_TTL || reason == XE_R_SESSIONS_FULL ||
	       reason == XE_R_NEXTHOPS_FULL || reason == XE_R_SOURCE_LIMIT ||
	       reason == XE_R_L4_PORTS_EXHAUSTED;
}

static bool is_punt(enum xe_worker_reason reason)
{
	return reason >= XE_R_P_RULE && reason <= XE_R_P_TTL;
}

static struct lf_spec complete(const struct reason_case *c)
{
	const struct lf_spec *plain = c->port < LF_UPLINK ? &ff_out : &ff_back;
	struct lf_spec s = c->spec;

	s.src = s.src ? s.src : plain->src;
	s.dst = s.dst ? s.dst : plain->dst;
	s.sport = s.sport ? s.sport : plain->sport;
	s.dport = s.dport ? s.dport : plain->dport;
	s.payload_len = s.payload_len ? s.payload_len : plain->payload_len;
	return s;
}

/* One packet, one reason, once. */
static void check_reason(const struct reason_case *c)
{
	struct lf *f = lf_open(rules, SESSIONS);
	struct lf_spec spec = complete(c);
	struct xe_lane_counters before;
	uint32_t held;

	print_message("%s\n", c->name);
	if (c->prepare)
		c->prepare(f);
	before = f->lane->cnt;
	rf_mark(f->lane);
	held = f->lane->hold.cnt;
	lf_put(f, c->port, &spec);
	while (xe_pipeline_poll(f->lane))
		;
	lf_check_conservation(f);
	if (f->lane->hold.cnt != held) {
		lf_answer(f);
		xe_hold_poll(f->lane);
		lf_check_conservation(f);
	}
	assert_int_equal(f->lane->hold.cnt, held);
	rf_expect(f->lane, c->reason, 1);
	assert_int_equal(f->lane->cnt.rx_packets, before.rx_packets + 1);
	assert_int_equal(f->lane->cnt.made - before.made, is_answered(c->reason));
	assert_int_equal(f->lane->cnt.tx_packets - before.tx_packets,
			 f->lane->cnt.made - before.made);
	assert_int_equal(f->lane->cnt.to_kernel, before.to_kernel + is_punt(c->reason));
	if (is_punt(c->reason))
		lf_expect_punted(f, &spec);
	assert_int_equal(recv(f->punt_fd, &before, sizeof(before), 0) > 0, 0);
	lf_close(f);
}

static void test_reasons(void **state)
{
	(void)state;
	for (size_t i = 0; i < CNT(reason_cases); i++)
		check_reason(&reason_cases[i]);
}

/* Bytes that lie, each W_MALFORMED: offset, new value. A TCP FF_SYN of 100 payload bytes. */
static const struct {
	const char *name;
	uint8_t off, value;
	uint32_t cut; /* bytes left of the frame, 0: all */
} malformed_cases[] = {
	{"EtherType", 12, 0x86, 0},
	{"IP version", 14, 0x65, 0},
	{"IP header length 16", 14, 0x44, 0},
	{"IP header longer than the packet", 17, 19, 0},
	{"total length beyond the frame", 16, 0x01, 0},
	{"protocol", 23, 1, 0},
	{"TCP header of 16 bytes", 46, 0x40, 0},
	{"IP header runs into TCP", 14, 0x4f, 90},
	{"cut within TCP", 14, 0x45, 50},
	{"cut within IP", 14, 0x45, 30},
	{"cut within Ethernet", 14, 0x45, 10},
	{"one byte short", 14, 0x45, 153},
	{"UDP length beyond the packet", 23, 17, 0},
};

static void test_malformed(void **state)
{
	struct lf *f = *state;
	struct lf_spec s = ff_out;
	static struct lf_bytes b;

	s.proto = TCP;
	s.tcp_flags = FF_SYN;
	s.payload_len = 100;
	rf_mark(f->lane);
	for (size_t i = 0; i < CNT(malformed_cases); i++) {
		print_message("%s\n", malformed_cases[i].name);
		lf_build(&b, &s);
		b.b[malformed_cases[i].off] = malformed_cases[i].value;
		if (malformed_cases[i].value == 17 && malformed_cases[i].off == 23)
			b.b[38] = 0xff; /* reads as the UDP length */
		lf_deliver(f, LF_INSIDE, b.b,
			   malformed_cases[i].cut ? malformed_cases[i].cut : b.len, 0, 0, 0);
		lf_poll(f);
		assert_int_equal(f->lane->cnt.reason[XE_R_W_MALFORMED], i + 1);
		assert_int_equal(lf_drops(f), i + 1);
	}
	assert_int_equal(f->lane->nexthops.cnt, 0);
	/* headers split over frames are not read across */
	s.first_len = 60;
	s.tcp_options_len = 8;
	lf_put(f, LF_INSIDE, &s);
	/* a TCP header that goes on in the padding */
	s = (struct lf_spec){
		.src = s.src, .dst = s.dst, .proto = TCP, .tcp_flags = FF_SYN, .padding = 60};
	lf_build(&b, &s);
	b.b[46] = 0xf0;
	lf_deliver(f, LF_INSIDE, b.b, b.len, 0, 0, 0);
	lf_poll(f);
	rf_expect(f->lane, XE_R_W_MALFORMED, CNT(malformed_cases) + 2);
}

/* Without steer's metadata, or with another port's, nothing is believed. More frames than any IP
 * packet has are taken, dropped, and all come back. */
static void test_bad_frames(void **state)
{
	struct lf *f = *state;
	struct lf_spec s = ff_out;
	struct lf_ring *rx = &f->rings[LF_INSIDE * 4 + 1];

	for (uint32_t i = 0; i < sizeof(struct xe_meta); i++) {
		uint64_t before = lf_drops(f);

		lf_put(f, LF_INSIDE, &s);
		/* any other value of port or magic; the rest has no invalid values */
		xe_umem_ptr(&f->lane->umem,
			    rx->descs[(rx->producer - 1) % LF_RING].addr)[-1 - (int)i] ^= 0x40;
		lf_poll(f);
		if (i >= 4 && i <= 7)
			assert_int_equal(f->lane->cnt.reason[XE_R_W_MALFORMED], before + 1);
		lf_answer(f);
		xe_hold_poll(f->lane);
		lf_drain_tx(f);
	}
	s.payload_len = 100;
	s.first_len = 42;
	s.frame_len = 4;
	lf_put(f, LF_INSIDE, &s);
	lf_poll(f);
	assert_int_equal(f->lane->cnt.reason[XE_R_W_MALFORMED], 5);
}

#define LANE_TEST(name) cmocka_unit_test_setup_teardown(name, setup, ff_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reasons),
		LANE_TEST(test_malformed),
		LANE_TEST(test_bad_frames),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
