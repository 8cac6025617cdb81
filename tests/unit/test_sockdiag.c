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

static void test_sockdiag(void **state)
{
	static const struct {
		uint16_t min, max;
		bool low, high; /* 8080, 9001 */
	} windows[] = {
		{1, 65535, true, true},    {8080, 9001, true, true},    {8081, 9001, false, true},
		{8080, 9000, true, false}, {8081, 9000, false, false},  {9001, 9001, false, true},
		{8080, 8080, true, false}, {9002, 65535, false, false},
	};
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
	assert_int_equal(xe_sockdiag_connected(sd, 1, 65535, tcp), 0);
	assert_int_equal(popcount(tcp), 0);

	/* a connection outlives its listener: no listener, but still connected, at both ends */
	fds[4] = bound(AF_INET, SOCK_STREAM, 9001, false);
	assert_int_equal(connect(fds[4], (void *)&to, sizeof(to)), 0);
	fds[5] = accept4(fds[0], NULL, NULL, SOCK_CLOEXEC);
	assert_true(fds[5] >= 0);
	close(fds[0]);
	assert_int_equal(xe_sockdiag_listeners(sd, tcp, udp), 0);
	assert_false(xe_l4_port_isset(tcp, 8080));
	for (size_t i = 0; i < sizeof(windows) / sizeof(windows[0]); i++) {
		assert_int_equal(xe_sockdiag_connected(sd, windows[i].min, windows[i].max, tcp), 0);
		assert_int_equal(xe_l4_port_isset(tcp, 8080), windows[i].low);
		assert_int_equal(xe_l4_port_isset(tcp, 9001), windows[i].high);
		assert_int_equal(popcount(tcp), windows[i].low + windows[i].high);
	}
	/* closed by one end and not yet by the other: both may still hear something */
	shutdown(fds[4], SHUT_WR);
	assert_int_equal(xe_sockdiag_connected(sd, 8080, 9001, tcp), 0);
	assert_int_equal(popcount(tcp), 2);
	/* closed by both: what is left is TIME_WAIT, which needs the L4 port no more */
	close(fds[5]);
	close(fds[4]);
	assert_int_equal(xe_sockdiag_connected(sd, 8080, 9001, tcp), 0);
	assert_int_equal(popcount(tcp), 0);
	for (int i = 1; i < 4; i++)
		close(fds[i]);
	assert_int_equal(xe_sockdiag_listeners(sd, tcp, udp), 0);
	assert_int_equal(popcount(tcp) + popcount(udp), 0);
	xe_sockdiag_close(sd);
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
		NF_TEST(test_sockdiag_sysctls),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
