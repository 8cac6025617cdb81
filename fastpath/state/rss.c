/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "state/rss.h"

/* The 32 bits of the key from this bit on. */
static uint32_t key_window(const uint8_t *key, uint32_t bit)
{
	uint64_t v = 0;

	for (int i = 0; i < 5; i++)
		v = v << 8 | key[bit / 8 + (uint32_t)i];
	return (uint32_t)(v >> (8 - bit % 8));
}

void xe_rss_set_key(struct xe_rss *rss, const uint8_t *key)
{
	uint8_t long_key[XE_RSS_KEY_MIN + 1] = {}; /* the last window ends in the byte before */

	for (int i = 0; i < XE_RSS_KEY_MIN; i++)
		long_key[i] = key[i];
	for (uint32_t byte = 0; byte < XE_RSS_INPUT6; byte++)
		for (uint32_t value = 0; value < 256; value++) {
			uint32_t hash = 0;

			for (uint32_t b = 0; b < 8; b++)
				if (value >> (7 - b) & 1)
					hash ^= key_window(long_key, byte * 8 + b);
			rss->table[byte][value] = hash;
		}
}
