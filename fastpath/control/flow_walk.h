/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * flow_walk.h - going through the sessions of all workers, some slots at a time.
 *
 * The tables belong to the workers, so each step is a worker call; a step is short, so that packets
 * do not wait for who looks. Between steps sessions come and go: a walk sees each one that lives
 * from its begin to its end exactly once, since a session never changes its slot.
 */
#ifndef XE_FLOW_WALK_H
#define XE_FLOW_WALK_H

#include "control/service.h"

/* Sessions copied or ended, and slots looked at, in one step. 256 copies are 40 KiB and 1024 ends
 * about 200 us, 4096 slots half a MiB to read: a worker stands still for less than the time in
 * which its rx rings fill. */
#define XE_FLOW_STEP_COPIES 256
#define XE_FLOW_STEP_ENDS   1024
#define XE_FLOW_STEP_SLOTS  4096

struct xe_flow_filter {
	uint8_t proto; /* 0: both */
	struct xe_prefix from,
		to; /* family 0: any. Inside host and peer; of a flow that began
		       outside also peer, and inside host or whom the peer spoke to */
	bool by_port;
	uint16_t port; /* id, in or out; XE_PORT_NONE matches nothing */
	bool by_masquerade;
	uint32_t ext;            /* Ext address index that they are masqueraded to */
	struct xe_addr ext_addr; /* the same: of what has no index (pipeline/adopt.h) */
};

/* A session as it was during the step. */
struct xe_flow_view {
	struct xe_session session; /* its addresses are the worker's numbers for IPv6: these are */
	struct xe_addr src, dst;   /* as the flow came in */
	struct xe_addr nat_src, nat_dst; /* as it leaves */
	uint16_t worker;
	uint16_t out_port; /* id; XE_PORT_NONE: no route now */
	uint32_t now_s;
	uint32_t left_s; /* until it ends if nothing more comes */
};

/* In a worker call. */
void xe_flow_view_of(struct xe_worker *w, const struct xe_session *s, struct xe_flow_view *v);

struct xe_flow_walk {
	struct xe_flow_filter filter;
	uint32_t worker, slot; /* next */
};

/* One step. Copies what matches into views (XE_FLOW_STEP_COPIES) and sets *cnt. False: it was the
 * last. */
bool xe_flow_walk_copy(struct xe_service *svc, struct xe_flow_walk *walk,
		       struct xe_flow_view *views, uint32_t *cnt);

struct xe_flow_counts {
	uint64_t tcp, udp;
};

/* One step, adding what matches to counts. */
bool xe_flow_walk_count(struct xe_service *svc, struct xe_flow_walk *walk,
			struct xe_flow_counts *counts);
/* One step, adding one to flows[rule] for each session of a rule below rule_cnt. */
bool xe_flow_walk_rules(struct xe_service *svc, struct xe_flow_walk *walk, uint32_t *flows,
			uint32_t rule_cnt);
/* One step, setting timers anew: for timeouts that became shorter. */
bool xe_flow_walk_retime(struct xe_service *svc, struct xe_flow_walk *walk);
/* One step, ending what matches and adding it to counts. */
bool xe_flow_walk_end(struct xe_service *svc, struct xe_flow_walk *walk,
		      struct xe_flow_counts *counts);

#endif
