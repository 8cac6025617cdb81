/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * verbs.c - the table of verbs, and the audit line of those that change something.
 */
#include "control/verbs.h"

#include "base/log.h"

/* tcp, from PREFIX, to PREFIX, port NAME */
#define FILTER_WORDS 7
/* NAME ROLE allow PREFIXES xdp MODE */
#define PORT_WORDS 6

const struct xe_ctl_verb xe_verbs[] = {
	{"status", false, 0, 0, xe_verb_status},
	{"port list", false, 0, 0, xe_verb_port_list},
	{"port add", true, 2, PORT_WORDS, xe_verb_port_add},
	{"port del", true, 1, 1, xe_verb_port_del},
	{"rule list", false, 0, 0, xe_verb_rule_list},
	{"rule add", true, 1, XE_CTL_ARGS_MAX, xe_verb_rule_add},
	{"rule del", true, 1, XE_CTL_ARGS_MAX, xe_verb_rule_del},
	{"apply", true, 1, 1, xe_verb_apply},
	{"config", false, 0, 0, xe_verb_config},
	{"flow list", false, 0, FILTER_WORDS, xe_verb_flow_list},
	{"flow count", false, 0, FILTER_WORDS, xe_verb_flow_count},
	{"flow flush", true, 0, FILTER_WORDS, xe_verb_flow_flush},
	{"drops", false, 0, 0, xe_verb_drops},
	{"stats", false, 0, 0, xe_verb_stats},
	{"check", false, 0, 0, xe_verb_check},
	{"explain", false, 3, 6, xe_verb_explain},
	{"state export", true, 0, 1, xe_verb_state_export},
	{"state import", true, 0, 1, xe_verb_state_import},
	{NULL, false, 0, 0, NULL},
};

void xe_verbs_audit(void *ctx, const struct xe_ctl_audit *line)
{
	(void)ctx;
	xe_log_audit("uid=%u pid=%d %s%s%s: %s%s", line->uid, line->pid, line->verb,
		     line->args[0] ? " " : "", line->args,
		     line->ok ? "" : "refused: ", line->outcome);
}
