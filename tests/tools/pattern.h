/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * pattern.h - what the generators of tests/tools send, and how a receiver knows it is intact.
 *
 * Content is a function of (key, byte offset) alone, so a receiver makes what it should have got
 * and compares every byte: a shifted, cut or repeated piece is seen where it is, and no sender has
 * to keep what it sent. On top, both ends hash what passed through them and exchange the hash.
 */
#ifndef XE_TEST_PATTERN_H
#define XE_TEST_PATTERN_H

#include <stdint.h>
#include <string.h>
#include <time.h>

/* splitmix64 (Steele, Lea, Flood 2014): every counter value gives an unrelated word, which lets
 * content begin at any offset. */
static inline uint64_t pattern_word(uint64_t key, uint64_t idx)
{
	uint64_t z = key + (idx + 1) * 0x9e3779b97f4a7c15ull;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return z ^ (z >> 31);
}

/* Write the `len` bytes of stream `key` that begin at byte `off`. */
static inline void pattern_fill(uint8_t *buf, size_t len, uint64_t key, uint64_t off)
{
	size_t done = 0;

	while (done < len) {
		uint64_t at = off + done;
		uint64_t word = pattern_word(key, at / 8);
		size_t skip = at % 8;
		size_t n = 8 - skip < len - done ? 8 - skip : len - done;

		memcpy(buf + done, (uint8_t *)&word + skip, n);
		done += n;
	}
}

/* FNV-1a, 64 bits; start with PATTERN_HASH_START. Cuts between calls don't matter. */
#define PATTERN_HASH_START 0xcbf29ce484222325ull
static inline uint64_t pattern_hash(uint64_t hash, const uint8_t *buf, size_t len)
{
	for (size_t i = 0; i < len; i++)
		hash = (hash ^ buf[i]) * 0x100000001b3ull;
	return hash;
}

static inline uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000ull + (uint64_t)ts.tv_nsec;
}

/*
 * A datagram: from 8 bytes on it starts with magic and sequence number (host order: both ends are
 * this machine), the rest is the stream keyed by the sequence number. Below 8 bytes there is no
 * room for a number: content is the stream keyed by the length.
 */
#define DGRAM_MAGIC 0x58455544u
struct dgram_head {
	uint32_t magic;
	uint32_t seq;
};

static inline void dgram_make(uint8_t *buf, size_t len, uint32_t seq)
{
	struct dgram_head head = {DGRAM_MAGIC, seq};

	if (len < sizeof(head)) {
		pattern_fill(buf, len, len, 0);
		return;
	}
	memcpy(buf, &head, sizeof(head));
	pattern_fill(buf + sizeof(head), len - sizeof(head), 1000 + seq, 0);
}

/* Is it one of ours, every byte? *seq is set from 8 bytes on. `scratch` holds len bytes. */
static inline int dgram_intact(const uint8_t *buf, size_t len, uint8_t *scratch, uint32_t *seq)
{
	struct dgram_head head = {DGRAM_MAGIC, 0};

	if (len >= sizeof(head)) {
		memcpy(&head, buf, sizeof(head));
		*seq = head.seq;
	}
	dgram_make(scratch, len, head.seq);
	return memcmp(buf, scratch, len) == 0;
}

/*
 * A round of a TCP connection (tcp_many.c): the client sends this head and up_len bytes of stream
 * `key`; the server sends down_len bytes of stream round_down_key(key), which is another one, so
 * that an echo is not mistaken for a download; then the hash of what it got, 8 bytes.
 */
#define ROUND_MAGIC 0x584554435030314full
struct round_head {
	uint64_t magic, key, up_len, down_len;
};

static inline uint64_t round_down_key(uint64_t key)
{
	return key ^ 0xd0ull << 56;
}

#endif
