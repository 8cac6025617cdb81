/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * verbs_show.c - port list, rule list, config; and the PORT and RULE objects that others show, too.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/flow_walk.h"
#include "control/verbs.h"
#include "state/deny.h"

static const char *const state_words[] = {[XE_PORT_WAITING] = "waiting",
					  [XE_PORT_ATTACHED] = "attached",
					  [XE_PORT_FAILED] = "failed"};

/* ---- ports ---- */

enum xe_port_state xe_port_state_now(const struct xe_port *port, char *why, size_t why_size)
{
	if (port->state == XE_PORT_ATTACHED && !xe_attached(&port->at)) {
		snprintf(why, why_size, "its XDP program was taken off by somebody else%s%s",
			 port->why[0] ? ": " : "", port->why);
		return XE_PORT_FAILED;
	}
	if (port->state == XE_PORT_ATTACHED && !port->live) {
		snprintf(why, why_size, "the rules with it could not be put in force");
		return XE_PORT_FAILED;
	}
	snprintf(why, why_size, "%s", port->state == XE_PORT_ATTACHED ? "" : port->why);
	return port->state;
}

static json_t *allow_json(const struct xe_service *svc, const struct xe_port *port)
{
	const struct xe_config_port *cp = xe_config_port_for(svc->config, port->name);
	bool attached = port->state == XE_PORT_ATTACHED;
	const struct xe_prefix *allow = attached ? port->allow : cp ? cp->allow : NULL;
	uint32_t cnt = attached ? port->allow_cnt : cp ? cp->allow_cnt : 0;
	char text[INET6_ADDRSTRLEN + 4];
	json_t *list = json_array();

	for (uint32_t i = 0; i < cnt; i++) {
		xe_prefix_print(&allow[i], text, sizeof(text));
		json_array_append_new(list, json_string(text));
	}
	return list;
}

/* Do superpackets come in and stay whole? NULL: yes. */
static const char *superpackets_why(const struct xe_port *port)
{
	if (!port->at.generic)
		return "native XDP: packets come in one by one";
	for (uint32_t q = 0; q < port->xsk_cnt; q++)
		if (!port->xsks[q]->multi_buffer)
			return "this kernel has no multi-buffer AF_XDP: superpackets take the "
			       "kernel's path";
	if (!xe_attached_frags(&port->at))
		return "another program in the dispatcher cannot take fragments (xdp.frags): the "
		       "kernel copies each superpacket into one piece first";
	return NULL;
}

/* Which of them its device takes whole; the others the kernel cuts on the way out. */
static const char *superpackets_out(const struct xe_service *svc, const struct xe_port *port)
{
	const struct xe_link *link = xe_netlink_link(svc->netlink, port->ifindex);
	/* TCP of which families, UDP */
	static const char *const names[4][2] = {
		{"none", "udp"}, {"tcp4", "tcp4 udp"}, {"tcp6", "tcp6 udp"}, {"tcp", "tcp udp"}};
	uint8_t whole = link ? link->tx_whole : 0;

	return names[!!(whole & XE_TX_TCP4) + 2 * !!(whole & XE_TX_TCP6)][!!(whole & XE_TX_UDP)];
}

/* Where the sizes of their segments come from; NULL: none come in. */
static const char *segment_sizes(const struct xe_port *port)
{
	if (!port->at.generic)
		return NULL;
	return port->at.gso_known ? "read" : "tracked by MSS";
}

static bool zero_copy(const struct xe_port *port)
{
	for (uint32_t q = 0; q < port->xsk_cnt; q++)
		if (!port->xsks[q]->zerocopy)
			return false;
	return port->xsk_cnt > 0;
}

/* Workers that have queues of the port, in order; an inside port has one. */
static json_t *owners_json(const struct xe_service *svc, const struct xe_port *port)
{
	json_t *list = json_array();
	uint32_t cnt = port->xsk_cnt < svc->worker_cnt ? port->xsk_cnt : svc->worker_cnt;

	if (!port->spread)
		json_array_append_new(list, json_integer(port->owner->idx));
	for (uint32_t w = 0; port->spread && w < cnt; w++)
		json_array_append_new(list, json_integer(w));
	return list;
}

static void set_attached(json_t *o, const struct xe_service *svc, const struct xe_port *port)
{
	const char *sizes = segment_sizes(port);
	const char *super_why = superpackets_why(port);
	const char *csum_why = port->xsk_cnt ? port->xsks[0]->csum_why : NULL; /* sends by it */

	json_object_set_new(o, "ifindex", json_integer(port->ifindex));
	json_object_set_new(o, "mtu", json_integer(port->mtu));
	json_object_set_new(o, "queues", json_integer(port->xsk_cnt));
	json_object_set_new(o, "xdp", json_string(port->at.generic ? "generic" : "native"));
	json_object_set_new(o, "attach", json_string(port->at.dispatcher ? "dispatcher" : "plain"));
	json_object_set_new(o, "prog_id", json_integer(port->at.prog_id));
	json_object_set_new(o, "zero_copy", json_boolean(zero_copy(port)));
	json_object_set_new(o, "superpackets", json_boolean(!super_why));
	json_object_set_new(o, "superpackets_why",
			    super_why ? json_string(super_why) : json_null());
	json_object_set_new(o, "rps", json_boolean(port->rps.cnt > 0));
	json_object_set_new(o, "coalesce", json_boolean(port->coalesces));
	json_object_set_new(o, "superpackets_out", json_string(superpackets_out(svc, port)));
	json_object_set_new(o, "segment_sizes", sizes ? json_string(sizes) : json_null());
	json_object_set_new(o, "checksum", json_string(csum_why ? "worker" : "device"));
	json_object_set_new(o, "checksum_why", csum_why ? json_string(csum_why) : json_null());
	json_object_set_new(o, "worker", json_integer(port->owner->idx));
	json_object_set_new(o, "workers", owners_json(svc, port));
}

static void set_unattached(json_t *o)
{
	static const char *const names[] = {"ifindex",          "mtu",
					    "queues",           "xdp",
					    "attach",           "prog_id",
					    "zero_copy",        "superpackets",
					    "superpackets_why", "superpackets_out",
					    "segment_sizes",    "rps",
					    "coalesce",         "checksum",
					    "checksum_why",     "worker",
					    "workers"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		json_object_set_new(o, names[i], json_null());
}

json_t *xe_port_json(const struct xe_service *svc, const struct xe_port *port)
{
	char why[sizeof(port->why)];
	enum xe_port_state state = xe_port_state_now(port, why, sizeof(why));
	json_t *o =
		json_pack("{ss, ss, ss, ss, so, so}", "name", port->name, "entry", port->entry,
			  "role", xe_role_words[port->role], "state", state_words[state], "why",
			  why[0] ? json_string(why) : json_null(), "allow", allow_json(svc, port));

	if (!o)
		return NULL;
	if (state == XE_PORT_ATTACHED)
		set_attached(o, svc, port);
	else
		set_unattached(o);
	return o;
}

json_t *xe_ports_json(const struct xe_service *svc)
{
	json_t *list = json_array();

	for (const struct xe_port *p = svc->port_list; p; p = p->next)
		json_array_append_new(list, xe_port_json(svc, p));
	return list;
}

int xe_verb_port_list(void *ctx, struct xe_ctl_request *req)
{
	return xe_ctl_ok(req, json_pack("{so}", "ports", xe_ports_json(ctx)));
}

/* ---- rules ---- */

/* One clause of a rule: "" stands for every port. */
static bool name_in_force(const struct xe_service *svc, const char *clause, const char *name,
			  char *why, size_t why_size)
{
	const struct xe_port *found = NULL;

	if (!name[0])
		return true;
	for (const struct xe_port *p = svc->port_list; p; p = p->next) {
		if (strcmp(p->entry, name) && strcmp(p->name, name))
			continue;
		if (p->state == XE_PORT_ATTACHED)
			return true;
		found = found ? found : p;
	}
	if (!found && xe_config_is_glob(name))
		return true;
	snprintf(why, why_size, "`%s %s`: port %s is not attached: %.120s", clause, name,
		 found ? found->name : name, found ? found->why : "no such interface");
	return false;
}

bool xe_rule_in_force(const struct xe_service *svc, const struct xe_rule *rule, char *why,
		      size_t why_size)
{
	if (why_size)
		why[0] = '\0';
	return name_in_force(svc, "in", rule->in, why, why_size) &&
	       name_in_force(svc, "out", rule->out, why, why_size);
}

json_t *xe_rule_json(const struct xe_service *svc, const struct xe_rule *rule, uint32_t number,
		     int64_t flows)
{
	char text[XE_RULE_TEXT_SIZE], why[256];
	bool in_force = xe_rule_in_force(svc, rule, why, sizeof(why));
	json_t *o;

	if (xe_rule_print(rule, text, sizeof(text)) < 0)
		return NULL;
	o = json_pack("{sI, ss, sb, so}", "number", (json_int_t)number, "text", text, "in_force",
		      in_force, "why", in_force ? json_null() : json_string(why));
	if (o && flows >= 0)
		json_object_set_new(o, "flows", json_integer(flows));
	/* The lists stand in the order of the rules in force. */
	if (o && rule->verb == XE_VERB_DROP && rule->file[0] && svc->deny_lists &&
	    number <= svc->deny_lists->rule_cnt)
		json_object_set_new(o, "prefixes",
				    json_integer(svc->deny_lists->list[number - 1].cnt));
	return o;
}

/* The flows are counted first, in steps; then come the rules. */
struct rule_list {
	struct xe_service *svc;
	struct xe_flow_walk walk;
	uint32_t *flows; /* by rule, as many as there were when the verb began */
	uint32_t flows_cnt;
	uint32_t gen; /* rule set that flows is about */
	bool counted;
	uint32_t next;
};

/* Lines said in one go; more than any screen, and a small answer. */
#define RULES_PER_BATCH 256

static int rules_more(void *arg, struct xe_ctl_request *req)
{
	struct rule_list *l = arg;
	const struct xe_config *config = l->svc->config;
	uint32_t end = l->next + RULES_PER_BATCH;

	if (!l->counted) {
		l->counted = !xe_flow_walk_rules(l->svc, &l->walk, l->flows, l->flows_cnt);
		return 1;
	}
	for (; l->next < config->rule_cnt && l->next < end; l->next++) {
		bool known = l->gen == l->svc->steer.conf->rules_gen && l->next < l->flows_cnt;
		int ret =
			xe_ctl_part(req, xe_rule_json(l->svc, &config->rules[l->next], l->next + 1,
						      known ? (int64_t)l->flows[l->next] : -1));

		if (ret < 0)
			return ret;
	}
	if (l->next < config->rule_cnt)
		return 1;
	return xe_ctl_ok(req, json_pack("{sI}", "count", (json_int_t)config->rule_cnt));
}

static void rules_end(void *arg)
{
	struct rule_list *l = arg;

	free(l->flows);
	free(l);
}

int xe_verb_rule_list(void *ctx, struct xe_ctl_request *req)
{
	struct xe_service *svc = ctx;
	struct rule_list *l = calloc(1, sizeof(*l));

	if (!l)
		return -ENOMEM;
	l->svc = svc;
	l->gen = svc->steer.conf->rules_gen;
	l->flows_cnt = svc->config->rule_cnt;
	l->flows = calloc(l->flows_cnt + 1ul, sizeof(*l->flows));
	if (!l->flows) {
		free(l);
		return -ENOMEM;
	}
	return xe_ctl_stream(req, rules_more, rules_end, l);
}

/* ---- config ---- */

int xe_verb_config(void *ctx, struct xe_ctl_request *req)
{
	const struct xe_service *svc = ctx;
	char *text = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);
	int ret = f ? xe_config_print(svc->config, f) : -ENOMEM;

	if (f && fclose(f))
		ret = -ENOMEM;
	if (!ret)
		ret = xe_ctl_ok(req, json_pack("{ss}", "text", text));
	free(text);
	return ret;
}
