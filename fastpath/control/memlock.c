/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "control/memlock.h"

#include <errno.h>
#include <linux/capability.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "base/confine.h"
#include "base/log.h"

#define KIB 1024ull

void xe_memlock_raise(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_MEMLOCK, &limit) || limit.rlim_cur == RLIM_INFINITY)
		return;
	limit.rlim_cur = RLIM_INFINITY;
	if (limit.rlim_max != RLIM_INFINITY && xe_confine_has(CAP_SYS_RESOURCE))
		limit.rlim_max = RLIM_INFINITY;
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_MEMLOCK, &limit))
		xe_log_debug("RLIMIT_MEMLOCK stays as it is: %s", strerror(errno));
}

bool xe_memlock_suffices(size_t area_size, unsigned int sockets, char *why, size_t why_size)
{
	struct rlimit limit = {};

	if (xe_confine_has(CAP_IPC_LOCK) || getrlimit(RLIMIT_MEMLOCK, &limit) ||
	    limit.rlim_cur == RLIM_INFINITY || limit.rlim_cur / area_size >= sockets)
		return true;
	snprintf(why, why_size,
		 "locked memory is limited to %llu KiB, and %u socket%s count%s %llu KiB: grant "
		 "CAP_IPC_LOCK, or raise RLIMIT_MEMLOCK (LimitMEMLOCK= of the unit, `ulimit -l`)",
		 (unsigned long long)limit.rlim_cur / KIB, sockets, sockets == 1 ? "" : "s",
		 sockets == 1 ? "s" : "", sockets * (unsigned long long)area_size / KIB);
	return false;
}
