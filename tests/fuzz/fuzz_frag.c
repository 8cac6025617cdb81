/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * fuzz_frag.c - any sequence of fragments through the table that joins them: the same verdicts as a
 * model that marks every byte, no slot lost, no cap exceeded.
 *
 * An operation is 6 bytes: which of 8 datagrams and flags, offset in units of 8 (2), length (2),
 * frames and time.
 *
 *   clang -fsanitize=fuzzer,address,undefined ... && ./fuzz_frag tests/fuzz/corpus/frag
 */
#include <stdlib.h>
#include <string.h>

#include "state/frag_table.h"

#define KEYS    8
#define END     70000u
#define OP_SIZE 6

static void must(int ok)
{
	if (!ok)
		abort(); /* libFuzzer keeps the input */
}

static struct model {
	uint8_t owner[END]; /* number of the fragment that has this byte, 0: none */
	struct {
		uint32_t off, len;
		bool more;
	} part[XE_FRAG_PER_DATAGRAM];
	uint32_t cnt, total, since_s;
	uint8_t ended;
	bool exists;
} models[KEYS];

static void model_clear(struct model *m, uint8_t ended)
{
	memset(m->owner, 0, sizeof(m->owner));
	m->cnt = m->total = 0;
	m->ended = ended;
	m->exists = ended;
}

static bool is_free(const struct model *m, uint32_t from, uint32_t to)
{
	for (; from < to; from++)
		if (m->owner[from])
			return false;
	return true;
}

static bool is_whole(const struct model *m)
{
	for (uint32_t i = 0; i < m->total; i++)
		if (!m->owner[i])
			return false;
	return m->total;
}

static enum xe_frag_verdict model_add(struct model *m, const struct xe_frag *f, uint32_t now_s)
{
	uint32_t stop = f->off + f->len;

	if (!m->exists)
		m->since_s = now_s;
	m->exists = true;
	if (m->ended)
		return m->ended;
	for (uint32_t i = 0; i < m->cnt; i++)
		if (m->part[i].off == f->off && m->part[i].len == f->len &&
		    m->part[i].more == f->more)
			return XE_FRAG_DUPLICATE;
	if (stop > 65535 || !is_free(m, f->off, stop) ||
	    (f->more && m->total && stop >= m->total) ||
	    (!f->more && (m->total || !is_free(m, f->off, END))))
		return XE_FRAG_OVERLAP;
	if (m->cnt == XE_FRAG_PER_DATAGRAM)
		return XE_FRAG_LIMIT;
	m->part[m->cnt].off = f->off;
	m->part[m->cnt].len = f->len;
	m->part[m->cnt++].more = f->more;
	memset(m->owner + f->off, 1, f->len);
	if (!f->more)
		m->total = stop;
	return is_whole(m) ? XE_FRAG_WHOLE : XE_FRAG_KEPT;
}

static void take(struct xe_frag_table *t, const struct xe_frag_key *key, const struct model *m)
{
	uint32_t at = 0, cnt = 0, next;

	for (uint32_t slot = xe_frag_take(t, key); slot != XE_NIL; slot = next, cnt++) {
		must(t->slots[slot].off == at);
		at += t->slots[slot].len;
		next = t->slots[slot].next;
		xe_frag_slot_free(t, slot);
	}
	must(at == m->total && cnt == m->cnt);
}

static uint32_t bury(struct xe_frag_table *t)
{
	enum xe_frag_verdict why;
	uint32_t slot, n = 0;

	while ((slot = xe_frag_next_dead(t, &why)) != XE_NIL) {
		must(why != XE_FRAG_KEPT && why != XE_FRAG_WHOLE);
		xe_frag_slot_free(t, slot);
		n++;
	}
	return n;
}

static void expire(struct xe_frag_table *t, uint32_t now_s)
{
	uint32_t cnt = 0;

	for (int i = 0; i < KEYS; i++)
		if (models[i].exists && now_s - models[i].since_s >= XE_FRAG_TIMEOUT_S) {
			cnt += models[i].cnt;
			model_clear(&models[i], 0);
		}
	xe_frag_expire(t, now_s);
	must(bury(t) == cnt);
}

static void step(struct xe_frag_table *t, const uint8_t *op, uint32_t now_s)
{
	uint8_t which = op[0] % KEYS;
	struct model *m = &models[which];
	struct xe_frag_key key = {.id = which, .port = which & 1 ? XE_PORT_ANYUPLINK : which};
	struct xe_frag f = {
		.off = (op[1] | op[2] << 8) % 8192 * 8u,
		.len = (op[3] | op[4] << 8) % 1501,
		.more = op[0] & 0x80,
		.frame_cnt = 1 + op[5] % 3,
	};
	uint32_t before = m->cnt, slot;
	enum xe_frag_verdict wanted;

	f.len += !f.len;
	key.src.b[15] = which / 2;
	wanted = model_add(m, &f, now_s);
	must(xe_frag_add(t, &key, &f, now_s, &slot) == wanted);
	if (wanted == XE_FRAG_WHOLE) {
		take(t, &key, m);
		model_clear(m, 0);
	}
	if ((wanted == XE_FRAG_OVERLAP || wanted == XE_FRAG_LIMIT) && !m->ended) {
		must(bury(t) == before);
		model_clear(m, (uint8_t)wanted);
	}
	must(bury(t) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	/* beyond what eight datagrams of 128 fragments of three frames can take */
	static const uint32_t cap[XE_FRAG_LEVELS] = {4096, 4096, 4096};
	struct xe_frag_table t;
	uint32_t now_s = 1000, kept = 0;

	for (int i = 0; i < KEYS; i++)
		model_clear(&models[i], 0);
	must(!xe_frag_open(&t, cap, 8, 1, 2));
	for (; len >= OP_SIZE; bytes += OP_SIZE, len -= OP_SIZE) {
		now_s += bytes[5] >> 6 == 3 ? 10 : 0;
		expire(&t, now_s);
		step(&t, bytes, now_s);
	}
	for (int i = 0; i < KEYS; i++)
		kept += models[i].cnt;
	must(kept == t.kept_cnt);
	xe_frag_flush(&t, XE_PORT_NONE);
	must(bury(&t) == kept && !t.kept_cnt);
	xe_frag_close(&t);
	return 0;
}
