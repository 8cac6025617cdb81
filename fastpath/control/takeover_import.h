/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * takeover_import.h - for takeover_take.c: what the old process tells of its workers becomes ours.
 * Control thread; the workers do not run, but where it is said.
 */
#ifndef XE_TAKEOVER_IMPORT_H
#define XE_TAKEOVER_IMPORT_H

#include "control/flow_adopt.h"
#include "control/service.h"
#include "control/takeover_flows.h"
#include "control/takeover_mirror.h"
#include "control/takeover_wire.h"

/* A port that is none of ours: its sockets stay open until the old process has ended, since the
 * kernel writes to their frames as long as anybody has them. */
struct xe_take_rest {
	struct xe_to_port port;
	struct xe_to_fds fds;
};

struct xe_take {
	int sock;
	pid_t pid; /* of the old process */
	int pid_fd;
	struct xe_to_welcome welcome;
	int area_fd, counters_fd; /* ours while not -1 */
	int shared_fds[XE_STEER_SHARED];
	bool shares;  /* the area is the old one's */
	bool mirrors; /* the old programs are of use until ours are in the links */
	struct xe_take_mirror mirror;
	/* When it was asked to, had done so, all was ours, the word was given, workers ran. */
	uint64_t freeze_ns, frozen_ns, adopted_ns, go_ns, run_ns;
	uint32_t port_cnt; /* taken */
	struct xe_take_rest *rest;
	uint32_t rest_cnt;
	uint16_t *ids; /* of ports, in the order of PORTS */
	/* from FROZEN on */
	struct xe_to_frozen frozen;
	int lanes_fd, flows_fd;
	uint8_t *lanes; /* mapped */
	size_t lanes_size;
	struct {
		uint16_t *given;         /* by frame */
		const uint8_t *counters; /* as they are told */
		const struct xe_to_socket *sockets;
		const struct xe_to_held *held;
		const struct xe_port_counters *gone, *carried;
		const struct xe_addr *ext_addrs;
	} parts;
	void *fitted[5]; /* memory of those that are told in other sizes than ours */
	uint32_t fitted_cnt;
	struct xe_take_flows *told; /* from the first COPIED on */
	struct xe_adopt_counts flows;
};

/* What xe_import_lanes() has made of them. */
void xe_import_close(struct xe_take *take);
/* Frames, sockets, counters. -errno, logged. */
int xe_import_lanes(struct xe_service *svc);
/* Packets that waited for a next hop go on; or, too old, are dropped. */
void xe_import_held(struct xe_service *svc, bool stale);
/* What the old programs counted, when they run no more. The workers may run. */
void xe_import_port_counters(struct xe_service *svc);
/* The old process has ended: counters and frames of ports that are none of ours. The workers may
 * run. */
void xe_import_rest(struct xe_service *svc);

#endif
