/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_netlink_route.c - what the kernel answers about routes, what is
 * connected, which address masquerade takes.
 */
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "netns_fixture.h"

/* ---- routes ---- */

static struct xe_route route(struct xe_netlink *nl, const char *dst, const char *src, int iif)
{
	struct xe_addr d = nf_ip(dst), s = nf_ip(src ? src : "10.0.0.77");
	struct xe_route out;

	assert_int_equal(xe_netlink_route(nl, &d, src ? &s : NULL, iif, &out), 0);
	return out;
}

/* A second interface, c0, to where packets to be routed come from: 10.1.0.0/24. */
static int make_inside(void)
{
	nf_run("ip link add c0 type veth peer name c1 netns %d && ip addr add 10.1.0.1/24 dev c0 "
	       "&& "
	       "ip addr add fd01::1/64 dev c0 nodad && ip link set c0 up",
	       nf_peer_pid);
	nf_peer("ip link set c1 up");
	return nf_ifindex_of("c0");
}

static void test_route_kinds(void **state)
{
	struct xe_netlink *nl;
	struct xe_route r;
	int c0, h0;

	(void)state;
	nf_need_world();
	nf_make_pair();
	c0 = make_inside();
	h0 = nf_ifindex_of("h0");
	nl = nf_open_nl();
	xe_netlink_dispatch(nl);
	nf_forget();

	r = route(nl, "192.0.2.1", "10.1.0.2", c0); /* no route at all */
	assert_int_equal(r.type, RTN_UNREACHABLE);
	assert_true(r.error == ENETUNREACH || r.error == EHOSTUNREACH);
	nf_run("ip route add default via 10.0.0.2");
	nf_expect_routes(nl);
	r = route(nl, "192.0.2.1", "10.1.0.2", c0);
	assert_int_equal(r.type, RTN_UNICAST);
	assert_int_equal(r.oif, h0);
	assert_true(r.has_gateway && !r.encap && !r.martian);
	nf_assert_addr(&r.gateway, "10.0.0.2");
	assert_int_equal(r.mtu, 1500);
	assert_int_equal(r.expires_s, 0);
	r = route(nl, "10.0.0.55", "10.1.0.2", c0); /* on the link */
	assert_int_equal(r.oif, h0);
	assert_false(r.has_gateway);
	nf_assert_addr(&r.gateway, "10.0.0.55");
	r = route(nl, "192.0.2.1", NULL, 0); /* the host's own */
	nf_assert_addr(&r.prefsrc, "10.0.0.1");

	nf_run("ip route add blackhole 192.0.2.16/28 && ip route add unreachable 192.0.2.32/28 && "
	       "ip route add prohibit 192.0.2.48/28 && ip route add 192.0.2.64/28 via 10.0.0.2 mtu "
	       "1400");
	nf_expect_routes(nl);
	r = route(nl, "192.0.2.17", "10.1.0.2", c0);
	assert_int_equal(r.type, RTN_BLACKHOLE);
	assert_false(r.martian);
	assert_int_equal(route(nl, "192.0.2.33", "10.1.0.2", c0).type, RTN_UNREACHABLE);
	assert_int_equal(route(nl, "192.0.2.49", "10.1.0.2", c0).type, RTN_PROHIBIT);
	assert_int_equal(route(nl, "192.0.2.65", "10.1.0.2", c0).mtu, 1400);
	assert_int_equal(route(nl, "10.0.0.1", "10.1.0.2", c0).type, RTN_LOCAL);
	assert_int_equal(route(nl, "10.0.0.255", "10.1.0.2", c0).type, RTN_BROADCAST);
	assert_int_equal(route(nl, "239.1.2.3", "10.1.0.2", c0).type, RTN_MULTICAST);

	nf_run("ip route replace 192.0.2.64/28 via inet6 fd00::2 dev h0"); /* RFC 5549 */
	nf_expect_routes(nl);
	r = route(nl, "192.0.2.65", "10.1.0.2", c0);
	assert_int_equal(r.oif, h0);
	nf_assert_addr(&r.gateway, "fd00::2");

	nf_run("ip link set h0 mtu 1300"); /* the device's MTU is the route's, and is followed */
	nf_expect(nl, "link h0 changed");
	assert_int_equal(nf_heard.routes, 1);
	assert_int_equal(route(nl, "192.0.2.1", "10.1.0.2", c0).mtu, 1300);
	nf_forget();
	nf_sysctl("ipv4/ip_forward", "0");
	nf_expect_routes(nl);
	assert_int_equal(route(nl, "192.0.2.1", "10.1.0.2", c0).type, RTN_UNREACHABLE);
	nf_sysctl("ipv4/ip_forward", "1");
	nf_run("ip link del c0");
	nf_expect(nl, "link c0 removed");
	{
		struct xe_addr dst = nf_ip("192.0.2.1");

		assert_int_equal(xe_netlink_route(nl, &dst, NULL, c0, &r), -ENODEV);
	}
	nf_drop(nl);
}

static void test_route_policy(void **state)
{
	struct xe_route_req req = {.dst = nf_ip("192.0.2.1"), .src = nf_ip("10.1.0.2")};
	unsigned int via2 = 0, via3 = 0;
	struct xe_netlink *nl;
	struct xe_route r;
	char dst[32];
	int c0;

	(void)state;
	nf_need_world();
	nf_make_pair();
	c0 = make_inside();
	nf_run("ip route add default via 10.0.0.2 && ip route add default via 10.0.0.3 table 7 && "
	       "ip route add blackhole default table 8");
	nl = nf_open_nl();
	xe_netlink_dispatch(nl);
	nf_forget();

	nf_run("ip rule add from 10.1.0.7 lookup 7");
	nf_expect_routes(nl);
	r = route(nl, "192.0.2.1", "10.1.0.2", c0);
	nf_assert_addr(&r.gateway, "10.0.0.2");
	r = route(nl, "192.0.2.1", "10.1.0.7", c0);
	nf_assert_addr(&r.gateway, "10.0.0.3");
	nf_run("ip rule add from 10.1.0.8 lookup 8"); /* a blackhole for one source is no martian */
	r = route(nl, "192.0.2.1", "10.1.0.8", c0);
	assert_int_equal(r.type, RTN_BLACKHOLE);
	assert_false(r.martian);
	nf_run("ip rule add fwmark 5 lookup 7 && ip rule add ipproto udp dport 53 lookup 7");
	req.iif = c0;
	assert_int_equal(xe_netlink_route_for(nl, &req, &r), 0);
	nf_assert_addr(&r.gateway, "10.0.0.2");
	req.mark = 5;
	assert_int_equal(xe_netlink_route_for(nl, &req, &r), 0);
	nf_assert_addr(&r.gateway, "10.0.0.3");
	req.mark = 0;
	req.proto = IPPROTO_UDP;
	req.sport = 1234;
	req.dport = 53;
	assert_int_equal(xe_netlink_route_for(nl, &req, &r), 0);
	nf_assert_addr(&r.gateway, "10.0.0.3");
	nf_run("ip rule del from 10.1.0.7 && ip rule del from 10.1.0.8 && ip rule del fwmark 5 && "
	       "ip rule del ipproto udp dport 53");

	nf_run("ip route replace default nexthop via 10.0.0.2 nexthop via 10.0.0.3");
	for (int i = 1; i < 65; i++) {
		snprintf(dst, sizeof(dst), "198.51.100.%d", i);
		r = route(nl, dst, "10.1.0.2", c0);
		via2 += r.gateway.b[15] == 2;
		via3 += r.gateway.b[15] == 3;
	}
	assert_int_equal(via2 + via3, 64);
	assert_true(via2 > 8 && via3 > 8);

	/* rp_filter: a source that is routed elsewhere, and one that is ours */
	nf_sysctl("ipv4/conf/c0/rp_filter", "1");
	r = route(nl, "192.0.2.1", "10.0.0.9", c0);
	assert_int_equal(r.type, RTN_BLACKHOLE);
	assert_true(r.martian);
	r = route(nl, "192.0.2.1", "10.0.0.1", c0);
	assert_true(r.martian);
	assert_int_equal(route(nl, "192.0.2.1", "10.1.0.2", c0).type, RTN_UNICAST);
	nf_drop(nl);
}

static void test_route_ipv6(void **state)
{
	struct xe_netlink *nl;
	struct xe_route r;
	int c0, h0;

	(void)state;
	nf_need_world();
	nf_make_pair();
	c0 = make_inside();
	h0 = nf_ifindex_of("h0");
	nf_sysctl("ipv6/conf/all/forwarding", "1");
	nl = nf_open_nl();
	xe_netlink_dispatch(nl);
	nf_forget();
	r = route(nl, "2001:db8::1", "fd01::2", c0);
	assert_int_equal(r.type, RTN_UNREACHABLE);
	nf_run("ip -6 route add 2001:db8::/32 via fd00::2 mtu 1380");
	nf_expect_routes(nl);
	r = route(nl, "2001:db8::1", "fd01::2", c0);
	assert_int_equal(r.type, RTN_UNICAST);
	assert_int_equal(r.oif, h0);
	assert_int_equal(r.mtu, 1380);
	nf_assert_addr(&r.gateway, "fd00::2");
	r = route(nl, "fd00::5", "fd01::2", c0);
	assert_false(r.has_gateway);
	nf_assert_addr(&r.gateway, "fd00::5");
	assert_int_equal(r.mtu, 1500);
	nf_run("ip -6 route add blackhole 2001:db8:1::/48 && "
	       "ip -6 route add prohibit 2001:db8:2::/48 && ip -6 route add unreachable "
	       "2001:db8:3::/48");
	assert_int_equal(route(nl, "2001:db8:1::1", "fd01::2", c0).type, RTN_BLACKHOLE);
	assert_int_equal(route(nl, "2001:db8:2::1", "fd01::2", c0).type, RTN_PROHIBIT);
	assert_int_equal(route(nl, "2001:db8:3::1", "fd01::2", c0).type, RTN_UNREACHABLE);
	assert_int_equal(route(nl, "fd00::1", "fd01::2", c0).type, RTN_LOCAL);
	assert_int_equal(route(nl, "ff02::1", "fd01::2", c0).type, RTN_MULTICAST);
	nf_drop(nl);
}

/* A learned path MTU must not lower what we forward, and the route's own must still show. */
static void test_route_learned_mtu(void **state)
{
	struct xe_netlink *nl;
	struct xe_route r;
	int c0;

	(void)state;
	nf_need_world();
	nf_make_pair();
	c0 = make_inside();
	nf_peer("echo 1 > /proc/sys/net/ipv4/ip_forward && ip link add q0 mtu 1200 type veth peer "
		"name q1 && ip addr add 10.9.9.1/24 dev q0 && ip link set q0 up && ip link set q1 "
		"up");
	nf_run("ip route add 10.9.9.0/24 via 10.0.0.2 mtu 1450");
	nl = nf_open_nl();
	(void)!system("ping -q -c 2 -i 0.2 -W 1 -M do -s 1400 10.9.9.2 >/dev/null 2>&1");
	r = route(nl, "10.9.9.2", NULL, 0);
	assert_true(r.expires_s > 1 && r.expires_s <= 601);
	r = route(nl, "10.9.9.2", "10.1.0.2", c0);
	assert_true(r.expires_s > 1);
	assert_int_equal(r.mtu, 1450);
	assert_int_equal(route(nl, "10.9.9.3", "10.1.0.2", c0).mtu, 1450);
	nf_drop(nl);
}

static void test_route_bridge_member(void **state)
{
	struct xe_netlink *nl;
	struct xe_route r;
	int member;

	(void)state;
	nf_need_world();
	nf_make_pair();
	nf_run("ip route add default via 10.0.0.2 && ip link add br9 type bridge && "
	       "ip addr add 10.1.0.1/24 dev br9 && ip link set br9 up && "
	       "ip link add c0 type veth peer name c1 netns %d && ip link set c0 up master br9",
	       nf_peer_pid);
	nf_peer("ip link set c1 up");
	member = nf_ifindex_of("c0");
	nl = nf_open_nl();
	nf_sysctl("ipv4/conf/br9/rp_filter", "1");
	nf_sysctl("ipv4/conf/c0/rp_filter", "1");
	r = route(nl, "192.0.2.1", "10.1.0.2", member); /* arrives on br9: no martian */
	assert_int_equal(r.type, RTN_UNICAST);
	nf_assert_addr(&r.gateway, "10.0.0.2");
	nf_drop(nl);
}

/* ---- addresses ---- */

/* Comma-separated, in the order told. */
static void assert_connected(struct xe_netlink *nl, const char *name, const char *want)
{
	struct xe_prefix out[8];
	uint32_t cnt = xe_netlink_connected(nl, nf_ifindex_of(name), out, 8);
	char text[512] = "", one[64];

	assert_true(cnt <= 8);
	for (uint32_t i = 0; i < cnt; i++) {
		assert_true(xe_prefix_print(&out[i], one, sizeof(one)) > 0);
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%s", i ? "," : "",
			 one);
	}
	assert_string_equal(text, want);
}

static bool has_broadcast(struct xe_netlink *nl, const char *addr)
{
	struct xe_addr want = nf_ip(addr);
	const __be32 *list;
	uint32_t cnt, found = 0;

	assert_int_equal(xe_netlink_broadcasts(nl, &list, &cnt), 0);
	for (uint32_t i = 0; i < cnt; i++) {
		assert_true(!i || memcmp(&list[i - 1], &list[i], sizeof(*list)) < 0);
		found += list[i] == want.w_be[3];
	}
	return found;
}

static void test_broadcasts(void **state)
{
	struct xe_netlink *nl;

	(void)state;
	nf_need_world();
	nf_make_pair();
	nl = nf_open_nl();
	assert_true(has_broadcast(nl, "10.0.0.255"));
	assert_false(has_broadcast(nl, "10.0.0.1") || has_broadcast(nl, "10.6.255.255"));
	nf_run("ip addr add 10.6.0.1/16 brd 10.6.77.77 dev h0");
	nf_forget();
	nf_expect(nl, "addr 10.6.0.1/16 added");
	assert_true(has_broadcast(nl, "10.6.255.255") && has_broadcast(nl, "10.6.77.77"));
	/* twice, and gone with the last one; a link that is down has none */
	nf_run("ip addr add 10.6.0.2/16 dev h0 && ip addr del 10.6.0.2/16 dev h0");
	xe_netlink_dispatch(nl);
	assert_true(has_broadcast(nl, "10.6.255.255"));
	nf_run("ip link set h0 down");
	nf_forget();
	nf_expect_routes(nl);
	assert_false(has_broadcast(nl, "10.6.255.255"));
	/* one that no address stands behind */
	nf_run("ip link set h0 up && ip route add broadcast 10.7.7.7 dev h0 table local");
	nf_forget();
	nf_expect_routes(nl);
	assert_true(has_broadcast(nl, "10.7.7.7") && has_broadcast(nl, "10.6.255.255"));
	nf_run("ip route del broadcast 10.7.7.7 dev h0 table local");
	nf_forget();
	nf_expect_routes(nl);
	assert_false(has_broadcast(nl, "10.7.7.7"));
	nf_drop(nl);
}

static void test_connected(void **state)
{
	struct xe_prefix one[1];
	struct xe_netlink *nl;

	(void)state;
	nf_need_world();
	nf_make_pair();
	nf_run("ip route add default via 10.0.0.2 && ip route add 192.0.2.0/24 via 10.0.0.2 && "
	       "ip addr add 169.254.3.1/24 dev h0");
	nl = nf_open_nl();
	assert_connected(nl, "h0", "10.0.0.0/24,fd00::/64"); /* no gateway's, no link-local */
	assert_true(xe_netlink_connected(nl, nf_ifindex_of("h0"), one, 1) > 1); /* does not fit */
	nf_run("ip addr add 10.6.0.1/16 dev h0");
	nf_forget();
	nf_expect(nl, "addr 10.6.0.1/16 added");
	assert_int_equal(nf_heard.routes, 1);
	assert_connected(nl, "h0", "10.0.0.0/24,fd00::/64,10.6.0.0/16");
	nf_run("ip addr del 10.6.0.1/16 dev h0 && ip addr del fd00::1/64 dev h0");
	nf_expect(nl, "addr 10.6.0.1/16 removed");
	nf_expect(nl, "addr fd00::1/64 removed");
	assert_connected(nl, "h0", "10.0.0.0/24");

	/* containers without a prefix of their own: host routes, of scope link or (CNI ptp) host */
	nf_run("ip link add c0 type veth peer name c1 netns %d && ip link set c0 up && "
	       "ip addr add 10.1.0.1/32 dev c0",
	       nf_peer_pid);
	nf_peer("ip link set c1 up");
	nf_expect(nl, "addr 10.1.0.1/32 added");
	assert_connected(nl, "c0", "");
	nf_run("ip route add 10.1.0.2 dev c0 scope link && ip route add 10.1.0.3 dev c0 scope host "
	       "&& "
	       "ip -6 route add fd01::2 dev c0 && ip route add 203.0.113.0/24 via 10.1.0.2 dev c0 "
	       "&& "
	       "ip route add default dev c0 metric 999");
	assert_int_equal(xe_netlink_dispatch(nl), 0);
	assert_connected(nl, "c0", "10.1.0.2,10.1.0.3,fd01::2");
	nf_run("ip route del 10.1.0.3 dev c0");
	assert_int_equal(xe_netlink_dispatch(nl), 0);
	assert_connected(nl, "c0", "10.1.0.2,fd01::2");

	/* a bridge member's are its bridge's; routes go silently with their interface */
	nf_run("ip link add br9 type bridge && ip addr add 10.5.0.1/24 dev br9 && ip link set br9 "
	       "up "
	       "&& "
	       "ip link set c0 down && ip link set c0 master br9");
	nf_expect(nl, "link br9 added");
	assert_connected(nl, "c0", "10.5.0.0/24");
	nf_run("ip link set c0 nomaster && ip link set c0 up");
	assert_int_equal(xe_netlink_dispatch(nl), 0);
	assert_connected(nl, "c0", "");
	nf_drop(nl);
}

static void assert_masq(struct xe_netlink *nl, const char *name, const char *gateway,
			const char *want)
{
	struct xe_addr gw = gateway ? nf_ip(gateway) : (struct xe_addr){0}, got;
	__be32 addr_be;

	assert_int_equal(
		xe_netlink_masq_addr(nl, nf_ifindex_of(name), gateway ? &gw : NULL, &addr_be), 0);
	got = xe_addr_v4(addr_be);
	nf_assert_addr(&got, want);
}

static void test_masq_addr(void **state)
{
	struct xe_netlink *nl;
	__be32 addr_be;

	(void)state;
	nf_need_world();
	nf_make_pair();
	nl = nf_open_nl();
	nf_sysctl("ipv4/conf/h0/promote_secondaries", "1");
	nf_run("ip addr add 10.0.0.9/24 dev h0 && ip addr add 10.2.0.1/16 dev h0 && "
	       "ip addr add 10.3.0.1/16 scope link dev h0 && ip addr add 10.4.0.1 peer 10.4.0.2 "
	       "dev "
	       "h0");
	nf_expect(nl, "addr 10.4.0.1/32 added");
	assert_masq(nl, "h0", "10.0.0.2", "10.0.0.1");
	assert_masq(nl, "h0", "10.2.9.9", "10.2.0.1");
	assert_masq(nl, "h0", "10.4.0.2", "10.4.0.1");
	assert_masq(nl, "h0", "10.3.9.9", "10.0.0.1"); /* not of scope link */
	assert_masq(nl, "h0", NULL, "10.0.0.1");
	assert_masq(nl, "h0", "fd00::2", "10.0.0.1");
	nf_run("ip addr del 10.0.0.1/24 dev h0"); /* its secondary is promoted, behind the others */
	nf_expect(nl, "addr 10.0.0.9/24 changed");
	assert_masq(nl, "h0", "10.0.0.2", "10.0.0.9");
	assert_masq(nl, "h0", "192.0.2.1", "10.2.0.1");
	nf_run("ip link add c0 type veth peer name c1 netns %d", nf_peer_pid);
	nf_expect(nl, "link c0 added");
	assert_masq(nl, "c0", "192.0.2.1", "10.2.0.1"); /* no address: another interface's */
	nf_run("ip addr flush dev h0");
	nf_expect(nl, "addr 10.0.0.9/24 removed");
	assert_int_equal(xe_netlink_masq_addr(nl, nf_ifindex_of("c0"), NULL, &addr_be),
			 -EADDRNOTAVAIL);
	nf_drop(nl);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		NF_TEST(test_route_kinds),         NF_TEST(test_route_policy),
		NF_TEST(test_route_ipv6),          NF_TEST(test_route_learned_mtu),
		NF_TEST(test_route_bridge_member), NF_TEST(test_broadcasts),
		NF_TEST(test_connected),           NF_TEST(test_masq_addr),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
