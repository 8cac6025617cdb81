/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* stage_rps.c - what containers send is not received on a worker's CPU. */
#include <stdio.h>

#include <string.h>

#include "hostfile.h"
#include "stage.h"

/* Online, and no worker's. */
static void other_cpus(const struct tune_facts *facts, struct tune_cpus *cpus)
{
	*cpus = facts->online;
	for (unsigned int i = 0; i < facts->cpu_cnt; i++)
		if (facts->cpus[i] >= 0 && facts->cpus[i] < TUNE_CPU_MAX)
			cpus->is[facts->cpus[i]] = 0;
}

static bool meets_worker(const struct tune_facts *facts, const struct tune_cpus *cpus)
{
	for (unsigned int i = 0; i < facts->cpu_cnt; i++)
		if (facts->cpus[i] >= 0 && facts->cpus[i] < TUNE_CPU_MAX &&
		    cpus->is[facts->cpus[i]])
			return true;
	return false;
}

/* While the service has the port it sets no mask any more; otherwise an empty one is what it wants
 * to find, to set its own. */
static void want_others(const struct tune_facts *facts, const struct tune_port *port,
			const char *subject, const char *knob, struct tune_report *r)
{
	char mask[TUNE_CPU_TEXT_SIZE] = "0";
	static struct tune_cpus others;

	if (port->attached) {
		other_cpus(facts, &others);
		tune_cpus_to_mask(&others, mask, sizeof(mask));
	}
	tune_want(r, subject, knob, mask,
		  "RPS brings what arrives to a worker's CPU: the copies for XDP and AF_XDP are "
		  "made there, and the worker's ring overflows while its reader makes them");
}

static void check_queue(const struct tune_facts *facts, const struct tune_port *port,
			const char *subject, const char *knob, struct tune_report *r)
{
	char have[TUNE_VALUE_SIZE];
	static struct tune_cpus cpus;
	int err = tune_knob_read(knob, have, sizeof(have));

	if (!err)
		err = tune_cpus_from_mask(&cpus, have);
	if (facts->rps)
		tune_want(r, subject, knob, facts->rps, "asked for by --rps");
	else if (err || meets_worker(facts, &cpus))
		want_others(facts, port, subject, knob, r); /* says what could not be read, too */
	else
		tune_say(r, TUNE_OK, subject, "%s",
			 tune_cpus_cnt(&cpus)
				 ? "received off the workers' CPUs"
				 : "no mask: xegressd sets its own on a veth while it has the port "
				   "(`rps: auto`), if there are CPUs without a worker");
}

static void check_port(const struct tune_facts *facts, const struct tune_port *port,
		       struct tune_report *r)
{
	char knob[TUNE_KNOB_SIZE], subject[64];
	unsigned int queue_cnt = tune_rx_queue_cnt(port->name);

	for (unsigned int queue = 0; queue < queue_cnt; queue++) {
		snprintf(knob, sizeof(knob), "mask /sys/class/net/%s/queues/rx-%u/rps_cpus",
			 port->name, queue);
		snprintf(subject, sizeof(subject), "%s rx-%u", port->name, queue);
		check_queue(facts, port, subject, knob, r);
	}
}

static void check(const struct tune_facts *facts, struct tune_report *r)
{
	for (unsigned int i = 0; i < facts->port_cnt; i++)
		check_port(facts, &facts->ports[i], r);
}

const struct tune_stage tune_stage_rps = {
	.name = "rps",
	.what = "RPS brings nothing to the workers' CPUs",
	.explain =
		"In generic mode the kernel copies every packet of a container for the XDP "
		"program, and once more into the worker's frames, on the CPU that sends; that can "
		"be the worker's own, when an acknowledgement it delivers makes the container "
		"send. RPS (rps_cpus) moves both copies. xegressd itself sets it, on veth ports "
		"in generic mode where nobody has, to the CPUs without a worker, and takes it "
		"back (`rps: auto`). What is left to the host: masks set by somebody that contain "
		"a worker's CPU, which the service respects. Applied: such a mask is emptied, so "
		"that the service sets its own; while it has the port, its CPUs without a "
		"worker.\n"
		"--rps CPUS asks for these on all ports instead: try it with the real load, then "
		"say it to `check`, too. Leave a mask that was measured to be better. In native "
		"mode RPS does nothing for what xegress takes. `undo` while the service runs "
		"finds its mask and leaves it: stop it first, or --force. Not kept across a "
		"reboot.",
	.check = check,
};
