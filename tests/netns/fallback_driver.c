/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * fallback_driver.c - the safety net on its own, driven line by line: for t_fallback.sh.
 *
 *	fallback_driver TABLE
 *
 * Words on stdin: what the next `apply` is given
 *	inside NAME PREFIX...    uplink NAME    rule RULE...    nat tcp|udp A-B
 *	listen|unlisten tcp|udp L4PORT          reset
 * or a call
 *	apply    set    present    counters    remove    check    text
 * Each call is answered by lines that end with `= NUMBER`, what the call returned.
 */
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/fallback.h"
#include "control/fallback_rules.h"
#include "control/sysctl.h"

#define PORT_CNT     16
#define PREFIX_CNT   64
#define RULE_CNT     64
#define RANGE_CNT    16
#define LINE_SIZE    512
#define ARGUMENT_CNT 24

static struct xe_fallback_port ports[PORT_CNT];
static struct xe_prefix prefixes[PREFIX_CNT];
static struct xe_rule rules[RULE_CNT];
static struct xe_fallback_range nat_tcp[RANGE_CNT], nat_udp[RANGE_CNT];
static uint64_t listen_tcp[XE_FALLBACK_WORDS], listen_udp[XE_FALLBACK_WORDS];
static struct xe_fallback_conf conf;
static uint32_t prefix_cnt;
static const char *table;

static void die(const char *why)
{
	fprintf(stderr, "fallback_driver: %s\n", why);
	exit(2);
}

static void reset(void)
{
	memset(&conf, 0, sizeof(conf));
	memset(listen_tcp, 0, sizeof(listen_tcp));
	memset(listen_udp, 0, sizeof(listen_udp));
	conf.ports = ports;
	conf.rules = rules;
	conf.nat_tcp = nat_tcp;
	conf.nat_udp = nat_udp;
	conf.listen_tcp = listen_tcp;
	conf.listen_udp = listen_udp;
	prefix_cnt = 0;
}

static void add_port(enum xe_port_role role, char **arg, int cnt)
{
	struct xe_fallback_port *port = &ports[conf.port_cnt];
	char err[256];

	if (cnt < 1 || conf.port_cnt == PORT_CNT || prefix_cnt + (uint32_t)cnt > PREFIX_CNT)
		die("one port too many");
	memset(port, 0, sizeof(*port));
	snprintf(port->name, sizeof(port->name), "%s", arg[0]);
	port->role = role;
	port->prefixes = &prefixes[prefix_cnt];
	for (int i = 1; i < cnt; i++) {
		if (xe_prefix_parse(arg[i], &prefixes[prefix_cnt++], err, sizeof(err)))
			die(err);
		port->prefix_cnt++;
	}
	conf.port_cnt++;
}

static void add_rule(const char *text)
{
	char err[256];

	if (conf.rule_cnt == RULE_CNT)
		die("one rule too many");
	if (xe_rule_parse(text, &rules[conf.rule_cnt], err, sizeof(err)))
		die(err);
	conf.rule_cnt++;
}

static void add_nat(const char *proto, const char *text)
{
	struct xe_fallback_range *range =
		!strcmp(proto, "tcp") ? &nat_tcp[conf.nat_tcp_cnt++] : &nat_udp[conf.nat_udp_cnt++];

	if (sscanf(text, "%hu-%hu", &range->min, &range->max) != 2)
		die("expected nat tcp|udp A-B");
}

static void set_listener(const char *proto, const char *text, bool on)
{
	uint64_t *bits = !strcmp(proto, "tcp") ? listen_tcp : listen_udp;
	unsigned int l4_port = (unsigned int)atoi(text) & 65535;
	uint64_t bit = 1ULL << (l4_port % 64);

	bits[l4_port / 64] = on ? bits[l4_port / 64] | bit : bits[l4_port / 64] & ~bit;
}

static int show_counters(struct xe_fallback *fb)
{
	struct xe_fallback_counters c;
	int ret = xe_fallback_counters(fb, &c);

	printf("leak %lu midflow %lu guard %lu inbound %lu spoof %lu rule %lu\n", c.leak_dropped,
	       c.midflow_dropped, c.guard_dropped, c.inbound_dropped, c.spoof_dropped,
	       c.rule_dropped);
	return ret;
}

static void show_line(void *ctx, enum xe_sysctl_subject subject, bool fails, const char *line)
{
	(void)ctx;
	(void)subject;
	(void)fails;
	puts(line);
}

static int check(void)
{
	const struct xe_sysctl_conf sysctl = {
		.ports = ports, .port_cnt = conf.port_cnt, .v6 = true, .table = table};

	return xe_sysctl_check(&sysctl, show_line, NULL);
}

static int show_text(void)
{
	char err[256] = "", *text = NULL;
	int ret = xe_fallback_rules(table, &conf, &text, err, sizeof(err));

	fputs(text ? text : err, stdout);
	free(text);
	return ret;
}

static void call(struct xe_fallback *fb, const char *verb)
{
	char err[512] = "";
	int ret;

	if (!strcmp(verb, "apply")) {
		ret = xe_fallback_apply(fb, &conf, err, sizeof(err));
		if (ret)
			puts(err);
	} else if (!strcmp(verb, "set")) {
		ret = xe_fallback_set_listeners(fb, listen_tcp, listen_udp);
	} else if (!strcmp(verb, "present")) {
		ret = xe_fallback_present(fb);
	} else if (!strcmp(verb, "counters")) {
		ret = show_counters(fb);
	} else if (!strcmp(verb, "remove")) {
		ret = xe_fallback_remove(fb);
	} else if (!strcmp(verb, "check")) {
		ret = check();
	} else if (!strcmp(verb, "text")) {
		ret = show_text();
	} else {
		die("no such word");
		return;
	}
	printf("= %d\n", ret);
}

static void line_of(struct xe_fallback *fb, char *line)
{
	char *arg[ARGUMENT_CNT] = {0}, *save = NULL, *word;
	int cnt = 0;

	line[strcspn(line, "\n")] = '\0';
	if (!strncmp(line, "rule ", 5)) {
		add_rule(line + 5);
		return;
	}
	for (word = strtok_r(line, " ", &save); word && cnt < ARGUMENT_CNT;
	     word = strtok_r(NULL, " ", &save))
		arg[cnt++] = word;
	if (!cnt)
		return;
	if (!strcmp(arg[0], "reset"))
		reset();
	else if (!strcmp(arg[0], "inside"))
		add_port(XE_ROLE_INSIDE, arg + 1, cnt - 1);
	else if (!strcmp(arg[0], "uplink"))
		add_port(XE_ROLE_UPLINK, arg + 1, cnt - 1);
	else if (cnt == 3 && !strcmp(arg[0], "nat"))
		add_nat(arg[1], arg[2]);
	else if (cnt == 3 && !strcmp(arg[0], "listen"))
		set_listener(arg[1], arg[2], true);
	else if (cnt == 3 && !strcmp(arg[0], "unlisten"))
		set_listener(arg[1], arg[2], false);
	else
		call(fb, arg[0]);
}

int main(int argc, char **argv)
{
	struct xe_fallback *fb;
	char line[LINE_SIZE];

	if (argc != 2)
		die("expected the name of the table");
	table = argv[1];
	setlinebuf(stdout);
	reset();
	if (xe_fallback_open(table, &fb))
		die("can't open");
	while (fgets(line, sizeof(line), stdin))
		line_of(fb, line);
	xe_fallback_close(fb);
	return 0;
}
