/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * prefix.c - addresses and prefixes as text: parsed strictly, printed so that they parse again.
 *
 * Declared in rule.h. Both families share the 128-bit form, IPv4 as ::ffff:a.b.c.d. One text has
 * one meaning: an IPv6 prefix never means IPv4, also where it holds the IPv4-mapped range, as ::/0
 * does.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "state/rule.h"

/* Bits in front of an IPv4 address in the 128-bit form. */
#define V4_MAPPED_BITS 96

static bool is_mapped(const struct xe_addr *addr)
{
	return !addr->q[0] && addr->w_be[2] == htonl(0xffff);
}

int xe_addr_parse(const char *text, struct xe_addr *addr, __u8 *family)
{
	__be32 v4_be;

	if (inet_pton(AF_INET, text, &v4_be) == 1) {
		*addr = xe_addr_v4(v4_be);
		*family = AF_INET;
		return 0;
	}
	/* ::ffff:192.0.2.1 is how we store 192.0.2.1; written out it would print as something else.
	 */
	if (inet_pton(AF_INET6, text, addr) != 1 || is_mapped(addr))
		return -EINVAL;
	*family = AF_INET6;
	return 0;
}

int xe_addr_print(const struct xe_addr *addr, char *buf, size_t size)
{
	bool v4 = is_mapped(addr);

	if (!inet_ntop(v4 ? AF_INET : AF_INET6, v4 ? (void *)&addr->w_be[3] : (void *)addr, buf,
		       size))
		return -ENOSPC;
	return (int)strlen(buf);
}

/* Zero every bit from `len` on. */
static void cut(struct xe_addr *addr, unsigned int len)
{
	for (unsigned int i = 0; i < sizeof(addr->b); i++) {
		unsigned int keep = len > i * 8 ? len - i * 8 : 0;

		if (keep < 8)
			addr->b[i] &= (__u8)(0xff00 >> keep);
	}
}

struct xe_addr xe_prefix_mask(unsigned int len)
{
	struct xe_addr mask;

	memset(&mask, 0xff, sizeof(mask));
	cut(&mask, len);
	return mask;
}

uint32_t xe_addr_range_cnt(const struct xe_addr *min, const struct xe_addr *max)
{
	int64_t cnt = 0;

	for (unsigned int i = 0; i < sizeof(min->b); i++) {
		cnt = cnt * 256 + max->b[i] - min->b[i];
		if (cnt >= UINT32_MAX) /* what follows takes at most one away */
			return UINT32_MAX;
	}
	return (uint32_t)cnt + 1;
}

struct xe_addr xe_addr_plus(const struct xe_addr *addr, __u32 n)
{
	struct xe_addr sum = *addr;
	uint64_t carry = n;

	for (int i = 15; i >= 0 && carry; i--) {
		carry += sum.b[i];
		sum.b[i] = (uint8_t)carry;
		carry >>= 8;
	}
	return sum;
}

bool xe_prefix_covers(const struct xe_prefix *prefix, const struct xe_addr *addr)
{
	struct xe_addr a = *addr;

	if (prefix->family == AF_INET6 && is_mapped(addr))
		return false; /* IPv4, which ::/0 would hold */
	cut(&a, prefix->len);
	return a.q[0] == prefix->addr.q[0] && a.q[1] == prefix->addr.q[1];
}

/* The number behind the slash: digits only, no leading zero. -1 when it is none. */
static int parse_len(const char *text, int max)
{
	int n = 0;

	if (!*text || strlen(text) > 3 || (text[0] == '0' && text[1]))
		return -1;
	for (; *text; text++) {
		if (*text < '0' || *text > '9')
			return -1;
		n = n * 10 + *text - '0';
	}
	return n <= max ? n : -1;
}

static int refuse_host_bits(const struct xe_prefix *prefix, const char *text, char *err,
			    size_t err_size)
{
	char want[INET6_ADDRSTRLEN + 4];

	xe_prefix_print(prefix, want, sizeof(want));
	snprintf(err, err_size, "`%.60s` has host bits set, expected %s", text, want);
	return -EINVAL;
}

int xe_prefix_parse(const char *text, struct xe_prefix *prefix, char *err, size_t err_size)
{
	char buf[INET6_ADDRSTRLEN];
	const char *slash = strchr(text, '/');
	size_t n = slash ? (size_t)(slash - text) : strlen(text);
	struct xe_addr given;
	int bits, len;

	memset(prefix, 0, sizeof(*prefix));
	snprintf(buf, sizeof(buf), "%.*s", (int)(n < sizeof(buf) ? n : 0), text);
	if (xe_addr_parse(buf, &given, &prefix->family)) {
		snprintf(err, err_size, "`%.60s` is no prefix, expected one such as 10.1.0.0/16",
			 text);
		return -EINVAL;
	}
	bits = prefix->family == AF_INET ? 32 : 128;
	len = slash ? parse_len(slash + 1, bits) : bits;
	if (len < 0) {
		snprintf(err, err_size, "`%.60s` has a bad prefix length, expected 0-%d", text,
			 bits);
		return -EINVAL;
	}
	prefix->len = (__u8)(128 - bits + len);
	prefix->addr = given;
	cut(&prefix->addr, prefix->len);
	if (memcmp(&prefix->addr, &given, sizeof(given)))
		return refuse_host_bits(prefix, text, err, err_size);
	return 0;
}

int xe_prefix_print(const struct xe_prefix *prefix, char *buf, size_t size)
{
	int off = prefix->family == AF_INET ? V4_MAPPED_BITS : 0;
	int n = xe_addr_print(&prefix->addr, buf, size);
	int m;

	if (n < 0 || prefix->len == 128)
		return n;
	m = snprintf(buf + n, size - (size_t)n, "/%d", prefix->len - off);
	return (size_t)(n + m) < size ? n + m : -ENOSPC;
}
