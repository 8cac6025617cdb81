// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "pipe_rig.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <x86intrin.h>

#include "base/insum.h"

/* 16 MiB, what the service gives a worker by default. */
#define FRAMES 4096u
/* A quarter of them for each socket, so that the rest is there to be sent. */
#define RIG_FILL (FRAMES / 4)
/* Keys of the hash: any will do, the same in every run so that instruction counts repeat. */
#define KEY0 0x0706050403020100ull
#define KEY1 0x0f0e0d0c0b0a0908ull

static uint32_t ext_list[RIG_EXT_CNT];

static void fill_fields(struct rig_ring *ring, uint32_t **producer, uint32_t **consumer,
			uint32_t **flags, void **slots)
{
	*producer = &ring->producer;
	*consumer = &ring->consumer;
	*flags = &ring->flags;
	*slots = ring->slots;
}

static void open_prod(struct xsk_ring_prod *r, struct rig_ring *ring)
{
	*r = (struct xsk_ring_prod){
		.cached_cons = XE_RING_SIZE, .mask = XE_RING_SIZE - 1, .size = XE_RING_SIZE};
	fill_fields(ring, &r->producer, &r->consumer, &r->flags, &r->ring);
}

static void open_cons(struct xsk_ring_cons *r, struct rig_ring *ring)
{
	*r = (struct xsk_ring_cons){.mask = XE_RING_SIZE - 1, .size = XE_RING_SIZE};
	fill_fields(ring, &r->producer, &r->consumer, &r->flags, &r->ring);
}

static bool open_port(struct rig *r, uint16_t port)
{
	struct xe_lane_port *p = &r->lane->ports[port];
	struct xe_xsk *xsk = &r->xsk[port];

	for (int i = 0; i < 4; i++) {
		r->ring[port][i].slots = aligned_alloc(64, XE_RING_SIZE * sizeof(struct xdp_desc));
		if (!r->ring[port][i].slots)
			return false;
	}
	*xsk = (struct xe_xsk){
		.fd = -1,
		.port = port,
		.slot = port,
		.multi_buffer = true,
		/* an idle port's socket holds little: the frames are for the others */
		.fill_idle = port < RIG_FIRST_IDLE ? RIG_FILL : 1,
		.fill_target = port < RIG_FIRST_IDLE ? RIG_FILL : 1};
	open_prod(&xsk->fill, &r->ring[port][0]);
	open_cons(&xsk->rx, &r->ring[port][1]);
	open_prod(&xsk->tx, &r->ring[port][2]);
	open_cons(&xsk->comp, &r->ring[port][3]);
	/* The kernel takes at once what is put on the ring, see the top of pipe_rig.h. */
	xsk->tx.consumer = xsk->tx.producer;
	r->lane->xsks[r->lane->xsk_cnt++] = xsk;
	*p = (struct xe_lane_port){
		.live = true,
		.role = port == RIG_UPLINK ? XE_ROLE_UPLINK : XE_ROLE_INSIDE,
		.l2_addr = {2, 0, 0, 0, 0, (uint8_t)port},
		.ifindex = 1000 + port,
		.mtu = 1500,
		.tx = xsk,
	};
	if (p->role == XE_ROLE_UPLINK)
		return true;
	p->allow = calloc(1, sizeof(*p->allow));
	p->allow6 = calloc(1, sizeof(*p->allow6));
	p->allow_cnt = p->allow6_cnt = 1;
	if (!p->allow || !p->allow6)
		return false;
	p->allow6[0].net.w_be[0] = htonl(0xfd000000);
	p->allow6[0].mask.w_be[0] = htonl(0xff000000);
	p->allow[0] =
		(struct xe_prefix4){.net_be = htonl(0x0a000000), .mask_be = htonl(0xff000000)};
	return true;
}

/* Rules that match nothing here, of ten prefix lengths, every other ten with protocol and L4 port:
 * 10 combinations of masks among 10 rules, 20 among 10,000. */
static void rule_text(uint32_t n, char *text, size_t size)
{
	static const int lens[10] = {32, 24, 16, 30, 28, 27, 26, 25, 22, 20};
	uint32_t addr = 0x0b000000 + ((n / 10) << 16);
	bool l4 = n / 10 & 1;

	snprintf(text, size, "drop %s from 10.0.0.0/8 to %u.%u.0.0/%d%s", l4 ? "tcp" : "",
		 addr >> 24, addr >> 16 & 255, lens[n % 10], l4 ? ":8000" : "");
}

static __u32 port_ids(void *ctx, const char *name, __u16 *ids, __u32 max)
{
	(void)ctx, (void)name, (void)max;
	ids[0] = RIG_UPLINK;
	return 1;
}

static bool open_rules(struct rig *r, uint32_t rule_cnt, uint32_t l4_ports, bool v6)
{
	struct xe_rule *rules = calloc(rule_cnt, sizeof(*rules));
	char text[128], err[256] = "out of memory";
	bool ok = rules != NULL;

	for (uint32_t i = 0; ok && i < rule_cnt; i++) {
		if (i + 1 < rule_cnt)
			rule_text(i, text, sizeof(text));
		else
			snprintf(text, sizeof(text),
				 v6 ? "snat from fd00::/8 source "
				      "2001:db8::c000:200-2001:db8::c000:2ff"
				    : "snat from 10.0.0.0/8 source 192.0.2.0-192.0.2.255");
		ok = !xe_rule_parse(text, &rules[i], err, sizeof(err));
	}
	ok = ok &&
	     !xe_ruleset_compile(rules, rule_cnt, 1, port_ids, NULL, &r->rules, err, sizeof(err));
	r->ranges = calloc(rule_cnt, sizeof(*r->ranges));
	if (!ok || !r->ranges) {
		fprintf(stderr, "rules: %s\n", err);
		free(rules);
		return false;
	}
	r->ranges[rule_cnt - 1] = (struct xe_nat_range){
		.port_min = 1024, .port_max = 65535, .ext_cnt = RIG_EXT_CNT, .ext = ext_list};
	if (l4_ports) {
		r->ranges[rule_cnt - 1].ext_cnt = 1;
		r->ranges[rule_cnt - 1].port_max = (uint16_t)(1024 + l4_ports - 1);
	}
	for (uint32_t i = 0; i < r->ranges[rule_cnt - 1].ext_cnt; i++)
		xe_ruleset_pool_has(r->rules, ext_list[i]);
	r->rules->attach = r->ranges;
	r->lane->rules = r->rules;
	free(rules);
	return true;
}

/* In the service these tags are a map's pages (vmalloc: 4 KiB each), so no huge pages here. */
static struct xe_live_bucket *open_live(uint32_t buckets)
{
	void *m = mmap(NULL, buckets * sizeof(struct xe_live_bucket), PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return m == MAP_FAILED ? NULL : m;
}

static bool open_tables(struct rig *r, uint32_t sessions, bool v6)
{
	struct xe_lane *lane = r->lane;
	uint32_t buckets = xe_live_bucket_cnt(2 * sessions);

	r->owned = calloc(XE_OWNED_ENTRIES, sizeof(*r->owned));
	r->live = open_live(buckets);
	r->claims = calloc(1, sizeof(*r->claims));
	if (!r->owned || !r->live || !r->claims)
		return false;
	lane->live = (struct xe_live){.buckets = r->live, .mask = buckets - 1};
	xe_wheel_init(&lane->wheel, lane->now_s);
	if (xe_umem_open(&lane->umem, FRAMES, -1) ||
	    xe_sessions_open(&lane->sessions, sessions, KEY0, KEY1) ||
	    xe_nexthops_open(&lane->nexthops, sessions, KEY0, KEY1) ||
	    xe_sources_open(&lane->sources, sessions, KEY0, KEY1) ||
	    xe_natpool_open(&lane->pool, &lane->sessions, r->owned, r->claims, &r->taken, 0, 1,
			    KEY1, KEY0))
		return false;
	for (uint32_t i = 0; i < RIG_EXT_CNT; i++) {
		struct xe_addr addr = xe_addr_v4(htonl(0xc0000200 + i));

		if (v6)
			addr = (struct xe_addr){
				.w_be = {htonl(0x20010db8), 0, 0, htonl(0xc0000200 + i)}};
		ext_list[i] = i;
		if (xe_natpool_add_ext(&lane->pool, i, &addr))
			return false;
	}
	return true;
}

struct rig *rig_open(uint32_t sessions, uint32_t rule_cnt, uint32_t idle_ports, uint32_t l4_ports,
		     bool v6)
{
	struct rig *r = calloc(1, sizeof(*r));
	bool ok;

	if (!r)
		return NULL;
	r->lane = aligned_alloc(64, (sizeof(*r->lane) + 63) / 64 * 64);
	if (!r->lane)
		return NULL;
	memset(r->lane, 0, sizeof(*r->lane));
	r->lane->ports = calloc(XE_MAX_PORTS, sizeof(*r->lane->ports));
	r->lane->now_s = 1000;
	r->lane->fill_max = RIG_FILL;
	r->lane->sessions_per_source = sessions;
	r->lane->timeouts = (struct xe_timeouts){7440, 240, 300, 20};
	r->lane->gso.bypass_fd = r->lane->gso.qdisc_fd = -1;
	r->lane->punt_fd = -1;
	ok = r->lane->ports && open_tables(r, sessions, v6) &&
	     open_rules(r, rule_cnt, l4_ports, v6);
	r->port_cnt = RIG_FIRST_IDLE + idle_ports;
	for (uint16_t port = 1; ok && port < r->port_cnt; port++)
		ok = open_port(r, port);
	if (ok)
		return r;
	fprintf(stderr, "no memory for %u sessions\n", sessions);
	return NULL; /* the bench ends */
}

void rig_close(struct rig *r)
{
	struct xe_lane *lane = r->lane;

	munmap(r->live, (lane->live.mask + 1) * sizeof(*r->live));
	xe_natpool_close(&lane->pool);
	xe_sources_close(&lane->sources);
	xe_nexthops_close(&lane->nexthops);
	xe_sessions_close(&lane->sessions);
	xe_umem_close(&lane->umem);
	xe_ruleset_free(r->rules);
	for (uint32_t i = 0; i < r->port_cnt; i++) {
		free(lane->ports[i].allow);
		free(lane->ports[i].allow6);
		for (int k = 0; k < 4; k++)
			free(r->ring[i][k].slots);
	}
	free(lane->ports);
	free(lane);
	free(r->ranges);
	free(r->owned);
	free(r->claims);
	free(r);
}

uint32_t rig_room(const struct rig *r, uint16_t port)
{
	return r->ring[port][0].producer - r->ring[port][0].consumer;
}

void rig_feed(struct rig *r, uint16_t port, const struct rig_packet *pkt, bool cold)
{
	struct rig_ring *fill = &r->ring[port][0], *rx = &r->ring[port][1];
	uint64_t addr = ((uint64_t *)fill->slots)[fill->consumer++ % XE_RING_SIZE];
	struct xe_meta meta = {
		.flow_hash = pkt->hash, .port = port, .magic = (uint16_t)(XE_META_MAGIC ^ port)};
	uint8_t *to;

	addr += XE_FRAME_HEADROOM;
	to = xe_umem_ptr(&r->lane->umem, addr);
	memcpy(to - sizeof(meta), &meta, sizeof(meta));
	memcpy(to, pkt->head, pkt->head_len);
	if (cold)
		for (uint8_t *line = to - 64; line < to + pkt->len; line += 64)
			_mm_clflush(line);
	((struct xdp_desc *)rx->slots)[rx->producer++ % XE_RING_SIZE] =
		(struct xdp_desc){.addr = addr, .len = pkt->len};
}

uint32_t rig_waiting(const struct rig *r)
{
	uint32_t n = 0;

	for (uint32_t i = 1; i < RIG_FIRST_IDLE; i++)
		n += r->ring[i][1].producer - r->ring[i][1].consumer;
	return n;
}

void rig_drain(struct rig *r)
{
	for (uint32_t port = 1; port < RIG_FIRST_IDLE; port++) {
		struct rig_ring *tx = &r->ring[port][2], *comp = &r->ring[port][3];

		for (; tx->consumer != tx->producer; tx->consumer++)
			((uint64_t *)comp->slots)[comp->producer++ % XE_RING_SIZE] =
				((struct xdp_desc *)tx->slots)[tx->consumer % XE_RING_SIZE].addr;
	}
}

void rig_answer(struct rig *r)
{
	struct xe_nexthop_answer a = {.state = XE_NH_READY,
				      .mac = {2, 1, 0, 0, 0, 1},
				      .port = RIG_UPLINK,
				      .mtu = 1500,
				      .masq_ext = 0},
				 unused = {.state = XE_NH_UNUSED};
	struct xe_nh_request req;

	while (xe_nexthops_next_request(&r->lane->nexthops, &req)) {
		if (req.op != XE_NH_OP_RETRY)
			xe_nexthop_write(&r->lane->nexthops, req.idx,
					 req.op == XE_NH_OP_RELEASE ? &unused : &a);
		r->answered++;
	}
}

int rig_check(const struct rig *r)
{
	const struct xe_lane_counters *c = &r->lane->cnt;
	uint64_t ended = c->tx_packets + c->to_kernel + r->lane->hold.cnt;
	uint32_t fill = 0, tx = 0;

	for (uint32_t i = 1; i < r->port_cnt; i++) {
		fill += r->xsk[i].fill_cnt;
		tx += r->xsk[i].tx_cnt;
	}
	for (int i = 1; i < XE_R_WORKER_CNT; i++) {
		if (c->reason[i])
			fprintf(stderr, "reason %d: %llu packets\n", i,
				(unsigned long long)c->reason[i]);
		ended += c->reason[i];
	}
	if (ended == c->rx_packets && c->tx_packets == c->rx_packets && !r->lane->hold.cnt &&
	    !xe_umem_audit(&r->lane->umem, fill, tx))
		return 0;
	fprintf(stderr, "received %llu, sent %llu: not every packet went its way\n",
		(unsigned long long)c->rx_packets, (unsigned long long)c->tx_packets);
	return 1;
}
