/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "control/takeover_freeze.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "io/attach.h"
#include "io/umem_give.h"
#include "pipeline/pipeline.h"

/* A device that has not sent by then is slow, or waits for its peer: its frames stay where they
 * are, and are told as such. In copy mode into a veth all are back when the send call returns. */
#define SENT_MAX_NS  (3 * XE_NS_PER_MS)
#define SENT_LOOK_US 100
/* Changed flows in one answer: 3 MiB, some 10 ms in which the control thread does nothing else. */
#define CHANGES_MAX 16384u
/* What one worker hands over while another is drained: a packet changes the worker twice at most
 * (to whose it may be, to whose it is), hairpins twice that. */
#define DRAIN_ROUNDS 8

static void add_fd(struct xe_to_fds *fds, int fd)
{
	fds->fd[fds->cnt++] = fd;
}

void xe_freeze_welcome(const struct xe_service *svc, struct xe_to_welcome *to,
		       struct xe_to_fds *fds)
{
	*to = (struct xe_to_welcome){
		.k0 = svc->steer.settings.k0,
		.k1 = svc->steer.settings.k1,
		.frame_cnt = svc->area.frame_cnt,
		.worker_cnt = svc->worker_cnt,
		.live_mask = svc->steer.settings.live_mask,
		.notified = getenv("NOTIFY_SOCKET") != NULL,
		.watchdog_every = svc->watchdog.every,
		.watchdog_patience = svc->watchdog.patience,
		.any_accept = svc->steer.conf->any_accept,
		.translated6 = svc->translated6,
		.punt = svc->punt_fd >= 0 && svc->punt_uplink_fd >= 0,
	};
	xe_to_our_sizes(to->size);
	memcpy(to->punt_name, svc->punt_name, sizeof(to->punt_name));
	memcpy(to->punt_uplink_name, svc->punt_uplink_name, sizeof(to->punt_uplink_name));
	add_fd(fds, svc->lock_fd);
	add_fd(fds, svc->area.fd);
	add_fd(fds, xe_steer_counters_fd(&svc->steer));
	xe_steer_shared_fds(&svc->steer, &fds->fd[fds->cnt]);
	fds->cnt += XE_STEER_SHARED;
	if (to->punt) {
		add_fd(fds, svc->punt_fd);
		add_fd(fds, svc->punt_uplink_fd);
	}
}

void xe_freeze_port(const struct xe_port *port, struct xe_to_port *to, struct xe_to_fds *fds)
{
	*to = (struct xe_to_port){
		.ifindex = (uint32_t)port->ifindex,
		.id = port->id,
		.role = (uint8_t)port->role,
		.xdp = (uint8_t)port->xdp,
		.coalesce = (uint8_t)port->coalesce,
		.generic = port->at.generic,
		.by_link = port->at.link_fd >= 0,
		.owner = (uint8_t)port->owner->idx,
		.queue_cnt = port->xsk_cnt,
	};
	memcpy(to->name, port->name, sizeof(to->name));
	memcpy(to->entry, port->entry, sizeof(to->entry));
	if (to->by_link)
		add_fd(fds, port->at.link_fd);
	for (uint32_t q = 0; q < port->xsk_cnt; q++) {
		const struct xe_xsk *xsk = port->xsks[q];

		to->queues[q] = (struct xe_to_queue){xsk->zerocopy, xsk->multi_buffer, xsk->meta};
		add_fd(fds, xsk->fd);
	}
}

/* ---- the workers stand still ---- */

static void drain_handed(struct xe_service *svc)
{
	for (int round = 0; round < DRAIN_ROUNDS; round++)
		for (uint32_t w = 0; w < svc->worker_cnt; w++) {
			struct xe_lane *lane = svc->workers[w].lane;

			if (!lane->handoff)
				continue;
			xe_pipeline_drain_handed(lane);
			xe_umem_collect(&lane->umem);
		}
}

/* What comes while they stand still waits in the rings, as much as the fill rings have frames for.
 */
static void fill_up(struct xe_worker *w, void *arg)
{
	struct xe_lane *lane = w->lane;

	(void)arg;
	for (uint32_t i = 0; i < lane->active_cnt; i++) {
		lane->xsks[i]->fill_target = XE_FILL_MAX;
		xe_xsk_refill(lane->xsks[i], &lane->umem, lane->fill_max);
	}
}

/* What is left of the time that all workers have together; rounded up. */
static uint32_t left_ms(uint64_t end_ns)
{
	uint64_t now_ns = xe_now_ns();

	return now_ns < end_ns ? (uint32_t)((end_ns - now_ns + XE_NS_PER_MS - 1) / XE_NS_PER_MS)
			       : 0;
}

int xe_freeze_prepare(struct xe_service *svc)
{
	uint64_t end_ns = xe_now_ns() + XE_WORKER_PATIENCE_MS * XE_NS_PER_MS;

	for (uint32_t w = 0; w < svc->worker_cnt; w++)
		if (!xe_worker_call_within(&svc->workers[w], fill_up, NULL, left_ms(end_ns)))
			return -EHOSTDOWN;
	return 0;
}

static bool all_sent(struct xe_service *svc)
{
	uint32_t left = 0;

	for (uint32_t w = 0; w < svc->worker_cnt; w++) {
		struct xe_lane *lane = svc->workers[w].lane;

		xe_pipeline_flush(lane);
		xe_pipeline_complete(lane);
		left += lane->sent_cnt;
	}
	return !left;
}

/* All, or none, and all within one worker's time: those that are parked beat no more, and steer
 * must not take that for a stall because of one that stands still. */
static int park_all(struct xe_service *svc)
{
	uint64_t end_ns = xe_now_ns() + XE_WORKER_PATIENCE_MS * XE_NS_PER_MS;
	bool parked[XE_MAX_WORKERS];
	uint32_t asked = 0, in = 0;

	while (asked < svc->worker_cnt &&
	       xe_worker_park_begin(&svc->workers[asked], left_ms(end_ns)))
		asked++;
	for (uint32_t w = 0; w < asked; w++) {
		if (in < w || asked < svc->worker_cnt)
			end_ns = 0; /* it comes to nothing */
		parked[w] = xe_worker_park_end(&svc->workers[w], left_ms(end_ns));
		in += parked[w];
	}
	if (in == svc->worker_cnt)
		return 0;
	for (uint32_t w = 0; w < asked; w++)
		if (parked[w])
			xe_worker_unpark(&svc->workers[w]);
	return -EHOSTDOWN;
}

int xe_freeze_workers(struct xe_service *svc)
{
	uint64_t start_ns;
	int err = park_all(svc);

	if (err)
		return err;
	drain_handed(svc);
	start_ns = xe_now_ns();
	while (!all_sent(svc) && xe_now_ns() - start_ns < SENT_MAX_NS)
		usleep(SENT_LOOK_US);
	drain_handed(svc); /* frames that have come home */
	return 0;
}

/* ---- what there is to tell ---- */

static void tell_frames(const struct xe_service *svc, FILE *f, struct xe_to_frozen *to)
{
	const struct xe_umem *umems[XE_MAX_WORKERS];
	uint16_t *given = calloc(svc->area.frame_cnt, sizeof(*given));

	for (uint32_t w = 0; w < svc->worker_cnt; w++)
		umems[w] = &svc->workers[w].lane->umem;
	to->frame_cnt = given ? svc->area.frame_cnt : 0;
	if (given)
		xe_umem_export(umems, svc->worker_cnt, given);
	fwrite(given, sizeof(*given), to->frame_cnt, f);
	free(given);
}

/* Those in fragments are not told: they hang together by this worker's tables. */
static bool can_tell(const struct xe_packet *p)
{
	return p->frame_cnt && !p->frag_cnt && !p->next;
}

/* What is in flight and not told ends with this process: counted so in what the next one has. */
static uint32_t left_behind(const struct xe_lane *lane)
{
	uint32_t cnt = lane->frags.table.kept_cnt;

	for (uint32_t i = 0; i < lane->hold.cnt; i++)
		cnt += !can_tell(&lane->hold.held[i].packet);
	return cnt;
}

static void tell_counters(const struct xe_service *svc, FILE *f, struct xe_to_frozen *to)
{
	to->worker_cnt = svc->worker_cnt;
	for (uint32_t w = 0; w < svc->worker_cnt; w++) {
		struct xe_lane_counters cnt = svc->workers[w].lane->cnt;

		cnt.reason[XE_R_LEFT_BEHIND] += left_behind(svc->workers[w].lane);
		fwrite(&cnt, sizeof(cnt), 1, f);
	}
}

static void tell_sockets(const struct xe_service *svc, FILE *f, struct xe_to_frozen *to)
{
	for (const struct xe_port *p = svc->port_list; p; p = p->next) {
		if (p->id == XE_PORT_NONE)
			continue;
		for (uint32_t q = 0; q < p->xsk_cnt; q++) {
			struct xe_to_socket s = {.port = p->id,
						 .queue = (uint16_t)q,
						 .fill_cnt = p->xsks[q]->fill_cnt,
						 .tx_cnt = p->xsks[q]->tx_cnt,
						 .rx_packets = p->xsks[q]->rx_packets};

			fwrite(&s, sizeof(s), 1, f);
			to->socket_cnt++;
		}
	}
}

static void tell_held(struct xe_service *svc, FILE *f, struct xe_to_frozen *to)
{
	for (uint32_t w = 0; w < svc->worker_cnt; w++) {
		struct xe_hold *hold = &svc->workers[w].lane->hold;

		for (uint32_t i = 0; i < hold->cnt; i++) {
			struct xe_packet *p = &hold->held[i].packet;
			struct xe_to_held h = {.frame_cnt = p->frame_cnt};

			if (!can_tell(p))
				continue;
			xe_hand_meta(p, 0);
			memcpy(h.frames, p->frames, p->frame_cnt * sizeof(*h.frames));
			fwrite(&h, sizeof(h), 1, f);
			to->held_cnt++;
		}
	}
}

static void tell_port_counters(const struct xe_service *svc, FILE *f, struct xe_to_frozen *to)
{
	static const struct xe_port_counters none;

	to->gone_xsk_lost = svc->gone_xsk_lost;
	fwrite(&svc->gone_counters, sizeof(svc->gone_counters), 1, f);
	for (const struct xe_port *p = svc->port_list; p; p = p->next) {
		if (p->id == XE_PORT_NONE)
			continue;
		fwrite(svc->steer.carried ? &svc->steer.carried[p->id] : &none, sizeof(none), 1, f);
		to->port_cnt++;
	}
}

static int new_memfd(struct xe_to_fds *fds, const char *name)
{
	int fd = memfd_create(name, MFD_CLOEXEC);

	if (fd < 0)
		return -errno;
	add_fd(fds, fd);
	return fd;
}

static int tell_lanes(struct xe_service *svc, struct xe_to_frozen *to, struct xe_to_fds *fds)
{
	int fd = new_memfd(fds, "xegress-lanes"), err = 0;
	FILE *f;

	if (fd < 0)
		return fd;
	f = fdopen(dup(fd), "w");
	if (!f)
		return -ENOMEM;
	tell_frames(svc, f, to);
	tell_counters(svc, f, to);
	tell_sockets(svc, f, to);
	tell_held(svc, f, to);
	tell_port_counters(svc, f, to);
	fwrite(svc->ext_addrs, sizeof(svc->ext_addrs), 1, f);
	if (ferror(f) || !to->frame_cnt)
		err = -ENOMEM;
	if (fclose(f) && !err)
		err = -errno;
	return err;
}

int xe_freeze_tell(struct xe_service *svc, struct xe_to_frozen *to, struct xe_to_fds *fds)
{
	memset(to, 0, sizeof(*to));
	return tell_lanes(svc, to, fds);
}

static int put(int fd, const void *from, size_t len)
{
	ssize_t n = len ? write(fd, from, len) : 0;

	return n < 0 ? -errno : (size_t)n == len ? 0 : -ENOSPC; /* a memfd takes all or is full */
}

static int find_changes(struct xe_service *svc, struct xe_flows_told *told, bool all,
			struct xe_flow_changes *changes)
{
	int more;

	if (!all)
		return xe_flows_export_changes(svc, told, CHANGES_MAX, changes);
	told->worker = told->slot = 0; /* from the beginning, wherever the last pass had come to */
	do {
		more = xe_flows_export_changes(svc, told, UINT32_MAX, changes);
	} while (more > 0);
	return more;
}

int xe_freeze_changes(struct xe_service *svc, struct xe_flows_told *told, bool all,
		      struct xe_to_changes *to, struct xe_to_fds *fds)
{
	int fd = new_memfd(fds, "xegress-flows"), ret;
	struct xe_flow_changes changes;

	if (fd < 0)
		return fd;
	xe_flow_changes_init(&changes);
	ret = find_changes(svc, told, all, &changes);
	if (ret < 0)
		goto out;
	*to = (struct xe_to_changes){.cnt = changes.cnt, .more = ret > 0};
	ret = put(fd, svc->nat_ports, sizeof(svc->nat_ports));
	if (!ret)
		ret = put(fd, changes.list, changes.cnt * sizeof(*changes.list));
	if (!ret)
		ret = xe_flow_file_write(&changes.file, fd);
out:
	xe_flow_changes_free(&changes);
	return ret;
}

/* ---- back ---- */

/* Links into which the new process has come get our program again; that may wait for the kernel's
 * rtnl lock, so the workers run first. */
void xe_unfreeze(struct xe_service *svc)
{
	for (uint32_t w = 0; w < svc->worker_cnt; w++)
		xe_worker_unpark(&svc->workers[w]);
	for (struct xe_port *p = svc->port_list; p; p = p->next)
		if (p->id != XE_PORT_NONE && p->at.link_fd >= 0 && !xe_attach_is_ours(&p->at) &&
		    xe_attach_switch(&svc->steer, &p->at))
			xe_log_err("port %s: its program cannot be put back", p->name);
}
