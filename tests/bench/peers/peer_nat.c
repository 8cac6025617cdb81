// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * peer_nat - puts an in-kernel masquerade on interfaces, to be measured beside xegress.
 *
 *   peer_nat tc|xdp --inside IF[,IF...] --uplink IF --ext ADDR --ports A-B
 *            [--sessions N] [--gro NETNS:IF[,NETNS:IF...]]
 *     tc          programs at clsact ingress; superpackets stay whole
 *     xdp         native XDP, frames from device to device. The other end of each veth has to take
 *                 frames: it needs GRO on or a native XDP program
 *     --sessions  of the tables (default 1048576), the oldest makes room
 *     --gro       turns GRO on for these interfaces of named namespaces, and back at the end
 *
 * Prints READY, stays until SIGTERM, takes off what it put on, prints {"no_port",
 * "no_neighbour", "no_session"}. ip_forward has to be on: bpf_fib_lookup asks for it. TCP and UDP
 * only, IPv4; everything else, and fragments, go the kernel's way untranslated.
 */
#include "tc_nat.skel.h"
#include "xdp_nat.skel.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <linux/ethtool.h>
#include <linux/if_link.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define IF_MAX 256 /* inside interfaces, the uplink included */

struct hook { /* one interface that bears a program of ours */
	uint32_t ifindex;
	int link_fd; /* xdp */
	struct bpf_tc_opts tc;
	bool made_clsact;
};

struct gro { /* one interface elsewhere whose GRO we turned on */
	char netns[128], dev[IFNAMSIZ];
};

static struct {
	bool xdp;
	uint32_t inside[IF_MAX], inside_cnt, uplink, ext_be, lo, hi, sessions;
} opt = {.sessions = 1 << 20};
static struct hook hooks[IF_MAX];
static struct gro gros[IF_MAX];
static uint32_t hook_cnt, gro_cnt, gro_on;
static struct tc_nat_bpf *tc;
static struct xdp_nat_bpf *xdp;

static int fail(const char *what)
{
	fprintf(stderr, "peer_nat: %s: %s\n", what, strerror(errno));
	return -1;
}

static uint32_t index_of(const char *name)
{
	uint32_t ifindex = if_nametoindex(name);

	if (!ifindex)
		fail(name);
	return ifindex;
}

static int parse_inside(char *list)
{
	for (char *name = strtok(list, ","); name; name = strtok(NULL, ",")) {
		if (opt.inside_cnt == IF_MAX - 1)
			return -1;
		opt.inside[opt.inside_cnt] = index_of(name);
		if (!opt.inside[opt.inside_cnt++])
			return -1;
	}
	return 0;
}

static int parse_gro(char *list)
{
	for (char *item = strtok(list, ","); item; item = strtok(NULL, ",")) {
		struct gro *g = &gros[gro_cnt];

		if (gro_cnt++ == IF_MAX || sscanf(item, "%127[^:]:%15s", g->netns, g->dev) != 2)
			return -1;
	}
	return 0;
}

static int parse_one(int c)
{
	switch (c) {
	case 'i':
		return parse_inside(optarg);
	case 'u':
		opt.uplink = index_of(optarg);
		return opt.uplink ? 0 : -1;
	case 'e':
		return inet_pton(AF_INET, optarg, &opt.ext_be) == 1 ? 0 : -1;
	case 'p':
		return sscanf(optarg, "%u-%u", &opt.lo, &opt.hi) == 2 && opt.lo &&
				       opt.lo <= opt.hi && opt.hi <= UINT16_MAX
			       ? 0
			       : -1;
	case 's':
		opt.sessions = (uint32_t)strtoul(optarg, NULL, 10);
		return opt.sessions ? 0 : -1;
	case 'g':
		return parse_gro(optarg);
	}
	return -1;
}

static int parse(int argc, char **argv)
{
	static const struct option longs[] = {
		{"inside", required_argument, NULL, 'i'},
		{"uplink", required_argument, NULL, 'u'},
		{"ext", required_argument, NULL, 'e'},
		{"ports", required_argument, NULL, 'p'},
		{"sessions", required_argument, NULL, 's'},
		{"gro", required_argument, NULL, 'g'},
		{0},
	};
	int c;

	if (argc < 2 || (strcmp(argv[1], "tc") && strcmp(argv[1], "xdp")))
		return -1;
	opt.xdp = !strcmp(argv[1], "xdp");
	optind = 2;
	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		if (parse_one(c))
			return -1;
	}
	return opt.inside_cnt && opt.uplink && opt.ext_be && opt.lo && optind == argc ? 0 : -1;
}

/* ---- the other ends ---- */

static int set_gro(const char *dev, uint32_t command, uint32_t *on)
{
	struct ethtool_value value = {.cmd = command, .data = *on};
	struct ifreq req = {.ifr_data = (void *)&value};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), ret;

	snprintf(req.ifr_name, sizeof(req.ifr_name), "%s", dev);
	ret = ioctl(fd, SIOCETHTOOL, &req);
	close(fd);
	*on = value.data;
	return ret;
}

/* Turns it on (1) or off in that namespace; 1 when it was so already. */
static int gro_in(const struct gro *g, uint32_t wanted)
{
	int home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC), there, ret = -1;
	char path[160];
	uint32_t now = 0;

	snprintf(path, sizeof(path), "/run/netns/%s", g->netns);
	there = open(path, O_RDONLY | O_CLOEXEC);
	if (home < 0 || there < 0 || setns(there, CLONE_NEWNET))
		goto out;
	if (!set_gro(g->dev, ETHTOOL_GGRO, &now))
		ret = now == wanted ? 1 : set_gro(g->dev, ETHTOOL_SGRO, &wanted);
	if (setns(home, CLONE_NEWNET))
		ret = -1;
out:
	if (ret < 0)
		fail(path);
	close(home);
	close(there);
	return ret;
}

static int turn_gro_on(void)
{
	int ret;

	for (uint32_t i = 0; i < gro_cnt; i++) {
		ret = gro_in(&gros[i], 1);
		if (ret < 0)
			return -1;
		if (!ret) /* was off: to be turned off again */
			gros[gro_on++] = gros[i];
	}
	return 0;
}

/* A datagram to each gateway of the uplink: afterwards the kernel knows the neighbour, for which
 * XDP has no way to ask. */
static void greet_gateways(void)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(9)};
	FILE *routes = fopen("/proc/net/route", "r");
	char line[256], dev[32];
	unsigned int dst, gw;

	while (routes && fgets(line, sizeof(line), routes)) {
		if (sscanf(line, "%31s %x %x", dev, &dst, &gw) != 3 || !gw)
			continue;
		to.sin_addr.s_addr = gw;
		sendto(fd, "", 0, 0, (struct sockaddr *)&to, sizeof(to));
	}
	if (routes)
		fclose(routes);
	close(fd);
	usleep(200000); /* an ARP answer's time, many times over */
}

/* ---- the programs ---- */

static void set_up_maps(struct bpf_map *outs, struct bpf_map *backs)
{
	bpf_map__set_max_entries(outs, opt.sessions);
	bpf_map__set_max_entries(backs, opt.sessions);
}

#define CONFIGURE(skel)                                                                            \
	do {                                                                                       \
		(skel)->rodata->ext_be = opt.ext_be;                                               \
		(skel)->rodata->l4_port_lo = (uint16_t)opt.lo;                                     \
		(skel)->rodata->l4_port_cnt = (uint16_t)(opt.hi - opt.lo + 1);                     \
		(skel)->rodata->uplink_ifindex = opt.uplink;                                       \
		set_up_maps((skel)->maps.outs, (skel)->maps.backs);                                \
	} while (0)

static int load(void)
{
	if (opt.xdp) {
		xdp = xdp_nat_bpf__open();
		if (!xdp)
			return fail("open");
		CONFIGURE(xdp);
		return xdp_nat_bpf__load(xdp) ? fail("load") : 0;
	}
	tc = tc_nat_bpf__open();
	if (!tc)
		return fail("open");
	CONFIGURE(tc);
	return tc_nat_bpf__load(tc) ? fail("load") : 0;
}

static int attach_xdp(struct hook *h, bool uplink)
{
	LIBBPF_OPTS(bpf_link_create_opts, opts, .flags = XDP_FLAGS_DRV_MODE);
	struct bpf_program *prog = uplink ? xdp->progs.xdp_uplink : xdp->progs.xdp_inside;

	if (bpf_map__update_elem(xdp->maps.devs, &h->ifindex, sizeof(h->ifindex), &h->ifindex,
				 sizeof(h->ifindex), BPF_ANY))
		return fail("devmap");
	h->link_fd = bpf_link_create(bpf_program__fd(prog), (int)h->ifindex, BPF_XDP, &opts);
	return h->link_fd < 0 ? fail("attach") : 0;
}

static int attach_tc(struct hook *h, bool uplink)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = (int)h->ifindex, .attach_point = BPF_TC_INGRESS);
	int ret = bpf_tc_hook_create(&hook);

	if (ret && ret != -EEXIST)
		return fail("clsact");
	h->made_clsact = !ret;
	h->tc = (struct bpf_tc_opts){.sz = sizeof(h->tc), .handle = 1, .priority = 1};
	h->tc.prog_fd = bpf_program__fd(uplink ? tc->progs.tc_uplink : tc->progs.tc_inside);
	return bpf_tc_attach(&hook, &h->tc) ? fail("attach") : 0;
}

static int attach(uint32_t ifindex, bool uplink)
{
	struct hook *h = &hooks[hook_cnt++];

	*h = (struct hook){.ifindex = ifindex, .link_fd = -1};
	return opt.xdp ? attach_xdp(h, uplink) : attach_tc(h, uplink);
}

static void detach(struct hook *h)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = (int)h->ifindex, .attach_point = BPF_TC_INGRESS);

	if (opt.xdp) {
		if (h->link_fd >= 0)
			close(h->link_fd);
		return;
	}
	h->tc.prog_fd = h->tc.flags = h->tc.prog_id = 0;
	bpf_tc_detach(&hook, &h->tc);
	if (h->made_clsact) {
		hook.attach_point = BPF_TC_INGRESS | BPF_TC_EGRESS; /* the qdisc itself */
		bpf_tc_hook_destroy(&hook);
	}
}

static int start(void)
{
	if (load() || turn_gro_on())
		return -1;
	for (uint32_t i = 0; i < opt.inside_cnt; i++) {
		if (attach(opt.inside[i], false))
			return -1;
	}
	if (attach(opt.uplink, true))
		return -1;
	greet_gateways();
	return 0;
}

static void end(void)
{
	for (uint32_t i = 0; i < hook_cnt; i++)
		detach(&hooks[i]);
	for (uint32_t i = 0; i < gro_on; i++)
		gro_in(&gros[i], 0);
	tc_nat_bpf__destroy(tc);
	xdp_nat_bpf__destroy(xdp);
}

int main(int argc, char **argv)
{
	sigset_t signals;
	int sig, ret;

	if (parse(argc, argv)) {
		fprintf(stderr, "usage: peer_nat tc|xdp --inside IF[,IF...] --uplink IF --ext ADDR "
				"--ports A-B [--sessions N] [--gro NETNS:IF[,...]]\n");
		return 2;
	}
	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	ret = start();
	if (!ret) {
		printf("READY\n");
		fflush(stdout);
		sigwait(&signals, &sig);
#define SAY(skel)                                                                                  \
	printf("{\"no_port\": %llu, \"no_neighbour\": %llu, \"no_session\": %llu}\n",              \
	       (unsigned long long)(skel)->bss->nat_no_port,                                       \
	       (unsigned long long)(skel)->bss->nat_no_neighbour,                                  \
	       (unsigned long long)(skel)->bss->nat_no_session)
		if (opt.xdp)
			SAY(xdp);
		else
			SAY(tc);
	}
	end();
	return ret ? 1 : 0;
}
