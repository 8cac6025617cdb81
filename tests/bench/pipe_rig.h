/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * pipe_rig.h - a lane whose rings are plain memory, for measuring the pipeline without a kernel.
 *
 * The rings are the ones libxdp's accessors see; the bench plays the kernel on their other ends. A
 * packet's way from xe_pipeline_poll() to its tx ring is the service's own code, all of it but the
 * system calls: the tx ring's consumer is its producer, so xe_xsk_flush() finds that the kernel has
 * taken everything and does not kick.
 *
 *   fill --> rig_feed() writes a packet into the frame --> rx --> pipeline --> tx --> rig_drain()
 *                                                                             --> completion
 */
#ifndef XE_BENCH_PIPE_RIG_H
#define XE_BENCH_PIPE_RIG_H

#include "pipeline/pipeline.h"

enum { RIG_INSIDE = 1, RIG_UPLINK = 2, RIG_FIRST_IDLE = 3 };

/* A pool of 256 addresses: 4M UDP flows of their own need 4M L4 ports. */
#define RIG_EXT_CNT 256
/* What the 256 inside ports at most that only stand there are for: sockets to be looked at. */
#define RIG_PORTS_MAX 259u

struct rig_ring {
	uint32_t producer, consumer, flags;
	void *slots; /* XE_RING_SIZE descriptors, or addresses */
};

struct rig {
	struct xe_lane *lane;
	struct xe_xsk xsk[RIG_PORTS_MAX];
	struct rig_ring ring[RIG_PORTS_MAX][4]; /* fill, rx, tx, completion */
	uint32_t port_cnt;
	uint64_t *owned;
	struct xe_claims *claims;
	struct xe_taken taken;
	struct xe_live_bucket *live;
	struct xe_ruleset *rules;
	struct xe_nat_range *ranges;
	uint64_t answered; /* next-hop requests */
};

/* A packet to feed: a whole Ethernet frame of len bytes, of which the first head_len are written
 * (the payload behind them is whatever the frame holds). */
struct rig_packet {
	uint8_t head[80];
	uint32_t head_len, len;
	uint64_t hash;
};

/* rule_cnt rules, the last of which translates everything of an IP version. l4_ports: that many of
 * one Ext address, 0: all of all. NULL: out of memory, said on stderr. */
struct rig *rig_open(uint32_t sessions, uint32_t rule_cnt, uint32_t idle_ports, uint32_t l4_ports,
		     bool v6);
void rig_close(struct rig *r);

/* Packets that the port's fill ring has frames for. */
uint32_t rig_room(const struct rig *r, uint16_t port);
/* Put a packet on the port's rx ring; cold: its bytes leave all caches, as if another machine had
 * written them to memory. */
void rig_feed(struct rig *r, uint16_t port, const struct rig_packet *pkt, bool cold);
/* Packets that wait on rx rings. */
uint32_t rig_waiting(const struct rig *r);
/* What is on tx rings goes to the completion rings. */
void rig_drain(struct rig *r);
/* The control thread: answers every next-hop request with the uplink. */
void rig_answer(struct rig *r);
/* Conservation: 0, or says what does not add up and returns 1. */
int rig_check(const struct rig *r);

#endif
