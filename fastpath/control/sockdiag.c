/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * sockdiag.c - see sockdiag.h. One dump a protocol and family over NETLINK_SOCK_DIAG.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/inet_diag.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "control/netlink_wire.h"
#include "control/sockdiag.h"

/* States are bits 1 << TCP_*. A UDP socket is TCP_ESTABLISHED (connected) or TCP_CLOSE. */
#define STATE_LISTEN (1u << 10)
/* All, with TCP_BOUND_INACTIVE (13, kernel 6.8); older kernels ignore that bit. */
#define STATES_ALL ((1u << 14) - 1)

struct xe_sockdiag {
	struct xe_nlsock sock;
};

int xe_sockdiag_open(struct xe_sockdiag **sd)
{
	struct xe_sockdiag *s = calloc(1, sizeof(*s));
	int err;

	*sd = NULL;
	if (!s)
		return -ENOMEM;
	err = xe_nlsock_open(&s->sock, NETLINK_SOCK_DIAG, false);
	/* Ask something now: a kernel without the protocol's module says so here, not in a poll. */
	err = err ? err : xe_sockdiag_used(s, IPPROTO_TCP, 1);
	err = err < 0 ? err : xe_sockdiag_used(s, IPPROTO_UDP, 1);
	if (err < 0) {
		xe_sockdiag_close(s);
		return err;
	}
	*sd = s;
	return 0;
}

void xe_sockdiag_close(struct xe_sockdiag *sd)
{
	if (sd)
		xe_nlsock_close(&sd->sock);
	free(sd);
}

/* The L4 port an answer is about; 0: none (an unbound UDP socket has no port either). */
static uint16_t port_of(const struct nlmsghdr *nlh)
{
	const struct inet_diag_msg *msg = mnl_nlmsg_get_payload(nlh);

	if (nlh->nlmsg_type != SOCK_DIAG_BY_FAMILY || mnl_nlmsg_get_payload_len(nlh) < sizeof(*msg))
		return 0;
	return ntohs(msg->id.idiag_sport);
}

static int mark_port(const struct nlmsghdr *nlh, void *ctx)
{
	uint16_t l4_port = port_of(nlh);

	if (l4_port)
		xe_l4_port_set(ctx, l4_port);
	return 0;
}

static struct nlmsghdr *build(struct xe_sockdiag *sd, uint8_t family, uint8_t proto,
			      uint32_t states)
{
	struct nlmsghdr *nlh = xe_nlsock_begin(&sd->sock, SOCK_DIAG_BY_FAMILY, NLM_F_DUMP);
	struct inet_diag_req_v2 *req = mnl_nlmsg_put_extra_header(nlh, sizeof(*req));

	req->sdiag_family = family;
	req->sdiag_protocol = proto;
	req->idiag_states = states;
	return nlh;
}

static int dump(struct xe_sockdiag *sd, uint8_t proto, uint32_t states, uint64_t *bitmap)
{
	static const uint8_t families[] = {AF_INET, AF_INET6};
	int err = 0;

	memset(bitmap, 0, XE_L4_PORT_WORDS * sizeof(*bitmap));
	for (unsigned int i = 0; !err && i < sizeof(families); i++)
		err = xe_nlsock_ask(&sd->sock, build(sd, families[i], proto, states), mark_port,
				    bitmap);
	return err == -EINTR ? 0 : err; /* sockets came and went meanwhile: as always */
}

int xe_sockdiag_listeners(struct xe_sockdiag *sd, uint64_t tcp[XE_L4_PORT_WORDS],
			  uint64_t udp[XE_L4_PORT_WORDS])
{
	int err = dump(sd, IPPROTO_TCP, STATE_LISTEN, tcp);
	int err_udp = dump(sd, IPPROTO_UDP, STATES_ALL, udp);

	return err ? err : err_udp;
}

int xe_sockdiag_all(struct xe_sockdiag *sd, uint64_t tcp[XE_L4_PORT_WORDS],
		    uint64_t udp[XE_L4_PORT_WORDS])
{
	int err = dump(sd, IPPROTO_TCP, STATES_ALL, tcp);
	int err_udp = dump(sd, IPPROTO_UDP, STATES_ALL, udp);

	return err ? err : err_udp;
}

int xe_sockdiag_answers(struct xe_sockdiag *sd, uint8_t proto, const struct xe_addr *addr,
			uint16_t l4_port)
{
	struct nlmsghdr *nlh = xe_nlsock_begin(&sd->sock, SOCK_DIAG_BY_FAMILY, 0);
	struct inet_diag_req_v2 *req = mnl_nlmsg_put_extra_header(nlh, sizeof(*req));
	__be32 *near;
	int err;

	req->sdiag_family = (uint8_t)xe_addr_family(addr);
	req->sdiag_protocol = proto;
	req->idiag_states = STATES_ALL;
	req->id.idiag_cookie[0] = req->id.idiag_cookie[1] = INET_DIAG_NOCOOKIE;
	/* The far end stays 0.0.0.0:0, which no connection has: only what takes anybody is found.
	 * For UDP the kernel has the two ends the other way round (udp_dump_one()). */
	near = proto == IPPROTO_UDP ? req->id.idiag_dst : req->id.idiag_src;
	if (proto == IPPROTO_UDP)
		req->id.idiag_dport = htons(l4_port);
	else
		req->id.idiag_sport = htons(l4_port);
	if (req->sdiag_family == AF_INET)
		near[0] = addr->w_be[3];
	else
		memcpy(near, addr, sizeof(*addr));
	err = xe_nlsock_ask(&sd->sock, nlh, NULL, NULL);
	return err == -ENOENT ? 0 : err ? err : 1;
}

static int found(const struct nlmsghdr *nlh, void *ctx)
{
	if (port_of(nlh))
		*(int *)ctx = 1;
	return 0; /* read on: what is left unread would greet the next question */
}

int xe_sockdiag_used(struct xe_sockdiag *sd, uint8_t proto, uint16_t l4_port)
{
	static const uint8_t families[] = {AF_INET, AF_INET6};
	/* The kernel's filter program: accept (fall off the end, at `yes` bytes) when the source
	 * port is the one in the word behind the instruction, else jump one word past the end:
	 * reject. */
	struct {
		struct inet_diag_bc_op eq, port;
	} code = {
		.eq = {.code = INET_DIAG_BC_S_EQ, .yes = sizeof(code), .no = sizeof(code) + 4},
		.port = {.no = l4_port},
	};
	struct nlmsghdr *nlh;
	int used = 0, err = 0;

	for (unsigned int i = 0; !err && !used && i < sizeof(families); i++) {
		nlh = build(sd, families[i], proto, STATES_ALL);
		mnl_attr_put(nlh, INET_DIAG_REQ_BYTECODE, sizeof(code), &code);
		err = xe_nlsock_ask(&sd->sock, nlh, found, &used);
		err = err == -EINTR ? 0 : err;
	}
	return used ? 1 : err;
}

/* ---- sysctls ---- */

/* The largest text is every second port: 32768 times "65535,"; the kernel gives the whole bitmap in
 * one read or not at all. */
#define SYSCTL_SIZE (32768 * 6 + 1)

static int read_sysctl(const char *path, char *text, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), err = 0;
	ssize_t len;

	if (fd < 0)
		return -errno;
	len = read(fd, text, size - 1);
	if (len < 0)
		err = -errno;
	text[len < 0 ? 0 : len] = '\0';
	close(fd);
	return err;
}

/* "8080,9148-9150\n" */
static int parse_ranges(char *text, uint64_t *bitmap)
{
	char *rest = NULL, *item;
	unsigned int min, max;
	int fields;

	for (item = strtok_r(text, ",\n", &rest); item; item = strtok_r(NULL, ",\n", &rest)) {
		fields = sscanf(item, "%u-%u", &min, &max);
		if (fields < 1)
			return -EBADMSG;
		if (fields == 1)
			max = min;
		for (; min <= max && min <= 65535; min++)
			xe_l4_port_set(bitmap, (uint16_t)min);
	}
	return 0;
}

int xe_sockdiag_reserved(uint64_t bitmap[XE_L4_PORT_WORDS])
{
	char *text = malloc(SYSCTL_SIZE);
	int err;

	memset(bitmap, 0, XE_L4_PORT_WORDS * sizeof(*bitmap));
	if (!text)
		return -ENOMEM;
	err = read_sysctl("/proc/sys/net/ipv4/ip_local_reserved_ports", text, SYSCTL_SIZE);
	if (!err)
		err = parse_ranges(text, bitmap);
	free(text);
	return err;
}

int xe_sockdiag_local_range(uint16_t *min, uint16_t *max)
{
	char text[64]; /* two numbers */
	int err = read_sysctl("/proc/sys/net/ipv4/ip_local_port_range", text, sizeof(text));

	if (err)
		return err;
	return sscanf(text, "%hu %hu", min, max) == 2 ? 0 : -EBADMSG;
}
