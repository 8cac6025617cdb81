/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * ip_id.h - IP ids for datagrams that leave in fragments with another source than they had.
 *
 * Fragments belong together by source, destination, protocol and id (RFC 791). Behind one Ext
 * address several containers are one source, and each counts for itself: at their peer the
 * fragments of two datagrams with one id would be mixed. So those that leave as an Ext address's
 * get an id of ours: for an address pair and protocol none comes twice in 65536 datagrams (divided
 * by the number of workers, next power of two), which is the most that 16 bits hold (RFC 6864), and
 * which one is next cannot be told from the last (RFC 7739).
 *
 * What is no fragment when it leaves keeps its id: nobody looks at it (RFC 6864 section 4.1). IPv6
 * has ids of 32 bits, that senders choose at random.
 */
#ifndef XE_IP_ID_H
#define XE_IP_ID_H

#include <stdint.h>

struct xe_lane;
struct xe_packet;

/* Counters, shared by the pairs that hash to one: those count on faster, and stay unique. The
 * kernel has 2048 to 262144 of them; 4 KiB a worker here. */
#define XE_IP_IDS 2048

struct xe_ip_ids {
	uint16_t next[XE_IP_IDS];
};

/* p is IPv4, with the addresses that it leaves with: its header (of the first fragment, where it
 * has several) gets a new id, and a checksum to match. */
void xe_ip_id_renew(struct xe_lane *lane, struct xe_packet *p);

#endif
