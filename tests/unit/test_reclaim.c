/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_reclaim.c - a worker and another one that share `limits: sessions`: what one has beyond its
 * part it has for live flows only, and closed ones give way to the other's flows.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#include "flow_fixture.h"
#include "reason_fixture.h"

enum { ALL = 128, PART = ALL / 2, RESERVE = PART / 8, FIRST_L4_PORT = 6000 };

static const char *const rules[] = {"masquerade from 10.1.0.0/16", NULL};

static struct xe_session_budget budget;
static struct xe_sessions other; /* the other worker's */
static uint16_t next_l4_port;

static int setup(void **state)
{
	struct lf *f = lf_open(rules, ALL);

	xe_session_budget_init(&budget, ALL, 2);
	assert_int_equal(budget.piece, 1);
	assert_int_equal(budget.reserve, RESERVE);
	assert_int_equal(xe_sessions_open(&other, ALL, 1, 2), 0);
	xe_sessions_share(&other, &budget, PART);
	xe_sessions_share(&f->lane->sessions, &budget, PART);
	next_l4_port = FIRST_L4_PORT;
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct lf *f = *state;

	assert_int_equal(f->lane->sessions.allowed + other.allowed + budget.left, ALL);
	xe_sessions_close(&other);
	lf_close(f);
	return 0;
}

static void begin(struct lf *f, uint32_t cnt)
{
	for (uint32_t i = 0; i < cnt; i++) {
		struct lf_spec s = ff_tcp("10.1.0.2", next_l4_port++, ff_out.dst, 7, FF_SYN);

		assert_non_null(lf_pass(f, LF_INSIDE, &s));
		assert_int_equal(f->sent[f->sent_cnt - 1].port, LF_UPLINK);
	}
}

static void is_refused(struct lf *f)
{
	struct lf_spec s = ff_tcp("10.1.0.2", next_l4_port, ff_out.dst, 7, FF_SYN);

	rf_mark(f->lane);
	lf_pass(f, LF_INSIDE, &s);
	rf_expect(f->lane, XE_R_SESSIONS_FULL, 1);
}

/* The peer refuses this many of the live flows: they are closed. */
static void refuse(struct lf *f, uint32_t cnt)
{
	struct xe_sessions *t = &f->lane->sessions;

	for (uint32_t i = 0; i < t->high && cnt; i++) {
		struct xe_session *s = &t->slots[i];
		struct lf_spec rst = ff_tcp(ff_back.src, 7, ff_back.dst,
					    ntohs(s->key[XE_DIR_BACK].dport_be), FF_RST | FF_ACK);

		if (!s->key[XE_DIR_OUT].proto || s->tcp_state == XE_TCP_CLOSED)
			continue;
		assert_non_null(lf_pass(f, LF_UPLINK, &rst));
		assert_int_equal(s->tcp_state, XE_TCP_CLOSED);
		cnt--;
	}
	assert_int_equal(cnt, 0);
}

static uint32_t closed_cnt(const struct lf *f)
{
	const struct xe_sessions *t = &f->lane->sessions;
	uint32_t cnt = 0;

	for (uint32_t i = 0; i < t->high; i++)
		cnt += t->slots[i].tcp_state == XE_TCP_CLOSED;
	return cnt;
}

/* The other worker's new flows, until there is no room; how many. */
static uint32_t others_begin(void)
{
	static uint32_t made;
	uint32_t cnt = 0;

	for (; xe_sessions_have_room(&other); cnt++, made++) {
		struct xe_tuple4 out = {.src_be = made, .port = 1, .proto = IPPROTO_UDP};
		struct xe_tuple4 back = {.dst_be = made, .port = 2, .proto = IPPROTO_UDP};

		assert_non_null(xe_session_new(&other, &out, &back));
	}
	return cnt;
}

/* A scan that is refused everywhere stays within the part; so does who opens and closes. */
static void test_closed_within_the_part(void **state)
{
	struct lf *f = *state;

	for (int i = 0; i < 3 * ALL; i++) {
		begin(f, 1);
		refuse(f, 1);
	}
	assert_int_equal(f->lane->sessions.cnt, PART);
	assert_int_equal(f->lane->cnt.reason[XE_R_SESSIONS_FULL], 0);
	assert_int_equal(others_begin(), PART);
}

/* Live ones go beyond it, but for the reserve, which is for who has less. */
static void test_live_beyond_the_part(void **state)
{
	struct lf *f = *state;

	assert_int_equal(xe_sessions_max(&f->lane->sessions), ALL - RESERVE);
	begin(f, ALL - RESERVE);
	is_refused(f);
	assert_int_equal(xe_sessions_max(&f->lane->sessions), ALL - RESERVE);
	assert_int_equal(xe_sessions_max(&other), RESERVE);
	assert_int_equal(others_begin(), RESERVE);
	ff_advance(f, 0);
	assert_int_equal(f->lane->sessions.cnt, ALL - RESERVE); /* nothing live is taken */
	assert_int_equal(others_begin(), 0);
	/* a live flow from elsewhere may have the last one */
	xe_session_free(&other, &other.slots[0]);
	xe_session_free(&other, &other.slots[1]);
	is_refused(f);
	assert_false(xe_sessions_are_full(&f->lane->sessions));
	assert_int_equal(budget.left, 0);
}

/* What has closed beyond it goes as soon as the others have but the reserve left, and no more. */
static void test_closed_give_way(void **state)
{
	struct lf *f = *state;

	begin(f, ALL - RESERVE);
	refuse(f, 20);
	ff_advance(f, 0);
	assert_int_equal(closed_cnt(f), 20);
	assert_int_equal(others_begin(), RESERVE);
	ff_advance(f, 0);
	assert_int_equal(budget.left, RESERVE);
	assert_int_equal(closed_cnt(f), 20 - RESERVE - 1); /* one stays at hand */
	begin(f, 5);
	assert_int_equal(closed_cnt(f), 20 - RESERVE - 1 - 4);
	for (int i = 0; i < 3; i++) {
		others_begin();
		ff_advance(f, 0);
	}
	assert_int_equal(closed_cnt(f), 0);
	assert_int_equal(f->lane->sessions.cnt, ALL - RESERVE - 20 + 5);
	begin(f, 1);
	is_refused(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_closed_within_the_part, setup, teardown),
		cmocka_unit_test_setup_teardown(test_live_beyond_the_part, setup, teardown),
		cmocka_unit_test_setup_teardown(test_closed_give_way, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
