/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "control/ct_hosts.h"

#include <linux/rtnetlink.h>
#include <string.h>

/* Port, and Ethernet address as the host's own packets would be sent to it. */
static void look_for(struct xe_service *svc, struct xe_ct_host *h)
{
	struct xe_route route;
	uint16_t nud;
	int ifindex;

	if (xe_netlink_route(svc->netlink, &h->addr, NULL, 0, &route) ||
	    route.type != RTN_UNICAST || route.encap)
		return;
	if (xe_netlink_neigh(svc->netlink, route.oif, &route.gateway, h->mac, &nud)) {
		h->unresolved = !xe_netlink_neigh_use(svc->netlink, route.oif, &route.gateway);
		return;
	}
	h->port = xe_port_by_ifindex(svc, route.oif);
	if (!h->port) {
		ifindex = xe_netlink_bridge_port(svc->netlink, route.oif, h->mac);
		h->port = xe_port_by_ifindex(svc, ifindex);
	}
	if (h->port && (h->port->role != XE_ROLE_INSIDE || h->port->id == XE_PORT_NONE))
		h->port = NULL;
}

const struct xe_ct_host *xe_ct_host_find(struct xe_service *svc, struct xe_ct_host *hosts,
					 const struct xe_addr *addr)
{
	const struct xe_steer_settings *keys = &svc->steer.settings;
	struct xe_ct_host *h = &hosts[xe_addr_hash(addr, keys->k0, keys->k1) % XE_CT_HOSTS];

	if (h->known && !memcmp(&h->addr, addr, sizeof(*addr)))
		return h;
	*h = (struct xe_ct_host){.addr = *addr, .known = true};
	look_for(svc, h);
	return h;
}
