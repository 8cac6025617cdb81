/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* ct_hosts.h - where the inside hosts of the kernel's flows are (ct_adopt.h). Control thread. */
#ifndef XE_CT_HOSTS_H
#define XE_CT_HOSTS_H

#include "control/service.h"

/* Inside hosts remembered during one adoption: where they are is two questions to the kernel. */
#define XE_CT_HOSTS 4096u

/* Where an inside host is. */
struct xe_ct_host {
	struct xe_addr addr;
	struct xe_port *port; /* NULL: behind none of ours, or not known yet */
	int ifindex;    /* the interface that leads to it, of a bridge the member; 0: not known */
	int l3_ifindex; /* the one by which the kernel routes it; 0: none */
	uint8_t mac[6];
	bool known, unresolved;
};

/* Fill in all but `addr`, which is given, and `known`. Who is not resolved is asked for. */
void xe_ct_host_locate(struct xe_service *svc, struct xe_ct_host *host);
/* In `hosts`, XE_CT_HOSTS of them, all zero at first; asked for when it is not there. Another host
 * may take its place, so the answer is good until the next call. */
const struct xe_ct_host *xe_ct_host_find(struct xe_service *svc, struct xe_ct_host *hosts,
					 const struct xe_addr *addr);

#endif
