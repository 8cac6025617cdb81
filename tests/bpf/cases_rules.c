/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* cases_rules.c - compiled rules in the program's maps: the same answer as the service's own. */
#include "cases.h"

static void udp_to(struct frame *f, const char *dst, uint16_t dport)
{
	struct flow fl = {"10.1.0.5", dst, 40000, dport};

	frame_udp4(f, &fl, 18);
}

void verbs(void **state)
{
	struct rig *rig = *state;
	struct frame f;

	udp_to(&f, "198.18.0.1", 53);
	rig_rules(rig, "masquerade from 10.1.0.0/16 out up0");
	expect(rig, PORT_IN0, &f, XE_R_TAKEN, "masquerade");
	rig_rules(rig, "snat from 10.1.0.0/16 out up0 source 192.0.2.10-192.0.2.12");
	expect(rig, PORT_IN0, &f, XE_R_TAKEN, "snat");
	rig_rules(rig, "accept from 10.1.0.0/16 to 198.18.0.0/15");
	expect(rig, PORT_IN0, &f, XE_R_TAKEN, "accept");
	rig_rules(rig, "kernel from 10.1.0.0/16");
	expect(rig, PORT_IN0, &f, XE_R_KERNEL_RULE, "kernel");
	rig_rules(rig, "drop from 10.1.0.0/16");
	expect(rig, PORT_IN0, &f, XE_R_DROP_RULE, "drop");
	rig_rules(rig, "drop from 10.1.1.0/24", "masquerade from 10.1.0.6/32 out up0");
	expect(rig, PORT_IN0, &f, XE_R_NO_RULE, "rules of other sources");
	rig_set_rules(rig, NULL, 0);
	expect(rig, PORT_IN0, &f, XE_R_NO_RULE, "no rules at all");
}

void out_masks(void **state)
{
	struct rig *rig = *state;
	struct frame f;

	rig_rules(rig, "masquerade from 10.1.0.0/16 out up*");
	udp_to(&f, "10.1.1.9", 53);
	expect(rig, PORT_IN0, &f, XE_R_NO_RULE, "masquerade is for uplinks, by name");
	rig_rules(rig, "masquerade from 10.1.0.0/16 to 0.0.0.0/0");
	expect(rig, PORT_IN0, &f, XE_R_NO_RULE, "masquerade is for uplinks, without a name");
	udp_to(&f, "198.18.0.1", 53);
	expect(rig, PORT_IN0, &f, XE_R_TAKEN, "to up0 without a name");
	udp_to(&f, "203.0.113.1", 53);
	expect(rig, PORT_IN0, &f, XE_R_TAKEN, "to up1 without a name");
	rig_rules(rig, "accept from 10.1.0.0/16 to 0.0.0.0/0");
	udp_to(&f, "10.1.1.9", 53);
	expect(rig, PORT_IN0, &f, XE_R_TAKEN, "accept to an inside port");
	rig_rules(rig, "accept from 10.1.0.0/16 to 0.0.0.0/0 out in1");
	expect(rig, PORT_IN0, &f, XE_R_TAKEN, "accept to an inside port by name");
	udp_to(&f, "198.18.0.1", 53);
	expect(rig, PORT_IN0, &f, XE_R_NO_RULE, "... and not to an uplink");
	rig_rules(rig, "accept from 10.1.0.0/16 to 0.0.0.0/0 out up0");
	expect(rig, PORT_IN0, &f, XE_R_TAKEN, "accept to an uplink by name");
	udp_to(&f, "10.1.1.9", 53);
	expect(rig, PORT_IN0, &f, XE_R_NO_RULE, "... and not to an inside port");
}

void in_and_out_names(void **state)
{
	struct rig *rig = *state;
	struct flow fl = {"10.1.1.5", "198.18.0.1", 40000, 53};
	struct frame f;

	assert_int_equal(xe_steer_set_socket(&rig->steer, PORT_IN1, 0, rig->xsk.fd), 0);
	rig_rules(rig, "masquerade from 10.1.0.0/16 in in0 out up0",
		  "kernel from 10.1.0.0/16 in in1 out up0", "drop from 10.1.0.0/16 in in* out up1");
	udp_to(&f, "198.18.0.1", 53);
	expect(rig, PORT_IN0, &f, XE_R_TAKEN, "in in0 out up0");
	udp_to(&f, "203.0.113.1", 53);
	expect(rig, PORT_IN0, &f, XE_R_DROP_RULE, "in in* out up1");
	frame_udp4(&f, &fl, 18);
	expect(rig, PORT_IN1, &f, XE_R_KERNEL_RULE, "in in1 out up0");
	fl.dst = "203.0.113.1";
	frame_udp4(&f, &fl, 18);
	expect(rig, PORT_IN1, &f, XE_R_DROP_RULE, "in in* out up1, the other port");
	rig_rules(rig, "drop from 10.1.0.0/16 in gone0",
		  "masquerade from 10.1.0.0/16 in in1 out up1");
	expect(rig, PORT_IN1, &f, XE_R_TAKEN, "a name that no port has now");
	udp_to(&f, "203.0.113.1", 53);
	expect(rig, PORT_IN0, &f, XE_R_NO_RULE, "in in1 does not match in0");
	xe_steer_del_socket(&rig->steer, PORT_IN1, 0);
}

void l4_port_ranges(void **state)
{
	static const uint16_t edges[] = {0,    1,    999,   1000,  1001,  1999, 2000,
					 2001, 4096, 32767, 32768, 65534, 65535};
	struct rig *rig = *state;
	struct frame f;
	char name[32];

	rig_rules(rig, "drop from 10.1.0.0/16 to 0.0.0.0/0:1000-2000",
		  "kernel from 10.1.0.0/16 to 0.0.0.0/0:1-65534",
		  "masquerade from 10.1.0.0/16 to 0.0.0.0/0 out up0");
	for (size_t i = 0; i < CNT(edges); i++) {
		uint16_t p = edges[i];

		udp_to(&f, "198.18.0.1", p);
		snprintf(name, sizeof(name), "L4 port %u", p);
		expect(rig, PORT_IN0, &f,
		       p >= 1000 && p <= 2000 ? XE_R_DROP_RULE
		       : p == 0 || p == 65535 ? XE_R_TAKEN
					      : XE_R_KERNEL_RULE,
		       name);
	}
	rig_rules(rig, "drop from 10.1.0.0/16 to 198.18.0.1/32:53");
	udp_to(&f, "198.18.0.1", 53);
	expect(rig, PORT_IN0, &f, XE_R_DROP_RULE, "one L4 port");
	udp_to(&f, "198.18.0.1", 54);
	expect(rig, PORT_IN0, &f, XE_R_NO_RULE, "the next one");
	/* 53 is 0x0035: a rule for 0x3500 must not match. */
	rig_rules(rig, "drop from 10.1.0.0/16 to 198.18.0.1/32:13568");
	udp_to(&f, "198.18.0.1", 53);
	expect(rig, PORT_IN0, &f, XE_R_NO_RULE, "byte order of L4 ports");
}

void protocols(void **state)
{
	struct rig *rig = *state;
	struct frame udp, tcp;

	frame_udp4(&udp, &flow_out, 18);
	frame_tcp4(&tcp, &flow_out, TCP_SYN, 0);
	rig_rules(rig, "drop udp from 10.1.0.0/16", "kernel tcp from 10.1.0.0/16");
	expect(rig, PORT_IN0, &udp, XE_R_DROP_RULE, "udp");
	expect(rig, PORT_IN0, &tcp, XE_R_KERNEL_RULE, "tcp");
	rig_rules(rig, "drop udp from 10.1.0.0/16");
	expect(rig, PORT_IN0, &tcp, XE_R_NO_RULE, "tcp under a udp rule");
	rig_rules(rig, "drop from 10.1.0.0/16");
	expect(rig, PORT_IN0, &udp, XE_R_DROP_RULE, "udp under a rule for both");
	expect(rig, PORT_IN0, &tcp, XE_R_DROP_RULE, "tcp under a rule for both");
	rig_rules(rig, "kernel", "drop from 10.1.0.0/16");
	expect(rig, PORT_IN0, &tcp, XE_R_KERNEL_RULE, "a rule for everything");
}

void first_match(void **state)
{
	struct rig *rig = *state;
	struct frame f;

	udp_to(&f, "198.18.0.1", 53);
	rig_rules(rig, "kernel from 10.1.0.0/16", "drop from 10.1.0.5/32 to 198.18.0.1/32:53");
	expect(rig, PORT_IN0, &f, XE_R_KERNEL_RULE, "wide before narrow");
	rig_rules(rig, "drop from 10.1.0.5/32 to 198.18.0.1/32:53", "kernel from 10.1.0.0/16");
	expect(rig, PORT_IN0, &f, XE_R_DROP_RULE, "narrow before wide");
	rig_rules(rig, "drop from 10.1.0.5/32", "kernel from 10.1.0.5/32");
	expect(rig, PORT_IN0, &f, XE_R_DROP_RULE, "the same twice");
	/* Tuples are /32, /16, /24 by best rule; the match in the first (rule 3) is beaten by the
	 * one in the second (rule 1), and the third (rule 2) must not win over it. */
	rig_rules(rig, "kernel from 10.1.0.9/32", "drop from 10.1.0.0/16",
		  "kernel from 10.1.0.0/24", "kernel from 10.1.0.5/32");
	expect(rig, PORT_IN0, &f, XE_R_DROP_RULE, "later tuple, earlier rule");
	/* Found in the first tuple as rule 2, the second tuple begins with rule 1 and has no match.
	 */
	rig_rules(rig, "drop from 10.1.0.9/32", "kernel from 10.2.0.0/16", "drop from 10.1.0.5/32",
		  "kernel from 10.1.0.0/16");
	expect(rig, PORT_IN0, &f, XE_R_DROP_RULE, "a tuple that could improve and does not");
}

void generations(void **state)
{
	struct rig *rig = *state;
	struct frame f;

	udp_to(&f, "198.18.0.1", 53);
	for (int i = 0; i < 5; i++) {
		rig_rules(rig, "drop from 10.1.0.0/16");
		expect(rig, PORT_IN0, &f, XE_R_DROP_RULE, "even and odd generations in turn");
		rig_rules(rig, "kernel from 10.1.0.0/16");
		expect(rig, PORT_IN0, &f, XE_R_KERNEL_RULE, "even and odd generations in turn");
	}
	/* A generation of the other parity with more tuples leaves nothing behind that would match.
	 */
	rig_rules(rig, "drop from 10.1.0.5/32", "drop from 10.1.0.0/24", "drop from 10.1.0.0/16");
	rig_rules(rig, "kernel from 10.1.0.0/16");
	expect(rig, PORT_IN0, &f, XE_R_KERNEL_RULE, "the set in force");
	rig->steer.conf->rules_gen--;
	expect(rig, PORT_IN0, &f, XE_R_NO_RULE, "entries of the set before are gone");
	rig->steer.conf->rules_gen++;
}

void many_tuples(void **state)
{
	static char texts[XE_MAX_TUPLES][64];
	const char *list[XE_MAX_TUPLES];
	struct rig *rig = *state;
	struct frame f;
	uint32_t n = 0;

	/* 25 x 25 pairs of prefix lengths, none of which matches 198.18.0.1:53 from 10.1.0.5. */
	for (uint32_t src = 8; src <= 32; src++)
		for (uint32_t dst = 8; dst <= 32 && n < XE_MAX_TUPLES; dst++)
			snprintf(texts[n++], sizeof(texts[0]),
				 "drop from 11.0.0.0/%u to 12.0.0.0/%u", src, dst);
	for (uint32_t i = 0; i < n; i++)
		list[i] = texts[i];
	udp_to(&f, "198.18.0.1", 53);
	rig_set_rules(rig, list, 64);
	assert_int_equal(rig->rules->tuple_cnt, 64);
	expect(rig, PORT_IN0, &f, XE_R_NO_RULE, "64 tuples, no match");
	list[63] = "kernel from 10.1.0.5/32 to 198.18.0.1/32:53";
	rig_set_rules(rig, list, 64);
	expect(rig, PORT_IN0, &f, XE_R_KERNEL_RULE, "64 tuples, match in the last");
	list[63] = texts[63];
	rig_set_rules(rig, list, XE_MAX_TUPLES);
	assert_int_equal(rig->rules->tuple_cnt, XE_MAX_TUPLES);
	expect(rig, PORT_IN0, &f, XE_R_NO_RULE, "as many tuples as there may be, no match");
	list[XE_MAX_TUPLES - 1] = "drop from 10.1.0.5/32 to 198.18.0.1/32:53";
	rig_set_rules(rig, list, XE_MAX_TUPLES);
	expect(rig, PORT_IN0, &f, XE_R_DROP_RULE,
	       "as many tuples as there may be, match in the last");
	list[0] = "kernel from 10.0.0.0/8";
	rig_set_rules(rig, list, XE_MAX_TUPLES);
	expect(rig, PORT_IN0, &f, XE_R_KERNEL_RULE,
	       "as many tuples as there may be, match in the first");
}

/* Small numbers, so that rules and packets meet often. */
static void random_rule(char *text, size_t size)
{
	static const char *const verbs[] = {"kernel", "drop", "accept", "masquerade"};
	static const char *const protos[] = {"", " tcp", " udp"};
	static const char *const froms[] = {"10.1.0.0/16", "10.1.0.4/30", "10.1.0.5/32",
					    "10.0.0.0/8"};
	static const char *const tos[] = {"0.0.0.0/0", "198.18.0.0/15", "198.18.0.1/32",
					  "203.0.113.0/24", "10.1.1.0/24"};
	static const char *const l4_ports[] = {"", ":53", ":50-60", ":1-53", ":54-65535", ":1000"};
	static const char *const ins[] = {"", " in in0", " in in1", " in in*"};
	static const char *const outs[] = {"", " out up0", " out up1", " out up*"};

	snprintf(text, size, "%s%s from %s to %s%s%s%s", verbs[rand() % 4], protos[rand() % 3],
		 froms[rand() % 4], tos[rand() % 5], l4_ports[rand() % 6], ins[rand() % 4],
		 outs[rand() % 4]);
}

static int reason_of(const struct rig *rig, const struct frame *f, uint16_t out)
{
	struct xe_addr src = xe_addr_v4(f->tuple.src_be), dst = xe_addr_v4(f->tuple.dst_be);
	int rule = xe_ruleset_lookup(rig->rules, &src, &dst, f->tuple.dport_be, f->tuple.proto,
				     PORT_IN0, out);

	if (rule < 0)
		return XE_R_NO_RULE;
	if (rig->rules->rules[rule].verb == XE_VERB_KERNEL)
		return XE_R_KERNEL_RULE;
	return rig->rules->rules[rule].verb == XE_VERB_DROP ? XE_R_DROP_RULE : XE_R_TAKEN;
}

void program_and_service_agree(void **state)
{
	static const struct {
		const char *addr;
		uint16_t out;
	} dsts[] = {{"198.18.0.1", PORT_UP0},
		    {"198.18.0.2", PORT_UP0},
		    {"203.0.113.9", PORT_UP1},
		    {"10.1.1.7", PORT_IN1 | XE_OUT_INSIDE}};
	static const char *const srcs[] = {"10.1.0.5", "10.1.0.6", "10.1.0.77"};
	static const uint16_t dports[] = {0, 52, 53, 54, 60, 61, 1000};
	struct rig *rig = *state;
	unsigned int seed = (unsigned int)time(NULL);
	char texts[24][128], name[32];
	const char *list[24];
	struct frame f;

	if (getenv("XE_SEED"))
		seed = (unsigned int)atoi(getenv("XE_SEED"));
	srand(seed);
	snprintf(name, sizeof(name), "XE_SEED=%u", seed);
	for (int round = 0; round < 40; round++) {
		for (size_t i = 0; i < CNT(list); i++) {
			random_rule(texts[i], sizeof(texts[i]));
			list[i] = texts[i];
		}
		rig_set_rules(rig, list, (uint32_t)(1 + round % CNT(list)));
		for (int i = 0; i < 40; i++) {
			size_t d = (size_t)rand() % CNT(dsts);
			struct flow fl = {srcs[rand() % 3], dsts[d].addr, 40000,
					  dports[rand() % 7]};

			if (rand() & 1)
				frame_udp4(&f, &fl, 18);
			else
				frame_tcp4(&f, &fl, TCP_SYN, 0);
			expect(rig, PORT_IN0, &f, reason_of(rig, &f, dsts[d].out), name);
		}
	}
}

/* ns of one run, the mean of many; the packet must be one that is passed. */
static uint32_t run_time_ns(const struct rig *rig, const struct frame *f)
{
	struct run run;

	run_init(rig, &run, PORT_IN0, f);
	run.repeat = 20000;
	assert_int_equal(rig_run(rig, &run), 0);
	return run.duration_ns;
}

void ten_thousand_rules(void **state)
{
	enum { RULES = 10000, TUPLES = 8 };
	char(*texts)[64] = calloc(RULES, sizeof(*texts));
	const char **list = calloc(RULES, sizeof(*list));
	struct rig *rig = *state;
	uint32_t few_ns;
	struct frame f;

	assert_true(texts && list);
	/* 8 prefix lengths; the packet matches the last rule only. */
	for (uint32_t i = 0; i < RULES; i++) {
		uint32_t len = 32 - i % TUPLES, addr = 0x0b000000u + (i << 8);

		snprintf(texts[i], sizeof(texts[0]), "drop to %u.%u.%u.0/%u", addr >> 24,
			 addr >> 16 & 255, addr >> 8 & 255, len < 24 ? 24 : len);
		list[i] = texts[i];
	}
	udp_to(&f, "198.18.0.1", 53);
	strcpy(texts[9], "kernel from 10.1.0.0/16");
	rig_set_rules(rig, list, 10);
	expect(rig, PORT_IN0, &f, XE_R_KERNEL_RULE, "10 rules, match in the last");
	few_ns = run_time_ns(rig, &f);
	strcpy(texts[9], "drop to 12.0.0.0/31");
	strcpy(texts[RULES - 1], "kernel from 10.1.0.0/16");
	rig_set_rules(rig, list, RULES);
	expect(rig, PORT_IN0, &f, XE_R_KERNEL_RULE, "10000 rules, match in the last");
	print_message("one run, a match in the last rule: %u ns of 10 rules, %u ns of %u rules "
		      "(%u tuples)\n",
		      few_ns, run_time_ns(rig, &f), rig->rules->entry_cnt, rig->rules->tuple_cnt);
	udp_to(&f, "11.0.10.0", 53);
	expect(rig, PORT_IN0, &f, XE_R_DROP_RULE, "one in the middle");
	free(texts);
	free(list);
}
