/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * terms_live.c - which number of the terms table (state/terms.h) a rule in force has.
 *
 * A rule that stays keeps its number, and so its buckets and its flows their limit. What no rule
 * and no flow of any worker names is free.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/rule_index.h"
#include "control/service.h"

/* Numbers in use by flows, whatever their rules: read while the workers run. New flows can only
 * take those of the rules in force, which are in use anyway. */
static void mark_used(struct xe_service *svc)
{
	const struct xe_ruleset *rs = svc->ruleset;

	for (uint32_t n = 0; n < XE_MAX_TERMS; n++) {
		svc->terms[n].used = false;
		for (uint32_t w = 0; w < svc->worker_cnt; w++)
			svc->terms[n].used |= __atomic_load_n(&svc->workers[w].lane->terms.refs[n],
							      __ATOMIC_ACQUIRE) != 0;
	}
	for (uint32_t i = 0; rs && rs->terms && i < rs->rule_cnt; i++)
		if (rs->terms[i] != XE_NIL)
			svc->terms[rs->terms[i]].used = true;
}

/* Numbers in use by their rules: of the set in force, and of older ones whose flows live on. A rule
 * that comes back has its flows' number, or its limit would be there twice. */
static int index_used(const struct xe_service *svc, struct xe_rule_index *x)
{
	int ret = xe_rule_index_open(x, XE_MAX_TERMS);

	for (uint32_t n = 0; !ret && n < XE_MAX_TERMS; n++)
		if (svc->terms[n].used && svc->terms_of[n])
			xe_rule_index_add(x, n, svc->terms_of[n]);
	return ret;
}

static int remember_rule(struct xe_service *svc, uint32_t n, const struct xe_rule *rule)
{
	if (!svc->terms_of[n])
		svc->terms_of[n] = malloc(sizeof(*rule));
	if (!svc->terms_of[n])
		return -ENOMEM;
	*svc->terms_of[n] = *rule;
	return 0;
}

/* A free number from *at on. */
static uint32_t take_free(struct xe_service *svc, uint32_t *at)
{
	while (*at < XE_MAX_TERMS && svc->terms[*at].used)
		++*at;
	return *at < XE_MAX_TERMS ? (*at)++ : XE_NIL;
}

/* The buckets begin full, also what a worker has left of a limit that had this number before. */
static void forget_credit(struct xe_worker *w, void *arg)
{
	const struct xe_terms *terms = arg;

	for (uint32_t n = 0; n < XE_MAX_TERMS; n++)
		if (terms[n].fresh)
			memset(w->lane->terms.credit[n], 0, sizeof(xe_credit));
}

static void start_anew(struct xe_service *svc)
{
	for (uint32_t w = 0; w < svc->worker_cnt; w++)
		xe_worker_call(&svc->workers[w], forget_credit, svc->terms);
	for (uint32_t n = 0; n < XE_MAX_TERMS; n++)
		svc->terms[n].fresh = false;
}

/* Numbers for all rules that have terms; *fresh: some are new. */
static int number_rules(struct xe_service *svc, struct xe_ruleset *rs,
			const struct xe_rule_index *used, bool *fresh)
{
	uint32_t at = 0;
	int ret;

	for (uint32_t i = 0; i < rs->rule_cnt; i++) {
		if (!xe_rule_has_terms(&rs->rules[i]))
			continue;
		rs->terms[i] = xe_rule_index_find(used, &rs->rules[i]);
		if (rs->terms[i] != XE_NIL)
			continue;
		rs->terms[i] = take_free(svc, &at);
		if (rs->terms[i] == XE_NIL)
			return -E2BIG;
		ret = remember_rule(svc, rs->terms[i], &rs->rules[i]);
		if (ret)
			return ret;
		xe_terms_set(&svc->terms[rs->terms[i]], &rs->rules[i]);
		svc->terms[rs->terms[i]].fresh = *fresh = true;
	}
	return 0;
}

int xe_terms_assign(struct xe_service *svc, struct xe_ruleset *rs, char *err, size_t err_size)
{
	bool any = false, fresh = false;
	struct xe_rule_index used = {};
	int ret = -ENOMEM;

	for (uint32_t i = 0; i < rs->rule_cnt; i++)
		any |= xe_rule_has_terms(&rs->rules[i]);
	if (!any)
		return 0;
	rs->terms = malloc(rs->rule_cnt * sizeof(*rs->terms));
	if (!svc->terms_of)
		svc->terms_of = calloc(XE_MAX_TERMS, sizeof(*svc->terms_of));
	if (rs->terms && svc->terms_of) {
		memset(rs->terms, 0xff, rs->rule_cnt * sizeof(*rs->terms));
		mark_used(svc);
		ret = index_used(svc, &used);
	}
	if (!ret)
		ret = number_rules(svc, rs, &used, &fresh);
	xe_rule_index_close(&used);
	if (fresh)
		start_anew(svc);
	if (ret == -ENOMEM)
		snprintf(err, err_size, "rules: out of memory");
	else if (ret)
		snprintf(err, err_size,
			 "rules: too many with `limit` or `mss-clamp`, expected at most %d, those "
			 "that live flows are still under included",
			 XE_MAX_TERMS);
	return ret;
}

void xe_terms_forget(struct xe_service *svc)
{
	for (uint32_t n = 0; svc->terms_of && n < XE_MAX_TERMS; n++)
		free(svc->terms_of[n]);
	free(svc->terms_of);
	svc->terms_of = NULL;
}
