/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What became of the numbers of a flow: lost, twice, out of order. Exact as long as nothing comes
 * more than FLOW_WINDOW numbers late: a bit for each of the last numbers says whether it was seen.
 * A number counts as lost while it is below the highest one and has not come; what is lost after
 * the last one that came only the sender's count can tell. Numbers start at 0.
 */
#ifndef XE_BENCH_FLOW_SEQ_H
#define XE_BENCH_FLOW_SEQ_H

#include <stdint.h>

#define FLOW_WINDOW 512 /* bits: one cache line; several times the batches of all NAPI polls */

struct flow_seq {
	uint64_t next;     /* one above the highest number seen; 0: none yet */
	uint64_t received; /* distinct numbers */
	uint64_t seen[FLOW_WINDOW / 64];
};

struct flow_verdicts {
	uint64_t reordered; /* came after a higher number */
	uint64_t duplicate;
	uint64_t too_late; /* more than a window late: taken for reordered, may be a duplicate */
};

static inline void flow_seq_clear(struct flow_seq *f, uint64_t from, uint64_t to)
{
	if (to - from >= FLOW_WINDOW)
		__builtin_memset(f->seen, 0, sizeof(f->seen));
	else
		for (; from < to; from++)
			f->seen[from % FLOW_WINDOW / 64] &= ~(1ull << from % 64);
}

static inline void flow_seq_add(struct flow_seq *f, uint64_t seq, struct flow_verdicts *v)
{
	uint64_t *word = &f->seen[seq % FLOW_WINDOW / 64], bit = 1ull << seq % 64;

	if (seq >= f->next) {
		flow_seq_clear(f, f->next, seq);
		f->next = seq + 1;
	} else if (f->next - seq > FLOW_WINDOW) {
		v->reordered++;
		v->too_late++;
		f->received++;
		return;
	} else if (*word & bit) {
		v->duplicate++;
		return;
	} else {
		v->reordered++;
	}
	*word |= bit;
	f->received++;
}

static inline uint64_t flow_seq_lost(const struct flow_seq *f)
{
	return f->next > f->received ? f->next - f->received : 0;
}

#endif
