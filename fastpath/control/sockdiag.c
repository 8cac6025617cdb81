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
#define STATES_ALL   ((1u << 12) - 1)
/* With a peer that may still send: ESTABLISHED, SYN_SENT, FIN_WAIT1, FIN_WAIT2, CLOSE_WAIT,
 * LAST_ACK, CLOSING. Not SYN_RECV (a listener's), and not TIME_WAIT, of which a busy host has one
 * for each connection of the last minute: nothing is lost there. */
#define STATES_CONNECTED (1u << 1 | 1u << 2 | 1u << 4 | 1u << 5 | 1u << 8 | 1u << 9 | 1u << 11)

struct xe_sockdiag {
	struct xe_nlsock sock;
};

int xe_sockdiag_open(struct xe_sockdiag **sd)
{
	uint64_t tcp[XE_L4_PORT_WORDS], udp[XE_L4_PORT_WORDS];
	struct xe_sockdiag *s = calloc(1, sizeof(*s));
	int err;

	*sd = NULL;
	if (!s)
		return -ENOMEM;
	err = xe_nlsock_open(&s->sock, NETLINK_SOCK_DIAG, false);
	/* Ask now: a kernel without a protocol's module says so here, not in a poll. */
	err = err ? err : xe_sockdiag_listeners(s, tcp, udp);
	if (err) {
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

/* `code`: the kernel's filter program, NULL: none. */
static int dump(struct xe_sockdiag *sd, uint8_t proto, uint32_t states, const void *code,
		size_t code_len, uint64_t *bitmap)
{
	static const uint8_t families[] = {AF_INET, AF_INET6};
	struct nlmsghdr *nlh;
	int err = 0;

	memset(bitmap, 0, XE_L4_PORT_WORDS * sizeof(*bitmap));
	for (unsigned int i = 0; !err && i < sizeof(families); i++) {
		nlh = build(sd, families[i], proto, states);
		if (code)
			mnl_attr_put(nlh, INET_DIAG_REQ_BYTECODE, code_len, code);
		err = xe_nlsock_ask(&sd->sock, nlh, mark_port, bitmap);
	}
	return err == -EINTR ? 0 : err; /* sockets came and went meanwhile: as always */
}

int xe_sockdiag_listeners(struct xe_sockdiag *sd, uint64_t tcp[XE_L4_PORT_WORDS],
			  uint64_t udp[XE_L4_PORT_WORDS])
{
	int err = dump(sd, IPPROTO_TCP, STATE_LISTEN, NULL, 0, tcp);
	int err_udp = dump(sd, IPPROTO_UDP, STATES_ALL, NULL, 0, udp);

	return err ? err : err_udp;
}

int xe_sockdiag_connected(struct xe_sockdiag *sd, uint16_t min, uint16_t max,
			  uint64_t tcp[XE_L4_PORT_WORDS])
{
	/* The kernel's filter program: on with the next instruction where the source port is not
	 * below the one in the word behind the first, then off the end (accept) where it is not
	 * above the one behind the second; else one word past the end: reject. */
	const struct {
		struct inet_diag_bc_op ge, min, le, max;
	} code = {
		.ge = {.code = INET_DIAG_BC_S_GE, .yes = 8, .no = sizeof(code) + 4},
		.min = {.no = min},
		.le = {.code = INET_DIAG_BC_S_LE, .yes = 8, .no = 8 + 4},
		.max = {.no = max},
	};

	return dump(sd, IPPROTO_TCP, STATES_CONNECTED, &code, sizeof(code), tcp);
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
