// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The Internet checksum's sum by SSE2 and AVX2; insum.c chooses.
 *
 * Both work alike. PMADDWD with ones adds neighbouring 16-bit words into a 32-bit lane, but takes
 * them as signed: so each word is biased by 0x8000 first (an exclusive or), which makes each lane
 * 2 * 32768 = 65536 too small per step; that is added back once, at the end of a block. Three
 * instructions a vector, and the sum stays an exact integer: no carry is ever dropped, and the
 * sum is 0 only if every byte is 0.
 *
 * The end of a range that is no whole vector is read as the range's last whole vector, with the
 * bytes that were summed before masked off; so nothing outside the range is read and there is no
 * loop over single words. An odd last byte is taken first, by itself, so that this vector keeps
 * the words' parity.
 */
#ifdef __x86_64__

#include "base/insum.h"

#include <immintrin.h>

/*
 * Bytes between two additions into 64 bits. A lane grows by up to 131070 a step, thus 32767 steps
 * fit 32 bits; 128 KiB are 8192 steps of 16 bytes, and more than any packet has, so that
 * the loop over blocks runs once. A multiple of every vector's size.
 */
#define BLOCK_SIZE ((size_t)128 * 1024)

/*
 * Masks that keep the last n bytes of a vector: 32 bytes from tail_mask + n for AVX2, 16 bytes from
 * tail_mask + 16 + n for SSE2.
 */
static const uint8_t tail_mask[64] __attribute__((aligned(64))) = {
	[32 ... 63] = 0xff,
};

/* The last byte of an odd range as the first byte of a word that is padded with 0. */
static inline uint64_t odd_byte(const uint8_t *start, size_t len)
{
	return len & 1 ? start[len - 1] : 0;
}

static inline __m128i sse2_step(__m128i acc, __m128i bytes)
{
	__m128i biased = _mm_xor_si128(bytes, _mm_set1_epi16((short)0x8000));

	return _mm_add_epi32(acc, _mm_madd_epi16(biased, _mm_set1_epi16(1)));
}

static inline __m128i sse2_load(const uint8_t *pos)
{
	return _mm_loadu_si128((const __m128i *)(const void *)pos);
}

/* Adds up the four unsigned lanes. */
static inline uint64_t sse2_total(__m128i acc)
{
	__m128i low = _mm_and_si128(acc, _mm_set1_epi64x(0xffffffff));
	__m128i pair = _mm_add_epi64(low, _mm_srli_epi64(acc, 32));

	pair = _mm_add_epi64(pair, _mm_unpackhi_epi64(pair, pair));
	return (uint64_t)_mm_cvtsi128_si64(pair);
}

/* len is even and at most BLOCK_SIZE; the 16 bytes in front of pos + len can be read. */
static inline uint64_t sse2_block(const uint8_t *pos, size_t len)
{
	const uint8_t *end = pos + len;
	int step_cnt = (int)((len + 15) / 16);
	__m128i a = _mm_setzero_si128(), b = a, c = a, d = a;

	for (; end - pos >= 64; pos += 64) {
		a = sse2_step(a, sse2_load(pos));
		b = sse2_step(b, sse2_load(pos + 16));
		c = sse2_step(c, sse2_load(pos + 32));
		d = sse2_step(d, sse2_load(pos + 48));
	}
	for (; end - pos >= 16; pos += 16)
		a = sse2_step(a, sse2_load(pos));
	if (pos != end) {
		__m128i mask = sse2_load(tail_mask + 16 + (end - pos));

		b = sse2_step(b, _mm_and_si128(sse2_load(end - 16), mask));
	}
	a = _mm_add_epi32(_mm_add_epi32(a, b), _mm_add_epi32(c, d));
	return sse2_total(_mm_add_epi32(a, _mm_set1_epi32(step_cnt << 16)));
}

uint64_t xe_insum_sse2(const void *start, size_t len)
{
	const uint8_t *pos = start;
	uint64_t sum;

	if (len < 16)
		return xe_insum_scalar(start, len);
	sum = odd_byte(pos, len);
	len &= ~(size_t)1;
	for (; len > BLOCK_SIZE; len -= BLOCK_SIZE, pos += BLOCK_SIZE)
		sum += sse2_block(pos, BLOCK_SIZE);
	return sum + sse2_block(pos, len);
}

#define AVX2 __attribute__((target("avx2")))

AVX2 static inline __m256i avx2_step(__m256i acc, __m256i bytes)
{
	__m256i biased = _mm256_xor_si256(bytes, _mm256_set1_epi16((short)0x8000));

	return _mm256_add_epi32(acc, _mm256_madd_epi16(biased, _mm256_set1_epi16(1)));
}

AVX2 static inline __m256i avx2_load(const uint8_t *pos)
{
	return _mm256_loadu_si256((const __m256i *)(const void *)pos);
}

/* Adds up the eight unsigned lanes. */
AVX2 static inline uint64_t avx2_total(__m256i acc)
{
	__m256i low = _mm256_and_si256(acc, _mm256_set1_epi64x(0xffffffff));
	__m256i quad = _mm256_add_epi64(low, _mm256_srli_epi64(acc, 32));
	__m128i pair =
		_mm_add_epi64(_mm256_castsi256_si128(quad), _mm256_extracti128_si256(quad, 1));

	pair = _mm_add_epi64(pair, _mm_unpackhi_epi64(pair, pair));
	return (uint64_t)_mm_cvtsi128_si64(pair);
}

/* len is even and at most BLOCK_SIZE; the 32 bytes in front of pos + len can be read. */
AVX2 static inline uint64_t avx2_block(const uint8_t *pos, size_t len)
{
	const uint8_t *end = pos + len;
	int step_cnt = (int)((len + 31) / 32);
	__m256i a = _mm256_setzero_si256(), b = a, c = a, d = a;

	for (; end - pos >= 128; pos += 128) {
		a = avx2_step(a, avx2_load(pos));
		b = avx2_step(b, avx2_load(pos + 32));
		c = avx2_step(c, avx2_load(pos + 64));
		d = avx2_step(d, avx2_load(pos + 96));
	}
	for (; end - pos >= 32; pos += 32)
		a = avx2_step(a, avx2_load(pos));
	if (pos != end) {
		__m256i mask = avx2_load(tail_mask + (end - pos));

		b = avx2_step(b, _mm256_and_si256(avx2_load(end - 32), mask));
	}
	a = _mm256_add_epi32(_mm256_add_epi32(a, b), _mm256_add_epi32(c, d));
	return avx2_total(_mm256_add_epi32(a, _mm256_set1_epi32(step_cnt << 16)));
}

AVX2 uint64_t xe_insum_avx2(const void *start, size_t len)
{
	const uint8_t *pos = start;
	uint64_t sum;

	if (len < 32)
		return xe_insum_scalar(start, len);
	sum = odd_byte(pos, len);
	len &= ~(size_t)1;
	for (; len > BLOCK_SIZE; len -= BLOCK_SIZE, pos += BLOCK_SIZE)
		sum += avx2_block(pos, BLOCK_SIZE);
	return sum + avx2_block(pos, len);
}

#endif
