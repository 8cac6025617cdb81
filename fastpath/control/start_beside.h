/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * start_beside.h - what a start need not do one after the other: a thread of its own does it while
 * the first one waits for the kernel, which checks the programs and pins the sockets' memory.
 *
 *   first thread   programs loaded . workers . netlink . ports come up: frames pinned . adoption
 *   this one       dead processes' flows read | frames and tables touched
 *                                             ^ xe_beside_lanes()
 *
 * The first touch of a page is the kernel zeroing it; that of the tables, of which each new session
 * touches other pages, took 0.17 of the 0.6 s in which a worker made a million sessions. Pages come
 * from the worker's memory node, for the thread runs on its CPU then. All is as it would be without
 * it, only later. It has ended before READY=1, so nothing of it is ever confined.
 */
#ifndef XE_START_BESIDE_H
#define XE_START_BESIDE_H

#include "control/service.h"

/* Signals are blocked as they are to be, which the thread inherits. */
void xe_beside_begin(struct xe_service *svc);
/* Workers, their tables and frames are there from now on until xe_beside_end(). */
void xe_beside_lanes(struct xe_service *svc);
/* Wait until xe_state_dir_read() is done, or do it. */
void xe_beside_have_read(struct xe_service *svc);
/* Wait until it has ended; what it has not begun by now is left. */
void xe_beside_end(struct xe_service *svc);

#endif
