/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "control/port_given.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "control/state_dir.h"

static const struct xe_link *link_of(const struct xe_service *svc, const struct xe_to_port *given)
{
	const struct xe_link *link = xe_netlink_link(svc->netlink, (int)given->ifindex);

	return link && !strcmp(link->name, given->name) && link->up ? link : NULL;
}

const char *xe_port_given_why_not(struct xe_service *svc, const struct xe_to_port *given)
{
	if (given->role > XE_ROLE_UPLINK || given->xdp > XE_XDP_GENERIC ||
	    given->coalesce > XE_COALESCE_OFF)
		return "it is of a kind that this version does not know";
	if (!given->by_link)
		return "its program is in libxdp's dispatcher";
	if (!link_of(svc, given))
		return "its interface has gone, or is going";
	/* Whose a frame of a shared slot is could not be told. */
	if (given->queue_cnt > XE_PORT_SLOTS && XE_PORT_SLOTS % svc->worker_cnt)
		return "its queues do not divide among the workers";
	return NULL;
}

/* By the entry of our configuration where that says the same, else by what was in force: the next
 * xe_ports_sync() sees the difference. */
static struct xe_port *make_port(struct xe_service *svc, const struct xe_to_port *given)
{
	const struct xe_config_port *cp = xe_config_port_for(svc->config, given->name);
	struct xe_config_port was = {
		.role = given->role, .xdp = given->xdp, .coalesce = given->coalesce};

	memcpy(was.name, given->entry, sizeof(was.name));
	if (!cp || cp->role != was.role || cp->xdp != was.xdp)
		cp = &was;
	return xe_port_make(svc, link_of(svc, given), cp);
}

static int adopt_socket(struct xe_service *svc, struct xe_port *port,
			const struct xe_to_port *given, uint32_t q, int fd)
{
	struct xe_worker *w = xe_port_queue_owner(svc, port, q);
	struct xe_lane_port *lp = &w->lane->ports[port->id];
	struct xe_xsk *xsk = calloc(1, sizeof(*xsk));
	int err;

	if (!xsk) {
		close(fd);
		return -ENOMEM;
	}
	xsk->ifindex = port->ifindex;
	xsk->queue = (uint16_t)q;
	xsk->port = port->id;
	xsk->slot = xe_port_slot(port->id, q);
	xsk->csum_offload = svc->config->csum_offload;
	xsk->zerocopy = given->queues[q].zerocopy;
	xsk->multi_buffer = given->queues[q].multi_buffer;
	err = xe_xsk_adopt(xsk, fd, given->queues[q].meta);
	if (!err)
		err = xe_worker_adopt_socket(w, xsk);
	if (err) {
		xe_xsk_close(xsk);
		free(xsk);
		return err;
	}
	port->xsks[port->xsk_cnt++] = xsk;
	if (!lp->tx)
		lp->tx = xsk;
	return 0;
}

static int adopt_all(struct xe_service *svc, struct xe_port *port, const struct xe_to_port *given,
		     struct xe_to_fds *fds)
{
	int err =
		xe_attach_adopt(&svc->steer, &port->at, port->ifindex, given->generic, fds->fd[0]);

	if (err)
		return err;
	fds->fd[0] = -1;
	xe_port_tell_workers(svc, port, xe_netlink_link(svc->netlink, port->ifindex));
	for (uint32_t q = 0; q < given->queue_cnt && !err; q++) {
		err = adopt_socket(svc, port, given, q, fds->fd[1 + q]);
		fds->fd[1 + q] = -1;
	}
	return err;
}

int xe_port_given_up(struct xe_service *svc, const struct xe_to_port *given, struct xe_to_fds *fds)
{
	struct xe_port *port;
	int err = -EPROTO;

	if (given->id >= XE_MAX_PORTS || svc->ports[given->id] || given->owner >= XE_MAX_WORKERS ||
	    given->queue_cnt > XE_MAX_QUEUES || fds->cnt != 1 + given->queue_cnt)
		goto out;
	port = make_port(svc, given);
	err = -ENOMEM;
	if (!port)
		goto out;
	port->id = given->id;
	svc->ports[port->id] = port;
	port->queue_cnt = given->queue_cnt;
	port->spread = port->role == XE_ROLE_UPLINK && port->queue_cnt > 1;
	port->owner = given->owner < svc->worker_cnt ? &svc->workers[given->owner]
						     : xe_port_choose_owner(svc, port);
	xe_state_dir_port(svc, port);
	err = adopt_all(svc, port, given, fds);
	if (err)
		goto out;
	xe_port_allow_to_steer(svc, port, true);
	xe_port_tell_sockets(svc, port);
	err = xe_steer_set_ifindex(&svc->steer, port->ifindex, port->id);
	port->state = XE_PORT_ATTACHED;
	port->why[0] = '\0';
out:
	if (err)
		xe_log_err("port %.*s, given to us: %s", IFNAMSIZ, given->name, strerror(-err));
	return err;
}

void xe_port_given_resume(struct xe_service *svc, const struct xe_to_socket *s)
{
	struct xe_port *port = s->port < XE_MAX_PORTS ? svc->ports[s->port] : NULL;

	if (!port || s->queue >= port->xsk_cnt)
		return;
	port->xsks[s->queue]->rx_packets = s->rx_packets;
	xe_worker_resume_socket(xe_port_queue_owner(svc, port, s->queue), port->xsks[s->queue],
				s->fill_cnt, s->tx_cnt);
}

void xe_ports_leave(struct xe_service *svc)
{
	while (svc->port_list) {
		struct xe_port *port = svc->port_list;

		svc->port_list = port->next;
		if (port->at.dispatcher)
			xe_detach(&port->at);
		xe_attach_leave(&port->at);
		for (uint32_t q = 0; q < port->xsk_cnt; q++) {
			xe_xsk_close(port->xsks[q]);
			free(port->xsks[q]);
		}
		xe_rps_leave_port(&port->rps);
		free(port->allow);
		free(port);
	}
}
