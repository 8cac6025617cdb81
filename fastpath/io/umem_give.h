/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * umem_give.h - who holds each frame, told to another process that maps the same memory.
 *
 * Told is only what the kernel holds, by the socket: all else is free for the new process. So it
 * may cut the memory into other slices, and give a socket to another worker: a frame that is at a
 * socket of one worker and in the slice of another is LENT for its owner and a guest there, as if
 * it had been handed over, and goes home by the same ring.
 *
 * Control thread, while the workers do not run.
 */
#ifndef XE_UMEM_GIVE_H
#define XE_UMEM_GIVE_H

#include "io/umem.h"

/* What a frame is told to be: 2 * slot of a socket (fill) or 2 * slot + 1 (tx), as
 * xe_umem.holder. */
#define XE_GIVEN_FREE 0xffffu
#define XE_GIVEN_HELD 0xfffeu /* set by who imports: in hand of its slice's worker */

/* Frames of the area as all its workers see them together: area_cnt words. */
void xe_umem_export(const struct xe_umem *const *umems, uint32_t worker_cnt, uint16_t *given);

/* Which worker has the socket of this slot? */
typedef uint32_t (*xe_umem_owner_fn)(void *ctx, uint16_t slot);
/* The reverse, into fresh slices (all frames free). A slot for which owner() says UINT32_MAX is at
 * no worker: the kernel may still write to its frames, so they stay in hand of their slice's worker
 * until xe_umem_put_orphans(). */
void xe_umem_import(struct xe_umem *const *umems, uint32_t worker_cnt, const uint16_t *given,
		    xe_umem_owner_fn owner, void *ctx);
/* These sockets are closed everywhere: their frames of this worker's slice are free. */
void xe_umem_put_orphans(struct xe_umem *umem, const uint16_t *given, xe_umem_owner_fn owner,
			 void *ctx);

#endif
