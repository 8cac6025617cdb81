/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * stage.h - the stages, in the order in which they are checked and applied (undo goes the other
 * way). The order matters: the number of queues comes before what is set for each queue.
 */
#ifndef XE_TUNE_STAGE_H
#define XE_TUNE_STAGE_H

#include "tune.h"

extern const struct tune_stage tune_stage_l4ports, tune_stage_sndbuf, tune_stage_numa,
	tune_stage_isolation, tune_stage_governor, tune_stage_hugepages, tune_stage_channels,
	tune_stage_rings, tune_stage_rss, tune_stage_coalesce, tune_stage_irq, tune_stage_napi,
	tune_stage_rps;

#endif
