/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "pipeline/limit.h"

#include <netinet/in.h>

#include "base/insum.h"
#include "pipeline/mss.h"
#include "pipeline/vnet.h"

_Static_assert(XE_R_LIMIT_SOURCE_FLOWS - XE_R_LIMIT_PACKETS == XE_LIMIT_CNT - 1,
	       "reasons in the order of enum xe_limit");

static enum xe_worker_reason reason_of(enum xe_limit refused)
{
	return refused == XE_LIMIT_CNT ? XE_R_NONE
				       : (enum xe_worker_reason)(XE_R_LIMIT_PACKETS + refused);
}

enum xe_worker_reason xe_limit_begin(struct xe_lane *lane, const struct xe_packet *p, int rule,
				     struct xe_terms_ref *ref)
{
	uint32_t terms = lane->rules->terms ? lane->rules->terms[rule] : XE_NIL;
	/* One from outside is the same by all uplinks. */
	uint16_t port = p->dir == XE_DIR_BACK ? XE_PORT_ANYUPLINK : p->in_port;
	enum xe_worker_reason reason;

	*ref = (struct xe_terms_ref){XE_NIL, XE_NIL};
	if (terms == XE_NIL)
		return XE_R_NONE;
	if (!xe_terms_take(&lane->terms, terms, p->key.family, xe_packet_source(p), port, ref)) {
		ref->terms = XE_NIL;
		return XE_R_SESSIONS_FULL; /* as many sources as sessions: it never comes first */
	}
	reason = reason_of(xe_terms_flow(&lane->terms, ref, lane->now_us));
	if (reason)
		xe_limit_drop(lane, ref);
	return reason;
}

void xe_limit_keep(struct xe_lane *lane, struct xe_session *s, const struct xe_terms_ref *ref)
{
	if (ref->terms == XE_NIL)
		return;
	s->flags |= XE_SF_TERMS;
	lane->terms.of_session[xe_session_idx(&lane->sessions, s)] = *ref;
}

void xe_limit_drop(struct xe_lane *lane, const struct xe_terms_ref *ref)
{
	if (ref->terms != XE_NIL)
		xe_terms_give(&lane->terms, ref);
}

void xe_limit_end(struct xe_lane *lane, const struct xe_session *s)
{
	xe_terms_give(&lane->terms, &lane->terms.of_session[xe_session_idx(&lane->sessions, s)]);
}

enum xe_worker_reason xe_limit_again(struct xe_lane *lane, const struct xe_session *s)
{
	const struct xe_terms_ref *ref =
		&lane->terms.of_session[xe_session_idx(&lane->sessions, s)];

	return reason_of(xe_terms_flow(&lane->terms, ref, lane->now_us));
}

/* ---- mss-clamp ---- */

/* By the narrower of the two ways: the route's, and the inside port's. */
static uint32_t mss_of_path(const struct xe_lane *lane, const struct xe_packet *p)
{
	const struct xe_session *s = p->session;
	struct xe_nexthop_answer nh = xe_nexthop_read(&lane->nexthops.slots[s->nexthop]);
	uint32_t mtu = lane->ports[s->key[XE_DIR_OUT].port].mtu;
	uint32_t headers = xe_packet_is_v6(p) ? XE_MSS_HEADERS6 : XE_MSS_HEADERS;

	if (nh.state == XE_NH_READY && nh.mtu < mtu)
		mtu = nh.mtu;
	return mtu > headers + XE_MSS_MIN ? mtu - headers : XE_MSS_MIN;
}

/* Where the value of the MSS option stands, NULL: there is none. */
static uint8_t *mss_at(const struct xe_packet *p)
{
	uint8_t *l4 = p->l2 + p->l4_off;

	for (uint32_t at = XE_TCP_HDR_MIN; at + 4 <= p->l4_hdr_len && l4[at];) {
		if (l4[at] == 1) {
			at++;
			continue;
		}
		if (l4[at] == 2)
			return l4[at + 1] == 4 ? l4 + at + 2 : NULL;
		if (l4[at + 1] < 2)
			return NULL;
		at += l4[at + 1];
	}
	return NULL;
}

/* Two bytes at an odd offset stand in two words of the sum: both values count swapped (RFC 1071).
 */
static uint16_t delta16_at(const uint8_t *l4, const uint8_t *at, uint16_t old, uint16_t new)
{
	if ((at - l4) & 1)
		return xe_csum_delta16(__builtin_bswap16(old), __builtin_bswap16(new));
	return xe_csum_delta16(old, new);
}

/* Smaller only. A SYN without the option means 536, which every clamp lets pass. */
static void clamp_mss(const struct xe_lane *lane, struct xe_packet *p, uint16_t clamp)
{
	uint8_t *l4 = p->l2 + p->l4_off, *field = l4 + XE_TCP_CSUM, *at = mss_at(p);
	uint32_t mss = clamp == XE_MSS_AUTO ? mss_of_path(lane, p) : clamp;
	uint16_t old;

	if (!at || ntohs(xe_get16(at)) <= mss)
		return;
	old = xe_get16(at);
	/* A field with the pseudo-header sum alone is completed later, over what is there then. */
	if (!xe_packet_is_partial(p))
		xe_put16(field, xe_csum_apply(xe_get16(field),
					      delta16_at(l4, at, old, htons((uint16_t)mss))));
	xe_put16(at, htons((uint16_t)mss));
}

/* ---- packets ---- */

/* As many packets and bytes of IP as will be on the wire. */
static enum xe_limit take(struct xe_lane *lane, const struct xe_packet *p,
			  const struct xe_terms_ref *ref)
{
	uint32_t len = p->len - XE_L3_OFF, headers = p->l4_off - XE_L3_OFF + p->l4_hdr_len, cnt = 1;

	if (p->gso_size && len > headers) {
		cnt = (len - headers + p->gso_size - 1) / p->gso_size;
		len += (cnt - 1) * headers;
	}
	return xe_terms_packet(&lane->terms, ref, p->dir, cnt, len * 8ull, lane->now_us);
}

bool xe_limit_packet(struct xe_lane *lane, struct xe_packet *p)
{
	const struct xe_terms_ref *ref =
		&lane->terms.of_session[xe_session_idx(&lane->sessions, p->session)];
	const struct xe_terms *terms = &lane->terms.table[ref->terms];
	enum xe_limit refused;

	if (terms->limits) {
		refused = take(lane, p, ref);
		if (refused != XE_LIMIT_CNT) {
			xe_packet_drop(lane, p, reason_of(refused));
			return false;
		}
	}
	if (terms->mss && p->proto == IPPROTO_TCP && (p->tcp_flags & XE_TH_SYN))
		clamp_mss(lane, p, terms->mss);
	return true;
}
