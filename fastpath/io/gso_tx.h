/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * gso_tx.h - superpackets out: AF_PACKET with a virtio-net header.
 *
 * AF_XDP cannot ask for segmentation (up to 6.18), AF_PACKET can: the packet's frames are the
 * iovecs of one message, the header in front names the segment size and asks for the checksum, and
 * the kernel makes one skb of it. A veth passes that on whole, a NIC segments in hardware.
 * PACKET_QDISC_BYPASS saves the qdisc, but loses what a device cannot take whole: then the second
 * socket, without it, lets the kernel segment in software.
 *
 * The send is synchronous (the kernel copies), so the frames are free when it returns. Owned by one
 * worker.
 */
#ifndef XE_GSO_TX_H
#define XE_GSO_TX_H

#include <linux/if_packet.h>
#include <linux/virtio_net.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/uio.h>

/* Packets a sendmmsg() takes along: at 64 KiB each a system call is far below 1 % of the copy. */
#define XE_GSO_BATCH 16
/* Frames of one packet: 45 segments of 1448 bytes fill 64 KiB (merge.c joins as many as a burst
 * holds, up to this), a superpacket that came in as one has 18. */
#define XE_GSO_FRAMES 45
/* And the virtio-net header. */
#define XE_GSO_IOVS (1 + XE_GSO_FRAMES)

struct xe_gso_item {
	struct virtio_net_hdr vnet;
	struct sockaddr_ll to;
	struct iovec iov[XE_GSO_IOVS];
	void *cookie; /* the caller's packet */
};

struct xe_gso_tx {
	int bypass_fd; /* PACKET_QDISC_BYPASS */
	int qdisc_fd;
	uint32_t cnt;
	struct xe_gso_item items[XE_GSO_BATCH];
	struct mmsghdr msgs[XE_GSO_BATCH];
};

int xe_gso_tx_open(struct xe_gso_tx *tx);
void xe_gso_tx_close(struct xe_gso_tx *tx);

/* Queue one packet: the caller fills what it returns; NULL when the batch is full. */
struct xe_gso_item *xe_gso_tx_next(struct xe_gso_tx *tx, uint32_t iov_cnt);
/* Send messages [first, cnt) by one socket until one is refused; returns how many went, *err why
 * the next one did not (0: all). */
uint32_t xe_gso_tx_send(struct xe_gso_tx *tx, uint32_t first, uint32_t cnt, bool by_qdisc,
			int *err);

#endif
