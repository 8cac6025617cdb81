/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * udp_echo - UDP echo server that counts and checks (see pattern.h).
 *
 *   udp_echo [-v] [-z] [-n] ADDR PORT
 *     -v  print `peer ADDRESS:PORT to ADDRESS` for every new client: what the outside sees
 *     -z  answer with UDP checksum 0
 *     -n  count only, answer nothing
 * Answers leave from the address they were sent to. SIGUSR1 prints the counters as one JSON line,
 * SIGTERM and SIGINT print them and end.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "endpoint.h"
#include "pattern.h"

#define BATCH     64    /* datagrams a recvmmsg: one syscall a batch keeps a core's worth of load */
#define DGRAM_MAX 65536 /* the largest UDP datagram and one more, so that none is cut */
#define PEERS_MAX 65536 /* open-addressed set; clients beyond it are echoed, but printed again */

static struct {
	uint64_t rx, tx, bytes, corrupt, refused, peers;
} count;
static volatile sig_atomic_t stop, report;
static int verbose, zero_checksum, no_answer;
static uint64_t peer_set[PEERS_MAX * 2];
static uint8_t buffers[BATCH][DGRAM_MAX];
static uint8_t scratch[DGRAM_MAX];

static void on_signal(int sig)
{
	if (sig == SIGUSR1)
		report = 1;
	else
		stop = 1;
}

static void print_counters(void)
{
	printf("{\"rx\": %lu, \"tx\": %lu, \"bytes\": %lu, \"corrupt\": %lu, \"refused\": %lu, "
	       "\"peers\": %lu}\n",
	       count.rx, count.tx, count.bytes, count.corrupt, count.refused, count.peers);
	fflush(stdout);
}

/* Of an IPv6 address its two halves in one: the addresses of a test stay apart. */
static uint64_t peer_key(const union endpoint *e)
{
	uint64_t q[2];

	if (e->sa.sa_family == AF_INET)
		return (uint64_t)e->v4.sin_addr.s_addr << 16 | e->v4.sin_port | 1ull << 63;
	memcpy(q, &e->v6.sin6_addr, sizeof(q));
	return (pattern_word(q[0] ^ q[1], 1) << 16 ^ e->v6.sin6_port) | 1ull << 63;
}

static void note_peer(const union endpoint *from, struct in_addr to)
{
	uint64_t key = peer_key(from);
	uint32_t slot = (uint32_t)(pattern_word(key, 0) % (PEERS_MAX * 2));
	char text[ENDPOINT_TEXT], dest[INET_ADDRSTRLEN];

	while (peer_set[slot] && peer_set[slot] != key)
		slot = (slot + 1) % (PEERS_MAX * 2);
	if (peer_set[slot] == key)
		return;
	if (count.peers < PEERS_MAX)
		peer_set[slot] = key;
	count.peers++;
	if (!verbose)
		return;
	inet_ntop(AF_INET, &to, dest, sizeof(dest));
	if (from->sa.sa_family == AF_INET)
		printf("peer %s to %s\n", endpoint_text(from, text), dest);
	else
		printf("peer %s\n", endpoint_text(from, text));
	fflush(stdout);
}

/* The control message of a received datagram becomes that of its answer: same local address, and
 * the kernel chooses the interface. IPv6 sockets of this program are bound to an address: none. */
static struct in_addr local_addr(struct msghdr *msg)
{
	struct cmsghdr *c = CMSG_FIRSTHDR(msg);
	struct in_pktinfo info = {0};

	if (!c || c->cmsg_type != IP_PKTINFO)
		return info.ipi_addr;
	memcpy(&info, CMSG_DATA(c), sizeof(info));
	info.ipi_ifindex = 0;
	info.ipi_spec_dst = info.ipi_addr;
	memcpy(CMSG_DATA(c), &info, sizeof(info));
	return info.ipi_addr;
}

static void take_batch(int fd, struct mmsghdr *msgs, int n)
{
	int sent = 0;

	for (int i = 0; i < n; i++) {
		struct msghdr *m = &msgs[i].msg_hdr;
		uint32_t seq;

		count.rx++;
		count.bytes += msgs[i].msg_len;
		count.corrupt += !dgram_intact(buffers[i], msgs[i].msg_len, scratch, &seq);
		note_peer(m->msg_name, local_addr(m));
		m->msg_iov->iov_len = msgs[i].msg_len;
	}
	while (!no_answer && sent < n) {
		int k = sendmmsg(fd, msgs + sent, (unsigned int)(n - sent), 0);

		if (k > 0)
			count.tx += (uint64_t)k;
		else
			count.refused++;
		sent += k > 0 ? k : 1;
	}
}

static int open_socket(const char *addr, const char *l4_port)
{
	union endpoint at;
	int on = 1, room = 4 << 20, fd;

	if (endpoint_parse("udp_echo", addr, l4_port, &at) < 0)
		return -1;
	fd = socket(at.sa.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (at.sa.sa_family == AF_INET)
		setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &on, sizeof(on));
	setsockopt(fd, SOL_SOCKET, SO_NO_CHECK, &zero_checksum, sizeof(zero_checksum));
	/* 4 MiB each way: a burst of a whole test fits, so losses are the path's and not ours. */
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room));
	setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof(room));
	if (bind(fd, &at.sa, endpoint_len(&at)) < 0) {
		perror("udp_echo: bind");
		return -1;
	}
	return fd;
}

static void serve(int fd)
{
	static union endpoint from[BATCH];
	static struct iovec iov[BATCH];
	static char control[BATCH][CMSG_SPACE(sizeof(struct in_pktinfo))];
	static struct mmsghdr msgs[BATCH];

	while (!stop) {
		int n;

		for (int i = 0; i < BATCH; i++) {
			iov[i] = (struct iovec){buffers[i], DGRAM_MAX};
			msgs[i].msg_hdr = (struct msghdr){
				.msg_name = &from[i],
				.msg_namelen = sizeof(from[i]),
				.msg_iov = &iov[i],
				.msg_iovlen = 1,
				.msg_control = control[i],
				.msg_controllen = sizeof(control[i]),
			};
		}
		n = recvmmsg(fd, msgs, BATCH, MSG_WAITFORONE, NULL);
		if (n > 0)
			take_batch(fd, msgs, n);
		if (report) {
			report = 0;
			print_counters();
		}
	}
}

int main(int argc, char **argv)
{
	struct sigaction sa = {.sa_handler = on_signal}; /* no SA_RESTART: recvmmsg must wake */
	int opt, fd;

	while ((opt = getopt(argc, argv, "vzn")) != -1) {
		verbose |= opt == 'v';
		zero_checksum |= opt == 'z';
		no_answer |= opt == 'n';
		if (opt == '?')
			return 2;
	}
	if (argc - optind != 2) {
		fprintf(stderr, "usage: udp_echo [-v] [-z] [-n] ADDR PORT\n");
		return 2;
	}
	sigaction(SIGTERM, &sa, NULL);
	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGUSR1, &sa, NULL);
	fd = open_socket(argv[optind], argv[optind + 1]);
	if (fd < 0)
		return 1;
	serve(fd);
	print_counters();
	return 0;
}
