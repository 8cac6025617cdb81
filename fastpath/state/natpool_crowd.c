/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "state/natpool_crowd.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>

#include "state/natpool_choose.h"
#include "state/region.h"

#define WORDS_SIZE ((size_t)XE_CROWDS * XE_BITMAP_WORDS * sizeof(uint64_t))

struct xe_crowds *xe_crowds_open(void)
{
	struct xe_crowds *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->words = xe_region_open(WORDS_SIZE);
	if (!c->words) {
		free(c);
		return NULL;
	}
	for (size_t i = 0; i < XE_CROWDS; i++)
		c->crowd[i].used = c->words + i * XE_BITMAP_WORDS;
	return c;
}

void xe_crowds_close(struct xe_crowds *c)
{
	if (!c)
		return;
	xe_region_close(c->words, WORDS_SIZE);
	free(c);
}

static struct xe_tuple4 peer_of(const struct xe_tuple4 *back)
{
	struct xe_tuple4 peer = *back;

	peer.dport_be = 0;
	return peer;
}

void xe_crowds_mark_all(struct xe_crowds *c, const struct xe_tuple4 *back, bool on)
{
	struct xe_tuple4 peer = peer_of(back);
	uint16_t l4_port = ntohs(back->dport_be);

	for (uint32_t i = 0; i < c->cnt; i++) {
		uint64_t *word = &c->crowd[i].used[l4_port >> 6], bit = 1ull << (l4_port & 63);

		if (xe_tuple4_equal(&c->crowd[i].peer, &peer))
			*word = on ? *word | bit : *word & ~bit;
	}
}

const uint64_t *xe_crowds_find(struct xe_crowds *c, const struct xe_tuple4 *back, uint16_t min,
			       uint16_t max, uint32_t now_s)
{
	struct xe_tuple4 peer = peer_of(back);

	for (uint32_t i = 0; i < c->cnt; i++) {
		if (c->crowd[i].min != min || c->crowd[i].max != max ||
		    !xe_tuple4_equal(&c->crowd[i].peer, &peer))
			continue;
		c->crowd[i].asked_s = now_s;
		return c->crowd[i].used;
	}
	return NULL;
}

static struct xe_crowd *place_for_one(struct xe_crowds *c, uint32_t now_s)
{
	struct xe_crowd *oldest = &c->crowd[0];

	if (c->cnt < XE_CROWDS)
		return &c->crowd[c->cnt++];
	for (uint32_t i = 1; i < XE_CROWDS; i++)
		if (now_s - c->crowd[i].asked_s > now_s - oldest->asked_s)
			oldest = &c->crowd[i];
	return oldest;
}

/* Only L4 ports that flows of this worker share: on no other has the peer one that
 * xe_crowds_mark() would take out again. */
static uint64_t shared_of_word(const struct xe_natpool *pool, uint32_t ext, int udp, uint32_t word)
{
	const struct xe_l4_ports *ports = &pool->ext[ext].ports[udp];

	return ports->mine[word] & ~ports->rest[word] & ~ports->mapped[word];
}

const uint64_t *xe_crowds_make(struct xe_natpool *pool, uint32_t ext, const struct xe_tuple4 *back,
			       uint16_t min, uint16_t max)
{
	struct xe_crowd *crowd = place_for_one(pool->crowds, pool->now_s);
	struct xe_tuple4 one = *back;

	crowd->peer = peer_of(back);
	crowd->min = min;
	crowd->max = max;
	crowd->asked_s = pool->now_s;
	memset(crowd->used, 0, XE_BITMAP_WORDS * sizeof(*crowd->used));
	for (uint32_t block = min >> 6; block <= max >> 6; block++) {
		uint64_t bits = shared_of_word(pool, ext, back->proto == IPPROTO_UDP, block) &
				xe_l4_range_bits(min, max, block);

		for (; bits; bits &= bits - 1) {
			one.dport_be =
				htons((uint16_t)(block << 6 | (uint32_t)__builtin_ctzll(bits)));
			if (!xe_l4_back_is_free(pool, &one))
				crowd->used[block] |= bits & -bits;
		}
	}
	return crowd->used;
}

void xe_crowds_tick(struct xe_crowds *c, uint32_t now_s)
{
	for (uint32_t i = 0; i < c->cnt;) {
		struct xe_crowd *last = &c->crowd[c->cnt - 1], gone = c->crowd[i];

		if (now_s - gone.asked_s < XE_CROWD_IDLE_S) {
			i++;
			continue;
		}
		c->crowd[i] = *last;
		*last = gone;
		c->cnt--;
	}
}
