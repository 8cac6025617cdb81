/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_pipeline_fuzz.c - packets that somebody meddled with, in a lane in memory (lane_fixture.h).
 *
 * Valid packets of many flows, most of them with some bytes changed, cut or added, frames cut
 * anywhere, metadata now and then damaged, next hops that come and go, seconds that pass. Whatever
 * happens: no crash (run it with SAN=address,undefined), every packet and every frame accounted for
 * after each burst, nothing inside visible on an uplink, and in the end nothing left of all of it.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <cmocka.h>

#include "base/insum.h"
#include "lane_fixture.h"

/* With sanitizers this is 2 s. */
#define BURSTS     6000
#define BURST_SIZE 8

static const char *const rules[] = {
	"drop from 10.1.0.0/16 to 192.0.2.128/25",
	"kernel tcp to 0.0.0.0/0:25",
	"accept from 10.1.0.0/16 to 10.2.0.0/16",
	"snat from 10.2.0.0/16 source 192.0.2.10-192.0.2.13 ports 2000-2200",
	"masquerade from 10.1.0.0/16 ports 3000-3100",
	"drop from 2001:db8:1::/64 to 2001:db8:f:8000::/49",
	"kernel tcp to [2001:db8:7::/48]:25",
	"accept from 2001:db8:1::/64 to 2001:db8:2::/64",
	"snat from 2001:db8:2::/64 source 2001:db8:f::10-2001:db8:f::11 ports 2000-2200",
	"masquerade from 2001:db8:1::/64 ports 3000-3100",
	NULL,
};

static uint32_t below(uint32_t n)
{
	return (uint32_t)(lf_random() >> 33) % n;
}

static bool one_in(uint32_t n)
{
	return below(n) == 0;
}

/* A reply to some session there is. */
static void random_reply(const struct lf *f, struct lf_spec *s, char *src, char *dst)
{
	const struct xe_sessions *t = &f->lane->sessions;
	const struct xe_tuple4 *key = &t->slots[below(t->high)].key[XE_DIR_BACK];

	struct xe_addr from, to;

	if (!key->proto || key->port != XE_PORT_ANYUPLINK)
		return;
	from = xe_tuple_addr(t, key->family, key->src_be);
	to = xe_tuple_addr(t, key->family, key->dst_be);
	xe_addr_print(&from, src, INET6_ADDRSTRLEN);
	xe_addr_print(&to, dst, INET6_ADDRSTRLEN);
	s->sport = ntohs(key->sport_be);
	s->dport = ntohs(key->dport_be);
	s->proto = key->proto;
}

static void random_addrs6(uint16_t port, char *src, char *dst)
{
	static const char *const exts[] = {"f::1", "f::2", "f::10", "f::11"};
	static const char *const dsts[] = {"7", "113", "2", "1", "f"};

	if (port < LF_UPLINK) {
		snprintf(src, INET6_ADDRSTRLEN, "2001:db8:%u::%u", one_in(20) ? 3 : port,
			 below(4) + 1);
		snprintf(dst, INET6_ADDRSTRLEN, "2001:db8:%s::%u", dsts[below(5)], below(4));
	} else {
		snprintf(src, INET6_ADDRSTRLEN, "2001:db8:%s::%u", dsts[below(5)], below(4) + 1);
		snprintf(dst, INET6_ADDRSTRLEN, "2001:db8:%s", exts[below(4)]);
	}
}

/* A packet of one of some hundred flows: few enough that sessions, replies and full ranges happen.
 */
static void random_spec(struct lf_spec *s, uint16_t port, char *src, char *dst)
{
	static const uint8_t flags[] = {2, 2, 2, 0x12, 0x10, 0x18, 0x11, 4, 0x14, 0x3f};
	static const char *const exts[] = {"192.0.2.1", "192.0.2.2", "192.0.2.10", "192.0.2.12"};
	static const char *const dsts[] = {"198.51.100.%u", "203.0.113.%u", "10.2.0.%u",
					   "10.1.0.%u", "192.0.2.%u"};

	*s = (struct lf_spec){.src = src, .dst = dst};
	if (one_in(2)) {
		random_addrs6(port, src, dst);
		s->sport = (uint16_t)(port >= LF_UPLINK ? 80 + below(3) : 3000 + below(110));
		s->dport = (uint16_t)(port < LF_UPLINK ? 80 + below(3)
				      : one_in(2)      ? 3000 + below(110)
						       : 2000 + below(210));
		s->ext_len = one_in(6) ? 8 * (1 + below(130)) : 0;
	} else if (port < LF_UPLINK) {
		snprintf(src, INET_ADDRSTRLEN, "10.%u.0.%u", one_in(20) ? 3 : port, below(4) + 1);
		snprintf(dst, INET_ADDRSTRLEN, dsts[below(5)], below(4) + 197 * one_in(9));
		s->sport = (uint16_t)(one_in(2) ? 3000 + below(110) : below(65536));
		s->dport = one_in(9) ? 25 : (uint16_t)(80 + below(3));
	} else {
		snprintf(src, INET_ADDRSTRLEN, dsts[below(5)], below(4) + 1);
		snprintf(dst, INET_ADDRSTRLEN, "%s", exts[below(4)]);
		s->sport = (uint16_t)(80 + below(3));
		s->dport = (uint16_t)(one_in(2) ? 3000 + below(110) : 2000 + below(210));
	}
	s->proto = one_in(2) ? IPPROTO_TCP : IPPROTO_UDP;
	s->tcp_flags = flags[below(sizeof(flags))];
	s->ttl = one_in(30) ? 1 : 64;
	s->payload_len = one_in(8) ? below(4000) : below(200);
	s->ip_options_len = one_in(10) ? 4 * below(11) : 0;
	s->tcp_options_len = one_in(3) ? 4 * below(11) : 0;
	s->padding = one_in(5) ? below(60) : 0;
	s->csum = below(4);
	s->seed = (uint8_t)lf_random();
	s->gso_size = s->payload_len > 1000 && one_in(2) ? 1000 : 0;
}

static void meddle(struct lf_bytes *b)
{
	for (uint32_t n = below(4); n; n--) {
		uint32_t off = one_in(4) ? below(b->len) : below(b->len < 80 ? b->len : 80);

		b->b[off] = (uint8_t)(one_in(2) ? lf_random() : b->b[off] ^ 1u << below(8));
	}
	if (one_in(10))
		b->len = below(b->len) + 1;
	if (one_in(10))
		b->len += below(100);
}

static void damage_meta(struct lf *f, const struct lf_ring *rx)
{
	uint64_t addr = rx->descs[(rx->producer - 1) % LF_RING].addr;

	xe_umem_ptr(&f->lane->umem, addr)[-1 - (int)below(sizeof(struct xe_meta))] ^=
		(uint8_t)(1u << below(8));
}

static void put_random(struct lf *f)
{
	static struct lf_bytes b;
	char src[INET6_ADDRSTRLEN], dst[INET6_ADDRSTRLEN];
	uint16_t port = (uint16_t)(LF_INSIDE + below(LF_PORT_END - 1));
	uint32_t first_len = 0, frame_len = 0;
	struct lf_spec s;

	random_spec(&s, port, src, dst);
	if (port >= LF_UPLINK && f->lane->sessions.high && !one_in(4))
		random_reply(f, &s, src, dst);
	lf_build(&b, &s);
	if (one_in(2))
		meddle(&b);
	if (one_in(4)) {
		first_len = one_in(2) ? 54 + below(60) : 1 + below(120);
		frame_len = b.len / (1 + below(one_in(8) ? 25 : 4)) + 1;
	}
	lf_deliver(f, port, b.b, b.len, first_len, frame_len, s.gso_size);
	if (one_in(40))
		damage_meta(f, &f->rings[port * 4 + 1]);
}

/* Nothing private on an uplink, only ours; what is sent was alive. */
static void check_sent(struct lf *f)
{
	for (uint32_t i = 0; i < f->sent_cnt; i++) {
		const uint8_t *ip = f->sent[i].bytes + 14;

		if (ip[0] >> 4 == 6) {
			assert_in_range(ip[7], 1, 254);
			assert_memory_equal(ip + (f->sent[i].port < LF_UPLINK ? 24 : 8),
					    "\x20\x01\x0d\xb8", 4);
			if (f->sent[i].port < LF_UPLINK)
				assert_in_range(ip[24 + 5], 1, 2);
			else
				assert_int_equal(ip[8 + 5], 15);
			continue;
		}
		assert_in_range(ip[8], 1, 254);
		if (f->sent[i].port < LF_UPLINK)
			assert_int_equal(ip[16], 10);
		else
			assert_memory_equal(ip + 12, "\xc0\x00\x02", 3);
	}
}

static void drain_punts(struct lf *f)
{
	static uint8_t buf[LF_BYTES + 64];
	ssize_t len;

	while ((len = recv(f->punt_fd, buf, sizeof(buf), 0)) > 0) {
		assert_in_range(len, sizeof(struct virtio_net_hdr) + 28, sizeof(buf) - 1);
		assert_int_equal(buf[sizeof(struct virtio_net_hdr)] >> 4 & ~2, 4);
	}
}

static void change_world(struct lf *f)
{
	static const uint8_t states[] = {XE_NH_RESOLVING, XE_NH_NO_NEIGHBOUR, XE_NH_NO_ROUTE,
					 XE_NH_NOT_PORT};

	f->nexthop_state = one_in(3) ? states[below(sizeof(states))] : XE_NH_READY;
	if (one_in(2))
		lf_change(f, f->nexthop_state);
	f->mtu = one_in(5) ? 576 : 1500;
	f->lane->ports[1 + below(LF_PORT_END - 1)].live = !one_in(8);
	f->lane->now_s += one_in(4) ? below(400) : below(3);
	xe_pipeline_housekeeping(f->lane);
}

static void expect_nothing_left(struct lf *f)
{
	xe_hold_flush(f->lane, XE_PORT_NONE, XE_R_PORT_GONE);
	for (int i = 0; i < 40; i++) {
		f->lane->now_s += 7440;
		xe_pipeline_housekeeping(f->lane);
		lf_answer(f);
	}
	lf_check_conservation(f);
	assert_int_equal(f->lane->sessions.cnt, 0);
	assert_int_equal(f->lane->pool.mapping_cnt, 0);
	/* L4 ports that rest hold addresses; what is left are the external ones. */
	xe_natpool_tick(&f->lane->pool, f->lane->now_s + 7440, UINT32_MAX);
	assert_int_equal(f->lane->sessions.addr6.cnt, 4);
	assert_int_equal(f->lane->umem.hand_cnt, 0);
	for (uint32_t i = 0; i < XE_OWNED_ENTRIES; i++)
		assert_true(f->owned[i] == 0);
	for (uint32_t i = 0; i < f->lane->sources.room.high; i++)
		assert_int_equal(f->lane->sources.slots[i].sessions, 0);
	for (uint32_t i = 0; i <= f->lane->live.mask; i++)
		for (int n = 0; n < XE_LIVE_SLOTS; n++)
			assert_int_equal(f->live[i].tag[n], 0);
}

static void test_meddled_packets(void **state)
{
	struct lf *f = lf_open(rules, 600);

	(void)state;
	xe_insum_init();
	for (uint16_t port = 1; port < LF_PORT_END; port++)
		f->lane->ports[port].coalesce = true;
	f->lane->sessions_per_source = 100;
	for (uint32_t i = 0; i < BURSTS; i++) {
		for (uint32_t n = 0; n < BURST_SIZE; n++)
			put_random(f);
		lf_poll(f);
		if (!one_in(4) && lf_answer(f)) {
			xe_hold_poll(f->lane);
			lf_drain_tx(f);
		}
		check_sent(f);
		drain_punts(f);
		if (one_in(20))
			change_world(f);
	}
	print_message("%lu in, %lu out, %lu dropped, %lu to the kernel, %lu sessions\n",
		      f->lane->cnt.rx_packets, f->lane->cnt.tx_packets, lf_drops(f),
		      f->lane->cnt.to_kernel, f->lane->cnt.sessions_made);
	assert_int_equal(f->lane->cnt.rx_packets, BURSTS * BURST_SIZE);
	/* It is not all thrown away at the door. */
	assert_true(f->lane->cnt.tx_packets > BURSTS);
	assert_true(f->lane->cnt.sessions_made > BURSTS / 10);
	expect_nothing_left(f);
	lf_close(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_meddled_packets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
