/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* stage_rings.c - receive rings of the uplinks bridge a worker's waking. */
#include <stdio.h>

#include "ethtool.h"
#include "stage.h"

/* 10 Gb/s of 64 B packets are 15 a microsecond: 1024 bridge some 70 us, the time a sleeping worker
 * takes to wake, several times over. Sizes beyond that only add memory that falls out of the cache.
 */
#define RX_MIN 1024u
/* Four times that and every burst is read from memory: said, not changed. */
#define RX_MUCH 4096u

static void check_uplink(const struct tune_port *port, struct tune_report *r)
{
	struct ethtool_ringparam rings;
	struct tune_finding *f;
	char knob[TUNE_KNOB_SIZE], want[128];
	unsigned int rx;

	if (tune_ethtool_rings(port->name, &rings) || !rings.rx_max_pending) {
		tune_say(r, TUNE_OK, port->name, "has no rings, or its driver does not tell");
		return;
	}
	if (rings.rx_pending > RX_MUCH) {
		tune_say(r, TUNE_NOTE, port->name,
			 "a ring of %u packets: bursts are read from memory, not from the cache; "
			 "ethtool -G %s rx %u unless packets are lost",
			 rings.rx_pending, port->name, RX_MUCH);
		return;
	}
	rx = rings.rx_max_pending < RX_MIN ? rings.rx_max_pending : RX_MIN;
	if (rings.rx_pending > rx)
		rx = rings.rx_pending;
	snprintf(want, sizeof(want), "rx %u rx-mini %u rx-jumbo %u tx %u", rx,
		 rings.rx_mini_pending, rings.rx_jumbo_pending, rings.tx_pending);
	snprintf(knob, sizeof(knob), "rings %s", port->name);
	f = tune_want(
		r, port->name, knob, want,
		"a receive ring of %u packets; a burst that comes while the worker wakes wants %u",
		rings.rx_pending, rx);
	if (f)
		f->at_rest = true;
}

static void check(const struct tune_facts *facts, struct tune_report *r)
{
	for (unsigned int i = 0; i < facts->port_cnt; i++)
		if (facts->ports[i].uplink)
			check_uplink(&facts->ports[i], r);
}

const struct tune_stage tune_stage_rings = {
	.name = "rings",
	.what = "receive rings of the uplinks",
	.explain = "A worker that waits sleeps when nothing comes; what comes until it is awake "
		   "waits in the card's receive ring. Below 1024 packets that is too little at 10 "
		   "Gb/s; above 4096 every packet is out of the cache again before it is read. "
		   "Applied: at least 1024, or what the card has.\n"
		   "Many drivers take the link down for a moment; so it is not done while the "
		   "service has the port. Not kept across a reboot.",
	.check = check,
};
