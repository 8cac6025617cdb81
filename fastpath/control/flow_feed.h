/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * flow_feed.h - one pass over the records that wait (flow_wait.h): those whose ports are attached
 * become sessions of the ports' owners, of all workers side by side. For flow_adopt.c.
 *
 *   lists of a worker's ports --fill--> ready --call--> flying --end--> done --settle--> counted
 *
 * While a chunk flies (a worker call is under way with it), this thread fills the next one and
 * settles the last; should it need a worker call for that (a new Ext address), that waits. A pass
 * goes on in runs of bounded time; between two nothing is under way, and anything may happen to
 * rules and flows, but ports must stay: when one goes, the pass is closed and another one begun.
 * Control thread only.
 */
#ifndef XE_FLOW_FEED_H
#define XE_FLOW_FEED_H

#include "control/flow_adopt.h"
#include "control/flow_place.h"

struct xe_feed;

/* Over these batches, the first one first; they stay until it is closed. NULL: no memory. */
struct xe_feed *xe_feed_open(struct xe_service *svc, struct xe_flow_batch *batches);
/* For how long: to that time, and where `idle`, on from there until the event loop has something to
 * do. */
struct xe_feed_span {
	uint64_t until_ns;
	bool idle;
};

/* Until all has been looked at (true), or about that time. Adds to *counts. */
bool xe_feed_run(struct xe_feed *feed, const struct xe_rule_ids *ids, struct xe_feed_span span,
		 struct xe_adopt_counts *counts);
/* The next hops of the new sessions are asked for, until that time; the rest is left to the next
 * refresh, or the packet that needs one. True: that is nothing. */
bool xe_feed_ask(struct xe_feed *feed, uint64_t until_ns);
void xe_feed_close(struct xe_feed *feed);

#endif
