/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "io/umem.h"

#include <errno.h>
#include <numa.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/log.h"

/* Frames taken home in one go: a few bursts of small packets. */
#define COLLECT_BATCH 256

int xe_area_open(struct xe_area *area, uint32_t slice_cnt, const int *nodes, uint32_t worker_cnt)
{
	size_t slice_size = (size_t)slice_cnt << XE_FRAME_SHIFT;

	memset(area, 0, sizeof(*area));
	area->size = slice_size * worker_cnt;
	area->base =
		mmap(NULL, area->size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (area->base == MAP_FAILED) {
		memset(area, 0, sizeof(*area));
		return -ENOMEM;
	}
	/* A hint only: fewer TLB misses where the kernel has huge pages to give. */
	madvise(area->base, area->size, MADV_HUGEPAGE);
	for (uint32_t w = 0; w < worker_cnt; w++)
		if (nodes[w] >= 0 && numa_available() >= 0)
			numa_tonode_memory(area->base + w * slice_size, slice_size, nodes[w]);
	area->slice_cnt = slice_cnt;
	area->frame_cnt = slice_cnt * worker_cnt;
	return 0;
}

void xe_area_close(struct xe_area *area)
{
	if (area->base)
		munmap(area->base, area->size);
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
