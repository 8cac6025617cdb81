/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_netlink_v6.c - what the kernel tells about IPv6 alone: policy routes, MTUs, routes with an
 * end, forwarding; neighbours that move and routers that go; which address masquerade takes,
 * beside what the kernel itself would take.
 */
#include <errno.h>
#include <linux/neighbour.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "netns_fixture.h"

static struct xe_route route(struct xe_netlink *nl, const char *dst, const char *src, int iif)
{
	struct xe_addr d = nf_ip(dst), s = nf_ip(src ? src : "::");
	struct xe_route out;

	assert_int_equal(xe_netlink_route(nl, &d, src ? &s : NULL, iif, &out), 0);
	return out;
}

/* c0 fd01::1/64: where packets to be routed come from. */
static int make_inside(void)
{
	nf_sysctl("ipv6/conf/all/forwarding", "1");
	nf_run("ip link add c0 type veth peer name c1 netns %d && "
	       "ip addr add fd01::1/64 dev c0 nodad && ip link set c0 up",
	       nf_peer_pid);
	nf_peer("ip link set c1 up");
	return nf_ifindex_of("c0");
}

/* Link-local addresses need a moment (DAD), and so does the link before the other end answers. */
static struct xe_netlink *open_settled(void)
{
	struct xe_netlink *nl = nf_open_nl();

	nf_wait_for(nl, !system("ping -q -c 1 -W 1 fd00::2 >/dev/null 2>&1"));
	nf_wait_for(nl, system("ip -6 addr show dev h0 | grep -q tentative"));
	nf_wait_dispatch(nl);
	nf_forget();
	return nl;
}

/* ---- routes ---- */

static void test_policy(void **state)
{
	struct xe_route_req req = {.dst = nf_ip("2001:db8::1"), .src = nf_ip("fd01::2")};
	unsigned int via2 = 0, via3 = 0;
	struct xe_netlink *nl;
	struct xe_route r;
	char dst[64];
	int c0;

	(void)state;
	nf_need_world();
	nf_make_pair();
	c0 = make_inside();
	nf_run("ip -6 route add default via fd00::2 && "
	       "ip -6 route add default via fd00::3 table 7 && "
	       "ip -6 route add blackhole default table 8");
	nl = open_settled();
	nf_run("ip -6 rule add from fd01::7 lookup 7 && ip -6 rule add iif c0 to 2001:db8:9::/48 "
	       "lookup 7 && ip -6 rule add fwmark 5 lookup 7 && "
	       "ip -6 rule add ipproto udp dport 53 lookup 7 && "
	       "ip -6 rule add from fd01::8 lookup 8");
	nf_expect_routes(nl);
	r = route(nl, "2001:db8::1", "fd01::2", c0);
	nf_assert_addr(&r.gateway, "fd00::2");
	r = route(nl, "2001:db8::1", "fd01::7", c0);
	nf_assert_addr(&r.gateway, "fd00::3");
	r = route(nl, "2001:db8:9::1", "fd01::2", c0);
	nf_assert_addr(&r.gateway, "fd00::3");
	r = route(nl, "2001:db8:9::1", NULL, 0); /* the host's own: another way */
	nf_assert_addr(&r.gateway, "fd00::2");
	r = route(nl, "2001:db8::1", "fd01::8", c0);
	assert_int_equal(r.type, RTN_BLACKHOLE);
	assert_false(r.martian);
	req.iif = c0;
	req.mark = 5;
	assert_int_equal(xe_netlink_route_for(nl, &req, &r), 0);
	nf_assert_addr(&r.gateway, "fd00::3");
	req.mark = 0;
	req.proto = IPPROTO_UDP;
	req.sport = 1234;
	req.dport = 53;
	assert_int_equal(xe_netlink_route_for(nl, &req, &r), 0);
	nf_assert_addr(&r.gateway, "fd00::3");

	nf_run("ip -6 route replace default nexthop via fd00::2 nexthop via fd00::3");
	nf_expect_routes(nl);
	for (int i = 1; i < 65; i++) {
		snprintf(dst, sizeof(dst), "2001:db8:5::%x", i * 77);
		r = route(nl, dst, "fd01::2", c0);
		via2 += r.gateway.b[15] == 2;
		via3 += r.gateway.b[15] == 3;
	}
	assert_int_equal(via2 + via3, 64);
	assert_true(via2 > 8 && via3 > 8);
	nf_drop(nl);
}

/* The switch turns every way off, and its change is told. */
static void test_forwarding(void **state)
{
	struct xe_netlink *nl;
	int c0;

	(void)state;
	nf_need_world();
	nf_make_pair();
	c0 = make_inside();
	nf_run("ip -6 route add default via fd00::2");
	nl = open_settled();
	assert_int_equal(route(nl, "2001:db8::1", "fd01::2", c0).type, RTN_UNICAST);
	nf_sysctl("ipv6/conf/all/forwarding", "0");
	nf_expect_routes(nl);
	assert_int_equal(route(nl, "2001:db8::1", "fd01::2", c0).type, RTN_UNREACHABLE);
	assert_int_equal(route(nl, "2001:db8::1", NULL, 0).type, RTN_UNICAST); /* the host's */
	nf_sysctl("ipv6/conf/all/forwarding", "1");
	nf_expect_routes(nl);
	assert_int_equal(route(nl, "2001:db8::1", "fd01::2", c0).type, RTN_UNICAST);
	nf_drop(nl);
}

static void test_mtu(void **state)
{
	struct xe_netlink *nl;
	int c0;

	(void)state;
	nf_need_world();
	nf_make_pair();
	c0 = make_inside();
	nf_peer("echo 1 > /proc/sys/net/ipv6/conf/all/forwarding && ip link add q0 mtu 1300 type "
		"veth peer name q1 && ip addr add fd09::1/64 dev q0 nodad && ip link set q0 up && "
		"ip link set q1 up && ip -6 route add fd01::/64 via fd00::1");
	nf_run("ip -6 route add fd09::/64 via fd00::2 mtu 1450 && "
	       "ip -6 route add default via fd00::2");
	nl = open_settled();
	assert_int_equal(route(nl, "fd09::2", "fd01::2", c0).mtu, 1450);
	(void)!system("ping -q -c 2 -i 0.2 -W 1 -s 1400 fd09::2 >/dev/null 2>&1");
	nf_run("ip -6 route get fd09::2 | grep -q \"mtu 1300\""); /* learned it */
	assert_int_equal(route(nl, "fd09::2", "fd01::2", c0).mtu, 1450);
	assert_int_equal(route(nl, "fd09::2", "fd01::2", c0).expires_s, 0);

	nf_forget();
	nf_run("ip link set h0 mtu 1400"); /* the device's, up and down */
	nf_expect(nl, "link h0 changed");
	nf_wait_for(nl, route(nl, "2001:db8::1", "fd01::2", c0).mtu == 1400);
	nf_run("ip link set h0 mtu 1500");
	nf_wait_for(nl, route(nl, "2001:db8::1", "fd01::2", c0).mtu == 1500);
	nf_sysctl("ipv6/conf/h0/mtu", "1380"); /* of IPv6 alone: told with the next change */
	nf_run("ip link set h0 alias x");
	nf_wait_for(nl, route(nl, "2001:db8::1", "fd01::2", c0).mtu == 1380);
	nf_drop(nl);
}

/* A route that a router's advertisement made has an end, of which its answers say nothing: the
 * kernel tells when it cleans up. */
static void test_expiry(void **state)
{
	struct xe_netlink *nl;
	struct xe_route r;
	int c0;

	(void)state;
	nf_need_world();
	nf_make_pair();
	c0 = make_inside();
	nf_sysctl("ipv6/route/gc_interval", "1");
	nf_run("ip -6 route add 2001:db8::/32 via fd00::2 expires 2 && "
	       "ip -6 route add default via fd00::3 metric 999");
	nl = open_settled();
	r = route(nl, "2001:db8::1", "fd01::2", c0);
	nf_assert_addr(&r.gateway, "fd00::2");
	for (int i = 0; r.gateway.b[15] == 2 && i < 100; i++) {
		usleep(50000);
		r = route(nl, "2001:db8::1", "fd01::2", c0);
	}
	nf_assert_addr(&r.gateway, "fd00::3");
	nf_wait_for(nl, nf_heard.routes > 0);
	nf_drop(nl);
}

/* ---- neighbours ---- */

static void use(struct xe_netlink *nl, const char *addr)
{
	struct xe_addr a = nf_ip(addr);

	assert_int_equal(xe_netlink_neigh_use(nl, nf_ifindex_of("h0"), &a), 0);
}

static int state_of(struct xe_netlink *nl, const char *addr, uint8_t mac[6], uint16_t *nud)
{
	struct xe_addr a = nf_ip(addr);

	return xe_netlink_neigh(nl, nf_ifindex_of("h0"), &a, mac, nud);
}

static void test_neighbours(void **state)
{
	struct xe_netlink *nl;
	uint8_t mac[6];
	uint16_t nud;

	(void)state;
	nf_need_world();
	nf_make_pair();
	nf_sysctl("ipv6/neigh/h0/delay_first_probe_time", "1");
	nf_sysctl("ipv6/conf/all/forwarding", "1");
	nl = open_settled();
	nf_run("ip -6 neigh flush dev h0 && ip -6 neigh del fd00::2 dev h0 2>/dev/null; true");
	nf_wait_for(nl, state_of(nl, "fd00::2", mac, &nud) == -ENOENT);
	nf_wait_for(nl, (use(nl, "fd00::2"), !state_of(nl, "fd00::2", mac, &nud)));
	assert_int_equal(mac[5], 0x02);
	use(nl, "fd00::44"); /* nobody */
	nf_expect(nl, "neigh fd00::44 * 0x20");
	nf_peer("ip addr add fd00::44/64 dev p0 nodad"); /* now there is */
	nf_wait_for(nl, (use(nl, "fd00::44"), true) && !state_of(nl, "fd00::44", mac, &nud));

	/* stale: confirmed when used; flushed: gone, and found again when asked for */
	nf_run("ip neigh replace fd00::2 dev h0 lladdr 02:00:00:00:00:02 nud stale");
	nf_expect(nl, "neigh fd00::2 changed usable 0x4");
	nf_forget();
	use(nl, "fd00::2");
	nf_expect(nl, "neigh fd00::2 changed usable 0x2");
	nf_run("ip -6 neigh flush dev h0");
	nf_wait_for(nl, state_of(nl, "fd00::2", mac, &nud));
	nf_wait_for(nl, (use(nl, "fd00::2"), !state_of(nl, "fd00::2", mac, &nud)));

	/* permanent stays permanent */
	nf_run("ip neigh replace fd00::33 dev h0 lladdr 02:00:00:00:00:33 nud permanent");
	use(nl, "fd00::33");
	nf_expect(nl, "neigh fd00::33 added usable 0x80");
	nf_run("ip -6 neigh show fd00::33 dev h0 | grep -q PERMANENT");

	/* the other end gets another MAC and says so: unsolicited neighbour advertisement */
	nf_forget();
	nf_peer("echo 1 > /proc/sys/net/ipv6/conf/p0/ndisc_notify && "
		"ip link set p0 address 02:00:00:00:00:22");
	nf_expect(nl, "neigh fd00::2 changed usable 0x4");
	assert_int_equal(state_of(nl, "fd00::2", mac, &nud), 0);
	assert_int_equal(mac[5], 0x22);
	nf_run("ip link set h0 down");
	nf_wait_for(nl, state_of(nl, "fd00::2", mac, &nud) == -ENOENT);
	nf_drop(nl);
}

/* An on-link router's own address is link-local: found by interface, resolved like any other. */
static void test_link_local_router(void **state)
{
	struct xe_netlink *nl;
	struct xe_route r;
	uint8_t mac[6];
	uint16_t nud;
	int c0;

	(void)state;
	nf_need_world();
	nf_make_pair();
	c0 = make_inside();
	nf_peer("ip addr add fe80::22/64 dev p0 nodad && ip addr add fe80::23/64 dev p0 nodad");
	nf_run("ip -6 route add default via fe80::22 dev h0");
	nl = open_settled();
	r = route(nl, "2001:db8::1", "fd01::2", c0);
	assert_int_equal(r.oif, nf_ifindex_of("h0"));
	nf_assert_addr(&r.gateway, "fe80::22");
	nf_wait_for(nl, (use(nl, "fe80::22"), true) && !state_of(nl, "fe80::22", mac, &nud));
	nf_forget();
	nf_run("ip -6 route replace default via fe80::23 dev h0"); /* the router changes */
	nf_expect_routes(nl);
	r = route(nl, "2001:db8::1", "fd01::2", c0);
	nf_assert_addr(&r.gateway, "fe80::23");
	nf_drop(nl);
}

/* ---- masquerade ---- */

static void assert_masq(struct xe_netlink *nl, const char *name, const char *dst, const char *want)
{
	struct xe_addr to = nf_ip(dst), got = {};
	int ret = xe_netlink_masq_addr6(nl, nf_ifindex_of(name), &to, &got);

	if (!want) {
		assert_int_equal(ret, -EADDRNOTAVAIL);
		return;
	}
	assert_int_equal(ret, 0);
	nf_assert_addr(&got, want);
}

/* ... and the kernel would take the same for a packet of its own. */
static void assert_same(struct xe_netlink *nl, const char *dst, const char *want)
{
	struct xe_route r = route(nl, dst, NULL, 0);

	assert_masq(nl, "h0", dst, want);
	nf_assert_addr(&r.prefsrc, want);
}

static void test_masq(void **state)
{
	struct xe_netlink *nl;

	(void)state;
	nf_need_world();
	nf_make_pair();
	nf_run("ip -6 route add default via fd00::2");
	nl = open_settled();
	assert_same(nl, "2001:db8:ffff::1", "fd00::1"); /* nothing else; never link-local */
	nf_run("ip addr add 2001:db8:1::1/64 dev h0 nodad");
	nf_expect(nl, "addr 2001:db8:1::1/64 added");
	assert_same(nl, "2001:db8:ffff::1", "2001:db8:1::1");
	assert_same(nl, "fd77::1", "fd00::1");               /* unique local to unique local */
	nf_run("ip addr add 2001:db8:1::2/64 dev h0 nodad"); /* of equals the newest */
	nf_expect(nl, "addr 2001:db8:1::2/64 added");
	assert_same(nl, "2001:db8:ffff::1", "2001:db8:1::2");
	nf_run("ip addr change 2001:db8:1::2/64 dev h0 preferred_lft 0"); /* deprecated */
	nf_wait_for(nl, nf_was_heard("addr 2001:db8:1::2/64 changed"));
	assert_same(nl, "2001:db8:ffff::1", "2001:db8:1::1");

	/* of the destination's own network, whatever the order */
	nf_run("ip addr add 2001:db8:2::1/64 dev h0 nodad && "
	       "ip addr add 2001:db8:3::1/64 dev h0 nodad");
	nf_expect(nl, "addr 2001:db8:3::1/64 added");
	assert_same(nl, "2001:db8:2::77", "2001:db8:2::1");
	assert_same(nl, "2001:db8:3::77", "2001:db8:3::1");
	/* elsewhere always the same one: not by the destination's bits, as the kernel */
	assert_masq(nl, "h0", "2001:db8:4::1", "2001:db8:3::1");
	assert_masq(nl, "h0", "2001:db8:2:1::1", "2001:db8:3::1");

	/* deprecated and still of the right kind, where nothing else is on the interface */
	nf_run("ip addr del 2001:db8:1::1/64 dev h0 && ip addr del 2001:db8:2::1/64 dev h0 && "
	       "ip addr del 2001:db8:3::1/64 dev h0 && ip addr del fd00::1/64 dev h0");
	nf_wait_for(nl, nf_was_heard("addr fd00::1/64 removed"));
	assert_masq(nl, "h0", "2001:db8:ffff::1", "2001:db8:1::2");
	nf_run("ip addr del 2001:db8:1::2/64 dev h0");
	nf_wait_for(nl, nf_was_heard("addr 2001:db8:1::2/64 removed"));
	assert_masq(nl, "h0", "2001:db8:ffff::1", NULL);
	nf_run("ip addr add fd77::1/64 dev lo nodad"); /* of another kind, and not the interface's
							*/
	nf_wait_for(nl, nf_was_heard("addr fd77::1/64 added"));
	assert_masq(nl, "h0", "2001:db8:ffff::1", NULL);
	assert_masq(nl, "h0", "fd66::1", "fd77::1");
	nf_run("ip addr add 2001:db8:6::1/128 dev lo nodad"); /* another interface's */
	nf_wait_for(nl, nf_was_heard("addr 2001:db8:6::1/128 added"));
	assert_masq(nl, "h0", "2001:db8:ffff::1", "2001:db8:6::1");
	nf_drop(nl);
}

/* Duplicate address detection takes a second or two: until then the address is not one. */
static void test_masq_tentative(void **state)
{
	struct xe_netlink *nl;

	(void)state;
	nf_need_world();
	nf_make_pair();
	nl = open_settled();
	nf_run("ip addr add 2001:db8:1::1/64 dev h0");
	nf_expect(nl, "addr 2001:db8:1::1/64 added");
	assert_masq(nl, "h0", "2001:db8:ffff::1", "fd00::1");
	nf_expect(nl, "addr 2001:db8:1::1/64 changed");
	assert_masq(nl, "h0", "2001:db8:ffff::1", "2001:db8:1::1");

	/* and one that somebody else has never is */
	nf_peer("ip addr add 2001:db8:1::5/64 dev p0 nodad");
	nf_run("ip addr add 2001:db8:1::5/64 dev h0");
	nf_expect(nl, "addr 2001:db8:1::5/64 changed");
	nf_wait_for(nl, !system("ip -6 addr show dev h0 | grep -q dadfailed"));
	assert_masq(nl, "h0", "2001:db8:ffff::1", "2001:db8:1::1");
	nf_drop(nl);
}

/* What a router's prefix makes: a lasting address, and temporary ones beside it. */
static void test_masq_temporary(void **state)
{
	struct xe_netlink *nl;

	(void)state;
	nf_need_world();
	nf_make_pair();
	nl = open_settled();
	nf_run("ip addr del fd00::1/64 dev h0");
	nf_sysctl("ipv6/conf/h0/use_tempaddr", "2");
	nf_sysctl("ipv6/conf/h0/dad_transmits", "0");
	nf_run("ip addr add 2001:db8:1::1/64 dev h0 mngtmpaddr nodad");
	nf_wait_for(nl, !system("ip -6 addr show dev h0 | grep -q temporary"));
	nf_wait_for(nl, system("ip -6 addr show dev h0 | grep -q tentative"));
	nf_wait_for(nl, nf_was_heard("addr 2001:db8:1:0:*/64 added"));
	nf_wait_dispatch(nl);
	assert_masq(nl, "h0", "2001:db8:ffff::1", "2001:db8:1::1");
	nf_drop(nl);
}

/* Read again after lost events: the order stays the kernel's. */
static void test_masq_order(void **state)
{
	struct xe_netlink *nl;

	(void)state;
	nf_need_world();
	nf_make_pair();
	nf_run("ip -6 route add default via fd00::2 && "
	       "ip addr add 2001:db8:1::1/64 dev h0 nodad && "
	       "ip addr add 2001:db8:1::3/64 dev h0 nodad && "
	       "ip addr add 2001:db8:1::2/64 dev h0 nodad");
	nl = open_settled();
	assert_same(nl, "2001:db8:ffff::1", "2001:db8:1::2");
	nf_drop(nl);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		NF_TEST(test_policy),
		NF_TEST(test_forwarding),
		NF_TEST(test_mtu),
		NF_TEST(test_expiry),
		NF_TEST(test_neighbours),
		NF_TEST(test_link_local_router),
		NF_TEST(test_masq),
		NF_TEST(test_masq_tentative),
		NF_TEST(test_masq_temporary),
		NF_TEST(test_masq_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
