/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* stage_rss.c - replies are spread over all queues of an uplink, by address and L4 port. */
#include <stdio.h>
#include <string.h>

#include "ethtool.h"
#include "hostfile.h"
#include "stage.h"

static void check_table(const struct tune_port *port, struct tune_report *r)
{
	char knob[TUNE_KNOB_SIZE];

	snprintf(knob, sizeof(knob), "rss %s", port->name);
	tune_want(r, port->name, knob, "default",
		  "the table that hashes choose a queue by should have all queues in turn, or one "
		  "worker gets more than the others");
}

/* All replies come to one or a few addresses, from few servers: without L4 ports in the hash, those
 * of one server all come to one queue. */
static void check_fields(const struct tune_port *port, const char *kind, struct tune_report *r)
{
	char knob[TUNE_KNOB_SIZE], fields[16];

	if (tune_flowhash_read(port->name, kind, fields, sizeof(fields)) || !fields[0])
		return;
	if (strchr(fields, 'f') && strchr(fields, 'n')) {
		tune_say(r, TUNE_OK, port->name, "%s is hashed with its L4 ports", kind);
		return;
	}
	snprintf(knob, sizeof(knob), "flowhash %s %s", port->name, kind);
	tune_want(r, port->name, knob, "sdfn",
		  "%s is hashed by %s: after translation all replies of one server have the same "
		  "two addresses, and so the same queue and worker",
		  kind, fields);
}

static void check_uplink(const struct tune_port *port, struct tune_report *r)
{
	static const char *const kinds[] = {"tcp4", "tcp6", "udp4", "udp6"};
	char table[TUNE_VALUE_SIZE];

	if (tune_rss_read(port->name, table, sizeof(table))) {
		tune_say(r, TUNE_OK, port->name, "spreads nothing by itself (no RSS)");
		return;
	}
	check_table(port, r);
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		check_fields(port, kinds[i], r);
	if (!tune_rss_key_len(port->name))
		tune_say(r, TUNE_NOTE, port->name,
			 "the driver does not tell its hash key: a reply's queue cannot be known "
			 "before it comes, so workers hand some replies over");
}

static void check(const struct tune_facts *facts, struct tune_report *r)
{
	for (unsigned int i = 0; i < facts->port_cnt; i++)
		if (facts->ports[i].uplink)
			check_uplink(&facts->ports[i], r);
}

const struct tune_stage tune_stage_rss = {
	.name = "rss",
	.what = "how an uplink spreads replies over its queues",
	.explain =
		"The card hashes each packet and looks up a queue by the hash (RSS). Applied: the "
		"table the kernel sets up by itself (all queues in turn, `ethtool -X IF default`) "
		"where somebody has another, and hashing of TCP and UDP with L4 ports (`sdfn`) "
		"where the driver hashes addresses only, as several do for UDP. The hash key is "
		"left alone: any will do that the driver tells.\n"
		"Leave the table where queues were kept free of RSS on purpose (flow steering for "
		"another program). Fragments of UDP are hashed without L4 ports: where these make "
		"up much of the traffic, `sdfn` reorders them against whole packets. Not kept "
		"across a reboot.",
	.check = check,
};
