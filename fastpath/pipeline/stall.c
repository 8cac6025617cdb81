/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "pipeline/stall.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include "base/clock.h"
#include "pipeline/pipeline.h"

_Static_assert(XE_MAX_WORKERS <= 32, "a bit for each in lane.stalled");

static void drop_burst(struct xe_lane *lane)
{
	xe_burst_for_each (p, &lane->burst)
		if (!p->ended)
			xe_packet_drop(lane, p, XE_R_STALE);
}

/* As many as there are: steer adds none while the beat is old. */
static void drop_received(struct xe_lane *lane, struct xe_xsk *xsk)
{
	for (uint32_t left = xsk->rx.size, n; left && (n = xe_rx(lane, xsk)); left -= n) {
		drop_burst(lane);
		if (n > left)
			break;
	}
}

/* Other workers may still be at it, so no more than there are now. */
static void drop_handed(struct xe_lane *lane, uint32_t from)
{
	struct xe_handoff *h = lane->handoff;
	uint32_t start = xe_handoff_taken(h, from, lane->worker);
	uint32_t there = xe_handoff_avail(h, from, lane->worker);

	while (xe_handoff_taken(h, from, lane->worker) - start < there) {
		xe_rx_handed(lane, from);
		drop_burst(lane);
	}
}

static void drop_stale(struct xe_lane *lane)
{
	for (uint32_t i = 0; i < lane->xsk_cnt; i++)
		drop_received(lane, lane->xsks[i]);
	for (uint32_t from = 0; lane->handoff && from < lane->worker_cnt; from++)
		if (from != lane->worker)
			drop_handed(lane, from);
	xe_hold_flush(lane, XE_PORT_NONE, XE_R_STALE);
	if (lane->handoff)
		xe_handoff_publish(lane->handoff, lane->worker);
}

/* A TCP flow whose first SYN had not been answered here has sent another one meanwhile, by the
 * kernel's path and mapping, and may be established there. Its next segment must not leave by ours:
 * the peer would answer with a reset. Without a session it is a flow of the kernel's, which comes
 * here with the others (control/ct_adopt.h), or begins anew. What is not translated is the same by
 * either path. */
static void forget_unanswered(struct xe_lane *lane)
{
	struct xe_sessions *t = &lane->sessions;

	for (uint32_t i = 0; i < t->high; i++) {
		struct xe_session *s = &t->slots[i];
		enum xe_dir answer = s->flags & XE_SF_FROM_OUTSIDE ? XE_DIR_OUT : XE_DIR_BACK;

		if (s->tcp_state == XE_TCP_SYN_SENT && !xe_session_packets(s, answer) &&
		    xe_session_is_translated(s))
			xe_flow_end(lane, s);
	}
}

bool xe_stall_tick(struct xe_lane *lane, uint64_t now_ns)
{
	uint64_t gap_ns = now_ns - lane->ticked_ns;
	bool stalled = lane->ticked_ns && gap_ns + lane->quiet_ns > XE_BEAT_MAX_AGE_NS;

	if (stalled) {
		lane->stood_ns += gap_ns;
		drop_stale(lane);
		forget_unanswered(lane);
		__atomic_store_n(&lane->stall_last_ns, gap_ns, __ATOMIC_RELAXED);
		__atomic_store_n(&lane->stall_cnt, lane->stall_cnt + 1, __ATOMIC_RELEASE);
	}
	lane->ticked_ns = now_ns;
	lane->quiet_ns = 0;
	/* read by the control thread (state_dir.c) */
	__atomic_store_n(&lane->now_s, (uint32_t)((now_ns - lane->stood_ns) / XE_NS_PER_SEC),
			 __ATOMIC_RELAXED);
	lane->now_us = now_ns / 1000;
	return stalled;
}

void xe_stall_look(struct xe_lane *lane, uint64_t now_ns)
{
	uint32_t stalled = 0;

	for (uint32_t w = 0; w < lane->worker_cnt; w++) {
		uint64_t beat_ns = __atomic_load_n(&lane->beats[w], __ATOMIC_RELAXED);

		if (w != lane->worker && now_ns > beat_ns + XE_BEAT_MAX_AGE_NS)
			stalled |= 1u << w;
	}
	lane->stalled = stalled;
}

/* Translated flows the kernel knows nothing of: its safety net would drop them, after a system call
 * for each. An ICMP error is about one of them, mostly. */
static bool is_kernels_business(const struct xe_lane *lane, const struct xe_packet *p)
{
	struct xe_addr dst;

	if (p->hairpin || (p->proto != IPPROTO_TCP && p->proto != IPPROTO_UDP))
		return false;
	if (p->role != XE_ROLE_UPLINK)
		return true;
	dst = xe_packet_dst(p);
	return xe_natpool_owner(&lane->pool, &dst, p->key.proto == IPPROTO_UDP,
				ntohs(p->key.dport_be)) == XE_NO_WORKER;
}

void xe_stall_give_up(struct xe_lane *lane, struct xe_packet *p)
{
	if (is_kernels_business(lane, p))
		xe_punt(lane, p, XE_R_P_OWNER_STALLED);
	else
		xe_packet_drop(lane, p, XE_R_OWNER_STALLED);
}
