/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * natpool.h - Ext addresses and their L4 ports: which are in use, which one a new flow gets.
 *
 * TCP shares an Ext L4 port between destinations (RFC 7857 section 3): what must be unique is the
 * tuple of the replies. UDP maps endpoint-independently (RFC 4787 REQ-1): one inside address and
 * L4 port has one Ext L4 port for all destinations, kept by a mapping that its sessions count.
 *
 * A new L4 port is the flow's own where that lies in the range and is free, else one drawn at
 * random by a keyed hash (RFC 6056). Workers share a range by blocks of 64: a block is claimed by
 * compare-and-swap in the table of owners when a worker draws an L4 port in it, and given back when
 * its last one is free again. While a worker has less than its part of a range it draws from all
 * blocks that nobody else has, so that its L4 ports lie scattered; beyond that it claims another
 * only when its own get full, so that it leaves the others room, and yet can use the whole range
 * where they need none. A word of the owned map, which steer reads, is one block and so has
 * one writer at a time; the table says to every worker whose a reply is.
 *
 *   owner of a block:  nobody --claim (CAS)--> worker w: owned word, use counts --empty--> nobody
 *
 * Everything but the `taken` bitmaps and the table of owners belongs to one worker; those are
 * written by the control thread (listeners and reserved L4 ports of the host), word by word.
 */
#ifndef XE_NATPOOL_H
#define XE_NATPOOL_H

#include <stdint.h>

#include "state/index.h"
#include "state/rss.h"
#include "state/session.h"

#define XE_BITMAP_WORDS 1024 /* 65536 / 64 */

/* L4 ports that the host uses or reserves; index 0 TCP, 1 UDP. Shared by all workers. */
struct xe_taken {
	uint64_t bits[2][XE_BITMAP_WORDS];
};

/* Who has which block: by xe_owned_idx(), worker + 1 or 0. Shared by all workers; an entry is
 * changed only from 0 by compare-and-swap, and back to 0 by its owner. */
struct xe_blocks {
	uint8_t owner[XE_OWNED_ENTRIES];
};

/* What a rule gives its flows: made by the control thread, immutable (struct xe_ruleset.attach). */
struct xe_nat_range {
	uint16_t port_min, port_max; /* host order, inclusive */
	uint32_t ext_cnt;            /* 0: masquerade, the next hop says which */
	const uint32_t *ext;         /* Ext address indexes */
};

/* An endpoint-independent mapping (UDP). */
struct xe_mapping {
	__be32 src_be; /* as in a tuple of this family; the mapping holds an IPv6 one */
	__be16 sport_be;
	uint16_t in_port;
	uint32_t ext;
	uint32_t refs; /* sessions */
	uint32_t hash;
	uint32_t next_free;
	uint16_t ext_port; /* host order */
	uint8_t is_udp;
	uint8_t family;
};

struct xe_ext {
	struct xe_addr addr; /* zero: none */
	__be32 addr_be;      /* as in a tuple of this family, which holds an IPv6 one */
	uint8_t family;
	uint16_t *use[2]; /* per L4 port: sessions (TCP) or mappings (UDP) on it, NULL until used */
	/* A bit a block: this worker's, and those of them with an L4 port that has no user. */
	uint64_t mine[2][XE_OWNED_WORDS / 64];
	uint64_t open[2][XE_OWNED_WORDS / 64];
};

/* From an address to its index: open addressing, half empty at most. Entries are index + 1. */
#define XE_EXT_SLOTS 512
_Static_assert(XE_EXT_SLOTS >= 2 * XE_MAX_EXT_ADDRS, "half empty at most");

struct xe_natpool {
	struct xe_ext ext[XE_MAX_EXT_ADDRS];
	uint16_t ext_slot[XE_EXT_SLOTS];
	struct xe_blocks *blocks;
	uint64_t *owned; /* map `owned` of steer_abi.h */
	const struct xe_taken *taken;
	uint16_t worker, worker_cnt;
	struct xe_sessions *sessions;
	struct xe_mapping *mappings;
	uint32_t mapping_cnt, mapping_high, mapping_capacity, mapping_free;
	struct xe_index mapping_index;
	uint64_t rng_k0, rng_k1, rng_counter;
};

/* `owned`: XE_OWNED_ENTRIES words. The memory behind sessions, owned, blocks and taken must outlive
 * the pool. 0 or -ENOMEM. */
int xe_natpool_open(struct xe_natpool *pool, struct xe_sessions *sessions, uint64_t *owned,
		    struct xe_blocks *blocks, const struct xe_taken *taken, uint16_t worker,
		    uint16_t worker_cnt, uint64_t rng_k0, uint64_t rng_k1);
void xe_natpool_close(struct xe_natpool *pool);

/* Make an Ext address usable, IPv4 as ::ffff:a.b.c.d (control thread, in a worker call). 0 or
 * -ENOMEM. */
int xe_natpool_add_ext(struct xe_natpool *pool, uint32_t ext, const struct xe_addr *addr);

/*
 * Choose the Ext L4 port for a new flow `out` translated to address `ext`. On success *back is the
 * tuple of its replies (on any uplink), *mapping the mapping to count (XE_NIL for TCP), and the L4
 * port is marked used and owned. rss (may be NULL): of the uplink it leaves by, for replies that
 * come home to this worker, as far as a bounded number of draws finds such an L4 port. 0, -ENOSPC:
 * none free, -EADDRINUSE: the mapping's tuple is taken by another session (cannot be for UDP unless
 * the caller skipped its lookup).
 */
int xe_natpool_take(struct xe_natpool *pool, const struct xe_tuple4 *out, uint32_t ext,
		    uint16_t port_min, uint16_t port_max, const struct xe_rss *rss,
		    struct xe_tuple4 *back, uint32_t *mapping);
/* The session on this reply tuple ends. */
void xe_natpool_give(struct xe_natpool *pool, const struct xe_tuple4 *back, uint32_t ext,
		     uint32_t mapping);

#define XE_NO_WORKER 0xffffu
/* Which worker has the block of this Ext address and L4 port (host order)? XE_NO_WORKER: none. Any
 * worker may ask for what a packet says. */
uint16_t xe_natpool_owner(const struct xe_natpool *pool, const struct xe_addr *addr, bool udp,
			  uint16_t l4_port);

/* One of a rule's addresses for the inside source of a flow, the same every time (RFC 4787 REQ-2).
 */
uint32_t xe_nat_range_ext(const struct xe_natpool *pool, const struct xe_nat_range *range,
			  const struct xe_tuple4 *out);

#endif
