/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * netlink_neigh.c - neighbours: looked up in the mirror, resolved by the kernel on request.
 */
#include <errno.h>
#include <linux/neighbour.h>
#include <string.h>
#include <sys/socket.h>

#include "control/netlink.h"
#include "control/netlink_mirror.h"
#include "control/netlink_wire.h"

int xe_netlink_neigh(const struct xe_netlink *nl, int ifindex, const struct xe_addr *addr,
		     uint8_t mac[6], uint16_t *nud_state)
{
	const struct xe_mirror_neigh *neigh = xe_mirror_neigh(&nl->mirror, ifindex, addr);

	if (nud_state)
		*nud_state = neigh ? neigh->now.nud_state : 0;
	if (!neigh)
		return -ENOENT;
	if (!neigh->now.usable)
		return -EAGAIN;
	memcpy(mac, neigh->now.mac, sizeof(neigh->now.mac));
	return 0;
}

void xe_netlink_each_neigh(const struct xe_netlink *nl,
			   void (*fn)(void *ctx, const struct xe_neigh *neigh), void *ctx)
{
	const struct xe_mirror_neigh *neigh;

	for (unsigned int i = 0; i < XE_MIRROR_BUCKETS; i++)
		LIST_FOREACH(neigh, &nl->mirror.neigh_of[i], chain)
	fn(ctx, &neigh->now);
}

static struct nlmsghdr *build(struct xe_netlink *nl, uint16_t type, uint16_t nl_flags,
			      uint8_t ndm_flags, int ifindex, const struct xe_addr *addr)
{
	struct nlmsghdr *nlh = xe_nlsock_begin(&nl->requests, type, nl_flags);
	struct ndmsg *ndm = mnl_nlmsg_put_extra_header(nlh, sizeof(*ndm));

	ndm->ndm_family = (unsigned char)xe_addr_family(addr);
	ndm->ndm_ifindex = ifindex;
	ndm->ndm_flags = ndm_flags;
	xe_nl_put_addr(nlh, NDA_DST, addr);
	return nlh;
}

static int take_state(const struct nlmsghdr *nlh, void *ctx)
{
	struct xe_neigh neigh;

	if (xe_nl_parse_neigh(nlh, &neigh))
		*(uint16_t *)ctx = neigh.nud_state;
	return 0;
}

int xe_netlink_neigh_use(struct xe_netlink *nl, int ifindex, const struct xe_addr *addr)
{
	uint16_t nud_state = 0;
	int err;

	/* The mirror may be a dispatch behind somebody's `ip neigh add`: ask. */
	err = xe_nlsock_ask(&nl->requests, build(nl, RTM_GETNEIGH, 0, 0, ifindex, addr), take_state,
			    &nud_state);
	if (err && err != -ENOENT)
		return err;
	if (nud_state & (NUD_PERMANENT | NUD_NOARP))
		return 0;
	/* CREATE: an unknown entry is made. No EXCL: a known one is used. No REPLACE: neither is
	 * overridden. */
	return xe_nlsock_ask(
		&nl->requests,
		build(nl, RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_ACK, NTF_USE, ifindex, addr), NULL,
		NULL);
}

static int take_ifindex(const struct nlmsghdr *nlh, void *ctx)
{
	const struct ndmsg *ndm = mnl_nlmsg_get_payload(nlh);

	if (mnl_nlmsg_get_payload_len(nlh) >= sizeof(*ndm))
		*(int *)ctx = ndm->ndm_ifindex;
	return 0;
}

int xe_netlink_bridge_port(struct xe_netlink *nl, int bridge_ifindex, const uint8_t mac[6])
{
	struct nlmsghdr *nlh = xe_nlsock_begin(&nl->requests, RTM_GETNEIGH, 0);
	struct ndmsg *ndm = mnl_nlmsg_put_extra_header(nlh, sizeof(*ndm));
	int ifindex = 0;

	ndm->ndm_family = AF_BRIDGE;
	mnl_attr_put(nlh, NDA_LLADDR, 6, mac);
	mnl_attr_put_u32(nlh, NDA_MASTER, (uint32_t)bridge_ifindex);
	return xe_nlsock_ask(&nl->requests, nlh, take_ifindex, &ifindex) ? 0 : ifindex;
}
