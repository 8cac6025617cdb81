/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "pipeline/cut.h"

#include <arpa/inet.h>

#include "base/insum.h"
#include "pipeline/pipeline.h"

void xe_cut_begin(struct xe_cut *cut, struct xe_lane *lane, const struct xe_packet *from,
		  uint32_t head_len)
{
	*cut = (struct xe_cut){
		.lane = lane,
		.from = from,
		.part = from,
		.off = head_len,
		.left = from->len - head_len,
	};
}

/* len bytes from where reading stands; to NULL: only pass them by. */
static void read_bytes(struct xe_cut *cut, uint8_t *to, uint32_t len)
{
	cut->left -= len;
	while (len) {
		const struct xdp_desc *d = &cut->part->frames[cut->frame_idx];
		uint32_t n = d->len - cut->off;

		if (!n && cut->frame_idx + 1 == cut->part->frame_cnt) {
			cut->part = cut->part->next;
			cut->frame_idx = 0;
			cut->off = cut->part->l4_off;
			continue;
		}
		if (!n) {
			cut->frame_idx++;
			cut->off = 0;
			continue;
		}
		if (n > len)
			n = len;
		if (to) {
			memcpy(to, xe_umem_ptr(&cut->lane->umem, d->addr) + cut->off, n);
			to += n;
		}
		cut->off += n;
		len -= n;
	}
}

/* Frames for len bytes. What waits to be sent is holding frames: when there are none it is sent
 * first. */
static bool take_frames(struct xe_lane *lane, struct xe_packet *piece, uint32_t len)
{
	uint32_t frames[XE_PACKET_FRAMES], n = (len + XE_FRAME_ROOM - 1) / XE_FRAME_ROOM;

	if (n > XE_PACKET_FRAMES)
		return false;
	if (lane->umem.free_cnt < n)
		xe_tx_drain(lane, &lane->ports[piece->out_port]);
	if (lane->umem.free_cnt < n)
		return false;
	xe_umem_take(&lane->umem, frames, n);
	piece->frame_cnt = (uint8_t)n;
	for (uint32_t i = 0; i < n; i++, len -= piece->frames[i - 1].len)
		piece->frames[i] = (struct xdp_desc){
			.addr = ((uint64_t)frames[i] << XE_FRAME_SHIFT) + XE_FRAME_HEADROOM,
			.len = len < XE_FRAME_ROOM ? len : XE_FRAME_ROOM,
		};
	return true;
}

bool xe_cut_next(struct xe_cut *cut, struct xe_packet *piece, uint32_t head_len,
		 uint32_t payload_len)
{
	struct xe_lane *lane = cut->lane;
	uint32_t skip = head_len;

	*piece = *cut->from;
	piece->ended = false;
	piece->next = NULL;
	piece->frag_cnt = 0;
	piece->frame_cnt = 0;
	piece->gso_size = 0;
	piece->gso_type = 0;
	piece->len = head_len + payload_len;
	piece->l4_len = piece->len - piece->l4_off;
	if (cut->pieces++)
		xe_count(&lane->cnt.made, 1);
	if (!take_frames(lane, piece, piece->len)) {
		read_bytes(cut, NULL, payload_len);
		xe_packet_drop(lane, piece, XE_R_NO_FRAMES);
		return false;
	}
	piece->l2 = xe_umem_ptr(&lane->umem, piece->frames[0].addr);
	memcpy(piece->l2, cut->from->l2, head_len);
	for (uint32_t i = 0; i < piece->frame_cnt; i++, skip = 0)
		read_bytes(cut, xe_umem_ptr(&lane->umem, piece->frames[i].addr) + skip,
			   piece->frames[i].len - skip);
	return true;
}

void xe_ip_finish(uint8_t *ip, uint32_t tot_len)
{
	xe_put16(ip + XE_IP_TOT_LEN, htons((uint16_t)tot_len));
	xe_put16(ip + XE_IP_CSUM, 0);
	xe_put16(ip + XE_IP_CSUM, xe_csum_finish(xe_insum(ip, xe_ip_hdr_len(ip))));
}
