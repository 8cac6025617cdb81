/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* rss_read.h - what a NIC says of its receive-side scaling: ETHTOOL_GRSSH and ETHTOOL_GRXFH. */
#ifndef XE_RSS_READ_H
#define XE_RSS_READ_H

#include "state/rss.h"

/* Key and indirection table of an interface with `queues` queues, queue q at worker q %
 * worker_cnt. NULL: it has none, does not tell, or hashes by another function than Toeplitz. To be
 * freed. */
struct xe_rss *xe_rss_read(const char *ifname, uint32_t queues, uint32_t worker_cnt);

#endif
