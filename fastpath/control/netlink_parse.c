/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * netlink_parse.c - rtnetlink messages into the structures of netlink.h, one function a kind.
 *
 * No state. Objects are cleared first, padding included: the mirror compares them as bytes.
 */
#include <errno.h>
#include <linux/ethtool.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/if_tun.h>
#include <linux/ipv6.h>
#include <linux/neighbour.h>
#include <linux/sockios.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "control/link_offloads.h"
#include "control/netlink_mirror.h"
#include "control/netlink_wire.h"

/* Address flags that change what an address is good for. */
#define ADDR_FLAGS                                                                                 \
	(IFA_F_SECONDARY | IFA_F_TENTATIVE | IFA_F_OPTIMISTIC | IFA_F_DADFAILED | IFA_F_DEPRECATED)

int xe_link_channels(const char *name, uint32_t *rx_queues, uint32_t *tx_queues)
{
	struct ethtool_channels ch = {.cmd = ETHTOOL_GCHANNELS};
	struct ifreq ifr = {.ifr_data = (void *)&ch};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), err;

	if (fd < 0)
		return -errno;
	strncpy(ifr.ifr_name, name, sizeof(ifr.ifr_name) - 1);
	err = ioctl(fd, SIOCETHTOOL, &ifr) ? -errno : 0;
	close(fd);
	if (err)
		return err;
	if (!(ch.rx_count + ch.combined_count) || !(ch.tx_count + ch.combined_count))
		return -EOPNOTSUPP;
	*rx_queues = ch.rx_count + ch.combined_count;
	*tx_queues = ch.tx_count + ch.combined_count;
	return 0;
}

/* A tun device allocates 256 queues and has no ethtool channels, but tells how many are open. */
static void tun_queues(const struct nlattr *kind_info, struct xe_link *link)
{
	const struct nlattr *tb[IFLA_TUN_NUM_QUEUES + 1];
	uint32_t open_cnt;

	xe_nl_nest(kind_info, tb, IFLA_TUN_NUM_QUEUES);
	open_cnt = xe_nl_u32(tb[IFLA_TUN_NUM_QUEUES], 0);
	if (open_cnt)
		link->rx_queues = link->tx_queues = open_cnt;
	else if (tb[IFLA_TUN_TYPE])
		link->rx_queues = link->tx_queues = 1; /* single-queue: no count is given */
}

static void parse_queues(const struct nlattr **tb, const struct nlattr *kind_info,
			 struct xe_link *link)
{
	link->rx_queues = xe_nl_u32(tb[IFLA_NUM_RX_QUEUES], 1);
	link->tx_queues = xe_nl_u32(tb[IFLA_NUM_TX_QUEUES], 1);
	if (!strcmp(link->kind, "tun"))
		tun_queues(kind_info, link);
	else
		(void)xe_link_channels(link->name, &link->rx_queues, &link->tx_queues);
}

static void parse_xdp(const struct nlattr *nest, struct xe_link *link)
{
	const struct nlattr *tb[IFLA_XDP_HW_PROG_ID + 1];
	/* With programs in several modes at once IFLA_XDP_PROG_ID is absent; the order is the one
	 * in which packets meet them. */
	static const uint8_t ids[] = {IFLA_XDP_PROG_ID, IFLA_XDP_HW_PROG_ID, IFLA_XDP_DRV_PROG_ID,
				      IFLA_XDP_SKB_PROG_ID};

	xe_nl_nest(nest, tb, IFLA_XDP_HW_PROG_ID);
	link->xdp_mode = xe_nl_u8(tb[IFLA_XDP_ATTACHED], XDP_ATTACHED_NONE);
	for (unsigned int i = 0; i < sizeof(ids) && !link->xdp_prog_id; i++)
		link->xdp_prog_id = xe_nl_u32(tb[ids[i]], 0);
}

/* The array of per-interface settings that IPv6 tells of. 0: not said. */
static uint32_t mtu6_of(const struct nlattr *inet6)
{
	const struct nlattr *tb[IFLA_INET6_CONF + 1];
	uint32_t mtu6;

	xe_nl_nest(inet6, tb, IFLA_INET6_CONF);
	if (!tb[IFLA_INET6_CONF] ||
	    mnl_attr_get_payload_len(tb[IFLA_INET6_CONF]) < (DEVCONF_MTU6 + 1) * sizeof(mtu6))
		return 0;
	memcpy(&mtu6,
	       (const char *)mnl_attr_get_payload(tb[IFLA_INET6_CONF]) +
		       DEVCONF_MTU6 * sizeof(mtu6),
	       sizeof(mtu6));
	return mtu6;
}

uint32_t xe_nl_parse_mtu6(const struct nlmsghdr *nlh, int *ifindex)
{
	const struct ifinfomsg *ifi = mnl_nlmsg_get_payload(nlh);
	const struct nlattr *tb[IFLA_PROTINFO + 1];

	if (nlh->nlmsg_type != RTM_NEWLINK || !xe_nl_attrs(nlh, sizeof(*ifi), tb, IFLA_PROTINFO) ||
	    ifi->ifi_family != AF_INET6)
		return 0;
	*ifindex = ifi->ifi_index;
	return mtu6_of(tb[IFLA_PROTINFO]);
}

static uint32_t parse_mtu6(const struct nlattr *af_spec)
{
	const struct nlattr *tb[AF_INET6 + 1];

	xe_nl_nest(af_spec, tb, AF_INET6);
	return mtu6_of(tb[AF_INET6]);
}

bool xe_nl_parse_link(const struct nlmsghdr *nlh, struct xe_link *link)
{
	const struct nlattr *tb[IFLA_XDP + 1], *info[IFLA_INFO_DATA + 1];
	const struct ifinfomsg *ifi = mnl_nlmsg_get_payload(nlh);

	memset(link, 0, sizeof(*link));
	/* AF_BRIDGE messages tell about bridge membership: their RTM_DELLINK removes no link. */
	if (!xe_nl_attrs(nlh, sizeof(*ifi), tb, IFLA_XDP) || ifi->ifi_family != AF_UNSPEC ||
	    ifi->ifi_index <= 0)
		return false;
	link->ifindex = ifi->ifi_index;
	if (nlh->nlmsg_type == RTM_DELLINK)
		return true;
	if (!tb[IFLA_IFNAME] || !tb[IFLA_MTU])
		return false; /* a wireless event, no description of the link */
	xe_nl_str(tb[IFLA_IFNAME], link->name, sizeof(link->name));
	xe_nl_nest(tb[IFLA_LINKINFO], info, IFLA_INFO_DATA);
	xe_nl_str(info[IFLA_INFO_KIND], link->kind, sizeof(link->kind));
	xe_nl_mac(tb[IFLA_ADDRESS], link->mac);
	link->arphrd = ifi->ifi_type;
	link->master_ifindex = (int)xe_nl_u32(tb[IFLA_MASTER], 0);
	/* A change of them is told by RTM_NEWLINK, though not in it. */
	link->tx_whole = xe_link_offloads(link->name);
	link->peer_ifindex = (int)xe_nl_u32(tb[IFLA_LINK], 0);
	link->link_netnsid = (int)xe_nl_u32(tb[IFLA_LINK_NETNSID], (uint32_t)-1);
	link->mtu = xe_nl_u32(tb[IFLA_MTU], 0);
	link->mtu6 = parse_mtu6(tb[IFLA_AF_SPEC]);
	link->gso_max_size = xe_nl_u32(tb[IFLA_GSO_MAX_SIZE], 0);
	link->up = ifi->ifi_flags & IFF_UP;
	link->carrier = ifi->ifi_flags & (1 << 16); /* IFF_LOWER_UP; net/if.h lacks it */
	parse_xdp(tb[IFLA_XDP], link);
	parse_queues(tb, info[IFLA_INFO_DATA], link);
	return true;
}

bool xe_nl_parse_addr(const struct nlmsghdr *nlh, struct xe_ifaddr *addr)
{
	const struct ifaddrmsg *ifa = mnl_nlmsg_get_payload(nlh);
	const struct nlattr *tb[IFA_FLAGS + 1];

	memset(addr, 0, sizeof(*addr));
	if (!xe_nl_attrs(nlh, sizeof(*ifa), tb, IFA_FLAGS) ||
	    (ifa->ifa_family != AF_INET && ifa->ifa_family != AF_INET6) ||
	    ifa->ifa_prefixlen > (ifa->ifa_family == AF_INET ? 32 : 128))
		return false;
	addr->ifindex = (int)ifa->ifa_index;
	addr->family = ifa->ifa_family;
	addr->prefix_len = ifa->ifa_prefixlen;
	addr->scope = ifa->ifa_scope;
	addr->flags = xe_nl_u32(tb[IFA_FLAGS], ifa->ifa_flags) & ADDR_FLAGS;
	/* IPv6 sends IFA_LOCAL only for point-to-point addresses, IPv4 always both. */
	if (!xe_nl_addr(tb[IFA_LOCAL], ifa->ifa_family, &addr->local) &&
	    !xe_nl_addr(tb[IFA_ADDRESS], ifa->ifa_family, &addr->local))
		return false;
	if (!xe_nl_addr(tb[IFA_ADDRESS], ifa->ifa_family, &addr->peer))
		addr->peer = addr->local;
	return true;
}

bool xe_nl_parse_neigh(const struct nlmsghdr *nlh, struct xe_neigh *neigh)
{
	/* NUD_VALID of net/neighbour.h: states in which the kernel sends to the address it has. */
	const uint16_t valid =
		NUD_PERMANENT | NUD_NOARP | NUD_REACHABLE | NUD_PROBE | NUD_STALE | NUD_DELAY;
	const struct ndmsg *ndm = mnl_nlmsg_get_payload(nlh);
	const struct nlattr *tb[NDA_LLADDR + 1];
	bool has_mac;

	memset(neigh, 0, sizeof(*neigh));
	if (!xe_nl_attrs(nlh, sizeof(*ndm), tb, NDA_LLADDR) ||
	    (ndm->ndm_family != AF_INET && ndm->ndm_family != AF_INET6) ||
	    ndm->ndm_flags & NTF_PROXY || !xe_nl_addr(tb[NDA_DST], ndm->ndm_family, &neigh->addr))
		return false;
	neigh->ifindex = ndm->ndm_ifindex;
	has_mac = xe_nl_mac(tb[NDA_LLADDR], neigh->mac);
	neigh->nud_state = ndm->ndm_state;
	neigh->usable = has_mac && ndm->ndm_state & valid;
	return true;
}

bool xe_nl_parse_broadcast(const struct nlmsghdr *nlh, __be32 *addr_be)
{
	const struct rtmsg *rtm = mnl_nlmsg_get_payload(nlh);
	const struct nlattr *tb[RTA_VIA + 1];
	struct xe_addr addr;

	if (!xe_nl_attrs(nlh, sizeof(*rtm), tb, RTA_VIA) || rtm->rtm_family != AF_INET ||
	    rtm->rtm_type != RTN_BROADCAST || rtm->rtm_dst_len != 32 ||
	    !xe_nl_addr(tb[RTA_DST], AF_INET, &addr))
		return false;
	*addr_be = addr.w_be[3];
	return true;
}

bool xe_nl_parse_route(const struct nlmsghdr *nlh, bool *connected, int *oif,
		       struct xe_prefix *prefix)
{
	const struct rtmsg *rtm = mnl_nlmsg_get_payload(nlh);
	const struct nlattr *tb[RTA_VIA + 1];

	*connected = false;
	*oif = 0;
	if (!xe_nl_attrs(nlh, sizeof(*rtm), tb, RTA_VIA) ||
	    (rtm->rtm_family != AF_INET && rtm->rtm_family != AF_INET6) ||
	    rtm->rtm_flags & RTM_F_CLONED ||
	    rtm->rtm_dst_len > (rtm->rtm_family == AF_INET ? 32 : 128))
		return false;
	memset(prefix, 0, sizeof(*prefix));
	prefix->family = rtm->rtm_family;
	prefix->len = (__u8)(rtm->rtm_dst_len + (rtm->rtm_family == AF_INET ? 96 : 0));
	if (!xe_nl_addr(tb[RTA_DST], rtm->rtm_family, &prefix->addr))
		return true; /* a default route is never connected */
	*oif = (int)xe_nl_u32(tb[RTA_OIF], 0);
	*connected = rtm->rtm_type == RTN_UNICAST && *oif && !tb[RTA_GATEWAY] && !tb[RTA_VIA];
	return true;
}
