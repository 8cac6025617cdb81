/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * frames.h - packets for the steering program, built field by field.
 *
 * A builder makes a correct packet (IPv4 header checksum right; L4 checksums zero, steer does not
 * look at them) and remembers its tuple; a test then breaks the one field it is about through the
 * pointers below.
 */
#ifndef XE_TEST_FRAMES_H
#define XE_TEST_FRAMES_H

#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <stdbool.h>
#include <stdint.h>

#include "xegress/steer_abi.h"

/* A jumbo packet: more than one page, so that BPF_PROG_TEST_RUN makes frags of it. */
#define FRAME_SIZE 9216

struct frame {
	uint8_t align[2]; /* as NET_IP_ALIGN: what follows the Ethernet header is aligned to 4 */
	uint8_t b[FRAME_SIZE];
	uint32_t len;
	uint32_t l4_off;        /* bytes from the Ethernet header */
	struct xe_tuple4 tuple; /* .port is the test's to fill; IPv6 without the addresses */
	bool is_frag6;
	struct xe_addr src6, dst6;
};

/* TCP flags as they are in byte 13 of the header. */
enum { TCP_FIN = 1, TCP_SYN = 2, TCP_RST = 4, TCP_PSH = 8, TCP_ACK = 16, TCP_URG = 32 };

/* The address of every port of the tests. */
extern const uint8_t port_l2[6];

/* One flow as text; "10.1.0.5", 40000, ... */
struct flow {
	const char *src, *dst;
	uint16_t sport, dport; /* host order */
};

void frame_udp4(struct frame *f, const struct flow *fl, uint32_t payload_len);
void frame_tcp4(struct frame *f, const struct flow *fl, uint8_t flags, uint32_t payload_len);
/* Neither TCP nor UDP: 8 bytes of the protocol after the IPv4 header. */
void frame_proto4(struct frame *f, const struct flow *fl, uint8_t proto);
/* An ICMP error from src to dst that quotes the first quote_len bytes (0: all) of the IP packet in
 * `quoted`, not its padding. Its tuple is the quoted one backwards. */
void frame_error4(struct frame *f, const char *src, const char *dst, uint8_t type,
		  const struct frame *quoted, uint32_t quote_len);
void frame_error6(struct frame *f, const char *src, const char *dst, uint8_t type,
		  const struct frame *quoted, uint32_t quote_len);
void frame_udp6(struct frame *f, const struct flow *fl, uint32_t payload_len);
void frame_tcp6(struct frame *f, const struct flow *fl, uint8_t flags);
void frame_arp(struct frame *f);

/* IPv6: put one more extension header of hdr_len bytes (a multiple of 8) before the L4 header. */
void frame_add_ext(struct frame *f, uint8_t type, uint32_t hdr_len);
/* IPv4: n words of no-operation options. */
void frame_add_options(struct frame *f, uint32_t words);
/* 802.1Q tag as it is in the bytes when no offload took it out. */
void frame_add_vlan(struct frame *f, uint16_t vlan);
/* Bytes after the IP packet, as Ethernet pads short ones. */
void frame_pad(struct frame *f, uint32_t len);
/* IPv4 header checksum again, after a change. */
void frame_fix_sum(struct frame *f);

static inline struct ethhdr *frame_eth(struct frame *f)
{
	return (struct ethhdr *)f->b;
}

static inline struct iphdr *frame_ip4(struct frame *f)
{
	return (struct iphdr *)(f->b + ETH_HLEN);
}

static inline struct ipv6hdr *frame_ip6(struct frame *f)
{
	return (struct ipv6hdr *)(f->b + ETH_HLEN);
}

static inline struct tcphdr *frame_tcp(struct frame *f)
{
	return (struct tcphdr *)(f->b + f->l4_off);
}

static inline struct udphdr *frame_udp(struct frame *f)
{
	return (struct udphdr *)(f->b + f->l4_off);
}

#endif
