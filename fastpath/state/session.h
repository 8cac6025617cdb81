/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * session.h - the NAT state of flows: one table a worker, found from either direction.
 *
 * A session has two keys, each the tuple as it is on the wire where that direction comes in:
 *
 *   key[XE_DIR_OUT]  inside host -> peer, on the inside port
 *   key[XE_DIR_BACK] peer -> Ext address and L4 port, on any uplink (or on the other inside port)
 *
 * A flow from outside (XE_SF_FROM_OUTSIDE: dnat, nat, accept in an uplink, a mapping with a loose
 * filter) has the same two keys, as if the inside host had spoken first; it began with XE_DIR_BACK.
 *
 * The translation of a packet is the other key read backwards, so nothing else is stored for it.
 * The index is a table of buckets of one cache line, 8 entries of 16-bit tag and session number
 * each; a key is in one of two buckets. Lookup touches one bucket (rarely two) and one session
 * line; both can be prefetched for a burst. Nothing chains, so no input makes it slow.
 *
 * Single writer and only reader: the owning worker (and the control thread in a worker call).
 */
#ifndef XE_SESSION_H
#define XE_SESSION_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "state/addr6.h"

enum xe_dir { XE_DIR_OUT = 0, XE_DIR_BACK = 1 };

/* What a state is worth is its timeout; how it is reached: state/tcp_track.h. */
enum xe_tcp_state {
	XE_TCP_NONE = 0,    /* not TCP */
	XE_TCP_SYN_SENT,    /* the opener's SYN seen: transitory */
	XE_TCP_SYN_BACK,    /* SYN or SYN+ACK of the other side, too: transitory */
	XE_TCP_ESTABLISHED, /* each SYN acknowledged by the other side */
	XE_TCP_CLOSING,     /* a FIN seen: transitory */
	XE_TCP_CLOSED,      /* both acknowledged, or reset: transitory, the first to be reclaimed */
};

/* A SYN on this live or closed tuple from this direction waits for its answer: session.syn_end. */
#define XE_SF_SYN_AGAIN(dir) (0x01 << (dir))
#define XE_SF_SYN_AGAIN_ANY  0x03
#define XE_SF_REPLIED        0x04 /* something came back */
#define XE_SF_DNS            0x08 /* UDP to port 53: short timer, RFC 4787 REQ-5 */
/* Per direction: its live tag is in the second of the two buckets (state/live.h). */
#define XE_SF_TAG_SECOND(dir) (0x10 << (dir))
#define XE_SF_TERMS           0x80 /* its rule limits or clamps: pipeline/limit.h */
#define XE_SF_FROM_OUTSIDE    0x40 /* opened by XE_DIR_BACK (pipeline/flow_in.c) */

#define XE_RULE_GONE 0xffffu /* the rule of a live flow has been taken out */
#define XE_EXT_NONE  0xffffu /* untranslated; (uint16_t)XE_NIL */
/* In session.mapping without an Ext address: where it comes from (pipeline/adopt.h) it was in an
 * endpoint-independent mapping. */
#define XE_MAPPING_ELSEWHERE (XE_NIL - 1)

struct xe_session {
	/* First line: what every packet needs. */
	struct xe_tuple4 key[2];
	uint16_t l4_delta;     /* checksum change of the L4 header, XE_DIR_OUT (base/insum.h) */
	uint16_t ip_delta;     /* the same for the IPv4 header, TTL not included */
	uint32_t nexthop;      /* index, for XE_DIR_OUT */
	uint32_t last_used_s;  /* worker's clock, seconds */
	uint8_t mac_back[6];   /* Ethernet destination for XE_DIR_BACK: who sent the last packet
				  out. The source is the port's own address, to which it was sent */
	uint8_t tcp_state : 3; /* enum xe_tcp_state */
	uint8_t hairpin : 1;   /* its peer is another of ours (pipeline/hairpin.c) */
	uint8_t verb : 4;      /* enum xe_verb */
	uint8_t flags;         /* XE_SF_* */
	uint32_t created_s;
	uint32_t source; /* per-source counter; XE_NIL: not counted */
	union {
		struct {
			/* MSS that they announced: bounds what goes the other way; 0: none seen */
			uint16_t mss_peer, mss_in;
		};
		uint32_t syn_end; /* while a SYN on this live tuple is unanswered: what its
				     acknowledgement will be (tcp_track.h) */
	};

	/* Second line: counters, TCP tracking, links. */
	struct xe_flow_count {
		uint64_t bytes_high; /* the low 56 bits: bytes; above: packets, bits 32 to 39 */
		uint32_t packets_low;
	} __attribute__((packed, aligned(4))) count[2];
	uint32_t timer_next, timer_prev; /* wheel list (wheel.h); timer_next also links free ones */
	/* TCP, by direction (state/tcp_track.h) */
	uint32_t tcp_end[2]; /* highest sequence number sent, + 1 */
	uint32_t tcp_ack[2]; /* highest acknowledgement sent */
	uint16_t tcp_win[2]; /* largest window announced, as it was written */
	uint8_t tcp_scale;   /* of the windows, a nibble each; XE_TCP_NO_SCALE: not offered */
	uint8_t tcp_seen;    /* XE_TS_* */
	uint16_t out_port;   /* port id it left by when its rule was looked up */
	union {
		uint32_t mapping; /* shared Ext L4 port (endpoint-independent), XE_NIL: none */
		uint32_t toward;  /* from outside and no Ext address: next hop to the inside host */
	};
	uint16_t rule; /* index in the rule set it was made under; XE_RULE_GONE */
	uint16_t ext;  /* Ext address index, XE_EXT_NONE: untranslated */
} __attribute__((aligned(64)));

_Static_assert(offsetof(struct xe_session, count) == 64, "hot half is one cache line");
_Static_assert(sizeof(struct xe_session) == 128, "two cache lines a session");
_Static_assert(XE_MAX_RULES < XE_RULE_GONE && XE_VERB_CNT <= 16, "fit their fields");
_Static_assert(XE_MAX_EXT_ADDRS < XE_EXT_NONE, "an Ext address index fits its field");

/* 56 bits of bytes are 72 PB, 40 bits of packets 12 days at a million a second. */
#define XE_COUNT_BYTES_BITS   56
#define XE_COUNT_PACKETS_BITS (32 + 64 - XE_COUNT_BYTES_BITS)

static inline void xe_session_count(struct xe_session *s, enum xe_dir dir, uint32_t bytes)
{
	struct xe_flow_count *c = &s->count[dir];

	c->bytes_high += bytes;
	if (!++c->packets_low)
		c->bytes_high += 1ull << XE_COUNT_BYTES_BITS;
}

static inline uint64_t xe_session_packets(const struct xe_session *s, enum xe_dir dir)
{
	return s->count[dir].bytes_high >> XE_COUNT_BYTES_BITS << 32 | s->count[dir].packets_low;
}

static inline uint64_t xe_session_bytes(const struct xe_session *s, enum xe_dir dir)
{
	return s->count[dir].bytes_high & ((1ull << XE_COUNT_BYTES_BITS) - 1);
}

/* Else both keys are about the same addresses and L4 ports. */
static inline bool xe_session_is_translated(const struct xe_session *s)
{
	const struct xe_tuple4 *out = &s->key[XE_DIR_OUT], *back = &s->key[XE_DIR_BACK];

	return ((out->src_be ^ back->dst_be) | (out->dst_be ^ back->src_be)) ||
	       ((out->sport_be ^ back->dport_be) | (out->dport_be ^ back->sport_be));
}

#define XE_BUCKET_SLOTS 8
struct xe_session_bucket {
	uint16_t tag[XE_BUCKET_SLOTS]; /* 0: free */
	uint32_t ref[XE_BUCKET_SLOTS]; /* session * 2 + direction */
	uint32_t away; /* keys of which this is the first bucket, but that are in their second:
			  0 for nearly all, and who is not found here is nowhere */
	uint32_t pad[3];
} __attribute__((aligned(64)));

/*
 * What all workers may have together (`limits: sessions`). A worker takes of it in pieces and gives
 * back a piece when two are idle, so this word is written once for some 64 sessions that begin, and
 * at most two pieces lie idle at each worker while another is refused.
 *
 * A worker that has more than its equal part must not leave the others without: the last `reserve`
 * is for those that have less than theirs, and while less than that is left it gives what it has
 * beyond its part, as far as that is closed sessions (pipeline/reclaim.c).
 */
struct xe_session_budget {
	_Atomic uint32_t left;
	uint32_t piece, reserve; /* constant */
};

struct xe_sessions {
	struct xe_session *slots;
	struct xe_session_bucket *buckets;
	uint32_t bucket_mask;
	uint32_t capacity; /* sessions that there is memory for */
	uint32_t part;     /* an equal part of what all workers may have; alone: capacity */
	uint32_t cnt;
	uint32_t allowed;                 /* cnt may come to that: of the budget, or capacity */
	struct xe_session_budget *budget; /* NULL: the only worker */
	uint32_t high;                    /* slots below this have been used at some time */
	uint32_t backed; /* slots below this may be: set by the control thread (session_file.h) */
	bool borrowed;   /* the slots are another's memory */
	uint32_t free_head;
	uint64_t k0, k1; /* hash key, the one that steer has */
	/* Addresses of the IPv6 sessions, and of what else the worker knows by number. */
	struct xe_addr6_table addr6;
};

/* Memory for `capacity` sessions; touched (paid for) only as sessions come. -ENOMEM. */
int xe_sessions_open(struct xe_sessions *t, uint32_t capacity, uint64_t k0, uint64_t k1);
/* The same in memory of the caller's for both kinds of slots (NULL: its own), all zero; none of it
 * is used until t->backed and t->addr6.backed say so. */
int xe_sessions_open_at(struct xe_sessions *t, uint32_t capacity, uint64_t k0, uint64_t k1,
			struct xe_session *slots, struct xe_addr6 *addrs);
/* How many sessions one of so many workers has memory for: all of them, and where that would be
 * more, twice its part. So the tables of all take twice the memory of those of one at most. */
uint32_t xe_session_capacity(uint32_t all, uint32_t worker_cnt);
/* Control thread, before there are workers: what they have together. */
void xe_session_budget_init(struct xe_session_budget *b, uint32_t all, uint32_t worker_cnt);
/* The (empty) table is one of several with this budget. */
void xe_sessions_share(struct xe_sessions *t, struct xe_session_budget *b, uint32_t part);
/* Is there room for a new flow? Takes a piece of the budget where none is left of the last. Whoever
 * puts a session into one of several tables has asked this, or the next one, before. */
bool xe_sessions_have_room(struct xe_sessions *t);
/* The same for a flow that lives already, which may have the last one there is: none? */
bool xe_sessions_are_full(struct xe_sessions *t);
/* Has it more than its equal part? */
static inline bool xe_sessions_exceed(const struct xe_sessions *t)
{
	return t->budget && t->allowed >= t->part;
}
/* Has it what others may want, who have less than their part? */
bool xe_sessions_owe(const struct xe_sessions *t);
/* How many it may come to now, with what the others have left. */
uint32_t xe_sessions_max(const struct xe_sessions *t);
/* Addresses for so many sessions. */
uint32_t xe_session_addr_cnt(uint32_t capacity);
void xe_sessions_close(struct xe_sessions *t);

/* A zeroed session with both keys in the index, or NULL: full (of sessions, or both buckets of a
 * key are). That neither key is there yet, the caller has seen to. Holds the addresses of IPv6 keys
 * until its end. */
struct xe_session *xe_session_new(struct xe_sessions *t, const struct xe_tuple4 *out,
				  const struct xe_tuple4 *back);
/* The same by who has the xe_session_hash() of both at hand. */
struct xe_session *xe_session_put(struct xe_sessions *t, const struct xe_tuple4 *out,
				  const struct xe_tuple4 *back, const uint64_t hash[2]);
void xe_session_free(struct xe_sessions *t, struct xe_session *s);

static inline uint64_t xe_session_hash(const struct xe_sessions *t, const struct xe_tuple4 *key)
{
	if (__builtin_expect(key->family == XE_FAMILY_6, 0))
		return xe_flow_hash6(key, xe_addr6_at(&t->addr6, key->src_be),
				     xe_addr6_at(&t->addr6, key->dst_be), t->k0, t->k1);
	return xe_flow_hash(key, t->k0, t->k1);
}

/* An address of a tuple in full, IPv4 as ::ffff:a.b.c.d. */
static inline struct xe_addr xe_tuple_addr(const struct xe_sessions *t, uint8_t family,
					   uint32_t value_be)
{
	if (family == XE_FAMILY_6)
		return *xe_addr6_at(&t->addr6, value_be);
	return xe_addr_v4(value_be);
}

static inline uint32_t xe_session_idx(const struct xe_sessions *t, const struct xe_session *s)
{
	return (uint32_t)(s - t->slots);
}

static inline bool xe_tuple4_equal(const struct xe_tuple4 *a, const struct xe_tuple4 *b)
{
	uint64_t x[2], y[2];

	memcpy(x, a, sizeof(x));
	memcpy(y, b, sizeof(y));
	return !((x[0] ^ y[0]) | (x[1] ^ y[1]));
}

static inline void xe_sessions_prefetch(const struct xe_sessions *t, uint64_t hash)
{
	__builtin_prefetch(&t->buckets[xe_live_first(hash, t->bucket_mask)]);
}

/* For a key that is not in its first bucket, which is at hand: it may be in its second. */
static inline void xe_sessions_prefetch_second(const struct xe_sessions *t, uint64_t hash)
{
	if (t->buckets[xe_live_first(hash, t->bucket_mask)].away)
		__builtin_prefetch(&t->buckets[xe_live_second(hash, t->bucket_mask)]);
}

/* Bit 15 of each 16-bit lane of four that is zero. Lanes above the lowest such one may be wrong. */
static inline uint64_t xe_zero_lanes(uint64_t x)
{
	return (x - 0x0001000100010001ull) & ~x & 0x8000800080008000ull;
}

/* The same, exact in all lanes. */
static inline uint64_t xe_all_zero_lanes(uint64_t x)
{
	const uint64_t low = 0x7fff7fff7fff7fffull;

	return ~(((x & low) + low) | x | low);
}

/* The entry that most likely has this hash: session * 2 + direction, XE_NIL: none in its first
 * bucket. To be asked once the bucket is here; what it names is to be proved by the key. */
static inline uint32_t xe_session_guess(const struct xe_sessions *t, uint64_t hash)
{
	const struct xe_session_bucket *b = &t->buckets[xe_live_first(hash, t->bucket_mask)];
	uint64_t tags = xe_live_tag(hash) * 0x0001000100010001ull, four[2], hit;

	memcpy(four, b->tag, sizeof(four));
	hit = xe_zero_lanes(four[0] ^ tags);
	if (hit)
		return b->ref[__builtin_ctzll(hit) / 16];
	hit = xe_zero_lanes(four[1] ^ tags);
	return hit ? b->ref[4 + __builtin_ctzll(hit) / 16] : XE_NIL;
}

static inline void xe_session_prefetch(const struct xe_sessions *t, uint32_t guess)
{
	const struct xe_session *s = &t->slots[guess >> 1];

	__builtin_prefetch(s, 1);
	__builtin_prefetch(s->count, 1);
}

/* The guessed session if it has this key. A slot that is free has none: its protocol is 0. */
static inline struct xe_session *xe_session_at(const struct xe_sessions *t, uint32_t guess,
					       const struct xe_tuple4 *key)
{
	struct xe_session *s;

	if (guess == XE_NIL)
		return NULL;
	s = &t->slots[guess >> 1];
	return xe_tuple4_equal(&s->key[guess & 1], key) ? s : NULL;
}

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "xe_session_guess() counts lanes up");

/* The line of a slot that is next to be taken: it is about to be written. */
static inline void xe_session_prefetch_next(const struct xe_sessions *t, uint32_t ahead)
{
	if (t->free_head == XE_NIL && t->high + ahead < t->capacity)
		xe_session_prefetch(t, (t->high + ahead) << 1);
}

/* Find by key and its hash; *dir says which direction's key it was. */
struct xe_session *xe_session_find(const struct xe_sessions *t, const struct xe_tuple4 *key,
				   uint64_t hash, enum xe_dir *dir);

static inline bool xe_session_is_there(const struct xe_sessions *t, const struct xe_tuple4 *key)
{
	enum xe_dir dir;

	return xe_session_find(t, key, xe_session_hash(t, key), &dir);
}

/* The tuple that answers `t` as the peer sees it (no port id). */
static inline struct xe_tuple4 xe_tuple4_reverse(const struct xe_tuple4 *t, uint16_t port)
{
	return (struct xe_tuple4){
		.src_be = t->dst_be,
		.dst_be = t->src_be,
		.sport_be = t->dport_be,
		.dport_be = t->sport_be,
		.port = port,
		.proto = t->proto,
		.family = t->family,
	};
}

#endif
