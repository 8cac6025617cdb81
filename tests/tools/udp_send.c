/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * udp_send - numbered datagrams to a udp_echo, and an account of what came back (see pattern.h).
 *
 *   udp_send [OPTION...] ADDR PORT
 *     -s MIN[-MAX]  payload sizes, taken in turn (default 64)
 *     -n COUNT      datagrams in all (default: each size once)
 *     -t SECONDS    instead of a count: send this long, or until SIGTERM
 *     -r RATE       datagrams a second (default 20000)
 *     -w MS         how long to wait for the last answers (default 1000)
 *     -p L4PORT     local L4 port
 *     -b ADDR       local address
 *     -z            send with UDP checksum 0
 *     -o            one way: don't expect answers
 *     -l COUNT      so many may be lost (default 0)
 * Prints one JSON line. Exit 0: everything came back, intact, once.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "endpoint.h"
#include "pattern.h"

#define DGRAM_MAX 65536
#define SEQ_MAX   (1u << 24) /* bits of the seen set: 2 MiB, 16 M datagrams are minutes of load */
#define LATE_NS                                                                                    \
	2000000ull /* on a busy machine this process sleeps through whole periods; what is         \
		      later than this is not made up for, or a burst would overrun queues */

static struct {
	const char *from;
	uint32_t size_min, size_max, count, seconds, rate, wait_ms, l4_port, may_lose;
	int zero_checksum, one_way;
} opt = {.size_min = 64, .size_max = 64, .rate = 20000, .wait_ms = 1000};

static struct {
	uint64_t sent, received, duplicate, reordered, corrupt, errors, gap_ns;
} count;
static uint8_t seen[SEQ_MAX / 8];
static uint32_t short_pending[8]; /* answers due, by length, for those without a number */
static uint32_t highest_seq;
static uint64_t last_rx_ns;

static void note_seq(uint32_t seq)
{
	if (seq >= SEQ_MAX || (seen[seq / 8] & 1u << seq % 8)) {
		count.duplicate++;
		return;
	}
	seen[seq / 8] |= (uint8_t)(1u << seq % 8);
	count.received++;
	if (seq < highest_seq)
		count.reordered++;
	else
		highest_seq = seq;
}

static void take_answer(const uint8_t *buf, size_t len)
{
	static uint8_t scratch[DGRAM_MAX];
	uint64_t now = now_ns();
	uint32_t seq = 0;

	if (last_rx_ns && now - last_rx_ns > count.gap_ns)
		count.gap_ns = now - last_rx_ns;
	last_rx_ns = now;
	if (!dgram_intact(buf, len, scratch, &seq)) {
		count.corrupt++;
	} else if (len >= sizeof(struct dgram_head)) {
		note_seq(seq);
	} else if (short_pending[len]) {
		short_pending[len]--;
		count.received++;
	} else {
		count.duplicate++;
	}
}

static void drain(int fd)
{
	static uint8_t buf[DGRAM_MAX];
	ssize_t n;

	for (;;) {
		n = recv(fd, buf, sizeof(buf), MSG_DONTWAIT);
		if (n >= 0)
			take_answer(buf, (size_t)n);
		else if (errno == EAGAIN || errno == EWOULDBLOCK)
			return;
		else
			count.errors++; /* an ICMP error about an earlier datagram */
	}
}

static void send_one(int fd, uint32_t seq)
{
	static uint8_t buf[DGRAM_MAX];
	size_t len = opt.size_min + seq % (opt.size_max - opt.size_min + 1);
	int tries = 3; /* an ICMP error or a full queue is reported once, by the next send */

	dgram_make(buf, len, seq);
	while (send(fd, buf, len, 0) < 0) {
		count.errors++;
		if (--tries == 0)
			return;
	}
	count.sent++;
	if (len < sizeof(struct dgram_head))
		short_pending[len]++;
}

static void wait_answers(int fd)
{
	uint64_t end = now_ns() + opt.wait_ms * 1000000ull;
	struct pollfd p = {.fd = fd, .events = POLLIN};

	while (count.received < count.sent && now_ns() < end) {
		poll(&p, 1, 20);
		drain(fd);
	}
	poll(NULL, 0, 20); /* room for a duplicate of the last one */
	drain(fd);
}

static void wait_until(int fd, uint64_t due_ns)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	uint64_t now;

	while ((now = now_ns()) < due_ns) {
		uint64_t left = due_ns - now;
		struct timespec ts = {0, left > 900000000 ? 900000000 : (long)left};

		ppoll(&p, 1, &ts, NULL);
		drain(fd);
	}
}

static volatile sig_atomic_t stop;

static void on_term(int signal)
{
	(void)signal;
	stop = 1;
}

static void run(int fd)
{
	uint64_t period = 1000000000ull / opt.rate, due = now_ns();
	uint64_t end = opt.seconds ? due + opt.seconds * 1000000000ull : UINT64_MAX;

	for (uint32_t seq = 0; seq < opt.count; seq++) {
		uint64_t now = now_ns();

		if (now >= end || stop)
			break;
		if (due + LATE_NS < now)
			due = now - LATE_NS;
		wait_until(fd, due);
		drain(fd);
		send_one(fd, seq);
		due += period;
	}
	if (!opt.one_way)
		wait_answers(fd);
}

static int report(void)
{
	uint64_t lost =
		opt.one_way || count.received > count.sent ? 0 : count.sent - count.received;

	printf("{\"sent\": %lu, \"received\": %lu, \"lost\": %lu, \"duplicate\": %lu, "
	       "\"reordered\": %lu, \"corrupt\": %lu, \"errors\": %lu, \"max_gap_ms\": %lu}\n",
	       count.sent, count.received, lost, count.duplicate, count.reordered, count.corrupt,
	       count.errors, count.gap_ns / 1000000);
	return lost > opt.may_lose || count.duplicate || count.corrupt || !count.sent;
}

static int open_socket(const char *addr, const char *l4_port)
{
	union endpoint to, from;
	int room = 4 << 20, fd;

	errno = EINVAL;
	if (endpoint_parse("udp_send", addr, l4_port, &to) < 0)
		return -1;
	fd = socket(to.sa.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room));
	setsockopt(fd, SOL_SOCKET, SO_NO_CHECK, &opt.zero_checksum, sizeof(opt.zero_checksum));
	if (opt.l4_port || opt.from) {
		char l4_port_text[8];

		snprintf(l4_port_text, sizeof(l4_port_text), "%u", opt.l4_port);
		if (!opt.from) {
			memset(&from, 0, sizeof(from));
			from.sa.sa_family = to.sa.sa_family;
			/* in both at the same place */
			from.v4.sin_port = htons((uint16_t)opt.l4_port);
		} else if (endpoint_parse("udp_send", opt.from, l4_port_text, &from) < 0) {
			return -1;
		}
		if (bind(fd, &from.sa, endpoint_len(&from)) < 0)
			return -1;
	}
	return connect(fd, &to.sa, endpoint_len(&to)) < 0 ? -1 : fd;
}

static int parse(int argc, char **argv)
{
	int c;

	while ((c = getopt(argc, argv, "s:n:t:r:w:p:b:l:zo")) != -1) {
		uint32_t value = optarg ? (uint32_t)strtoul(optarg, NULL, 10) : 0;

		switch (c) {
		case 's':
			opt.size_min = opt.size_max = value;
			if (strchr(optarg, '-'))
				opt.size_max = (uint32_t)atoi(strchr(optarg, '-') + 1);
			break;
		case 'n':
			opt.count = value;
			break;
		case 't':
			opt.seconds = value;
			break;
		case 'r':
			opt.rate = value ? value : 1;
			break;
		case 'w':
			opt.wait_ms = value;
			break;
		case 'p':
			opt.l4_port = value;
			break;
		case 'b':
			opt.from = optarg;
			break;
		case 'l':
			opt.may_lose = value;
			break;
		case 'z':
			opt.zero_checksum = 1;
			break;
		case 'o':
			opt.one_way = 1;
			break;
		default:
			return -1;
		}
	}
	if (opt.size_max < opt.size_min || opt.size_max > 65507)
		return -1;
	if (!opt.count)
		opt.count = opt.seconds ? SEQ_MAX : opt.size_max - opt.size_min + 1;
	return argc - optind == 2 ? 0 : -1;
}

int main(int argc, char **argv)
{
	int fd;

	if (parse(argc, argv) < 0) {
		fprintf(stderr, "usage: udp_send [-s MIN[-MAX]] [-n COUNT] [-t SECONDS] [-r RATE] "
				"[-w MS] [-p L4PORT] [-b ADDR] [-l COUNT] [-z] [-o] ADDR PORT\n");
		return 2;
	}
	fd = open_socket(argv[optind], argv[optind + 1]);
	if (fd < 0) {
		perror("udp_send");
		return 1;
	}
	signal(SIGTERM, on_term);
	run(fd);
	return report();
}
