/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "control/flow_sync.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "control/flow_place.h"
#include "control/flow_walk.h"
#include "pipeline/pipeline.h"
#include "state/tcp_track.h"

/* A session that had a packet so shortly ago is carried here: the clock of its last packet counts
 * whole seconds, so less than this may be none at all. */
#define LIVE_S 2
/* Records that are looked up in one worker call: some 200 us, less than the time in which rx rings
 * fill. */
#define CHUNK 512u
/* Marks looked at in one: 256 KiB to read. */
#define MARKS 16384u

/* A session that a file has brought, by its slot. */
struct mark {
	uint32_t created_s; /* with these two: who it is */
	uint32_t who;
	uint32_t packets; /* of both directions, as the file had them */
	uint32_t round;   /* of the last file that had it; 0: none */
};

struct xe_flow_sync {
	struct mark *marks[XE_MAX_WORKERS]; /* by slot; paid for as it is touched */
	uint32_t mark_cnt[XE_MAX_WORKERS];
	uint32_t round; /* of the last file, from 1 */
};

/* ---- marks ---- */

void xe_sync_close(struct xe_service *svc)
{
	struct xe_flow_sync *sync = svc->sync;

	if (!sync)
		return;
	for (uint32_t w = 0; w < XE_MAX_WORKERS; w++)
		if (sync->marks[w])
			munmap(sync->marks[w], sync->mark_cnt[w] * sizeof(struct mark));
	free(sync);
	svc->sync = NULL;
}

static int open_sync(struct xe_service *svc)
{
	if (!svc->sync)
		svc->sync = calloc(1, sizeof(*svc->sync));
	for (uint32_t w = 0; svc->sync && w < svc->worker_cnt; w++) {
		uint32_t cnt = svc->workers[w].lane->sessions.capacity;
		void *m;

		if (svc->sync->marks[w])
			continue;
		m = mmap(NULL, cnt * sizeof(struct mark), PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		if (m == MAP_FAILED)
			return -ENOMEM;
		svc->sync->marks[w] = m;
		svc->sync->mark_cnt[w] = cnt;
	}
	return svc->sync ? 0 : -ENOMEM;
}

static struct mark mark_of(const struct xe_session *s, uint32_t round)
{
	const struct xe_tuple4 *out = &s->key[XE_DIR_OUT], *back = &s->key[XE_DIR_BACK];

	return (struct mark){
		.created_s = s->created_s,
		.who = out->src_be ^ out->dst_be << 1 ^ back->dst_be << 2 ^
		       ((uint32_t)out->sport_be << 16 | back->dport_be) ^ out->proto,
		.packets = (uint32_t)(xe_session_packets(s, XE_DIR_OUT) +
				      xe_session_packets(s, XE_DIR_BACK)),
		.round = round,
	};
}

/* Is the session what the file made it, and has no packet of it passed here since? */
static bool is_marked(const struct mark *mark, const struct xe_session *s)
{
	struct mark now = mark_of(s, mark->round);

	return mark->round && s->key[XE_DIR_OUT].proto && !memcmp(mark, &now, sizeof(now));
}

void xe_sync_made(struct xe_flow_sync *sync, const struct xe_lane *lane, const struct xe_session *s)
{
	sync->marks[lane->worker][xe_session_idx(&lane->sessions, s)] = mark_of(s, sync->round);
}

/* ---- what the file has, and is there ---- */

struct look {
	struct mark *marks;
	uint32_t round, cnt;
	uint32_t which[CHUNK]; /* records */
	struct xe_adoptee adoptees[CHUNK];
	enum xe_adopted outcome[CHUNK];
	bool updated[CHUNK];
};

/* Whoever had the flow's last packet knows how it stands, however many he has counted. */
static bool knows_more(const struct xe_lane *lane, const struct xe_adoptee *a,
		       const struct xe_session *s)
{
	const struct xe_flow_record *r = a->record;
	uint64_t out = xe_session_packets(s, XE_DIR_OUT), back = xe_session_packets(s, XE_DIR_BACK);

	return r->packets[XE_DIR_OUT] >= out && r->packets[XE_DIR_BACK] >= back &&
	       r->packets[XE_DIR_OUT] - out + r->packets[XE_DIR_BACK] - back &&
	       lane->now_s - s->last_used_s >= a->idle_s + LIVE_S;
}

static void look_one(struct xe_lane *lane, struct look *look, uint32_t i)
{
	const struct xe_adoptee *a = &look->adoptees[i];
	struct xe_flow_record now = *a->record;
	struct xe_session *s = NULL;
	struct mark *mark;

	look->updated[i] = false;
	look->outcome[i] = xe_adopt_find(lane, a, &s);
	if (look->outcome[i] == XE_ADOPT_THERE_TAGS)
		look->outcome[i] = XE_ADOPT_THERE;
	if (look->outcome[i] != XE_ADOPT_THERE)
		return;
	mark = &look->marks[xe_session_idx(&lane->sessions, s)];
	if (!is_marked(mark, s) && !knows_more(lane, a, s))
		return;
	now.idle_s = a->idle_s;
	if (xe_adopt_go_on(lane, s, &now, a->out_port)) {
		look->updated[i] = true;
		*mark = mark_of(s, look->round);
	} else if (is_marked(mark, s)) {
		look->outcome[i] = XE_ADOPT_CLASH; /* ends with those that the file lacks */
	}
}

static void look_call(struct xe_worker *w, void *arg)
{
	struct look *look = arg;

	for (uint32_t i = 0; i < look->cnt; i++)
		look_one(w->lane, look, i);
}

/* Those that are there need no place: `done`, by record. */
static void look_up(struct xe_service *svc, const struct xe_port *port, struct look *look,
		    bool *done, struct xe_sync_counts *counts)
{
	if (!look->cnt)
		return;
	xe_worker_call(port->owner, look_call, look);
	for (uint32_t i = 0; i < look->cnt; i++) {
		done[look->which[i]] = look->outcome[i] == XE_ADOPT_THERE;
		counts->updated += look->updated[i];
		counts->adopt.there += done[look->which[i]] && !look->updated[i];
	}
	look->cnt = 0;
	xe_resolver_poll(svc);
}

static void take_out(struct xe_flow_batch *b, uint32_t *at, const bool *done)
{
	while (*at != XE_NIL) {
		if (done[*at]) {
			*at = b->next[*at];
			b->left--;
		} else {
			at = &b->next[*at];
		}
	}
}

static void follow_port(struct xe_service *svc, const struct xe_rule_ids *ids,
			struct xe_flow_batch *b, uint32_t file_port, struct look *look, bool *done,
			struct xe_sync_counts *counts)
{
	struct xe_port *port = b->ports[file_port];

	if (!port || port->state != XE_PORT_ATTACHED)
		return;
	look->marks = svc->sync->marks[port->owner->idx];
	for (uint32_t i = b->head[file_port]; i != XE_NIL; i = b->next[i]) {
		look->which[look->cnt] = i;
		if (xe_flow_place(svc, ids, b, port, &b->file.records[i],
				  &look->adoptees[look->cnt]) == XE_ADOPTED)
			look->cnt++;
		if (look->cnt == CHUNK)
			look_up(svc, port, look, done, counts);
	}
	look_up(svc, port, look, done, counts);
	take_out(b, &b->head[file_port], done);
}

static int follow(struct xe_service *svc, struct xe_flow_batch *b, struct xe_sync_counts *counts)
{
	const struct xe_rule_ids *ids = xe_adopt_rule_ids(svc);
	struct look *look = calloc(1, sizeof(*look));
	bool *done = calloc(b->file.record_cnt + 1ul, sizeof(*done));
	int err = ids && look && done ? 0 : -ENOMEM;

	if (look)
		look->round = svc->sync->round;
	xe_flow_batch_look(svc, b);
	for (uint32_t p = 0; p < b->file.port_cnt && !err; p++)
		follow_port(svc, ids, b, p, look, done, counts);
	free(look);
	free(done);
	return err;
}

/* ---- what the file lacks ---- */

struct sweep {
	struct mark *marks;
	uint32_t round, slot, ended;
	bool last;
};

static void sweep_call(struct xe_worker *w, void *arg)
{
	struct sweep *sweep = arg;
	struct xe_sessions *t = &w->lane->sessions;
	uint32_t end = sweep->slot + MARKS, left = XE_FLOW_STEP_ENDS;

	for (; sweep->slot < t->high && sweep->slot < end && left; sweep->slot++) {
		struct mark *mark = &sweep->marks[sweep->slot];

		if (!mark->round || mark->round == sweep->round)
			continue;
		if (is_marked(mark, &t->slots[sweep->slot])) {
			xe_flow_end(w->lane, &t->slots[sweep->slot]);
			sweep->ended++;
			left--;
		}
		mark->round = 0;
	}
	sweep->last = sweep->slot >= t->high;
}

static uint32_t end_rest(struct xe_service *svc)
{
	struct xe_flow_sync *sync = svc->sync;
	uint32_t ended = 0;

	for (uint32_t w = 0; w < svc->worker_cnt; w++) {
		struct sweep sweep = {.marks = sync->marks[w], .round = sync->round};

		while (sweep.marks && !sweep.last) {
			xe_worker_call(&svc->workers[w], sweep_call, &sweep);
			if (svc->resolver)
				xe_resolver_poll(svc);
		}
		ended += sweep.ended;
	}
	return ended;
}

/* ---- a file ---- */

/* A flow that moves is ahead of what the file says by the time its packets come here, and a window
 * that is behind would let none of them count: its numbers are learned from the inside's next
 * segment (state/tcp_track.h). */
static void forget_numbers(struct xe_flow_file *file)
{
	for (uint32_t i = 0; i < file->record_cnt; i++) {
		struct xe_flow_record *r = &file->records[i];

		if (r->proto == IPPROTO_TCP && r->tcp_seen == XE_TS_ALIVE && !r->idle_s)
			r->tcp_seen = 0;
	}
}

int xe_sync_import(struct xe_service *svc, struct xe_flow_file *file, struct xe_sync_counts *counts)
{
	struct xe_flow_batch *b;
	uint32_t record_cnt = file->record_cnt;
	int err = open_sync(svc);

	*counts = (struct xe_sync_counts){};
	if (err)
		return err;
	xe_adopt_finish(svc);
	forget_numbers(file);
	b = xe_flow_batch_new(file, false);
	if (!b)
		return -ENOMEM;
	b->sync = true;
	counts->adopt.refused = record_cnt - b->left; /* they name no inside port */
	svc->sync->round++;
	xe_adopt_drop_synced(svc);
	err = follow(svc, b, counts);
	if (!err) {
		counts->ended = end_rest(svc);
		err = xe_adopt_batch(svc, b, &counts->adopt);
	}
	if (err)
		xe_flow_batch_free(b);
	return err;
}
