// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "latency.h"

/* The middle of what falls into an entry. */
static double middle_ns(uint32_t idx)
{
	uint32_t shift;

	if (idx < 2u << LATENCY_PART_BITS)
		return idx;
	shift = (idx >> LATENCY_PART_BITS) - 1;
	return ((double)(idx - (shift << LATENCY_PART_BITS)) + 0.5) * (double)(1ull << shift);
}

double xe_latency_us(const struct xe_latency *l, double share)
{
	uint64_t seen = 0, wanted = (uint64_t)(share * (double)l->total);

	if (!l->total)
		return 0;
	if (wanted >= l->total)
		wanted = l->total - 1;
	for (uint32_t i = 0; i < LATENCY_CNT; i++) {
		seen += l->cnt[i];
		if (seen > wanted)
			return middle_ns(i) / 1000;
	}
	return 0;
}
