/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * change.h - carrying out what a stage's findings ask for, and putting it back.
 */
#ifndef XE_TUNE_CHANGE_H
#define XE_TUNE_CHANGE_H

#include <stdbool.h>

#include "record.h"
#include "tune.h"

enum tune_done {
	TUNE_DONE,    /* changed, or put back */
	TUNE_AS_WAS,  /* nothing to do any more */
	TUNE_GONE,    /* the interface or the setting is not there any more */
	TUNE_FOREIGN, /* somebody has changed it since: left alone */
	TUNE_BUSY,    /* the service has the port */
	TUNE_PARTLY,  /* the kernel took another value */
	TUNE_FAILED,
};

/* Told of each change: an audit line and a line for the user. `error` is -errno for TUNE_FAILED. */
typedef void (*tune_told_fn)(void *ctx, enum tune_done done, const struct tune_change *change,
			     const char *now, int error);

struct tune_outcome {
	unsigned int changed, left; /* left: asked for, and not done */
};

/*
 * All findings of one stage, or none: values found are on disk before the first write, and when a
 * write fails the stage's earlier ones of this call are taken back. What has gone meanwhile is no
 * failure. Returns 0, or -errno when the record cannot be kept (then nothing was changed).
 */
int tune_apply_stage(struct tune_report *report, unsigned int first, const struct tune_facts *facts,
		     struct tune_record *record, tune_told_fn told, void *ctx,
		     struct tune_outcome *outcome);

/* All recorded changes of a stage (NULL: of all), the last one first. */
int tune_undo(struct tune_record *record, const char *stage, bool force, tune_told_fn told,
	      void *ctx, struct tune_outcome *outcome);

#endif
