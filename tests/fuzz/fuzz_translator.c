/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * fuzz_translator.c - the whole pipeline against a slow translator that shares no code with it
 * (reference.h). The input is a script: packets from inside, ones from outside to what is
 * published, replies to flows there are, time that passes; each packet with bytes changed, cut into
 * frames anywhere. Whatever comes out must be what the reference demands, and packets and frames
 * must add up after each (lane_fixture.h).
 *
 * Every input begins without a session, in a lane that has been used before. Aborts where it finds
 * a difference; XE_FUZZ_VERBOSE=1 tells each step.
 *
 * The steering program's parser sees each packet first (steer_host.h): what the pipeline sends on
 * it has to have taken, for the same flow.
 *
 * sources: tests/fuzz/reference.c tests/fuzz/steer_host.c
 * sources: tests/unit/lane_fixture.c tests/unit/packet_fixture.c -lcmocka
 */
#include <arpa/inet.h>
#include <endian.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "../unit/lane_fixture.h"
#include "base/insum.h"
#include "reference.h"
#include "steer_host.h"

#define SESSIONS  600u
#define STEPS_MAX 64u   /* below every limit: the reference knows none */
#define LONG_S    8000u /* beyond every timeout */

struct script {
	const uint8_t *at, *end;
};

static struct lf *f;
static struct ref ref;
static bool verbose;

static uint32_t take(struct script *s, uint32_t below)
{
	return s->at < s->end ? *s->at++ % below : 0;
}

static uint32_t take16(struct script *s)
{
	uint32_t v = take(s, 256);

	return v << 8 | take(s, 256);
}

static const char *address(char *buf, bool v6, const struct ref_addr *addr)
{
	uint64_t halves[2] = {htobe64(addr->hi), htobe64(addr->lo)};
	struct in_addr a = {htonl((uint32_t)addr->lo)};

	return v6 ? inet_ntop(AF_INET6, halves, buf, INET6_ADDRSTRLEN)
		  : inet_ntop(AF_INET, &a, buf, INET6_ADDRSTRLEN);
}

static void differ(const char *what, const struct ref_verdict *v)
{
	char src[INET6_ADDRSTRLEN], dst[INET6_ADDRSTRLEN];

	fprintf(stderr, "fuzz_translator: %s (fate %d, port %u, tuple %s %u > %s %u proto %u)\n",
		what, v->fate, v->out_port, address(src, v->tuple.v6, &v->tuple.src),
		v->tuple.sport, address(dst, v->tuple.v6, &v->tuple.dst), v->tuple.dport,
		v->tuple.proto);
	abort();
}

static struct ref_addr addr4(uint32_t addr)
{
	return (struct ref_addr){0, addr};
}

/* 2001:db8:NET::LO */
static struct ref_addr addr6(uint32_t net, uint32_t lo)
{
	return (struct ref_addr){0x20010db800000000ull | (uint64_t)net << 16, lo};
}

/* Some few hosts of a net, one of them in that of the `nat` rule. */
static uint32_t host(struct script *s)
{
	uint32_t n = take(s, 4);

	return n < 3 ? 1 + n : 16 + take(s, 2);
}

/* To whom a flow's Ext address and L4 port are, by these. */
static void spec_hairpin(struct script *s, struct lf_spec *spec, bool v6, char *dst)
{
	const struct ref_flow *flow = &ref.flows[take(s, 256) % ref.flow_cnt];

	if (flow->out.v6 != v6)
		return;
	address(dst, v6, &flow->wire.src);
	spec->dport = flow->wire.sport;
	spec->proto = flow->out.proto;
}

/* A first packet, mostly; of one of some hundred flows. */
static void spec_new(struct script *s, struct lf_spec *spec, uint16_t port, bool v6, char *src,
		     char *dst)
{
	static const uint32_t dsts[] = {0xc6336400, 0xc6336480, 0xcb007100, 0x0a010000,
					0x0a020000, 0xc0000200, 0x08080800, 0xc6336402};
	static const uint16_t nets[] = {0x100, 0xdead, 0x113, 1, 2, 0xf, 0x808, 0x102};
	uint32_t net = take(s, 16) ? port : 3, from = host(s), to = take(s, 8);
	uint32_t peer = 1 + take(s, 3);
	struct ref_addr a = v6 ? addr6(net, from) : addr4(0x0a000000 + (net << 16) + from);
	struct ref_addr b = v6 ? addr6(nets[to], peer) : addr4(dsts[to] + peer);

	address(src, v6, &a);
	address(dst, v6, &b);
	spec->sport = (uint16_t)(take(s, 2) ? 2995 + take(s, 120) : take16(s));
	spec->dport = (uint16_t)(take(s, 8) ? 80 + take(s, 3) : take(s, 2) ? 25 : 53);
	spec->proto = take(s, 2) ? IPPROTO_TCP : IPPROTO_UDP;
	if (to == 5 && ref.flow_cnt)
		spec_hairpin(s, spec, v6, dst);
}

/* From outside to what is published, or beside it; from where packets from inside go, too. */
static void spec_outside(struct script *s, struct lf_spec *spec, uint16_t *port, char *src,
			 char *dst)
{
	static const uint32_t peers[] = {0xc6336400, 0xcb007100, 0x08080800, 0x0a010000};
	static const uint16_t nets[] = {0x100, 0x113, 0x808, 1};
	const struct ref_published *p = &ref_published[take(s, ref_published_cnt)];
	uint32_t shape = take(s, 256), net = shape & 15 ? (shape & 15) % 3 : 3;
	uint32_t peer = 1 + take(s, 3), nth = take(s, 17);
	struct ref_addr a = p->v6 ? addr6(nets[net], peer) : addr4(peers[net] + peer);
	struct ref_addr b = p->first;

	b.lo += p->last.lo == p->first.lo ? !nth : nth;
	address(src, p->v6, &a);
	address(dst, p->v6, &b);
	spec->sport = (uint16_t)(shape & 16 ? 80 + take(s, 3) : 500 + take(s, 8));
	if (p->port_max - p->port_min > 10)
		spec->dport = (uint16_t)(take(s, 8) ? 2995 + take(s, 20) : 25);
	else
		spec->dport = (uint16_t)(p->port_min + (shape & 32 ? take(s, 11) : 0));
	spec->proto = shape & 64 ? p->proto : take(s, 2) ? IPPROTO_TCP : IPPROTO_UDP;
	spec->proto = spec->proto ? spec->proto : IPPROTO_TCP;
	*port = shape & 128 && p->in ? p->in : (uint16_t)(LF_UPLINK + take(s, 2));
}

/* A packet of a flow there is, either way. */
static bool spec_known(struct script *s, struct lf_spec *spec, uint16_t *port, char *src, char *dst)
{
	const struct ref_flow *flow;
	bool back;

	if (!ref.flow_cnt)
		return false;
	flow = &ref.flows[take(s, 256) % ref.flow_cnt];
	back = take(s, 2);
	address(src, flow->out.v6, back ? &flow->wire.dst : &flow->out.src);
	address(dst, flow->out.v6, back ? &flow->wire.src : &flow->out.dst);
	spec->sport = back ? flow->wire.dport : flow->out.sport;
	spec->dport = back ? flow->wire.sport : flow->out.dport;
	spec->proto = flow->out.proto;
	*port = back ? flow->out_port : flow->in_port;
	if (back && flow->by_uplink)
		*port = (uint16_t)(LF_UPLINK + take(s, 2));
	return true;
}

static void spec_rest(struct script *s, struct lf_spec *spec)
{
	static const uint8_t flags[] = {2, 2, 2, 0x12, 0x10, 0x18, 0x11, 4, 0x14, 0x3f};
	uint32_t shape = take(s, 256);

	spec->tcp_flags = flags[take(s, sizeof(flags))];
	spec->ttl = take(s, 32) ? 64 : 1;
	spec->payload_len = shape & 1 ? take16(s) % 1600 : take(s, 64);
	spec->ip_options_len = shape & 2 ? 4 * take(s, 11) : 0;
	spec->tcp_options_len = shape & 4 ? 4 * take(s, 11) : 0;
	spec->ext_len = shape & 32 && strchr(spec->src, ':') ? 8 + 8 * take(s, 4) : 0;
	spec->padding = shape & 8 ? take(s, 60) : 0;
	spec->csum = (enum lf_csum)take(s, 4);
	spec->may_fragment = shape & 16;
	spec->seed = (uint8_t)take(s, 256);
}

static void put16(uint8_t *at, uint32_t v)
{
	at[0] = (uint8_t)(v >> 8);
	at[1] = (uint8_t)v;
}

/* The IP header of an ICMP error about this packet: from its destination, or a router on the way to
 * it. Returns what is behind. */
static uint8_t *build_error_ip(struct script *s, uint8_t *ip, const uint8_t *about, uint32_t len)
{
	static const uint8_t routers[][4] = {{198, 18, 0, 1}, {10, 1, 0, 9}, {10, 2, 0, 9}};
	uint32_t from = take(s, 6);
	uint8_t ttl = take(s, 32) ? 64 : 1;

	if (about[0] >> 4 == 6) {
		ip[0] = 0x60;
		put16(ip + 4, len);
		ip[6] = IPPROTO_ICMPV6;
		ip[7] = ttl;
		memcpy(ip + 8, about + 24, 16);
		ip[23] ^= from < 3 ? 0x40 | from : 0;
		memcpy(ip + 24, about + 8, 16);
		return ip + 40;
	}
	ip[0] = 0x45;
	put16(ip + 2, 20 + len);
	ip[8] = ttl;
	ip[9] = IPPROTO_ICMP;
	memcpy(ip + 12, from < 3 ? routers[from] : about + 16, 4);
	memcpy(ip + 16, about + 12, 4);
	put16(ip + 10, 0xffff - lf_sum(ip, 20, 0));
	return ip + 20;
}

/* An ICMP error about this packet, of which it quotes some. */
static void build_error(struct script *s, struct lf_bytes *out, const struct lf_bytes *about)
{
	static const uint8_t types[2][4] = {{3, 3, 11, 12}, {1, 2, 3, 4}};
	const uint8_t *quoted = about->b + 14;
	bool v6 = quoted[0] >> 4 == 6;
	uint32_t whole =
		v6 ? 40u + (quoted[4] << 8 | quoted[5]) : (uint32_t)(quoted[2] << 8 | quoted[3]);
	uint32_t len = (v6 ? 48 : 28) + take(s, 80);
	uint8_t *ip = out->b + 14, *icmp;

	len = len < whole ? len : whole;
	memset(out->b, 0, 14 + 48 + len);
	memcpy(out->b + 12, about->b + 12, 2);
	icmp = build_error_ip(s, ip, quoted, 8 + len);
	out->len = (uint32_t)(icmp - out->b) + 8 + len;
	icmp[0] = types[v6][take(s, 4)];
	icmp[1] = (uint8_t)take(s, 14);
	put16(icmp + 6, 1400);
	memcpy(icmp + 8, quoted, len);
	put16(icmp + 2,
	      0xffff -
		      lf_sum(icmp, 8 + len, v6 ? lf_sum(ip + 8, 32, IPPROTO_ICMPV6 + 8 + len) : 0) -
		      !take(s, 32));
}

/* About a packet of a flow there is, which went the other way. False: there is none. */
static bool build_error_known(struct script *s, struct lf_spec *spec, uint16_t *port, char *src,
			      char *dst, struct lf_bytes *b)
{
	static struct lf_bytes about;
	struct lf_spec sent;

	if (!spec_known(s, spec, port, src, dst))
		return false;
	spec_rest(s, spec);
	sent = *spec;
	sent.ext_len = 0; /* behind extension headers it is not looked for */
	sent.src = dst;
	sent.dst = src;
	sent.sport = spec->dport;
	sent.dport = spec->sport;
	lf_build(&about, &sent);
	build_error(s, b, &about);
	return true;
}

/* One that stands in every fragment (router alert), and one that does not (a record of the way). */
static void put_ip_options(struct lf_bytes *b)
{
	static const uint8_t options[] = {0x94, 4, 0, 0, 7, 4, 5, 0};
	uint8_t *ip = b->b + 14;
	uint32_t hdr_len = (ip[0] & 15u) * 4;

	if (ip[0] >> 4 != 4 || hdr_len < 20 + sizeof(options))
		return;
	memcpy(ip + 20, options, sizeof(options));
	put16(ip + 10, 0);
	put16(ip + 10, 0xffff - lf_sum(ip, hdr_len, 0));
}

static void meddle(struct script *s, struct lf_bytes *b)
{
	for (uint32_t n = take(s, 8); n > 4 && s->at < s->end; n--) {
		uint32_t off = take(s, 2) ? take16(s) : take(s, 80);

		b->b[off % b->len] = (uint8_t)take(s, 256);
	}
	if (!take(s, 16))
		b->len = take16(s) % b->len + 1;
}

static void expect_punted(const uint8_t *in, const struct ref_verdict *v)
{
	static uint8_t buf[LF_BYTES + 64];
	ssize_t len = recv(f->punt_fd, buf, sizeof(buf), 0);
	uint32_t ip_len = in[12] == 0x86 ? 40 + (uint32_t)(in[18] << 8 | in[19])
					 : (uint32_t)(in[16] << 8 | in[17]);

	if (len != (ssize_t)(sizeof(struct virtio_net_hdr) + ip_len) ||
	    memcmp(buf + sizeof(struct virtio_net_hdr), in + 14, ip_len))
		differ("not given to the kernel as it came", v);
}

static void drain_punts(void)
{
	static uint8_t buf[LF_BYTES + 64];

	while (recv(f->punt_fd, buf, sizeof(buf), 0) > 0)
		;
}

/* Answers of the worker's own (ICMP, RST) go to where the packet came from. */
static bool is_answer(const struct lf_sent *sent, uint16_t port, const uint8_t *in)
{
	if (sent->port != port || memcmp(sent->bytes + 12, in + 12, 2))
		return false;
	return in[12] == 0x86 ? sent->len >= 54 && !memcmp(sent->bytes + 38, in + 22, 16)
			      : sent->len >= 34 && !memcmp(sent->bytes + 30, in + 26, 4);
}

static bool is_sent(const struct ref_verdict *v)
{
	return v->fate == REF_SENT || v->fate == REF_OPENS || v->fate == REF_ERROR;
}

/* What has left on the packet's way, its fragments joined: how many packets that is. */
static uint32_t check_sent(uint16_t port, const struct lf_bytes *in, struct ref_verdict *v)
{
	static uint8_t bytes[LF_BYTES];
	struct ref_joined joined = {.bytes = bytes};
	const char *wrong = NULL;

	for (uint32_t i = 0; i < f->sent_cnt && v->in_fragments && !wrong; i++) {
		wrong = f->sent[i].port == v->out_port
				? ref_join(&joined, in->b, f->sent[i].bytes, f->sent[i].len)
				: "port of a fragment";
	}
	if (v->in_fragments) {
		if (!wrong && !joined.whole)
			wrong = "not all fragments";
		if (!wrong)
			wrong = ref_compare(&ref, v, port, in->b, v->out_port, bytes, joined.len);
	} else if (f->sent_cnt) {
		wrong = ref_compare(&ref, v, port, in->b, f->sent[0].port, f->sent[0].bytes,
				    f->sent[0].len);
	}
	if (wrong)
		differ(wrong, v);
	return v->in_fragments ? 1 : f->sent_cnt;
}

/* Of a packet that has ended here nothing may leave but a word to its sender. */
static void check_ended(uint16_t port, const struct lf_bytes *in, uint32_t head_len,
			const struct ref_verdict *v)
{
	const char *wrong;

	for (uint32_t i = 0; i < f->sent_cnt; i++) {
		if (v->fate != REF_DROPPED || !is_answer(&f->sent[i], port, in->b))
			differ("sent what must not be", v);
		if (v->answer == REF_ANSWER_ANY)
			continue;
		wrong = ref_check_answer(v, in->b, head_len, f->sent[i].bytes, f->sent[i].len);
		if (wrong)
			differ(wrong, v);
	}
	if (f->sent_cnt != 1 && (f->sent_cnt || v->answer != REF_ANSWER_ANY))
		differ("its sender is not told once", v);
}

static void check(uint16_t port, const struct lf_bytes *in, uint32_t head_len,
		  struct ref_verdict *v)
{
	if (is_sent(v)) {
		if (check_sent(port, in, v) != 1)
			differ("not sent once", v);
	} else if (v->fate != REF_UNSAID) {
		check_ended(port, in, head_len, v);
	}
	if (v->fate == REF_KERNEL)
		expect_punted(in->b, v);
	drain_punts();
}

static bool is_addr(const uint8_t *said, bool v6, const struct ref_addr *addr)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
	uint64_t halves[2] = {htobe64(addr->hi), htobe64(addr->lo)};
	uint32_t v4 = htonl((uint32_t)addr->lo);

	return v6 ? !memcmp(said, halves, 16)
		  : !memcmp(said, mapped, 12) && !memcmp(said + 12, &v4, 4);
}

/* steer leaves special destinations to the kernel, whatever a session says. */
static void check_steer(const struct lf_bytes *b, uint32_t head_len, const struct ref_verdict *v)
{
	struct steer_said said, other;

	if (b->len < 14 || b->b[0] & 1)
		return;
	said = steer_parses(b->b, b->len, head_len, false);
	other = steer_parses(b->b, b->len, head_len, true);
	if (head_len == b->len && memcmp(&said, &other, sizeof(said)))
		differ("steer reads headers another way by the helper", v);
	if (v->fate != REF_SENT && v->fate != REF_OPENS)
		return;
	if (said.reason == XE_R_DST_SPECIAL)
		return;
	if (said.reason != XE_R_TAKEN || said.is_frag)
		differ("steer does not take it", v);
	if (said.proto != v->tuple.proto || said.l4_port[0] != v->tuple.sport ||
	    said.l4_port[1] != v->tuple.dport || said.is_v6 != v->tuple.v6 ||
	    !is_addr(said.addr[0], v->tuple.v6, &v->tuple.src) ||
	    !is_addr(said.addr[1], v->tuple.v6, &v->tuple.dst))
		differ("steer takes it for another flow's", v);
}

static void forget_flows(void)
{
	for (int i = 0; i < 64 && (f->lane->sessions.cnt || !i); i++) {
		f->lane->now_s += LONG_S;
		xe_pipeline_housekeeping(f->lane);
		lf_answer(f);
	}
	if (f->lane->sessions.cnt)
		abort();
	ref_forget(&ref);
}

/* Of a flow from outside both ways are to be found, and from one container to another the first
 * one's before. */
static void answer(void)
{
	for (int i = 0; i < 4 && lf_answer(f); i++) {
		xe_hold_poll(f->lane);
		lf_drain_tx(f);
		lf_check_conservation(f);
	}
}

/* What the step is about: a first packet from either side, one of a flow that there is, or an
 * error about it. */
static void build(struct script *s, uint32_t what, struct lf_spec *spec, uint16_t *port, char *src,
		  char *dst, struct lf_bytes *b)
{
	if ((what == 5 || what == 6) && build_error_known(s, spec, port, src, dst, b))
		return;
	if (what == 1 || what == 2)
		spec_outside(s, spec, port, src, dst);
	else if (what < 8 || !spec_known(s, spec, port, src, dst))
		spec_new(s, spec, *port, what == 3 || what == 4 || what >= 12, src, dst);
	spec_rest(s, spec);
	lf_build(b, spec);
	if (spec->seed & 1)
		put_ip_options(b);
}

static void step(struct script *s)
{
	static struct lf_bytes b;
	char src[INET6_ADDRSTRLEN], dst[INET6_ADDRSTRLEN];
	struct lf_spec spec = {.src = src, .dst = dst};
	uint16_t port = (uint16_t)(LF_INSIDE + take(s, LF_PORT_END - 1));
	uint32_t what = take(s, 16), first_len, frame_len, head_len;
	struct ref_verdict v;

	if (!what) {
		forget_flows();
		return;
	}
	build(s, what, &spec, &port, src, dst, &b);
	meddle(s, &b);
	first_len = take(s, 4) ? 0 : 1 + take(s, 120);
	frame_len = first_len ? 200 + take16(s) % 2000 : 0;
	head_len = !first_len ? XE_FRAME_ROOM : first_len;
	head_len = head_len < b.len ? head_len : b.len;
	v = ref_judge(&ref, port, b.b, b.len, head_len);
	if (verbose)
		fprintf(stderr, "port %u %s %u > %s %u proto %u len %u head %u: fate %d\n", port,
			src, spec.sport, dst, spec.dport, spec.proto, b.len, head_len, v.fate);
	check_steer(&b, head_len, &v);
	lf_deliver(f, port, b.b, b.len, first_len, frame_len, 0);
	lf_poll(f);
	answer();
	check(port, &b, head_len, &v);
	/* it may have made a flow of which the reference does not know all */
	if (v.fate == REF_UNSAID || v.unseen)
		forget_flows();
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct script s = {bytes, bytes + len};

	if (!f) {
		xe_insum_init();
		verbose = getenv("XE_FUZZ_VERBOSE");
		f = lf_open(ref_rules, SESSIONS);
	}
	forget_flows();
	ref.share_cnt = 0;
	for (uint32_t i = 0; i < STEPS_MAX && s.at < s.end; i++)
		step(&s);
	return 0;
}
