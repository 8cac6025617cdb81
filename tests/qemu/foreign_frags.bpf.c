// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* foreign_pass for whole superpackets: beside it a dispatcher keeps the flag, and so do we. */
#define FOREIGN_SECTION "xdp.frags"
#include "foreign_pass.bpf.c"
