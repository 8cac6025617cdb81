/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * vnet.h - what a virtio-net header says of a packet: for the AF_PACKET send (tx.c), with its
 * Ethernet header, and for the punt device (punt.c), without.
 */
#ifndef XE_VNET_H
#define XE_VNET_H

#include <linux/virtio_net.h>
#include <netinet/in.h>

#include "base/insum.h"
#include "pipeline/burst.h"

/* linux/virtio_net.h of Debian 12 does not name it; the kernel takes it since 6.2. */
#define XE_VNET_GSO_UDP_L4 5
/* include/linux/skbuff.h, see steer_gso.h */
#define XE_SKB_GSO_TCPV4     (1u << 0)
#define XE_SKB_GSO_TCP_ECN   (1u << 2)
#define XE_SKB_GSO_TCP_FIXID (1u << 3)
#define XE_SKB_GSO_TCPV6     (1u << 4)

/* Where the L4 checksum field stands, from the L4 header. */
static inline uint16_t xe_csum_offset(const struct xe_packet *p)
{
	return p->proto == IPPROTO_UDP ? XE_UDP_CSUM : XE_TCP_CSUM;
}

/* Sum of the pseudo-header of a packet as its headers are now. */
static inline uint64_t xe_packet_pseudo(const struct xe_packet *p)
{
	const uint8_t *ip = p->l2 + XE_L3_OFF;

	if (xe_packet_is_v6(p))
		return xe_insum_pseudo6(ip + XE_IP6_SRC, ip + XE_IP6_DST, p->proto, p->l4_len);
	return xe_insum_pseudo4(xe_get32(ip + XE_IP_SRC), xe_get32(ip + XE_IP_DST), p->proto,
				p->l4_len);
}

/* Has the sender left the checksum to an offload? Asks the packet as it came in: before nat. */
static inline bool xe_packet_is_partial(const struct xe_packet *p)
{
	uint16_t field = xe_get16(p->l2 + p->l4_off + xe_csum_offset(p));

	if (xe_packet_is_v6(p))
		return xe_csum_is_partial(field, xe_packet_pseudo(p));
	return xe_csum_is_partial(
		field, xe_insum_pseudo4(p->key.src_be, p->key.dst_be, p->proto, p->l4_len));
}

/* Fill a zeroed header for a packet that is sent from `skip` bytes behind p->l2 on. */
static inline void xe_vnet_describe(struct virtio_net_hdr *vnet, const struct xe_packet *p,
				    bool partial, uint16_t skip)
{
	if (partial) {
		vnet->flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
		vnet->csum_start = (uint16_t)(p->l4_off - skip);
		vnet->csum_offset = xe_csum_offset(p);
	}
	if (!p->gso_size)
		return;
	vnet->hdr_len = (uint16_t)(p->l4_off - skip + p->l4_hdr_len);
	vnet->gso_size = p->gso_size;
	vnet->gso_type = p->proto == IPPROTO_UDP ? XE_VNET_GSO_UDP_L4
			 : xe_packet_is_v6(p)    ? VIRTIO_NET_HDR_GSO_TCPV6
						 : VIRTIO_NET_HDR_GSO_TCPV4;
	if (p->gso_type & XE_SKB_GSO_TCP_ECN)
		vnet->gso_type |= VIRTIO_NET_HDR_GSO_ECN;
}

#endif
