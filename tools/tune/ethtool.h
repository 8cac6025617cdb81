/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * ethtool.h - settings of a network device by the ethtool ioctl. It acts on the process's own
 * network namespace, and every kernel and driver has it (ethtool's netlink cannot set RSS).
 *
 * Each returns 0 or -errno; -EOPNOTSUPP where the driver has no such setting.
 */
#ifndef XE_TUNE_ETHTOOL_H
#define XE_TUNE_ETHTOOL_H

#include <linux/ethtool.h>
#include <stddef.h>
#include <stdint.h>

/* ioctl(SIOCETHTOOL): 0 or -errno. The unit tests put a device of their own here. */
extern int (*tune_ethtool_call)(const char *name, void *command);

int tune_ethtool_driver(const char *name, char *driver, size_t size);
int tune_ethtool_channels(const char *name, struct ethtool_channels *ch);
int tune_ethtool_rings(const char *name, struct ethtool_ringparam *rings);

/*
 * The same settings as text, for records:
 *   channels  "rx 4 tx 4 other 0 combined 0"
 *   rings     "rx 512 rx-mini 0 rx-jumbo 0 tx 512"
 *   rss       "default" (all queues in turn), or the queue of each entry: "0 0 1 1"
 *   flowhash  for a kind of flow (tcp4, tcp6, udp4, udp6), ethtool's letters: "sd", "sdfn"
 *   coalesce  "rx-usecs 50 rx-frames 0 tx-usecs 50 tx-frames 0 adaptive-rx 1 adaptive-tx 1"
 */
int tune_channels_read(const char *name, char *text, size_t size);
int tune_channels_write(const char *name, const char *text);
int tune_rings_read(const char *name, char *text, size_t size);
int tune_rings_write(const char *name, const char *text);
int tune_rss_read(const char *name, char *text, size_t size);
int tune_rss_write(const char *name, const char *text);
int tune_flowhash_read(const char *name, const char *kind, char *text, size_t size);
int tune_flowhash_write(const char *name, const char *kind, const char *text);
int tune_coalesce_read(const char *name, char *text, size_t size);
int tune_coalesce_write(const char *name, const char *text);

/* Bytes of the hash key, 0: the driver keeps it for itself. */
uint32_t tune_rss_key_len(const char *name);

#endif
