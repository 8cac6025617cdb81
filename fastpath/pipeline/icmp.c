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
 *
 * Between two containers (hairpin.c) it goes both ways: by the session of the one that sends it
 * out, and in again by the other's, which may be another worker's.
 */
#include "pipeline/icmp.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include "base/insum.h"
#include "pipeline/cut.h"
#include "pipeline/nat.h"
#include "pipeline/pipeline.h"

#define ICMP_CSUM 2

/* ---- checks ---- */

/* Over all that the ICMP checksum covers. */
static uint64_t sum_of(struct xe_lane *lane, const struct xe_packet *p,
		       const struct xe_icmp_error *e)
{
	uint64_t sum = xe_csum_sum_l4(lane, p);

	return e->v6 ? sum + xe_insum_pseudo6(e->ip + XE_IP6_SRC, e->ip + XE_IP6_DST,
					      IPPROTO_ICMPV6, p->l4_len)
		     : sum;
}

/* RFC 5508 REQ-3: the ICMP checksum and that of the quoted header; the quoted L4 checksum is
 * nobody's to look at, as most of what it covers is missing. */
static bool is_intact(struct xe_lane *lane, const struct xe_packet *p,
		      const struct xe_icmp_error *e)
{
	if (!xe_csum_is_valid(sum_of(lane, p, e)))
		return false;
	return e->v6 || (xe_csum_header_valid(e->ip, xe_ip_hdr_len(e->ip)) &&
			 xe_csum_header_valid(e->quoted, xe_ip_hdr_len(e->quoted)));
}

/* Does it come from this address of a key? */
static bool is_from(const struct xe_lane *lane, const struct xe_icmp_error *e, uint32_t addr_be)
{
	if (e->v6)
		return xe_addr6_is(&lane->sessions.addr6, addr_be, e->ip + XE_IP6_SRC);
	return xe_get32(e->ip + XE_IP_SRC) == addr_be;
}

/* What goes out comes from us; untranslated it may only come from the host that the flow is of. */
static bool is_spoofed(const struct xe_lane *lane, const struct xe_packet *p,
		       const struct xe_icmp_error *e)
{
	const struct xe_session *s = p->session;

	return p->role == XE_ROLE_INSIDE && s->key[p->dir].src_be == s->key[!p->dir].dst_be &&
	       !is_from(lane, e, s->key[p->dir].src_be);
}

/* Does it come in again behind the session that has translated it? */
static bool comes_again(const struct xe_packet *p)
{
	return p->session->hairpin && p->dir == XE_DIR_OUT;
}

/* May what leaves in this session leave there? Answers to what came from outside go by any uplink
 * that routes say, also before the first of them has told the session which (xe_flow_reroute()). */
static bool is_way_of(const struct xe_lane *lane, const struct xe_session *s, uint16_t port)
{
	return port == s->out_port ||
	       (s->flags & XE_SF_FROM_OUTSIDE && lane->ports[port].role == XE_ROLE_UPLINK);
}

/* Where it goes, as flow.c finds it for packets. 0, or why it ends. */
static enum xe_worker_reason find_way(struct xe_lane *lane, struct xe_packet *p)
{
	const struct xe_session *s = p->session;
	uint32_t mtu;

	if (comes_again(p)) /* the way is found then */
		return *xe_packet_ttl(p) <= 1 ? XE_R_W_TTL : XE_R_NONE;
	if (p->dir == XE_DIR_OUT) {
		p->nexthop = xe_nexthop_read(&lane->nexthops.slots[s->nexthop]);
		if (p->nexthop.state != XE_NH_READY || !is_way_of(lane, s, p->nexthop.port))
			return XE_R_ICMP_NO_WAY;
		p->out_port = p->nexthop.port;
		mtu = p->nexthop.mtu;
	} else {
		p->out_port = s->key[XE_DIR_OUT].port;
		mtu = lane->ports[p->out_port].mtu;
	}
	if (!lane->ports[p->out_port].live)
		return XE_R_PORT_GONE;
	if (*xe_packet_ttl(p) <= 1)
		return XE_R_W_TTL;
	p->frag_mtu = 0;
	if (p->len - XE_L3_OFF <= mtu)
		return XE_R_NONE;
	if (xe_packet_is_v6(p) || xe_get16(p->l2 + XE_L3_OFF + XE_IP_FRAG) & htons(XE_IP_DF))
		return XE_R_TOO_BIG;
	p->frag_mtu = (uint16_t)mtu;
	return XE_R_NONE;
}

/* ---- translation ---- */

/* An address of a key into an IP header. */
static void put_addr(const struct xe_lane *lane, uint8_t *ip, bool v6, bool dst, uint32_t addr_be)
{
	uint8_t *at = ip + (v6 ? dst ? XE_IP6_DST : XE_IP6_SRC : dst ? XE_IP_DST : XE_IP_SRC);

	if (v6) {
		memcpy(at, xe_addr6_at(&lane->sessions.addr6, addr_be), sizeof(struct xe_addr));
		return;
	}
	xe_put16(ip + XE_IP_CSUM,
		 xe_csum_replace32(xe_get16(ip + XE_IP_CSUM), xe_get32(at), addr_be));
	xe_put32(at, addr_be);
}

/* The L4 checksum field of the quoted packet, NULL: it is not quoted. */
static uint8_t *quoted_csum(const struct xe_packet *p, const struct xe_icmp_error *e)
{
	uint32_t off = p->key.proto == IPPROTO_UDP ? XE_UDP_CSUM : XE_TCP_CSUM;

	return e->l4_len >= off + 2 ? e->l4 + off : NULL;
}

/* A container's kernel may quote what an offload had not completed. */
static bool quoted_is_partial(const struct xe_packet *p, const struct xe_icmp_error *e,
			      uint16_t field_be)
{
	uint64_t pseudo;

	if (e->v6)
		pseudo = xe_insum_pseudo6(e->quoted + XE_IP6_SRC, e->quoted + XE_IP6_DST,
					  p->key.proto, e->l4_sent_len);
	else
		pseudo = xe_insum_pseudo4(p->key.src_be, p->key.dst_be, p->key.proto,
					  e->l4_sent_len);
	return xe_csum_is_partial(field_be, pseudo);
}

/* The quoted packet is given back what a packet that goes the way of the error is given. */
static void translate_quoted(const struct xe_lane *lane, const struct xe_packet *p,
			     const struct xe_icmp_error *e)
{
	const struct xe_session *s = p->session;
	const struct xe_tuple4 *sent = &s->key[!p->dir]; /* the quoted packet, as it was sent */
	uint8_t *field = quoted_csum(p, e);

	if (field)
		xe_nat_l4_csum(s, p->dir, p->key.proto, quoted_is_partial(p, e, xe_get16(field)),
			       field);
	put_addr(lane, e->quoted, e->v6, false, sent->src_be);
	put_addr(lane, e->quoted, e->v6, true, sent->dst_be);
	xe_put16(e->l4, sent->sport_be);
	xe_put16(e->l4 + 2, sent->dport_be);
}

/* A router on the way keeps its address, unless it is an inside one: that becomes Ext (RFC 5508
 * REQ-5). */
static void translate(struct xe_lane *lane, struct xe_packet *p, const struct xe_icmp_error *e)
{
	const struct xe_tuple4 *key = p->session->key;

	translate_quoted(lane, p, e);
	if (p->role == XE_ROLE_INSIDE || is_from(lane, e, key[p->dir].src_be))
		put_addr(lane, e->ip, e->v6, false, key[!p->dir].dst_be);
	put_addr(lane, e->ip, e->v6, true, key[!p->dir].src_be);
	xe_put16(e->icmp + ICMP_CSUM, 0);
	xe_put16(e->icmp + ICMP_CSUM, xe_csum_finish(sum_of(lane, p, e)));
}

/* ---- the way of an error ---- */

static void find_session(struct xe_lane *lane, struct xe_packet *p, const struct xe_icmp_error *e)
{
	enum xe_dir dir = XE_DIR_OUT;

	p->session = NULL;
	if (e->v6) {
		p->key.src_be = xe_addr6_find(&lane->sessions.addr6, e->quoted + XE_IP6_DST);
		p->key.dst_be = xe_addr6_find(&lane->sessions.addr6, e->quoted + XE_IP6_SRC);
		if (p->key.src_be == XE_NIL || p->key.dst_be == XE_NIL)
			return;
	}
	p->session = xe_session_find(&lane->sessions, &p->key, p->hash, &dir);
	p->dir = dir;
}

/* What two containers send each other has been seen by nobody outside: an error from there about
 * it is a guess. */
static bool is_forged(const struct xe_packet *p)
{
	return p->session->hairpin && p->dir == XE_DIR_BACK && !p->hairpin;
}

/* 0, or why it ends here; nothing has been written to it then. */
static enum xe_worker_reason check(struct xe_lane *lane, struct xe_packet *p,
				   const struct xe_icmp_error *e)
{
	if (is_forged(p))
		return XE_R_ICMP_NO_SESSION;
	if (!is_intact(lane, p, e))
		return XE_R_ICMP_BAD_CSUM;
	if (is_spoofed(lane, p, e))
		return XE_R_W_SPOOFED;
	return find_way(lane, p);
}

/* About a packet of no session: the host's, as in flow_in.c, or nobody's. */
static void not_ours(struct xe_lane *lane, struct xe_packet *p)
{
	if (p->role == XE_ROLE_UPLINK && !p->hairpin &&
	    xe_natpool_may_be_hosts(&lane->pool, p->key.proto == IPPROTO_UDP,
				    ntohs(p->key.dport_be)))
		xe_punt(lane, p, XE_R_P_HOST_FLOW);
	else
		xe_packet_drop(lane, p, XE_R_ICMP_NO_SESSION);
}

void xe_icmp(struct xe_lane *lane, struct xe_packet *p)
{
	struct xe_icmp_error e;
	enum xe_worker_reason reason;

	xe_icmp_parts(p, &e);
	find_session(lane, p, &e);
	if (!p->session) {
		if (!lane->handoff || !xe_handover(lane, p))
			not_ours(lane, p);
		return;
	}
	reason = check(lane, p, &e);
	if (reason) {
		xe_packet_drop(lane, p, reason);
		return;
	}
	translate(lane, p, &e);
	if (comes_again(p)) {
		xe_icmp_again(lane, p, p->session->out_port);
		return;
	}
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

/* Of the quoted tuple backwards, as steer makes it. */
static uint64_t hash_of(const struct xe_lane *lane, const struct xe_packet *p)
{
	const struct xe_sessions *t = &lane->sessions;
	struct xe_icmp_error e;
	struct xe_addr src, dst;

	if (!xe_packet_is_v6(p))
		return xe_flow_hash(&p->key, t->k0, t->k1);
	xe_icmp_parts(p, &e);
	memcpy(&src, e.quoted + XE_IP6_DST, sizeof(src));
	memcpy(&dst, e.quoted + XE_IP6_SRC, sizeof(dst));
	return xe_flow_hash6(&p->key, &src, &dst, t->k0, t->k1);
}

void xe_icmp_again(struct xe_lane *lane, struct xe_packet *p, uint16_t uplink)
{
	p->in_port = uplink;
	p->role = XE_ROLE_UPLINK;
	p->hairpin = true;
	p->handed = XE_HANDED_NOT;
	p->session = NULL;
	if (!xe_icmp_parse(p)) { /* it was one before: what it quotes now is no packet */
		xe_packet_drop(lane, p, XE_R_W_MALFORMED);
		return;
	}
	p->hash = hash_of(lane, p);
	xe_icmp(lane, p);
}
