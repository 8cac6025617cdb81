/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * verbs.c - the table of verbs, and the audit line of those that change something.
 */
#include "control/verbs.h"

#include "base/log.h"
#include "control/watch.h"

/* These ask workers, or change what they have. */
#define ASKS_WORKERS(verb)                                                                         \
	static int verb##_of_moving(void *ctx, struct xe_ctl_request *req)                         \
	{                                                                                          \
		return xe_watch_refuses(ctx, req) ? 0 : verb(ctx, req);                            \
	}
ASKS_WORKERS(xe_verb_port_add)
ASKS_WORKERS(xe_verb_port_del)
ASKS_WORKERS(xe_verb_rule_list)
ASKS_WORKERS(xe_verb_rule_add)
ASKS_WORKERS(xe_verb_rule_del)
ASKS_WORKERS(xe_verb_apply)
ASKS_WORKERS(xe_verb_flow_list)
ASKS_WORKERS(xe_verb_flow_count)
ASKS_WORKERS(xe_verb_flow_flush)
ASKS_WORKERS(xe_verb_explain)
ASKS_WORKERS(xe_verb_state_export)
ASKS_WORKERS(xe_verb_state_import)

/* tcp, from PREFIX, to PREFIX, port NAME */
#define FILTER_WORDS 7
/* NAME ROLE allow PREFIXES xdp MODE */
#define PORT_WORDS 6

const struct xe_ctl_verb xe_verbs[] = {
	{"status", false, 0, 0, xe_verb_status},
	{"port list", false, 0, 0, xe_verb_port_list},
	{"port add", true, 2, PORT_WORDS, xe_verb_port_add_of_moving},
	{"port del", true, 1, 1, xe_verb_port_del_of_moving},
	{"rule list", false, 0, 0, xe_verb_rule_list_of_moving},
	{"rule add", true, 1, XE_CTL_ARGS_MAX, xe_verb_rule_add_of_moving},
	{"rule del", true, 1, XE_CTL_ARGS_MAX, xe_verb_rule_del_of_moving},
	{"apply", true, 1, 1, xe_verb_apply_of_moving},
	{"config", false, 0, 0, xe_verb_config},
	{"flow list", false, 0, FILTER_WORDS, xe_verb_flow_list_of_moving},
	{"flow count", false, 0, FILTER_WORDS, xe_verb_flow_count_of_moving},
	{"flow flush", true, 0, FILTER_WORDS, xe_verb_flow_flush_of_moving},
	{"drops", false, 0, 0, xe_verb_drops},
	{"stats", false, 0, 0, xe_verb_stats},
	{"check", false, 0, 0, xe_verb_check},
	{"explain", false, 3, 6, xe_verb_explain_of_moving},
	{"state export", true, 0, 1, xe_verb_state_export_of_moving},
	{"state import", true, 0, 2, xe_verb_state_import_of_moving},
	{NULL, false, 0, 0, NULL},
};

void xe_verbs_audit(void *ctx, const struct xe_ctl_audit *line)
{
	(void)ctx;
	xe_log_audit("uid=%u pid=%d %s%s%s: %s%s", line->uid, line->pid, line->verb,
		     line->args[0] ? " " : "", line->args,
		     line->ok ? "" : "refused: ", line->outcome);
}
