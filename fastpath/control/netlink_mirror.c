/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * netlink_mirror.c - the tables, and what messages do to them. See netlink_mirror.h.
 */
#include <errno.h>
#include <linux/if_addr.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>

#include "control/netlink_mirror.h"
#include "control/netlink_wire.h"

void xe_mirror_init(struct xe_mirror *m)
{
	memset(m, 0, sizeof(*m));
	TAILQ_INIT(&m->links);
	TAILQ_INIT(&m->link_queue);
	TAILQ_INIT(&m->addr_queue);
	TAILQ_INIT(&m->neigh_queue);
	for (unsigned int i = 0; i < XE_MIRROR_BUCKETS; i++)
		TAILQ_INIT(&m->addrs_of[i]);
	/* Never blocks: 8 bytes; an unseeded pool at boot leaves the seed weaker, not unset. */
	if (getrandom(&m->seed, sizeof(m->seed), GRND_NONBLOCK) < 0)
		m->seed = (uintptr_t)m;
}

static unsigned int link_bucket(int ifindex)
{
	return (unsigned int)ifindex % XE_MIRROR_BUCKETS;
}

/* Multiply and fold with a secret: neighbours' addresses are chosen by hosts on the link. */
static unsigned int neigh_bucket(const struct xe_mirror *m, int ifindex, const struct xe_addr *addr)
{
	unsigned __int128 p;
	uint64_t q[2];

	memcpy(q, addr, sizeof(q));
	p = (unsigned __int128)(q[0] ^ m->seed) * (q[1] ^ ((uint64_t)ifindex << 32) ^ ~m->seed);
	q[0] = (uint64_t)p ^ (uint64_t)(p >> 64);
	return (unsigned int)(q[0] ^ q[0] >> 32) % XE_MIRROR_BUCKETS;
}

/* ---- lookups ---- */

struct xe_mirror_link *xe_mirror_link(const struct xe_mirror *m, int ifindex)
{
	struct xe_mirror_link *link;

	LIST_FOREACH(link, &m->link_of[link_bucket(ifindex)], chain)
	{
		if (link->now.ifindex == ifindex)
			return link;
	}
	return NULL;
}

struct xe_mirror_neigh *xe_mirror_neigh(const struct xe_mirror *m, int ifindex,
					const struct xe_addr *addr)
{
	struct xe_mirror_neigh *neigh;

	LIST_FOREACH(neigh, &m->neigh_of[neigh_bucket(m, ifindex, addr)], chain)
	{
		if (neigh->now.ifindex == ifindex && !memcmp(&neigh->now.addr, addr, sizeof(*addr)))
			return neigh;
	}
	return NULL;
}

const struct xe_mirror_addr_queue *xe_mirror_addrs(const struct xe_mirror *m, int ifindex)
{
	return &m->addrs_of[link_bucket(ifindex)];
}

static struct xe_mirror_addr *find_addr(const struct xe_mirror *m, const struct xe_ifaddr *key)
{
	struct xe_mirror_addr *addr;

	TAILQ_FOREACH(addr, xe_mirror_addrs(m, key->ifindex), chain)
	{
		if (addr->now.ifindex == key->ifindex && addr->now.family == key->family &&
		    addr->now.prefix_len == key->prefix_len &&
		    !memcmp(&addr->now.local, &key->local, sizeof(key->local)) &&
		    !memcmp(&addr->now.peer, &key->peer, sizeof(key->peer)))
			return addr;
	}
	return NULL;
}

/* ---- queues of what is to be told ---- */

static bool to_queue(struct xe_mirror_mark *mark)
{
	bool was = mark->queued;

	mark->queued = true;
	return !was;
}

static void queue_link(struct xe_mirror *m, struct xe_mirror_link *link)
{
	if (to_queue(&link->mark))
		TAILQ_INSERT_TAIL(&m->link_queue, link, queue);
}

static void queue_addr(struct xe_mirror *m, struct xe_mirror_addr *addr)
{
	if (to_queue(&addr->mark))
		TAILQ_INSERT_TAIL(&m->addr_queue, addr, queue);
}

static void queue_neigh(struct xe_mirror *m, struct xe_mirror_neigh *neigh)
{
	if (to_queue(&neigh->mark))
		TAILQ_INSERT_TAIL(&m->neigh_queue, neigh, queue);
}

/* Routes and what is connected depend on addresses and on a link's state; the kernel tells nothing
 * about the IPv4 routes that go with them. */
static void topology_changed(struct xe_mirror *m)
{
	m->routes_changed = true;
	m->connected_stale = true;
}

/* ---- removal: out of the tables, into the queue ---- */

static void addr_gone(struct xe_mirror *m, struct xe_mirror_addr *addr)
{
	TAILQ_REMOVE(&m->addrs_of[link_bucket(addr->now.ifindex)], addr, chain);
	addr->mark.gone = true;
	queue_addr(m, addr);
	topology_changed(m);
}

static void neigh_gone(struct xe_mirror *m, struct xe_mirror_neigh *neigh)
{
	LIST_REMOVE(neigh, chain);
	neigh->mark.gone = true;
	queue_neigh(m, neigh);
}

/* ifindex 0: all that the running dump has not seen; else all of that interface. */
static void sweep_addrs(struct xe_mirror *m, int ifindex)
{
	struct xe_mirror_addr *addr, *next;

	for (unsigned int i = 0; i < XE_MIRROR_BUCKETS; i++) {
		for (addr = TAILQ_FIRST(&m->addrs_of[i]); addr; addr = next) {
			next = TAILQ_NEXT(addr, chain);
			if (ifindex ? addr->now.ifindex == ifindex
				    : addr->mark.generation != m->generation)
				addr_gone(m, addr);
		}
	}
}

static void sweep_neighs(struct xe_mirror *m, int ifindex)
{
	struct xe_mirror_neigh *neigh, *next;

	for (unsigned int i = 0; i < XE_MIRROR_BUCKETS; i++) {
		for (neigh = LIST_FIRST(&m->neigh_of[i]); neigh; neigh = next) {
			next = LIST_NEXT(neigh, chain);
			if (ifindex ? neigh->now.ifindex == ifindex
				    : neigh->mark.generation != m->generation)
				neigh_gone(m, neigh);
		}
	}
}

static void link_gone(struct xe_mirror *m, struct xe_mirror_link *link)
{
	/* The kernel tells about these too, mostly; nothing may outlive its link. */
	sweep_addrs(m, link->now.ifindex);
	sweep_neighs(m, link->now.ifindex);
	TAILQ_REMOVE(&m->links, link, order);
	LIST_REMOVE(link, chain);
	link->mark.gone = true;
	queue_link(m, link);
	topology_changed(m);
}

/* ---- messages ---- */

static struct xe_mirror_link *new_link(struct xe_mirror *m, int ifindex)
{
	struct xe_mirror_link *link = calloc(1, sizeof(*link)), *before;

	if (!link)
		return NULL;
	link->now.ifindex = ifindex;
	/* A new link nearly always has the highest index. */
	TAILQ_FOREACH_REVERSE(before, &m->links, xe_mirror_link_queue, order)
	{
		if (before->now.ifindex < ifindex)
			break;
	}
	if (before)
		TAILQ_INSERT_AFTER(&m->links, before, link, order);
	else
		TAILQ_INSERT_HEAD(&m->links, link, order);
	LIST_INSERT_HEAD(&m->link_of[link_bucket(ifindex)], link, chain);
	return link;
}

/* A router's advertisement has changed the MTU of an interface's IPv6. */
static void take_mtu6(struct xe_mirror *m, const struct nlmsghdr *nlh)
{
	struct xe_mirror_link *link;
	uint32_t mtu6;
	int ifindex;

	mtu6 = xe_nl_parse_mtu6(nlh, &ifindex);
	link = mtu6 ? xe_mirror_link(m, ifindex) : NULL;
	if (!link || link->now.mtu6 == mtu6)
		return;
	link->now.mtu6 = mtu6;
	queue_link(m, link);
	topology_changed(m);
}

static int take_link(struct xe_mirror *m, const struct nlmsghdr *nlh)
{
	struct xe_mirror_link *link;
	struct xe_link now;

	if (!xe_nl_parse_link(nlh, &now)) {
		take_mtu6(m, nlh);
		return 0;
	}
	link = xe_mirror_link(m, now.ifindex);
	if (nlh->nlmsg_type == RTM_DELLINK) {
		if (link)
			link_gone(m, link);
		return 0;
	}
	if (!link)
		link = new_link(m, now.ifindex);
	if (!link)
		return -ENOMEM;
	link->mark.generation = m->generation;
	/* IPv6 takes over a changed MTU (addrconf_notify()), after this was sent. */
	if (link->now.mtu && link->now.mtu != now.mtu && now.mtu6)
		now.mtu6 = now.mtu;
	if (!memcmp(&link->now, &now, sizeof(now)))
		return 0;
	if (link->now.up != now.up || link->now.carrier != now.carrier ||
	    link->now.mtu != now.mtu || link->now.mtu6 != now.mtu6 ||
	    link->now.master_ifindex != now.master_ifindex)
		topology_changed(m);
	memcpy(&link->now, &now, sizeof(now)); /* padding too: compared as bytes */
	queue_link(m, link);
	return 0;
}

static int take_addr(struct xe_mirror *m, const struct nlmsghdr *nlh)
{
	struct xe_mirror_addr_queue *bucket;
	struct xe_mirror_addr *addr;
	struct xe_ifaddr now;
	bool promoted;

	if (!xe_nl_parse_addr(nlh, &now))
		return 0;
	addr = find_addr(m, &now);
	bucket = &m->addrs_of[link_bucket(now.ifindex)];
	if (nlh->nlmsg_type == RTM_DELADDR) {
		if (addr)
			addr_gone(m, addr);
		return 0;
	}
	if (!addr) {
		addr = calloc(1, sizeof(*addr));
		if (!addr)
			return -ENOMEM;
		/* The kernel puts a new IPv6 address before those of the same scope
		 * (ipv6_link_dev_addr()), an IPv4 one behind. */
		if (now.family == AF_INET6 && !m->dumping)
			TAILQ_INSERT_HEAD(bucket, addr, chain);
		else
			TAILQ_INSERT_TAIL(bucket, addr, chain);
	}
	addr->mark.generation = m->generation;
	if (!memcmp(&addr->now, &now, sizeof(now)))
		return 0;
	/* The kernel moves a promoted address behind the primary ones, and so do we: the order
	 * decides what masquerade takes. */
	promoted = now.family == AF_INET && addr->now.flags & IFA_F_SECONDARY &&
		   !(now.flags & IFA_F_SECONDARY);
	if (promoted) {
		TAILQ_REMOVE(bucket, addr, chain);
		TAILQ_INSERT_TAIL(bucket, addr, chain);
	}
	memcpy(&addr->now, &now, sizeof(now));
	queue_addr(m, addr);
	topology_changed(m);
	return 0;
}

static int take_neigh(struct xe_mirror *m, const struct nlmsghdr *nlh)
{
	struct xe_mirror_neigh *neigh;
	struct xe_neigh now;

	if (!xe_nl_parse_neigh(nlh, &now))
		return 0;
	neigh = xe_mirror_neigh(m, now.ifindex, &now.addr);
	if (nlh->nlmsg_type == RTM_DELNEIGH) {
		if (neigh)
			neigh_gone(m, neigh);
		return 0;
	}
	if (!neigh) {
		neigh = calloc(1, sizeof(*neigh));
		if (!neigh)
			return -ENOMEM;
		LIST_INSERT_HEAD(&m->neigh_of[neigh_bucket(m, now.ifindex, &now.addr)], neigh,
				 chain);
	}
	neigh->mark.generation = m->generation;
	if (memcmp(&neigh->now, &now, sizeof(now))) {
		memcpy(&neigh->now, &now, sizeof(now));
		queue_neigh(m, neigh);
	}
	return 0;
}

/* Gatewayed routes come and go by the thousand on hosts that speak BGP: only a connected one, or a
 * broadcast address, makes the connected table stale. */
static void take_route(struct xe_mirror *m, const struct nlmsghdr *nlh)
{
	struct xe_prefix prefix;
	bool connected;
	__be32 addr_be;
	int oif;

	if (!xe_nl_parse_route(nlh, &connected, &oif, &prefix))
		return;
	m->routes_changed = true;
	if (connected || xe_nl_parse_broadcast(nlh, &addr_be))
		m->connected_stale = true;
}

int xe_mirror_take(struct xe_mirror *m, const struct nlmsghdr *nlh)
{
	switch (nlh->nlmsg_type) {
	case RTM_NEWLINK:
	case RTM_DELLINK:
		return take_link(m, nlh);
	case RTM_NEWADDR:
	case RTM_DELADDR:
		return take_addr(m, nlh);
	case RTM_NEWNEIGH:
	case RTM_DELNEIGH:
		return take_neigh(m, nlh);
	case RTM_NEWROUTE:
	case RTM_DELROUTE:
		take_route(m, nlh);
		return 0;
	case RTM_NEWNEXTHOP:
	case RTM_DELNEXTHOP: /* routes through it go silently */
		topology_changed(m);
		return 0;
	case RTM_NEWNETCONF: /* forwarding, rp_filter */
	case RTM_DELNETCONF:
		m->forwarding_stale = true;
		m->routes_changed = true;
		return 0;
	case RTM_NEWRULE:
	case RTM_DELRULE:
		m->routes_changed = true;
		return 0;
	default:
		return 0;
	}
}

void xe_mirror_dump_begin(struct xe_mirror *m)
{
	m->generation++;
	m->dumping = true;
}

void xe_mirror_dump_end(struct xe_mirror *m)
{
	struct xe_mirror_link *link, *next;

	m->dumping = false;
	m->forwarding_stale = true;
	for (link = TAILQ_FIRST(&m->links); link; link = next) {
		next = TAILQ_NEXT(link, order);
		if (link->mark.generation != m->generation)
			link_gone(m, link);
	}
	sweep_addrs(m, 0);
	sweep_neighs(m, 0);
	topology_changed(m);
}
