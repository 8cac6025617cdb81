/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * port_addr.c - the host's own address on each port, from which the workers' ICMP errors come
 * (pipeline/answer.h): what the kernel would take for its own. Control thread only.
 */
#include <string.h>

#include "control/port_attach.h"

bool xe_port_read_own(struct xe_service *svc, struct xe_port *port)
{
	int l3_ifindex = xe_netlink_l3_ifindex(svc->netlink, port->ifindex);
	__be32 own4_be = 0;
	struct xe_addr own6 = {};
	bool changed;

	if (xe_netlink_masq_addr(svc->netlink, l3_ifindex, NULL, &own4_be))
		own4_be = 0;
	if (xe_netlink_own_addr6(svc->netlink, l3_ifindex, &own6))
		own6 = (struct xe_addr){};
	changed = own4_be != port->own4_be || memcmp(&own6, &port->own6, sizeof(own6));
	port->own4_be = own4_be;
	port->own6 = own6;
	return changed;
}

void xe_ports_refresh_own(struct xe_service *svc)
{
	for (struct xe_port *p = svc->port_list; p; p = p->next) {
		const struct xe_link *link = xe_netlink_link(svc->netlink, p->ifindex);

		if (p->state == XE_PORT_ATTACHED && link && xe_port_read_own(svc, p))
			xe_port_tell_workers(svc, p, link);
	}
}
