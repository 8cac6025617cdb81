/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * mss.h - segment sizes of TCP superpackets where the kernel does not let them be read: from the
 * MSS options of the handshake.
 *
 * A sender's segments are at most what the other side has announced, less the options it puts into
 * each (RFC 6691), and no larger than its way. A superpacket cut so may have other boundaries than
 * its sender meant, never segments that its receiver or the egress cannot take.
 */
#ifndef XE_MSS_H
#define XE_MSS_H

#include <arpa/inet.h>
#include <netinet/in.h>

#include "pipeline/burst.h"
#include "pipeline/vnet.h"

/* RFC 9293 section 3.7.1: without the option, and so for flows whose start was not seen. */
#define XE_MSS_DEFAULT  536
#define XE_MSS_DEFAULT6 1220
/* The kernel's TCP_MIN_MSS: with all options 48 bytes of payload are left. */
#define XE_MSS_MIN 88
/* What an MSS leaves out (RFC 6691). */
#define XE_MSS_HEADERS  (XE_IP_HDR_MIN + XE_TCP_HDR_MIN)
#define XE_MSS_HEADERS6 (XE_IP6_HDR + XE_TCP_HDR_MIN)
/* A route of 68 bytes with all options leaves nothing: fragments then. */
#define XE_MSS_SIZE_MIN 8

/* What a SYN announces. */
static inline uint16_t xe_mss_option(const uint8_t *l4, uint32_t hdr_len, bool v6)
{
	uint32_t at = XE_TCP_HDR_MIN;
	uint16_t mss;

	while (at + 4 <= hdr_len && l4[at]) {
		if (l4[at] == 1) {
			at++;
			continue;
		}
		if (l4[at] == 2 && l4[at + 1] == 4) {
			mss = ntohs(xe_get16(l4 + at + 2));
			return mss < XE_MSS_MIN ? XE_MSS_MIN : mss;
		}
		if (l4[at + 1] < 2)
			break;
		at += l4[at + 1];
	}
	return v6 ? XE_MSS_DEFAULT6 : XE_MSS_DEFAULT;
}

/* A SYN or SYN+ACK of a flow that is being opened; a later one (out of order, forged) says nothing.
 * While a second SYN waits for its answer, its number is kept where these would go. */
static inline void xe_mss_see(struct xe_session *s, const struct xe_packet *p)
{
	if (s->tcp_state != XE_TCP_SYN_SENT && s->tcp_state != XE_TCP_SYN_BACK)
		return;
	if (s->flags & XE_SF_SYN_AGAIN_ANY)
		return;
	if (p->dir == XE_DIR_OUT)
		s->mss_in = xe_mss_option(p->l2 + p->l4_off, p->l4_hdr_len, xe_packet_is_v6(p));
	else
		s->mss_peer = xe_mss_option(p->l2 + p->l4_off, p->l4_hdr_len, xe_packet_is_v6(p));
}

/* What bounds segments in this direction; 0: not known, or no longer (tcp_track.h). */
static inline uint16_t xe_mss_of(const struct xe_session *s, enum xe_dir dir)
{
	if (s->flags & XE_SF_SYN_AGAIN_ANY)
		return 0;
	return dir == XE_DIR_OUT ? s->mss_peer : s->mss_in;
}

/* Give a packet that may be a superpacket its segment size. mtu: of the way it leaves by. */
static inline void xe_mss_guess(struct xe_packet *p, uint16_t mss, uint32_t mtu)
{
	uint32_t headers, options, size;
	bool v6;

	if (!p->gso_unknown)
		return;
	v6 = xe_packet_is_v6(p);
	headers = v6 ? XE_MSS_HEADERS6 : XE_MSS_HEADERS;
	options = p->l4_off - XE_L3_OFF + p->l4_hdr_len - headers;
	size = mss ? mss : v6 ? XE_MSS_DEFAULT6 : XE_MSS_DEFAULT;
	if (size + headers > mtu)
		size = mtu > headers ? mtu - headers : 0;
	size = size > options + XE_MSS_SIZE_MIN ? size - options : XE_MSS_SIZE_MIN;
	p->gso_size = p->l4_len - p->l4_hdr_len > size ? (uint16_t)size : 0;
	p->gso_type = !p->gso_size ? 0 : v6 ? XE_SKB_GSO_TCPV6 : XE_SKB_GSO_TCPV4;
}

#endif
