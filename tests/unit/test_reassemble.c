/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_reassemble - fragments through a whole lane in memory: what comes in in pieces leaves in the
 * same pieces, translated, and every reason that a fragment can end for counts once.
 *
 * Fragments are cut by code of this file; what leaves is put together and judged by lf_expect().
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <cmocka.h>

#include "lane_fixture.h"
#include "reason_fixture.h"
#include "pipeline/reassemble.h"

#define CNT(a) (sizeof(a) / sizeof((a)[0]))
#define TCP    IPPROTO_TCP
#define UDP    IPPROTO_UDP
#define MAX    64

static const char *const rules[] = {
	"drop from 10.1.0.0/16 to 192.0.2.128/25",
	"kernel udp to 0.0.0.0/0:25",
	"kernel udp from 2001:db8:1::/64 to [2001:db8:beef::/48]:25",
	"masquerade from 2001:db8:1::/64",
	"accept from 10.1.0.0/16 to 10.2.0.0/16",
	"masquerade from 10.1.0.0/16",
	NULL,
};

static const struct lf_spec out_spec = {.src = "10.1.0.2",
					.sport = 5000,
					.dst = "198.51.100.9",
					.dport = 7,
					.payload_len = 4000,
					.may_fragment = true,
					.ip_id = 0x1234};

static int setup(void **state)
{
	*state = lf_open(rules, 1024);
	return 0;
}

static int teardown(void **state)
{
	lf_close(*state);
	return 0;
}

/* ---- cutting ---- */

struct pieces {
	uint32_t cnt;
	struct lf_bytes p[MAX];
};

static void fix_ip(uint8_t *ip)
{
	uint16_t sum;

	ip[10] = ip[11] = 0;
	sum = (uint16_t)~lf_sum(ip, (ip[0] & 15u) * 4, 0);
	ip[10] = (uint8_t)(sum >> 8);
	ip[11] = (uint8_t)sum;
}

/* Bytes [off, off + len) behind the IP header of `whole` as a fragment. */
static void cut_one(struct lf_bytes *to, const struct lf_bytes *whole, uint32_t off, uint32_t len,
		    bool more)
{
	uint32_t hdr = 14 + (whole->b[14] & 15u) * 4, frag = off / 8 | (more ? 0x2000 : 0);
	uint8_t *ip = to->b + 14;

	memcpy(to->b, whole->b, hdr);
	memcpy(to->b + hdr, whole->b + hdr + off, len);
	to->len = hdr + len;
	ip[2] = (uint8_t)((to->len - 14) >> 8);
	ip[3] = (uint8_t)(to->len - 14);
	ip[6] = (uint8_t)((ip[6] & 0xc0) | frag >> 8);
	ip[7] = (uint8_t)frag;
	fix_ip(ip);
}

/* As much as fits into mtu, as the kernel does it. */
static void cut(struct pieces *out, const struct lf_spec *spec, uint32_t mtu)
{
	static struct lf_bytes whole;
	uint32_t hdr, left, room, off = 0;

	lf_build(&whole, spec);
	hdr = (whole.b[14] & 15u) * 4;
	left = whole.len - 14 - hdr;
	room = (mtu - hdr) & ~7u;
	for (out->cnt = 0; left; out->cnt++) {
		uint32_t len = left < room ? left : room;

		assert_in_range(out->cnt, 0, MAX - 1);
		left -= len;
		cut_one(&out->p[out->cnt], &whole, off, len, left);
		off += len;
	}
}

static void deliver(struct lf *f, uint16_t port, const struct lf_bytes *b)
{
	static struct lf_bytes eth;

	eth = *b;
	memcpy(eth.b, (uint8_t[]){2, 0, 0, 0, 0, (uint8_t)port, 2, 1, 0, 0, 0, (uint8_t)port}, 12);
	lf_deliver(f, port, eth.b, eth.len, 0, 0, 0);
}

static void deliver_all(struct lf *f, uint16_t port, const struct pieces *p)
{
	for (uint32_t i = 0; i < p->cnt; i++)
		deliver(f, port, &p->p[i]);
}

static void settle(struct lf *f)
{
	lf_poll(f);
	lf_answer(f);
	xe_hold_poll(f->lane);
	lf_drain_tx(f);
	lf_check_conservation(f);
}

/* ---- judging ---- */

/* What was sent is `spec`, in the fragments that `as` has: same bytes at the same places, own IP
 * headers right, and all of it together what lf_expect() wants. */
static void expect_sent(struct lf *f, const struct lf_spec *spec, const struct pieces *as,
			uint16_t out_port)
{
	static uint8_t bytes[LF_BYTES];
	struct lf_sent whole = {.port = out_port, .bytes = bytes};
	uint32_t hdr = (as->p[0].b[14] & 15u) * 4;

	assert_int_equal(f->sent_cnt, as->cnt);
	for (uint32_t i = 0; i < as->cnt; i++) {
		const struct lf_sent *s = &f->sent[i];
		const uint8_t *ip = s->bytes + 14, *was = as->p[i].b + 14;

		assert_int_equal(s->port, out_port);
		assert_int_equal(s->len, as->p[i].len);
		assert_int_equal(lf_sum(ip, hdr, 0), 0xffff);
		assert_memory_equal(ip, was, 4);
		assert_memory_equal(ip + 6, was + 6, 2);
		/* the sender's id, or where the sender became another one of ours */
		assert_memory_equal(
			ip + 4, memcmp(ip + 12, was + 12, 4) ? f->sent[0].bytes + 18 : was + 4, 2);
		assert_int_equal(ip[8], was[8] - 1);
		assert_int_equal(ip[9], was[9]);
		if (i) {
			assert_memory_equal(s->bytes, f->sent[0].bytes, 14);
			assert_memory_equal(ip + 12, f->sent[0].bytes + 26, 8);
			assert_memory_equal(ip + hdr, was + hdr, s->len - 14 - hdr);
			memcpy(bytes + whole.len, ip + hdr, s->len - 14 - hdr);
			whole.len += s->len - 14 - hdr;
		} else {
			memcpy(bytes, s->bytes, s->len);
			whole.len = s->len;
		}
	}
	bytes[16] = (uint8_t)((whole.len - 14) >> 8);
	bytes[17] = (uint8_t)(whole.len - 14);
	memcpy(bytes + 18, as->p[0].b + 18, 2);
	bytes[20] &= 0x40;
	bytes[21] = 0;
	fix_ip(bytes + 14);
	lf_expect(&whole, spec, out_port);
}

/* What it looks like translated. */
static struct lf_spec translated(const struct lf *f, const struct lf_spec *spec)
{
	struct lf_spec s = *spec;

	s.src = "192.0.2.1";
	s.sport = lf_sport(&f->sent[0]);
	s.ttl = 63;
	return s;
}

static struct xe_lane_counters before;

static void mark(struct lf *f)
{
	before = f->lane->cnt;
	rf_mark(f->lane);
	f->sent_cnt = 0;
}

/* Since mark(): this reason so often, and no other. */
static void expect_reason(const struct lf *f, enum xe_worker_reason reason, uint64_t n)
{
	rf_expect(f->lane, reason, n);
}

/* ---- through, out and back ---- */

static void shuffle(struct pieces *p)
{
	static struct lf_bytes tmp;

	for (uint32_t i = p->cnt - 1; i; i--) {
		uint32_t k = (uint32_t)(lf_random() % (i + 1));

		tmp = p->p[i];
		p->p[i] = p->p[k];
		p->p[k] = tmp;
	}
}

static void reverse(struct pieces *p)
{
	static struct lf_bytes tmp;

	for (uint32_t i = 0; i < p->cnt / 2; i++) {
		tmp = p->p[i];
		p->p[i] = p->p[p->cnt - 1 - i];
		p->p[p->cnt - 1 - i] = tmp;
	}
}

static void pass(struct lf *f, const struct lf_spec *spec, uint32_t mtu,
		 void (*order)(struct pieces *))
{
	static struct pieces in_order, p;
	uint32_t kept = f->lane->frags.table.kept_cnt;
	struct lf_spec want;

	cut(&in_order, spec, mtu);
	p = in_order;
	if (order)
		order(&p);
	mark(f);
	deliver_all(f, LF_INSIDE, &p);
	settle(f);
	want = translated(f, spec);
	expect_sent(f, &want, &in_order, LF_UPLINK);
	/* older ones may have had to make room */
	expect_reason(f, XE_R_FRAG_LIMIT, kept - f->lane->frags.table.kept_cnt);
	assert_int_equal(f->lane->cnt.merged - before.merged, in_order.cnt - 1);
	assert_int_equal(f->lane->cnt.made - before.made, in_order.cnt - 1);
	assert_in_range(kept - f->lane->frags.table.kept_cnt, 0, in_order.cnt);
}

static void test_out(void **state)
{
	static void (*const orders[])(struct pieces *) = {NULL, reverse, shuffle, shuffle, shuffle};
	struct lf *f = *state;
	struct lf_spec s = out_spec;

	for (size_t i = 0; i < CNT(orders); i++) {
		static const uint32_t lens[] = {1473, 1481, 1473 + 1480, 4000, 9000, 40001};

		for (size_t k = 0; k < CNT(lens); k++, s.ip_id++) {
			s.payload_len = lens[k];
			s.seed = (uint8_t)k;
			pass(f, &s, 1500, orders[i]);
			s.csum = s.csum == LF_CSUM_WRONG ? LF_CSUM_FULL : s.csum + 1;
		}
	}
	s.payload_len = 1400;
	s.csum = LF_CSUM_FULL;
	s.ip_options_len = 12;
	pass(f, &s, 576, reverse); /* all of it would fit into one packet: leaves as it came */
	s.ip_id++;
	s.may_fragment = false; /* DF on fragments: they fit, and keep it */
	pass(f, &s, 576, NULL);
	assert_int_equal(f->lane->cnt.sessions_made, 1);
}

static void test_tcp(void **state)
{
	struct lf *f = *state;
	struct lf_spec s = out_spec;

	s.proto = TCP;
	s.tcp_flags = XE_TH_SYN;
	s.tcp_options_len = 12;
	pass(f, &s, 1500, NULL);
	s.tcp_flags = XE_TH_ACK;
	s.ip_id++;
	pass(f, &s, 700, shuffle);
}

static void test_back(void **state)
{
	static struct pieces p, in_order;
	struct lf *f = *state;
	struct lf_spec back = {.src = out_spec.dst,
			       .sport = out_spec.dport,
			       .dst = "192.0.2.1",
			       .payload_len = 20000,
			       .may_fragment = true,
			       .ip_id = 77},
		       want;

	pass(f, &out_spec, 1500, NULL);
	back.dport = lf_sport(&f->sent[0]);
	want = back;
	want.dst = out_spec.src;
	want.dport = out_spec.sport;
	want.ttl = 63;
	for (int i = 0; i < 3; i++) {
		back.ip_id = want.ip_id = (uint16_t)(77 + i);
		cut(&in_order, &back, 1500);
		p = in_order;
		if (i)
			i == 1 ? reverse(&p) : shuffle(&p);
		mark(f);
		/* by both uplinks in turn */
		for (uint32_t k = 0; k < p.cnt; k++)
			deliver(f, k & 1 ? LF_UPLINK : LF_UPLINK2, &p.p[k]);
		settle(f);
		expect_sent(f, &want, &in_order, LF_INSIDE);
		expect_reason(f, XE_R_NONE, 0);
	}
}

static uint16_t sent_id(const struct lf *f)
{
	return (uint16_t)(f->sent[0].bytes[18] << 8 | f->sent[0].bytes[19]);
}

/* Two hosts behind one external address send with the same id to the same host: RFC 6864 section 5.
 */
static void test_ids(void **state)
{
	static struct pieces p[2];
	static bool seen[65536];
	struct lf *f = *state;
	struct lf_spec s[2] = {out_spec, out_spec};
	struct lf_sent *sent;
	struct xe_packet pkt = {.proto = 17};
	uint8_t frame[34] = {[14] = 0x45, [26] = 192, 0, 2, 1, 198, 51, 100, 1};
	uint32_t in_order = 0;
	uint16_t id[2], last = 0;

	s[1].src = "10.1.0.3";
	for (int i = 0; i < 2; i++) {
		cut(&p[i], &s[i], 1500);
		pass(f, &s[i], 1500, NULL);
	}
	for (int i = 0; i < 2; i++) {
		mark(f);
		deliver_all(f, LF_INSIDE, &p[i]);
		settle(f);
		assert_int_equal(f->sent_cnt, p[i].cnt);
		id[i] = sent_id(f);
		sent = &f->sent[p[i].cnt - 1];
		assert_int_equal(sent->bytes[18] << 8 | sent->bytes[19], id[i]);
	}
	assert_int_not_equal(id[0], id[1]);
	/* each once in 65536, at three workers in 16384 each; not one after the other */
	f->lane->worker_cnt = 3;
	pkt.l2 = frame;
	for (uint32_t n = 0; n < 3 * 16384; n++) {
		/* each worker has its counters */
		if (n % 16384 == 0)
			memset(&f->lane->ip_ids, 0, sizeof(f->lane->ip_ids));
		f->lane->worker = (uint16_t)(n / 16384);
		fix_ip(frame + 14);
		xe_ip_id_renew(f->lane, &pkt);
		assert_int_equal(lf_sum(frame + 14, 20, 0), 0xffff);
		id[0] = (uint16_t)(frame[18] << 8 | frame[19]);
		assert_false(seen[id[0]]);
		seen[id[0]] = true;
		in_order += (uint16_t)(id[0] - last) <= 4;
		last = id[0];
	}
	assert_in_range(in_order, 0, 60);
	f->lane->worker_cnt = 0;
	f->lane->worker = 0;
	/* what is whole when it leaves keeps its own */
	s[0].payload_len = 100;
	mark(f);
	lf_pass(f, LF_INSIDE, &s[0]);
	assert_int_equal(sent_id(f), s[0].ip_id);
}

/* Two datagrams at once from each of two hosts, one with the other's id. */
static void test_interleaved(void **state)
{
	static struct pieces p[3];
	struct lf *f = *state;
	struct lf_spec s[3] = {out_spec, out_spec, out_spec}, want;

	s[1].ip_id++;
	s[2].src = "10.1.0.3";
	for (int i = 0; i < 3; i++) {
		s[i].seed = (uint8_t)(i + 1);
		cut(&p[i], &s[i], 1500);
	}
	pass(f, &out_spec, 1500, NULL);
	mark(f);
	for (uint32_t k = 0; k < p[0].cnt; k++)
		for (int i = 0; i < 2; i++)
			deliver(f, LF_INSIDE, &p[i].p[k]);
	settle(f);
	assert_int_equal(f->sent_cnt, 6);
	for (uint32_t i = 0; i < 3; i++) {
		assert_memory_equal(f->sent[i].bytes + 34 + 8, p[0].p[i].b + 34 + 8, 900);
		assert_memory_equal(f->sent[3 + i].bytes + 34 + 8, p[1].p[i].b + 34 + 8, 900);
	}
	mark(f);
	deliver(f, LF_INSIDE, &p[0].p[0]);
	deliver(f, LF_INSIDE, &p[0].p[1]);
	deliver_all(f, LF_INSIDE, &p[2]);
	settle(f);
	want = translated(f, &s[2]);
	expect_sent(f, &want, &p[2], LF_UPLINK);
	deliver(f, LF_INSIDE, &p[0].p[2]);
	mark(f);
	settle(f);
	want = translated(f, &s[0]);
	expect_sent(f, &want, &p[0], LF_UPLINK);
}

/* A short last fragment comes in a frame of 60 bytes. */
static void test_padding(void **state)
{
	static struct pieces p, padded;
	struct lf *f = *state;
	struct lf_spec s = out_spec, want;

	s.payload_len = 1480 - 8 + 5;
	cut(&p, &s, 1500);
	padded = p;
	memset(padded.p[1].b + padded.p[1].len, 0xa5, 60 - padded.p[1].len);
	padded.p[1].len = 60;
	mark(f);
	deliver_all(f, LF_INSIDE, &padded);
	settle(f);
	want = translated(f, &s);
	expect_sent(f, &want, &p, LF_UPLINK);
}

/* A way that is smaller than the fragments: new ones, as large as fit. */
static void test_smaller_way(void **state)
{
	static const uint32_t mtus[] = {1499, 1400, 576, 300};
	static struct pieces as_sent, in;
	struct lf *f = *state;
	struct lf_spec s = out_spec, want;

	for (size_t i = 0; i < CNT(mtus); i++) {
		s.ip_id++;
		cut(&in, &s, 1500);
		shuffle(&in);
		f->mtu = mtus[i];
		lf_change(f, XE_NH_READY);
		mark(f);
		deliver_all(f, LF_INSIDE, &in);
		settle(f);
		want = translated(f, &s);
		cut(&as_sent, &s, mtus[i]);
		expect_sent(f, &want, &as_sent, LF_UPLINK);
		expect_reason(f, XE_R_NONE, 0);
	}
	/* with DF: the kernel tells the sender, and gets all of them for it */
	s.may_fragment = false;
	cut(&in, &s, 1500);
	mark(f);
	deliver_all(f, LF_INSIDE, &in);
	settle(f);
	expect_reason(f, XE_R_P_TOO_BIG, 3);
	assert_int_equal(f->sent_cnt, 0);
}

/* ---- given back ---- */

/* The next packet on the punt device is this one, as it came in. */
static void expect_punted(struct lf *f, const struct lf_bytes *b)
{
	static struct lf_bytes got;
	static const uint8_t plain[10];

	got.len = (uint32_t)recv(f->punt_fd, got.b, sizeof(got.b), 0);
	assert_int_equal(got.len, 10 + b->len - 14);
	assert_memory_equal(got.b, plain, 10); /* no checksum to complete, no superpacket */
	assert_memory_equal(got.b + 10, b->b + 14, b->len - 14);
}

static void check_punted(struct lf *f, uint16_t port, const struct lf_spec *spec,
			 enum xe_worker_reason reason)
{
	static struct pieces in_order, p;

	cut(&in_order, spec, 1500);
	p = in_order;
	reverse(&p);
	mark(f);
	deliver_all(f, port, &p);
	settle(f);
	expect_reason(f, reason, in_order.cnt);
	assert_int_equal(f->lane->cnt.to_kernel - before.to_kernel, in_order.cnt);
	assert_int_equal(f->sent_cnt, 0);
	for (uint32_t i = 0; i < in_order.cnt; i++)
		expect_punted(f, &in_order.p[i]);
	assert_true(recv(f->punt_fd, p.p[0].b, 1, 0) < 0);
}

static void test_punts(void **state)
{
	struct lf *f = *state;
	struct lf_spec s = out_spec;

	s.dport = 25;
	check_punted(f, LF_INSIDE, &s, XE_R_P_RULE);
	s.proto = TCP;
	s.tcp_flags = XE_TH_ACK;
	check_punted(f, LF_INSIDE, &s, XE_R_P_FRAG_NOT_OURS);
	s = out_spec;
	s.src = "198.51.100.9";
	s.dst = "192.0.2.1";
	s.dport = 500;
	check_punted(f, LF_UPLINK, &s, XE_R_P_FRAG_NOT_OURS);
	s.proto = TCP;
	check_punted(f, LF_UPLINK, &s, XE_R_P_FRAG_NOT_OURS);
	f->nexthop_state = XE_NH_NO_ROUTE;
	check_punted(f, LF_INSIDE, &out_spec, XE_R_P_NO_ROUTE);
	/* one L4 checksum field that looks as if it were to be completed */
	s.proto = UDP;
	s.csum = LF_CSUM_PARTIAL;
	check_punted(f, LF_UPLINK, &s, XE_R_P_FRAG_NOT_OURS);
}

static void test_drop_rule(void **state)
{
	static struct pieces p;
	struct lf *f = *state;
	struct lf_spec s = out_spec;

	s.dst = "192.0.2.200";
	cut(&p, &s, 1500);
	mark(f);
	deliver_all(f, LF_INSIDE, &p);
	settle(f);
	expect_reason(f, XE_R_W_DROP_RULE, 1); /* of the datagram */
	s.src = "10.9.0.1";
	cut(&p, &s, 1500);
	mark(f);
	deliver_all(f, LF_INSIDE, &p);
	settle(f);
	expect_reason(f, XE_R_W_SPOOFED, 1);
}

/* ---- ends ---- */

/* One fragment of `whole`, changed by nothing but these. */
static void put(struct lf *f, const struct lf_spec *spec, uint32_t off, uint32_t len, bool more)
{
	static struct lf_bytes whole, one;

	lf_build(&whole, spec);
	cut_one(&one, &whole, off, len, more);
	deliver(f, LF_INSIDE, &one);
}

static void test_tiny(void **state)
{
	static const struct {
		const char *name;
		uint8_t proto;
		uint32_t off, len;
		bool more, lives;
	} cases[] = {
		{"UDP header and nothing", UDP, 0, 8, true, true},
		{"TCP, 8 bytes", TCP, 0, 8, true, false},
		{"TCP, 16 bytes", TCP, 0, 16, true, false},
		{"TCP, header without its options", TCP, 0, 24, true, false},
		{"TCP, header", TCP, 0, 32, true, true},
		{"TCP flags in the second one (RFC 1858)", TCP, 8, 64, true, false},
		{"TCP, offset 16", TCP, 16, 64, true, false},
		{"TCP, offset 24", TCP, 24, 64, true, true},
		{"UDP, offset 8", UDP, 8, 64, true, true},
		{"no multiple of 8", UDP, 64, 60, true, false},
		{"no multiple of 8 in the last one", UDP, 64, 60, false, true},
		{"UDP, 4 bytes and no more", UDP, 8, 4, false, true},
	};
	struct lf *f = *state;

	for (size_t i = 0; i < CNT(cases); i++) {
		struct lf_spec s = out_spec;

		print_message("%s\n", cases[i].name);
		s.proto = cases[i].proto;
		s.ip_id = (uint16_t)i;
		s.tcp_options_len = s.proto == TCP ? 12 : 0;
		mark(f);
		put(f, &s, cases[i].off, cases[i].len, cases[i].more);
		lf_poll(f);
		expect_reason(f, cases[i].lives ? XE_R_NONE : XE_R_FRAG_TINY, 1 - cases[i].lives);
	}
}

static void test_ends(void **state)
{
	struct lf *f = *state;
	struct lf_spec s = out_spec;

	mark(f);
	put(f, &s, 0, 800, true);
	put(f, &s, 1600, 800, true);
	put(f, &s, 1600, 800, true);
	lf_poll(f);
	expect_reason(f, XE_R_FRAG_DUPLICATE, 1);
	mark(f);
	put(f, &s, 792, 16, true);
	lf_poll(f);
	expect_reason(f, XE_R_FRAG_OVERLAP, 3);
	mark(f);
	put(f, &s, 800, 800, true);
	put(f, &s, 2400, 808 + 8 * 100, false);
	lf_poll(f);
	expect_reason(f, XE_R_FRAG_OVERLAP, 2);

	s.ip_id++;
	mark(f);
	put(f, &s, 0, 800, true);
	put(f, &s, 1600, 800, true);
	lf_poll(f);
	f->lane->now_s += XE_FRAG_TIMEOUT_S;
	xe_pipeline_housekeeping(f->lane);
	expect_reason(f, XE_R_FRAG_TIMEOUT, 2);
	lf_check_conservation(f);

	s.ttl = 1;
	mark(f);
	put(f, &s, 0, 800, true);
	lf_poll(f);
	expect_reason(f, XE_R_W_TTL, 1);
	s.ttl = 64;
	/* ping of death */
	s.ip_id++;
	s.payload_len = 65000;
	mark(f);
	{
		static struct lf_bytes whole, one;
		uint16_t sum;

		lf_build(&whole, &s);
		cut_one(&one, &whole, 0, 1400, false);
		one.b[20] = 0x1f;
		one.b[21] = 0xff;
		one.b[24] = one.b[25] = 0;
		sum = lf_sum(one.b + 14, 20, 0);
		one.b[24] = (uint8_t)(~sum >> 8);
		one.b[25] = (uint8_t)~sum;
		deliver(f, LF_INSIDE, &one);
	}
	lf_poll(f);
	expect_reason(f, XE_R_FRAG_OVERLAP, 1);

	/* the port goes away */
	s.ip_id++;
	mark(f);
	put(f, &s, 0, 800, true);
	lf_poll(f);
	xe_reassemble_flush(f->lane, LF_INSIDE2);
	xe_reassemble_flush(f->lane, LF_UPLINK);
	expect_reason(f, XE_R_NONE, 0);
	xe_reassemble_flush(f->lane, LF_INSIDE);
	expect_reason(f, XE_R_PORT_GONE, 1);
}

/* A source that sends only halves loses its own; others go on, from the same port and from others,
 * and there is always a frame left to receive. */
static void test_flood(void **state)
{
	struct lf *f = *state;
	struct lf_spec s = out_spec, other = out_spec;
	uint32_t sent = 0;

	other.src = "10.1.0.77";
	other.ip_id = 9;
	mark(f);
	for (uint32_t i = 0; i < 3000; i++, sent++) {
		s.ip_id = (uint16_t)i;
		put(f, &s, 0, 64, true);
		if (i % 16)
			continue;
		lf_poll(f);
		assert_in_range(f->lane->frags.table.kept_cnt, 0, 256);
	}
	lf_poll(f);
	expect_reason(f, XE_R_FRAG_LIMIT, sent - f->lane->frags.table.kept_cnt);
	pass(f, &other, 1500, shuffle);
	/* as many sources as there are addresses */
	for (uint32_t i = 0; i < 3000; i++) {
		char src[16];

		snprintf(src, sizeof(src), "10.1.%u.%u", i >> 8, i & 255);
		s.src = src;
		put(f, &s, 0, 64, true);
		if (i % 16 == 0)
			lf_poll(f);
	}
	lf_poll(f);
	assert_in_range(f->lane->frags.table.kept_cnt, 0, 512);
	other.ip_id++;
	pass(f, &other, 1500, shuffle);
}

/* Whole ones that wait for a next hop count as what they are, and keep nothing for ever. */
static void test_held(void **state)
{
	static struct pieces p;
	struct lf *f = *state;
	struct lf_spec s = out_spec;
	uint32_t fit = (XE_HOLD_PER_HOP + 2) / 3, whole = 0; /* datagrams of three */

	f->nexthop_state = XE_NH_RESOLVING;
	mark(f);
	for (uint32_t i = 0; i < fit + 38; i++, whole++) {
		s.ip_id = (uint16_t)i;
		cut(&p, &s, 1500);
		deliver_all(f, LF_INSIDE, &p);
		lf_poll(f);
		lf_answer(f);
	}
	assert_int_equal(f->lane->hold.cnt, fit);
	assert_int_equal(f->lane->hold.frames, 3 * fit);
	expect_reason(f, XE_R_HOLD_FULL, whole - fit);
	f->sent_cnt = 0;
	lf_change(f, XE_NH_READY);
	xe_hold_poll(f->lane);
	lf_drain_tx(f);
	lf_check_conservation(f);
	assert_int_equal(f->sent_cnt, 3 * fit);
	assert_int_equal(f->lane->hold.cnt, 0);
	assert_int_equal(f->lane->ports[LF_INSIDE].held, 0);
	assert_int_equal(f->lane->frags.table.kept_cnt, 0);
}

/* Anything at all: nothing is lost, nothing goes out that is no whole datagram of its sender. */
static void test_random(void **state)
{
	static struct pieces p;
	struct lf *f = *state;

	for (uint32_t i = 0; i < 3000; i++) {
		struct lf_spec s = out_spec;

		s.ip_id = (uint16_t)(lf_random() % 4);
		s.proto = lf_random() % 4 ? UDP : TCP;
		s.tcp_flags = XE_TH_SYN;
		s.payload_len = (uint32_t)(lf_random() % 3000) + 100;
		cut(&p, &s, 300 + (uint32_t)(lf_random() % 4) * 300);
		for (uint32_t k = 0; k < p.cnt; k++) {
			struct lf_bytes *b = &p.p[lf_random() % p.cnt];

			if (lf_random() % 8 == 0)
				b->b[14 + lf_random() % 24] ^= (uint8_t)(1 << lf_random() % 8);
			if (b->len > 15 && lf_random() % 8 == 0)
				b->len = 14 + (uint32_t)(lf_random() % (b->len - 14));
			deliver(f, lf_random() % 4 ? LF_INSIDE : LF_UPLINK, b);
		}
		mark(f);
		settle(f);
		while (recv(f->punt_fd, p.p[0].b, sizeof(p.p[0].b), 0) > 0)
			;
		f->lane->now_s += lf_random() % 64 == 0 ? 10 : 0;
		xe_pipeline_housekeeping(f->lane);
	}
}

/* ---- IPv6 ---- */

#define IP6       14
#define FRAG6_LEN 8

static const struct lf_spec out6_spec = {.src = "2001:db8:1::5",
					 .sport = 5000,
					 .dst = "2001:db8:7::9",
					 .dport = 7,
					 .payload_len = 4000};

/* Behind the fixed header: next header, 0, offset and more, id. */
static void cut6(struct pieces *out, const struct lf_spec *spec, uint32_t mtu, uint32_t id)
{
	static struct lf_bytes whole;
	uint32_t room = (mtu - 48) & ~7u, left, off = 0;

	lf_build(&whole, spec);
	left = whole.len - IP6 - 40;
	for (out->cnt = 0; left; out->cnt++) {
		struct lf_bytes *to = &out->p[out->cnt];
		uint32_t len = left < room ? left : room, frag = off | (left > room);
		uint8_t *ip = to->b + IP6, *hdr = ip + 40;

		assert_in_range(out->cnt, 0, MAX - 1);
		left -= len;
		memcpy(to->b, whole.b, IP6 + 40);
		hdr[0] = ip[6];
		hdr[1] = 0;
		hdr[2] = (uint8_t)(frag >> 8);
		hdr[3] = (uint8_t)frag;
		memcpy(hdr + 4, &id, 4);
		ip[6] = 44;
		ip[4] = (uint8_t)((len + FRAG6_LEN) >> 8);
		ip[5] = (uint8_t)(len + FRAG6_LEN);
		memcpy(hdr + FRAG6_LEN, whole.b + IP6 + 40 + off, len);
		to->len = IP6 + 40 + FRAG6_LEN + len;
		off += len;
	}
}

static void expect_sent6(struct lf *f, const struct lf_spec *spec, const struct pieces *as,
			 uint16_t out_port)
{
	static uint8_t bytes[LF_BYTES];
	struct lf_sent whole = {.port = out_port, .bytes = bytes};

	assert_int_equal(f->sent_cnt, as->cnt);
	for (uint32_t i = 0; i < as->cnt; i++) {
		const struct lf_sent *s = &f->sent[i];
		const uint8_t *ip = s->bytes + IP6, *was = as->p[i].b + IP6;
		uint32_t behind = IP6 + 40 + FRAG6_LEN;

		assert_int_equal(s->port, out_port);
		assert_int_equal(s->len, as->p[i].len);
		assert_memory_equal(ip, was, 7);
		assert_int_equal(ip[7], was[7] - 1);
		assert_memory_equal(ip + 40, was + 40, FRAG6_LEN);
		if (i) {
			assert_memory_equal(s->bytes, f->sent[0].bytes, IP6);
			assert_memory_equal(ip + 8, f->sent[0].bytes + IP6 + 8, 32);
		} else {
			memcpy(bytes, s->bytes, IP6 + 40);
			whole.len = IP6 + 40;
		}
		memcpy(bytes + whole.len, s->bytes + behind, s->len - behind);
		whole.len += s->len - behind;
	}
	bytes[IP6 + 6] = f->sent[0].bytes[IP6 + 40];
	bytes[IP6 + 4] = (uint8_t)((whole.len - IP6 - 40) >> 8);
	bytes[IP6 + 5] = (uint8_t)(whole.len - IP6 - 40);
	lf_expect(&whole, spec, out_port);
}

static void test_ipv6(void **state)
{
	static void (*const orders[])(struct pieces *) = {NULL, reverse, shuffle, shuffle};
	static struct pieces in_order, p;
	struct lf *f = *state;
	struct lf_spec s = out6_spec, want, back;
	uint32_t id = 0x10203;

	for (size_t i = 0; i < CNT(orders); i++)
		for (s.payload_len = 1401; s.payload_len < 60000; s.payload_len *= 3, id++) {
			cut6(&in_order, &s, i & 1 ? 1500 : 1280, id);
			p = in_order;
			if (orders[i])
				orders[i](&p);
			mark(f);
			deliver_all(f, LF_INSIDE, &p);
			settle(f);
			want = s;
			want.src = "2001:db8:f::1";
			/* behind the fragment header */
			want.sport = (uint16_t)(f->sent[0].bytes[IP6 + 48] << 8 |
						f->sent[0].bytes[IP6 + 49]);
			want.ttl = 63;
			expect_sent6(f, &want, &in_order, LF_UPLINK);
			expect_reason(f, XE_R_NONE, 0);
			/* and back */
			back = (struct lf_spec){.src = s.dst,
						.sport = s.dport,
						.dst = want.src,
						.dport = want.sport,
						.payload_len = s.payload_len};
			cut6(&in_order, &back, 1500, id);
			p = in_order;
			if (orders[i])
				orders[i](&p);
			mark(f);
			deliver_all(f, LF_UPLINK2, &p);
			settle(f);
			want = back;
			want.dst = s.src;
			want.dport = s.sport;
			want.ttl = 63;
			expect_sent6(f, &want, &in_order, LF_INSIDE);
			expect_reason(f, XE_R_NONE, 0);
		}
	assert_int_equal(f->lane->cnt.sessions_made, 1);
	/* one that is all of it (RFC 6946) */
	s.payload_len = 500;
	cut6(&in_order, &s, 1500, id);
	assert_int_equal(in_order.cnt, 1);
	mark(f);
	deliver_all(f, LF_INSIDE, &in_order);
	settle(f);
	assert_int_equal(f->sent_cnt, 1);
	assert_int_equal(f->sent[0].len, in_order.p[0].len);
	/* too big for the way: nobody but the sender fragments it */
	s.payload_len = 4000;
	f->mtu = 1400;
	lf_change(f, XE_NH_READY);
	cut6(&in_order, &s, 1500, ++id);
	mark(f);
	deliver_all(f, LF_INSIDE, &in_order);
	settle(f);
	expect_reason(f, XE_R_TOO_BIG, 1);
	assert_int_equal(f->sent_cnt, 1);
	assert_int_equal(f->sent[0].port, LF_INSIDE);
	assert_int_equal(f->sent[0].bytes[IP6 + 40], 2); /* packet too big */
	assert_int_equal(f->sent[0].bytes[IP6 + 46] << 8 | f->sent[0].bytes[IP6 + 47], 1400);
	/* the kernel's by a rule; nobody's; an overlap */
	s.dst = "2001:db8:beef::1";
	s.dport = 25;
	cut6(&in_order, &s, 1280, ++id);
	mark(f);
	deliver_all(f, LF_INSIDE, &in_order);
	settle(f);
	expect_reason(f, XE_R_P_RULE, 4);
	for (uint32_t i = 0; i < 4; i++)
		expect_punted(f, &in_order.p[i]);
	s = (struct lf_spec){
		.src = "2001:db8:7::9", .dst = "2001:db8:f::2", .dport = 9, .payload_len = 2000};
	cut6(&in_order, &s, 1280, ++id);
	mark(f);
	deliver_all(f, LF_UPLINK, &in_order);
	settle(f);
	expect_reason(f, XE_R_P_FRAG_NOT_OURS, 2);
	for (uint32_t i = 0; i < 2; i++)
		expect_punted(f, &in_order.p[i]);
	cut6(&in_order, &s, 1280, ++id);
	cut6(&p, &s, 1288, id);
	mark(f);
	deliver(f, LF_UPLINK, &in_order.p[0]);
	deliver(f, LF_UPLINK, &p.p[0]);
	deliver(f, LF_UPLINK, &in_order.p[1]);
	lf_poll(f);
	expect_reason(f, XE_R_FRAG_OVERLAP, 3);
}

/* A packet with a fragment header that is all of it: nothing to do with others of the same id. */
static void test_alone(void **state)
{
	static struct pieces one, others;
	struct lf_spec s = out6_spec;
	struct lf *f = *state;

	cut6(&others, &s, 1500, 7);
	s.payload_len = 500;
	cut6(&one, &s, 1500, 7);
	assert_int_equal(one.cnt, 1);
	mark(f);
	deliver(f, LF_INSIDE, &others.p[0]);
	settle(f);
	deliver(f, LF_INSIDE, &one.p[0]);
	deliver(f, LF_INSIDE, &one.p[0]);
	settle(f);
	expect_reason(f, XE_R_NONE, 0);
	assert_int_equal(f->sent_cnt, 2);
	assert_int_equal(f->sent[0].len, one.p[0].len);
	for (uint32_t i = 1; i < others.cnt; i++)
		deliver(f, LF_INSIDE, &others.p[i]);
	settle(f);
	expect_reason(f, XE_R_NONE, 0);
	assert_int_equal(f->sent_cnt, others.cnt);
}

/* What steer and parse6.c do not take as a whole packet is none in fragments. */
static void test_ipv6_not_ours(void **state)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
	static struct pieces p;
	struct lf *f = *state;
	struct lf_bytes *b = &p.p[0];
	uint8_t *ip = b->b + IP6;

	for (int at = 8; at <= 24; at += 16) {
		cut6(&p, &out6_spec, 1280, 1);
		memcpy(ip + at, mapped, sizeof(mapped));
		mark(f);
		deliver(f, LF_INSIDE, b);
		lf_poll(f);
		expect_reason(f, XE_R_W_MALFORMED, 1);
	}
	for (uint8_t left = 0; left < 2; left++) {
		cut6(&p, &out6_spec, 1280, 2);
		memmove(ip + 48, ip + 40, b->len - IP6 - 40);
		memcpy(ip + 40, (uint8_t[8]){44, 0, 4, left}, 8); /* routing header */
		ip[6] = 43;
		ip[5] = (uint8_t)(ip[5] + 8);
		ip[4] = (uint8_t)(ip[4] + (ip[5] < 8));
		b->len += 8;
		mark(f);
		deliver(f, LF_INSIDE, b);
		lf_poll(f);
		expect_reason(f, left ? XE_R_W_MALFORMED : XE_R_NONE, left);
	}
}

/* ---- between two containers, by an external address ---- */

#define HOST1 "10.1.0.2"
#define HOST2 "10.1.0.3"
#define HOST6 "2001:db8:1::5"
#define PEER6 "2001:db8:1::6"

/* `host` has the L4 port as its own on the Ext address, too: it is the first there. */
static void open_mapping(struct lf *f, const char *host, const char *dst, uint16_t sport)
{
	struct lf_spec s = {.src = host, .sport = sport, .dst = dst, .dport = 9};

	assert_non_null(lf_pass(f, LF_INSIDE, &s));
	assert_int_equal(lf_sport(&f->sent[0]), sport);
}

static struct lf_spec hairpin_spec(bool v6, uint16_t dport)
{
	return (struct lf_spec){.src = v6 ? HOST6 : HOST1,
				.sport = 5000,
				.dst = v6 ? "2001:db8:f::1" : "192.0.2.1",
				.dport = dport,
				.payload_len = 4000,
				.may_fragment = true,
				.ip_id = 0x77};
}

static void expect_hairpinned(struct lf *f, const struct pieces *as, bool v6)
{
	struct lf_spec want = hairpin_spec(v6, 6000);

	want.src = want.dst;
	want.dst = v6 ? PEER6 : HOST2;
	want.ttl = 63;
	if (v6)
		expect_sent6(f, &want, as, LF_INSIDE);
	else
		expect_sent(f, &want, as, LF_INSIDE);
}

static void open_hairpin(struct lf *f, bool v6)
{
	const char *far = v6 ? "2001:db8:7::9" : "198.51.100.9";
	struct lf_spec s = hairpin_spec(v6, 7000);

	open_mapping(f, v6 ? HOST6 : HOST1, far, 5000);
	open_mapping(f, v6 ? PEER6 : HOST2, far, 6000);
	open_mapping(f, v6 ? PEER6 : HOST2, far, 7000);
	/* and the next hop is known */
	s.payload_len = 40;
	assert_non_null(lf_pass(f, LF_INSIDE, &s));
	assert_int_equal(f->sent[0].port, LF_INSIDE);
}

static void cut_hairpin(struct pieces *p, bool v6, uint32_t mtu)
{
	struct lf_spec s = hairpin_spec(v6, 6000);

	if (v6)
		cut6(p, &s, mtu, 0x99);
	else
		cut(p, &s, mtu);
}

static void test_hairpin(void **state)
{
	static struct pieces in_order, p;
	struct lf *f = *state;

	for (int v6 = 0; v6 < 2; v6++) {
		open_hairpin(f, v6);
		/* the first one makes the session, the second one has it */
		for (int i = 0; i < 2; i++) {
			cut_hairpin(&in_order, v6, 1500);
			p = in_order;
			reverse(&p);
			mark(f);
			deliver_all(f, LF_INSIDE, &p);
			settle(f);
			expect_reason(f, XE_R_NONE, 0);
			expect_hairpinned(f, &in_order, v6);
		}
	}
	/* its way in is smaller */
	f->lane->ports[LF_INSIDE].mtu = 1000;
	cut_hairpin(&in_order, false, 1500);
	mark(f);
	deliver_all(f, LF_INSIDE, &in_order);
	settle(f);
	expect_reason(f, XE_R_NONE, 0);
	cut_hairpin(&in_order, false, 1000);
	expect_hairpinned(f, &in_order, false);
	assert_int_equal(f->lane->frags.table.kept_cnt, 0);
}

/* Who has the L4 port? */
static void set_owner(struct lf *f, uint16_t l4_port, uint8_t worker)
{
	for (uint32_t ext = 0; ext < LF_EXT_CNT; ext++) {
		uint8_t *owner = xe_claims_owner(f->claims, ext, true, l4_port);

		if (*owner)
			*owner = (uint8_t)(worker + 1);
	}
}

/* All that was handed to a worker comes back from there. */
static uint32_t turn_round(struct xe_handoff *h, uint32_t worker)
{
	uint32_t cnt = xe_handoff_avail(h, 0, worker);

	for (uint32_t i = 0; i < cnt; i++) {
		struct xdp_desc d = *xe_handoff_desc(h, 0, worker, i);

		assert_int_equal(d.options, 0);
		assert_true(xe_handoff_put(h, worker, 0, &d, 1));
	}
	xe_handoff_release(h, 0, worker, cnt);
	xe_handoff_publish(h, worker);
	return cnt;
}

static const uint32_t no_accept;
static struct xe_handoff handoff;

static void open_workers(struct lf *f, uint16_t cnt)
{
	assert_int_equal(xe_handoff_open(&handoff, cnt, LF_FRAMES), 0);
	f->lane->handoff = f->lane->umem.handoff = &handoff;
	f->lane->any_accept = &no_accept;
	f->lane->worker_cnt = cnt;
}

static void close_workers(struct lf *f)
{
	xe_handoff_close(&handoff);
	f->lane->handoff = f->lane->umem.handoff = NULL;
}

/* Halves from outside wait at two workers, whatever their keys and however many workers there are:
 * the frames they are in are all of one. */
static void test_meet(void **state)
{
	struct lf_spec s = {.src = "198.51.100.9",
			    .sport = 7,
			    .dst = "192.0.2.1",
			    .dport = 9,
			    .payload_len = 200,
			    .may_fragment = true};
	static struct lf_bytes whole, one;
	struct lf *f = *state;
	uint32_t handed;

	open_workers(f, 8);
	mark(f);
	for (s.ip_id = 0; s.ip_id < 100; s.ip_id++) {
		lf_build(&whole, &s);
		cut_one(&one, &whole, 0, 64, true);
		deliver(f, LF_UPLINK, &one);
	}
	while (xe_pipeline_poll(f->lane))
		;
	xe_handoff_publish(&handoff, 0);
	for (uint32_t w = 2; w < 8; w++)
		assert_int_equal(xe_handoff_avail(&handoff, 0, w), 0);
	handed = turn_round(&handoff, 1);
	assert_in_range(handed, 20, 80);
	assert_int_equal(f->lane->frags.table.kept_cnt, 100 - handed);
	lf_poll(f);
	assert_int_equal(f->lane->frags.table.kept_cnt, 100);
	expect_reason(f, XE_R_NONE, 0);
	close_workers(f);
}

/* The other container's session is another worker's, which joins the fragments anew: they have to
 * belong together there. This lane is both of the workers, one after the other. */
static void test_hairpin_handed(void **state)
{
	static struct pieces in_order, p;
	struct lf *f = *state;

	open_workers(f, 2);
	for (int v6 = 0; v6 < 2; v6++) {
		open_hairpin(f, v6);
		set_owner(f, 6000, 1);
		cut_hairpin(&in_order, v6, 1500);
		p = in_order;
		shuffle(&p);
		mark(f);
		deliver_all(f, LF_INSIDE, &p);
		while (xe_pipeline_poll(f->lane))
			;
		xe_handoff_publish(&handoff, 0);
		set_owner(f, 6000, 0);
		assert_int_equal(turn_round(&handoff, 1), in_order.cnt);
		settle(f);
		expect_reason(f, XE_R_NONE, 0);
		expect_hairpinned(f, &in_order, v6);
		assert_int_equal(f->lane->umem.lent_cnt, 0);
	}
	close_workers(f);
}

#define LANE_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		LANE_TEST(test_out),     LANE_TEST(test_tcp),
		LANE_TEST(test_back),    LANE_TEST(test_interleaved),
		LANE_TEST(test_padding), LANE_TEST(test_smaller_way),
		LANE_TEST(test_punts),   LANE_TEST(test_drop_rule),
		LANE_TEST(test_tiny),    LANE_TEST(test_ends),
		LANE_TEST(test_flood),   LANE_TEST(test_held),
		LANE_TEST(test_random),  LANE_TEST(test_ipv6),
		LANE_TEST(test_hairpin), LANE_TEST(test_hairpin_handed),
		LANE_TEST(test_alone),   LANE_TEST(test_ipv6_not_ours),
		LANE_TEST(test_meet),    LANE_TEST(test_ids),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
