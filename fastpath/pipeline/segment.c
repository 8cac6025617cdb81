/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * segment.c - a superpacket becomes the packets its sender meant.
 *
 * What the kernel does on the way into a device without segmentation offload (tcp_gso_segment(),
 * __udp_gso_segment(), inet_gso_segment()): each segment has gso_size bytes of payload, the last
 * one what is left; the IP id counts up unless the sender wants it fixed; TCP's sequence number
 * goes on, CWR is the first segment's (RFC 3168 section 6.1.2), FIN and PSH are the last one's;
 * each UDP datagram has its own length.
 */
#include <arpa/inet.h>
#include <netinet/in.h>

#include "base/insum.h"
#include "pipeline/cut.h"
#include "pipeline/pipeline.h"
#include "pipeline/vnet.h"

static void finish_tcp(uint8_t *l4, uint32_t done, bool first, bool last)
{
	xe_put32(l4 + XE_TCP_SEQ, htonl(ntohl(xe_get32(l4 + XE_TCP_SEQ)) + done));
	if (!first)
		l4[XE_TCP_FLAGS] &= (uint8_t)~XE_TH_CWR;
	if (!last)
		l4[XE_TCP_FLAGS] &= (uint8_t) ~(XE_TH_FIN | XE_TH_PSH);
}

/* The headers of a segment with `done` bytes of payload before it. */
static void finish(struct xe_lane *lane, struct xe_packet *seg, uint32_t n, uint32_t done,
		   bool last)
{
	uint8_t *ip = seg->l2 + XE_L3_OFF, *l4 = seg->l2 + seg->l4_off, *field;
	bool udp = seg->proto == IPPROTO_UDP;

	if (!(seg->gso_type & XE_SKB_GSO_TCP_FIXID))
		xe_put16(ip + XE_IP_ID, htons((uint16_t)(ntohs(xe_get16(ip + XE_IP_ID)) + n)));
	seg->gso_type = 0;
	xe_ip_finish(ip, seg->len - XE_L3_OFF);
	if (udp)
		xe_put16(l4 + XE_UDP_LEN, htons((uint16_t)seg->l4_len));
	else
		finish_tcp(l4, done, !n, last);
	field = l4 + xe_csum_offset(seg);
	if (udp && !xe_get16(field))
		return; /* none was sent with it */
	xe_put16(field,
		 xe_insum_fold(xe_insum_pseudo4(xe_get32(ip + XE_IP_SRC), xe_get32(ip + XE_IP_DST),
						seg->proto, seg->l4_len)));
	seg->partial = true;
	xe_csum_complete(lane, seg);
}

void xe_segment(struct xe_lane *lane, struct xe_packet *p)
{
	uint32_t head_len = p->l4_off + p->l4_hdr_len, done = 0;
	struct xe_packet seg;
	struct xe_cut cut;

	xe_cut_begin(&cut, lane, p, head_len);
	do {
		uint32_t n = cut.pieces, len = cut.left < p->gso_size ? cut.left : p->gso_size;

		if (xe_cut_next(&cut, &seg, head_len, len)) {
			seg.gso_type = p->gso_type;
			finish(lane, &seg, n, done, !cut.left);
			if (p->frag_mtu && seg.len - XE_L3_OFF > p->frag_mtu)
				xe_fragment(lane, &seg);
			else
				xe_tx_piece(lane, &seg);
		}
		done += len;
	} while (cut.left);
	xe_packet_release(lane, p);
}
