/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "control/takeover_mirror.h"

#include <string.h>

int xe_mirror_open(struct xe_take_mirror *m, const struct xe_steer *st,
		   const int fds[XE_STEER_SHARED])
{
	return xe_steer_map_theirs(st, &m->maps, fds);
}

/* Their number of an address that is ours by another one. */
static uint32_t their_ext(const struct xe_addr *addr, const struct xe_addr *ext_addrs)
{
	static const struct xe_addr none;

	if (!memcmp(addr, &none, sizeof(none)))
		return XE_NIL;
	for (uint32_t i = 0; i < XE_MAX_EXT_ADDRS; i++)
		if (!memcmp(addr, &ext_addrs[i], sizeof(*addr)))
			return i;
	return XE_NIL;
}

static void set(struct xe_worker *w, void *arg)
{
	struct xe_take_mirror *m = arg;
	struct xe_lane *lane = w->lane;

	lane->pool.mirror = m ? &m->owned : NULL;
	lane->live.mirror = m ? m->maps.live + lane->worker * ((size_t)lane->live.mask + 1) : NULL;
	w->beat_mirror = m ? &m->maps.beats[w->idx] : NULL;
}

void xe_mirror_begin(struct xe_take_mirror *m, struct xe_service *svc,
		     const struct xe_addr *ext_addrs)
{
	m->owned.owned = m->maps.owned;
	for (uint32_t i = 0; i < XE_MAX_EXT_ADDRS; i++)
		m->owned.ext[i] = their_ext(&svc->ext_addrs[i], ext_addrs);
	for (uint32_t w = 0; w < svc->worker_cnt; w++) {
		set(&svc->workers[w], m);
		xe_worker_beat(&svc->workers[w]);
	}
}

void xe_mirror_end(struct xe_take_mirror *m, struct xe_service *svc)
{
	if (!m->maps.owned)
		return;
	for (uint32_t w = 0; w < svc->worker_cnt; w++)
		xe_worker_call(&svc->workers[w], set, NULL);
	xe_steer_unmap_theirs(&m->maps);
}
