/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The Internet checksum (RFC 1071, RFC 1624): sums of bytes, and updates of checksum fields.
 *
 * Two kinds of value:
 *
 *   sum    uint64_t. Un-folded, un-complemented ones-complement sum of bytes in memory order.
 *          Sums are joined with plain + where the bytes begin at an even offset, else with
 *          xe_insum_chain(). One call over up to 64 KiB stays below 2^47, a shifted one below
 *          2^42, so tens of thousands of chunks can be joined before 64 bits are short.
 *   field  uint16_t, suffix _be. What is in the packet: stored and read without any byte swap,
 *          because a ones-complement sum taken over memory-order words comes out in memory
 *          order (RFC 1071, section 2(B)).
 *
 * Zero has two representations, 0 and 0xFFFF, which a receiver takes for the same, but UDP does
 * not (0 there is "no checksum", RFC 768). Here a sum folds to 0 only if every byte is 0; a
 * packet with its pseudo-header is never that, so its checksum is never 0xFFFF except for UDP's
 * replacement of 0. The updates below keep that: they give the very bits a recomputation gives.
 *
 * How the pipeline uses it:
 *
 *   pseudo = xe_insum_pseudo4(ip->saddr, ip->daddr, ip->protocol, l4_len);
 *   if (xe_csum_is_partial(th->check, pseudo))      offloaded by the sender: complete it
 *           th->check = xe_csum_finish(xe_insum(th, l4_len));    (its field holds the pseudo sum)
 *   else                                            update; a wrong checksum stays wrong
 *           th->check = xe_csum_apply(th->check, session delta);
 *
 * Threads: xe_insum_init() runs once before the workers start. Everything else may be called
 * from any thread at any time, takes no lock and keeps no state.
 */
#ifndef XE_BASE_INSUM_H
#define XE_BASE_INSUM_H

#include <endian.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef uint64_t xe_insum_fn(const void *start, size_t len);

/*
 * The variants. All give sums that fold to the same 16 bits, for any start alignment and any
 * length, and read no byte outside [start, start + len). start may be NULL if len is 0.
 * The scalar one may be called directly where the range is known to be short (a header).
 * The others need the CPU they name: only insum.c calls them.
 */
uint64_t xe_insum_scalar(const void *start, size_t len);
#ifdef __x86_64__
uint64_t xe_insum_sse2(const void *start, size_t len);
uint64_t xe_insum_avx2(const void *start, size_t len);
#endif

/* The variant in force; the scalar one until xe_insum_init(). Use xe_insum() and _select(). */
extern xe_insum_fn *xe_insum_current;

/* Takes the fastest variant this CPU can run. Cold; call before the workers start. */
void xe_insum_init(void);

/*
 * Takes the variant with this name ("scalar", "sse2", "avx2"), for tests and comparisons; safe
 * while workers run. 0, -ENOENT (no such variant in this build) or -ENOTSUP (not on this CPU);
 * on an error nothing changes.
 */
int xe_insum_select(const char *name);

/* Name of the variant in force, for status; a constant string. */
const char *xe_insum_name(void);

/* Name of the idx-th variant of this build, the slowest first; NULL behind the last one. */
const char *xe_insum_variant(unsigned int idx);

/* Sum of len bytes at start, as if they began at an even offset; an odd tail is padded with 0. */
static inline uint64_t xe_insum(const void *start, size_t len)
{
	return __atomic_load_n(&xe_insum_current, __ATOMIC_RELAXED)(start, len);
}

/*
 * Adds the sum of one more chunk of a packet that lies in several. offset_is_odd: the number of
 * summed bytes in front of this chunk is odd, so its bytes sit in the other half of each word.
 * Multiplying by 256 swaps the halves (2^16 = 1 modulo 0xFFFF); reducing to 33 bits first keeps
 * the result far from overflow.
 */
static inline uint64_t xe_insum_chain(uint64_t sum, uint64_t chunk_sum, bool offset_is_odd)
{
	uint64_t swapped = ((chunk_sum >> 32) + (uint32_t)chunk_sum) << 8;

	return sum + (offset_is_odd ? swapped : chunk_sum);
}

/* Folds a sum to 16 bits, not complemented. 0 only for the sum 0. */
static inline uint16_t xe_insum_fold(uint64_t sum)
{
	sum = (sum >> 32) + (uint32_t)sum;  /* <= 33 bits */
	sum = (sum >> 16) + (sum & 0xffff); /* <= 18 bits */
	sum = (sum >> 16) + (sum & 0xffff); /* <= 17 bits */
	return (uint16_t)((sum >> 16) + sum);
}

/* The same for the sum of two 16-bit values, which needs one step: twice or three times a packet.
 */
static inline uint16_t xe_insum_fold2(uint32_t sum)
{
	return (uint16_t)((sum >> 16) + sum);
}

/* The representation of zero that is not 0: for UDP fields, and for deltas (see below). */
static inline uint16_t xe_csum_nonzero(uint16_t value_be)
{
	return value_be ? value_be : 0xffff;
}

/*
 * Sum of the IPv4 pseudo-header (RFC 793, 768): addresses as in the packet, proto in one byte,
 * l4_len = bytes of L4 header and payload, host order (a superpacket's whole length).
 */
static inline uint64_t xe_insum_pseudo4(uint32_t saddr_be, uint32_t daddr_be, uint8_t proto,
					uint32_t l4_len)
{
	return (uint64_t)saddr_be + daddr_be + htobe16(proto) + htobe32(l4_len);
}

/*
 * The same for IPv6 (RFC 8200, 8.1): saddr and daddr point at 16 bytes each, of any alignment.
 * proto is the upper-layer protocol, not the next header of an extension header in between.
 */
static inline uint64_t xe_insum_pseudo6(const void *saddr, const void *daddr, uint8_t proto,
					uint32_t l4_len)
{
	uint32_t word_be[8];
	uint64_t sum = (uint64_t)htobe16(proto) + htobe32(l4_len);

	memcpy(word_be, saddr, 16);
	memcpy(word_be + 4, daddr, 16);
	for (int i = 0; i < 8; i++)
		sum += word_be[i];
	return sum;
}

/*
 * Field for a sum over everything the checksum covers, the field itself being 0 in it. Also for a
 * sum from the L4 header on if the field is partial: it then stands for the pseudo-header.
 */
static inline uint16_t xe_csum_finish(uint64_t sum)
{
	return (uint16_t)~xe_insum_fold(sum);
}

/* The same for UDP: a computed 0 is sent as 0xFFFF (RFC 768). */
static inline uint16_t xe_csum_finish_udp(uint64_t sum)
{
	return xe_csum_nonzero(xe_csum_finish(sum));
}

/*
 * Receiver's check: sum covers the pseudo-header (where there is one), all bytes and the field.
 * Not for a UDP field of 0, which says that there is no checksum.
 */
static inline bool xe_csum_is_valid(uint64_t sum)
{
	return xe_insum_fold(sum) == 0xffff;
}

/* Is the checksum of this IPv4 header right (RFC 1812 section 5.2.2)? len: a multiple of 4, 20 at
 * least; in line, for every packet is asked. */
static inline bool xe_csum_header_valid(const uint8_t *ip, uint32_t len)
{
	uint64_t a, b, sum;
	uint32_t word;

	memcpy(&a, ip, 8);
	memcpy(&b, ip + 8, 8);
	memcpy(&word, ip + 16, 4);
	sum = (a >> 32) + (uint32_t)a + (b >> 32) + (uint32_t)b + word;
	for (uint32_t i = 20; __builtin_expect(i < len, 0); i += 4) {
		memcpy(&word, ip + i, 4);
		sum += word;
	}
	/* Folded it would be 0xffff. Never 0: the version is in it. One multiplication for gcc. */
	return !(sum % 0xffff);
}

/*
 * True if the field holds just the un-complemented pseudo-header sum: the sender left the rest to
 * an offload, as containers do. Residue: a packet whose finished checksum happens to be equal is
 * taken for one, once in 65536; completing it gives the right field if the packet is intact, and
 * hides the damage if it is not. A UDP field of 0 is never partial (a pseudo-header is not all 0).
 */
static inline bool xe_csum_is_partial(uint16_t field_be, uint64_t pseudo_sum)
{
	return field_be == xe_insum_fold(pseudo_sum);
}

/*
 * Deltas (RFC 1624, equation 3: HC' = ~(~HC + ~m + m')). A delta is ~m + m' for everything that
 * changes, folded; made once per session, applied to every packet. It belongs to the change and
 * not to the packet, so it leaves the error of a damaged packet as it is.
 *
 * A delta is never 0 (no change is 0xFFFF): ~HC + delta is then never 0 either, so that apply
 * never gives 0xFFFF where recomputing gives 0. This is the fault of RFC 1141 put right.
 *
 * A session needs two: of the addresses, for the IPv4 header and for partial fields; and of
 * addresses and L4 ports (xe_csum_delta_add), for finished TCP and UDP fields. The way back has
 * the negatives.
 */

/*
 * TTL less one: the word TTL:protocol falls by 0x0100 whatever it was (if TTL > 0), and
 * ~0x0100 is 0xFEFF. Lets the header of a forwarded packet be updated in one step.
 */
#define XE_CSUM_DELTA_TTL_DEC ((uint16_t)htobe16(0xfeff))

/* A 16-bit field at an even offset changes. */
static inline uint16_t xe_csum_delta16(uint16_t old_be, uint16_t new_be)
{
	return xe_csum_nonzero(xe_insum_fold2((uint32_t)(uint16_t)~old_be + new_be));
}

/* A 32-bit field at an even offset changes. */
static inline uint16_t xe_csum_delta32(uint32_t old_be, uint32_t new_be)
{
	return xe_csum_nonzero(xe_insum_fold((uint64_t)(uint32_t)~old_be + new_be));
}

/* len bytes at an even offset change from old to new (an IPv6 address). Not for every packet. */
static inline uint16_t xe_csum_delta(const void *old, const void *new, size_t len)
{
	return xe_csum_delta16(xe_insum_fold(xe_insum_scalar(old, len)),
			       xe_insum_fold(xe_insum_scalar(new, len)));
}

/* Both changes. */
static inline uint16_t xe_csum_delta_add(uint16_t delta_a, uint16_t delta_b)
{
	return xe_csum_nonzero(xe_insum_fold2((uint32_t)delta_a + delta_b));
}

/* The change undone: the delta for the other direction of a flow. */
static inline uint16_t xe_csum_delta_neg(uint16_t delta)
{
	return xe_csum_nonzero((uint16_t)~delta);
}

/* New field for TCP, ICMP or an IPv4 header after a change. Never gives 0xFFFF. */
static inline uint16_t xe_csum_apply(uint16_t field_be, uint16_t delta)
{
	return (uint16_t)~xe_insum_fold2((uint32_t)(uint16_t)~field_be + delta);
}

/*
 * New UDP field: 0 (no checksum) stays 0, a result of 0 becomes 0xFFFF. For IPv6 as well, where
 * 0 is either RFC 6935's tunnel, which must keep it, or wrong, which must stay wrong.
 */
static inline uint16_t xe_csum_apply_udp(uint16_t field_be, uint16_t delta)
{
	return field_be ? xe_csum_nonzero(xe_csum_apply(field_be, delta)) : 0;
}

/*
 * New partial field, for a packet that is sent on with a request for completion: takes the delta
 * of the addresses alone, since a pseudo-header has no L4 ports. TCP and UDP alike.
 */
static inline uint16_t xe_csum_apply_partial(uint16_t field_be, uint16_t addr_delta)
{
	return xe_insum_fold2((uint32_t)field_be + addr_delta);
}

/* New field (as xe_csum_apply()) when one 16-bit field changes: a total length, an id, an MSS. */
static inline uint16_t xe_csum_replace16(uint16_t field_be, uint16_t old_be, uint16_t new_be)
{
	return xe_csum_apply(field_be, xe_csum_delta16(old_be, new_be));
}

/* New field (as xe_csum_apply()) when one 32-bit field changes: an address, a sequence number. */
static inline uint16_t xe_csum_replace32(uint16_t field_be, uint32_t old_be, uint32_t new_be)
{
	return xe_csum_apply(field_be, xe_csum_delta32(old_be, new_be));
}

#endif
