/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * ports.c - interfaces become ports and cease to be.
 *
 * Which interfaces are ports is decided here, by the configuration and what exists; port_attach.c
 * does the attaching. The safety net learns of a port before it is attached: from the first moment
 * on what the kernel forwards of it goes through the net.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "control/flow_adopt.h"
#include "control/ct_adopt.h"
#include "control/port_attach.h"
#include "control/state_dir.h"
#include "io/xdp_query.h"

/* Connected prefixes looked at per port; more belong into `allow:`. */
#define MAX_CONNECTED 64

struct xe_port *xe_port_named(const struct xe_service *svc, const char *name)
{
	for (struct xe_port *p = svc->port_list; p; p = p->next)
		if (!strcmp(p->name, name))
			return p;
	return NULL;
}

struct xe_port *xe_port_by_ifindex(const struct xe_service *svc, int ifindex)
{
	for (struct xe_port *p = svc->port_list; p; p = p->next)
		if (p->ifindex == ifindex && ifindex)
			return p;
	return NULL;
}

__u32 xe_port_ids(void *ctx, const char *name, __u16 *ids, __u32 max)
{
	const struct xe_service *svc = ctx;
	__u32 n = 0;

	for (struct xe_port *p = svc->port_list; p && n < max; p = p->next) {
		if (p->state != XE_PORT_ATTACHED ||
		    (strcmp(p->entry, name) && strcmp(p->name, name)))
			continue;
		ids[n++] = p->id | (p->role == XE_ROLE_INSIDE ? XE_OUT_INSIDE : 0);
	}
	return n;
}

bool xe_port_allows(const struct xe_port *port, const struct xe_addr *addr)
{
	for (uint32_t i = 0; i < port->allow_cnt; i++)
		if (xe_prefix_covers(&port->allow[i], addr))
			return true;
	return false;
}

uint64_t xe_port_lost(const struct xe_port *port)
{
	uint64_t sum = 0;

	for (uint32_t q = 0; q < port->xsk_cnt; q++) {
		struct xe_xsk_lost lost;

		if (!xe_xsk_lost(port->xsks[q], &lost))
			sum += lost.rx_dropped + lost.rx_ring_full;
	}
	return sum;
}

/* Configured `allow`, else what is connected. */
static int read_allow(struct xe_service *svc, const struct xe_port *port, struct xe_prefix **out,
		      uint32_t *cnt)
{
	const struct xe_config_port *cp = xe_config_port_for(svc->config, port->name);
	struct xe_prefix connected[MAX_CONNECTED];
	const struct xe_prefix *from = connected;

	*out = NULL;
	*cnt = 0;
	if (port->role != XE_ROLE_INSIDE)
		return 0;
	if (cp && cp->allow_cnt) {
		from = cp->allow;
		*cnt = cp->allow_cnt;
	} else {
		*cnt = xe_netlink_connected(svc->netlink, port->ifindex, connected, MAX_CONNECTED);
		if (*cnt > MAX_CONNECTED) {
			xe_log_warn("port %s: %u connected prefixes, the first %u are allowed: "
				    "name them by `allow`",
				    port->name, *cnt, MAX_CONNECTED);
			*cnt = MAX_CONNECTED;
		}
	}
	*out = calloc(*cnt + 1, sizeof(**out));
	if (!*out)
		return -ENOMEM;
	memcpy(*out, from, *cnt * sizeof(**out));
	return 0;
}

static bool any_waits_for_rules(const struct xe_service *svc)
{
	for (struct xe_port *p = svc->port_list; p; p = p->next)
		if (p->state == XE_PORT_ATTACHED && !p->live)
			return true;
	return false;
}

static void go_live(struct xe_service *svc)
{
	bool all = xe_adopt_ports(svc);

	for (struct xe_port *p = svc->port_list; p; p = p->next)
		if (p->state == XE_PORT_ATTACHED && !p->live) {
			p->moving = svc->ct || !all;
			xe_port_go_live(svc, p);
		}
	xe_ct_adopt(svc);
}

/* Ports have come or gone: rules that name them, and everything routed, must follow. Of a new port
 * nothing is taken before its rules and deny lists are in force, and the flows that it had before
 * are sessions. */
static void ports_changed(struct xe_service *svc)
{
	char err[256];

	if (xe_rules_publish(svc, err, sizeof(err)))
		xe_log_err("%s", err);
	else
		go_live(svc);
	svc->fallback_stale = true;
	if (svc->resolver)
		xe_resolver_refresh(svc);
}

static void port_detach_logged(struct xe_service *svc, struct xe_port *port)
{
	uint16_t id = port->id;

	if (port->state != XE_PORT_ATTACHED)
		return;
	xe_port_down(svc, port);
	if (svc->resolver)
		xe_resolver_forget_port(svc, id);
	port->state = XE_PORT_WAITING;
	xe_log_audit("uid=%u pid=%u detach port %s", getuid(), getpid(), port->name);
}

void xe_port_remove(struct xe_service *svc, struct xe_port *port)
{
	struct xe_port **at = &svc->port_list;

	port_detach_logged(svc, port);
	while (*at != port)
		at = &(*at)->next;
	*at = port->next;
	free(port->allow);
	free(port);
}

static struct xe_port *port_new(struct xe_service *svc, const char *name,
				const struct xe_config_port *cp)
{
	struct xe_port *port = calloc(1, sizeof(*port)), **at = &svc->port_list;

	if (!port)
		return NULL;
	snprintf(port->name, sizeof(port->name), "%s", name);
	snprintf(port->entry, sizeof(port->entry), "%s", cp->name);
	port->role = cp->role;
	port->xdp = cp->xdp;
	port->coalesce = cp->coalesce;
	port->id = XE_PORT_NONE;
	port->at.link_fd = -1;
	snprintf(port->why, sizeof(port->why), "no such interface");
	while (*at)
		at = &(*at)->next;
	*at = port;
	return port;
}

static bool has_prefix(const struct xe_prefix *list, uint32_t cnt, const struct xe_prefix *p)
{
	for (uint32_t i = 0; i < cnt; i++)
		if (list[i].len == p->len && !memcmp(&list[i].addr, &p->addr, sizeof(p->addr)))
			return true;
	return false;
}

static bool same_allow(const struct xe_prefix *a, uint32_t a_cnt, const struct xe_prefix *b,
		       uint32_t b_cnt)
{
	if (a_cnt != b_cnt)
		return false;
	for (uint32_t i = 0; i < a_cnt; i++)
		if (!has_prefix(b, b_cnt, &a[i]))
			return false;
	return true;
}

/* New allow list in place. True when it differs from what was there. */
static bool refresh_allow(struct xe_service *svc, struct xe_port *port)
{
	const struct xe_link *link = xe_netlink_link(svc->netlink, port->ifindex);
	struct xe_port old = *port;
	struct xe_prefix *fresh;
	uint32_t cnt;

	if (!link || read_allow(svc, port, &fresh, &cnt))
		return false;
	if (same_allow(fresh, cnt, port->allow, port->allow_cnt)) {
		free(fresh);
		return false;
	}
	port->allow = fresh;
	port->allow_cnt = cnt;
	if (port->state == XE_PORT_ATTACHED) {
		xe_port_allow_to_steer(svc, &old, false);
		xe_port_allow_to_steer(svc, port, true);
		xe_port_tell_workers(svc, port, link);
		xe_port_tell_steer(svc, port, link);
	}
	free(old.allow);
	return true;
}

void xe_ports_refresh_allow(struct xe_service *svc)
{
	for (struct xe_port *p = svc->port_list; p; p = p->next)
		if (p->ifindex)
			svc->fallback_stale |= refresh_allow(svc, p);
}

/* Does what is attached differ from what the configuration says now? */
static bool is_outdated(const struct xe_port *port, const struct xe_config_port *cp)
{
	return !cp || port->role != cp->role || port->xdp != cp->xdp;
}

/* The one thing of an entry that an attached port takes over as it runs. */
static void set_coalesce(struct xe_service *svc, struct xe_port *port,
			 const struct xe_config_port *cp)
{
	const struct xe_link *link = xe_netlink_link(svc->netlink, port->ifindex);

	if (port->coalesce == cp->coalesce)
		return;
	port->coalesce = cp->coalesce;
	if (port->state == XE_PORT_ATTACHED && link)
		xe_port_tell_workers(svc, port, link);
}

/* Ports whose entry has gone or says something else now are taken down; with `keep` only those that
 * are not attached anyway. */
static bool sync_old(struct xe_service *svc, bool keep)
{
	struct xe_port *port = svc->port_list, *next;
	bool changed = false;

	for (; port; port = next) {
		const struct xe_config_port *cp = xe_config_port_for(svc->config, port->name);

		next = port->next;
		if (is_outdated(port, cp) && keep && port->state == XE_PORT_ATTACHED)
			continue;
		if (is_outdated(port, cp) || (!port->ifindex && strcmp(cp->name, port->name))) {
			changed |= port->state == XE_PORT_ATTACHED;
			xe_port_remove(svc, port);
			continue;
		}
		set_coalesce(svc, port, cp);
		if (!strcmp(port->entry, cp->name))
			continue;
		/* rules name it by another entry now */
		snprintf(port->entry, sizeof(port->entry), "%s", cp->name);
		changed |= port->state == XE_PORT_ATTACHED;
	}
	return changed;
}

/* The port of an interface that is to be one, made where it is not there yet; NULL: none. */
static struct xe_port *identify(struct xe_service *svc, const struct xe_link *link)
{
	const struct xe_config_port *cp = xe_config_port_for(svc->config, link->name);
	struct xe_port *port = xe_port_named(svc, link->name);

	if (!cp)
		return NULL;
	if (!port)
		port = port_new(svc, link->name, cp);
	if (!port || port->state == XE_PORT_ATTACHED)
		return port;
	if (port->ifindex != link->ifindex)
		svc->fallback_stale = true;
	port->ifindex = link->ifindex;
	port->mtu = link->mtu;
	svc->fallback_stale |= refresh_allow(svc, port);
	return port;
}

struct xe_port *xe_port_make(struct xe_service *svc, const struct xe_link *link,
			     const struct xe_config_port *entry)
{
	struct xe_port *port = port_new(svc, link->name, entry);

	if (!port)
		return NULL;
	port->ifindex = link->ifindex;
	port->mtu = link->mtu;
	refresh_allow(svc, port);
	return port;
}

/* Attach what is not; the net first. True when a port came up. */
static bool bring_up(struct xe_service *svc, struct xe_port *port, const struct xe_link *link)
{
	if (!port || port->state == XE_PORT_ATTACHED)
		return false;
	if (svc->fallback_stale)
		xe_safety_net_apply(svc);
	xe_port_up(svc, port, link);
	return port->state == XE_PORT_ATTACHED;
}

/* Entries that name an interface explicitly are ports also while it is missing. */
static void sync_missing(struct xe_service *svc)
{
	for (uint32_t i = 0; i < svc->config->port_cnt; i++) {
		const struct xe_config_port *cp = &svc->config->ports[i];

		if (!strpbrk(cp->name, "*?[") && !xe_port_named(svc, cp->name))
			port_new(svc, cp->name, cp);
	}
}

static void sync_ports(struct xe_service *svc, bool keep)
{
	bool changed = sync_old(svc, keep);
	const struct xe_link *link;

	xe_for_each_link(svc->netlink, link) identify(svc, link);
	xe_for_each_link(svc->netlink, link) changed |=
		bring_up(svc, xe_port_named(svc, link->name), link);
	sync_missing(svc);
	xe_ports_refresh_allow(svc);
	if (changed || any_waits_for_rules(svc))
		ports_changed(svc);
}

void xe_ports_sync_new(struct xe_service *svc)
{
	sync_ports(svc, true);
}

void xe_ports_sync(struct xe_service *svc)
{
	sync_ports(svc, false);
}

static void link_changed(struct xe_service *svc, struct xe_port *port, const struct xe_link *link)
{
	if (port->mtu != link->mtu)
		xe_log_info("port %s: MTU is now %u", port->name, link->mtu);
	port->mtu = link->mtu;
	xe_port_tell_workers(svc, port, link);
	xe_port_tell_steer(svc, port, link);
	svc->fallback_stale = true; /* it may have joined or left a bridge */
}

/* Its interface has another name now. Where the configuration wants the same of that one, the port
 * goes on with its sockets and flows; else (false) that is another port, or none. Who names it, a
 * rule or the safety net, is told by the caller (ports_changed). */
static bool rename_port(struct xe_service *svc, struct xe_port *port, const struct xe_link *link)
{
	const struct xe_config_port *cp = xe_config_port_for(svc->config, link->name);
	struct xe_port *other = xe_port_named(svc, link->name);

	if (port->state != XE_PORT_ATTACHED || is_outdated(port, cp))
		return false;
	/* One that waits for an interface of this name. An attached one has lost it, too, of which
	 * the next event tells. */
	if (other && other->state != XE_PORT_ATTACHED)
		xe_port_remove(svc, other);
	xe_log_audit("uid=%u pid=%u port %s is named %s now", getuid(), getpid(), port->name,
		     link->name);
	snprintf(port->name, sizeof(port->name), "%s", link->name);
	snprintf(port->entry, sizeof(port->entry), "%s", cp->name);
	xe_state_dir_port(svc, port);
	set_coalesce(svc, port, cp);
	refresh_allow(svc, port);
	svc->fallback_stale = true;
	return true;
}

void xe_ports_link_event(struct xe_service *svc, const struct xe_link *link,
			 const struct xe_link *was, enum xe_nl_event event)
{
	struct xe_port *port = xe_port_by_ifindex(svc, link->ifindex);

	if (!svc->resolver)
		return; /* the first dump: start syncs when everything is there */
	if (port && event != XE_NL_REMOVED && strcmp(port->name, link->name) &&
	    rename_port(svc, port, link)) {
		svc->ports_renamed = true;
	} else if (port && (event == XE_NL_REMOVED || strcmp(port->name, link->name))) {
		bool attached = port->state == XE_PORT_ATTACHED;

		if (event == XE_NL_REMOVED)
			xe_ct_port_gone(svc, port);
		xe_port_remove(svc, port);
		port = NULL;
		svc->ports_gone |= attached;
	}
	(void)was;
	if (event == XE_NL_REMOVED) {
		sync_missing(svc);
		return;
	}
	if (port && port->state == XE_PORT_ATTACHED)
		link_changed(svc, port, link);
	else if ((port = identify(svc, link)))
		port->comes = svc->ports_come = true;
	sync_missing(svc);
}

void xe_ports_settle(struct xe_service *svc)
{
	bool changed = svc->ports_gone || svc->ports_renamed;

	if (!svc->resolver || (!changed && !svc->ports_come))
		return;
	svc->ports_gone = svc->ports_come = svc->ports_renamed = false;
	for (struct xe_port *port = svc->port_list; port; port = port->next) {
		const struct xe_link *link = xe_netlink_link(svc->netlink, port->ifindex);

		if (port->comes && link)
			changed |= bring_up(svc, port, link);
		port->comes = false;
	}
	if (changed)
		ports_changed(svc);
}

/* Longest wait before a port that could not be attached is tried again, in tries of a second. Its
 * interface may be somebody else's for good, and each try makes sockets. */
#define RETRY_MAX 32

/* Who was in the way may have left without an event (a bpf_link that ends). */
static bool is_due(struct xe_port *port)
{
	uint32_t prog_id;

	if (port->err == -EBUSY)
		return !xe_xdp_query(port->ifindex, &prog_id) && !prog_id;
	if (port->retry_in && --port->retry_in)
		return false;
	port->retry_step = port->retry_step ? 2 * port->retry_step : 1;
	if (port->retry_step > RETRY_MAX)
		port->retry_step = RETRY_MAX;
	port->retry_in = port->retry_step;
	return true;
}

void xe_ports_retry(struct xe_service *svc, bool attach)
{
	bool changed = false;

	for (struct xe_port *p = svc->port_list; p && attach; p = p->next) {
		const struct xe_link *link;

		if (p->state != XE_PORT_FAILED || !p->err || !is_due(p))
			continue;
		link = xe_netlink_link(svc->netlink, p->ifindex);
		if (link)
			changed |= bring_up(svc, p, link);
	}
	if (changed || any_waits_for_rules(svc))
		ports_changed(svc);
}

void xe_ports_catch_up(struct xe_service *svc)
{
	struct xe_port *port = svc->port_list, *next;
	bool changed = false;

	for (; port; port = next) {
		const struct xe_link *link = xe_netlink_link(svc->netlink, port->ifindex);
		bool renamed =
			link && strcmp(link->name, port->name) && rename_port(svc, port, link);

		next = port->next; /* the one before may have been removed */
		if (!port->ifindex)
			continue;
		if (renamed) {
			changed = true;
		} else if (!link || strcmp(link->name, port->name)) {
			changed |= port->state == XE_PORT_ATTACHED;
			if (!link)
				xe_ct_port_gone(svc, port);
			xe_port_remove(svc, port);
		} else if (port->state == XE_PORT_ATTACHED) {
			link_changed(svc, port, link);
		}
	}
	if (changed)
		ports_changed(svc);
	xe_ports_sync(svc);
	xe_ports_refresh_own(svc);
	xe_ext_addrs_catch_up(svc);
	xe_resolver_refresh(svc);
}

void xe_ports_close(struct xe_service *svc)
{
	while (svc->port_list)
		xe_port_remove(svc, svc->port_list);
}
