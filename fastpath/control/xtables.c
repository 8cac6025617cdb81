/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * xtables.c - the policy of FORWARD in iptables-legacy's filter table, read from the kernel.
 *
 * A host may have both kinds of iptables in use; the older one is seen through these two socket
 * options only. The policy is the verdict of the rule that stands at the end of the built-in chain
 * (its "underflow").
 */
#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <linux/netfilter.h>
#include <linux/netfilter_ipv4/ip_tables.h>
#include <linux/netfilter_ipv6/ip6_tables.h>

#include "control/sysctl.h"

/* Both families have the same options, numbers and structures, rules apart. */
_Static_assert(IPT_SO_GET_INFO == IP6T_SO_GET_INFO, "one number for both families");
_Static_assert(sizeof(struct ipt_getinfo) == sizeof(struct ip6t_getinfo), "one layout for both");
_Static_assert(offsetof(struct ipt_get_entries, entrytable) ==
		       offsetof(struct ip6t_get_entries, entrytable),
	       "one layout for both");

/* Asking for a table that nobody uses would make the kernel set it up: look at its list first. */
static bool filter_in_use(int family)
{
	FILE *f = fopen(family == AF_INET ? "/proc/net/ip_tables_names"
					  : "/proc/net/ip6_tables_names",
			"re");
	char line[XT_TABLE_MAXNAMELEN + 2];
	bool found = false;

	while (f && !found && fgets(line, sizeof(line), f))
		found = !strcmp(line, "filter\n");
	if (f)
		fclose(f);
	return found;
}

static int verdict_of(int family, const struct ipt_get_entries *entries, unsigned int at)
{
	size_t field = family == AF_INET ? offsetof(struct ipt_entry, target_offset)
					 : offsetof(struct ip6t_entry, target_offset);
	const char *rules = (const char *)entries + offsetof(struct ipt_get_entries, entrytable);
	struct xt_standard_target target;
	__u16 target_offset;

	if (at + field + sizeof(target_offset) > entries->size)
		return -EPROTO;
	memcpy(&target_offset, rules + at + field, sizeof(target_offset));
	if (at + target_offset + sizeof(target) > entries->size)
		return -EPROTO;
	memcpy(&target, rules + at + target_offset, sizeof(target));
	return target.verdict == -NF_DROP - 1;
}

static int read_policy(int family, int fd)
{
	int level = family == AF_INET ? SOL_IP : SOL_IPV6;
	struct ipt_get_entries *entries = NULL;
	struct ipt_getinfo info = {.name = "filter"};
	socklen_t len = sizeof(info);
	int ret = -ENOMEM;

	if (getsockopt(fd, level, IPT_SO_GET_INFO, &info, &len))
		return -errno;
	len = (socklen_t)(offsetof(struct ipt_get_entries, entrytable) + info.size);
	/* The structure ends in padding: never less than its whole size. */
	entries = calloc(1, len > sizeof(*entries) ? len : sizeof(*entries));
	if (!entries)
		goto out;
	strcpy(entries->name, "filter");
	entries->size = info.size;
	ret = getsockopt(fd, level, IPT_SO_GET_ENTRIES, entries, &len) ? -errno : 0;
	if (!ret)
		ret = verdict_of(family, entries, info.underflow[NF_INET_FORWARD]);
out:
	free(entries);
	return ret;
}

int xe_xtables_forward_drops(int family)
{
	int fd, ret;

	if (!filter_in_use(family))
		return 0;
	/* Raw: the kernel answers these options on any socket, but for IPv6 only on IPv6 ones. */
	fd = socket(family, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW);
	if (fd < 0)
		return -errno;
	ret = read_policy(family, fd);
	/* The rules changed between the two questions (-EAGAIN): once more is enough to be told. */
	if (ret == -EAGAIN)
		ret = read_policy(family, fd);
	close(fd);
	return ret;
}
