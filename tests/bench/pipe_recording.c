// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* pipe_recording.c - a pcap file's packets as traffic for the rig (pipe_flows.h). */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/insum.h"
#include "pipe_flows.h"

/* draft-ietf-opsawg-pcap: microseconds, written on a machine of our byte order. */
#define PCAP_MAGIC 0xa1b2c3d4u
struct pcap_file {
	uint32_t magic;
	uint16_t major, minor;
	uint32_t reserved[2];
	uint32_t snaplen, linktype; /* 1: Ethernet */
};
struct pcap_packet {
	uint32_t sec, usec, cap_len, len;
};

/* Headers up to the end of TCP's fixed part; options of a SYN may be cut, their length is not. */
#define HEAD_MAX sizeof(((struct rig_packet *)0)->head)

static bool is_inside(__be32 addr_be)
{
	return ntohl(addr_be) >> 24 == 10;
}

static bool is_taken(const uint8_t *b, uint32_t cap_len, uint32_t len)
{
	const uint8_t *ip = b + XE_L3_OFF;
	uint32_t hdr_len;

	if (cap_len < XE_L3_OFF + XE_IP_HDR_MIN || len > 1514 || xe_get16(b + 12) != htons(0x0800))
		return false;
	hdr_len = ip[XE_IP_PROTO] == IPPROTO_TCP ? XE_TCP_HDR_MIN : XE_UDP_HDR_LEN;
	return cap_len >= XE_L3_OFF + XE_IP_HDR_MIN + hdr_len && ip[0] == 0x45 &&
	       ip[XE_IP_TTL] > 1 &&
	       (ip[XE_IP_PROTO] == IPPROTO_TCP || ip[XE_IP_PROTO] == IPPROTO_UDP) &&
	       is_inside(xe_get32(ip + XE_IP_SRC)) != is_inside(xe_get32(ip + XE_IP_DST));
}

static bool add_packet(struct recording *rec, const uint8_t *b, uint32_t cap_len, uint32_t len)
{
	uint32_t n = rec->cnt;
	struct rig_packet *p;

	if (!(n & (n - 1))) {
		uint32_t size = n ? 2 * n : 1;

		p = realloc(rec->packets, size * sizeof(*p));
		if (!p)
			return false;
		rec->packets = p;
		rec->dirs = realloc(rec->dirs, size);
		if (!rec->dirs)
			return false;
	}
	p = &rec->packets[n];
	p->len = len;
	p->head_len = cap_len < HEAD_MAX ? cap_len : HEAD_MAX;
	memcpy(p->head, b, p->head_len);
	rec->dirs[n] = is_inside(xe_get32(b + XE_L3_OFF + XE_IP_SRC)) ? XE_DIR_OUT : XE_DIR_BACK;
	rec->bytes += len;
	rec->cnt++;
	return true;
}

bool recording_read(struct recording *rec, const char *path)
{
	static uint8_t bytes[65536];
	struct pcap_packet h;
	struct pcap_file file;
	FILE *in = fopen(path, "rb");
	bool ok = false;

	memset(rec, 0, sizeof(*rec));
	if (!in) {
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
		return false;
	}
	if (fread(&file, sizeof(file), 1, in) != 1 || file.magic != PCAP_MAGIC ||
	    file.linktype != 1) {
		fprintf(stderr, "%s: expected a pcap file of Ethernet frames\n", path);
		goto out;
	}
	while (fread(&h, sizeof(h), 1, in) == 1) {
		if (h.cap_len > sizeof(bytes) || fread(bytes, h.cap_len, 1, in) != 1) {
			fprintf(stderr, "%s: cut off\n", path);
			goto out;
		}
		if (is_taken(bytes, h.cap_len, h.len) && !add_packet(rec, bytes, h.cap_len, h.len))
			goto out;
	}
	ok = rec->cnt != 0;
out:
	fclose(in);
	return ok;
}

void recording_free(struct recording *rec)
{
	free(rec->packets);
	free(rec->dirs);
}

static struct xe_tuple4 tuple_of(const struct rig_packet *p, enum xe_dir dir)
{
	const uint8_t *ip = p->head + XE_L3_OFF, *l4 = ip + XE_IP_HDR_MIN;

	return (struct xe_tuple4){
		.src_be = xe_get32(ip + XE_IP_SRC),
		.dst_be = xe_get32(ip + XE_IP_DST),
		.sport_be = xe_get16(l4),
		.dport_be = xe_get16(l4 + 2),
		.port = dir == XE_DIR_OUT ? RIG_INSIDE : XE_PORT_ANYUPLINK,
		.proto = ip[XE_IP_PROTO],
	};
}

/* The recording shows the inside's view of a packet back: make it the uplink's. */
static bool set_ext(struct rig_packet *p, const struct rig *r)
{
	struct xe_tuple4 t = tuple_of(p, XE_DIR_BACK), out = xe_tuple4_reverse(&t, RIG_INSIDE);
	const struct xe_sessions *table = &r->lane->sessions;
	uint8_t *ip = p->head + XE_L3_OFF, *l4 = ip + XE_IP_HDR_MIN;
	uint8_t *field = l4 + (t.proto == IPPROTO_UDP ? XE_UDP_CSUM : XE_TCP_CSUM);
	const struct xe_session *s;
	enum xe_dir dir;

	s = xe_session_find(table, &out, xe_session_hash(table, &out), &dir);
	if (!s)
		return false;
	xe_put16(ip + XE_IP_CSUM, xe_csum_replace32(xe_get16(ip + XE_IP_CSUM), t.dst_be,
						    s->key[XE_DIR_BACK].dst_be));
	xe_put32(ip + XE_IP_DST, s->key[XE_DIR_BACK].dst_be);
	xe_put16(l4 + 2, s->key[XE_DIR_BACK].dport_be);
	/* Between namespaces the kernel's own sender leaves it partial; off a NIC it is whole. */
	xe_put16(field, 0x1234);
	return true;
}

bool recording_open_flows(struct recording *rec, struct rig *r)
{
	for (uint32_t i = 0; i < rec->cnt; i++) {
		struct rig_packet *p = &rec->packets[i];
		enum xe_dir dir = rec->dirs[i];
		struct xe_tuple4 t;

		if (dir == XE_DIR_BACK && !set_ext(p, r)) {
			fprintf(stderr, "packet %u: a reply to nothing in the recording\n", i + 1);
			return false;
		}
		t = tuple_of(p, dir);
		p->hash = xe_session_hash(&r->lane->sessions, &t);
		if (dir == XE_DIR_OUT) {
			xe_nexthop_get(&r->lane->nexthops, t.dst_be, t.src_be, RIG_INSIDE);
			rig_answer(r);
		}
		xe_pipeline_poll(r->lane); /* frames to the fill ring */
		rig_feed(r, dir == XE_DIR_OUT ? RIG_INSIDE : RIG_UPLINK, p, false);
		xe_pipeline_poll(r->lane);
		rig_drain(r);
	}
	return true;
}
