/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * flow_export.h - the sessions of all workers as records (state/flow_record.h): for a file, the
 * kernel's conntrack, another process. Control thread only.
 */
#ifndef XE_FLOW_EXPORT_H
#define XE_FLOW_EXPORT_H

#include "control/service.h"
#include "state/flow_record.h"

/*
 * Append those that come in or leave by the port of this name (NULL: all) to `out`, which
 * xe_flow_file_init() has made. In steps: what begins or ends meanwhile may or may not be there,
 * unless no worker runs or all stand still. 0; -ENOMEM: as far as it went.
 */
int xe_flows_export(struct xe_service *svc, const char *port_name, struct xe_flow_file *out);

/*
 * The same again and again, each time only what has changed since: for whoever keeps up with a
 * service that runs (takeover).
 *
 *   sessions   | A | B | - | C |        each slot is compared with what it was when it was told of
 *   told       | A | b | D | - |        last: B has gone on, D has ended, C has begun
 *
 * Neither the hit path nor anything else of a worker pays for it, but with the worker calls.
 */
struct xe_flows_told {
	struct xe_session *slots[XE_MAX_WORKERS]; /* as they were; none: nothing was told yet */
	uint32_t capacity[XE_MAX_WORKERS];
	uint32_t worker, slot; /* next to be looked at */
};

/* A slot that has changed. */
struct xe_flow_change {
	uint32_t worker, slot;
	uint32_t created_s; /* by the worker's clock: with the tuples, who it is */
	uint32_t record;    /* its record in the file + 1; 0: no session is there any more */
	/* Told to another version (takeover_wire.h): it grows at its end. */
	XE_OF_LATER(of_later, 1)
};

struct xe_flow_changes {
	struct xe_flow_file file;
	struct xe_flow_change *list;
	uint32_t cnt, size; /* used, allocated */
};

void xe_flow_changes_init(struct xe_flow_changes *changes);
void xe_flow_changes_free(struct xe_flow_changes *changes);
/* Append what has changed to `changes`, from where the last call ended on, some `max` of them at
 * most, and after a number of slots that have not changed. 1: there is more of this pass; 0: it has
 * come to its end, the next call begins another. -ENOMEM,
 * -EHOSTDOWN (a worker does not answer): what was told is not known any more. */
int xe_flows_export_changes(struct xe_service *svc, struct xe_flows_told *told, uint32_t max,
			    struct xe_flow_changes *changes);
void xe_flows_told_free(struct xe_flows_told *told);

#endif
