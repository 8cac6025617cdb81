/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "state/session_record.h"

#include <netinet/in.h>
#include <sys/socket.h>

#include "state/tcp_track.h"

/* Has it an Ext L4 port: its own, or one that it was adopted with and only tags announce? */
static bool has_ext(const struct xe_session *s)
{
	return s->ext != XE_EXT_NONE ||
	       ((s->verb == XE_VERB_SNAT || s->verb == XE_VERB_MASQUERADE) &&
		xe_session_is_translated(s));
}

static bool is_mapped(const struct xe_session *s)
{
	if (s->ext != XE_EXT_NONE)
		return s->mapping != XE_NIL;
	return s->flags & XE_SF_FROM_OUTSIDE || s->mapping == XE_MAPPING_ELSEWHERE;
}

static uint8_t record_flags(const struct xe_session *s)
{
	uint8_t flags = 0;

	if (s->flags & XE_SF_REPLIED)
		flags |= XE_FR_REPLIED;
	if (s->flags & XE_SF_FROM_OUTSIDE)
		flags |= XE_FR_FROM_OUTSIDE;
	if (has_ext(s))
		flags |= XE_FR_EXT;
	if (has_ext(s) && is_mapped(s))
		flags |= XE_FR_MAPPED;
	if (s->hairpin)
		flags |= XE_FR_HAIRPIN;
	return flags;
}

static void record_tcp(const struct xe_session *s, struct xe_flow_record *r)
{
	r->tcp_state = s->tcp_state;
	r->tcp_scale = s->tcp_scale;
	r->tcp_seen = s->tcp_seen;
	for (int dir = 0; dir < 2; dir++) {
		r->tcp_win[dir] = s->tcp_win[dir];
		r->tcp_end[dir] = s->tcp_end[dir];
		r->tcp_ack[dir] = s->tcp_ack[dir];
	}
	/* Else the place is taken by what a SYN's acknowledgement would be: forgotten, which costs
	 * a sender who has been restarted one more SYN. */
	if (s->flags & XE_SF_SYN_AGAIN_ANY)
		return;
	r->mss_peer = s->mss_peer;
	r->mss_in = s->mss_in;
}

void xe_session_record(const struct xe_sessions *t, const struct xe_session *s, uint32_t now_s,
		       struct xe_flow_record *r)
{
	const struct xe_tuple4 *out = &s->key[XE_DIR_OUT], *back = &s->key[XE_DIR_BACK];

	*r = (struct xe_flow_record){
		.src = xe_tuple_addr(t, out->family, out->src_be),
		.dst = xe_tuple_addr(t, out->family, out->dst_be),
		.nat_src = xe_tuple_addr(t, back->family, back->dst_be),
		.nat_dst = xe_tuple_addr(t, back->family, back->src_be),
		.sport_be = out->sport_be,
		.dport_be = out->dport_be,
		.nat_sport_be = back->dport_be,
		.nat_dport_be = back->sport_be,
		.in_port = out->port,
		.out_port = back->port != XE_PORT_ANYUPLINK ? back->port : s->out_port,
		.family = out->family == XE_FAMILY_6 ? AF_INET6 : AF_INET,
		.proto = out->proto,
		.verb = s->verb,
		.flags = record_flags(s),
		.age_s = now_s - s->created_s,
		.idle_s = now_s - s->last_used_s,
	};
	memcpy(r->mac_back, s->mac_back, sizeof(r->mac_back));
	if (out->proto == IPPROTO_TCP)
		record_tcp(s, r);
	for (int dir = 0; dir < 2; dir++) {
		r->packets[dir] = xe_session_packets(s, (enum xe_dir)dir);
		r->bytes[dir] = xe_session_bytes(s, (enum xe_dir)dir);
	}
}

static void set_count(struct xe_flow_count *c, uint64_t packets, uint64_t bytes)
{
	c->packets_low = (uint32_t)packets;
	c->bytes_high = (bytes & ((1ull << XE_COUNT_BYTES_BITS) - 1)) |
			packets >> 32 << XE_COUNT_BYTES_BITS;
}

void xe_session_fill(struct xe_session *s, const struct xe_flow_record *r)
{
	memcpy(s->mac_back, r->mac_back, sizeof(s->mac_back));
	s->mss_peer = r->mss_peer;
	s->mss_in = r->mss_in;
	if (r->flags & XE_FR_REPLIED)
		s->flags |= XE_SF_REPLIED;
	for (int dir = 0; dir < 2; dir++)
		set_count(&s->count[dir], r->packets[dir], r->bytes[dir]);
	if (r->proto != IPPROTO_TCP)
		return;
	s->tcp_state = r->tcp_state & 7;
	s->tcp_scale = r->tcp_scale;
	s->tcp_seen = r->tcp_seen;
	for (int dir = 0; dir < 2; dir++) {
		s->tcp_win[dir] = r->tcp_win[dir];
		s->tcp_end[dir] = r->tcp_end[dir];
		s->tcp_ack[dir] = r->tcp_ack[dir];
	}
}
