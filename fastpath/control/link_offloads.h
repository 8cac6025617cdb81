/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* link_offloads.h - which superpackets an interface takes whole, as ethtool tells. */
#ifndef XE_LINK_OFFLOADS_H
#define XE_LINK_OFFLOADS_H

#include <stdint.h>

/* XE_TX_* of pipeline/lane.h for this interface of our network namespace; 0 also where it cannot be
 * asked, which only means the slower way. Control thread; the first call reads the kernel's table
 * of names. */
uint8_t xe_link_offloads(const char *name);

#endif
