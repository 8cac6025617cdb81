/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* rx.c - a burst from one socket: frames become packets, the metadata in front of them is read, and
 * the session bucket that each will need is on its way into the cache. */
#include "pipeline/pipeline.h"

/* The metadata lies directly in front of the packet, in the frame's headroom. */
static bool read_meta(struct xe_lane *lane, struct xe_packet *p)
{
	struct xe_meta meta;

	memcpy(&meta, p->l2 - sizeof(meta), sizeof(meta));
	if (meta.magic != (XE_META_MAGIC ^ meta.port) || meta.port >= XE_MAX_PORTS)
		return false;
	p->in_port = meta.port;
	p->hash = meta.flow_hash;
	p->gso_size = meta.gso_size;
	p->gso_type = meta.gso_type;
	p->frag_mtu = 0;
	p->frag_max = 0;
	p->frag_cnt = 0;
	p->gso_unknown = meta.flags & XE_META_GSO_UNKNOWN;
	p->handed = meta.flags & XE_META_FINAL      ? XE_HANDED_FINAL
		    : meta.flags & XE_META_BY_BLOCK ? XE_HANDED_BY_BLOCK
						    : XE_HANDED_IN;
	p->hairpin = meta.flags & XE_META_HAIRPIN;
	p->role = lane->ports[meta.port].role;
	return true;
}

/* A packet's metadata and headers were written by another CPU or a NIC: each is a miss that the
 * packets before it can hide. 8 of them take some 200 ns, as long as a miss to memory; more
 * would push each other out of L1, because frames a page apart put their headers into the same set
 * of it. */
#define PREFETCH_AHEAD 8

static void prefetch_frame(const struct xe_lane *lane, struct xsk_ring_cons *rx, uint32_t idx)
{
	const uint8_t *l2 = xe_umem_ptr(&lane->umem, xsk_ring_cons__rx_desc(rx, idx)->addr);

	__builtin_prefetch(l2 - sizeof(struct xe_meta));
	__builtin_prefetch(l2, 1);
}

/* Frames of one packet, from descriptor `first` of `avail`; 0: it is not whole here. */
static uint32_t packet_frames(struct xsk_ring_cons *rx, uint32_t idx, uint32_t first,
			      uint32_t avail)
{
	if (!(xsk_ring_cons__rx_desc(rx, idx + first)->options & XDP_PKT_CONTD))
		return 1;
	for (uint32_t n = 2; first + n <= avail; n++)
		if (!(xsk_ring_cons__rx_desc(rx, idx + first + n - 1)->options & XDP_PKT_CONTD))
			return n;
	return 0;
}

/* Most packets: one frame, known to fit. */
static inline void take_frame(struct xe_lane *lane, struct xe_xsk *xsk, struct xe_packet *p,
			      const struct xdp_desc *d)
{
	xe_umem_move(&lane->umem, xe_frame_of(d->addr), xsk->slot * 2, XE_HOLDER_HAND);
	lane->umem.hand_cnt++;
	xsk->fill_cnt--;
	p->frames[0] = *d;
	p->frame_cnt = 1;
	p->len = d->len;
}

/*
 * What a socket may deliver in one round, so that all that have packets get their turn (deficit
 * round robin): eight superpackets, which take some 100 us, or a burst of any other packets. With
 * two only, eight streams of TCP lost a tenth to rounds that sent too little at once. Counted are
 * bytes, and for each packet what handling it costs beside them (some 200 ns, in which a
 * superpacket's copy moves 2 KiB). What one packet takes too much is missing the next time.
 */
#define ROUND_BYTES  (512 << 10)
#define PACKET_BYTES 2048

static void give_credit(struct xe_xsk *xsk)
{
	xsk->credit += ROUND_BYTES; /* more than one packet can have taken too much: above 0 now */
	if (xsk->credit > ROUND_BYTES)
		xsk->credit = ROUND_BYTES;
}

static void take_frames(struct xe_lane *lane, struct xe_xsk *xsk, struct xe_packet *p, uint32_t idx,
			uint32_t n)
{
	p->len = 0;
	p->frame_cnt = 0;
	for (uint32_t i = 0; i < n; i++) {
		struct xdp_desc d = *xsk_ring_cons__rx_desc(&xsk->rx, idx + i);
		uint32_t frame = xe_frame_of(d.addr);

		xe_umem_move(&lane->umem, frame, xsk->slot * 2, XE_HOLDER_HAND);
		if (p->frame_cnt == XE_PACKET_FRAMES) {
			/* longer than any IP packet: cut, and found malformed by its length */
			lane->umem.hand_cnt++;
			xe_umem_put(&lane->umem, frame);
			continue;
		}
		lane->umem.hand_cnt++;
		p->frames[p->frame_cnt++] = d;
		p->len += d.len;
	}
	xsk->fill_cnt -= n;
}

/* How many frames the socket is to hold: by what a round found, and how full the frames were. */
static void adapt_fill(struct xe_xsk *xsk, uint32_t avail, uint32_t used, uint32_t bytes)
{
	if (bytes > used * (XE_FRAME_ROOM / 2)) {
		/* one that holds few has shown all it has long before */
		if (avail >= XE_FILL_BULK / 4 || avail >= xsk->fill_target / 4)
			xsk->fill_target = XE_FILL_BULK;
		return;
	}
	if (avail >= xsk->fill_target / 4 && xsk->fill_target < XE_FILL_MAX)
		xsk->fill_target *= 2;
}

uint32_t xe_rx(struct xe_lane *lane, struct xe_xsk *xsk)
{
	struct xe_burst *burst = &lane->burst;
	struct xe_packet *p = burst->packets;
	uint32_t idx, avail, used = 0, bytes = 0;

	burst->cnt = 0;
	give_credit(xsk);
	avail = xsk_ring_cons__peek(&xsk->rx, XE_BURST_SIZE * XE_PACKET_FRAMES, &idx);
	for (uint32_t i = 0; i < PREFETCH_AHEAD && i < avail; i++)
		prefetch_frame(lane, &xsk->rx, idx + i);
	for (; p < burst->packets + XE_BURST_SIZE && used < avail && xsk->credit > 0; p++) {
		uint32_t n = packet_frames(&xsk->rx, idx, used, avail);

		if (!n)
			break;
		if (used + PREFETCH_AHEAD < avail)
			prefetch_frame(lane, &xsk->rx, idx + used + PREFETCH_AHEAD);
		if (n == 1)
			take_frame(lane, xsk, p, xsk_ring_cons__rx_desc(&xsk->rx, idx + used));
		else
			take_frames(lane, xsk, p, idx + used, n);
		used += n;
		bytes += p->len;
		xsk->credit -= (int32_t)p->len + PACKET_BYTES;
		p->l2 = xe_umem_ptr(&lane->umem, p->frames[0].addr);
		p->session = NULL;
		p->ended = false;
		if (!read_meta(lane, p) || p->in_port != xsk->port) {
			xe_packet_drop(lane, p, XE_R_W_MALFORMED);
			continue;
		}
		p->handed = XE_HANDED_NOT;
		xe_sessions_prefetch(&lane->sessions, p->hash);
	}
	burst->cnt = (uint32_t)(p - burst->packets);
	if (used < avail)
		xsk_ring_cons__cancel(&xsk->rx, avail - used);
	if (!used)
		return 0;
	xsk_ring_cons__release(&xsk->rx, used);
	adapt_fill(xsk, avail, used, bytes);
	xe_count(&lane->cnt.rx_packets, burst->cnt);
	xe_count(&lane->cnt.rx_bytes, bytes);
	xe_count(&xsk->rx_packets, burst->cnt);
	return burst->cnt;
}

/* One packet, whole: returns its descriptors. */
static uint32_t take_handed(struct xe_lane *lane, struct xe_packet *p, uint32_t from, uint32_t at)
{
	const struct xdp_desc *d;

	p->len = 0;
	p->frame_cnt = 0;
	do {
		d = xe_handoff_desc(lane->handoff, from, lane->worker, at++);
		xe_umem_hand_in(&lane->umem, xe_frame_of(d->addr));
		p->frames[p->frame_cnt++] = *d;
		p->len += d->len;
	} while (d->options & XDP_PKT_CONTD && p->frame_cnt < XE_PACKET_FRAMES);
	return p->frame_cnt;
}

uint32_t xe_rx_handed(struct xe_lane *lane, uint32_t from)
{
	struct xe_burst *burst = &lane->burst;
	uint32_t avail = xe_handoff_avail(lane->handoff, from, lane->worker), used = 0;
	int32_t credit = ROUND_BYTES; /* one worker's turn is as long as one socket's */

	burst->cnt = 0;
	while (burst->cnt < XE_BURST_SIZE && used < avail && credit > 0) {
		struct xe_packet *p = &burst->packets[burst->cnt++];

		used += take_handed(lane, p, from, used);
		credit -= (int32_t)p->len + PACKET_BYTES;
		p->l2 = xe_umem_ptr(&lane->umem, p->frames[0].addr);
		p->session = NULL;
		p->ended = false;
		if (!read_meta(lane, p))
			xe_packet_drop(lane, p, XE_R_W_MALFORMED);
		else if (!lane->ports[p->in_port].live) /* gone on the way */
			xe_packet_drop(lane, p, XE_R_PORT_GONE);
		else
			xe_sessions_prefetch(&lane->sessions, p->hash);
	}
	xe_handoff_release(lane->handoff, from, lane->worker, used);
	xe_count(&lane->cnt.handed_in, burst->cnt);
	return burst->cnt;
}

void xe_rx_held(struct xe_lane *lane, const struct xdp_desc *frames, uint32_t frame_cnt)
{
	struct xe_packet *p = lane->burst.packets;

	lane->burst.cnt = 1;
	p->len = 0;
	p->frame_cnt = (uint8_t)frame_cnt;
	for (uint32_t i = 0; i < frame_cnt; i++) {
		p->frames[i] = frames[i];
		p->len += frames[i].len;
	}
	p->l2 = xe_umem_ptr(&lane->umem, frames[0].addr);
	p->session = NULL;
	p->ended = false;
	if (!read_meta(lane, p))
		xe_packet_drop(lane, p, XE_R_W_MALFORMED);
	else if (!lane->ports[p->in_port].live)
		xe_packet_drop(lane, p, XE_R_PORT_GONE);
	else
		p->handed = XE_HANDED_NOT;
}
