/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * netlink_route.c - next hops by asking the kernel, as for a packet that is being forwarded, so
 * that policy rules, VRFs, ECMP, blackholes and route MTUs come out as they are.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/lwtunnel.h>
#include <linux/netconf.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "control/netlink.h"
#include "control/netlink_mirror.h"
#include "control/netlink_wire.h"

static bool unspecified(const struct xe_addr *addr)
{
	return !addr->q[0] && !addr->q[1];
}

static bool is_multicast(const struct xe_addr *addr)
{
	return xe_addr_family(addr) == AF_INET ? (addr->b[12] & 0xf0) == 0xe0 : addr->b[0] == 0xff;
}

static struct nlmsghdr *build(struct xe_nlsock *s, const struct xe_route_req *req, uint32_t flags)
{
	struct nlmsghdr *nlh = xe_nlsock_begin(s, RTM_GETROUTE, 0);
	struct rtmsg *rtm = mnl_nlmsg_put_extra_header(nlh, sizeof(*rtm));
	int bits = xe_addr_family(&req->dst) == AF_INET ? 32 : 128;

	rtm->rtm_family = (unsigned char)xe_addr_family(&req->dst);
	rtm->rtm_dst_len = (unsigned char)bits;
	rtm->rtm_tos = req->dscp_ecn;
	rtm->rtm_flags = flags;
	xe_nl_put_addr(nlh, RTA_DST, &req->dst);
	if (!unspecified(&req->src)) {
		rtm->rtm_src_len = (unsigned char)bits;
		xe_nl_put_addr(nlh, RTA_SRC, &req->src);
	}
	if (req->iif)
		mnl_attr_put_u32(nlh, RTA_IIF, (uint32_t)req->iif);
	if (req->mark)
		mnl_attr_put_u32(nlh, RTA_MARK, req->mark);
	if (req->proto) {
		mnl_attr_put_u8(nlh, RTA_IP_PROTO, req->proto);
		mnl_attr_put_u16(nlh, RTA_SPORT, htons(req->sport));
		mnl_attr_put_u16(nlh, RTA_DPORT, htons(req->dport));
	}
	return nlh;
}

/* RTA_VIA: a next hop of another family than the route's. */
static bool parse_via(const struct nlattr *attr, struct xe_addr *gateway)
{
	const struct rtvia *via = attr ? mnl_attr_get_payload(attr) : NULL;
	size_t len = attr ? mnl_attr_get_payload_len(attr) : 0;
	__be32 v4_be;

	if (len < sizeof(*via))
		return false;
	if (via->rtvia_family == AF_INET6 && len >= sizeof(*via) + 16) {
		memcpy(gateway, via->rtvia_addr, 16);
		return true;
	}
	if (via->rtvia_family != AF_INET || len < sizeof(*via) + 4)
		return false;
	memcpy(&v4_be, via->rtvia_addr, sizeof(v4_be));
	*gateway = xe_addr_v4(v4_be);
	return true;
}

/* rta_expires is in USER_HZ ticks and rounds a running second up. */
static uint32_t parse_expires(const struct nlattr *attr)
{
	struct rta_cacheinfo cache;
	long hz = sysconf(_SC_CLK_TCK);

	if (!attr || mnl_attr_get_payload_len(attr) < sizeof(cache) || hz <= 0)
		return 0;
	memcpy(&cache, mnl_attr_get_payload(attr), sizeof(cache));
	return cache.rta_expires > 0 ? (uint32_t)(cache.rta_expires / hz) + 1 : 0;
}

static uint32_t parse_mtu(const struct nlattr *metrics)
{
	const struct nlattr *tb[RTAX_MTU + 1];

	xe_nl_nest(metrics, tb, RTAX_MTU);
	return xe_nl_u32(tb[RTAX_MTU], 0);
}

static int parse_answer(const struct nlmsghdr *nlh, void *ctx)
{
	const struct rtmsg *rtm = mnl_nlmsg_get_payload(nlh);
	const struct nlattr *tb[RTA_ENCAP + 1];
	struct xe_route *out = ctx;
	uint16_t encap;

	if (nlh->nlmsg_type != RTM_NEWROUTE || !xe_nl_attrs(nlh, sizeof(*rtm), tb, RTA_ENCAP))
		return -EBADMSG;
	out->type = rtm->rtm_type;
	out->oif = (int)xe_nl_u32(tb[RTA_OIF], 0);
	out->mtu = parse_mtu(tb[RTA_METRICS]);
	out->expires_s = parse_expires(tb[RTA_CACHEINFO]);
	out->has_gateway = xe_nl_addr(tb[RTA_GATEWAY], rtm->rtm_family, &out->gateway) ||
			   parse_via(tb[RTA_VIA], &out->gateway);
	xe_nl_addr(tb[RTA_PREFSRC], rtm->rtm_family, &out->prefsrc);
	encap = tb[RTA_ENCAP_TYPE] && mnl_attr_get_payload_len(tb[RTA_ENCAP_TYPE]) >= 2
			? mnl_attr_get_u16(tb[RTA_ENCAP_TYPE])
			: LWTUNNEL_ENCAP_NONE;
	out->encap = encap != LWTUNNEL_ENCAP_NONE || tb[RTA_ENCAP];
	return 0;
}

static int ask(struct xe_netlink *nl, const struct xe_route_req *req, uint32_t flags,
	       struct xe_route *out)
{
	memset(out, 0, sizeof(*out));
	return xe_nlsock_ask(&nl->requests, build(&nl->requests, req, flags), parse_answer, out);
}

/*
 * EINVAL: a blackhole, or a martian source on kernels since 6.13. A blackhole on the way out
 * answers so for the host's own packets too. One that only a rule for this source or interface
 * leads to does not; then the way back tells: a source that is routed to where the packet came from
 * is no martian.
 */
static bool is_martian(struct xe_netlink *nl, const struct xe_route_req *req)
{
	struct xe_route_req there = {.dst = req->dst, .mark = req->mark};
	struct xe_route_req back = {.dst = req->src, .mark = req->mark};
	struct xe_route out;

	/* The kernel has no reverse path filter for IPv6. */
	if (!req->iif || unspecified(&req->src) || xe_addr_family(&req->src) != AF_INET)
		return false;
	if (ask(nl, &there, 0, &out) == -EINVAL)
		return false;
	return ask(nl, &back, 0, &out) || out.type != RTN_UNICAST || out.oif != req->iif;
}

/* The kernel's refusals as route types; false: not about the route. */
static bool refusal(struct xe_netlink *nl, const struct xe_route_req *req, int err,
		    struct xe_route *out)
{
	memset(out, 0, sizeof(*out));
	out->error = -err;
	switch (err) {
	case -ENETUNREACH:
	case -EHOSTUNREACH:
		out->type = RTN_UNREACHABLE;
		return true;
	case -EACCES:
		out->type = RTN_PROHIBIT;
		return true;
	case -EAGAIN: /* a throw route, and no rule further on */
		out->type = RTN_THROW;
		return true;
	case -EXDEV: /* rp_filter, before 6.13 */
		out->type = RTN_BLACKHOLE;
		out->martian = true;
		return true;
	case -EINVAL:
		out->type = RTN_BLACKHOLE;
		out->martian = is_martian(nl, req);
		return true;
	default:
		return false;
	}
}

/*
 * While the kernel holds a learned path MTU for a destination, that hides the route's own MTU in
 * the answer. The kernel does not apply it to what it forwards (ip_forward_use_pmtu is off;
 * ip6_dst_mtu_maybe_forward()), and it is learned from ICMP that anyone may send: ask the route
 * table for the route's own.
 */
static void route_mtu(struct xe_netlink *nl, const struct xe_route_req *req, struct xe_route *out)
{
	const struct xe_link *link = xe_netlink_link(nl, out->oif);
	bool v6 = xe_addr_family(&req->dst) == AF_INET6;
	struct xe_route fib;

	if (out->expires_s) {
		bool known = !ask(nl, req, RTM_F_FIB_MATCH, &fib);

		out->mtu = known ? fib.mtu : 0;
		if (known && v6)
			out->expires_s = fib.expires_s;
	}
	if (!out->mtu && link)
		out->mtu = v6 && link->mtu6 && link->mtu6 < link->mtu ? link->mtu6 : link->mtu;
}

static int take_forwarding(const struct nlmsghdr *nlh, void *ctx)
{
	const struct nlattr *tb[NETCONFA_FORWARDING + 1];

	if (nlh->nlmsg_type == RTM_NEWNETCONF &&
	    xe_nl_attrs(nlh, sizeof(struct netconfmsg), tb, NETCONFA_FORWARDING))
		*(bool *)ctx = xe_nl_u32(tb[NETCONFA_FORWARDING], 1);
	return 0;
}

/* For IPv6 the kernel's routing does not say whether it would forward at all, as it does for IPv4.
 * What cannot be read counts as yes: the steering program asks by itself. */
static bool forwards6(struct xe_netlink *nl)
{
	struct netconfmsg *ncm;
	struct nlmsghdr *nlh;

	if (!nl->mirror.forwarding_stale)
		return nl->forwards6;
	nl->forwards6 = true;
	nlh = xe_nlsock_begin(&nl->requests, RTM_GETNETCONF, 0);
	ncm = mnl_nlmsg_put_extra_header(nlh, sizeof(*ncm));
	ncm->ncm_family = AF_INET6;
	mnl_attr_put_u32(nlh, NETCONFA_IFINDEX, (uint32_t)NETCONFA_IFINDEX_ALL);
	if (!xe_nlsock_ask(&nl->requests, nlh, take_forwarding, &nl->forwards6))
		nl->mirror.forwarding_stale = false;
	return nl->forwards6;
}

int xe_netlink_route_for(struct xe_netlink *nl, const struct xe_route_req *req,
			 struct xe_route *out)
{
	struct xe_route_req r = *req;
	int err;

	if (r.iif)
		r.iif = xe_netlink_l3_ifindex(nl, req->iif);
	memset(out, 0, sizeof(*out));
	if (req->iif && !r.iif)
		return -ENODEV;
	if (is_multicast(&r.dst)) { /* the kernel would answer by who has joined the group */
		out->type = RTN_MULTICAST;
		return 0;
	}
	err = ask(nl, &r, 0, out);
	if (err)
		return refusal(nl, &r, err, out) ? 0 : err;
	if (out->type == RTN_UNICAST && r.iif && xe_addr_family(&r.dst) == AF_INET6 &&
	    !forwards6(nl)) {
		memset(out, 0, sizeof(*out));
		out->type = RTN_UNREACHABLE;
		out->error = EHOSTUNREACH;
		return 0;
	}
	if (!out->has_gateway)
		out->gateway = r.dst;
	route_mtu(nl, &r, out);
	return 0;
}

int xe_netlink_route(struct xe_netlink *nl, const struct xe_addr *dst, const struct xe_addr *src,
		     int iif, struct xe_route *out)
{
	struct xe_route_req req = {.dst = *dst, .iif = iif};

	if (src)
		req.src = *src;
	return xe_netlink_route_for(nl, &req, out);
}
