/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* memlock.h - may this process have the frames of its sockets? Control thread. */
#ifndef XE_MEMLOCK_H
#define XE_MEMLOCK_H

#include <stdbool.h>
#include <stddef.h>

/* RLIMIT_MEMLOCK as high as this process may raise it. */
void xe_memlock_raise(void);
/* The kernel counts the frames (area_size bytes) once for each socket against RLIMIT_MEMLOCK, for
 * all processes of the user together, unless CAP_IPC_LOCK is there; since 5.11 maps do not count.
 * False: not even `sockets` of them may be; why is one line that says what to do. */
bool xe_memlock_suffices(size_t area_size, unsigned int sockets, char *why, size_t why_size);

#endif
