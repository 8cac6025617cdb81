/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * conf.h - what tuning has to know of the service's configuration: CPUs of the workers, ports, and
 * the L4 ports it translates to.
 *
 * A reader of its own and no second judge: `xegressd --check` says whether a file is good as a
 * whole, this refuses only what it cannot understand of its part.
 */
#ifndef XE_TUNE_CONF_H
#define XE_TUNE_CONF_H

#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>

#include "xegress/types.h"

struct tune_conf_port {
	char name[IFNAMSIZ]; /* or a glob */
	bool uplink;
};

/* L4 ports that a rule translates to. */
struct tune_range {
	unsigned int rule; /* from 1 */
	unsigned int from, to;
};

struct tune_conf {
	int cpus[XE_MAX_WORKERS];
	unsigned int cpu_cnt; /* 0: none configured; the service takes the last allowed one */
	bool busy;            /* wait: busy */
	struct tune_conf_port *ports;
	unsigned int port_cnt;
	char (*deny)[IFNAMSIZ];
	unsigned int deny_cnt;
	struct tune_range *ranges;
	unsigned int range_cnt;
};

/* `name` is for messages. 0, or -errno after filling `err` with one line that starts with file and
 * line. The caller frees with tune_conf_free(), on errors, too. */
int tune_conf_parse(struct tune_conf *conf, const char *name, const char *text, size_t len,
		    char *err, size_t err_size);
int tune_conf_load(struct tune_conf *conf, const char *file, char *err, size_t err_size);
void tune_conf_free(struct tune_conf *conf);

/* The entry that catches an interface, as the service chooses: none when denied, an explicit name
 * before a glob, the first glob. */
const struct tune_conf_port *tune_conf_match(const struct tune_conf *conf, const char *name);

#endif
