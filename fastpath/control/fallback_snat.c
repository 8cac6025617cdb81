/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * fallback_snat.c - what masquerade and snat rules do, as lines of the safety net's chains natN.
 *
 * nft's snat takes one range of addresses. A pool in several pieces has a line a piece, and a hash
 * of the source says which: each line is for what is below the number of addresses so far, the last
 * for the rest. So every address has its share, and a source keeps its own (RFC 4787 REQ-2), though
 * it may be another one than a worker's keyed hash chooses.
 */
#include <netinet/in.h>
#include <string.h>

#include "control/fallback_sets.h"

/* For jhash, the same one in all lines of a rule. Any constant will do: nobody gains by choosing
 * his address. */
#define HASH_SEED 0x1
/* Lines of pools in several pieces in all rules together: nft takes some 50 ms for so many. The
 * rules beyond have the first piece of theirs. */
#define LINES_MAX 16384u

static void put_l4_ports(const struct xe_fallback_text *t, int proto)
{
	const struct xe_fallback_range *ports =
		proto == IPPROTO_TCP ? &t->kernel_tcp : &t->kernel_udp;

	if (proto != XE_FALLBACK_REST)
		fprintf(t->f, ":%u-%u", ports->min, ports->max);
}

void xe_fallback_put_masquerade(const struct xe_fallback_text *t, int proto)
{
	fputs(proto == XE_FALLBACK_REST ? "masquerade" : "masquerade to ", t->f);
	put_l4_ports(t, proto);
	fputc('\n', t->f);
}

static void put_snat(const struct xe_fallback_text *t, const struct xe_rule_source *part, int proto)
{
	const char *open = t->fam->af == AF_INET6 ? "[" : "", *close = *open ? "]" : "";
	struct xe_addr max = xe_rule_source_max(part);

	fprintf(t->f, "snat %s to %s", t->fam->ip, open);
	xe_fallback_put_addr(t->f, t->fam->af, &part->min);
	if (part->cnt > 1) {
		fprintf(t->f, "%s-%s", close, open);
		xe_fallback_put_addr(t->f, t->fam->af, &max);
	}
	fputs(close, t->f);
	put_l4_ports(t, proto);
	/* One inside address keeps one external address (RFC 4787 REQ-2). */
	fputs(" persistent\n", t->f);
}

static void put_pool(const struct xe_fallback_text *t, const struct xe_rule *r, int proto,
		     uint32_t *lines)
{
	uint32_t all = xe_rule_source_addrs(r), below = 0, cnt = r->source_cnt;

	if (cnt > 1 && *lines + cnt > LINES_MAX)
		cnt = 1;
	if (cnt > 1)
		*lines += cnt;
	for (uint32_t i = 0; i < cnt; i++) {
		xe_fallback_put_match(t, r, proto, false);
		below += r->source[i].cnt;
		if (i + 1 < cnt)
			fprintf(t->f, "jhash %s saddr mod %u seed %#x < %u ", t->fam->ip, all,
				HASH_SEED, below);
		put_snat(t, &r->source[i], proto);
	}
}

/* A rule for both protocols also translates what has no L4 ports: a ping leaves with the address
 * that the source's connections have. */
void xe_fallback_put_translation(const struct xe_fallback_text *t, const struct xe_rule *r,
				 uint32_t *lines)
{
	static const int protos[] = {IPPROTO_TCP, IPPROTO_UDP, XE_FALLBACK_REST};

	for (unsigned int i = 0; i < 3; i++) {
		if (r->proto ? r->proto != protos[i]
			     : protos[i] == XE_FALLBACK_REST && xe_fallback_has_ports(r))
			continue;
		if (r->verb == XE_VERB_SNAT) {
			put_pool(t, r, protos[i], lines);
			continue;
		}
		xe_fallback_put_match(t, r, protos[i], false);
		xe_fallback_put_masquerade(t, protos[i]);
	}
}
