/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * sysctl.h - does the host let the safety net work? Looks at the kernel's settings and at other
 * people's packet filters; changes nothing.
 *
 * Control thread only; in the network namespace of the calling thread.
 */
#ifndef XE_SYSCTL_H
#define XE_SYSCTL_H

#include <stdbool.h>

#include "control/fallback.h"

struct xe_sysctl_conf {
	const struct xe_fallback_port *ports; /* attached ones, both roles */
	uint32_t port_cnt;
	bool v6;           /* is IPv6 forwarding expected of this host? */
	bool v6_rules;     /* do rules speak of IPv6: without forwarding they cannot work */
	const char *table; /* our own nftables table */
};

/* What a finding is about. */
enum xe_sysctl_subject {
	XE_SYSCTL_FORWARDING,
	XE_SYSCTL_RP_FILTER,
	XE_SYSCTL_FORWARD_CHAINS,
	XE_SYSCTL_SUBJECT_CNT
};

/* One finding: one line, which says what is set, what it does to us, and what to set instead.
 * `fails`: what is configured cannot work (steer takes nothing where the kernel would not forward);
 * else only what the kernel carries suffers. */
typedef void (*xe_sysctl_report_fn)(void *ctx, enum xe_sysctl_subject subject, bool fails,
				    const char *line);

/* Reports
 *   - forwarding off: for the host, or for ports, in either family;
 *   - IPv6 router advertisements that forwarding makes an uplink ignore, and no default route;
 *   - rp_filter strict where it drops what we let pass;
 *   - base chains of others on the forward hook whose policy is drop (nftables, and iptables of
 *     both kinds).
 * Returns the number of lines, or -errno when something could not be read (-EACCES, -ENOMEM, -EIO:
 * nftables); what could be read was reported then. */
int xe_sysctl_check(const struct xe_sysctl_conf *conf, xe_sysctl_report_fn report, void *ctx);

/* net.ipv6.conf.NAME.accept_ra, of whose change the kernel tells nobody; -1: there is none. */
int xe_sysctl_accept_ra(const char *name);

/* xtables.c: the policy of the FORWARD chain of iptables-legacy, of which nftables knows nothing.
 * 1: drop; 0: accept, or no such table in use; -errno. Never creates the table. */
int xe_xtables_forward_drops(int family);

#endif
