/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* packet_fixture.h - packets to put into a lane, built byte by byte without any of its code, and
 * the checks of their checksums. */
#ifndef XE_TEST_PACKET_FIXTURE_H
#define XE_TEST_PACKET_FIXTURE_H

#include <stdbool.h>
#include <stdint.h>

#define LF_BYTES 66000u

enum lf_csum { LF_CSUM_FULL, LF_CSUM_PARTIAL, LF_CSUM_ZERO, LF_CSUM_WRONG };

/* A packet to build, IPv6 where its addresses are. Zero means the plain case. */
struct lf_spec {
	const char *src, *dst;
	uint16_t sport, dport;
	uint8_t proto; /* 0: IPPROTO_UDP */
	uint8_t tcp_flags;
	uint32_t seq, ack; /* TCP */
	uint16_t win;
	uint8_t ttl; /* 0: 64 */
	uint32_t payload_len;
	uint32_t ip_options_len, tcp_options_len; /* multiples of 4 */
	uint32_t ext_len; /* IPv6: destination options of so many bytes, a multiple of 8 */
	uint32_t padding; /* bytes behind the IP packet */
	enum lf_csum csum;
	uint32_t first_len, frame_len; /* bytes of the first and of the other frames, 0: full */
	uint16_t gso_size;
	uint16_t ip_id;
	bool may_fragment; /* no DF */
	uint8_t seed;      /* varies the payload */
};

struct lf_bytes {
	uint32_t len;
	uint8_t b[LF_BYTES];
};

/* All of a frame but its Ethernet addresses, which are the fixture's. */
void lf_build(struct lf_bytes *out, const struct lf_spec *spec);
/* The Internet checksum by the letter of RFC 1071, byte by byte; host order, not complemented. */
uint16_t lf_sum(const uint8_t *bytes, uint32_t len, uint32_t start);
/* From the IP header to the L4 header, behind extension headers; what stands there. */
uint32_t lf_l4_off(const uint8_t *ip);
uint8_t lf_proto(const uint8_t *ip);
/* Is the L4 checksum of this packet right? */
bool lf_l4_csum_valid(const uint8_t *ip);
/* The same numbers in every run. */
uint64_t lf_random(void);

#endif
