/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * frame_storm - frames that somebody meddled with, many of them, by AF_PACKET.
 *
 *   frame_storm -i IF -t MAC [OPTION...]
 *     -n COUNT        frames (default 100000)
 *     -S SEED         the same seed, the same frames (default 1)
 *     -m PERCENT      of the frames have bytes changed, cut off or added (default 70)
 *     -4 SRC DST      IPv4 addresses; the last byte of each is varied by 0 to 3
 *     -6 SRC DST      the same for IPv6
 *     -p MIN-MAX      destination L4 ports (default 1-65535), source ones are 1024 to 1087
 *     -b              back: these are the source ports, and the others the destination's
 *     -r RATE         frames a second at most (default: as fast as they are taken)
 *
 * What is made before it is meddled with: UDP, TCP with all kinds of flags and options, IP options
 * and extension headers, fragments, ICMP echoes and errors that quote such packets, padding, short
 * frames; lengths from the shortest to the interface's MTU. Checksums are right in half of them.
 * Prints one JSON line: {"sent", "refused", "meddled", "ipv6"}. Exit 0 when all were sent or
 * refused for their own sake (EINVAL, EMSGSIZE), 1 otherwise.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "pattern.h"

#define BATCH     64
#define FRAME_MAX 1514u
#define ETH       14u

static struct {
	const char *dev, *src4, *dst4, *src6, *dst6;
	uint8_t to[6];
	uint64_t count, seed, rate;
	uint32_t meddle_percent, port_min, port_max;
	bool back;
} opt = {.count = 100000, .seed = 1, .meddle_percent = 70, .port_min = 1, .port_max = 65535};

static const uint8_t own[6] = {2, 0,    0,
			       0, 0x5e, 0x10}; /* whom a reply would go to does not matter */
static uint8_t frames[BATCH][2 * FRAME_MAX];
static uint64_t drawn;

static uint32_t below(uint32_t n)
{
	return n ? (uint32_t)(pattern_word(opt.seed, drawn++) >> 32) % n : 0;
}

static bool one_in(uint32_t n)
{
	return !below(n);
}

static void put16(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static uint32_t sum_of(const uint8_t *p, uint32_t len, uint32_t sum)
{
	for (uint32_t i = 0; i < len; i++)
		sum += i & 1 ? p[i] : (uint32_t)p[i] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

/* ---- packets ---- */

static void put_ports(uint8_t *l4)
{
	uint32_t here = 1024 + below(64),
		 there = opt.port_min + below(opt.port_max - opt.port_min + 1);

	put16(l4, opt.back ? there : here);
	put16(l4 + 2, opt.back ? here : there);
}

static uint32_t make_tcp(uint8_t *l4, uint32_t room)
{
	static const uint8_t flags[] = {2, 2, 0x12, 0x10, 0x18, 0x11, 4, 0x14, 0, 0xff, 0xc2, 0x29};
	uint32_t opts = one_in(2) ? 4 * below(11) : 0, len;

	memset(l4, 0, 20);
	put_ports(l4);
	for (int i = 4; i < 12; i++)
		l4[i] = (uint8_t)below(256);
	l4[12] = (uint8_t)((20 + opts) / 4 << 4);
	l4[13] = flags[below(sizeof(flags))];
	put16(l4 + 14, below(65536));
	for (uint32_t i = 0; i < opts; i++)
		l4[20 + i] = one_in(3) ? (uint8_t)below(40) : 1;
	len = 20 + opts;
	return len + below(one_in(4) ? room - len : 40);
}

static uint32_t make_udp(uint8_t *l4, uint32_t room)
{
	uint32_t len = 8 + below(one_in(4) ? room - 8 : 40);

	put_ports(l4);
	put16(l4 + 4, len);
	put16(l4 + 6, 0);
	return len;
}

/* L4 of a random kind; *csum is where its checksum goes, 0: nowhere. */
static uint32_t make_l4(uint8_t *l4, uint32_t room, uint8_t *proto, uint32_t *csum)
{
	bool tcp = one_in(2);

	*proto = tcp ? IPPROTO_TCP : IPPROTO_UDP;
	*csum = tcp ? 16 : 6;
	return tcp ? make_tcp(l4, room) : make_udp(l4, room);
}

static void finish_l4(uint8_t *l4, uint32_t len, uint32_t csum, const uint8_t *addrs,
		      uint32_t addrs_len, uint8_t proto)
{
	uint32_t sum;

	if (one_in(2))
		return;
	sum = sum_of(addrs, addrs_len, proto + len);
	if (one_in(3)) /* left to an offload */
		put16(l4 + csum, sum);
	else
		put16(l4 + csum, ~sum_of(l4, len, sum) & 0xffff);
}

static uint32_t make_v4(uint8_t *ip, uint32_t room, bool quoted);

/* An echo, or an error that quotes what such a packet would be on its way. */
static uint32_t make_icmp(uint8_t *icmp, uint32_t room, bool quoted)
{
	static const uint8_t types[] = {3, 3, 11, 12, 8, 0, 5, 4};
	uint32_t len;

	memset(icmp, 0, 8);
	icmp[0] = types[below(sizeof(types))];
	icmp[1] = (uint8_t)below(14);
	put16(icmp + 6, one_in(2) ? 576 + below(1000) : below(65536));
	len = 8 + (quoted || icmp[0] == 8 ? below(64) : make_v4(icmp + 8, room - 8, true));
	if (one_in(3))
		len = 8 + below(len - 7);
	put16(icmp + 2, one_in(4) ? below(65536) : ~sum_of(icmp, len, 0) & 0xffff);
	return len;
}

static void put_addr4(uint8_t *p, const char *text)
{
	inet_pton(AF_INET, text, p);
	p[3] = (uint8_t)(p[3] + below(4) * one_in(4));
}

static uint32_t make_v4(uint8_t *ip, uint32_t room, bool quoted)
{
	uint32_t opts = one_in(8) ? 4 * below(11) : 0, hdr_len = 20 + opts, csum = 0, len;
	uint8_t *l4 = ip + hdr_len, proto;

	memset(ip, 0, 20);
	put_addr4(ip + 12, quoted ? opt.dst4 : opt.src4);
	put_addr4(ip + 16, quoted ? opt.src4 : opt.dst4);
	for (uint32_t i = 0; i < opts; i++)
		ip[20 + i] = one_in(3) ? (uint8_t)below(256) : 1;
	if (!quoted && one_in(6)) {
		proto = IPPROTO_ICMP;
		len = make_icmp(l4, room - hdr_len, quoted);
	} else {
		len = make_l4(l4, room - hdr_len, &proto, &csum);
		finish_l4(l4, len, csum, ip + 12, 8, proto);
	}
	ip[0] = (uint8_t)(0x40 | hdr_len / 4);
	ip[1] = (uint8_t)(one_in(4) ? below(256) : 0);
	put16(ip + 2, hdr_len + len);
	put16(ip + 4, below(64)); /* few, so that fragments meet */
	put16(ip + 6, one_in(6) ? (below(2) << 13 | below(one_in(2) ? 8 : 8192)) : 0x4000);
	ip[8] = (uint8_t)(one_in(20) ? below(3) : 64);
	ip[9] = proto;
	put16(ip + 10, ~sum_of(ip, hdr_len, 0) & 0xffff);
	return hdr_len + len;
}

static void put_addr6(uint8_t *p, const char *text)
{
	inet_pton(AF_INET6, text, p);
	p[15] = (uint8_t)(p[15] + below(4) * one_in(4));
}

/* Extension headers: hop-by-hop, destination, routing, fragment, in any order. */
static uint32_t make_exts(uint8_t *at, uint8_t *first, uint8_t **last)
{
	static const uint8_t kinds[] = {0, 60, 43, 44};
	uint32_t len = 0, n = one_in(3) ? below(8) : 0;

	*last = first;
	for (uint32_t i = 0; i < n; i++) {
		uint8_t kind = kinds[below(sizeof(kinds))], *hdr = at + len;
		uint32_t hdr_len = kind == 44 ? 8 : 8 + 8 * below(3);

		**last = kind;
		memset(hdr, 0, hdr_len);
		hdr[1] = (uint8_t)(hdr_len / 8 - 1);
		if (kind == 44) {
			put16(hdr + 2, one_in(2) ? below(16) : below(65536));
			hdr[7] = (uint8_t)below(16);
		}
		*last = hdr;
		len += hdr_len;
	}
	return len;
}

static uint32_t make_v6(uint8_t *ip, uint32_t room)
{
	uint32_t exts, csum, len;
	uint8_t *last, proto;

	memset(ip, 0, 40);
	ip[0] = 0x60;
	ip[7] = (uint8_t)(one_in(20) ? below(3) : 64);
	put_addr6(ip + 8, opt.src6);
	put_addr6(ip + 24, opt.dst6);
	exts = make_exts(ip + 40, ip + 6, &last);
	len = make_l4(ip + 40 + exts, room - 40 - exts, &proto, &csum);
	*last = proto;
	finish_l4(ip + 40 + exts, len, csum, ip + 8, 32, proto);
	put16(ip + 4, exts + len);
	return 40 + exts + len;
}

static uint32_t make_frame(uint8_t *f)
{
	bool v6 = opt.src6 && (!opt.src4 || one_in(2));
	uint32_t len;

	memcpy(f, opt.to, 6);
	memcpy(f + 6, own, 6);
	put16(f + 12, v6 ? ETH_P_IPV6 : ETH_P_IP);
	len = ETH +
	      (v6 ? make_v6(f + ETH, FRAME_MAX - ETH) : make_v4(f + ETH, FRAME_MAX - ETH, false));
	if (len < 60 && one_in(2)) {
		memset(f + len, 0xa5, 60 - len);
		len = 60;
	}
	return len < FRAME_MAX ? len : FRAME_MAX;
}

static uint32_t meddle(uint8_t *f, uint32_t len)
{
	for (uint32_t n = 1 + below(4); n; n--) {
		/* mostly in the headers, and the address of the host behind them is kept */
		uint32_t off = 12 + below(one_in(4) ? len - 12 : len < 92 ? len - 12 : 80);

		f[off] ^= (uint8_t)(one_in(2) ? 1 + below(255) : 1u << below(8));
	}
	if (one_in(8))
		len = ETH + 1 + below(len - ETH - 1);
	if (one_in(8) && len + 100 < FRAME_MAX)
		len += below(100);
	return len;
}

/* ---- sending ---- */

static int open_socket(void)
{
	struct sockaddr_ll to = {.sll_family = AF_PACKET, .sll_protocol = 0};
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0), on = 1;

	to.sll_ifindex = (int)if_nametoindex(opt.dev);
	if (fd < 0 || !to.sll_ifindex || bind(fd, (struct sockaddr *)&to, sizeof(to))) {
		perror(opt.dev);
		return -1;
	}
	setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, &on, sizeof(on));
	return fd;
}

static void wait_for_turn(uint64_t start_ns, uint64_t sent)
{
	uint64_t due = opt.rate ? start_ns + sent * 1000000000ull / opt.rate : 0;
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	if (due > (uint64_t)now.tv_sec * 1000000000ull + (uint64_t)now.tv_nsec)
		usleep(500);
}

static int storm(int fd)
{
	uint64_t sent = 0, refused = 0, meddled = 0, ipv6 = 0, start_ns;
	struct mmsghdr msgs[BATCH] = {};
	struct iovec iov[BATCH];
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	start_ns = (uint64_t)now.tv_sec * 1000000000ull + (uint64_t)now.tv_nsec;
	while (sent + refused < opt.count) {
		uint64_t left = opt.count - sent - refused;
		unsigned int n = left < BATCH ? (unsigned int)left : BATCH, done = 0;

		for (unsigned int i = 0; i < n; i++) {
			uint32_t len = make_frame(frames[i]);

			ipv6 += frames[i][12] == (ETH_P_IPV6 >> 8);
			if (below(100) < opt.meddle_percent) {
				len = meddle(frames[i], len);
				meddled++;
			}
			iov[i] = (struct iovec){frames[i], len};
			msgs[i].msg_hdr = (struct msghdr){.msg_iov = &iov[i], .msg_iovlen = 1};
		}
		while (done < n) {
			int ret = sendmmsg(fd, msgs + done, n - done, 0);

			if (ret > 0) {
				done += (unsigned int)ret;
				sent += (unsigned int)ret;
			} else if (errno == EINVAL || errno == EMSGSIZE) {
				done++;
				refused++;
			} else if (errno != ENOBUFS && errno != EAGAIN && errno != EINTR) {
				perror("sendmmsg");
				return 1;
			}
		}
		wait_for_turn(start_ns, sent);
	}
	printf("{\"sent\": %lu, \"refused\": %lu, \"meddled\": %lu, \"ipv6\": %lu}\n", sent,
	       refused, meddled, ipv6);
	return 0;
}

static bool read_mac(const char *text, uint8_t *mac)
{
	return sscanf(text, "%2hhx:%2hhx:%2hhx:%2hhx:%2hhx:%2hhx", mac, mac + 1, mac + 2, mac + 3,
		      mac + 4, mac + 5) == 6;
}

static int usage(void)
{
	fprintf(stderr,
		"usage: frame_storm -i IF -t MAC [-4 SRC DST] [-6 SRC DST] [-n COUNT] [-S SEED] "
		"[-m PERCENT] [-p MIN-MAX] [-b] [-r RATE]\n");
	return 2;
}

int main(int argc, char **argv)
{
	bool has_to = false;
	int c, fd;

	while ((c = getopt(argc, argv, "i:t:n:S:m:4:6:p:br:")) != -1) {
		switch (c) {
		case 'i':
			opt.dev = optarg;
			break;
		case 't':
			has_to = read_mac(optarg, opt.to);
			break;
		case 'n':
			opt.count = strtoull(optarg, NULL, 10);
			break;
		case 'S':
			opt.seed = strtoull(optarg, NULL, 10);
			break;
		case 'm':
			opt.meddle_percent = (uint32_t)atoi(optarg);
			break;
		case 'r':
			opt.rate = strtoull(optarg, NULL, 10);
			break;
		case 'b':
			opt.back = true;
			break;
		case '4':
		case '6':
			if (optind >= argc)
				return usage();
			*(c == '4' ? &opt.src4 : &opt.src6) = optarg;
			*(c == '4' ? &opt.dst4 : &opt.dst6) = argv[optind++];
			break;
		case 'p':
			if (sscanf(optarg, "%u-%u", &opt.port_min, &opt.port_max) == 2 &&
			    opt.port_min <= opt.port_max)
				break;
			return usage();
		default:
			return usage();
		}
	}
	if (!opt.dev || !has_to || (!opt.src4 && !opt.src6) || optind != argc)
		return usage();
	fd = open_socket();
	return fd < 0 ? 1 : storm(fd);
}
