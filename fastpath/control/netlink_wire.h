/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * netlink_wire.h - netlink sockets and messages, below every module that talks to the kernel.
 *
 * Control thread only. Messages are built and cut apart by libmnl; the sending and receiving here
 * adds what its callback runner lacks: answers of a question that timed out are skipped instead of
 * failing the next one, and the kernel's errno is the return value.
 *
 * Attributes are read into a table of pointers; unknown types are skipped, a payload that is
 * shorter than its type reads as absent. Nothing the kernel sends can make these read outside the
 * message.
 */
#ifndef XE_NETLINK_WIRE_H
#define XE_NETLINK_WIRE_H

#include <libmnl/libmnl.h>
#include <linux/netlink.h>
#include <stdbool.h>
#include <stdint.h>

#include "xegress/types.h"

/* Receive buffer: the kernel packs dump answers into up to 32 KiB (NLMSG_GOODSIZE grown to the
 * reader's buffer), and one link with many virtual functions can fill more than that. */
#define XE_NLSOCK_RX_SIZE 65536
/* Largest request: a header and a handful of attributes. */
#define XE_NLSOCK_TX_SIZE 512

struct xe_nlsock {
	struct mnl_socket *mnl; /* NULL: closed */
	uint32_t seq;           /* of the request under way */
	char tx[XE_NLSOCK_TX_SIZE] __attribute__((aligned(8)));
	char rx[XE_NLSOCK_RX_SIZE] __attribute__((aligned(8)));
};

/* Called for each message; 0 to go on, or -errno, which ends the run and is its result. */
typedef int (*xe_nlmsg_fn)(const struct nlmsghdr *nlh, void *ctx);

/* Open and bind. events: non-blocking, with the big receive buffer; else blocking receives with
 * timeout XE_NETLINK_TIMEOUT_MS. 0 or -errno. */
int xe_nlsock_open(struct xe_nlsock *s, int bus, bool events);
void xe_nlsock_close(struct xe_nlsock *s);
int xe_nlsock_fd(const struct xe_nlsock *s);

/* Subscribe to a multicast group. */
int xe_nlsock_join(struct xe_nlsock *s, int group);

/* Begin a request in s->tx. Add the family's header and attributes with libmnl (they all fit), then
 * xe_nlsock_ask(). flags: NLM_F_* besides NLM_F_REQUEST; NLM_F_ACK or NLM_F_DUMP where the answer
 * is no single message. */
struct nlmsghdr *xe_nlsock_begin(struct xe_nlsock *s, uint16_t type, uint16_t flags);

/*
 * Send the request and hand its answers to fn (may be NULL). 0 when the kernel has answered all of
 * it, the kernel's -errno, fn's -errno, -ETIMEDOUT, -EINTR when a dump was interrupted by a change
 * (everything was still handed over; ask again).
 */
int xe_nlsock_ask(struct xe_nlsock *s, struct nlmsghdr *nlh, xe_nlmsg_fn fn, void *ctx);

/*
 * Event socket: hand over the messages of one datagram. 0, -EAGAIN when none is waiting, -ENOBUFS
 * when messages were lost (overflow, or a datagram larger than the buffer), else -errno.
 */
int xe_nlsock_events(struct xe_nlsock *s, xe_nlmsg_fn fn, void *ctx);

/* Attributes of a message (behind its family header of hdr_size) or of a nest, by type; tb has
 * max + 1 entries. False when the message is shorter than hdr_size. */
bool xe_nl_attrs(const struct nlmsghdr *nlh, size_t hdr_size, const struct nlattr **tb,
		 uint16_t max);
void xe_nl_nest(const struct nlattr *nest, const struct nlattr **tb, uint16_t max);

/* Payloads; `otherwise` when the attribute is NULL or too short. */
uint32_t xe_nl_u32(const struct nlattr *attr, uint32_t otherwise);
uint8_t xe_nl_u8(const struct nlattr *attr, uint8_t otherwise);
/* An address of the family's length; false (and *out zeroed) when absent or too short. */
bool xe_nl_addr(const struct nlattr *attr, int family, struct xe_addr *out);
/* Copies and terminates; "" when absent. size > 0. */
void xe_nl_str(const struct nlattr *attr, char *out, size_t size);
/* Exactly 6 bytes, else zeroed and false. */
bool xe_nl_mac(const struct nlattr *attr, uint8_t mac[6]);

/* AF_INET for ::ffff:a.b.c.d, else AF_INET6. */
int xe_addr_family(const struct xe_addr *addr);
/* Put an address in the form of its family. */
void xe_nl_put_addr(struct nlmsghdr *nlh, uint16_t type, const struct xe_addr *addr);

#endif
