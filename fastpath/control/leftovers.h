/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * leftovers.h - for `xegressd --handback` and `--clean`: what a service that is no more has left.
 * Whether it is no more, the lock of its run directory says; that is held meanwhile, so none
 * begins.
 */
#ifndef XE_LEFTOVERS_H
#define XE_LEFTOVERS_H

/* The flows of a service that crashed go on in the kernel, as after a clean stop: from its state
 * files to conntrack, and the files are gone then, since what the kernel knows of these flows is
 * newer from now on. For systemd's ExecStopPost. 0 also where there is nothing to do: a service
 * lives, or has left no flows; -errno. */
int xe_leftovers_hand_back(const char *run_dir);

/* The host as it was found: no safety net, no program in a dispatcher, receive packet steering as
 * it was, no state. Flows that were handed back go on without us. -EBUSY: a service lives. */
int xe_leftovers_clean(const char *run_dir);

#endif
