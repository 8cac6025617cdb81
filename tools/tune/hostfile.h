/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * hostfile.h - the files of /proc and /sys in which the kernel keeps its settings.
 */
#ifndef XE_TUNE_HOSTFILE_H
#define XE_TUNE_HOSTFILE_H

#include <stdbool.h>
#include <stddef.h>

/* Longer than any setting we touch: an indirection table of 1024 entries is the longest. */
#define TUNE_VALUE_SIZE 8192

/* Stands in front of every path from now on ("" for the host itself): a folder with a copy of what
 * the tests are about. */
void tune_files_root(const char *dir);
bool tune_files_fake(void);

/*
 * /sys/class/net shows the network namespace in which that sysfs was mounted, not the process's own
 * (/proc/sys/net and netlink show the latter): a tool started by nsenter would turn the knobs of
 * other interfaces with the same names. So a sysfs of our own is mounted, in a mount namespace that
 * ends with the process. Without the right to do so, what is there is compared with what netlink
 * shows. 0 when /sys/class/net can be trusted; else -ESTALE, and tune_sysfs_net() is false.
 */
int tune_sysfs_enter(void);
bool tune_sysfs_net(void);

/* The file's text, without the white space at its end, inner white space made single spaces.
 * Returns 0 or -errno (-ENOENT: this kernel or device has no such setting). */
int tune_file_read(const char *path, char *text, size_t size);
/* In one write(), as the kernel wants it; 0 or -errno. */
int tune_file_write(const char *path, const char *text);
bool tune_file_is(const char *path);
/* A whole number from a file, or `otherwise`. */
long tune_file_number(const char *path, long otherwise);

/* Names in a folder that start with `prefix`, sorted as versions are (rx-2 before rx-10). Returns
 * how many, or -errno; the caller frees each and the list. */
int tune_folder(const char *path, const char *prefix, char ***names);
void tune_folder_free(char **names, int cnt);

#endif
