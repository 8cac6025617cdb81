/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * pipeline.h - the stages, in the order a packet meets them. All run on the worker that owns the
 * lane; none allocates, locks, logs or waits.
 *
 *   xe_rx        take a burst from one socket, group frames into packets
 *   xe_parse     headers, lengths, the tuple; never trusts what steer has checked; fragments wait
 *                until their datagram is whole, and are one packet from then on (reassemble.h)
 *                (from here: xe_handover, what another worker's session owns goes there)
 *   xe_flow      tuple -> session (IPv6: flow6.c), next hop, TCP state; a first packet goes to
 *                flow_new, from outside to flow_in
 *   xe_nat       rewrite addresses and L4 ports, update checksum fields
 *                (from here: xe_hairpin, what is for another container comes in again)
 *   xe_merge     join TCP segments of one flow into a superpacket
 *   xe_csum      complete checksums that the sender left partial
 *   xe_fwd       TTL, Ethernet header, egress port
 *   xe_tx        to the egress port's tx ring, or as a superpacket by AF_PACKET; what is too big
 *                for its way is cut first (segment.c, fragment.c)
 */
#ifndef XE_PIPELINE_H
#define XE_PIPELINE_H

#include "pipeline/lane.h"

/* Take up to a burst from a socket into lane->burst; returns the packets in it. */
uint32_t xe_rx(struct xe_lane *lane, struct xe_xsk *xsk);
/* The same from what worker `from` has handed over. */
uint32_t xe_rx_handed(struct xe_lane *lane, uint32_t from);
/* One packet that a worker of another process held (frames in hand, metadata by xe_hand_meta())
 * into lane->burst. It has been counted there. */
void xe_rx_held(struct xe_lane *lane, const struct xdp_desc *frames, uint32_t frame_cnt);
void xe_parse(struct xe_lane *lane, struct xe_burst *burst);
/* parse6.c: the IPv6 part of it, up to the L4 header: proto, l4_off, l4_len. False: malformed. */
bool xe_parse6(struct xe_packet *p);
/* IPv4 addresses in IPv6 packets (::ffff:0:0/96) go nowhere, and in our tables would be IPv4's. */
bool xe_ip6_is_mapped(const uint8_t *addr);
/* The rest of it for fragments that have become one packet: proto, l4_off and l4_len are known. */
bool xe_parse_joined(struct xe_lane *lane, struct xe_packet *p);
/* Cut padding behind the IP packet off the frames: p->len becomes len, which is not more. */
void xe_packet_trim(struct xe_lane *lane, struct xe_packet *p, uint32_t len);
void xe_flow(struct xe_lane *lane, struct xe_burst *burst);
void xe_nat(struct xe_lane *lane, struct xe_burst *burst);
void xe_merge(struct xe_lane *lane, struct xe_burst *burst);
void xe_csum(struct xe_lane *lane, struct xe_burst *burst);
/* One packet whose field holds the pseudo-header sum. */
void xe_csum_complete(struct xe_lane *lane, struct xe_packet *p);
void xe_fwd(struct xe_lane *lane, struct xe_burst *burst);
/* One packet, whose session, direction and egress port are known. */
void xe_fwd_packet(const struct xe_lane_port *port, struct xe_packet *p);
void xe_tx(struct xe_lane *lane, struct xe_burst *burst);
/* Kick what xe_tx has queued: superpackets and the tx rings of all ports. */
void xe_tx_flush(struct xe_lane *lane);
/* One packet made on the way (a segment, a fragment, an answer), behind all that xe_tx() was given
 * before. Copied; its frames are tx's then. */
void xe_tx_piece(struct xe_lane *lane, const struct xe_packet *piece);
/* Send what waits for this port and take back its frames. */
void xe_tx_drain(struct xe_lane *lane, struct xe_lane_port *port);

/* csum.c: the sum over a packet's L4 header and payload, the checksum field included. */
uint64_t xe_csum_sum_l4(struct xe_lane *lane, const struct xe_packet *p);

/* A received burst through all stages. */
void xe_pipeline_run(struct xe_lane *lane, struct xe_burst *burst);
/* A round: what was handed over, sockets that have had packets lately, some of the others; refill,
 * receive, run. Returns packets received. */
uint32_t xe_pipeline_poll(struct xe_lane *lane);
/* A burst from each of the other workers; packets. Their frames that came home are free again. */
uint32_t xe_pipeline_poll_handed(struct xe_lane *lane);
/* All that other workers have handed over up to now, and not what they add meanwhile. */
void xe_pipeline_drain_handed(struct xe_lane *lane);
/* Send what waits; their completions are housekeeping's then. Every round ends with it. */
void xe_pipeline_flush(struct xe_lane *lane);
/* Frames that have been sent are free again. Looked at are the sockets that have sent something:
 * with hundreds of idle ports the others cost a miss each. */
void xe_pipeline_complete(struct xe_lane *lane);
/* The lane's i-th socket has packets: it is polled every round from now on. */
void xe_pipeline_activate(struct xe_lane *lane, uint32_t i);

/* flow_new.c: the first packet of a flow. On success p->session is set; else the packet has ended
 * (held, punted or dropped). */
void xe_flow_new(struct xe_lane *lane, struct xe_packet *p);
/* The session's next hop leaves by another port than before: true when its rule and address fit
 * there, too; else the flow must start anew. */
bool xe_flow_reroute(struct xe_lane *lane, struct xe_packet *p);
/* The opener of a closed session sends a SYN, and its next hop is ready. True: the session is the
 * new flow's (tcp_track.h makes it so). False: the packet has ended, or the flow is to be made anew
 * after the session's end. */
bool xe_flow_reopen(struct xe_lane *lane, struct xe_packet *p);
/* End a session: next hop, L4 port, tags, source count, timer. */
void xe_flow_end(struct xe_lane *lane, struct xe_session *s);
/* Seconds of idleness a session has left (0: it is over); for the wheel. */
uint32_t xe_flow_left(const struct xe_lane *lane, const struct xe_session *s, uint32_t now_s);
/* Set its timer anew: the time it has left may have become shorter. */
void xe_flow_retime(struct xe_lane *lane, struct xe_session *s);

/* One packet through xe_flow() and xe_nat(), for hairpin.c. */
void xe_flow_packet(struct xe_lane *lane, struct xe_packet *p);
void xe_nat_packet(struct xe_lane *lane, struct xe_packet *p);

/* For whoever makes sessions (flow_new.c has them): a session with these keys, its timer, deltas
 * and live tags; NULL: table or tag set full. The rest (next hop, source, ports, what it holds) is
 * the caller's. rule: an index, or XE_RULE_GONE with the verb. */
struct xe_flow_origin {
	uint32_t ext, rule;
	uint8_t verb; /* enum xe_verb */
	uint8_t flags;
	bool hairpin;
};
struct xe_session *xe_flow_make(struct xe_lane *lane, const struct xe_tuple4 *out,
				const struct xe_tuple4 *back, const struct xe_flow_origin *o);
/* The same by who has the xe_session_hash() of both tuples at hand. */
struct xe_session *xe_flow_put(struct xe_lane *lane, const struct xe_tuple4 *out,
			       const struct xe_tuple4 *back, const uint64_t hash[2],
			       const struct xe_flow_origin *o);
/* The first packet is dropped and its sender told: for want of resources. */
void xe_flow_refuse(struct xe_lane *lane, struct xe_packet *p, enum xe_worker_reason reason);

/* Anybody can send a first packet, from any address, and need not wait for an answer. Sessions that
 * the inside host has sent nothing in are at most this share of the table: the rest is for what
 * containers open and answer. Half, since there are services that never answer (logs, flow
 * records), of which each sender is one. */
#define XE_UNANSWERED_SHARE 2
/* flow_in.c: the first packet of a flow from outside; as xe_flow_new(). */
void xe_flow_in(struct xe_lane *lane, struct xe_packet *p);
/* A packet toward the inside host of such a session that no mapping of ours holds: its Ethernet
 * address may be another by now. */
void xe_flow_in_follow(struct xe_lane *lane, struct xe_session *s);

/* hairpin.c: is this first packet from an inside port for one of ours, by an external address? */
bool xe_hairpin_wanted(const struct xe_lane *lane, const struct xe_packet *p);
/* What xe_flow() has sent to XE_PORT_AGAIN comes in by its uplink. */
void xe_hairpin(struct xe_lane *lane, struct xe_burst *burst);
/* One packet that was made here (answer.c), whole and outside of any burst, likewise, and on to its
 * end. in_port, proto, l4_off and l4_len are known. */
void xe_hairpin_packet(struct xe_lane *lane, struct xe_packet *p);

/* flow6.c: numbers for the addresses of an IPv6 packet's key. Of a packet of a known flow those
 * that its session has; else those that are known, XE_NIL for what is not (no session has it then).
 */
void xe_flow6_key(struct xe_lane *lane, struct xe_packet *p);
/* The same, given out to what is not known, and held until xe_flow6_let_go(). False: too many. What
 * may make a session of a packet stands between the two. */
bool xe_flow6_hold(struct xe_lane *lane, struct xe_packet *p);
void xe_flow6_let_go(struct xe_lane *lane, const struct xe_packet *p);
/* xe_flow_new() between them. */
void xe_flow6_new(struct xe_lane *lane, struct xe_packet *p);
/* May this source send from here? */
bool xe_flow6_allowed(const struct xe_lane_port *port, const struct xe_packet *p);

/* reclaim.c: is there room for a new session? Where there is none, the one that has been closed
 * longest ends. */
bool xe_reclaim_room(struct xe_lane *lane);
/* Between bursts: closed ones that it has beyond its part of the limit, for workers that may want
 * theirs, at most `budget` of them. True: there may be more. */
bool xe_reclaim_for_others(struct xe_lane *lane, uint32_t budget);
/* End a closed session so that p, which the pool has just refused, can be translated; the pool
 * looks first at that L4 port until pool.reclaimed is 0 again. */
bool xe_reclaim_l4_port(struct xe_lane *lane, const struct xe_packet *p);

/* hold.c: packets that wait for a next hop. Has this port as many of them as it may? */
bool xe_hold_is_full(const struct xe_lane *lane, uint16_t port);
void xe_hold_add(struct xe_lane *lane, struct xe_packet *p, uint32_t nexthop);
/* The same for who needs to know only where the route leads: it will not be sent there. */
void xe_hold_route(struct xe_lane *lane, struct xe_packet *p, uint32_t nexthop);
/* Do packets still wait for this next hop, though it may be ready by now? One that passed them
 * would change the order of its flow. */
bool xe_hold_before(const struct xe_lane *lane, uint32_t nexthop);
/* Bring back into the pipeline what can go on, end what has waited too long. */
void xe_hold_poll(struct xe_lane *lane);
/* Drop held packets of a port (XE_PORT_NONE: all). */
void xe_hold_flush(struct xe_lane *lane, uint16_t port, enum xe_worker_reason reason);

/* handover.c: no session here has the packet. True: it has gone to the worker that may have one (or
 * was lost on the way there); false: it is this worker's matter. */
bool xe_handover(struct xe_lane *lane, struct xe_packet *p);
/* It goes to this worker. how: 0, XE_META_FINAL (it stays there) or XE_META_BY_BLOCK. */
void xe_hand_to(struct xe_lane *lane, struct xe_packet *p, uint32_t worker, uint32_t how);

/* The packet's metadata in front of its first frame say what is known of it by now. */
void xe_hand_meta(struct xe_packet *p, uint32_t how);

/* punt.c: give an untranslated packet to the kernel's path. */
void xe_punt(struct xe_lane *lane, struct xe_packet *p, enum xe_worker_reason reason);

/* Timers and completions, between bursts. True: more timers are due than were looked at, and may be
 * looked at now. */
bool xe_pipeline_housekeeping(struct xe_lane *lane);

#endif
