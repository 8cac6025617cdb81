/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * fallback_rules.h - the text of the safety net, made from its configuration. No system call:
 * the same configuration gives the same text.
 */
#ifndef XE_FALLBACK_RULES_H
#define XE_FALLBACK_RULES_H

#include "control/fallback.h"

/* L4 ports that workers may hand out, as bitmaps. */
struct xe_fallback_nat {
	uint64_t tcp[XE_FALLBACK_WORDS], udp[XE_FALLBACK_WORDS];
};

/* The names of the table's counters and of the sets that change without an apply. */
#define XE_FALLBACK_SET_TCP "listen_tcp"
#define XE_FALLBACK_SET_UDP "listen_udp"

static inline int xe_fallback_bit(const uint64_t *bits, unsigned int l4_port)
{
	return (int)(bits[l4_port / 64] >> (l4_port % 64) & 1);
}

/* The NAT ranges of the configuration and its rules together. */
void xe_fallback_nat_ports(const struct xe_fallback_conf *conf, struct xe_fallback_nat *nat);
/* What the kernel's masquerade may use beside them: the longest gap above the well-known L4 ports,
 * the higher one of two equal ones. -ENOSPC when there is none. */
int xe_fallback_kernel_range(const uint64_t *nat, struct xe_fallback_range *range);

/* `table inet NAME { ... }`, allocated, the caller's. Errors as xe_fallback_apply(). */
int xe_fallback_rules(const char *table, const struct xe_fallback_conf *conf, char **text,
		      char *err, size_t err_size);

#endif
