/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "state/session_file.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <numaif.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "state/natpool.h"
#include "state/ruleset.h"
#include "state/session_record.h"

/* Raised when what a field of a session means changes; the layout stamp sees what moves. */
#define VERSION 1
/* Each part begins on a huge page, so that tmpfs and hugetlbfs can give it such. */
#define ALIGN (2ul << 20)
/* Slots backed ahead of use: at 600,000 new flows a second what comes in 100 ms; 8 MiB. */
#define AHEAD                65536u
#define MADV_POPULATE_READ_  22
#define MADV_POPULATE_WRITE_ 23 /* Linux 5.14; Debian 12's headers have it, older ones do not */

static const char magic[8] = "xegstat";

struct rule_entry {
	uint64_t id;
	uint8_t filter; /* enum xe_filter */
	uint8_t reserved[7];
};

struct xe_session_file_head {
	char magic[8];
	uint32_t version, layout;
	uint8_t boot_id[16];
	uint32_t capacity, addr_capacity;
	uint32_t slot_cnt, addr_cnt; /* backed: none behind them was ever used */
	uint16_t worker, worker_cnt;
	uint32_t tcp_established_s, tcp_transitory_s, udp_s, dns_s;
	uint32_t rule_cnt;        /* 0: not known at the moment */
	uint32_t lane_s, clock_s; /* the worker's clock, of which sessions' times are, and when it
				     showed that, by CLOCK_MONOTONIC; 0: they are the same */
	struct xe_flow_port ports[XE_MAX_PORTS];
	struct rule_entry rules[XE_MAX_RULES];
	uint32_t rested_s[65536]; /* lane_s + 1 when it began; 0: never */
};
_Static_assert(sizeof(struct xe_session_file_head) <= ALIGN, "in front of the slots");

/* Where everything is that is read: a program for which that is elsewhere must not read it. */
static uint32_t layout_stamp(void)
{
	static const uint32_t at[] = {
		sizeof(struct xe_session),
		offsetof(struct xe_session, key),
		offsetof(struct xe_session, last_used_s),
		offsetof(struct xe_session, mac_back),
		offsetof(struct xe_session, flags),
		offsetof(struct xe_session, created_s),
		offsetof(struct xe_session, mss_peer),
		offsetof(struct xe_session, count),
		offsetof(struct xe_session, tcp_end),
		offsetof(struct xe_session, tcp_ack),
		offsetof(struct xe_session, tcp_win),
		offsetof(struct xe_session, out_port),
		offsetof(struct xe_session, mapping),
		offsetof(struct xe_session, rule),
		offsetof(struct xe_session, ext),
		sizeof(struct xe_tuple4),
		sizeof(struct xe_addr6),
		sizeof(struct xe_session_file_head),
		XE_SF_FROM_OUTSIDE,
		XE_TCP_CLOSED,
		XE_VERB_CNT,
	};
	uint32_t hash = 0x811c9dc5;

	for (size_t i = 0; i < sizeof(at) / sizeof(at[0]); i++)
		hash = (hash ^ at[i]) * 0x01000193;
	return hash;
}

static size_t aligned(size_t size)
{
	return (size + ALIGN - 1) & ~(ALIGN - 1);
}

static size_t slots_size(uint32_t capacity)
{
	return aligned((size_t)capacity * sizeof(struct xe_session));
}

static size_t file_size(uint32_t capacity, uint32_t addr_capacity)
{
	return ALIGN + slots_size(capacity) + aligned(addr_capacity * sizeof(struct xe_addr6));
}

/* ---- made and backed ---- */

/* The file at a multiple of ALIGN, which no mapping has by itself. */
static void *map_aligned(size_t size, int fd)
{
	uint8_t *m = mmap(NULL, size + ALIGN, PROT_NONE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	uint8_t *at = (uint8_t *)aligned((size_t)m);

	if (m == MAP_FAILED)
		return NULL;
	if (at != m)
		munmap(m, (size_t)(at - m));
	munmap(at + size, (size_t)(m + ALIGN - at));
	if (mmap(at, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) != MAP_FAILED)
		return at;
	munmap(at, size);
	return NULL;
}

/* Memory for these bytes, zeroed: by the mapping, which may be given huge pages; where the kernel
 * does not know how (before 5.14), by the file. */
static int back(int fd, void *map, size_t from, size_t to)
{
	if (from == to)
		return 0;
	if (!madvise((uint8_t *)map + from, to - from, MADV_POPULATE_WRITE_))
		return 0;
	if (errno != EINVAL)
		return -ENOSPC; /* EFAULT: it would have been SIGBUS */
	return fallocate(fd, 0, (off_t)from, (off_t)(to - from)) ? -errno : 0;
}

static int create(int dir_fd, const char *name, size_t size, int *fd)
{
	*fd = openat(dir_fd, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (*fd < 0)
		return -errno;
	return ftruncate(*fd, (off_t)size) ? -errno : 0;
}

static void fill_head(struct xe_session_file_head *h, const struct xe_session_file_conf *conf)
{
	struct xe_flow_file boot;

	xe_flow_file_init(&boot);
	memcpy(h->boot_id, boot.boot_id, sizeof(h->boot_id));
	h->version = VERSION;
	h->layout = layout_stamp();
	h->capacity = conf->capacity;
	h->addr_capacity = xe_session_addr_cnt(conf->capacity);
	h->worker = conf->worker;
	h->worker_cnt = conf->worker_cnt;
	h->tcp_established_s = conf->tcp_established_s;
	h->tcp_transitory_s = conf->tcp_transitory_s;
	h->udp_s = conf->udp_s;
	h->dns_s = conf->dns_s;
	memcpy(h->magic, magic, sizeof(h->magic)); /* last: it is one now */
}

int xe_session_file_open(struct xe_session_file *f, int dir_fd, const char *name,
			 const struct xe_session_file_conf *conf)
{
	size_t size = file_size(conf->capacity, xe_session_addr_cnt(conf->capacity));
	int fd, err = create(dir_fd, name, size, &fd);
	uint8_t *m = NULL;

	memset(f, 0, sizeof(*f));
	if (err)
		goto out;
	err = -ENOMEM;
	m = map_aligned(size, fd);
	if (!m)
		goto out;
	if (conf->node >= 0 && conf->node < 64) { /* before the first touch */
		unsigned long mask = 1ul << conf->node;

		mbind(m, size, MPOL_PREFERRED, &mask, 64, 0);
	}
	madvise(m, size, MADV_HUGEPAGE);
	err = back(fd, m, 0, sizeof(struct xe_session_file_head));
	if (err)
		goto out;
	f->head = (struct xe_session_file_head *)(void *)m;
	f->size = size;
	f->slots = (struct xe_session *)(void *)(m + ALIGN);
	f->addrs = (struct xe_addr6 *)(void *)(m + ALIGN + slots_size(conf->capacity));
	f->fd = fd;
	fill_head(f->head, conf);
	return 0;
out:
	if (m)
		munmap(m, size);
	if (fd >= 0) {
		close(fd);
		unlinkat(dir_fd, name, 0);
	}
	return err;
}

void xe_session_file_close(struct xe_session_file *f)
{
	if (!f->head)
		return;
	munmap(f->head, f->size);
	close(f->fd);
	memset(f, 0, sizeof(*f));
}

/* One of the two tables: `have` slots are backed, `want` are to be. */
struct part {
	void *slots;
	size_t slot_size;
	uint32_t capacity, have, want;
};

static int grow_part(const struct xe_session_file *f, const struct part *p)
{
	size_t base = (size_t)((uint8_t *)p->slots - (uint8_t *)f->head);

	return back(f->fd, f->head, base + p->have * p->slot_size, base + p->want * p->slot_size);
}

/* The rest of it is the process's own. The worker has not been there. */
static int leave_file(const struct part *p)
{
	size_t from = aligned(p->have * p->slot_size), to = aligned(p->capacity * p->slot_size);

	if (from >= to)
		return 0;
	return mmap((uint8_t *)p->slots + from, to - from, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) == MAP_FAILED
		       ? -errno
		       : 0;
}

static uint32_t ahead_of(uint32_t high, uint32_t capacity)
{
	/* whole steps, so that parts end on huge pages: 65536 slots are 8 MiB, addresses 2 MiB */
	uint64_t want = ((uint64_t)high + 2 * AHEAD - 1) / AHEAD * AHEAD;

	return want > capacity ? capacity : (uint32_t)want;
}

/* Up to where the table may be used; *cnt in the head says the same to a reader. */
static int advance(struct xe_session_file *f, struct part *p, uint32_t *backed, uint32_t *cnt)
{
	int err;

	if (p->want <= p->have)
		return 0;
	err = f->full ? -ENOSPC : grow_part(f, p);
	if (!err) {
		__atomic_store_n(cnt, p->want, __ATOMIC_RELEASE);
		__atomic_store_n(backed, p->want, __ATOMIC_RELEASE);
		return 0;
	}
	if (!leave_file(p))
		__atomic_store_n(backed, p->capacity, __ATOMIC_RELEASE);
	f->full = true;
	return err;
}

int xe_session_file_grow(struct xe_session_file *f, struct xe_sessions *t)
{
	struct part slots = {f->slots, sizeof(*f->slots), t->capacity, t->backed, 0};
	struct part addrs = {f->addrs, sizeof(*f->addrs), t->addr6.capacity, t->addr6.backed, 0};
	bool was_full = f->full;
	int err;

	slots.want = ahead_of(__atomic_load_n(&t->high, __ATOMIC_RELAXED), t->capacity);
	addrs.want = ahead_of(__atomic_load_n(&t->addr6.high, __ATOMIC_RELAXED), t->addr6.capacity);
	err = advance(f, &slots, &t->backed, &f->head->slot_cnt);
	if (!err)
		err = advance(f, &addrs, &t->addr6.backed, &f->head->addr_cnt);
	else
		advance(f, &addrs, &t->addr6.backed, &f->head->addr_cnt);
	return was_full ? 0 : err;
}

int xe_sessions_open_in(struct xe_sessions *t, uint32_t capacity, uint64_t k0, uint64_t k1,
			struct xe_session_file *f)
{
	int err = xe_sessions_open_at(t, capacity, k0, k1, f->slots, f->addrs);

	if (err)
		return err;
	err = xe_session_file_grow(f, t);
	return t->backed ? 0 : err;
}

void xe_session_file_clock(struct xe_session_file *f, uint32_t lane_s, uint32_t clock_s)
{
	__atomic_store_n(&f->head->lane_s, lane_s, __ATOMIC_RELAXED);
	__atomic_store_n(&f->head->clock_s, clock_s, __ATOMIC_RELAXED);
}

/* ---- what numbers mean ---- */

void xe_session_file_port(struct xe_session_file *f, uint16_t id, const struct xe_flow_port *port)
{
	if (f->head && id < XE_MAX_PORTS)
		f->head->ports[id] = *port;
}

void xe_session_file_rules(struct xe_session_file *f, const struct xe_ruleset *rs)
{
	if (!f->head)
		return;
	__atomic_store_n(&f->head->rule_cnt, 0, __ATOMIC_SEQ_CST);
	for (uint32_t i = 0; rs && i < rs->rule_cnt && i < XE_MAX_RULES; i++)
		f->head->rules[i] =
			(struct rule_entry){.id = rs->ids[i], .filter = rs->rules[i].filter};
	__atomic_store_n(&f->head->rule_cnt, rs ? rs->rule_cnt : 0, __ATOMIC_SEQ_CST);
}

/* ---- read ---- */

struct reader {
	const struct xe_session_file_head *head;
	struct xe_sessions table; /* slots and addresses only */
	uint32_t slot_cnt, addr_cnt, rule_cnt, now_s;
	struct xe_flow_file *out;
	uint16_t port[XE_MAX_PORTS]; /* index in out */
};

static bool addr_is_there(const struct reader *r, const struct xe_tuple4 *key)
{
	if (key->family == XE_FAMILY_4)
		return true;
	return key->family == XE_FAMILY_6 && key->src_be < r->addr_cnt &&
	       key->dst_be < r->addr_cnt && r->table.addr6.slots[key->src_be].refs &&
	       r->table.addr6.slots[key->dst_be].refs;
}

static bool port_is_there(const struct reader *r, uint16_t id)
{
	return id < XE_MAX_PORTS && r->port[id] != XE_FR_NO_PORT;
}

/* Was it whole when its process died? */
static bool is_whole(const struct reader *r, const struct xe_session *s)
{
	const struct xe_tuple4 *out = &s->key[XE_DIR_OUT], *back = &s->key[XE_DIR_BACK];

	return out->proto == back->proto && out->family == back->family && addr_is_there(r, out) &&
	       addr_is_there(r, back) && port_is_there(r, out->port) &&
	       (back->port == XE_PORT_ANYUPLINK || port_is_there(r, back->port)) &&
	       (s->ext == XE_EXT_NONE || s->ext < XE_MAX_EXT_ADDRS) && s->created_s &&
	       s->created_s <= s->last_used_s && s->last_used_s <= r->now_s + 1;
}

static uint32_t left_s(const struct xe_session_file_head *h, const struct xe_flow_record *rec,
		       bool dns)
{
	uint32_t timeout_s = dns ? h->dns_s : h->udp_s;

	if (rec->proto == IPPROTO_TCP)
		timeout_s = rec->tcp_state == XE_TCP_ESTABLISHED ? h->tcp_established_s
								 : h->tcp_transitory_s;
	return rec->idle_s < timeout_s ? timeout_s - rec->idle_s : 0;
}

static uint16_t file_port(const struct reader *r, uint16_t id)
{
	return id < XE_MAX_PORTS ? r->port[id] : XE_FR_NO_PORT;
}

/* 1: taken, 0: left out. */
static int read_slot(struct reader *r, const struct xe_session *slot)
{
	struct xe_session s = *slot;
	struct xe_flow_record rec;

	if (!is_whole(r, &s))
		return 0;
	xe_session_record(&r->table, &s, s.last_used_s > r->now_s ? s.last_used_s : r->now_s, &rec);
	rec.in_port = file_port(r, rec.in_port);
	rec.out_port = file_port(r, rec.out_port);
	rec.left_s = left_s(r->head, &rec, s.flags & XE_SF_DNS);
	if (s.rule < r->rule_cnt) {
		rec.rule_id = r->head->rules[s.rule].id;
		if (rec.flags & XE_FR_MAPPED &&
		    r->head->rules[s.rule].filter <= XE_FILTER_ADDRESS_PORT)
			rec.filter = r->head->rules[s.rule].filter;
	}
	if (xe_flow_record_fault(&rec, r->out->port_cnt))
		return 0;
	return xe_flow_file_add(r->out, &rec) ? -ENOMEM : 1;
}

static int read_ports(struct reader *r)
{
	for (uint32_t i = 0; i < XE_MAX_PORTS; i++) {
		struct xe_flow_port p = r->head->ports[i];

		p.name[sizeof(p.name) - 1] = '\0';
		r->port[i] = XE_FR_NO_PORT;
		if (!p.name[0] || p.role > XE_ROLE_UPLINK)
			continue;
		r->port[i] = xe_flow_file_port(r->out, p.name, p.ifindex, p.role);
		if (r->port[i] == XE_FR_NO_PORT)
			return -ENOMEM;
		r->out->ports[r->port[i]].worker = p.worker;
		r->out->ports[r->port[i]].worker_cnt = p.worker_cnt;
	}
	return 0;
}

static int read_slots(struct reader *r, struct xe_session_file_counts *counts)
{
	int ret = read_ports(r);

	if (!ret)
		ret = xe_flow_file_expect(r->out, r->slot_cnt);
	for (uint32_t i = 0; i < r->slot_cnt && ret >= 0; i++) {
		if (!r->table.slots[i].key[XE_DIR_OUT].proto)
			continue;
		ret = read_slot(r, &r->table.slots[i]);
		if (ret > 0)
			counts->taken++;
		else
			counts->left_out++;
	}
	return ret < 0 ? ret : 0;
}

static int judge_head(const struct xe_session_file_head *h, size_t size, char *err, size_t err_size)
{
	struct xe_flow_file boot;
	const char *why = NULL;

	xe_flow_file_init(&boot);
	if (size < sizeof(*h) || memcmp(h->magic, magic, sizeof(h->magic)))
		why = "not a state file of this service";
	else if (h->version != VERSION || h->layout != layout_stamp())
		why = "written by another version of this service";
	else if (memcmp(h->boot_id, boot.boot_id, sizeof(h->boot_id)))
		why = "written before this host was started";
	else if (size < file_size(h->capacity, h->addr_capacity) || h->slot_cnt > h->capacity ||
		 h->addr_cnt > h->addr_capacity)
		why = "damaged: it is smaller than it says";
	if (why)
		snprintf(err, err_size, "%s", why);
	return why ? -EINVAL : 0;
}

/* Read, not mapped: this part of the head is all, and while workers stand still. */
void xe_session_file_rests(int fd, uint32_t now_s, uint8_t left_s[65536])
{
	struct xe_session_file_head *h = calloc(1, sizeof(*h));
	char err[64];
	struct stat st;

	if (!h || fstat(fd, &st) ||
	    pread(fd, h, offsetof(struct xe_session_file_head, ports), 0) !=
		    offsetof(struct xe_session_file_head, ports) ||
	    judge_head(h, (size_t)st.st_size, err, sizeof(err)) ||
	    pread(fd, h->rested_s, sizeof(h->rested_s),
		  offsetof(struct xe_session_file_head, rested_s)) != sizeof(h->rested_s))
		goto out;
	now_s = now_s - h->clock_s + h->lane_s;
	for (uint32_t p = 0; p < 65536; p++) {
		uint32_t age = now_s + 1 - h->rested_s[p];

		/* a clock that is a little behind is that of a worker that stood still */
		if (h->rested_s[p] && (int32_t)age < 0)
			age = 0;
		if (h->rested_s[p] && age < XE_NAT_REST_S && XE_NAT_REST_S - age > left_s[p])
			left_s[p] = (uint8_t)(XE_NAT_REST_S - age);
	}
out:
	free(h);
}

uint32_t *xe_session_file_rested(struct xe_session_file *f)
{
	return f->head->rested_s;
}

int xe_session_file_read(int fd, uint32_t now_s, struct xe_flow_file *out,
			 struct xe_session_file_counts *counts, char *err, size_t err_size)
{
	struct reader *r = calloc(1, sizeof(*r));
	uint8_t *m = MAP_FAILED;
	struct stat st;
	int ret = -ENOMEM;

	*counts = (struct xe_session_file_counts){};
	if (!r)
		return ret;
	ret = fstat(fd, &st) ? -errno : 0;
	if (!ret && st.st_size < (off_t)sizeof(struct xe_session_file_head)) {
		snprintf(err, err_size, "not a state file of this service");
		ret = -EINVAL;
	}
	if (ret)
		goto out;
	m = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
	ret = m == MAP_FAILED ? -errno : 0;
	if (ret)
		goto out;
	r->head = (const struct xe_session_file_head *)(const void *)m;
	ret = judge_head(r->head, (size_t)st.st_size, err, err_size);
	if (ret)
		goto out;
	/* mapped at once: page by page it would be a fault every 16; what is not backed stays so */
	madvise(m, ALIGN + (size_t)r->head->slot_cnt * sizeof(struct xe_session),
		MADV_POPULATE_READ_);
	r->slot_cnt = r->head->slot_cnt;
	r->addr_cnt = r->head->addr_cnt;
	r->rule_cnt = r->head->rule_cnt > XE_MAX_RULES ? 0 : r->head->rule_cnt;
	r->table.slots = (struct xe_session *)(void *)(m + ALIGN);
	r->table.addr6.slots =
		(struct xe_addr6 *)(void *)(m + ALIGN + slots_size(r->head->capacity));
	r->now_s = now_s - r->head->clock_s + r->head->lane_s;
	r->out = out;
	ret = read_slots(r, counts);
out:
	if (m != MAP_FAILED)
		munmap(m, (size_t)st.st_size);
	if (ret && ret != -EINVAL)
		snprintf(err, err_size, "%s", strerror(-ret));
	free(r);
	return ret;
}
