/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * bench_small_tx.c - small packets into a veth: by an AF_XDP tx ring (copy mode), and by AF_PACKET
 * with a virtio-net header and sendmmsg, as a worker sends on a port whose socket is another's.
 *
 *	bench_small_tx [BYTES [ROUNDS]]
 *
 * In a network namespace of its own. Alternating rounds of 0.4 s in bursts of 32; prints ns a
 * packet of CPU time of this thread (what the kernel does within the send included), and the ratio
 * of the medians.
 */
#include <arpa/inet.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "io/gso_tx.h"
#include "io/xsk.h"

#define BURST      32
#define ROUND_NS   (400 * XE_NS_PER_MS)
#define ROUNDS_MAX 64

static struct xe_umem umem;
static struct xe_xsk xsk;
static struct xe_gso_tx gso;
static int ifindex;
static uint32_t len = 64;

static uint64_t cpu_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * XE_NS_PER_SEC + (uint64_t)ts.tv_nsec;
}

/* To an Ethernet address that is nobody's: the receiver drops it at once, for both ways alike. */
static void fill(uint32_t frame)
{
	uint8_t *p = xe_umem_ptr(&umem, (uint64_t)frame << XE_FRAME_SHIFT);

	memset(p, 0, len);
	memset(p, 0x42, 12);
	p[12] = 8;
}

static uint64_t by_xsk(void)
{
	uint32_t frames[BURST], n = xe_umem_take(&umem, frames, BURST);

	for (uint32_t i = 0; i < n; i++) {
		struct xdp_desc d = {.addr = (uint64_t)frames[i] << XE_FRAME_SHIFT, .len = len};

		fill(frames[i]);
		if (!xe_xsk_send(&xsk, &umem, &d, 1))
			xe_umem_put(&umem, frames[i]);
	}
	xe_xsk_flush(&xsk, &umem);
	xe_xsk_complete(&xsk, &umem);
	return n;
}

static uint64_t by_packet(void)
{
	uint32_t frames[BURST], n = xe_umem_take(&umem, frames, BURST), sent = 0;
	int err;

	for (uint32_t i = 0; i < n; i++) {
		struct xe_gso_item *item = xe_gso_tx_next(&gso, 1);

		if (!item) {
			sent += xe_gso_tx_send(&gso, 0, gso.cnt, false, &err);
			gso.cnt = 0;
			item = xe_gso_tx_next(&gso, 1);
		}
		fill(frames[i]);
		item->to.sll_ifindex = ifindex;
		item->to.sll_protocol = htons(0x0800);
		item->iov[1] = (struct iovec){
			.iov_base = xe_umem_ptr(&umem, (uint64_t)frames[i] << XE_FRAME_SHIFT),
			.iov_len = len,
		};
	}
	sent += xe_gso_tx_send(&gso, 0, gso.cnt, false, &err);
	gso.cnt = 0;
	for (uint32_t i = 0; i < n; i++)
		xe_umem_put(&umem, frames[i]);
	return sent;
}

static double run(uint64_t (*burst)(void))
{
	uint64_t start_ns = cpu_ns(), end_ns = xe_now_ns() + ROUND_NS, cnt = 0;

	while (xe_now_ns() < end_ns)
		cnt += burst();
	return (double)(cpu_ns() - start_ns) / (double)cnt;
}

static int compare(const void *a, const void *b)
{
	return *(const double *)a < *(const double *)b ? -1 : 1;
}

int main(int argc, char **argv)
{
	double ns[2][ROUNDS_MAX];
	int rounds = argc > 2 ? atoi(argv[2]) : 7;

	if (argc > 1)
		len = (uint32_t)atoi(argv[1]);
	if (rounds < 1 || rounds > ROUNDS_MAX || len < 60 || len > 1514)
		return 2;
	if (unshare(CLONE_NEWNET) ||
	    system("ip link add va type veth peer name vb && ip link set va up && "
		   "ip link set vb up") ||
	    xe_umem_open(&umem, 4096, -1) || xe_gso_tx_open(&gso)) {
		fprintf(stderr, "set-up failed (root?)\n");
		return 1;
	}
	ifindex = (int)if_nametoindex("va");
	if (xe_xsk_open(&xsk, &umem, ifindex, 0, false))
		return 1;
	for (int i = 0; i < rounds; i++) {
		ns[0][i] = run(by_xsk);
		ns[1][i] = run(by_packet);
		printf("tx ring %.0f ns, AF_PACKET %.0f ns\n", ns[0][i], ns[1][i]);
	}
	for (int k = 0; k < 2; k++)
		qsort(ns[k], (size_t)rounds, sizeof(ns[k][0]), compare);
	printf("%u bytes: medians %.0f (%.0f to %.0f) and %.0f (%.0f to %.0f): AF_PACKET takes "
	       "%.2f of the tx ring's time\n",
	       len, ns[0][rounds / 2], ns[0][0], ns[0][rounds - 1], ns[1][rounds / 2], ns[1][0],
	       ns[1][rounds - 1], ns[1][rounds / 2] / ns[0][rounds / 2]);
	xe_xsk_close(&xsk);
	xe_gso_tx_close(&gso);
	xe_umem_close(&umem);
	return 0;
}
