// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The Internet checksum: every variant against an oracle that is written in another way (the
 * big-endian word loop of RFC 1071), chunks, pseudo-headers against packets made elsewhere, and
 * the incremental updates against recomputation.
 *
 * Random numbers come from a fixed seed: a failure comes again with the same figures.
 */
#include "base/insum.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>

#define LEN_MAX     9000    /* a jumbo frame: up to here every length is tried */
#define ALIGN_CNT   64      /* a cache line: nothing in the code looks at more of an address */
#define LONG_MAX    1200001 /* ones of this length would overflow a SIMD lane; and an odd byte */
#define RANDOM_CNT  3000
#define UPDATE_CNT  1000000
#define VARIANT_MAX 8
#define DELTA_NONE  ((uint16_t)0xffff) /* of a change that changes nothing */

/* The variants this CPU can run. */
static struct variant {
	const char *name;
	xe_insum_fn *fn;
} variants[VARIANT_MAX];
static unsigned int variant_cnt;

static uint8_t content[LONG_MAX];
static uint8_t place[ALIGN_CNT + LONG_MAX + ALIGN_CNT] __attribute__((aligned(ALIGN_CNT)));

/* xorshift64* */
static uint64_t rnd(void)
{
	static uint64_t state = 0x9e3779b97f4a7c15;

	state ^= state >> 12;
	state ^= state << 25;
	state ^= state >> 27;
	return state * 0x2545f4914f6cdd1d;
}

static size_t rnd_below(size_t limit)
{
	return (size_t)((rnd() >> 32) % limit);
}

/* Random, but often one of the values around which ones-complement arithmetic goes wrong. */
static uint16_t rnd_word(void)
{
	static const uint16_t corners[] = {0, 0xffff, 1, 0xfffe, 0x00ff, 0xff00, 0x0100, 0x8000};
	uint64_t r = rnd() >> 16;

	return (r & 3) ? (uint16_t)(r >> 8) : corners[(r >> 2) & 7];
}

static void fill_random(uint8_t *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++)
		bytes[i] = (uint8_t)(rnd() >> 32);
}

/* RFC 1071 in its own words: 16-bit big-endian words, a carry added at once. Host order. */
static uint16_t oracle_add(uint16_t sum, unsigned int word)
{
	unsigned int wide = sum + word;

	return (uint16_t)(wide > 0xffff ? wide - 0xffff : wide);
}

static uint16_t oracle_sum(const uint8_t *bytes, size_t len)
{
	uint16_t sum = 0;

	for (size_t i = 0; i < len; i += 2)
		sum = oracle_add(sum, bytes[i] * 256u + (i + 1 < len ? bytes[i + 1] : 0u));
	return sum;
}

/* What a sender computes: host order. */
static uint16_t oracle_csum(const uint8_t *bytes, size_t len)
{
	return 0xffff - oracle_sum(bytes, len);
}

static void check_sum(unsigned int v, const uint8_t *start, size_t len, uint16_t expected)
{
	uint16_t got = be16toh(xe_insum_fold(variants[v].fn(start, len)));

	if (got != expected)
		fail_msg("variant %s, %zu bytes at %zu modulo 64: 0x%04x instead of 0x%04x",
			 variants[v].name, len, (size_t)((uintptr_t)start % 64), got, expected);
}

static int find_variants(void **state)
{
	(void)state;
	for (unsigned int i = 0; xe_insum_variant(i); i++) {
		if (xe_insum_select(xe_insum_variant(i)))
			continue;
		assert_true(variant_cnt < VARIANT_MAX);
		variants[variant_cnt++] = (struct variant){xe_insum_variant(i), xe_insum_current};
	}
	xe_insum_init();
	fill_random(content, sizeof(content));
	fill_random(place, sizeof(place));
	return 0;
}

static void test_variants_are_chosen_by_name(void **state)
{
	const char *best;
	unsigned int i = 0;

	(void)state;
	xe_insum_init();
	best = xe_insum_name();
	assert_int_equal(xe_insum_select("mmx"), -ENOENT);
	assert_int_equal(xe_insum_select(""), -ENOENT);
	assert_string_equal(xe_insum_name(), best);
	for (; xe_insum_variant(i); i++) {
		int err = xe_insum_select(xe_insum_variant(i));

		assert_true(err == 0 || err == -ENOTSUP);
		if (!err) {
			assert_string_equal(xe_insum_name(), xe_insum_variant(i));
			assert_int_equal(be16toh(xe_insum_fold(xe_insum("\x12\x34\x56", 3))),
					 0x6834);
		}
	}
	assert_null(xe_insum_variant(i + 1));
	assert_string_equal(xe_insum_variant(0), "scalar");
#ifdef __x86_64__
	assert_int_equal(i, 3);
	assert_true(variant_cnt >= 2);
	assert_string_equal(best, __builtin_cpu_supports("avx2") ? "avx2" : "sse2");
#endif
	xe_insum_init();
	assert_string_equal(xe_insum_name(), best);
}

/* The example of RFC 1071, section 3, and the least there is. */
static void test_known_sums(void **state)
{
	static const uint8_t rfc1071[] = {0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7};

	(void)state;
	for (unsigned int v = 0; v < variant_cnt; v++) {
		check_sum(v, rfc1071, sizeof(rfc1071), 0xddf2);
		check_sum(v, rfc1071 + 2, 1, 0xf200);
		check_sum(v, rfc1071, 0, 0);
		check_sum(v, NULL, 0, 0);
	}
}

/* Every length with every alignment. What lies behind the range is not 0, so it would show. */
static void test_every_length_and_alignment(void **state)
{
	static uint16_t expected[LEN_MAX + 1];

	(void)state;
	for (size_t len = 0; len <= LEN_MAX; len++)
		expected[len] = oracle_sum(content, len);
	for (size_t align = 0; align < ALIGN_CNT; align++) {
		memcpy(place + align, content, LEN_MAX + 1);
		for (unsigned int v = 0; v < variant_cnt; v++) {
			for (size_t len = 0; len <= LEN_MAX; len++)
				check_sum(v, place + align, len, expected[len]);
		}
	}
}

/* All ones overflow whatever can overflow; all zeros must give 0 and not 0xFFFF. */
static void test_extreme_bytes(void **state)
{
	(void)state;
	for (unsigned int v = 0; v < variant_cnt; v++) {
		for (size_t len = 0; len <= LONG_MAX; len = len < 700 ? len + 1 : len * 2 - 699) {
			memset(place, 0xff, len + 2);
			check_sum(v, place + 1, len, oracle_sum(place + 1, len));
			memset(place + 1, 0, len);
			assert_int_equal(variants[v].fn(place + 1, len), 0);
		}
		memset(place, 0xff, sizeof(place));
		check_sum(v, place + 3, LONG_MAX, oracle_sum(place + 3, LONG_MAX));
		/* The promise of insum.h on which the plain addition of sums rests. */
		assert_true(variants[v].fn(place, 65536) < (uint64_t)1 << 47);
	}
}

static void test_random_ranges(void **state)
{
	(void)state;
	fill_random(place, sizeof(place));
	for (int i = 0; i < RANDOM_CNT; i++) {
		size_t max = i % 100 ? 66000 : LONG_MAX;
		size_t len = rnd_below(i % 3 ? 2000 : max);
		const uint8_t *start = place + rnd_below(sizeof(place) - len);
		uint16_t expected = oracle_sum(start, len);

		for (unsigned int v = 0; v < variant_cnt; v++)
			check_sum(v, start, len, expected);
	}
}

/* Ranges that touch an unmapped page with their start, and with their end: a read beyond dies. */
static void test_nothing_outside_is_read(void **state)
{
	size_t page_size = (size_t)sysconf(_SC_PAGESIZE);
	size_t room_size = (LEN_MAX / page_size + 1) * page_size;
	uint8_t *map = mmap(NULL, room_size + 2 * page_size, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint8_t *room = map + page_size;

	(void)state;
	assert_true(map != MAP_FAILED);
	memcpy(room, content, room_size);
	assert_int_equal(mprotect(map, page_size, PROT_NONE), 0);
	assert_int_equal(mprotect(room + room_size, page_size, PROT_NONE), 0);
	for (size_t len = 0; len <= LEN_MAX; len++) {
		const uint8_t *at_end = room + room_size - len;
		uint16_t sum_start = oracle_sum(room, len), sum_end = oracle_sum(at_end, len);

		for (unsigned int v = 0; v < variant_cnt; v++) {
			check_sum(v, room, len, sum_start);
			check_sum(v, at_end, len, sum_end);
		}
	}
	munmap(map, room_size + 2 * page_size);
}

/* A packet in chunks of any length, empty ones too, each in a place of its own. */
static void test_chunks_make_the_whole(void **state)
{
	(void)state;
	for (int i = 0; i < RANDOM_CNT; i++) {
		size_t len = rnd_below(i % 10 ? 3000 : 65536);
		size_t chunk_max = i % 2 ? 40 : 5000;
		const uint8_t *packet = content + rnd_below(LONG_MAX - len);
		uint64_t sum = 0;

		assert_int_equal(xe_insum_select(variants[(unsigned int)i % variant_cnt].name), 0);
		for (size_t done = 0, chunk_len; done < len; done += chunk_len) {
			chunk_len = rnd_below(chunk_max);
			if (chunk_len > len - done)
				chunk_len = len - done;
			uint8_t *chunk = place + rnd_below(ALIGN_CNT);

			memcpy(chunk, packet + done, chunk_len);
			sum = xe_insum_chain(sum, xe_insum(chunk, chunk_len), done & 1);
		}
		if (be16toh(xe_insum_fold(sum)) != oracle_sum(packet, len))
			fail_msg("%s: chunks up to %zu of %zu bytes", xe_insum_name(), chunk_max,
				 len);
	}
	xe_insum_init();
}

/* 64 KiB of ones byte by byte: the largest sums that a chain of this length can have. */
static void test_chain_of_single_bytes(void **state)
{
	uint64_t sum = 0, zero_sum = 0;

	(void)state;
	for (size_t i = 0; i < 65535; i++) {
		sum = xe_insum_chain(sum, xe_insum("\xff", 1), i & 1);
		zero_sum = xe_insum_chain(zero_sum, xe_insum("", 1), i & 1);
	}
	assert_int_equal(be16toh(xe_insum_fold(sum)),
			 0xff00); /* 32767 times 0xFFFF, and the last */
	assert_int_equal(zero_sum, 0);
	assert_int_equal(xe_insum_fold(xe_insum_chain(0, UINT64_MAX, true)), 0xffff);
}

static void test_fold(void **state)
{
	static const uint64_t corners[] = {
		0,
		1,
		0xffff,
		0x10000,
		0x1fffe,
		0xfffeffff,
		UINT64_MAX,
		0xffff0000,
		0xffff0001,
		0xffffffff,
		0x1fffffffe,
		UINT64_MAX - 1,
		0xffffffff00010000,
		INT64_MAX,
	};

	(void)state;
	for (int i = 0; i < 100000; i++) {
		size_t corner_cnt = sizeof(corners) / sizeof(corners[0]);
		uint64_t sum = (size_t)i < corner_cnt ? corners[i] : rnd() >> rnd_below(64);
		uint64_t residue = sum % 0xffff; /* folding is reduction modulo 0xFFFF */

		assert_int_equal(xe_insum_fold(sum), sum && !residue ? 0xffff : residue);
	}
}

/* Packets with checksums made by another program. */
static const struct {
	size_t len;
	size_t l4_offset;
	size_t field_offset; /* of the checksum, from l4_offset */
	const char *bytes;
} packets[] = {
	{50, 20, 16, /* IPv4, TCP, ten bytes */
	 "\x45\x00\x00\x32\x12\x34\x00\x00\x40\x06\x7c\x56\xc0\x00\x02\x01\xc6\x33\x64\x07"
	 "\x9c\x40\x01\xbb\x01\x02\x03\x04\xde\xad\xbe\xef\x50\x18\x01\xf5\xb9\x20\x00\x00"
	 "\x68\x65\x6c\x6c\x6f\x2c\x20\x6f\x64\x64"},
	{31, 20, 6, /* IPv4, UDP, three bytes */
	 "\x45\x00\x00\x1f\x00\x01\x00\x00\x3f\x11\x35\xc1\x0a\x01\x00\x02\xcb\x00\x71\x09"
	 "\x14\xe9\x00\x35\x00\x0b\xa7\xab\xff\x00\xfe"},
	{53, 40, 6, /* IPv6, UDP, five bytes */
	 "\x60\x00\x00\x00\x00\x0d\x11\x40\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00"
	 "\x00\x00\x00\x01\x20\x01\x0d\xb8\xff\xff\x00\x00\x00\x00\x00\x00\x00\x00\x00\x25"
	 "\x04\xd2\xff\xff\x00\x0d\x75\xa3\x61\x62\x63\x64\x65"},
};

#define PACKET_CNT (sizeof(packets) / sizeof(packets[0]))

static uint64_t packet_pseudo(const uint8_t *ip, size_t l4_len)
{
	uint32_t saddr_be, daddr_be;

	if (ip[0] >> 4 == 6)
		return xe_insum_pseudo6(ip + 8, ip + 24, ip[6], (uint32_t)l4_len);
	memcpy(&saddr_be, ip + 12, 4);
	memcpy(&daddr_be, ip + 16, 4);
	return xe_insum_pseudo4(saddr_be, daddr_be, ip[9], (uint32_t)l4_len);
}

static void test_packets_made_elsewhere(void **state)
{
	(void)state;
	assert_true(xe_csum_is_valid(xe_insum(packets[0].bytes, 20)));
	assert_true(xe_csum_is_valid(xe_insum(packets[1].bytes, 20)));
	for (size_t i = 0; i < PACKET_CNT; i++) {
		uint8_t copy[64];
		uint8_t *l4 = copy + packets[i].l4_offset;
		uint8_t *field = l4 + packets[i].field_offset;
		size_t l4_len = packets[i].len - packets[i].l4_offset;
		uint64_t pseudo;
		uint16_t right_be, partial_be;

		memcpy(copy, packets[i].bytes, packets[i].len);
		memcpy(&right_be, field, 2);
		pseudo = packet_pseudo(copy, l4_len);
		assert_true(xe_csum_is_valid(pseudo + xe_insum(l4, l4_len)));
		assert_false(xe_csum_is_partial(right_be, pseudo));

		/* As an offloading sender leaves it, and completed. */
		partial_be = xe_insum_fold(pseudo);
		memcpy(field, &partial_be, 2);
		assert_true(xe_csum_is_partial(partial_be, pseudo));
		assert_false(xe_csum_is_partial((uint16_t)~partial_be, pseudo));
		assert_false(xe_csum_is_partial(0, pseudo));
		assert_int_equal(xe_csum_finish(xe_insum(l4, l4_len)), right_be);

		/* From nothing. */
		memset(field, 0, 2);
		assert_int_equal(xe_csum_finish_udp(pseudo + xe_insum(l4, l4_len)), right_be);

		l4[l4_len - 1] ^= 0x10;
		memcpy(field, &right_be, 2);
		assert_false(xe_csum_is_valid(pseudo + xe_insum(l4, l4_len)));
	}
}

/* The pseudo-headers written out as bytes, addresses at odd places, lengths over 16 bits. */
static void test_pseudo_headers(void **state)
{
	(void)state;
	for (int i = 0; i < 100000; i++) {
		uint8_t bytes[1 + 40], *pseudo = bytes + 1;
		uint32_t saddr_be, daddr_be, len_be;
		uint32_t l4_len = i % 2 ? (uint32_t)rnd_below(65536) : (uint32_t)rnd();
		uint8_t proto = (uint8_t)rnd();

		for (int w = 0; w < 16; w++)
			memcpy(pseudo + 2 * w, &(uint16_t){rnd_word()}, 2);
		len_be = htobe32(l4_len);
		memcpy(pseudo + 32, &len_be, 4);
		memcpy(pseudo + 36, (uint8_t[]){0, 0, 0, proto}, 4);
		assert_int_equal(be16toh(xe_insum_fold(
					 xe_insum_pseudo6(pseudo, pseudo + 16, proto, l4_len))),
				 oracle_sum(pseudo, 40));

		l4_len &= 0xffff;
		memcpy(&saddr_be, pseudo, 4);
		memcpy(&daddr_be, pseudo + 4, 4);
		memcpy(pseudo + 8, (uint8_t[]){0, proto, (uint8_t)(l4_len >> 8), (uint8_t)l4_len},
		       4);
		assert_int_equal(
			be16toh(xe_insum_fold(xe_insum_pseudo4(saddr_be, daddr_be, proto, l4_len))),
			oracle_sum(pseudo, 12));
	}
}

static void test_udp_zero(void **state)
{
	uint64_t zero_result = htobe16(0x1234) + htobe16(0xedcb); /* folds to 0xFFFF */

	(void)state;
	assert_int_equal(xe_csum_finish(zero_result), 0);
	assert_int_equal(xe_csum_finish_udp(zero_result), 0xffff);
	assert_int_equal(xe_csum_finish_udp(htobe16(0x1234)), htobe16(0xedcb));
	for (uint32_t delta = 1; delta <= 0xffff; delta++) {
		assert_int_equal(xe_csum_apply_udp(0, (uint16_t)delta), 0);
		assert_int_not_equal(xe_csum_apply_udp((uint16_t)delta, (uint16_t)delta), 0);
		assert_int_not_equal(xe_csum_apply((uint16_t)delta, (uint16_t)delta), 0xffff);
	}
	assert_int_equal(xe_csum_apply_udp(0xffff, DELTA_NONE), 0xffff);
}

/*
 * What is rewritten in the property tests: a pseudo-header and a UDP header with some payload, as
 * words in memory order. The protocol (offset 8) stays, so the whole is never all zeros.
 */
#define WORD_CNT 18
#define SADDR    0 /* word index */
#define PROTO    4
#define SPORT    6

static void random_words(uint16_t *words_be)
{
	for (int i = 0; i < WORD_CNT; i++)
		words_be[i] = rnd_word();
	words_be[PROTO] = htobe16(17);
}

/* What a translation changes: an address and an L4 port. */
static void change_words(uint16_t *words_be)
{
	words_be[SADDR] = rnd_word();
	words_be[SADDR + 1] = rnd_word();
	words_be[SPORT] = rnd_word();
}

static uint16_t recomputed_be(const uint16_t *words_be)
{
	return htobe16(oracle_csum((const uint8_t *)words_be, WORD_CNT * 2));
}

static uint32_t word32_at(const uint16_t *words_be)
{
	uint32_t value_be;

	memcpy(&value_be, words_be, 4);
	return value_be;
}

/* Puts words that make the checksum before or after the change 0: the corner that matters. */
static void aim_at_zero(uint16_t *words_be)
{
	uint16_t sum;

	words_be[WORD_CNT - 1] = 0;
	sum = oracle_sum((const uint8_t *)words_be, WORD_CNT * 2);
	words_be[WORD_CNT - 1] = htobe16(0xffff - sum);
}

static uint16_t translation_delta(const uint16_t *old_be, const uint16_t *new_be)
{
	return xe_csum_delta_add(
		xe_csum_delta32(word32_at(old_be + SADDR), word32_at(new_be + SADDR)),
		xe_csum_delta16(old_be[SPORT], new_be[SPORT]));
}

static void check_update(const uint16_t *old_be, const uint16_t *new_be)
{
	uint16_t before_be = recomputed_be(old_be), after_be = recomputed_be(new_be);
	uint32_t old_addr_be = word32_at(old_be + SADDR), new_addr_be = word32_at(new_be + SADDR);
	uint16_t addr_delta = xe_csum_delta32(old_addr_be, new_addr_be);
	uint16_t delta = translation_delta(old_be, new_be);
	uint16_t step_be = xe_csum_replace32(before_be, old_addr_be, new_addr_be);

	assert_int_equal(xe_csum_replace16(step_be, old_be[SPORT], new_be[SPORT]), after_be);
	assert_int_equal(xe_csum_apply(before_be, delta), after_be);
	assert_int_equal(xe_csum_apply(before_be, xe_csum_delta(old_be, new_be, WORD_CNT * 2)),
			 after_be);
	assert_int_equal(xe_csum_apply(after_be, xe_csum_delta_neg(delta)), before_be);
	assert_int_equal(xe_csum_apply_udp(xe_csum_nonzero(before_be), delta),
			 xe_csum_nonzero(after_be));
	assert_int_not_equal(delta, 0);

	/* The first 12 bytes are the pseudo-header: a partial field after the same change. */
	assert_int_equal(
		xe_csum_apply_partial(xe_insum_fold(xe_insum_scalar(old_be, 12)), addr_delta),
		xe_insum_fold(xe_insum_scalar(new_be, 12)));
}

static void test_update_is_recomputation(void **state)
{
	int from_zero_cnt = 0, to_zero_cnt = 0;

	(void)state;
	for (int i = 0; i < UPDATE_CNT; i++) {
		uint16_t old_be[WORD_CNT], new_be[WORD_CNT];

		random_words(old_be);
		if (i % 8 == 0)
			aim_at_zero(old_be);
		memcpy(new_be, old_be, sizeof(new_be));
		if (i % 16 != 1) /* else nothing changes */
			change_words(new_be);
		if (i % 8 == 4) {
			aim_at_zero(new_be);
			old_be[WORD_CNT - 1] = new_be[WORD_CNT - 1];
		}
		check_update(old_be, new_be);
		from_zero_cnt += recomputed_be(old_be) == 0;
		to_zero_cnt += recomputed_be(new_be) == 0;
	}
	assert_true(from_zero_cnt >= UPDATE_CNT / 8 && to_zero_cnt >= UPDATE_CNT / 8);
}

/* How far a field is from right, modulo 0xFFFF; 0 = valid. By division, unlike the code. */
static uint32_t residue(const uint16_t *words_be, uint16_t field_be)
{
	uint32_t sum = be16toh(field_be);

	for (int i = 0; i < WORD_CNT; i++)
		sum += be16toh(words_be[i]);
	return sum % 0xffff;
}

/* A damaged packet leaves exactly as damaged as it came: the receiver still finds it. */
static void test_wrong_stays_wrong(void **state)
{
	(void)state;
	for (int i = 0; i < UPDATE_CNT; i++) {
		uint16_t old_be[WORD_CNT], new_be[WORD_CNT], field_be = rnd_word(), delta;
		uint32_t error;

		random_words(old_be);
		memcpy(new_be, old_be, sizeof(new_be));
		change_words(new_be);
		delta = translation_delta(old_be, new_be);
		error = residue(old_be, field_be);
		assert_int_equal(residue(new_be, xe_csum_apply(field_be, delta)), error);
		if (field_be)
			assert_int_equal(residue(new_be, xe_csum_apply_udp(field_be, delta)),
					 error);
		assert_int_equal(xe_csum_is_valid(xe_insum(new_be, WORD_CNT * 2) +
						  xe_csum_apply(field_be, delta)),
				 error == 0);
	}
}

/* Every field with a delta of every kind: the two loops above only sample these. */
static void test_every_field(void **state)
{
	static const uint16_t deltas[] = {1,      0x8000, 0xfffe, 0xffff,
					  0x0100, 0x1234, 0xfeff, 0xfffd};

	(void)state;
	for (uint32_t field = 0; field <= 0xffff; field++) {
		for (size_t i = 0; i < sizeof(deltas) / sizeof(deltas[0]); i++) {
			uint16_t got = xe_csum_apply((uint16_t)field, deltas[i]);

			/* Adding to the complement is subtracting from the field. */
			assert_int_equal((got + deltas[i]) % 0xffff, field % 0xffff);
			assert_int_not_equal(got, 0xffff);
		}
	}
	/* RFC 1624, section 4: RFC 1141's equation gives 0xFFFF here. */
	assert_int_equal(xe_csum_replace16(htobe16(0xdd2f), htobe16(0x5555), htobe16(0x3285)), 0);
	assert_int_equal(xe_csum_delta16(0xffff, 0), DELTA_NONE);
	assert_int_equal(xe_csum_delta16(0, 0xffff), DELTA_NONE);
	assert_int_equal(xe_csum_delta16(0x1234, 0x1234), DELTA_NONE);
	assert_int_equal(xe_csum_delta32(0xffffffff, 0), DELTA_NONE);
	assert_int_equal(xe_csum_delta32(0, 0), DELTA_NONE);
	assert_int_equal(xe_csum_delta_neg(DELTA_NONE), DELTA_NONE);
	assert_int_equal(xe_csum_delta("", "", 0), DELTA_NONE);
}

/* Both protocols, each TTL that can be decremented, on a header made elsewhere. */
static void test_ttl_decrement(void **state)
{
	(void)state;
	for (unsigned int ttl = 1; ttl < 256; ttl++) {
		for (size_t i = 0; i < 2; i++) {
			uint8_t header[20];
			uint16_t field_be;

			memcpy(header, packets[i].bytes, 20);
			memset(header + 10, 0, 2);
			header[8] = (uint8_t)ttl;
			field_be = htobe16(oracle_csum(header, 20));
			header[8]--;
			assert_int_equal(xe_csum_apply(field_be, XE_CSUM_DELTA_TTL_DEC),
					 htobe16(oracle_csum(header, 20)));
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_variants_are_chosen_by_name),
		cmocka_unit_test(test_known_sums),
		cmocka_unit_test(test_every_length_and_alignment),
		cmocka_unit_test(test_extreme_bytes),
		cmocka_unit_test(test_random_ranges),
		cmocka_unit_test(test_nothing_outside_is_read),
		cmocka_unit_test(test_chunks_make_the_whole),
		cmocka_unit_test(test_chain_of_single_bytes),
		cmocka_unit_test(test_fold),
		cmocka_unit_test(test_packets_made_elsewhere),
		cmocka_unit_test(test_pseudo_headers),
		cmocka_unit_test(test_udp_zero),
		cmocka_unit_test(test_update_is_recomputation),
		cmocka_unit_test(test_wrong_stays_wrong),
		cmocka_unit_test(test_every_field),
		cmocka_unit_test(test_ttl_decrement),
	};

	return cmocka_run_group_tests(tests, find_variants, NULL);
}
