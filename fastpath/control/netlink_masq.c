/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * netlink_masq.c - which of the host's addresses masquerade takes.
 *
 * As the kernel chooses, so that a flow has the same address whoever of us two starts it: for IPv4
 * inet_select_addr(), for IPv6 RFC 6724 (ipv6_dev_get_saddr()), from which we differ in three
 * things, because the address stands for many hosts and flows here and not for one socket:
 *   - any address of the interface it leaves by comes before those of other interfaces, a
 *     deprecated one too: others' are for networks that replies may not find. For the same reason
 *     another interface's must be of the destination's kind: a bridge's unique local address does
 *     not go to a global destination;
 *   - a temporary address (RFC 8981) is taken only where there is nothing else, whatever
 *     use_tempaddr says: it goes away within a day, and all flows with it;
 *   - no longest common prefix (rule 8, which may be superseded): with two addresses of the same
 *     worth one inside host would have now the one and now the other, by accident of the
 *     destination's bits (RFC 4787 REQ-2). Only an address whose network the destination is in
 *     comes first.
 */
#include <errno.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>

#include "control/netlink.h"
#include "control/netlink_mirror.h"

/* ---- IPv4 ---- */

/* inet_ifa_match() of the kernel: same prefix as the (peer) address. */
static bool holds(const struct xe_ifaddr *addr, const struct xe_addr *gateway)
{
	struct xe_prefix prefix = {
		.addr = addr->peer,
		.family = addr->family,
		.len = (__u8)(addr->prefix_len + (addr->family == AF_INET ? 96 : 0)),
	};

	xe_nl_cut(&prefix);
	return xe_prefix_covers(&prefix, gateway);
}

static int select_on(const struct xe_netlink *nl, int ifindex, const struct xe_addr *gateway,
		     __be32 *addr_be)
{
	const struct xe_mirror_addr *addr;
	__be32 first_be = 0;

	TAILQ_FOREACH(addr, xe_mirror_addrs(&nl->mirror, ifindex), chain)
	{
		const struct xe_ifaddr *a = &addr->now;

		if (a->ifindex != ifindex || a->family != AF_INET || a->flags & IFA_F_SECONDARY ||
		    a->scope != RT_SCOPE_UNIVERSE)
			continue;
		if (!gateway || holds(a, gateway)) {
			*addr_be = a->local.w_be[3];
			return 0;
		}
		if (!first_be)
			first_be = a->local.w_be[3];
	}
	*addr_be = first_be;
	return first_be ? 0 : -EADDRNOTAVAIL;
}

static int vrf_of(const struct xe_netlink *nl, const struct xe_link *link)
{
	const struct xe_link *master = xe_netlink_link(nl, link->master_ifindex);

	if (!strcmp(link->kind, "vrf"))
		return link->ifindex;
	return master && !strcmp(master->kind, "vrf") ? master->ifindex : 0;
}

int xe_netlink_masq_addr(const struct xe_netlink *nl, int out_ifindex,
			 const struct xe_addr *gateway, __be32 *addr_be)
{
	const struct xe_link *out = xe_netlink_link(nl, out_ifindex), *link;
	int vrf;

	if (!out)
		return -EADDRNOTAVAIL;
	if (!select_on(nl, out_ifindex, gateway, addr_be))
		return 0;
	vrf = vrf_of(nl, out);
	if (vrf && !select_on(nl, vrf, NULL, addr_be))
		return 0;
	xe_for_each_link(nl, link)
	{
		if (vrf_of(nl, link) == vrf && !select_on(nl, link->ifindex, NULL, addr_be))
			return 0;
	}
	return -EADDRNOTAVAIL;
}

/* ---- IPv6 ---- */

/* Default policy table of RFC 6724 section 2.1, labels only. Source and destination of one label
 * fit: a unique local source does not reach a global destination, and so on. */
static int label_of(const struct xe_addr *addr)
{
	static const struct {
		struct xe_prefix prefix;
		int label;
	} table[] = {
		{{.addr.b = {0xfc}, .len = 7}, 13},
		{{.addr.b = {0x20, 0x02}, .len = 16}, 2},
		{{.addr.b = {0x20, 0x01}, .len = 32}, 5},
		{{.addr.b = {0xfe, 0xc0}, .len = 10}, 11},
		{{.addr.b = {0x3f, 0xfe}, .len = 16}, 12},
	};

	for (unsigned int i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		if (xe_prefix_covers(&table[i].prefix, addr))
			return table[i].label;
	return 1;
}

/* What may be a source at all. One that is still being looked for on the link (tentative) may not
 * (RFC 4862 section 5.4): it says so itself when that is over. */
static bool is_source6(const struct xe_ifaddr *a)
{
	if (a->family != AF_INET6 || a->scope != RT_SCOPE_UNIVERSE || a->flags & IFA_F_DADFAILED)
		return false;
	return !(a->flags & IFA_F_TENTATIVE) || a->flags & IFA_F_OPTIMISTIC;
}

/* RFC 6724 section 5 as a number, the better the higher: rules 3, 6, 7, and the destination's own
 * network; rule 2 is is_source6(), the others do not tell apart what we choose from. */
static int worth6(const struct xe_ifaddr *a, const struct xe_addr *dst)
{
	int worth = 1;

	worth += a->flags & IFA_F_DEPRECATED ? 0 : 8;
	worth += label_of(&a->local) == label_of(dst) ? 4 : 0;
	worth += a->flags & IFA_F_TEMPORARY ? 0 : 2;
	worth += a->prefix_len < 128 && holds(a, dst) ? 1 : 0;
	return worth;
}

/* The best of an interface, of equals the first in the kernel's order. Better than *worth, which it
 * raises. `kin`: only of the destination's kind. */
static void best_of6(const struct xe_netlink *nl, int ifindex, const struct xe_addr *dst, bool kin,
		     int *worth, struct xe_addr *addr)
{
	const struct xe_mirror_addr *a;

	TAILQ_FOREACH(a, xe_mirror_addrs(&nl->mirror, ifindex), chain)
	{
		int w;

		if (a->now.ifindex != ifindex || !is_source6(&a->now) ||
		    (kin && label_of(&a->now.local) != label_of(dst)))
			continue;
		w = worth6(&a->now, dst);
		if (w <= *worth)
			continue;
		*worth = w;
		*addr = a->now.local;
	}
}

int xe_netlink_masq_addr6(const struct xe_netlink *nl, int out_ifindex, const struct xe_addr *dst,
			  struct xe_addr *addr)
{
	const struct xe_link *out = xe_netlink_link(nl, out_ifindex), *link;
	int worth = 0, vrf;

	if (!out)
		return -EADDRNOTAVAIL;
	best_of6(nl, out_ifindex, dst, false, &worth, addr);
	vrf = vrf_of(nl, out);
	if (!worth && vrf)
		best_of6(nl, vrf, dst, true, &worth, addr);
	if (worth)
		return 0;
	xe_for_each_link(nl, link)
	{
		if (vrf_of(nl, link) == vrf)
			best_of6(nl, link->ifindex, dst, true, &worth, addr);
	}
	return worth ? 0 : -EADDRNOTAVAIL;
}

/* ---- the host's own address ---- */

static int own6_on(const struct xe_netlink *nl, int ifindex, struct xe_addr *out)
{
	const struct xe_mirror_addr *addr;

	TAILQ_FOREACH(addr, xe_mirror_addrs(&nl->mirror, ifindex), chain)
	{
		const struct xe_ifaddr *a = &addr->now;

		if (a->ifindex != ifindex || a->family != AF_INET6 ||
		    a->scope != RT_SCOPE_UNIVERSE ||
		    a->flags & (IFA_F_TENTATIVE | IFA_F_DADFAILED | IFA_F_DEPRECATED))
			continue;
		*out = a->local;
		return 0;
	}
	return -EADDRNOTAVAIL;
}

int xe_netlink_own_addr6(const struct xe_netlink *nl, int ifindex, struct xe_addr *addr)
{
	const struct xe_link *out = xe_netlink_link(nl, ifindex), *link;
	int vrf;

	if (!out)
		return -EADDRNOTAVAIL;
	if (!own6_on(nl, ifindex, addr))
		return 0;
	vrf = vrf_of(nl, out);
	xe_for_each_link(nl, link)
	{
		if (vrf_of(nl, link) == vrf && !own6_on(nl, link->ifindex, addr))
			return 0;
	}
	return -EADDRNOTAVAIL;
}
