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

#include <stdint.h>

struct xe_lane;
struct xe_packet;

/* Is it an ICMP error that quotes a TCP or UDP packet, whole up to where it is rewritten? Then the
 * packet's offsets and key are set, and its IP length is returned; 0: it is not. */
uint32_t xe_icmp_parse(const struct xe_lane *lane, struct xe_packet *p);

/* Translate it and send it to whom the quoted packet came from, or drop it: the packet has ended.
 * The session stays as it is, its timer too: an error ends nothing (RFC 5382 REQ-9, RFC 4787
 * REQ-12). */
void xe_icmp(struct xe_lane *lane, struct xe_packet *p);

#endif
