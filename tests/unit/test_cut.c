/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_cut.c - what becomes of packets that are too big for their way.
 *
 * Segments and fragments are judged by code of this file: fragments are put together again, every
 * checksum is summed byte by byte, headers are compared with what the kernel would have made, and
 * the payloads must give what went in. What the kernel really makes of the same superpackets is
 * compared on the wire, by tests/netns/t_cut.sh.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "base/insum.h"
#include "lane_fixture.h"
#include "reason_fixture.h"
#include "pipeline/cut.h"
#include "pipeline/mss.h"

#define TCP IPPROTO_TCP
#define UDP IPPROTO_UDP

static const char *const rules[] = {"masquerade from 10.1.0.0/16", NULL};
static const struct lf_spec plain = {
	.src = "10.1.0.2",
	.sport = 5000,
	.dst = "198.51.100.9",
	.dport = 80,
	.proto = UDP,
	.may_fragment = true,
};

static int setup(void **state)
{
	xe_insum_init();
	*state = lf_open(rules, 1024);
	return 0;
}

static int teardown(void **state)
{
	lf_close(*state);
	return 0;
}

static uint32_t get16(const uint8_t *p)
{
	return (uint32_t)p[0] << 8 | p[1];
}

static uint32_t get32(const uint8_t *p)
{
	return get16(p) << 16 | get16(p + 2);
}

static void open_flow(struct lf *f, const struct lf_spec *spec)
{
	struct lf_spec first = *spec;

	first.payload_len = first.gso_size = first.tcp_options_len = first.ip_options_len = 0;
	first.csum = LF_CSUM_FULL;
	first.tcp_flags = XE_TH_SYN;
	assert_non_null(lf_pass(f, LF_INSIDE, &first));
}

/* ---- fragments back together ---- */

struct whole {
	bool in_fragments;
	uint32_t ip_len; /* so far: first header and what is behind it */
	bool open;       /* more fragments to come */
	uint8_t ip[LF_BYTES];
};

/* In order, as they are sent. */
static void add_packet(struct whole *w, const struct lf_sent *sent, uint32_t mtu)
{
	const uint8_t *ip = sent->bytes + 14;
	uint32_t hdr_len = (ip[0] & 15u) * 4, len = get16(ip + 2), frag = get16(ip + 6);

	assert_int_equal(sent->len, 14 + len);
	assert_int_equal(lf_sum(ip, hdr_len, 0), 0xffff);
	assert_true(len <= mtu);
	if (!w->open) {
		assert_int_equal(frag & 0x1fff, 0);
		memcpy(w->ip, ip, len);
		w->ip_len = len;
		w->in_fragments = frag & 0x2000;
	} else {
		assert_int_equal((frag & 0x1fff) * 8, w->ip_len - hdr_len);
		assert_int_equal(get16(ip + 4), get16(w->ip + 4));
		assert_memory_equal(ip + 8, w->ip + 8, 2);
		assert_memory_equal(ip + 12, w->ip + 12, 8);
		memcpy(w->ip + w->ip_len, ip + hdr_len, len - hdr_len);
		w->ip_len += len - hdr_len;
	}
	w->open = frag & 0x2000;
	if (w->open) /* as much as fits */
		assert_in_range(len, mtu - 7 > len ? len + 1 : mtu - 7, mtu);
	w->ip[2] = (uint8_t)(w->ip_len >> 8);
	w->ip[3] = (uint8_t)w->ip_len;
}

/* ---- the packet that went in, run up to tx and cut there ---- */

static void run_cut(struct lf *f, const struct lf_spec *spec, uint32_t mtu)
{
	struct xe_burst *burst = &f->lane->burst;

	lf_put(f, LF_INSIDE, spec);
	f->sent_cnt = 0;
	assert_int_equal(xe_rx(f->lane, &f->xsk[LF_INSIDE]), 1);
	xe_parse(f->lane, burst);
	xe_flow(f->lane, burst);
	xe_nat(f->lane, burst);
	xe_csum(f->lane, burst);
	xe_fwd(f->lane, burst);
	assert_false(burst->packets[0].ended);
	burst->packets[0].frag_mtu = (uint16_t)mtu;
	xe_tx(f->lane, burst);
	lf_drain_tx(f);
	lf_check_conservation(f);
	for (uint16_t port = 1; port < LF_PORT_END; port++)
		xe_xsk_complete(&f->xsk[port], &f->lane->umem);
}

/* The n-th of cnt segments of this superpacket, against the letter of the kernel's rules. */
static void check_segment(const struct whole *w, const struct lf_bytes *in, uint32_t n,
			  uint32_t cnt, const struct lf_spec *spec)
{
	uint32_t hdr_len = 20 + spec->ip_options_len, seq;
	uint32_t l4_hdr = spec->proto == TCP ? 20 + spec->tcp_options_len : 8;
	uint32_t len = n + 1 < cnt ? spec->gso_size : spec->payload_len - n * spec->gso_size;
	const uint8_t *l4 = w->ip + hdr_len, *from = in->b + 14 + hdr_len;

	assert_int_equal(w->ip_len, hdr_len + l4_hdr + len);
	if (!w->in_fragments) /* or it is the service's */
		assert_int_equal(get16(w->ip + 4), (spec->ip_id + n) & 0xffff);
	assert_memory_equal(l4 + l4_hdr, from + l4_hdr + n * spec->gso_size, len);
	if (spec->csum == LF_CSUM_ZERO && spec->proto == UDP)
		assert_int_equal(get16(l4 + 6), 0);
	else
		assert_true(lf_l4_csum_valid(w->ip));
	if (spec->proto == UDP) {
		assert_int_equal(get16(l4 + 4), 8 + len);
		return;
	}
	seq = get32(from + 4) + n * spec->gso_size;
	assert_int_equal(get32(l4 + 4), seq);
	assert_memory_equal(l4 + 8, from + 8, 5);
	assert_memory_equal(l4 + 20, from + 20, spec->tcp_options_len);
	assert_int_equal(l4[13], spec->tcp_flags & ~(n ? 0x80 : 0) & ~(n + 1 < cnt ? 0x09 : 0));
}

static void check_superpacket(struct lf *f, const struct lf_spec *spec, uint32_t mtu)
{
	static struct whole w;
	static struct lf_bytes in;
	uint32_t cnt = (spec->payload_len + spec->gso_size - 1) / spec->gso_size, n = 0;
	uint64_t made = f->lane->cnt.made;

	lf_build(&in, spec);
	run_cut(f, spec, mtu);
	w.open = false;
	for (uint32_t i = 0; i < f->sent_cnt; i++) {
		assert_int_equal(f->sent[i].port, LF_UPLINK);
		add_packet(&w, &f->sent[i], mtu);
		if (!w.open)
			check_segment(&w, &in, n++, cnt, spec);
	}
	assert_false(w.open);
	assert_int_equal(n, cnt);
	assert_int_equal(f->lane->cnt.made - made, f->sent_cnt - 1);
	assert_int_equal(lf_drops(f), 0);
}

static uint32_t draw(uint32_t min, uint32_t max)
{
	return min + (uint32_t)(lf_random() % (max - min + 1));
}

static struct lf_spec random_superpacket(void)
{
	struct lf_spec s = plain;
	uint32_t room;

	s.proto = lf_random() & 1 ? TCP : UDP;
	s.ip_options_len = draw(0, 3) ? 0 : 4 * draw(0, 10);
	s.tcp_options_len = s.proto == TCP ? 4 * draw(0, 10) : 0;
	s.tcp_flags = s.proto == TCP ? XE_TH_ACK | (lf_random() & 0x89) : 0;
	s.gso_size = (uint16_t)draw(500, draw(0, 3) ? 1460 : 8960);
	room = 65535 - 20 - s.ip_options_len - (s.proto == TCP ? 20 + s.tcp_options_len : 8);
	s.payload_len = draw(s.gso_size + 1u, room < s.gso_size * 60u ? room : s.gso_size * 60u);
	s.csum = draw(0, 7) ? LF_CSUM_PARTIAL : s.proto == UDP ? LF_CSUM_ZERO : LF_CSUM_PARTIAL;
	s.ip_id = (uint16_t)lf_random();
	s.seed = (uint8_t)lf_random();
	s.first_len = draw(0, 1) ? 134 : 0;
	s.frame_len = draw(0, 1) ? 0 : 3840 - draw(0, 100); /* odd ones, too */
	return s;
}

static void test_superpackets(void **state)
{
	struct lf *f = *state;

	for (int i = 0; i < 600; i++) {
		struct lf_spec s = random_superpacket();
		uint32_t mtu = draw(0, 1) ? 65535 : draw(s.gso_size / 3 + 80u, s.gso_size + 120u);

		open_flow(f, &s);
		check_superpacket(f, &s, mtu);
	}
}

/* Plain packets, every MTU around the edges, through the decision of flow. */
static void test_fragments(void **state)
{
	static struct whole w;
	static struct lf_bytes want;
	struct lf *f = *state;

	for (int i = 0; i < 600; i++) {
		struct lf_spec s = plain, out;
		uint32_t l4_hdr;

		s.proto = lf_random() & 1 ? TCP : UDP;
		s.tcp_flags = XE_TH_ACK;
		s.payload_len = draw(0, 9000);
		s.ip_id = (uint16_t)lf_random();
		s.csum = lf_random() & 1 ? LF_CSUM_FULL : LF_CSUM_PARTIAL;
		f->mtu = draw(68, 1600);
		lf_change(f, XE_NH_READY);
		open_flow(f, &s);
		lf_change(f, XE_NH_READY);
		lf_put(f, LF_INSIDE, &s);
		lf_poll(f);
		out = s;
		out.src = "192.0.2.1";
		out.ttl = 63;
		out.csum = LF_CSUM_FULL;
		lf_build(&want, &out);
		w.open = false;
		for (uint32_t n = 0; n < f->sent_cnt; n++) {
			assert_true(!n || w.open);
			add_packet(&w, &f->sent[n], f->mtu);
		}
		assert_false(w.open);
		assert_int_equal(w.ip_len, want.len - 14);
		assert_true(lf_l4_csum_valid(w.ip));
		assert_memory_equal(w.ip + 20, want.b + 34, s.proto == TCP ? 16 : 6);
		l4_hdr = s.proto == TCP ? 20 : 8;
		assert_memory_equal(w.ip + 20 + l4_hdr, want.b + 34 + l4_hdr,
				    w.ip_len - 20 - l4_hdr);
	}
	assert_int_equal(lf_drops(f) + lf_punts(f), 0);
}

/* Option 7 (record route) is for the first fragment only, 130 (security) for all (RFC 791). */
static void test_options(void **state)
{
	static const uint8_t options[] = {7, 7, 4, 0, 0, 0, 0, 1, 130, 4, 9, 9, 0, 0, 0, 0};
	static const uint8_t later[] = {1, 1, 1, 1, 1, 1, 1, 1, 130, 4, 9, 9, 0, 0, 0, 0};
	static struct lf_bytes in;
	struct lf *f = *state;
	struct lf_spec s = plain;

	s.payload_len = 2500;
	s.ip_options_len = sizeof(options);
	open_flow(f, &plain);
	lf_build(&in, &s);
	memcpy(in.b + 34, options, sizeof(options));
	in.b[24] = in.b[25] = 0;
	in.b[24] = (uint8_t)((0xffff - lf_sum(in.b + 14, 36, 0)) >> 8);
	in.b[25] = (uint8_t)(0xffff - lf_sum(in.b + 14, 36, 0x0));
	lf_deliver(f, LF_INSIDE, in.b, in.len, 0, 0, 0);
	lf_poll(f);
	assert_int_equal(f->sent_cnt, 2);
	assert_memory_equal(f->sent[0].bytes + 34, options, sizeof(options));
	assert_memory_equal(f->sent[1].bytes + 34, later, sizeof(later));
	for (int i = 0; i < 2; i++)
		assert_int_equal(f->sent[i].bytes[14], 0x49);
}

/* No frames: what fits goes, the rest is counted, nothing is lost from the books. */
static void test_no_frames(void **state)
{
	struct lf *f = *state;
	struct lf_spec s = plain;
	uint32_t frames[LF_FRAMES], kept = 0;

	s.payload_len = 30000;
	s.gso_size = 1000;
	s.csum = LF_CSUM_PARTIAL;
	open_flow(f, &s);
	lf_put(f, LF_INSIDE, &s);
	assert_int_equal(xe_rx(f->lane, &f->xsk[LF_INSIDE]), 1);
	xe_parse(f->lane, &f->lane->burst);
	xe_flow(f->lane, &f->lane->burst);
	xe_nat(f->lane, &f->lane->burst);
	xe_fwd(f->lane, &f->lane->burst);
	f->lane->burst.packets[0].frag_mtu = 1500;
	xe_xsk_complete(&f->xsk[LF_UPLINK], &f->lane->umem);
	while (f->lane->umem.free_cnt > 7)
		kept += xe_umem_take(&f->lane->umem, frames + kept, 1);
	f->sent_cnt = 0;
	rf_mark(f->lane);
	xe_tx(f->lane, &f->lane->burst);
	while (kept)
		xe_umem_put(&f->lane->umem, frames[--kept]);
	lf_drain_tx(f);
	lf_check_conservation(f);
	assert_int_equal(f->sent_cnt, 7);
	rf_expect(f->lane, XE_R_NO_FRAMES, 23); /* of 30 pieces */
	assert_int_equal(f->lane->cnt.made, 29);
}

/* ---- the way back ---- */

static struct lf_spec reply_of(const struct lf_spec *out)
{
	struct lf_spec back = *out;

	back.src = out->dst;
	back.sport = out->dport;
	back.dst = "192.0.2.1";
	back.dport = out->sport;
	return back;
}

static void test_back_fragmented(void **state)
{
	static struct whole w;
	static struct lf_bytes want;
	struct lf *f = *state;
	struct lf_spec back = reply_of(&plain), seen;

	open_flow(f, &plain);
	f->lane->ports[LF_INSIDE].mtu = 1280;
	back.payload_len = 1472;
	back.ip_id = 4711;
	lf_put(f, LF_UPLINK, &back);
	lf_poll(f);
	assert_int_equal(f->sent_cnt, 2);
	for (uint32_t i = 0; i < 2; i++) {
		assert_int_equal(f->sent[i].port, LF_INSIDE);
		add_packet(&w, &f->sent[i], 1280);
	}
	seen = back;
	seen.dst = plain.src;
	seen.ttl = 63;
	lf_build(&want, &seen);
	assert_int_equal(w.ip_len, want.len - 14);
	assert_true(lf_l4_csum_valid(w.ip));
	assert_memory_equal(w.ip + 12, want.b + 26, 8);
	assert_memory_equal(w.ip + 28, want.b + 42, w.ip_len - 28);
}

/* DF: the peer is told, and finds its own packet in what it is told. At most 100 a second. */
static void test_back_too_big(void **state)
{
	static struct lf_bytes in;
	struct lf *f = *state;
	struct lf_spec back = reply_of(&plain);
	const uint8_t *b;

	open_flow(f, &plain);
	f->lane->ports[LF_INSIDE].mtu = 1280;
	back.payload_len = 1472;
	back.may_fragment = false;
	lf_build(&in, &back);
	lf_put(f, LF_UPLINK, &back);
	lf_poll(f);
	assert_int_equal(f->sent_cnt, 1);
	assert_int_equal(f->lane->cnt.reason[XE_R_TOO_BIG], 1);
	assert_int_equal(f->sent[0].port, LF_UPLINK);
	assert_int_equal(f->sent[0].len, 14 + 576);
	b = f->sent[0].bytes;
	assert_int_equal(lf_sum(b + 14, 20, 0), 0xffff);
	assert_int_equal(lf_sum(b + 34, 556, 0), 0xffff);
	assert_int_equal(b[23], IPPROTO_ICMP);
	assert_memory_equal(b + 26, in.b + 30, 4); /* from whom it was sent to */
	assert_memory_equal(b + 30, in.b + 26, 4);
	assert_int_equal(get16(b + 34), 0x0304);
	assert_int_equal(get16(b + 40), 1280);
	assert_memory_equal(b + 42, in.b + 14, 548);
	for (int i = 0; i < 150; i++) {
		lf_put(f, LF_UPLINK, &back);
		lf_poll(f);
	}
	assert_int_equal(f->lane->cnt.made, 100);
	f->lane->now_s++;
	lf_put(f, LF_UPLINK, &back);
	lf_poll(f);
	assert_int_equal(f->sent_cnt, 1);
}

/* ---- segment sizes by MSS ---- */

static void test_mss_option(void **state)
{
	uint8_t l4[60] = {[20] = 1, [21] = 3, [22] = 3,    [23] = 7,
			  [24] = 2, [25] = 4, [26] = 0x05, [27] = 0xb4};

	(void)state;
	assert_int_equal(xe_mss_option(l4, 28, false), 1460);
	assert_int_equal(xe_mss_option(l4, 27, false), 536); /* cut off */
	assert_int_equal(xe_mss_option(l4, 20, false), 536);
	l4[26] = 0;
	l4[27] = 1;
	assert_int_equal(xe_mss_option(l4, 28, false), 88);
	l4[22] = 0; /* an option of length 0 ends it, and must not loop */
	assert_int_equal(xe_mss_option(l4, 28, false), 3 == l4[21] ? 536 : 0);
	l4[20] = 0;
	assert_int_equal(xe_mss_option(l4, 60, false), 536);
}

static void guess(uint32_t ip_options, uint32_t tcp_options, uint32_t payload, uint16_t mss,
		  uint32_t mtu, uint32_t want)
{
	struct xe_packet p = {
		.gso_unknown = true,
		.proto = TCP,
		.l4_off = (uint16_t)(34 + ip_options),
		.l4_hdr_len = (uint8_t)(20 + tcp_options),
		.l4_len = 20 + tcp_options + payload,
	};

	xe_mss_guess(&p, mss, mtu);
	assert_int_equal(p.gso_size, want);
	p.gso_unknown = false;
	p.gso_size = 77;
	xe_mss_guess(&p, mss, mtu);
	assert_int_equal(p.gso_size, 77);
}

static void test_mss_guess(void **state)
{
	(void)state;
	guess(0, 12, 60000, 1460, 1500, 1448);
	guess(0, 12, 1448, 1460, 1500, 0); /* one segment */
	guess(0, 12, 1449, 1460, 1500, 1448);
	guess(0, 12, 60000, 8960, 1500, 1448);
	guess(0, 12, 60000, 1460, 1400, 1348);
	guess(0, 0, 60000, 0, 1500, 536);
	guess(8, 12, 60000, 1460, 1500, 1440);
	guess(40, 40, 60000, 88, 68, 8);
	guess(0, 0, 60000, 1460, 0, 8);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_superpackets, setup, teardown),
		cmocka_unit_test_setup_teardown(test_fragments, setup, teardown),
		cmocka_unit_test_setup_teardown(test_options, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_frames, setup, teardown),
		cmocka_unit_test_setup_teardown(test_back_fragmented, setup, teardown),
		cmocka_unit_test_setup_teardown(test_back_too_big, setup, teardown),
		cmocka_unit_test(test_mss_option),
		cmocka_unit_test(test_mss_guess),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
