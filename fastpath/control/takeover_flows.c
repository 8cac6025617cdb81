/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "control/takeover_flows.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "control/flow_export.h"
#include "control/takeover_import.h"

/* More slots than a table can have; beyond that the number is a lie. */
#define SLOTS_MAX (1u << 26)
/* Turns of the resolver after a file: each file's flows ask at most two each, 512 are served a
 * turn. */
#define TURNS_MAX 256

/* What a slot of the old process's has become. */
struct place {
	uint32_t created_s; /* its session's, by its clock */
	uint32_t slot;      /* our session, of this worker of ours; XE_NIL: none */
	uint32_t kept;      /* record in `kept`; XE_NIL: none */
	uint16_t worker;
	uint16_t file; /* the last one that told of it */
};

struct xe_take_flows {
	struct place *places[XE_MAX_WORKERS]; /* by its worker and slot */
	uint32_t place_cnt[XE_MAX_WORKERS];
	uint16_t file; /* the one that is being read, from 1; a few thousand at most */
	/* Records without a session of ours, and those of sessions that are found by tags only,
	 * perhaps because another one had their L4 port. proto 0: not any more. Its ports are those
	 * that all records have named. */
	struct xe_flow_file kept;
	uint64_t ended[2][XE_BITMAP_WORDS / 64]; /* a bit for 64 L4 ports: one has become free */
};

/* What one file brings. */
struct news {
	struct xe_flow_file file;
	struct xe_flow_change *list;
	uint32_t cnt;
	/* of its records those that are to become sessions, and what did */
	struct xe_flow_file todo; /* its ports are `kept`'s */
	struct place **todo_for;
	struct xe_adopt_place *outcome;
};

struct xe_take_flows *xe_take_flows_open(void)
{
	struct xe_take_flows *f = calloc(1, sizeof(*f));

	if (f)
		xe_flow_file_init(&f->kept);
	return f;
}

void xe_take_flows_close(struct xe_take_flows *f)
{
	if (!f)
		return;
	for (uint32_t w = 0; w < XE_MAX_WORKERS; w++)
		free(f->places[w]);
	xe_flow_file_free(&f->kept);
	free(f);
}

/* ---- what is told ---- */

static int get(int fd, void *to, size_t len)
{
	ssize_t n = len ? read(fd, to, len) : 0; /* of memory: all that is there */

	return n < 0 ? -errno : (size_t)n == len ? 0 : -EPROTO;
}

static void news_free(struct news *n)
{
	n->todo.ports = NULL; /* `kept`'s */
	xe_flow_file_free(&n->todo);
	xe_flow_file_free(&n->file);
	free(n->list);
	free(n->todo_for);
	free(n->outcome);
}

/* So many changes need so many bytes: a number that is none becomes no memory. */
static bool are_there(const struct xe_service *svc, int fd, uint32_t cnt)
{
	uint32_t theirs = svc->take->welcome.size[XE_TO_CHANGE];
	struct stat st;

	return theirs && !fstat(fd, &st) && (uint64_t)cnt * theirs <= (uint64_t)st.st_size;
}

/* In our structure, whatever theirs is. */
static int get_changes(const struct xe_service *svc, struct news *n, int fd)
{
	uint32_t theirs = svc->take->welcome.size[XE_TO_CHANGE];
	void *raw;
	int err;

	if (theirs == sizeof(*n->list))
		return get(fd, n->list, n->cnt * sizeof(*n->list));
	raw = malloc((size_t)n->cnt * theirs + 1);
	err = raw ? get(fd, raw, (size_t)n->cnt * theirs) : -ENOMEM;
	if (!err)
		xe_fit(n->list, sizeof(*n->list), raw, theirs, n->cnt);
	free(raw);
	return err;
}

static int news_read(struct xe_service *svc, struct news *n, int fd, uint32_t cnt)
{
	uint64_t nat_ports[XE_BITMAP_WORDS];
	char text[256] = "";
	int err;

	*n = (struct news){.cnt = cnt};
	if (!are_there(svc, fd, cnt))
		return -EPROTO;
	n->list = calloc(cnt + 1ul, sizeof(*n->list));
	if (!n->list)
		return -ENOMEM;
	if (lseek(fd, 0, SEEK_SET) < 0)
		return -errno;
	err = get(fd, nat_ports, sizeof(nat_ports));
	if (!err)
		err = get_changes(svc, n, fd);
	if (!err)
		err = xe_flow_file_read(&n->file, fd, text, sizeof(text));
	if (err) {
		xe_log_err("takeover: flows: %s", text[0] ? text : strerror(-err));
		return err;
	}
	for (uint32_t w = 0; w < XE_BITMAP_WORDS; w++)
		svc->nat_ports[w] |= nat_ports[w];
	for (uint32_t i = 0; i < cnt; i++)
		if (n->list[i].worker >= XE_MAX_WORKERS || n->list[i].slot >= SLOTS_MAX ||
		    n->list[i].record > n->file.record_cnt)
			return -EPROTO;
	return 0;
}

/* Ports of all files are one list, so that records of one can be told with those of another. */
static int name_ports(struct xe_take_flows *f, struct news *n)
{
	uint16_t *idx = calloc(n->file.port_cnt + 1ul, sizeof(*idx));
	int err = idx ? 0 : -ENOMEM;

	for (uint32_t i = 0; i < n->file.port_cnt && !err; i++) {
		const struct xe_flow_port *p = &n->file.ports[i];

		idx[i] = xe_flow_file_port(&f->kept, p->name, p->ifindex, p->role);
		if (idx[i] == XE_FR_NO_PORT)
			err = -ENOMEM;
		else
			f->kept.ports[idx[i]] = *p;
	}
	for (uint32_t i = 0; i < n->file.record_cnt && !err; i++) {
		struct xe_flow_record *r = &n->file.records[i];

		if (r->in_port != XE_FR_NO_PORT)
			r->in_port = idx[r->in_port];
		if (r->out_port != XE_FR_NO_PORT)
			r->out_port = idx[r->out_port];
	}
	free(idx);
	return err;
}

/* ---- what it was, and is ---- */

static int make_places(struct xe_take_flows *f, const struct news *n)
{
	uint32_t cnt[XE_MAX_WORKERS] = {};

	for (uint32_t i = 0; i < n->cnt; i++)
		if (n->list[i].slot >= cnt[n->list[i].worker])
			cnt[n->list[i].worker] = n->list[i].slot + 1;
	for (uint32_t w = 0; w < XE_MAX_WORKERS; w++) {
		uint32_t size = f->place_cnt[w] * 2 > cnt[w] ? f->place_cnt[w] * 2 : cnt[w];
		struct place *places;

		if (cnt[w] <= f->place_cnt[w])
			continue;
		places = realloc(f->places[w], size * sizeof(*places));
		if (!places)
			return -ENOMEM;
		for (uint32_t i = f->place_cnt[w]; i < size; i++)
			places[i] = (struct place){.slot = XE_NIL, .kept = XE_NIL};
		f->places[w] = places;
		f->place_cnt[w] = size;
	}
	return 0;
}

static void forget_kept(struct xe_take_flows *f, struct place *p)
{
	if (p->kept != XE_NIL)
		f->kept.records[p->kept].proto = 0;
	p->kept = XE_NIL;
}

static int keep(struct xe_take_flows *f, struct place *p, const struct xe_flow_record *r)
{
	if (xe_flow_file_add(&f->kept, r))
		return -ENOMEM;
	p->kept = f->kept.record_cnt - 1;
	return 0;
}

static struct xe_session *session_of(const struct xe_service *svc, const struct place *p)
{
	return &svc->workers[p->worker].lane->sessions.slots[p->slot];
}

static void end_session(struct xe_service *svc, struct xe_take_flows *f, struct place *p)
{
	struct xe_session *s = session_of(svc, p);
	const struct xe_tuple4 *back = &s->key[XE_DIR_BACK];
	uint16_t block = ntohs(back->dport_be) >> 6;

	f->ended[back->proto == IPPROTO_UDP][block >> 6] |= 1ull << (block & 63);
	xe_flow_end(svc->workers[p->worker].lane, s);
	p->slot = XE_NIL;
}

/* The port that it leaves by, as our sessions have it. */
static uint16_t out_port(struct xe_service *svc, const struct xe_take_flows *f,
			 const struct xe_flow_record *r)
{
	const struct xe_port *port = NULL;

	if (r->out_port != XE_FR_NO_PORT)
		port = xe_port_named(svc, f->kept.ports[r->out_port].name);
	return port ? port->id : XE_PORT_NONE;
}

/* The record that is to become a session; NULL: none. */
static const struct xe_flow_record *apply(struct xe_service *svc, struct xe_take_flows *f,
					  const struct news *n, const struct xe_flow_change *c,
					  struct place *p)
{
	const struct xe_flow_record *r = c->record ? &n->file.records[c->record - 1] : NULL;
	struct xe_lane *lane = svc->workers[p->worker].lane;
	bool goes_on = r && p->slot != XE_NIL && p->created_s == c->created_s;

	if (goes_on && xe_adopt_go_on(lane, session_of(svc, p), r, out_port(svc, f, r))) {
		if (p->kept != XE_NIL)
			f->kept.records[p->kept] = *r;
		return NULL;
	}
	forget_kept(f, p);
	if (p->slot != XE_NIL)
		end_session(svc, f, p);
	p->created_s = c->created_s;
	return r;
}

/* All that ends does so before anything begins. */
static int apply_all(struct xe_service *svc, struct xe_take_flows *f, struct news *n)
{
	n->todo_for = calloc(n->cnt + 1ul, sizeof(struct place *));
	if (!n->todo_for)
		return -ENOMEM;
	for (uint32_t i = 0; i < n->cnt; i++) {
		const struct xe_flow_change *c = &n->list[i];
		struct place *p = &f->places[c->worker][c->slot];
		const struct xe_flow_record *r;

		if (p->file == f->file) /* which one would be the last word? */
			return -EPROTO;
		p->file = f->file;
		r = apply(svc, f, n, c, p);
		if (!r)
			continue;
		n->todo_for[n->todo.record_cnt] = p;
		if (xe_flow_file_add(&n->todo, r))
			return -ENOMEM;
	}
	return 0;
}

/* ---- what is new ---- */

static int settle(struct xe_take_flows *f, struct place *p, const struct xe_flow_record *r,
		  const struct xe_adopt_place *became)
{
	switch (became->outcome) {
	case XE_ADOPTED:
	case XE_ADOPTED_TAGS:
		p->slot = became->slot;
		p->worker = became->worker;
		return became->outcome == XE_ADOPTED ? 0 : keep(f, p, r);
	case XE_ADOPT_OVER:
		return 0;
	default:
		return keep(f, p, r);
	}
}

static int adopt_new(struct xe_service *svc, struct xe_take_flows *f, struct news *n)
{
	int err;

	if (!n->todo.record_cnt)
		return 0;
	n->outcome = calloc(n->todo.record_cnt, sizeof(*n->outcome));
	err = n->outcome ? xe_adopt_now(svc, &n->todo, n->outcome) : -ENOMEM;
	for (uint32_t i = 0; i < n->todo.record_cnt && !err; i++)
		err = settle(f, n->todo_for[i], &n->todo.records[i], &n->outcome[i]);
	return err;
}

/* Next hops, as long as nobody waits for us. */
static void serve_requests(struct xe_service *svc)
{
	for (uint32_t w = 0; w < svc->worker_cnt; w++)
		for (int i = 0; i < TURNS_MAX; i++) {
			if (!xe_nexthops_wait(&svc->workers[w].lane->nexthops))
				break;
			xe_resolver_poll(svc);
		}
}

/* A session by tags, where an L4 port of its block has become free since: it may be its own. */
static bool may_own_now(const struct xe_take_flows *f, const struct xe_flow_record *r)
{
	uint16_t block = ntohs(r->nat_sport_be) >> 6;

	return f->ended[r->proto == IPPROTO_UDP][block >> 6] >> (block & 63) & 1;
}

/* Those without a session, once more, behind what is new. */
static int add_kept(struct xe_service *svc, struct xe_take_flows *f, struct news *n)
{
	int err = 0;

	for (uint32_t w = 0; w < XE_MAX_WORKERS; w++)
		for (uint32_t i = 0; i < f->place_cnt[w] && f->kept.record_cnt && !err; i++) {
			struct place *p = &f->places[w][i];
			const struct xe_flow_record *r;

			if (p->kept == XE_NIL)
				continue;
			r = &f->kept.records[p->kept];
			if (p->slot != XE_NIL && !may_own_now(f, r))
				continue;
			if (p->slot != XE_NIL)
				end_session(svc, f, p);
			err = xe_flow_file_add(&n->todo, r);
		}
	return err;
}

static int adopt_rest(struct xe_service *svc, struct xe_take_flows *f, struct news *n,
		      struct xe_adopt_counts *counts)
{
	int ret = add_kept(svc, f, n);

	if (ret)
		return ret;
	n->todo.ports = f->kept.ports;
	if (n->todo.record_cnt)
		ret = xe_adopt_add(svc, &n->todo, counts);
	counts->adopted = 0;
	for (uint32_t w = 0; w < svc->worker_cnt; w++)
		counts->adopted += svc->workers[w].lane->sessions.cnt;
	xe_guarded_publish(svc);
	return ret < 0 ? ret : 0;
}

int xe_take_flows_follow(struct xe_service *svc, struct xe_take_flows *f, int fd,
			 const struct xe_to_changes *to, struct xe_adopt_counts *counts)
{
	struct news n;
	int err = news_read(svc, &n, fd, to->cnt);

	for (uint32_t w = 0; w < svc->worker_cnt; w++)
		xe_worker_beat(&svc->workers[w]); /* the time, of which ages are */
	if (!err)
		err = name_ports(f, &n);
	if (!err)
		err = make_places(f, &n);
	if (!err) {
		xe_flow_file_init(&n.todo);
		n.todo.written_s = n.file.written_s;
		n.todo.written_boot_s = n.file.written_boot_s;
		n.todo.ports = f->kept.ports;
		n.todo.port_cnt = f->kept.port_cnt;
		f->file++;
		err = apply_all(svc, f, &n);
	}
	if (!err && counts)
		err = adopt_rest(svc, f, &n, counts);
	else if (!err)
		err = adopt_new(svc, f, &n);
	if (!err && !counts)
		serve_requests(svc);
	if (err)
		xe_log_err("takeover: flows: %s", strerror(-err));
	news_free(&n);
	return err;
}
