/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "control/flow_adopt.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-daemon.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "control/flow_held.h"
#include "control/state_dir.h"
#include "pipeline/adopt.h"

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

/* One file's records: a list for each of its ports, those that were opened from inside first, since
 * a mapping is what its inside made it. */
struct batch {
	struct xe_flow_file file;
	bool same_boot;
	uint64_t since_ns;
	struct xe_port **ports; /* by port of the file: who that is here and now, NULL: nobody */
	uint32_t *head;         /* the same; XE_NIL ends a list */
	uint32_t *next;         /* by record */
	uint32_t left;
	bool in_use; /* who added it has yet to be told what became of the records */
	struct batch *older;
};

struct rule_id {
	uint64_t id;
	uint16_t rule;
};

struct xe_adopt {
	struct batch *batches; /* the latest first: it knows best */
	struct rule_id *ids;   /* of the rules in force, sorted */
	uint32_t id_cnt, gen;  /* their generation */
};

/* ---- what waits ---- */

static void batch_free(struct batch *b)
{
	xe_flow_file_free(&b->file);
	free(b->ports);
	free(b->head);
	free(b->next);
	free(b);
}

static int copy_file(struct xe_flow_file *to, const struct xe_flow_file *from)
{
	*to = *from;
	to->records = NULL;
	to->ports = calloc(from->port_cnt + 1ul, sizeof(*to->ports));
	to->records = malloc((from->record_cnt + 1ul) * sizeof(*to->records));
	if (!to->ports || !to->records)
		return -ENOMEM;
	if (from->port_cnt) /* NULL without one */
		memcpy(to->ports, from->ports, from->port_cnt * sizeof(*to->ports));
	if (from->record_cnt)
		memcpy(to->records, from->records, (size_t)from->record_cnt * sizeof(*to->records));
	to->record_size = from->record_cnt;
	return 0;
}

/* Lists in the order of the file, from outside behind all others. */
static void make_lists(struct batch *b)
{
	for (uint32_t p = 0; p < b->file.port_cnt; p++)
		b->head[p] = XE_NIL;
	for (int outside = 1; outside >= 0; outside--) {
		for (uint32_t i = b->file.record_cnt; i--;) {
			const struct xe_flow_record *r = &b->file.records[i];

			if (r->in_port == XE_FR_NO_PORT ||
			    b->file.ports[r->in_port].role != XE_ROLE_INSIDE ||
			    !!(r->flags & XE_FR_FROM_OUTSIDE) != outside)
				continue;
			b->next[i] = b->head[r->in_port];
			b->head[r->in_port] = i;
			b->left++;
		}
	}
}

static struct batch *batch_new(const struct xe_flow_file *file)
{
	struct batch *b = calloc(1, sizeof(*b));
	struct xe_flow_file now;

	if (!b || copy_file(&b->file, file)) {
		if (b)
			batch_free(b);
		return NULL;
	}
	b->head = calloc(file->port_cnt + 1ul, sizeof(*b->head));
	b->next = calloc(file->record_cnt + 1ul, sizeof(*b->next));
	b->ports = calloc(file->port_cnt + 1ul, sizeof(struct xe_port *));
	if (!b->head || !b->next || !b->ports) {
		batch_free(b);
		return NULL;
	}
	xe_flow_file_init(&now);
	b->same_boot = !memcmp(now.boot_id, file->boot_id, sizeof(now.boot_id));
	b->since_ns = xe_now_ns();
	make_lists(b);
	return b;
}

static bool is_port(const struct batch *b, uint32_t file_port, const struct xe_port *port)
{
	const struct xe_flow_port *fp = &b->file.ports[file_port];

	return !strcmp(fp->name, port->name) && fp->role == port->role &&
	       (!b->same_boot || !fp->ifindex || fp->ifindex == (uint32_t)port->ifindex);
}

/* They come and go between two passes, not within one. */
static void find_ports(struct xe_service *svc, struct batch *b)
{
	for (uint32_t i = 0; i < b->file.port_cnt; i++) {
		struct xe_port *port = xe_port_named(svc, b->file.ports[i].name);

		b->ports[i] = port && port->id != XE_PORT_NONE && is_port(b, i, port) ? port : NULL;
	}
}

/* As long as a record waits nobody else is given its Ext L4 port. */
static void reserve(struct xe_service *svc, const struct xe_flow_record *r, bool on)
{
	if (r->flags & XE_FR_EXT)
		xe_held_reserve(svc, r->proto == IPPROTO_UDP, ntohs(r->nat_sport_be), on);
}

static void reserve_all(struct xe_service *svc, const struct batch *b, bool on)
{
	for (uint32_t p = 0; p < b->file.port_cnt; p++)
		for (uint32_t i = b->head[p]; i != XE_NIL; i = b->next[i])
			reserve(svc, &b->file.records[i], on);
}

/* ---- rules by their id ---- */

static int cmp_id(const void *a, const void *b)
{
	uint64_t x = ((const struct rule_id *)a)->id, y = ((const struct rule_id *)b)->id;

	return x < y ? -1 : x > y;
}

static void index_rules(struct xe_adopt *ad, const struct xe_ruleset *rs)
{
	if (ad->ids && rs && ad->gen == rs->gen)
		return;
	free(ad->ids);
	ad->ids = rs ? calloc(rs->rule_cnt + 1ul, sizeof(*ad->ids)) : NULL;
	if (!ad->ids)
		return;
	ad->gen = rs->gen;
	ad->id_cnt = rs->rule_cnt;
	for (uint32_t i = 0; i < rs->rule_cnt; i++)
		ad->ids[i] = (struct rule_id){.id = rs->ids[i], .rule = (uint16_t)i};
	qsort(ad->ids, rs->rule_cnt, sizeof(*ad->ids), cmp_id);
}

static uint16_t rule_by_id(const struct xe_adopt *ad, uint64_t id)
{
	struct rule_id key = {.id = id};
	const struct rule_id *found = NULL;

	if (id && ad->ids)
		found = bsearch(&key, ad->ids, ad->id_cnt, sizeof(key), cmp_id);
	return found ? found->rule : XE_RULE_GONE;
}

/* ---- one record ---- */

/* Between two hosts no more than this counts: their clocks may be further apart than their files.
 */
#define AGO_MAX_S 120

/* Seconds since the records were written. The time of day may step, also within a boot: there it is
 * not asked. */
static uint32_t written_ago_s(const struct batch *b)
{
	uint64_t now_s = (uint64_t)time(NULL);

	if (b->same_boot)
		return xe_boot_s() - b->file.written_boot_s;
	if (now_s <= b->file.written_s)
		return 0;
	return now_s - b->file.written_s > AGO_MAX_S ? AGO_MAX_S
						     : (uint32_t)(now_s - b->file.written_s);
}

/* The kernel tells how long a flow has left, by timeouts of its own. */
static uint32_t idle_by_left(const struct xe_service *svc, const struct xe_flow_record *r)
{
	uint32_t timeout_s = svc->config->timeouts.udp_s;

	if (r->proto == IPPROTO_TCP)
		timeout_s = r->tcp_state == XE_TCP_ESTABLISHED
				    ? svc->config->timeouts.tcp_established_s
				    : svc->config->timeouts.tcp_transitory_s;
	else if (r->dport_be == htons(53))
		timeout_s = svc->config->timeouts.dns_s;
	return r->left_s < timeout_s ? timeout_s - r->left_s : 0;
}

static uint32_t sum_s(uint32_t a, uint32_t b)
{
	return a > INT32_MAX - b ? INT32_MAX : a + b;
}

/* May a session of ours own this L4 port: is it one that a rule gives out, and not the host's? */
static bool may_own(const struct xe_service *svc, const struct xe_flow_record *r)
{
	uint16_t l4_port = ntohs(r->nat_sport_be);
	int udp = r->proto == IPPROTO_UDP;

	if ((svc->listening[udp][l4_port >> 6] | svc->dnat[udp][l4_port >> 6]) >> (l4_port & 63) &
	    1)
		return false;
	return svc->nat_ports[l4_port >> 6] >> (l4_port & 63) & 1;
}

/* Where the inside host is, for who does not know its Ethernet address: the kernel's neighbour. */
static bool find_mac(const struct xe_service *svc, const struct xe_port *port,
		     struct xe_flow_record *r)
{
	static const uint8_t none[6];

	if (memcmp(r->mac_back, none, sizeof(none)))
		return true;
	return !xe_netlink_neigh(svc->netlink, xe_netlink_l3_ifindex(svc->netlink, port->ifindex),
				 &r->src, r->mac_back, NULL);
}

/* The index of its Ext address if that is one of the rules' or the host's: others are not worth one
 * of the few there are. */
static uint32_t find_ext(struct xe_service *svc, const struct xe_addr *addr)
{
	for (uint32_t i = 0; i < XE_MAX_EXT_ADDRS; i++)
		if (!memcmp(&svc->ext_addrs[i], addr, sizeof(*addr)))
			return i;
	return xe_netlink_has_addr(svc->netlink, addr) ? xe_ext_get(svc, addr) : XE_NIL;
}

/* XE_ADOPTED: it can be; else what it counts as. */
static enum xe_adopted understand(struct xe_service *svc, const struct batch *b,
				  struct xe_port *port, struct xe_flow_record *r,
				  struct xe_adoptee *a)
{
	const struct xe_port *out = NULL;

	*a = (struct xe_adoptee){
		.record = r,
		.in_port = port->id,
		.out_port = XE_PORT_NONE,
		.ext = XE_NIL,
		.rule = rule_by_id(svc->adopt, r->rule_id),
		.age_s = sum_s(r->age_s, written_ago_s(b)),
		.idle_s = r->flags & XE_FR_KERNEL ? idle_by_left(svc, r) : r->idle_s,
	};
	a->idle_s = sum_s(a->idle_s, written_ago_s(b));
	/* The kernel does not count always, but knows that it was answered. */
	if ((r->flags & (XE_FR_KERNEL | XE_FR_FROM_OUTSIDE | XE_FR_REPLIED)) ==
		    (XE_FR_KERNEL | XE_FR_FROM_OUTSIDE | XE_FR_REPLIED) &&
	    !r->packets[XE_DIR_OUT])
		r->packets[XE_DIR_OUT] = 1;
	if (r->out_port != XE_FR_NO_PORT) {
		out = b->ports[r->out_port];
		a->out_inside = b->file.ports[r->out_port].role == XE_ROLE_INSIDE;
	}
	if (out)
		a->out_port = out->id;
	else if (a->out_inside || r->flags & XE_FR_HAIRPIN)
		return XE_ADOPT_LATER;
	if (!find_mac(svc, port, r))
		return XE_ADOPT_FULL;
	if (!(r->flags & XE_FR_EXT)) {
		xe_held_announce(svc); /* whatever the rules say now */
		return XE_ADOPTED;
	}
	if (r->verb == XE_VERB_MASQUERADE && !xe_netlink_has_addr(svc->netlink, &r->nat_src))
		return XE_ADOPT_OVER;
	/* steer knows fragments of replies by the address, whoever owns the L4 port */
	a->ext = find_ext(svc, &r->nat_src);
	if (!may_own(svc, r))
		a->ext = XE_NIL;
	if (a->ext == XE_NIL)
		xe_held_announce(svc);
	return XE_ADOPTED;
}

/* ---- many of them ---- */

struct chunk {
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
		reserve(svc, c->records[i], false);
		if (c->outcome[i] == XE_ADOPTED || c->outcome[i] == XE_ADOPTED_TAGS ||
		    c->outcome[i] == XE_ADOPT_THERE)
			c->records[i]->flags |= XE_FR_ADOPTED;
		count(counts, c->outcome[i]);
	}
	c->cnt = 0;
}

/* The records of a port of the file, which this one is; those that wait for another port, too, stay
 * in the list. */
static void adopt_list(struct xe_service *svc, struct batch *b, uint32_t file_port,
		       struct xe_port *port, struct chunk *c, struct xe_adopt_counts *counts)
{
	uint32_t *at = &b->head[file_port];

	c->cnt = 0;
	while (*at != XE_NIL) {
		uint32_t i = *at;
		struct xe_flow_record *r = &b->file.records[i];
		enum xe_adopted can = understand(svc, b, port, r, &c->adoptees[c->cnt]);

		if (can == XE_ADOPT_LATER) {
			at = &b->next[i];
			continue;
		}
		*at = b->next[i];
		b->left--;
		if (can != XE_ADOPTED) {
			count(counts, can);
			reserve(svc, r, false);
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
	struct batch **at = &svc->adopt->batches;

	while (*at) {
		struct batch *b = *at;

		if (!all && (b->in_use || (b->left && xe_now_ns() - b->since_ns < WAIT_NS))) {
			at = &b->older;
			continue;
		}
		*at = b->older;
		reserve_all(svc, b, false);
		if (b->left && !all)
			xe_log_info("%u flows that were to be taken over have waited in vain for "
				    "their port: forgotten",
				    b->left);
		batch_free(b);
	}
}

static void adopt_waiting(struct xe_service *svc, struct xe_adopt_counts *counts)
{
	struct chunk *c = calloc(1, sizeof(*c));

	if (!c)
		return;
	index_rules(svc->adopt, svc->ruleset);
	for (struct batch *b = svc->adopt->batches; b; b = b->older) {
		find_ports(svc, b);
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
		for (const struct batch *b = svc->adopt->batches; b; b = b->older)
			cnt += b->left;
	return cnt;
}

int xe_adopt_add(struct xe_service *svc, struct xe_flow_file *file, struct xe_adopt_counts *counts)
{
	struct xe_adopt_counts mine = {};
	struct batch *b = batch_new(file);

	if (!svc->adopt)
		svc->adopt = calloc(1, sizeof(*svc->adopt));
	if (!b || !svc->adopt) {
		if (b)
			batch_free(b);
		return -ENOMEM;
	}
	mine.refused = file->record_cnt - b->left; /* they name no inside port */
	for (uint32_t i = 0; i < file->record_cnt; i++)
		file->records[i].flags &= (uint8_t)~XE_FR_ADOPTED;
	b->older = svc->adopt->batches;
	svc->adopt->batches = b;
	b->in_use = true;
	reserve_all(svc, b, true);
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
	const struct batch *b = svc->adopt ? svc->adopt->batches : NULL;

	for (; b; b = b->older) {
		for (uint32_t i = 0; i < b->file.port_cnt; i++) {
			const struct xe_flow_port *fp = &b->file.ports[i];

			if (fp->worker && fp->worker_cnt == svc->worker_cnt &&
			    fp->worker <= svc->worker_cnt && is_port(b, i, port))
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
		free(svc->adopt->ids);
		free(svc->adopt);
		svc->adopt = NULL;
	}
	xe_held_close(svc);
}
