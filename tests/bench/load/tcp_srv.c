// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * tcp_srv - answers tcp_rr and tcp_crr.
 *
 *   tcp_srv -p PORT[-PORT] [-a ADDR] [-t SEC]
 *     -a ADDR  bind to it (default: every IPv4 address); -t: default 0, until SIGTERM
 *
 * Echoes every byte as it comes. A connection whose first byte is `C` gets one echo and is then
 * closed by this end, which so keeps the TIME_WAIT and not the client, whose L4 port is free at
 * once. `sysctl net.ipv4.tcp_max_tw_buckets=0` in this namespace does away with those here, too.
 * {"connections", "requests", "bytes", "errors"}; a request is one read. Ready when it prints READY
 * on stderr. One thread, epoll.
 */
#include "load.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#define PIECE     (64 << 10)
#define BACKLOG   65535
#define EVENT_CNT 256
#define WAIT_MS   100
#define LISTENER  (1ull << 32) /* in an event's number, beside the file descriptor */
#define FRESH     (1ull << 33) /* nothing was read yet */

static struct {
	uint64_t connections, requests, bytes, errors;
} count;
static uint8_t piece[PIECE];

static int listen_on(const union sock_addr *at, uint32_t l4_port, int epoll_fd)
{
	int one = 1, fd = socket(at->sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	struct epoll_event ev = {.events = EPOLLIN, .data.u64 = LISTENER | (uint32_t)fd};
	union sock_addr addr = *at;

	if (fd < 0)
		return xe_load_fail("socket");
	xe_addr_l4_port(&addr, (uint16_t)l4_port);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)); /* accepted ones inherit it */
	if (bind(fd, &addr.sa, xe_addr_len(&addr)) || listen(fd, BACKLOG))
		return xe_load_fail("bind, listen");
	return epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &ev);
}

/* Echoes what is there. -1: the connection is over. */
static int serve(int fd, bool fresh, int epoll_fd)
{
	struct epoll_event ev = {.events = EPOLLIN, .data.u64 = (uint32_t)fd};
	ssize_t len = recv(fd, piece, sizeof(piece), MSG_DONTWAIT), done = 0, n;

	if (len <= 0) {
		if (len < 0 && errno == EAGAIN)
			return 0;
		count.errors += len < 0;
		return -1;
	}
	count.requests++;
	count.bytes += (uint64_t)len;
	for (; done < len; done += n) { /* blocks: a client that does not read is not ours */
		n = send(fd, piece + done, (size_t)(len - done), MSG_NOSIGNAL);
		if (n < 0) {
			count.errors++;
			return -1;
		}
	}
	if (fresh && piece[0] == 'C')
		return -1;
	return fresh ? epoll_ctl(epoll_fd, EPOLL_CTL_MOD, fd, &ev) : 0;
}

static void accept_all(int listener, int epoll_fd)
{
	struct timeval wait = {.tv_sec = 1};
	struct epoll_event ev = {.events = EPOLLIN};
	int fd;

	while ((fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
		count.connections++;
		setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait));
		ev.data.u64 = FRESH | (uint32_t)fd;
		/* The request is often there already: served without a turn through epoll. */
		if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &ev) || serve(fd, true, epoll_fd))
			close(fd);
	}
}

static void run(int epoll_fd)
{
	struct epoll_event evs[EVENT_CNT];
	int cnt;

	while (!xe_load_over()) {
		cnt = epoll_wait(epoll_fd, evs, EVENT_CNT, WAIT_MS);
		for (int i = 0; i < cnt; i++) {
			int fd = (int)(uint32_t)evs[i].data.u64;

			if (evs[i].data.u64 & LISTENER)
				accept_all(fd, epoll_fd);
			else if (serve(fd, evs[i].data.u64 & FRESH, epoll_fd))
				close(fd);
		}
	}
}

int main(int argc, char **argv)
{
	union sock_addr at = {.in.sin_family = AF_INET};
	int c, epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	struct l4_range l4_ports = {0};
	double seconds = 0;

	while ((c = getopt(argc, argv, "p:a:t:")) != -1) {
		if (c == 'p')
			l4_ports = xe_arg_range(optarg, 'p');
		else if (c == 'a')
			at = xe_arg_addr(optarg, 'a');
		else if (c == 't')
			seconds = xe_arg_seconds(optarg);
		else
			l4_ports.lo = 0;
	}
	if (!l4_ports.lo || optind != argc) {
		fprintf(stderr, "usage: tcp_srv -p PORT[-PORT] [-a ADDR] [-t SEC]\n");
		return 2;
	}
	xe_load_files();
	for (uint32_t p = l4_ports.lo; p <= l4_ports.hi; p++) {
		if (epoll_fd < 0 || listen_on(&at, p, epoll_fd))
			return 1;
	}
	xe_load_begin(seconds);
	fprintf(stderr, "READY\n");
	run(epoll_fd);
	printf("{\"connections\": %llu, \"requests\": %llu, \"bytes\": %llu, \"errors\": %llu}\n",
	       (unsigned long long)count.connections, (unsigned long long)count.requests,
	       (unsigned long long)count.bytes, (unsigned long long)count.errors);
	return 0;
}
