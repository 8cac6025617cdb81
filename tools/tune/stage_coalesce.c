/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* stage_coalesce.c - an uplink's card does not sit on replies. */
#include <stdio.h>

#include "ethtool.h"
#include "stage.h"

/* More than this is felt in every request and response; drivers' own defaults are at most 50. */
#define DELAY_MAX_US 100u
#define DELAY_US     50u

static void check_uplink(const struct tune_port *port, struct tune_report *r)
{
	char knob[TUNE_KNOB_SIZE], have[128], want[128];
	unsigned int rx_us, rx_frames, tx_us, tx_frames, rx_adaptive, tx_adaptive;

	if (tune_coalesce_read(port->name, have, sizeof(have)) ||
	    sscanf(have,
		   "rx-usecs %u rx-frames %u tx-usecs %u tx-frames %u adaptive-rx %u adaptive-tx "
		   "%u",
		   &rx_us, &rx_frames, &tx_us, &tx_frames, &rx_adaptive, &tx_adaptive) != 6) {
		tune_say(r, TUNE_OK, port->name, "does not delay interrupts, or does not tell");
		return;
	}
	if (rx_adaptive || rx_us <= DELAY_MAX_US) {
		tune_say(r, TUNE_OK, port->name, "an interrupt waits at most %u us%s", rx_us,
			 rx_adaptive ? ", adapted to the load" : "");
		return;
	}
	snprintf(want, sizeof(want),
		 "rx-usecs %u rx-frames %u tx-usecs %u tx-frames %u adaptive-rx %u adaptive-tx %u",
		 DELAY_US, rx_frames, tx_us, tx_frames, rx_adaptive, tx_adaptive);
	snprintf(knob, sizeof(knob), "coalesce %s", port->name);
	tune_want(r, port->name, knob, want, "an interrupt waits up to %u us for more packets",
		  rx_us);
}

static void check(const struct tune_facts *facts, struct tune_report *r)
{
	for (unsigned int i = 0; i < facts->port_cnt; i++)
		if (facts->ports[i].uplink)
			check_uplink(&facts->ports[i], r);
}

const struct tune_stage tune_stage_coalesce = {
	.name = "coalesce",
	.what = "delay of an uplink's receive interrupts",
	.explain =
		"A card may hold its interrupt back until more packets are there. xegressd works "
		"in batches anyway, so a long delay buys nothing but latency. Applied where it is "
		"fixed at more than 100 us: 50 us. Adaptive coalescing is left alone.\n"
		"Leave it where CPU time counts more than latency. Not kept across a reboot.",
	.check = check,
};
