/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * nexthop.h - where packets for a destination go: asked from the kernel once, followed live.
 *
 * One table a worker. The worker makes an entry for (destination, source, inside port) when a new
 * flow needs it, and asks the control thread to resolve it (request ring below). The control thread
 * asks the kernel (RTM_GETROUTE, neighbour table), writes the answer into the entry under its
 * sequence counter, and writes again whenever routes or neighbours change. The worker meanwhile
 * uses what is there. Entries are counted by the sessions that use them; the last one lets go, the
 * control thread confirms that it has forgotten the entry (XE_NH_UNUSED), then it may be used anew.
 *
 *   worker:  make -> request RESOLVE ......... read, read, read ......... request RELEASE
 *   control:             resolve -> write answer; write again on change      -> UNUSED
 */
#ifndef XE_NEXTHOP_H
#define XE_NEXTHOP_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "state/index.h"
#include "xegress/steer_abi.h"

enum xe_nexthop_state {
	XE_NH_UNUSED = 0,   /* free, or released and confirmed */
	XE_NH_ASKED,        /* no answer yet: hold packets */
	XE_NH_READY,        /* mac, port and mtu are good */
	XE_NH_RESOLVING,    /* the neighbour is being resolved: hold packets */
	XE_NH_NO_NEIGHBOUR, /* it did not answer: the kernel's path says so to the sender */
	XE_NH_NO_ROUTE,     /* unreachable, prohibit, blackhole, local, ... */
	XE_NH_NOT_PORT,     /* leaves by an interface that is no port, or is denied */
	XE_NH_LOCAL,        /* an address of this host, on the uplink `port`: for hairpin.c */
};

struct xe_nexthop_answer {
	uint8_t state; /* enum xe_nexthop_state */
	uint8_t mac[6];
	uint16_t port; /* egress port id */
	uint32_t mtu;
	uint32_t masq_ext; /* Ext address index for masquerade by this egress, XE_NIL: none */
};

#define XE_NH_ANSWER_WORDS 5
_Static_assert(sizeof(struct xe_nexthop_answer) == XE_NH_ANSWER_WORDS * sizeof(uint32_t),
	       "copied by the word");

struct xe_nexthop {
	/* Written by the control thread; read under seq, word by word: a word that is read while it
	 * is written is thrown away by the reader, but must not be a data race. */
	_Atomic uint32_t seq; /* odd while being written */
	union {
		struct xe_nexthop_answer answer;
		uint32_t answer_word[XE_NH_ANSWER_WORDS];
	};
	/* Worker's own. */
	uint16_t held; /* packets that wait for it (pipeline/hold.c) */
	bool listed;   /* made without a request, xe_nexthops.listed */
	bool unused;   /* in the list of those that could not be released */
	uint32_t refs;
	uint32_t hash;
	uint32_t next_free; /* or next unused one */
	uint32_t retried_s;
	/* Second line, not for packets. The question, both families in the 128-bit form: written by
	 * the worker before the request, constant while in use, so that the control thread may read
	 * it. */
	struct xe_addr dst __attribute__((aligned(64)));
	struct xe_addr src;
	uint16_t in_port; /* XE_PORT_NONE: from the host; XE_PORT_ANYUPLINK: only where dst is,
			     READY then says nothing of a neighbour */
} __attribute__((aligned(64)));

_Static_assert(offsetof(struct xe_nexthop, dst) == 64, "a packet reads one cache line");

/* Worker to control thread. The ring is as large as a burst of new destinations may be before
 * the control thread, woken, has had a time slice: 4096 at 500 k flows/s are 8 ms. */
#define XE_NH_REQUESTS 4096u
enum xe_nh_op {
	XE_NH_OP_RESOLVE,
	XE_NH_OP_RELEASE,
	XE_NH_OP_RETRY, /* a packet needs it and the neighbour is not there (any more) */
};
struct xe_nh_request {
	uint32_t idx;
	uint32_t op;
};

struct xe_nexthops {
	struct xe_nexthop *slots;
	uint32_t capacity;
	uint32_t cnt;
	uint32_t high;
	uint32_t free_head, free_tail; /* released entries, oldest first */
	uint32_t unused_head;          /* without references, for which the ring had no room */
	struct xe_index index;
	uint64_t k0, k1;
	bool only_known; /* worker: a new entry is not wanted now (xe_nexthop_get) */
	/* A worker call that makes many: new entries are not asked for, but put in the caller's
	 * list, and the control thread asks for them by and by. NULL: asked for. */
	uint32_t *listed;
	uint32_t listed_cnt, listed_size;
	/* request ring: head written by the worker, tail by the control thread */
	struct xe_nh_request *ring;
	_Atomic uint32_t head __attribute__((aligned(64)));
	_Atomic uint32_t tail __attribute__((aligned(64)));
	/* raised by the control thread after every answer: held packets are worth a look */
	_Atomic uint32_t epoch __attribute__((aligned(64)));
};

int xe_nexthops_open(struct xe_nexthops *t, uint32_t capacity, uint64_t k0, uint64_t k1);
void xe_nexthops_close(struct xe_nexthops *t);

/* Worker. The entry for this key, made and asked for when it is new; XE_NIL: table or request ring
 * full, or new and t->only_known. Does not count a reference. */
uint32_t xe_nexthop_get_addr(struct xe_nexthops *t, const struct xe_addr *dst,
			     const struct xe_addr *src, uint16_t in_port);
/* The same for IPv4. */
uint32_t xe_nexthop_get(struct xe_nexthops *t, __be32 dst_be, __be32 src_be, uint16_t in_port);
/* Does any request wait for the control thread? */
static inline bool xe_nexthops_wait(const struct xe_nexthops *t)
{
	return atomic_load_explicit(&t->head, memory_order_acquire) !=
	       atomic_load_explicit(&t->tail, memory_order_relaxed);
}

/* Worker. Has the control thread more than half a ring of requests before it? The other half is
 * left to new flows from inside. */
static inline bool xe_nexthops_are_behind(const struct xe_nexthops *t)
{
	uint32_t head = atomic_load_explicit(&t->head, memory_order_relaxed);

	return head - atomic_load_explicit(&t->tail, memory_order_acquire) > XE_NH_REQUESTS / 2;
}

/* No entry is free, and none will be before a flow ends. */
static inline bool xe_nexthops_are_full(const struct xe_nexthops *t)
{
	return t->cnt == t->capacity && t->unused_head == XE_NIL;
}

/* Worker. References of sessions and held packets; at zero the entry is released. */
void xe_nexthop_ref(struct xe_nexthops *t, uint32_t idx);
void xe_nexthop_unref(struct xe_nexthops *t, uint32_t idx);
/* Worker. Release those for which the request ring had no room, some hundred at a time. */
void xe_nexthops_tidy(struct xe_nexthops *t);
/* Worker. Ask again for an entry whose neighbour is gone; at most once a second, so that packets to
 * a dead one do not fill the ring. */
void xe_nexthop_retry(struct xe_nexthops *t, uint32_t idx, uint32_t now_s);
/* The same at once, for the first of the packets that wait for an answer: as long as one waits the
 * others do not ask, so that this, too, is bounded. */
void xe_nexthop_retry_now(struct xe_nexthops *t, uint32_t idx);
/* Looks at a sequence count that is being written before the reader sleeps: a write takes some
 * nanoseconds, so whoever still waits then keeps the control thread from its CPU (workers have the
 * higher priority), and spinning on would be for ever. */
#define XE_NH_SPINS 100
/* The reader's sleep then. */
void xe_nexthop_wait(void);

/* Worker, per packet: a consistent copy of the answer. The words are loaded with acquire order, so
 * that whoever sees a word of a later answer sees its count, too. */
static inline struct xe_nexthop_answer xe_nexthop_read(const struct xe_nexthop *nh)
{
	union {
		struct xe_nexthop_answer answer;
		uint32_t word[XE_NH_ANSWER_WORDS];
	} copy;
	uint32_t seq, spins = 0;

	do {
		while ((seq = atomic_load_explicit(&nh->seq, memory_order_acquire)) & 1)
			if (__builtin_expect(++spins >= XE_NH_SPINS, 0))
				xe_nexthop_wait();
		for (int i = 0; i < XE_NH_ANSWER_WORDS; i++)
			copy.word[i] = __atomic_load_n(&nh->answer_word[i], __ATOMIC_ACQUIRE);
	} while (atomic_load_explicit(&nh->seq, memory_order_relaxed) != seq);
	return copy.answer;
}

/* Control thread. */
bool xe_nexthops_next_request(struct xe_nexthops *t, struct xe_nh_request *req);
void xe_nexthop_write(struct xe_nexthops *t, uint32_t idx, const struct xe_nexthop_answer *a);

#endif
