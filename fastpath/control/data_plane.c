/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "control/data_plane.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>

#include "base/insum.h"
#include "base/log.h"
#include "control/memlock.h"
#include "control/standstill.h"
#include "control/state_dir.h"
#include "control/takeover_take.h"
#include "io/tun.h"

/* Frames of all workers together: 1024 for receiving for each of the first dozens of ports, and
 * what is in flight: 128 MiB. The kernel keeps some 120 bytes a frame for every socket, so more
 * workers share them; but a worker needs enough for what it lends. */
#define AREA_FRAMES   32768u
#define WORKER_FRAMES 8192u

static int default_cpu(void)
{
	cpu_set_t cpus;
	int last = 0;

	if (!sched_getaffinity(0, sizeof(cpus), &cpus))
		for (int i = 0; i < CPU_SETSIZE; i++)
			if (CPU_ISSET(i, &cpus))
				last = i;
	return last;
}

static int worker_cpu(const struct xe_service *svc, uint32_t worker)
{
	return svc->config->worker_cnt ? svc->config->workers[worker] : default_cpu();
}

/* Frames of each worker. */
static uint32_t slice_frames(const struct xe_service *svc)
{
	uint32_t slice = AREA_FRAMES / svc->worker_cnt;

	return slice < WORKER_FRAMES ? WORKER_FRAMES : slice;
}

int xe_data_plane_check(const struct xe_service *svc)
{
	size_t area_size = ((size_t)slice_frames(svc) * svc->worker_cnt) << XE_FRAME_SHIFT;
	unsigned int sockets = 0;
	char why[256];

	for (uint32_t i = 0; i < svc->config->port_cnt; i++)
		sockets += !strpbrk(svc->config->ports[i].name, "*?[");
	xe_memlock_raise();
	if (xe_memlock_suffices(area_size, sockets ? sockets : 1, why, sizeof(why)))
		return 0;
	xe_log_err("%s", why);
	return -ENOBUFS;
}

/* Memory, rings and the table of claims: what the workers have in common. */
static int open_shared(struct xe_service *svc)
{
	uint32_t slice = slice_frames(svc);
	int nodes[XE_MAX_WORKERS], err = 0;

	for (uint32_t i = 0; i < svc->worker_cnt; i++)
		nodes[i] = xe_cpu_node(worker_cpu(svc, i));
	if (!svc->take || !xe_take_area(svc))
		err = xe_area_open(&svc->area, slice, nodes, svc->worker_cnt);
	if (!err && svc->worker_cnt > 1)
		err = xe_handoff_open(&svc->handoff, svc->worker_cnt, svc->area.slice_cnt);
	if (!err && svc->worker_cnt > 1)
		err = xe_outside_open(&svc->outside, svc->config->limits.sessions);
	svc->claims = calloc(1, sizeof(*svc->claims));
	svc->terms = xe_terms_table_new();
	return err ? err : svc->claims && svc->terms ? 0 : -ENOMEM;
}

void xe_data_plane_close_shared(struct xe_service *svc)
{
	xe_handoff_close(&svc->handoff);
	xe_area_close(&svc->area);
	xe_outside_close(&svc->outside);
	free(svc->claims);
	svc->claims = NULL;
	xe_terms_table_free(svc->terms);
	svc->terms = NULL;
}

static int open_workers(struct xe_service *svc, const uint64_t *keys)
{
	const struct xe_config *config = svc->config;
	uint32_t capacity = xe_session_capacity(config->limits.sessions, svc->worker_cnt);
	int err = open_shared(svc);

	xe_session_budget_init(&svc->session_budget, config->limits.sessions, svc->worker_cnt);
	for (uint32_t i = 0; i < svc->worker_cnt && !err; i++) {
		struct xe_session_file_conf fc = {
			.capacity = capacity,
			.worker = (uint16_t)i,
			.worker_cnt = (uint16_t)svc->worker_cnt,
			.node = xe_cpu_node(worker_cpu(svc, i)),
			.tcp_established_s = config->timeouts.tcp_established_s,
			.tcp_transitory_s = config->timeouts.tcp_transitory_s,
			.udp_s = config->timeouts.udp_s,
			.dns_s = config->timeouts.dns_s,
		};
		struct xe_worker_conf wc = {
			.idx = (uint16_t)i,
			.worker_cnt = (uint16_t)svc->worker_cnt,
			.cpu = worker_cpu(svc, i),
			.wait = config->wait,
			.control_fd = svc->request_fd,
			.beats = svc->steer.beats,
			.live = svc->steer.live,
			.live_mask = svc->steer.settings.live_mask,
			.any_accept = &svc->steer.conf->any_accept,
			.owned = svc->steer.owned,
			.claims = svc->claims,
			.terms = svc->terms,
			.outside = svc->worker_cnt > 1 ? &svc->outside : NULL,
			.area = &svc->area,
			.handoff = svc->worker_cnt > 1 ? &svc->handoff : NULL,
			.taken = &svc->taken,
			.sessions = capacity,
			.part = config->limits.sessions / svc->worker_cnt,
			.budget = svc->worker_cnt > 1 ? &svc->session_budget : NULL,
			.file = xe_state_dir_worker(svc, &fc),
			.sessions_per_source = config->limits.sessions_per_source,
			.timeouts = {config->timeouts.tcp_established_s,
				     config->timeouts.tcp_transitory_s, config->timeouts.udp_s,
				     config->timeouts.dns_s},
			.k0 = keys[0],
			.k1 = keys[1],
			.rng_k0 = keys[2],
			.rng_k1 = keys[3],
			.punt_fd = svc->punt_fd,
			.punt_uplink_fd = svc->punt_uplink_fd,
			.waits = xe_standstill,
			.waits_ctx = svc,
		};

		err = xe_worker_open(&svc->workers[i], &wc);
	}
	/* All are there before the first one runs: they look at each other's rings. In a takeover
	 * another process's still run. */
	for (uint32_t i = 0; i < svc->worker_cnt && !err && !svc->take; i++)
		err = xe_worker_start(&svc->workers[i]);
	if (err)
		xe_log_err("worker: %s", strerror(-err));
	return err;
}

static const char *rps_dir(const struct xe_service *svc, char path[XE_RUN_PATH_SIZE])
{
	snprintf(path, XE_RUN_PATH_SIZE, "%s/rps", svc->run_dir);
	return path;
}

/* This thread, and what containers send, keep off the workers' CPUs while there are others. */
static void leave_cpus(struct xe_service *svc)
{
	char path[XE_RUN_PATH_SIZE];
	cpu_set_t cpus, rps_cpus;
	int err;

	if (sched_getaffinity(0, sizeof(cpus), &cpus))
		return;
	for (uint32_t i = 0; i < svc->worker_cnt; i++)
		CPU_CLR(svc->workers[i].cpu, &cpus);
	rps_cpus = cpus;
	if (svc->config->rps != XE_RPS_AUTO)
		CPU_ZERO(&rps_cpus);
	err = xe_rps_open(&svc->rps, &rps_cpus, rps_dir(svc, path));
	if (err)
		xe_log_info("rps: not set, no sysfs of this network namespace: %s", strerror(-err));
	if (CPU_COUNT(&cpus) && sched_setaffinity(0, sizeof(cpus), &cpus))
		xe_log_info("control thread: stays on the workers' CPUs: %s", strerror(errno));
}

/* One for each side: the safety net has to know where a packet came in. */
static void open_punt(struct xe_service *svc)
{
	if (svc->punt_fd < 0) /* else it was given to us */
		svc->punt_fd = xe_tun_open(svc->punt_name);
	if (svc->punt_fd >= 0 && svc->punt_uplink_fd < 0)
		svc->punt_uplink_fd = xe_tun_open(svc->punt_uplink_name);
	if (svc->punt_fd < 0 || svc->punt_uplink_fd < 0)
		xe_log_warn("no punt device (%s): packets that turn out to be the kernel's are "
			    "dropped, and fragments left to it",
			    strerror(svc->punt_fd < 0 ? -svc->punt_fd : -svc->punt_uplink_fd));
	else
		__atomic_store_n(&svc->steer.conf->take_fragments, 1, __ATOMIC_RELEASE);
}

int xe_data_plane_start(struct xe_service *svc)
{
	struct xe_steer_settings settings = {.worker_cnt = svc->worker_cnt,
					     .run_dir = svc->run_dir};
	uint64_t keys[4];
	struct stat lock;
	int err;

	if (!fstat(svc->lock_fd, &lock)) {
		settings.lock_dev = lock.st_dev;
		settings.lock_ino = lock.st_ino;
	}
	if (getrandom(keys, sizeof(keys), 0) != sizeof(keys))
		return -EIO;
	if (svc->take) /* packets on their way carry hashes by its keys */
		xe_take_keys(svc, &keys[0], &keys[1]);
	settings.k0 = keys[0];
	settings.k1 = keys[1];
	settings.live_mask =
		xe_live_bucket_cnt(
			2 * xe_session_capacity(svc->config->limits.sessions, svc->worker_cnt)) -
		1;
	err = xe_steer_open(&svc->steer, &settings);
	if (err)
		return err;
	svc->steer.lock_shared = svc->take;
	if (svc->take)
		xe_take_remembered(svc);
	open_punt(svc);
	xe_insum_init();
	err = open_workers(svc, keys);
	if (!err)
		leave_cpus(svc);
	return err;
}

/* Its name, if it is an interface without a mask of ours. */
static const char *without_mask(void *ctx, int ifindex)
{
	const struct xe_service *svc = ctx;
	const struct xe_port *port = xe_port_by_ifindex(svc, ifindex);
	const struct xe_link *link = xe_netlink_link(svc->netlink, ifindex);

	return link && !(port && port->rps.cnt) ? link->name : NULL;
}

void xe_data_plane_clean_rps(struct xe_service *svc)
{
	xe_rps_clean_others(&svc->rps, without_mask, svc);
}

void xe_data_plane_close_rps(struct xe_service *svc)
{
	char path[XE_RUN_PATH_SIZE];

	xe_rps_close(&svc->rps, rps_dir(svc, path));
}
