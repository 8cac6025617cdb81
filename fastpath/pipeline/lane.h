/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * lane.h - everything the packets of one worker need: sockets, frames, tables, counters.
 *
 * A lane belongs to its worker thread. The control thread touches it only before the worker runs,
 * or inside a worker call (worker.h), when the worker stands still; counters it may read at any
 * time (single writer, aligned 64-bit words).
 */
#ifndef XE_LANE_H
#define XE_LANE_H

#include "io/gso_tx.h"
#include "io/umem.h"
#include "io/xsk.h"
#include "pipeline/answer.h"
#include "pipeline/ip_id.h"
#include "pipeline/burst.h"
#include "pipeline/peer.h"
#include "state/frag_table.h"
#include "state/live.h"
#include "state/natpool.h"
#include "state/nexthop.h"
#include "state/ruleset.h"
#include "state/session.h"
#include "state/source.h"
#include "state/terms.h"
#include "state/wheel.h"

/* Sockets of one worker: a queue of each of its ports. */
#define XE_LANE_SOCKETS 2048

struct xe_prefix4 {
	__be32 net_be, mask_be;
};

struct xe_prefix6 {
	struct xe_addr net, mask;
};

/* Superpackets that a device takes whole: what each segment needs must be there, too, but then the
 * kernel clears these by itself (no segmentation without checksums). */
#define XE_TX_TCP4    0x1
#define XE_TX_TCP_ECN 0x2 /* with CWR */
#define XE_TX_UDP     0x4 /* of both families */
#define XE_TX_TCP6    0x8

/* A port as this worker sees it. */
struct xe_lane_port {
	bool live;
	uint8_t role;       /* enum xe_port_role */
	uint8_t worker;     /* owner of the port (of its first queue) */
	uint8_t l2_addr[6]; /* source of what leaves here */
	int ifindex;
	uint32_t mtu;
	struct xe_xsk *tx;        /* the socket this worker sends by, NULL: by AF_PACKET only */
	struct xe_rss *rss;       /* uplink: where its replies come in, NULL: not known */
	struct xe_prefix4 *allow; /* inside: IPv4 sources */
	uint32_t allow_cnt;
	struct xe_prefix6 *allow6; /* inside: IPv6 sources */
	uint32_t allow6_cnt;
	uint8_t tx_whole;    /* XE_TX_*: superpackets the device takes whole */
	uint32_t gso_max;    /* bytes of the longest of them */
	uint32_t gso_queued; /* superpackets of this port not sent yet: order! */
	uint32_t
		qdisc_until_s; /* the device refused a superpacket whole: by the qdisc until then */
	uint32_t held;         /* packets from here that wait for a next hop */
	bool coalesce;         /* TCP segments from here may be joined (merge.c) */
	__be32 own4_be;        /* the host's address there, 0: none (answer.c) */
	struct xe_addr own6;   /* the same, all 0: none */
};

struct xe_lane_counters {
	uint64_t rx_packets, rx_bytes;
	uint64_t tx_packets, tx_bytes;
	uint64_t handed_in, handed_out;
	uint64_t made, merged;
	uint64_t to_kernel;
	uint64_t superpackets; /* of tx_packets */
	uint64_t sessions_made;
	/* New ones here: another process may be told them by their place (takeover_wire.h). */
	XE_OF_LATER(of_later, 1)
	uint64_t reason[XE_R_WORKER_CNT]; /* drops and punts */
};

struct xe_timeouts {
	uint32_t tcp_established_s, tcp_transitory_s, udp_s, dns_s;
};

/* Packets that wait for a next hop. The kernel holds 277 small ones by default for one neighbour
 * (unres_qlen_bytes); 256 are what a sender of 4,000 packets/s makes while a control thread that
 * waits for a busy CPU takes 64 ms to answer. A port has at most half as many as are free
 * (xe_hold_is_full()), so that containers that talk to dead addresses never take all places: one
 * alone has 341, eight 102 each, and there are some left. 1024 in all bound the frames tied up; a
 * datagram in fragments counts as many. */
#define XE_HOLD_SIZE    1024
#define XE_HOLD_PER_HOP 256
/* The kernel gives a neighbour 3 probes of 1 s (mcast_solicit, retrans_time). */
#define XE_HOLD_MAX_S 4

struct xe_hold {
	uint32_t cnt;
	uint32_t frames; /* in them */
	uint32_t epoch;  /* of the next-hop table when last looked at */
	bool draining;   /* xe_hold_poll() is at it: what it brings back goes on */
	struct xe_held {
		struct xe_packet packet;
		uint32_t nexthop;
		uint32_t since_s;
		bool route_only; /* whether the neighbour is there does not matter */
	} held[XE_HOLD_SIZE];
};

/* Fragments that wait for the rest of their datagram, and those of whole ones on their way
 * (reassemble.c). */
struct xe_frags {
	struct xe_frag_table table;
	struct xe_packet *held; /* by slot; NULL: fragments are not taken */
};

struct xe_lane {
	struct xe_umem umem;
	/* The first active_cnt are polled every round, the others in turn (pipeline.c). */
	struct xe_xsk *xsks[XE_LANE_SOCKETS];
	uint32_t xsk_cnt, active_cnt;
	uint32_t next_idle;                    /* of the others: where the turn is */
	struct xe_xsk *kicks[XE_LANE_SOCKETS]; /* whose tx ring the kernel has to be told of */
	uint32_t kick_cnt;
	struct xe_xsk *sent[XE_LANE_SOCKETS]; /* whose completion ring has to be looked at */
	uint32_t sent_cnt;
	uint32_t fill_max;                 /* frames a busy socket may hold for receiving */
	uint32_t leaving_fill, leaving_tx; /* frames of sockets that have left xsks and are closed
					      by the control thread, until they are reclaimed */
	struct xe_lane_port *ports;        /* by port id, XE_MAX_PORTS */
	struct xe_sessions sessions;
	struct xe_wheel wheel;
	struct xe_live live;
	struct xe_handoff *handoff;      /* the rings between workers, NULL: the only one */
	uint16_t worker, worker_cnt;     /* 0 of 1: the only one */
	struct xe_live_bucket *live_all; /* worker's region at worker * (live.mask + 1) */
	const uint32_t *any_accept;      /* steer_conf's */
	uint32_t hairpins;               /* packets of this burst for hairpin.c */
	struct xe_natpool pool;
	struct xe_nexthops nexthops;
	struct xe_sources sources;
	struct xe_near near;
	struct xe_near_routes near_routes;
	uint32_t unanswered; /* sessions from outside that the inside host has sent nothing in */
	struct xe_terms_local terms;
	const struct xe_ruleset *rules; /* this round's, NULL: none */
	struct xe_timeouts timeouts;
	uint32_t sessions_per_source;
	/* This lane's clock, refreshed every round, of which all ages here are: CLOCK_MONOTONIC
	 * less stood_ns, seconds. */
	uint32_t now_s;
	uint64_t now_us;        /* CLOCK_MONOTONIC: for what the workers share */
	uint64_t ticked_ns;     /* the same, at the beginning of this round */
	uint64_t stood_ns;      /* for so long it has been stalled in all (stall.h) */
	uint64_t quiet_ns;      /* before ticked_ns: its beats had been missing so long already */
	const uint64_t *beats;  /* of all workers */
	uint32_t stalled;       /* others that are, one bit each */
	uint32_t stall_cnt;     /* its own; read by the control thread, as is */
	uint64_t stall_last_ns; /* how long the last one was */
	struct xe_gso_tx gso;
	int punt_fd;        /* tun device with virtio-net headers, -1: none */
	int punt_uplink_fd; /* the same for what came in by an uplink */
	struct xe_hold hold;
	struct xe_frags frags;
	struct xe_ip_ids ip_ids;
	struct xe_burst burst;
	struct xe_answers answers;             /* what limits them */
	struct xe_packet pieces[XE_GSO_BATCH]; /* made by tx, waiting in gso: one a message */
	struct xe_lane_counters cnt;
};

static inline void xe_count(uint64_t *counter, uint64_t n)
{
	/* Single writer; atomic so that the control thread reads whole words. */
	__atomic_store_n(counter, *counter + n, __ATOMIC_RELAXED);
}

static inline uint32_t xe_packet_frame(const struct xe_packet *p, uint32_t i)
{
	return xe_frame_of(p->frames[i].addr);
}

/* reassemble.c: give back the slots of the fragments behind the first. */
void xe_joined_release(struct xe_lane *lane, struct xe_packet *p);

/* The frames of a packet that has left by another way than a tx ring are free again, and those of
 * the packets that were joined to it. */
static inline void xe_packet_release(struct xe_lane *lane, struct xe_packet *p)
{
	p->ended = true;
	if (__builtin_expect(p->frag_cnt, 0))
		xe_joined_release(lane, p);
	while (p) {
		struct xe_packet *next = p->next;

		for (uint32_t i = 0; i < p->frame_cnt; i++)
			xe_umem_put(&lane->umem, xe_packet_frame(p, i));
		p->frame_cnt = 0;
		p->next = NULL;
		p = next;
	}
}

/* Drop: the reason is counted and the frames are freed, in one call. */
static inline void xe_packet_drop(struct xe_lane *lane, struct xe_packet *p,
				  enum xe_worker_reason reason)
{
	xe_count(&lane->cnt.reason[reason], 1);
	xe_packet_release(lane, p);
}

static inline void xe_count_tx(struct xe_lane *lane, const struct xe_packet *p)
{
	xe_count(&lane->cnt.tx_packets, 1);
	xe_count(&lane->cnt.tx_bytes, p->len);
}

#endif
