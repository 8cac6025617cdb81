/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_pipeline6.c - IPv6 through the pipeline: what comes out for what goes in, every byte
 * compared; what is refused, and why; segments joined and superpackets whole. What leaves by
 * AF_PACKET is caught here (sendmmsg() below).
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
#include "pipeline/vnet.h"

#define CNT(a) (sizeof(a) / sizeof((a)[0]))
#define TCP    IPPROTO_TCP
#define SYN    XE_TH_SYN
#define ACK    XE_TH_ACK
#define EXT    "2001:db8:f::1"
#define HOST   "2001:db8:1::5"
#define PEER   "2001:db8:7::9"
#define IP     14
#define HOPS   (IP + 7)
#define LABEL  (IP + 3)
#define WHOLE  8

static const char *const rules[] = {
	"accept from 2001:db8:1::/64 to 2001:db8:2::/64",
	"accept from 2001:db8:1::/64 to 2001:db8:113:9::/64",
	"snat from 2001:db8:1:0:7::/80 source 2001:db8:f::10-2001:db8:f::11 ports 40000-40999",
	"drop udp from 2001:db8:1::/64 to [2001:db8:dead::/48]:53",
	"kernel from 2001:db8:1::/64 to 2001:db8:beef::/48",
	"masquerade from 10.1.0.0/16",
	"masquerade from 2001:db8:1::/64",
	NULL,
};

/* What left by AF_PACKET. */
static struct whole {
	struct virtio_net_hdr vnet;
	uint32_t len;
	uint8_t b[LF_BYTES];
} whole[WHOLE];
static uint32_t whole_cnt;

int sendmmsg(int fd, struct mmsghdr *msgs, unsigned int cnt, int flags)
{
	(void)fd;
	(void)flags;
	for (unsigned int i = 0; i < cnt; i++) {
		struct msghdr *m = &msgs[i].msg_hdr;
		struct whole *w = &whole[whole_cnt++];

		assert_in_range(whole_cnt, 1, WHOLE);
		memcpy(&w->vnet, m->msg_iov[0].iov_base, sizeof(w->vnet));
		w->len = 0;
		for (size_t v = 1; v < m->msg_iovlen; v++) {
			memcpy(w->b + w->len, m->msg_iov[v].iov_base, m->msg_iov[v].iov_len);
			w->len += (uint32_t)m->msg_iov[v].iov_len;
		}
		assert_int_equal(((struct sockaddr_ll *)m->msg_name)->sll_protocol, htons(0x86dd));
	}
	return (int)cnt;
}

static int setup(void **state)
{
	xe_insum_init();
	*state = lf_open(rules, 512);
	whole_cnt = 0;
	return 0;
}

static int setup_device(void **state)
{
	struct lf *f;

	setup(state);
	f = *state;
	for (uint16_t port = 1; port < LF_PORT_END; port++)
		f->xsk[port].csum_min = 1;
	return 0;
}

static void end_all(struct lf *f)
{
	struct xe_sessions *t = &f->lane->sessions;

	for (uint32_t i = 0; i < t->high; i++)
		if (t->slots[i].key[0].proto)
			xe_flow_end(f->lane, &t->slots[i]);
	assert_int_equal(t->cnt, 0);
}

/* With the last session its addresses go: only the external ones are still held. */
static int teardown(void **state)
{
	struct lf *f = *state;

	xe_hold_flush(f->lane, XE_PORT_NONE, XE_R_PORT_GONE);
	end_all(f);
	/* L4 ports that rest keep the address they are for. */
	xe_natpool_tick(&f->lane->pool, f->lane->now_s + 100000, UINT32_MAX);
	assert_int_equal(f->lane->sessions.addr6.cnt, 4);
	lf_close(f);
	return 0;
}

static void check_reply(struct lf *f, const struct lf_spec *out, uint16_t out_port,
			uint16_t in_port, uint16_t ext_port, const char *ext, enum lf_csum csum)
{
	struct lf_spec reply = *out, seen;

	reply.src = out->dst;
	reply.dst = ext;
	reply.sport = out->dport;
	reply.dport = ext_port;
	reply.tcp_flags = SYN | ACK;
	reply.ttl = 33;
	reply.csum = csum;
	reply.seed = out->seed + 1;
	seen = reply;
	seen.dst = out->src;
	seen.dport = out->sport;
	seen.ttl = 32;
	lf_expect(lf_pass(f, out_port, &reply), &seen, in_port);
}

struct nat_case {
	const char *name;
	struct lf_spec in;
	const char *ext; /* NULL: of the pool */
	uint16_t out_port;
	uint16_t ext_port; /* 0: any of the rule's range */
};

#define FROM(host, port) .src = "2001:db8:1::" host, .sport = port
#define TO(host, port)   .dst = host, .dport = port

static const struct nat_case nat_cases[] = {
	{"UDP keeps its L4 port",
	 {FROM("2", 5353), TO(PEER, 7), .payload_len = 100},
	 EXT,
	 LF_UPLINK,
	 5353},
	{"UDP with an L4 port outside the range",
	 {FROM("2", 45000), TO(PEER, 7), .payload_len = 100},
	 EXT,
	 LF_UPLINK,
	 0},
	{"UDP without payload", {FROM("2", 5001), TO(PEER, 7)}, EXT, LF_UPLINK, 5001},
	{"UDP, one byte", {FROM("2", 5002), TO(PEER, 7), .payload_len = 1}, EXT, LF_UPLINK, 5002},
	{"other uplink, other address",
	 {FROM("2", 5003), TO("2001:db8:113::5", 53), .payload_len = 40},
	 "2001:db8:f::2",
	 LF_UPLINK2,
	 5003},
	{"TCP SYN with options",
	 {FROM("3", 6000), TO(PEER, 443), .proto = TCP, .tcp_flags = SYN, .tcp_options_len = 20},
	 EXT,
	 LF_UPLINK,
	 6000},
	{"TCP SYN with data, odd",
	 {FROM("3", 6001), TO(PEER, 443), .proto = TCP, .tcp_flags = SYN, .payload_len = 333},
	 EXT,
	 LF_UPLINK,
	 6001},
	{"TCP behind an extension header, all options",
	 {FROM("3", 6002), TO(PEER, 443), .proto = TCP, .tcp_flags = SYN, .tcp_options_len = 40,
	  .ext_len = 16},
	 EXT,
	 LF_UPLINK,
	 6002},
	{"UDP behind 984 bytes of extension header",
	 {FROM("2", 5004), TO(PEER, 7), .ext_len = 984, .payload_len = 77},
	 EXT,
	 LF_UPLINK,
	 5004},
	{"padding",
	 {FROM("2", 5005), TO(PEER, 7), .payload_len = 3, .padding = 15},
	 EXT,
	 LF_UPLINK,
	 5005},
	{"MTU-sized", {FROM("2", 5007), TO(PEER, 7), .payload_len = 1452}, EXT, LF_UPLINK, 5007},
	{"eighteen odd frames",
	 {FROM("2", 5009), TO(PEER, 7), .payload_len = 1200, .first_len = 63, .frame_len = 71},
	 EXT,
	 LF_UPLINK,
	 5009},
	{"first frame is all headers",
	 {FROM("3", 6003), TO(PEER, 80), .proto = TCP, .tcp_flags = SYN, .payload_len = 501,
	  .first_len = 74, .frame_len = 101},
	 EXT,
	 LF_UPLINK,
	 6003},
	{"snat to a pool",
	 {FROM("7:0:0:7", 1025), TO(PEER, 7), .payload_len = 9},
	 NULL,
	 LF_UPLINK,
	 0},
	{"snat, L4 port in its range",
	 {FROM("7:0:0:7", 40123), TO(PEER, 80), .proto = TCP, .tcp_flags = SYN},
	 NULL,
	 LF_UPLINK,
	 40123},
	{"accept, to the other inside port",
	 {FROM("2", 50000), TO("2001:db8:2::9", 7), .payload_len = 10},
	 "2001:db8:1::2",
	 LF_INSIDE2,
	 50000},
	{"accept, outward",
	 {FROM("2", 50001), TO("2001:db8:113:9::1", 80), .proto = TCP, .tcp_flags = SYN},
	 "2001:db8:1::2",
	 LF_UPLINK2,
	 50001},
};

static const char *pool_addr(const struct lf_sent *sent)
{
	static char text[INET6_ADDRSTRLEN];

	inet_ntop(AF_INET6, sent->bytes + IP + 8, text, sizeof(text));
	return text;
}

static void nat_case(struct lf *f, const struct nat_case *c, enum lf_csum csum, enum lf_csum back)
{
	struct lf_spec in = c->in, out;
	const struct lf_sent *sent;
	const char *ext;
	uint16_t ext_port;

	in.csum = csum;
	in.seed = (uint8_t)lf_random();
	sent = lf_pass(f, LF_INSIDE, &in);
	assert_non_null(sent);
	ext = c->ext ? c->ext : pool_addr(sent);
	ext_port = lf_sport(sent);
	if (c->ext_port)
		assert_int_equal(ext_port, c->ext_port);
	else
		assert_in_range(ext_port, c->ext ? 1024 : 40000, c->ext ? 32767 : 40999);
	if (!c->ext)
		assert_true(!strcmp(ext, "2001:db8:f::10") || !strcmp(ext, "2001:db8:f::11"));
	out = in;
	out.src = ext;
	out.sport = ext_port;
	out.ttl = 63;
	lf_expect(sent, &out, c->out_port);
	check_reply(f, &in, c->out_port, LF_INSIDE, ext_port, ext, back);
}

static void test_translate(void **state)
{
	static const enum lf_csum kinds[] = {LF_CSUM_FULL, LF_CSUM_PARTIAL, LF_CSUM_WRONG};
	struct lf *f = *state;

	for (size_t i = 0; i < CNT(nat_cases); i++)
		for (size_t k = 0; k < CNT(kinds); k++) {
			print_message("%s, checksum kind %zu\n", nat_cases[i].name, k);
			nat_case(f, &nat_cases[i], kinds[k], kinds[k]);
			nat_case(f, &nat_cases[i], kinds[k], LF_CSUM_FULL);
		}
	assert_int_equal(f->lane->sessions.cnt, CNT(nat_cases));
	assert_int_equal(lf_drops(f), 0);
	assert_int_equal(lf_punts(f), 0);
}

static void test_every_length(void **state)
{
	struct lf *f = *state;
	struct lf_spec in = {FROM("2", 7000), TO(PEER, 9)}, out;

	for (uint32_t len = 0; len <= 1452; len++) {
		in.payload_len = len;
		in.seed = (uint8_t)len;
		in.csum = len % 3 ? LF_CSUM_PARTIAL : LF_CSUM_FULL;
		in.first_len = len > 100 ? 62 + (uint32_t)lf_random() % 59 : 0;
		in.frame_len = len / 15 + 1;
		out = in;
		out.src = EXT;
		out.ttl = 63;
		lf_expect(lf_pass(f, LF_INSIDE, &in), &out, LF_UPLINK);
	}
	assert_int_equal(f->lane->sessions.cnt, 1);
}

/* A sum that comes out as 0 is sent as 0xFFFF: 0 would be no IPv6 packet. */
static void test_udp_zero_result(void **state)
{
	struct lf *f = *state;
	struct lf_spec in = {FROM("4", 0), TO(PEER, 9), .payload_len = 2}, out;
	static struct lf_bytes b;
	uint32_t found = 0;

	for (uint32_t i = 0; i < 31744 * 8 && !found; i++) {
		in.seed = (uint8_t)(i / 31744 * 32);
		out = in;
		out.src = EXT;
		out.sport = (uint16_t)(1024 + i % 31744);
		lf_build(&b, &out);
		if (b.b[60] != 0xff || b.b[61] != 0xff)
			continue;
		found++;
		for (int csum = LF_CSUM_FULL; csum <= LF_CSUM_PARTIAL; csum++) {
			const struct lf_sent *sent;

			in.sport = out.sport;
			in.csum = csum;
			out.ttl = 63;
			sent = lf_pass(f, LF_INSIDE, &in);
			lf_expect(sent, &out, LF_UPLINK);
			assert_int_equal(sent->bytes[60] << 8 | sent->bytes[61], 0xffff);
		}
	}
	assert_true(found > 0);
}

static void expect_reason(struct lf *f, enum xe_worker_reason reason, uint64_t cnt)
{
	for (int r = 1; r < XE_R_WORKER_CNT; r++)
		assert_int_equal(f->lane->cnt.reason[r], r == (int)reason ? cnt : 0);
	memset(f->lane->cnt.reason, 0, sizeof(f->lane->cnt.reason));
	f->lane->cnt.rx_packets = f->lane->cnt.tx_packets = f->lane->cnt.made = 0;
	f->lane->cnt.to_kernel = 0;
}

/* No checksum is none that could be translated; only forwarded, it is nobody's matter here. */
static void test_udp_without_checksum(void **state)
{
	struct lf *f = *state;
	struct lf_spec in = {FROM("2", 5000), TO(PEER, 9), .payload_len = 20, .csum = LF_CSUM_ZERO},
		       out;

	assert_null(lf_pass(f, LF_INSIDE, &in));
	expect_reason(f, XE_R_W_MALFORMED, 1);
	in.dst = "2001:db8:113:9::7";
	out = in;
	out.ttl = 63;
	lf_expect(lf_pass(f, LF_INSIDE, &in), &out, LF_UPLINK2);
	expect_reason(f, XE_R_NONE, 0);
}

static void deliver_changed(struct lf *f, uint16_t port, const struct lf_spec *spec, uint32_t at,
			    uint8_t value)
{
	static struct lf_bytes b;

	lf_build(&b, spec);
	b.b[at] = value;
	lf_deliver(f, port, b.b, b.len, 0, 0, spec->gso_size);
	lf_poll(f);
}

static void test_malformed(void **state)
{
	struct lf *f = *state;
	struct lf_spec udp = {FROM("2", 5000), TO(PEER, 9), .payload_len = 20};
	struct lf_spec ext = {FROM("2", 5000), TO(PEER, 9), .payload_len = 20, .ext_len = 16};
	struct lf_spec tcp = {FROM("2", 5000), TO(PEER, 9), .proto = TCP, .tcp_flags = SYN};
	const struct {
		const struct lf_spec *spec;
		uint32_t at;
		uint8_t value;
		const char *name;
	} c[] = {
		{&udp, IP, 0x45, "version 4 under the ethertype of IPv6"},
		{&udp, IP + 5, 29, "payload length over the end"},
		{&udp, IP + 5, 7, "payload length below the UDP header"},
		{&udp, IP + 6, 58, "ICMPv6"},
		{&udp, IP + 6, 44, "fragment header"},
		{&udp, IP + 40 + 5, 7, "UDP length below its header"},
		{&udp, IP + 40 + 5, 29, "UDP length over the end"},
		{&ext, IP + 41, 5, "extension header over the end"},
		{&ext, IP + 41, 255, "extension header of 2048 bytes"},
		{&ext, IP + 40, 60, "chain that goes on into the payload"},
		{&tcp, IP + 40 + 12, 0x40, "TCP data offset below the header"},
		{&tcp, IP + 40 + 12, 0x60, "TCP data offset over the end"},
	};

	for (size_t i = 0; i < CNT(c); i++) {
		print_message("%s\n", c[i].name);
		deliver_changed(f, LF_INSIDE, c[i].spec, c[i].at, c[i].value);
		expect_reason(f, XE_R_W_MALFORMED, 1);
		assert_int_equal(f->sent_cnt, 0);
	}
	udp.dst = "::ffff:192.0.2.77";
	assert_null(lf_pass(f, LF_INSIDE, &udp));
	expect_reason(f, XE_R_W_MALFORMED, 1);
	assert_int_equal(f->lane->sessions.cnt, 0);
}

static void test_refused(void **state)
{
	struct lf *f = *state;
	struct lf_spec udp = {FROM("2", 5000), TO(PEER, 9), .payload_len = 20};
	struct lf_spec tcp = {FROM("2", 5000), TO(PEER, 9), .proto = TCP, .tcp_flags = ACK};
	struct lf_spec from_out = {.src = PEER, .sport = 9, TO(EXT, 5000)};

	udp.src = "2001:db8:2::2";
	assert_null(lf_pass(f, LF_INSIDE, &udp));
	expect_reason(f, XE_R_W_SPOOFED, 1);
	assert_null(lf_pass(f, LF_INSIDE, &tcp));
	expect_reason(f, XE_R_NOT_SYN, 1);
	assert_null(lf_pass(f, LF_UPLINK, &from_out));
	expect_reason(f, XE_R_NO_SESSION, 1);
	from_out.dst = "2001:db8:1::2"; /* an inside address, straight from outside */
	assert_null(lf_pass(f, LF_UPLINK, &from_out));
	expect_reason(f, XE_R_NO_SESSION, 1);
	udp.src = "2001:db8:1::2";
	udp.dst = "2001:db8:dead::1";
	udp.dport = 53;
	assert_null(lf_pass(f, LF_INSIDE, &udp));
	expect_reason(f, XE_R_W_DROP_RULE, 1);
	udp.dst = "2001:db8:beef::1";
	assert_null(lf_pass(f, LF_INSIDE, &udp));
	lf_expect_punted(f, &udp);
	expect_reason(f, XE_R_P_RULE, 1);
	assert_int_equal(f->lane->sessions.cnt, 0);
}

/* A source is a /64: who has one may take any address of it. */
static void test_source_is_a_64(void **state)
{
	struct lf *f = *state;
	struct lf_spec in = {.dst = PEER, .dport = 9};
	char src[64];

	f->lane->sessions_per_source = 10;
	for (int i = 0; i < 12; i++) {
		snprintf(src, sizeof(src), "2001:db8:1::%x:%x", i + 1, i * 77);
		in.src = src;
		in.sport = (uint16_t)(3000 + i);
		lf_put(f, LF_INSIDE, &in);
		lf_poll(f);
		lf_answer(f);
		xe_hold_poll(f->lane);
		lf_drain_tx(f);
	}
	assert_int_equal(f->lane->sessions.cnt, 10);
	assert_int_equal(f->lane->cnt.reason[XE_R_SOURCE_LIMIT], 2);
}

/* Packets of one new flow in one burst, its addresses never seen: one session, all of them. */
static void test_first_burst(void **state)
{
	struct lf *f = *state;
	struct lf_spec in = {FROM("2", 5000), TO(PEER, 9)}, out;

	for (uint32_t i = 0; i < 20; i++) {
		in.payload_len = i;
		lf_put(f, LF_INSIDE, &in);
	}
	lf_poll(f);
	assert_int_equal(f->lane->hold.cnt, 20);
	lf_answer(f);
	xe_hold_poll(f->lane);
	lf_drain_tx(f);
	assert_int_equal(f->sent_cnt, 20);
	for (uint32_t i = 0; i < 20; i++) {
		in.payload_len = i;
		out = in;
		out.src = EXT;
		out.ttl = 63;
		lf_expect(&f->sent[i], &out, LF_UPLINK);
	}
	assert_int_equal(f->lane->sessions.cnt, 1);
}

/* Flows that differ in one address bit, or only in family, are told apart. */
static void test_flows_apart(void **state)
{
	static const char *const src[] = {"2001:db8:1::2", "2001:db8:1::3", "2001:db8:1::1:0:0:2",
					  "2001:db8:1:0:8000::2"};
	static const char *const dst[] = {PEER, "2001:db8:7::8", "2001:db8:8007::9",
					  "3001:db8:7::9"};
	struct lf *f = *state;
	struct lf_spec in = {.sport = 40000, .dport = 9, .proto = TCP, .tcp_flags = SYN};
	uint16_t ext_port[CNT(src)][CNT(dst)];

	for (size_t s = 0; s < CNT(src); s++)
		for (size_t d = 0; d < CNT(dst); d++) {
			in.src = src[s];
			in.dst = dst[d];
			ext_port[s][d] = lf_sport(lf_pass(f, LF_INSIDE, &in));
		}
	in.src = "10.1.0.2";
	in.dst = "198.51.100.9";
	assert_non_null(lf_pass(f, LF_INSIDE, &in));
	assert_int_equal(f->lane->sessions.cnt, CNT(src) * CNT(dst) + 1);
	for (size_t s = 0; s < CNT(src); s++)
		for (size_t d = 0; d < CNT(dst); d++) {
			in.src = src[s];
			in.dst = dst[d];
			check_reply(f, &in, LF_UPLINK, LF_INSIDE, ext_port[s][d], EXT,
				    LF_CSUM_FULL);
		}
}

static void test_hop_limit(void **state)
{
	struct lf *f = *state;
	struct lf_spec in = {FROM("2", 5000), TO(PEER, 9), .ttl = 2, .payload_len = 9}, out;

	out = in;
	out.src = EXT;
	out.ttl = 1;
	lf_expect(lf_pass(f, LF_INSIDE, &in), &out, LF_UPLINK);
	in.ttl = 1;
	assert_null(lf_pass(f, LF_INSIDE, &in));
	lf_expect_punted(f, &in);
	expect_reason(f, XE_R_P_TTL, 1);
	out = (struct lf_spec){.src = PEER, .sport = 9, TO(EXT, 5000), .ttl = 1};
	lf_pass(f, LF_UPLINK, &out); /* a time exceeded may come out */
	assert_int_equal(f->lane->cnt.reason[XE_R_W_TTL], 1);
}

static void expect_too_big(const struct lf_sent *sent, uint16_t port, uint32_t mtu)
{
	assert_non_null(sent);
	assert_int_equal(sent->port, port);
	assert_int_equal(sent->bytes[IP + 40], 2); /* ICMPv6 packet too big */
	assert_int_equal(sent->bytes[IP + 46] << 8 | sent->bytes[IP + 47], mtu);
}

/* Never fragmented: what is too big is told its sender, by the kernel where we have no address. */
static void test_too_big(void **state)
{
	struct lf *f = *state;
	struct lf_spec in = {FROM("2", 5000), TO(PEER, 9), .payload_len = 1300,
			     .csum = LF_CSUM_PARTIAL},
		       back = {.src = PEER, .sport = 9, TO(EXT, 5000), .payload_len = 1300};

	f->mtu = 1348;
	f->lane->ports[LF_INSIDE].mtu = 1347;
	assert_non_null(lf_pass(f, LF_INSIDE, &in));
	expect_reason(f, XE_R_NONE, 0);
	in.payload_len++;
	expect_too_big(lf_pass(f, LF_INSIDE, &in), LF_INSIDE, 1348);
	expect_reason(f, XE_R_TOO_BIG, 1);
	expect_too_big(lf_pass(f, LF_UPLINK, &back), LF_UPLINK, 1347);
	expect_reason(f, XE_R_TOO_BIG, 1);
	memset(&f->lane->ports[LF_INSIDE].own6, 0, sizeof(struct xe_addr));
	assert_null(lf_pass(f, LF_INSIDE, &in));
	lf_expect_punted(f, &in);
	expect_reason(f, XE_R_P_TOO_BIG, 1);
}

/* ---- superpackets ---- */

static void open_flow(struct lf *f)
{
	struct lf_spec syn = {FROM("5", 6000), TO(PEER, 80), .proto = TCP, .tcp_flags = SYN};
	struct lf_spec back = {
		.src = PEER, .sport = 80, TO(EXT, 6000), .proto = TCP, .tcp_flags = SYN | ACK};

	assert_non_null(lf_pass(f, LF_INSIDE, &syn));
	assert_non_null(lf_pass(f, LF_UPLINK, &back));
	f->lane->gso.bypass_fd = f->lane->gso.qdisc_fd = 1000;
	f->lane->ports[LF_UPLINK].tx_whole = XE_TX_TCP6 | XE_TX_UDP;
	f->lane->ports[LF_UPLINK].gso_max = 65536;
}

static void expect_whole(const struct whole *w, const struct lf_spec *out, uint32_t gso_size)
{
	static struct lf_bytes want;
	uint32_t l4, csum;

	lf_build(&want, out);
	l4 = IP + lf_l4_off(want.b + IP);
	csum = l4 + (out->proto == TCP ? 16 : 6);
	assert_int_equal(w->len, want.len);
	assert_memory_equal(w->b + 12, want.b + 12, csum - 12);
	assert_memory_equal(w->b + csum, want.b + csum, want.len - csum);
	assert_int_equal(w->vnet.flags, VIRTIO_NET_HDR_F_NEEDS_CSUM);
	assert_int_equal(w->vnet.csum_start, l4);
	assert_int_equal(w->vnet.csum_offset, csum - l4);
	assert_int_equal(w->vnet.gso_size, gso_size);
	assert_int_equal(w->vnet.gso_type,
			 out->proto == TCP ? VIRTIO_NET_HDR_GSO_TCPV6 : XE_VNET_GSO_UDP_L4);
	assert_int_equal(w->vnet.hdr_len, l4 + (out->proto == TCP ? 20 + out->tcp_options_len : 8));
}

static void test_superpacket(void **state)
{
	struct lf *f = *state;
	struct lf_spec in = {FROM("5", 6000),       TO(PEER, 80),           .proto = TCP,
			     .tcp_flags = ACK,      .payload_len = 60000,   .gso_size = 1428,
			     .tcp_options_len = 12, .csum = LF_CSUM_PARTIAL},
		       out;

	open_flow(f);
	lf_put(f, LF_INSIDE, &in);
	lf_poll(f);
	out = in;
	out.src = EXT;
	out.ttl = 63;
	assert_int_equal(whole_cnt, 1);
	expect_whole(&whole[0], &out, 1428);
	/* with the largest segments that fit, and one byte more */
	in.gso_size = 1440 - 12;
	f->mtu = 1499;
	lf_change(f, XE_NH_READY);
	lf_put(f, LF_INSIDE, &in);
	lf_poll(f);
	assert_int_equal(whole_cnt, 1);
	expect_too_big(f->sent_cnt ? &f->sent[0] : NULL, LF_INSIDE, 1499);
	assert_int_equal(f->lane->cnt.reason[XE_R_TOO_BIG], 1);
	in = (struct lf_spec){FROM("5", 6001), TO(PEER, 80), .payload_len = 20000, .gso_size = 1400,
			      .csum = LF_CSUM_PARTIAL};
	lf_pass(f, LF_INSIDE, &in);
	out = in;
	out.src = EXT;
	out.ttl = 63;
	assert_int_equal(whole_cnt, 2);
	expect_whole(&whole[1], &out, 1400);
}

/* Three segments in a row, `change` at byte `at` of the second (0: none), coalescing on. */
static void three(struct lf *f, uint32_t at, uint8_t change, uint32_t ext_len)
{
	static struct lf_bytes b;
	struct lf_spec in = {FROM("5", 6000),   TO(PEER, 80),        .proto = TCP,
			     .tcp_flags = ACK,  .payload_len = 1000, .csum = LF_CSUM_PARTIAL,
			     .ext_len = ext_len};

	whole_cnt = 0;
	f->lane->ports[LF_INSIDE].coalesce = true;
	for (uint32_t i = 0; i < 3; i++) {
		lf_build(&b, &in);
		/* sequence numbers 1000 apart: the field is not part of the pseudo-header */
		b.b[IP + 40 + ext_len + 6] = (uint8_t)(i * 1000 >> 8);
		b.b[IP + 40 + ext_len + 7] = (uint8_t)(i * 1000);
		if (i == 1 && at)
			b.b[at] = change;
		lf_deliver(f, LF_INSIDE, b.b, b.len, 0, 0, 0);
	}
	lf_poll(f);
}

static void test_merge(void **state)
{
	struct lf *f = *state;

	open_flow(f);
	three(f, 0, 0, 0);
	assert_int_equal(whole_cnt, 1);
	assert_int_equal(f->sent_cnt, 0);
	assert_int_equal(whole[0].len, 14 + 40 + 20 + 3000);
	assert_int_equal(whole[0].b[IP + 4] << 8 | whole[0].b[IP + 5], 3020);
	assert_int_equal(whole[0].b[HOPS], 63);
	assert_int_equal(whole[0].vnet.gso_type, VIRTIO_NET_HDR_GSO_TCPV6);
	assert_int_equal(whole[0].vnet.gso_size, 1000);
	assert_int_equal(whole[0].vnet.csum_start, 54);
	assert_int_equal(lf_sum(whole[0].b + IP + 8, 32, 6 + 3020),
			 whole[0].b[IP + 56] << 8 | whole[0].b[IP + 57]);
	for (uint32_t i = 0; i < 3; i++) /* each payload where it belongs */
		assert_memory_equal(whole[0].b + 74 + i * 1000, whole[0].b + 74, 1000);
	three(f, LABEL, 0x11, 0);
	assert_int_equal(whole_cnt, 0);
	assert_int_equal(f->sent_cnt, 3);
	three(f, HOPS, 63, 0);
	assert_int_equal(whole_cnt, 0);
	three(f, IP + 1, 0xfa, 0); /* ECN */
	assert_int_equal(whole_cnt, 0);
	three(f, 0, 0, 8);
	assert_int_equal(whole_cnt, 0);
	assert_int_equal(f->sent_cnt, 3);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_translate),
		cmocka_unit_test_setup_teardown(test_translate, setup_device, teardown),
		TEST(test_every_length),
		TEST(test_udp_zero_result),
		TEST(test_udp_without_checksum),
		TEST(test_malformed),
		TEST(test_refused),
		TEST(test_source_is_a_64),
		TEST(test_first_burst),
		TEST(test_flows_apart),
		TEST(test_hop_limit),
		TEST(test_too_big),
		TEST(test_superpacket),
		TEST(test_merge),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
