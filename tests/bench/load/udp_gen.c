// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * udp_gen - numbered UDP datagrams as fast as a socket takes them, or at a rate.
 *
 *   udp_gen -d ADDR -p PORT[-PORT] [-s SRC] [-n FLOWS] [-l BYTES] [-r PPS] [-t SEC] [-b BATCH] [-g
 * ID] -d ADDR   IPv4 or IPv6; -p: flow i goes to the i-th L4 port of the range, in turn -s SRC
 * source address (default: the route's) -n FLOWS  (default 1) one connected socket, so one source
 * L4 port, a flow. Beyond 16384, or what the limit of open files leaves, sockets are shared: one
 * sends to several L4 ports, and the range has to be wide enough to keep the flows apart -l BYTES
 * UDP payload, 18 (default) to 65507. 18 is the 64-byte frame of Ethernet with its checksum (60 as
 * an interface counts), 22 is 64 bytes as an interface counts -r PPS    over all flows; 0
 * (default): as fast as it goes -t SEC    (default 5; 0: until SIGTERM) -b BATCH  datagrams of one
 * flow by one sendmmsg (default 64; at a rate, at most a millisecond's worth) -g ID     generator
 * id, 0 to 1023 (default: from the process id): see wire.h
 *
 * {"sent", "sent_bytes" (payload), "errors", "seconds"}. Sequences start at 0 and count what the
 * kernel took, so whatever udp_sink misses was lost on the way. An error is a call that failed
 * (no buffer, an ICMP error that came back), it sends nothing. One thread.
 */
#include "load.h"
#include "wire.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BATCH_MAX  1024  /* what one sendmmsg takes (UIO_MAXIOV) */
#define SOCKET_MAX 16384 /* two thirds of the default range of ephemeral L4 ports */
#define LEN_MAX    65507
#define SNDBUF     (4 << 20) /* a shaped egress shall block us, not lose at 208 KiB */

static struct {
	union sock_addr dst, src;
	struct l4_range l4_ports;
	uint32_t flow_cnt, len, batch, gen;
	uint64_t rate;
	double seconds;
} opt = {.flow_cnt = 1, .len = WIRE_LEN, .batch = 64, .seconds = 5};

static struct {
	uint64_t sent, errors;
} count;
static int *socks;
static uint32_t sock_cnt;
static uint64_t *seqs;
static uint8_t *payloads;
static struct mmsghdr msgs[BATCH_MAX];
static struct iovec iovs[BATCH_MAX];

static int usage(void)
{
	fprintf(stderr, "usage: udp_gen -d ADDR -p PORT[-PORT] [-s SRC] [-n FLOWS] [-l BYTES] "
			"[-r PPS] [-t SEC] [-b BATCH] [-g ID]\n");
	return 2;
}

static int parse(int argc, char **argv)
{
	int c;

	opt.gen = (uint32_t)getpid() % WIRE_GEN_CNT;
	while ((c = getopt(argc, argv, "d:p:s:n:l:r:t:b:g:")) != -1) {
		switch (c) {
		case 'd':
			opt.dst = xe_arg_addr(optarg, 'd');
			break;
		case 'p':
			opt.l4_ports = xe_arg_range(optarg, 'p');
			break;
		case 's':
			opt.src = xe_arg_addr(optarg, 's');
			break;
		case 'n':
			opt.flow_cnt = (uint32_t)xe_arg_number(optarg, 'n', 1, WIRE_FLOW_CNT);
			break;
		case 'l':
			opt.len = (uint32_t)xe_arg_number(optarg, 'l', WIRE_LEN, LEN_MAX);
			break;
		case 'r':
			opt.rate = xe_arg_number(optarg, 'r', 0, NS_PER_S);
			break;
		case 't':
			opt.seconds = xe_arg_seconds(optarg);
			break;
		case 'b':
			opt.batch = (uint32_t)xe_arg_number(optarg, 'b', 1, BATCH_MAX);
			break;
		case 'g':
			opt.gen = (uint32_t)xe_arg_number(optarg, 'g', 0, WIRE_GEN_CNT - 1);
			break;
		default:
			return -1;
		}
	}
	return opt.dst.sa.sa_family && opt.l4_ports.lo && optind == argc ? 0 : -1;
}

static union sock_addr flow_dst(uint32_t slot)
{
	union sock_addr dst = opt.dst;
	uint32_t width = opt.l4_ports.hi - opt.l4_ports.lo + 1;

	xe_addr_l4_port(&dst, (uint16_t)(opt.l4_ports.lo + slot % width));
	return dst;
}

static int open_socket(uint32_t idx, bool shared)
{
	union sock_addr dst = flow_dst(idx), src = opt.src;
	struct timeval wait = {.tv_usec = 100000}; /* a stopped egress must not hold us for ever */
	int size = SNDBUF, fd = socket(opt.dst.sa.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return xe_load_fail("socket");
	setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait));
	if (src.sa.sa_family && bind(fd, &src.sa, xe_addr_len(&src)))
		return xe_load_fail("bind");
	if (!shared && connect(fd, &dst.sa, xe_addr_len(&dst)))
		return xe_load_fail("connect");
	return fd;
}

/* Bytes from one payload of a batch to the next: struct wire stands at even addresses. */
static size_t stride(void)
{
	return ((size_t)opt.len + 1) & ~(size_t)1;
}

static int open_sockets(void)
{
	uint32_t files = xe_load_files(), max = files > SOCKET_MAX + 64 ? SOCKET_MAX : files - 64;
	uint32_t width = opt.l4_ports.hi - opt.l4_ports.lo + 1;
	bool shared = opt.flow_cnt > max;

	sock_cnt = shared ? max : opt.flow_cnt;
	if (shared && (opt.flow_cnt + sock_cnt - 1) / sock_cnt > width) {
		fprintf(stderr, "-n %u: needs -p with %u L4 ports\n", opt.flow_cnt,
			(opt.flow_cnt + sock_cnt - 1) / sock_cnt);
		return -1;
	}
	socks = calloc(sock_cnt, sizeof(*socks));
	seqs = calloc(opt.flow_cnt, sizeof(*seqs));
	payloads = malloc((size_t)opt.batch * stride());
	if (!socks || !seqs || !payloads)
		return xe_load_fail("memory");
	for (uint32_t i = 0; i < sock_cnt; i++) {
		socks[i] = open_socket(i, shared);
		if (socks[i] < 0)
			return -1;
	}
	return 0;
}

static void lay_out(void)
{
	for (size_t i = 0; i < opt.batch * stride(); i++)
		payloads[i] = i & 1 ? 'x' : 'e';
	for (uint32_t i = 0; i < opt.batch; i++) {
		iovs[i] = (struct iovec){payloads + i * stride(), opt.len};
		msgs[i].msg_hdr.msg_iov = &iovs[i];
		msgs[i].msg_hdr.msg_iovlen = 1;
	}
}

/* One batch of one flow: `cnt` datagrams that bear the time of the call. */
static void send_batch(uint32_t flow, uint32_t cnt, uint64_t now_ns)
{
	bool shared = sock_cnt < opt.flow_cnt;
	union sock_addr dst;
	int done;

	for (uint32_t i = 0; i < cnt; i++)
		wire_put(iovs[i].iov_base, opt.gen << WIRE_FLOW_BITS | flow, seqs[flow] + i,
			 now_ns);
	if (shared) {
		dst = flow_dst(flow / sock_cnt);
		for (uint32_t i = 0; i < cnt; i++) {
			msgs[i].msg_hdr.msg_name = &dst;
			msgs[i].msg_hdr.msg_namelen = xe_addr_len(&dst);
		}
	}
	done = sendmmsg(socks[flow % sock_cnt], msgs, cnt, 0);
	if (done < 0) {
		count.errors++;
		return;
	}
	seqs[flow] += (uint32_t)done;
	count.sent += (uint32_t)done;
}

static void run(uint64_t start_ns)
{
	uint64_t per_ms = opt.rate / 1000, batch_cnt = 0, now_ns, due;
	uint32_t cnt = opt.batch, flow = 0;

	if (opt.rate && cnt > per_ms)
		cnt = per_ms ? (uint32_t)per_ms : 1;
	for (;; flow = flow + 1 == opt.flow_cnt ? 0 : flow + 1) {
		now_ns = xe_now_ns();
		if (opt.rate) {
			due = start_ns +
			      (uint64_t)((double)batch_cnt++ * cnt * 1e9 / (double)opt.rate);
			if (now_ns < due) {
				xe_load_sleep_until(due);
				now_ns = xe_now_ns();
			}
		}
		if (xe_load_over_at(now_ns))
			return;
		send_batch(flow, cnt, now_ns);
	}
}

int main(int argc, char **argv)
{
	uint64_t start_ns;

	if (parse(argc, argv))
		return usage();
	if (open_sockets())
		return 1;
	lay_out();
	xe_load_begin(opt.seconds);
	start_ns = xe_now_ns();
	run(start_ns);
	printf("{\"sent\": %llu, \"sent_bytes\": %llu, \"errors\": %llu, \"seconds\": %.6f}\n",
	       (unsigned long long)count.sent, (unsigned long long)count.sent * opt.len,
	       (unsigned long long)count.errors, (double)(xe_now_ns() - start_ns) / 1e9);
	return count.sent ? 0 : 1;
}
