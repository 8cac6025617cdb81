// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * tcp_rr - request and response over connections that stay, against tcp_srv.
 *
 *   tcp_rr -d ADDR -p PORT [-c CONNS] [-l BYTES] [-r RATE] [-t SEC]
 *     -c CONNS  (default 1) one request under way on each
 *     -l BYTES  of a request and of its response (default 64)
 *     -r RATE   0 (default): closed loop, the next request when the response is there. Else so
 *               many a second over all connections, at times fixed beforehand, and the latency
 *               counts from that time: a stall is paid for by every request it held up
 *     -t SEC    (default 5)
 *
 * {"transactions", "rate", "p50_us", "p99_us", "p999_us", "window_p99_us", "errors", "unsent"}.
 * window_p99_us: the median of the 99th percentiles of windows of 50 ms, so what a machine adds
 * that stands still now and then is not in it; what is there all the time is. errors: connections
 * that broke (they are not opened again; when all have, the run ends). unsent: with -r, requests
 * that were due at the end and had not found a connection free: not 0 means the rate was too much.
 * Until the first request, connections get 5 s. One thread, epoll.
 */
#include "latency.h"
#include "load.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define LEN_MAX   (1 << 20)
#define EVENT_CNT 256
/* Thousands of transactions each: enough for a 99th percentile. */
#define WINDOW_NS  (50 * 1000 * 1000ull)
#define WINDOW_CNT 4096 /* of more, the first */

struct conn {
	int fd;
	uint32_t left; /* bytes of the response that are still to come */
	uint64_t due_ns;
};

static struct {
	union sock_addr dst;
	uint32_t conn_cnt, len;
	uint64_t rate;
	double seconds;
} opt = {.conn_cnt = 1, .len = 64, .seconds = 5};

static struct conn *conns;
static uint32_t *idle, idle_cnt, broken_cnt; /* idle: a stack of connections without a request */
static uint64_t done_cnt, due_cnt, start_ns;
static struct xe_latency latency, window;
static double window_p99[WINDOW_CNT];
static uint32_t window_cnt;
static uint64_t window_end_ns;
static uint8_t *request, *response;
static int epoll_fd;

static int parse(int argc, char **argv)
{
	struct l4_range l4_port = {0};
	int c;

	while ((c = getopt(argc, argv, "d:p:c:l:r:t:")) != -1) {
		if (c == 'd')
			opt.dst = xe_arg_addr(optarg, 'd');
		else if (c == 'p')
			l4_port = xe_arg_range(optarg, 'p');
		else if (c == 'c')
			opt.conn_cnt = (uint32_t)xe_arg_number(optarg, 'c', 1, 65536);
		else if (c == 'l')
			opt.len = (uint32_t)xe_arg_number(optarg, 'l', 1, LEN_MAX);
		else if (c == 'r')
			opt.rate = xe_arg_number(optarg, 'r', 0, 100000000);
		else if (c == 't')
			opt.seconds = xe_arg_seconds(optarg);
		else
			return -1;
	}
	if (!opt.dst.sa.sa_family || !l4_port.lo || optind != argc)
		return -1;
	xe_addr_l4_port(&opt.dst, (uint16_t)l4_port.lo);
	return 0;
}

static int open_conn(uint32_t idx)
{
	struct timeval wait = {.tv_sec = 5};
	struct epoll_event ev = {.events = EPOLLIN, .data.u32 = idx};
	int one = 1, fd = socket(opt.dst.sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return xe_load_fail("socket");
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait)); /* of connect(), too */
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (connect(fd, &opt.dst.sa, xe_addr_len(&opt.dst)))
		return xe_load_fail("connect");
	conns[idx] = (struct conn){.fd = fd};
	idle[idle_cnt++] = idx;
	return epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &ev);
}

static int open_all(void)
{
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	conns = calloc(opt.conn_cnt, sizeof(*conns));
	idle = calloc(opt.conn_cnt, sizeof(*idle));
	request = malloc(opt.len);
	response = malloc(opt.len);
	if (epoll_fd < 0 || !conns || !idle || !request || !response)
		return xe_load_fail("memory");
	memset(request, 'E', opt.len); /* not `C`: the server keeps the connection */
	xe_load_files();
	for (uint32_t i = 0; i < opt.conn_cnt; i++) {
		if (open_conn(i))
			return -1;
	}
	return 0;
}

static void give_up(struct conn *c)
{
	close(c->fd);
	c->fd = -1;
	broken_cnt++;
}

static void ask(uint32_t idx, uint64_t due_ns)
{
	struct conn *c = &conns[idx];

	c->due_ns = due_ns;
	c->left = opt.len;
	if (send(c->fd, request, opt.len, MSG_NOSIGNAL) != (ssize_t)opt.len)
		give_up(c);
}

static uint64_t due_at(uint64_t nth)
{
	return start_ns + (uint64_t)((double)nth * 1e9 / (double)opt.rate);
}

/* Requests for every idle connection, as far as they are due. When the next is, or UINT64_MAX. */
static uint64_t ask_due(uint64_t now_ns)
{
	while (idle_cnt) {
		if (opt.rate && due_at(due_cnt) > now_ns)
			return due_at(due_cnt);
		ask(idle[--idle_cnt], opt.rate ? due_at(due_cnt++) : xe_now_ns());
	}
	return UINT64_MAX;
}

static void end_windows(uint64_t now_ns)
{
	if (now_ns < window_end_ns)
		return;
	if (window.total && window_cnt < WINDOW_CNT)
		window_p99[window_cnt++] = xe_latency_us(&window, 0.99);
	memset(&window, 0, sizeof(window));
	window_end_ns = now_ns + WINDOW_NS;
}

static int by_size(const void *a, const void *b)
{
	return (*(const double *)a > *(const double *)b) -
	       (*(const double *)a < *(const double *)b);
}

static double median_p99(void)
{
	if (!window_cnt)
		return xe_latency_us(&latency, 0.99);
	qsort(window_p99, window_cnt, sizeof(*window_p99), by_size);
	return window_p99[window_cnt / 2];
}

static void answered(uint32_t idx)
{
	struct conn *c = &conns[idx];
	uint64_t took_ns;
	ssize_t len = recv(c->fd, response, opt.len, MSG_DONTWAIT);

	if (len < 0 && errno == EAGAIN)
		return;
	if (len <= 0 || (uint32_t)len > c->left) {
		give_up(c);
		return;
	}
	c->left -= (uint32_t)len;
	if (c->left)
		return;
	took_ns = xe_now_ns() - c->due_ns;
	xe_latency_add(&latency, took_ns);
	xe_latency_add(&window, took_ns);
	done_cnt++;
	idle[idle_cnt++] = idx;
}

static void run(void)
{
	struct epoll_event evs[EVENT_CNT];
	uint64_t now_ns = start_ns, next_ns, wait_ns;
	struct timespec wait;
	int cnt;

	for (; !xe_load_over_at(now_ns) && broken_cnt < opt.conn_cnt; now_ns = xe_now_ns()) {
		end_windows(now_ns);
		next_ns = ask_due(now_ns);
		wait_ns = next_ns == UINT64_MAX ? NS_PER_S / 10 : next_ns - now_ns;
		wait_ns = wait_ns < NS_PER_S / 10 ? wait_ns : NS_PER_S / 10;
		wait = (struct timespec){0, (long)wait_ns};
		cnt = epoll_pwait2(epoll_fd, evs, EVENT_CNT, &wait, NULL);
		for (int i = 0; i < cnt; i++)
			answered(evs[i].data.u32);
	}
}

int main(int argc, char **argv)
{
	uint64_t end_ns, due;

	if (parse(argc, argv)) {
		fprintf(stderr, "usage: tcp_rr -d ADDR -p PORT [-c CONNS] [-l BYTES] [-r RATE] "
				"[-t SEC]\n");
		return 2;
	}
	if (open_all())
		return 1;
	xe_load_begin(opt.seconds);
	start_ns = xe_now_ns();
	window_end_ns = start_ns + WINDOW_NS;
	run();
	end_ns = xe_now_ns();
	due = opt.rate ? (uint64_t)((double)(end_ns - start_ns) * (double)opt.rate / 1e9) : 0;
	printf("{\"transactions\": %llu, \"rate\": %.1f, \"p50_us\": %.1f, \"p99_us\": %.1f, "
	       "\"p999_us\": %.1f, \"window_p99_us\": %.1f, \"errors\": %u, \"unsent\": %llu}\n",
	       (unsigned long long)done_cnt, (double)done_cnt * 1e9 / (double)(end_ns - start_ns),
	       xe_latency_us(&latency, 0.5), xe_latency_us(&latency, 0.99),
	       xe_latency_us(&latency, 0.999), median_p99(), broken_cnt,
	       (unsigned long long)(due > due_cnt ? due - due_cnt : 0));
	return done_cnt ? 0 : 1;
}
