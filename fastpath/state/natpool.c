/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "state/natpool.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>

#include "state/natpool_choose.h"
#include "state/natpool_crowd.h"
#include "state/natpool_mapping.h"

/* Mappings that rest have slots, too: as many as there can be live ones. When even those are full
 * the oldest ends its rest early. */
#define MAPPINGS_PER_SESSION 2

int xe_natpool_open(struct xe_natpool *pool, struct xe_sessions *sessions, uint64_t *owned,
		    struct xe_claims *claims, const struct xe_taken *taken, uint16_t worker,
		    uint16_t worker_cnt, uint64_t rng_k0, uint64_t rng_k1)
{
	memset(pool, 0, sizeof(*pool));
	pool->sessions = sessions;
	pool->owned = owned;
	pool->claims = claims;
	pool->taken = taken;
	pool->worker = worker;
	pool->worker_cnt = worker_cnt;
	pool->rng_k0 = rng_k0;
	pool->rng_k1 = rng_k1;
	pool->mapping_free = pool->rest_first = pool->rest_last = XE_NIL;
	pool->mapping_capacity = sessions->capacity * MAPPINGS_PER_SESSION;
	pool->mappings = xe_region_open((size_t)pool->mapping_capacity * sizeof(*pool->mappings));
	pool->crowds = xe_crowds_open();
	if (pool->mappings && pool->crowds &&
	    !xe_index_open(&pool->mapping_index, pool->mapping_capacity) &&
	    !xe_index_open(&pool->rest_index, pool->mapping_capacity) &&
	    !xe_permits_open(&pool->permits, sessions->capacity, sessions->k0, sessions->k1))
		return 0;
	xe_natpool_close(pool);
	return -ENOMEM;
}

void xe_natpool_close(struct xe_natpool *pool)
{
	xe_region_close(pool->mappings, (size_t)pool->mapping_capacity * sizeof(*pool->mappings));
	pool->mappings = NULL;
	xe_index_close(&pool->mapping_index);
	xe_index_close(&pool->rest_index);
	xe_crowds_close(pool->crowds);
	xe_permits_close(&pool->permits);
	pool->crowds = NULL;
	for (uint32_t i = 0; i < XE_MAX_EXT_ADDRS; i++) {
		for (int udp = 0; udp < 2; udp++) {
			free(pool->ext[i].ports[udp].use);
			free(pool->ext[i].ports[udp].mine);
			pool->ext[i].ports[udp].use = NULL;
			pool->ext[i].ports[udp].mine = NULL;
		}
	}
}

static uint32_t ext_home(const struct xe_natpool *pool, const struct xe_addr *addr)
{
	return (uint32_t)xe_addr_hash(addr, pool->sessions->k0, pool->sessions->k1) % XE_EXT_SLOTS;
}

static bool addr_equal(const struct xe_addr *a, const struct xe_addr *b)
{
	return !((a->q[0] ^ b->q[0]) | (a->q[1] ^ b->q[1]));
}

/* All anew: an index may have been another address's before. */
static void index_exts(struct xe_natpool *pool)
{
	memset(pool->ext_slot, 0, sizeof(pool->ext_slot));
	memset(pool->ext_ends, 0, sizeof(pool->ext_ends));
	for (uint32_t i = 0; i < XE_MAX_EXT_ADDRS; i++) {
		const struct xe_addr *addr = &pool->ext[i].addr;
		uint32_t at;

		if (!(addr->q[0] | addr->q[1]))
			continue;
		pool->ext_ends[addr->b[15] >> 6] |= 1ull << (addr->b[15] & 63);
		at = ext_home(pool, addr);
		while (pool->ext_slot[at])
			at = (at + 1) % XE_EXT_SLOTS;
		pool->ext_slot[at] = (uint16_t)(i + 1);
	}
}

static uint32_t find_ext(const struct xe_natpool *pool, const struct xe_addr *addr)
{
	/* Nearly all that is asked for is no Ext address: the first packets of all flows. */
	if (!(pool->ext_ends[addr->b[15] >> 6] >> (addr->b[15] & 63) & 1))
		return XE_NIL;
	for (uint32_t at = ext_home(pool, addr); pool->ext_slot[at]; at = (at + 1) % XE_EXT_SLOTS)
		if (addr_equal(&pool->ext[pool->ext_slot[at] - 1].addr, addr))
			return pool->ext_slot[at] - 1u;
	return XE_NIL;
}

uint32_t xe_natpool_ext(const struct xe_natpool *pool, const struct xe_addr *addr)
{
	return find_ext(pool, addr);
}

uint16_t xe_natpool_owner(const struct xe_natpool *pool, const struct xe_addr *addr, bool udp,
			  uint16_t l4_port)
{
	uint32_t ext = find_ext(pool, addr);
	uint8_t owner;

	if (ext == XE_NIL)
		return XE_NO_WORKER;
	owner = __atomic_load_n(xe_claims_owner(pool->claims, ext, udp, l4_port), __ATOMIC_RELAXED);
	return owner ? (uint16_t)(owner - 1) : (uint16_t)XE_NO_WORKER;
}

bool xe_natpool_is_owned(const struct xe_natpool *pool, const struct xe_addr *addr, bool udp,
			 uint16_t l4_port)
{
	uint32_t ext = find_ext(pool, addr);
	uint64_t word;

	if (ext == XE_NIL)
		return false;
	word = __atomic_load_n(&pool->owned[xe_owned_idx(ext, udp, l4_port)], __ATOMIC_RELAXED);
	return word >> (l4_port & 63) & 1;
}

bool xe_natpool_may_be_hosts(const struct xe_natpool *pool, bool udp, uint16_t l4_port)
{
	uint32_t local = __atomic_load_n(&pool->taken->local, __ATOMIC_RELAXED);

	return (local && l4_port >= local >> 16 && l4_port <= (local & 0xffff)) ||
	       xe_l4_is_taken(pool, udp, l4_port);
}

/* The address in the form that tuples have it, and holds it. */
static int set_ext_addr(struct xe_natpool *pool, struct xe_ext *e, const struct xe_addr *addr)
{
	bool v4 = !addr->q[0] && addr->w_be[2] == htonl(0xffff);
	uint32_t value = v4 ? addr->w_be[3] : xe_addr6_get(&pool->sessions->addr6, addr);

	if (!v4 && value == XE_NIL)
		return -ENOMEM;
	if (e->family == XE_FAMILY_6) /* it was another one's */
		xe_addr6_unref(&pool->sessions->addr6, e->addr_be);
	e->addr = *addr;
	e->addr_be = value;
	e->family = v4 ? XE_FAMILY_4 : XE_FAMILY_6;
	return 0;
}

int xe_natpool_add_ext(struct xe_natpool *pool, uint32_t ext, const struct xe_addr *addr)
{
	struct xe_ext *e = &pool->ext[ext];

	if (set_ext_addr(pool, e, addr))
		return -ENOMEM;
	index_exts(pool);
	for (int udp = 0; udp < 2; udp++) {
		struct xe_l4_ports *ports = &e->ports[udp];

		if (!ports->use)
			ports->use = calloc(65536, sizeof(*ports->use));
		if (!ports->mine)
			ports->mine = calloc(3ul * XE_OWNED_WORDS, sizeof(*ports->mine));
		if (!ports->use || !ports->mine)
			return -ENOMEM;
		ports->rest = ports->mine + XE_OWNED_WORDS;
		ports->mapped = ports->rest + XE_OWNED_WORDS;
	}
	return 0;
}

/* ---- mappings ---- */

/* The mapping of the same inside endpoint: live, or it rests and can go on, see xe_mapping_go_on().
 */
static uint32_t find_mapping(struct xe_natpool *pool, const struct xe_mapping *key,
			     const struct xe_nat_want *want)
{
	uint32_t idx = xe_index_find(&pool->mapping_index, key->hash, pool, key, xe_mapping_equal);
	struct xe_mapping *m;

	if (idx == XE_NIL)
		return idx;
	m = &pool->mappings[idx];
	if (m->refs)
		return idx;
	if (!xe_nat_in_range(want, m->ext_port) || xe_l4_is_taken(pool, m->is_udp, m->ext_port)) {
		xe_mapping_end(pool, idx);
		return XE_NIL;
	}
	return idx;
}

static bool choose_mapped(struct xe_natpool *pool, const struct xe_mapping *key,
			  const struct xe_nat_want *want, struct xe_tuple4 *back)
{
	uint16_t l4_port = xe_mapping_take_over(pool, key, want, true);

	back->dport_be = htons(l4_port);
	if (!l4_port || xe_l4_is_taken(pool, key->is_udp, l4_port) ||
	    !xe_l4_back_is_free(pool, back)) {
		if (xe_l4_choose(pool, key->is_udp, ntohs(key->sport_be), want, back))
			return true;
		l4_port = xe_mapping_take_over(pool, key, want, false);
		back->dport_be = htons(l4_port);
		if (!l4_port || !xe_l4_back_is_free(pool, back))
			return false;
	}
	/* The old mapping goes, and the L4 port is used before it could be given back. */
	uint32_t old = pool->ext[key->ext].ports[key->is_udp].use[l4_port] & ~XE_USE_MAPPED;

	xe_mapping_unlink(pool, old);
	xe_mapping_free(pool, old);
	return true;
}

static int take_mapped(struct xe_natpool *pool, const struct xe_tuple4 *out,
		       const struct xe_nat_want *want, struct xe_tuple4 *back, uint32_t *mapping)
{
	struct xe_mapping key = {
		.src_be = out->src_be,
		.sport_be = out->sport_be,
		.in_port = out->port,
		.era = xe_mapping_era(pool, out->port),
		.ext = want->ext,
		.is_udp = out->proto == IPPROTO_UDP,
		.family = out->family,
		.filter = want->filter,
		.verb = want->verb,
		.refs = 1,
		.used = 1,
	};
	uint32_t idx;

	key.hash = xe_mapping_hash(pool, &key);
	idx = find_mapping(pool, &key, want);
	if (idx != XE_NIL) {
		back->dport_be = htons(pool->mappings[idx].ext_port);
		if (!xe_l4_back_is_free(pool, back))
			return -EADDRINUSE;
		if (!pool->mappings[idx].refs)
			xe_mapping_go_on(pool, idx, &key);
		pool->mappings[idx].refs++;
		xe_natpool_use(pool, idx, back);
		*mapping = idx;
		return 0;
	}
	/* Before the choice, which claims an L4 port: that must then be used. */
	if (!xe_mapping_make_room(pool) || !choose_mapped(pool, &key, want, back))
		return -ENOSPC;
	key.ext_port = ntohs(back->dport_be);
	idx = xe_mapping_new(pool, &key);
	if (key.filter == XE_FILTER_ADDRESS)
		xe_permit_add(&pool->permits, idx, back->src_be);
	*mapping = idx;
	return 0;
}

static int take(struct xe_natpool *pool, const struct xe_tuple4 *out,
		const struct xe_nat_want *want, struct xe_tuple4 *back, uint32_t *mapping)
{
	int udp = out->proto == IPPROTO_UDP;

	*back = xe_tuple4_reverse(out, XE_PORT_ANYUPLINK);
	back->dst_be = pool->ext[want->ext].addr_be;
	*mapping = XE_NIL;
	if (want->independent)
		return take_mapped(pool, out, want, back, mapping);
	if (!xe_l4_choose(pool, udp, ntohs(out->sport_be), want, back))
		return -ENOSPC;
	xe_l4_use(pool, udp, want->ext, ntohs(back->dport_be), XE_NIL);
	xe_crowds_mark(pool->crowds, back, true);
	return 0;
}

int xe_natpool_take(struct xe_natpool *pool, const struct xe_tuple4 *out,
		    const struct xe_nat_want *want, struct xe_tuple4 *back, uint32_t *mapping)
{
	int ret = take(pool, out, want, back, mapping);

	if (ret)
		pool->refused = *want;
	return ret;
}

void xe_natpool_port_gone(struct xe_natpool *pool, uint16_t port)
{
	pool->era[port]++;
}

uint32_t xe_natpool_find(const struct xe_natpool *pool, const struct xe_tuple4 *back, bool any_peer,
			 uint32_t *ext)
{
	struct xe_addr addr = xe_tuple_addr(pool->sessions, back->family, back->dst_be);
	const struct xe_mapping *m;
	uint32_t use, idx;

	*ext = find_ext(pool, &addr);
	if (*ext == XE_NIL)
		return XE_NIL;
	use = pool->ext[*ext].ports[back->proto == IPPROTO_UDP].use[ntohs(back->dport_be)];
	if (!(use & XE_USE_MAPPED))
		return XE_NIL;
	idx = use & ~XE_USE_MAPPED;
	m = &pool->mappings[idx];
	if (!m->refs || !m->used)
		return XE_NIL;
	if (any_peer || m->filter == XE_FILTER_INDEPENDENT ||
	    (m->filter == XE_FILTER_ADDRESS && xe_permit_has(&pool->permits, idx, back->src_be)))
		return idx;
	return XE_NIL;
}

void xe_natpool_join(struct xe_natpool *pool, uint32_t mapping)
{
	pool->mappings[mapping].refs++;
}

void xe_natpool_use(struct xe_natpool *pool, uint32_t mapping, const struct xe_tuple4 *back)
{
	struct xe_mapping *m = &pool->mappings[mapping];

	m->used++;
	if (m->filter == XE_FILTER_ADDRESS)
		xe_permit_add(&pool->permits, mapping, back->src_be);
}

void xe_natpool_give(struct xe_natpool *pool, const struct xe_tuple4 *back, uint32_t ext,
		     uint32_t mapping, bool used)
{
	int udp = back->proto == IPPROTO_UDP;
	struct xe_mapping *m;

	if (mapping == XE_NIL) {
		xe_crowds_mark(pool->crowds, back, false);
		xe_l4_unuse(pool, udp, ext, ntohs(back->dport_be), false);
		return;
	}
	m = &pool->mappings[mapping];
	if (used) {
		m->used--;
		if (m->filter == XE_FILTER_ADDRESS)
			xe_permit_del(&pool->permits, mapping, back->src_be);
	}
	if (--m->refs)
		return;
	pool->mapping_cnt--;
	xe_l4_unuse(pool, udp, ext, m->ext_port, udp);
	if (udp)
		xe_mapping_rest(pool, mapping);
	else /* its end was seen (RFC 6888 REQ-8 exception A) */
		xe_mapping_free(pool, mapping);
}
