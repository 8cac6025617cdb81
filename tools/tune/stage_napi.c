/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* stage_napi.c - NAPI of the ports runs where packets come in, not in threads of the kernel. */
#include <stdio.h>

#include "stage.h"

static void check(const struct tune_facts *facts, struct tune_report *r)
{
	char knob[TUNE_KNOB_SIZE];

	for (unsigned int i = 0; i < facts->port_cnt; i++) {
		const char *name = facts->ports[i].name;

		snprintf(knob, sizeof(knob), "file /sys/class/net/%s/threaded", name);
		if (facts->threaded)
			tune_want(r, name, knob, "1", "asked for by --threaded");
		else
			tune_want(r, name, knob, "0",
				  "a thread between the sender and the worker is one more switch "
				  "for each burst, and competes with the worker for a CPU");
	}
}

const struct tune_stage tune_stage_napi = {
	.name = "napi",
	.what = "threaded NAPI of the ports is off",
	.explain = "With threaded NAPI a kernel thread, which the scheduler may put on any CPU, "
		   "takes packets from the port and runs the XDP program. On a veth it does "
		   "something only where GRO is on or the program native; measured there, it "
		   "brought no gain for UDP of 64 bytes and cost TCP (docs/tuning.md). Applied: "
		   "off, as the kernel has it.\n"
		   "--threaded turns it on instead, for hosts with CPUs to spare; then say it to "
		   "`check`, too. It only works while the port has a NAPI (a card has). Not kept "
		   "across a reboot.",
	.check = check,
};
