/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * steer_scratch.h - what is known and asked of the packet at hand; lives in a per-CPU map
 * (steer_maps.h).
 */
#ifndef XE_STEER_SCRATCH_H
#define XE_STEER_SCRATCH_H

#include <linux/bpf.h>
#include <linux/ip.h>
#include <linux/ipv6.h>

#include "xegress/steer_abi.h"

/* The packet, as parsed. */
struct steer_pkt {
	struct xe_addr src, dst; /* IPv4 as ::ffff:a.b.c.d */
	__be16 sport_be, dport_be;
	__u8 proto;
	__u8 is_v6;
	__u8 is_frag;  /* no L4 ports: only the first one has them */
	__u8 syn_only; /* SYN without ACK, RST, FIN: may start a TCP flow */
	__u8 ttl;
	__u8 tos;
	__u8 is_error;       /* an ICMP error: addresses, L4 ports and protocol are the flow's
			      * (steer_icmp.h) */
	__u16 l3_len;        /* IP header(s) + payload as the IP header says */
	__be32 flow_info_be; /* IPv6: traffic class and flow label */
};

/* Parts of an ICMP error, copied one after the other. */
struct steer_quote {
	struct xe_addr from; /* its source */
	union {
		struct iphdr ip4;
		struct ipv6hdr ip6;
	};
	__u8 icmp[8];
	__u32 icmp_off; /* IPv6: from the IP header to the ICMP header */
	__u32 off;      /* IPv6: from the IP header to the quoted packet's header `next` */
	__u8 next;
	__be16 l4_ports_be[2];
};

/* A walk over the rules: not on the stack, where it would stand once for each place that asks, and
 * where kernels such as 6.1 take what it starts with for what every round of bpf_loop() finds. */
struct rule_walk {
	__u32 base, gen;
	__u16 in_port, out_port;
	__u32 best_rule;
	__u8 verb;
	__u8 found;
};

struct steer_scratch {
	struct steer_pkt pkt;
	struct rule_walk walk;
	/* Arguments of helpers: each written whole before it is given away. */
	struct bpf_fib_lookup fib;
	struct xe_allow_key allow_key;
	struct xe_rule_key rule_key;
	struct xe_addr swapped;
	__u8 ext_hdr[8]; /* the beginning of an IPv6 extension header */
	struct steer_quote quote;
};

#endif
