/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * burst.h - the packets that go through the pipeline together.
 *
 * A burst is filled by rx (or by hold, which brings back packets that waited), and every stage
 * walks it once. A packet ends in exactly one way: sent, held, punted or dropped; then `ended` is
 * set, its frames have left the burst, and the later stages pass it by.
 */
#ifndef XE_BURST_H
#define XE_BURST_H

#include <linux/if_xdp.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "state/nexthop.h"
#include "state/session.h"
#include "state/tcp_track.h"
#include "xegress/reason.h"

/* 32 packets amortise a ring access to nothing, and their headers and sessions (about 10 KiB) stay
 * in L1. */
#define XE_BURST_SIZE 32
/* Frames of one packet: a 64 KiB superpacket is 65549 bytes in frames of 3840: 18. */
#define XE_PACKET_FRAMES 18

/* Has another worker received it? BY_BLOCK: the block of its Ext L4 port is ours, by what it is
 * here. FINAL: none of them knows its flow, and the port is ours. */
enum xe_handed { XE_HANDED_NOT = 0, XE_HANDED_IN, XE_HANDED_BY_BLOCK, XE_HANDED_FINAL };

/* out_port of a packet that is to come in again: hairpin.c. */
#define XE_PORT_AGAIN 0xfffd

struct xe_packet {
	uint8_t *l2;     /* Ethernet header, in the first frame */
	uint32_t len;    /* bytes from l2 to the end of the IP packet, padding cut off */
	uint32_t l4_len; /* L4 header and payload */
	uint16_t l4_off; /* from l2; everything up to the end of the L4 header is in the first frame
			  */
	uint16_t in_port; /* port ids */
	uint16_t out_port;
	uint16_t gso_size; /* payload bytes a segment, 0: no superpacket */
	uint16_t frag_mtu; /* fragment into IP packets of so many bytes, 0: it fits */
	uint16_t frag_max; /* came in fragments, the largest so many bytes; 0: it did not */
	uint32_t gso_type; /* SKB_GSO_* bits */
	uint8_t frame_cnt;
	uint8_t frag_cnt; /* fragments joined in it (reassemble.c), 0: it is none or one */
	uint8_t l4_hdr_len;
	uint8_t proto;
	uint8_t tcp_flags; /* the 13th byte of the TCP header */
	uint8_t dir;       /* enum xe_dir */
	uint8_t role;      /* of in_port */
	bool gso_unknown;  /* may be a superpacket of which steer cannot see the segment size */
	bool partial;      /* L4 checksum field holds the pseudo-header sum only */
	bool ended;
	uint8_t handed;       /* enum xe_handed */
	bool hairpin;         /* translated once, and back in by an uplink (hairpin.c) */
	bool outside;         /* back from hold, and its peer has been asked about (peer.c) */
	struct xe_tuple4 key; /* as it came in; IPv6 addresses get their numbers in flow */
	uint64_t hash;
	uint32_t guess; /* parse's, for flow: session * 2 + direction, XE_NIL: none */
	struct xe_session *session;
	struct xe_nexthop_answer nexthop; /* for XE_DIR_OUT */
	/* Its payload follows this one's: merge.c, between there and tx; reassemble.c, to the end
	 */
	struct xe_packet *next;
	struct xdp_desc frames[XE_PACKET_FRAMES];
} __attribute__((aligned(64))); /* what a packet of one frame needs is two lines, never three */

struct xe_burst {
	uint32_t cnt;
	uint32_t error_cnt; /* ICMP errors among them, when parse was done (icmp.h) */
	struct xe_packet packets[XE_BURST_SIZE];
};

/* A stage's walk. By pointer: with an index gcc multiplies by the size of a packet time and again,
 * some 40 instructions of a packet's way. */
#define xe_burst_for_each(p, burst)                                                                \
	for (struct xe_packet *p = (burst)->packets, *p##_end = p + (burst)->cnt; p < p##_end; p++)

#define XE_L3_OFF 14 /* Ethernet header; VLAN-tagged frames are not taken */

/* Offsets in the IPv4, TCP and UDP headers. Fields are read and written through memcpy: an IP
 * header behind an Ethernet header is never aligned to 4 bytes in a frame. */
#define XE_IP_TOT_LEN  2
#define XE_IP_ID       4
#define XE_IP_FRAG     6
#define XE_IP_TTL      8
#define XE_IP_PROTO    9
#define XE_IP_CSUM     10
#define XE_IP_SRC      12
#define XE_IP_DST      16
#define XE_IP_HDR_MIN  20
#define XE_IP6_PAYLOAD 4 /* length behind the fixed header, extension headers included */
#define XE_IP6_NEXT    6
#define XE_IP6_HOPS    7
#define XE_IP6_SRC     8
#define XE_IP6_DST     24
#define XE_IP6_HDR     40
#define XE_TCP_SEQ     4
#define XE_TCP_ACK     8
#define XE_TCP_DOFF    12
#define XE_TCP_FLAGS   13
#define XE_TCP_WINDOW  14
#define XE_TCP_CSUM    16
#define XE_TCP_URG     18
#define XE_TCP_HDR_MIN 20
#define XE_UDP_LEN     4
#define XE_UDP_CSUM    6
#define XE_UDP_HDR_LEN 8

/* In the 16 bits at XE_IP_FRAG, host order; the low 13 are the offset. */
#define XE_IP_DF     0x4000
#define XE_IP_MF     0x2000
#define XE_IP_OFFSET 0x1fff

static inline uint16_t xe_get16(const uint8_t *p)
{
	uint16_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static inline uint32_t xe_get32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static inline void xe_put16(uint8_t *p, uint16_t v)
{
	memcpy(p, &v, sizeof(v));
}

static inline void xe_put32(uint8_t *p, uint32_t v)
{
	memcpy(p, &v, sizeof(v));
}

static inline bool xe_packet_is_v6(const struct xe_packet *p)
{
	return __builtin_expect(p->key.family == XE_FAMILY_6, 0);
}

/* TTL or hop limit, at byte 8 or 7: without a branch, for every packet has one. */
static inline uint8_t *xe_packet_ttl(const struct xe_packet *p)
{
	return p->l2 + XE_L3_OFF + XE_IP_TTL - (p->key.family >> 2);
}
_Static_assert(XE_IP_TTL - (XE_FAMILY_6 >> 2) == XE_IP6_HOPS, "the family says which");
_Static_assert(!(XE_FAMILY_4 >> 2), "the family says which");

/* The addresses of a parsed packet in full, IPv4 as ::ffff:a.b.c.d. */
static inline struct xe_addr xe_packet_src(const struct xe_packet *p)
{
	struct xe_addr a;

	if (p->key.family == XE_FAMILY_4)
		return xe_addr_v4(p->key.src_be);
	memcpy(&a, p->l2 + XE_L3_OFF + XE_IP6_SRC, sizeof(a));
	return a;
}

static inline struct xe_addr xe_packet_dst(const struct xe_packet *p)
{
	struct xe_addr a;

	if (p->key.family == XE_FAMILY_4)
		return xe_addr_v4(p->key.dst_be);
	memcpy(&a, p->l2 + XE_L3_OFF + XE_IP6_DST, sizeof(a));
	return a;
}

/* Who is counted as one source: an address, of IPv6 a /64, for whoever has one of its addresses has
 * them all to choose from. */
static inline uint64_t xe_packet_source(const struct xe_packet *p)
{
	return xe_packet_is_v6(p) ? xe_packet_src(p).q[0] : p->key.src_be;
}

#endif
