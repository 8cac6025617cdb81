/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* cases_icmp.c - ICMP errors: ours are those that quote a packet of a flow of ours, in either
 * direction; all others are the kernel's. */
#include "cases.h"

#include "state/live.h"

/* What went out and comes back quoted; what came in and the container complains of. */
static const struct flow sent_out = {"198.51.100.2", "198.18.0.1", 20001, 443};
static const struct flow came_in = {"198.18.0.1", "10.1.0.5", 443, 40000};
static const char router[] = "203.0.113.9";

static void quoted(struct frame *q, const struct flow *fl, bool tcp)
{
	if (tcp)
		frame_tcp4(q, fl, TCP_ACK, 10);
	else
		frame_udp4(q, fl, 18);
}

void icmp_errors_by_uplink(void **state)
{
	struct rig *rig = *state;
	struct frame q, f;
	char name[64];

	for (int tcp = 0; tcp < 2; tcp++) {
		quoted(&q, &sent_out, tcp);
		rig_set_owned(rig, 0, !tcp, sent_out.sport, true);
		for (unsigned int type = 0; type < 256; type++) {
			bool error = type == 3 || type == 11 || type == 12;

			snprintf(name, sizeof(name), "ICMP type %u", type);
			frame_error4(&f, router, sent_out.src, (uint8_t)type, &q, 0);
			expect(rig, PORT_UP0, &f, error ? XE_R_TAKEN : XE_R_NOT_TCP_UDP, name);
		}
		frame_error4(&f, router, sent_out.src, 11, &q, 0);
		expect(rig, PORT_UP1, &f, XE_R_TAKEN, "by the other uplink");
		frame_error4(&f, router, sent_out.src, 3, &q, 28);
		expect(rig, PORT_UP0, &f, XE_R_TAKEN, "8 bytes of the L4 header");
		frame_pad(&f, 80);
		expect(rig, PORT_UP0, &f, XE_R_TAKEN, "padded");
		frame_add_options(&f, 10);
		expect(rig, PORT_UP0, &f, XE_R_TAKEN, "behind IP options");
		frame_add_options(&q, 9);
		frame_error4(&f, router, sent_out.src, 12, &q, 0);
		expect(rig, PORT_UP0, &f, XE_R_TAKEN, "quoted IP options");
		frame_error4(&f, router, sent_out.src, 12, &q, 20 + 36 + 8);
		expect(rig, PORT_UP0, &f, XE_R_TAKEN, "quoted IP options, 8 bytes behind");
		frame_error4(&f, router, sent_out.src, 12, &q, 20 + 36 + 7);
		expect(rig, PORT_UP0, &f, XE_R_NOT_TCP_UDP, "quoted IP options, 7 bytes behind");
		rig_set_owned(rig, 0, !tcp, sent_out.sport, false);
	}
}

/* One thing wrong each: the kernel's. */
void icmp_errors_not_ours(void **state)
{
	struct flow fl = sent_out;
	struct rig *rig = *state;
	struct frame q, f;

	quoted(&q, &fl, false);
	frame_error4(&f, router, fl.src, 3, &q, 0);
	expect(rig, PORT_UP0, &f, XE_R_NOT_OWNED, "quoted L4 port is nobody's");
	rig_set_owned(rig, 0, true, fl.sport, true);
	expect(rig, PORT_UP0, &f, XE_R_TAKEN, "owned");
	frame_error4(&f, router, "192.0.2.10", 3, &q, 0);
	expect(rig, PORT_UP0, &f, XE_R_NOT_TCP_UDP, "not sent to whom it quotes");
	frame_error4(&f, "127.0.0.1", fl.src, 3, &q, 0);
	expect(rig, PORT_UP0, &f, XE_R_NOT_TCP_UDP, "from no host");
	frame_error4(&f, "224.0.0.5", fl.src, 3, &q, 0);
	expect(rig, PORT_UP0, &f, XE_R_NOT_TCP_UDP, "from a group");
	frame_error4(&f, router, fl.src, 3, &q, 27);
	expect(rig, PORT_UP0, &f, XE_R_NOT_TCP_UDP, "7 bytes of the L4 header");
	frame_error4(&f, router, fl.src, 3, &q, 19);
	expect(rig, PORT_UP0, &f, XE_R_NOT_TCP_UDP, "not a whole IP header");
	frame_error4(&f, router, fl.src, 3, &q, 0);
	frame_ip4(&f)->ttl = 1;
	expect(rig, PORT_UP0, &f, XE_R_TTL, "TTL 1");
	frame_error4(&f, router, fl.src, 3, &q, 0);
	frame_ip4(&f)->frag_off = htons(0x2000);
	expect(rig, PORT_UP0, &f, XE_R_NOT_TCP_UDP, "first fragment");
	frame_ip4(&f)->frag_off = htons(1);
	expect(rig, PORT_UP0, &f, XE_R_NOT_TCP_UDP, "later fragment");
	frame_ip4(&q)->frag_off = htons(0x2000);
	frame_error4(&f, router, fl.src, 3, &q, 0);
	expect(rig, PORT_UP0, &f, XE_R_TAKEN, "about a first fragment");
	frame_ip4(&q)->frag_off = htons(1);
	frame_error4(&f, router, fl.src, 3, &q, 0);
	expect(rig, PORT_UP0, &f, XE_R_NOT_TCP_UDP, "about a later fragment");
	quoted(&q, &fl, false);
	frame_ip4(&q)->protocol = IPPROTO_ICMP;
	frame_error4(&f, router, fl.src, 3, &q, 0);
	expect(rig, PORT_UP0, &f, XE_R_NOT_TCP_UDP, "about ICMP");
	frame_ip4(&q)->protocol = IPPROTO_UDP;
	frame_ip4(&q)->ihl = 4;
	frame_error4(&f, router, fl.src, 3, &q, 0);
	expect(rig, PORT_UP0, &f, XE_R_NOT_TCP_UDP, "quoted header of 16 bytes");
	frame_ip4(&q)->ihl = 15;
	frame_error4(&f, router, fl.src, 3, &q, 0);
	expect(rig, PORT_UP0, &f, XE_R_NOT_TCP_UDP, "quoted header longer than what is there");
	frame_ip4(&q)->ihl = 5;
	frame_ip4(&q)->version = 6;
	frame_error4(&f, router, fl.src, 3, &q, 0);
	expect(rig, PORT_UP0, &f, XE_R_NOT_TCP_UDP, "quoted version 6");
}

/* Nobody but a session can have sent from there. */
void icmp_errors_about_the_range(void **state)
{
	struct rig *rig = *state;
	struct flow fl = sent_out;
	struct frame q, f;

	for (int tcp = 0; tcp < 2; tcp++) {
		uint32_t word = xe_guarded_idx(!tcp, fl.sport);

		fl = sent_out;
		rig->steer.guarded[word] = 1ull << (fl.sport & 63);
		quoted(&q, &fl, tcp);
		frame_error4(&f, router, fl.src, 3, &q, 0);
		expect(rig, PORT_UP0, &f, XE_R_ICMP_NOT_OWNED, "L4 port of the range");
		rig_set_owned(rig, 0, !tcp, fl.sport, true);
		expect(rig, PORT_UP0, &f, XE_R_TAKEN, "owned");
		rig_set_owned(rig, 0, !tcp, fl.sport, false);
		quoted(&q, &fl, !tcp);
		frame_error4(&f, router, fl.src, 3, &q, 0);
		expect(rig, PORT_UP0, &f, XE_R_NOT_OWNED, "of the other protocol");
		fl.sport ^= 1;
		quoted(&q, &fl, tcp);
		frame_error4(&f, router, fl.src, 3, &q, 0);
		expect(rig, PORT_UP0, &f, XE_R_NOT_OWNED, "the one beside it");
		fl = sent_out;
		fl.src = "192.0.2.11";
		quoted(&q, &fl, tcp);
		frame_error4(&f, router, fl.src, 3, &q, 0);
		expect(rig, PORT_UP0, &f, XE_R_NOT_OWNED, "no external address");
		rig->steer.guarded[word] = 0;
	}
	/* packets there are left to the kernel's guard */
	rig->steer.guarded[xe_guarded_idx(1, flow_back.dport)] = ~0ull;
	frame_udp4(&f, &flow_back, 18);
	expect(rig, PORT_UP0, &f, XE_R_NOT_OWNED, "a packet");
}

/* ICMPv6 1 to 4 about flows of an external IPv6 address. */
void icmp_errors_v6(void **state)
{
	static const struct flow sent = {"2001:db8:f::2", "2001:db8:2::1", 20001, 443};
	struct rig *rig = *state;
	struct frame q, f;

	frame_udp6(&q, &sent, 20);
	frame_error6(&f, "2001:db8:9::9", sent.src, 1, &q, 0);
	expect(rig, PORT_UP0, &f, XE_R_NOT_OWNED, "nobody's");
	rig->steer.guarded[xe_guarded_idx(1, sent.sport)] = 1ull << (sent.sport & 63);
	expect(rig, PORT_UP0, &f, XE_R_ICMP_NOT_OWNED, "of the range");
	rig_set_owned(rig, 1, true, sent.sport, true);
	for (unsigned int type = 0; type < 256; type++) {
		char name[32];

		snprintf(name, sizeof(name), "ICMPv6 type %u", type);
		frame_error6(&f, "2001:db8:9::9", sent.src, (uint8_t)type, &q, 0);
		expect(rig, PORT_UP0, &f, type >= 1 && type <= 4 ? XE_R_TAKEN : XE_R_NOT_TCP_UDP,
		       name);
	}
	frame_error6(&f, "2001:db8:9::9", sent.src, 2, &q, 48);
	frame_add_ext(&f, IPPROTO_HOPOPTS, 16);
	expect(rig, PORT_UP0, &f, XE_R_TAKEN, "behind options, 8 bytes of the L4 header");
	frame_error6(&f, "2001:db8:9::9", sent.src, 2, &q, 47);
	expect(rig, PORT_UP0, &f, XE_R_NOT_TCP_UDP, "7 bytes of the L4 header");
	frame_error6(&f, "2001:db8:9::9", "2001:db8:f::3", 2, &q, 0);
	expect(rig, PORT_UP0, &f, XE_R_NOT_TCP_UDP, "not sent to whom it quotes");
	frame_error6(&f, "ff02::1", sent.src, 2, &q, 0);
	expect(rig, PORT_UP0, &f, XE_R_NOT_TCP_UDP, "from a group");
	frame_udp6(&q, &sent, 20);
	frame_ip6(&q)->nexthdr = IPPROTO_ICMPV6;
	frame_error6(&f, "2001:db8:9::9", sent.src, 2, &q, 0);
	expect(rig, PORT_UP0, &f, XE_R_NOT_TCP_UDP, "about ICMPv6");
}

/* About packets with extension headers, first fragments among them: as far as a packet's own. */
void icmp_errors_v6_ext(void **state)
{
	static const struct flow sent = {"2001:db8:f::2", "2001:db8:2::1", 20001, 443};
	static const uint8_t types[] = {IPPROTO_HOPOPTS, IPPROTO_DSTOPTS, IPPROTO_ROUTING};
	struct rig *rig = *state;
	struct frame q, f;

	rig_set_owned(rig, 1, true, sent.sport, true);
	for (unsigned int i = 0; i < sizeof(types); i++) {
		frame_udp6(&q, &sent, 20);
		frame_add_ext(&q, types[i], 24);
		frame_error6(&f, "2001:db8:9::9", sent.src, 2, &q, 0);
		expect(rig, PORT_UP0, &f, XE_R_TAKEN, "about a packet with a header");
		frame_error6(&f, "2001:db8:9::9", sent.src, 2, &q, 40 + 24 + 8);
		expect(rig, PORT_UP0, &f, XE_R_TAKEN, "and 8 bytes of its L4 header");
		frame_error6(&f, "2001:db8:9::9", sent.src, 2, &q, 40 + 24 + 7);
		expect(rig, PORT_UP0, &f, XE_R_NOT_TCP_UDP, "and 7");
		frame_error6(&f, "2001:db8:9::9", sent.src, 2, &q, 40 + 7);
		expect(rig, PORT_UP0, &f, XE_R_NOT_TCP_UDP, "cut within it");
	}
	q.b[ETH_HLEN + 40 + 3] = 1;
	frame_error6(&f, "2001:db8:9::9", sent.src, 2, &q, 0);
	expect(rig, PORT_UP0, &f, XE_R_NOT_TCP_UDP, "about a packet with segments left");
	frame_udp6(&q, &sent, 20);
	frame_add_ext(&q, IPPROTO_FRAGMENT, 8);
	q.b[ETH_HLEN + 40 + 3] = 1; /* more fragments */
	frame_error6(&f, "2001:db8:9::9", sent.src, 2, &q, 0);
	expect(rig, PORT_UP0, &f, XE_R_TAKEN, "about a first fragment");
	for (unsigned int off = 8; off < 0x10000; off *= 2) {
		q.b[ETH_HLEN + 40 + 2] = (uint8_t)(off >> 8);
		q.b[ETH_HLEN + 40 + 3] = (uint8_t)off;
		frame_error6(&f, "2001:db8:9::9", sent.src, 2, &q, 0);
		expect(rig, PORT_UP0, &f, XE_R_NOT_TCP_UDP, "about a later one");
	}
	frame_udp6(&q, &sent, 20);
	for (unsigned int i = 0; i < 6; i++)
		frame_add_ext(&q, IPPROTO_DSTOPTS, 8);
	frame_error6(&f, "2001:db8:9::9", sent.src, 2, &q, 0);
	expect(rig, PORT_UP0, &f, XE_R_TAKEN, "about a packet with six headers");
	frame_add_ext(&q, IPPROTO_DSTOPTS, 8);
	frame_error6(&f, "2001:db8:9::9", sent.src, 2, &q, 0);
	expect(rig, PORT_UP0, &f, XE_R_NOT_TCP_UDP, "with seven");
	/* a length that leads beyond the packet */
	frame_udp6(&q, &sent, 20);
	frame_add_ext(&q, IPPROTO_DSTOPTS, 8);
	q.b[ETH_HLEN + 40 + 1] = 255;
	frame_error6(&f, "2001:db8:9::9", sent.src, 2, &q, 0);
	expect(rig, PORT_UP0, &f, XE_R_NOT_TCP_UDP, "with a header that lies");
}

/* A container may complain of what a live flow brought it, in its own name. */
void icmp_errors_from_inside(void **state)
{
	struct rig *rig = *state;
	struct xe_live live = {.mask = rig->steer.settings.live_mask, .buckets = rig_live(rig, 0)};
	struct frame q, f;
	bool second;

	for (int tcp = 0; tcp < 2; tcp++) {
		quoted(&q, &came_in, tcp);
		frame_error4(&f, "10.1.0.5", came_in.src, 3, &q, 0);
		expect(rig, PORT_IN0, &f, XE_R_NOT_TCP_UDP, "about no flow of ours");
		assert_true(xe_live_add(&live, rig_hash(rig, PORT_IN0, &f), &second));
		expect(rig, PORT_IN0, &f, XE_R_TAKEN, "about a live flow");
		frame_error4(&f, "10.9.0.5", came_in.src, 3, &q, 0);
		expect(rig, PORT_IN0, &f, XE_R_SPOOFED, "by another's address");
		frame_error4(&f, "10.1.0.77", came_in.src, 11, &q, 0);
		expect(rig, PORT_IN0, &f, XE_R_TAKEN, "by a router behind the port");
		frame_error4(&f, "10.1.0.5", came_in.src, 5, &q, 0);
		expect(rig, PORT_IN0, &f, XE_R_NOT_TCP_UDP, "a redirect");
		frame_error4(&f, "10.1.0.5", came_in.src, 3, &q, 0);
		rig_rules(rig, "drop from 0.0.0.0/0 to 0.0.0.0/0");
		expect(rig, PORT_IN0, &f, XE_R_TAKEN, "rules are for new flows");
		rig->conf[PORT_IN0].flags &= (uint8_t)~XE_PF_ALLOW4;
		rig_put_port(rig, PORT_IN0);
		expect(rig, PORT_IN0, &f, XE_R_NOT_TCP_UDP, "no IPv4 on this port");
		rig->conf[PORT_IN0].flags |= XE_PF_ALLOW4;
		rig_put_port(rig, PORT_IN0);
		xe_live_del(&live, rig_hash(rig, PORT_IN0, &f), second);
		expect(rig, PORT_IN0, &f, XE_R_NOT_TCP_UDP, "the flow has ended");
	}
}
