/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * reclaim.c - room for a new flow in the place of a closed one (state/tcp_track.h), before its
 * time.
 *
 * Only of closed TCP sessions: what is live, or may be, is never taken. What that costs is bounded,
 * since whoever opens flows where there is no room makes us look at each.
 */
#include <arpa/inet.h>
#include <netinet/in.h>

#include "pipeline/pipeline.h"

/* L4 ports asked for a closed flow to the same peer (which has flows on nearly all of them, or p
 * would not have been refused), and sessions of the queue, the longest closed first, for one that
 * has its L4 port to itself. Together some 10 us. */
#define LOOKS 64

/* Does an earlier packet of the burst go the way of this session? */
static bool is_in_hand(struct xe_lane *lane, const struct xe_session *s)
{
	xe_burst_for_each (p, &lane->burst)
		if (!p->ended && p->session == s)
			return true;
	return false;
}

static bool end_oldest(struct xe_lane *lane)
{
	uint32_t oldest = xe_wheel_oldest_closed(&lane->wheel);

	/* One in hand has just been used; it is the oldest only when all have been. */
	if (oldest == XE_NIL || is_in_hand(lane, &lane->sessions.slots[oldest]))
		return false;
	xe_flow_end(lane, &lane->sessions.slots[oldest]);
	return true;
}

bool xe_reclaim_room(struct xe_lane *lane)
{
	struct xe_sessions *t = &lane->sessions;

	if (t->cnt < t->allowed)
		return true;
	/* What may be another's part is taken for live flows, not beside closed ones. */
	if (xe_sessions_exceed(t) && end_oldest(lane))
		return true;
	return xe_sessions_have_room(t) || end_oldest(lane);
}

bool xe_reclaim_for_others(struct xe_lane *lane, uint32_t budget)
{
	while (budget && xe_sessions_owe(&lane->sessions) && end_oldest(lane))
		budget--;
	return !budget;
}

/* Would its end make room for p, which the pool has refused? It has the Ext L4 port to itself, or
 * shares it with flows to others than p's peer. */
static bool makes_room(const struct xe_lane *lane, const struct xe_packet *p,
		       const struct xe_session *s)
{
	const struct xe_natpool *pool = &lane->pool;
	const struct xe_nat_want *want = &pool->refused;
	const struct xe_tuple4 *out = &s->key[XE_DIR_OUT];
	uint16_t l4_port = ntohs(s->key[XE_DIR_BACK].dport_be);
	uint32_t use;

	if (s->ext != want->ext || l4_port < want->port_min || l4_port > want->port_max)
		return false;
	use = pool->ext[want->ext].ports[0].use[l4_port];
	if (use & XE_USE_MAPPED)
		return pool->mappings[use & ~XE_USE_MAPPED].refs == 1;
	return use == 1 || (!want->independent && out->dst_be == p->key.dst_be &&
			    out->dport_be == p->key.dport_be && out->family == p->key.family);
}

/* The closed session of this reply tuple, if its end makes room. */
static struct xe_session *closed_on(struct xe_lane *lane, const struct xe_packet *p,
				    const struct xe_tuple4 *back)
{
	enum xe_dir dir;
	struct xe_session *s = xe_session_find(&lane->sessions, back,
					       xe_session_hash(&lane->sessions, back), &dir);

	return s && s->tcp_state == XE_TCP_CLOSED && makes_room(lane, p, s) && !is_in_hand(lane, s)
		       ? s
		       : NULL;
}

/* A closed flow to the same peer, on one of the L4 ports in use by the worker. */
static struct xe_session *find_by_l4_port(struct xe_lane *lane, const struct xe_packet *p)
{
	const struct xe_nat_want *want = &lane->pool.refused;
	const struct xe_l4_ports *ports = &lane->pool.ext[want->ext].ports[0];
	uint32_t first = want->port_min >> 6, cnt = (want->port_max >> 6) - first + 1u;
	uint32_t start = (uint32_t)(p->hash >> 32) % cnt;
	uint32_t first_bit = (uint32_t)p->hash & 63;
	struct xe_tuple4 back = xe_tuple4_reverse(&p->key, XE_PORT_ANYUPLINK);
	int looks = 0;

	back.dst_be = lane->pool.ext[want->ext].addr_be;
	for (uint32_t i = 0; i < cnt && looks < LOOKS; i++) {
		uint32_t block = first + (start + i) % cnt;
		uint64_t bits = ports->mine[block] & ~ports->rest[block];

		/* from any of them on, or it were always the one closed last */
		bits = bits >> first_bit | bits << (-first_bit & 63);
		for (; bits && looks < LOOKS; bits &= bits - 1, looks++) {
			uint32_t bit = ((uint32_t)__builtin_ctzll(bits) + first_bit) & 63;
			struct xe_session *s;

			back.dport_be = htons((uint16_t)(block << 6 | bit));
			s = closed_on(lane, p, &back);
			if (s)
				return s;
		}
	}
	return NULL;
}

static struct xe_session *find_by_age(struct xe_lane *lane, const struct xe_packet *p)
{
	uint32_t idx = xe_wheel_oldest_closed(&lane->wheel);

	for (int i = 0; idx != XE_NIL && i < LOOKS; i++) {
		struct xe_session *s = &lane->sessions.slots[idx];

		if (makes_room(lane, p, s) && !is_in_hand(lane, s))
			return s;
		idx = xe_wheel_next_closed(&lane->wheel, &lane->sessions, idx);
	}
	return NULL;
}

bool xe_reclaim_l4_port(struct xe_lane *lane, const struct xe_packet *p)
{
	uint32_t ext = lane->pool.refused.ext;
	struct xe_session *s;

	/* An address of the other family would be taken for an index, or an index for one. */
	if (p->proto != IPPROTO_TCP || lane->pool.ext[ext].family != p->key.family)
		return false;
	s = find_by_l4_port(lane, p);
	if (!s)
		s = find_by_age(lane, p);
	if (!s)
		return false;
	lane->pool.reclaimed = ntohs(s->key[XE_DIR_BACK].dport_be);
	xe_flow_end(lane, s);
	return true;
}
