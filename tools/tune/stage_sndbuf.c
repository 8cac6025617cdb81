/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* stage_sndbuf.c - what one sendto() of a worker may send: socket buffer and TX budget. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "hostfile.h"
#include "stage.h"

/* What xegressd asks for each socket. */
#define SNDBUF_SIZE (16 << 20)
#define KNOB        "file /proc/sys/net/core/wmem_max"
#define SNDBUF_TEXT "16777216"
/* Not in Debian 12's headers; kernel 6.17. */
#define XDP_MAX_TX_SKB_BUDGET 9
#define CAP_NET_ADMIN_BIT     12
#ifndef SOL_XDP
#define SOL_XDP 283
#endif

/* With CAP_NET_ADMIN the buffer of a socket may exceed wmem_max (SO_SNDBUFFORCE). -1: nobody knows.
 */
static int has_net_admin(int pid)
{
	char path[64], line[256];
	unsigned long long caps;
	int has = -1;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	f = fopen(path, "re");
	while (f && has < 0 && fgets(line, sizeof(line), f))
		if (sscanf(line, "CapEff: %llx", &caps) == 1)
			has = caps >> CAP_NET_ADMIN_BIT & 1;
	if (f)
		fclose(f);
	return has;
}

static void check_buffer(const struct tune_facts *facts, struct tune_report *r)
{
	if (facts->running && has_net_admin(facts->pid) == 0 &&
	    tune_file_number(KNOB + strlen("file "), SNDBUF_SIZE) < SNDBUF_SIZE)
		tune_want(r, "wmem_max", KNOB, SNDBUF_TEXT,
			  "xegressd (pid %d) has no CAP_NET_ADMIN, so net.core.wmem_max bounds "
			  "what it has on its way in one socket: a sendto() stops there",
			  facts->pid);
	else
		tune_say(r, TUNE_OK, "wmem_max",
			 "xegressd takes 16 MiB a socket by CAP_NET_ADMIN (SO_SNDBUFFORCE), "
			 "whatever net.core.wmem_max says");
}

/* 1 there, 0 not, -1 cannot be tried. */
static int has_budget(const struct tune_facts *facts)
{
	int fd = socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0), budget = 2048, has;

	if (fd < 0)
		return facts->kernel[0] ? facts->kernel[0] > 6 ||
						  (facts->kernel[0] == 6 && facts->kernel[1] >= 17)
					: -1;
	/* A socket without a TX ring is refused, too, but not as one that does not know the word.
	 */
	has = !setsockopt(fd, SOL_XDP, XDP_MAX_TX_SKB_BUDGET, &budget, sizeof(budget)) ||
	      errno != ENOPROTOOPT;
	close(fd);
	return has;
}

static void check(const struct tune_facts *facts, struct tune_report *r)
{
	int has = has_budget(facts);

	check_buffer(facts, r);
	if (has > 0)
		tune_say(r, TUNE_OK, "tx budget",
			 "this kernel lets xegressd send 2048 packets with one sendto()");
	else
		tune_say(r, TUNE_NOTE, "tx budget",
			 "%s: a sendto() without zero-copy sends 32 packets; kernel 6.17 or later "
			 "has a socket option for it (XDP_MAX_TX_SKB_BUDGET), which xegressd sets "
			 "by itself",
			 has ? "cannot be tried" : "not in this kernel");
}

const struct tune_stage tune_stage_sndbuf = {
	.name = "sndbuf",
	.what = "socket buffers and TX budget of the service",
	.explain =
		"A sendto() on an AF_XDP socket without zero-copy stops at the socket's send "
		"buffer and after 32 packets; xegressd raises both by itself: SO_SNDBUFFORCE to "
		"16 MiB (needs CAP_NET_ADMIN in the network namespace) and XDP_MAX_TX_SKB_BUDGET "
		"to 2048 (kernel 6.17). What is left to the host is net.core.wmem_max for a "
		"service that has been denied CAP_NET_ADMIN after its start; only then is it "
		"raised.\n"
		"Leave it when other services rely on a small wmem_max. Not kept across a reboot; "
		"to keep it: sysctl.d.",
	.check = check,
};
