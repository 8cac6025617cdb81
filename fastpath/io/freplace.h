/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* freplace.h - can libxdp's dispatcher work here? Asked without touching an interface. */
#ifndef XE_FREPLACE_H
#define XE_FREPLACE_H

#include <stdbool.h>
#include <stdint.h>

/*
 * May this process replace functions of XDP programs (what the dispatcher is built on), may it ask
 * for programs by id (CAP_SYS_ADMIN), and has libxdp a bpf file system to keep its links in? Where
 * it has not, libxdp attaches plainly, by netlink: a program that stays when the process dies. The
 * answer is tried out with two programs of two instructions, which are gone on return. btf_fd and
 * func_id: BTF known to the kernel, and in it a function `int (struct xdp_md *)` for them to be.
 * Control thread.
 */
bool xe_freplace_works(int btf_fd, uint32_t func_id);

#endif
