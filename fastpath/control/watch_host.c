/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * watch_host.c - what others on this host may have taken away or changed.
 *
 * Looking must cost little where nothing happens: a look that took long (thousands of nftables
 * rules, a thousand interfaces) is not repeated before LOOK_SHARE times as long has passed.
 */
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "control/nft_generation.h"
#include "control/port_attach.h"
#include "control/sysctl.h"
#include "control/verbs.h"
#include "control/watch_state.h"
#include "io/tun.h"

/* A fiftieth of this thread's time: looks of up to 20 ms are made every second. */
#define LOOK_SHARE 50
/* Making the safety net again, which with thousands of rules takes seconds, gets a third of it:
 * somebody may change it again and again. */
#define REMAKE_SHARE 3

/* The kernel tells when settings change (netconf), nftables has a generation, and what neither
 * tells of (accept_ra, iptables-legacy) is asked for each second: then they are looked at at once.
 * Else so often, in case something was missed, since four files a port are read. */
#define SETTINGS_NS (10 * XE_NS_PER_SEC)

/* ioctl()s to ask inside ports for their queues in one look: each takes the kernel's rtnl lock, and
 * of the hundreds of ports that a host may have nearly all are veths, whose queues nobody changes.
 */
#define QUEUE_ASKS 8

/* One system call a port, which copies a counter set for each CPU: of a thousand ports, 2 ms on two
 * CPUs, 20 on a hundred. So a thousandth of this thread's time, which is each tick below 0.1 ms:
 * the service is to cost less than a hundredth of a CPU when it is idle. */
#define UNHEARD_SHARE 1000
/* A port whose queues cannot get sockets goes on counting: asked again so much later. */
#define UNHEARD_NS XE_NS_PER_SEC

static bool repairs(const struct xe_service *svc)
{
	return svc->config->repair == XE_REPAIR_ON;
}

/* ---- programs ---- */

static void watch_program(struct xe_service *svc, struct xe_port *port)
{
	char what[48];
	int err;

	if (port->state != XE_PORT_ATTACHED || xe_attached(&port->at) ||
	    !if_nametoindex(port->name)) /* gone: the event is on its way */
		return;
	snprintf(what, sizeof(what), "port %s", port->name);
	err = repairs(svc) ? xe_port_reattach(svc, port) : 0;
	if (!repairs(svc)) {
		xe_watch_found(svc->watch, XE_WATCH_PROGRAMS, XE_WATCH_QUIET, what,
			       "its XDP program was taken off by somebody else");
	} else if (err) {
		xe_watch_found(svc->watch, XE_WATCH_PROGRAMS, XE_WATCH_QUIET, what,
			       "its XDP program was taken off by somebody else: %s", port->why);
	} else {
		xe_watch_found(svc->watch, XE_WATCH_PROGRAMS, XE_WATCH_QUIET, what,
			       "its XDP program was taken off by somebody else, program %u is "
			       "attached instead",
			       port->at.prog_id);
		xe_watch_over(svc->watch, XE_WATCH_PROGRAMS, what);
	}
}

static void watch_programs(struct xe_service *svc)
{
	xe_watch_begin(svc->watch, XE_WATCH_PROGRAMS);
	for (struct xe_port *p = svc->port_list; p; p = p->next)
		watch_program(svc, p);
	xe_watch_end(svc->watch, XE_WATCH_PROGRAMS);
	xe_ports_retry(svc, repairs(svc));
}

/* ---- safety net ---- */

/* That it is not as it was applied. */
static void say_net(struct xe_service *svc)
{
	xe_watch_found(svc->watch, XE_WATCH_NET, XE_WATCH_QUIET, "safety net",
		       "the table was removed or changed by somebody else%s",
		       repairs(svc) ? ", it is made again" : "");
}

/* Is it another one? A look tells, or, where that takes long, the kernel's word that somebody has
 * been at it: then it is made again at once, if it is. */
static bool is_net_changed(struct xe_service *svc, enum xe_fallback_glance glance)
{
	if (glance == XE_FALLBACK_CHANGED && repairs(svc))
		return true;
	return glance != XE_FALLBACK_HOLDS && !xe_fallback_present(svc->fallback);
}

/* Reloading somebody's firewall (`nft flush ruleset`) takes our table along, and an apply that
 * failed may succeed later. True: it was made again. */
static bool look_at_net(struct xe_service *svc, enum xe_fallback_glance glance)
{
	if (svc->fallback_why[0]) {
		svc->fallback_stale = true; /* what is wrong has been logged */
		return false;
	}
	if (!is_net_changed(svc, glance))
		return false;
	say_net(svc);
	if (!repairs(svc))
		return false;
	xe_safety_net_apply(svc);
	if (!svc->fallback_why[0])
		xe_watch_over(svc->watch, XE_WATCH_NET, "safety net");
	return true;
}

static void watch_net(struct xe_service *svc)
{
	enum xe_fallback_glance glance = xe_fallback_glance(svc->fallback);
	struct xe_watch *watch = svc->watch;
	uint64_t start_ns = xe_now_ns(), share = LOOK_SHARE;
	bool due = start_ns >= watch->net_next_ns;

	if (svc->fallback_stale || (!due && glance != XE_FALLBACK_CHANGED))
		return;
	xe_watch_begin(watch, XE_WATCH_NET);
	if (glance == XE_FALLBACK_CHANGED)
		say_net(svc); /* before anything that takes long, and before its turn comes */
	if (due && look_at_net(svc, glance))
		share = REMAKE_SHARE;
	if (due)
		watch->net_next_ns = start_ns + share * (xe_now_ns() - start_ns);
	xe_watch_end(watch, XE_WATCH_NET);
}

/* ---- punt devices ---- */

struct new_punt {
	int fd, uplink_fd;
};

static void set_punt(struct xe_worker *w, void *arg)
{
	const struct new_punt *n = arg;

	w->lane->punt_fd = n->fd;
	w->lane->punt_uplink_fd = n->uplink_fd;
}

/* A new one in place of one that was deleted: all workers write there when this returns. */
static int remake_punt(struct xe_service *svc, int *fd, char *name)
{
	char made[IFNAMSIZ];
	int new_fd = xe_tun_open(made), old_fd = *fd;
	struct new_punt n;

	if (new_fd < 0)
		return new_fd;
	*fd = new_fd;
	memcpy(name, made, sizeof(made));
	n = (struct new_punt){svc->punt_fd, svc->punt_uplink_fd};
	for (uint32_t w = 0; w < svc->worker_cnt; w++)
		xe_worker_call(&svc->workers[w], set_punt, &n);
	close(old_fd);
	svc->fallback_stale = true; /* its name may be another */
	return 0;
}

static const char *punt_fault(int err)
{
	switch (err) {
	case -ENODEV:
		return "it was deleted, or moved to another network namespace";
	case -ENETDOWN:
		return "it was set down";
	case -EADDRNOTAVAIL:
		return "its address was removed";
	default:
		return "its settings (forwarding, rp_filter) were changed";
	}
}

static bool watch_punt(struct xe_service *svc, int *fd, char *name)
{
	int err = xe_tun_look(*fd, name);
	char what[48];

	if (!err)
		return true;
	snprintf(what, sizeof(what), "punt device %s", name);
	xe_watch_found(svc->watch, XE_WATCH_PUNT, 0, what, "%s by somebody else%s", punt_fault(err),
		       repairs(svc) ? ", it is made as it was" : "");
	if (!repairs(svc))
		return err != -ENODEV;
	if (err == -ENODEV ? !remake_punt(svc, fd, name) : !xe_tun_restore(name)) {
		xe_watch_over(svc->watch, XE_WATCH_PUNT, what);
		return true;
	}
	return err != -ENODEV;
}

/* Without them steer leaves fragments to the kernel: they could not be given back. */
static void watch_punts(struct xe_service *svc)
{
	bool both;

	if (svc->punt_fd < 0 || svc->punt_uplink_fd < 0)
		return; /* there never were: `status` says so */
	xe_watch_begin(svc->watch, XE_WATCH_PUNT);
	both = watch_punt(svc, &svc->punt_fd, svc->punt_name);
	both &= watch_punt(svc, &svc->punt_uplink_fd, svc->punt_uplink_name);
	xe_watch_end(svc->watch, XE_WATCH_PUNT);
	__atomic_store_n(&svc->steer.conf->take_fragments, both, __ATOMIC_RELEASE);
}

/* ---- RPS ---- */

static void watch_rps(struct xe_service *svc)
{
	char what[48];

	xe_watch_begin(svc->watch, XE_WATCH_RPS);
	for (struct xe_port *p = svc->port_list; p; p = p->next) {
		if (p->state != XE_PORT_ATTACHED || xe_rps_holds(&svc->rps, &p->rps))
			continue;
		snprintf(what, sizeof(what), "port %s's rps_cpus", p->name);
		xe_watch_found(svc->watch, XE_WATCH_RPS, 0, what,
			       "changed by somebody else: what it receives may take a worker's "
			       "CPU%s",
			       repairs(svc) ? "; set again" : "");
		if (repairs(svc) && xe_rps_renew(&svc->rps, &p->rps))
			xe_watch_over(svc->watch, XE_WATCH_RPS, what);
	}
	xe_watch_end(svc->watch, XE_WATCH_RPS);
}

/* ---- queues ---- */

/* ethtool -L sends no event. What comes in by a queue without a socket is the kernel's, which knows
 * nothing of our flows; so there must be one on each. (Fewer the kernel refuses while they are.) */
static void watch_queue(struct xe_service *svc, struct xe_port *port)
{
	uint32_t rx, tx, had = port->xsk_cnt;
	char what[48];

	if (xe_link_channels(port->name, &rx, &tx))
		return;
	rx = rx > XE_MAX_QUEUES ? XE_MAX_QUEUES : rx;
	port->queues_short = false;
	if (rx <= had)
		return;
	snprintf(what, sizeof(what), "port %s's queues", port->name);
	port->queues_short = xe_port_grow(svc, port, rx) != 0;
	if (!port->queues_short)
		xe_log_info("port %s: %u receive queues now, were %u", port->name, rx, had);
	else
		xe_watch_found(svc->watch, XE_WATCH_QUEUES, 0, what,
			       "%u now, were %u, and the new ones have no socket: %s", rx, had,
			       port->why);
}

/* What has no socket to go to says so by its counter: so a port whose queues were changed under
 * traffic need not wait for its turn. */
void xe_watch_unheard(struct xe_service *svc)
{
	struct xe_watch *watch = svc->watch;
	uint64_t start_ns = xe_now_ns();

	if (start_ns < watch->unheard_next_ns)
		return;
	for (struct xe_port *p = svc->port_list; p; p = p->next) {
		struct xe_port_counters cnt;

		if (p->id == XE_PORT_NONE || start_ns < p->queues_next_ns ||
		    xe_steer_counters(&svc->steer, p->id, &cnt) ||
		    cnt.reason[XE_R_NO_SOCKET] == p->unheard_cnt)
			continue;
		p->unheard_cnt = cnt.reason[XE_R_NO_SOCKET];
		p->queues_next_ns = start_ns + UNHEARD_NS;
		watch_queue(svc, p);
	}
	watch->unheard_next_ns = start_ns + UNHEARD_SHARE * (xe_now_ns() - start_ns);
}

/* Uplinks always, and those with a complaint; of the others some, in turn. */
static void watch_queues(struct xe_service *svc)
{
	struct xe_watch *watch = svc->watch;
	uint32_t asks = 0;

	xe_watch_begin(watch, XE_WATCH_QUEUES);
	for (uint32_t id = 0; id < XE_MAX_PORTS; id++)
		if (svc->ports[id] &&
		    (svc->ports[id]->role == XE_ROLE_UPLINK || svc->ports[id]->queues_short))
			watch_queue(svc, svc->ports[id]);
	for (uint32_t n = 0; n < XE_MAX_PORTS && asks < QUEUE_ASKS; n++) {
		struct xe_port *p = svc->ports[watch->queue_turn++ % XE_MAX_PORTS];

		if (!p || p->role == XE_ROLE_UPLINK || p->queues_short)
			continue;
		watch_queue(svc, p);
		asks++;
	}
	xe_watch_end(watch, XE_WATCH_QUEUES);
}

/* ---- the host's settings ---- */

static void on_setting(void *ctx, const char *name, enum xe_check_state state, const char *text)
{
	struct xe_service *svc = ctx;

	if (state != XE_CHECK_OK)
		xe_watch_found(svc->watch, XE_WATCH_SETTINGS,
			       state == XE_CHECK_WARN ? XE_WATCH_QUIET | XE_WATCH_NOTE
						      : XE_WATCH_QUIET,
			       name, "%s", text);
}

/* What is set where nobody is told of a change, as one number: accept_ra of the uplinks, and the
 * policies of iptables-legacy, whose rules have to be read for it. */
static uint64_t untold_settings(const struct xe_service *svc)
{
	uint64_t sum = (uint64_t)(xe_xtables_forward_drops(AF_INET) & 3) |
		       (uint64_t)(xe_xtables_forward_drops(AF_INET6) & 3) << 2;

	for (const struct xe_port *p = svc->port_list; p; p = p->next) {
		const struct xe_link *l3;

		if (p->state != XE_PORT_ATTACHED || p->role != XE_ROLE_UPLINK)
			continue;
		l3 = xe_netlink_link(svc->netlink, xe_netlink_l3_ifindex(svc->netlink, p->ifindex));
		sum = sum * 31 + (uint64_t)(xe_sysctl_accept_ra(l3 ? l3->name : p->name) & 3);
	}
	return sum;
}

static bool untold_changed(struct xe_service *svc)
{
	struct xe_watch *watch = svc->watch;
	uint64_t start_ns = xe_now_ns(), was = watch->untold;

	if (start_ns < watch->untold_next_ns)
		return false;
	watch->untold = untold_settings(svc);
	watch->untold_next_ns = start_ns + LOOK_SHARE * (xe_now_ns() - start_ns);
	return watch->untold != was;
}

static void watch_settings(struct xe_service *svc)
{
	struct xe_watch *watch = svc->watch;
	uint32_t generation = xe_nft_generation();
	uint64_t start_ns = xe_now_ns();

	watch->host_changed |= generation != watch->nft_generation || untold_changed(svc);
	watch->nft_generation = generation;
	if (start_ns < watch->settings_next_ns && !watch->host_changed)
		return;
	watch->host_changed = false;
	xe_watch_begin(watch, XE_WATCH_SETTINGS);
	xe_host_check(svc, on_setting, svc);
	xe_watch_end(watch, XE_WATCH_SETTINGS);
	watch->settings_next_ns = start_ns + SETTINGS_NS;
}

void xe_watch_host(struct xe_service *svc)
{
	watch_net(svc); /* first: programs, while off, leave everything to it */
	watch_programs(svc);
	watch_punts(svc);
	watch_rps(svc);
	watch_queues(svc);
	watch_settings(svc);
}
