/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * cut.h - what segment.c and fragment.c share: a packet is read from its beginning to its end, and
 * written into pieces in frames of their own.
 *
 * A piece is a whole packet of its own (headers first, then the next bytes of the payload). It goes
 * to tx at once and leaves in order; when there is no frame for one, it is dropped as NO_FRAMES.
 * Either way it is counted: cutting one packet into n makes n - 1.
 */
#ifndef XE_CUT_H
#define XE_CUT_H

#include "pipeline/lane.h"

/* How far a packet has been read. */
struct xe_cut {
	struct xe_lane *lane;
	const struct xe_packet *from;
	const struct xe_packet *part; /* from itself, or what hangs on it (reassemble.h) */
	uint32_t frame_idx, off;      /* the next byte: frame, and offset in it */
	uint32_t left;                /* bytes behind it */
	uint32_t pieces;
};

/* Begin behind the first head_len bytes, which are all in the first frame. */
void xe_cut_begin(struct xe_cut *cut, struct xe_lane *lane, const struct xe_packet *from,
		  uint32_t head_len);
/* The next piece: `from` with the first head_len bytes and the next payload_len ones. False: no
 * frames; the piece is counted as dropped, and its payload is behind us all the same. */
bool xe_cut_next(struct xe_cut *cut, struct xe_packet *piece, uint32_t head_len,
		 uint32_t payload_len);

static inline uint32_t xe_ip_hdr_len(const uint8_t *ip)
{
	return (ip[0] & 15u) * 4;
}
/* Write the IPv4 header's total length, then the checksum of the whole header. */
void xe_ip_finish(uint8_t *ip, uint32_t tot_len);

/* segment.c: send a superpacket as the segments the sender meant, each fragmented where it is
 * longer than frag_mtu. The packet has ended then. */
void xe_segment(struct xe_lane *lane, struct xe_packet *p);
/* fragment.c: send a packet as fragments of at most p->frag_mtu bytes (RFC 791). The packet has
 * ended then. */
void xe_fragment(struct xe_lane *lane, struct xe_packet *p);

#endif
