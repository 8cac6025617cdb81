/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_answer.c - what a worker answers by itself (pipeline/answer.h): every byte of it, to whom,
 * by which port; what is not answered; the limits. Packets are built byte by byte here, both
 * families.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "flow_fixture.h"

#define CNT(a) (sizeof(a) / sizeof((a)[0]))

static const char *const rules[] = {
	"masquerade from 10.1.0.0/16",
	NULL,
};

static int setup(void **state)
{
	*state = lf_open(rules, 1024);
	return 0;
}

static const struct lf_spec udp4 = {
	.src = "10.1.0.2", .sport = 5000, .dst = "198.51.100.9", .dport = 7, .payload_len = 50};

/* A packet in a frame of the lane, parsed as xe_parse() does; freed with lf_put_back(). */
static struct xe_packet packet_of(struct lf *f, uint16_t port, const uint8_t *bytes, uint32_t len)
{
	struct xe_packet p = {.in_port = port, .frame_cnt = 1, .len = len};
	const uint8_t *ip = bytes + 14;
	uint32_t frame = 0;

	assert_int_equal(xe_umem_take(&f->lane->umem, &frame, 1), 1);
	p.frames[0].addr = ((uint64_t)frame << XE_FRAME_SHIFT) + XE_FRAME_HEADROOM;
	p.frames[0].len = len < XE_FRAME_ROOM ? len : XE_FRAME_ROOM;
	p.l2 = xe_umem_ptr(&f->lane->umem, p.frames[0].addr);
	memcpy(p.l2, bytes, p.frames[0].len);
	p.role = f->lane->ports[port].role;
	p.proto = ip[0] >> 4 == 6 ? ip[6] : ip[9];
	p.l4_off = (uint16_t)(14 + (ip[0] >> 4 == 6 ? 40 : (ip[0] & 15) * 4));
	p.l4_len = len - p.l4_off;
	p.l4_hdr_len = p.proto == IPPROTO_TCP ? (uint8_t)((bytes[p.l4_off + 12] >> 4) * 4) : 8;
	p.tcp_flags = p.proto == IPPROTO_TCP ? bytes[p.l4_off + 13] : 0;
	return p;
}

static void put_back(struct lf *f, struct xe_packet *p)
{
	xe_umem_put(&f->lane->umem, xe_frame_of(p->frames[0].addr));
}

/* Answer it and give what left, NULL: nothing did. */
static const struct lf_sent *answer(struct lf *f, struct xe_packet *p, enum xe_answer_kind kind,
				    uint32_t arg)
{
	f->sent_cnt = 0;
	xe_answer(f->lane, p, kind, arg);
	put_back(f, p);
	lf_drain_tx(f);
	lf_check_conservation(f);
	for (uint16_t port = 1; port < LF_PORT_END; port++)
		xe_xsk_complete(&f->xsk[port], &f->lane->umem);
	lf_check_conservation(f);
	assert_in_range(f->sent_cnt, 0, 1);
	return f->sent_cnt ? &f->sent[0] : NULL;
}

static uint32_t be16(const uint8_t *p)
{
	return (uint32_t)(p[0] << 8 | p[1]);
}

static uint32_t be32(const uint8_t *p)
{
	return be16(p) << 16 | be16(p + 2);
}

static void expect_addr4(const uint8_t *at, const char *text)
{
	in_addr_t addr = inet_addr(text);

	assert_memory_equal(at, &addr, 4);
}

static void expect_addr6(const uint8_t *at, const char *text)
{
	struct in6_addr addr;

	assert_int_equal(inet_pton(AF_INET6, text, &addr), 1);
	assert_memory_equal(at, &addr, 16);
}

/* Ethernet addresses are those of the packet, swapped. */
static void expect_l2(const struct lf_sent *sent, const uint8_t *in, uint16_t port)
{
	assert_non_null(sent);
	assert_int_equal(sent->port, port);
	assert_memory_equal(sent->bytes, in + 6, 6);
	assert_memory_equal(sent->bytes + 6, in, 6);
	assert_memory_equal(sent->bytes + 12, in + 12, 2);
}

static void set_l2(struct lf_bytes *b, uint16_t port)
{
	const uint8_t to[6] = {2, 0, 0, 0, 0, (uint8_t)port}, from[6] = {2, 1, 0, 0, 0, 9};

	memcpy(b->b, to, 6);
	memcpy(b->b + 6, from, 6);
}

/* An IPv6 packet: a UDP datagram or TCP segment (flags) with payload_len bytes. */
static void build6(struct lf_bytes *b, const char *src, const char *dst, uint8_t proto,
		   uint8_t flags, uint32_t payload_len)
{
	uint32_t l4_len = payload_len + (proto == IPPROTO_TCP ? 20 : 8);
	uint8_t *ip = b->b + 14, *l4 = ip + 40;

	memset(b->b, 0, 14 + 40 + 20);
	b->b[12] = 0x86;
	b->b[13] = 0xdd;
	ip[0] = 0x60;
	ip[4] = (uint8_t)(l4_len >> 8);
	ip[5] = (uint8_t)l4_len;
	ip[6] = proto;
	ip[7] = 64;
	inet_pton(AF_INET6, src, ip + 8);
	inet_pton(AF_INET6, dst, ip + 24);
	l4[0] = 0x13, l4[1] = 0x88; /* 5000 */
	l4[3] = 7;
	if (proto == IPPROTO_TCP) {
		l4[4] = 0xff, l4[5] = 0xff, l4[6] = 0xff, l4[7] = 0xfe;
		l4[11] = 77;
		l4[12] = 0x50;
		l4[13] = flags;
	}
	memset(l4 + l4_len - payload_len, 0x5a, payload_len);
	b->len = 14 + 40 + l4_len;
}

/* ---- errors ---- */

static const struct {
	const char *name;
	enum xe_answer_kind kind;
	uint32_t arg, icmp4, rest4, icmp6, rest6; /* type and code; the second word */
} error_cases[] = {
	{"too big", XE_ANSWER_TOO_BIG, 1280, 0x0304, 1280, 0x0200, 1280},
	{"prohibited", XE_ANSWER_PROHIBITED, 0, 0x030d, 0, 0x0101, 0},
	{"TTL", XE_ANSWER_TTL, 0, 0x0b00, 0, 0x0300, 0},
	{"reject", XE_ANSWER_REJECT, 0, 0x030d, 0, 0x0101, 0},
};

static void test_errors4(void **state)
{
	static struct lf_bytes in;
	struct lf *f = *state;
	struct lf_spec s = udp4;

	for (size_t i = 0; i < CNT(error_cases) * 3; i++) {
		uint32_t quoted;
		const struct lf_sent *sent;
		struct xe_packet p;
		const uint8_t *b;

		s.payload_len = i % 3 == 0 ? 0 : i % 3 == 1 ? 519 : 1472;
		s.ip_options_len = i % 3 == 1 ? 12 : 0;
		lf_build(&in, &s);
		set_l2(&in, LF_INSIDE);
		p = packet_of(f, LF_INSIDE, in.b, in.len);
		sent = answer(f, &p, error_cases[i / 3].kind, error_cases[i / 3].arg);
		expect_l2(sent, in.b, LF_INSIDE);
		b = sent->bytes + 14;
		quoted = in.len - 14 < 548 ? in.len - 14 : 548;
		assert_int_equal(sent->len, 14 + 28 + quoted);
		assert_int_equal(be16(b), 0x45c0);
		assert_int_equal(be16(b + 2), 28 + quoted);
		assert_int_equal(be16(b + 6), 0x4000);
		assert_int_equal(be16(b + 8), 64 << 8 | IPPROTO_ICMP);
		assert_int_equal(lf_sum(b, 20, 0), 0xffff);
		expect_addr4(b + 12, "10.1.0.1");
		expect_addr4(b + 16, "10.1.0.2");
		assert_int_equal(be16(b + 20), error_cases[i / 3].icmp4);
		assert_int_equal(be32(b + 24), error_cases[i / 3].rest4);
		assert_int_equal(lf_sum(b + 20, 8 + quoted, 0), 0xffff);
		assert_memory_equal(b + 28, in.b + 14, quoted);
	}
}

static uint16_t sum6(const uint8_t *ip, uint8_t proto)
{
	uint32_t len = be16(ip + 4);

	return lf_sum(ip + 40, len, lf_sum(ip + 8, 32, proto + len));
}

static void test_errors6(void **state)
{
	static struct lf_bytes in;
	struct lf *f = *state;

	for (size_t i = 0; i < CNT(error_cases) * 2; i++) {
		uint32_t quoted;
		const struct lf_sent *sent;
		struct xe_packet p;
		const uint8_t *b;

		build6(&in, "2001:db8:1::5", "2001:db8:9::1", IPPROTO_UDP, 0, i % 2 ? 1400 : 1);
		set_l2(&in, LF_INSIDE);
		p = packet_of(f, LF_INSIDE, in.b, in.len);
		sent = answer(f, &p, error_cases[i / 2].kind, error_cases[i / 2].arg);
		expect_l2(sent, in.b, LF_INSIDE);
		b = sent->bytes + 14;
		quoted = in.len - 14 < 1232 ? in.len - 14 : 1232;
		assert_int_equal(sent->len, 14 + 48 + quoted);
		assert_int_equal(be32(b), 0x6c000000);
		assert_int_equal(be16(b + 4), 8 + quoted);
		assert_int_equal(be16(b + 6), IPPROTO_ICMPV6 << 8 | 64);
		expect_addr6(b + 8, "2001:db8:1::1");
		expect_addr6(b + 24, "2001:db8:1::5");
		assert_int_equal(be16(b + 40), error_cases[i / 2].icmp6);
		assert_int_equal(be32(b + 44), error_cases[i / 2].rest6);
		assert_int_equal(sum6(b, IPPROTO_ICMPV6), 0xffff);
		assert_memory_equal(b + 48, in.b + 14, quoted);
	}
}

/* Of a superpacket the first segment is quoted, with the length that has. */
static void test_quoted_segment(void **state)
{
	static struct lf_bytes in, first;
	struct lf *f = *state;
	const struct lf_sent *sent;
	struct lf_spec s = udp4;
	struct xe_packet p;

	s.proto = IPPROTO_TCP;
	s.tcp_flags = XE_TH_ACK;
	s.payload_len = 20000;
	lf_build(&in, &s);
	set_l2(&in, LF_INSIDE);
	s.payload_len = 300;
	lf_build(&first, &s);
	p = packet_of(f, LF_INSIDE, in.b, in.len);
	p.gso_size = 300;
	sent = answer(f, &p, XE_ANSWER_TOO_BIG, 200);
	assert_non_null(sent);
	assert_int_equal(sent->len, 14 + 28 + 340);
	assert_int_equal(lf_sum(sent->bytes + 42, 20, 0), 0xffff);
	assert_memory_equal(sent->bytes + 42, first.b + 14, 20);
	assert_memory_equal(sent->bytes + 42 + 40, in.b + 54, 300);
	assert_int_equal(lf_sum(sent->bytes + 34, 348, 0), 0xffff);
}

/* From outside: who was spoken to answers where it is ours, else the host's own address. */
static void test_from_outside(void **state)
{
	static struct lf_bytes in;
	struct lf_spec s = {.src = "198.51.100.9", .sport = 7, .dst = "192.0.2.10", .dport = 9};
	struct xe_session session = {.key = {{.src_be = 1}, {.dst_be = 2}}};
	struct lf *f = *state;
	struct xe_packet p;

	lf_build(&in, &s);
	set_l2(&in, LF_UPLINK);
	p = packet_of(f, LF_UPLINK, in.b, in.len);
	p.session = &session;
	expect_addr4(answer(f, &p, XE_ANSWER_TTL, 0)->bytes + 26, "192.0.2.10");
	session.key[XE_DIR_BACK].dst_be = 1;
	p = packet_of(f, LF_UPLINK, in.b, in.len);
	p.session = &session;
	expect_addr4(answer(f, &p, XE_ANSWER_TTL, 0)->bytes + 26, "192.0.2.1");
	p = packet_of(f, LF_UPLINK2, in.b, in.len);
	expect_addr4(answer(f, &p, XE_ANSWER_TTL, 0)->bytes + 26, "192.0.2.2");
	/* none of ours there: none */
	f->lane->ports[LF_UPLINK].own4_be = 0;
	p = packet_of(f, LF_UPLINK, in.b, in.len);
	assert_null(answer(f, &p, XE_ANSWER_TTL, 0));
	build6(&in, "2001:db8:9::1", "2001:db8:f::7", IPPROTO_UDP, 0, 10);
	session.key[XE_DIR_BACK].dst_be = 2;
	p = packet_of(f, LF_UPLINK, in.b, in.len);
	p.session = &session;
	expect_addr6(answer(f, &p, XE_ANSWER_TTL, 0)->bytes + 22, "2001:db8:f::7");
	f->lane->ports[LF_UPLINK].own6 = (struct xe_addr){};
	p = packet_of(f, LF_UPLINK, in.b, in.len);
	assert_null(answer(f, &p, XE_ANSWER_TTL, 0));
}

/* ---- resets ---- */

static const struct {
	const char *name;
	uint8_t flags;
	uint32_t payload_len, seq, ack; /* wanted */
	uint8_t want;                   /* 0: none */
} reset_cases[] = {
	{"SYN", XE_TH_SYN, 0, 0, 0xffffffff, XE_TH_RST | XE_TH_ACK},
	{"SYN with data", XE_TH_SYN, 100, 0, 99, XE_TH_RST | XE_TH_ACK},
	{"FIN", XE_TH_FIN, 0, 0, 0xffffffff, XE_TH_RST | XE_TH_ACK},
	{"SYN+FIN, 1 byte", XE_TH_SYN | XE_TH_FIN, 1, 0, 1, XE_TH_RST | XE_TH_ACK},
	{"no flags", 0, 3, 0, 1, XE_TH_RST | XE_TH_ACK},
	{"ACK", XE_TH_ACK, 100, 77, 0, XE_TH_RST},
	{"SYN+ACK", XE_TH_SYN | XE_TH_ACK, 0, 77, 0, XE_TH_RST},
	{"RST", XE_TH_RST, 0, 0, 0, 0},
	{"RST+ACK", XE_TH_RST | XE_TH_ACK, 0, 0, 0, 0},
};

static void expect_reset(const uint8_t *tcp, size_t i)
{
	assert_int_equal(be16(tcp), 7);
	assert_int_equal(be16(tcp + 2), 5000);
	assert_int_equal(be32(tcp + 4), reset_cases[i].seq);
	assert_int_equal(be32(tcp + 8), reset_cases[i].ack);
	assert_int_equal(be16(tcp + 12), 0x5000 | reset_cases[i].want);
	assert_int_equal(be16(tcp + 14), 0);
	assert_int_equal(be16(tcp + 18), 0);
}

static void test_resets(void **state)
{
	static struct lf_bytes in;
	struct lf *f = *state;

	for (size_t i = 0; i < CNT(reset_cases) * 2; i++) {
		size_t n = i / 2;
		bool v6 = i & 1;
		const struct lf_sent *sent;
		struct lf_spec s = udp4;
		struct xe_packet p;

		print_message("%s\n", reset_cases[n].name);
		s.proto = IPPROTO_TCP;
		s.tcp_flags = reset_cases[n].flags;
		s.payload_len = reset_cases[n].payload_len;
		lf_build(&in, &s);
		memcpy(in.b + 34 + 4, "\xff\xff\xff\xfe\0\0\0\115", 8); /* sequence, ack 77 */
		if (v6)
			build6(&in, "2001:db8:1::5", "2001:db8:9::1", IPPROTO_TCP, s.tcp_flags,
			       s.payload_len);
		set_l2(&in, LF_INSIDE);
		p = packet_of(f, LF_INSIDE, in.b, in.len);
		sent = answer(f, &p, XE_ANSWER_REJECT, 0);
		if (!reset_cases[n].want) {
			assert_null(sent);
			continue;
		}
		expect_l2(sent, in.b, LF_INSIDE);
		assert_int_equal(sent->len, v6 ? 74 : 54);
		expect_reset(sent->bytes + (v6 ? 54 : 34), n);
		if (v6) {
			assert_int_equal(sum6(sent->bytes + 14, IPPROTO_TCP), 0xffff);
			expect_addr6(sent->bytes + 22, "2001:db8:9::1");
			expect_addr6(sent->bytes + 38, "2001:db8:1::5");
		} else {
			assert_true(lf_l4_csum_valid(sent->bytes + 14));
			assert_int_equal(lf_sum(sent->bytes + 14, 20, 0), 0xffff);
			expect_addr4(sent->bytes + 26, "198.51.100.9");
			expect_addr4(sent->bytes + 30, "10.1.0.2");
		}
	}
}

/* ---- what is not answered, and how often the rest is ---- */

static void test_not_answered(void **state)
{
	static const char *const sources[] = {"0.0.0.0",   "0.1.2.3",         "127.0.0.1",
					      "224.0.0.1", "255.255.255.255", "240.0.0.1"};
	static const char *const sources6[] = {"::", "::1", "ff02::1"};
	static struct lf_bytes in;
	struct lf *f = *state;
	struct xe_packet p;

	for (size_t i = 0; i < CNT(sources); i++) {
		struct lf_spec s = udp4;

		s.src = sources[i];
		lf_build(&in, &s);
		p = packet_of(f, LF_INSIDE, in.b, in.len);
		assert_null(answer(f, &p, XE_ANSWER_PROHIBITED, 0));
	}
	for (size_t i = 0; i < CNT(sources6); i++) {
		build6(&in, sources6[i], "2001:db8:9::1", IPPROTO_UDP, 0, 10);
		p = packet_of(f, LF_INSIDE, in.b, in.len);
		assert_null(answer(f, &p, XE_ANSWER_PROHIBITED, 0));
	}
	lf_build(&in, &udp4);
	in.b[23] = IPPROTO_ICMP;
	p = packet_of(f, LF_INSIDE, in.b, in.len);
	assert_null(answer(f, &p, XE_ANSWER_TTL, 0));
	lf_build(&in, &udp4);
	in.b[21] = 1; /* a later fragment */
	p = packet_of(f, LF_INSIDE, in.b, in.len);
	assert_null(answer(f, &p, XE_ANSWER_TTL, 0));
	lf_build(&in, &udp4);
	in.b[0] = 1; /* to an Ethernet group */
	p = packet_of(f, LF_INSIDE, in.b, in.len);
	assert_null(answer(f, &p, XE_ANSWER_TTL, 0));
	assert_int_equal(f->lane->cnt.made, 0);
}

static uint32_t ask_n(struct lf *f, uint32_t n, uint32_t sources, enum xe_answer_kind kind)
{
	uint64_t made = f->lane->cnt.made;
	struct lf_spec s = udp4;
	static struct lf_bytes in;

	s.proto = IPPROTO_TCP;
	s.tcp_flags = XE_TH_SYN;
	for (uint32_t i = 0; i < n; i++) {
		struct xe_packet p;
		char src[INET_ADDRSTRLEN];

		snprintf(src, sizeof(src), "10.1.%u.%u", i % sources / 250, i % sources % 250 + 1);
		s.src = src;
		lf_build(&in, &s);
		p = packet_of(f, LF_INSIDE, in.b, in.len);
		answer(f, &p, kind, 0);
	}
	return (uint32_t)(f->lane->cnt.made - made);
}

static void test_limits(void **state)
{
	struct lf *f = *state;

	assert_int_equal(ask_n(f, 150, 1, XE_ANSWER_PROHIBITED), XE_ANSWERS_PER_SOURCE_S);
	assert_int_equal(ask_n(f, 10, 1, XE_ANSWER_REJECT), 10); /* counted apart */
	assert_int_equal(ask_n(f, XE_ANSWERS_PER_S + 100, 500, XE_ANSWER_PROHIBITED),
			 XE_ANSWERS_PER_S - XE_ANSWERS_PER_SOURCE_S);
	f->lane->now_s++;
	assert_int_equal(ask_n(f, 1, 1, XE_ANSWER_PROHIBITED), 1);
	assert_int_equal(ask_n(f, XE_RESETS_PER_SOURCE_S + 10, 1, XE_ANSWER_REJECT),
			 XE_RESETS_PER_SOURCE_S);
}

/* Without a free frame there is no answer, and nothing is counted. */
static void test_no_frames(void **state)
{
	static uint32_t frames[LF_FRAMES];
	static struct lf_bytes in;
	struct lf *f = *state;
	struct xe_packet p;
	uint32_t n;

	lf_build(&in, &udp4);
	p = packet_of(f, LF_INSIDE, in.b, in.len);
	n = xe_umem_take(&f->lane->umem, frames, LF_FRAMES);
	xe_answer(f->lane, &p, XE_ANSWER_TTL, 0);
	assert_int_equal(f->lane->cnt.made, 0);
	while (n)
		xe_umem_put(&f->lane->umem, frames[--n]);
	put_back(f, &p);
}

#define LANE_TEST(name) cmocka_unit_test_setup_teardown(name, setup, ff_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		LANE_TEST(test_errors4),        LANE_TEST(test_errors6),
		LANE_TEST(test_quoted_segment), LANE_TEST(test_from_outside),
		LANE_TEST(test_resets),         LANE_TEST(test_not_answered),
		LANE_TEST(test_limits),         LANE_TEST(test_no_frames),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
