/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* stage_isolation.c - a busy worker has its CPU for itself. */
#include <stdio.h>
#include <string.h>

#include "hostfile.h"
#include "stage.h"

static void read_list(const char *path, struct tune_cpus *cpus)
{
	char text[TUNE_CPU_TEXT_SIZE];

	if (tune_file_read(path, text, sizeof(text)) || tune_cpus_from_list(cpus, text))
		memset(cpus, 0, sizeof(*cpus));
}

static void check(const struct tune_facts *facts, struct tune_report *r)
{
	static struct tune_cpus workers, isolated, nohz;
	char list[TUNE_CPU_TEXT_SIZE];

	memset(&workers, 0, sizeof(workers));
	for (unsigned int i = 0; i < facts->cpu_cnt; i++)
		if (facts->cpus[i] >= 0 && facts->cpus[i] < TUNE_CPU_MAX)
			workers.is[facts->cpus[i]] = 1;
	read_list("/sys/devices/system/cpu/isolated", &isolated);
	read_list("/sys/devices/system/cpu/nohz_full", &nohz);
	tune_cpus_to_list(&workers, list, sizeof(list));
	if (tune_cpus_within(&workers, &isolated) && tune_cpus_within(&workers, &nohz)) {
		tune_say(r, TUNE_OK, "workers", "CPUs %s are isolated and tickless", list);
		return;
	}
	if (tune_cpus_cnt(&facts->online) < 2 * facts->cpu_cnt + 1) {
		tune_say(r, TUNE_OK, "workers",
			 "not isolated, and rightly: of %u CPUs, %u for the workers alone would "
			 "leave too few to the containers",
			 tune_cpus_cnt(&facts->online), facts->cpu_cnt);
		return;
	}
	/* The other ways of waiting share well: a sleeping worker gets its CPU by its priority. */
	tune_say(r, facts->conf.busy ? TUNE_FINDING : TUNE_NOTE, "workers",
		 "CPUs %s are %s: other tasks and the timer interrupt them%s; on the kernel's "
		 "command line: isolcpus=managed_irq,domain,%s nohz_full=%s rcu_nocbs=%s",
		 list,
		 tune_cpus_within(&workers, &isolated) ? "isolated but not tickless"
						       : "not isolated",
		 facts->conf.busy ? ", and `wait: busy` takes all of their time" : "", list, list,
		 list);
}

const struct tune_stage tune_stage_isolation = {
	.name = "isolation",
	.what = "CPUs of busy workers are isolated",
	.explain =
		"isolcpus keeps the scheduler from putting other tasks on the workers' CPUs, "
		"nohz_full stops the timer there, rcu_nocbs moves the kernel's deferred work "
		"away: fewer and shorter gaps in a worker's attention, which shows in p99.9. All "
		"three are words of the kernel's command line: this stage says which, and changes "
		"nothing.\n"
		"Asked for with `wait: busy` only, where a worker takes its CPU wholly; advice "
		"otherwise. Leave it on hosts with few CPUs (fewer than twice the workers and "
		"one): the containers need them more. Lasting, since it stands in the boot "
		"loader's configuration.",
	.check = check,
};
