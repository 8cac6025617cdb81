/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * broadcasts.c - the broadcast addresses of the host's networks, which steer drops what containers
 * send to (RFC 2644): those that the kernel has in its routing tables. Control thread only.
 */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "control/service.h"

/* Tell steer of those in a that are not in b; both are sorted as bytes. */
static int tell(struct xe_service *svc, const __be32 *a, uint32_t a_cnt, const __be32 *b,
		uint32_t b_cnt, bool on)
{
	int err = 0;

	for (uint32_t i = 0, k = 0; i < a_cnt; i++) {
		while (k < b_cnt && memcmp(&b[k], &a[i], sizeof(*b)) < 0)
			k++;
		if ((k == b_cnt || b[k] != a[i]) && xe_steer_set_broadcast(&svc->steer, a[i], on) &&
		    !err)
			err = 1;
	}
	return err;
}

void xe_broadcasts_refresh(struct xe_service *svc)
{
	const __be32 *list;
	uint32_t cnt;
	__be32 *copy;

	if (xe_netlink_broadcasts(svc->netlink, &list, &cnt))
		return; /* told of there, and read again with the next event */
	if (cnt == svc->broadcast_cnt &&
	    (!cnt || !memcmp(list, svc->broadcasts, cnt * sizeof(*list))))
		return;
	copy = malloc((cnt + 1) * sizeof(*copy));
	if (!copy)
		return;
	if (cnt)
		memcpy(copy, list, cnt * sizeof(*copy));
	tell(svc, svc->broadcasts, svc->broadcast_cnt, copy, cnt, false);
	if (tell(svc, copy, cnt, svc->broadcasts, svc->broadcast_cnt, true))
		xe_log_warn("the host has more than %d broadcast addresses: some of its networks "
			    "get the directed broadcasts of containers",
			    XE_MAX_BROADCASTS);
	free(svc->broadcasts);
	svc->broadcasts = copy;
	svc->broadcast_cnt = cnt;
}
