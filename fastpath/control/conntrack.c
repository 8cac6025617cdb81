/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* conntrack.c - the socket, many messages in one send, and the dump. */
#include "control/conntrack.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "control/conntrack_wire.h"

/* Should all of a batch be refused: each answer counts as a page at most. */
#define RECEIVE_BUFFER (XE_CT_BATCH * 4096)
/* The kernel answers within the send. */
#define TIMEOUT_S 2
/* CTA_FILTER_ORIG_FLAGS, _REPLY_FLAGS: the tuple's source is to be compared (kernel 5.8; in none of
 * its headers for programs). */
#define FILTER_IP_SRC 0x1u
/* The kernel walks through its whole table for each dump, two for each host: 12 ms each with the
 * 262,144 buckets of a host of some GiB. An entry of somebody else that it tells of costs some 2
 * us, there and here. So filtering pays where there are more than so many entries a host. */
#define PAYS_FROM 15000u

/* ---- socket ---- */

/* Is anybody there? Its statistics are the cheapest question. */
static int probe(struct xe_ct *ct);

int xe_ct_open(struct xe_ct **out)
{
	struct timeval patience = {.tv_sec = TIMEOUT_S};
	struct xe_ct *ct = calloc(1, sizeof(*ct));
	int on = 1, buffer = RECEIVE_BUFFER, err;

	*out = NULL;
	if (!ct)
		return -ENOMEM;
	ct->filter = FILTER_IP_SRC;
	ct->pays_from = PAYS_FROM;
	ct->out = malloc((size_t)XE_CT_BATCH * XE_CT_MESSAGE_MAX);
	ct->mnl = mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC);
	err = !ct->out ? -ENOMEM : ct->mnl ? 0 : -errno;
	if (!err && mnl_socket_bind(ct->mnl, 0, MNL_SOCKET_AUTOPID) < 0)
		err = -errno;
	if (!err) {
		/* errors without the message that they are about: all those of a batch fit */
		mnl_socket_setsockopt(ct->mnl, NETLINK_CAP_ACK, &on, sizeof(on));
		setsockopt(mnl_socket_get_fd(ct->mnl), SOL_SOCKET, SO_RCVBUFFORCE, &buffer,
			   sizeof(buffer));
		setsockopt(mnl_socket_get_fd(ct->mnl), SOL_SOCKET, SO_RCVTIMEO, &patience,
			   sizeof(patience));
		err = probe(ct);
	}
	if (err) {
		xe_ct_close(ct);
		return err;
	}
	*out = ct;
	return 0;
}

void xe_ct_close(struct xe_ct *ct)
{
	if (!ct)
		return;
	if (ct->mnl)
		mnl_socket_close(ct->mnl);
	free(ct->out);
	free(ct);
}

struct nlmsghdr *xe_ct_begin(void *at, uint8_t type, uint16_t flags, uint8_t family, uint32_t seq)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(at);
	struct nfgenmsg *nfg;

	nlh->nlmsg_type = (uint16_t)(NFNL_SUBSYS_CTNETLINK << 8 | type);
	nlh->nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags);
	nlh->nlmsg_seq = seq;
	nfg = mnl_nlmsg_put_extra_header(nlh, sizeof(*nfg));
	nfg->nfgen_family = family;
	nfg->version = NFNETLINK_V0;
	return nlh;
}

/* Receive until the message `until` has been answered. fn gets what is no answer to a question of
 * success or failure. Returns 0, that message's error, or the socket's. */
static int receive(struct xe_ct *ct, uint32_t until, mnl_cb_t fn, void *ctx,
		   xe_ct_refused_fn refused, void *refused_ctx)
{
	for (;;) {
		ssize_t n = mnl_socket_recvfrom(ct->mnl, ct->in, sizeof(ct->in));
		struct nlmsghdr *nlh = (struct nlmsghdr *)ct->in;
		int len = (int)n;

		if (n < 0)
			return errno == EAGAIN ? -ETIMEDOUT : -errno;
		for (; mnl_nlmsg_ok(nlh, len); nlh = mnl_nlmsg_next(nlh, &len)) {
			const struct nlmsgerr *e = mnl_nlmsg_get_payload(nlh);

			if (nlh->nlmsg_flags & NLM_F_DUMP_INTR)
				return -EINTR;
			if (nlh->nlmsg_type == NLMSG_DONE && nlh->nlmsg_seq == until)
				return 0;
			if (nlh->nlmsg_type != NLMSG_ERROR) {
				if (fn && nlh->nlmsg_seq == until && fn(nlh, ctx) == MNL_CB_ERROR)
					return -ENOMEM;
				continue;
			}
			if (e->error && refused)
				refused(refused_ctx, nlh->nlmsg_seq, e->error);
			if (nlh->nlmsg_seq == until)
				return e->error;
		}
	}
}

int xe_ct_ask(struct xe_ct *ct, struct nlmsghdr *nlh, mnl_cb_t fn, void *ctx)
{
	if (mnl_socket_sendto(ct->mnl, nlh, nlh->nlmsg_len) < 0)
		return -errno;
	return receive(ct, nlh->nlmsg_seq, fn, ctx, NULL, NULL);
}

static int probe(struct xe_ct *ct)
{
	char buf[XE_CT_MESSAGE_MAX] __attribute__((aligned(8)));
	int err = xe_ct_ask(ct, xe_ct_begin(buf, IPCTNL_MSG_CT_GET_STATS, NLM_F_ACK, AF_UNSPEC, 1),
			    NULL, NULL);

	/* nfnetlink says EINVAL when it has no such subsystem */
	return err == -EINVAL ? -EPROTONOSUPPORT : err;
}

/* ---- many messages in one send ---- */

/* Only the last one of a batch asks for an answer: when it is there, all have been dealt with. */
int xe_ct_flush(struct xe_ct *ct, xe_ct_refused_fn refused, void *ctx)
{
	uint32_t until;
	int err;

	if (!ct->out_cnt)
		return 0;
	ct->last->nlmsg_flags |= NLM_F_ACK;
	until = ct->last->nlmsg_seq;
	err = mnl_socket_sendto(ct->mnl, ct->out, ct->out_len) < 0 ? -errno : 0;
	ct->out_len = ct->out_cnt = 0;
	if (err)
		return err;
	err = receive(ct, until, NULL, NULL, refused, ctx);
	/* what became of a message the caller has been told; an error of its own is the socket's */
	return err == -ETIMEDOUT || err == -ENOBUFS ? err : 0;
}

/* Room for one more message. */
int xe_ct_make_room(struct xe_ct *ct, xe_ct_refused_fn refused, void *ctx)
{
	return ct->out_cnt == XE_CT_BATCH ? xe_ct_flush(ct, refused, ctx) : 0;
}

struct nlmsghdr *xe_ct_append(struct xe_ct *ct, uint8_t type, uint16_t flags, uint8_t family,
			      uint32_t seq)
{
	return xe_ct_begin(ct->out + ct->out_len, type, flags, family, seq);
}

void xe_ct_appended(struct xe_ct *ct, struct nlmsghdr *nlh)
{
	ct->last = nlh;
	ct->out_len += MNL_ALIGN(nlh->nlmsg_len);
	ct->out_cnt++;
}

/* ---- reading ---- */

/* Each host is two walks of the kernel through its table, for which it takes the lock of each
 * bucket. */
#define HOSTS_MAX 4u

/* Prefixes as ranges, in order and without overlap. */
struct range {
	struct xe_addr min, max;
};

struct reading {
	struct range *inside;
	uint32_t inside_cnt;
	struct xe_ct_known known;
	struct nf_conntrack *entry;
	struct xe_flow_file *out;
	/* Of a dump that is filtered: by this source in that direction's tuple; 0: it is not. */
	uint16_t tuple;
	struct xe_addr host;
	bool strangers; /* others were in it: this kernel does not filter */
};

static int compare(const void *a, const void *b)
{
	return memcmp(&((const struct range *)a)->min, &((const struct range *)b)->min,
		      sizeof(struct xe_addr));
}

static void sort_ranges(struct reading *rd, const struct xe_prefix *prefixes, uint32_t cnt)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < cnt; i++) {
		struct xe_addr mask = xe_prefix_mask(prefixes[i].len);
		struct range *r = &rd->inside[i];

		for (int b = 0; b < 16; b++) {
			r->min.b[b] = prefixes[i].addr.b[b] & mask.b[b];
			r->max.b[b] = prefixes[i].addr.b[b] | (uint8_t)~mask.b[b];
		}
	}
	qsort(rd->inside, cnt, sizeof(*rd->inside), compare);
	for (uint32_t i = 0; i < cnt; i++) {
		struct range *last = n ? &rd->inside[n - 1] : NULL;

		if (!last || memcmp(&rd->inside[i].min, &last->max, sizeof(last->max)) > 0)
			rd->inside[n++] = rd->inside[i];
		else if (memcmp(&rd->inside[i].max, &last->max, sizeof(last->max)) > 0)
			last->max = rd->inside[i].max;
	}
	rd->inside_cnt = n;
}

static bool is_inside(const struct reading *rd, const struct xe_addr *a)
{
	uint32_t low = 0, high = rd->inside_cnt;

	while (low < high) {
		uint32_t mid = (low + high) / 2;

		if (memcmp(a, &rd->inside[mid].min, sizeof(*a)) < 0)
			high = mid;
		else if (memcmp(a, &rd->inside[mid].max, sizeof(*a)) > 0)
			low = mid + 1;
		else
			return true;
	}
	return false;
}

/* The source of one direction, without taking all of the message apart: most entries of a host are
 * not about containers, and the library needs some us for each. */
static bool source_of(const struct nlattr *tuple, struct xe_addr *addr)
{
	const struct nlattr *ip, *a;

	mnl_attr_for_each_nested(ip, tuple)
	{
		if (mnl_attr_get_type(ip) != CTA_TUPLE_IP)
			continue;
		mnl_attr_for_each_nested(a, ip)
		{
			uint16_t type = mnl_attr_get_type(a), len = mnl_attr_get_payload_len(a);

			if (type == CTA_IP_V4_SRC && len == 4) {
				*addr = xe_addr_v4(mnl_attr_get_u32(a));
				return true;
			}
			if (type == CTA_IP_V6_SRC && len == sizeof(*addr)) {
				memcpy(addr, mnl_attr_get_payload(a), sizeof(*addr));
				return true;
			}
		}
	}
	return false;
}

static bool may_be_inside(const struct reading *rd, const struct nlmsghdr *nlh)
{
	const struct nlattr *a;
	struct xe_addr src;

	mnl_attr_for_each(a, nlh, sizeof(struct nfgenmsg))
	{
		uint16_t type = mnl_attr_get_type(a);

		if (type != CTA_TUPLE_ORIG && type != CTA_TUPLE_REPLY)
			continue;
		if (rd->tuple && type != rd->tuple)
			continue;
		if (!source_of(a, &src))
			continue;
		if (rd->tuple ? !memcmp(&src, &rd->host, sizeof(src)) : is_inside(rd, &src))
			return true;
	}
	return false;
}

static int take_entry(const struct nlmsghdr *nlh, void *ctx)
{
	struct reading *rd = ctx;
	struct xe_flow_record record;
	struct xe_ct_ways ways;
	bool from_outside;

	if (nlh->nlmsg_type != (NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_NEW))
		return MNL_CB_OK;
	if (!may_be_inside(rd, nlh)) {
		rd->strangers |= rd->tuple;
		return MNL_CB_OK;
	}
	/* an object is filled in, not replaced: each entry needs an empty one */
	nfct_destroy(rd->entry);
	rd->entry = nfct_new();
	if (!rd->entry)
		return MNL_CB_ERROR;
	if (nfct_nlmsg_parse(nlh, rd->entry) < 0 || !xe_ct_get(rd->entry, &ways))
		return MNL_CB_OK;
	from_outside = !is_inside(rd, &ways.orig.src);
	if (from_outside && !is_inside(rd, &ways.reply.src))
		return MNL_CB_OK;
	if (!from_outside && rd->tuple == CTA_TUPLE_REPLY)
		return MNL_CB_OK; /* it was in the dump by the other tuple, of whichever host */
	if (!xe_ct_record(rd->entry, &ways, from_outside, &record) ||
	    xe_ct_known_find(&rd->known, xe_ct_back_of(&record)))
		return MNL_CB_OK;
	return xe_flow_file_add(rd->out, &record) ? MNL_CB_ERROR : MNL_CB_OK;
}

static void put_filter(struct nlmsghdr *nlh, const struct reading *rd, uint32_t flags)
{
	struct nlattr *tuple = mnl_attr_nest_start(nlh, rd->tuple);
	struct nlattr *ip = mnl_attr_nest_start(nlh, CTA_TUPLE_IP), *filter;
	bool orig = rd->tuple == CTA_TUPLE_ORIG;

	mnl_attr_put_u32(nlh, CTA_IP_V4_SRC, rd->host.w_be[3]);
	mnl_attr_nest_end(nlh, ip);
	mnl_attr_nest_end(nlh, tuple);
	filter = mnl_attr_nest_start(nlh, CTA_FILTER);
	mnl_attr_put_u32(nlh, orig ? CTA_FILTER_ORIG_FLAGS : CTA_FILTER_REPLY_FLAGS, flags);
	mnl_attr_nest_end(nlh, filter);
}

static int dump(struct xe_ct *ct, struct reading *rd, uint8_t family)
{
	char buf[XE_CT_MESSAGE_MAX] __attribute__((aligned(8)));
	struct nlmsghdr *nlh = xe_ct_begin(buf, IPCTNL_MSG_CT_GET, NLM_F_DUMP, family, 1);

	if (rd->tuple)
		put_filter(nlh, rd, ct->filter);
	return xe_ct_ask(ct, nlh, take_entry, rd);
}

static bool may_hold_v4(const struct range *r)
{
	struct xe_addr min = xe_addr_v4(0), max = xe_addr_v4(0xffffffff);

	return memcmp(&r->min, &max, sizeof(max)) <= 0 && memcmp(&r->max, &min, sizeof(min)) >= 0;
}

static void families(const struct reading *rd, bool *v4, bool *v6)
{
	*v4 = *v6 = false;
	for (uint32_t i = 0; i < rd->inside_cnt; i++) {
		const struct range *r = &rd->inside[i];

		*v4 |= may_hold_v4(r);
		*v6 |= !xe_addr_is_v4(&r->min) || !xe_addr_is_v4(&r->max);
	}
}

static int take_count(const struct nlmsghdr *nlh, void *ctx)
{
	const struct nlattr *a;
	uint32_t *entries = ctx;

	mnl_attr_for_each(a, nlh, sizeof(struct nfgenmsg))
	{
		if (mnl_attr_get_type(a) == CTA_STATS_GLOBAL_ENTRIES &&
		    mnl_attr_get_payload_len(a) == sizeof(*entries))
			*entries = ntohl(mnl_attr_get_u32(a));
	}
	return MNL_CB_OK;
}

static uint32_t count_entries(struct xe_ct *ct)
{
	char buf[XE_CT_MESSAGE_MAX] __attribute__((aligned(8)));
	uint32_t entries = 0;

	xe_ct_ask(ct, xe_ct_begin(buf, IPCTNL_MSG_CT_GET_STATS, NLM_F_ACK, AF_UNSPEC, 1),
		  take_count, &entries);
	return entries;
}

/* Single ones, as far as they are IPv4, and worth it. */
static bool are_few_hosts(struct xe_ct *ct, const struct reading *rd)
{
	uint32_t hosts = 0;

	for (uint32_t i = 0; i < rd->inside_cnt; i++) {
		const struct range *r = &rd->inside[i];

		if (!may_hold_v4(r))
			continue;
		if (memcmp(&r->min, &r->max, sizeof(r->min)))
			return false;
		hosts++;
	}
	return hosts && hosts <= HOSTS_MAX && count_entries(ct) >= hosts * ct->pays_from;
}

/* Host by host what comes from it, and what is sent to it. All of IPv6: there kernels (6.18) leave
 * out just those entries that have the address. */
static int dump_hosts(struct xe_ct *ct, struct reading *rd)
{
	bool v4, v6;
	int err = 0;

	for (uint32_t i = 0; i < 2 * rd->inside_cnt && !err && !rd->strangers; i++) {
		rd->host = rd->inside[i / 2].min;
		rd->tuple = i % 2 ? CTA_TUPLE_REPLY : CTA_TUPLE_ORIG;
		if (xe_addr_is_v4(&rd->host))
			err = dump(ct, rd, AF_INET);
	}
	rd->tuple = 0;
	families(rd, &v4, &v6);
	return v6 && !err && !rd->strangers ? dump(ct, rd, AF_INET6) : err;
}

static int dump_all(struct xe_ct *ct, struct reading *rd)
{
	bool v4, v6;

	families(rd, &v4, &v6);
	return dump(ct, rd, v4 && v6 ? AF_UNSPEC : v6 ? AF_INET6 : AF_INET);
}

/* A kernel that does not know the filter dumps all; one that knows another refuses it. */
static int read_entries(struct xe_ct *ct, struct reading *rd)
{
	uint32_t had = rd->out->record_cnt;
	int err;

	if (ct->unfiltered || !are_few_hosts(ct, rd))
		return dump_all(ct, rd);
	err = dump_hosts(ct, rd);
	ct->unfiltered = rd->strangers || err == -EOPNOTSUPP || err == -EINVAL || err == -ERANGE;
	if (!ct->unfiltered)
		return err;
	rd->out->record_cnt = had;
	return dump_all(ct, rd);
}

int xe_ct_read(struct xe_ct *ct, const struct xe_prefix *inside, uint32_t inside_cnt,
	       const struct xe_flow_file *known, struct xe_flow_file *out)
{
	struct reading rd = {.out = out};
	int err;

	rd.inside = calloc(inside_cnt + 1ul, sizeof(*rd.inside));
	rd.entry = nfct_new();
	err = rd.inside && rd.entry ? xe_ct_known_open(&rd.known, known) : -ENOMEM;
	if (!err) {
		sort_ranges(&rd, inside, inside_cnt);
		err = read_entries(ct, &rd);
	}
	if (rd.entry)
		nfct_destroy(rd.entry);
	xe_ct_known_close(&rd.known);
	free(rd.inside);
	return err;
}
