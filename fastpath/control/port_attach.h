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

/* What has changed on an attached port: MTU, addresses, master, allow list. */
void xe_port_tell_workers(struct xe_service *svc, struct xe_port *port, const struct xe_link *link);
void xe_port_tell_steer(struct xe_service *svc, const struct xe_port *port,
			const struct xe_link *link);
/* Entries of port->allow, in or out. */
void xe_port_allow_to_steer(struct xe_service *svc, const struct xe_port *port, bool add);

/* port_addr.c: the host's own address on this port, read anew; true when it is another one. */
bool xe_port_read_own(struct xe_service *svc, struct xe_port *port);

#endif
