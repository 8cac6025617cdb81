/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "control/nft_events.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "control/nft_run.h"

/* A transaction of others that makes 10,000 rules at a time is some MiB of events; what does not
 * fit is XE_NFT_UNKNOWN. */
#define RCVBUF (4 << 20)
/* Reads in one look, of 4 KiB each: where others make more than we have time for, the rest is for
 * the next one. */
#define READS_LOOK 2048
/* When all that there is has to go: more than the kernel keeps. */
#define READS_ALL 65536
/* All that stands in a table names it by its first attribute. */
#define ATTR_TABLE 1
_Static_assert(NFTA_TABLE_NAME == ATTR_TABLE && NFTA_CHAIN_TABLE == ATTR_TABLE &&
		       NFTA_RULE_TABLE == ATTR_TABLE && NFTA_SET_TABLE == ATTR_TABLE &&
		       NFTA_SET_ELEM_LIST_TABLE == ATTR_TABLE && NFTA_OBJ_TABLE == ATTR_TABLE &&
		       NFTA_FLOWTABLE_TABLE == ATTR_TABLE,
	       "the kernel's ABI");

#define COMM_SIZE 16 /* TASK_COMM_LEN */

struct xe_nft_events {
	struct mnl_socket *nl;
	char *table;
	char comm[COMM_SIZE]; /* ours, when it was opened */
	bool touched;         /* by the transaction whose end has yet to be told */
	bool changed, lost;
};

struct xe_nft_events *xe_nft_events_open(const char *table)
{
	struct xe_nft_events *ev = calloc(1, sizeof(*ev));
	int group = NFNLGRP_NFTABLES, size = RCVBUF;

	if (!ev)
		return NULL;
	ev->table = strdup(table);
	ev->nl = mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC | SOCK_NONBLOCK);
	prctl(PR_GET_NAME, ev->comm);
	if (!ev->table || !ev->nl || mnl_socket_bind(ev->nl, 0, MNL_SOCKET_AUTOPID) ||
	    mnl_socket_setsockopt(ev->nl, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group))) {
		xe_nft_events_close(ev);
		return NULL;
	}
	/* Less is fine: then some more is lost. */
	if (setsockopt(mnl_socket_get_fd(ev->nl), SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)))
		setsockopt(mnl_socket_get_fd(ev->nl), SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	return ev;
}

void xe_nft_events_close(struct xe_nft_events *ev)
{
	if (!ev)
		return;
	if (ev->nl)
		mnl_socket_close(ev->nl);
	free(ev->table);
	free(ev);
}

/* ---- one event ---- */

/* The text of an attribute of that type, NULL: it has none. */
static const char *text_attr(const struct nlmsghdr *nlh, uint16_t type)
{
	const struct nlattr *attr;

	mnl_attr_for_each(attr, nlh, sizeof(struct nfgenmsg))
	{
		if (mnl_attr_get_type(attr) != type)
			continue;
		return mnl_attr_validate(attr, MNL_TYPE_NUL_STRING) < 0 ? NULL
									: mnl_attr_get_str(attr);
	}
	return NULL;
}

/* The end of a transaction: whose was it? */
static void end_transaction(struct xe_nft_events *ev, const struct nlmsghdr *nlh)
{
	const char *comm = text_attr(nlh, NFTA_GEN_PROC_NAME);

	/* Where some were lost, it may be the end of another one. */
	if (ev->touched && !ev->lost &&
	    (!comm || (strcmp(comm, XE_NFT_RUNNER) && strcmp(comm, ev->comm))))
		ev->changed = true;
	ev->touched = false;
}

static int on_event(const struct nlmsghdr *nlh, void *arg)
{
	const struct nfgenmsg *nfg = mnl_nlmsg_get_payload(nlh);
	struct xe_nft_events *ev = arg;
	const char *table;

	if (nlh->nlmsg_type >> 8 != NFNL_SUBSYS_NFTABLES ||
	    mnl_nlmsg_get_payload_len(nlh) < sizeof(*nfg))
		return MNL_CB_OK;
	if ((nlh->nlmsg_type & 0xff) == NFT_MSG_NEWGEN) {
		end_transaction(ev, nlh);
		return MNL_CB_OK;
	}
	if (nfg->nfgen_family != NFPROTO_INET)
		return MNL_CB_OK;
	table = text_attr(nlh, ATTR_TABLE);
	ev->touched |= table && !strcmp(table, ev->table);
	return MNL_CB_OK;
}

/* ---- all there are ---- */

static void take_in(struct xe_nft_events *ev, int reads)
{
	char buf[16384];

	while (reads--) {
		ssize_t n = mnl_socket_recvfrom(ev->nl, buf, sizeof(buf));

		if (n >= 0) {
			mnl_cb_run(buf, (size_t)n, 0, 0, on_event, ev);
			continue;
		}
		if (errno == EAGAIN || errno == EWOULDBLOCK)
			break;
		if (errno == EINTR)
			continue;
		/* ENOBUFS, told before what had come until then; ENOSPC: one that is too long. */
		ev->lost = true;
		if (errno != ENOBUFS && errno != ENOSPC)
			break;
	}
	ev->touched &= !ev->lost;
}

enum xe_nft_told xe_nft_events_look(struct xe_nft_events *ev)
{
	if (!ev)
		return XE_NFT_UNKNOWN;
	take_in(ev, READS_LOOK);
	if (ev->changed)
		return XE_NFT_CHANGED;
	return ev->lost ? XE_NFT_UNKNOWN : XE_NFT_NOTHING;
}

void xe_nft_events_forget(struct xe_nft_events *ev)
{
	if (!ev)
		return;
	take_in(ev, READS_ALL);
	ev->changed = ev->lost = ev->touched = false;
}
