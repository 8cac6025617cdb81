/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* ct_gone.h - what conntrack has of inside hosts whose interface is gone ends (ct_adopt.h). Control
 * thread. */
#ifndef XE_CT_GONE_H
#define XE_CT_GONE_H

#include "control/conntrack.h"
#include "control/ct_places.h"

/* All zero at first. */
struct xe_ct_gone {
	struct xe_ct_places places; /* where inside hosts have been seen */
	bool looked;                /* also at those that were there before us */
	struct xe_prefix *hosts;    /* whose flows are to be deleted */
	uint32_t cnt, size, tries;
};

void xe_ct_gone_free(struct xe_ct_gone *gone);
/* Every 100 ms: neighbours that were there before, once. */
void xe_ct_gone_look(struct xe_service *svc, struct xe_ct_gone *gone);
/* The interface of this port is: its hosts are those that `allow` names one by one, and those that
 * were seen there. */
void xe_ct_gone_port(struct xe_ct_gone *gone, const struct xe_port *port);
/* Delete; on an error once more with the next call, some times. */
void xe_ct_gone_delete(struct xe_ct_gone *gone, struct xe_ct *ct);

#endif
