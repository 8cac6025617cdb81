/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_netlink.c - the mirror of links, addresses and neighbours against a real kernel.
 */
#include <errno.h>
#include <linux/neighbour.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/log.h"
#include "control/netlink_mirror.h"
#include "netns_fixture.h"

/* ---- links ---- */

static void test_links(void **state)
{
	const struct xe_link *link;
	struct xe_netlink *nl;
	int ifindex, last = 0;

	(void)state;
	nf_need_world();
	nl = nf_open_nl();
	assert_true(nf_was_heard("link lo added"));
	assert_int_equal(nf_heard.routes, 1);
	nf_run("ip link add h0 mtu 1400 address 02:00:00:00:00:01 type veth peer name p0 netns %d",
	       nf_peer_pid);
	nf_expect(nl, "link h0 added");
	ifindex = nf_ifindex_of("h0");
	link = xe_netlink_link(nl, ifindex);
	assert_non_null(link);
	assert_ptr_equal(link, xe_netlink_link_named(nl, "h0"));
	assert_string_equal(link->kind, "veth");
	assert_memory_equal(link->mac, "\x02\0\0\0\0\x01", 6);
	assert_int_equal(link->mtu, 1400);
	assert_int_equal(link->rx_queues, 1); /* in use, whatever was allocated */
	assert_int_equal(link->tx_queues, 1);
	assert_true(link->link_netnsid >= 0 && link->peer_ifindex > 0);
	assert_true(link->gso_max_size >= 65536);
	assert_int_equal(link->master_ifindex, 0);
	assert_int_equal(link->xdp_prog_id, 0);
	assert_false(link->up || link->carrier);

	nf_run("ip link set h0 name h1");
	nf_expect(nl, "link h0 renamed h1");
	assert_null(xe_netlink_link_named(nl, "h0"));
	assert_string_equal(xe_netlink_link(nl, ifindex)->name, "h1");
	nf_forget();
	nf_run("ip link set h1 up && ip link set h1 mtu 9000 && ip link set h1 address "
	       "02:00:00:00:00:07");
	nf_peer("ip link set p0 up");
	nf_wait_for(nl, xe_netlink_link(nl, ifindex)->carrier);
	assert_true(nf_was_heard("link h1 changed"));
	link = xe_netlink_link(nl, ifindex);
	assert_true(link->up);
	assert_int_equal(link->mtu, 9000);
	assert_int_equal(link->mac[5], 7);
	nf_forget();
	nf_run("ip link set h1 promisc on"); /* an event, and nothing we hold */
	assert_int_equal(xe_netlink_dispatch(nl), 0);
	assert_false(nf_was_heard("link *"));
	nf_peer("ip link set p0 down");
	nf_wait_for(nl, !xe_netlink_link(nl, ifindex)->carrier);

	xe_for_each_link(nl, link)
	{
		assert_true(link->ifindex > last);
		last = link->ifindex;
	}
	assert_int_equal(last, ifindex);
	nf_run("ip link del h1");
	nf_expect(nl, "link h1 removed");
	assert_null(xe_netlink_link(nl, ifindex));
	nf_drop(nl);
}

static void test_link_replaced(void **state)
{
	struct xe_netlink *nl;

	(void)state;
	nf_need_world();
	nl = nf_open_nl();
	nf_run("ip link add h0 index 5000 type veth peer name p0 netns %d && "
	       "ip addr add 10.7.0.1/24 dev h0",
	       nf_peer_pid);
	nf_expect(nl, "addr 10.7.0.1/24 added");
	nf_forget();
	/* Between two dispatches: another interface with the same index, and one nobody hears of.
	 */
	nf_run("ip link del h0 && ip link add brief type bridge && ip link del brief && "
	       "ip link add h2 index 5000 type bridge");
	assert_int_equal(xe_netlink_dispatch(nl), 0);
	assert_int_equal(nf_heard.cnt, 3);
	assert_string_equal(nf_heard.line[0], "addr 10.7.0.1/24 removed");
	assert_string_equal(nf_heard.line[1], "link h0 removed");
	assert_string_equal(nf_heard.line[2], "link h2 added");
	assert_string_equal(xe_netlink_link(nl, 5000)->kind, "bridge");
	nf_drop(nl);
}

static void test_bridge(void **state)
{
	struct xe_netlink *nl;
	int br, h0;

	(void)state;
	nf_need_world();
	nf_make_pair();
	nf_run("ip link add br9 type bridge && ip link set br9 address 02:00:00:00:00:99");
	nl = nf_open_nl();
	br = nf_ifindex_of("br9");
	h0 = nf_ifindex_of("h0");
	assert_int_equal(xe_netlink_l3_ifindex(nl, h0), h0);
	nf_forget();
	nf_run("ip link set h0 master br9");
	nf_expect(nl, "link h0 changed");
	assert_int_equal(xe_netlink_link(nl, h0)->master_ifindex, br);
	assert_int_equal(xe_netlink_l3_ifindex(nl, h0), br);
	assert_int_equal(xe_netlink_l3_ifindex(nl, 99999), 0);
	assert_string_equal(xe_netlink_link(nl, br)->kind, "bridge");
	nf_forget();
	nf_run("ip link set br9 address 02:00:00:00:00:98"); /* a member is told of its master's MAC
							      */
	nf_expect(nl, "link br9 changed");
	assert_true(nf_was_heard("link h0 changed"));
	nf_forget();
	nf_run("ip link set h0 nomaster"); /* AF_BRIDGE's DELLINK must not remove the link */
	nf_expect(nl, "link h0 changed");
	assert_false(nf_was_heard("link h0 removed"));
	assert_int_equal(xe_netlink_link(nl, h0)->master_ifindex, 0);
	nf_run("ip link set h0 master br9 && ip link del br9");
	nf_expect(nl, "link br9 removed");
	assert_int_equal(xe_netlink_link(nl, h0)->master_ifindex, 0);
	nf_drop(nl);
}

/* ---- neighbours ---- */

static int neigh_state(struct xe_netlink *nl, const char *addr, uint8_t mac[6], uint16_t *nud)
{
	struct xe_addr a = nf_ip(addr);

	return xe_netlink_neigh(nl, nf_ifindex_of("h0"), &a, mac, nud);
}

static void use(struct xe_netlink *nl, const char *addr)
{
	struct xe_addr a = nf_ip(addr);

	assert_int_equal(xe_netlink_neigh_use(nl, nf_ifindex_of("h0"), &a), 0);
}

/* Until usable; asked for again when it fails: a new link's address is not ready at once. */
static void resolve(struct xe_netlink *nl, const char *addr, uint8_t mac[6], uint16_t *nud)
{
	uint64_t end_ns = xe_now_ns() + NF_PATIENCE_MS * XE_NS_PER_MS;
	uint16_t before = NUD_FAILED;

	while (neigh_state(nl, addr, mac, nud)) {
		if (xe_now_ns() > end_ns)
			nf_fail_heard(addr);
		if (before == NUD_FAILED)
			use(nl, addr);
		nf_wait_dispatch(nl);
		neigh_state(nl, addr, mac, &before);
	}
}

static void test_neigh_resolve(void **state)
{
	struct xe_netlink *nl;
	struct xe_addr a = nf_ip("10.0.0.2");
	uint8_t mac[6];
	uint16_t nud;

	(void)state;
	nf_need_world();
	nf_make_pair();
	nl = nf_open_nl();
	assert_int_equal(neigh_state(nl, "10.0.0.2", mac, &nud), -ENOENT);
	assert_int_equal(nud, 0);
	resolve(nl, "10.0.0.2", mac, &nud);
	assert_int_equal(nud, NUD_REACHABLE);
	assert_true(nf_was_heard("neigh 10.0.0.2 * usable 0x2"));
	assert_memory_equal(mac, "\x02\0\0\0\0\x02", 6);
	use(nl, "10.0.0.2"); /* once more does no harm */
	resolve(nl, "fd00::2", mac, &nud);
	assert_memory_equal(mac, "\x02\0\0\0\0\x02", 6);

	use(nl, "10.0.0.44");                    /* nobody */
	nf_expect(nl, "neigh 10.0.0.44 * 0x20"); /* NUD_FAILED */
	assert_int_equal(neigh_state(nl, "10.0.0.44", mac, &nud), -EAGAIN);
	assert_int_equal(nud, NUD_FAILED);
	nf_peer("ip addr add 10.0.0.44/24 dev p0"); /* now there is, and asking again finds it */
	resolve(nl, "10.0.0.44", mac, &nud);

	nf_run("ip neigh del 10.0.0.44 dev h0");
	nf_expect(nl, "neigh 10.0.0.44 removed 0x0");
	assert_int_equal(neigh_state(nl, "10.0.0.44", mac, NULL), -ENOENT);
	assert_int_equal(xe_netlink_neigh_use(nl, 99999, &a), -ENODEV);
	nf_drop(nl);
}

static void test_neigh_states(void **state)
{
	struct xe_netlink *nl;
	uint8_t mac[6];
	uint16_t nud;

	(void)state;
	nf_need_world();
	nf_make_pair();
	nl = nf_open_nl();
	nf_run("ip neigh add 10.0.0.2 dev h0 lladdr 02:00:00:00:00:02 nud stale");
	nf_expect(nl, "neigh 10.0.0.2 added usable 0x4");
	use(nl, "10.0.0.2"); /* DELAY, then PROBE, then confirmed */
	nf_forget();
	nf_expect(nl, "neigh 10.0.0.2 changed usable 0x2");

	/* permanent: left as it is, even when the mirror does not know of it yet */
	nf_run("ip neigh add 10.0.0.3 dev h0 lladdr 02:00:00:00:00:33 nud permanent");
	use(nl, "10.0.0.3");
	nf_expect(nl, "neigh 10.0.0.3 added usable 0x80");
	use(nl, "10.0.0.3");
	assert_int_equal(xe_netlink_dispatch(nl), 0);
	assert_int_equal(neigh_state(nl, "10.0.0.3", mac, &nud), 0);
	assert_int_equal(nud, NUD_PERMANENT);
	nf_run("ip neigh show 10.0.0.3 dev h0 | grep -q PERMANENT");

	/* the gateway gets another MAC and says so by a gratuitous ARP */
	nf_forget();
	nf_peer("echo 1 > /proc/sys/net/ipv4/conf/p0/arp_notify && "
		"ip link set p0 address 02:00:00:00:00:22");
	nf_expect(nl, "neigh 10.0.0.2 changed usable 0x4");
	assert_int_equal(neigh_state(nl, "10.0.0.2", mac, NULL), 0);
	assert_int_equal(mac[5], 0x22);

	nf_forget();
	nf_run("ip link set h0 down"); /* the kernel forgets its neighbours (not permanent
					* ones, 5.x+)
					*/
	nf_expect(nl, "neigh 10.0.0.2 removed 0x0");
	assert_int_equal(neigh_state(nl, "10.0.0.2", mac, NULL), -ENOENT);
	nf_drop(nl);
}

/* ---- lost events ---- */

static void test_overflow(void **state)
{
	struct xe_netlink *nl, *fresh;
	const struct xe_link *a, *b;
	int tiny = 4096;

	(void)state;
	nf_need_world();
	nf_make_pair();
	nf_run("ip link add gone type bridge && ip addr add 10.8.0.1/24 dev gone");
	nl = nf_open_nl();
	assert_int_equal(setsockopt(xe_netlink_fd(nl), SOL_SOCKET, SO_RCVBUF, &tiny, sizeof(tiny)),
			 0);
	nf_forget();
	xe_log_set_level(XE_LOG_ERR);
	nf_run("for i in $(seq 30); do ip link add many$i type bridge; done; ip link del gone; "
	       "ip link set h0 mtu 1333; ip addr add 10.8.1.1/24 dev many7; "
	       "ip neigh add 10.0.0.66 dev h0 lladdr 02:00:00:00:00:66 nud permanent");
	nf_expect(nl, "link many30 added");
	xe_log_set_level(XE_LOG_INFO);
	assert_true(xe_netlink_resync_cnt(nl) > 0);
	assert_true(nf_was_heard("link gone removed"));
	assert_true(nf_was_heard("addr 10.8.0.1/24 removed"));
	assert_true(nf_was_heard("link h0 changed"));
	assert_true(nf_was_heard("addr 10.8.1.1/24 added"));
	assert_true(nf_was_heard("neigh 10.0.0.66 added usable 0x80"));
	assert_true(nf_heard.routes > 0);
	/* nothing else is different from a mirror made now */
	assert_int_equal(xe_netlink_dispatch(nl), 0);
	nf_heard.nl = NULL;
	assert_int_equal(xe_netlink_open(&fresh, &nf_ops, &nf_heard), 0);
	a = xe_netlink_link_next(nl, NULL);
	xe_for_each_link(fresh, b)
	{
		assert_non_null(a);
		assert_memory_equal(a, b, sizeof(*a));
		a = xe_netlink_link_next(nl, a);
	}
	assert_null(a);
	xe_netlink_close(fresh);
	nf_drop(nl);
}

/* ---- malformed messages ---- */

static int keep(const struct nlmsghdr *nlh, void *ctx)
{
	struct nlmsghdr **kept = ctx;

	for (; *kept; kept++) {
		if (kept - (struct nlmsghdr **)ctx == 63)
			return 0;
	}
	*kept = malloc(nlh->nlmsg_len);
	assert_non_null(*kept);
	memcpy(*kept, nlh, nlh->nlmsg_len);
	return 0;
}

static void keep_dump(uint16_t type, struct nlmsghdr **kept)
{
	struct xe_nlsock *s = calloc(1, sizeof(*s));
	struct nlmsghdr *nlh;

	assert_non_null(s);
	assert_int_equal(xe_nlsock_open(s, NETLINK_ROUTE, false), 0);
	nlh = xe_nlsock_begin(s, type, NLM_F_DUMP);
	mnl_nlmsg_put_extra_header(nlh, 32); /* zeros: longer than any family header */
	assert_int_equal(xe_nlsock_ask(s, nlh, keep, kept), 0);
	xe_nlsock_close(s);
	free(s);
}

/* One message of exactly len bytes on the heap, where a sanitizer sees a read beyond. */
static void take_cut(struct xe_mirror *m, const struct nlmsghdr *nlh, uint32_t len,
		     unsigned int *seed)
{
	struct nlmsghdr *cut = malloc(len);
	unsigned int flips = seed ? 1 + (unsigned int)rand_r(seed) % 4 : 0;

	assert_non_null(cut);
	memcpy(cut, nlh, len);
	for (; flips && len > 16; flips--)
		((uint8_t *)cut)[16 + (unsigned int)rand_r(seed) % (len - 16)] =
			(uint8_t)rand_r(seed);
	cut->nlmsg_len = len;
	assert_int_equal(xe_mirror_take(m, cut), 0);
	free(cut);
}

static void test_malformed(void **state)
{
	struct xe_mirror *m = calloc(1, sizeof(*m));
	static struct nlmsghdr *kept[64];
	unsigned int seed = 1;

	(void)state;
	nf_need_world();
	nf_make_pair();
	nf_run("ip neigh add 10.0.0.3 dev h0 lladdr 02:00:00:00:00:33 nud permanent && "
	       "ip route add 192.0.2.0/24 via inet6 fd00::2 dev h0 mtu 1400");
	assert_non_null(m);
	xe_mirror_init(m);
	keep_dump(RTM_GETLINK, kept);
	keep_dump(RTM_GETADDR, kept);
	keep_dump(RTM_GETNEIGH, kept);
	keep_dump(RTM_GETROUTE, kept);
	assert_non_null(kept[9]);
	for (unsigned int i = 0; i < 64 && kept[i]; i++) {
		for (uint32_t len = sizeof(*kept[i]); len <= kept[i]->nlmsg_len; len++)
			take_cut(m, kept[i], len, NULL);
		for (unsigned int n = 0; n < 300; n++)
			take_cut(m, kept[i], kept[i]->nlmsg_len, &seed);
		free(kept[i]);
	}
	xe_mirror_free(m);
	free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		NF_TEST(test_links),         NF_TEST(test_link_replaced), NF_TEST(test_bridge),
		NF_TEST(test_neigh_resolve), NF_TEST(test_neigh_states),  NF_TEST(test_overflow),
		NF_TEST(test_malformed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
