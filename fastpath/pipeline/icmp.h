/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * icmp.h - ICMP errors about flows of ours, both ways (RFC 5508 section 4, RFC 4443).
 *
 * Such an error is looked up by the tuple that a packet of the flow would have which goes the same
 * way as the error: the quoted packet's, read backwards. steer and parse make it so, and what has
 * proto IPPROTO_ICMP behind parse is an error with that key (both families; key.proto is the
 * flow's). It never reaches the stages behind flow: xe_icmp() does all that is left to do.
 */
#ifndef XE_ICMP_H
#define XE_ICMP_H

#include <stdbool.h>
#include <stdint.h>

struct xe_lane;
struct xe_packet;

#define XE_ICMP_HDR 8

/* The parts of an error, in the first frame. */
struct xe_icmp_error {
	uint8_t *ip, *icmp, *quoted, *l4; /* l4: of the quoted packet */
	uint32_t l4_len;                  /* bytes of it that are quoted, 8 at least */
	uint32_t l4_sent_len;             /* that it was sent with, as the quoted header says */
	bool v6;
};

/* icmp_parse.c: is it an ICMP error that quotes a TCP or UDP packet, whole up to where it is
 * rewritten, and is sent to the sender of that? Then the packet's offsets and key are set, and its
 * IP length is returned; 0: it is not. An IPv6 key has no numbers for its addresses yet. */
uint32_t xe_icmp_parse(struct xe_packet *p);
/* The parts of what has been parsed. */
void xe_icmp_parts(const struct xe_packet *p, struct xe_icmp_error *e);

/* Translate it and send it to whom the quoted packet came from, or drop it: the packet has ended.
 * The session stays as it is, its timer too: an error ends nothing (RFC 5382 REQ-9, RFC 4787
 * REQ-12). */
void xe_icmp(struct xe_lane *lane, struct xe_packet *p);
/* The same for one from the far end of a hairpin flow (hairpin.c), as it is between the two
 * sessions, translated by that end's or made here: it comes in by the uplink that neither left by.
 * In front of its frame there is metadata, which is read where another worker has the session. */
void xe_icmp_again(struct xe_lane *lane, struct xe_packet *p, uint16_t uplink);

#endif
