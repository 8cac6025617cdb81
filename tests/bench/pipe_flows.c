// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "pipe_flows.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include "base/insum.h"

#define SRC_CNT 4096u
#define DST_CNT 256u

/* Frames without their FCS of 4 bytes: 64, and the simple IMIX of 7 x 64, 4 x 594, 1 x 1518. */
#define LEN_64 60u
static const uint16_t imix[12] = {60, 590, 60, 60, 590, 60, 1514, 60, 590, 60, 590, 60};

static uint32_t dst_of(uint32_t i)
{
	/* 16 destinations a source, spread over all */
	uint32_t b = ((i & (SRC_CNT - 1)) * 7 + (i >> 12 & 15) * 17) & (DST_CNT - 1);

	return 0xc6120000 + (b << 8) + 1; /* 198.18.b.1, RFC 2544 */
}

struct xe_tuple4 flow_key(const struct flows *f, uint32_t i)
{
	return (struct xe_tuple4){
		.src_be = htonl(0x0a010000 + (i & (SRC_CNT - 1))),
		.dst_be = htonl(dst_of(i)),
		.sport_be = htons((uint16_t)(1024 + (i >> 12))),
		.dport_be = htons(443),
		.port = RIG_INSIDE,
		.proto = f->proto,
	};
}

/* The tuple as it comes in this direction. */
static struct xe_tuple4 flow_tuple(const struct flows *f, uint32_t i, enum xe_dir dir)
{
	struct xe_tuple4 t = flow_key(f, i);

	if (dir == XE_DIR_OUT)
		return t;
	t = xe_tuple4_reverse(&t, XE_PORT_ANYUPLINK);
	t.dst_be = f->ext[i].addr_be;
	t.dport_be = f->ext[i].l4_port_be;
	return t;
}

/* What containers send has its checksum left to an offload; what comes from a NIC has not. The
 * values of the others do not matter: they are updated, never checked. */
static uint16_t l4_csum(const struct xe_tuple4 *t, enum xe_dir dir, uint32_t l4_len)
{
	uint64_t sum;

	if (dir == XE_DIR_BACK)
		return 0x1234;
	sum = xe_insum_pseudo4(t->src_be, t->dst_be, t->proto, l4_len);
	return xe_insum_fold(sum);
}

void flow_packet(struct flows *f, const struct rig *r, uint32_t i, enum xe_dir dir,
		 uint8_t tcp_flags, struct rig_packet *out)
{
	struct xe_tuple4 t = flow_tuple(f, i, dir);
	uint8_t *ip = out->head + XE_L3_OFF, *l4 = ip + XE_IP_HDR_MIN;
	uint32_t l4_len;

	memset(out->head, 0, sizeof(out->head));
	out->len = f->imix ? imix[f->turn++ % 12] : LEN_64;
	out->head_len = XE_L3_OFF + XE_IP_HDR_MIN + XE_TCP_HDR_MIN;
	out->hash = xe_session_hash(&r->lane->sessions, &t);
	l4_len = out->len - XE_L3_OFF - XE_IP_HDR_MIN;
	out->head[0] = out->head[6] = 2;
	out->head[12] = 8; /* 0x0800 */
	ip[0] = 0x45;
	xe_put16(ip + XE_IP_TOT_LEN, htons((uint16_t)(out->len - XE_L3_OFF)));
	ip[XE_IP_TTL] = 64;
	ip[XE_IP_PROTO] = t.proto;
	xe_put32(ip + XE_IP_SRC, t.src_be);
	xe_put32(ip + XE_IP_DST, t.dst_be);
	xe_put16(ip + XE_IP_CSUM, xe_csum_finish(xe_insum(ip, XE_IP_HDR_MIN)));
	xe_put16(l4, t.sport_be);
	xe_put16(l4 + 2, t.dport_be);
	if (t.proto == IPPROTO_UDP) {
		xe_put16(l4 + XE_UDP_LEN, htons((uint16_t)l4_len));
		xe_put16(l4 + XE_UDP_CSUM, l4_csum(&t, dir, l4_len));
		return;
	}
	l4[12] = 0x50;
	/* both sides begin at 0, and then send their first payload again and again */
	l4[XE_TCP_SEQ + 3] = !(tcp_flags & XE_TH_SYN);
	l4[XE_TCP_ACK + 3] = !!(tcp_flags & XE_TH_ACK);
	xe_put16(l4 + XE_TCP_WINDOW, 0xffff);
	l4[XE_TCP_FLAGS] = tcp_flags;
	xe_put16(l4 + XE_TCP_CSUM, l4_csum(&t, dir, l4_len));
}

void flow_route(const struct flows *f, struct rig *r, uint32_t i)
{
	struct xe_tuple4 t = flow_key(f, i);

	xe_nexthop_get(&r->lane->nexthops, t.dst_be, t.src_be, RIG_INSIDE);
	rig_answer(r);
}
