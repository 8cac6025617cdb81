/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "pipeline/ip_id.h"

#include <arpa/inet.h>

#include "base/insum.h"
#include "pipeline/pipeline.h"

/* One side of a round of the permutation below: any function of a byte and two of the key's does.
 */
static uint8_t scramble(uint8_t byte, uint8_t a, uint8_t b)
{
	uint32_t x = (uint32_t)(byte ^ a) * 0x9e3779b1u;

	return (uint8_t)((x >> 24) + b);
}

/* Each number has another one, and none two (a Feistel network, whatever scramble() does). So what
 * is counted up comes out in no order, and once. Against guessing without the key; no cipher. */
static uint16_t permute(uint16_t n, uint64_t key)
{
	uint8_t left = (uint8_t)(n >> 8), right = (uint8_t)n;

	for (int round = 0; round < 4; round++, key >>= 16) {
		uint8_t was = left;

		left = right;
		right = was ^ scramble(right, (uint8_t)key, (uint8_t)(key >> 8));
	}
	return (uint16_t)(left << 8 | right);
}

/* Bits that tell workers apart: all send from the same addresses. */
static uint32_t worker_bits(const struct xe_lane *lane)
{
	return lane->worker_cnt > 1 ? 32 - (uint32_t)__builtin_clz(lane->worker_cnt - 1u) : 0;
}

void xe_ip_id_renew(struct xe_lane *lane, struct xe_packet *p)
{
	uint8_t *ip = p->l2 + XE_L3_OFF;
	struct xe_tuple4 pair = {
		.src_be = xe_get32(ip + XE_IP_SRC),
		.dst_be = xe_get32(ip + XE_IP_DST),
		.proto = p->proto,
	};
	/* The key is the same at all workers, so theirs is one permutation. */
	uint64_t hash = xe_flow_hash(&pair, lane->sessions.k0, lane->sessions.k1);
	uint16_t *next = &lane->ip_ids.next[hash % XE_IP_IDS];
	uint16_t was_be = xe_get16(ip + XE_IP_ID), now_be;
	uint32_t n = (uint32_t)(*next)++ << worker_bits(lane) | lane->worker;

	now_be = htons(permute((uint16_t)n, hash));
	xe_put16(ip + XE_IP_ID, now_be);
	xe_put16(ip + XE_IP_CSUM, xe_csum_replace16(xe_get16(ip + XE_IP_CSUM), was_be, now_be));
}
