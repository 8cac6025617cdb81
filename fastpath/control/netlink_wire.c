/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * netlink_wire.c - see netlink_wire.h.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "control/netlink.h"
#include "control/netlink_wire.h"
#include "state/rule.h"

/* Event socket buffer. An interface that comes up with its addresses, routes and neighbours makes
 * about ten events of 1-4 KiB of accounted memory; 8 MiB hold some 300 containers that start
 * between two dispatches, and more than that is what re-synchronising is for. */
#define EVENT_BUFFER (8 << 20)

static void set_event_buffer(int fd)
{
	int size = EVENT_BUFFER;

	/* FORCE goes over net.core.rmem_max but wants CAP_NET_ADMIN; less is slower, not wrong. */
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)))
		(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
}

int xe_nlsock_open(struct xe_nlsock *s, int bus, bool events)
{
	struct timeval wait = {.tv_sec = XE_NETLINK_TIMEOUT_MS / 1000,
			       .tv_usec = XE_NETLINK_TIMEOUT_MS % 1000 * 1000};
	int one = 1, err;

	s->seq = 0;
	s->mnl = mnl_socket_open2(bus, SOCK_CLOEXEC | (events ? SOCK_NONBLOCK : 0));
	if (!s->mnl)
		return -errno;
	if (mnl_socket_bind(s->mnl, 0, MNL_SOCKET_AUTOPID)) {
		err = -errno;
		goto out;
	}
	if (events)
		set_event_buffer(xe_nlsock_fd(s));
	else if (setsockopt(xe_nlsock_fd(s), SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait))) {
		err = -errno;
		goto out;
	}
	/* Errors need not repeat our request. Kernels before 4.3 refuse; harmless. */
	(void)mnl_socket_setsockopt(s->mnl, NETLINK_CAP_ACK, &one, sizeof(one));
	return 0;
out:
	xe_nlsock_close(s);
	return err;
}

void xe_nlsock_close(struct xe_nlsock *s)
{
	if (s && s->mnl) {
		mnl_socket_close(s->mnl);
		s->mnl = NULL;
	}
}

int xe_nlsock_fd(const struct xe_nlsock *s)
{
	return mnl_socket_get_fd(s->mnl);
}

int xe_nlsock_join(struct xe_nlsock *s, int group)
{
	return mnl_socket_setsockopt(s->mnl, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)) ? -errno
											    : 0;
}

/* One datagram into s->rx. Its length; 0: not from the kernel, skip it; or -errno. */
static int receive(struct xe_nlsock *s)
{
	struct sockaddr_nl from = {.nl_family = AF_NETLINK};
	struct iovec iov = {.iov_base = s->rx, .iov_len = sizeof(s->rx)};
	struct msghdr msg = {
		.msg_name = &from, .msg_namelen = sizeof(from), .msg_iov = &iov, .msg_iovlen = 1};
	ssize_t len;

	do {
		len = recvmsg(xe_nlsock_fd(s), &msg, 0);
	} while (len < 0 && errno == EINTR);
	if (len < 0)
		return -errno;
	if (msg.msg_flags & MSG_TRUNC)
		return -ENOBUFS;
	return from.nl_pid ? 0 : (int)len;
}

struct nlmsghdr *xe_nlsock_begin(struct xe_nlsock *s, uint16_t type, uint16_t flags)
{
	struct nlmsghdr *nlh;

	memset(s->tx, 0, sizeof(s->tx)); /* libmnl does not clear padding */
	nlh = mnl_nlmsg_put_header(s->tx);
	nlh->nlmsg_type = type;
	nlh->nlmsg_flags = NLM_F_REQUEST | flags;
	nlh->nlmsg_seq = ++s->seq;
	return nlh;
}

struct answer {
	xe_nlmsg_fn fn;
	void *ctx;
	uint32_t seq;
	bool several; /* a dump or a request with an acknowledgement: ends with its own message */
	bool interrupted; /* the table changed while it was dumped */
	bool done;
};

/* The errno in an error or done message; one that is cut short counts as success of a dump's end
 * (kernels before 4.x send such) and as a fault elsewhere. */
static int errno_of(const struct nlmsghdr *nlh)
{
	int err;

	if (mnl_nlmsg_get_payload_len(nlh) < sizeof(err))
		return nlh->nlmsg_type == NLMSG_DONE ? 0 : -EBADMSG;
	memcpy(&err, mnl_nlmsg_get_payload(nlh), sizeof(err));
	return err > 0 ? 0 : err;
}

static int take_answer(const struct nlmsghdr *nlh, struct answer *a)
{
	if (nlh->nlmsg_seq != a->seq)
		return 0; /* late answer of a question that timed out */
	if (nlh->nlmsg_flags & NLM_F_DUMP_INTR)
		a->interrupted = true;
	if (nlh->nlmsg_type == NLMSG_ERROR || nlh->nlmsg_type == NLMSG_DONE) {
		a->done = true;
		return errno_of(nlh);
	}
	if (nlh->nlmsg_type < NLMSG_MIN_TYPE)
		return 0;
	a->done = !a->several;
	return a->fn ? a->fn(nlh, a->ctx) : 0;
}

int xe_nlsock_ask(struct xe_nlsock *s, struct nlmsghdr *nlh, xe_nlmsg_fn fn, void *ctx)
{
	struct answer a = {.fn = fn, .ctx = ctx, .seq = nlh->nlmsg_seq};
	const struct nlmsghdr *msg;
	int len, err = 0;

	/* NLM_F_DUMP shares its bits with NLM_F_REPLACE and NLM_F_EXCL: one bit of it is no dump.
	 */
	a.several = nlh->nlmsg_flags & NLM_F_ACK || (nlh->nlmsg_flags & NLM_F_DUMP) == NLM_F_DUMP;
	if (mnl_socket_sendto(s->mnl, nlh, nlh->nlmsg_len) < 0)
		return -errno;
	while (!a.done && !err) {
		len = receive(s);
		if (len < 0)
			return len == -EAGAIN ? -ETIMEDOUT : len;
		for (msg = (void *)s->rx; !err && !a.done && mnl_nlmsg_ok(msg, len);
		     msg = mnl_nlmsg_next(msg, &len))
			err = take_answer(msg, &a);
	}
	return !err && a.interrupted ? -EINTR : err;
}

int xe_nlsock_events(struct xe_nlsock *s, xe_nlmsg_fn fn, void *ctx)
{
	const struct nlmsghdr *msg = (void *)s->rx;
	int len = receive(s), err = 0;

	if (len < 0)
		return len;
	for (; !err && mnl_nlmsg_ok(msg, len); msg = mnl_nlmsg_next(msg, &len)) {
		if (msg->nlmsg_type >= NLMSG_MIN_TYPE)
			err = fn(msg, ctx);
	}
	return err;
}

static void fill_table(const char *from, const char *to, const struct nlattr **tb, uint16_t max)
{
	const struct nlattr *attr = (const void *)from;
	uint16_t type;

	memset(tb, 0, (max + 1u) * sizeof(*tb));
	/* The aligned step may end past `to`; a negative rest fails mnl_attr_ok(). */
	for (; mnl_attr_ok(attr, (int)(to - (const char *)attr)); attr = mnl_attr_next(attr)) {
		type = mnl_attr_get_type(attr);
		if (type <= max)
			tb[type] = attr;
	}
}

bool xe_nl_attrs(const struct nlmsghdr *nlh, size_t hdr_size, const struct nlattr **tb,
		 uint16_t max)
{
	const char *payload = mnl_nlmsg_get_payload(nlh);
	const char *end = (const char *)nlh + nlh->nlmsg_len; /* libmnl's tail is aligned up */
	bool whole = mnl_nlmsg_get_payload_len(nlh) >= hdr_size;

	fill_table(whole ? payload + MNL_ALIGN(hdr_size) : end, end, tb, max);
	return whole;
}

void xe_nl_nest(const struct nlattr *nest, const struct nlattr **tb, uint16_t max)
{
	const char *payload = nest ? mnl_attr_get_payload(nest) : NULL;

	fill_table(payload, payload ? payload + mnl_attr_get_payload_len(nest) : NULL, tb, max);
}

uint32_t xe_nl_u32(const struct nlattr *attr, uint32_t otherwise)
{
	return attr && mnl_attr_get_payload_len(attr) >= 4 ? mnl_attr_get_u32(attr) : otherwise;
}

uint8_t xe_nl_u8(const struct nlattr *attr, uint8_t otherwise)
{
	return attr && mnl_attr_get_payload_len(attr) >= 1 ? mnl_attr_get_u8(attr) : otherwise;
}

bool xe_nl_addr(const struct nlattr *attr, int family, struct xe_addr *out)
{
	size_t len = family == AF_INET ? 4 : 16;
	__be32 v4_be;

	memset(out, 0, sizeof(*out));
	if (!attr || mnl_attr_get_payload_len(attr) < len)
		return false;
	if (family == AF_INET) {
		memcpy(&v4_be, mnl_attr_get_payload(attr), sizeof(v4_be));
		*out = xe_addr_v4(v4_be);
	} else {
		memcpy(out, mnl_attr_get_payload(attr), sizeof(*out));
	}
	return true;
}

void xe_nl_str(const struct nlattr *attr, char *out, size_t size)
{
	size_t len = attr ? mnl_attr_get_payload_len(attr) : 0;

	if (len > size - 1)
		len = size - 1;
	memset(out, 0, size);
	if (len)
		memcpy(out, mnl_attr_get_payload(attr), strnlen(mnl_attr_get_payload(attr), len));
}

bool xe_nl_mac(const struct nlattr *attr, uint8_t mac[6])
{
	memset(mac, 0, 6);
	if (!attr || mnl_attr_get_payload_len(attr) != 6)
		return false;
	memcpy(mac, mnl_attr_get_payload(attr), 6);
	return true;
}

int xe_addr_family(const struct xe_addr *addr)
{
	return !addr->q[0] && addr->w_be[2] == htonl(0xffff) ? AF_INET : AF_INET6;
}

void xe_nl_put_addr(struct nlmsghdr *nlh, uint16_t type, const struct xe_addr *addr)
{
	if (xe_addr_family(addr) == AF_INET)
		mnl_attr_put(nlh, type, 4, &addr->w_be[3]);
	else
		mnl_attr_put(nlh, type, 16, addr);
}
