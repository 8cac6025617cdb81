/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * sockdiag.h - which L4 ports the host's own sockets hold, so that none is given to a translated
 * flow; and the L4 ports the administrator keeps from everybody.
 *
 * Control thread only, about the network namespace that was current at xe_sockdiag_open() (the
 * sysctls: about the calling thread's). Every call asks the kernel; nothing is remembered.
 *
 * A socket bound to any address counts, 127.0.0.1 too: one L4 port is either the host's or ours.
 *
 * Bitmaps have one bit an L4 port: port p is bit p % 64 of word p / 64.
 */
#ifndef XE_SOCKDIAG_H
#define XE_SOCKDIAG_H

#include <stdbool.h>
#include <stdint.h>

#include "xegress/types.h"

#define XE_L4_PORT_WORDS (65536 / 64)

struct xe_sockdiag;

/* 0 or -errno; -ENOENT when the kernel has no inet_diag (CONFIG_INET_DIAG, CONFIG_INET_UDP_DIAG).
 */
int xe_sockdiag_open(struct xe_sockdiag **sd);
/* NULL is fine. */
void xe_sockdiag_close(struct xe_sockdiag *sd);

/*
 * L4 ports of TCP listeners and of all UDP sockets, both families; the bitmaps are overwritten. For
 * polling: the kernel announces the end of sockets, never their beginning. Costs about 0.12 ms for
 * the walk of the kernel's tables and 1 us a socket (Linux 6.18). Not seen: TCP sockets that are
 * bound but do not listen, and connections (xe_sockdiag_connected()). 0 or -errno, then the bitmaps
 * hold what was found so far.
 */
int xe_sockdiag_listeners(struct xe_sockdiag *sd, uint64_t tcp[XE_L4_PORT_WORDS],
			  uint64_t udp[XE_L4_PORT_WORDS]);

/*
 * L4 ports in min..max of TCP connections, both families; the bitmap is overwritten. Not those in
 * TIME_WAIT. The kernel filters, so the cost is the walk of its connection table: 0.1 ms, over 1 ms
 * where that has 262144 buckets. 0 or -errno.
 */
int xe_sockdiag_connected(struct xe_sockdiag *sd, uint16_t min, uint16_t max,
			  uint64_t tcp[XE_L4_PORT_WORDS]);

/* net.ipv4.ip_local_reserved_ports, valid for IPv6 too. 0 or -errno. */
int xe_sockdiag_reserved(uint64_t bitmap[XE_L4_PORT_WORDS]);
/* net.ipv4.ip_local_port_range, both ends included. 0 or -errno. */
int xe_sockdiag_local_range(uint16_t *min, uint16_t *max);

static inline void xe_l4_port_set(uint64_t *bitmap, uint16_t l4_port)
{
	bitmap[l4_port / 64] |= 1ull << l4_port % 64;
}

static inline bool xe_l4_port_isset(const uint64_t *bitmap, uint16_t l4_port)
{
	return bitmap[l4_port / 64] >> l4_port % 64 & 1;
}

#endif
