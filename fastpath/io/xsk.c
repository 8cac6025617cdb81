/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "io/xsk.h"

#include <errno.h>
#include <linux/if_xdp.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"

#ifndef SO_SNDBUFFORCE
#define SO_SNDBUFFORCE 32
#endif
/* Socket option of SOL_XDP: descriptors one sendto() sends in copy mode (kernel 6.17; 32 before).
 */
#define XE_XDP_MAX_TX_SKB_BUDGET 9
/* One kick sends a whole ring. */
#define TX_BUDGET 2048
/* In copy mode a packet occupies socket memory until its skb is freed: the default of 208 KiB
 * stops a burst after some 90 full-size packets. A full ring of frames with their overhead. */
#define SNDBUF_SIZE (16 << 20)
/* A closed socket's queue is free after an RCU grace period and a work item: tens of ms. */
#define BIND_TRIES    50
#define BIND_RETRY_US 20000
/* Kicks without progress before a flush gives up until the next round. */
#define FLUSH_TRIES 64

static int ring_map(struct xe_xsk *xsk, int n, off_t pgoff, size_t size, void **out)
{
	void *m =
		mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, xsk->fd, pgoff);

	if (m == MAP_FAILED)
		return -errno;
	xsk->map[n] = m;
	xsk->map_size[n] = size;
	*out = m;
	return 0;
}

/* Begin, or go on, where the ring stands. */
#define RING_RESUME(r, cached_free)                                                                \
	do {                                                                                       \
		(r)->cached_prod = *(r)->producer;                                                 \
		(r)->cached_cons = *(r)->consumer + (cached_free);                                 \
	} while (0)

/* Both ring kinds have the same members in libxdp; they differ in type only. */
#define RING_INIT(r, map, off, cached_free)                                                        \
	do {                                                                                       \
		(r)->mask = XE_RING_SIZE - 1;                                                      \
		(r)->size = XE_RING_SIZE;                                                          \
		(r)->producer = (void *)((char *)(map) + (off)->producer);                         \
		(r)->consumer = (void *)((char *)(map) + (off)->consumer);                         \
		(r)->flags = (void *)((char *)(map) + (off)->flags);                               \
		(r)->ring = (char *)(map) + (off)->desc;                                           \
		RING_RESUME(r, cached_free);                                                       \
	} while (0)

static int rings_map(struct xe_xsk *xsk)
{
	struct xdp_mmap_offsets off;
	socklen_t len = sizeof(off);
	void *m = NULL;
	int err;

	if (getsockopt(xsk->fd, SOL_XDP, XDP_MMAP_OFFSETS, &off, &len))
		return -errno;
	err = ring_map(xsk, 0, XDP_UMEM_PGOFF_FILL_RING, off.fr.desc + XE_RING_SIZE * sizeof(__u64),
		       &m);
	if (err)
		return err;
	RING_INIT(&xsk->fill, m, &off.fr, XE_RING_SIZE);
	err = ring_map(xsk, 1, XDP_UMEM_PGOFF_COMPLETION_RING,
		       off.cr.desc + XE_RING_SIZE * sizeof(__u64), &m);
	if (err)
		return err;
	RING_INIT(&xsk->comp, m, &off.cr, 0);
	err = ring_map(xsk, 2, XDP_PGOFF_RX_RING,
		       off.rx.desc + XE_RING_SIZE * sizeof(struct xdp_desc), &m);
	if (err)
		return err;
	RING_INIT(&xsk->rx, m, &off.rx, 0);
	err = ring_map(xsk, 3, XDP_PGOFF_TX_RING,
		       off.tx.desc + XE_RING_SIZE * sizeof(struct xdp_desc), &m);
	if (err)
		return err;
	RING_INIT(&xsk->tx, m, &off.tx, XE_RING_SIZE);
	return 0;
}

/* With room for checksum requests where the kernel knows them. */
static int umem_register(struct xe_xsk *xsk, const struct xe_umem *umem)
{
	struct xe_umem_reg reg = {
		.addr = (uintptr_t)umem->base,
		.len = umem->size,
		.chunk_size = XE_FRAME_SIZE,
	};

	xsk->csum_min = 0;
	xsk->csum_why = "switched off";
	if (xsk->csum_offload != XE_CSUM_OFFLOAD_OFF) {
		xsk->csum_why = NULL;
		xsk->meta = !xe_tx_csum_register(xsk->fd, reg);
		if (xsk->meta)
			return 0;
		xsk->csum_why = "kernel 6.8 is needed";
	}
	return setsockopt(xsk->fd, SOL_XDP, XDP_UMEM_REG, &reg, sizeof(reg)) ? -errno : 0;
}

/* After bind: the mode of the socket matters. */
static void choose_csum(struct xe_xsk *xsk)
{
	if (!xsk->csum_why)
		xsk->csum_why = xe_tx_csum_why_not(xsk->ifindex, xsk->zerocopy,
						   xsk->csum_offload == XE_CSUM_OFFLOAD_AUTO);
	if (!xsk->csum_why)
		xsk->csum_min = 1; /* the gain is small, but there is one at every length */
}

static int rings_make(struct xe_xsk *xsk, const struct xe_umem *umem)
{
	int size = XE_RING_SIZE, sndbuf = SNDBUF_SIZE, budget = TX_BUDGET;
	int err = umem_register(xsk, umem);

	if (err)
		return err;
	if (setsockopt(xsk->fd, SOL_XDP, XDP_UMEM_FILL_RING, &size, sizeof(size)) ||
	    setsockopt(xsk->fd, SOL_XDP, XDP_UMEM_COMPLETION_RING, &size, sizeof(size)) ||
	    setsockopt(xsk->fd, SOL_XDP, XDP_RX_RING, &size, sizeof(size)) ||
	    setsockopt(xsk->fd, SOL_XDP, XDP_TX_RING, &size, sizeof(size)))
		return -errno;
	/* Best effort, both: without them a burst takes more kicks. */
	setsockopt(xsk->fd, SOL_SOCKET, SO_SNDBUFFORCE, &sndbuf, sizeof(sndbuf));
	setsockopt(xsk->fd, SOL_XDP, XE_XDP_MAX_TX_SKB_BUDGET, &budget, sizeof(budget));
	return rings_map(xsk);
}

static int bind_once(struct xe_xsk *xsk, uint16_t flags)
{
	struct sockaddr_xdp sa = {
		.sxdp_family = AF_XDP,
		.sxdp_flags = flags,
		.sxdp_ifindex = xsk->ifindex,
		.sxdp_queue_id = xsk->queue,
	};

	for (int i = 0; i < BIND_TRIES; i++) {
		if (!bind(xsk->fd, (struct sockaddr *)&sa, sizeof(sa)))
			return 0;
		if (errno != EBUSY)
			return -errno;
		usleep(BIND_RETRY_US);
	}
	return -EBUSY;
}

/* Multi-buffer first (superpackets and jumbo frames need it), plain where the kernel is older. */
static int xsk_bind(struct xe_xsk *xsk, bool zerocopy_wanted)
{
	uint16_t copy = XDP_USE_NEED_WAKEUP | XDP_COPY, zc = XDP_USE_NEED_WAKEUP | XDP_ZEROCOPY;
	int err;

	xsk->multi_buffer = true;
	if (zerocopy_wanted && !bind_once(xsk, zc | XDP_USE_SG)) {
		xsk->zerocopy = true;
		return 0;
	}
	err = bind_once(xsk, copy | XDP_USE_SG);
	if (!err || err == -EBUSY) /* busy: no other flags will help */
		return err;
	xsk->multi_buffer = false;
	return bind_once(xsk, copy);
}

int xe_xsk_open(struct xe_xsk *xsk, const struct xe_umem *umem, int ifindex, uint16_t queue,
		bool zerocopy_wanted)
{
	const char *step = "socket(AF_XDP)";
	int err;

	xsk->ifindex = ifindex;
	xsk->queue = queue;
	xsk->fill_idle = xsk->fill_target = XE_FILL_MIN;
	xsk->fd = socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0);
	if (xsk->fd < 0) {
		err = -errno;
		goto out;
	}
	step = "UMEM and rings";
	err = rings_make(xsk, umem);
	if (err)
		goto out;
	step = "bind";
	err = xsk_bind(xsk, zerocopy_wanted);
	if (!err)
		choose_csum(xsk);
out:
	if (err && err != -EBUSY) /* of that the caller's line says all */
		xe_log_err("AF_XDP socket on interface %d queue %u: %s: %s%s", ifindex, queue, step,
			   strerror(-err),
			   err == -ENOBUFS || err == -ENOMEM
				   ? " (locked memory: raise RLIMIT_MEMLOCK or give CAP_IPC_LOCK)"
				   : "");
	if (err)
		xe_xsk_close(xsk);
	return err;
}

int xe_xsk_adopt(struct xe_xsk *xsk, int fd, bool meta)
{
	int err;

	xsk->fd = fd;
	xsk->fill_idle = xsk->fill_target = XE_FILL_MIN;
	xsk->meta = meta;
	err = rings_map(xsk);
	if (err) {
		xe_log_err("AF_XDP socket of interface %d queue %u, given to us: %s", xsk->ifindex,
			   xsk->queue, strerror(-err));
		xe_xsk_close(xsk);
		return err;
	}
	xsk->csum_min = 0;
	xsk->csum_why = xsk->csum_offload == XE_CSUM_OFFLOAD_OFF ? "switched off"
			: meta                                   ? NULL
			       : "the socket was opened without, by the service before this one";
	choose_csum(xsk);
	return 0;
}

void xe_xsk_resume(struct xe_xsk *xsk)
{
	RING_RESUME(&xsk->fill, XE_RING_SIZE);
	RING_RESUME(&xsk->tx, XE_RING_SIZE);
	RING_RESUME(&xsk->rx, 0);
	RING_RESUME(&xsk->comp, 0);
}

void xe_xsk_close(struct xe_xsk *xsk)
{
	for (int i = 0; i < 4; i++) {
		if (xsk->map[i])
			munmap(xsk->map[i], xsk->map_size[i]);
		xsk->map[i] = NULL;
	}
	if (xsk->fd >= 0)
		close(xsk->fd);
	xsk->fd = -1;
}

int xe_xsk_lost(const struct xe_xsk *xsk, struct xe_xsk_lost *lost)
{
	struct xdp_statistics st = {};
	socklen_t len = sizeof(st);

	if (getsockopt(xsk->fd, SOL_XDP, XDP_STATISTICS, &st, &len))
		return -errno;
	*lost = (struct xe_xsk_lost){
		.rx_dropped = st.rx_dropped,
		.rx_ring_full = st.rx_ring_full,
		.tx_invalid = st.tx_invalid_descs,
	};
	return 0;
}

/* A zero-copy driver that ran out of frames waits to be told that there are some again. */
static void wake_driver(struct xe_xsk *xsk)
{
	if (xsk->zerocopy && xsk_ring_prod__needs_wakeup(&xsk->fill))
		recvfrom(xsk->fd, NULL, 0, MSG_DONTWAIT, NULL, NULL);
}

/* A socket may hold half of what is free beyond a quarter of all frames: one has what it wants, k
 * busy ones have 1/(k + 2) of it each and nobody takes the last. What idle ones are to keep goes
 * down to an eighth of all; the rest is for cutting and sending, but for the least that receiving
 * needs. */
static uint32_t fill_limit(const struct xe_xsk *xsk, const struct xe_umem *umem)
{
	uint32_t quarter = umem->frame_cnt / 4, limit = XE_FILL_MIN;

	if (umem->free_cnt > quarter / 2 && xsk->fill_idle > limit)
		limit = xsk->fill_idle;
	if (umem->free_cnt > quarter && (umem->free_cnt - quarter) / 2 > limit)
		limit = (umem->free_cnt - quarter) / 2;
	return limit;
}

void xe_xsk_refill(struct xe_xsk *xsk, struct xe_umem *umem, uint32_t fill_max)
{
	uint32_t target = xsk->fill_target < fill_max ? xsk->fill_target : fill_max;
	uint32_t frames[64], idx = 0, n;

	if (xsk->fill_cnt >= target)
		return;
	n = fill_limit(xsk, umem);
	if (target > n)
		target = n;
	if (xsk->fill_cnt >= target)
		return;
	while (xsk->fill_cnt < target) {
		n = target - xsk->fill_cnt;
		n = xe_umem_take(umem, frames, n < 64 ? n : 64);
		if (!n)
			return;
		if (xsk_ring_prod__reserve(&xsk->fill, n, &idx) != n) {
			for (uint32_t i = 0; i < n; i++)
				xe_umem_put(umem, frames[i]);
			return;
		}
		for (uint32_t i = 0; i < n; i++) {
			*xsk_ring_prod__fill_addr(&xsk->fill, idx + i) = (uint64_t)frames[i]
									 << XE_FRAME_SHIFT;
			xe_umem_move(umem, frames[i], XE_HOLDER_HAND, xsk->slot * 2);
		}
		xsk_ring_prod__submit(&xsk->fill, n);
		umem->hand_cnt -= n;
		xsk->fill_cnt += n;
	}
	wake_driver(xsk);
}

void xe_xsk_complete(struct xe_xsk *xsk, struct xe_umem *umem)
{
	uint32_t idx, n = xsk_ring_cons__peek(&xsk->comp, XE_RING_SIZE, &idx);

	for (uint32_t i = 0; i < n; i++) {
		uint32_t frame = xe_frame_of(*xsk_ring_cons__comp_addr(&xsk->comp, idx + i));

		xe_umem_free(umem, frame, xsk->slot * 2 + 1);
	}
	if (n)
		xsk_ring_cons__release(&xsk->comp, n);
	xsk->tx_cnt -= n;
}

/* Descriptors the kernel has not taken yet. */
static uint32_t tx_waiting(const struct xe_xsk *xsk)
{
	return xsk->tx.cached_prod - __atomic_load_n(xsk->tx.consumer, __ATOMIC_ACQUIRE);
}

int xe_xsk_flush(struct xe_xsk *xsk, struct xe_umem *umem)
{
	int tries = FLUSH_TRIES, err = 0;

	while (tries-- && tx_waiting(xsk)) {
		if (sendto(xsk->fd, NULL, 0, MSG_DONTWAIT, NULL, 0) >= 0) {
			xe_xsk_complete(xsk, umem);
			err = 0;
			continue;
		}
		err = -errno;
		/* EAGAIN: the budget of one call; EBUSY: one packet dropped by the device, which
		 * has been completed; ENOBUFS: completions or socket memory. All go on. */
		if (err != -EAGAIN && err != -EBUSY && err != -ENOBUFS)
			break;
		xe_xsk_complete(xsk, umem);
	}
	xsk->kick = tx_waiting(xsk) != 0;
	return xsk->kick ? err : 0;
}
