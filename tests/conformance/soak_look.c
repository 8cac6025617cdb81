/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * soak_look.c - looks at what comes in: checksums, content, tuple, and that its headers are those
 * that every packet of its kind has. Fragments are put together first; the segments of a
 * superpacket are looked at each.
 */
#include <arpa/inet.h>
#include <linux/virtio_net.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "../tools/pattern.h"
#include "soak.h"

#define PARTIAL                                                                                    \
	64 /* datagrams that may be incomplete at once, by IP id: they come one after the other */

/* What is known of a received packet. */
struct view {
	const uint8_t *src, *dst, *l4, *data;
	uint32_t l4_len, data_len;
	uint16_t sport;
	uint32_t idx, seq;
	uint8_t proto, tcp_flags;
	uint64_t form; /* hash of the headers that are left alone on the way */
};

/* The pieces of a datagram. */
static struct partial {
	uint32_t id, len, whole_len; /* whole_len 0: the last one is missing */
	uint64_t form;
	uint8_t head[64]; /* IP header of one of them */
	uint8_t buf[CUT_MAX + 64];
} partials[PARTIAL];

static uint8_t rx_buf[BATCH][FRAME_SIZE];

/* An IP header: `len` bytes up to what it carries. */
struct ip_view {
	uint32_t len, total, id, offset;
	uint8_t proto;
	int mf;
	uint64_t form;
};

static uint32_t get16(const uint8_t *at)
{
	return (uint32_t)at[0] << 8 | at[1];
}

static int look_ip4(const uint8_t *ip, uint32_t len, struct ip_view *v)
{
	uint8_t head[60];

	v->len = (ip[0] & 15) * 4u;
	v->total = get16(ip + 2) ? get16(ip + 2) : len;
	if (v->len < 20 || v->total > len || v->total < v->len)
		return 0;
	if (sum16(ip, v->len, 0) != 0xffff)
		count.bad_ip++;
	v->proto = ip[9];
	v->id = get16(ip + 4);
	v->offset = (get16(ip + 6) & 0x1fff) * 8;
	v->mf = !!(ip[6] & 0x20);
	memcpy(head, ip, v->len);
	memset(head + 2, 0, 4); /* length, id */
	head[6] &= 0xc0;
	head[7] = head[10] = head[11] = 0;
	v->form = pattern_hash(PATTERN_HASH_START, head, v->len);
	return 1;
}

static int look_ip6(const uint8_t *ip, uint32_t len, struct ip_view *v)
{
	uint8_t head[40];

	v->total = get16(ip + 4) ? 40 + get16(ip + 4) : len;
	if (ip[0] >> 4 != 6 || v->total > len)
		return 0;
	memcpy(head, ip, 40);
	head[4] = head[5] = 0;
	v->form = pattern_hash(PATTERN_HASH_START, head, 40);
	v->proto = ip[6];
	v->len = 40;
	if (v->proto == IPPROTO_DSTOPTS && v->total >= 48) {
		v->proto = ip[40];
		v->len += (ip[41] + 1) * 8u;
		if (v->len > v->total)
			return 0;
		v->form = pattern_hash(v->form, ip + 40, v->len - 40);
	} else if (v->proto == IPPROTO_FRAGMENT && v->total >= 48) {
		v->proto = ip[40];
		v->len += 8;
		v->offset = get16(ip + 42) & 0xfff8;
		v->mf = ip[43] & 1;
		v->id = get16(ip + 44) << 16 | get16(ip + 46);
	}
	return 1;
}

/* A piece of a datagram. Has it become whole by it? Then `v` is of the whole. */
static int join(const uint8_t *ip, const struct ip_view *i, struct view *v)
{
	struct partial *p = &partials[i->id % PARTIAL];
	uint32_t n = i->total - i->len;

	count.fragments++;
	/* Ids come round again: a first piece begins anew. */
	if (p->id != i->id || !p->len || !i->offset) {
		p->id = i->id;
		p->len = p->whole_len = 0;
		p->form = 0;
	}
	if (i->offset + n > sizeof(p->buf)) {
		count.bad_ip++;
		return 0;
	}
	memcpy(p->buf + i->offset, ip + i->len, n);
	memcpy(p->head, ip, me.ip_len);
	p->len += n;
	/* Order does not count, cuts do. */
	p->form += pattern_word(i->form, (uint64_t)i->offset << 16 | n);
	if (!i->mf)
		p->whole_len = i->offset + n;
	if (p->len != p->whole_len)
		return 0;
	p->len = 0;
	count.joined++;
	v->src = p->head + me.ip_len - 2 * me.addr_len;
	v->l4 = p->buf;
	v->l4_len = p->whole_len;
	v->form = p->form;
	return 1;
}

/* 0: not ours, or not all of it yet. Else the IP part of `v` is filled. */
static int look_ip(const uint8_t *ip, uint32_t len, struct view *v)
{
	struct ip_view i = {0};

	if (!(me.family == AF_INET ? look_ip4 : look_ip6)(ip, len, &i)) {
		count.bad_ip++;
		return 0;
	}
	if (i.proto != IPPROTO_UDP && i.proto != IPPROTO_TCP)
		return 0;
	v->proto = i.proto;
	if (i.mf || i.offset) {
		if (!join(ip, &i, v))
			return 0;
	} else {
		v->src = ip + me.ip_len - 2 * me.addr_len;
		v->l4 = ip + i.len;
		v->l4_len = i.total - i.len;
		v->form = i.form;
	}
	v->dst = v->src + me.addr_len;
	return v->l4_len >= (v->proto == IPPROTO_UDP ? 8u : 20u);
}

/* 0: not ours. */
static int look_l4(struct view *v)
{
	uint32_t head = 8;

	v->idx = get16(v->l4 + 2) - (me.reflect ? SERVER_PORT : OWN_PORT);
	if (v->idx >= FLOWS || proto_of(v->idx) != v->proto)
		return 0;
	v->sport = (uint16_t)get16(v->l4);
	if (memcmp(v->src, me.peer, me.addr_len) || memcmp(v->dst, me.own, me.addr_len) ||
	    (!me.reflect && v->sport != SERVER_PORT + v->idx))
		count.bad_tuple++;
	if (v->proto == IPPROTO_TCP) {
		head = (v->l4[12] >> 4) * 4u;
		v->tcp_flags = v->l4[13];
		v->seq = get16(v->l4 + 4) << 16 | get16(v->l4 + 6);
		if (head < 20 || head > v->l4_len) {
			count.bad_data++;
			return 0;
		}
		v->form = pattern_hash(v->form, v->l4 + 12, 4); /* offset, flags, window */
		v->form =
			pattern_hash(v->form, v->l4 + 18, head - 18); /* urgent pointer, options */
	}
	v->data = v->l4 + head;
	v->data_len = v->l4_len - head;
	return 1;
}

/* not_ready: left to an offload, so the field holds the pseudo-header's sum. */
static int is_checksum_ok(const struct view *v, int not_ready)
{
	uint32_t pseudo = pseudo_sum(v->src, v->dst, v->proto, v->l4_len);
	uint16_t field;

	memcpy(&field, v->l4 + (v->proto == IPPROTO_UDP ? 6 : 16), 2);
	if (is_unsummed(shape_of(v->idx), v->proto))
		return !field;
	if (not_ready)
		return field == pseudo;
	return sum16(v->l4, v->l4_len, pseudo) == 0xffff && (field || v->proto == IPPROTO_TCP);
}

/* One segment: the content of its size, and the headers that its kind has had before. */
static void compare(const struct view *v, uint32_t at, uint32_t len)
{
	enum shape shape = shape_of(v->idx);
	uint64_t *form = &forms[shape][v->proto == IPPROTO_TCP][len <= CUT_MAX ? len : 0];

	if (len > size_max(shape, v->proto) ||
	    memcmp(v->data + at, content[!me.reflect] + CUT_MAX - len, len)) {
		count.bad_data++;
		return;
	}
	if (v->tcp_flags & 2)
		return;
	if (*form && *form != (v->form | 1))
		count.bad_form++;
	*form = v->form | 1;
}

/* The segments of a superpacket are answered by one: when they have all come, alone or joined. */
static void answer_super(struct flow *f, uint32_t idx, uint32_t size)
{
	if (f->full_cnt && f->full_cnt + 1 == super_cnt(f->full_size) &&
	    size == super_tail(f->full_size)) {
		put(idx, 0x10, f->full_size);
		f->full_cnt = 0;
	} else if (f->full_cnt && size == f->full_size) {
		f->full_cnt++;
	} else {
		f->full_size = size;
		f->full_cnt = 1;
	}
}

static void answer(const struct view *v, uint32_t size)
{
	struct flow *f = &flows[v->idx];

	if (f->peer_be && f->peer_be != htons(v->sport))
		count.bad_tuple++;
	f->peer_be = htons(v->sport);
	if (v->tcp_flags & 2) {
		f->seq = 7000000;
		put(v->idx, 0x12, 0);
	} else if (v->proto == IPPROTO_UDP || size) {
		if (shape_of(v->idx) == SUPERPACKETS && size)
			answer_super(f, v->idx, size);
		else
			put(v->idx, 0x10, size);
	}
}

/* Returns segments. */
static uint32_t take(const uint8_t *frame, uint32_t len, const struct virtio_net_hdr *hdr)
{
	struct view v = {0};
	uint32_t at = 0, segments = 0, gso_size = hdr->gso_type ? hdr->gso_size : 0;

	if (len <= 14 + me.ip_len || memcmp(frame + 12, me.eth + 12, 2) ||
	    !look_ip(frame + 14, len - 14, &v) || !look_l4(&v)) {
		count.other++;
		return 0;
	}
	count.received++;
	count.bad_l4 += !is_checksum_ok(&v, hdr->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM);
	if (v.proto == IPPROTO_TCP) {
		flows[v.idx].ack = v.seq + v.data_len + !!(v.tcp_flags & 2);
		flows[v.idx].open |= v.tcp_flags & 0x12;
	}
	do {
		uint32_t n = v.data_len - at;

		if (gso_size && n > gso_size)
			n = gso_size;
		compare(&v, at, n);
		if (me.reflect)
			answer(&v, n);
		at += n;
		segments++;
	} while (at < v.data_len);
	count.segments += segments;
	return segments;
}

uint32_t receive(int wait_ms)
{
	struct pollfd pfd = {.fd = me.fd, .events = POLLIN};
	struct mmsghdr msgs[BATCH];
	struct iovec iov[BATCH];
	uint32_t got = 0;
	int n;

	if (wait_ms && poll(&pfd, 1, wait_ms) <= 0)
		return 0;
	do {
		memset(msgs, 0, sizeof(msgs));
		for (uint32_t i = 0; i < BATCH; i++) {
			iov[i] = (struct iovec){rx_buf[i], FRAME_SIZE};
			msgs[i].msg_hdr.msg_iov = &iov[i];
			msgs[i].msg_hdr.msg_iovlen = 1;
		}
		n = recvmmsg(me.fd, msgs, BATCH, MSG_DONTWAIT, NULL);
		for (int i = 0; i < n; i++) {
			struct virtio_net_hdr hdr;

			if (msgs[i].msg_len < sizeof(hdr))
				continue;
			memcpy(&hdr, rx_buf[i], sizeof(hdr));
			got += take(rx_buf[i] + sizeof(hdr),
				    msgs[i].msg_len - (uint32_t)sizeof(hdr), &hdr);
		}
		if (me.reflect)
			flush();
	} while (n == BATCH);
	return got;
}
