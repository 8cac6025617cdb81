/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * data_plane.h - steering program, punt devices, memory and workers: what needs no knowledge of the
 * host's interfaces. Control thread, at start and stop.
 */
#ifndef XE_DATA_PLANE_H
#define XE_DATA_PLANE_H

#include "control/service.h"

/* Nothing is begun that cannot be had: may this process lock the memory of a socket for each entry
 * of `ports:` (the least, globs apart)? -ENOBUFS, and it has been said what to do. */
int xe_data_plane_check(const struct xe_service *svc);
/* Open all, and run the workers but for a takeover, where another process's still run. 0 or -errno;
 * what is open then, xe_service_stop() closes. */
int xe_data_plane_start(struct xe_service *svc);
/* What the workers had in common, when they are closed. */
void xe_data_plane_close_shared(struct xe_service *svc);
/* The queues' RPS masks that another process has set, where no port of ours has one: as they were
 * found. */
void xe_data_plane_clean_rps(struct xe_service *svc);
/* The queues' RPS masks as they were found. */
void xe_data_plane_close_rps(struct xe_service *svc);

#endif
