/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * rule.h - one rule of the configuration: its text, its meaning, its print.
 *
 *   VERB [tcp|udp] [from PREFIX] [to PREFIX[:PORTS]] [in PORT] [out PORT]
 *        [source A[-B] | dest ADDR[:PORT]] [ports A-B] [OPTION...]
 *
 * Cold code, any thread; nothing here keeps state.
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

struct xe_rule {
	enum xe_verb verb;
	__u8 proto; /* IPPROTO_TCP, IPPROTO_UDP, 0 = both */
	struct xe_prefix from, to;
	__u16 to_port_min, to_port_max; /* host order; 0 and 65535 = any */
	char in[IFNAMSIZ]; /* port name as in `ports:` (a glob names all it caught), "" = any */
	char out[IFNAMSIZ];
	struct xe_addr nat_min, nat_max; /* snat `source A[-B]`, dnat `dest` */
	__u8 nat_family;                 /* 0: none */
	__u16 dest_port;                 /* dnat, host order, 0 = keep */
	__u16 port_min, port_max;        /* `ports A-B`, host order; 0, 0 = the default range */
	int line;                        /* in the configuration file, 0 = from the ctl tool */
};

/* Parse one rule. Returns 0, or -EINVAL with one clear clause in err ("expected ... after `from`,
 * got `x`"), -ENOTSUP with a clear "not yet" for what the grammar knows and this version does not
 * carry out. Trailing white space is allowed, comments are not. */
int xe_rule_parse(const char *text, struct xe_rule *rule, char *err, size_t err_size);

/* Canonical text: parsing it again gives an equal rule. Returns the length, or -ENOSPC. */
int xe_rule_print(const struct xe_rule *rule, char *buf, size_t size);

/* Same meaning (line numbers apart)? */
bool xe_rule_equal(const struct xe_rule *a, const struct xe_rule *b);

/* Do both match the same packets (the later of two such rules is never reached)? */
bool xe_rule_same_match(const struct xe_rule *a, const struct xe_rule *b);

/* Which packets a rule is about: AF_INET, AF_INET6, or 0 for both. A rule without an address is
 * about both only with the verb kernel: nothing else is carried out for IPv6 yet. */
__u8 xe_rule_family(const struct xe_rule *rule);

/* "kernel", "masquerade", ... */
const char *xe_verb_name(enum xe_verb verb);

/* Could this be an interface name, or a glob over such names? */
bool xe_port_name_valid(const char *name);

/* prefix.c: textual addresses and prefixes, both families. -EINVAL when they are not one;
 * an IPv6 prefix that holds the IPv4-mapped range (such as ::/0) is refused. Print returns the
 * length or -ENOSPC; INET6_ADDRSTRLEN + 4 is enough for both. */
int xe_addr_parse(const char *text, struct xe_addr *addr, __u8 *family);
int xe_prefix_parse(const char *text, struct xe_prefix *prefix, char *err, size_t err_size);
int xe_prefix_print(const struct xe_prefix *prefix, char *buf, size_t size);
int xe_addr_print(const struct xe_addr *addr, char *buf, size_t size);
bool xe_prefix_covers(const struct xe_prefix *prefix, const struct xe_addr *addr);

#endif
