// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "pipe_flows.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include "base/insum.h"

#define SRC_CNT 4096u
#define DST_CNT 256u

/* Frames without their FCS of 4 bytes: 64, and the simple IMIX of 7 x 64, 4 x 594, 1 x 1518. */
#define LEN_64 60u
static const uint16_t imix[12] = {60, 590, 60, 60, 590, 60, 1514, 60, 590, 60, 590, 60};

static uint32_t dst_of(uint32_t i)
{
	/* 16 destinations a source, spread over all */
	uint32_t b = ((i & (SRC_CNT - 1)) * 7 + (i >> 12 & 15) * 17) & (DST_CNT - 1);

	return 0xc6120000 + (b << 8) + 1; /* 198.18.b.1, RFC 2544 */
}

/* A flow's packet in one direction, addresses in full; IPv6 ones are these behind a prefix. */
struct ends {
	struct xe_addr src, dst;
	struct xe_tuple4 t; /* with the last 32 bits of the addresses */
};

/* fd00::/8 inside as 10.0.0.0/8 is, 2001:db8::/32 for what is outside. Inside each has a /64 of its
 * own, for that is a source. */
static struct xe_addr addr6_of(__be32 last_be, bool inside)
{
	struct xe_addr a = {};

	a.w_be[0] = htonl(inside ? 0xfd000001 : 0x20010db8);
	a.w_be[1] = inside ? last_be : 0;
	a.w_be[3] = last_be;
	return a;
}

static struct ends flow_ends(const struct flows *f, uint32_t i, enum xe_dir dir)
{
	struct ends e = {.t = {
				 .src_be = htonl(0x0a010000 + (i & (SRC_CNT - 1))),
				 .dst_be = htonl(dst_of(i)),
				 .sport_be = htons((uint16_t)(1024 + (i >> 12))),
				 .dport_be = htons(443),
				 .port = RIG_INSIDE,
				 .proto = f->proto,
				 .family = f->v6 ? XE_FAMILY_6 : XE_FAMILY_4,
			 }};

	if (dir == XE_DIR_BACK) {
		e.t = xe_tuple4_reverse(&e.t, XE_PORT_ANYUPLINK);
		e.t.dst_be = f->ext[i].addr_be;
		e.t.dport_be = f->ext[i].l4_port_be;
	}
	e.src = f->v6 ? addr6_of(e.t.src_be, dir == XE_DIR_OUT) : xe_addr_v4(e.t.src_be);
	e.dst = f->v6 ? addr6_of(e.t.dst_be, false) : xe_addr_v4(e.t.dst_be);
	return e;
}

static uint64_t hash_of(const struct rig *r, const struct ends *e)
{
	const struct xe_sessions *s = &r->lane->sessions;

	if (e->t.family == XE_FAMILY_6)
		return xe_flow_hash6(&e->t, &e->src, &e->dst, s->k0, s->k1);
	return xe_flow_hash(&e->t, s->k0, s->k1);
}

const struct xe_session *flow_session(const struct flows *f, const struct rig *r, uint32_t i)
{
	const struct xe_sessions *s = &r->lane->sessions;
	struct ends e = flow_ends(f, i, XE_DIR_OUT);
	enum xe_dir dir;

	if (f->v6) {
		e.t.src_be = xe_addr6_find(&s->addr6, &e.src);
		e.t.dst_be = xe_addr6_find(&s->addr6, &e.dst);
		if (e.t.src_be == XE_NIL || e.t.dst_be == XE_NIL)
			return NULL;
	}
	return xe_session_find(s, &e.t, hash_of(r, &e), &dir);
}

void flow_learn_ext(struct flows *f, const struct rig *r, uint32_t i, const struct xe_session *s)
{
	const struct xe_tuple4 *back = &s->key[XE_DIR_BACK];
	struct xe_addr ext = xe_tuple_addr(&r->lane->sessions, back->family, back->dst_be);

	f->ext[i] = (struct flow_ext){ext.w_be[3], back->dport_be};
}

/* What containers send has its checksum left to an offload; what comes from a NIC has not. The
 * values of the others do not matter: they are updated, never checked. */
static uint16_t l4_csum(const struct ends *e, enum xe_dir dir, uint32_t l4_len)
{
	uint64_t sum;

	if (dir == XE_DIR_BACK)
		return 0x1234;
	sum = e->t.family == XE_FAMILY_6
		      ? xe_insum_pseudo6(&e->src, &e->dst, e->t.proto, l4_len)
		      : xe_insum_pseudo4(e->t.src_be, e->t.dst_be, e->t.proto, l4_len);
	return xe_insum_fold(sum);
}

static void put_ip4(uint8_t *ip, const struct ends *e, uint32_t l4_len)
{
	ip[0] = 0x45;
	xe_put16(ip + XE_IP_TOT_LEN, htons((uint16_t)(XE_IP_HDR_MIN + l4_len)));
	ip[XE_IP_TTL] = 64;
	ip[XE_IP_PROTO] = e->t.proto;
	xe_put32(ip + XE_IP_SRC, e->t.src_be);
	xe_put32(ip + XE_IP_DST, e->t.dst_be);
	xe_put16(ip + XE_IP_CSUM, xe_csum_finish(xe_insum(ip, XE_IP_HDR_MIN)));
}

static void put_ip6(uint8_t *ip, const struct ends *e, uint32_t l4_len)
{
	ip[0] = 0x60;
	xe_put16(ip + XE_IP6_PAYLOAD, htons((uint16_t)l4_len));
	ip[XE_IP6_NEXT] = e->t.proto;
	ip[XE_IP6_HOPS] = 64;
	memcpy(ip + XE_IP6_SRC, &e->src, 16);
	memcpy(ip + XE_IP6_DST, &e->dst, 16);
}

void flow_packet(struct flows *f, const struct rig *r, uint32_t i, enum xe_dir dir,
		 uint8_t tcp_flags, struct rig_packet *out)
{
	uint32_t ip_len = f->v6 ? XE_IP6_HDR : XE_IP_HDR_MIN, l4_len;
	uint32_t l4_min = f->proto == IPPROTO_TCP ? XE_TCP_HDR_MIN : XE_UDP_HDR_LEN;
	struct ends e = flow_ends(f, i, dir);
	uint8_t *ip = out->head + XE_L3_OFF, *l4 = ip + ip_len;

	memset(out->head, 0, sizeof(out->head));
	out->len = f->imix ? imix[f->turn++ % 12] : LEN_64;
	if (out->len < XE_L3_OFF + ip_len + l4_min)
		out->len = XE_L3_OFF + ip_len + l4_min;
	out->head_len = XE_L3_OFF + ip_len + XE_TCP_HDR_MIN;
	out->hash = hash_of(r, &e);
	l4_len = out->len - XE_L3_OFF - ip_len;
	out->head[0] = out->head[6] = 2;
	xe_put16(out->head + 12, htons(f->v6 ? 0x86dd : 0x0800));
	if (f->v6)
		put_ip6(ip, &e, l4_len);
	else
		put_ip4(ip, &e, l4_len);
	xe_put16(l4, e.t.sport_be);
	xe_put16(l4 + 2, e.t.dport_be);
	if (f->proto == IPPROTO_UDP) {
		xe_put16(l4 + XE_UDP_LEN, htons((uint16_t)l4_len));
		xe_put16(l4 + XE_UDP_CSUM, l4_csum(&e, dir, l4_len));
		return;
	}
	l4[12] = 0x50;
	/* both sides begin at 0, and then send their first payload again and again */
	l4[XE_TCP_SEQ + 3] = !(tcp_flags & XE_TH_SYN);
	l4[XE_TCP_ACK + 3] = !!(tcp_flags & XE_TH_ACK);
	xe_put16(l4 + XE_TCP_WINDOW, 0xffff);
	l4[XE_TCP_FLAGS] = tcp_flags;
	xe_put16(l4 + XE_TCP_CSUM, l4_csum(&e, dir, l4_len));
}

uint32_t flow_route(const struct flows *f, struct rig *r, uint32_t i)
{
	struct ends e = flow_ends(f, i, XE_DIR_OUT);
	struct xe_nexthops *t = &r->lane->nexthops;
	uint32_t nh = f->v6 ? xe_nexthop_get_addr(t, &e.dst, &e.src, RIG_INSIDE)
			    : xe_nexthop_get(t, e.t.dst_be, e.t.src_be, RIG_INSIDE);

	rig_answer(r);
	return nh;
}
