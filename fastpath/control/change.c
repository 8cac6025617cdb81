/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "control/change.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "control/flow_walk.h"
#include "state/deny.h"

static bool same_rules(const struct xe_config *a, const struct xe_config *b)
{
	if (a->rule_cnt != b->rule_cnt)
		return false;
	for (uint32_t i = 0; i < a->rule_cnt; i++)
		if (!xe_rule_equal(&a->rules[i], &b->rules[i]))
			return false;
	return true;
}

/* ---- settings that workers have ---- */

static void settings_call(struct xe_worker *w, void *arg)
{
	const struct xe_config *config = arg;

	w->lane->sessions_per_source = config->limits.sessions_per_source;
	w->lane->timeouts = (struct xe_timeouts){config->timeouts.tcp_established_s,
						 config->timeouts.tcp_transitory_s,
						 config->timeouts.udp_s, config->timeouts.dns_s};
}

static void apply_settings(struct xe_service *svc, const struct xe_config *old)
{
	struct xe_flow_walk walk = {};

	if (!memcmp(&svc->config->timeouts, &old->timeouts, sizeof(old->timeouts)) &&
	    svc->config->limits.sessions_per_source == old->limits.sessions_per_source)
		return;
	for (uint32_t w = 0; w < svc->worker_cnt; w++)
		xe_worker_call(&svc->workers[w], settings_call, svc->config);
	/* The wheel finds out by itself that a session has longer, never that it has less. */
	if (memcmp(&svc->config->timeouts, &old->timeouts, sizeof(old->timeouts)))
		while (xe_flow_walk_retime(svc, &walk))
			;
}

const char *xe_change_needs_restart(const struct xe_config *now, const struct xe_config *next)
{
	if (now->worker_cnt != next->worker_cnt ||
	    memcmp(now->workers, next->workers, now->worker_cnt * sizeof(now->workers[0])))
		return "workers";
	if (now->wait != next->wait)
		return "wait";
	if (now->rps != next->rps)
		return "rps";
	if (now->csum_offload != next->csum_offload)
		return "checksum-offload";
	if (now->limits.sessions != next->limits.sessions)
		return "limits.sessions";
	if (strcmp(now->ctl_group, next->ctl_group))
		return "ctl-group";
	return NULL;
}

/* ---- into force ---- */

/* What the caller of a change wants to see in force. */
struct verify {
	xe_change_verify_fn fn; /* NULL: nothing */
	void *arg;
};

/* A port that `old` did not name and that cannot be attached. Not counted is one for which there
 * was no room: ports that leave may make some. */
static bool is_new_port_refused(const struct xe_service *svc, const struct xe_config *old)
{
	for (uint32_t i = 0; i < svc->config->port_cnt; i++) {
		const struct xe_config_port *cp = &svc->config->ports[i];
		const struct xe_port *port = xe_port_named(svc, cp->name);

		if (port && port->state == XE_PORT_FAILED && port->err != -ENOSPC &&
		    port->err != -ENOBUFS && !xe_config_port_for(old, cp->name))
			return true;
	}
	return false;
}

/* Bring everything in line with svc->config; `old` is what it was in line with before. */
static int enforce(struct xe_service *svc, const struct xe_config *old, bool lists_changed,
		   const struct verify *verify, char *err, size_t err_size)
{
	bool net_was_fine = !svc->fallback_why[0];
	int ret = 0;

	/* Rules first: should they be refused, no port has been touched. A port that appears has
	 * them compiled again. */
	if (lists_changed || !same_rules(svc->config, old))
		ret = xe_rules_publish(svc, err, err_size);
	if (ret)
		return ret;
	/* New ports before any leaves: what cannot be is found out while all flows still live. */
	xe_ports_sync_new(svc);
	if (verify && verify->fn && is_new_port_refused(svc, old)) {
		ret = verify->fn(svc, verify->arg, err, err_size);
		if (ret)
			return ret;
	}
	xe_ports_sync(svc);
	apply_settings(svc, old);
	if (svc->fallback_stale)
		xe_safety_net_apply(svc);
	if (!svc->fallback_why[0] || !net_was_fine)
		return 0;
	snprintf(err, err_size, "safety net: %s", svc->fallback_why);
	return -EIO;
}

int xe_change(struct xe_service *svc, struct xe_config *next, xe_change_verify_fn verify, void *arg,
	      char *err, size_t err_size)
{
	struct xe_deny_lists *lists, *lists_old = svc->deny_lists;
	uint64_t nat_ports[XE_BITMAP_WORDS];
	struct xe_config *old = svc->config;
	struct verify wanted = {verify, arg};
	char again[256];
	bool changed;
	int ret;

	/* Read anew with every change, also where the rule that names a file stays. */
	ret = xe_deny_read_all(next->rules, next->rule_cnt, &lists, err, err_size);
	if (ret) {
		xe_config_free(next);
		return ret;
	}
	changed = !xe_deny_lists_equal(lists, lists_old);
	memcpy(nat_ports, svc->nat_ports, sizeof(nat_ports));
	svc->config = next;
	svc->deny_lists = lists;
	ret = enforce(svc, old, changed, &wanted, err, err_size);
	if (!ret && verify)
		ret = verify(svc, arg, err, err_size);
	if (!ret) {
		xe_config_free(old);
		xe_deny_lists_free(lists_old);
		return 0;
	}
	svc->config = old;
	svc->deny_lists = lists_old;
	/* What is refused must not be what the safety net guards: it may be why it was refused. */
	memcpy(svc->nat_ports, nat_ports, sizeof(nat_ports));
	xe_deny_lists_free(lists);
	if (enforce(svc, next, changed, NULL, again, sizeof(again)))
		xe_log_err("the configuration before the refused change cannot be restored: %s",
			   again);
	xe_config_free(next);
	return ret;
}
