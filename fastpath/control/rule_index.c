/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "control/rule_index.h"

#include <stdlib.h>

int xe_rule_index_open(struct xe_rule_index *x, uint32_t size)
{
	memset(x, 0, sizeof(*x));
	x->rules = calloc(size + 1ul, sizeof(*x->rules));
	return x->rules ? xe_index_open(&x->index, size) : -ENOMEM;
}

void xe_rule_index_close(struct xe_rule_index *x)
{
	free(x->rules);
	x->rules = NULL;
	xe_index_close(&x->index);
}

void xe_rule_index_add(struct xe_rule_index *x, uint32_t number, const struct xe_rule *rule)
{
	x->rules[number] = rule;
	xe_index_put(&x->index, xe_rule_hash(rule), number);
}

int xe_rule_index_of(struct xe_rule_index *x, const struct xe_rule *rules, uint32_t cnt)
{
	int ret = xe_rule_index_open(x, cnt);

	for (uint32_t i = 0; !ret && i < cnt; i++)
		xe_rule_index_add(x, i, &rules[i]);
	return ret;
}

static bool equal(const void *table, uint32_t entry, const void *key)
{
	return xe_rule_equal(((const struct xe_rule_index *)table)->rules[entry], key);
}

uint32_t xe_rule_index_find(const struct xe_rule_index *x, const struct xe_rule *rule)
{
	return xe_index_find(&x->index, xe_rule_hash(rule), x, rule, equal);
}
