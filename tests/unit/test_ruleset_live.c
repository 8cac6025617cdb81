/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_ruleset_live.c - one rule set follows another: what of the old one goes on (terms, targets,
 * the numbers that sessions know their rules by), which L4 ports are guarded, how long it takes,
 * and that one which steer has no room for changes nothing. As root: the steering program's maps
 * are real.
 */
#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include <cmocka.h>

#include "control/rule_index.h"
#include "control/service.h"
#include "steer.skel.h"
#include "pipeline/pipeline.h"

#define MANY 10000

static struct xe_service *svc;

static int set_up(void **state)
{
	struct xe_steer_settings settings = {.k0 = 1, .k1 = 2, .live_mask = 63, .worker_cnt = 1};

	(void)state;
	if (geteuid())
		return 0;
	svc = calloc(1, sizeof(*svc));
	svc->config = calloc(1, sizeof(*svc->config));
	svc->worker_cnt = 1;
	svc->default_min = 1024;
	svc->default_max = 32767;
	svc->workers[0].lane = calloc(1, sizeof(*svc->workers[0].lane));
	svc->terms = xe_terms_table_new();
	if (xe_terms_open(&svc->workers[0].lane->terms, svc->terms, 64, 1, 2))
		return -1;
	return xe_steer_open(&svc->steer, &settings);
}

static int tear_down(void **state)
{
	(void)state;
	if (!svc)
		return 0;
	xe_rules_close(svc);
	xe_steer_close(&svc->steer);
	xe_terms_close(&svc->workers[0].lane->terms);
	xe_terms_table_free(svc->terms);
	free(svc->workers[0].lane);
	free(svc->config->rules);
	free(svc->config);
	free(svc);
	svc = NULL;
	return 0;
}

static void begin(void)
{
	free(svc->config->rules);
	svc->config->rules = calloc(MANY, sizeof(*svc->config->rules));
	svc->config->rule_cnt = 0;
}

static void rule(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static void rule(const char *fmt, ...)
{
	char text[256], err[256] = "";
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (xe_rule_parse(text, &svc->config->rules[svc->config->rule_cnt++], err, sizeof(err)))
		fail_msg("`%s`: %s", text, err);
}

static void publish(void)
{
	char err[256] = "";

	if (xe_rules_publish(svc, err, sizeof(err)))
		fail_msg("%s", err);
}

static bool guarded(int udp, uint16_t l4_port)
{
	return svc->steer.guarded[xe_guarded_idx(udp, l4_port)] >> (l4_port & 63) & 1;
}

/* A rule that is taken out and comes back while its flows live has their limit, not one more. */
static void test_terms_come_back(void **state)
{
	static const char *const limited = "masquerade from 10.1.0.0/16 limit 20mbit";
	uint32_t n;

	(void)state;
	if (!svc)
		skip();
	begin();
	rule("%s", limited);
	publish();
	n = svc->ruleset->terms[0];
	assert_int_not_equal(n, XE_NIL);
	svc->workers[0].lane->terms.refs[n] = 1; /* a flow */
	begin();
	rule("masquerade from 10.1.0.0/16 limit 10mbit");
	publish();
	assert_int_not_equal(svc->ruleset->terms[0], n);
	begin();
	rule("drop from 10.1.0.0/16 to 192.0.2.0/24");
	publish();
	begin();
	rule("drop from 10.1.0.0/16 to 192.0.2.0/24");
	rule("%s", limited);
	publish();
	assert_int_equal(svc->ruleset->terms[1], n);
	/* without flows the number is anybody's */
	svc->workers[0].lane->terms.refs[n] = 0;
	begin();
	publish();
	begin();
	rule("masquerade from 10.2.0.0/16 limit 30mbit");
	publish();
	assert_int_equal(svc->ruleset->terms[0], 0);
}

static const struct xe_dnat *dnat_of(uint32_t n)
{
	return ((const struct xe_nat_range *)svc->ruleset->attach)[n].dnat;
}

/* The slots of several targets are not made anew for a rule that stays. */
static void test_targets_stay(void **state)
{
	static const char *const many = "dnat tcp to 192.0.2.1:80 dest 10.1.0.2:80,10.1.0.3:80*2";
	const struct xe_dnat *d;

	(void)state;
	if (!svc)
		skip();
	begin();
	rule("%s", many);
	publish();
	d = dnat_of(0);
	begin();
	rule("dnat tcp to 192.0.2.1:81 dest 10.1.0.2:80,10.1.0.3:80*2");
	rule("%s", many);
	publish();
	assert_ptr_equal(dnat_of(1), d);
	assert_ptr_not_equal(dnat_of(0), d);
	begin();
	rule("dnat tcp to 192.0.2.1:80 dest 10.1.0.2:80,10.1.0.3:80*3");
	publish();
	assert_int_equal(dnat_of(0)->refs, 1);
}

/* What dnat takes is no NAT range's while the rule is there, and is one again afterwards. */
static void test_guarded_follows_dnat(void **state)
{
	(void)state;
	if (!svc)
		skip();
	begin();
	rule("masquerade from 10.1.0.0/16 ports 20000-29999");
	publish();
	assert_true(guarded(0, 20100));
	rule("dnat tcp to 192.0.2.1:20100 dest 10.1.0.2:80");
	publish();
	assert_false(guarded(0, 20100));
	assert_true(guarded(1, 20100));
	svc->config->rule_cnt--;
	publish();
	assert_true(guarded(0, 20100));
}

/* L4 ports of adopted flows that do not own theirs are given to nobody by another rule set. */
static void test_held_stays(void **state)
{
	(void)state;
	if (!svc)
		skip();
	svc->held[1][20200 >> 6] |= 1ull << (20200 & 63);
	begin();
	rule("masquerade from 10.1.0.0/16 ports 20000-29999");
	publish();
	assert_true(svc->taken.bits[1][20200 >> 6] >> (20200 & 63) & 1);
	assert_false(svc->taken.bits[0][20200 >> 6] >> (20200 & 63) & 1);
	memset(svc->held, 0, sizeof(svc->held));
	publish();
	assert_false(svc->taken.bits[1][20200 >> 6] >> (20200 & 63) & 1);
}

/* However many ranges there are, what lies between them is nobody's. */
static void test_many_ranges(void **state)
{
	(void)state;
	if (!svc)
		skip();
	begin();
	for (int i = 0; i < 100; i++)
		rule("masquerade from 10.1.%d.0/24 ports %d-%d", i, 20000 + i * 100,
		     20049 + i * 100);
	publish();
	for (uint16_t p = 1; p < 65535; p++)
		assert_int_equal(guarded(0, p), p >= 20000 && p < 30000 && p % 100 < 50);
}

/* Other rules at every place: each is looked for in the old set, and none is walked to. */
static void test_many_changed(void **state)
{
	struct timespec from, to;
	double s;

	(void)state;
	if (!svc)
		skip();
	for (int round = 0; round < 2; round++) {
		begin();
		for (int i = 0; i < MANY; i++)
			rule("%s udp from 10.%d.%d.%d to 192.0.2.0/24", round ? "drop" : "kernel",
			     round, i >> 8, i & 255);
		clock_gettime(CLOCK_THREAD_CPUTIME_ID, &from);
		publish();
		clock_gettime(CLOCK_THREAD_CPUTIME_ID, &to);
	}
	s = (double)(to.tv_sec - from.tv_sec) + (double)(to.tv_nsec - from.tv_nsec) / 1e9;
	print_message("%d rules changed: %.0f ms\n", MANY, s * 1000);
	assert_true(s < 1.0 || getenv("XE_SLOW"));
}

/* The steering tables are full: workers and steer keep the rules they have, both of them. */
static void test_refused_changes_nothing(void **state)
{
	struct bpf_map *map = svc ? svc->steer.skel->maps.rules : NULL;
	struct xe_rule_key other = {.gen = 77};
	struct xe_rule_value value = {};
	const struct xe_ruleset *was;
	uint32_t gen, foreign = 0;
	char err[256] = "";

	(void)state;
	if (!svc)
		skip();
	begin();
	rule("masquerade from 10.1.0.0/16");
	publish();
	was = svc->ruleset;
	gen = svc->steer.conf->rules_gen;
	while (!bpf_map_update_elem(bpf_map__fd(map), &other, &value, BPF_NOEXIST)) {
		other.src.w_be[3]++;
		foreign++;
	}
	begin();
	for (int i = 0; i < 3000; i++) /* more than the kernel keeps in reserve for each CPU */
		rule("drop tcp from 10.1.0.0/16 to 192.0.2.0/24:%d", i + 1);
	assert_int_not_equal(xe_rules_publish(svc, err, sizeof(err)), 0);
	assert_non_null(strstr(err, "the steering tables refuse them"));
	assert_ptr_equal(svc->ruleset, was);
	assert_ptr_equal(atomic_load(&svc->workers[0].rules), was);
	assert_int_equal(svc->steer.conf->rules_gen, gen);
	/* and there is room again as soon as there is room */
	for (; foreign--; other.src.w_be[3]--)
		bpf_map_delete_elem(bpf_map__fd(map), &other);
	publish();
	assert_int_equal(svc->ruleset->rule_cnt, 3000);
	assert_ptr_equal(atomic_load(&svc->workers[0].rules), svc->ruleset);
	assert_int_equal(svc->steer.conf->rules_gen, gen + 1);
}

static void test_rule_index(void **state)
{
	struct xe_rule *rules = calloc(MANY, sizeof(*rules)), other;
	uint32_t *hashes = calloc(MANY, sizeof(*hashes)), same = 0;
	struct xe_rule_index x;
	char text[128], err[128];

	(void)state;
	for (int i = 0; i < MANY; i++) {
		snprintf(text, sizeof(text), "dnat tcp to 192.0.2.%d:%d dest 10.1.0.2:80", i >> 8,
			 1000 + (i & 255));
		assert_int_equal(xe_rule_parse(text, &rules[i], err, sizeof(err)), 0);
		hashes[i] = xe_rule_hash(&rules[i]);
	}
	assert_int_equal(xe_rule_index_of(&x, rules, MANY), 0);
	for (uint32_t i = 0; i < MANY; i++) {
		other = rules[i];
		other.line = 7; /* is no part of what it says */
		assert_int_equal(xe_rule_index_find(&x, &other), i);
		other.dest[0].port_max = other.dest[0].port_min = 81;
		assert_int_equal(xe_rule_index_find(&x, &other), XE_NIL);
		for (uint32_t k = 0; k < i && i < 2000; k++)
			same += hashes[k] == hashes[i];
	}
	assert_in_range(same, 0, 3);
	xe_rule_index_close(&x);
	free(hashes);
	free(rules);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_terms_come_back, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_targets_stay, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_guarded_follows_dnat, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_held_stays, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_many_ranges, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_many_changed, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_refused_changes_nothing, set_up, tear_down),
		cmocka_unit_test(test_rule_index),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
