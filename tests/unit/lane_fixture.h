/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * lane_fixture.h - a whole lane in memory: the pipeline runs as in a worker, the test is the kernel
 * and the control thread.
 *
 *   test: lf_deliver()   bytes -> frames of the fill ring -> rx ring
 *         lf_poll()      xe_pipeline_poll(): refill, rx, all stages, tx ring
 *                        and back: tx ring -> lf.sent[] -> completion ring
 *         lf_answer()    next-hop requests -> answers, as the control thread gives them
 *
 * The rings are real ones (libxdp's accessors work on them) over plain memory. Each lf_poll() ends
 * with both promises of conservation: frames (xe_umem_audit) and packets (rx = tx + drops +
 * merged + to_kernel + held). There is no AF_PACKET socket: what leaves by one is refused
 * (XE_R_TX_REFUSED).
 *
 * Ports: LF_INSIDE 10.1.0.0/16, LF_INSIDE2 10.2.0.0/16, LF_UPLINK and LF_UPLINK2. Routes: those
 * prefixes, 203.0.113.0/24 by LF_UPLINK2, all else by LF_UPLINK. Ext addresses: 192.0.2.1
 * (LF_UPLINK masquerade), 192.0.2.2 (LF_UPLINK2 masquerade), 192.0.2.10 to .13 for `source`. The
 * IPv6: inside 2001:db8:1::/64 and 2001:db8:2::/64, 2001:db8:113::/48 by LF_UPLINK2, Ext addresses
 * 2001:db8:f::1 and ::2 (masquerade), ::10 and ::11 for `source`. The
 * host's own: 10.1.0.1, 10.2.0.1, 192.0.2.1 and .2; 2001:db8:1::1, :2::1, :f::1 and :f::2.
 */
#ifndef XE_TEST_LANE_FIXTURE_H
#define XE_TEST_LANE_FIXTURE_H

#include "packet_fixture.h"
#include "pipeline/pipeline.h"

enum { LF_INSIDE = 1, LF_INSIDE2, LF_UPLINK, LF_UPLINK2, LF_PORT_END };

#define LF_EXT_CNT 10
#define LF_RING    1024u /* descriptors; more than any test has under way */
#define LF_FRAMES  4096u
#define LF_SENT    640u

struct lf_sent {
	uint16_t port;
	uint32_t frame_cnt;
	uint32_t len;
	bool asked;     /* for its checksum, which the fixture has then completed */
	uint8_t *bytes; /* LF_BYTES */
};

struct lf_ring {
	uint32_t producer, consumer, flags;
	struct xdp_desc descs[LF_RING]; /* of addresses for fill and completion */
};

struct lf {
	struct xe_lane *lane;
	struct xe_xsk xsk[LF_PORT_END];
	struct lf_ring *rings; /* 4 a port: fill, rx, tx, completion */
	uint64_t *owned;
	struct xe_claims *claims;
	struct xe_taken taken;
	struct xe_live_bucket *live;
	struct xe_ruleset *rules;
	struct xe_nat_range *ranges;
	uint32_t rule_cnt;
	struct xe_terms *terms;
	int punt_fd;           /* one datagram a punted packet: virtio-net header and IP packet */
	uint8_t nexthop_state; /* what lf_answer() answers; XE_NH_READY at start */
	uint32_t mtu;          /* of the routes it answers, 1500 at start */
	bool own_are_local;    /* IPv4 addresses of the host's own are answered XE_NH_LOCAL */
	uint32_t requests[3];  /* seen, by enum xe_nh_op */
	struct lf_sent sent[LF_SENT];
	uint32_t sent_cnt; /* since lf_poll() began */
};

/* Rules are words of the configuration, NULL at the end. Fails the test on any error. */
struct lf *lf_open(const char *const *rules, uint32_t sessions);
void lf_close(struct lf *f);

/* Bytes arrive on a port, cut into frames; the flow hash is made from the bytes. */
void lf_deliver(struct lf *f, uint16_t port, const uint8_t *bytes, uint32_t len, uint32_t first_len,
		uint32_t frame_len, uint16_t gso_size);
/* lf_build() and lf_deliver(). */
void lf_put(struct lf *f, uint16_t port, const struct lf_spec *spec);
void lf_poll(struct lf *f);
/* One packet in, answers given, held packets brought back: what came out of it. */
const struct lf_sent *lf_pass(struct lf *f, uint16_t port, const struct lf_spec *spec);
/* What waits in tx rings goes to lf.sent; lf_poll() does it, xe_hold_poll() needs it after. */
void lf_drain_tx(struct lf *f);
/* Answer all next-hop requests; returns how many there were. */
uint32_t lf_answer(struct lf *f);
/* Write this answer for every entry in use (routes or neighbours changed). */
void lf_change(struct lf *f, uint8_t state);
void lf_check_conservation(struct lf *f);
/* Sum of all reasons that are drops, and that are punts. */
uint64_t lf_drops(const struct lf *f);
uint64_t lf_punts(const struct lf *f);

/* Fails the test unless the packet, taken apart by code of its own, is this one: addresses, L4
 * ports, TTL, header and L4 checksum, the payload that lf_build() made, no byte more. */
void lf_expect(const struct lf_sent *sent, const struct lf_spec *spec, uint16_t out_port);
/* The same for the next packet on punt_fd: what came in, behind a virtio-net header, without its
 * Ethernet header. */
void lf_expect_punted(struct lf *f, const struct lf_spec *spec);
uint16_t lf_sport(const struct lf_sent *sent);

#endif
