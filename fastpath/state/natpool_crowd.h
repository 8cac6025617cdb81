/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * natpool_crowd.h - peers to which nearly all L4 ports of a range have a flow already, and the L4
 * ports that are left.
 *
 * Where flows share L4 ports a draw finds one for the next flow at once, unless its peer (address
 * and L4 port) has flows on most of them. Only such a peer gets a bitmap: made by one look-up for
 * each L4 port that this worker's flows share, kept by every flow to it that begins or ends, and
 * gone when it has not been asked for a while. There are few of them, and each needs as many flows
 * to its peer as the look-ups of making it, so nobody makes the search slow. Owned by one worker.
 */
#ifndef XE_NATPOOL_CROWD_H
#define XE_NATPOOL_CROWD_H

#include "state/natpool.h"

/* 64 bitmaps are 512 KiB. One more replaces the one that was asked longest ago. */
#define XE_CROWDS 64
/* Not asked for so long: the rush is over. */
#define XE_CROWD_IDLE_S 30

struct xe_crowds {
	uint32_t cnt;
	struct xe_crowd {
		struct xe_tuple4 peer; /* a reply tuple without its L4 port */
		uint16_t min, max;
		uint32_t asked_s;
		uint64_t *used; /* XE_BITMAP_WORDS: the peer has a flow on it */
	} crowd[XE_CROWDS];
	uint64_t *words; /* the memory of all of them */
};

/* NULL: no memory. */
struct xe_crowds *xe_crowds_open(void);
void xe_crowds_close(struct xe_crowds *c);

/* A flow with this reply tuple begins or ends. */
void xe_crowds_mark_all(struct xe_crowds *c, const struct xe_tuple4 *back, bool on);
static inline void xe_crowds_mark(struct xe_crowds *c, const struct xe_tuple4 *back, bool on)
{
	if (__builtin_expect(c->cnt, 0))
		xe_crowds_mark_all(c, back, on);
}

/* The bitmap of this reply tuple's peer and range, NULL: it has none. */
const uint64_t *xe_crowds_find(struct xe_crowds *c, const struct xe_tuple4 *back, uint16_t min,
			       uint16_t max, uint32_t now_s);
/* Make it, on this Ext address: a look-up for each L4 port that the worker's flows share. */
const uint64_t *xe_crowds_make(struct xe_natpool *pool, uint32_t ext, const struct xe_tuple4 *back,
			       uint16_t min, uint16_t max);
/* Forget those that nobody asks for any more. */
void xe_crowds_tick(struct xe_crowds *c, uint32_t now_s);

#endif
