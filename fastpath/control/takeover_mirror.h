/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * takeover_mirror.h - while our workers run, and the old process's programs still stand in the
 * links.
 *
 * A link gets its new program under the kernel's rtnl lock, which others may have for tens of
 * milliseconds. So nobody waits for that: the workers run first. The old programs send packets to
 * the same sockets, by the same hash; what they have to know of new flows, that their L4 port is
 * owned and their tags are live, and that the workers live, is written into their maps, too. What
 * ends meanwhile stays there, and is forgotten with them.
 *
 * Control thread.
 */
#ifndef XE_TAKEOVER_MIRROR_H
#define XE_TAKEOVER_MIRROR_H

#include "control/service.h"

struct xe_take_mirror {
	struct xe_steer_theirs maps;
	struct xe_owned_mirror owned;
};

/* Map what is theirs. Regions and tables are laid out alike: as many workers and tags. -errno. */
int xe_mirror_open(struct xe_take_mirror *m, const struct xe_steer *st,
		   const int fds[XE_STEER_SHARED]);
/* From here on all that the workers add; they do not run. ext_addrs: theirs, by their numbers. */
void xe_mirror_begin(struct xe_take_mirror *m, struct xe_service *svc,
		     const struct xe_addr *ext_addrs);
/* No more; the workers may run. */
void xe_mirror_end(struct xe_take_mirror *m, struct xe_service *svc);

#endif
