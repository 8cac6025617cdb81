/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* cases_fragment.c - IP fragments: taken wherever their datagram could be a flow's of ours, without
 * a look at L4 ports, which most of them have not. */
#include "cases.h"

static const struct {
	uint16_t frag_off;
	const char *name;
} kinds[] = {
	{0x2000, "first fragment"},
	{0x6000, "first fragment with DF"},
	{0x2001, "middle fragment, offset 8"},
	{0x0001, "last fragment, offset 8"},
	{0x1fff, "last fragment, highest offset"},
	{0x0100, "offset in the high byte"},
};

static void fragment(struct frame *f, const struct flow *fl, uint16_t frag_off)
{
	frame_udp4(f, fl, 18);
	frame_ip4(f)->frag_off = htons(frag_off);
}

void fragments_inside(void **state)
{
	struct rig *rig = *state;
	struct flow fl = flow_out;
	struct frame f;

	for (size_t i = 0; i < CNT(kinds); i++) {
		fragment(&f, &flow_out, kinds[i].frag_off);
		expect(rig, PORT_IN0, &f, XE_R_TAKEN, kinds[i].name);
		/* The worker finds out what rule there is for it. */
		rig_rules(rig, "kernel from 0.0.0.0/0 to 0.0.0.0/0");
		expect(rig, PORT_IN0, &f, XE_R_TAKEN, "under a kernel rule");
		rig_set_rules(rig, NULL, 0);
		expect(rig, PORT_IN0, &f, XE_R_NO_RULE, "without any rule");
		rig_rules(rig, "masquerade from 10.1.0.0/16 out up*");
		/* Of TCP no flag is looked at. */
		frame_ip4(&f)->protocol = IPPROTO_TCP;
		expect(rig, PORT_IN0, &f, XE_R_TAKEN, "TCP");
		frame_ip4(&f)->protocol = IPPROTO_ICMP;
		expect(rig, PORT_IN0, &f, XE_R_NOT_TCP_UDP, "ICMP");
	}
	frame_udp4(&f, &flow_out, 18);
	frame_ip4(&f)->frag_off = htons(0x8000);
	expect(rig, PORT_IN0, &f, XE_R_TAKEN, "reserved bit alone: no fragment");
	/* 8 bytes of a later fragment are no L4 header, and not too short for one. */
	frame_proto4(&f, &flow_out, IPPROTO_TCP);
	frame_ip4(&f)->frag_off = htons(0x0010);
	expect(rig, PORT_IN0, &f, XE_R_TAKEN, "8 bytes of a TCP fragment");
	frame_udp4(&f, &flow_out, 18);
	frame_add_options(&f, 3);
	frame_ip4(&f)->frag_off = htons(0x0010);
	expect(rig, PORT_IN0, &f, XE_R_TAKEN, "with IP options");
	/* All that is asked of any packet before its L4 ports. */
	fragment(&f, &flow_out, 0x2000);
	frame_ip4(&f)->ttl = 1;
	expect(rig, PORT_IN0, &f, XE_R_TTL, "TTL 1");
	fl.src = "10.2.0.5";
	fragment(&f, &fl, 0x0010);
	expect(rig, PORT_IN0, &f, XE_R_SPOOFED, "source of the other port");
	fl.src = fl.dst;
	fragment(&f, &fl, 0x0010);
	expect(rig, PORT_IN0, &f, XE_R_MARTIAN, "LAND");
	fl = flow_out;
	fl.dst = "10.1.0.1";
	fragment(&f, &fl, 0x0010);
	expect(rig, PORT_IN0, &f, XE_R_DST_LOCAL, "to the host");
	fl.dst = "127.0.0.1";
	fragment(&f, &fl, 0x0010);
	expect(rig, PORT_IN0, &f, XE_R_DST_SPECIAL, "loopback");
	fragment(&f, &flow_out, 0x0010);
	frame_ip4(&f)->tot_len = htons(2000);
	expect(rig, PORT_IN0, &f, XE_R_MALFORMED, "longer than the frame");
}

void fragments_uplink(void **state)
{
	struct rig *rig = *state;
	struct flow fl = flow_back;
	struct frame f;

	rig_set_rules(rig, NULL, 0); /* rules have no say in it */
	for (size_t i = 0; i < CNT(kinds); i++) {
		fragment(&f, &flow_back, kinds[i].frag_off);
		expect(rig, PORT_UP0, &f, XE_R_TAKEN, kinds[i].name);
		expect(rig, PORT_UP1, &f, XE_R_TAKEN, kinds[i].name);
		frame_ip4(&f)->protocol = IPPROTO_ICMP;
		expect(rig, PORT_UP0, &f, XE_R_NOT_TCP_UDP, "ICMP");
	}
	fl.dst = "192.0.2.11";
	fragment(&f, &fl, 0x2000);
	expect(rig, PORT_UP0, &f, XE_R_NOT_OWNED, "to an address that is not external");
	fl.dst = "10.1.0.5";
	fragment(&f, &fl, 0x2000);
	expect(rig, PORT_UP0, &f, XE_R_NOT_OWNED, "to a container, straight from outside");
	/* What goes to the host by the punt device has passed no reverse path filter. */
	fl = flow_back;
	fl.src = "10.1.0.6";
	fragment(&f, &fl, 0x2000);
	expect(rig, PORT_UP0, &f, XE_R_NOT_OWNED, "claims to be a container");
	fl.src = "127.0.0.1";
	fragment(&f, &fl, 0x2000);
	expect(rig, PORT_UP0, &f, XE_R_NOT_OWNED, "claims to be loopback");
	fl.src = fl.dst;
	fragment(&f, &fl, 0x2000);
	expect(rig, PORT_UP0, &f, XE_R_NOT_OWNED, "claims to be its receiver");
	fragment(&f, &flow_back, 0x2000);
	frame_ip4(&f)->ttl = 1;
	expect(rig, PORT_UP0, &f, XE_R_TTL, "TTL 1");
	fragment(&f, &flow_back, 0x2000);
	frame_ip4(&f)->tot_len = htons(2000);
	expect(rig, PORT_UP0, &f, XE_R_NOT_OWNED, "longer than the frame");
}

/* Replies of untranslated flows: to a host behind an inside port. */
void fragments_of_accepted(void **state)
{
	struct rig *rig = *state;
	struct flow fl = {"198.18.0.1", "10.1.0.5", 443, 40000};
	struct frame f;

	fragment(&f, &fl, 0x0010);
	expect(rig, PORT_UP0, &f, XE_R_NOT_OWNED, "no accept rule");
	rig->steer.conf->any_accept = 1;
	expect(rig, PORT_UP0, &f, XE_R_TAKEN, "to a container");
	fl.dst = "198.18.0.2";
	fragment(&f, &fl, 0x0010);
	expect(rig, PORT_UP0, &f, XE_R_NOT_OWNED, "routed out again");
	fl.dst = "10.1.0.1";
	fragment(&f, &fl, 0x0010);
	expect(rig, PORT_UP0, &f, XE_R_NOT_OWNED, "to the host");
	/* Whoever is routed behind an inside port does not come in by an uplink. */
	fl = (struct flow){"10.1.0.6", "10.1.0.5", 443, 40000};
	fragment(&f, &fl, 0x0010);
	expect(rig, PORT_UP0, &f, XE_R_NOT_OWNED, "claims to be another container");
	rig->steer.conf->any_accept = 0;
}

void fragments_without_punt(void **state)
{
	struct rig *rig = *state;
	struct frame f;

	rig->steer.conf->take_fragments = 0;
	fragment(&f, &flow_out, 0x2000);
	expect(rig, PORT_IN0, &f, XE_R_FRAGMENT, "from inside");
	fragment(&f, &flow_back, 0x2000);
	expect(rig, PORT_UP0, &f, XE_R_FRAGMENT, "from outside");
	rig->steer.conf->take_fragments = 1;
}
