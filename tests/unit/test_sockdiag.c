/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * test_sockdiag.c - L4 ports of host sockets, of every kind of socket there is.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "control/sockdiag.h"
#include "netns_fixture.h"

/* ---- sockets ---- */

static int bound(int family, int type, uint16_t l4_port, bool listening)
{
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(l4_port)};
	struct sockaddr_in v4 = {.sin_family = AF_INET,
				 .sin_port = htons(l4_port),
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(family, type | SOCK_CLOEXEC, 0), one = 1;

	assert_true(fd >= 0);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	assert_int_equal(family == AF_INET ? bind(fd, (void *)&v4, sizeof(v4))
					   : bind(fd, (void *)&v6, sizeof(v6)),
			 0);
	if (listening)
		assert_int_equal(listen(fd, 4), 0);
	return fd;
}

static unsigned int popcount(const uint64_t *bitmap)
{
	unsigned int cnt = 0;

	for (unsigned int i = 0; i < XE_L4_PORT_WORDS; i++)
		cnt += (unsigned int)__builtin_popcountll(bitmap[i]);
	return cnt;
}

static int answers(struct xe_sockdiag *sd, uint8_t proto, const char *addr, uint16_t l4_port)
{
	struct xe_addr a = nf_ip(addr);

	return xe_sockdiag_answers(sd, proto, &a, l4_port);
}

static void test_sockdiag(void **state)
{
	static uint64_t tcp[XE_L4_PORT_WORDS], udp[XE_L4_PORT_WORDS];
	struct sockaddr_in to = {.sin_family = AF_INET,
				 .sin_port = htons(8080),
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct xe_sockdiag *sd;
	int fds[6];

	(void)state;
	nf_need_world();
	assert_int_equal(xe_sockdiag_open(&sd), 0);
	assert_int_equal(xe_sockdiag_listeners(sd, tcp, udp), 0);
	assert_int_equal(popcount(tcp) + popcount(udp), 0); /* a namespace of our own */
	fds[0] = bound(AF_INET, SOCK_STREAM, 8080, true);
	fds[1] = bound(AF_INET6, SOCK_STREAM, 65535, true);
	fds[2] = bound(AF_INET, SOCK_DGRAM, 5353, false);
	fds[3] = bound(AF_INET6, SOCK_DGRAM, 1, false);
	assert_int_equal(xe_sockdiag_listeners(sd, tcp, udp), 0);
	assert_true(xe_l4_port_isset(tcp, 8080) && xe_l4_port_isset(tcp, 65535));
	assert_true(xe_l4_port_isset(udp, 5353) && xe_l4_port_isset(udp, 1));
	assert_int_equal(popcount(tcp), 2);
	assert_int_equal(popcount(udp), 2);
	assert_int_equal(xe_sockdiag_used(sd, IPPROTO_TCP, 8080), 1);
	assert_int_equal(xe_sockdiag_used(sd, IPPROTO_TCP, 65535), 1);
	assert_int_equal(xe_sockdiag_used(sd, IPPROTO_UDP, 5353), 1);
	assert_int_equal(xe_sockdiag_used(sd, IPPROTO_UDP, 1), 1);
	assert_int_equal(xe_sockdiag_used(sd, IPPROTO_UDP, 8080), 0);
	assert_int_equal(xe_sockdiag_used(sd, IPPROTO_TCP, 8081), 0);
	assert_int_equal(answers(sd, IPPROTO_TCP, "127.0.0.1", 8080), 1);
	assert_int_equal(answers(sd, IPPROTO_TCP, "192.0.2.1", 8080), 0);  /* on loopback only */
	assert_int_equal(answers(sd, IPPROTO_TCP, "192.0.2.1", 65535), 1); /* dual-stack */
	assert_int_equal(answers(sd, IPPROTO_TCP, "2001:db8::1", 65535), 1);
	assert_int_equal(answers(sd, IPPROTO_UDP, "127.0.0.1", 5353), 1);
	assert_int_equal(answers(sd, IPPROTO_UDP, "192.0.2.1", 1), 1);
	assert_int_equal(answers(sd, IPPROTO_UDP, "192.0.2.1", 8080), 0);
	assert_int_equal(answers(sd, IPPROTO_TCP, "2001:db8::1", 8080), 0);

	/* a connection outlives its listener: no listener, but still used */
	fds[4] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(fds[4], (void *)&to, sizeof(to)), 0);
	fds[5] = accept4(fds[0], NULL, NULL, SOCK_CLOEXEC);
	assert_true(fds[5] >= 0);
	close(fds[0]);
	assert_int_equal(xe_sockdiag_listeners(sd, tcp, udp), 0);
	assert_false(xe_l4_port_isset(tcp, 8080));
	assert_int_equal(xe_sockdiag_used(sd, IPPROTO_TCP, 8080), 1);
	assert_int_equal(xe_sockdiag_all(sd, tcp, udp), 0);
	assert_true(xe_l4_port_isset(tcp, 8080));
	assert_int_equal(popcount(tcp), 3); /* and the client's own */
	for (int i = 1; i < 6; i++)
		close(fds[i]);
	assert_int_equal(xe_sockdiag_listeners(sd, tcp, udp), 0);
	assert_int_equal(popcount(tcp) + popcount(udp), 0);
	xe_sockdiag_close(sd);
}

/* Only bound, neither listening nor connected: seen by kernels since 6.8. */
static void test_sockdiag_bound_inactive(void **state)
{
	struct xe_sockdiag *sd;
	int fd, used;

	(void)state;
	nf_need_world();
	assert_int_equal(xe_sockdiag_open(&sd), 0);
	fd = bound(AF_INET, SOCK_STREAM, 7070, false);
	used = xe_sockdiag_used(sd, IPPROTO_TCP, 7070);
	close(fd);
	xe_sockdiag_close(sd);
	assert_true(used >= 0);
	if (!used) {
		print_message("skipped: this kernel does not list bound TCP sockets\n");
		skip();
	}
}

static void test_sockdiag_sysctls(void **state)
{
	static uint64_t reserved[XE_L4_PORT_WORDS];
	uint16_t min, max;

	(void)state;
	nf_need_world();
	assert_int_equal(xe_sockdiag_reserved(reserved), 0);
	assert_int_equal(popcount(reserved), 0);
	nf_sysctl("ipv4/ip_local_reserved_ports", "1024,8080-8089,65535");
	nf_sysctl("ipv4/ip_local_port_range", "40000 50001");
	assert_int_equal(xe_sockdiag_reserved(reserved), 0);
	assert_int_equal(popcount(reserved), 12);
	assert_true(xe_l4_port_isset(reserved, 1024) && xe_l4_port_isset(reserved, 8080) &&
		    xe_l4_port_isset(reserved, 8089) && xe_l4_port_isset(reserved, 65535));
	assert_int_equal(xe_sockdiag_local_range(&min, &max), 0);
	assert_int_equal(min, 40000);
	assert_int_equal(max, 50001);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		NF_TEST(test_sockdiag),
		NF_TEST(test_sockdiag_bound_inactive),
		NF_TEST(test_sockdiag_sysctls),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
