/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * nat_range.h - the L4 ports that a translating rule gives out when it names none.
 *
 * The host's own connections take theirs from net.ipv4.ip_local_port_range, so the default keeps
 * clear of that: all of 1024-32767 where the range is as the kernel has it (32768-60999), the
 * longest run of it that the range leaves where it has been moved. Never above: the kernel's
 * masquerade needs L4 ports of its own beside all that was ever given out (fallback_sets.h).
 *
 * A host whose range leaves too little shares with the containers, as with `ports` that meet the
 * range: host_l4.h says how. Pure functions, any thread.
 */
#ifndef XE_NAT_RANGE_H
#define XE_NAT_RANGE_H

#include <stdbool.h>
#include <stdint.h>

/* Above the well-known L4 ports, below ip_local_port_range's default. */
#define XE_NAT_PORT_MIN 1024
#define XE_NAT_PORT_MAX 32767
/* L4 ports that have to be left, or all are taken: each UDP endpoint of every container needs one
 * to itself, so a few hundred (a range of 1024-65000 leaves 535) would be no service. */
#define XE_NAT_PORTS_LEAST 4096

/* local_min..local_max: ip_local_port_range, both ends included; max 0: not known. False: *min and
 * *max meet it. */
bool xe_nat_range_default(uint16_t local_min, uint16_t local_max, uint16_t *min, uint16_t *max);

static inline bool xe_nat_range_meets(unsigned int min, unsigned int max, unsigned int from,
				      unsigned int to)
{
	return from <= max && to >= min;
}

#endif
