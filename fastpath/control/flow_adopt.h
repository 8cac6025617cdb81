/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * flow_adopt.h - records become sessions: flows that another process, or the kernel, has had so far
 * go on here with the mapping they have. Control thread only.
 *
 *   xe_adopt_wait()  records wait, by the name of their inside port (flow_wait.h)
 *   xe_adopt_add()   the same, and those whose port is there become sessions at once
 *   xe_adopt_ports() ports have come up, and before they take their first packet those of them
 *                    become sessions of their owners (flow_feed.h, pipeline/adopt.h)
 *   xe_adopt_turn()  where these are many, the rest follows in turns of the event loop; until then
 *                    ports take only packets of flows that are known (xe_port.moving), others are
 *                    the kernel's as they were before
 *   xe_adopt_tick()  what waits in vain is forgotten
 *
 * A port is who it was when its name is the same, and where the records were written under this
 * boot of the kernel its ifindex, too: else it is another container's that has the name now.
 */
#ifndef XE_FLOW_ADOPT_H
#define XE_FLOW_ADOPT_H

#include "control/service.h"
#include "pipeline/adopt.h"
#include "state/flow_record.h"

/* What has become of records, since they were added. */
struct xe_adopt_counts {
	uint32_t adopted; /* by_tags included */
	uint32_t by_tags; /* their L4 port could not be owned */
	uint32_t there;   /* live here already */
	uint32_t over;    /* timed out meanwhile, or their external address has left the host */
	uint32_t refused; /* a tuple is another session's, no room, or no such host */
	uint32_t waiting; /* for their port */
};

/* Queue (copies of) the records. Those of ports that are attached become sessions at once, and are
 * in *counts, which may be NULL; records in `file` that a session has now, or had before, are
 * marked XE_FR_ADOPTED, and XE_FR_TAGS. Where their worker does not run yet, what they asked of
 * the resolver waits until somebody polls it. Returns how many were adopted; -ENOMEM. */
int xe_adopt_add(struct xe_service *svc, struct xe_flow_file *file, struct xe_adopt_counts *counts);
/* What has become of one record. */
struct xe_adopt_place {
	enum xe_adopted outcome; /* XE_ADOPT_LATER: its port is not attached */
	uint16_t worker;         /* the session, where one was made */
	uint32_t slot;
};

/* The same for records of which none is to wait; places[] says of each what has become of it. 0;
 * -ENOMEM: nothing was done. */
int xe_adopt_now(struct xe_service *svc, struct xe_flow_file *file, struct xe_adopt_place *places);
struct xe_flow_batch;
/* The same of a batch (flow_wait.h), which is ours then; *counts is added to. -ENOMEM: it is not.
 */
int xe_adopt_batch(struct xe_service *svc, struct xe_flow_batch *b, struct xe_adopt_counts *counts);
/* What waits of another host's flows (flow_sync.h) is forgotten. */
void xe_adopt_drop_synced(struct xe_service *svc);
/* An address has come to this host (NULL: some may have): flows of another one that have waited for
 * it go on here, before their first packet where that is possible (as xe_adopt_ports()). Nothing
 * happens where none has: addresses come with each container. */
void xe_adopt_addr_came(struct xe_service *svc, const struct xe_addr *addr);
struct xe_rule_ids;
/* The rules in force by their ids, for xe_flow_place(). */
const struct xe_rule_ids *xe_adopt_rule_ids(struct xe_service *svc);
/* Records wait, that is all; the batch is ours then. -ENOMEM: it is not. */
int xe_adopt_wait(struct xe_service *svc, struct xe_flow_batch *b);
/* Those that wait for ports which are attached by now, with their rules in force; they need not be
 * live. False: there are more than can be adopted at once, and xe_adopt_turn() goes on. What has
 * become of all is one line in the log. */
bool xe_adopt_ports(struct xe_service *svc);
/* Is there more to do for xe_adopt_turn()? */
bool xe_adopt_is_busy(const struct xe_service *svc);
/* Some ms of it. True: this was the last turn. */
bool xe_adopt_turn(struct xe_service *svc);
/* All of it now, for who needs all flows: whoever tells them to somebody else. */
void xe_adopt_finish(struct xe_service *svc);
/* A port is about to be taken down. */
void xe_adopt_ports_change(struct xe_service *svc);
/* The worker that records which wait say had this port; NULL: no matter. */
struct xe_worker *xe_adopt_owner(struct xe_service *svc, const struct xe_port *port);
/* Records still waiting. */
uint32_t xe_adopt_waiting(const struct xe_service *svc);
/* Every 100 ms. */
void xe_adopt_tick(struct xe_service *svc);
void xe_adopt_close(struct xe_service *svc);

#endif
