/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * fallback_rules.c - the chains of the safety net as text.
 *
 * What a packet meets that the kernel forwards from an inside source to an uplink:
 *
 *   forward,     from a container (not behind a bridge) with a source that it may not have: drop,
 *   input        wherever it is for
 *   forward      known to conntrack: goes on. Else the configured rules in order (`accept` lets it
 *                go as it is, `drop` drops it). Else a TCP segment must be a SYN.
 *   snat_rules   first packet of a flow only (nat chains see no other): the configured rules in
 *                order. Before other people's chains (priority 90 < srcnat = 100), because a
 *                masquerade of theirs would keep or choose L4 ports of the workers' range.
 *   snat_rest    IPv4: the same for `kernel` rules and sources that no rule matches. After the
 *                others (110): whoever configured a translation of their own for these gets it.
 *                And the host's own flows keep out of the workers' L4 ports, or are moved out of
 * them. leak         priority 300: still an inside source? Then conntrack had no state for it (an
 * ICMP error, RST, FIN, SYN-ACK out of nowhere), and nothing would translate it: drop.
 *
 * "Only a SYN may start a flow" stands in forward, not in the nat chains: with
 * net.netfilter.nf_conntrack_tcp_loose=1 (the default) conntrack calls a mid-flow segment of an
 * unknown flow `new`, the nat chain would give it another L4 port, and the server would reset the
 * connection that a worker may take up again a second later. What conntrack does not pick up even
 * then (RST, SYN-ACK) it calls `invalid`, which no nat chain ever sees.
 *
 * L4 ports. Workers use the NAT ranges (by default 1024-32767, nat_range.h), the kernel must use
 * others: kernel masquerade alone keeps the container's source port wherever it lies, so it gets
 * the longest gap beside the ranges (by default 32768-65535). That is where containers choose their
 * ports (ip_local_port_range, 32768-60999), so they are mostly kept; and the host's own outgoing
 * flows, which live there too, are safe, because conntrack never gives out a tuple that is in use.
 *
 * IPv6 has chains of its own (fallback_rules6.c), and only where rules speak about it: what none
 * matches is forwarded as it is.
 *
 * The host's own addresses are never inside, even where a wide prefix (10.0.0.0/8) covers them:
 * its traffic is neither translated nor dropped.
 *
 * Priorities -10: before other people's filters (0), so that ours drops before theirs rejects.
 */
#include <ctype.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "control/fallback_sets.h"

/* Longest table name; the kernel takes 255, run-dir made names need far less. */
#define TABLE_NAME_MAX 63

static const struct xe_fallback_family ip4 = {
	AF_INET, '4', "ip", "ipv4_addr", "ipv4", "icmp",
};
static const struct xe_fallback_family ip6 = {
	AF_INET6, '6', "ip6", "ipv6_addr", "ipv6", "ipv6-icmp",
};

/* ---- a rule's match ---- */

bool xe_fallback_has_ports(const struct xe_rule *r)
{
	return r->to_port_min != 0 || r->to_port_max != 65535;
}

/* A rule whose port is not attached now matches nothing. */
bool xe_fallback_can_match(const struct xe_fallback_text *t, const struct xe_rule *r)
{
	if (!xe_fallback_in_family(t, r))
		return false;
	if (r->verb == XE_VERB_DROP && r->file[0])
		return false; /* a deny list: nft would take seconds for it (docs/rules.md) */
	if (r->in[0] && !xe_fallback_put_names(NULL, t->conf, r->in))
		return false;
	return !r->out[0] || xe_fallback_put_names(NULL, t->conf, r->out);
}

static void put_interface(const struct xe_fallback_text *t, const char *key, const char *name)
{
	if (!name[0])
		return;
	fprintf(t->f, "%s ", key);
	xe_fallback_put_names(t->f, t->conf, name);
	fputc(' ', t->f);
}

static void put_address(const struct xe_fallback_text *t, const char *key,
			const struct xe_prefix *prefix)
{
	if (!prefix->family || prefix->len == (prefix->family == AF_INET ? 96 : 0))
		return;
	fprintf(t->f, "%s %s ", t->fam->ip, key);
	xe_fallback_put_prefix(t->f, prefix);
	fputc(' ', t->f);
}

static void put_l4(const struct xe_fallback_text *t, const struct xe_rule *r, int proto,
		   const char *key)
{
	if (proto == XE_FALLBACK_REST)
		return;
	if (!proto)
		proto = r->proto;
	if (proto)
		fprintf(t->f, "meta l4proto %s ", proto == IPPROTO_TCP ? "tcp" : "udp");
	else if (xe_fallback_has_ports(r))
		fputs("meta l4proto { tcp, udp } ", t->f);
	if (!xe_fallback_has_ports(r))
		return;
	fprintf(t->f, "th %s %u", key, r->to_port_min);
	if (r->to_port_max != r->to_port_min)
		fprintf(t->f, "-%u", r->to_port_max);
	fputc(' ', t->f);
}

/* Start of a line: the packets of a flow in the direction the rule describes, or the answers. */
void xe_fallback_put_match(const struct xe_fallback_text *t, const struct xe_rule *r, int proto,
			   bool answer)
{
	fputs("\t\t", t->f);
	put_interface(t, answer ? "oifname" : "iifname", r->in);
	put_interface(t, answer ? "iifname" : "oifname", r->out);
	put_address(t, answer ? "daddr" : "saddr", &r->from);
	put_address(t, answer ? "saddr" : "daddr", &r->to);
	put_l4(t, r, proto, answer ? "sport" : "dport");
}

/* ---- the configured rules as verdicts ---- */

/* Both directions: a flow that a worker forwarded untranslated may come to the kernel in the
 * middle, with any side first, and needs no state there. A rule for one protocol also lets the
 * ICMP errors about its flows pass, which conntrack must know: there is no port to see in them. */
void xe_fallback_put_accept(const struct xe_fallback_text *t, const struct xe_rule *r)
{
	for (int answer = 0; answer < 2; answer++) {
		xe_fallback_put_match(t, r, XE_FALLBACK_ANY, answer);
		fputs("accept\n", t->f);
		if (!r->proto && !xe_fallback_has_ports(r))
			continue;
		xe_fallback_put_match(t, r, XE_FALLBACK_REST, answer);
		fprintf(t->f, "meta l4proto %s ct state related accept\n", t->fam->icmp);
	}
}

/* Here a `reject` only drops: what comes this way is what the service did not answer. */
static bool is_drop(const struct xe_rule *r)
{
	return r->verb == XE_VERB_DROP || r->verb == XE_VERB_REJECT;
}

void xe_fallback_put_drop(const struct xe_fallback_text *t, const struct xe_rule *r)
{
	xe_fallback_put_match(t, r, XE_FALLBACK_ANY, false);
	fputs("counter name rule_dropped drop\n", t->f);
}

/* rulesN: for a packet from inside to an uplink. Accepts, drops, or returns where a rule
 * translates it, leaves it to the kernel, or none matches. */
static void put_rules_out(const struct xe_fallback_text *t)
{
	const struct xe_fallback_conf *conf = t->conf;
	uint32_t cnt = conf->rule_cnt;

	/* What stands behind the last accept or drop would only return. */
	while (cnt && conf->rules[cnt - 1].verb != XE_VERB_ACCEPT &&
	       !is_drop(&conf->rules[cnt - 1]))
		cnt--;
	fprintf(t->f, "\tchain rules%c {\n", t->fam->n);
	for (uint32_t i = 0; i < cnt; i++) {
		const struct xe_rule *r = &conf->rules[i];

		if (r->verb == XE_VERB_DNAT || !xe_fallback_can_match(t, r))
			continue;
		if (r->verb == XE_VERB_ACCEPT) {
			xe_fallback_put_accept(t, r);
		} else if (is_drop(r)) {
			xe_fallback_put_drop(t, r);
		} else {
			xe_fallback_put_match(t, r, XE_FALLBACK_ANY, false);
			fputs("return\n", t->f);
		}
	}
	fputs("\t}\n\n", t->f);
}

/* inN: for a packet from an uplink to inside. The order of `accept` and translating rules is not
 * looked at here: which of them a flow matched can't be told from its answers. */
static void put_rules_in(const struct xe_fallback_text *t)
{
	fprintf(t->f,
		"\tchain in%c {\n"
		"\t\tct state established,related return\n"
		"\t\tct status dnat return\n",
		t->fam->n);
	for (uint32_t i = 0; i < t->conf->rule_cnt; i++) {
		const struct xe_rule *r = &t->conf->rules[i];

		if (r->verb == XE_VERB_ACCEPT && xe_fallback_can_match(t, r))
			xe_fallback_put_accept(t, r);
		else if (is_drop(r) && xe_fallback_can_match(t, r))
			xe_fallback_put_drop(t, r);
	}
	fputs("\t\tcounter name inbound_dropped drop\n\t}\n\n", t->f);
}

/* ---- forward ---- */

static void put_out(const struct xe_fallback_text *t)
{
	fprintf(t->f,
		"\tchain out%c {\n"
		"\t\tct state established,related return\n"
		"\t\tjump rules%c\n"
		"\t\tmeta l4proto tcp tcp flags & (fin|syn|rst|ack) != syn "
		"counter name midflow_dropped drop\n"
		"\t}\n\n",
		t->fam->n, t->fam->n);
}

/* Wherever it is for: what is neither TCP nor UDP steer leaves to the kernel, which without
 * rp_filter looks at no source. besides: sources that are no host's and not looked at. */
static void put_spoofed(const struct xe_fallback_text *t, const char *besides)
{
	if (xe_fallback_has_allowed(t))
		fprintf(t->f,
			"\t\tiifname . %s saddr @checked%c %s"
			"iifname . %s saddr != @allowed%c counter name spoof_dropped drop\n",
			t->fam->ip, t->fam->n, besides, t->fam->ip, t->fam->n);
}

/* For the host: who looks for an address (DHCP, IGMP, neighbour and duplicate address detection)
 * has none yet, and IPv6 neighbours speak by their link-local ones. */
static void put_input_spoofed(const struct xe_fallback_text *t)
{
	put_spoofed(t, t->fam->af == AF_INET ? "ip saddr != 0.0.0.0 ip saddr != 169.254.0.0/16 "
					     : "ip6 saddr != :: ip6 saddr != fe80::/10 ");
}

static void put_forward_family(const struct xe_fallback_text *t)
{
	const char *ip = t->fam->ip;
	char n = t->fam->n;

	put_spoofed(t, "");
	/* iifname != @uplinks: with a wide inside prefix, hosts beyond an uplink are in it too. */
	xe_fallback_put_inside_lines(t, "oifname @uplinks iifname != @uplinks ", "saddr",
				     "jump out");
	xe_fallback_put_inside_lines(t, "iifname @uplinks oifname != @uplinks ", "daddr",
				     "jump in");
	/* A pool's address that is not the host's own would be routed back where it came from. */
	if (xe_fallback_has_pool(t))
		fprintf(t->f,
			"\t\tiifname @uplinks oifname @uplinks %s daddr @pool%c "
			"ct state != { established, related } ct status & dnat == 0 "
			"counter name guard_dropped drop\n",
			ip, n);
}

/* ---- nat ---- */

/* `snat to ip saddr` changes nothing and is final: else a foreign masquerade would translate what
 * the rule wants untranslated. `drop` does not appear: forward is before. */
static void put_nat_rules(const struct xe_fallback_text *t)
{
	uint32_t lines = 0;

	fprintf(t->f, "\tchain nat%c {\n", t->fam->n);
	for (uint32_t i = 0; i < t->conf->rule_cnt; i++) {
		const struct xe_rule *r = &t->conf->rules[i];

		if (!xe_fallback_can_match(t, r))
			continue;
		if (xe_fallback_translates(r)) {
			xe_fallback_put_translation(t, r, &lines);
		} else if (r->verb == XE_VERB_NAT) {
			xe_fallback_put_nat_out(t, r);
		} else if (r->verb == XE_VERB_KERNEL) {
			xe_fallback_put_match(t, r, XE_FALLBACK_ANY, false);
			fputs("return\n", t->f);
		} else if (r->verb == XE_VERB_ACCEPT) {
			for (int answer = 0; answer < 2; answer++) {
				xe_fallback_put_match(t, r, XE_FALLBACK_ANY, answer);
				fprintf(t->f, "snat %s to %s saddr\n", t->fam->ip, t->fam->ip);
			}
		}
	}
	fputs("\t}\n\n", t->f);
}

/* The rest of what leaves with an inside source. */
static void put_nat_rest(const struct xe_fallback_text *t)
{
	fprintf(t->f, "\tchain rest%c {\n\t\tmeta l4proto tcp ", t->fam->n);
	xe_fallback_put_masquerade(t, IPPROTO_TCP);
	fputs("\t\tmeta l4proto udp ", t->f);
	xe_fallback_put_masquerade(t, IPPROTO_UDP);
	fputs("\t\t", t->f);
	xe_fallback_put_masquerade(t, XE_FALLBACK_REST);
	fputs("\t}\n\n", t->f);
}

static void put_nat_hook(const struct xe_fallback_text *t, const char *chain)
{
	char after[64];

	snprintf(after, sizeof(after), "fib saddr type != local goto %s", chain);
	xe_fallback_put_inside_lines(t, "oifname @uplinks iifname != @uplinks ", "saddr", after);
}

/* ---- leak filter ---- */

/* Answers of a tracked flow that came in untranslated: chain in let it in, by an accept rule. */
static void put_leak(const struct xe_fallback_text *t)
{
	fprintf(t->f,
		"\tchain leak%c {\n"
		"\t\tct state established,related ct direction reply return\n"
		"\t\tfib saddr type local return\n",
		t->fam->n);
	if (xe_fallback_has_pool(t))
		fprintf(t->f, "\t\t%s saddr @pool%c return\n", t->fam->ip, t->fam->n);
	fprintf(t->f, "\t\tjump rules%c\n\t\tcounter name leak_dropped drop\n\t}\n\n", t->fam->n);
}

/* ---- the table ---- */

static int put_family(struct xe_fallback_text *t)
{
	int ret = xe_fallback_put_family_sets(t);

	if (ret)
		return ret;
	if (xe_fallback_has_dnat(t))
		xe_fallback_put_dnat(t);
	if (t->fam->af == AF_INET6) {
		xe_fallback_put_chains6(t);
		put_nat_rules(t);
		return 0;
	}
	put_rules_out(t);
	put_rules_in(t);
	put_out(t);
	put_nat_rules(t);
	put_nat_rest(t);
	put_leak(t);
	return 0;
}

static void for_families(struct xe_fallback_text *t, const bool *active,
			 void (*put)(const struct xe_fallback_text *t))
{
	for (int i = 0; i < 2; i++) {
		t->fam = i ? &ip6 : &ip4;
		if (active[i])
			put(t);
	}
}

static void put_snat_rules(const struct xe_fallback_text *t)
{
	put_nat_hook(t, "nat");
}

/*
 * The host's own flows keep their L4 port, unless a flow that the kernel translates for a container
 * has it toward the same peer. conntrack would then choose any above 1023 (its null binding), also
 * one that a worker has given out: the answers would go to the worker.
 */
static void put_own_flows(const struct xe_fallback_text *t, const char *proto,
			  const struct xe_fallback_range *range)
{
	fprintf(t->f,
		"\t\toifname @uplinks fib saddr type local meta nfproto %s %s sport %u-%u snat %s "
		"to %s saddr:%u-%u\n",
		t->fam->proto, proto, range->min, range->max, t->fam->ip, t->fam->ip, range->min,
		range->max);
}

static bool meets_local(const struct xe_fallback_text *t, const uint64_t *nat)
{
	for (unsigned int p = t->conf->local.min; t->conf->local.max && p <= t->conf->local.max;
	     p++)
		if (xe_fallback_bit(nat, p))
			return true;
	return false;
}

/*
 * Where the range that the host's connections take their L4 ports from meets the workers' ranges, a
 * connection that begins on one of both leaves by another, or its answers would go to the container
 * that has it. What a socket is known to be on for longer is a service, which keeps it; no worker
 * gives that out.
 */
static void put_own_away(const struct xe_fallback_text *t, const char *proto, const uint64_t *nat,
			 const struct xe_fallback_range *range)
{
	if (!meets_local(t, nat))
		return;
	fprintf(t->f,
		"\t\toifname @uplinks fib saddr type local meta nfproto %s %s sport %u-%u %s sport "
		"@nat_%s %s sport != @listen_%s snat %s to %s saddr:%u-%u\n",
		t->fam->proto, proto, t->conf->local.min, t->conf->local.max, proto, proto, proto,
		proto, t->fam->ip, t->fam->ip, range->min, range->max);
}

/* IPv6 that no rule translates is nobody's to translate. */
static void put_snat_rest(const struct xe_fallback_text *t)
{
	if (t->fam->af == AF_INET)
		put_nat_hook(t, "rest");
	else if (!xe_fallback_translates6(t->conf))
		return;
	put_own_flows(t, "tcp", &t->kernel_tcp);
	put_own_flows(t, "udp", &t->kernel_udp);
	put_own_away(t, "tcp", t->nat.tcp, &t->kernel_tcp);
	put_own_away(t, "udp", t->nat.udp, &t->kernel_udp);
}

static void put_leak_hook(const struct xe_fallback_text *t)
{
	xe_fallback_put_inside_lines(t, "oifname @uplinks ", "saddr", "jump leak");
}

/* The host's own flows and what the kernel translates are known to conntrack: they come first. */
static void put_guard(const struct xe_fallback_text *t)
{
	if (t->fam->af == AF_INET6 && !xe_fallback_translates6(t->conf))
		return;
	fprintf(t->f,
		"\t\tmeta nfproto %s tcp dport @nat_tcp tcp dport != @" XE_FALLBACK_SET_TCP
		" counter name guard_dropped drop\n"
		"\t\tmeta nfproto %s udp dport @nat_udp udp dport != @" XE_FALLBACK_SET_UDP
		" counter name guard_dropped drop\n",
		t->fam->proto, t->fam->proto);
}

static bool any_dnat(struct xe_fallback_text *t, const bool *active)
{
	bool any = false;

	for (int i = 0; i < 2; i++) {
		t->fam = i ? &ip6 : &ip4;
		any |= active[i] && xe_fallback_has_dnat(t);
	}
	return any;
}

static void put_base_chains(struct xe_fallback_text *t, const bool *active)
{
	FILE *f = t->f;

	if (any_dnat(t, active)) {
		fputs("\tchain dnat_rules {\n"
		      "\t\ttype nat hook prerouting priority -110; policy accept;\n",
		      f);
		for_families(t, active, xe_fallback_put_dnat_hook);
		fputs("\t}\n\n", f);
	}
	fputs("\tchain snat_rules {\n"
	      "\t\ttype nat hook postrouting priority 90; policy accept;\n",
	      f);
	for_families(t, active, xe_fallback_put_hairpin_hook);
	for_families(t, active, put_snat_rules);
	fputs("\t}\n\n\tchain snat_rest {\n"
	      "\t\ttype nat hook postrouting priority 110; policy accept;\n",
	      f);
	for_families(t, active, put_snat_rest);
	fputs("\t}\n\n\tchain forward {\n"
	      "\t\ttype filter hook forward priority -10; policy accept;\n",
	      f);
	for_families(t, active, put_forward_family);
	fputs("\t}\n\n\tchain input {\n"
	      "\t\ttype filter hook input priority -10; policy accept;\n",
	      f);
	for_families(t, active, put_input_spoofed);
	for_families(t, active, xe_fallback_put_published_hook);
	fputs("\t\tiifname != @uplinks accept\n"
	      "\t\tct state established,related accept\n",
	      f);
	for_families(t, active, put_guard);
	fputs("\t}\n\n\tchain leak {\n"
	      "\t\ttype filter hook postrouting priority 300; policy accept;\n",
	      f);
	for_families(t, active, put_leak_hook);
	fputs("\t}\n", f);
}

static int put_table(struct xe_fallback_text *t, const char *table)
{
	static const char *const counters[] = {"leak_dropped",  "midflow_dropped",
					       "guard_dropped", "inbound_dropped",
					       "spoof_dropped", "rule_dropped"};
	bool active[2];
	int ret;

	fprintf(t->f, "table inet %s {\n", table);
	for (unsigned int i = 0; i < sizeof(counters) / sizeof(counters[0]); i++)
		fprintf(t->f, "\tcounter %s { }\n", counters[i]);
	fputc('\n', t->f);
	xe_fallback_put_sets(t);
	for (int i = 0; i < 2; i++) {
		t->fam = i ? &ip6 : &ip4;
		active[i] = xe_fallback_active(t);
	}
	if (any_dnat(t, active))
		xe_fallback_put_ports(t);
	for (int i = 0; i < 2; i++) {
		t->fam = i ? &ip6 : &ip4;
		ret = active[i] ? put_family(t) : 0;
		if (ret)
			return ret;
	}
	put_base_chains(t, active);
	fputs("}\n", t->f);
	return 0;
}

/* ---- checks ---- */

static bool table_name_valid(const char *name)
{
	size_t len = strlen(name);

	if (!len || len > TABLE_NAME_MAX || isdigit((unsigned char)name[0]))
		return false;
	for (; *name; name++)
		if (!isascii((unsigned char)*name) ||
		    (!isalnum((unsigned char)*name) && *name != '_'))
			return false;
	return true;
}

/* What no quoting of nft can express would end the string and begin something else. */
static bool name_expressible(const char *name)
{
	size_t len = strnlen(name, IFNAMSIZ);

	if (!len || len == IFNAMSIZ)
		return false;
	for (; *name; name++)
		if ((unsigned char)*name <= ' ' || strchr("\"\\/\x7f", *name))
			return false;
	return true;
}

static int check(const char *table, const struct xe_fallback_conf *conf, char *err, size_t err_size)
{
	if (!table_name_valid(table)) {
		snprintf(err, err_size, "`%.40s` can't be the name of an nftables table", table);
		return -EINVAL;
	}
	for (uint32_t i = 0; i < conf->port_cnt; i++) {
		const struct xe_fallback_port *port = &conf->ports[i];

		if (name_expressible(port->name) && (!port->l3[0] || name_expressible(port->l3)))
			continue;
		snprintf(err, err_size, "interface name `%.15s` can't be written in nftables",
			 port->l3[0] ? port->l3 : port->name);
		return -EINVAL;
	}
	return 0;
}

static int choose_kernel_ranges(struct xe_fallback_text *t, char *err, size_t err_size)
{
	if (!xe_fallback_kernel_range(t->nat.tcp, &t->kernel_tcp) &&
	    !xe_fallback_kernel_range(t->nat.udp, &t->kernel_udp))
		return 0;
	snprintf(err, err_size,
		 "the NAT ranges leave no L4 port above 1023 to the kernel's masquerade");
	return -ENOSPC;
}

int xe_fallback_rules(const char *table, const struct xe_fallback_conf *conf, char **text,
		      char *err, size_t err_size)
{
	struct xe_fallback_text t = {.conf = conf};
	size_t len;
	int ret;

	*text = NULL;
	ret = check(table, conf, err, err_size);
	if (ret)
		return ret;
	xe_fallback_nat_ports(conf, &t.nat);
	ret = choose_kernel_ranges(&t, err, err_size);
	if (ret)
		return ret;
	t.f = open_memstream(text, &len);
	ret = t.f ? put_table(&t, table) : -ENOMEM;
	if (t.f && fclose(t.f) && !ret)
		ret = -ENOMEM;
	if (ret) {
		snprintf(err, err_size, "out of memory");
		free(*text);
		*text = NULL;
	}
	return ret;
}
