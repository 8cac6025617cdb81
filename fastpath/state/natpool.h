/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * natpool.h - Ext addresses and their L4 ports: which are in use, which one a new flow gets.
 *
 * TCP shares an Ext L4 port between destinations (RFC 7857 section 3): what must be unique is the
 * tuple of the replies. UDP maps endpoint-independently (RFC 4787 REQ-1): one inside address and
 * L4 port has one Ext L4 port for all destinations, kept by a mapping that its sessions count.
 *
 * A new L4 port is the flow's own where that lies in the range and is free, else one drawn at
 * random by a keyed hash (RFC 6056); natpool_choose.h says how. Either protocol can have either
 * kind of mapping (`mapping endpoint-independent|endpoint-dependent` of a rule).
 *
 * An L4 port of a mapping that has ended rests for 120 s (RFC 6888 REQ-8) before another source
 * gets it; its own source has it back at once. So what still comes for the old one reaches nobody
 * else. A shared one does not rest, of UDP neither: its filter is address and port dependent, so
 * that what still comes from the old one's peers reaches nobody anyway, and REQ-8 (C) exempts it.
 *
 *   mapping:  free --take--> live (refs > 0) --last give--> resting --120 s--> free
 *                              ^---- the same inside endpoint, or its source short of others -----'
 *
 * Workers share a range L4 port by L4 port: one is claimed by an atomic operation on the bitmap of
 * those that somebody has, and given back when it neither is in use nor rests. So any worker can
 * use any that is free, to the last one. A table says to every worker whose each is, and so whose a
 * reply is; the owned map, which steer reads, has the L4 ports of several workers in a word, each
 * of which changes its own bits atomically.
 *
 *   L4 port:  nobody's --claim--> worker w's: owned or resting --give back--> nobody's
 *
 * An L4 port that flows share is shared by flows of one worker, which alone finds their sessions.
 * So that no worker is left without one, flows that can share do so when their worker has an equal
 * part of the range, and take another one only when there is none to share.
 *
 * Everything but the `taken` bitmaps, the claims and the owned map belongs to one worker; `taken`
 * is written by the control thread (what the host uses or reserves), word by word.
 */
#ifndef XE_NATPOOL_H
#define XE_NATPOOL_H

#include <stdint.h>

#include "state/dnat.h"
#include "state/index.h"
#include "state/permit.h"
#include "state/rss.h"
#include "state/session.h"

#define XE_BITMAP_WORDS 1024 /* 65536 / 64 */

/* L4 ports that the host uses or reserves; index 0 TCP, 1 UDP. Shared by all workers. */
struct xe_taken {
	uint64_t bits[2][XE_BITMAP_WORDS];
	/* From which the kernel takes those of the host's connections (ip_local_port_range), lowest
	 * << 16 | highest; 0: not known. A rule's range may meet it. */
	uint32_t local;
};

/* Which L4 ports workers have, and who. Shared by all of them. */
struct xe_claims {
	uint64_t busy[XE_OWNED_ENTRIES]; /* bits as in `owned`: in use, or resting */
	/* A bit a word of `busy`: all of it is. What is full may not be said to be for a moment;
	 * what is not full is not said to be for longer than that. */
	uint64_t full[XE_OWNED_ENTRIES / 64];
	/* Worker + 1, of those that are busy; else 0, or about to be. 128 KiB for each Ext address
	 * that is used, no memory for the others. */
	uint8_t owner[XE_OWNED_ENTRIES * 64ul];
};

static inline uint8_t *xe_claims_owner(struct xe_claims *c, uint32_t ext, int udp, uint16_t l4_port)
{
	return &c->owner[(size_t)xe_owned_idx(ext, udp, l4_port) * 64 + (l4_port & 63)];
}

/* What a rule gives its flows: made by the control thread, immutable (struct xe_ruleset.attach). */
struct xe_nat_range {
	uint16_t port_min, port_max; /* host order, inclusive */
	uint32_t ext_cnt;            /* 0: masquerade, the next hop says which */
	const uint32_t *ext;         /* Ext address indexes */
	struct xe_dnat *dnat;        /* of a dnat rule; immutable, held */
};

/* What a new flow asks of the pool. */
struct xe_nat_want {
	uint32_t ext;
	uint16_t port_min, port_max; /* host order, inclusive */
	bool independent;         /* of the destination: by a mapping; else the L4 port is shared */
	uint8_t filter;           /* enum xe_filter, for a mapping that begins */
	uint8_t verb;             /* enum xe_verb, likewise */
	const struct xe_rss *rss; /* of the uplink it leaves by, for replies that come home to
				     this worker, as far as a bounded number of draws finds such
				     an L4 port; may be NULL */
};

/* RFC 6888 REQ-8. */
#define XE_NAT_REST_S 120

/* An endpoint-independent mapping. */
struct xe_mapping {
	__be32 src_be; /* as in a tuple of this family; the mapping holds an IPv6 one */
	__be16 sport_be;
	uint16_t in_port;
	uint32_t ext;
	uint32_t refs; /* sessions; 0: it rests */
	uint32_t hash;
	uint16_t ext_port; /* host order */
	uint8_t is_udp;
	uint8_t family;
	uint8_t filter; /* enum xe_filter: whom it lets in who was not spoken to */
	uint8_t verb;   /* enum xe_verb: of its rule */
	uint16_t era;   /* xe_natpool.era of in_port when it began */
	uint32_t used;  /* sessions that the inside has sent in; without one nobody is let in */
	/* While it rests: since when, its place in the order of time (rest_next also links free
	 * ones), and among those of the same source and Ext address. */
	uint32_t rest_s;
	uint32_t rest_next, rest_prev;
	uint32_t own_next, own_prev;
	uint32_t own_hash; /* since it rests */
};

#define XE_L4_GROUP_BITS 10

/* The L4 ports of an Ext address and protocol, as this worker has them. */
struct xe_l4_ports {
	uint32_t *use; /* per L4 port: 0, the sessions that share it, or XE_USE_MAPPED | mapping */
	/* Bits as in `owned`: this worker's; those of them that rest; those that a mapping has. */
	uint64_t *mine, *rest, *mapped;
	/* How many are this worker's, in each 1024: their sum is asked for more often than the bits
	 * of a range could be counted. */
	uint16_t group_cnt[65536 >> XE_L4_GROUP_BITS];
};
#define XE_USE_MAPPED 0x80000000u

struct xe_ext {
	struct xe_addr addr; /* zero: none */
	__be32 addr_be;      /* as in a tuple of this family, which holds an IPv6 one */
	uint8_t family;
	struct xe_l4_ports ports[2]; /* TCP, UDP */
};

/* From an address to its index: open addressing, half empty at most. Entries are index + 1. */
#define XE_EXT_SLOTS 2048
_Static_assert(XE_EXT_SLOTS >= 2 * XE_MAX_EXT_ADDRS, "half empty at most");

/* The map of another process, whose program still runs: what becomes owned here is owned there, too
 * (takeover). Its numbers of the Ext addresses by ours, XE_NIL: it does not know that one. */
struct xe_owned_mirror {
	uint64_t *owned;
	uint32_t ext[XE_MAX_EXT_ADDRS];
};

struct xe_natpool {
	struct xe_ext ext[XE_MAX_EXT_ADDRS];
	uint16_t ext_slot[XE_EXT_SLOTS];
	uint64_t ext_ends[4]; /* a bit for each last byte that one of them has */
	struct xe_claims *claims;
	uint64_t *owned;                      /* map `owned` of steer_abi.h */
	const struct xe_owned_mirror *mirror; /* NULL: none */
	const struct xe_taken *taken;
	uint16_t worker, worker_cnt;
	struct xe_sessions *sessions;
	struct xe_mapping *mappings;
	uint32_t mapping_cnt, mapping_high, mapping_capacity, mapping_free;
	struct xe_index mapping_index;
	uint32_t rest_first, rest_last, rest_cnt; /* oldest first */
	struct xe_index rest_index;               /* of a source: the one that ended last */
	struct xe_crowds *crowds;                 /* state/natpool_crowd.h */
	struct xe_permits permits;                /* of mappings with `filter address-dependent` */
	uint32_t now_s;                           /* xe_natpool_tick() */
	uint64_t rng_k0, rng_k1, rng_counter;
	/* Sessions whose reply tuple the pool did not choose (the user counts them): some may be on
	 * an Ext address of it, by a rule from outside. */
	uint32_t elsewhere_cnt;
	struct xe_nat_want refused; /* by the last take that failed */
	/* How often a port id has changed hands: what rests since before is not the same source's,
	 * though it may have the same address. */
	uint16_t era[XE_MAX_PORTS];
	/* By L4 port: when one of UDP began to rest (now_s + 1), on whichever Ext address; NULL:
	 * nobody wants to know. */
	uint32_t *rested_s;
	uint16_t reclaimed; /* L4 port (host order) to be looked at first, 0: none */
};

/* `owned`: XE_OWNED_ENTRIES words. The memory behind sessions, owned, claims and taken must outlive
 * the pool. 0 or -ENOMEM. */
int xe_natpool_open(struct xe_natpool *pool, struct xe_sessions *sessions, uint64_t *owned,
		    struct xe_claims *claims, const struct xe_taken *taken, uint16_t worker,
		    uint16_t worker_cnt, uint64_t rng_k0, uint64_t rng_k1);
void xe_natpool_close(struct xe_natpool *pool);

/* Make an Ext address usable, IPv4 as ::ffff:a.b.c.d (control thread, in a worker call). 0 or
 * -ENOMEM. */
int xe_natpool_add_ext(struct xe_natpool *pool, uint32_t ext, const struct xe_addr *addr);

/*
 * Choose the Ext L4 port for a new flow `out`. On success *back is the tuple of its replies (on any
 * uplink), *mapping the mapping it counts in (XE_NIL: it shares the L4 port), and the L4 port is
 * marked used and owned. 0, -ENOSPC: none free, -EADDRINUSE: the mapping's tuple is taken by
 * another session (cannot be unless the caller skipped its lookup).
 */
int xe_natpool_take(struct xe_natpool *pool, const struct xe_tuple4 *out,
		    const struct xe_nat_want *want, struct xe_tuple4 *back, uint32_t *mapping);
/* What a flow has that comes from elsewhere with its mapping. */
struct xe_nat_had {
	uint32_t ext;
	bool mapped;    /* endpoint-independent; else the L4 port is shared */
	bool used;      /* the inside has sent in it */
	uint8_t filter; /* of the mapping, where it is not there yet; XE_FILTER_*, XE_VERB_* */
	uint8_t verb;
};

/*
 * The Ext L4 port of `back`, whose tuple no session has, and no other: for a flow `out` that had it
 * before it came here. 0: marked used and owned, *mapping as above; it may rest. -EBUSY: it is
 * another mapping's, or another worker has it. -ENOSPC: no mapping is free.
 */
int xe_natpool_take_back(struct xe_natpool *pool, const struct xe_tuple4 *out,
			 const struct xe_tuple4 *back, const struct xe_nat_had *had,
			 uint32_t *mapping);
/* The index of an Ext address, XE_NIL: it is none. */
uint32_t xe_natpool_ext(const struct xe_natpool *pool, const struct xe_addr *addr);
/* The session on this reply tuple ends. `used`: the inside has sent in it. */
void xe_natpool_give(struct xe_natpool *pool, const struct xe_tuple4 *back, uint32_t ext,
		     uint32_t mapping, bool used);

/*
 * From outside: the mapping that this packet (its tuple as a reply) may come in by, and its Ext
 * address; XE_NIL: none lets it in. any_peer: whatever the filter says. That the inside still uses
 * the mapping is part of it: who sends in can hold a session, but not keep the mapping open.
 */
uint32_t xe_natpool_find(const struct xe_natpool *pool, const struct xe_tuple4 *back, bool any_peer,
			 uint32_t *ext);
/* A session that was opened from outside is in the mapping. */
void xe_natpool_join(struct xe_natpool *pool, uint32_t mapping);
/* The inside has answered in it. */
void xe_natpool_use(struct xe_natpool *pool, uint32_t mapping, const struct xe_tuple4 *back);
/* Is this external address and L4 port (host order) one that some worker's sessions have? */
bool xe_natpool_is_owned(const struct xe_natpool *pool, const struct xe_addr *addr, bool udp,
			 uint16_t l4_port);

/* Can the host have a flow on this L4 port (host order), beside sessions on it that are to other
 * peers? */
bool xe_natpool_may_be_hosts(const struct xe_natpool *pool, bool udp, uint16_t l4_port);

/* This port's id may mean another interface from now on: nothing that rests is kept for a source
 * that comes by it later. An answer that is still on its way to the old one would reach that. */
void xe_natpool_port_gone(struct xe_natpool *pool, uint16_t port);

/* The worker's clock, between rounds: L4 ports that have rested are free again, at most `budget` of
 * them at once. */
void xe_natpool_tick(struct xe_natpool *pool, uint32_t now_s, uint32_t budget);

#define XE_NO_WORKER 0xffffu
/* Which worker has this Ext address and L4 port (host order)? XE_NO_WORKER: none. Any
 * worker may ask for what a packet says. */
uint16_t xe_natpool_owner(const struct xe_natpool *pool, const struct xe_addr *addr, bool udp,
			  uint16_t l4_port);

#endif
