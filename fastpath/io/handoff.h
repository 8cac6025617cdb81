/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * handoff.h - packets that change the worker, and the way home of their frames.
 *
 * Two rings for each ordered pair of workers, each with one writer and one reader:
 *
 *      worker A (received it)                              worker B (owns the flow)
 *
 *      rx: IN HAND --put--> [ packets A to B ] --get--> IN HAND --> tx ring, AF_PACKET, drop
 *             LENT                                      guest            |
 *      FREE <--collect----- [ returns B to A ] <--------- done with it --'
 *
 *      head, next, tail_seen: the writer's     tail, taken, head_seen: the reader's
 *
 * A packet travels as its descriptors (address and length of each frame, XDP_PKT_CONTD on all but
 * the last); the metadata in front of its first frame travels with it. All workers see the same
 * memory (umem.h), so nothing is copied. What is put becomes visible with xe_handoff_publish(),
 * once for many packets, and only then is a worker that sleeps woken: at most one system call a
 * batch, none while it is awake.
 *
 * A return ring has room for all frames of its reader's slice, so a frame can always go home. A
 * full packet ring is loss, which the sender counts (XE_R_HANDOVER_FULL).
 */
#ifndef XE_HANDOFF_H
#define XE_HANDOFF_H

#include <linux/if_xdp.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "xegress/types.h"

/* Debian 12's headers are older than the kernels we run on; xsk.h uses it, too. Kernel 6.6. */
#ifndef XDP_PKT_CONTD
#define XDP_PKT_CONTD (1 << 0) /* descriptor: the packet goes on in the next one */
#endif

/* Descriptors on their way between two workers: twice an rx ring, since the reader may be in a
 * round over its own sockets while the writer empties one ring after the other. */
#define XE_HANDOFF_SIZE 4096u

/* Indices count up for ever; the ring is as large as a power of two says. */
struct xe_spsc {
	_Atomic uint32_t head __attribute__((aligned(64))); /* writer: published up to here */
	uint32_t next;                                      /* writer: written up to here */
	uint32_t tail_seen;                                 /* writer's last look at tail */
	_Atomic uint32_t tail __attribute__((aligned(64))); /* reader: free again up to here */
	uint32_t taken;                                     /* reader: read up to here */
};

struct xe_handoff_pair {
	struct xe_spsc packets; /* from -> to */
	struct xe_spsc returns; /* from -> to: frames of `to` */
	struct xdp_desc *descs; /* XE_HANDOFF_SIZE */
	uint32_t *frames;       /* xe_handoff.return_size */
};

/* A worker says how it sleeps, who has something for it wakes it. */
enum xe_bell_state {
	XE_BELL_AWAKE = 0,
	XE_BELL_ASLEEP, /* packets wake it */
	XE_BELL_HUNGRY, /* short of frames: its frames wake it, too */
};
struct xe_bell {
	_Atomic uint32_t state __attribute__((aligned(64)));
	int fd; /* eventfd, not owned */
	/* The writer's own: for whom is something unpublished? One bit a worker. */
	uint32_t packets_for __attribute__((aligned(64)));
	uint32_t returns_for;
};

struct xe_handoff {
	uint32_t worker_cnt;
	uint32_t return_size;
	struct xe_handoff_pair *pairs; /* from * worker_cnt + to */
	struct xe_bell bells[XE_MAX_WORKERS];
};

/* Rings for worker_cnt workers with slices of frame_cnt frames. 0 or -ENOMEM. */
int xe_handoff_open(struct xe_handoff *h, uint32_t worker_cnt, uint32_t frame_cnt);
void xe_handoff_close(struct xe_handoff *h);

static inline struct xe_handoff_pair *xe_handoff_pair(struct xe_handoff *h, uint32_t from,
						      uint32_t to)
{
	return &h->pairs[from * h->worker_cnt + to];
}

/* Writer. One packet of n frames; false: no room. Not to be seen before xe_handoff_publish(). */
bool xe_handoff_put(struct xe_handoff *h, uint32_t from, uint32_t to, const struct xdp_desc *descs,
		    uint32_t n);
/* Writer. One frame home to its owner; there is always room. */
void xe_handoff_return(struct xe_handoff *h, uint32_t from, uint32_t to, uint32_t frame);
/* Writer. Make visible what was put and returned, and wake who sleeps. */
void xe_handoff_publish(struct xe_handoff *h, uint32_t from);

/* Reader. Descriptors there are from `from`: whole packets only. */
static inline uint32_t xe_handoff_avail(struct xe_handoff *h, uint32_t from, uint32_t to)
{
	struct xe_spsc *r = &xe_handoff_pair(h, from, to)->packets;

	return atomic_load_explicit(&r->head, memory_order_acquire) - r->taken;
}

/* Reader. Descriptors read in all; wraps. */
static inline uint32_t xe_handoff_taken(struct xe_handoff *h, uint32_t from, uint32_t to)
{
	return xe_handoff_pair(h, from, to)->packets.taken;
}

/* Reader. The i-th one not read yet. */
static inline const struct xdp_desc *xe_handoff_desc(struct xe_handoff *h, uint32_t from,
						     uint32_t to, uint32_t i)
{
	struct xe_handoff_pair *p = xe_handoff_pair(h, from, to);

	return &p->descs[(p->packets.taken + i) & (XE_HANDOFF_SIZE - 1)];
}

/* Reader. n of them have been read. */
void xe_handoff_release(struct xe_handoff *h, uint32_t from, uint32_t to, uint32_t n);
/* Reader. Up to max of its own frames that `from` has sent home. */
uint32_t xe_handoff_collect(struct xe_handoff *h, uint32_t from, uint32_t to, uint32_t *frames,
			    uint32_t max);

/* Before a sleep: false when there is something to do after all. What comes later rings the bell:
 * either this call sees the published head, or the publisher sees the state. */
bool xe_handoff_may_sleep(struct xe_handoff *h, uint32_t worker, bool hungry);
static inline void xe_handoff_awake(struct xe_handoff *h, uint32_t worker)
{
	atomic_store_explicit(&h->bells[worker].state, XE_BELL_AWAKE, memory_order_relaxed);
}

#endif
