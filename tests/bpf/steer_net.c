/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "steer_net.h"

#include <errno.h>
#include <linux/fib_rules.h>
#include <linux/rtnetlink.h>
#include <sched.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/utsname.h>
#include <unistd.h>

/* linux/fib_rules.h of kernel 6.12. */
#define XE_FRA_DSCP 25

const char *const port_names[PORT_CNT] = {"in0", "in1", "up0", "up1"};

/* The peers stand in the same namespace, without addresses: they only give a carrier. */
static const char links[] = "link set lo up\n"
			    "link add in0 numrxqueues 2 numtxqueues 2 type veth peer name pin0\n"
			    "link add in1 type veth peer name pin1\n"
			    "link add up0 numrxqueues 65 numtxqueues 65 type veth peer name pup0\n"
			    "link add up1 type veth peer name pup1\n"
			    "link add side type veth peer name pside\n"
			    "addr add 10.1.0.1/24 dev in0\n"
			    "addr add 10.1.1.1/24 dev in1\n"
			    "addr add 198.51.100.2/24 dev up0\n"
			    "addr add 192.0.2.2/24 dev up1\n"
			    "addr add 10.9.0.1/24 dev side\n"
			    "addr add 2001:db8:1::1/64 dev in0 nodad\n"
			    "addr add 2001:db8:10::1/64 dev in1 nodad\n"
			    "addr add 2001:db8:f::2/64 dev up0 nodad\n"
			    "addr add 2001:db8:e::2/64 dev up1 nodad\n"
			    "addr add 2001:db8:9::1/64 dev side nodad\n";

static const char routes[] = "route add default via 198.51.100.1 dev up0\n"
			     "route add 203.0.113.0/24 via 192.0.2.1 dev up1\n"
			     "route add 10.99.0.0/16 via 10.9.0.2 dev side\n"
			     "route add blackhole 10.66.1.0/24\n"
			     "route add unreachable 10.66.2.0/24\n"
			     "route add prohibit 10.66.3.0/24\n"
			     /* DSCP as routing sees it: the ECN bits must not reach the lookup. */
			     "rule add tos 0x10 table 10\n"
			     "route add default via 10.9.0.2 dev side table 10\n";

static const char routes6[] = "route add default via 2001:db8:f::1 dev up0\n"
			      "route add 2001:db8:113::/48 via 2001:db8:e::1 dev up1\n"
			      "route add 2001:db8:99::/48 via 2001:db8:9::2 dev side\n"
			      "route add blackhole 2001:db8:66:1::/64\n"
			      "route add unreachable 2001:db8:66:2::/64\n"
			      "route add prohibit 2001:db8:66:3::/64\n"
			      /* traffic class as routing sees it */
			      "rule add tos 0x10 table 10\n"
			      "route add default via 2001:db8:9::2 dev side table 10\n";

static int net_batch(const char *cmd, const char *text)
{
	FILE *ip = popen(cmd, "w");

	if (!ip)
		return -errno;
	fputs(text, ip);
	return pclose(ip) ? -EIO : 0;
}

int net_ip(const char *line)
{
	char text[256];

	snprintf(text, sizeof(text), "%s\n", line);
	return net_batch("ip -batch -", text);
}

int net_sysctl(const char *path, const char *value)
{
	char file[128];
	FILE *f;
	int err;

	snprintf(file, sizeof(file), "/proc/sys/net/%s", path);
	f = fopen(file, "w");
	if (!f)
		return -errno;
	err = fputs(value, f) < 0;
	return fclose(f) || err ? -EIO : 0;
}

static int kernel_is_before(int major, int minor)
{
	struct utsname u;
	int a = 0, b = 0;

	if (uname(&u) || sscanf(u.release, "%d.%d", &a, &b) != 2)
		return 1;
	return a < major || (a == major && b < minor);
}

int net_blackhole_dscp(unsigned char dscp)
{
	struct {
		struct nlmsghdr nh;
		struct fib_rule_hdr rule;
		struct nlattr attr;
		unsigned char dscp[4]; /* and padding */
	} req = {
		.nh = {.nlmsg_len = sizeof(req),
		       .nlmsg_type = RTM_NEWRULE,
		       .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL},
		.rule = {.family = AF_INET, .action = FR_ACT_BLACKHOLE},
		.attr = {.nla_len = sizeof(req.attr) + 1, .nla_type = XE_FRA_DSCP},
		.dscp = {dscp},
	};
	struct {
		struct nlmsghdr nh;
		struct nlmsgerr err;
		char rest[256];
	} ack = {};
	int fd, err = 0;

	if (kernel_is_before(6, 12))
		return -ENOTSUP;
	fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	if (fd < 0)
		return -errno;
	if (send(fd, &req, sizeof(req), 0) < 0 || recv(fd, &ack, sizeof(ack), 0) < 0)
		err = -errno;
	else
		err = ack.err.error;
	close(fd);
	return err;
}

static int net_up(void)
{
	static const char *const names[] = {"in0",  "in1",  "up0",  "up1",  "side",
					    "pin0", "pin1", "pup0", "pup1", "pside"};
	char line[64];
	int err = 0;

	for (unsigned int i = 0; i < sizeof(names) / sizeof(names[0]) && !err; i++) {
		snprintf(line, sizeof(line), "link set %s up", names[i]);
		err = net_ip(line);
	}
	return err;
}

int net_open(void)
{
	int err;

	if (unshare(CLONE_NEWNET))
		return -errno;
	err = net_batch("ip -batch -", links);
	if (!err)
		err = net_up();
	if (!err)
		err = net_batch("ip -batch -", routes);
	if (!err)
		err = net_batch("ip -6 -batch -", routes6);
	if (!err)
		err = net_sysctl("ipv4/ip_forward", "1");
	if (!err)
		err = net_sysctl("ipv6/conf/all/forwarding", "1");
	return err;
}
