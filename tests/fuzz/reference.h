/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * reference.h - a translator that is slow and obvious, to be held against the pipeline.
 *
 * It shares no code with fastpath/: flows are a list that is searched from the front, sums are made
 * byte by byte (packet_fixture.h), rules are C conditions. It says what must become of a packet
 * before the pipeline has seen it; which Ext address and L4 port a new flow gets it takes from what
 * came out, and checks that it was free to be taken.
 *
 * The world is lane_fixture.h's, with ref_rules.
 */
#ifndef XE_TEST_REFERENCE_H
#define XE_TEST_REFERENCE_H

#include <stdbool.h>
#include <stdint.h>

#define REF_FLOWS 128

extern const char *const ref_rules[];

enum ref_fate {
	REF_DROPPED,
	REF_KERNEL, /* by the punt device, untouched */
	REF_SENT,   /* one packet, rewritten by flow */
	REF_OPENS,  /* the same, as the first of a new flow */
	REF_ERROR,  /* an ICMP error about flow, rewritten with what it quotes */
	/* Not this reference's matter: fragments, extension headers, ICMPv6, ICMP that is no plain
	 * error, what exceeds the MTU. */
	REF_UNSAID,
};

/* Host order, as all here. IPv4: hi is 0. */
struct ref_addr {
	uint64_t hi, lo;
};

struct ref_tuple {
	struct ref_addr src, dst;
	uint16_t sport, dport;
	uint8_t proto;
	bool v6;
};

struct ref_flow {
	struct ref_tuple out;  /* from inside, as it comes */
	struct ref_tuple wire; /* as it leaves */
	uint16_t in_port, out_port;
	bool by_uplink;       /* replies may come by any uplink */
	bool from_outside;    /* began there: what comes in goes where routes say */
	bool mapped;          /* by masquerade or snat: its Ext L4 port was chosen */
	uint8_t l2_inside[6]; /* where the last packet out came from, and replies go */
};

/* Which of several targets a source outside has; for good, however often its flows end. */
struct ref_share {
	struct ref_tuple peer; /* as it comes, without the protocol */
	struct ref_addr target;
};

struct ref {
	struct ref_flow flows[REF_FLOWS];
	uint32_t flow_cnt;
	struct ref_share shares[REF_FLOWS];
	uint32_t share_cnt;
};

/* What is published: a flow from outside to one of these addresses and L4 ports is for a target. */
struct ref_published {
	bool v6;
	uint8_t proto; /* 0: TCP and UDP */
	uint16_t in;   /* an uplink, 0: each */
	struct ref_addr first, last;
	uint16_t port_min, port_max;
	struct ref_addr target; /* of `first`; the next address has the next one, unless: */
	uint32_t target_cnt;    /* one of so many for all, by the source; 0: see above */
	uint16_t target_port;   /* of port_min; 0: the packet's own */
};

extern const struct ref_published ref_published[];
extern const uint32_t ref_published_cnt;

struct ref_verdict {
	enum ref_fate fate;
	uint16_t out_port;
	uint32_t len;          /* of what leaves */
	struct ref_flow *flow; /* REF_SENT, REF_ERROR */
	bool back;
	struct ref_tuple tuple;
	struct ref_tuple target; /* REF_OPENS from outside: as it goes in, to the first of */
	uint32_t target_cnt;
};

/* What must become of these bytes, of which the first head_len are in the first frame. */
struct ref_verdict ref_judge(struct ref *ref, uint16_t port, const uint8_t *bytes, uint32_t len,
			     uint32_t head_len);
/* All flows are over. */
void ref_forget(struct ref *ref);
/* Is what came out what the verdict demands? Notes the new flow. NULL, or what is wrong. */
const char *ref_compare(struct ref *ref, const struct ref_verdict *v, uint16_t in_port,
			const uint8_t *in, uint16_t out_port, const uint8_t *out, uint32_t out_len);

#endif
