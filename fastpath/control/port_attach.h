/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* port_attach.h - for ports.c: one port up, down, and told of changes. Control thread. */
#ifndef XE_PORT_ATTACH_H
#define XE_PORT_ATTACH_H

#include "control/service.h"

/* Attach a port whose interface and allow list are known. Sets state and, where it is not attached,
 * why; then nothing of it is left. steer takes nothing of it yet: the rules that name it come into
 * force first, then it goes live. */
void xe_port_up(struct xe_service *svc, struct xe_port *port, const struct xe_link *link);
void xe_port_go_live(struct xe_service *svc, struct xe_port *port);
void xe_port_down(struct xe_service *svc, struct xe_port *port);
/* The first part of that, which asks no worker: its program is off, what it receives is the
 * kernel's. */
void xe_port_off(struct xe_service *svc, struct xe_port *port);

/* Slots of a port's sockets: those of all workers are told apart by them, below the special holders
 * of umem.h. With more queues than slots some share one. */
#define XE_PORT_SLOTS 16
static inline uint16_t xe_port_slot(uint16_t id, uint32_t q)
{
	return (uint16_t)(id * XE_PORT_SLOTS + q % XE_PORT_SLOTS);
}
/* Whose is queue q? */
struct xe_worker *xe_port_queue_owner(struct xe_service *svc, const struct xe_port *port,
				      uint32_t q);
/* The worker that is best for it, and its sockets into the table of steer. */
struct xe_worker *xe_port_choose_owner(struct xe_service *svc, const struct xe_port *port);
void xe_port_tell_sockets(struct xe_service *svc, struct xe_port *port);

/* The senders' work off the workers' CPUs, where that makes sense (io/rps.h). */
void xe_port_set_rps(struct xe_service *svc, struct xe_port *port);

/* Its program was taken off by others: on again. Sockets and sessions are as they were. 0, or
 * -errno and why. */
int xe_port_reattach(struct xe_service *svc, struct xe_port *port);
/* It has so many queues now, more than before: a socket on each. 0; -errno and why: the new ones
 * have none. */
int xe_port_grow(struct xe_service *svc, struct xe_port *port, uint32_t queue_cnt);

/* What has changed on an attached port: MTU, addresses, master, allow list. */
void xe_port_tell_workers(struct xe_service *svc, struct xe_port *port, const struct xe_link *link);
void xe_port_tell_steer(struct xe_service *svc, const struct xe_port *port,
			const struct xe_link *link);
/* Entries of port->allow, in or out. */
void xe_port_allow_to_steer(struct xe_service *svc, const struct xe_port *port, bool add);

/* port_addr.c: the host's own address on this port, read anew; true when it is another one. */
bool xe_port_read_own(struct xe_service *svc, struct xe_port *port);

#endif
