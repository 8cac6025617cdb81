/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "steer_host.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <linux/bpf.h>
/* after it */
#include <bpf/bpf_helpers.h>

#include "xegress/reason.h"

/* What the program is asked to find when it is loaded (steer_maps.h). */
static int gso_source;
static const uint8_t *whole;
static uint32_t whole_len;

static long load_bytes(struct xdp_md *ctx, uint32_t off, void *to, uint32_t len)
{
	(void)ctx;
	if (off > whole_len || len > whole_len - off)
		return -1;
	memcpy(to, whole + off, len);
	return 0;
}

#define bpf_xdp_load_bytes load_bytes
#include "../../bpf/steer_parse.h"

struct steer_said steer_parses(const uint8_t *bytes, uint32_t len, uint32_t head_len,
			       bool by_helper)
{
	struct steer_scratch tmp = {};
	struct steer_said said = {};
	/* The IP header is aligned as the kernel has it. */
	uint8_t *room = malloc(2 + head_len), *head = room + 2;

	if (!room)
		abort();
	memcpy(head, bytes, head_len);
	whole = bytes;
	whole_len = len;
	gso_source = by_helper ? 2 : 0;
	said.reason = parse_packet(NULL, &tmp, head, head + head_len, len, bytes);
	memcpy(said.addr[0], &tmp.pkt.src, 16);
	memcpy(said.addr[1], &tmp.pkt.dst, 16);
	said.l4_port[0] = ntohs(tmp.pkt.sport_be);
	said.l4_port[1] = ntohs(tmp.pkt.dport_be);
	said.proto = tmp.pkt.proto;
	said.is_v6 = tmp.pkt.is_v6;
	said.is_frag = tmp.pkt.is_frag;
	free(room);
	return said;
}
