/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * types.h - sizes and small types shared by the steering program, the service and the tools.
 *
 * Included from BPF code too: nothing here may need libc.
 */
#ifndef XEGRESS_TYPES_H
#define XEGRESS_TYPES_H

#ifdef __bpf__
#include <linux/types.h>
#else
#include <stdint.h>
#include <linux/types.h>
#endif

/* Network interfaces in the port table. One container is one port: 1024 is more containers than a
 * host of today's size runs (kubelet's default limit is 110), and keeps the XSKMAP at 1024 x 64. */
#define XE_MAX_PORTS 1024
/* RX queues of one port. 64 covers the queue count of common NICs at one queue a core. */
#define XE_MAX_QUEUES 64
/* Worker threads: one a CPU, and no host gives more than 16 CPUs to egress. */
#define XE_MAX_WORKERS 16
/* External (translated-to) addresses of both families: 16 KiB of owned bits each, so 1024, a /22,
 * make a map of 16 MiB; what a worker has beside that is touched as they are used. */
#define XE_MAX_EXT_ADDRS 1024
/* Broadcast addresses of the host's networks: two an address on kernels before 5.14, one later. As
 * many as ports, and the same again, and room. */
#define XE_MAX_BROADCASTS 4096
/* Rules of the configuration; issue of design: 10k rules compiled, with room for reserve. */
#define XE_MAX_RULES 16384
/* Compiled classifier entries (a rule with a port range expands to up to 30 masked entries). */
#define XE_MAX_RULE_ENTRIES 65536
/* Prefixes of all deny lists (`drop from PREFIX in UPLINK`), each counted once an uplink: public
 * lists of bad networks have some ten to hundred thousand. In the kernel one takes up to 200
 * bytes, so all of them 50 MiB. */
#define XE_MAX_DENY 262144
/* Distinct mask combinations ("tuples") of one rule set; a lookup is one hash probe a tuple. */
#define XE_MAX_TUPLES 256

/* "No port" in port id fields, and the port id under which a packet that came from any uplink is
 * looked up: a reply may come back on another uplink than its flow left by. */
#define XE_PORT_NONE      0xffff
#define XE_PORT_ANYUPLINK 0xfffe

/* An IPv6 address, or an IPv4 address as ::ffff:a.b.c.d (RFC 4291 section 2.5.5.2), in network
 * order. Rules and allow lists treat both families alike this way; prefixes of IPv4 are +96. */
struct xe_addr {
	union {
		__u8 b[16];
		__be32 w_be[4];
		__u64 q[2];
	};
};

static inline struct xe_addr xe_addr_v4(__be32 addr_be)
{
	struct xe_addr a = {.w_be = {0, 0, 0, addr_be}};

	a.b[10] = a.b[11] = 0xff;
	return a;
}

static inline int xe_addr_is_v4(const struct xe_addr *a)
{
	struct xe_addr v4 = xe_addr_v4(a->w_be[3]);

	return a->q[0] == v4.q[0] && a->w_be[2] == v4.w_be[2];
}

enum xe_port_role { XE_ROLE_INSIDE = 0, XE_ROLE_UPLINK = 1 };

/* Rule verbs. What is not carried out yet is parsed and refused (fastpath/state/rule_check.c). */
enum xe_verb {
	XE_VERB_KERNEL = 0, /* leave the flow to the kernel's path */
	XE_VERB_DROP,
	XE_VERB_ACCEPT, /* forward untranslated */
	XE_VERB_SNAT,
	XE_VERB_MASQUERADE,
	XE_VERB_DNAT,
	XE_VERB_NAT,    /* one to one, L4 ports kept */
	XE_VERB_REJECT, /* drop, and tell the sender */
	XE_VERB_CNT
};

/* What one process tells another (a file of flows, a takeover) grows at its end, and whoever reads
 * it goes by the length that is told. -DXE_TEST_LATER makes a program with longer structures, as of
 * a later version, for t_takeover_versions.sh. */
#ifdef XE_TEST_LATER
#define XE_OF_LATER(name, cnt) __u64 name[cnt];
#else
#define XE_OF_LATER(name, cnt)
#endif

#endif
