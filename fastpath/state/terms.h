/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * terms.h - what a rule asks of the packets of its flows: limits, and an MSS.
 *
 * Terms outlive their rule: a flow keeps those it was opened under, and rules that are in a changed
 * set again keep theirs with all that has been used of them. One table for all workers, written by
 * the control thread, but for the buckets:
 *
 *   shared  terms.sold_us[kind][dir]     one word a bucket, by compare-and-swap: up to which moment
 *             |                          a rate has been given out
 *             v  some ms of it at once
 *   worker  local credit[kind][dir]      what this worker may still send of that
 *
 * So a limit is that of all workers together, wherever the flows are, and the shared word is
 * written some hundred times a second and worker, not for every packet. A source inside is at one
 * worker only (its port is), so its buckets are that worker's alone, in a table by terms and
 * source. One from outside may be at all: the word of its buckets is one that they share
 * (state/outside.h), and its credit, too, is taken from that some ms at a time.
 *
 * A bucket holds DEPTH of its rate. A packet may pass when there is any credit, and may take it
 * below zero: so superpackets pass whole, however small the rate, and the next waits the longer.
 * Credit is in units times microseconds, all integer.
 */
#ifndef XE_TERMS_H
#define XE_TERMS_H

#include <stdatomic.h>

#include "state/outside.h"
#include "state/region.h"
#include "state/rule.h"

/* Rules with limits or an MSS, those that live flows remember included. The workers' part is some
 * 60 bytes each. */
#define XE_MAX_TERMS 4096

/* Two buckets of packets and bits: each direction for itself. Of flows only [0]. */
typedef int64_t xe_credit[XE_LIMIT_KIND_CNT][2];

struct xe_terms {
	uint64_t rate[XE_LIMIT_CNT]; /* packets, bits, flows a second; 0: no limit */
	uint16_t mss;                /* as in struct xe_rule */
	bool limits;                 /* any rate */
	bool per_source;             /* any rate of a source */
	bool used;                   /* control thread's: by the rules in force or by flows */
	bool fresh;                  /* control thread's: given out in this change */
	xe_sold sold_us;
};

/* Buckets of one source under one rule; there as long as a flow of both is. */
struct xe_terms_source {
	uint64_t key;
	uint32_t terms;
	uint32_t hash;
	uint32_t refs;
	uint32_t next_free;
	uint16_t in_port;
	uint8_t family;
	uint32_t place; /* in `outside`, XE_NIL: sold_us is its worker's alone */
	xe_credit credit;
	xe_sold sold_us; /* of this type for the code's sake */
};

/* What a session is under. */
struct xe_terms_ref {
	uint32_t terms;
	uint32_t source; /* XE_NIL: no rate of a source */
};

/* A worker's part. */
struct xe_terms_local {
	struct xe_terms *table; /* shared, XE_MAX_TERMS */
	xe_credit *credit;      /* by terms */
	uint32_t *refs;         /* by terms: flows of this worker; read by the control thread */
	struct xe_terms_ref *of_session; /* by session number, for those with XE_SF_TERMS */
	struct xe_terms_source *sources;
	struct xe_slots room; /* of sources */
	uint32_t capacity;
	struct xe_index index;
	uint64_t k0, k1;
	struct xe_outside *outside; /* of all workers; NULL: there is one */
};

/* Control thread. */
struct xe_terms *xe_terms_table_new(void);
void xe_terms_table_free(struct xe_terms *table);
/* Does the rule ask for anything? */
bool xe_rule_has_terms(const struct xe_rule *rule);
void xe_terms_set(struct xe_terms *terms, const struct xe_rule *rule);

/* Memory for `capacity` sessions, touched only as they come. -ENOMEM. */
int xe_terms_open(struct xe_terms_local *t, struct xe_terms *table, uint32_t capacity, uint64_t k0,
		  uint64_t k1);
void xe_terms_close(struct xe_terms_local *t);

/* A flow of this source under these terms begins, or ends. False: no memory for the source. */
bool xe_terms_take(struct xe_terms_local *t, uint32_t terms, uint8_t family, uint64_t source,
		   uint16_t in_port, struct xe_terms_ref *ref);
void xe_terms_give(struct xe_terms_local *t, const struct xe_terms_ref *ref);

/* May one more flow begin? XE_LIMIT_CNT: yes, and it is counted; else which limit says no. */
enum xe_limit xe_terms_flow(struct xe_terms_local *t, const struct xe_terms_ref *ref,
			    uint64_t now_us);
/* The same for a packet (a superpacket: so many packets and bits as it has segments). */
enum xe_limit xe_terms_packet(struct xe_terms_local *t, const struct xe_terms_ref *ref, int dir,
			      uint32_t packets, uint64_t bits, uint64_t now_us);

#endif
