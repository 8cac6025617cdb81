/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * tcp_track.h - what a TCP segment means for the session it belongs to.
 *
 * The states are for the timeouts (RFC 5382 REQ-5: established 2 h 4 min, all else 4 min) and for
 * knowing which sessions are over. Whoever is not on the way of a flow can forge its addresses and
 * L4 ports, but neither sees nor knows its sequence numbers; so a segment changes a session only
 * when its numbers fit what was seen of the flow so far:
 *
 * - SYN: in a session that is being opened; or one that the other side has acknowledged exactly
 * - data, FIN: seq within what the receiver has offered, ack within what it has sent (RFC 5961
 *   section 5); a FIN only behind everything sent before
 * - RST: seq exactly what the receiver expects (RFC 5961 section 3): its highest
 *   acknowledgement, or the end of all that was sent to it, when the last of that is still on
 *   the way. In between it may be right, too, but no sender uses that. Before the sender has
 *   acknowledged anything: an ack that fits instead (RFC 9293 3.10.7.3)
 *
 * What does not fit passes and changes nothing: not the state, not the numbers, and from outside
 * not the idle time. It is not dropped, because answering is the endpoints' part: an inexact RST,
 * or a SYN on a live flow, is to reach the receiver, which sends a challenge ACK; that passes back,
 * and the sender, if it was the genuine one, answers with the exact RST. A translator that drops
 * either keeps a restarted host from its own L4 port, and one that is wrong about a window breaks a
 * flow.
 *
 * Nothing here ends a session. A RST or two acknowledged FINs make it CLOSED: it keeps its L4 port
 * for the transitory time, its opener may start over with a SYN at once, and when room is wanted
 * closed sessions go first. A side that goes on after its own RST (new data, new
 * acknowledgements that fit) was not the one that sent it: the session is what it was before
 * (RFC 6146 section 3.5.2.2 does so, too). Data behind a FIN undoes the FIN the same way.
 *
 * Numbers are those on the wire: no sequence number is translated. They wrap; all comparisons are
 * by difference. A superpacket is one long segment. SACK and timestamps change none of this.
 *
 * A session may come from elsewhere without any numbers (pipeline/adopt.h, from the kernel): then
 * the inside's next segment says them.
 *
 *            opener's SYN    answer        each SYN acknowledged     a FIN      both acknowledged
 *   (new) ----> SYN_SENT ----> SYN_BACK ----> ESTABLISHED ----> CLOSING ----> CLOSED
 *                  |               |                |               |           ^ | opener's SYN:
 *                  +---------------+-- RST ---------+---------------+-----------+ | SYN_SENT
 */
#ifndef XE_TCP_TRACK_H
#define XE_TCP_TRACK_H

#include <arpa/inet.h>

#include "state/session.h"

#define XE_TH_FIN 0x01
#define XE_TH_SYN 0x02
#define XE_TH_RST 0x04
#define XE_TH_PSH 0x08
#define XE_TH_ACK 0x10
#define XE_TH_ECE 0x40
#define XE_TH_CWR 0x80

/* In session.tcp_seen, by direction. */
#define XE_TS_SYN(dir)   (0x01 << (dir)) /* its sequence numbers are known */
#define XE_TS_ACKED(dir) (0x04 << (dir)) /* the other side has acknowledged its SYN */
#define XE_TS_FIN(dir)   (0x10 << (dir)) /* tcp_end counts its FIN */
#define XE_TS_RST(dir)   (0x40 << (dir))

/* Established, and no end in sight. */
#define XE_TS_ALIVE (XE_TS_SYN(0) | XE_TS_SYN(1) | XE_TS_ACKED(0) | XE_TS_ACKED(1))

/* RFC 7323: shifts above 14 are taken for 14. */
#define XE_TCP_SCALE_MAX 14
#define XE_TCP_NO_SCALE  15

static inline bool xe_seq_before(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b) < 0;
}

static inline uint32_t xe_tcp_be32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return ntohl(v);
}

static inline uint16_t xe_tcp_be16(const uint8_t *p)
{
	uint16_t v;

	memcpy(&v, p, sizeof(v));
	return ntohs(v);
}

static inline uint8_t xe_tcp_scale(const struct xe_session *s, enum xe_dir dir)
{
	return s->tcp_scale >> (dir * 4) & 15;
}

bool xe_tcp_track_any(struct xe_session *s, enum xe_dir dir, const uint8_t *l4, uint32_t hdr_len,
		      uint32_t l4_len);

/* What xe_tcp_track_any() does, for nearly all segments there are: no flag but ACK and PSH, in a
 * flow that is XE_TS_ALIVE. */
static inline bool xe_tcp_track_plain(struct xe_session *s, enum xe_dir dir, const uint8_t *l4,
				      uint32_t len)
{
	uint32_t ack = xe_tcp_be32(l4 + 8), end = xe_tcp_be32(l4 + 4) + len;
	uint32_t offered = (uint32_t)s->tcp_win[!dir] << xe_tcp_scale(s, !dir);
	uint32_t late = (uint32_t)s->tcp_win[dir] << xe_tcp_scale(s, dir);
	uint32_t ack_min = s->tcp_ack[dir] - late;
	uint16_t win = xe_tcp_be16(l4 + 14);

	/* What is acknowledged has been sent, so that range is never empty: one comparison does. */
	if (ack - ack_min > s->tcp_end[!dir] - ack_min ||
	    xe_seq_before(end, s->tcp_end[dir] - offered - 1) ||
	    xe_seq_before(s->tcp_ack[!dir] + offered + 1, end))
		return false;
	if (xe_seq_before(s->tcp_end[dir], end))
		s->tcp_end[dir] = end;
	if (xe_seq_before(s->tcp_ack[dir], ack))
		s->tcp_ack[dir] = ack;
	if (s->tcp_win[dir] < win)
		s->tcp_win[dir] = win;
	return true;
}

/* A segment of the session passes: its TCP header of hdr_len bytes (at least 20, all there), in
 * l4_len bytes of header and payload. A new session is SYN_SENT, and this its first SYN. True: it
 * fits, and so the flow is alive; s->tcp_state may have changed. The timers are the caller's. */
static inline bool xe_tcp_track(struct xe_session *s, enum xe_dir dir, const uint8_t *l4,
				uint32_t hdr_len, uint32_t l4_len)
{
	if ((l4[13] & (XE_TH_ACK | XE_TH_SYN | XE_TH_FIN | XE_TH_RST)) == XE_TH_ACK &&
	    s->tcp_seen == XE_TS_ALIVE)
		return xe_tcp_track_plain(s, dir, l4, l4_len - hdr_len);
	return xe_tcp_track_any(s, dir, l4, hdr_len, l4_len);
}

/* Is this the SYN by which the session's opener starts over? Then xe_tcp_track() makes it SYN_SENT;
 * whether the new flow is to be, the caller asks before. */
static inline bool xe_tcp_reopens(const struct xe_session *s, enum xe_dir dir, uint8_t flags)
{
	return s->tcp_state == XE_TCP_CLOSED &&
	       (flags & (XE_TH_SYN | XE_TH_ACK | XE_TH_RST | XE_TH_FIN)) == XE_TH_SYN &&
	       dir == (s->flags & XE_SF_FROM_OUTSIDE ? XE_DIR_BACK : XE_DIR_OUT);
}

#endif
