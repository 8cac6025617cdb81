/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * steer_host.h - the parser of the steering program (bpf/steer_parse.h), built for this process.
 */
#ifndef XE_FUZZ_STEER_HOST_H
#define XE_FUZZ_STEER_HOST_H

#include <stdbool.h>
#include <stdint.h>

struct steer_said {
	int reason;          /* enum xe_steer_reason; XE_R_TAKEN: parsed */
	uint8_t addr[2][16]; /* source, destination; IPv4 as ::ffff:a.b.c.d */
	uint16_t l4_port[2]; /* of those, host byte order */
	uint8_t proto;
	bool is_v6, is_frag;
};

/* A packet of len bytes, of which the first head_len lie in the program's reach. by_helper: headers
 * behind options are read by bpf_xdp_load_bytes(), as without CAP_PERFMON. A read beyond the head
 * is one beyond an allocation. */
struct steer_said steer_parses(const uint8_t *bytes, uint32_t len, uint32_t head_len,
			       bool by_helper);

#endif
