/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_hairpin.c - what is said about packets between two containers (pipeline/hairpin.c):
 * errors that one of them sends, and answers of our own half way. Each reaches the sender with what
 * it quotes byte for byte as that one sent it, and its own tuple in a reset.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "lane_fixture.h"

static const char *const rules[] = {
	"reject from 192.0.2.1/32 to 192.0.2.1:8310 in eth0",
	"reject from 2001:db8:f::1/128 to [2001:db8:f::1]:8310 in eth0",
	"dnat to 192.0.2.1:8300-8310 dest 10.2.0.3:8300-8310",
	"dnat to [2001:db8:f::1]:8300-8310 dest [2001:db8:2::3]:8300-8310",
	"masquerade",
	"masquerade from ::/0",
	NULL,
};

static const struct family {
	bool v6;
	const char *c1, *c2, *ext;
	uint32_t hdr_len, addr_len, src;
	uint8_t icmp, unreachable, l4_port, too_big, too_big_code, prohibited;
} families[] = {
	{false, "10.1.0.2", "10.2.0.3", "192.0.2.1", 20, 4, 12, IPPROTO_ICMP, 3, 3, 3, 4, 13},
	{true, "2001:db8:1::5", "2001:db8:2::3", "2001:db8:f::1", 40, 16, 8, IPPROTO_ICMPV6, 1, 4,
	 2, 0, 1},
};

static int setup(void **state)
{
	*state = lf_open(rules, 64);
	return 0;
}

static int teardown(void **state)
{
	lf_close(*state);
	return 0;
}

static void put16(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static uint32_t be16(const uint8_t *p)
{
	return (uint32_t)(p[0] << 8 | p[1]);
}

static struct lf_spec to_c2(const struct family *v, uint16_t dport, uint8_t proto)
{
	return (struct lf_spec){
		.src = v->c1,
		.sport = 5000,
		.dst = v->ext,
		.dport = dport,
		.proto = proto,
		.tcp_flags = proto == IPPROTO_TCP ? XE_TH_SYN : 0,
		.payload_len = proto == IPPROTO_TCP ? 0 : 60,
	};
}

static void put_addr(uint8_t *to, const struct family *v, const char *text)
{
	assert_int_equal(inet_pton(v->v6 ? AF_INET6 : AF_INET, text, to), 1);
}

/* The sum that an ICMP checksum is over, in an IP packet without options. */
static uint16_t icmp_sum(const struct family *v, const uint8_t *ip, uint32_t len)
{
	uint32_t l4_len = len - v->hdr_len;
	uint32_t pseudo = v->v6 ? lf_sum(ip + 8, 32, l4_len + IPPROTO_ICMPV6) : 0;

	return lf_sum(ip + v->hdr_len, l4_len, pseudo);
}

/* An error of a container, about a packet that it got. */
static void error_about(struct lf_bytes *b, const struct family *v, const char *src,
			const char *dst, const uint8_t *quoted, uint32_t quoted_len)
{
	static const uint8_t l2[12] = {2, 0, 0, 0, 0, LF_INSIDE2, 2, 9, 9, 9, 9, 9};
	uint8_t *ip = b->b + 14, *icmp = ip + v->hdr_len;
	uint32_t len = v->hdr_len + 8 + quoted_len;

	memset(b->b, 0, 14 + len);
	memcpy(b->b, l2, sizeof(l2));
	put16(b->b + 12, v->v6 ? 0x86dd : 0x0800);
	ip[0] = v->v6 ? 0x60 : 0x45;
	put16(ip + (v->v6 ? 4 : 2), v->v6 ? len - 40 : len);
	ip[v->v6 ? 6 : 9] = v->icmp;
	ip[v->v6 ? 7 : 8] = 64;
	put_addr(ip + v->src, v, src);
	put_addr(ip + v->src + v->addr_len, v, dst);
	if (!v->v6)
		put16(ip + 10, (uint16_t)~lf_sum(ip, 20, 0));
	icmp[0] = v->unreachable;
	icmp[1] = v->l4_port;
	memcpy(icmp + 8, quoted, quoted_len);
	put16(icmp + 2, (uint16_t)~icmp_sum(v, ip, len));
	b->len = 14 + len;
}

/* What left is an error from the Ext address to c1 that quotes these bytes. */
static void expect_error(struct lf *f, const struct family *v, uint8_t type, uint8_t code,
			 const uint8_t *quoted)
{
	const struct lf_sent *sent = &f->sent[0];
	const uint8_t *ip = sent->bytes + 14, *icmp = ip + v->hdr_len;
	uint32_t len = sent->len - 14;
	uint8_t addr[16];

	assert_int_equal(f->sent_cnt, 1);
	assert_int_equal(sent->port, LF_INSIDE);
	assert_int_equal(ip[v->v6 ? 6 : 9], v->icmp);
	assert_int_equal(be16(ip + (v->v6 ? 4 : 2)), v->v6 ? len - 40 : len);
	assert_int_equal(ip[v->v6 ? 7 : 8], 63);
	put_addr(addr, v, v->ext);
	assert_memory_equal(ip + v->src, addr, v->addr_len);
	put_addr(addr, v, v->c1);
	assert_memory_equal(ip + v->src + v->addr_len, addr, v->addr_len);
	if (!v->v6)
		assert_int_equal(lf_sum(ip, 20, 0), 0xffff);
	assert_int_equal(icmp_sum(v, ip, len), 0xffff);
	assert_int_equal(icmp[0], type);
	assert_int_equal(icmp[1], code);
	assert_memory_equal(icmp + 8, quoted, len - v->hdr_len - 8);
}

/* A reset from the Ext address to c1. */
static void expect_reset(struct lf *f, const struct family *v, uint16_t sport, uint32_t ack)
{
	const struct lf_sent *sent = &f->sent[0];
	const uint8_t *ip = sent->bytes + 14, *tcp = ip + v->hdr_len;
	uint8_t addr[16];

	assert_int_equal(f->sent_cnt, 1);
	assert_int_equal(sent->port, LF_INSIDE);
	assert_int_equal(sent->len, 14 + v->hdr_len + 20);
	put_addr(addr, v, v->ext);
	assert_memory_equal(ip + v->src, addr, v->addr_len);
	put_addr(addr, v, v->c1);
	assert_memory_equal(ip + v->src + v->addr_len, addr, v->addr_len);
	assert_int_equal(be16(tcp), sport);
	assert_int_equal(be16(tcp + 2), 5000);
	assert_int_equal(be16(tcp + 8) << 16 | be16(tcp + 10), ack);
	assert_int_equal(tcp[13], XE_TH_RST | XE_TH_ACK);
	assert_true(lf_l4_csum_valid(ip));
	if (!v->v6)
		assert_int_equal(lf_sum(ip, 20, 0), 0xffff);
}

/* As it was sent, with another TTL. */
static const uint8_t *sent_with_ttl(const struct lf_spec *spec, uint8_t ttl)
{
	static struct lf_bytes b;
	struct lf_spec s = *spec;

	s.ttl = ttl;
	lf_build(&b, &s);
	return b.b + 14;
}

/* c1 sends to an L4 port of c2 that nobody listens on, and c2 says so; then the same about what c2
 * has answered. Whole quotes, and the least. */
static void errors_of_a_container(struct lf *f, const struct family *v, uint32_t quoted_len,
				  uint8_t proto)
{
	struct lf_spec spec = to_c2(v, 8300, proto), reply;
	const struct lf_sent *sent = lf_pass(f, LF_INSIDE, &spec);
	static struct lf_bytes b;
	uint8_t got[200];
	uint64_t drops;

	assert_non_null(sent);
	assert_int_equal(sent->port, LF_INSIDE2);
	if (!quoted_len)
		quoted_len = sent->len - 14;
	memcpy(got, sent->bytes + 14, quoted_len);
	reply = (struct lf_spec){.src = v->c2,
				 .sport = 8300,
				 .dst = v->ext,
				 .dport = lf_sport(sent),
				 .proto = proto,
				 .tcp_flags =
					 spec.tcp_flags | (proto == IPPROTO_TCP ? XE_TH_ACK : 0),
				 .payload_len = spec.payload_len};
	drops = lf_drops(f);
	error_about(&b, v, v->c2, v->ext, got, quoted_len);
	lf_deliver(f, LF_INSIDE2, b.b, b.len, 0, 0, 0);
	lf_poll(f);
	expect_error(f, v, v->unreachable, v->l4_port, sent_with_ttl(&spec, 63));
	assert_int_equal(lf_drops(f), drops);
	/* from c1, about the answer */
	sent = lf_pass(f, LF_INSIDE2, &reply);
	assert_non_null(sent);
	memcpy(got, sent->bytes + 14, quoted_len);
	error_about(&b, v, v->c1, v->ext, got, quoted_len);
	lf_deliver(f, LF_INSIDE, b.b, b.len, 0, 0, 0);
	lf_poll(f);
	assert_int_equal(f->sent_cnt, 1);
	assert_int_equal(f->sent[0].port, LF_INSIDE2);
	assert_memory_equal(f->sent[0].bytes + 14 + v->hdr_len + 8, sent_with_ttl(&reply, 63),
			    quoted_len);
	assert_int_equal(icmp_sum(v, f->sent[0].bytes + 14, f->sent[0].len - 14), 0xffff);
	assert_int_equal(lf_drops(f), drops);
}

static void test_errors(void **state)
{
	struct lf *f = *state;

	for (int i = 0; i < 2; i++) {
		const struct family *v = &families[i];

		errors_of_a_container(f, v, 0, IPPROTO_UDP);
		errors_of_a_container(f, v, v->hdr_len + 8, IPPROTO_UDP);
		errors_of_a_container(f, v, 0, IPPROTO_TCP);
		errors_of_a_container(f, v, v->hdr_len + 8, IPPROTO_TCP);
	}
}

/* What ends an error on either way is counted once, and nothing leaves. */
static void test_errors_dropped(void **state)
{
	struct lf *f = *state;
	const struct family *v = &families[0];
	struct lf_spec spec = to_c2(v, 8300, IPPROTO_UDP);
	const struct lf_sent *sent = lf_pass(f, LF_INSIDE, &spec);
	const uint64_t *cnt = f->lane->cnt.reason;
	static struct lf_bytes b;
	uint8_t got[100];

	assert_non_null(sent);
	memcpy(got, sent->bytes + 14, sent->len - 14);
	error_about(&b, v, v->c2, v->ext, got, sent->len - 14);
	b.b[14 + 8] = 1; /* TTL */
	put16(b.b + 14 + 10, 0);
	put16(b.b + 14 + 10, (uint16_t)~lf_sum(b.b + 14, 20, 0));
	lf_deliver(f, LF_INSIDE2, b.b, b.len, 0, 0, 0);
	lf_poll(f);
	assert_int_equal(f->sent_cnt, 0);
	assert_int_equal(cnt[XE_R_W_TTL], 1);
	error_about(&b, v, v->c2, v->ext, got, sent->len - 14);
	f->lane->ports[LF_INSIDE].live = false;
	lf_deliver(f, LF_INSIDE2, b.b, b.len, 0, 0, 0);
	lf_poll(f);
	assert_int_equal(f->sent_cnt, 0);
	assert_int_equal(cnt[XE_R_PORT_GONE], 1);
	f->lane->ports[LF_INSIDE].live = true;
	assert_int_equal(lf_drops(f), 2);
	assert_int_equal(f->lane->cnt.made, 0);
}

/* Too big for the far port: the sender is told the MTU there. */
static void test_too_big(void **state)
{
	struct lf *f = *state;

	f->lane->ports[LF_INSIDE2].mtu = 1300;
	for (int i = 0; i < 2; i++) {
		const struct family *v = &families[i];
		struct lf_spec spec = to_c2(v, 8301, IPPROTO_UDP);
		const uint8_t *icmp;

		spec.payload_len = 1400;
		for (int csum = LF_CSUM_FULL; csum <= LF_CSUM_PARTIAL; csum++) {
			spec.csum = (enum lf_csum)csum;
			assert_non_null(lf_pass(f, LF_INSIDE, &spec));
			expect_error(f, v, v->too_big, v->too_big_code, sent_with_ttl(&spec, 64));
			icmp = f->sent[0].bytes + 14 + v->hdr_len;
			assert_int_equal(be16(icmp + 6), 1300);
		}
		assert_int_equal(f->lane->cnt.reason[XE_R_TOO_BIG], 2 * (i + 1));
		/* what may be fragmented is */
		if (v->v6)
			continue;
		spec.may_fragment = true;
		assert_non_null(lf_pass(f, LF_INSIDE, &spec));
		assert_int_equal(f->sent[0].port, LF_INSIDE2);
	}
	/* a superpacket's segments */
	struct lf_spec big = to_c2(&families[0], 8301, IPPROTO_UDP), first;

	big.payload_len = 4200;
	big.gso_size = 1400;
	big.csum = LF_CSUM_PARTIAL;
	first = big;
	first.payload_len = 1400;
	first.gso_size = 0;
	assert_non_null(lf_pass(f, LF_INSIDE, &big));
	assert_int_equal(f->sent[0].port, LF_INSIDE);
	/* its own header, and no checksum to compare: what the sender wrote is not on any wire */
	assert_memory_equal(f->sent[0].bytes + 14 + 28, sent_with_ttl(&first, 64), 20 + 4);
}

/* Refused half way, by a rule about what comes in: UDP gets an error, TCP a reset from whom it
 * spoke to; for want of resources an error. */
static void test_refused(void **state)
{
	struct lf *f = *state;

	for (int i = 0; i < 2; i++) {
		const struct family *v = &families[i];
		struct lf_spec spec = to_c2(v, 8310, IPPROTO_UDP);

		assert_non_null(lf_pass(f, LF_INSIDE, &spec));
		expect_error(f, v, v->unreachable, v->prohibited, sent_with_ttl(&spec, 64));
		spec = to_c2(v, 8310, IPPROTO_TCP);
		spec.seq = 1000;
		assert_non_null(lf_pass(f, LF_INSIDE, &spec));
		expect_reset(f, v, 8310, 1001);
		assert_int_equal(f->lane->cnt.reason[XE_R_REJECTED], 2 * (i + 1));
	}
	assert_int_equal(lf_drops(f), 4);
}

static void test_no_room(void **state)
{
	struct lf *f = *state;

	for (int i = 0; i < 2; i++) {
		const struct family *v = &families[i];
		struct lf_spec spec = to_c2(v, 8302, IPPROTO_UDP);

		f->lane->sessions_per_source = 2;
		assert_non_null(lf_pass(f, LF_INSIDE, &spec));
		assert_int_equal(f->sent[0].port, LF_INSIDE2);
		spec.sport = 5001;
		assert_non_null(lf_pass(f, LF_INSIDE, &spec));
		assert_int_equal(f->sent[0].port, LF_INSIDE2);
		/* its own share is kept by the inside counter, the far one's by the Ext address's
		 */
		f->lane->sessions_per_source = 3;
		spec.sport = 5002;
		assert_non_null(lf_pass(f, LF_INSIDE, &spec));
		f->lane->unanswered += f->lane->sessions.capacity;
		spec.dport = 8303;
		f->lane->sessions_per_source = 100;
		assert_non_null(lf_pass(f, LF_INSIDE, &spec));
		expect_error(f, v, v->unreachable, v->prohibited, sent_with_ttl(&spec, 64));
		f->lane->unanswered -= f->lane->sessions.capacity;
	}
}

#define LANE_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		LANE_TEST(test_errors),  LANE_TEST(test_errors_dropped), LANE_TEST(test_too_big),
		LANE_TEST(test_refused), LANE_TEST(test_no_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
