/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "io/gso_tx.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/ethernet.h>
#include <string.h>
#include <unistd.h>

#ifndef PACKET_QDISC_BYPASS
#define PACKET_QDISC_BYPASS 20
#endif
/* On a NIC an skb counts against the socket until it is sent: 16 MiB are 256 superpackets. */
#define SNDBUF_SIZE (16 << 20)

static int open_one(bool bypass)
{
	int one = 1, sndbuf = SNDBUF_SIZE, err;
	/* Protocol 0: this socket never receives. */
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	if (setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &one, sizeof(one)) ||
	    (bypass && setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, &one, sizeof(one)))) {
		err = -errno;
		close(fd);
		return err;
	}
	setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &sndbuf, sizeof(sndbuf));
	return fd;
}

int xe_gso_tx_open(struct xe_gso_tx *tx)
{
	memset(tx, 0, sizeof(*tx));
	tx->qdisc_fd = -1;
	tx->bypass_fd = open_one(true);
	if (tx->bypass_fd < 0)
		return tx->bypass_fd;
	tx->qdisc_fd = open_one(false);
	if (tx->qdisc_fd >= 0)
		return 0;
	close(tx->bypass_fd);
	tx->bypass_fd = -1;
	return tx->qdisc_fd;
}

void xe_gso_tx_close(struct xe_gso_tx *tx)
{
	if (tx->bypass_fd >= 0)
		close(tx->bypass_fd);
	if (tx->qdisc_fd >= 0)
		close(tx->qdisc_fd);
	tx->bypass_fd = tx->qdisc_fd = -1;
}

struct xe_gso_item *xe_gso_tx_next(struct xe_gso_tx *tx, uint32_t iov_cnt)
{
	struct xe_gso_item *item;
	struct msghdr *msg;

	if (tx->cnt == XE_GSO_BATCH)
		return NULL;
	item = &tx->items[tx->cnt];
	msg = &tx->msgs[tx->cnt++].msg_hdr;
	memset(msg, 0, sizeof(*msg));
	memset(&item->vnet, 0, sizeof(item->vnet));
	memset(&item->to, 0, sizeof(item->to));
	item->to.sll_family = AF_PACKET;
	item->to.sll_halen = 6;
	item->iov[0] = (struct iovec){.iov_base = &item->vnet, .iov_len = sizeof(item->vnet)};
	msg->msg_name = &item->to;
	msg->msg_namelen = sizeof(item->to);
	msg->msg_iov = item->iov;
	msg->msg_iovlen = iov_cnt + 1;
	return item;
}

uint32_t xe_gso_tx_send(struct xe_gso_tx *tx, uint32_t first, uint32_t cnt, bool by_qdisc, int *err)
{
	int fd = by_qdisc ? tx->qdisc_fd : tx->bypass_fd, n;
	uint32_t sent = 0;

	*err = 0;
	while (first + sent < cnt) {
		n = sendmmsg(fd, &tx->msgs[first + sent], cnt - first - sent, MSG_DONTWAIT);
		if (n <= 0) {
			*err = n < 0 ? -errno : -EIO;
			break;
		}
		sent += (uint32_t)n;
	}
	return sent;
}
