/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "state/tcp_track.h"

#define SYN_BOTH   (XE_TS_SYN(0) | XE_TS_SYN(1))
#define ACKED_BOTH (XE_TS_ACKED(0) | XE_TS_ACKED(1))
#define FIN_BOTH   (XE_TS_FIN(0) | XE_TS_FIN(1))
#define RST_BOTH   (XE_TS_RST(0) | XE_TS_RST(1))

/* TCP options */
#define OPT_END   0
#define OPT_NOP   1
#define OPT_SCALE 3

struct segment {
	uint32_t seq, ack, len; /* host order; len: payload */
	uint16_t win;           /* as it was written */
	uint8_t flags;          /* XE_TH_* */
	uint8_t scale;          /* of a SYN: the shift it offers, or XE_TCP_NO_SCALE */
};

static bool within(uint32_t n, uint32_t first, uint32_t last)
{
	return !xe_seq_before(n, first) && !xe_seq_before(last, n);
}

/* ---- a segment from its bytes ---- */

static uint8_t scale_option(const uint8_t *l4, uint32_t hdr_len)
{
	uint32_t at = 20;

	while (at + 3 <= hdr_len && l4[at] != OPT_END) {
		if (l4[at] == OPT_NOP) {
			at++;
			continue;
		}
		if (l4[at] == OPT_SCALE && l4[at + 1] == 3)
			return l4[at + 2] > XE_TCP_SCALE_MAX ? XE_TCP_SCALE_MAX : l4[at + 2];
		if (l4[at + 1] < 2)
			break;
		at += l4[at + 1];
	}
	return XE_TCP_NO_SCALE;
}

static struct segment read_segment(const uint8_t *l4, uint32_t hdr_len, uint32_t l4_len)
{
	return (struct segment){
		.seq = xe_tcp_be32(l4 + 4),
		.ack = xe_tcp_be32(l4 + 8),
		.len = l4_len - hdr_len,
		.win = xe_tcp_be16(l4 + 14),
		.flags = l4[13],
		.scale = l4[13] & XE_TH_SYN ? scale_option(l4, hdr_len) : XE_TCP_NO_SCALE,
	};
}

/* ---- windows ---- */

static void set_scale(struct xe_session *s, enum xe_dir dir, uint8_t scale)
{
	s->tcp_scale = (uint8_t)((s->tcp_scale & ~(15 << (dir * 4))) | scale << (dir * 4));
}

/* What this side has at most offered, bytes. The windows of a handshake are never scaled. */
static uint32_t window(const struct xe_session *s, enum xe_dir dir)
{
	if ((s->tcp_seen & ACKED_BOTH) != ACKED_BOTH)
		return s->tcp_win[dir];
	return (uint32_t)s->tcp_win[dir] << xe_tcp_scale(s, dir);
}

/* The handshake is over: scaling holds from now on, if both have offered it. */
static void settle_scales(struct xe_session *s)
{
	if (xe_tcp_scale(s, 0) == XE_TCP_NO_SCALE || xe_tcp_scale(s, 1) == XE_TCP_NO_SCALE) {
		s->tcp_scale = 0;
		return;
	}
	for (int dir = 0; dir < 2; dir++)
		if (xe_tcp_scale(s, dir))
			s->tcp_win[dir] = (uint16_t)((s->tcp_win[dir] >> xe_tcp_scale(s, dir)) + 1);
}

/* ---- states ---- */

static uint8_t state_of(const struct xe_session *s)
{
	uint8_t seen = s->tcp_seen;

	if (seen == XE_TS_ALIVE)
		return XE_TCP_ESTABLISHED;
	if (seen & RST_BOTH)
		return XE_TCP_CLOSED;
	if ((seen & FIN_BOTH) == FIN_BOTH && !xe_seq_before(s->tcp_ack[0], s->tcp_end[1]) &&
	    !xe_seq_before(s->tcp_ack[1], s->tcp_end[0]))
		return XE_TCP_CLOSED;
	if (seen & FIN_BOTH)
		return XE_TCP_CLOSING;
	return (seen & SYN_BOTH) == SYN_BOTH ? XE_TCP_SYN_BACK : XE_TCP_SYN_SENT;
}

static void see_acked(struct xe_session *s, enum xe_dir dir)
{
	if (s->tcp_seen & XE_TS_ACKED(dir))
		return;
	s->tcp_seen |= (uint8_t)XE_TS_ACKED(dir);
	if ((s->tcp_seen & ACKED_BOTH) == ACKED_BOTH)
		settle_scales(s);
}

/* One side's numbers, from its SYN. What the other side has acknowledged of them is at least that
 * SYN, or it will not be listened to. */
static void open_side(struct xe_session *s, enum xe_dir dir, const struct segment *seg)
{
	uint32_t end = seg->seq + 1 + seg->len;
	bool same = (s->tcp_seen & XE_TS_SYN(dir)) && s->tcp_ack[!dir] == seg->seq + 1;

	/* Sent again: there may have been data behind it (RFC 7413). */
	if (!same || xe_seq_before(s->tcp_end[dir], end))
		s->tcp_end[dir] = end;
	if (!(s->tcp_seen & XE_TS_ACKED(dir)))
		s->tcp_ack[!dir] = seg->seq + 1;
	if (!same || s->tcp_win[dir] < seg->win)
		s->tcp_win[dir] = seg->win;
	set_scale(s, dir, seg->scale);
	s->tcp_seen |= (uint8_t)XE_TS_SYN(dir);
}

/* The flow begins, or begins anew, with this SYN. */
static void open_flow(struct xe_session *s, enum xe_dir dir, const struct segment *seg)
{
	s->tcp_seen = 0;
	s->tcp_win[!dir] = 0;
	set_scale(s, !dir, XE_TCP_NO_SCALE);
	s->flags &= (uint8_t)~XE_SF_SYN_AGAIN_ANY;
	s->mss_in = s->mss_peer = 0;
	open_side(s, dir, seg);
	s->tcp_state = XE_TCP_SYN_SENT;
}

/* ---- SYN ---- */

/* A SYN where the flow is not being opened. Its sender may have been restarted: should the other
 * side acknowledge it exactly, it has been, and so has the flow. From outside this is believed to
 * be possible only when the flow is closed: anyone can send a SYN. */
static bool see_syn_again(struct xe_session *s, enum xe_dir dir, const struct segment *seg)
{
	if (dir == XE_DIR_BACK && s->tcp_state != XE_TCP_CLOSED)
		return false;
	s->flags &= (uint8_t)~XE_SF_SYN_AGAIN(!dir);
	s->flags |= (uint8_t)XE_SF_SYN_AGAIN(dir);
	s->syn_end = seg->seq + 1;
	return dir == XE_DIR_OUT;
}

static bool see_syn(struct xe_session *s, enum xe_dir dir, const struct segment *seg)
{
	bool handshake = s->tcp_state == XE_TCP_SYN_SENT || s->tcp_state == XE_TCP_SYN_BACK;

	if (xe_tcp_reopens(s, dir, seg->flags)) {
		open_flow(s, dir, seg);
		return true;
	}
	if (handshake && (s->tcp_seen & XE_TS_SYN(dir)) && s->tcp_ack[!dir] == seg->seq + 1) {
		open_side(s, dir, seg); /* sent again */
		return true;
	}
	if (s->tcp_state == XE_TCP_SYN_SENT && (s->tcp_seen & XE_TS_SYN(dir))) {
		/* Another attempt of an opener that nobody answers. */
		if (dir == XE_DIR_OUT)
			open_flow(s, dir, seg);
		return dir == XE_DIR_OUT;
	}
	if (handshake && !(s->tcp_seen & XE_TS_ACKED(!dir)) && !(s->tcp_seen & XE_TS_ACKED(dir))) {
		/* Simultaneous open, or somebody says so: the SYN+ACK will tell. */
		open_side(s, dir, seg);
		s->tcp_state = state_of(s);
		return dir == XE_DIR_OUT;
	}
	return see_syn_again(s, dir, seg);
}

/* The SYN that a closed or live tuple saw has been accepted: only what has been seen of it is
 * known. */
static void start_over(struct xe_session *s, enum xe_dir dir, uint32_t syn_end)
{
	const struct segment syn = {
		.seq = syn_end - 1,
		.win = UINT16_MAX,
		.flags = XE_TH_SYN,
		.scale = XE_TCP_SCALE_MAX,
	};

	open_flow(s, dir, &syn);
}

static bool see_syn_ack(struct xe_session *s, enum xe_dir dir, const struct segment *seg)
{
	if ((s->flags & XE_SF_SYN_AGAIN(!dir)) && seg->ack == s->syn_end)
		start_over(s, !dir, s->syn_end);
	if (s->tcp_state != XE_TCP_SYN_SENT && s->tcp_state != XE_TCP_SYN_BACK)
		return false;
	if (!(s->tcp_seen & XE_TS_SYN(!dir)) ||
	    !within(seg->ack, s->tcp_ack[dir], s->tcp_end[!dir]))
		return false;
	/* Simultaneous open: the other side has acknowledged this SYN, or else another one. */
	if ((s->tcp_seen & XE_TS_ACKED(dir)) && s->tcp_ack[!dir] != seg->seq + 1)
		return false;
	open_side(s, dir, seg);
	s->tcp_ack[dir] = seg->ack;
	see_acked(s, !dir);
	s->tcp_state = state_of(s);
	return true;
}

/* ---- RST ---- */

/* Has this side shown that it sees the flow, or is it the inside, which can only reset its own? */
static bool is_genuine(const struct xe_session *s, enum xe_dir dir)
{
	return (s->tcp_seen & XE_TS_SYN(dir)) &&
	       (dir == XE_DIR_OUT || (s->tcp_seen & XE_TS_ACKED(!dir)) ||
		(s->flags & XE_SF_FROM_OUTSIDE));
}

static bool see_rst(struct xe_session *s, enum xe_dir dir, const struct segment *seg)
{
	bool exact =
		is_genuine(s, dir) && (seg->seq == s->tcp_end[dir] || seg->seq == s->tcp_ack[!dir]);

	/* Refused: it acknowledges the SYN. */
	if (!exact && !(s->tcp_seen & XE_TS_ACKED(!dir)) && (s->tcp_seen & XE_TS_SYN(!dir)) &&
	    (seg->flags & XE_TH_ACK))
		exact = within(seg->ack, s->tcp_ack[dir], s->tcp_end[!dir]);
	if (!exact)
		return false;
	s->tcp_seen |= (uint8_t)XE_TS_RST(dir);
	s->tcp_state = XE_TCP_CLOSED;
	return true;
}

/* ---- all others ---- */

static bool fits(const struct xe_session *s, enum xe_dir dir, const struct segment *seg,
		 uint32_t end)
{
	uint32_t offered = window(s, !dir);
	/* Acknowledgements may come late; that of a SYN is exact. */
	uint32_t late = s->tcp_seen & XE_TS_ACKED(!dir) ? window(s, dir) : 0;

	/* A window probe may lie one behind the window, a keepalive one before it. */
	return (seg->flags & XE_TH_ACK) && (s->tcp_seen & SYN_BOTH) == SYN_BOTH &&
	       within(seg->ack, s->tcp_ack[dir] - late, s->tcp_end[!dir]) &&
	       !xe_seq_before(s->tcp_ack[!dir] + offered + 1, end) &&
	       !xe_seq_before(end, s->tcp_end[dir] - offered - 1);
}

static bool see_other(struct xe_session *s, enum xe_dir dir, const struct segment *seg)
{
	bool fin = seg->flags & XE_TH_FIN;
	uint32_t end = seg->seq + seg->len + fin;

	if (!fits(s, dir, seg, end))
		return false;
	see_acked(s, !dir);
	if (seg->win > s->tcp_win[dir])
		s->tcp_win[dir] = seg->win;
	if (xe_seq_before(s->tcp_end[dir], end)) {
		s->tcp_end[dir] = end;
		s->tcp_seen &= (uint8_t) ~(XE_TS_FIN(dir) | XE_TS_RST(dir));
	}
	if (xe_seq_before(s->tcp_ack[dir], seg->ack)) {
		s->tcp_ack[dir] = seg->ack;
		s->tcp_seen &= (uint8_t)~XE_TS_RST(dir);
	}
	if (fin && end == s->tcp_end[dir])
		s->tcp_seen |= (uint8_t)XE_TS_FIN(dir);
	s->tcp_state = state_of(s);
	return true;
}

/* A flow that began elsewhere, where nobody kept its numbers: what the inside sends is believed,
 * and of the other side what that says. The scales are unknown, so windows are taken for the
 * largest.
 */
static bool pick_up(struct xe_session *s, enum xe_dir dir, const struct segment *seg)
{
	if (dir != XE_DIR_OUT || !(seg->flags & XE_TH_ACK) || seg->flags & XE_TH_FIN ||
	    s->tcp_state > XE_TCP_ESTABLISHED)
		return false;
	s->tcp_end[XE_DIR_OUT] = seg->seq + seg->len;
	s->tcp_ack[XE_DIR_OUT] = s->tcp_end[XE_DIR_BACK] = seg->ack;
	s->tcp_ack[XE_DIR_BACK] = seg->seq;
	s->tcp_win[XE_DIR_OUT] = s->tcp_win[XE_DIR_BACK] = UINT16_MAX;
	s->tcp_scale = XE_TCP_SCALE_MAX << 4 | XE_TCP_SCALE_MAX;
	s->tcp_seen = XE_TS_ALIVE;
	s->tcp_state = XE_TCP_ESTABLISHED;
	return true;
}

bool xe_tcp_track_any(struct xe_session *s, enum xe_dir dir, const uint8_t *l4, uint32_t hdr_len,
		      uint32_t l4_len)
{
	struct segment seg = read_segment(l4, hdr_len, l4_len);

	if (seg.flags & XE_TH_RST)
		return see_rst(s, dir, &seg);
	if (seg.flags & XE_TH_SYN)
		return seg.flags & XE_TH_ACK ? see_syn_ack(s, dir, &seg) : see_syn(s, dir, &seg);
	if (!s->tcp_seen)
		return pick_up(s, dir, &seg);
	return see_other(s, dir, &seg);
}
