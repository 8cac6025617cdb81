/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_merge.c - TCP segments joined into superpackets: which, and that cutting gives them back.
 *
 * Every batch goes through the lane twice: with `coalesce` off, which says what each packet looks
 * like alone, and with it on. What then leaves by AF_PACKET is caught here (sendmmsg() below), cut
 * by code of this file as the kernel cuts, and must be the first run's packets byte for byte.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "base/insum.h"
#include "lane_fixture.h"

#define CNT(a) (sizeof(a) / sizeof((a)[0]))

#define FIN 0x01
#define SYN 0x02
#define RST 0x04
#define PSH 0x08
#define ACK 0x10
#define URG 0x20
#define ECE 0x40
#define CWR 0x80

#define BATCH XE_BURST_SIZE
#define FLOWS 16 /* so many that some meet in a slot */
/* Offsets in the frames built here. */
#define IP_OFF 14
#define L4_OFF 34

static const char *const rules[] = {"masquerade from 10.1.0.0/16", NULL};

/* A segment as it comes in; `wrong_l4` as a mask over the right checksum. */
struct segment {
	uint32_t flow, payload_len, options_len, ip_options_len;
	uint32_t seq, ack;
	uint16_t id, window, urg, frag;
	uint16_t wrong_l4;
	uint8_t flags, tos, ttl, reserved, option;
	bool partial;
	uint16_t gso_size;
	uint32_t frame_len; /* cut into frames of this, 0: as few as can be */
};

/* What left the lane, in order. */
struct out {
	bool whole;
	struct virtio_net_hdr vnet;
	uint32_t len;
	uint8_t b[LF_BYTES];
};

struct run {
	uint32_t cnt, whole_cnt;
	struct out out[BATCH];
};

static struct run alone, joined, *running;
static struct lf *lane;

static void take_small(struct lf *f)
{
	for (uint32_t i = 0; i < f->sent_cnt; i++) {
		struct out *o = &running->out[running->cnt++];

		assert_in_range(running->cnt, 1, BATCH);
		o->whole = false;
		o->len = f->sent[i].len;
		memcpy(o->b, f->sent[i].bytes, o->len);
	}
	f->sent_cnt = 0;
}

/* The kernel's side of xe_gso_tx_send(): what was kicked before leaves first. */
int sendmmsg(int fd, struct mmsghdr *msgs, unsigned int cnt, int flags)
{
	(void)fd;
	(void)flags;
	lf_drain_tx(lane);
	take_small(lane);
	for (unsigned int i = 0; i < cnt; i++) {
		struct out *o = &running->out[running->cnt++];
		struct msghdr *m = &msgs[i].msg_hdr;

		assert_in_range(running->cnt, 1, BATCH);
		assert_int_equal(m->msg_iov[0].iov_len, sizeof(o->vnet));
		memcpy(&o->vnet, m->msg_iov[0].iov_base, sizeof(o->vnet));
		o->whole = true;
		o->len = 0;
		for (size_t v = 1; v < m->msg_iovlen; v++) {
			assert_in_range(o->len + m->msg_iov[v].iov_len, 1, LF_BYTES);
			memcpy(o->b + o->len, m->msg_iov[v].iov_base, m->msg_iov[v].iov_len);
			o->len += (uint32_t)m->msg_iov[v].iov_len;
		}
		running->whole_cnt++;
	}
	return (int)cnt;
}

static int setup(void **state)
{
	xe_insum_init();
	*state = lane = lf_open(rules, 4096);
	for (uint16_t i = 0; i < FLOWS; i++) {
		struct lf_spec syn = {.src = "10.1.0.2", .dst = "198.51.100.9"};

		syn.sport = 6000 + i;
		syn.dport = 443;
		syn.proto = IPPROTO_TCP;
		syn.tcp_flags = SYN;
		assert_non_null(lf_pass(lane, LF_INSIDE, &syn));
	}
	return 0;
}

static int teardown(void **state)
{
	lf_close(*state);
	return 0;
}

/* ---- bytes ---- */

static uint32_t get16(const uint8_t *p)
{
	return (uint32_t)(p[0] << 8 | p[1]);
}

static void put16(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static void put32(uint8_t *p, uint32_t v)
{
	put16(p, v >> 16);
	put16(p + 2, v & 0xffff);
}

static uint32_t get32(const uint8_t *p)
{
	return get16(p) << 16 | get16(p + 2);
}

static uint16_t pseudo(const uint8_t *ip, uint32_t l4_len)
{
	return lf_sum(ip + 12, 8, IPPROTO_TCP + l4_len);
}

static void set_csums(uint8_t *ip, const struct segment *s)
{
	uint32_t hdr_len = (ip[0] & 15) * 4u, l4_len = get16(ip + 2) - hdr_len;
	uint8_t *l4 = ip + hdr_len;

	put16(ip + 10, 0);
	put16(ip + 10, (0xffffu - lf_sum(ip, hdr_len, 0)));
	put16(l4 + 16, 0);
	put16(l4 + 16, s->partial
			       ? pseudo(ip, l4_len)
			       : (0xffffu - lf_sum(l4, l4_len, pseudo(ip, l4_len))) ^ s->wrong_l4);
}

static void deliver(struct lf *f, uint16_t port, const struct segment *s)
{
	static struct lf_bytes b;
	struct lf_spec spec = {.proto = IPPROTO_TCP, .tcp_flags = s->flags, .ttl = s->ttl};
	uint8_t *ip = b.b + IP_OFF, *l4;

	spec.src = port == LF_INSIDE ? "10.1.0.2" : "198.51.100.9";
	spec.dst = port == LF_INSIDE ? "198.51.100.9" : "192.0.2.1";
	spec.sport = port == LF_INSIDE ? (uint16_t)(6000 + s->flow) : 443;
	spec.dport = port == LF_INSIDE ? 443 : (uint16_t)(6000 + s->flow);
	spec.payload_len = s->payload_len;
	spec.tcp_options_len = s->options_len;
	spec.ip_options_len = s->ip_options_len;
	spec.seed = (uint8_t)s->seq;
	lf_build(&b, &spec);
	memset(ip + 20, 0, s->ip_options_len); /* "end of options": weighs nothing in a sum */
	l4 = ip + 20 + s->ip_options_len;
	ip[1] = s->tos;
	put16(ip + 4, s->id);
	put16(ip + 6, s->frag);
	put32(l4 + 4, s->seq);
	put32(l4 + 8, s->ack);
	l4[12] |= s->reserved;
	put16(l4 + 14, s->window);
	put16(l4 + 18, s->urg);
	if (s->options_len)
		l4[20 + s->options_len - 1] = s->option;
	set_csums(ip, s);
	/* The addresses that a lane's peer would write: only what leaves is compared. */
	memset(b.b, 2, 12);
	lf_deliver(f, port, b.b, b.len, s->frame_len ? 100 : 0, s->frame_len, s->gso_size);
}

/* ---- runs ---- */

static void run(struct lf *f, struct run *r, uint16_t port, const struct segment *s, uint32_t cnt,
		bool coalesce)
{
	f->lane->ports[port].coalesce = coalesce;
	running = r;
	r->cnt = r->whole_cnt = 0;
	f->sent_cnt = 0;
	for (uint32_t i = 0; i < cnt; i++)
		deliver(f, port, &s[i]);
	assert_true(xe_pipeline_poll(f->lane));
	lf_drain_tx(f);
	take_small(f);
	lf_check_conservation(f);
	for (uint16_t p = 1; p < LF_PORT_END; p++)
		xe_xsk_complete(&f->xsk[p], &f->lane->umem);
}

/* The i-th segment of a superpacket, as tcp_gso_segment() and inet_gso_segment() make it. */
static uint32_t cut(const struct out *o, uint32_t i, uint8_t *b)
{
	uint32_t hdr_len = o->vnet.hdr_len, mss = o->vnet.gso_size, from = hdr_len + i * mss;
	uint32_t len = o->len - from < mss ? o->len - from : mss;
	uint8_t *ip = b + IP_OFF, *l4 = b + L4_OFF;
	struct segment right = {};

	memcpy(b, o->b, hdr_len);
	memcpy(b + hdr_len, o->b + from, len);
	put16(ip + 2, hdr_len - IP_OFF + len);
	put16(ip + 4, get16(ip + 4) + i);
	put32(l4 + 4, get32(l4 + 4) + i * mss);
	if (from + len < o->len)
		l4[13] &= (uint8_t) ~(PSH | FIN);
	if (i)
		l4[13] &= (uint8_t)~CWR;
	set_csums(ip, &right);
	return hdr_len + len;
}

/* The virtio-net header and the headers of a superpacket fit together. */
static void check_whole(const struct out *o)
{
	const uint8_t *ip = o->b + IP_OFF;

	assert_int_equal(o->vnet.flags, VIRTIO_NET_HDR_F_NEEDS_CSUM);
	assert_int_equal(o->vnet.gso_type, VIRTIO_NET_HDR_GSO_TCPV4);
	assert_int_equal(o->vnet.csum_start, L4_OFF);
	assert_int_equal(o->vnet.csum_offset, 16);
	assert_int_equal(o->vnet.hdr_len, L4_OFF + (o->b[L4_OFF + 12] >> 4) * 4);
	assert_true(o->len > (uint32_t)o->vnet.hdr_len + o->vnet.gso_size);
	assert_in_range(o->len, 1, 65535);
	assert_int_equal(get16(ip + 2), o->len - IP_OFF);
	assert_int_equal(lf_sum(ip, 20, 0), 0xffff);
	assert_int_equal(get16(o->b + L4_OFF + 16), pseudo(ip, o->len - L4_OFF));
}

/* The flow's next packet of the first run, from *at on. */
static const struct out *next_alone(uint32_t flow, uint32_t *at, uint32_t l4_port_off)
{
	while (*at < alone.cnt) {
		const struct out *o = &alone.out[(*at)++];
		uint32_t l4 = IP_OFF + (o->b[IP_OFF] & 15) * 4u;

		if (get16(o->b + l4 + l4_port_off) == 6000 + flow)
			return o;
	}
	return NULL;
}

static void expect_same(const struct out *want, const uint8_t *b, uint32_t len)
{
	assert_non_null(want);
	assert_int_equal(want->len, len);
	assert_memory_equal(want->b, b, len);
}

/* Cut, the second run is the first, flow by flow and in the flow's order. */
static void check_reversible(uint16_t port)
{
	uint32_t at[FLOWS] = {}, off = port == LF_INSIDE ? 0 : 2;
	static uint8_t b[LF_BYTES];

	for (uint32_t i = 0; i < joined.cnt; i++) {
		const struct out *o = &joined.out[i];
		uint32_t l4 = IP_OFF + (o->b[IP_OFF] & 15) * 4u;
		uint32_t flow = get16(o->b + l4 + off) - 6000;
		const struct out *want;

		assert_in_range(flow, 0, FLOWS - 1);
		want = next_alone(flow, &at[flow], off);
		if (!o->whole || (want && want->whole)) { /* not joined here */
			expect_same(want, o->b, o->len);
			continue;
		}
		check_whole(o);
		for (uint32_t n = 0; o->vnet.hdr_len + n * o->vnet.gso_size < o->len; n++) {
			if (n)
				want = next_alone(flow, &at[flow], off);
			expect_same(want, b, cut(o, n, b));
		}
	}
	for (uint32_t flow = 0; flow < FLOWS; flow++)
		assert_null(next_alone(flow, &at[flow], off));
}

/* Both runs, compared; returns how many packets were joined to another. */
static uint32_t both(struct lf *f, uint16_t port, const struct segment *s, uint32_t cnt)
{
	uint64_t merged = f->lane->cnt.merged, drops = lf_drops(f);

	run(f, &alone, port, s, cnt, false);
	assert_int_equal(f->lane->cnt.merged, merged);
	assert_int_equal(alone.cnt, cnt);
	run(f, &joined, port, s, cnt, true);
	assert_int_equal(lf_drops(f), drops);
	merged = f->lane->cnt.merged - merged;
	assert_int_equal(joined.cnt + merged, cnt);
	check_reversible(port);
	return (uint32_t)merged;
}

static void segments(struct segment *s, uint32_t cnt, uint32_t seq, uint16_t id)
{
	for (uint32_t i = 0; i < cnt; i++)
		s[i] = (struct segment){.payload_len = 1000,
					.options_len = 12,
					.option = 7,
					.seq = seq + i * 1000,
					.ack = 77,
					.id = (uint16_t)(id + i),
					.window = 512,
					.frag = 0x4000,
					.flags = ACK,
					.tos = 0x2a,
					.ttl = 60};
}

/* ---- which are joined ---- */

struct merge_case {
	const char *name;
	size_t offset, size; /* member of a segment, 0: see `change` */
	uint32_t value;
	int which; /* of four, -1: all */
	uint32_t merged;
};

#define SET(member, value)                                                                         \
	offsetof(struct segment, member), sizeof(((struct segment *)0)->member), value

/* Four segments in a row are one superpacket: 3 joined. What differs on the third leaves the first
 * two, and the fourth alone, for its number does not follow or it differs again. */
static const struct merge_case cases[] = {
	{"nothing differs", SET(ttl, 60), -1, 3},
	{"sequence gap", SET(seq, 100 + 2001), 2, 1},
	{"sent again", SET(seq, 100 + 1000), 2, 1},
	{"ack", SET(ack, 78), 2, 1},
	{"window", SET(window, 513), 2, 1},
	{"id gap", SET(id, 9 + 3), 2, 1},
	{"id does not count", SET(id, 9), -1, 0},
	{"DSCP", SET(tos, 0x2e), 2, 1},
	{"congestion experienced", SET(tos, 0x2b), 2, 1},
	{"TTL", SET(ttl, 59), 2, 1},
	{"DF", SET(frag, 0), 2, 1},
	{"no DF", SET(frag, 0), -1, 3},
	{"reserved flag of IP", SET(frag, 0xc000), 2, 1},
	{"urgent pointer", SET(urg, 1), 2, 1},
	{"reserved bits of TCP", SET(reserved, 1), 2, 1},
	{"TCP option", SET(option, 8), 2, 1},
	{"TCP options' length", SET(options_len, 16), 2, 1},
	{"no TCP options", SET(options_len, 0), -1, 3},
	{"IP options", SET(ip_options_len, 4), 2, 1},
	{"IP options on all", SET(ip_options_len, 4), -1, 0},
	{"URG", SET(flags, ACK | URG), 2, 1},
	{"URG on all", SET(flags, ACK | URG), -1, 0},
	{"SYN", SET(flags, ACK | SYN), 2, 1},
	{"RST", SET(flags, ACK | RST), 2, 1},
	{"CWR", SET(flags, ACK | CWR), 2, 1},
	{"CWR on all", SET(flags, ACK | CWR), -1, 0},
	{"no ACK", SET(flags, 0), 2, 1},
	{"no ACK on all", SET(flags, 0), -1, 0},
	{"ECE", SET(flags, ACK | ECE), 2, 1},
	{"ECE on all", SET(flags, ACK | ECE), -1, 3},
	{"PSH ends it", SET(flags, ACK | PSH), 2, 2},
	{"PSH on the first", SET(flags, ACK | PSH), 0, 2},
	{"PSH on the last", SET(flags, ACK | PSH), 3, 3},
	{"PSH on all", SET(flags, ACK | PSH), -1, 0},
	{"FIN ends it", SET(flags, ACK | FIN), 2, 2},
	{"FIN on the last", SET(flags, ACK | FIN | PSH), 3, 3},
	{"shorter, and the next one does not follow", SET(payload_len, 999), 2, 2},
	{"the last one shorter", SET(payload_len, 1), 3, 3},
	{"longer", SET(payload_len, 1001), 2, 1},
	{"no payload", SET(payload_len, 0), 2, 1},
	{"checksum wrong", SET(wrong_l4, 0x100), 2, 1},
	{"checksum wrong on the first", SET(wrong_l4, 0x100), 0, 2},
	{"checksum wrong on the second", SET(wrong_l4, 1), 1, 1},
	{"checksum wrong on all", SET(wrong_l4, 0x8000), -1, 0},
	{"unfinished checksums", SET(partial, true), -1, 3},
	{"one unfinished checksum", SET(partial, true), 2, 1},
	{"another flow's segment", SET(flow, 1), 2, 1},
	{"one is a superpacket", SET(gso_size, 400), 2, 1},
	{"in several frames", SET(frame_len, 300), -1, 3},
};

static void change(struct segment *s, const struct merge_case *c)
{
	uint32_t value = c->value;

	memcpy((char *)s + c->offset, &value, c->size); /* little endian, as the service is */
}

static void test_fields(void **state)
{
	struct lf *f = *state;
	struct segment s[4];

	for (size_t n = 0; n < 2 * CNT(cases); n++) {
		const struct merge_case *c = &cases[n / 2];
		uint16_t port = n & 1 ? LF_INSIDE : LF_UPLINK; /* both directions */
		uint32_t merged;

		segments(s, 4, 100, 9);
		for (int i = 0; i < 4; i++)
			if (c->which < 0 || c->which == i)
				change(&s[i], c);
		for (int i = 0; i < 4; i++)
			s[i].partial |= c->offset == offsetof(struct segment, gso_size);
		merged = both(f, port, s, 4);
		if (merged != c->merged)
			fail_msg("%s (port %u): %u joined, expected %u", c->name, port, merged,
				 c->merged);
	}
}

/* Numbers go round. */
static void test_wrap(void **state)
{
	struct segment s[8];

	segments(s, 8, 0xfffff000, 0xfffd);
	assert_int_equal(both(*state, LF_UPLINK, s, 8), 7);
}

/* Other flows in between do no harm, and a burst of several flows becomes one packet each. */
static void test_interleaved(void **state)
{
	struct segment s[BATCH], one[2];

	segments(one, 2, 5000, 60);
	for (uint32_t i = 0; i < BATCH; i++) {
		s[i] = one[i / FLOWS];
		s[i].flow = i % FLOWS;
	}
	/* All 16 pairs, but for those of flows that meet in a slot. */
	assert_in_range(both(*state, LF_UPLINK, s, BATCH), 8, 15);
	for (uint32_t i = 0; i < BATCH; i++) { /* one flow behind the other */
		s[i] = one[i % 2];
		s[i].flow = i / 2;
	}
	assert_int_equal(both(*state, LF_UPLINK, s, BATCH), 16);
}

/* What could be joined but for an acknowledgement in between: not moved in front of that. */
static void test_order(void **state)
{
	struct segment s[5];

	segments(s, 5, 100, 9);
	s[4] = s[3];
	s[3] = s[2];
	s[2].payload_len = 0;
	s[2].id = 500;
	assert_int_equal(both(*state, LF_UPLINK, s, 5), 2);
	assert_int_equal(joined.cnt, 3);
	assert_false(joined.out[1].whole);
}

/* Length: below 64 KiB with the Ethernet header, which is what the kernel takes for whole. */
static void test_longest(void **state)
{
	struct segment s[12];

	segments(s, 12, 1, 1);
	for (uint32_t i = 0; i < 12; i++) {
		s[i].payload_len = 9000;
		s[i].seq = 1 + i * 9000;
	}
	assert_int_equal(both(*state, LF_UPLINK, s, 12), 6 + 4);
	assert_int_equal(joined.out[0].len, 66 + 7 * 9000);
	/* The last byte that fits, and one more. */
	segments(s, 2, 1, 1);
	s[0].payload_len = 32735;
	s[1].payload_len = 32734;
	s[1].seq = 1 + s[0].payload_len;
	assert_int_equal(both(*state, LF_UPLINK, s, 2), 1);
	assert_int_equal(joined.out[0].len, 65535);
	s[1].payload_len++;
	assert_int_equal(both(*state, LF_UPLINK, s, 2), 0);
}

/* No more frames than a message has room for. */
static void test_most_frames(void **state)
{
	struct segment s[BATCH];
	uint32_t each = (66 + 1000 - 100 + 299) / 300 + 1, fit = XE_GSO_FRAMES / each;

	segments(s, BATCH, 1, 1);
	for (uint32_t i = 0; i < BATCH; i++)
		s[i].frame_len = 300;
	assert_int_equal(both(*state, LF_UPLINK, s, BATCH), BATCH - (BATCH + fit - 1) / fit);
}

/* A port that goes away between merge and tx: one drop, and no frame is lost. */
static void test_dropped_whole(void **state)
{
	struct lf *f = *state;
	struct segment s[4];
	uint64_t before = lf_drops(f), merged = f->lane->cnt.merged;

	segments(s, 4, 100, 9);
	f->lane->ports[LF_UPLINK].coalesce = true;
	for (uint32_t i = 0; i < 4; i++)
		deliver(f, LF_UPLINK, &s[i]);
	assert_int_equal(xe_rx(f->lane, &f->xsk[LF_UPLINK]), 4);
	xe_parse(f->lane, &f->lane->burst);
	xe_flow(f->lane, &f->lane->burst);
	xe_nat(f->lane, &f->lane->burst);
	xe_merge(f->lane, &f->lane->burst);
	f->lane->ports[LF_INSIDE].live = false;
	xe_fwd(f->lane, &f->lane->burst);
	xe_tx(f->lane, &f->lane->burst);
	f->lane->ports[LF_INSIDE].live = true;
	assert_int_equal(lf_drops(f), before + 1);
	assert_int_equal(f->lane->cnt.merged, merged + 3);
	lf_check_conservation(f);
}

/* Segments that the inside port cannot take, which may be fragmented: each by itself. */
static void test_too_big(void **state)
{
	struct lf *f = *state;
	struct segment s[4];
	uint64_t merged = f->lane->cnt.merged, made = f->lane->cnt.made;
	uint32_t mtu = f->lane->ports[LF_INSIDE].mtu;

	segments(s, 4, 100, 9);
	f->lane->ports[LF_INSIDE].mtu = 600;
	for (uint32_t i = 0; i < 4; i++)
		s[i].frag = 0; /* DF clear */
	run(f, &joined, LF_UPLINK, s, 4, true);
	f->lane->ports[LF_INSIDE].mtu = mtu;
	assert_int_equal(f->lane->cnt.merged, merged);
	assert_int_equal(f->lane->cnt.made, made + 4);
	assert_int_equal(joined.cnt, 8);
	assert_int_equal(joined.whole_cnt, 0);
}

/* ---- and whatever comes, cutting gives it back ---- */

static uint32_t below(uint32_t n)
{
	return (uint32_t)(lf_random() >> 33) % n;
}

static void disturb(struct segment *s)
{
	static const uint8_t flags[] = {ACK | PSH, ACK | FIN, ACK | ECE, ACK | CWR, 0, ACK | URG};

	switch (below(14)) {
	case 0:
		s->flags = flags[below(sizeof(flags))];
		break;
	case 1:
		s->seq += below(3);
		break;
	case 2:
		s->id = (uint16_t)(s->id + below(3));
		break;
	case 3:
		s->ack++;
		break;
	case 4:
		s->window++;
		break;
	case 5:
		s->tos ^= (uint8_t)(1u << below(8));
		break;
	case 6:
		s->ttl--;
		break;
	case 7:
		s->option ^= 1;
		break;
	case 8:
		s->wrong_l4 = (uint16_t)(1u << below(16));
		break;
	case 10:
		s->partial = true;
		break;
	case 11:
		s->payload_len = below(1200);
		break;
	case 12:
		s->reserved = (uint8_t)below(16);
		break;
	default:
		s->frame_len = 300 + below(700);
		break;
	}
}

static void test_any(void **state)
{
	struct lf *f = *state;
	uint32_t merged = 0;

	for (uint32_t round = 0; round < 3000; round++) {
		uint32_t seq[FLOWS] = {}, cnt = 1 + below(24);
		uint16_t id[FLOWS] = {};
		struct segment s[24];
		uint32_t calm = 1 + below(20);

		for (uint32_t i = 0; i < cnt; i++) {
			uint32_t flow = below(1 + round % FLOWS);

			segments(&s[i], 1, seq[flow], id[flow]);
			s[i].flow = flow;
			if (!below(calm))
				disturb(&s[i]);
			seq[flow] = s[i].seq + s[i].payload_len;
			id[flow] = (uint16_t)(s[i].id + 1);
		}
		merged += both(f, round & 1 ? LF_INSIDE : LF_UPLINK, s, cnt);
	}
	assert_true(merged > 3000); /* or nothing has been tested */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_fields, setup, teardown),
		cmocka_unit_test_setup_teardown(test_wrap, setup, teardown),
		cmocka_unit_test_setup_teardown(test_interleaved, setup, teardown),
		cmocka_unit_test_setup_teardown(test_order, setup, teardown),
		cmocka_unit_test_setup_teardown(test_longest, setup, teardown),
		cmocka_unit_test_setup_teardown(test_most_frames, setup, teardown),
		cmocka_unit_test_setup_teardown(test_dropped_whole, setup, teardown),
		cmocka_unit_test_setup_teardown(test_too_big, setup, teardown),
		cmocka_unit_test_setup_teardown(test_any, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
