/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "io/umem.h"

#include <errno.h>
#include <numa.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/log.h"

int xe_umem_open(struct xe_umem *umem, uint32_t frame_cnt, int node)
{
	int err = -ENOMEM;

	memset(umem, 0, sizeof(*umem));
	umem->size = (size_t)frame_cnt << XE_FRAME_SHIFT;
	umem->base =
		mmap(NULL, umem->size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (umem->base == MAP_FAILED) {
		umem->base = NULL;
		goto out;
	}
	if (node >= 0 && numa_available() >= 0)
		numa_tonode_memory(umem->base, umem->size, node);
	/* A hint only: fewer TLB misses where the kernel has huge pages to give. */
	madvise(umem->base, umem->size, MADV_HUGEPAGE);
	umem->free = calloc(frame_cnt, sizeof(*umem->free));
	umem->holder = calloc(frame_cnt, sizeof(*umem->holder));
	if (!umem->free || !umem->holder)
		goto out;
	umem->frame_cnt = frame_cnt;
	for (uint32_t i = 0; i < frame_cnt; i++) {
		umem->free[i] = frame_cnt - 1 - i;
		umem->holder[i] = XE_HOLDER_FREE;
	}
	umem->free_cnt = frame_cnt;
	err = 0;
out:
	if (err)
		xe_umem_close(umem);
	return err;
}

void xe_umem_close(struct xe_umem *umem)
{
	if (umem->base)
		munmap(umem->base, umem->size);
	free(umem->free);
	free(umem->holder);
	memset(umem, 0, sizeof(*umem));
}

uint32_t xe_umem_reclaim(struct xe_umem *umem, uint16_t slot)
{
	uint32_t found = 0;

	for (uint32_t i = 0; i < umem->frame_cnt; i++) {
		if (umem->holder[i] >> 1 != slot)
			continue;
		umem->holder[i] = XE_HOLDER_FREE;
		umem->free[umem->free_cnt++] = i;
		found++;
	}
	return found;
}

int xe_umem_audit(const struct xe_umem *umem, uint32_t fill_cnt, uint32_t tx_cnt)
{
	uint32_t free_cnt = 0, hand_cnt = 0, fill = 0, tx = 0;

	for (uint32_t i = 0; i < umem->frame_cnt; i++) {
		switch (umem->holder[i]) {
		case XE_HOLDER_FREE:
			free_cnt++;
			break;
		case XE_HOLDER_HAND:
			hand_cnt++;
			break;
		default:
			umem->holder[i] & 1 ? tx++ : fill++;
		}
	}
	if (free_cnt == umem->free_cnt && hand_cnt == umem->hand_cnt && fill == fill_cnt &&
	    tx == tx_cnt)
		return 0;
	xe_log_err("frames do not add up: free %u (counted %u), in hand %u (%u), fill %u (%u), "
		   "tx %u (%u) of %u",
		   umem->free_cnt, free_cnt, umem->hand_cnt, hand_cnt, fill_cnt, fill, tx_cnt, tx,
		   umem->frame_cnt);
	return -EIO;
}
