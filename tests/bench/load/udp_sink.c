// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * udp_sink - receives what udp_gen and live_gen send, and says exactly what became of it.
 *
 *   udp_sink -p PORT[-PORT] [-a ADDR] [-t SEC] [-w USEC] [--echo]
 *     -a ADDR  bind to it (default: every IPv4 address)
 *     -t SEC   (default 0: until SIGTERM)
 *     -w USEC  rest so long before each look: fewer wake-ups, bigger batches, for rates where the
 *              sink would take the core from what is measured; spoils the latency by as much
 *     --echo   send everything back to where it came from
 *
 * {"received", "lost", "reordered", "duplicate", "seconds", "flows", "pps", "bytes",
 *  "latency_us": {"p50", "p99", "p999"}, "foreign", "too_late", "socket_drops"}
 * received counts distinct numbers; seconds is first to last packet; bytes are payload; latency is
 * one-way, to the return of the recvmmsg that brought the packet. foreign: datagrams not of our
 * generators. too_late: see flow_seq.h, 0 means that all is exact. socket_drops: what the kernel
 * threw away because *this program* was too slow (part of lost). It has to be there before the
 * sender. Ready when it prints READY on stderr. One thread.
 */
#include "flow_seq.h"
#include "latency.h"
#include "load.h"
#include "wire.h"

#include <errno.h>
#include <getopt.h>
#include <linux/sock_diag.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <unistd.h>

#define BATCH    256
#define ROUND    8          /* batches from one socket before the next has its turn */
#define RCVBUF   (64 << 20) /* 80,000 small packets: 0.1 s of a core's work is held up, not lost */
#define ECHO_LEN 65536
#define WAIT_MS  100 /* how late the end may be noticed when nothing comes */

static struct {
	struct l4_range l4_ports;
	union sock_addr addr;
	double seconds;
	uint32_t rest_us;
	int echo;
} opt;

/* Flows by generator and number; zero pages until touched. */
static struct flow_seq *flows[WIRE_GEN_CNT];
static uint32_t flow_max[WIRE_GEN_CNT]; /* how many of them were touched, from the start */
static struct flow_verdicts verdicts;
static struct xe_latency latency;
static struct {
	uint64_t bytes, foreign, first_ns, last_ns;
} count;
static struct mmsghdr msgs[BATCH];
static struct iovec iovs[BATCH];
static union sock_addr names[BATCH];
static struct wire heads[BATCH];
static int *socks;

static int usage(void)
{
	fprintf(stderr, "usage: udp_sink -p PORT[-PORT] [-a ADDR] [-t SEC] [-w USEC] [--echo]\n");
	return 2;
}

static int parse(int argc, char **argv)
{
	static const struct option longs[] = {{"echo", no_argument, &opt.echo, 1}, {0}};
	int c;

	opt.addr.sa.sa_family = AF_INET;
	while ((c = getopt_long(argc, argv, "p:a:t:w:", longs, NULL)) != -1) {
		switch (c) {
		case 'p':
			opt.l4_ports = xe_arg_range(optarg, 'p');
			break;
		case 'a':
			opt.addr = xe_arg_addr(optarg, 'a');
			break;
		case 't':
			opt.seconds = xe_arg_seconds(optarg);
			break;
		case 'w':
			opt.rest_us = (uint32_t)xe_arg_number(optarg, 'w', 0, 1000000);
			break;
		case 0:
			break;
		default:
			return -1;
		}
	}
	return opt.l4_ports.lo && optind == argc ? 0 : -1;
}

static int open_socket(uint32_t l4_port, int epoll_fd)
{
	int size = RCVBUF, fd = socket(opt.addr.sa.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct epoll_event ev = {.events = EPOLLIN, .data.fd = fd};
	union sock_addr addr = opt.addr;

	if (fd < 0)
		return xe_load_fail("socket");
	xe_addr_l4_port(&addr, (uint16_t)l4_port);
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)))
		return xe_load_fail("SO_RCVBUFFORCE");
	if (bind(fd, &addr.sa, xe_addr_len(&addr)))
		return xe_load_fail("bind");
	if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &ev))
		return xe_load_fail("epoll_ctl");
	return fd;
}

static int open_sockets(int epoll_fd)
{
	uint32_t cnt = opt.l4_ports.hi - opt.l4_ports.lo + 1;

	if (xe_load_files() < cnt + 64) {
		fprintf(stderr, "%u L4 ports: more than the limit of open files\n", cnt);
		return -1;
	}
	socks = calloc(cnt, sizeof(*socks));
	if (!socks)
		return xe_load_fail("memory");
	for (uint32_t i = 0; i < cnt; i++) {
		socks[i] = open_socket(opt.l4_ports.lo + i, epoll_fd);
		if (socks[i] < 0)
			return -1;
	}
	return 0;
}

/* Only the head of a payload is copied out (MSG_TRUNC tells the length), unless all goes back. */
static int lay_out(void)
{
	uint8_t *echo = opt.echo ? malloc((size_t)BATCH * ECHO_LEN) : NULL;

	if (opt.echo && !echo)
		return xe_load_fail("memory");
	for (uint32_t i = 0; i < BATCH; i++) {
		iovs[i].iov_base = echo ? echo + (size_t)i * ECHO_LEN : (void *)&heads[i];
		iovs[i].iov_len = echo ? ECHO_LEN : sizeof(heads[i]);
		msgs[i].msg_hdr.msg_iov = &iovs[i];
		msgs[i].msg_hdr.msg_iovlen = 1;
	}
	return 0;
}

static struct flow_seq *flow_of(uint32_t id)
{
	uint32_t gen = id >> WIRE_FLOW_BITS, idx = id % WIRE_FLOW_CNT;
	void *table;

	if (!flows[gen]) {
		table = mmap(NULL, WIRE_FLOW_CNT * sizeof(struct flow_seq), PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		if (table == MAP_FAILED)
			return NULL;
		flows[gen] = table;
	}
	if (idx >= flow_max[gen])
		flow_max[gen] = idx + 1;
	return &flows[gen][idx];
}

static void take(const struct mmsghdr *m, uint64_t now_ns)
{
	const struct wire *w = m->msg_hdr.msg_iov->iov_base;
	struct flow_seq *f;

	f = m->msg_len >= WIRE_LEN && w->magic == WIRE_MAGIC ? flow_of(w->flow) : NULL;
	if (!f) {
		count.foreign++;
		return;
	}
	flow_seq_add(f, wire_seq(w), &verdicts);
	xe_latency_add(&latency, (now_ns - wire_sent(w)) & WIRE_MASK);
	count.bytes += m->msg_len;
	count.first_ns = count.first_ns ? count.first_ns : now_ns;
	count.last_ns = now_ns;
}

static void send_back(int fd, int cnt)
{
	for (int i = 0; i < cnt; i++)
		iovs[i].iov_len = msgs[i].msg_len;
	for (int done = 0, n; done < cnt; done += n) {
		n = sendmmsg(fd, msgs + done, (unsigned int)(cnt - done), 0);
		if (n <= 0) /* this one cannot go: the sender sees it missing */
			n = 1;
	}
	for (int i = 0; i < cnt; i++)
		iovs[i].iov_len = ECHO_LEN;
}

static void drain(int fd)
{
	int cnt = BATCH;
	uint64_t now_ns;

	for (int round = 0; round < ROUND && cnt == BATCH; round++) {
		for (int i = 0; opt.echo && i < BATCH; i++) {
			msgs[i].msg_hdr.msg_name = &names[i];
			msgs[i].msg_hdr.msg_namelen = sizeof(names[i]);
		}
		cnt = recvmmsg(fd, msgs, BATCH, MSG_DONTWAIT | MSG_TRUNC, NULL);
		if (cnt <= 0) /* empty, or an ICMP error about an echo */
			return;
		now_ns = xe_now_ns();
		for (int i = 0; i < cnt; i++)
			take(&msgs[i], now_ns);
		if (opt.echo)
			send_back(fd, cnt);
	}
}

static void run(int epoll_fd)
{
	struct epoll_event evs[64];
	int cnt;

	while (!xe_load_over()) {
		if (opt.rest_us)
			xe_load_sleep_until(xe_now_ns() + opt.rest_us * 1000ull);
		cnt = epoll_wait(epoll_fd, evs, 64, WAIT_MS);
		for (int i = 0; i < cnt; i++)
			drain(evs[i].data.fd);
	}
}

static uint64_t socket_drops(void)
{
	uint32_t mem[SK_MEMINFO_VARS], cnt = opt.l4_ports.hi - opt.l4_ports.lo + 1;
	uint64_t drops = 0;

	for (uint32_t i = 0; i < cnt; i++) {
		socklen_t len = sizeof(mem);

		if (!getsockopt(socks[i], SOL_SOCKET, SO_MEMINFO, mem, &len))
			drops += mem[SK_MEMINFO_DROPS];
	}
	return drops;
}

static void report(void)
{
	uint64_t received = 0, lost = 0, flow_cnt = 0;
	double seconds = (double)(count.last_ns - count.first_ns) / 1e9;

	for (uint32_t gen = 0; gen < WIRE_GEN_CNT; gen++) {
		for (uint32_t i = 0; i < flow_max[gen]; i++) {
			received += flows[gen][i].received;
			lost += flow_seq_lost(&flows[gen][i]);
			flow_cnt += flows[gen][i].next > 0;
		}
	}
	printf("{\"received\": %llu, \"lost\": %llu, \"reordered\": %llu, \"duplicate\": %llu, "
	       "\"seconds\": %.6f, \"flows\": %llu, \"pps\": %.0f, \"bytes\": %llu, "
	       "\"latency_us\": {\"p50\": %.1f, \"p99\": %.1f, \"p999\": %.1f}, "
	       "\"foreign\": %llu, \"too_late\": %llu, \"socket_drops\": %llu}\n",
	       (unsigned long long)received, (unsigned long long)lost,
	       (unsigned long long)verdicts.reordered, (unsigned long long)verdicts.duplicate,
	       seconds, (unsigned long long)flow_cnt, seconds > 0 ? (double)received / seconds : 0,
	       (unsigned long long)count.bytes, xe_latency_us(&latency, 0.5),
	       xe_latency_us(&latency, 0.99), xe_latency_us(&latency, 0.999),
	       (unsigned long long)count.foreign, (unsigned long long)verdicts.too_late,
	       (unsigned long long)socket_drops());
}

int main(int argc, char **argv)
{
	int epoll_fd = epoll_create1(EPOLL_CLOEXEC);

	if (parse(argc, argv))
		return usage();
	if (epoll_fd < 0 || open_sockets(epoll_fd) || lay_out())
		return 1;
	xe_load_begin(opt.seconds);
	fprintf(stderr, "READY\n");
	run(epoll_fd);
	report();
	return 0;
}
