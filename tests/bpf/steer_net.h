/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * steer_net.h - a network namespace of the test process, with routes for bpf_fib_lookup().
 *
 *   in0   10.1.0.1/24      inside port 0, two RX queues
 *   in1   10.1.1.1/24      inside port 1
 *   up0   198.51.100.2/24  uplink port 2, default route, 65 RX queues (one more than steer knows)
 *   up1   192.0.2.2/24     uplink port 3, 203.0.113.0/24
 *   side  10.9.0.1/24      no port, 10.99.0.0/16
 *
 * blackhole 10.66.1.0/24, unreachable 10.66.2.0/24, prohibit 10.66.3.0/24.
 *
 * IPv6 the same way: in0 2001:db8:1::1/64, in1 2001:db8:10::1/64, up0 2001:db8:f::2/64 with the
 * default route, up1 2001:db8:e::2/64 with 2001:db8:113::/48, side 2001:db8:9::1/64 with
 * 2001:db8:99::/48; blackhole 2001:db8:66:1::/64, unreachable :2, prohibit :3.
 */
#ifndef XE_TEST_STEER_NET_H
#define XE_TEST_STEER_NET_H

enum { PORT_IN0, PORT_IN1, PORT_UP0, PORT_UP1, PORT_CNT };

extern const char *const port_names[PORT_CNT];

/* Enter the namespace and fill it. 0 or -errno; what `ip` says goes to stderr. */
int net_open(void);
/* One line for `ip -batch`, e.g. "route add ...". 0, or -EIO. */
int net_ip(const char *line);
/* `ip rule add dscp N blackhole`, for which Debian 12's iproute2 is too old. 0 or -errno; -ENOTSUP
 * below kernel 6.12, which would ignore the DSCP and send everything into the black hole. */
int net_blackhole_dscp(unsigned char dscp);
/* Write /proc/sys/net/PATH in the namespace. */
int net_sysctl(const char *path, const char *value);

#endif
