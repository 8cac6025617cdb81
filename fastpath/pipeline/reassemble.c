/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* reassemble.c - see reassemble.h; which fragments belong together state/frag_table.c says. */
#include "pipeline/reassemble.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include "base/insum.h"
#include "pipeline/cut.h"
#include "pipeline/pipeline.h"
#include "pipeline/stall.h"

/*
 * Frames that fragments may hold: a side (all inside ports, all uplinks), an inside port, a source.
 * A datagram of 64 KiB is 45 of them at an MTU of 1500, so a source may have five such on their way
 * at once. A side is an eighth of the frames a worker has by default.
 */
#define SIDE_FRAMES   1024
#define PORT_FRAMES   512
#define SOURCE_FRAMES 256
/* Held fragments never take the last frames: with less than this share free, the oldest go. */
#define FREE_SHARE 16

/*
 * So many workers hold the fragments from outside of all of them, since those are in frames of the
 * worker that received them: two sides' are a quarter of its frames, however many workers there
 * are, and what one of two holds is not all there is.
 */
#define MEET_WORKERS 2

#define FRAG_UNIT 8u
/* IPv6 fragment header: next header, 0, offset and more-bit, id. */
#define FRAG6_HDR    8
#define FRAG6_OFF    2
#define FRAG6_ID     4
#define FRAG6_MORE   0x0001
#define EXT_HDRS_MAX 6 /* as steer, bpf/steer_parse.h */
/* Bytes of a fragment that hold what all fragments of a datagram have to have alike. */
#define HEAD_LEN (XE_L3_OFF + XE_IP6_HDR)

/* What a fragment's headers say. */
struct fragment {
	struct xe_frag_key key;
	struct xe_frag range;
	uint32_t ip_len;  /* of the whole IP packet */
	uint32_t hdr_len; /* of all IP headers; behind it is the payload */
	uint8_t ttl;
};

int xe_reassemble_open(struct xe_lane *lane)
{
	static const uint32_t caps[XE_FRAG_LEVELS] = {SIDE_FRAMES, PORT_FRAMES, SOURCE_FRAMES};
	struct xe_frags *f = &lane->frags;
	int err = xe_frag_open(&f->table, caps, sizeof(*f->held), lane->sessions.k0,
			       lane->sessions.k1);

	f->held = f->table.kept; /* the same slots are used again and again */
	return err;
}

void xe_reassemble_close(struct xe_lane *lane)
{
	lane->frags.held = NULL;
	xe_frag_close(&lane->frags.table);
}

/* ---- headers ---- */

static bool read_ip4(const struct xe_packet *p, struct fragment *f)
{
	const uint8_t *ip = p->l2 + XE_L3_OFF;
	uint16_t frag;

	if (p->frames[0].len < XE_L3_OFF + XE_IP_HDR_MIN || ip[0] >> 4 != 4)
		return false;
	frag = ntohs(xe_get16(ip + XE_IP_FRAG));
	if (!(frag & (XE_IP_MF | XE_IP_OFFSET)))
		return false;
	f->ip_len = ntohs(xe_get16(ip + XE_IP_TOT_LEN));
	f->hdr_len = xe_ip_hdr_len(ip);
	if (f->hdr_len < XE_IP_HDR_MIN || p->frames[0].len < XE_L3_OFF + f->hdr_len ||
	    !xe_csum_header_valid(ip, f->hdr_len))
		return false;
	f->range.off = (frag & XE_IP_OFFSET) * FRAG_UNIT;
	f->range.more = frag & XE_IP_MF;
	f->ttl = ip[XE_IP_TTL];
	f->key.src = xe_addr_v4(xe_get32(ip + XE_IP_SRC));
	f->key.dst = xe_addr_v4(xe_get32(ip + XE_IP_DST));
	f->key.id = xe_get16(ip + XE_IP_ID);
	f->key.proto = ip[XE_IP_PROTO];
	f->key.family = 4;
	return true;
}

/* Where the fragment header is, behind the headers that every fragment has; 0: there is none. */
static uint32_t find_frag6(const struct xe_packet *p)
{
	const uint8_t *ip = p->l2 + XE_L3_OFF;
	uint32_t at = XE_IP6_HDR, room = p->frames[0].len - XE_L3_OFF;
	uint8_t type = ip[XE_IP6_NEXT];

	for (int i = 0; i <= EXT_HDRS_MAX && at + FRAG6_HDR <= room; i++) {
		if (type == IPPROTO_FRAGMENT)
			return at;
		if (type != IPPROTO_HOPOPTS && type != IPPROTO_ROUTING && type != IPPROTO_DSTOPTS)
			return 0;
		if (type == IPPROTO_ROUTING && ip[at + 3]) /* parse6.c */
			return 0;
		type = ip[at];
		at += FRAG6_HDR + ip[at + 1] * 8u;
	}
	return 0;
}

static bool read_ip6(const struct xe_packet *p, struct fragment *f)
{
	const uint8_t *ip = p->l2 + XE_L3_OFF, *hdr;
	uint32_t at;
	uint16_t frag;

	if (p->frames[0].len < XE_L3_OFF + XE_IP6_HDR || ip[0] >> 4 != 6 ||
	    xe_ip6_is_mapped(ip + XE_IP6_SRC) || xe_ip6_is_mapped(ip + XE_IP6_DST))
		return false;
	at = find_frag6(p);
	if (!at)
		return false;
	hdr = ip + at;
	frag = ntohs(xe_get16(hdr + FRAG6_OFF));
	f->ip_len = XE_IP6_HDR + ntohs(xe_get16(ip + XE_IP6_PAYLOAD));
	f->hdr_len = at + FRAG6_HDR;
	f->range.off = frag & ~7u;
	f->range.more = frag & FRAG6_MORE;
	f->ttl = ip[XE_IP6_HOPS];
	memcpy(&f->key.src, ip + XE_IP6_SRC, sizeof(f->key.src));
	memcpy(&f->key.dst, ip + XE_IP6_DST, sizeof(f->key.dst));
	f->key.id = xe_get32(hdr + FRAG6_ID);
	f->key.proto = hdr[0];
	f->key.family = 6;
	return true;
}

static bool read_headers(const struct xe_packet *p, struct fragment *f)
{
	uint16_t type_be;

	if (p->frames[0].len < XE_L3_OFF)
		return false;
	type_be = xe_get16(p->l2 + 12);
	if (type_be == htons(0x0800) ? !read_ip4(p, f)
				     : type_be != htons(0x86dd) || !read_ip6(p, f))
		return false;
	if (f->ip_len <= f->hdr_len || XE_L3_OFF + f->ip_len > p->len ||
	    XE_L3_OFF + f->hdr_len > p->frames[0].len || p->gso_size)
		return false;
	f->key.port = p->role == XE_ROLE_UPLINK ? XE_PORT_ANYUPLINK : p->in_port;
	f->range.len = f->ip_len - f->hdr_len;
	return true;
}

/* What no reassembly could come out of: all but the last one count in units of 8 bytes, and the
 * first one has the whole L4 header (RFC 1858, RFC 3128; IPv6: RFC 7112). */
static bool is_tiny(const struct xe_packet *p, const struct fragment *f)
{
	const uint8_t *l4 = p->l2 + XE_L3_OFF + f->hdr_len;
	uint32_t room = p->frames[0].len - XE_L3_OFF - f->hdr_len, hdr_len = XE_UDP_HDR_LEN;

	if (f->range.more && f->range.len % FRAG_UNIT)
		return true;
	if (f->range.off)
		return f->key.proto == IPPROTO_TCP && f->range.off < XE_TCP_HDR_MIN;
	if (room > f->range.len)
		room = f->range.len;
	if (f->key.proto == IPPROTO_TCP) {
		if (room < XE_TCP_HDR_MIN)
			return true;
		hdr_len = (l4[XE_TCP_DOFF] >> 4) * 4u;
	}
	return room < hdr_len;
}

/* ---- held, and not ---- */

static enum xe_worker_reason reason_of(enum xe_frag_verdict v)
{
	switch (v) {
	case XE_FRAG_DUPLICATE:
		return XE_R_FRAG_DUPLICATE;
	case XE_FRAG_OVERLAP:
		return XE_R_FRAG_OVERLAP;
	case XE_FRAG_TIMEOUT:
		return XE_R_FRAG_TIMEOUT;
	case XE_FRAG_FLUSHED:
		return XE_R_PORT_GONE;
	default:
		return XE_R_FRAG_LIMIT;
	}
}

static void bury(struct xe_lane *lane)
{
	struct xe_frags *f = &lane->frags;
	enum xe_frag_verdict why;
	uint32_t slot;

	while ((slot = xe_frag_next_dead(&f->table, &why)) != XE_NIL) {
		xe_packet_drop(lane, &f->held[slot], reason_of(why));
		xe_frag_slot_free(&f->table, slot);
	}
}

static uint32_t slot_of(const struct xe_lane *lane, const struct xe_packet *held)
{
	return (uint32_t)(held - lane->frags.held);
}

/* All fragments are there, in slots from `first` on: the packet in the burst becomes the first one,
 * with the others behind it. */
static void join(struct xe_lane *lane, struct xe_packet *p, uint32_t first)
{
	struct xe_frags *f = &lane->frags;
	struct xe_packet *last = p;
	uint32_t slot = f->table.slots[first].next;

	*p = f->held[first];
	p->frag_max = (uint16_t)(p->len - XE_L3_OFF);
	p->frag_cnt = 1;
	xe_frag_slot_free(&f->table, first);
	while (slot != XE_NIL) {
		struct xe_packet *q = &f->held[slot];

		slot = f->table.slots[slot].next;
		last->next = q;
		last = q;
		p->frag_cnt++;
		p->len += q->l4_len;
		p->l4_len += q->l4_len;
		if (q->len - XE_L3_OFF > p->frag_max)
			p->frag_max = (uint16_t)(q->len - XE_L3_OFF);
	}
	p->frag_mtu = p->frag_max; /* it leaves by xe_fragment() */
	xe_count(&lane->cnt.merged, p->frag_cnt - 1u);
}

/* Into its slot; from here on it is no longer the burst's. */
static void hold(struct xe_lane *lane, struct xe_packet *p, uint32_t slot)
{
	lane->frags.held[slot] = *p;
	lane->frags.held[slot].next = NULL;
	p->ended = true;
	p->frame_cnt = 0;
}

/* An IPv6 packet that has a fragment header and is whole all the same: no fragment of any other,
 * whatever their ids are (RFC 6946). */
static void alone(struct xe_lane *lane, struct xe_packet *p)
{
	p->next = NULL;
	p->frag_cnt = 1;
	p->frag_max = p->frag_mtu = (uint16_t)(p->len - XE_L3_OFF);
	if (!xe_parse_joined(lane, p))
		xe_packet_drop(lane, p, XE_R_W_MALFORMED);
}

static bool joined_elsewhere(const struct xe_packet *p)
{
	struct xe_meta meta;

	memcpy(&meta, p->l2 - sizeof(meta), sizeof(meta));
	return p->handed && meta.flags & XE_META_JOIN_HERE;
}

/* Has it to go to the worker where the fragments of its datagram meet? */
static bool meet(struct xe_lane *lane, struct xe_packet *p, const struct fragment *f)
{
	const struct xe_frag_table *t = &lane->frags.table;
	uint32_t worker, cnt = lane->worker_cnt < MEET_WORKERS ? lane->worker_cnt : MEET_WORKERS;

	if (!lane->handoff || p->handed || p->role != XE_ROLE_UPLINK)
		return false;
	/* not the bits that find it in its table there */
	worker = (uint32_t)(xe_frag_hash(&f->key, t->k0, t->k1) >> 32) % cnt;
	if (worker == lane->worker || xe_is_stalled(lane, worker))
		return false;
	xe_hand_to(lane, p, worker, 0);
	return true;
}

static void add(struct xe_lane *lane, struct xe_packet *p, const struct fragment *f)
{
	struct xe_frag_table *t = &lane->frags.table;
	bool here = joined_elsewhere(p);
	enum xe_frag_verdict verdict;
	uint32_t slot;

	if (lane->umem.free_cnt < lane->umem.frame_cnt / FREE_SHARE)
		xe_frag_push_out(t, f->key.port == XE_PORT_ANYUPLINK ? XE_FRAG_UPLINK
								     : XE_FRAG_INSIDE);
	verdict = xe_frag_add(t, &f->key, &f->range, lane->now_s, &slot);
	bury(lane);
	if (verdict != XE_FRAG_KEPT && verdict != XE_FRAG_WHOLE) {
		xe_packet_drop(lane, p, reason_of(verdict));
		return;
	}
	hold(lane, p, slot);
	if (verdict == XE_FRAG_KEPT)
		return;
	join(lane, p, xe_frag_take(t, &f->key));
	if (!here)
		p->handed = XE_HANDED_NOT; /* only its fragments have been */
	if (!xe_parse_joined(lane, p))
		xe_packet_drop(lane, p, XE_R_W_MALFORMED);
}

bool xe_reassemble(struct xe_lane *lane, struct xe_packet *p)
{
	struct fragment f = {};
	bool is_whole;

	if (!lane->frags.held || !read_headers(p, &f) ||
	    (f.key.proto != IPPROTO_TCP && f.key.proto != IPPROTO_UDP))
		return false;
	if (is_tiny(p, &f)) {
		xe_packet_drop(lane, p, XE_R_FRAG_TINY);
		return true;
	}
	if (f.ttl <= 1) {
		xe_packet_drop(lane, p, XE_R_W_TTL);
		return true;
	}
	is_whole = !f.range.off && !f.range.more;
	if (!is_whole && meet(lane, p, &f))
		return true;
	xe_packet_trim(lane, p, XE_L3_OFF + f.ip_len);
	p->proto = f.key.proto;
	p->l4_off = (uint16_t)(XE_L3_OFF + f.hdr_len);
	p->l4_len = f.range.len;
	p->gso_unknown = false;
	f.range.frame_cnt = p->frame_cnt;
	if (is_whole)
		alone(lane, p);
	else
		add(lane, p, &f);
	return true;
}

/* ---- apart again ---- */

bool xe_reassemble_next(struct xe_lane *lane, struct xe_packet *p, struct xe_packet *piece)
{
	struct xe_packet *rest = p->next;

	if (!p->frag_cnt)
		return false;
	*piece = *p;
	piece->next = NULL;
	piece->frag_cnt = 0;
	piece->frag_mtu = 0;
	piece->ended = false;
	/* The packet's own length is what its frames have. */
	piece->len = 0;
	for (uint32_t i = 0; i < piece->frame_cnt; i++)
		piece->len += piece->frames[i].len;
	piece->l4_len = piece->len - piece->l4_off;
	piece->frames[0].options = 0;
	p->frag_cnt--;
	p->next = NULL;
	p->frame_cnt = 0;
	if (!p->frag_cnt) {
		p->ended = true;
		return true;
	}
	/* The next one takes its place, with what has been decided for all of them. */
	xe_count(&lane->cnt.made, 1);
	p->l2 = rest->l2;
	p->l4_off = rest->l4_off;
	p->frame_cnt = rest->frame_cnt;
	memcpy(p->frames, rest->frames, rest->frame_cnt * sizeof(rest->frames[0]));
	p->next = rest->next;
	xe_frag_slot_free(&lane->frags.table, slot_of(lane, rest));
	return true;
}

/* Addresses and id as the first one has them by now. */
static void address4(uint8_t *ip, const uint8_t *first)
{
	uint16_t csum = xe_get16(ip + XE_IP_CSUM);

	csum = xe_csum_replace16(csum, xe_get16(ip + XE_IP_ID), xe_get16(first + XE_IP_ID));
	memcpy(ip + XE_IP_ID, first + XE_IP_ID, 2);

	for (int at = XE_IP_SRC; at <= XE_IP_DST; at += 4) {
		csum = xe_csum_replace32(csum, xe_get32(ip + at), xe_get32(first + at));
		memcpy(ip + at, first + at, 4);
	}
	xe_put16(ip + XE_IP_CSUM, csum);
}

static void address6(uint8_t *ip, const uint8_t *first)
{
	memcpy(ip + XE_IP6_SRC, first + XE_IP6_SRC, 2 * sizeof(struct xe_addr));
}

static void address(const struct xe_packet *piece, const uint8_t *first)
{
	if (xe_packet_is_v6(piece))
		address6(piece->l2 + XE_L3_OFF, first + XE_L3_OFF);
	else
		address4(piece->l2 + XE_L3_OFF, first + XE_L3_OFF);
}

/* Addresses, TTL and Ethernet header. */
static void rewrite(const struct xe_packet *piece, const uint8_t *first)
{
	uint8_t *ip = piece->l2 + XE_L3_OFF;

	address(piece, first);
	--*xe_packet_ttl(piece);
	if (!xe_packet_is_v6(piece))
		xe_put16(ip + XE_IP_CSUM,
			 xe_csum_apply(xe_get16(ip + XE_IP_CSUM), XE_CSUM_DELTA_TTL_DEC));
	memcpy(piece->l2, first, 12);
}

void xe_reassemble_hand(struct xe_lane *lane, struct xe_packet *p, uint32_t worker, uint32_t how)
{
	uint8_t first[HEAD_LEN];
	struct xe_packet piece;
	bool is_new = false;

	memcpy(first, p->l2, sizeof(first));
	while (xe_reassemble_next(lane, p, &piece)) {
		if (is_new)
			address(&piece, first);
		is_new = piece.hairpin;
		xe_hand_to(lane, &piece, worker, how);
	}
}

void xe_reassemble_send(struct xe_lane *lane, struct xe_packet *p)
{
	uint8_t first[HEAD_LEN];
	struct xe_packet piece;
	bool is_first = true;

	memcpy(first, p->l2, sizeof(first));
	while (xe_reassemble_next(lane, p, &piece)) {
		if (!is_first)
			rewrite(&piece, first);
		is_first = false;
		piece.gso_size = 0;
		xe_tx_piece(lane, &piece);
	}
}

/* lane.h */
void xe_joined_release(struct xe_lane *lane, struct xe_packet *p)
{
	for (struct xe_packet *q = p->next; q; q = q->next)
		xe_frag_slot_free(&lane->frags.table, slot_of(lane, q));
	p->frag_cnt = 0;
}

/* ---- ends ---- */

void xe_reassemble_expire(struct xe_lane *lane)
{
	if (!lane->frags.held)
		return;
	xe_frag_expire(&lane->frags.table, lane->now_s);
	bury(lane);
}

void xe_reassemble_flush(struct xe_lane *lane, uint16_t port)
{
	if (!lane->frags.held)
		return;
	/* From uplinks a datagram's fragments may come by several. */
	if (port != XE_PORT_NONE && lane->ports[port].role == XE_ROLE_UPLINK)
		port = XE_PORT_ANYUPLINK;
	xe_frag_flush(&lane->frags.table, port);
	bury(lane);
}
