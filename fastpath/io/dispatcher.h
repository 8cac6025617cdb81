/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * dispatcher.h - our build of libxdp's dispatcher object (bpf/dispatcher.bpf.c), for when libxdp's
 * own cannot carry the steering program: before xdp-tools 1.5.5 its places may not change packet
 * data, and newer kernels insist. libxdp reads the object from a folder that its environment names,
 * so it is put into one, for this process alone.
 *
 * Others' libxdp makes a new dispatcher, from its own object, whenever it adds or removes a
 * program. One before 1.5.5 then fails while ours stands beside, with "Invalid argument", and
 * leaves all as it is.
 *
 * Control thread.
 */
#ifndef XE_DISPATCHER_H
#define XE_DISPATCHER_H

/* Make libxdp of this process use it. *dir: the folder, in the run directory, to be given to
 * xe_dispatcher_remove(). 0, -EEXIST: the administrator has named an object folder
 * (LIBXDP_OBJECT_PATH), which stays; or -errno. */
int xe_dispatcher_provide(const char *run_dir, char **dir);
/* The folder goes, with what is in it. NULL: nothing. */
void xe_dispatcher_remove(char *dir);
/* The folder that a dead process has left in this run directory goes. */
void xe_dispatcher_clean(const char *run_dir);

#endif
