/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* conntrack_write.c - records into conntrack, over what is there already, and out of it. */
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "control/conntrack_wire.h"

/* An entry that is kept for a flow which others carry: as long as the kernel keeps an idle
 * established connection, and for UDP a day, in which its session may live by its packets. */
#define KEPT_TCP_S (5 * 86400)
#define KEPT_UDP_S 86400

enum fate { TO_DO, DONE, EXISTS, REFUSED, SKIPPED };

struct writing {
	struct xe_ct *ct;
	const struct xe_flow_file *file;
	struct xe_ct_known halves, before;
	uint8_t *fate; /* by record */
	bool full;
	int err; /* the first refusal */
};

/* The one who was called, of a flow between two inside hosts by external addresses. */
static const struct xe_flow_record *half_of(const struct writing *w, const struct xe_flow_record *r)
{
	struct xe_ct_back answer = {r->nat_src, r->nat_dst, r->nat_sport_be, r->nat_dport_be,
				    r->proto};

	return r->flags & XE_FR_HAIRPIN ? xe_ct_known_find(&w->halves, answer) : NULL;
}

/* The flow is in two sessions, which are one entry: written with the opener's. */
static bool is_called_half(const struct xe_flow_record *r)
{
	return (r->flags & XE_FR_HAIRPIN) && (r->flags & XE_FR_FROM_OUTSIDE);
}

static bool is_as_before(const struct writing *w, const struct xe_flow_record *r)
{
	const struct xe_flow_record *was = xe_ct_known_find(&w->before, xe_ct_back_of(r));

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
	xe_ct_put_state(entry, r, !make);
	err = nfct_nlmsg_build(nlh, entry) < 0 ? -EINVAL : 0;
	nfct_destroy(entry);
	return err;
}

static int create(struct writing *w, uint32_t i)
{
	const struct xe_flow_record *r = &w->file->records[i];
	struct nlmsghdr *nlh;
	int err = xe_ct_make_room(w->ct, on_refused, w);

	if (err)
		return err;
	nlh = xe_ct_append(w->ct, IPCTNL_MSG_CT_NEW, NLM_F_CREATE | NLM_F_EXCL, r->family, i + 1);
	err = put_record(w, nlh, r, true);
	if (err) {
		on_refused(w, i + 1, err);
		return err == -ENOMEM ? err : 0;
	}
	w->fate[i] = DONE; /* unless told otherwise */
	xe_ct_appended(w->ct, nlh);
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
	char buf[XE_CT_MESSAGE_MAX] __attribute__((aligned(8)));
	struct nlmsghdr *nlh = xe_ct_begin(buf, type, NLM_F_ACK, r->family, 1);
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
	return err ? err : xe_ct_ask(ct, nlh, found ? take_found : NULL, found);
}

static int change(struct writing *w, const struct xe_flow_record *r)
{
	char buf[XE_CT_MESSAGE_MAX] __attribute__((aligned(8)));
	struct nlmsghdr *nlh = xe_ct_begin(buf, IPCTNL_MSG_CT_NEW, NLM_F_ACK, r->family, 1);
	int err = put_record(w, nlh, r, false);

	return err ? err : xe_ct_ask(w->ct, nlh, NULL, NULL);
}

static bool same_way(const struct xe_ct_way *a, const struct xe_ct_way *b)
{
	return !memcmp(&a->src, &b->src, sizeof(a->src)) &&
	       !memcmp(&a->dst, &b->dst, sizeof(a->dst)) && a->sport_be == b->sport_be &&
	       a->dport_be == b->dport_be;
}

/* Nobody answers, or there is no memory: then nothing else will succeed either. */
static bool is_fatal(int err)
{
	return err == -ETIMEDOUT || err == -ENOBUFS || err == -ENOMEM;
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
		err = change(w, r);
		/* gone since: made anew below; else it is the flow's, whatever cannot be changed */
		if (err != -ENOENT) {
			w->fate[i] = DONE;
			return is_fatal(err) ? err : 0;
		}
	}
	if (is_fatal(err))
		return err;
	if (!err)
		about(w->ct, IPCTNL_MSG_CT_DELETE, r, &ways.orig, false, NULL);
	about(w->ct, IPCTNL_MSG_CT_DELETE, r, &ways.reply, true, NULL);
	err = create(w, i);
	return err ? err : xe_ct_flush(w->ct, on_refused, w);
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
		err = xe_ct_flush(w->ct, on_refused, w);
	return err ? err : replace_existing(w);
}

int xe_ct_write(struct xe_ct *ct, const struct xe_flow_file *file,
		const struct xe_flow_file *before, struct xe_ct_result *result)
{
	struct writing w = {.ct = ct, .file = file};
	int err;

	*result = (struct xe_ct_result){};
	w.fate = calloc(file->record_cnt + 1ul, 1);
	err = w.fate ? xe_ct_known_open(&w.halves, file) : -ENOMEM;
	if (!err)
		err = xe_ct_known_open(&w.before, before);
	if (!err)
		err = write_all(&w);
	for (uint32_t i = 0; w.fate && i < file->record_cnt; i++) {
		result->written += w.fate[i] == DONE;
		result->skipped += w.fate[i] == SKIPPED;
		result->refused += w.fate[i] == REFUSED || w.fate[i] == EXISTS;
	}
	result->err = w.err;
	ct->out_len = ct->out_cnt = 0;
	xe_ct_known_close(&w.halves);
	xe_ct_known_close(&w.before);
	free(w.fate);
	return err;
}

/* ---- deleting, keeping ---- */

static void on_not_there(void *ctx, uint32_t seq, int err)
{
	(void)seq;
	(void)err;
	--*(uint32_t *)ctx;
}

static int put_named(struct nlmsghdr *nlh, const struct xe_flow_record *r, bool with_state)
{
	struct xe_ct_ways ways = xe_ct_ways_of(r, NULL);
	struct nf_conntrack *entry = nfct_new();
	int err = -ENOMEM;

	if (!entry)
		return err;
	xe_ct_put_orig(entry, r, &ways);
	if (with_state)
		xe_ct_put_state(entry, r, true);
	err = nfct_nlmsg_build(nlh, entry) < 0 ? -EINVAL : 0;
	nfct_destroy(entry);
	return err;
}

/* The same command for the entries of all records with these flags. */
static uint32_t for_entries(struct xe_ct *ct, const struct xe_flow_file *file, uint8_t flags,
			    uint8_t type)
{
	bool keep = type == IPCTNL_MSG_CT_NEW;
	uint32_t cnt = 0;
	int err = 0;

	for (uint32_t i = 0; i < file->record_cnt && !err; i++) {
		struct xe_flow_record r = file->records[i];
		struct nlmsghdr *nlh;

		if ((r.flags & flags) != flags)
			continue;
		if (keep)
			r.left_s = r.proto == IPPROTO_TCP ? KEPT_TCP_S : KEPT_UDP_S;
		err = xe_ct_make_room(ct, on_not_there, &cnt);
		if (err)
			break;
		nlh = xe_ct_append(ct, type, 0, r.family, i + 1);
		err = put_named(nlh, &r, keep);
		if (err)
			break;
		xe_ct_appended(ct, nlh);
		cnt++;
	}
	xe_ct_flush(ct, on_not_there, &cnt);
	ct->out_len = ct->out_cnt = 0;
	return cnt;
}

uint32_t xe_ct_delete(struct xe_ct *ct, const struct xe_flow_file *file, uint8_t flags)
{
	return for_entries(ct, file, flags, IPCTNL_MSG_CT_DELETE);
}

uint32_t xe_ct_keep(struct xe_ct *ct, const struct xe_flow_file *file, uint8_t flags)
{
	return for_entries(ct, file, flags, IPCTNL_MSG_CT_NEW);
}
