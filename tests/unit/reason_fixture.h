/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * reason_fixture.h - "counted exactly once, and nothing else": the one way unit tests ask it.
 *
 * What was found so is written to the file that XE_REASONS_SEEN names, one name a line;
 * tests/reasons_seen.sh holds that against include/xegress/reason.h when all tests have run. So a
 * reason that no test makes count fails `make check`.
 */
#ifndef XE_TEST_REASON_FIXTURE_H
#define XE_TEST_REASON_FIXTURE_H

#include "pipeline/pipeline.h"

/* From here on. One mark at a time. */
void rf_mark(const struct xe_lane *lane);
/* Fails the test unless since the mark this reason was counted n times (XE_R_NONE: or none at all)
 * and no other one. */
void rf_expect(const struct xe_lane *lane, enum xe_worker_reason reason, uint64_t n);
/* A reason of whoever counts it was seen. */
void rf_seen(const char *name);

#endif
