/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * port_attach.c - the steps by which a port comes up and goes down.
 *
 * Up, from the inside out: lane entry, sockets, allow list, port entry, program, and last, when the
 * rules that name the port are in force (ports.c), the flag that lets steer take packets. Down in
 * reverse; then the sessions of the port end and its frames come back. A failed step is undone by
 * the same function that ends a port, so a port is whole or not there.
 */
#include "control/port_attach.h"

#include <errno.h>
#include <net/ethernet.h>
#include <net/if_arp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "control/flow_adopt.h"
#include "control/rss_read.h"
#include "control/state_dir.h"
#include "pipeline/pipeline.h"
#include "pipeline/reassemble.h"

/* What a worker learns of a port, in a call. */
struct lane_call {
	struct xe_port *port;
	uint8_t l2_addr[6];
	bool live;
	uint8_t tx_whole;
	uint32_t gso_max;
	struct xe_prefix4 *allow; /* passed on; the call gives back the old one to be freed */
	uint32_t allow_cnt;
	struct xe_prefix6 *allow6; /* the same */
	uint32_t allow6_cnt;
	struct xe_rss *rss; /* the same */
	uint32_t from;      /* sockets: queues from here on */
	int err;
};

/* Whose is queue q? steer counts the same way (xe_port_conf.worker_step). */
struct xe_worker *xe_port_queue_owner(struct xe_service *svc, const struct xe_port *port,
				      uint32_t q)
{
	return port->spread ? &svc->workers[(port->owner->idx + q) % svc->worker_cnt] : port->owner;
}

static void lane_set(struct xe_worker *w, void *arg)
{
	struct lane_call *c = arg;
	struct xe_lane_port *lp = &w->lane->ports[c->port->id];
	struct xe_prefix4 *old = lp->allow;
	struct xe_prefix6 *old6 = lp->allow6;
	struct xe_rss *old_rss = lp->rss;

	lp->worker = (uint8_t)c->port->owner->idx;
	lp->role = (uint8_t)c->port->role;
	lp->ifindex = c->port->ifindex;
	lp->mtu = c->port->mtu;
	lp->tx_whole = c->tx_whole;
	lp->gso_max = c->gso_max;
	memcpy(lp->l2_addr, c->l2_addr, 6);
	lp->allow = c->allow;
	lp->allow_cnt = c->allow_cnt;
	lp->allow6 = c->allow6;
	lp->allow6_cnt = c->allow6_cnt;
	lp->coalesce = c->port->coalesces;
	lp->own4_be = c->port->own4_be;
	lp->own6 = c->port->own6;
	lp->live = c->live;
	lp->rss = c->rss;
	xe_near_learn(w->lane);
	c->allow = old;
	c->allow6 = old6;
	c->rss = old_rss;
}

static bool is_at(const struct xe_worker *w, const struct xe_port *port, uint32_t q)
{
	return port->spread ? (port->owner->idx + q) % w->lane->worker_cnt == w->idx
			    : port->owner == w;
}

/* A worker sends by the first of its queues; where it has none, by AF_PACKET (pipeline/tx.c). */
static void lane_sockets(struct xe_worker *w, void *arg)
{
	struct lane_call *c = arg;
	struct xe_lane_port *lp = &w->lane->ports[c->port->id];

	for (uint32_t q = c->from; q < c->port->xsk_cnt && !c->err; q++) {
		if (!is_at(w, c->port, q))
			continue;
		c->err = xe_worker_add_socket(w, c->port->xsks[q]);
		if (!c->err && !lp->tx)
			lp->tx = c->port->xsks[q];
	}
}

/* What has been received and not looked at: it ends here, and is counted. */
static void drain(struct xe_lane *lane, struct xe_xsk *xsk)
{
	while (xe_rx(lane, xsk))
		for (uint32_t i = 0; i < lane->burst.cnt; i++)
			if (!lane->burst.packets[i].ended)
				xe_packet_drop(lane, &lane->burst.packets[i], XE_R_PORT_GONE);
}

static void lane_leave(struct xe_worker *w, void *arg)
{
	struct lane_call *c = arg;

	for (uint32_t q = c->from; q < c->port->xsk_cnt; q++) {
		if (is_at(w, c->port, q)) {
			drain(w->lane, c->port->xsks[q]);
			w->lane->leaving_fill += c->port->xsks[q]->fill_cnt;
			w->lane->leaving_tx += c->port->xsks[q]->tx_cnt;
		}
		if (w->lane->ports[c->port->id].tx == c->port->xsks[q])
			w->lane->ports[c->port->id].tx = NULL;
		xe_worker_del_socket(w, c->port->xsks[q]);
	}
}

/* The port leaves the lane: nothing is received or sent by it any more. */
static void lane_clear(struct xe_worker *w, void *arg)
{
	struct lane_call *c = arg;
	struct xe_lane_port *lp = &w->lane->ports[c->port->id];

	lane_leave(w, c);
	xe_hold_flush(w->lane, c->port->id, XE_R_PORT_GONE);
	xe_reassemble_flush(w->lane, c->port->id);
	xe_natpool_port_gone(&w->lane->pool, c->port->id);
	c->allow = lp->allow;
	c->allow6 = lp->allow6;
	c->rss = lp->rss;
	memset(lp, 0, sizeof(*lp));
	xe_near_learn(w->lane);
}

/* What other workers had handed over of the port before they cleared it ends: it is not live. */
static void lane_drain(struct xe_worker *w, void *arg)
{
	(void)arg;
	if (w->lane->handoff)
		xe_pipeline_drain_handed(w->lane);
}

static void lane_reclaim(struct xe_worker *w, void *arg)
{
	struct lane_call *c = arg;

	for (uint32_t q = c->from; q < c->port->xsk_cnt; q++)
		if (is_at(w, c->port, q))
			xe_umem_reclaim(&w->lane->umem, c->port->xsks[q]->slot);
	w->lane->leaving_fill = w->lane->leaving_tx = 0; /* one port goes at a time */
}

/* Interface by which the host's routing sees the port, and whose Ethernet address it answers to. */
static const struct xe_link *l3_link(const struct xe_service *svc, const struct xe_link *link)
{
	const struct xe_link *l3 =
		xe_netlink_link(svc->netlink, xe_netlink_l3_ifindex(svc->netlink, link->ifindex));

	return l3 ? l3 : link;
}

static bool takes_multi(const struct xe_port *port)
{
	for (uint32_t q = 0; q < port->xsk_cnt; q++)
		if (!port->xsks[q]->multi_buffer)
			return false;
	return port->xsk_cnt > 0;
}

static int tell_steer(struct xe_service *svc, const struct xe_port *port,
		      const struct xe_link *link)
{
	const struct xe_link *l3 = l3_link(svc, link);
	struct xe_port_conf conf = {
		.role = (uint8_t)port->role,
		.route_ifindex = (uint32_t)l3->ifindex,
		.worker = port->owner->idx,
		.worker_step = port->spread,
		.flags = (port->live ? XE_PF_LIVE : 0) | (port->moving ? XE_PF_MOVING : 0),
		.frame_len_max = link->mtu + ETH_HLEN,
	};

	if (takes_multi(port))
		conf.flags |= XE_PF_MULTI;
	for (uint32_t i = 0; i < port->allow_cnt; i++)
		conf.flags |= port->allow[i].family == AF_INET ? XE_PF_ALLOW4 : XE_PF_ALLOW6;
	memcpy(conf.l2_addr, l3->mac, 6);
	return xe_steer_set_port(&svc->steer, port->id, &conf);
}

/* A generic-mode program on a veth is given superpackets as they are; a native one, or any on a
 * NIC, what is or was on the wire. */
static bool wants_coalesce(const struct xe_port *port, const struct xe_link *link)
{
	if (port->coalesce != XE_COALESCE_AUTO)
		return port->coalesce == XE_COALESCE_ON;
	return !port->at.generic || strcmp(link->kind, "veth");
}

/* A port's allowed sources as its workers look at them, the families apart. Without memory a list
 * is empty: then nothing of that family is let in. */
static void copy_allow(const struct xe_port *port, struct lane_call *c)
{
	c->allow = calloc(port->allow_cnt + 1, sizeof(*c->allow));
	c->allow6 = calloc(port->allow_cnt + 1, sizeof(*c->allow6));
	for (uint32_t i = 0; i < port->allow_cnt; i++) {
		const struct xe_prefix *p = &port->allow[i];
		__be32 mask = htobe32(p->len <= 96 ? 0 : ~0u << (128 - p->len));

		if (p->family == AF_INET6 && c->allow6)
			c->allow6[c->allow6_cnt++] =
				(struct xe_prefix6){.net = p->addr, .mask = xe_prefix_mask(p->len)};
		else if (p->family == AF_INET && c->allow)
			c->allow[c->allow_cnt++] = (struct xe_prefix4){
				.net_be = p->addr.w_be[3] & mask, .mask_be = mask};
	}
}

/* Whose queues count from worker 0 on there, here from the owner on. */
static struct xe_rss *read_rss(const struct xe_service *svc, const struct xe_port *port,
			       const struct xe_link *link)
{
	struct xe_rss *rss = xe_rss_read(link->name, port->queue_cnt, svc->worker_cnt);

	for (uint32_t i = 0; rss && i < rss->indir_cnt; i++)
		rss->worker[i] = (uint8_t)((rss->worker[i] + port->owner->idx) % svc->worker_cnt);
	return rss;
}

void xe_port_tell_workers(struct xe_service *svc, struct xe_port *port, const struct xe_link *link)
{
	port->coalesces = wants_coalesce(port, link);
	xe_port_read_own(svc, port);
	for (uint32_t w = 0; w < svc->worker_cnt; w++) {
		struct lane_call c = {
			.port = port,
			.live = true,
			.tx_whole = link->tx_whole,
			.gso_max = link->gso_max_size,
		};

		if (port->role == XE_ROLE_UPLINK)
			c.rss = read_rss(svc, port, link);
		memcpy(c.l2_addr, l3_link(svc, link)->mac, 6);
		copy_allow(port, &c);
		xe_worker_call(&svc->workers[w], lane_set, &c);
		free(c.allow);
		free(c.allow6);
		free(c.rss);
	}
}

void xe_port_tell_steer(struct xe_service *svc, const struct xe_port *port,
			const struct xe_link *link)
{
	if (tell_steer(svc, port, link))
		xe_log_err("port %s: the steering program cannot be told of a change", port->name);
}

void xe_port_allow_to_steer(struct xe_service *svc, const struct xe_port *port, bool add)
{
	for (uint32_t i = 0; i < port->allow_cnt; i++) {
		const struct xe_prefix *p = &port->allow[i];

		if (!add)
			xe_steer_del_allow(&svc->steer, port->id, &p->addr, p->len);
		else if (xe_steer_set_allow(&svc->steer, port->id, &p->addr, p->len))
			xe_log_err("port %s: allow table is full", port->name);
	}
}

/* A glob can name itself by kind: a veth, tun or bridge has no driver worth native mode. */
static bool wants_generic(const struct xe_port *port, const struct xe_link *link)
{
	if (port->xdp != XE_XDP_AUTO)
		return port->xdp == XE_XDP_GENERIC;
	return link->kind[0] != '\0';
}

static uint16_t free_slot(const struct xe_service *svc)
{
	for (uint16_t id = 0; id < XE_MAX_PORTS; id++)
		if (!svc->ports[id])
			return id;
	return XE_PORT_NONE;
}

static uint32_t queue_cnt(const struct xe_link *link)
{
	uint32_t queues = link->rx_queues, tx;

	xe_link_channels(link->name, &queues, &tx);
	if (!queues)
		return 1;
	return queues > XE_MAX_QUEUES ? XE_MAX_QUEUES : queues;
}

static int open_sockets(struct xe_service *svc, struct xe_port *port, const struct xe_link *link)
{
	for (uint32_t q = port->xsk_cnt; q < port->queue_cnt; q++) {
		struct xe_xsk *xsk = calloc(1, sizeof(*xsk));
		int err;

		if (!xsk)
			return -ENOMEM;
		xsk->port = port->id;
		xsk->csum_offload = svc->config->csum_offload;
		xsk->slot = xe_port_slot(port->id, q);
		err = xe_xsk_open(xsk, &xe_port_queue_owner(svc, port, q)->lane->umem,
				  link->ifindex, (uint16_t)q,
				  !port->at.generic && !wants_generic(port, link));
		if (err) {
			free(xsk);
			snprintf(port->why, sizeof(port->why), "AF_XDP socket on queue %u: %s", q,
				 err == -EBUSY ? "another process, of xegress or not, has one there"
					       : strerror(-err));
			return err;
		}
		port->xsks[port->xsk_cnt++] = xsk;
	}
	return 0;
}

static int attach_program(struct xe_service *svc, struct xe_port *port, const struct xe_link *link)
{
	bool generic = wants_generic(port, link);
	int err = xe_attach(&svc->steer, &port->at, link->ifindex, generic, port->why,
			    sizeof(port->why));

	if (err == -EOPNOTSUPP && !generic && port->xdp == XE_XDP_AUTO)
		err = xe_attach(&svc->steer, &port->at, link->ifindex, true, port->why,
				sizeof(port->why));
	if (err && !port->why[0])
		snprintf(port->why, sizeof(port->why), "XDP program: %s", strerror(-err));
	return err;
}

void xe_port_tell_sockets(struct xe_service *svc, struct xe_port *port)
{
	for (uint32_t q = 0; q < port->xsk_cnt; q++)
		if (xe_steer_set_socket(&svc->steer, port->id, q, port->xsks[q]->fd))
			xe_log_err("port %s: queue %u has no place in the socket table", port->name,
				   q);
}

/* From queue `from` on; no lane has them any more. */
static void close_sockets(struct xe_service *svc, struct xe_port *port, uint32_t from)
{
	struct lane_call c = {.port = port, .from = from};

	for (uint32_t q = from; q < port->xsk_cnt; q++)
		xe_xsk_close(port->xsks[q]);
	for (uint32_t w = 0; w < svc->worker_cnt; w++)
		xe_worker_call(&svc->workers[w], lane_reclaim, &c);
	for (uint32_t q = from; q < port->xsk_cnt; q++)
		free(port->xsks[q]);
	port->xsk_cnt = from;
}

void xe_port_off(struct xe_service *svc, struct xe_port *port)
{
	struct xe_port_conf off = {};

	xe_adopt_ports_change(svc);
	port->live = false;
	xe_steer_set_port(&svc->steer, port->id, &off);
	xe_rps_restore(&svc->rps, &port->rps);
	if (port->at.prog_id)
		xe_detach(&port->at);
	for (uint32_t q = 0; q < port->xsk_cnt; q++)
		xe_steer_del_socket(&svc->steer, port->id, q);
	xe_steer_del_ifindex(&svc->steer, port->ifindex);
	xe_port_allow_to_steer(svc, port, false);
}

/* Undo as much of xe_port_up() as has been done. */
void xe_port_down(struct xe_service *svc, struct xe_port *port)
{
	struct lane_call c = {.port = port};
	struct xe_port_counters cnt;

	if (port->id == XE_PORT_NONE)
		return;
	xe_port_off(svc, port);
	for (uint32_t w = 0; w < svc->worker_cnt; w++) {
		c.allow = NULL;
		c.allow6 = NULL;
		c.rss = NULL;
		xe_worker_call(&svc->workers[w], lane_clear, &c);
		free(c.allow);
		free(c.allow6);
		free(c.rss);
	}
	for (uint32_t w = 0; w < svc->worker_cnt; w++)
		xe_worker_call(&svc->workers[w], lane_drain, NULL);
	/* Only now can no packet make a new session of this port. */
	xe_flows_flush_port(svc, port->id);
	svc->gone_xsk_lost += xe_port_lost(port);
	close_sockets(svc, port, 0);
	if (!xe_steer_counters(&svc->steer, port->id, &cnt))
		for (int r = 0; r < XE_R_STEER_CNT; r++)
			svc->gone_counters.reason[r] += cnt.reason[r];
	xe_steer_reset_counters(&svc->steer, port->id);
	svc->ports[port->id] = NULL;
	port->id = XE_PORT_NONE;
}

/* A native program runs before RPS, and a NIC's interrupts have their CPU. */
void xe_port_set_rps(struct xe_service *svc, struct xe_port *port)
{
	const struct xe_link *link = xe_netlink_link(svc->netlink, port->ifindex);

	if (link && port->at.generic && !strcmp(link->kind, "veth"))
		xe_rps_set(&svc->rps, link->name, link->ifindex, port->xsk_cnt, &port->rps);
}

static int port_up_steps(struct xe_service *svc, struct xe_port *port, const struct xe_link *link)
{
	struct lane_call c = {.port = port};
	int err;

	xe_port_tell_workers(svc, port, link);
	err = open_sockets(svc, port, link);
	if (err)
		return err;
	for (uint32_t w = 0; w < svc->worker_cnt && !c.err; w++)
		xe_worker_call(&svc->workers[w], lane_sockets, &c);
	if (c.err)
		return c.err;
	xe_port_allow_to_steer(svc, port, true);
	xe_port_tell_sockets(svc, port);
	/* Not live yet: the program, once attached, passes all, and no port sends there. */
	err = tell_steer(svc, port, link);
	if (!err)
		err = xe_steer_set_ifindex(&svc->steer, link->ifindex, port->id);
	if (!err)
		err = attach_program(svc, port, link);
	if (!err && wants_coalesce(port, link) != port->coalesces)
		xe_port_tell_workers(svc, port, link); /* the mode is known now */
	if (!err)
		xe_port_set_rps(svc, port);
	return err;
}

void xe_port_up(struct xe_service *svc, struct xe_port *port, const struct xe_link *link)
{
	char told[sizeof(port->why)];
	int err = -ENOSPC;

	snprintf(told, sizeof(told), "%s", port->state == XE_PORT_FAILED ? port->why : "");
	port->why[0] = '\0';
	if (link->arphrd != ARPHRD_ETHER) {
		port->state = XE_PORT_FAILED;
		snprintf(port->why, sizeof(port->why), "not an Ethernet interface");
		return;
	}
	if (!link->up) {
		port->state = XE_PORT_WAITING;
		snprintf(port->why, sizeof(port->why), "the interface is down");
		return;
	}
	port->id = free_slot(svc);
	if (port->id != XE_PORT_NONE) {
		port->queue_cnt = queue_cnt(link);
		port->spread = port->role == XE_ROLE_UPLINK && port->queue_cnt > 1;
		port->owner = xe_port_choose_owner(svc, port);
		svc->ports[port->id] = port;
		xe_state_dir_port(svc, port);
		err = port_up_steps(svc, port, link);
	}
	if (err) {
		if (!port->why[0])
			snprintf(port->why, sizeof(port->why), "%s", strerror(-err));
		port->state = XE_PORT_FAILED;
		port->err = err;
		if (strcmp(told, port->why))
			xe_log_err("port %s: %s", port->name, port->why);
		xe_port_down(svc, port);
		return;
	}
	port->state = XE_PORT_ATTACHED;
	xe_log_audit("uid=%u pid=%u attach port %s (%s) xdp=%s program=%u by=%s queues=%u",
		     getuid(), getpid(), port->name,
		     port->role == XE_ROLE_INSIDE ? "inside" : "uplink",
		     port->at.generic ? "generic" : "native", port->at.prog_id,
		     port->at.dispatcher ? "dispatcher" : "link", port->xsk_cnt);
}

void xe_port_go_live(struct xe_service *svc, struct xe_port *port)
{
	const struct xe_link *link = xe_netlink_link(svc->netlink, port->ifindex);

	if (!link)
		return; /* it is going, which the next event will say */
	port->live = true;
	xe_port_tell_steer(svc, port, link);
}

int xe_port_reattach(struct xe_service *svc, struct xe_port *port)
{
	const struct xe_link *link = xe_netlink_link(svc->netlink, port->ifindex);
	int err;

	if (!link)
		return -ENODEV;
	port->why[0] = '\0';
	xe_detach(&port->at); /* of what others have taken off: only what is left of it here */
	err = attach_program(svc, port, link);
	if (err)
		return err;
	if (wants_coalesce(port, link) != port->coalesces)
		xe_port_tell_workers(svc, port, link);
	xe_log_info("audit: uid=%u pid=%u attach port %s again xdp=%s program=%u by=%s", getuid(),
		    getpid(), port->name, port->at.generic ? "generic" : "native", port->at.prog_id,
		    port->at.dispatcher ? "dispatcher" : "link");
	return 0;
}

/* Sockets first, then steer: what comes in by the new queues meanwhile is the kernel's. The queues
 * that were there stay where they are. */
int xe_port_grow(struct xe_service *svc, struct xe_port *port, uint32_t queue_cnt)
{
	const struct xe_link *link = xe_netlink_link(svc->netlink, port->ifindex);
	struct lane_call c = {.port = port, .from = port->xsk_cnt};
	bool was_spread = port->spread;
	int err;

	if (!link)
		return -ENODEV;
	port->why[0] = '\0';
	port->queue_cnt = queue_cnt;
	port->spread |= port->role == XE_ROLE_UPLINK;
	err = open_sockets(svc, port, link);
	for (uint32_t w = 0; w < svc->worker_cnt && !err; w++) {
		xe_worker_call(&svc->workers[w], lane_sockets, &c);
		err = c.err;
	}
	if (err) {
		if (!port->why[0])
			snprintf(port->why, sizeof(port->why), "%s", strerror(-err));
		for (uint32_t w = 0; w < svc->worker_cnt; w++)
			xe_worker_call(&svc->workers[w], lane_leave, &c);
		close_sockets(svc, port, c.from);
		port->queue_cnt = c.from;
		port->spread = was_spread;
		return err;
	}
	xe_port_tell_workers(svc, port, link);
	xe_port_tell_steer(svc, port, link);
	xe_port_tell_sockets(svc, port);
	/* A veth gives a native program to the queues that it has at that moment (seen on 6.18). */
	if (!port->at.generic && !strcmp(link->kind, "veth"))
		xe_port_reattach(svc, port);
	if (port->rps.cnt) {
		xe_rps_restore(&svc->rps, &port->rps);
		xe_rps_set(&svc->rps, link->name, link->ifindex, port->xsk_cnt, &port->rps);
	}
	return 0;
}
