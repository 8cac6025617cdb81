/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "control/ct_hosts.h"

#include <linux/rtnetlink.h>
#include <string.h>

static bool is_bridge(const struct xe_service *svc, int ifindex)
{
	const struct xe_link *link = xe_netlink_link(svc->netlink, ifindex);

	return link && !strcmp(link->kind, "bridge");
}

/* As the host's own packets would be sent to it. */
void xe_ct_host_locate(struct xe_service *svc, struct xe_ct_host *h)
{
	struct xe_route route;
	uint16_t nud;
	int member;

	if (xe_netlink_route(svc->netlink, &h->addr, NULL, 0, &route) ||
	    route.type != RTN_UNICAST || route.encap)
		return;
	h->l3_ifindex = route.oif;
	if (xe_netlink_neigh(svc->netlink, route.oif, &route.gateway, h->mac, &nud)) {
		h->unresolved = !xe_netlink_neigh_use(svc->netlink, route.oif, &route.gateway);
		return;
	}
	h->ifindex = route.oif;
	h->port = xe_port_by_ifindex(svc, h->ifindex);
	if (!h->port) {
		member = xe_netlink_bridge_port(svc->netlink, route.oif, h->mac);
		if (member || is_bridge(svc, route.oif)) /* which may have forgotten it */
			h->ifindex = member;
		h->port = xe_port_by_ifindex(svc, h->ifindex);
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
	xe_ct_host_locate(svc, h);
	return h;
}
