/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * soak_make.c - packets of soak.h's shapes, made byte by byte and sent in batches.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/virtio_net.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "soak.h"

#define VNET_LEN   ((uint32_t)sizeof(struct virtio_net_hdr))
#define HEADS_SIZE 140  /* IP header, options, TCP header, options */
#define SLOT_SIZE  8192 /* the largest superpacket: four segments */
#define UDP_GSO    5    /* VIRTIO_NET_HDR_GSO_UDP_L4, unknown to Debian 12's headers */
#define FLAG_MF    0x2000
#define FLAG_DF    0x4000

static uint8_t tx_buf[BATCH][SLOT_SIZE];
static uint32_t tx_len[BATCH], tx_cnt;
static uint32_t datagrams; /* IP ids */

void flush(void)
{
	struct mmsghdr msgs[BATCH];
	struct iovec iov[BATCH];
	uint32_t done = 0;

	memset(msgs, 0, sizeof(msgs));
	for (uint32_t i = 0; i < tx_cnt; i++) {
		iov[i] = (struct iovec){tx_buf[i], tx_len[i]};
		msgs[i].msg_hdr.msg_iov = &iov[i];
		msgs[i].msg_hdr.msg_iovlen = 1;
	}
	while (done < tx_cnt && !stop) {
		int n = sendmmsg(me.fd, msgs + done, tx_cnt - done, 0);

		if (n < 0 && errno != ENOBUFS && errno != EINTR && errno != EAGAIN) {
			perror("soak: sendmmsg");
			exit(1);
		}
		if (n > 0)
			done += (uint32_t)n;
	}
	count.sent += done;
	tx_cnt = 0;
}

static void put16(uint8_t *at, uint32_t v)
{
	at[0] = (uint8_t)(v >> 8);
	at[1] = (uint8_t)v;
}

/* IPv4 header with `opt_len` bytes of options: one that no router knows, and nothing. Returns its
 * length. */
static uint32_t put_ip4(uint8_t *ip, uint8_t proto, uint32_t opt_len, uint32_t len, uint32_t frag)
{
	static const uint8_t unknown[4] = {0x9e, 4, 'a', 'b'};
	uint32_t head = 20 + opt_len;
	uint16_t sum;

	memset(ip, 0, 20);
	ip[0] = (uint8_t)(0x40 | head / 4);
	put16(ip + 2, head + len);
	put16(ip + 4, datagrams);
	put16(ip + 6, frag);
	ip[8] = 64;
	ip[9] = proto;
	memcpy(ip + 12, me.own, 4);
	memcpy(ip + 16, me.peer, 4);
	if (opt_len) {
		memset(ip + 20, 1, opt_len);
		memcpy(ip + 20, unknown, 4);
	}
	sum = (uint16_t)~sum16(ip, head, 0);
	memcpy(ip + 10, &sum, 2);
	return head;
}

/* IPv6 header, a destination options header of `opt_len` bytes, a fragment header where `frag`
 * (offset and MF as in IPv4) is of one. Returns the length of all. */
static uint32_t put_ip6(uint8_t *ip, uint8_t proto, uint32_t opt_len, uint32_t len, uint32_t frag)
{
	int is_piece = frag != FLAG_DF && frag != 0;
	uint32_t head = 40 + opt_len + (is_piece ? 8 : 0);
	uint32_t id_be = htonl(datagrams);

	memset(ip, 0, head);
	ip[0] = 0x60;
	put16(ip + 4, head - 40 + len);
	ip[6] = opt_len ? IPPROTO_DSTOPTS : is_piece ? IPPROTO_FRAGMENT : proto;
	ip[7] = 64;
	memcpy(ip + 8, me.own, 16);
	memcpy(ip + 24, me.peer, 16);
	if (opt_len) {
		ip[40] = proto; /* options and fragments are different shapes */
		ip[41] = (uint8_t)(opt_len / 8 - 1);
		ip[42] = 1; /* PadN */
		ip[43] = (uint8_t)(opt_len - 4);
	} else if (is_piece) {
		ip[40] = proto;
		put16(ip + 42, (frag & 0x1fff) << 3 | !!(frag & FLAG_MF));
		memcpy(ip + 44, &id_be, 4);
	}
	return head;
}

/* The next free frame of the batch, with its Ethernet header; returns where IP begins. */
static uint8_t *new_frame(void)
{
	if (tx_cnt == BATCH)
		flush();
	memset(tx_buf[tx_cnt], 0, VNET_LEN);
	memcpy(tx_buf[tx_cnt] + VNET_LEN, me.eth, 14);
	return tx_buf[tx_cnt] + VNET_LEN + 14;
}

static void end_frame(uint32_t ip_len)
{
	tx_len[tx_cnt++] = VNET_LEN + 14 + ip_len;
	if (tx_cnt == BATCH)
		flush();
}

static uint32_t put_ip(uint8_t *ip, uint8_t proto, uint32_t opt_len, uint32_t len, uint32_t frag)
{
	return (me.family == AF_INET ? put_ip4 : put_ip6)(ip, proto, opt_len, len, frag);
}

/* L4 header without checksum; returns its length. `len`: of the payload. */
static uint32_t put_l4(uint8_t *l4, uint32_t idx, uint8_t tcp_flags, uint32_t opt_len, uint32_t len)
{
	struct flow *f = &flows[idx];
	uint16_t own_be = htons((uint16_t)((me.reflect ? SERVER_PORT : OWN_PORT) + idx));
	uint16_t peer_be = me.reflect ? f->peer_be : htons((uint16_t)(SERVER_PORT + idx));
	struct tcp tcp = {.sport_be = own_be, .dport_be = peer_be};

	if (proto_of(idx) == IPPROTO_UDP) {
		uint16_t udp[4] = {own_be, peer_be, htons((uint16_t)(8 + len)), 0};

		memcpy(l4, udp, 8);
		return 8;
	}
	tcp.seq_be = htonl(f->seq);
	tcp.ack_be = htonl(f->ack);
	tcp.off = (uint8_t)((5 + opt_len / 4) << 4);
	tcp.flags = tcp_flags;
	tcp.window_be = htons(65000);
	memcpy(l4, &tcp, 20);
	memset(l4 + 20, 1, opt_len);
	if (opt_len) { /* an experiment's option (RFC 6994), and nothing */
		l4[20] = 254;
		l4[21] = 4;
	}
	f->seq += len + !!(tcp_flags & 2);
	return 20 + opt_len;
}

/* The whole sum, or that of the pseudo-header and the request to complete it. */
static void put_checksum(uint32_t idx, uint8_t *l4, uint32_t l4_len, struct virtio_net_hdr *hdr)
{
	uint8_t proto = proto_of(idx);
	uint32_t pseudo = pseudo_sum(me.own, me.peer, proto, l4_len);
	uint16_t at = proto == IPPROTO_UDP ? 6 : 16, sum = (uint16_t)pseudo;

	if (is_unsummed(shape_of(idx), proto))
		return;
	if (hdr) {
		hdr->flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
		hdr->csum_offset = at;
	} else {
		sum = (uint16_t)~sum16(l4, l4_len, pseudo);
		if (proto == IPPROTO_UDP && !sum)
			sum = 0xffff;
	}
	memcpy(l4 + at, &sum, 2);
}

/* In fragments of a length that the size decides, where there is more than one of it. */
static void put_fragments(uint32_t idx, const uint8_t *l4, uint32_t l4_len, uint32_t size)
{
	uint32_t room = 8 * (16 + size % 165); /* 128 to 1440 */

	for (uint32_t at = 0; at < l4_len; at += room) {
		uint32_t n = l4_len - at < room ? l4_len - at : room;
		uint8_t *ip = new_frame();
		uint32_t head =
			put_ip(ip, proto_of(idx), 0, n, at / 8 | (at + n < l4_len ? FLAG_MF : 0));

		memcpy(ip + head, l4 + at, n);
		end_frame(head + n);
	}
}

/* `cnt` segments in one frame, for a device to cut. */
static void ask_gso(uint32_t idx, struct virtio_net_hdr *hdr, uint32_t heads, uint32_t size)
{
	hdr->gso_type = proto_of(idx) == IPPROTO_UDP ? UDP_GSO
			: me.family == AF_INET       ? VIRTIO_NET_HDR_GSO_TCPV4
						     : VIRTIO_NET_HDR_GSO_TCPV6;
	hdr->gso_size = (uint16_t)size;
	hdr->hdr_len = (uint16_t)(14 + heads);
}

uint32_t put(uint32_t idx, uint8_t tcp_flags, uint32_t size)
{
	static uint8_t cut_buf[HEADS_SIZE + CUT_MAX];
	static uint32_t turn;
	enum shape shape = shape_of(idx);
	uint32_t segments = shape == SUPERPACKETS && size ? super_cnt(size) : 1;
	uint32_t len = segments == 1 ? size : size * (segments - 1) + super_tail(size);
	uint32_t tcp_opt_len = tcp_options_len(shape, size), opt_len = ip_options_len(shape, size);
	uint32_t l4_head = proto_of(idx) == IPPROTO_UDP ? 8 : 20 + tcp_opt_len;
	uint8_t *ip = shape == FRAGMENTS ? cut_buf : new_frame(), *l4 = ip, *at;
	struct virtio_net_hdr hdr = {0};

	datagrams++;
	if (shape != FRAGMENTS)
		l4 += put_ip(ip, proto_of(idx), opt_len, l4_head + len, FLAG_DF);
	at = l4 + put_l4(l4, idx, tcp_flags, tcp_opt_len, len);
	for (uint32_t i = 0; i < segments; i++) {
		uint32_t n = i && i + 1 == segments ? super_tail(size) : size;

		memcpy(at, content[me.reflect] + CUT_MAX - n, n);
		at += n;
	}
	if (shape == FRAGMENTS) {
		put_checksum(idx, l4, (uint32_t)(at - l4), NULL);
		put_fragments(idx, l4, (uint32_t)(at - l4), size);
	} else {
		/* Every other packet leaves its sum to an offload, as a socket's does. */
		int offload = ++turn % 2 || segments > 1;

		put_checksum(idx, l4, (uint32_t)(at - l4), offload ? &hdr : NULL);
		if (hdr.flags)
			hdr.csum_start = (uint16_t)(14 + (l4 - ip));
		if (segments > 1)
			ask_gso(idx, &hdr, (uint32_t)(l4 - ip) + l4_head, size);
		memcpy(tx_buf[tx_cnt], &hdr, VNET_LEN);
		end_frame((uint32_t)(at - ip));
	}
	/* An empty TCP segment has no answer. */
	return proto_of(idx) == IPPROTO_TCP && !size ? 0 : segments;
}
