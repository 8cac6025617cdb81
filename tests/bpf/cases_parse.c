/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* cases_parse.c - Ethernet, IPv4, TCP and UDP headers, true and lying, on an inside port. */
#include "cases.h"

#include <errno.h>

void taken_with_metadata(void **state)
{
	struct rig *rig = *state;
	struct frame f;

	frame_udp4(&f, &flow_out, 100);
	expect(rig, PORT_IN0, &f, XE_R_TAKEN, "UDP");
	frame_udp4(&f, &flow_out, 0);
	expect(rig, PORT_IN0, &f, XE_R_TAKEN, "UDP without payload");
	frame_udp4(&f, &flow_out, 1472);
	expect(rig, PORT_IN0, &f, XE_R_TAKEN, "UDP of a full MTU");
	frame_tcp4(&f, &flow_out, TCP_SYN, 0);
	expect(rig, PORT_IN0, &f, XE_R_TAKEN, "TCP SYN");
	frame_tcp4(&f, &(struct flow){"10.1.0.254", "203.0.113.1", 65535, 1}, TCP_SYN, 7);
	expect(rig, PORT_IN0, &f, XE_R_TAKEN, "TCP SYN with payload, other egress");
	frame_udp4(&f, &(struct flow){"10.1.0.5", "198.18.0.1", 0, 0}, 1);
	expect(rig, PORT_IN0, &f, XE_R_TAKEN, "UDP, L4 ports 0");
}

void not_ip(void **state)
{
	struct rig *rig = *state;
	struct frame f;

	for (uint32_t port = 0; port < PORT_CNT; port++) {
		frame_arp(&f);
		expect(rig, port, &f, XE_R_NOT_IP, "ARP broadcast");
		memcpy(frame_eth(&f)->h_dest, port_l2, 6);
		expect(rig, port, &f, XE_R_NOT_IP, "ARP unicast");
		frame_udp4(&f, &flow_out, 18);
		frame_add_vlan(&f, 100);
		expect(rig, port, &f, XE_R_NOT_IP, "802.1Q tag");
		frame_udp4(&f, &flow_out, 18);
		frame_eth(&f)->h_proto = htons(ETH_P_MPLS_UC);
		expect(rig, port, &f, XE_R_NOT_IP, "MPLS");
		frame_eth(&f)->h_proto = htons(46);
		expect(rig, port, &f, XE_R_NOT_IP, "802.3 length in place of a type");
	}
}

void ethernet_destination(void **state)
{
	static const uint8_t multicast[6] = {0x01, 0x00, 0x5e, 0, 0, 1};
	struct rig *rig = *state;
	struct frame f;

	for (uint32_t port = 0; port < PORT_CNT; port++) {
		for (int byte = 0; byte < 6; byte++) {
			frame_udp4(&f, &flow_out, 18);
			frame_eth(&f)->h_dest[byte] ^= 0x40;
			expect(rig, port, &f, XE_R_OTHER_L2, "one byte of the address differs");
		}
		frame_udp4(&f, &flow_out, 18);
		memset(frame_eth(&f)->h_dest, 0xff, 6);
		expect(rig, port, &f, XE_R_DST_SPECIAL, "L2 broadcast with IP unicast");
		memcpy(frame_eth(&f)->h_dest, multicast, 6);
		expect(rig, port, &f, XE_R_DST_SPECIAL, "L2 multicast with IP unicast");
	}
	/* Bridge member: the address asked for is the bridge's, whatever it is. */
	memset(rig->conf[PORT_IN0].l2_addr, 0x32, 6);
	rig_put_port(rig, PORT_IN0);
	frame_udp4(&f, &flow_out, 18);
	expect(rig, PORT_IN0, &f, XE_R_OTHER_L2, "the port's own address is not the bridge's");
	memset(frame_eth(&f)->h_dest, 0x32, 6);
	expect(rig, PORT_IN0, &f, XE_R_TAKEN, "the bridge's address");
}

/* Cut to len bytes. TEST_RUN refuses packets without a whole Ethernet header; where it lets them
 * pass behind metadata, they are tried that way. */
static void expect_cut(struct rig *rig, uint32_t port, const struct frame *whole, uint32_t len,
		       int reason, const char *name)
{
	struct frame f = *whole;
	struct run run;
	char text[64];

	snprintf(text, sizeof(text), "%s cut to %u bytes", name, len);
	f.len = len;
	run_init(rig, &run, port, &f);
	if (len < ETH_HLEN) {
		run.meta_len = 16;
		if (rig_run(rig, &run) == -EINVAL)
			return;
	}
	expect_run(rig, &run, reason, text);
}

void runts_of_every_length(void **state)
{
	static const char *const names[] = {"UDP", "TCP SYN", "TCP SYN after IP options"};
	struct rig *rig = *state;
	struct frame f[3];

	/* 60 and more bytes each, so that every length up to 60 is shorter than it says. */
	frame_udp4(&f[0], &flow_out, 19);
	frame_tcp4(&f[1], &flow_out, TCP_SYN, 7);
	frame_tcp4(&f[2], &flow_out, TCP_SYN, 0);
	frame_add_options(&f[2], 10);
	for (size_t i = 0; i < CNT(f); i++)
		for (uint32_t len = 1; len <= 60; len++) {
			int reason = len < ETH_HLEN ? XE_R_NOT_IP : XE_R_MALFORMED;

			expect_cut(rig, PORT_IN0, &f[i], len, reason, names[i]);
			expect_cut(rig, PORT_UP0, &f[i], len,
				   len < ETH_HLEN ? XE_R_NOT_IP : XE_R_NOT_OWNED, names[i]);
		}
}

void lying_ipv4_lengths(void **state)
{
	struct rig *rig = *state;
	struct frame f;
	char name[64];

	for (uint8_t ihl = 0; ihl < 16; ihl++) {
		frame_udp4(&f, &flow_out, 18);
		frame_ip4(&f)->ihl = ihl;
		/* A longer header is a true one, too: the L4 header is then what was payload. 46
		 * bytes of packet: ten words leave 6 bytes, too few for UDP. */
		f.l4_off = ETH_HLEN + ihl * 4u;
		f.tuple.sport_be = frame_udp(&f)->source;
		f.tuple.dport_be = frame_udp(&f)->dest;
		snprintf(name, sizeof(name), "header of %u words", ihl);
		expect(rig, PORT_IN0, &f, ihl < 5 || ihl > 9 ? XE_R_MALFORMED : XE_R_TAKEN, name);
	}
	for (uint32_t tot_len = 0; tot_len <= 60; tot_len++) {
		frame_udp4(&f, &flow_out, 18); /* 46 bytes of packet */
		frame_ip4(&f)->tot_len = htons((uint16_t)tot_len);
		snprintf(name, sizeof(name), "total length %u of 46", tot_len);
		expect(rig, PORT_IN0, &f,
		       tot_len < 28 || tot_len > 46 ? XE_R_MALFORMED : XE_R_TAKEN, name);
	}
	frame_udp4(&f, &flow_out, 18);
	frame_ip4(&f)->tot_len = htons(65535);
	expect(rig, PORT_IN0, &f, XE_R_MALFORMED, "total length 65535");
	for (uint8_t version = 0; version < 16; version++) {
		frame_udp4(&f, &flow_out, 18);
		frame_ip4(&f)->version = version;
		snprintf(name, sizeof(name), "version %u", version);
		expect(rig, PORT_IN0, &f, version == 4 ? XE_R_TAKEN : XE_R_MALFORMED, name);
	}
}

void lying_l4_lengths(void **state)
{
	struct rig *rig = *state;
	struct frame f;
	char name[64];

	for (uint8_t doff = 0; doff < 16; doff++) {
		frame_tcp4(&f, &flow_out, TCP_SYN, 12); /* 32 bytes of segment: eight words */
		frame_tcp(&f)->doff = doff & 15;
		snprintf(name, sizeof(name), "TCP data offset of %u words", doff);
		expect(rig, PORT_IN0, &f, doff < 5 || doff > 8 ? XE_R_MALFORMED : XE_R_TAKEN, name);
	}
	/* A TCP header that the IP packet ends in, in a frame that goes on (padding). */
	frame_tcp4(&f, &flow_out, TCP_SYN, 0);
	frame_ip4(&f)->tot_len = htons(39);
	expect(rig, PORT_IN0, &f, XE_R_MALFORMED, "IP packet ends in the TCP header");
	/* steer leaves the UDP length to the worker: in a superpacket it is that of a segment. What
	 * matters here is that no lie about it moves the verdict or the tuple. */
	static const uint16_t udp_lens[] = {0, 7, 8, 25, 27, 1400, 65535};

	for (size_t i = 0; i < CNT(udp_lens); i++) {
		frame_udp4(&f, &flow_out, 18);
		frame_udp(&f)->len = htons(udp_lens[i]);
		snprintf(name, sizeof(name), "UDP length %u of 26", udp_lens[i]);
		expect(rig, PORT_IN0, &f, XE_R_TAKEN, name);
	}
}

void ipv4_options_and_padding(void **state)
{
	struct rig *rig = *state;
	struct frame f;
	char name[64];

	for (uint32_t words = 1; words <= 10; words++) {
		snprintf(name, sizeof(name), "%u words of options", words);
		frame_udp4(&f, &flow_out, 18);
		frame_add_options(&f, words);
		expect(rig, PORT_IN0, &f, XE_R_TAKEN, name);
		frame_tcp4(&f, &flow_out, TCP_SYN, 0);
		frame_add_options(&f, words);
		expect(rig, PORT_IN0, &f, XE_R_TAKEN, name);
	}
	frame_udp4(&f, &flow_out, 1);
	frame_pad(&f, 60);
	expect(rig, PORT_IN0, &f, XE_R_TAKEN, "padded to 60 bytes");
}

void ipv4_protocols(void **state)
{
	struct rig *rig = *state;
	struct frame f;
	char name[64];

	for (uint32_t proto = 0; proto < 256; proto++) {
		if (proto == IPPROTO_TCP || proto == IPPROTO_UDP)
			continue;
		snprintf(name, sizeof(name), "protocol %u", proto);
		frame_proto4(&f, &flow_out, (uint8_t)proto);
		expect(rig, PORT_IN0, &f, XE_R_NOT_TCP_UDP, name);
		expect(rig, PORT_UP0, &f, XE_R_NOT_TCP_UDP, name);
	}
}

void ipv4_ttl(void **state)
{
	struct rig *rig = *state;
	struct frame f;
	char name[32];

	rig_set_owned(rig, 0, true, flow_back.dport, true);
	for (int ttl = 0; ttl < 256; ttl += ttl < 3 ? 1 : 63) {
		snprintf(name, sizeof(name), "TTL %d", ttl);
		frame_udp4(&f, &flow_out, 18);
		frame_ip4(&f)->ttl = (uint8_t)ttl;
		expect(rig, PORT_IN0, &f, ttl < 2 ? XE_R_TTL : XE_R_TAKEN, name);
		frame_udp4(&f, &flow_back, 18);
		frame_ip4(&f)->ttl = (uint8_t)ttl;
		expect(rig, PORT_UP0, &f, XE_R_TAKEN, "a flow's, for the worker to answer");
		rig_set_owned(rig, 0, true, flow_back.dport, false);
		expect(rig, PORT_UP0, &f, ttl < 2 ? XE_R_TTL : XE_R_NOT_OWNED, name);
		rig_set_owned(rig, 0, true, flow_back.dport, true);
	}
}

void ipv4_destinations(void **state)
{
	static const char *const special[] = {
		"0.0.0.0",         "0.255.255.255",   "127.0.0.1", "127.255.255.255",
		"169.254.0.0",     "169.254.169.254", "224.0.0.1", "224.0.0.251",
		"239.255.255.255", "240.0.0.1",       "254.1.2.3", "255.255.255.255",
	};
	/* The addresses beside those ranges are hosts. */
	static const char *const plain[] = {
		"1.0.0.0",         "126.255.255.255", "128.0.0.0",
		"169.253.255.255", "169.255.0.0",     "223.255.255.255",
	};
	struct rig *rig = *state;
	struct flow fl = flow_out;
	struct frame f;

	for (size_t i = 0; i < CNT(special); i++) {
		fl.dst = special[i];
		frame_udp4(&f, &fl, 18);
		expect(rig, PORT_IN0, &f, XE_R_DST_SPECIAL, special[i]);
		expect(rig, PORT_UP0, &f, XE_R_DST_SPECIAL, special[i]);
		/* Destination before everything else: ICMP, fragments, TTL 1 (IGMP, DHCP). */
		frame_ip4(&f)->ttl = 1;
		frame_ip4(&f)->frag_off = htons(0x2000);
		frame_ip4(&f)->protocol = IPPROTO_ICMP;
		expect(rig, PORT_IN0, &f, XE_R_DST_SPECIAL, special[i]);
	}
	for (size_t i = 0; i < CNT(plain); i++) {
		fl.dst = plain[i];
		frame_udp4(&f, &fl, 18);
		expect(rig, PORT_IN0, &f, XE_R_TAKEN, plain[i]);
	}
	/* Destination before source: DHCP stays with the kernel. */
	frame_udp4(&f, &(struct flow){"0.0.0.0", "255.255.255.255", 68, 67}, 240);
	expect(rig, PORT_IN0, &f, XE_R_DST_SPECIAL, "DHCP discover, unicast on L2");
	memset(frame_eth(&f)->h_dest, 0xff, 6);
	expect(rig, PORT_IN0, &f, XE_R_DST_SPECIAL, "DHCP discover");
}

void multi_buffer(void **state)
{
	struct rig *rig = *state;
	struct frame f;
	struct run run;

	frame_udp4(&f, &flow_out, 8192);
	expect(rig, PORT_IN0, &f, XE_R_TAKEN, "8 KiB in frags");
	frame_ip4(&f)->tot_len = htons((uint16_t)(f.len - ETH_HLEN + 1));
	expect(rig, PORT_IN0, &f, XE_R_MALFORMED, "8 KiB in frags, one byte less than it says");
	frame_tcp4(&f, &flow_out, TCP_SYN, 6000);
	expect(rig, PORT_IN0, &f, XE_R_TAKEN, "TCP in frags");
	/* Headers up to the first frag (kernel 6.18 lets a test say where it starts). */
	run_init(rig, &run, PORT_IN0, &f);
	run.linear_len = f.l4_off + sizeof(struct tcphdr);
	if (rig_run(rig, &run)) {
		print_message("multi_buffer: this kernel does not place the first frag\n");
		return;
	}
	expect_run(rig, &run, XE_R_TAKEN, "payload in frags only");
	/* steer reads headers before the first frag only; what it cannot read it never takes. */
	while (--run.linear_len >= ETH_HLEN)
		expect_run(rig, &run, XE_R_MALFORMED, "headers go on in a frag");
}
