/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * fallback_dnat.c - what dnat and one-to-one rules publish, as chains of the safety net:
 *
 *   dnatN        (prerouting, -110) a SYN or UDP that starts a flow to a published address gets its
 *                target. While the service is up it takes these before the kernel sees them
 *   publishedN   (input) what is for a published L4 port and belongs to no kernel flow: a segment
 *                of a flow that a worker has. The host must not reset it: drop
 *
 * Before other people's chains (dstnat = -100), as a worker comes before them. From ports of ours
 * only, for others meet no rule of ours either. The rules in order, with `kernel` and `accept` in
 * an uplink as returns, because among these the first match wins (docs/rules.md).
 *
 * A worker chooses a target by a keyed hash of source address and L4 port; nft has jhash of the
 * same two, so the shares are right and a source keeps its target, but it may be another one than
 * the worker would choose. Of a range of addresses the kernel chooses by the source address.
 *
 * From one container to another by a published address: both would be behind the same router, and
 * the answer would not come by us. So such a flow is masqueraded, too.
 */
#include <inttypes.h>
#include <netinet/in.h>
#include <string.h>

#include "control/fallback_sets.h"

/* For jhash, which has the same one in all lines of a rule: each asks whether the number is below
 * the sum of the weights so far. Any constant will do: nobody gains by choosing his target. */
#define HASH_SEED 0x1
/* nft's modulus is a 32-bit number, and weights times addresses may be more: then the shares are
 * rounded to this part. */
#define SHARES_MAX 1000000u
/* L4 ports that a range moves by a map, an element for each, for all rules together: nft takes 20
 * ms for so many. What is beyond waits for the service. */
#define MOVED_PORTS_MAX 16384u

static bool publishes(const struct xe_rule *r)
{
	return r->verb == XE_VERB_DNAT || r->verb == XE_VERB_NAT;
}

bool xe_fallback_has_dnat(const struct xe_fallback_text *t)
{
	for (uint32_t i = 0; i < t->conf->rule_cnt; i++)
		if (publishes(&t->conf->rules[i]) && xe_fallback_can_match(t, &t->conf->rules[i]))
			return true;
	return false;
}

static void put_map_of_prefixes(const struct xe_fallback_text *t, const char *key,
				const struct xe_prefix *from, const struct xe_prefix *to)
{
	fprintf(t->f, "%s prefix to %s %s map { ", t->fam->ip, t->fam->ip, key);
	xe_fallback_put_prefix(t->f, from);
	fputs(" : ", t->f);
	xe_fallback_put_prefix(t->f, to);
	fputs(" }\n", t->f);
}

/* "dnat ..." or "snat ..." of a one-to-one rule: the place in the prefix stays, and the L4 port. */
static void put_one_to_one(const struct xe_fallback_text *t, const struct xe_rule *r, bool out)
{
	struct xe_prefix outside = {r->nat_min, r->from.len, r->from.family};

	fputs(out ? "snat " : "dnat ", t->f);
	if (r->from.len < 128) {
		put_map_of_prefixes(t, out ? "saddr" : "daddr", out ? &r->from : &outside,
				    out ? &outside : &r->from);
		return;
	}
	fprintf(t->f, "%s to ", t->fam->ip);
	xe_fallback_put_addr(t->f, t->fam->af, out ? &r->nat_min : &r->from.addr);
	fputc('\n', t->f);
}

void xe_fallback_put_nat_out(const struct xe_fallback_text *t, const struct xe_rule *r)
{
	xe_fallback_put_match(t, r, XE_FALLBACK_ANY, false);
	put_one_to_one(t, r, true);
}

/* The way in of a one-to-one rule: from its `to`, to its `source`; its L4 ports are not asked. */
static struct xe_rule way_in(const struct xe_rule *r)
{
	struct xe_rule in = {
		.verb = r->verb,
		.proto = r->proto,
		.from = r->to,
		.to = {r->nat_min, r->from.len, r->from.family},
		.to_port_max = 65535,
	};

	return in;
}

/* ---- targets ---- */

static bool moves_ports(const struct xe_rule *r, const struct xe_rule_dest *d)
{
	return d->port_min != d->port_max && d->port_min != r->to_port_min;
}

static void put_target_ports(const struct xe_fallback_text *t, const struct xe_rule *r,
			     const struct xe_rule_dest *d, const char *proto)
{
	if (!d->port_min || (d->port_min == r->to_port_min && d->port_max == r->to_port_max))
		return;
	if (!moves_ports(r, d)) {
		fprintf(t->f, ":%u", d->port_min);
		return;
	}
	fprintf(t->f, ":%s dport map { ", proto);
	for (unsigned int i = 0; i <= (unsigned int)(d->port_max - d->port_min); i++)
		fprintf(t->f, "%s%u : %u", i ? ", " : "", r->to_port_min + i, d->port_min + i);
	fputs(" }", t->f);
}

static void put_target(const struct xe_fallback_text *t, const struct xe_rule *r,
		       const struct xe_rule_dest *d, const char *proto)
{
	const char *open = t->fam->af == AF_INET6 ? "[" : "", *close = *open ? "]" : "";
	bool range = memcmp(&d->min, &d->max, sizeof(d->min)) != 0;

	fprintf(t->f, "dnat %s to %s", t->fam->ip, open);
	xe_fallback_put_addr(t->f, t->fam->af, &d->min);
	if (range) {
		fprintf(t->f, "%s-%s", close, open);
		xe_fallback_put_addr(t->f, t->fam->af, &d->max);
	}
	fputs(close, t->f);
	put_target_ports(t, r, d, proto);
	/* One source keeps one address of the range. */
	fputs(range ? " persistent\n" : "\n", t->f);
}

static uint64_t weight_of(const struct xe_rule_dest *d)
{
	return (uint64_t)(d->weight ? d->weight : 1) * xe_addr_range_cnt(&d->min, &d->max);
}

/* A line a target: each is for what is below its weight and those before, the last for the rest. */
static void put_targets(const struct xe_fallback_text *t, const struct xe_rule *r, int proto)
{
	const char *name = proto == IPPROTO_TCP ? "tcp" : "udp";
	uint64_t sum = 0, below = 0, mod;

	for (int i = 0; i < r->dest_cnt; i++)
		sum += weight_of(&r->dest[i]);
	mod = sum < SHARES_MAX ? sum : SHARES_MAX;
	for (int i = 0; i < r->dest_cnt; i++) {
		xe_fallback_put_match(t, r, proto, false);
		below += weight_of(&r->dest[i]);
		if (i + 1 < r->dest_cnt)
			fprintf(t->f,
				"jhash %s saddr . %s sport mod %" PRIu64 " seed %#x < %" PRIu64 " ",
				t->fam->ip, name, mod, HASH_SEED,
				(uint64_t)((double)below * (double)mod / (double)sum));
		put_target(t, r, &r->dest[i], name);
	}
}

/* Map elements that the rule's lines have. */
static uint32_t moved_ports(const struct xe_rule *r)
{
	uint32_t cnt = 0;

	for (int i = 0; i < r->dest_cnt; i++)
		if (moves_ports(r, &r->dest[i]))
			cnt += (r->dest[i].port_max - r->dest[i].port_min + 1u) *
			       (r->proto ? 1 : 2);
	return cnt;
}

/* ---- the chains ---- */

/* Is it about what comes in by an uplink, and not by what it leaves as? */
static bool is_return(const struct xe_fallback_text *t, const struct xe_rule *r)
{
	if (r->verb == XE_VERB_KERNEL)
		return !r->out[0];
	return r->verb == XE_VERB_ACCEPT && r->in[0] && xe_fallback_is_uplink(t->conf, r->in);
}

static void put_dnat(const struct xe_fallback_text *t, const struct xe_rule *r, uint32_t *moved)
{
	static const int protos[] = {IPPROTO_TCP, IPPROTO_UDP};
	struct xe_rule in = way_in(r);

	if (r->verb == XE_VERB_NAT) {
		xe_fallback_put_match(t, &in, XE_FALLBACK_ANY, false);
		put_one_to_one(t, r, false);
		return;
	}
	*moved += moved_ports(r);
	if (*moved > MOVED_PORTS_MAX && moved_ports(r))
		return;
	for (int i = 0; i < 2; i++)
		if (!r->proto || r->proto == protos[i])
			put_targets(t, r, protos[i]);
}

static void put_published(const struct xe_fallback_text *t, const struct xe_rule *r)
{
	struct xe_rule in = way_in(r);

	xe_fallback_put_match(t, r->verb == XE_VERB_NAT ? &in : r, XE_FALLBACK_ANY, false);
	fputs("counter name guard_dropped drop\n", t->f);
}

static void put_chain(const struct xe_fallback_text *t, bool guard)
{
	const struct xe_fallback_conf *conf = t->conf;
	uint32_t cnt = conf->rule_cnt, moved = 0;

	/* What stands behind the last that publishes would only return. */
	while (cnt && !publishes(&conf->rules[cnt - 1]))
		cnt--;
	for (uint32_t i = 0; i < cnt; i++) {
		const struct xe_rule *r = &conf->rules[i];

		if (!xe_fallback_can_match(t, r))
			continue;
		if (is_return(t, r)) {
			xe_fallback_put_match(t, r, XE_FALLBACK_ANY, false);
			fputs("return\n", t->f);
		} else if (publishes(r) && guard) {
			put_published(t, r);
		} else if (publishes(r)) {
			put_dnat(t, r, &moved);
		}
	}
	fputs("\t}\n\n", t->f);
}

void xe_fallback_put_dnat(const struct xe_fallback_text *t)
{
	fprintf(t->f,
		"\tchain dnat%c {\n"
		"\t\tmeta l4proto != { tcp, udp } return\n"
		"\t\tmeta l4proto tcp tcp flags & (fin|syn|rst|ack) != syn return\n",
		t->fam->n);
	put_chain(t, false);
	fprintf(t->f,
		"\tchain published%c {\n"
		"\t\tmeta l4proto != { tcp, udp } return\n",
		t->fam->n);
	put_chain(t, true);
}

void xe_fallback_put_dnat_hook(const struct xe_fallback_text *t)
{
	if (xe_fallback_has_dnat(t))
		fprintf(t->f, "\t\tmeta nfproto %s iifname @ports jump dnat%c\n", t->fam->proto,
			t->fam->n);
}

void xe_fallback_put_published_hook(const struct xe_fallback_text *t)
{
	if (xe_fallback_has_dnat(t))
		fprintf(t->f,
			"\t\tmeta nfproto %s iifname @ports ct state != { established, related } "
			"jump published%c\n",
			t->fam->proto, t->fam->n);
}

void xe_fallback_put_hairpin_hook(const struct xe_fallback_text *t)
{
	if (xe_fallback_has_dnat(t))
		fprintf(t->f,
			"\t\tmeta nfproto %s iifname @ports iifname != @uplinks oifname @ports "
			"oifname != @uplinks ct status dnat masquerade\n",
			t->fam->proto);
}
