/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * merge.c - TCP segments of one flow that came in one behind the other become one superpacket: what
 * GRO does in the kernel, for packets that XDP took before GRO could see them.
 *
 * Exactly reversible: cutting the superpacket as the kernel does (tcp_gso_segment: sequence number
 * and IP id count up, PSH and FIN on the last one only, checksums made afresh) gives back the very
 * bytes that were joined. So only what differs by nothing else is joined: at least as strict as the
 * kernel's tcp_gro_receive, and stricter by the id, which must count up by one (a virtio-net header
 * cannot say "fixed id"). IPv6 has none; its flow label must be the same, and there must be no
 * extension header.
 *
 * A superpacket's checksum is made afresh, so a segment is joined only after its own was found
 * right; a broken one goes on alone and broken.
 *
 *   chain: head -> next -> next -> NULL    the head stands for all of them; the others have left
 *                                          the burst (`ended`), their frames go with the head's
 *
 * After nat, which gives all packets of a session and direction the same addresses and L4 ports;
 * before csum, which need not complete what is joined; before fwd, which then has one TTL to count
 * down. A packet that cannot be joined ends its flow's chain, so a flow keeps its order.
 */
#include <arpa/inet.h>
#include <netinet/in.h>

#include "base/insum.h"
#include "pipeline/pipeline.h"
#include "pipeline/vnet.h"

/* Chains of a burst are found by 6 bits of the flow hash. Where two flows meet, the later one takes
 * the place and the earlier one's chain ends: two slots a packet make that rare, and nothing is
 * searched. */
#define SLOTS  (2 * XE_BURST_SIZE)
#define NO_ONE 0xff
/* The kernel takes a packet for whole that is shorter than the device's gso_max_size, Ethernet
 * header included (gso_features_check). 65536 is what devices have unless somebody lowered it. */
#define LEN_MAX 65535

#define JOINED_FLAGS (XE_TH_ACK | XE_TH_ECE) /* any segment; the same on all of a chain */
#define LAST_FLAGS   (XE_TH_PSH | XE_TH_FIN) /* on the last one only */

struct chain {
	struct xe_packet *head, *last;
	uint32_t next_seq;
	uint32_t frame_cnt; /* of all */
	uint32_t len;       /* of the superpacket */
	uint16_t next_id;
	uint16_t seg_len; /* payload of every segment but the last */
	bool is_right;    /* the head's checksums have been looked at */
};

struct chains {
	uint8_t at[SLOTS]; /* index into list, NO_ONE: none open */
	uint32_t cnt;
	struct chain list[XE_BURST_SIZE];
};

_Static_assert((SLOTS & (SLOTS - 1)) == 0, "slots are taken by a mask");
_Static_assert(XE_BURST_SIZE < NO_ONE, "chains are numbered in a byte");

static inline uint16_t header_len(const struct xe_packet *p)
{
	return (uint16_t)(p->l4_off + p->l4_hdr_len);
}

static inline uint32_t payload_len(const struct xe_packet *p)
{
	return p->len - header_len(p);
}

/* IPv6 has none: always the one that is expected. */
static inline uint16_t ip_id(const struct xe_packet *p, uint16_t expected)
{
	if (xe_packet_is_v6(p))
		return expected;
	return ntohs(xe_get16(p->l2 + XE_L3_OFF + XE_IP_ID));
}

static inline uint32_t tcp_seq(const struct xe_packet *p)
{
	return ntohl(xe_get32(p->l2 + p->l4_off + XE_TCP_SEQ));
}

/* Could it be part of a superpacket at all? Not what is too big for its way and will be cut. No IP
 * options: the kernel copies them into every segment, but not every device does. */
static bool is_candidate(const struct xe_packet *p)
{
	uint32_t hdr_len = xe_packet_is_v6(p) ? XE_IP6_HDR : XE_IP_HDR_MIN;

	return !p->gso_size && !p->frag_mtu && p->l4_off == XE_L3_OFF + hdr_len &&
	       !(p->tcp_flags & ~(JOINED_FLAGS | LAST_FLAGS)) && (p->tcp_flags & XE_TH_ACK) &&
	       payload_len(p);
}

/* The L4 checksum of a segment, which may still be the sender's offload's to make; parse has looked
 * at the header's. */
static bool is_right(struct xe_lane *lane, const struct xe_packet *p)
{
	if (p->partial)
		return true;
	return xe_csum_is_valid(xe_packet_pseudo(p) + xe_csum_sum_l4(lane, p));
}

static bool same_ip_header(const uint8_t *a, const uint8_t *b)
{
	/* version, header length, TOS with ECN */
	return xe_get16(a) == xe_get16(b) && xe_get16(a + XE_IP_FRAG) == xe_get16(b + XE_IP_FRAG) &&
	       a[XE_IP_TTL] == b[XE_IP_TTL];
}

static bool same_ip6_header(const uint8_t *a, const uint8_t *b)
{
	/* version, traffic class with ECN, flow label */
	return xe_get32(a) == xe_get32(b) && a[XE_IP6_HOPS] == b[XE_IP6_HOPS];
}

/* Everything in the headers that a cut superpacket's segments have in common. */
static bool same_header(const struct xe_packet *a, const struct xe_packet *b)
{
	const uint8_t *ip_a = a->l2 + XE_L3_OFF, *ip_b = b->l2 + XE_L3_OFF;
	const uint8_t *l4_a = a->l2 + a->l4_off, *l4_b = b->l2 + b->l4_off;

	return a->l4_hdr_len == b->l4_hdr_len &&
	       (xe_packet_is_v6(a) ? same_ip6_header(ip_a, ip_b) : same_ip_header(ip_a, ip_b)) &&
	       xe_get32(l4_a + XE_TCP_ACK) == xe_get32(l4_b + XE_TCP_ACK) &&
	       /* header length and reserved bits */
	       l4_a[XE_TCP_DOFF] == l4_b[XE_TCP_DOFF] &&
	       (l4_a[XE_TCP_FLAGS] & JOINED_FLAGS) == (l4_b[XE_TCP_FLAGS] & JOINED_FLAGS) &&
	       xe_get16(l4_a + XE_TCP_WINDOW) == xe_get16(l4_b + XE_TCP_WINDOW) &&
	       xe_get16(l4_a + XE_TCP_URG) == xe_get16(l4_b + XE_TCP_URG) &&
	       !memcmp(l4_a + XE_TCP_HDR_MIN, l4_b + XE_TCP_HDR_MIN,
		       a->l4_hdr_len - XE_TCP_HDR_MIN);
}

static bool is_same_flow(const struct chain *c, const struct xe_packet *p)
{
	return c->head->session == p->session && c->head->dir == p->dir;
}

static bool fits(const struct chain *c, const struct xe_packet *p)
{
	const struct xe_packet *head = c->head;
	uint32_t len = payload_len(p);

	return len <= c->seg_len && c->len + len <= LEN_MAX &&
	       c->frame_cnt + p->frame_cnt <= XE_GSO_FRAMES && head->out_port == p->out_port &&
	       head->partial == p->partial && tcp_seq(p) == c->next_seq &&
	       ip_id(p, c->next_id) == c->next_id && same_header(head, p);
}

/* True when p has become part of the chain. */
static bool join(struct xe_lane *lane, struct chain *c, struct xe_packet *p)
{
	if (!c->is_right && !is_right(lane, c->head))
		return false;
	c->is_right = true;
	if (!is_right(lane, p))
		return false;
	c->last->next = p;
	c->last = p;
	c->next_seq += payload_len(p);
	c->next_id++;
	c->frame_cnt += p->frame_cnt;
	c->len += payload_len(p);
	p->ended = true;
	xe_count(&lane->cnt.merged, 1);
	return true;
}

static void start(struct chains *chains, uint8_t *at, struct xe_packet *p)
{
	struct chain *c = &chains->list[chains->cnt];

	*at = (uint8_t)chains->cnt++;
	*c = (struct chain){
		.head = p,
		.last = p,
		.next_seq = tcp_seq(p) + payload_len(p),
		.next_id = (uint16_t)(ip_id(p, 0) + 1),
		.frame_cnt = p->frame_cnt,
		.len = p->len,
		.seg_len = (uint16_t)payload_len(p),
	};
}

static void merge_one(struct xe_lane *lane, struct chains *chains, struct xe_packet *p)
{
	uint8_t *at = &chains->at[p->hash & (SLOTS - 1)];
	struct chain *c = *at == NO_ONE ? NULL : &chains->list[*at];

	if (!is_candidate(p)) {
		if (c && is_same_flow(c, p))
			*at = NO_ONE;
		return;
	}
	if (!c || !is_same_flow(c, p) || !fits(c, p) || !join(lane, c, p)) {
		*at = NO_ONE;
		if (!(p->tcp_flags & LAST_FLAGS))
			start(chains, at, p);
	} else if ((p->tcp_flags & LAST_FLAGS) || payload_len(p) < c->seg_len) {
		*at = NO_ONE;
	}
}

/* The head's headers become the superpacket's. */
static void describe(const struct chain *c)
{
	struct xe_packet *p = c->head;
	uint8_t *ip = p->l2 + XE_L3_OFF, *l4 = p->l2 + p->l4_off;
	uint16_t tot_len_be = htons((uint16_t)(c->len - XE_L3_OFF));
	bool v6 = xe_packet_is_v6(p);

	p->tcp_flags |= c->last->tcp_flags & LAST_FLAGS;
	l4[XE_TCP_FLAGS] = p->tcp_flags;
	p->len = c->len;
	p->l4_len = c->len - p->l4_off;
	if (v6) {
		xe_put16(ip + XE_IP6_PAYLOAD, htons((uint16_t)p->l4_len));
	} else {
		xe_put16(ip + XE_IP_CSUM,
			 xe_csum_replace16(xe_get16(ip + XE_IP_CSUM), xe_get16(ip + XE_IP_TOT_LEN),
					   tot_len_be));
		xe_put16(ip + XE_IP_TOT_LEN, tot_len_be);
	}
	xe_put16(l4 + XE_TCP_CSUM, xe_insum_fold(xe_packet_pseudo(p)));
	p->partial = true;
	p->gso_size = c->seg_len;
	p->gso_type = v6 ? XE_SKB_GSO_TCPV6 : XE_SKB_GSO_TCPV4;
}

void xe_merge(struct xe_lane *lane, struct xe_burst *burst)
{
	struct chains chains;

	chains.cnt = 0;
	memset(chains.at, NO_ONE, sizeof(chains.at));
	for (uint32_t i = 0; i < burst->cnt; i++) {
		struct xe_packet *p = &burst->packets[i];

		if (!p->ended && p->proto == IPPROTO_TCP && lane->ports[p->in_port].coalesce)
			merge_one(lane, &chains, p);
	}
	for (uint32_t i = 0; i < chains.cnt; i++)
		if (chains.list[i].head->next)
			describe(&chains.list[i]);
}
