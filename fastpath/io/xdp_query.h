/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* xdp_query.h - which XDP program is on an interface? */
#ifndef XE_XDP_QUERY_H
#define XE_XDP_QUERY_H

#include <stdint.h>

/* *prog_id: its generic or native program, 0: none. 0 or -errno. Asks for this one interface, where
 * libbpf's bpf_xdp_query() has the kernel list all of them: with 250 veths 6 ms a time. */
int xe_xdp_query(int ifindex, uint32_t *prog_id);

#endif
