/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* explain_rule.c - which rule decides, and what keeps the earlier ones from it. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "control/explain.h"

/* Earlier rules that are told of, one by one: those next to the match are the likely surprises. */
#define EARLIER_MAX 16

static bool name_holds(const struct xe_explain *e, const char *name, const struct xe_port *port)
{
	return xe_config_name_covers(e->svc->config, name, port->name);
}

/* The first clause of a rule that does not hold, as it is written. NULL: all hold. */
static const char *differs(const struct xe_explain *e, const struct xe_rule *r,
			   const struct xe_port *out)
{
	__u8 family = xe_addr_family(&e->src) == AF_INET ? AF_INET : AF_INET6;

	if (r->verb == XE_VERB_DROP && r->file[0])
		return "it is a deny list of an uplink";
	if (xe_rule_family(r) && xe_rule_family(r) != family)
		return "it is about the other IP version";
	if (r->proto && r->proto != e->proto)
		return r->proto == IPPROTO_TCP ? "`tcp`" : "`udp`";
	if (r->from.family && !xe_prefix_covers(&r->from, &e->src))
		return "`from`";
	if (r->to.family && !xe_prefix_covers(&r->to, &e->dst))
		return "`to`";
	if (e->dport < r->to_port_min || e->dport > r->to_port_max)
		return "the L4 port of `to`";
	if (r->in[0] && !name_holds(e, r->in, e->in))
		return "`in`";
	if (r->out[0] && !name_holds(e, r->out, out))
		return "`out`";
	if (xe_verb_translates(r->verb) && out->role != XE_ROLE_UPLINK)
		return "it translates, and the packet leaves by an inside port";
	return NULL;
}

/* The last of them first: why each did not match. */
static json_t *earlier(const struct xe_explain *e, uint32_t end, const struct xe_port *out)
{
	const struct xe_ruleset *rs = e->svc->ruleset;
	json_t *list = json_array();
	char text[XE_RULE_TEXT_SIZE];

	for (uint32_t i = end; i > 0 && end - i < EARLIER_MAX; i--) {
		const char *why = differs(e, &rs->rules[i - 1], out);

		if (xe_rule_print(&rs->rules[i - 1], text, sizeof(text)) < 0)
			continue;
		json_array_append_new(list,
				      json_pack("{sI, ss, ss}", "number", (json_int_t)i, "text",
						text, "why", why ? why : "not in force"));
	}
	return list;
}

int xe_explain_rule(struct xe_explain *e, const struct xe_port *out)
{
	const struct xe_ruleset *rs = e->svc->ruleset;
	uint16_t out_port = out->id | (out->role == XE_ROLE_INSIDE ? XE_OUT_INSIDE : 0);
	char text[XE_RULE_TEXT_SIZE] = "";
	int rule = xe_ruleset_lookup(rs, &e->src, &e->dst, htons(e->dport), e->proto, e->in->id,
				     out_port);

	json_object_set_new(e->result, "earlier",
			    earlier(e, rule < 0 ? rs->rule_cnt : (uint32_t)rule, out));
	if (rule < 0) {
		xe_explain_step(e, "rule", false, "none of the %u rules matches", rs->rule_cnt);
		return -1;
	}
	xe_rule_print(&rs->rules[rule], text, sizeof(text));
	json_object_set_new(e->result, "rule",
			    json_pack("{si, ss}", "number", rule + 1, "text", text));
	xe_explain_step(e, "rule", true, "%d: %s%s", rule + 1, text,
			rule ? " (the first that matches)" : "");
	return rule;
}
