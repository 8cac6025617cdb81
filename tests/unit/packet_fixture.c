/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "packet_fixture.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

/* xorshift64*: the same packets in every run. */
uint64_t lf_random(void)
{
	static uint64_t x = 0x9e3779b97f4a7c15ull;

	x ^= x >> 12;
	x ^= x << 25;
	x ^= x >> 27;
	return x * 0x2545f4914f6cdd1dull;
}

static void put_be16(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

uint16_t lf_sum(const uint8_t *bytes, uint32_t len, uint32_t start)
{
	uint32_t sum = start;

	for (uint32_t i = 0; i < len; i++) {
		sum += i & 1 ? bytes[i] : bytes[i] << 8;
		sum = (sum & 0xffff) + (sum >> 16);
	}
	return (uint16_t)sum;
}

#define NEXT_HOPOPTS 0
#define NEXT_ROUTING 43
#define NEXT_DSTOPTS 60
#define EXT_END      1024u /* nobody walks farther */

static uint32_t l4_off6(const uint8_t *ip, uint8_t *proto)
{
	uint32_t off = 40;

	*proto = ip[6];
	while ((*proto == NEXT_HOPOPTS || *proto == NEXT_ROUTING || *proto == NEXT_DSTOPTS) &&
	       off < EXT_END) {
		*proto = ip[off];
		off += 8 + ip[off + 1] * 8u;
	}
	return off;
}

uint32_t lf_l4_off(const uint8_t *ip)
{
	uint8_t proto;

	return ip[0] >> 4 == 4 ? (ip[0] & 15) * 4u : l4_off6(ip, &proto);
}

uint8_t lf_proto(const uint8_t *ip)
{
	uint8_t proto = ip[9];

	if (ip[0] >> 4 != 4)
		l4_off6(ip, &proto);
	return proto;
}

static uint16_t pseudo_sum(const uint8_t *ip, uint32_t l4_len)
{
	if (ip[0] >> 4 == 6)
		return lf_sum(ip + 8, 32, lf_proto(ip) + (l4_len & 0xffff) + (l4_len >> 16));
	return lf_sum(ip + 12, 8, ip[9] + (l4_len & 0xffff) + (l4_len >> 16));
}

bool lf_l4_csum_valid(const uint8_t *ip)
{
	uint32_t hdr_len = lf_l4_off(ip), len;

	len = (ip[0] >> 4 == 6 ? 40u + (ip[4] << 8 | ip[5]) : (uint32_t)(ip[2] << 8 | ip[3])) -
	      hdr_len;

	return lf_sum(ip + hdr_len, len, pseudo_sum(ip, len)) == 0xffff;
}

static uint8_t payload_byte(uint32_t i, uint8_t seed)
{
	return (uint8_t)(i * 31 + (i >> 8) * 7 + seed);
}

static void build_l4(uint8_t *ip, uint8_t *l4, uint32_t l4_len, const struct lf_spec *s)
{
	bool tcp = s->proto == IPPROTO_TCP;
	uint32_t hdr_len = tcp ? 20 + s->tcp_options_len : 8;
	uint8_t *field = l4 + (tcp ? 16 : 6);

	memset(l4, 0, hdr_len);
	put_be16(l4, s->sport);
	put_be16(l4 + 2, s->dport);
	if (tcp) {
		put_be16(l4 + 4, s->seq >> 16);
		put_be16(l4 + 6, s->seq & 0xffff);
		l4[7] = (uint8_t)(l4[7] + s->seed);
		put_be16(l4 + 8, s->ack >> 16);
		put_be16(l4 + 10, s->ack & 0xffff);
		put_be16(l4 + 14, s->win);
		l4[12] = (uint8_t)(hdr_len / 4 << 4);
		l4[13] = s->tcp_flags;
		memset(l4 + 20, 1 /* no operation */, s->tcp_options_len);
	} else {
		put_be16(l4 + 4, l4_len);
	}
	for (uint32_t i = 0; i < s->payload_len; i++)
		l4[hdr_len + i] = payload_byte(i, s->seed);
	if (s->csum == LF_CSUM_ZERO)
		return;
	put_be16(field, pseudo_sum(ip, l4_len));
	if (s->csum == LF_CSUM_PARTIAL)
		return;
	put_be16(field, 0xffff - lf_sum(l4, l4_len, 0));
	if (!tcp && !(field[0] | field[1]))
		put_be16(field, 0xffff);
	if (s->csum == LF_CSUM_WRONG)
		field[1] ^= field[0] | (field[1] ^ 0x10) ? 0x10 : 0x20; /* and not 0: "none" */
}

static void build6(struct lf_bytes *out, const struct lf_spec *s)
{
	uint8_t *ip = out->b + 14;
	uint32_t l4_len = s->payload_len + (s->proto == IPPROTO_TCP ? 20 + s->tcp_options_len : 8);

	out->len = 14 + 40 + s->ext_len + l4_len + s->padding;
	assert_in_range(out->len, 62, LF_BYTES);
	memset(out->b, 0, 14 + 40);
	put_be16(out->b + 12, 0x86dd);
	/* traffic class with ECN, flow label: must arrive as they left */
	put_be16(ip, 0x62ea);
	put_be16(ip + 2, 0xbeef);
	put_be16(ip + 4, s->ext_len + l4_len);
	ip[6] = s->ext_len ? NEXT_DSTOPTS : s->proto;
	ip[7] = s->ttl ? s->ttl : 64;
	assert_int_equal(inet_pton(AF_INET6, s->src, ip + 8), 1);
	assert_int_equal(inet_pton(AF_INET6, s->dst, ip + 24), 1);
	if (s->ext_len) {
		memset(ip + 40, 0, s->ext_len);
		ip[40] = s->proto;
		ip[41] = (uint8_t)(s->ext_len / 8 - 1);
		ip[42] = 1; /* PadN */
		ip[43] = (uint8_t)(s->ext_len - 4);
	}
	build_l4(ip, ip + 40 + s->ext_len, l4_len, s);
	memset(ip + 40 + s->ext_len + l4_len, 0xa5, s->padding);
}

void lf_build(struct lf_bytes *out, const struct lf_spec *spec)
{
	struct lf_spec s = *spec;
	uint8_t *ip = out->b + 14;
	uint32_t hdr_len = 20 + s.ip_options_len, l4_len;

	s.proto = s.proto ? s.proto : IPPROTO_UDP;
	if (strchr(s.src, ':')) {
		build6(out, &s);
		return;
	}
	l4_len = s.payload_len + (s.proto == IPPROTO_TCP ? 20 + s.tcp_options_len : 8);
	out->len = 14 + hdr_len + l4_len + s.padding;
	assert_in_range(out->len, 34, LF_BYTES);
	memset(out->b, 0, 14 + hdr_len);
	put_be16(out->b + 12, 0x0800);
	ip[0] = (uint8_t)(0x40 | hdr_len / 4);
	ip[1] = 0x2e; /* DSCP and ECN must arrive as they left */
	put_be16(ip + 2, hdr_len + l4_len);
	put_be16(ip + 4, s.ip_id);
	ip[6] = s.may_fragment ? 0 : 0x40;
	ip[8] = s.ttl ? s.ttl : 64;
	ip[9] = s.proto;
	inet_pton(AF_INET, s.src, ip + 12);
	inet_pton(AF_INET, s.dst, ip + 16);
	memset(ip + 20, 1, s.ip_options_len);
	put_be16(ip + 10, 0xffff - lf_sum(ip, hdr_len, 0));
	build_l4(ip, ip + hdr_len, l4_len, &s);
	memset(ip + hdr_len + l4_len, 0xa5, s.padding);
}
