// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * What a partial UDP packet costs on its way out of an AF_XDP socket into a veth, to a UDP socket
 * in another namespace: its checksum summed here ("worker"), or asked of the device ("device",
 * which for a veth means that nobody sums). Needs root; about 10 s.
 *
 * Both take turns, a burst each, so that what else the machine does hits both alike. "send" is
 * sum or request, tx ring and kick: the kernel's copy, the receiver's softirq inside of the
 * sendto(), all on one CPU; "receive" is the socket's recvmmsg(), where the kernel verifies what
 * nobody has vouched for. Payloads are written by another CPU just before, as those of received
 * packets are. ns a packet, medians of bursts; the ratio is of send + receive.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <fcntl.h>
#include <net/if.h>
#include <signal.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/insum.h"
#include "io/xsk.h"
#include "pipeline/burst.h"

#define BURST      32   /* a burst of the pipeline */
#define FRAMES     1024 /* 4 MiB */
#define ROUNDS     3000 /* bursts of each kind and size; medians are good to some ns then */
#define UDP_PORT   7001
#define HDR_LEN    42 /* Ethernet, IPv4, UDP */
#define PACKET_MAX 1514

static const uint32_t lens[] = {18, 64, 128, 256, 512, 1024, 1472}; /* of payload */
#define LEN_CNT (sizeof(lens) / sizeof(lens[0]))
enum kind { WORKER, DEVICE, KINDS };

static struct xe_umem umem;
static struct xe_xsk xsk = {.fd = -1, .slot = 1, .csum_offload = XE_CSUM_OFFLOAD_ON};
static uint8_t head[HDR_LEN];
static int sink_fd;
static uint8_t got[BURST][2048];

/* ---- two namespaces ---- */

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static void run(const char *fmt, ...)
{
	char cmd[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(cmd, sizeof(cmd), fmt, ap);
	va_end(ap);
	if (system(cmd)) {
		fprintf(stderr, "failed: %s\n", cmd);
		exit(1);
	}
}

static pid_t peer_start(void)
{
	int ready[2];
	pid_t pid;
	char c;

	if (pipe(ready))
		die("pipe");
	pid = fork();
	if (pid < 0)
		die("fork");
	if (!pid) {
		if (unshare(CLONE_NEWNET) || write(ready[1], "", 1) != 1)
			_exit(1);
		pause();
		_exit(0);
	}
	if (unshare(CLONE_NEWNET) || read(ready[0], &c, 1) != 1)
		die("namespaces");
	return pid;
}

/* The receiving end: interface, address, socket, and the packets' first bytes. */
static void peer_setup(pid_t pid)
{
	struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons(UDP_PORT)};
	int home = open("/proc/self/ns/net", O_RDONLY), there, big = 32 << 20;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/ns/net", pid);
	there = open(path, O_RDONLY);
	if (home < 0 || there < 0 || setns(there, CLONE_NEWNET))
		die("setns");
	run("ip link set p0 address 02:00:00:00:00:02 up; ip addr add 10.9.0.2/24 dev p0; "
	    "ip link set lo up");
	sink_fd = socket(AF_INET, SOCK_DGRAM, 0);
	setsockopt(sink_fd, SOL_SOCKET, SO_RCVBUFFORCE, &big, sizeof(big));
	if (bind(sink_fd, (struct sockaddr *)&sa, sizeof(sa)) || setns(home, CLONE_NEWNET))
		die("sink");
	close(home);
	close(there);
}

/* ---- packets ---- */

static uint16_t make_head(uint32_t len)
{
	static const uint8_t eth[] = {2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0};
	uint32_t src = inet_addr("10.9.0.1"), dst = inet_addr("10.9.0.2");
	uint8_t *ip = head + 14, *udp = ip + 20;

	memset(head, 0, sizeof(head));
	memcpy(head, eth, sizeof(eth));
	ip[0] = 0x45;
	xe_put16(ip + XE_IP_TOT_LEN, htons((uint16_t)(28 + len)));
	ip[XE_IP_TTL] = 64;
	ip[XE_IP_PROTO] = IPPROTO_UDP;
	xe_put32(ip + XE_IP_SRC, src);
	xe_put32(ip + XE_IP_DST, dst);
	xe_put16(ip + XE_IP_CSUM, xe_csum_finish(xe_insum(ip, 20)));
	xe_put16(udp, htons(4000));
	xe_put16(udp + 2, htons(UDP_PORT));
	xe_put16(udp + XE_UDP_LEN, htons((uint16_t)(8 + len)));
	return xe_insum_fold(xe_insum_pseudo4(src, dst, IPPROTO_UDP, 8 + len));
}

/* The CPU that a packet came from. */
static struct {
	_Atomic uint32_t asked, done;
	struct xdp_desc *descs;
	uint32_t len;
} filler;

static void *fill(void *arg)
{
	cpu_set_t cpus;
	uint32_t seen = 0;

	(void)arg;
	CPU_ZERO(&cpus);
	CPU_SET(0, &cpus);
	pthread_setaffinity_np(pthread_self(), sizeof(cpus), &cpus);
	for (;;) {
		while (atomic_load(&filler.asked) == seen)
			sched_yield();
		seen = atomic_load(&filler.asked);
		for (uint32_t i = 0; i < BURST; i++) {
			uint8_t *p = xe_umem_ptr(&umem, filler.descs[i].addr);

			memcpy(p, head, HDR_LEN);
			memset(p + HDR_LEN, (int)(seen + i), filler.len);
		}
		atomic_store(&filler.done, seen);
	}
	return NULL;
}

static void prepare(struct xdp_desc *descs, uint32_t len)
{
	uint32_t frames[BURST];

	if (xe_umem_take(&umem, frames, BURST) != BURST)
		die("frames");
	for (uint32_t i = 0; i < BURST; i++)
		descs[i] = (struct xdp_desc){
			.addr = ((uint64_t)frames[i] << XE_FRAME_SHIFT) + XE_FRAME_HEADROOM,
			.len = HDR_LEN + len,
		};
	filler.descs = descs;
	filler.len = len;
	atomic_fetch_add(&filler.asked, 1);
	while (atomic_load(&filler.done) != atomic_load(&filler.asked))
		sched_yield();
}

/* ---- one burst ---- */

static void burst_out(enum kind kind, struct xdp_desc *descs, uint32_t len)
{
	for (uint32_t i = 0; i < BURST; i++) {
		uint8_t *p = xe_umem_ptr(&umem, descs[i].addr), *udp = p + 34;

		if (kind == DEVICE) {
			xe_tx_csum_ask(p, 34, XE_UDP_CSUM);
			descs[i].options = XE_DESC_TX_META;
		} else {
			xe_put16(udp + XE_UDP_CSUM, xe_csum_finish_udp(xe_insum(udp, 8 + len)));
		}
		if (!xe_xsk_send(&xsk, &umem, &descs[i], 1))
			die("tx ring");
	}
	if (xe_xsk_flush(&xsk, &umem))
		die("flush");
	xe_xsk_complete(&xsk, &umem);
}

static uint32_t burst_in(void)
{
	struct iovec iov[BURST];
	struct mmsghdr msgs[BURST] = {};
	int n;

	for (uint32_t i = 0; i < BURST; i++) {
		iov[i] = (struct iovec){got[i], sizeof(got[i])};
		msgs[i].msg_hdr.msg_iov = &iov[i];
		msgs[i].msg_hdr.msg_iovlen = 1;
	}
	n = recvmmsg(sink_fd, msgs, BURST, MSG_DONTWAIT, NULL);
	return n < 0 ? 0 : (uint32_t)n;
}

struct cost {
	double send[ROUNDS], receive[ROUNDS], both[ROUNDS];
	uint32_t lost;
};

static void one(enum kind kind, uint32_t len, struct cost *c, uint32_t round)
{
	struct xdp_desc descs[BURST];
	uint64_t t0, t1, t2;

	prepare(descs, len);
	t0 = xe_now_ns();
	burst_out(kind, descs, len);
	t1 = xe_now_ns();
	c->lost += BURST - burst_in();
	t2 = xe_now_ns();
	c->send[round] = (double)(t1 - t0) / BURST;
	c->receive[round] = (double)(t2 - t1) / BURST;
	c->both[round] = (double)(t2 - t0) / BURST;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(double *v)
{
	qsort(v, ROUNDS, sizeof(v[0]), by_value);
	return v[ROUNDS / 2];
}

static void measure(uint32_t len)
{
	static struct cost cost[KINDS];
	double send[KINDS], receive[KINDS], both[KINDS];

	memset(cost, 0, sizeof(cost));
	xe_put16(head + 34 + XE_UDP_CSUM, make_head(len));
	for (uint32_t r = 0; r < ROUNDS; r++)
		for (int k = 0; k < KINDS; k++)
			one((enum kind)((r + (uint32_t)k) % KINDS), len,
			    &cost[(r + (uint32_t)k) % KINDS], r);
	for (int k = 0; k < KINDS; k++) {
		send[k] = median(cost[k].send);
		receive[k] = median(cost[k].receive);
		both[k] = median(cost[k].both);
	}
	printf("%7u %8.0f %8.0f %11.0f %8.0f %9.3f %11u %u\n", len, send[WORKER], send[DEVICE],
	       receive[WORKER], receive[DEVICE], both[DEVICE] / both[WORKER], cost[WORKER].lost,
	       cost[DEVICE].lost);
	fflush(stdout);
}

static void pin(int cpu)
{
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	CPU_SET(cpu, &cpus);
	sched_setaffinity(0, sizeof(cpus), &cpus);
}

int main(void)
{
	pthread_t thread;
	pid_t peer;

	if (geteuid())
		return fprintf(stderr, "needs root\n"), 1;
	peer = peer_start();
	run("ip link add h0 type veth peer name p0 netns %d; ip link set h0 up", peer);
	peer_setup(peer);
	xe_insum_init();
	if (xe_umem_open(&umem, FRAMES, -1) ||
	    xe_xsk_open(&xsk, &umem, (int)if_nametoindex("h0"), 0, false))
		return 1;
	if (xsk.csum_why) {
		printf("no offload here: %s\n", xsk.csum_why);
		goto out;
	}
	pin(1);
	pthread_create(&thread, NULL, fill, NULL);
	printf("%7s %17s %20s %9s %11s\n%7s %8s %8s %11s %8s\n", "payload", "send", "receive",
	       "ratio", "lost", "", "worker", "device", "worker", "device");
	for (size_t i = 0; i < LEN_CNT; i++)
		measure(lens[i]);
out:
	xe_xsk_close(&xsk);
	kill(peer, SIGKILL);
	waitpid(peer, NULL, 0);
	return 0;
}
