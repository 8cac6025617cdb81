/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * xsk.h - one AF_XDP socket: (interface, queue), its four rings, and the frames it holds.
 *
 *   fill ring        worker  -->  kernel   frames to receive into
 *   rx ring          kernel  -->  worker   received
 *   tx ring          worker  -->  kernel   to send; needs a kick (sendto) in copy mode
 *   completion ring  kernel  -->  worker   sent, the frame is ours again
 *
 * Sockets are opened, bound and closed by the control thread; between xe_xsk_open() and
 * xe_xsk_close() the rings belong to one worker. The ring accessors (with their barriers) are
 * libxdp's, the sockets are made here because libxdp 1.3 cannot register the UMEM variants we
 * need.
 */
#ifndef XE_XSK_H
#define XE_XSK_H

#include <stdbool.h>
#include <stdint.h>
#include <xdp/xsk.h>

#include "io/handoff.h" /* XDP_PKT_CONTD */
#include "io/tx_csum.h"
#include "io/umem.h"

/* Debian 12's headers are older than the kernels we run on. */
#ifndef XDP_USE_SG
#define XDP_USE_SG (1 << 4) /* multi-buffer packets, kernel 6.6 */
#endif

/* Ring sizes in descriptors. 2048 holds 30 superpackets of 17 frames each, which is the window of
 * a few TCP flows; smaller rings made TCP back off, larger ones only add cache misses. */
#define XE_RING_SIZE 2048u

/* Frames a socket holds for receiving: few when idle (xe_xsk.fill_idle), so that hundreds of ports
 * share the frames of a worker, doubled when a round has found a quarter of them used, up to the
 * whole ring: a small packet touches two lines of its frame, and a worker that shares its CPU may
 * be away for 10 ms. Superpackets fill their frames, and the ring is a queue: every frame it holds
 * passes through the caches in turn. With 512 of them (2 MiB, 30 superpackets) eight streams are
 * carried 15 % faster than with 1024 although more is lost and sent again; with 256 a few percent
 * faster still, but then datagrams beside them are lost, too (docs/architecture.md).
 */
#define XE_FILL_BULK 512u
#define XE_FILL_MAX  2048u
/* What an idle one has while there are few: 15 superpackets. */
#define XE_FILL_IDLE 256u
/* What an idle one has at least: a superpacket and half a burst of small packets; with fewer a port
 * is not attached, its packets would be lost where the kernel forwards them. */
#define XE_FILL_MIN 32u

struct xe_xsk {
	int fd;
	int ifindex;
	uint16_t queue;
	uint16_t port; /* port id */
	uint16_t slot; /* names its frames in xe_umem.holder */
	bool zerocopy;
	bool multi_buffer;
	bool meta;                         /* its UMEM has room for checksum requests */
	enum xe_csum_offload csum_offload; /* as configured; set before xe_xsk_open() */
	uint32_t csum_min; /* partial packets of at least so many L4 bytes ask the device for their
			      checksum; 0: none does */
	const char *csum_why; /* why no packet asks, NULL: some do */
	bool kick_listed;     /* in the lane's list of those to kick */
	bool sent_listed;     /* in that of those that have sent */
	uint16_t idle_rounds; /* without a packet */
	uint16_t lane_idx;    /* where in the lane's list of sockets it stands */
	int32_t credit;       /* what may still be received this round, see rx.c */
	bool kick;            /* tx ring holds what the kernel was not told of */
	uint32_t fill_idle;   /* frames to hold for receiving when idle */
	uint32_t fill_target; /* now */
	uint32_t fill_cnt;    /* frames at the kernel for receiving, rx ring included */
	uint32_t tx_cnt;      /* frames at the kernel for sending, completion ring included */
	uint64_t rx_packets;  /* written by the worker */
	struct xsk_ring_prod fill, tx;
	struct xsk_ring_cons rx, comp;
	void *map[4];
	size_t map_size[4];
};

struct xe_xsk_lost {
	uint64_t rx_dropped;   /* no frame on the fill ring, or too long */
	uint64_t rx_ring_full; /* the worker was too slow */
	uint64_t tx_invalid;
};

/* Open and bind. zerocopy_wanted: try it, fall back to copy. Retries EBUSY (an earlier socket's
 * close is asynchronous) for a bounded time. Errors: -errno of the step, which is logged by name.
 */
int xe_xsk_open(struct xe_xsk *xsk, const struct xe_umem *umem, int ifindex, uint16_t queue,
		bool zerocopy_wanted);
/* A socket that another process has opened and bound, with the rings and the memory that we map,
 * too; port, slot, ifindex, queue, zerocopy, multi_buffer and csum_offload are set. meta: its UMEM
 * was registered with room for checksum requests. The fd is the socket's, also on an error. */
int xe_xsk_adopt(struct xe_xsk *xsk, int fd, bool meta);
/* The other process has stopped: go on where its rings stand. fill_cnt and tx_cnt are set. */
void xe_xsk_resume(struct xe_xsk *xsk);
/* The kernel lets go of all frames; they are found by xe_umem_reclaim(slot). */
void xe_xsk_close(struct xe_xsk *xsk);
/* XDP_STATISTICS. */
int xe_xsk_lost(const struct xe_xsk *xsk, struct xe_xsk_lost *lost);

/* Give free frames to the fill ring until the socket holds its target, or fill_max, or as much as
 * leaves enough for the others and for what is being sent. */
void xe_xsk_refill(struct xe_xsk *xsk, struct xe_umem *umem, uint32_t fill_max);
/* Take back what was sent. */
void xe_xsk_complete(struct xe_xsk *xsk, struct xe_umem *umem);
/* Kick until the kernel has taken everything, or says that it cannot now. Returns 0 or -errno. */
int xe_xsk_flush(struct xe_xsk *xsk, struct xe_umem *umem);

/* Put one packet of n frames (addr, len each; frames in hand) on the tx ring. False when it has no
 * room: the frames stay in hand. Of the first frame's options XE_DESC_TX_META is kept. */
static inline bool xe_xsk_send(struct xe_xsk *xsk, struct xe_umem *umem,
			       const struct xdp_desc *descs, uint32_t n)
{
	uint32_t idx;

	if (xsk_ring_prod__reserve(&xsk->tx, n, &idx) != n)
		return false;
	for (uint32_t i = 0; i < n; i++) {
		struct xdp_desc *d = xsk_ring_prod__tx_desc(&xsk->tx, idx + i);

		d->addr = descs[i].addr;
		d->len = descs[i].len;
		d->options = i + 1 < n ? XDP_PKT_CONTD : 0;
		if (!i)
			d->options |= descs[0].options & XE_DESC_TX_META;
		xe_umem_move(umem, xe_frame_of(descs[i].addr), XE_HOLDER_HAND, xsk->slot * 2 + 1);
	}
	xsk_ring_prod__submit(&xsk->tx, n);
	umem->hand_cnt -= n;
	xsk->tx_cnt += n;
	xsk->kick = true;
	return true;
}

#endif
