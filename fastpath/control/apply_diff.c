/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * apply_diff.c - ports are known by name, rules by their text; neither can be there twice.
 *
 * What is in both has moved unless it belongs to the longest run that stands in the same order in
 * both, so that one rule taken to the front is one move, not a move of all others.
 */
#include "control/apply_diff.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NONE 0xffffffffu

/* One of the two lists: a text each, which is also what names the element. */
struct list {
	char **text;
	uint32_t *order; /* sorted by text */
	uint32_t cnt;
};

struct diff {
	struct list now, next;
	uint32_t *was;  /* by place in next: place in now, NONE: new */
	bool *in_order; /* by place in next: stays where it was, relative to the others */
	bool *stays;    /* by place in now */
	json_t *changes;
};

static void say(json_t *changes, const char *what, const char *change, const char *text)
{
	json_array_append_new(
		changes, json_pack("{ss, ss, ss}", "what", what, "change", change, "text", text));
}

/* ---- two lists ---- */

static int cmp_text(const void *a, const void *b, void *arg)
{
	char **text = arg;

	return strcmp(text[*(const uint32_t *)a], text[*(const uint32_t *)b]);
}

static int list_open(struct list *l, uint32_t cnt)
{
	l->cnt = cnt;
	l->text = calloc(cnt + 1ul, sizeof(*l->text));
	l->order = calloc(cnt + 1ul, sizeof(*l->order));
	return l->text && l->order ? 0 : -ENOMEM;
}

static void list_close(struct list *l)
{
	for (uint32_t i = 0; l->text && i < l->cnt; i++)
		free(l->text[i]);
	free(l->text);
	free(l->order);
}

static void list_sort(struct list *l)
{
	for (uint32_t i = 0; i < l->cnt; i++)
		l->order[i] = i;
	qsort_r(l->order, l->cnt, sizeof(*l->order), cmp_text, l->text);
}

static uint32_t list_find(const struct list *l, const char *text)
{
	uint32_t low = 0, high = l->cnt;

	while (low < high) {
		uint32_t mid = (low + high) / 2;
		int d = strcmp(l->text[l->order[mid]], text);

		if (!d)
			return l->order[mid];
		if (d < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return NONE;
}

/*
 * Longest increasing run of d->was (patience sorting): end[k] is the place in next where a run of
 * k+1 elements ends that ends lowest, before[i] the element before i in its run.
 */
static int find_order(struct diff *d)
{
	uint32_t *end = calloc(d->next.cnt + 1ul, sizeof(*end));
	uint32_t *before = calloc(d->next.cnt + 1ul, sizeof(*before));
	uint32_t len = 0, at;

	for (uint32_t i = 0; end && before && i < d->next.cnt; i++) {
		uint32_t low = 0, high = len;

		if (d->was[i] == NONE)
			continue;
		while (low < high) {
			uint32_t mid = (low + high) / 2;

			if (d->was[end[mid]] < d->was[i])
				low = mid + 1;
			else
				high = mid;
		}
		before[i] = low ? end[low - 1] : NONE;
		end[low] = i;
		if (low == len)
			len++;
	}
	at = len ? end[len - 1] : NONE;
	for (; at != NONE; at = before[at])
		d->in_order[at] = true;
	free(end);
	free(before);
	return end && before ? 0 : -ENOMEM;
}

static int diff_match(struct diff *d)
{
	d->was = calloc(d->next.cnt + 1ul, sizeof(*d->was));
	d->in_order = calloc(d->next.cnt + 1ul, sizeof(*d->in_order));
	d->stays = calloc(d->now.cnt + 1ul, sizeof(*d->stays));
	if (!d->was || !d->in_order || !d->stays)
		return -ENOMEM;
	list_sort(&d->now);
	for (uint32_t i = 0; i < d->next.cnt; i++) {
		d->was[i] = list_find(&d->now, d->next.text[i]);
		if (d->was[i] != NONE)
			d->stays[d->was[i]] = true;
	}
	return find_order(d);
}

static void diff_close(struct diff *d)
{
	list_close(&d->now);
	list_close(&d->next);
	free(d->was);
	free(d->in_order);
	free(d->stays);
}

/* ---- rules ---- */

static int list_rules(struct list *l, const struct xe_config *config)
{
	char text[XE_RULE_TEXT_SIZE];
	int ret = list_open(l, config->rule_cnt);

	for (uint32_t i = 0; !ret && i < config->rule_cnt; i++) {
		if (xe_rule_print(&config->rules[i], text, sizeof(text)) < 0)
			return -ENOSPC;
		l->text[i] = strdup(text);
		ret = l->text[i] ? 0 : -ENOMEM;
	}
	return ret;
}

static int diff_rules(const struct xe_config *now, const struct xe_config *next, json_t *changes)
{
	struct diff d = {};
	int ret = list_rules(&d.now, now);

	if (!ret)
		ret = list_rules(&d.next, next);
	if (!ret)
		ret = diff_match(&d);
	for (uint32_t i = 0; !ret && i < d.now.cnt; i++)
		if (!d.stays[i])
			say(changes, "rule", "removed", d.now.text[i]);
	for (uint32_t i = 0; !ret && i < d.next.cnt; i++)
		if (d.was[i] == NONE || !d.in_order[i])
			say(changes, "rule", d.was[i] == NONE ? "added" : "moved", d.next.text[i]);
	diff_close(&d);
	return ret;
}

bool xe_has_rule(const struct xe_config *config, const struct xe_rule *rule)
{
	for (uint32_t i = 0; i < config->rule_cnt; i++)
		if (xe_rule_equal(&config->rules[i], rule))
			return true;
	return false;
}

/* ---- ports ---- */

const struct xe_config_port *xe_entry_named(const struct xe_config *config, const char *name)
{
	for (uint32_t i = 0; i < config->port_cnt; i++)
		if (!strcmp(config->ports[i].name, name))
			return &config->ports[i];
	return NULL;
}

bool xe_same_entry(const struct xe_config_port *a, const struct xe_config_port *b)
{
	if (a->role != b->role || a->xdp != b->xdp || a->coalesce != b->coalesce ||
	    a->allow_cnt != b->allow_cnt)
		return false;
	for (uint32_t i = 0; i < a->allow_cnt; i++)
		if (a->allow[i].len != b->allow[i].len ||
		    memcmp(&a->allow[i].addr, &b->allow[i].addr, sizeof(a->allow[i].addr)))
			return false;
	return true;
}

/* As `port add` takes it. */
static void say_port(json_t *changes, const char *change, const struct xe_config_port *p)
{
	char prefix[INET6_ADDRSTRLEN + 4], *text = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);

	if (!f)
		return;
	fprintf(f, "%s %s", p->name, xe_role_words[p->role]);
	for (uint32_t i = 0; i < p->allow_cnt; i++) {
		xe_prefix_print(&p->allow[i], prefix, sizeof(prefix));
		fprintf(f, "%s%s", i ? "," : " allow ", prefix);
	}
	if (p->xdp != XE_XDP_AUTO)
		fprintf(f, " xdp %s", xe_xdp_words[p->xdp]);
	if (p->coalesce != XE_COALESCE_AUTO)
		fprintf(f, " coalesce %s", xe_coalesce_words[p->coalesce]);
	if (!fclose(f))
		say(changes, "port", change, text);
	free(text);
}

static int list_ports(struct list *l, const struct xe_config *config)
{
	int ret = list_open(l, config->port_cnt);

	for (uint32_t i = 0; !ret && i < config->port_cnt; i++) {
		l->text[i] = strdup(config->ports[i].name);
		ret = l->text[i] ? 0 : -ENOMEM;
	}
	return ret;
}

static int diff_ports(const struct xe_config *now, const struct xe_config *next, json_t *changes)
{
	struct diff d = {};
	int ret = list_ports(&d.now, now);

	if (!ret)
		ret = list_ports(&d.next, next);
	if (!ret)
		ret = diff_match(&d);
	for (uint32_t i = 0; !ret && i < d.now.cnt; i++)
		if (!d.stays[i])
			say_port(changes, "removed", &now->ports[i]);
	for (uint32_t i = 0; !ret && i < d.next.cnt; i++) {
		const struct xe_config_port *p = &next->ports[i];

		if (d.was[i] == NONE)
			say_port(changes, "added", p);
		else if (!xe_same_entry(&now->ports[d.was[i]], p))
			say_port(changes, "changed", p);
		/* The place of an entry only matters between globs. */
		else if (!d.in_order[i] && xe_config_is_glob(p->name))
			say_port(changes, "moved", p);
	}
	diff_close(&d);
	return ret;
}

/* ---- settings ---- */

static void diff_number(json_t *changes, const char *name, const char *unit, uint32_t now,
			uint32_t next)
{
	char text[128];

	if (now == next)
		return;
	snprintf(text, sizeof(text), "%s %u%s, was %u%s", name, next, unit, now, unit);
	say(changes, "setting", "changed", text);
}

static bool denies(const struct xe_config *config, const char *name)
{
	for (uint32_t i = 0; i < config->deny_port_cnt; i++)
		if (!strcmp(config->deny_ports[i], name))
			return true;
	return false;
}

static void diff_denied(json_t *changes, const struct xe_config *a, const struct xe_config *b,
			const char *change)
{
	char text[64];

	for (uint32_t i = 0; i < a->deny_port_cnt; i++) {
		if (denies(b, a->deny_ports[i]))
			continue;
		snprintf(text, sizeof(text), "deny-ports %s", a->deny_ports[i]);
		say(changes, "setting", change, text);
	}
}

static void diff_settings(const struct xe_config *now, const struct xe_config *next,
			  json_t *changes)
{
	char text[64];

	diff_denied(changes, now, next, "removed");
	diff_denied(changes, next, now, "added");
	if (now->on_stop != next->on_stop) {
		snprintf(text, sizeof(text), "on-stop %s, was %s", xe_on_stop_words[next->on_stop],
			 xe_on_stop_words[now->on_stop]);
		say(changes, "setting", "changed", text);
	}
	if (now->repair != next->repair) {
		snprintf(text, sizeof(text), "repair %s, was %s", xe_repair_words[next->repair],
			 xe_repair_words[now->repair]);
		say(changes, "setting", "changed", text);
	}
	diff_number(changes, "limits.sessions-per-source", "", now->limits.sessions_per_source,
		    next->limits.sessions_per_source);
	diff_number(changes, "timeouts.tcp-established", "s", now->timeouts.tcp_established_s,
		    next->timeouts.tcp_established_s);
	diff_number(changes, "timeouts.tcp-transitory", "s", now->timeouts.tcp_transitory_s,
		    next->timeouts.tcp_transitory_s);
	diff_number(changes, "timeouts.udp", "s", now->timeouts.udp_s, next->timeouts.udp_s);
	diff_number(changes, "timeouts.dns", "s", now->timeouts.dns_s, next->timeouts.dns_s);
}

json_t *xe_apply_diff(const struct xe_config *now, const struct xe_config *next)
{
	json_t *changes = json_array();

	if (!changes || diff_ports(now, next, changes) || diff_rules(now, next, changes)) {
		json_decref(changes);
		return NULL;
	}
	diff_settings(now, next, changes);
	return changes;
}
