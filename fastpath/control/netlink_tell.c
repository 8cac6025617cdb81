/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * netlink_tell.c - the other end of the mirror: queued objects against what was told last, ops
 * called, removed objects freed. See netlink_mirror.h.
 *
 * Ops may look things up and ask the kernel, neither of which changes tables or queues.
 */
#include <stdlib.h>
#include <string.h>

#include "control/netlink_mirror.h"

/* Frees the object when it is gone. */
static void tell_addr(struct xe_mirror_addr *addr, const struct xe_netlink_ops *ops, void *ctx)
{
	bool added = !addr->mark.told;

	addr->mark.queued = false;
	if (addr->mark.gone) {
		if (addr->mark.told && ops->addr)
			ops->addr(ctx, &addr->was, XE_NL_REMOVED);
		free(addr);
		return;
	}
	if (!added && !memcmp(&addr->now, &addr->was, sizeof(addr->now)))
		return;
	memcpy(&addr->was, &addr->now, sizeof(addr->was));
	addr->mark.told = true;
	if (ops->addr)
		ops->addr(ctx, &addr->now, added ? XE_NL_ADDED : XE_NL_CHANGED);
}

static void tell_neigh(struct xe_mirror_neigh *neigh, const struct xe_netlink_ops *ops, void *ctx)
{
	struct xe_neigh none = {.ifindex = neigh->now.ifindex, .addr = neigh->now.addr};
	bool added = !neigh->mark.told;

	neigh->mark.queued = false;
	if (neigh->mark.gone) {
		if (neigh->mark.told && ops->neigh)
			ops->neigh(ctx, &none, XE_NL_REMOVED);
		free(neigh);
		return;
	}
	if (!added && !memcmp(&neigh->now, &neigh->was, sizeof(neigh->now)))
		return;
	memcpy(&neigh->was, &neigh->now, sizeof(neigh->was));
	neigh->mark.told = true;
	if (ops->neigh)
		ops->neigh(ctx, &neigh->now, added ? XE_NL_ADDED : XE_NL_CHANGED);
}

/* Members answer to their master's MAC: have them told too. */
static void poke_members(struct xe_mirror *m, int master_ifindex)
{
	struct xe_mirror_link *link;

	TAILQ_FOREACH(link, &m->links, order)
	{
		if (link->now.master_ifindex != master_ifindex)
			continue;
		link->poke = true;
		if (!link->mark.queued) {
			link->mark.queued = true;
			TAILQ_INSERT_TAIL(&m->link_queue, link, queue);
		}
	}
}

static void tell_link(struct xe_mirror *m, struct xe_mirror_link *link,
		      const struct xe_netlink_ops *ops, void *ctx)
{
	struct xe_link was;
	bool added = !link->mark.told, poke = link->poke;

	link->mark.queued = false;
	link->poke = false;
	if (link->mark.gone) {
		if (link->mark.told && ops->link)
			ops->link(ctx, &link->was, &link->was, XE_NL_REMOVED);
		free(link);
		return;
	}
	memcpy(&was, &link->was, sizeof(was));
	if (!added && !poke && !memcmp(&link->now, &was, sizeof(was)))
		return;
	memcpy(&link->was, &link->now, sizeof(link->was));
	link->mark.told = true;
	if (!added && memcmp(link->now.mac, was.mac, sizeof(was.mac)))
		poke_members(m, link->now.ifindex);
	if (ops->link)
		ops->link(ctx, &link->now, added ? NULL : &was,
			  added ? XE_NL_ADDED : XE_NL_CHANGED);
}

static void tell_gone(struct xe_mirror *m, const struct xe_netlink_ops *ops, void *ctx)
{
	struct xe_mirror_neigh *neigh, *next_neigh;
	struct xe_mirror_addr *addr, *next_addr;
	struct xe_mirror_link *link, *next_link;

	for (neigh = TAILQ_FIRST(&m->neigh_queue); neigh; neigh = next_neigh) {
		next_neigh = TAILQ_NEXT(neigh, queue);
		if (neigh->mark.gone) {
			TAILQ_REMOVE(&m->neigh_queue, neigh, queue);
			tell_neigh(neigh, ops, ctx);
		}
	}
	for (addr = TAILQ_FIRST(&m->addr_queue); addr; addr = next_addr) {
		next_addr = TAILQ_NEXT(addr, queue);
		if (addr->mark.gone) {
			TAILQ_REMOVE(&m->addr_queue, addr, queue);
			tell_addr(addr, ops, ctx);
		}
	}
	for (link = TAILQ_FIRST(&m->link_queue); link; link = next_link) {
		next_link = TAILQ_NEXT(link, queue);
		if (link->mark.gone) {
			TAILQ_REMOVE(&m->link_queue, link, queue);
			tell_link(m, link, ops, ctx);
		}
	}
}

void xe_mirror_tell(struct xe_mirror *m, const struct xe_netlink_ops *ops, void *ctx)
{
	struct xe_mirror_neigh *neigh;
	struct xe_mirror_addr *addr;
	struct xe_mirror_link *link;

	tell_gone(m, ops, ctx);
	/* Telling a link may queue others behind it. */
	while ((link = TAILQ_FIRST(&m->link_queue))) {
		TAILQ_REMOVE(&m->link_queue, link, queue);
		tell_link(m, link, ops, ctx);
	}
	while ((addr = TAILQ_FIRST(&m->addr_queue))) {
		TAILQ_REMOVE(&m->addr_queue, addr, queue);
		tell_addr(addr, ops, ctx);
	}
	while ((neigh = TAILQ_FIRST(&m->neigh_queue))) {
		TAILQ_REMOVE(&m->neigh_queue, neigh, queue);
		tell_neigh(neigh, ops, ctx);
	}
	if (m->routes_changed) {
		m->routes_changed = false;
		if (ops->routes)
			ops->routes(ctx);
	}
	if (ops->settled)
		ops->settled(ctx);
}

void xe_mirror_free(struct xe_mirror *m)
{
	static const struct xe_netlink_ops deaf;

	/* A generation that saw nothing: everything goes, and nobody hears of it. */
	xe_mirror_dump_begin(m);
	xe_mirror_dump_end(m);
	xe_mirror_tell(m, &deaf, NULL);
}
