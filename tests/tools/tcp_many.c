/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * tcp_many - many TCP connections at once, every byte checked in both directions (see pattern.h).
 *
 *   tcp_many server [-v] ADDR PORT
 *     -v  print `peer ADDRESS:PORT` for every connection: what the outside sees
 *   tcp_many client [OPTION...] ADDR PORT
 *     -c COUNT    connections (default 1); all are open before the first one transfers
 *     -u BYTES    upload of one round (default 65536)
 *     -d BYTES    download of one round (default 65536)
 *     -t SECONDS  rounds until then, or until SIGTERM (default: one round)
 *     -g MS       pause between the rounds of a connection (default 0)
 *     -i SECONDS  a connection without progress for so long has failed (default 15)
 *
 * A round: the client sends a head and its upload while the server sends its download; the server
 * ends with the hash of what it got, which must be the hash of what was sent. Both ends compare
 * every byte. One thread, epoll; no content is stored. Each prints one JSON line, the server at
 * SIGTERM. Exit: 0 everything intact, 1 not, 77 too few file descriptors allowed.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "endpoint.h"
#include "pattern.h"

#define PIECE (64 << 10) /* bytes of one send or recv: small enough for L2, large for GSO */

/* One end of a connection; `tx` is what this end sends, `rx` what it gets. A round is over for the
 * server when the trailer is out, for the client when it is in. */
struct conn {
	struct round_head head;
	uint64_t tx_off, tx_len, rx_off, rx_len; /* in payload, head and trailer apart */
	uint64_t tx_hash, rx_hash;
	uint32_t edge_off, lead_off; /* bytes done of own head or trailer, and of the peer's */
	uint64_t trailer, touched_ns, resume_ns;
	uint32_t want; /* epoll events asked for */
	int fd;
	enum { CONNECTING, READY, ROUND, PAUSE, DONE, FAILED } state;
};

static struct {
	uint64_t opened, done, failed, reset, timeout, corrupt, rounds, up, down, stall_ns;
} count;
static struct {
	uint32_t conns, seconds, gap_ms, idle_s;
	uint64_t up_len, down_len;
	int verbose, server;
} opt = {.conns = 1, .idle_s = 15, .up_len = 65536, .down_len = 65536};
static volatile sig_atomic_t stop;
static int epoll_fd;
static uint64_t end_ns;
static uint8_t piece[PIECE], expect[PIECE];
static struct conn *by_fd[65536]; /* what is open when a signal ends us stays reachable here */

static void on_signal(int sig)
{
	(void)sig;
	stop++;
}

static void ask(struct conn *c, uint32_t want)
{
	struct epoll_event ev = {.events = want, .data.ptr = c};

	if (want != c->want)
		epoll_ctl(epoll_fd, EPOLL_CTL_MOD, c->fd, &ev);
	c->want = want;
}

static void close_conn(struct conn *c, int failed, int err)
{
	if (failed) {
		count.failed++;
		count.reset += err == ECONNRESET || err == EPIPE || err == ECONNREFUSED;
		count.timeout += err == ETIMEDOUT;
	} else {
		count.done++;
	}
	c->state = failed ? FAILED : DONE;
	by_fd[c->fd] = NULL;
	close(c->fd);
	c->fd = -1;
}

static void begin_round(struct conn *c)
{
	c->state = ROUND;
	c->tx_off = c->rx_off = c->edge_off = c->lead_off = 0;
	c->tx_hash = c->rx_hash = PATTERN_HASH_START;
	c->tx_len = opt.server ? 0 : c->head.up_len;
	c->rx_len = opt.server ? 0 : c->head.down_len;
	ask(c, EPOLLIN | (opt.server ? 0 : EPOLLOUT));
}

static uint64_t tx_key(const struct conn *c)
{
	return opt.server ? round_down_key(c->head.key) : c->head.key;
}

static uint64_t rx_key(const struct conn *c)
{
	return opt.server ? c->head.key : round_down_key(c->head.key);
}

/* -EAGAIN: later. 0: progress. Anything else ends the connection. */
static int push(struct conn *c, const void *buf, size_t len, size_t *sent)
{
	ssize_t n = send(c->fd, buf, len, MSG_NOSIGNAL | MSG_DONTWAIT);

	if (n < 0)
		return -errno;
	*sent = (size_t)n;
	return 0;
}

static int push_edge(struct conn *c, const void *edge, size_t size)
{
	size_t n = 0;
	int ret = push(c, (const uint8_t *)edge + c->edge_off, size - c->edge_off, &n);

	c->edge_off += (uint32_t)n;
	return ret;
}

static int push_payload(struct conn *c)
{
	size_t len = c->tx_len - c->tx_off < PIECE ? c->tx_len - c->tx_off : PIECE, n = 0;
	int ret;

	pattern_fill(piece, len, tx_key(c), c->tx_off);
	ret = push(c, piece, len, &n);
	c->tx_hash = pattern_hash(c->tx_hash, piece, n);
	c->tx_off += n;
	*(opt.server ? &count.down : &count.up) += n;
	return ret;
}

/* What this end may still send now; returns 1 when there is nothing. */
static int step_tx(struct conn *c, int *ret)
{
	if (!opt.server && c->edge_off < sizeof(c->head))
		*ret = push_edge(c, &c->head, sizeof(c->head));
	else if (c->tx_off < c->tx_len)
		*ret = push_payload(c);
	else if (opt.server && c->lead_off == sizeof(c->head) && c->rx_off == c->rx_len &&
		 c->edge_off < sizeof(c->trailer)) {
		c->trailer = c->rx_hash;
		*ret = push_edge(c, &c->trailer, sizeof(c->trailer));
	} else
		return 1;
	return 0;
}

static int pull(struct conn *c, void *buf, size_t len, size_t *got)
{
	ssize_t n = recv(c->fd, buf, len, MSG_DONTWAIT);

	if (n < 0)
		return -errno;
	*got = (size_t)n;
	return n ? 0 : -ESHUTDOWN;
}

static int pull_payload(struct conn *c)
{
	size_t len = c->rx_len - c->rx_off < PIECE ? c->rx_len - c->rx_off : PIECE, n = 0;
	int ret = pull(c, piece, len, &n);

	if (ret)
		return ret;
	pattern_fill(expect, n, rx_key(c), c->rx_off);
	if (memcmp(piece, expect, n)) {
		count.corrupt++;
		return -EBADMSG;
	}
	c->rx_hash = pattern_hash(c->rx_hash, piece, n);
	c->rx_off += n;
	*(opt.server ? &count.up : &count.down) += n;
	return 0;
}

static int pull_head(struct conn *c)
{
	size_t n = 0;
	int ret = pull(c, (uint8_t *)&c->head + c->lead_off, sizeof(c->head) - c->lead_off, &n);

	c->lead_off += (uint32_t)n;
	if (ret || c->lead_off < sizeof(c->head))
		return ret;
	if (c->head.magic != ROUND_MAGIC) {
		count.corrupt++;
		return -EBADMSG;
	}
	c->rx_len = c->head.up_len;
	c->tx_len = c->head.down_len;
	return 0;
}

static int pull_trailer(struct conn *c)
{
	size_t n = 0;
	int ret =
		pull(c, (uint8_t *)&c->trailer + c->lead_off, sizeof(c->trailer) - c->lead_off, &n);

	c->lead_off += (uint32_t)n;
	if (ret || c->lead_off < sizeof(c->trailer))
		return ret;
	if (c->trailer != c->tx_hash) {
		count.corrupt++;
		return -EBADMSG;
	}
	return 0;
}

static int step_rx(struct conn *c, int *ret)
{
	if (opt.server && c->lead_off < sizeof(c->head))
		*ret = pull_head(c);
	else if (c->rx_off < c->rx_len)
		*ret = pull_payload(c);
	else if (!opt.server && c->lead_off < sizeof(c->trailer))
		*ret = pull_trailer(c);
	else
		return 1;
	return 0;
}

static int round_over(const struct conn *c)
{
	return opt.server ? c->edge_off == sizeof(c->trailer) : c->lead_off == sizeof(c->trailer);
}

static void after_round(struct conn *c)
{
	count.rounds++;
	if (opt.server) {
		begin_round(c);
	} else if (now_ns() >= end_ns) {
		close_conn(c, 0, 0);
	} else if (opt.gap_ms) {
		c->state = PAUSE;
		c->resume_ns = now_ns() + opt.gap_ms * 1000000ull;
		ask(c, 0);
	} else {
		begin_round(c);
	}
}

static void touch(struct conn *c, uint64_t now)
{
	if (c->touched_ns && c->state == ROUND && now - c->touched_ns > count.stall_ns)
		count.stall_ns = now - c->touched_ns;
	c->touched_ns = now;
}

/* A few steps each way, then the next connection: none starves. */
static void serve_conn(struct conn *c)
{
	int rx = 0, tx = 0, rx_idle = 0, tx_idle = 0;

	touch(c, now_ns());
	for (int i = 0; i < 4 && !round_over(c) && !(rx_idle && tx_idle); i++) {
		tx_idle = tx_idle || step_tx(c, &tx) || tx;
		rx_idle = rx_idle || step_rx(c, &rx) || rx;
	}
	if (rx == -ESHUTDOWN && opt.server && c->lead_off == 0) {
		close_conn(c, 0, 0);
	} else if ((rx && rx != -EAGAIN) || (tx && tx != -EAGAIN)) {
		close_conn(c, 1, rx && rx != -EAGAIN ? -rx : -tx);
	} else if (round_over(c)) {
		after_round(c);
	} else {
		int more = c->tx_off < c->tx_len || tx == -EAGAIN ||
			   (opt.server ? c->rx_off == c->rx_len && c->lead_off == sizeof(c->head)
				       : c->edge_off < sizeof(c->head));

		ask(c, EPOLLIN | (more ? EPOLLOUT : 0));
	}
}

static struct conn *add_conn(int fd, uint32_t want)
{
	struct conn *c = calloc(1, sizeof(*c));
	struct epoll_event ev = {.events = want, .data.ptr = c};

	if (!c || fd >= 65536) {
		free(c);
		return NULL;
	}
	by_fd[fd] = c;
	c->fd = fd;
	c->want = want;
	epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &ev);
	return c;
}

static void accept_all(int listen_fd)
{
	union endpoint from;
	socklen_t len = sizeof(from);
	char text[ENDPOINT_TEXT];
	int fd;

	while ((fd = accept4(listen_fd, &from.sa, &len, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		struct conn *c = add_conn(fd, EPOLLIN);

		if (!c)
			return;
		count.opened++;
		begin_round(c);
		if (opt.verbose) {
			printf("peer %s\n", endpoint_text(&from, text));
			fflush(stdout);
		}
	}
}

static int serve(char **argv)
{
	struct epoll_event evs[64], ev = {.events = EPOLLIN};
	union endpoint at;
	int fd, on = 1;

	if (endpoint_parse("tcp_many", argv[0], argv[1], &at) < 0)
		return 2;
	fd = socket(at.sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	/* 4096: a burst of every connection a test opens waits in the backlog, none is refused. */
	if (bind(fd, &at.sa, endpoint_len(&at)) < 0 || listen(fd, 4096) < 0) {
		perror("tcp_many: listen");
		return 1;
	}
	epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &ev);
	while (!stop) {
		int n = epoll_wait(epoll_fd, evs, 64, -1);

		for (int i = 0; i < n; i++) {
			struct conn *c = evs[i].data.ptr;

			if (!c) {
				accept_all(fd);
				continue;
			}
			serve_conn(c);
			if (c->fd < 0)
				free(c);
		}
	}
	return 0;
}

static int connect_all(struct conn **conns, char **argv)
{
	union endpoint to;

	if (endpoint_parse("tcp_many", argv[0], argv[1], &to) < 0)
		return -1;
	for (uint32_t i = 0; i < opt.conns; i++) {
		int fd = socket(to.sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

		if (fd < 0 || !(conns[i] = add_conn(fd, EPOLLOUT))) {
			perror("tcp_many: socket");
			return -1;
		}
		conns[i]->head =
			(struct round_head){ROUND_MAGIC, now_ns() * 0x9e3779b97f4a7c15ull + i,
					    opt.up_len, opt.down_len};
		conns[i]->touched_ns = now_ns();
		if (connect(fd, &to.sa, endpoint_len(&to)) < 0 && errno != EINPROGRESS)
			close_conn(conns[i], 1, errno);
	}
	return 0;
}

static void finish_connect(struct conn *c)
{
	socklen_t len = sizeof(int);
	int err = 0;

	getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &err, &len);
	if (err) {
		close_conn(c, 1, err);
		return;
	}
	count.opened++;
	c->state = READY;
	ask(c, 0);
}

/* Time-driven part: start everyone once all are open, end pauses, give up on the stuck. */
static void look_around(struct conn **conns)
{
	uint64_t now = now_ns();
	int open = count.opened + count.failed >= opt.conns;

	for (uint32_t i = 0; i < opt.conns; i++) {
		struct conn *c = conns[i];

		if ((c->state == READY && open) || (c->state == PAUSE && now >= c->resume_ns)) {
			c->touched_ns = now;
			begin_round(c);
		} else if ((c->state == CONNECTING || c->state == ROUND) &&
			   now - c->touched_ns > opt.idle_s * 1000000000ull) {
			touch(c, now);
			close_conn(c, 1, ETIMEDOUT);
		}
	}
}

static int run_client(char **argv)
{
	struct conn **conns = calloc(opt.conns, sizeof(*conns));
	struct epoll_event evs[64];

	if (!conns || connect_all(conns, argv) < 0)
		return 1;
	end_ns = now_ns() + opt.seconds * 1000000000ull;
	while (stop < 2 && count.done + count.failed < opt.conns) {
		int n = epoll_wait(epoll_fd, evs, 64, 5);

		if (stop)
			end_ns = 0; /* a round begun is finished */
		for (int i = 0; i < n; i++) {
			struct conn *c = evs[i].data.ptr;

			if (c->state == CONNECTING)
				finish_connect(c);
			else if (c->state == ROUND)
				serve_conn(c);
			else if (evs[i].events & (EPOLLHUP | EPOLLERR))
				close_conn(c, 1, ECONNRESET);
		}
		look_around(conns);
	}
	for (uint32_t i = 0; i < opt.conns; i++)
		free(conns[i]);
	free(conns);
	return count.done != opt.conns || count.corrupt;
}

static int allow_descriptors(uint32_t need)
{
	struct rlimit limit;

	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit); /* may fail: then what is there decides */
	getrlimit(RLIMIT_NOFILE, &limit);
	return limit.rlim_cur > need + 16 ? 0 : -1;
}

static int parse(int argc, char **argv)
{
	int c;

	opt.server = argc > 1 && !strcmp(argv[1], "server");
	if (argc < 2 || (!opt.server && strcmp(argv[1], "client")))
		return -1;
	optind = 2;
	while ((c = getopt(argc, argv, "c:u:d:t:g:i:v")) != -1) {
		uint64_t value = optarg ? strtoull(optarg, NULL, 10) : 0;

		switch (c) {
		case 'c':
			opt.conns = (uint32_t)value;
			break;
		case 'u':
			opt.up_len = value;
			break;
		case 'd':
			opt.down_len = value;
			break;
		case 't':
			opt.seconds = (uint32_t)value;
			break;
		case 'g':
			opt.gap_ms = (uint32_t)value;
			break;
		case 'i':
			opt.idle_s = (uint32_t)value;
			break;
		case 'v':
			opt.verbose = 1;
			break;
		default:
			return -1;
		}
	}
	return argc - optind == 2 ? 0 : -1;
}

int main(int argc, char **argv)
{
	struct sigaction sa = {.sa_handler = on_signal};
	int ret;

	if (parse(argc, argv) < 0) {
		fprintf(stderr,
			"usage: tcp_many server [-v] ADDR PORT\n"
			"       tcp_many client [-c COUNT] [-u BYTES] [-d BYTES] [-t SECONDS] "
			"[-g MS] [-i SECONDS] ADDR PORT\n");
		return 2;
	}
	if (allow_descriptors(opt.conns) < 0) {
		fprintf(stderr, "tcp_many: the limit of open files is below %u\n", opt.conns);
		return 77;
	}
	sigaction(SIGTERM, &sa, NULL);
	sigaction(SIGINT, &sa, NULL);
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	end_ns = UINT64_MAX;
	ret = opt.server ? serve(argv + optind) : run_client(argv + optind);
	printf("{\"opened\": %lu, \"done\": %lu, \"failed\": %lu, \"reset\": %lu, "
	       "\"timeout\": %lu, \"corrupt\": %lu, \"rounds\": %lu, \"up_bytes\": %lu, "
	       "\"down_bytes\": %lu, \"max_stall_ms\": %lu}\n",
	       count.opened, count.done, count.failed, count.reset, count.timeout, count.corrupt,
	       count.rounds, count.up, count.down, count.stall_ns / 1000000);
	return ret;
}
