/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * state_dir.h - the folder in which the workers' sessions outlive the process (session_file.h).
 *
 *   RUNDIR/state/N/wI   sessions of worker I of one process; N counts processes up
 *
 * Its process holds a lock (flock) on the folder N, so whoever finds one that is not locked knows
 * that its process is dead. A new process makes its own, reads the dead ones' into records
 * (flow_adopt.h), and removes them when its ports are up and have adopted theirs: should it die
 * before that, the next one finds both. At a clean stop its folder goes away. Control thread only,
 * but for xe_state_dir_read().
 */
#ifndef XE_STATE_DIR_H
#define XE_STATE_DIR_H

#include "control/service.h"
#include "state/session_file.h"

/* This process's folder. What hinders is logged, and then sessions end with the process. */
void xe_state_dir_open(struct xe_service *svc);
/* File of a worker that is about to be opened; NULL: none, its memory is its own. */
struct xe_session_file *xe_state_dir_worker(struct xe_service *svc,
					    const struct xe_session_file_conf *conf);
/* A port has got its id and owner. */
void xe_state_dir_port(struct xe_service *svc, const struct xe_port *port);
/* Read what dead processes have left; returns flows. Once, by any thread, between the open and
 * xe_state_dir_adopt(). */
uint32_t xe_state_dir_read(struct xe_service *svc);
/* What was read waits for its ports from now on. Rules are in force. */
void xe_state_dir_adopt(struct xe_service *svc);
/* Memory for the sessions that the worker is about to be given; see xe_session_file_grow(). */
void xe_state_dir_grow(struct xe_service *svc, struct xe_worker *w);
/* Every 100 ms: memory ahead of use; folders of the dead, once they are not needed. */
void xe_state_dir_tick(struct xe_service *svc);
/* The folders of all others, dead or not, are of no use any more: their flows live here. */
void xe_state_dir_forget_others(struct xe_service *svc);
/* For how long UDP L4 ports have still to rest by this process's files, or by those of all others,
 * which may live; see xe_session_file_rests(). */
void xe_state_dir_rests(struct xe_service *svc, bool own, uint8_t left_s[65536]);
/* Unmap, and remove the folder. After the workers have been closed. */
void xe_state_dir_close(struct xe_service *svc);
/* The second half of that: workers may still write what is mapped. */
void xe_state_dir_remove(struct xe_service *svc);

/* Append the flows of this process's workers, of which one may stand still: what is in the files,
 * as a reader after a crash would find it. Nobody is asked. -ENOENT: there are none. */
int xe_state_dir_read_own(struct xe_service *svc, struct xe_flow_file *out);

/* For who is not the service (a clean-up after a crash): append all flows of dead processes of
 * this run directory to `out`, the latest process first. Returns folders found, -ENOMEM. */
int xe_state_dir_read_dead(const char *run_dir, struct xe_flow_file *out);
/* Remove what dead processes of this run directory have left. */
void xe_state_dir_remove_dead(const char *run_dir);

#endif
