/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * syn_flood - SYNs of so many different flows that never go on, out of one interface.
 *
 *   syn_flood -i IFACE -m GATEWAY-MAC -s SOURCE -d DESTINATION [OPTION...]
 *     -n COUNT    flows, a SYN each (default 100000)
 *     -D BITS     destinations: as many as these low bits of DESTINATION say (default 0: one)
 *     -p L4PORT   the first destination L4 port (default 80)
 *     -P COUNT    destination L4 ports (default 1)
 *     -r PPS      at most so many a second (default 0: as fast as it goes)
 *
 * Flows differ in source L4 port first (64,512 of them), then destination, then destination L4
 * port; the order is such that neighbours differ in all. {"sent", "seconds"}; exit 0 when all went.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BATCH     64u
#define SPORT_MIN 1024u
#define SPORTS    (65536u - SPORT_MIN)
#define FRAME_LEN 54u /* Ethernet, IPv4, TCP without options */
/* Coprime to all counts there can be but its multiples: walks them in a scattered order. */
#define STRIDE 2654435761ull

static struct {
	const char *iface;
	uint8_t mac[6], own_mac[6];
	uint32_t src, dst; /* host order */
	uint64_t cnt, rate;
	uint32_t dst_cnt, dport, dport_cnt;
} opt = {.cnt = 100000, .dst_cnt = 1, .dport = 80, .dport_cnt = 1};

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void put16(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static void put32(uint8_t *p, uint32_t v)
{
	put16(p, v >> 16);
	put16(p + 2, v & 0xffff);
}

static uint32_t sum16(const uint8_t *p, uint32_t len, uint32_t sum)
{
	for (uint32_t i = 0; i < len; i += 2)
		sum += (uint32_t)p[i] << 8 | p[i + 1];
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

static void build(uint8_t *f, uint64_t n)
{
	uint64_t flow = n * STRIDE % opt.cnt;
	uint8_t *ip = f + 14, *tcp = ip + 20;
	uint64_t rest = flow / SPORTS;

	memset(f, 0, FRAME_LEN);
	memcpy(f, opt.mac, 6);
	memcpy(f + 6, opt.own_mac, 6);
	put16(f + 12, ETH_P_IP);
	ip[0] = 0x45;
	put16(ip + 2, 40);
	ip[6] = 0x40;
	ip[8] = 64;
	ip[9] = IPPROTO_TCP;
	put32(ip + 12, opt.src);
	put32(ip + 16, opt.dst + (uint32_t)((flow + rest) % opt.dst_cnt));
	put16(ip + 10, 0xffff - sum16(ip, 20, 0));
	put16(tcp, SPORT_MIN + (uint32_t)(flow % SPORTS));
	put16(tcp + 2, opt.dport + (uint32_t)(rest % opt.dport_cnt));
	put32(tcp + 4, (uint32_t)n * 2654435761u);
	tcp[12] = 0x50;
	tcp[13] = 2;
	put16(tcp + 14, 64240);
	put16(tcp + 16, 0xffff - sum16(ip + 12, 28, IPPROTO_TCP + 20));
}

static int open_socket(void)
{
	struct sockaddr_ll addr = {.sll_family = AF_PACKET, .sll_protocol = 0};
	int fd = socket(AF_PACKET, SOCK_RAW, 0), one = 1;
	struct ifreq ifr = {};

	strncpy(ifr.ifr_name, opt.iface, sizeof(ifr.ifr_name) - 1);
	if (fd < 0 || ioctl(fd, SIOCGIFHWADDR, &ifr))
		return -1;
	memcpy(opt.own_mac, ifr.ifr_hwaddr.sa_data, 6);
	addr.sll_ifindex = (int)if_nametoindex(opt.iface);
	setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, &one, sizeof(one));
	return bind(fd, (struct sockaddr *)&addr, sizeof(addr)) ? -1 : fd;
}

static int flood(int fd)
{
	static uint8_t frames[BATCH][FRAME_LEN];
	struct mmsghdr msgs[BATCH] = {};
	struct iovec iov[BATCH];
	uint64_t start = now_ns(), sent = 0;

	for (uint32_t i = 0; i < BATCH; i++) {
		iov[i] = (struct iovec){frames[i], FRAME_LEN};
		msgs[i].msg_hdr = (struct msghdr){.msg_iov = &iov[i], .msg_iovlen = 1};
	}
	while (sent < opt.cnt) {
		uint32_t n = opt.cnt - sent < BATCH ? (uint32_t)(opt.cnt - sent) : BATCH;

		for (uint32_t i = 0; i < n; i++)
			build(frames[i], sent + i);
		for (uint32_t i = 0; i < n;) {
			int done = sendmmsg(fd, msgs + i, n - i, 0);

			if (done < 0 && errno != ENOBUFS && errno != EAGAIN && errno != EINTR) {
				perror("sendmmsg");
				return 1;
			}
			i += done > 0 ? (uint32_t)done : 0;
		}
		sent += n;
		while (opt.rate && sent * 1000000000u / opt.rate > now_ns() - start)
			usleep(100);
	}
	printf("{\"sent\": %llu, \"seconds\": %.3f}\n", (unsigned long long)sent,
	       (double)(now_ns() - start) / 1e9);
	return 0;
}

static bool parse_mac(const char *text)
{
	return sscanf(text, "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", &opt.mac[0], &opt.mac[1], &opt.mac[2],
		      &opt.mac[3], &opt.mac[4], &opt.mac[5]) == 6;
}

int main(int argc, char **argv)
{
	bool ok = true;
	int c, fd;

	while ((c = getopt(argc, argv, "i:m:s:d:n:D:p:P:r:")) != -1) {
		switch (c) {
		case 'i':
			opt.iface = optarg;
			break;
		case 'm':
			ok = parse_mac(optarg) && ok;
			break;
		case 's':
			opt.src = ntohl(inet_addr(optarg));
			break;
		case 'd':
			opt.dst = ntohl(inet_addr(optarg));
			break;
		case 'n':
			opt.cnt = strtoull(optarg, NULL, 10);
			break;
		case 'D':
			opt.dst_cnt = 1u << atoi(optarg);
			break;
		case 'p':
			opt.dport = (uint32_t)atoi(optarg);
			break;
		case 'P':
			opt.dport_cnt = (uint32_t)atoi(optarg);
			break;
		case 'r':
			opt.rate = strtoull(optarg, NULL, 10);
			break;
		default:
			ok = false;
		}
	}
	if (!ok || !opt.iface || !opt.src || !opt.dst || !opt.cnt || opt.cnt % 2654435761u == 0) {
		fprintf(stderr, "usage: syn_flood -i IFACE -m MAC -s SOURCE -d DESTINATION "
				"[-n COUNT] [-D BITS] [-p L4PORT] [-P COUNT] [-r PPS]\n");
		return 2;
	}
	fd = open_socket();
	if (fd < 0) {
		perror(opt.iface);
		return 1;
	}
	return flood(fd);
}
