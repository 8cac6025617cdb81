/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * rule.h - one rule of the configuration: its text, its meaning, its print.
 *
 *   VERB [tcp|udp] [from PREFIX | from @FILE] [to PREFIX[:PORTS]] [in PORT] [out PORT]
 *        [source POOL[,POOL...] | source PREFIX | dest TARGET[,TARGET...]] [ports A-B] [OPTION...]
 *
 * docs/rules.md has all of it. Cold code, any thread; nothing here keeps state.
 *
 *   rule.c        words and verbs           rule_value.c  what stands behind a word
 *   rule_source.c the pool of an snat      rule_dest.c   targets of a dnat
 *   rule_check.c  contradictions, and what this version does not carry out (one table)
 *   rule_print.c  back into text, and rules compared
 *   prefix.c      addresses and prefixes
 */
#ifndef XE_RULE_H
#define XE_RULE_H

#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>

#include "xegress/types.h"

/* `len` counts in the 128-bit form: 0 = any, 96..128 an IPv4 prefix, with family AF_INET;
 * family 0 when the prefix was not written. Host bits are zero. */
struct xe_prefix {
	struct xe_addr addr;
	__u8 len;
	__u8 family;
};

/* The longest rule prints shorter: 64 ranges of two IPv6 addresses are 5120 bytes (16 targets with
 * L4 ports and weights 1700, a file's path 255), all other clauses together 600. The terminator
 * included. */
#define XE_RULE_TEXT_SIZE 6144
/* Parts of one `source`: all the addresses there may be, in blocks of 16. A rule is 1.8 kB by it,
 * all that there may be 29 MB. */
#define XE_MAX_SOURCES 64
/* Targets of one `dest`: more hosts than that are written as ranges. */
#define XE_MAX_DESTS 16
/* A path that a rule names, with its terminator: the kernel's limit of one name. */
#define XE_RULE_FILE_SIZE 256

enum xe_rule_mapping { XE_MAPPING_DEFAULT, XE_MAPPING_INDEPENDENT, XE_MAPPING_DEPENDENT };
enum xe_rule_filter {
	XE_FILTER_DEFAULT, /* address-and-port-dependent */
	XE_FILTER_INDEPENDENT,
	XE_FILTER_ADDRESS,
	XE_FILTER_ADDRESS_PORT,
};
enum xe_rule_pooling { XE_POOLING_DEFAULT, XE_POOLING_PAIRED, XE_POOLING_ARBITRARY };

/* What `limit` bounds: per second, for all flows of the rule together or for each source. */
enum xe_limit {
	XE_LIMIT_PACKETS,
	XE_LIMIT_BITS,
	XE_LIMIT_FLOWS,
	XE_LIMIT_KIND_CNT,
	XE_LIMIT_SOURCE_PACKETS = XE_LIMIT_KIND_CNT, /* + kind: the same per source */
	XE_LIMIT_SOURCE_BITS,
	XE_LIMIT_SOURCE_FLOWS,
	XE_LIMIT_CNT
};

/* `mss-clamp`: a number, or by the path. */
#define XE_MSS_AUTO 0xffff

/* One target of a dnat: addresses min..max, L4 ports host order; 0, 0 = as it came. */
struct xe_rule_dest {
	struct xe_addr min, max;
	__u16 port_min, port_max;
	__u16 weight; /* 1-255 */
	__u16 reserved;
};

/* One part of an snat's pool: `cnt` addresses from `min` on. */
struct xe_rule_source {
	struct xe_addr min;
	__u16 cnt;
	__u8 prefix_len; /* it stands there as a prefix, of 128 bits; 0: as addresses */
};

struct xe_rule {
	enum xe_verb verb;
	__u8 proto; /* IPPROTO_TCP, IPPROTO_UDP, 0 = both */
	struct xe_prefix from, to;
	__u16 to_port_min, to_port_max; /* host order; 0 and 65535 = any */
	char in[IFNAMSIZ]; /* port name as in `ports:` (a glob names all it caught), "" = any */
	char out[IFNAMSIZ];
	struct xe_addr nat_min, nat_max; /* nat: first and last of `source PREFIX` */
	__u8 nat_family;                 /* of `source` or `dest`; 0: none */
	__u16 port_min, port_max;        /* `ports A-B`, host order; 0, 0 = the default range */
	__u8 mapping, filter, pooling;   /* enum xe_rule_mapping, xe_filter, xe_pooling */
	bool no_limit;                   /* its flows do not count against sessions-per-source */
	__u16 mss;                       /* 0: not clamped, XE_MSS_AUTO */
	__u64 limit[XE_LIMIT_CNT];       /* per second, by enum xe_limit; 0: none */
	__u16 dest_cnt;                  /* dnat; 0 with every other verb */
	__u16 source_cnt;                /* snat; 0 with every other verb */
	union {
		struct xe_rule_dest dest[XE_MAX_DESTS];
		struct xe_rule_source source[XE_MAX_SOURCES]; /* no address twice */
		char file[XE_RULE_FILE_SIZE];                 /* drop `from @FILE`; "": none */
	};
	int line; /* in the configuration file, 0 = from the ctl tool */
};

/* Parse one rule. Returns 0, or -EINVAL with one clear clause in err ("expected ... after `from`,
 * got `x`"), -ENOTSUP with a clear "not yet" for what the grammar knows and this version does not
 * carry out. Trailing white space is allowed, comments are not. */
int xe_rule_parse(const char *text, struct xe_rule *rule, char *err, size_t err_size);

/* Canonical text: parsing it again gives an equal rule. Returns the length, or -ENOSPC. */
int xe_rule_print(const struct xe_rule *rule, char *buf, size_t size);

/* By which a flow remembers its rule outside of this process: a hash of its text, never 0. */
__u64 xe_rule_id(const struct xe_rule *rule);

/* Same meaning (line numbers apart)? */
bool xe_rule_equal(const struct xe_rule *a, const struct xe_rule *b);

/* The same number for equal rules, and hardly ever for others. No key: whoever writes rules may. */
__u32 xe_rule_hash(const struct xe_rule *rule);

/* Do both match the same packets (the later of two such rules is never reached)? */
bool xe_rule_same_match(const struct xe_rule *a, const struct xe_rule *b);

/* Does the verb put another source address on what leaves (and so sends by an uplink only)? */
static inline bool xe_verb_translates(enum xe_verb verb)
{
	return verb == XE_VERB_SNAT || verb == XE_VERB_MASQUERADE || verb == XE_VERB_NAT;
}

/* Does the verb make sessions, and take the options that are about them? */
static inline bool xe_verb_makes_flows(enum xe_verb verb)
{
	return xe_verb_translates(verb) || verb == XE_VERB_DNAT || verb == XE_VERB_ACCEPT;
}

/* Which packets a rule is about: AF_INET, AF_INET6, or 0 for both, where it has no address. */
__u8 xe_rule_family(const struct xe_rule *rule);

/* "kernel", "masquerade", ... */
const char *xe_verb_name(enum xe_verb verb);

/* Could this be an interface name, or a glob over such names? */
bool xe_port_name_valid(const char *name);

/* prefix.c: textual addresses and prefixes, both families. -EINVAL when they are not one;
 * an IPv6 prefix such as ::/0 covers no IPv4 address. Print returns the length or -ENOSPC;
 * INET6_ADDRSTRLEN + 4 is enough for both. */
int xe_addr_parse(const char *text, struct xe_addr *addr, __u8 *family);
int xe_prefix_parse(const char *text, struct xe_prefix *prefix, char *err, size_t err_size);
int xe_prefix_print(const struct xe_prefix *prefix, char *buf, size_t size);
int xe_addr_print(const struct xe_addr *addr, char *buf, size_t size);
bool xe_prefix_covers(const struct xe_prefix *prefix, const struct xe_addr *addr);
/* How many addresses are in min..max, both included; UINT32_MAX: that many or more. */
__u32 xe_addr_range_cnt(const struct xe_addr *min, const struct xe_addr *max);
/* The address that many above. */
struct xe_addr xe_addr_plus(const struct xe_addr *addr, __u32 n);
/* The last one of a part of a pool. */
struct xe_addr xe_rule_source_max(const struct xe_rule_source *source);
/* How many addresses an snat's pool has. */
__u32 xe_rule_source_addrs(const struct xe_rule *rule);
/* A part of a pool as it was written; the length, or -ENOSPC: XE_RULE_SOURCE_TEXT is enough. */
#define XE_RULE_SOURCE_TEXT 96
int xe_rule_source_print(const struct xe_rule_source *source, char *buf, size_t size);
/* The first `len` bits (0..128) set. */
struct xe_addr xe_prefix_mask(unsigned int len);

#endif
