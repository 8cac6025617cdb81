/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * natpool_back.c - the Ext L4 port of a flow that comes from elsewhere with its mapping: that one
 * and no other (xe_natpool_take_back()).
 */
#include <arpa/inet.h>
#include <netinet/in.h>

#include "state/natpool_choose.h"
#include "state/natpool_crowd.h"
#include "state/natpool_mapping.h"

/* Of a mapping that rests, whoever comes with a record of its L4 port has more right to it. */
static bool is_in_use(struct xe_natpool *pool, const struct xe_mapping *key)
{
	const uint32_t *use = &pool->ext[key->ext].ports[key->is_udp].use[key->ext_port];

	if (*use & XE_USE_MAPPED && !pool->mappings[*use & ~XE_USE_MAPPED].refs)
		xe_mapping_end(pool, *use & ~XE_USE_MAPPED);
	return *use;
}

/* The mapping of the same inside endpoint, which must have just this L4 port; XE_NIL: none. */
static int take_back_mapped(struct xe_natpool *pool, struct xe_mapping *key, uint32_t *mapping)
{
	uint32_t idx = xe_index_find(&pool->mapping_index, key->hash, pool, key, xe_mapping_equal);

	/* What rests elsewhere gives way: one endpoint, one L4 port (RFC 4787 REQ-1). */
	if (idx != XE_NIL && !pool->mappings[idx].refs &&
	    pool->mappings[idx].ext_port != key->ext_port) {
		xe_mapping_end(pool, idx);
		idx = XE_NIL;
	}
	if (idx != XE_NIL) {
		if (pool->mappings[idx].ext_port != key->ext_port ||
		    (!pool->mappings[idx].refs &&
		     !xe_l4_claim(pool, key->is_udp, key->ext, key->ext_port)))
			return -EBUSY;
		if (!pool->mappings[idx].refs)
			xe_mapping_go_on(pool, idx, key);
		pool->mappings[idx].refs++;
		*mapping = idx;
		return 0;
	}
	if (is_in_use(pool, key))
		return -EBUSY;
	if (!xe_mapping_make_room(pool))
		return -ENOSPC;
	if (!xe_l4_claim(pool, key->is_udp, key->ext, key->ext_port))
		return -EBUSY;
	key->refs = 1;
	*mapping = xe_mapping_new(pool, key);
	return 0;
}

static int take_back_shared(struct xe_natpool *pool, const struct xe_tuple4 *back, uint32_t ext)
{
	uint16_t l4_port = ntohs(back->dport_be);
	int udp = back->proto == IPPROTO_UDP;

	if (pool->ext[ext].ports[udp].use[l4_port] & XE_USE_MAPPED ||
	    !xe_l4_claim(pool, udp, ext, l4_port))
		return -EBUSY;
	xe_l4_use(pool, udp, ext, l4_port, XE_NIL);
	xe_crowds_mark(pool->crowds, back, true);
	return 0;
}

int xe_natpool_take_back(struct xe_natpool *pool, const struct xe_tuple4 *out,
			 const struct xe_tuple4 *back, const struct xe_nat_had *had,
			 uint32_t *mapping)
{
	struct xe_mapping key = {
		.src_be = out->src_be,
		.sport_be = out->sport_be,
		.in_port = out->port,
		.era = xe_mapping_era(pool, out->port),
		.ext = had->ext,
		.ext_port = ntohs(back->dport_be),
		.is_udp = out->proto == IPPROTO_UDP,
		.family = out->family,
		.filter = had->filter,
		.verb = had->verb,
	};
	int err;

	*mapping = XE_NIL;
	if (!had->mapped)
		return take_back_shared(pool, back, had->ext);
	key.hash = xe_mapping_hash(pool, &key);
	err = take_back_mapped(pool, &key, mapping);
	if (!err && had->used)
		xe_natpool_use(pool, *mapping, back);
	return err;
}
