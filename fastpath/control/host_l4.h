/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * host_l4.h - the L4 ports of the host's own sockets, followed, so that none is given to a
 * translated flow.
 *
 *   reserved     net.ipv4.ip_local_reserved_ports                       every second
 *   listening    TCP listeners and UDP sockets (and what is reserved)   every 100 ms
 *   connected    TCP connections with an L4 port of a NAT range         every 100 ms, less often
 *                                                                       where that takes long
 *   local range  net.ipv4.ip_local_port_range, from which the kernel    every second
 *                takes those of the host's connections
 *
 * The default NAT range keeps clear of the local range (nat_range.h), and moves with it. `ports` of
 * a rule may meet it; then, and where a program binds an L4 port of a NAT range itself:
 *
 *   - the safety net gives the host's new flows from L4 ports in both ranges another one, which no
 *     worker gives out (fallback_rules.c);
 *   - a packet for an L4 port that the host has, or that lies in the local range, and of no session
 *     of ours goes on to the kernel (pipeline/flow_in.c), whose conntrack knows the host's flows.
 *
 * So both can have flows on one L4 port, to different peers. Control thread only.
 */
#ifndef XE_HOST_L4_H
#define XE_HOST_L4_H

#include "control/service.h"

/* The first look; rules are not there yet. */
void xe_host_l4_open(struct xe_service *svc);
/* Rules with other ranges are about to be in force: which connections are in those, now. */
void xe_host_l4_connected(struct xe_service *svc);
/* Every 100 ms. */
void xe_host_l4_poll(struct xe_service *svc);

#endif
