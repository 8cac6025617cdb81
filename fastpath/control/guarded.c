/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * guarded.c - which L4 ports only a session can have sent from: the NAT ranges, less what the host
 * has or reserves. The safety net's guard says the same of packets, steer of ICMP errors.
 * Control thread only; the program reads the words as they are written.
 */
#include <netinet/in.h>
#include <string.h>

#include "control/service.h"

bool xe_guarded_remember(struct xe_service *svc, uint16_t min, uint16_t max)
{
	bool new = false;

	for (uint32_t p = min; p <= max; p++) {
		new |= !(svc->nat_ports[p >> 6] >> (p & 63) & 1);
		svc->nat_ports[p >> 6] |= 1ull << (p & 63);
	}
	return new;
}

void xe_guarded_publish(struct xe_service *svc)
{
	for (uint32_t word = 0; word < XE_OWNED_WORDS; word++) {
		uint64_t bits = svc->nat_ports[word];

		for (uint32_t udp = 0; udp < 2; udp++)
			__atomic_store_n(&svc->steer.guarded[udp * XE_OWNED_WORDS + word],
					 bits & ~(svc->listening[udp][word] | svc->dnat[udp][word] |
						  (udp ? 0 : svc->connected[word])),
					 __ATOMIC_RELAXED);
	}
}

void xe_taken_publish(struct xe_service *svc, int udp, uint32_t word)
{
	__atomic_store_n(&svc->taken.bits[udp][word],
			 svc->listening[udp][word] | svc->dnat[udp][word] | svc->held[udp][word] |
				 (udp ? 0 : svc->connected[word]),
			 __ATOMIC_RELAXED);
}

static void reserve(struct xe_service *svc, const struct xe_rule *r)
{
	for (uint32_t p = r->to_port_min; p <= r->to_port_max; p++) {
		if (r->proto != IPPROTO_UDP)
			svc->dnat[0][p >> 6] |= 1ull << (p & 63);
		if (r->proto != IPPROTO_TCP)
			svc->dnat[1][p >> 6] |= 1ull << (p & 63);
	}
}

/* All L4 ports of an address are not meant: that is an address of its own. */
void xe_guarded_reserve(struct xe_service *svc, const struct xe_rule *rules, uint32_t cnt)
{
	memset(svc->dnat, 0, sizeof(svc->dnat));
	for (uint32_t i = 0; i < cnt; i++)
		if (rules[i].verb == XE_VERB_DNAT && rules[i].to_port_min)
			reserve(svc, &rules[i]);
	for (int udp = 0; udp < 2; udp++)
		for (uint32_t word = 0; word < XE_BITMAP_WORDS; word++)
			xe_taken_publish(svc, udp, word);
	xe_guarded_publish(svc);
}
