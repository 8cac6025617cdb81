/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * sysctl.c - looks for what would defeat the safety net; sysctl.h says what.
 *
 * Settings are read from /proc/sys/net, which shows the network namespace of the reading thread
 * (sysfs does not). Ports with the same finding share one line: a host has hundreds of them.
 */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <nftables/libnftables.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "control/nft_run.h"
#include "control/sysctl.h"

/* Names of ports in one line; the rest is a number. Enough to see which kind is meant. */
#define NAMES_SHOWN 5
#define LINE_SIZE   512

/* net.ipv4.conf.*.rp_filter */
#define RP_FILTER_STRICT 1

struct check {
	const struct xe_sysctl_conf *conf;
	xe_sysctl_report_fn report;
	void *ctx;
	int found;
	int error; /* first -errno */
};

static void __attribute__((format(printf, 4, 5)))
found(struct check *c, enum xe_sysctl_subject subject, bool fails, const char *fmt, ...)
{
	char line[LINE_SIZE];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	c->report(c->ctx, subject, fails, line);
	c->found++;
}

static void failed(struct check *c, int error)
{
	if (!c->error)
		c->error = error;
}

/* The value of a setting, -1 when there is none of that name (a port that has just gone). */
static int setting(struct check *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static int setting(struct check *c, const char *fmt, ...)
{
	char path[128], value[16] = "";
	va_list ap;
	int fd;

	va_start(ap, fmt);
	vsnprintf(path, sizeof(path), fmt, ap);
	va_end(ap);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		if (errno != ENOENT)
			failed(c, -errno);
		return -1;
	}
	if (read(fd, value, sizeof(value) - 1) < 0)
		failed(c, -errno);
	close(fd);
	return value[0] ? atoi(value) : -1;
}

static const char *l3_name(const struct xe_fallback_port *port)
{
	return port->l3[0] ? port->l3 : port->name;
}

/* ---- settings of ports ---- */

/* The names of the ports for which `bad` holds, "a, b and 7 more". Returns how many. */
static unsigned int list_ports(struct check *c, enum xe_port_role role,
			       bool (*bad)(struct check *c, const char *name), char *buf,
			       size_t size)
{
	const char *last = "";
	unsigned int cnt = 0;
	size_t len = 0;

	buf[0] = '\0';
	for (uint32_t i = 0; i < c->conf->port_cnt; i++) {
		const struct xe_fallback_port *port = &c->conf->ports[i];
		const char *name = l3_name(port);

		if (port->role != role || !strcmp(name, last) || !bad(c, name))
			continue;
		last = name;
		if (cnt++ < NAMES_SHOWN)
			len += (size_t)snprintf(buf + len, size - len, "%s%s", len ? ", " : "",
						name);
	}
	if (cnt > NAMES_SHOWN)
		snprintf(buf + len, size - len, " and %u more", cnt - NAMES_SHOWN);
	return cnt;
}

static bool forwards_not(struct check *c, const char *name)
{
	return setting(c, "/proc/sys/net/ipv4/conf/%s/forwarding", name) == 0;
}

static bool is_strict(struct check *c, const char *name)
{
	int all = setting(c, "/proc/sys/net/ipv4/conf/all/rp_filter");
	int own = setting(c, "/proc/sys/net/ipv4/conf/%s/rp_filter", name);

	/* The kernel takes the greater of both: 2 is loose and beats 1. */
	return own >= 0 && (own > all ? own : all) == RP_FILTER_STRICT;
}

/* ---- IPv6 ---- */

static bool forwards6_not(struct check *c, const char *name)
{
	return setting(c, "/proc/sys/net/ipv6/conf/%s/forwarding", name) == 0;
}

int xe_sysctl_accept_ra(const char *name)
{
	struct check c = {};

	return setting(&c, "/proc/sys/net/ipv6/conf/%s/accept_ra", name);
}

/* 1: as a host, which a forwarding interface is not; 2: also then. */
static bool ignores_routers(struct check *c, const char *name)
{
	return setting(c, "/proc/sys/net/ipv6/conf/%s/accept_ra", name) == 1 &&
	       setting(c, "/proc/sys/net/ipv6/conf/%s/forwarding", name) == 1;
}

/* A line of ipv6_route: destination, its length, source, its length, next hop, ..., flags, device;
 * the null route of lo, with which every table ends, is no way out. */
static bool has_default6(struct check *c)
{
	FILE *f = fopen("/proc/net/ipv6_route", "re");
	unsigned int dst_len, flags;
	char dst[40], dev[32];
	bool found_one = false;

	if (!f) {
		if (errno != ENOENT)
			failed(c, -errno);
		return true;
	}
	while (!found_one && fscanf(f, "%39s %x %*s %*s %*s %*s %*s %*s %x %31s", dst, &dst_len,
				    &flags, dev) == 4)
		found_one = !dst_len && strcmp(dev, "lo") && strspn(dst, "0") == 32;
	fclose(f);
	return found_one;
}

/* The kernel asks `all`, the routing question of the steering program the interface that the packet
 * came in by. */
static void check_forwarding6(struct check *c)
{
	char names[256];

	if (setting(c, "/proc/sys/net/ipv6/conf/all/forwarding") == 0) {
		found(c, XE_SYSCTL_FORWARDING, c->conf->v6_rules,
		      "net.ipv6.conf.all.forwarding is 0: xegressd carries only what the kernel "
		      "would forward, and it forwards no IPv6; set it to 1");
		return;
	}
	if (list_ports(c, XE_ROLE_INSIDE, forwards6_not, names, sizeof(names)))
		found(c, XE_SYSCTL_FORWARDING, false,
		      "net.ipv6.conf.*.forwarding is 0 on inside %s: its IPv6 is left to the "
		      "kernel; set it to 1",
		      names);
	if (!has_default6(c) &&
	    list_ports(c, XE_ROLE_UPLINK, ignores_routers, names, sizeof(names)))
		found(c, XE_SYSCTL_FORWARDING, false,
		      "there is no IPv6 default route, and uplink %s ignores router "
		      "advertisements since it forwards (accept_ra 1); set "
		      "net.ipv6.conf.*.accept_ra to 2, or add the route",
		      names);
}

/* ---- IPv4 ---- */

/* In the kernel, the interface a packet comes in by decides whether it may be forwarded: the
 * uplinks count as well, for the answers. */
static void check_forwarding(struct check *c)
{
	char names[256];

	if (setting(c, "/proc/sys/net/ipv4/ip_forward") == 0) {
		found(c, XE_SYSCTL_FORWARDING, true,
		      "net.ipv4.ip_forward is 0: xegressd carries only what the kernel would "
		      "forward, and it forwards nothing; set it to 1");
	} else {
		if (list_ports(c, XE_ROLE_INSIDE, forwards_not, names, sizeof(names)))
			found(c, XE_SYSCTL_FORWARDING, true,
			      "net.ipv4.conf.*.forwarding is 0 on inside %s: xegressd carries "
			      "only what the kernel would forward, and it forwards nothing "
			      "from there; set it to 1",
			      names);
		if (list_ports(c, XE_ROLE_UPLINK, forwards_not, names, sizeof(names)))
			found(c, XE_SYSCTL_FORWARDING, false,
			      "net.ipv4.conf.*.forwarding is 0 on uplink %s: the kernel drops "
			      "the answers to flows that xegressd does not carry; set it to 1",
			      names);
	}
	if (c->conf->v6)
		check_forwarding6(c);
}

/* With one uplink strict does no harm there: every answer comes back the only way. */
static void check_rp_filter(struct check *c)
{
	unsigned int uplink_cnt = 0;
	char names[256];

	for (uint32_t i = 0; i < c->conf->port_cnt; i++)
		uplink_cnt += c->conf->ports[i].role == XE_ROLE_UPLINK;
	if (uplink_cnt > 1 && list_ports(c, XE_ROLE_UPLINK, is_strict, names, sizeof(names)))
		found(c, XE_SYSCTL_RP_FILTER, false,
		      "rp_filter is strict (1) on uplink %s: the kernel drops the answers to "
		      "its flows that come back by another uplink than the route to the sender; "
		      "set net.ipv4.conf.*.rp_filter to 2",
		      names);
	if (list_ports(c, XE_ROLE_INSIDE, is_strict, names, sizeof(names)))
		found(c, XE_SYSCTL_RP_FILTER, false,
		      "rp_filter is strict (1) on inside %s: the kernel drops allowed sources "
		      "whose route does not lead back there; set net.ipv4.conf.*.rp_filter to "
		      "2 unless every allowed prefix is routed to its port",
		      names);
}

/* ---- other people's filters ---- */

static bool concerns_us(const struct check *c, const char *family)
{
	return !strcmp(family, "inet") || !strcmp(family, "ip") ||
	       (c->conf->v6 && !strcmp(family, "ip6"));
}

static void check_chain(struct check *c, json_t *chain)
{
	const char *family = "", *table = "", *name = "", *hook = "", *policy = "";

	/* Chains without a hook lack the last two. */
	if (json_unpack(chain, "{s:s, s:s, s:s, s?s, s?s}", "family", &family, "table", &table,
			"name", &name, "hook", &hook, "policy", &policy))
		return;
	if (strcmp(hook, "forward") || strcmp(policy, "drop") || !concerns_us(c, family))
		return;
	if (!strcmp(family, "inet") && c->conf->table && !strcmp(table, c->conf->table))
		return;
	found(c, XE_SYSCTL_FORWARD_CHAINS, false,
	      "nftables chain `%s %s %s` drops what it does not accept (policy drop on the "
	      "forward hook): containers have no network when xegressd does not carry them, "
	      "unless a rule there accepts them",
	      family, table, name);
}

static int check_chains(struct check *c)
{
	json_t *root, *item;
	char err[128], *chains;
	size_t i;
	int ret;

	ret = xe_nft_run("list chains", NFT_CTX_OUTPUT_JSON, &chains, err, sizeof(err));
	if (ret)
		return ret;
	root = json_loads(chains, 0, NULL);
	free(chains);
	if (!root)
		return -EIO;
	json_array_foreach (json_object_get(root, "nftables"), i, item) {
		json_t *chain = json_object_get(item, "chain");

		if (chain)
			check_chain(c, chain);
	}
	json_decref(root);
	return 0;
}

static void check_nftables(struct check *c)
{
	int ret = check_chains(c);

	if (ret)
		failed(c, ret);
}

static void check_xtables(struct check *c, int family, const char *command)
{
	int ret = xe_xtables_forward_drops(family);

	if (ret < 0)
		failed(c, ret);
	else if (ret)
		found(c, XE_SYSCTL_FORWARD_CHAINS, false,
		      "%s-legacy's chain FORWARD drops what it does not accept (policy DROP): "
		      "containers have no network when xegressd does not carry them, unless a "
		      "rule there accepts them",
		      command);
}

int xe_sysctl_check(const struct xe_sysctl_conf *conf, xe_sysctl_report_fn report, void *ctx)
{
	struct check c = {.conf = conf, .report = report, .ctx = ctx};

	check_forwarding(&c);
	check_rp_filter(&c);
	check_nftables(&c);
	check_xtables(&c, AF_INET, "iptables");
	if (conf->v6)
		check_xtables(&c, AF_INET6, "ip6tables");
	return c.error ? c.error : c.found;
}
