/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * tx.c - out: a packet by the tx ring of its egress port, a superpacket whole by AF_PACKET.
 *
 * Two ways out of one port must not reorder a flow: before the one is used, what waits in the other
 * is flushed. Tx rings are kicked once a round (xe_tx_flush), superpackets at the end of a burst.
 */
#include <errno.h>
#include <netinet/in.h>

#include "pipeline/cut.h"
#include "pipeline/pipeline.h"
#include "pipeline/vnet.h"

/* ENOBUFS means that the device cannot take a superpacket whole, or only that its receiver is full
 * now: after so long it is tried again. */
#define QDISC_S 2

static void sent_whole(struct xe_lane *lane, uint32_t first, uint32_t n)
{
	for (uint32_t i = first; i < first + n; i++) {
		struct xe_packet *p = lane->gso.items[i].cookie;

		xe_count_tx(lane, p);
		if (p->gso_size)
			xe_count(&lane->cnt.superpackets, 1);
		xe_packet_release(lane, p);
	}
}

/* Does the device say that it takes this one whole? Packets that are none need not be asked for. */
static bool takes_whole(const struct xe_lane_port *port, const struct xe_packet *p)
{
	uint8_t need = p->proto == IPPROTO_UDP ? XE_TX_UDP
		       : xe_packet_is_v6(p)    ? XE_TX_TCP6
					       : XE_TX_TCP4;

	if (!p->gso_size)
		return true;
	if (p->gso_type & XE_SKB_GSO_TCP_ECN)
		need |= XE_TX_TCP_ECN;
	return (port->tx_whole & need) == need && p->len < port->gso_max;
}

/* How many messages from `first` on go the same way, and which. */
static uint32_t same_way(const struct xe_lane *lane, const struct xe_lane_port *port,
			 uint32_t first, uint32_t cnt, bool *by_qdisc)
{
	bool refused = (int32_t)(port->qdisc_until_s - lane->now_s) > 0;
	uint32_t next = first + 1;

	*by_qdisc = refused || !takes_whole(port, lane->gso.items[first].cookie);
	while (next < cnt &&
	       *by_qdisc == (refused || !takes_whole(port, lane->gso.items[next].cookie)))
		next++;
	return next;
}

/* Send messages [first, cnt), all of one port, in order. What the device does not take whole, or
 * refuses after all, goes by the qdisc's way, where the kernel cuts it (on a veth twice as fast as
 * segment.c and the tx ring: one copy less); what that refuses, too, is dropped. */
static void gso_send_run(struct xe_lane *lane, struct xe_lane_port *port, uint32_t first,
			 uint32_t cnt)
{
	int err;

	while (first < cnt) {
		bool by_qdisc;
		uint32_t next = same_way(lane, port, first, cnt, &by_qdisc);
		uint32_t n = xe_gso_tx_send(&lane->gso, first, next, by_qdisc, &err);

		sent_whole(lane, first, n);
		first += n;
		if (!err)
			continue;
		if (err == -ENOBUFS && !by_qdisc) {
			port->qdisc_until_s = lane->now_s + QDISC_S;
			continue;
		}
		xe_packet_drop(lane, lane->gso.items[first].cookie, XE_R_TX_REFUSED);
		first++;
	}
}

static void gso_flush(struct xe_lane *lane)
{
	uint32_t first = 0, next;

	while (first < lane->gso.cnt) {
		struct xe_packet *p = lane->gso.items[first].cookie;
		struct xe_lane_port *port = &lane->ports[p->out_port];

		for (next = first + 1; next < lane->gso.cnt; next++)
			if (lane->gso.items[next].to.sll_ifindex !=
			    lane->gso.items[first].to.sll_ifindex)
				break;
		port->gso_queued = 0;
		gso_send_run(lane, port, first, next);
		first = next;
	}
	lane->gso.cnt = 0;
}

/* All frames of a packet, and of what is joined to it the payload (merge.c: headers end in the
 * first frame). */
static void add_frames(struct xe_lane *lane, struct xe_gso_item *item, const struct xe_packet *p)
{
	struct iovec *iov = &item->iov[1];
	uint32_t skip = 0;

	for (; p; p = p->next) {
		for (uint32_t i = 0; i < p->frame_cnt; i++) {
			*iov++ = (struct iovec){
				.iov_base = xe_umem_ptr(&lane->umem, p->frames[i].addr) + skip,
				.iov_len = p->frames[i].len - skip,
			};
			skip = 0;
		}
		skip = (uint32_t)p->l4_off + p->l4_hdr_len;
	}
}

static uint32_t frames_of(const struct xe_packet *p)
{
	uint32_t cnt = 0;

	for (; p; p = p->next)
		cnt += p->frame_cnt;
	return cnt;
}

static void send_whole(struct xe_lane *lane, struct xe_packet *p, struct xe_lane_port *port)
{
	struct xe_gso_item *item;
	uint32_t cnt = frames_of(p);
	int err;

	if (port->tx && port->tx->kick) {
		err = xe_xsk_flush(port->tx, &lane->umem);
		if (err == -EAGAIN || err == -ENOBUFS) { /* full: not before what waits there */
			xe_packet_drop(lane, p, XE_R_TX_FULL);
			return;
		}
	}
	item = xe_gso_tx_next(&lane->gso, cnt);
	if (!item) {
		gso_flush(lane);
		item = xe_gso_tx_next(&lane->gso, cnt);
	}
	xe_vnet_describe(&item->vnet, p, p->partial, 0);
	item->to.sll_ifindex = port->ifindex;
	item->to.sll_protocol = xe_get16(p->l2 + 12);
	memcpy(item->to.sll_addr, p->l2, 6);
	add_frames(lane, item, p);
	item->cookie = p;
	port->gso_queued++;
}

static void send_small(struct xe_lane *lane, struct xe_packet *p, struct xe_lane_port *port)
{
	if (port->gso_queued)
		gso_flush(lane);
	if (!port->tx->kick_listed) {
		port->tx->kick_listed = true;
		lane->kicks[lane->kick_cnt++] = port->tx;
		xe_xsk_complete(port->tx, &lane->umem); /* once a round: what was sent before */
	}
	if (!xe_xsk_send(port->tx, &lane->umem, p->frames, p->frame_cnt)) {
		xe_xsk_flush(port->tx, &lane->umem);
		if (!xe_xsk_send(port->tx, &lane->umem, p->frames, p->frame_cnt)) {
			xe_packet_drop(lane, p, XE_R_TX_FULL);
			return;
		}
	}
	xe_count_tx(lane, p);
	p->ended = true;
	p->frame_cnt = 0;
}

static bool goes_whole(const struct xe_packet *p, const struct xe_lane_port *port)
{
	return p->gso_size || !port->tx || (p->frame_cnt > 1 && !port->tx->multi_buffer);
}

void xe_tx_piece(struct xe_lane *lane, const struct xe_packet *piece)
{
	struct xe_lane_port *port = &lane->ports[piece->out_port];
	struct xe_packet *p;

	if (lane->gso.cnt == XE_GSO_BATCH)
		gso_flush(lane);
	p = &lane->pieces[lane->gso.cnt];
	*p = *piece;
	if (goes_whole(p, port))
		send_whole(lane, p, port);
	else
		send_small(lane, p, port);
}

void xe_tx_drain(struct xe_lane *lane, struct xe_lane_port *port)
{
	gso_flush(lane);
	if (port->tx)
		xe_xsk_flush(port->tx, &lane->umem);
}

void xe_tx(struct xe_lane *lane, struct xe_burst *burst)
{
	for (uint32_t i = 0; i < burst->cnt; i++) {
		struct xe_packet *p = &burst->packets[i];
		struct xe_lane_port *port;

		if (p->ended)
			continue;
		port = &lane->ports[p->out_port];
		if (p->frag_mtu)
			p->gso_size ? xe_segment(lane, p) : xe_fragment(lane, p);
		else if (goes_whole(p, port))
			send_whole(lane, p, port);
		else
			send_small(lane, p, port);
	}
	gso_flush(lane); /* its items point into this burst */
}

void xe_tx_flush(struct xe_lane *lane)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < lane->kick_cnt; i++) {
		struct xe_xsk *xsk = lane->kicks[i];

		if (xsk->kick)
			xe_xsk_flush(xsk, &lane->umem);
		xsk->kick_listed = xsk->kick;
		if (xsk->kick)
			lane->kicks[kept++] = xsk;
	}
	lane->kick_cnt = kept;
}
