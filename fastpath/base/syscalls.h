/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * syscalls.h - which system calls a thread of the running service may make (seccomp).
 *
 * Each thread loads its own filter when its start is done, so that of the start is not in it: no
 * mounting, no new thread or process. What is not on a thread's list fails with ENOSYS and is
 * logged by the kernel (audit): a call that a newer C library makes must not end the network, and
 * is one that it knows how to do without. Only what an intruder alone would want, as to execute a
 * program, ends the process at once; the safety net then has the network.
 *
 * On x86-64 since 5.11 the kernel keeps a bitmap of the calls that pass whatever their arguments:
 * those of a worker are all of that kind, so that the filter costs a packet nothing.
 */
#ifndef XE_SYSCALLS_H
#define XE_SYSCALLS_H

/* KEEPER: like CONTROL, and makes processes (control/nft_run.h). */
enum xe_syscalls { XE_SYSCALLS_WORKER, XE_SYSCALLS_CONTROL, XE_SYSCALLS_KEEPER };

/* For the calling thread, for good. 0 or -errno (-EINVAL, -ENOSYS: a kernel without seccomp). */
int xe_syscalls_confine(enum xe_syscalls who);

#endif
