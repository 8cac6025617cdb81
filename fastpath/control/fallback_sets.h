/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * fallback_sets.h - the sets of the safety net as text, and what its chains need to know of them.
 * Private to the files that write the text: fallback_sets.c, fallback_rules.c, fallback_rules6.c,
 * fallback_snat.c, fallback_dnat.c.
 */
#ifndef XE_FALLBACK_SETS_H
#define XE_FALLBACK_SETS_H

#include <stdbool.h>
#include <stdio.h>

#include "control/fallback_rules.h"

/* How a family is spelled in nft's language. */
struct xe_fallback_family {
	int af;
	char n;            /* '4' or '6': the end of set and chain names */
	const char *ip;    /* payload and nat family: ip, ip6 */
	const char *type;  /* set type of an address */
	const char *proto; /* meta nfproto */
	const char *icmp;  /* its ICMP as l4proto */
};

struct xe_fallback_text {
	FILE *f;
	const struct xe_fallback_conf *conf;
	struct xe_fallback_nat nat;
	struct xe_fallback_range kernel_tcp, kernel_udp;
	const struct xe_fallback_family *fam; /* the family being written */
};

bool xe_fallback_translates(const struct xe_rule *rule);
/* Does the rule speak about packets of the family being written? */
bool xe_fallback_in_family(const struct xe_fallback_text *t, const struct xe_rule *rule);
/* Has the table anything to do with the family? IPv4 always: the guard stays when the last inside
 * port is gone, for what still comes for its flows. IPv6 only where rules do something with inside
 * sources, or have translated some. */
bool xe_fallback_active(const struct xe_fallback_text *t);
/* Are there source pools (one-to-one rules have some), or ports whose sources can be checked, in
 * the family? */
bool xe_fallback_has_pool(const struct xe_fallback_text *t);
bool xe_fallback_has_allowed(const struct xe_fallback_text *t);

/* An address or prefix, IPv6 without brackets; a whole-length prefix as an address. */
void xe_fallback_put_addr(FILE *f, int af, const struct xe_addr *addr);
void xe_fallback_put_prefix(FILE *f, const struct xe_prefix *prefix);
/* Lines `before WHICH PREFIX after`, which: saddr or daddr, for what is inside: one a prefix, or
 * where there are many one for the set of them. A table is replaced whole, and the kernel (6.18)
 * has an interval set ready some 50 us after the rules that look into it: what passes meanwhile
 * would be of no inside host. A literal prefix is there with its rule. */
void xe_fallback_put_inside_lines(const struct xe_fallback_text *t, const char *before,
				  const char *which, const char *after);
/* A name that is one interface, never a wildcard. */
void xe_fallback_put_name(FILE *f, const char *name);
/* `{ "a", "b" }`: the interfaces a port name of a rule stands for, as the IP layer sees them.
 * With f NULL nothing is written. Returns how many. */
unsigned int xe_fallback_put_names(FILE *f, const struct xe_fallback_conf *conf, const char *name);
/* Does a port name of a rule stand for an uplink? */
bool xe_fallback_is_uplink(const struct xe_fallback_conf *conf, const char *name);

/* ---- fallback_rules.c: lines of rules ---- */

/* Protocols a line is for. ANY: whatever the rule says. REST: what has no L4 ports. */
enum { XE_FALLBACK_ANY = 0, XE_FALLBACK_REST = 255 };

bool xe_fallback_has_ports(const struct xe_rule *r);
/* A rule whose port is not attached now matches nothing. */
bool xe_fallback_can_match(const struct xe_fallback_text *t, const struct xe_rule *r);
/* Start of a line: the packets of a flow in the direction the rule describes, or the answers. */
void xe_fallback_put_match(const struct xe_fallback_text *t, const struct xe_rule *r, int proto,
			   bool answer);
void xe_fallback_put_accept(const struct xe_fallback_text *t, const struct xe_rule *r);
void xe_fallback_put_drop(const struct xe_fallback_text *t, const struct xe_rule *r);

/* fallback_snat.c: what a masquerade or snat rule does, as lines of chain natN. `lines`: so far, of
 * pools in several pieces, all rules together. */
void xe_fallback_put_translation(const struct xe_fallback_text *t, const struct xe_rule *r,
				 uint32_t *lines);
/* The end of a line, for TCP, UDP or REST. */
void xe_fallback_put_masquerade(const struct xe_fallback_text *t, int proto);

/* fallback_dnat.c: does the family have rules that publish something? Then there are the chains
 * dnatN and publishedN, each with a line in its hook, and the set of all ports. */
bool xe_fallback_has_dnat(const struct xe_fallback_text *t);
void xe_fallback_put_dnat(const struct xe_fallback_text *t);
void xe_fallback_put_dnat_hook(const struct xe_fallback_text *t);
void xe_fallback_put_published_hook(const struct xe_fallback_text *t);
void xe_fallback_put_hairpin_hook(const struct xe_fallback_text *t);
/* The line of a one-to-one rule in chain natN. */
void xe_fallback_put_nat_out(const struct xe_fallback_text *t, const struct xe_rule *r);

/* fallback_rules6.c */
void xe_fallback_put_chains6(const struct xe_fallback_text *t);

/* ---- sets ---- */

/* The sets of no family, and those of the family being written. 0 or -ENOMEM. */
void xe_fallback_put_sets(struct xe_fallback_text *t);
/* All ports, both roles. */
void xe_fallback_put_ports(const struct xe_fallback_text *t);
int xe_fallback_put_family_sets(struct xe_fallback_text *t);

#endif
