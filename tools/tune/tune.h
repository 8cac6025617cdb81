/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * tune.h - what a stage sees (facts) and what it says (findings).
 *
 * A stage looks after one setting of the host. Its check() compares what is there with what this
 * service wants, and says so; it writes nothing. A finding that names a knob and the value it
 * should have is something that `apply` can carry out: that, the record of it and `undo` are the
 * same for all stages (change.c). A stage without knobs can only advise.
 *
 * One thread, one process, one run.
 */
#ifndef XE_TUNE_TUNE_H
#define XE_TUNE_TUNE_H

#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>

#include "conf.h"
#include "cpulist.h"
#include "knob.h"

struct tune_port {
	char name[IFNAMSIZ];
	bool uplink;
	bool attached;   /* the running service has it */
	int cpu;         /* of the worker that owns it, -1: not known */
	char driver[32]; /* "" unknown */
};

struct tune_facts {
	struct tune_conf conf;
	bool running; /* the service answered; then ports and workers are its own words */
	int pid;      /* of it */
	int cpus[XE_MAX_WORKERS];
	unsigned int cpu_cnt; /* at least 1 */
	struct tune_port *ports;
	unsigned int port_cnt;
	struct tune_cpus online;
	unsigned int hugepages; /* --hugepages: 2 MiB pages to keep on each node of a worker */
	const char *rps;        /* --rps: mask of CPUs, NULL: what is best as measured */
	bool threaded;          /* --threaded */
	unsigned int kernel[2]; /* 6, 18 */
};

/* In the order of what they ask for: a note asks for nothing and does not change the exit code. */
enum tune_state { TUNE_OK, TUNE_NOTE, TUNE_FINDING };

struct tune_finding {
	const char *stage;
	char subject[64]; /* interface, CPU or setting, for people */
	enum tune_state state;
	char knob[TUNE_KNOB_SIZE]; /* "": nothing that apply could do */
	char *have, *want;         /* of the knob; NULL without */
	char *why;
	bool at_rest; /* only while the service does not have the port */
	bool keep; /* not to be changed, only to be put back after what comes next: a change there
		    * makes the kernel forget it */
};

struct tune_report {
	const char *stage; /* at work now */
	struct tune_finding *findings;
	unsigned int cnt;
	bool failed; /* no memory: the list is not whole */
};

struct tune_stage {
	const char *name;
	const char *what;    /* one line */
	const char *explain; /* what, why, when not to, lasting across reboots */
	void (*check)(const struct tune_facts *facts, struct tune_report *report);
};

extern const struct tune_stage *const tune_stages[];
extern const unsigned int tune_stage_cnt;

/* ---- what a stage says ---- */

void __attribute__((format(printf, 4, 5)))
tune_say(struct tune_report *report, enum tune_state state, const char *subject, const char *fmt,
	 ...);

/* The knob should have that value: fine, or a finding, or a note that there is no such thing here.
 */
struct tune_finding *__attribute__((format(printf, 5, 6)))
tune_want(struct tune_report *report, const char *subject, const char *knob, const char *want,
	  const char *fmt, ...);

/* The knob is about to be lost by the change that comes next. */
void tune_keep(struct tune_report *report, const char *knob);

void tune_report_free(struct tune_report *report);

/* ---- facts ---- */

/* A worker's CPU for queue `queue` of a port: in turn. */
int tune_queue_cpu(const struct tune_facts *facts, unsigned int queue);
/* Has it hardware queues, an interrupt, a node: anything but a veth, a bridge, a tap? */
bool tune_is_device(const struct tune_port *port);
/* Receive queues by sysfs, at least 1. */
unsigned int tune_rx_queue_cnt(const char *name);
/* NUMA node of a CPU, -1: this host has none. */
int tune_cpu_node(int cpu);

/* Ask the service, else read the file and look at the interfaces. `file` NULL: the running
 * configuration, or the default file if there is one. 0, or -errno with one line in `err`. */
int tune_facts_gather(struct tune_facts *facts, const char *file, const char *run_dir, char *err,
		      size_t err_size);
void tune_facts_free(struct tune_facts *facts);

#endif
