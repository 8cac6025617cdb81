/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_conntrack.c - flows into the kernel's connection tracking and out of it, in a network
 * namespace of its own; what `conntrack -L` says is a second opinion where it is installed.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <libnetfilter_conntrack/libnetfilter_conntrack.h>
#include <libnetfilter_conntrack/libnetfilter_conntrack_tcp.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/conntrack_wire.h"
#include "netns_fixture.h"
#include "state/tcp_track.h"

/* The flows that the tests move: as many as a busy host has. */
#define MANY 10000
/* Entries of others, among which those of a few hosts are sought. */
#define OTHERS 5000u
/* "Well under 1 s" each way; it takes 30 to 60 ms, more where tests share the CPU or a sanitizer
 * watches. */
#define MANY_MAX_NS (900 * XE_NS_PER_MS)

static struct xe_ct *ct;
static struct xe_flow_file file, found;

static int make(void **state)
{
	int err = nf_make_world(state);

	if (!err && nf_peer_pid && xe_ct_open(&ct))
		ct = NULL;
	xe_flow_file_init(&file);
	xe_flow_file_init(&found);
	return err;
}

static int end(void **state)
{
	xe_ct_close(ct);
	ct = NULL;
	xe_flow_file_free(&file);
	xe_flow_file_free(&found);
	return nf_end_world(state);
}

static void need_ct(void)
{
	nf_need_world();
	if (!ct)
		skip(); /* a kernel without ctnetlink */
}

#define CT_TEST(test) cmocka_unit_test_setup_teardown(test, make, end)

/* ---- records ---- */

/* Opened from inside, masqueraded, established both ways. */
static struct xe_flow_record record(const char *src, uint16_t sport, const char *dst,
				    uint16_t dport, const char *ext, uint16_t ext_port,
				    uint8_t proto)
{
	struct xe_flow_record r = {
		.src = nf_ip(src),
		.dst = nf_ip(dst),
		.nat_src = nf_ip(ext),
		.nat_dst = nf_ip(dst),
		.sport_be = htons(sport),
		.dport_be = htons(dport),
		.nat_sport_be = htons(ext_port),
		.nat_dport_be = htons(dport),
		.in_port = XE_FR_NO_PORT,
		.out_port = XE_FR_NO_PORT,
		.family = strchr(src, ':') ? AF_INET6 : AF_INET,
		.proto = proto,
		.verb = XE_VERB_MASQUERADE,
		.flags = XE_FR_REPLIED | XE_FR_EXT,
		.left_s = 600,
	};

	if (proto == IPPROTO_TCP) {
		r.tcp_state = XE_TCP_ESTABLISHED;
		r.tcp_scale = 7 | 9 << 4;
		r.tcp_seen = XE_TS_ALIVE;
	}
	return r;
}

/* A server inside that is known by another address and L4 port; the peer is `dst`. */
static struct xe_flow_record record_in(const char *inside, uint16_t port, const char *peer,
				       uint16_t peer_port, const char *ext, uint16_t ext_port,
				       uint8_t proto)
{
	struct xe_flow_record r = record(inside, port, peer, peer_port, ext, ext_port, proto);

	r.flags |= XE_FR_FROM_OUTSIDE;
	r.verb = XE_VERB_DNAT;
	return r;
}

static void add(struct xe_flow_record r)
{
	assert_int_equal(xe_flow_file_add(&file, &r), 0);
}

static struct xe_ct_result write_file(const struct xe_flow_file *before)
{
	struct xe_ct_result result;

	assert_int_equal(xe_ct_write(ct, &file, before, &result), 0);
	return result;
}

static void write_expect(uint32_t written, uint32_t skipped, uint32_t refused)
{
	struct xe_ct_result result = write_file(NULL);

	assert_int_equal(result.refused, refused);
	assert_int_equal(result.written, written);
	assert_int_equal(result.skipped, skipped);
}

static void read_inside(const char *const *prefixes)
{
	struct xe_prefix list[8];
	uint32_t cnt = 0;
	char why[128];

	for (; prefixes[cnt]; cnt++)
		assert_int_equal(xe_prefix_parse(prefixes[cnt], &list[cnt], why, sizeof(why)), 0);
	xe_flow_file_free(&found);
	xe_flow_file_init(&found);
	assert_int_equal(xe_ct_read(ct, list, cnt, NULL, &found), 0);
}

static const char *const inside[] = {"10.1.0.0/16", "fd01::/64", NULL};

/* What was read of the flow that comes in on the inside port like this one. */
static const struct xe_flow_record *find(const struct xe_flow_record *r)
{
	for (uint32_t i = 0; i < found.record_cnt; i++) {
		const struct xe_flow_record *f = &found.records[i];

		if (!memcmp(&f->src, &r->src, sizeof(r->src)) && f->sport_be == r->sport_be &&
		    !memcmp(&f->dst, &r->dst, sizeof(r->dst)) && f->dport_be == r->dport_be &&
		    f->proto == r->proto)
			return f;
	}
	return NULL;
}

static void assert_same(const struct xe_flow_record *r)
{
	const struct xe_flow_record *f = find(r);
	uint8_t kept = XE_FR_FROM_OUTSIDE | XE_FR_REPLIED;

	assert_non_null(f);
	assert_memory_equal(&f->nat_src, &r->nat_src, sizeof(r->nat_src));
	assert_memory_equal(&f->nat_dst, &r->nat_dst, sizeof(r->nat_dst));
	assert_int_equal(f->nat_sport_be, r->nat_sport_be);
	assert_int_equal(f->nat_dport_be, r->nat_dport_be);
	assert_int_equal(f->family, r->family);
	assert_int_equal(f->flags, XE_FR_KERNEL | (r->flags & kept));
	assert_int_equal(f->tcp_state, r->tcp_state);
	assert_int_equal(f->tcp_scale, r->tcp_scale);
	assert_int_equal(f->tcp_seen, 0);
	assert_in_range(f->left_s, r->left_s - 5, r->left_s);
	assert_int_equal(f->in_port, XE_FR_NO_PORT);
}

static void expect_listed(const char *words)
{
	if (system("command -v conntrack >/dev/null 2>&1"))
		return;
	nf_run("conntrack -L 2>/dev/null | grep -q -- \"%s\"", words);
}

/* ---- each kind, there and back ---- */

static void test_kinds(void **state)
{
	(void)state;
	need_ct();
	for (int i = 0; i < 2; i++) {
		uint8_t proto = i ? IPPROTO_UDP : IPPROTO_TCP;

		add(record("10.1.0.2", 40000, "203.0.113.1", 80, "198.51.100.2", 20001, proto));
		add(record("fd01::2", 40000, "2001:db8::1", 80, "2001:db8:5::2", 20001, proto));
		add(record_in("10.1.0.3", 8080, "203.0.113.2", 5000, "198.51.100.2", 80, proto));
		add(record_in("fd01::3", 8080, "2001:db8::2", 5000, "2001:db8:5::2", 80, proto));
		/* untranslated, from either side */
		add(record("10.1.0.4", 40001, "203.0.113.3", 80, "10.1.0.4", 40001, proto));
		add(record_in("fd01::4", 53, "2001:db8::3", 5001, "fd01::4", 53, proto));
	}
	write_expect(12, 0, 0);
	read_inside(inside);
	assert_int_equal(found.record_cnt, 12);
	for (uint32_t i = 0; i < file.record_cnt; i++)
		assert_same(&file.records[i]);
	expect_listed("ESTABLISHED src=10.1.0.2 dst=203.0.113.1 sport=40000 dport=80 "
		      "src=203.0.113.1 dst=198.51.100.2 sport=80 dport=20001 .ASSURED.");
	expect_listed("ESTABLISHED src=203.0.113.2 dst=198.51.100.2 sport=5000 dport=80 "
		      "src=10.1.0.3 dst=203.0.113.2 sport=8080 dport=5000 .ASSURED.");
	assert_int_equal(xe_ct_delete(ct, &file, XE_FR_EXT | XE_FR_FROM_OUTSIDE), 6);
	assert_int_equal(xe_ct_delete(ct, &file, 0), 6);
	read_inside(inside);
	assert_int_equal(found.record_cnt, 0);
}

/* Source and destination at once: what calls itself by two addresses. */
static void test_both_translated(void **state)
{
	struct xe_flow_record r;

	(void)state;
	need_ct();
	r = record("10.1.0.2", 40000, "192.0.2.9", 80, "198.51.100.2", 20001, IPPROTO_TCP);
	r.nat_dst = nf_ip("203.0.113.1");
	r.nat_dport_be = htons(8080);
	add(r);
	write_expect(1, 0, 0);
	read_inside(inside);
	assert_int_equal(found.record_cnt, 1);
	assert_same(&r);
}

/* Two containers by external addresses: two sessions, one entry. */
static void test_hairpin(void **state)
{
	struct xe_flow_record a, b;

	(void)state;
	need_ct();
	a = record("10.1.0.2", 40000, "198.51.100.2", 80, "198.51.100.2", 20001, IPPROTO_TCP);
	b = record_in("10.1.0.3", 8080, "198.51.100.2", 20001, "198.51.100.2", 80, IPPROTO_TCP);
	a.flags |= XE_FR_HAIRPIN;
	b.flags |= XE_FR_HAIRPIN;
	add(b);
	add(a);
	a.sport_be = htons(40001); /* its other half is gone */
	a.nat_sport_be = htons(20002);
	add(a);
	write_expect(1, 2, 0);
	expect_listed("src=10.1.0.2 dst=198.51.100.2 sport=40000 dport=80 "
		      "src=10.1.0.3 dst=198.51.100.2 sport=8080 dport=20001 .ASSURED.");
}

/* ---- states ---- */

static void test_states(void **state)
{
	struct xe_flow_record r;

	(void)state;
	need_ct();
	r = record("10.1.0.2", 1, "203.0.113.1", 80, "198.51.100.2", 20001, IPPROTO_TCP);
	r.tcp_state = XE_TCP_SYN_SENT;
	r.left_s = 100;
	add(r);
	r.sport_be = htons(2);
	r.nat_sport_be = htons(20002);
	r.tcp_state = XE_TCP_CLOSED; /* two FINs */
	add(r);
	r.sport_be = htons(3);
	r.nat_sport_be = htons(20003);
	r.tcp_seen |= XE_TS_RST(1);
	add(r);
	r = record("10.1.0.2", 4, "203.0.113.1", 80, "198.51.100.2", 20004, IPPROTO_UDP);
	r.flags = 0;
	add(r);
	write_expect(3, 1, 0);
	/* a flow may be further than was written: the next segment must not be a stranger */
	expect_listed("ESTABLISHED src=10.1.0.2 .*sport=1 .*dport=20001");
	expect_listed("TIME_WAIT src=10.1.0.2 .*sport=2 .*dport=20002");
	expect_listed("udp .* src=10.1.0.2 .*sport=4 .*UNREPLIED");
	read_inside(inside);
	assert_int_equal(found.record_cnt, 2); /* what is over is the kernel's to end */
}

/* ---- what is there already ---- */

static void test_again(void **state)
{
	struct xe_ct_result result;
	struct xe_flow_file before = {};

	(void)state;
	need_ct();
	add(record("10.1.0.2", 1, "203.0.113.1", 80, "198.51.100.2", 20001, IPPROTO_TCP));
	add(record("10.1.0.2", 2, "203.0.113.1", 80, "198.51.100.2", 20002, IPPROTO_UDP));
	file.records[0].tcp_state = XE_TCP_SYN_BACK;
	file.records[0].left_s = 30;
	write_expect(2, 0, 0);
	write_expect(2, 0, 0);
	/* the second pass of a stop: only what is new, or further than it was */
	xe_flow_file_init(&before);
	for (int i = 0; i < 2; i++)
		assert_int_equal(xe_flow_file_add(&before, &file.records[i]), 0);
	result = write_file(&before);
	assert_int_equal(result.skipped, 2);
	file.records[0].tcp_state = XE_TCP_ESTABLISHED;
	file.records[0].left_s = 7000;
	add(record("10.1.0.2", 3, "203.0.113.1", 80, "198.51.100.2", 20003, IPPROTO_UDP));
	result = write_file(&before);
	assert_int_equal(result.written, 2);
	assert_int_equal(result.skipped, 1);
	xe_flow_file_free(&before);
	read_inside(inside);
	assert_int_equal(found.record_cnt, 3);
	assert_in_range(find(&file.records[0])->left_s, 6990, 7000);
}

/* The kernel has begun to carry a flow with a mapping of its own, or the Ext L4 port of a flow is
 * another's there: the worker's mapping is the one that the peer knows. */
static void test_other_mapping(void **state)
{
	(void)state;
	need_ct();
	add(record("10.1.0.2", 1, "203.0.113.1", 80, "198.51.100.2", 41000, IPPROTO_UDP));
	add(record("10.1.0.3", 1, "203.0.113.1", 80, "198.51.100.2", 20002, IPPROTO_UDP));
	write_expect(2, 0, 0);
	file.record_cnt = 0;
	add(record("10.1.0.2", 1, "203.0.113.1", 80, "198.51.100.2", 20001, IPPROTO_UDP));
	add(record("10.1.0.4", 1, "203.0.113.1", 80, "198.51.100.2", 20002, IPPROTO_UDP));
	write_expect(2, 0, 0);
	read_inside(inside);
	assert_int_equal(found.record_cnt, 2);
	for (uint32_t i = 0; i < file.record_cnt; i++)
		assert_same(&file.records[i]);
}

/* ---- whose flows ---- */

static void test_inside_only(void **state)
{
	static const char *const some[] = {"10.1.0.2/32", "10.1.0.0/30", "10.1.0.128/25", NULL};

	(void)state;
	need_ct();
	add(record("10.1.0.1", 1, "203.0.113.1", 80, "198.51.100.2", 20001, IPPROTO_UDP));
	add(record("10.1.0.2", 1, "203.0.113.1", 80, "198.51.100.2", 20002, IPPROTO_UDP));
	add(record("10.1.0.4", 1, "203.0.113.1", 80, "198.51.100.2", 20003, IPPROTO_UDP));
	add(record("10.1.0.129", 1, "203.0.113.1", 80, "198.51.100.2", 20004, IPPROTO_UDP));
	add(record("fd01::1", 1, "2001:db8::1", 80, "2001:db8:5::2", 20004, IPPROTO_UDP));
	/* the host's own flow, and one from outside to the host */
	add(record("198.51.100.2", 1, "203.0.113.1", 80, "198.51.100.2", 1, IPPROTO_UDP));
	add(record("203.0.113.1", 1, "198.51.100.2", 22, "203.0.113.1", 1, IPPROTO_UDP));
	write_expect(7, 0, 0);
	read_inside(some);
	assert_int_equal(found.record_cnt, 3);
	assert_null(find(&file.records[2]));
	assert_null(find(&file.records[4]));
}

/* ---- filtered by the kernel ---- */

/* Hosts whose entries lie among those of others; between two of them is told of once. */
static void add_among_others(void)
{
	char src[32];

	for (int i = 0; i < 2; i++) {
		uint8_t proto = i ? IPPROTO_UDP : IPPROTO_TCP;

		add(record("10.1.0.2", 40000, "203.0.113.1", 80, "198.51.100.2", 20001, proto));
		add(record_in("10.1.0.2", 8080, "203.0.113.2", 5000, "198.51.100.2", 80, proto));
		add(record("10.1.0.2", 40001, "10.1.0.3", 80, "10.1.0.2", 40001, proto));
		add(record("10.1.0.3", 40002, "10.1.0.2", 80, "10.1.0.3", 40002, proto));
		add(record("10.1.0.3", 40003, "10.1.0.4", 80, "10.1.0.3", 40003, proto));
		add(record_in("10.1.0.3", 80, "10.1.0.5", 40004, "10.1.0.3", 80, proto));
		add(record("fd01::2", 40000, "2001:db8::1", 80, "2001:db8:5::2", 20001, proto));
		add(record_in("fd01::2", 8080, "2001:db8::2", 5000, "2001:db8:5::2", 80, proto));
		add(record("fd01::4", 40000, "2001:db8::1", 80, "2001:db8:5::2", 20002, proto));
	}
	for (uint32_t i = 0; i < OTHERS; i++) {
		snprintf(src, sizeof(src), "10.2.%u.%u", i >> 8 & 255, i & 255);
		add(record(src, 1000, "203.0.113.1", 80, "198.51.100.2", (uint16_t)(30000 + i),
			   IPPROTO_UDP));
	}
}

static uint64_t read_by(uint32_t filter, bool unfiltered, const char *const *hosts)
{
	uint64_t t0 = xe_now_ns();

	ct->filter = filter;
	ct->unfiltered = unfiltered;
	read_inside(hosts);
	return (xe_now_ns() - t0) / 1000;
}

static void assert_all_found(const struct xe_flow_file *want)
{
	assert_int_equal(found.record_cnt, want->record_cnt);
	for (uint32_t i = 0; i < want->record_cnt; i++) {
		const struct xe_flow_record *f = find(&want->records[i]);

		assert_non_null(f);
		assert_memory_equal(f, &want->records[i], offsetof(struct xe_flow_record, age_s));
	}
}

/* The same flows, whether the kernel filters, does not know how (before 5.8), or refuses. */
static void test_filtered(void **state)
{
	static const char *const hosts[] = {"10.1.0.2/32", "fd01::2/128", "10.1.0.3/32", NULL};
	static const char *const one[] = {"10.1.0.2/32", NULL};
	static const char *const v4[] = {"10.1.0.0/30", NULL};
	struct xe_flow_file want;
	uint32_t filter;
	uint64_t all_us;

	(void)state;
	need_ct();
	filter = ct->filter;
	ct->pays_from = (18 + OTHERS) / 2; /* of two IPv4 hosts */
	add_among_others();
	write_expect(18 + OTHERS, 0, 0);
	all_us = read_by(filter, true, hosts);
	assert_int_equal(found.record_cnt, 16);
	want = found;
	xe_flow_file_init(&found);
	print_message("3 hosts of %u entries: %u us, all %u us\n", 18 + OTHERS,
		      (unsigned int)read_by(filter, false, hosts), (unsigned int)all_us);
	assert_false(ct->unfiltered);
	assert_all_found(&want);
	read_by(0, false, hosts);
	assert_true(ct->unfiltered);
	assert_all_found(&want);
	read_by(1u << 31, false, hosts);
	assert_true(ct->unfiltered);
	assert_all_found(&want);
	ct->pays_from++; /* now it does not pay: not even tried */
	read_by(0, false, hosts);
	assert_false(ct->unfiltered);
	assert_all_found(&want);
	xe_flow_file_free(&want);
	read_by(filter, false, one);
	assert_false(ct->unfiltered);
	assert_int_equal(found.record_cnt, 8);
	read_by(filter, false, v4);
	assert_int_equal(found.record_cnt, 12);
}

/* ---- what only conntrack can carry ---- */

static int make_entry(uint16_t sport, const char *helper)
{
	struct nfct_handle *h = nfct_open(CONNTRACK, 0);
	struct nf_conntrack *entry = nfct_new();
	int ret;

	assert_non_null(h);
	assert_non_null(entry);
	nfct_set_attr_u8(entry, ATTR_L3PROTO, AF_INET);
	nfct_set_attr_u8(entry, ATTR_L4PROTO, IPPROTO_TCP);
	nfct_set_attr_u32(entry, ATTR_IPV4_SRC, nf_ip("10.1.0.2").w_be[3]);
	nfct_set_attr_u32(entry, ATTR_IPV4_DST, nf_ip("203.0.113.1").w_be[3]);
	nfct_set_attr_u16(entry, ATTR_PORT_SRC, htons(sport));
	nfct_set_attr_u16(entry, ATTR_PORT_DST, htons(21));
	nfct_setobjopt(entry, NFCT_SOPT_SETUP_REPLY);
	nfct_set_attr_u8(entry, ATTR_TCP_STATE, TCP_CONNTRACK_ESTABLISHED);
	nfct_set_attr_u32(entry, ATTR_TIMEOUT, 100);
	if (helper)
		nfct_set_attr(entry, ATTR_HELPER_NAME, helper);
	ret = nfct_query(h, NFCT_Q_CREATE, entry);
	nfct_destroy(entry);
	nfct_close(h);
	return ret;
}

/* A helper rewrites payloads. */
static void test_helper_stays(void **state)
{
	(void)state;
	need_ct();
	if (make_entry(1, "ftp"))
		skip(); /* this kernel has none */
	assert_int_equal(make_entry(2, NULL), 0);
	read_inside(inside);
	assert_int_equal(found.record_cnt, 1);
	assert_int_equal(found.records[0].sport_be, htons(2));
}

/* ---- an entry that outlives its use ---- */

static void test_keep(void **state)
{
	struct xe_flow_file over = {};

	(void)state;
	need_ct();
	add(record("10.1.0.2", 1, "203.0.113.1", 80, "198.51.100.2", 40001, IPPROTO_TCP));
	add(record("10.1.0.2", 2, "203.0.113.1", 80, "198.51.100.2", 40002, IPPROTO_UDP));
	write_expect(2, 0, 0);
	file.records[0].flags |= XE_FR_TAGS;
	file.records[0].tcp_state = XE_TCP_SYN_SENT; /* what the kernel knows better is no error */
	assert_int_equal(xe_ct_keep(ct, &file, XE_FR_TAGS), 1);
	read_inside(inside);
	assert_in_range(find(&file.records[0])->left_s, 4 * 86400, 5 * 86400);
	assert_in_range(find(&file.records[1])->left_s, 1, 600);
	xe_flow_file_init(&over);
	assert_int_equal(xe_flow_file_add(&over, &file.records[1]), 0);
	assert_int_equal(xe_ct_subtract(&file, &over), 0);
	assert_int_equal(file.record_cnt, 1);
	assert_int_equal(file.records[0].nat_sport_be, htons(40001));
	xe_flow_file_free(&over);
	/* nor is it for who writes it anew, at a stop */
	file.records[0].tcp_state = XE_TCP_CLOSED;
	write_expect(1, 0, 0);
}

/* ---- many ---- */

static void add_many(uint32_t cnt)
{
	char src[32];

	for (uint32_t i = 0; i < cnt; i++) {
		snprintf(src, sizeof(src), "10.1.%u.%u", i >> 8 & 255, i & 255);
		add(record(src, 1000, "203.0.113.1", 80, "198.51.100.2", (uint16_t)(20000 + i),
			   i & 1 ? IPPROTO_UDP : IPPROTO_TCP));
	}
}

static void test_many(void **state)
{
	uint64_t t0, t1, t2, t3;

	(void)state;
	need_ct();
	add_many(MANY);
	t0 = xe_now_ns();
	write_expect(MANY, 0, 0);
	t1 = xe_now_ns();
	read_inside(inside);
	t2 = xe_now_ns();
	assert_int_equal(found.record_cnt, MANY);
	assert_int_equal(xe_ct_delete(ct, &file, 0), MANY);
	t3 = xe_now_ns();
	print_message("%u flows: written in %u ms, read in %u, deleted in %u\n", MANY,
		      (unsigned int)((t1 - t0) / XE_NS_PER_MS),
		      (unsigned int)((t2 - t1) / XE_NS_PER_MS),
		      (unsigned int)((t3 - t2) / XE_NS_PER_MS));
	assert_true(t1 - t0 < MANY_MAX_NS && t2 - t1 < MANY_MAX_NS && t3 - t2 < MANY_MAX_NS);
	assert_int_equal(xe_ct_delete(ct, &file, 0), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CT_TEST(test_kinds),       CT_TEST(test_both_translated),
		CT_TEST(test_hairpin),     CT_TEST(test_states),
		CT_TEST(test_again),       CT_TEST(test_other_mapping),
		CT_TEST(test_inside_only), CT_TEST(test_helper_stays),
		CT_TEST(test_keep),        CT_TEST(test_many),
		CT_TEST(test_filtered),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
