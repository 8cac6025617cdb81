/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * fallback.h - the safety net: one nftables table that decides about everything the kernel, not a
 * worker, forwards. It is there from start to clean stop, and stays after a crash.
 *
 *   hook (priority)            what it does
 *   prerouting nat (-110)      what dnat and one-to-one rules publish goes to its target
 *   postrouting nat (90, 110)  inside sources that leave by an uplink get an Ext address, and an
 *                              L4 port that no worker hands out
 *   forward (-10)              spoofed source -> drop; `drop` rules; TCP that is no SYN and belongs
 *                              to no kernel flow -> drop; uplink to inside only for known flows,
 *                              dnat and `accept` rules
 *   input (-10)                NAT range minus the host's listeners, and what is published -> drop,
 *                              never a reset
 *   postrouting (300)          inside source that was not translated -> drop
 *
 * For IPv6 the same, of what a rule translates or drops; what no rule matches is forwarded as it
 * is, in both directions.
 *
 * Control thread only; every call may take some milliseconds (netlink). The handle belongs to the
 * network namespace of the thread that opened it.
 */
#ifndef XE_FALLBACK_H
#define XE_FALLBACK_H

#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "state/rule.h"
#include "xegress/types.h"

/* Name of the table where the instance has no name of its own. */
#define XE_FALLBACK_TABLE "xegress"
/* A bitmap of L4 ports: bit `port % 64` of word `port / 64`, port in host order. */
#define XE_FALLBACK_WORDS (65536 / 64)

struct xe_fallback_port {
	char name[IFNAMSIZ];
	/* The entry of `ports:` that named it, which may be a glob: rules name ports by it. */
	char pattern[IFNAMSIZ];
	/* What the IP layer sees when the port is member of a bridge: the bridge. "" = itself. */
	char l3[IFNAMSIZ];
	enum xe_port_role role;
	const struct xe_prefix *prefixes; /* inside only: what `allow` came to, both families */
	uint32_t prefix_cnt;
};

/* L4 ports from `min` to `max`, host order, both inclusive. */
struct xe_fallback_range {
	uint16_t min, max;
};

/* Everything is borrowed for the time of a call. */
struct xe_fallback_conf {
	const struct xe_fallback_port *ports; /* attached ones, both roles */
	uint32_t port_cnt;
	/* The configured rules in order. `kernel` and no match: masqueraded after all others' NAT
	 * chains. */
	const struct xe_rule *rules;
	uint32_t rule_cnt;
	/* The default NAT ranges; those of the rules are added to them. */
	const struct xe_fallback_range *nat_tcp, *nat_udp;
	uint32_t nat_tcp_cnt, nat_udp_cnt;
	/* More of them, for both protocols: XE_FALLBACK_WORDS words, NULL = none. */
	const uint64_t *nat_ever;
	/* IPv6 flows have been translated (xe_fallback_translates6() was true): their Ext addresses
	 * are guarded also when no rule says so any more. */
	bool translated6;
	/* Where the host itself listens: XE_FALLBACK_WORDS words, NULL = nowhere. */
	const uint64_t *listen_tcp, *listen_udp;
	/* From which the kernel takes the L4 ports of the host's connections; max 0: not known. */
	struct xe_fallback_range local;
};

/* Packets dropped by the table since it was made; a re-apply keeps them. */
struct xe_fallback_counters {
	uint64_t leak_dropped;    /* inside source, untranslated, out of an uplink */
	uint64_t midflow_dropped; /* TCP of a flow that the kernel does not have */
	uint64_t guard_dropped;   /* to the NAT range, and no listener of the host there */
	uint64_t inbound_dropped; /* from an uplink straight to an inside address */
	uint64_t spoof_dropped;   /* from an inside port with a source not allowed there */
	uint64_t rule_dropped;    /* by a `drop` rule */
};

struct xe_fallback;

/* Do rules of this configuration translate IPv6 sources that may come in? */
bool xe_fallback_translates6(const struct xe_fallback_conf *conf);

/* The table's name has the run directory in it, so that two services in one network namespace do
 * not take each other's. -errno: there is no such directory. */
#define XE_FALLBACK_NAME_SIZE 32
int xe_fallback_name(const char *run_dir, char name[XE_FALLBACK_NAME_SIZE]);

/* `table` is a C identifier that nft takes for no keyword. -EINVAL, -ENOMEM. Changes nothing. */
int xe_fallback_open(const char *table, struct xe_fallback **out);
/* Leaves the table where it is. */
void xe_fallback_close(struct xe_fallback *fb);

/* Make or replace the table in one transaction: there is no moment without it, and conntrack's
 * entries (the flows) stay. -EINVAL: a name that nft cannot express; -ENOSPC: the NAT ranges leave
 * no L4 port to the kernel; -ENOMEM; -EIO: the kernel refused, err has what nft said. */
int xe_fallback_apply(struct xe_fallback *fb, const struct xe_fallback_conf *conf, char *err,
		      size_t err_size);
/* Change set elements only: those that differ from the last call. -ENOENT when nothing was applied
 * by this handle, -EIO when the table is not what it was: apply again. */
int xe_fallback_set_listeners(struct xe_fallback *fb, const uint64_t *tcp, const uint64_t *udp);
/* 0 also when there was none. */
int xe_fallback_remove(struct xe_fallback *fb);
/* Is it as applied? As far as the kernel's events tell, which costs next to nothing. */
enum xe_fallback_glance {
	XE_FALLBACK_HOLDS,   /* nobody else has changed it */
	XE_FALLBACK_CHANGED, /* somebody has, and to find out whether it is another one now takes
				long */
	XE_FALLBACK_MAY_BE,  /* xe_fallback_present() says it */
};
enum xe_fallback_glance xe_fallback_glance(struct xe_fallback *fb);
/* 1: there and as applied, listeners included; 0: gone or changed by others; -errno. Without an
 * apply by this handle: is there a table of that name? */
int xe_fallback_present(struct xe_fallback *fb);
/* -ENOENT when there is no table. */
int xe_fallback_counters(struct xe_fallback *fb, struct xe_fallback_counters *counters);

#endif
