// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "load.h"

#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>

static volatile sig_atomic_t stopped;
static uint64_t end_ns;

static void on_signal(int sig)
{
	(void)sig;
	stopped = 1;
}

void xe_load_begin(double seconds)
{
	struct sigaction act = {.sa_handler = on_signal}; /* no SA_RESTART: a wait has to end */

	sigaction(SIGTERM, &act, NULL);
	sigaction(SIGINT, &act, NULL);
	act.sa_handler = SIG_IGN;
	sigaction(SIGPIPE, &act, NULL);
	prctl(PR_SET_TIMERSLACK, 1); /* else the kernel adds up to 50 us to every sleep */
	end_ns = seconds > 0 ? xe_now_ns() + (uint64_t)(seconds * 1e9) : UINT64_MAX;
}

bool xe_load_over_at(uint64_t now_ns)
{
	return stopped || now_ns >= end_ns;
}

bool xe_load_over(void)
{
	return xe_load_over_at(xe_now_ns());
}

void xe_load_sleep_until(uint64_t when_ns)
{
	struct timespec ts;

	when_ns = when_ns < end_ns ? when_ns : end_ns;
	ts.tv_sec = (time_t)(when_ns / NS_PER_S);
	ts.tv_nsec = (long)(when_ns % NS_PER_S);
	clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL);
}

uint32_t xe_load_files(void)
{
	struct rlimit lim = {0};

	getrlimit(RLIMIT_NOFILE, &lim);
	lim.rlim_cur = lim.rlim_max;
	setrlimit(RLIMIT_NOFILE, &lim);
	return lim.rlim_cur > 1u << 24 ? 1u << 24 : (uint32_t)lim.rlim_cur;
}

static _Noreturn void bad(const char *text, char option, const char *wanted)
{
	fprintf(stderr, "-%c: `%s` is not %s\n", option, text, wanted);
	exit(2);
}

uint64_t xe_arg_number(const char *text, char option, uint64_t low, uint64_t high)
{
	char *end, wanted[64];
	uint64_t n;

	errno = 0;
	n = strtoull(text, &end, 10);
	if (errno || end == text || *end || n < low || n > high) {
		snprintf(wanted, sizeof(wanted), "a number of %llu to %llu",
			 (unsigned long long)low, (unsigned long long)high);
		bad(text, option, wanted);
	}
	return n;
}

struct l4_range xe_arg_range(const char *text, char option)
{
	struct l4_range r = {0};
	int len = 0;

	if (sscanf(text, "%u%n-%u%n", &r.lo, &len, &r.hi, &len) < 2)
		r.hi = r.lo;
	if (!len || text[len] || !r.lo || r.lo > r.hi || r.hi > UINT16_MAX)
		bad(text, option, "PORT or PORT-PORT");
	return r;
}

double xe_arg_seconds(const char *text)
{
	char *end;
	double s = strtod(text, &end);

	if (end == text || *end || !(s >= 0 && s <= 86400))
		bad(text, 't', "seconds, up to a day");
	return s;
}

union sock_addr xe_arg_addr(const char *text, char option)
{
	union sock_addr a = {0};

	if (inet_pton(AF_INET, text, &a.in.sin_addr) == 1)
		a.sa.sa_family = AF_INET;
	else if (inet_pton(AF_INET6, text, &a.in6.sin6_addr) == 1)
		a.sa.sa_family = AF_INET6;
	else
		bad(text, option, "an IP address");
	return a;
}

socklen_t xe_addr_len(const union sock_addr *addr)
{
	return addr->sa.sa_family == AF_INET6 ? sizeof(addr->in6) : sizeof(addr->in);
}

void xe_addr_l4_port(union sock_addr *addr, uint16_t l4_port)
{
	if (addr->sa.sa_family == AF_INET6)
		addr->in6.sin6_port = htons(l4_port);
	else
		addr->in.sin_port = htons(l4_port);
}

int xe_load_fail(const char *what)
{
	fprintf(stderr, "%s: %s\n", what, strerror(errno));
	return -1;
}
