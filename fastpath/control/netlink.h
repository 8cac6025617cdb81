/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * netlink.h - the kernel's knowledge: links, addresses and neighbours mirrored and followed live;
 * routes, next hops and masquerade addresses asked for.
 *
 * Control thread only, in the network namespace that was current at xe_netlink_open(). Two sockets
 * live as long as the object:
 *   events    non-blocking, multicast groups, xe_netlink_fd(); drained by xe_netlink_dispatch()
 *   requests  questions and commands, each answered before the function returns, at most
 *             XE_NETLINK_TIMEOUT_MS later
 * A third one exists while the mirror is filled, so that ops may ask questions at any time.
 *
 * The mirror comes first, the ops after: dispatch takes in every waiting event, then tells each
 * object's difference to what was told last. Ops therefore see a whole mirror, never half of a
 * change; what appears and vanishes between two dispatches is not told at all, and an object that
 * was replaced by another with the same key is told as removed, then added. Order within one
 * dispatch: what is gone (neighbours, addresses, links), what is new or changed (links, addresses,
 * neighbours), routes. What is told as removed is no longer found by lookups.
 *
 * When the event socket overflows (ENOBUFS), everything is read again and the differences are told
 * as if the events had come.
 *
 * Pointers given to ops are valid during the call. Pointers from lookups are valid until the next
 * dispatch or close. Ops may call everything here but dispatch and close.
 */
#ifndef XE_NETLINK_H
#define XE_NETLINK_H

#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>

#include "state/rule.h"
#include "xegress/types.h"

/* Longest wait for an answer of the kernel. Answers take microseconds, unless another process
 * holds the rtnl lock: deleting a namespace full of interfaces holds it for some hundred
 * milliseconds. Two seconds is well past that and below what a watchdog would call stuck. */
#define XE_NETLINK_TIMEOUT_MS 2000

struct xe_netlink;

enum xe_nl_event { XE_NL_ADDED, XE_NL_CHANGED, XE_NL_REMOVED };

/* A network interface. Absent things are 0 or "", if not said otherwise. */
struct xe_link {
	int ifindex;
	char name[IFNAMSIZ];
	char kind[16];      /* "veth", "bridge", "tun", ...; "": a device without one (most NICs) */
	uint8_t mac[6];     /* zero: the device has no Ethernet address */
	uint16_t arphrd;    /* ARPHRD_ETHER, ARPHRD_NONE, ... */
	int master_ifindex; /* bridge, bond, VRF, ...; 0: none */
	int peer_ifindex;   /* IFLA_LINK: a veth's other end, in namespace link_netnsid */
	int link_netnsid;   /* id of the namespace peer_ifindex is in, -1: this one */
	uint32_t mtu;
	uint32_t mtu6; /* of its IPv6 (net.ipv6.conf.*.mtu), which a router may have lowered; 0:
			* none. A setting changed by hand is told with the link's next change */
	uint32_t rx_queues; /* in use now, as far as the driver says; else those allocated. Not
			     * followed live: ethtool -L sends no event, see xe_link_channels() */
	uint32_t tx_queues;
	uint32_t gso_max_size; /* bytes; of this end, not of the peer's */
	uint32_t xdp_prog_id;  /* attached XDP program, 0: none */
	uint8_t xdp_mode;      /* XDP_ATTACHED_* of linux/if_link.h */
	uint8_t tx_whole;      /* XE_TX_*: superpackets it takes whole (link_offloads.h) */
	bool up;               /* IFF_UP */
	bool carrier;          /* up and with carrier */
};

/* An address of an interface. */
struct xe_ifaddr {
	int ifindex;
	uint8_t family;     /* AF_INET, AF_INET6 */
	uint8_t prefix_len; /* of that family: 0..32, 0..128 */
	uint8_t scope;      /* RT_SCOPE_* */
	uint32_t flags;     /* IFA_F_SECONDARY (IPv6: _TEMPORARY), _TENTATIVE, _OPTIMISTIC,
			     * _DADFAILED, _DEPRECATED; other bits are masked away */
	struct xe_addr local;
	struct xe_addr
		peer; /* whose prefix is connected; equals local but on point-to-point links */
};

/* A neighbour entry of the kernel's ARP or ND table (proxy and bridge fdb entries are not here). */
struct xe_neigh {
	int ifindex;
	uint16_t nud_state; /* NUD_* of linux/neighbour.h; 0 in a removal */
	uint8_t mac[6];     /* zero while unknown */
	bool usable; /* the kernel would send to mac now (NUD_VALID: STALE and PROBE included) */
	struct xe_addr addr;
};

/* What the owner hears; NULL members are not called. */
struct xe_netlink_ops {
	/* `was` is what was told last: NULL when added, equal to link when removed. `changed` is
	 * also told, with no difference, to every member of a master whose MAC changed. */
	void (*link)(void *ctx, const struct xe_link *link, const struct xe_link *was,
		     enum xe_nl_event event);
	void (*addr)(void *ctx, const struct xe_ifaddr *addr, enum xe_nl_event event);
	/* Any change of mac, usable or nud_state. */
	void (*neigh)(void *ctx, const struct xe_neigh *neigh, enum xe_nl_event event);
	/* Something that answers of xe_netlink_route(), _connected() or _masq_addr() depend on may
	 * have changed: routes, rules, next-hop objects, addresses, forwarding and rp_filter
	 * switches, a link's state or master. At most once a dispatch, after everything else.
	 * Learned path MTUs are not announced by the kernel. */
	void (*routes)(void *ctx);
	/* All that was to be told has been: work that many events share is done here, once. */
	void (*settled)(void *ctx);
};

/*
 * Open the sockets, fill the mirror, tell everything as added (then routes once). *nl is set before
 * the first op is called. Returns 0 or -errno, then *nl is NULL and nothing is left open; ops may
 * have been called only on success. ops and ctx must outlive the object.
 */
int xe_netlink_open(struct xe_netlink **nl, const struct xe_netlink_ops *ops, void *ctx);

/* To watch for POLLIN (level-triggered); owned by the object. */
int xe_netlink_fd(const struct xe_netlink *nl);

/*
 * Take in what has happened and call ops. Never blocks on events; a re-synchronisation reads the
 * whole tables (milliseconds). Call it when the descriptor is readable, and about once a second
 * anyway: a re-synchronisation that the kernel interrupted is tried again then. Returns 0; -errno
 * when the mirror may be out of date (the next call tries again), logged when it begins.
 */
int xe_netlink_dispatch(struct xe_netlink *nl);

/* NULL is fine. Ops are not called. */
void xe_netlink_close(struct xe_netlink *nl);

/* How often the mirror was read again because events were lost. */
uint64_t xe_netlink_resync_cnt(const struct xe_netlink *nl);

/* ---- links ---- */

const struct xe_link *xe_netlink_link(const struct xe_netlink *nl, int ifindex);
const struct xe_link *xe_netlink_link_named(const struct xe_netlink *nl, const char *name);

/* In order of ifindex; NULL after the last. */
const struct xe_link *xe_netlink_link_next(const struct xe_netlink *nl, const struct xe_link *link);

#define xe_for_each_link(nl, link)                                                                 \
	for ((link) = xe_netlink_link_next(nl, NULL); (link);                                      \
	     (link) = xe_netlink_link_next(nl, link))

/* The interface by which the kernel routes what arrives on this one: its bridge's or bond's (their
 * masters followed too), itself without one or below a VRF. 0: no such interface. */
int xe_netlink_l3_ifindex(const struct xe_netlink *nl, int ifindex);

/* Ask the driver how many RX and TX queues are in use now (ethtool channels). 0, or -errno
 * (-EOPNOTSUPP: the driver doesn't say; the counts are untouched). In the current namespace. */
int xe_link_channels(const char *name, uint32_t *rx_queues, uint32_t *tx_queues);

/* Does any interface have this address? */
bool xe_netlink_has_addr(const struct xe_netlink *nl, const struct xe_addr *addr);
/* The same, on this interface. */
bool xe_netlink_addr_on(const struct xe_netlink *nl, int ifindex, const struct xe_addr *addr);

/* ---- routes ---- */

struct xe_route_req {
	struct xe_addr dst;
	struct xe_addr src; /* all zero: not said */
	int iif; /* arriving interface, a bridge member means its bridge; 0: sent by the host */
	uint32_t mark;
	uint8_t proto;         /* with the L4 ports, for rules and ECMP hashes that look at them; */
	uint8_t dscp_ecn;      /* (the old TOS byte) */
	uint16_t sport, dport; /* host order; proto 0: not said */
};

struct xe_route {
	uint8_t type; /* RTN_*. Only RTN_UNICAST leaves by oif; RTN_UNREACHABLE (ICMP host or net
		       * unreachable is due; also when forwarding is off), RTN_PROHIBIT (ICMP
		       * prohibited), RTN_BLACKHOLE (silence), RTN_THROW (no rule further on),
		       * RTN_LOCAL, RTN_BROADCAST, RTN_MULTICAST: the kernel's */
	bool martian; /* refused for its source (rp_filter, own address as source): type is
		       * RTN_BLACKHOLE */
	bool has_gateway; /* false: dst is on the link */
	bool encap;   /* the route encapsulates (MPLS, SRv6, ...): only the kernel can send it */
	int error;    /* 0 or the errno the kernel answered, for explaining */
	int oif;      /* out interface, 0 when type has none */
	uint32_t mtu; /* bytes of IP packet: the route's own MTU, else the out device's (of its
		       * IPv6). A path MTU the kernel learned does not lower it (the kernel
		       * forwards so too) */
	uint32_t expires_s;     /* the answer holds for so long, 0: until ops.routes (an IPv6 route
				 * that a router advertised ends with it, the kernel's garbage
				 * collection interval of 30 s later) */
	struct xe_addr gateway; /* next hop: whom to resolve on oif; dst itself when on the link;
				 * may be IPv6 for an IPv4 dst */
	struct xe_addr prefsrc; /* zero when the kernel names none: it does so only for iif 0 */
};

/*
 * How the kernel would route this packet right now. 0 whenever the kernel decided, an unreachable
 * destination included; -ENODEV: iif is gone; -ETIMEDOUT; other -errno: could not ask.
 * On 6.13 and later the kernel answers EINVAL to blackholes and martians alike; which of the two it
 * was is then found by asking for the destination alone and for the way back to the source.
 */
int xe_netlink_route_for(struct xe_netlink *nl, const struct xe_route_req *req,
			 struct xe_route *out);

/* The same for a forwarded packet of which only addresses matter. src may be NULL. */
int xe_netlink_route(struct xe_netlink *nl, const struct xe_addr *dst, const struct xe_addr *src,
		     int iif, struct xe_route *out);

/*
 * Prefixes whose hosts are directly behind this interface, or behind its bridge or bond: prefixes
 * of its addresses, and unicast routes through it without a gateway (a container's host route
 * included; one with scope host too, as CNI's ptp plugin makes). Never a default route, link-local
 * or multicast prefixes, nor the host's own /32 and /128. Both families; IPv4 lengths are +96.
 * Writes at most `max`, without duplicates, and returns how many; more than max: they did not all
 * fit, room for that many does. 0 also when the kernel can't be asked.
 */
uint32_t xe_netlink_connected(struct xe_netlink *nl, int ifindex, struct xe_prefix *out,
			      uint32_t max);

/* The IPv4 broadcast addresses of the host's networks (RTN_BROADCAST routes), 255.255.255.255
 * beside them where the kernel has it so: sorted as bytes, none twice; valid until the next call of
 * this module. 0, or -errno when the kernel cannot be asked: then the list is not whole. */
int xe_netlink_broadcasts(struct xe_netlink *nl, const __be32 **list, uint32_t *cnt);

/*
 * The source address kernel masquerade would choose for a packet that leaves by out_ifindex
 * (net/ipv4/devinet.c, inet_select_addr): the first primary global address whose prefix holds the
 * gateway, else the first primary global one, else one of another interface (below a VRF: of that
 * VRF). gateway: the next hop of an IPv4 route; the destination where it is on the link or the
 * gateway is IPv6 (as the kernel does); NULL: none. 0, or -EADDRNOTAVAIL.
 */
int xe_netlink_masq_addr(const struct xe_netlink *nl, int out_ifindex,
			 const struct xe_addr *gateway, __be32 *addr_be);

/*
 * The same for IPv6 and this destination, by RFC 6724 (netlink_masq.c says where we differ): global
 * addresses only, deprecated or temporary ones where there is nothing else, tentative ones never.
 */
int xe_netlink_masq_addr6(const struct xe_netlink *nl, int out_ifindex, const struct xe_addr *dst,
			  struct xe_addr *addr);

/* The first global IPv6 address of this interface, usable as a source, else one of another
 * interface (of the same VRF). 0, or -EADDRNOTAVAIL. */
int xe_netlink_own_addr6(const struct xe_netlink *nl, int ifindex, struct xe_addr *addr);

/* ---- neighbours ---- */

/* From the mirror: 0 and the MAC when usable, -EAGAIN when known but not usable (being resolved, or
 * failed: see the state), -ENOENT when unknown. nud_state may be NULL; it is 0 when unknown. */
int xe_netlink_neigh(const struct xe_netlink *nl, int ifindex, const struct xe_addr *addr,
		     uint8_t mac[6], uint16_t *nud_state);

/* Calls fn for each neighbour in the mirror. */
void xe_netlink_each_neigh(const struct xe_netlink *nl,
			   void (*fn)(void *ctx, const struct xe_neigh *neigh), void *ctx);

/*
 * Make the kernel resolve or confirm a neighbour, as if it had a packet for it: an unknown or
 * failed one is asked for, a stale one confirmed after delay_first_probe_time (5 s), a reachable
 * one is marked as used. The outcome comes by ops.neigh. A permanent entry is left alone: kernels
 * since 5.16 strip it of its permanence when used this way, so it is looked for first. 0 or -errno
 * (-ENODEV, -ENETDOWN, ...).
 */
int xe_netlink_neigh_use(struct xe_netlink *nl, int ifindex, const struct xe_addr *addr);

/* Behind which interface does the bridge see this Ethernet address? 0: none, or it is no bridge. */
int xe_netlink_bridge_port(struct xe_netlink *nl, int bridge_ifindex, const uint8_t mac[6]);

#endif
