/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * flow_fixture.h - flows through a lane in memory (lane_fixture.h): a packet is a line of the test,
 * and at the end nothing may be left of any flow.
 */
#ifndef XE_TEST_FLOW_FIXTURE_H
#define XE_TEST_FLOW_FIXTURE_H

#include "lane_fixture.h"

#define FF_SYN XE_TH_SYN
#define FF_ACK XE_TH_ACK
#define FF_FIN XE_TH_FIN
#define FF_RST XE_TH_RST

/* A plain flow through masquerade, its first packet and the answer to that. */
extern const struct lf_spec ff_out, ff_back;

/* A datagram of 40 bytes; a segment without any, whose numbers begin at 0. */
struct lf_spec ff_udp(const char *src, uint16_t sport, const char *dst, uint16_t dport);
struct lf_spec ff_tcp(const char *src, uint16_t sport, const char *dst, uint16_t dport,
		      uint8_t flags);

/* It goes in as `was` and must come out as `is`, with a hop less. */
void ff_passes(struct lf *f, uint16_t in, struct lf_spec was, uint16_t out, struct lf_spec is);
/* It goes in and ends for this reason, and no other packet does. */
void ff_ends(struct lf *f, uint16_t in, struct lf_spec s, enum xe_worker_reason reason);

/* Endpoints of a UDP flow: the inside's by its port, as the peer knows it, and the peer's. */
struct ff_flow {
	uint16_t in;
	const char *src;
	uint16_t sport;
	uint16_t out;
	const char *ext;
	uint16_t ext_port;
	const char *dst;
	uint16_t dport;
};

void ff_goes_out(struct lf *f, const struct ff_flow *flow);
void ff_comes_in(struct lf *f, const struct ff_flow *flow);

/* The first packet of ff_out. */
void ff_open(struct lf *f);
void ff_advance(struct lf *f, uint32_t seconds);
uint32_t ff_permit_cnt(const struct lf *f);
/* What steer looks at: no Ext L4 port is owned, no flow is live. */
void ff_expect_no_tags(const struct lf *f);
/* All timers end: nothing is left of any session, mapping or next hop, but Ext addresses. */
void ff_expect_empty(struct lf *f);
/* cmocka teardown: lf_close(*state). */
int ff_teardown(void **state);

#endif
