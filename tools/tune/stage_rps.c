/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* stage_rps.c - which CPU copies what a container sends: the sender's (RPS off), or another one. */
#include <stdio.h>

#include "stage.h"

static void check_port(const struct tune_facts *facts, const struct tune_port *port,
		       struct tune_report *r)
{
	char knob[TUNE_KNOB_SIZE], subject[64];
	unsigned int queue_cnt = tune_rx_queue_cnt(port->name);

	for (unsigned int queue = 0; queue < queue_cnt; queue++) {
		snprintf(knob, sizeof(knob), "mask /sys/class/net/%s/queues/rx-%u/rps_cpus",
			 port->name, queue);
		snprintf(subject, sizeof(subject), "%s rx-%u", port->name, queue);
		if (facts->rps)
			tune_want(r, subject, knob, facts->rps, "asked for by --rps");
		else
			tune_want(r, subject, knob, "0",
				  "moving packets to another CPU before the XDP program costs TCP "
				  "more than "
				  "the sender's CPU gains");
	}
}

static void check(const struct tune_facts *facts, struct tune_report *r)
{
	for (unsigned int i = 0; i < facts->port_cnt; i++)
		check_port(facts, &facts->ports[i], r);
}

const struct tune_stage tune_stage_rps = {
	.name = "rps",
	.what = "RPS of the ports is off",
	.explain = "In generic mode the kernel copies every packet of a container for the XDP "
		   "program, and once "
		   "more into the worker's frames, on the CPU that sends. RPS (rps_cpus) moves "
		   "both to other "
		   "CPUs, at the price of an interrupt between CPUs and of data that crosses "
		   "caches. Measured "
		   "on two CPUs it cost TCP bulk a quarter and more, to the worker's CPU and "
		   "beside it "
		   "alike, and brought UDP of 64 bytes nothing (docs/tuning.md). Applied: off, "
		   "as the kernel has it.\n"
		   "--rps CPUS asks for these CPUs on all ports instead, for hosts with CPUs to "
		   "spare: try it "
		   "there with the real load; then say it to `check`, too. In native mode RPS does "
		   "nothing for what xegress takes. Not kept across a reboot.",
	.check = check,
};
