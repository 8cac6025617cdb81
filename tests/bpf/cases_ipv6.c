/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* cases_ipv6.c - IPv6 is taken like IPv4, where the port has IPv6 entries. */
#include "cases.h"

#include "state/live.h"

static const char prefix6[] = "2001:db8:1::/64";

static void open6(struct rig *rig)
{
	rig->conf[PORT_IN0].flags |= XE_PF_ALLOW6;
	rig_put_port(rig, PORT_IN0);
	rig_allow(rig, PORT_IN0, prefix6);
	rig_rules(rig, "kernel tcp to 0.0.0.0/0:25",
		  "kernel from 2001:db8:1::/48 to 2001:db8:beef::/48",
		  "drop udp from 2001:db8:1::/48 to [2001:db8:dead::/48]:53",
		  "accept from 2001:db8:1::/48 to 2001:db8:10::/64",
		  "masquerade from 2001:db8:1::/48 to 2001:db8:2::/47 out up* ports 20000-29999",
		  "masquerade from 2001:db8:1::/48 to 2001:db8:66::/47 out up*",
		  "masquerade from 2001:db8:1::/48 to fc00::/6 out up*",
		  "masquerade from 2001:db8:1::/48 to 2001:db8:99::/48",
		  "masquerade from 2001:db8:1::/48 to 2001:db8:113::/48 out up1",
		  "masquerade from 0.0.0.0/0 out up*");
}

static void close6(struct rig *rig)
{
	rig_disallow(rig, PORT_IN0, prefix6);
}

void ipv6_plain(void **state)
{
	struct rig *rig = *state;
	struct flow fl = flow_out6;
	struct frame f;

	frame_udp6(&f, &fl, 20);
	expect(rig, PORT_IN0, &f, XE_R_IPV6, "UDP, port without IPv6 entries");
	frame_ip6(&f)->hop_limit = 1;
	expect(rig, PORT_IN0, &f, XE_R_TTL, "hop limit 1, port without IPv6 entries");
	frame_tcp6(&f, &fl, TCP_SYN);
	expect(rig, PORT_IN0, &f, XE_R_IPV6, "TCP, port without IPv6 entries");
	fl.src = "::ffff:10.1.0.5";
	frame_tcp6(&f, &fl, TCP_SYN);
	expect(rig, PORT_IN0, &f, XE_R_IPV6, "IPv4-mapped source, port without IPv6 entries");
	open6(rig);
	expect(rig, PORT_IN0, &f, XE_R_MARTIAN, "IPv4-mapped source that IPv4 is allowed");
	fl.src = flow_out6.src;
	frame_udp6(&f, &fl, 20);
	expect(rig, PORT_IN0, &f, XE_R_TAKEN, "UDP");
	frame_tcp6(&f, &fl, TCP_SYN);
	expect(rig, PORT_IN0, &f, XE_R_TAKEN, "TCP SYN");
	frame_tcp6(&f, &fl, TCP_ACK);
	expect(rig, PORT_IN0, &f, XE_R_MIDFLOW, "TCP ACK of no session");
	fl.src = "2001:db8:1:1::5";
	frame_udp6(&f, &fl, 20);
	expect(rig, PORT_IN0, &f, XE_R_SPOOFED, "source of the next prefix");
	fl.src = fl.dst;
	frame_udp6(&f, &fl, 20);
	expect(rig, PORT_IN0, &f, XE_R_MARTIAN, "source equals destination");
	fl.src = "ff02::1";
	frame_udp6(&f, &fl, 20);
	expect(rig, PORT_IN0, &f, XE_R_MARTIAN, "multicast source");
	fl.src = "::";
	frame_udp6(&f, &fl, 20);
	expect(rig, PORT_IN0, &f, XE_R_MARTIAN, "unspecified source");
	fl.src = "fe80::5";
	frame_udp6(&f, &fl, 20);
	expect(rig, PORT_IN0, &f, XE_R_DST_SPECIAL, "link-local source, global destination");
	close6(rig);
}

/* The IPv4 rules stand in the same set: none of them is about IPv6, and a rule without an address
 * is about both. */
void ipv6_rules(void **state)
{
	static const struct {
		const char *dst;
		uint16_t dport;
		int udp, tcp;
	} c[] = {
		{"2001:db8:2::1", 443, XE_R_TAKEN, XE_R_TAKEN},
		{"2001:db8:3:ffff::1", 25, XE_R_TAKEN, XE_R_TAKEN},
		{"2001:db8:4::1", 443, XE_R_NO_RULE, XE_R_NO_RULE},
		{"2001:db8:beef::1", 443, XE_R_KERNEL_RULE, XE_R_KERNEL_RULE},
		{"2001:db8:dead::1", 53, XE_R_DROP_RULE, XE_R_NO_RULE},
		{"2001:db8:dead::1", 54, XE_R_NO_RULE, XE_R_NO_RULE},
		{"2001:db8:10::5", 443, XE_R_TAKEN, XE_R_TAKEN},
		{"2001:db8:113::5", 443, XE_R_TAKEN, XE_R_TAKEN},
	};
	struct rig *rig = *state;
	struct flow fl = flow_out6;
	struct frame f;

	open6(rig);
	for (size_t i = 0; i < CNT(c); i++) {
		fl.dst = c[i].dst;
		fl.dport = c[i].dport;
		frame_udp6(&f, &fl, 20);
		expect(rig, PORT_IN0, &f, c[i].udp, c[i].dst);
		frame_tcp6(&f, &fl, TCP_SYN);
		expect(rig, PORT_IN0, &f, c[i].tcp, c[i].dst);
	}
	fl.dst = "2001:db8:4::1";
	frame_udp6(&f, &fl, 20);
	rig_rules(rig, "drop from 0.0.0.0/0", "masquerade out up*");
	expect(rig, PORT_IN0, &f, XE_R_TAKEN, "a rule for both families");
	rig_rules(rig, "drop udp from ::/0 to ::/0", "masquerade out up*");
	expect(rig, PORT_IN0, &f, XE_R_DROP_RULE, "::/0");
	frame_udp4(&f, &flow_out, 20);
	expect(rig, PORT_IN0, &f, XE_R_TAKEN, "::/0 is not IPv4");
	close6(rig);
}

void ipv6_routes(void **state)
{
	static const struct {
		const char *dst;
		int reason;
	} c[] = {
		{"2001:db8:66:1::1", XE_R_NO_ROUTE},
		{"2001:db8:66:2::1", XE_R_NO_ROUTE},
		{"2001:db8:66:3::1", XE_R_NO_ROUTE},
		{"2001:db8:f::2", XE_R_DST_LOCAL},
		{"2001:db8:1::1", XE_R_DST_LOCAL},
		{"2001:db8:1::77", XE_R_EGRESS_NOT_PORT}, /* back out where it came in */
		{"2001:db8:99::1", XE_R_EGRESS_NOT_PORT},
	};
	struct rig *rig = *state;
	struct flow fl = flow_out6;
	struct frame f;

	open6(rig);
	for (size_t i = 0; i < CNT(c); i++) {
		fl.dst = c[i].dst;
		frame_udp6(&f, &fl, 20);
		expect(rig, PORT_IN0, &f, c[i].reason, c[i].dst);
	}
	frame_udp6(&f, &flow_out6, 20);
	f.b[ETH_HLEN] = 0x61; /* traffic class 0x10 */
	expect(rig, PORT_IN0, &f, XE_R_EGRESS_NOT_PORT, "routed by its traffic class");
	frame_udp6(&f, &flow_out6, 20);
	f.b[ETH_HLEN + 3] = 0x10; /* flow label */
	expect(rig, PORT_IN0, &f, XE_R_TAKEN, "the flow label is no traffic class");
	assert_int_equal(net_sysctl("ipv6/conf/in0/forwarding", "0"), 0);
	expect(rig, PORT_IN0, &f, XE_R_NO_ROUTE, "forwarding is off on the interface");
	assert_int_equal(net_sysctl("ipv6/conf/in0/forwarding", "1"), 0);
	expect(rig, PORT_IN0, &f, XE_R_TAKEN, "and on again");
	close6(rig);
}

/* A live session's packets need neither rule nor SYN, and no other flow's do. */
void ipv6_live(void **state)
{
	struct rig *rig = *state;
	struct xe_live live = {.mask = rig->steer.settings.live_mask, .buckets = rig_live(rig, 0)};
	struct flow fl = flow_out6;
	struct frame f;
	bool second;

	open6(rig);
	rig_rules(rig, "kernel tcp to 0.0.0.0/0:25");
	frame_tcp6(&f, &fl, TCP_ACK);
	expect(rig, PORT_IN0, &f, XE_R_NO_RULE, "no session, no rule");
	assert_true(xe_live_add(&live, rig_hash(rig, PORT_IN0, &f), &second));
	expect(rig, PORT_IN0, &f, XE_R_TAKEN, "its session is live");
	fl.sport++;
	frame_tcp6(&f, &fl, TCP_ACK);
	expect(rig, PORT_IN0, &f, XE_R_NO_RULE, "another L4 port");
	fl.sport--;
	fl.src = "2001:db8:1::1:0:5";
	frame_tcp6(&f, &fl, TCP_ACK);
	expect(rig, PORT_IN0, &f, XE_R_NO_RULE, "another source in its middle");
	close6(rig);
}

void ipv6_runts_and_lies(void **state)
{
	struct rig *rig = *state;
	struct frame whole, f;
	char name[64];

	open6(rig);
	rig_set_owned(rig, 1, true, flow_out6.dport, true);
	frame_udp6(&whole, &flow_out6, 4); /* 66 bytes */
	for (uint32_t len = ETH_HLEN; len <= whole.len; len++) {
		f = whole;
		f.len = len;
		snprintf(name, sizeof(name), "UDP over IPv6 cut to %u bytes", len);
		expect(rig, PORT_IN0, &f, len < whole.len ? XE_R_MALFORMED : XE_R_TAKEN, name);
		expect(rig, PORT_UP0, &f, XE_R_NOT_OWNED, name);
	}
	for (uint16_t payload_len = 0; payload_len <= 16; payload_len++) {
		f = whole;
		frame_ip6(&f)->payload_len = htons(payload_len);
		snprintf(name, sizeof(name), "payload length %u of 12", payload_len);
		expect(rig, PORT_IN0, &f,
		       payload_len < 8 || payload_len > 12 ? XE_R_MALFORMED : XE_R_TAKEN, name);
	}
	f = whole;
	frame_ip6(&f)->version = 4;
	expect(rig, PORT_IN0, &f, XE_R_MALFORMED, "IPv4 under the ethertype of IPv6");
	frame_tcp6(&f, &flow_out6, TCP_SYN);
	frame_tcp(&f)->doff = 6;
	expect(rig, PORT_IN0, &f, XE_R_MALFORMED, "TCP data offset over the end");
	frame_tcp(&f)->doff = 4;
	expect(rig, PORT_IN0, &f, XE_R_MALFORMED, "TCP data offset below the header");
	frame_udp6(&f, &flow_out6, 20);
	frame_add_ext(&f, IPPROTO_DSTOPTS, 16);
	f.b[f.l4_off - 16 + 1] = 5;
	expect(rig, PORT_IN0, &f, XE_R_MALFORMED, "extension header longer than the packet");
	frame_pad(&f, 300);
	expect(rig, PORT_IN0, &f, XE_R_MALFORMED, "extension header goes on in the padding");
	close6(rig);
}

/* All of it by both ways of reading: where packet pointers may have a variable offset, and where a
 * helper copies what is needed. */
static void expect_both(struct rig *rig, const struct frame *f, int reason, const char *name)
{
	struct run run;

	run_init(rig, &run, PORT_IN0, f);
	expect_run(rig, &run, reason, name);
	run.fd = rig->prog_fd[GSO_UNKNOWN];
	expect_run(rig, &run, reason, name);
}

void ipv6_extension_headers(void **state)
{
	static const struct {
		uint8_t type;
		int reason;
		const char *name;
	} c[] = {
		{IPPROTO_HOPOPTS, XE_R_TAKEN, "hop-by-hop options"},
		{IPPROTO_ROUTING, XE_R_TAKEN, "routing header, no segments left"},
		{IPPROTO_DSTOPTS, XE_R_TAKEN, "destination options"},
		{IPPROTO_FRAGMENT, XE_R_TAKEN, "fragment header"},
		{IPPROTO_AH, XE_R_NOT_TCP_UDP, "authentication header"},
		{IPPROTO_ESP, XE_R_NOT_TCP_UDP, "ESP"},
		{IPPROTO_NONE, XE_R_NOT_TCP_UDP, "no next header"},
		{IPPROTO_ICMPV6, XE_R_NOT_TCP_UDP, "ICMPv6"},
		{IPPROTO_MH, XE_R_NOT_TCP_UDP, "mobility header"},
	};
	struct rig *rig = *state;
	struct frame f;
	char name[64];

	open6(rig);
	for (size_t i = 0; i < CNT(c); i++)
		for (uint32_t hdr_len = 8; hdr_len <= 32; hdr_len += 8) {
			frame_tcp6(&f, &flow_out6, TCP_SYN);
			frame_add_ext(&f, c[i].type, hdr_len);
			expect_both(rig, &f, c[i].reason, c[i].name);
			frame_udp6(&f, &flow_out6, 0);
			frame_add_ext(&f, IPPROTO_DSTOPTS, 24);
			frame_add_ext(&f, c[i].type, hdr_len);
			expect_both(rig, &f, c[i].reason, c[i].name);
		}
	frame_udp6(&f, &flow_out6, 20);
	frame_add_ext(&f, IPPROTO_ROUTING, 24);
	f.b[f.l4_off - 24 + 3] = 1;
	expect_both(rig, &f, XE_R_NOT_TCP_UDP, "routing header with a segment left");
	for (int n = 1; n <= 9; n++) {
		frame_udp6(&f, &flow_out6, 20);
		for (int i = 0; i < n; i++)
			frame_add_ext(&f, IPPROTO_DSTOPTS, 8);
		snprintf(name, sizeof(name), "chain of %d headers", n);
		expect_both(rig, &f, n <= 6 ? XE_R_TAKEN : XE_R_NOT_TCP_UDP, name);
	}
	/* The longest header there is: true lengths are not malformed, however odd. */
	frame_udp6(&f, &flow_out6, 20);
	frame_add_ext(&f, IPPROTO_DSTOPTS, 2048);
	expect(rig, PORT_IN0, &f, XE_R_NOT_TCP_UDP, "one header of 2048 bytes");
	frame_udp6(&f, &flow_out6, 20);
	frame_add_ext(&f, IPPROTO_DSTOPTS, 512);
	frame_add_ext(&f, IPPROTO_DSTOPTS, 512);
	expect_both(rig, &f, XE_R_NOT_TCP_UDP, "two headers of 512 bytes");
	frame_udp6(&f, &flow_out6, 20);
	frame_add_ext(&f, IPPROTO_DSTOPTS, 984);
	expect_both(rig, &f, XE_R_TAKEN, "L4 header at byte 1024");
	frame_udp6(&f, &flow_out6, 20);
	frame_add_ext(&f, IPPROTO_DSTOPTS, 16);
	f.len -= 21; /* the L4 header is cut */
	frame_ip6(&f)->payload_len = htons((uint16_t)(f.len - ETH_HLEN - sizeof(struct ipv6hdr)));
	expect_both(rig, &f, XE_R_MALFORMED, "7 bytes of UDP behind an extension header");
	close6(rig);
}

void ipv6_destinations(void **state)
{
	static const struct {
		const char *dst;
		int reason;
	} c[] = {
		{"ff02::1", XE_R_DST_SPECIAL},     {"ff0e::1:3", XE_R_DST_SPECIAL},
		{"fe80::1", XE_R_DST_SPECIAL},     {"febf::1", XE_R_DST_SPECIAL},
		{"::", XE_R_DST_SPECIAL},          {"::1", XE_R_DST_SPECIAL},
		{"::192.0.2.1", XE_R_DST_SPECIAL}, {"::ffff:192.0.2.1", XE_R_DST_SPECIAL},
		{"fec0::1", XE_R_TAKEN},           {"fe7f::1", XE_R_TAKEN},
		{"fd00::1", XE_R_TAKEN},           {"2001:db8:2::1", XE_R_TAKEN},
	};
	struct rig *rig = *state;
	struct flow fl = flow_out6;
	struct frame f;

	open6(rig);
	for (size_t i = 0; i < CNT(c); i++) {
		fl.dst = c[i].dst;
		frame_udp6(&f, &fl, 20);
		expect(rig, PORT_IN0, &f, c[i].reason, c[i].dst);
		expect(rig, PORT_UP0, &f, c[i].reason == XE_R_TAKEN ? XE_R_NOT_OWNED : c[i].reason,
		       c[i].dst);
	}
	for (uint8_t hops = 0; hops <= 2; hops++) {
		frame_udp6(&f, &flow_out6, 20);
		frame_ip6(&f)->hop_limit = hops;
		expect(rig, PORT_IN0, &f, hops < 2 ? XE_R_TTL : XE_R_TAKEN, "hop limit 0, 1, 2");
		fl = flow_out6;
		fl.src = "2001:db8:1:1::5";
		frame_udp6(&f, &fl, 20);
		frame_ip6(&f)->hop_limit = hops;
		expect(rig, PORT_IN0, &f, XE_R_SPOOFED, "the same, source of the next prefix");
		fl.src = "::1";
		frame_udp6(&f, &fl, 20);
		frame_ip6(&f)->hop_limit = hops;
		expect(rig, PORT_IN0, &f, XE_R_MARTIAN, "the same, loopback");
	}
	/* Neighbour discovery and DHCPv6 from a link-local source, on a port with IPv6 entries. */
	frame_udp6(&f, &(struct flow){"fe80::5", "ff02::1:2", 546, 547}, 60);
	expect(rig, PORT_IN0, &f, XE_R_DST_SPECIAL, "DHCPv6 solicit");
	frame_udp6(&f, &(struct flow){"fe80::5", "fe80::1", 546, 547}, 60);
	expect(rig, PORT_IN0, &f, XE_R_DST_SPECIAL, "link-local to link-local");
	close6(rig);
}

/* No allow entries there, no rules: only what is owned at an external address, or live. */
void ipv6_on_uplink(void **state)
{
	struct flow fl = {"2001:db8:2::1", "2001:db8:f::2", 443, 20001};
	struct rig *rig = *state;
	struct xe_live live = {.mask = rig->steer.settings.live_mask, .buckets = rig_live(rig, 0)};
	struct xe_addr ext;
	struct frame f;
	bool second;

	frame_udp6(&f, &fl, 20);
	expect(rig, PORT_UP0, &f, XE_R_NOT_OWNED, "UDP");
	rig_set_owned(rig, 0, true, fl.dport, true);
	expect(rig, PORT_UP0, &f, XE_R_NOT_OWNED, "owned at an IPv4 address");
	rig_set_owned(rig, 1, true, fl.dport, true);
	expect(rig, PORT_UP0, &f, XE_R_TAKEN, "owned");
	expect(rig, PORT_UP1, &f, XE_R_TAKEN, "owned, by the other uplink");
	frame_add_ext(&f, IPPROTO_HOPOPTS, 8);
	expect(rig, PORT_UP0, &f, XE_R_TAKEN, "with options");
	frame_udp6(&f, &fl, 20);
	frame_add_ext(&f, IPPROTO_FRAGMENT, 8);
	expect(rig, PORT_UP0, &f, XE_R_TAKEN, "fragment");
	frame_udp6(&f, &(struct flow){flow_out6.src, fl.dst, 443, fl.dport}, 20);
	frame_add_ext(&f, IPPROTO_FRAGMENT, 8);
	expect(rig, PORT_UP0, &f, XE_R_NOT_OWNED, "fragment that claims to be a container's");
	frame_udp6(&f, &(struct flow){fl.dst, fl.dst, 443, fl.dport}, 20);
	frame_add_ext(&f, IPPROTO_FRAGMENT, 8);
	expect(rig, PORT_UP0, &f, XE_R_NOT_OWNED, "fragment from its own receiver");
	frame_udp6(&f, &fl, 20);
	frame_ip6(&f)->payload_len = htons(29);
	expect(rig, PORT_UP0, &f, XE_R_NOT_OWNED, "payload length over the end");
	frame_tcp6(&f, &fl, TCP_ACK);
	expect(rig, PORT_UP0, &f, XE_R_NOT_OWNED, "TCP on UDP's L4 port");
	rig_set_owned(rig, 1, false, fl.dport, true);
	expect(rig, PORT_UP0, &f, XE_R_TAKEN, "TCP");
	fl.dst = "2001:db8:f::3";
	frame_udp6(&f, &fl, 20);
	expect(rig, PORT_UP0, &f, XE_R_NOT_OWNED, "an address that is not external");
	memcpy(&ext, &f.dst6, sizeof(ext));
	assert_int_equal(xe_steer_set_ext(&rig->steer, &ext, 1), 0);
	expect(rig, PORT_UP0, &f, XE_R_TAKEN, "and then is");
	xe_steer_del_ext(&rig->steer, &ext);
	expect(rig, PORT_UP0, &f, XE_R_NOT_OWNED, "and no more");
	fl.dst = flow_out6.src;
	frame_tcp6(&f, &fl, TCP_SYN | TCP_ACK);
	rig->steer.conf->any_accept = 1;
	expect(rig, PORT_UP0, &f, XE_R_NOT_OWNED, "inside address, straight from outside");
	assert_true(xe_live_add(&live, rig_hash(rig, PORT_UP0, &f), &second));
	expect(rig, PORT_UP0, &f, XE_R_TAKEN, "reply of an accepted flow");
}
