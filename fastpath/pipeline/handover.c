/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * handover.c - a packet whose session another worker owns goes there; the ring is io/handoff.h.
 *
 * A session belongs to the worker of its inside port, its replies come in wherever the uplink's
 * queue is. Asked is only for packets that no session here has, so that a hit costs nothing:
 *
 *   translated     who has the block of the Ext L4 port (state/natpool.h)
 *   untranslated   in whose region is a live tag of the tuple (state/live.h)
 *
 * The block need not be the session's worker's: one that was adopted without its block is announced
 * by tags (pipeline/adopt.h), so who is handed a reply by the block and has no session asks for
 * those. A tag can be another tuple's. Then the packet goes on to the next worker that has one,
 * upwards only, so that it ends; the first packet of a flow from an inside port goes from there to
 * the owner of its port, with XE_META_FINAL. All packets of a flow take the same way, so they stay
 * in order, but for one case: where there is an `accept` rule, and another worker has the tag of a
 * new UDP flow for another tuple. Its first packets go there and come back; one that arrives when
 * the first of them has made the session, and others are not back yet, overtakes those. (TCP sends
 * one packet until it is answered.)
 */
#include <arpa/inet.h>
#include <netinet/in.h>

#include "pipeline/pipeline.h"
#include "pipeline/reassemble.h"
#include "pipeline/stall.h"

void xe_hand_meta(struct xe_packet *p, uint32_t how)
{
	struct xe_meta meta;

	memcpy(&meta, p->l2 - sizeof(meta), sizeof(meta));
	meta.gso_size = p->gso_size;
	meta.gso_type = p->gso_type;
	meta.flow_hash = p->hash;
	meta.port = p->in_port;
	meta.magic = XE_META_MAGIC ^ p->in_port;
	meta.flags &= ~(XE_META_FINAL | XE_META_BY_BLOCK | XE_META_HAIRPIN | XE_META_JOIN_HERE);
	meta.flags |=
		how | (p->hairpin ? XE_META_HAIRPIN : 0) | (p->frag_max ? XE_META_JOIN_HERE : 0);
	memcpy(p->l2 - sizeof(meta), &meta, sizeof(meta));
}

void xe_hand_to(struct xe_lane *lane, struct xe_packet *p, uint32_t worker, uint32_t how)
{
	if (xe_is_stalled(lane, worker)) {
		xe_stall_give_up(lane, p);
		return;
	}
	if (p->frag_cnt) {
		xe_reassemble_hand(lane, p, worker, how);
		return;
	}
	xe_hand_meta(p, how);
	if (!xe_handoff_put(lane->handoff, lane->worker, worker, p->frames, p->frame_cnt)) {
		xe_packet_drop(lane, p, XE_R_HANDOVER_FULL);
		return;
	}
	for (uint32_t i = 0; i < p->frame_cnt; i++)
		xe_umem_hand_out(&lane->umem, xe_packet_frame(p, i));
	xe_count(&lane->cnt.handed_out, 1);
	p->frame_cnt = 0;
	p->ended = true;
}

/* By the block of the Ext L4 port. What was handed here for that is not passed on: then the block
 * has just changed its owner, and the session has ended. */
static uint32_t block_owner(const struct xe_lane *lane, const struct xe_packet *p)
{
	struct xe_addr dst;
	uint16_t owner;

	if (p->role != XE_ROLE_UPLINK || p->handed)
		return XE_NO_WORKER;
	dst = xe_packet_dst(p);
	owner = xe_natpool_owner(&lane->pool, &dst, p->key.proto == IPPROTO_UDP,
				 ntohs(p->key.dport_be));
	return owner == lane->worker ? XE_NO_WORKER : owner;
}

static uint32_t tag_owner(const struct xe_lane *lane, const struct xe_packet *p)
{
	struct xe_live live = lane->live;
	uint32_t w = p->handed == XE_HANDED_IN ? lane->worker + 1 : 0;

	if (!__atomic_load_n(lane->any_accept, __ATOMIC_RELAXED))
		return XE_NO_WORKER;
	for (; w < lane->worker_cnt; w++) {
		live.buckets = lane->live_all + (size_t)w * (live.mask + 1);
		if (w != lane->worker && xe_live_has(&live, p->hash))
			return w;
	}
	return XE_NO_WORKER;
}

bool xe_handover(struct xe_lane *lane, struct xe_packet *p)
{
	uint32_t worker;

	if (p->handed == XE_HANDED_FINAL)
		return false;
	worker = block_owner(lane, p);
	if (worker != XE_NO_WORKER) {
		xe_hand_to(lane, p, worker, XE_META_BY_BLOCK);
		return true;
	}
	worker = tag_owner(lane, p);
	if (worker != XE_NO_WORKER) {
		xe_hand_to(lane, p, worker, 0);
		return true;
	}
	worker = lane->ports[p->in_port].worker;
	if (!p->handed || p->role == XE_ROLE_UPLINK || worker == lane->worker)
		return false;
	xe_hand_to(lane, p, worker, XE_META_FINAL);
	return true;
}
