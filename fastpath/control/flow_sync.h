/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * flow_sync.h - a pair kept in step: this host follows, file by file, the flows that another one
 * carries, and goes on with them when their addresses come here (state import --sync).
 *
 *   the file has it     | session of ours        | what becomes of it
 *   --------------------+------------------------+-------------------------------------------
 *   with this mapping   | an earlier file's      | brought up to date
 *                       | behind the file's [1]  | brought up to date; the file's from now on
 *                       | any other              | stays as it is
 *   otherwise, or not   | an earlier file's      | ends; the record's flow takes its place
 *                       | any other              | stays; the record is refused where they clash
 *   with any mapping    | none                   | becomes a session, or waits (flow_adopt.h):
 *                       |                        | for its port, and a masqueraded one for the
 *                       |                        | address, which is the other host's as yet
 *
 * [1] It has counted less than the record says, and had no packet for LIVE_S: the flow has gone on
 * at the other host since. Packets only ever make a flow's counters grow, so who has counted more
 * knows more.
 *
 * A session is an earlier file's (a mark says so, by slot) until a packet of it passes here: then
 * its counters differ from those that the file gave it, and it is carried by this host. So what
 * this host carries is never ended or changed by a file, however old that is.
 *
 * Control thread, but where it is said; a worker's marks are looked at in its worker calls.
 */
#ifndef XE_FLOW_SYNC_H
#define XE_FLOW_SYNC_H

#include "control/flow_adopt.h"

struct xe_sync_counts {
	struct xe_adopt_counts adopt; /* there: carried by this host */
	uint32_t updated, ended;
};

/* All that the file says, at once. 0; -ENOMEM: perhaps a part of it. */
int xe_sync_import(struct xe_service *svc, struct xe_flow_file *file,
		   struct xe_sync_counts *counts);
/* For the worker call that has made this session of a record of such a file. */
void xe_sync_made(struct xe_flow_sync *sync, const struct xe_lane *lane,
		  const struct xe_session *s);
void xe_sync_close(struct xe_service *svc);

#endif
