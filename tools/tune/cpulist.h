/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * cpulist.h - sets of CPUs as the kernel writes them: lists ("0-3,8") and masks ("1,00000003").
 */
#ifndef XE_TUNE_CPULIST_H
#define XE_TUNE_CPULIST_H

#include <stdbool.h>
#include <stddef.h>

/* What a set holds. The kernel's own limit on x86-64 is 8192, and no host runs workers beyond the
 * first thousand. */
#define TUNE_CPU_MAX 1024
/* A list of every second CPU is the longest: 512 numbers of at most 4 digits, and commas. */
#define TUNE_CPU_TEXT_SIZE 4096

struct tune_cpus {
	unsigned char is[TUNE_CPU_MAX];
};

/* 0, or -EINVAL when the text is neither empty nor wholly a list (a mask), -ERANGE for a CPU beyond
 * the set. A trailing newline is part of neither. */
int tune_cpus_from_list(struct tune_cpus *cpus, const char *text);
int tune_cpus_from_mask(struct tune_cpus *cpus, const char *text);

/* Both print nothing for an empty list, "0" for an empty mask. `size` as above never cuts. */
void tune_cpus_to_list(const struct tune_cpus *cpus, char *text, size_t size);
void tune_cpus_to_mask(const struct tune_cpus *cpus, char *text, size_t size);

unsigned int tune_cpus_cnt(const struct tune_cpus *cpus);
/* Is every CPU of `some` in `all`? */
bool tune_cpus_within(const struct tune_cpus *some, const struct tune_cpus *all);

#endif
