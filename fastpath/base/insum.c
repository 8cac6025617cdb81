// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The scalar sum, and the choice of a variant at run time. The scalar sum is what the others are
 * tested against, what they use for short ranges, and what runs on a CPU without a variant.
 */
#include "base/insum.h"

#include <errno.h>

struct insum_variant {
	const char *name;
	xe_insum_fn *fn;
	bool (*is_supported)(void);
};

static bool always(void)
{
	return true;
}

#ifdef __x86_64__
/* The builtin also asks whether the kernel saves the wide registers (XGETBV). */
static bool has_avx2(void)
{
	__builtin_cpu_init();
	return __builtin_cpu_supports("avx2");
}
#endif

/* The slowest first: xe_insum_init() takes the last one that is supported. */
static const struct insum_variant variants[] = {
	{"scalar", xe_insum_scalar, always},
#ifdef __x86_64__
	{"sse2", xe_insum_sse2, always}, /* part of x86-64 itself */
	{"avx2", xe_insum_avx2, has_avx2},
#endif
};

#define VARIANT_CNT (sizeof(variants) / sizeof(variants[0]))

xe_insum_fn *xe_insum_current = xe_insum_scalar;

/*
 * Eight bytes a step, as two 32-bit words into two 64-bit sums: no carry can get lost, so nothing
 * has to be caught (below 2^34 bytes). Ones-complement sums of 16-bit words may be taken
 * over wider words (RFC 1071, section 2(C)).
 */
uint64_t xe_insum_scalar(const void *start, size_t len)
{
	const uint8_t *pos = start;
	uint64_t low = 0, high = 0, word;
	uint32_t word4;
	uint16_t word2;

	for (; len >= 8; len -= 8, pos += 8) {
		memcpy(&word, pos, 8);
		low += (uint32_t)word;
		high += word >> 32;
	}
	low += high;
	if (len & 4) {
		memcpy(&word4, pos, 4);
		low += word4;
		pos += 4;
	}
	if (len & 2) {
		memcpy(&word2, pos, 2);
		low += word2;
		pos += 2;
	}
	if (len & 1) {
		word2 = 0;
		memcpy(&word2, pos, 1); /* the first byte in memory, whatever the byte order */
		low += word2;
	}
	return low;
}

void xe_insum_init(void)
{
	for (size_t i = VARIANT_CNT; i-- > 0;) {
		if (variants[i].is_supported()) {
			__atomic_store_n(&xe_insum_current, variants[i].fn, __ATOMIC_RELAXED);
			return;
		}
	}
}

int xe_insum_select(const char *name)
{
	for (size_t i = 0; i < VARIANT_CNT; i++) {
		if (strcmp(name, variants[i].name))
			continue;
		if (!variants[i].is_supported())
			return -ENOTSUP;
		__atomic_store_n(&xe_insum_current, variants[i].fn, __ATOMIC_RELAXED);
		return 0;
	}
	return -ENOENT;
}

const char *xe_insum_name(void)
{
	xe_insum_fn *fn = __atomic_load_n(&xe_insum_current, __ATOMIC_RELAXED);

	for (size_t i = 0; i < VARIANT_CNT; i++) {
		if (variants[i].fn == fn)
			return variants[i].name;
	}
	return "unknown";
}

const char *xe_insum_variant(unsigned int idx)
{
	return idx < VARIANT_CNT ? variants[idx].name : NULL;
}
