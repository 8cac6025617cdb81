/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "control/host_l4.h"

#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "control/nat_range.h"
#include "control/takeover_give.h"
#include "control/takeover_take.h"
#include "control/watch.h"

/* Ticks of the control thread's timer, 100 ms each: nothing tells when a sysctl is written;
 * somebody does so by hand, and seldom. */
#define SYSCTL_TICKS 10
/* Reading the connections may take one part in so many of the thread's time: the kernel walks its
 * whole table, 0.1 ms on a small host and 3 ms on one with 262,144 buckets: each tick, or each 3 s.
 */
#define CONNECTED_SHARE 1000

/* The lowest and highest L4 port of all NAT ranges; false: there is none. */
static bool nat_hull(const struct xe_service *svc, uint16_t *min, uint16_t *max)
{
	uint32_t first = 0, last = XE_BITMAP_WORDS;

	while (first < XE_BITMAP_WORDS && !svc->nat_ports[first])
		first++;
	if (first == XE_BITMAP_WORDS)
		return false;
	while (!svc->nat_ports[last - 1])
		last--;
	*min = (uint16_t)(first << 6 | (uint32_t)__builtin_ctzll(svc->nat_ports[first]));
	*max = (uint16_t)((last << 6) - 1 - (uint32_t)__builtin_clzll(svc->nat_ports[last - 1]));
	return true;
}

void xe_host_l4_connected(struct xe_service *svc)
{
	uint64_t found[XE_BITMAP_WORDS] = {}, start_ns = xe_now_ns();
	bool changed = false;
	uint16_t min, max;

	/* What could not be read stays as it was. */
	if (!svc->sockdiag ||
	    (nat_hull(svc, &min, &max) && xe_sockdiag_connected(svc->sockdiag, min, max, found)))
		return;
	for (uint32_t w = 0; w < XE_BITMAP_WORDS; w++) {
		uint64_t word = found[w] & svc->nat_ports[w];

		if (word == svc->connected[w])
			continue;
		svc->connected[w] = word;
		xe_taken_publish(svc, 0, w);
		changed = true;
	}
	if (changed)
		xe_guarded_publish(svc);
	svc->connected_next_ns = start_ns + CONNECTED_SHARE * (xe_now_ns() - start_ns);
}

/* True: something has changed. */
static bool read_listeners(struct xe_service *svc)
{
	uint64_t found[2][XE_BITMAP_WORDS];
	bool changed = false;

	if (xe_sockdiag_listeners(svc->sockdiag, found[0], found[1]))
		return false; /* keep what we know */
	for (int i = 0; i < 2; i++) {
		for (uint32_t w = 0; w < XE_BITMAP_WORDS; w++) {
			uint64_t word = found[i][w] | svc->reserved[w];

			if (word == svc->listening[i][w])
				continue;
			svc->listening[i][w] = word;
			xe_taken_publish(svc, i, w);
			changed = true;
		}
	}
	return changed;
}

static void read_local_range(struct xe_service *svc)
{
	uint16_t min, max;

	if (xe_sockdiag_local_range(&min, &max) || (min == svc->local_min && max == svc->local_max))
		return;
	svc->local_min = min;
	svc->local_max = max;
	__atomic_store_n(&svc->taken.local, (uint32_t)min << 16 | max, __ATOMIC_RELAXED);
	svc->fallback_stale = true;
	xe_nat_range_default(min, max, &min, &max);
	if (min != svc->default_min || max != svc->default_max) {
		svc->default_moved = true;
		svc->default_refused = false;
	}
	svc->default_min = min;
	svc->default_max = max;
}

static void read_sysctls(struct xe_service *svc)
{
	uint64_t reserved[XE_BITMAP_WORDS];

	if (!xe_sockdiag_reserved(reserved))
		memcpy(svc->reserved, reserved, sizeof(svc->reserved));
	read_local_range(svc);
}

/* Rules that name no `ports` have other ones now. Live flows keep theirs. */
static void move_default(struct xe_service *svc)
{
	char err[256] = "";

	if (xe_give_holds_still(svc) || xe_take_waits(svc) || xe_watch_stalled(svc))
		return; /* with a later tick */
	if (xe_rules_publish(svc, err, sizeof(err))) {
		if (!svc->default_refused)
			xe_log_err("net.ipv4.ip_local_port_range is %u-%u now: %s", svc->local_min,
				   svc->local_max, err);
		svc->default_refused = true; /* tried again each second */
		return;
	}
	svc->default_moved = svc->default_refused = false;
	xe_log_info("net.ipv4.ip_local_port_range is %u-%u now: rules without `ports` translate to "
		    "%u-%u",
		    svc->local_min, svc->local_max, svc->default_min, svc->default_max);
}

void xe_host_l4_open(struct xe_service *svc)
{
	xe_nat_range_default(0, 0, &svc->default_min, &svc->default_max);
	read_sysctls(svc);
	svc->default_moved = false;
	read_listeners(svc);
}

void xe_host_l4_poll(struct xe_service *svc)
{
	bool changed;

	if (svc->ticks % SYSCTL_TICKS == 0)
		read_sysctls(svc);
	if (svc->default_moved && (!svc->default_refused || svc->ticks % SYSCTL_TICKS == 0))
		move_default(svc);
	if (xe_now_ns() >= svc->connected_next_ns)
		xe_host_l4_connected(svc);
	changed = read_listeners(svc);
	if (changed)
		xe_guarded_publish(svc);
	if (!changed || svc->fallback_stale || svc->fallback_why[0])
		return;
	if (xe_fallback_set_listeners(svc->fallback, svc->listening[0], svc->listening[1]))
		svc->fallback_stale = true;
}
