/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * fragment.c - a packet that may be fragmented and must (RFC 791 section 3.2).
 *
 * Each fragment but the last has a multiple of 8 bytes, as many as fit. Only the first one has the
 * L4 header, so its checksum has to be whole before. Options that are not to be copied become
 * no-operations in the later ones: the header keeps its length, as in the kernel
 * (ip_do_fragment()).
 */
#include <arpa/inet.h>

#include "pipeline/cut.h"
#include "pipeline/pipeline.h"
#include "pipeline/reassemble.h"

/* An IP header and 8 bytes must fit; routes have at least 68 (RFC 791), and if one has less, this
 * ends all the same. */
#define FRAG_UNIT 8u

#define IPOPT_END    0
#define IPOPT_NOP    1
#define IPOPT_COPIED 0x80

static void blank_options(uint8_t *ip)
{
	uint32_t len = xe_ip_hdr_len(ip), at = XE_IP_HDR_MIN;

	while (at < len && ip[at] != IPOPT_END) {
		uint32_t opt_len = ip[at] == IPOPT_NOP ? 1 : at + 1 < len ? ip[at + 1] : 0;

		if (ip[at] != IPOPT_NOP && (opt_len < 2 || at + opt_len > len))
			return;
		if (!(ip[at] & IPOPT_COPIED))
			memset(ip + at, IPOPT_NOP, opt_len);
		at += opt_len;
	}
}

/* Has it another source by now, which others have, too? Also what turns back to another container
 * (hairpin.c), whose session it is in then. */
static bool has_new_source(const struct xe_packet *p)
{
	if (xe_packet_is_v6(p) || !p->session)
		return false;
	return p->hairpin || (p->dir == XE_DIR_OUT && xe_session_is_translated(p->session));
}

void xe_fragment(struct xe_lane *lane, struct xe_packet *p)
{
	uint32_t head_len = p->l4_off, off = 0, room;
	struct xe_packet piece;
	struct xe_cut cut;

	if (p->partial)
		xe_csum_complete(lane, p);
	if (has_new_source(p))
		xe_ip_id_renew(lane, p);
	if (p->frag_cnt && p->frag_max <= p->frag_mtu) {
		xe_reassemble_send(lane, p);
		return;
	}
	room = p->frag_mtu > head_len - XE_L3_OFF + FRAG_UNIT
		       ? (p->frag_mtu - (head_len - XE_L3_OFF)) & ~(FRAG_UNIT - 1)
		       : FRAG_UNIT;
	xe_cut_begin(&cut, lane, p, head_len);
	do {
		uint32_t len = cut.left < room ? cut.left : room;

		if (xe_cut_next(&cut, &piece, head_len, len)) {
			uint8_t *ip = piece.l2 + XE_L3_OFF;

			if (off)
				blank_options(ip);
			xe_put16(ip + XE_IP_FRAG,
				 htons((uint16_t)(off / FRAG_UNIT | (cut.left ? XE_IP_MF : 0))));
			xe_ip_finish(ip, piece.len - XE_L3_OFF);
			xe_tx_piece(lane, &piece);
		}
		off += len;
	} while (cut.left);
	xe_packet_release(lane, p);
}
