/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * ext_addr.c - external addresses: each in use has an index, by which sessions, answers, rules and
 * the `owned` map name it. Control thread only.
 *
 * An index is given back only when another address needs one and none is free. Then those are found
 * that nothing uses any more: no rule in force or being compiled, no next-hop answer, and no
 * session, which is to say no owned L4 port. So nobody has to count uses, and a rule set that was
 * refused leaves nothing behind.
 */
#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "control/flow_adopt.h"
#include "control/service.h"

/* With all in use every flow to one more address comes here: a look at 16 MiB of `owned` once a
 * second is enough for that. */
#define COLLECT_NS (1 * XE_NS_PER_SEC)

/* No address, both families: a free place. */
static const struct xe_addr no_addr;

static uint32_t find(const struct xe_service *svc, const struct xe_addr *addr)
{
	for (uint32_t i = 0; i < XE_MAX_EXT_ADDRS; i++)
		if (!memcmp(&svc->ext_addrs[i], addr, sizeof(*addr)))
			return i;
	return XE_NIL;
}

/* ---- giving back ---- */

static void mark_rules(const struct xe_ruleset *rs, bool *used)
{
	const struct xe_nat_range *ranges = rs ? rs->attach : NULL;

	for (uint32_t i = 0; ranges && i < rs->rule_cnt; i++)
		for (uint32_t a = 0; ranges[i].ext && a < ranges[i].ext_cnt; a++)
			if (ranges[i].ext[a] < XE_MAX_EXT_ADDRS)
				used[ranges[i].ext[a]] = true;
}

/* A worker between two rounds has no flow half made. */
static void nothing(struct xe_worker *w, void *arg)
{
	(void)w;
	(void)arg;
}

static bool is_owned(const struct xe_service *svc, uint32_t ext)
{
	const uint64_t *words = &svc->steer.owned[xe_owned_idx(ext, 0, 0)]; /* TCP's, then UDP's */

	for (uint32_t i = 0; i < 2 * XE_OWNED_WORDS; i++)
		if (__atomic_load_n(&words[i], __ATOMIC_RELAXED))
			return true;
	return false;
}

/* Free what nothing uses. Returns one of them, XE_NIL: there is none. */
static uint32_t collect(struct xe_service *svc)
{
	bool used[XE_MAX_EXT_ADDRS] = {};
	uint32_t any = XE_NIL;

	mark_rules(svc->ruleset, used);
	mark_rules(svc->ruleset_next, used);
	if (svc->resolver)
		xe_resolver_mark_exts(svc, used);
	/* From here on no worker can begin to use what is not marked. */
	for (uint32_t w = 0; w < svc->worker_cnt; w++)
		xe_worker_call(&svc->workers[w], nothing, NULL);
	for (uint32_t i = 0; i < XE_MAX_EXT_ADDRS; i++) {
		if (used[i] || is_owned(svc, i))
			continue;
		xe_steer_del_ext(&svc->steer, &svc->ext_addrs[i]);
		svc->ext_addrs[i] = no_addr;
		any = i;
	}
	return any;
}

static uint32_t free_ext(struct xe_service *svc)
{
	uint32_t ext = find(svc, &no_addr);
	uint64_t now_ns = xe_now_ns();

	if (ext != XE_NIL)
		return ext;
	if (svc->ext_full_ns && now_ns - svc->ext_full_ns < COLLECT_NS && !svc->ruleset_next)
		return XE_NIL;
	ext = collect(svc);
	if (ext == XE_NIL && !svc->ext_full_ns)
		xe_log_err("more than %u external addresses are in use", XE_MAX_EXT_ADDRS);
	svc->ext_full_ns = ext == XE_NIL ? now_ns : 0;
	return ext;
}

/* ---- giving out ---- */

struct add_ext {
	uint32_t ext;
	const struct xe_addr *addr;
	int err;
};

static void add_ext(struct xe_worker *w, void *arg)
{
	struct add_ext *a = arg;

	a->err = xe_natpool_add_ext(&w->lane->pool, a->ext, a->addr);
}

uint32_t xe_ext_get(struct xe_service *svc, const struct xe_addr *addr)
{
	struct add_ext a = {.addr = addr};

	a.ext = find(svc, addr);
	if (a.ext != XE_NIL)
		return a.ext;
	a.ext = free_ext(svc);
	if (a.ext == XE_NIL)
		return XE_NIL;
	for (uint32_t w = 0; w < svc->worker_cnt && !a.err; w++)
		xe_worker_call(&svc->workers[w], add_ext, &a);
	if (a.err || xe_steer_set_ext(&svc->steer, addr, a.ext)) {
		xe_log_err("external address cannot be used: out of memory");
		return XE_NIL;
	}
	svc->ext_addrs[a.ext] = *addr;
	return a.ext;
}

/* ---- leaving ---- */

static void address_left(struct xe_service *svc, uint32_t ext, const struct xe_addr *addr)
{
	uint32_t ended;

	/* Answers first: what the worker makes from now on is without it. */
	if (ext != XE_NIL)
		xe_resolver_forget_ext(svc, ext);
	ended = xe_flows_flush_masquerade(svc, ext, addr);
	xe_resolver_refresh(svc);
	if (ended)
		xe_log_info("%u flows masqueraded to an address that has left the host are ended",
			    ended);
}

void xe_ext_addr_event(struct xe_service *svc, const struct xe_ifaddr *addr, enum xe_nl_event event)
{
	uint32_t ext;

	if (svc->resolver && event == XE_NL_ADDED)
		xe_adopt_addr_came(svc, &addr->local);
	if (event != XE_NL_REMOVED || !svc->resolver ||
	    xe_netlink_has_addr(svc->netlink, &addr->local))
		return;
	ext = find(svc, &addr->local);
	if (ext != XE_NIL || svc->held_flows)
		address_left(svc, ext, &addr->local);
}

void xe_ext_addrs_catch_up(struct xe_service *svc)
{
	for (uint32_t i = 0; i < XE_MAX_EXT_ADDRS; i++)
		if (memcmp(&svc->ext_addrs[i], &no_addr, sizeof(no_addr)) &&
		    !xe_netlink_has_addr(svc->netlink, &svc->ext_addrs[i]))
			address_left(svc, i, &svc->ext_addrs[i]);
	xe_adopt_addr_came(svc, NULL);
}
