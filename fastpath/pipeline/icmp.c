/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * icmp.c - ICMP errors about flows of ours (icmp.h).
 *
 *      from the uplink, about what went out          from a container, about what came in
 *
 *      router -> Ext             [ICMP 3, 11, 12]    container -> peer
 *        quoted: Ext:p -> peer                         quoted: peer -> container
 *      becomes                                       becomes
 *      router -> container                           Ext -> peer
 *        quoted: container -> peer                     quoted: peer -> Ext:p
 *
 * Type, code, MTU and everything behind the quoted L4 ports (RFC 4884 extensions too) are left as
 * they are. The checksums of the quoted packet are updated like those of a packet that goes the way
 * of the error: that undoes what was done to it. The ICMP checksum is looked at, and made anew.
 */
#include "pipeline/icmp.h"

#include <arpa/inet.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>

#include "base/insum.h"
#include "pipeline/cut.h"
#include "pipeline/pipeline.h"

#define ICMP_HDR    8
#define ICMP_CSUM   2
#define ICMP_LENGTH 5 /* of the quoted packet, in words; 0: not said */
/* Of the quoted L4 header there must be this much (RFC 792). */
#define QUOTED_MIN 8

/* The parts of an error, found by xe_icmp_parse(). */
struct error {
	uint8_t *ip, *icmp, *quoted, *l4; /* l4: of the quoted packet */
	uint32_t l4_len;                  /* quoted bytes of it, in the first frame */
};

/* ---- parse ---- */

static bool is_error4(uint8_t type)
{
	return type == ICMP_DEST_UNREACH || type == ICMP_TIME_EXCEEDED ||
	       type == ICMP_PARAMETERPROB;
}

/* The quoted packet: its tuple backwards into the key, its protocol into key.proto. */
static bool parse_quoted4(struct xe_packet *p, const uint8_t *quoted, uint32_t len)
{
	uint32_t hdr_len;

	if (len < XE_IP_HDR_MIN + QUOTED_MIN || quoted[0] >> 4 != 4)
		return false;
	hdr_len = xe_ip_hdr_len(quoted);
	if (hdr_len < XE_IP_HDR_MIN || len < hdr_len + QUOTED_MIN ||
	    xe_get16(quoted + XE_IP_FRAG) & htons(0x1fff) ||
	    (quoted[XE_IP_PROTO] != IPPROTO_TCP && quoted[XE_IP_PROTO] != IPPROTO_UDP))
		return false;
	p->key = (struct xe_tuple4){
		.src_be = xe_get32(quoted + XE_IP_DST),
		.dst_be = xe_get32(quoted + XE_IP_SRC),
		.sport_be = xe_get16(quoted + hdr_len + 2),
		.dport_be = xe_get16(quoted + hdr_len),
		.port = p->role == XE_ROLE_UPLINK ? XE_PORT_ANYUPLINK : p->in_port,
		.proto = quoted[XE_IP_PROTO],
	};
	return true;
}

/* It is sent to the sender of what it quotes, by a host that there can be. */
static bool parse4(struct xe_packet *p)
{
	const uint8_t *ip = p->l2 + XE_L3_OFF;
	uint32_t head_len = p->frames[0].len, hdr_len, tot_len;

	hdr_len = xe_ip_hdr_len(ip);
	tot_len = ntohs(xe_get16(ip + XE_IP_TOT_LEN));
	if (ip[0] >> 4 != 4 || hdr_len < XE_IP_HDR_MIN || ip[XE_IP_PROTO] != IPPROTO_ICMP ||
	    tot_len < hdr_len + ICMP_HDR || XE_L3_OFF + tot_len > p->len ||
	    xe_get16(ip + XE_IP_FRAG) & htons(0x3fff) ||
	    head_len < XE_L3_OFF + hdr_len + ICMP_HDR || !is_error4(ip[hdr_len]))
		return false;
	if (head_len > XE_L3_OFF + tot_len)
		head_len = XE_L3_OFF + tot_len;
	if (!parse_quoted4(p, ip + hdr_len + ICMP_HDR, head_len - XE_L3_OFF - hdr_len - ICMP_HDR) ||
	    xe_get32(ip + XE_IP_DST) != p->key.dst_be)
		return false;
	p->l4_off = (uint16_t)(XE_L3_OFF + hdr_len);
	p->l4_len = tot_len - hdr_len;
	return true;
}

uint32_t xe_icmp_parse(const struct xe_lane *lane, struct xe_packet *p)
{
	(void)lane;
	if (p->frames[0].len < XE_L3_OFF + XE_IP_HDR_MIN || p->gso_size ||
	    xe_get16(p->l2 + 12) != htons(0x0800) || !parse4(p))
		return 0;
	p->proto = IPPROTO_ICMP;
	p->l4_hdr_len = ICMP_HDR;
	p->tcp_flags = 0;
	p->partial = false;
	p->gso_unknown = false;
	return p->l4_off - XE_L3_OFF + p->l4_len;
}

/* ---- checks ---- */

/* How much of the quoted packet is there: not what stands behind it, padding and extensions, of
 * which the length field may tell (RFC 4884), and the quoted packet's own length. */
static uint32_t quoted_len(const struct xe_packet *p, const struct error *e, uint32_t min)
{
	uint32_t head_len = p->frames[0].len < p->len ? p->frames[0].len : p->len;
	uint32_t len = (uint32_t)(p->l2 + head_len - e->quoted), said = e->icmp[ICMP_LENGTH] * 4u;
	uint32_t tot_len = ntohs(xe_get16(e->quoted + XE_IP_TOT_LEN));

	if (said >= min && said < len)
		len = said;
	return tot_len >= min && tot_len < len ? tot_len : len;
}

static struct error parts_of(const struct xe_packet *p)
{
	struct error e = {.ip = p->l2 + XE_L3_OFF, .icmp = p->l2 + p->l4_off};
	uint32_t hdr_len;

	e.quoted = e.icmp + ICMP_HDR;
	hdr_len = xe_ip_hdr_len(e.quoted);
	e.l4 = e.quoted + hdr_len;
	e.l4_len = quoted_len(p, &e, hdr_len + QUOTED_MIN) - hdr_len;
	return e;
}

/* RFC 5508 REQ-3: the ICMP checksum and that of the quoted header; the quoted L4 checksum is
 * nobody's to look at, as most of what it covers is missing. */
static bool is_intact(struct xe_lane *lane, const struct xe_packet *p, const struct error *e)
{
	return xe_csum_is_valid(xe_csum_sum_l4(lane, p)) &&
	       xe_csum_is_valid(xe_insum(e->quoted, xe_ip_hdr_len(e->quoted)));
}

/* What goes out comes from us; untranslated it may only come from the host that the flow is of. */
static bool is_spoofed(const struct xe_packet *p, const struct error *e)
{
	const struct xe_session *s = p->session;

	return p->role == XE_ROLE_INSIDE && s->key[p->dir].src_be == s->key[!p->dir].dst_be &&
	       xe_get32(e->ip + XE_IP_SRC) != p->key.src_be;
}

/* Where it goes, as flow.c finds it for packets. 0, or why it ends. */
static enum xe_worker_reason find_way(struct xe_lane *lane, struct xe_packet *p)
{
	const struct xe_session *s = p->session;
	uint32_t mtu;

	if (p->dir == XE_DIR_OUT) {
		p->nexthop = xe_nexthop_read(&lane->nexthops.slots[s->nexthop]);
		if (p->nexthop.state != XE_NH_READY || p->nexthop.port != s->out_port)
			return XE_R_ICMP_NO_WAY;
		p->out_port = p->nexthop.port;
		mtu = p->nexthop.mtu;
	} else {
		p->out_port = s->key[XE_DIR_OUT].port;
		mtu = lane->ports[p->out_port].mtu;
	}
	if (!lane->ports[p->out_port].live)
		return XE_R_PORT_GONE;
	if (p->l2[XE_L3_OFF + XE_IP_TTL] <= 1)
		return XE_R_W_TTL;
	p->frag_mtu = 0;
	if (p->len - XE_L3_OFF <= mtu)
		return XE_R_NONE;
	if (xe_get16(p->l2 + XE_L3_OFF + XE_IP_FRAG) & htons(XE_IP_DF))
		return XE_R_TOO_BIG;
	p->frag_mtu = (uint16_t)mtu;
	return XE_R_NONE;
}

/* ---- translation ---- */

static void put_addr(uint8_t *ip, uint32_t off, __be32 addr_be)
{
	uint32_t old_be = xe_get32(ip + off);

	xe_put32(ip + off, addr_be);
	xe_put16(ip + XE_IP_CSUM, xe_csum_replace32(xe_get16(ip + XE_IP_CSUM), old_be, addr_be));
}

/* The L4 checksum field of the quoted packet, NULL: it is not quoted. */
static uint8_t *quoted_csum(const struct xe_packet *p, const struct error *e)
{
	uint32_t off = p->key.proto == IPPROTO_UDP ? XE_UDP_CSUM : XE_TCP_CSUM;

	return e->l4_len >= off + 2 ? e->l4 + off : NULL;
}

/* A container's kernel may quote what an offload had not completed. */
static bool quoted_is_partial(const struct xe_packet *p, const struct error *e, uint16_t field_be)
{
	uint32_t hdr_len = xe_ip_hdr_len(e->quoted);
	uint32_t tot_len = ntohs(xe_get16(e->quoted + XE_IP_TOT_LEN));

	return tot_len >= hdr_len &&
	       xe_csum_is_partial(field_be, xe_insum_pseudo4(p->key.src_be, p->key.dst_be,
							     p->key.proto, tot_len - hdr_len));
}

/* The quoted packet is given back what a packet that goes the way of the error is given. */
static uint16_t delta_of(const struct xe_packet *p, uint16_t out)
{
	return p->dir == XE_DIR_OUT ? out : xe_csum_delta_neg(out);
}

static void translate_quoted(const struct xe_packet *p, const struct error *e)
{
	const struct xe_session *s = p->session;
	const struct xe_tuple4 *sent = &s->key[!p->dir]; /* the quoted packet, as it was sent */
	uint8_t *field = quoted_csum(p, e);

	if (field) {
		uint16_t old = xe_get16(field);

		if (quoted_is_partial(p, e, old))
			xe_put16(field, xe_csum_apply_partial(old, delta_of(p, s->ip_delta)));
		else if (p->key.proto == IPPROTO_UDP)
			xe_put16(field, xe_csum_apply_udp(old, delta_of(p, s->l4_delta)));
		else
			xe_put16(field, xe_csum_apply(old, delta_of(p, s->l4_delta)));
	}
	put_addr(e->quoted, XE_IP_SRC, sent->src_be);
	put_addr(e->quoted, XE_IP_DST, sent->dst_be);
	xe_put16(e->l4, sent->sport_be);
	xe_put16(e->l4 + 2, sent->dport_be);
}

/* Whom it comes from. A router on the way keeps its address, unless it is an inside one: that comes
 * from Ext (RFC 5508 REQ-5). */
static __be32 new_source(const struct xe_packet *p, __be32 src_be)
{
	const struct xe_tuple4 *key = p->session->key;

	if (src_be == key[p->dir].src_be || p->role == XE_ROLE_INSIDE)
		return key[!p->dir].dst_be;
	return src_be;
}

static void translate(struct xe_lane *lane, struct xe_packet *p, const struct error *e)
{
	translate_quoted(p, e);
	put_addr(e->ip, XE_IP_SRC, new_source(p, xe_get32(e->ip + XE_IP_SRC)));
	put_addr(e->ip, XE_IP_DST, p->session->key[!p->dir].src_be);
	xe_put16(e->icmp + ICMP_CSUM, 0);
	xe_put16(e->icmp + ICMP_CSUM, xe_csum_finish(xe_csum_sum_l4(lane, p)));
}

/* ---- the way of an error ---- */

static void find_session(struct xe_lane *lane, struct xe_packet *p)
{
	enum xe_dir dir = XE_DIR_OUT;

	p->session = xe_session_find(&lane->sessions, &p->key, p->hash, &dir);
	p->dir = dir;
}

/* 0, or why it ends here; nothing has been written to it then. */
static enum xe_worker_reason check(struct xe_lane *lane, struct xe_packet *p, const struct error *e)
{
	if (!is_intact(lane, p, e))
		return XE_R_ICMP_BAD_CSUM;
	if (is_spoofed(p, e))
		return XE_R_W_SPOOFED;
	return find_way(lane, p);
}

void xe_icmp(struct xe_lane *lane, struct xe_packet *p)
{
	struct error e = parts_of(p);
	enum xe_worker_reason reason;

	find_session(lane, p);
	if (!p->session) {
		if (!lane->handoff || !xe_handover(lane, p))
			xe_packet_drop(lane, p, XE_R_ICMP_NO_SESSION);
		return;
	}
	reason = check(lane, p, &e);
	if (reason) {
		xe_packet_drop(lane, p, reason);
		return;
	}
	translate(lane, p, &e);
	xe_fwd_packet(&lane->ports[p->out_port], p);
	if (p->frag_mtu) {
		xe_fragment(lane, p);
		return;
	}
	p->frames[0].options = 0;
	xe_tx_piece(lane, p); /* a copy, whose the frames are now */
	p->frame_cnt = 0;
	p->ended = true;
}
