/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * flow_wait.h - records that wait for their ports (flow_adopt.h), by file and inside port. As long
 * as one waits, nobody else is given its Ext L4 port; those of a host that still carries them
 * (flow_sync.h) take none away from this one's flows. Control thread only.
 */
#ifndef XE_FLOW_WAIT_H
#define XE_FLOW_WAIT_H

#include "control/service.h"
#include "state/flow_record.h"

/* Ext addresses that are remembered of what waits for some: a host has a few. */
#define XE_WAIT_ADDRS 16u

/* One file's records: a list for each of its ports, those that were opened from inside first, since
 * a mapping is what its inside made it. */
struct xe_flow_batch {
	struct xe_flow_file file;
	bool same_boot;
	uint64_t since_ns;
	uint32_t ago_s;         /* seconds since the records were written */
	struct xe_port **ports; /* by port of the file: who that is here and now, NULL: nobody */
	uint32_t *head;         /* the same; XE_NIL ends a list */
	uint32_t *next;         /* by record */
	uint32_t left;          /* records in the lists */
	struct xe_adopt_place *places; /* xe_adopt_now(): by record, not owned; NULL: none */
	bool in_use; /* who added it has yet to be told what became of the records */
	bool sync; /* another host's that lives: ports by name alone, and flow_sync.h marks them */
	bool asleep; /* sync: nothing has come since it was last looked through, and it waits for:
		      */
	struct xe_addr wants[XE_WAIT_ADDRS];
	uint32_t wants_cnt; /* more than there is room for: whichever */
	struct xe_flow_batch *older;
};

/* Of a copy of the file, or of the file itself, which is empty then; records that name no inside
 * port are in no list. NULL: no memory, the file is as it was. Any thread: it asks nobody. */
struct xe_flow_batch *xe_flow_batch_new(struct xe_flow_file *file, bool copy);
void xe_flow_batch_free(struct xe_flow_batch *b);
/* Is the port of the file this one: by its name, and by its ifindex within the same boot? */
bool xe_flow_batch_is_port(const struct xe_flow_batch *b, uint32_t file_port,
			   const struct xe_port *port);
/* Fill in b->ports and ago_s; ports come and go between two passes, not within one. New ones wake
 * it. */
void xe_flow_batch_look(struct xe_service *svc, struct xe_flow_batch *b);
/* It has been looked through: what is left waits for a port, or an Ext address (b->sync). */
void xe_flow_batch_sleep(struct xe_flow_batch *b);
/* May this address be one that it waits for? NULL: some address. */
bool xe_flow_batch_wants(const struct xe_flow_batch *b, const struct xe_addr *addr);
/* The Ext L4 ports of all that waits, as xe_flow_reserve(). */
void xe_flow_batch_reserve(struct xe_service *svc, const struct xe_flow_batch *b, bool on);
/* The record's Ext L4 port, if it has one: is nobody's, or one less keeps it. */
void xe_flow_reserve(struct xe_service *svc, const struct xe_flow_batch *b,
		     const struct xe_flow_record *r, bool on);

#endif
