/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * soak - datagrams and TCP segments of every size there and back, each looked at as it is on the
 * wire: checksums, every byte of payload, addresses, L4 ports. The fast judge.
 *
 *   soak reflect IFACE MAC PEER-ADDRESS SERVER-ADDRESS FORMS
 *   soak send IFACE MAC OWN-ADDRESS SERVER-ADDRESS FORMS COUNT [SECONDS]
 *     MAC           Ethernet address of the next hop on that link
 *     PEER-ADDRESS  what the container has to look like from outside
 *     FORMS         file for what packets looked like: lines `SHAPE PROTOCOL SIZE HASH`
 * `send` runs in the container, `reflect` at the server; both speak by packet sockets, and the
 * namespaces' stacks must not answer the L4 ports used (OWN_PORT, SERVER_PORT). `send` ends when
 * COUNT packets were sent and each is back or lost, or after SECONDS; `reflect` ends by SIGTERM.
 * Both print one JSON line, and exit 1 when something was wrong (lost ones are for the caller to
 * judge).
 *
 * A quarter of the flows sends what is not plain (soak.h): IP options, TCP options or no checksum,
 * datagrams and segments larger than the MTU in fragments, and superpackets for a device to cut;
 * each is answered in kind. The hash is of all header fields that a translator is to leave alone,
 * and of the TTL: two runs, one by another translator, give the same FORMS.
 */
#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../tools/pattern.h"
#include "soak.h"

#define WINDOW  128          /* on the way at once: less than any queue between the two ends */
#define LOST_NS 500000000ull /* nothing for so long: what is on the way is lost, not late */
#define STRIDE  241 /* between sizes of a walk: a prime that no number of sizes is a multiple of */

struct soak me;
struct soak_count count;
struct flow flows[FLOWS];
uint8_t content[2][CUT_MAX];
uint64_t forms[SHAPES][2][CUT_MAX + 1];
volatile sig_atomic_t stop;

static void on_signal(int sig)
{
	(void)sig;
	stop = 1;
}

uint32_t sum16(const uint8_t *p, size_t len, uint64_t sum)
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

uint32_t pseudo_sum(const uint8_t *src, const uint8_t *dst, uint8_t proto, uint32_t l4_len)
{
	uint8_t tail[8] = {0, 0, (uint8_t)(l4_len >> 8), (uint8_t)l4_len, 0, 0, 0, proto};

	return sum16(dst, me.addr_len, sum16(src, me.addr_len, sum16(tail, sizeof(tail), 0)));
}

/* ---- what each flow sends */

static const enum shape slots[8] = {PLAIN,           PLAIN,           PLAIN,     PLAIN,
				    WITH_IP_OPTIONS, WITH_L4_OPTIONS, FRAGMENTS, SUPERPACKETS};

enum shape shape_of(uint32_t idx)
{
	return slots[(idx >> 1) & 7];
}

uint8_t proto_of(uint32_t idx)
{
	return idx % 2 ? IPPROTO_TCP : IPPROTO_UDP;
}

uint32_t size_max(enum shape shape, uint8_t proto)
{
	uint32_t room = MTU - me.ip_len - (proto == IPPROTO_UDP ? 8 : 20);

	if (shape == FRAGMENTS)
		return CUT_MAX;
	if (shape == WITH_IP_OPTIONS || (shape == WITH_L4_OPTIONS && proto == IPPROTO_TCP))
		return room - 40; /* the most options that there may be */
	return room;
}

uint32_t ip_options_len(enum shape shape, uint32_t size)
{
	if (shape != WITH_IP_OPTIONS)
		return 0;
	return me.family == AF_INET ? 4 * (1 + size % 10) : 8 * (1 + size % 5);
}

uint32_t tcp_options_len(enum shape shape, uint32_t size)
{
	return shape == WITH_L4_OPTIONS ? 4 * (1 + size % 10) : 0;
}

uint32_t super_cnt(uint32_t size)
{
	return 2 + size % 3;
}

uint32_t super_tail(uint32_t size)
{
	return (size + 1) / 2;
}

int is_unsummed(enum shape shape, uint8_t proto)
{
	return shape == WITH_L4_OPTIONS && proto == IPPROTO_UDP && me.family == AF_INET;
}

/* Flows of one shape and protocol walk through all sizes together, each another part of them. */
static uint32_t next_size(uint32_t idx, uint64_t round)
{
	enum shape shape = shape_of(idx);
	uint64_t walkers = shape == PLAIN ? 32 : 8;
	uint64_t nth = shape == PLAIN ? (idx >> 4) * 4 + ((idx >> 1) & 3) : idx >> 4;

	return (uint32_t)((round * walkers + nth) * STRIDE % (size_max(shape, proto_of(idx)) + 1));
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
	uint64_t on_way = 0, owed = 0, turn = 0;

	open_flows();
	for (uint32_t i = 1; i < FLOWS; i += 2)
		put(i, 0x10, 0);
	flush();
	receive(100);
	memset(&count, 0, sizeof(count));
	memset(forms, 0, sizeof(forms));
	while (!stop && now_ns() < end && (owed < wanted || on_way)) {
		uint32_t got;

		while (owed < wanted && on_way < WINDOW) {
			uint32_t idx = (uint32_t)(turn % FLOWS);
			uint32_t n = put(idx, 0x10, next_size(idx, turn / FLOWS));

			turn++;
			owed += n;
			on_way += n;
		}
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
	if (owed > count.segments)
		count.lost = owed - count.segments;
}

/* ---- start and end */

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

static int write_forms(const char *path)
{
	FILE *f = fopen(path, "w");

	for (int s = 0; f && s < SHAPES; s++)
		for (int tcp = 0; tcp < 2; tcp++)
			for (int size = 0; size <= CUT_MAX; size++)
				if (forms[s][tcp][size])
					fprintf(f, "%d %d %d %016llx\n", s, tcp, size,
						(unsigned long long)forms[s][tcp][size]);
	if (!f || fclose(f)) {
		perror(path);
		return -1;
	}
	return 0;
}

static void print_count(void)
{
	const struct {
		const char *name;
		uint64_t n;
	} all[] = {{"sent", count.sent},
		   {"received", count.received},
		   {"segments", count.segments},
		   {"fragments", count.fragments},
		   {"joined", count.joined},
		   {"bad_ip", count.bad_ip},
		   {"bad_l4", count.bad_l4},
		   {"bad_data", count.bad_data},
		   {"bad_tuple", count.bad_tuple},
		   {"bad_form", count.bad_form},
		   {"lost", count.lost}};

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		printf("%s\"%s\": %llu", i ? ", " : "{", all[i].name, (unsigned long long)all[i].n);
	printf("}\n");
}

int main(int argc, char **argv)
{
	struct sigaction sa = {.sa_handler = on_signal};

	if (argc < 7 || parse_args(argv) || (!me.reflect && argc < 8)) {
		fprintf(stderr, "usage: see the top of soak.c\n");
		return 2;
	}
	sigaction(SIGTERM, &sa, NULL);
	sigaction(SIGINT, &sa, NULL);
	for (int dir = 0; dir < 2; dir++)
		pattern_fill(content[dir], CUT_MAX, 0x50a6 + (uint64_t)dir, 0);
	me.fd = open_socket(argv[2]);
	if (me.fd < 0)
		return 1;
	if (me.reflect) {
		printf("listening on %s\n", argv[2]);
		fflush(stdout);
		while (!stop)
			receive(100);
	} else {
		run_sender(strtoull(argv[7], NULL, 10),
			   argc > 8 ? strtoull(argv[8], NULL, 10) : 3600);
	}
	print_count();
	return write_forms(argv[6]) || count.bad_ip || count.bad_l4 || count.bad_data ||
	       count.bad_tuple || count.bad_form;
}
