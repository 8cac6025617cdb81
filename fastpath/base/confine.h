/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * confine.h - what the process may no longer do, by stages.
 *
 *   xe_confine_begin()   main(), before the first thread: only what start and run need is kept, for
 *                        this thread and all that will come of it; nothing is ever gained again
 *   xe_confine_worker()  a worker, as its thread begins: no capability at all is left
 *   xe_confine_control() the control thread, when everything is up: what run needs is left
 *
 * The last two also load a filter of system calls (syscalls.h). Capabilities and filters belong to
 * a thread: each gives up its own. docs/operations.md, "Privileges", says
 * what each one is for and what happens without.
 */
#ifndef XE_CONFINE_H
#define XE_CONFINE_H

#include <stdbool.h>
#include <stddef.h>

/* 0 or -errno. Of what the process was not given, only that is missed here without which nothing
 * goes; `why` is one line then. */
int xe_confine_begin(char *why, size_t why_size);
/* No filters in this process (--no-seccomp); before the first thread. */
void xe_confine_no_filter(void);
int xe_confine_worker(void);
/* What start needed for files of others is given up: what is read from now on can be read again
 * while the service runs. */
int xe_confine_files(void);
/* The processes of libnftables (nft_run.h): CAP_NET_ADMIN; forks: the one that makes the other. */
int xe_confine_nft(bool forks);
/* dispatcher: ports are attached by libxdp's dispatcher, for which CAP_SYS_ADMIN stays. */
int xe_confine_control(bool dispatcher);

/* Is this capability (CAP_*) in force for the calling thread? */
bool xe_confine_has(unsigned int cap);

#endif
