/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* stage_governor.c - the workers' CPUs do not have to speed up first. */
#include <stdio.h>
#include <string.h>

#include "hostfile.h"
#include "stage.h"

#define CPUFREQ "/sys/devices/system/cpu/cpu%d/cpufreq/%s"

static void check_cpu(int cpu, struct tune_report *r)
{
	char path[128], knob[TUNE_KNOB_SIZE], subject[32], words[1024];

	snprintf(subject, sizeof(subject), "cpu%d", cpu);
	snprintf(path, sizeof(path), CPUFREQ, cpu, "scaling_available_governors");
	if (!tune_file_read(path, words, sizeof(words)) && !strstr(words, "performance")) {
		tune_say(r, TUNE_NOTE, subject, "has no governor `performance`, only: %.200s",
			 words);
		return;
	}
	snprintf(knob, sizeof(knob), "file " CPUFREQ, cpu, "scaling_governor");
	tune_want(r, subject, knob, "performance",
		  "a governor that follows the load sees a worker sleep between bursts and clocks "
		  "its CPU down; each burst then begins at the lowest speed");
}

static void check(const struct tune_facts *facts, struct tune_report *r)
{
	char path[128];

	for (unsigned int i = 0; i < facts->cpu_cnt; i++) {
		snprintf(path, sizeof(path), CPUFREQ, facts->cpus[i], "scaling_governor");
		if (tune_file_is(path))
			check_cpu(facts->cpus[i], r);
		else
			tune_say(r, TUNE_OK, "cpufreq",
				 "CPU %d: its speed is not the kernel's business (a virtual "
				 "machine, or the firmware decides)",
				 facts->cpus[i]);
	}
}

const struct tune_stage tune_stage_governor = {
	.name = "governor",
	.what = "CPU frequency governor of the workers' CPUs",
	.explain = "Sets scaling_governor of the workers' CPUs, and of these only, to "
		   "`performance`.\n"
		   "Leave it where power matters more than the first packets of a burst; with "
		   "`wait: busy` the governors reach full speed by themselves. Not kept across a "
		   "reboot.",
	.check = check,
};
