/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * ruleset_live.c - the rule set in force: one compiled form for workers and steer, and the safety
 * net that says the same in nftables.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "control/host_l4.h"
#include "control/rule_index.h"
#include "control/service.h"
#include "control/takeover_take.h"
#include "control/verbs.h"
#include "state/deny.h"
#include "state/session_file.h"

static int make_part(struct xe_service *svc, struct xe_ruleset *rs,
		     const struct xe_rule_source *part, uint32_t *ext)
{
	for (uint32_t i = 0; i < part->cnt; i++) {
		struct xe_addr addr = xe_addr_plus(&part->min, i);

		ext[i] = xe_ext_get(svc, &addr);
		if (ext[i] == XE_NIL)
			return -E2BIG;
		xe_ruleset_pool_has(rs, ext[i]);
	}
	return 0;
}

/* The Ext addresses of a pool, in order. Those that are not there yet stay unmarked for the
 * collection, as XE_NIL. */
static int make_pool(struct xe_service *svc, struct xe_ruleset *rs, const struct xe_rule *r,
		     struct xe_nat_range *range)
{
	uint32_t cnt = xe_rule_source_addrs(r), at = 0, *ext;
	int ret = 0;

	range->ext = ext = malloc((cnt + 1ul) * sizeof(*ext));
	if (!ext)
		return -ENOMEM;
	memset(ext, 0xff, cnt * sizeof(*ext));
	range->ext_cnt = cnt;
	for (int i = 0; !ret && i < r->source_cnt; i++) {
		ret = make_part(svc, rs, &r->source[i], ext + at);
		at += r->source[i].cnt;
	}
	return ret;
}

/* As the same rule has it in the set in force, else made: a new rule set is compiled with each port
 * that comes, and of thousands of such rules none has changed then. */
static struct xe_dnat *find_dnat(const struct xe_service *svc, const struct xe_rule_index *was,
				 const struct xe_rule *r)
{
	const struct xe_nat_range *ranges = svc->ruleset ? svc->ruleset->attach : NULL;
	uint32_t n = ranges ? xe_rule_index_find(was, r) : XE_NIL;

	return n == XE_NIL ? xe_dnat_make(r) : xe_dnat_hold(ranges[n].dnat);
}

/* Per rule what the NAT stage needs; the Ext indexes of all rules stand in one array behind. */
static int make_ranges(struct xe_service *svc, struct xe_ruleset *rs,
		       const struct xe_rule_index *was)
{
	struct xe_nat_range *ranges = calloc(rs->rule_cnt + 1, sizeof(*ranges));

	if (!ranges)
		return -ENOMEM;
	rs->attach = ranges;
	for (uint32_t i = 0; i < rs->rule_cnt; i++) {
		const struct xe_rule *r = &rs->rules[i];
		int err = r->verb == XE_VERB_SNAT ? make_pool(svc, rs, r, &ranges[i]) : 0;

		ranges[i].port_min = r->port_min ? r->port_min : svc->default_min;
		ranges[i].port_max = r->port_max ? r->port_max : svc->default_max;
		if (err)
			return err;
		if (r->verb == XE_VERB_DNAT && !(ranges[i].dnat = find_dnat(svc, was, r)))
			return -ENOMEM;
	}
	return 0;
}

static void ruleset_free(struct xe_ruleset *rs)
{
	struct xe_nat_range *ranges = rs ? rs->attach : NULL;

	for (uint32_t i = 0; ranges && i < rs->rule_cnt; i++)
		free((void *)ranges[i].ext);
	for (uint32_t i = 0; ranges && i < rs->rule_cnt; i++)
		xe_dnat_drop(ranges[i].dnat);
	free(ranges);
	xe_ruleset_free(rs);
}

/* What a worker changes over to, between two rounds: the rules, and the numbers by which its
 * sessions name theirs. */
struct change_over {
	const struct xe_ruleset *rs;
	const uint32_t *moves; /* NULL: the numbers stay as they are */
	uint32_t move_cnt;
};

static void change_over(struct xe_worker *w, void *arg)
{
	const struct change_over *c = arg;

	if (w->file)
		xe_session_file_rules(w->file, NULL);
	if (c->moves)
		xe_flows_remap_rules(w, c->moves, c->move_cnt);
	if (w->file)
		xe_session_file_rules(w->file, c->rs);
	atomic_store_explicit(&w->rules, c->rs, memory_order_release);
}

/* Old rule number -> new one, for sessions: where the same rule stands now. NULL: all stay where
 * they are (or no memory: then flows are shown with a wrong rule, which harms nothing). `was` knows
 * the old ones. */
static uint32_t *rule_moves(const struct xe_rule_index *was, uint32_t old_cnt,
			    const struct xe_ruleset *new)
{
	uint32_t *map = malloc((old_cnt + 1ul) * sizeof(*map)), n;
	bool moved = false;

	if (!map)
		return NULL;
	memset(map, 0xff, old_cnt * sizeof(*map)); /* XE_NIL */
	for (uint32_t i = 0; i < new->rule_cnt; i++) {
		n = xe_rule_index_find(was, &new->rules[i]);
		if (n != XE_NIL)
			map[n] = i;
	}
	for (uint32_t i = 0; i < old_cnt; i++)
		moved |= map[i] != i;
	if (moved)
		return map;
	free(map);
	return NULL;
}

/* Nothing here can fail. Workers first: what steer still takes by the old rules, they judge by the
 * new ones. */
static void put_in_force(struct xe_service *svc, struct xe_ruleset *rs,
			 const struct xe_rule_index *was)
{
	struct xe_ruleset *old = svc->ruleset;
	uint32_t *moves = old ? rule_moves(was, old->rule_cnt, rs) : NULL;
	struct change_over c = {.rs = rs, .moves = moves, .move_cnt = old ? old->rule_cnt : 0};

	for (uint32_t w = 0; w < svc->worker_cnt; w++)
		xe_worker_call(&svc->workers[w], change_over, &c);
	free(moves);
	xe_steer_switch_rules(&svc->steer, rs);
	svc->ruleset = rs;
	ruleset_free(old);
}

/* The guard keeps watching over ranges that a changed rule set no longer names: their sessions live
 * on. */
static void remember_ranges(struct xe_service *svc, const struct xe_ruleset *rs)
{
	const struct xe_nat_range *ranges = rs->attach;
	bool new = false;

	for (uint32_t i = 0; i < rs->rule_cnt; i++)
		if (rs->rules[i].verb == XE_VERB_MASQUERADE || rs->rules[i].verb == XE_VERB_SNAT)
			new |= xe_guarded_remember(svc, ranges[i].port_min, ranges[i].port_max);
	/* Of the others the host's connections are known; and with each container that comes rules
	 * are published. */
	if (new)
		xe_host_l4_connected(svc);
}

static int ready_steer(struct xe_service *svc, const struct xe_ruleset *rs, char *err,
		       size_t err_size)
{
	int ret = xe_steer_ready_rules(&svc->steer, rs);

	if (ret)
		snprintf(err, err_size, "rules: the steering tables refuse them: %s",
			 strerror(-ret));
	return ret;
}

/* Before the other rules: should it be refused, nothing has changed. */
static int publish_deny(struct xe_service *svc, char *err, size_t err_size)
{
	struct xe_allow_key *keys;
	uint32_t cnt;
	int ret = xe_deny_compile(svc->config->rules, svc->config->rule_cnt, svc->deny_lists,
				  xe_port_ids, svc, &keys, &cnt, err, err_size);

	if (ret)
		return ret;
	ret = xe_steer_set_deny(&svc->steer, keys, cnt);
	free(keys);
	if (ret)
		snprintf(err, err_size, "rules: the steering program's deny list refuses them: %s",
			 strerror(-ret));
	return ret;
}

/* Sessions whose replies only live tags announce outlive their rules: once set it stays. */
static void announce_tags(struct xe_service *svc, const struct xe_ruleset *rs)
{
	bool any = rs->any_inbound;

	for (uint32_t i = 0; i < rs->rule_cnt; i++)
		any |= rs->rules[i].verb == XE_VERB_ACCEPT;
	if (any) /* read by the workers, too */
		__atomic_store_n(&svc->steer.conf->any_accept, 1, __ATOMIC_RELAXED);
}

/* Terms, pools and targets of a compiled set, from the one in force where it has them. */
static int complete(struct xe_service *svc, struct xe_ruleset *rs, const struct xe_rule_index *was,
		    char *err, size_t err_size)
{
	int ret;

	svc->ruleset_next = rs;
	ret = xe_terms_assign(svc, rs, err, err_size);
	if (!ret) {
		ret = make_ranges(svc, rs, was);
		if (ret)
			snprintf(err, err_size, "rules: %s",
				 ret == -E2BIG ? "too many external addresses (1024 at most)"
					       : "out of memory");
	}
	svc->ruleset_next = NULL;
	return ret;
}

static int publish(struct xe_service *svc, struct xe_ruleset *rs, const struct xe_rule_index *was,
		   char *err, size_t err_size)
{
	int ret = complete(svc, rs, was, err, err_size);

	if (!ret) {
		announce_tags(svc, rs);
		remember_ranges(svc, rs);
		ret = ready_steer(svc, rs, err, err_size);
	}
	if (!ret) {
		ret = publish_deny(svc, err, err_size);
		if (ret)
			xe_steer_drop_rules(&svc->steer);
	}
	if (ret) {
		ruleset_free(rs);
		return ret;
	}
	xe_guarded_reserve(svc, rs->rules, rs->rule_cnt);
	put_in_force(svc, rs, was);
	__atomic_store_n(&svc->steer.conf->any_inbound, rs->any_inbound, __ATOMIC_RELAXED);
	svc->fallback_stale = true;
	return 0;
}

int xe_rules_publish(struct xe_service *svc, char *err, size_t err_size)
{
	const struct xe_ruleset *old = svc->ruleset;
	struct xe_ruleset *rs = NULL;
	struct xe_rule_index was;
	int ret;

	ret = xe_ruleset_compile(svc->config->rules, svc->config->rule_cnt,
				 svc->steer.conf->rules_gen + 1, xe_port_ids, svc, &rs, err,
				 err_size);
	if (ret)
		return ret;
	ret = xe_rule_index_of(&was, old ? old->rules : NULL, old ? old->rule_cnt : 0);
	if (!ret) {
		ret = publish(svc, rs, &was, err, err_size);
	} else {
		snprintf(err, err_size, "rules: out of memory");
		ruleset_free(rs);
	}
	xe_rule_index_close(&was);
	return ret;
}

void xe_rules_close(struct xe_service *svc)
{
	ruleset_free(svc->ruleset);
	svc->ruleset = NULL;
	xe_terms_forget(svc);
	xe_deny_lists_free(svc->deny_lists);
	svc->deny_lists = NULL;
}

static uint32_t collect_ports(struct xe_service *svc, struct xe_fallback_port *out)
{
	const struct xe_link *l3;
	uint32_t n = 0;

	for (struct xe_port *p = svc->port_list; p && n < XE_MAX_PORTS; p = p->next) {
		if (!p->ifindex)
			continue;
		memcpy(out[n].name, p->name, IFNAMSIZ);
		memcpy(out[n].pattern, p->entry, IFNAMSIZ);
		l3 = xe_netlink_link(svc->netlink, xe_netlink_l3_ifindex(svc->netlink, p->ifindex));
		if (l3 && l3->ifindex != p->ifindex)
			memcpy(out[n].l3, l3->name, IFNAMSIZ);
		out[n].role = p->role;
		out[n].prefixes = p->allow;
		out[n].prefix_cnt = p->allow_cnt;
		n++;
	}
	/* What comes by it has come in by an uplink. */
	if (svc->punt_uplink_fd >= 0 && n < XE_MAX_PORTS) {
		memcpy(out[n].name, svc->punt_uplink_name, IFNAMSIZ);
		out[n++].role = XE_ROLE_UPLINK;
	}
	return n;
}

void xe_safety_net_apply(struct xe_service *svc)
{
	struct xe_fallback_port *ports = calloc(XE_MAX_PORTS, sizeof(*ports));
	struct xe_fallback_conf conf = {
		.ports = ports,
		.rules = svc->config->rules,
		.rule_cnt = svc->config->rule_cnt,
		.nat_ever = svc->nat_ports,
		.listen_tcp = svc->listening[0],
		.listen_udp = svc->listening[1],
		.local = {svc->local_min, svc->local_max},
		.translated6 = svc->translated6,
	};
	char err[256] = "out of memory";

	if (xe_take_waits(svc)) { /* another process's net has the ports that are not ours yet */
		free(ports);
		return;
	}
	svc->fallback_stale = false;
	svc->fallback_ours = true;
	if (ports)
		conf.port_cnt = collect_ports(svc, ports);
	/* Stays: their sessions live on. */
	conf.translated6 = svc->translated6 = xe_fallback_translates6(&conf);
	if (!ports || xe_fallback_apply(svc->fallback, &conf, err, sizeof(err))) {
		if (strcmp(err, svc->fallback_why))
			xe_log_err("safety net: %s", err);
		snprintf(svc->fallback_why, sizeof(svc->fallback_why), "%s", err);
	} else {
		svc->fallback_why[0] = '\0';
	}
	free(ports);
}
