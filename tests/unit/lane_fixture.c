/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "lane_fixture.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/insum.h"
#include "pipeline/reassemble.h"

#define RULES_MAX  32
#define ROUTE_MASK 0xffff0000u
/* Frames a fake socket holds for receiving: two bursts of small packets, or 14 superpackets. */
#define FILL 256u

static const char *const ext_addrs[LF_EXT_CNT] = {
	"192.0.2.1",  "192.0.2.2",     "192.0.2.10",    "192.0.2.11",     "192.0.2.12",
	"192.0.2.13", "2001:db8:f::1", "2001:db8:f::2", "2001:db8:f::10", "2001:db8:f::11"};
#define EXT6 6 /* the first of them */

static struct xe_addr to_addr(const char *text)
{
	struct xe_addr addr;
	__u8 family;

	assert_int_equal(xe_addr_parse(text, &addr, &family), 0);
	return addr;
}

static const uint8_t mac_port[LF_PORT_END][6] = {
	{}, {2, 0, 0, 0, 0, 1}, {2, 0, 0, 0, 0, 2}, {2, 0, 0, 0, 0, 3}, {2, 0, 0, 0, 0, 4}};
static const uint8_t mac_peer[LF_PORT_END][6] = {
	{}, {2, 1, 0, 0, 0, 1}, {2, 1, 0, 0, 0, 2}, {2, 1, 0, 0, 0, 3}, {2, 1, 0, 0, 0, 4}};

static const char *const own4[LF_PORT_END] = {"", "10.1.0.1", "10.2.0.1", "192.0.2.1", "192.0.2.2"};
static const char *const own6[LF_PORT_END] = {"", "2001:db8:1::1", "2001:db8:2::1", "2001:db8:f::1",
					      "2001:db8:f::2"};

/* ---- the lane ---- */

static __u32 port_ids(void *ctx, const char *name, __u16 *ids, __u32 max)
{
	static const char *const names[LF_PORT_END] = {"", "va", "vb", "eth0", "eth1"};

	(void)ctx;
	for (__u16 i = 1; i < LF_PORT_END && max; i++) {
		if (strcmp(names[i], name))
			continue;
		ids[0] = i < LF_UPLINK ? i | XE_OUT_INSIDE : i;
		return 1;
	}
	return 0;
}

static void set_range(struct xe_ruleset *rs, struct xe_nat_range *range, const struct xe_rule *rule)
{
	uint32_t *ext;

	range->port_min = rule->port_min ? rule->port_min : 1024;
	range->port_max = rule->port_max ? rule->port_max : 32767;
	if (rule->verb == XE_VERB_DNAT) {
		range->dnat = xe_dnat_make(rule);
		assert_non_null(range->dnat);
	}
	if (rule->verb != XE_VERB_SNAT)
		return;
	range->ext = ext = calloc(LF_EXT_CNT, sizeof(*ext));
	for (int k = 0; k < rule->source_cnt; k++) {
		struct xe_addr max = xe_rule_source_max(&rule->source[k]);

		for (uint32_t i = 0; i < LF_EXT_CNT; i++) {
			struct xe_addr addr = to_addr(ext_addrs[i]);

			if (memcmp(addr.b, rule->source[k].min.b, 16) < 0 ||
			    memcmp(addr.b, max.b, 16) > 0)
				continue;
			ext[range->ext_cnt++] = i;
			xe_ruleset_pool_has(rs, i);
		}
	}
}

static void open_rules(struct lf *f, const char *const *texts)
{
	struct xe_rule rules[RULES_MAX] = {};
	char err[256] = "";
	uint32_t n = 0;

	for (; texts[n]; n++) {
		int ret;

		assert_in_range(n, 0, RULES_MAX - 1);
		ret = xe_rule_parse(texts[n], &rules[n], err, sizeof(err));
		/* the lane may carry out what the service does not yet */
		if (ret && ret != -ENOTSUP)
			fail_msg("%s: %s", texts[n], err);
	}
	if (xe_ruleset_compile(rules, n, 1, port_ids, NULL, &f->rules, err, sizeof(err)))
		fail_msg("%s", err);
	f->ranges = calloc(n + 1, sizeof(*f->ranges));
	for (uint32_t i = 0; i < n; i++)
		set_range(f->rules, &f->ranges[i], &rules[i]);
	f->rules->terms = malloc((n + 1) * sizeof(*f->rules->terms));
	for (uint32_t i = 0; i < n; i++) {
		f->rules->terms[i] = xe_rule_has_terms(&rules[i]) ? i : XE_NIL;
		xe_terms_set(&f->terms[i], &rules[i]);
	}
	f->rules->attach = f->ranges;
	f->rule_cnt = n;
	f->lane->rules = f->rules;
}

static void open_ring(struct xsk_ring_prod *prod, struct xsk_ring_cons *cons, struct lf_ring *ring)
{
	if (prod)
		*prod = (struct xsk_ring_prod){
			.cached_cons = LF_RING,
			.mask = LF_RING - 1,
			.size = LF_RING,
			.producer = &ring->producer,
			.consumer = &ring->consumer,
			.ring = ring->descs,
			.flags = &ring->flags,
		};
	else
		*cons = (struct xsk_ring_cons){
			.mask = LF_RING - 1,
			.size = LF_RING,
			.producer = &ring->producer,
			.consumer = &ring->consumer,
			.ring = ring->descs,
			.flags = &ring->flags,
		};
}

static void open_port(struct lf *f, uint16_t port)
{
	struct xe_lane_port *p = &f->lane->ports[port];
	struct lf_ring *rings = &f->rings[port * 4];
	struct xe_xsk *xsk = &f->xsk[port];

	*xsk = (struct xe_xsk){.fd = -1,
			       .port = port,
			       .slot = port,
			       .multi_buffer = true,
			       .fill_idle = FILL,
			       .fill_target = FILL};
	open_ring(&xsk->fill, NULL, &rings[0]);
	open_ring(NULL, &xsk->rx, &rings[1]);
	open_ring(&xsk->tx, NULL, &rings[2]);
	open_ring(NULL, &xsk->comp, &rings[3]);
	f->lane->xsks[f->lane->xsk_cnt++] = xsk;
	p->live = true;
	p->role = port < LF_UPLINK ? XE_ROLE_INSIDE : XE_ROLE_UPLINK;
	p->ifindex = 1000 + port;
	p->mtu = 65535;
	p->tx = xsk;
	memcpy(p->l2_addr, mac_port[port], 6);
	p->own4_be = inet_addr(own4[port]);
	assert_int_equal(inet_pton(AF_INET6, own6[port], &p->own6), 1);
	if (p->role == XE_ROLE_UPLINK)
		return;
	p->allow = calloc(1, sizeof(*p->allow));
	p->allow_cnt = 1;
	p->allow[0].net_be = inet_addr(port == LF_INSIDE ? "10.1.0.0" : "10.2.0.0");
	p->allow[0].mask_be = htonl(ROUTE_MASK);
	p->allow6 = calloc(1, sizeof(*p->allow6));
	p->allow6_cnt = 1;
	p->allow6[0].net = to_addr(port == LF_INSIDE ? "2001:db8:1::" : "2001:db8:2::");
	p->allow6[0].mask.q[0] = ~0ull;
}

static void open_tables(struct lf *f, uint32_t sessions)
{
	struct xe_lane *lane = f->lane;
	uint64_t k0 = lf_random(), k1 = lf_random();
	uint32_t buckets = xe_live_bucket_cnt(2 * sessions);

	f->owned = calloc(XE_OWNED_ENTRIES, sizeof(*f->owned));
	f->claims = calloc(1, sizeof(*f->claims));
	f->live = calloc(buckets, sizeof(*f->live));
	lane->live = (struct xe_live){.buckets = f->live, .mask = buckets - 1};
	xe_wheel_init(&lane->wheel, lane->now_s);
	assert_int_equal(xe_umem_open(&lane->umem, LF_FRAMES, -1), 0);
	assert_int_equal(xe_sessions_open(&lane->sessions, sessions, k0, k1), 0);
	assert_int_equal(xe_nexthops_open(&lane->nexthops, sessions, k0, k1), 0);
	assert_int_equal(xe_sources_open(&lane->sources, sessions, k0, k1), 0);
	assert_int_equal(xe_natpool_open(&lane->pool, &lane->sessions, f->owned, f->claims,
					 &f->taken, 0, 1, lf_random(), lf_random()),
			 0);
	assert_int_equal(xe_reassemble_open(lane), 0);
	f->terms = xe_terms_table_new();
	assert_int_equal(xe_terms_open(&lane->terms, f->terms, sessions, k0, k1), 0);
	for (uint32_t i = 0; i < LF_EXT_CNT; i++) {
		struct xe_addr addr = to_addr(ext_addrs[i]);

		assert_int_equal(xe_natpool_add_ext(&lane->pool, i, &addr), 0);
	}
}

struct lf *lf_open(const char *const *rules, uint32_t sessions)
{
	struct lf *f = calloc(1, sizeof(*f));
	int pair[2];

	f->lane = calloc(1, sizeof(*f->lane));
	f->lane->ports = calloc(XE_MAX_PORTS, sizeof(*f->lane->ports));
	f->rings = calloc(LF_PORT_END * 4, sizeof(*f->rings));
	f->lane->now_s = 1000;
	f->lane->now_us = 1000000000;
	f->lane->fill_max = FILL;
	f->lane->sessions_per_source = sessions;
	f->lane->timeouts = (struct xe_timeouts){7440, 240, 300, 20};
	f->lane->gso.bypass_fd = f->lane->gso.qdisc_fd = -1;
	assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, pair), 0);
	f->lane->punt_fd = f->lane->punt_uplink_fd = pair[0];
	f->punt_fd = pair[1];
	f->nexthop_state = XE_NH_READY;
	f->mtu = 1500;
	open_tables(f, sessions);
	for (uint16_t port = 1; port < LF_PORT_END; port++)
		open_port(f, port);
	xe_near_learn(f->lane);
	for (uint32_t i = 0; i < LF_SENT; i++)
		f->sent[i].bytes = malloc(LF_BYTES);
	open_rules(f, rules);
	return f;
}

void lf_close(struct lf *f)
{
	struct xe_lane *lane = f->lane;

	xe_hold_flush(lane, XE_PORT_NONE, XE_R_PORT_GONE);
	xe_reassemble_flush(lane, XE_PORT_NONE);
	lf_check_conservation(f);
	assert_int_equal(lane->frags.table.kept_cnt, 0);
	xe_reassemble_close(lane);
	xe_terms_close(&lane->terms);
	xe_terms_table_free(f->terms);
	xe_natpool_close(&lane->pool);
	xe_sources_close(&lane->sources);
	xe_nexthops_close(&lane->nexthops);
	xe_sessions_close(&lane->sessions);
	xe_umem_close(&lane->umem);
	xe_ruleset_free(f->rules);
	for (uint32_t i = 0; i < XE_MAX_PORTS; i++) {
		free(lane->ports[i].allow);
		free(lane->ports[i].allow6);
	}
	for (uint32_t i = 0; i < LF_SENT; i++)
		free(f->sent[i].bytes);
	close(lane->punt_fd);
	close(f->punt_fd);
	free(lane->ports);
	free(lane);
	for (uint32_t i = 0; i < f->rule_cnt; i++)
		free((void *)f->ranges[i].ext);
	for (uint32_t i = 0; i < f->rule_cnt; i++)
		free((void *)f->ranges[i].dnat);
	free(f->ranges);
	free(f->rings);
	free(f->owned);
	free(f->claims);
	free(f->live);
	free(f);
}

/* ---- packets ---- */

static uint64_t flow_hash6(const struct lf *f, uint16_t port, const uint8_t *bytes, uint32_t len)
{
	const uint8_t *ip = bytes + 14, *l4;
	struct xe_tuple4 t = {.family = XE_FAMILY_6};
	struct xe_addr src, dst;

	if (len < 14 + 48 || 14 + lf_l4_off(ip) + 4 > len)
		return lf_random();
	l4 = ip + lf_l4_off(ip);
	if (ip[6] == IPPROTO_ICMPV6) {
		const uint8_t *quoted = l4 + 8;

		if (len < 14 + 48 + 48 || quoted + lf_l4_off(quoted) + 4 > bytes + len)
			return lf_random();
		memcpy(&src, quoted + 24, 16);
		memcpy(&dst, quoted + 8, 16);
		l4 = quoted + lf_l4_off(quoted);
		memcpy(&t.sport_be, l4 + 2, 2);
		memcpy(&t.dport_be, l4, 2);
		t.port = port < LF_UPLINK ? port : XE_PORT_ANYUPLINK;
		t.proto = lf_proto(quoted);
		return xe_flow_hash6(&t, &src, &dst, f->lane->sessions.k0, f->lane->sessions.k1);
	}
	memcpy(&src, ip + 8, 16);
	memcpy(&dst, ip + 24, 16);
	memcpy(&t.sport_be, l4, 2);
	memcpy(&t.dport_be, l4 + 2, 2);
	t.port = port < LF_UPLINK ? port : XE_PORT_ANYUPLINK;
	t.proto = lf_proto(ip);
	return xe_flow_hash6(&t, &src, &dst, f->lane->sessions.k0, f->lane->sessions.k1);
}

/* What steer would say of these bytes; a random hash where it would say nothing. */
static uint64_t flow_hash(const struct lf *f, uint16_t port, const uint8_t *bytes, uint32_t len)
{
	const uint8_t *ip = bytes + 14, *l4 = ip + (len > 14 ? (ip[0] & 15) * 4 : 0);
	struct xe_tuple4 t = {};

	if (len < 34 || l4 + 4 > bytes + len)
		return lf_random();
	if (bytes[12] == 0x86)
		return flow_hash6(f, port, bytes, len);
	if (ip[9] == IPPROTO_ICMP && bytes + len >= l4 + 8 + 28) {
		const uint8_t *quoted = l4 + 8, *ports = quoted + (quoted[0] & 15) * 4;

		if (ports + 4 > bytes + len)
			return lf_random();
		memcpy(&t.src_be, quoted + 16, 4);
		memcpy(&t.dst_be, quoted + 12, 4);
		memcpy(&t.sport_be, ports + 2, 2);
		memcpy(&t.dport_be, ports, 2);
		t.port = port < LF_UPLINK ? port : XE_PORT_ANYUPLINK;
		t.proto = quoted[9];
		return xe_session_hash(&f->lane->sessions, &t);
	}
	memcpy(&t.src_be, ip + 12, 4);
	memcpy(&t.dst_be, ip + 16, 4);
	memcpy(&t.sport_be, l4, 2);
	memcpy(&t.dport_be, l4 + 2, 2);
	t.port = port < LF_UPLINK ? port : XE_PORT_ANYUPLINK;
	t.proto = ip[9];
	return xe_session_hash(&f->lane->sessions, &t);
}

static uint8_t *next_fill(struct lf *f, uint16_t port, uint64_t *addr)
{
	struct lf_ring *fill = &f->rings[port * 4];

	xe_xsk_refill(&f->xsk[port], &f->lane->umem, f->lane->fill_max);
	assert_true(fill->producer != fill->consumer);
	*addr = ((uint64_t *)fill->descs)[fill->consumer++ % LF_RING] + XE_FRAME_HEADROOM;
	return xe_umem_ptr(&f->lane->umem, *addr);
}

void lf_deliver(struct lf *f, uint16_t port, const uint8_t *bytes, uint32_t len, uint32_t first_len,
		uint32_t frame_len, uint16_t gso_size)
{
	struct xe_meta meta = {.flow_hash = flow_hash(f, port, bytes, len), .port = port};
	struct lf_ring *rx = &f->rings[port * 4 + 1];
	uint32_t room = first_len ? first_len : XE_FRAME_ROOM, done = 0;

	meta.magic = XE_META_MAGIC ^ port;
	meta.gso_size = gso_size;
	meta.gso_type = !gso_size ? 0 : bytes[12] == 0x86 ? 1 << 4 : 1;
	do {
		uint32_t n = len - done < room ? len - done : room;
		uint64_t addr;
		uint8_t *to = next_fill(f, port, &addr);

		memset(to - XE_FRAME_HEADROOM, 0xee, XE_FRAME_SIZE);
		memcpy(to, bytes + done, n);
		if (!done)
			memcpy(to - sizeof(meta), &meta, sizeof(meta));
		done += n;
		rx->descs[rx->producer++ % LF_RING] = (struct xdp_desc){
			.addr = addr,
			.len = n,
			.options = done < len ? XDP_PKT_CONTD : 0,
		};
		room = frame_len ? frame_len : XE_FRAME_ROOM;
	} while (done < len);
}

void lf_put(struct lf *f, uint16_t port, const struct lf_spec *spec)
{
	static struct lf_bytes bytes;

	lf_build(&bytes, spec);
	memcpy(bytes.b, mac_port[port], 6);
	memcpy(bytes.b + 6, mac_peer[port], 6);
	lf_deliver(f, port, bytes.b, bytes.len, spec->first_len, spec->frame_len, spec->gso_size);
}

/* ---- the kernel and the control thread ---- */

/* A device that completes the checksum it is asked for, by code of its own. */
static void complete_csum(struct lf *f, struct lf_sent *sent, const struct xdp_desc *first)
{
	struct xe_tx_meta meta;
	uint16_t sum;

	memcpy(&meta, xe_umem_ptr(&f->lane->umem, first->addr) - sizeof(meta), sizeof(meta));
	assert_int_equal(meta.flags, XE_TX_META_CSUM);
	assert_true(first->len >= meta.csum_start + meta.csum_offset + 2u);
	sum = (uint16_t)~lf_sum(sent->bytes + meta.csum_start, sent->len - meta.csum_start, 0);
	if (!sum && meta.csum_offset == 6)
		sum = 0xffff;
	sent->bytes[meta.csum_start + meta.csum_offset] = (uint8_t)(sum >> 8);
	sent->bytes[meta.csum_start + meta.csum_offset + 1] = (uint8_t)sum;
	sent->asked = true;
}

static void take_sent(struct lf *f, uint16_t port)
{
	struct lf_ring *tx = &f->rings[port * 4 + 2], *comp = &f->rings[port * 4 + 3];
	struct lf_sent *sent;
	struct xdp_desc *d, first = tx->descs[tx->consumer % LF_RING];

	assert_in_range(f->sent_cnt, 0, LF_SENT - 1);
	sent = &f->sent[f->sent_cnt++];
	sent->port = port;
	sent->len = sent->frame_cnt = 0;
	do {
		assert_true(tx->consumer != tx->producer);
		d = &tx->descs[tx->consumer++ % LF_RING];
		assert_in_range(sent->len + d->len, 1, LF_BYTES);
		memcpy(sent->bytes + sent->len, xe_umem_ptr(&f->lane->umem, d->addr), d->len);
		sent->len += d->len;
		sent->frame_cnt++;
		((uint64_t *)comp->descs)[comp->producer++ % LF_RING] = d->addr;
		assert_true(d->addr == first.addr || !(d->options & XE_DESC_TX_META));
	} while (d->options & XDP_PKT_CONTD);
	sent->asked = false;
	if (first.options & XE_DESC_TX_META)
		complete_csum(f, sent, &first);
}

void lf_drain_tx(struct lf *f)
{
	for (uint16_t port = 1; port < LF_PORT_END; port++)
		while (f->rings[port * 4 + 2].consumer != f->rings[port * 4 + 2].producer)
			take_sent(f, port);
}

void lf_poll(struct lf *f)
{
	f->sent_cnt = 0;
	while (xe_pipeline_poll(f->lane))
		lf_drain_tx(f);
	lf_check_conservation(f);
	for (uint16_t port = 1; port < LF_PORT_END; port++)
		xe_xsk_complete(&f->xsk[port], &f->lane->umem);
	lf_check_conservation(f);
}

const struct lf_sent *lf_pass(struct lf *f, uint16_t port, const struct lf_spec *spec)
{
	lf_put(f, port, spec);
	lf_poll(f);
	/* Twice: from one container to another there are two ways to be found. */
	for (int i = 0; i < 2 && lf_answer(f); i++) {
		xe_hold_poll(f->lane);
		lf_drain_tx(f);
		lf_check_conservation(f);
	}
	return f->sent_cnt ? &f->sent[f->sent_cnt - 1] : NULL;
}

static struct xe_nexthop_answer answer_for6(const struct lf *f, const struct xe_addr *dst)
{
	uint32_t net = ntohl(dst->w_be[1]) >> 16;
	struct xe_nexthop_answer a = {
		.state = f->nexthop_state,
		.port = net == 1       ? LF_INSIDE
			: net == 2     ? LF_INSIDE2
			: net == 0x113 ? LF_UPLINK2
				       : LF_UPLINK,
		.mtu = f->mtu,
		.masq_ext = XE_NIL,
	};

	if (a.port >= LF_UPLINK)
		a.masq_ext = EXT6 + a.port - LF_UPLINK;
	memcpy(a.mac, mac_peer[a.port], 6);
	return a;
}

static struct xe_nexthop_answer answer_for(const struct lf *f, const struct xe_addr *dst)
{
	__be32 dst_be = dst->w_be[3];
	uint32_t net = ntohl(dst_be) & ROUTE_MASK;
	struct xe_nexthop_answer a = {
		.state = f->nexthop_state,
		.port = LF_UPLINK,
		.mtu = f->mtu,
		.masq_ext = XE_NIL,
	};

	if (dst->q[0])
		return answer_for6(f, dst);
	if (net == 0x0a010000)
		a.port = LF_INSIDE;
	else if (net == 0x0a020000)
		a.port = LF_INSIDE2;
	else if ((ntohl(dst_be) & 0xffffff00u) == 0xcb007100)
		a.port = LF_UPLINK2;
	for (int port = 1; f->own_are_local && port < LF_PORT_END; port++)
		if (dst_be == inet_addr(own4[port]))
			a.state = XE_NH_LOCAL;
	if (a.port >= LF_UPLINK)
		a.masq_ext = a.port == LF_UPLINK ? 0 : 1;
	memcpy(a.mac, mac_peer[a.port], 6);
	return a;
}

uint32_t lf_answer(struct lf *f)
{
	struct xe_nexthops *t = &f->lane->nexthops;
	struct xe_nh_request req;
	uint32_t n = 0;

	for (; xe_nexthops_next_request(t, &req); n++) {
		struct xe_nexthop_answer a = answer_for(f, &t->slots[req.idx].dst);

		f->requests[req.op]++;
		if (req.op == XE_NH_OP_RELEASE)
			a = (struct xe_nexthop_answer){.state = XE_NH_UNUSED};
		if (req.op != XE_NH_OP_RETRY)
			xe_nexthop_write(t, req.idx, &a);
	}
	return n;
}

void lf_change(struct lf *f, uint8_t state)
{
	struct xe_nexthops *t = &f->lane->nexthops;

	f->nexthop_state = state;
	lf_answer(f);
	for (uint32_t i = 0; i < t->high; i++) {
		struct xe_nexthop_answer a = answer_for(f, &t->slots[i].dst);

		if (xe_nexthop_read(&t->slots[i]).state != XE_NH_UNUSED)
			xe_nexthop_write(t, i, &a);
	}
}

/* ---- what must hold ---- */

#define REASON_CLASS(name, class, text) [XE_R_##name] = #class,
static const char *const reason_class[XE_R_WORKER_CNT] = {XE_REASONS_WORKER(REASON_CLASS)};

static uint64_t count(const struct lf *f, const char *class)
{
	uint64_t n = 0;

	for (int i = 1; i < XE_R_WORKER_CNT; i++)
		if (!strcmp(reason_class[i], class))
			n += f->lane->cnt.reason[i];
	return n;
}

uint64_t lf_drops(const struct lf *f)
{
	return count(f, "W_DROP");
}

uint64_t lf_punts(const struct lf *f)
{
	return count(f, "W_PUNT");
}

/* Of datagrams that are not whole. */
static uint32_t fragment_frames(const struct xe_frags *frags)
{
	const struct xe_frag_table *t = &frags->table;
	uint32_t n = 0;

	for (uint32_t side = 0; frags->held && side < XE_FRAG_SIDES; side++)
		for (uint32_t d = t->groups[side].oldest; d != XE_NIL;
		     d = t->datagrams[d].in[XE_FRAG_BY_SIDE].newer)
			for (uint32_t s = t->datagrams[d].first; s != XE_NIL; s = t->slots[s].next)
				n += frags->held[s].frame_cnt;
	return n;
}

void lf_check_conservation(struct lf *f)
{
	const struct xe_lane_counters *c = &f->lane->cnt;
	uint32_t fill = 0, tx = 0, held = 0;

	for (uint16_t port = 1; port < LF_PORT_END; port++) {
		fill += f->xsk[port].fill_cnt;
		tx += f->xsk[port].tx_cnt;
	}
	for (uint32_t i = 0; i < f->lane->hold.cnt; i++)
		for (const struct xe_packet *p = &f->lane->hold.held[i].packet; p; p = p->next)
			held += p->frame_cnt;
	held += fragment_frames(&f->lane->frags);
	assert_int_equal(xe_umem_audit(&f->lane->umem, fill, tx), 0);
	assert_int_equal(f->lane->umem.hand_cnt, held);
	assert_int_equal(c->to_kernel, lf_punts(f));
	assert_int_equal(c->rx_packets + c->made, c->tx_packets + lf_drops(f) + c->merged +
							  c->to_kernel + f->lane->hold.cnt +
							  f->lane->frags.table.kept_cnt);
}

uint16_t lf_sport(const struct lf_sent *sent)
{
	const uint8_t *l4 = sent->bytes + 14 + lf_l4_off(sent->bytes + 14);

	return (uint16_t)(l4[0] << 8 | l4[1]);
}

static void expect_l4_csum(const uint8_t *ip, const uint8_t *field, const struct lf_spec *spec)
{
	if (spec->csum == LF_CSUM_ZERO)
		assert_int_equal(field[0] | field[1], 0);
	else
		assert_int_equal(lf_l4_csum_valid(ip), spec->csum != LF_CSUM_WRONG);
	/* 0 would mean "none" for UDP; TCP never sends the other zero. */
	if (spec->csum != LF_CSUM_ZERO && spec->proto != IPPROTO_TCP)
		assert_true(field[0] | field[1]);
	if (spec->proto == IPPROTO_TCP)
		assert_false(field[0] == 0xff && field[1] == 0xff);
}

void lf_expect(const struct lf_sent *sent, const struct lf_spec *spec, uint16_t out_port)
{
	static struct lf_bytes want;
	struct lf_spec s = *spec;
	uint32_t l4_off, csum_off;

	assert_non_null(sent);
	s.padding = 0;
	lf_build(&want, &s);
	l4_off = 14 + lf_l4_off(want.b + 14);
	csum_off = l4_off + (spec->proto == IPPROTO_TCP ? 16 : 6);
	memcpy(want.b, mac_peer[out_port], 6);
	memcpy(want.b + 6, mac_port[out_port], 6);
	assert_int_equal(sent->port, out_port);
	assert_int_equal(sent->len, want.len);
	expect_l4_csum(sent->bytes + 14, sent->bytes + csum_off, spec);
	if (want.b[14] >> 4 == 4)
		assert_int_equal(lf_sum(sent->bytes + 14, l4_off - 14, 0), 0xffff);
	memcpy(want.b + csum_off, sent->bytes + csum_off, 2);
	assert_memory_equal(sent->bytes, want.b, want.len);
}

void lf_expect_punted(struct lf *f, const struct lf_spec *spec)
{
	static struct lf_bytes want, got;
	struct virtio_net_hdr vnet;
	struct lf_spec s = *spec;
	uint32_t csum_off = s.proto == IPPROTO_TCP ? 16 : 6;

	s.padding = 0;
	lf_build(&want, &s);
	got.len = (uint32_t)recv(f->punt_fd, got.b, sizeof(got.b), 0);
	assert_int_equal(got.len, sizeof(vnet) + want.len - 14);
	memcpy(&vnet, got.b, sizeof(vnet));
	assert_memory_equal(got.b + sizeof(vnet), want.b + 14, want.len - 14);
	assert_int_equal(vnet.flags, s.csum == LF_CSUM_PARTIAL ? VIRTIO_NET_HDR_F_NEEDS_CSUM : 0);
	assert_int_equal(vnet.gso_size, s.gso_size);
	if (s.csum != LF_CSUM_PARTIAL)
		return;
	assert_int_equal(vnet.csum_start, lf_l4_off(want.b + 14));
	assert_int_equal(vnet.csum_offset, csum_off);
}
