/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "reason_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define NAME_OF(name, class, text) [XE_R_##name] = #name,
static const char *const names[XE_R_WORKER_CNT] = {XE_REASONS_WORKER(NAME_OF)};

static uint64_t marked[XE_R_WORKER_CNT];

void rf_mark(const struct xe_lane *lane)
{
	memcpy(marked, lane->cnt.reason, sizeof(marked));
}

void rf_expect(const struct xe_lane *lane, enum xe_worker_reason reason, uint64_t n)
{
	for (int r = 1; r < XE_R_WORKER_CNT; r++) {
		uint64_t by = lane->cnt.reason[r] - marked[r];

		if (by != (r == (int)reason ? n : 0))
			fail_msg("%s moved by %lu", names[r], (unsigned long)by);
	}
	if (reason != XE_R_NONE && n)
		rf_seen(names[reason]);
}

void rf_seen(const char *name)
{
	const char *path = getenv("XE_REASONS_SEEN");
	FILE *f = path && path[0] ? fopen(path, "a") : NULL;

	if (!f)
		return;
	fprintf(f, "%s\n", name);
	fclose(f);
}
