/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * checked_load - a steady load of many kinds that checks all it gets and logs when something
 * happened, so that somebody who broke something can say what it cost (load_line.h: the log).
 *
 *   checked_load [OPTION...] ADDR TCP-PORT UDP-PORT
 *     -c COUNT    TCP streams (default 4): rounds with a `tcp_many server`, every byte checked in
 *                 both directions. One that ends is counted, and opened anew
 *     -b BYTES    upload and download of a round (default 16384)
 *     -g MS       pause between the rounds of a stream (default 20)
 *     -l COUNT    connections a second that do one small round and close (default 50)
 *     -u COUNT    UDP flows (default 2): numbered datagrams of many sizes to a `udp_echo`
 *     -r RATE     datagrams a second, all flows together (default 500)
 *     -p ADDR     pings there, 50 a second; may be repeated
 *     -i SECONDS  a connection without progress for so long is lost (default 20)
 *     -w MS       how long the last rounds and answers may take (default 5000)
 *     -v          log the time of each ping
 * Runs until SIGTERM; SIGUSR1 logs how many lines of it stand still. One thread. Exit: 0 nothing
 * was lost or corrupt, 1 something was.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/ip_icmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "endpoint.h"
#include "load_line.h"
#include "pattern.h"

#define PIECE     (64 << 10) /* bytes of one send or recv: large enough for GSO */
#define TURN      (2 * MS)   /* looks for what is due; below the pause of anything here */
#define LATE      (50 * MS)  /* not run for so long: what others saw then says nothing */
#define CATCH_UP  (20 * MS)  /* what is later than this is not made up for by a burst */
#define LOOP_MAX  64         /* connections of the loop at a time: an outage makes no flood */
#define SMALL     512        /* bytes of the loop's one round */
#define PINGS_MAX 4
#define PING_NS   (20 * MS)
#define PING_SEQS 4096 /* pings on their way: 80 s */
#define DGRAM_MIN 16
#define DGRAM_MAX 1400       /* below the MTU: a fragment lost is another story */
#define SEQ_MAX   (1u << 22) /* of a flow: an hour at 1000 a second */

struct conn {
	struct line *line;
	struct round_head head;
	uint64_t tx_off, rx_off, tx_hash, trailer, touched_ns, resume_ns;
	uint32_t head_off, trailer_off;
	int fd;
	enum { FREE, CONNECTING, ROUND, PAUSE } state;
	int once; /* of the loop: closed after one round */
};

struct flow {
	struct line line;
	int fd;
	uint32_t seq, highest;
	uint32_t *sent_ms; /* by number, less the start; 0: it came back */
};

struct ping {
	struct line line;
	int fd;
	uint16_t seq;
	uint64_t sent_ns[PING_SEQS];
};

static struct {
	uint32_t streams, bytes, gap_ms, loop_rate, flows, rate, idle_s, wait_ms, ping_cnt;
	int verbose;
	const char *pings[PINGS_MAX];
} opt = {.streams = 4,
	 .bytes = 16384,
	 .gap_ms = 20,
	 .loop_rate = 50,
	 .flows = 2,
	 .rate = 500,
	 .idle_s = 20,
	 .wait_ms = 5000};
static struct {
	uint64_t opened, rounds, connects, lost, reset, timeout, corrupt, up, down;
	uint64_t sent, received, duplicate, reordered, send_errors, missing, pings, pongs;
} count;
static volatile sig_atomic_t stop, asked;
static union endpoint tcp_to, udp_to;
static uint64_t start_ns;
static int epoll_fd;
static struct conn *conns; /* streams, then those of the loop */
static struct line *stream_lines, loop_line;
static struct flow *flows;
static struct ping pings[PINGS_MAX];
static uint8_t piece[PIECE], expect[PIECE];

static void on_signal(int sig)
{
	if (sig == SIGUSR1)
		asked = 1;
	else
		stop = 1;
}

/* ---- connections */

static void conn_close(struct conn *c)
{
	close(c->fd); /* leaves the epoll set by that */
	c->fd = -1;
	c->state = FREE;
}

/* The network itself says that there is no way at the moment: nobody's loss. */
static int is_no_way(const struct conn *c, int err)
{
	return c->state == CONNECTING && (err == ENETUNREACH || err == EHOSTUNREACH);
}

static void conn_lost(struct conn *c, int err, uint64_t now)
{
	const char *why = stop && err == ETIMEDOUT            ? "unfinished"
			  : err == EBADMSG                    ? "corrupt"
			  : err == ECONNRESET || err == EPIPE ? "reset"
			  : err == ECONNREFUSED               ? "refused"
			  : err == ETIMEDOUT                  ? "timeout"
			  : err == ESHUTDOWN                  ? "closed"
							      : strerrorname_np(err);

	if (is_no_way(c, err)) {
		count.send_errors++;
		conn_close(c);
		c->resume_ns = now + 20 * MS;
		return;
	}
	count.lost++;
	count.reset += err == ECONNRESET || err == EPIPE;
	count.timeout += err == ETIMEDOUT;
	count.corrupt += err == EBADMSG;
	printf("lost %s %u %lu %s\n", c->line->kind, c->line->idx,
	       (err == ETIMEDOUT ? c->touched_ns : now) / MS, why);
	conn_close(c);
}

static void conn_begin(struct conn *c, uint64_t now)
{
	uint64_t len = c->once ? SMALL : opt.bytes;

	c->state = ROUND;
	c->touched_ns = now;
	c->tx_off = c->rx_off = 0;
	c->head_off = c->trailer_off = 0;
	c->tx_hash = PATTERN_HASH_START;
	c->head = (struct round_head){ROUND_MAGIC, now * 0x9e3779b97f4a7c15ull + (uint64_t)c->fd,
				      len, len};
}

static void conn_open(struct conn *c, uint64_t now)
{
	struct epoll_event ev = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = c};

	c->fd = socket(tcp_to.sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (c->fd < 0)
		return; /* tried again by the next turn */
	c->state = CONNECTING;
	c->touched_ns = now;
	if (connect(c->fd, &tcp_to.sa, endpoint_len(&tcp_to)) < 0 && errno != EINPROGRESS) {
		/* No way out at the moment (an interface that is down): not a connection lost. */
		count.send_errors++;
		conn_close(c);
		c->resume_ns = now + 20 * MS;
		return;
	}
	epoll_ctl(epoll_fd, EPOLL_CTL_ADD, c->fd, &ev);
}

/* Bytes moved; 0: not now; negative: the connection's end. */
static ssize_t conn_push(struct conn *c)
{
	ssize_t n;
	size_t len;

	if (c->head_off < sizeof(c->head)) {
		n = send(c->fd, (uint8_t *)&c->head + c->head_off, sizeof(c->head) - c->head_off,
			 MSG_NOSIGNAL);
		if (n > 0)
			c->head_off += (uint32_t)n;
	} else if (c->tx_off < c->head.up_len) {
		len = c->head.up_len - c->tx_off < PIECE ? c->head.up_len - c->tx_off : PIECE;
		pattern_fill(piece, len, c->head.key, c->tx_off);
		n = send(c->fd, piece, len, MSG_NOSIGNAL);
		if (n > 0) {
			c->tx_hash = pattern_hash(c->tx_hash, piece, (size_t)n);
			c->tx_off += (uint64_t)n;
			count.up += (uint64_t)n;
		}
	} else {
		return 0;
	}
	return n >= 0 ? n : errno == EAGAIN ? 0 : -errno;
}

static int check_payload(struct conn *c, size_t len)
{
	pattern_fill(expect, len, round_down_key(c->head.key), c->rx_off);
	c->rx_off += len;
	count.down += len;
	return memcmp(piece, expect, len) ? -EBADMSG : 0;
}

static ssize_t conn_pull(struct conn *c)
{
	uint64_t left = c->head.down_len - c->rx_off;
	ssize_t n;

	if (left)
		n = recv(c->fd, piece, left < PIECE ? left : PIECE, 0);
	else if (c->trailer_off < sizeof(c->trailer))
		n = recv(c->fd, (uint8_t *)&c->trailer + c->trailer_off,
			 sizeof(c->trailer) - c->trailer_off, 0);
	else
		return 0;
	if (n <= 0)
		return n == 0 ? -ESHUTDOWN : errno == EAGAIN ? 0 : -errno;
	if (left)
		return check_payload(c, (size_t)n) ?: n;
	c->trailer_off += (uint32_t)n;
	if (c->trailer_off == sizeof(c->trailer) && c->trailer != c->tx_hash)
		return -EBADMSG;
	return n;
}

static void round_over(struct conn *c, uint64_t now)
{
	line_good(c->line, now);
	if (c->once) {
		count.connects++;
		conn_close(c);
		return;
	}
	count.rounds++;
	c->state = PAUSE;
	c->resume_ns = now + opt.gap_ms * MS;
	if (stop)
		conn_close(c);
}

static void conn_serve(struct conn *c, uint64_t now)
{
	ssize_t rx = 1, tx = 1;

	/* Edge-triggered: until neither moves. A round is bounded, so is this. */
	while (c->trailer_off < sizeof(c->trailer) && (rx > 0 || tx > 0) && rx >= 0 && tx >= 0) {
		tx = conn_push(c);
		rx = conn_pull(c);
		if (rx > 0 || tx > 0)
			c->touched_ns = now;
	}
	if (c->trailer_off == sizeof(c->trailer) && rx >= 0)
		round_over(c, now);
	else if (rx < 0 || tx < 0)
		conn_lost(c, (int)(rx < 0 ? -rx : -tx), now);
}

static void conn_event(struct conn *c, uint64_t now)
{
	socklen_t len = sizeof(int);
	int err = 0;

	if (c->state == CONNECTING) {
		if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &err, &len) || err) {
			conn_lost(c, err, now);
			return;
		}
		if (connect(c->fd, &tcp_to.sa, endpoint_len(&tcp_to)) < 0 && errno == EALREADY)
			return;
		count.opened++;
		conn_begin(c, now);
	}
	if (c->state == ROUND) {
		conn_serve(c, now);
	} else if (c->state == PAUSE) {
		ssize_t n = recv(c->fd, piece, 1, 0);

		if (n >= 0 || errno != EAGAIN) /* nothing is due now */
			conn_lost(c, n > 0 ? EBADMSG : n ? errno : ESHUTDOWN, now);
	}
}

static int conn_is_idle(const struct conn *c, uint64_t now)
{
	return (c->state == CONNECTING || c->state == ROUND) &&
	       now - c->touched_ns > opt.idle_s * 1000 * MS;
}

static void streams_turn(uint64_t now)
{
	for (uint32_t i = 0; i < opt.streams; i++) {
		struct conn *c = &conns[i];

		if (conn_is_idle(c, now))
			conn_lost(c, ETIMEDOUT, now);
		if (c->state == PAUSE && stop)
			conn_close(c);
		else if (c->state == FREE && !stop && now >= c->resume_ns)
			conn_open(c, now);
		else if (c->state == PAUSE && now >= c->resume_ns) {
			conn_begin(c, now);
			conn_serve(c, now);
		}
	}
}

static void loop_turn(uint64_t now)
{
	static uint64_t due_ns;
	uint64_t period = 1000 * MS / (opt.loop_rate ? opt.loop_rate : 1);

	if (due_ns + CATCH_UP < now)
		due_ns = now - CATCH_UP;
	for (uint32_t i = opt.streams; i < opt.streams + LOOP_MAX; i++) {
		struct conn *c = &conns[i];

		if (conn_is_idle(c, now))
			conn_lost(c, ETIMEDOUT, now);
		if (c->state == FREE && !stop && opt.loop_rate && now >= due_ns) {
			due_ns += period;
			conn_open(c, now);
		}
	}
}

/* ---- datagrams */

static uint32_t ms_now(uint64_t now)
{
	return (uint32_t)((now - start_ns) / MS) + 1; /* 0 is for those that came back */
}

static size_t dgram_len(uint32_t seq)
{
	return DGRAM_MIN + seq * 37 % (DGRAM_MAX - DGRAM_MIN);
}

static void flow_send(struct flow *f, uint64_t now)
{
	size_t len = dgram_len(f->seq);

	if (f->seq >= SEQ_MAX)
		return;
	dgram_make(piece, len, f->seq);
	if (send(f->fd, piece, len, MSG_DONTWAIT) < 0) {
		count.send_errors++; /* no way out, or an ICMP error that came back */
		return;
	}
	f->sent_ms[f->seq++] = ms_now(now);
	count.sent++;
}

static void flow_take(struct flow *f, size_t len, uint64_t now)
{
	uint32_t seq = 0;

	if (!dgram_intact(piece, len, expect, &seq) || len != dgram_len(seq) || seq >= f->seq) {
		count.corrupt++;
		printf("corrupt %s %u %lu\n", f->line.kind, f->line.idx, now / MS);
		return;
	}
	if (!f->sent_ms[seq]) {
		count.duplicate++;
		return;
	}
	f->sent_ms[seq] = 0;
	count.received++;
	if (seq < f->highest)
		count.reordered++;
	else
		f->highest = seq;
	line_good(&f->line, now);
}

static void flows_turn(uint64_t now)
{
	static uint64_t due_ns;
	static uint32_t next;
	uint64_t period = 1000 * MS / (opt.rate ? opt.rate : 1);
	ssize_t n;

	if (due_ns + CATCH_UP < now)
		due_ns = now - CATCH_UP;
	for (; !stop && opt.flows && due_ns <= now; due_ns += period)
		flow_send(&flows[next++ % opt.flows], now);
	for (uint32_t i = 0; i < opt.flows; i++)
		while ((n = recv(flows[i].fd, piece, sizeof(piece), MSG_DONTWAIT)) >= 0 ||
		       errno == ECONNREFUSED || errno == EHOSTUNREACH)
			if (n >= 0)
				flow_take(&flows[i], (size_t)n, now);
}

/* What never came back, in runs without 100 ms between them. */
static void flow_report(const struct flow *f)
{
	uint64_t base = start_ns / MS - 1;
	uint32_t from = 0, to = 0, n = 0;

	for (uint32_t seq = 0; seq <= f->seq; seq++) {
		uint32_t at = seq < f->seq ? f->sent_ms[seq] : UINT32_MAX;

		if (!at)
			continue;
		if (n && at - to > 100) {
			printf("missing %s %u %lu %lu %u\n", f->line.kind, f->line.idx, base + from,
			       base + to, n);
			n = 0;
		}
		if (!n)
			from = at;
		to = at;
		n++;
		count.missing += seq < f->seq;
	}
}

static int flow_open(struct flow *f, uint32_t idx)
{
	struct epoll_event ev = {.events = EPOLLIN | EPOLLET};
	int room = 4 << 20; /* a pause of ours loses nothing */

	line_init(&f->line, "udp", idx, 1000 * MS * opt.flows / opt.rate);
	f->sent_ms = malloc(SEQ_MAX * sizeof(*f->sent_ms)); /* touched as far as it is used */
	f->fd = socket(udp_to.sa.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	setsockopt(f->fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room));
	if (!f->sent_ms || connect(f->fd, &udp_to.sa, endpoint_len(&udp_to)) < 0)
		return -1;
	return epoll_ctl(epoll_fd, EPOLL_CTL_ADD, f->fd, &ev);
}

/* ---- pings */

static uint16_t icmp_sum(const void *data, size_t len)
{
	const uint16_t *w = data;
	uint32_t sum = 0;

	for (size_t i = 0; i < len / 2; i++)
		sum += w[i];
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t) ~(sum + (sum >> 16));
}

static uint16_t ping_id(const struct ping *p)
{
	return (uint16_t)(getpid() * PINGS_MAX + (int)p->line.idx);
}

static void ping_send(struct ping *p, uint64_t now)
{
	struct icmphdr h = {.type = ICMP_ECHO};

	h.un.echo.id = htons(ping_id(p));
	h.un.echo.sequence = htons(++p->seq);
	h.checksum = icmp_sum(&h, sizeof(h));
	p->sent_ns[p->seq % PING_SEQS] = now;
	if (send(p->fd, &h, sizeof(h), MSG_DONTWAIT) < 0)
		count.send_errors++;
	else
		count.pings++;
}

static void ping_take(struct ping *p, ssize_t n, uint64_t now)
{
	const struct iphdr *ip = (const void *)piece;
	const struct icmphdr *h = (const void *)(piece + ip->ihl * 4);

	if (n < (ssize_t)(sizeof(*ip) + sizeof(*h)) || h->type != ICMP_ECHOREPLY ||
	    ntohs(h->un.echo.id) != ping_id(p))
		return;
	count.pongs++;
	if (opt.verbose)
		printf("rtt %u %lu %lu\n", p->line.idx, now / MS,
		       (now - p->sent_ns[ntohs(h->un.echo.sequence) % PING_SEQS]) / 1000);
	line_good(&p->line, now);
}

static void pings_turn(uint64_t now)
{
	static uint64_t due_ns;
	ssize_t n;

	for (uint32_t i = 0; i < opt.ping_cnt; i++) {
		if (now >= due_ns && !stop)
			ping_send(&pings[i], now);
		while ((n = recv(pings[i].fd, piece, sizeof(piece), MSG_DONTWAIT)) >= 0)
			ping_take(&pings[i], n, now);
	}
	if (now >= due_ns)
		due_ns = now + PING_NS;
}

static int ping_open(struct ping *p, uint32_t idx)
{
	struct epoll_event ev = {.events = EPOLLIN | EPOLLET};
	union endpoint to;

	if (endpoint_parse("checked_load", opt.pings[idx], "0", &to) < 0)
		return -1;
	line_init(&p->line, "ping", idx, PING_NS);
	p->fd = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMP);
	if (connect(p->fd, &to.sa, endpoint_len(&to)) < 0)
		return -1;
	return epoll_ctl(epoll_fd, EPOLL_CTL_ADD, p->fd, &ev);
}

/* ---- all together */

static int open_all(void)
{
	int err = 0;

	conns = calloc(opt.streams + LOOP_MAX, sizeof(*conns));
	stream_lines = calloc(opt.streams + 1, sizeof(*stream_lines));
	flows = calloc(opt.flows + 1, sizeof(*flows));
	if (!conns || !stream_lines || !flows)
		return -1;
	for (uint32_t i = 0; i < opt.streams; i++) {
		line_init(&stream_lines[i], "stream", i, opt.gap_ms * MS);
		conns[i].line = &stream_lines[i];
	}
	if (opt.loop_rate)
		line_init(&loop_line, "connect", 0, 1000 * MS / opt.loop_rate);
	for (uint32_t i = opt.streams; i < opt.streams + LOOP_MAX; i++) {
		conns[i].line = &loop_line;
		conns[i].once = 1;
	}
	for (uint32_t i = 0; i < opt.flows && !err; i++)
		err = flow_open(&flows[i], i);
	for (uint32_t i = 0; i < opt.ping_cnt && !err; i++)
		err = ping_open(&pings[i], i);
	return err;
}

static int is_busy(void)
{
	for (uint32_t i = 0; i < opt.streams + LOOP_MAX; i++)
		if (conns[i].state != FREE)
			return 1;
	return count.received < count.sent;
}

static void run(void)
{
	struct epoll_event evs[64];
	uint64_t last = now_ns(), now, end_ns = 0;

	while (!end_ns || (is_busy() && last < end_ns)) {
		int n = epoll_wait(epoll_fd, evs, 64, (int)(TURN / MS));

		now = now_ns();
		if (now - last > LATE)
			printf("late %lu %lu\n", last / MS, now / MS);
		last = now;
		if (stop && !end_ns) {
			end_ns = now + opt.wait_ms * MS;
			lines_stop(now);
		}
		for (int i = 0; i < n; i++) /* pointer NULL: found by the turns below */
			if (evs[i].data.ptr && ((struct conn *)evs[i].data.ptr)->fd >= 0)
				conn_event(evs[i].data.ptr, now);
		if (asked) {
			asked = 0;
			lines_tell(now);
		}
		streams_turn(now);
		loop_turn(now);
		flows_turn(now);
		pings_turn(now);
	}
}

static void end_all(uint64_t now)
{
	for (uint32_t i = 0; i < opt.streams + LOOP_MAX; i++)
		if (conns[i].state != FREE)
			conn_lost(&conns[i], ETIMEDOUT, now);
	for (uint32_t i = 0; i < opt.flows; i++)
		flow_report(&flows[i]);
}

static int parse(int argc, char **argv)
{
	uint32_t *words[] = {['c'] = &opt.streams,   ['b'] = &opt.bytes,  ['g'] = &opt.gap_ms,
			     ['l'] = &opt.loop_rate, ['u'] = &opt.flows,  ['r'] = &opt.rate,
			     ['i'] = &opt.idle_s,    ['w'] = &opt.wait_ms};
	int c;

	while ((c = getopt(argc, argv, "c:b:g:l:u:r:p:i:w:v")) != -1) {
		if (c == 'v')
			opt.verbose = 1;
		else if (c == 'p' && opt.ping_cnt < PINGS_MAX)
			opt.pings[opt.ping_cnt++] = optarg;
		else if (c != '?' && c != 'p')
			*words[c] = (uint32_t)strtoul(optarg, NULL, 10);
		else
			return -1;
	}
	if (argc - optind != 3 || !opt.rate)
		return -1;
	if (endpoint_parse("checked_load", argv[optind], argv[optind + 1], &tcp_to) < 0)
		return -1;
	return endpoint_parse("checked_load", argv[optind], argv[optind + 2], &udp_to);
}

int main(int argc, char **argv)
{
	struct sigaction sa = {.sa_handler = on_signal};
	struct rlimit limit;

	if (parse(argc, argv) < 0) {
		fprintf(stderr, "usage: checked_load [-c STREAMS] [-b BYTES] [-g MS] [-l RATE] "
				"[-u FLOWS] [-r RATE] [-p ADDR]... [-i SECONDS] [-w MS] [-v] "
				"ADDR TCP-PORT UDP-PORT\n");
		return 2;
	}
	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit); /* may fail: then fewer connections are open at a time */
	sigaction(SIGTERM, &sa, NULL);
	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGUSR1, &sa, NULL);
	setvbuf(stdout, NULL, _IOLBF, 0); /* whoever waits for `ready` reads it from a file */
	start_ns = now_ns();
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (open_all() < 0) {
		perror("checked_load");
		return 1;
	}
	run();
	end_all(now_ns());
	printf("{\"opened\": %lu, \"rounds\": %lu, \"connects\": %lu, \"lost\": %lu, "
	       "\"reset\": %lu, \"timeout\": %lu, \"corrupt\": %lu, \"up_bytes\": %lu, "
	       "\"down_bytes\": %lu, ",
	       count.opened, count.rounds, count.connects, count.lost, count.reset, count.timeout,
	       count.corrupt, count.up, count.down);
	printf("\"sent\": %lu, \"received\": %lu, \"missing\": %lu, \"duplicate\": %lu, "
	       "\"reordered\": %lu, \"send_errors\": %lu, \"pings\": %lu, \"pongs\": %lu}\n",
	       count.sent, count.received, count.missing, count.duplicate, count.reordered,
	       count.send_errors, count.pings, count.pongs);
	return count.lost || count.corrupt || count.missing;
}
