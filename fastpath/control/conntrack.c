/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * conntrack.c - the netlink side: many messages in one send, the dump, and what to do with an entry
 * that is there already.
 */
#include "control/conntrack.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <time.h>

#include "control/conntrack_entry.h"
#include "state/index.h"
#include "xegress/steer_abi.h"

/* The longest message: header, two tuples and two translations of IPv6, protocol state: 500. */
#define MESSAGE_MAX 1024
/* One send: so many messages that the system call does not count, and below the socket's buffer
 * (net.core.wmem_default, 208 KiB). */
#define BATCH_MESSAGES 128
#define BATCH_SIZE     (BATCH_MESSAGES * MESSAGE_MAX)
/* Answers: the kernel packs a dump into what the reader offers, up to 32 KiB. */
#define ANSWER_SIZE (64 * 1024)
/* Should all of a batch be refused: each answer counts as a page at most. */
#define RECEIVE_BUFFER (BATCH_MESSAGES * 4096)
/* The kernel answers within the send. */
#define TIMEOUT_S 2

/* What an answer is for: seq is number of the record + 1. */
struct xe_ct {
	struct mnl_socket *mnl;
	uint32_t portid;
	char *out; /* BATCH_SIZE */
	size_t out_len;
	uint32_t out_cnt;
	struct nlmsghdr *last;
	char in[ANSWER_SIZE] __attribute__((aligned(8)));
};

/* Hears of each message that the kernel refused. */
typedef void (*refused_fn)(void *ctx, uint32_t seq, int err);

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
	ct->out = malloc(BATCH_SIZE);
	ct->mnl = mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC);
	err = !ct->out ? -ENOMEM : ct->mnl ? 0 : -errno;
	if (!err && mnl_socket_bind(ct->mnl, 0, MNL_SOCKET_AUTOPID) < 0)
		err = -errno;
	if (!err) {
		ct->portid = mnl_socket_get_portid(ct->mnl);
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

static struct nlmsghdr *begin(void *at, uint8_t type, uint16_t flags, uint8_t family, uint32_t seq)
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
static int receive(struct xe_ct *ct, uint32_t until, mnl_cb_t fn, void *ctx, refused_fn refused,
		   void *refused_ctx)
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

static int ask(struct xe_ct *ct, struct nlmsghdr *nlh, mnl_cb_t fn, void *ctx)
{
	if (mnl_socket_sendto(ct->mnl, nlh, nlh->nlmsg_len) < 0)
		return -errno;
	return receive(ct, nlh->nlmsg_seq, fn, ctx, NULL, NULL);
}

static int probe(struct xe_ct *ct)
{
	char buf[MESSAGE_MAX] __attribute__((aligned(8)));
	int err = ask(ct, begin(buf, IPCTNL_MSG_CT_GET_STATS, NLM_F_ACK, AF_UNSPEC, 1), NULL, NULL);

	/* nfnetlink says EINVAL when it has no such subsystem */
	return err == -EINVAL ? -EPROTONOSUPPORT : err;
}

/* ---- many messages in one send ---- */

/* Only the last one of a batch asks for an answer: when it is there, all have been dealt with. */
static int flush(struct xe_ct *ct, refused_fn refused, void *ctx)
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
static int make_room(struct xe_ct *ct, refused_fn refused, void *ctx)
{
	return ct->out_cnt == BATCH_MESSAGES ? flush(ct, refused, ctx) : 0;
}

static struct nlmsghdr *append(struct xe_ct *ct, uint8_t type, uint16_t flags, uint8_t family,
			       uint32_t seq)
{
	return begin(ct->out + ct->out_len, type, flags, family, seq);
}

static void appended(struct xe_ct *ct, struct nlmsghdr *nlh)
{
	ct->last = nlh;
	ct->out_len += MNL_ALIGN(nlh->nlmsg_len);
	ct->out_cnt++;
}

/* ---- records found by how their replies look ---- */

struct by_back {
	const struct xe_flow_file *file;
	struct xe_index index;
	uint64_t k0, k1;
};

struct back_key {
	struct xe_addr src, dst;
	__be16 sport_be, dport_be;
	uint8_t proto;
};

static struct back_key back_of(const struct xe_flow_record *r)
{
	return (struct back_key){r->nat_dst, r->nat_src, r->nat_dport_be, r->nat_sport_be,
				 r->proto};
}

static uint32_t back_hash(const struct by_back *x, const struct back_key *k)
{
	uint64_t l4 =
		(uint64_t)k->sport_be | (uint64_t)k->dport_be << 16 | (uint64_t)k->proto << 32;

	return (uint32_t)(xe_addr_hash(&k->src, x->k0 ^ l4, x->k1) ^
			  xe_addr_hash(&k->dst, x->k0, x->k1 ^ l4) << 1);
}

static bool back_equal(const void *table, uint32_t entry, const void *key)
{
	struct back_key a = back_of(&((const struct xe_flow_file *)table)->records[entry]);
	const struct back_key *b = key;

	return !memcmp(&a.src, &b->src, sizeof(a.src)) && !memcmp(&a.dst, &b->dst, sizeof(a.dst)) &&
	       a.sport_be == b->sport_be && a.dport_be == b->dport_be && a.proto == b->proto;
}

/* file may be NULL: then nothing is found. */
static int open_by_back(struct by_back *x, const struct xe_flow_file *file)
{
	uint64_t keys[2];

	*x = (struct by_back){.file = file};
	if (!file)
		return 0;
	if (getrandom(keys, sizeof(keys), 0) != sizeof(keys))
		return -EIO;
	x->k0 = keys[0];
	x->k1 = keys[1];
	if (xe_index_open(&x->index, file->record_cnt))
		return -ENOMEM;
	for (uint32_t i = 0; i < file->record_cnt; i++) {
		struct back_key key = back_of(&file->records[i]);

		xe_index_put(&x->index, back_hash(x, &key), i);
	}
	return 0;
}

static const struct xe_flow_record *find_by_back(const struct by_back *x, struct back_key key)
{
	uint32_t i =
		x->file ? xe_index_find(&x->index, back_hash(x, &key), x->file, &key, back_equal)
			: XE_NIL;

	return i == XE_NIL ? NULL : &x->file->records[i];
}

/* ---- reading ---- */

/* Prefixes as ranges, in order and without overlap. */
struct range {
	struct xe_addr min, max;
};

struct reading {
	struct range *inside;
	uint32_t inside_cnt;
	struct by_back known;
	struct nf_conntrack *entry;
	struct xe_flow_file *out;
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

static int take_entry(const struct nlmsghdr *nlh, void *ctx)
{
	struct reading *rd = ctx;
	struct xe_flow_record record;
	struct xe_ct_ways ways;
	bool from_outside;

	if (nlh->nlmsg_type != (NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_NEW))
		return MNL_CB_OK;
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
	if (!xe_ct_record(rd->entry, &ways, from_outside, &record) ||
	    find_by_back(&rd->known, back_of(&record)))
		return MNL_CB_OK;
	return xe_flow_file_add(rd->out, &record) ? MNL_CB_ERROR : MNL_CB_OK;
}

int xe_ct_read(struct xe_ct *ct, const struct xe_prefix *inside, uint32_t inside_cnt,
	       const struct xe_flow_file *known, struct xe_flow_file *out)
{
	char buf[MESSAGE_MAX] __attribute__((aligned(8)));
	struct reading rd = {.out = out};
	int err;

	rd.inside = calloc(inside_cnt + 1ul, sizeof(*rd.inside));
	rd.entry = nfct_new();
	err = rd.inside && rd.entry ? open_by_back(&rd.known, known) : -ENOMEM;
	if (!err) {
		sort_ranges(&rd, inside, inside_cnt);
		err = ask(ct, begin(buf, IPCTNL_MSG_CT_GET, NLM_F_DUMP, AF_UNSPEC, 1), take_entry,
			  &rd);
	}
	if (rd.entry)
		nfct_destroy(rd.entry);
	xe_index_close(&rd.known.index);
	free(rd.inside);
	return err;
}

/* ---- writing ---- */

enum fate { TO_DO, DONE, EXISTS, REFUSED, SKIPPED };

struct writing {
	struct xe_ct *ct;
	const struct xe_flow_file *file;
	struct by_back halves, before;
	uint8_t *fate; /* by record */
	bool full;
	int err; /* the first refusal */
};

/* The one who was called, of a flow between two inside hosts by external addresses. */
static const struct xe_flow_record *half_of(const struct writing *w, const struct xe_flow_record *r)
{
	struct back_key answer = {r->nat_src, r->nat_dst, r->nat_sport_be, r->nat_dport_be,
				  r->proto};

	return r->flags & XE_FR_HAIRPIN ? find_by_back(&w->halves, answer) : NULL;
}

/* The flow is in two sessions, which are one entry: written with the opener's. */
static bool is_called_half(const struct xe_flow_record *r)
{
	return (r->flags & XE_FR_HAIRPIN) && (r->flags & XE_FR_FROM_OUTSIDE);
}

static bool is_as_before(const struct writing *w, const struct xe_flow_record *r)
{
	const struct xe_flow_record *was = find_by_back(&w->before, back_of(r));

	return was && was->sport_be == r->sport_be && !memcmp(&was->src, &r->src, sizeof(r->src)) &&
	       xe_ct_is_settled(was) == xe_ct_is_settled(r) &&
	       (was->tcp_state == r->tcp_state || xe_ct_is_settled(r)) &&
	       was->tcp_scale == r->tcp_scale;
}

static bool is_wanted(const struct writing *w, const struct xe_flow_record *r)
{
	if (is_called_half(r) && half_of(w, r))
		return false;
	if ((r->flags & XE_FR_HAIRPIN) && !half_of(w, r))
		return false;
	return xe_ct_is_live(r) && !is_as_before(w, r);
}

static void on_refused(void *ctx, uint32_t seq, int err)
{
	struct writing *w = ctx;

	if (seq - 1 >= w->file->record_cnt)
		return;
	w->fate[seq - 1] = err == -EEXIST ? EXISTS : REFUSED;
	if (err == -EEXIST)
		return;
	if (!w->err)
		w->err = err;
	w->full |= err == -ENOMEM;
}

/* The message that makes an entry (exclusively), or changes what may be changed of one. */
static int put_record(const struct writing *w, struct nlmsghdr *nlh, const struct xe_flow_record *r,
		      bool make)
{
	struct xe_ct_ways ways = xe_ct_ways_of(r, half_of(w, r));
	struct nf_conntrack *entry = nfct_new();
	int err = -ENOMEM;

	if (!entry)
		return err;
	xe_ct_put_orig(entry, r, &ways);
	if (make)
		xe_ct_put_nat(entry, r, &ways);
	xe_ct_put_state(entry, r);
	err = nfct_nlmsg_build(nlh, entry) < 0 ? -EINVAL : 0;
	nfct_destroy(entry);
	return err;
}

static int create(struct writing *w, uint32_t i)
{
	const struct xe_flow_record *r = &w->file->records[i];
	struct nlmsghdr *nlh;
	int err = make_room(w->ct, on_refused, w);

	if (err)
		return err;
	nlh = append(w->ct, IPCTNL_MSG_CT_NEW, NLM_F_CREATE | NLM_F_EXCL, r->family, i + 1);
	err = put_record(w, nlh, r, true);
	if (err) {
		on_refused(w, i + 1, err);
		return err == -ENOMEM ? err : 0;
	}
	w->fate[i] = DONE; /* unless told otherwise */
	appended(w->ct, nlh);
	return 0;
}

/* ---- an entry that is there ---- */

struct found {
	struct xe_ct_ways ways;
	bool is;
};

static int take_found(const struct nlmsghdr *nlh, void *ctx)
{
	struct nf_conntrack *entry = nfct_new();
	struct found *found = ctx;

	if (!entry)
		return MNL_CB_ERROR;
	if (nfct_nlmsg_parse(nlh, entry) >= 0)
		found->is = xe_ct_get(entry, &found->ways);
	nfct_destroy(entry);
	return MNL_CB_OK;
}

/* One question or command about the entry that has this original or reply direction. */
static int about(struct xe_ct *ct, uint8_t type, const struct xe_flow_record *r,
		 const struct xe_ct_way *way, bool is_reply, struct found *found)
{
	char buf[MESSAGE_MAX] __attribute__((aligned(8)));
	struct nlmsghdr *nlh = begin(buf, type, NLM_F_ACK, r->family, 1);
	struct xe_ct_ways ways = {.orig = *way};
	struct nf_conntrack *entry = nfct_new();
	struct nlattr *tuple;
	int err = -ENOMEM;

	if (!entry)
		return err;
	xe_ct_put_orig(entry, r, &ways);
	err = nfct_nlmsg_build(nlh, entry) < 0 ? -EINVAL : 0;
	/* The library builds no message without an original direction: it is the only attribute,
	 * so it gets the other name. */
	tuple = mnl_nlmsg_get_payload_offset(nlh, sizeof(struct nfgenmsg));
	if (!err && is_reply)
		tuple->nla_type = CTA_TUPLE_REPLY | NLA_F_NESTED;
	nfct_destroy(entry);
	return err ? err : ask(ct, nlh, found ? take_found : NULL, found);
}

static int change(struct writing *w, const struct xe_flow_record *r)
{
	char buf[MESSAGE_MAX] __attribute__((aligned(8)));
	struct nlmsghdr *nlh = begin(buf, IPCTNL_MSG_CT_NEW, NLM_F_ACK, r->family, 1);
	int err = put_record(w, nlh, r, false);

	return err ? err : ask(w->ct, nlh, NULL, NULL);
}

static bool same_way(const struct xe_ct_way *a, const struct xe_ct_way *b)
{
	return !memcmp(&a->src, &b->src, sizeof(a->src)) &&
	       !memcmp(&a->dst, &b->dst, sizeof(a->dst)) && a->sport_be == b->sport_be &&
	       a->dport_be == b->dport_be;
}

/* The kernel has begun to carry the flow with another mapping, or another flow has had this Ext L4
 * port: what a worker carried until now is what the peer knows. */
static int replace(struct writing *w, uint32_t i)
{
	const struct xe_flow_record *r = &w->file->records[i];
	struct xe_ct_ways ways = xe_ct_ways_of(r, half_of(w, r));
	struct found found = {};
	int err = about(w->ct, IPCTNL_MSG_CT_GET, r, &ways.orig, false, &found);

	if (!err && found.is && same_way(&found.ways.reply, &ways.reply)) {
		w->fate[i] = DONE;
		return change(w, r);
	}
	if (!err)
		about(w->ct, IPCTNL_MSG_CT_DELETE, r, &ways.orig, false, NULL);
	about(w->ct, IPCTNL_MSG_CT_DELETE, r, &ways.reply, true, NULL);
	err = create(w, i);
	return err ? err : flush(w->ct, on_refused, w);
}

static int replace_existing(struct writing *w)
{
	int err = 0;

	for (uint32_t i = 0; i < w->file->record_cnt && !err; i++) {
		if (w->fate[i] != EXISTS)
			continue;
		err = replace(w, i);
		if (w->fate[i] != EXISTS)
			continue;
		on_refused(w, i + 1, -EBUSY);
	}
	return err;
}

static int write_all(struct writing *w)
{
	int err = 0;

	for (int settled = 1; settled >= 0 && !err; settled--)
		for (uint32_t i = 0; i < w->file->record_cnt && !err; i++) {
			const struct xe_flow_record *r = &w->file->records[i];

			if (xe_ct_is_settled(r) != settled)
				continue;
			w->fate[i] = !is_wanted(w, r) ? SKIPPED : w->full ? REFUSED : TO_DO;
			if (w->fate[i] == TO_DO)
				err = create(w, i);
		}
	if (!err)
		err = flush(w->ct, on_refused, w);
	return err ? err : replace_existing(w);
}

int xe_ct_write(struct xe_ct *ct, const struct xe_flow_file *file,
		const struct xe_flow_file *before, struct xe_ct_result *result)
{
	struct writing w = {.ct = ct, .file = file};
	int err;

	*result = (struct xe_ct_result){};
	w.fate = calloc(file->record_cnt + 1ul, 1);
	err = w.fate ? open_by_back(&w.halves, file) : -ENOMEM;
	if (!err)
		err = open_by_back(&w.before, before);
	if (!err)
		err = write_all(&w);
	for (uint32_t i = 0; w.fate && i < file->record_cnt; i++) {
		result->written += w.fate[i] == DONE;
		result->skipped += w.fate[i] == SKIPPED;
		result->refused += w.fate[i] == REFUSED || w.fate[i] == EXISTS;
	}
	result->err = w.err;
	ct->out_len = ct->out_cnt = 0;
	xe_index_close(&w.halves.index);
	xe_index_close(&w.before.index);
	free(w.fate);
	return err;
}

/* ---- deleting ---- */

static void on_not_there(void *ctx, uint32_t seq, int err)
{
	(void)seq;
	(void)err;
	--*(uint32_t *)ctx;
}

uint32_t xe_ct_delete(struct xe_ct *ct, const struct xe_flow_file *file, uint8_t flags)
{
	uint32_t cnt = 0;
	int err = 0;

	for (uint32_t i = 0; i < file->record_cnt && !err; i++) {
		const struct xe_flow_record *r = &file->records[i];
		struct xe_ct_ways ways = xe_ct_ways_of(r, NULL);
		struct nf_conntrack *entry;
		struct nlmsghdr *nlh;

		if ((r->flags & flags) != flags)
			continue;
		entry = nfct_new();
		err = entry ? make_room(ct, on_not_there, &cnt) : -ENOMEM;
		if (!err) {
			nlh = append(ct, IPCTNL_MSG_CT_DELETE, 0, r->family, i + 1);
			xe_ct_put_orig(entry, r, &ways);
			if (nfct_nlmsg_build(nlh, entry) >= 0) {
				appended(ct, nlh);
				cnt++;
			}
		}
		if (entry)
			nfct_destroy(entry);
	}
	flush(ct, on_not_there, &cnt);
	ct->out_len = ct->out_cnt = 0;
	return cnt;
}
