/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "control/flow_adopt.h"

#include <errno.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "control/flow_feed.h"
#include "control/flow_held.h"
#include "control/port_attach.h"
#include "control/watch.h"

/* When ports come up, what can be adopted in this time is, before they go live; the rest follows
 * while they take the packets of flows that are there, and of no others. 20 ms are 30,000 flows on
 * a quiet machine: of those no packet finds the kernel instead. */
#define FIRST_NS (20 * XE_NS_PER_MS)
/* A turn of the rest, in the event loop; longer while that has nothing else to do, which it has
 * ten times a second at least. */
#define TURN_NS (5 * XE_NS_PER_MS)
/* Next hops that are asked for at once, before the first packets of some hundred flows would wait
 * for them: 10 us each. */
#define ASK_NS (20 * XE_NS_PER_MS)
/* Records wait for their port as long as a UDP flow lives by default: one that comes up later
 * starts anew. */
#define WAIT_NS (300 * XE_NS_PER_SEC)

static const struct xe_feed_span to_the_end = {.until_ns = UINT64_MAX};

struct xe_adopt {
	struct xe_flow_batch *batches; /* the latest first: it knows best */
	struct xe_rule_ids ids;
	bool busy;                     /* a pass goes on in turns */
	bool ended;                    /* it did by xe_adopt_finish(): the next turn says so */
	struct xe_feed *feed;          /* it, NULL: to be begun (again) */
	struct xe_adopt_counts counts; /* of that pass */
	uint64_t since_ns;
};

static void drop_batches(struct xe_service *svc, bool all)
{
	struct xe_flow_batch **at = &svc->adopt->batches;

	while (*at) {
		struct xe_flow_batch *b = *at;

		if (!all && (b->in_use || (b->left && xe_now_ns() - b->since_ns < WAIT_NS))) {
			at = &b->older;
			continue;
		}
		*at = b->older;
		xe_flow_batch_reserve(svc, b, false);
		if (b->left && !all)
			xe_log_info("%u flows that were to be taken over have waited in vain for "
				    "their %s: forgotten",
				    b->left, b->sync ? "port or address" : "port");
		xe_flow_batch_free(b);
	}
}

static void close_feed(struct xe_adopt *ad)
{
	xe_feed_close(ad->feed);
	ad->feed = NULL;
}

/* The pass goes on, or begins; true: it is at its end, or out of memory, and next hops have been
 * asked for. */
static bool pass(struct xe_service *svc, struct xe_feed_span span, struct xe_adopt_counts *counts)
{
	struct xe_adopt *ad = svc->adopt;

	xe_rule_ids_update(&ad->ids, svc->ruleset);
	if (!ad->feed)
		ad->feed = xe_feed_open(svc, ad->batches);
	if (ad->feed && !xe_feed_run(ad->feed, &ad->ids, span, counts))
		return false;
	if (ad->feed && !xe_feed_ask(ad->feed, xe_now_ns() + ASK_NS))
		xe_resolver_refresh(svc);
	close_feed(ad);
	for (struct xe_flow_batch *b = ad->batches; b; b = b->older)
		if (!b->asleep)
			xe_flow_batch_sleep(b);
	drop_batches(svc, false);
	return true;
}

static void say(const struct xe_adopt *ad)
{
	const struct xe_adopt_counts *c = &ad->counts;

	if (c->adopted | c->there | c->over | c->refused)
		xe_log_info("%u flows go on with their mappings, %u of them by tags; %u were over, "
			    "%u could not (%u ms)",
			    c->adopted + c->there, c->by_tags, c->over, c->refused,
			    (uint32_t)((xe_now_ns() - ad->since_ns) / XE_NS_PER_MS));
}

static bool open_adopt(struct xe_service *svc)
{
	if (!svc->adopt)
		svc->adopt = calloc(1, sizeof(*svc->adopt));
	return svc->adopt;
}

/* The pass begins anew. What it has made sessions of by now is in no list any more. */
static void give_up_feed(struct xe_service *svc)
{
	if (svc->adopt->feed && !xe_feed_ask(svc->adopt->feed, xe_now_ns()))
		xe_resolver_refresh(svc);
	close_feed(svc->adopt);
}

static void add_batch(struct xe_service *svc, struct xe_flow_batch *b)
{
	give_up_feed(svc);
	b->older = svc->adopt->batches;
	svc->adopt->batches = b;
	xe_flow_batch_reserve(svc, b, true);
}

/* ---- the interface ---- */

uint32_t xe_adopt_waiting(const struct xe_service *svc)
{
	uint32_t cnt = 0;

	if (svc->adopt)
		for (const struct xe_flow_batch *b = svc->adopt->batches; b; b = b->older)
			cnt += b->left;
	return cnt;
}

int xe_adopt_add(struct xe_service *svc, struct xe_flow_file *file, struct xe_adopt_counts *counts)
{
	struct xe_flow_batch *b = xe_flow_batch_new(file, true);
	struct xe_adopt_counts mine = {};

	if (!b || !open_adopt(svc)) {
		xe_flow_batch_free(b);
		return -ENOMEM;
	}
	mine.refused = file->record_cnt - b->left; /* they name no inside port */
	for (uint32_t i = 0; i < file->record_cnt; i++)
		file->records[i].flags &= (uint8_t)~XE_FR_ADOPTED;
	b->in_use = true;
	add_batch(svc, b);
	pass(svc, to_the_end, &mine);
	for (uint32_t i = 0; i < file->record_cnt; i++)
		file->records[i].flags |= b->file.records[i].flags & (XE_FR_ADOPTED | XE_FR_TAGS);
	b->in_use = false;
	drop_batches(svc, false);
	mine.waiting = xe_adopt_waiting(svc);
	if (counts)
		*counts = mine;
	return (int)mine.adopted;
}

int xe_adopt_batch(struct xe_service *svc, struct xe_flow_batch *b, struct xe_adopt_counts *counts)
{
	if (!open_adopt(svc))
		return -ENOMEM;
	add_batch(svc, b);
	pass(svc, to_the_end, counts);
	counts->waiting = xe_adopt_waiting(svc);
	return 0;
}

void xe_adopt_drop_synced(struct xe_service *svc)
{
	struct xe_flow_batch **at = svc->adopt ? &svc->adopt->batches : NULL;

	if (at)
		close_feed(svc->adopt);
	while (at && *at) {
		struct xe_flow_batch *b = *at;

		if (b->sync) {
			*at = b->older;
			xe_flow_batch_free(b);
		} else {
			at = &b->older;
		}
	}
}

const struct xe_rule_ids *xe_adopt_rule_ids(struct xe_service *svc)
{
	if (!open_adopt(svc))
		return NULL;
	xe_rule_ids_update(&svc->adopt->ids, svc->ruleset);
	return &svc->adopt->ids;
}

/* Many of them take a while: until all are here only packets of those that are are taken. */
static void take_known_only(struct xe_service *svc)
{
	for (struct xe_port *p = svc->port_list; p; p = p->next) {
		const struct xe_link *link = xe_netlink_link(svc->netlink, p->ifindex);

		if (p->state != XE_PORT_ATTACHED || !p->live || !link)
			continue;
		p->moving = true;
		xe_port_tell_steer(svc, p, link);
	}
}

void xe_adopt_addr_came(struct xe_service *svc, const struct xe_addr *addr)
{
	bool any = false;

	for (struct xe_flow_batch *b = svc->adopt ? svc->adopt->batches : NULL; b; b = b->older) {
		if (!xe_flow_batch_wants(b, addr))
			continue;
		any = true;
		b->asleep = false;
	}
	if (any && !xe_adopt_ports(svc))
		take_known_only(svc);
}

int xe_adopt_now(struct xe_service *svc, struct xe_flow_file *file, struct xe_adopt_place *places)
{
	struct xe_flow_batch *b = xe_flow_batch_new(file, true), **at;
	struct xe_adopt_counts counts = {};

	if (!b || !open_adopt(svc)) {
		xe_flow_batch_free(b);
		return -ENOMEM;
	}
	for (uint32_t i = 0; i < file->record_cnt; i++)
		places[i] = (struct xe_adopt_place){.outcome = XE_ADOPT_LATER};
	b->places = places;
	b->in_use = true;
	add_batch(svc, b);
	pass(svc, to_the_end, &counts);
	for (at = &svc->adopt->batches; *at != b;)
		at = &(*at)->older;
	*at = b->older;
	xe_flow_batch_reserve(svc, b, false);
	xe_flow_batch_free(b);
	return 0;
}

int xe_adopt_wait(struct xe_service *svc, struct xe_flow_batch *b)
{
	if (!open_adopt(svc))
		return -ENOMEM;
	add_batch(svc, b);
	return 0;
}

static bool turn(struct xe_service *svc, struct xe_feed_span span)
{
	struct xe_adopt *ad = svc->adopt;

	ad->busy = !pass(svc, span, &ad->counts);
	if (!ad->busy)
		say(ad);
	return !ad->busy;
}

bool xe_adopt_ports(struct xe_service *svc)
{
	struct xe_adopt *ad = svc->adopt;

	if (!xe_adopt_waiting(svc))
		return !xe_adopt_is_busy(svc);
	if (!ad->busy) {
		ad->counts = (struct xe_adopt_counts){};
		ad->since_ns = xe_now_ns();
	}
	give_up_feed(svc); /* with the ports that there are now */
	return turn(svc, (struct xe_feed_span){.until_ns = xe_now_ns() + FIRST_NS});
}

bool xe_adopt_is_busy(const struct xe_service *svc)
{
	return svc->adopt && svc->adopt->busy;
}

bool xe_adopt_turn(struct xe_service *svc)
{
	if (svc->adopt && svc->adopt->ended) {
		svc->adopt->ended = false;
		return true;
	}
	return xe_adopt_is_busy(svc) && !xe_watch_stalled(svc) &&
	       turn(svc, (struct xe_feed_span){.until_ns = xe_now_ns() + TURN_NS, .idle = true});
}

void xe_adopt_finish(struct xe_service *svc)
{
	if (xe_adopt_is_busy(svc))
		svc->adopt->ended = turn(svc, to_the_end);
}

void xe_adopt_ports_change(struct xe_service *svc)
{
	if (svc->adopt)
		give_up_feed(svc);
}

struct xe_worker *xe_adopt_owner(struct xe_service *svc, const struct xe_port *port)
{
	const struct xe_flow_batch *b = svc->adopt ? svc->adopt->batches : NULL;

	for (; b; b = b->older) {
		for (uint32_t i = 0; i < b->file.port_cnt; i++) {
			const struct xe_flow_port *fp = &b->file.ports[i];

			if (fp->worker && fp->worker_cnt == svc->worker_cnt &&
			    fp->worker <= svc->worker_cnt && xe_flow_batch_is_port(b, i, port))
				return &svc->workers[fp->worker - 1];
		}
	}
	return NULL;
}

void xe_adopt_tick(struct xe_service *svc)
{
	xe_held_tick(svc);
	if (svc->adopt && !svc->adopt->busy)
		drop_batches(svc, false);
}

void xe_adopt_close(struct xe_service *svc)
{
	if (svc->adopt) {
		close_feed(svc->adopt);
		drop_batches(svc, true);
		xe_rule_ids_free(&svc->adopt->ids);
		free(svc->adopt);
		svc->adopt = NULL;
	}
	xe_held_close(svc);
}
