/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * change.h - a changed configuration comes into force whole, or what was in force stays.
 *
 * Whoever changes something edits a copy of svc->config (xe_config_dup()) and hands it over. Rules,
 * ports and settings that are the same in both are not touched, and sessions are not touched by
 * rules.
 */
#ifndef XE_CHANGE_H
#define XE_CHANGE_H

#include "control/service.h"

/* Called when `next` is in force: is it really what was wanted (the port attached, the rule live)?
 * 0, or -errno and one clause in err: then everything is put back. */
typedef int (*xe_change_verify_fn)(struct xe_service *svc, void *arg, char *err, size_t err_size);

/* Takes `next` over, whatever happens; it has passed xe_config_check(). verify may be NULL. 0, or
 * -errno with err, and what was in force before is in force again (sessions of a port that `next`
 * had taken away are lost). */
int xe_change(struct xe_service *svc, struct xe_config *next, xe_change_verify_fn verify, void *arg,
	      char *err, size_t err_size);

/* What of `next` cannot be changed while the service runs: the first such key, or NULL. */
const char *xe_change_needs_restart(const struct xe_config *now, const struct xe_config *next);

#endif
