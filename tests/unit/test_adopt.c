/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_adopt.c - flows of every kind leave one lane as records and become sessions of another one
 * (other hash keys, other numbers): the records of those are the same, byte for byte, packets pass
 * both ways as before, and at the end nothing is left over.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "flow_fixture.h"
#include "pipeline/adopt.h"
#include "state/session_record.h"

#define MAX 64u

static const char *const rules[] = {
	"dnat tcp to 192.0.2.1:8080 dest 10.1.0.2:80",
	"dnat udp to 192.0.2.1:7000-7009 dest 10.2.0.3:9000-9009",
	"nat from 10.2.0.16/28 source 192.0.2.128/28",
	"accept from 10.1.0.0/16 to 10.2.0.0/16",
	"accept udp to 10.1.0.9:53 in eth1",
	"masquerade udp to 198.51.100.0/24:1000 filter endpoint-independent",
	"masquerade udp to 198.51.100.0/24:2000 filter address-dependent limit 1000pps",
	"snat tcp to 198.51.100.0/24:81 source 192.0.2.10-192.0.2.12 no-limit",
	"masquerade",
	NULL,
};

/* ---- from lane to lane ---- */

struct flows {
	struct xe_flow_record r[MAX];
	uint16_t rule[MAX];
	uint32_t cnt;
};

static void collect(const struct lf *f, struct flows *flows)
{
	const struct xe_sessions *t = &f->lane->sessions;

	flows->cnt = 0;
	for (uint32_t i = 0; i < t->high; i++) {
		const struct xe_session *s = &t->slots[i];
		struct xe_flow_record *r = &flows->r[flows->cnt];

		if (!s->key[0].proto)
			continue;
		assert_in_range(flows->cnt, 0, MAX - 1);
		xe_session_record(t, s, f->lane->now_s, r);
		r->left_s = xe_flow_left(f->lane, s, f->lane->now_s);
		if (r->flags & XE_FR_MAPPED && s->ext != XE_EXT_NONE)
			r->filter = f->lane->pool.mappings[s->mapping].filter;
		assert_null(xe_flow_record_fault(r, LF_PORT_END));
		flows->rule[flows->cnt++] = s->rule;
	}
}

static struct xe_adoptee adoptee(const struct lf *f, const struct flows *flows, uint32_t i)
{
	const struct xe_flow_record *r = &flows->r[i];

	return (struct xe_adoptee){
		.record = r,
		.in_port = r->in_port,
		.out_port = r->out_port,
		.out_inside = r->out_port < LF_UPLINK,
		.ext = r->flags & XE_FR_EXT ? xe_natpool_ext(&f->lane->pool, &r->nat_src) : XE_NIL,
		.rule = flows->rule[i],
		.age_s = r->age_s,
		.idle_s = r->idle_s,
	};
}

/* Those opened from inside first, as the service does it. */
static void adopt_all(struct lf *f, const struct flows *flows, bool tags)
{
	for (int outside = 0; outside < 2; outside++) {
		for (uint32_t i = 0; i < flows->cnt; i++) {
			struct xe_adoptee a = adoptee(f, flows, i);
			bool ext = flows->r[i].flags & XE_FR_EXT;

			if (!!(flows->r[i].flags & XE_FR_FROM_OUTSIDE) != outside)
				continue;
			if (tags)
				a.ext = XE_NIL;
			assert_int_equal(xe_adopt(f->lane, &a, NULL),
					 tags && ext ? XE_ADOPTED_TAGS : XE_ADOPTED);
			assert_int_equal(xe_adopt(f->lane, &a, NULL),
					 tags && ext ? XE_ADOPT_THERE_TAGS : XE_ADOPT_THERE);
			lf_answer(f);
		}
	}
}

static int cmp_record(const void *a, const void *b)
{
	return memcmp(a, b, 72);
}

/* The same flows, however the L4 port is had; only the filter of a mapping is gone with that. */
static void expect_same(struct flows *a, struct flows *b, bool tags)
{
	assert_int_equal(a->cnt, b->cnt);
	qsort(a->r, a->cnt, sizeof(a->r[0]), cmp_record);
	qsort(b->r, b->cnt, sizeof(b->r[0]), cmp_record);
	for (uint32_t i = 0; i < a->cnt; i++) {
		struct xe_flow_record x = a->r[i];

		if (tags)
			x.filter = 0;
		assert_memory_equal(&x, &b->r[i], sizeof(x));
	}
}

static void both_end(struct lf *from, struct lf *to)
{
	ff_expect_empty(from);
	ff_expect_empty(to);
	lf_close(from);
	lf_close(to);
}

/* What of a flow passes in the old lane must pass in the new one. */
typedef void (*packets_fn)(struct lf *f);

static void move(packets_fn begin, packets_fn go_on, bool tags)
{
	struct lf *from = lf_open(rules, 1024), *to = lf_open(rules, 1024);
	static struct flows was, is;

	begin(from);
	ff_advance(from, 7);
	collect(from, &was);
	assert_true(was.cnt > 0);
	to->lane->now_s += 5000; /* another clock */
	xe_pipeline_housekeeping(to->lane);
	adopt_all(to, &was, tags);
	collect(to, &is);
	expect_same(&was, &is, tags);
	go_on(to);
	collect(to, &is);
	assert_int_equal(is.cnt, was.cnt);
	both_end(from, to);
}

/* The session of the same flow in the other lane. */
static struct xe_session *same_flow(struct lf *f, const struct xe_flow_record *r)
{
	const struct xe_sessions *t = &f->lane->sessions;
	struct xe_flow_record has;

	for (uint32_t i = 0; i < t->high; i++) {
		if (!t->slots[i].key[0].proto)
			continue;
		xe_session_record(t, &t->slots[i], f->lane->now_s, &has);
		if (!memcmp(&has, r, offsetof(struct xe_flow_record, in_port)) &&
		    has.proto == r->proto)
			return &t->slots[i];
	}
	fail_msg("a flow has no session in the other lane");
	return NULL;
}

/* Flows go on in the old lane after the new one has heard of them, and it hears again: in place, or
 * where a flow has become another one by its end and a new session. */
static void follow(packets_fn begin, packets_fn go_on)
{
	struct lf *from = lf_open(rules, 1024), *to = lf_open(rules, 1024);
	static struct flows was, is;

	begin(from);
	collect(from, &was);
	to->lane->now_s += 5000;
	xe_pipeline_housekeeping(to->lane);
	adopt_all(to, &was, false);
	ff_advance(from, 3);
	ff_advance(to, 3);
	go_on(from);
	collect(from, &was);
	for (uint32_t i = 0; i < was.cnt; i++) {
		struct xe_adoptee a = adoptee(to, &was, i);
		struct xe_session *s = same_flow(to, &was.r[i]);

		if (xe_adopt_go_on(to->lane, s, &was.r[i], was.r[i].out_port))
			continue;
		assert_int_not_equal(s->out_port, was.r[i].out_port);
		xe_flow_end(to->lane, s);
		assert_int_equal(xe_adopt(to->lane, &a, NULL), XE_ADOPTED);
		lf_answer(to);
	}
	collect(to, &is);
	expect_same(&was, &is, false);
	assert_int_equal(to->lane->unanswered, from->lane->unanswered);
	for (uint32_t i = 0; i < 2; i++)
		assert_int_equal(to->lane->sources.slots[i].closed,
				 from->lane->sources.slots[i].closed);
	both_end(from, to);
}

#define KIND(name)                                                                                 \
	static void test_##name##_followed(void **state)                                           \
	{                                                                                          \
		(void)state;                                                                       \
		follow(name##_begins, name##_goes_on);                                             \
	}                                                                                          \
	static void test_##name(void **state)                                                      \
	{                                                                                          \
		(void)state;                                                                       \
		move(name##_begins, name##_goes_on, false);                                        \
	}                                                                                          \
	static void test_##name##_by_tags(void **state)                                            \
	{                                                                                          \
		(void)state;                                                                       \
		move(name##_begins, name##_goes_on, true);                                         \
	}

/* ---- UDP: one mapping for two destinations ---- */

static const struct ff_flow udp_to_9 = {LF_INSIDE,   "10.1.0.5", 4000,           LF_UPLINK,
					"192.0.2.1", 4000,       "198.51.100.9", 5};
static const struct ff_flow udp_to_8 = {LF_INSIDE,   "10.1.0.5", 4000,           LF_UPLINK,
					"192.0.2.1", 4000,       "198.51.100.8", 6};

static void udp_goes_on(struct lf *f)
{
	ff_goes_out(f, &udp_to_9);
	ff_comes_in(f, &udp_to_9);
	ff_goes_out(f, &udp_to_8);
}

static void udp_begins(struct lf *f)
{
	udp_goes_on(f);
}
KIND(udp)

/* The mapping is the same endpoint's still: a third destination has it. */
static void test_udp_mapping(void **state)
{
	struct lf *from = lf_open(rules, 64), *to = lf_open(rules, 64);
	static struct flows was;

	(void)state;
	udp_begins(from);
	collect(from, &was);
	adopt_all(to, &was, false);
	assert_int_equal(to->lane->pool.mapping_cnt, 1);
	assert_int_equal(to->lane->pool.mappings[0].refs, 2);
	ff_passes(to, LF_INSIDE, ff_udp("10.1.0.5", 4000, "198.51.100.7", 7), LF_UPLINK,
		  ff_udp("192.0.2.1", 4000, "198.51.100.7", 7));
	assert_int_equal(to->lane->pool.mappings[0].refs, 3);
	both_end(from, to);
}

/* ---- UDP with filters: the peer's other L4 port comes in by them ---- */

static const struct ff_flow filter_ei = {LF_INSIDE,   "10.1.0.5", 4100,           LF_UPLINK,
					 "192.0.2.1", 4100,       "198.51.100.9", 1000};
static const struct ff_flow filter_ad = {LF_INSIDE,   "10.1.0.5", 4200,           LF_UPLINK,
					 "192.0.2.1", 4200,       "198.51.100.9", 2000};
static const struct ff_flow by_filter = {LF_INSIDE,   "10.1.0.5", 4100,           LF_UPLINK,
					 "192.0.2.1", 4100,       "203.0.113.77", 9};

static void filters_begins(struct lf *f)
{
	ff_goes_out(f, &filter_ei);
	ff_comes_in(f, &by_filter);
	ff_goes_out(f, &filter_ad);
}

static void filters_goes_on(struct lf *f)
{
	struct ff_flow answer = by_filter;

	answer.out = LF_UPLINK2; /* as the peer is routed */
	ff_comes_in(f, &by_filter);
	ff_goes_out(f, &answer);
	ff_comes_in(f, &filter_ad);
}
KIND(filters)

/* ---- TCP: two flows share an L4 port; closed ones; a pool ---- */

static void tcp_pass(struct lf *f, const char *dst, uint16_t dport, uint8_t flags, bool back,
		     const char *ext)
{
	struct lf_spec was = ff_tcp("10.1.0.6", 5000, dst, dport, flags);
	struct lf_spec is = ff_tcp(ext, 5000, dst, dport, flags);

	if (back) {
		was = ff_tcp(dst, dport, ext, 5000, flags);
		is = ff_tcp(dst, dport, "10.1.0.6", 5000, flags);
	}
	was.seq = is.seq = flags & FF_SYN ? 0 : 1;
	was.ack = is.ack = flags & FF_ACK ? 1 : 0;
	ff_passes(f, back ? LF_UPLINK : LF_INSIDE, was, back ? LF_INSIDE : LF_UPLINK, is);
}

static void tcp_opens(struct lf *f, const char *dst, uint16_t dport)
{
	tcp_pass(f, dst, dport, FF_SYN, false, "192.0.2.1");
	tcp_pass(f, dst, dport, FF_SYN | FF_ACK, true, "192.0.2.1");
	tcp_pass(f, dst, dport, FF_ACK, false, "192.0.2.1");
}

static void tcp_begins(struct lf *f)
{
	tcp_opens(f, "198.51.100.9", 80);
	tcp_opens(f, "198.51.100.8", 80);
	tcp_opens(f, "198.51.100.7", 443);
	tcp_pass(f, "198.51.100.7", 443, XE_TH_RST, false, "192.0.2.1");
	tcp_pass(f, "198.51.100.6", 443, FF_SYN, false, "192.0.2.1");
}

static void tcp_goes_on(struct lf *f)
{
	tcp_pass(f, "198.51.100.9", 80, FF_ACK, false, "192.0.2.1");
	tcp_pass(f, "198.51.100.9", 80, FF_ACK, true, "192.0.2.1");
	tcp_pass(f, "198.51.100.8", 80, FF_ACK, true, "192.0.2.1");
	tcp_pass(f, "198.51.100.6", 443, FF_SYN | FF_ACK, true, "192.0.2.1");
}
KIND(tcp)

/* Of a closed flow its source counts none; the tracking goes on where it was. */
static void test_tcp_states(void **state)
{
	struct lf *from = lf_open(rules, 64), *to = lf_open(rules, 64);
	uint32_t established = 0, closed = 0;
	static struct flows was;

	(void)state;
	tcp_begins(from);
	collect(from, &was);
	adopt_all(to, &was, false);
	assert_int_equal(to->lane->sources.slots[0].sessions, 4);
	assert_int_equal(to->lane->sources.slots[0].closed, 1);
	assert_int_not_equal(xe_wheel_oldest_closed(&to->lane->wheel), XE_NIL);
	for (uint32_t i = 0; i < to->lane->sessions.high; i++) {
		established += to->lane->sessions.slots[i].tcp_state == XE_TCP_ESTABLISHED;
		closed += to->lane->sessions.slots[i].tcp_state == XE_TCP_CLOSED;
	}
	assert_int_equal(established, 2);
	assert_int_equal(closed, 1);
	tcp_pass(to, "198.51.100.9", 80, XE_TH_RST, true, "192.0.2.1");
	assert_int_equal(to->lane->sources.slots[0].closed, 2);
	/* its opener starts over in the same session */
	tcp_pass(to, "198.51.100.9", 80, FF_SYN, false, "192.0.2.1");
	assert_int_equal(to->lane->sources.slots[0].closed, 1);
	assert_int_equal(to->lane->sessions.cnt, 4);
	both_end(from, to);
}

/* Whatever the order they come in, the one that is idle for longest is the first to give way. */
static void test_closed_order(void **state)
{
	static const uint32_t idle_s[] = {50, 200, 10, 120, 200, 0, 90};
	struct lf *from = lf_open(rules, 64), *to = lf_open(rules, 64);
	uint32_t idx, n = 0, before_s = UINT32_MAX;
	static struct flows was;

	(void)state;
	tcp_opens(from, "198.51.100.7", 443);
	tcp_pass(from, "198.51.100.7", 443, XE_TH_RST, false, "192.0.2.1");
	collect(from, &was);
	assert_int_equal(was.r[0].tcp_state, XE_TCP_CLOSED);
	for (uint32_t i = 0; i < 7; i++) {
		struct xe_adoptee a = adoptee(to, &was, 0);

		was.r[0].dport_be = was.r[0].nat_dport_be = htons((uint16_t)(1000 + i));
		a.idle_s = idle_s[i];
		a.age_s = 300;
		assert_int_equal(xe_adopt(to->lane, &a, NULL), XE_ADOPTED);
		lf_answer(to);
	}
	for (idx = xe_wheel_oldest_closed(&to->lane->wheel); idx != XE_NIL; n++) {
		uint32_t idle = to->lane->now_s - to->lane->sessions.slots[idx].last_used_s;

		assert_true(idle <= before_s);
		before_s = idle;
		idx = xe_wheel_next_closed(&to->lane->wheel, &to->lane->sessions, idx);
	}
	assert_int_equal(n, 7);
	/* and to end: those of 200 s in 40 s */
	ff_advance(to, 41);
	assert_int_equal(to->lane->sessions.cnt, 5);
	ff_expect_empty(to);
	ff_expect_empty(from);
	lf_close(from);
	lf_close(to);
}

/* From a host that has been up for longer. */
static void test_older_than_the_host(void **state)
{
	struct lf *from = lf_open(rules, 64), *to = lf_open(rules, 64);
	static struct flows was;
	struct xe_session *s = NULL;
	struct xe_adoptee a;

	(void)state;
	tcp_opens(from, "198.51.100.7", 443);
	collect(from, &was);
	a = adoptee(to, &was, 0);
	a.age_s = to->lane->now_s + 1000;
	a.idle_s = 3;
	assert_int_equal(xe_adopt(to->lane, &a, &s), XE_ADOPTED);
	assert_int_equal(s->created_s, 1);
	assert_int_equal(s->last_used_s, to->lane->now_s - 3);
	lf_answer(to);
	lf_close(from);
	lf_close(to);
}

/* From a kernel that kept no numbers: the inside's first segment says them. */
static void test_tcp_picked_up(void **state)
{
	struct lf *from = lf_open(rules, 64), *to = lf_open(rules, 64);
	static struct flows was;
	struct xe_session *s;

	(void)state;
	tcp_opens(from, "198.51.100.9", 80);
	collect(from, &was);
	was.r[0].flags |= XE_FR_KERNEL;
	was.r[0].tcp_seen = was.r[0].tcp_scale = 0;
	memset(was.r[0].tcp_end, 0, sizeof(was.r[0].tcp_end));
	memset(was.r[0].tcp_ack, 0, sizeof(was.r[0].tcp_ack));
	memset(was.r[0].tcp_win, 0, sizeof(was.r[0].tcp_win));
	adopt_all(to, &was, false);
	s = &to->lane->sessions.slots[0];
	tcp_pass(to, "198.51.100.9", 80, XE_TH_RST, true, "192.0.2.1");
	assert_int_equal(s->tcp_state, XE_TCP_ESTABLISHED); /* nobody knows whether it fits */
	tcp_pass(to, "198.51.100.9", 80, FF_ACK, false, "192.0.2.1");
	tcp_pass(to, "198.51.100.9", 80, FF_ACK, true, "192.0.2.1");
	assert_int_equal(s->tcp_seen, XE_TS_ALIVE);
	tcp_pass(to, "198.51.100.9", 80, XE_TH_RST, true, "192.0.2.1");
	assert_int_equal(s->tcp_state, XE_TCP_CLOSED);
	both_end(from, to);
}

/* ---- from a pool, without a limit of its source ---- */

static char pool_addr[16];

static void pool_begins(struct lf *f)
{
	struct lf_spec syn = ff_tcp("10.1.0.6", 5000, "198.51.100.9", 81, FF_SYN);
	const struct lf_sent *sent = lf_pass(f, LF_INSIDE, &syn);

	assert_non_null(sent);
	inet_ntop(AF_INET, sent->bytes + 26, pool_addr, sizeof(pool_addr));
}

static void pool_goes_on(struct lf *f)
{
	tcp_pass(f, "198.51.100.9", 81, FF_SYN, false, pool_addr);
	tcp_pass(f, "198.51.100.9", 81, FF_SYN | FF_ACK, true, pool_addr);
}
KIND(pool)

/* Its uplink is not there yet, or another one is: the next packet says by which it leaves. */
static void test_out_unknown(void **state)
{
	static struct flows was, is;

	(void)state;
	for (int tags = 0; tags < 2; tags++) {
		struct lf *from = lf_open(rules, 64), *to = lf_open(rules, 64);

		tcp_begins(from);
		pool_begins(from);
		collect(from, &was);
		for (uint32_t i = 0; i < was.cnt; i++)
			was.r[i].out_port = XE_FR_NO_PORT;
		for (uint32_t i = 0; i < was.cnt; i++) {
			struct xe_adoptee a = adoptee(to, &was, i);

			a.out_port = XE_PORT_NONE;
			a.out_inside = false;
			if (tags)
				a.ext = XE_NIL;
			assert_int_equal(xe_adopt(to->lane, &a, NULL),
					 tags ? XE_ADOPTED_TAGS : XE_ADOPTED);
			lf_answer(to);
		}
		tcp_goes_on(to);
		pool_goes_on(to);
		collect(to, &is);
		assert_int_equal(is.cnt, was.cnt);
		both_end(from, to);
	}
}

/* ---- dnat, nat, accept ---- */

static const struct ff_flow dnat_answered = {LF_INSIDE2,  "10.2.0.3", 9003,           LF_UPLINK,
					     "192.0.2.1", 7003,       "198.51.100.9", 500};
static const struct ff_flow dnat_unanswered = {LF_INSIDE2,  "10.2.0.3", 9004,           LF_UPLINK,
					       "192.0.2.1", 7004,       "198.51.100.9", 501};

static void dnat_begins(struct lf *f)
{
	ff_comes_in(f, &dnat_answered);
	ff_goes_out(f, &dnat_answered);
	ff_comes_in(f, &dnat_unanswered);
	assert_int_equal(f->lane->unanswered, 1);
}

static void dnat_goes_on(struct lf *f)
{
	assert_int_equal(f->lane->unanswered, 1);
	ff_comes_in(f, &dnat_answered);
	ff_goes_out(f, &dnat_answered);
	ff_goes_out(f, &dnat_unanswered);
	assert_int_equal(f->lane->unanswered, 0);
}
KIND(dnat)

static const struct ff_flow nat_out = {LF_INSIDE2, "10.2.0.19",    777, LF_UPLINK, "192.0.2.131",
				       777,        "198.51.100.9", 53};
static const struct ff_flow nat_in = {LF_INSIDE2, "10.2.0.18",    80, LF_UPLINK2, "192.0.2.130",
				      80,         "198.51.100.8", 5};

static void nat_begins(struct lf *f)
{
	ff_goes_out(f, &nat_out);
	ff_comes_in(f, &nat_in);
}

static void nat_goes_on(struct lf *f)
{
	struct ff_flow answer = nat_in;

	answer.out = LF_UPLINK; /* as the peer is routed */
	ff_comes_in(f, &nat_out);
	ff_goes_out(f, &answer);
}
KIND(nat)

static const struct ff_flow accept_in = {LF_INSIDE, "10.1.0.9",    53, LF_UPLINK2, "10.1.0.9",
					 53,        "203.0.113.5", 5};
static const struct ff_flow accept_between = {LF_INSIDE,  "10.1.0.7", 70,         LF_INSIDE2,
					      "10.1.0.7", 70,         "10.2.0.7", 71};

static void accept_begins(struct lf *f)
{
	ff_comes_in(f, &accept_in);
	ff_goes_out(f, &accept_between);
}

static void accept_goes_on(struct lf *f)
{
	ff_goes_out(f, &accept_in);
	ff_comes_in(f, &accept_between);
	ff_goes_out(f, &accept_between);
}
KIND(accept)

/* ---- between two of ours, by an external address ---- */

static void hairpin_goes_on(struct lf *f)
{
	ff_passes(f, LF_INSIDE, ff_udp("10.1.0.5", 6000, "192.0.2.1", 7001), LF_INSIDE2,
		  ff_udp("192.0.2.1", 6000, "10.2.0.3", 9001));
	ff_passes(f, LF_INSIDE2, ff_udp("10.2.0.3", 9001, "192.0.2.1", 6000), LF_INSIDE,
		  ff_udp("192.0.2.1", 7001, "10.1.0.5", 6000));
}

static void hairpin_begins(struct lf *f)
{
	hairpin_goes_on(f);
	assert_int_equal(f->lane->sessions.cnt, 2);
}

static void test_hairpin(void **state)
{
	(void)state;
	move(hairpin_begins, hairpin_goes_on, false);
}

/* Where it would turn round is not there: its packets would look for a port that is none. */
static void test_hairpin_without_uplink(void **state)
{
	static struct flows was;
	struct lf *f = lf_open(rules, 64), *to = lf_open(rules, 64);

	(void)state;
	hairpin_begins(f);
	collect(f, &was);
	for (uint32_t i = 0; i < was.cnt; i++) {
		struct xe_adoptee a = adoptee(to, &was, i);

		assert_true(was.r[i].flags & XE_FR_HAIRPIN || was.r[i].flags & XE_FR_FROM_OUTSIDE);
		a.out_port = XE_PORT_NONE;
		if (was.r[i].flags & XE_FR_HAIRPIN)
			assert_int_equal(xe_adopt(to->lane, &a, NULL), XE_ADOPT_FULL);
	}
	ff_expect_empty(to);
	lf_close(f);
	lf_close(to);
}

/* ---- IPv6 ---- */

static const struct ff_flow v6_to_9 = {
	LF_INSIDE, "2001:db8:1::5", 4000, LF_UPLINK, "2001:db8:f::1", 4000, "2001:db8:99::9", 5};
static const struct ff_flow v6_to_8 = {
	LF_INSIDE, "2001:db8:1::5", 4000, LF_UPLINK, "2001:db8:f::1", 4000, "2001:db8:99::8", 5};

static void v6_begins(struct lf *f)
{
	ff_goes_out(f, &v6_to_9);
	ff_goes_out(f, &v6_to_8);
}

static void v6_goes_on(struct lf *f)
{
	ff_comes_in(f, &v6_to_9);
	ff_goes_out(f, &v6_to_8);
}
KIND(v6)

/* ---- where it is not to be had ---- */

static void test_outcomes(void **state)
{
	struct lf *from = lf_open(rules, 64), *to = lf_open(rules, 2);
	static struct flows was;
	struct xe_adoptee a;

	(void)state;
	udp_begins(from);
	tcp_begins(from);
	collect(from, &was);
	a = adoptee(to, &was, 0);
	a.idle_s = 300;
	assert_int_equal(xe_adopt(to->lane, &a, NULL), XE_ADOPT_OVER);
	/* another worker has the L4 port: by tags */
	a.idle_s = 0;
	to->claims->busy[xe_owned_idx(a.ext, 1, ntohs(a.record->nat_sport_be))] = ~0ull;
	assert_int_equal(xe_adopt(to->lane, &a, NULL), XE_ADOPTED_TAGS);
	assert_int_equal(to->lane->sessions.slots[0].ext, XE_EXT_NONE);
	to->claims->busy[xe_owned_idx(a.ext, 1, ntohs(a.record->nat_sport_be))] = 0;
	/* the same tuple to another Ext L4 port */
	was.r[0].nat_sport_be ^= htons(1);
	assert_int_equal(xe_adopt(to->lane, &a, NULL), XE_ADOPT_CLASH);
	a = adoptee(to, &was, 1);
	assert_int_equal(xe_adopt(to->lane, &a, NULL), XE_ADOPTED);
	a = adoptee(to, &was, 2);
	assert_int_equal(xe_adopt(to->lane, &a, NULL), XE_ADOPT_FULL);
	lf_answer(to);
	both_end(from, to);
}

/* The endpoint's mapping rests here at another L4 port: it gives way, and there is one again. */
static void test_rest_gives_way(void **state)
{
	struct lf *f = lf_open(rules, 64);
	static struct flows was;
	struct xe_adoptee a;

	(void)state;
	ff_passes(f, LF_INSIDE, ff_udp("10.1.0.5", 4000, "198.51.100.9", 5), LF_UPLINK,
		  ff_udp("192.0.2.1", 4000, "198.51.100.9", 5));
	collect(f, &was);
	ff_advance(f, 301);
	assert_int_equal(f->lane->pool.rest_cnt, 1);
	was.r[0].nat_sport_be = htons(4555);
	a = adoptee(f, &was, 0);
	assert_int_equal(xe_adopt(f->lane, &a, NULL), XE_ADOPTED);
	lf_answer(f);
	assert_int_equal(f->lane->pool.rest_cnt, 0);
	ff_passes(f, LF_INSIDE, ff_udp("10.1.0.5", 4000, "198.51.100.8", 6), LF_UPLINK,
		  ff_udp("192.0.2.1", 4555, "198.51.100.8", 6));
	ff_expect_empty(f);
	lf_close(f);
}

/* What another worker asks before it takes a flow by tags. */
static void test_reply_is_taken(void **state)
{
	struct lf *from = lf_open(rules, 64), *to = lf_open(rules, 64);
	static struct flows was;

	(void)state;
	udp_begins(from);
	v6_begins(from);
	collect(from, &was);
	for (uint32_t i = 0; i < was.cnt; i++) {
		assert_true(xe_adopt_is_taken(from->lane, &was.r[i]));
		assert_false(xe_adopt_is_taken(to->lane, &was.r[i]));
	}
	was.r[0].nat_dport_be ^= 1;
	assert_false(xe_adopt_is_taken(from->lane, &was.r[0]));
	both_end(from, to);
}

/* The control thread is behind: nothing is lost, it comes later. */
static void test_later(void **state)
{
	struct lf *f = lf_open(rules, 8192);
	struct flows one = {.cnt = 1};
	struct xe_flow_record *r = &one.r[0];
	enum xe_adopted last = XE_ADOPTED;
	struct xe_adoptee a;
	uint32_t i;

	(void)state;
	udp_begins(f);
	collect(f, &one);
	one.cnt = 1;
	for (i = 0; i < 6000 && last == XE_ADOPTED; i++) {
		r->dst = r->nat_dst = xe_addr_v4(htonl(0x08000000 + i));
		r->sport_be = r->nat_sport_be = htons((uint16_t)(9000 + i));
		a = adoptee(f, &one, 0);
		last = xe_adopt(f->lane, &a, NULL);
	}
	assert_int_equal(last, XE_ADOPT_LATER);
	assert_in_range(i, XE_NH_REQUESTS - 3, XE_NH_REQUESTS);
	assert_true(lf_answer(f) > 4000);
	assert_int_equal(xe_adopt(f->lane, &a, NULL), XE_ADOPTED);
	lf_answer(f);
	while (f->lane->sessions.cnt) { /* as many releases as the ring takes, at a time */
		f->lane->now_s += 400;
		xe_pipeline_housekeeping(f->lane);
		lf_answer(f);
	}
	lf_close(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_udp),
		cmocka_unit_test(test_udp_by_tags),
		cmocka_unit_test(test_udp_followed),
		cmocka_unit_test(test_udp_mapping),
		cmocka_unit_test(test_filters),
		cmocka_unit_test(test_filters_by_tags),
		cmocka_unit_test(test_filters_followed),
		cmocka_unit_test(test_tcp),
		cmocka_unit_test(test_tcp_by_tags),
		cmocka_unit_test(test_tcp_followed),
		cmocka_unit_test(test_tcp_states),
		cmocka_unit_test(test_closed_order),
		cmocka_unit_test(test_older_than_the_host),
		cmocka_unit_test(test_tcp_picked_up),
		cmocka_unit_test(test_pool),
		cmocka_unit_test(test_out_unknown),
		cmocka_unit_test(test_reply_is_taken),
		cmocka_unit_test(test_rest_gives_way),
		cmocka_unit_test(test_pool_by_tags),
		cmocka_unit_test(test_pool_followed),
		cmocka_unit_test(test_dnat),
		cmocka_unit_test(test_dnat_by_tags),
		cmocka_unit_test(test_dnat_followed),
		cmocka_unit_test(test_nat),
		cmocka_unit_test(test_nat_by_tags),
		cmocka_unit_test(test_nat_followed),
		cmocka_unit_test(test_accept),
		cmocka_unit_test(test_accept_by_tags),
		cmocka_unit_test(test_accept_followed),
		cmocka_unit_test(test_hairpin),
		cmocka_unit_test(test_hairpin_without_uplink),
		cmocka_unit_test(test_v6),
		cmocka_unit_test(test_v6_by_tags),
		cmocka_unit_test(test_v6_followed),
		cmocka_unit_test(test_outcomes),
		cmocka_unit_test(test_later),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
