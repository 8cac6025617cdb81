/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * takeover_take.h - the side of a takeover that is to be the service (takeover_wire.h has the
 * conversation).
 *
 *   xe_take_begin()   HELLO: who it is taken from, by whose keys, in whose memory
 *                     ... the start as ever, without workers that run, sockets, nft ...
 *   xe_take_finish()  BEGIN to GO: ports, rings, flows, links; the workers run
 *   xe_take_settle()  the names in the run directory, systemd, BYE
 *   xe_take_gone()    the old process has ended, and with it its hold on links and sockets: ports
 *                     become what our configuration says
 *
 * Until GO nothing on the host is changed but the links' program, which the old process puts back.
 * So whatever fails, this process goes, and that one is the service. Control thread.
 */
#ifndef XE_TAKEOVER_TAKE_H
#define XE_TAKEOVER_TAKE_H

#include "control/service.h"

struct xe_take;

/* Ask whoever holds the run directory. -errno, logged; then there is nothing to close. The lock and
 * the punt devices are svc's from here on. */
int xe_take_begin(struct xe_service *svc);
/* The flow hash of packets on their way. */
void xe_take_keys(const struct xe_service *svc, uint64_t *k0, uint64_t *k1);
/* The old one's memory in slices of ours. False: it does not divide so; then its sockets cannot be
 * had, ports are attached anew when it has gone, and only flows are taken over. */
bool xe_take_area(struct xe_service *svc);
/* What the old one has promised about flows that live on. After the steering program is loaded. */
void xe_take_remembered(struct xe_service *svc);
int xe_take_finish(struct xe_service *svc);
void xe_take_settle(struct xe_service *svc);
/* Readable when the old process has ended; -1: it has, or there never was one. */
int xe_take_fd(const struct xe_service *svc);
void xe_take_gone(struct xe_service *svc);
/* Are there ports that can only be ours when the old process has ended? Until then its safety net
 * stays in force, with which they are left to the kernel. */
bool xe_take_waits(const struct xe_service *svc);
void xe_take_close(struct xe_service *svc);

#endif
