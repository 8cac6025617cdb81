/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * frag_table.h - which fragments have come of which datagram, and when one is whole.
 *
 * The table knows numbers only: a fragment that it keeps gets a slot, and whoever owns the table
 * keeps the packet beside it (pipeline/reassemble.c).
 *
 *   datagram --first--> slot -> slot -> slot      by offset, disjoint; `have` of `total` bytes
 *
 * Each datagram is in three groups: its side (all inside ports, all uplinks), its port and its
 * source. A group has a cap in frames; whoever exceeds it loses the group's oldest datagram. So one
 * source that sends halves pushes out its own, a container with many addresses those of its port,
 * and a flood from outside leaves the containers' alone. Oldest first and not newest refused: what
 * is whole within milliseconds gets through also while halves keep the table full.
 *
 * Nothing chains by a key that a sender can choose (keyed hash); the slots of one datagram are at
 * most XE_FRAG_PER_DATAGRAM. Owned by one worker.
 *
 * Overlaps end the whole datagram (RFC 5722, RFC 8200 section 4.5; here for IPv4, too): its entry
 * stays, empty, and takes the others of its fragments with it. An exact duplicate is only dropped.
 */
#ifndef XE_FRAG_TABLE_H
#define XE_FRAG_TABLE_H

#include "state/index.h"
#include "xegress/steer_abi.h"

/* 64 KiB over the MTU of 576 that every IPv4 host takes are 119. */
#define XE_FRAG_PER_DATAGRAM 128
/* As the kernel's net.ipv4.ipfrag_time; who waits for the whole at the end has a timer of its own.
 */
#define XE_FRAG_TIMEOUT_S 30

/* To which datagram a fragment belongs (RFC 791 section 3.2, RFC 8200 section 4.5). */
struct xe_frag_key {
	struct xe_addr src, dst; /* IPv4 as ::ffff:a.b.c.d */
	uint32_t id;             /* as on the wire; IPv4 has 16 bits */
	uint16_t port;           /* inside port, or XE_PORT_ANYUPLINK */
	uint8_t proto;           /* IPv6: the fragment header's next header */
	uint8_t family;          /* 4 or 6 */
};
_Static_assert(sizeof(struct xe_frag_key) == 40, "hashed and compared by the word");

struct xe_frag {
	uint32_t off, len; /* bytes behind the IP header; len is not 0 */
	bool more;         /* not the last one */
	uint8_t frame_cnt; /* what keeping it costs */
};

enum xe_frag_verdict {
	XE_FRAG_KEPT = 0,  /* has a slot */
	XE_FRAG_WHOLE,     /* has a slot, and the datagram is complete: xe_frag_take() */
	XE_FRAG_DUPLICATE, /* was there; this one has no slot */
	XE_FRAG_OVERLAP,   /* overlaps or contradicts another one, or belongs to such a datagram */
	XE_FRAG_LIMIT,     /* no room, or the datagram has too many */
	XE_FRAG_TIMEOUT,   /* of slots only */
	XE_FRAG_FLUSHED,   /* of slots only: its port goes away */
};

enum xe_frag_side { XE_FRAG_INSIDE = 0, XE_FRAG_UPLINK, XE_FRAG_SIDES };
/* Levels of groups. */
enum { XE_FRAG_BY_SIDE = 0, XE_FRAG_BY_PORT, XE_FRAG_BY_SOURCE, XE_FRAG_LEVELS };

struct xe_frag_slot {
	uint32_t off, len;
	uint32_t next; /* by offset; of free and of dead ones, too */
	uint8_t frame_cnt;
	bool more;
	uint8_t why; /* enum xe_frag_verdict, of a dead one */
};

struct xe_frag_datagram {
	struct xe_frag_key key;
	uint32_t hash;
	uint32_t first, last; /* slots by offset */
	uint32_t have, total; /* bytes; total 0: the last fragment has not come */
	uint32_t cnt;
	uint32_t cost; /* frames, at least 1 */
	uint32_t since_s;
	uint8_t ended;      /* enum xe_frag_verdict of all that come; XE_FRAG_KEPT: alive */
	uint32_t next_free; /* entry number */
	struct {
		uint32_t group, older, newer;
	} in[XE_FRAG_LEVELS];
};

struct xe_frag_group {
	struct xe_addr addr; /* zero for a port's */
	uint16_t port;
	uint8_t level;
	uint32_t hash;
	uint32_t cost;
	uint32_t oldest, newest;
	uint32_t next_free;
};

struct xe_frag_table {
	uint32_t cap[XE_FRAG_LEVELS]; /* frames */
	uint32_t slot_cnt;            /* all there are */
	struct xe_frag_slot *slots;
	void *kept; /* what the user of the table keeps of each slot's fragment, page-aligned */
	size_t kept_size;
	uint32_t slot_free, slot_high;
	uint32_t dead; /* slots to be picked up by xe_frag_next_dead() */
	struct xe_frag_datagram *datagrams;
	uint32_t datagram_free, datagram_high;
	struct xe_index index;
	/* The first XE_FRAG_SIDES are the sides. */
	struct xe_frag_group *groups;
	uint32_t group_free, group_high;
	struct xe_index group_index;
	uint64_t k0, k1;
	/* In slots of datagrams that are not whole: read by the control thread at any time. */
	uint32_t kept_cnt;
};

/* cap: frames that one side, one inside port, one source may hold. There are slots for both sides,
 * and as many as for one of them for what is whole and still waits (for a next hop). Each has
 * kept_size bytes in `kept`, paid for as they are used. -ENOMEM. */
int xe_frag_open(struct xe_frag_table *t, const uint32_t cap[XE_FRAG_LEVELS], size_t kept_size,
		 uint64_t k0, uint64_t k1);
void xe_frag_close(struct xe_frag_table *t);

/* Keyed hash; all workers have the same key, so they agree on who joins a datagram. */
uint64_t xe_frag_hash(const struct xe_frag_key *key, uint64_t k0, uint64_t k1);

/* One fragment has come. *slot is its own after KEPT and WHOLE. After every call there may be dead
 * slots. */
enum xe_frag_verdict xe_frag_add(struct xe_frag_table *t, const struct xe_frag_key *key,
				 const struct xe_frag *frag, uint32_t now_s, uint32_t *slot);
/* After WHOLE, with the last slot: forgets the datagram; its slots, by offset, are the caller's.
 * The first of them; the next is slots[i].next, XE_NIL behind the last. */
uint32_t xe_frag_take(struct xe_frag_table *t, const struct xe_frag_key *key);
/* A slot that the caller is done with. */
void xe_frag_slot_free(struct xe_frag_table *t, uint32_t slot);
/* A slot whose fragment has ended, and why; the caller frees it. XE_NIL: no more. */
uint32_t xe_frag_next_dead(struct xe_frag_table *t, enum xe_frag_verdict *why);

/* Ends what is too old. */
void xe_frag_expire(struct xe_frag_table *t, uint32_t now_s);
/* Ends the oldest datagram of a side, if there is one: frames are short. */
void xe_frag_push_out(struct xe_frag_table *t, enum xe_frag_side side);
/* Ends all of an inside port, or XE_PORT_ANYUPLINK, or XE_PORT_NONE: all. */
void xe_frag_flush(struct xe_frag_table *t, uint16_t port);

#endif
