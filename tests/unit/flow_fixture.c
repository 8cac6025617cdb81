/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "flow_fixture.h"
#include "reason_fixture.h"

#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

/* More than any session lives that no packet keeps alive (tcp-established, 7440 s). */
#define ALL_OVER_S 8000u
/* Ext addresses of the fixture's IPv6 rules, which stay. */
#define KEPT_ADDR6 4u

const struct lf_spec ff_out = {
	.src = "10.1.0.2", .sport = 5000, .dst = "198.51.100.9", .dport = 7, .payload_len = 50};
const struct lf_spec ff_back = {
	.src = "198.51.100.9", .sport = 7, .dst = "192.0.2.1", .dport = 5000, .payload_len = 50};

struct lf_spec ff_udp(const char *src, uint16_t sport, const char *dst, uint16_t dport)
{
	return (struct lf_spec){
		.src = src, .sport = sport, .dst = dst, .dport = dport, .payload_len = 40};
}

struct lf_spec ff_tcp(const char *src, uint16_t sport, const char *dst, uint16_t dport,
		      uint8_t flags)
{
	return (struct lf_spec){.src = src,
				.sport = sport,
				.dst = dst,
				.dport = dport,
				.proto = IPPROTO_TCP,
				.tcp_flags = flags,
				.ack = flags & FF_ACK ? 1 : 0,
				.win = 1000};
}

void ff_passes(struct lf *f, uint16_t in, struct lf_spec was, uint16_t out, struct lf_spec is)
{
	const struct lf_sent *sent = lf_pass(f, in, &was);

	is.ttl = was.ttl ? was.ttl - 1 : 63;
	if (!sent)
		fail_msg("%s:%u to %s:%u did not pass", was.src, was.sport, was.dst, was.dport);
	lf_expect(sent, &is, out);
}

void ff_ends(struct lf *f, uint16_t in, struct lf_spec s, enum xe_worker_reason reason)
{
	rf_mark(f->lane);
	lf_pass(f, in, &s);
	rf_expect(f->lane, reason, 1);
}

void ff_goes_out(struct lf *f, const struct ff_flow *w)
{
	ff_passes(f, w->in, ff_udp(w->src, w->sport, w->dst, w->dport), w->out,
		  ff_udp(w->ext, w->ext_port, w->dst, w->dport));
}

void ff_comes_in(struct lf *f, const struct ff_flow *w)
{
	ff_passes(f, w->out, ff_udp(w->dst, w->dport, w->ext, w->ext_port), w->in,
		  ff_udp(w->dst, w->dport, w->src, w->sport));
}

void ff_open(struct lf *f)
{
	assert_non_null(lf_pass(f, LF_INSIDE, &ff_out));
}

void ff_advance(struct lf *f, uint32_t seconds)
{
	f->lane->now_s += seconds;
	xe_pipeline_housekeeping(f->lane);
	lf_answer(f);
	lf_check_conservation(f);
}

uint32_t ff_permit_cnt(const struct lf *f)
{
	const struct xe_permits *t = &f->lane->pool.permits;
	uint32_t cnt = t->room.high;

	for (uint32_t i = t->room.free_head; i != XE_NIL; i = t->slots[i].next_free)
		cnt--;
	return cnt;
}

void ff_expect_no_tags(const struct lf *f)
{
	for (uint32_t i = 0; i < XE_OWNED_ENTRIES; i++)
		if (f->owned[i])
			fail_msg("owned word %u: %llx", i, (unsigned long long)f->owned[i]);
	for (uint32_t i = 0; i <= f->lane->live.mask; i++)
		for (int n = 0; n < XE_LIVE_SLOTS; n++)
			assert_int_equal(f->live[i].tag[n], 0);
}

void ff_expect_empty(struct lf *f)
{
	const struct xe_lane *lane = f->lane;

	ff_advance(f, ALL_OVER_S);
	ff_advance(f, XE_NAT_REST_S);
	assert_int_equal(lane->sessions.cnt, 0);
	assert_int_equal(lane->sessions.addr6.cnt, KEPT_ADDR6);
	assert_int_equal(lane->pool.mapping_cnt, 0);
	assert_int_equal(lane->pool.rest_cnt, 0);
	assert_int_equal(ff_permit_cnt(f), 0);
	assert_int_equal(lane->unanswered, 0);
	assert_int_equal(lane->nexthops.cnt, 0);
	for (uint32_t i = 0; i < lane->sources.room.high; i++) {
		assert_int_equal(lane->sources.slots[i].sessions, 0);
		assert_int_equal(lane->sources.slots[i].closed, 0);
	}
	for (uint32_t i = 0; i < f->rule_cnt; i++)
		assert_int_equal(lane->terms.refs[i], 0);
	for (uint32_t i = 0; i < XE_OWNED_ENTRIES; i++)
		assert_int_equal(f->claims->busy[i], 0);
	ff_expect_no_tags(f);
	for (uint32_t i = 0; i < XE_WHEEL_SLOTS; i++)
		assert_int_equal(lane->wheel.head[i], XE_NIL);
}

int ff_teardown(void **state)
{
	lf_close(*state);
	return 0;
}
