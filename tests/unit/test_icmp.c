/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_icmp.c - ICMP errors about flows (pipeline/icmp.h), in a lane in memory: what comes out is
 * compared byte by byte with an error about the packet as its sender built it; what is not carried
 * counts once, under one reason; mutated ones break nothing.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "flow_fixture.h"
#include "reason_fixture.h"

#define CNT(a) (sizeof(a) / sizeof((a)[0]))
#define TCP    IPPROTO_TCP
#define UDP    IPPROTO_UDP

static const char *const rules[] = {
	"accept from 10.1.0.0/16 to 10.2.0.0/16",
	"accept from 10.1.0.0/16 to 203.0.113.0/24",
	"masquerade from 10.1.0.0/16",
	"accept from 2001:db8:1::/64 to 2001:db8:113::/48",
	"masquerade from 2001:db8:1::/64",
	"dnat udp to 192.0.2.2:7000 dest 10.1.0.2:7000",
	NULL,
};

static int setup(void **state)
{
	*state = lf_open(rules, 1024);
	return 0;
}

/* An error to build: who says what to whom, about which packet. */
struct spec {
	const char *src, *dst;
	uint8_t type, code, ttl; /* ttl 0: 64 */
	uint32_t rest;           /* the second word */
	uint32_t ip_options_len; /* of the outer header */
	uint32_t quote_len;      /* bytes of the quoted packet, 0: all */
	uint32_t ext_len;        /* bytes behind it: RFC 4884 */
	bool df;
	struct lf_spec quoted;
};

static void put16(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static bool is_v6(const char *addr)
{
	return strchr(addr, ':');
}

/* The checksums, after a change. */
static void finish(struct lf_bytes *b, uint32_t hdr_len)
{
	uint8_t *ip = b->b + 14, *icmp = ip + hdr_len;
	uint32_t len = b->len - 14 - hdr_len, pseudo = 0;

	if (b->b[12] == 0x86) {
		pseudo = lf_sum(ip + 8, 32, len + IPPROTO_ICMPV6);
	} else {
		put16(ip + 10, 0);
		put16(ip + 10, (uint16_t)~lf_sum(ip, hdr_len, 0));
	}
	put16(icmp + 2, 0);
	put16(icmp + 2, (uint16_t)~lf_sum(icmp, len, pseudo));
}

static uint32_t hdr_len_of(const struct spec *s)
{
	return is_v6(s->src) ? 40 : 20 + s->ip_options_len;
}

static void build_ip(struct lf_bytes *b, const struct spec *s)
{
	uint8_t *ip = b->b + 14;

	if (is_v6(s->src)) {
		put16(b->b + 12, 0x86dd);
		put16(ip, 0x6c12);
		put16(ip + 4, b->len - 14 - 40);
		ip[6] = IPPROTO_ICMPV6;
		ip[7] = s->ttl ? s->ttl : 64;
		inet_pton(AF_INET6, s->src, ip + 8);
		inet_pton(AF_INET6, s->dst, ip + 24);
		return;
	}
	put16(b->b + 12, 0x0800);
	ip[0] = (uint8_t)(0x40 | hdr_len_of(s) / 4);
	ip[1] = 0xc1;
	put16(ip + 2, b->len - 14);
	put16(ip + 4, 0x4321);
	ip[6] = s->df ? 0x40 : 0;
	ip[8] = s->ttl ? s->ttl : 64;
	ip[9] = IPPROTO_ICMP;
	inet_pton(AF_INET, s->src, ip + 12);
	inet_pton(AF_INET, s->dst, ip + 16);
	memset(ip + 20, 1, s->ip_options_len);
}

static void build(struct lf_bytes *b, const struct spec *s)
{
	static struct lf_bytes q;
	uint32_t hdr_len = hdr_len_of(s), quote_len;
	uint8_t *icmp = b->b + 14 + hdr_len;

	lf_build(&q, &s->quoted);
	quote_len = s->quote_len ? s->quote_len : q.len - 14;
	if (s->ext_len) { /* behind 128 bytes, which the length field says (RFC 4884) */
		memset(q.b + 14 + quote_len, 0, 128);
		quote_len = 128;
	}
	b->len = 14 + hdr_len + 8 + quote_len + s->ext_len;
	memset(b->b, 0, 14 + hdr_len + 8);
	build_ip(b, s);
	icmp[0] = s->type;
	icmp[1] = s->code;
	put16(icmp + 4, s->rest >> 16);
	put16(icmp + 6, s->rest);
	if (s->ext_len)
		icmp[is_v6(s->src) ? 4 : 5] = is_v6(s->src) ? 128 / 8 : 128 / 4;
	memcpy(icmp + 8, q.b + 14, quote_len);
	memset(icmp + 8 + quote_len, 0xe4, s->ext_len);
	finish(b, hdr_len);
}

static void deliver(struct lf *f, uint16_t port, struct lf_bytes *b)
{
	static const uint8_t l2[12] = {2, 0, 0, 0, 0, 9, 2, 9, 9, 9, 9, 9};

	memcpy(b->b, l2, sizeof(l2));
	lf_deliver(f, port, b->b, b->len, 0, 0, 0);
	lf_poll(f);
}

static const struct lf_spec inner[] = {
	{.src = "10.1.0.2", .sport = 5000, .dst = "198.51.100.9", .dport = 7, .payload_len = 50},
	{.src = "10.1.0.2",
	 .sport = 5000,
	 .dst = "198.51.100.9",
	 .dport = 7,
	 .payload_len = 50,
	 .csum = LF_CSUM_ZERO},
	{.src = "10.1.0.2",
	 .sport = 5000,
	 .dst = "198.51.100.9",
	 .dport = 7,
	 .payload_len = 51,
	 .csum = LF_CSUM_WRONG},
	{.src = "10.1.0.2",
	 .sport = 5001,
	 .dst = "198.51.100.9",
	 .dport = 80,
	 .proto = TCP,
	 .tcp_flags = XE_TH_SYN,
	 .tcp_options_len = 12},
	{.src = "10.1.0.3",
	 .sport = 5002,
	 .dst = "198.51.100.9",
	 .dport = 80,
	 .proto = TCP,
	 .tcp_flags = XE_TH_SYN,
	 .payload_len = 99,
	 .ip_options_len = 8},
	/* untranslated */
	{.src = "10.1.0.2", .sport = 5003, .dst = "203.0.113.5", .dport = 7, .payload_len = 9},
	{.src = "2001:db8:1::5",
	 .sport = 5004,
	 .dst = "2001:db8:9::1",
	 .dport = 7,
	 .payload_len = 50},
	{.src = "2001:db8:1::5",
	 .sport = 5005,
	 .dst = "2001:db8:9::1",
	 .dport = 80,
	 .proto = TCP,
	 .tcp_flags = XE_TH_SYN,
	 .tcp_options_len = 12},
	{.src = "2001:db8:1::6",
	 .sport = 5006,
	 .dst = "2001:db8:9::1",
	 .dport = 7,
	 .payload_len = 51,
	 .ext_len = 16},
	{.src = "2001:db8:1::5",
	 .sport = 5007,
	 .dst = "2001:db8:113::1",
	 .dport = 7,
	 .payload_len = 9},
};

struct kind {
	uint8_t type, code;
	uint32_t rest;
};
#define FIRST6 6 /* of them */

static const struct kind kinds[] = {{3, 0, 0},    {3, 1, 0},        {3, 3, 0},
				    {3, 4, 1300}, {3, 13, 0},       {11, 0, 0},
				    {11, 1, 0},   {12, 0, 9 << 24}, {11, 0, 16 << 16}};

static const struct kind kinds6[] = {{1, 0, 0}, {1, 4, 0}, {2, 0, 1300}, {2, 0, 0x05000000},
				     {3, 0, 0}, {3, 1, 0}, {4, 1, 40}};

static struct kind kind_of(const struct lf_spec *in, size_t i)
{
	return is_v6(in->src) ? kinds6[i % CNT(kinds6)] : kinds[i % CNT(kinds)];
}

/* The untranslated ones leave by the other uplink. */
static uint16_t uplink_of(const struct lf_spec *in)
{
	return !strncmp(in->dst, "203", 3) || strstr(in->dst, ":113:") ? LF_UPLINK2 : LF_UPLINK;
}

/* Up to so many bytes of the L4 header; 0: all. */
static uint32_t quote_len_of(const struct lf_spec *in, uint32_t l4_len)
{
	if (!l4_len)
		return 0;
	return l4_len + (is_v6(in->src) ? 40 + in->ext_len : 20 + in->ip_options_len);
}

/* RFC 4884 knows extensions of these only. */
static uint32_t ext_len_of(const struct lf_spec *in, struct kind k, uint32_t len)
{
	return is_v6(in->src) && k.type != 1 && k.type != 3 ? 0 : len;
}

/* The flow of this packet is opened; `out` is the packet as it left, to be built again. */
static void open_flow(struct lf *f, const struct lf_spec *spec, struct lf_spec *out)
{
	const struct lf_sent *sent = lf_pass(f, LF_INSIDE, spec);
	static char src[16][INET6_ADDRSTRLEN];
	static uint32_t n;

	assert_non_null(sent);
	*out = *spec;
	if (is_v6(spec->src))
		out->src = inet_ntop(AF_INET6, sent->bytes + 22, src[n++ % 16], INET6_ADDRSTRLEN);
	else
		out->src = inet_ntop(AF_INET, sent->bytes + 26, src[n++ % 16], INET6_ADDRSTRLEN);
	out->sport = lf_sport(sent);
}

static struct lf_spec backward(const struct lf_spec *s)
{
	struct lf_spec b = *s;

	b.src = s->dst;
	b.dst = s->src;
	b.sport = s->dport;
	b.dport = s->sport;
	return b;
}

/* What left is this error, TTL one less, to the Ethernet address `l2` names. */
static void expect(const struct lf *f, const struct spec *want, uint16_t port)
{
	static struct lf_bytes w;
	struct spec s = *want;
	const struct lf_sent *sent = &f->sent[0];

	assert_int_equal(f->sent_cnt, 1);
	assert_int_equal(sent->port, port);
	s.ttl = (uint8_t)((s.ttl ? s.ttl : 64) - 1);
	build(&w, &s);
	assert_int_equal(sent->len, w.len);
	memcpy(w.b, sent->bytes, 12);
	assert_memory_equal(sent->bytes, w.b, w.len);
}

static const uint32_t quote_lens[] = {0, 8, 9, 12, 18, 20, 30, 0, 19, 16, 8};

/* From outside, by the peer and by a router on the way, of every kind and length. */
static void to_the_container(struct lf *f, const struct lf_spec *in, size_t i)
{
	static struct lf_bytes b;
	struct kind k = kind_of(in, i);
	bool router = i & 1;
	uint32_t used_s = f->lane->now_s, len = quote_lens[i % CNT(quote_lens)];
	struct lf_spec out;
	struct spec s;

	open_flow(f, in, &out);
	f->lane->now_s += 5;
	s = (struct spec){.src = !router          ? in->dst
				 : is_v6(in->src) ? "2001:db8:77::7"
						  : "192.0.2.77",
			  .dst = out.src,
			  .type = k.type,
			  .code = k.code,
			  .rest = k.rest,
			  .ip_options_len = i % 5 == 0 ? 12 : 0,
			  .quote_len = quote_len_of(in, len),
			  .ext_len = !len && i / 22 % 2 ? ext_len_of(in, k, 12) : 0,
			  .quoted = out};
	s.quoted.ttl = 1;
	build(&b, &s);
	deliver(f, uplink_of(in), &b);
	s.dst = in->src;
	s.quoted = *in;
	s.quoted.ttl = 1;
	expect(f, &s, LF_INSIDE);
	/* to where the flow's packets come from */
	assert_memory_equal(f->sent[0].bytes, "\2\1\0\0\0\1\2\0\0\0\0\1", 12);
	assert_int_equal(lf_drops(f) + lf_punts(f), 0);
	/* and the session has not noticed */
	for (uint32_t n = 0; n < f->lane->sessions.high; n++)
		assert_true(f->lane->sessions.slots[n].last_used_s <= used_s);
}

/* From a container, or from a router behind it, about what came in. */
static void from_the_container(struct lf *f, const struct lf_spec *in, size_t i)
{
	static struct lf_bytes b;
	struct kind k = kind_of(in, i);
	bool router = uplink_of(in) == LF_UPLINK && i & 1;
	uint32_t len = quote_lens[i % CNT(quote_lens)];
	struct lf_spec out;
	struct spec s;

	open_flow(f, in, &out);
	s = (struct spec){.src = !router          ? in->src
				 : is_v6(in->src) ? "2001:db8:1::99"
						  : "10.1.9.9",
			  .dst = in->dst,
			  .type = k.type,
			  .code = k.code,
			  .rest = k.rest,
			  .ip_options_len = i % 5 == 0 ? 4 : 0,
			  .quote_len = quote_len_of(in, len),
			  .ext_len = !len && i / 22 % 2 ? ext_len_of(in, k, 40) : 0,
			  .quoted = backward(in)};
	build(&b, &s);
	deliver(f, LF_INSIDE, &b);
	s.src = out.src;
	s.quoted = backward(&out);
	expect(f, &s, uplink_of(in));
	assert_int_equal(lf_drops(f) + lf_punts(f), 0);
}

/* So many that every kind meets every length, twice: the numbers of both share no factor. */
#define ROUNDS 630u

static void test_to_the_container(void **state)
{
	for (size_t i = 0; i < CNT(inner) * ROUNDS; i++)
		to_the_container(*state, &inner[i % CNT(inner)], i / CNT(inner));
}

static void test_from_the_container(void **state)
{
	for (size_t i = 0; i < CNT(inner) * ROUNDS; i++)
		from_the_container(*state, &inner[i % CNT(inner)], i / CNT(inner));
}

/* What an offload has not completed is quoted by a kernel as it is, and stays so. */
static void test_quoted_partial(void **state)
{
	struct lf *f = *state;
	static struct lf_bytes b;

	for (size_t i = 0; i < CNT(inner); i++) {
		struct lf_spec in = inner[i], out;
		struct spec s = {.type = 3, .code = 3};

		open_flow(f, &in, &out);
		in.csum = out.csum = LF_CSUM_PARTIAL;
		s.src = in.dst;
		s.dst = out.src;
		s.quoted = out;
		build(&b, &s);
		deliver(f, uplink_of(&in), &b);
		s.dst = in.src;
		s.quoted = in;
		expect(f, &s, LF_INSIDE);
		s.src = in.src;
		s.dst = in.dst;
		s.quoted = backward(&in);
		build(&b, &s);
		deliver(f, LF_INSIDE, &b);
		s.src = out.src;
		s.quoted = backward(&out);
		expect(f, &s, uplink_of(&in));
	}
}

/* Between two inside ports, untranslated. */
static void test_inside_to_inside(void **state)
{
	struct lf_spec in = {.src = "10.1.0.2", .sport = 5, .dst = "10.2.0.2", .dport = 6};
	struct spec s = {.src = "10.2.0.2", .dst = "10.1.0.2", .type = 3, .code = 3};
	struct lf *f = *state;
	static struct lf_bytes b;

	assert_non_null(lf_pass(f, LF_INSIDE, &in));
	s.quoted = in;
	build(&b, &s);
	deliver(f, LF_INSIDE2, &b);
	expect(f, &s, LF_INSIDE);
	/* by anybody else it could be anything */
	s.src = "10.2.0.3";
	build(&b, &s);
	deliver(f, LF_INSIDE2, &b);
	assert_int_equal(f->sent_cnt, 0);
	assert_int_equal(f->lane->cnt.reason[XE_R_W_SPOOFED], 1);
}

/* A flow that came by one uplink, to whose peer routes lead by the other: the container's first
 * word is that nobody listens there. */
static void test_back_by_the_other_uplink(void **state)
{
	struct lf_spec in = ff_udp("198.51.100.9", 7, "192.0.2.2", 7000), is = in;
	struct spec s = {.src = "10.1.0.2", .dst = "198.51.100.9", .type = 3, .code = 3};
	struct lf *f = *state;
	static struct lf_bytes b;

	is.dst = "10.1.0.2";
	ff_passes(f, LF_UPLINK2, in, LF_INSIDE, is);
	s.quoted = is;
	build(&b, &s);
	deliver(f, LF_INSIDE, &b);
	s.src = "192.0.2.2";
	s.quoted = in;
	expect(f, &s, LF_UPLINK);
	assert_int_equal(lf_drops(f), 0);
}

/* Ethernet padding is no part of it. */
static void test_padding(void **state)
{
	struct lf *f = *state;
	static struct lf_bytes b;
	struct lf_spec out;
	struct spec s = {.src = "192.0.2.77", .type = 3, .code = 1, .quote_len = 28};

	open_flow(f, &inner[0], &out);
	s.dst = out.src;
	s.quoted = out;
	build(&b, &s);
	memset(b.b + b.len, 0xee, 10);
	b.len += 10;
	deliver(f, LF_UPLINK, &b);
	s.dst = inner[0].src;
	s.quoted = inner[0];
	expect(f, &s, LF_INSIDE);
}

/* ---- what is not carried ---- */

static void inside_gone(struct lf *f)
{
	f->lane->ports[LF_INSIDE].live = false;
}

static void small_mtu(struct lf *f)
{
	f->lane->ports[LF_INSIDE].mtu = 100;
}

static void no_neighbour(struct lf *f)
{
	lf_change(f, XE_NH_RESOLVING);
}

static void no_route(struct lf *f)
{
	lf_change(f, XE_NH_NO_ROUTE);
}

static void host_has_all(struct lf *f)
{
	f->taken.local = 1u << 16 | 65535;
}

/* One byte of a good error changed: offset from the Ethernet header, and its value. */
static const struct drop_case {
	const char *name;
	enum xe_worker_reason reason;
	void (*prepare)(struct lf *f);
	uint16_t off;
	uint8_t value;
	bool fix;     /* the checksums, after the change */
	bool outward; /* from the container */
	struct spec s;
} drop_cases[] = {
	{"ICMP checksum", XE_R_ICMP_BAD_CSUM, NULL, 37, 0x55, false, false, {}},
	{"quoted header's checksum", XE_R_ICMP_BAD_CSUM, NULL, 43, 0x55, true, false, {}},
	{"ICMP checksum, outward", XE_R_ICMP_BAD_CSUM, NULL, 37, 0x55, false, true, {}},
	{"payload", XE_R_ICMP_BAD_CSUM, NULL, 90, 0x55, false, false, {}},
	{"another L4 port", XE_R_ICMP_NO_SESSION, NULL, 65, 99, true, false, {}},
	{"outward, another L4 port", XE_R_ICMP_NO_SESSION, NULL, 65, 99, true, true, {}},
	{"the host's perhaps", XE_R_P_HOST_FLOW, host_has_all, 65, 99, true, false, {}},
	{"outward, not the host's", XE_R_ICMP_NO_SESSION, host_has_all, 65, 99, true, true, {}},
	{"TTL 1", XE_R_W_TTL, NULL, 0, 0, false, false, {.ttl = 1}},
	{"TTL 1, outward", XE_R_W_TTL, NULL, 0, 0, false, true, {.ttl = 1}},
	{"port gone", XE_R_PORT_GONE, inside_gone, 0, 0, false, false, {}},
	{"too big", XE_R_TOO_BIG, small_mtu, 0, 0, false, false, {.df = true}},
	{"neighbour not known", XE_R_ICMP_NO_WAY, no_neighbour, 0, 0, false, true, {}},
	{"no route any more", XE_R_ICMP_NO_WAY, no_route, 0, 0, false, true, {}},
	{"not to the quoted sender", XE_R_W_MALFORMED, NULL, 33, 99, true, false, {}},
	{"echo request", XE_R_W_MALFORMED, NULL, 0, 0, false, false, {.type = 8}},
	{"redirect", XE_R_W_MALFORMED, NULL, 0, 0, false, false, {.type = 5}},
	{"source quench", XE_R_W_MALFORMED, NULL, 0, 0, false, true, {.type = 4}},
	{"7 bytes of L4", XE_R_W_MALFORMED, NULL, 0, 0, false, false, {.quote_len = 27}},
	{"half a header", XE_R_W_MALFORMED, NULL, 0, 0, false, false, {.quote_len = 16}},
	{"quoted IPv6", XE_R_W_MALFORMED, NULL, 42, 0x65, true, false, {}},
	{"quoted header of 16", XE_R_W_MALFORMED, NULL, 42, 0x44, true, false, {}},
	{"quoted header too long",
	 XE_R_W_MALFORMED,
	 NULL,
	 42,
	 0x4f,
	 true,
	 false,
	 {.quote_len = 60}},
	{"quoted later fragment", XE_R_W_MALFORMED, NULL, 49, 1, true, false, {}},
	{"quoted ICMP", XE_R_W_MALFORMED, NULL, 51, 1, true, false, {}},
	{"a fragment", XE_R_W_MALFORMED, NULL, 20, 0x20, true, false, {}},
	{"total length beyond", XE_R_W_MALFORMED, NULL, 16, 9, true, false, {}},
};

/* The same of ICMPv6: 14 bytes of Ethernet, 40, 8, and what is quoted from 62 on. */
static const struct drop_case drop6_cases[] = {
	{"v6: ICMP checksum", XE_R_ICMP_BAD_CSUM, NULL, 57, 0x55, false, false, {}},
	{"v6: checksum without the addresses",
	 XE_R_ICMP_BAD_CSUM,
	 NULL,
	 23,
	 0x55,
	 false,
	 false,
	 {}},
	{"v6: another L4 port", XE_R_ICMP_NO_SESSION, NULL, 105, 99, true, false, {}},
	{"v6: another peer", XE_R_ICMP_NO_SESSION, NULL, 101, 99, true, false, {}},
	{"v6: outward, another L4 port", XE_R_ICMP_NO_SESSION, NULL, 105, 99, true, true, {}},
	{"v6: hop limit 1", XE_R_W_TTL, NULL, 0, 0, false, false, {.ttl = 1}},
	{"v6: too big", XE_R_TOO_BIG, small_mtu, 0, 0, false, false, {}},
	{"v6: neighbour not known", XE_R_ICMP_NO_WAY, no_neighbour, 0, 0, false, true, {}},
	{"v6: port gone", XE_R_PORT_GONE, inside_gone, 0, 0, false, false, {}},
	{"v6: echo", XE_R_W_MALFORMED, NULL, 0, 0, false, false, {.type = 128}},
	{"v6: redirect", XE_R_W_MALFORMED, NULL, 0, 0, false, true, {.type = 137}},
	{"v6: type 0", XE_R_W_MALFORMED, NULL, 54, 0, true, false, {}},
	{"v6: 7 bytes of L4", XE_R_W_MALFORMED, NULL, 0, 0, false, false, {.quote_len = 47}},
	{"v6: quoted IPv4", XE_R_W_MALFORMED, NULL, 62, 0x45, true, false, {}},
	{"v6: quoted ICMPv6", XE_R_W_MALFORMED, NULL, 68, 58, true, false, {}},
	{"v6: quoted options too long", XE_R_W_MALFORMED, NULL, 68, 60, true, false, {}},
	{"v6: not to the quoted sender", XE_R_W_MALFORMED, NULL, 53, 99, true, false, {}},
	{"v6: payload length beyond", XE_R_W_MALFORMED, NULL, 18, 9, true, false, {}},
};

static void check_drop(const struct drop_case *c, const struct lf_spec *in)
{
	struct lf *f = lf_open(rules, 64);
	static struct lf_bytes b;
	struct spec s = c->s;
	uint64_t made;
	struct lf_spec out;

	print_message("%s\n", c->name);
	open_flow(f, in, &out);
	s.type = s.type ? s.type : 3; /* unreachable, or time exceeded */
	s.src = c->outward ? in->src : is_v6(in->src) ? "2001:db8:77::7" : "192.0.2.77";
	s.dst = c->outward ? in->dst : out.src;
	s.quoted = c->outward ? backward(in) : out;
	build(&b, &s);
	if (c->off)
		b.b[c->off] = c->value;
	if (c->fix)
		finish(&b, hdr_len_of(&s));
	if (c->prepare)
		c->prepare(f);
	made = f->lane->cnt.made;
	rf_mark(f->lane);
	deliver(f, c->outward ? LF_INSIDE : LF_UPLINK, &b);
	assert_int_equal(f->sent_cnt, 0);
	rf_expect(f->lane, c->reason, 1);
	assert_int_equal(f->lane->cnt.made, made); /* never an error about an error */
	lf_close(f);
}

static void test_drops(void **state)
{
	(void)state;
	for (size_t i = 0; i < CNT(drop_cases); i++)
		check_drop(&drop_cases[i], &inner[0]);
	for (size_t i = 0; i < CNT(drop6_cases); i++)
		check_drop(&drop6_cases[i], &inner[FIRST6]);
}

/* Larger than the way, and it may be fragmented. */
static void test_fragmented(void **state)
{
	struct lf *f = *state;
	struct lf_spec in = inner[0], out;
	struct spec s = {.src = "192.0.2.77", .type = 3, .code = 1};
	static struct lf_bytes b, want;

	in.payload_len = 300;
	open_flow(f, &in, &out);
	f->lane->ports[LF_INSIDE].mtu = 220;
	s.dst = out.src;
	s.quoted = out;
	build(&b, &s);
	deliver(f, LF_UPLINK, &b);
	s.dst = in.src;
	s.quoted = in;
	build(&want, &s);
	assert_int_equal(f->sent_cnt, 2);
	assert_int_equal(f->sent[0].len, 14 + 220);
	assert_memory_equal(f->sent[0].bytes + 34, want.b + 34, 200);
	assert_memory_equal(f->sent[1].bytes + 34, want.b + 234, want.len - 234);
	assert_int_equal(f->sent[1].len - 34, want.len - 234);
}

/* ---- mutated ---- */

/* Whatever comes: frames and packets are all accounted for, and what leaves is whole. */
static void test_mutated(void **state)
{
	struct lf *f = *state;
	static struct lf_bytes b;
	struct lf_spec out[CNT(inner)];
	uint32_t left = 0;

	for (size_t i = 0; i < CNT(inner); i++)
		open_flow(f, &inner[i], &out[i]);
	for (int n = 0; n < 100000; n++) {
		size_t i = lf_random() % CNT(inner);
		bool outward = lf_random() & 1, v6 = i >= FIRST6;
		struct kind k = kind_of(&inner[i], lf_random());
		struct spec s = {.src = outward ? inner[i].src
					: v6    ? "2001:db8:77::7"
						: "192.0.2.77",
				 .dst = outward ? inner[i].dst : out[i].src,
				 .type = k.type,
				 .code = k.code,
				 .quoted = outward ? backward(&inner[i]) : out[i]};

		if (lf_random() & 1)
			s.quote_len = (uint32_t)(lf_random() % (v6 ? 56 : 36) + 1);
		s.ip_options_len = v6 || lf_random() & 3 ? 0 : (uint32_t)(lf_random() % 11) * 4;
		build(&b, &s);
		for (uint64_t c = lf_random() % 4; c; c--)
			b.b[14 + lf_random() % (b.len - 14)] = (uint8_t)lf_random();
		if (lf_random() & 1)
			finish(&b, hdr_len_of(&s));
		if (!(lf_random() & 7))
			b.len = (uint32_t)(lf_random() % b.len + 1);
		deliver(f, outward ? LF_INSIDE : LF_UPLINK, &b);
		for (uint32_t k = 0; k < f->sent_cnt; k++) {
			const uint8_t *ip = f->sent[k].bytes + 14;
			uint32_t hdr_len = (ip[0] & 15) * 4u;

			if (ip[0] >> 4 == 6 && ip[6] == IPPROTO_ICMPV6) {
				uint32_t len = f->sent[k].len - 54;

				assert_int_equal(lf_sum(ip + 40, len,
							lf_sum(ip + 8, 32, len + IPPROTO_ICMPV6)),
						 0xffff);
				left++;
			}
			/* else mutated into one of the flow's packets */
			if (ip[0] >> 4 == 6 || ip[9] != IPPROTO_ICMP)
				continue;
			left++;
			assert_int_equal(lf_sum(ip + hdr_len, f->sent[k].len - 14 - hdr_len, 0),
					 0xffff);
		}
	}
	assert_in_range(left, 1000, 90000);
	assert_true(f->lane->cnt.reason[XE_R_W_MALFORMED] > 1000);
	assert_true(f->lane->cnt.reason[XE_R_ICMP_BAD_CSUM] > 1000);
	assert_true(f->lane->cnt.reason[XE_R_ICMP_NO_SESSION] > 100);
}

#define LANE_TEST(name) cmocka_unit_test_setup_teardown(name, setup, ff_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		LANE_TEST(test_to_the_container),
		LANE_TEST(test_from_the_container),
		LANE_TEST(test_quoted_partial),
		LANE_TEST(test_inside_to_inside),
		LANE_TEST(test_back_by_the_other_uplink),
		LANE_TEST(test_padding),
		cmocka_unit_test(test_drops),
		LANE_TEST(test_fragmented),
		LANE_TEST(test_mutated),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
