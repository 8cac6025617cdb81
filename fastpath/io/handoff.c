/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "io/handoff.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Zeroed memory that is paid for as it is touched. */
static void *lazy_memory(size_t size)
{
	void *m = mmap(NULL, size, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return m == MAP_FAILED ? NULL : m;
}

int xe_handoff_open(struct xe_handoff *h, uint32_t worker_cnt, uint32_t frame_cnt)
{
	uint32_t pair_cnt = worker_cnt * worker_cnt;

	memset(h, 0, sizeof(*h));
	h->worker_cnt = worker_cnt;
	h->return_size = 1;
	while (h->return_size < frame_cnt)
		h->return_size *= 2;
	for (uint32_t i = 0; i < XE_MAX_WORKERS; i++)
		h->bells[i].fd = -1;
	h->pairs = lazy_memory(pair_cnt * sizeof(*h->pairs));
	if (!h->pairs)
		return -ENOMEM;
	for (uint32_t i = 0; i < pair_cnt; i++) {
		struct xe_handoff_pair *p = &h->pairs[i];

		if (i / worker_cnt == i % worker_cnt)
			continue;
		p->descs = lazy_memory(XE_HANDOFF_SIZE * sizeof(*p->descs));
		p->frames = lazy_memory(h->return_size * sizeof(*p->frames));
		if (!p->descs || !p->frames) {
			xe_handoff_close(h);
			return -ENOMEM;
		}
	}
	return 0;
}

void xe_handoff_close(struct xe_handoff *h)
{
	uint32_t pair_cnt = h->pairs ? h->worker_cnt * h->worker_cnt : 0;

	for (uint32_t i = 0; i < pair_cnt; i++) {
		if (h->pairs[i].descs)
			munmap(h->pairs[i].descs, XE_HANDOFF_SIZE * sizeof(*h->pairs[i].descs));
		if (h->pairs[i].frames)
			munmap(h->pairs[i].frames, h->return_size * sizeof(*h->pairs[i].frames));
	}
	if (h->pairs)
		munmap(h->pairs, pair_cnt * sizeof(*h->pairs));
	memset(h, 0, sizeof(*h));
}

bool xe_handoff_put(struct xe_handoff *h, uint32_t from, uint32_t to, const struct xdp_desc *descs,
		    uint32_t n)
{
	struct xe_handoff_pair *p = xe_handoff_pair(h, from, to);
	struct xe_spsc *r = &p->packets;

	if (r->next + n - r->tail_seen > XE_HANDOFF_SIZE) {
		r->tail_seen = atomic_load_explicit(&r->tail, memory_order_acquire);
		if (r->next + n - r->tail_seen > XE_HANDOFF_SIZE)
			return false;
	}
	for (uint32_t i = 0; i < n; i++) {
		struct xdp_desc *d = &p->descs[(r->next + i) & (XE_HANDOFF_SIZE - 1)];

		*d = descs[i];
		d->options = i + 1 < n ? XDP_PKT_CONTD : 0;
	}
	r->next += n;
	h->bells[from].packets_for |= 1u << to;
	return true;
}

void xe_handoff_return(struct xe_handoff *h, uint32_t from, uint32_t to, uint32_t frame)
{
	struct xe_handoff_pair *p = xe_handoff_pair(h, from, to);

	p->frames[p->returns.next++ & (h->return_size - 1)] = frame;
	h->bells[from].returns_for |= 1u << to;
}

static void ring_bell(struct xe_bell *bell, uint32_t least)
{
	uint64_t one = 1;

	if (atomic_load_explicit(&bell->state, memory_order_relaxed) < least)
		return;
	/* Whoever finds it asleep first writes. */
	if (atomic_exchange_explicit(&bell->state, XE_BELL_AWAKE, memory_order_acq_rel) ==
	    XE_BELL_AWAKE)
		return;
	if (write(bell->fd, &one, sizeof(one)) < 0)
		return; /* full counter: it wakes anyway */
}

void xe_handoff_publish(struct xe_handoff *h, uint32_t from)
{
	struct xe_bell *me = &h->bells[from];
	uint32_t packets_for = me->packets_for, returns_for = me->returns_for;

	if (!(packets_for | returns_for))
		return;
	me->packets_for = me->returns_for = 0;
	/* Stores and the looks at the bells in one order for all (seq_cst, as in
	 * xe_handoff_may_sleep()), or both sides could miss the other. */
	for (uint32_t m = packets_for; m; m &= m - 1) {
		struct xe_spsc *r = &xe_handoff_pair(h, from, (uint32_t)__builtin_ctz(m))->packets;

		atomic_store(&r->head, r->next);
	}
	for (uint32_t m = returns_for; m; m &= m - 1) {
		struct xe_spsc *r = &xe_handoff_pair(h, from, (uint32_t)__builtin_ctz(m))->returns;

		atomic_store(&r->head, r->next);
	}
	for (uint32_t m = packets_for | returns_for; m; m &= m - 1) {
		uint32_t to = (uint32_t)__builtin_ctz(m);

		if (atomic_load(&h->bells[to].state) != XE_BELL_AWAKE)
			ring_bell(&h->bells[to],
				  packets_for >> to & 1 ? XE_BELL_ASLEEP : XE_BELL_HUNGRY);
	}
}

void xe_handoff_release(struct xe_handoff *h, uint32_t from, uint32_t to, uint32_t n)
{
	struct xe_spsc *r = &xe_handoff_pair(h, from, to)->packets;

	r->taken += n;
	atomic_store_explicit(&r->tail, r->taken, memory_order_release);
}

uint32_t xe_handoff_collect(struct xe_handoff *h, uint32_t from, uint32_t to, uint32_t *frames,
			    uint32_t max)
{
	struct xe_handoff_pair *p = xe_handoff_pair(h, from, to);
	struct xe_spsc *r = &p->returns;
	uint32_t n = atomic_load_explicit(&r->head, memory_order_acquire) - r->taken;

	if (n > max)
		n = max;
	for (uint32_t i = 0; i < n; i++)
		frames[i] = p->frames[(r->taken + i) & (h->return_size - 1)];
	r->taken += n; /* no tail: the writer never runs out of room */
	return n;
}

bool xe_handoff_may_sleep(struct xe_handoff *h, uint32_t worker, bool hungry)
{
	struct xe_bell *bell = &h->bells[worker];

	atomic_store(&bell->state, hungry ? XE_BELL_HUNGRY : XE_BELL_ASLEEP);
	for (uint32_t from = 0; from < h->worker_cnt; from++) {
		struct xe_handoff_pair *p = xe_handoff_pair(h, from, worker);

		if (from == worker)
			continue;
		if (atomic_load(&p->packets.head) != p->packets.taken ||
		    (hungry && atomic_load(&p->returns.head) != p->returns.taken)) {
			xe_handoff_awake(h, worker);
			return false;
		}
	}
	return true;
}
