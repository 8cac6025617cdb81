/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * csum.c - complete the checksum of packets whose sender left it to an offload.
 *
 * The field holds the pseudo-header sum, so the sum over the L4 header and payload, folded and
 * complemented, is the checksum. Superpackets keep the partial field: they leave with a request to
 * complete each segment.
 */
#include <netinet/in.h>

#include "base/insum.h"
#include "pipeline/pipeline.h"

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

void xe_csum_complete(struct xe_lane *lane, struct xe_packet *p)
{
	uint64_t sum = xe_csum_sum_l4(lane, p);

	if (p->proto == IPPROTO_UDP)
		xe_put16(p->l2 + p->l4_off + XE_UDP_CSUM, xe_csum_finish_udp(sum));
	else
		xe_put16(p->l2 + p->l4_off + XE_TCP_CSUM, xe_csum_finish(sum));
	p->partial = false;
}

void xe_csum(struct xe_lane *lane, struct xe_burst *burst)
{
	for (uint32_t i = 0; i < burst->cnt; i++) {
		struct xe_packet *p = &burst->packets[i];

		if (p->ended || !p->partial || p->gso_size)
			continue;
		xe_csum_complete(lane, p);
	}
}
