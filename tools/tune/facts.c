/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * facts.c - ports, workers and L4 ports of the service: from itself while it runs (it knows which
 * interfaces its globs have caught, and which worker has which), else from its file and the
 * interfaces that are there.
 */
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "ask.h"
#include "ethtool.h"
#include "hostfile.h"
#include "tune.h"

#define DEFAULT_FILE "/etc/xegress/xegress.yaml"

static struct tune_port *add_port(struct tune_facts *facts, const char *name, bool uplink)
{
	struct tune_port *more, *port;

	more = realloc(facts->ports, (facts->port_cnt + 1) * sizeof(*more));
	if (!more)
		return NULL;
	facts->ports = more;
	port = &more[facts->port_cnt++];
	*port = (struct tune_port){.uplink = uplink, .cpu = -1};
	snprintf(port->name, sizeof(port->name), "%s", name);
	tune_ethtool_driver(name, port->driver, sizeof(port->driver));
	return port;
}

/* ---- the running service ---- */

static int worker_cpu(const json_t *workers, json_int_t id)
{
	json_t *w;
	size_t i;

	json_array_foreach (workers, i, w)
		if (json_integer_value(json_object_get(w, "id")) == id)
			return (int)json_integer_value(json_object_get(w, "cpu"));
	return -1;
}

static int take_status(struct tune_facts *facts, const json_t *st)
{
	json_t *workers = json_object_get(st, "workers"), *item, *owner;
	size_t i;

	facts->pid = (int)json_integer_value(json_object_get(st, "pid"));
	json_array_foreach (workers, i, item)
		if (facts->cpu_cnt < XE_MAX_WORKERS)
			facts->cpus[facts->cpu_cnt++] =
				(int)json_integer_value(json_object_get(item, "cpu"));
	json_array_foreach (json_object_get(st, "ports"), i, item) {
		const char *name = json_string_value(json_object_get(item, "name"));
		const char *role = json_string_value(json_object_get(item, "role"));
		const char *state = json_string_value(json_object_get(item, "state"));
		struct tune_port *port;

		if (!name || !role || !state || !tune_ifindex(name))
			continue; /* waits for its interface */
		port = add_port(facts, name, !strcmp(role, "uplink"));
		if (!port)
			return -ENOMEM;
		port->attached = !strcmp(state, "attached");
		owner = json_object_get(item, "worker");
		if (json_is_integer(owner))
			port->cpu = worker_cpu(workers, json_integer_value(owner));
	}
	return 0;
}

/* -ENOENT: it does not run. */
static int ask_service(struct tune_facts *facts, const char *run_dir, char *err, size_t err_size)
{
	json_t *st = NULL, *config = NULL;
	const char *text;
	int ret = tune_ask(run_dir, "status", &st);

	if (!ret)
		ret = tune_ask(run_dir, "config", &config);
	text = json_string_value(json_object_get(config, "text"));
	if (!ret && !text)
		ret = -EPROTO;
	if (!ret)
		ret = take_status(facts, st);
	if (!ret)
		ret = tune_conf_parse(&facts->conf, "(running configuration)", text, strlen(text),
				      err, err_size);
	else if (ret != -ENOENT)
		snprintf(err, err_size, "%s/ctl.sock: the service runs but does not tell: %s",
			 run_dir, strerror(-ret));
	facts->running = !ret;
	json_decref(st);
	json_decref(config);
	return ret;
}

/* ---- the file and what is there ---- */

static int last_allowed_cpu(void)
{
	cpu_set_t set;
	int last = 0;

	CPU_ZERO(&set);
	sched_getaffinity(0, sizeof(set), &set);
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
		if (CPU_ISSET(cpu, &set))
			last = cpu;
	return last;
}

static int match_interfaces(struct tune_facts *facts)
{
	struct if_nameindex *all = NULL;
	char **names = NULL;
	int cnt = 0, err = 0;

	if (tune_files_fake())
		cnt = tune_folder("/sys/class/net", "", &names);
	else if (!(all = if_nameindex()))
		return -errno;
	for (int i = 0; !err && (all ? all[i].if_index != 0 : i < cnt); i++) {
		const char *name = all ? all[i].if_name : names[i];
		const struct tune_conf_port *entry = tune_conf_match(&facts->conf, name);

		if (entry && !add_port(facts, name, entry->uplink))
			err = -ENOMEM;
	}
	if (all)
		if_freenameindex(all);
	tune_folder_free(names, cnt);
	return err;
}

static int read_config(struct tune_facts *facts, const char *file, char *err, size_t err_size)
{
	int ret;

	if (!file && access(DEFAULT_FILE, F_OK)) {
		snprintf(err, err_size,
			 "no service runs, and there is no " DEFAULT_FILE ": say -c FILE");
		return -ENOENT;
	}
	ret = tune_conf_load(&facts->conf, file ? file : DEFAULT_FILE, err, err_size);
	if (ret)
		return ret;
	facts->cpu_cnt = facts->conf.cpu_cnt;
	memcpy(facts->cpus, facts->conf.cpus, sizeof(facts->cpus));
	if (!facts->cpu_cnt) {
		facts->cpus[0] = last_allowed_cpu();
		facts->cpu_cnt = 1;
	}
	ret = match_interfaces(facts);
	if (ret)
		snprintf(err, err_size, "interfaces cannot be listed: %s", strerror(-ret));
	return ret;
}

static void look_at_host(struct tune_facts *facts)
{
	char text[TUNE_CPU_TEXT_SIZE];
	struct utsname uts;

	if (uname(&uts) || sscanf(uts.release, "%u.%u", &facts->kernel[0], &facts->kernel[1]) != 2)
		facts->kernel[0] = facts->kernel[1] = 0;
	if (tune_file_read("/sys/devices/system/cpu/online", text, sizeof(text)) ||
	    tune_cpus_from_list(&facts->online, text))
		memset(&facts->online, 0, sizeof(facts->online));
	/* One worker has all ports; with more, only the service knows. */
	for (unsigned int i = 0; i < facts->port_cnt; i++)
		if (facts->ports[i].cpu < 0 && facts->cpu_cnt == 1)
			facts->ports[i].cpu = facts->cpus[0];
}

/* The file is another's word, but what the service has attached is not to be shaken. */
static void mark_attached(struct tune_facts *facts, const char *run_dir)
{
	json_t *st = NULL, *item;
	size_t i;

	if (tune_ask(run_dir, "status", &st))
		return;
	json_array_foreach (json_object_get(st, "ports"), i, item) {
		const char *name = json_string_value(json_object_get(item, "name"));
		const char *state = json_string_value(json_object_get(item, "state"));

		for (unsigned int p = 0; name && state && p < facts->port_cnt; p++)
			if (!strcmp(facts->ports[p].name, name))
				facts->ports[p].attached = !strcmp(state, "attached");
	}
	json_decref(st);
}

int tune_facts_gather(struct tune_facts *facts, const char *file, const char *run_dir, char *err,
		      size_t err_size)
{
	int ret;

	/* A file that was named is what the caller wants to know about, and may be another. */
	ret = file ? -ENOENT : ask_service(facts, run_dir, err, err_size);
	if (ret == -ENOENT)
		ret = read_config(facts, file, err, err_size);
	if (!ret && file)
		mark_attached(facts, run_dir);
	if (!ret)
		look_at_host(facts);
	return ret;
}

void tune_facts_free(struct tune_facts *facts)
{
	tune_conf_free(&facts->conf);
	free(facts->ports);
	facts->ports = NULL;
	facts->port_cnt = 0;
}

/* ---- small questions of the stages ---- */

int tune_queue_cpu(const struct tune_facts *facts, unsigned int queue)
{
	return facts->cpus[queue % facts->cpu_cnt];
}

bool tune_is_device(const struct tune_port *port)
{
	char path[128];

	snprintf(path, sizeof(path), "/sys/class/net/%s/device", port->name);
	return tune_sysfs_net() && tune_file_is(path);
}

unsigned int tune_rx_queue_cnt(const char *name)
{
	char path[128], **names;
	int cnt;

	snprintf(path, sizeof(path), "/sys/class/net/%s/queues", name);
	cnt = tune_sysfs_net() ? tune_folder(path, "rx-", &names) : 0;
	if (cnt > 0)
		tune_folder_free(names, cnt);
	return cnt > 0 ? (unsigned int)cnt : 1;
}

int tune_cpu_node(int cpu)
{
	char path[128], **names;
	int cnt, node = -1;

	snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu%d", cpu);
	cnt = tune_folder(path, "node", &names);
	if (cnt > 0)
		node = atoi(names[0] + strlen("node"));
	if (cnt >= 0)
		tune_folder_free(names, cnt);
	return node;
}
