/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "control/flow_held.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>

#include "base/log.h"
#include "control/ct_adopt.h"
#include "control/watch.h"

/* Looked at in one tick, one worker call: 4096 cache misses are some 400 us. A million are gone
 * through in 25 s, which is how late an L4 port may be free again. */
#define LOOKS 4096u

struct hold {
	uint32_t slot;
	uint16_t l4_port; /* host order */
	uint8_t udp;
	uint8_t worker;
	struct xe_tuple4 back;
	struct xe_flow_record record; /* conntrack has an entry of it (ct_adopt.h) */
};

struct xe_held_flows {
	struct hold *holds;
	uint32_t cnt, size;
	uint32_t at;              /* next to be looked at */
	uint32_t users[2][65536]; /* holds by protocol and L4 port */
};

static void mark(struct xe_service *svc, int udp, uint16_t l4_port, bool on)
{
	uint64_t bit = 1ull << (l4_port & 63), *word = &svc->held[udp][l4_port >> 6];

	*word = on ? *word | bit : *word & ~bit;
	xe_taken_publish(svc, udp, l4_port >> 6);
}

static bool make_room(struct xe_held_flows *h)
{
	uint32_t size = h->size ? 2 * h->size : 256;
	struct hold *holds;

	if (h->cnt < h->size)
		return true;
	holds = realloc(h->holds, size * sizeof(*holds));
	if (!holds)
		return false;
	h->holds = holds;
	h->size = size;
	return true;
}

static bool open_held(struct xe_service *svc)
{
	if (!svc->held_flows)
		svc->held_flows = calloc(1, sizeof(*svc->held_flows));
	return svc->held_flows;
}

void xe_held_announce(struct xe_service *svc)
{
	if (!svc->steer.conf->any_accept)
		__atomic_store_n(&svc->steer.conf->any_accept, 1, __ATOMIC_RELAXED);
}

void xe_held_reserve(struct xe_service *svc, int udp, uint16_t l4_port, bool on)
{
	uint32_t *users;

	if (!open_held(svc))
		return;
	users = &svc->held_flows->users[udp][l4_port];
	if (on && !(*users)++)
		mark(svc, udp, l4_port, true);
	else if (!on && *users && !--*users)
		mark(svc, udp, l4_port, false);
}

void xe_held_add(struct xe_service *svc, const struct xe_worker *w, uint32_t slot,
		 const struct xe_tuple4 *back, const struct xe_flow_record *record)
{
	struct hold *hold;

	if (!open_held(svc) || !make_room(svc->held_flows)) {
		xe_log_warn("out of memory: L4 port %u may be given to a second flow",
			    ntohs(back->dport_be));
		return;
	}
	hold = &svc->held_flows->holds[svc->held_flows->cnt++];
	*hold = (struct hold){
		.slot = slot,
		.l4_port = ntohs(back->dport_be),
		.udp = back->proto == IPPROTO_UDP,
		.worker = (uint8_t)w->idx,
		.back = *back,
		.record = *record,
	};
	xe_held_reserve(svc, hold->udp, hold->l4_port, true);
	xe_ct_is_held(svc, record);
}

struct look {
	struct xe_held_flows *held;
	uint32_t from, to;
	uint32_t gone_cnt;
	uint32_t gone[LOOKS];
};

static void look_call(struct xe_worker *w, void *arg)
{
	struct look *look = arg;

	for (uint32_t i = look->from; i < look->to; i++) {
		const struct hold *hold = &look->held->holds[i];
		const struct xe_session *s = &w->lane->sessions.slots[hold->slot];

		if (hold->worker == w->idx &&
		    (s->ext != XE_EXT_NONE || !xe_tuple4_equal(&s->key[XE_DIR_BACK], &hold->back)))
			look->gone[look->gone_cnt++] = i;
	}
}

static int cmp_down(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x > y ? -1 : x < y;
}

/* The last one takes the place of each that is gone: the highest first, or it would be one of them.
 */
static void let_go(struct xe_service *svc, struct look *look)
{
	struct xe_held_flows *h = svc->held_flows;

	qsort(look->gone, look->gone_cnt, sizeof(look->gone[0]), cmp_down);
	for (uint32_t i = 0; i < look->gone_cnt; i++) {
		struct hold *hold = &h->holds[look->gone[i]];

		xe_held_reserve(svc, hold->udp, hold->l4_port, false);
		xe_ct_is_over(svc, &hold->record);
		*hold = h->holds[--h->cnt];
	}
}

void xe_held_tick(struct xe_service *svc)
{
	struct xe_held_flows *h = svc->held_flows;
	static struct look look;

	if (!h || !h->cnt || xe_watch_stalled(svc))
		return;
	if (h->at >= h->cnt)
		h->at = 0;
	look.held = h;
	look.from = h->at;
	look.to = h->cnt - h->at < LOOKS ? h->cnt : h->at + LOOKS;
	look.gone_cnt = 0;
	for (uint32_t w = 0; w < svc->worker_cnt; w++)
		xe_worker_call(&svc->workers[w], look_call, &look);
	h->at = look.to - look.gone_cnt; /* what has moved into the gaps is looked at next time */
	let_go(svc, &look);
}

void xe_held_close(struct xe_service *svc)
{
	if (!svc->held_flows)
		return;
	free(svc->held_flows->holds);
	free(svc->held_flows);
	svc->held_flows = NULL;
}
