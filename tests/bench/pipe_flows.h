/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * pipe_flows.h - traffic for the rig: flows made by number, or the packets of a recording.
 *
 * Flow i is a formula, so that looking up what to send next does not bring into the cache what the
 * pipeline is to be measured fetching: 4096 inside addresses, each with up to 1024 L4 ports and 16
 * destinations (65536 next hops in all), every flow with an L4 port of its own.
 */
#ifndef XE_BENCH_PIPE_FLOWS_H
#define XE_BENCH_PIPE_FLOWS_H

#include "pipe_rig.h"

#define FLOW_HOPS 65536u /* distinct next hops of all flows */

struct flow_ext {
	__be32 addr_be; /* of IPv6 the last 32 bits */
	__be16 l4_port_be;
};

struct flows {
	uint8_t proto;
	bool v6;
	bool imix;            /* else 64 bytes, or the least that IPv6 headers make of it */
	struct flow_ext *ext; /* by flow: where replies go */
	uint32_t turn;        /* of the IMIX */
};

/* The next packet of flow i, as it arrives in this direction. tcp_flags for TCP. */
void flow_packet(struct flows *f, const struct rig *r, uint32_t i, enum xe_dir dir,
		 uint8_t tcp_flags, struct rig_packet *out);
/* The session of flow i, NULL: it has none. */
const struct xe_session *flow_session(const struct flows *f, const struct rig *r, uint32_t i);
/* Where the flow's replies go is known from now on. */
void flow_learn_ext(struct flows *f, const struct rig *r, uint32_t i, const struct xe_session *s);
/* Ask and answer the route of flow i, so that its first packet need not wait for it. Returns its
 * next hop. */
uint32_t flow_route(const struct flows *f, struct rig *r, uint32_t i);

/* A recording (libpcap's classic format) made beside a container: addresses in 10.0.0.0/8 are
 * inside. */
struct recording {
	struct rig_packet *packets;
	uint8_t *dirs; /* enum xe_dir */
	uint32_t cnt;
	uint64_t bytes;
};

/* IPv4 TCP and UDP packets of the file, others are left out. False: not to be read, said why. */
bool recording_read(struct recording *rec, const char *path);
void recording_free(struct recording *rec);
/* Send it through once, packet by packet: sessions come to be, and packets back get the Ext address
 * and L4 port that these have. False: a packet back without a session. */
bool recording_open_flows(struct recording *rec, struct rig *r);

#endif
