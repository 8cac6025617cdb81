/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "control/flow_feed.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "control/flow_held.h"
#include "control/flow_sync.h"
#include "control/state_dir.h"

/* Records that are placed before a worker is called with them: some 2 ms of its time, beside which
 * it does not count that on a busy machine each of the two threads may wait for a CPU. */
#define CHUNK 4096u
/* So long the worker is at them at a time, less than that in which its rx rings fill: a record
 * takes some 0.5 us, but up to some 5 ms where it is the first to touch a table's huge pages (34
 * took 260 to 400 ms on a busy machine). */
#define CALL_NS (300 * 1000ull)
/* Calls with one chunk, again while the worker's requests for the resolver have no room, who serves
 * 512 in between. */
#define TURNS_MAX 512
/* A session asks for two next hops at most. */
#define LISTED (2 * CHUNK)

struct chunk {
	uint32_t cnt, next; /* next: the worker is there */
	struct xe_flow_record *records[CHUNK];
	struct xe_adoptee adoptees[CHUNK];
	const struct xe_flow_batch *of[CHUNK];
	enum xe_adopted outcome[CHUNK];
	uint32_t slot[CHUNK]; /* of the session that was made */
	struct xe_tuple4 back[CHUNK];
	bool taken[CHUNK];                    /* another worker has the reply tuple */
	struct xe_adopt_place *places[CHUNK]; /* who wants to know; NULL: nobody */
	struct xe_flow_sync *sync;            /* who marks records of another host's */
	bool lists; /* else next hops are asked for as always: no packet waits for an answer */
	uint32_t listed[LISTED], listed_cnt;
};

/* A worker's part: where its lists go on, and its chunks. */
struct part {
	struct xe_worker *w;
	struct xe_flow_batch *b; /* NULL: all lists are at their end */
	uint32_t file_port;
	uint32_t *at; /* the number of the next record; NULL: before the first one */
	struct chunk *ready, *flying, *done, *spare[3];
	uint32_t spare_cnt, turns;
	uint32_t *asks; /* next hops of its sessions that have not been asked for */
	uint32_t ask_cnt, ask_size, asked;
};

struct xe_feed {
	struct xe_service *svc;
	const struct xe_rule_ids *ids;  /* of this run */
	struct xe_adopt_counts *counts; /* likewise */
	bool asks_lost;                 /* no memory to remember some */
	struct part parts[XE_MAX_WORKERS];
};

/* ---- lists ---- */

static bool is_of(const struct part *part, const struct xe_flow_batch *b, uint32_t file_port)
{
	const struct xe_port *port = b->ports[file_port];

	return port && port->state == XE_PORT_ATTACHED && port->owner == part->w && !b->asleep;
}

/* The next list of this worker's ports, of this batch or an older one. */
static bool next_list(struct part *part)
{
	uint32_t i = part->at ? part->file_port + 1 : 0;

	for (; part->b; part->b = part->b->older, i = 0) {
		for (; i < part->b->file.port_cnt; i++) {
			if (!is_of(part, part->b, i))
				continue;
			part->file_port = i;
			part->at = &part->b->head[i];
			return true;
		}
	}
	part->at = NULL;
	return false;
}

static uint32_t *next_record(struct part *part)
{
	while (!part->at || *part->at == XE_NIL)
		if (!next_list(part))
			return NULL;
	return part->at;
}

/* ---- fill ---- */

static void count(struct xe_adopt_counts *counts, enum xe_adopted outcome)
{
	switch (outcome) {
	case XE_ADOPTED_TAGS:
		counts->by_tags++;
		counts->adopted++;
		break;
	case XE_ADOPTED:
		counts->adopted++;
		break;
	case XE_ADOPT_THERE:
	case XE_ADOPT_THERE_TAGS:
		counts->there++;
		break;
	case XE_ADOPT_OVER:
		counts->over++;
		break;
	default:
		counts->refused++;
	}
}

/* Records of its ports; those that wait for another port, too, stay in the list. */
static void fill(struct xe_feed *feed, struct part *part, struct chunk *c)
{
	uint32_t *at;

	c->cnt = 0;
	while (c->cnt < CHUNK && (at = next_record(part))) {
		struct xe_flow_batch *b = part->b;
		struct xe_flow_record *r = &b->file.records[*at];
		enum xe_adopted can =
			xe_flow_place(feed->svc, feed->ids, b, b->ports[part->file_port], r,
				      &c->adoptees[c->cnt]);

		if (can == XE_ADOPT_LATER) {
			part->at = &b->next[*at];
			continue;
		}
		*at = b->next[*at];
		b->left--;
		if (can == XE_ADOPTED) {
			c->outcome[c->cnt] = XE_ADOPT_LATER;
			c->of[c->cnt] = b;
			c->places[c->cnt] = b->places ? &b->places[r - b->file.records] : NULL;
			c->records[c->cnt++] = r;
			continue;
		}
		if (b->places)
			b->places[r - b->file.records].outcome = can;
		count(feed->counts, can);
		xe_flow_reserve(feed->svc, b, r, false);
	}
}

static void fill_next(struct xe_feed *feed, struct part *part)
{
	if (part->ready || !part->spare_cnt || !next_record(part))
		return;
	part->ready = part->spare[--part->spare_cnt];
	fill(feed, part, part->ready);
	if (part->ready->cnt)
		return;
	part->spare[part->spare_cnt++] = part->ready;
	part->ready = NULL;
}

/* ---- worker calls ---- */

static void adopt_group(struct xe_lane *lane, struct chunk *c, const uint32_t *which, uint32_t cnt)
{
	const struct xe_adoptee *a[XE_ADOPT_GROUP];
	struct xe_session *made[XE_ADOPT_GROUP];
	enum xe_adopted outcome[XE_ADOPT_GROUP];

	for (uint32_t n = 0; n < cnt; n++)
		a[n] = &c->adoptees[which[n]];
	xe_adopt_group(lane, a, cnt, outcome, made);
	for (uint32_t n = 0; n < cnt; n++) {
		c->outcome[which[n]] = outcome[n];
		if (!made[n])
			continue;
		c->slot[which[n]] = xe_session_idx(&lane->sessions, made[n]);
		c->back[which[n]] = made[n]->key[XE_DIR_BACK];
		if (c->of[which[n]]->sync)
			xe_sync_made(c->sync, lane, made[n]);
	}
}

static void adopt_call(struct xe_worker *w, void *arg)
{
	struct chunk *c = arg;
	struct xe_lane *lane = w->lane;
	uint64_t until_ns = xe_now_ns() + CALL_NS;

	lane->rules = atomic_load_explicit(&w->rules, memory_order_acquire);
	lane->nexthops.listed = c->lists ? c->listed : NULL;
	lane->nexthops.listed_size = LISTED;
	lane->nexthops.listed_cnt = c->listed_cnt;
	do {
		uint32_t which[XE_ADOPT_GROUP], cnt = 0;

		for (; c->next < c->cnt && cnt < XE_ADOPT_GROUP; c->next++)
			if (c->outcome[c->next] == XE_ADOPT_LATER)
				which[cnt++] = c->next;
		adopt_group(lane, c, which, cnt);
	} while (c->next < c->cnt && xe_now_ns() < until_ns);
	c->listed_cnt = lane->nexthops.listed_cnt;
	lane->nexthops.listed = NULL;
	w->call.again = c->next < c->cnt;
}

/* Two workers must not have one reply tuple: only the owner of a block can tell that by itself. */
static void look_call(struct xe_worker *w, void *arg)
{
	struct chunk *c = arg;

	for (uint32_t i = 0; i < c->cnt; i++)
		if (c->outcome[i] == XE_ADOPTED_TAGS)
			c->taken[i] |= xe_adopt_is_taken(w->lane, c->records[i]);
}

static void end_call(struct xe_worker *w, void *arg)
{
	struct chunk *c = arg;

	for (uint32_t i = 0; i < c->cnt; i++) {
		struct xe_session *s = &w->lane->sessions.slots[c->slot[i]];

		if (!c->taken[i] || !xe_tuple4_equal(&s->key[XE_DIR_BACK], &c->back[i]))
			continue;
		xe_flow_end(w->lane, s);
		c->outcome[i] = XE_ADOPT_CLASH;
	}
}

static void end_taken(struct xe_service *svc, struct xe_worker *w, struct chunk *c)
{
	bool any_tags = false, any_taken = false;

	for (uint32_t i = 0; i < c->cnt; i++)
		any_tags |= c->outcome[i] == XE_ADOPTED_TAGS;
	if (!any_tags)
		return;
	memset(c->taken, 0, sizeof(c->taken));
	for (uint32_t i = 0; i < svc->worker_cnt; i++)
		if (&svc->workers[i] != w)
			xe_worker_call(&svc->workers[i], look_call, c);
	for (uint32_t i = 0; i < c->cnt; i++)
		any_taken |= c->taken[i];
	if (any_taken)
		xe_worker_call(w, end_call, c);
}

/* ---- settle ---- */

/* Flags of a record whose flow has a session here. */
static uint8_t carried(enum xe_adopted outcome)
{
	switch (outcome) {
	case XE_ADOPTED:
	case XE_ADOPT_THERE:
		return XE_FR_ADOPTED;
	case XE_ADOPTED_TAGS:
	case XE_ADOPT_THERE_TAGS:
		return XE_FR_ADOPTED | XE_FR_TAGS;
	default:
		return 0;
	}
}

/* What has become of the records. */
static void settle(struct xe_feed *feed, struct part *part)
{
	struct xe_service *svc = feed->svc;
	struct chunk *c = part->done;

	for (uint32_t i = 0; i < c->cnt; i++) {
		struct xe_flow_record *r = c->records[i];

		if (c->outcome[i] == XE_ADOPTED_TAGS) {
			xe_held_announce(svc);
			xe_held_add(svc, part->w, c->slot[i], &c->back[i], r);
		}
		xe_flow_reserve(svc, c->of[i], r, false);
		r->flags |= carried(c->outcome[i]);
		count(feed->counts, c->outcome[i]);
		if (c->places[i])
			*c->places[i] =
				(struct xe_adopt_place){c->outcome[i], part->w->idx, c->slot[i]};
	}
	part->spare[part->spare_cnt++] = c;
	part->done = NULL;
}

/* Known from now on, before anything else of this worker is served; asked for later. */
static void list_hops(struct xe_feed *feed, struct part *part)
{
	struct chunk *c = part->flying;
	uint32_t size = part->ask_size ? part->ask_size : LISTED;
	uint32_t *asks;

	xe_resolver_list(feed->svc, part->w->idx, c->listed, c->listed_cnt);
	while (size < part->ask_cnt + c->listed_cnt)
		size *= 2;
	if (size > part->ask_size) {
		asks = realloc(part->asks, size * sizeof(*asks));
		feed->asks_lost |= !asks;
		if (!asks)
			return;
		part->asks = asks;
		part->ask_size = size;
	}
	memcpy(part->asks + part->ask_cnt, c->listed, c->listed_cnt * sizeof(*c->listed));
	part->ask_cnt += c->listed_cnt;
}

static bool any_later(const struct chunk *c)
{
	for (uint32_t i = 0; i < c->cnt; i++)
		if (c->outcome[i] == XE_ADOPT_LATER)
			return true;
	return false;
}

/* The call has ended: is that chunk done? */
static void land(struct xe_feed *feed, struct part *part)
{
	if (any_later(part->flying) && ++part->turns < TURNS_MAX)
		return; /* it flies again */
	part->turns = 0;
	end_taken(feed->svc, part->w, part->flying);
	part->done = part->flying;
	part->flying = NULL;
}

/* ---- a pass ---- */

/* A million flows take a second, in which nothing is ready yet at the start. */
static void say_alive(const struct xe_service *svc)
{
	static uint64_t said_ns;
	uint64_t now_ns = xe_now_ns();

	if (now_ns - said_ns < XE_NS_PER_SEC)
		return;
	said_ns = now_ns;
	xe_watchdog_alive(&svc->watchdog);
}

#define for_each_part(part, feed)                                                                  \
	for (struct part *part = (feed)->parts; part < (feed)->parts + (feed)->svc->worker_cnt;    \
	     part++)

/* One call of each worker, and what is done beside them. False: nothing is under way any more. */
static bool fly(struct xe_feed *feed, bool more)
{
	bool any = false, served = false;

	for_each_part(part, feed)
	{
		if (!part->flying) {
			part->flying = part->ready;
			part->ready = NULL;
		}
		if (!part->flying)
			continue;
		part->flying->next = part->flying->listed_cnt = 0;
		part->flying->lists = part->w->running;
		part->flying->sync = feed->svc->sync;
		xe_worker_call_begin(part->w, adopt_call, part->flying);
	}
	for_each_part(part, feed)
	{
		if (part->done)
			settle(feed, part);
		if (more)
			fill_next(feed, part);
		if (part->flying)
			xe_state_dir_grow(feed->svc, part->w);
	}
	for_each_part(part, feed)
	{
		if (!part->flying)
			continue;
		xe_worker_call_end(part->w);
		list_hops(feed, part);
	}
	for_each_part(part, feed)
	{
		if (part->flying)
			land(feed, part);
		served |= part->w->running || part->flying;
		any |= part->ready || part->flying || part->done;
	}
	say_alive(feed->svc);
	if (served)
		xe_resolver_poll(feed->svc);
	return any;
}

/* Each end of a run costs: what flies then has nothing beside it, and the next run begins with
 * nothing to fly. */
static bool goes_on(const struct xe_feed *feed, struct xe_feed_span span)
{
	return xe_now_ns() < span.until_ns || (span.idle && !xe_service_has_events(feed->svc));
}

bool xe_feed_run(struct xe_feed *feed, const struct xe_rule_ids *ids, struct xe_feed_span span,
		 struct xe_adopt_counts *counts)
{
	bool left = false;

	feed->ids = ids;
	feed->counts = counts;
	while (fly(feed, goes_on(feed, span)))
		;
	for_each_part(part, feed) left |= next_record(part) != NULL;
	return !left;
}

bool xe_feed_ask(struct xe_feed *feed, uint64_t until_ns)
{
	bool all = !feed->asks_lost;

	for_each_part(part, feed)
	{
		if (part->asks) /* NULL without one */
			part->asked +=
				xe_resolver_ask(feed->svc, part->w->idx, part->asks + part->asked,
						part->ask_cnt - part->asked, until_ns);
		all &= part->asked == part->ask_cnt;
	}
	return all;
}

/* ---- */

static bool open_part(struct part *part, struct xe_worker *w, struct xe_flow_batch *batches)
{
	part->w = w;
	part->b = batches;
	if (!next_record(part))
		return true; /* it has nothing to do */
	for (; part->spare_cnt < 3; part->spare_cnt++) {
		part->spare[part->spare_cnt] = malloc(sizeof(struct chunk));
		if (!part->spare[part->spare_cnt])
			return false;
	}
	return true;
}

struct xe_feed *xe_feed_open(struct xe_service *svc, struct xe_flow_batch *batches)
{
	struct xe_feed *feed = calloc(1, sizeof(*feed));
	bool ok = feed;

	for (struct xe_flow_batch *b = batches; b; b = b->older)
		xe_flow_batch_look(svc, b);
	if (feed)
		feed->svc = svc;
	for (uint32_t i = 0; i < svc->worker_cnt && ok; i++)
		ok = open_part(&feed->parts[i], &svc->workers[i], batches);
	if (ok)
		return feed;
	xe_feed_close(feed);
	return NULL;
}

void xe_feed_close(struct xe_feed *feed)
{
	if (!feed)
		return;
	for_each_part(part, feed)
	{
		while (part->spare_cnt)
			free(part->spare[--part->spare_cnt]);
		free(part->asks);
	}
	free(feed);
}
