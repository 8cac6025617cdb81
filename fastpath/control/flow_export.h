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

#endif
