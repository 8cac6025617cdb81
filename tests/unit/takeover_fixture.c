/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "takeover_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>

#include "control/port_attach.h"
#include "io/umem_give.h"

#define FILL_CNT 16u
/* Beyond every timeout. */
#define LONG_S 8000u

static const char *const rules[] = {"masquerade from 10.1.0.0/16", NULL};

static void open_port(struct tf *t, uint16_t id)
{
	struct xe_port *port = &t->ports[id];

	*port = (struct xe_port){.id = id,
				 .owner = &t->svc->workers[0],
				 .xsks = {&t->f->xsk[id]},
				 .xsk_cnt = 1,
				 .queue_cnt = 1};
	t->f->xsk[id].slot = xe_port_slot(id, 0);
	t->svc->ports[id] = port;
}

struct tf *tf_open(void)
{
	struct tf *t = calloc(1, sizeof(*t));
	struct xe_worker *w;

	t->f = lf_open(rules, 64);
	t->svc = calloc(1, sizeof(*t->svc));
	t->svc->take = t->take = calloc(1, sizeof(*t->take));
	t->svc->worker_cnt = 1;
	t->svc->area.frame_cnt = t->svc->area.slice_cnt = LF_FRAMES;
	w = &t->svc->workers[0];
	w->lane = t->f->lane;
	w->beat = &t->beat;
	atomic_store(&w->rules, t->f->rules);
	for (uint16_t id = 1; id < LF_PORT_END; id++)
		open_port(t, id);
	t->take->lanes_fd = -1;
	tf_reset(t);
	return t;
}

static void end_sessions(struct tf *t)
{
	xe_hold_flush(t->f->lane, XE_PORT_NONE, XE_R_PORT_GONE);
	for (int i = 0; i < 64 && (t->f->lane->sessions.cnt || !i); i++) {
		t->f->lane->now_s += LONG_S;
		xe_pipeline_housekeeping(t->f->lane);
		lf_answer(t->f);
	}
	assert_int_equal(t->f->lane->sessions.cnt, 0);
}

static void reset_socket(struct lf *f, uint16_t id)
{
	struct xe_xsk *xsk = &f->xsk[id];

	for (int i = 0; i < 4; i++)
		f->rings[id * 4 + i].producer = f->rings[id * 4 + i].consumer = 0;
	xsk->fill.cached_prod = xsk->tx.cached_prod = 0;
	xsk->fill.cached_cons = xsk->tx.cached_cons = LF_RING;
	xsk->rx.cached_prod = xsk->rx.cached_cons = 0;
	xsk->comp.cached_prod = xsk->comp.cached_cons = 0;
	xsk->fill_cnt = xsk->tx_cnt = 0;
	xsk->kick = xsk->kick_listed = xsk->sent_listed = false;
}

static void close_told(struct tf *t)
{
	struct xe_take *take = t->take;

	xe_import_close(take);
	if (take->lanes)
		munmap(take->lanes, take->lanes_size);
	if (take->lanes_fd >= 0)
		close(take->lanes_fd);
	free(take->ids);
	memset(take, 0, sizeof(*take));
	take->lanes_fd = -1;
}

void tf_reset(struct tf *t)
{
	struct xe_lane *lane = t->f->lane;

	end_sessions(t);
	close_told(t);
	xe_umem_close(&lane->umem);
	assert_int_equal(xe_umem_open(&lane->umem, LF_FRAMES, -1), 0);
	lane->kick_cnt = lane->sent_cnt = 0;
	memset(&lane->cnt, 0, sizeof(lane->cnt));
	for (uint16_t id = 1; id < LF_PORT_END; id++)
		reset_socket(t->f, id);
	t->f->sent_cnt = 0;
	t->lanes_len = 0;
}

void tf_close(struct tf *t)
{
	tf_reset(t);
	free(t->svc->take);
	free(t->svc->steer.carried);
	lf_close(t->f);
	free(t->svc);
	free(t);
}

/* ---- what is told ---- */

static void put(struct tf *t, const void *from, size_t from_size, uint32_t size, uint32_t cnt)
{
	size_t len = (size_t)size * cnt;

	assert_true(len <= TF_LANES_SIZE - t->lanes_len);
	xe_fit(t->lanes + t->lanes_len, size, from, from_size, cnt);
	t->lanes_len += len;
}

/* A packet of a flow of its own, in a frame as the old process had it. */
static void write_held(struct tf *t, uint32_t i)
{
	static struct lf_bytes b;
	struct lf_spec spec = {.src = "10.1.0.2",
			       .dst = "198.51.100.1",
			       .sport = (uint16_t)(5000 + i),
			       .dport = 53,
			       .payload_len = 40};
	struct xe_meta meta = {.port = LF_INSIDE, .magic = XE_META_MAGIC ^ LF_INSIDE};
	uint64_t addr = ((uint64_t)(TF_HELD_FRAME + i) << XE_FRAME_SHIFT) + XE_FRAME_HEADROOM;
	uint8_t *at = xe_umem_ptr(&t->f->lane->umem, addr);
	struct xe_to_held h = {.frame_cnt = 1, .frames = {{.addr = addr}}};

	lf_build(&b, &spec);
	memcpy(at, b.b, b.len);
	memcpy(at - sizeof(meta), &meta, sizeof(meta));
	h.frames[0].len = b.len;
	put(t, &h, sizeof(h), t->size[XE_TO_HELD], 1);
}

static void tell_frames(struct tf *t)
{
	uint16_t *given = (uint16_t *)t->lanes;

	memset(t->lanes, 0xff, LF_FRAMES * sizeof(*given));
	for (uint16_t id = 1; id < LF_PORT_END; id++)
		for (uint32_t i = 0; i < FILL_CNT; i++)
			given[id * FILL_CNT + i] = (uint16_t)(2 * xe_port_slot(id, 0));
	t->lanes_len = LF_FRAMES * sizeof(*given);
}

void tf_tell(struct tf *t, const uint32_t size[XE_TO_SIZES], uint32_t held_cnt)
{
	static const struct xe_lane_counters counters;
	static const struct xe_port_counters port_counters;
	struct xe_to_frozen *frozen = &t->take->frozen;

	memcpy(t->size, size, sizeof(t->size));
	memcpy(t->take->welcome.size, size, sizeof(t->take->welcome.size));
	t->take->welcome.frame_cnt = LF_FRAMES;
	t->take->shares = true;
	t->take->port_cnt = LF_PORT_END - 1;
	*frozen = (struct xe_to_frozen){
		.frame_cnt = LF_FRAMES,
		.worker_cnt = 1,
		.socket_cnt = LF_PORT_END - 1,
		.held_cnt = held_cnt,
		.port_cnt = LF_PORT_END - 1,
	};
	tell_frames(t);
	put(t, &counters, sizeof(counters), size[XE_TO_LANE_COUNTERS], 1);
	t->socket_at = (uint32_t)t->lanes_len;
	for (uint16_t id = 1; id < LF_PORT_END; id++) {
		struct xe_to_socket s = {.port = id, .fill_cnt = FILL_CNT};

		put(t, &s, sizeof(s), size[XE_TO_SOCKET], 1);
	}
	t->held_at = (uint32_t)t->lanes_len;
	for (uint32_t i = 0; i < held_cnt; i++)
		write_held(t, i);
	for (uint32_t i = 0; i < LF_PORT_END; i++)
		put(t, &port_counters, sizeof(port_counters), size[XE_TO_PORT_COUNTERS], 1);
	put(t, t->svc->ext_addrs, sizeof(t->svc->ext_addrs), size[XE_TO_EXT_ADDRS], 1);
}

struct xe_to_socket tf_socket(const struct tf *t, uint32_t i)
{
	uint32_t size = t->size[XE_TO_SOCKET];
	struct xe_to_socket s;

	xe_fit(&s, sizeof(s), t->lanes + t->socket_at + i * size, size, 1);
	return s;
}

void tf_set_socket(struct tf *t, uint32_t i, const struct xe_to_socket *s)
{
	uint32_t size = t->size[XE_TO_SOCKET];

	xe_fit(t->lanes + t->socket_at + i * size, size, s, sizeof(*s), 1);
}

struct xe_to_held tf_held(const struct tf *t, uint32_t i)
{
	uint32_t size = t->size[XE_TO_HELD];
	struct xe_to_held h;

	xe_fit(&h, sizeof(h), t->lanes + t->held_at + i * size, size, 1);
	return h;
}

void tf_set_held(struct tf *t, uint32_t i, const struct xe_to_held *h)
{
	uint32_t size = t->size[XE_TO_HELD];

	xe_fit(t->lanes + t->held_at + i * size, size, h, sizeof(*h), 1);
}

/* ---- what becomes of it ---- */

int tf_import(struct tf *t)
{
	t->take->lanes_fd = memfd_create("lanes", MFD_CLOEXEC);
	assert_true(t->take->lanes_fd >= 0);
	assert_int_equal(write(t->take->lanes_fd, t->lanes, t->lanes_len), t->lanes_len);
	return xe_import_lanes(t->svc);
}

/* Those of a socket that we have; all others the kernel may still write to: in hand. */
void tf_check_frames(const struct tf *t)
{
	uint32_t fill = 0, tx = 0;

	for (uint32_t i = 0; i < LF_FRAMES; i++) {
		uint16_t given = t->take->parts.given[i], id = given / 2 / XE_PORT_SLOTS;

		if (given < XE_GIVEN_HELD && id && id < LF_PORT_END)
			given & 1 ? tx++ : fill++;
	}
	assert_int_equal(xe_umem_audit(&t->f->lane->umem, fill, tx), 0);
}

/* All that have a next hop by now are sent, and their frames come back. */
static void send_all(struct tf *t)
{
	for (int i = 0; i < 2 && lf_answer(t->f); i++) {
		xe_hold_poll(t->f->lane);
		xe_pipeline_flush(t->f->lane);
		lf_drain_tx(t->f);
	}
	for (uint16_t id = 1; id < LF_PORT_END; id++)
		xe_xsk_complete(&t->f->xsk[id], &t->f->lane->umem);
}

void tf_go_on(struct tf *t, bool stale)
{
	const struct xe_lane_counters *c = &t->f->lane->cnt;
	uint8_t buf[2048];

	memset(&t->f->lane->cnt, 0, sizeof(t->f->lane->cnt)); /* told ones are another's */
	xe_import_held(t->svc, stale);
	send_all(t);
	assert_int_equal(t->take->frozen.held_cnt + c->made,
			 c->tx_packets + lf_drops(t->f) + c->merged + c->to_kernel +
				 t->f->lane->hold.cnt + t->f->lane->frags.table.kept_cnt);
	assert_int_equal(t->f->lane->hold.cnt, 0);
	tf_check_frames(t);
	while (read(t->f->punt_fd, buf, sizeof(buf)) > 0)
		;
}
