/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "control/takeover_import.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "control/port_given.h"
#include "io/umem_give.h"
#include "io/xsk.h"
#include "pipeline/pipeline.h"

/* The next cnt of `size` bytes in `lanes`. NULL: they are not all there, or their size is not told,
 * and with that neither where what follows them lies. */
static const void *next_part(struct xe_take *take, size_t *at, uint32_t cnt, uint32_t size)
{
	const void *part = take->lanes + *at;

	if (!size || (size_t)cnt * size > take->lanes_size - *at)
		return NULL;
	*at += (size_t)cnt * size;
	return part;
}

static int map_lanes(struct xe_take *take)
{
	struct stat st;

	if (fstat(take->lanes_fd, &st))
		return -errno;
	take->lanes_size = (size_t)st.st_size;
	/* private: the held packets' frames are marked in it */
	take->lanes = mmap(NULL, take->lanes_size, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_POPULATE, take->lanes_fd, 0);
	if (take->lanes != MAP_FAILED)
		return 0;
	take->lanes = NULL;
	return -errno;
}

void xe_import_close(struct xe_take *take)
{
	while (take->fitted_cnt)
		free(take->fitted[--take->fitted_cnt]);
}

/* The next cnt of a kind, in our structure; NULL: they are not all there, or no memory. */
static const void *next_list(struct xe_take *take, size_t *at, uint32_t cnt, enum xe_to_size kind)
{
	uint32_t ours[XE_TO_SIZES], theirs = take->welcome.size[kind];
	const void *part = next_part(take, at, cnt, theirs);
	void *fitted;

	xe_to_our_sizes(ours);
	if (!part || (theirs == ours[kind] && (uintptr_t)part % sizeof(uint64_t) == 0))
		return part;
	fitted = malloc((size_t)cnt * ours[kind] + 1);
	if (!fitted)
		return NULL;
	take->fitted[take->fitted_cnt++] = fitted;
	xe_fit(fitted, ours[kind], part, theirs, cnt);
	return fitted;
}

/* Numbers that no process of ours tells, whatever its version: not to be allocated for. */
static bool numbers_fit(const struct xe_take *take)
{
	const struct xe_to_frozen *f = &take->frozen;

	return f->frame_cnt == take->welcome.frame_cnt && f->worker_cnt <= XE_MAX_WORKERS &&
	       f->socket_cnt <= XE_MAX_PORTS * XE_MAX_QUEUES && f->held_cnt <= f->frame_cnt &&
	       f->port_cnt == take->port_cnt + take->rest_cnt;
}

/* Where the parts lie; the lengths are the old process's word. */
static int find_parts(struct xe_take *take)
{
	const struct xe_to_frozen *f = &take->frozen;
	const uint32_t *size = take->welcome.size;
	size_t at = 0;

	if (!numbers_fit(take))
		return -EPROTO;
	take->parts.given =
		(uint16_t *)next_part(take, &at, f->frame_cnt, sizeof(*take->parts.given));
	take->parts.counters = next_part(take, &at, f->worker_cnt, size[XE_TO_LANE_COUNTERS]);
	take->parts.sockets = next_list(take, &at, f->socket_cnt, XE_TO_SOCKET);
	take->parts.held = next_list(take, &at, f->held_cnt, XE_TO_HELD);
	take->parts.gone = next_list(take, &at, 1, XE_TO_PORT_COUNTERS);
	take->parts.carried = next_list(take, &at, f->port_cnt, XE_TO_PORT_COUNTERS);
	take->parts.ext_addrs = next_list(take, &at, 1, XE_TO_EXT_ADDRS);
	/* What one of a later version has behind that is not looked at. */
	return take->parts.given && take->parts.counters && take->parts.sockets &&
			       take->parts.held && take->parts.gone && take->parts.carried &&
			       take->parts.ext_addrs
		       ? 0
		       : -EPROTO;
}

static uint32_t owner_of(void *ctx, uint16_t slot)
{
	struct xe_service *svc = ctx;
	uint16_t id = slot / XE_PORT_SLOTS;
	struct xe_port *port = id < XE_MAX_PORTS ? svc->ports[id] : NULL;

	return port ? xe_port_queue_owner(svc, port, slot % XE_PORT_SLOTS)->idx : UINT32_MAX;
}

/* Does this part of a packet lie in one frame, the first with its metadata in front? */
static bool lies_in_frame(const struct xdp_desc *d, bool first)
{
	uint32_t off = d->addr & (XE_FRAME_SIZE - 1);

	return d->len <= XE_FRAME_SIZE - off && (!first || off >= sizeof(struct xe_meta));
}

/* Held packets go on at the worker that has their frames, if that is one. */
static struct xe_worker *held_worker(struct xe_service *svc, const struct xe_to_held *h)
{
	uint32_t slice = svc->area.slice_cnt, w;

	if (!h->frame_cnt || h->frame_cnt > XE_PACKET_FRAMES ||
	    h->frames[0].addr >> XE_FRAME_SHIFT >= svc->area.frame_cnt)
		return NULL;
	w = xe_frame_of(h->frames[0].addr) / slice;
	for (uint32_t i = 0; i < h->frame_cnt; i++)
		if (h->frames[i].addr >> XE_FRAME_SHIFT >= svc->area.frame_cnt ||
		    xe_frame_of(h->frames[i].addr) / slice != w ||
		    !lies_in_frame(&h->frames[i], !i))
			return NULL;
	return &svc->workers[w];
}

/* No socket has more than its rings hold. A frame is at one place: a socket that there may be, a
 * held packet, or free. */
static int mark_frames(struct xe_service *svc, struct xe_take *take)
{
	uint16_t *given = take->parts.given;

	for (uint32_t i = 0; i < take->frozen.socket_cnt; i++)
		if (take->parts.sockets[i].fill_cnt > XE_RING_SIZE ||
		    take->parts.sockets[i].tx_cnt > XE_RING_SIZE)
			return -EPROTO;
	for (uint32_t f = 0; f < svc->area.frame_cnt; f++)
		if (given[f] != XE_GIVEN_FREE && given[f] >> 1 >= XE_MAX_PORTS * XE_PORT_SLOTS)
			return -EPROTO;
	for (uint32_t i = 0; i < take->frozen.held_cnt; i++) {
		const struct xe_to_held *h = &take->parts.held[i];

		if (!held_worker(svc, h))
			continue;
		for (uint32_t k = 0; k < h->frame_cnt; k++) {
			uint32_t f = xe_frame_of(h->frames[k].addr);

			if (given[f] != XE_GIVEN_FREE)
				return -EPROTO;
			given[f] = XE_GIVEN_HELD;
		}
	}
	return 0;
}

static void import_frames(struct xe_service *svc, const uint16_t *given)
{
	struct xe_umem *umems[XE_MAX_WORKERS];

	for (uint32_t w = 0; w < svc->worker_cnt; w++)
		umems[w] = &svc->workers[w].lane->umem;
	xe_umem_import(umems, svc->worker_cnt, given, owner_of, svc);
}

static void add(uint64_t *to, const uint64_t *more, size_t size)
{
	for (size_t i = 0; i < size / sizeof(*to); i++)
		to[i] += more[i];
}

/* Counters count on: worker i's, and those of workers that are no more at the first one. */
static void import_counters(struct xe_service *svc, const struct xe_take *take, uint32_t worker_cnt)
{
	const uint32_t *size = take->welcome.size;
	uint32_t plain = size[XE_TO_LANE_PLAIN], all = size[XE_TO_LANE_COUNTERS];
	struct xe_lane_counters more;

	if (plain > all)
		return;
	for (uint32_t w = 0; w < worker_cnt; w++) {
		const uint8_t *theirs = take->parts.counters + (size_t)w * all;

		xe_fit(&more, offsetof(struct xe_lane_counters, reason), theirs, plain, 1);
		xe_fit(more.reason, sizeof(more.reason), theirs + plain, all - plain, 1);
		add((uint64_t *)&svc->workers[w < svc->worker_cnt ? w : 0].lane->cnt,
		    (const uint64_t *)&more, sizeof(more));
	}
}

int xe_import_lanes(struct xe_service *svc)
{
	struct xe_take *take = svc->take;
	const struct xe_to_frozen *f = &take->frozen;
	int err = map_lanes(take);

	if (!err)
		err = find_parts(take);
	if (!err && take->shares)
		err = mark_frames(svc, take);
	if (err) {
		xe_log_err("takeover from pid %d: what it tells does not add up", take->pid);
		return err;
	}
	import_counters(svc, take, f->worker_cnt);
	svc->gone_counters = *take->parts.gone;
	svc->gone_xsk_lost = f->gone_xsk_lost;
	if (!take->shares)
		return 0;
	import_frames(svc, take->parts.given);
	for (uint32_t i = 0; i < f->socket_cnt; i++)
		xe_port_given_resume(svc, &take->parts.sockets[i]);
	return 0;
}

static void drop_held(struct xe_lane *lane)
{
	xe_burst_for_each (p, &lane->burst)
		if (!p->ended)
			xe_packet_drop(lane, p, XE_R_STALE);
}

static void run_held(struct xe_service *svc, const struct xe_to_held *held, uint32_t held_cnt,
		     bool stale)
{
	for (uint32_t i = 0; i < held_cnt; i++) {
		struct xe_worker *w = held_worker(svc, &held[i]);

		if (!w) {
			xe_count(&svc->workers[0].lane->cnt.reason[XE_R_LEFT_BEHIND], 1);
			continue;
		}
		w->lane->rules = atomic_load(&w->rules);
		xe_rx_held(w->lane, held[i].frames, held[i].frame_cnt);
		if (stale)
			drop_held(w->lane);
		else
			xe_pipeline_run(w->lane, &w->lane->burst);
		xe_pipeline_flush(w->lane);
	}
}

void xe_import_held(struct xe_service *svc, bool stale)
{
	const struct xe_take *take = svc->take;

	if (take->shares)
		run_held(svc, take->parts.held, take->frozen.held_cnt, stale);
	else
		xe_count(&svc->workers[0].lane->cnt.reason[XE_R_LEFT_BEHIND],
			 take->frozen.held_cnt);
}

void xe_import_port_counters(struct xe_service *svc)
{
	struct xe_take *take = svc->take;
	struct xe_port_counters cnt;

	for (uint32_t n = 0; n < take->frozen.port_cnt; n++) {
		uint16_t id = take->ids[n];

		if (id >= XE_MAX_PORTS || !svc->ports[id])
			continue;
		xe_steer_carry_counters(&svc->steer, id, &take->parts.carried[n]);
		if (!xe_steer_read_counters(take->counters_fd,
					    take->welcome.size[XE_TO_PORT_COUNTERS], id, &cnt))
			xe_steer_carry_counters(&svc->steer, id, &cnt);
	}
}

/* By what was not taken then: ports may have gone since. */
static uint32_t not_taken(void *ctx, uint16_t slot)
{
	const struct xe_take *take = ctx;

	for (uint32_t i = 0; i < take->rest_cnt; i++)
		if (take->rest[i].port.id == slot / XE_PORT_SLOTS)
			return UINT32_MAX;
	return 0;
}

static void put_orphans(struct xe_worker *w, void *arg)
{
	struct xe_service *svc = arg;

	xe_umem_put_orphans(&w->lane->umem, svc->take->parts.given, not_taken, svc->take);
}

/* What came to its sockets and was not read is lost; all else of it is counted among what has gone.
 */
static void count_rest(struct xe_service *svc, uint16_t id)
{
	struct xe_take *take = svc->take;
	struct xe_port_counters cnt;
	uint64_t rx_packets = 0, taken = 0;

	if (xe_steer_read_counters(take->counters_fd, take->welcome.size[XE_TO_PORT_COUNTERS], id,
				   &cnt))
		return;
	for (uint32_t i = 0; i < take->frozen.socket_cnt; i++)
		if (take->parts.sockets[i].port == id)
			rx_packets += take->parts.sockets[i].rx_packets;
	for (uint32_t n = 0; n < take->frozen.port_cnt; n++)
		if (take->ids[n] == id)
			for (int r = 0; r < XE_R_STEER_CNT; r++)
				cnt.reason[r] += take->parts.carried[n].reason[r];
	for (int r = 0; r < XE_R_STEER_CNT; r++)
		svc->gone_counters.reason[r] += cnt.reason[r];
	taken = cnt.reason[XE_R_TAKEN];
	svc->gone_xsk_lost += taken > rx_packets ? taken - rx_packets : 0;
}

void xe_import_rest(struct xe_service *svc)
{
	struct xe_take *take = svc->take;

	for (uint32_t i = 0; i < take->rest_cnt; i++) {
		count_rest(svc, take->rest[i].port.id);
		xe_to_close_fds(&take->rest[i].fds);
	}
	for (uint32_t w = 0; take->shares && take->rest_cnt && w < svc->worker_cnt; w++)
		xe_worker_call(&svc->workers[w], put_orphans, svc);
}
