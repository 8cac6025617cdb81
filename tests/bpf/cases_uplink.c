/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* cases_uplink.c - an uplink takes only what a session owns; all else is the host's, untouched. */
#include "cases.h"

#include "state/live.h"

void owned_bits(void **state)
{
	static const uint16_t l4_ports[] = {0,     1,     22,    63,    64,   1024,
					    20001, 32767, 32768, 65472, 65535};
	struct rig *rig = *state;
	struct flow fl = flow_back;
	struct frame udp, tcp;
	char name[32];

	for (size_t i = 0; i < CNT(l4_ports); i++) {
		fl.dport = l4_ports[i];
		frame_udp4(&udp, &fl, 18);
		frame_tcp4(&tcp, &fl, TCP_ACK, 0);
		snprintf(name, sizeof(name), "L4 port %u", fl.dport);
		expect(rig, PORT_UP0, &udp, XE_R_NOT_OWNED, name);
		expect(rig, PORT_UP0, &tcp, XE_R_NOT_OWNED, name);
		rig_set_owned(rig, 0, true, fl.dport, true);
		expect(rig, PORT_UP0, &udp, XE_R_TAKEN, name);
		expect(rig, PORT_UP1, &udp, XE_R_TAKEN, "back on another uplink");
		expect(rig, PORT_UP0, &tcp, XE_R_NOT_OWNED, "owned for UDP only");
		rig_set_owned(rig, 0, false, fl.dport, true);
		rig_set_owned(rig, 0, true, fl.dport, false);
		expect(rig, PORT_UP0, &udp, XE_R_NOT_OWNED, "owned for TCP only");
		expect(rig, PORT_UP0, &tcp, XE_R_TAKEN, name);
		rig_set_owned(rig, 0, false, fl.dport ^ 1, true);
		rig_set_owned(rig, 0, false, fl.dport, false);
		expect(rig, PORT_UP0, &tcp, XE_R_NOT_OWNED, "only the neighbour is owned");
		rig_set_owned(rig, 0, false, fl.dport ^ 1, false);
	}
	/* All flags: the session table judges them. */
	rig_set_owned(rig, 0, false, flow_back.dport, true);
	for (unsigned int flags = 0; flags < 64; flags++) {
		frame_tcp4(&tcp, &flow_back, (uint8_t)flags, 0);
		snprintf(name, sizeof(name), "TCP flags 0x%02x", flags);
		expect(rig, PORT_UP0, &tcp, XE_R_TAKEN, name);
	}
}

void external_addresses(void **state)
{
	struct rig *rig = *state;
	struct xe_addr ext = xe_addr_v4(inet_addr("192.0.2.10"));
	struct flow fl = flow_back;
	struct frame f;

	/* 192.0.2.10 has the highest index there is. */
	fl.dst = "192.0.2.10";
	frame_udp4(&f, &fl, 18);
	rig_set_owned(rig, 0, true, fl.dport, true);
	expect(rig, PORT_UP0, &f, XE_R_NOT_OWNED, "owned at another external address");
	rig_set_owned(rig, XE_MAX_EXT_ADDRS - 1, true, fl.dport, true);
	expect(rig, PORT_UP0, &f, XE_R_TAKEN, "owned at this one");
	fl.dst = "192.0.2.11";
	frame_udp4(&f, &fl, 18);
	expect(rig, PORT_UP0, &f, XE_R_NOT_OWNED, "address that is not external");
	fl.dst = "10.1.0.5";
	frame_udp4(&f, &fl, 18);
	expect(rig, PORT_UP0, &f, XE_R_NOT_OWNED, "inside address, straight from outside");
	xe_steer_del_ext(&rig->steer, &ext);
	fl.dst = "192.0.2.10";
	frame_udp4(&f, &fl, 18);
	expect(rig, PORT_UP0, &f, XE_R_NOT_OWNED, "external address taken away");
	assert_int_equal(xe_steer_set_ext(&rig->steer, &ext, XE_MAX_EXT_ADDRS - 1), 0);
	expect(rig, PORT_UP0, &f, XE_R_TAKEN, "external address given again");
}

/* No allow list, no rules, no routes, no martian test but for L4 ports of ours: nothing of the
 * host's own traffic is dropped. */
void uplink_is_not_judged(void **state)
{
	static const char *const sources[] = {"0.0.0.0", "127.0.0.1", "224.0.0.1", "10.1.0.5",
					      "198.51.100.2"};
	struct rig *rig = *state;
	struct flow fl = {NULL, "198.51.100.2", 5000, 22};
	struct frame f;

	rig_rules(rig, "drop from 0.0.0.0/0 to 0.0.0.0/0");
	for (size_t i = 0; i < CNT(sources); i++) {
		fl.src = sources[i];
		frame_tcp4(&f, &fl, TCP_SYN, 0);
		expect(rig, PORT_UP0, &f, XE_R_NOT_OWNED, sources[i]);
	}
	rig_set_rules(rig, NULL, 0);
	rig_set_owned(rig, 0, true, flow_back.dport, true);
	frame_udp4(&f, &flow_back, 18);
	expect(rig, PORT_UP0, &f, XE_R_TAKEN, "owned, without any rule");
}

/* For an L4 port of ours no such source is anybody's. Whose the others are, the worker asks. */
void uplink_martians(void **state)
{
	static const char *const martians[] = {"0.0.0.0",         "0.1.2.3",     "127.0.0.1",
					       "127.9.9.9",       "224.0.0.1",   "240.0.0.1",
					       "255.255.255.255", "198.51.100.2"};
	static const char *const others[] = {"10.1.0.5",       "192.0.2.10", "198.18.0.1",
					     "126.0.0.1",      "128.0.0.1",  "1.0.0.0",
					     "223.255.255.255"};
	struct rig *rig = *state;
	struct flow fl = flow_back;
	struct frame f;

	for (int udp = 0; udp < 2; udp++)
		rig_set_owned(rig, 0, udp, flow_back.dport, true);
	for (size_t i = 0; i < CNT(martians); i++) {
		fl.src = martians[i];
		frame_udp4(&f, &fl, 18);
		expect(rig, PORT_UP0, &f, XE_R_MARTIAN, martians[i]);
		frame_tcp4(&f, &fl, TCP_SYN, 0);
		expect(rig, PORT_UP0, &f, XE_R_MARTIAN, martians[i]);
	}
	for (size_t i = 0; i < CNT(others); i++) {
		fl.src = others[i];
		frame_udp4(&f, &fl, 18);
		expect(rig, PORT_UP0, &f, XE_R_TAKEN, others[i]);
	}
	/* The kernel's own flow, by an L4 port that a session has, too. */
	fl.src = "169.254.169.254";
	frame_udp4(&f, &fl, 18);
	expect(rig, PORT_UP0, &f, XE_R_NOT_OWNED, "link-local");
}

void uplink_parse(void **state)
{
	struct rig *rig = *state;
	struct frame f;

	/* What the parser calls malformed goes to the host's stack, owned or not. */
	rig_set_owned(rig, 0, true, flow_back.dport, true);
	rig_set_owned(rig, 0, false, flow_back.dport, true);
	frame_udp4(&f, &flow_back, 18);
	frame_ip4(&f)->ihl = 4;
	expect(rig, PORT_UP0, &f, XE_R_NOT_OWNED, "header of 4 words");
	frame_udp4(&f, &flow_back, 18);
	frame_ip4(&f)->tot_len = htons(47);
	expect(rig, PORT_UP0, &f, XE_R_NOT_OWNED, "total length over the end");
	frame_tcp4(&f, &flow_back, TCP_ACK, 0);
	frame_tcp(&f)->doff = 4;
	expect(rig, PORT_UP0, &f, XE_R_NOT_OWNED, "TCP data offset below the header");
	frame_tcp(&f)->doff = 6;
	expect(rig, PORT_UP0, &f, XE_R_NOT_OWNED, "TCP data offset over the end");
	frame_udp4(&f, &flow_back, 18);
	frame_add_options(&f, 10);
	expect(rig, PORT_UP0, &f, XE_R_TAKEN, "with IP options");
	frame_udp4(&f, &flow_back, 2);
	frame_pad(&f, 60);
	expect(rig, PORT_UP0, &f, XE_R_TAKEN, "padded");
}

/* Replies to flows of `accept` rules carry the inside address: found by their live tag. */
void accept_replies(void **state)
{
	struct flow fl = {"198.18.0.1", "10.1.0.5", 443, 40000};
	struct rig *rig = *state;
	struct xe_live live = {.mask = rig->steer.settings.live_mask};
	struct frame f;
	bool second;

	frame_tcp4(&f, &fl, TCP_SYN | TCP_ACK, 0);
	for (uint32_t w = 0; w < rig->steer.settings.worker_cnt; w++) {
		live.buckets = rig_live(rig, w);
		assert_true(xe_live_add(&live, rig_hash(rig, PORT_UP0, &f), &second));
		rig->steer.conf->any_accept = 0;
		expect(rig, PORT_UP0, &f, XE_R_NOT_OWNED, "tag, but no accept rules");
		rig->steer.conf->any_accept = 1;
		expect(rig, PORT_UP0, &f, XE_R_TAKEN, "tag in a worker's region");
		expect(rig, PORT_UP1, &f, XE_R_TAKEN, "tag, by any uplink");
		xe_live_del(&live, rig_hash(rig, PORT_UP0, &f), second);
		expect(rig, PORT_UP0, &f, XE_R_NOT_OWNED, "tag removed");
	}
	/* As an inside port would name the same bytes: not this flow. */
	rig->conf[PORT_UP0].role = XE_ROLE_INSIDE;
	live.buckets = rig_live(rig, 0);
	assert_true(xe_live_add(&live, rig_hash(rig, PORT_UP0, &f), &second));
	rig->conf[PORT_UP0].role = XE_ROLE_UPLINK;
	expect(rig, PORT_UP0, &f, XE_R_NOT_OWNED, "tag of an inside port's flow");
}
