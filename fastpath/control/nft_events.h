/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * nft_events.h - has somebody else changed a table of nftables?
 *
 * The kernel tells of each transaction (NFNLGRP_NFTABLES): an event for each thing that it changed,
 * with its table, and at its end who made it. So nothing has to be listed as long as others change
 * only tables of theirs, and a change of this one is known however many rules it has. Ours are made
 * by the runner of nft_run.h, or by this process, which are known by their name.
 */
#ifndef XE_NFT_EVENTS_H
#define XE_NFT_EVENTS_H

#include <stdbool.h>

struct xe_nft_events;

/* Of `table` of family inet, from now on. The calling thread's network namespace. NULL: the kernel
 * does not tell us. */
struct xe_nft_events *xe_nft_events_open(const char *table);
void xe_nft_events_close(struct xe_nft_events *ev);

enum xe_nft_told {
	XE_NFT_NOTHING, /* nobody else has changed it since the last xe_nft_events_forget() */
	XE_NFT_CHANGED, /* somebody else has */
	XE_NFT_UNKNOWN, /* events were lost, or ev is NULL: it has to be looked at */
};
/* Takes in what there is, and does not wait. */
enum xe_nft_told xe_nft_events_look(struct xe_nft_events *ev);
/* What has been told so far is of no interest: the table is about to be looked at. */
void xe_nft_events_forget(struct xe_nft_events *ev);

#endif
