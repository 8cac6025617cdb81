// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * tcp_crr - connect, one request, one response, close; as many as go. Against tcp_srv.
 *
 *   tcp_crr -d ADDR[,ADDR...] -p PORT[-PORT] [-c CONCURRENCY] [-l BYTES] [-t SEC]
 *     -d, -p   every connection goes to the next pair of address and L4 port
 *     -c       connections under way at any time (default 16); -l: bytes (default 64, at most 1024)
 *     -t SEC   (default 5)
 *
 * {"connections", "rate", "p50_us", "p99_us", "p999_us", "errors", "reset", "no_port"}: connections
 * are whole ones, and their latency is from connect() to the server's FIN. errors: those that
 * failed; reset: by an RST (part of errors); no_port: no source L4 port was free (part of errors).
 * The server closes first, so no TIME_WAIT keeps a source L4 port here; the number of connections
 * at a time and a wide ip_local_port_range do the rest. A lost SYN shows as 1 s of latency; a
 * connection older than 5 s has failed. One thread, epoll.
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

#define ADDR_MAX  64
#define LEN_MAX   1024
#define EVENT_CNT 256
#define WAIT_MS   100
#define OLD_NS    (5 * NS_PER_S)

struct conn {
	int fd;       /* -1: to be opened */
	uint32_t got; /* bytes of the response */
	bool asked;   /* the request is out */
	uint64_t begun_ns;
};

static struct {
	union sock_addr dst[ADDR_MAX];
	uint32_t addr_cnt, conn_cnt, len;
	struct l4_range l4_ports;
	double seconds;
} opt = {.conn_cnt = 16, .len = 64, .seconds = 5};

static struct {
	uint64_t done, errors, reset, no_port;
} count;
static struct conn *conns;
static struct xe_latency latency;
static uint8_t request[LEN_MAX], response[LEN_MAX + 1];
static int epoll_fd;
static uint64_t turn; /* counts up through the pairs of address and L4 port */

static void parse_addrs(char *text)
{
	for (char *a = strtok(text, ","); a; a = strtok(NULL, ",")) {
		if (opt.addr_cnt == ADDR_MAX) {
			fprintf(stderr, "-d: more than %d addresses\n", ADDR_MAX);
			exit(2);
		}
		opt.dst[opt.addr_cnt++] = xe_arg_addr(a, 'd');
	}
}

static int parse(int argc, char **argv)
{
	int c;

	while ((c = getopt(argc, argv, "d:p:c:l:t:")) != -1) {
		if (c == 'd')
			parse_addrs(optarg);
		else if (c == 'p')
			opt.l4_ports = xe_arg_range(optarg, 'p');
		else if (c == 'c')
			opt.conn_cnt = (uint32_t)xe_arg_number(optarg, 'c', 1, 65536);
		else if (c == 'l')
			opt.len = (uint32_t)xe_arg_number(optarg, 'l', 1, LEN_MAX);
		else if (c == 't')
			opt.seconds = xe_arg_seconds(optarg);
		else
			return -1;
	}
	return opt.addr_cnt && opt.l4_ports.lo && optind == argc ? 0 : -1;
}

static union sock_addr next_dst(void)
{
	uint32_t width = opt.l4_ports.hi - opt.l4_ports.lo + 1;
	union sock_addr dst = opt.dst[turn % opt.addr_cnt];

	xe_addr_l4_port(&dst, (uint16_t)(opt.l4_ports.lo + turn / opt.addr_cnt % width));
	turn++;
	return dst;
}

static void end_conn(struct conn *c)
{
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
}

static void failed(struct conn *c, int err)
{
	count.errors++;
	count.reset += err == ECONNRESET || err == ECONNREFUSED;
	count.no_port += err == EADDRNOTAVAIL;
	end_conn(c);
}

static void begin(struct conn *c)
{
	union sock_addr dst = next_dst();
	struct epoll_event ev = {.events = EPOLLOUT, .data.ptr = c};
	int one = 1;

	*c = (struct conn){.begun_ns = xe_now_ns()};
	c->fd = socket(dst.sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (c->fd < 0) {
		failed(c, errno);
		return;
	}
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if ((connect(c->fd, &dst.sa, xe_addr_len(&dst)) && errno != EINPROGRESS) ||
	    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, c->fd, &ev))
		failed(c, errno);
}

static void send_request(struct conn *c)
{
	struct epoll_event ev = {.events = EPOLLIN, .data.ptr = c};

	if (send(c->fd, request, opt.len, MSG_NOSIGNAL) != (ssize_t)opt.len ||
	    epoll_ctl(epoll_fd, EPOLL_CTL_MOD, c->fd, &ev))
		failed(c, errno);
	else
		c->asked = true;
}

static void take_response(struct conn *c)
{
	ssize_t len;

	do {
		len = recv(c->fd, response, sizeof(response), MSG_DONTWAIT);
		c->got += len > 0 ? (uint32_t)len : 0;
	} while (len > 0);
	if (len < 0 && errno == EAGAIN)
		return;
	if (len < 0 || c->got != opt.len) {
		failed(c, len < 0 ? errno : EPROTO);
		return;
	}
	xe_latency_add(&latency, xe_now_ns() - c->begun_ns);
	count.done++;
	end_conn(c);
}

static void drop_old(uint64_t now_ns)
{
	for (uint32_t i = 0; i < opt.conn_cnt; i++) {
		if (conns[i].fd >= 0 && now_ns > conns[i].begun_ns + OLD_NS)
			failed(&conns[i], ETIMEDOUT);
	}
}

static void run(uint64_t now_ns)
{
	uint64_t look_ns = now_ns + NS_PER_S, errors;
	struct epoll_event evs[EVENT_CNT];
	struct conn *c;
	int cnt;

	for (uint32_t i = 0; i < opt.conn_cnt; i++)
		begin(&conns[i]);
	for (; !xe_load_over_at(now_ns); now_ns = xe_now_ns()) {
		errors = count.errors;
		cnt = epoll_wait(epoll_fd, evs, EVENT_CNT, WAIT_MS);
		for (int i = 0; i < cnt; i++) {
			c = evs[i].data.ptr;
			if (c->asked)
				take_response(c);
			else
				send_request(c); /* a failed connect() shows there */
			if (c->fd < 0)
				begin(c);
		}
		if (now_ns < look_ns && errors == count.errors)
			continue;
		look_ns = now_ns + NS_PER_S;
		drop_old(now_ns);
		if (errors != count.errors) /* do not spin on refusals */
			xe_load_sleep_until(now_ns + NS_PER_S / 1000);
		for (uint32_t i = 0; i < opt.conn_cnt; i++) {
			if (conns[i].fd < 0)
				begin(&conns[i]);
		}
	}
}

int main(int argc, char **argv)
{
	uint64_t start_ns;
	double seconds;

	if (parse(argc, argv)) {
		fprintf(stderr, "usage: tcp_crr -d ADDR[,ADDR...] -p PORT[-PORT] [-c CONCURRENCY] "
				"[-l BYTES] [-t SEC]\n");
		return 2;
	}
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	conns = calloc(opt.conn_cnt, sizeof(*conns));
	if (epoll_fd < 0 || !conns)
		return xe_load_fail("memory") ? 1 : 0;
	memset(request, 'C', sizeof(request)); /* the server closes after the response */
	xe_load_files();
	xe_load_begin(opt.seconds);
	start_ns = xe_now_ns();
	run(start_ns);
	seconds = (double)(xe_now_ns() - start_ns) / 1e9;
	printf("{\"connections\": %llu, \"rate\": %.1f, \"p50_us\": %.1f, \"p99_us\": %.1f, "
	       "\"p999_us\": %.1f, \"errors\": %llu, \"reset\": %llu, \"no_port\": %llu}\n",
	       (unsigned long long)count.done, (double)count.done / seconds,
	       xe_latency_us(&latency, 0.5), xe_latency_us(&latency, 0.99),
	       xe_latency_us(&latency, 0.999), (unsigned long long)count.errors,
	       (unsigned long long)count.reset, (unsigned long long)count.no_port);
	return count.done ? 0 : 1;
}
