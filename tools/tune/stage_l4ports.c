/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* stage_l4ports.c - the host's own connections take no L4 port that a rule translates to. */
#include <stdio.h>
#include <string.h>

#include "hostfile.h"
#include "stage.h"

#define KNOB     "file /proc/sys/net/ipv4/ip_local_port_range"
#define RESERVED "/proc/sys/net/ipv4/ip_local_reserved_ports"
/* The kernel's default has 28232. With fewer than this a host that opens a thousand connections a
 * second to one peer has none left after 4 of the 60 s of TIME_WAIT. */
#define ROOM_MIN 4096
/* Where a range may begin: below lie the well-known and most registered services. */
#define LOWEST 10240

struct piece {
	unsigned int from, to;
};

/* The longest run of L4 ports within a..b that no rule translates to. */
static struct piece longest_free(const struct tune_conf *conf, unsigned int a, unsigned int b)
{
	struct piece best = {1, 0};
	unsigned int at = a;

	while (at <= b) {
		unsigned int end = b;
		bool taken = false;

		for (unsigned int i = 0; i < conf->range_cnt; i++) {
			const struct tune_range *r = &conf->ranges[i];

			if (at >= r->from && at <= r->to) {
				at = r->to + 1;
				taken = true;
			} else if (r->from > at && r->from <= end) {
				end = r->from - 1;
			}
		}
		if (taken)
			continue;
		if (best.to < best.from || end - at > best.to - best.from)
			best = (struct piece){at, end};
		at = end + 1;
	}
	return best;
}

static unsigned int room(struct piece p)
{
	return p.to < p.from ? 0 : p.to - p.from + 1;
}

/* The kernel wants ends of different parity, and says so in its log where they are not. */
static struct piece even(struct piece p)
{
	p.from += p.from & 1;
	p.to -= !(p.to & 1);
	return p;
}

static void want(struct tune_report *r, const struct tune_conf *conf, unsigned int from,
		 unsigned int to, const struct tune_range *met)
{
	struct piece p = longest_free(conf, from, to);
	char value[32];

	/* Best a part of what the host has now; else anywhere. */
	if (room(p) < ROOM_MIN)
		p = longest_free(conf, LOWEST, 65535);
	if (room(p) < ROOM_MIN) {
		tune_say(r, TUNE_FINDING, "ip_local_port_range",
			 "rule %u translates to L4 ports %u-%u, from which the host's own "
			 "connections take theirs (%u-%u), and all rules together leave no %u in "
			 "one piece: give the rules narrower `ports`",
			 met->rule, met->from, met->to, from, to, ROOM_MIN);
		return;
	}
	p = even(p);
	snprintf(value, sizeof(value), "%u %u", p.from, p.to);
	tune_want(
		r, "ip_local_port_range", KNOB, value,
		"rule %u translates to L4 ports %u-%u, from which the host's own connections take "
		"theirs (%u-%u): whoever comes second on the same address loses",
		met->rule, met->from, met->to, from, to);
}

static void check(const struct tune_facts *facts, struct tune_report *r)
{
	const struct tune_conf *conf = &facts->conf;
	char text[TUNE_VALUE_SIZE];
	unsigned int from, to;

	if (tune_file_read(KNOB + strlen("file "), text, sizeof(text)) ||
	    sscanf(text, "%u %u", &from, &to) != 2) {
		tune_say(r, TUNE_NOTE, "ip_local_port_range", "cannot be read");
		return;
	}
	for (unsigned int i = 0; i < conf->range_cnt; i++) {
		if (conf->ranges[i].from > to || conf->ranges[i].to < from)
			continue;
		want(r, conf, from, to, &conf->ranges[i]);
		return;
	}
	tune_say(r, TUNE_OK, "ip_local_port_range",
		 "the host's own connections use %u-%u, rules translate to none of these", from,
		 to);
	if (conf->range_cnt && !tune_file_read(RESERVED, text, sizeof(text)) && text[0])
		tune_say(r, TUNE_NOTE, "ip_local_reserved_ports",
			 "%.60s are reserved: rules do not translate to these", text);
}

const struct tune_stage tune_stage_l4ports = {
	.name = "l4ports",
	.what = "the host's own L4 ports and those that rules translate to are apart",
	.explain =
		"net.ipv4.ip_local_port_range is where the host's own connections take their L4 "
		"ports; where a rule translates to some of these, a flow and a connection can "
		"want the same one of the same address. xegressd leaves out what is in use, and "
		"looks for new users every 100 ms; a range apart makes the collision impossible. "
		"Applied: the longest part of the host's range that no rule uses (at least 4096 "
		"L4 ports, else the longest anywhere).\n"
		"Leave it when something else relies on the present range (a firewall rule, a "
		"neighbour's NAT), and give the rule other `ports`. Not kept across a reboot; to "
		"keep it: sysctl.d.",
	.check = check,
};
