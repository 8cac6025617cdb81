/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * nat.h - what translation does to checksum fields: those of a packet (nat.c), and of the packet
 * that an ICMP error quotes (icmp.c). Any direction, both families.
 */
#ifndef XE_NAT_H
#define XE_NAT_H

#include <netinet/in.h>

#include "base/insum.h"
#include "pipeline/burst.h"

/* A session's change of a sum, for this direction: stored for the way out, the way back undoes it.
 */
static inline uint16_t xe_nat_delta(enum xe_dir dir, uint16_t out)
{
	return dir == XE_DIR_OUT ? out : xe_csum_delta_neg(out);
}

/* The L4 checksum field of a packet that goes this way; partial: it holds the pseudo-header's sum
 * only. Inlined: a call is a fifth of the nat stage. */
static inline __attribute__((always_inline)) void xe_nat_l4_csum(const struct xe_session *s,
								 enum xe_dir dir, uint8_t proto,
								 bool partial, uint8_t *field)
{
	uint16_t old = xe_get16(field);

	if (partial)
		xe_put16(field, xe_csum_apply_partial(old, xe_nat_delta(dir, s->ip_delta)));
	else if (proto == IPPROTO_UDP)
		xe_put16(field, xe_csum_apply_udp(old, xe_nat_delta(dir, s->l4_delta)));
	else
		xe_put16(field, xe_csum_apply(old, xe_nat_delta(dir, s->l4_delta)));
}

#endif
