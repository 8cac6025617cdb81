/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_dnat.c - targets of dnat rules: shares by weight, how many sources move when one is added or
 * taken, ranges of L4 ports and of addresses; one-to-one prefixes.
 */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "packet_fixture.h"
#include "state/dnat.h"

#define SOURCES 20000

static struct xe_dnat *make(const char *text)
{
	struct xe_rule rule;
	char err[256];
	struct xe_dnat *d;

	if (xe_rule_parse(text, &rule, err, sizeof(err)))
		fail_msg("%s: %s", text, err);
	d = xe_dnat_make(&rule);
	assert_non_null(d);
	return d;
}

/* The last byte of each source's target; the same sources each time. */
static void targets(const char *text, uint8_t *out, uint32_t *cnt)
{
	static uint64_t hash[SOURCES];
	struct xe_dnat *d = make(text);

	if (!hash[0])
		for (uint32_t i = 0; i < SOURCES; i++)
			hash[i] = lf_random();
	memset(cnt, 0, 256 * sizeof(*cnt));
	for (uint32_t i = 0; i < SOURCES; i++) {
		struct xe_addr addr;
		uint16_t l4_port;

		xe_dnat_pick(d, hash[i], 80, &addr, &l4_port);
		assert_int_equal(l4_port, 8080);
		out[i] = addr.b[15];
		cnt[out[i]]++;
	}
	free(d);
}

static uint8_t before[SOURCES], after[SOURCES];
static uint32_t cnt[256];

static void test_weights(void **state)
{
	(void)state;
	targets("dnat tcp to 192.0.2.1:80 dest 10.1.0.2:8080*3,10.1.0.3:8080", before, cnt);
	assert_in_range(cnt[2], SOURCES * 70 / 100, SOURCES * 80 / 100);
	assert_int_equal(cnt[2] + cnt[3], SOURCES);
	targets("dnat tcp to 192.0.2.1:80 dest 10.1.0.2:8080,10.1.0.3:8080,10.1.0.4:8080*2", before,
		cnt);
	assert_in_range(cnt[2], SOURCES * 21 / 100, SOURCES * 29 / 100);
	assert_in_range(cnt[4], SOURCES * 46 / 100, SOURCES * 54 / 100);
}

/* Who had another target before moves only to the new one; its share is all that moves. */
static void test_add_and_take(void **state)
{
	uint32_t moved = 0;

	(void)state;
	targets("dnat tcp to 192.0.2.1:80 dest 10.1.0.2:8080,10.1.0.3:8080,10.1.0.4:8080", before,
		cnt);
	targets("dnat tcp to 192.0.2.1:80 dest "
		"10.1.0.5:8080,10.1.0.3:8080,10.1.0.2:8080,10.1.0.4:8080",
		after, cnt);
	for (uint32_t i = 0; i < SOURCES; i++) {
		if (after[i] == before[i])
			continue;
		assert_int_equal(after[i], 5);
		moved++;
	}
	assert_int_equal(moved, cnt[5]);
	assert_in_range(moved, SOURCES * 21 / 100, SOURCES * 29 / 100);
	/* and one is taken: only its own sources move */
	targets("dnat tcp to 192.0.2.1:80 dest 10.1.0.5:8080,10.1.0.2:8080,10.1.0.4:8080", before,
		cnt);
	for (uint32_t i = 0; i < SOURCES; i++)
		assert_true(before[i] == after[i] || after[i] == 3);
}

static void test_range_of_addresses(void **state)
{
	uint32_t moved = 0;

	(void)state;
	targets("dnat tcp to 192.0.2.1:80 dest 10.1.0.16-10.1.0.19:8080,10.1.0.2:8080", before,
		cnt);
	for (int i = 16; i < 20; i++)
		assert_in_range(cnt[i], SOURCES * 17 / 100, SOURCES * 23 / 100);
	assert_in_range(cnt[2], SOURCES * 17 / 100, SOURCES * 23 / 100);
	targets("dnat tcp to 192.0.2.1:80 dest 10.1.0.16-10.1.0.20:8080,10.1.0.2:8080", after, cnt);
	for (uint32_t i = 0; i < SOURCES; i++)
		moved += before[i] != after[i];
	assert_in_range(moved, SOURCES * 10 / 100, SOURCES * 25 / 100);
}

static void test_l4_ports(void **state)
{
	struct xe_dnat *d = make("dnat udp to 192.0.2.1:8000-8099 dest 10.1.0.2:9000-9099");
	struct xe_addr addr;
	uint16_t l4_port;

	(void)state;
	for (uint16_t p = 8000; p < 8100; p++) {
		xe_dnat_pick(d, p, p, &addr, &l4_port);
		assert_int_equal(l4_port, p + 1000);
	}
	free(d);
	d = make("dnat udp to 192.0.2.1 dest 10.1.0.2");
	xe_dnat_pick(d, 1, 65535, &addr, &l4_port);
	assert_int_equal(l4_port, 65535);
	free(d);
}

static void test_one_to_one(void **state)
{
	struct xe_addr addr = xe_addr_v4(htonl(0x0a010217)), net = xe_addr_v4(htonl(0xc0000210));
	struct xe_addr out = xe_nat_move(&addr, &net, 96 + 28);

	(void)state;
	assert_int_equal(ntohl(out.w_be[3]), 0xc0000217);
	assert_int_equal(out.w_be[2], htonl(0xffff));
	out = xe_nat_move(&addr, &net, 128);
	assert_int_equal(ntohl(out.w_be[3]), 0xc0000210);
	out = xe_nat_move(&addr, &net, 96 + 13);
	assert_int_equal(ntohl(out.w_be[3]), 0xc0010217);
}

/* The range has no more addresses, and others, when its low 32 bits overflow in it. */
static void test_across_32_bits(void **state)
{
	struct xe_dnat *d = make("dnat udp to [2001:db8::1]:80 dest "
				 "[2001:db8::ffff:fffe-2001:db8::1:0:1]:80");
	struct xe_addr first, addr;
	uint16_t l4_port;
	uint8_t family;
	bool seen[4] = {};

	(void)state;
	assert_int_equal(xe_addr_parse("2001:db8::ffff:fffe", &first, &family), 0);
	assert_int_equal(d->target[0].addr_cnt, 4);
	for (uint64_t hash = 0; hash < 200; hash++) {
		uint32_t n;

		xe_dnat_pick(d, hash, 80, &addr, &l4_port);
		assert_int_equal(addr.q[0], first.q[0]);
		n = ntohl(addr.w_be[3]) + 2;
		assert_in_range(n, 0, 3);
		assert_int_equal(ntohl(addr.w_be[2]), n >= 2);
		seen[n] = true;
	}
	assert_true(seen[0] && seen[1] && seen[2] && seen[3]);
	free(d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_weights),
		cmocka_unit_test(test_add_and_take),
		cmocka_unit_test(test_range_of_addresses),
		cmocka_unit_test(test_l4_ports),
		cmocka_unit_test(test_one_to_one),
		cmocka_unit_test(test_across_32_bits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
