/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "io/umem.h"

#include <errno.h>
#include <numa.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"

/* Frames taken home in one go: a few bursts of small packets. */
#define COLLECT_BATCH 256

/* Of kernel 5.14; without it pages are mapped as they are touched. */
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif
/* A huge page of 2 MiB, which x86 and most others have: 1 GiB ones would waste most of the first.
 */
#define HUGE_SHIFT 21
#define HUGE_SIZE  ((size_t)1 << HUGE_SHIFT)
#define HUGE_FLAGS (MFD_HUGETLB | HUGE_SHIFT << 26) /* MFD_HUGE_SHIFT */

/* A memfd of huge pages where the host has reserved some, else of small ones. */
static int make_memfd(size_t size, bool huge)
{
	int fd = memfd_create("xegress-frames", MFD_CLOEXEC | (huge ? HUGE_FLAGS : 0));
	int err;

	if (fd < 0)
		return -errno;
	if (!ftruncate(fd, (off_t)size))
		return fd;
	err = -errno;
	close(fd);
	return err;
}

/* Where a huge page begins, or the kernel could not map one whole. */
static uint8_t *map_aligned(int fd, size_t size)
{
	size_t room = size + HUGE_SIZE, skip;
	uint8_t *at, *m = mmap(NULL, room, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
			       -1, 0);

	if (m == MAP_FAILED)
		return NULL;
	skip = -(uintptr_t)m & (HUGE_SIZE - 1);
	if (skip)
		munmap(m, skip);
	munmap(m + skip + size, room - size - skip);
	at = mmap(m + skip, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0);
	if (at != MAP_FAILED)
		return at;
	munmap(m + skip, size);
	return NULL;
}

/* Huge pages save TLB misses; where none are reserved the hint is for hosts whose shmem_enabled
 * says `advise`. What they are worth: docs/architecture.md. */
static int area_memory(struct xe_area *area)
{
	area->fd = make_memfd(area->size, true);
	if (area->fd >= 0) {
		area->base = map_aligned(area->fd, area->size);
		if (area->base)
			return 0;
		close(area->fd);
	}
	area->fd = make_memfd(area->size, false);
	if (area->fd < 0)
		return area->fd;
	area->base = map_aligned(area->fd, area->size);
	if (!area->base) {
		close(area->fd);
		return -ENOMEM;
	}
	madvise(area->base, area->size, MADV_HUGEPAGE);
	return 0;
}

int xe_area_open(struct xe_area *area, uint32_t slice_cnt, const int *nodes, uint32_t worker_cnt)
{
	size_t slice_size = (size_t)slice_cnt << XE_FRAME_SHIFT;
	int err;

	memset(area, 0, sizeof(*area));
	area->size = slice_size * worker_cnt;
	err = area_memory(area);
	if (err) {
		memset(area, 0, sizeof(*area));
		return err;
	}
	for (uint32_t w = 0; w < worker_cnt; w++)
		if (nodes[w] >= 0 && numa_available() >= 0)
			numa_tonode_memory(area->base + w * slice_size, slice_size, nodes[w]);
	area->slice_cnt = slice_cnt;
	area->frame_cnt = slice_cnt * worker_cnt;
	return 0;
}

int xe_area_adopt(struct xe_area *area, int fd, uint32_t frame_cnt, uint32_t worker_cnt)
{
	struct stat st;

	memset(area, 0, sizeof(*area));
	area->size = (size_t)frame_cnt << XE_FRAME_SHIFT;
	/* Behind its end each touch would be a SIGBUS. */
	if (!fstat(fd, &st) && (size_t)st.st_size >= area->size)
		area->base = map_aligned(fd, area->size);
	if (!area->base) {
		memset(area, 0, sizeof(*area));
		return -ENOMEM;
	}
	area->fd = fd;
	/* The pages are there; a fault for each would come at the worst moment. */
	madvise(area->base, area->size, MADV_POPULATE_WRITE);
	area->slice_cnt = frame_cnt / worker_cnt;
	area->frame_cnt = frame_cnt;
	return 0;
}

void xe_area_close(struct xe_area *area)
{
	if (area->base) {
		munmap(area->base, area->size);
		close(area->fd);
	}
	memset(area, 0, sizeof(*area));
}

int xe_umem_open_slice(struct xe_umem *umem, const struct xe_area *area, struct xe_handoff *handoff,
		       uint32_t worker)
{
	uint32_t cnt = area->slice_cnt;

	memset(umem, 0, sizeof(*umem));
	umem->base = area->base;
	umem->size = area->size;
	umem->area_cnt = area->frame_cnt;
	umem->handoff = handoff;
	umem->worker = worker;
	umem->first = worker * cnt;
	umem->free = calloc(cnt, sizeof(*umem->free));
	umem->holder = calloc(area->frame_cnt, sizeof(*umem->holder));
	if (!umem->free || !umem->holder) {
		xe_umem_close(umem);
		return -ENOMEM;
	}
	umem->frame_cnt = umem->free_cnt = cnt;
	for (uint32_t i = 0; i < area->frame_cnt; i++)
		umem->holder[i] = XE_HOLDER_AWAY;
	for (uint32_t i = 0; i < cnt; i++) {
		umem->free[i] = umem->first + cnt - 1 - i;
		umem->holder[umem->free[i]] = XE_HOLDER_FREE;
	}
	return 0;
}

int xe_umem_open(struct xe_umem *umem, uint32_t frame_cnt, int node)
{
	struct xe_area area;
	int err = xe_area_open(&area, frame_cnt, &node, 1);

	memset(umem, 0, sizeof(*umem));
	if (err)
		return err;
	err = xe_umem_open_slice(umem, &area, NULL, 0);
	if (err)
		xe_area_close(&area);
	else
		umem->lone = area;
	return err;
}

void xe_umem_close(struct xe_umem *umem)
{
	xe_area_close(&umem->lone);
	free(umem->free);
	free(umem->holder);
	memset(umem, 0, sizeof(*umem));
}

void xe_umem_collect(struct xe_umem *umem)
{
	uint32_t frames[COLLECT_BATCH], n;

	for (uint32_t from = 0; from < umem->handoff->worker_cnt; from++) {
		if (from == umem->worker)
			continue;
		n = xe_handoff_collect(umem->handoff, from, umem->worker, frames, COLLECT_BATCH);
		for (uint32_t i = 0; i < n; i++) {
			xe_umem_move(umem, frames[i], XE_HOLDER_LENT, XE_HOLDER_FREE);
			umem->free[umem->free_cnt++] = frames[i];
		}
		umem->lent_cnt -= n;
	}
}

uint32_t xe_umem_reclaim(struct xe_umem *umem, uint16_t slot)
{
	uint32_t found = 0;

	for (uint32_t i = 0; i < umem->area_cnt; i++) {
		if (umem->holder[i] >> 1 != slot)
			continue;
		xe_umem_free(umem, i, umem->holder[i]);
		found++;
	}
	return found;
}

int xe_umem_audit(const struct xe_umem *umem, uint32_t fill_cnt, uint32_t tx_cnt)
{
	uint32_t free_cnt = 0, hand_cnt = 0, fill = 0, tx = 0, lent = 0, guests = 0;

	for (uint32_t i = 0; i < umem->area_cnt; i++) {
		guests += !xe_umem_is_own(umem, i) && umem->holder[i] != XE_HOLDER_AWAY;
		switch (umem->holder[i]) {
		case XE_HOLDER_FREE:
			free_cnt++;
			break;
		case XE_HOLDER_HAND:
			hand_cnt++;
			break;
		case XE_HOLDER_LENT:
			lent++;
			break;
		case XE_HOLDER_AWAY:
			break;
		default:
			umem->holder[i] & 1 ? tx++ : fill++;
		}
	}
	if (free_cnt == umem->free_cnt && hand_cnt == umem->hand_cnt && fill == fill_cnt &&
	    tx == tx_cnt && lent == umem->lent_cnt && guests == umem->guest_cnt &&
	    free_cnt + hand_cnt + fill + tx + lent == umem->frame_cnt + guests)
		return 0;
	xe_log_err("frames do not add up: free %u (counted %u), in hand %u (%u), fill %u (%u), "
		   "tx %u (%u), lent %u (%u), guests %u (%u) of %u",
		   umem->free_cnt, free_cnt, umem->hand_cnt, hand_cnt, fill_cnt, fill, tx_cnt, tx,
		   umem->lent_cnt, lent, umem->guest_cnt, guests, umem->frame_cnt);
	return -EIO;
}
