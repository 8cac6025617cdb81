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
	/* Not this reference's matter: fragments, ICMP that is no plain error. */
	REF_UNSAID,
};

/* What the sender of a dropped packet is told, if it is one that is told anything. */
enum ref_answer {
	REF_ANSWER_ANY, /* nothing, or what this reference does not know */
	REF_ANSWER_TTL,
	REF_ANSWER_TOO_BIG,
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
	bool hairpin;         /* its peer is another inside end, which has a flow like it */
	bool by_mapping;      /* from outside, by another flow's Ext L4 port */
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
	uint32_t len;           /* of what leaves */
	struct ref_flow *flow;  /* REF_SENT, REF_ERROR */
	struct ref_flow *again; /* the flow that it comes in again by, to another inside end */
	bool hairpin;           /* REF_OPENS: two flows, by one it goes out, by the other in */
	bool by_mapping;        /* the second one is for whom has that Ext L4 port */
	bool back;
	bool unseen; /* the packet ends, but has begun a flow: with what mapping nobody can tell */
	bool in_fragments; /* it leaves as such: ref_join() them first */
	enum ref_answer answer;
	struct ref_addr answer_from;
	struct ref_tuple tuple;
	struct ref_tuple target; /* REF_OPENS from outside, or again: as it goes in, to the first
				    of; hairpin: but for the source */
	uint32_t target_cnt;
};

/* What must become of these bytes, of which the first head_len are in the first frame. */
struct ref_verdict ref_judge(struct ref *ref, uint16_t port, const uint8_t *bytes, uint32_t len,
			     uint32_t head_len);
/* A packet that leaves in fragments, as they come out one after the other. */
struct ref_joined {
	uint8_t *bytes; /* LF_BYTES */
	uint32_t len;
	bool whole;
};
/* The next fragment: NULL, or what is wrong with it. When the last one was there the packet is that
 * which would have left if it had fitted. */
const char *ref_join(struct ref_joined *j, const uint8_t *in, const uint8_t *out, uint32_t len);
/* Is this what the sender is to be told? NULL, or what is wrong. */
const char *ref_check_answer(const struct ref_verdict *v, const uint8_t *in, uint32_t head_len,
			     const uint8_t *out, uint32_t len);
/* All flows are over. */
void ref_forget(struct ref *ref);
/* Is what came out what the verdict demands? Notes the new flow. NULL, or what is wrong. */
const char *ref_compare(struct ref *ref, const struct ref_verdict *v, uint16_t in_port,
			const uint8_t *in, uint16_t out_port, const uint8_t *out, uint32_t out_len);

#endif
