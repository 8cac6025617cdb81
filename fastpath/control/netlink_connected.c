/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * netlink_connected.c - what is directly behind an interface: from its addresses, and from routes
 * without a gateway; and the broadcast addresses of all.
 *
 * Those routes are read in one dump when somebody asks and something about them has changed. They
 * are not followed event by event because the kernel announces no IPv4 route that goes with its
 * interface or address.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_addr.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "control/netlink.h"
#include "control/netlink_mirror.h"
#include "control/netlink_wire.h"

/* An interrupted dump of routes is repeated so often, then used as it is and read again next time.
 */
#define DUMP_TRIES 3

void xe_nl_cut(struct xe_prefix *prefix)
{
	for (unsigned int i = 0; i < sizeof(prefix->addr.b); i++) {
		unsigned int keep = prefix->len > i * 8 ? prefix->len - i * 8 : 0;

		if (keep < 8)
			prefix->addr.b[i] &= (__u8)(0xff00 >> keep);
	}
}

/* Prefixes that stay with the kernel whatever is configured. */
static bool kept_for_kernel(const struct xe_prefix *p)
{
	const __u8 *b = p->addr.b;

	if (p->family == AF_INET)
		return p->len == 96 || b[12] == 127 || b[12] >= 224 ||
		       (b[12] == 169 && b[13] == 254);
	return !p->len || b[0] == 0xff || (b[0] == 0xfe && (b[1] & 0xc0) == 0x80);
}

/* ---- the table of connected routes ---- */

static int grow(struct xe_netlink *nl)
{
	uint32_t size = nl->connected_size ? nl->connected_size * 2 : 64;
	struct xe_connected *p = realloc(nl->connected, size * sizeof(*p));

	if (!p)
		return -ENOMEM;
	nl->connected = p;
	nl->connected_size = size;
	return 0;
}

static int take_broadcast(struct xe_netlink *nl, __be32 addr_be)
{
	if (nl->broadcast_cnt == nl->broadcast_size) {
		uint32_t size = nl->broadcast_size ? nl->broadcast_size * 2 : 64;
		__be32 *p = realloc(nl->broadcasts, size * sizeof(*p));

		if (!p)
			return -ENOMEM;
		nl->broadcasts = p;
		nl->broadcast_size = size;
	}
	nl->broadcasts[nl->broadcast_cnt++] = addr_be;
	return 0;
}

static int by_addr(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(__be32));
}

/* Two networks on one link have one, and so have an address and its alias. */
static void sort_broadcasts(struct xe_netlink *nl)
{
	uint32_t kept = 0;

	if (nl->broadcast_cnt)
		qsort(nl->broadcasts, nl->broadcast_cnt, sizeof(*nl->broadcasts), by_addr);
	for (uint32_t i = 0; i < nl->broadcast_cnt; i++)
		if (!i || nl->broadcasts[i] != nl->broadcasts[kept - 1])
			nl->broadcasts[kept++] = nl->broadcasts[i];
	nl->broadcast_cnt = kept;
}

static int take_route(const struct nlmsghdr *nlh, void *ctx)
{
	struct xe_netlink *nl = ctx;
	struct xe_prefix prefix;
	bool connected;
	__be32 addr_be;
	int oif;

	if (nlh->nlmsg_type == RTM_NEWROUTE && xe_nl_parse_broadcast(nlh, &addr_be))
		return take_broadcast(nl, addr_be);
	if (nlh->nlmsg_type != RTM_NEWROUTE || !xe_nl_parse_route(nlh, &connected, &oif, &prefix) ||
	    !connected)
		return 0;
	if (nl->connected_cnt == nl->connected_size && grow(nl))
		return -ENOMEM;
	xe_nl_cut(&prefix);
	nl->connected[nl->connected_cnt].ifindex = oif;
	nl->connected[nl->connected_cnt++].prefix = prefix;
	return 0;
}

static int by_ifindex(const void *a, const void *b)
{
	const struct xe_connected *x = a, *y = b;

	return (x->ifindex > y->ifindex) - (x->ifindex < y->ifindex);
}

static int read_routes(struct xe_netlink *nl)
{
	struct nlmsghdr *nlh;
	int err = -EINTR;

	for (int i = 0; err == -EINTR && i < DUMP_TRIES; i++) {
		nl->connected_cnt = nl->broadcast_cnt = 0;
		nlh = xe_nlsock_begin(&nl->requests, RTM_GETROUTE, NLM_F_DUMP);
		mnl_nlmsg_put_extra_header(nlh, sizeof(struct rtmsg)); /* AF_UNSPEC: both */
		err = xe_nlsock_ask(&nl->requests, nlh, take_route, nl);
	}
	nl->mirror.connected_stale = err != 0;
	sort_broadcasts(nl);
	if (nl->connected_cnt)
		qsort(nl->connected, nl->connected_cnt, sizeof(*nl->connected), by_ifindex);
	return err == -EINTR ? 0 : err;
}

/* The first entry of ifindex, or where it would be. */
static uint32_t first_of(const struct xe_netlink *nl, int ifindex)
{
	uint32_t lo = 0, hi = nl->connected_cnt;

	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;

		if (nl->connected[mid].ifindex < ifindex)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

/* ---- connected prefixes ---- */

struct collection {
	struct xe_prefix *out;
	uint32_t max,
		cnt; /* cnt beyond max: duplicates are counted, there is nothing to compare with */
};

static void collect(struct collection *c, const struct xe_prefix *prefix)
{
	uint32_t have = c->cnt < c->max ? c->cnt : c->max;

	if (kept_for_kernel(prefix))
		return;
	for (uint32_t i = 0; i < have; i++) {
		if (c->out[i].len == prefix->len &&
		    !memcmp(&c->out[i].addr, &prefix->addr, sizeof(prefix->addr)))
			return;
	}
	if (c->cnt < c->max)
		c->out[c->cnt] = *prefix;
	c->cnt++;
}

static void collect_addr(struct collection *c, const struct xe_ifaddr *addr)
{
	bool host = addr->prefix_len == (addr->family == AF_INET ? 32 : 128);
	struct xe_prefix prefix = {
		.addr = addr->peer,
		.family = addr->family,
		.len = (__u8)(addr->prefix_len + (addr->family == AF_INET ? 96 : 0)),
	};

	if (addr->scope >= RT_SCOPE_LINK || addr->flags & IFA_F_DADFAILED)
		return;
	if (host && !memcmp(&addr->peer, &addr->local, sizeof(addr->local)))
		return; /* only the host itself */
	xe_nl_cut(&prefix);
	collect(c, &prefix);
}

uint32_t xe_netlink_connected(struct xe_netlink *nl, int ifindex, struct xe_prefix *out,
			      uint32_t max)
{
	int l3_ifindex = xe_netlink_l3_ifindex(nl, ifindex);
	struct collection c = {.out = out, .max = max};
	const struct xe_mirror_addr *addr;

	if (!l3_ifindex || (nl->mirror.connected_stale && read_routes(nl)))
		return 0;
	TAILQ_FOREACH(addr, xe_mirror_addrs(&nl->mirror, l3_ifindex), chain)
	{
		if (addr->now.ifindex == l3_ifindex)
			collect_addr(&c, &addr->now);
	}
	for (uint32_t i = first_of(nl, l3_ifindex);
	     i < nl->connected_cnt && nl->connected[i].ifindex == l3_ifindex; i++)
		collect(&c, &nl->connected[i].prefix);
	return c.cnt;
}

int xe_netlink_broadcasts(struct xe_netlink *nl, const __be32 **list, uint32_t *cnt)
{
	int err = nl->mirror.connected_stale ? read_routes(nl) : 0;

	*list = nl->broadcasts;
	*cnt = nl->broadcast_cnt;
	return err;
}

/* ---- addresses ---- */

bool xe_netlink_has_addr(const struct xe_netlink *nl, const struct xe_addr *addr)
{
	return xe_netlink_addr_on(nl, 0, addr);
}

bool xe_netlink_addr_on(const struct xe_netlink *nl, int ifindex, const struct xe_addr *addr)
{
	const struct xe_mirror_addr *a;

	for (unsigned int i = 0; i < XE_MIRROR_BUCKETS; i++) {
		TAILQ_FOREACH(a, &nl->mirror.addrs_of[i], chain)
		{
			if ((!ifindex || a->now.ifindex == ifindex) &&
			    !memcmp(&a->now.local, addr, sizeof(*addr)))
				return true;
		}
	}
	return false;
}
