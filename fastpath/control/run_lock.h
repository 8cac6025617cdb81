/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * run_lock.h - the run directory, and a lock on it that only one service can hold.
 *
 * What is in the folder, and the safety net named after it, is the lock's holder's; the file itself
 * stays for ever, since whoever removes it may remove another's.
 */
#ifndef XE_RUN_LOCK_H
#define XE_RUN_LOCK_H

#include "control/service.h"

/* Make the folder, hold its lock (svc->lock_fd). takeover: where another process holds it, ask that
 * one for it. 0 or -errno, and it has been said why: -EBUSY another service uses the folder. */
int xe_run_lock(struct xe_service *svc, bool takeover);
/* Is what has been opened and locked still the file of that name? `--clean` may remove a folder
 * that it has made itself, and a lock on what has no name keeps nobody out. */
bool xe_run_lock_is_there(int fd, const char *path);
/* Write into it whose it is, for people. 0 or -errno. */
int xe_run_lock_sign(const struct xe_service *svc);

#endif
