// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * hook_price - puts an XDP program that passes everything on interfaces, in generic mode.
 *
 *   hook_price IF...
 *
 * The kernel then carries the packets as it did, and pays what any generic-mode XDP program costs
 * on a veth: the copy of each packet that its sender still holds (every TCP packet). No data plane
 * that begins at this hook can be cheaper. Prints READY, stays until SIGTERM; the links, and so
 * the programs, go with the process.
 */
#include "hook_price.skel.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

static int attach(const struct hook_price_bpf *skel, const char *name)
{
	LIBBPF_OPTS(bpf_link_create_opts, opts, .flags = XDP_FLAGS_SKB_MODE);
	int ifindex = (int)if_nametoindex(name);

	if (!ifindex ||
	    bpf_link_create(bpf_program__fd(skel->progs.pass_all), ifindex, BPF_XDP, &opts) < 0) {
		fprintf(stderr, "hook_price: %s: %s\n", name, strerror(errno));
		return -1;
	}
	return 0;
}

int main(int argc, char **argv)
{
	struct hook_price_bpf *skel;
	sigset_t signals;
	int sig;

	if (argc < 2) {
		fprintf(stderr, "usage: hook_price IF...\n");
		return 2;
	}
	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	skel = hook_price_bpf__open_and_load();
	if (!skel) {
		fprintf(stderr, "hook_price: load: %s\n", strerror(errno));
		return 1;
	}
	for (int i = 1; i < argc; i++)
		if (attach(skel, argv[i]))
			return 1;
	printf("READY\n");
	fflush(stdout);
	sigwait(&signals, &sig);
	hook_price_bpf__destroy(skel);
	return 0;
}
