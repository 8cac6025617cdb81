/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * soak - datagrams and TCP segments of every size there and back, each looked at as it is on the
 * wire: both checksums, every byte of payload, addresses, L4 ports. The fast judge.
 *
 *   soak reflect IFACE MAC PEER-ADDRESS SERVER-ADDRESS
 *   soak send IFACE MAC OWN-ADDRESS SERVER-ADDRESS COUNT [SECONDS]
 *     MAC           Ethernet address of the next hop on that link
 *     PEER-ADDRESS  what the container has to look like from outside
 * `send` runs in the container, `reflect` at the server; both speak by packet sockets, and the
 * namespaces' stacks must not answer the L4 ports used (OWN_PORT, SERVER_PORT). `send` ends when
 * COUNT packets were sent and each is back or lost, or after SECONDS; `reflect` ends by SIGTERM.
 * Both print one JSON line, and exit 1 when something was wrong (lost ones are for the caller to
 * judge).
 *
 * Content is a function of (direction, size) alone, so a receiver compares with a prepared copy,
 * and knows the pieces of a superpacket (segments of one size that were joined on the way) as well.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <linux/virtio_net.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../tools/pattern.h"

#define OWN_PORT    61000 /* and FLOWS above it: L4 ports that the container's stack is kept from */
#define SERVER_PORT 6000  /* likewise at the server */
#define FLOWS       128   /* half UDP, half TCP */
#define MTU         1500
#define BATCH       32          /* packets a system call */
#define WINDOW      256         /* on the way at once: less than any queue between the two ends */
#define FRAME_SIZE  66000       /* a superpacket and its headers */
#define LOST_NS     50000000ull /* nothing for 50 ms: what is on the way is lost */

struct tcp {
	uint16_t sport_be, dport_be;
	uint32_t seq_be, ack_be;
	uint8_t off, flags;
	uint16_t window_be, csum_be, urgent_be;
};

struct flow {
	uint32_t seq, ack; /* next to be sent, next expected; host order */
	uint16_t peer_be;  /* reflect: the Ext L4 port */
	int open;
};

/* What is known of a received packet. */
struct view {
	const uint8_t *l4, *data;
	uint32_t l4_len, data_len;
	uint16_t sport, dport;
	uint8_t proto, tcp_flags;
	uint32_t seq;
	int checksum_ok;
};

static struct {
	int fd, family, reflect;
	uint8_t eth[14];
	uint8_t own[16], peer[16];
	uint32_t addr_len, ip_len;
} me;
static struct {
	uint64_t sent, received, segments, bad_ip, bad_l4, bad_data, bad_tuple, lost, other;
} count;
static struct flow flows[FLOWS];
static uint8_t content[2][MTU]; /* [1]: from the server. Size s is its last s bytes. */
static uint8_t sizes_seen[2][MTU];
static uint8_t rx_buf[BATCH][FRAME_SIZE];
static uint8_t tx_buf[BATCH][sizeof(struct virtio_net_hdr) + 14 + MTU];
static uint32_t tx_len[BATCH], tx_cnt;
static volatile sig_atomic_t stop;

static void on_signal(int sig)
{
	(void)sig;
	stop = 1;
}

/* One's complement sum in host order of loading; folded. */
static uint32_t sum16(const uint8_t *p, size_t len, uint64_t sum)
{
	for (; len >= 4; p += 4, len -= 4) {
		uint32_t w;

		memcpy(&w, p, 4);
		sum += w;
	}
	if (len >= 2) {
		uint16_t w;

		memcpy(&w, p, 2);
		sum += w;
		p += 2;
		len -= 2;
	}
	if (len)
		sum += *p; /* little endian: the odd byte is the low one of its word */
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint32_t)sum;
}

static uint32_t pseudo_sum(const uint8_t *src, const uint8_t *dst, uint8_t proto, uint32_t l4_len)
{
	uint8_t tail[8] = {0, 0, (uint8_t)(l4_len >> 8), (uint8_t)l4_len, 0, 0, 0, proto};

	return sum16(dst, me.addr_len, sum16(src, me.addr_len, sum16(tail, sizeof(tail), 0)));
}

/* ---- sending */

static uint32_t max_data(uint8_t proto)
{
	return MTU - me.ip_len - (proto == IPPROTO_UDP ? 8 : 20);
}

static void flush(void)
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

static void put_ip(uint8_t *ip, uint8_t proto, uint32_t l4_len)
{
	uint16_t total_be = htons((uint16_t)(me.ip_len + l4_len)), sum;
	uint16_t l4_len_be = htons((uint16_t)l4_len);

	memset(ip, 0, me.ip_len);
	if (me.family == AF_INET6) {
		ip[0] = 0x60;
		memcpy(ip + 4, &l4_len_be, 2);
		ip[6] = proto;
		ip[7] = 64;
	} else {
		uint16_t id_be = htons((uint16_t)count.sent);

		ip[0] = 0x45;
		memcpy(ip + 2, &total_be, 2);
		memcpy(ip + 4, &id_be, 2);
		ip[6] = 0x40; /* DF */
		ip[8] = 64;
		ip[9] = proto;
	}
	memcpy(ip + me.ip_len - 2 * me.addr_len, me.own, me.addr_len);
	memcpy(ip + me.ip_len - me.addr_len, me.peer, me.addr_len);
	if (me.family == AF_INET) {
		sum = (uint16_t)~sum16(ip, 20, 0);
		memcpy(ip + 10, &sum, 2);
	}
}

/* Every other packet leaves its sum to an offload, as a socket's does. */
static void put_checksum(uint8_t *buf, uint8_t *l4, uint8_t proto, uint32_t l4_len)
{
	uint32_t pseudo = pseudo_sum(me.own, me.peer, proto, l4_len);
	uint16_t at = proto == IPPROTO_UDP ? 6 : 16, sum = (uint16_t)pseudo;
	struct virtio_net_hdr hdr = {0};
	static uint32_t turn;

	if (++turn % 2) {
		hdr.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
		hdr.csum_start = (uint16_t)(14 + me.ip_len);
		hdr.csum_offset = at;
	} else {
		sum = (uint16_t)~sum16(l4, l4_len, pseudo);
		if (proto == IPPROTO_UDP && !sum)
			sum = 0xffff;
	}
	memcpy(buf, &hdr, sizeof(hdr));
	memcpy(l4 + at, &sum, 2);
}

static void put(uint32_t idx, uint8_t tcp_flags, uint32_t size)
{
	struct flow *f = &flows[idx];
	uint8_t proto = idx % 2 ? IPPROTO_TCP : IPPROTO_UDP;
	uint32_t head = proto == IPPROTO_UDP ? 8 : 20, l4_len = head + size;
	uint8_t *frame = tx_buf[tx_cnt] + sizeof(struct virtio_net_hdr);
	uint8_t *ip = frame + 14, *l4 = ip + me.ip_len;
	uint16_t own_be = htons((uint16_t)((me.reflect ? SERVER_PORT : OWN_PORT) + idx));
	uint16_t peer_be = me.reflect ? f->peer_be : htons((uint16_t)(SERVER_PORT + idx));

	memcpy(frame, me.eth, 14);
	put_ip(ip, proto, l4_len);
	if (proto == IPPROTO_UDP) {
		uint16_t udp[4] = {own_be, peer_be, htons((uint16_t)l4_len), 0};

		memcpy(l4, udp, 8);
	} else {
		struct tcp tcp = {own_be,        peer_be, htonl(f->seq),
				  htonl(f->ack), 5 << 4,  tcp_flags,
				  htons(65000),  0,       0};

		memcpy(l4, &tcp, 20);
		f->seq += size + !!(tcp_flags & 2);
	}
	memcpy(l4 + head, content[me.reflect] + MTU - size, size);
	put_checksum(tx_buf[tx_cnt], l4, proto, l4_len);
	tx_len[tx_cnt++] = (uint32_t)(sizeof(struct virtio_net_hdr) + 14 + me.ip_len + l4_len);
	if (tx_cnt == BATCH)
		flush();
}

/* ---- receiving */

/* 0: not ours. Else `v` is filled; a wrong IP header is counted here. */
static int look(const uint8_t *frame, uint32_t len, int not_ready, struct view *v)
{
	static const uint8_t types[2][2] = {{0x08, 0x00}, {0x86, 0xdd}};
	const uint8_t *ip = frame + 14, *src, *dst;
	uint32_t total, at, field_sum;
	uint16_t field;

	if (len < 14 + me.ip_len + 8 || memcmp(frame + 12, types[me.family == AF_INET6], 2))
		return 0;
	v->proto = me.family == AF_INET ? ip[9] : ip[6];
	if (v->proto != IPPROTO_UDP && v->proto != IPPROTO_TCP)
		return 0;
	total = me.family == AF_INET ? (uint32_t)(ip[2] << 8 | ip[3])
				     : 40 + (uint32_t)(ip[4] << 8 | ip[5]);
	if (len - 14 > 65535 || total == (me.family == AF_INET ? 0 : 40))
		total = len - 14;
	src = ip + me.ip_len - 2 * me.addr_len;
	dst = src + me.addr_len;
	v->l4 = ip + me.ip_len;
	v->sport = (uint16_t)(v->l4[0] << 8 | v->l4[1]);
	v->dport = (uint16_t)(v->l4[2] << 8 | v->l4[3]);
	at = v->dport - (me.reflect ? SERVER_PORT : OWN_PORT);
	if (at >= FLOWS || (at % 2 ? IPPROTO_TCP : IPPROTO_UDP) != v->proto)
		return 0;
	if (total > len - 14 || total < me.ip_len + (v->proto == IPPROTO_UDP ? 8 : 20)) {
		count.bad_ip++;
		return 0;
	}
	v->l4_len = total - me.ip_len;
	if (me.family == AF_INET && (ip[0] != 0x45 || sum16(ip, 20, 0) != 0xffff))
		count.bad_ip++;
	if (memcmp(src, me.peer, me.addr_len) || memcmp(dst, me.own, me.addr_len))
		count.bad_tuple++;
	at = v->proto == IPPROTO_UDP ? 8 : 20;
	v->tcp_flags = v->proto == IPPROTO_TCP ? v->l4[13] : 0;
	v->seq = v->proto == IPPROTO_TCP
			 ? (uint32_t)(v->l4[4] << 24 | v->l4[5] << 16 | v->l4[6] << 8 | v->l4[7])
			 : 0;
	v->data = v->l4 + at;
	v->data_len = v->l4_len - at;
	field_sum = pseudo_sum(src, dst, v->proto, v->l4_len);
	memcpy(&field, v->l4 + (v->proto == IPPROTO_UDP ? 6 : 16), 2);
	if (not_ready) /* left to an offload: the field holds the pseudo-header's sum */
		v->checksum_ok = field == field_sum;
	else
		v->checksum_ok = sum16(v->l4, v->l4_len, field_sum) == 0xffff &&
				 (field || v->proto == IPPROTO_TCP);
	return 1;
}

/* Pieces of `gso_size` (0: one piece), each the content of its size; returns how many. */
static uint32_t compare(const struct view *v, uint32_t gso_size)
{
	uint32_t at = 0, pieces = 0;

	do {
		uint32_t n = v->data_len - at;

		if (gso_size && n > gso_size)
			n = gso_size;
		if (n > max_data(v->proto) ||
		    memcmp(v->data + at, content[!me.reflect] + MTU - n, n))
			count.bad_data++;
		else
			sizes_seen[v->proto == IPPROTO_TCP][n] = 1;
		at += n;
		pieces++;
	} while (at < v->data_len);
	return pieces;
}

static void answer(const struct view *v, uint32_t idx, uint32_t pieces)
{
	struct flow *f = &flows[idx];

	if (f->peer_be && f->peer_be != htons(v->sport))
		count.bad_tuple++;
	f->peer_be = htons(v->sport);
	for (uint32_t i = 0; i < pieces; i++) {
		uint32_t rest = v->data_len / pieces;

		if (v->tcp_flags & 2) {
			f->seq = 7000000;
			put(idx, 0x12, 0);
		} else if (v->proto == IPPROTO_UDP || v->data_len) {
			put(idx, 0x10, i + 1 < pieces ? rest : v->data_len - rest * (pieces - 1));
		}
	}
}

static uint32_t take(const uint8_t *frame, uint32_t len, const struct virtio_net_hdr *hdr)
{
	struct view v;
	uint32_t idx, pieces;

	if (!look(frame, len, hdr->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM, &v)) {
		count.other++;
		return 0;
	}
	idx = v.dport - (me.reflect ? SERVER_PORT : OWN_PORT);
	count.received++;
	count.bad_l4 += !v.checksum_ok;
	pieces = compare(&v, hdr->gso_type ? hdr->gso_size : 0);
	count.segments += pieces;
	if (v.proto == IPPROTO_TCP) {
		flows[idx].ack = v.seq + v.data_len + !!(v.tcp_flags & 2);
		flows[idx].open |= v.tcp_flags & 0x12;
	}
	if (me.reflect)
		answer(&v, idx, pieces);
	return pieces;
}

/* Everything that waits; returns segments. */
static uint32_t receive(int wait_ms)
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
		if (me.reflect && tx_cnt)
			flush();
	} while (n == BATCH);
	return got;
}

/* ---- the two roles */

static void open_flows(void)
{
	for (int round = 0; round < 20 && !stop; round++) {
		int missing = 0;

		for (uint32_t i = 1; i < FLOWS; i += 2) {
			if (flows[i].open)
				continue;
			flows[i].seq = 1000000;
			flows[i].ack = 0;
			put(i, 2, 0);
			missing++;
		}
		flush();
		if (!missing)
			return;
		for (uint64_t end = now_ns() + 100000000ull; now_ns() < end;)
			receive(10);
	}
	fprintf(stderr, "soak: a TCP flow does not open\n");
	exit(1);
}

static void run_sender(uint64_t wanted, uint64_t seconds)
{
	uint64_t end = now_ns() + seconds * 1000000000ull, last = now_ns();
	uint64_t on_way = 0, made = 0, silent = 0;

	open_flows();
	for (uint32_t i = 1; i < FLOWS; i += 2)
		put(i, 0x10, 0);
	flush();
	receive(100);
	memset(&count, 0, sizeof(count));
	while (!stop && now_ns() < end && (made < wanted || on_way)) {
		uint32_t got;

		while (made < wanted && on_way < WINDOW) {
			uint32_t idx = (uint32_t)(made % FLOWS),
				 proto = idx % 2 ? IPPROTO_TCP : IPPROTO_UDP;
			/* Each flow walks through all sizes, 241 apart: coprime to their numbers.
			 * An empty TCP segment has no answer. */
			uint32_t all = max_data((uint8_t)proto) + 1;
			uint32_t size = (uint32_t)((made / FLOWS + made % FLOWS) * 241 % all);

			put(idx, 0x10, size);
			made++;
			on_way += !(proto == IPPROTO_TCP && !size);
			silent += proto == IPPROTO_TCP && !size;
		}
		if (tx_cnt)
			flush();
		got = receive(1);
		if (got)
			last = now_ns();
		on_way = got > on_way ? 0 : on_way - got;
		if (on_way && now_ns() - last > LOST_NS) {
			on_way = 0;
			last = now_ns();
		}
	}
	receive(200); /* stragglers */
	if (made > silent + count.segments)
		count.lost = made - silent - count.segments;
}

static uint32_t sizes(int tcp)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < MTU; i++)
		n += sizes_seen[tcp][i];
	return n;
}

static int parse_args(char **argv)
{
	unsigned m[6];

	me.family = strchr(argv[4], ':') ? AF_INET6 : AF_INET;
	me.addr_len = me.family == AF_INET6 ? 16 : 4;
	me.ip_len = me.family == AF_INET6 ? 40 : 20;
	me.reflect = !strcmp(argv[1], "reflect");
	if (inet_pton(me.family, argv[me.reflect ? 5 : 4], me.own) != 1 ||
	    inet_pton(me.family, argv[me.reflect ? 4 : 5], me.peer) != 1)
		return -1;
	if (sscanf(argv[3], "%x:%x:%x:%x:%x:%x", m, m + 1, m + 2, m + 3, m + 4, m + 5) != 6)
		return -1;
	for (int i = 0; i < 6; i++)
		me.eth[i] = (uint8_t)m[i];
	me.eth[12] = me.family == AF_INET6 ? 0x86 : 0x08;
	me.eth[13] = me.family == AF_INET6 ? 0xdd : 0x00;
	return 0;
}

static int open_socket(const char *ifname)
{
	struct sockaddr_ll addr = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL)};
	int one = 1, size = 64 << 20, fd = socket(AF_PACKET, SOCK_RAW, 0);
	socklen_t len = sizeof(addr);

	addr.sll_ifindex = (int)if_nametoindex(ifname);
	if (fd < 0 || !addr.sll_ifindex ||
	    setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &one, sizeof(one)) ||
	    setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &one, sizeof(one)) ||
	    setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) ||
	    setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)) ||
	    bind(fd, (struct sockaddr *)&addr, sizeof(addr)) ||
	    getsockname(fd, (struct sockaddr *)&addr, &len)) {
		perror(ifname);
		return -1;
	}
	memcpy(me.eth + 6, addr.sll_addr, 6);
	return fd;
}

int main(int argc, char **argv)
{
	struct sigaction sa = {.sa_handler = on_signal};

	if (argc < 6 || parse_args(argv) || (!me.reflect && argc < 7)) {
		fprintf(stderr, "usage: see the top of soak.c\n");
		return 2;
	}
	sigaction(SIGTERM, &sa, NULL);
	sigaction(SIGINT, &sa, NULL);
	for (int dir = 0; dir < 2; dir++)
		pattern_fill(content[dir], MTU, 0x50a6 + (uint64_t)dir, 0);
	me.fd = open_socket(argv[2]);
	if (me.fd < 0)
		return 1;
	if (me.reflect) {
		printf("listening on %s\n", argv[2]);
		fflush(stdout);
		while (!stop)
			receive(100);
	} else {
		run_sender(strtoull(argv[6], NULL, 10),
			   argc > 7 ? strtoull(argv[7], NULL, 10) : 3600);
	}
	printf("{\"sent\": %llu, \"received\": %llu, \"segments\": %llu, \"bad_ip\": %llu, "
	       "\"bad_l4\": %llu, "
	       "\"bad_data\": %llu, \"bad_tuple\": %llu, \"lost\": %llu, \"sizes_udp\": %u, "
	       "\"sizes_tcp\": %u}\n",
	       (unsigned long long)count.sent, (unsigned long long)count.received,
	       (unsigned long long)count.segments, (unsigned long long)count.bad_ip,
	       (unsigned long long)count.bad_l4, (unsigned long long)count.bad_data,
	       (unsigned long long)count.bad_tuple, (unsigned long long)count.lost, sizes(0),
	       sizes(1));
	return count.bad_ip || count.bad_l4 || count.bad_data || count.bad_tuple;
}
