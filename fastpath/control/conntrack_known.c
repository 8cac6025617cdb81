/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <errno.h>
#include <string.h>
#include <sys/random.h>

#include "control/conntrack_wire.h"
#include "xegress/steer_abi.h"

struct xe_ct_back xe_ct_back_of(const struct xe_flow_record *r)
{
	return (struct xe_ct_back){r->nat_dst, r->nat_src, r->nat_dport_be, r->nat_sport_be,
				   r->proto};
}

static uint32_t back_hash(const struct xe_ct_known *x, const struct xe_ct_back *k)
{
	uint64_t l4 =
		(uint64_t)k->sport_be | (uint64_t)k->dport_be << 16 | (uint64_t)k->proto << 32;

	return (uint32_t)(xe_addr_hash(&k->src, x->k0 ^ l4, x->k1) ^
			  xe_addr_hash(&k->dst, x->k0, x->k1 ^ l4) << 1);
}

static bool back_equal(const void *table, uint32_t entry, const void *key)
{
	struct xe_ct_back a = xe_ct_back_of(&((const struct xe_flow_file *)table)->records[entry]);
	const struct xe_ct_back *b = key;

	return !memcmp(&a.src, &b->src, sizeof(a.src)) && !memcmp(&a.dst, &b->dst, sizeof(a.dst)) &&
	       a.sport_be == b->sport_be && a.dport_be == b->dport_be && a.proto == b->proto;
}

int xe_ct_known_open(struct xe_ct_known *x, const struct xe_flow_file *file)
{
	uint64_t keys[2];

	*x = (struct xe_ct_known){.file = file};
	if (!file)
		return 0;
	if (getrandom(keys, sizeof(keys), 0) != sizeof(keys))
		return -EIO;
	x->k0 = keys[0];
	x->k1 = keys[1];
	if (xe_index_open(&x->index, file->record_cnt))
		return -ENOMEM;
	for (uint32_t i = 0; i < file->record_cnt; i++) {
		struct xe_ct_back key = xe_ct_back_of(&file->records[i]);

		xe_index_put(&x->index, back_hash(x, &key), i);
	}
	return 0;
}

const struct xe_flow_record *xe_ct_known_find(const struct xe_ct_known *x, struct xe_ct_back key)
{
	uint32_t i =
		x->file ? xe_index_find(&x->index, back_hash(x, &key), x->file, &key, back_equal)
			: XE_NIL;

	return i == XE_NIL ? NULL : &x->file->records[i];
}

void xe_ct_known_close(struct xe_ct_known *x)
{
	xe_index_close(&x->index);
}

int xe_ct_subtract(struct xe_flow_file *file, const struct xe_flow_file *these)
{
	struct xe_ct_known x;
	uint32_t kept = 0;
	int err = xe_ct_known_open(&x, these);

	for (uint32_t i = 0; i < file->record_cnt && !err; i++)
		if (!xe_ct_known_find(&x, xe_ct_back_of(&file->records[i])))
			file->records[kept++] = file->records[i];
	if (!err)
		file->record_cnt = kept;
	xe_ct_known_close(&x);
	return err;
}
