/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * fallback_rules6.c - the chains of the safety net for IPv6 as text.
 *
 * What differs from IPv4: a container's IPv6 address may be a global one, which the kernel forwards
 * as it is wherever no rule says otherwise. So nothing is done to an inside source as such, and
 * each rule has its line, in order, in every chain:
 *
 *   out6      to an uplink: `accept` passes, `drop` drops, `kernel` returns; of what would be
 *             translated a TCP segment must be a SYN (midflow6)
 *   nat6      translates (fallback_rules.c); what no rule translates nobody does
 *   leak6     has the source that would be translated still: drop
 *   in6       to an inside address: not from where the rules translate to it, unless conntrack
 *             knows the flow. The addresses decide, not the L4 ports, which the sender chooses
 *
 * Neighbour discovery is never forwarded, and input looks at TCP and UDP only: nothing here can
 * come between the host and its neighbours.
 */
#include "control/fallback_sets.h"

/* What a container says about a packet of a flow that conntrack has no state for: it has the
 * source, and quotes the destination, that nobody outside may see. A rule for one protocol does
 * not match it, so it has a line of its own. */
#define ERRORS                                                                                     \
	"meta l4proto ipv6-icmp icmpv6 type { destination-unreachable, packet-too-big, "           \
	"time-exceeded, parameter-problem } ct state != related "

static bool matches_all(const struct xe_rule *r)
{
	return !r->proto && !xe_fallback_has_ports(r);
}

/* Fills in a rule's line(s) for one chain. */
typedef void (*put_rule_fn)(const struct xe_fallback_text *t, const struct xe_rule *r);

static void put_rules(const struct xe_fallback_text *t, put_rule_fn put)
{
	for (uint32_t i = 0; i < t->conf->rule_cnt; i++)
		if (xe_fallback_can_match(t, &t->conf->rules[i]))
			put(t, &t->conf->rules[i]);
}

/* Must its packets not leave as they are? */
static bool translates_source(const struct xe_rule *r)
{
	return xe_fallback_translates(r) || r->verb == XE_VERB_NAT;
}

static void put_return(const struct xe_fallback_text *t, const struct xe_rule *r)
{
	xe_fallback_put_match(t, r, XE_FALLBACK_ANY, false);
	fputs("return\n", t->f);
}

static void put_out(const struct xe_fallback_text *t, const struct xe_rule *r)
{
	if (translates_source(r)) {
		xe_fallback_put_match(t, r, XE_FALLBACK_ANY, false);
		fputs("goto midflow6\n", t->f);
	} else if (r->verb == XE_VERB_ACCEPT) {
		xe_fallback_put_accept(t, r);
	} else if (r->verb == XE_VERB_DROP || r->verb == XE_VERB_REJECT) {
		xe_fallback_put_drop(t, r);
	} else if (r->verb == XE_VERB_KERNEL) {
		put_return(t, r);
	}
}

static void put_leak(const struct xe_fallback_text *t, const struct xe_rule *r)
{
	if (!translates_source(r)) {
		if (r->verb == XE_VERB_ACCEPT)
			xe_fallback_put_accept(t, r);
		else if (r->verb == XE_VERB_KERNEL)
			put_return(t, r);
		return;
	}
	xe_fallback_put_match(t, r, XE_FALLBACK_ANY, false);
	fputs("counter name leak_dropped drop\n", t->f);
	if (matches_all(r))
		return;
	xe_fallback_put_match(t, r, XE_FALLBACK_REST, false);
	fputs(ERRORS "counter name leak_dropped drop\n", t->f);
}

/* What the rules say of packets as such, before what they say by being about answers: a flow from
 * outside that `accept` is about does not match a rule that translates, wherever that stands. */
static void put_in(const struct xe_fallback_text *t, const struct xe_rule *r)
{
	if (r->verb == XE_VERB_ACCEPT)
		xe_fallback_put_accept(t, r);
	else if (r->verb == XE_VERB_DROP || r->verb == XE_VERB_REJECT)
		xe_fallback_put_drop(t, r);
}

/* A `kernel` rule for one protocol would let in by the L4 port of its answers what another rule
 * keeps out: only one for all protocols speaks here. */
static void put_in_answers(const struct xe_fallback_text *t, const struct xe_rule *r)
{
	if (translates_source(r)) {
		xe_fallback_put_match(t, r, XE_FALLBACK_REST, true);
		fputs("counter name inbound_dropped drop\n", t->f);
	} else if (r->verb == XE_VERB_KERNEL && matches_all(r)) {
		xe_fallback_put_match(t, r, XE_FALLBACK_ANY, true);
		fputs("return\n", t->f);
	}
}

void xe_fallback_put_chains6(const struct xe_fallback_text *t)
{
	fputs("\tchain midflow6 {\n"
	      "\t\tmeta l4proto tcp tcp flags & (fin|syn|rst|ack) != syn "
	      "counter name midflow_dropped drop\n"
	      "\t}\n\n\tchain out6 {\n"
	      "\t\tct state established,related return\n",
	      t->f);
	put_rules(t, put_out);
	fputs("\t}\n\n\tchain in6 {\n"
	      "\t\tct state established,related return\n"
	      "\t\tct status dnat return\n",
	      t->f);
	put_rules(t, put_in);
	put_rules(t, put_in_answers);
	fputs("\t}\n\n\tchain leak6 {\n"
	      "\t\tct state established,related ct direction reply return\n"
	      "\t\tfib saddr type local return\n",
	      t->f);
	if (xe_fallback_has_pool(t))
		fputs("\t\tip6 saddr @pool6 return\n", t->f);
	put_rules(t, put_leak);
	fputs("\t}\n\n", t->f);
}
