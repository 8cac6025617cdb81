/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * tx_csum.h - L4 checksums completed by the device that sends: how an AF_XDP packet asks for it,
 * and for which devices that is safe to ask.
 *
 * The request lies in the frame, in the 24 bytes in front of the packet (TX metadata, kernel 6.8),
 * where a received packet has headroom to spare:
 *
 *      frame                   packet
 *      |....................|meta|Ethernet|IP|L4 ...      descriptor: addr = packet,
 * XE_DESC_TX_META ^  ^ csum_start  csum_offset, which holds the pseudo-header sum
 *
 * In copy mode it becomes an skb with CHECKSUM_PARTIAL: into a veth it is passed on as such and
 * nobody ever sums the payload; for a NIC that cannot sum, the kernel does on the way (src:
 * __dev_direct_xmit -> validate_xmit_skb_list -> skb_csum_hwoffload_help).
 */
#ifndef XE_TX_CSUM_H
#define XE_TX_CSUM_H

#include <linux/if_xdp.h>
#include <stdbool.h>
#include <stdint.h>

/* include/uapi/linux/if_xdp.h of 6.8 and later; Debian 12's headers are older. */
#define XE_UMEM_TX_META_LEN (1u << 2) /* xdp_umem_reg.flags: tx_metadata_len counts */
#define XE_DESC_TX_META     (1u << 1) /* xdp_desc.options */
#define XE_TX_META_CSUM     (1u << 1) /* xe_tx_meta.flags */

struct xe_tx_meta {
	uint64_t flags;
	uint16_t csum_start;  /* from the packet's first byte */
	uint16_t csum_offset; /* from csum_start */
	uint32_t unused;
	uint64_t launch_time; /* kernel 6.14; zero */
};
_Static_assert(sizeof(struct xe_tx_meta) == 24, "the kernel's structure");

/* The kernel's struct xdp_umem_reg of 6.8 and later. An older one takes it, too, and does not look
 * at the last word, which was padding. */
struct xe_umem_reg {
	uint64_t addr;
	uint64_t len;
	uint32_t chunk_size;
	uint32_t headroom;
	uint32_t flags;
	uint32_t tx_metadata_len;
};
_Static_assert(sizeof(struct xe_umem_reg) == 32, "the kernel's structure");

/* checksum-offload: of the configuration. */
enum xe_csum_offload { XE_CSUM_OFFLOAD_AUTO, XE_CSUM_OFFLOAD_ON, XE_CSUM_OFFLOAD_OFF };

/* May packets that leave this interface by AF_XDP ask? NULL: yes; else why not, a static clause.
 * zerocopy: the socket's mode. only_gain: neither where asking would work, but cost more than the
 * worker's own sum. Control thread. */
const char *xe_tx_csum_why_not(int ifindex, bool zerocopy, bool only_gain);

/* Register a UMEM with room for requests. 0, or -errno: this kernel has none. */
int xe_tx_csum_register(int xsk_fd, struct xe_umem_reg reg);

/* Write the request in front of the packet; the descriptor then needs XE_DESC_TX_META. What lay
 * there (the metadata of steer) is overwritten. */
static inline void xe_tx_csum_ask(uint8_t *packet, uint16_t csum_start, uint16_t csum_offset)
{
	struct xe_tx_meta meta = {
		.flags = XE_TX_META_CSUM, .csum_start = csum_start, .csum_offset = csum_offset};

	__builtin_memcpy(packet - sizeof(meta), &meta, sizeof(meta));
}

#endif
