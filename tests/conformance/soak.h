/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * soak.h - what the parts of soak share: the flows, what each of them sends, and what was counted.
 *
 * A flow is UDP (even) or TCP (odd) and has one shape for all that it sends. What a packet is like
 * is a function of (shape, protocol, payload size) alone, its content one of (direction, size), so
 * a receiver knows all of it from the size, and two runs may be compared packet by packet.
 *
 * One thread; one socket; everything is static.
 */
#ifndef XE_TEST_SOAK_H
#define XE_TEST_SOAK_H

#include <net/ethernet.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdint.h>

#define OWN_PORT    61000 /* and FLOWS above it: L4 ports that the container's stack is kept from */
#define SERVER_PORT 6000  /* likewise at the server */
#define FLOWS       128   /* half UDP, half TCP, and of those eight of each slot of `slots` */
#define MTU         1500
#define BATCH       32   /* packets a system call */
#define CUT_MAX     4400 /* bytes of the largest datagram that is sent in fragments: four of an MTU */
#define FRAME_SIZE  66000 /* a received superpacket and its headers */

/* WITH_L4_OPTIONS is a UDP datagram without a checksum where there are no options (IPv4). */
enum shape { PLAIN, WITH_IP_OPTIONS, WITH_L4_OPTIONS, FRAGMENTS, SUPERPACKETS, SHAPES };

struct tcp {
	uint16_t sport_be, dport_be;
	uint32_t seq_be, ack_be;
	uint8_t off, flags;
	uint16_t window_be, csum_be, urgent_be;
};

struct flow {
	uint32_t seq, ack; /* next to be sent, next expected; host order */
	uint16_t peer_be;  /* reflect: the Ext L4 port */
	int open;
	uint32_t full_size, full_cnt; /* SUPERPACKETS, reflect: segments of the one that comes in */
};

extern struct soak {
	int fd, family, reflect;
	uint8_t eth[14];
	uint8_t own[16], peer[16];
	uint32_t addr_len, ip_len; /* bytes of an address, of an IP header without options */
} me;

extern struct soak_count {
	uint64_t sent, received, segments, fragments, joined; /* joined: datagrams */
	uint64_t bad_ip, bad_l4, bad_data, bad_tuple, bad_form, lost, other;
} count;

extern struct flow flows[FLOWS];
/* [1]: from the server. Size s is its last s bytes. */
extern uint8_t content[2][CUT_MAX];
/* Of each kind of packet the hash of its headers as it arrived, 0: none has. */
extern uint64_t forms[SHAPES][2][CUT_MAX + 1];
extern volatile sig_atomic_t stop;

/* ---- soak.c: what is sent is a function of these */

enum shape shape_of(uint32_t idx);
uint8_t proto_of(uint32_t idx);
/* Bytes of the largest payload (of a segment of it, for SUPERPACKETS). */
uint32_t size_max(enum shape shape, uint8_t proto);
/* Bytes of IP options (IPv6: of the destination options header), of TCP options. */
uint32_t ip_options_len(enum shape shape, uint32_t size);
uint32_t tcp_options_len(enum shape shape, uint32_t size);
/* SUPERPACKETS: segments of one whose full ones have `size` bytes, and bytes of the last. */
uint32_t super_cnt(uint32_t size);
uint32_t super_tail(uint32_t size);
/* Has the datagram no checksum? */
int is_unsummed(enum shape shape, uint8_t proto);

/* One's complement sum in host order of loading, folded. */
uint32_t sum16(const uint8_t *p, size_t len, uint64_t sum);
uint32_t pseudo_sum(const uint8_t *src, const uint8_t *dst, uint8_t proto, uint32_t l4_len);

/* ---- soak_make.c */

/* Make a packet of the flow (SUPERPACKETS: a superpacket where size > 0 and tcp_flags is no SYN)
 * and queue it; sent when a batch is full, or by flush(). Returns how many segments an answer is
 * owed to. */
uint32_t put(uint32_t idx, uint8_t tcp_flags, uint32_t size);
void flush(void);

/* ---- soak_look.c */

/* Everything that waits, answered where we reflect; returns segments. */
uint32_t receive(int wait_ms);

#endif
