/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_umem_give.c - who holds each frame, told to another process: with as many workers, with more
 * and with fewer, nothing is lost, nothing is free that a socket has, and all comes home.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <cmocka.h>

#include "io/umem_give.h"

#define FRAMES 1024u /* of the area */
#define SLOTS  4u    /* sockets: slot s at old worker s % workers */

/* One process. */
struct side {
	struct xe_area area;
	struct xe_handoff handoff;
	struct xe_umem umems[4];
	struct xe_umem *list[4];
	uint32_t worker_cnt;
	uint32_t fill[SLOTS], tx[SLOTS];
};

static void open_workers(struct side *s)
{
	assert_int_equal(xe_handoff_open(&s->handoff, s->worker_cnt, FRAMES / s->worker_cnt), 0);
	for (uint32_t w = 0; w < s->worker_cnt; w++) {
		assert_int_equal(xe_umem_open_slice(&s->umems[w], &s->area, &s->handoff, w), 0);
		s->handoff.bells[w].fd = eventfd(0, EFD_NONBLOCK);
		s->list[w] = &s->umems[w];
	}
}

static void open_old(struct side *s, uint32_t worker_cnt)
{
	int nodes[4] = {-1, -1, -1, -1};

	memset(s, 0, sizeof(*s));
	s->worker_cnt = worker_cnt;
	assert_int_equal(xe_area_open(&s->area, FRAMES / worker_cnt, nodes, worker_cnt), 0);
	open_workers(s);
}

static void open_new(struct side *s, const struct side *old, uint32_t worker_cnt)
{
	memset(s, 0, sizeof(*s));
	s->worker_cnt = worker_cnt;
	assert_int_equal(xe_area_adopt(&s->area, dup(old->area.fd), FRAMES, worker_cnt), 0);
	open_workers(s);
}

static void close_side(struct side *s)
{
	for (uint32_t w = 0; w < s->worker_cnt; w++) {
		close(s->handoff.bells[w].fd);
		xe_umem_close(&s->umems[w]);
	}
	xe_handoff_close(&s->handoff);
	xe_area_close(&s->area);
}

static void audit(const struct side *s, uint32_t orphan_slot)
{
	for (uint32_t w = 0; w < s->worker_cnt; w++) {
		uint32_t fill = 0, tx = 0;

		for (uint32_t slot = 0; slot < SLOTS; slot++)
			if (slot % s->worker_cnt == w && slot != orphan_slot) {
				fill += s->fill[slot];
				tx += s->tx[slot];
			}
		assert_int_equal(xe_umem_audit(&s->umems[w], fill, tx), 0);
	}
}

/* n frames of a worker to a socket, which may be another worker's: handed over and in. */
static void give_socket(struct side *s, uint32_t from, uint32_t slot, bool tx, uint32_t n)
{
	uint32_t to = slot % s->worker_cnt, frame = 0;

	while (n--) {
		assert_int_equal(xe_umem_take(&s->umems[from], &frame, 1), 1);
		memcpy(xe_umem_ptr(&s->umems[from], (uint64_t)frame << XE_FRAME_SHIFT), &frame,
		       sizeof(frame));
		if (from != to) {
			xe_umem_hand_out(&s->umems[from], frame);
			xe_umem_hand_in(&s->umems[to], frame);
		}
		xe_umem_move(&s->umems[to], frame, XE_HOLDER_HAND, (uint16_t)(slot * 2 + tx));
		s->umems[to].hand_cnt--;
		tx ? s->tx[slot]++ : s->fill[slot]++;
	}
}

/* Some at each socket, own ones and guests, one in hand, one handed over and on its way. */
static void use_frames(struct side *s)
{
	uint32_t frame = 0;

	for (uint32_t slot = 0; slot < SLOTS; slot++) {
		give_socket(s, slot % s->worker_cnt, slot, false, 30 + slot);
		for (uint32_t w = 0; w < s->worker_cnt; w++)
			give_socket(s, w, slot, true, 3 + w);
	}
	assert_int_equal(xe_umem_take(&s->umems[0], &frame, 1), 1);
	if (s->worker_cnt > 1) {
		assert_int_equal(xe_umem_take(&s->umems[0], &frame, 1), 1);
		xe_umem_hand_out(&s->umems[0], frame);
	}
	audit(s, SLOTS);
}

struct owner {
	uint32_t worker_cnt, orphan_slot;
};

static uint32_t owner_of(void *ctx, uint16_t slot)
{
	const struct owner *o = ctx;

	return slot == o->orphan_slot ? UINT32_MAX : slot % o->worker_cnt;
}

/* The sockets give back what they have; all frames are free at last, and hold what they held. */
static void give_back(struct side *s, uint32_t orphan_slot)
{
	uint32_t free_cnt = 0;

	for (uint32_t slot = 0; slot < SLOTS; slot++) {
		struct xe_umem *u = &s->umems[slot % s->worker_cnt];

		if (slot == orphan_slot)
			continue;
		assert_int_equal(xe_umem_reclaim(u, (uint16_t)slot), s->fill[slot] + s->tx[slot]);
		s->fill[slot] = s->tx[slot] = 0;
	}
	for (uint32_t w = 0; w < s->worker_cnt; w++)
		xe_handoff_publish(&s->handoff, w);
	for (uint32_t w = 0; w < s->worker_cnt; w++) {
		while (s->umems[w].lent_cnt)
			xe_umem_collect(&s->umems[w]);
		free_cnt += s->umems[w].free_cnt;
	}
	audit(s, orphan_slot);
	assert_int_equal(free_cnt, FRAMES);
}

static void same_memory(const struct side *s, const uint16_t *given)
{
	for (uint32_t f = 0; f < FRAMES; f++)
		if (given[f] < XE_GIVEN_HELD)
			assert_memory_equal(
				xe_umem_ptr(&s->umems[0], (uint64_t)f << XE_FRAME_SHIFT), &f,
				sizeof(f));
}

static void move(uint32_t old_cnt, uint32_t new_cnt, uint32_t orphan_slot)
{
	struct owner o = {new_cnt, orphan_slot};
	const struct xe_umem *list[4];
	uint16_t given[FRAMES];
	struct side old, new;

	open_old(&old, old_cnt);
	use_frames(&old);
	for (uint32_t w = 0; w < old_cnt; w++)
		list[w] = &old.umems[w];
	xe_umem_export(list, old_cnt, given);
	open_new(&new, &old, new_cnt);
	xe_umem_import(new.list, new_cnt, given, owner_of, &o);
	memcpy(new.fill, old.fill, sizeof(new.fill));
	memcpy(new.tx, old.tx, sizeof(new.tx));
	audit(&new, orphan_slot);
	same_memory(&new, given);
	for (uint32_t w = 0; w < new_cnt && orphan_slot < SLOTS; w++)
		xe_umem_put_orphans(&new.umems[w], given, owner_of, &o);
	give_back(&new, orphan_slot);
	close_side(&new);
	close_side(&old);
}

static void test_same_workers(void **state)
{
	(void)state;
	move(1, 1, SLOTS);
	move(2, 2, SLOTS);
	move(4, 4, SLOTS);
}

static void test_other_workers(void **state)
{
	(void)state;
	move(1, 2, SLOTS);
	move(2, 1, SLOTS);
	move(1, 4, SLOTS);
	move(4, 2, SLOTS);
}

/* A socket that nobody goes on with: its frames are nobody's until it is closed. */
static void test_orphans(void **state)
{
	(void)state;
	move(1, 1, 2);
	move(2, 4, 3);
}

static void test_held(void **state)
{
	struct owner o = {1, SLOTS};
	const struct xe_umem *list[1];
	uint16_t given[FRAMES];
	struct side old, new;
	uint32_t frame = 0;

	(void)state;
	open_old(&old, 1);
	assert_int_equal(xe_umem_take(&old.umems[0], &frame, 1), 1);
	list[0] = &old.umems[0];
	xe_umem_export(list, 1, given);
	assert_int_equal(given[frame], XE_GIVEN_FREE);
	given[frame] = XE_GIVEN_HELD;
	open_new(&new, &old, 1);
	xe_umem_import(new.list, 1, given, owner_of, &o);
	assert_int_equal(new.umems[0].hand_cnt, 1);
	assert_int_equal(new.umems[0].free_cnt, FRAMES - 1);
	xe_umem_put_orphans(&new.umems[0], given, owner_of, &o); /* none of those */
	xe_umem_put(&new.umems[0], frame);
	audit(&new, SLOTS);
	assert_int_equal(new.umems[0].free_cnt, FRAMES);
	close_side(&new);
	close_side(&old);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_same_workers),
		cmocka_unit_test(test_other_workers),
		cmocka_unit_test(test_orphans),
		cmocka_unit_test(test_held),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
