/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * nft_generation.h - has anything in nftables changed? One number to compare.
 */
#ifndef XE_NFT_GENERATION_H
#define XE_NFT_GENERATION_H

#include <stdint.h>

/* The number of the rule set of the calling thread's network namespace: the kernel raises it with
 * every transaction, whosever it was. 0: it could not be asked. Some 10 us. */
uint32_t xe_nft_generation(void);

#endif
