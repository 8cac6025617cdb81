/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_flow_walk.c - flows of both families in the tables of two workers: listed with their
 * addresses in full, counted and ended by filters, and told of again only where they have changed.
 * The lanes are real, the workers do not run: their calls are made in place.
 */
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

#include "control/flow_export.h"
#include "control/flow_walk.h"
#include "lane_fixture.h"

#define CNT(a) (sizeof(a) / sizeof((a)[0]))

static const char *const rules[] = {
	"accept from 2001:db8:1::/64 to 2001:db8:9::/48",
	"masquerade from 2001:db8:1::/64",
	"masquerade from 10.1.0.0/16",
	"dnat udp to 192.0.2.1:7000 dest 10.1.0.9:7001",
	NULL,
};

/* proto 0: UDP. The first three go to one worker, the others to a second. */
static const struct lf_spec specs[] = {
	{.src = "10.1.0.2", .dst = "198.51.100.1", .sport = 40000, .dport = 53},
	{.src = "10.1.0.3", .dst = "203.0.113.1", .sport = 40001, .dport = 443},
	{.src = "2001:db8:1::2", .dst = "2001:db8:8::1", .sport = 40002, .dport = 53},
	{.src = "2001:db8:1::2", .dst = "2001:db8:8::2", .sport = 40003, .dport = 443},
	{.src = "2001:db8:1::3", .dst = "2001:db8:9::1", .sport = 40004, .dport = 443},
	{.src = "10.1.0.2", .dst = "198.51.100.9", .sport = 40005, .dport = 53},
};

static struct lf *lanes[2];
static struct xe_service *svc;

static int set_up(void **state)
{
	(void)state;
	svc = calloc(1, sizeof(*svc));
	if (!svc)
		return -1;
	svc->worker_cnt = 2;
	for (uint16_t w = 0; w < 2; w++) {
		lanes[w] = lf_open(rules, 64);
		svc->workers[w].idx = w;
		svc->workers[w].lane = lanes[w]->lane;
	}
	for (size_t i = 0; i < CNT(specs); i++)
		lf_pass(lanes[i >= 3], LF_INSIDE, &specs[i]);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	lf_close(lanes[0]);
	lf_close(lanes[1]);
	free(svc);
	return 0;
}

static struct xe_flow_walk walk_of(const char *from, const char *to)
{
	struct xe_flow_walk walk = {};
	char err[128];

	if (from)
		assert_int_equal(xe_prefix_parse(from, &walk.filter.from, err, sizeof(err)), 0);
	if (to)
		assert_int_equal(xe_prefix_parse(to, &walk.filter.to, err, sizeof(err)), 0);
	return walk;
}

static uint64_t count(const char *from, const char *to)
{
	struct xe_flow_walk walk = walk_of(from, to);
	struct xe_flow_counts counts = {};

	while (xe_flow_walk_count(svc, &walk, &counts))
		;
	return counts.tcp + counts.udp;
}

static void test_filters(void **state)
{
	(void)state;
	assert_int_equal(count(NULL, NULL), 6);
	assert_int_equal(count("0.0.0.0/0", NULL), 3);
	assert_int_equal(count("::/0", NULL), 3);
	assert_int_equal(count(NULL, "::/0"), 3);
	assert_int_equal(count("2001:db8:1::2", NULL), 2);
	assert_int_equal(count("2001:db8:1::2/127", NULL), 3);
	assert_int_equal(count("2001:db8:1::/64", "2001:db8:8::/127"), 1);
	assert_int_equal(count("2001:db8:1::/64", "2001:db8:8::2"), 1);
	assert_int_equal(count("10.1.0.2", NULL), 2);
	assert_int_equal(count("10.1.0.2", "198.51.100.0/29"), 1);
	assert_int_equal(count("2001:db8:2::/64", NULL), 0);
	assert_int_equal(count("::ffff:0:0:0/80", NULL), 0);
}

/* One that began outside: as it is listed, and by who began it. */
static void test_filters_from_outside(void **state)
{
	struct lf_spec in = {
		.src = "198.51.100.77", .dst = "192.0.2.1", .sport = 500, .dport = 7000};

	(void)state;
	lf_pass(lanes[1], LF_UPLINK, &in);
	assert_int_equal(count(NULL, NULL), 7);
	assert_int_equal(count("10.1.0.9", NULL), 1);
	assert_int_equal(count("10.1.0.9", "198.51.100.77"), 1);
	assert_int_equal(count(NULL, "198.51.100.77"), 1);
	assert_int_equal(count("198.51.100.77", NULL), 1);
	assert_int_equal(count("198.51.100.77", "10.1.0.9"), 1);
	assert_int_equal(count("198.51.100.77", "192.0.2.1"), 1);
	assert_int_equal(count("198.51.100.77", "192.0.2.2"), 0);
	assert_int_equal(count("192.0.2.1", NULL), 0);
	assert_int_equal(count("198.51.100.1", NULL), 0); /* the peer of one that began inside */
	assert_int_equal(count(NULL, "10.1.0.2"), 0);
}

static void assert_addr(const struct xe_addr *addr, const char *want)
{
	char text[INET6_ADDRSTRLEN];

	assert_true(xe_addr_print(addr, text, sizeof(text)) > 0);
	assert_string_equal(text, want);
}

static void test_list(void **state)
{
	static struct xe_flow_view views[XE_FLOW_STEP_COPIES];
	struct xe_flow_walk walk = walk_of(NULL, NULL);
	uint32_t cnt, seen = 0;
	bool more = true;

	(void)state;
	while (more) {
		more = xe_flow_walk_copy(svc, &walk, views, &cnt);
		for (uint32_t i = 0; i < cnt; i++) {
			const struct xe_flow_view *v = &views[i];
			const struct lf_spec *spec =
				&specs[ntohs(v->session.key[XE_DIR_OUT].sport_be) - 40000];
			bool plain = spec == &specs[4];

			assert_int_equal(v->worker, spec - specs >= 3);
			assert_addr(&v->src, spec->src);
			assert_addr(&v->dst, spec->dst);
			assert_addr(&v->nat_dst, spec->dst);
			if (plain)
				assert_addr(&v->nat_src, spec->src);
			else if (spec->src[0] == '2')
				assert_addr(&v->nat_src, "2001:db8:f::1");
			else
				assert_addr(&v->nat_src,
					    spec == &specs[1] ? "192.0.2.2" : "192.0.2.1");
			seen |= 1u << (spec - specs);
		}
	}
	assert_int_equal(seen, 0x3f);
}

static void test_end(void **state)
{
	struct xe_flow_walk walk = walk_of("2001:db8:1::2", NULL);
	struct xe_flow_counts counts = {};

	(void)state;
	while (xe_flow_walk_end(svc, &walk, &counts))
		;
	assert_int_equal(counts.udp, 2);
	assert_int_equal(count(NULL, NULL), 4);
	assert_int_equal(count("::/0", NULL), 1);
	assert_int_equal(xe_flows_flush_port(svc, LF_UPLINK2), 1);
	assert_int_equal(count("10.1.0.3", NULL), 0);
}

/* What a pass tells; the records' places in the file go up. */
static uint32_t changes_of(struct xe_flows_told *told, struct xe_flow_changes *c, uint32_t max)
{
	int more;

	xe_flow_changes_init(c);
	do {
		more = xe_flows_export_changes(svc, told, max, c);
		assert_true(more >= 0);
	} while (more && max == UINT32_MAX);
	return c->cnt;
}

static void test_changes(void **state)
{
	struct xe_flow_walk walk = walk_of("2001:db8:1::2", NULL);
	struct xe_flows_told told = {};
	struct xe_flow_counts counts = {};
	struct xe_flow_changes c;

	(void)state;
	assert_int_equal(changes_of(&told, &c, UINT32_MAX), 6);
	assert_int_equal(c.file.record_cnt, 6);
	for (uint32_t i = 0; i < 6; i++) {
		assert_int_equal(c.list[i].worker, i >= 3);
		assert_int_equal(c.list[i].slot, i % 3);
		assert_int_equal(c.list[i].record, i + 1);
	}
	xe_flow_changes_free(&c);
	assert_int_equal(changes_of(&told, &c, UINT32_MAX), 0);
	xe_flow_changes_free(&c);

	/* one goes on, two end, and nothing else is told; a table of them in one call */
	lf_pass(lanes[0], LF_INSIDE, &specs[1]);
	while (xe_flow_walk_end(svc, &walk, &counts))
		;
	assert_int_equal(counts.udp, 2);
	assert_int_equal(changes_of(&told, &c, 1), 2);
	assert_int_equal(c.file.record_cnt, 1);
	assert_int_equal(c.file.records[0].packets[0], 2);
	xe_flow_changes_free(&c);
	assert_int_equal(changes_of(&told, &c, UINT32_MAX), 1);
	assert_int_equal(c.list[0].worker, 1);
	assert_int_equal(c.list[0].record, 0);
	xe_flow_changes_free(&c);

	/* begun and ended between two passes: nobody needs to know */
	lf_pass(lanes[0], LF_INSIDE, &specs[2]);
	walk.worker = walk.slot = 0;
	while (xe_flow_walk_end(svc, &walk, &counts))
		;
	assert_int_equal(changes_of(&told, &c, UINT32_MAX), 0);
	xe_flow_changes_free(&c);
	xe_flows_told_free(&told);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_filters, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_filters_from_outside, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_list, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_end, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_changes, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
