/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What every load generator and its counterpart share: the clock, the end of a run (after -t
 * seconds, or by SIGTERM, which is as good an end), addresses and ranges of L4 ports in options.
 */
#ifndef XE_BENCH_LOAD_H
#define XE_BENCH_LOAD_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <time.h>

#define NS_PER_S 1000000000ull

struct l4_range {
	uint32_t lo, hi; /* both included */
};

union sock_addr {
	struct sockaddr sa;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
};

static inline uint64_t xe_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

/* Takes SIGTERM and SIGINT, ignores SIGPIPE; the run ends `seconds` from now (0: by signal only).
 */
void xe_load_begin(double seconds);
/* Is the run over? The second asks without reading the clock again. */
bool xe_load_over(void);
bool xe_load_over_at(uint64_t now_ns);
/* Sleeps until then (CLOCK_MONOTONIC) or until a signal comes; to about 5 us, not to 55. */
void xe_load_sleep_until(uint64_t when_ns);
/* As many files as the hard limit allows; says how many. */
uint32_t xe_load_files(void);

/* Options: these name what is wrong on stderr and exit with 2. */
struct l4_range xe_arg_range(const char *text, char option);
uint64_t xe_arg_number(const char *text, char option, uint64_t low, uint64_t high);
double xe_arg_seconds(const char *text);
union sock_addr xe_arg_addr(const char *text, char option);

socklen_t xe_addr_len(const union sock_addr *addr);
void xe_addr_l4_port(union sock_addr *addr, uint16_t l4_port);

/* Names the call that failed, and its errno, on stderr; -1. */
int xe_load_fail(const char *what);

#endif
