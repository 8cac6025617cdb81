/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * verbs.h - the verbs of the control protocol (xegress/ctl_abi.h), service side.
 *
 *   verbs.c         the table, audit lines
 *   verbs_status.c  status
 *   verbs_show.c    port list, rule list, config; PORT and RULE objects
 *   verbs_check.c   check, and what status says of it
 *   verbs_stats.c   drops, stats
 *   verbs_flow.c    flow list, count, flush; flow_walk.c goes through the session tables
 *   verbs_change.c  port add, port del, rule add, rule del
 *   explain.c       explain
 *   verbs_state.c   state export, state import
 *   verbs_apply.c   apply; apply_diff.c finds and names the difference
 *   change.c        how a changed configuration comes into force, or does not
 *
 * Control thread only: every function here runs inside xe_ctl_dispatch(), with the service between
 * two events. ctx of a verb is the struct xe_service.
 */
#ifndef XE_VERBS_H
#define XE_VERBS_H

#include <jansson.h>

#include "control/service.h"
#include "control/sysctl.h"

int xe_verb_status(void *ctx, struct xe_ctl_request *req);
int xe_verb_port_list(void *ctx, struct xe_ctl_request *req);
int xe_verb_port_add(void *ctx, struct xe_ctl_request *req);
int xe_verb_port_del(void *ctx, struct xe_ctl_request *req);
int xe_verb_rule_list(void *ctx, struct xe_ctl_request *req);
int xe_verb_rule_add(void *ctx, struct xe_ctl_request *req);
int xe_verb_rule_del(void *ctx, struct xe_ctl_request *req);
int xe_verb_apply(void *ctx, struct xe_ctl_request *req);
int xe_verb_config(void *ctx, struct xe_ctl_request *req);
int xe_verb_flow_list(void *ctx, struct xe_ctl_request *req);
int xe_verb_flow_count(void *ctx, struct xe_ctl_request *req);
int xe_verb_flow_flush(void *ctx, struct xe_ctl_request *req);
int xe_verb_drops(void *ctx, struct xe_ctl_request *req);
int xe_verb_stats(void *ctx, struct xe_ctl_request *req);
int xe_verb_check(void *ctx, struct xe_ctl_request *req);
int xe_verb_explain(void *ctx, struct xe_ctl_request *req);
int xe_verb_state_export(void *ctx, struct xe_ctl_request *req);
int xe_verb_state_import(void *ctx, struct xe_ctl_request *req);

/* verbs_show.c. JSON objects are the caller's; NULL: no memory. */
json_t *xe_port_json(const struct xe_service *svc, const struct xe_port *port);
json_t *xe_ports_json(const struct xe_service *svc);
/* Its state as of now: an attached program may have been taken off by others. why is "" when it is
 * attached. */
enum xe_port_state xe_port_state_now(const struct xe_port *port, char *why, size_t why_size);
/* Number counts from 1; flows < 0: not told. */
json_t *xe_rule_json(const struct xe_service *svc, const struct xe_rule *rule, uint32_t number,
		     int64_t flows);
/* Does it do what it says: is a port attached that its `in` and `out` name? Else why not. A glob
 * that has caught nothing is as much in force as it can be. */
bool xe_rule_in_force(const struct xe_service *svc, const struct xe_rule *rule, char *why,
		      size_t why_size);

/* verbs_check.c: calls back for each thing that was looked at. */
enum xe_check_state { XE_CHECK_OK, XE_CHECK_WARN, XE_CHECK_FAIL };
typedef void (*xe_check_fn)(void *ctx, const char *name, enum xe_check_state state,
			    const char *text);
void xe_host_check(struct xe_service *svc, xe_check_fn say, void *ctx);

/* flow_walk.c */
/* Sessions name their rule by its number; in the worker call that changes the rule set: map[old] is
 * the new number, XE_NIL when the rule is gone. Reads all sessions (10 ms for a million). */
void xe_flows_remap_rules(struct xe_worker *w, const uint32_t *map, uint32_t cnt);

#endif
