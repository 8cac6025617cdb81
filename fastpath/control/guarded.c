/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * guarded.c - which L4 ports only a session can have sent from: the NAT ranges, less what the host
 * listens on or reserves. The safety net's guard says the same of packets, steer of ICMP errors.
 * Control thread only; the program reads the words as they are written.
 */
#include "control/service.h"

static uint64_t range_bits(const struct xe_fallback_range *r, uint32_t word)
{
	uint32_t low = word * 64, high = low + 63;
	uint32_t from = r->min > low ? r->min : low, to = r->max < high ? r->max : high;

	if (from > to)
		return 0;
	return (~0ull >> (63 - (to - from))) << (from - low);
}

void xe_guarded_publish(struct xe_service *svc)
{
	for (uint32_t word = 0; word < XE_OWNED_WORDS; word++) {
		uint64_t bits = 0;

		for (uint32_t i = 0; i < svc->nat_range_cnt; i++)
			bits |= range_bits(&svc->nat_ranges[i], word);
		for (uint32_t udp = 0; udp < 2; udp++)
			__atomic_store_n(&svc->steer.guarded[udp * XE_OWNED_WORDS + word],
					 bits & ~(svc->listening[udp][word] | svc->dnat[udp][word]),
					 __ATOMIC_RELAXED);
	}
}
