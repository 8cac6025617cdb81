/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * netlink_mirror.h - inside of the netlink module: the tables of links, addresses and neighbours.
 *
 * Control thread only; the mirror belongs to its struct xe_netlink. Messages only change the tables
 * and queue what they touched; xe_mirror_tell() compares each queued object with what was told last
 * and calls the ops. A removed object leaves the tables at once and lives on in the queue until its
 * removal is told.
 *
 *   kernel message --xe_mirror_take()--> tables + queues --xe_mirror_tell()--> ops
 */
#ifndef XE_NETLINK_MIRROR_H
#define XE_NETLINK_MIRROR_H

#include <linux/netlink.h>
#include <sys/queue.h>

#include "control/netlink.h"
#include "control/netlink_wire.h"

/* Hash buckets. Hosts have hundreds of links and addresses, and at most gc_thresh3 (1024 by
 * default) neighbours a family that are not permanent: chains stay near one. */
#define XE_MIRROR_BUCKETS 1024

/* What every mirrored object has. */
struct xe_mirror_mark {
	uint32_t generation; /* of the last dump that saw it */
	bool queued;         /* is in its kind's queue */
	bool told;           /* ops know it, as `was` */
	bool gone;           /* out of the tables */
};

struct xe_mirror_link {
	struct xe_link now, was;
	struct xe_mirror_mark mark;
	bool poke; /* tell as changed even without a difference: the master's MAC changed */
	TAILQ_ENTRY(xe_mirror_link) queue;
	TAILQ_ENTRY(xe_mirror_link) order; /* all links, by ifindex */
	LIST_ENTRY(xe_mirror_link) chain;
};

struct xe_mirror_addr {
	struct xe_ifaddr now, was;
	struct xe_mirror_mark mark;
	TAILQ_ENTRY(xe_mirror_addr) queue;
	TAILQ_ENTRY(xe_mirror_addr) chain; /* bucket of its ifindex, in the kernel's order */
};

struct xe_mirror_neigh {
	struct xe_neigh now, was;
	struct xe_mirror_mark mark;
	TAILQ_ENTRY(xe_mirror_neigh) queue;
	LIST_ENTRY(xe_mirror_neigh) chain;
};

TAILQ_HEAD(xe_mirror_link_queue, xe_mirror_link);
TAILQ_HEAD(xe_mirror_addr_queue, xe_mirror_addr);
TAILQ_HEAD(xe_mirror_neigh_queue, xe_mirror_neigh);
LIST_HEAD(xe_mirror_link_chain, xe_mirror_link);
LIST_HEAD(xe_mirror_neigh_chain, xe_mirror_neigh);

struct xe_mirror {
	struct xe_mirror_link_queue links; /* by ifindex */
	struct xe_mirror_link_chain link_of[XE_MIRROR_BUCKETS];
	struct xe_mirror_addr_queue addrs_of[XE_MIRROR_BUCKETS];
	struct xe_mirror_neigh_chain neigh_of[XE_MIRROR_BUCKETS];
	struct xe_mirror_link_queue link_queue;
	struct xe_mirror_addr_queue addr_queue;
	struct xe_mirror_neigh_queue neigh_queue;
	uint64_t seed;         /* of the neighbour hash: its keys are chosen by hosts on the link */
	uint32_t generation;   /* of the dump under way, or the last one */
	bool dumping;          /* a dump is under way: its order is the kernel's */
	bool routes_changed;   /* ops.routes is due */
	bool connected_stale;  /* connected routes and broadcast addresses must be read again */
	bool forwarding_stale; /* so must net.ipv6.conf.all.forwarding */
};

void xe_mirror_init(struct xe_mirror *m);
void xe_mirror_free(struct xe_mirror *m);

/* Take in one message, from a dump or an event; anything not understood is skipped. 0 or -ENOMEM,
 * after which the mirror lacks something: read everything again. */
int xe_mirror_take(struct xe_mirror *m, const struct nlmsghdr *nlh);

/* Around a full dump: begin starts a generation, end removes what the dump did not see. */
void xe_mirror_dump_begin(struct xe_mirror *m);
void xe_mirror_dump_end(struct xe_mirror *m);

/* Call the ops for everything queued, then routes. */
void xe_mirror_tell(struct xe_mirror *m, const struct xe_netlink_ops *ops, void *ctx);

/* Lookups; NULL when there is none. */
struct xe_mirror_link *xe_mirror_link(const struct xe_mirror *m, int ifindex);
struct xe_mirror_neigh *xe_mirror_neigh(const struct xe_mirror *m, int ifindex,
					const struct xe_addr *addr);
/* The addresses of this interface; skip those of others that share the bucket. */
const struct xe_mirror_addr_queue *xe_mirror_addrs(const struct xe_mirror *m, int ifindex);

/* netlink_parse.c: one message into one cleared object. False: not about such an object (other
 * family, proxy or bridge entry, partial message), leave the mirror alone. */
bool xe_nl_parse_link(const struct nlmsghdr *nlh, struct xe_link *link);
/* What AF_INET6's own messages say of a link: its IPv6 MTU, 0 when this is none of those. */
uint32_t xe_nl_parse_mtu6(const struct nlmsghdr *nlh, int *ifindex);
bool xe_nl_parse_addr(const struct nlmsghdr *nlh, struct xe_ifaddr *addr);
bool xe_nl_parse_neigh(const struct nlmsghdr *nlh, struct xe_neigh *neigh);
/* A route message: is it one that packets are looked up in (no cache entry)? *connected: unicast
 * without a gateway through *oif to *prefix. False: neither. */
bool xe_nl_parse_route(const struct nlmsghdr *nlh, bool *connected, int *oif,
		       struct xe_prefix *prefix);

/* Is it an IPv4 broadcast address (of the local table, by the kernel for each prefix of its own)?
 */
bool xe_nl_parse_broadcast(const struct nlmsghdr *nlh, __be32 *addr_be);

/* netlink_connected.c: zero the bits from prefix->len on. */
void xe_nl_cut(struct xe_prefix *prefix);

/* A route without a gateway: hosts in prefix are directly behind ifindex. */
struct xe_connected {
	int ifindex;
	struct xe_prefix prefix;
};

struct xe_netlink {
	struct xe_nlsock events;
	struct xe_nlsock requests; /* one question at a time; answers never call ops */
	struct xe_mirror mirror;
	const struct xe_netlink_ops *ops;
	void *ctx;
	bool resync; /* events were lost: read everything again */
	uint64_t resync_cnt;
	bool forwards6;                 /* net.ipv6.conf.all.forwarding, read likewise */
	struct xe_connected *connected; /* by ifindex; read when asked for and stale */
	uint32_t connected_cnt;
	uint32_t connected_size;
	__be32 *broadcasts; /* from the same dump, sorted, none twice */
	uint32_t broadcast_cnt, broadcast_size;
};

#endif
