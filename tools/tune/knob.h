/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * knob.h - one setting of the host that can be read, written and compared, named by a text so that
 * it can stand in the record of changes.
 *
 *   file PATH           one line of text
 *   mask PATH           a mask of CPUs                list PATH   a list of CPUs
 *   choice PATH         "always [madvise] never": the value is the word in brackets
 *   channels|rings|rss|coalesce INTERFACE             ethtool.h has the values
 *   flowhash INTERFACE KIND
 */
#ifndef XE_TUNE_KNOB_H
#define XE_TUNE_KNOB_H

#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>

/* Longest name: a kind and a path below /sys/devices/system/node. */
#define TUNE_KNOB_SIZE 160

/* Is it a name of the above, with a path in a part of /proc or /sys that we have business in? A
 * record of changes could have been written by anybody. */
bool tune_knob_valid(const char *knob);

/* 0 or -errno: -ENOENT, -ENODEV, -EOPNOTSUPP where there is no such thing here. */
int tune_knob_read(const char *knob, char *value, size_t size);
int tune_knob_write(const char *knob, const char *value);
/* Do both mean the same to the kernel ("3" and "00000003")? */
bool tune_knob_same(const char *knob, const char *a, const char *b);

/* The interface it belongs to; false: it is the host's. */
bool tune_knob_interface(const char *knob, char name[IFNAMSIZ]);
/* 0: not there. With a fake root, from its files. */
unsigned int tune_ifindex(const char *name);

#endif
