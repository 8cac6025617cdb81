/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * punt.c - a packet that should not have been taken goes to the kernel's path after all.
 *
 * By a tun device with virtio-net headers: the kernel sees the untranslated IP packet come in on
 * it, superpackets and partial checksums included, routes it, and answers where an answer is due
 * (unreachable, fragmentation needed). Only packets from inside ports, before nat has touched them.
 */
#include <netinet/in.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/insum.h"
#include "pipeline/pipeline.h"

static void describe(struct virtio_net_hdr *vnet, const struct xe_packet *p)
{
	const uint8_t *l4 = p->l2 + p->l4_off;
	bool udp = p->proto == IPPROTO_UDP;
	uint16_t field = xe_get16(l4 + (udp ? XE_UDP_CSUM : XE_TCP_CSUM));
	uint64_t pseudo = xe_insum_pseudo4(p->key.src_be, p->key.dst_be, p->proto, p->l4_len);

	if (xe_csum_is_partial(field, pseudo)) {
		vnet->flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
		vnet->csum_start = p->l4_off - XE_L3_OFF;
		vnet->csum_offset = udp ? XE_UDP_CSUM : XE_TCP_CSUM;
	}
	if (p->gso_size) {
		vnet->hdr_len = p->l4_off - XE_L3_OFF + p->l4_hdr_len;
		vnet->gso_size = p->gso_size;
		vnet->gso_type = udp ? 5 /* VIRTIO_NET_HDR_GSO_UDP_L4 */ : VIRTIO_NET_HDR_GSO_TCPV4;
	}
}

void xe_punt(struct xe_lane *lane, struct xe_packet *p, enum xe_worker_reason reason)
{
	struct iovec iov[1 + XE_PACKET_FRAMES];
	struct virtio_net_hdr vnet = {};
	uint32_t skip = XE_L3_OFF;

	describe(&vnet, p);
	iov[0] = (struct iovec){.iov_base = &vnet, .iov_len = sizeof(vnet)};
	for (uint32_t i = 0; i < p->frame_cnt; i++) {
		iov[i + 1] = (struct iovec){
			.iov_base = xe_umem_ptr(&lane->umem, p->frames[i].addr) + skip,
			.iov_len = p->frames[i].len - skip,
		};
		skip = 0;
	}
	if (lane->punt_fd < 0 || writev(lane->punt_fd, iov, p->frame_cnt + 1) < 0) {
		xe_packet_drop(lane, p, XE_R_PUNT_FAILED);
		return;
	}
	xe_count(&lane->cnt.to_kernel, 1);
	xe_count(&lane->cnt.reason[reason], 1);
	xe_packet_release(lane, p);
}
