/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * takeover_give.h - the side of a takeover that is the service now (takeover_wire.h has the
 * conversation).
 *
 * One conversation at a time, in the service's event loop; from FREEZE to GO, some milliseconds,
 * the control thread does nothing else. From BEGIN on interfaces and the control socket wait, so
 * that what has been told stays true. Whatever goes wrong before GO: everything goes on.
 */
#ifndef XE_TAKEOVER_GIVE_H
#define XE_TAKEOVER_GIVE_H

#include "control/service.h"

struct xe_give;

/* Listen at RUN/takeover.sock. The name is the run directory's holder's, and replaced whoever had
 * it. Without it the service works all the same, and cannot be taken over: it is said. */
void xe_give_open(struct xe_service *svc);
void xe_give_close(struct xe_service *svc);
/* Readable when there is something to do; -1: nothing ever. */
int xe_give_fd(const struct xe_service *svc);
void xe_give_dispatch(struct xe_service *svc);
/* Every 100 ms: has the other side fallen silent? */
void xe_give_tick(struct xe_service *svc);
/* Must what would change ports or configuration wait? */
bool xe_give_holds_still(const struct xe_service *svc);
/* After svc->given: wait until the new service needs us no more (bounded). */
void xe_give_wait(struct xe_service *svc);

#endif
