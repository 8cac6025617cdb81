/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "reference.h"

#include <string.h>

#include "../unit/lane_fixture.h"

#define ETH      14u
#define TCP      6
#define UDP      17
#define ICMP     1
#define MTU      1500u
#define EXT_NET  0xc0000200u /* 192.0.2.0/24 holds all Ext addresses */
#define PREFIX16 0xffff0000u
#define NET1     0x0a010000u
#define NET2     0x0a020000u

/* ref_rule() says the same in C. */
const char *const ref_rules[] = {
	"drop from 10.1.0.0/16 to 198.51.100.128/25",
	"kernel tcp to 0.0.0.0/0:25",
	"accept from 10.1.0.0/16 to 10.2.0.0/16",
	"accept from 10.2.0.0/16 to 203.0.113.0/24",
	"snat from 10.2.0.0/16 source 192.0.2.10-192.0.2.13 ports 2000-2200",
	"masquerade from 10.1.0.0/16 ports 3000-3100",
	NULL,
};

enum action { KERNEL, DROP, ACCEPT, SNAT, MASQUERADE };

static enum action ref_rule(const struct ref_tuple *t, uint16_t out_port)
{
	uint32_t from = t->src & PREFIX16, to = t->dst & PREFIX16;

	/* A rule without `out` and without `to` an inside prefix is about uplinks. */
	if (from == NET1 && (t->dst & 0xffffff80u) == 0xc6336480u)
		return DROP;
	if (t->proto == TCP && t->dport == 25)
		return KERNEL;
	if (from == NET1 && to == NET2)
		return ACCEPT;
	if (from == NET2 && (t->dst & 0xffffff00u) == 0xcb007100u)
		return ACCEPT;
	if (out_port < LF_UPLINK)
		return KERNEL;
	return from == NET2 ? SNAT : from == NET1 ? MASQUERADE : KERNEL;
}

static uint16_t route(uint32_t dst)
{
	if ((dst & PREFIX16) == NET1)
		return LF_INSIDE;
	if ((dst & PREFIX16) == NET2)
		return LF_INSIDE2;
	return (dst & 0xffffff00u) == 0xcb007100u ? LF_UPLINK2 : LF_UPLINK;
}

static uint32_t get16(const uint8_t *p)
{
	return (uint32_t)(p[0] << 8 | p[1]);
}

static uint32_t get32(const uint8_t *p)
{
	return get16(p) << 16 | get16(p + 2);
}

static uint32_t ip_hdr_len(const uint8_t *ip)
{
	return (ip[0] & 15u) * 4;
}

static struct ref_tuple tuple_of(const uint8_t *bytes)
{
	const uint8_t *ip = bytes + ETH, *l4 = ip + ip_hdr_len(ip);

	return (struct ref_tuple){
		.src = get32(ip + 12),
		.dst = get32(ip + 16),
		.sport = (uint16_t)get16(l4),
		.dport = (uint16_t)get16(l4 + 2),
		.proto = ip[9],
	};
}

static bool same(const struct ref_tuple *a, const struct ref_tuple *b)
{
	return a->src == b->src && a->dst == b->dst && a->sport == b->sport &&
	       a->dport == b->dport && a->proto == b->proto;
}

static struct ref_tuple turned(const struct ref_tuple *t)
{
	return (struct ref_tuple){t->dst, t->src, t->dport, t->sport, t->proto};
}

/* Headers that say the truth, and lie in the first frame. */
static bool well_formed(const uint8_t *b, uint32_t len, uint32_t head_len)
{
	const uint8_t *ip = b + ETH, *l4;
	uint32_t hdr_len, l4_len;

	if (len < ETH + 28 || head_len < ETH + 28 || get16(b + 12) != 0x0800 || ip[0] >> 4 != 4)
		return false;
	hdr_len = ip_hdr_len(ip);
	if (hdr_len < 20 || get16(ip + 2) < hdr_len || ETH + get16(ip + 2) > len)
		return false;
	if (head_len < ETH + hdr_len || lf_sum(ip, hdr_len, 0) != 0xffff)
		return false;
	l4 = ip + hdr_len;
	l4_len = get16(ip + 2) - hdr_len;
	if (ip[9] == UDP)
		return l4_len >= 8 && head_len >= ETH + hdr_len + 8 && get16(l4 + 4) >= 8 &&
		       get16(l4 + 4) <= l4_len;
	if (ip[9] != TCP || l4_len < 20 || head_len < ETH + hdr_len + 20)
		return false;
	return l4[12] >> 4 >= 5 && (l4[12] >> 4) * 4u <= l4_len &&
	       head_len >= ETH + hdr_len + (l4[12] >> 4) * 4u;
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

static struct ref_verdict verdict(enum ref_fate fate)
{
	return (struct ref_verdict){.fate = fate};
}

/* What the first packet of a flow from inside leads to. */
static struct ref_verdict judge_first(uint16_t port, const uint8_t *bytes,
				      const struct ref_tuple *t)
{
	const uint8_t *ip = bytes + ETH;
	struct ref_verdict v = verdict(REF_OPENS);

	if ((t->src & PREFIX16) != (port == LF_INSIDE ? NET1 : NET2))
		return verdict(REF_DROPPED);
	if (t->proto == TCP && (ip[ip_hdr_len(ip) + 13] & 0x17) != 2)
		return verdict(REF_DROPPED);
	if ((t->dst & 0xffffff00u) == EXT_NET) /* hairpin */
		return verdict(REF_UNSAID);
	v.out_port = route(t->dst);
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

struct ref_verdict ref_judge(struct ref *ref, uint16_t port, const uint8_t *bytes, uint32_t len,
			     uint32_t head_len)
{
	const uint8_t *ip = bytes + ETH;
	struct ref_verdict v;
	struct ref_tuple t;
	struct ref_flow *flow;
	bool back;

	if (len > ETH + 20 && (ip[9] == ICMP || get16(ip + 6) & 0x3fff))
		return verdict(REF_UNSAID);
	if (!well_formed(bytes, len, head_len))
		return verdict(REF_DROPPED);
	t = tuple_of(bytes);
	flow = find(ref, port, &t, &back);
	if (flow) {
		v = verdict(REF_SENT);
		v.out_port = back ? flow->in_port : flow->out_port;
	} else if (is_uplink(port)) {
		return verdict(REF_DROPPED);
	} else {
		v = judge_first(port, bytes, &t);
		if (v.fate != REF_OPENS)
			return v;
	}
	v.flow = flow;
	v.back = back;
	v.tuple = t;
	v.len = ETH + get16(ip + 2);
	/* The kernel answers a container, nobody a peer. A new flow may be made on the way. */
	if (ip[8] <= 1)
		v.fate = flow && back ? REF_DROPPED : flow ? REF_KERNEL : REF_UNSAID;
	else if (!back && v.len - ETH > MTU)
		v.fate = REF_UNSAID;
	return v;
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
		bool same_end = o->out.src == f->out.src && o->out.sport == f->out.sport &&
				o->in_port == f->in_port;

		if (!o->by_uplink || !f->by_uplink || o->out.proto != f->out.proto)
			continue;
		if (same(&o->wire, &f->wire))
			return "two flows with the same replies";
		if (o->wire.src == o->out.src || f->wire.src == f->out.src) /* untranslated */
			continue;
		if (o->out.src == f->out.src && f->out_port == o->out_port &&
		    o->wire.src != f->wire.src)
			return "another Ext address for the same source";
		if (f->out.proto != UDP || o->wire.src != f->wire.src)
			continue;
		if (same_end != (o->wire.sport == f->wire.sport))
			return same_end ? "another Ext L4 port for the same end"
					: "an Ext L4 port for two ends";
	}
	return NULL;
}

static const char *check_choice(const struct ref_flow *f)
{
	const struct ref_tuple *o = &f->out, *w = &f->wire;

	if (w->dst != o->dst || w->dport != o->dport || w->proto != o->proto)
		return "destination changed";
	switch (ref_rule(o, f->out_port)) {
	case ACCEPT:
		return w->src == o->src && w->sport == o->sport ? NULL : "translated by accept";
	case SNAT:
		return in_range(w->src, EXT_NET + 10, EXT_NET + 13) &&
				       in_range(w->sport, 2000, 2200)
			       ? NULL
			       : "snat to what is not its own";
	default:
		return w->src == EXT_NET + (f->out_port == LF_UPLINK ? 1 : 2) &&
				       in_range(w->sport, 3000, 3100)
			       ? NULL
			       : "masquerade to what is not its own";
	}
}

static const char *open_flow(struct ref *ref, const struct ref_verdict *v, uint16_t in_port,
			     const uint8_t *out)
{
	struct ref_flow f = {
		.out = v->tuple,
		.wire = tuple_of(out),
		.in_port = in_port,
		.out_port = v->out_port,
		.by_uplink = is_uplink(v->out_port),
	};
	const char *wrong = check_choice(&f);

	if (!wrong)
		wrong = check_mapping(ref, &f);
	if (!wrong && ref->flow_cnt < REF_FLOWS)
		ref->flows[ref->flow_cnt++] = f;
	return wrong;
}

static uint32_t l4_syndrome(const uint8_t *ip)
{
	uint32_t hdr_len = ip_hdr_len(ip), l4_len = get16(ip + 2) - hdr_len;

	return lf_sum(ip + hdr_len, l4_len, lf_sum(ip + 12, 8, ip[9] + l4_len)) % 0xffff;
}

/* The L4 checksum field of a sender that left it to an offload: the pseudo-header's sum alone. */
static bool is_partial(const uint8_t *ip)
{
	uint32_t hdr_len = ip_hdr_len(ip), l4_len = get16(ip + 2) - hdr_len;
	const uint8_t *field = ip + hdr_len + (ip[9] == TCP ? 16 : 6);

	return get16(field) == lf_sum(ip + 12, 8, ip[9] + l4_len);
}

/* A right checksum stays right, a wrong one as wrong as it was, none stays none. */
static const char *check_sums(const uint8_t *in, const uint8_t *out)
{
	uint32_t hdr_len = ip_hdr_len(in);
	uint32_t field = hdr_len + (in[9] == TCP ? 16 : 6);

	if (lf_sum(in, hdr_len, 0) % 0xffff != lf_sum(out, hdr_len, 0) % 0xffff)
		return "IP header checksum";
	if (in[9] == UDP && !get16(in + field))
		return get16(out + field) ? "a UDP checksum out of nothing" : NULL;
	if (in[9] == UDP && !get16(out + field))
		return "a UDP checksum became none";
	if (is_partial(in) && !l4_syndrome(out))
		return NULL;
	return l4_syndrome(in) == l4_syndrome(out) ? NULL : "L4 checksum";
}

static void write_tuple(uint8_t *ip, const struct ref_tuple *t)
{
	uint8_t *l4 = ip + ip_hdr_len(ip);

	for (int i = 0; i < 4; i++) {
		ip[12 + i] = (uint8_t)(t->src >> (24 - 8 * i));
		ip[16 + i] = (uint8_t)(t->dst >> (24 - 8 * i));
	}
	l4[0] = (uint8_t)(t->sport >> 8);
	l4[1] = (uint8_t)t->sport;
	l4[2] = (uint8_t)(t->dport >> 8);
	l4[3] = (uint8_t)t->dport;
}

const char *ref_compare(struct ref *ref, const struct ref_verdict *v, uint16_t in_port,
			const uint8_t *in, uint16_t out_port, const uint8_t *out, uint32_t out_len)
{
	static uint8_t want[LF_BYTES];
	struct ref_flow *f = v->flow;
	struct ref_tuple t;
	const char *wrong;
	uint32_t hdr_len, field;

	if (out_port != v->out_port || out_len != v->len)
		return out_len != v->len ? "length" : "port";
	if (v->fate == REF_OPENS) {
		wrong = open_flow(ref, v, in_port, out);
		if (wrong || !ref->flow_cnt)
			return wrong;
		f = &ref->flows[ref->flow_cnt - 1];
	}
	wrong = check_sums(in + ETH, out + ETH);
	if (wrong)
		return wrong;
	memcpy(want, in, out_len);
	t = v->back ? turned(&f->out) : f->wire;
	write_tuple(want + ETH, &t);
	want[ETH + 8]--;
	hdr_len = ip_hdr_len(in + ETH);
	field = ETH + hdr_len + (in[ETH + 9] == TCP ? 16 : 6);
	memcpy(want + field, out + field, 2);
	memcpy(want + ETH + 10, out + ETH + 10, 2);
	memcpy(want, out, 12);
	if (v->back)
		memcpy(want, f->l2_inside, 6);
	else
		memcpy(f->l2_inside, in + 6, 6);
	for (uint32_t i = 0; i < out_len; i++)
		if (want[i] != out[i])
			return i < 14              ? "Ethernet header"
			       : i < ETH + hdr_len ? "IP header"
						   : "payload";
	return NULL;
}
