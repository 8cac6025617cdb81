/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * umem.h - the memory that all workers share, the frames of one of them, and who holds each.
 *
 *            take                 give to a fill ring          kernel fills it
 *    FREE  ------->  IN HAND  ----------------------->  FILL  ----------------> rx: IN HAND
 *      ^                |  ^                                                       |
 *      |     put back   |  '-------------------------------------------------------'
 *      '----------------+
 *      ^                |  put on a tx ring
 *      |                '---------------------->  TX  --- completion ring --->  FREE
 *
 * All sockets of a worker register the same memory, each as a UMEM of its own, so a frame received
 * on one can be sent on any other, and a copy-mode veth can share with a zero-copy NIC (a shared
 * UMEM would force the first socket's mode on all). At every moment
 * free + fill + tx + in hand = all; `holder` says it frame by frame, which is also how the frames
 * of a closed socket are found again.
 *
 * With several workers the memory is one area in slices, a slice a worker, on its NUMA node. Every
 * socket registers the whole area, so that a packet that was handed over (io/handoff.h) can be sent
 * by the sockets of the worker that got it. Its frames are LENT for their owner and guests for the
 * other, in hand or on a tx ring, until they go home:
 *
 *   own frames:  free + fill + tx + in hand + lent = all        guests:  tx + in hand = guest_cnt
 *
 * Frames are numbered through the whole area; each worker has a view (`holder`) of its own of all
 * of them. Single writer: the owning worker; the control thread while the worker does not run or
 * waits for it in a call.
 */
#ifndef XE_UMEM_H
#define XE_UMEM_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "io/handoff.h"

/* A page: chunks larger than a page are refused by the kernel, smaller ones would split an MTU
 * frame once the kernel's 256 bytes of headroom are taken. */
#define XE_FRAME_SHIFT 12
#define XE_FRAME_SIZE  (1u << XE_FRAME_SHIFT)
/* Headroom that the kernel keeps before a received packet (XDP_PACKET_HEADROOM). */
#define XE_FRAME_HEADROOM 256u
/* What one frame holds of a packet. */
#define XE_FRAME_ROOM (XE_FRAME_SIZE - XE_FRAME_HEADROOM)

/* Holders other than a socket. A socket's slot n holds as 2n (fill) and 2n+1 (tx). */
#define XE_HOLDER_FREE 0xffffu
#define XE_HOLDER_HAND 0xfffeu
#define XE_HOLDER_LENT 0xfffdu /* own, at another worker or on the way */
#define XE_HOLDER_AWAY 0xfffcu /* another worker's, and not here */

/* The memory, shared by all workers; made before the first and freed after the last. */
struct xe_area {
	uint8_t *base;
	int fd;             /* memfd: a process that takes over maps it, too */
	size_t size;        /* bytes */
	uint32_t slice_cnt; /* frames of each worker */
	uint32_t frame_cnt; /* of all */
};

struct xe_umem {
	uint8_t *base;              /* the area's */
	size_t size;                /* bytes */
	struct xe_area lone;        /* where this is the only worker's, made by xe_umem_open() */
	struct xe_handoff *handoff; /* NULL: no other workers */
	uint32_t worker;
	uint32_t first; /* own frames: [first, first + frame_cnt) */
	uint32_t frame_cnt;
	uint32_t area_cnt; /* of all workers */
	uint32_t free_cnt;
	uint32_t hand_cnt; /* guests included */
	uint32_t lent_cnt;
	uint32_t guest_cnt; /* in hand or on tx rings */
	uint32_t *free;     /* stack: the frame last freed is the one still in cache */
	uint16_t *holder;   /* per frame of the area */
};

/* Memory for worker_cnt slices of slice_cnt frames, each on the NUMA node nodes[i] (-1: any).
 * -ENOMEM. */
int xe_area_open(struct xe_area *area, uint32_t slice_cnt, const int *nodes, uint32_t worker_cnt);
/* The area of another process, by its memfd, in as many slices as we have workers (frame_cnt is a
 * multiple). On success the fd is the area's. -ENOMEM, also where its file is shorter. */
int xe_area_adopt(struct xe_area *area, int fd, uint32_t frame_cnt, uint32_t worker_cnt);
void xe_area_close(struct xe_area *area);
/* The slice of a worker. handoff: by which guests go home. -ENOMEM. */
int xe_umem_open_slice(struct xe_umem *umem, const struct xe_area *area, struct xe_handoff *handoff,
		       uint32_t worker);
/* An area for one worker alone: memory for frame_cnt frames on the NUMA node (-1: any). -ENOMEM. */
int xe_umem_open(struct xe_umem *umem, uint32_t frame_cnt, int node);
void xe_umem_close(struct xe_umem *umem);

/* Frames of a closed socket (both its holder values) become free. Returns how many. */
uint32_t xe_umem_reclaim(struct xe_umem *umem, uint16_t slot);

/* Recount everything from `holder` against the counters: 0, or -EIO and a log line. O(frames):
 * debug builds call it often, tests at the end, never the fast path. fill and tx: what the sockets
 * say they hold. */
int xe_umem_audit(const struct xe_umem *umem, uint32_t fill_cnt, uint32_t tx_cnt);

static inline uint8_t *xe_umem_ptr(const struct xe_umem *umem, uint64_t addr)
{
	return umem->base + addr;
}

static inline uint32_t xe_frame_of(uint64_t addr)
{
	return (uint32_t)(addr >> XE_FRAME_SHIFT);
}

/* Change of holder; debug builds check that the frame was where it is said to come from. */
static inline void xe_umem_move(struct xe_umem *umem, uint32_t frame, uint16_t from, uint16_t to)
{
#ifdef XE_DEBUG
	assert(frame < umem->area_cnt && umem->holder[frame] == from);
#else
	(void)from;
#endif
	umem->holder[frame] = to;
}

/* Take up to n free frames in hand; returns how many. */
static inline uint32_t xe_umem_take(struct xe_umem *umem, uint32_t *frames, uint32_t n)
{
	if (n > umem->free_cnt)
		n = umem->free_cnt;
	for (uint32_t i = 0; i < n; i++) {
		frames[i] = umem->free[--umem->free_cnt];
		xe_umem_move(umem, frames[i], XE_HOLDER_FREE, XE_HOLDER_HAND);
	}
	umem->hand_cnt += n;
	return n;
}

static inline bool xe_umem_is_own(const struct xe_umem *umem, uint32_t frame)
{
	return frame - umem->first < umem->frame_cnt;
}

/* Done with a frame that `from` held: free again, or on its way home. */
static inline void xe_umem_free(struct xe_umem *umem, uint32_t frame, uint16_t from)
{
	if (__builtin_expect(xe_umem_is_own(umem, frame), 1)) {
		xe_umem_move(umem, frame, from, XE_HOLDER_FREE);
		umem->free[umem->free_cnt++] = frame;
		return;
	}
	xe_umem_move(umem, frame, from, XE_HOLDER_AWAY);
	umem->guest_cnt--;
	xe_handoff_return(umem->handoff, umem->worker, frame / umem->frame_cnt, frame);
}

static inline void xe_umem_put(struct xe_umem *umem, uint32_t frame)
{
	xe_umem_free(umem, frame, XE_HOLDER_HAND);
	umem->hand_cnt--;
}

/* A frame in hand goes to another worker, whosever it is. */
static inline void xe_umem_hand_out(struct xe_umem *umem, uint32_t frame)
{
	bool own = xe_umem_is_own(umem, frame);

	xe_umem_move(umem, frame, XE_HOLDER_HAND, own ? XE_HOLDER_LENT : XE_HOLDER_AWAY);
	umem->hand_cnt--;
	if (own)
		umem->lent_cnt++;
	else
		umem->guest_cnt--;
}

/* The other side of it: in hand. It may be an own one that comes back with its packet. */
static inline void xe_umem_hand_in(struct xe_umem *umem, uint32_t frame)
{
	bool own = xe_umem_is_own(umem, frame);

	xe_umem_move(umem, frame, own ? XE_HOLDER_LENT : XE_HOLDER_AWAY, XE_HOLDER_HAND);
	umem->hand_cnt++;
	if (own)
		umem->lent_cnt--;
	else
		umem->guest_cnt++;
}

/* Own frames that other workers have sent home are free again. */
void xe_umem_collect(struct xe_umem *umem);

#endif
