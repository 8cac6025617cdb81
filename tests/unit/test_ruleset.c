/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_ruleset.c - compiled rules give what walking them one by one gives.
 *
 * The oracle below compares bit by bit and port by port, shares no code with ruleset.c, and decides
 * 10,000 random rules against random packets. Each failure prints the seed (XE_SEED repeats it).
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

#include "state/ruleset.h"

#define CNT(a) (sizeof(a) / sizeof((a)[0]))

/* The ports of these tests: ids 0-5 inside (`va0`..`va5`, all caught by `va*`), 6-8 uplinks. */
static const struct {
	const char *name, *entry;
	__u16 id;
} ports[] = {
	{"va0", "va*", 0 | XE_OUT_INSIDE},
	{"va1", "va*", 1 | XE_OUT_INSIDE},
	{"va2", "va*", 2 | XE_OUT_INSIDE},
	{"va3", "va*", 3 | XE_OUT_INSIDE},
	{"va4", "va*", 4 | XE_OUT_INSIDE},
	{"vx", "vx", 5 | XE_OUT_INSIDE},
	{"eth0", "eth0", 6},
	{"eth1", "eth*", 7},
	{"eth2", "eth*", 8},
};
/* `gone` is in the configuration and not attached. */
static const char *const names[] = {"va*", "va1", "vx", "eth0", "eth*", "gone", "va3"};

static bool stands_for(const char *name, size_t i)
{
	return !strcmp(name, ports[i].name) || !strcmp(name, ports[i].entry);
}

static __u32 port_ids(void *ctx, const char *name, __u16 *ids, __u32 max)
{
	__u32 n = 0;

	(void)ctx;
	for (size_t i = 0; i < CNT(ports) && n < max; i++)
		if (stands_for(name, i))
			ids[n++] = ports[i].id;
	return n;
}

struct packet {
	struct xe_addr src, dst;
	__u16 dport; /* host order */
	__u8 proto;
	size_t in, out; /* into ports */
};

/* ---- the oracle ---- */

static bool bits_equal(const struct xe_addr *a, const struct xe_addr *b, int len)
{
	if (memcmp(a->b, b->b, (size_t)len / 8))
		return false;
	for (int i = len / 8 * 8; i < len; i++)
		if ((a->b[i / 8] ^ b->b[i / 8]) >> (7 - i % 8) & 1)
			return false;
	return true;
}

static bool is_v4(const struct xe_addr *a)
{
	static const __u8 head[12] = {[10] = 0xff, [11] = 0xff};

	return !memcmp(a->b, head, sizeof(head));
}

static bool oracle_matches(const struct xe_rule *r, const struct packet *p)
{
	bool nat = r->verb == XE_VERB_SNAT || r->verb == XE_VERB_MASQUERADE;
	bool out_inside = ports[p->out].id & XE_OUT_INSIDE;

	if (r->from.family && !bits_equal(&r->from.addr, &p->src, r->from.len))
		return false;
	if (r->to.family && !bits_equal(&r->to.addr, &p->dst, r->to.len))
		return false;
	if (xe_rule_family(r) && (xe_rule_family(r) == AF_INET) != is_v4(&p->src))
		return false;
	if (r->proto && r->proto != p->proto)
		return false;
	if (p->dport < r->to_port_min || p->dport > r->to_port_max)
		return false;
	if (r->in[0] && !stands_for(r->in, p->in))
		return false;
	if (!r->in[0] && r->verb != XE_VERB_KERNEL && !(ports[p->in].id & XE_OUT_INSIDE))
		return false;
	if (r->out[0] && !stands_for(r->out, p->out))
		return false;
	return !(nat && out_inside);
}

static int oracle(const struct xe_rule *rules, __u32 cnt, const struct packet *p)
{
	for (__u32 i = 0; i < cnt; i++)
		if (oracle_matches(&rules[i], p))
			return (int)i;
	return -1;
}

static int lookup(const struct xe_ruleset *rs, const struct packet *p)
{
	__u16 in = ports[p->in].id;

	return xe_ruleset_lookup(rs, &p->src, &p->dst, htons(p->dport), p->proto,
				 in & XE_OUT_INSIDE ? in ^ XE_OUT_INSIDE : in | XE_IN_UPLINK,
				 ports[p->out].id);
}

/* ---- random rules and packets ---- */

static __u64 seed, rng;

static __u32 rnd(__u32 below)
{
	rng ^= rng << 13; /* xorshift64 */
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return (__u32)(rng >> 33) % below;
}

/* Few different bytes, so that packets meet rules and prefixes nest. */
static struct xe_addr random_addr(bool v4)
{
	struct xe_addr a = xe_addr_v4(htonl(10u << 24 | rnd(4) << 16 | rnd(3) << 8 | rnd(256)));

	if (v4)
		return a;
	memset(&a, 0, sizeof(a));
	a.b[0] = 0x20;
	a.b[1] = (__u8)rnd(3);
	a.b[15] = (__u8)rnd(4);
	return a;
}

static struct xe_prefix random_prefix(bool v4)
{
	static const __u8 v4_len[] = {0, 8, 15, 16, 24, 25, 32},
			  v6_len[] = {0, 3, 15, 16, 127, 128};
	struct xe_prefix p = {.addr = random_addr(v4), .family = v4 ? AF_INET : AF_INET6};

	p.len = v4 ? 96 + v4_len[rnd(CNT(v4_len))] : v6_len[rnd(CNT(v6_len))];
	for (int i = p.len; i < 128; i++)
		p.addr.b[i / 8] &= (__u8) ~(0x80 >> i % 8);
	return p;
}

static void random_name(char *name, __u32 one_in)
{
	if (!rnd(one_in))
		strcpy(name, names[rnd(CNT(names))]);
}

/* `narrow` rules leave most packets to those behind them. */
static struct xe_rule random_rule(bool narrow)
{
	struct xe_rule r = {.verb = (enum xe_verb)rnd(XE_VERB_MASQUERADE + 1),
			    .to_port_max = 65535};
	bool v4 = rnd(4);

	r.proto = (__u8[]){0, IPPROTO_TCP, IPPROTO_UDP}[rnd(3)];
	if (narrow || rnd(3))
		r.from = random_prefix(v4);
	if (narrow || rnd(3))
		r.to = random_prefix(v4);
	if (narrow) {
		r.from.len = r.to.len = 128;
		r.from.addr = random_addr(v4);
		r.to.addr = random_addr(v4);
	}
	if (r.to.family && !rnd(narrow ? 2 : 4)) {
		r.to_port_min = (__u16)(1 + rnd(40));
		r.to_port_max = (__u16)(r.to_port_min + (rnd(2) ? 0 : rnd(8)));
	}
	random_name(r.in, narrow ? 30 : 4);
	random_name(r.out, narrow ? 30 : 4);
	if (r.verb == XE_VERB_SNAT) {
		r.nat_family = v4 ? AF_INET : AF_INET6;
		r.source[0] = (struct xe_rule_source){xe_addr_v4(htonl(0xc0000201)), 1, 0};
		r.source_cnt = 1;
	}
	return r;
}

static struct packet random_packet(void)
{
	bool v4 = rnd(8);

	return (struct packet){
		.src = random_addr(v4),
		.dst = random_addr(v4),
		.dport = (__u16)rnd(50),
		.proto = rnd(2) ? IPPROTO_TCP : IPPROTO_UDP,
		.in = rnd(CNT(ports)),
		.out = rnd(CNT(ports)),
	};
}

/* A packet a given rule could match: random ones seldom hit /32 to /32. */
static struct packet packet_near(const struct xe_rule *r)
{
	struct packet p = random_packet();
	bool v4 = r->from.family != AF_INET6 && r->to.family != AF_INET6;

	p.src = r->from.family ? r->from.addr : random_addr(v4);
	p.dst = r->to.family ? r->to.addr : random_addr(v4);
	if (!rnd(3))
		p.src.b[15] ^= 1;
	if (rnd(4))
		p.dport = (__u16)(r->to_port_min + rnd(3));
	return p;
}

static void compare(const struct xe_ruleset *rs, const struct xe_rule *rules, __u32 cnt,
		    const struct packet *p, __u32 *hits)
{
	int want = oracle(rules, cnt, p), got = lookup(rs, p);

	if (want != got)
		fail_msg("seed %llu: rule %d, expected %d", (unsigned long long)seed, got, want);
	*hits += want >= 0;
}

static struct xe_ruleset *compile(const struct xe_rule *rules, __u32 cnt, __u32 gen)
{
	struct xe_ruleset *rs;
	char err[256] = "";
	int ret = xe_ruleset_compile(rules, cnt, gen, port_ids, NULL, &rs, err, sizeof(err));

	if (ret)
		fail_msg("seed %llu: %d %s", (unsigned long long)seed, ret, err);
	assert_int_equal(rs->gen, gen);
	assert_int_equal(rs->rule_cnt, cnt);
	for (__u32 i = 1; i < rs->tuple_cnt; i++)
		assert_true(rs->tuples[i - 1].best_rule <= rs->tuples[i].best_rule);
	return rs;
}

static void test_small_sets(void **state)
{
	__u32 hits = 0;

	(void)state;
	for (__u32 round = 0; round < 3000; round++) {
		struct xe_rule rules[12];
		__u32 cnt = rnd(CNT(rules) + 1);
		struct xe_ruleset *rs;

		for (__u32 i = 0; i < cnt; i++)
			rules[i] = random_rule(false);
		rs = compile(rules, cnt, round);
		for (int i = 0; i < 40; i++) {
			struct packet p =
				cnt && rnd(2) ? packet_near(&rules[rnd(cnt)]) : random_packet();

			compare(rs, rules, cnt, &p, &hits);
		}
		xe_ruleset_free(rs);
	}
	assert_in_range(hits, 20000, 110000); /* the test sees both answers */
}

static void test_ten_thousand(void **state)
{
	enum { RULES = 10000, WIDE = 12, PACKETS = 10000 };
	struct xe_rule *rules = calloc(RULES, sizeof(*rules));
	struct xe_ruleset *rs;
	__u32 hits = 0;

	(void)state;
	assert_non_null(rules);
	for (__u32 i = 0; i < RULES; i++)
		rules[i] = random_rule(i < RULES - WIDE);
	rs = compile(rules, RULES, 1);
	for (int i = 0; i < PACKETS; i++) {
		struct packet p = rnd(2) ? packet_near(&rules[rnd(RULES)]) : random_packet();

		compare(rs, rules, RULES, &p, &hits);
	}
	print_message("%u rules: %u entries, %u tuples, %u of %u packets matched\n", RULES,
		      rs->entry_cnt, rs->tuple_cnt, hits, PACKETS);
	assert_in_range(hits, PACKETS / 20, PACKETS); /* it sees both answers; how many is chance */
	xe_ruleset_free(rs);
	free(rules);
}

/* ---- single facts ---- */

static struct xe_rule rule(const char *text)
{
	struct xe_rule r;
	char err[256];

	if (xe_rule_parse(text, &r, err, sizeof(err)))
		fail_msg("%s: %s", text, err);
	return r;
}

/* A range is cut into the fewest blocks: counted by hand. */
static void test_range_blocks(void **state)
{
	static const struct {
		const char *text;
		__u32 entries;
	} t[] = {
		{"drop to 10.0.0.0/8", 1},           {"drop to 10.0.0.0/8:80", 1},
		{"drop to 10.0.0.0/8:80-81", 1},     {"drop to 10.0.0.0/8:81-82", 2},
		{"drop to 10.0.0.0/8:1-65535", 16},  {"drop to 10.0.0.0/8:1-65534", 30},
		{"drop to 10.0.0.0/8:1024-2047", 1}, {"drop to 10.0.0.0/8:32768-65535", 1},
		{"drop to 10.0.0.0/8:1-3", 2},
	};

	(void)state;
	for (size_t i = 0; i < CNT(t); i++) {
		struct xe_rule r = rule(t[i].text);
		struct xe_ruleset *rs = compile(&r, 1, 0);
		struct packet p = {.dst = xe_addr_v4(htonl(0x0a010203)), .proto = IPPROTO_TCP};

		p.src = xe_addr_v4(htonl(0x0a000001));
		assert_int_equal(rs->entry_cnt, t[i].entries);
		for (__u32 dport = 0; dport < 65536; dport++) {
			p.dport = (__u16)dport;
			assert_int_equal(lookup(rs, &p), oracle(&r, 1, &p));
		}
		xe_ruleset_free(rs);
	}
}

static void test_masks(void **state)
{
	struct xe_rule r = rule("masquerade from 10.1.0.0/16");
	struct xe_ruleset *rs = compile(&r, 1, 77);
	const struct xe_ruleset_entry *e = rs->entries;

	(void)state;
	assert_int_equal(rs->tuple_cnt, 1);
	assert_int_equal(rs->tuples[0].out_mask, XE_OUT_INSIDE);
	assert_int_equal(rs->tuples[0].in_mask, XE_IN_UPLINK);
	assert_int_equal(rs->tuples[0].dport_mask_be, 0);
	assert_int_equal(rs->tuples[0].proto_mask, 0);
	assert_int_equal(e->key.out_port, 0);
	assert_int_equal(e->key.gen, 77);
	assert_int_equal(e->value.verb, XE_VERB_MASQUERADE);
	xe_ruleset_free(rs);
}

static void test_ports_expand(void **state)
{
	static const struct {
		const char *text;
		__u32 entries;
	} t[] = {
		{"drop in va*", 5}, {"drop in gone", 0},          {"drop in va1 out eth*", 2},
		{"drop out vx", 1}, {"drop in va* out eth*", 10}, {"masquerade out vx", 0},
	};

	(void)state;
	for (size_t i = 0; i < CNT(t); i++) {
		struct xe_rule r = rule(t[i].text);
		struct xe_ruleset *rs = compile(&r, 1, 0);

		assert_int_equal(rs->entry_cnt, t[i].entries);
		for (__u32 k = 0; k < rs->entry_cnt; k++)
			assert_false(rs->entries[k].key.in_port & XE_OUT_INSIDE);
		xe_ruleset_free(rs);
	}
}

static void test_none(void **state)
{
	struct xe_ruleset *rs = compile(NULL, 0, 0);
	struct packet p = random_packet();

	(void)state;
	assert_int_equal(lookup(rs, &p), -1);
	xe_ruleset_free(rs);
	xe_ruleset_free(NULL);
}

static void expect_too_big(const struct xe_rule *rules, __u32 cnt, const char *want)
{
	struct xe_ruleset *rs;
	char err[256] = "";

	assert_int_equal(xe_ruleset_compile(rules, cnt, 0, port_ids, NULL, &rs, err, sizeof(err)),
			 -E2BIG);
	assert_null(rs);
	assert_non_null(strstr(err, want));
}

static void test_too_many(void **state)
{
	/* 65536 / 30 = 2184.5: rule 2184 is the one too many */
	enum { RULES = 2200 };
	struct xe_rule *rules = calloc(RULES, sizeof(*rules));

	(void)state;
	assert_non_null(rules);
	for (__u32 i = 0; i < RULES; i++) {
		rules[i] = rule("drop to 10.0.0.1:1-65534");
		rules[i].to.addr = xe_addr_v4(htonl(0x0a000000 + i));
	}
	expect_too_big(rules, RULES, "rules[2184]: ");
	/* 33 * 33 pairs of prefix lengths: rule 256 needs the 257th tuple */
	for (__u32 i = 0; i < 33 * 33; i++) {
		rules[i] = rule("drop from 0.0.0.0/0 to 0.0.0.0/0");
		rules[i].from.len = (__u8)(96 + i % 33);
		rules[i].to.len = (__u8)(96 + i / 33);
	}
	expect_too_big(rules, 33 * 33, "rules[256]: ");
	free(rules);
}

/* No run of used slots is longer than the bound that makes lookups cheap. */
static void test_runs(void **state)
{
	enum { RULES = 16384 };
	struct xe_rule *rules = calloc(RULES, sizeof(*rules));
	struct xe_ruleset *rs;
	__u32 run = 0, best = 0;

	(void)state;
	assert_non_null(rules);
	for (__u32 i = 0; i < RULES; i++) {
		rules[i] = rule("drop to 10.0.0.1");
		rules[i].to.addr = xe_addr_v4(htonl(0x0a000000 + i));
	}
	rs = compile(rules, RULES, 0);
	for (__u64 i = 0; i <= 2ull * rs->slot_mask + 1; i++) {
		run = rs->slots[i & rs->slot_mask] == 0xffffffff ? 0 : run + 1;
		best = run > best ? run : best;
	}
	assert_in_range(best, 1, 32);
	xe_ruleset_free(rs);
	free(rules);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_small_sets),   cmocka_unit_test(test_ten_thousand),
		cmocka_unit_test(test_range_blocks), cmocka_unit_test(test_masks),
		cmocka_unit_test(test_ports_expand), cmocka_unit_test(test_none),
		cmocka_unit_test(test_too_many),     cmocka_unit_test(test_runs),
	};
	const char *given = getenv("XE_SEED");

	seed = given ? strtoull(given, NULL, 10) : (__u64)time(NULL) << 16 | 1;
	rng = seed ? seed : 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
