/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "pipeline/adopt.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "state/session_record.h"

/* Next hops that a session asks for at most: to its peer, and to an inside host. */
#define REQUESTS 2

/* What a session in the making holds, given back in reverse. XE_NIL: nothing. */
struct holds {
	struct xe_tuple4 out, back;
	uint64_t hash[2]; /* of these, by direction */
	uint32_t source, nexthop, toward, ext, mapping;
	struct xe_terms_ref terms;
};

static bool is_from_outside(const struct xe_adoptee *a)
{
	return a->record->flags & XE_FR_FROM_OUTSIDE;
}

static const struct xe_rule *rule_of(const struct xe_lane *lane, const struct xe_adoptee *a)
{
	return a->rule == XE_RULE_GONE || !lane->rules ? NULL : &lane->rules->rules[a->rule];
}

/* ---- tuples ---- */

/* An address as in a tuple; of IPv6 a number, and one use of it. */
static bool number(struct xe_lane *lane, uint8_t family, const struct xe_addr *addr, uint32_t *n)
{
	*n = family == AF_INET ? addr->w_be[3] : xe_addr6_get(&lane->sessions.addr6, addr);
	return family == AF_INET || *n != XE_NIL;
}

static bool numbers_get(struct xe_lane *lane, const struct xe_flow_record *r, uint32_t n[4])
{
	const struct xe_addr *addrs[4] = {&r->src, &r->dst, &r->nat_src, &r->nat_dst};

	for (int i = 0; i < 4; i++) {
		if (number(lane, r->family, addrs[i], &n[i]))
			continue;
		while (i--)
			xe_addr6_unref(&lane->sessions.addr6, n[i]);
		return false;
	}
	return true;
}

static void numbers_put(struct xe_lane *lane, const struct xe_flow_record *r, const uint32_t n[4])
{
	for (int i = 0; i < 4 && r->family == AF_INET6; i++)
		xe_addr6_unref(&lane->sessions.addr6, n[i]);
}

static void make_tuples(const struct xe_adoptee *a, const uint32_t n[4], struct holds *h)
{
	const struct xe_flow_record *r = a->record;
	uint8_t family = r->family == AF_INET6 ? XE_FAMILY_6 : XE_FAMILY_4;

	h->out = (struct xe_tuple4){
		.src_be = n[0],
		.dst_be = n[1],
		.sport_be = r->sport_be,
		.dport_be = r->dport_be,
		.port = a->in_port,
		.proto = r->proto,
		.family = family,
	};
	h->back = (struct xe_tuple4){
		.src_be = n[3],
		.dst_be = n[2],
		.sport_be = r->nat_dport_be,
		.dport_be = r->nat_sport_be,
		.port = a->out_inside ? a->out_port : XE_PORT_ANYUPLINK,
		.proto = r->proto,
		.family = family,
	};
}

/* XE_ADOPTED: neither tuple has a session; else *s has one of them. */
static enum xe_adopted look_up(const struct xe_lane *lane, const struct xe_adoptee *a,
			       const struct holds *h, struct xe_session **s)
{
	const struct xe_sessions *t = &lane->sessions;
	enum xe_dir dir;

	*s = xe_session_find(t, &h->out, h->hash[XE_DIR_OUT], &dir);
	if (*s && dir == XE_DIR_OUT && xe_tuple4_equal(&(*s)->key[XE_DIR_BACK], &h->back))
		return a->record->flags & XE_FR_EXT && (*s)->ext == XE_EXT_NONE
			       ? XE_ADOPT_THERE_TAGS
			       : XE_ADOPT_THERE;
	if (!*s)
		*s = xe_session_find(t, &h->back, h->hash[XE_DIR_BACK], &dir);
	return *s ? XE_ADOPT_CLASH : XE_ADOPTED;
}

/* ---- what it holds ---- */

/* Who opened it is who it counts against; live flows count, however many there are. */
static bool take_source(struct xe_lane *lane, const struct xe_adoptee *a, struct holds *h)
{
	const struct xe_rule *rule = rule_of(lane, a);
	const struct xe_flow_record *r = a->record;
	const struct xe_addr *opener = is_from_outside(a) ? &r->dst : &r->src;
	uint64_t key = r->family == AF_INET6 ? opener->q[0] : opener->w_be[3];

	if (rule && rule->no_limit && !is_from_outside(a))
		return true;
	h->source = xe_source_take(&lane->sources, h->out.family, key,
				   is_from_outside(a) ? XE_PORT_ANYUPLINK : a->in_port, UINT32_MAX);
	return h->source != XE_NIL;
}

static bool take_terms(struct xe_lane *lane, const struct xe_adoptee *a, struct holds *h)
{
	const struct xe_flow_record *r = a->record;
	const struct xe_addr *opener = is_from_outside(a) ? &r->dst : &r->src;
	uint32_t terms = XE_NIL;

	if (rule_of(lane, a) && lane->rules->terms)
		terms = lane->rules->terms[a->rule];
	if (terms == XE_NIL)
		return true;
	return xe_terms_take(&lane->terms, terms, h->out.family,
			     r->family == AF_INET6 ? opener->q[0] : opener->w_be[3],
			     is_from_outside(a) ? XE_PORT_ANYUPLINK : a->in_port, &h->terms);
}

static uint32_t hop(struct xe_lane *lane, const struct xe_addr *dst, const struct xe_addr *src,
		    uint16_t in_port)
{
	uint32_t idx;

	lane->nexthops.only_known = false;
	if (src->q[0] | src->q[1] && dst->w_be[2] == htonl(0xffff) && !dst->q[0])
		idx = xe_nexthop_get(&lane->nexthops, dst->w_be[3], src->w_be[3], in_port);
	else
		idx = xe_nexthop_get_addr(&lane->nexthops, dst, src, in_port);
	if (idx != XE_NIL)
		xe_nexthop_ref(&lane->nexthops, idx);
	return idx;
}

/* The same entries that its packets would have asked for. */
static bool take_hops(struct xe_lane *lane, const struct xe_adoptee *a, struct holds *h)
{
	static const struct xe_addr anybody;
	const struct xe_flow_record *r = a->record;

	h->nexthop = hop(lane, &r->dst, &r->src, a->in_port);
	if (h->nexthop == XE_NIL)
		return false;
	if (!is_from_outside(a) || h->ext != XE_NIL)
		return true;
	h->toward = hop(lane, &r->src, &anybody, XE_PORT_NONE);
	return h->toward != XE_NIL;
}

/* The Ext L4 port it has; else it is for tags. */
static void take_l4_port(struct xe_lane *lane, const struct xe_adoptee *a, struct holds *h)
{
	const struct xe_flow_record *r = a->record;
	struct xe_nat_had had = {
		.ext = a->ext,
		.mapped = r->flags & XE_FR_MAPPED,
		.used = !is_from_outside(a) || r->packets[XE_DIR_OUT],
		.filter = r->filter,
		.verb = r->verb,
	};

	/* The index may have become another address's since it was asked for. */
	if (!(r->flags & XE_FR_EXT) || a->ext == XE_NIL ||
	    xe_natpool_ext(&lane->pool, &r->nat_src) != a->ext)
		return;
	if (!xe_natpool_take_back(&lane->pool, &h->out, &h->back, &had, &h->mapping))
		h->ext = a->ext;
}

static void let_go(struct xe_lane *lane, const struct xe_adoptee *a, const struct holds *h)
{
	bool used = !is_from_outside(a) || a->record->packets[XE_DIR_OUT];

	if (h->terms.terms != XE_NIL)
		xe_terms_give(&lane->terms, &h->terms);
	if (h->toward != XE_NIL)
		xe_nexthop_unref(&lane->nexthops, h->toward);
	if (h->nexthop != XE_NIL)
		xe_nexthop_unref(&lane->nexthops, h->nexthop);
	if (h->ext != XE_NIL)
		xe_natpool_give(&lane->pool, &h->back, h->ext, h->mapping, used);
	if (h->source != XE_NIL)
		xe_source_give(&lane->sources, h->source);
}

/* ---- the session ---- */

/* A flow of another host, by a file, may be older than this one is up: then it began with it. 0 is
 * no time (state/session_file.c). */
static uint32_t seconds_ago(const struct xe_lane *lane, uint32_t s)
{
	return s < lane->now_s ? lane->now_s - s : 1;
}

/* All that flow_end() gives back must be there, or not be asked for. */
static void settle(struct xe_lane *lane, const struct xe_adoptee *a, const struct holds *h,
		   struct xe_session *s)
{
	xe_session_fill(s, a->record);
	s->created_s = seconds_ago(lane, a->age_s);
	s->last_used_s = seconds_ago(lane, a->idle_s);
	s->nexthop = h->nexthop;
	s->source = h->source;
	s->out_port = a->out_port;
	if (h->ext != XE_NIL)
		s->mapping = h->mapping;
	else if (is_from_outside(a))
		s->toward = h->toward;
	else if (a->record->flags & XE_FR_MAPPED)
		s->mapping = XE_MAPPING_ELSEWHERE;
	if (is_from_outside(a) && !xe_session_packets(s, XE_DIR_OUT))
		lane->unanswered++;
	if (h->source != XE_NIL && s->tcp_state == XE_TCP_CLOSED)
		xe_source_set_closed(&lane->sources, h->source, true);
	if (h->source != XE_NIL && h->ext != XE_NIL && !is_from_outside(a))
		xe_source_pair_add(&lane->sources, h->source, h->ext);
	if (h->terms.terms != XE_NIL) {
		s->flags |= XE_SF_TERMS;
		lane->terms.of_session[xe_session_idx(&lane->sessions, s)] = h->terms;
	}
	xe_flow_retime(lane, s);
}

static struct xe_session *make(struct xe_lane *lane, const struct xe_adoptee *a,
			       const struct holds *h)
{
	struct xe_flow_origin origin = {
		.ext = h->ext,
		.rule = a->rule,
		.verb = a->record->verb,
		.flags = is_from_outside(a) ? XE_SF_FROM_OUTSIDE : 0,
		.hairpin = a->record->flags & XE_FR_HAIRPIN,
	};
	struct xe_session *s = xe_flow_put(lane, &h->out, &h->back, h->hash, &origin);

	if (s)
		settle(lane, a, h, s);
	return s;
}

static enum xe_adopted with_tuples(struct xe_lane *lane, const struct xe_adoptee *a,
				   struct holds *h, struct xe_session **s)
{
	struct xe_session *other;
	enum xe_adopted found = look_up(lane, a, h, &other);

	if (found != XE_ADOPTED)
		return found;
	if (xe_sessions_are_full(&lane->sessions))
		return XE_ADOPT_FULL; /* what lives here does not give way to what comes */
	take_l4_port(lane, a, h);
	if (take_source(lane, a, h) && take_hops(lane, a, h) && take_terms(lane, a, h))
		*s = make(lane, a, h);
	if (!*s) {
		let_go(lane, a, h);
		return XE_ADOPT_FULL;
	}
	return a->record->flags & XE_FR_EXT && h->ext == XE_NIL ? XE_ADOPTED_TAGS : XE_ADOPTED;
}

static bool is_over(const struct xe_lane *lane, const struct xe_adoptee *a)
{
	struct xe_session s = {
		.key[XE_DIR_OUT].proto = a->record->proto,
		.tcp_state = a->record->tcp_state & 7,
		.last_used_s = lane->now_s - a->idle_s,
	};

	if (a->record->proto == IPPROTO_UDP && a->record->dport_be == htons(53))
		s.flags = XE_SF_DNS;
	return !xe_flow_left(lane, &s, lane->now_s);
}

static bool has_room(const struct xe_nexthops *t)
{
	uint32_t head = atomic_load_explicit(&t->head, memory_order_relaxed);

	return head - atomic_load_explicit(&t->tail, memory_order_acquire) <=
	       XE_NH_REQUESTS - REQUESTS;
}

/* One of a group on its way. */
struct coming {
	struct holds holds;
	uint32_t n[4]; /* numbers of its addresses, one use of each */
	enum xe_adopted outcome;
};

/* XE_ADOPTED: its tuples are made, and hold numbers. */
static enum xe_adopted prepare(struct xe_lane *lane, const struct xe_adoptee *a, struct coming *c)
{
	struct holds *h = &c->holds;

	*h = (struct holds){.source = XE_NIL,
			    .nexthop = XE_NIL,
			    .toward = XE_NIL,
			    .ext = XE_NIL,
			    .mapping = XE_NIL,
			    .terms = {XE_NIL, XE_NIL}};
	if (is_over(lane, a))
		return XE_ADOPT_OVER;
	/* What it turns round at (hairpin.c) must be an uplink that is there. */
	if (a->record->flags & XE_FR_HAIRPIN && (a->out_port == XE_PORT_NONE || a->out_inside))
		return XE_ADOPT_FULL;
	if (!numbers_get(lane, a->record, c->n))
		return XE_ADOPT_FULL;
	make_tuples(a, c->n, h);
	h->hash[XE_DIR_OUT] = xe_session_hash(&lane->sessions, &h->out);
	h->hash[XE_DIR_BACK] = xe_session_hash(&lane->sessions, &h->back);
	return XE_ADOPTED;
}

/* The lines that it will look at or write: each is a cache miss of its own otherwise, and there are
 * half a dozen. */
static void prefetch(const struct xe_lane *lane, const struct xe_adoptee *a, const struct holds *h,
		     uint32_t ahead)
{
	xe_session_prefetch_next(&lane->sessions, ahead);
	if (a->ext != XE_NIL && lane->pool.ext[a->ext].ports[0].use)
		__builtin_prefetch(&lane->pool.ext[a->ext]
					    .ports[h->out.proto == IPPROTO_UDP]
					    .use[ntohs(h->back.dport_be)],
				   1);
}

static void load(const void *line)
{
	(void)*(const volatile uint64_t *)line;
}

/* Those that lie at random in tens of MiB are loaded, not prefetched: a prefetch whose address is
 * in no TLB may be dropped, and was. Loads that do not depend on each other wait together. */
static void load_random(const struct xe_lane *lane, const struct holds *h)
{
	const struct xe_sessions *t = &lane->sessions;
	uint64_t out = h->hash[XE_DIR_OUT], back = h->hash[XE_DIR_BACK];

	load(&t->buckets[xe_live_first(out, t->bucket_mask)]);
	load(&t->buckets[xe_live_first(back, t->bucket_mask)]);
	load(&lane->live.buckets[xe_live_first(out, lane->live.mask)]);
}

enum xe_adopted xe_adopt_find(struct xe_lane *lane, const struct xe_adoptee *a,
			      struct xe_session **s)
{
	struct coming c;
	enum xe_adopted found = prepare(lane, a, &c);

	*s = NULL;
	if (found != XE_ADOPTED)
		return found;
	found = look_up(lane, a, &c.holds, s);
	numbers_put(lane, a->record, c.n);
	return found;
}

static enum xe_adopted finish(struct xe_lane *lane, const struct xe_adoptee *a, struct coming *c,
			      struct xe_session **made)
{
	enum xe_adopted ret = c->outcome;

	if (ret != XE_ADOPTED)
		return ret;
	ret = has_room(&lane->nexthops) ? with_tuples(lane, a, &c->holds, made) : XE_ADOPT_LATER;
	numbers_put(lane, a->record, c->n);
	return ret;
}

void xe_adopt_group(struct xe_lane *lane, const struct xe_adoptee *const *a, uint32_t cnt,
		    enum xe_adopted *outcome, struct xe_session **made)
{
	struct coming coming[XE_ADOPT_GROUP];

	for (uint32_t i = 0; i < cnt; i++) {
		coming[i].outcome = prepare(lane, a[i], &coming[i]);
		if (coming[i].outcome == XE_ADOPTED)
			prefetch(lane, a[i], &coming[i].holds, i);
	}
	for (uint32_t i = 0; i < cnt; i++)
		if (coming[i].outcome == XE_ADOPTED)
			load_random(lane, &coming[i].holds);
	for (uint32_t i = 0; i < cnt; i++) {
		made[i] = NULL;
		outcome[i] = finish(lane, a[i], &coming[i], &made[i]);
	}
}

enum xe_adopted xe_adopt(struct xe_lane *lane, const struct xe_adoptee *a, struct xe_session **s)
{
	struct xe_session *made;
	enum xe_adopted outcome;

	xe_adopt_group(lane, &a, 1, &outcome, &made);
	if (s)
		*s = made;
	return outcome;
}

#define WHO_SIZE offsetof(struct xe_flow_record, in_port) /* addresses and L4 ports */
#define KIND     (XE_FR_FROM_OUTSIDE | XE_FR_EXT | XE_FR_MAPPED | XE_FR_HAIRPIN)

static bool is_who_it_was(const struct xe_lane *lane, const struct xe_session *s,
			  const struct xe_flow_record *now)
{
	struct xe_flow_record was;

	xe_session_record(&lane->sessions, s, lane->now_s, &was);
	return !memcmp(&was, now, WHO_SIZE) && was.proto == now->proto && was.verb == now->verb &&
	       !((was.flags ^ now->flags) & KIND);
}

bool xe_adopt_go_on(struct xe_lane *lane, struct xe_session *s, const struct xe_flow_record *now,
		    uint16_t out_port)
{
	uint8_t was = s->tcp_state;
	bool closed;

	if (!is_who_it_was(lane, s, now) ||
	    (out_port != s->out_port && s->key[XE_DIR_BACK].port == XE_PORT_ANYUPLINK))
		return false;
	/* As flow.c has it: the first answer to who has come from outside. */
	if (s->flags & XE_SF_FROM_OUTSIDE && !xe_session_packets(s, XE_DIR_OUT) &&
	    now->packets[XE_DIR_OUT]) {
		lane->unanswered--;
		if (s->ext != XE_EXT_NONE)
			xe_natpool_use(&lane->pool, s->mapping, &s->key[XE_DIR_BACK]);
	}
	xe_session_fill(s, now);
	s->last_used_s = seconds_ago(lane, now->idle_s);
	closed = s->tcp_state == XE_TCP_CLOSED;
	if (s->source != XE_NIL && closed != (was == XE_TCP_CLOSED))
		xe_source_set_closed(&lane->sources, s->source, closed);
	if (s->tcp_state != was || closed)
		xe_flow_retime(lane, s);
	return true;
}

bool xe_adopt_is_taken(struct xe_lane *lane, const struct xe_flow_record *record)
{
	struct xe_adoptee a = {.record = record};
	struct holds h;
	uint32_t n[4];
	bool taken;

	if (!numbers_get(lane, record, n))
		return false;
	make_tuples(&a, n, &h);
	taken = xe_session_is_there(&lane->sessions, &h.back);
	numbers_put(lane, record, n);
	return taken;
}
