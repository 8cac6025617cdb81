/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * conntrack_wire.h - for conntrack*.c: messages to ctnetlink, one at a time or many in one send,
 * and records found by how their replies look.
 */
#ifndef XE_CONNTRACK_WIRE_H
#define XE_CONNTRACK_WIRE_H

#include <libmnl/libmnl.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>

#include "control/conntrack.h"
#include "control/conntrack_entry.h"
#include "state/index.h"

/* The longest message: header, two tuples and two translations of IPv6, protocol state: 500. */
#define XE_CT_MESSAGE_MAX 1024
/* One send: so many messages that the system call does not count, and below the socket's buffer
 * (net.core.wmem_default, 208 KiB). */
#define XE_CT_BATCH 128
/* Answers: the kernel packs a dump into what the reader offers, up to 32 KiB. */
#define XE_CT_ANSWER_SIZE (64 * 1024)

struct xe_ct {
	struct mnl_socket *mnl;
	char *out; /* messages that wait to be sent */
	size_t out_len;
	uint32_t out_cnt;
	struct nlmsghdr *last;
	uint32_t filter;    /* flags of a dump for one host: what of its tuple is compared */
	uint32_t pays_from; /* entries in the table, for each host */
	bool unfiltered;    /* the kernel does not know them, or refuses: it dumps all */
	char in[XE_CT_ANSWER_SIZE] __attribute__((aligned(8)));
};

/* Hears of each message that the kernel refused. */
typedef void (*xe_ct_refused_fn)(void *ctx, uint32_t seq, int err);

/* Head of a message. type: IPCTNL_MSG_CT_*, flags: NLM_F_* besides NLM_F_REQUEST. */
struct nlmsghdr *xe_ct_begin(void *at, uint8_t type, uint16_t flags, uint8_t family, uint32_t seq);
/* Send one, with NLM_F_ACK or NLM_F_DUMP, and wait until it is answered. fn (may be NULL) gets what
 * is no acknowledgement. */
int xe_ct_ask(struct xe_ct *ct, struct nlmsghdr *nlh, mnl_cb_t fn, void *ctx);

/* Many: room for one more (which may send), its head, and when it is whole; at the end flush.
 * Errors of single messages go to `refused` only; what is returned is the socket's. */
int xe_ct_make_room(struct xe_ct *ct, xe_ct_refused_fn refused, void *ctx);
struct nlmsghdr *xe_ct_append(struct xe_ct *ct, uint8_t type, uint16_t flags, uint8_t family,
			      uint32_t seq);
void xe_ct_appended(struct xe_ct *ct, struct nlmsghdr *nlh);
int xe_ct_flush(struct xe_ct *ct, xe_ct_refused_fn refused, void *ctx);

/* Records of a file by the tuple of their replies. */
struct xe_ct_known {
	const struct xe_flow_file *file;
	struct xe_index index;
	uint64_t k0, k1;
};
struct xe_ct_back {
	struct xe_addr src, dst;
	__be16 sport_be, dport_be;
	uint8_t proto;
};
struct xe_ct_back xe_ct_back_of(const struct xe_flow_record *r);
/* file may be NULL: then nothing is found. It must stay as it is until the close. */
int xe_ct_known_open(struct xe_ct_known *x, const struct xe_flow_file *file);
void xe_ct_known_close(struct xe_ct_known *x);
const struct xe_flow_record *xe_ct_known_find(const struct xe_ct_known *x, struct xe_ct_back key);

#endif
