/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* cases_inside.c - what an inside port decides before and after the rules: source, route, flow. */
#include "cases.h"

#include "state/live.h"

static void udp_from_to(struct frame *f, const char *src, const char *dst)
{
	struct flow fl = {src, dst, 40000, 443};

	frame_udp4(f, &fl, 18);
}

void martians(void **state)
{
	static const char *const sources[] = {
		"0.0.0.0",   "0.1.2.3",   "127.0.0.1",       "127.1.2.3", "169.254.1.1",
		"224.0.0.1", "240.0.0.1", "255.255.255.255", "239.1.1.1",
	};
	struct rig *rig = *state;
	struct frame f;

	/* Not even where the configuration allows every source. */
	rig_allow(rig, PORT_IN0, "0.0.0.0/0");
	for (size_t i = 0; i < CNT(sources); i++) {
		udp_from_to(&f, sources[i], flow_out.dst);
		expect(rig, PORT_IN0, &f, XE_R_MARTIAN, sources[i]);
	}
	udp_from_to(&f, "198.18.0.1", "198.18.0.1");
	expect(rig, PORT_IN0, &f, XE_R_MARTIAN, "LAND, UDP");
	frame_tcp4(&f, &(struct flow){"10.1.0.5", "10.1.0.5", 80, 80}, TCP_SYN, 0);
	expect(rig, PORT_IN0, &f, XE_R_MARTIAN, "LAND, TCP");
	udp_from_to(&f, "10.1.0.1", "10.1.0.1");
	expect(rig, PORT_IN0, &f, XE_R_MARTIAN, "LAND with the host's address");
	rig_disallow(rig, PORT_IN0, "0.0.0.0/0");
}

void spoofed(void **state)
{
	struct rig *rig = *state;
	struct frame f;

	udp_from_to(&f, "10.1.1.5", flow_out.dst);
	expect(rig, PORT_IN0, &f, XE_R_SPOOFED, "source of the other inside port");
	expect(rig, PORT_IN1, &f, XE_R_NO_SOCKET, "that source on its own port");
	udp_from_to(&f, "192.0.2.99", flow_out.dst);
	expect(rig, PORT_IN0, &f, XE_R_SPOOFED, "source out of nowhere");
	frame_tcp4(&f, &(struct flow){"198.51.100.2", "198.18.0.1", 22, 443}, TCP_SYN, 0);
	expect(rig, PORT_IN0, &f, XE_R_SPOOFED, "the host's own address");
	/* Before routes and rules: dropped, though the kernel would get the honest one. */
	udp_from_to(&f, "10.2.0.5", "10.1.0.1");
	expect(rig, PORT_IN0, &f, XE_R_SPOOFED, "to the host");
	frame_tcp4(&f, &(struct flow){"10.2.0.5", "198.18.0.1", 1, 25}, TCP_SYN, 0);
	expect(rig, PORT_IN0, &f, XE_R_SPOOFED, "under a kernel rule");
	/* The kernel would answer it, to whom it names. */
	for (uint8_t ttl = 0; ttl <= 1; ttl++) {
		udp_from_to(&f, "10.2.0.5", flow_out.dst);
		frame_ip4(&f)->ttl = ttl;
		expect(rig, PORT_IN0, &f, XE_R_SPOOFED, "TTL 0, 1");
		frame_ip4(&f)->frag_off = htons(0x2000);
		expect(rig, PORT_IN0, &f, XE_R_SPOOFED, "TTL 0, 1, fragment");
		udp_from_to(&f, "127.0.0.1", flow_out.dst);
		frame_ip4(&f)->ttl = ttl;
		expect(rig, PORT_IN0, &f, XE_R_MARTIAN, "TTL 0, 1, loopback");
	}
	/* What is not TCP or UDP is the kernel's to judge. */
	frame_proto4(&f, &(struct flow){"10.2.0.5", "198.18.0.1", 0, 0}, IPPROTO_ICMP);
	expect(rig, PORT_IN0, &f, XE_R_NOT_TCP_UDP, "ICMP");
}

void allow_prefixes(void **state)
{
	struct rig *rig = *state;
	struct frame f;

	rig_allow(rig, PORT_IN0, "10.1.0.128/25");
	rig_allow(rig, PORT_IN0, "10.1.7.9/32");
	udp_from_to(&f, "10.1.0.200", flow_out.dst);
	expect(rig, PORT_IN0, &f, XE_R_TAKEN, "in two prefixes, one inside the other");
	udp_from_to(&f, "10.1.7.9", flow_out.dst);
	expect(rig, PORT_IN0, &f, XE_R_TAKEN, "/32");
	udp_from_to(&f, "10.1.7.8", flow_out.dst);
	expect(rig, PORT_IN0, &f, XE_R_SPOOFED, "beside the /32");
	rig_disallow(rig, PORT_IN0, "10.1.0.128/25");
	udp_from_to(&f, "10.1.0.200", flow_out.dst);
	expect(rig, PORT_IN0, &f, XE_R_TAKEN, "the wider prefix remains");
	rig_disallow(rig, PORT_IN0, "10.1.0.0/24");
	expect(rig, PORT_IN0, &f, XE_R_SPOOFED, "both prefixes removed");
	rig_disallow(rig, PORT_IN0, "10.1.7.9/32");
	rig->conf[PORT_IN0].flags = XE_PF_LIVE;
	rig_put_port(rig, PORT_IN0);
	expect(rig, PORT_IN0, &f, XE_R_NO_RULE, "port without IPv4 entries: the kernel's");
}

void not_forwarded(void **state)
{
	static const struct {
		const char *dst;
		int reason;
		const char *name;
	} c[] = {
		{"10.1.0.1", XE_R_DST_LOCAL, "address of the port"},
		{"198.51.100.2", XE_R_DST_LOCAL, "address of the uplink"},
		{"10.9.0.1", XE_R_DST_LOCAL, "address of no port"},
		{"10.1.0.255", XE_R_DST_LOCAL, "directed broadcast, own network"},
		{"198.51.100.255", XE_R_DST_LOCAL, "directed broadcast, uplink"},
		{"10.1.1.255", XE_R_DST_LOCAL, "directed broadcast, other port"},
		{"10.66.1.1", XE_R_NO_ROUTE, "blackhole"},
		{"10.66.2.1", XE_R_NO_ROUTE, "unreachable"},
		{"10.66.3.1", XE_R_NO_ROUTE, "prohibit"},
	};
	struct rig *rig = *state;
	struct frame f;

	for (size_t i = 0; i < CNT(c); i++) {
		struct flow fl = {"10.1.0.5", c[i].dst, 40000, 443};

		frame_udp4(&f, &fl, 18);
		expect(rig, PORT_IN0, &f, c[i].reason, c[i].name);
		frame_tcp4(&f, &fl, TCP_SYN, 0);
		expect(rig, PORT_IN0, &f, c[i].reason, c[i].name);
		frame_tcp4(&f, &fl, TCP_ACK, 0);
		expect(rig, PORT_IN0, &f, c[i].reason, c[i].name);
	}
	/* bpf_fib_lookup() answers "not forwarded" for no route as it does for a local address. */
	assert_int_equal(net_ip("route del default via 198.51.100.1 dev up0"), 0);
	frame_udp4(&f, &flow_out, 18);
	expect(rig, PORT_IN0, &f, XE_R_DST_LOCAL, "no route at all");
	assert_int_equal(net_ip("route add default via 198.51.100.1 dev up0"), 0);
	expect(rig, PORT_IN0, &f, XE_R_TAKEN, "default route again");
}

void directed_broadcasts(void **state)
{
	static const char *const to[] = {"10.1.0.255", "198.51.100.255", "10.1.1.255"};
	struct rig *rig = *state;
	struct frame f;

	for (size_t i = 0; i < CNT(to); i++) {
		struct flow fl = {"10.1.0.5", to[i], 40000, 443};

		assert_int_equal(xe_steer_set_broadcast(&rig->steer, inet_addr(to[i]), true), 0);
		frame_udp4(&f, &fl, 18);
		expect(rig, PORT_IN0, &f, XE_R_MARTIAN, to[i]);
		frame_ip4(&f)->frag_off = htons(0x2000);
		expect(rig, PORT_IN0, &f, XE_R_MARTIAN, "a fragment");
		frame_tcp4(&f, &fl, TCP_SYN, 0);
		expect(rig, PORT_IN0, &f, XE_R_MARTIAN, to[i]);
		fl.src = "198.18.0.1";
		frame_udp4(&f, &fl, 18);
		expect(rig, PORT_UP0, &f, XE_R_NOT_OWNED, "from outside: the kernel's");
		fl.src = "10.1.0.5";
		frame_udp4(&f, &fl, 18);
		xe_steer_set_broadcast(&rig->steer, inet_addr(to[i]), false);
		expect(rig, PORT_IN0, &f, XE_R_DST_LOCAL, "no longer one");
	}
	/* What routes send on is no broadcast of ours, whatever is said of it. */
	assert_int_equal(xe_steer_set_broadcast(&rig->steer, inet_addr(flow_out.dst), true), 0);
	frame_udp4(&f, &flow_out, 18);
	expect(rig, PORT_IN0, &f, XE_R_TAKEN, "another network's");
	xe_steer_set_broadcast(&rig->steer, inet_addr(flow_out.dst), false);
}

void egress(void **state)
{
	struct rig *rig = *state;
	struct frame f;

	udp_from_to(&f, "10.1.0.5", "10.99.1.1");
	expect(rig, PORT_IN0, &f, XE_R_EGRESS_NOT_PORT, "route by an interface that is no port");
	udp_from_to(&f, "10.1.0.5", "10.9.0.77");
	expect(rig, PORT_IN0, &f, XE_R_EGRESS_NOT_PORT, "connected network of no port");
	udp_from_to(&f, "10.1.0.5", "10.1.0.6");
	expect(rig, PORT_IN0, &f, XE_R_EGRESS_NOT_PORT, "back out where it came in");
	udp_from_to(&f, "10.1.0.5", "10.1.1.6");
	expect(rig, PORT_IN0, &f, XE_R_TAKEN, "the other inside port, by an accept rule");
	frame_udp4(&f, &flow_out, 18);
	rig->conf[PORT_UP0].flags = 0;
	rig_put_port(rig, PORT_UP0);
	expect(rig, PORT_IN0, &f, XE_R_EGRESS_NOT_PORT, "port entry of the uplink not live");
	rig->conf[PORT_UP0].flags = XE_PF_LIVE;
	rig_put_port(rig, PORT_UP0);
	xe_steer_del_ifindex(&rig->steer, rig->ifindex[PORT_UP0]);
	expect(rig, PORT_IN0, &f, XE_R_EGRESS_NOT_PORT, "uplink taken out of the port table");
	xe_steer_set_ifindex(&rig->steer, rig->ifindex[PORT_UP0], PORT_UP0);
	expect(rig, PORT_IN0, &f, XE_R_TAKEN, "uplink in the table again");
}

/* While flows are moved from the kernel or to it, only those are taken that a session has. */
void moving(void **state)
{
	struct rig *rig = *state;
	struct xe_live live = {.mask = rig->steer.settings.live_mask, .buckets = rig_live(rig, 0)};
	uint64_t hash;
	struct frame f;
	bool second;

	frame_udp4(&f, &flow_out, 18);
	hash = rig_hash(rig, PORT_IN0, &f);
	rig->conf[PORT_UP0].flags |= XE_PF_MOVING;
	rig_put_port(rig, PORT_UP0);
	expect(rig, PORT_IN0, &f, XE_R_MOVING, "to an uplink that is moving");
	assert_true(xe_live_add(&live, hash, &second));
	expect(rig, PORT_IN0, &f, XE_R_TAKEN, "of a known flow");
	rig->conf[PORT_UP0].flags &= (uint8_t)~XE_PF_MOVING;
	rig_put_port(rig, PORT_UP0);
	rig->conf[PORT_IN0].flags |= XE_PF_MOVING;
	rig_put_port(rig, PORT_IN0);
	expect(rig, PORT_IN0, &f, XE_R_TAKEN, "of a known flow, on a port that is moving");
	xe_live_del(&live, hash, second);
	expect(rig, PORT_IN0, &f, XE_R_MOVING, "on a port that is moving");
	frame_tcp4(&f, &flow_out, TCP_SYN, 0);
	expect(rig, PORT_IN0, &f, XE_R_MOVING, "a connection's first");
	frame_ip4(&f)->ttl = 1;
	expect(rig, PORT_IN0, &f, XE_R_TTL, "the same with TTL 1");
	udp_from_to(&f, "10.2.0.5", flow_out.dst);
	frame_ip4(&f)->ttl = 1;
	expect(rig, PORT_IN0, &f, XE_R_SPOOFED, "and a source of nobody's");
	rig->conf[PORT_IN0].flags &= (uint8_t)~XE_PF_MOVING;
	rig_put_port(rig, PORT_IN0);
	frame_tcp4(&f, &flow_out, TCP_SYN, 0);
	expect(rig, PORT_IN0, &f, XE_R_TAKEN, "and when it is over");
}

/* The lookup's key is what the kernel's own forwarding would use. */
void route_by_tos(void **state)
{
	struct rig *rig = *state;
	struct frame f;

	frame_udp4(&f, &flow_out, 18);
	frame_ip4(&f)->tos = 0x10;
	expect(rig, PORT_IN0, &f, XE_R_EGRESS_NOT_PORT, "TOS 0x10, routed elsewhere by policy");
	frame_ip4(&f)->tos = 0x13;
	expect(rig, PORT_IN0, &f, XE_R_EGRESS_NOT_PORT, "TOS 0x10 with ECN bits");
	frame_ip4(&f)->tos = 0x03;
	expect(rig, PORT_IN0, &f, XE_R_TAKEN, "ECN bits only");
	frame_ip4(&f)->tos = 0x08;
	expect(rig, PORT_IN0, &f, XE_R_TAKEN, "other TOS");
	frame_ip4(&f)->tos = 0xb8;
	expect(rig, PORT_IN0, &f, XE_R_TAKEN, "DSCP EF");
	if (net_blackhole_dscp(0xb8 >> 2)) {
		print_message("route_by_tos: this kernel has no rules by DSCP\n");
		return;
	}
	expect(rig, PORT_IN0, &f, XE_R_NO_ROUTE, "DSCP EF, blackholed by policy");
	frame_ip4(&f)->tos = 0x18; /* its lower three bits only */
	expect(rig, PORT_IN0, &f, XE_R_TAKEN, "another DSCP");
}

void forwarding_off(void **state)
{
	struct rig *rig = *state;
	struct frame f;

	frame_udp4(&f, &flow_out, 18);
	assert_int_equal(net_sysctl("ipv4/conf/in0/forwarding", "0"), 0);
	expect(rig, PORT_IN0, &f, XE_R_NO_ROUTE, "forwarding off on the port");
	assert_int_equal(net_sysctl("ipv4/conf/in0/forwarding", "1"), 0);
	expect(rig, PORT_IN0, &f, XE_R_TAKEN, "forwarding on");
}

/* A bridge member is routed as coming in on its bridge. */
void route_ifindex(void **state)
{
	struct rig *rig = *state;
	struct frame f;

	assert_int_equal(net_ip("rule add iif in1 to 198.18.0.0/15 blackhole"), 0);
	frame_udp4(&f, &flow_out, 18);
	expect(rig, PORT_IN0, &f, XE_R_TAKEN, "routed as from in0");
	rig->conf[PORT_IN0].route_ifindex = (uint32_t)rig->ifindex[PORT_IN1];
	rig_put_port(rig, PORT_IN0);
	expect(rig, PORT_IN0, &f, XE_R_NO_ROUTE, "routed as from in1");
	assert_int_equal(net_ip("rule del iif in1 to 198.18.0.0/15 blackhole"), 0);
	rig->conf[PORT_IN0].route_ifindex = 0x7ffffff0;
	rig_put_port(rig, PORT_IN0);
	expect(rig, PORT_IN0, &f, XE_R_NO_ROUTE, "routed as from an interface that is gone");
}

void tcp_midflow(void **state)
{
	struct rig *rig = *state;
	struct frame f;
	char name[32];

	for (unsigned int flags = 0; flags < 64; flags++) {
		unsigned int start = flags & (TCP_SYN | TCP_ACK | TCP_RST | TCP_FIN);

		snprintf(name, sizeof(name), "TCP flags 0x%02x", flags);
		frame_tcp4(&f, &flow_out, (uint8_t)flags, 0);
		expect(rig, PORT_IN0, &f, start == TCP_SYN ? XE_R_TAKEN : XE_R_MIDFLOW, name);
	}
	frame_tcp4(&f, &flow_out, TCP_SYN | 0xc0, 0);
	expect(rig, PORT_IN0, &f, XE_R_TAKEN, "SYN with ECE and CWR");
	/* `drop`, `kernel` and no rule are counted as what they are. */
	frame_tcp4(&f, &(struct flow){"10.1.0.5", "203.0.113.200", 1, 2}, TCP_ACK, 0);
	expect(rig, PORT_IN0, &f, XE_R_DROP_RULE, "ACK under a drop rule");
	frame_tcp4(&f, &(struct flow){"10.1.0.5", "198.18.0.1", 1, 25}, TCP_ACK, 0);
	expect(rig, PORT_IN0, &f, XE_R_KERNEL_RULE, "ACK under a kernel rule");
	rig_rules(rig, "kernel tcp to 0.0.0.0/0:25");
	frame_tcp4(&f, &flow_out, TCP_ACK, 0);
	expect(rig, PORT_IN0, &f, XE_R_NO_RULE, "ACK under no rule");
}

/* A packet whose two buckets are different ones. */
static void frame_two_buckets(const struct rig *rig, struct frame *f, uint32_t *first,
			      uint32_t *second)
{
	struct flow fl = flow_out;
	uint64_t hash;

	do {
		fl.sport++;
		frame_tcp4(f, &fl, TCP_ACK, 100);
		hash = rig_hash(rig, PORT_IN0, f);
		*first = xe_live_first(hash, rig->steer.settings.live_mask);
		*second = xe_live_second(hash, rig->steer.settings.live_mask);
	} while (*first == *second);
}

void live_tags(void **state)
{
	struct rig *rig = *state;
	uint32_t bucket[2];
	struct frame f;
	uint16_t tag;
	char name[64];

	frame_two_buckets(rig, &f, &bucket[0], &bucket[1]);
	tag = xe_live_tag(rig_hash(rig, PORT_IN0, &f));
	for (int n = 0; n < 2; n++)
		for (int slot = 0; slot < XE_LIVE_SLOTS; slot++) {
			uint16_t *place = &rig_live(rig, 0)[bucket[n]].tag[slot];

			snprintf(name, sizeof(name), "bucket %d, slot %d", n, slot);
			*place = tag;
			expect(rig, PORT_IN0, &f, XE_R_TAKEN, name);
			*place = tag ^ 1;
			expect(rig, PORT_IN0, &f, XE_R_MIDFLOW, "another tag there");
			*place = 0;
		}
	/* Everywhere but where it belongs. */
	for (uint32_t b = 0; b <= rig->steer.settings.live_mask; b++)
		if (b != bucket[0] && b != bucket[1])
			for (int slot = 0; slot < XE_LIVE_SLOTS; slot++)
				rig_live(rig, 0)[b].tag[slot] = tag;
	expect(rig, PORT_IN0, &f, XE_R_MIDFLOW, "tag in every bucket but its two");
}

/* A live flow is asked neither for source, nor route, nor rule; but it is still parsed. */
void live_before_rules(void **state)
{
	struct rig *rig = *state;
	struct xe_live live = {.buckets = rig_live(rig, 0), .mask = rig->steer.settings.live_mask};
	struct frame f, other;
	bool second;

	frame_tcp4(&f, &flow_out, TCP_ACK, 100);
	frame_tcp4(&other, &(struct flow){"10.1.0.5", "198.18.0.1", 40001, 443}, TCP_ACK, 100);
	assert_true(xe_live_add(&live, rig_hash(rig, PORT_IN0, &f), &second));
	rig_rules(rig, "drop from 10.1.0.0/16 to 0.0.0.0/0");
	expect(rig, PORT_IN0, &f, XE_R_TAKEN, "live flow under a new drop rule");
	expect(rig, PORT_IN0, &other, XE_R_DROP_RULE, "its neighbour is not live");
	xe_steer_del_ifindex(&rig->steer, rig->ifindex[PORT_UP0]);
	expect(rig, PORT_IN0, &f, XE_R_TAKEN, "live flow without an egress port");
	expect(rig, PORT_IN0, &other, XE_R_EGRESS_NOT_PORT, "its neighbour");
	xe_steer_set_ifindex(&rig->steer, rig->ifindex[PORT_UP0], PORT_UP0);
	rig_disallow(rig, PORT_IN0, "10.1.0.0/24");
	expect(rig, PORT_IN0, &f, XE_R_TAKEN, "live flow of a source no longer allowed");
	expect(rig, PORT_IN0, &other, XE_R_SPOOFED, "its neighbour");
	frame_ip4(&f)->ttl = 1;
	expect(rig, PORT_IN0, &f, XE_R_TTL, "live flow with TTL 1");
	frame_ip4(&f)->ttl = 64;
	frame_ip4(&f)->frag_off = htons(0x2000);
	expect(rig, PORT_IN0, &f, XE_R_SPOOFED, "fragment: nobody knows of which flow");
	frame_ip4(&f)->frag_off = 0;
	frame_tcp(&f)->doff = 3;
	expect(rig, PORT_IN0, &f, XE_R_MALFORMED, "live flow, lying data offset");
	frame_tcp(&f)->doff = 5;
	xe_live_del(&live, rig_hash(rig, PORT_IN0, &f), second);
	expect(rig, PORT_IN0, &f, XE_R_SPOOFED, "ended");
}

void live_regions(void **state)
{
	struct rig *rig = *state;
	uint32_t first, second;
	struct frame f;
	uint16_t tag;

	frame_two_buckets(rig, &f, &first, &second);
	tag = xe_live_tag(rig_hash(rig, PORT_IN0, &f));
	for (uint32_t w = 1; w < rig->steer.settings.worker_cnt; w++) {
		rig_live(rig, w)[second].tag[7] = tag;
		rig->steer.conf->any_accept = 0;
		expect(rig, PORT_IN0, &f, XE_R_MIDFLOW, "other worker's region, no accept rules");
		rig->steer.conf->any_accept = 1;
		expect(rig, PORT_IN0, &f, XE_R_TAKEN, "other worker's region, accept rules");
		rig_clear_live(rig);
		expect(rig, PORT_IN0, &f, XE_R_MIDFLOW, "in no region");
	}
	/* The same bytes on another port are another flow. */
	rig->steer.conf->any_accept = 0;
	rig_live(rig, 0)[first].tag[0] = tag;
	rig->conf[PORT_IN1].worker = 0;
	rig_put_port(rig, PORT_IN1);
	rig_allow(rig, PORT_IN1, "10.1.0.0/24");
	expect(rig, PORT_IN1, &f, XE_R_MIDFLOW, "live on in0, seen on in1");
	rig_disallow(rig, PORT_IN1, "10.1.0.0/24");
	rig->conf[PORT_IN0].worker = 2;
	rig_put_port(rig, PORT_IN0);
	expect(rig, PORT_IN0, &f, XE_R_MIDFLOW, "the port's worker is another one");
}

void port_entry(void **state)
{
	struct rig *rig = *state;
	struct frame f;

	for (uint32_t port = 0; port < PORT_CNT; port++) {
		rig->conf[port].flags &= (uint8_t)~XE_PF_LIVE;
		rig_put_port(rig, port);
		frame_udp4(&f, &flow_out, 18);
		expect(rig, port, &f, NOTHING_COUNTED, "entry not live");
		frame_udp4(&f, &(struct flow){"1.1.1.1", "198.18.0.1", 1, 1}, 18);
		expect(rig, port, &f, NOTHING_COUNTED, "entry not live, forged source");
		memset(&rig->conf[port], 0, sizeof(rig->conf[port]));
		rig_put_port(rig, port);
		frame_arp(&f);
		expect(rig, port, &f, NOTHING_COUNTED, "zeroed entry");
	}
}

static void swap_interfaces(struct rig *rig)
{
	int in0 = rig->ifindex[PORT_IN0];

	rig->ifindex[PORT_IN0] = rig->ifindex[PORT_IN1];
	rig->ifindex[PORT_IN1] = in0;
	for (uint32_t port = PORT_IN0; port <= PORT_IN1; port++)
		assert_int_equal(xe_steer_set_ifindex(&rig->steer, rig->ifindex[port], port), 0);
}

/* One program on all interfaces: which port a packet is on, its interface says, and only that. */
void port_by_interface(void **state)
{
	struct rig *rig = *state;
	struct frame f;

	assert_int_equal(xe_steer_set_socket(&rig->steer, PORT_IN1, 0, rig->xsk.fd), 0);
	frame_udp4(&f, &flow_out, 18);
	expect(rig, PORT_IN0, &f, XE_R_TAKEN, "in0's source on in0");
	expect(rig, PORT_IN1, &f, XE_R_SPOOFED, "in0's source on in1");
	xe_steer_del_ifindex(&rig->steer, rig->ifindex[PORT_IN0]);
	expect(rig, PORT_IN0, &f, NOTHING_COUNTED, "on an interface that is no port");
	expect(rig, PORT_IN1, &f, XE_R_SPOOFED, "in1 is still one");
	xe_steer_set_ifindex(&rig->steer, rig->ifindex[PORT_IN0], PORT_IN0);
	swap_interfaces(rig);
	expect(rig, PORT_IN0, &f, XE_R_TAKEN, "in0's source on in0, another interface now");
	expect(rig, PORT_IN1, &f, XE_R_SPOOFED, "in0's source on in1, another interface now");
	swap_interfaces(rig);
	xe_steer_set_ifindex(&rig->steer, rig->ifindex[PORT_IN0], XE_MAX_PORTS);
	expect(rig, PORT_IN0, &f, NOTHING_COUNTED, "a port id that cannot be");
	xe_steer_set_ifindex(&rig->steer, rig->ifindex[PORT_IN0], PORT_IN0);
	expect(rig, PORT_IN0, &f, XE_R_TAKEN, "as before");
	/* Another interface has the hint: the hash knows it all the same. */
	xe_steer_del_ifindex(&rig->steer, rig->ifindex[PORT_IN0]);
	xe_steer_set_ifindex(&rig->steer, rig->ifindex[PORT_IN0] + XE_PORT_HINTS, PORT_IN1);
	expect(rig, PORT_IN0, &f, NOTHING_COUNTED, "the hint is another interface's");
	xe_steer_set_ifindex(&rig->steer, rig->ifindex[PORT_IN0], PORT_IN0);
	expect(rig, PORT_IN0, &f, XE_R_TAKEN, "found without a hint");
	xe_steer_del_ifindex(&rig->steer, rig->ifindex[PORT_IN0] + XE_PORT_HINTS);
	expect(rig, PORT_IN0, &f, XE_R_TAKEN, "the hint's owner has gone");
	xe_steer_set_ifindex(&rig->steer, rig->ifindex[PORT_IN0], PORT_IN0);
	expect(rig, PORT_IN0, &f, XE_R_TAKEN, "and takes it");
	xe_steer_del_socket(&rig->steer, PORT_IN1, 0);
}
