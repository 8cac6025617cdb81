/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * steer_prog.h - for attach.c and steer_maps.c: the steering program in its forms, all over the
 * same maps and each loaded at most once.
 *
 *   generic, plain    st->skel, loaded at open: it owns the maps
 *   native, plain     st->native, when the first port wants it
 *   dispatcher        st->ext[generic], a program of another kind (it replaces a function of
 *                     libxdp's dispatcher), loaded when the first port of its mode is attached; the
 *                     kernel attaches one to any number of dispatchers (5.10)
 *
 * Once each, because libbpf reads the kernel's whole type information anew for every object it
 * loads (70 ms), and because all ports then run the same code in the instruction cache.
 */
#ifndef XE_STEER_PROG_H
#define XE_STEER_PROG_H

#include "io/attach.h"

#define XE_STEER_PROG_NAME "xe_steer"

/* The generic program, and what it tells about the kernel: st->can_read_gso, st->plain_only. */
int xe_steer_prog_open(struct xe_steer *st);
void xe_steer_prog_close(struct xe_steer *st);

/* Program to attach plainly; st keeps the fd. -errno. */
int xe_steer_plain_fd(struct xe_steer *st, bool generic);
/* Program to attach by the dispatcher; st keeps it. NULL: errno. */
struct xdp_program *xe_steer_ext(struct xe_steer *st, bool generic);
/* It could not be loaded; the next call makes another one. */
void xe_steer_drop_ext(struct xe_steer *st, bool generic);

#endif
