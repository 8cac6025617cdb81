/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* tun.h - the punt device: a tun interface with virtio-net headers by which packets go back to the
 * kernel's path. It exists while its descriptor is open, so nothing is left after a crash. */
#ifndef XE_TUN_H
#define XE_TUN_H

#include <net/if.h>

/* Make it, bring it up, let the kernel forward what comes in on it. Returns the descriptor or
 * -errno; name holds what it is called (xepunt0, ...). */
int xe_tun_open(char name[IFNAMSIZ]);
/* Is it as xe_tun_open() has left it? 0; -ENODEV: it is gone from this network namespace,
 * -ENETDOWN, -EADDRNOTAVAIL, -EINVAL: its settings are others. name follows a change of name. */
int xe_tun_look(int fd, char name[IFNAMSIZ]);
/* Make it so again; not for one that is gone. 0 or -errno. */
int xe_tun_restore(const char *name);

#endif
