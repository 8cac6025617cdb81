/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "control/flow_adopt.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-daemon.h>

#include "base/clock.h"
#include "base/log.h"
#include "control/flow_held.h"
#include "control/flow_place.h"
#include "control/state_dir.h"

/* Records that are looked up before a worker is called with them. */
#define CHUNK 256u
/* A worker call ends after this time, less than that in which its rx rings fill: a record takes
 * some us, but up to some 5 ms where it is the first to touch a table's huge pages (34 took 260 to
 * 400 ms on a busy machine). Then the rest has a call of its own. */
#define CALL_NS (300 * 1000ull)
/* Records wait for their port as long as a UDP flow lives by default: one that comes up later
 * starts anew. */
#define WAIT_NS (300 * XE_NS_PER_SEC)
/* Worker calls for one chunk, and turns of the resolver after each: it serves 512 requests in all a
 * turn, and one worker of 16 has a sixteenth of that. A chunk whose every record takes 5 ms needs
 * 256; beyond twice that it is not to be had. */
#define TURNS_MAX 512

struct xe_adopt {
	struct xe_flow_batch *batches; /* the latest first: it knows best */
	struct xe_rule_ids ids;
};

/* ---- many of them ---- */

struct chunk {
	const struct xe_flow_batch *batch;
	uint32_t cnt;
	struct xe_flow_record *records[CHUNK];
	struct xe_adoptee adoptees[CHUNK];
	enum xe_adopted outcome[CHUNK];
	uint32_t slot[CHUNK]; /* of the session that was made */
	struct xe_tuple4 back[CHUNK];
	bool taken[CHUNK]; /* another worker has the reply tuple */
};

static void adopt_call(struct xe_worker *w, void *arg)
{
	struct chunk *c = arg;
	struct xe_lane *lane = w->lane;
	uint64_t until_ns = xe_now_ns() + CALL_NS;

	lane->rules = atomic_load_explicit(&w->rules, memory_order_acquire);
	for (uint32_t i = 0; i < c->cnt && xe_now_ns() < until_ns; i++) {
		struct xe_session *s = NULL;

		if (c->outcome[i] != XE_ADOPT_LATER)
			continue;
		c->outcome[i] = xe_adopt(lane, &c->adoptees[i], &s);
		if (!s)
			continue;
		c->slot[i] = xe_session_idx(&lane->sessions, s);
		c->back[i] = s->key[XE_DIR_BACK];
	}
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

	memset(c->taken, 0, sizeof(c->taken));
	for (uint32_t i = 0; i < c->cnt; i++)
		any_tags |= c->outcome[i] == XE_ADOPTED_TAGS;
	for (uint32_t i = 0; i < svc->worker_cnt && any_tags; i++)
		if (&svc->workers[i] != w)
			xe_worker_call(&svc->workers[i], look_call, c);
	for (uint32_t i = 0; i < c->cnt; i++)
		any_taken |= c->taken[i];
	if (any_taken)
		xe_worker_call(w, end_call, c);
}

/* A million flows take seconds, in the first of which nothing is ready yet. */
static void say_alive(void)
{
	static uint64_t said_ns;
	uint64_t now_ns = xe_now_ns();

	if (now_ns - said_ns < XE_NS_PER_SEC)
		return;
	said_ns = now_ns;
	sd_notify(0, "EXTEND_TIMEOUT_USEC=20000000\nWATCHDOG=1");
}

static bool any_later(const struct chunk *c)
{
	for (uint32_t i = 0; i < c->cnt; i++)
		if (c->outcome[i] == XE_ADOPT_LATER)
			return true;
	return false;
}

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
		counts->there++;
		break;
	case XE_ADOPT_OVER:
		counts->over++;
		break;
	default:
		counts->refused++;
	}
}

/* The chunk becomes sessions of this worker; the resolver serves what they ask for in between. */
static void adopt_chunk(struct xe_service *svc, struct xe_worker *w, struct chunk *c,
			struct xe_adopt_counts *counts)
{
	for (uint32_t i = 0; i < c->cnt; i++)
		c->outcome[i] = XE_ADOPT_LATER;
	for (int turn = 0; turn < TURNS_MAX && any_later(c); turn++) {
		xe_state_dir_grow(svc, w);
		xe_worker_call(w, adopt_call, c);
		if (!w->running && !any_later(c))
			break; /* no packet waits for what they have asked */
		xe_resolver_poll(svc);
		for (int i = 0; i < TURNS_MAX && xe_nexthops_are_behind(&w->lane->nexthops); i++)
			xe_resolver_poll(svc);
	}
	end_taken(svc, w, c);
	say_alive();
	for (uint32_t i = 0; i < c->cnt; i++) {
		if (c->outcome[i] == XE_ADOPTED_TAGS) {
			xe_held_announce(svc);
			xe_held_add(svc, w, c->slot[i], &c->back[i], c->records[i]);
			c->records[i]->flags |= XE_FR_TAGS;
		}
		xe_flow_reserve(svc, c->records[i], false);
		if (c->outcome[i] == XE_ADOPTED || c->outcome[i] == XE_ADOPTED_TAGS ||
		    c->outcome[i] == XE_ADOPT_THERE)
			c->records[i]->flags |= XE_FR_ADOPTED;
		count(counts, c->outcome[i]);
		if (c->batch->places)
			c->batch->places[c->records[i] - c->batch->file.records] =
				(struct xe_adopt_place){c->outcome[i], w->idx, c->slot[i]};
	}
	c->cnt = 0;
}

/* The records of a port of the file, which this one is; those that wait for another port, too, stay
 * in the list. */
static void adopt_list(struct xe_service *svc, struct xe_flow_batch *b, uint32_t file_port,
		       struct xe_port *port, struct chunk *c, struct xe_adopt_counts *counts)
{
	uint32_t *at = &b->head[file_port];

	c->batch = b;
	c->cnt = 0;
	while (*at != XE_NIL) {
		uint32_t i = *at;
		struct xe_flow_record *r = &b->file.records[i];
		enum xe_adopted can =
			xe_flow_place(svc, &svc->adopt->ids, b, port, r, &c->adoptees[c->cnt]);

		if (can == XE_ADOPT_LATER) {
			at = &b->next[i];
			continue;
		}
		*at = b->next[i];
		b->left--;
		if (can != XE_ADOPTED) {
			if (b->places)
				b->places[i].outcome = can;
			count(counts, can);
			xe_flow_reserve(svc, r, false);
			continue;
		}
		c->records[c->cnt++] = r;
		if (c->cnt == CHUNK)
			adopt_chunk(svc, port->owner, c, counts);
	}
	adopt_chunk(svc, port->owner, c, counts);
}

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
				    "their port: forgotten",
				    b->left);
		xe_flow_batch_free(b);
	}
}

static void adopt_waiting(struct xe_service *svc, struct xe_adopt_counts *counts)
{
	struct chunk *c = calloc(1, sizeof(*c));

	if (!c)
		return;
	xe_rule_ids_update(&svc->adopt->ids, svc->ruleset);
	for (struct xe_flow_batch *b = svc->adopt->batches; b; b = b->older) {
		xe_flow_batch_find_ports(svc, b);
		for (uint32_t i = 0; i < b->file.port_cnt; i++)
			if (b->ports[i] && b->ports[i]->state == XE_PORT_ATTACHED)
				adopt_list(svc, b, i, b->ports[i], c, counts);
	}
	free(c);
	drop_batches(svc, false);
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
	struct xe_adopt_counts mine = {};
	struct xe_flow_batch *b = xe_flow_batch_new(file);

	if (!svc->adopt)
		svc->adopt = calloc(1, sizeof(*svc->adopt));
	if (!b || !svc->adopt) {
		xe_flow_batch_free(b);
		return -ENOMEM;
	}
	mine.refused = file->record_cnt - b->left; /* they name no inside port */
	for (uint32_t i = 0; i < file->record_cnt; i++)
		file->records[i].flags &= (uint8_t)~XE_FR_ADOPTED;
	b->older = svc->adopt->batches;
	svc->adopt->batches = b;
	b->in_use = true;
	xe_flow_batch_reserve(svc, b, true);
	adopt_waiting(svc, &mine);
	for (uint32_t i = 0; i < file->record_cnt; i++)
		file->records[i].flags |= b->file.records[i].flags & (XE_FR_ADOPTED | XE_FR_TAGS);
	b->in_use = false;
	drop_batches(svc, false);
	mine.waiting = xe_adopt_waiting(svc);
	if (counts)
		*counts = mine;
	return (int)mine.adopted;
}

int xe_adopt_now(struct xe_service *svc, const struct xe_flow_file *file,
		 struct xe_adopt_place *places)
{
	struct xe_flow_batch *b = xe_flow_batch_new(file), **at;
	struct xe_adopt_counts counts = {};

	if (!svc->adopt)
		svc->adopt = calloc(1, sizeof(*svc->adopt));
	if (!b || !svc->adopt) {
		xe_flow_batch_free(b);
		return -ENOMEM;
	}
	for (uint32_t i = 0; i < file->record_cnt; i++)
		places[i] = (struct xe_adopt_place){.outcome = XE_ADOPT_LATER};
	b->places = places;
	b->in_use = true;
	b->older = svc->adopt->batches;
	svc->adopt->batches = b;
	xe_flow_batch_reserve(svc, b, true);
	adopt_waiting(svc, &counts);
	for (at = &svc->adopt->batches; *at != b;)
		at = &(*at)->older;
	*at = b->older;
	xe_flow_batch_reserve(svc, b, false);
	xe_flow_batch_free(b);
	return 0;
}

void xe_adopt_ports(struct xe_service *svc)
{
	struct xe_adopt_counts c = {};

	if (!xe_adopt_waiting(svc))
		return;
	adopt_waiting(svc, &c);
	if (c.adopted | c.there | c.over | c.refused)
		xe_log_info("%u flows go on with their mappings, %u of them by tags; %u were over, "
			    "%u could not",
			    c.adopted + c.there, c.by_tags, c.over, c.refused);
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
	if (svc->adopt)
		drop_batches(svc, false);
}

void xe_adopt_close(struct xe_service *svc)
{
	if (svc->adopt) {
		drop_batches(svc, true);
		xe_rule_ids_free(&svc->adopt->ids);
		free(svc->adopt);
		svc->adopt = NULL;
	}
	xe_held_close(svc);
}
