/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_budget.c - what one socket may take of a round: a flood takes a burst of it, superpackets
 * their share in bytes, and a socket that was idle is still seen.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "lane_fixture.h"

static const char *const rules[] = {"masquerade out eth0", NULL};

static void round_once(struct lf *f)
{
	f->sent_cnt = 0;
	xe_pipeline_poll(f->lane);
	lf_drain_tx(f);
	for (uint16_t port = 1; port < LF_PORT_END; port++)
		xe_xsk_complete(&f->xsk[port], &f->lane->umem);
	lf_check_conservation(f);
}

/* A flow of each inside port, its next hop known. */
static struct lf *open_flows(struct lf_spec *a, struct lf_spec *b)
{
	struct lf *f = lf_open(rules, 1024);

	*a = (struct lf_spec){.src = "10.1.0.2",
			      .dst = "198.51.100.9",
			      .sport = 1000,
			      .dport = 9,
			      .payload_len = 64};
	*b = *a;
	b->src = "10.2.0.2";
	assert_non_null(lf_pass(f, LF_INSIDE, a));
	assert_non_null(lf_pass(f, LF_INSIDE2, b));
	return f;
}

static void test_flood(void **state)
{
	struct lf_spec a, b;
	struct lf *f = open_flows(&a, &b);
	uint64_t before = f->xsk[LF_INSIDE].rx_packets, rounds = 0;

	(void)state;
	for (int i = 0; i < 200; i++)
		lf_put(f, LF_INSIDE, &a);
	while (f->xsk[LF_INSIDE].rx_packets < before + 200) {
		uint64_t seen = f->xsk[LF_INSIDE2].rx_packets;

		lf_put(f, LF_INSIDE2, &b); /* asks and is answered in every round */
		round_once(f);
		assert_int_equal(f->xsk[LF_INSIDE2].rx_packets, seen + 1);
		assert_in_range(f->xsk[LF_INSIDE].rx_packets - before, 1, 32 * ++rounds);
	}
	assert_int_equal(rounds, 7); /* 6 bursts of 32, and the rest */
	lf_close(f);
}

/* 16 KiB a packet, forty of them: 512 KiB a round, less what a packet costs beside its bytes. */
static void test_bytes(void **state)
{
	struct lf_spec a, b;
	struct lf *f = open_flows(&a, &b);
	uint64_t before = f->xsk[LF_INSIDE].rx_packets;

	(void)state;
	a.payload_len = 16 << 10;
	a.gso_size = 1400;
	for (int i = 0; i < 40; i++)
		lf_put(f, LF_INSIDE, &a);
	round_once(f);
	assert_in_range(f->xsk[LF_INSIDE].rx_packets - before, 28, 29);
	round_once(f);
	assert_int_equal(f->xsk[LF_INSIDE].rx_packets - before, 40);
	lf_close(f);
}

/* After a while without a packet a socket leaves the list that is polled every round; the first
 * packet brings it back. */
static void test_idle(void **state)
{
	struct lf_spec a, b;
	struct lf *f = open_flows(&a, &b);
	uint64_t before = f->xsk[LF_INSIDE2].rx_packets;

	(void)state;
	assert_int_equal(f->lane->active_cnt, 2);
	for (int i = 0; i < 1000; i++)
		round_once(f);
	assert_int_equal(f->lane->active_cnt, 0);
	lf_put(f, LF_INSIDE2, &b);
	for (int i = 0; i < 2 && f->xsk[LF_INSIDE2].rx_packets == before; i++)
		round_once(f);
	assert_int_equal(f->xsk[LF_INSIDE2].rx_packets, before + 1);
	assert_int_equal(f->lane->active_cnt, 1);
	assert_ptr_equal(f->lane->xsks[0], &f->xsk[LF_INSIDE2]);
	lf_close(f);
}

/* ---- handed over by another worker ---- */

/* Packets of frame_cnt full frames; they have no metadata, and end as malformed. */
static void hand_over(struct lf *f, uint32_t cnt, uint32_t frame_cnt, uint32_t len)
{
	struct xe_umem *umem = &f->lane->umem;
	struct xdp_desc descs[XE_PACKET_FRAMES];
	uint32_t frame = 0;

	for (uint32_t n = 0; n < cnt; n++) {
		for (uint32_t i = 0; i < frame_cnt; i++) {
			assert_int_equal(xe_umem_take(umem, &frame, 1), 1);
			descs[i] = (struct xdp_desc){
				.addr = ((uint64_t)frame << XE_FRAME_SHIFT) + XE_FRAME_HEADROOM,
				.len = len,
			};
			memset(xe_umem_ptr(umem, descs[i].addr) - sizeof(struct xe_meta), 0,
			       sizeof(struct xe_meta));
			xe_umem_hand_out(umem, frame);
		}
		assert_true(xe_handoff_put(f->lane->handoff, 1, 0, descs, frame_cnt));
	}
	f->lane->cnt.rx_packets += cnt; /* they count where they were received */
}

static void with_two(void (*run)(struct lf *f))
{
	struct lf *f = lf_open(rules, 1024);
	static struct xe_handoff handoff;

	assert_int_equal(xe_handoff_open(&handoff, 2, LF_FRAMES), 0);
	f->lane->handoff = f->lane->umem.handoff = &handoff;
	f->lane->worker_cnt = 2;
	run(f);
	assert_int_equal(f->lane->umem.lent_cnt, 0);
	lf_close(f);
	xe_handoff_close(&handoff);
}

static void handed_bytes(struct lf *f)
{
	hand_over(f, 20, 16, 4000 - 128); /* 62 KiB each: eight a turn */
	hand_over(f, 50, 1, 64);
	xe_handoff_publish(f->lane->handoff, 1);
	assert_in_range(xe_rx_handed(f->lane, 1), 8, 9);
	assert_in_range(xe_rx_handed(f->lane, 1), 8, 9);
	assert_int_equal(xe_rx_handed(f->lane, 1), 32); /* what is left of them and small ones */
	while (xe_rx_handed(f->lane, 1))
		;
	assert_int_equal(f->lane->cnt.handed_in, 70);
}

static void handed_drain(struct lf *f)
{
	hand_over(f, 300, 1, 64);
	hand_over(f, 40, 16, 3000);
	xe_handoff_publish(f->lane->handoff, 1);
	xe_pipeline_drain_handed(f->lane);
	assert_int_equal(f->lane->cnt.handed_in, 340);
	xe_pipeline_drain_handed(f->lane);
	assert_int_equal(f->lane->cnt.handed_in, 340);
}

static void test_handed_bytes(void **state)
{
	(void)state;
	with_two(handed_bytes);
}

static void test_handed_drain(void **state)
{
	(void)state;
	with_two(handed_drain);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_flood),        cmocka_unit_test(test_bytes),
		cmocka_unit_test(test_idle),         cmocka_unit_test(test_handed_bytes),
		cmocka_unit_test(test_handed_drain),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
