/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_pipeline.c - what comes out of the pipeline for what goes in: translation both ways,
 * checksums, TTL, Ethernet header, every byte compared.
 *
 * The whole pipeline in memory (lane_fixture.h); flows, limits and the ends of packets are in
 * test_pipeline_flow.c.
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

#define CNT(a) (sizeof(a) / sizeof((a)[0]))
#define TCP    IPPROTO_TCP
#define UDP    IPPROTO_UDP
#define SYN    XE_TH_SYN
#define ACK    XE_TH_ACK

static const char *const rules[] = {
	"accept from 10.1.0.0/16 to 10.2.0.0/16",
	"accept from 10.1.9.0/24 to 203.0.113.0/24",
	"snat from 10.1.7.0/24 source 192.0.2.10-192.0.2.13 ports 40000-40999",
	"masquerade from 10.1.0.0/16",
	NULL,
};

static int setup(void **state)
{
	xe_insum_init();
	*state = lf_open(rules, 4096);
	return 0;
}

/* The same with devices that complete checksums. */
static int setup_device(void **state)
{
	struct lf *f;

	setup(state);
	f = *state;
	for (uint16_t port = 1; port < LF_PORT_END; port++)
		f->xsk[port].csum_min = 1;
	return 0;
}

static int teardown(void **state)
{
	lf_close(*state);
	return 0;
}

/* What the peer answers to a packet that it got, and what the container is to see of it. */
static void check_reply(struct lf *f, const struct lf_spec *out, uint16_t out_port,
			uint16_t ext_port, const char *ext, enum lf_csum csum)
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
	lf_expect(lf_pass(f, out_port, &reply), &seen, LF_INSIDE);
}

struct nat_case {
	const char *name;
	struct lf_spec in;
	const char *ext;
	uint16_t out_port;
	uint16_t ext_port; /* 0: any of the rule's range */
};

#define FROM(host, port) .src = "10.1." host, .sport = port
#define TO(host, port)   .dst = host, .dport = port

static const struct nat_case nat_cases[] = {
	{"UDP keeps its L4 port",
	 {FROM("0.2", 5353), TO("198.51.100.9", 7), .payload_len = 100},
	 "192.0.2.1",
	 LF_UPLINK,
	 5353},
	{"UDP with an L4 port outside the range",
	 {FROM("0.2", 45000), TO("198.51.100.9", 7), .payload_len = 100},
	 "192.0.2.1",
	 LF_UPLINK,
	 0},
	{"UDP without payload",
	 {FROM("0.2", 5001), TO("198.51.100.9", 7)},
	 "192.0.2.1",
	 LF_UPLINK,
	 5001},
	{"UDP, one byte",
	 {FROM("0.2", 5002), TO("198.51.100.9", 7), .payload_len = 1},
	 "192.0.2.1",
	 LF_UPLINK,
	 5002},
	{"other uplink, other address",
	 {FROM("0.2", 5003), TO("203.0.113.5", 53), .payload_len = 40},
	 "192.0.2.2",
	 LF_UPLINK2,
	 5003},
	{"TCP SYN with options",
	 {FROM("0.3", 6000), TO("198.51.100.9", 443), .proto = TCP, .tcp_flags = SYN,
	  .tcp_options_len = 20},
	 "192.0.2.1",
	 LF_UPLINK,
	 6000},
	{"TCP SYN with data, odd",
	 {FROM("0.3", 6001), TO("198.51.100.9", 443), .proto = TCP, .tcp_flags = SYN,
	  .payload_len = 333},
	 "192.0.2.1",
	 LF_UPLINK,
	 6001},
	{"TCP, all options that fit",
	 {FROM("0.3", 6002), TO("198.51.100.9", 443), .proto = TCP, .tcp_flags = SYN,
	  .tcp_options_len = 40, .ip_options_len = 40},
	 "192.0.2.1",
	 LF_UPLINK,
	 6002},
	{"IP options",
	 {FROM("0.2", 5004), TO("198.51.100.9", 7), .ip_options_len = 8, .payload_len = 77},
	 "192.0.2.1",
	 LF_UPLINK,
	 5004},
	{"padding to 60 bytes",
	 {FROM("0.2", 5005), TO("198.51.100.9", 7), .payload_len = 2, .padding = 16},
	 "192.0.2.1",
	 LF_UPLINK,
	 5005},
	{"padding of an odd packet",
	 {FROM("0.2", 5006), TO("198.51.100.9", 7), .payload_len = 3, .padding = 15},
	 "192.0.2.1",
	 LF_UPLINK,
	 5006},
	{"MTU-sized",
	 {FROM("0.2", 5007), TO("198.51.100.9", 7), .payload_len = 1472},
	 "192.0.2.1",
	 LF_UPLINK,
	 5007},
	{"two frames, cut at an odd place",
	 {FROM("0.2", 5008), TO("198.51.100.9", 7), .payload_len = 1001, .first_len = 301},
	 "192.0.2.1",
	 LF_UPLINK,
	 5008},
	{"eighteen odd frames",
	 {FROM("0.2", 5009), TO("198.51.100.9", 7), .payload_len = 1200, .first_len = 43,
	  .frame_len = 71},
	 "192.0.2.1",
	 LF_UPLINK,
	 5009},
	{"first frame is all headers",
	 {FROM("0.3", 6003), TO("198.51.100.9", 80), .proto = TCP, .tcp_flags = SYN,
	  .payload_len = 501, .first_len = 54, .frame_len = 101},
	 "192.0.2.1",
	 LF_UPLINK,
	 6003},
	{"padding fills whole frames",
	 {FROM("0.2", 5010), TO("198.51.100.9", 7), .payload_len = 20, .padding = 100,
	  .first_len = 62, .frame_len = 30},
	 "192.0.2.1",
	 LF_UPLINK,
	 5010},
	{"padding ends inside a frame",
	 {FROM("0.2", 5011), TO("198.51.100.9", 7), .payload_len = 25, .padding = 100,
	  .first_len = 62, .frame_len = 30},
	 "192.0.2.1",
	 LF_UPLINK,
	 5011},
	{"snat to a pool",
	 {FROM("7.7", 1025), TO("198.51.100.9", 7), .payload_len = 9},
	 NULL,
	 LF_UPLINK,
	 0},
	{"snat, L4 port in its range",
	 {FROM("7.7", 40123), TO("198.51.100.9", 80), .proto = TCP, .tcp_flags = SYN},
	 NULL,
	 LF_UPLINK,
	 40123},
};

/* The address that a pool gave, which is for the rule to say. */
static const char *pool_addr(const struct lf_sent *sent)
{
	static char text[INET_ADDRSTRLEN];

	inet_ntop(AF_INET, sent->bytes + 26, text, sizeof(text));
	return text;
}

static void nat_case(struct lf *f, const struct nat_case *c, enum lf_csum csum, enum lf_csum back)
{
	struct lf_spec in = c->in, out;
	const struct lf_sent *sent;
	const char *ext;
	uint16_t ext_port;

	if (csum == LF_CSUM_ZERO && in.proto == TCP)
		return;
	in.csum = csum;
	in.seed = (uint8_t)lf_random();
	sent = lf_pass(f, LF_INSIDE, &in);
	assert_non_null(sent);
	ext = c->ext ? c->ext : pool_addr(sent);
	ext_port = lf_sport(sent);
	if (c->ext_port)
		assert_int_equal(ext_port, c->ext_port);
	else if (c->ext)
		assert_in_range(ext_port, 1024, 32767);
	else
		assert_in_range(ext_port, 40000, 40999);
	if (!c->ext)
		assert_true(!strncmp(ext, "192.0.2.1", 9) && ext[9] >= '0' && ext[9] <= '3');
	out = in;
	out.src = ext;
	out.sport = ext_port;
	out.ttl = 63;
	lf_expect(sent, &out, c->out_port);
	check_reply(f, &in, c->out_port, ext_port, ext, back);
}

/* Each case with each kind of checksum, alone in its lane; then all again over live sessions. */
static void test_translate(void **state)
{
	static const enum lf_csum kinds[] = {LF_CSUM_FULL, LF_CSUM_PARTIAL, LF_CSUM_ZERO,
					     LF_CSUM_WRONG};
	struct lf *f = *state;

	for (size_t i = 0; i < CNT(nat_cases); i++) {
		for (size_t k = 0; k < CNT(kinds); k++) {
			print_message("%s, checksum kind %zu\n", nat_cases[i].name, k);
			nat_case(f, &nat_cases[i], kinds[k],
				 nat_cases[i].in.proto == TCP && kinds[k] == LF_CSUM_ZERO
					 ? LF_CSUM_FULL
					 : kinds[k]);
			/* a sender may toggle its offload at any time */
			nat_case(f, &nat_cases[i], kinds[k], LF_CSUM_FULL);
		}
	}
	assert_int_equal(f->lane->sessions.cnt, CNT(nat_cases));
	assert_int_equal(f->lane->cnt.sessions_made, CNT(nat_cases));
	assert_int_equal(lf_drops(f), 0);
	assert_int_equal(lf_punts(f), 0);
}

/* Every length, whole and partial, in one and in several frames. */
static void test_every_length(void **state)
{
	struct lf *f = *state;
	struct lf_spec in = {FROM("0.2", 7000), TO("198.51.100.9", 9)}, out;

	for (uint32_t len = 0; len <= 1472; len++) {
		in.payload_len = len;
		in.seed = (uint8_t)len;
		in.csum = len & 1 ? LF_CSUM_PARTIAL : LF_CSUM_FULL;
		in.first_len = len > 100 ? 42 + (uint32_t)lf_random() % 59 : 0;
		in.frame_len = len / 15 + 1;
		if (len % 3 == 0)
			in.csum = LF_CSUM_PARTIAL;
		out = in;
		out.src = "192.0.2.1";
		out.ttl = 63;
		lf_expect(lf_pass(f, LF_INSIDE, &in), &out, LF_UPLINK);
	}
	assert_int_equal(f->lane->sessions.cnt, 1);
}

/*
 * Checksums that come out as zero: 0 would say "none" (RFC 768), so 0xFFFF is sent. Random packets
 * do not get there, so the source L4 port is chosen such that the translated sum is all ones.
 */
static void test_udp_zero_result(void **state)
{
	struct lf *f = *state;
	struct lf_spec in = {FROM("0.4", 0), TO("198.51.100.9", 9), .payload_len = 2}, out;
	struct lf_bytes *b = test_malloc(sizeof(*b));
	uint32_t found = 0;

	for (uint32_t sport = 1024; sport < 32768; sport++) {
		out = in;
		out.src = "192.0.2.1";
		out.sport = (uint16_t)sport;
		lf_build(b, &out);
		if (b->b[40] != 0xff || b->b[41] != 0xff)
			continue;
		found++;
		for (int csum = LF_CSUM_FULL; csum <= LF_CSUM_PARTIAL; csum++) {
			const struct lf_sent *sent;

			in.sport = out.sport;
			in.csum = csum;
			out.ttl = 63;
			sent = lf_pass(f, LF_INSIDE, &in);
			lf_expect(sent, &out, LF_UPLINK);
			assert_int_equal(sent->bytes[40] << 8 | sent->bytes[41], 0xffff);
		}
	}
	test_free(b);
	assert_true(found > 0);
}

/* A valid checksum that happens to equal the pseudo-header sum must still arrive valid. */
static void test_valid_that_looks_partial(void **state)
{
	struct lf *f = *state;
	struct lf_spec in = {FROM("0.5", 0), TO("198.51.100.9", 9), .payload_len = 2}, part, out;
	static struct lf_bytes a, b;
	uint32_t found = 0;

	for (uint32_t i = 0; i < 31744 * 8 && !found; i++) {
		in.sport = (uint16_t)(1024 + i % 31744);
		in.seed = (uint8_t)(i / 31744 * 32);
		part = in;
		part.csum = LF_CSUM_PARTIAL;
		lf_build(&a, &in);
		lf_build(&b, &part);
		if (memcmp(a.b, b.b, a.len))
			continue;
		found++;
		out = in;
		out.src = "192.0.2.1";
		out.ttl = 63;
		lf_expect(lf_pass(f, LF_INSIDE, &in), &out, LF_UPLINK);
	}
	assert_true(found > 0);
}

/* Accepted flows: not a byte of addresses, L4 ports and checksum changes, both ways. */
static void accept_case(struct lf *f, const struct lf_spec *in, uint16_t out_port)
{
	struct lf_spec out = *in, reply = *in, seen;

	out.ttl = 63;
	lf_expect(lf_pass(f, LF_INSIDE, in), &out, out_port);
	reply.src = in->dst;
	reply.dst = in->src;
	reply.sport = in->dport;
	reply.dport = in->sport;
	reply.tcp_flags = SYN | ACK;
	seen = reply;
	seen.ttl = 63;
	lf_expect(lf_pass(f, out_port, &reply), &seen, LF_INSIDE);
}

static void test_accept(void **state)
{
	struct lf *f = *state;
	struct lf_spec in = {FROM("0.2", 61000), TO("10.2.0.9", 80), .proto = TCP, .tcp_flags = SYN,
			     .payload_len = 11};

	for (int csum = LF_CSUM_FULL; csum <= LF_CSUM_PARTIAL; csum++) {
		in.csum = csum;
		accept_case(f, &in, LF_INSIDE2);
	}
	in = (struct lf_spec){FROM("9.2", 61000), TO("203.0.113.7", 80), .payload_len = 11};
	accept_case(f, &in, LF_UPLINK2);
	assert_int_equal(f->lane->sessions.cnt, 2);
	for (uint32_t i = 0; i < XE_OWNED_ENTRIES; i++)
		assert_true(f->owned[i] == 0);
}

static uint32_t run_to_fwd(struct lf *f, uint16_t port)
{
	struct xe_burst *burst = &f->lane->burst;
	uint32_t n = xe_rx(f->lane, &f->xsk[port]);

	xe_parse(f->lane, burst);
	xe_flow(f->lane, burst);
	xe_nat(f->lane, burst);
	xe_csum(f->lane, burst);
	xe_fwd(f->lane, burst);
	return n;
}

/* A superpacket leaves whole, its field is the pseudo-header sum over the whole length, of the new
 * addresses. Looked at before tx, which then has no AF_PACKET socket here and must say so. */
static void check_superpacket(struct lf *f, const struct lf_spec *in)
{
	static struct lf_bytes want;
	struct xe_packet *p = &f->lane->burst.packets[0];
	struct lf_spec out = *in;
	uint32_t done = 0;

	lf_put(f, LF_INSIDE, in);
	assert_int_equal(run_to_fwd(f, LF_INSIDE), 1);
	assert_false(p->ended);
	assert_true(p->partial);
	assert_int_equal(p->gso_size, in->gso_size);
	out.src = "192.0.2.1";
	out.ttl = 63;
	lf_build(&want, &out);
	assert_int_equal(p->len, want.len);
	for (uint32_t i = 0; i < p->frame_cnt; i++) {
		uint32_t skip = i ? 0 : 12; /* Ethernet addresses */
		const uint8_t *start = xe_umem_ptr(&f->lane->umem, p->frames[i].addr) + skip;

		assert_memory_equal(start, want.b + done + skip, p->frames[i].len - skip);
		done += p->frames[i].len;
	}
	assert_int_equal(done, want.len);
	xe_tx(f->lane, &f->lane->burst);
	lf_check_conservation(f);
}

static void test_superpacket(void **state)
{
	struct lf *f = *state;
	struct lf_spec in = {FROM("0.2", 8000), TO("198.51.100.9", 80), .proto = TCP,
			     .tcp_flags = SYN};
	uint32_t n = 0;

	lf_expect(lf_pass(f, LF_INSIDE, &in),
		  &(struct lf_spec){TO("198.51.100.9", 80), .src = "192.0.2.1", .sport = 8000,
				    .proto = TCP, .tcp_flags = SYN, .ttl = 63},
		  LF_UPLINK);
	in.csum = LF_CSUM_PARTIAL;
	in.tcp_flags = ACK;
	in.gso_size = 1448;
	in.tcp_options_len = 12;
	for (in.payload_len = 1449; in.payload_len < 65400; in.payload_len += 7001, n++)
		check_superpacket(f, &in);
	in.payload_len = 65535 - 52;
	check_superpacket(f, &in);
	assert_int_equal(f->lane->cnt.reason[XE_R_TX_REFUSED], n + 1);
	assert_int_equal(lf_drops(f), n + 1);
}

static bool asks(struct lf *f, const struct lf_spec *in)
{
	struct lf_spec out = *in;
	const struct lf_sent *sent = lf_pass(f, LF_INSIDE, in);

	out.src = "192.0.2.1";
	out.ttl = 63;
	lf_expect(sent, &out, LF_UPLINK);
	return sent->asked;
}

/* Who asks the device: what is partial, long enough, and leaves as it is. */
static void test_who_asks(void **state)
{
	struct lf *f = *state;
	struct lf_spec in = {FROM("0.2", 8200), TO("198.51.100.9", 80), .payload_len = 92};

	assert_false(asks(f, &in));
	in.csum = LF_CSUM_PARTIAL;
	assert_true(asks(f, &in));
	in.first_len = 60; /* a request stands before the first of several frames */
	in.frame_len = 10;
	assert_true(asks(f, &in));
	f->xsk[LF_UPLINK].csum_min = 101; /* the L4 header counts */
	assert_false(asks(f, &in));
	f->xsk[LF_UPLINK].csum_min = 100;
	assert_true(asks(f, &in));
	f->lane->ports[LF_UPLINK].mtu = 119;
	assert_false(asks(f, &in));
	f->lane->ports[LF_UPLINK].mtu = 120;
	assert_true(asks(f, &in));
	f->xsk[LF_UPLINK].csum_min = 0;
	assert_false(asks(f, &in));
}

/* Replies go to the Ethernet address that the flow's last packet came from. */
static void test_l2_follows_the_container(void **state)
{
	struct lf *f = *state;
	struct lf_spec in = {FROM("0.2", 8100), TO("198.51.100.9", 80), .payload_len = 5};
	struct lf_spec reply = {.src = "198.51.100.9",
				.sport = 80,
				.dst = "192.0.2.1",
				.dport = 8100,
				.payload_len = 6};
	static const uint8_t other[12] = {2, 9, 9, 9, 9, 1, 2, 9, 9, 9, 9, 2};
	static struct lf_bytes bytes;
	const struct lf_sent *sent;

	lf_pass(f, LF_INSIDE, &in);
	lf_build(&bytes, &in);
	memcpy(bytes.b, other, 12);
	lf_deliver(f, LF_INSIDE, bytes.b, bytes.len, 0, 0, 0);
	lf_poll(f);
	assert_int_equal(f->sent_cnt, 1);
	sent = lf_pass(f, LF_UPLINK2,
		       &reply); /* by another uplink than it left by: the same flow */
	assert_non_null(sent);
	assert_memory_equal(sent->bytes, other + 6, 6);
	/* by the port's own address, whichever of ours the container used (a bridge port's is
	 * its bridge's, and steer takes no packet for another) */
	assert_memory_equal(sent->bytes + 6, f->lane->ports[LF_INSIDE].l2_addr, 6);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_translate, setup, teardown),
		cmocka_unit_test_setup_teardown(test_every_length, setup, teardown),
		cmocka_unit_test_setup_teardown(test_udp_zero_result, setup, teardown),
		cmocka_unit_test_setup_teardown(test_translate, setup_device, teardown),
		cmocka_unit_test_setup_teardown(test_every_length, setup_device, teardown),
		cmocka_unit_test_setup_teardown(test_udp_zero_result, setup_device, teardown),
		cmocka_unit_test_setup_teardown(test_who_asks, setup_device, teardown),
		cmocka_unit_test_setup_teardown(test_valid_that_looks_partial, setup, teardown),
		cmocka_unit_test_setup_teardown(test_accept, setup, teardown),
		cmocka_unit_test_setup_teardown(test_superpacket, setup, teardown),
		cmocka_unit_test_setup_teardown(test_l2_follows_the_container, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
