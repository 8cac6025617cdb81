/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * port_given.h - a port that another process has attached becomes ours: its link, its sockets, its
 * id. Control thread, before the workers run.
 */
#ifndef XE_PORT_GIVEN_H
#define XE_PORT_GIVEN_H

#include "control/port_attach.h"
#include "control/takeover_wire.h"

/* Can it be had so? NULL or why not: then it is attached anew when the other process has gone. */
const char *xe_port_given_why_not(struct xe_service *svc, const struct xe_to_port *given);
/* Attached in our tables and maps, its rings mapped; nothing that the other process uses is touched
 * before xe_port_given_resume(). Takes the descriptors that it uses out of fds. -errno, logged:
 * some of it may be there, for xe_ports_leave(). */
int xe_port_given_up(struct xe_service *svc, const struct xe_to_port *given, struct xe_to_fds *fds);
/* The other one has stopped: the socket goes on with so many frames. */
void xe_port_given_resume(struct xe_service *svc, const struct xe_to_socket *s);

/* Let go of all ports without touching an interface, but for those that only this process can
 * detach (in a dispatcher). */
void xe_ports_leave(struct xe_service *svc);

#endif
