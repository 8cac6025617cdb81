/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "reference.h"

#include <string.h>

#include "../unit/lane_fixture.h"

#define ETH      14u
#define TCP      6
#define UDP      17
#define ICMP     1
#define ICMP6    58
#define MTU      1500u
#define EXT_NET  0xc0000200u /* 192.0.2.0/24 holds all Ext addresses */
#define PREFIX16 0xffff0000u
#define PREFIX24 0xffffff00u
#define NET1     0x0a010000u
#define NET2     0x0a020000u
/* 2001:db8:X::/64, as the upper half of an address; /48 without the last 16 bits. */
#define NET6(x)  (0x20010db800000000ull | (uint64_t)(x) << 16)
#define EXT_NET6 NET6(0xf)

/* ref_rule() and ref_published[] say the same in C. */
const char *const ref_rules[] = {
	"drop from 10.1.0.0/16 to 198.51.100.128/25",
	"kernel tcp to 0.0.0.0/0:25",
	"accept from 10.1.0.0/16 to 10.2.0.0/16",
	"accept from 10.2.0.0/16 to 203.0.113.0/24",
	"nat from 10.2.0.16/28 source 192.0.2.128/28",
	"snat from 10.2.0.0/16 source 192.0.2.10-192.0.2.13 ports 2000-2200",
	"masquerade from 10.1.0.0/16 ports 3000-3100",
	"dnat tcp to 192.0.2.1:8080 dest 10.1.0.2:80",
	"dnat udp to 192.0.2.2:7000-7009 in eth1 dest 10.2.0.3:9000-9009",
	"dnat to 192.0.2.1:53 dest 10.1.0.1*3,10.1.0.2-10.1.0.3",
	"accept udp to 10.1.0.3:53 in eth0",
	"drop from 2001:db8:1::/64 to 2001:db8:dead::/48",
	"kernel udp to [::/0]:25",
	"accept from 2001:db8:1::/64 to 2001:db8:2::/64",
	"accept from 2001:db8:2::/64 to 2001:db8:113::/48",
	"nat from 2001:db8:2::10/124 source 2001:db8:f::80/124",
	"snat from 2001:db8:2::/64 source 2001:db8:f::10-2001:db8:f::11 ports 2000-2200",
	"masquerade from 2001:db8:1::/64 ports 3000-3100",
	"dnat udp to [2001:db8:f::1]:7000-7009 dest [2001:db8:2::3]:9000-9009",
	"dnat tcp to [2001:db8:f::2]:8080 in eth1 dest [2001:db8:1::2]:80",
	"dnat to [2001:db8:f::1]:53 dest [2001:db8:1::1-2001:db8:1::3]:5353",
	NULL,
};

#define V4(addr)                                                                                   \
	{                                                                                          \
		0, addr                                                                            \
	}
#define V6(net, lo)                                                                                \
	{                                                                                          \
		NET6(net), lo                                                                      \
	}

const struct ref_published ref_published[] = {
	{false, TCP, 0, V4(EXT_NET + 1), V4(EXT_NET + 1), 8080, 8080, V4(NET1 + 2), 0, 80},
	{false, UDP, LF_UPLINK2, V4(EXT_NET + 2), V4(EXT_NET + 2), 7000, 7009, V4(NET2 + 3), 0,
	 9000},
	{false, 0, 0, V4(EXT_NET + 1), V4(EXT_NET + 1), 53, 53, V4(NET1 + 1), 3, 0},
	{false, UDP, LF_UPLINK, V4(NET1 + 3), V4(NET1 + 3), 53, 53, V4(NET1 + 3), 0, 0},
	{false, 0, 0, V4(EXT_NET + 128), V4(EXT_NET + 143), 0, 65535, V4(NET2 + 16), 0, 0},
	{true, UDP, 0, V6(0xf, 1), V6(0xf, 1), 7000, 7009, V6(2, 3), 0, 9000},
	{true, TCP, LF_UPLINK2, V6(0xf, 2), V6(0xf, 2), 8080, 8080, V6(1, 2), 0, 80},
	{true, 0, 0, V6(0xf, 1), V6(0xf, 1), 53, 53, V6(1, 1), 3, 5353},
	{true, 0, 0, V6(0xf, 0x80), V6(0xf, 0x8f), 0, 65535, V6(2, 0x10), 0, 0},
};
const uint32_t ref_published_cnt = sizeof(ref_published) / sizeof(ref_published[0]);

enum action { KERNEL, DROP, ACCEPT, NAT, SNAT, MASQUERADE };

static enum action rule4(const struct ref_tuple *t, uint16_t out_port)
{
	uint64_t from = t->src.lo & PREFIX16, to = t->dst.lo & PREFIX16;

	/* A rule without `out` and without `to` an inside prefix is about uplinks. */
	if (from == NET1 && (t->dst.lo & 0xffffff80u) == 0xc6336480u)
		return DROP;
	if (t->proto == TCP && t->dport == 25)
		return KERNEL;
	if (from == NET1 && to == NET2)
		return ACCEPT;
	if (from == NET2 && (t->dst.lo & PREFIX24) == 0xcb007100u)
		return ACCEPT;
	if (out_port < LF_UPLINK)
		return KERNEL;
	if (from == NET2 && t->src.lo >= NET2 + 16 && t->src.lo <= NET2 + 31)
		return NAT;
	return from == NET2 ? SNAT : from == NET1 ? MASQUERADE : KERNEL;
}

static enum action rule6(const struct ref_tuple *t, uint16_t out_port)
{
	bool net1 = t->src.hi == NET6(1), net2 = t->src.hi == NET6(2);

	if (net1 && t->dst.hi >> 16 == NET6(0xdead) >> 16)
		return DROP;
	if (t->proto == UDP && t->dport == 25)
		return KERNEL;
	if (net1 && t->dst.hi == NET6(2))
		return ACCEPT;
	if (net2 && t->dst.hi >> 16 == NET6(0x113) >> 16)
		return ACCEPT;
	if (out_port < LF_UPLINK)
		return KERNEL;
	if (net2 && t->src.lo >= 0x10 && t->src.lo <= 0x1f)
		return NAT;
	return net2 ? SNAT : net1 ? MASQUERADE : KERNEL;
}

static enum action ref_rule(const struct ref_tuple *t, uint16_t out_port)
{
	return t->v6 ? rule6(t, out_port) : rule4(t, out_port);
}

/* What comes from outside passes the same rules: the first that matches. */
static bool is_kernels(const struct ref_tuple *t)
{
	return t->dport == 25 && t->proto == (t->v6 ? UDP : TCP);
}

static uint16_t route(bool v6, const struct ref_addr *dst)
{
	if (v6) {
		uint64_t net = dst->hi >> 16;

		return net == NET6(1) >> 16       ? LF_INSIDE
		       : net == NET6(2) >> 16     ? LF_INSIDE2
		       : net == NET6(0x113) >> 16 ? LF_UPLINK2
						  : LF_UPLINK;
	}
	if ((dst->lo & PREFIX16) == NET1)
		return LF_INSIDE;
	if ((dst->lo & PREFIX16) == NET2)
		return LF_INSIDE2;
	return (dst->lo & PREFIX24) == 0xcb007100u ? LF_UPLINK2 : LF_UPLINK;
}

/* Is it an Ext address, behind which another container may be? */
static bool is_ext(bool v6, const struct ref_addr *a)
{
	return v6 ? a->hi >> 16 == EXT_NET6 >> 16 : (a->lo & PREFIX24) == EXT_NET;
}

/* Multicast, loopback and such have rules of their own. */
static bool is_ordinary(bool v6, const struct ref_addr *a)
{
	return !v6 || a->hi >> 32 == NET6(0) >> 32;
}

static uint32_t get16(const uint8_t *p)
{
	return (uint32_t)(p[0] << 8 | p[1]);
}

static uint32_t get32(const uint8_t *p)
{
	return get16(p) << 16 | get16(p + 2);
}

static uint64_t get64(const uint8_t *p)
{
	return (uint64_t)get32(p) << 32 | get32(p + 4);
}

static bool is_v6(const uint8_t *ip)
{
	return ip[0] >> 4 == 6;
}

/* The L4 header behind extension headers (RFC 8200 section 4): hop-by-hop options, a routing header
 * that is done, destination options; six of them and 1024 bytes at most. 0: none is there. */
static uint32_t walk6(const uint8_t *ip, uint32_t len, uint8_t *proto)
{
	uint32_t off = 40;

	*proto = ip[6];
	for (int i = 0; *proto == 0 || *proto == 43 || *proto == 60; i++) {
		if (i == 6 || off + 8 > len || (*proto == 43 && ip[off + 3]))
			return 0;
		*proto = ip[off];
		off += 8 + ip[off + 1] * 8u;
		if (off > 1024)
			return 0;
	}
	return off;
}

/* Of one that is known to be there. */
static uint32_t ip_hdr_len(const uint8_t *ip)
{
	uint8_t proto;

	return is_v6(ip) ? walk6(ip, 1024, &proto) : (ip[0] & 15u) * 4;
}

static uint32_t ip_len(const uint8_t *ip)
{
	return is_v6(ip) ? 40 + get16(ip + 4) : get16(ip + 2);
}

static uint8_t ip_proto(const uint8_t *ip)
{
	uint8_t proto = ip[9];

	if (is_v6(ip))
		walk6(ip, 1024, &proto);
	return proto;
}

static uint32_t ttl_off(const uint8_t *ip)
{
	return is_v6(ip) ? 7 : 8;
}

static uint32_t csum_off(const uint8_t *ip)
{
	return ip_hdr_len(ip) + (ip_proto(ip) == TCP ? 16 : 6);
}

/* The L4 pseudo-header's sum. */
static uint16_t pseudo_sum(const uint8_t *ip)
{
	uint32_t start = ip_proto(ip) + ip_len(ip) - ip_hdr_len(ip);

	return is_v6(ip) ? lf_sum(ip + 8, 32, start) : lf_sum(ip + 12, 8, start);
}

static struct ref_addr addr_at(const uint8_t *at, bool v6)
{
	return v6 ? (struct ref_addr){get64(at), get64(at + 8)} : (struct ref_addr){0, get32(at)};
}

static struct ref_tuple tuple_of(const uint8_t *bytes)
{
	const uint8_t *ip = bytes + ETH, *l4 = ip + ip_hdr_len(ip);
	struct ref_tuple t = {
		.sport = (uint16_t)get16(l4),
		.dport = (uint16_t)get16(l4 + 2),
		.proto = ip_proto(ip),
		.v6 = is_v6(ip),
	};

	t.src = addr_at(ip + (t.v6 ? 8 : 12), t.v6);
	t.dst = addr_at(ip + (t.v6 ? 24 : 16), t.v6);
	return t;
}

static bool same_addr(const struct ref_addr *a, const struct ref_addr *b)
{
	return a->hi == b->hi && a->lo == b->lo;
}

static bool same(const struct ref_tuple *a, const struct ref_tuple *b)
{
	return same_addr(&a->src, &b->src) && same_addr(&a->dst, &b->dst) && a->sport == b->sport &&
	       a->dport == b->dport && a->proto == b->proto && a->v6 == b->v6;
}

static struct ref_tuple turned(const struct ref_tuple *t)
{
	return (struct ref_tuple){t->dst, t->src, t->dport, t->sport, t->proto, t->v6};
}

static bool ip6_well_formed(const uint8_t *b, uint32_t len, uint32_t head_len)
{
	const uint8_t *ip = b + ETH;
	uint32_t hdr_len;
	uint8_t proto;

	if (!is_v6(ip) || head_len < ETH + 48 || ETH + ip_len(ip) > len)
		return false;
	hdr_len = walk6(ip, head_len - ETH, &proto);
	return hdr_len && hdr_len <= ip_len(ip);
}

static bool ip_well_formed(const uint8_t *b, uint32_t len, uint32_t head_len)
{
	const uint8_t *ip = b + ETH;
	uint32_t hdr_len;

	if (get16(b + 12) == 0x86dd)
		return ip6_well_formed(b, len, head_len);
	if (get16(b + 12) != 0x0800 || ip[0] >> 4 != 4)
		return false;
	hdr_len = ip_hdr_len(ip);
	return hdr_len >= 20 && get16(ip + 2) >= hdr_len && ETH + get16(ip + 2) <= len &&
	       head_len >= ETH + hdr_len && lf_sum(ip, hdr_len, 0) == 0xffff;
}

/* Headers that say the truth, and lie in the first frame. */
static bool well_formed(const uint8_t *b, uint32_t len, uint32_t head_len)
{
	const uint8_t *ip = b + ETH, *l4;
	uint32_t hdr_len, l4_len;

	if (len < ETH + 28 || head_len < ETH + 28 || !ip_well_formed(b, len, head_len))
		return false;
	hdr_len = ip_hdr_len(ip);
	l4 = ip + hdr_len;
	l4_len = ip_len(ip) - hdr_len;
	if (ip_proto(ip) == UDP)
		return l4_len >= 8 && head_len >= ETH + hdr_len + 8 && get16(l4 + 4) >= 8 &&
		       get16(l4 + 4) <= l4_len;
	if (ip_proto(ip) != TCP || l4_len < 20 || head_len < ETH + hdr_len + 20)
		return false;
	return l4[12] >> 4 >= 5 && (l4[12] >> 4) * 4u <= l4_len &&
	       head_len >= ETH + hdr_len + (l4[12] >> 4) * 4u;
}

/* Before it is asked whether it is well-formed: fragments, and ICMPv6 behind extension headers. */
static bool is_unsaid(const uint8_t *b, uint32_t len)
{
	const uint8_t *ip = b + ETH;
	uint8_t proto;

	if (len <= ETH + 20)
		return false;
	if (get16(b + 12) != 0x86dd)
		return get16(ip + 6) & 0x3fff;
	if (len < ETH + 40 || ip[6] == ICMP6)
		return false;
	walk6(ip, len - ETH, &proto);
	return proto == 44 || proto == ICMP6;
}

static bool is_uplink(uint16_t port)
{
	return port >= LF_UPLINK;
}

static struct ref_flow *find(struct ref *ref, uint16_t port, const struct ref_tuple *t, bool *back)
{
	for (uint32_t i = 0; i < ref->flow_cnt; i++) {
		struct ref_flow *f = &ref->flows[i];
		struct ref_tuple reply = turned(&f->wire);

		*back = false;
		if (port == f->in_port && same(t, &f->out))
			return f;
		*back = true;
		if ((f->by_uplink ? is_uplink(port) : port == f->out_port) && same(t, &reply))
			return f;
	}
	*back = false;
	return NULL;
}

/* By which flow does it come in again? */
static struct ref_flow *again(struct ref *ref, const struct ref_flow *f)
{
	struct ref_tuple reply = turned(&f->wire);

	for (uint32_t i = 0; i < ref->flow_cnt; i++)
		if (ref->flows[i].hairpin && same(&ref->flows[i].wire, &reply))
			return &ref->flows[i];
	return NULL;
}

static struct ref_verdict verdict(enum ref_fate fate)
{
	return (struct ref_verdict){.fate = fate};
}

static bool begins_flow(const uint8_t *ip)
{
	return ip_proto(ip) != TCP || (ip[ip_hdr_len(ip) + 13] & 0x17) == 2;
}

static bool is_from(uint16_t port, const struct ref_tuple *t)
{
	uint32_t n = port == LF_INSIDE ? 1 : 2;

	return t->v6 ? t->src.hi == NET6(n) : (t->src.lo & PREFIX16) == (n == 1 ? NET1 : NET2);
}

static const struct ref_published *published(uint16_t port, const struct ref_tuple *t)
{
	for (uint32_t i = 0; i < ref_published_cnt; i++) {
		const struct ref_published *p = &ref_published[i];

		if (p->v6 == t->v6 && (!p->proto || p->proto == t->proto) &&
		    (!p->in || p->in == port) && t->dst.hi == p->first.hi &&
		    t->dst.lo >= p->first.lo && t->dst.lo <= p->last.lo &&
		    t->dport >= p->port_min && t->dport <= p->port_max)
			return p;
	}
	return NULL;
}

/* Address and L4 port at the same place of the target, or the first one of several. */
static void published_target(const struct ref_published *p, const struct ref_tuple *t,
			     struct ref_verdict *v)
{
	v->target = *t;
	v->target.dst = p->target;
	v->target_cnt = p->target_cnt ? p->target_cnt : 1;
	if (!p->target_cnt)
		v->target.dst.lo += t->dst.lo - p->first.lo;
	if (p->target_port)
		v->target.dport = (uint16_t)(p->target_port + t->dport - p->port_min);
}

/* Whose Ext L4 port is that? NULL: nobody's. */
static const struct ref_flow *owner_of(const struct ref *ref, const struct ref_tuple *t)
{
	for (uint32_t i = 0; i < ref->flow_cnt; i++) {
		const struct ref_flow *f = &ref->flows[i];

		if (f->mapped && f->out.v6 == t->v6 && f->out.proto == t->proto &&
		    same_addr(&f->wire.src, &t->dst) && f->wire.sport == t->dport)
			return f;
	}
	return NULL;
}

/* Is it for another of ours, by an Ext address? Rules that say by which uplink speak of others. */
static bool is_hairpin(const struct ref *ref, uint16_t port, const struct ref_tuple *t)
{
	const struct ref_published *p = published(port, t);

	return is_ext(t->v6, &t->dst) && (owner_of(ref, t) || (p && !is_kernels(t)));
}

/* To whom it goes when it comes in again: who has the Ext L4 port (RFC 4787 REQ-9, whatever the
 * filter; those of TCP are shared, and nobody's alone), or as if it came from outside. */
static bool hairpin_target(const struct ref *ref, const struct ref_tuple *t, struct ref_verdict *v)
{
	const struct ref_flow *owner = t->proto == UDP ? owner_of(ref, t) : NULL;
	const struct ref_published *p = published(LF_UPLINK, t);

	v->target = *t;
	v->target_cnt = 1;
	v->by_mapping = owner;
	if (owner) {
		v->target.dst = owner->out.src;
		v->target.dport = owner->out.sport;
		return true;
	}
	if (!p || is_kernels(t))
		return false;
	published_target(p, t, v);
	return true;
}

/* Has the target spoken to an Ext address before? Then it may be this one's. */
static bool may_be_taken(const struct ref *ref, const struct ref_verdict *v)
{
	for (uint32_t i = 0; i < ref->flow_cnt; i++) {
		const struct ref_flow *f = &ref->flows[i];

		if (f->out.v6 == v->target.v6 && f->out.proto == v->target.proto &&
		    f->out.sport == v->target.dport && f->out.src.hi == v->target.dst.hi &&
		    f->out.src.lo - v->target.dst.lo < v->target_cnt &&
		    is_ext(f->out.v6, &f->out.dst))
			return true;
	}
	return false;
}

/* By an Ext address to another of ours (RFC 4787 REQ-9, RFC 5382 REQ-8): it leaves as any flow
 * does, and comes in again. */
static struct ref_verdict judge_hairpin(const struct ref *ref, uint16_t port, const uint8_t *bytes,
					const struct ref_tuple *t)
{
	struct ref_verdict v = verdict(REF_OPENS);
	enum action action = ref_rule(t, LF_UPLINK);

	if (action == DROP)
		return verdict(REF_DROPPED);
	if (action == KERNEL || action == ACCEPT) /* its peer would answer past us */
		return verdict(REF_KERNEL);
	v.hairpin = true;
	v.tuple = *t;
	if (bytes[ETH + ttl_off(bytes + ETH)] > 1 && !hairpin_target(ref, t, &v)) {
		v.fate = REF_DROPPED;
		v.unseen = true;
		return v;
	}
	if (may_be_taken(ref, &v))
		return verdict(REF_UNSAID);
	v.out_port = route(t->v6, &v.target.dst);
	(void)port;
	return v;
}

/* What the first packet of a flow from inside leads to. */
static struct ref_verdict judge_first(const struct ref *ref, uint16_t port, const uint8_t *bytes,
				      const struct ref_tuple *t)
{
	struct ref_verdict v = verdict(REF_OPENS);

	if (!is_from(port, t) || !begins_flow(bytes + ETH))
		return verdict(REF_DROPPED);
	if (!is_ordinary(t->v6, &t->dst))
		return verdict(REF_UNSAID);
	if (is_hairpin(ref, port, t))
		return judge_hairpin(ref, port, bytes, t);
	v.out_port = route(t->v6, &t->dst);
	if (v.out_port == port)
		return verdict(REF_DROPPED);
	switch (ref_rule(t, v.out_port)) {
	case DROP:
		return verdict(REF_DROPPED);
	case KERNEL:
		return verdict(REF_KERNEL);
	default:
		return v;
	}
}

static const struct ref_addr *share_of(const struct ref *ref, struct ref_tuple peer)
{
	peer.proto = 0;
	for (uint32_t i = 0; i < ref->share_cnt; i++)
		if (same(&ref->shares[i].peer, &peer))
			return &ref->shares[i].target;
	return NULL;
}

static bool is_taken(const struct ref *ref, const struct ref_tuple *out)
{
	for (uint32_t i = 0; i < ref->flow_cnt; i++)
		if (same(&ref->flows[i].out, out))
			return true;
	return false;
}

/* What a packet from outside leads to that belongs to no flow. */
static struct ref_verdict judge_outside(const struct ref *ref, uint16_t port, const uint8_t *bytes,
					const struct ref_tuple *t)
{
	const struct ref_published *p = is_kernels(t) ? NULL : published(port, t);
	struct ref_verdict v = verdict(REF_OPENS);
	const struct ref_addr *share;
	uint32_t taken = 0;

	if (!p || !begins_flow(bytes + ETH))
		return verdict(REF_DROPPED);
	/* Nobody out there has these. */
	if (route(t->v6, &t->src) < LF_UPLINK || is_ext(t->v6, &t->src) ||
	    !is_ordinary(t->v6, &t->src))
		return verdict(REF_UNSAID);
	v.back = true;
	published_target(p, t, &v);
	share = p->target_cnt ? share_of(ref, *t) : NULL;
	if (share) {
		v.target.dst = *share;
		v.target_cnt = 1;
	}
	/* A flow that is there already has the same two ends: its answers could not be told. */
	for (uint32_t i = 0; i < v.target_cnt; i++) {
		struct ref_tuple out = turned(&v.target);

		out.src.lo += i;
		taken += is_taken(ref, &out);
	}
	if (taken)
		return verdict(v.target_cnt > 1 ? REF_UNSAID : REF_DROPPED);
	v.out_port = route(t->v6, &v.target.dst);
	return v;
}

/* IPv6 knows no "no checksum" (RFC 8200 section 8.1): behind other addresses it cannot stay so. */
static bool lacks_csum(const uint8_t *ip)
{
	return is_v6(ip) && ip_proto(ip) == UDP && !get16(ip + csum_off(ip));
}

static bool is_translated(const struct ref_verdict *v)
{
	if (v->flow)
		return !same(&v->flow->out, &v->flow->wire);
	return v->back ? !same(&v->target, &v->tuple) : ref_rule(&v->tuple, v->out_port) != ACCEPT;
}

/* A single host (RFC 1122 section 3.2.2, RFC 4443 section 2.4): others are told nothing. */
static bool is_host(bool v6, const struct ref_addr *a)
{
	if (v6)
		return a->hi >> 56 != 0xff && (a->hi || a->lo > 255);
	return a->lo >> 24 && a->lo >> 24 != 127 && a->lo < 0xe0000000u;
}

/* Its sender is told, by the address of ours that it knows: the one it spoke to where that is not
 * the other end's own, else the host's on that port. */
static void judge_answer(struct ref_verdict *v, uint16_t port, const uint8_t *bytes,
			 enum ref_answer answer)
{
	bool v6 = v->tuple.v6;
	uint32_t uplink = port == LF_UPLINK ? 1 : 2;

	if (bytes[0] & 1 || !is_host(v6, &v->tuple.src))
		return;
	v->answer = answer;
	if (is_uplink(port) && is_translated(v))
		v->answer_from = v->tuple.dst;
	else if (is_uplink(port))
		v->answer_from = v6 ? (struct ref_addr){EXT_NET6, uplink}
				    : (struct ref_addr){0, EXT_NET + uplink};
	else
		v->answer_from = v6 ? (struct ref_addr){NET6(port), 1}
				    : (struct ref_addr){0, (port == 1 ? NET1 : NET2) + 1};
}

/* RFC 1191, RFC 8201: fragments only where the sender lets it, and never of IPv6. The kernel tells
 * a container of IPv4. */
static void judge_too_big(struct ref_verdict *v, uint16_t port, const uint8_t *bytes)
{
	if (v->tuple.v6) {
		v->fate = REF_DROPPED;
		judge_answer(v, port, bytes, REF_ANSWER_TOO_BIG);
	} else if (get16(bytes + ETH + 6) & 0x4000) {
		v->fate = REF_KERNEL;
	} else {
		v->in_fragments = true;
	}
}

/* A new flow may be made on the way, whatever becomes of the packet. */
static void judge_packet(struct ref_verdict *v, uint16_t port, const uint8_t *bytes)
{
	const uint8_t *ip = bytes + ETH;
	bool opens = v->fate == REF_OPENS;

	bool hairpin = v->hairpin || v->again;

	if (ip[ttl_off(ip)] <= 1) { /* the kernel tells a container, but where it cannot know */
		v->fate = v->back || hairpin ? REF_DROPPED : REF_KERNEL;
		if (v->back || hairpin)
			judge_answer(v, port, bytes, REF_ANSWER_TTL);
	} else if (!v->back && !hairpin && v->len - ETH > MTU) {
		judge_too_big(v, port, bytes);
	} else if (lacks_csum(ip) && is_translated(v)) {
		v->fate = REF_DROPPED;
		if (v->flow && !v->back)
			memcpy(v->flow->l2_inside, bytes + 6, 6);
	}
	v->unseen = opens && v->fate != REF_OPENS;
}

/* Is it an error of the plain kind: all of what is quoted is the packet, nothing stands behind it
 * (RFC 4884)? */
static bool is_plain_error(const uint8_t *icmp, bool v6)
{
	if (v6)
		return icmp[0] == 2 || (icmp[0] >= 1 && icmp[0] <= 4 && !icmp[4]);
	return (icmp[0] == 3 || icmp[0] == 11 || icmp[0] == 12) && !icmp[5];
}

static bool is_quoted(const uint8_t *quoted, uint32_t quoted_len, bool v6)
{
	if (quoted[0] >> 4 != (v6 ? 6 : 4) || quoted_len < (v6 ? 48 : 28))
		return false;
	if (v6)
		return ip_len(quoted) >= quoted_len && (quoted[6] == TCP || quoted[6] == UDP);
	return ip_hdr_len(quoted) >= 20 && quoted_len >= ip_hdr_len(quoted) + 8 &&
	       ip_len(quoted) >= quoted_len && !(get16(quoted + 6) & 0x1fff) &&
	       (quoted[9] == TCP || quoted[9] == UDP);
}

/* The packet that an ICMP error is about, NULL: it is not one of the plain kind, with all of its
 * headers and of what it quotes in the first frame. */
static const uint8_t *quoted_by(const uint8_t *b, uint32_t len, uint32_t head_len)
{
	const uint8_t *ip = b + ETH, *icmp, *quoted;
	bool v6 = get16(b + 12) == 0x86dd;
	uint32_t hdr_len;

	if (!ip_well_formed(b, len, head_len) || head_len < ETH + ip_len(ip))
		return NULL;
	hdr_len = ip_hdr_len(ip);
	icmp = ip + hdr_len;
	quoted = icmp + 8;
	if (ip_len(ip) < hdr_len + 8 + 28 || !is_plain_error(icmp, v6) ||
	    !is_quoted(quoted, ip_len(ip) - hdr_len - 8, v6))
		return NULL;
	return memcmp(ip + (v6 ? 24 : 16), quoted + (v6 ? 8 : 12), v6 ? 16 : 4) ? NULL : quoted;
}

/* RFC 5508 REQ-3, RFC 4443 section 2.3. */
static bool is_intact(const uint8_t *ip, const uint8_t *quoted)
{
	uint32_t hdr_len = ip_hdr_len(ip), start = is_v6(ip) ? pseudo_sum(ip) : 0;

	if (lf_sum(ip + hdr_len, ip_len(ip) - hdr_len, start) != 0xffff)
		return false;
	return is_v6(ip) || lf_sum(quoted, ip_hdr_len(quoted), 0) == 0xffff;
}

/* An error goes the way of the answers to the packet that it quotes. */
static struct ref_verdict judge_error(struct ref *ref, uint16_t port, const uint8_t *bytes,
				      uint32_t len, uint32_t head_len)
{
	const uint8_t *ip = bytes + ETH, *quoted = quoted_by(bytes, len, head_len);
	struct ref_verdict v = verdict(REF_ERROR);
	struct ref_addr from;
	struct ref_tuple t;
	struct ref_flow *f;

	if (!quoted)
		return verdict(REF_UNSAID);
	t = tuple_of(quoted - ETH);
	t = turned(&t);
	f = find(ref, port, &t, &v.back);
	/* A broken one, and one about nobody's flow, ends here. */
	if (!f || !is_intact(ip, quoted) || ip[ttl_off(ip)] <= 1)
		return verdict(REF_DROPPED);
	/* Where nothing is translated nobody but the flow's own end may speak from inside. */
	from = addr_at(ip + (t.v6 ? 8 : 12), t.v6);
	if (!is_uplink(port) && same(&f->out, &f->wire) && !same_addr(&from, &t.src))
		return verdict(REF_DROPPED);
	if (f->hairpin) /* forged, as above; from inside it goes both ways */
		return verdict(v.back ? REF_DROPPED : REF_UNSAID);
	v.flow = f;
	v.tuple = t;
	v.out_port = v.back ? f->in_port : f->out_port;
	v.len = ETH + ip_len(ip);
	if (!v.back && v.len - ETH > MTU)
		return verdict(REF_UNSAID);
	return v;
}

static bool is_icmp(const uint8_t *b, uint32_t len)
{
	if (len <= ETH + 20)
		return false;
	return get16(b + 12) == 0x86dd ? b[ETH + 6] == ICMP6 : b[ETH + 9] == ICMP;
}

struct ref_verdict ref_judge(struct ref *ref, uint16_t port, const uint8_t *bytes, uint32_t len,
			     uint32_t head_len)
{
	struct ref_verdict v;
	struct ref_tuple t;
	struct ref_flow *flow;
	bool back;

	if (is_unsaid(bytes, len))
		return verdict(REF_UNSAID);
	if (is_icmp(bytes, len))
		return judge_error(ref, port, bytes, len, head_len);
	if (!well_formed(bytes, len, head_len))
		return verdict(REF_DROPPED);
	t = tuple_of(bytes);
	flow = find(ref, port, &t, &back);
	if (flow && flow->hairpin && back) /* nobody outside has seen these: forged */
		return verdict(REF_DROPPED);
	if (flow) {
		v = verdict(REF_SENT);
		v.again = flow->hairpin ? again(ref, flow) : NULL;
		v.out_port = v.again ? v.again->in_port : back ? flow->in_port : flow->out_port;
		v.back = back;
	} else {
		v = is_uplink(port) ? judge_outside(ref, port, bytes, &t)
				    : judge_first(ref, port, bytes, &t);
		if (v.fate != REF_OPENS)
			return v;
	}
	v.flow = flow;
	v.tuple = t;
	v.len = ETH + ip_len(bytes + ETH);
	judge_packet(&v, port, bytes);
	return v;
}

void ref_forget(struct ref *ref)
{
	ref->flow_cnt = 0;
}

/* ---- what came out ---- */

static bool in_range(uint32_t v, uint32_t min, uint32_t max)
{
	return v >= min && v <= max;
}

/* Nobody else's replies may look like this flow's; UDP: no other inside end has the L4 port, and
 * this one has always the same (RFC 4787 REQ-1). */
static const char *check_mapping(const struct ref *ref, const struct ref_flow *f)
{
	for (uint32_t i = 0; i < ref->flow_cnt; i++) {
		const struct ref_flow *o = &ref->flows[i];
		bool same_src = same_addr(&o->out.src, &f->out.src);
		bool same_ext = same_addr(&o->wire.src, &f->wire.src);
		bool same_end =
			same_src && o->out.sport == f->out.sport && o->in_port == f->in_port;

		if (!o->by_uplink || !f->by_uplink || o->out.proto != f->out.proto)
			continue;
		if (same(&o->wire, &f->wire))
			return "two flows with the same replies";
		if (!o->mapped || !f->mapped || o->out.v6 != f->out.v6)
			continue;
		if (same_src && f->out_port == o->out_port && !same_ext)
			return "another Ext address for the same source";
		if (f->out.proto != UDP || !same_ext)
			continue;
		if (same_end != (o->wire.sport == f->wire.sport))
			return same_end ? "another Ext L4 port for the same end"
					: "an Ext L4 port for two ends";
	}
	return NULL;
}

/* Is it one of the Ext addresses from this place in their net to that one? */
static bool is_ext_of(const struct ref_tuple *wire, uint32_t first, uint32_t last)
{
	uint64_t base = wire->v6 ? 0 : EXT_NET;

	return wire->src.hi == (wire->v6 ? EXT_NET6 : 0) && wire->src.lo >= base + first &&
	       wire->src.lo <= base + last;
}

static const char *check_choice(const struct ref_flow *f)
{
	const struct ref_tuple *o = &f->out, *w = &f->wire;
	uint32_t uplink = f->out_port == LF_UPLINK ? 1 : 2, nth;

	if (!same_addr(&w->dst, &o->dst) || w->dport != o->dport || w->proto != o->proto)
		return "destination changed";
	switch (ref_rule(o, f->out_port)) {
	case ACCEPT:
		return same(w, o) ? NULL : "translated by accept";
	case NAT:
		nth = o->src.lo & 15;
		return is_ext_of(w, 128 + nth, 128 + nth) && w->sport == o->sport
			       ? NULL
			       : "nat to what is not its own";
	case SNAT:
		return is_ext_of(w, o->v6 ? 0x10 : 10, o->v6 ? 0x11 : 13) &&
				       in_range(w->sport, 2000, 2200)
			       ? NULL
			       : "snat to what is not its own";
	default:
		return is_ext_of(w, uplink, uplink) && in_range(w->sport, 3000, 3100)
			       ? NULL
			       : "masquerade to what is not its own";
	}
}

/* The flow that a packet from outside has begun: its answers go by the route to the peer. */
static const char *open_from_outside(struct ref *ref, const struct ref_verdict *v,
				     const uint8_t *out, struct ref_flow *f)
{
	struct ref_tuple got = tuple_of(out), want = v->target, peer = v->tuple;
	struct ref_share *share = &ref->shares[ref->share_cnt];

	if (got.dst.hi != want.dst.hi || got.dst.lo < want.dst.lo ||
	    got.dst.lo >= want.dst.lo + v->target_cnt)
		return "not to a target";
	want.dst = got.dst;
	if (!same(&got, &want))
		return "not what the target is to get";
	f->out = turned(&got);
	f->wire = turned(&v->tuple);
	f->in_port = v->out_port;
	f->out_port = route(v->tuple.v6, &v->tuple.src);
	f->by_uplink = f->from_outside = true;
	if (v->target_cnt == 1 || ref->share_cnt == REF_FLOWS)
		return NULL;
	peer.proto = 0;
	*share = (struct ref_share){peer, got.dst};
	ref->share_cnt++;
	return NULL;
}

static const char *open_from_inside(const struct ref_verdict *v, uint16_t in_port,
				    const uint8_t *out, struct ref_flow *f)
{
	enum action action = ref_rule(&v->tuple, v->out_port);

	f->out = v->tuple;
	f->wire = tuple_of(out);
	f->in_port = in_port;
	f->out_port = v->out_port;
	f->by_uplink = is_uplink(v->out_port);
	f->mapped = action == SNAT || action == MASQUERADE;
	return check_choice(f);
}

/* Both flows: from the one end out, by an Ext L4 port that shows in what came out, and in to the
 * other. */
static const char *open_hairpin(struct ref *ref, const struct ref_verdict *v, uint16_t in_port,
				const uint8_t *out)
{
	struct ref_tuple got = tuple_of(out), wire = v->tuple;
	const uint8_t neighbour[6] = {2, 1, 0, 0, 0, (uint8_t)v->out_port};
	struct ref_flow f = {.in_port = in_port, .out_port = LF_UPLINK}, in = f;
	const struct ref_addr *share;
	const char *wrong;

	wire.src = got.src;
	wire.sport = got.sport;
	share = v->target_cnt > 1 ? share_of(ref, wire) : NULL;
	if (got.dport != v->target.dport || got.dst.hi != v->target.dst.hi ||
	    got.dst.lo - v->target.dst.lo >= v->target_cnt ||
	    (share && !same_addr(share, &got.dst)))
		return "not to a target";
	f.out = v->tuple;
	f.wire = wire;
	f.mapped = ref_rule(&v->tuple, LF_UPLINK) != NAT;
	in.out = turned(&got);
	in.wire = turned(&wire);
	in.in_port = v->out_port;
	in.from_outside = true;
	in.by_mapping = v->by_mapping;
	memcpy(in.l2_inside, neighbour, 6);
	f.by_uplink = in.by_uplink = f.hairpin = in.hairpin = true;
	wrong = check_choice(&f);
	if (!wrong)
		wrong = check_mapping(ref, &f);
	if (wrong || ref->flow_cnt + 2 > REF_FLOWS)
		return wrong;
	ref->flows[ref->flow_cnt++] = in;
	ref->flows[ref->flow_cnt++] = f;
	wire.proto = 0;
	if (v->target_cnt > 1 && !share && ref->share_cnt < REF_FLOWS)
		ref->shares[ref->share_cnt++] = (struct ref_share){wire, got.dst};
	return NULL;
}

static const char *open_flow(struct ref *ref, const struct ref_verdict *v, uint16_t in_port,
			     const uint8_t *out)
{
	struct ref_flow f = {};
	const char *wrong = v->back ? open_from_outside(ref, v, out, &f)
				    : open_from_inside(v, in_port, out, &f);

	if (!wrong)
		wrong = check_mapping(ref, &f);
	if (!wrong && ref->flow_cnt < REF_FLOWS)
		ref->flows[ref->flow_cnt++] = f;
	return wrong;
}

static uint32_t l4_syndrome(const uint8_t *ip)
{
	uint32_t hdr_len = ip_hdr_len(ip);

	return lf_sum(ip + hdr_len, ip_len(ip) - hdr_len, pseudo_sum(ip)) % 0xffff;
}

/* The L4 checksum field of a sender that left it to an offload: the pseudo-header's sum alone. */
static bool is_partial(const uint8_t *ip)
{
	return get16(ip + csum_off(ip)) == pseudo_sum(ip);
}

/* A right checksum stays right, a wrong one as wrong as it was, none stays none. */
static const char *check_sums(const uint8_t *in, const uint8_t *out)
{
	uint32_t hdr_len = ip_hdr_len(in), field = csum_off(in);
	bool udp = ip_proto(in) == UDP;

	if (!is_v6(in) && lf_sum(in, hdr_len, 0) % 0xffff != lf_sum(out, hdr_len, 0) % 0xffff)
		return "IP header checksum";
	if (udp && !get16(in + field))
		return get16(out + field) ? "a UDP checksum out of nothing" : NULL;
	if (udp && !get16(out + field))
		return "a UDP checksum became none";
	if (is_partial(in) && !l4_syndrome(out))
		return NULL;
	return l4_syndrome(in) == l4_syndrome(out) ? NULL : "L4 checksum";
}

static void write_addr(uint8_t *at, bool v6, const struct ref_addr *a)
{
	if (v6) {
		for (int i = 0; i < 8; i++) {
			at[i] = (uint8_t)(a->hi >> (56 - 8 * i));
			at[8 + i] = (uint8_t)(a->lo >> (56 - 8 * i));
		}
		return;
	}
	for (int i = 0; i < 4; i++)
		at[i] = (uint8_t)(a->lo >> (24 - 8 * i));
}

static void write_tuple(uint8_t *ip, const struct ref_tuple *t)
{
	uint8_t *l4 = ip + ip_hdr_len(ip);

	write_addr(ip + (t->v6 ? 8 : 12), t->v6, &t->src);
	write_addr(ip + (t->v6 ? 24 : 16), t->v6, &t->dst);
	l4[0] = (uint8_t)(t->sport >> 8);
	l4[1] = (uint8_t)t->sport;
	l4[2] = (uint8_t)(t->dport >> 8);
	l4[3] = (uint8_t)t->dport;
}

/* Where a packet of this flow goes on the link inside. */
static void write_l2_inside(uint8_t *at, const struct ref_flow *f)
{
	const uint8_t neighbour[6] = {2, 1, 0, 0, 0, (uint8_t)f->in_port}; /* lane_fixture.c's */

	memcpy(at, f->from_outside && !f->by_mapping ? neighbour : f->l2_inside, 6);
}

/* The L4 checksum of a quoted packet, of which only the beginning is there: as right or wrong
 * against the rest as it was. */
static const char *check_quoted_csum(const uint8_t *in, const uint8_t *out, uint32_t len)
{
	uint32_t field = csum_off(in), hdr_len = ip_hdr_len(in);

	if (len < field + 2)
		return NULL;
	if (ip_proto(in) == UDP && !get16(in + field))
		return get16(out + field) ? "a quoted UDP checksum out of nothing" : NULL;
	if (ip_proto(in) == UDP && !get16(out + field))
		return "a quoted UDP checksum became none";
	/* Its sender quotes what an offload has not completed: it is given back the same. */
	if (is_partial(in) && is_partial(out))
		return NULL;
	return lf_sum(in + hdr_len, len - hdr_len, pseudo_sum(in)) % 0xffff ==
			       lf_sum(out + hdr_len, len - hdr_len, pseudo_sum(out)) % 0xffff
		       ? NULL
		       : "quoted L4 checksum";
}

/* An error: the tuple that it quotes is translated back, and it goes to whom that came from. A
 * router outside keeps its address, inside it gets that of the flow (RFC 5508 REQ-5). */
static const char *compare_error(const struct ref_verdict *v, uint16_t in_port, const uint8_t *in,
				 const uint8_t *out)
{
	static uint8_t want[LF_BYTES];
	const struct ref_flow *f = v->flow;
	struct ref_tuple t = v->back ? turned(&f->out) : f->wire, quoted_tuple = turned(&t);
	uint32_t hdr_len = ip_hdr_len(in + ETH), icmp = ETH + hdr_len, quoted = icmp + 8;
	uint32_t quoted_len = v->len - quoted, field;
	const char *wrong;

	memcpy(want, in, v->len);
	if (!is_uplink(in_port))
		write_addr(want + ETH + (t.v6 ? 8 : 12), t.v6, &t.src);
	write_addr(want + ETH + (t.v6 ? 24 : 16), t.v6, &t.dst);
	write_tuple(want + quoted, &quoted_tuple);
	want[ETH + ttl_off(in + ETH)]--;
	memcpy(want + icmp + 2, out + icmp + 2, 2);
	if (!t.v6) {
		memcpy(want + ETH + 10, out + ETH + 10, 2);
		memcpy(want + quoted + 10, out + quoted + 10, 2);
	}
	field = csum_off(in + quoted);
	if (quoted_len >= field + 2)
		memcpy(want + quoted + field, out + quoted + field, 2);
	if (memcmp(want + ETH, out + ETH, v->len - ETH))
		return "an error's bytes";
	if (!t.v6 && lf_sum(out + ETH, hdr_len, 0) != 0xffff)
		return "an error's IP header checksum";
	if (!is_intact(out + ETH, out + quoted))
		return "ICMP checksum, or that of the quoted header";
	wrong = check_quoted_csum(in + quoted, out + quoted, quoted_len);
	if (wrong || !v->back)
		return wrong;
	write_l2_inside(want, f);
	/* Of a flow from outside also to where its last packet out came from. */
	return memcmp(want, out, 6) && memcmp(f->l2_inside, out, 6) ? "an error's Ethernet header"
								    : NULL;
}

/* RFC 791 section 3.1: options without the copied flag stand in the first fragment only. Here they
 * are no-operations in the others, since the header keeps its length. */
static void blank_options(uint8_t *ip)
{
	uint32_t len;

	for (uint32_t at = 20; at < ip_hdr_len(ip) && ip[at]; at += len) {
		len = ip[at] == 1 ? 1 : at + 1 < ip_hdr_len(ip) ? ip[at + 1] : 0;
		if (!len || (ip[at] != 1 && len < 2) || at + len > ip_hdr_len(ip))
			return;
		if (!(ip[at] & 0x80))
			memset(ip + at, 1, len);
	}
}

static const char *check_fragment(const struct ref_joined *j, const uint8_t *out, uint32_t len)
{
	const uint8_t *ip = out + ETH;
	uint32_t hdr_len = ip_hdr_len(ip), flags = get16(ip + 6);

	if (j->whole)
		return "a fragment behind the last one";
	if (len < ETH + hdr_len || len - ETH > MTU || ip_len(ip) != len - ETH)
		return "length of a fragment";
	if (lf_sum(ip, hdr_len, 0) != 0xffff)
		return "IP header checksum of a fragment";
	if (flags & 0xc000 || (flags & 0x2000 && (len - ETH - hdr_len) % 8))
		return "flags of a fragment, or a length that is no multiple of 8";
	if ((flags & 0x1fff) * 8 != (j->len ? j->len - ETH - hdr_len : 0))
		return "offset of a fragment";
	return NULL;
}

const char *ref_join(struct ref_joined *j, const uint8_t *in, const uint8_t *out, uint32_t len)
{
	uint8_t want[ETH + 60];
	uint32_t head_len = ETH + ip_hdr_len(out + ETH), tot_len;
	const char *wrong = check_fragment(j, out, len);

	if (wrong)
		return wrong;
	if (!j->len) {
		memcpy(j->bytes, out, len);
		j->len = len;
	} else {
		memcpy(want, j->bytes, head_len);
		blank_options(want + ETH);
		memcpy(want + ETH + 2, out + ETH + 2, 2);
		memcpy(want + ETH + 6, out + ETH + 6, 2);
		memcpy(want + ETH + 10, out + ETH + 10, 2);
		if (memcmp(want, out, head_len))
			return "header of a later fragment";
		memcpy(j->bytes + j->len, out + head_len, len - head_len);
		j->len += len - head_len;
	}
	j->whole = !(get16(out + ETH + 6) & 0x2000);
	if (!j->whole)
		return NULL;
	tot_len = j->len - ETH;
	j->bytes[ETH + 2] = (uint8_t)(tot_len >> 8);
	j->bytes[ETH + 3] = (uint8_t)tot_len;
	memcpy(j->bytes + ETH + 6, in + ETH + 6, 2);
	memset(j->bytes + ETH + 10, 0, 2);
	tot_len = 0xffffu - lf_sum(j->bytes + ETH, head_len - ETH, 0);
	j->bytes[ETH + 10] = (uint8_t)(tot_len >> 8);
	j->bytes[ETH + 11] = (uint8_t)tot_len;
	return NULL;
}

const char *ref_check_answer(const struct ref_verdict *v, const uint8_t *in, uint32_t head_len,
			     const uint8_t *out, uint32_t len)
{
	const uint8_t *ip = out + ETH, *icmp = ip + (v->tuple.v6 ? 40 : 20);
	bool v6 = v->tuple.v6, ttl = v->answer == REF_ANSWER_TTL;
	struct ref_addr from = addr_at(ip + (v6 ? 8 : 12), v6);
	struct ref_addr to = addr_at(ip + (v6 ? 24 : 16), v6);
	uint32_t room = v6 ? 1280 - 48 : 576 - 28, quoted = ip_len(in + ETH);

	quoted = quoted < head_len - ETH ? quoted : head_len - ETH;
	quoted = quoted < room ? quoted : room;
	if (memcmp(out, in + 6, 6) || memcmp(out + 6, in, 6) || memcmp(out + 12, in + 12, 2))
		return "Ethernet header of an answer";
	if (len != (uint32_t)(icmp - out) + 8 + quoted || ip_len(ip) != len - ETH)
		return "length of an answer";
	if (ip[0] != (v6 ? 0x6c : 0x45) || ip[ttl_off(ip)] < 2 || ip[v6 ? 6 : 9] != (v6 ? 58 : 1) ||
	    (!v6 && lf_sum(ip, 20, 0) != 0xffff))
		return "IP header of an answer";
	if (!same_addr(&from, &v->answer_from) || !same_addr(&to, &v->tuple.src))
		return "addresses of an answer";
	if (icmp[0] != (ttl  ? v6 ? 3 : 11
			: v6 ? 2
			     : 3) ||
	    icmp[1] != (ttl || v6 ? 0 : 4) || get32(icmp + 4) != (ttl ? 0 : MTU))
		return "an answer says something else";
	if (lf_sum(icmp, 8 + quoted, v6 ? pseudo_sum(ip) : 0) != 0xffff)
		return "ICMP checksum of an answer";
	return memcmp(icmp + 8, in + ETH, quoted) ? "what an answer quotes" : NULL;
}

const char *ref_compare(struct ref *ref, const struct ref_verdict *v, uint16_t in_port,
			const uint8_t *in, uint16_t out_port, const uint8_t *out, uint32_t out_len)
{
	static uint8_t want[LF_BYTES];
	struct ref_flow *f = v->flow, *back_by = v->back ? f : v->again;
	struct ref_tuple t;
	const uint8_t *ip = in + ETH;
	const char *wrong;

	if (out_port != v->out_port || out_len != v->len)
		return out_len != v->len ? "length" : "port";
	if (v->fate == REF_ERROR)
		return compare_error(v, in_port, in, out);
	if (v->fate == REF_OPENS) {
		wrong = v->hairpin ? open_hairpin(ref, v, in_port, out)
				   : open_flow(ref, v, in_port, out);
		if (wrong || ref->flow_cnt < 1u + v->hairpin)
			return wrong;
		f = &ref->flows[ref->flow_cnt - 1];
		back_by = v->hairpin ? f - 1 : v->back ? f : NULL;
	}
	wrong = check_sums(ip, out + ETH);
	if (wrong)
		return wrong;
	memcpy(want, in, out_len);
	t = back_by ? turned(&back_by->out) : f->wire;
	write_tuple(want + ETH, &t);
	want[ETH + ttl_off(ip)]--;
	memcpy(want + ETH + csum_off(ip), out + ETH + csum_off(ip), 2);
	if (!t.v6)
		memcpy(want + ETH + 10, out + ETH + 10, 2);
	if (v->in_fragments && is_translated(v)) /* others send by that address, too: RFC 6864 */
		memcpy(want + ETH + 4, out + ETH + 4, 2);
	memcpy(want, out, 12);
	if (back_by)
		write_l2_inside(want, back_by);
	if (!v->back)
		memcpy(f->l2_inside, in + 6, 6);
	for (uint32_t i = 0; i < out_len; i++)
		if (want[i] != out[i])
			return i < 14                     ? "Ethernet header"
			       : i < ETH + ip_hdr_len(ip) ? "IP header"
							  : "payload";
	return NULL;
}
