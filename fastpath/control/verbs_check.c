/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * verbs_check.c - does the host let the service do its work? Looks, changes nothing.
 */
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>

#include "control/memlock.h"
#include "control/nat_range.h"
#include "control/sockdiag.h"
#include "control/verbs.h"

#define BPFFS "/sys/fs/bpf"
#ifndef BPF_FS_MAGIC
#define BPF_FS_MAGIC 0xcafe4a11
#endif

struct look {
	xe_check_fn say;
	void *ctx;
	bool found[XE_SYSCTL_SUBJECT_CNT];
};

static const char *const subject_names[XE_SYSCTL_SUBJECT_CNT] = {
	[XE_SYSCTL_FORWARDING] = "forwarding",
	[XE_SYSCTL_RP_FILTER] = "rp-filter",
	[XE_SYSCTL_FORWARD_CHAINS] = "forward-chains",
};
static const char *const subject_fine[XE_SYSCTL_SUBJECT_CNT] = {
	[XE_SYSCTL_FORWARDING] = "the kernel forwards between the ports",
	[XE_SYSCTL_RP_FILTER] = "rp_filter drops nothing that the ports let pass",
	[XE_SYSCTL_FORWARD_CHAINS] = "no packet filter drops forwarded packets by policy",
};

static void on_sysctl(void *ctx, enum xe_sysctl_subject subject, bool fails, const char *line)
{
	struct look *l = ctx;

	l->found[subject] = true;
	l->say(l->ctx, subject_names[subject], fails ? XE_CHECK_FAIL : XE_CHECK_WARN, line);
}

static bool has_ipv6(const struct xe_port *port)
{
	for (uint32_t i = 0; i < port->allow_cnt; i++)
		if (port->allow[i].family == AF_INET6)
			return true;
	return false;
}

static bool speaks_of_ipv6(const struct xe_rule *rule)
{
	return rule->verb != XE_VERB_KERNEL && xe_rule_family(rule) == AF_INET6;
}

static void look_at_kernel(struct xe_service *svc, struct look *l)
{
	struct xe_fallback_port *ports = calloc(XE_MAX_PORTS, sizeof(*ports));
	struct xe_sysctl_conf conf = {.ports = ports, .table = svc->fallback_table};
	int ret;

	if (!ports)
		return;
	for (struct xe_port *p = svc->port_list; p && conf.port_cnt < XE_MAX_PORTS; p = p->next) {
		struct xe_fallback_port *fp = &ports[conf.port_cnt];
		const struct xe_link *l3;

		if (p->state != XE_PORT_ATTACHED)
			continue;
		memcpy(fp->name, p->name, sizeof(fp->name));
		fp->role = p->role;
		l3 = xe_netlink_link(svc->netlink, xe_netlink_l3_ifindex(svc->netlink, p->ifindex));
		if (l3 && l3->ifindex != p->ifindex)
			memcpy(fp->l3, l3->name, sizeof(fp->l3));
		conf.v6 |= has_ipv6(p);
		conf.port_cnt++;
	}
	for (uint32_t i = 0; i < svc->config->rule_cnt; i++)
		conf.v6_rules |= speaks_of_ipv6(&svc->config->rules[i]);
	ret = xe_sysctl_check(&conf, on_sysctl, l);
	free(ports);
	if (ret < 0)
		l->say(l->ctx, "settings", XE_CHECK_WARN,
		       "not all of the kernel's settings and packet filters could be read");
	for (int i = 0; i < XE_SYSCTL_SUBJECT_CNT && ret >= 0; i++)
		if (!l->found[i])
			l->say(l->ctx, subject_names[i], XE_CHECK_OK, subject_fine[i]);
}

/* L4 ports that workers hand out and the host's own connections take as well. The workers do not
 * hand out what the host has open, but a connection can start any time (control/host_l4.h): it
 * works all the same, by another L4 port or the punt device, and neither is what one wants. */
static void look_at_l4_ports(const struct xe_service *svc, struct look *l)
{
	const struct xe_config *config = svc->config;
	uint16_t min = 0, max = 0;
	bool met = false, known = !xe_sockdiag_local_range(&min, &max);
	unsigned int from, to;
	char text[256];

	for (uint32_t i = 0; i < config->rule_cnt && known && !met; i++) {
		const struct xe_rule *r = &config->rules[i];

		if (r->verb != XE_VERB_SNAT && r->verb != XE_VERB_MASQUERADE)
			continue;
		from = r->port_min ? r->port_min : svc->default_min;
		to = r->port_max ? r->port_max : svc->default_max;
		met = xe_nat_range_meets(min, max, from, to);
		snprintf(text, sizeof(text),
			 "rule %u translates to L4 ports %u-%u, of which the host's own "
			 "connections take theirs (net.ipv4.ip_local_port_range is %u-%u); give "
			 "the rule other `ports`, or the host another range",
			 i + 1, from, to, min, max);
	}
	if (!known)
		l->say(l->ctx, "l4-ports", XE_CHECK_WARN,
		       "net.ipv4.ip_local_port_range cannot be read");
	else
		l->say(l->ctx, "l4-ports", met ? XE_CHECK_WARN : XE_CHECK_OK,
		       met ? text : "the NAT ranges keep clear of the host's own L4 ports");
}

static void look_at_memory(const struct xe_service *svc, struct look *l)
{
	unsigned int sockets = 1; /* one more than there are */
	char why[256];

	for (const struct xe_port *p = svc->port_list; p; p = p->next)
		sockets += p->xsk_cnt;
	if (xe_memlock_suffices(svc->area.size, sockets, why, sizeof(why)))
		l->say(l->ctx, "memlock", XE_CHECK_OK, "there is locked memory for another port");
	else
		l->say(l->ctx, "memlock", XE_CHECK_WARN, why);
}

static void look_at_bpffs(struct look *l)
{
	struct statfs fs;

	if (!statfs(BPFFS, &fs) && (unsigned long)fs.f_type == BPF_FS_MAGIC)
		l->say(l->ctx, "bpffs", XE_CHECK_OK, BPFFS " is mounted");
	else
		l->say(l->ctx, "bpffs", XE_CHECK_WARN,
		       "no BPF file system at " BPFFS ": libxdp's dispatcher cannot be used, so no "
		       "other XDP program can stand beside ours; mount -t bpf bpf " BPFFS);
}

static void look_at_punt(const struct xe_service *svc, struct look *l)
{
	if (svc->punt_fd >= 0)
		l->say(l->ctx, "punt-device", XE_CHECK_OK,
		       "packets can be given to the kernel late");
	else
		l->say(l->ctx, "punt-device", XE_CHECK_WARN,
		       "no punt device (/dev/net/tun): packets that turn out late to be the "
		       "kernel's are dropped");
}

void xe_host_check(struct xe_service *svc, xe_check_fn say, void *ctx)
{
	struct look l = {.say = say, .ctx = ctx};

	look_at_kernel(svc, &l);
	look_at_l4_ports(svc, &l);
	look_at_memory(svc, &l);
	look_at_bpffs(&l);
	look_at_punt(svc, &l);
}

struct list {
	json_t *checks;
	bool ok;
};

/* Texts end in `...; what to do`: that part is the fix. */
static void append(void *ctx, const char *name, enum xe_check_state state, const char *text)
{
	static const char *const words[] = {"ok", "warn", "fail"};
	struct list *list = ctx;
	const char *fix = state == XE_CHECK_OK ? NULL : strrchr(text, ';');
	int len = fix ? (int)(fix - text) : (int)strlen(text);

	list->ok &= state != XE_CHECK_FAIL;
	json_array_append_new(
		list->checks,
		json_pack("{ss, ss, ss%, so}", "name", name, "state", words[state], "text", text,
			  (size_t)len, "fix",
			  fix ? json_string(fix + 1 + strspn(fix + 1, " ")) : json_null()));
}

int xe_verb_check(void *ctx, struct xe_ctl_request *req)
{
	struct list list = {.checks = json_array(), .ok = true};

	xe_host_check(ctx, append, &list);
	return xe_ctl_ok(req, json_pack("{sb, so}", "ok", list.ok, "checks", list.checks));
}
