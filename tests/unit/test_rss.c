/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* test_rss.c - the Toeplitz hash, by the vectors of Microsoft's "Verifying the RSS hash
 * calculation" (key and tables as published), and the way from the hash to the worker. */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "control/rss_read.h"
#include "state/rss.h"

static const uint8_t key[40] = {0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67,
				0x25, 0x3d, 0x43, 0xa3, 0x8f, 0xb0, 0xd0, 0xca, 0x2b, 0xcb,
				0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3, 0x80, 0x30,
				0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa};

static const struct {
	const char *dst;
	uint16_t dport;
	const char *src;
	uint16_t sport;
	uint32_t addresses, all;
} vectors[] = {
	{"161.142.100.80", 1766, "66.9.149.187", 2794, 0x323e8fc2, 0x51ccc178},
	{"65.69.140.83", 4739, "199.92.111.2", 14230, 0xd718262a, 0xc626b0ea},
	{"12.22.207.184", 38024, "24.19.198.95", 12898, 0xd2d0a5de, 0x5c2b394a},
	{"209.142.163.6", 2217, "38.27.205.30", 48228, 0x82989176, 0xafc7327f},
	{"202.188.127.2", 1303, "153.39.163.191", 44251, 0x5d1809c5, 0x10e828a2},
};

static const struct {
	const char *dst;
	uint16_t dport;
	const char *src;
	uint16_t sport;
	uint32_t addresses, all;
} vectors6[] = {
	{"3ffe:2501:200:3::1", 1766, "3ffe:2501:200:1fff::7", 2794, 0x2cc18cd5, 0x40207d3d},
	{"ff02::1", 4739, "3ffe:501:8::260:97ff:fe40:efab", 14230, 0x0f0c461c, 0xdde51bbf},
	{"fe80::200:f8ff:fe21:67cf", 38024, "3ffe:1900:4545:3:200:f8ff:fe21:67cf", 44251,
	 0x4b61e985, 0x02d1feef},
};

static struct xe_tuple4 vector(size_t i)
{
	return (struct xe_tuple4){
		.src_be = inet_addr(vectors[i].src),
		.dst_be = inet_addr(vectors[i].dst),
		.sport_be = htons(vectors[i].sport),
		.dport_be = htons(vectors[i].dport),
	};
}

static void test_published_vectors(void **state)
{
	static struct xe_rss rss;

	(void)state;
	xe_rss_set_key(&rss, key);
	for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
		struct xe_tuple4 t = vector(i);

		assert_int_equal(xe_rss_hash(&rss, &t, false), vectors[i].addresses);
		assert_int_equal(xe_rss_hash(&rss, &t, true), vectors[i].all);
	}
	for (size_t i = 0; i < sizeof(vectors6) / sizeof(vectors6[0]); i++) {
		struct xe_tuple4 t = {.sport_be = htons(vectors6[i].sport),
				      .dport_be = htons(vectors6[i].dport)};
		struct xe_addr src, dst;

		assert_int_equal(inet_pton(AF_INET6, vectors6[i].src, &src), 1);
		assert_int_equal(inet_pton(AF_INET6, vectors6[i].dst, &dst), 1);
		assert_int_equal(xe_rss_hash6(&rss, &src, &dst, &t, false), vectors6[i].addresses);
		assert_int_equal(xe_rss_hash6(&rss, &src, &dst, &t, true), vectors6[i].all);
	}
}

static void test_indirection(void **state)
{
	static struct xe_rss rss = {.indir_cnt = 128};

	(void)state;
	xe_rss_set_key(&rss, key);
	for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
		struct xe_tuple4 t = vector(i);

		rss.worker[vectors[i].all & 127] = (uint8_t)(i + 3);
		assert_int_equal(xe_rss_worker(&rss, &t), i + 3);
	}
}

/* One worker or one queue: there is nothing to choose. No such interface: not known. */
static void test_not_known(void **state)
{
	(void)state;
	assert_null(xe_rss_read("lo", 4, 1));
	assert_null(xe_rss_read("lo", 1, 2));
	assert_null(xe_rss_read("lo", 4, 2)); /* has no such table */
	assert_null(xe_rss_read("xe-none", 4, 2));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_published_vectors),
		cmocka_unit_test(test_indirection),
		cmocka_unit_test(test_not_known),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
