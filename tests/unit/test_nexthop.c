/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_nexthop.c - the next-hop table between its two threads: requests, answers, release and
 * reuse. Build it with -fsanitize=thread, too: the protocol must do without a data race.
 */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>
#include <cmocka.h>

#include "packet_fixture.h"
#include "state/nexthop.h"

#define CAPACITY 64u

static int open_table(void **state)
{
	static struct xe_nexthops t;

	*state = &t;
	return xe_nexthops_open(&t, CAPACITY, lf_random(), lf_random());
}

static int close_table(void **state)
{
	xe_nexthops_close(*state);
	xe_nexthops_close(*state);
	return 0;
}

static void expect_request(struct xe_nexthops *t, uint32_t op, uint32_t idx)
{
	struct xe_nh_request req;

	assert_true(xe_nexthops_next_request(t, &req));
	assert_int_equal(req.op, op);
	assert_int_equal(req.idx, idx);
}

static void expect_no_request(struct xe_nexthops *t)
{
	struct xe_nh_request req;

	assert_false(xe_nexthops_next_request(t, &req));
}

static void write_state(struct xe_nexthops *t, uint32_t idx, uint8_t state)
{
	struct xe_nexthop_answer a = {.state = state, .port = 7, .mtu = 1500};

	xe_nexthop_write(t, idx, &a);
}

static void test_made_asked_found(void **state)
{
	struct xe_nexthops *t = *state;
	uint32_t a = xe_nexthop_get(t, 1, 2, 3), epoch = t->epoch;

	assert_int_not_equal(a, XE_NIL);
	assert_int_equal(xe_nexthop_get(t, 1, 2, 3), a);
	expect_request(t, XE_NH_OP_RESOLVE, a);
	expect_no_request(t);
	assert_int_equal(t->slots[a].dst.w_be[3], 1);
	assert_int_equal(t->slots[a].src.w_be[3], 2);
	assert_int_equal(t->slots[a].in_port, 3);
	assert_int_equal(xe_nexthop_read(&t->slots[a]).state, XE_NH_ASKED);
	/* each part of the key counts */
	assert_int_not_equal(xe_nexthop_get(t, 2, 2, 3), a);
	assert_int_not_equal(xe_nexthop_get(t, 1, 3, 3), a);
	assert_int_not_equal(xe_nexthop_get(t, 1, 2, 4), a);
	assert_int_equal(t->cnt, 4);
	write_state(t, a, XE_NH_READY);
	assert_int_not_equal(t->epoch, epoch);
	assert_int_equal(xe_nexthop_read(&t->slots[a]).state, XE_NH_READY);
	assert_int_equal(xe_nexthop_read(&t->slots[a]).port, 7);
	assert_int_equal(xe_nexthop_read(&t->slots[a]).mtu, 1500);
}

/* The last reference releases; until that is confirmed, another slot is used. */
static void test_release_confirm_reuse(void **state)
{
	struct xe_nexthops *t = *state;
	uint32_t a = xe_nexthop_get(t, 1, 2, 3), b, c;

	xe_nexthop_ref(t, a);
	xe_nexthop_ref(t, a);
	write_state(t, a, XE_NH_READY);
	xe_nexthop_unref(t, a);
	assert_int_equal(xe_nexthop_get(t, 1, 2, 3), a);
	xe_nexthop_unref(t, a);
	assert_int_equal(t->cnt, 0);
	expect_request(t, XE_NH_OP_RESOLVE, a);
	expect_request(t, XE_NH_OP_RELEASE, a);
	/* the same key again, at once: a new entry, not the old answer */
	b = xe_nexthop_get(t, 1, 2, 3);
	assert_int_not_equal(b, a);
	expect_request(t, XE_NH_OP_RESOLVE, b);
	assert_int_equal(xe_nexthop_read(&t->slots[b]).state, XE_NH_ASKED);
	write_state(t, a,
		    XE_NH_READY); /* a late answer, before the control thread saw the release */
	assert_int_not_equal(xe_nexthop_get(t, 9, 9, 9), a);
	write_state(t, a, XE_NH_UNUSED);
	c = xe_nexthop_get(t, 8, 8, 8);
	assert_int_equal(c, a);
	assert_int_equal(xe_nexthop_read(&t->slots[c]).state, XE_NH_ASKED);
}

/* All slots released and none confirmed: nothing to give; confirmed ones in the order of release.
 */
static void test_capacity(void **state)
{
	struct xe_nexthops *t = *state;
	struct xe_nh_request req;
	uint32_t idx[CAPACITY];

	for (uint32_t i = 0; i < CAPACITY; i++) {
		idx[i] = xe_nexthop_get(t, i, 0, 0);
		assert_int_not_equal(idx[i], XE_NIL);
		xe_nexthop_ref(t, idx[i]);
	}
	assert_int_equal(xe_nexthop_get(t, CAPACITY, 0, 0), XE_NIL);
	assert_int_equal(xe_nexthop_get(t, 5, 0, 0), idx[5]);
	for (uint32_t i = 0; i < CAPACITY; i++) {
		write_state(t, idx[i], XE_NH_READY);
		xe_nexthop_unref(t, idx[i]);
	}
	assert_int_equal(t->cnt, 0);
	assert_int_equal(xe_nexthop_get(t, 1, 1, 1), XE_NIL);
	while (xe_nexthops_next_request(t, &req))
		if (req.op == XE_NH_OP_RELEASE)
			write_state(t, req.idx, XE_NH_UNUSED);
	for (uint32_t i = 0; i < CAPACITY; i++)
		assert_int_equal(xe_nexthop_get(t, i, 1, 1), idx[i]);
	assert_int_equal(xe_nexthop_get(t, 1, 2, 3), XE_NIL);
}

static void fill_ring(struct xe_nexthops *t, uint32_t idx)
{
	for (uint32_t n = 1; n <= XE_NH_REQUESTS; n++)
		xe_nexthop_retry(t, idx, n + t->slots[idx].retried_s);
}

static void empty_ring(struct xe_nexthops *t)
{
	struct xe_nh_request req;

	while (xe_nexthops_next_request(t, &req))
		;
}

/* What could not be released goes when there is room, but for what has been taken again. */
static void test_tidy(void **state)
{
	struct xe_nexthops *t = *state;
	uint32_t idx[4];

	for (uint32_t i = 0; i < 4; i++) {
		idx[i] = xe_nexthop_get(t, i + 1, 1, 1);
		xe_nexthop_ref(t, idx[i]);
	}
	fill_ring(t, idx[0]);
	for (uint32_t i = 1; i < 4; i++)
		xe_nexthop_unref(t, idx[i]);
	xe_nexthops_tidy(t);
	assert_int_equal(t->cnt, 4);
	xe_nexthop_ref(t, idx[2]);
	xe_nexthop_unref(t, idx[2]); /* in the list once */
	xe_nexthop_ref(t, idx[2]);
	empty_ring(t);
	xe_nexthops_tidy(t);
	expect_request(t, XE_NH_OP_RELEASE, idx[3]);
	expect_request(t, XE_NH_OP_RELEASE, idx[1]);
	assert_int_equal(t->cnt, 2);
	assert_int_equal(t->unused_head, XE_NIL);
	assert_int_equal(xe_nexthop_get(t, 3, 1, 1), idx[2]);
	xe_nexthop_unref(t, idx[2]);
	expect_request(t, XE_NH_OP_RELEASE, idx[2]);
	assert_int_equal(t->cnt, 1);
}

/* With the ring full nothing new is made, and nothing is lost: what could not be released is found
 * again, and goes with its next last reference. */
static void test_ring_full(void **state)
{
	struct xe_nexthops *t = *state;
	struct xe_nh_request req;
	uint32_t a = xe_nexthop_get(t, 1, 1, 1), b, n = 1;

	xe_nexthop_ref(t, a);
	write_state(t, a, XE_NH_READY);
	for (; n < XE_NH_REQUESTS + 5; n++)
		xe_nexthop_retry(t, a, n);
	assert_int_equal(xe_nexthop_get(t, 2, 2, 2), XE_NIL);
	assert_int_equal(t->cnt, 1);
	xe_nexthop_unref(t, a);
	assert_int_equal(xe_nexthop_get(t, 1, 1, 1), a);
	assert_int_equal(xe_nexthop_read(&t->slots[a]).state, XE_NH_READY);
	expect_request(t, XE_NH_OP_RESOLVE, a);
	for (n = 1; xe_nexthops_next_request(t, &req); n++)
		assert_int_equal(req.op, XE_NH_OP_RETRY);
	assert_int_equal(n, XE_NH_REQUESTS);
	xe_nexthop_ref(t, a);
	xe_nexthop_unref(t, a);
	xe_nexthops_tidy(t);
	expect_request(t, XE_NH_OP_RELEASE, a);
	b = xe_nexthop_get(t, 2, 2, 2);
	assert_int_not_equal(b, XE_NIL);
	expect_request(t, XE_NH_OP_RESOLVE, b);
}

/* ---- two threads ---- */

/* An answer of which every field follows from one number: a mixture of two is seen at once. */
static struct xe_nexthop_answer numbered(uint32_t n)
{
	struct xe_nexthop_answer a = {.state = XE_NH_READY,
				      .port = (uint16_t)(n * 7),
				      .mtu = n * 2654435761u,
				      .masq_ext = ~n};

	memset(a.mac, (uint8_t)n, sizeof(a.mac));
	return a;
}

static void expect_answer(const struct xe_nexthop_answer *got, const struct xe_nexthop_answer *want)
{
	assert_int_equal(got->state, want->state);
	assert_memory_equal(got->mac, want->mac, sizeof(got->mac));
	assert_int_equal(got->port, want->port);
	assert_int_equal(got->mtu, want->mtu);
	assert_int_equal(got->masq_ext, want->masq_ext);
}

struct shared {
	struct xe_nexthops *t;
	uint32_t idx;
	_Atomic bool stop;
	uint32_t writes;
	_Atomic uint32_t released;
};

static void *writer(void *arg)
{
	struct shared *sh = arg;

	while (!atomic_load(&sh->stop)) {
		struct xe_nexthop_answer a = numbered(++sh->writes);

		xe_nexthop_write(sh->t, sh->idx, &a);
		if (sh->writes % 64 == 0)
			sched_yield();
	}
	return NULL;
}

static void test_reads_are_consistent(void **state)
{
	struct shared sh = {.t = *state};
	uint32_t changes = 0, last = 0;
	struct xe_nexthop_answer a;
	pthread_t thread;

	sh.idx = xe_nexthop_get(sh.t, 1, 1, 1);
	a = numbered(0);
	xe_nexthop_write(sh.t, sh.idx, &a);
	assert_int_equal(pthread_create(&thread, NULL, writer, &sh), 0);
	for (uint32_t i = 0; i < 2000000; i++) {
		struct xe_nexthop_answer got = xe_nexthop_read(&sh.t->slots[sh.idx]);
		struct xe_nexthop_answer want = numbered(~got.masq_ext);

		expect_answer(&got, &want);
		assert_true(~got.masq_ext >= last); /* never back in time */
		changes += ~got.masq_ext != last;
		last = ~got.masq_ext;
		if (i % 65536 == 0)
			sched_yield();
	}
	atomic_store(&sh.stop, true);
	pthread_join(thread, NULL);
	assert_true(changes > 10);
}

struct waiter {
	const struct xe_nexthop *nh;
	struct xe_nexthop_answer got;
	long sleeps; /* how often it gave up its CPU of its own will */
};

static void *wait_for_answer(void *arg)
{
	struct waiter *w = arg;
	struct rusage usage;

	w->got = xe_nexthop_read(w->nh);
	getrusage(RUSAGE_THREAD, &usage);
	w->sleeps = usage.ru_nvcsw;
	return NULL;
}

/* The control thread is preempted in the middle of a write, by a worker of higher priority on its
 * CPU: that worker must let it go on. */
static void test_reader_sleeps(void **state)
{
	struct xe_nexthops *t = *state;
	uint32_t idx = xe_nexthop_get(t, 1, 1, 1);
	struct xe_nexthop *nh = &t->slots[idx];
	struct waiter w = {.nh = nh};
	pthread_t thread;

	write_state(t, idx, XE_NH_READY);
	atomic_fetch_add(&nh->seq, 1);
	assert_int_equal(pthread_create(&thread, NULL, wait_for_answer, &w), 0);
	usleep(50000);
	atomic_fetch_add(&nh->seq, 1);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(w.got.state, XE_NH_READY);
	assert_true(w.sleeps >= 10);
}

/* The control thread's side: knows entries from RESOLVE to RELEASE, writes to those at any time and
 * never to others. What it knows, it notes by the number it reads in the entry's key. */
static void *control(void *arg)
{
	struct shared *sh = arg;
	uint32_t known[CAPACITY] = {}, turn = 0;
	struct xe_nh_request req;

	while (!atomic_load(&sh->stop)) {
		struct xe_nexthop_answer a = {.state = XE_NH_UNUSED};

		if (!xe_nexthops_next_request(sh->t, &req)) {
			turn = (turn + 1) % CAPACITY;
			a = numbered(known[turn]);
			if (known[turn]) /* "the route has changed" */
				xe_nexthop_write(sh->t, turn, &a);
			sched_yield();
			continue;
		}
		if (req.op == XE_NH_OP_RESOLVE) {
			known[req.idx] = sh->t->slots[req.idx].dst.w_be[3];
			a = numbered(known[req.idx]);
			xe_nexthop_write(sh->t, req.idx, &a);
		} else if (req.op == XE_NH_OP_RELEASE) {
			known[req.idx] = 0;
			xe_nexthop_write(sh->t, req.idx, &a);
			atomic_fetch_add(&sh->released, 1);
		}
	}
	return NULL;
}

/* A worker that makes and drops entries all the time never sees the answer of another key. */
static void test_reuse_under_load(void **state)
{
	struct shared sh = {.t = *state};
	uint32_t idx[CAPACITY], dst[CAPACITY], cnt = 0, next = 1, made = 0, answered = 0;
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, control, &sh), 0);
	/* A busy machine may let the other thread wait for all of the first rounds. */
	for (uint32_t i = 0;
	     i < 60000 || (i < 20000000 && (made <= CAPACITY * 4 || answered <= 100)); i++) {
		uint32_t n = (uint32_t)(lf_random() >> 40) % CAPACITY;

		if (n >= cnt && cnt < CAPACITY) {
			idx[cnt] = xe_nexthop_get(sh.t, next, next, 1);
			if (idx[cnt] != XE_NIL) {
				xe_nexthop_ref(sh.t, idx[cnt]);
				dst[cnt++] = next++;
				made++;
			}
		} else if (i & 1) {
			xe_nexthop_unref(sh.t, idx[n]);
			idx[n] = idx[--cnt];
			dst[n] = dst[cnt];
		} else {
			struct xe_nexthop_answer got = xe_nexthop_read(&sh.t->slots[idx[n]]);
			struct xe_nexthop_answer want = numbered(dst[n]);

			assert_int_not_equal(got.state, XE_NH_UNUSED);
			if (got.state == XE_NH_ASKED)
				continue;
			answered++;
			expect_answer(&got, &want);
		}
		if (i % 64 == 0)
			sched_yield();
	}
	while (cnt)
		xe_nexthop_unref(sh.t, idx[--cnt]);
	for (int i = 0; i < 10000000 && atomic_load(&sh.released) != made; i++)
		sched_yield();
	atomic_store(&sh.stop, true);
	pthread_join(thread, NULL);
	assert_int_equal(sh.released, made);
	assert_int_equal(sh.t->cnt, 0);
	assert_true(made > CAPACITY * 4); /* slots have been used again and again */
	assert_true(answered > 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_made_asked_found, open_table, close_table),
		cmocka_unit_test_setup_teardown(test_release_confirm_reuse, open_table,
						close_table),
		cmocka_unit_test_setup_teardown(test_capacity, open_table, close_table),
		cmocka_unit_test_setup_teardown(test_ring_full, open_table, close_table),
		cmocka_unit_test_setup_teardown(test_tidy, open_table, close_table),
		cmocka_unit_test_setup_teardown(test_reads_are_consistent, open_table, close_table),
		cmocka_unit_test_setup_teardown(test_reader_sleeps, open_table, close_table),
		cmocka_unit_test_setup_teardown(test_reuse_under_load, open_table, close_table),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
