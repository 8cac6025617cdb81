/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_rule.c - rule text: what is accepted and how it prints, what is refused and with which
 * words.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "state/rule.h"

#define CNT(a) (sizeof(a) / sizeof((a)[0]))

/* Parsed, and carried out or refused as "not yet" for a list of words that gets shorter:
 * test_later() has what each of them says. */
#define MAYBE 1

static struct xe_rule must_parse(const char *text, int want)
{
	struct xe_rule rule;
	char err[512] = "";
	int ret = xe_rule_parse(text, &rule, err, sizeof(err));

	if (want == MAYBE && ret == -ENOTSUP)
		return rule;
	if (ret != (want == MAYBE ? 0 : want))
		fail_msg("`%s`: %d (%s), expected %d", text, ret, err, want);
	return rule;
}

/* ret: 0 or MAYBE. */
static const struct {
	const char *text, *canonical;
	int ret;
} good[] = {
	{"kernel", "kernel", 0},
	{"kernel tcp to 0.0.0.0/0:25", "kernel tcp to 0.0.0.0/0:25", 0},
	{"drop from 10.1.0.0/16 to 192.0.2.128/25", "drop from 10.1.0.0/16 to 192.0.2.128/25", 0},
	{"accept from 10.1.0.0/16 to 198.51.100.0/24", "accept from 10.1.0.0/16 to 198.51.100.0/24",
	 0},
	{"dnat tcp to 192.0.2.1:8080 dest 10.1.0.2:80",
	 "dnat tcp to 192.0.2.1:8080 dest 10.1.0.2:80", MAYBE},
	{"dnat udp to 192.0.2.1:53 dest 10.1.0.2", "dnat udp to 192.0.2.1:53 dest 10.1.0.2", MAYBE},
	{"dnat tcp to [2001:db8::1]:80 dest [fd00::2]:8080",
	 "dnat tcp to [2001:db8::1]:80 dest [fd00::2]:8080", MAYBE},
	{"snat from 10.1.1.0/24 out eth0 source 192.0.2.10-192.0.2.12",
	 "snat from 10.1.1.0/24 out eth0 source 192.0.2.10-192.0.2.12", 0},
	{"snat source 192.0.2.10-192.0.2.10", "snat source 192.0.2.10", 0},
	/* pools in pieces: their order and shape stay */
	{"snat source 192.0.2.10,198.51.100.7,192.0.2.20-192.0.2.21",
	 "snat source 192.0.2.10,198.51.100.7,192.0.2.20-192.0.2.21", 0},
	{"snat source 203.0.113.16/28,203.0.113.8-203.0.113.15,203.0.113.7/32",
	 "snat source 203.0.113.16/28,203.0.113.8-203.0.113.15,203.0.113.7", 0},
	{"snat source 192.0.2.0/30", "snat source 192.0.2.0/30", 0},
	{"snat source 198.18.0.0/22", "snat source 198.18.0.0/22", 0},
	{"snat source 192.0.2.1,192.0.2.9 pooling arbitrary",
	 "snat source 192.0.2.1,192.0.2.9 pooling arbitrary", 0},
	{"snat source 2001:db8::/126,2001:db8:5::1,2001:db8:6::9-2001:db8:6::a out eth0",
	 "snat out eth0 source 2001:db8::/126,2001:db8:5::1,2001:db8:6::9-2001:db8:6::a", 0},
	{"snat source 192.0.2.10 ports 512-1023", "snat source 192.0.2.10 ports 512-1023", 0},
	{"masquerade from 10.1.0.0/16 out eth0 ports 20000-29999",
	 "masquerade from 10.1.0.0/16 out eth0 ports 20000-29999", 0},
	{"masquerade ports 1024-65535", "masquerade ports 1024-65535", 0},
	/* any order, white space, host prefixes */
	{"  masquerade\tout eth0  udp from 10.1.0.2/32 \n", "masquerade udp from 10.1.0.2 out eth0",
	 0},
	{"drop to 10.0.0.1:1-65535 in veth*", "drop to 10.0.0.1:1-65535 in veth*", 0},
	{"drop to 10.0.0.0/8:80-80", "drop to 10.0.0.0/8:80", 0},
	{"drop in to out from", "drop in to out from", 0}, /* names that look like words */
	/* IPv6 */
	{"kernel from 2001:db8::/32", "kernel from 2001:db8::/32", 0},
	{"kernel tcp to [2001:db8::/32]:443-444", "kernel tcp to [2001:db8::/32]:443-444", 0},
	{"kernel to [2001:db8::1/128]", "kernel to 2001:db8::1", 0},
	{"kernel to 2000::/3", "kernel to 2000::/3", 0},
	{"kernel to ::/81", "kernel to ::/81", 0},
	{"drop from ::/0 to [::/0]:25", "drop from ::/0 to [::/0]:25", 0},
	{"accept from 2001:db8::/32", "accept from 2001:db8::/32", 0},
	{"masquerade tcp from fd00:1::/64 to [2001:db8::/32]:80-90 out eth0 ports 20000-29999",
	 "masquerade tcp from fd00:1::/64 to [2001:db8::/32]:80-90 out eth0 ports 20000-29999", 0},
	{"snat source 2001:db8::1-2001:db8::2", "snat source 2001:db8::1-2001:db8::2", 0},
	{"snat source 2001:db8::ff01-2001:db8::1:0", "snat source 2001:db8::ff01-2001:db8::1:0", 0},
	{"snat source 2001:db8::1-2001:db8::100", "snat source 2001:db8::1-2001:db8::100", 0},
	/* dnat: several targets, ranges, weights */
	{"dnat tcp to 192.0.2.1:80 dest 10.1.0.2:80*3,10.1.0.3-10.1.0.6:8080,10.1.0.9",
	 "dnat tcp to 192.0.2.1:80 dest 10.1.0.2:80*3,10.1.0.3-10.1.0.6:8080,10.1.0.9", MAYBE},
	{"dnat tcp to 192.0.2.1:8000-8099 dest 10.1.0.2:9000-9099*1,10.1.0.3:7-7 in eth0",
	 "dnat tcp to 192.0.2.1:8000-8099 in eth0 dest 10.1.0.2:9000-9099,10.1.0.3:7", MAYBE},
	{"dnat to 2001:db8::1 dest fd00::2-fd00::5*255,[fd00::9]:80*2",
	 "dnat to 2001:db8::1 dest fd00::2-fd00::5*255,[fd00::9]:80*2", MAYBE},
	{"dnat to [2001:db8::1]:1-9 dest [fd00::2-fd00::5]:11-19",
	 "dnat to [2001:db8::1]:1-9 dest [fd00::2-fd00::5]:11-19", MAYBE},
	/* nat: prefixes of one length */
	{"nat from 10.1.2.0/28 out eth0 source 192.0.2.16/28",
	 "nat from 10.1.2.0/28 out eth0 source 192.0.2.16/28", MAYBE},
	{"nat from 10.1.2.3 source 192.0.2.16/32", "nat from 10.1.2.3 source 192.0.2.16", MAYBE},
	{"nat from 2001:db8:1::/64 source 2001:db8:2::/64",
	 "nat from 2001:db8:1::/64 source 2001:db8:2::/64", MAYBE},
	{"reject tcp to 10.9.0.0/16", "reject tcp to 10.9.0.0/16", MAYBE},
	/* deny lists of an uplink */
	{"drop from 203.0.113.0/24 in eth0", "drop from 203.0.113.0/24 in eth0", 0},
	{"drop in eth0 from @/etc/xegress/deny.txt", "drop from @/etc/xegress/deny.txt in eth0",
	 MAYBE},
	/* options, in the order of the grammar */
	{"masquerade limit 5kpps filter endpoint-independent mapping endpoint-independent",
	 "masquerade mapping endpoint-independent filter endpoint-independent limit 5kpps", MAYBE},
	{"masquerade filter address-and-port-dependent mapping endpoint-dependent",
	 "masquerade mapping endpoint-dependent filter address-and-port-dependent", MAYBE},
	{"masquerade filter address-dependent", "masquerade filter address-dependent", MAYBE},
	{"snat source 192.0.2.1-192.0.2.4 pooling arbitrary",
	 "snat source 192.0.2.1-192.0.2.4 pooling arbitrary", MAYBE},
	{"snat pooling paired source 192.0.2.1-192.0.2.4 ports 2000-3000",
	 "snat source 192.0.2.1-192.0.2.4 ports 2000-3000 pooling paired", MAYBE},
	{"accept no-limit mss-clamp 1400", "accept mss-clamp 1400 no-limit", MAYBE},
	{"accept mss-clamp auto tcp", "accept tcp mss-clamp auto", MAYBE},
	{"masquerade limit 10mbit limit 2000kbit per-source limit 100flows limit 7flows per-source "
	 "limit 3000000pps limit 1500pps per-source",
	 "masquerade limit 3mpps limit 10mbit limit 100flows limit 1500pps per-source "
	 "limit 2mbit per-source limit 7flows per-source",
	 MAYBE},
	{"accept limit 999999999gbit", "accept limit 999999999gbit", MAYBE},
};

static void test_good(void **state)
{
	(void)state;
	for (size_t i = 0; i < CNT(good); i++) {
		struct xe_rule a = must_parse(good[i].text, good[i].ret), b;
		char text[XE_RULE_TEXT_SIZE];
		int n = xe_rule_print(&a, text, sizeof(text));

		assert_string_equal(text, good[i].canonical);
		assert_int_equal(n, strlen(text));
		b = must_parse(text, good[i].ret);
		assert_true(xe_rule_equal(&a, &b));
		assert_int_equal(xe_rule_print(&a, text, (size_t)n), -ENOSPC);
	}
}

static const struct {
	const char *text, *err;
	int ret;
} bad[] = {
	{"", "empty rule ``, expected kernel, drop, reject, accept, masquerade, snat, dnat or nat",
	 -EINVAL},
	{"allow all",
	 "unknown verb `allow`, expected kernel, drop, reject, accept, masquerade, snat, dnat or "
	 "nat",
	 -EINVAL},
	{"drop icmp",
	 "unknown word `icmp`, expected tcp, udp, from, to, in, out, source, dest, ports, "
	 "mapping, filter, pooling, mss-clamp, no-limit or limit",
	 -EINVAL},
	{"drop tcp udp", "`udp` is a second protocol, expected one (none means both)", -EINVAL},
	{"drop from 10.0.0.0/8 from 11.0.0.0/8", "`from` stands twice, expected it once", -EINVAL},
	{"drop from", "expected a prefix such as 10.1.0.0/16 after `from`, got the end of the rule",
	 -EINVAL},
	{"drop from x", "`from`: `x` is no prefix, expected one such as 10.1.0.0/16", -EINVAL},
	{"drop from 10.1.2.3/16", "`from`: `10.1.2.3/16` has host bits set, expected 10.1.0.0/16",
	 -EINVAL},
	{"drop from 10.0.0.0/33", "`from`: `10.0.0.0/33` has a bad prefix length, expected 0-32",
	 -EINVAL},
	{"drop from 10.0.0.0/", "`from`: `10.0.0.0/` has a bad prefix length, expected 0-32",
	 -EINVAL},
	{"drop from 10.0.0.0/08", "`from`: `10.0.0.0/08` has a bad prefix length, expected 0-32",
	 -EINVAL},
	{"kernel from ::ffff:10.0.0.1",
	 "`from`: `::ffff:10.0.0.1` is no prefix, expected one such as 10.1.0.0/16", -EINVAL},
	{"snat source 2001:db8::1-2001:db8::401", "expected at most 1024 addresses after `source`",
	 -EINVAL},
	{"snat source 2001:db8::1-2001:db9::", "expected at most 1024 addresses after `source`",
	 -EINVAL},
	{"snat source ::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
	 "expected at most 1024 addresses after `source`", -EINVAL},
	{"snat source fe80::1",
	 "expected addresses of this host's networks after `source`, got `fe80::1`", -EINVAL},
	{"snat source ff02::1",
	 "expected addresses of this host's networks after `source`, got `ff02::1`", -EINVAL},
	{"snat source ::1", "expected addresses of this host's networks after `source`, got `::1`",
	 -EINVAL},
	{"masquerade from 2001:db8::/32 to 192.0.2.0/24",
	 "IPv4 and IPv6 are mixed, expected one family in a rule", -EINVAL},
	{"drop to 10.0.0.0/8:0", "expected L4 ports in 1-65535 after `to`, got `0`", -EINVAL},
	{"drop to 10.0.0.0/8:65536", "expected L4 ports in 1-65535 after `to`, got `65536`",
	 -EINVAL},
	{"drop to 10.0.0.0/8:http", "expected L4 ports in 1-65535 after `to`, got `http`", -EINVAL},
	{"drop to 10.0.0.0/8:", "expected L4 ports in 1-65535 after `to`, got ``", -EINVAL},
	{"drop to 10.0.0.0/8:90-80", "the range `90-80` after `to` is reversed, expected 80-90",
	 -EINVAL},
	{"kernel to [2001:db8::/32:443",
	 "expected an IPv6 prefix and an L4 port such as [2001:db8::/32]:443 after `to`, got "
	 "`[2001:db8::/32:443`",
	 -EINVAL},
	{"kernel to [10.0.0.1]:443",
	 "expected an IPv6 prefix and an L4 port such as [2001:db8::/32]:443 after `to`, got "
	 "`[10.0.0.1]:443`",
	 -EINVAL},
	{"drop in a/b", "expected a port name after `in`, got `a/b`", -EINVAL},
	{"drop in abcdefghijklmnop", "expected a port name after `in`, got `abcdefghijklmnop`",
	 -EINVAL},
	{"masquerade source 192.0.2.1",
	 "masquerade takes the uplink's own address, expected no `source` (or the verb snat)",
	 -EINVAL},
	{"accept source 192.0.2.1",
	 "`source` translates, expected it with the verbs snat and nat only", -EINVAL},
	{"snat dest 192.0.2.1", "`dest` translates, expected it with the verb dnat only", -EINVAL},
	{"snat out eth0",
	 "snat needs the address to translate to, expected `source A`, `source A-B` or several by "
	 "commas",
	 -EINVAL},
	{"snat source x-y",
	 "expected an address or a range such as 192.0.2.10-192.0.2.12 after `source`, got `x-y`",
	 -EINVAL},
	{"snat source 192.0.2.9-192.0.2.1",
	 "the range after `source` is reversed, expected 192.0.2.1-192.0.2.9", -EINVAL},
	{"snat source 10.0.0.0-10.0.4.0", "expected at most 1024 addresses after `source`",
	 -EINVAL},
	{"snat source 192.0.2.1-2001:db8::1", "the two ends of `source` are of different families",
	 -EINVAL},
	{"snat source 192.0.2.1,192.0.2.1",
	 "`192.0.2.1` after `source` has addresses that stand before it, expected each once",
	 -EINVAL},
	{"snat source 192.0.2.8/29,198.51.100.1,192.0.2.2-192.0.2.8",
	 "`192.0.2.2-192.0.2.8` after `source` has addresses that stand before it, expected each "
	 "once",
	 -EINVAL},
	{"snat source 192.0.2.9,192.0.2.0/28",
	 "`192.0.2.0/28` after `source` has addresses that stand before it, expected each once",
	 -EINVAL},
	{"snat source 192.0.2.1,2001:db8::1",
	 "the addresses after `source` are of different families", -EINVAL},
	{"snat source 192.0.2.1, 192.0.2.2",
	 "expected an address at each side of a comma after `source`, and no blank", -EINVAL},
	{"snat source 192.0.2.1,,192.0.2.2",
	 "expected an address at each side of a comma after `source`, and no blank", -EINVAL},
	{"snat source 192.0.2.1,x",
	 "expected an address or a range such as 192.0.2.10-192.0.2.12 after `source`, got `x`",
	 -EINVAL},
	{"snat source 192.0.2.1/24",
	 "`source`: `192.0.2.1/24` has host bits set, expected 192.0.2.0/24", -EINVAL},
	{"snat source 192.0.2.0/33",
	 "`source`: `192.0.2.0/33` has a bad prefix length, expected 0-32", -EINVAL},
	{"snat source 192.0.2.0/28-192.0.2.32",
	 "`source`: `192.0.2.0/28-192.0.2.32` has a bad prefix length, expected 0-32", -EINVAL},
	{"snat source 198.18.0.0/21", "expected at most 1024 addresses after `source`", -EINVAL},
	{"snat source 198.18.0.0/22,192.0.2.1", "expected at most 1024 addresses after `source`",
	 -EINVAL},
	{"snat source 2001:db8::/64", "expected at most 1024 addresses after `source`", -EINVAL},
	{"snat source 192.0.2.1,224.0.0.0/30",
	 "expected addresses of this host's networks after `source`, got `224.0.0.0`", -EINVAL},
	{"snat source 192.0.2.1/32 pooling paired",
	 "`pooling` chooses among several addresses, expected a range after `source`", -EINVAL},
	{"masquerade source 192.0.2.1,192.0.2.3",
	 "masquerade takes the uplink's own address, expected no `source` (or the verb snat)",
	 -EINVAL},
	{"snat source 127.0.0.1",
	 "expected addresses of this host's networks after `source`, got `127.0.0.1`", -EINVAL},
	{"kernel ports 1-2",
	 "`ports` is the range to translate to, expected it with masquerade or snat only", -EINVAL},
	{"masquerade ports 20000",
	 "expected a range such as 20000-29999 after `ports`, got `20000`", -EINVAL},
	{"masquerade ports 0-100", "expected L4 ports in 1-65535 after `ports`, got `0-100`",
	 -EINVAL},
	{"masquerade ports 5000-4000",
	 "the range `5000-4000` after `ports` is reversed, expected 4000-5000", -EINVAL},
	{"masquerade ports 500-600",
	 "`ports 500-600` takes well-known L4 ports of the host's own address, expected 1024 or "
	 "more",
	 -EINVAL},
	{"dnat dest 10.0.0.1",
	 "dnat needs `to`, expected such as `dnat tcp to 192.0.2.1:8080 dest 10.1.0.2:80`",
	 -EINVAL},
	{"dnat to 192.0.2.1 dest 10.0.0.1:80-81",
	 "the L4 ports 80-81 after `dest` are mapped one to one, expected as many after `to`",
	 -EINVAL},
	{"dnat to 192.0.2.1:1-3 dest 10.0.0.2:80,10.0.0.1:80-81",
	 "the L4 ports 80-81 after `dest` are mapped one to one, expected as many after `to`",
	 -EINVAL},
	{"dnat to 192.0.2.1 dest 10.0.0.1,",
	 "expected an address or a range such as 10.1.0.2-10.1.0.5 after `dest`, got ``", -EINVAL},
	{"dnat to 192.0.2.1 dest 10.0.0.9-10.0.0.1",
	 "the range after `dest` is reversed, expected 10.0.0.1-10.0.0.9", -EINVAL},
	{"dnat to 192.0.2.1 dest 10.0.0.1*0", "expected a weight of 1-255 after `*`, got `0`",
	 -EINVAL},
	{"dnat to 192.0.2.1 dest 10.0.0.1*256", "expected a weight of 1-255 after `*`, got `256`",
	 -EINVAL},
	{"dnat to 192.0.2.1 dest 10.0.0.1,fd00::1",
	 "the targets after `dest` are of different families", -EINVAL},
	{"dnat to 192.0.2.1 dest "
	 "10.0.0.1,10.0.0.1,10.0.0.1,10.0.0.1,10.0.0.1,10.0.0.1,10.0.0.1,10.0.0.1,10.0.0.1,"
	 "10.0.0.1,10.0.0.1,10.0.0.1,10.0.0.1,10.0.0.1,10.0.0.1,10.0.0.1,10.0.0.1",
	 "expected at most 16 targets after `dest` (a target may be a range of addresses)",
	 -EINVAL},
	{"nat from 10.1.2.0/28",
	 "nat needs `source`, expected such as `nat from 10.1.2.0/28 out eth0 source "
	 "192.0.2.16/28`",
	 -EINVAL},
	{"nat source 192.0.2.16/28",
	 "nat needs `from`, expected such as `nat from 10.1.2.0/28 out eth0 source 192.0.2.16/28`",
	 -EINVAL},
	{"nat from 10.1.2.0/28 source 192.0.2.0/27",
	 "nat maps addresses one to one, expected prefixes of the same length after `from` and "
	 "`source`",
	 -EINVAL},
	{"nat from 10.0.0.0/16 source 11.0.0.0/16",
	 "expected at most 1024 addresses after `source`", -EINVAL},
	{"nat from 10.1.2.3 source 192.0.2.16-192.0.2.16",
	 "`source`: `192.0.2.16-192.0.2.16` is no prefix, expected one such as 10.1.0.0/16",
	 -EINVAL},
	{"drop from @deny.txt in eth0",
	 "expected an absolute path without quotes such as /etc/xegress/deny.txt after `from @`, "
	 "got `deny.txt`",
	 -EINVAL},
	{"drop from @/etc/x",
	 "a file of prefixes is a deny list of an uplink, expected `drop from @FILE in PORT` and "
	 "nothing else",
	 -EINVAL},
	{"accept from @/etc/x in eth0",
	 "a file of prefixes is a deny list of an uplink, expected `drop from @FILE in PORT` and "
	 "nothing else",
	 -EINVAL},
	{"drop tcp from @/etc/x in eth0",
	 "a file of prefixes is a deny list of an uplink, expected `drop from @FILE in PORT` and "
	 "nothing else",
	 -EINVAL},
	{"masquerade mapping shared",
	 "expected endpoint-independent or endpoint-dependent after `mapping`, got `shared`",
	 -EINVAL},
	{"masquerade mapping",
	 "expected endpoint-independent or endpoint-dependent after `mapping`, got the end of the "
	 "rule",
	 -EINVAL},
	{"masquerade filter none",
	 "expected endpoint-independent, address-dependent or address-and-port-dependent after "
	 "`filter`, got `none`",
	 -EINVAL},
	{"accept mapping endpoint-dependent",
	 "`mapping` is about translated L4 ports, expected it with masquerade or snat only",
	 -EINVAL},
	{"dnat to 10.0.0.1 dest 10.0.0.2 filter endpoint-independent",
	 "`filter` is about translated L4 ports, expected it with masquerade or snat only",
	 -EINVAL},
	{"masquerade mapping endpoint-dependent filter endpoint-independent",
	 "`filter endpoint-independent` lets others use the mapping, expected `mapping "
	 "endpoint-independent` with it",
	 -EINVAL},
	{"masquerade tcp filter address-dependent",
	 "`filter address-dependent` lets others use the mapping, expected `mapping "
	 "endpoint-independent` with it",
	 -EINVAL},
	{"masquerade pooling paired",
	 "`pooling` is about several addresses, expected it with snat only", -EINVAL},
	{"snat source 192.0.2.1 pooling paired",
	 "`pooling` chooses among several addresses, expected a range after `source`", -EINVAL},
	{"snat source 192.0.2.1-192.0.2.2 pooling on",
	 "expected paired or arbitrary after `pooling`, got `on`", -EINVAL},
	{"accept mss-clamp 87", "expected auto or 88-65495 after `mss-clamp`, got `87`", -EINVAL},
	{"accept mss-clamp 65496", "expected auto or 88-65495 after `mss-clamp`, got `65496`",
	 -EINVAL},
	{"accept udp mss-clamp auto", "`mss-clamp` is TCP's, expected no `udp`", -EINVAL},
	{"kernel mss-clamp auto",
	 "`mss-clamp` is about flows of ours, expected it with accept, masquerade, snat, dnat or "
	 "nat",
	 -EINVAL},
	{"drop no-limit",
	 "`no-limit` is about flows of ours, expected it with accept, masquerade, snat, dnat or "
	 "nat",
	 -EINVAL},
	{"accept no-limit no-limit", "`no-limit` stands twice, expected it once", -EINVAL},
	{"reject limit 1pps",
	 "`limit` is about flows of ours, expected it with accept, masquerade, snat, dnat or nat",
	 -EINVAL},
	{"accept limit 10",
	 "expected a rate such as 1000pps, 10mbit or 100flows after `limit` (pps, kpps, mpps, bit, "
	 "kbit, mbit, gbit, flows), got `10`",
	 -EINVAL},
	{"accept limit 0pps",
	 "expected a rate such as 1000pps, 10mbit or 100flows after `limit` (pps, kpps, mpps, bit, "
	 "kbit, mbit, gbit, flows), got `0pps`",
	 -EINVAL},
	{"accept limit 1000000000pps",
	 "expected a rate such as 1000pps, 10mbit or 100flows after `limit` (pps, kpps, mpps, bit, "
	 "kbit, mbit, gbit, flows), got `1000000000pps`",
	 -EINVAL},
	{"accept limit 1pps limit 2kpps", "`limit 2kpps` is a second one of its kind, expected one",
	 -EINVAL},
	{"accept limit 1mbit per-source limit 1kbit per-source",
	 "`limit 1kbit per-source` is a second one of its kind, expected one", -EINVAL},
	{"accept limit 10pps limit 1kpps per-source",
	 "`limit ... per-source` is more than all sources may have together, expected it to be "
	 "less",
	 -EINVAL},
	{"kernel from 10.0.0.0/8 to 2001:db8::/32",
	 "IPv4 and IPv6 are mixed, expected one family in a rule", -EINVAL},
	{"drop \xc3\xa4", "unexpected byte 0xc3 at column 6, expected printable ASCII", -EINVAL},
	{"drop \x1b[1m", "unexpected byte 0x1b at column 6, expected printable ASCII", -EINVAL},
};

static void test_bad(void **state)
{
	struct xe_rule rule;
	char err[512];

	(void)state;
	for (size_t i = 0; i < CNT(bad); i++) {
		int ret = xe_rule_parse(bad[i].text, &rule, err, sizeof(err));

		if (ret != bad[i].ret || strcmp(err, bad[i].err))
			fail_msg("`%s`: %d `%s`, expected %d `%s`", bad[i].text, ret, err,
				 bad[i].ret, bad[i].err);
	}
}

/* The longest rule there can be prints into the size that is promised. */
static void test_longest(void **state)
{
	char text[XE_RULE_TEXT_SIZE], again[XE_RULE_TEXT_SIZE], one[128];
	const char *addr = "2001:db8:1111:2222:3333:4444:5555:6666";
	struct xe_rule rule;

	(void)state;
	snprintf(text, sizeof(text),
		 "dnat tcp from %s to [%s]:10000-20000 in abcdefghijklmno out abcdefghijklmno",
		 addr, addr);
	for (int i = 0; i < XE_MAX_DESTS; i++) {
		snprintf(one, sizeof(one),
			 "%s[%s-2001:db8:1111:2222:3333:4444:5555:7777]:20000-30000*255",
			 i ? "," : " dest ", addr);
		strcat(text, one);
	}
	strcat(text, " mss-clamp 65495 no-limit limit 999999998pps limit 999999998bit limit "
		     "999999998flows limit 999999997pps per-source limit 999999997bit per-source "
		     "limit 999999997flows per-source");
	rule = must_parse(text, MAYBE);
	assert_int_equal(xe_rule_print(&rule, again, sizeof(again)), strlen(text));
	assert_string_equal(again, text);
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	memcpy(text, "drop from @/", 12);
	strcpy(text + 11 + XE_RULE_FILE_SIZE - 1, " in eth0");
	text[11] = '/';
	rule = must_parse(text, MAYBE);
	assert_int_equal(xe_rule_print(&rule, again, sizeof(again)), strlen(text));
}

static void test_fields(void **state)
{
	struct xe_rule r = must_parse("snat udp from 10.1.0.0/16 to 0.0.0.0/0:53-54 in va out vb "
				      "source 192.0.2.1-192.0.2.3 ports 2000-3000",
				      0);
	struct xe_addr lo = xe_addr_v4(htonl(0xc0000201)), hi = xe_addr_v4(htonl(0xc0000203));

	(void)state;
	assert_int_equal(r.verb, XE_VERB_SNAT);
	assert_int_equal(r.proto, IPPROTO_UDP);
	assert_int_equal(r.from.len, 112);
	assert_int_equal(r.from.family, AF_INET);
	assert_int_equal(r.to.len, 96);
	assert_int_equal(r.to_port_min, 53);
	assert_int_equal(r.to_port_max, 54);
	assert_string_equal(r.in, "va");
	assert_string_equal(r.out, "vb");
	assert_int_equal(r.source_cnt, 1);
	assert_memory_equal(&r.source[0].min, &lo, sizeof(lo));
	assert_int_equal(r.source[0].cnt, 3);
	lo = xe_rule_source_max(&r.source[0]);
	assert_memory_equal(&lo, &hi, sizeof(lo));
	assert_int_equal(r.port_min, 2000);
	assert_int_equal(r.port_max, 3000);
	assert_int_equal(r.line, 0);
}

static void test_fields_source(void **state)
{
	struct xe_rule r = must_parse("snat source 192.0.2.255,10.255.255.255-11.0.0.1,"
				      "198.51.100.64/26",
				      0);
	const struct {
		uint32_t min, max;
		unsigned int cnt, len;
	} want[] = {{0xc00002ff, 0xc00002ff, 1, 0},
		    {0x0affffff, 0x0b000001, 3, 0},
		    {0xc6336440, 0xc633647f, 64, 96 + 26}};

	(void)state;
	assert_int_equal(r.nat_family, AF_INET);
	assert_int_equal(r.source_cnt, CNT(want));
	assert_int_equal(xe_rule_source_addrs(&r), 68);
	for (size_t i = 0; i < CNT(want); i++) {
		struct xe_addr min = xe_addr_v4(htonl(want[i].min));
		struct xe_addr max = xe_addr_v4(htonl(want[i].max));
		struct xe_addr got = xe_rule_source_max(&r.source[i]);

		assert_memory_equal(&r.source[i].min, &min, sizeof(min));
		assert_memory_equal(&got, &max, sizeof(max));
		assert_int_equal(r.source[i].cnt, want[i].cnt);
		assert_int_equal(r.source[i].prefix_len, want[i].len);
	}
	/* a carry through an address */
	r = must_parse("snat source 2001:db8::ffff:ffff:fffe-2001:db8::1:0:0:1", 0);
	assert_int_equal(r.source[0].cnt, 4);
	assert_int_equal(r.nat_family, AF_INET6);
}

/* 64 pieces, and no more; the longest prints as it was written. */
static void test_source_pieces(void **state)
{
	char text[XE_RULE_TEXT_SIZE], again[XE_RULE_TEXT_SIZE], err[512];
	struct xe_rule r;
	int at;

	(void)state;
	at = snprintf(text, sizeof(text),
		      "snat udp from 2001:db8:1111:2222:3333:4444:5555:6666 to "
		      "[2001:db8:1111:2222:3333:4444:5555:6666]:10000-20000 in abcdefghijklmno out "
		      "abcdefghijklmno source ");
	for (unsigned int i = 0; i < XE_MAX_SOURCES; i++)
		at += snprintf(text + at, sizeof(text) - (size_t)at,
			       "%s2001:db8:1111:2222:3333:4444:5555:%x0-"
			       "2001:db8:1111:2222:3333:4444:5555:%xf",
			       i ? "," : "", 0x111 + i, 0x111 + i);
	r = must_parse(text, 0);
	assert_int_equal(r.source_cnt, XE_MAX_SOURCES);
	assert_int_equal(xe_rule_source_addrs(&r), XE_MAX_SOURCES * 16);
	strcat(text, " ports 10000-20000 mapping endpoint-independent filter "
		     "address-and-port-dependent pooling arbitrary no-limit limit 999999998pps "
		     "limit 999999998bit limit 999999998flows limit 999999997pps per-source limit "
		     "999999997bit per-source limit 999999997flows per-source");
	r = must_parse(text, 0);
	assert_int_equal(xe_rule_print(&r, again, sizeof(again)), strlen(text));
	assert_string_equal(again, text);
	at = snprintf(text, sizeof(text), "snat source 10.0.0.0");
	for (int i = 1; i <= XE_MAX_SOURCES; i++)
		at += snprintf(text + at, sizeof(text) - (size_t)at, ",10.0.%d.0", i);
	assert_int_equal(xe_rule_parse(text, &r, err, sizeof(err)), -EINVAL);
	assert_string_equal(err,
			    "expected at most 64 addresses, ranges and prefixes after `source`");
}

static void test_fields_dest(void **state)
{
	struct xe_rule r = must_parse("dnat to 192.0.2.1:10-19 dest 10.1.0.2-10.1.0.3:20-29*9,"
				      "10.1.0.4 no-limit mss-clamp auto limit 2kpps limit 3kbit "
				      "per-source limit 4flows",
				      MAYBE);
	struct xe_addr lo = xe_addr_v4(htonl(0x0a010002)), hi = xe_addr_v4(htonl(0x0a010003));

	(void)state;
	assert_int_equal(r.dest_cnt, 2);
	assert_int_equal(r.nat_family, AF_INET);
	assert_memory_equal(&r.dest[0].min, &lo, sizeof(lo));
	assert_memory_equal(&r.dest[0].max, &hi, sizeof(hi));
	assert_int_equal(r.dest[0].port_min, 20);
	assert_int_equal(r.dest[0].port_max, 29);
	assert_int_equal(r.dest[0].weight, 9);
	assert_int_equal(r.dest[1].port_min, 0);
	assert_int_equal(r.dest[1].weight, 1);
	assert_true(r.no_limit);
	assert_int_equal(r.mss, XE_MSS_AUTO);
	assert_int_equal(r.limit[XE_LIMIT_PACKETS], 2000);
	assert_int_equal(r.limit[XE_LIMIT_SOURCE_BITS], 3000);
	assert_int_equal(r.limit[XE_LIMIT_FLOWS], 4);
	assert_int_equal(r.limit[XE_LIMIT_BITS], 0);
	r = must_parse("nat from 10.1.2.0/28 source 192.0.2.16/28", MAYBE);
	lo = xe_addr_v4(htonl(0xc0000210));
	hi = xe_addr_v4(htonl(0xc000021f));
	assert_memory_equal(&r.nat_min, &lo, sizeof(lo));
	assert_memory_equal(&r.nat_max, &hi, sizeof(hi));
}

/* Every clause left out or changed makes another rule. */
static void test_equal(void **state)
{
	static const char *const texts[] = {
		"kernel",
		"drop",
		"drop tcp",
		"drop udp",
		"drop from 10.0.0.0/8",
		"drop from 10.0.0.0/9",
		"drop to 10.0.0.0/8",
		"drop to 10.0.0.0/8:1",
		"drop to 10.0.0.0/8:1-2",
		"drop in a",
		"drop out a",
		"drop in b",
		"masquerade",
		"masquerade ports 2000-3000",
		"masquerade ports 2000-3001",
		"snat source 192.0.2.1",
		"snat source 192.0.2.1-192.0.2.2",
		"snat source 192.0.2.2",
		"snat source 192.0.2.2,192.0.2.4",
		"snat source 192.0.2.4,192.0.2.2",
		"snat source 192.0.2.4,192.0.2.2-192.0.2.3",
		"snat source 192.0.2.4/30",
		"snat source 192.0.2.4-192.0.2.7",
		"kernel from 2000::/3",
		"drop from 0.0.0.0/0",
		"drop from @/a in a",
		"drop from @/b in a",
		"reject",
		"nat from 10.0.0.1 source 192.0.2.1",
		"dnat to 10.0.0.1 dest 10.0.0.2",
		"dnat to 10.0.0.1 dest 10.0.0.2:1",
		"dnat to 10.0.0.1 dest 10.0.0.2*2",
		"dnat to 10.0.0.1 dest 10.0.0.2-10.0.0.3",
		"dnat to 10.0.0.1 dest 10.0.0.2,10.0.0.3",
		"dnat to 10.0.0.1:1-2 dest 10.0.0.2:1-2",
		"masquerade mapping endpoint-dependent",
		"masquerade mapping endpoint-independent",
		"masquerade mapping endpoint-independent filter address-dependent",
		"masquerade mapping endpoint-independent filter endpoint-independent",
		"snat source 192.0.2.1-192.0.2.2 pooling paired",
		"snat source 192.0.2.1-192.0.2.2 pooling arbitrary",
		"masquerade mss-clamp auto",
		"masquerade mss-clamp 1000",
		"masquerade no-limit",
		"masquerade limit 1pps",
		"masquerade limit 2pps",
		"masquerade limit 1bit",
		"masquerade limit 1flows",
		"masquerade limit 1pps per-source",
		"masquerade limit 1bit per-source",
		"masquerade limit 1flows per-source",
	};

	(void)state;
	for (size_t i = 0; i < CNT(texts); i++) {
		for (size_t k = 0; k < CNT(texts); k++) {
			struct xe_rule a = must_parse(texts[i], MAYBE);
			struct xe_rule b = must_parse(texts[k], MAYBE);

			b.line = 7;
			assert_int_equal(xe_rule_equal(&a, &b), i == k);
		}
	}
}

static void test_family(void **state)
{
	static const struct {
		const char *text;
		int family;
	} t[] = {
		{"kernel", 0},
		{"drop", 0},
		{"masquerade", 0},
		{"kernel to 10.0.0.0/8", AF_INET},
		{"snat source 192.0.2.1", AF_INET},
		{"snat source 2001:db8::1", AF_INET6},
		{"masquerade to ::/0", AF_INET6},
		{"kernel tcp", 0},
		{"kernel from 2001:db8::/32", AF_INET6},
	};

	(void)state;
	for (size_t i = 0; i < CNT(t); i++) {
		struct xe_rule r = must_parse(t[i].text, 0);

		assert_int_equal(xe_rule_family(&r), t[i].family);
	}
}

static void test_covers(void **state)
{
	static const struct {
		const char *prefix, *addr;
		bool covers;
	} t[] = {
		{"10.1.0.0/16", "10.1.255.255", true},
		{"10.1.0.0/16", "10.2.0.0", false},
		{"10.1.2.128/25", "10.1.2.127", false},
		{"10.1.2.128/25", "10.1.2.128", true},
		{"0.0.0.0/0", "255.255.255.255", true},
		{"0.0.0.0/0", "2001:db8::1", false},
		{"::/0", "2001:db8::1", true},
		{"::/0", "10.1.0.1", false},
		{"::/80", "10.1.0.1", false},
		{"10.1.0.1", "10.1.0.1", true},
		{"10.1.0.1", "10.1.0.0", false},
		{"2001:db8::/33", "2001:db8:7fff::", true},
		{"2001:db8::/33", "2001:db8:8000::", false},
		{"2000::/3", "10.0.0.1", false},
	};
	struct xe_prefix prefix;
	struct xe_addr addr;
	__u8 family;
	char err[160];

	(void)state;
	for (size_t i = 0; i < CNT(t); i++) {
		assert_int_equal(xe_prefix_parse(t[i].prefix, &prefix, err, sizeof(err)), 0);
		assert_int_equal(xe_addr_parse(t[i].addr, &addr, &family), 0);
		assert_int_equal(xe_prefix_covers(&prefix, &addr), t[i].covers);
	}
}

/* Every IPv4 prefix length: parsed, printed, and one host bit refused. */
static void test_prefix_lengths(void **state)
{
	char text[64], again[64], err[160];
	struct xe_prefix p;

	(void)state;
	for (int len = 0; len <= 32; len++) {
		uint32_t addr = len ? 0xffffffffu << (32 - len) : 0;
		struct in_addr in = {.s_addr = htonl(addr)};

		snprintf(text, sizeof(text), len < 32 ? "%s/%d" : "%s", inet_ntoa(in), len);
		assert_int_equal(xe_prefix_parse(text, &p, err, sizeof(err)), 0);
		assert_int_equal(p.len, 96 + len);
		assert_int_equal(xe_prefix_print(&p, again, sizeof(again)), strlen(text));
		assert_string_equal(again, text);
		assert_int_equal(xe_prefix_print(&p, again, strlen(text)), -ENOSPC);
		if (len == 32)
			continue;
		in.s_addr = htonl(addr | 1);
		snprintf(text, sizeof(text), "%s/%d", inet_ntoa(in), len);
		assert_int_equal(xe_prefix_parse(text, &p, err, sizeof(err)), -EINVAL);
		assert_non_null(strstr(err, "has host bits set"));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),           cmocka_unit_test(test_bad),
		cmocka_unit_test(test_fields),         cmocka_unit_test(test_equal),
		cmocka_unit_test(test_family),         cmocka_unit_test(test_covers),
		cmocka_unit_test(test_prefix_lengths), cmocka_unit_test(test_longest),
		cmocka_unit_test(test_fields_dest),    cmocka_unit_test(test_fields_source),
		cmocka_unit_test(test_source_pieces),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
