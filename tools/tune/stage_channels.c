/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* stage_channels.c - an uplink has one queue a worker. */
#include <stdio.h>
#include <string.h>

#include "ethtool.h"
#include "stage.h"

static unsigned int least(unsigned int a, unsigned int b)
{
	return a < b ? a : b;
}

/* Combined queues where the driver has them: an AF_XDP socket serves both directions of one. */
static void wanted(const struct ethtool_channels *ch, unsigned int workers, char *text, size_t size)
{
	unsigned int rx = ch->rx_count, tx = ch->tx_count, combined = ch->combined_count;

	if (ch->max_combined) {
		combined = least(ch->max_combined, workers);
		rx = tx = 0;
	} else {
		rx = least(ch->max_rx, workers);
		tx = least(ch->max_tx, workers);
	}
	snprintf(text, size, "rx %u tx %u other %u combined %u", rx, tx, ch->other_count, combined);
}

/* What the kernel keeps for each receive queue goes with the queue. */
static void keep_queues(struct tune_report *r, const char *name, unsigned int from, unsigned int to)
{
	static const char *const files[] = {"mask %s%u/rps_cpus", "file %s%u/rps_flow_cnt"};
	char prefix[64], knob[TUNE_KNOB_SIZE];

	snprintf(prefix, sizeof(prefix), "/sys/class/net/%s/queues/rx-", name);
	for (unsigned int queue = from; queue < to; queue++)
		for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
			snprintf(knob, sizeof(knob), files[i], prefix, queue);
			tune_keep(r, knob);
		}
	snprintf(prefix, sizeof(prefix), "/sys/class/net/%s/queues/tx-", name);
	for (unsigned int queue = from; queue < to; queue++) {
		snprintf(knob, sizeof(knob), "mask %s%u/xps_cpus", prefix, queue);
		tune_keep(r, knob);
	}
}

static void check_uplink(const struct tune_facts *facts, const struct tune_port *port,
			 struct tune_report *r)
{
	struct ethtool_channels ch;
	struct tune_finding *f;
	char knob[TUNE_KNOB_SIZE], want[128];
	unsigned int now;

	if (tune_ethtool_channels(port->name, &ch)) {
		tune_say(r, TUNE_OK, port->name, "has one queue, or its driver does not tell");
		return;
	}
	now = ch.combined_count + ch.rx_count;
	wanted(&ch, facts->cpu_cnt, want, sizeof(want));
	if (now > facts->cpu_cnt)
		keep_queues(r, port->name, facts->cpu_cnt, now);
	snprintf(knob, sizeof(knob), "channels %s", port->name);
	f = tune_want(r, port->name, knob, want, "%u receive queues for %u worker%s: %s", now,
		      facts->cpu_cnt, facts->cpu_cnt == 1 ? "" : "s",
		      now == facts->cpu_cnt ? "one each"
		      : now > facts->cpu_cnt
			      ? "a worker has more sockets to look at, and interrupts on other CPUs"
			      : "as many as there can be, or replies of several workers share one");
	if (f)
		f->at_rest = true;
}

static void check(const struct tune_facts *facts, struct tune_report *r)
{
	unsigned int cnt = 0;

	for (unsigned int i = 0; i < facts->port_cnt; i++) {
		if (!facts->ports[i].uplink)
			continue;
		check_uplink(facts, &facts->ports[i], r);
		cnt++;
	}
	if (!cnt)
		tune_say(r, TUNE_OK, "uplinks", "there is none");
}

const struct tune_stage tune_stage_channels = {
	.name = "channels",
	.what = "queues of the uplinks, one a worker",
	.explain =
		"xegressd binds one AF_XDP socket to each receive queue of a port. With one queue "
		"a worker, each worker polls its own and no queue's packets are handed over. More "
		"queues than workers cost empty polls, and interrupts on CPUs that are not the "
		"workers'. Containers' veths are left alone: the receive queue there is the "
		"sender's transmit queue, so more of them spread nothing.\n"
		"Not done while the service has the port (its sockets are bound to queues): stop "
		"it, apply, start it. Leave it where the host's own traffic on the same card "
		"needs more queues than there are workers. Not kept across a reboot.",
	.check = check,
};
