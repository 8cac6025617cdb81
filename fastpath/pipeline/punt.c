/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * punt.c - a packet that should not have been taken goes to the kernel's path after all.
 *
 * By a tun device with virtio-net headers: the kernel sees the untranslated IP packet come in on
 * it, superpackets and partial checksums included, routes it, and answers where an answer is due
 * (unreachable, fragmentation needed). Only before nat has touched them. From an uplink these are
 * fragments of what turns out not to be ours, and what is for flows of the host; they go by a
 * device of their own, which counts as an uplink for the safety net: what protects the host and its
 * containers there protects them here.
 */
#include <netinet/in.h>
#include <sys/uio.h>
#include <unistd.h>

#include "pipeline/pipeline.h"
#include "pipeline/reassemble.h"
#include "pipeline/vnet.h"

/* A fragment's is in another one perhaps; an ICMP error's is that of ICMP. */
static bool has_l4_csum(const struct xe_packet *p)
{
	return !p->frag_max && (p->proto == IPPROTO_TCP || p->proto == IPPROTO_UDP);
}

void xe_punt(struct xe_lane *lane, struct xe_packet *p, enum xe_worker_reason reason)
{
	struct iovec iov[1 + XE_PACKET_FRAMES];
	struct virtio_net_hdr vnet = {};
	int fd = p->role == XE_ROLE_UPLINK ? lane->punt_uplink_fd : lane->punt_fd;
	uint32_t skip = XE_L3_OFF;
	struct xe_packet piece;

	if (p->frag_cnt) {
		while (xe_reassemble_next(lane, p, &piece))
			xe_punt(lane, &piece, reason);
		return;
	}
	xe_vnet_describe(&vnet, p, has_l4_csum(p) && xe_packet_is_partial(p), XE_L3_OFF);
	iov[0] = (struct iovec){.iov_base = &vnet, .iov_len = sizeof(vnet)};
	for (uint32_t i = 0; i < p->frame_cnt; i++) {
		iov[i + 1] = (struct iovec){
			.iov_base = xe_umem_ptr(&lane->umem, p->frames[i].addr) + skip,
			.iov_len = p->frames[i].len - skip,
		};
		skip = 0;
	}
	if (fd < 0 || writev(fd, iov, p->frame_cnt + 1) < 0) {
		xe_packet_drop(lane, p, XE_R_PUNT_FAILED);
		return;
	}
	xe_count(&lane->cnt.to_kernel, 1);
	xe_count(&lane->cnt.reason[reason], 1);
	xe_packet_release(lane, p);
}
