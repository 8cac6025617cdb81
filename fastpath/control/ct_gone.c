/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "control/ct_gone.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"

/* Once each 100 ms: for a second memory may be short. */
#define TRIES 10u

void xe_ct_gone_free(struct xe_ct_gone *gone)
{
	xe_ct_places_free(&gone->places);
	free(gone->hosts);
	*gone = (struct xe_ct_gone){};
}

struct look {
	struct xe_service *svc;
	struct xe_ct_gone *gone;
};

static void look_at(void *ctx, const struct xe_neigh *neigh)
{
	struct look *look = ctx;

	xe_ct_places_neigh(look->svc, &look->gone->places, neigh);
}

void xe_ct_gone_look(struct xe_service *svc, struct xe_ct_gone *gone)
{
	struct look look = {svc, gone};

	if (!gone->looked)
		xe_netlink_each_neigh(svc->netlink, look_at, &look);
	gone->looked = true;
}

/* Without memory what conntrack has of it stays until its time is up. */
static void host_is_gone(void *ctx, const struct xe_addr *addr)
{
	struct xe_ct_gone *gone = ctx;

	if (gone->cnt == gone->size) {
		uint32_t size = gone->size ? 2 * gone->size : 64;
		struct xe_prefix *hosts = realloc(gone->hosts, size * sizeof(*hosts));

		if (!hosts)
			return;
		gone->hosts = hosts;
		gone->size = size;
	}
	gone->hosts[gone->cnt++] = (struct xe_prefix){.addr = *addr, .len = 128};
}

void xe_ct_gone_port(struct xe_ct_gone *gone, const struct xe_port *port)
{
	for (uint32_t i = 0; i < port->allow_cnt; i++)
		if (port->allow[i].len == 128)
			host_is_gone(gone, &port->allow[i].addr);
	xe_ct_places_leave(&gone->places, port->ifindex, host_is_gone, gone);
}

void xe_ct_gone_delete(struct xe_ct_gone *gone, struct xe_ct *ct)
{
	struct xe_flow_file found;
	int err;

	if (!gone->cnt)
		return;
	xe_flow_file_init(&found);
	err = xe_ct_read(ct, gone->hosts, gone->cnt, NULL, &found);
	xe_ct_delete(ct, &found, 0); /* those that were read before an error, too */
	xe_flow_file_free(&found);
	if (err && ++gone->tries < TRIES)
		return;
	if (err)
		xe_log_warn("conntrack: %s: flows of containers that are no more stay there",
			    strerror(-err));
	gone->cnt = gone->tries = 0;
}
