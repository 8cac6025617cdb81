/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "control/conntrack_entry.h"

#include <arpa/inet.h>
#include <libnetfilter_conntrack/libnetfilter_conntrack_tcp.h>
#include <netinet/in.h>
#include <string.h>

#include "state/tcp_track.h"

/* An entry that the kernel forgets within the same second would be written for nothing. */
#define LEFT_MIN_S 2

/* ---- a record's entry ---- */

struct xe_ct_ways xe_ct_ways_of(const struct xe_flow_record *r, const struct xe_flow_record *half)
{
	struct xe_ct_way in = {r->src, r->dst, r->sport_be, r->dport_be};
	struct xe_ct_way back = {r->nat_dst, r->nat_src, r->nat_dport_be, r->nat_sport_be};

	if (half) /* who was called answers as itself */
		back = (struct xe_ct_way){half->src, r->nat_src, half->sport_be, r->nat_sport_be};
	if (r->flags & XE_FR_FROM_OUTSIDE)
		return (struct xe_ct_ways){.orig = back, .reply = in};
	return (struct xe_ct_ways){.orig = in, .reply = back};
}

static void put_addr(struct nf_conntrack *ct, uint8_t family, int attr4, int attr6,
		     const struct xe_addr *a)
{
	if (family == AF_INET)
		nfct_set_attr_u32(ct, attr4, a->w_be[3]);
	else
		nfct_set_attr(ct, attr6, a);
}

void xe_ct_put_orig(struct nf_conntrack *ct, const struct xe_flow_record *r,
		    const struct xe_ct_ways *ways)
{
	nfct_set_attr_u8(ct, ATTR_ORIG_L3PROTO, r->family);
	nfct_set_attr_u8(ct, ATTR_ORIG_L4PROTO, r->proto);
	put_addr(ct, r->family, ATTR_ORIG_IPV4_SRC, ATTR_ORIG_IPV6_SRC, &ways->orig.src);
	put_addr(ct, r->family, ATTR_ORIG_IPV4_DST, ATTR_ORIG_IPV6_DST, &ways->orig.dst);
	nfct_set_attr_u16(ct, ATTR_ORIG_PORT_SRC, ways->orig.sport_be);
	nfct_set_attr_u16(ct, ATTR_ORIG_PORT_DST, ways->orig.dport_be);
}

static void put_reply(struct nf_conntrack *ct, const struct xe_flow_record *r,
		      const struct xe_ct_way *way)
{
	nfct_set_attr_u8(ct, ATTR_REPL_L3PROTO, r->family);
	nfct_set_attr_u8(ct, ATTR_REPL_L4PROTO, r->proto);
	put_addr(ct, r->family, ATTR_REPL_IPV4_SRC, ATTR_REPL_IPV6_SRC, &way->src);
	put_addr(ct, r->family, ATTR_REPL_IPV4_DST, ATTR_REPL_IPV6_DST, &way->dst);
	nfct_set_attr_u16(ct, ATTR_REPL_PORT_SRC, way->sport_be);
	nfct_set_attr_u16(ct, ATTR_REPL_PORT_DST, way->dport_be);
}

static bool same_end(const struct xe_addr *a, __be16 a_port_be, const struct xe_addr *b,
		     __be16 b_port_be)
{
	return !memcmp(a, b, sizeof(*a)) && a_port_be == b_port_be;
}

/* The kernel makes the reply direction itself, out of the untranslated one and these. */
void xe_ct_put_nat(struct nf_conntrack *ct, const struct xe_flow_record *r,
		   const struct xe_ct_ways *ways)
{
	const struct xe_ct_way *o = &ways->orig, *p = &ways->reply;
	struct xe_ct_way untouched = {o->dst, o->src, o->dport_be, o->sport_be};

	put_reply(ct, r, &untouched);
	if (!same_end(&o->src, o->sport_be, &p->dst, p->dport_be)) {
		put_addr(ct, r->family, ATTR_SNAT_IPV4, ATTR_SNAT_IPV6, &p->dst);
		nfct_set_attr_u16(ct, ATTR_SNAT_PORT, p->dport_be);
	}
	if (!same_end(&o->dst, o->dport_be, &p->src, p->sport_be)) {
		put_addr(ct, r->family, ATTR_DNAT_IPV4, ATTR_DNAT_IPV6, &p->src);
		nfct_set_attr_u16(ct, ATTR_DNAT_PORT, p->sport_be);
	}
}

static uint8_t scale_of(const struct xe_flow_record *r, int dir)
{
	uint8_t scale = r->tcp_scale >> (dir * 4) & 15;

	return scale == XE_TCP_NO_SCALE ? 0 : scale;
}

static void put_tcp(struct nf_conntrack *ct, const struct xe_flow_record *r)
{
	const uint8_t flags =
		IP_CT_TCP_FLAG_BE_LIBERAL | IP_CT_TCP_FLAG_WINDOW_SCALE | IP_CT_TCP_FLAG_SACK_PERM;
	int orig = !!(r->flags & XE_FR_FROM_OUTSIDE);

	nfct_set_attr_u8(ct, ATTR_TCP_STATE,
			 r->tcp_state == XE_TCP_CLOSED ? TCP_CONNTRACK_TIME_WAIT
						       : TCP_CONNTRACK_ESTABLISHED);
	nfct_set_attr_u8(ct, ATTR_TCP_FLAGS_ORIG, flags);
	nfct_set_attr_u8(ct, ATTR_TCP_MASK_ORIG, flags);
	nfct_set_attr_u8(ct, ATTR_TCP_FLAGS_REPL, flags);
	nfct_set_attr_u8(ct, ATTR_TCP_MASK_REPL, flags);
	nfct_set_attr_u8(ct, ATTR_TCP_WSCALE_ORIG, scale_of(r, orig));
	nfct_set_attr_u8(ct, ATTR_TCP_WSCALE_REPL, scale_of(r, !orig));
}

/* Not assured, an entry is the first to go when the table is full: what nobody has answered. TCP is
 * always one that has seen a reply: to the safety net a segment that is no SYN must belong to an
 * established flow, and a worker may carry the SYN+ACK after this was written. */
void xe_ct_put_state(struct nf_conntrack *ct, const struct xe_flow_record *r, bool is_there)
{
	uint32_t status = IPS_CONFIRMED;

	if (r->proto == IPPROTO_TCP) {
		status |= IPS_SEEN_REPLY;
		put_tcp(ct, r);
	}
	if (xe_ct_is_settled(r) || is_there) /* the kernel never takes these back */
		status |= IPS_SEEN_REPLY | IPS_ASSURED;
	nfct_set_attr_u32(ct, ATTR_STATUS, status);
	nfct_set_attr_u32(ct, ATTR_TIMEOUT, r->left_s < LEFT_MIN_S ? LEFT_MIN_S : r->left_s);
}

bool xe_ct_is_live(const struct xe_flow_record *r)
{
	return r->tcp_state != XE_TCP_CLOSED || !(r->tcp_seen & (XE_TS_RST(0) | XE_TS_RST(1)));
}

bool xe_ct_is_settled(const struct xe_flow_record *r)
{
	if (r->proto == IPPROTO_UDP)
		return r->flags & XE_FR_REPLIED;
	return r->tcp_state == XE_TCP_ESTABLISHED || r->tcp_state == XE_TCP_CLOSING;
}

/* ---- an entry's record ---- */

static struct xe_addr get_addr(const struct nf_conntrack *ct, uint8_t family, int attr4, int attr6)
{
	struct xe_addr a = {};
	const void *v6;

	if (family == AF_INET)
		return xe_addr_v4(nfct_get_attr_u32(ct, attr4));
	v6 = nfct_get_attr(ct, attr6);
	if (v6)
		memcpy(&a, v6, sizeof(a));
	return a;
}

/* Only conntrack rewrites payloads and shifts sequence numbers; what is expected belongs to such a
 * flow. */
static bool is_kernels_own(const struct nf_conntrack *ct)
{
	const uint32_t not_ours =
		IPS_EXPECTED | IPS_SEQ_ADJUST | IPS_DYING | IPS_TEMPLATE | IPS_FIXED_TIMEOUT;
	uint32_t status = nfct_get_attr_u32(ct, ATTR_STATUS);

	return (status & not_ours) || !(status & IPS_CONFIRMED) ||
	       nfct_attr_is_set(ct, ATTR_HELPER_NAME) > 0 ||
	       nfct_get_attr_u32(ct, ATTR_SYNPROXY_ISN) || nfct_get_attr_u16(ct, ATTR_ZONE) ||
	       nfct_get_attr_u16(ct, ATTR_ORIG_ZONE) || nfct_get_attr_u16(ct, ATTR_REPL_ZONE);
}

bool xe_ct_get(const struct nf_conntrack *ct, struct xe_ct_ways *ways)
{
	uint8_t family = nfct_get_attr_u8(ct, ATTR_ORIG_L3PROTO);
	uint8_t proto = nfct_get_attr_u8(ct, ATTR_ORIG_L4PROTO);

	if ((family != AF_INET && family != AF_INET6) ||
	    (proto != IPPROTO_TCP && proto != IPPROTO_UDP) || is_kernels_own(ct))
		return false;
	*ways = (struct xe_ct_ways){
		.orig = {get_addr(ct, family, ATTR_ORIG_IPV4_SRC, ATTR_ORIG_IPV6_SRC),
			 get_addr(ct, family, ATTR_ORIG_IPV4_DST, ATTR_ORIG_IPV6_DST),
			 nfct_get_attr_u16(ct, ATTR_ORIG_PORT_SRC),
			 nfct_get_attr_u16(ct, ATTR_ORIG_PORT_DST)},
		.reply = {get_addr(ct, family, ATTR_REPL_IPV4_SRC, ATTR_REPL_IPV6_SRC),
			  get_addr(ct, family, ATTR_REPL_IPV4_DST, ATTR_REPL_IPV6_DST),
			  nfct_get_attr_u16(ct, ATTR_REPL_PORT_SRC),
			  nfct_get_attr_u16(ct, ATTR_REPL_PORT_DST)},
	};
	return true;
}

/* XE_TCP_NONE: it is over, and the kernel ends it. */
static enum xe_tcp_state tcp_state(const struct nf_conntrack *ct)
{
	switch (nfct_get_attr_u8(ct, ATTR_TCP_STATE)) {
	case TCP_CONNTRACK_SYN_SENT:
		return XE_TCP_SYN_SENT;
	case TCP_CONNTRACK_SYN_RECV:
	case TCP_CONNTRACK_SYN_SENT2:
		return XE_TCP_SYN_BACK;
	case TCP_CONNTRACK_ESTABLISHED:
		return XE_TCP_ESTABLISHED;
	case TCP_CONNTRACK_FIN_WAIT:
	case TCP_CONNTRACK_CLOSE_WAIT:
	case TCP_CONNTRACK_LAST_ACK:
		return XE_TCP_CLOSING;
	default:
		return XE_TCP_NONE;
	}
}

/* The largest scale where the kernel has not seen the SYNs either: what was offered is not known,
 * and a window that is too large lets too much pass, which does no harm. */
static uint8_t tcp_scale(const struct nf_conntrack *ct, bool from_outside)
{
	uint8_t orig = XE_TCP_SCALE_MAX, reply = XE_TCP_SCALE_MAX;

	if (nfct_get_attr_u8(ct, ATTR_TCP_FLAGS_ORIG) & nfct_get_attr_u8(ct, ATTR_TCP_FLAGS_REPL) &
	    IP_CT_TCP_FLAG_WINDOW_SCALE) {
		orig = nfct_get_attr_u8(ct, ATTR_TCP_WSCALE_ORIG) & 15;
		reply = nfct_get_attr_u8(ct, ATTR_TCP_WSCALE_REPL) & 15;
	}
	return from_outside ? (uint8_t)(reply | orig << 4) : (uint8_t)(orig | reply << 4);
}

bool xe_ct_record(const struct nf_conntrack *ct, const struct xe_ct_ways *ways, bool from_outside,
		  struct xe_flow_record *out)
{
	const struct xe_ct_way *in = from_outside ? &ways->reply : &ways->orig;
	const struct xe_ct_way *back = from_outside ? &ways->orig : &ways->reply;

	*out = (struct xe_flow_record){
		.src = in->src,
		.dst = in->dst,
		.sport_be = in->sport_be,
		.dport_be = in->dport_be,
		.nat_src = back->dst,
		.nat_dst = back->src,
		.nat_sport_be = back->dport_be,
		.nat_dport_be = back->sport_be,
		.in_port = XE_FR_NO_PORT,
		.out_port = XE_FR_NO_PORT,
		.family = nfct_get_attr_u8(ct, ATTR_ORIG_L3PROTO),
		.proto = nfct_get_attr_u8(ct, ATTR_ORIG_L4PROTO),
		.flags = XE_FR_KERNEL | (from_outside ? XE_FR_FROM_OUTSIDE : 0),
		.left_s = nfct_get_attr_u32(ct, ATTR_TIMEOUT),
	};
	if (nfct_get_attr_u32(ct, ATTR_STATUS) & IPS_SEEN_REPLY)
		out->flags |= XE_FR_REPLIED;
	if (out->proto == IPPROTO_UDP)
		return true;
	out->tcp_state = (uint8_t)tcp_state(ct);
	out->tcp_scale = tcp_scale(ct, from_outside);
	return out->tcp_state != XE_TCP_NONE;
}
