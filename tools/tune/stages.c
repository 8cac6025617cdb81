/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "stage.h"

const struct tune_stage *const tune_stages[] = {
	&tune_stage_l4ports,  &tune_stage_sndbuf,    &tune_stage_numa,     &tune_stage_isolation,
	&tune_stage_governor, &tune_stage_hugepages, &tune_stage_channels, &tune_stage_rings,
	&tune_stage_rss,      &tune_stage_coalesce,  &tune_stage_irq,      &tune_stage_napi,
	&tune_stage_rps,
};
const unsigned int tune_stage_cnt = sizeof(tune_stages) / sizeof(tune_stages[0]);
