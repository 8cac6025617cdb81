/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* watch_state.h - what the watch remembers from one look to the next; for watch*.c. */
#ifndef XE_WATCH_STATE_H
#define XE_WATCH_STATE_H

#include <stdbool.h>
#include <stdint.h>

#include "control/watch.h"

/* Things that may be wrong at a time and are told of one by one: a whole host's ports may lose
 * their programs at once, and nobody reads a thousand lines. */
#define XE_WATCH_FINDINGS 64

struct xe_watch_finding {
	enum xe_watch_part part;
	uint32_t flags;
	bool again; /* found in this look */
	uint64_t since_ns;
	char what[48];
	char why[320];
};

struct xe_watch {
	uint32_t ticks;
	uint32_t finding_cnt;
	struct xe_watch_finding findings[XE_WATCH_FINDINGS];
	/* watch_worker.c */
	uint64_t tick_ns;                    /* the last one */
	uint64_t answered_ns;                /* all workers have, when last asked */
	uint64_t judge_from_ns;              /* this thread stood still itself; 0 */
	uint32_t stalled;                    /* workers that are, one bit each */
	uint32_t stall_seen[XE_MAX_WORKERS]; /* lane.stall_cnt told of */
	bool deferred;                       /* events wait until all move */
	/* watch_host.c */
	bool host_changed;         /* the settings are to be looked at, whatever it costs */
	uint64_t net_next_ns;      /* the next look at the safety net is not before */
	uint64_t settings_next_ns; /* the same, of the settings */
	uint64_t untold_next_ns;   /* the same, of those whose changes nobody tells of */
	uint64_t untold;           /* what these were */
	uint32_t nft_generation;   /* of nftables, at the last look at them */
	uint32_t queue_turn;       /* port id at which asking for queues goes on */
	uint64_t unheard_next_ns;  /* the next look at what came by queues without a socket */
};

#endif
