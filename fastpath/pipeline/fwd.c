/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* fwd.c - what a router does to a packet on its way: TTL (RFC 1812 section 5.3.1) and the Ethernet
 * header for the next hop. flow ended what has a TTL of 1 or less, so the result is never 0. */
#include "base/insum.h"
#include "pipeline/pipeline.h"

static inline void fwd_one(const struct xe_lane_port *port, struct xe_packet *p)
{
	uint8_t *ip = p->l2 + XE_L3_OFF;

	if (xe_packet_is_v6(p)) {
		ip[XE_IP6_HOPS]--;
	} else {
		ip[XE_IP_TTL]--;
		xe_put16(ip + XE_IP_CSUM,
			 xe_csum_apply(xe_get16(ip + XE_IP_CSUM), XE_CSUM_DELTA_TTL_DEC));
	}
	if (p->dir == XE_DIR_BACK)
		memcpy(p->l2, p->session->mac_back, 6);
	else
		memcpy(p->l2, p->nexthop.mac, 6);
	memcpy(p->l2 + 6, port->l2_addr, 6);
}

void xe_fwd_packet(const struct xe_lane_port *port, struct xe_packet *p)
{
	fwd_one(port, p);
}

void xe_fwd(struct xe_lane *lane, struct xe_burst *burst)
{
	xe_burst_for_each (p, burst) {
		if (p->ended)
			continue;
		if (!lane->ports[p->out_port].live)
			xe_packet_drop(lane, p, XE_R_PORT_GONE);
		else
			fwd_one(&lane->ports[p->out_port], p);
	}
}
