/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * ruleset.c - rules compiled to masked entries, and the lookup over them.
 *
 * Each rule becomes the product of its `in` ports, `out` ports and the masked pieces of its L4 port
 * range. Entries that use the same masks share a tuple; two rules that want the same entry share
 * it, and the earlier rule has it. Rules are compiled in order, so tuples come out sorted by
 * their best rule without sorting.
 *
 * A packet that somebody chose cannot make the lookup slow: it is one probe a tuple, and a probe
 * walks at most MAX_RUN slots, because the index is made larger until no run of used slots is
 * longer.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "state/ruleset.h"

#define SLOT_FREE 0xffffffffu
/* Slots one probe may walk: at a load of one half at most, linear probing has runs of a dozen
 * or two among 10^4 entries, so the index hardly ever grows for this, and 32 compares, a cache miss
 * each, are some 3 us at the very worst. */
#define MAX_RUN 32
/* ... and when the index has grown to this many slots an entry, a longer run is accepted: 128 bytes
 * an entry is what a rule set may waste. Never seen. */
#define MAX_SPREAD 32
/* A 16-bit range splits into at most 2 * 15 aligned blocks. */
#define MAX_BLOCKS 30

struct block {
	__be16 value_be, mask_be;
};

struct builder {
	struct xe_ruleset *rs;
	__u32 entry_size;
	xe_port_ids_fn port_ids;
	void *ctx;
	__u16 in[XE_MAX_PORTS], out[XE_MAX_PORTS];
};

/* The key's 48 bytes have no padding: see the assertion. Products that do not wait for each other,
 * one for each word, and then their bits mixed: a packet has one for every tuple. */
static inline __u32 hash_key(const struct xe_rule_key *key)
{
	__u64 w[sizeof(*key) / 8], h;

	_Static_assert(sizeof(*key) == 48, "xe_rule_key has padding that would be hashed");
	memcpy(w, key, sizeof(w));
	/* The first outputs of SplitMix64, made odd. */
	h = w[0] * 0xe220a8397b1dcdafull + w[1] * 0x6e789e6aa1b965f5ull +
	    w[2] * 0x06c45d188009454full + w[3] * 0xf88bb8a8724c81edull +
	    w[4] * 0x1b39896a51a8749bull + w[5] * 0x53cb9f0c747ea2ebull;
	h = (h ^ (h >> 32)) * 0x2c829abe1f4532e1ull;
	return (__u32)(h >> 32);
}

static inline __u32 find_slot(const struct xe_ruleset *rs, const struct xe_rule_key *key)
{
	__u32 slot = hash_key(key) & rs->slot_mask;

	while (rs->slots[slot] != SLOT_FREE &&
	       memcmp(&rs->entries[rs->slots[slot]].key, key, sizeof(*key)))
		slot = (slot + 1) & rs->slot_mask;
	return slot;
}

static int alloc_slots(struct xe_ruleset *rs, __u32 slot_cnt)
{
	__u32 *slots = malloc(slot_cnt * sizeof(*slots));

	if (!slots)
		return -ENOMEM;
	memset(slots, 0xff, slot_cnt * sizeof(*slots));
	free(rs->slots);
	rs->slots = slots;
	rs->slot_mask = slot_cnt - 1;
	for (__u32 i = 0; i < rs->entry_cnt; i++)
		rs->slots[find_slot(rs, &rs->entries[i].key)] = i;
	return 0;
}

static __u32 longest_run(const struct xe_ruleset *rs)
{
	__u32 run = 0, best = 0;

	/* Twice round, since a run may wrap. */
	for (__u64 i = 0; i <= 2ull * rs->slot_mask + 1; i++) {
		run = rs->slots[i & rs->slot_mask] == SLOT_FREE ? 0 : run + 1;
		if (run > best)
			best = run;
	}
	return best;
}

static int bound_runs(struct xe_ruleset *rs)
{
	int ret = 0;

	while (!ret && longest_run(rs) > MAX_RUN &&
	       (rs->slot_mask + 1) / MAX_SPREAD < rs->entry_cnt)
		ret = alloc_slots(rs, (rs->slot_mask + 1) * 2);
	return ret;
}

/* Room for one more entry at a load of one half at most. */
static int grow(struct builder *b)
{
	struct xe_ruleset *rs = b->rs;
	struct xe_ruleset_entry *entries;

	if (rs->entry_cnt < b->entry_size)
		return 0;
	entries = realloc(rs->entries, 2ul * b->entry_size * sizeof(*entries));
	if (!entries)
		return -ENOMEM;
	rs->entries = entries;
	b->entry_size *= 2;
	return alloc_slots(rs, 2 * b->entry_size);
}

static bool same_masks(const struct xe_tuple *a, const struct xe_tuple *b)
{
	return !memcmp(a, b, offsetof(struct xe_tuple, best_rule));
}

/* The tuple with these masks, made when there is none; -E2BIG when there are too many. */
static int tuple_for(struct xe_ruleset *rs, const struct xe_tuple *masks, __u32 rule_idx)
{
	__u32 n;

	for (n = 0; n < rs->tuple_cnt; n++)
		if (same_masks(&rs->tuples[n], masks))
			return (int)n;
	if (n == XE_MAX_TUPLES)
		return -E2BIG;
	rs->tuples[n] = *masks;
	rs->tuples[n].best_rule = rule_idx;
	rs->tuple_cnt++;
	return (int)n;
}

static int add_entry(struct builder *b, const struct xe_tuple *masks, struct xe_rule_key *key,
		     __u32 rule_idx)
{
	struct xe_ruleset *rs = b->rs;
	int tuple = tuple_for(rs, masks, rule_idx);
	__u32 slot;
	int ret;

	if (tuple < 0)
		return tuple;
	ret = grow(b);
	if (ret)
		return ret;
	key->tuple = (__u16)tuple;
	slot = find_slot(rs, key);
	if (rs->slots[slot] != SLOT_FREE)
		return 0; /* an earlier rule has it */
	if (rs->entry_cnt == XE_MAX_RULE_ENTRIES)
		return -E2BIG;
	rs->slots[slot] = rs->entry_cnt;
	rs->entries[rs->entry_cnt++] = (struct xe_ruleset_entry){
		.key = *key,
		.value = {.rule_idx = rule_idx, .verb = (__u8)rs->rules[rule_idx].verb},
	};
	return 0;
}

/* Cut min-max into the fewest aligned power-of-two blocks: each time the largest that starts at
 * min, is aligned there and does not pass max. */
static __u32 split_range(__u16 min, __u16 max, struct block *blocks)
{
	__u32 at = min, cnt = 0;

	while (at <= max) {
		__u32 size = at ? at & -at : 0x10000;

		while (at + size - 1 > max)
			size >>= 1;
		blocks[cnt++] = (struct block){
			.value_be = htons((__u16)at),
			.mask_be = htons((__u16) ~(size - 1)),
		};
		at += size;
	}
	return cnt;
}

/* The fields of the rule that don't multiply. A family is either in the prefix, or said by a bit
 * where that may be too short (IPv6) or is not there (the rest). */
static void fill_fixed(const struct xe_rule *rule, struct xe_tuple *masks, struct xe_rule_key *key)
{
	masks->src_mask = xe_prefix_mask(rule->from.len);
	masks->dst_mask = xe_prefix_mask(rule->to.len);
	key->src = rule->from.addr;
	key->dst = rule->to.addr;
	if (!rule->from.family && !rule->to.family && rule->nat_family == AF_INET) {
		masks->src_mask = xe_prefix_mask(96); /* any IPv4 source, but no IPv6 */
		key->src = xe_addr_v4(0);
	}
	masks->in_mask = xe_rule_family(rule) == AF_INET6 ? XE_IN_IPV6 : 0;
	masks->proto_mask = rule->proto ? 0xff : 0;
	key->proto = rule->proto;
}

static bool changes_destination(const struct xe_rule *rule)
{
	return rule->verb == XE_VERB_DNAT;
}

/* Fills b->in and adds to the mask. A rule without `in` has one entry that masks the port away, but
 * for the role where it is about inside ports only. */
static __u32 in_ports(struct builder *b, const struct xe_rule *rule, __u16 *mask)
{
	__u16 family = *mask;
	__u32 cnt;

	b->in[0] = family;
	if (!rule->in[0]) {
		if (!changes_destination(rule) && rule->verb != XE_VERB_KERNEL)
			*mask |= XE_IN_UPLINK;
		return 1;
	}
	*mask |= (__u16)~XE_IN_IPV6;
	cnt = b->port_ids(b->ctx, rule->in, b->in, XE_MAX_PORTS);
	for (__u32 i = 0; i < cnt; i++) {
		__u16 id = b->in[i] & (__u16)~XE_OUT_INSIDE;

		b->in[i] = id | family | (b->in[i] & XE_OUT_INSIDE ? 0 : XE_IN_UPLINK);
	}
	return cnt;
}

/* The same for `out`. Translation is for uplinks only, whether the rule names one or not. */
static __u32 out_ports(struct builder *b, const struct xe_rule *rule, __u16 *mask)
{
	__u32 cnt, kept = 0;

	b->out[0] = 0;
	*mask = rule->out[0] ? 0xffff : xe_verb_translates(rule->verb) ? XE_OUT_INSIDE : 0;
	if (changes_destination(rule)) {
		*mask = b->out[0] = XE_OUT_INSIDE;
		return 1;
	}
	if (!rule->out[0])
		return 1;
	cnt = b->port_ids(b->ctx, rule->out, b->out, XE_MAX_PORTS);
	for (__u32 i = 0; i < cnt; i++)
		if (!xe_verb_translates(rule->verb) || !(b->out[i] & XE_OUT_INSIDE))
			b->out[kept++] = b->out[i];
	return kept;
}

/* The way back of a one-to-one rule: to its `source` addresses, from the uplinks of its `out` (or
 * all) and from inside. Its `to` is the peer; whom its L4 ports are about is not asked there. */
static int add_nat_back(struct builder *b, __u32 rule_idx)
{
	const struct xe_rule *rule = &b->rs->rules[rule_idx];
	struct xe_rule_key key = {
		.gen = b->rs->gen,
		.src = rule->to.addr,
		.dst = rule->nat_min,
		.out_port = XE_OUT_INSIDE,
		.proto = rule->proto,
	};
	struct xe_tuple masks = {
		.src_mask = xe_prefix_mask(rule->to.len),
		.dst_mask = xe_prefix_mask(rule->from.len),
		.in_mask = xe_rule_family(rule) == AF_INET6 ? XE_IN_IPV6 : 0,
		.out_mask = XE_OUT_INSIDE,
		.proto_mask = rule->proto ? 0xff : 0,
	};

	key.in_port = masks.in_mask;
	/* Any port: an address that a rule gives away is that rule's wherever it is spoken to. */
	return add_entry(b, &masks, &key, rule_idx);
}

static int add_rule(struct builder *b, __u32 rule_idx)
{
	const struct xe_rule *rule = &b->rs->rules[rule_idx];
	struct xe_rule_key key = {.gen = b->rs->gen};
	struct xe_tuple masks = {};
	struct block blocks[MAX_BLOCKS];
	__u32 block_cnt = split_range(rule->to_port_min, rule->to_port_max, blocks);
	__u32 out_cnt = out_ports(b, rule, &masks.out_mask);
	__u32 in_cnt;
	int ret;

	if (rule->verb == XE_VERB_DROP && rule->file[0])
		return 0; /* its prefixes are a deny list's (state/deny.h) */
	fill_fixed(rule, &masks, &key);
	in_cnt = in_ports(b, rule, &masks.in_mask);
	if (changes_destination(rule) || rule->verb == XE_VERB_NAT)
		b->rs->any_inbound = true;
	for (__u32 i = 0; rule->verb == XE_VERB_ACCEPT && rule->in[0] && i < in_cnt; i++)
		b->rs->any_inbound |= b->in[i] & XE_IN_UPLINK;
	/* The product can be 1024 * 1024 * 30: add_entry() ends it at XE_MAX_RULE_ENTRIES. */
	for (__u64 n = 0; n < (__u64)block_cnt * in_cnt * out_cnt; n++) {
		const struct block *block = &blocks[n % block_cnt];

		masks.dport_mask_be = block->mask_be;
		key.dport_be = block->value_be;
		key.in_port = b->in[n / block_cnt % in_cnt];
		key.out_port = b->out[n / block_cnt / in_cnt];
		ret = add_entry(b, &masks, &key, rule_idx);
		if (ret)
			return ret;
	}
	return rule->verb == XE_VERB_NAT ? add_nat_back(b, rule_idx) : 0;
}

/* Entries start at this many and double: most rule sets are small. */
#define FIRST_ENTRIES 64

static int start(struct builder *b, const struct xe_rule *rules, __u32 rule_cnt, __u32 gen)
{
	struct xe_ruleset *rs = calloc(1, sizeof(*rs));

	b->rs = rs;
	if (!rs)
		return -ENOMEM;
	rs->gen = gen;
	rs->rule_cnt = rule_cnt;
	rs->rules = calloc(rule_cnt ? rule_cnt : 1, sizeof(*rules));
	rs->ids = calloc(rule_cnt ? rule_cnt : 1, sizeof(*rs->ids));
	rs->entries = malloc(FIRST_ENTRIES * sizeof(*rs->entries));
	if (!rs->rules || !rs->ids || !rs->entries)
		return -ENOMEM;
	if (rule_cnt)
		memcpy(rs->rules, rules, rule_cnt * sizeof(*rules));
	for (__u32 i = 0; i < rule_cnt; i++) {
		rs->any_no_limit |= rules[i].no_limit;
		rs->ids[i] = xe_rule_id(&rules[i]);
	}
	b->entry_size = FIRST_ENTRIES;
	return alloc_slots(rs, 2 * FIRST_ENTRIES);
}

static void say_too_many(const struct xe_ruleset *rs, __u32 rule_idx, char *err, size_t err_size)
{
	if (rs->tuple_cnt == XE_MAX_TUPLES && rs->entry_cnt < XE_MAX_RULE_ENTRIES)
		snprintf(err, err_size,
			 "rules[%u]: one too many combination of prefix lengths and L4 port "
			 "ranges, expected at most %d in all rules",
			 rule_idx, XE_MAX_TUPLES);
	else
		snprintf(err, err_size,
			 "rules[%u]: one rule too many once ports and L4 port ranges are spelled "
			 "out, expected at most %d entries in all rules",
			 rule_idx, XE_MAX_RULE_ENTRIES);
}

int xe_ruleset_compile(const struct xe_rule *rules, __u32 rule_cnt, __u32 gen,
		       xe_port_ids_fn port_ids, void *ctx, struct xe_ruleset **out, char *err,
		       size_t err_size)
{
	struct builder *b = calloc(1, sizeof(*b));
	__u32 i = 0;
	int ret = -ENOMEM;

	*out = NULL;
	if (!b)
		goto out;
	b->port_ids = port_ids;
	b->ctx = ctx;
	ret = start(b, rules, rule_cnt, gen);
	for (; !ret && i < rule_cnt; i++)
		ret = add_rule(b, i);
	if (!ret)
		ret = bound_runs(b->rs);
	if (ret == -E2BIG)
		say_too_many(b->rs, i - 1, err, err_size);
out:
	if (ret == -ENOMEM)
		snprintf(err, err_size, "out of memory for %u rules", rule_cnt);
	if (ret && b)
		xe_ruleset_free(b->rs);
	else if (b)
		*out = b->rs;
	free(b);
	return ret;
}

void xe_ruleset_free(struct xe_ruleset *rs)
{
	if (!rs)
		return;
	free(rs->rules);
	free(rs->entries);
	free(rs->slots);
	free(rs->terms);
	free(rs->ids);
	free(rs);
}

static void mask_addr(struct xe_addr *out, const struct xe_addr *addr, const struct xe_addr *mask)
{
	out->q[0] = addr->q[0] & mask->q[0];
	out->q[1] = addr->q[1] & mask->q[1];
}

int xe_ruleset_lookup(const struct xe_ruleset *rs, const struct xe_addr *src,
		      const struct xe_addr *dst, __be16 dport_be, __u8 proto, __u16 in_port,
		      __u16 out_port)
{
	struct xe_rule_key key = {.gen = rs->gen};
	__u32 best = SLOT_FREE;

	if (src->q[0] || src->w_be[2] != htonl(0xffff))
		in_port |= XE_IN_IPV6;
	for (__u32 n = 0; n < rs->tuple_cnt && rs->tuples[n].best_rule < best; n++) {
		const struct xe_tuple *t = &rs->tuples[n];
		__u32 idx;

		key.tuple = (__u16)n;
		key.dport_be = dport_be & t->dport_mask_be;
		mask_addr(&key.src, src, &t->src_mask);
		mask_addr(&key.dst, dst, &t->dst_mask);
		key.in_port = in_port & t->in_mask;
		key.out_port = out_port & t->out_mask;
		key.proto = proto & t->proto_mask;
		idx = rs->slots[find_slot(rs, &key)];
		if (idx != SLOT_FREE && rs->entries[idx].value.rule_idx < best)
			best = rs->entries[idx].value.rule_idx;
	}
	return best == SLOT_FREE ? -1 : (int)best;
}
