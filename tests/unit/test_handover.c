/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_handover.c - to which worker does a packet go whose session is not here, and what becomes of
 * it when that one does not keep up, or stands still? The lane is one of three workers; what it
 * hands over is looked for in the rings.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "lane_fixture.h"
#include "reason_fixture.h"

#define WORKERS 3
#define HASH    0x1234567890abcdefull

static struct xe_handoff handoff;
static uint32_t any_accept;

static int open_workers(void **state)
{
	static const char *const rules[] = {"masquerade", NULL};
	struct lf *f = lf_open(rules, 64);
	struct xe_lane *lane = f->lane;

	assert_int_equal(xe_handoff_open(&handoff, WORKERS, LF_FRAMES), 0);
	lane->handoff = lane->umem.handoff = &handoff;
	lane->any_accept = &any_accept;
	lane->worker_cnt = WORKERS;
	lane->live_all = calloc((size_t)WORKERS * (lane->live.mask + 1), sizeof(*lane->live_all));
	any_accept = 1;
	*state = f;
	return 0;
}

static int close_workers(void **state)
{
	struct lf *f = *state;

	free(f->lane->live_all);
	xe_handoff_close(&handoff);
	f->lane->handoff = f->lane->umem.handoff = NULL;
	f->lane->worker = 0;
	lf_close(f);
	return 0;
}

static void set_tag(struct lf *f, uint32_t worker)
{
	struct xe_live live = f->lane->live;
	bool second;

	live.buckets = f->lane->live_all + (size_t)worker * (live.mask + 1);
	assert_true(xe_live_add(&live, HASH, &second));
}

static void set_block(struct lf *f, uint16_t l4_port, uint32_t worker)
{
	for (uint32_t ext = 0; ext < LF_EXT_CNT; ext++)
		*xe_claims_owner(f->claims, ext, 1, l4_port) = (uint8_t)(worker + 1);
}

/* The worker that a reply goes to, XE_NO_WORKER: none; *meta of the frame as it gets there. */
static uint32_t goes_to(struct lf *f, uint32_t here, enum xe_handed handed, struct xe_meta *meta)
{
	struct xe_lane *lane = f->lane;
	struct xe_packet p = {.role = XE_ROLE_UPLINK, .in_port = LF_UPLINK, .handed = handed};
	uint32_t frame = 0, to = XE_NO_WORKER;

	assert_int_equal(xe_umem_take(&lane->umem, &frame, 1), 1);
	lane->worker = (uint16_t)here;
	p.hash = HASH;
	p.proto = IPPROTO_UDP;
	p.frame_cnt = 1;
	p.frames[0] = (struct xdp_desc){.addr = (uint64_t)frame * XE_FRAME_SIZE + 256, .len = 60};
	p.l2 = xe_umem_ptr(&lane->umem, p.frames[0].addr);
	memset(p.l2 - sizeof(*meta), 0, sizeof(*meta) + 60);
	p.key = (struct xe_tuple4){
		.src_be = inet_addr("198.51.100.9"),
		.dst_be = inet_addr("192.0.2.1"),
		.dport_be = htons(5000),
		.port = XE_PORT_ANYUPLINK,
		.proto = IPPROTO_UDP,
	};
	memcpy(p.l2 + XE_L3_OFF + XE_IP_DST, &p.key.dst_be, 4);
	if (!xe_handover(lane, &p)) {
		xe_packet_release(lane, &p);
		return to;
	}
	xe_handoff_publish(&handoff, here);
	for (uint32_t w = 0; w < WORKERS; w++) {
		if (w == here || !xe_handoff_avail(&handoff, here, w))
			continue;
		to = w;
		memcpy(meta,
		       xe_umem_ptr(&lane->umem, xe_handoff_desc(&handoff, here, w, 0)->addr) -
			       sizeof(*meta),
		       sizeof(*meta));
		xe_handoff_release(&handoff, here, w, 1);
	}
	return to;
}

/* The block says one worker, and a tag another, below it. */
static void test_tag_below_the_block(void **state)
{
	struct lf *f = *state;
	struct xe_meta meta = {};

	set_block(f, 5000, 2);
	set_tag(f, 0);
	assert_int_equal(goes_to(f, 1, XE_HANDED_NOT, &meta), 2);
	assert_true(meta.flags & XE_META_BY_BLOCK);
	assert_int_equal(goes_to(f, 2, XE_HANDED_BY_BLOCK, &meta), 0);
	assert_false(meta.flags & XE_META_BY_BLOCK);
	assert_int_equal(goes_to(f, 0, XE_HANDED_IN, &meta), XE_NO_WORKER);
}

/* Tags that are other tuples': upwards, and then it has been everywhere. */
static void test_tags_end(void **state)
{
	struct lf *f = *state;
	struct xe_meta meta = {};

	for (uint32_t w = 0; w < WORKERS; w++)
		set_tag(f, w);
	assert_int_equal(goes_to(f, 2, XE_HANDED_NOT, &meta), 0);
	assert_int_equal(goes_to(f, 0, XE_HANDED_IN, &meta), 1);
	assert_int_equal(goes_to(f, 1, XE_HANDED_IN, &meta), 2);
	assert_int_equal(goes_to(f, 2, XE_HANDED_IN, &meta), XE_NO_WORKER);
	any_accept = 0;
	assert_int_equal(goes_to(f, 2, XE_HANDED_NOT, &meta), XE_NO_WORKER);
}

/* ---- the other worker does not take it ---- */

static const struct lf_spec back = {
	.src = "198.51.100.9", .sport = 7, .dst = "192.0.2.1", .dport = 5000, .payload_len = 50};

/* A packet from outside counts so, and nothing goes to another worker. */
static void ends_as(struct lf *f, const struct lf_spec *spec, enum xe_worker_reason reason)
{
	uint64_t out = f->lane->cnt.handed_out;

	rf_mark(f->lane);
	lf_put(f, LF_UPLINK, spec);
	lf_poll(f);
	rf_expect(f->lane, reason, 1);
	assert_int_equal(f->lane->cnt.handed_out, out);
	assert_int_equal(f->sent_cnt, 0);
}

static void test_full_ring(void **state)
{
	struct lf *f = *state;
	struct xdp_desc d = {.len = 60};
	uint32_t n = 0;

	set_block(f, 5000, 2);
	while (xe_handoff_put(&handoff, 0, 2, &d, 1)) /* of packets that are none of the lane's */
		n++;
	assert_int_equal(n, XE_HANDOFF_SIZE);
	ends_as(f, &back, XE_R_HANDOVER_FULL);
}

/* Translated flows nobody else can carry; what is not translated, the kernel can. */
static void test_stalled_owner(void **state)
{
	struct lf *f = *state;
	const struct lf_ring *rx = &f->rings[LF_UPLINK * 4 + 1];
	struct xe_live live = f->lane->live;
	struct lf_spec plain = back;
	struct xe_meta meta;
	char punted[2048];
	bool second;

	set_block(f, 5000, 2);
	f->lane->stalled = 1u << 2;
	ends_as(f, &back, XE_R_OWNER_STALLED);
	plain.dst = "10.1.0.2";
	rf_mark(f->lane);
	lf_put(f, LF_UPLINK, &plain);
	memcpy(&meta,
	       xe_umem_ptr(&f->lane->umem, rx->descs[(rx->producer - 1) % LF_RING].addr) -
		       sizeof(meta),
	       sizeof(meta));
	live.buckets = f->lane->live_all + 2 * (size_t)(live.mask + 1);
	assert_true(xe_live_add(&live, meta.flow_hash, &second));
	lf_poll(f);
	rf_expect(f->lane, XE_R_P_OWNER_STALLED, 1);
	assert_true(recv(f->punt_fd, punted, sizeof(punted), MSG_DONTWAIT) > 0);
	f->lane->stalled = 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_tag_below_the_block, open_workers,
						close_workers),
		cmocka_unit_test_setup_teardown(test_tags_end, open_workers, close_workers),
		cmocka_unit_test_setup_teardown(test_full_ring, open_workers, close_workers),
		cmocka_unit_test_setup_teardown(test_stalled_owner, open_workers, close_workers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
