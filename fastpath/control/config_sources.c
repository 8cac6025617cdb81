/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * config_sources.c - how many external addresses the pools of all rules have together: each address
 * once, whoever names it, in whatever shape. Declared in config.h.
 *
 * What has been seen is kept as ranges that neither meet nor touch, in their order. There are never
 * more of them than addresses are allowed, so thousands of rules cost a search each.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "control/config.h"

struct span {
	struct xe_addr min, max;
};

struct seen {
	uint32_t cnt;
	uint64_t addrs;
	/* One more than fits: the one by which there are too many. */
	struct span span[XE_MAX_EXT_ADDRS + 1];
};

static int order(const struct xe_addr *a, const struct xe_addr *b)
{
	return memcmp(a, b, sizeof(*a)); /* network order compares like numbers */
}

/* The first that does not end before this address. */
static uint32_t find(const struct seen *s, const struct xe_addr *addr)
{
	uint32_t low = 0, high = s->cnt;

	while (low < high) {
		uint32_t mid = (low + high) / 2;

		if (order(&s->span[mid].max, addr) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

/* Put this in, and in one with all that it meets. */
static void add(struct seen *s, struct span new)
{
	uint32_t first = find(s, &new.min), last = first;

	for (; last < s->cnt && order(&s->span[last].min, &new.max) <= 0; last++) {
		s->addrs -= xe_addr_range_cnt(&s->span[last].min, &s->span[last].max);
		if (order(&s->span[last].min, &new.min) < 0)
			new.min = s->span[last].min;
		if (order(&s->span[last].max, &new.max) > 0)
			new.max = s->span[last].max;
	}
	memmove(&s->span[first + 1], &s->span[last], (s->cnt - last) * sizeof(s->span[0]));
	s->span[first] = new;
	s->cnt += 1 - (last - first);
	s->addrs += xe_addr_range_cnt(&new.min, &new.max);
}

int xe_config_count_sources(const struct xe_config *config, uint32_t *rule)
{
	struct seen *seen = calloc(1, sizeof(*seen));
	int ret = 0;

	if (!seen)
		return -ENOMEM;
	for (uint32_t i = 0; !ret && i < config->rule_cnt; i++) {
		const struct xe_rule *r = &config->rules[i];

		for (int k = 0; !ret && k < r->source_cnt; k++) {
			add(seen,
			    (struct span){r->source[k].min, xe_rule_source_max(&r->source[k])});
			if (seen->addrs > XE_MAX_EXT_ADDRS) {
				*rule = i;
				ret = -E2BIG;
			}
		}
	}
	free(seen);
	return ret;
}
