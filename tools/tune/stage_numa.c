/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* stage_numa.c - workers sit beside their network cards, and not two on one core. */
#include <stdio.h>
#include <string.h>

#include "hostfile.h"
#include "stage.h"

static void node_cpus(int node, struct tune_cpus *cpus)
{
	char path[128], text[TUNE_CPU_TEXT_SIZE];

	snprintf(path, sizeof(path), "/sys/devices/system/node/node%d/cpulist", node);
	if (tune_file_read(path, text, sizeof(text)) || tune_cpus_from_list(cpus, text))
		memset(cpus, 0, sizeof(*cpus));
}

/* As many CPUs of the node as there are workers, its last ones: the first do the host's work. */
static void suggest(const struct tune_facts *facts, int node, char *text, size_t size)
{
	static struct tune_cpus cpus;
	unsigned int spare;

	node_cpus(node, &cpus);
	spare = tune_cpus_cnt(&cpus);
	for (int cpu = 0; cpu < TUNE_CPU_MAX && spare > facts->cpu_cnt; cpu++) {
		spare -= cpus.is[cpu];
		cpus.is[cpu] = 0;
	}
	tune_cpus_to_list(&cpus, text, size);
}

static void check_card(const struct tune_facts *facts, const struct tune_port *port,
		       struct tune_report *r)
{
	char path[128], better[TUNE_CPU_TEXT_SIZE];
	bool beside = false;
	long node;

	snprintf(path, sizeof(path), "/sys/class/net/%s/device/numa_node", port->name);
	node = tune_file_number(path, -1);
	if (node < 0) {
		tune_say(r, TUNE_OK, port->name, "belongs to no node: any CPU is as near");
		return;
	}
	for (unsigned int i = 0; i < facts->cpu_cnt; i++)
		beside |= tune_cpu_node(facts->cpus[i]) == node;
	if (beside) {
		tune_say(r, TUNE_OK, port->name, "a worker runs on its node %ld", node);
		return;
	}
	suggest(facts, (int)node, better, sizeof(better));
	tune_say(r, TUNE_FINDING, port->name,
		 "is on node %ld, and no worker is: every packet crosses between the sockets "
		 "twice; configure `workers: [%.64s]`",
		 node, better);
}

static void check_cores(const struct tune_facts *facts, struct tune_report *r)
{
	static struct tune_cpus siblings;
	char path[128], text[TUNE_CPU_TEXT_SIZE];

	for (unsigned int i = 0; i < facts->cpu_cnt; i++) {
		snprintf(path, sizeof(path),
			 "/sys/devices/system/cpu/cpu%d/topology/thread_siblings_list",
			 facts->cpus[i]);
		if (tune_file_read(path, text, sizeof(text)) ||
		    tune_cpus_from_list(&siblings, text))
			continue;
		for (unsigned int j = i + 1; j < facts->cpu_cnt; j++)
			if (facts->cpus[j] < TUNE_CPU_MAX && siblings.is[facts->cpus[j]])
				tune_say(r, TUNE_NOTE, "workers",
					 "CPUs %d and %d are threads of one core: two workers "
					 "there do little more than one; take CPUs of two cores",
					 facts->cpus[i], facts->cpus[j]);
	}
}

static void check(const struct tune_facts *facts, struct tune_report *r)
{
	unsigned int device_cnt = 0;

	for (unsigned int i = 0; i < facts->port_cnt; i++) {
		if (!tune_is_device(&facts->ports[i]))
			continue;
		check_card(facts, &facts->ports[i], r);
		device_cnt++;
	}
	check_cores(facts, r);
	if (!device_cnt)
		tune_say(r, TUNE_OK, "ports", "none of them is a network card: nothing to be near");
}

const struct tune_stage tune_stage_numa = {
	.name = "numa",
	.what = "workers on the node of their network card",
	.explain =
		"A network card hangs on one processor socket; a worker on another one fetches "
		"every packet over the link between them. xegressd puts a worker's memory on the "
		"worker's node; where the worker runs is the configuration's word (`workers`), so "
		"this stage advises and changes nothing. Also said: two workers on the threads of "
		"one core.\n"
		"Leave it where the containers' memory is on the worker's node and most traffic "
		"stays between containers.",
	.check = check,
};
