/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* stage_irq.c - the interrupt of an uplink's queue goes to the CPU of the worker that polls it. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hostfile.h"
#include "stage.h"

/*
 * Which queue is an interrupt of? By its name: eth0-TxRx-3, mlx5_comp3@pci:0000:...,
 * virtio0-input.3, i40e-eth0-TxRx-3, ena-mgmnt@..., virtio0-config. The number follows a word that
 * says queue. -1: none.
 */
static int queue_of(const char *action)
{
	static const char *const words[] = {"TxRx-", "Tx-Rx-", "rx-", "input.", "output.",
					    "comp",  "tx-",    "fp-", "queue-", "-rx",
					    "-Rx-",  "-Tx-",   "-q",  "rxtx-"};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		const char *at = strcasestr(action, words[i]);

		if (at && isdigit((unsigned char)at[strlen(words[i])]))
			return atoi(at + strlen(words[i]));
	}
	return -1;
}

static void check_irq(const struct tune_facts *facts, const struct tune_port *port, const char *irq,
		      struct tune_report *r)
{
	char path[128], action[256], knob[TUNE_KNOB_SIZE], cpu[16], subject[64];
	int queue;

	snprintf(path, sizeof(path), "/sys/kernel/irq/%.10s/actions", irq);
	if (tune_file_read(path, action, sizeof(action)))
		return;
	queue = queue_of(action);
	if (queue < 0)
		return; /* its configuration, or its health */
	snprintf(knob, sizeof(knob), "list /proc/irq/%.10s/smp_affinity_list", irq);
	snprintf(cpu, sizeof(cpu), "%d", tune_queue_cpu(facts, (unsigned int)queue));
	snprintf(subject, sizeof(subject), "%s irq %.10s", port->name, irq);
	tune_want(r, subject, knob, cpu,
		  "%.40s: packets of queue %d are worked on by CPU %s; raised elsewhere, they "
		  "cross from one cache to another",
		  action, queue, cpu);
}

/* On virtio the card is the parent of the device. */
static int interrupts_of(const char *name, char ***irqs)
{
	static const char *const where[] = {"device/msi_irqs", "device/../msi_irqs"};
	char path[128];
	int cnt = -1;

	for (size_t i = 0; i < 2 && cnt <= 0; i++) {
		snprintf(path, sizeof(path), "/sys/class/net/%s/%s", name, where[i]);
		cnt = tune_folder(path, "", irqs);
	}
	return cnt;
}

/* It would undo all this within ten seconds. */
static bool irqbalance_runs(void)
{
	char path[64], comm[32], **pids;
	int cnt = tune_folder("/proc", "", &pids);
	bool runs = false;

	for (int i = 0; i < cnt && !runs; i++) {
		if (!isdigit((unsigned char)pids[i][0]))
			continue;
		snprintf(path, sizeof(path), "/proc/%.10s/comm", pids[i]);
		runs = !tune_file_read(path, comm, sizeof(comm)) && !strcmp(comm, "irqbalance");
	}
	if (cnt >= 0)
		tune_folder_free(pids, cnt);
	return runs;
}

static void check(const struct tune_facts *facts, struct tune_report *r)
{
	unsigned int first = r->cnt;

	for (unsigned int i = 0; i < facts->port_cnt; i++) {
		const struct tune_port *port = &facts->ports[i];
		char **irqs = NULL;
		int cnt =
			port->uplink && tune_is_device(port) ? interrupts_of(port->name, &irqs) : 0;

		for (int j = 0; j < cnt; j++)
			check_irq(facts, port, irqs[j], r);
		if (cnt > 0)
			tune_folder_free(irqs, cnt);
	}
	if (r->cnt == first)
		tune_say(r, TUNE_OK, "uplinks", "none has interrupts of its own");
	else if (irqbalance_runs())
		tune_say(r, TUNE_FINDING, "irqbalance",
			 "runs, and moves interrupts as it sees fit: stop it, or name these "
			 "interrupts in IRQBALANCE_ARGS=--banirq=N");
}

const struct tune_stage tune_stage_irq = {
	.name = "irq",
	.what = "interrupts of the uplinks' queues on the workers' CPUs",
	.explain =
		"The interrupt of a queue decides which CPU runs the driver and the XDP program "
		"for it. On the CPU of the worker that polls the queue, packets are in its cache "
		"already; and a worker that is busy delays the driver, not the other way round, "
		"so overload is lost in the card, where it costs nothing. Queue q goes to worker "
		"q modulo their number.\n"
		"Leave it where cards are in copy mode and a CPU is to spare: the driver on the "
		"CPU beside the worker's (same socket) then does the copying there. An interrupt "
		"that the kernel manages by itself refuses, and then the stage changes none. "
		"irqbalance must leave them alone. Not kept across a reboot.",
	.check = check,
};
