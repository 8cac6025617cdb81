/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* cases_ipv6.c - IPv6 is the kernel's in this version: never taken, never dropped but for a forged
 * source or lying lengths. */
#include "cases.h"

static void allow6(struct rig *rig, const char *prefix)
{
	rig->conf[PORT_IN0].flags |= XE_PF_ALLOW6;
	rig_put_port(rig, PORT_IN0);
	rig_allow(rig, PORT_IN0, prefix);
}

void ipv6_plain(void **state)
{
	struct rig *rig = *state;
	struct flow fl = flow_out6;
	struct frame f;

	frame_udp6(&f, &fl, 20);
	expect(rig, PORT_IN0, &f, XE_R_IPV6, "UDP, port without IPv6 entries");
	frame_tcp6(&f, &fl, TCP_SYN);
	expect(rig, PORT_IN0, &f, XE_R_IPV6, "TCP, port without IPv6 entries");
	allow6(rig, "2001:db8:1::/64");
	frame_udp6(&f, &fl, 20);
	expect(rig, PORT_IN0, &f, XE_R_IPV6, "UDP, source allowed");
	frame_tcp6(&f, &fl, TCP_ACK);
	expect(rig, PORT_IN0, &f, XE_R_IPV6, "TCP, source allowed");
	fl.src = "2001:db8:1:1::5";
	frame_udp6(&f, &fl, 20);
	expect(rig, PORT_IN0, &f, XE_R_SPOOFED, "source of the next prefix");
	fl.src = "::ffff:10.1.0.5";
	frame_tcp6(&f, &fl, TCP_SYN);
	expect(rig, PORT_IN1, &f, XE_R_IPV6, "IPv4-mapped source, port without IPv6 entries");
	rig_disallow(rig, PORT_IN0, "2001:db8:1::/64");
}

void ipv6_runts_and_lies(void **state)
{
	struct rig *rig = *state;
	struct frame whole, f;
	char name[64];

	frame_udp6(&whole, &flow_out6, 4); /* 66 bytes */
	for (uint32_t len = ETH_HLEN; len <= whole.len; len++) {
		f = whole;
		f.len = len;
		snprintf(name, sizeof(name), "UDP over IPv6 cut to %u bytes", len);
		expect(rig, PORT_IN0, &f, len < whole.len ? XE_R_MALFORMED : XE_R_IPV6, name);
		expect(rig, PORT_UP0, &f, len < whole.len ? XE_R_NOT_OWNED : XE_R_IPV6, name);
	}
	for (uint16_t payload_len = 0; payload_len <= 16; payload_len++) {
		f = whole;
		frame_ip6(&f)->payload_len = htons(payload_len);
		snprintf(name, sizeof(name), "payload length %u of 12", payload_len);
		expect(rig, PORT_IN0, &f,
		       payload_len < 8 || payload_len > 12 ? XE_R_MALFORMED : XE_R_IPV6, name);
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
}

void ipv6_extension_headers(void **state)
{
	static const struct {
		uint8_t type;
		int reason;
		const char *name;
	} c[] = {
		{IPPROTO_HOPOPTS, XE_R_IPV6, "hop-by-hop options"},
		{IPPROTO_ROUTING, XE_R_IPV6, "routing header"},
		{IPPROTO_DSTOPTS, XE_R_IPV6, "destination options"},
		{IPPROTO_FRAGMENT, XE_R_FRAGMENT, "fragment header"},
		{IPPROTO_AH, XE_R_NOT_TCP_UDP, "authentication header"},
		{IPPROTO_ESP, XE_R_NOT_TCP_UDP, "ESP"},
		{IPPROTO_NONE, XE_R_NOT_TCP_UDP, "no next header"},
		{IPPROTO_ICMPV6, XE_R_NOT_TCP_UDP, "ICMPv6"},
		{IPPROTO_MH, XE_R_NOT_TCP_UDP, "mobility header"},
	};
	struct rig *rig = *state;
	struct frame f;
	char name[64];

	for (size_t i = 0; i < CNT(c); i++)
		for (uint32_t hdr_len = 8; hdr_len <= 32; hdr_len += 8) {
			frame_tcp6(&f, &flow_out6, TCP_SYN);
			frame_add_ext(&f, c[i].type, hdr_len);
			expect(rig, PORT_IN0, &f, c[i].reason, c[i].name);
			frame_udp6(&f, &flow_out6, 0);
			frame_add_ext(&f, IPPROTO_DSTOPTS, 24);
			frame_add_ext(&f, c[i].type, hdr_len);
			expect(rig, PORT_IN0, &f, c[i].reason, c[i].name);
		}
	for (int n = 1; n <= 9; n++) {
		frame_udp6(&f, &flow_out6, 20);
		for (int i = 0; i < n; i++)
			frame_add_ext(&f, IPPROTO_DSTOPTS, 8);
		snprintf(name, sizeof(name), "chain of %d headers", n);
		expect(rig, PORT_IN0, &f, n <= 6 ? XE_R_IPV6 : XE_R_NOT_TCP_UDP, name);
	}
	/* The longest header there is: true lengths are not malformed, however odd. */
	frame_udp6(&f, &flow_out6, 20);
	frame_add_ext(&f, IPPROTO_DSTOPTS, 2048);
	expect(rig, PORT_IN0, &f, XE_R_NOT_TCP_UDP, "one header of 2048 bytes");
	frame_udp6(&f, &flow_out6, 20);
	frame_add_ext(&f, IPPROTO_DSTOPTS, 512);
	frame_add_ext(&f, IPPROTO_DSTOPTS, 512);
	expect(rig, PORT_IN0, &f, XE_R_NOT_TCP_UDP, "two headers of 512 bytes");
	frame_udp6(&f, &flow_out6, 20);
	frame_add_ext(&f, IPPROTO_DSTOPTS, 984);
	expect(rig, PORT_IN0, &f, XE_R_IPV6, "L4 header at byte 1024");
}

void ipv6_destinations(void **state)
{
	static const struct {
		const char *dst;
		int reason;
	} c[] = {
		{"ff02::1", XE_R_DST_SPECIAL},
		{"ff0e::1:3", XE_R_DST_SPECIAL},
		{"fe80::1", XE_R_DST_SPECIAL},
		{"febf::1", XE_R_DST_SPECIAL},
		{"::", XE_R_DST_SPECIAL},
		{"::1", XE_R_DST_SPECIAL},
		{"::192.0.2.1", XE_R_DST_SPECIAL},
		{"fec0::1", XE_R_IPV6},
		{"fe7f::1", XE_R_IPV6},
		{"fd00::1", XE_R_IPV6},
		{"::ffff:192.0.2.1", XE_R_IPV6},
		{"2001:db8::1", XE_R_IPV6},
	};
	struct rig *rig = *state;
	struct flow fl = flow_out6;
	struct frame f;

	for (size_t i = 0; i < CNT(c); i++) {
		fl.dst = c[i].dst;
		frame_udp6(&f, &fl, 20);
		expect(rig, PORT_IN0, &f, c[i].reason, c[i].dst);
		expect(rig, PORT_UP0, &f, c[i].reason, c[i].dst);
	}
	for (uint8_t hops = 0; hops <= 2; hops++) {
		frame_udp6(&f, &flow_out6, 20);
		frame_ip6(&f)->hop_limit = hops;
		expect(rig, PORT_IN0, &f, hops < 2 ? XE_R_TTL : XE_R_IPV6, "hop limit 0, 1, 2");
	}
	/* Neighbour discovery and DHCPv6 from a link-local source, on a port with IPv6 entries. */
	allow6(rig, "2001:db8:1::/64");
	frame_udp6(&f, &(struct flow){"fe80::5", "ff02::1:2", 546, 547}, 60);
	expect(rig, PORT_IN0, &f, XE_R_DST_SPECIAL, "DHCPv6 solicit");
	frame_udp6(&f, &(struct flow){"fe80::5", "fe80::1", 546, 547}, 60);
	expect(rig, PORT_IN0, &f, XE_R_DST_SPECIAL, "link-local to link-local");
	rig_disallow(rig, PORT_IN0, "2001:db8:1::/64");
}

void ipv6_on_uplink(void **state)
{
	struct rig *rig = *state;
	struct frame f;

	rig_set_owned(rig, 0, true, flow_out6.dport, true);
	frame_udp6(&f, &flow_out6, 20);
	expect(rig, PORT_UP0, &f, XE_R_IPV6, "UDP");
	frame_tcp6(&f, &flow_out6, TCP_ACK);
	expect(rig, PORT_UP0, &f, XE_R_IPV6, "TCP");
	frame_add_ext(&f, IPPROTO_FRAGMENT, 8);
	expect(rig, PORT_UP0, &f, XE_R_FRAGMENT, "fragment");
}
