/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* endpoint.h - an address and L4 port of either family, from the words of a command line and as
 * text: `192.0.2.1:7`, `[2001:db8::1]:7`. */
#ifndef XE_TEST_ENDPOINT_H
#define XE_TEST_ENDPOINT_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

union endpoint {
	struct sockaddr sa;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

static inline socklen_t endpoint_len(const union endpoint *e)
{
	return e->sa.sa_family == AF_INET6 ? sizeof(e->v6) : sizeof(e->v4);
}

/* -1: no address; said under the program's name. */
static inline int endpoint_parse(const char *prog, const char *addr, const char *l4_port,
				 union endpoint *e)
{
	in_port_t port_be = htons((uint16_t)atoi(l4_port));

	memset(e, 0, sizeof(*e));
	if (inet_pton(AF_INET, addr, &e->v4.sin_addr) == 1) {
		e->sa.sa_family = AF_INET;
		e->v4.sin_port = port_be;
		return 0;
	}
	if (inet_pton(AF_INET6, addr, &e->v6.sin6_addr) == 1) {
		e->sa.sa_family = AF_INET6;
		e->v6.sin6_port = port_be;
		return 0;
	}
	fprintf(stderr, "%s: expected an address, got `%s`\n", prog, addr);
	return -1;
}

#define ENDPOINT_TEXT (INET6_ADDRSTRLEN + 9)
static inline const char *endpoint_text(const union endpoint *e, char *text)
{
	char addr[INET6_ADDRSTRLEN] = "";
	int v6 = e->sa.sa_family == AF_INET6;

	inet_ntop(e->sa.sa_family, v6 ? (void *)&e->v6.sin6_addr : (void *)&e->v4.sin_addr, addr,
		  sizeof(addr));
	snprintf(text, ENDPOINT_TEXT, v6 ? "[%s]:%u" : "%s:%u", addr,
		 ntohs(v6 ? e->v6.sin6_port : e->v4.sin_port));
	return text;
}

#endif
