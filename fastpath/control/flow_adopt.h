/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * flow_adopt.h - records become sessions: flows that another process, or the kernel, has had so far
 * go on here with the mapping they have. Control thread only.
 *
 *   xe_adopt_add()   records wait, by the name of their inside port
 *   xe_adopt_ports() ports have come up, and before they take their first packet those of them
 *                    become sessions of their owners (pipeline/adopt.h)
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
int xe_adopt_now(struct xe_service *svc, const struct xe_flow_file *file,
		 struct xe_adopt_place *places);
/* Those that wait for ports which are attached by now, with their rules in force; they need not be
 * live. Logs one line, if there was anything. */
void xe_adopt_ports(struct xe_service *svc);
/* The worker that records which wait say had this port; NULL: no matter. */
struct xe_worker *xe_adopt_owner(struct xe_service *svc, const struct xe_port *port);
/* Records still waiting. */
uint32_t xe_adopt_waiting(const struct xe_service *svc);
/* Every 100 ms. */
void xe_adopt_tick(struct xe_service *svc);
void xe_adopt_close(struct xe_service *svc);

#endif
