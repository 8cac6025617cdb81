/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "state/nexthop.h"

#include <stdlib.h>
#include <unistd.h>

#include "state/region.h"

/* A millisecond's part of what a full ring has held up; one of 4096 is tidied within 16 turns. */
#define TIDY_BUDGET 256

struct nexthop_key {
	struct xe_addr dst, src;
	uint16_t in_port;
};

int xe_nexthops_open(struct xe_nexthops *t, uint32_t capacity, uint64_t k0, uint64_t k1)
{
	size_t size = (size_t)capacity * sizeof(*t->slots);

	memset(t, 0, sizeof(*t));
	t->slots = xe_region_open(size);
	if (!t->slots)
		return -ENOMEM;
	madvise(t->slots, size, MADV_HUGEPAGE); /* read by each packet out */
	t->capacity = capacity;
	t->free_head = t->free_tail = t->unused_head = XE_NIL;
	t->k0 = k0;
	t->k1 = k1;
	t->ring = calloc(XE_NH_REQUESTS, sizeof(*t->ring));
	if (!t->ring || xe_index_open(&t->index, capacity)) {
		xe_nexthops_close(t);
		return -ENOMEM;
	}
	return 0;
}

void xe_nexthops_close(struct xe_nexthops *t)
{
	xe_region_close(t->slots, (size_t)t->capacity * sizeof(*t->slots));
	xe_index_close(&t->index);
	free(t->ring);
	t->slots = NULL;
	t->ring = NULL;
}

static bool key_equal(const void *table, uint32_t entry, const void *key)
{
	const struct xe_nexthop *nh = &((const struct xe_nexthops *)table)->slots[entry];
	const struct nexthop_key *k = key;

	return !((nh->dst.q[0] ^ k->dst.q[0]) | (nh->dst.q[1] ^ k->dst.q[1]) |
		 (nh->src.q[0] ^ k->src.q[0]) | (nh->src.q[1] ^ k->src.q[1])) &&
	       nh->in_port == k->in_port;
}

static bool request(struct xe_nexthops *t, uint32_t idx, enum xe_nh_op op)
{
	uint32_t head = atomic_load_explicit(&t->head, memory_order_relaxed);

	if (head - atomic_load_explicit(&t->tail, memory_order_acquire) == XE_NH_REQUESTS)
		return false;
	t->ring[head % XE_NH_REQUESTS] = (struct xe_nh_request){.idx = idx, .op = op};
	atomic_store_explicit(&t->head, head + 1, memory_order_release);
	return true;
}

static bool list(struct xe_nexthops *t, uint32_t idx)
{
	if (t->listed_cnt == t->listed_size)
		return false;
	t->listed[t->listed_cnt++] = idx;
	return true;
}

/* A released entry is reused only when the control thread has confirmed; else a fresh one. */
static uint32_t slot_take(struct xe_nexthops *t)
{
	uint32_t idx = t->free_head;

	if (idx != XE_NIL && xe_nexthop_read(&t->slots[idx]).state == XE_NH_UNUSED) {
		t->free_head = t->slots[idx].next_free;
		if (t->free_head == XE_NIL)
			t->free_tail = XE_NIL;
		return idx;
	}
	return t->high < t->capacity ? t->high++ : XE_NIL;
}

static void slot_give(struct xe_nexthops *t, uint32_t idx)
{
	t->slots[idx].next_free = XE_NIL;
	if (t->free_tail != XE_NIL)
		t->slots[t->free_tail].next_free = idx;
	else
		t->free_head = idx;
	t->free_tail = idx;
}

static uint32_t get(struct xe_nexthops *t, const struct nexthop_key *key, uint32_t hash)
{
	uint32_t idx = xe_index_find(&t->index, hash, t, key, key_equal);
	struct xe_nexthop *nh;

	if (idx != XE_NIL || t->only_known || t->cnt == t->capacity)
		return idx;
	idx = slot_take(t);
	if (idx == XE_NIL)
		return idx;
	nh = &t->slots[idx];
	nh->dst = key->dst;
	nh->src = key->src;
	nh->in_port = key->in_port;
	nh->hash = hash;
	nh->refs = 0;
	nh->unused = false;
	/* The control thread does not know this entry until the request is visible. */
	nh->answer = (struct xe_nexthop_answer){.state = XE_NH_ASKED, .port = XE_PORT_NONE};
	nh->listed = t->listed;
	if (!(nh->listed ? list(t, idx) : request(t, idx, XE_NH_OP_RESOLVE))) {
		nh->answer.state = XE_NH_UNUSED;
		slot_give(t, idx);
		return XE_NIL;
	}
	xe_index_put(&t->index, hash, idx);
	t->cnt++;
	return idx;
}

uint32_t xe_nexthop_get(struct xe_nexthops *t, __be32 dst_be, __be32 src_be, uint16_t in_port)
{
	struct nexthop_key key = {
		.dst = xe_addr_v4(dst_be),
		.src = xe_addr_v4(src_be),
		.in_port = in_port,
	};
	struct xe_tuple4 hashed = {.src_be = src_be, .dst_be = dst_be, .port = in_port};

	return get(t, &key, (uint32_t)xe_flow_hash(&hashed, t->k0, t->k1));
}

uint32_t xe_nexthop_get_addr(struct xe_nexthops *t, const struct xe_addr *dst,
			     const struct xe_addr *src, uint16_t in_port)
{
	struct nexthop_key key = {.dst = *dst, .src = *src, .in_port = in_port};
	struct xe_tuple4 hashed = {.port = in_port};

	return get(t, &key, (uint32_t)xe_flow_hash6(&hashed, src, dst, t->k0, t->k1));
}

void xe_nexthop_ref(struct xe_nexthops *t, uint32_t idx)
{
	t->slots[idx].refs++;
}

/* With the ring full it stays, is found by the next flow that needs it, and goes with
 * xe_nexthops_tidy() where none does. */
static bool release(struct xe_nexthops *t, uint32_t idx)
{
	if (!request(t, idx, XE_NH_OP_RELEASE))
		return false;
	xe_index_del(&t->index, t->slots[idx].hash, idx);
	slot_give(t, idx);
	t->cnt--;
	return true;
}

void xe_nexthop_unref(struct xe_nexthops *t, uint32_t idx)
{
	struct xe_nexthop *nh = &t->slots[idx];

	if (--nh->refs || nh->unused || release(t, idx))
		return;
	nh->unused = true;
	nh->next_free = t->unused_head;
	t->unused_head = idx;
}

void xe_nexthops_tidy(struct xe_nexthops *t)
{
	for (int n = 0; n < TIDY_BUDGET && t->unused_head != XE_NIL; n++) {
		uint32_t idx = t->unused_head;
		struct xe_nexthop *nh = &t->slots[idx];
		uint32_t next = nh->next_free;

		if (!nh->refs && !release(t, idx)) /* which makes it a link of the free list */
			return;
		nh->unused = false;
		t->unused_head = next;
	}
}

void xe_nexthop_retry(struct xe_nexthops *t, uint32_t idx, uint32_t now_s)
{
	struct xe_nexthop *nh = &t->slots[idx];

	if (nh->retried_s != now_s && request(t, idx, XE_NH_OP_RETRY))
		nh->retried_s = now_s;
}

void xe_nexthop_retry_now(struct xe_nexthops *t, uint32_t idx)
{
	request(t, idx, XE_NH_OP_RETRY);
}

bool xe_nexthops_next_request(struct xe_nexthops *t, struct xe_nh_request *req)
{
	uint32_t tail = atomic_load_explicit(&t->tail, memory_order_relaxed);

	if (tail == atomic_load_explicit(&t->head, memory_order_acquire))
		return false;
	*req = t->ring[tail % XE_NH_REQUESTS];
	atomic_store_explicit(&t->tail, tail + 1, memory_order_release);
	return true;
}

/* Not sched_yield(): it gives way to equals only. 50 us are a few switches of the scheduler. */
void xe_nexthop_wait(void)
{
	usleep(50);
}

void xe_nexthop_write(struct xe_nexthops *t, uint32_t idx, const struct xe_nexthop_answer *a)
{
	struct xe_nexthop *nh = &t->slots[idx];
	uint32_t word[XE_NH_ANSWER_WORDS];
	uint32_t seq = atomic_load_explicit(&nh->seq, memory_order_relaxed);

	memcpy(word, a, sizeof(word));
	atomic_store_explicit(&nh->seq, seq + 1, memory_order_relaxed);
	for (int i = 0; i < XE_NH_ANSWER_WORDS; i++)
		__atomic_store_n(&nh->answer_word[i], word[i], __ATOMIC_RELEASE);
	atomic_store_explicit(&nh->seq, seq + 2, memory_order_release);
	atomic_fetch_add_explicit(&t->epoch, 1, memory_order_release);
}
