/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * rss.h - to which worker will a NIC bring the reply? The Toeplitz hash of its tuple, and the
 * indirection table from there to the queue.
 *
 * Where key and table can be read (control/rss_read.c), the Ext L4 port of a new flow is chosen so
 * that its replies come in on a queue of the worker that owns it. Where not, or where the card
 * hashes otherwise than it says, replies are handed over: nothing depends on a good guess.
 *
 * Immutable once made: by the control thread, read by the workers. The hash is Microsoft's
 * ("Verifying the RSS hash calculation"), which all NICs follow; it is linear, so the hash of some
 * bytes is the sum of one table look-up for each.
 */
#ifndef XE_RSS_H
#define XE_RSS_H

#include <stdbool.h>
#include <stdint.h>

#include "xegress/steer_abi.h"

/* Addresses and L4 ports, source first, in network order. */
#define XE_RSS_INPUT  12
#define XE_RSS_INPUT6 36
/* Key bytes that so much input and 32 bits of hash use. Keys are 40 bytes and more. */
#define XE_RSS_KEY_MIN (XE_RSS_INPUT6 + 4)
/* Longest indirection table known of: 2048 (mlx5). */
#define XE_RSS_INDIR_MAX 2048

struct xe_rss {
	bool by_l4_port[2];  /* are L4 ports part of the hash: TCP, UDP? Else no choice helps */
	bool by_l4_port6[2]; /* the same over IPv6 */
	uint32_t indir_cnt;
	uint8_t worker[XE_RSS_INDIR_MAX]; /* per entry of the indirection table */
	uint32_t table[XE_RSS_INPUT6][256];
};

/* key: XE_RSS_KEY_MIN bytes at least. */
void xe_rss_set_key(struct xe_rss *rss, const uint8_t *key);

/* The hash of a packet with this tuple (as it is on the wire); without L4 ports, over 8 bytes. */
static inline uint32_t xe_rss_hash(const struct xe_rss *rss, const struct xe_tuple4 *t, bool l4)
{
	uint32_t hash = 0;
	uint8_t in[XE_RSS_INPUT];

	__builtin_memcpy(in, &t->src_be, 4);
	__builtin_memcpy(in + 4, &t->dst_be, 4);
	__builtin_memcpy(in + 8, &t->sport_be, 2);
	__builtin_memcpy(in + 10, &t->dport_be, 2);
	for (int i = 0; i < (l4 ? XE_RSS_INPUT : 8); i++)
		hash ^= rss->table[i][in[i]];
	return hash;
}

/* The same over IPv6; without L4 ports, over 32 bytes. */
static inline uint32_t xe_rss_hash6(const struct xe_rss *rss, const struct xe_addr *src,
				    const struct xe_addr *dst, const struct xe_tuple4 *t, bool l4)
{
	uint32_t hash = 0;
	uint8_t in[XE_RSS_INPUT6];

	__builtin_memcpy(in, src, 16);
	__builtin_memcpy(in + 16, dst, 16);
	__builtin_memcpy(in + 32, &t->sport_be, 2);
	__builtin_memcpy(in + 34, &t->dport_be, 2);
	for (int i = 0; i < (l4 ? XE_RSS_INPUT6 : 32); i++)
		hash ^= rss->table[i][in[i]];
	return hash;
}

static inline uint32_t xe_rss_worker(const struct xe_rss *rss, const struct xe_tuple4 *t)
{
	return rss->worker[xe_rss_hash(rss, t, true) % rss->indir_cnt];
}

#endif
