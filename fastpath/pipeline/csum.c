/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * csum.c - complete the checksum of packets whose sender left it to an offload.
 *
 * The field holds the pseudo-header sum, so the sum over the L4 header and payload, folded and
 * complemented, is the checksum. Superpackets keep the partial field: they leave with a request to
 * complete each segment. So does a packet whose egress device, or nobody at all behind a veth, will
 * sum it (io/tx_csum.h).
 */
#include <netinet/in.h>

#include "base/insum.h"
#include "pipeline/pipeline.h"
#include "pipeline/vnet.h"

/* Over all frames; a frame may end at an odd offset of the packet. */
uint64_t xe_csum_sum_l4(struct xe_lane *lane, const struct xe_packet *p)
{
	uint32_t skip = p->l4_off, done = 0;
	uint64_t sum = 0;

	for (uint32_t i = 0; i < p->frame_cnt; i++) {
		const uint8_t *start = xe_umem_ptr(&lane->umem, p->frames[i].addr) + skip;
		uint32_t len = p->frames[i].len - skip;

		sum = xe_insum_chain(sum, xe_insum(start, len), done & 1);
		done += len;
		skip = 0;
	}
	return sum;
}

/* The rest of a datagram that came in fragments: all but the last are even. */
static __attribute__((noinline)) uint64_t sum_joined(struct xe_lane *lane,
						     const struct xe_packet *p)
{
	uint64_t sum = 0;

	while ((p = p->next))
		sum += xe_csum_sum_l4(lane, p);
	return sum;
}

void xe_csum_complete(struct xe_lane *lane, struct xe_packet *p)
{
	uint64_t sum = xe_csum_sum_l4(lane, p);

	if (__builtin_expect(p->frag_cnt, 0))
		sum += sum_joined(lane, p);
	if (p->proto == IPPROTO_UDP)
		xe_put16(p->l2 + p->l4_off + XE_UDP_CSUM, xe_csum_finish_udp(sum));
	else
		xe_put16(p->l2 + p->l4_off + XE_TCP_CSUM, xe_csum_finish(sum));
	p->partial = false;
}

/* Ask the egress device instead: true when the packet goes out as it is, still partial. Where the
 * packet takes another way than the tx ring, tx asks by a virtio-net header; what exceeds the MTU
 * is cut into pieces after this, and needs its sum before. */
static bool ask_device(struct xe_lane *lane, struct xe_packet *p)
{
	const struct xe_lane_port *port = &lane->ports[p->out_port];
	uint32_t ip_len = p->len - XE_L3_OFF;

	if (p->frag_mtu || !port->tx || !port->tx->csum_min || p->l4_len < port->tx->csum_min ||
	    ip_len > port->mtu || (p->dir == XE_DIR_OUT && ip_len > p->nexthop.mtu) ||
	    (p->frames[0].addr & (XE_FRAME_SIZE - 1)) < sizeof(struct xe_tx_meta))
		return false;
	xe_tx_csum_ask(p->l2, p->l4_off, xe_csum_offset(p));
	p->frames[0].options = XE_DESC_TX_META;
	return true;
}

void xe_csum(struct xe_lane *lane, struct xe_burst *burst)
{
	xe_burst_for_each (p, burst) {
		p->frames[0].options = 0;
		if (p->ended || !p->partial || p->gso_size || ask_device(lane, p))
			continue;
		xe_csum_complete(lane, p);
	}
}
