/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * netlink.c - life of the netlink object: open, follow events, read everything again when some were
 * lost. The tables are netlink_mirror.c, the questions netlink_route.c, netlink_connected.c,
 * netlink_masq.c and netlink_neigh.c.
 */
#include <errno.h>
#include <linux/if_addr.h>
#include <linux/neighbour.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "control/netlink.h"
#include "control/netlink_mirror.h"
#include "control/netlink_wire.h"

/* Datagrams taken in by one dispatch. A flood of events (a routing daemon that loads a table) must
 * not keep the control thread from its other work; the rest waits in the socket, which stays
 * readable. 4096 take a few milliseconds. */
#define EVENTS_A_DISPATCH 4096
/* A dump that the kernel marks as interrupted by a change is repeated at once. Three in a row mean
 * a machine that is busy starting containers: then wait for the next dispatch. */
#define DUMP_TRIES 3

static const int groups[] = {
	RTNLGRP_LINK,         RTNLGRP_IPV4_IFADDR,  RTNLGRP_IPV6_IFADDR, RTNLGRP_NEIGH,
	RTNLGRP_IPV4_ROUTE,   RTNLGRP_IPV6_ROUTE,   RTNLGRP_IPV4_RULE,   RTNLGRP_IPV6_RULE,
	RTNLGRP_IPV4_NETCONF, RTNLGRP_IPV6_NETCONF, RTNLGRP_NEXTHOP,     RTNLGRP_IPV6_IFINFO,
};

static int take(const struct nlmsghdr *nlh, void *ctx)
{
	return xe_mirror_take(ctx, nlh);
}

static int dump_links(struct xe_nlsock *s, struct xe_mirror *m)
{
	struct nlmsghdr *nlh = xe_nlsock_begin(s, RTM_GETLINK, NLM_F_DUMP);

	mnl_nlmsg_put_extra_header(nlh, sizeof(struct ifinfomsg));
	mnl_attr_put_u32(nlh, IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
	return xe_nlsock_ask(s, nlh, take, m);
}

static int dump_addrs(struct xe_nlsock *s, struct xe_mirror *m)
{
	struct nlmsghdr *nlh = xe_nlsock_begin(s, RTM_GETADDR, NLM_F_DUMP);

	mnl_nlmsg_put_extra_header(nlh, sizeof(struct ifaddrmsg));
	return xe_nlsock_ask(s, nlh, take, m);
}

static int dump_neighs(struct xe_nlsock *s, struct xe_mirror *m)
{
	struct nlmsghdr *nlh = xe_nlsock_begin(s, RTM_GETNEIGH, NLM_F_DUMP);

	mnl_nlmsg_put_extra_header(nlh, sizeof(struct ndmsg));
	return xe_nlsock_ask(s, nlh, take, m);
}

/* Events that happened before a dump are replayed after it. That does no harm: each says the whole
 * state of its object, and the last one of each object is not older than the dump saw it. */
static int dump_all(struct xe_nlsock *s, struct xe_mirror *m)
{
	int err = -EINTR;

	for (int i = 0; err == -EINTR && i < DUMP_TRIES; i++) {
		xe_mirror_dump_begin(m);
		err = dump_links(s, m);
		err = err ? err : dump_addrs(s, m);
		err = err ? err : dump_neighs(s, m);
	}
	/* An incomplete dump must not remove what it did not see. */
	if (!err)
		xe_mirror_dump_end(m);
	m->dumping = false;
	return err;
}

static int resync(struct xe_netlink *nl)
{
	struct xe_nlsock *s = calloc(1, sizeof(*s));
	int err;

	if (!s)
		return -ENOMEM;
	err = xe_nlsock_open(s, NETLINK_ROUTE, false);
	if (err)
		goto out;
	err = dump_all(s, &nl->mirror);
	nl->resync = err != 0;
out:
	xe_nlsock_close(s);
	free(s);
	return err == -EINTR ? -EAGAIN : err;
}

/* 0, or the -errno of the last thing that went wrong: something was lost. */
static int drain(struct xe_netlink *nl)
{
	int lost = 0, err = 0;

	for (unsigned int i = 0; i < EVENTS_A_DISPATCH && err != -EAGAIN; i++) {
		err = xe_nlsock_events(&nl->events, take, &nl->mirror);
		if (err && err != -EAGAIN)
			lost = err;
	}
	return lost;
}

int xe_netlink_dispatch(struct xe_netlink *nl)
{
	int err = drain(nl);

	if (err && !nl->resync) {
		xe_log_warn("netlink: events were lost (%s), reading everything again",
			    strerror(-err));
		nl->resync = true;
		nl->resync_cnt++;
	}
	err = nl->resync ? resync(nl) : 0;
	xe_mirror_tell(&nl->mirror, nl->ops, nl->ctx);
	return err;
}

static int open_sockets(struct xe_netlink *nl)
{
	int err = xe_nlsock_open(&nl->events, NETLINK_ROUTE, true);

	for (unsigned int i = 0; !err && i < sizeof(groups) / sizeof(groups[0]); i++)
		err = xe_nlsock_join(&nl->events, groups[i]);
	return err ? err : xe_nlsock_open(&nl->requests, NETLINK_ROUTE, false);
}

int xe_netlink_open(struct xe_netlink **nl, const struct xe_netlink_ops *ops, void *ctx)
{
	struct xe_netlink *n = calloc(1, sizeof(*n));
	int err;

	*nl = NULL;
	if (!n)
		return -ENOMEM;
	n->ops = ops;
	n->ctx = ctx;
	xe_mirror_init(&n->mirror);
	err = open_sockets(n);
	/* Subscribed before the dump: nothing that happens meanwhile is missed. */
	err = err ? err : resync(n);
	if (err && err != -EAGAIN) {
		xe_netlink_close(n);
		return err;
	}
	*nl = n;
	xe_mirror_tell(&n->mirror, ops, ctx);
	return 0;
}

int xe_netlink_fd(const struct xe_netlink *nl)
{
	return xe_nlsock_fd(&nl->events);
}

void xe_netlink_close(struct xe_netlink *nl)
{
	if (!nl)
		return;
	xe_nlsock_close(&nl->events);
	xe_nlsock_close(&nl->requests);
	xe_mirror_free(&nl->mirror);
	free(nl->connected);
	free(nl->broadcasts);
	free(nl);
}

uint64_t xe_netlink_resync_cnt(const struct xe_netlink *nl)
{
	return nl->resync_cnt;
}

const struct xe_link *xe_netlink_link(const struct xe_netlink *nl, int ifindex)
{
	const struct xe_mirror_link *link = xe_mirror_link(&nl->mirror, ifindex);

	return link ? &link->now : NULL;
}

const struct xe_link *xe_netlink_link_named(const struct xe_netlink *nl, const char *name)
{
	const struct xe_mirror_link *link;

	TAILQ_FOREACH(link, &nl->mirror.links, order)
	{
		if (!strcmp(link->now.name, name))
			return &link->now;
	}
	return NULL;
}

const struct xe_link *xe_netlink_link_next(const struct xe_netlink *nl, const struct xe_link *link)
{
	const struct xe_mirror_link *next;

	/* `now` is the first member, and only links of the mirror are given out. */
	next = link ? TAILQ_NEXT((const struct xe_mirror_link *)link, order)
		    : TAILQ_FIRST(&nl->mirror.links);
	return next ? &next->now : NULL;
}

int xe_netlink_l3_ifindex(const struct xe_netlink *nl, int ifindex)
{
	const struct xe_link *link = xe_netlink_link(nl, ifindex), *master;

	/* Member of a bond, member of a bridge, and some room; a loop of masters can't be made. */
	for (int depth = 0; link && link->master_ifindex && depth < 8; depth++) {
		master = xe_netlink_link(nl, link->master_ifindex);
		if (!master || !strcmp(master->kind, "vrf"))
			break;
		link = master;
	}
	return link ? link->ifindex : 0;
}
