/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_fallback.c - the safety net's text: golden, rule by rule, and properties over random
 * configurations; as root the kernel of a network namespace of our own judges the text as well.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "control/fallback.h"
#include "control/fallback_rules.h"

#define CNT(a) (sizeof(a) / sizeof((a)[0]))

/* Random configurations; each takes the kernel about 5 ms. */
#define ROUNDS 150

static const struct xe_fallback_range default_range = {1024, 32767};

/* ---- configurations ---- */

struct setup {
	struct xe_fallback_port ports[8];
	struct xe_prefix prefixes[8][6];
	struct xe_rule rules[8];
	uint64_t listen_tcp[XE_FALLBACK_WORDS], listen_udp[XE_FALLBACK_WORDS];
	struct xe_fallback_conf conf;
};

static void begin(struct setup *s)
{
	memset(s, 0, sizeof(*s));
	s->conf.ports = s->ports;
	s->conf.rules = s->rules;
	s->conf.nat_tcp = s->conf.nat_udp = &default_range;
	s->conf.nat_tcp_cnt = s->conf.nat_udp_cnt = 1;
	s->conf.listen_tcp = s->listen_tcp;
	s->conf.listen_udp = s->listen_udp;
}

static struct xe_fallback_port *add_port(struct setup *s, const char *name, enum xe_port_role role)
{
	struct xe_fallback_port *port = &s->ports[s->conf.port_cnt];

	port->prefixes = s->prefixes[s->conf.port_cnt++];
	port->role = role;
	snprintf(port->name, sizeof(port->name), "%s", name);
	return port;
}

static void add_prefix(struct setup *s, const char *text)
{
	struct xe_fallback_port *port = &s->ports[s->conf.port_cnt - 1];
	char err[256];

	assert_int_equal(xe_prefix_parse(text,
					 &s->prefixes[s->conf.port_cnt - 1][port->prefix_cnt++],
					 err, sizeof(err)),
			 0);
}

/* -ENOTSUP: the parser knows the rule, this version's workers don't carry it out. */
static void add_rule(struct setup *s, const char *text)
{
	char err[256];
	int ret = xe_rule_parse(text, &s->rules[s->conf.rule_cnt++], err, sizeof(err));

	if (ret && ret != -ENOTSUP)
		fail_msg("`%s`: %s", text, err);
}

static void listen_on(uint64_t *bits, unsigned int l4_port)
{
	bits[l4_port / 64] |= 1ULL << (l4_port % 64);
}

static char *text_of(const struct setup *s)
{
	char err[256] = "", *text;
	int ret = xe_fallback_rules("xegress", &s->conf, &text, err, sizeof(err));

	if (ret)
		fail_msg("%d: %s", ret, err);
	return text;
}

/* What stands between `KIND NAME {` and its end. The caller frees it. NULL: no such thing. */
static char *block(const char *text, const char *head)
{
	char line[64];
	const char *start, *end;

	snprintf(line, sizeof(line), "\t%s {\n", head);
	start = strstr(text, line);
	end = start ? strstr(start, "\n\t}\n") : NULL;
	if (!end)
		return NULL;
	start += strlen(line);
	return end < start ? strdup("") : strndup(start, (size_t)(end + 1 - start));
}

/* ---- golden ---- */

static const char golden[] =
	"table inet xegress {\n"
	"	counter leak_dropped { }\n"
	"	counter midflow_dropped { }\n"
	"	counter guard_dropped { }\n"
	"	counter inbound_dropped { }\n"
	"	counter spoof_dropped { }\n"
	"	counter rule_dropped { }\n"
	"\n"
	"	set uplinks {\n"
	"		type ifname\n"
	"		elements = { \"eth0\" }\n"
	"	}\n"
	"\n"
	"	set nat_tcp {\n"
	"		type inet_service\n"
	"		flags interval\n"
	"		elements = { 1024-32767 }\n"
	"	}\n"
	"\n"
	"	set nat_udp {\n"
	"		type inet_service\n"
	"		flags interval\n"
	"		elements = { 1024-32767 }\n"
	"	}\n"
	"\n"
	"	set listen_tcp {\n"
	"		type inet_service\n"
	"		elements = { 8080 }\n"
	"	}\n"
	"\n"
	"	set listen_udp {\n"
	"		type inet_service\n"
	"	}\n"
	"\n"
	"	set inside4 {\n"
	"		type ipv4_addr\n"
	"		flags interval\n"
	"		elements = { 10.1.0.0/16 }\n"
	"	}\n"
	"\n"
	"	set allowed4 {\n"
	"		type ifname . ipv4_addr\n"
	"		flags interval\n"
	"		elements = { \"va\" . 10.1.0.0/16 }\n"
	"	}\n"
	"\n"
	"	set checked4 {\n"
	"		type ifname . ipv4_addr\n"
	"		flags interval\n"
	"		elements = { \"va\" . 0.0.0.0/0 }\n"
	"	}\n"
	"\n"
	"	chain rules4 {\n"
	"	}\n"
	"\n"
	"	chain in4 {\n"
	"		ct state established,related return\n"
	"		ct status dnat return\n"
	"		counter name inbound_dropped drop\n"
	"	}\n"
	"\n"
	"	chain out4 {\n"
	"		ct state established,related return\n"
	"		jump rules4\n"
	"		meta l4proto tcp tcp flags & (fin|syn|rst|ack) != syn "
	"counter name midflow_dropped drop\n"
	"	}\n"
	"\n"
	"	chain nat4 {\n"
	"		oifname { \"eth0\" } ip saddr 10.1.0.0/16 meta l4proto tcp "
	"masquerade to :32768-65535\n"
	"		oifname { \"eth0\" } ip saddr 10.1.0.0/16 meta l4proto udp "
	"masquerade to :32768-65535\n"
	"		oifname { \"eth0\" } ip saddr 10.1.0.0/16 masquerade\n"
	"	}\n"
	"\n"
	"	chain rest4 {\n"
	"		meta l4proto tcp masquerade to :32768-65535\n"
	"		meta l4proto udp masquerade to :32768-65535\n"
	"		masquerade\n"
	"	}\n"
	"\n"
	"	chain leak4 {\n"
	"		ct state established,related ct direction reply return\n"
	"		fib saddr type local return\n"
	"		jump rules4\n"
	"		counter name leak_dropped drop\n"
	"	}\n"
	"\n"
	"	chain snat_rules {\n"
	"		type nat hook postrouting priority 90; policy accept;\n"
	"		oifname @uplinks iifname != @uplinks ip saddr 10.1.0.0/16 "
	"fib saddr type != local goto nat4\n"
	"	}\n"
	"\n"
	"	chain snat_rest {\n"
	"		type nat hook postrouting priority 110; policy accept;\n"
	"		oifname @uplinks iifname != @uplinks ip saddr 10.1.0.0/16 "
	"fib saddr type != local goto rest4\n"
	"		oifname @uplinks fib saddr type local meta nfproto ipv4 "
	"tcp sport 32768-65535 snat ip to ip saddr:32768-65535\n"
	"		oifname @uplinks fib saddr type local meta nfproto ipv4 "
	"udp sport 32768-65535 snat ip to ip saddr:32768-65535\n"
	"	}\n"
	"\n"
	"	chain forward {\n"
	"		type filter hook forward priority -10; policy accept;\n"
	"		iifname . ip saddr @checked4 "
	"iifname . ip saddr != @allowed4 counter name spoof_dropped drop\n"
	"		oifname @uplinks iifname != @uplinks ip saddr 10.1.0.0/16 jump out4\n"
	"		iifname @uplinks oifname != @uplinks ip daddr 10.1.0.0/16 jump in4\n"
	"	}\n"
	"\n"
	"	chain input {\n"
	"		type filter hook input priority -10; policy accept;\n"
	"		iifname . ip saddr @checked4 ip saddr != 0.0.0.0 ip saddr != "
	"169.254.0.0/16 "
	"iifname . ip saddr != @allowed4 counter name spoof_dropped drop\n"
	"		iifname != @uplinks accept\n"
	"		ct state established,related accept\n"
	"		meta nfproto ipv4 tcp dport @nat_tcp tcp dport != @listen_tcp "
	"counter name guard_dropped drop\n"
	"		meta nfproto ipv4 udp dport @nat_udp udp dport != @listen_udp "
	"counter name guard_dropped drop\n"
	"	}\n"
	"\n"
	"	chain leak {\n"
	"		type filter hook postrouting priority 300; policy accept;\n"
	"		oifname @uplinks ip saddr 10.1.0.0/16 jump leak4\n"
	"	}\n"
	"}\n";

static void test_golden(void **state)
{
	struct setup s;
	char *text;

	(void)state;
	begin(&s);
	add_port(&s, "va", XE_ROLE_INSIDE);
	add_prefix(&s, "10.1.0.0/16");
	add_port(&s, "eth0", XE_ROLE_UPLINK);
	add_rule(&s, "masquerade from 10.1.0.0/16 out eth0");
	listen_on(s.listen_tcp, 8080);
	listen_on(s.listen_tcp, 22);    /* below the range */
	listen_on(s.listen_udp, 32768); /* above it */
	text = text_of(&s);
	assert_string_equal(text, golden);
	free(text);
}

/* ---- rule by rule ---- */

/* The ports are va and vb (caught by v*, vb in the bridge br0) and the uplinks eth0 and eth1;
 * "chain: lines" in order, a chain that is not named is not looked at. */
static const struct {
	const char *rule;
	const char *rules, *in, *nat;
} lines[] = {
	{"kernel tcp to 0.0.0.0/0:25", "", "", "\t\tmeta l4proto tcp th dport 25 return\n"},
	{"drop udp from 10.1.0.0/16 to 192.0.2.128/25:100-200",
	 "\t\tip saddr 10.1.0.0/16 ip daddr 192.0.2.128/25 meta l4proto udp th dport 100-200 "
	 "counter name rule_dropped drop\n",
	 "\t\tip saddr 10.1.0.0/16 ip daddr 192.0.2.128/25 meta l4proto udp th dport 100-200 "
	 "counter name rule_dropped drop\n",
	 ""},
	{"accept from 10.1.0.0/16 to 198.51.100.7",
	 "\t\tip saddr 10.1.0.0/16 ip daddr 198.51.100.7 accept\n"
	 "\t\tip daddr 10.1.0.0/16 ip saddr 198.51.100.7 accept\n",
	 "\t\tip saddr 10.1.0.0/16 ip daddr 198.51.100.7 accept\n"
	 "\t\tip daddr 10.1.0.0/16 ip saddr 198.51.100.7 accept\n",
	 "\t\tip saddr 10.1.0.0/16 ip daddr 198.51.100.7 snat ip to ip saddr\n"
	 "\t\tip daddr 10.1.0.0/16 ip saddr 198.51.100.7 snat ip to ip saddr\n"},
	{"accept in v* out eth1 to 198.51.100.7:53",
	 "\t\tiifname { \"va\", \"br0\" } oifname { \"eth1\" } ip daddr 198.51.100.7 "
	 "meta l4proto { tcp, udp } th dport 53 accept\n"
	 "\t\tiifname { \"va\", \"br0\" } oifname { \"eth1\" } ip daddr 198.51.100.7 "
	 "meta l4proto icmp ct state related accept\n"
	 "\t\toifname { \"va\", \"br0\" } iifname { \"eth1\" } ip saddr 198.51.100.7 "
	 "meta l4proto { tcp, udp } th sport 53 accept\n"
	 "\t\toifname { \"va\", \"br0\" } iifname { \"eth1\" } ip saddr 198.51.100.7 "
	 "meta l4proto icmp ct state related accept\n",
	 NULL, NULL},
	{"masquerade in nosuch", "", "", ""},
	{"accept out nosuch", "", "", ""},
	{"accept from fd00::/8", "", "", ""},
	{"masquerade udp ports 40000-40999", "", "",
	 "\t\tmeta l4proto udp masquerade to :41000-65535\n"},
	{"masquerade to 192.0.2.0/24:443", "", "",
	 "\t\tip daddr 192.0.2.0/24 meta l4proto tcp th dport 443 masquerade to :32768-65535\n"
	 "\t\tip daddr 192.0.2.0/24 meta l4proto udp th dport 443 masquerade to :32768-65535\n"},
	{"snat tcp from 10.1.1.0/24 out eth0 source 192.0.2.10-192.0.2.12", "", "",
	 "\t\toifname { \"eth0\" } ip saddr 10.1.1.0/24 meta l4proto tcp "
	 "snat ip to 192.0.2.10-192.0.2.12:32768-65535 persistent\n"},
	{"snat source 192.0.2.10", "", "",
	 "\t\tmeta l4proto tcp snat ip to 192.0.2.10:32768-65535 persistent\n"
	 "\t\tmeta l4proto udp snat ip to 192.0.2.10:32768-65535 persistent\n"
	 "\t\tsnat ip to 192.0.2.10 persistent\n"},
	/* a pool in pieces: 1 + 2 + 4 addresses; each line is for what those before it left */
	{"snat udp from 10.1.1.0/24 source 192.0.2.10,198.51.100.8-198.51.100.9,203.0.113.4/30", "",
	 "",
	 "\t\tip saddr 10.1.1.0/24 meta l4proto udp jhash ip saddr mod 7 seed 0x1 < 1 "
	 "snat ip to 192.0.2.10:32768-65535 persistent\n"
	 "\t\tip saddr 10.1.1.0/24 meta l4proto udp jhash ip saddr mod 7 seed 0x1 < 3 "
	 "snat ip to 198.51.100.8-198.51.100.9:32768-65535 persistent\n"
	 "\t\tip saddr 10.1.1.0/24 meta l4proto udp "
	 "snat ip to 203.0.113.4-203.0.113.7:32768-65535 persistent\n"},
};

/* What is published: chains dnatN and publishedN. */
static const struct {
	const char *rule;
	char n;
	const char *dnat, *published;
} published[] = {
	{"dnat tcp to 192.0.2.1:8080 dest 10.1.0.2:80", '4',
	 "\t\tip daddr 192.0.2.1 meta l4proto tcp th dport 8080 dnat ip to 10.1.0.2:80\n",
	 "\t\tip daddr 192.0.2.1 meta l4proto tcp th dport 8080 "},
	{"dnat to 192.0.2.1:53 in eth0 dest 10.1.0.2", '4',
	 "\t\tiifname { \"eth0\" } ip daddr 192.0.2.1 meta l4proto tcp th dport 53 "
	 "dnat ip to 10.1.0.2\n"
	 "\t\tiifname { \"eth0\" } ip daddr 192.0.2.1 meta l4proto udp th dport 53 "
	 "dnat ip to 10.1.0.2\n",
	 "\t\tiifname { \"eth0\" } ip daddr 192.0.2.1 meta l4proto { tcp, udp } th dport 53 "},
	/* 1 + 3 * 2 shares; each line is for what those before it left */
	{"dnat udp to 192.0.2.1:53 dest 10.1.0.2:54,10.1.0.8-10.1.0.9*3", '4',
	 "\t\tip daddr 192.0.2.1 meta l4proto udp th dport 53 "
	 "jhash ip saddr . udp sport mod 7 seed 0x1 < 1 dnat ip to 10.1.0.2:54\n"
	 "\t\tip daddr 192.0.2.1 meta l4proto udp th dport 53 "
	 "dnat ip to 10.1.0.8-10.1.0.9 persistent\n",
	 NULL},
	{"dnat tcp to 192.0.2.1:80-82 dest 10.1.0.2:90-92", '4',
	 "\t\tip daddr 192.0.2.1 meta l4proto tcp th dport 80-82 "
	 "dnat ip to 10.1.0.2:tcp dport map { 80 : 90, 81 : 91, 82 : 92 }\n",
	 "\t\tip daddr 192.0.2.1 meta l4proto tcp th dport 80-82 "},
	{"dnat tcp to 192.0.2.1:80-82 dest 10.1.0.2:80-82", '4',
	 "\t\tip daddr 192.0.2.1 meta l4proto tcp th dport 80-82 dnat ip to 10.1.0.2\n", NULL},
	{"nat from 10.1.2.0/28 to 203.0.113.0/24 out eth0 source 192.0.2.16/28", '4',
	 "\t\tip saddr 203.0.113.0/24 ip daddr 192.0.2.16/28 "
	 "dnat ip prefix to ip daddr map { 192.0.2.16/28 : 10.1.2.0/28 }\n",
	 "\t\tip saddr 203.0.113.0/24 ip daddr 192.0.2.16/28 "},
	{"nat udp from 10.1.2.1 source 192.0.2.16", '4',
	 "\t\tip daddr 192.0.2.16 meta l4proto udp dnat ip to 10.1.2.1\n",
	 "\t\tip daddr 192.0.2.16 meta l4proto udp "},
	{"dnat tcp to [2001:db8::1]:80 dest [fd00:1::2]:8080,fd00:1::8-fd00:1::9", '6',
	 "\t\tip6 daddr 2001:db8::1 meta l4proto tcp th dport 80 "
	 "jhash ip6 saddr . tcp sport mod 3 seed 0x1 < 1 dnat ip6 to [fd00:1::2]:8080\n"
	 "\t\tip6 daddr 2001:db8::1 meta l4proto tcp th dport 80 "
	 "dnat ip6 to [fd00:1::8]-[fd00:1::9] persistent\n",
	 "\t\tip6 daddr 2001:db8::1 meta l4proto tcp th dport 80 "},
};

static void some_ports(struct setup *s)
{
	begin(s);
	strcpy(add_port(s, "va", XE_ROLE_INSIDE)->pattern, "v*");
	add_prefix(s, "10.1.0.0/16");
	strcpy(add_port(s, "vb", XE_ROLE_INSIDE)->pattern, "v*");
	strcpy(s->ports[1].l3, "br0");
	add_prefix(s, "10.1.0.0/16");
	add_prefix(s, "fd00:1::/64");
	add_port(s, "eth0", XE_ROLE_UPLINK);
	add_port(s, "eth1", XE_ROLE_UPLINK);
}

static void check_block(const char *rule, const char *text, const char *chain, const char *head,
			const char *want, const char *tail)
{
	char *got = block(text, chain);
	char *whole = NULL;

	if (!want) {
		free(got);
		return;
	}
	assert_non_null(got);
	assert_true(asprintf(&whole, "%s%s%s", head, want, tail) >= 0);
	if (strcmp(got, whole))
		fail_msg("`%s`: %s is\n%s, expected\n%s", rule, chain, got, whole);
	free(whole);
	free(got);
}

static void test_lines(void **state)
{
	struct setup s;
	char *text;

	(void)state;
	for (size_t i = 0; i < CNT(lines); i++) {
		some_ports(&s);
		add_rule(&s, lines[i].rule);
		text = text_of(&s);
		check_block(lines[i].rule, text, "chain rules4", "", lines[i].rules, "");
		check_block(lines[i].rule, text, "chain in4",
			    "\t\tct state established,related return\n"
			    "\t\tct status dnat return\n",
			    lines[i].in, "\t\tcounter name inbound_dropped drop\n");
		check_block(lines[i].rule, text, "chain nat4", "", lines[i].nat, "");
		/* The bridge's sources can't be told apart: only va's are checked. */
		check_block(lines[i].rule, text, "set checked4", "",
			    "\t\ttype ifname . ipv4_addr\n\t\tflags interval\n",
			    "\t\telements = { \"va\" . 0.0.0.0/0 }\n");
		free(text);
	}
}

static void test_published(void **state)
{
	char chain[32], *drop, *text;
	struct setup s;

	(void)state;
	for (size_t i = 0; i < CNT(published); i++) {
		some_ports(&s);
		add_rule(&s, published[i].rule);
		text = text_of(&s);
		snprintf(chain, sizeof(chain), "chain dnat%c", published[i].n);
		check_block(published[i].rule, text, chain,
			    "\t\tmeta l4proto != { tcp, udp } return\n"
			    "\t\tmeta l4proto tcp tcp flags & (fin|syn|rst|ack) != syn return\n",
			    published[i].dnat, "");
		snprintf(chain, sizeof(chain), "chain published%c", published[i].n);
		if (published[i].published) {
			assert_true(asprintf(&drop, "%scounter name guard_dropped drop\n",
					     published[i].published) >= 0);
			check_block(published[i].rule, text, chain,
				    "\t\tmeta l4proto != { tcp, udp } return\n", drop, "");
			free(drop);
		}
		check_block(published[i].rule, text, "set ports", "", "\t\ttype ifname\n",
			    "\t\telements = { \"va\",\n\t\t\t     \"br0\",\n"
			    "\t\t\t     \"eth0\",\n\t\t\t     \"eth1\" }\n");
		free(text);
	}
	/* among those that publish, `kernel` and `accept` in an uplink, the first match wins */
	some_ports(&s);
	add_rule(&s, "accept from 198.51.100.0/24 to 192.0.2.1 in eth0");
	add_rule(&s, "accept from 10.1.0.0/16 in va");
	add_rule(&s, "kernel udp to 192.0.2.1:53");
	add_rule(&s, "dnat udp to 192.0.2.1:53 dest 10.1.0.2");
	add_rule(&s, "kernel tcp to 192.0.2.1:22");
	text = text_of(&s);
	check_block("order", text, "chain published4", "\t\tmeta l4proto != { tcp, udp } return\n",
		    "\t\tiifname { \"eth0\" } ip saddr 198.51.100.0/24 ip daddr 192.0.2.1 return\n"
		    "\t\tip daddr 192.0.2.1 meta l4proto udp th dport 53 return\n"
		    "\t\tip daddr 192.0.2.1 meta l4proto udp th dport 53 "
		    "counter name guard_dropped drop\n",
		    "");
	free(text);
	/* and where nothing is published there are no such chains */
	some_ports(&s);
	add_rule(&s, "masquerade");
	text = text_of(&s);
	assert_null(strstr(text, "prerouting"));
	assert_null(strstr(text, "set ports"));
	free(text);
}

/* The set of all addresses that rules translate to: pieces that meet or hold each other are one. */
static void test_pool_set(void **state)
{
	struct setup s;
	char *text, *set;

	(void)state;
	some_ports(&s);
	add_rule(&s, "snat tcp source 203.0.113.4/30,192.0.2.10,198.51.100.8-198.51.100.9");
	add_rule(&s, "snat udp source 198.51.100.1-198.51.100.8,203.0.113.5");
	add_rule(&s, "nat from 10.1.0.0/28 source 192.0.2.0/28");
	add_rule(&s, "snat from fd00:1::/64 source 2001:db8::1,2001:db8:9::/127");
	text = text_of(&s);
	set = block(text, "set pool4");
	assert_string_equal(set, "\t\ttype ipv4_addr\n\t\tflags interval\n"
				 "\t\telements = { 192.0.2.0-192.0.2.15,\n"
				 "\t\t\t     198.51.100.1-198.51.100.9,\n"
				 "\t\t\t     203.0.113.4-203.0.113.7 }\n");
	free(set);
	set = block(text, "set pool6");
	assert_string_equal(set, "\t\ttype ipv6_addr\n\t\tflags interval\n"
				 "\t\telements = { 2001:db8::1,\n"
				 "\t\t\t     2001:db8:9::-2001:db8:9::1 }\n");
	free(set);
	assert_non_null(strstr(text, "meta l4proto udp jhash ip6 saddr mod 3 seed 0x1 < 1 snat ip6 "
				     "to [2001:db8::1]:32768-65535 persistent\n"));
	assert_non_null(strstr(text, "snat ip6 to [2001:db8:9::]-[2001:db8:9::1]:32768-65535 "
				     "persistent\n"));
	free(text);
}

/* First match wins: what stands before an accept or drop keeps its packets from it. */
static void test_order(void **state)
{
	struct setup s;
	char *text;

	(void)state;
	some_ports(&s);
	add_rule(&s, "kernel from 10.1.1.0/24");
	add_rule(&s, "masquerade from 10.1.2.0/24");
	add_rule(&s, "drop from 10.1.3.0/24");
	add_rule(&s, "masquerade");
	text = text_of(&s);
	check_block("order", text, "chain rules4", "",
		    "\t\tip saddr 10.1.1.0/24 return\n"
		    "\t\tip saddr 10.1.2.0/24 return\n"
		    "\t\tip saddr 10.1.3.0/24 counter name rule_dropped drop\n",
		    "");
	free(text);
}

/* ---- IPv6 ---- */

static void test_ipv6(void **state)
{
	struct setup s;
	char *text, *set;

	(void)state;
	some_ports(&s);
	add_rule(&s, "kernel from fd00:1::/64");
	add_rule(&s, "masquerade from 10.1.0.0/16");
	text = text_of(&s);
	assert_null(strstr(text, "ip6")); /* plain IPv6 is none of our business */
	free(text);
	add_rule(&s, "masquerade from fd00:1::/80 out eth0");
	add_rule(&s, "snat from fd00::/8 to 2001:db8::/32 source 2001:db8:1::1-2001:db8:1::9");
	text = text_of(&s);
	set = block(text, "set inside6");
	assert_string_equal(set, "\t\ttype ipv6_addr\n\t\tflags interval\n"
				 "\t\telements = { fd00:1::/64 }\n");
	free(set);
	assert_non_null(strstr(text, "ip6 saddr fd00:1::/80 meta l4proto tcp masquerade to "
				     ":32768-65535\n"));
	assert_non_null(strstr(text, "snat ip6 to [2001:db8:1::1]-[2001:db8:1::9]:32768-65535 "
				     "persistent\n"));
	assert_non_null(strstr(text, "meta nfproto ipv6 tcp dport @nat_tcp"));
	assert_null(strstr(text, "rest6"));
	free(text);
}

/* Each rule in each chain; a chain that is not named is not looked at. The ports as above. */
static const struct {
	const char *rule;
	const char *out, *in, *nat, *leak;
} lines6[] = {
	{"masquerade from fd00:1::/64 to 2001:db8::/32 out eth0",
	 "\t\toifname { \"eth0\" } ip6 saddr fd00:1::/64 ip6 daddr 2001:db8::/32 goto midflow6\n",
	 "\t\tiifname { \"eth0\" } ip6 daddr fd00:1::/64 ip6 saddr 2001:db8::/32 "
	 "counter name inbound_dropped drop\n",
	 NULL,
	 "\t\toifname { \"eth0\" } ip6 saddr fd00:1::/64 ip6 daddr 2001:db8::/32 "
	 "counter name leak_dropped drop\n"},
	{"masquerade tcp to [2001:db8::/32]:443 ports 40000-40999",
	 "\t\tip6 daddr 2001:db8::/32 meta l4proto tcp th dport 443 goto midflow6\n",
	 "\t\tip6 saddr 2001:db8::/32 counter name inbound_dropped drop\n",
	 "\t\tip6 daddr 2001:db8::/32 meta l4proto tcp th dport 443 masquerade to :41000-65535\n",
	 "\t\tip6 daddr 2001:db8::/32 meta l4proto tcp th dport 443 "
	 "counter name leak_dropped drop\n"
	 "\t\tip6 daddr 2001:db8::/32 meta l4proto ipv6-icmp icmpv6 type { "
	 "destination-unreachable, packet-too-big, time-exceeded, parameter-problem } "
	 "ct state != related counter name leak_dropped drop\n"},
	{"drop udp to [::/0]:53",
	 "\t\tmeta l4proto udp th dport 53 counter name rule_dropped drop\n",
	 "\t\tmeta l4proto udp th dport 53 counter name rule_dropped drop\n", "", ""},
	{"accept from fd00:1::/64 to 2001:db8:5::/48",
	 "\t\tip6 saddr fd00:1::/64 ip6 daddr 2001:db8:5::/48 accept\n"
	 "\t\tip6 daddr fd00:1::/64 ip6 saddr 2001:db8:5::/48 accept\n",
	 "\t\tip6 saddr fd00:1::/64 ip6 daddr 2001:db8:5::/48 accept\n"
	 "\t\tip6 daddr fd00:1::/64 ip6 saddr 2001:db8:5::/48 accept\n",
	 "\t\tip6 saddr fd00:1::/64 ip6 daddr 2001:db8:5::/48 snat ip6 to ip6 saddr\n"
	 "\t\tip6 daddr fd00:1::/64 ip6 saddr 2001:db8:5::/48 snat ip6 to ip6 saddr\n",
	 NULL},
	{"nat from fd00:1::/64 out eth0 source 2001:db8:1::/64",
	 "\t\toifname { \"eth0\" } ip6 saddr fd00:1::/64 goto midflow6\n",
	 "\t\tiifname { \"eth0\" } ip6 daddr fd00:1::/64 counter name inbound_dropped drop\n",
	 "\t\toifname { \"eth0\" } ip6 saddr fd00:1::/64 "
	 "snat ip6 prefix to ip6 saddr map { fd00:1::/64 : 2001:db8:1::/64 }\n",
	 "\t\tip6 saddr @pool6 return\n"
	 "\t\toifname { \"eth0\" } ip6 saddr fd00:1::/64 counter name leak_dropped drop\n"},
	{"masquerade out eth1", /* both families */
	 "\t\toifname { \"eth1\" } goto midflow6\n",
	 "\t\tiifname { \"eth1\" } counter name inbound_dropped drop\n", NULL,
	 "\t\toifname { \"eth1\" } counter name leak_dropped drop\n"},
	/* a kernel rule is heeded in order, but not for what its answers' L4 ports would let in */
	{"kernel tcp to [2001:db8::/32]:25",
	 "\t\tip6 daddr 2001:db8::/32 meta l4proto tcp th dport 25 return\n", "",
	 "\t\tip6 daddr 2001:db8::/32 meta l4proto tcp th dport 25 return\n",
	 "\t\tip6 daddr 2001:db8::/32 meta l4proto tcp th dport 25 return\n"},
	{"kernel to 2001:db8::/32", "\t\tip6 daddr 2001:db8::/32 return\n",
	 "\t\tip6 saddr 2001:db8::/32 return\n", "\t\tip6 daddr 2001:db8::/32 return\n",
	 "\t\tip6 daddr 2001:db8::/32 return\n"},
};

static void test_lines6(void **state)
{
	struct setup s;
	char *text;

	(void)state;
	for (size_t i = 0; i < CNT(lines6); i++) {
		const char *rule = lines6[i].rule;

		some_ports(&s);
		add_rule(&s, rule);
		if (!strncmp(rule, "kernel", 6))
			add_rule(&s, "masquerade from fd00:9::/64 out nosuch");
		text = text_of(&s);
		check_block(rule, text, "chain out6", "\t\tct state established,related return\n",
			    lines6[i].out, "");
		check_block(rule, text, "chain in6",
			    "\t\tct state established,related return\n"
			    "\t\tct status dnat return\n",
			    lines6[i].in, "");
		check_block(rule, text, "chain nat6", "", lines6[i].nat, "");
		check_block(rule, text, "chain leak6",
			    "\t\tct state established,related ct direction reply return\n"
			    "\t\tfib saddr type local return\n",
			    lines6[i].leak, "");
		free(text);
	}
}

/* The host answers its IPv6 L4 ports as ever, until flows are translated; then for good. */
static void test_guard6(void **state)
{
	static const char *const rules[] = {"drop from fd00:1::/64", "masquerade from fd00:1::/64",
					    "masquerade from 10.1.0.0/16"};
	static const bool guards[] = {false, true, false};
	struct setup s;
	char *text;

	(void)state;
	for (size_t i = 0; i < CNT(rules); i++) {
		some_ports(&s);
		add_rule(&s, rules[i]);
		assert_int_equal(xe_fallback_translates6(&s.conf), guards[i]);
		text = text_of(&s);
		assert_int_equal(!!strstr(text, "meta nfproto ipv6 tcp dport"), guards[i]);
		free(text);
	}
	s.conf.translated6 = true;
	assert_true(xe_fallback_translates6(&s.conf));
	text = text_of(&s);
	assert_non_null(strstr(text, "meta nfproto ipv6 udp dport @nat_udp"));
	free(text);
	/* No IPv6 source may come in: a rule for both families is about IPv4. */
	begin(&s);
	add_port(&s, "va", XE_ROLE_INSIDE);
	add_prefix(&s, "10.1.0.0/16");
	add_port(&s, "eth0", XE_ROLE_UPLINK);
	add_rule(&s, "masquerade out eth0");
	text = text_of(&s);
	assert_null(strstr(text, "ip6"));
	free(text);
}

/* ---- L4 ports ---- */

static const struct {
	struct xe_fallback_range nat[3];
	int ret;
	struct xe_fallback_range kernel;
} gaps[] = {
	{{{1024, 32767}}, 0, {32768, 65535}},
	{{{0, 0}}, 0, {1024, 65535}}, /* as good as no range at all */
	{{{20000, 29999}}, 0, {30000, 65535}},
	{{{1024, 32767}, {40000, 49999}}, 0, {50000, 65535}},
	{{{32768, 65535}}, 0, {1024, 32767}},
	{{{30000, 36559}}, 0, {36560, 65535}}, /* of two equal ones the higher */
	{{{30001, 36560}}, 0, {1024, 30000}},
	{{{1025, 65534}}, 0, {65535, 65535}},
	{{{512, 1023}, {1024, 65534}}, 0, {65535, 65535}},
	{{{1024, 65535}}, -ENOSPC, {0, 0}},
	{{{1, 65535}}, -ENOSPC, {0, 0}},
};

static void test_gaps(void **state)
{
	(void)state;
	for (size_t i = 0; i < CNT(gaps); i++) {
		struct xe_fallback_conf conf = {.nat_udp = gaps[i].nat, .nat_udp_cnt = 3};
		struct xe_fallback_range got = {0, 0};
		struct xe_fallback_nat nat;

		xe_fallback_nat_ports(&conf, &nat);
		assert_int_equal(xe_fallback_kernel_range(nat.udp, &got), gaps[i].ret);
		assert_int_equal(got.min, gaps[i].kernel.min);
		assert_int_equal(got.max, gaps[i].kernel.max);
		assert_int_equal(xe_fallback_kernel_range(nat.tcp, &got), 0);
	}
}

/* The host's new flows leave the workers' L4 ports where the range that they come from meets those,
 * and only there. */
static void test_local_range(void **state)
{
	static const struct {
		struct xe_fallback_range local;
		bool tcp, udp;
	} cases[] = {
		{{0, 0}, false, false},        {{32768, 39999}, false, false},
		{{1024, 65535}, true, true},   {{100, 1024}, true, true},
		{{40099, 50000}, true, false}, {{40100, 50000}, false, false},
	};
	char want[256], *text;
	struct setup s;

	(void)state;
	for (size_t i = 0; i < CNT(cases); i++) {
		some_ports(&s);
		add_rule(&s, "masquerade from 10.1.0.0/16");
		add_rule(&s, "masquerade tcp from 10.1.0.0/16 ports 40000-40099");
		s.conf.local = cases[i].local;
		text = text_of(&s);
		for (int udp = 0; udp < 2; udp++) {
			const char *proto = udp ? "udp" : "tcp";

			snprintf(want, sizeof(want),
				 "nfproto ipv4 %s sport %u-%u %s sport @nat_%s %s sport != "
				 "@listen_%s snat ip to ip saddr:",
				 proto, s.conf.local.min, s.conf.local.max, proto, proto, proto,
				 proto);
			assert_int_equal(!!strstr(text, want), udp ? cases[i].udp : cases[i].tcp);
		}
		free(text);
	}
}

/* A rule's own range is a NAT range too, for its protocols. */
static void test_rule_ranges(void **state)
{
	struct xe_fallback_nat nat;
	struct setup s;

	(void)state;
	begin(&s);
	add_rule(&s, "masquerade tcp ports 40000-40099");
	add_rule(&s, "snat source 192.0.2.1 ports 600-700");
	add_rule(&s, "kernel to 0.0.0.0/0:50000");
	xe_fallback_nat_ports(&s.conf, &nat);
	for (unsigned int p = 0; p < 65536; p++) {
		bool both = (p >= 1024 && p <= 32767) || (p >= 600 && p <= 700);

		assert_int_equal(xe_fallback_bit(nat.udp, p), both);
		assert_int_equal(xe_fallback_bit(nat.tcp, p), both || (p >= 40000 && p <= 40099));
	}
}

/* ---- names ---- */

static void test_table_names(void **state)
{
	static const char *const bad[] = {"",
					  "1x",
					  "a b",
					  "a;b",
					  "a\"b",
					  "x{",
					  "a-b",
					  "\xc3\xa9",
					  "a\n",
					  "x1234567890123456789012345678901234567890"
					  "123456789012345678901234567890"};
	struct setup s;
	char err[256], *text;

	(void)state;
	begin(&s);
	for (size_t i = 0; i < CNT(bad); i++) {
		err[0] = '\0';
		assert_int_equal(xe_fallback_rules(bad[i], &s.conf, &text, err, sizeof(err)),
				 -EINVAL);
		assert_null(text);
		assert_int_not_equal(err[0], '\0');
	}
	assert_int_equal(xe_fallback_rules("xegress_run_2", &s.conf, &text, err, sizeof(err)), 0);
	free(text);
}

static const struct {
	const char *name, *quoted; /* NULL: refused */
} names[] = {
	{"eth0", "\"eth0\""},
	{"eth0.100", "\"eth0.100\""},
	{"veth*", "\"veth\\*\""},
	{"*", "\"\\*\""},
	{"a*b", "\"a*b\""},
	{"a**", "\"a*\\*\""},
	{"$(reboot)", "\"$(reboot)\""},
	{"};drop", "\"};drop\""},
	{"#x", "\"#x\""},
	{"\xc3\xa9", "\"\xc3\xa9\""},
	{"x\"}", NULL},
	{"a\\", NULL},
	{"a\\*", NULL},
	{"a b", NULL},
	{"a\n", NULL},
	{"", NULL},
	{"a/b", NULL},
};

static void test_interface_names(void **state)
{
	struct setup s;
	char err[256], *text, *set, want[64];

	(void)state;
	for (size_t i = 0; i < CNT(names); i++) {
		begin(&s);
		add_port(&s, names[i].name, XE_ROLE_UPLINK);
		err[0] = '\0';
		if (!names[i].quoted) {
			assert_int_equal(xe_fallback_rules("t", &s.conf, &text, err, sizeof(err)),
					 -EINVAL);
			assert_int_not_equal(err[0], '\0');
			continue;
		}
		text = text_of(&s);
		set = block(text, "set uplinks");
		snprintf(want, sizeof(want), "\t\ttype ifname\n\t\telements = { %s }\n",
			 names[i].quoted);
		assert_string_equal(set, want);
		free(set);
		free(text);
	}
}

/* ---- random configurations ---- */

static unsigned int seed;

static unsigned int below(unsigned int n)
{
	return (unsigned int)rand_r(&seed) % n;
}

static void random_name(char *name)
{
	static const char letters[] = "ab*$#;{}'@.-~!%";
	unsigned int len = 1 + below(6);

	for (unsigned int i = 0; i < len; i++)
		name[i] = letters[below(sizeof(letters) - 1)];
	name[len] = '\0';
}

/* Few bits, so that prefixes meet and nest. */
static void random_prefix(char *text, size_t size)
{
	unsigned int len = 8 + below(25);
	uint32_t addr = (10u << 24 | below(4) << 16 | below(4) << 14 | below(4)) &
			(uint32_t)(~0ULL << (32 - len));

	snprintf(text, size, "%u.%u.%u.%u/%u", addr >> 24, addr >> 16 & 255, addr >> 8 & 255,
		 addr & 255, len);
}

/* The same for IPv6. */
static void random_prefix6(char *text, size_t size)
{
	static const char *const prefixes[] = {"::/0",           "fd00::/8",      "fd00:1::/64",
					       "fd00:1::/80",    "fd00:2::/48",   "fd00:2:0:1::/64",
					       "fd00:1::5/128",  "2001:db8::/32", "2001:db8:1::/48",
					       "2001:db8::7/128"};

	snprintf(text, size, "%s", prefixes[below(CNT(prefixes))]);
}

static void random_rule6(struct setup *s)
{
	static const char *const verbs[] = {"kernel", "drop", "accept", "masquerade", "snat"};
	static const char *const protos[] = {"", " tcp", " udp"};
	unsigned int verb = below(CNT(verbs));
	char text[256], from[64], to[64];

	random_prefix6(from, sizeof(from));
	random_prefix6(to, sizeof(to));
	snprintf(text, sizeof(text), "%s%s from %s", verbs[verb], protos[below(3)], from);
	if (below(2))
		snprintf(text + strlen(text), sizeof(text) - strlen(text), " to [%s]:80-90", to);
	if (verb == 4)
		snprintf(text + strlen(text), sizeof(text) - strlen(text),
			 " source 2001:db8:9::%u-2001:db8:9::1%u%s", 1 + below(9), below(10),
			 below(2) ? ",2001:db8:a::/125,2001:db8:9::99" : "");
	add_rule(s, text);
}

static void random_rule(struct setup *s)
{
	static const char *const verbs[] = {"kernel", "drop", "accept", "masquerade", "snat"};
	static const char *const protos[] = {"", " tcp", " udp"};
	unsigned int verb = below(CNT(verbs));
	char text[256], from[32], to[32];

	random_prefix(from, sizeof(from));
	random_prefix(to, sizeof(to));
	snprintf(text, sizeof(text), "%s%s from %s", verbs[verb], protos[below(3)], from);
	if (below(2))
		snprintf(text + strlen(text), sizeof(text) - strlen(text), " to %s%s", to,
			 below(2) ? ":80-90" : "");
	if (verb == 4)
		snprintf(text + strlen(text), sizeof(text) - strlen(text),
			 " source 192.0.2.%u-192.0.2.%u", 1 + below(9), 10 + below(9));
	if (verb == 4 && below(2))
		snprintf(text + strlen(text), sizeof(text) - strlen(text),
			 ",192.0.2.%u,198.51.100.%u/29", 20 + below(9), 8 * below(9));
	if (verb >= 3 && below(2))
		snprintf(text + strlen(text), sizeof(text) - strlen(text), " ports %u-%u",
			 1024 + below(9000), 20000 + below(40000));
	add_rule(s, text);
}

static void random_setup(struct setup *s)
{
	unsigned int cnt = 2 + below(5);
	char text[32], name[IFNAMSIZ];

	begin(s);
	for (unsigned int i = 0; i < cnt; i++) {
		random_name(name);
		name[strlen(name) - 1] = (char)('0' + i); /* the kernel has no two of one name */
		add_port(s, name, below(3) ? XE_ROLE_INSIDE : XE_ROLE_UPLINK);
		if (!below(5))
			random_name(s->ports[i].l3);
		for (unsigned int k = below(6); k; k--) {
			if (below(3))
				random_prefix(text, sizeof(text));
			else
				random_prefix6(text, sizeof(text));
			add_prefix(s, text);
		}
	}
	for (unsigned int i = below(7); i; i--) {
		if (below(3))
			random_rule(s);
		else
			random_rule6(s);
	}
	for (unsigned int i = below(20); i; i--) {
		listen_on(s->listen_tcp, below(65536));
		listen_on(s->listen_udp, below(65536));
	}
}

static bool inside(const struct setup *s, const struct xe_addr *addr)
{
	for (uint32_t i = 0; i < s->conf.port_cnt; i++)
		for (uint32_t k = 0; k < s->ports[i].prefix_cnt; k++)
			if (s->ports[i].role == XE_ROLE_INSIDE &&
			    xe_prefix_covers(&s->prefixes[i][k], addr))
				return true;
	return false;
}

/* The set holds the very addresses that the ports have, and no element overlaps another. */
static void check_inside(const struct setup *s, const char *text)
{
	struct xe_prefix got[64];
	char *set = block(text, "set inside4"), *save = NULL, err[128];
	char *p = strstr(set, "elements = { ");
	uint32_t cnt = 0;

	for (p = p ? strtok_r(p + 13, " ,\n\t}", &save) : NULL; p;
	     p = strtok_r(NULL, " ,\n\t}", &save))
		assert_int_equal(xe_prefix_parse(p, &got[cnt++], err, sizeof(err)), 0);
	for (uint32_t i = 0; i < cnt; i++)
		for (uint32_t k = 0; k < cnt; k++)
			assert_true(i == k || got[i].len > got[k].len ||
				    !xe_prefix_covers(&got[i], &got[k].addr));
	for (int i = 0; i < 200; i++) {
		struct xe_addr addr =
			xe_addr_v4(htonl(10u << 24 | below(4) << 16 | below(4) << 14 | below(6)));
		bool in = false;

		for (uint32_t k = 0; k < cnt; k++)
			in |= xe_prefix_covers(&got[k], &addr);
		assert_int_equal(in, inside(s, &addr));
	}
	free(set);
}

/* Whatever the kernel may hand out lies beside whatever the workers may. */
static void check_disjoint(const struct setup *s, const char *text)
{
	struct xe_fallback_nat nat;
	unsigned int min, max, seen = 0;

	xe_fallback_nat_ports(&s->conf, &nat);
	for (const char *p = text; (p = strstr(p, "meta l4proto ")); p++) {
		bool tcp = !strncmp(p + 13, "tcp", 3);
		const char *end = strchr(p, '\n');
		const char *colon = memchr(p, ':', (size_t)(end - p));

		if (!colon || sscanf(colon, ":%u-%u", &min, &max) != 2)
			continue;
		seen++;
		for (unsigned int l4_port = min; l4_port <= max; l4_port++)
			assert_false(xe_fallback_bit(tcp ? nat.tcp : nat.udp, l4_port));
	}
	assert_true(seen >= 2);
}

static void test_random_text(void **state)
{
	(void)state;
	for (seed = 1; seed < 20 * ROUNDS;) {
		struct setup s;
		unsigned int next = seed + 20;
		char err[256], *text;
		int ret;

		random_setup(&s);
		ret = xe_fallback_rules("xegress", &s.conf, &text, err, sizeof(err));
		if (ret) {
			assert_int_equal(ret, -ENOSPC);
		} else {
			check_inside(&s, text);
			check_disjoint(&s, text);
			free(text);
		}
		seed = next;
	}
}

/* ---- the kernel as judge ---- */

static bool own_namespace(void)
{
	return geteuid() == 0 && unshare(CLONE_NEWNET) == 0;
}

/* Each random table replaces the one before, whatever that was, and is whole. */
static void test_random_kernel(void **state)
{
	struct xe_fallback *fb;

	(void)state;
	if (!own_namespace())
		skip();
	assert_int_equal(xe_fallback_open("xegress", &fb), 0);
	assert_int_equal(xe_fallback_present(fb), 0);
	for (unsigned int round = 0; round < ROUNDS; round++) {
		struct setup s;
		char err[512] = "";
		int ret;

		seed = 1 + round;
		random_setup(&s);
		ret = xe_fallback_apply(fb, &s.conf, err, sizeof(err));
		if (ret == -ENOSPC)
			continue;
		if (ret)
			fail_msg("round %u: %d: %s", round, ret, err);
		assert_int_equal(xe_fallback_present(fb), 1);
		for (unsigned int i = below(30); i; i--) {
			s.listen_tcp[below(XE_FALLBACK_WORDS)] ^= 1ULL << below(64);
			s.listen_udp[below(XE_FALLBACK_WORDS)] ^= 1ULL << below(64);
		}
		assert_int_equal(xe_fallback_set_listeners(fb, s.listen_tcp, s.listen_udp), 0);
		assert_int_equal(xe_fallback_present(fb), 1);
	}
	assert_int_equal(xe_fallback_remove(fb), 0);
	assert_int_equal(xe_fallback_present(fb), 0);
	xe_fallback_close(fb);
}

/* The IPv6 part too, and names as the kernel keeps them: no wildcard has come of them. */
static void test_kernel_takes(void **state)
{
	struct xe_fallback_counters counters;
	struct xe_fallback *fb;
	struct setup s;
	char err[512] = "";

	(void)state;
	if (!own_namespace())
		skip();
	assert_int_equal(xe_fallback_open("xegress", &fb), 0);
	assert_int_equal(xe_fallback_set_listeners(fb, NULL, NULL), -ENOENT);
	assert_int_equal(xe_fallback_counters(fb, &counters), -ENOENT);
	some_ports(&s);
	add_rule(&s, "masquerade from fd00:1::/80 out eth0");
	add_rule(&s, "snat from fd00::/8 to 2001:db8::/32 source 2001:db8:1::1-2001:db8:1::9");
	add_rule(&s, "accept udp from fd00::/8 to [2001:db8:5::1]:53 out eth1");
	if (xe_fallback_apply(fb, &s.conf, err, sizeof(err)))
		fail_msg("%s", err);
	assert_int_equal(xe_fallback_counters(fb, &counters), 0);
	assert_int_equal(counters.leak_dropped, 0);
	some_ports(&s);
	add_rule(&s, "snat source 192.0.2.10,198.51.100.8-198.51.100.9,203.0.113.4/30");
	add_rule(&s, "snat from fd00::/8 source 2001:db8::1,2001:db8:9::/127 ports 2000-9999");
	if (xe_fallback_apply(fb, &s.conf, err, sizeof(err)))
		fail_msg("%s", err);
	some_ports(&s);
	for (size_t i = 0; i < CNT(published); i++)
		add_rule(&s, published[i].rule);
	if (xe_fallback_apply(fb, &s.conf, err, sizeof(err)))
		fail_msg("%s", err);
	assert_int_equal(xe_fallback_present(fb), 1);
	for (size_t i = 0; i < CNT(names); i++) {
		begin(&s);
		add_port(&s, names[i].name, XE_ROLE_INSIDE);
		add_prefix(&s, "10.1.0.0/16");
		add_port(&s, names[i].name, XE_ROLE_UPLINK);
		add_rule(&s, "masquerade");
		if (names[i].quoted && xe_fallback_apply(fb, &s.conf, err, sizeof(err)))
			fail_msg("%s: %s", names[i].name, err);
		assert_int_equal(xe_fallback_present(fb), 1);
	}
	xe_fallback_close(fb);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_golden),       cmocka_unit_test(test_lines),
		cmocka_unit_test(test_order),        cmocka_unit_test(test_ipv6),
		cmocka_unit_test(test_lines6),       cmocka_unit_test(test_guard6),
		cmocka_unit_test(test_gaps),         cmocka_unit_test(test_rule_ranges),
		cmocka_unit_test(test_table_names),  cmocka_unit_test(test_interface_names),
		cmocka_unit_test(test_random_text),  cmocka_unit_test(test_random_kernel),
		cmocka_unit_test(test_kernel_takes), cmocka_unit_test(test_published),
		cmocka_unit_test(test_pool_set),     cmocka_unit_test(test_local_range),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
