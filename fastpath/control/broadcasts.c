/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * broadcasts.c - the broadcast addresses of the host's networks, which steer drops what containers
 * send to (RFC 2644): those that the kernel has in its routing tables. Control thread only.
 */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "control/service.h"

/* Is it in a list that is sorted as bytes? *at: where it was looked for last, a smaller one. */
static bool has(const __be32 *list, uint32_t cnt, __be32 addr_be, uint32_t *at)
{
	while (*at < cnt && memcmp(&list[*at], &addr_be, sizeof(addr_be)) < 0)
		(*at)++;
	return *at < cnt && list[*at] == addr_be;
}

/* Steer forgets those that are not in the list. */
static void forget(struct xe_service *svc, const __be32 *list, uint32_t cnt)
{
	for (uint32_t i = 0, k = 0; i < svc->broadcast_cnt; i++)
		if (!has(list, cnt, svc->broadcasts[i], &k))
			xe_steer_set_broadcast(&svc->steer, svc->broadcasts[i], false);
}

/* Steer is told of those that it does not know. Into `known` go all that it knows then; returns how
 * many. */
static uint32_t tell(struct xe_service *svc, const __be32 *list, uint32_t cnt, __be32 *known)
{
	uint32_t known_cnt = 0;

	for (uint32_t i = 0, k = 0; i < cnt; i++)
		if (has(svc->broadcasts, svc->broadcast_cnt, list[i], &k) ||
		    !xe_steer_set_broadcast(&svc->steer, list[i], true))
			known[known_cnt++] = list[i];
	return known_cnt;
}

void xe_broadcasts_refresh(struct xe_service *svc)
{
	const __be32 *list;
	uint32_t cnt, known_cnt;
	__be32 *known;

	if (xe_netlink_broadcasts(svc->netlink, &list, &cnt))
		return; /* told of there, and read again with the next event */
	if (cnt == svc->broadcast_cnt &&
	    (!cnt || !memcmp(list, svc->broadcasts, cnt * sizeof(*list))))
		return;
	known = malloc((cnt + 1) * sizeof(*known));
	if (!known)
		return;
	forget(svc, list, cnt);
	known_cnt = tell(svc, list, cnt, known);
	free(svc->broadcasts);
	svc->broadcasts = known;
	svc->broadcast_cnt = known_cnt; /* the others: with the next event */
	if (known_cnt < cnt && !svc->broadcasts_short)
		xe_log_warn("steer knows %u of the host's %u broadcast addresses (%d at most): the "
			    "other networks get the directed broadcasts of containers",
			    known_cnt, cnt, XE_MAX_BROADCASTS);
	svc->broadcasts_short = known_cnt < cnt;
}
