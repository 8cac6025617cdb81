/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* show.h - findings and changes, for people and as JSON. */
#ifndef XE_TUNE_SHOW_H
#define XE_TUNE_SHOW_H

#include <jansson.h>

#include "change.h"

/* What came out of a run, collected for --json (NULL: printed as it comes). */
struct tune_show {
	json_t *findings, *changes;
	const char *verb; /* for audit lines */
};

void tune_show_findings(struct tune_show *show, const struct tune_report *report,
			unsigned int first);
/* A tune_told_fn; ctx is the struct tune_show. Each change that was made is an audit line on
 * stderr besides: what, from, to, by whom. */
void tune_show_change(void *ctx, enum tune_done done, const struct tune_change *change,
		      const char *now, int error);
void tune_show_stages(struct tune_show *show, const char *only);

#endif
