/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * record.h - what `apply` has found and changed, so that `undo` can put it back: RUNDIR/tune.json.
 *
 * The file is whole at any moment (written beside, synced, renamed), and it names a change before
 * that is made: after a crash it may tell of a change that did not happen, never the other way
 * round. It belongs to one boot and one network namespace, and says so.
 */
#ifndef XE_TUNE_RECORD_H
#define XE_TUNE_RECORD_H

#include <stdbool.h>
#include <stddef.h>

#include "knob.h"

struct tune_change {
	char stage[32];
	char knob[TUNE_KNOB_SIZE];
	unsigned int ifindex; /* of the interface the knob belongs to, 0: the host's */
	char *from, *to;
	bool keep; /* tune_keep(): `to` says nothing */
};

struct tune_record {
	char path[4096];
	int lock_fd;                 /* held as long as the record is open for change */
	struct tune_change *changes; /* in the order they were made */
	unsigned int cnt;
	bool other_boot; /* nothing of it is left on the host */
};

/* Read RUNDIR/tune.json; without one the record is empty. With `change` the folder is made and
 * locked against another apply or undo. 0, or -errno with one line in `err` that names file and
 * line. */
int tune_record_open(struct tune_record *record, const char *run_dir, bool change, char *err,
		     size_t err_size);
void tune_record_close(struct tune_record *record);

/* To disk, or away with the file when nothing is left in it. 0 or -errno. */
int tune_record_save(struct tune_record *record);

struct tune_change *tune_record_find(struct tune_record *record, const char *knob,
				     unsigned int ifindex);
/* At the end; values are copied. NULL: no memory. */
struct tune_change *tune_record_add(struct tune_record *record, const char *stage, const char *knob,
				    unsigned int ifindex, const char *from, const char *to);
void tune_record_drop(struct tune_record *record, unsigned int idx);

#endif
