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
	REF_UNSAID, /* not this reference's matter: fragments, ICMP, what exceeds the MTU */
};

struct ref_tuple {
	uint32_t src, dst; /* host order, as all here */
	uint16_t sport, dport;
	uint8_t proto;
};

struct ref_flow {
	struct ref_tuple out;  /* from inside, as it comes */
	struct ref_tuple wire; /* as it leaves */
	uint16_t in_port, out_port;
	bool by_uplink;       /* replies may come by any uplink */
	uint8_t l2_inside[6]; /* where the last packet out came from, and replies go */
};

struct ref {
	struct ref_flow flows[REF_FLOWS];
	uint32_t flow_cnt;
};

struct ref_verdict {
	enum ref_fate fate;
	uint16_t out_port;
	uint32_t len;          /* of what leaves */
	struct ref_flow *flow; /* REF_SENT */
	bool back;
	struct ref_tuple tuple;
};

/* What must become of these bytes, of which the first head_len are in the first frame. */
struct ref_verdict ref_judge(struct ref *ref, uint16_t port, const uint8_t *bytes, uint32_t len,
			     uint32_t head_len);
/* Is what came out what the verdict demands? Notes the new flow. NULL, or what is wrong. */
const char *ref_compare(struct ref *ref, const struct ref_verdict *v, uint16_t in_port,
			const uint8_t *in, uint16_t out_port, const uint8_t *out, uint32_t out_len);

#endif
