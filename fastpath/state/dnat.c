/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "state/dnat.h"

#include <arpa/inet.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static uint64_t mix(uint64_t x)
{
	/* splitmix64's finalizer (Steele, Lea, Flood): each bit of the input moves half of the
	 * output. */
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ x >> 27) * 0x94d049bb133111ebull;
	return x ^ x >> 31;
}

/* By what it is, not by its place in the list. */
static uint64_t target_hash(const struct xe_dnat_target *t)
{
	return mix(mix(mix(t->min.q[0]) ^ t->min.q[1]) ^ t->port_min);
}

/* The higher wins. With u even in (0, 1), -ln(u) / weight is the least for each target with a
 * probability in proportion to its weight. */
static double score(uint64_t slot, uint64_t target, double weight)
{
	double u = ((double)(mix(target ^ mix(slot + 1)) >> 11) + 0.5) / 9007199254740992.0;

	return weight / -log(u);
}

static void fill_slots(struct xe_dnat *d, const double *weight)
{
	uint64_t hash[XE_MAX_DESTS];

	if (d->cnt ==
	    1) /* all slots are 0, and thousands of such rules are made anew with each port */
		return;
	for (uint16_t i = 0; i < d->cnt; i++)
		hash[i] = target_hash(&d->target[i]);
	for (uint32_t s = 0; s < XE_DNAT_SLOTS; s++) {
		double best = -1;

		for (uint16_t i = 0; i < d->cnt; i++) {
			double x = score(s, hash[i], weight[i]);

			if (x <= best)
				continue;
			best = x;
			d->slot[s] = (uint8_t)i;
		}
	}
}

struct xe_dnat *xe_dnat_make(const struct xe_rule *rule)
{
	struct xe_dnat *d = calloc(1, sizeof(*d));
	double weight[XE_MAX_DESTS];

	if (!d)
		return NULL;
	d->refs = 1;
	d->to_port_min = rule->to_port_min;
	d->cnt = rule->dest_cnt;
	for (uint16_t i = 0; i < d->cnt; i++) {
		const struct xe_rule_dest *dest = &rule->dest[i];

		d->target[i] = (struct xe_dnat_target){
			.min = dest->min,
			.addr_cnt = xe_addr_range_cnt(&dest->min, &dest->max),
			.port_min = dest->port_min,
			.port_max = dest->port_max,
		};
		weight[i] = (double)(dest->weight ? dest->weight : 1) * d->target[i].addr_cnt;
	}
	fill_slots(d, weight);
	return d;
}

struct xe_dnat *xe_dnat_hold(struct xe_dnat *d)
{
	d->refs++;
	return d;
}

void xe_dnat_drop(struct xe_dnat *d)
{
	if (d && !--d->refs)
		free(d);
}

/* The address that many above. */
static struct xe_addr addr_plus(const struct xe_addr *addr, uint32_t n)
{
	struct xe_addr sum = *addr;
	uint64_t carry = n;

	for (int i = 3; i >= 0 && carry; i--) {
		carry += ntohl(sum.w_be[i]);
		sum.w_be[i] = htonl((uint32_t)carry);
		carry >>= 32;
	}
	return sum;
}

/* Lamping and Veach, "A Fast, Minimal Memory, Consistent Hash Algorithm" (2014). */
static uint32_t jump(uint64_t key, uint32_t cnt)
{
	int64_t b = -1, j = 0;

	while (j < cnt) {
		b = j;
		key = key * 2862933555777941757ull + 1;
		j = (int64_t)((double)(b + 1) * ((double)(1ull << 31) / (double)((key >> 33) + 1)));
	}
	return (uint32_t)b;
}

void xe_dnat_pick(const struct xe_dnat *d, uint64_t hash, uint16_t dport, struct xe_addr *addr,
		  uint16_t *l4_port)
{
	const struct xe_dnat_target *t = &d->target[d->slot[hash % XE_DNAT_SLOTS]];

	*addr = t->min;
	if (t->addr_cnt > 1)
		*addr = addr_plus(&t->min, jump(mix(hash), t->addr_cnt));
	if (!t->port_min)
		*l4_port = dport;
	else if (t->port_min == t->port_max)
		*l4_port = t->port_min;
	else
		*l4_port = (uint16_t)(t->port_min + dport - d->to_port_min);
}

struct xe_addr xe_nat_move(const struct xe_addr *addr, const struct xe_addr *net, unsigned int len)
{
	struct xe_addr out = *addr;

	for (unsigned int i = 0; i < 16; i++) {
		unsigned int bits = len >= i * 8 + 8 ? 8 : len > i * 8 ? len - i * 8 : 0;
		uint8_t mask = (uint8_t)(0xff00 >> bits);

		out.b[i] = (uint8_t)((addr->b[i] & ~mask) | (net->b[i] & mask));
	}
	return out;
}
